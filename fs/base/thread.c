/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static _Thread_local const cpu_set_t *home;

void f3_thread_set_home(const cpu_set_t *cpus)
{
	home = cpus;
}

/* What a thread inherits otherwise is the CPU and the policy of the one that starts it. */
static int set_home(pthread_attr_t *attr)
{
	int error = pthread_attr_setaffinity_np(attr, sizeof(*home), home);

	if (!error)
		error = pthread_attr_setschedpolicy(attr, SCHED_OTHER);
	if (!error)
		error = pthread_attr_setinheritsched(attr, PTHREAD_EXPLICIT_SCHED);
	return error;
}

int f3_thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *arg), void *arg)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	char full[F3_THREAD_NAME_MAX + sizeof("f3-")];
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t blocked;
	int error;

	if (strlen(name) > F3_THREAD_NAME_MAX)
		return -EINVAL;
	sigfillset(&blocked);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&blocked, faults[i]);

	error = pthread_attr_init(&attr);
	if (error)
		return -error;
	error = pthread_attr_setsigmask_np(&attr, &blocked);
	if (!error && home)
		error = set_home(&attr);
	if (!error)
		error = pthread_create(&thread, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	if (error)
		return -error;

	/* A thread without its name works as well. */
	snprintf(full, sizeof(full), "f3-%s", name);
	pthread_setname_np(thread, full);
	*ret_thread = thread;
	return 0;
}
