/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/unit/core_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/core/activation.h"
#include "fs/core/leftover.h"
#include "fs/core/evict.h"
#include "fs/core/fill.h"
#include "fs/core/fill_recent.h"
#include "fs/core/journal_run.h"
#include "tests/unit/unit.h"

#define INODES_MAX 4096

struct fixture fx;
struct fake_store *fake;

static struct f3_inode *inodes[INODES_MAX];
static unsigned n_inodes;

/* ---- The object store ---- */

uint8_t fixture_byte(uint64_t off)
{
	uint64_t v = off * 0x9e3779b97f4a7c15ull;

	/* Never zero: a hole is told from data. */
	return (uint8_t)(1 + (v >> 32) % 255);
}

static void fake_answer(struct f3_obj_op *op)
{
	uint8_t *to = op->buf;

	pthread_mutex_lock(&fake->lock);
	op->result = 0;
	if (fake->fail_times) {
		fake->fail_times--;
		op->result = fake->fail;
	} else if (!strcmp(op->key, fake->missing)) {
		op->result = -ENOENT;
	} else if (op->etag && strcmp(op->etag, fake->etag) != 0) {
		op->result = -ESTALE;
	}
	pthread_mutex_unlock(&fake->lock);
	if (!op->result) {
		for (uint64_t i = 0; i < op->len; i++)
			to[i] = fixture_byte(op->off + i);
		op->moved = op->len;
	}
	pthread_mutex_lock(&fake->lock);
	fake->running--;
	pthread_mutex_unlock(&fake->lock);
	op->done(op);
}

static void *fake_serve(void *arg)
{
	pthread_mutex_lock(&fake->lock);
	for (;;) {
		struct f3_obj_op *op = fake->first;

		if (!op && fake->stop)
			break;
		if (!op || fake->hold) {
			pthread_cond_wait(&fake->cond, &fake->lock);
			continue;
		}
		fake->first = op->priv[0];
		if (!fake->first)
			fake->last = NULL;
		fake->held--;
		pthread_mutex_unlock(&fake->lock);
		fake_answer(op);
		pthread_mutex_lock(&fake->lock);
	}
	pthread_mutex_unlock(&fake->lock);
	return arg;
}

static void fake_submit(struct f3_object_store *s, struct f3_obj_op *op)
{
	(void)s;
	ck_assert_int_eq(op->type, F3_OBJ_GET);
	pthread_mutex_lock(&fake->lock);
	fake->gets++;
	fake->get_bytes += op->len;
	if (op->len > fake->largest)
		fake->largest = op->len;
	if (++fake->running > fake->most_running)
		fake->most_running = fake->running;
	op->priv[0] = NULL;
	if (fake->last)
		fake->last->priv[0] = op;
	else
		fake->first = op;
	fake->last = op;
	fake->held++;
	pthread_cond_broadcast(&fake->cond);
	pthread_mutex_unlock(&fake->lock);
}

static void fake_cancel(struct f3_object_store *s, struct f3_obj_op *op)
{
	struct f3_obj_op *at, *before = NULL;

	(void)s;
	pthread_mutex_lock(&fake->lock);
	fake->cancels++;
	for (at = fake->first; at && at != op; at = at->priv[0])
		before = at;
	if (at) {
		if (before)
			before->priv[0] = op->priv[0];
		else
			fake->first = op->priv[0];
		if (fake->last == op)
			fake->last = before;
		fake->held--;
		fake->running--;
	}
	pthread_mutex_unlock(&fake->lock);
	if (at) {
		op->result = -ECANCELED;
		op->done(op);
	}
}

static int fake_ping(struct f3_object_store *s, struct f3_err *err)
{
	(void)s;
	(void)err;
	return 0;
}

static void fake_close(struct f3_object_store *s)
{
	(void)s;
	pthread_mutex_lock(&fake->lock);
	fake->stop = true;
	fake->hold = false;
	pthread_cond_broadcast(&fake->cond);
	pthread_mutex_unlock(&fake->lock);
	pthread_join(fake->thread, NULL);
	pthread_mutex_destroy(&fake->lock);
	pthread_cond_destroy(&fake->cond);
	free(fake);
	fake = NULL;
}

static const struct f3_object_ops fake_ops = {
	.scheme = "fake",
	.submit = fake_submit,
	.cancel = fake_cancel,
	.ping = fake_ping,
	.close = fake_close,
};

static void fake_open(void)
{
	fake = calloc(1, sizeof(*fake));
	ck_assert_ptr_nonnull(fake);
	fake->base.ops = &fake_ops;
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->cond, NULL);
	snprintf(fake->etag, sizeof(fake->etag), "etag-1");
	ck_assert_int_eq(pthread_create(&fake->thread, NULL, fake_serve, NULL), 0);
}

void fake_hold(bool hold)
{
	pthread_mutex_lock(&fake->lock);
	fake->hold = hold;
	pthread_cond_broadcast(&fake->cond);
	pthread_mutex_unlock(&fake->lock);
}

void fake_await_held(unsigned n)
{
	pthread_mutex_lock(&fake->lock);
	while (fake->held < n)
		pthread_cond_wait(&fake->cond, &fake->lock);
	pthread_mutex_unlock(&fake->lock);
}

unsigned fake_gets(void)
{
	unsigned n;

	pthread_mutex_lock(&fake->lock);
	n = fake->gets;
	pthread_mutex_unlock(&fake->lock);
	return n;
}

/* ---- The core ---- */

static void open_meta(void)
{
	const struct f3_kv_options kv_opt = { .block_cache_bytes = 1 << 20,
					      .write_buffer_bytes = 8 << 20,
					      .create = true };
	struct f3_meta_options opt = { .boot_id = "boot" };
	struct f3_err err = F3_ERR_INIT;
	struct f3_kv *kv = NULL;
	char db[96];

	snprintf(db, sizeof(db), "%s/db", fx.dir);
	ck_assert_msg(f3_meta_rocks_open(db, &kv_opt, &kv, &err) == 0, "%s", err.text);
	ck_assert_msg(f3_meta_open(kv, &opt, &fx.core.meta, &err) == 0, "%s", err.text);
}

void fixture_start(uint64_t memory_bytes)
{
	struct f3_core *core = &fx.core;
	struct f3_err err = F3_ERR_INIT;
	char dir[96];

	memset(&fx, 0, sizeof(fx));
	n_inodes = 0;
	snprintf(fx.dir, sizeof(fx.dir), "/tmp/f3-unit-core-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fx.dir));
	snprintf(core->cache_dir, sizeof(core->cache_dir), "%s", fx.dir);
	core->opt.fill_bytes = 4 << 20;
	core->opt.fill_parallel = 8;
	core->opt.retry_min_ns = 1000000;
	core->opt.retry_max_ns = 200000000;
	core->opt.space_wait_ns = 2000000000;
	for (size_t i = 0; i < F3_NAME_LOCKS; i++)
		f3_lock_init(&core->names[i], F3_RANK_NAMES);
	ck_assert_int_eq(f3_timers_start(), 0);
	ck_assert_int_eq(f3_budget_new(memory_bytes, &core->budget), 0);
	ck_assert_int_eq(f3_workq_new("transfer", 4, 65536, &core->transfer), 0);
	ck_assert_int_eq(f3_recent_new(core, &core->recent), 0);
	ck_assert_msg(f3_ring_new(64, true, &core->ring, &err) == 0, "%s", err.text);
	open_meta();
	fx.volume.id = 7;
	fx.volume.refs = 1;
	snprintf(fx.volume.name, sizeof(fx.volume.name), "vol");
	snprintf(dir, sizeof(dir), "%s/disk", fx.dir);
	ck_assert_msg(f3_backing_open(dir, core->ring, &fx.volume.disk, &err) == 0, "%s", err.text);
	snprintf(dir, sizeof(dir), "%s/memory", fx.dir);
	ck_assert_msg(f3_backing_open(dir, core->ring, &fx.volume.memory, &err) == 0, "%s",
		      err.text);
	fake_open();
	fx.volume.store = &fake->base;
	ck_assert_int_eq(f3_fill_gate_new(core, &fx.volume.fills), 0);
}

static void forget_inodes(void)
{
	for (unsigned i = 0; i < n_inodes; i++) {
		struct f3_inode *inode = inodes[i];

		f3_fill_stop(&fx.core, inode);
		f3_workq_drain(fx.core.transfer);
		/* A transfer gives its reference back last of all. */
		while (inode->refs != 1)
			sched_yield();
		if (inode->fd >= 0)
			close(inode->fd);
		f3_fill_free(inode->fill);
		f3_extents_free(inode->extents);
		f3_lock_done(&inode->lock);
		free(inode);
	}
	n_inodes = 0;
}

void fixture_restart(void)
{
	forget_inodes();
	f3_meta_close(fx.core.meta);
	open_meta();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void fixture_stop(void)
{
	forget_inodes();
	f3_timers_stop();
	f3_workq_free(fx.core.transfer);
	f3_fill_gate_free(fx.volume.fills);
	f3_object_close(fx.volume.store);
	f3_backing_close(fx.volume.disk);
	f3_backing_close(fx.volume.memory);
	f3_ring_free(fx.core.ring);
	f3_meta_close(fx.core.meta);
	f3_recent_free(fx.core.recent);
	ck_assert_uint_eq(f3_budget_used(fx.core.budget, F3_ACCT_BUFFERS), 0);
	f3_budget_free(fx.core.budget);
	nftw(fx.dir, remove_one, 10, FTW_DEPTH | FTW_PHYS);
}

/* ---- Inodes ---- */

static struct f3_inode *keep(const struct f3_inode_rec *rec)
{
	struct f3_inode *inode = calloc(1, sizeof(*inode));

	ck_assert_ptr_nonnull(inode);
	ck_assert_uint_lt(n_inodes, INODES_MAX);
	inode->ino = rec->ino;
	inode->refs = 1;
	inode->rec = *rec;
	inode->fd = inode->write_fd = -1;
	inode->volume = &fx.volume;
	inode->core = &fx.core;
	f3_lock_init(&inode->lock, F3_RANK_INODE);
	inodes[n_inodes++] = inode;
	return inode;
}

void fixture_commit(struct f3_inode *inode)
{
	struct f3_batch *b;

	ck_assert_int_eq(f3_batch_new(fx.core.meta, &b), 0);
	f3_lock(&inode->lock);
	f3_batch_put_inode(b, &inode->rec);
	ck_assert_int_eq(f3_batch_commit(b), 0);
	f3_unlock(&inode->lock);
	f3_batch_free(b);
}

static struct f3_inode_rec record(uint64_t ino, const char *name, uint64_t size, enum f3_class c)
{
	struct f3_inode_rec rec = {
		.ino = ino,
		.mode = S_IFREG | 0644,
		.nlink = 1,
		.size = size,
		.atime_ns = 1000000000,
		.mtime_ns = 2000000000,
		.ctime_ns = 2000000000,
		.volume = 7,
		.class_ = c,
		.backing_class = F3_CLASS_EPHEMERAL,
		.parent = 2,
	};

	rec.name_len = (uint8_t)strlen(name);
	snprintf(rec.name, sizeof(rec.name), "%s", name);
	return rec;
}

struct f3_inode *fixture_remote(uint64_t ino, const char *name, uint64_t size)
{
	struct f3_inode_rec rec = record(ino, name, size, F3_CLASS_DURABLE);
	struct f3_inode *inode;

	rec.state = F3_STATE_REMOTE;
	rec.store_size = size;
	snprintf(rec.etag, sizeof(rec.etag), "%s", fake->etag);
	inode = keep(&rec);
	inode->checked_mono_ns = 1;
	fixture_commit(inode);
	return inode;
}

struct f3_inode *fixture_local(uint64_t ino, const char *name, uint64_t size, enum f3_class c,
			       enum f3_class backing_class)
{
	struct f3_inode_rec rec = record(ino, name, size, c);
	struct f3_inode *inode;
	struct stat st;
	int fd;

	rec.state = F3_STATE_SEALED;
	rec.backing = 1;
	rec.backing_class = backing_class;
	inode = keep(&rec);
	fd = f3_backing_create(f3_file_store(inode), ino, 1);
	ck_assert_int_ge(fd, 0);
	close(fd);
	fd = f3_backing_open_file(f3_file_store(inode), ino, 1, O_RDWR);
	ck_assert_int_ge(fd, 0);
	for (uint64_t off = 0; off < size;) {
		uint8_t buf[4096];
		size_t n = size - off < sizeof(buf) ? size - off : sizeof(buf);

		for (size_t i = 0; i < n; i++)
			buf[i] = fixture_byte(off + i);
		ck_assert_int_eq(pwrite(fd, buf, n, (off_t)off), n);
		off += n;
	}
	ck_assert_int_eq(fstat(fd, &st), 0);
	close(fd);
	f3_lock(&inode->lock);
	f3_file_account(&fx.core, inode, size, (uint64_t)st.st_blocks);
	f3_file_seen(inode, &st);
	f3_unlock(&inode->lock);
	fixture_commit(inode);
	return inode;
}

struct f3_inode *fixture_load(uint64_t ino)
{
	struct f3_inode_rec rec;

	ck_assert_int_eq(f3_meta_get_inode(fx.core.meta, ino, &rec), 0);
	return keep(&rec);
}

bool fixture_has(struct f3_inode *inode, uint64_t off, uint64_t len)
{
	int fd = f3_backing_open_file(f3_file_store(inode), inode->ino, inode->rec.backing,
				      O_RDONLY);
	bool same = fd >= 0;

	while (same && len) {
		uint8_t buf[65536];
		size_t n = len < sizeof(buf) ? len : sizeof(buf);

		same = pread(fd, buf, n, (off_t)off) == (ssize_t)n;
		for (size_t i = 0; i < n && same; i++)
			same = buf[i] == fixture_byte(off + i);
		off += n;
		len -= n;
	}
	if (fd >= 0)
		close(fd);
	return same;
}

int f3_inode_get(struct f3_core *core, uint64_t ino, struct f3_inode **ret_inode)
{
	(void)core;
	for (unsigned i = 0; i < n_inodes; i++) {
		if (inodes[i]->ino == ino) {
			f3_inode_ref(inodes[i]);
			*ret_inode = inodes[i];
			return 0;
		}
	}
	return -ENOENT;
}

struct f3_inode *f3_inode_peek(struct f3_core *core, uint64_t ino)
{
	struct f3_inode *inode = NULL;

	return f3_inode_get(core, ino, &inode) ? NULL : inode;
}

void f3_inode_ref(struct f3_inode *inode)
{
	inode->refs++;
}

void f3_inode_put(struct f3_core *core, struct f3_inode *inode)
{
	(void)core;
	if (inode)
		inode->refs--;
}

int f3_inode_key(struct f3_core *core, uint64_t ino, char *out, size_t size)
{
	struct f3_inode *inode = NULL;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r;
	f3_lock(&inode->lock);
	snprintf(out, size, "%s", inode->rec.name);
	r = inode->rec.name_len ? 0 : -ENOENT;
	f3_unlock(&inode->lock);
	f3_inode_put(core, inode);
	return r;
}

struct f3_volume *f3_volume_get(struct f3_core *core, uint32_t id)
{
	(void)core;
	if (id != fx.volume.id)
		return NULL;
	fx.volume.refs++;
	return &fx.volume;
}

void f3_volume_put(struct f3_volume *v)
{
	if (v)
		v->refs--;
}

/* ---- What file.c keeps of a file, in its plain form ---- */

int f3_file_fd(struct f3_core *core, struct f3_inode *inode)
{
	(void)core;
	if (inode->fd < 0)
		inode->fd = f3_backing_open_file(f3_file_store(inode), inode->ino,
						 inode->rec.backing, O_RDONLY);
	return inode->fd;
}

bool f3_file_complete(const struct f3_inode *inode)
{
	return inode->rec.backing && !f3_fill_incomplete(inode);
}

int f3_leftover_copies(struct f3_volume *v, struct f3_obj_op *op, uint64_t *ret_seq)
{
	(void)v;
	(void)op;
	(void)ret_seq;
	return -ENOTSUP;
}

void f3_leftover_copied(struct f3_volume *v, const struct f3_obj_op *op, uint64_t seq)
{
	(void)v;
	(void)op;
	(void)seq;
}

void f3_act_fetched(struct f3_inode *inode, uint64_t bytes)
{
	(void)inode;
	(void)bytes;
}

void f3_volume_account(struct f3_volume *v, int64_t bytes)
{
	v->used_bytes += (uint64_t)bytes;
}

void f3_file_account(struct f3_core *core, struct f3_inode *inode, uint64_t size, uint64_t blocks)
{
	int64_t more = ((int64_t)blocks - (int64_t)inode->rec.blocks) * 512;

	inode->rec.size = size;
	inode->rec.blocks = blocks;
	f3_volume_account(&fx.volume, more);
	if (inode->rec.backing_class != F3_CLASS_MEMORY)
		f3_evict_account(core, more);
}

void f3_file_seen(struct f3_inode *inode, const struct stat *st)
{
	inode->seen.size = (uint64_t)st->st_size;
	inode->seen.mtime_ns = f3_ns_from_timespec(st->st_mtim);
	inode->seen_atime_ns = f3_ns_from_timespec(st->st_atim);
	inode->seen_valid = true;
}

void f3_file_detach(struct f3_core *core, struct f3_inode *inode, struct f3_file_gone *ret_gone)
{
	*ret_gone = (struct f3_file_gone){ .fd = inode->fd,
					   .ino = inode->ino,
					   .number = inode->rec.backing,
					   .store = f3_file_store(inode) };
	inode->fd = -1;
	inode->seen_valid = false;
	if (inode->rec.backing)
		f3_file_account(core, inode, inode->rec.size, 0);
}

void f3_file_gone(struct f3_core *core, struct f3_file_gone *gone)
{
	(void)core;
	if (gone->fd >= 0)
		close(gone->fd);
	if (gone->number && gone->store)
		f3_backing_unlink(gone->store, gone->ino, gone->number);
	*gone = (struct f3_file_gone){ .fd = -1 };
}
