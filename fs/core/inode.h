/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode: what is kept in memory of a file or directory, and the table of it.
 *
 * The record (rec) equals the database, except while a writer may exist (state WRITING): then the
 * backing file knows size, blocks and mtime, and the record is brought up at seal. Whoever changes
 * rec holds `lock`, and commits the batch before letting go of the names lock that orders the
 * change (see fs/base/lock.h).
 *
 * The table finds or loads an inode in one critical section (a second asker waits for the first
 * one's load). Inodes nobody holds stay in a list by last use up to a share of the memory limit;
 * nothing depends on the kernel's lookup counts, so a million names looked up cost nothing here.
 *
 * Life: f3_inode_get takes a reference; f3_inode_put gives it back. An inode without names and
 * without opens is `dead`: removed from the database, but its number may still be in the kernel's
 * hands (a path lookup on its way to open, an O_PATH descriptor). So it goes on in memory, with its
 * bytes, until the kernel forgets the number or memory is short; a crash in between leaves a
 * backing file without a record, which the next start removes.
 */
#ifndef F3_CORE_INODE_H
#define F3_CORE_INODE_H

#include "fs/core/core.h"
#include "fs/core/extents.h"

/* How the kernel reaches the bytes while the file is open: one mode per inode until its last
 * release (mixing is EIO: kernel rule, see ARCHITECTURE "Local bytes"). */
enum f3_open_mode {
	F3_MODE_NONE,		/* not open */
	F3_MODE_PASSTHROUGH,	/* kernel to backing file; with direct_io for some opens */
	F3_MODE_CACHED,		/* through the daemon and the page cache */
};

const char *f3_open_mode_name(enum f3_open_mode m);

struct f3_activation;
struct f3_stage;
struct f3_early;
struct f3_sums;
struct f3_fetch;
struct f3_fill;
struct f3_hold;
struct f3_member;
struct f3_stream;
struct f3_walk;

/* What a backing file looked like; equal before and after means nothing was written between. */
struct f3_fingerprint {
	uint64_t size;
	int64_t mtime_ns, ctime_ns;
};

struct f3_inode {
	/* table (shard lock) */
	uint64_t ino;
	struct f3_inode *hash_next;
	struct f3_inode *idle_prev, *idle_next;
	_Atomic uint32_t refs;
	bool loading;			/* its record is being read; wait on the shard */
	int load_error;			/* that failed: nobody finds it any more */
	bool forgotten;			/* by the kernel, when it had no name any more */

	struct f3_volume *volume;	/* referenced; NULL for the root of the mount. Never changes. */
	bool local_tree;		/* the record's F3_INO_LOCAL_TREE, which never changes */

	struct f3_lock lock;		/* everything below; rank F3_RANK_INODE */
	struct f3_inode_rec rec;
	bool dead;
	bool superseded;		/* the store has something else, or nothing, under its name */

	/* regular files */
	uint32_t opens;			/* open file descriptions */
	uint32_t writers;		/* of them writable */
	uint32_t passthrough_writers;	/* of them native: growth is not seen here */
	enum f3_open_mode mode;
	const char *mode_reason;	/* why not passthrough; static text */
	int fd;				/* backing file, O_RDONLY; -1 */
	int write_fd;			/* O_RDWR, only while writers go through the daemon; -1 */
	int backing_id;			/* registered with the kernel; 0 */
	/* The backing file as of the last time rec was brought in line with it: what differs from
	 * it later was done by a native reader or writer. */
	struct f3_fingerprint seen;
	int64_t seen_atime_ns;
	bool seen_valid;
	uint64_t cached_generation;	/* content the kernel's page cache may still hold */
	bool mapped;			/* last RELEASE came, a writable mapping lives on */
	bool touched;			/* native opens since rec was brought in line */
	bool release_waits;		/* lifetime.c removes it after its last close, or seal */
	bool unpromised;		/* made in this run, and never synced or moved since */
	_Atomic bool seal_queued;
	struct f3_inode *seal_next;	/* in the sealer's list */
	uint64_t seal_due_ns;		/* in the sealer's list of later; 0: it is not. Its lock */
	struct f3_inode *later_next;
	struct f3_core *core;		/* for callbacks */
	struct f3_watch *watch;		/* CLOSE_WRITE while `mapped` */
	struct f3_extents *extents;	/* present ranges while incomplete; NULL: complete or empty */
	struct f3_fill *fill;		/* transfers under way for it (fill.c) */
	bool presized;			/* made longer without being written, since it is written */
	struct f3_stream *stream;	/* readers that follow its writers (stream.h) */
	struct f3_hold *holds;		/* who keeps it from being sealed (hold.h) */
	uint64_t grace_until_ns;	/* no writer is left, one may come till then; 0: one is */
	struct f3_stage *stage;		/* commit under way (stage.c) */
	bool moving, move_again;	/* its class or place is being changed (move.c) */
	struct f3_waiter_list move_waiters;	/* until it is not */
	struct f3_waiter_list seal_waiters;	/* until no writer is left */
	struct f3_waiter_list stage_waiters;	/* until the content of now is durable */
	struct f3_fingerprint committed;	/* the backing file as last staged */
	bool changed;			/* a write through the daemon since then */

	struct f3_activation *_Atomic act;	/* that opened it last; what goes to and fro is on its account */

	/* object tier */
	uint32_t stage_held;		/* names are being changed: no commit begins (stage.h) */
	struct f3_sums *sums;		/* of the parts of its object (stage_sums.h) */
	struct f3_early *early;		/* parts that go up while it is written (stage_early.c) */
	struct f3_member *member;	/* of a commit set (commitset.h) */
	uint64_t attempts;		/* the highest number a request to the store had */
	uint32_t attr_changes;		/* counts what is to reach the object */
	bool maybe_stored;		/* an answer was lost: the store may have another object of it */
	bool sent;			/* bytes of it were sent to the store, or that was counted */
	uint64_t dirty_counted;		/* in the volume's dirty bytes */
	uint64_t checked_mono_ns;	/* agreed with the store then; 0: never */
	struct f3_fetch *fetch;		/* under way, ahead of an open (fetch.h) */
	uint64_t fetched_mono_ns;	/* its bytes were asked for then, ahead; 0: not, or it counted */
	/* directories */
	_Atomic uint64_t names_epoch;	/* counts committed changes of its names (ns.h) */
	uint64_t gone_mono_ns;		/* a name of it was last removed in the store by us */
	uint64_t listed_mono_ns;	/* all names agreed with the store then */
	uint64_t missed_mono_ns;	/* when names that are not known were first asked for lately */
	uint32_t missed;		/* and how many since */
	uint64_t ahead_cookie;		/* whoever walks it is expected to ask for that name next */
	uint32_t ahead_names;		/* so many were asked about at once the last time */
	struct f3_walk *walk;		/* who opens one of its files after the other (fetch_walk.c) */
	uint32_t inherit_epoch;		/* `inherited` was worked out under this epoch of the core */
	uint8_t inherited_class;	/* nearest ancestor's (or own) class xattr, NONE if none */
	int8_t inherited_stream;	/* the same for user.f3.stream: -1 none, 0 off, 1 on */
};

/* Inodes nobody holds take what those that are held leave of the account's share. */
int f3_itable_new(struct f3_core *core, struct f3_itable **ret_t);
void f3_itable_free(struct f3_itable *t);

/* 0 and a reference, -ENOENT, or the database's error. */
int f3_inode_get(struct f3_core *core, uint64_t ino, struct f3_inode **ret_inode);
/* Only if it is in memory now; NULL otherwise. Takes a reference. */
struct f3_inode *f3_inode_peek(struct f3_core *core, uint64_t ino);
/* A new inode whose record the caller commits; takes over rec's heap. The caller holds the names
 * lock, so nobody else can know the number yet. */
int f3_inode_add(struct f3_core *core, struct f3_inode_rec *rec, struct f3_inode **ret_inode);
void f3_inode_ref(struct f3_inode *inode);
void f3_inode_put(struct f3_core *core, struct f3_inode *inode);
/* The kernel forgot the number: a dead inode nobody holds goes at once. */
void f3_inode_forget(struct f3_core *core, uint64_t ino);
/* For walks over what is in memory (status, shutdown). fn is called with a reference, no lock. */
void f3_itable_each(struct f3_core *core, void (*fn)(void *arg, struct f3_inode *inode),
		    void *arg);
/* Drops every inode of the volume that nobody holds. False: some are held. */
bool f3_itable_drop_volume(struct f3_core *core, const struct f3_volume *v);
/* Lets go of inodes nobody holds, the longest unused first, until those left take no more than this.
 * What can only be had from here stays: files without a name, times not settled. */
void f3_itable_trim(struct f3_core *core, uint64_t max_idle_bytes);
/* Counts inodes let go by operations: while it changes, there is work. */
uint64_t f3_itable_work(struct f3_core *core);
void f3_itable_stats(struct f3_core *core, uint64_t *ret_inodes, uint64_t *ret_bytes);

/* The path of an inode inside its volume ("/a/b", "/" for its root), through rec.parent.
 * 0, -ENAMETOOLONG past `size`, -ESTALE if a parent is gone. */
int f3_inode_path(struct f3_core *core, uint64_t ino, char *out, size_t size);
/* The object key of it: the path without the leading slash; -ENOENT for an orphan. */
int f3_inode_key(struct f3_core *core, uint64_t ino, char *out, size_t size);

#endif
