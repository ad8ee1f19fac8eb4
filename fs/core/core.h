/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core: everything one daemon has, put together once at start.
 *
 * Reading order: volume.h (what a volume is), inode.h (what is kept in memory of a file),
 * namespace.h (names), file.h (open, seal, state), extents.h (present ranges and waiting), fill.h,
 * stage.h, journal_run.h, store_dir.h (the object tier), evict.h (space), move.h (classes).
 *
 * Blocking: calls may wait for the local disk. Where a call might have to wait for the object
 * store it takes a caller; with caller->may_block false it returns -F3_EWAIT without any effect
 * and the same call is made again on a thread of core->blocking. That is the one way a request
 * leaves the FUSE threads, besides waiters (extents.h), which need no thread at all.
 */
#ifndef F3_CORE_CORE_H
#define F3_CORE_CORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/budget.h"
#include "fs/base/conf.h"
#include "fs/base/err.h"
#include "fs/base/lock.h"
#include "fs/base/workq.h"
#include "fs/local/backing.h"
#include "fs/local/ring.h"
#include "fs/local/watch.h"
#include "fs/meta/meta.h"

/* "Would have to wait for the object store": internal, never reaches a program. */
#define F3_EWAIT 4094
/* "Is made again when there may be room" (lack.h): internal too, and only for who may_wait. */
#define F3_EROOM 4093
/* "Is asked for again when there is something to read" (stream.h): likewise, of opens. */
#define F3_EFIRST 4092
/* "Is asked for again when it has been made" (expect.h): likewise. */
#define F3_EEXPECT 4091

struct f3_caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;		/* a thread id, as the kernel gives it; 0: the daemon itself */
	mode_t umask;
	bool may_block;
	bool may_wait;		/* for room, by -F3_EROOM; else -ENOSPC */
	uint64_t unique;	/* the request's number; 0: it is never asked again */
};

/* What core needs from the layer that talks to the kernel; all NULL until it is mounted. The
 * invalidations are queued, so they may be called from anywhere. */
struct f3_kernel_ops {
	void (*inval_inode)(void *arg, uint64_t ino);			/* attributes and pages */
	void (*inval_entry)(void *arg, uint64_t parent, const char *name, size_t len);
	/* Registers a backing file for passthrough: an id > 0, or -errno. NULL where the kernel or
	 * the configuration has no passthrough. One ioctl, does not block. */
	int (*backing_open)(void *arg, int fd);
	void (*backing_close)(void *arg, int backing_id);
	/* Files opened past the page cache can be mapped all the same. */
	bool direct_mmap;
	/* What is open is of no activation any more. Once, before they are freed. */
	void (*forget_activations)(void *arg);
	/* Waits until nothing is queued any more; that takes memory of the budget. */
	void (*drain)(void *arg);
	void *arg;
};

struct f3_acts;
struct f3_ws;
struct f3_answered;
struct f3_commitsets;
struct f3_itable;
struct f3_lineages;
struct f3_lives;
struct f3_rest;
struct f3_expect;
struct f3_holds;
struct f3_sealer;
struct f3_volumes;
struct f3_journal_run;
struct f3_evict;
struct f3_lack;
struct f3_recent;

#define F3_OPEN_MODES 3	/* enum f3_open_mode */
#define F3_NAME_LOCKS 1024	/* power of two */

struct f3_core {
	const struct f3_conf *conf;
	struct f3_budget *budget;
	struct f3_meta *meta;
	struct f3_ring *ring;
	struct f3_watcher *watcher;
	struct f3_workq *blocking;	/* requests that wait for the store, admin's verbs */
	struct f3_workq *transfer;	/* fills, stages, journal */
	struct f3_sealer *sealer;
	struct f3_holds *holds;
	struct f3_expect *expect;
	struct f3_itable *itable;
	struct f3_rest *rest;		/* NULL until f3_core_recover */
	struct f3_revive *revive;	/* likewise */
	struct f3_volumes *volumes;
	struct f3_journal_run *journal;
	struct f3_evict *evict;
	struct f3_lack *lack;
	struct f3_recent *recent;
	struct f3_acts *acts;
	struct f3_lineages *lineages;
	struct f3_lives *lives;
	_Atomic uint32_t n_lives;	/* files it keeps track of */
	struct f3_ws *ws;
	_Atomic uint32_t n_acts;	/* activations that live */
	_Atomic uint32_t n_followed;	/* inputs that they follow, and that need not be there yet */
	_Atomic uint32_t n_expected, n_expecting;	/* names, and who waits for them: expect.h */
	struct f3_commitsets *commitsets;
	_Atomic uint32_t n_sets;	/* commit sets there are */
	struct f3_kernel_ops kernel;
	uint64_t mount_id;	/* random; the same for all daemons of one mount */
	bool takes_over;	/* the mount was another daemon's: what was open goes on */
	struct f3_answered *answered;	/* NULL: not loaded */
	_Atomic uint32_t inherit_epoch;	/* counts changes of what directories hand down */
	struct f3_lock names[F3_NAME_LOCKS];	/* by directory inode number */
	/* From the configuration, read on hot paths. What is atomic changes by f3_core_reload. */
	struct f3_core_options {
		_Atomic uint64_t writer_reserve_bytes;
		/* of what only this node changes */
		_Atomic uint64_t entry_ttl_ns, attr_ttl_ns, negative_ttl_ns;
		_Atomic uint64_t cache_bytes;	/* what backing files may occupy; 0: what the disk has */
		_Atomic uint64_t cache_low_bytes;	/* eviction frees so much more; 0: a tenth */
		_Atomic uint64_t space_wait_ns;	/* back-pressure before ENOSPC */
		uint64_t fill_bytes;		/* one transfer of sequential reading */
		_Atomic unsigned fill_parallel;	/* transfers under way per volume */
		unsigned stage_parallel;	/* requests of the journal under way per volume */
		_Atomic uint64_t retry_min_ns;	/* first pause while the store fails */
		/* longest pause; who waits is kept so long in all */
		_Atomic uint64_t retry_max_ns;
	} opt;
	char node_name[256];
	uint8_t node_uuid[16];
	uint8_t node_was[16];		/* before the cache directory was copied */
	int lock_fd;			/* keeps a second daemon off the cache directory */
	uint64_t first_ino;		/* numbers below were given out by earlier runs */
	char cache_dir[4096];
	char memory_dir[4096];
	bool memory_mounted;		/* the tmpfs there is ours */
	_Atomic uint32_t mode_opens[F3_OPEN_MODES];	/* open file descriptions by f3_open_mode */
	_Atomic uint32_t open_files;	/* regular files somebody has open */
	uint32_t fd_files;		/* so many of them may have a descriptor here */
	_Atomic bool stopping;
};

/* Brings everything up from the configuration: cache directory and its lock, node identity,
 * database, volumes, recovery of what the last run left (writers, orphans, journal). */
/* lock_fd: of f3_node_lock, taken over also on failure; -1: it is taken here. Nothing of the last
 * run is gone on with before f3_core_recover. */
int f3_core_start(const struct f3_conf *conf, int lock_fd, struct f3_core **ret_core,
		  struct f3_err *err);
/* Goes on where the last run ended. What the kernel has open is told before it
 * (f3_file_restore). */
int f3_core_recover(struct f3_core *core, struct f3_err *err);
/* The values of core->conf that may change while it runs have (F3_CHANGE_LIVE). One at a time. */
void f3_core_reload(struct f3_core *core);
/* Before the first request; they stay for good. */
void f3_core_set_kernel(struct f3_core *core, const struct f3_kernel_ops *ops);
/* Seals what is open, stops transfers, closes the database cleanly. */
void f3_core_stop(struct f3_core *core);

static inline struct f3_lock *f3_names_lock(struct f3_core *core, uint64_t dir)
{
	return &core->names[(dir ^ (dir >> 10)) & (F3_NAME_LOCKS - 1)];
}

#endif
