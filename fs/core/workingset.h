/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workingset: what an action reads that is not here, kept, and brought before it is asked for again.
 *
 * While an activation runs, it is written down in memory which files it opens that are not (all) here,
 * and which ranges of them it reads (f3_ws_opened, f3_ws_read). When it ends well that is merged into
 * the set of its namespace, action and version, a note of the database (F3_NOTE_WORKINGSET). The next
 * begin of the three has a replay resolve the set's paths through its own view and ask for what is
 * missing, behind everything that somebody waits for (f3_fill_ahead, fetch.h).
 *
 * A path at or below an input is kept as that input's number and what follows, so that the next run
 * gets the same parts of its own input. A part that ended where the file did is as far from the end
 * in a file of another size. What three runs in a row did not read goes.
 *
 * A replay ends with its activation, or before if that reads other things: after F3_WS_DIVERGED opens
 * and reads of what is neither here nor in the set, once they are more than those of what is in it.
 *
 * Replays run on threads of their own, F3_WS_THREADS files at a time, one after the other of each, and
 * nobody waits for them. What cannot be found or fetched is left out.
 *
 * Threads: any. Locks: two of rank F3_RANK_ACTS, never together: of the table of sets, and of one run.
 * Nothing is written to the database before the end of an activation.
 */
#ifndef F3_CORE_WORKINGSET_H
#define F3_CORE_WORKINGSET_H

#include "fs/core/activation.h"

#define F3_WS_FILES_MAX 1024u	/* of a set */
#define F3_WS_RANGES_MAX 128u	/* of a file */
#define F3_WS_RECORD_MAX (256u << 10)
#define F3_WS_UNUSED_MAX 3u	/* runs */
#define F3_WS_DIVERGED 8u
#define F3_WS_THREADS 8u

struct f3_ws_range {
	uint64_t off, len;
	uint8_t unused;		/* runs in a row that did not read it */
};

struct f3_ws_file {
	int input;		/* its path is, or is below, that input's; -1: it is `path` */
	char *path;		/* as the function sees it; below an input: "/x", or "" */
	uint64_t size;		/* of the file when it was read */
	bool whole;		/* all of it */
	uint8_t unused;
	struct f3_ws_range *range;
	size_t n_ranges;
};

struct f3_ws_set {
	int64_t used_ns;	/* real time of the last merge */
	struct f3_ws_file *file;
	size_t n;
};

void f3_ws_set_done(struct f3_ws_set *set);

/* Of which set; version may be "". */
struct f3_ws_name {
	const char *namespace_, *action, *version;
};

struct f3_ws;
struct f3_ws_run;
struct f3_ws_replay;

int f3_ws_new(struct f3_core *core, struct f3_ws **ret_ws);
/* What the database has. Once, before the first begin. */
int f3_ws_load(struct f3_core *core);
/* No replay goes on; before the store's requests are stopped. */
void f3_ws_stop(struct f3_ws *ws);
void f3_ws_free(struct f3_ws *ws);
void f3_ws_register_metrics(void);

/* ---- Of an activation (activation.c) ---- */

/* Something to write down in; NULL: not for this one. */
struct f3_ws_run *f3_ws_run_new(struct f3_activation *act);
void f3_ws_run_free(struct f3_ws_run *run);
/* It lives: its set, if there is one, is replayed. */
void f3_ws_begin(struct f3_activation *act);
/* Nothing is replayed any more; ok: what it read is kept. Database. */
void f3_ws_end(struct f3_activation *act, bool ok);

/* ---- What it does ---- */

/* A process of it has opened the file. cold: it was not all here, or came just before. No lock. */
void f3_ws_opened(struct f3_activation *act, struct f3_inode *inode, bool cold);
/* And reads of it, by the daemon. No lock. */
void f3_ws_read(struct f3_activation *act, struct f3_inode *inode, uint64_t off, uint64_t len);

/* ---- Without an activation ---- */

/* Replays the set through a view of v (prefix as in activation.h) with these inputs; all are copied.
 * ret_replay NULL: nobody waits for it. -ENOENT: there is no such set; -EAGAIN: too much is being
 * replayed. */
int f3_ws_warm(struct f3_core *core, const struct f3_ws_name *name, struct f3_volume *v,
	       const char *prefix, char *const *inputs, size_t n_inputs,
	       struct f3_ws_replay **ret_replay);
struct f3_ws_progress {
	uint64_t files, total;	/* looked at so far */
	uint64_t bytes;		/* that were missing, and are on their way */
	uint64_t lost;		/* files that were not found, or not to be had */
};
/* Waits for its end, at most until then (monotonic, ns). True: it is over. */
bool f3_ws_wait(struct f3_ws_replay *replay, uint64_t until_ns, struct f3_ws_progress *ret_progress);
void f3_ws_cancel(struct f3_ws_replay *replay);
/* Goes on without whoever let go. */
void f3_ws_replay_put(struct f3_ws_replay *replay);

/* ---- For people ---- */

/* What is known of a set without reading it. */
struct f3_ws_info {
	struct f3_ws_name name;
	int64_t used_ns;
	uint32_t files, ranges;
	uint64_t bytes;		/* that it would bring at most */
	bool frozen;		/* does not change (f3_ws_freeze) */
};
/* In no order; fn may not call anything here. Stops and returns what fn returns if that is not 0. */
int f3_ws_each(struct f3_core *core, int (*fn)(void *arg, const struct f3_ws_info *info), void *arg);
/* -ENOENT. f3_ws_set_done. */
int f3_ws_get(struct f3_core *core, const struct f3_ws_name *name, struct f3_ws_set *ret_set);
/* Whether runs of this version of the action change its set; new: and make one. */
int f3_ws_freeze(struct f3_core *core, const struct f3_ws_name *name, bool freeze);
/* -ENOENT. */
int f3_ws_forget(struct f3_core *core, const struct f3_ws_name *name);

#endif
