/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accesslog: one line per operation, for readers of .accesslog and where access-log says.
 *
 *     2026.11.21 08:26:11.003330 [uid:0,gid:0,pid:4403] lookup (1,photos): OK <0.000010> act=-
 *
 * Time is UTC, numbers are inode numbers, names are escaped. Nothing is made while nobody wants it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/fuse/impl.h"

#define LINE_BYTES 4096

enum { SINK_NONE, SINK_LOG, SINK_FILE };

/* Read by every operation without a lock. The descriptor keeps its number once it has one: a new
 * file is put under it (dup3), so that a line written meanwhile lands in one of the two. */
static _Atomic int sink, file_fd = -1;

static int open_file(const char *path, struct f3_err *err)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	int old = file_fd, r = fd < 0 ? -errno : 0;

	if (!r && old < 0) {
		file_fd = fd;
		return 0;
	}
	if (!r && dup3(fd, old, O_CLOEXEC) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	return r ? f3_err_set(err, r, "access log %s cannot be opened: %s", path, strerror(-r)) : 0;
}

int f3_fuse_open_access_log(struct f3_fuse *f, struct f3_err *err)
{
	const char *target = f3_conf_str(f->core->conf, "f3", NULL, "access-log");
	int r = 0;

	if (target[0] == '/') {
		r = open_file(target, err);
		if (!r)
			sink = SINK_FILE;
	} else {
		sink = !strcmp(target, "yes") ? SINK_LOG : SINK_NONE;
	}
	return r;
}

void f3_access_close(void)
{
	int fd = file_fd;

	sink = SINK_NONE;
	file_fd = -1;
	if (fd >= 0)
		close(fd);
}

bool f3_access_wanted(void)
{
	return sink != SINK_NONE || f3_accesslog_readers();
}

static void put_time(struct f3_buf *out)
{
	int64_t now_ns = f3_clock_real_ns();
	time_t s = (time_t)(now_ns / (int64_t)F3_NS_PER_SEC);
	char text[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y.%m.%d %H:%M:%S", &tm);
	f3_buf_printf(out, "%s.%06d ", text, (int)(now_ns % (int64_t)F3_NS_PER_SEC / 1000));
}

void f3_access(enum f3_op op, uint64_t took_ns, uint64_t ino, const char *name,
	       const struct f3_caller *who, int result)
{
	struct f3_buf line;
	size_t time_len;

	f3_buf_init(&line, LINE_BYTES);
	put_time(&line);
	time_len = line.len;
	f3_buf_printf(&line, "[uid:%u,gid:%u,pid:%d] %s (%" PRIu64, who->uid, who->gid, who->pid,
		      f3_op_name(op), ino);
	if (name) {
		f3_buf_put_u8(&line, ',');
		f3_text_escape(&line, name, strlen(name), F3_ESCAPE_LINE);
	}
	f3_buf_printf(&line, "): %s <%.6f> act=-\n", result ? f3_errno_name(result) : "OK",
		      f3_seconds(took_ns));
	if (!line.error) {
		f3_accesslog_line((const char *)line.data, line.len);
		/* the log has a time of its own, and ends its lines by itself */
		if (sink == SINK_LOG)
			f3_log_info("access: %.*s", (int)(line.len - time_len) - 1,
				    (const char *)line.data + time_len);
		/* A full disk loses lines of this log, nothing else. */
		else if (sink == SINK_FILE && write(file_fd, line.data, line.len) < 0)
			errno = 0;
	}
	f3_buf_done(&line);
}
