/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a view, from JSON and into it: requests, records, answers.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/view.h"
#include "daemon/wire.h"
#include "hints/wire.h"

/* As much as a line can hold; how long it may be is looked at afterwards. */
#define PLACE_BYTES_MAX (2 * F3_HINT_LINE_MAX)

void f3_view_spec_done(struct f3_view_spec *spec)
{
	free(spec->name);
	free(spec->namespace_);
	free(spec->place);
	free(spec->container);
	*spec = (struct f3_view_spec){ .pid = 0 };
}

/* A short text without control characters; "" where there is none. */
static int get_text(const json_t *object, const char *key, char **ret_text, struct f3_err *err)
{
	const json_t *value = json_object_get(object, key);
	const char *text = value ? json_string_value(value) : "";
	size_t len = json_string_length(value);

	if (value && (!text || !len))
		return f3_err_set(err, -EINVAL, "\"%s\" is a text", key);
	if (len > F3_NAME_MAX)
		return f3_err_set(err, -ENAMETOOLONG, "\"%s\" has at most 255 bytes", key);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return f3_err_set(err, -EINVAL, "\"%s\" has a control character", key);
	*ret_text = strdup(text);
	return *ret_text ? 0 : f3_err_set(err, -ENOMEM, "out of memory");
}

static int get_needed(const json_t *object, const char *key, char **ret_text, struct f3_err *err)
{
	if (!json_object_get(object, key))
		return f3_err_set(err, -EINVAL, "\"%s\" is missing", key);
	return get_text(object, key, ret_text, err);
}

static int get_name(const json_t *request, char **ret_name, struct f3_err *err)
{
	int r = get_needed(request, "view", ret_name, err);

	if (!r && ((*ret_name)[0] == '.' || strchr(*ret_name, '/')))
		r = f3_err_set(err, -EINVAL,
			       "\"view\" is the name of a directory: without a slash, and without "
			       "a dot at its beginning");
	return r;
}

/* Slashes at its end, and all but one of several, go. */
static int tidy(const struct f3_buf *place, char **ret_place, struct f3_err *err)
{
	char *out = malloc(place->len + 1);
	size_t n = 0;

	if (!out)
		return f3_err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; i < place->len; i++) {
		char c = (char)place->data[i];

		if (c == '/' && (i + 1 == place->len || place->data[i + 1] == '/'))
			continue;
		out[n++] = c;
	}
	out[n] = '\0';
	*ret_place = out;
	return n < PATH_MAX ? 0 : f3_err_set(err, -ENAMETOOLONG, "\"path\" is too long");
}

static int get_place(const json_t *request, char **ret_place, struct f3_err *err)
{
	struct f3_buf place;
	int r;

	f3_buf_init(&place, PLACE_BYTES_MAX);
	r = f3_wire_get_place(request, &place, err);
	/* "//a": no volume */
	if (!r && (place.len < 2 || place.data[1] == '/'))
		r = f3_err_set(err, -EINVAL, "\"volume\" is missing");
	if (!r)
		r = tidy(&place, ret_place, err);
	f3_buf_done(&place);
	return r;
}

static int get_container(const json_t *container, struct f3_view_spec *spec, struct f3_err *err)
{
	const json_t *pid;
	int r;

	spec->container = strdup("");
	if (!spec->container)
		return f3_err_set(err, -ENOMEM, "out of memory");
	if (!container)
		return 0;
	if (!json_is_object(container))
		return f3_err_set(err, -EINVAL,
				  "\"container\" is an object with \"id\" and \"pid\"");
	if (json_object_get(container, "id")) {
		free(spec->container);
		spec->container = NULL;
		r = get_text(container, "id", &spec->container, err);
		if (r)
			return r;
	}
	pid = json_object_get(container, "pid");
	if (!pid)
		return 0;
	if (!json_is_integer(pid) || json_integer_value(pid) < 1 ||
	    json_integer_value(pid) > INT32_MAX)
		return f3_err_set(err, -EINVAL, "\"pid\" is the number of a process");
	spec->pid = (pid_t)json_integer_value(pid);
	return 0;
}

int f3_view_parse(const json_t *request, bool contract, struct f3_view_spec *ret_spec,
		  struct f3_err *err)
{
	const char *mode = json_string_value(json_object_get(request, "mode"));
	struct f3_view_spec spec = { .pid = 0 };
	int r = get_name(request, &spec.name, err);

	if (!r)
		r = (contract ? get_needed : get_text)(request, "namespace", &spec.namespace_, err);
	if (!r)
		r = get_place(request, &spec.place, err);
	if (!r && (!mode || (strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)))
		r = f3_err_set(err, -EINVAL, "\"mode\" is ro or rw");
	if (!r)
		r = get_container(json_object_get(request, "container"), &spec, err);
	if (r) {
		f3_view_spec_done(&spec);
		return r;
	}
	spec.read_only = !strcmp(mode, "ro");
	*ret_spec = spec;
	return 0;
}

int f3_view_describe(const struct f3_view_spec *spec, json_t *object)
{
	json_t *container = NULL;
	int r = json_object_set_new(object, "view", json_string(spec->name));

	if (spec->namespace_[0])
		r |= json_object_set_new(object, "namespace", json_string(spec->namespace_));
	r |= f3_wire_set_place(object, spec->place, strlen(spec->place));
	r |= json_object_set_new(object, "mode", json_string(spec->read_only ? "ro" : "rw"));
	if (spec->container[0] || spec->pid)
		container = json_object();
	if (spec->container[0])
		r |= json_object_set_new(container, "id", json_string(spec->container));
	if (spec->pid)
		r |= json_object_set_new(container, "pid", json_integer(spec->pid));
	if (container)
		r |= json_object_set_new(object, "container", container);
	return r ? -ENOMEM : 0;
}

int f3_view_op_bind(struct f3_views *vs, bool contract, const json_t *request, json_t *answer,
		    struct f3_err *err)
{
	struct f3_view_spec spec;
	char path[PATH_MAX];
	bool is_new = false, told = false;
	int r = f3_view_parse(request, contract, &spec, err);

	if (r)
		return r;
	r = f3_view_bind(vs, &spec, &is_new, &told, err);
	if (!r) {
		snprintf(path, sizeof(path), "%.*s/%s", PATH_MAX - F3_NAME_MAX - 2,
			 f3_views_dir(vs), spec.name);
		json_object_set_new(answer, "new", json_boolean(is_new));
		json_object_set_new(answer, "container_known", json_boolean(told));
		r = f3_wire_set_name(answer, "directory", path, strlen(path));
	}
	f3_view_spec_done(&spec);
	return r;
}

int f3_view_op_unbind(struct f3_views *vs, const json_t *request, json_t *answer,
		      struct f3_err *err)
{
	char *name = NULL;
	bool was = false;
	int r = get_name(request, &name, err);

	if (!r)
		r = f3_view_unbind(vs, name, &was, err);
	if (!r)
		json_object_set_new(answer, "was_bound", json_boolean(was));
	free(name);
	return r;
}
