/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view: directories of run-dir/views on which a volume, or a directory in one, is mounted for a
 * container.
 *
 * A view is a bind mount of the kernel's (ro or rw, nosuid, nodev), made by the binder (view_bind.h).
 * Its record is a file in the cache directory, written after the mount and removed before it, so that
 * a mount without a record was promised to nobody: a daemon that finds one takes it away. One that
 * takes over a mount finds the views as they are; one that makes the mount anew binds what is
 * recorded again, unless the machine was started since, when there are no containers left.
 *
 * States of a view: busy (one call works on it, others wait), bound, failed (recorded, and could not be
 * bound again: the reason is kept, the next bind of the same tries once more).
 *
 * A volume is referenced by its views. Locks: the table's, of the rank of transfers, held over no call.
 * f3_view_bind and f3_view_unbind block: for the kernel, the store, each other.
 */
#ifndef F3_DAEMON_VIEW_H
#define F3_DAEMON_VIEW_H

#include <jansson.h>

#include "daemon/view_bind.h"
#include "fs/core/core.h"

#define F3_VIEWS_MAX 1024u
#define F3_VIEWS_HELD_MAX (1u << 20)	/* bytes of the daemon's memory, of all of them */

struct f3_views;

/* What a view shows, and to whom. Strings are on the heap, and NULL only where nothing was parsed. */
struct f3_view_spec {
	char *name;
	char *namespace_;	/* "": an admin's own */
	char *place;		/* from the root of the mount, tidy: "/photos/a/b" */
	char *container;	/* what the platform calls it, or "" */
	pid_t pid;		/* in it; 0: not told */
	bool read_only;
};

void f3_view_spec_done(struct f3_view_spec *spec);
/* From a request, of which nothing is believed: the members of bind in f3-hint-protocol(7). Without
 * `contract` the namespace may be missing. -EINVAL, -ENAMETOOLONG with the reason. */
int f3_view_parse(const json_t *request, bool contract, struct f3_view_spec *ret_spec,
		  struct f3_err *err);
/* A whole request of the platform (contract) or an admin: bind, unbind; with the members of the answer. */
int f3_view_op_bind(struct f3_views *vs, bool contract, const json_t *request, json_t *answer,
		    struct f3_err *err);
int f3_view_op_unbind(struct f3_views *vs, const json_t *request, json_t *answer,
		      struct f3_err *err);
/* The same members. -ENOMEM. */
int f3_view_describe(const struct f3_view_spec *spec, json_t *object);

/* The directory is made and what is recorded is read; nothing is bound yet. Where views cannot be had,
 * that is logged, and each bind is refused with the reason. */
int f3_views_start(struct f3_core *core, struct f3_binder *binder, struct f3_views **ret_vs,
		   struct f3_err *err);
/* The mount is served: what has to be bound again is, in the background. */
int f3_views_serve(struct f3_views *vs, struct f3_err *err);
/* While the mount is still served: no view is mounted any more, and none is bound from now on. The
 * records stay. May be repeated. */
void f3_views_leave(struct f3_views *vs);
/* Leaves, too. Before the core stops; nobody else may use it any more. */
void f3_views_stop(struct f3_views *vs);

/* *ret_new: it was not there. *ret_told: activations in its container can be told from others (activation.h).
 * -ESRCH: there is no process `pid`; -EEXIST: a view of this name shows something else; -EACCES: the volume
 * does not allow this namespace (asked where there is one); -EROFS: rw of a read-only volume; -ENOENT,
 * -ENOTDIR, -ELOOP; -ENOSPC: too many views, or with too long paths; what f3_binder_bind returns. */
int f3_view_bind(struct f3_views *vs, const struct f3_view_spec *spec, bool *ret_new,
		 bool *ret_told, struct f3_err *err);
/* *ret_was: there was one. */
int f3_view_unbind(struct f3_views *vs, const char *name, bool *ret_was, struct f3_err *err);

/* Where they are: "/run/f3/views". */
const char *f3_views_dir(const struct f3_views *vs);
unsigned f3_views_count(struct f3_views *vs);
/* A list of what f3_view_describe says of each, with "state", "reason". NULL: no memory. */
json_t *f3_views_list(struct f3_views *vs);
/* True, and the name of one: the volume has views. */
bool f3_views_of_volume(struct f3_views *vs, const char *volume, char ret_name[F3_NAME_MAX + 1]);

#endif
