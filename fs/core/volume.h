/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume: a top-level directory of the mount with its own object URL, rules, quota and owner.
 *
 * Volumes come from the configuration or from f3ctl. Each has a number that never changes, its
 * root directory inode, a backing store on the cache disk and one on tmpfs, and maybe an object
 * store. Usage is counted in bytes held by files (their sizes rounded to what they occupy here,
 * the object's size where nothing is here) and in inodes.
 *
 * A volume is reference-counted by use under the volumes lock; it is removed only when nothing of
 * it is open or dirty.
 */
#ifndef F3_CORE_VOLUME_H
#define F3_CORE_VOLUME_H

#include <stdatomic.h>

#include "fs/core/core.h"
#include "fs/core/placement.h"
#include "fs/core/stock.h"
#include "fs/object/object.h"

struct f3_volume {
	struct f3_core *core;
	uint32_t id;
	char name[F3_NAME_MAX + 1];
	char url[F3_KEY_MAX + 1];	/* "" : local classes only */
	uint64_t root_ino;
	struct f3_placement placement;
	_Atomic uint64_t quota_bytes, quota_inodes;	/* 0: none */
	_Atomic uint64_t attr_ttl_ns;
	_Atomic uint64_t stream_grace_ns;		/* see hold.h */
	_Atomic bool stream_exit_zero;			/* a writer that exits with another status was killed */
	_Atomic bool read_only;
	bool listed_attr;		/* what a listing says of a file is enough to show it */
	bool by_command;
	char *namespaces;		/* who may bind a view of it, each ended by a newline */
	struct f3_backing_store *disk;
	struct f3_backing_store *memory;
	struct f3_stock *disk_stock, *memory_stock;
	struct f3_object_store *store;	/* NULL without url */
	struct f3_store_meet *meet;	/* it could not be reached at start; see store_meet.h */
	struct f3_fill_gate *fills;
	struct f3_journal_gate *stages;
	_Atomic uint64_t used_bytes;	/* charged: see f3_volume_charge */
	_Atomic uint64_t used_inodes;
	_Atomic uint64_t dirty_bytes;	/* not yet in the store */
	_Atomic uint64_t space_left, space_checked_ns;	/* see f3_volume_may_passthrough_write */
	_Atomic uint32_t passthrough_writers;
	_Atomic uint32_t asked_ahead;	/* names: see store_ask.c */
	_Atomic uint32_t fetching;	/* small objects, ahead: see fetch.h */
	_Atomic uint32_t refs;
	struct f3_volume *next;
};

int f3_volumes_start(struct f3_core *core, struct f3_err *err);
void f3_volumes_stop(struct f3_core *core);

/* quota, quota-inodes, attr-ttl and what is said of streams of those that are configured may have changed. */
void f3_volumes_reload(struct f3_core *core);

/* By number or name; reference taken, NULL if there is none. */
struct f3_volume *f3_volume_get(struct f3_core *core, uint32_t id);
struct f3_volume *f3_volume_find(struct f3_core *core, const char *name);
/* One more reference, for who has one. */
static inline void f3_volume_ref(struct f3_volume *v)
{
	v->refs++;
}
void f3_volume_put(struct f3_volume *v);
/* fn with a reference and no lock; in order of names. */
void f3_volume_each(struct f3_core *core, void (*fn)(void *arg, struct f3_volume *v), void *arg);

/* Attach / detach while running (f3ctl). settings: "key=value" lines as in [volume NAME]. */
int f3_volume_add(struct f3_core *core, const char *name, const char *url, const char *settings,
		  struct f3_err *err);
/* Does the configuration have it? One that was taken out stays, with defaults, until it is removed. */
bool f3_volume_configured(struct f3_core *core, const char *name);
/* -EBUSY while open or dirty, -EPERM while configured; `purge` also drops ephemeral and memory files
 * (else -ENOTEMPTY). */
int f3_volume_remove(struct f3_core *core, const char *name, bool purge, struct f3_err *err);

/* The store a backing file lies in. */
static inline struct f3_backing_store *f3_volume_backing(struct f3_volume *v,
							 enum f3_class backing_class)
{
	return backing_class == F3_CLASS_MEMORY ? v->memory : v->disk;
}

/* May this namespace bind a view of it? */
bool f3_volume_allows(const struct f3_volume *v, const char *namespace_);

/* Usage. Charging against the quota: 0 or -EDQUOT. Uncharging always works. */
int f3_volume_charge(struct f3_volume *v, uint64_t bytes, uint64_t inodes);
void f3_volume_uncharge(struct f3_volume *v, uint64_t bytes, uint64_t inodes);
/* Counts growth that has happened already (a passthrough writer's). */
void f3_volume_account(struct f3_volume *v, int64_t bytes);
/* Where files that nothing else is said of lie: F3_CLASS_MEMORY, or F3_CLASS_EPHEMERAL for the
 * disk. */
static inline enum f3_class f3_volume_place(const struct f3_volume *v)
{
	return v->placement.dflt == F3_CLASS_MEMORY ? F3_CLASS_MEMORY : F3_CLASS_EPHEMERAL;
}
/* Bytes left under quota and on the disk. */
/* evictable: bytes of the cache that count as free. */
uint64_t f3_volume_left(struct f3_core *core, struct f3_volume *v, enum f3_class backing_class,
			uint64_t evictable);
/* Whether one more passthrough writer may start: (left - writers x reserve) > reserve. */
bool f3_volume_may_passthrough_write(struct f3_core *core, struct f3_volume *v,
				     enum f3_class backing_class);

#endif
