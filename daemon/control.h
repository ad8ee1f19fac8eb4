/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the admin's socket, run-dir/control.sock.
 *
 * NDJSON as on the hint socket: one request object a line with `op` (the verb) and its arguments,
 * answers of one line; long work sends lines with "progress" before the last one. Only uids and
 * gids of the configuration (root always) may speak. Lines, connections and queues are bounded;
 * a malformed line is answered and the connection stays.
 */
#ifndef F3_DAEMON_CONTROL_H
#define F3_DAEMON_CONTROL_H

#include "fs/core/core.h"
#include "fs/fuse/session.h"

struct f3_control;

int f3_control_start(struct f3_core *core, struct f3_fuse *fuse, struct f3_control **ret_c,
		     struct f3_err *err);
void f3_control_stop(struct f3_control *c);

#endif
