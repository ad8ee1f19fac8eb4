/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activation: runs of functions as the platform tells of them (begin, end), and which one a process
 * belongs to.
 *
 *   begin -> RUNNING -> end -> ENDED (ok | failed)
 *                    -> deadline passed without end: ENDED, failed
 *
 * A container is known by a control group: the first hierarchy (unified, else pids, memory, ...) in
 * which its process is elsewhere than this daemon. A process is of the container if it is there or
 * below. What /proc says of a thread's control group counts for CGROUP_TTL; thread ids do not come
 * again so soon. With two live activations a container is shared: its processes are of neither, and
 * what they do counts for none.
 *
 * Its record (F3_NOTE_ACTIVATION) is written at begin and at end, so that a daemon's restart loses
 * nothing but counts; ended ones are kept up to activation-keep, the oldest go first. Records are not
 * synced: an activation does not outlive the machine.
 *
 * Threads: any. Locks: one of its own, rank F3_RANK_ACTS, which is taken under names and inode locks; no
 * callback or database is called under it. While no activation lives, a request costs one relaxed load.
 */
#ifndef F3_CORE_ACTIVATION_H
#define F3_CORE_ACTIVATION_H

#include <stdatomic.h>

#include "fs/base/workq.h"
#include "fs/core/inode.h"
#include "fs/core/placement.h"
#include "fs/core/volume.h"

#define F3_ACT_NAME_MAX 255u	/* bytes of ids and names */
#define F3_ACT_LIVE_MAX 16384u	/* activations and containers at a time */
#define F3_ACT_PATTERNS_MAX 256u
#define F3_ACT_HELD_MAX (4u << 20)	/* bytes of what the live ones were begun with */
#define F3_ACT_CLASSES (F3_CLASS_DURABLE + 1)

struct f3_commitset;
struct f3_inode;

enum f3_act_commit { F3_COMMIT_NONE, F3_COMMIT_ASYNC, F3_COMMIT_SYNC };

struct f3_act_input {
	char *path;		/* inside the view */
	bool stream;
	uint32_t wait_ms;	/* an open waits so long for the file to be made; 0: it does not */
};

/* What is said of outputs besides class and stream flag, which are in `outputs`, in the same order. */
struct f3_act_output {
	bool close_seals;	/* not held until `end` */
	char **readers;		/* actions */
	size_t n_readers;
	uint64_t lifetime_s;	/* 0: no end of its own */
};

/* What `begin` says. All strings are heap; f3_act_spec_done. */
struct f3_act_spec {
	char *id, *namespace_, *action, *version, *view, *key;	/* key: idempotency, may be NULL */
	char *volume;		/* where there is no view */
	pid_t container_pid;	/* likewise */
	int64_t deadline_ms;	/* of the real time clock; 0: none */
	enum f3_act_commit commit;
	struct f3_placement outputs;	/* rules: classes may be NONE */
	struct f3_act_output *output;	/* outputs.n_rules of them */
	struct f3_act_input *input;
	size_t n_inputs;
	char *text;		/* the request itself, kept in the record */
	size_t text_len;
};

void f3_act_spec_done(struct f3_act_spec *spec);

/* Sources of bytes read. */
enum f3_act_source { F3_ACT_LOCAL, F3_ACT_OBJECT, F3_ACT_STREAM, F3_ACT_SOURCES };

/* What it did so far; stored as numbers in this order, so new ones go to the end. */
enum f3_act_count {
	F3_ACT_OPS,			/* requests */
	F3_ACT_OPS_FAILED,
	F3_ACT_OP_NS,			/* time in them */
	F3_ACT_WAIT_NS,			/* of it, of those that waited for a store, a disk or a writer */
	F3_ACT_OPENS_PASSTHROUGH,
	F3_ACT_OPENS_DIRECT,		/* passthrough, reads and writes come to the daemon */
	F3_ACT_OPENS_CACHED,
	F3_ACT_NATIVE_BYTES,		/* sizes of files opened for reading natively: how much of them was read is not seen */
	F3_ACT_READ_BYTES,		/* through the daemon: sources x classes */
	F3_ACT_WRITTEN_BYTES = F3_ACT_READ_BYTES + F3_ACT_SOURCES * F3_ACT_CLASSES, /* by class */
	F3_ACT_CREATED = F3_ACT_WRITTEN_BYTES + F3_ACT_CLASSES,
	F3_ACT_REMOVED,
	F3_ACT_STORE_GETS,		/* requests to stores on its behalf */
	F3_ACT_STORE_PUTS,
	F3_ACT_STORE_GET_BYTES,
	F3_ACT_STORE_PUT_BYTES,
	F3_ACT_EDGES,			/* of its lineage, that are kept (lineage.h) */
	F3_ACT_EDGES_DROPPED,
	F3_ACT_COUNTS
};

enum f3_act_state { F3_ACT_RUNNING = 1, F3_ACT_ENDED_OK = 2, F3_ACT_ENDED_FAILED = 3 };

struct f3_activation {
	struct f3_core *core;
	_Atomic uint32_t refs;
	struct f3_act_spec spec;
	struct f3_volume *volume;	/* referenced */
	char *prefix;			/* what it sees as root, in the volume: "" or "/a/b" */
	struct f3_commitset *set;	/* referenced; NULL: none */
	struct f3_act_container *container;
	_Atomic bool expects;		/* its processes wait for inputs: expect.h */
	_Atomic bool shared;		/* another one ran in its container meanwhile */
	_Atomic int state;		/* f3_act_state */
	_Atomic bool begun;		/* begin has come to its end: it may end */
	int64_t begun_ns, ended_ns;	/* real time */
	_Atomic uint64_t counts[F3_ACT_COUNTS];
	struct f3_work late;		/* its record is written once more */
	_Atomic bool late_queued;
	struct f3_lineage *lineage;
	struct f3_ws_run *ws;		/* what it reads (workingset.h); NULL: that is not kept */
	struct f3_activation *next;	/* in its bucket */
};

struct f3_acts;
struct f3_ws_run;

int f3_acts_new(struct f3_core *core, struct f3_acts **ret_a);
/* No end comes of itself any more; before the queues go. */
void f3_acts_stop(struct f3_acts *a);
void f3_acts_free(struct f3_acts *a);

/* ---- Containers ---- */

/* Processes of the container that pid is of, seen through this view of v (prefix as above). Again with
 * the same name: replaces. -ESRCH: there is no such process; -EINVAL: it is in no control group of its
 * own, so that everybody would be taken for it; -ENOSPC: too many. Reads /proc. */
int f3_act_container_add(struct f3_core *core, const char *name, pid_t pid, struct f3_volume *v,
			 const char *prefix);
void f3_act_container_del(struct f3_core *core, const char *name);
/* What a view of that name shows: volume (referenced) and prefix (heap). -ENOENT, -ENOMEM. */
int f3_act_view(struct f3_core *core, const char *name, struct f3_volume **ret_v,
		char **ret_prefix);

/* ---- Life ---- */

/* Takes over *spec on success. replay: it was begun in an earlier run of the daemon. ret_again: the
 * same begin came before, and nothing was done. -EEXIST: another one has this id; -ENOENT: no such
 * view; -ENODEV: no such volume; -EOPNOTSUPP: the volume cannot keep what is asked for; -EBUSY: it would
 * share its container, and one of them has a commit set. Database. */
int f3_act_begin(struct f3_core *core, struct f3_act_spec *spec, bool replay, bool *ret_again,
		 struct f3_err *err);
/* 0; -ENOENT. ret_again: it had ended. Blocks: what is waited for at its end. After another error of its
 * commit set it goes on, and can be ended again. */
int f3_act_end(struct f3_core *core, const char *id, bool ok, bool *ret_again, struct f3_err *err);
/* Of the last run, once: fn with the text of each begin that has no end; it may not begin or end any. */
int f3_act_each_left(struct f3_core *core, int (*fn)(void *arg, const char *text, size_t len),
		     void *arg);
/* One of these cannot go on: it ended, failed. */
int f3_act_lost(struct f3_core *core, const char *id, struct f3_act_spec *spec);

/* Live ones, with a reference. NULL: none. */
struct f3_activation *f3_act_find(struct f3_core *core, const char *id);
void f3_act_ref(struct f3_activation *act);
void f3_act_put(struct f3_activation *act);

/* ---- Whose is it? ---- */

struct f3_activation *f3_act_of_slow(struct f3_core *core, pid_t pid);
static inline bool f3_acts_live(const struct f3_core *core)
{
	return atomic_load_explicit(&core->n_acts, memory_order_relaxed) != 0;
}
/* Of a process or thread; a reference, or NULL. Does not block; may read /proc. */
static inline struct f3_activation *f3_act_of(struct f3_core *core, pid_t pid)
{
	return pid && f3_acts_live(core) ? f3_act_of_slow(core, pid) : NULL;
}
/* A path inside v as the function sees it; NULL: it does not. */
const char *f3_act_path(const struct f3_activation *act, const struct f3_volume *v,
			const char *path);
/* The commit set that a file of this name in dir joins when the caller makes or changes it: it is one of
 * his activation's outputs. A reference; NULL: none. */
struct f3_commitset *f3_act_set_of(struct f3_core *core, const struct f3_caller *who,
				   struct f3_inode *dir, const char *name);
/* The same of a file that is there. */
struct f3_commitset *f3_act_set_of_file(struct f3_core *core, const struct f3_caller *who,
					struct f3_inode *inode);
/* Which of its outputs that is; -1: none. */
int f3_act_output_of(const struct f3_activation *act, const struct f3_volume *v, const char *path);

static inline void f3_act_count(struct f3_activation *act, unsigned what, uint64_t n)
{
	atomic_fetch_add_explicit(&act->counts[what], n, memory_order_relaxed);
}

/* Does one that lives follow what is made under this path? For who has seen n_followed. */
bool f3_act_follows(struct f3_core *core, const struct f3_volume *v, const char *path);
/* Somebody is going to write a file that is there: if it is followed it streams from now on. Likewise. Inode
 * lock not held. -errno of the database. */
int f3_act_rewrites(struct f3_core *core, struct f3_inode *inode);
/* One of its processes has it open for writing: an output that streams is held until the end. */
void f3_act_writes(struct f3_activation *act, struct f3_inode *inode);
/* What the last daemon's activations held, before f3_file_recover. */
int f3_act_hold_again(struct f3_core *core);
/* All that go on have been begun again: what others held is let go of, torn. */
int f3_act_hold_rest(struct f3_core *core);
/* From now on what is fetched and stored of a file is on its account; a reader's is not what somebody else
 * wrote. Inode lock not held. */
void f3_act_opened(struct f3_activation *act, struct f3_inode *inode, bool writer);
/* Closed: unless somebody has it open, or it is still to go up, that is over. Inode lock not held. */
void f3_act_closed(struct f3_inode *inode);
/* So many bytes of it came from its store, in one request; class and source are counted, too. Inode lock
 * held. */
void f3_act_fetched(struct f3_inode *inode, uint64_t bytes);
/* It went there. Inode lock not held. */
void f3_act_stored(struct f3_inode *inode, unsigned requests, uint64_t bytes);

/* ---- For people ---- */

/* One of those that live or are kept: what the record holds. */
struct f3_act_rec {
	enum f3_act_state state;
	bool shared;
	int64_t begun_ns, ended_ns;
	uint64_t counts[F3_ACT_COUNTS];
	const char *text;	/* of the begin; f3_act_rec's until fn returns */
	size_t text_len;
};
/* fn for each, or the one with this id (then -ENOENT if there is none), in order of ids; stops and
 * returns what fn returns if that is not 0. */
int f3_act_each(struct f3_core *core, const char *id,
		int (*fn)(void *arg, const char *id, const struct f3_act_rec *rec), void *arg);

#endif
