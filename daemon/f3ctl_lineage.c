/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl lineage: as a tree, as items, or as PROV-JSON (the W3C's member submission of that name: a
 * content of a file is an entity, an activation an activity, its action and namespace are agents).
 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX (256u << 10)

static int up, down, prov, depth, generation;

const struct poptOption f3ctl_lineage_options[] = {
	{ "up", 'u', POPT_ARG_NONE, &up, 0, "what it was made of", NULL },
	{ "down", 'd', POPT_ARG_NONE, &down, 0, "what was made of it", NULL },
	{ "depth", 'n', POPT_ARG_INT, &depth, 0, "so many activations far (default 16)", "N" },
	{ "generation", 'g', POPT_ARG_INT, &generation, 0, "an earlier content of the file", "N" },
	{ "prov", 'p', POPT_ARG_NONE, &prov, 0, "print a PROV-JSON document", NULL },
	POPT_TABLEEND,
};

struct lineage {
	struct f3ctl *ctl;
	json_t *acts; /* by id */
	/* Edges by "direction content", and by "direction activation". */
	json_t *by_content, *by_act;
	json_t *all; /* edges */
};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void append(json_t *index, char way, const char *key, json_t *edge)
{
	size_t len = strlen(key) + 2;
	char *k = malloc(len);
	json_t *list;

	if (!k)
		return;
	snprintf(k, len, "%c%s", way, key);
	list = json_object_get(index, k);
	if (!list) {
		list = json_array();
		json_object_set_new(index, k, list);
	}
	json_array_append(list, edge);
	free(k);
}

static json_t *look_up(const json_t *index, char way, const char *key)
{
	size_t len = strlen(key) + 2;
	char *k = malloc(len);
	json_t *list;

	if (!k)
		return NULL;
	snprintf(k, len, "%c%s", way, key);
	list = json_object_get(index, k);
	free(k);
	return list;
}

static void content(const json_t *o, const char *file, const char *gen, char out[64])
{
	snprintf(out, 64, "%.32s/%" PRIu64, text(o, file), f3ctl_u64(o, gen));
}

static int take_item(void *arg, const char *key, json_t *one)
{
	struct lineage *l = arg;
	const char *kind = text(one, "edge");
	char way = *text(one, "direction"), is[64], was[64];

	if (strcmp(key, "item") != 0)
		return 0;
	if (l->ctl->json && !prov) {
		f3ctl_print_json(one);
		return 0;
	}
	if (!*kind) {
		json_object_set(l->acts, text(one, "activation"), one);
		return 0;
	}
	json_array_append(l->all, one);
	content(one, "file", "generation", is);
	content(one, "from_file", "from_generation", was);
	append(l->by_act, way, text(one, "activation"), one);
	if (way == 'u' && strcmp(kind, "used") != 0)
		append(l->by_content, way, is, one);
	else if (way == 'd' && !strcmp(kind, "used"))
		append(l->by_content, way, is, one);
	if (way == 'd' && json_object_get(one, "from_file"))
		append(l->by_content, way, was, one);
	return 0;
}

/* ---- A tree ---------------------------------------------------------------------------------- */

static void indent(unsigned level)
{
	printf("%*s", (int)(2 * level), "");
}

static void print_content(struct lineage *l, const json_t *o, const char *before)
{
	struct f3_buf path;

	f3_buf_init(&path, TEXT_BYTES_MAX);
	if (json_object_get(o, "volume") && *text(o, "path") == '/')
		f3ctl_item_path(l->ctl, o, &path);
	else
		f3ctl_text(o, "path", &path);
	printf("%s%.*s generation %" PRIu64, before, (int)path.len, (const char *)path.data,
	       f3ctl_u64(o, "generation"));
	f3_buf_done(&path);
}

static void print_act(struct lineage *l, const char *before, const json_t *edge)
{
	static const char *const keys[] = { "action", "version", "namespace", "state" };
	static const char *const words[] = { ", ", " ", " of ", ", " };
	const json_t *act = json_object_get(l->acts, text(edge, "activation"));
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	f3ctl_text(edge, "activation", &b);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!json_object_get(act, keys[i]))
			continue;
		f3_buf_printf(&b, "%s", words[i]);
		f3ctl_text(act, keys[i], &b);
	}
	printf("%s%.*s (%s)\n", before, (int)b.len, (const char *)b.data, text(edge, "when"));
	f3_buf_done(&b);
}

static void print_tree(struct lineage *l, char way, const char *of, unsigned level, json_t *seen);

/* What is on the other side of the activation. */
static void print_beyond(struct lineage *l, char way, const json_t *edge, unsigned level,
			 json_t *seen)
{
	const char *act = text(edge, "activation"), *wanted = way == 'u' ? "used" : "generated";
	json_t *list = look_up(l->by_act, way, act), *one;
	char is[64];
	size_t i;

	if (json_object_get(seen, act)) {
		indent(level);
		printf("(see above)\n");
		return;
	}
	json_object_set_new(seen, act, json_true());
	json_array_foreach(list, i, one)
	{
		if (strcmp(text(one, "edge"), wanted) != 0)
			continue;
		content(one, "file", "generation", is);
		indent(level);
		print_content(l, one, way == 'u' ? "read " : "wrote ");
		printf("\n");
		print_tree(l, way, is, level + 1, seen);
	}
}

static void print_tree(struct lineage *l, char way, const char *of, unsigned level, json_t *seen)
{
	json_t *list = look_up(l->by_content, way, of), *one;
	char is[64], was[64];
	size_t i;

	if (json_object_get(seen, of))
		return;
	json_object_set_new(seen, of, json_true());
	json_array_foreach(list, i, one)
	{
		const char *kind = text(one, "edge");
		bool used = !strcmp(kind, "used"), other = json_object_get(one, "from_file");

		content(one, "file", "generation", is);
		content(one, "from_file", "from_generation", was);
		if (used || (way == 'u' && !strcmp(kind, "generated"))) {
			indent(level);
			print_act(l, used ? "read by " : "written by ", one);
			print_beyond(l, way, one, level + 1, seen);
		}
		if (used || !other)
			continue;
		indent(level);
		if (way == 'u')
			printf("%s generation %" PRIu64 "\n",
			       !strcmp(kind, "became") ? "renamed, was" : "goes on from",
			       f3ctl_u64(one, "from_generation"));
		else
			print_content(l, one,
				      !strcmp(kind, "became") ? "renamed, is " : "goes on in ");
		if (way == 'd')
			printf("\n");
		print_tree(l, way, way == 'u' ? was : is, level + 1, seen);
	}
}

static void print_people(struct lineage *l, const json_t *answer)
{
	char of[64];

	content(answer, "file", "generation", of);
	print_content(l, answer, "");
	printf("\n");
	for (int i = 0; i < 2; i++) {
		char way = i ? 'd' : 'u';
		json_t *seen = json_object();

		if (i ? down || !up : up || !down) {
			printf(i ? "what was made of it:\n" : "what it was made of:\n");
			if (!look_up(l->by_content, way, of))
				printf("  nothing is known\n");
			print_tree(l, way, of, 1, seen);
		}
		json_decref(seen);
	}
	if (json_is_true(json_object_get(answer, "truncated")))
		printf("there is more: see --depth\n");
}

/* ---- PROV-JSON ------------------------------------------------------------------------------- */

/* "f3:KIND/NAME", what is no letter or digit escaped as in URLs: a qualified name. */
static char *qualified(const char *kind, const char *name)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
	size_t size = strlen(kind) + 3 * strlen(name) + 8;
	char *out = malloc(size);
	size_t len;

	if (!out)
		return NULL;
	len = (size_t)snprintf(out, size, "f3:%s/", kind);
	for (; *name; name++) {
		if (strchr(plain, *name))
			out[len++] = *name;
		else
			len += (size_t)snprintf(out + len, size - len, "%%%02X",
						(unsigned)(unsigned char)*name);
	}
	out[len] = '\0';
	return out;
}

static json_t *section(json_t *doc, const char *name)
{
	json_t *s = json_object_get(doc, name);

	if (!s) {
		s = json_object();
		json_object_set_new(doc, name, s);
	}
	return s;
}

/* Relations have no names of their own. */
static void relate(json_t *doc, const char *relation, json_t *members)
{
	json_t *s = section(doc, relation);
	char id[64];

	snprintf(id, sizeof(id), "_:%s%zu", relation, json_object_size(s) + 1);
	json_object_set_new(s, id, members);
}

static json_t *typed(const char *value, const char *type)
{
	return json_pack("{ss ss}", "$", value, "type", type);
}

static char *entity(json_t *doc, const json_t *o, const char *file, const char *gen, bool placed)
{
	json_t *all = section(doc, "entity"), *e;
	char id[64], number[24];
	char *name;

	snprintf(number, sizeof(number), "%" PRIu64, f3ctl_u64(o, gen));
	snprintf(id, sizeof(id), "%.32s_%s", text(o, file), number);
	name = qualified("content", id);
	if (!name)
		return NULL;
	e = json_object_get(all, name);
	if (!e) {
		e = json_object();
		json_object_set_new(e, "f3:file", json_string(text(o, file)));
		json_object_set_new(e, "f3:generation", typed(number, "xsd:unsignedLong"));
		json_object_set_new(all, name, e);
	}
	if (placed && *text(o, "path") && !json_object_get(e, "f3:path")) {
		json_object_set_new(e, "prov:label", json_string(text(o, "path")));
		json_object_set_new(e, "f3:path", json_string(text(o, "path")));
		if (*text(o, "volume"))
			json_object_set_new(e, "f3:volume", json_string(text(o, "volume")));
	}
	return name;
}

static char *agent(json_t *doc, const char *kind, const char *name, const char *type)
{
	char *id = qualified(kind, name);

	if (id && !json_object_get(section(doc, "agent"), id)) {
		json_t *a = json_pack("{ss}", "prov:label", name);

		json_object_set_new(a, "prov:type", typed(type, "prov:QUALIFIED_NAME"));
		json_object_set_new(section(doc, "agent"), id, a);
	}
	return id;
}

static void add_time(json_t *to, const char *key, const json_t *from, const char *what)
{
	if (json_is_string(json_object_get(from, what)))
		json_object_set(to, key, json_object_get(from, what));
}

static void add_activity(json_t *doc, const char *id, const json_t *act)
{
	json_t *a = json_pack("{ss}", "f3:activation", id);
	char *name = qualified("activation", id);
	char *action = agent(doc, "action", text(act, "action"), "prov:SoftwareAgent");
	char *ns = agent(doc, "namespace", text(act, "namespace"), "prov:Organization");

	add_time(a, "prov:startTime", act, "begun");
	add_time(a, "prov:endTime", act, "ended");
	json_object_set_new(a, "f3:state", json_string(text(act, "state")));
	if (*text(act, "version"))
		json_object_set_new(a, "f3:version", json_string(text(act, "version")));
	if (name && action && ns) {
		json_object_set(section(doc, "activity"), name, a);
		relate(doc, "wasAssociatedWith",
		       json_pack("{ss ss}", "prov:activity", name, "prov:agent", action));
		relate(doc, "actedOnBehalfOf",
		       json_pack("{ss ss ss}", "prov:delegate", action, "prov:responsible", ns,
				 "prov:activity", name));
	}
	json_decref(a);
	free(name);
	free(action);
	free(ns);
}

static void add_edge(json_t *doc, const json_t *edge)
{
	const char *kind = text(edge, "edge");
	char *is = entity(doc, edge, "file", "generation", true), *was = NULL;
	char *act = qualified("activation", text(edge, "activation"));
	json_t *one;

	if (json_object_get(edge, "from_file"))
		was = entity(doc, edge, "from_file", "from_generation", false);
	if (!is || !act)
		goto out;
	if (strcmp(kind, "became") != 0) {
		one = json_pack("{ss ss}", "prov:activity", act, "prov:entity", is);
		add_time(one, "prov:time", edge, "when");
		relate(doc, !strcmp(kind, "used") ? "used" : "wasGeneratedBy", one);
	} else if (was) {
		/* The same bytes under another name. */
		relate(doc, "alternateOf",
		       json_pack("{ss ss}", "prov:alternate1", is, "prov:alternate2", was));
	}
	/* A file that was written into goes on from what it was. That an activation read one file and
	 * wrote another says nothing of the kind. */
	if (was && !strcmp(kind, "generated"))
		relate(doc, "wasDerivedFrom",
		       json_pack("{ss ss ss}", "prov:generatedEntity", is, "prov:usedEntity", was,
				 "prov:activity", act));
out:
	free(is);
	free(was);
	free(act);
}

static int print_prov(struct lineage *l, const json_t *answer)
{
	json_t *doc = json_object(), *told = json_object(), *one;
	const char *id;
	char key[64];
	size_t i;

	json_object_set_new(doc, "prefix",
			    json_pack("{ss ss ss}", "f3", "urn:f3:", "prov",
				      "http://www.w3.org/ns/prov#", "xsd",
				      "http://www.w3.org/2001/XMLSchema#"));
	free(entity(doc, answer, "file", "generation", true));
	json_object_foreach(l->acts, id, one)
	{
		add_activity(doc, id, one);
	}
	/* Both ways may have come to the same one. */
	json_array_foreach(l->all, i, one)
	{
		char *whole;

		content(one, "file", "generation", key);
		whole = malloc(strlen(text(one, "activation")) + 80);
		if (!whole)
			continue;
		snprintf(whole, strlen(text(one, "activation")) + 80, "%s %.1s %s", key,
			 text(one, "edge"), text(one, "activation"));
		if (!json_object_get(told, whole)) {
			json_object_set_new(told, whole, json_true());
			add_edge(doc, one);
		}
		free(whole);
	}
	f3ctl_print_json(doc);
	json_decref(told);
	json_decref(doc);
	return F3CTL_OK;
}

int f3ctl_lineage(struct f3ctl *ctl, int argc, const char *const *argv)
{
	struct lineage l = { .ctl = ctl };
	json_t *request, *answer = NULL;
	int code;

	if (argc != 1)
		return f3ctl_usage(ctl, "one path is wanted");
	if (depth < 0 || generation < 0)
		return f3ctl_usage(ctl, "there is no such %s", depth < 0 ? "depth" : "generation");
	request = f3ctl_request("lineage");
	json_object_set_new(request, "up", json_boolean(up));
	json_object_set_new(request, "down", json_boolean(down));
	if (depth)
		json_object_set_new(request, "depth", json_integer(depth));
	if (generation)
		json_object_set_new(request, "generation", json_integer(generation));
	code = f3ctl_place(ctl, argv[0], request);
	if (code) {
		json_decref(request);
		return code;
	}
	l.acts = json_object();
	l.by_content = json_object();
	l.by_act = json_object();
	l.all = json_array();
	code = f3ctl_ask(ctl, request, take_item, &l, &answer);
	if (!code && prov)
		code = print_prov(&l, answer);
	else if (!code && ctl->json)
		f3ctl_print_json(answer);
	else if (!code)
		print_people(&l, answer);
	json_decref(answer);
	json_decref(l.acts);
	json_decref(l.by_content);
	json_decref(l.by_act);
	json_decref(l.all);
	return code;
}
