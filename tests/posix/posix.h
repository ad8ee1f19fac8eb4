/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The POSIX behaviour suite: checks, users, file types and helpers.
 *
 * Every case runs in a process of its own, as root, umask 0, with a fresh
 * empty directory of the file system under test as its working directory;
 * what it leaves behind is removed, its descendants are killed, and a case
 * that neither ends nor answers is killed and counted as failed. Counters
 * live in shared memory, so checks made in children count as well.
 *
 * Nothing here knows F3: what a durability class cannot do is a switch
 * (pt_opt), taken from the class table in SEMANTICS.
 */
#ifndef F3_TESTS_POSIX_POSIX_H
#define F3_TESTS_POSIX_POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PT_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* What a case needs beyond a plain local file system. */
#define PT_LINKS (1u << 0) /* hard links: not with --no-hardlinks or --object */
#define PT_LOCAL (1u << 1) /* a local class: not with --object */

struct pt_case {
	const char *name;
	void (*run)(void);
	unsigned int flags;
};

struct pt_family {
	const char *name;
	const struct pt_case *cases;
	size_t n_cases;
};

#define PT_FAMILY(fam, table)                                                                      \
	const struct pt_family pt_family_##fam = { #fam, table, PT_ARRAY_SIZE(table) }

#define PT_FAMILIES(X)                                                                             \
	X(path_errors)                                                                             \
	X(open_create)                                                                             \
	X(open_flags)                                                                              \
	X(open_modes)                                                                              \
	X(o_tmpfile)                                                                               \
	X(mkdir_rmdir)                                                                             \
	X(mknod_mkfifo)                                                                            \
	X(unlink)                                                                                  \
	X(link)                                                                                    \
	X(symlink_readlink)                                                                        \
	X(rename)                                                                                  \
	X(rename_flags)                                                                            \
	X(rename_sticky)                                                                           \
	X(chmod)                                                                                   \
	X(chown)                                                                                   \
	X(truncate_ftruncate)                                                                      \
	X(utimensat)                                                                               \
	X(xattr)                                                                                   \
	X(acl)                                                                                     \
	X(stat_times)                                                                              \
	X(readdir)                                                                                 \
	X(names)                                                                                   \
	X(rw)                                                                                      \
	X(mmap)                                                                                    \
	X(lseek_hole_data)                                                                         \
	X(fallocate)                                                                               \
	X(copy_file_range)                                                                         \
	X(locks)                                                                                   \
	X(fsync)                                                                                   \
	X(statfs)                                                                                  \
	X(permissions)                                                                             \
	X(suid_exec)                                                                               \
	X(special)                                                                                 \
	X(unlinked)                                                                                \
	X(concurrency)

#define PT_DECLARE(fam) extern const struct pt_family pt_family_##fam;
PT_FAMILIES(PT_DECLARE)
#undef PT_DECLARE

struct pt_options {
	bool verbose;
	bool no_hardlinks;
	bool object;	    /* the durable and writeback classes */
	bool passthrough;   /* writers go from the kernel to a backing file */
	const char *dir;    /* absolute */
	const char *native; /* absolute, or NULL: the backing file system, to compare with */
};
extern struct pt_options pt_opt;

/* Running (posix_suite.c fills in, check.c keeps). */
int pt_counters_init(void);
void pt_counters_get(unsigned long *ret_passed, unsigned long *ret_failed,
		     unsigned long *ret_skipped);
void pt_case_begin(const char *family, const char *name);

/* A label for the checks that follow, until the next one: the row of a table. */
void pt_row(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Checks. Each counts once, prints one line when it fails, and gives back what
 * the expression gave (the comparisons: whether they held).
 */
long pt_ok_at(const char *file, int line, const char *expr, long got);
bool pt_err_at(const char *file, int line, const char *expr, int want, int want2, long got);
bool pt_true_at(const char *file, int line, const char *expr, bool got);
bool pt_eq_at(const char *file, int line, const char *expr, long long got, long long want);
bool pt_mode_at(const char *file, int line, const char *expr, unsigned int got, unsigned int want);
bool pt_str_at(const char *file, int line, const char *expr, const char *got, const char *want);
bool pt_mem_at(const char *file, int line, const char *expr, const void *got, const void *want,
	       size_t len);
bool pt_time_at(const char *file, int line, const char *expr, struct timespec got, int want,
		struct timespec ref);
void pt_skip_at(const char *file, int line, const char *why);
void pt_fail_at(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The call succeeds (gives anything but -1). */
#define OK(call) pt_ok_at(__FILE__, __LINE__, #call, (long)(call))
/* The call gives -1 with this errno, or with one of two. */
#define ERR(err, call) pt_err_at(__FILE__, __LINE__, #call, (err), 0, (long)(call))
#define ERR2(err, err2, call) pt_err_at(__FILE__, __LINE__, #call, (err), (err2), (long)(call))
#define CHECK(cond) pt_true_at(__FILE__, __LINE__, #cond, (cond))
#define EQ(got, want) pt_eq_at(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define MODE_EQ(got, want) pt_mode_at(__FILE__, __LINE__, #got, (got), (want))
#define STR_EQ(got, want) pt_str_at(__FILE__, __LINE__, #got, (got), (want))
#define MEM_EQ(got, want, len) pt_mem_at(__FILE__, __LINE__, #got, (got), (want), (len))
#define TIME_EQ(got, ref) pt_time_at(__FILE__, __LINE__, #got " == " #ref, (got), 0, (ref))
#define TIME_GT(got, ref) pt_time_at(__FILE__, __LINE__, #got " > " #ref, (got), 1, (ref))
#define SKIP(why) pt_skip_at(__FILE__, __LINE__, (why))
#define FAIL(...) pt_fail_at(__FILE__, __LINE__, __VA_ARGS__)

/* Users. AS(user) { ... } runs the block as that user; no return or break out of it. */
struct pt_user {
	const char *name;
	uid_t uid;
	gid_t gid;
	gid_t groups[4];
	size_t n_groups;
};
extern const struct pt_user pt_owner;  /* owns what is under test */
extern const struct pt_user pt_mate;   /* another uid, the owner's gid */
extern const struct pt_user pt_member; /* another uid and gid, the owner's gid a supplementary group */
extern const struct pt_user pt_other;  /* nothing in common */
void pt_enter(const struct pt_user *user);
void pt_leave(void);
#define AS(user) for (int as_ = (pt_enter(user), 1); as_; as_ = (pt_leave(), 0))

/* File types. */
enum pt_type { PT_REG, PT_DIR, PT_FIFO, PT_BLK, PT_CHR, PT_SOCK, PT_LNK, PT_N_TYPES };
const char *pt_type_name(enum pt_type type);
mode_t pt_type_mode(enum pt_type type);
/* False where the class has no such type; counts a skip then. */
bool pt_can_make(enum pt_type type);
void pt_types_probe(void);
int pt_make(enum pt_type type, const char *path, mode_t mode);
int pt_make_owned(enum pt_type type, const char *path, mode_t mode, uid_t uid, gid_t gid);
/* unlink or rmdir, whichever it takes; and a whole tree. */
int pt_remove(const char *path);
int pt_remove_tree(int dirfd, const char *name);
bool pt_has_links(void);

/* Files. */
int pt_touch(const char *path, mode_t mode);
int pt_put(const char *path, const void *data, size_t len);
ssize_t pt_get(const char *path, void *buf, size_t size);
void pt_fill(void *buf, size_t len, unsigned int seed);
bool pt_exists(const char *path);
struct stat pt_lstat(const char *path);
struct stat pt_fstat(int fd);
mode_t pt_perm(const char *path);
off_t pt_size(const char *path);
nlink_t pt_nlink(const char *path);
int pt_read_full(int fd, void *buf, size_t len, off_t off);
int pt_write_full(int fd, const void *buf, size_t len, off_t off);

/* Time: wait until a change made from now on must carry a later stamp. */
void pt_tick(void);
int pt_time_cmp(struct timespec a, struct timespec b);
struct timespec pt_now(void);

/* The kind of file system: true for one mounted through the FUSE protocol, or btrfs. */
bool pt_is_fuse(void);
bool pt_is_btrfs(void);
/*
 * A feature that the file system under test refused. What a kernel file system
 * lacks is a skip. Behind FUSE it is a failure, unless --native lacks it as well:
 * try runs in an empty directory there and gives -1 or not.
 */
void pt_unsupported_at(const char *file, int line, const char *what, int (*try)(void));
#define UNSUPPORTED(what, try) pt_unsupported_at(__FILE__, __LINE__, (what), (try))
/* An integer of /proc/sys/fs, or fallback. */
int pt_sysctl_fs(const char *name, int fallback);

/* Processes. */
pid_t pt_fork(void);
/* Exit status, or 128 + signal. */
int pt_wait(pid_t pid);

/* A byte passed between processes. */
struct pt_gate {
	int fds[2];
};
void pt_gate_init(struct pt_gate *gate);
void pt_gate_done(struct pt_gate *gate);
void pt_gate_open(struct pt_gate *gate, unsigned int n);
void pt_gate_wait(struct pt_gate *gate);

#endif
