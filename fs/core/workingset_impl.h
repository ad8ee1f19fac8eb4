/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workingset_impl: what the workingset*.c files share; nobody else includes it.
 *
 * workingset.c: the sets: in the database, and a table of what there is.
 * workingset_run.c: what an activation reads, and how that becomes part of a set.
 * workingset_replay.c: a set's files are looked for, and what is missing is asked for.
 */
#ifndef F3_CORE_WORKINGSET_IMPL_H
#define F3_CORE_WORKINGSET_IMPL_H

#include <pthread.h>

#include "fs/base/lock.h"
#include "fs/base/metric.h"
#include "fs/base/workq.h"
#include "fs/core/extents.h"
#include "fs/core/workingset.h"

#define F3_WS_BUCKETS 1024u
#define F3_WS_KEY_MAX (3 * (F3_ACT_NAME_MAX + 1))
/* What runs may hold in all; one that finds no room writes nothing more down. */
#define F3_WS_HELD_MAX (16u << 20)
#define F3_WS_QUEUED 1024u

/* One that there is. Its key: namespace, action, version, with a NUL between. */
struct f3_ws_entry {
	char *key;
	size_t klen;
	struct f3_ws_info info;	/* its names point into key */
	int64_t written_ns;
	struct f3_ws_entry *next;
};

struct f3_ws {
	struct f3_core *core;
	struct f3_workq *queue;
	_Atomic bool stopping;
	_Atomic uint64_t held_bytes;
	struct f3_lock lock;	/* all below */
	struct f3_ws_entry *entries[F3_WS_BUCKETS];
	uint64_t n;
	bool changing;		/* one set at a time */
	pthread_cond_t changed;
};

enum f3_ws_what {
	F3_WS_RECORDED,		/* ranges */
	F3_WS_REPLAYED,
	F3_WS_BYTES_REPLAYED,
	F3_WS_BYTES_USED,
	F3_WS_BYTES_WASTED,
	F3_WS_COMPLETED,	/* replays */
	F3_WS_DIVERGING,
	F3_WS_ENDED,		/* cut off by their activation's end */
	F3_WS_DROPPED,
	F3_WS_WHATS
};
void f3_ws_count(enum f3_ws_what what, uint64_t n);

/* ---- workingset.c ---- */

bool f3_ws_known(struct f3_ws *ws, const struct f3_ws_name *name);
/* fn changes the set, which is empty if there was none: 1 if it did. Database. */
int f3_ws_change(struct f3_ws *ws, const struct f3_ws_name *name,
		 int (*fn)(void *arg, struct f3_ws_set *set, bool *frozen), void *arg);
/* What it would bring of a file of which nothing is here. */
uint64_t f3_ws_file_bytes(const struct f3_ws_file *file);
void f3_ws_file_done(struct f3_ws_file *file);
/* A path without "..", "." or empty names. */
bool f3_ws_path_ok(const char *path);

/* ---- workingset_replay.c ---- */

/* What became of the set's file with that number. */
enum f3_ws_fate { F3_WS_AHEAD, F3_WS_MISSING, F3_WS_FOUND };

int f3_ws_replay_new(struct f3_ws *ws, const struct f3_ws_name *name, struct f3_volume *v,
		     const char *prefix, char *const *inputs, size_t n_inputs, bool waits,
		     struct f3_ws_replay **ret_rp);
/* -EAGAIN: there is no room; it is over then. */
int f3_ws_replay_start(struct f3_ws_replay *rp);
void f3_ws_replay_ref(struct f3_ws_replay *rp);
/* Counts its end as that, unless it has ended. */
void f3_ws_replay_end(struct f3_ws_replay *rp, enum f3_ws_what why);
bool f3_ws_replay_diverged(struct f3_ws_replay *rp);
/* The set it works on; NULL while it is not read, or there is none. It stays as long as the replay. */
const struct f3_ws_set *f3_ws_replay_set(struct f3_ws_replay *rp);
/* Of the i-th file; ret_ino if it was found. */
enum f3_ws_fate f3_ws_replay_fate(struct f3_ws_replay *rp, size_t i, uint64_t *ret_ino);
/* Which file has that number; -1. */
int f3_ws_replay_find(struct f3_ws_replay *rp, uint64_t ino);
/* Of the i-th file: bytes that were asked for, and how many of those are in [off, off+len). */
uint64_t f3_ws_replay_asked(struct f3_ws_replay *rp, size_t i, uint64_t off, uint64_t len);

/* The path of an input that others can be below: of a pattern, the directories before its first
 * wildcard. -EINVAL: none. */
int f3_ws_input_base(const char *input, char *out, size_t size);

#endif
