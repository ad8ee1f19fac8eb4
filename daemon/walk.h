/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk: everything below a place, for verbs that work on trees.
 *
 * Depth first. Memory is bounded by the depth of the tree, whatever its size: a directory is read
 * some names at a time, from the cookie of the last one on, and nothing is held while the visitor
 * works. So a name that is there throughout is visited exactly once; what is made or removed
 * meanwhile may be or not. Symbolic links are visited, not followed.
 *
 * On the connection's thread. Blocks as the visitor does, and where a directory has to be asked
 * for from the store.
 */
#ifndef F3_DAEMON_WALK_H
#define F3_DAEMON_WALK_H

#include <sys/types.h>

#include "daemon/verb.h"

enum f3_walk_depth {
	F3_WALK_ONE,		/* only what the walk starts at */
	F3_WALK_NAMES,		/* and the names in it, if it is a directory */
	F3_WALK_DEEP,		/* and everything below */
};

enum f3_walk_when {
	F3_WALK_FIRST,		/* a directory before what is in it, anything else */
	F3_WALK_LAST,		/* a directory after that */
};

/* path: from the root of the mount, valid during the call. type: the S_IFMT bits. Returns non-zero
 * to end the walk. */
typedef int f3_walk_fn(void *arg, uint64_t ino, mode_t type, const struct f3_buf *path,
		       enum f3_walk_when when);
/* A directory that cannot be read; the walk goes on. */
typedef int f3_walk_failed_fn(void *arg, const struct f3_buf *path, int error);

/* Visits `ino` and what is below it, as deep as asked for. path: as f3_verb_place gives it, the same
 * afterwards. 0, what a function returned, -ENOMEM, -ENOENT (ino is gone), -EPIPE (nobody waits
 * any more). */
int f3_walk(struct f3_verb *v, uint64_t ino, struct f3_buf *path, enum f3_walk_depth depth,
	    f3_walk_fn *fn, f3_walk_failed_fn *failed, void *arg);

#endif
