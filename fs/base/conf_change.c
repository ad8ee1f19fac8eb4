/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration that has changed since the daemon has taken it: what differs, what can be taken
 * over, and what stays as the mount was made with.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/conf_impl.h"

/* ---- What belongs to the mount --------------------------------------------------------------- */

/* "section.key=value" and a NUL each; none of these options is of a volume or a list. */
void f3_conf_save_fixed(const struct f3_conf *c, struct f3_buf *out)
{
	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++) {
		const struct f3_conf_section *s = f3_conf_find_section(c, opt->section, NULL);
		const struct f3_conf_value *v = s ? f3_conf_value_of(s, opt) : NULL;

		if (opt->change != F3_CHANGE_START || !v)
			continue;
		f3_buf_printf(out, "%s.%s%s%s", opt->section, opt->key, v->text ? "=" : "",
			      v->text ? v->text : "");
		f3_buf_put_u8(out, '\0');
	}
}

static int fix_one(struct f3_conf *c, const char *item, struct f3_err *err)
{
	const char *dot = strchr(item, '.'), *equals = strchr(item, '=');
	char section[32], key[64];
	size_t n = dot ? (size_t)(dot - item) : 0, m;
	const struct f3_conf_opt *opt;
	struct f3_conf_value *v;

	if (!dot || n >= sizeof(section) || (equals && equals < dot))
		return f3_err_set(err, -EINVAL, "saved configuration: damaged");
	m = equals ? (size_t)(equals - dot) - 1 : strlen(dot + 1);
	if (m >= sizeof(key))
		return f3_err_set(err, -EINVAL, "saved configuration: damaged");
	memcpy(section, item, n);
	section[n] = '\0';
	memcpy(key, dot + 1, m);
	key[m] = '\0';
	opt = f3_conf_find_opt(section, key);
	if (!opt || !f3_conf_find_section(c, section, NULL))
		return f3_err_set(err, -EINVAL, "saved configuration: there is no %.40s here",
				  item);
	/* Unset is what has no default. */
	if (!equals && opt->dflt)
		return f3_err_set(err, -EINVAL, "saved configuration: %.40s has no value", item);
	v = f3_conf_value_of(f3_conf_find_section(c, section, NULL), opt);
	if (v->text && equals && !strcmp(v->text, equals + 1))
		return 0;
	if (equals)
		return f3_conf_put(c, section, NULL, key, equals + 1, F3_CONF_FIXED,
				   "the running mount", err);
	free(v->text);
	v->text = NULL;
	v->number = 0;
	return 0;
}

int f3_conf_fix(struct f3_conf *c, const void *bytes, size_t len, struct f3_err *err)
{
	const char *at = bytes, *end = at + len;
	int r = 0;

	while (at < end && !r) {
		const char *stop = memchr(at, '\0', (size_t)(end - at));

		if (!stop)
			return f3_err_set(err, -EINVAL, "saved configuration: damaged");
		r = fix_one(c, at, err);
		at = stop + 1;
	}
	return r;
}

/* ---- What differs ---------------------------------------------------------------------------- */

typedef void difference_fn(void *arg, const struct f3_conf_difference *d);

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same(const struct f3_conf_value *a, const struct f3_conf_value *b)
{
	if (a->n_list != b->n_list || !same_text(a->text, b->text))
		return false;
	for (size_t i = 0; i < a->n_list; i++)
		if (strcmp(a->list[i], b->list[i]))
			return false;
	return true;
}

static void compare_sections(const struct f3_conf_section *was, const struct f3_conf_section *now,
			     difference_fn *fn, void *arg)
{
	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++) {
		const struct f3_conf_value *a = f3_conf_value_of(was, opt);
		const struct f3_conf_value *b = f3_conf_value_of(now, opt);
		struct f3_conf_difference d = { was->kind, was->inst, opt->key,
						a->text,   b->text,   opt->change };

		if (!strcmp(opt->section, was->kind) && !same(a, b))
			fn(arg, &d);
	}
}

static bool same_rules(const struct f3_conf_place *a, const struct f3_conf_place *b)
{
	if (!a || !b || a->n_rules != b->n_rules)
		return a == b;
	for (size_t i = 0; i < a->n_rules; i++)
		if (strcmp(a->rules[i].pattern, b->rules[i].pattern) ||
		    strcmp(a->rules[i].value, b->rules[i].value))
			return false;
	return true;
}

void f3_conf_each_difference(const struct f3_conf *was, const struct f3_conf *now,
			     difference_fn *fn, void *arg)
{
	struct f3_conf_difference d = { .change = F3_CHANGE_UPGRADE };

	for (size_t i = 0; i < was->n_sections; i++) {
		const struct f3_conf_section *a = &was->sections[i];
		const struct f3_conf_section *b = f3_conf_find_section(now, a->kind, a->inst);

		if (b) {
			compare_sections(a, b, fn, arg);
			continue;
		}
		d.section = a->kind;
		d.inst = d.was = a->inst;
		fn(arg, &d);
	}
	d.was = NULL;
	for (size_t i = 0; i < now->n_sections; i++) {
		const struct f3_conf_section *b = &now->sections[i];

		if (f3_conf_find_section(was, b->kind, b->inst))
			continue;
		d.section = b->kind;
		d.inst = d.now = b->inst;
		fn(arg, &d);
	}
	d.section = "placement";
	for (size_t i = 0; i < was->n_places; i++) {
		const struct f3_conf_place *a = &was->places[i];

		d.inst = d.was = d.now = a->volume;
		if (!same_rules(a, f3_conf_find_place(now, a->volume)))
			fn(arg, &d);
	}
	for (size_t i = 0; i < now->n_places; i++) {
		d.inst = d.was = d.now = now->places[i].volume;
		if (!f3_conf_find_place(was, now->places[i].volume))
			fn(arg, &d);
	}
}

/* ---- What can be taken over ------------------------------------------------------------------ */

static int take_value(struct f3_conf_value *to, const struct f3_conf_value *from)
{
	char *text = from->text ? strdup(from->text) : NULL;
	char *source = from->source ? strdup(from->source) : NULL;

	if ((from->text && !text) || (from->source && !source)) {
		free(text);
		free(source);
		return -ENOMEM;
	}
	free(to->text);
	free(to->source);
	to->text = text;
	to->source = source;
	to->rank = from->rank;
	to->number = from->number;
	return 0;
}

int f3_conf_take_live(struct f3_conf *c, const struct f3_conf *now)
{
	int r = 0;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->n_sections && !r; i++) {
		const struct f3_conf_section *to = &c->sections[i];
		const struct f3_conf_section *from = f3_conf_find_section(now, to->kind, to->inst);

		for (const struct f3_conf_opt *opt = f3_conf_table; from && opt->section && !r;
		     opt++)
			if (opt->change == F3_CHANGE_LIVE && !strcmp(opt->section, to->kind))
				r = take_value(f3_conf_value_of(to, opt),
					       f3_conf_value_of(from, opt));
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}
