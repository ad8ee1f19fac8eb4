/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TEXT_BYTES_MAX (256u << 10)

static void put(const char *label, const struct f3_buf *text)
{
	printf("%-12s %.*s\n", label, (int)text->len, (const char *)text->data);
}

static const char *string(const json_t *a, const char *key)
{
	return json_string_value(json_object_get(a, key));
}

static bool is_file(const json_t *a)
{
	const char *type = string(a, "type");

	return type && !strcmp(type, "file");
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static void line_what(struct f3ctl *ctl, const json_t *a, struct f3_buf *b)
{
	f3ctl_item_path(ctl, a, b);
	printf("%.*s\n", (int)b->len, (const char *)b->data);
	f3_buf_reset(b);
	f3ctl_text(a, "type", b);
	f3_buf_printf(b, ", mode %s, owner %" PRIu64 ":%" PRIu64 ", inode %" PRIu64,
		      string(a, "mode") ? string(a, "mode") : "?", f3ctl_u64(a, "uid"),
		      f3ctl_u64(a, "gid"), f3ctl_u64(a, "ino"));
	if (is_file(a)) {
		f3_buf_printf(b, ", ");
		f3ctl_bytes(a, "size", b);
	} else if (string(a, "type") && !strcmp(string(a, "type"), "directory")) {
		f3_buf_printf(b, ", %" PRIu64 " names", f3ctl_u64(a, "size"));
	}
	put("what", b);
}

static void line_class(const json_t *a, struct f3_buf *b)
{
	const char *class_ = string(a, "class"), *source = string(a, "class_source");
	const json_t *stream = json_object_get(a, "stream");

	if (class_)
		f3_buf_printf(b, "%s (%s)", class_, source ? source : "?");
	else
		f3_buf_printf(b, "none of its own");
	if (json_is_boolean(stream))
		f3_buf_printf(b, ", stream %s", json_is_true(stream) ? "on" : "off");
	if (json_is_true(json_object_get(a, "pinned")))
		f3_buf_printf(b, ", pinned");
	put("class", b);
}

static void line_state(const json_t *a, struct f3_buf *b)
{
	const char *in_store = string(a, "in_store");

	f3ctl_text(a, "state", b);
	if (string(a, "failed")) {
		f3_buf_printf(b, ": ");
		f3ctl_text(a, "failed", b);
	}
	if (json_is_true(json_object_get(a, "torn")))
		f3_buf_printf(b, "; a writer was killed before it closed it");
	if (in_store)
		f3_buf_printf(b, "; in the store: %s",
			      strcmp(in_store, "attributes") ?
				      in_store :
				      "yes, but not its newest attributes");
	put("state", b);
}

static void line_here(const json_t *a, struct f3_buf *b)
{
	const json_t *extents = json_object_get(a, "extents"), *one;
	uint64_t n = f3ctl_u64(a, "extents_n");
	size_t i;

	f3ctl_bytes(a, "here_bytes", b);
	f3_buf_printf(b, " of ");
	f3ctl_bytes(a, "size", b);
	json_array_foreach(extents, i, one)
	{
		uint64_t off = (uint64_t)json_integer_value(json_array_get(one, 0));
		uint64_t len = (uint64_t)json_integer_value(json_array_get(one, 1));

		if (i == 8)
			break;
		f3_buf_printf(b, "%s%" PRIu64 "-%" PRIu64, i ? ", " : ": bytes ", off, off + len);
	}
	if (n > 8)
		f3_buf_printf(b, " and %" PRIu64 " more ranges", n - 8);
	put("here", b);
}

static void line_open(const json_t *a, struct f3_buf *b)
{
	uint64_t opens = f3ctl_u64(a, "opens");

	if (!opens)
		f3_buf_printf(b, "no");
	else
		f3_buf_printf(b, "%" PRIu64 " times, %" PRIu64 " for writing; ", opens,
			      f3ctl_u64(a, "writers"));
	if (opens)
		f3ctl_text(a, "open_mode", b);
	if (opens && string(a, "not_passthrough")) {
		f3_buf_printf(b, ", not passed through: ");
		f3ctl_text(a, "not_passthrough", b);
	}
	if (json_is_true(json_object_get(a, "mapped")))
		f3_buf_printf(b, "; a writable mapping lives");
	if (json_is_true(json_object_get(a, "held")))
		f3_buf_printf(b, "; no writer is left, and one may come again");
	put("open", b);
}

static void line_backing(const json_t *a, struct f3_buf *b)
{
	const json_t *backing = json_object_get(a, "backing");

	if (!json_is_object(backing)) {
		f3_buf_printf(b, "none");
	} else {
		f3ctl_text(backing, "path", b);
		f3_buf_printf(b, " (");
		f3ctl_text(backing, "filesystem", b);
		if (json_is_null(json_object_get(backing, "size"))) {
			f3_buf_printf(b, ", missing)");
		} else {
			f3_buf_printf(b, ", ");
			f3ctl_bytes(backing, "bytes", b);
			f3_buf_printf(b, " held)");
		}
	}
	put("backing file", b);
}

static void line_content(const json_t *a, struct f3_buf *b)
{
	f3ctl_text(a, "id", b);
	f3_buf_printf(b, ", generation %" PRIu64, f3ctl_u64(a, "generation"));
	if (string(a, "etag") && *string(a, "etag")) {
		f3_buf_printf(b, ", etag ");
		f3ctl_text(a, "etag", b);
	}
	put("content", b);
}

static void line_release(const json_t *a, struct f3_buf *b)
{
	const json_t *readers = json_object_get(a, "released_after"), *one;
	size_t i;

	if (!readers)
		return;
	json_array_foreach((json_t *)readers, i, one)
	{
		json_t *holder = json_pack("{sO}", "action", one);

		f3_buf_printf(b, i ? ", " : "after ");
		f3ctl_text(holder, "action", b);
		json_decref(holder);
	}
	if (string(a, "released_at"))
		f3_buf_printf(b, "%sat %s", i ? ", " : "", string(a, "released_at"));
	else if (f3ctl_u64(a, "lifetime"))
		f3_buf_printf(b, "%s%" PRIu64 " s after its activation", i ? ", " : "",
			      f3ctl_u64(a, "lifetime"));
	put("removed", b);
}

static void line_time(const json_t *a, struct f3_buf *b)
{
	time_t t = (time_t)json_number_value(json_object_get(a, "mtime"));
	char text[64];
	struct tm tm;

	if (localtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm))
		f3_buf_printf(b, "%s", text);
	put("modified", b);
}

static void show(struct f3ctl *ctl, const json_t *a)
{
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	line_what(ctl, a, &b);
	f3_buf_reset(&b);
	if (string(a, "target")) {
		f3ctl_text(a, "target", &b);
		put("leads to", &b);
		f3_buf_reset(&b);
	}
	line_class(a, &b);
	f3_buf_reset(&b);
	if (is_file(a)) {
		line_state(a, &b);
		f3_buf_reset(&b);
		line_here(a, &b);
		f3_buf_reset(&b);
		line_open(a, &b);
		f3_buf_reset(&b);
		line_backing(a, &b);
		f3_buf_reset(&b);
		line_content(a, &b);
		f3_buf_reset(&b);
		line_release(a, &b);
		f3_buf_reset(&b);
	}
	line_time(a, &b);
	f3_buf_done(&b);
}

int f3ctl_info(struct f3ctl *ctl, int argc, const char *const *argv)
{
	int code = F3CTL_OK;

	if (!argc)
		return f3ctl_usage(ctl, "a path is wanted");
	for (int i = 0; i < argc; i++) {
		json_t *request = f3ctl_request("info"), *answer = NULL;
		int one = f3ctl_place(ctl, argv[i], request);

		if (one)
			json_decref(request);
		else
			one = f3ctl_ask(ctl, request, NULL, NULL, &answer);
		if (one) {
			code = one;
		} else if (ctl->json) {
			f3ctl_print_json(answer);
		} else {
			if (i)
				putchar('\n');
			show(ctl, answer);
		}
		json_decref(answer);
		if (ctl->fd < 0)
			break;
	}
	return code;
}
