/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/conf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/conf_impl.h"

#define VOLUME_NAME_MAX 255

/* ---- Finding --------------------------------------------------------------------------------- */

static size_t table_rows(void)
{
	size_t n = 0;

	while (f3_conf_table[n].section)
		n++;
	return n;
}

const struct f3_conf_opt *f3_conf_find_opt(const char *section, const char *key)
{
	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++)
		if (strcmp(opt->section, section) == 0 && strcmp(opt->key, key) == 0)
			return opt;
	return NULL;
}

struct f3_conf_section *f3_conf_find_section(const struct f3_conf *c, const char *kind,
					     const char *inst)
{
	for (size_t i = 0; i < c->n_sections; i++) {
		struct f3_conf_section *s = &c->sections[i];

		if (strcmp(s->kind, kind) == 0 &&
		    (!s->inst || !inst ? s->inst == inst : strcmp(s->inst, inst) == 0))
			return s;
	}
	return NULL;
}

struct f3_conf_place *f3_conf_find_place(const struct f3_conf *c, const char *volume)
{
	for (size_t i = 0; i < c->n_places; i++)
		if (strcmp(c->places[i].volume, volume) == 0)
			return &c->places[i];
	return NULL;
}

const char *f3_conf_where(const char *source)
{
	return strncmp(source, "file ", 5) == 0 ? source + 5 : source;
}

/* ---- Sections -------------------------------------------------------------------------------- */

/* One more element at the end of a heap array, zeroed, or NULL. */
static void *grow(void *array, size_t *n, size_t size)
{
	char *old, *bigger;

	/* `array` points to a pointer of whatever type: copied, not aliased */
	memcpy(&old, array, sizeof(old));
	bigger = realloc(old, (*n + 1) * size);
	if (!bigger)
		return NULL;
	memcpy(array, &bigger, sizeof(bigger));
	memset(bigger + *n * size, 0, size);
	return bigger + (*n)++ * size;
}

static void free_list(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static void section_done(struct f3_conf_section *s)
{
	size_t rows = s->values ? table_rows() : 0;

	for (size_t i = 0; i < rows; i++) {
		free(s->values[i].text);
		free(s->values[i].source);
		free_list(s->values[i].list, s->values[i].n_list);
	}
	free(s->values);
	free(s->inst);
	free(s->source);
}

/* With all defaults in it. */
static int add_section(struct f3_conf *c, const char *kind, const char *inst, const char *source)
{
	struct f3_conf_section *s = grow(&c->sections, &c->n_sections, sizeof(*s));
	size_t rows = table_rows();

	if (!s)
		return -ENOMEM;
	s->kind = kind;
	s->inst = inst ? strdup(inst) : NULL;
	s->source = strdup(source);
	s->values = calloc(rows, sizeof(*s->values));
	if ((inst && !s->inst) || !s->source || !s->values)
		goto fail;
	for (size_t i = 0; i < rows; i++) {
		const struct f3_conf_opt *opt = &f3_conf_table[i];
		struct f3_conf_value *v = &s->values[i];
		uint64_t number = 0;
		int error;

		if (strcmp(opt->section, kind) != 0 || !opt->dflt)
			continue;
		error = f3_conf_parse_value(opt, opt->dflt, &number, &v->text, NULL);
		v->number = number;
		assert(error == 0 || error == -ENOMEM);
		if (error)
			goto fail;
	}
	return 0;
fail:
	section_done(s);
	c->n_sections--;
	return -ENOMEM;
}

int f3_conf_new(struct f3_conf **ret_c)
{
	struct f3_conf *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	if (add_section(c, "f3", NULL, "default") || add_section(c, "metrics", NULL, "default")) {
		f3_conf_free(c);
		return -ENOMEM;
	}
	*ret_c = c;
	return 0;
}

void f3_conf_free(struct f3_conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_sections; i++)
		section_done(&c->sections[i]);
	for (size_t i = 0; i < c->n_places; i++) {
		struct f3_conf_place *p = &c->places[i];

		for (size_t k = 0; k < p->n_rules; k++) {
			free((char *)p->rules[k].pattern);
			free((char *)p->rules[k].value);
			free((char *)p->rules[k].source);
		}
		free(p->rules);
		free(p->volume);
		free(p->source);
	}
	pthread_mutex_destroy(&c->lock);
	free(c->sections);
	free(c->places);
	free(c->volumes);
	free(c);
}

/* It becomes a name at the top of the mount. */
static int check_volume_name(const char *name, const char *source, struct f3_err *err)
{
	size_t len = strlen(name);
	const char *reason = NULL;

	if (!len)
		reason = "a volume needs a name";
	else if (len > VOLUME_NAME_MAX)
		reason = "a volume's name has at most 255 bytes";
	else if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strchr(name, '/'))
		reason = "a volume's name is a file name: not \".\" or \"..\", without '/'";
	for (size_t i = 0; !reason && i < len; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
			reason = "a volume's name has no control characters";
	if (!reason)
		return 0;
	return f3_err_set(err, -EINVAL, "%s: volume \"%.80s\": %s", f3_conf_where(source), name,
			  reason);
}

int f3_conf_make_volume(struct f3_conf *c, const char *name, const char *source, struct f3_err *err)
{
	const char **volume;
	int error;

	if (f3_conf_find_section(c, "volume", name))
		return 0;
	error = check_volume_name(name, source, err);
	if (error)
		return error;
	error = add_section(c, "volume", name, source);
	if (error)
		return f3_err_set(err, error, "out of memory");
	volume = grow(&c->volumes, &c->n_volumes, sizeof(*volume));
	if (!volume) {
		section_done(&c->sections[--c->n_sections]);
		return f3_err_set(err, -ENOMEM, "out of memory");
	}
	*volume = c->sections[c->n_sections - 1].inst;
	return 0;
}

int f3_conf_make_place(struct f3_conf *c, const char *name, const char *source, struct f3_err *err)
{
	struct f3_conf_place *p;
	int error;

	if (f3_conf_find_place(c, name))
		return 0;
	error = check_volume_name(name, source, err);
	if (error)
		return error;
	p = grow(&c->places, &c->n_places, sizeof(*p));
	if (!p)
		return f3_err_set(err, -ENOMEM, "out of memory");
	p->volume = strdup(name);
	p->source = strdup(source);
	if (p->volume && p->source)
		return 0;
	free(p->volume);
	free(p->source);
	c->n_places--;
	return f3_err_set(err, -ENOMEM, "out of memory");
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* Appends the elements of "a, b,c". */
static int append_list(const struct f3_conf_opt *opt, struct f3_conf_value *v, const char *text,
		       struct f3_err *err)
{
	char *copy = strdup(text), *rest = copy, *item;
	int error = 0;

	if (!copy)
		return f3_err_set(err, -ENOMEM, "out of memory");
	while (!error && (item = strsep(&rest, ",")) != NULL) {
		size_t len;
		uint64_t number;
		char *stored, **slot;

		item += strspn(item, " \t");
		len = strlen(item);
		while (len && (item[len - 1] == ' ' || item[len - 1] == '\t'))
			item[--len] = '\0';
		error = f3_conf_parse_value(opt, item, &number, &stored, err);
		if (error)
			break;
		slot = grow(&v->list, &v->n_list, sizeof(*slot));
		if (slot) {
			*slot = stored;
		} else {
			free(stored);
			error = f3_err_set(err, -ENOMEM, "out of memory");
		}
	}
	free(copy);
	return error;
}

static int put_value(const struct f3_conf_opt *opt, struct f3_conf_value *v, const char *text,
		     enum f3_conf_rank rank, const char *source, struct f3_err *err)
{
	bool list = f3_conf_is_list(opt);
	struct f3_conf_value fresh = { .rank = rank };
	uint64_t number = 0;
	int error;

	if (rank == F3_CONF_FILE && v->rank == F3_CONF_FILE && !list)
		return f3_err_set(err, -EINVAL, "%s is set already at %s", opt->key,
				  f3_conf_where(v->source));
	error = list ? append_list(opt, &fresh, text, err) :
		       f3_conf_parse_value(opt, text, &number, &fresh.text, err);
	fresh.number = number;
	if (!error && !(fresh.source = strdup(source)))
		error = f3_err_set(err, -ENOMEM, "out of memory");
	/* Also a value that a stronger source overrides has to be a good one. */
	if (error || rank < v->rank)
		goto drop;

	if (list && rank == v->rank) {
		for (size_t i = 0; i < fresh.n_list; i++) {
			char **slot = grow(&v->list, &v->n_list, sizeof(*slot));

			if (!slot) {
				error = f3_err_set(err, -ENOMEM, "out of memory");
				goto drop;
			}
			*slot = fresh.list[i];
			fresh.list[i] = NULL;
		}
		goto drop;
	}
	free(v->text);
	free(v->source);
	free_list(v->list, v->n_list);
	*v = fresh;
	return 0;
drop:
	free(fresh.text);
	free(fresh.source);
	free_list(fresh.list, fresh.n_list);
	return error;
}

/* What the file format has, but this version has not. */
static const struct {
	const char *section, *key; /* key NULL: the whole section */
	const char *reason;
} later[] = {
	{ "cluster", NULL, "several nodes are not in this build yet" },
};

int f3_conf_unknown(const char *kind, const char *key, const char *source, struct f3_err *err)
{
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (strcmp(kind, later[i].section) == 0 &&
		    (!later[i].key || (key && strcmp(key, later[i].key) == 0)))
			return f3_err_set(err, -EOPNOTSUPP, "%s: %s: %s", f3_conf_where(source),
					  later[i].key ? later[i].key : kind, later[i].reason);
	if (!key)
		return f3_err_set(err, -EINVAL,
				  "%s: unknown section [%.80s]; there are [f3], [metrics], "
				  "[volume NAME] and [placement NAME]",
				  f3_conf_where(source), kind);
	return f3_err_set(err, -EINVAL, "%s: there is no such option in [%.80s]: \"%.80s\"",
			  f3_conf_where(source), kind, key);
}

int f3_conf_put(struct f3_conf *c, const char *kind, const char *inst, const char *key,
		const char *value, enum f3_conf_rank rank, const char *source, struct f3_err *err)
{
	const struct f3_conf_opt *opt;
	struct f3_conf_section *s;
	struct f3_err reason;
	int error;

	opt = f3_conf_find_opt(kind, key);
	if (!opt) {
		bool known = f3_conf_find_section(c, kind, NULL) || strcmp(kind, "volume") == 0;

		return f3_conf_unknown(kind, known ? key : NULL, source, err);
	}
	if (inst) {
		error = f3_conf_make_volume(c, inst, source, err);
		if (error)
			return error;
	}
	s = f3_conf_find_section(c, kind, inst);
	assert(s);
	error = put_value(opt, f3_conf_value_of(s, opt), value, rank, source, &reason);
	if (error)
		return f3_err_set(err, error, "%s: %s", f3_conf_where(source), reason.text);
	return 0;
}

int f3_conf_put_rule(struct f3_conf *c, const char *volume, const char *pattern, const char *value,
		     const char *source, struct f3_err *err)
{
	struct f3_conf_rule *rule;
	struct f3_conf_place *p;
	int error = f3_conf_make_place(c, volume, source, err);

	if (error)
		return error;
	p = f3_conf_find_place(c, volume);
	for (size_t i = 0; i < p->n_rules; i++)
		if (strcmp(p->rules[i].pattern, pattern) == 0)
			return f3_err_set(err, -EINVAL,
					  "%s: pattern %.200s is there already, at %s: the second "
					  "rule would never match",
					  f3_conf_where(source), pattern,
					  f3_conf_where(p->rules[i].source));
	rule = grow(&p->rules, &p->n_rules, sizeof(*rule));
	if (!rule)
		return f3_err_set(err, -ENOMEM, "out of memory");
	rule->pattern = strdup(pattern);
	rule->value = strdup(value);
	rule->source = strdup(source);
	if (rule->pattern && rule->value && rule->source)
		return 0;
	free((char *)rule->pattern);
	free((char *)rule->value);
	free((char *)rule->source);
	p->n_rules--;
	return f3_err_set(err, -ENOMEM, "out of memory");
}

/* ---- The command line ------------------------------------------------------------------------ */

int f3_conf_set(struct f3_conf *c, const char *dotted_key, const char *value, const char *source,
		struct f3_err *err)
{
	const char *dot = strchr(dotted_key, '.'), *last = strrchr(dotted_key, '.');
	char *kind, *inst = NULL;
	int error;

	if (!dot)
		return f3_conf_put(c, "f3", NULL, dotted_key, value, F3_CONF_COMMAND, source, err);
	/* "volume.NAME.key": no key has a dot in it, a name may */
	kind = strndup(dotted_key, (size_t)(dot - dotted_key));
	if (kind && last > dot)
		inst = strndup(dot + 1, (size_t)(last - dot - 1));
	if (!kind || (last > dot && !inst))
		error = f3_err_set(err, -ENOMEM, "out of memory");
	else if ((inst != NULL) != (strcmp(kind, "volume") == 0))
		error = f3_err_set(err, -EINVAL,
				   "%s: \"%.200s\" is neither KEY, SECTION.KEY nor volume.NAME.KEY",
				   source, dotted_key);
	else
		error = f3_conf_put(c, kind, inst, last + 1, value, F3_CONF_COMMAND, source, err);
	free(kind);
	free(inst);
	return error;
}

int f3_conf_add_volume(struct f3_conf *c, const char *name, const char *url, const char *source,
		       struct f3_err *err)
{
	if (!url)
		return f3_conf_make_volume(c, name, source, err);
	return f3_conf_put(c, "volume", name, "url", url, F3_CONF_COMMAND, source, err);
}

/* ---- Values in force ------------------------------------------------------------------------- */

/* NULL for a volume that is not configured. */
static const struct f3_conf_value *value_in_force(const struct f3_conf *c, const char *section,
						  const char *inst, const char *key,
						  const struct f3_conf_opt **ret_opt)
{
	const struct f3_conf_section *s = f3_conf_find_section(c, section, inst);
	const struct f3_conf_opt *opt = f3_conf_find_opt(section, key);

	assert(opt && (s || inst));
	*ret_opt = opt;
	return s ? f3_conf_value_of(s, opt) : NULL;
}

const char *f3_conf_str(const struct f3_conf *c, const char *section, const char *inst,
			const char *key)
{
	const struct f3_conf_opt *opt;
	const struct f3_conf_value *v = value_in_force(c, section, inst, key, &opt);

	assert(!f3_conf_is_list(opt));
	return v ? v->text : opt->dflt;
}

uint64_t f3_conf_u64(const struct f3_conf *c, const char *section, const char *inst,
		     const char *key)
{
	const struct f3_conf_opt *opt;
	const struct f3_conf_value *v = value_in_force(c, section, inst, key, &opt);
	uint64_t number = 0;
	char *text = NULL;

	switch (opt->type) {
	case F3_CONF_STRING:
	case F3_CONF_PATH:
	case F3_CONF_URL:
	case F3_CONF_ADDRESS:
	case F3_CONF_UINT_LIST:
	case F3_CONF_NAME_LIST:
		assert(!"a type with a number");
		break;
	default:
		break;
	}
	if (v)
		return v->number;
	if (opt->dflt && f3_conf_parse_value(opt, opt->dflt, &number, &text, NULL) == 0)
		free(text);
	return number;
}

size_t f3_conf_list(const struct f3_conf *c, const char *section, const char *inst, const char *key,
		    const char *const **ret_values)
{
	const struct f3_conf_opt *opt;
	const struct f3_conf_value *v = value_in_force(c, section, inst, key, &opt);

	assert(f3_conf_is_list(opt));
	*ret_values = v ? (const char *const *)v->list : NULL;
	return v ? v->n_list : 0;
}

const char *f3_conf_source(const struct f3_conf *c, const char *section, const char *inst,
			   const char *key)
{
	const struct f3_conf_opt *opt;
	const struct f3_conf_value *v = value_in_force(c, section, inst, key, &opt);

	return v && v->source ? v->source : "default";
}

size_t f3_conf_volumes(const struct f3_conf *c, const char *const **ret_names)
{
	*ret_names = c->volumes;
	return c->n_volumes;
}

size_t f3_conf_rules(const struct f3_conf *c, const char *volume,
		     const struct f3_conf_rule **ret_rules)
{
	const struct f3_conf_place *p = f3_conf_find_place(c, volume);

	*ret_rules = p ? p->rules : NULL;
	return p ? p->n_rules : 0;
}
