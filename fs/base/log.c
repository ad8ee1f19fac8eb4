/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#endif

#include "fs/base/buf.h"
#include "fs/base/clock.h"
#include "fs/base/text.h"

#define MESSAGE_MAX 2048 /* before escaping; longer ones end in "..." */
#define LINE_MAX_BYTES (8 * MESSAGE_MAX) /* every byte escaped, and the time */

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

enum sink { SINK_STDERR, SINK_FILE, SINK_JOURNAL, SINK_KIND = 3, SINK_JSON = 4 };

/* Read by every line without a lock. The file's descriptor keeps its number once it has one:
 * reopening puts the new file under it (dup3), so a line written meanwhile lands in one of the
 * two. */
static atomic_int sink = SINK_STDERR;
static atomic_int file_fd = -1;
static atomic_int level_now = F3_LOG_INFO;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void f3_log_set_level(enum f3_log_level level)
{
	atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

enum f3_log_level f3_log_get_level(void)
{
	return (enum f3_log_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

int f3_log_level_parse(const char *name, enum f3_log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret_level = (enum f3_log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *f3_log_level_name(enum f3_log_level level)
{
	return level_names[level];
}

static int open_file(const char *path, struct f3_err *err)
{
	int old = atomic_load(&file_fd), error;
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	if (fd < 0)
		goto fail;
	if (old < 0) {
		atomic_store(&file_fd, fd);
		return 0;
	}
	if (dup3(fd, old, O_CLOEXEC) < 0)
		goto fail;
	close(fd);
	return 0;
fail:
	error = -errno;
	if (fd >= 0)
		close(fd);
	return f3_err_set(err, error, "cannot open log file %s: %s", path, strerror(-error));
}

static bool have_journal(void)
{
#ifdef HAVE_LIBSYSTEMD
	/* sd_journal_sendv() says that all is well when nobody listens. */
	return access(JOURNAL_SOCKET, W_OK) == 0;
#else
	return false;
#endif
}

int f3_log_open(const char *target, bool json, enum f3_log_level level, struct f3_err *err)
{
	int next = SINK_STDERR, error;

	if (strcmp(target, "journal") == 0) {
		next = have_journal() ? SINK_JOURNAL : SINK_STDERR;
	} else if (target[0] == '/') {
		error = open_file(target, err);
		if (error)
			return error;
		next = SINK_FILE;
	} else if (strcmp(target, "stderr") != 0) {
		return f3_err_set(err, -EINVAL,
				  "log target \"%s\" is neither journal, stderr nor an absolute "
				  "file name",
				  target);
	}
	f3_log_set_level(level);
	atomic_store(&sink, next | (json ? SINK_JSON : 0));
	return 0;
}

void f3_log_close(void)
{
	int fd;

	atomic_store(&sink, SINK_STDERR);
	fd = atomic_exchange(&file_fd, -1);
	if (fd >= 0)
		close(fd);
}

static void put_time(struct f3_buf *line)
{
	struct timespec now = f3_timespec_from_ns(f3_clock_real_ns());
	struct tm tm;

	gmtime_r(&now.tv_sec, &tm);
	f3_buf_printf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", tm.tm_year + 1900,
		      tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		      now.tv_nsec / 1000);
}

/* A line that cannot be written is lost: there is nobody left to tell. */
static void write_line(int fd, enum f3_log_level level, bool json, const char *message, size_t len)
{
	struct f3_buf line;

	f3_buf_init(&line, LINE_MAX_BYTES);
	if (json)
		f3_buf_printf(&line, "{\"time\":\"");
	put_time(&line);
	f3_buf_printf(&line,
		      json ? "\",\"level\":\"%s\",\"thread\":%d,\"message\":\"" : " %s [%d] ",
		      level_names[level], (int)gettid());
	f3_text_escape(&line, message, len, json ? F3_ESCAPE_JSON : F3_ESCAPE_LINE);
	f3_buf_printf(&line, json ? "\"}\n" : "\n");
	while (write(fd, line.data, line.len) < 0 && errno == EINTR)
		;
	f3_buf_done(&line);
}

#ifdef HAVE_LIBSYSTEMD
/* The journal keeps time, thread and program itself, and its own format. */
static int send_to_journal(enum f3_log_level level, const char *message, size_t len)
{
	static const char *const priority[] = { "PRIORITY=3", "PRIORITY=4", "PRIORITY=6",
						"PRIORITY=7" };
	struct iovec iov[2];
	struct f3_buf text;
	int error;

	f3_buf_init(&text, LINE_MAX_BYTES);
	f3_buf_printf(&text, "MESSAGE=");
	f3_text_escape(&text, message, len, F3_ESCAPE_LINE);
	iov[0] = (struct iovec){ .iov_base = text.data, .iov_len = text.len };
	iov[1] = (struct iovec){ .iov_base = (char *)priority[level],
				 .iov_len = strlen(priority[level]) };
	error = text.error ? text.error : sd_journal_sendv(iov, 2);
	f3_buf_done(&text);
	return error;
}
#else
static int send_to_journal(enum f3_log_level level, const char *message, size_t len)
{
	(void)level;
	(void)message;
	(void)len;
	return -ENOTSUP;
}
#endif

void f3_log(enum f3_log_level level, const char *fmt, ...)
{
	int saved_errno = errno, to, fd = -1;
	char message[MESSAGE_MAX];
	va_list ap;
	size_t len;
	int n;

	if (level > f3_log_get_level())
		return;
	va_start(ap, fmt);
	n = vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (n < 0) {
		errno = saved_errno;
		return;
	}
	len = (size_t)n;
	if (len >= sizeof(message)) {
		len = sizeof(message) - 1;
		memcpy(message + len - 3, "...", 3);
	}

	to = atomic_load(&sink);
	if ((to & SINK_KIND) == SINK_FILE)
		fd = atomic_load(&file_fd);
	if ((to & SINK_KIND) != SINK_JOURNAL || send_to_journal(level, message, len) < 0)
		write_line(fd >= 0 ? fd : STDERR_FILENO, level, to & SINK_JSON, message, len);
	errno = saved_errno;
}
