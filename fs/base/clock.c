/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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
	char text[37];
	size_t have = 0;
	ssize_t n;
	int fd, error = 0;

	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (have < 36) {
		n = read(fd, text + have, 36 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			error = n < 0 ? -errno : -EBADMSG;
			break;
		}
		have += (size_t)n;
	}
	close(fd);
	if (error)
		return error;
	text[36] = '\0';
	if (strspn(text, "0123456789abcdef-") != 36)
		return -EBADMSG;
	memcpy(ret_id, text, sizeof(text));
	return 0;
}
