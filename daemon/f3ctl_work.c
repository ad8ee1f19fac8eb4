/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl_work: what class, warm, evict, pin, unpin and sync have in common: one request for each
 * path, progress on a terminal, failures as they come, a sum at the end.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/f3ctl.h"
#include "fs/base/conf.h"

#define PATH_BYTES_MAX (256u << 10)

struct state {
	struct f3ctl *ctl;
	const struct f3ctl_work *work;
	struct f3ctl_progress progress;
};

static int take_line(void *arg, const char *key, json_t *value)
{
	struct state *s = arg;
	struct f3_buf path;

	if (!strcmp(key, "progress")) {
		f3ctl_progress_show(&s->progress, value);
		return 0;
	}
	if (s->ctl->json) {
		json_t *line = json_pack("{sO}", "item", value);

		f3ctl_print_json(line);
		json_decref(line);
		return 0;
	}
	/* Of a single file the last line says it all. */
	if (!s->work->deep && strcmp(s->work->op, "sync") != 0)
		return 0;
	f3ctl_progress_clear(&s->progress);
	f3_buf_init(&path, PATH_BYTES_MAX);
	f3ctl_item_path(s->ctl, value, &path);
	f3_buf_printf(&path, ": ");
	f3ctl_text(value, "message", &path);
	f3ctl_fail(s->ctl, "%.*s", (int)path.len, (const char *)path.data);
	f3_buf_done(&path);
	return 0;
}

static json_t *make_request(struct f3ctl *ctl, const struct f3ctl_work *work, const char *path,
			    bool progress, int *ret_code)
{
	json_t *request = f3ctl_request(work->op);

	*ret_code = F3CTL_OK;
	if (work->deep)
		json_object_set_new(request, "recursive", json_true());
	if (progress)
		json_object_set_new(request, "progress", json_true());
	if (work->extra_key)
		json_object_set_new(request, work->extra_key, json_string(work->extra));
	if (path)
		*ret_code = f3ctl_place(ctl, path, request);
	else
		json_object_set_new(request, "path", json_string("/"));
	if (!*ret_code)
		return request;
	json_decref(request);
	return NULL;
}

static void print_sum(const struct f3ctl_work *work, const json_t *answer)
{
	uint64_t files = f3ctl_u64(answer, "files"), bytes = f3ctl_u64(answer, "bytes");
	uint64_t kept = f3ctl_u64(answer, "kept"), moving = f3ctl_u64(answer, "moving");
	char text[32];

	printf("%" PRIu64 " %s %s", files, files == 1 ? "file" : "files", work->done);
	if (bytes) {
		f3_format_bytes(bytes, text, sizeof(text));
		printf(", %s", text);
	}
	if (work->kept && kept)
		printf(", %" PRIu64 " %s", kept, work->kept);
	if (moving)
		printf(", %" PRIu64 " when they are closed", moving);
	putchar('\n');
}

static int work_on(struct f3ctl *ctl, const struct f3ctl_work *work, const char *path)
{
	struct state s = { .ctl = ctl, .work = work };
	json_t *request, *answer = NULL;
	int code;

	f3ctl_progress_init(&s.progress, ctl);
	request = make_request(ctl, work, path, s.progress.on, &code);
	if (!request)
		return code ? code : f3ctl_fail(ctl, "out of memory");
	code = f3ctl_ask(ctl, request, take_line, &s, &answer);
	f3ctl_progress_clear(&s.progress);
	if (!code && ctl->json)
		f3ctl_print_json(answer);
	else if (!code && (work->deep || !path || ctl->out_tty))
		print_sum(work, answer);
	json_decref(answer);
	return code;
}

int f3ctl_work(struct f3ctl *ctl, const struct f3ctl_work *work, int argc, const char *const *argv)
{
	int code = F3CTL_OK;

	if (!argc)
		return work_on(ctl, work, NULL);
	for (int i = 0; i < argc; i++) {
		int one = work_on(ctl, work, argv[i]);

		if (one)
			code = one;
		if (ctl->fd < 0)
			break; /* no daemon: not once for each path */
	}
	return code;
}
