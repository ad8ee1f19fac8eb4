/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring: asynchronous I/O of the daemon on its own files.
 *
 * io_uring where the kernel lets us, else a small pool of threads doing the same calls (chosen
 * by a probe at start: seccomp or a container may deny io_uring_setup; single operations that a
 * kernel lacks go to the pool one by one).
 *
 * One thread owns the io_uring: it alone submits and reaps, and it sleeps in the kernel while
 * nothing is under way. Submitters hand their f3_io over in a list. It is not left to them to
 * enter the kernel because io_uring cancels what a thread has under way when that thread
 * ends, and interrupts system calls of the thread to finish its requests.
 *
 * Completion functions run on that thread or on threads of the pool, so two may run at once; they
 * may submit more, reply to the kernel and push work, but must not block.
 *
 * An f3_io is embedded in its owner and belongs to the ring from submit to its completion.
 * Short reads and writes are continued here until the end of the range, EOF or an error;
 * EINTR, EAGAIN and ECANCELED never reach the owner. Depth is bounded: beyond it f3_ring_submit blocks
 * the submitter, but never a completion function: what those submit waits in the ring's list.
 */
#ifndef F3_LOCAL_RING_H
#define F3_LOCAL_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/workq.h"

enum f3_io_op {
	F3_IO_READ, /* buf, len, off: result = bytes, short only at EOF */
	F3_IO_WRITE, /* buf, len, off: result = len or -errno */
	F3_IO_FSYNC,
	F3_IO_FDATASYNC,
	F3_IO_FALLOCATE, /* mode, off, len */
	F3_IO_CLOSE, /* fd, usually the last of a large deleted file: done = freed */
	F3_IO_NOP,
};

struct f3_ring;

struct f3_io {
	enum f3_io_op op;
	int fd;
	void *buf;
	size_t len;
	uint64_t off;
	int mode;
	void (*done)(struct f3_io *io);
	int64_t result; /* valid in done */
	/* the ring's own */
	size_t moved;
	struct f3_ring *ring;
	struct f3_io *next;
	struct f3_work work;
};

/* depth: operations under way before submitters wait, 1 to 4096. allow_io_uring = false forces
 * the thread pool (configuration, tests). */
int f3_ring_new(unsigned depth, bool allow_io_uring, struct f3_ring **ret_ring, struct f3_err *err);
/* Waits until everything submitted is over, its completion functions too. */
void f3_ring_drain(struct f3_ring *ring);
/* The same, and joins. */
void f3_ring_free(struct f3_ring *ring);
/* May block (see above): hold no lock that a completion function takes. */
void f3_ring_submit(struct f3_ring *ring, struct f3_io *io);
/* Does not block: false, and nothing has happened, where f3_ring_submit would. */
bool f3_ring_try_submit(struct f3_ring *ring, struct f3_io *io);
/* The same operation on the calling thread, without a ring: `done` is not called. Who has to wait
 * anyway is served sooner like this (a cached 4 KiB read: 1 us instead of 5). Blocks on the
 * disk. Returns the result. */
int64_t f3_io_run(struct f3_io *io);
bool f3_ring_is_uring(const struct f3_ring *ring);
unsigned f3_ring_in_flight(struct f3_ring *ring);

#endif
