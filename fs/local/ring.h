/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring: asynchronous I/O of the daemon on its own files.
 *
 * io_uring where the kernel lets us, else a small pool of threads doing the same calls (chosen
 * by a probe at start: seccomp or a container may deny io_uring_setup or single operations).
 * One ring, many submitters, one thread that reaps; it blocks in the kernel while nothing is
 * under way. Completion functions run on that thread: they may submit more, reply to the
 * kernel and push work, but must not block.
 *
 * An f3_io is embedded in its owner and belongs to the ring from submit to its completion.
 * Short reads and writes are continued here until the end of the range, EOF or an error;
 * EINTR and EAGAIN never reach the owner. Queue depth is bounded: beyond it f3_ring_submit
 * blocks the submitter (never the reaper, which has a reserve).
 */
#ifndef F3_LOCAL_RING_H
#define F3_LOCAL_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"

enum f3_io_op {
	F3_IO_READ,		/* buf, len, off: result = bytes, short only at EOF */
	F3_IO_WRITE,		/* buf, len, off: result = len or -errno */
	F3_IO_FSYNC,
	F3_IO_FDATASYNC,
	F3_IO_FALLOCATE,	/* mode, off, len */
	F3_IO_UNLINK,		/* fd = directory, path */
	F3_IO_CLOSE,		/* fd */
	F3_IO_NOP,
};

struct f3_io {
	enum f3_io_op op;
	int fd;
	void *buf;
	size_t len;
	uint64_t off;
	int mode;
	const char *path;
	void (*done)(struct f3_io *io);
	int64_t result;		/* valid in done */
	/* the ring's own */
	size_t moved;
	struct f3_io *next;
};

struct f3_ring;

/* allow_io_uring = false forces the thread pool (configuration, tests). */
int f3_ring_new(unsigned depth, bool allow_io_uring, struct f3_ring **ret_ring,
		struct f3_err *err);
/* Waits for everything submitted, joins. */
void f3_ring_free(struct f3_ring *ring);
void f3_ring_submit(struct f3_ring *ring, struct f3_io *io);
/* Submits and waits. Not from a completion function. Returns the result. */
int64_t f3_ring_run(struct f3_ring *ring, struct f3_io *io);
bool f3_ring_is_uring(const struct f3_ring *ring);
unsigned f3_ring_in_flight(const struct f3_ring *ring);

#endif
