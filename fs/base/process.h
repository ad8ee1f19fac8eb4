/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process: what /proc says of the process that makes a request.
 *
 * Numbers may be those of a thread, as FUSE gives them; 0 or one that is gone has no rights. Costs
 * a few microseconds: asked for only where the request leaves a choice. Thread-safe, does not block
 * on anything but /proc.
 */
#ifndef F3_BASE_PROCESS_H
#define F3_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One of its supplementary groups; the effective one is in the request. */
bool f3_process_in_group(pid_t pid, gid_t gid);
/* A capability (CAP_... of linux/capability.h) is in its effective set, and counts here: its user
 * namespace is the daemon's. */
bool f3_process_can(pid_t pid, int capability);
/* Another of its descriptors is open for writing on the file of this name (its last component; NULL:
 * of any) and inode number. By /proc alone: nothing of the file is touched. False where that cannot be
 * seen, or, with a name, not quickly. */
bool f3_process_holds(pid_t pid, const char *name, uint64_t ino);
/* Is the thread on its way out, closing what is left open? Then *ret_status is its wait status
 * (proc_pid_stat(5): exit_code), 0 where it cannot be seen. */
bool f3_process_ends(pid_t pid, int *ret_status);
/* When it was started, in ticks since the machine was: tells it from another that has got its number
 * since. 0: there is no such process, or it cannot be seen. */
uint64_t f3_process_started(pid_t pid);
/* Killed: what it is answered reaches nobody. */
bool f3_process_dies(pid_t pid);

#endif
