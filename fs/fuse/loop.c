/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: the threads that read requests.
 *
 * Waiting readers are woken by the kernel in turn, so with many of them every request meets a
 * thread whose caches are cold. So only READERS threads wait for requests; the others stand by
 * and one of them comes in when the last reader has taken a request. A handler that takes long
 * therefore never keeps requests from being read, and quick ones stay on warm threads.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/thread.h"
#include "fs/fuse/impl.h"

#define READERS 2u
#define THREADS_MAX 256u

struct f3_loop {
	struct f3_fuse *f;
	struct f3_lock lock;
	pthread_cond_t come_in;
	pthread_cond_t left;
	unsigned reading; /* threads in read(2), or on their way there */
	unsigned standing_by;
	bool over;
	pthread_t threads[THREADS_MAX];
	unsigned n;
};

/* Sent to a reader only to end its read(2). */
#define WAKE_SIGNAL SIGUSR2
#define WAKE_AGAIN_NS (20 * F3_NS_PER_MS)

static void wake(int sig)
{
	(void)sig;
}

/* True: go and read. False: the session has ended. */
static bool next_turn(struct f3_loop *l)
{
	bool go;

	f3_lock(&l->lock);
	while (!l->over && l->reading >= READERS) {
		l->standing_by++;
		f3_cond_wait(&l->come_in, &l->lock, 0);
		l->standing_by--;
	}
	go = !l->over;
	if (go)
		l->reading++;
	f3_unlock(&l->lock);
	return go;
}

static void took_request(struct f3_loop *l)
{
	f3_lock(&l->lock);
	if (--l->reading == 0 && l->standing_by)
		pthread_cond_signal(&l->come_in);
	if (l->over)
		pthread_cond_signal(&l->left);
	f3_unlock(&l->lock);
}

static void session_over(struct f3_loop *l)
{
	f3_lock(&l->lock);
	l->over = true;
	pthread_cond_broadcast(&l->come_in);
	f3_unlock(&l->lock);
}

static void *serve(void *arg)
{
	struct f3_loop *l = arg;
	struct fuse_session *se = l->f->se;
	struct fuse_buf buf = { .mem = NULL };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, WAKE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	while (next_turn(l)) {
		int n;

		do {
			n = fuse_session_receive_buf(se, &buf);
		} while ((n == -EINTR || n == -EAGAIN) && !fuse_session_exited(se));
		took_request(l);
		if (n <= 0 || fuse_session_exited(se)) {
			fuse_session_exit(se);
			session_over(l);
			break;
		}
		fuse_session_process_buf(se, &buf);
	}
	free(buf.mem);
	return NULL;
}

void f3_loop_stop(struct f3_loop *l)
{
	fuse_session_exit(l->f->se);
	session_over(l);
	/* A signal that comes just before a thread enters read(2) is lost on it: again then. */
	f3_lock(&l->lock);
	while (l->reading) {
		for (unsigned i = 0; i < l->n; i++)
			pthread_kill(l->threads[i], WAKE_SIGNAL);
		f3_cond_wait(&l->left, &l->lock, f3_clock_mono_ns() + WAKE_AGAIN_NS);
	}
	f3_unlock(&l->lock);
}

int f3_loop_new(struct f3_fuse *f, struct f3_loop **ret_l)
{
	struct f3_loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->f = f;
	f3_lock_init(&l->lock, F3_RANK_QUEUE);
	f3_cond_init(&l->come_in);
	f3_cond_init(&l->left);
	*ret_l = l;
	return 0;
}

void f3_loop_free(struct f3_loop *l)
{
	if (!l)
		return;
	pthread_cond_destroy(&l->come_in);
	pthread_cond_destroy(&l->left);
	f3_lock_done(&l->lock);
	free(l);
}

int f3_loop_run(struct f3_loop *l)
{
	struct sigaction action = { .sa_handler = wake }; /* without SA_RESTART */
	unsigned n = l->f->threads < THREADS_MAX ? l->f->threads : THREADS_MAX;
	int r = 0;

	sigaction(WAKE_SIGNAL, &action, NULL);
	for (unsigned i = 0; i < n && !r; i++) {
		char name[16];

		snprintf(name, sizeof(name), "fuse-%u", i);
		f3_lock(&l->lock);
		r = f3_thread_start(&l->threads[l->n], name, serve, l);
		l->n += !r;
		f3_unlock(&l->lock);
	}
	if (r) {
		f3_log_error("fuse: %u threads could not be started: %s", n, strerror(-r));
		if (!l->n)
			return r;
		r = 0; /* fewer do, too */
	}
	for (unsigned i = 0; i < l->n; i++)
		pthread_join(l->threads[i], NULL);
	return r;
}
