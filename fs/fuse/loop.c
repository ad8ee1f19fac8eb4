/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: the threads that read requests.
 *
 * Waiting readers are woken by the kernel in turn, so with many of them every request meets a
 * thread whose caches are cold. So few threads have the role of a reader, the others stand by:
 *
 *   shared    READERS threads wait for requests; one that took a request gives its role back, and
 *             when the last one did, one of those that stand by comes in. A handler that takes
 *             long therefore never keeps requests from being read.
 *   sprint    the requests come from one busy thread: one reader keeps the role while it handles
 *             (fs/fuse/sprint.h). If it gets stuck in a handler while requests wait, the guard
 *             ends the sprint, and from then on it does not count as a reader (away).
 *   forgets   with the io_uring transport only FORGET and INTERRUPT come this way. One reader,
 *             who after FORGETs lets more of them gather for a moment: the kernel then wakes
 *             nobody for each of them.
 *
 * The lock guards the roles. A sprinting thread does not take it.
 */
#include "config.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
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
#include "fs/fuse/sprint.h"

#define READERS 2u
#define THREADS_MAX 256u
#define BULK_BYTES (32u << 10) /* to be copied beside other requests */
#define READY_BYTES (128u << 10)
#define PAGE_BYTES 4096u
#define GATHER_NS (10 * F3_NS_PER_MS)
#define ONLY_FORGETS 8u /* so many in a row: there is nothing else on this way */

struct f3_loop {
	struct f3_fuse *f;
	struct f3_lock lock;
	pthread_cond_t come_in;
	pthread_cond_t left;
	pthread_cond_t gathered;
	unsigned reading; /* threads with the role: in read(2), on their way there, or sprinting */
	unsigned standing_by;
	unsigned limit; /* of reading */
	struct f3_stream stream; /* what the sharing readers saw */
	struct f3_runner *runner; /* NULL: nobody ever sprints */
	bool sprint; /* one of the readers sprints, or did and has not noticed its end */
	bool away; /* the latter: it may be in a handler */
	unsigned forgets;
	bool over;
	pthread_t threads[THREADS_MAX];
	unsigned n;
};

/* What a request says of itself. */
struct head {
	pid_t pid;
	bool bulk, forget;
};

/* Sent to a reader only to end its read(2). */
#define WAKE_SIGNAL SIGUSR2
#define WAKE_AGAIN_NS (20 * F3_NS_PER_MS)

static void wake(int sig)
{
	(void)sig;
}

static unsigned readers(const struct f3_loop *l)
{
	return l->reading - l->away;
}

/* True: go and read. False: the session has ended. */
static bool next_turn(struct f3_loop *l)
{
	bool go;

	f3_lock(&l->lock);
	while (!l->over && readers(l) >= l->limit) {
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

static void give_role_back(struct f3_loop *l)
{
	l->reading--;
	if (readers(l) == 0 && l->standing_by)
		pthread_cond_signal(&l->come_in);
	if (l->over)
		pthread_cond_broadcast(&l->left);
}

static void end_sprint(struct f3_loop *l)
{
	f3_runner_end(l->runner);
	f3_lock(&l->lock);
	l->sprint = l->away = false;
	l->stream.familiar = 0;
	l->limit = READERS;
	give_role_back(l);
	f3_unlock(&l->lock);
}

/* The guard's word. */
static void sprint_ended(void *arg)
{
	struct f3_loop *l = arg;

	f3_lock(&l->lock);
	l->away = l->sprint;
	l->limit = READERS;
	for (unsigned i = 0; i < READERS; i++)
		pthread_cond_signal(&l->come_in);
	f3_unlock(&l->lock);
}

static bool requests_wait(void *arg)
{
	struct f3_loop *l = arg;
	struct pollfd p = { .fd = fuse_session_fd(l->f->se), .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

static const struct f3_runner_ops runner_ops = { .pending = requests_wait, .ended = sprint_ended };

enum turn { SHARED, SPRINT, FORGETS };

/* Accounts for a request just read. SHARED: the role was given back; else it was kept. */
static enum turn took_request(struct f3_loop *l, const struct head *head, uint64_t now)
{
	enum turn turn = SHARED;

	f3_lock(&l->lock);
	if (l->f->uring) {
		l->forgets = head->forget ? l->forgets + 1 : 0;
		if (l->forgets >= ONLY_FORGETS)
			turn = FORGETS;
	} else if (l->runner) {
		bool alone;

		f3_stream_saw(&l->stream, head->pid, head->bulk, now);
		alone = l->stream.familiar >= F3_STREAM_BEGIN && !l->sprint &&
			f3_runner_ready(l->runner, now);
		/* The other readers leave one by one; the last one sprints. */
		l->limit = alone ? 1 : READERS;
		if (alone && l->reading == 1) {
			l->sprint = true;
			turn = SPRINT;
		}
	}
	if (turn == SHARED)
		give_role_back(l);
	f3_unlock(&l->lock);
	if (turn == SPRINT && (!f3_sprint_pays() || !f3_runner_begin(l->runner, head->pid))) {
		end_sprint(l);
		turn = SHARED;
	}
	return turn;
}

static void gather_forgets(struct f3_loop *l)
{
	f3_lock(&l->lock);
	if (!l->over)
		f3_cond_wait(&l->gathered, &l->lock, f3_clock_mono_ns() + GATHER_NS);
	f3_unlock(&l->lock);
}

static void look_at(const struct fuse_buf *buf, struct head *ret_head)
{
	const struct fuse_in_header *in = buf->mem;
	const struct fuse_read_in *read_in = (const void *)(in + 1);

	*ret_head = (struct head){ .bulk = true };
	if (buf->flags & FUSE_BUF_IS_FD || buf->size < sizeof(*in))
		return; /* spliced, so it is long */
	ret_head->pid = (pid_t)in->pid;
	ret_head->bulk = in->len > BULK_BYTES;
	if (in->opcode == FUSE_READ && buf->size >= sizeof(*in) + sizeof(*read_in))
		ret_head->bulk = read_in->size > BULK_BYTES;
	ret_head->forget = in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET;
}

/*
 * The kernel copies a request into the buffer. When the process is killed in that moment, a page that
 * is not there yet is not made any more, and the program gets EIO for a request that nobody will be
 * asked again. So those of requests of common size are there from a thread's first request on.
 */
static void make_pages(struct fuse_buf *buf, int have)
{
	volatile char *mem = buf->mem;

	if (mem && !(buf->flags & FUSE_BUF_IS_FD))
		for (size_t at = (size_t)have; at < READY_BYTES; at += PAGE_BYTES)
			mem[at] = 0;
}

static void session_over(struct f3_loop *l)
{
	f3_lock(&l->lock);
	l->over = true;
	pthread_cond_broadcast(&l->come_in);
	pthread_cond_broadcast(&l->gathered);
	pthread_cond_broadcast(&l->left);
	f3_unlock(&l->lock);
}

static void leave(struct f3_loop *l, enum turn turn)
{
	fuse_session_exit(l->f->se);
	session_over(l);
	if (turn == SPRINT) {
		end_sprint(l);
		return;
	}
	f3_lock(&l->lock);
	give_role_back(l);
	f3_unlock(&l->lock);
}

static void *serve(void *arg)
{
	struct f3_loop *l = arg;
	struct fuse_session *se = l->f->se;
	struct fuse_buf buf = { .mem = NULL };
	struct f3_stream stream;
	enum turn turn = SHARED;
	bool ready = false;
	struct head head;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, WAKE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	while (turn != SHARED || next_turn(l)) {
		uint64_t now;
		int n;

		do {
			n = fuse_session_receive_buf(se, &buf);
		} while ((n == -EINTR || n == -EAGAIN) && !fuse_session_exited(se));
		if (n <= 0 || fuse_session_exited(se)) {
			leave(l, turn);
			break;
		}
		if (!ready) {
			make_pages(&buf, n);
			ready = true;
		}
		now = f3_clock_mono_ns();
		look_at(&buf, &head);
		if (turn == SPRINT) {
			/* Pauses are the guard's business here, hence no time. */
			f3_stream_saw(&stream, head.pid, head.bulk, 0);
			if (stream.familiar && f3_runner_sprints(l->runner)) {
				f3_request_begins(buf.mem);
				fuse_session_process_buf(se, &buf);
				f3_runner_served(l->runner, head.pid, now);
				continue;
			}
			end_sprint(l);
			turn = SHARED;
		} else {
			turn = took_request(l, &head, now);
			if (turn == SPRINT)
				stream = (struct f3_stream){ head.pid, F3_STREAM_MAX, 0 };
		}
		f3_request_begins(buf.mem);
		fuse_session_process_buf(se, &buf);
		if (turn == FORGETS)
			gather_forgets(l);
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
	f3_cond_init(&l->gathered);
	l->limit = f->uring ? 1 : READERS;
	*ret_l = l;
	return 0;
}

void f3_loop_free(struct f3_loop *l)
{
	if (!l)
		return;
	pthread_cond_destroy(&l->come_in);
	pthread_cond_destroy(&l->left);
	pthread_cond_destroy(&l->gathered);
	f3_lock_done(&l->lock);
	free(l);
}

int f3_loop_run(struct f3_loop *l)
{
	struct sigaction action = { .sa_handler = wake }; /* without SA_RESTART */
	unsigned n = l->f->threads < THREADS_MAX ? l->f->threads : THREADS_MAX;
	int r = 0;

	sigaction(WAKE_SIGNAL, &action, NULL);
	if (l->f->sprint && !l->f->uring) {
		l->runner = f3_runner_new(l->f->sprint, true, &runner_ops, l);
		if (!l->runner)
			return -ENOMEM;
	}
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
	/* While one reads f3_loop_stop sends signals to all: none is joined before. */
	f3_lock(&l->lock);
	while (!l->over || l->reading)
		f3_cond_wait(&l->left, &l->lock, 0);
	f3_unlock(&l->lock);
	for (unsigned i = 0; i < l->n; i++)
		pthread_join(l->threads[i], NULL);
	return r;
}
