/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug: named places at which a test stops, kills or fails the program.
 *
 * A crash test must cut between two exact steps, a fault test must make one exact call fail.
 * The code names such places:
 *
 *     f3_debug_point("stage.before-commit");          may stop or end the process here
 *     if (f3_fault("ring.write", &error)) return error;   may pretend that the call failed
 *
 * In a build without --enable-debug both compile to nothing (f3_fault to false), and arming
 * answers -EOPNOTSUPP. With it a place that is not armed costs one load. Names are given to
 * tests: "<module>.<place>", lower case, never changed for style.
 *
 * Arming, by f3_debug_arm() or the environment when f3_debug_init() is called:
 *
 *     F3_DEBUG_POINTS="NAME=ACTION[@N][;...]"    @N: not before the N-th time (from 1)
 *         stop:FILE    writes "NAME PID TID" and a newline to FILE (no '@' in it; a FIFO will
 *                      do), then this thread sleeps until killed; the others go on
 *         gate:FIFO    this thread waits until somebody has the FIFO open for writing: a slow
 *                      disk or store, for as long as the test wants
 *         exit         _exit(137) at once, as SIGKILL would end it: no buffers are flushed
 *     F3_DEBUG_FAULTS="NAME=ERRNO[@N][xCOUNT][%PERCENT][;...]"     EIO, ENOSPC, 28, ...
 *         from the N-th time on (1), COUNT times (without x: every time), each time with this
 *         probability (100)
 *     hold:FIFO in place of ERRNO: the call waits until somebody opens FIFO for writing, and then
 *         does what it would have done: a slow one. Disarm it first, or the next waits again.
 *
 * Places are armed before the threads that reach them start or at any time later (thread-safe).
 * A stop point blocks by design; whoever reaches it may hold locks.
 */
#ifndef F3_BASE_DEBUG_H
#define F3_BASE_DEBUG_H

#include <stdbool.h>

#include "fs/base/err.h"

#define F3_DEBUG_MAX_ARMED 32	/* places armed at a time */

/* Takes what the environment arms. 0, or -errno with the reason: a test that misspells an action,
 * or uses a build without points, must not run as if nothing was asked. */
int f3_debug_init(struct f3_err *err);
/* action: what stands after '=' above; replaces an earlier one. NULL disarms. 0, -EINVAL,
 * -ENOSPC, -EOPNOTSUPP. */
int f3_debug_point_arm(const char *name, const char *action);
int f3_fault_arm(const char *name, const char *action);
/* Calls that failed or were held at an armed place, since it was armed. */
unsigned long f3_fault_happened(const char *name);

#ifdef F3_DEBUG_POINTS

extern _Atomic int f3_debug_armed;	/* places armed, of both kinds */
void f3_debug_point_reached(const char *name);
bool f3_fault_reached(const char *name, int *ret_error);

static inline void f3_debug_point(const char *name)
{
	if (f3_debug_armed)
		f3_debug_point_reached(name);
}

/* true with a negative errno if the call that follows is to be taken as failed. */
static inline bool f3_fault(const char *name, int *ret_error)
{
	return f3_debug_armed && f3_fault_reached(name, ret_error);
}

#else

static inline void f3_debug_point(const char *name)
{
	(void)name;
}

static inline bool f3_fault(const char *name, int *ret_error)
{
	(void)name;
	(void)ret_error;
	return false;
}

#endif

#endif
