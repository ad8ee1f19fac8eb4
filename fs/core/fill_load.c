/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/fill_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/base/log.h"

struct f3_fill *f3_fill_new(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_fill *fill = calloc(1, sizeof(*fill));

	if (!fill)
		return NULL;
	fill->unsaved = f3_extents_new();
	if (!fill->unsaved) {
		free(fill);
		return NULL;
	}
	TAILQ_INIT(&fill->transfers);
	TAILQ_INIT(&fill->ended);
	f3_cond_init(&fill->moved);
	fill->fd = fill->direct_fd = -1;
	fill->core = core;
	fill->inode = inode;
	f3_fill_tidy_init(fill);
	/* A file that is dirty already, or being written. */
	fill->careful = inode->rec.state != F3_STATE_FILLING && inode->rec.state != F3_STATE_REMOTE;
	return fill;
}

void f3_fill_free(struct f3_fill *fill)
{
	if (!fill)
		return;
	f3_extents_free(fill->unsaved);
	pthread_cond_destroy(&fill->moved);
	free(fill);
}

/* A sparse file as long as the file is. What an earlier run left under the number is not ours. */
static int make_sparse(struct f3_inode *inode, uint32_t number, struct stat *ret_st)
{
	struct f3_backing_store *store = f3_file_store(inode);
	int r, fd = f3_backing_create_anew(store, inode->ino, number);

	if (fd < 0)
		return fd;
	close(fd);
	fd = f3_backing_open_file(store, inode->ino, number, O_RDWR);
	r = fd < 0 ? fd : 0;
	if (!r && (ftruncate(fd, (off_t)inode->rec.size) || fstat(fd, ret_st)))
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r)
		f3_backing_unlink(store, inode->ino, number);
	return r;
}

/* Nothing of it is here: a new sparse file. Inode lock held. */
static int begin(struct f3_core *core, struct f3_inode *inode, struct f3_file_gone *gone)
{
	struct f3_inode_rec *rec = &inode->rec, old = *rec;
	uint64_t limit = rec->store_size < rec->size ? rec->store_size : rec->size;
	uint32_t number = rec->backing + 1;
	struct f3_extents *x = NULL;
	struct f3_fill *fill = NULL;
	struct f3_batch *b = NULL;
	struct stat st;
	int r;

	/* What was cut off by a truncate is not wanted. */
	if (rec->state != F3_STATE_REMOTE && rec->base_limit && limit > rec->base_limit)
		limit = rec->base_limit;
	r = make_sparse(inode, number, &st);
	if (r)
		return r;
	if (limit) {
		x = f3_extents_new();
		fill = f3_fill_new(core, inode);
	}
	r = limit && (!x || !fill) ? -ENOMEM : f3_batch_new(core->meta, &b);
	if (!r) {
		rec->backing = number;
		rec->base_limit = limit;
		if (rec->state == F3_STATE_REMOTE || rec->state == F3_STATE_FILLING)
			rec->state = limit ? F3_STATE_FILLING : F3_STATE_CLEAN;
		f3_batch_del_extents(b, inode->ino);
		f3_batch_put_inode(b, rec);
		r = f3_batch_commit(b);
	}
	f3_batch_free(b);
	if (r) {
		*rec = old;
		f3_fill_free(fill);
		f3_extents_free(x);
		f3_backing_unlink(f3_file_store(inode), inode->ino, number);
		return r;
	}
	*gone = (struct f3_file_gone){
		.fd = inode->fd,
		.ino = inode->ino,
		.number = old.backing,
		.store = f3_file_store(inode),
	};
	inode->fd = -1;
	inode->extents = x;
	inode->fill = fill;
	f3_file_account(core, inode, rec->size, (uint64_t)st.st_blocks);
	f3_file_seen(inode, &st);
	return 0;
}

struct load {
	struct f3_extents *x;
	uint64_t limit;
	int fd;
	size_t keys;
};

/* What the database says is here, without what turns out to be a hole: bytes that were in the
 * page cache only when the machine went down. */
static int load_extent(void *arg, uint64_t start, uint64_t len)
{
	struct load *load = arg;
	uint64_t end;

	load->keys++;
	if (__builtin_add_overflow(start, len, &end) || end > load->limit)
		end = load->limit;
	while (start < end) {
		off_t data = lseek(load->fd, (off_t)start, SEEK_DATA), hole;
		int r;

		if (data < 0 && errno != ENXIO)
			return -errno;
		if (data < 0 || (uint64_t)data >= end)
			return 0;
		hole = lseek(load->fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if ((uint64_t)hole > end)
			hole = (off_t)end;
		r = f3_extents_add(load->x, (uint64_t)data, (uint64_t)(hole - data));
		if (r)
			return r;
		start = (uint64_t)hole;
	}
	return 0;
}

/* Part of it is here, from an earlier run. Inode lock held. */
static int load(struct f3_core *core, struct f3_inode *inode)
{
	struct load l = { .limit = inode->rec.base_limit };
	struct f3_fill *fill = NULL;
	struct stat st;
	int r = 0;

	l.fd = f3_backing_open_file(f3_file_store(inode), inode->ino, inode->rec.backing,
				    O_RDONLY | O_NOATIME);
	if (l.fd < 0)
		return l.fd;
	l.x = f3_extents_new();
	fill = f3_fill_new(core, inode);
	if (!l.x || !fill)
		r = -ENOMEM;
	if (!r && fstat(l.fd, &st))
		r = -errno;
	/* Cut shorter, and the record not written: what was cut off must not come back. */
	if (!r && (uint64_t)st.st_size < l.limit)
		l.limit = (uint64_t)st.st_size;
	if (!r)
		r = f3_meta_each_extent(core->meta, inode->ino, load_extent, &l);
	if (!r) {
		fill->n_keys = l.keys;
		inode->rec.base_limit = l.limit;
		inode->extents = l.x;
		inode->fill = fill;
		f3_file_seen(inode, &st);
		/* Complete already, or nothing left to want: the tidying says so. */
		f3_fill_tidy_soon(inode, fill);
	} else {
		f3_fill_free(fill);
		f3_extents_free(l.x);
	}
	close(l.fd);
	return r;
}

int f3_fill_prepare(struct f3_core *core, struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;
	struct f3_file_gone gone = { .fd = -1 };
	bool lost = false;
	int r = 0;

	f3_lock(&inode->lock);
	if (inode->extents || !f3_fill_incomplete(inode)) {
		f3_unlock(&inode->lock);
		return 0;
	}
	if (!rec->etag[0]) {
		r = -EIO; /* there is no object these bytes could come from */
	} else {
		if (rec->state != F3_STATE_REMOTE && rec->backing && rec->base_limit) {
			r = load(core, inode);
			lost = r == -ENOENT;
		}
		if (!inode->extents && (!r || lost))
			r = begin(core, inode, &gone);
	}
	f3_unlock(&inode->lock);
	f3_file_gone(core, &gone);
	if (lost)
		f3_log_warn("inode %" PRIu64 ": its cached copy was gone; it is fetched again",
			    inode->ino);
	return r;
}
