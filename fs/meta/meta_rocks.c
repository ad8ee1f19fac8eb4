/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/kv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/lock.h"
#include "fs/meta/logs.h"
#include "fs/meta/rocks_error.h"
#include "fs/meta/space.h"
#include "fs/meta/synced.h"

#define MAX_OPEN_FILES 512 /* of the 20,000 that a process may have */
#define ITERS_KEPT 16
#define KEY_BYTES_MAX 2048
#define REPLAY_BYTES (16u << 20)
#define RETRY_NS (int64_t)(100 * F3_NS_PER_MS)

/* Of RocksDB's enumerations, which its C interface takes as plain numbers. */
#define LOG_LEVEL_FATAL 4
#define RECOVER_POINT_IN_TIME 2

struct f3_kv_iter {
	struct rocks *r;
	struct f3_kv_iter *next; /* in the pool */
	rocksdb_readoptions_t *options; /* hold `upper` while the iterator lives */
	rocksdb_iterator_t *it;
	struct f3_buf upper;
	bool started;
	int error;
};

struct f3_kv_batch {
	struct rocks *r;
	rocksdb_writebatch_t *wb;
	bool adds_names, deletes;
};

struct rocks {
	struct f3_kv kv;
	char *dir;
	bool read_only;
	rocksdb_t *db;
	rocksdb_cache_t *cache; /* shared by the families */
	uint64_t cache_bytes;
	rocksdb_column_family_handle_t *handles[F3_CF_MAX + 1]; /* the last: "default", unused */
	rocksdb_readoptions_t *read;
	rocksdb_writeoptions_t *write;
	struct f3_meta_space space;
	struct f3_meta_logs logs;
	int synced_fd;
	_Atomic bool written; /* something, since it was opened */
	_Atomic bool stopped; /* a write has failed for good */
	_Atomic int64_t retry_ns; /* RocksDB has no space: asked again then; 0: it has */
	_Atomic int sync_error; /* a sync has, for good */
	struct f3_lock lock; /* pool; rank QUEUE: taken alone */
	struct f3_kv_iter *pool;
	unsigned pooled;
};

static const char *const cf_names[F3_CF_MAX + 1] = {
	[F3_CF_META] = "meta",     [F3_CF_INODES] = "inodes",   [F3_CF_NAMES] = "names",
	[F3_CF_XATTRS] = "xattrs", [F3_CF_EXTENTS] = "extents", [F3_CF_JOURNAL] = "journal",
	[F3_CF_TREES] = "trees",   [F3_CF_OBJECTS] = "objects", [F3_CF_ACTIVATIONS] = "activations",
	[F3_CF_MAX] = "default",
};

const char *f3_cf_name(enum f3_cf cf)
{
	return (unsigned)cf < F3_CF_MAX ? cf_names[cf] : "?";
}

static struct rocks *rocks_of(struct f3_kv *kv)
{
	return (struct rocks *)kv;
}

/* Takes `text` over. 0 if it is NULL. */
static int take_error(char *text)
{
	int r;

	if (!text)
		return 0;
	r = f3_rocks_errno(text);
	rocksdb_free(text);
	/* Once open, an argument that RocksDB refuses is damage it found or made. */
	return r == -EINVAL ? -EIO : r;
}

/* What RocksDB would say if it had failed as a test wants it to at this place (fs/base/debug.h);
 * NULL: nothing. EBADMSG stands for damage. */
static char *injected(const char *place)
{
	const char *text = "IO error: injected";
	int error;

	if (!f3_fault(place, &error))
		return NULL;
	if (error == -ENOSPC)
		text = "IO error: No space left on device: injected";
	else if (error == -EBADMSG)
		text = "Corruption: injected";
	return strdup(text);
}

/* ---- Options -------------------------------------------------------------------------------- */

/* Families that are asked for single keys, often for keys that are not there. */
static bool has_point_gets(enum f3_cf cf)
{
	return cf == F3_CF_INODES || cf == F3_CF_NAMES || cf == F3_CF_XATTRS ||
	       cf == F3_CF_OBJECTS || cf == F3_CF_META;
}

static rocksdb_block_based_table_options_t *table_options(enum f3_cf cf, rocksdb_cache_t *cache)
{
	rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();

	rocksdb_block_based_options_set_format_version(t, 5);
	rocksdb_block_based_options_set_block_cache(t, cache);
	/* Indexes and filters count against the cache, so that memory has one bound. */
	rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
	rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
	if (has_point_gets(cf)) {
		/* takes the policy over */
		rocksdb_block_based_options_set_filter_policy(
			t, rocksdb_filterpolicy_create_bloom_full(10));
		rocksdb_block_based_options_set_data_block_index_type(
			t, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
	}
	return t;
}

static rocksdb_options_t *family_options(enum f3_cf cf, const struct f3_kv_options *opt,
					 rocksdb_cache_t *cache, int compression)
{
	rocksdb_options_t *o = rocksdb_options_create();
	rocksdb_block_based_table_options_t *t = table_options(cf, cache);

	rocksdb_options_set_block_based_table_factory(o, t);
	rocksdb_block_based_options_destroy(t);
	rocksdb_options_set_compression(o, compression);
	/* A busy family may take half of the shared buffer before it is written out alone. */
	rocksdb_options_set_write_buffer_size(o, opt->write_buffer_bytes / 2);
	rocksdb_options_set_max_write_buffer_number(o, 4);
	rocksdb_options_set_arena_block_size(o, 256 << 10);
	rocksdb_options_set_target_file_size_base(o, 16 << 20);
	rocksdb_options_set_max_bytes_for_level_base(o, 64 << 20);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
	if (has_point_gets(cf)) {
		/* 0.3 us instead of 1.6 us for a name that is not there. */
		rocksdb_options_set_memtable_whole_key_filtering(o, 1);
		rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, 0.02);
	}
	return o;
}

static rocksdb_options_t *database_options(const struct f3_kv_options *opt)
{
	rocksdb_options_t *o = rocksdb_options_create();

	rocksdb_options_set_create_if_missing(o, opt->create);
	rocksdb_options_set_create_missing_column_families(o, !opt->read_only);
	rocksdb_options_set_paranoid_checks(o, 1);
	/* One write(2) per batch, when it is committed: what is committed survives a kill. */
	rocksdb_options_set_manual_wal_flush(o, 0);
	rocksdb_options_set_wal_recovery_mode(o, RECOVER_POINT_IN_TIME);
	/* The log of one batch while the memtable takes the one before: 6 instead of 8 us a batch
	 * with two writers, and less spinning. Families then flush one by one, not atomically:
	 * with more than one family RocksDB syncs older logs before it keeps a flushed file, so
	 * that a power cut leaves all families at one point in time all the same. */
	rocksdb_options_set_enable_pipelined_write(o, 1);
	/* Let the log reach the disk on the way, so that a sync finds little to do. */
	rocksdb_options_set_wal_bytes_per_sync(o, 1 << 20);
	rocksdb_options_set_bytes_per_sync(o, 1 << 20);
	rocksdb_options_set_db_write_buffer_size(o, opt->write_buffer_bytes);
	/* Calls wait while the log is replayed: 64 MiB of it took 2 s, this less than half of one (make
	 * pauses). Families that
	 * are seldom written would hold more of it back than the others' buffers. */
	rocksdb_options_set_max_total_wal_size(
		o, opt->write_buffer_bytes < REPLAY_BYTES ? opt->write_buffer_bytes : REPLAY_BYTES);
	rocksdb_options_set_max_open_files(o, MAX_OPEN_FILES);
	rocksdb_options_set_table_cache_numshardbits(o, 4);
	rocksdb_options_set_max_background_jobs(o, 2);
	rocksdb_options_set_use_adaptive_mutex(o, 1);
	rocksdb_options_set_max_manifest_file_size(o, 16 << 20);
	rocksdb_options_set_manifest_preallocation_size(o, 64 << 10);
	rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
	rocksdb_options_set_avoid_unnecessary_blocking_io(o, 1);
	/* No periodic work: an idle daemon uses no CPU. */
	rocksdb_options_set_stats_dump_period_sec(o, 0);
	rocksdb_options_set_stats_persist_period_sec(o, 0);
	/* Nothing in the LOG file: every error comes back to the caller anyway, and a line that
	 * cannot be written would abort a build with assertions just when the disk fails. Not the
	 * level above this one, which RocksDB cannot write into its OPTIONS file: each start then
	 * left one of them behind, half written. */
	rocksdb_options_set_info_log_level(o, LOG_LEVEL_FATAL);
	rocksdb_options_set_keep_log_file_num(o, 1);
	return o;
}

/* ---- Single keys ---------------------------------------------------------------------------- */

static int get_with(struct rocks *r, const rocksdb_readoptions_t *options, enum f3_cf cf,
		    const void *key, size_t klen, struct f3_buf *out)
{
	rocksdb_pinnableslice_t *slice;
	const char *value;
	char *text;
	size_t len;

	text = injected("kv.get");
	if (text)
		return take_error(text);
	slice = rocksdb_get_pinned_cf(r->db, options, r->handles[cf], key, klen, &text);
	if (!slice)
		return text ? take_error(text) : -ENOENT;
	value = rocksdb_pinnableslice_value(slice, &len);
	f3_buf_put(out, value, len);
	rocksdb_pinnableslice_destroy(slice);
	return out->error;
}

static int rocks_get(struct f3_kv *kv, enum f3_cf cf, const void *key, size_t klen,
		     struct f3_buf *out)
{
	return get_with(rocks_of(kv), rocks_of(kv)->read, cf, key, klen, out);
}

/* ---- Batches -------------------------------------------------------------------------------- */

static int rocks_batch_new(struct f3_kv *kv, struct f3_kv_batch **ret_b)
{
	struct f3_kv_batch *b = malloc(sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->r = rocks_of(kv);
	b->wb = rocksdb_writebatch_create();
	b->adds_names = b->deletes = false;
	*ret_b = b;
	return 0;
}

static void rocks_batch_free(struct f3_kv *kv, struct f3_kv_batch *b)
{
	(void)kv;
	if (!b)
		return;
	rocksdb_writebatch_destroy(b->wb);
	free(b);
}

static void rocks_batch_clear(struct f3_kv_batch *b)
{
	rocksdb_writebatch_clear(b->wb);
	b->adds_names = b->deletes = false;
}

static void rocks_batch_put(struct f3_kv_batch *b, enum f3_cf cf, const void *key, size_t klen,
			    const void *val, size_t vlen)
{
	b->adds_names |= cf == F3_CF_NAMES;
	rocksdb_writebatch_put_cf(b->wb, b->r->handles[cf], key, klen, val, vlen);
}

static void rocks_batch_del(struct f3_kv_batch *b, enum f3_cf cf, const void *key, size_t klen)
{
	b->deletes = true;
	rocksdb_writebatch_delete_cf(b->wb, b->r->handles[cf], key, klen);
}

static void rocks_batch_del_range(struct f3_kv_batch *b, enum f3_cf cf, const void *from,
				  size_t flen, const void *to, size_t tlen)
{
	b->deletes = true;
	rocksdb_writebatch_delete_range_cf(b->wb, b->r->handles[cf], from, flen, to, tlen);
}

/* On a full disk nothing new is made, while removals and what goes on in open files get through. */
static bool has_room(struct rocks *r, const struct f3_kv_batch *b)
{
	switch (f3_meta_space_level(&r->space)) {
	case F3_META_SPACE_AMPLE:
		return true;
	case F3_META_SPACE_TIGHT:
		return !b->adds_names || b->deletes;
	default:
		return false;
	}
}

/* RocksDB goes on by itself some seconds after space is back. Until then one writer in a while
 * asks; many at once would keep it from recovering. */
static bool may_ask(struct rocks *r)
{
	int64_t retry = atomic_load_explicit(&r->retry_ns, memory_order_relaxed), now;

	if (!retry)
		return true;
	now = f3_clock_real_ns();
	/* Also when the clock was set back. */
	if (now < retry && now > retry - RETRY_NS)
		return false;
	return atomic_compare_exchange_strong(&r->retry_ns, &retry, now + RETRY_NS);
}

static int rocks_write(struct f3_kv *kv, struct f3_kv_batch *b)
{
	struct rocks *r = rocks_of(kv);
	char *text;
	int error;

	if (r->read_only || atomic_load_explicit(&r->stopped, memory_order_relaxed) ||
	    atomic_load_explicit(&r->sync_error, memory_order_relaxed))
		return -EROFS;
	if (!has_room(r, b) || !may_ask(r))
		return -ENOSPC;
	text = injected("kv.write");
	if (!text)
		rocksdb_write(r->db, r->write, b->wb, &text);
	if (!text) {
		if (!atomic_load_explicit(&r->written, memory_order_relaxed))
			atomic_store(&r->written, true);
		if (atomic_load_explicit(&r->retry_ns, memory_order_relaxed))
			atomic_store(&r->retry_ns, 0);
		return 0;
	}
	/* RocksDB takes no writes after a failed one, unless it was for want of space. */
	error = take_error(text);
	if (error == -ENOSPC)
		atomic_store(&r->retry_ns, f3_clock_real_ns() + RETRY_NS);
	else
		atomic_store(&r->stopped, true);
	return error;
}

static int rocks_sync(struct f3_kv *kv)
{
	struct rocks *r = rocks_of(kv);
	uint64_t seq;
	int error;

	if (r->read_only)
		return 0;
	error = atomic_load(&r->sync_error);
	if (error)
		return error;
	seq = rocksdb_get_latest_sequence_number(r->db);
	if (!f3_fault("kv.sync", &error))
		error = f3_meta_logs_sync(&r->logs);
	if (!error) {
		f3_meta_synced_put(r->synced_fd, seq);
		return 0;
	}
	/* The kernel may have dropped the pages: a later sync that succeeds says nothing about
	 * them. Everything stops here until the next start, which sees what is on the disk. */
	atomic_store(&r->sync_error, error);
	return error;
}

/* ---- Iterators ------------------------------------------------------------------------------ */

static void iter_destroy(struct f3_kv_iter *it)
{
	rocksdb_readoptions_destroy(it->options);
	f3_buf_done(&it->upper);
	free(it);
}

/* Options are costly to make, and belong to one iterator because its end is in them. */
static struct f3_kv_iter *iter_take(struct rocks *r)
{
	struct f3_kv_iter *it;

	f3_lock(&r->lock);
	it = r->pool;
	if (it) {
		r->pool = it->next;
		r->pooled--;
	}
	f3_unlock(&r->lock);
	if (it)
		return it;

	it = malloc(sizeof(*it));
	if (!it)
		return NULL;
	it->r = r;
	it->options = rocksdb_readoptions_create();
	/* Files that only the iterator held are not removed by the thread that ends it. */
	rocksdb_readoptions_set_background_purge_on_iterator_cleanup(it->options, 1);
	f3_buf_init(&it->upper, KEY_BYTES_MAX);
	return it;
}

static void iter_give(struct f3_kv_iter *it)
{
	struct rocks *r = it->r;
	bool keep;

	f3_lock(&r->lock);
	keep = r->pooled < ITERS_KEPT;
	if (keep) {
		it->next = r->pool;
		r->pool = it;
		r->pooled++;
	}
	f3_unlock(&r->lock);
	if (!keep)
		iter_destroy(it);
}

static int iter_with(struct rocks *r, const rocksdb_snapshot_t *snapshot, enum f3_cf cf,
		     const void *from, size_t flen, const void *to, size_t tlen,
		     struct f3_kv_iter **ret_it)
{
	struct f3_kv_iter *it = iter_take(r);
	int error;

	if (!it)
		return -ENOMEM;
	f3_buf_reset(&it->upper);
	f3_buf_put(&it->upper, to, tlen);
	error = it->upper.error;
	if (error) {
		iter_give(it);
		return error;
	}
	if (tlen)
		rocksdb_readoptions_set_iterate_upper_bound(
			it->options, (const char *)it->upper.data, it->upper.len);
	else
		rocksdb_readoptions_set_iterate_upper_bound(it->options, NULL, 0);
	/* Reading a whole family once must not push everything else out of the cache. */
	rocksdb_readoptions_set_fill_cache(it->options, tlen != 0);
	rocksdb_readoptions_set_snapshot(it->options, snapshot);

	it->it = rocksdb_create_iterator_cf(r->db, it->options, r->handles[cf]);
	if (flen)
		rocksdb_iter_seek(it->it, from, flen);
	else
		rocksdb_iter_seek_to_first(it->it);
	it->started = false;
	it->error = 0;
	*ret_it = it;
	return 0;
}

static int rocks_iter_new(struct f3_kv *kv, enum f3_cf cf, const void *from, size_t flen,
			  const void *to, size_t tlen, struct f3_kv_iter **ret_it)
{
	return iter_with(rocks_of(kv), NULL, cf, from, flen, to, tlen, ret_it);
}

static int rocks_iter_next(struct f3_kv_iter *it, const uint8_t **ret_key, size_t *ret_klen,
			   const uint8_t **ret_val, size_t *ret_vlen)
{
	char *text;

	if (it->error)
		return it->error;
	if (it->started && rocksdb_iter_valid(it->it))
		rocksdb_iter_next(it->it);
	it->started = true;
	text = injected("kv.next");
	if (text) {
		it->error = take_error(text);
		return it->error;
	}
	if (!rocksdb_iter_valid(it->it)) {
		rocksdb_iter_get_error(it->it, &text);
		it->error = take_error(text);
		return it->error;
	}
	*ret_key = (const uint8_t *)rocksdb_iter_key(it->it, ret_klen);
	*ret_val = (const uint8_t *)rocksdb_iter_value(it->it, ret_vlen);
	return 1;
}

static void rocks_iter_free(struct f3_kv_iter *it)
{
	if (!it)
		return;
	rocksdb_iter_destroy(it->it);
	iter_give(it);
}

/* ---- Snapshots ------------------------------------------------------------------------------ */

struct view {
	struct f3_kv kv;
	struct rocks *r;
	const rocksdb_snapshot_t *snapshot;
	rocksdb_readoptions_t *read;
};

static struct view *view_of(struct f3_kv *kv)
{
	return (struct view *)kv;
}

static int view_get(struct f3_kv *kv, enum f3_cf cf, const void *key, size_t klen,
		    struct f3_buf *out)
{
	return get_with(view_of(kv)->r, view_of(kv)->read, cf, key, klen, out);
}

static int view_iter_new(struct f3_kv *kv, enum f3_cf cf, const void *from, size_t flen,
			 const void *to, size_t tlen, struct f3_kv_iter **ret_it)
{
	return iter_with(view_of(kv)->r, view_of(kv)->snapshot, cf, from, flen, to, tlen, ret_it);
}

static int view_batch_new(struct f3_kv *kv, struct f3_kv_batch **ret_b)
{
	(void)kv;
	(void)ret_b;
	return -EROFS;
}

static void view_close(struct f3_kv *kv)
{
	struct view *v = view_of(kv);

	if (!kv)
		return;
	rocksdb_readoptions_destroy(v->read);
	rocksdb_release_snapshot(v->r->db, v->snapshot);
	free(v);
}

static const struct f3_kv_ops view_ops = {
	.get = view_get,
	.batch_new = view_batch_new,
	.iter_new = view_iter_new,
	.iter_next = rocks_iter_next,
	.iter_free = rocks_iter_free,
	.close = view_close,
};

static int rocks_snapshot(struct f3_kv *kv, struct f3_kv **ret_view)
{
	struct view *v = malloc(sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->kv.ops = &view_ops;
	v->r = rocks_of(kv);
	v->snapshot = rocksdb_create_snapshot(v->r->db);
	v->read = rocksdb_readoptions_create();
	rocksdb_readoptions_set_snapshot(v->read, v->snapshot);
	*ret_view = &v->kv;
	return 0;
}

/* ---- Open and close ------------------------------------------------------------------------- */

static uint64_t disk_bytes(const char *dir)
{
	DIR *d = opendir(dir);
	uint64_t sum = 0;
	struct dirent *e;
	struct stat st;

	if (!d)
		return 0;
	while ((e = readdir(d)) != NULL)
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_blocks * 512;
	closedir(d);
	return sum;
}

static uint64_t memtable_bytes(struct rocks *r)
{
	uint64_t sum = 0, v;

	for (int cf = 0; cf < F3_CF_MAX; cf++)
		if (rocksdb_property_int_cf(r->db, r->handles[cf],
					    "rocksdb.cur-size-all-mem-tables", &v) == 0)
			sum += v;
	return sum;
}

static void rocks_stats(struct f3_kv *kv, uint64_t *ret_disk_bytes, uint64_t *ret_mem_bytes)
{
	struct rocks *r = rocks_of(kv);
	uint64_t sum = rocksdb_cache_get_usage(r->cache) + memtable_bytes(r), v;

	for (int cf = 0; cf < F3_CF_MAX; cf++)
		if (rocksdb_property_int_cf(r->db, r->handles[cf],
					    "rocksdb.estimate-table-readers-mem", &v) == 0)
			sum += v;
	*ret_disk_bytes = disk_bytes(r->dir);
	*ret_mem_bytes = sum;
}

/* So that the next start has no log to replay. What fails here is in the log all the same. */
static void write_out(struct rocks *r)
{
	rocksdb_flushoptions_t *wait;

	if (!atomic_load(&r->written) || atomic_load(&r->stopped) || atomic_load(&r->sync_error))
		return;
	wait = rocksdb_flushoptions_create();
	for (int cf = 0; cf < F3_CF_MAX; cf++) {
		char *text = NULL;

		rocksdb_flush_cf(r->db, wait, r->handles[cf], &text);
		take_error(text);
	}
	rocksdb_flushoptions_destroy(wait);
}

static void rocks_rest(struct f3_kv *kv, uint64_t cache_bytes, uint64_t buffer_bytes)
{
	struct rocks *r = rocks_of(kv);

	/* Not on a full disk: that would only take what is left there. */
	if (!r->read_only && f3_meta_space_level(&r->space) == F3_META_SPACE_AMPLE &&
	    memtable_bytes(r) > buffer_bytes)
		write_out(r);
	if (cache_bytes < r->cache_bytes) {
		rocksdb_cache_set_capacity(r->cache, cache_bytes);
		rocksdb_cache_set_capacity(r->cache, r->cache_bytes);
	}
}

static void rocks_close(struct f3_kv *kv)
{
	struct rocks *r;
	struct f3_kv_iter *it;

	if (!kv)
		return;
	r = rocks_of(kv);
	while ((it = r->pool) != NULL) {
		r->pool = it->next;
		iter_destroy(it);
	}
	if (r->db) {
		write_out(r);
		for (int cf = 0; cf <= F3_CF_MAX; cf++)
			rocksdb_column_family_handle_destroy(r->handles[cf]);
		rocksdb_close(r->db);
	}
	rocksdb_cache_destroy(r->cache);
	rocksdb_readoptions_destroy(r->read);
	rocksdb_writeoptions_destroy(r->write);
	if (r->synced_fd >= 0)
		close(r->synced_fd);
	f3_meta_logs_close(&r->logs);
	f3_meta_space_close(&r->space);
	f3_lock_done(&r->lock);
	free(r->dir);
	free(r);
}

static const struct f3_kv_ops rocks_ops = {
	.get = rocks_get,
	.batch_new = rocks_batch_new,
	.batch_free = rocks_batch_free,
	.batch_clear = rocks_batch_clear,
	.batch_put = rocks_batch_put,
	.batch_del = rocks_batch_del,
	.batch_del_range = rocks_batch_del_range,
	.write = rocks_write,
	.sync = rocks_sync,
	.iter_new = rocks_iter_new,
	.iter_next = rocks_iter_next,
	.iter_free = rocks_iter_free,
	.snapshot = rocks_snapshot,
	.rest = rocks_rest,
	.stats = rocks_stats,
	.close = rocks_close,
};

/* NULL and RocksDB's text in *ret_text (owned by the caller) if it does not open. */
static rocksdb_t *open_with(const char *dir, const struct f3_kv_options *opt, int compression,
			    rocksdb_cache_t *cache, rocksdb_column_family_handle_t **handles,
			    char **ret_text)
{
	rocksdb_options_t *families[F3_CF_MAX + 1];
	rocksdb_options_t *o = database_options(opt);
	rocksdb_t *db;

	for (int cf = 0; cf <= F3_CF_MAX; cf++)
		families[cf] = family_options((enum f3_cf)cf, opt, cache, compression);
	if (opt->read_only)
		db = rocksdb_open_for_read_only_column_families(
			o, dir, F3_CF_MAX + 1, cf_names, (const rocksdb_options_t *const *)families,
			handles, 0, ret_text);
	else
		db = rocksdb_open_column_families(o, dir, F3_CF_MAX + 1, cf_names,
						  (const rocksdb_options_t *const *)families,
						  handles, ret_text);
	for (int cf = 0; cf <= F3_CF_MAX; cf++)
		rocksdb_options_destroy(families[cf]);
	rocksdb_options_destroy(o);
	return db;
}

/* A directory that was in use and has lost its CURRENT file must not be taken for a new one:
 * RocksDB would begin afresh and delete the old files. */
static int check_current(struct rocks *r, struct f3_err *err)
{
	char path[PATH_MAX];

	if (!f3_meta_synced_get(r->synced_fd))
		return 0;
	if (snprintf(path, sizeof(path), "%s/CURRENT", r->dir) >= (int)sizeof(path))
		return f3_err_set(err, -ENAMETOOLONG, "%s: name too long", r->dir);
	if (access(path, F_OK) == 0 || errno != ENOENT)
		return 0;
	return f3_err_set(err, -EIO,
			  "database in %s is corrupt: its CURRENT file is missing. Restore the "
			  "directory from a backup",
			  r->dir);
}

static int check_synced(struct rocks *r, struct f3_err *err)
{
	uint64_t synced = r->synced_fd < 0 ? 0 : f3_meta_synced_get(r->synced_fd);
	uint64_t have = rocksdb_get_latest_sequence_number(r->db);

	if (synced <= have)
		return 0;
	return f3_err_set(
		err, -EIO,
		"database in %s is corrupt: its log ends %" PRIu64 " changes before the last "
		"one that was on the disk. Restore the directory from a backup; or remove "
		"%s/%s to go on without them and run `f3ctl fsck`",
		r->dir, synced - have, r->dir, F3_META_SYNCED_FILE);
}

/* Our own files beside RocksDB's, which leaves names it does not know alone. */
static int open_files(struct rocks *r, bool create, struct f3_err *err)
{
	int n = 0;

	if (create && mkdir(r->dir, 0700) && errno != EEXIST)
		return f3_err_set(err, -errno, "%s: %s", r->dir, strerror(errno));
	r->synced_fd = f3_meta_synced_open(r->dir, r->read_only);
	if (r->synced_fd >= 0)
		n = check_current(r, err);
	else if (r->synced_fd != -ENOENT)
		n = f3_err_set(err, r->synced_fd, "%s/%s: %s", r->dir, F3_META_SYNCED_FILE,
			       strerror(-r->synced_fd));
	/* Where there is no directory RocksDB says so. */
	if (n || r->read_only || r->synced_fd == -ENOENT)
		return n;
	n = f3_meta_space_open(&r->space, r->dir);
	if (!n && f3_meta_space_level(&r->space) == F3_META_SPACE_FULL)
		n = -ENOSPC;
	if (!n)
		n = f3_meta_logs_open(&r->logs, r->dir);
	return n ? f3_err_set(err, n, "%s: %s", r->dir, strerror(-n)) : 0;
}

int f3_meta_rocks_open(const char *dir, const struct f3_kv_options *opt, struct f3_kv **ret_kv,
		       struct f3_err *err)
{
	struct rocks *r = calloc(1, sizeof(*r));
	char *text;
	int error;

	if (!r)
		return f3_err_set(err, -ENOMEM, "out of memory");
	r->kv.ops = &rocks_ops;
	r->read_only = opt->read_only;
	r->synced_fd = -1;
	f3_meta_space_init(&r->space);
	f3_meta_logs_init(&r->logs);
	r->dir = strdup(dir);
	f3_lock_init(&r->lock, F3_RANK_QUEUE);
	r->read = rocksdb_readoptions_create();
	r->write = rocksdb_writeoptions_create();
	r->cache_bytes = opt->block_cache_bytes;
	r->cache = rocksdb_cache_create_lru(opt->block_cache_bytes);
	if (!r->dir) {
		error = f3_err_set(err, -ENOMEM, "out of memory");
		goto fail;
	}

	error = open_files(r, opt->create && !opt->read_only, err);
	if (error)
		goto fail;
	text = injected("kv.open");
	if (!text)
		r->db = open_with(dir, opt, rocksdb_lz4_compression, r->cache, r->handles, &text);
	if (!r->db && strstr(text, "not linked with the binary")) {
		rocksdb_free(text);
		text = NULL;
		r->db = open_with(dir, opt, rocksdb_no_compression, r->cache, r->handles, &text);
	}
	if (!r->db) {
		error = f3_rocks_open_error(dir, text, err);
		rocksdb_free(text);
		goto fail;
	}
	error = check_synced(r, err);
	if (error)
		goto fail;
	*ret_kv = &r->kv;
	return 0;

fail:
	rocks_close(&r->kv);
	return error;
}
