/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

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
