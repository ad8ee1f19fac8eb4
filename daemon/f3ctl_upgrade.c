/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"

/* From the end of the old daemon: as long as the longest the supervisor may take, and more. */
#define PATIENCE_NS (120 * F3_NS_PER_SEC)
#define AGAIN_MS 20

/* What whoever serves then says of itself. Nothing announces it where it is asked from. */
static int ask_who_serves(struct f3ctl *ctl, json_t **ret_answer)
{
	uint64_t until_ns = f3_clock_mono_ns() + PATIENCE_NS;
	int code;

	for (;;) {
		f3ctl_close(ctl);
		if (!f3ctl_connect(ctl)) {
			code = f3ctl_ask(ctl, f3ctl_request("status"), NULL, NULL, ret_answer);
			if (!code || !ctl->closed)
				return code;
		}
		if (f3_clock_mono_ns() >= until_ns)
			return f3ctl_fail(ctl, "nobody serves: see f3ctl status");
		(void)poll(NULL, 0, AGAIN_MS);
	}
}

static int show(struct f3ctl *ctl, const json_t *before, const json_t *after)
{
	const char *failed = json_string_value(json_object_get(after, "upgrade_failed"));
	bool same = f3ctl_u64(after, "upgrades") == f3ctl_u64(before, "upgrades");
	double pause = json_number_value(json_object_get(after, "last_pause_s"));
	struct f3_buf version;
	json_t *line;

	if (same || failed)
		return f3ctl_fail(ctl, "%s: the program of before goes on, as process %" PRIu64,
				  failed ? failed : "the daemon died on the way",
				  f3ctl_u64(after, "pid"));
	if (ctl->json) {
		line = json_pack("{sb sI sI sf sO}", "ok", true, "pid",
				 (json_int_t)f3ctl_u64(after, "pid"), "pid_before",
				 (json_int_t)f3ctl_u64(before, "pid"), "pause_s", pause, "version",
				 json_object_get(after, "version"));
		f3ctl_print_json(line);
		json_decref(line);
		return F3CTL_OK;
	}
	f3_buf_init(&version, 256);
	f3ctl_text(after, "version", &version);
	printf("f3d %.*s serves as process %" PRIu64 ", instead of %" PRIu64
	       "; calls waited for %.3f s\n",
	       (int)version.len, (const char *)version.data, f3ctl_u64(after, "pid"),
	       f3ctl_u64(before, "pid"), pause);
	f3_buf_done(&version);
	return F3CTL_OK;
}

int f3ctl_upgrade(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *before = NULL, *after = NULL, *request;
	char *binary = NULL;
	int code;

	if (argc > 1)
		return f3ctl_usage(ctl, "one program is wanted");
	if (argc) {
		binary = realpath(argv[0], NULL);
		if (!binary)
			return f3ctl_fail(ctl, "%s: %s", argv[0], strerror(errno));
	}
	code = f3ctl_ask(ctl, f3ctl_request("status"), NULL, NULL, &before);
	if (!code) {
		request = f3ctl_request("upgrade");
		json_object_set_new(request, "binary", json_string(binary ? binary : ""));
		ctl->may_close = true;
		code = f3ctl_ask(ctl, request, NULL, NULL, &after);
		if (code && ctl->closed)
			code = ask_who_serves(ctl, &after);
		if (!code)
			code = show(ctl, before, after);
	}
	json_decref(before);
	json_decref(after);
	free(binary);
	return code;
}
