/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_unit: what the tests of fs/local share: places with real files, rings of every kind, a way to
 * wait for a callback, and a kernel that denies io_uring.
 *
 * Wrong set-up ends the test there (ck_assert). Not thread-safe except event_*.
 */
#ifndef F3_TESTS_UNIT_LOCAL_UNIT_H
#define F3_TESTS_UNIT_LOCAL_UNIT_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/local/ring.h"
#include "tests/unit/unit.h"

/* ---- Places: [0] where TMPDIR is (a disk, usually), [1] tmpfs -------------------------------- */

#define PLACES 2

static char place_dir[4096];

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void place_remove(void)
{
	if (place_dir[0])
		nftw(place_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	place_dir[0] = '\0';
}

/* A new directory; its path. */
static inline const char *place_make(int place)
{
	const char *top = place ? "/dev/shm" : getenv("TMPDIR");

	place_remove();
	snprintf(place_dir, sizeof(place_dir), "%s/f3-local-XXXXXX", top ? top : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(place_dir));
	return place_dir;
}

/* A path below the last place. Overwritten by the next call. */
static inline const char *place_path(const char *name)
{
	static char path[8192];

	snprintf(path, sizeof(path), "%s/%s", place_dir, name);
	return path;
}

static inline int place_open(const char *name, int flags)
{
	int fd = open(place_path(name), flags | O_CLOEXEC, 0600);

	ck_assert_msg(fd >= 0, "%s: %s", place_path(name), strerror(errno));
	return fd;
}

/* Mounts a tmpfs of so many bytes on a directory `name` of the place, for this process only.
 * False, with the reason said, where that is not allowed. */
static inline bool place_small_fs(const char *name, const char *size)
{
	char options[64];

	ck_assert(!mkdir(place_path(name), 0700));
	snprintf(options, sizeof(options), "size=%s,mode=700", size);
	if (!unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	    !mount("none", place_path(name), "tmpfs", 0, options))
		return true;
	printf("skipped: cannot mount a small tmpfs here: %s\n", strerror(errno));
	return false;
}

/* ---- Rings ------------------------------------------------------------------------------------ */

enum ring_kind { RING_URING, RING_POOL, RING_DENIED_EPERM, RING_DENIED_ENOSYS, RING_KINDS };

/* From here on this process has no io_uring. */
static inline void deny_io_uring(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	ck_assert(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	ck_assert(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static inline bool have_io_uring(void)
{
	/* EFAULT: the kernel looked at the arguments. */
	return syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EFAULT;
}

/* NULL, with the reason said, where that kind cannot be had. */
static inline struct f3_ring *ring_make(enum ring_kind kind, unsigned depth)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_ring *ring = NULL;

	if (kind >= RING_DENIED_EPERM) {
		if (!f3_unit_forks()) {
			printf("skipped: io_uring is denied for good, which takes a process\n");
			return NULL;
		}
		deny_io_uring(kind == RING_DENIED_EPERM ? EPERM : ENOSYS);
	} else if (kind == RING_URING && !have_io_uring()) {
		printf("skipped: this machine has no io_uring\n");
		return NULL;
	}
	ck_assert_msg(!f3_ring_new(depth, kind != RING_POOL, &ring, &err), "%s", err.text);
	ck_assert(f3_ring_is_uring(ring) == (kind == RING_URING));
	return ring;
}

/* ---- Waiting for callbacks ---------------------------------------------------------------------- */

struct event {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	unsigned count;
};

#define EVENT_INIT { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

static inline void event_post(struct event *e)
{
	pthread_mutex_lock(&e->mutex);
	e->count++;
	pthread_cond_broadcast(&e->cond);
	pthread_mutex_unlock(&e->mutex);
}

/* Until it has been posted n times in all. A test that waits in vain is ended by its time limit. */
static inline void event_await(struct event *e, unsigned n)
{
	pthread_mutex_lock(&e->mutex);
	while (e->count < n)
		pthread_cond_wait(&e->cond, &e->mutex);
	pthread_mutex_unlock(&e->mutex);
}

#endif
