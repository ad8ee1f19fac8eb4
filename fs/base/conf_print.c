/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values in force, and the option table, as text.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "fs/base/conf_impl.h"
#include "fs/base/text.h"

/* ---- Values, as a file that says where each came from ---------------------------------------- */

static void put_text(struct f3_buf *out, const char *text)
{
	f3_text_escape(out, text, strlen(text), F3_ESCAPE_LINE);
}

static void put_line(struct f3_buf *out, const char *key, const char *value, const char *source)
{
	size_t from = out->len;

	put_text(out, key);
	f3_buf_printf(out, " = ");
	put_text(out, value);
	f3_buf_printf(out, "%*s# ", out->len - from < 38 ? (int)(40 - (out->len - from)) : 2, "");
	put_text(out, source);
	f3_buf_printf(out, "\n");
}

static void print_section(const struct f3_conf_section *s, struct f3_buf *out)
{
	f3_buf_printf(out, "[%s%s", s->kind, s->inst ? " " : "");
	put_text(out, s->inst ? s->inst : "");
	f3_buf_printf(out, "]\n");
	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++) {
		const struct f3_conf_value *v = f3_conf_value_of(s, opt);
		const char *source = v->source ? v->source : "default";

		if (strcmp(opt->section, s->kind) != 0)
			continue;
		if (v->text)
			put_line(out, opt->key, v->text, source);
		for (size_t i = 0; i < v->n_list; i++)
			put_line(out, opt->key, v->list[i], source);
	}
	f3_buf_printf(out, "\n");
}

static void print_text(const struct f3_conf *c, struct f3_buf *out)
{
	for (size_t i = 0; i < c->n_sections; i++)
		print_section(&c->sections[i], out);
	for (size_t i = 0; i < c->n_places; i++) {
		const struct f3_conf_place *p = &c->places[i];

		f3_buf_printf(out, "[placement ");
		put_text(out, p->volume);
		f3_buf_printf(out, "]\n");
		for (size_t k = 0; k < p->n_rules; k++)
			put_line(out, p->rules[k].pattern, p->rules[k].value, p->rules[k].source);
		f3_buf_printf(out, "\n");
	}
}

/* ---- Values as JSON -------------------------------------------------------------------------- */

/* JSON has no bytes: what is not UTF-8 is shown escaped. */
static json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	struct f3_buf b;

	if (json)
		return json;
	f3_buf_init(&b, 1u << 20);
	put_text(&b, text);
	if (!b.error)
		json = json_stringn((const char *)b.data, b.len);
	f3_buf_done(&b);
	return json;
}

static json_t *json_value(const struct f3_conf_opt *opt, const struct f3_conf_value *v)
{
	json_t *value;

	if (f3_conf_is_list(opt)) {
		value = json_array();
		for (size_t i = 0; i < v->n_list; i++)
			json_array_append_new(value, json_text(v->list[i]));
	} else {
		value = v->text ? json_text(v->text) : json_null();
	}
	return json_pack("{so so}", "value", value, "source",
			 json_text(v->source ? v->source : "default"));
}

static json_t *json_section(const struct f3_conf_section *s)
{
	json_t *json = json_object();

	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++)
		if (strcmp(opt->section, s->kind) == 0)
			json_object_set_new(json, opt->key,
					    json_value(opt, f3_conf_value_of(s, opt)));
	return json;
}

static json_t *json_rules(const struct f3_conf_place *p)
{
	json_t *json = json_array();

	for (size_t i = 0; i < p->n_rules; i++)
		json_array_append_new(json, json_pack("{so so so}", "pattern",
						      json_text(p->rules[i].pattern), "class",
						      json_text(p->rules[i].value), "source",
						      json_text(p->rules[i].source)));
	return json;
}

/* A volume's name need not be UTF-8 either. */
static void set_named(json_t *object, const char *name, json_t *value)
{
	json_t *key = json_text(name);

	if (key)
		json_object_set_new(object, json_string_value(key), value);
	else
		json_decref(value);
	json_decref(key);
}

static int append(const char *bytes, size_t len, void *out)
{
	f3_buf_put(out, bytes, len);
	return 0;
}

static void print_json(const struct f3_conf *c, struct f3_buf *out)
{
	json_t *json = json_object(), *volumes = json_object(), *places = json_object();

	for (size_t i = 0; i < c->n_sections; i++) {
		const struct f3_conf_section *s = &c->sections[i];

		set_named(s->inst ? volumes : json, s->inst ? s->inst : s->kind, json_section(s));
	}
	for (size_t i = 0; i < c->n_places; i++)
		set_named(places, c->places[i].volume, json_rules(&c->places[i]));
	json_object_set_new(json, "volume", volumes);
	json_object_set_new(json, "placement", places);
	if (json_dump_callback(json, append, out, JSON_INDENT(2)) && !out->error)
		out->error = -ENOMEM;
	f3_buf_printf(out, "\n");
	json_decref(json);
}

void f3_conf_print(const struct f3_conf *c, bool json, struct f3_buf *out)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&c->lock;

	pthread_mutex_lock(lock);
	if (json)
		print_json(c, out);
	else
		print_text(c, out);
	pthread_mutex_unlock(lock);
}

/* ---- The table ------------------------------------------------------------------------------- */

static const char *heading(const char *section)
{
	return strcmp(section, "volume") == 0 ? "volume NAME" : section;
}

static const char *argument(const struct f3_conf_opt *opt)
{
	if (opt->choices)
		return opt->choices;
	return opt->type == F3_CONF_BOOL ? "yes|no" : opt->arg;
}

static void help_text(const struct f3_conf_opt *opt, struct f3_buf *out)
{
	size_t from = out->len, width;

	f3_buf_printf(out, "  %s=%s", opt->key, argument(opt));
	width = out->len - from;
	if (width > 28)
		f3_buf_printf(out, "\n%30s", "");
	else
		f3_buf_printf(out, "%*s", (int)(30 - width), "");
	f3_buf_printf(out, "%s", opt->help);
	if (opt->dflt)
		f3_buf_printf(out, " [%s]", opt->dflt);
	f3_buf_printf(out, "%s\n",
		      opt->change == F3_CHANGE_LIVE  ? " (reload)" :
		      opt->change == F3_CHANGE_START ? " (start)" :
						       "");
}

/* Running text, each sentence on a line of its own; nothing in it is taken for a request. */
static void put_roff(struct f3_buf *out, const char *text)
{
	for (const char *from = text; *text; text++) {
		if (text == from && (*text == '.' || *text == '\''))
			f3_buf_printf(out, "\\&");
		if (*text == '\\')
			f3_buf_printf(out, "\\e");
		else if (*text == '-')
			f3_buf_printf(out, "\\-");
		else if (*text == ' ' && text > from && text[-1] == '.')
			f3_buf_printf(out, "\n");
		else
			f3_buf_put(out, text, 1);
	}
}

/* A sentence of the table, which begins small and has no full stop. */
static void put_sentence(struct f3_buf *out, const char *text)
{
	char first[2] = { (char)toupper((unsigned char)text[0]), '\0' };

	put_roff(out, first);
	put_roff(out, text + 1);
	f3_buf_printf(out, ".\n");
}

static void help_mdoc(const struct f3_conf_opt *opt, struct f3_buf *out)
{
	f3_buf_printf(out, ".It Ic ");
	put_roff(out, opt->key);
	f3_buf_printf(out, " = Ar ");
	/* as one argument: '|' is a delimiter to mdoc */
	f3_buf_printf(out, "\"");
	put_roff(out, argument(opt));
	f3_buf_printf(out, "\"\n");
	put_sentence(out, opt->help);
	if (opt->more) {
		put_roff(out, opt->more);
		f3_buf_printf(out, "\n");
	}
	if (f3_conf_is_list(opt))
		f3_buf_printf(out, "Several values are separated by commas.\n");
	f3_buf_printf(out, "%s\n",
		      opt->change == F3_CHANGE_LIVE ? "A change counts after f3ctl reload." :
		      opt->change == F3_CHANGE_START ?
						      "A change counts when f3d is started again." :
						      "A change counts after f3ctl upgrade.");
	if (opt->dflt) {
		f3_buf_printf(out, "Default:\n.Li ");
		put_roff(out, opt->dflt);
		f3_buf_printf(out, " .\n");
	}
}

void f3_conf_print_help(bool mdoc, struct f3_buf *out)
{
	const char *section = "";

	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++) {
		if (strcmp(section, opt->section) != 0) {
			if (mdoc)
				f3_buf_printf(out, "%s.Ss [%s]\n.Bl -tag -width Ds\n",
					      *section ? ".El\n" : "", heading(opt->section));
			else
				f3_buf_printf(out, "%s[%s]\n", *section ? "\n" : "",
					      heading(opt->section));
			section = opt->section;
		}
		if (mdoc)
			help_mdoc(opt, out);
		else
			help_text(opt, out);
	}
	if (mdoc)
		f3_buf_printf(out, ".El\n");
}
