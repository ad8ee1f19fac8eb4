/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meta_impl: what the files of the metadata layer share, and nobody else includes.
 *
 * meta.c opens the database, gives out numbers and syncs; read.c reads; batch.c writes;
 * check.c looks at everything with the keys and values as they are.
 *
 * `lock` is a leaf (rank QUEUE) and guards the number ranges, the sync queue and the pool of
 * batches. Nothing is read or written with it held.
 */
#ifndef F3_META_META_IMPL_H
#define F3_META_META_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/base/lock.h"
#include "fs/meta/key.h"
#include "fs/meta/meta.h"

#define F3_META_VALUE_VERSION 1		/* of the small values: names, xattrs, extents, counters */
#define F3_META_VALUE_MAX (1u << 17)	/* bytes; the largest are xattrs */
#define F3_META_KEY_MAX 2048

/* Numbers that never come twice: [next, end) is reserved in the database, synced. */
struct f3_meta_range {
	const char *key;
	uint64_t next, end;
	uint64_t step;			/* reserved at a time */
	uint64_t low;			/* with fewer left, reserve more ahead of need */
	bool busy;			/* somebody is reserving */
};

struct f3_meta_sync_waiter;

struct f3_meta {
	struct f3_kv *kv;
	bool read_only, offline, distrust;
	bool was_clean, same_boot, recovered;
	char boot_id[36];
	uint32_t incarnation;
	uint64_t seed;
	struct f3_idgen ids;
	_Atomic uint64_t seq;
	/* Whether the family may hold anything: set before the first put, never cleared. Without
	 * it every unlink would look for xattrs and extents that hardly any file has. */
	_Atomic bool has_xattrs, has_extents;
	_Atomic uint64_t committed;	/* batches, counted after the write */
	_Atomic uint64_t synced;	/* `committed` as of the start of the last good sync */

	struct f3_lock lock;
	pthread_cond_t cond;		/* a range grew, a sync ended */
	struct f3_meta_range inos, volumes;
	struct f3_meta_sync_waiter *sync_waiting;	/* for the next sync */
	unsigned sync_waiters;				/* how many they are */
	bool syncing;
	struct f3_batch *pool;
	unsigned pooled;
	void (*on_failure)(void *arg);
	void *failure_arg;
};

/* The result of a write or sync: tells who wants to know that there will be no others. */
void f3_meta_result(struct f3_meta *m, int r);

/* The key one after all keys that begin with `v`, appended to out; nothing if there is none. */
void f3_meta_key_after_u64(struct f3_buf *out, uint64_t v);

/* What a reader is told of a value that does not decode. */
int f3_meta_decode_error(int error);

int f3_meta_name_decode(const uint8_t *value, size_t len, struct f3_meta_name *ret_name);
int f3_meta_extent_decode(const uint8_t *value, size_t len, uint64_t *ret_len);
int f3_meta_volume_decode(uint32_t id, const uint8_t *value, size_t len,
			  struct f3_volume_rec *ret_v);
void f3_meta_volume_encode(const struct f3_volume_rec *v, struct f3_buf *out);

/* Counters of the "meta" family. -ENOENT if absent, -EIO if it cannot be one. */
int f3_meta_counter_get(struct f3_meta *m, const char *key, uint64_t *ret_v);
void f3_batch_put_counter(struct f3_batch *b, const char *key, uint64_t v);
void f3_batch_put_raw(struct f3_batch *b, enum f3_cf cf, const void *key, size_t klen,
		      const void *value, size_t vlen);
void f3_batch_del_raw(struct f3_batch *b, enum f3_cf cf, const void *key, size_t klen);
void f3_batch_pool_free(struct f3_meta *m);

/* Calls fn for each key of [from, to); empty bounds are open. Stops when fn returns non-zero and
 * returns that. */
int f3_meta_scan(struct f3_meta *m, enum f3_cf cf, const struct f3_buf *from,
		 const struct f3_buf *to,
		 int (*fn)(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
			   size_t vlen),
		 void *arg);

#endif
