/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/file.h"

#define TEXT_BYTES_MAX (256u << 10)
#define STATE_BYTES_MAX 16384

static void put(const char *label, struct f3_buf *text)
{
	printf("%-12s %.*s\n", label, (int)text->len, (const char *)text->data);
	f3_buf_reset(text);
}

static void put_duration(double seconds, struct f3_buf *out)
{
	uint64_t s = seconds > 0 ? (uint64_t)seconds : 0;

	if (s >= 86400)
		f3_buf_printf(out, "%" PRIu64 " d ", s / 86400);
	if (s >= 3600)
		f3_buf_printf(out, "%" PRIu64 " h ", s / 3600 % 24);
	if (s >= 60)
		f3_buf_printf(out, "%" PRIu64 " min ", s / 60 % 60);
	f3_buf_printf(out, "%" PRIu64 " s", s % 60);
}

/* "USED of LIMIT" */
static void put_of(const json_t *a, const char *used, const char *limit, struct f3_buf *b)
{
	f3ctl_bytes(a, used, b);
	if (f3ctl_u64(a, limit)) {
		f3_buf_printf(b, " of ");
		f3ctl_bytes(a, limit, b);
	}
}

static void put_restarts(const json_t *a, struct f3_buf *b)
{
	f3_buf_printf(b, "restarts %" PRIu64, f3ctl_u64(a, "restarts"));
	if (!json_object_get(a, "last_death"))
		return;
	f3_buf_printf(b, ", last death: ");
	f3ctl_text(a, "last_death", b);
}

static void show_daemon(const json_t *a, struct f3_buf *b)
{
	f3_buf_printf(b, "f3d ");
	f3ctl_text(a, "version", b);
	f3_buf_printf(b, ", process %" PRIu64 ", up ", f3ctl_u64(a, "pid"));
	put_duration(json_number_value(json_object_get(a, "uptime_s")), b);
	f3_buf_printf(b, ", node ");
	f3ctl_text(a, "node", b);
	put("daemon", b);
	f3ctl_text(a, "mountpoint", b);
	f3_buf_printf(b, ", transport ");
	f3ctl_text(a, "transport", b);
	f3_buf_printf(b, ", %" PRIu64 " threads", f3ctl_u64(a, "threads"));
	put("mount", b);
	if (f3ctl_u64(a, "supervisor_pid")) {
		f3_buf_printf(b, "process %" PRIu64 ", ", f3ctl_u64(a, "supervisor_pid"));
		put_restarts(a, b);
	} else {
		f3_buf_printf(b, "none: it was killed; nobody starts the daemon again");
	}
	put("supervisor", b);
	if (json_is_true(json_object_get(a, "passthrough"))) {
		f3_buf_printf(b, "yes");
	} else {
		f3_buf_printf(b, "no: ");
		f3ctl_text(a, "passthrough_reason", b);
	}
	put("passthrough", b);
}

static void show_open(const json_t *a, struct f3_buf *b)
{
	const json_t *opens = json_object_get(a, "opens");

	f3_buf_printf(b,
		      "%" PRIu64 " (passed through %" PRIu64 ", cached %" PRIu64 "), %" PRIu64
		      " reads waiting, %" PRIu64 " inodes in memory",
		      f3ctl_u64(opens, "now"), f3ctl_u64(opens, "passthrough"),
		      f3ctl_u64(opens, "cached"), f3ctl_u64(a, "parked_reads"),
		      f3ctl_u64(a, "inodes_in_memory"));
	put("open files", b);
}

/* buffers 3.2 MiB of 20 MiB, ... */
static void show_shares(const json_t *memory, struct f3_buf *b)
{
	const json_t *used = json_object_get(memory, "accounts"), *share;
	const char *name, *comma = "";

	json_object_foreach(json_object_get(memory, "shares"), name, share)
	{
		f3_buf_printf(b, "%s%s ", comma, name);
		f3ctl_bytes(used, name, b);
		f3_buf_printf(b, " of ");
		f3ctl_bytes(json_object_get(memory, "shares"), name, b);
		comma = ", ";
	}
	put("shares", b);
}

static void show_space(const json_t *a, struct f3_buf *b)
{
	const json_t *cache = json_object_get(a, "cache"), *memory = json_object_get(a, "memory");
	const json_t *journal = json_object_get(a, "journal");

	put_of(cache, "used_bytes", "limit_bytes", b);
	f3_buf_printf(b, " in ");
	f3ctl_text(cache, "dir", b);
	put("cache", b);
	f3ctl_bytes(a, "dirty_bytes", b);
	f3_buf_printf(b, ", %" PRIu64 " changes on their way", f3ctl_u64(journal, "entries"));
	if (f3ctl_u64(journal, "entries")) {
		f3_buf_printf(b, " (%" PRIu64 " tried before), the oldest for ",
			      f3ctl_u64(journal, "retrying"));
		put_duration(json_number_value(json_object_get(journal, "oldest_s")), b);
	}
	put("dirty", b);
	put_of(memory, "used_bytes", "limit_bytes", b);
	f3_buf_printf(b, " spoken for, ");
	f3ctl_bytes(memory, "resident_bytes", b);
	f3_buf_printf(b, " resident");
	put("memory", b);
	show_shares(memory, b);
	f3ctl_bytes(json_object_get(a, "database"), "disk_bytes", b);
	put("database", b);
}

static void show_volumes(const json_t *a, struct f3_buf *b)
{
	static const char *const headings[] = { "VOLUME", "CLASS",  ">USED", ">QUOTA",
						">FILES", ">DIRTY", "STORE", NULL };
	const json_t *volumes = json_object_get(a, "volumes"), *v;
	struct f3ctl_table t;
	size_t i;

	f3ctl_table_init(&t, headings);
	json_array_foreach(volumes, i, v)
	{
		f3ctl_text(v, "name", b);
		f3ctl_table_cell_buf(&t, b);
		f3ctl_text(v, "default_class", b);
		f3ctl_table_cell_buf(&t, b);
		f3ctl_bytes(v, "used_bytes", b);
		f3ctl_table_cell_buf(&t, b);
		if (f3ctl_u64(v, "quota_bytes"))
			f3ctl_bytes(v, "quota_bytes", b);
		else
			f3_buf_printf(b, "-");
		f3ctl_table_cell_buf(&t, b);
		f3ctl_text(v, "used_inodes", b);
		f3ctl_table_cell_buf(&t, b);
		f3ctl_bytes(v, "dirty_bytes", b);
		f3ctl_table_cell_buf(&t, b);
		f3ctl_text(v, "url", b);
		if (!b->len)
			f3_buf_printf(b, "-");
		if (json_is_true(json_object_get(v, "read_only")))
			f3_buf_printf(b, " (read-only)");
		f3ctl_table_cell_buf(&t, b);
	}
	if (t.n) {
		putchar('\n');
		f3ctl_table_print(&t, true);
	}
	f3ctl_table_done(&t);
}

/* ---- While nobody serves ----------------------------------------------------------------------- */

/* What the supervisor has written beside the socket. NULL: nothing, or its writer is gone. */
static json_t *supervisor_says(const struct f3ctl *ctl)
{
	const char *slash = strrchr(ctl->socket_path, '/');
	char path[PATH_MAX], text[STATE_BYTES_MAX];
	json_t *state;
	ssize_t n;
	pid_t pid;

	if (snprintf(path, sizeof(path), "%.*ssupervisor.json",
		     slash ? (int)(slash + 1 - ctl->socket_path) : 0,
		     ctl->socket_path) >= (int)sizeof(path))
		return NULL;
	n = f3_file_read(path, text, sizeof(text));
	if (n < 0)
		return NULL;
	state = json_loadb(text, (size_t)n, 0, NULL);
	pid = (pid_t)json_integer_value(json_object_get(state, "supervisor_pid"));
	if (json_is_object(state) && pid > 0 && (!kill(pid, 0) || errno == EPERM))
		return state;
	json_decref(state);
	return NULL;
}

static const char *meaning(const char *state)
{
	static const struct {
		const char *state, *means;
	} all[] = {
		{ "starting", "is starting: calls wait" },
		{ "serving", "is up, but does not answer here yet" },
		{ "waiting", "is started again in a moment: calls wait" },
		{ "refusing", "cannot be started: calls get EIO until it can" },
		{ "ending", "is stopping" },
	};

	for (size_t i = 0; state && i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i].state, state))
			return all[i].means;
	return "is not there";
}

/* Takes state over. Nobody serves: that is no success, though all is shown. */
static int show_supervisor(const struct f3ctl *ctl, json_t *state)
{
	const char *name = json_string_value(json_object_get(state, "state"));
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	if (ctl->json) {
		json_object_set_new(state, "ok", json_false());
		f3ctl_print_json(state);
	} else {
		f3_buf_printf(&b, "%s", meaning(name));
		if (f3ctl_u64(state, "pid"))
			f3_buf_printf(&b, " (process %" PRIu64 ")", f3ctl_u64(state, "pid"));
		put("daemon", &b);
		f3ctl_text(state, "mountpoint", &b);
		put("mount", &b);
		f3_buf_printf(&b, "process %" PRIu64 ", ", f3ctl_u64(state, "supervisor_pid"));
		put_restarts(state, &b);
		put("supervisor", &b);
		if (json_object_get(state, "reason")) {
			f3ctl_text(state, "reason", &b);
			put("reason", &b);
		}
	}
	f3_buf_done(&b);
	json_decref(state);
	return F3CTL_FAILED;
}

int f3ctl_status(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *answer = NULL, *state;
	struct f3_buf b;
	int code;

	(void)argv;
	if (argc)
		return f3ctl_usage(ctl, "no arguments are wanted");
	code = f3ctl_connect(ctl);
	if (code == -ECONNREFUSED || code == -ENOENT) {
		state = supervisor_says(ctl);
		if (state)
			return show_supervisor(ctl, state);
	}
	code = f3ctl_ask(ctl, f3ctl_request("status"), NULL, NULL, &answer);
	if (code)
		return code;
	if (ctl->json) {
		f3ctl_print_json(answer);
	} else {
		f3_buf_init(&b, TEXT_BYTES_MAX);
		show_daemon(answer, &b);
		show_open(answer, &b);
		show_space(answer, &b);
		show_volumes(answer, &b);
		f3_buf_done(&b);
	}
	json_decref(answer);
	return F3CTL_OK;
}
