/* SPDX-License-Identifier: Apache-2.0 */
/* Several processes and threads at once: one winner, nothing torn, nothing lost. */
#include "config.h"

#include "tests/posix/posix.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PROCS 4

/* Shared between the processes of a case. */
struct board {
	atomic_int wins[512];
	atomic_int errors;
	atomic_int stop;
};

static struct board *board_new(void)
{
	struct board *b =
		mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (b == MAP_FAILED) {
		FAIL("out of memory");
		_exit(1);
	}
	return b;
}

/* Runs work(i) in PROCS processes that start together. */
static void together(void (*work)(struct board *b, int i), struct board *b)
{
	struct pt_gate go;
	pid_t pids[PROCS];

	pt_gate_init(&go);
	for (int i = 0; i < PROCS; i++) {
		pids[i] = pt_fork();
		if (pids[i] == 0) {
			pt_gate_wait(&go);
			work(b, i);
			_exit(0);
		}
	}
	pt_gate_open(&go, PROCS);
	for (int i = 0; i < PROCS; i++)
		EQ(pt_wait(pids[i]), 0);
	pt_gate_done(&go);
	EQ(atomic_load(&b->errors), 0);
}

static void wrong(struct board *b, const char *what)
{
	if (atomic_fetch_add(&b->errors, 1) < 5)
		FAIL("%s: %s", what, strerrorname_np(errno));
}

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

/* One winner each: everybody tries to make the same names. */
enum maker { BY_EXCL, BY_MKDIR, BY_SYMLINK, BY_MKNOD, BY_LINK, BY_NOREPLACE };
static enum maker maker;
#define NAMES 200

static int make(const char *name, int who)
{
	char own[64];

	switch (maker) {
	case BY_EXCL:
		return pt_touch(name, 0644);
	case BY_MKDIR:
		return mkdir(name, 0755);
	case BY_SYMLINK:
		return symlink("target", name);
	case BY_MKNOD:
		return mknod(name, S_IFREG | 0644, 0);
	case BY_LINK:
		snprintf(own, sizeof(own), "source%d", who);
		return link(own, name);
	default:
		snprintf(own, sizeof(own), "own%d-%s", who, name);
		if (pt_touch(own, 0644))
			return -1;
		return renameat2(AT_FDCWD, own, AT_FDCWD, name, RENAME_NOREPLACE);
	}
}

static void make_names(struct board *b, int i)
{
	char name[32];

	for (int k = 0; k < NAMES; k++) {
		snprintf(name, sizeof(name), "n%d", k);
		if (make(name, i) == 0)
			atomic_fetch_add(&b->wins[k], 1);
		else if (errno != EEXIST)
			wrong(b, name);
	}
}

static void one_winner(enum maker how)
{
	struct board *b = board_new();
	char name[32];
	int bad = 0;

	maker = how;
	for (int i = 0; how == BY_LINK && i < PROCS; i++) {
		snprintf(name, sizeof(name), "source%d", i);
		OK(pt_touch(name, 0644));
	}
	together(make_names, b);
	for (int k = 0; k < NAMES; k++)
		bad += atomic_load(&b->wins[k]) != 1;
	EQ(bad, 0);
	for (int k = 0; k < NAMES; k++) {
		snprintf(name, sizeof(name), "n%d", k);
		bad += !pt_exists(name);
	}
	EQ(bad, 0);
}

static void create_exclusive(void)
{
	one_winner(BY_EXCL);
}

static void make_directory(void)
{
	one_winner(BY_MKDIR);
}

static void make_symlink(void)
{
	one_winner(BY_SYMLINK);
}

static void make_node(void)
{
	one_winner(BY_MKNOD);
}

static void make_link(void)
{
	one_winner(BY_LINK);
}

static void rename_noreplace(void)
{
	one_winner(BY_NOREPLACE);
}

/* One winner each: everybody tries to take the same names away. */
static void take_names(struct board *b, int i)
{
	char name[32], mine[64];

	for (int k = 0; k < NAMES; k++) {
		int ret;

		snprintf(name, sizeof(name), "n%d", k);
		snprintf(mine, sizeof(mine), "taken%d-%d", i, k);
		ret = i % 2 ? rename(name, mine) : unlink(name);
		if (ret == 0)
			atomic_fetch_add(&b->wins[k], 1);
		else if (errno != ENOENT)
			wrong(b, name);
	}
}

static void remove_and_rename(void)
{
	struct board *b = board_new();
	char name[32];
	int bad = 0;

	for (int k = 0; k < NAMES; k++) {
		snprintf(name, sizeof(name), "n%d", k);
		if (mknod(name, S_IFREG | 0644, 0))
			bad++;
	}
	EQ(bad, 0);
	together(take_names, b);
	for (int k = 0; k < NAMES; k++) {
		snprintf(name, sizeof(name), "n%d", k);
		bad += atomic_load(&b->wins[k]) != 1 || pt_exists(name);
	}
	EQ(bad, 0);
}

/* A reader of a file that is replaced by rename sees one whole version or another. */
static void replace_or_read(struct board *b, int i)
{
	char buf[4096], name[32];

	for (int k = 0; k < 300; k++) {
		if (i == 0) {
			snprintf(name, sizeof(name), "new%d", k % 3);
			memset(buf, 'a' + k % 26, sizeof(buf));
			if (pt_put(name, buf, sizeof(buf)) || rename(name, "target"))
				wrong(b, "replace");
		} else {
			ssize_t n = pt_get("target", buf, sizeof(buf));

			if (n != sizeof(buf))
				wrong(b, "read");
			else if (memcmp(buf, buf + 1, sizeof(buf) - 1) != 0)
				wrong(b, "torn");
		}
	}
}

static void atomic_replace(void)
{
	struct board *b = board_new();
	char buf[4096];

	memset(buf, 'z', sizeof(buf));
	OK(pt_put("target", buf, sizeof(buf)));
	together(replace_or_read, b);
	EQ(pt_size("target"), 4096);
}

/* Two names that are swapped all the time are both there all the time. */
static void swap_or_look(struct board *b, int i)
{
	for (int k = 0; k < 300; k++) {
		if (i == 0) {
			if (renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE))
				wrong(b, "exchange");
		} else if (!pt_exists(k % 2 ? "a" : "b")) {
			wrong(b, "vanished");
		}
	}
}

static void atomic_exchange_of_names(void)
{
	OK(pt_put("a", "1", 1));
	OK(mkdir("b", 0755));
	together(swap_or_look, board_new());
	EQ(S_ISDIR(pt_lstat("a").st_mode) + S_ISDIR(pt_lstat("b").st_mode), 1);
}

/* Records appended by all arrive whole, each once. */
#define RECORD 64
#define RECORDS 200

static void append_records(struct board *b, int i)
{
	int fd = open("log", O_WRONLY | O_APPEND | O_CLOEXEC);
	char record[RECORD];

	for (int k = 0; k < RECORDS; k++) {
		memset(record, 'A' + i, sizeof(record));
		snprintf(record, sizeof(record), "%d %d", i, k);
		record[RECORD - 1] = '\n';
		if (write(fd, record, sizeof(record)) != sizeof(record))
			wrong(b, "append");
	}
	if (close(fd))
		wrong(b, "close");
}

static void append(void)
{
	static char all[PROCS * RECORDS * RECORD + 1];
	static unsigned char seen[PROCS][RECORDS];
	int bad = 0;

	OK(pt_touch("log", 0644));
	together(append_records, board_new());
	EQ(pt_get("log", all, sizeof(all)), PROCS * RECORDS * RECORD);
	for (char *p = all; p < all + PROCS * RECORDS * RECORD; p += RECORD) {
		char *end;
		long i = strtol(p, &end, 10), k = strtol(end, NULL, 10);

		if (i < 0 || i >= PROCS || k < 0 || k >= RECORDS || p[RECORD - 2] != 'A' + i ||
		    p[RECORD - 1] != '\n' || seen[i][k]++)
			bad++;
	}
	EQ(bad, 0);
}

/* Everybody writes a part of one file; the parts do not disturb each other. */
#define PART 300001

static void write_part(struct board *b, int i)
{
	static char data[PART];
	int fd = open("f", O_WRONLY | O_CLOEXEC);
	unsigned int x = i + 1;

	pt_fill(data, PART, i);
	for (size_t off = 0; off < PART;) {
		size_t n;

		x = x * 1664525 + 1013904223;
		n = 1 + (x >> 8) % 9000;
		if (n > PART - off)
			n = PART - off;
		if (pwrite(fd, data + off, n, (off_t)i * PART + off) != (ssize_t)n)
			wrong(b, "pwrite");
		off += n;
	}
	close(fd);
}

static void parts_of_one_file(void)
{
	static char want[PART], got[PROCS * PART];

	OK(pt_touch("f", 0644));
	together(write_part, board_new());
	EQ(pt_get("f", got, sizeof(got)), PROCS * PART);
	for (int i = 0; i < PROCS; i++) {
		pt_row("part %d", i);
		pt_fill(want, PART, i);
		MEM_EQ(got + (size_t)i * PART, want, PART);
	}
}

/* Names made and removed by many threads in one directory. */
#define THREADS 8

struct storm {
	int id;
	int failures;
};

static void *storm(void *arg)
{
	struct storm *s = arg;
	char name[64], other[64];

	for (int k = 0; k < 150; k++) {
		snprintf(name, sizeof(name), "t%d-%d", s->id, k);
		snprintf(other, sizeof(other), "u%d-%d", s->id, k);
		if (k % 3 == 0)
			s->failures += mkdir(name, 0755) != 0;
		else
			s->failures += pt_put(name, &k, sizeof(k)) != 0;
		s->failures += rename(name, other) != 0;
		s->failures += !pt_exists(other);
		s->failures += pt_exists(name);
		if (k % 5 != 0)
			s->failures += pt_remove(other) != 0;
	}
	return NULL;
}

static void thread_storm(void)
{
	pthread_t threads[THREADS];
	struct storm storms[THREADS];
	int kept = 0;

	for (int i = 0; i < THREADS; i++) {
		storms[i] = (struct storm){ .id = i };
		EQ(pthread_create(&threads[i], NULL, storm, &storms[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		EQ(pthread_join(threads[i], NULL), 0);
		EQ(storms[i].failures, 0);
	}
	for (int i = 0; i < THREADS; i++) {
		for (int k = 0; k < 150; k += 5) {
			char name[64];

			snprintf(name, sizeof(name), "u%d-%d", i, k);
			kept += pt_exists(name);
			pt_remove(name);
		}
	}
	EQ(kept, THREADS * 30);
	EQ(entries("."), 0);
}

/* Creating in a directory that others remove: it is either made or ENOENT. */
static void make_or_remove(struct board *b, int i)
{
	for (int k = 0; k < 300; k++) {
		if (i == 0) {
			if (mkdir("d", 0755) && errno != EEXIST)
				wrong(b, "mkdir");
		} else if (i == 1) {
			if (rmdir("d") && errno != ENOENT && errno != ENOTEMPTY)
				wrong(b, "rmdir");
		} else if (pt_touch("d/f", 0644) == 0) {
			/* Only removed by the one that made it. */
			if (unlink("d/f"))
				wrong(b, "unlink of our own file");
		} else if (errno != ENOENT && errno != EEXIST) {
			wrong(b, "create");
		}
	}
}

static void create_in_vanishing_directory(void)
{
	struct board *b = board_new();

	together(make_or_remove, b);
	if (pt_exists("d")) {
		EQ(entries("d"), 0);
		OK(rmdir("d"));
	}
	EQ(entries("."), 0);
}

/* Directories moved back and forth between two parents, crosswise: no deadlock, no loss. */
static void cross_moves(struct board *b, int i)
{
	char from[64], to[64];

	snprintf(from, sizeof(from), "%s/d%d", i % 2 ? "p" : "q", i);
	snprintf(to, sizeof(to), "%s/d%d", i % 2 ? "q" : "p", i);
	if (mkdir(from, 0755))
		wrong(b, "mkdir");
	for (int k = 0; k < 150; k++)
		if (rename(from, to) || rename(to, from))
			wrong(b, "rename");
}

static void crosswise_renames(void)
{
	OK(mkdir("p", 0755));
	OK(mkdir("q", 0755));
	together(cross_moves, board_new());
	EQ(entries("p"), PROCS / 2);
	EQ(entries("q"), PROCS / 2);
	if (!pt_is_btrfs() && !pt_opt.object) {
		EQ(pt_nlink("p"), 2 + PROCS / 2);
		EQ(pt_nlink("q"), 2 + PROCS / 2);
	}
}

/* Two that try to put each other's directory into their own: never both. */
static void into_each_other(struct board *b, int i)
{
	(void)b;
	for (int k = 0; k < 200; k++) {
		if (i % 2)
			rename("a", "b/a");
		else
			rename("b", "a/b");
		rename("b/a", "a");
		rename("a/b", "b");
	}
}

static void no_loops(void)
{
	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	together(into_each_other, board_new());
	rename("b/a", "a");
	rename("a/b", "b");
	CHECK(pt_exists("a"));
	CHECK(pt_exists("b"));
	EQ(entries("a"), 0);
	EQ(entries("b"), 0);
	EQ(entries("."), 2);
}

/* The kernel counts the links of a FUSE file itself when it unlinks one, and counts one off too many
 * when an answer about the file's attributes overtakes that of the unlink. Until the next stat it
 * then refuses link(2) on a file whose only name it is (SEMANTICS). So ENOENT is believed only
 * when the file has been looked at in between, again and again. */
static int link_f(const char *name)
{
	struct stat st;

	for (int try = 0; try < 20; try++) {
		if (link("f", name) == 0)
			return 0;
		if (errno != ENOENT || stat("f", &st))
			return -1;
	}
	return -1;
}

static void link_and_unlink(struct board *b, int i)
{
	char name[32];

	snprintf(name, sizeof(name), "l%d", i);
	for (int k = 0; k < 150; k++)
		if (link_f(name) || pt_nlink(name) < 2 || unlink(name))
			wrong(b, name);
	if (link_f(name))
		wrong(b, name);
}

static void link_counts(void)
{
	OK(pt_touch("f", 0644));
	together(link_and_unlink, board_new());
	EQ(pt_nlink("f"), 1 + PROCS);
}

/* The same file made, filled, read and removed by all. */
static void same_file_life(struct board *b, int i)
{
	char buf[16];

	for (int k = 0; k < 200; k++) {
		int fd = open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
		ssize_t n;

		if (fd < 0) {
			wrong(b, "open");
			continue;
		}
		if (pwrite(fd, "0123456789", 10, 0) != 10)
			wrong(b, "write");
		n = pread(fd, buf, sizeof(buf), 0);
		if (n != 10 || memcmp(buf, "0123456789", 10) != 0)
			wrong(b, "read");
		if (k % 3 == i % 3 && unlink("f") && errno != ENOENT)
			wrong(b, "unlink");
		if (close(fd))
			wrong(b, "close");
	}
}

static void one_name_many_lives(void)
{
	together(same_file_life, board_new());
	if (unlink("f"))
		EQ(errno, ENOENT);
	EQ(entries("."), 0);
}

static void change_attributes(struct board *b, int i)
{
	struct stat st;

	for (int k = 0; k < 200; k++) {
		if (i == 0 && chmod("f", k % 2 ? 0644 : 0600))
			wrong(b, "chmod");
		if (i == 1 && chown("f", 100 + k % 2, 100 + k % 2))
			wrong(b, "chown");
		if (i == 2 && truncate("f", k % 2 ? 100 : 200))
			wrong(b, "truncate");
		/* Each is old or new; uid and gid are read one after the other. */
		if (lstat("f", &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
		    (st.st_uid != 100 && st.st_uid != 101) ||
		    (st.st_gid != 100 && st.st_gid != 101) ||
		    (st.st_size != 100 && st.st_size != 200) ||
		    ((st.st_mode & 07777) != 0644 && (st.st_mode & 07777) != 0600))
			wrong(b, "torn attributes");
	}
}

static void attributes(void)
{
	OK(pt_put("f", "", 0));
	OK(truncate("f", 100));
	OK(chown("f", 100, 100));
	together(change_attributes, board_new());
}

static const struct pt_case cases[] = {
	{ "create_exclusive", create_exclusive, 0 },
	{ "make_directory", make_directory, 0 },
	{ "make_symlink", make_symlink, 0 },
	{ "make_node", make_node, 0 },
	{ "make_link", make_link, PT_LINKS },
	{ "rename_noreplace", rename_noreplace, 0 },
	{ "remove_and_rename", remove_and_rename, 0 },
	{ "atomic_replace", atomic_replace, 0 },
	{ "atomic_exchange_of_names", atomic_exchange_of_names, PT_LOCAL },
	{ "append", append, 0 },
	{ "parts_of_one_file", parts_of_one_file, 0 },
	{ "thread_storm", thread_storm, 0 },
	{ "create_in_vanishing_directory", create_in_vanishing_directory, 0 },
	{ "crosswise_renames", crosswise_renames, 0 },
	{ "no_loops", no_loops, 0 },
	{ "link_counts", link_counts, PT_LINKS },
	{ "one_name_many_lives", one_name_many_lives, 0 },
	{ "attributes", attributes, 0 },
};

PT_FAMILY(concurrency, cases);
