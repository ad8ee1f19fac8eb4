/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: the one FUSE mount of a daemon.
 *
 * Negotiates what the kernel offers, mounts, and serves requests with a few threads of its own
 * until it is unmounted or told to stop. What the kernel could not give (passthrough, io_uring
 * transport) is logged once and shown by f3ctl status; the file system works without.
 */
#ifndef F3_FUSE_SESSION_H
#define F3_FUSE_SESSION_H

#include "fs/core/core.h"

struct f3_fuse;
struct f3_keep;
struct f3_notifier;

/* What the process that outlives us lends. */
struct f3_fuse_given {
	int fd;				/* of /dev/fuse */
	struct f3_keep *keep;
	struct f3_notifier *notifier;	/* started */
	bool takes_over;		/* it is mounted, and served until now by somebody else */
};

/* What is there of transport, passthrough and sprints it knows once it serves. */
struct f3_fuse_info {
	const char *transport;		/* "classic", "io_uring" */
	bool passthrough;
	const char *passthrough_reason;	/* why not; NULL */
	unsigned threads;
	unsigned sprinting;		/* of them, beside the program that keeps them busy */
	const char *sprint_reason;	/* why none ever does; NULL */
	uint64_t opens;			/* open file descriptions now */
	uint64_t parked;		/* reads waiting for bytes now */
};

/* Takes over what is open (before f3_core_recover). err names the mountpoint and what to do. */
int f3_fuse_new(struct f3_core *core, const struct f3_fuse_given *given, struct f3_fuse **ret_f,
		struct f3_err *err);
/* Mounts at the configured mountpoint, unless that was done. */
int f3_fuse_mount(struct f3_fuse *f, struct f3_err *err);
/* Serves until unmounted or stopped. `serving` is called once, when the kernel's offer was taken
 * and requests are answered from now on. 0 or -errno. */
int f3_fuse_run(struct f3_fuse *f, void (*serving)(void *arg), void *arg);
/* Makes f3_fuse_run return soon. Any thread. */
void f3_fuse_stop(struct f3_fuse *f);
/* Makes f3_fuse_run return soon and leaves the mount, and the requests that are not answered yet, to
 * another process; this one has to end without f3_fuse_free. */
void f3_fuse_freeze(struct f3_fuse *f);
/* Unmounts (if still mounted) and ends the session. After it served, the core has to be stopped
 * first: its threads answer requests, and know the kernel through us. */
void f3_fuse_free(struct f3_fuse *f);
/* Opens what access-log names; again after a rotation. */
int f3_fuse_open_access_log(struct f3_fuse *f, struct f3_err *err);
/* slow-operation may have changed. */
void f3_fuse_reload(struct f3_fuse *f);
void f3_fuse_info(struct f3_fuse *f, struct f3_fuse_info *ret);

#endif
