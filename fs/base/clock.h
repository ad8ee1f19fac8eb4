/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: the three clocks F3 reads, in nanoseconds.
 *
 * MONOTONIC for durations and deadlines, REALTIME only for file times, BOOTTIME for leases
 * (it counts suspend). Thread-safe, never block.
 */
#ifndef F3_BASE_CLOCK_H
#define F3_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define F3_NS_PER_SEC 1000000000ull
#define F3_NS_PER_MS 1000000ull

uint64_t f3_clock_mono_ns(void);
uint64_t f3_clock_boot_ns(void);
int64_t f3_clock_real_ns(void);		/* since the epoch; signed: files may be older than it */
/* The kernel's file time clock (CLOCK_REALTIME_COARSE): what the kernel itself stamps on
 * files, so that times given by F3 and by the backing file system never run backwards. */
int64_t f3_clock_file_ns(void);

/* Times that nanoseconds cannot count (before 1677, after 2262) are the first or last they can. */
static inline int64_t f3_ns_from_timespec(struct timespec ts)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)ts.tv_sec, (int64_t)F3_NS_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)ts.tv_nsec, &ns))
		return ts.tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

/* Floors, so that tv_nsec is in 0..999999999 also before the epoch. */
struct timespec f3_timespec_from_ns(int64_t ns);

/* The kernel's boot id (36 characters and NUL) from /proc/sys/kernel/random/boot_id.
 * 0 or -errno. */
int f3_boot_id(char ret_id[37]);

#endif
