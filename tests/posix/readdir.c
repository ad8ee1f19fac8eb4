/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading directories: complete, each name once, positions that hold, also
 * while names come and go.
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

/* How often each of n numbered names ("PREFIX%d") was seen; others counted apart. */
struct census {
	unsigned char *seen;
	int n, dots, strangers;
};

static void census_init(struct census *c, int n)
{
	*c = (struct census){ .seen = calloc(n, 1), .n = n };
	if (!c->seen) {
		FAIL("out of memory");
		_exit(1);
	}
}

static void census_count(struct census *c, const char *name)
{
	char *end;
	long i;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		c->dots++;
		return;
	}
	i = strtol(name + 1, &end, 10);
	if (name[0] == 'n' && *end == '\0' && i >= 0 && i < c->n) {
		if (c->seen[i] < 255)
			c->seen[i]++;
	} else {
		c->strangers++;
	}
}

/* Of the names from..to every step-th was seen exactly once. */
static void census_once(const struct census *c, int from, int to, int step)
{
	int missing = 0, twice = 0;

	for (int i = from; i < to; i += step) {
		missing += c->seen[i] == 0;
		twice += c->seen[i] > 1;
	}
	EQ(missing, 0);
	EQ(twice, 0);
}

static void census_done(struct census *c)
{
	free(c->seen);
}

static void numbered(const char *dir, int i, char name[64])
{
	snprintf(name, 64, "%s/n%d", dir, i);
}

static void make_numbered(const char *dir, int from, int to)
{
	char name[64];

	for (int i = from; i < to; i++) {
		numbered(dir, i, name);
		if (mknod(name, S_IFREG | 0644, 0)) {
			FAIL("mknod %s: %s", name, strerrorname_np(errno));
			_exit(1);
		}
	}
}

static void count_all(const char *path, int n)
{
	struct dirent *de;
	struct census c;
	DIR *dir = opendir(path);

	if (!CHECK(dir != NULL))
		return;
	census_init(&c, n);
	errno = 0;
	while ((de = readdir(dir)) != NULL)
		census_count(&c, de->d_name);
	EQ(errno, 0);
	census_once(&c, 0, n, 1);
	EQ(c.dots, 2);
	EQ(c.strangers, 0);
	census_done(&c);
	OK(closedir(dir));
}

static void entries_and_types(void)
{
	static const unsigned char types[] = { DT_REG, DT_DIR,  DT_FIFO, DT_BLK,
					       DT_CHR, DT_SOCK, DT_LNK };
	bool seen[PT_N_TYPES] = { false }, made[PT_N_TYPES] = { false };
	struct dirent *de;
	DIR *dir;

	OK(mkdir("d", 0755));
	OK(chdir("d"));
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		made[t] = pt_can_make(t);
		if (made[t])
			OK(pt_make(t, pt_type_name(t), 0644));
	}
	dir = opendir(".");
	if (!CHECK(dir != NULL))
		return;
	while ((de = readdir(dir)) != NULL) {
		pt_row("%s", de->d_name);
		if (strcmp(de->d_name, "..") == 0) {
			CHECK(de->d_type == DT_DIR || de->d_type == DT_UNKNOWN);
			EQ(de->d_ino, pt_lstat("..").st_ino);
			continue;
		}
		EQ(de->d_ino, pt_lstat(de->d_name).st_ino);
		for (int t = PT_REG; t < PT_N_TYPES; t++) {
			if (strcmp(de->d_name, pt_type_name(t)) != 0)
				continue;
			CHECK(!seen[t]);
			seen[t] = true;
			CHECK(de->d_type == types[t] || de->d_type == DT_UNKNOWN);
		}
	}
	closedir(dir);
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		pt_row("%s", pt_type_name(t));
		EQ(seen[t], made[t]);
	}
}

static void sizes(void)
{
	static const int steps[] = { 0, 1, 2, 30, 31, 32, 33, 100, 127, 128, 500, 1000, 3000 };
	int have = 0;

	OK(mkdir("d", 0755));
	for (size_t i = 0; i < PT_ARRAY_SIZE(steps); i++) {
		pt_row("n=%d", steps[i]);
		make_numbered("d", have, steps[i]);
		have = steps[i];
		count_all("d", have);
	}
}

static void ten_thousand(void)
{
	char name[64];

	OK(mkdir("d", 0755));
	make_numbered("d", 0, 10000);
	count_all("d", 10000);
	pt_row("again");
	count_all("d", 10000);
	ERR2(ENOTEMPTY, EEXIST, rmdir("d"));
	for (int i = 0; i < 10000; i += 2) {
		numbered("d", i, name);
		if (unlink(name))
			FAIL("unlink %s: %s", name, strerrorname_np(errno));
	}
	pt_row("odd half");
	{
		struct dirent *de;
		struct census c;
		DIR *dir = opendir("d");

		census_init(&c, 10000);
		while ((de = readdir(dir)) != NULL)
			census_count(&c, de->d_name);
		census_once(&c, 1, 10000, 2);
		for (int i = 0; i < 10000; i += 2)
			c.strangers += c.seen[i];
		EQ(c.strangers, 0);
		census_done(&c);
		closedir(dir);
	}
}

static void small_and_large_buffers(void)
{
	static const size_t sizes_bytes[] = { 64, 280, 512, 4096, 65536, 1048576 };
	char *buf = malloc(1048576);

	CHECK(buf != NULL);
	OK(mkdir("d", 0755));
	make_numbered("d", 0, 700);
	for (size_t i = 0; i < PT_ARRAY_SIZE(sizes_bytes); i++) {
		struct census c;
		long n;
		int fd;

		pt_row("buffer=%zu", sizes_bytes[i]);
		fd = OK(open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		census_init(&c, 700);
		while ((n = syscall(SYS_getdents64, fd, buf, sizes_bytes[i])) > 0) {
			for (long off = 0; off < n;) {
				struct dirent64 *de = (struct dirent64 *)(buf + off);

				census_count(&c, de->d_name);
				off += de->d_reclen;
			}
		}
		EQ(n, 0);
		census_once(&c, 0, 700, 1);
		EQ(c.dots, 2);
		census_done(&c);
		OK(close(fd));
	}
	pt_row("too small for one");
	{
		int fd = OK(open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

		ERR(EINVAL, syscall(SYS_getdents64, fd, buf, 8));
		OK(close(fd));
	}
	free(buf);
}

/* seekdir to a position given by telldir reads on as it did the first time. */
static void tell_and_seek(void)
{
	enum { N = 400 };
	static char names[N + 8][256];
	static long pos[N + 8];
	struct dirent *de;
	DIR *dir;
	int n = 0;

	OK(mkdir("d", 0755));
	make_numbered("d", 0, N);
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	for (;;) {
		pos[n] = telldir(dir);
		de = readdir(dir);
		if (!de)
			break;
		snprintf(names[n++], sizeof(names[0]), "%s", de->d_name);
	}
	EQ(n, N + 2);
	for (int i = 0; i < n; i += 1 + i % 7) {
		/* Forwards and backwards in turn. */
		int k = i % 2 ? n - 1 - i : i;

		pt_row("to %d", k);
		seekdir(dir, pos[k]);
		for (int j = k; j < n && j < k + 3; j++) {
			de = readdir(dir);
			if (CHECK(de != NULL))
				STR_EQ(de->d_name, names[j]);
		}
	}
	pt_row("end");
	seekdir(dir, pos[n]);
	CHECK(readdir(dir) == NULL);
	rewinddir(dir);
	de = readdir(dir);
	if (CHECK(de != NULL))
		STR_EQ(de->d_name, names[0]);
	closedir(dir);
}

/* The position outlives the entry it stood before, and every other change. */
static void seek_after_changes(void)
{
	enum { N = 300, AT = 100 };
	static char names[N + 8][256];
	static long pos[N + 8];
	struct dirent *de;
	struct census c;
	char name[300];
	DIR *dir;
	int n = 0;

	OK(mkdir("d", 0755));
	make_numbered("d", 0, N);
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	for (;;) {
		pos[n] = telldir(dir);
		de = readdir(dir);
		if (!de)
			break;
		snprintf(names[n++], sizeof(names[0]), "%s", de->d_name);
	}
	/* Remove around the position: the entry before it, it, the one after. */
	for (int k = AT - 1; k <= AT + 1; k++) {
		snprintf(name, sizeof(name), "d/%s", names[k]);
		if (names[k][0] == 'n')
			OK(unlink(name));
	}
	make_numbered("d", N, 2 * N);
	census_init(&c, 2 * N);
	seekdir(dir, pos[AT]);
	while ((de = readdir(dir)) != NULL)
		census_count(&c, de->d_name);
	for (int k = AT + 2; k < n; k++) {
		int i = names[k][0] == 'n' ? (int)strtol(names[k] + 1, NULL, 10) : -1;

		if (i >= 0 && c.seen[i] != 1)
			FAIL("%s behind the position: seen %d times", names[k], c.seen[i]);
	}
	for (int k = 0; k < AT - 1; k++) {
		int i = names[k][0] == 'n' ? (int)strtol(names[k] + 1, NULL, 10) : -1;

		if (i >= 0 && c.seen[i] != 0)
			FAIL("%s before the position: seen %d times", names[k], c.seen[i]);
	}
	CHECK(true);
	census_done(&c);
	closedir(dir);
}

/*
 * Names made and removed while a reader is under way: those that stay are seen
 * exactly once, the others at most once.
 */
static void changes_while_reading(void)
{
	enum { N = 3000, EXTRA = 2000 };
	struct dirent *de;
	struct census c;
	char name[64];
	DIR *dir;
	int step = 0;

	OK(mkdir("d", 0755));
	make_numbered("d", 0, N);
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	census_init(&c, N + EXTRA);
	while ((de = readdir(dir)) != NULL) {
		census_count(&c, de->d_name);
		/* Every third one goes, in the order of its number; a new one comes. */
		if (step < N / 3) {
			numbered("d", step * 3, name);
			if (unlink(name))
				FAIL("unlink %s: %s", name, strerrorname_np(errno));
		}
		if (step < EXTRA)
			make_numbered("d", N + step, N + step + 1);
		step++;
	}
	closedir(dir);
	census_once(&c, 1, N, 3);
	census_once(&c, 2, N, 3);
	for (int i = 0; i < N + EXTRA; i++)
		if (c.seen[i] > 1)
			FAIL("n%d seen %d times", i, c.seen[i]);
	EQ(c.dots, 2);
	EQ(c.strangers, 0);
	census_done(&c);
}

static void other_process_changes(void)
{
	enum { N = 2000 };
	struct pt_gate stop;
	struct census c;
	char name[64];
	pid_t pid;

	OK(mkdir("d", 0755));
	make_numbered("d", 0, N);
	pt_gate_init(&stop);
	pid = pt_fork();
	if (pid == 0) {
		/* Until told: the pipe is then at its end. */
		close(stop.fds[1]);
		OK(fcntl(stop.fds[0], F_SETFL, O_NONBLOCK));
		for (int i = 0;; i++) {
			char byte;

			if (read(stop.fds[0], &byte, 1) == 0)
				_exit(0);
			snprintf(name, sizeof(name), "d/x%d", i % 50);
			if (i / 50 % 2)
				unlink(name);
			else
				mknod(name, S_IFREG | 0644, 0);
			if (i % 10 == 0) {
				rename("d/y1", "d/y2");
				rename("d/y2", "d/y1");
				mknod("d/y1", S_IFREG | 0644, 0);
			}
		}
	}
	for (int round = 0; round < 10; round++) {
		struct dirent *de;
		DIR *dir = opendir("d");

		pt_row("round=%d", round);
		if (!CHECK(dir != NULL))
			break;
		census_init(&c, N);
		while ((de = readdir(dir)) != NULL)
			census_count(&c, de->d_name);
		census_once(&c, 0, N, 1);
		census_done(&c);
		closedir(dir);
	}
	close(stop.fds[1]);
	EQ(pt_wait(pid), 0);
	close(stop.fds[0]);
}

/* What rm -r does. */
static void unlink_while_reading(void)
{
	struct dirent *de;
	char name[300];
	DIR *dir;
	int n = 0;

	OK(mkdir("d", 0755));
	make_numbered("d", 0, 2500);
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	while ((de = readdir(dir)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "d/%s", de->d_name);
		if (unlink(name))
			FAIL("unlink %s: %s", name, strerrorname_np(errno));
		n++;
	}
	closedir(dir);
	EQ(n, 2500);
	OK(rmdir("d"));
}

static void rename_while_reading(void)
{
	enum { N = 1000 };
	struct dirent *de;
	struct census c;
	char from[64], to[64];
	DIR *dir;
	int step = 0;

	OK(mkdir("d", 0755));
	make_numbered("d", 0, N);
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	census_init(&c, N);
	while ((de = readdir(dir)) != NULL) {
		census_count(&c, de->d_name);
		/* Even ones change their names; the odd ones stand still. */
		if (step < N / 2) {
			numbered("d", step * 2, from);
			snprintf(to, sizeof(to), "d/renamed%d", step);
			if (rename(from, to))
				FAIL("rename %s: %s", from, strerrorname_np(errno));
			step++;
		}
	}
	closedir(dir);
	census_once(&c, 1, N, 2);
	census_done(&c);
}

static void rewind_sees_changes(void)
{
	struct dirent *de;
	struct census c;
	DIR *dir;

	OK(mkdir("d", 0755));
	make_numbered("d", 0, 10);
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	while (readdir(dir))
		;
	make_numbered("d", 10, 20);
	OK(unlink("d/n3"));
	rewinddir(dir);
	census_init(&c, 20);
	while ((de = readdir(dir)) != NULL)
		census_count(&c, de->d_name);
	EQ(c.seen[3], 0);
	c.seen[3] = 1;
	census_once(&c, 0, 20, 1);
	census_done(&c);
	closedir(dir);
	/* A new stream sees them as well, at once, every time. */
	for (int i = 20; i < 60; i++) {
		pt_row("i=%d", i);
		make_numbered("d", i, i + 1);
		dir = opendir("d");
		census_init(&c, 60);
		while ((de = readdir(dir)) != NULL)
			census_count(&c, de->d_name);
		EQ(c.seen[i], 1);
		census_done(&c);
		closedir(dir);
	}
}

static void two_streams(void)
{
	struct census a, b;
	DIR *first, *second;
	struct dirent *de;

	OK(mkdir("d", 0755));
	make_numbered("d", 0, 500);
	first = opendir("d");
	second = opendir("d");
	if (!CHECK(first && second))
		return;
	census_init(&a, 500);
	census_init(&b, 500);
	while ((de = readdir(first)) != NULL) {
		census_count(&a, de->d_name);
		for (int i = 0; i < 2; i++)
			if ((de = readdir(second)) != NULL)
				census_count(&b, de->d_name);
	}
	census_once(&a, 0, 500, 1);
	census_once(&b, 0, 500, 1);
	census_done(&a);
	census_done(&b);
	closedir(first);
	closedir(second);
}

static void long_names(void)
{
	char name[300];
	struct dirent *de;
	int found = 0;
	DIR *dir;

	OK(mkdir("d", 0755));
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "d/%0255d", i);
		if (mknod(name, S_IFREG | 0644, 0)) {
			FAIL("mknod %d: %s", i, strerrorname_np(errno));
			return;
		}
	}
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	while ((de = readdir(dir)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		if (strlen(de->d_name) != 255)
			FAIL("a name of %zu bytes", strlen(de->d_name));
		found++;
	}
	EQ(found, 300);
	closedir(dir);
}

static void permissions(void)
{
	OK(pt_make_owned(PT_DIR, "d", 0700, pt_owner.uid, pt_owner.gid));
	OK(pt_touch("d/f", 0666));
	AS(&pt_other) {
		CHECK(opendir("d") == NULL);
		EQ(errno, EACCES);
	}
	OK(chmod("d", 0704));
	AS(&pt_other) {
		/* Names may be read, what they stand for not. */
		DIR *dir = opendir("d");
		struct dirent *de;
		int n = 0;

		CHECK(dir != NULL);
		while (dir && (de = readdir(dir)) != NULL)
			n++;
		EQ(n, 3);
		ERR(EACCES, access("d/f", F_OK));
		if (dir)
			closedir(dir);
	}
	OK(chmod("d", 0701));
	AS(&pt_other) {
		OK(access("d/f", F_OK));
		CHECK(opendir("d") == NULL);
		EQ(errno, EACCES);
	}
}

static void not_directories(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (t == PT_DIR || t == PT_LNK || !pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		CHECK(opendir("x") == NULL);
		EQ(errno, ENOTDIR);
		OK(unlink("x"));
	}
}

static const struct pt_case cases[] = {
	{ "entries_and_types", entries_and_types, 0 },
	{ "sizes", sizes, 0 },
	{ "ten_thousand", ten_thousand, 0 },
	{ "small_and_large_buffers", small_and_large_buffers, 0 },
	{ "tell_and_seek", tell_and_seek, 0 },
	{ "seek_after_changes", seek_after_changes, 0 },
	{ "changes_while_reading", changes_while_reading, 0 },
	{ "other_process_changes", other_process_changes, 0 },
	{ "unlink_while_reading", unlink_while_reading, 0 },
	{ "rename_while_reading", rename_while_reading, 0 },
	{ "rewind_sees_changes", rewind_sees_changes, 0 },
	{ "two_streams", two_streams, 0 },
	{ "long_names", long_names, 0 },
	{ "permissions", permissions, 0 },
	{ "not_directories", not_directories, 0 },
};

PT_FAMILY(readdir, cases);
