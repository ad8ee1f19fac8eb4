/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/local/ring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <liburing.h>

#include "fs/base/debug.h"
#include "fs/base/lock.h"
#include "fs/base/thread.h"
#include "fs/local/io.h"

#define DEPTH_MAX 4096u
#define POOL_THREADS 8

enum uring_state { URING_OFF, URING_STARTING, URING_ON };

struct f3_ring {
	struct f3_lock lock; /* guards everything down to in_flight */
	pthread_cond_t changed; /* in_flight fell, or the thread has started */
	struct f3_io *ready, **ready_tail; /* for the ring's thread */
	enum uring_state state;
	/* The thread waits in the kernel, or is about to: set under the lock. Unset without it as
	 * soon as it is awake, which at worst costs a wake-up too many. */
	_Atomic bool asleep;
	bool stopping;
	unsigned waiting; /* threads waiting for in_flight to fall */
	unsigned in_flight;

	unsigned depth;
	unsigned ops; /* bit per f3_io_op that io_uring does; fixed after start */
	int wake_fd; /* eventfd that the io_uring polls */
	struct f3_workq *pool;
	pthread_t thread;

	/* Of the ring's thread alone. */
	struct io_uring uring;
	unsigned in_kernel;
	struct f3_io *again; /* continues: its place in the kernel is kept */
};

/* Set on threads that call completion functions: those must never wait for room. */
static _Thread_local bool completing;

/* ---- Completion --------------------------------------------------------------------------- */

static void finished(struct f3_ring *ring, unsigned n)
{
	f3_lock(&ring->lock);
	ring->in_flight -= n;
	if (ring->waiting && ring->in_flight < ring->depth)
		pthread_cond_broadcast(&ring->changed);
	f3_unlock(&ring->lock);
}

static void pool_run(struct f3_work *work)
{
	struct f3_io *io = (struct f3_io *)((char *)work - offsetof(struct f3_io, work));
	struct f3_ring *ring = io->ring;

	completing = true;
	f3_io_run(io);
	io->done(io);
	completing = false;
	finished(ring, 1);
}

static void give_to_pool(struct f3_ring *ring, struct f3_io *io)
{
	io->work.fn = pool_run;
	/* Has no bound of its own (in_flight is it) and has a thread since the ring was made. */
	f3_workq_push(ring->pool, &io->work);
}

/* ---- The io_uring and its thread ------------------------------------------------------------ */

static void wake(struct f3_ring *ring)
{
	static const uint64_t one = 1;

	/* Never read, so it can only grow; each write is an event. EAGAIN (2^64 wake-ups) still
	 * means that the thread has been told. */
	if (write(ring->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void prepare(struct f3_ring *ring, struct f3_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
	char *buf = (char *)io->buf + io->moved;
	uint64_t off = io->off + io->moved;

	switch (io->op) {
	case F3_IO_READ:
		io_uring_prep_read(sqe, io->fd, buf, f3_io_step_len(io), off);
		break;
	case F3_IO_WRITE:
		io_uring_prep_write(sqe, io->fd, buf, f3_io_step_len(io), off);
		break;
	case F3_IO_FSYNC:
		io_uring_prep_fsync(sqe, io->fd, 0);
		break;
	case F3_IO_FDATASYNC:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	case F3_IO_FALLOCATE:
		io_uring_prep_fallocate(sqe, io->fd, io->mode, (off_t)io->off, (off_t)io->len);
		break;
	case F3_IO_CLOSE: /* never in ring->ops */
	case F3_IO_NOP:
		io_uring_prep_nop(sqe);
		break;
	}
	io_uring_sqe_set_data(sqe, io);
}

static void watch_wake_fd(struct f3_ring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	io_uring_prep_poll_multishot(sqe, ring->wake_fd, POLLIN);
	io_uring_sqe_set_data(sqe, NULL);
}

/* Moves what is ready into the kernel's queue as far as there is room. False: the end. */
static bool take_ready(struct f3_ring *ring)
{
	struct f3_io *taken, **link = &ring->ready;

	while (ring->again) {
		struct f3_io *io = ring->again;

		ring->again = io->next;
		prepare(ring, io);
	}
	f3_lock(&ring->lock);
	while (*link && ring->in_kernel < ring->depth) {
		ring->in_kernel++;
		link = &(*link)->next;
	}
	taken = ring->ready;
	if (link == &ring->ready)
		taken = NULL;
	ring->ready = *link;
	*link = NULL;
	if (!ring->ready)
		ring->ready_tail = &ring->ready;
	if (ring->stopping && !ring->ready && !ring->in_kernel) {
		f3_unlock(&ring->lock);
		return false;
	}
	/* What is left over waits for a completion, which wakes the thread by itself. */
	ring->asleep = true;
	f3_unlock(&ring->lock);

	while (taken) {
		struct f3_io *next = taken->next;

		prepare(ring, taken);
		taken = next;
	}
	return true;
}

/* True if the operation is over and its completion function has run. */
static bool complete(struct f3_ring *ring, struct f3_io *io, int64_t answer)
{
	if (answer == -EAGAIN || answer == -ECANCELED) {
		/* Where a step would have to wait and cannot be told to, a thread waits; what the
		 * kernel took back without our asking it does by plain calls. */
		ring->in_kernel--;
		give_to_pool(ring, io);
		return false;
	}
	if (answer == -EINTR || !f3_io_step(io, answer)) {
		io->next = ring->again;
		ring->again = io;
		return false;
	}
	ring->in_kernel--;
	io->done(io);
	return true;
}

static void reap(struct f3_ring *ring)
{
	struct io_uring_cqe *cqe;
	unsigned n_done = 0;

	while (!io_uring_peek_cqe(&ring->uring, &cqe)) {
		struct f3_io *io = io_uring_cqe_get_data(cqe);
		bool more = cqe->flags & IORING_CQE_F_MORE;
		int64_t answer = cqe->res;

		io_uring_cqe_seen(&ring->uring, cqe);
		if (io)
			n_done += complete(ring, io, f3_io_answer(io, answer));
		else if (!more)
			watch_wake_fd(ring);
	}
	if (n_done)
		finished(ring, n_done);
}

/* Closing is not among them: io_uring says that it is done before the file's blocks are freed, and
 * may free them on the ring's thread. */
static unsigned probe_ops(struct io_uring *uring)
{
	static const int needed[] = { IORING_OP_NOP, IORING_OP_POLL_ADD, IORING_OP_READ,
				      IORING_OP_WRITE, IORING_OP_FSYNC };
	struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
	unsigned ops = 1u << F3_IO_READ | 1u << F3_IO_WRITE | 1u << F3_IO_FSYNC |
		       1u << F3_IO_FDATASYNC | 1u << F3_IO_NOP;

	if (!probe)
		return 0;
	if (io_uring_opcode_supported(probe, IORING_OP_FALLOCATE))
		ops |= 1u << F3_IO_FALLOCATE;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!io_uring_opcode_supported(probe, needed[i]))
			ops = 0;
	io_uring_free_probe(probe);
	return ops;
}

/* 0 or -errno: no io_uring here. On the ring's thread, which becomes its only issuer. */
static int open_uring(struct f3_ring *ring)
{
	/* Completions are finished when this thread asks for them, without interrupting it; a
	 * kernel before 6.1 does not know that way. */
	struct io_uring_params p = { .flags = IORING_SETUP_SINGLE_ISSUER |
					      IORING_SETUP_DEFER_TASKRUN };
	int r = io_uring_queue_init_params(ring->depth + 1, &ring->uring, &p);

	if (r == -EINVAL) {
		memset(&p, 0, sizeof(p));
		r = io_uring_queue_init_params(ring->depth + 1, &ring->uring, &p);
	}
	if (r)
		return r;
	/* 5.13 has multishot poll, which says nothing about itself; this feature came with it. */
	if (p.features & IORING_FEAT_RSRC_TAGS)
		ring->ops = probe_ops(&ring->uring);
	if (!ring->ops) {
		io_uring_queue_exit(&ring->uring);
		return -ENOSYS;
	}
	return 0;
}

static void *ring_main(void *arg)
{
	struct f3_ring *ring = arg;
	int r = open_uring(ring), injected;

	f3_lock(&ring->lock);
	ring->state = r ? URING_OFF : URING_ON;
	pthread_cond_broadcast(&ring->changed);
	f3_unlock(&ring->lock);
	if (r)
		return NULL;

	completing = true;
	watch_wake_fd(ring);
	while (take_ready(ring)) {
		/* Errors are passing ones (EINTR; EAGAIN and EBUSY: short of memory or of room for
		 * completions): the queue keeps what was not taken, the next turn tries again. */
		if (!f3_fault("ring.submit", &injected))
			io_uring_submit_and_wait(&ring->uring, 1);
		ring->asleep = false;
		reap(ring);
	}
	io_uring_queue_exit(&ring->uring);
	return NULL;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void start_uring(struct f3_ring *ring)
{
	ring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->wake_fd < 0)
		return;
	ring->state = URING_STARTING;
	if (f3_thread_start(&ring->thread, "ring", ring_main, ring)) {
		ring->state = URING_OFF;
		return;
	}
	f3_lock(&ring->lock);
	while (ring->state == URING_STARTING)
		f3_cond_wait(&ring->changed, &ring->lock, 0);
	f3_unlock(&ring->lock);
	if (ring->state == URING_OFF)
		pthread_join(ring->thread, NULL);
}

static void no_work(struct f3_work *work)
{
	work->fn = NULL;
}

/* Its first thread is there before it is needed, where a failure can still be reported. */
static int start_pool(struct f3_ring *ring)
{
	struct f3_work first = { .fn = no_work };
	int r = f3_workq_new("io", POOL_THREADS, SIZE_MAX, &ring->pool);

	if (r)
		return r;
	r = f3_workq_push(ring->pool, &first);
	if (!r)
		f3_workq_drain(ring->pool);
	return r;
}

int f3_ring_new(unsigned depth, bool allow_io_uring, struct f3_ring **ret_ring, struct f3_err *err)
{
	struct f3_ring *ring;
	int r;

	if (!depth || depth > DEPTH_MAX)
		return f3_err_set(err, -EINVAL, "I/O depth must be 1 to %u", DEPTH_MAX);
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return f3_err_set(err, -ENOMEM, "no memory for the I/O ring");
	f3_lock_init(&ring->lock, F3_RANK_LOCAL);
	f3_cond_init(&ring->changed);
	ring->ready_tail = &ring->ready;
	ring->depth = depth;
	ring->wake_fd = -1;
	r = start_pool(ring);
	if (r) {
		f3_ring_free(ring);
		return f3_err_set(err, r, "cannot start a thread for I/O: %s", strerror(-r));
	}
	if (allow_io_uring)
		start_uring(ring);
	*ret_ring = ring;
	return 0;
}

void f3_ring_drain(struct f3_ring *ring)
{
	if (!ring)
		return;
	f3_lock(&ring->lock);
	ring->waiting++;
	while (ring->in_flight)
		f3_cond_wait(&ring->changed, &ring->lock, 0);
	ring->waiting--;
	f3_unlock(&ring->lock);
}

void f3_ring_free(struct f3_ring *ring)
{
	if (!ring)
		return;
	f3_ring_drain(ring);
	f3_lock(&ring->lock);
	ring->stopping = true;
	f3_unlock(&ring->lock);

	if (ring->state == URING_ON) {
		wake(ring);
		pthread_join(ring->thread, NULL);
	}
	if (ring->wake_fd >= 0)
		close(ring->wake_fd);
	f3_workq_free(ring->pool);
	pthread_cond_destroy(&ring->changed);
	f3_lock_done(&ring->lock);
	free(ring);
}

static bool submit(struct f3_ring *ring, struct f3_io *io, bool wait)
{
	/* io_uring takes offset -1 for "where the file stands": no offset may turn into that. */
	bool to_uring = ring->state == URING_ON && ring->ops & 1u << io->op && io->off <= INT64_MAX;
	bool asleep;

	f3_lock(&ring->lock);
	while (ring->in_flight >= ring->depth && !completing) {
		if (!wait) {
			f3_unlock(&ring->lock);
			return false;
		}
		ring->waiting++;
		f3_cond_wait(&ring->changed, &ring->lock, 0);
		ring->waiting--;
	}
	io->ring = ring;
	io->moved = 0;
	io->next = NULL;
	ring->in_flight++;
	asleep = ring->asleep;
	if (to_uring) {
		*ring->ready_tail = io;
		ring->ready_tail = &io->next;
		ring->asleep = false;
	}
	f3_unlock(&ring->lock);

	if (!to_uring)
		give_to_pool(ring, io);
	else if (asleep && !pthread_equal(pthread_self(), ring->thread))
		wake(ring);
	return true;
}

void f3_ring_submit(struct f3_ring *ring, struct f3_io *io)
{
	submit(ring, io, true);
}

bool f3_ring_try_submit(struct f3_ring *ring, struct f3_io *io)
{
	return submit(ring, io, false);
}

bool f3_ring_is_uring(const struct f3_ring *ring)
{
	return ring->state == URING_ON;
}

unsigned f3_ring_in_flight(struct f3_ring *ring)
{
	unsigned n;

	f3_lock(&ring->lock);
	n = ring->in_flight;
	f3_unlock(&ring->lock);
	return n;
}
