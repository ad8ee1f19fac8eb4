/* SPDX-License-Identifier: Apache-2.0 */
/*
 * door: a socket in the run directory that only some may use.
 *
 * Root and the daemon's own user may always; whom else two options name, by user or by group. Where
 * the file's mode can say that, it does; else everybody may knock, is looked at (SO_PEERCRED) and
 * turned away with a reason.
 *
 * States: opened (bound under another name, so that nobody connects yet), published. The run
 * directory is locked by who opens the first door (control.c), so that what is in the way was left
 * by a dead daemon.
 *
 * One thread uses a door. f3_door_turn_away is for any. Accepting does not block where the listening
 * descriptor was polled; nothing else does.
 */
#ifndef F3_DAEMON_DOOR_H
#define F3_DAEMON_DOOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/base/conf.h"

#define F3_DOOR_IDS_MAX 64u

struct f3_door_spec {
	const char *name;		/* of the file */
	const char *uid_key, *gid_key;	/* options of [f3] */
	const char *what;		/* "control": for messages */
};

struct f3_door {
	const struct f3_door_spec *spec;
	int dir_fd, listen_fd, spare_fd;
	bool published;
	uid_t uids[F3_DOOR_IDS_MAX];
	gid_t gids[F3_DOOR_IDS_MAX];
	size_t n_uids, n_gids;
};

/* For f3_door_close before f3_door_open. */
void f3_door_init(struct f3_door *door);
/* dir: the run directory, which is there. -EEXIST: what has the name is no socket. */
int f3_door_open(struct f3_door *door, const struct f3_door_spec *spec, const struct f3_conf *conf,
		 const char *dir, struct f3_err *err);
/* From now on others can connect. */
int f3_door_publish(struct f3_door *door, int backlog, struct f3_err *err);
/* The socket goes from the directory. May be repeated. */
void f3_door_close(struct f3_door *door);

/* One who may come in: a descriptor, close-on-exec, with `flags` of accept4(2). -EAGAIN: nobody, or
 * turned away. ret_root: root or the daemon's own user. */
int f3_door_accept(struct f3_door *door, int flags, bool *ret_root);
/* One line to somebody who is not served, and its end; nobody is waited for. */
void f3_door_turn_away(int fd, const char *error, const char *message);

#endif
