/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor: the process that keeps the mount when the one that serves it dies.
 *
 * It holds the /dev/fuse descriptor, the keep (fs/fuse/keep.h) and the cache directory's lock, and
 * does nothing else: one thread, no allocation after its start, no descriptor and no path inside
 * the mount. The worker is its child. States:
 *
 *   STARTING   a worker was forked and has not yet said that it serves
 *   SERVING    it has
 *   WAITING    none runs; the next is forked when the pause is over
 *   REFUSING   too long without one: requests get EIO (on-failure = eio), workers are still tried
 *   ENDING     asked to stop, or the mount is gone
 *
 * What it and a worker say to each other is in worker.h. A worker that ends with 0 has unmounted.
 *
 * An upgrade: the new program is executed beside the worker that serves, and says when it is ready to
 * take over; until then nothing has happened, and whatever it lacks only ends the attempt. Then the
 * old worker freezes and ends, and the new one is told to go. Should that one not come to serve, the
 * program of before is started again, as after any death. Which program serves is held as a
 * descriptor, so that files may come and go on the disk. The supervisor itself is not replaced.
 *
 * When the supervisor is killed, the worker goes on, and says so in its log. Under systemd what makes
 * the mount is in its store of descriptors (notify.h), for the next supervisor.
 */
#ifndef F3_DAEMON_SUPERVISOR_H
#define F3_DAEMON_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/err.h"

enum f3_on_failure { F3_ON_FAILURE_EIO, F3_ON_FAILURE_ABORT };

struct f3_worker;

struct f3_supervisor {
	int lock_fd;			/* of the cache directory */
	const char *mountpoint, *run_dir;
	enum f3_on_failure on_failure;
	uint64_t give_up_ns;		/* without a daemon so long: on_failure */
	int ready_fd;			/* of f3_background; -1 */
	bool restart;			/* no: the mount ends with the first worker */
	bool tell_stderr;		/* why it could not start: in the foreground */
	/* The work: in the child. Its return value is the exit code. */
	int (*work)(void *arg, struct f3_worker *worker);
	void *arg;
	/* For another program: its arguments, a place in them for the SPEC of worker.h, and what it must
	 * not change (f3_conf_save_fixed). */
	const char **argv;
	size_t argv_spec;
	const void *fixed;
	size_t fixed_bytes;
	uint64_t upgrade_wait_ns;	/* so long it may take to be ready, or to serve */
};

/* Runs workers until the mount is gone or cannot be kept. The exit code of the program. */
int f3_supervise(const struct f3_supervisor *s);

#endif
