/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verb: what the verbs of the control socket are given, and how they answer.
 *
 * A verb is a function that runs on its connection's thread and may block. It reads its arguments
 * from the request, may send items and progress on the way, adds members to the last line and
 * returns 0 or -errno with the reason in `err`. While it works it asks now and then whether anybody
 * still waits for it. Each verbs_<group>.c has a table of its verbs, ended by op == NULL.
 *
 * Verbs act as the daemon itself: who may speak on the socket may do everything.
 */
#ifndef F3_DAEMON_VERB_H
#define F3_DAEMON_VERB_H

#include <jansson.h>

#include "daemon/view.h"
#include "daemon/wire.h"
#include "daemon/worker.h"
#include "fs/core/core.h"
#include "fs/core/inode.h"
#include "fs/fuse/session.h"

struct f3_connection;

struct f3_verb {
	struct f3_core *core;
	struct f3_fuse *fuse;
	uint64_t started_mono_ns;	/* when the daemon began to serve */
	struct f3_worker *worker;
	struct f3_views *views;
	const json_t *request;
	bool root;			/* who asks is, or is the daemon's own user */
	json_t *answer;			/* the last line */
	struct f3_err err;
	struct f3_connection *conn;
	uint64_t progress_mono_ns;	/* when the last progress line was sent */
};

typedef int f3_verb_fn(struct f3_verb *v);

struct f3_verb_entry {
	const char *op;
	f3_verb_fn *fn;
};

extern const struct f3_verb_entry f3_verbs_status[];
extern const struct f3_verb_entry f3_verbs_file[];
extern const struct f3_verb_entry f3_verbs_work[];
extern const struct f3_verb_entry f3_verbs_volume[];
extern const struct f3_verb_entry f3_verbs_view[];
extern const struct f3_verb_entry f3_verbs_check[];
extern const struct f3_verb_entry f3_verbs_act[];
extern const struct f3_verb_entry f3_verbs_lineage[];
extern const struct f3_verb_entry f3_verbs_trace[];
extern const struct f3_verb_entry f3_verbs_change[];
extern const struct f3_verb_entry f3_verbs_fault[];

extern const struct f3_caller f3_verb_caller;

/* ---- control.c ---- */

/* Sends {"id":..., KEY: value} and takes over value (NULL: no memory). 0, or -EPIPE when nobody
 * listens any more: the verb ends. May block while the other side does not read. */
int f3_verb_send(struct f3_verb *v, const char *key, json_t *value);
/* Is it time for another progress line (a few a second)? */
bool f3_verb_progress_due(struct f3_verb *v);
/* The daemon stops, or the client is gone. */
bool f3_verb_stopped(struct f3_verb *v);

/* ---- verb.c: arguments ---- */

bool f3_verb_flag(const struct f3_verb *v, const char *key);
/* The string under key; -EINVAL with the reason if there is none. */
int f3_verb_text(struct f3_verb *v, const char *key, const char **ret_text);
/* The inode that "volume" and "path" lead to, name by name; symbolic links are not followed.
 * path: initialised; gets the path from the root of the mount, tidy. */
int f3_verb_place(struct f3_verb *v, struct f3_buf *path, uint64_t *ret_ino);
/* The same for any caller. asked: the path from the root of the mount. -F3_EWAIT only if `who` may not
 * block; path then, and after an error, ends with the name that it was about. */
int f3_place_find(struct f3_core *core, const struct f3_caller *who, const struct f3_buf *asked,
		  struct f3_buf *path, uint64_t *ret_ino);
/* A path from the root of the mount as f3ctl takes it, "photos:/a/b", fit to be shown. */
void f3_verb_show(const char *path, size_t len, struct f3_buf *out);
/* A time of the real time clock as UTC, to the millisecond; null for 0. */
json_t *f3_verb_when(int64_t ns);
/* Sets the reason: "PLACE: WHY", what errno says where why is NULL. Returns error. */
int f3_verb_error(struct f3_verb *v, int error, const struct f3_buf *path, const char *why);

/* ---- verb.c: what a file looks like to an admin ---- */

struct f3_look {
	struct f3_inode_rec rec;	/* f3_inode_rec_done */
	bool in_memory, here_known;
	enum f3_open_mode mode;
	const char *mode_reason;
	uint32_t opens, writers, native_writers;
	bool mapped, dead;
	uint64_t here_bytes;		/* of its content, in the backing file */
};

/* A copy of everything, without taking it into memory. 0, -ENOENT. */
int f3_look(struct f3_core *core, uint64_t ino, struct f3_look *ret_look);
void f3_look_done(struct f3_look *look);
/* "file", "directory", ... */
const char *f3_look_type(uint32_t mode);
/* Where its bytes are: "here", "part", "store"; "" for what has none. */
const char *f3_look_place(const struct f3_look *look);
/* "yes", "no", "attributes" (bytes are, attributes not yet), "" where it need not be. */
const char *f3_look_in_store(const struct f3_look *look);
/* Class, state, place and so on, as info and ls show them. -ENOMEM. */
int f3_look_json(const struct f3_look *look, json_t *object);

#endif
