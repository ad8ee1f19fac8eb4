/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/fuse/fuselog.h"

#include <stdio.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/fuse/impl.h"

bool f3_fuselog_may(struct f3_fuselog_limit *l, uint64_t now_ns, unsigned *ret_left_out)
{
	uint64_t since_ns = l->since_ns;

	/* Who moves the window on empties it; a line more or less in a race does not matter. */
	if ((!since_ns || now_ns - since_ns >= F3_FUSELOG_WINDOW_NS) &&
	    atomic_compare_exchange_strong(&l->since_ns, &since_ns, now_ns ? now_ns : 1))
		l->lines = 0;
	if (atomic_fetch_add(&l->lines, 1) >= F3_FUSELOG_LINES) {
		l->left_out++;
		return false;
	}
	*ret_left_out = atomic_exchange(&l->left_out, 0);
	return true;
}

static enum f3_log_level level_of(enum fuse_log_level level)
{
	if (level <= FUSE_LOG_ERR)
		return F3_LOG_ERROR;
	if (level <= FUSE_LOG_WARNING)
		return F3_LOG_WARN;
	return level <= FUSE_LOG_INFO ? F3_LOG_INFO : F3_LOG_DEBUG;
}

static void take_line(enum fuse_log_level fuse_level, const char *fmt, va_list ap)
{
	static struct f3_fuselog_limit limit;
	enum f3_log_level level = level_of(fuse_level);
	unsigned left_out;
	char text[512];
	size_t len;

	if (level > f3_log_get_level() || !f3_fuselog_may(&limit, f3_clock_mono_ns(), &left_out))
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	len = strlen(text);
	while (len && text[len - 1] == '\n')
		text[--len] = '\0';
	if (left_out)
		f3_log(level, "libfuse: %s (%u lines of it before were left out)", text, left_out);
	else
		f3_log(level, "libfuse: %s", text);
}

void f3_fuselog_take(void)
{
	fuse_set_log_func(take_line);
}
