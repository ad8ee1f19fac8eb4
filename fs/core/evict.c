/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/evict.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/lack.h"

#define POOL_MAX 64u /* candidates kept */
#define SCAN_MAX 4096u /* records read in a row */
#define DISK_RESERVE_MAX (1ull << 30) /* kept free on the disk: a twentieth, at most this */
#define REST_MIN_NS (10 * F3_NS_PER_MS)
#define REST_MAX_NS (10 * F3_NS_PER_SEC)

struct candidate {
	uint64_t ino;
	int64_t used_ns; /* last use */
};

struct f3_evict {
	struct f3_core *core;
	_Atomic uint64_t limit, gap; /* change: f3_evict_reload */
	uint64_t disk_reserve;
	_Atomic int64_t used;
	_Atomic int64_t kept; /* of it, what is of local classes */
	_Atomic bool queued; /* background work */
	_Atomic bool hungry; /* somebody lacks space, or found nothing */
	struct f3_work work;

	struct f3_lock lock; /* what follows */
	pthread_cond_t changed;
	bool evicting, counting;
	uint64_t rest_until_ns; /* nothing was found: do not look before then */
	uint64_t news; /* counts calls of f3_evict_wake */

	/* whoever evicts */
	uint64_t cursor; /* inode to go on with */
	struct candidate pool[POOL_MAX]; /* oldest first */
	unsigned n_pool;
};

static struct f3_counter evicted_files = {
	.name = "f3_cache_evicted_files_total",
	.labels = "",
	.help = "Clean copies removed to make room",
};
static struct f3_counter evicted_bytes = {
	.name = "f3_cache_evicted_bytes_total",
	.labels = "",
	.help = "Bytes freed by removing clean copies",
};

/* ---- How much there is ---- */

static uint64_t used_now(const struct f3_evict *e)
{
	int64_t used = e->used;

	return used > 0 ? (uint64_t)used : 0;
}

static void disk_space(struct f3_core *core, uint64_t *ret_total, uint64_t *ret_free)
{
	struct statvfs fs;

	*ret_total = *ret_free = UINT64_MAX;
	if (!statvfs(core->cache_dir, &fs)) {
		*ret_total = (uint64_t)fs.f_blocks * fs.f_frsize;
		*ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	}
}

/* Bytes to free before `bytes` more fit, with so much left over below the limits. */
static uint64_t shortage(struct f3_evict *e, uint64_t bytes, uint64_t spare)
{
	uint64_t used = used_now(e), limit = e->limit, total, left, wanted;
	uint64_t most = limit > bytes + spare ? limit - bytes - spare : 0;
	uint64_t over = used > most ? used - most : 0;

	disk_space(e->core, &total, &left);
	wanted = bytes + e->disk_reserve + (spare < e->disk_reserve ? spare : e->disk_reserve);
	if (left < wanted && wanted - left > over)
		over = wanted - left;
	return over;
}

uint64_t f3_evict_used(struct f3_core *core)
{
	return core->evict ? used_now(core->evict) : 0;
}

static void add_dirty(void *arg, struct f3_volume *v)
{
	*(int64_t *)arg += (int64_t)v->dirty_bytes;
}

uint64_t f3_evict_evictable(struct f3_core *core)
{
	int64_t stays = 0, used;

	if (!core->evict)
		return 0;
	f3_volume_each(core, add_dirty, &stays);
	stays += core->evict->kept;
	used = core->evict->used;
	return used > stays ? (uint64_t)(used - stays) : 0;
}

uint64_t f3_evict_limit(struct f3_core *core)
{
	return core->evict ? core->evict->limit : 0;
}

/* ---- One file ---- */

/* Why it cannot go; 0: it can. Inode lock held. */
static int refusal(const struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;

	if (inode->dead || !S_ISREG(rec->mode) || !f3_class_in_store((enum f3_class)rec->class_) ||
	    (rec->flags & F3_INO_DIRTY) || !rec->etag[0])
		return -EINVAL;
	switch (rec->state) {
	case F3_STATE_REMOTE:
		return 0;
	case F3_STATE_CLEAN:
	case F3_STATE_FILLING:
		break;
	case F3_STATE_WRITING:
	case F3_STATE_STAGING:
	case F3_STATE_MOVING:
		return -EBUSY;
	default:
		return -EINVAL;
	}
	if (rec->flags & F3_INO_PINNED)
		return -EPERM;
	if (inode->opens || inode->mapped || inode->stage || !f3_fill_idle(inode))
		return -EBUSY;
	return 0;
}

/* The last question: does somebody still write to it, through a mapping we were not told of? */
static int probe(struct f3_core *core, struct f3_inode *inode)
{
	int fd, r;

	if (!f3_backing_caps(f3_file_store(inode))->leases)
		return 0;
	fd = f3_file_fd(core, inode);
	if (fd == -ENOENT)
		return 0; /* gone already */
	r = fd < 0 ? fd : f3_backing_probe(fd);
	return r == 0 ? -EBUSY : r < 0 ? r : 0;
}

/* The record says that nothing is here before the file goes: a crash in between leaves a file
 * nobody speaks of. */
static int record_remote(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_inode_rec rec = inode->rec;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	if (rec.state == F3_STATE_CLEAN)
		rec.store_size = rec.size;
	rec.state = F3_STATE_REMOTE;
	rec.base_limit = 0;
	rec.blocks = 0;
	f3_batch_del_extents(b, inode->ino);
	f3_batch_put_inode(b, &rec);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	if (!r) {
		inode->rec.store_size = rec.store_size;
		inode->rec.state = F3_STATE_REMOTE;
		inode->rec.base_limit = 0;
	}
	return r;
}

/* Bytes freed, or -errno. `unused_since`: not if it was used later. */
static int64_t evict_one(struct f3_core *core, struct f3_inode *inode, int64_t unused_since_ns)
{
	struct f3_file_gone gone = { .fd = -1 };
	int64_t freed = 0;
	bool opened;
	struct stat st;
	int r;

	f3_lock(&inode->lock);
	r = refusal(inode);
	if (r || inode->rec.state == F3_STATE_REMOTE) {
		f3_unlock(&inode->lock);
		return r;
	}
	opened = inode->fd < 0;
	r = probe(core, inode);
	if (!r && inode->fd >= 0 && !fstat(inode->fd, &st) &&
	    f3_ns_from_timespec(st.st_atim) > unused_since_ns)
		r = -EAGAIN;
	if (!r)
		r = record_remote(core, inode);
	if (!r) {
		freed = (int64_t)inode->rec.blocks * 512;
		f3_file_detach(core, inode, &gone);
		f3_fill_free(inode->fill);
		inode->fill = NULL;
		f3_extents_free(inode->extents);
		inode->extents = NULL;
	} else if (opened && inode->fd >= 0) {
		gone.fd = inode->fd;
		inode->fd = -1;
	}
	f3_unlock(&inode->lock);
	f3_file_gone(core, &gone);
	if (r)
		return r;
	if (core->kernel.inval_inode)
		core->kernel.inval_inode(core->kernel.arg, inode->ino);
	f3_count(&evicted_files, 1);
	f3_count(&evicted_bytes, (uint64_t)freed);
	return freed;
}

int f3_evict_inode(struct f3_core *core, struct f3_inode *inode, uint64_t *ret_bytes)
{
	int64_t freed;

	/* A transfer that nobody waits for is no reason not to. */
	f3_lock(&inode->lock);
	if (!inode->opens && !inode->dead && inode->fill) {
		f3_unlock(&inode->lock);
		f3_fill_stop(core, inode);
	} else {
		f3_unlock(&inode->lock);
	}
	freed = evict_one(core, inode, INT64_MAX);
	if (freed < 0)
		return (int)freed;
	*ret_bytes = (uint64_t)freed;
	return 0;
}

/* ---- Which file ---- */

struct scan {
	struct f3_evict *e;
	struct f3_volume *volume; /* of the last candidate; referenced */
	unsigned seen;
	uint64_t next; /* inode to go on with */
};

static void pool_add(struct f3_evict *e, uint64_t ino, int64_t used_ns)
{
	unsigned at;

	for (at = 0; at < e->n_pool; at++)
		if (e->pool[at].ino == ino)
			return;
	if (e->n_pool == POOL_MAX) {
		if (e->pool[POOL_MAX - 1].used_ns <= used_ns)
			return;
		e->n_pool--;
	}
	for (at = e->n_pool; at && e->pool[at - 1].used_ns > used_ns; at--)
		e->pool[at] = e->pool[at - 1];
	e->pool[at] = (struct candidate){ ino, used_ns };
	e->n_pool++;
}

/* The kernel notes reads of the backing file in its atime, native ones too. */
static int64_t last_use(struct scan *scan, const struct f3_inode_rec *rec)
{
	struct f3_core *core = scan->e->core;
	int64_t used_ns = rec->atime_ns;
	struct stat st;

	if (!scan->volume || scan->volume->id != rec->volume) {
		f3_volume_put(scan->volume);
		scan->volume = f3_volume_get(core, rec->volume);
	}
	if (scan->volume && !f3_backing_stat(scan->volume->disk, rec->ino, rec->backing, &st) &&
	    f3_ns_from_timespec(st.st_atim) > used_ns)
		used_ns = f3_ns_from_timespec(st.st_atim);
	return used_ns;
}

static int look_at(void *arg, const struct f3_inode_rec *rec)
{
	struct scan *scan = arg;

	if (scan->seen++ == SCAN_MAX || scan->e->core->stopping) {
		scan->next = rec->ino;
		return 1;
	}
	if (S_ISREG(rec->mode) && f3_class_in_store((enum f3_class)rec->class_) &&
	    (rec->state == F3_STATE_CLEAN || rec->state == F3_STATE_FILLING) && rec->etag[0] &&
	    rec->backing && rec->blocks && rec->backing_class != F3_CLASS_MEMORY &&
	    !(rec->flags & (F3_INO_DIRTY | F3_INO_PINNED)))
		pool_add(scan->e, rec->ino, last_use(scan, rec));
	return 0;
}

/* Reads on from the cursor. True: that was the end, it begins again at the start. */
static bool scan_some(struct f3_evict *e)
{
	struct scan scan = { .e = e };
	int r = f3_meta_each_inode(e->core->meta, e->cursor, look_at, &scan);

	f3_volume_put(scan.volume);
	e->cursor = scan.next;
	if (r < 0)
		f3_log_error("eviction: the database cannot be read: %s", strerror(-r));
	return r != 1;
}

/* Evicts the oldest of the pool, all that are left when the whole cache was seen. */
static uint64_t evict_pool(struct f3_evict *e, uint64_t need, bool all)
{
	struct f3_core *core = e->core;
	unsigned n = all ? e->n_pool : e->n_pool / 4 + 1, at;
	uint64_t freed = 0;

	for (at = 0; at < n && at < e->n_pool && freed < need; at++) {
		struct f3_inode *inode;
		int64_t got;

		if (f3_inode_get(core, e->pool[at].ino, &inode))
			continue;
		got = evict_one(core, inode, e->pool[at].used_ns);
		f3_inode_put(core, inode);
		if (got > 0)
			freed += (uint64_t)got;
	}
	e->n_pool -= at;
	memmove(e->pool, e->pool + at, e->n_pool * sizeof(e->pool[0]));
	return freed;
}

static uint64_t evict_until(struct f3_evict *e, uint64_t need)
{
	uint64_t freed = 0;
	unsigned ends = 0;

	/* Twice past the end: the first time it began in the middle, and what was in the pool may
	 * have been used since. */
	while (freed < need && ends < 2 && !e->core->stopping) {
		uint64_t got;
		bool end = scan_some(e);

		ends += end;
		got = evict_pool(e, need - freed, end);
		freed += got;
		if (got) {
			ends = 0;
			f3_lock(&e->lock);
			pthread_cond_broadcast(&e->changed);
			f3_unlock(&e->lock);
			f3_lack_news(e->core);
		}
	}
	return freed;
}

/* One thread at a time; who comes second waits until the first got somewhere. 0: there is nothing
 * to evict. */
static uint64_t evict_bytes(struct f3_evict *e, uint64_t need)
{
	uint64_t freed, began, took, news;

	f3_lock(&e->lock);
	if (e->evicting) {
		(void)f3_cond_wait(&e->changed, &e->lock, 0);
		freed = e->evicting || !e->rest_until_ns;
		f3_unlock(&e->lock);
		return freed;
	}
	began = f3_clock_mono_ns();
	if (e->rest_until_ns > began || e->core->stopping) {
		f3_unlock(&e->lock);
		return 0;
	}
	e->evicting = true;
	e->rest_until_ns = 0;
	e->hungry = true; /* what becomes clean where the scan is past already counts */
	news = e->news;
	f3_unlock(&e->lock);

	freed = evict_until(e, need);

	f3_lock(&e->lock);
	e->evicting = false;
	if (freed) {
		e->hungry = false;
	} else if (e->news == news) {
		took = 10 * (f3_clock_mono_ns() - began);
		took = took < REST_MIN_NS ? REST_MIN_NS : took > REST_MAX_NS ? REST_MAX_NS : took;
		e->rest_until_ns = f3_clock_mono_ns() + took;
	}
	pthread_cond_broadcast(&e->changed);
	f3_unlock(&e->lock);
	f3_lack_news(e->core);
	return freed;
}

/* ---- Background ---- */

static void background(struct f3_work *work)
{
	struct f3_evict *e = (struct f3_evict *)((char *)work - offsetof(struct f3_evict, work));
	uint64_t need;

	e->queued = false;
	need = shortage(e, 0, e->gap);
	if (need)
		(void)evict_bytes(e, need); /* who needs it and finds nothing says so */
}

static void start_background(struct f3_evict *e)
{
	if (!atomic_exchange(&e->queued, true) && f3_workq_push(e->core->transfer, &e->work))
		e->queued = false;
}

/* A quarter of the gap before the limit, so that hardly anybody has to wait for it. */
static bool is_late(const struct f3_evict *e)
{
	return used_now(e) > e->limit - e->gap / 4;
}

void f3_evict_account(struct f3_core *core, int64_t bytes)
{
	struct f3_evict *e = core->evict;

	if (!e || !bytes)
		return;
	atomic_fetch_add(&e->used, bytes);
	if (bytes > 0 && is_late(e) && !e->hungry)
		start_background(e);
	else if (bytes < 0)
		f3_evict_wake(core);
}

void f3_evict_keep(struct f3_core *core, int64_t bytes)
{
	if (core->evict)
		atomic_fetch_add(&core->evict->kept, bytes);
}

void f3_evict_wake(struct f3_core *core)
{
	struct f3_evict *e = core->evict;

	if (!e || !e->hungry)
		return;
	f3_lock(&e->lock);
	e->news++;
	e->rest_until_ns = 0;
	e->hungry = e->evicting;
	pthread_cond_broadcast(&e->changed);
	f3_unlock(&e->lock);
	f3_lack_news(core);
}

static bool is_room(struct f3_evict *e, uint64_t bytes)
{
	return bytes <= e->limit - e->gap / 4 && !shortage(e, bytes, e->gap / 4);
}

static bool is_evicting(struct f3_evict *e)
{
	bool evicting;

	f3_lock(&e->lock);
	evicting = e->evicting;
	f3_unlock(&e->lock);
	return evicting;
}

/* -EBUSY instead of waiting for who evicts now. */
static int make_room(struct f3_evict *e, uint64_t bytes, bool wait)
{
	uint64_t need;

	do {
		need = shortage(e, bytes, 0);
		if (!need) {
			if (!e->hungry)
				start_background(e);
			return 0;
		}
		if (!wait && is_evicting(e))
			return -EBUSY;
	} while (evict_bytes(e, need));
	return -ENOSPC;
}

int f3_evict_room(struct f3_core *core, uint64_t bytes)
{
	struct f3_evict *e = core->evict;

	if (!e)
		return 0;
	if (bytes > e->limit)
		return -ENOSPC;
	return is_room(e, bytes) ? 0 : make_room(e, bytes, true);
}

/* Will uploads make room? Then who lacks it wants to hear of them. */
static bool expect_room(struct f3_evict *e)
{
	struct f3_journal_stats journal;

	f3_journal_stats(e->core, 0, &journal);
	if (!journal.entries)
		return false;
	f3_lock(&e->lock);
	e->hungry = true;
	f3_unlock(&e->lock);
	return true;
}

int f3_evict_room_or_wait(struct f3_core *core, uint64_t bytes, const struct f3_caller *who)
{
	struct f3_evict *e = core->evict;
	int r;

	if (!e)
		return 0;
	if (bytes > e->limit)
		return -ENOSPC;
	if (is_room(e, bytes))
		return 0;
	if (!who->may_block)
		return -F3_EWAIT;
	r = make_room(e, bytes, !who->may_wait);
	if (r == -EBUSY || (r == -ENOSPC && who->may_wait && expect_room(e)))
		r = -F3_EROOM;
	return r;
}

/* ---- Start and stop ---- */

static int count_one(void *arg, const struct f3_inode_rec *rec)
{
	struct f3_evict *e = arg;

	/* The walk sees the database as it was when it began: from here on changes are counted by
	 * those who make them. */
	if (e->counting) {
		f3_lock(&e->lock);
		e->counting = false;
		pthread_cond_broadcast(&e->changed);
		f3_unlock(&e->lock);
	}
	if (S_ISREG(rec->mode) && rec->backing_class != F3_CLASS_MEMORY)
		atomic_fetch_add(&e->used, (int64_t)(rec->blocks * 512));
	atomic_fetch_add(&e->kept, (int64_t)f3_file_kept(rec));
	return e->core->stopping ? 1 : 0;
}

static void count(struct f3_work *work)
{
	struct f3_evict *e = (struct f3_evict *)((char *)work - offsetof(struct f3_evict, work));
	int r = f3_meta_each_inode(e->core->meta, 0, count_one, e);

	if (r < 0)
		f3_log_error("what the cache holds cannot be counted: %s", strerror(-r));
	f3_lock(&e->lock);
	e->counting = false;
	pthread_cond_broadcast(&e->changed);
	f3_unlock(&e->lock);
	e->work.fn = background;
	e->queued = false;
	if (is_late(e))
		start_background(e);
}

/* The gap is never seen to be more than the limit. */
static void read_limits(struct f3_evict *e)
{
	uint64_t limit = e->core->opt.cache_bytes, gap = e->core->opt.cache_low_bytes, total, left;

	disk_space(e->core, &total, &left);
	if (!limit)
		limit = total;
	if (!gap)
		gap = limit / 10;
	e->gap = 0;
	e->limit = limit;
	e->gap = gap < limit ? gap : limit;
}

void f3_evict_reload(struct f3_core *core)
{
	read_limits(core->evict);
	if (is_late(core->evict))
		start_background(core->evict);
}

int f3_evict_start(struct f3_core *core, struct f3_err *err)
{
	struct f3_evict *e = calloc(1, sizeof(*e));
	uint64_t total, left;
	int r;

	if (!e)
		return f3_err_set(err, -ENOMEM, "out of memory");
	e->core = core;
	f3_lock_init(&e->lock, F3_RANK_CACHE);
	f3_cond_init(&e->changed);
	disk_space(core, &total, &left);
	read_limits(e);
	e->disk_reserve = total / 20 < DISK_RESERVE_MAX ? total / 20 : DISK_RESERVE_MAX;
	e->work.fn = background;
	core->evict = e;
	f3_counter_register(&evicted_files);
	f3_counter_register(&evicted_bytes);
	if (!f3_meta_was_clean(core->meta) || !f3_meta_same_boot(core->meta))
		return 0; /* f3_file_recover counts */
	e->work.fn = count;
	e->queued = true;
	e->counting = true;
	r = f3_workq_push(core->transfer, &e->work);
	if (r)
		return f3_err_set(err, r, "the cache cannot be counted: %s", strerror(-r));
	f3_lock(&e->lock);
	while (e->counting)
		(void)f3_cond_wait(&e->changed, &e->lock, 0);
	f3_unlock(&e->lock);
	return 0;
}

void f3_evict_stop(struct f3_core *core)
{
	struct f3_evict *e = core->evict;

	if (!e)
		return;
	core->evict = NULL;
	f3_lock_done(&e->lock);
	pthread_cond_destroy(&e->changed);
	free(e);
}
