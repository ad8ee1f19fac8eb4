/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io: what one operation of the ring means, whoever carries it out.
 *
 * Private to fs/local. ring.c asks the kernel's io_uring to do one step of an operation, io.c
 * does it by plain system calls; both tell f3_io_step the kernel's answer, which decides whether
 * the operation is over. Pure apart from the system calls; an f3_io has one user at a time.
 */
#ifndef F3_LOCAL_IO_H
#define F3_LOCAL_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/local/ring.h"

/* The next step of a read or write: at most so much at once, so that it fits every interface. */
#define F3_IO_STEP_MAX (1u << 30)

static inline unsigned f3_io_step_len(const struct f3_io *io)
{
	size_t left = io->len - io->moved;

	return left < F3_IO_STEP_MAX ? (unsigned)left : F3_IO_STEP_MAX;
}

/* Takes one answer (bytes or -errno, not -EINTR). True: over, io->result is set. False: there is
 * more to do from io->moved on. */
bool f3_io_step(struct f3_io *io, int64_t answer);

/* What the kernel answered, or what a test wants it to have answered. The places (fs/base/debug.h)
 * are "io.read", "io.write", "io.fsync", "io.fdatasync", "io.fallocate", and "io.short": half of
 * what was moved was not. */
int64_t f3_io_answer(const struct f3_io *io, int64_t answer);

#endif
