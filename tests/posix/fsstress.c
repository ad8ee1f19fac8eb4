/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsstress: a storm of operations by several processes, each with a model of
 * what it did; at the end every tree is compared with its model.
 *
 * With --manifest every operation is written down before it is made and when it
 * was acknowledged, outside of the tree. When the file system goes away under
 * the storm (--may-die), "--verify MANIFEST DIR" tells later what must be there,
 * what may be, and what must not: after a crash of the file system alone all that
 * was acknowledged ("--after crash"), after a loss of power what was synced
 * ("--after power").
 *
 * Exit status: 0 fine, 1 problems, 2 usage, 3 the file system went away (--may-die).
 */
#include "config.h"

#include "tests/posix/stress_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define MAX_LIVE 100
#define GONE 3

struct options {
	uint64_t procs, ops, seconds, seed;
	bool hardlinks, may_die, keep, power;
	const char *manifest;
	const char *verify;
	const char *top;
};

struct storm {
	const struct options *o;
	struct sm_model model;
	uint64_t rng;
	int manifest;
	uint32_t number;
	uint32_t live[MAX_LIVE]; /* inodes with a name */
	uint32_t n_live;
	bool punch;
	int held; /* a descriptor kept open, and its inode */
	uint32_t held_inode;
};

static uint64_t next(struct storm *s)
{
	uint64_t z = (s->rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint32_t below(struct storm *s, uint32_t n)
{
	return (uint32_t)(next(s) >> 16) % n;
}

/* ---- Doing it ------------------------------------------------------------------------------- */

static int open_inode(struct storm *s, uint32_t inode, int flags)
{
	char path[PATH_MAX];
	int ret = sm_path(&s->model, s->o->top, inode, path);

	if (ret)
		return ret;
	ret = open(path, flags | O_CLOEXEC);
	return ret < 0 ? -errno : ret;
}

static int close_as(int fd, int ret)
{
	if (close(fd) && ret == 0)
		ret = -errno;
	return ret;
}

static int write_mapped(int fd, const void *data, off_t off, size_t len)
{
	struct stat st;
	char *p;

	if (fstat(fd, &st) || (st.st_size < off + (off_t)len && ftruncate(fd, off + len)))
		return -errno;
	/* From the start: offsets of blocks are no multiples of a page. */
	p = mmap(NULL, off + len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	memcpy(p + off, data, len);
	munmap(p, off + len);
	return 0;
}

static int write_once(int fd, const void *data, size_t len, off_t off)
{
	ssize_t n = pwrite(fd, data, len, off);

	if (n < 0)
		return -errno;
	if ((size_t)n == len)
		return 0;
	fprintf(stderr, "fsstress: %zd of %zu bytes were written at %lld\n", n, len,
		(long long)off);
	return -EIO;
}

static int do_write(struct storm *s, const struct sm_op *op)
{
	static unsigned char data[SM_BLOCKS * SM_BLOCK];
	uint32_t inode = op->arg[0], first = op->arg[1], count = op->arg[2];
	off_t off = (off_t)first * SM_BLOCK;
	size_t len = (size_t)count * SM_BLOCK;
	bool use_held = s->held >= 0 && s->held_inode == inode;
	int ret = 0;
	int fd = use_held ? s->held : open_inode(s, inode, O_RDWR);

	if (fd < 0)
		return fd;
	for (uint32_t i = 0; i < count; i++)
		sm_fill_block(&s->model, inode, first + i, op->number, data + (size_t)i * SM_BLOCK);
	if (op->arg[3] == 0) {
		ret = write_once(fd, data, len, off);
	} else if (op->arg[3] == 1) {
		for (uint32_t i = 0; i < count && ret == 0; i++)
			ret = write_once(fd, data + (size_t)i * SM_BLOCK, SM_BLOCK,
					 off + (off_t)i * SM_BLOCK);
	} else {
		ret = write_mapped(fd, data, off, len);
	}
	return use_held ? ret : close_as(fd, ret);
}

static int do_names(struct storm *s, const struct sm_op *op, enum sm_type type)
{
	const uint32_t *arg = op->arg;
	char path[PATH_MAX], from[PATH_MAX], target[64];
	const struct sm_model *m = &s->model;
	const char *top = s->o->top;
	int fd;

	if (op->code == SM_RENAME) {
		if (sm_link_path(m, top, arg[1], arg[2], type, from) ||
		    sm_link_path(m, top, arg[3], arg[4], type, path))
			return -ENAMETOOLONG;
		return rename(from, path) ? -errno : 0;
	}
	if (op->code == SM_LINK && sm_path(m, top, arg[0], from))
		return -ENOENT;
	if (sm_link_path(m, top, arg[1], arg[2], type, path))
		return -ENAMETOOLONG;
	switch (op->code) {
	case SM_CREATE:
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, sm_modes[0]);
		return fd < 0 ? -errno : close_as(fd, 0);
	case SM_MKDIR:
		return mkdir(path, 0755) ? -errno : 0;
	case SM_SYMLINK_:
		snprintf(target, sizeof(target), "target-%u-%u", m->proc, arg[0]);
		return symlink(target, path) ? -errno : 0;
	case SM_LINK:
		return link(from, path) ? -errno : 0;
	case SM_UNLINK:
		return unlink(path) ? -errno : 0;
	default:
		return rmdir(path) ? -errno : 0;
	}
}

static int do_sync(struct storm *s, const struct sm_op *op)
{
	int fd, ret;

	if (op->code == SM_SYNCFS) {
		fd = open_inode(s, SM_ROOT, O_RDONLY);
		if (fd < 0)
			return fd;
		ret = syncfs(fd) ? -errno : 0;
	} else {
		fd = open_inode(s, op->arg[0], O_RDONLY);
		if (fd < 0)
			return fd;
		ret = fsync(fd) ? -errno : 0;
	}
	return close_as(fd, ret);
}

static int do_attributes(struct storm *s, const struct sm_op *op)
{
	char path[PATH_MAX];
	char value = '0' + (char)op->arg[1];

	if (sm_path(&s->model, s->o->top, op->arg[0], path))
		return -ENOENT;
	switch (op->code) {
	case SM_TRUNC:
		return truncate(path, (off_t)op->arg[1] * SM_BLOCK) ? -errno : 0;
	case SM_CHMOD:
		return chmod(path, sm_modes[op->arg[1]]) ? -errno : 0;
	default:
		if (op->arg[1] < SM_VALUES)
			return setxattr(path, "user.fsstress", &value, 1, 0) ? -errno : 0;
		return removexattr(path, "user.fsstress") && errno != ENODATA ? -errno : 0;
	}
}

static int execute(struct storm *s, const struct sm_op *op)
{
	int fd, ret;

	errno = 0;
	switch (op->code) {
	case SM_CREATE:
		return do_names(s, op, SM_FILE);
	case SM_MKDIR:
		return do_names(s, op, SM_DIR);
	case SM_SYMLINK_:
		return do_names(s, op, SM_SYMLINK);
	case SM_RENAME:
	case SM_LINK:
	case SM_UNLINK:
	case SM_RMDIR:
		return do_names(s, op, s->model.inodes[op->arg[0]].type);
	case SM_WRITE:
		return do_write(s, op);
	case SM_PUNCH:
		fd = open_inode(s, op->arg[0], O_RDWR);
		if (fd < 0)
			return fd;
		ret = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)op->arg[1] * SM_BLOCK, (off_t)op->arg[2] * SM_BLOCK) ?
			      -errno :
			      0;
		return close_as(fd, ret);
	case SM_FSYNC:
	case SM_SYNCFS:
		return do_sync(s, op);
	default:
		return do_attributes(s, op);
	}
}

/* ---- Choosing it ---------------------------------------------------------------------------- */

static const struct sm_link *some_link(struct storm *s, uint32_t inode)
{
	const struct sm_inode *node = &s->model.inodes[inode];

	return &s->model.links[node->links[below(s, node->n_links)]];
}

/* A live inode of the type, or false. */
static bool some(struct storm *s, enum sm_type type, uint32_t *ret_inode)
{
	uint32_t start;

	if (s->n_live == 0)
		return false;
	start = below(s, s->n_live);
	for (uint32_t i = 0; i < s->n_live; i++) {
		uint32_t inode = s->live[(start + i) % s->n_live];

		if (s->model.inodes[inode].type == type) {
			*ret_inode = inode;
			return true;
		}
	}
	return false;
}

/* Own root, the shared directory, or any directory of ours. */
static uint32_t some_dir(struct storm *s)
{
	uint32_t inode = SM_ROOT;

	switch (below(s, 4)) {
	case 0:
		return SM_ROOT;
	case 1:
		return SM_SHARED;
	default:
		some(s, SM_DIR, &inode);
		return inode;
	}
}

static bool is_below(const struct storm *s, uint32_t dir, uint32_t ancestor)
{
	while (dir > SM_SHARED && dir != ancestor)
		dir = s->model.links[s->model.inodes[dir].links[0]].parent;
	return dir == ancestor;
}

static unsigned int depth(const struct storm *s, uint32_t dir)
{
	unsigned int n = 0;

	for (; dir > SM_SHARED; n++)
		dir = s->model.links[s->model.inodes[dir].links[0]].parent;
	return n;
}

static bool is_empty(const struct storm *s, uint32_t dir)
{
	for (uint32_t i = 0; i < s->n_live; i++) {
		const struct sm_inode *node = &s->model.inodes[s->live[i]];

		for (uint32_t k = 0; k < node->n_links; k++)
			if (s->model.links[node->links[k]].parent == dir)
				return false;
	}
	return true;
}

static bool choose_rename(struct storm *s, struct sm_op *op)
{
	enum sm_type type = below(s, 4) == 0 ? SM_DIR : below(s, 6) == 0 ? SM_SYMLINK : SM_FILE;
	const struct sm_link *from, *over;
	uint32_t inode, victim, to = some_dir(s);

	if (!some(s, type, &inode))
		return false;
	if (type == SM_DIR && (is_below(s, to, inode) || depth(s, to) > 3))
		return false;
	from = some_link(s, inode);
	op->arg[0] = inode;
	op->arg[1] = from->parent;
	op->arg[2] = from->name;
	op->arg[3] = to;
	op->arg[4] = op->number;
	/* Over a file of ours, often: the way all careful programs write. */
	if (type == SM_FILE && below(s, 2) && some(s, SM_FILE, &victim) && victim != inode) {
		over = some_link(s, victim);
		op->arg[3] = over->parent;
		op->arg[4] = over->name;
	}
	return true;
}

static bool choose_write(struct storm *s, struct sm_op *op)
{
	if (!some(s, SM_FILE, &op->arg[0]))
		return false;
	op->arg[1] = below(s, SM_BLOCKS);
	op->arg[2] = 1 + below(s, below(s, 3) ? 4 : SM_BLOCKS);
	if (op->arg[2] > SM_BLOCKS - op->arg[1])
		op->arg[2] = SM_BLOCKS - op->arg[1];
	op->arg[3] = below(s, 3);
	return true;
}

static bool choose(struct storm *s, struct sm_op *op)
{
	static const unsigned char weights[SM_N_CODES] = {
		[SM_CREATE] = 14, [SM_MKDIR] = 5,  [SM_SYMLINK_] = 3, [SM_WRITE] = 24,
		[SM_TRUNC] = 5,   [SM_PUNCH] = 3,  [SM_RENAME] = 14,  [SM_LINK] = 3,
		[SM_UNLINK] = 11, [SM_RMDIR] = 4,  [SM_CHMOD] = 4,    [SM_XATTR] = 4,
		[SM_FSYNC] = 5,   [SM_SYNCFS] = 1,
	};
	uint32_t which = below(s, 100), inode;
	const struct sm_link *l;

	*op = (struct sm_op){ .number = s->number };
	while (op->code < SM_N_CODES - 1 && which >= weights[op->code])
		which -= weights[op->code++];
	switch (op->code) {
	case SM_CREATE:
	case SM_MKDIR:
	case SM_SYMLINK_:
		op->arg[0] = s->model.n_inodes;
		op->arg[1] = some_dir(s);
		op->arg[2] = op->number;
		return s->n_live < MAX_LIVE && (op->code != SM_MKDIR || depth(s, op->arg[1]) < 4);
	case SM_WRITE:
		return choose_write(s, op);
	case SM_TRUNC:
		op->arg[1] = below(s, SM_BLOCKS + 1);
		return some(s, SM_FILE, &op->arg[0]);
	case SM_PUNCH:
		return s->punch && choose_write(s, op);
	case SM_RENAME:
		return choose_rename(s, op);
	case SM_LINK:
		op->arg[1] = some_dir(s);
		op->arg[2] = op->number;
		return s->o->hardlinks && some(s, SM_FILE, &op->arg[0]) &&
		       s->model.inodes[op->arg[0]].n_links < SM_LINKS;
	case SM_UNLINK:
	case SM_RMDIR:
		if (!some(s,
			  op->code == SM_RMDIR ? SM_DIR :
			  below(s, 5)          ? SM_FILE :
						 SM_SYMLINK,
			  &inode))
			return false;
		l = some_link(s, inode);
		op->arg[0] = inode;
		op->arg[1] = l->parent;
		op->arg[2] = l->name;
		return op->code == SM_UNLINK || is_empty(s, inode);
	case SM_CHMOD:
		op->arg[1] = below(s, SM_VALUES);
		return some(s, SM_FILE, &op->arg[0]);
	case SM_XATTR:
		op->arg[1] = below(s, SM_VALUES + 1);
		return some(s, SM_FILE, &op->arg[0]);
	case SM_FSYNC:
		if (below(s, 3) == 0) {
			op->arg[0] = some_dir(s);
			return true;
		}
		return some(s, SM_FILE, &op->arg[0]);
	default:
		return true;
	}
}

/* ---- The storm ------------------------------------------------------------------------------ */

static void say(struct storm *s, const char *what, const struct sm_op *op, int result)
{
	char text[128];

	sm_format(op, text, sizeof(text));
	fprintf(stderr, "fsstress: process %u: operation %s: %s: %s\n", s->model.proc, text, what,
		strerror(-result));
}

static void record(struct storm *s, char what, const char *text)
{
	if (s->manifest >= 0 && dprintf(s->manifest, "%c %s\n", what, text) < 0) {
		perror("fsstress: manifest");
		exit(1);
	}
}

static void update_live(struct storm *s, const struct sm_op *op)
{
	if (op->code <= SM_SYMLINK_)
		s->live[s->n_live++] = op->arg[0];
	if (op->code != SM_UNLINK && op->code != SM_RMDIR && op->code != SM_RENAME)
		return;
	for (uint32_t i = 0; i < s->n_live;) {
		struct sm_inode *node = &s->model.inodes[s->live[i]];

		if (node->n_links > 0) {
			i++;
			continue;
		}
		if (s->held >= 0 && s->held_inode == s->live[i]) {
			close(s->held);
			s->held = -1;
		}
		free(node->blocks);
		node->blocks = NULL;
		s->live[i] = s->live[--s->n_live];
	}
}

/* Reads a file of ours and compares it with the model, byte by byte. */
static int check_file(struct storm *s)
{
	static unsigned char data[SM_BLOCKS * SM_BLOCK + 1];
	struct sm_inode *node;
	uint32_t inode;
	ssize_t n;
	int fd, ret = 0;

	if (!some(s, SM_FILE, &inode))
		return 0;
	node = &s->model.inodes[inode];
	fd = open_inode(s, inode, O_RDONLY);
	if (fd < 0)
		return fd;
	n = pread(fd, data, sizeof(data), 0);
	if (n < 0)
		ret = -errno;
	else if (n != (ssize_t)node->n_blocks * SM_BLOCK)
		ret = -EBADMSG;
	for (uint32_t i = 0; ret == 0 && i < node->n_blocks; i++)
		if (sm_read_block(&s->model, inode, i, data + (size_t)i * SM_BLOCK) !=
		    (node->blocks ? node->blocks[i].cur : 0))
			ret = -EBADMSG;
	return close_as(fd, ret);
}

/* Keeps one file open across whatever happens to its name. */
static void hold(struct storm *s)
{
	if (s->held >= 0) {
		close(s->held);
		s->held = -1;
	} else if (some(s, SM_FILE, &s->held_inode)) {
		s->held = open_inode(s, s->held_inode, O_RDWR);
	}
}

/* What calls answer when nobody serves the mount any more. */
static bool went_away(int result)
{
	return result == -ENOTCONN || result == -ECONNABORTED || result == -EIO ||
	       result == -ESTALE || result == -ETIMEDOUT || result == -ENODEV || result == -EINTR ||
	       result == -EROFS;
}

/* A store to a mapping whose pages nobody serves any more. */
static void on_sigbus(int sig)
{
	(void)sig;
	_exit(GONE);
}

static int step(struct storm *s)
{
	char text[128];
	struct sm_op op;
	int result;

	s->number++;
	while (!choose(s, &op))
		;
	sm_format(&op, text, sizeof(text));
	record(s, 'B', text);
	result = execute(s, &op);
	if (result) {
		if (s->o->may_die && went_away(result))
			return GONE;
		say(s, "failed", &op, result);
		return 1;
	}
	record(s, 'E', text);
	if (!sm_apply(&s->model, &op)) {
		say(s, "not possible in the model", &op, -EINVAL);
		return 1;
	}
	update_live(s, &op);
	if (s->number % 16 == 0)
		hold(s);
	if (s->number % 4)
		return 0;
	result = check_file(s);
	if (result == 0)
		return 0;
	if (s->o->may_die && went_away(result))
		return GONE;
	say(s, "after it, a file does not hold what was written", &op, result);
	return 1;
}

static bool time_is_up(const struct options *o, const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return o->seconds && now.tv_sec - start->tv_sec >= (time_t)o->seconds;
}

static int storm(const struct options *o, uint32_t proc)
{
	struct storm s = { .o = o, .rng = o->seed * 1000003 + proc, .manifest = -1, .held = -1 };
	struct timespec start;
	char path[PATH_MAX];
	int ret = 0, fd;

	clock_gettime(CLOCK_MONOTONIC, &start);
	if (o->may_die)
		signal(SIGBUS, on_sigbus);
	sm_init(&s.model, proc);
	if (sm_path(&s.model, o->top, SM_ROOT, path) || mkdir(path, 0755)) {
		perror(path);
		return 1;
	}
	/* From the manifest on everything counts; what it stands on must be there. */
	if (o->manifest) {
		fd = open(o->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fsync(fd) || close(fd)) {
			perror(o->top);
			return 1;
		}
		snprintf(path, sizeof(path), "%s.%u", o->manifest, proc);
		s.manifest = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
		if (s.manifest < 0) {
			perror(path);
			return 1;
		}
	}
	sm_path(&s.model, o->top, SM_ROOT, path);
	fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	s.punch = fd >= 0 && ftruncate(fd, 4096) == 0 &&
		  fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0;
	if (fd >= 0)
		close(fd);
	while (ret == 0 && s.number < o->ops && !time_is_up(o, &start))
		ret = step(&s);
	if (s.held >= 0)
		close(s.held);
	if (ret == 0) {
		sm_sync_all(&s.model);
		sm_verify(&s.model, o->top);
		printf("fsstress: process %u: %u operations, %lu entries, %lu problems\n", proc,
		       s.number, s.model.entries, s.model.problems);
		ret = s.model.problems ? 1 : 0;
	} else if (ret == GONE) {
		printf("fsstress: process %u: the file system went away in operation %u\n", proc,
		       s.number);
	}
	sm_done(&s.model);
	fflush(NULL);
	return ret;
}

/* ---- Looking again -------------------------------------------------------------------------- */

/* syncfs(2) never reaches a FUSE server. */
static bool syncfs_counts(const struct options *o)
{
	struct statfs st;

	return statfs(o->top, &st) == 0 && st.f_type != FUSE_SUPER_MAGIC;
}

static void settle(const struct options *o, struct sm_model *m, const struct sm_op *op)
{
	if (op->code == SM_SYNCFS && syncfs_counts(o))
		sm_sync_all(m);
	else if (op->code == SM_FSYNC)
		sm_sync_inode(m, op->arg[0]);
}

/*
 * Plays the manifest into the model; what was begun and never acknowledged comes
 * last. A sync that is the very last thing acknowledged does not count: the ways
 * to take the power from a file system (FS_IOC_SHUTDOWN) can let one return that
 * did nothing.
 */
static bool replay(const struct options *o, FILE *f, struct sm_model *m)
{
	struct sm_op op, pending = { 0 }, sync = { .code = SM_N_CODES };
	bool open_op = false;
	char line[256];

	while (fgets(line, sizeof(line), f)) {
		if (strlen(line) < 3 || line[strlen(line) - 1] != '\n' || line[1] != ' ')
			break; /* The last line, cut short: the operation was not begun. */
		if (!sm_parse(line + 2, &op))
			return false;
		if (line[0] == 'B') {
			pending = op;
			open_op = true;
			continue;
		}
		if (!open_op || op.number != pending.number)
			return false;
		open_op = false;
		if (o->power)
			settle(o, m, &sync);
		if (!sm_apply(m, &op))
			return false;
		sync = op;
	}
	if (!o->power)
		sm_sync_all(m);
	return !open_op || sm_apply(m, &pending);
}

static int verify(const struct options *o)
{
	unsigned long problems = 0, entries = 0;
	char path[PATH_MAX];
	uint32_t proc = 0;

	for (;; proc++) {
		struct sm_model m;
		FILE *f;

		snprintf(path, sizeof(path), "%s.%u", o->verify, proc);
		f = fopen(path, "re");
		if (!f)
			break;
		sm_init(&m, proc);
		if (replay(o, f, &m)) {
			sm_verify(&m, o->top);
		} else {
			fprintf(stderr, "fsstress: %s: not a manifest of ours\n", path);
			problems++;
		}
		entries += m.entries;
		problems += m.problems;
		sm_done(&m);
		fclose(f);
	}
	if (proc == 0) {
		fprintf(stderr, "fsstress: no %s.0\n", o->verify);
		return 2;
	}
	printf("fsstress: %u manifests, %lu entries, %lu problems\n", proc, entries, problems);
	return problems ? 1 : 0;
}

static void remove_tree(int at, const char *name)
{
	struct dirent *de;
	DIR *dir;
	int fd;

	if (unlinkat(at, name, 0) == 0 || unlinkat(at, name, AT_REMOVEDIR) == 0)
		return;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return;
	while ((de = readdir(dir)) != NULL)
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			remove_tree(fd, de->d_name);
	closedir(dir);
	unlinkat(at, name, AT_REMOVEDIR);
}

static int run(const struct options *o)
{
	char path[PATH_MAX];
	int worst = 0;

	umask(0);
	/* Of an earlier storm. */
	for (uint64_t i = 0; o->manifest; i++) {
		snprintf(path, sizeof(path), "%s.%" PRIu64, o->manifest, i);
		if (unlink(path))
			break;
	}
	snprintf(path, sizeof(path), "%s/shared", o->top);
	if (mkdir(path, 0755)) {
		perror(path);
		return 1;
	}
	fflush(NULL);
	for (uint32_t i = 0; i < o->procs; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fsstress: fork");
			return 1;
		}
		if (pid == 0)
			_exit(storm(o, i));
	}
	for (uint32_t i = 0; i < o->procs; i++) {
		int status, code;

		if (wait(&status) < 0)
			return 1;
		code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		if (code == 1 || worst == 0)
			worst = code;
	}
	if (!o->keep && !o->manifest && worst == 0) {
		remove_tree(AT_FDCWD, path);
		for (uint32_t i = 0; i < o->procs; i++) {
			snprintf(path, sizeof(path), "%s/p%u", o->top, i);
			remove_tree(AT_FDCWD, path);
		}
	}
	return worst;
}

static void usage(FILE *out)
{
	fputs("usage: fsstress [--procs N] [--ops N] [--seconds N] [--seed N] [--no-hardlinks]\n"
	      "                [--manifest PREFIX] [--may-die] [--keep] DIR\n"
	      "       fsstress --verify PREFIX [--after crash|power] DIR\n"
	      "DIR must be empty. N operations for each process; --seconds ends earlier.\n"
	      "PREFIX.0, PREFIX.1, ... hold what was begun (B) and acknowledged (E).\n",
	      out);
}

static bool parse_number(const char *text, uint64_t high, uint64_t *ret_value)
{
	char *end;

	errno = 0;
	*ret_value = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *ret_value <= high;
}

int main(int argc, char **argv)
{
	enum { PROCS = 256, OPS, SECONDS, SEED, NO_LINKS, MANIFEST, MAY_DIE, KEEP, VERIFY, AFTER };
	static const struct option options[] = {
		{ "procs", required_argument, NULL, PROCS },
		{ "ops", required_argument, NULL, OPS },
		{ "seconds", required_argument, NULL, SECONDS },
		{ "seed", required_argument, NULL, SEED },
		{ "no-hardlinks", no_argument, NULL, NO_LINKS },
		{ "manifest", required_argument, NULL, MANIFEST },
		{ "may-die", no_argument, NULL, MAY_DIE },
		{ "keep", no_argument, NULL, KEEP },
		{ "verify", required_argument, NULL, VERIFY },
		{ "after", required_argument, NULL, AFTER },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .procs = 4, .ops = 5000, .seed = 1, .hardlinks = true };
	bool ok = true;
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case PROCS:
			ok = ok && parse_number(optarg, 256, &o.procs) && o.procs > 0;
			break;
		case OPS:
			ok = ok && parse_number(optarg, 100000000, &o.ops);
			break;
		case SECONDS:
			ok = ok && parse_number(optarg, 86400, &o.seconds);
			break;
		case SEED:
			ok = ok && parse_number(optarg, UINT64_MAX, &o.seed);
			break;
		case NO_LINKS:
			o.hardlinks = false;
			break;
		case MANIFEST:
			o.manifest = optarg;
			break;
		case MAY_DIE:
			o.may_die = true;
			break;
		case KEEP:
			o.keep = true;
			break;
		case VERIFY:
			o.verify = optarg;
			break;
		case AFTER:
			o.power = strcmp(optarg, "power") == 0;
			ok = ok && (o.power || strcmp(optarg, "crash") == 0);
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			ok = false;
		}
	}
	if (!ok || optind != argc - 1) {
		usage(stderr);
		return 2;
	}
	o.top = argv[optind];
	return o.verify ? verify(&o) : run(&o);
}
