/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/metric.h"
#include "fs/core/activation.h"
#include "fs/core/evict.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/ns.h"
#include "fs/core/store_attr.h"
#include "fs/core/store_dir.h"
#include "fs/core/store_op.h"

static struct f3_counter at_open = {
	.name = "f3_fetches_total",
	.labels = "when=\"open\"",
	.help = "First bytes of objects fetched at an open, and small objects fetched ahead of it.",
};
static struct f3_counter ahead = { .name = "f3_fetches_total", .labels = "when=\"ahead\"" };
static struct f3_counter used = {
	.name = "f3_fetches_used_total",
	.labels = "",
	.help = "Small objects that were fetched ahead and then opened.",
};

void f3_fetch_register_metrics(void)
{
	ahead.help = at_open.help;
	f3_counter_register(&at_open);
	f3_counter_register(&ahead);
	f3_counter_register(&used);
}

/* One that is fetched ahead. The store's while under way, then of its work. */
struct f3_fetch {
	struct f3_core *core;
	struct f3_inode *inode, *dir; /* referenced */
	struct f3_obj_op op;
	struct f3_work work;
	struct f3_waiter_list waiters; /* inode's lock */
	uint64_t asked_ns, bytes; /* of the budget */
	char name[F3_NAME_MAX + 1], key[F3_KEY_MAX + 1], etag[F3_ETAG_MAX + 1];
	unsigned char buf[];
};

/* Nothing of it is here, and nobody is about to change that. Inode lock held. */
static bool is_absent(const struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;

	return S_ISREG(rec->mode) && rec->state == F3_STATE_REMOTE && !inode->dead &&
	       !inode->extents && !inode->fill && rec->etag[0] && rec->size &&
	       rec->size == rec->store_size && f3_class_in_store((enum f3_class)rec->class_);
}

static bool worth_it(const struct f3_volume *v)
{
	return v && v->store && !v->store->caps.list_has_attr;
}

/* ---- Landing ---- */

static int write_all(int fd, const char *buf, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, buf + done, len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (uint64_t)n;
	}
	return 0;
}

static int write_backing(struct f3_inode *inode, uint32_t number, const void *buf,
			 struct stat *ret_st)
{
	const struct f3_inode_rec *rec = &inode->rec;
	struct f3_backing_store *store = f3_file_store(inode);
	struct timespec times[2] = { f3_timespec_from_ns(rec->atime_ns),
				     f3_timespec_from_ns(rec->mtime_ns) };
	int r, fd = f3_backing_create_anew(store, inode->ino, number);

	if (fd < 0)
		return fd;
	close(fd);
	fd = f3_backing_open_file(store, inode->ino, number, O_RDWR);
	r = fd < 0 ? fd : write_all(fd, buf, rec->size);
	/* The record's times are the file's; what natively changes from here on is a program's. */
	if (!r && (futimens(fd, times) || fstat(fd, ret_st)))
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r)
		f3_backing_unlink(store, inode->ino, number);
	return r;
}

/* All bytes of the object it stands for. Inode lock held. */
static int land(struct f3_core *core, struct f3_inode *inode, const void *buf)
{
	struct f3_inode_rec *rec = &inode->rec, was = *rec;
	struct f3_batch *b;
	struct stat st;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	r = write_backing(inode, was.backing + 1, buf, &st);
	if (!r) {
		rec->backing = was.backing + 1;
		rec->base_limit = 0;
		rec->state = F3_STATE_CLEAN;
		f3_file_account(core, inode, rec->size, (uint64_t)st.st_blocks);
		if (was.backing)
			f3_batch_del_extents(b, inode->ino);
		f3_batch_put_inode(b, rec);
		r = f3_batch_commit(b);
		if (r) {
			f3_backing_unlink(f3_file_store(inode), inode->ino, rec->backing);
			f3_file_account(core, inode, was.size, was.blocks);
			rec->backing = was.backing;
			rec->base_limit = was.base_limit;
			rec->state = was.state;
		} else {
			f3_file_seen(inode, &st);
		}
	}
	f3_batch_free(b);
	return r;
}

/* ---- At an open ---- */

int f3_fetch_first(struct f3_core *core, struct f3_inode *inode, const char *key,
		   struct f3_obj_op *op, struct f3_fetched *ret_got)
{
	struct f3_volume *v = inode->volume;
	uint64_t len = 0;

	*ret_got = (struct f3_fetched){ .buf = NULL };
	f3_lock(&inode->lock);
	if (worth_it(v) && is_absent(inode))
		len = inode->rec.size < F3_FETCH_BYTES ? inode->rec.size : F3_FETCH_BYTES;
	f3_unlock(&inode->lock);
	if (len && !f3_budget_try_take(core->budget, F3_ACCT_BUFFERS, len)) {
		ret_got->bytes = len;
		ret_got->buf = malloc(len);
	}
	if (ret_got->buf) {
		f3_object_op_init(op, F3_OBJ_GET);
		op->key = key;
		op->len = len;
		op->buf = ret_got->buf;
		f3_count(&at_open, 1);
		/* An object that has become empty has no range, and this answer no headers of it. */
		if (f3_store_run(v, op) || op->info.etag[0])
			return op->result;
		f3_object_op_done(op);
		f3_fetched_done(core, ret_got);
	}
	return f3_store_head(v, op, key, F3_OBJ_WANT_OBJECT);
}

void f3_fetched_done(struct f3_core *core, struct f3_fetched *got)
{
	free(got->buf);
	if (got->bytes)
		f3_budget_give(core->budget, F3_ACCT_BUFFERS, got->bytes);
	*got = (struct f3_fetched){ .buf = NULL };
}

void f3_fetch_take(struct f3_core *core, struct f3_inode *inode, const struct f3_obj_op *op,
		   struct f3_fetched *got)
{
	bool same, whole;

	if (!got->buf)
		return;
	f3_lock(&inode->lock);
	same = is_absent(inode) && !strcmp(inode->rec.etag, op->info.etag) &&
	       inode->rec.size == op->info.size;
	whole = same && op->moved == op->info.size;
	if (whole)
		(void)land(core, inode, got->buf); /* then they are asked for again */
	f3_act_fetched(inode, op->moved);
	f3_unlock(&inode->lock);
	if (same && !whole && op->moved == op->len && !f3_evict_room(core, op->len) &&
	    !f3_fill_prepare(core, inode) &&
	    f3_fill_given(core, inode, op->info.etag, got->buf, op->len))
		*got = (struct f3_fetched){ .buf = NULL };
}

/* ---- Ahead ---- */

bool f3_fetch_vouched(struct f3_inode *inode)
{
	uint64_t then = inode->fetched_mono_ns, ttl = inode->volume->attr_ttl_ns;

	inode->fetched_mono_ns = 0;
	if (!then)
		return false;
	f3_count(&used, 1);
	if (ttl > F3_FETCH_VOUCH_NS)
		ttl = F3_FETCH_VOUCH_NS;
	return f3_clock_mono_ns() - then < ttl && (f3_file_complete(inode) || inode->extents);
}

bool f3_fetch_await(struct f3_inode *inode)
{
	struct f3_blocker b;
	bool there;

	f3_blocker_init(&b);
	f3_lock(&inode->lock);
	there = inode->fetch;
	if (there)
		f3_waiter_add(&inode->fetch->waiters, &b.w);
	f3_unlock(&inode->lock);
	if (there)
		(void)f3_blocker_wait(&b);
	f3_blocker_done(&b);
	return there;
}

/* It is over, and its inode has none any more. */
static void end(struct f3_fetch *f)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_core *core = f->core;
	struct f3_inode *inode = f->inode;

	f3_object_op_done(&f->op);
	f3_budget_give(core->budget, F3_ACCT_BUFFERS, f->bytes);
	inode->volume->fetching--;
	f3_lock(&inode->lock);
	inode->fetch = NULL;
	f3_waiters_collect(&f->waiters, 0, &ready);
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	f3_inode_put(core, f->dir);
	free(f);
	f3_inode_put(core, inode);
}

/* The names follow what the answer says of the object, then its bytes come here. On core->transfer:
 * this waits for the disk. */
static void take(struct f3_work *work)
{
	struct f3_fetch *f = (struct f3_fetch *)((char *)work - offsetof(struct f3_fetch, work));
	struct f3_merge_name m = { .info = &f->op.info, .asked = true };
	struct f3_inode *inode = f->inode;
	bool unsure;

	memcpy(m.name, f->name, sizeof(m.name));
	/* A link is asked for by who wants it. Another object, or none: the same. */
	if (!f->op.result && f->op.moved == f->op.info.size && !strcmp(f->op.info.etag, f->etag) &&
	    f3_store_attr_type(&f->op.info) == S_IFREG &&
	    !f3_store_merge(f->core, f->dir, &m, 1, f->asked_ns, &unsure)) {
		f3_lock(&inode->lock);
		if (is_absent(inode) && !inode->opens && !strcmp(inode->rec.etag, f->etag) &&
		    inode->rec.size == f->op.moved && inode->rec.parent == f->dir->ino &&
		    !land(f->core, inode, f->buf))
			inode->fetched_mono_ns = f->asked_ns;
		f3_act_fetched(inode, f->op.moved);
		f3_unlock(&inode->lock);
	}
	end(f);
}

static void answered(struct f3_obj_op *op)
{
	struct f3_fetch *f = op->owner;

	f3_store_counted(op, f->asked_ns);
	f->work.fn = take;
	if (f3_workq_push(f->core->transfer, &f->work))
		take(&f->work);
}

/* What is to be asked for, and that it is. 1: nothing. */
static int make_up(struct f3_inode *dir, struct f3_inode *inode, struct f3_fetch *f)
{
	const struct f3_inode_rec *rec = &inode->rec;
	int r = 1;

	f3_lock(&inode->lock);
	if (is_absent(inode) && !inode->fetch && !inode->opens && !inode->stage &&
	    rec->parent == dir->ino && rec->size == f->op.len) {
		memcpy(f->name, rec->name, sizeof(f->name));
		memcpy(f->etag, rec->etag, sizeof(f->etag));
		inode->fetch = f;
		r = 0;
	}
	f3_unlock(&inode->lock);
	return r;
}

int f3_fetch_ahead(struct f3_core *core, struct f3_inode *dir, struct f3_inode *inode)
{
	struct f3_volume *v = inode->volume;
	uint64_t size = 0, bytes;
	struct f3_fetch *f;
	int r;

	f3_lock(&inode->lock);
	if (is_absent(inode) && inode->rec.size <= F3_FETCH_BYTES && inode->rec.parent == dir->ino)
		size = inode->rec.size;
	f3_unlock(&inode->lock);
	if (!size || v != dir->volume)
		return 1;
	if (core->stopping)
		return -ESHUTDOWN;
	if (v->fetching >= F3_FETCH_PARALLEL)
		return -EAGAIN;
	bytes = sizeof(*f) + size;
	r = f3_evict_room(core, size);
	if (!r)
		r = f3_budget_try_take(core->budget, F3_ACCT_BUFFERS, bytes);
	if (r)
		return r;
	f = malloc(bytes);
	if (!f) {
		f3_budget_give(core->budget, F3_ACCT_BUFFERS, bytes);
		return -ENOMEM;
	}
	memset(f, 0, sizeof(*f));
	f3_object_op_init(&f->op, F3_OBJ_GET);
	f->core = core;
	f->inode = inode;
	f->dir = dir;
	f->bytes = bytes;
	f->asked_ns = f3_clock_mono_ns();
	f->op.done = answered;
	f->op.owner = f;
	f->op.key = f->key;
	f->op.cond = F3_OBJ_MATCH;
	f->op.etag = f->etag;
	f->op.len = size;
	f->op.buf = f->buf;
	if (make_up(dir, inode, f)) {
		f3_budget_give(core->budget, F3_ACCT_BUFFERS, bytes);
		free(f);
		return 1;
	}
	v->fetching++;
	f3_inode_ref(inode);
	f3_inode_ref(dir);
	r = f3_ns_key(core, dir, f->name, f->key, sizeof(f->key));
	if (r) {
		end(f);
		return 1;
	}
	f3_count(&ahead, 1);
	f3_store_submit(v, &f->op);
	return 0;
}

void f3_fetch_stop(struct f3_inode *inode)
{
	struct f3_obj_op *op = NULL;

	f3_lock(&inode->lock);
	if (inode->fetch)
		op = &inode->fetch->op;
	f3_unlock(&inode->lock);
	/* It may have ended meanwhile: its address is all that is looked at. */
	if (op)
		f3_object_cancel(inode->volume->store, op);
	(void)f3_fetch_await(inode);
}
