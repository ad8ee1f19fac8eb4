/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify: telling whoever started the daemon how it went.
 *
 * In the background the parent waits until the daemon serves, or has failed with a reason, and
 * exits with it. Under systemd (NOTIFY_SOCKET) the same goes there, and descriptors can be left
 * with it.
 */
#ifndef F3_DAEMON_NOTIFY_H
#define F3_DAEMON_NOTIFY_H

/* Goes to the background. In the daemon: 0 and *ret_fd for the functions below. In the parent,
 * once the daemon has said how it went: 1 it serves, -1 it failed (the reason is on stderr). */
int f3_background(int *ret_fd);
/* A daemon in the background keeps the stderr it was started with until it serves, so that early
 * failures are seen. */
void f3_leave_stderr(void);
/* fd may be -1 (foreground). */
void f3_notify_ready(int fd);
void f3_notify_failed(int fd, const char *reason);
void f3_notify_stopping(void);

/* systemd's store of descriptors, which hands them to the program it starts again after this one
 * died (sd_notify(3), FDSTORE). Without systemd nothing happens. */
void f3_notify_store(const char *name, int fd);
void f3_notify_unstore(const char *name);
/* The one of that name that this program was started with, close-on-exec; -1: none. For one thread,
 * at its start; each is given out once. */
int f3_notify_stored(const char *name);

#endif
