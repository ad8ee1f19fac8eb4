/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meta: the database of one node, typed.
 *
 * Opening checks the format version, counts the incarnation up (synced), makes the root directory
 * of a new database and prepares the generators of inode numbers and file ids. Inode numbers are given out from ranges reserved
 * in the database; a crash loses the rest of a range, a number never comes twice.
 *
 * Changes are collected in a batch and committed at once: one namespace operation is one
 * batch. Committed survives kill -9; f3_meta_sync makes it survive a power cut (concurrent
 * callers share one sync).
 *
 * Thread-safe (a batch belongs to one thread). Calls may block on the local disk. Ordering
 * between find and create is the caller's (names lock, fs/base/lock.h).
 */
#ifndef F3_META_META_H
#define F3_META_META_H

#include <stdbool.h>

#include "fs/base/err.h"
#include "fs/base/id.h"
#include "fs/meta/journal.h"
#include "fs/meta/kv.h"
#include "fs/meta/record.h"

#define F3_META_FORMAT 1		/* refused when the database has a higher one */

struct f3_meta;

struct f3_meta_options {
	bool read_only;			/* fsck: no incarnation, no writes */
	/* fsck --repair: writes, but how the last run ended stays as it is for the next start, and
	 * whose database it is does not matter (node_uuid, boot_id are not looked at). */
	bool offline;
	uint8_t node_uuid[16];
	uint8_t node_was[16];		/* the same node under another one: its database is taken over */
	char boot_id[37];
};

/* Takes over kv (closes it, also on failure). */
int f3_meta_open(struct f3_kv *kv, const struct f3_meta_options *opt, struct f3_meta **ret_m,
		 struct f3_err *err);
/* What the last run left has been dealt with: from here on this run and this boot count. Until then
 * the next start finds the last run's end as this one did, however this one ends. */
int f3_meta_recovered(struct f3_meta *m);
/* Writes the clean-shutdown mark, syncs, closes. */
void f3_meta_close(struct f3_meta *m);
/* fn(arg) is called when a change or a sync fails because the database takes none any more, each
 * time, on the thread that met it, which may hold locks. Want of space is no such failure. Before
 * and after m is used by other threads; fn NULL: nobody. */
void f3_meta_on_failure(struct f3_meta *m, void (*fn)(void *arg), void *arg);
/* The next start shall not trust what this one left: no mark. */
void f3_meta_distrust(struct f3_meta *m);

uint32_t f3_meta_incarnation(const struct f3_meta *m);
/* How the last run ended, as found at open. */
bool f3_meta_was_clean(const struct f3_meta *m);	/* stopped in order */
bool f3_meta_same_boot(const struct f3_meta *m);	/* and the machine has not restarted since */
uint64_t f3_meta_seed(const struct f3_meta *m);

int f3_meta_new_ino(struct f3_meta *m, uint64_t *ret_ino);
void f3_meta_new_id(struct f3_meta *m, struct f3_id *ret_id);
uint64_t f3_meta_new_seq(struct f3_meta *m);	/* journal */

/* Reads. -ENOENT if absent. */
int f3_meta_get_inode(struct f3_meta *m, uint64_t ino, struct f3_inode_rec *ret_rec);

struct f3_meta_name {
	uint64_t ino;
	uint64_t cookie;
	uint8_t d_type;			/* DT_* */
};
int f3_meta_get_name(struct f3_meta *m, uint64_t parent, const char *name, size_t len,
		     struct f3_meta_name *ret_name);
/* Appends the value. */
int f3_meta_get_xattr(struct f3_meta *m, uint64_t ino, const char *name, size_t len,
		      struct f3_buf *out);

/* Names of a directory in cookie order, first the one with cookie > after. */
struct f3_meta_dir;
int f3_meta_dir_open(struct f3_meta *m, uint64_t parent, uint64_t after, struct f3_meta_dir **ret_d);
/* 1, 0 at the end, -errno. `name` is valid until the next call, not NUL-terminated. */
int f3_meta_dir_next(struct f3_meta_dir *d, struct f3_meta_name *ret_name, const char **ret_text,
		     size_t *ret_len);
void f3_meta_dir_close(struct f3_meta_dir *d);
/* 1 if it has at least one name, 0 if none, -errno */
int f3_meta_dir_has_names(struct f3_meta *m, uint64_t parent);

/* Calls fn for each; stops early when fn returns non-zero and returns that. */
int f3_meta_each_xattr(struct f3_meta *m, uint64_t ino,
		       int (*fn)(void *arg, const char *name, size_t len, const uint8_t *value,
				 size_t vlen),
		       void *arg);
int f3_meta_each_extent(struct f3_meta *m, uint64_t ino,
			int (*fn)(void *arg, uint64_t start, uint64_t len), void *arg);
int f3_meta_get_journal(struct f3_meta *m, uint64_t seq, struct f3_journal_entry *ret_e);
int f3_meta_each_journal(struct f3_meta *m, int (*fn)(void *arg, const struct f3_journal_entry *e),
			 void *arg);
int f3_meta_each_inode(struct f3_meta *m, uint64_t from,
		       int (*fn)(void *arg, const struct f3_inode_rec *rec), void *arg);
enum f3_mark { F3_MARK_WRITER = 'w', F3_MARK_ORPHAN = 'o', F3_MARK_DIRTY = 'd' };
int f3_meta_each_mark(struct f3_meta *m, enum f3_mark mark, int (*fn)(void *arg, uint64_t ino),
		      void *arg);

/* Volumes. A record is: id, name, url, root inode, bytes and inodes used, settings as text, and
 * since version 2 the store's id. */
struct f3_volume_rec {
	uint32_t id;
	char name[F3_NAME_MAX + 1];
	char url[F3_KEY_MAX + 1];
	uint64_t root_ino;
	uint64_t used_bytes, used_inodes;	/* as of the last clean stop or checkpoint */
	bool by_command;			/* made by f3ctl, not by the configuration */
	char settings[4096];			/* key=value lines for by_command volumes */
	char store_id[F3_ID_TEXT_BYTES];	/* of the object store first attached; "": none */
};
int f3_meta_each_volume(struct f3_meta *m, int (*fn)(void *arg, const struct f3_volume_rec *v),
			void *arg);
int f3_meta_new_volume_id(struct f3_meta *m, uint32_t *ret_id);

/* A request that was carried out, of one mount (fs/core/answered.h). */
struct f3_meta_answer {
	uint64_t mount_id, unique, ino;
};
int f3_meta_each_answer(struct f3_meta *m, int (*fn)(void *arg, const struct f3_meta_answer *a),
			void *arg);

/* Notes: what is kept of activations, in families that are told by a letter. Keys and values are the
 * owner's: a key is at most F3_NOTE_KEY_MAX bytes, a value begins with a version of its own. */
#define F3_NOTE_KEY_MAX 1024u
enum f3_note {
	F3_NOTE_ACTIVATION = 'a',	/* by id (core/activation.h) */
	F3_NOTE_ENDED = 'e',		/* by time of end and id */
	F3_NOTE_HELD = 'h',		/* by holder and inode (core/activation_hold.c) */
	F3_NOTE_LINEAGE_FILE = 'f',	/* by content and activation (core/lineage_impl.h) */
	F3_NOTE_LINEAGE_ACT = 'g',	/* by activation and content */
	F3_NOTE_SET = 's',		/* commit sets, by id (core/commitset_note.c) */
	F3_NOTE_LIFETIME = 'i',		/* by inode (core/lifetime.c) */
	F3_NOTE_LIFETIME_END = 'j',	/* by activation and output */
	F3_NOTE_LIFETIME_READ = 'k',	/* by activation and inode */
	F3_NOTE_WORKINGSET = 'w',	/* by namespace, action, version (core/workingset.h) */
};
/* Appends the value. -ENOENT. */
int f3_meta_get_note(struct f3_meta *m, enum f3_note note, const void *key, size_t klen,
		     struct f3_buf *out);
/* In order of keys, those that begin with prefix. fn non-zero: stops, and is returned. */
int f3_meta_each_note(struct f3_meta *m, enum f3_note note, const void *prefix, size_t plen,
		      int (*fn)(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
				size_t vlen),
		      void *arg);

/* Batches. Puts keep the first error; commit returns it. */
struct f3_batch;
int f3_batch_new(struct f3_meta *m, struct f3_batch **ret_b);
void f3_batch_free(struct f3_batch *b);		/* NULL ok; uncommitted changes are dropped */
/* Commits and empties the batch (it may be filled again). */
int f3_batch_commit(struct f3_batch *b);

void f3_batch_put_inode(struct f3_batch *b, const struct f3_inode_rec *rec);
/* With its xattrs, extents and marks: those that are committed when it is called (nobody else
 * changes them meanwhile, and the batch has put none). */
void f3_batch_del_inode(struct f3_batch *b, uint64_t ino);
/* The same, where the record is at hand: of a local class it says which marks and xattrs there are;
 * otherwise they are looked for. */
void f3_batch_del_known_inode(struct f3_batch *b, const struct f3_inode_rec *rec);
void f3_batch_put_name(struct f3_batch *b, uint64_t parent, const char *name, size_t len,
		       uint64_t ino, uint8_t d_type);
void f3_batch_del_name(struct f3_batch *b, uint64_t parent, const char *name, size_t len);
void f3_batch_put_xattr(struct f3_batch *b, uint64_t ino, const char *name, size_t len,
			const void *value, size_t vlen);
void f3_batch_del_xattr(struct f3_batch *b, uint64_t ino, const char *name, size_t len);
void f3_batch_put_extent(struct f3_batch *b, uint64_t ino, uint64_t start, uint64_t len);
void f3_batch_del_extents(struct f3_batch *b, uint64_t ino);	/* all of a file, likewise */
void f3_batch_put_mark(struct f3_batch *b, enum f3_mark mark, uint64_t ino);
void f3_batch_del_mark(struct f3_batch *b, enum f3_mark mark, uint64_t ino);
void f3_batch_put_journal(struct f3_batch *b, const struct f3_journal_entry *e);
void f3_batch_del_journal(struct f3_batch *b, uint64_t seq);
void f3_batch_put_volume(struct f3_batch *b, const struct f3_volume_rec *v);
void f3_batch_del_volume(struct f3_batch *b, uint32_t id);
void f3_batch_put_note(struct f3_batch *b, enum f3_note note, const void *key, size_t klen,
		       const void *value, size_t vlen);
void f3_batch_del_note(struct f3_batch *b, enum f3_note note, const void *key, size_t klen);
void f3_batch_put_answer(struct f3_batch *b, uint32_t slot, const struct f3_meta_answer *a);

/* Group commit of the log: everything committed before the call is on the disk after it. */
int f3_meta_sync(struct f3_meta *m);
/* Nothing happens any more: changes kept in memory are written out if they take more than
 * buffer_bytes, and the cache goes down to cache_bytes. */
void f3_meta_rest(struct f3_meta *m, uint64_t cache_bytes, uint64_t buffer_bytes);
void f3_meta_stats(struct f3_meta *m, uint64_t *ret_disk_bytes, uint64_t *ret_mem_bytes);

#endif
