/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/meta/meta_impl.h"

/* Keys of the "meta" family that are text. None may begin with the letter of a mark (w, o, d)
 * or of a volume (v). */
#define KEY_FORMAT "format"
#define KEY_NODE "node"
#define KEY_SEED "seed"
#define KEY_INCARNATION "incarnation"
#define KEY_BOOT "boot"
#define KEY_CLEAN "clean"
#define KEY_NEXT_INO "inode-next"
#define KEY_NEXT_VOLUME "next-volume"

#define INO_STEP 4096
#define INO_LOW 1024

/* ---- Numbers -------------------------------------------------------------------------------- */

int f3_meta_counter_get(struct f3_meta *m, const char *key, uint64_t *ret_v)
{
	struct f3_buf value;
	struct f3_rd rd;
	uint64_t v;
	int r;

	f3_buf_init(&value, 64);
	r = m->kv->ops->get(m->kv, F3_CF_META, key, strlen(key), &value);
	if (r)
		return r == -EMSGSIZE ? -EIO : r;
	f3_rd_init(&rd, value.data, value.len);
	if (f3_rd_u8(&rd) != F3_META_VALUE_VERSION)
		return -EIO;
	v = f3_rd_u64(&rd);
	if (rd.error || rd.left)
		return -EIO;
	*ret_v = v;
	return 0;
}

/* Reserves the next step; the caller has set `busy`. Ended by a broadcast. */
static int range_extend(struct f3_meta *m, struct f3_meta_range *range)
{
	uint64_t end = range->end + range->step; /* only the one who is busy changes it */
	struct f3_batch *b;
	int r;

	r = f3_batch_new(m, &b);
	if (!r) {
		f3_batch_put_counter(b, range->key, end);
		r = f3_batch_commit(b);
		f3_batch_free(b);
	}
	/* A power cut must not give the numbers out again. */
	if (!r)
		r = f3_meta_sync(m);

	f3_lock(&m->lock);
	if (!r)
		range->end = end;
	range->busy = false;
	pthread_cond_broadcast(&m->cond);
	f3_unlock(&m->lock);
	return r;
}

static int range_next(struct f3_meta *m, struct f3_meta_range *range, uint64_t *ret_v)
{
	bool extend;
	int r;

	if (m->read_only)
		return -EROFS;
	f3_lock(&m->lock);
	while (range->next == range->end) {
		if (range->busy) {
			f3_cond_wait(&m->cond, &m->lock, 0);
			continue;
		}
		range->busy = true;
		f3_unlock(&m->lock);
		r = range_extend(m, range);
		if (r)
			return r;
		f3_lock(&m->lock);
	}
	*ret_v = range->next++;
	extend = !range->busy && range->end - range->next < range->low;
	if (extend)
		range->busy = true;
	f3_unlock(&m->lock);

	/* While the others use up what is left. If it fails, it fails again when it matters. */
	if (extend)
		range_extend(m, range);
	return 0;
}

int f3_meta_new_ino(struct f3_meta *m, uint64_t *ret_ino)
{
	return range_next(m, &m->inos, ret_ino);
}

int f3_meta_new_volume_id(struct f3_meta *m, uint32_t *ret_id)
{
	uint64_t id;
	int r = range_next(m, &m->volumes, &id);

	if (r)
		return r;
	if (id > UINT32_MAX)
		return -EOVERFLOW;
	*ret_id = (uint32_t)id;
	return 0;
}

void f3_meta_new_id(struct f3_meta *m, struct f3_id *ret_id)
{
	f3_idgen_next(&m->ids, ret_id);
}

uint64_t f3_meta_new_seq(struct f3_meta *m)
{
	return atomic_fetch_add(&m->seq, 1);
}

/* ---- Group commit --------------------------------------------------------------------------- */

struct f3_meta_sync_waiter {
	struct f3_meta_sync_waiter *next;
	bool done;
	int result;
};

/* One sync for everybody in the list; called with the lock, which it drops meanwhile. */
static void sync_group(struct f3_meta *m)
{
	struct f3_meta_sync_waiter *group = m->sync_waiting, *next;
	uint64_t committed;
	int r;

	m->sync_waiting = NULL;
	m->sync_waiters = 0;
	m->syncing = true;
	f3_unlock(&m->lock);
	committed = atomic_load(&m->committed);
	r = m->kv->ops->sync(m->kv);
	if (!r)
		atomic_store(&m->synced, committed);
	f3_meta_result(m, r);
	f3_lock(&m->lock);
	m->syncing = false;
	for (; group; group = next) {
		next = group->next; /* gone once its owner sees `done` */
		group->result = r;
		group->done = true;
	}
	pthread_cond_broadcast(&m->cond);
}

int f3_meta_sync(struct f3_meta *m)
{
	struct f3_meta_sync_waiter me = { .done = false };

	if (m->read_only)
		return 0;
	/* Somebody's sync has already covered whatever the caller has committed. */
	if (atomic_load(&m->committed) <= atomic_load(&m->synced))
		return 0;

	f3_lock(&m->lock);
	me.next = m->sync_waiting;
	m->sync_waiting = &me;
	m->sync_waiters++;
	while (!me.done) {
		/* A sync under way may have begun before our changes: wait for the next one, and
		 * be the one who does it unless another of its group is first. */
		if (m->syncing)
			f3_cond_wait(&m->cond, &m->lock, 0);
		else
			sync_group(m);
	}
	f3_unlock(&m->lock);
	return me.result;
}

/* ---- Open ----------------------------------------------------------------------------------- */

static int corrupt(struct f3_err *err, const char *what)
{
	return f3_err_set(
		err, -EIO,
		"database is corrupt (%s): check it with `f3ctl fsck`, or restore it from "
		"a backup",
		what);
}

/* 1 if the family has a key, 0 if not, -errno */
static int family_has_keys(struct f3_meta *m, enum f3_cf cf)
{
	struct f3_kv_iter *it;
	const uint8_t *key, *value;
	size_t klen, vlen;
	int r;

	r = m->kv->ops->iter_new(m->kv, cf, NULL, 0, NULL, 0, &it);
	if (r)
		return r;
	r = m->kv->ops->iter_next(it, &key, &klen, &value, &vlen);
	m->kv->ops->iter_free(it);
	return r;
}

/* A value of exactly `len` bytes behind the version byte. */
static int get_bytes(struct f3_meta *m, const char *key, void *ret_bytes, size_t len)
{
	struct f3_buf value;
	int r;

	f3_buf_init(&value, 64);
	r = m->kv->ops->get(m->kv, F3_CF_META, key, strlen(key), &value);
	if (r)
		return r == -EMSGSIZE ? -EIO : r;
	if (value.len != len + 1 || value.data[0] != F3_META_VALUE_VERSION)
		return -EIO;
	memcpy(ret_bytes, value.data + 1, len);
	return 0;
}

static void put_bytes(struct f3_batch *b, const char *key, const void *bytes, size_t len)
{
	uint8_t value[64];

	value[0] = F3_META_VALUE_VERSION;
	memcpy(value + 1, bytes, len);
	f3_batch_put_raw(b, F3_CF_META, key, strlen(key), value, len + 1);
}

struct found {
	bool fresh; /* nothing in it yet */
	bool moved; /* the node has another UUID now */
	uint64_t incarnation, next_ino, next_volume;
	uint8_t node[16];
};

static int load_counter(struct f3_meta *m, const char *key, uint64_t *ret_v, struct f3_err *err)
{
	int r = f3_meta_counter_get(m, key, ret_v);

	if (r == -ENOENT || r == -EIO)
		return corrupt(err, key);
	return r ? f3_err_set(err, r, "cannot read the database: %s", strerror(-r)) : 0;
}

static int load_fresh(struct f3_meta *m, struct found *f, struct f3_err *err)
{
	for (int cf = 0; cf < F3_CF_MAX; cf++) {
		int r = family_has_keys(m, (enum f3_cf)cf);

		if (r < 0)
			return f3_err_set(err, r, "cannot read the database: %s", strerror(-r));
		if (r)
			return corrupt(err, "it has entries but no format");
	}
	if (m->read_only)
		return f3_err_set(err, -ENOENT, "the database is empty");
	if (getrandom(&m->seed, sizeof(m->seed), 0) != (ssize_t)sizeof(m->seed))
		return f3_err_set(err, -EIO, "no random bytes");
	f->fresh = true;
	f->next_ino = F3_INO_FIRST;
	f->next_volume = 1;
	return 0;
}

static int load(struct f3_meta *m, const struct f3_meta_options *opt, struct found *f,
		struct f3_err *err)
{
	uint64_t format, clean;
	char boot[36];
	int r;

	memset(f, 0, sizeof(*f));
	r = f3_meta_counter_get(m, KEY_FORMAT, &format);
	if (r == -ENOENT)
		return load_fresh(m, f, err);
	if (r)
		return r == -EIO ? corrupt(err, KEY_FORMAT) :
				   f3_err_set(err, r, "cannot read the database: %s", strerror(-r));
	if (format > F3_META_FORMAT)
		return f3_err_set(
			err, -EPROTONOSUPPORT,
			"the database has format %llu, this version of F3 knows formats up "
			"to %u: use the newer version that wrote it",
			(unsigned long long)format, F3_META_FORMAT);
	if (format == 0)
		return corrupt(err, KEY_FORMAT);

	if ((r = load_counter(m, KEY_SEED, &m->seed, err)) ||
	    (r = load_counter(m, KEY_INCARNATION, &f->incarnation, err)) ||
	    (r = load_counter(m, KEY_NEXT_INO, &f->next_ino, err)) ||
	    (r = load_counter(m, KEY_NEXT_VOLUME, &f->next_volume, err)))
		return r;
	if (f->incarnation >= UINT32_MAX || f->next_ino < F3_INO_FIRST)
		return corrupt(err, "counters out of range");
	if (get_bytes(m, KEY_NODE, f->node, sizeof(f->node)))
		return corrupt(err, KEY_NODE);
	r = f3_meta_counter_get(m, KEY_CLEAN, &clean);
	if (r && r != -ENOENT)
		return corrupt(err, KEY_CLEAN);
	m->was_clean = r == 0;
	if (get_bytes(m, KEY_BOOT, boot, sizeof(boot)))
		return corrupt(err, KEY_BOOT);
	m->same_boot = memcmp(boot, opt->boot_id, sizeof(boot)) == 0;

	f->moved = !m->read_only && !m->offline &&
		   memcmp(f->node, opt->node_uuid, sizeof(f->node)) != 0;
	if (f->moved && memcmp(f->node, opt->node_was, sizeof(f->node)) != 0)
		return f3_err_set(err, -EINVAL,
				  "the database belongs to another node: its files and the node's "
				  "UUID must stay together");
	return 0;
}

/* Entries left from earlier starts keep their place before everything new. */
static int load_seq(struct f3_meta *m, struct f3_err *err)
{
	uint64_t next = (uint64_t)m->incarnation << 32;
	struct f3_kv_iter *it;
	const uint8_t *key, *value;
	size_t klen, vlen;
	int r;

	r = m->kv->ops->iter_new(m->kv, F3_CF_JOURNAL, NULL, 0, NULL, 0, &it);
	if (r)
		return f3_err_set(err, r, "cannot read the database: %s", strerror(-r));
	while ((r = m->kv->ops->iter_next(it, &key, &klen, &value, &vlen)) == 1) {
		struct f3_rd rd;
		uint64_t seq;

		f3_rd_init(&rd, key, klen);
		seq = f3_rd_u64(&rd);
		if (!rd.error && seq >= next)
			next = seq + 1;
	}
	m->kv->ops->iter_free(it);
	if (r < 0)
		return f3_err_set(err, r, "cannot read the database: %s", strerror(-r));
	atomic_init(&m->seq, next);
	return 0;
}

/* Made together with what else a new database holds, so that there is none without it. */
static int put_root(struct f3_meta *m, struct f3_batch *b)
{
	struct f3_inode_rec rec;
	int r = f3_meta_get_inode(m, F3_INO_ROOT, &rec);

	if (!r)
		f3_inode_rec_done(&rec);
	if (r != -ENOENT)
		return r;
	memset(&rec, 0, sizeof(rec));
	rec.ino = F3_INO_ROOT;
	f3_meta_new_id(m, &rec.id);
	rec.mode = S_IFDIR | 0755;
	rec.nlink = 2;
	rec.atime_ns = rec.mtime_ns = rec.ctime_ns = rec.btime_ns = f3_clock_file_ns();
	f3_batch_put_inode(b, &rec);
	return 0;
}

/* Before the first number is given out: counted up, marked as running, on the disk. */
static int start(struct f3_meta *m, const struct f3_meta_options *opt, const struct found *f,
		 struct f3_err *err)
{
	struct f3_batch *b;
	int r;

	m->inos.end = m->inos.next + m->inos.step;
	r = f3_batch_new(m, &b);
	if (r)
		return f3_err_set(err, r, "out of memory");
	if (f->fresh) {
		f3_batch_put_counter(b, KEY_FORMAT, F3_META_FORMAT);
		f3_batch_put_counter(b, KEY_SEED, m->seed);
		put_bytes(b, KEY_BOOT, m->boot_id, sizeof(m->boot_id));
		f3_batch_put_counter(b, KEY_NEXT_VOLUME, m->volumes.end);
	}
	if (f->fresh || f->moved)
		put_bytes(b, KEY_NODE, opt->node_uuid, sizeof(opt->node_uuid));
	f3_batch_put_counter(b, KEY_INCARNATION, m->incarnation);
	f3_batch_put_counter(b, KEY_NEXT_INO, m->inos.end);
	if (!m->offline) {
		f3_batch_del_raw(b, F3_CF_META, KEY_CLEAN, strlen(KEY_CLEAN));
		r = put_root(m, b);
	}
	if (!r)
		r = f3_batch_commit(b);
	f3_batch_free(b);
	if (!r)
		r = f3_meta_sync(m);
	return r ? f3_err_set(err, r, "cannot write the database: %s", strerror(-r)) : 0;
}

int f3_meta_open(struct f3_kv *kv, const struct f3_meta_options *opt, struct f3_meta **ret_m,
		 struct f3_err *err)
{
	struct f3_meta *m = calloc(1, sizeof(*m));
	struct found f;
	int r, xattrs, extents;

	if (!m) {
		kv->ops->close(kv);
		return f3_err_set(err, -ENOMEM, "out of memory");
	}
	m->kv = kv;
	m->read_only = opt->read_only;
	m->offline = opt->offline;
	memcpy(m->boot_id, opt->boot_id, sizeof(m->boot_id));
	f3_lock_init(&m->lock, F3_RANK_QUEUE);
	f3_cond_init(&m->cond);

	r = load(m, opt, &f, err);
	if (r)
		goto fail;
	xattrs = family_has_keys(m, F3_CF_XATTRS);
	extents = family_has_keys(m, F3_CF_EXTENTS);
	if (xattrs < 0 || extents < 0) {
		r = xattrs < 0 ? xattrs : extents;
		f3_err_set(err, r, "cannot read the database: %s", strerror(-r));
		goto fail;
	}
	atomic_init(&m->has_xattrs, xattrs);
	atomic_init(&m->has_extents, extents);
	if (f.fresh)
		m->was_clean = m->same_boot = true; /* nothing has been lost yet */

	m->incarnation = (uint32_t)f.incarnation + !m->read_only;
	m->inos = (struct f3_meta_range){ .key = KEY_NEXT_INO,
					  .next = f.next_ino,
					  .end = f.next_ino,
					  .step = INO_STEP,
					  .low = INO_LOW };
	m->volumes = (struct f3_meta_range){
		.key = KEY_NEXT_VOLUME, .next = f.next_volume, .end = f.next_volume, .step = 1
	};
	f3_idgen_init(&m->ids, f.fresh || f.moved ? opt->node_uuid : f.node, m->incarnation);
	r = load_seq(m, err);
	if (!r && !m->read_only)
		r = start(m, opt, &f, err);
	if (r)
		goto fail;
	*ret_m = m;
	return 0;

fail:
	m->read_only = true; /* so that close leaves the database as it is */
	f3_meta_close(m);
	return r;
}

void f3_meta_on_failure(struct f3_meta *m, void (*fn)(void *arg), void *arg)
{
	m->failure_arg = arg;
	m->on_failure = fn;
}

void f3_meta_result(struct f3_meta *m, int r)
{
	if ((r == -EIO || r == -EROFS) && !m->read_only && m->on_failure)
		m->on_failure(m->failure_arg);
}

int f3_meta_recovered(struct f3_meta *m)
{
	struct f3_batch *b;
	int r = f3_batch_new(m, &b);

	if (r)
		return r;
	put_bytes(b, KEY_BOOT, m->boot_id, sizeof(m->boot_id));
	r = f3_batch_commit(b);
	f3_batch_free(b);
	m->recovered = !r;
	return r;
}

void f3_meta_distrust(struct f3_meta *m)
{
	m->distrust = true;
}

void f3_meta_close(struct f3_meta *m)
{
	struct f3_batch *b;

	if (!m)
		return;
	if (!m->read_only && f3_batch_new(m, &b) == 0) {
		/* What cannot be written here was not stopped in order: the mark stays away. So it does
		 * where this start went no further than to find out that the last one ended badly. */
		if (!m->offline && !m->distrust && (m->recovered || m->was_clean))
			f3_batch_put_counter(b, KEY_CLEAN, 1);
		if (f3_batch_commit(b) == 0)
			f3_meta_sync(m);
		f3_batch_free(b);
	}
	f3_batch_pool_free(m);
	m->kv->ops->close(m->kv);
	pthread_cond_destroy(&m->cond);
	f3_lock_done(&m->lock);
	free(m);
}

uint32_t f3_meta_incarnation(const struct f3_meta *m)
{
	return m->incarnation;
}

bool f3_meta_was_clean(const struct f3_meta *m)
{
	return m->was_clean;
}

bool f3_meta_same_boot(const struct f3_meta *m)
{
	return m->same_boot;
}

uint64_t f3_meta_seed(const struct f3_meta *m)
{
	return m->seed;
}

void f3_meta_rest(struct f3_meta *m, uint64_t cache_bytes, uint64_t buffer_bytes)
{
	m->kv->ops->rest(m->kv, cache_bytes, buffer_bytes);
}

void f3_meta_stats(struct f3_meta *m, uint64_t *ret_disk_bytes, uint64_t *ret_mem_bytes)
{
	m->kv->ops->stats(m->kv, ret_disk_bytes, ret_mem_bytes);
}
