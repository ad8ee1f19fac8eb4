/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread: the one way to start a thread.
 *
 * Every thread has a name (ps -L, gdb, /proc) and leaves signals to the main thread: they are
 * blocked from its first instruction, except those that a fault of its own raises. Threads are
 * started after going to the background and joined by whoever started them.
 *
 * Thread-safe, does not block.
 */
#ifndef F3_BASE_THREAD_H
#define F3_BASE_THREAD_H

#include <pthread.h>
#include <sched.h>

#define F3_THREAD_NAME_MAX 11	/* the kernel keeps 15, "f3-" comes in front */

/* Starts f3-<name>, joinable. 0 or -errno (-EAGAIN: no more threads allowed; -EINVAL: the name
 * is too long). */
int f3_thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *arg), void *arg);
/* The calling thread has pinned itself for a while, perhaps with the policy SCHED_IDLE: threads that
 * it starts get these CPUs and SCHED_OTHER. The set stays the caller's. NULL: it is back. */
void f3_thread_set_home(const cpu_set_t *home);

#endif
