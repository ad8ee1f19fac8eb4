/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of others: configuration files, what is kept of them for the next process, requests of the
 * control socket, generations.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/args.h"
#include "daemon/wire.h"
#include "fs/base/conf.h"
#include "fs/meta/record.h"
#include "fs/object/object.h"
#include "hints/wire.h"
#include "tests/fuzz/hostile.h"

static size_t good_text(uint8_t *out, const char *text)
{
	size_t len = strlen(text);

	memcpy(out, text, len);
	return len;
}

/* ---- Configuration --------------------------------------------------------------------------- */

static const char conf_text[] = "# one of everything\n"
				"[f3]\n"
				"mountpoint = /mnt/f3\n"
				"cache = /var/lib/f3\n"
				"cache-size = 200G\n"
				"memory-limit = 256M\n"
				"allow-other = off\n"
				"control-uid = 1000, 1001\n"
				"transport = classic\n"
				"on-failure = abort\n"
				"failure-wait = 90s\n"
				"slow-operation = 250ms\n"
				"[volume photos]   # the first one\n"
				"url = file:///srv/f3/photos\n"
				"default-class = durable\n"
				"uid = 12\n"
				"mode = 0750\n"
				"quota = 50GB\n"
				"[volume data]\n"
				"[placement photos]\n"
				"/scratch/** = ephemeral\n"
				"*.tmp = ephemeral stream\n"
				"[metrics]\n"
				"listen = [::1]:9333\n";

static size_t good_conf(struct hostile_rng *rng, uint8_t *out)
{
	(void)rng;
	return good_text(out, conf_text);
}

static bool path_ok(const char *path)
{
	size_t len = path ? strlen(path) : 0;

	return !path || (path[0] == '/' && !strstr(path, "/../") && !strstr(path, "//") &&
			 (len < 3 || strcmp(path + len - 3, "/..") != 0));
}

/* What the table says of an option, looked at from outside. */
static bool in_bounds(const struct f3_conf *c, const struct f3_conf_opt *opt, const char *inst)
{
	const char *text;
	uint64_t v;

	switch (opt->type) {
	case F3_CONF_PATH:
		return path_ok(f3_conf_str(c, opt->section, inst, opt->key));
	case F3_CONF_URL:
		text = f3_conf_str(c, opt->section, inst, opt->key);
		return !text || (!strncmp(text, "file:///", 8) && path_ok(text + 7));
	case F3_CONF_BYTES:
	case F3_CONF_DURATION:
	case F3_CONF_UINT:
		v = f3_conf_u64(c, opt->section, inst, opt->key);
		return !f3_conf_str(c, opt->section, inst, opt->key) ||
		       ((!opt->max || v <= opt->max) && v >= opt->min);
	case F3_CONF_MODE:
		return f3_conf_u64(c, opt->section, inst, opt->key) <= 07777;
	default:
		return true;
	}
}

static bool conf_ok(const struct f3_conf *c)
{
	const char *const *names;
	size_t n = f3_conf_volumes(c, &names);

	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++) {
		bool ok = true;

		if (strcmp(opt->section, "volume") != 0)
			ok = in_bounds(c, opt, NULL);
		for (size_t i = 0; i < n && !strcmp(opt->section, "volume"); i++)
			ok = ok && in_bounds(c, opt, names[i]);
		if (!ok) {
			hostile_why("%s.%s is out of bounds", opt->section, opt->key);
			return false;
		}
	}
	for (size_t i = 0; i < n; i++) {
		const struct f3_conf_rule *rules;
		size_t k = f3_conf_rules(c, names[i], &rules);

		if (!names[i][0] || strchr(names[i], '/') || strlen(names[i]) > F3_NAME_MAX ||
		    !strcmp(names[i], ".") || !strcmp(names[i], "..")) {
			hostile_why("a volume is called \"%s\"", names[i]);
			return false;
		}
		for (size_t j = 0; j < k; j++)
			if (!rules[j].pattern[0] || !rules[j].value[0])
				return false;
	}
	if (!f3_conf_str(c, "f3", NULL, "mountpoint")) {
		hostile_why("without a mountpoint");
		return false;
	}
	return true;
}

static enum hostile_verdict judge_conf(const struct f3_conf *c, int r, const struct f3_err *err)
{
	struct f3_buf text;
	bool ok;

	if (r) {
		if (err->code == r && err->text[0])
			return HOSTILE_REFUSED;
		hostile_why("refused without a reason");
		return HOSTILE_WRONG;
	}
	f3_buf_init(&text, 1u << 20);
	f3_conf_print(c, false, &text);
	f3_conf_print(c, true, &text);
	ok = !text.error && conf_ok(c);
	f3_buf_done(&text);
	return ok ? HOSTILE_TAKEN : HOSTILE_WRONG;
}

static enum hostile_verdict take_conf(const uint8_t *bytes, size_t len)
{
	struct f3_err err = F3_ERR_INIT;
	enum hostile_verdict v;
	struct f3_conf *c;
	int r;

	if (f3_conf_new(&c))
		abort();
	r = f3_conf_load_text(c, (const char *)bytes, len, "/etc/f3/f3.conf", &err);
	if (!r)
		r = f3_conf_check(c, &err);
	v = judge_conf(c, r, &err);
	f3_conf_free(c);
	return v;
}

/* The name of the file, NUL, its text: as it is kept for the next process. */
static size_t good_snapshot(struct hostile_rng *rng, uint8_t *out)
{
	static const char path[] = "/etc/f3/f3.conf";

	memcpy(out, path, sizeof(path));
	return sizeof(path) + good_conf(rng, out + sizeof(path));
}

static enum hostile_verdict take_snapshot(const uint8_t *bytes, size_t len)
{
	struct f3_args args = { .mountpoint = (char *)"/mnt/f3" };
	struct f3_err err = F3_ERR_INIT;
	enum hostile_verdict v;
	struct f3_conf *c;
	int fd = memfd_create("snapshot", MFD_CLOEXEC), r;

	if (fd < 0 || f3_conf_new(&c) || write(fd, bytes, len) != (ssize_t)len)
		abort();
	r = f3_args_load(&args, fd, c, NULL, &err);
	v = judge_conf(c, r, &err);
	f3_conf_free(c);
	close(fd);
	return v;
}

static size_t good_fixed(struct hostile_rng *rng, uint8_t *out)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_buf fixed;
	struct f3_conf *c;
	size_t len;

	(void)rng;
	if (f3_conf_new(&c) ||
	    f3_conf_load_text(c, conf_text, strlen(conf_text), "/etc/f3/f3.conf", &err))
		abort();
	f3_buf_init(&fixed, HOSTILE_MAX);
	f3_conf_save_fixed(c, &fixed);
	len = fixed.len;
	memcpy(out, fixed.data, len);
	f3_buf_done(&fixed);
	f3_conf_free(c);
	return len;
}

static enum hostile_verdict take_fixed(const uint8_t *bytes, size_t len)
{
	struct f3_err err = F3_ERR_INIT;
	enum hostile_verdict v;
	struct f3_conf *c;
	int r;

	if (f3_conf_new(&c) ||
	    f3_conf_load_text(c, conf_text, strlen(conf_text), "/etc/f3/f3.conf", &err))
		abort();
	r = f3_conf_fix(c, bytes, len, &err);
	if (!r)
		r = f3_conf_check(c, &err);
	v = judge_conf(c, r, &err);
	f3_conf_free(c);
	return v;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static size_t good_place(struct hostile_rng *rng, uint8_t *out)
{
	static const char *const places[] = {
		"{\"op\":\"info\",\"volume\":\"photos\",\"path\":\"/a/b.jpg\"}",
		"{\"op\":\"info\",\"path\":\"/\"}",
		"{\"volume_hex\":\"70686f746f73\",\"path_hex\":\"2f61ff\"}",
		"{\"volume\":\"v\",\"path\":\"/a\",\"path_hex\":\"2f2e2f61\"}",
	};

	return good_text(out, places[hostile_below(rng, 4)]);
}

static bool place_ok(const char *path, size_t len)
{
	const char *at = path, *end = path + len;

	if (!len || *path != '/' || memchr(path, 0, len))
		return false;
	while (at < end) {
		const char *stop = memchr(at, '/', (size_t)(end - at));
		size_t n = (size_t)((stop ? stop : end) - at);

		if ((n == 1 && *at == '.') || (n == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		at += n + 1;
	}
	return true;
}

static enum hostile_verdict take_place(const uint8_t *bytes, size_t len)
{
	json_t *request = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, NULL);
	struct f3_err err = F3_ERR_INIT;
	enum hostile_verdict v = HOSTILE_REFUSED;
	struct f3_buf place;
	int r;

	if (!request)
		return v;
	f3_buf_init(&place, F3_WIRE_ANSWER_MAX);
	r = f3_wire_get_place(request, &place, &err);
	if (!r) {
		v = place_ok((const char *)place.data, place.len) ? HOSTILE_TAKEN : HOSTILE_WRONG;
		hostile_why("the path is not one");
	} else if (!err.text[0]) {
		v = HOSTILE_WRONG;
		hostile_why("refused without a reason");
	}
	f3_buf_done(&place);
	json_decref(request);
	return v;
}

static size_t good_hint(struct hostile_rng *rng, uint8_t *out)
{
	static const char *const hints[] = {
		"{\"op\":\"hello\",\"version\":1,\"id\":7}\n",
		"{\"op\":\"locate\",\"volume\":\"photos\",\"paths\":[\"/in/a.jpg\",\"/b\"]}\n",
		"{\"a\":[[[{\"b\":[1.5,-2,null,true]}]]],\"id\":\"x\"}\n{\"op\":\"status\"}\n",
	};

	return good_text(out, hints[hostile_below(rng, 3)]);
}

/* What is taken can be written again. False: it cannot. */
static bool take_hint_line(const char *line, size_t len, size_t *taken)
{
	char why[F3_HINT_WHY_MAX];
	struct f3_buf out;
	json_t *object;
	bool ok;

	if (f3_hint_parse(line, len, &object, why))
		return true;
	++*taken;
	f3_buf_init(&out, 8 * HOSTILE_MAX);
	ok = !f3_hint_dump(object, &out) &&
	     memchr(out.data, '\n', out.len) == out.data + out.len - 1;
	f3_buf_done(&out);
	json_decref(object);
	return ok;
}

/* In pieces of any size the same lines come out. */
static enum hostile_verdict take_hint(const uint8_t *bytes, size_t len)
{
	static const size_t steps[] = { 1, 7, HOSTILE_MAX };
	size_t n_lines[3] = { 0 }, taken = 0, line_len;
	const char *line;
	bool ok = true;

	for (int s = 0; s < 3; s++) {
		struct f3_hint_lines lines;

		f3_hint_lines_init(&lines);
		for (size_t at = 0, n; at < len; at += n) {
			n = len - at < steps[s] ? len - at : steps[s];
			if (f3_hint_lines_put(&lines, (const char *)bytes + at, n))
				abort();
			for (; f3_hint_lines_next(&lines, &line, &line_len) == 1; n_lines[s]++)
				ok = ok && take_hint_line(line, line_len, &taken);
		}
		if (f3_hint_lines_last(&lines, &line, &line_len))
			ok = ok && take_hint_line(line, line_len, &taken);
		f3_hint_lines_done(&lines);
	}
	hostile_why("%zu, %zu, %zu lines", n_lines[0], n_lines[1], n_lines[2]);
	if (!ok || n_lines[0] != n_lines[1] || n_lines[0] != n_lines[2])
		return HOSTILE_WRONG;
	return taken ? HOSTILE_TAKEN : HOSTILE_REFUSED;
}

/* ---- f3-gen: of an object, whoever wrote it ---------------------------------------------------- */

static size_t good_gen(struct hostile_rng *rng, uint8_t *out)
{
	struct f3_obj_gen gen = { .generation = hostile_random(rng) >> hostile_below(rng, 64),
				  .attempt = hostile_random(rng) >> hostile_below(rng, 64) };
	char text[F3_OBJ_GEN_TEXT];

	for (size_t i = 0; i < sizeof(gen.id.b); i++)
		gen.id.b[i] = (uint8_t)hostile_random(rng);
	f3_obj_gen_format(&gen, text);
	return good_text(out, text);
}

static enum hostile_verdict take_gen(const uint8_t *bytes, size_t len)
{
	char *text = strndup((const char *)bytes, len), again[F3_OBJ_GEN_TEXT];
	enum hostile_verdict v = HOSTILE_REFUSED;
	struct f3_obj_gen gen;

	if (!text)
		abort();
	if (!f3_obj_gen_parse(text, &gen)) {
		f3_obj_gen_format(&gen, again);
		v = strcmp(again, text) ? HOSTILE_WRONG : HOSTILE_TAKEN;
		hostile_why("it is %s when it is written again", again);
	}
	free(text);
	return v;
}

const struct hostile_target hostile_texts[] = {
	{ .name = "conf", .every = 1, .good = good_conf, .take = take_conf },
	{ .name = "conf-snapshot", .every = 1, .good = good_snapshot, .take = take_snapshot },
	{ .name = "conf-fixed", .every = 1, .good = good_fixed, .take = take_fixed },
	{ .name = "wire-place", .every = 1, .good = good_place, .take = take_place },
	{ .name = "hint-line", .every = 1, .good = good_hint, .take = take_hint },
	{ .name = "object-gen", .every = 1, .good = good_gen, .take = take_gen },
	{ .name = NULL },
};
