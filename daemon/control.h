/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the admin's socket, run-dir/control.sock.
 *
 * NDJSON as on the hint socket: one request object a line with `op` (the verb) and its arguments,
 * and maybe `id`, which comes back in every line that belongs to the request. Long work sends
 * lines with "progress", lists send lines with "item"; the last line of a request has "ok", and
 * where that is false "error" (ENOENT) and "message". Unknown keys are ignored, unknown verbs
 * answered EOPNOTSUPP, a line that is no request EBADMSG; the connection stays. Requests of one
 * connection are carried out one after the other.
 *
 * Only uids and gids of the configuration may speak (root and the daemon's own user always).
 * Bounded: F3_CONTROL_LINE_MAX bytes a line, F3_CONTROL_CONNECTIONS connections, each a thread
 * that sleeps in recv(2) while there is nothing to do. A client that goes away ends its work.
 *
 * A lock file beside the socket keeps a second daemon off the run directory; with the lock held,
 * a socket that is there was left by a dead one.
 */
#ifndef F3_DAEMON_CONTROL_H
#define F3_DAEMON_CONTROL_H

#include "daemon/view.h"
#include "daemon/worker.h"
#include "fs/core/core.h"
#include "fs/fuse/session.h"

#define F3_CONTROL_LINE_MAX 65536u	/* without the newline */
#define F3_CONTROL_CONNECTIONS 32u

struct f3_control;

/* Takes the run directory and prepares the socket; nobody can connect yet. */
int f3_control_start(struct f3_core *core, struct f3_fuse *fuse,
		     struct f3_worker *worker, struct f3_control **ret_c, struct f3_err *err);
/* From now on requests are answered. */
int f3_control_serve(struct f3_control *c, struct f3_views *views, struct f3_err *err);
/* Tells work under way to end, waits for it, removes the socket. */
void f3_control_stop(struct f3_control *c);

#endif
