/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: one line per event, to the journal, stderr or a file, as text or JSON.
 *
 * Low layers return errors and do not log, but for requests to stores at debug level; high layers
 * log each failure once, with inode, operation and errno name. Never credentials, signatures or
 * file contents. Control characters in arguments are escaped, a line is bounded.
 *
 * Text: "TIME LEVEL [THREAD] MESSAGE"; JSON: time, level, thread, message. Time is UTC.
 * Thread-safe, errno is kept; one write(2) per line. May block on the log's file, so it is
 * never called with a lock held. The level may be changed while running.
 */
#ifndef F3_BASE_LOG_H
#define F3_BASE_LOG_H

#include <stdbool.h>

#include "fs/base/err.h"

enum f3_log_level { F3_LOG_ERROR, F3_LOG_WARN, F3_LOG_INFO, F3_LOG_DEBUG };

/* target: "journal", "stderr" or an absolute file name. "journal" falls back to stderr where
 * there is no journal socket, and keeps its own format whatever json says. Returns 0 or -errno
 * with the reason (what was open stays). Callable again, while others log (reopen after a
 * rotation). Before the first call lines go to stderr. */
int f3_log_open(const char *target, bool json, enum f3_log_level level, struct f3_err *err);
/* Back to stderr. When no other thread logs any more. */
void f3_log_close(void);

void f3_log_set_level(enum f3_log_level level);
enum f3_log_level f3_log_get_level(void);
/* 0 or -EINVAL; names: error warn info debug */
int f3_log_level_parse(const char *name, enum f3_log_level *ret_level);
const char *f3_log_level_name(enum f3_log_level level);

void f3_log(enum f3_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define f3_log_error(...) f3_log(F3_LOG_ERROR, __VA_ARGS__)
#define f3_log_warn(...) f3_log(F3_LOG_WARN, __VA_ARGS__)
#define f3_log_info(...) f3_log(F3_LOG_INFO, __VA_ARGS__)
#define f3_log_debug(...)                                     \
	do {                                                  \
		if (f3_log_get_level() >= F3_LOG_DEBUG)       \
			f3_log(F3_LOG_DEBUG, __VA_ARGS__);    \
	} while (0)

#endif
