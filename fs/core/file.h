/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: a regular file from open to sealed.
 *
 *          open for write            last writer released,
 *   SEALED ---------------> WRITING ---------------------> SEALED -> (in-store classes) STAGING -> CLEAN
 *   CLEAN                      |       lease probe granted
 *   FILLING                    | last RELEASE came, probe not granted: a mapping lives on
 *   REMOTE                     v				(put off while it is held: hold.h)
 *                            WRITING + mapped: CLOSE_WRITE on the backing file, probe again
 *
 * RELEASE decides, with the probe; FLUSH is only evidence (fuse/ops_data.c collects it). While
 * WRITING the backing file knows size, blocks and mtime; at seal they go to the record.
 *
 * Threads: any. Locks: takes the inode lock inside. Nothing here waits for the object store
 * except where a caller says it may.
 */
#ifndef F3_CORE_FILE_H
#define F3_CORE_FILE_H

#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/core/inode.h"
#include "fs/core/stock.h"
#include "fs/core/volume.h"

/* What an open is told to do by the kernel layer's answer. */
struct f3_open_plan {
	enum f3_open_mode mode;
	/* reads and writes to the daemon; with PASSTHROUGH mmap is native, without it in the page cache */
	bool direct_io;
	bool stream;		/* a reader that follows the writers (stream.h) */
	bool keep_cache;	/* CACHED: pages of the last open are still right */
	bool noflush;		/* close() has nothing to say */
	bool cold;		/* bytes of it were not here, or came just before */
	bool native;		/* a writer whose writes do not come to the daemon */
	int backing_id;		/* of PASSTHROUGH */
};

/*
 * Opens for `flags` (O_ACCMODE, O_TRUNC, O_DIRECT, O_SYNC). Revalidates objects (may need to
 * block), marks the writer in the database, makes the backing file ready, decides the mode,
 * registers the backing file. On success the open is counted: f3_file_release gives it back.
 * -F3_EWAIT, -ESTALE (the name leads elsewhere now), -ENOSPC, -EDQUOT, -EROFS, -EIO, ...
 */
int f3_file_open(struct f3_core *core, struct f3_inode *inode, int flags,
		 const struct f3_caller *who, struct f3_open_plan *ret_plan);
/* The first open of a file just created (namespace.h made the record and the mark). Takes over the
 * descriptor and the registration of `item`. */
void f3_file_opened_new(struct f3_core *core, struct f3_inode *inode, int flags,
			const struct f3_stock_item *item, struct f3_open_plan *ret_plan);
/* An open file description is gone. Queues sealing when it was the last writer. */
void f3_file_release(struct f3_core *core, struct f3_inode *inode, bool writer, bool native);
/* Before that, where the last who closed it was killed by a signal: a file that streams is not whole
 * then, and stays so, also over a restart, until it is emptied. */
void f3_file_torn(struct f3_core *core, struct f3_inode *inode);
/* It was emptied: what was left of it before does not count any more. Inode lock held. */
void f3_file_emptied(struct f3_core *core, struct f3_inode *inode);

/* Now, not later: probe and seal if nothing writes. 0 sealed (or never written), -EBUSY a writer or
 * mapping lives, or it is held (hold.h). */
int f3_file_seal(struct f3_core *core, struct f3_inode *inode);

/* The daemon stops, and somebody goes on writing it: what it is counted for goes to the record, so that
 * the next start counts only what came after. */
void f3_file_left(struct f3_core *core, struct f3_inode *inode);

/* A read-only descriptor of the backing file, borrowed while the inode is open or `lock` is held;
 * opened if need be. -errno. Inode lock held. */
int f3_file_fd(struct f3_core *core, struct f3_inode *inode);

/* One of its own, for reads that leave the file's atime as it is. The caller closes it. */
int f3_file_fd_noatime(struct f3_inode *inode);

/* Keeps what native readers did to the times of a file that nobody has open any more. */
void f3_file_settle(struct f3_core *core, struct f3_inode *inode);

/* Attributes as stat(2) shows them, asking the backing file where it knows better. */
int f3_file_stat(struct f3_core *core, struct f3_inode *inode, struct stat *ret_st);
/* The same from a record alone. */
void f3_file_stat_rec(const struct f3_inode_rec *rec, struct stat *ret_st);
/* While a file is written the kernel knows of every write but stores through a mapping, which
 * change times unseen: attributes are kept just long enough to serve the calls that follow an open
 * (permission, size) without asking again for each. */
#define F3_WRITING_TTL_NS (20 * F3_NS_PER_MS)

/* How long the kernel may keep them (ns). */
uint64_t f3_file_attr_ttl(struct f3_core *core, struct f3_inode *inode);

/* Sets the size (truncate, O_TRUNC). -F3_EWAIT if bytes must come from the store first. */
int f3_file_truncate(struct f3_core *core, struct f3_inode *inode, uint64_t size,
		     const struct f3_caller *who);
int f3_file_fallocate(struct f3_core *core, struct f3_inode *inode, int mode, uint64_t off,
		      uint64_t len, const struct f3_caller *who);
int64_t f3_file_copy_range(struct f3_core *core, struct f3_inode *in, uint64_t off_in,
			   struct f3_inode *out, uint64_t off_out, uint64_t len,
			   const struct f3_caller *who);
int64_t f3_file_seek(struct f3_core *core, struct f3_inode *inode, uint64_t off, int whence);

/* Room and quota for a write through the daemon, before it happens: 0, -EDQUOT, -ENOSPC, -F3_EWAIT,
 * -F3_EROOM. After 0 fills keep off the range until f3_file_written, which has to follow. */
int f3_file_reserve(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		    const struct f3_caller *who);
/* After it, with the same range and what the write returned (bytes or -errno): extent map, change
 * flag, accounting. The error to be answered, else `result`. */
int64_t f3_file_written(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
			int64_t result);

/* security.capability goes, as by any write; with `who`, somebody without CAP_FSETID, also suid, and
 * sgid where the group may execute it or who is not in the group. No-op when there are none. */
int f3_file_kill_priv(struct f3_core *core, struct f3_inode *inode, const struct f3_caller *who);
/* Mode without what a change of it by `who` takes away. */
uint32_t f3_mode_without_priv(uint32_t mode, gid_t gid, const struct f3_caller *who);

/* fsync for the local part: bytes, then names and record with unsynced ancestors (log). */
int f3_file_sync(struct f3_core *core, struct f3_inode *inode, bool data_only);
/* Its two halves, for who has more to put in the log between them. The second is told what came of the
 * first; its result is that of both. */
int f3_file_sync_bytes(struct f3_inode *inode, bool data_only);
int f3_file_synced(struct f3_core *core, struct f3_inode *inode, int r);
/* For who opens with O_SYNC and writes past the daemon: what f3_file_sync does for names and record
 * only. -errno of the log. Blocks. */
int f3_file_sync_name(struct f3_core *core, struct f3_inode *inode);

/* Size and 512-byte blocks of the file are these now: brings record, volume and cache usage in
 * line. The quota was checked before, or growth happened unseen. Inode lock held. */
void f3_file_account(struct f3_core *core, struct f3_inode *inode, uint64_t size, uint64_t blocks);
/* What a record counts for in its volume's quota: what it holds here, and of an object at least its
 * size. */
static inline uint64_t f3_file_charge(const struct f3_inode_rec *rec)
{
	uint64_t held = rec->blocks * 512;

	if (!S_ISREG(rec->mode))
		return 0;
	return f3_class_in_store((enum f3_class)rec->class_) && rec->size > held ? rec->size : held;
}
/* What it holds on the cache disk that cannot be evicted whatever its state: of local classes. */
static inline uint64_t f3_file_kept(const struct f3_inode_rec *rec)
{
	if (!S_ISREG(rec->mode) || rec->backing_class == F3_CLASS_MEMORY ||
	    f3_class_in_store((enum f3_class)rec->class_))
		return 0;
	return rec->blocks * 512;
}
/* In a volume with a store: may others change it there? */
static inline bool f3_file_in_store(const struct f3_inode_rec *rec)
{
	return S_ISDIR(rec->mode) ? !(rec->flags & F3_INO_LOCAL_TREE) :
				    f3_class_in_store((enum f3_class)rec->class_);
}
/* From now on only what differs from this is a native reader's or writer's doing. After the daemon
 * itself changed the backing file (fills, truncate, times). Inode lock held. */
void f3_file_seen(struct f3_inode *inode, const struct stat *st);
/* Brings the record up to what native readers and writers did to the backing file, which now looks
 * like this, since it was last looked at. Inode lock held. */
void f3_file_catch_up(struct f3_core *core, struct f3_inode *inode, const struct stat *st);
/* Does the backing file hold every byte? Inode lock held. */
bool f3_file_complete(const struct f3_inode *inode);
/* Has it a name (which is given), and no bytes? Inode lock not held. */
bool f3_file_empty(struct f3_inode *inode, char ret_name[F3_NAME_MAX + 1]);
static inline struct f3_backing_store *f3_file_store(const struct f3_inode *inode)
{
	return f3_volume_backing(inode->volume, (enum f3_class)inode->rec.backing_class);
}
/* A descriptor for writing through the daemon, kept while writers are counted; for an operation
 * without a writer the caller closes it (*ret_close). Inode lock held. -errno. */
int f3_file_write_fd(struct f3_core *core, struct f3_inode *inode, bool *ret_close);
/* A new, empty backing file under the next number, open in inode->fd. Inode lock held. -errno. */
int f3_file_make_backing(struct f3_inode *inode);
/* Takes the backing file away (unlink, replace, evict): descriptor, backing id, file, charge.
 * Inode lock held; returns what has to be done without it. */
struct f3_file_gone {
	int fd;
	int backing_id;
	uint64_t ino;
	uint32_t number;
	struct f3_backing_store *store;
	uint64_t bytes;			/* it held, as far as the record knows */
	bool scratch;			/* nobody can expect these bytes after the machine's crash */
};
void f3_file_detach(struct f3_core *core, struct f3_inode *inode, struct f3_file_gone *ret_gone);
void f3_file_gone(struct f3_core *core, struct f3_file_gone *gone);

/* The state turned FAILED: keeps the bytes, says so once in the log and a metric. */
void f3_file_fail(struct f3_core *core, struct f3_inode *inode, int error, const char *what);

/* An open of the last run that the kernel still has; before f3_core_recover. -ENOENT: there is no
 * such file any more. */
struct f3_open_kept {
	uint64_t ino;
	bool writer, native, stream;
	int backing_id;		/* > 0: passthrough; 0: through the daemon */
};
int f3_file_restore(struct f3_core *core, const struct f3_open_kept *kept,
		    struct f3_inode **ret_inode);
/* What a restart finds marked: seal writers, reap orphans. */
int f3_file_recover(struct f3_core *core, struct f3_err *err);
/* It is going to be changed: as an output of the caller's activation it joins the commit set of that, if there
 * is one. As f3_commitset_join. */
int f3_file_join_set(struct f3_core *core, struct f3_inode *inode, const struct f3_caller *who);
/* What is here of a file of an object class does not count any more: it is what the store has. */
int f3_file_drop_copy(struct f3_core *core, uint64_t ino);
/* The number of the clone a commit reads, made of the number of the content. */
#define F3_FILE_CLONE_NUMBER 0x80000000u

/* Removes (dry_run: only looks at) a backing file that no record speaks of: made, but the batch was
 * never committed; or replaced, and a crash came before it was removed. Those of this run never
 * are: their batch may be on its way. 1 it was stray, 0, or -errno. Blocks: disk. */
int f3_file_remove_stray(struct f3_core *core, struct f3_volume *v, enum f3_class where,
			 uint64_t ino, uint32_t number, bool dry_run);

#endif
