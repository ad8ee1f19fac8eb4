/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backing: the files that hold files' bytes, on one backing file system.
 *
 * A store is a directory: `<dir>/<xx>/<ino:016x>.<number:08x>`, xx = low 8 bits of ino. A backing
 * file belongs to one content of one inode; its number changes when the content is replaced
 * as a whole (O_TRUNC on a file others read, a refill), never its meaning. Mode is 0600, owner the
 * daemon: rights are checked by the kernel on the FUSE inode.
 *
 * The daemon keeps no writable descriptor on a backing file: the lease probe (fcntl F_SETLEASE
 * F_RDLCK on a read-only descriptor) answers "does a writer or a writable mapping live?" only
 * then. Functions that write open O_RDWR for the length of the call. The probe never leaves a
 * lease behind, and SIGIO must be ignored by the process (f3_backing_open does that).
 *
 * Thread-safe. Everything here is quick local metadata I/O except open, sync and clone, which
 * may block on the disk.
 */
#ifndef F3_LOCAL_BACKING_H
#define F3_LOCAL_BACKING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/base/err.h"
#include "fs/local/ring.h"

struct f3_backing_store;

/* What the backing file system can do, probed at open by doing it. */
struct f3_backing_caps {
	char fs_name[32]; /* "ext4", "xfs", "btrfs", "tmpfs", "overlay", else the magic in hex */
	bool punch_hole, collapse_range, insert_range, zero_range, keep_size;
	bool reflink; /* FICLONE */
	bool o_direct;
	bool o_tmpfile;
	bool leases; /* the lease probe works, also for mappings */
	bool stacked; /* overlayfs: needs stacking depth 1 for passthrough */
	bool fine_times; /* a write between two looks always changes mtime */
	uint64_t max_file_bytes;
};

/* Makes `dir` (0700; its parent must be there) if missing; shards come with their first files. err
 * names the directory and the reason. The ring must outlive the store. */
int f3_backing_open(const char *dir, struct f3_ring *ring, struct f3_backing_store **ret_s,
		    struct f3_err *err);
void f3_backing_close(struct f3_backing_store *s);
const struct f3_backing_caps *f3_backing_caps(const struct f3_backing_store *s);
int f3_backing_dirfd(const struct f3_backing_store *s); /* O_PATH | O_DIRECTORY */

/* New empty file; returns an O_RDONLY descriptor (>= 0) or -errno (-EEXIST if it is there). */
int f3_backing_create(struct f3_backing_store *s, uint64_t ino, uint32_t number);
/* The same, in the place of one of an earlier run whose record was never committed. */
int f3_backing_create_anew(struct f3_backing_store *s, uint64_t ino, uint32_t number);
/* flags: O_RDONLY or O_RDWR (plus O_DIRECT). Descriptor or -errno. */
int f3_backing_open_file(struct f3_backing_store *s, uint64_t ino, uint32_t number, int flags);
/* Gone at return by name. The blocks of a large file are freed by the ring soon after; until then
 * f3_backing_space does not count them as free. Absent is fine. What cannot be removed stays for
 * f3_backing_each to find. */
void f3_backing_unlink(struct f3_backing_store *s, uint64_t ino, uint32_t number);
int f3_backing_stat(struct f3_backing_store *s, uint64_t ino, uint32_t number, struct stat *ret_st);

/* 1: no writable open and no writable mapping made from one lives. 0: one does. -errno (-ENOTSUP
 * where the file system has no leases). fd is O_RDONLY, the only descriptor of the daemon on it. */
int f3_backing_probe(int fd);

/* Bytes and, for a file whose name was not synced by this store yet, its directory entry. May
 * block. An error of writing back is told once, as fsync does. */
int f3_backing_sync(struct f3_backing_store *s, uint64_t ino, uint32_t number, bool data_only);
/* Sets the file's times (fills end with it, so that `what the store says` is what stat sees). */
int f3_backing_set_times(struct f3_backing_store *s, uint64_t ino, uint32_t number,
			 int64_t atime_ns, int64_t mtime_ns);
/* Reflink if the file system can, else copy in the kernel, keeping holes. Between stores too.
 * May block. The target is new (-EEXIST); after an error there is none. A source that changes
 * meanwhile gives a mixture: look before and after. */
int f3_backing_clone(struct f3_backing_store *from, uint64_t ino, uint32_t number,
		     struct f3_backing_store *to, uint64_t to_ino, uint32_t to_number);

/* Space of the file system, as somebody without its reserve may use it. Where there is no limit
 * of files: as many as 4 KiB blocks are free. */
int f3_backing_space(struct f3_backing_store *s, uint64_t *ret_total, uint64_t *ret_free,
		     uint64_t *ret_files_free);
/* Every file of the store: for fsck, restart and gc. fn returns non-zero to stop, which is then
 * returned; it may remove the file. Else 0, or -errno when not everything could be seen. */
int f3_backing_each(struct f3_backing_store *s,
		    int (*fn)(void *arg, uint64_t ino, uint32_t number, const struct stat *st),
		    void *arg);
/* Everything in the store that is none of its files: fn gets a path below its directory. */
int f3_backing_each_stranger(struct f3_backing_store *s, int (*fn)(void *arg, const char *path),
			     void *arg);

#endif
