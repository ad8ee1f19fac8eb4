/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hint_server: the platform's socket, run-dir/hint.sock: connections, lines, answers.
 *
 * One thread serves all connections with epoll and answers what needs no store itself; what does is a
 * job on core->blocking, of which at most half of the queue's threads are used at a time. Answers come
 * in the order in which they are ready: `id` tells whose they are.
 *
 * Bounded: F3_HINT_CONNECTIONS connections; per connection the lines of one read, the answers that
 * fit a line, and F3_HINT_JOBS_EACH jobs, beyond which nothing more is read from it until answers
 * were read or jobs have ended. All connections together may hold F3_HINT_HELD_MAX bytes of lines
 * begun, answers not read and requests that wait: who would make it more is told and, where its lines
 * cannot be held, disconnected. What is held is in the daemon's budget from the start.
 *
 * Idle it sleeps without a timeout. Nothing of it is on the way of the kernel's requests.
 */
#ifndef F3_DAEMON_HINT_SERVER_H
#define F3_DAEMON_HINT_SERVER_H

#include "daemon/view.h"
#include "fs/core/core.h"

#define F3_HINT_CONNECTIONS 1024u
#define F3_HINT_JOBS_EACH 16u
#define F3_HINT_HELD_MAX (2u << 20)

struct f3_hint_server;

/* Makes the socket, in a run directory that is ours; nobody can connect yet. */
int f3_hint_server_start(struct f3_core *core, struct f3_views *views,
			 struct f3_hint_server **ret_s, struct f3_err *err);
/* From now on hints are answered. */
int f3_hint_server_serve(struct f3_hint_server *s, struct f3_err *err);
/* Waits for what is under way, and cancels what may be. Before the core stops. */
void f3_hint_server_stop(struct f3_hint_server *s);

#endif
