/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/local/backing_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/base/debug.h"

#define KERNEL_STEP_BYTES (64u << 20) /* so that the thread can be interrupted now and then */
#define BUFFER_BYTES (1u << 20)

struct copy {
	int from, to;
	bool in_kernel; /* copy_file_range still works between these two */
	void *buffer; /* made when it does not */
};

/* Bytes, 0 at the end of the source, -errno. */
static int64_t copy_by_buffer(struct copy *c, uint64_t off, uint64_t len)
{
	struct f3_io io = { .op = F3_IO_READ, .fd = c->from, .off = off };
	int64_t n;

	if (!c->buffer)
		c->buffer = malloc(BUFFER_BYTES);
	if (!c->buffer)
		return -ENOMEM;
	io.buf = c->buffer;
	io.len = len < BUFFER_BYTES ? (size_t)len : BUFFER_BYTES;
	n = f3_io_run(&io);
	if (n <= 0)
		return n;
	io = (struct f3_io){
		.op = F3_IO_WRITE, .fd = c->to, .buf = c->buffer, .len = (size_t)n, .off = off
	};
	return f3_io_run(&io);
}

static int64_t copy_step(struct copy *c, uint64_t off, uint64_t len)
{
	while (c->in_kernel) {
		off_t off_in = (off_t)off, off_out = (off_t)off;
		size_t step = len < KERNEL_STEP_BYTES ? (size_t)len : KERNEL_STEP_BYTES;
		ssize_t n = copy_file_range(c->from, &off_in, c->to, &off_out, step, 0);

		if (n > 0)
			return n;
		/* Nothing copied can be the end, or a file system that says so wrongly. */
		if (n == 0)
			break;
		if (errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS)
			c->in_kernel = false;
		else if (errno != EINTR)
			return -errno;
	}
	return copy_by_buffer(c, off, len);
}

static int copy_range(struct copy *c, uint64_t off, uint64_t end)
{
	while (off < end) {
		int64_t n = copy_step(c, off, end - off);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		off += (uint64_t)n;
	}
	return 0;
}

/* The next range with data at or after off; one that ends at `size` where there is none. */
static int next_data(int fd, uint64_t off, uint64_t size, uint64_t *ret_start, uint64_t *ret_end)
{
	off_t start = lseek(fd, (off_t)off, SEEK_DATA), end;

	if (start < 0 && errno == ENXIO) {
		*ret_start = *ret_end = size;
		return 0;
	}
	if (start < 0 && errno == EINVAL) {
		*ret_start = off;
		*ret_end = size;
		return 0;
	}
	if (start < 0)
		return -errno;
	end = lseek(fd, start, SEEK_HOLE);
	if (end < 0)
		return -errno;
	/* The source may be growing: what is past the size it had is not ours to copy. */
	*ret_start = (uint64_t)start < size ? (uint64_t)start : size;
	*ret_end = (uint64_t)end < size ? (uint64_t)end : size;
	return 0;
}

static int copy_bytes(int from, int to)
{
	struct copy c = { .from = from, .to = to, .in_kernel = true };
	uint64_t off = 0, size, end = 0;
	struct stat st;
	int r = 0;

	if (fstat(from, &st))
		return -errno;
	size = (uint64_t)st.st_size;
	if (ftruncate(to, st.st_size))
		return -errno;
	while (!r && off < size) {
		r = next_data(from, off, size, &off, &end);
		if (!r)
			r = copy_range(&c, off, end);
		if (!r)
			off = end;
	}
	free(c.buffer);
	return r;
}

int f3_backing_clone(struct f3_backing_store *from, uint64_t ino, uint32_t number,
		     struct f3_backing_store *to, uint64_t to_ino, uint32_t to_number)
{
	int source, target, r = 0;

	source = f3_backing_open_file(from, ino, number, O_RDONLY | O_NOATIME);
	if (source < 0)
		return source;
	target = f3_backing_make(to, to_ino, to_number, O_RDWR);
	if (target < 0) {
		close(source);
		return target;
	}
	if (f3_fault("backing.clone", &r)) {
		/* the target goes again */
	} else if (!to->caps.reflink || ioctl(target, FICLONE, source)) {
		/* Another file system, or one out of space for it: the copy finds out. */
		r = copy_bytes(source, target);
	}
	close(source);
	close(target);
	if (r)
		f3_backing_unlink(to, to_ino, to_number);
	return r;
}
