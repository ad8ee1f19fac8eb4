/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/local/io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/base/debug.h"

bool f3_io_step(struct f3_io *io, int64_t answer)
{
	bool moves = io->op == F3_IO_READ || io->op == F3_IO_WRITE;

	if (answer == -EAGAIN || answer == -ECANCELED)
		answer = -EIO; /* said of an operation that cannot be tried another way */
	if (answer < 0 || !moves) {
		io->result = answer;
		return true;
	}
	io->moved += (size_t)answer;
	if (io->moved == io->len || (!answer && io->op == F3_IO_READ)) {
		io->result = (int64_t)io->moved;
		return true;
	}
	if (!answer) {
		/* A write that moves nothing and has no reason would be tried for ever. */
		io->result = -EIO;
		return true;
	}
	return false;
}

static int64_t call(const struct f3_io *io)
{
	off_t off = (off_t)(io->off + io->moved);

	switch (io->op) {
	case F3_IO_READ:
		return pread(io->fd, (char *)io->buf + io->moved, f3_io_step_len(io), off);
	case F3_IO_WRITE:
		return pwrite(io->fd, (char *)io->buf + io->moved, f3_io_step_len(io), off);
	case F3_IO_FSYNC:
		return fsync(io->fd);
	case F3_IO_FDATASYNC:
		return fdatasync(io->fd);
	case F3_IO_FALLOCATE:
		return fallocate(io->fd, io->mode, off, (off_t)io->len);
	case F3_IO_CLOSE:
		/* On Linux the descriptor is gone whatever close says: a second try could hit
		 * somebody else's. */
		return close(io->fd) && errno != EINTR ? -1 : 0;
	case F3_IO_NOP:
		return 0;
	}
	errno = EINVAL;
	return -1;
}

int64_t f3_io_answer(const struct f3_io *io, int64_t answer)
{
	static const char *const places[] = {
		[F3_IO_READ] = "io.read",
		[F3_IO_WRITE] = "io.write",
		[F3_IO_FSYNC] = "io.fsync",
		[F3_IO_FDATASYNC] = "io.fdatasync",
		[F3_IO_FALLOCATE] = "io.fallocate",
		[F3_IO_CLOSE] = "io.close",
		[F3_IO_NOP] = "io.nop",
	};
	int error;

	if (f3_fault(places[io->op], &error))
		return error;
	return answer > 1 && f3_fault("io.short", &error) ? answer / 2 : answer;
}

int64_t f3_io_run(struct f3_io *io)
{
	int64_t answer;

	io->moved = 0;
	do {
		do {
			answer = call(io);
			if (answer < 0)
				answer = -errno;
			answer = f3_io_answer(io, answer);
		} while (answer == -EINTR);
	} while (!f3_io_step(io, answer));
	return io->result;
}
