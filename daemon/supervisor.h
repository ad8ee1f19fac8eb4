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
 * A worker's messages, one datagram each, first byte: R ready to take over, S serving (Su: by
 * io_uring, where the kernel sends nothing again and a death ends the mount), E it cannot
 * (with the reason). The supervisor's: G go, the requests are yours. A worker that ends with 0 has
 * unmounted.
 *
 * When the supervisor is killed, the worker goes on, and says so in its log.
 */
#ifndef F3_DAEMON_SUPERVISOR_H
#define F3_DAEMON_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/err.h"

struct f3_keep;

enum f3_on_failure { F3_ON_FAILURE_EIO, F3_ON_FAILURE_ABORT };

/* What the supervisor knows and the worker shows. */
struct f3_supervised {
	_Atomic pid_t supervisor;	/* 0: there is none (any more) */
	unsigned restarts;
	int last_status;		/* of wait(2), of the last worker that died; 0: none */
	int64_t last_death_real_ns;
};

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
};

/* A worker's side. */
struct f3_worker {
	int fuse_fd;
	int lock_fd;			/* of the cache directory */
	int supervisor_fd;		/* messages; -1: no supervisor */
	struct f3_keep *keep;
	bool takes_over;		/* the mount is there already */
	struct f3_supervised about;
};

/* Runs workers until the mount is gone or cannot be kept. The exit code of the program. */
int f3_supervise(const struct f3_supervisor *s);

/* How a process ended, from wait(2)'s status, in words; "none" for 0. */
void f3_death_text(int status, char *out, size_t size);

/* Asks for the requests and waits until they are this process's. */
void f3_worker_ready(struct f3_worker *w);
/* uring: requests come by io_uring. */
void f3_worker_serving(struct f3_worker *w, bool uring);
void f3_worker_failed(struct f3_worker *w, const char *reason);

#endif
