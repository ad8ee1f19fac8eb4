/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: the process that serves the mount, as its supervisor (supervisor.h) sees it.
 *
 * It is forked from the supervisor, or, after an upgrade, another program that the supervisor
 * executes with the option --worker=SPEC. SPEC begins with F3_WORKER_PROTOCOL and the descriptor of
 * the messages, in every version; the rest is numbers of descriptors (f3_worker_spec).
 *
 * Messages, one datagram each, by their first byte. The worker's:
 *
 *   R  ready: everything is looked at that can be while another one serves
 *   S  serving; Su: by io_uring, where the kernel sends nothing again and a death ends the mount
 *   E  it cannot, and why
 *   U  FORMAT PATH: an upgrade to the program at PATH is wanted; FORMAT is the database's
 *   Z  SINCE: frozen since then (monotonic ns); it ends now and leaves the mount to the next
 *   C  the configuration has been read again; with a descriptor of its text
 *
 * The supervisor's: G go, the requests are yours (with what f3_supervised holds); F freeze; N the
 * upgrade is off, and why. Between fork and exec of a program: P with its descriptor.
 *
 * Threads: after f3_worker_listen one of its own reads the messages.
 */
#ifndef F3_DAEMON_WORKER_H
#define F3_DAEMON_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/err.h"

#define F3_WORKER_PROTOCOL 1u
#define F3_WORKER_SPEC_MAX 256u
#define F3_MESSAGE_MAX 4352u	/* a path fits */

struct f3_conf_difference;
struct f3_keep;

/* What the supervisor knows and the worker shows. */
struct f3_supervised {
	_Atomic pid_t supervisor;	/* 0: there is none (any more) */
	unsigned restarts, upgrades;
	int last_status;		/* of wait(2), of the last worker that died; 0: none */
	int64_t last_death_real_ns;
	uint64_t away_ns;		/* nobody served since (monotonic); 0: this is the first */
	uint64_t pause_ns;		/* how long that was, once it is over */
	char upgrade_failed[F3_ERR_TEXT_MAX];	/* why the last upgrade was taken back; "" */
};

struct f3_worker {
	int fuse_fd;
	int lock_fd;			/* of the cache directory */
	int supervisor_fd;		/* messages; -1: no supervisor */
	int conf_fd;			/* text of the configuration (args.h); -1: as it is */
	int fixed_fd;			/* what belongs to the mount (conf.h); another program's only */
	struct f3_keep *keep;
	int keep_fd;			/* the same, before it was adopted */
	bool takes_over;		/* the mount is there already */
	bool candidate;			/* another one serves still */
	unsigned format;		/* the database's, a candidate's */
	struct f3_supervised about;
	/* f3_worker_listen: */
	pthread_t thread;
	bool listening;
	_Atomic bool deaf;		/* by its own choice */
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool asking;			/* lock; for an upgrade */
	char refused[F3_ERR_TEXT_MAX];	/* lock; "" or why not */
	void (*freeze)(void *arg);
	/* Reads the configuration again: fn for each difference, then what can change has. Set by who
	 * runs the worker; one at a time. */
	int (*reload)(void *arg, void (*fn)(void *fn_arg, const struct f3_conf_difference *d),
		      void *fn_arg, struct f3_err *err);
	void *arg;
};

/* One datagram, with a descriptor unless that is -1. 0 or -errno. */
int f3_message_send(int to, const char *text, size_t len, int fd);
/* One datagram, ended with NUL: its length; 0: the other side is gone; -errno. *ret_fd: the
 * descriptor that came with it, close-on-exec, or -1. */
ssize_t f3_message_recv(int from, char *text, size_t size, int flags, int *ret_fd);

/* How a process ended, from wait(2)'s status, in words; "none" for 0. */
void f3_death_text(int status, char *out, size_t size);

/* SPEC of w; the descriptors in it stay open over exec from now on. */
void f3_worker_spec(struct f3_worker *w, char *out, size_t size);
/* In the program that was executed. -EPROTO with a reason: another protocol; the supervisor has
 * been told then. */
int f3_worker_from_spec(const char *spec, struct f3_worker *ret_w, struct f3_err *err);

/* Asks for the requests and waits until they are this process's; conf_fd: what else the supervisor
 * shall keep, or -1. */
void f3_worker_ready(struct f3_worker *w, int conf_fd);
/* uring: requests come by io_uring. */
void f3_worker_serving(struct f3_worker *w, bool uring);
void f3_worker_failed(struct f3_worker *w, const char *reason);

/* From now on w->freeze is called, on a thread of its own, when the supervisor asks for it, and the
 * supervisor's death is noticed. 0 or -errno. */
int f3_worker_listen(struct f3_worker *w);
void f3_worker_deaf(struct f3_worker *w);
void f3_worker_frozen(struct f3_worker *w, uint64_t since_ns);
/* Wants an upgrade and waits: returns only when it is refused, with the reason. */
int f3_worker_upgrade(struct f3_worker *w, const char *path, unsigned format, struct f3_err *err);
void f3_worker_reloaded(struct f3_worker *w, int conf_fd);

#endif
