/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: the seam under the metadata: an ordered key-value store with column families.
 *
 * meta_rocks is the implementation; the tests put a fault-injecting one in front of it. The
 * typed layer (meta.h) is the only user.
 *
 * write() is atomic and, once it returned 0, survives a kill of the process (it is in the
 * kernel's page cache); sync() makes everything written before the call survive a power cut.
 * Thread-safe. All calls may block on the disk. Errors: -EIO (corruption or I/O), -ENOSPC,
 * -ENOMEM, -EROFS once the store has stopped accepting writes.
 */
#ifndef F3_META_KV_H
#define F3_META_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"

enum f3_cf {
	F3_CF_META,		/* format version, node, counters, marks */
	F3_CF_INODES,
	F3_CF_NAMES,
	F3_CF_XATTRS,
	F3_CF_EXTENTS,
	F3_CF_JOURNAL,
	F3_CF_TREES,
	F3_CF_OBJECTS,
	F3_CF_ACTIVATIONS,
	F3_CF_MAX
};

const char *f3_cf_name(enum f3_cf cf);

struct f3_kv;

/* A batch is a list of puts and deletes; the store's own encoding behind it. Not thread-safe. */
struct f3_kv_batch;

struct f3_kv_iter;

struct f3_kv_ops {
	/* -ENOENT if absent. The value is appended to `out`. */
	int (*get)(struct f3_kv *kv, enum f3_cf cf, const void *key, size_t klen, struct f3_buf *out);

	int (*batch_new)(struct f3_kv *kv, struct f3_kv_batch **ret_b);
	void (*batch_free)(struct f3_kv *kv, struct f3_kv_batch *b);	/* NULL ok */
	void (*batch_clear)(struct f3_kv_batch *b);
	void (*batch_put)(struct f3_kv_batch *b, enum f3_cf cf, const void *key, size_t klen,
			  const void *val, size_t vlen);
	void (*batch_del)(struct f3_kv_batch *b, enum f3_cf cf, const void *key, size_t klen);
	/* [from, to) */
	void (*batch_del_range)(struct f3_kv_batch *b, enum f3_cf cf, const void *from, size_t flen,
				const void *to, size_t tlen);
	/* The batch keeps its contents. All or nothing, also when it fails. */
	int (*write)(struct f3_kv *kv, struct f3_kv_batch *b);
	/* One caller at a time. A failed sync stays failed, and ends writing: what was written
	 * before it may be gone from the page cache, so that a later one that "succeeds" must not
	 * be believed. */
	int (*sync)(struct f3_kv *kv);

	/* Keys >= from and < to, in order, as of the time of the call. flen 0: from the first
	 * key; tlen 0: to the last. */
	int (*iter_new)(struct f3_kv *kv, enum f3_cf cf, const void *from, size_t flen,
			const void *to, size_t tlen, struct f3_kv_iter **ret_it);
	/* 1 and key/value (valid until the next call), 0 at the end, or -errno. The end and an
	 * error stay. */
	int (*iter_next)(struct f3_kv_iter *it, const uint8_t **ret_key, size_t *ret_klen,
			 const uint8_t **ret_val, size_t *ret_vlen);
	void (*iter_free)(struct f3_kv_iter *it);

	/* The store as it is now, for reading while others go on writing: get, iterators and
	 * close are there, batch_new is -EROFS. Closed before the store is. */
	int (*snapshot)(struct f3_kv *kv, struct f3_kv **ret_view);

	/* Writes out changes that are kept in memory if they take more than buffer_bytes, and drops
	 * what is cached beyond cache_bytes. The limits stay what they were. */
	void (*rest)(struct f3_kv *kv, uint64_t cache_bytes, uint64_t buffer_bytes);

	/* Estimates. */
	void (*stats)(struct f3_kv *kv, uint64_t *ret_disk_bytes, uint64_t *ret_mem_bytes);
	void (*close)(struct f3_kv *kv);
};

struct f3_kv {
	const struct f3_kv_ops *ops;
};

struct f3_kv_options {
	uint64_t block_cache_bytes;
	uint64_t write_buffer_bytes;	/* over all families */
	bool read_only;			/* for checks while nobody writes */
	bool create;			/* make it if it does not exist */
};

/* Opens or creates the RocksDB in `dir`. A corrupt database is an error that names the
 * directory and says what to do; never repaired silently. */
int f3_meta_rocks_open(const char *dir, const struct f3_kv_options *opt, struct f3_kv **ret_kv,
		       struct f3_err *err);

#endif
