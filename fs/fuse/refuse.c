/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/fuse/refuse.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/process.h"

/* The kernel wants room for its largest request: F3_FUSE_MAX_IO and the headers. */
#define BUFFER_BYTES ((1u << 20) + 65536u)
/* linux/fuse.h since 6.9 */
#define NOTIFY_RESEND 7

int f3_fuse_resend(int fd)
{
	const struct fuse_out_header out = { .len = sizeof(out), .error = NOTIFY_RESEND };

	return write(fd, &out, sizeof(out)) == (ssize_t)sizeof(out) ? 0 : -errno;
}

int f3_fuse_wake(int fd, uint64_t kh)
{
	const struct {
		struct fuse_out_header out;
		struct fuse_notify_poll_wakeup_out wake;
	} notice = {
		.out = { .len = sizeof(notice), .error = FUSE_NOTIFY_POLL },
		.wake = { .kh = kh },
	};

	return write(fd, &notice, sizeof(notice)) < 0 ? -errno : 0;
}

int f3_fuse_answer(int fd, uint64_t unique, int error)
{
	const struct fuse_out_header out = {
		.len = sizeof(out),
		.error = error,
		.unique = unique,
	};

	/* ENOENT: whoever asked has gone. */
	if (write(fd, &out, sizeof(out)) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static struct f3_kept_open *find(struct f3_keep *keep, uint64_t fh)
{
	struct f3_kept_open *o = fh ? f3_keep_open(keep, f3_kept_slot(fh)) : NULL;

	return o && atomic_load(&o->fh) == fh ? o : NULL;
}

/* Whoever closes it is still on his way out while it is not answered: the last word on it counts. */
static void flushed(struct f3_keep *keep, const void *request, size_t size)
{
	const struct fuse_in_header *in = request;
	const struct fuse_flush_in *flush = (const void *)(in + 1);
	struct f3_kept_open *o = size < sizeof(*in) + sizeof(*flush) ? NULL : find(keep, flush->fh);
	uint32_t flags;
	int status = 0;

	if (!o || !(o->flags & F3_KEPT_WRITER))
		return;
	flags = o->flags & ~(uint32_t)(F3_KEPT_KILLED | F3_KEPT_STATUS);
	if (f3_process_ends((pid_t)in->pid, &status) && WIFSIGNALED(status))
		flags |= F3_KEPT_KILLED;
	else if (WIFEXITED(status) && WEXITSTATUS(status))
		flags |= F3_KEPT_STATUS;
	o->flags = flags;
}

/* The kernel sends a release once, whatever it is answered. */
static void released(struct f3_keep *keep, const void *request, size_t size)
{
	const struct fuse_in_header *in = request;
	const struct fuse_release_in *release = (const void *)(in + 1);
	struct f3_kept_open *o =
		size < sizeof(*in) + sizeof(*release) ? NULL : find(keep, release->fh);

	if (o && o->flags & (F3_KEPT_KILLED | F3_KEPT_STATUS))
		o->flags |= F3_KEPT_GONE;
	else if (o)
		atomic_store(&o->fh, 0);
}

int f3_refuse_one(int fd, struct f3_keep *keep)
{
	static _Alignas(16) char request[BUFFER_BYTES];
	const struct fuse_in_header *in = (const void *)request;
	ssize_t n = read(fd, request, sizeof(request));

	if (n < 0)
		return errno == EINTR || errno == ENOENT ? 0 : -errno;
	if ((size_t)n < sizeof(*in))
		return -EIO;
	switch (in->opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return 0;
	case FUSE_FLUSH:
		flushed(keep, request, (size_t)n);
		return f3_fuse_answer(fd, in->unique, -EIO);
	case FUSE_RELEASE:
		released(keep, request, (size_t)n);
		return f3_fuse_answer(fd, in->unique, 0);
	case FUSE_RELEASEDIR:
	case FUSE_DESTROY:
		return f3_fuse_answer(fd, in->unique, 0);
	default:
		return f3_fuse_answer(fd, in->unique, -EIO);
	}
}
