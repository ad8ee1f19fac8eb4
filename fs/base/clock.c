/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/clock.h"

#include <errno.h>
#include <string.h>

#include "fs/base/file.h"

/* These clocks exist on every kernel F3 runs on, and the address is ours: no error to report. */
static int64_t read_clock(clockid_t id)
{
	struct timespec ts = { 0, 0 };

	clock_gettime(id, &ts);
	return f3_ns_from_timespec(ts);
}

uint64_t f3_clock_mono_ns(void)
{
	return (uint64_t)read_clock(CLOCK_MONOTONIC);
}

uint64_t f3_clock_boot_ns(void)
{
	return (uint64_t)read_clock(CLOCK_BOOTTIME);
}

int64_t f3_clock_real_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t f3_clock_file_ns(void)
{
	return read_clock(CLOCK_REALTIME_COARSE);
}

struct timespec f3_timespec_from_ns(int64_t ns)
{
	const int64_t per_sec = (int64_t)F3_NS_PER_SEC;
	struct timespec ts = { .tv_sec = ns / per_sec, .tv_nsec = ns % per_sec };

	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += per_sec;
	}
	return ts;
}

int f3_boot_id(char ret_id[37])
{
	char text[64];
	ssize_t n = f3_file_read("/proc/sys/kernel/random/boot_id", text, sizeof(text));

	if (n < 0)
		return (int)n;
	if (strspn(text, "0123456789abcdef-") != 36)
		return -EBADMSG;
	memcpy(ret_id, text, 36);
	ret_id[36] = '\0';
	return 0;
}
