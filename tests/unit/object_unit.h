/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object_unit: what the tests of the file:/// store have in common.
 *
 * Most run once per kind of file system: _i is 0 for $TMPDIR (the machine's disk), 1 for tmpfs, 2
 * for ramfs, which has no xattrs. What cannot be had here is skipped with its reason.
 */
#ifndef F3_TESTS_UNIT_OBJECT_UNIT_H
#define F3_TESTS_UNIT_OBJECT_UNIT_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/object/object.h"
#include "tests/unit/unit.h"

#define UNIT_DISK 0
#define UNIT_TMPFS 1
#define UNIT_RAMFS 2
#define UNIT_KINDS 3

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define UNIT_TSAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define UNIT_TSAN 1
#endif
#ifndef UNIT_TSAN
#define UNIT_TSAN 0
#endif

static char unit_dir[256];	/* the store's directory */
static struct f3_object_store *unit_s;
static uint64_t unit_attempt;

/* In a mount namespace of this test's own: gone with its process. 0 or -errno. */
static inline int unit_mount(const char *type, const char *dir, const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(type, dir, type, 0, options) < 0)
		return -errno;
	return 0;
}

/* An empty directory on that kind of file system; false (and why) if there is none. */
static inline bool unit_make_dir(int kind)
{
	const char *base = getenv("TMPDIR");
	int r;

	if (kind == UNIT_TMPFS)
		base = "/dev/shm";
	snprintf(unit_dir, sizeof(unit_dir), "%s/f3-object-XXXXXX", base ? base : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(unit_dir));
	if (kind != UNIT_RAMFS)
		return true;
	r = unit_mount("ramfs", unit_dir, NULL);
	if (r < 0) {
		printf("skipped without xattrs: ramfs cannot be mounted: %s\n", strerror(-r));
		rmdir(unit_dir);
		return false;
	}
	return true;
}

static inline void unit_remove_dir(void)
{
	pid_t pid;

	umount2(unit_dir, MNT_DETACH);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		execlp("rm", "rm", "-rf", unit_dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static inline struct f3_object_store *unit_open_by(int (*open_fn)(const struct f3_object_options *,
								  struct f3_object_store **,
								  struct f3_err *))
{
	struct f3_object_options opt = { .threads = 4 };
	struct f3_object_store *s = NULL;
	struct f3_err err = F3_ERR_INIT;
	char url[300];
	int r;

	snprintf(url, sizeof(url), "file://%s", unit_dir);
	opt.url = url;
	r = open_fn(&opt, &s, &err);
	ck_assert_msg(!r, "open: %s", err.text);
	return s;
}

static inline struct f3_object_store *unit_open_again(void)
{
	return unit_open_by(f3_object_open);
}

/* Without the probe, where stores are opened many times. */
static inline struct f3_object_store *unit_open_fast(void)
{
	return unit_open_by(f3_object_file_open);
}

static inline bool unit_open(int kind)
{
	if (!unit_make_dir(kind))
		return false;
	unit_s = unit_open_again();
	return true;
}

static inline void unit_close(void)
{
	f3_object_close(unit_s);
	unit_s = NULL;
	unit_remove_dir();
}

/* The file of a key. Two results may be used at a time. */
static inline const char *unit_path(const char *key)
{
	static char path[2][2048];
	static int n;

	n = !n;
	snprintf(path[n], sizeof(path[n]), "%s/%s", unit_dir, key);
	return path[n];
}

static inline struct f3_obj_gen unit_gen(void)
{
	struct f3_obj_gen gen = { .generation = 7 };

	gen.id.b[0] = 0xf3;
	gen.attempt = ++unit_attempt;
	return gen;
}

/* From now on these system calls fail in this process, as a container's filter makes them. */
static inline bool unit_deny(const long *calls, size_t n, int error)
{
	struct sock_filter code[64];
	struct sock_fprog prog = { .filter = code };
	unsigned short k = 0;

	code[k++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n; i++) {
		code[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (unsigned)calls[i], 0, 1);
		code[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
							 SECCOMP_RET_ERRNO | (unsigned)error);
	}
	code[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = k;
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* ---- Operations, each waited for ---- */

struct unit_put {
	const char *key, *text;
	enum f3_obj_cond cond;
	const char *etag;
	const struct f3_obj_attr *attr;
};

static inline int unit_put_to(struct f3_object_store *s, struct unit_put a,
			      struct f3_obj_info *ret_info)
{
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_PUT);
	op.key = a.key;
	op.body = a.text;
	op.len = strlen(a.text);
	op.cond = a.cond;
	op.etag = a.etag;
	op.attr = a.attr;
	op.gen = &gen;
	r = f3_object_run(s, &op);
	if (!r) {
		ck_assert(op.info.have_gen && f3_obj_gen_equal(&op.info.gen, &gen));
		ck_assert_uint_eq(op.info.size, op.len);
	}
	if (ret_info) {
		*ret_info = op.info;
		ret_info->attr.xattrs = NULL;
	}
	f3_object_op_done(&op);
	return r;
}

#define unit_put(...) unit_put_to(unit_s, (struct unit_put){ __VA_ARGS__ }, NULL)
#define unit_put_info(info, ...) unit_put_to(unit_s, (struct unit_put){ __VA_ARGS__ }, info)

static inline int unit_get_from(struct f3_object_store *s, const char *key, const char *etag,
				uint64_t off, char *buf, size_t size)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_GET);
	op.key = key;
	op.etag = etag;
	op.off = off;
	op.buf = buf;
	op.len = size - 1;
	r = f3_object_run(s, &op);
	buf[op.moved] = 0;
	f3_object_op_done(&op);
	return r;
}

/* The text of an object, or "-ENOENT" and the like. */
static inline const char *unit_text(const char *key)
{
	static char buf[4096];
	int r = unit_get_from(unit_s, key, NULL, 0, buf, sizeof(buf));

	if (r < 0)
		snprintf(buf, sizeof(buf), "-%s", f3_errno_name(r));
	return buf;
}

static inline int unit_head(const char *key, struct f3_obj_info *ret_info)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_HEAD);
	op.key = key;
	r = f3_object_run(unit_s, &op);
	*ret_info = op.info; /* empty after an error */
	ret_info->attr.xattrs = NULL;
	f3_object_op_done(&op);
	return r;
}

/* DELETE RMDIR, and whatever else needs a key only */
static inline int unit_simple(enum f3_obj_type type, const char *key, enum f3_obj_cond cond,
			      const char *etag)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, type);
	op.key = key;
	op.cond = cond;
	op.etag = etag;
	r = f3_object_run(unit_s, &op);
	f3_object_op_done(&op);
	return r;
}

#define unit_delete(key) unit_simple(F3_OBJ_DELETE, key, F3_OBJ_ANY, NULL)
#define unit_rmdir(key) unit_simple(F3_OBJ_RMDIR, key, F3_OBJ_ANY, NULL)

struct unit_two {
	const char *key, *key2;
	enum f3_obj_cond cond;
	const char *etag, *etag2;
	const struct f3_obj_attr *attr;
};

static inline int unit_two(enum f3_obj_type type, struct unit_two a, struct f3_obj_info *ret_info)
{
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, type);
	op.key = a.key;
	op.key2 = a.key2;
	op.cond = a.cond;
	op.etag = a.etag;
	op.etag2 = a.etag2;
	op.attr = a.attr;
	op.gen = &gen;
	r = f3_object_run(unit_s, &op);
	if (ret_info) {
		*ret_info = op.info;
		ret_info->attr.xattrs = NULL;
	}
	f3_object_op_done(&op);
	return r;
}

#define unit_copy(...) unit_two(F3_OBJ_COPY, (struct unit_two){ __VA_ARGS__ }, NULL)
#define unit_rename(...) unit_two(F3_OBJ_RENAME, (struct unit_two){ __VA_ARGS__ }, NULL)
#define unit_mkdir(...) unit_two(F3_OBJ_MKDIR, (struct unit_two){ __VA_ARGS__ }, NULL)
#define unit_set_attr(...) unit_two(F3_OBJ_SET_ATTR, (struct unit_two){ __VA_ARGS__ }, NULL)

/* Where file times are only as fine as the kernel's tick (before Linux 6.13, and still on some
 * file systems), two changes within one tick look alike: lets the tick of now pass, and every
 * time that was given out before, which is ahead of the clock of files where a tick came late. */
static inline void unit_next_tick(void)
{
	int64_t now = f3_clock_real_ns();

	while (f3_clock_file_ns() <= now)
		sched_yield();
}

/* What somebody else does in the directory. */
static inline void unit_foreign_write(const char *key, const char *text)
{
	int fd = open(unit_path(key), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline const char *unit_foreign_read(const char *key)
{
	static char buf[4096];
	int fd = open(unit_path(key), O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	ck_assert_int_ge(n, 0);
	buf[n] = 0;
	return buf;
}

/* Entries of a directory in the store's directory. */
static inline unsigned unit_count(const char *key)
{
	DIR *dir = opendir(unit_path(key));
	unsigned n = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

#endif
