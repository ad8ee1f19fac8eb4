/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse: answers every request with EIO, for a mount whose daemon does not come back.
 *
 * A program that waits for an answer to a request somebody has read cannot even be killed, so
 * somebody has to answer. This does with one buffer and no allocation, and keeps no state but what
 * it says in the keep: which descriptions were closed meanwhile, and by whose death.
 *
 * f3_refuse_one: one thread, and it does not block on a non-blocking descriptor.
 */
#ifndef F3_FUSE_REFUSE_H
#define F3_FUSE_REFUSE_H

#include "fs/fuse/keep.h"

/* Has the kernel send again what a dead daemon had read and not answered (FUSE_NOTIFY_RESEND,
 * Linux 6.9). 0 or -errno. */
int f3_fuse_resend(int fd);
/* Answers a request that was read, past libfuse; error is 0 or -errno. 0, also where who asked has
 * gone, or -errno. Any thread. */
int f3_fuse_answer(int fd, uint64_t unique, int error);
/* Wakes who polls the description that the kernel calls kh: he asks again (FUSE_NOTIFY_POLL). 0 or
 * -errno. */
int f3_fuse_wake(int fd, uint64_t kh);
/* Reads one request and answers it. 0, -EAGAIN: none is there; -ENODEV: the mount is gone; -errno. */
int f3_refuse_one(int fd, struct f3_keep *keep);

#endif
