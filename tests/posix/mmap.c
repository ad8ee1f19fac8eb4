/* SPDX-License-Identifier: Apache-2.0 */
/* Memory mappings, and what read(2), truncate(2) and close(2) see of them. */
#include "config.h"

#include "tests/posix/posix.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096

static char *map(int fd, size_t len, int prot, int flags)
{
	char *p = mmap(NULL, len, prot, flags, fd, 0);

	if (!CHECK(p != MAP_FAILED))
		_exit(1);
	return p;
}

static int filled(const char *path, size_t len, unsigned int seed)
{
	char *data = malloc(len);
	int fd;

	pt_fill(data, len, seed);
	OK(pt_put(path, data, len));
	free(data);
	fd = OK(open(path, O_RDWR | O_CLOEXEC));
	return fd;
}

static void shared_read(void)
{
	static char want[3 * PAGE + 100];
	int fd = filled("f", sizeof(want), 1);
	char *p = map(fd, 4 * PAGE, PROT_READ, MAP_SHARED);

	pt_fill(want, sizeof(want), 1);
	MEM_EQ(p, want, sizeof(want));
	/* Behind the end, in the last page, there are zeros. */
	for (size_t i = sizeof(want); i < 4 * PAGE; i++) {
		if (p[i]) {
			FAIL("byte %zu behind the end is %02x", i, (unsigned char)p[i]);
			break;
		}
	}
	OK(munmap(p, 4 * PAGE));
	OK(close(fd));
}

/* Stores are seen by read, writes by loads, both at once. */
static void shared_coherent(void)
{
	char buf[8];
	int fd = filled("f", 8 * PAGE, 2);
	int other = OK(open("f", O_RDWR | O_CLOEXEC));
	char *p = map(fd, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *q = map(other, 8 * PAGE, PROT_READ, MAP_SHARED);

	for (int i = 0; i < 8; i++) {
		size_t off = (size_t)i * PAGE + 17 * i;

		pt_row("i=%d", i);
		memcpy(p + off, "stored", 6);
		EQ(pread(fd, buf, 6, off), 6);
		MEM_EQ(buf, "stored", 6);
		EQ(pread(other, buf, 6, off), 6);
		MEM_EQ(buf, "stored", 6);
		MEM_EQ(q + off, "stored", 6);
		EQ(pwrite(other, "writ", 4, off), 4);
		MEM_EQ(p + off, "writed", 6);
		MEM_EQ(q + off, "writed", 6);
	}
	OK(munmap(p, 8 * PAGE));
	OK(munmap(q, 8 * PAGE));
	OK(close(fd));
	OK(close(other));
}

static void private(void)
{
	char buf[8];
	int fd = filled("f", 2 * PAGE, 3);
	char *p = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char was[8];

	memcpy(was, p, 8);
	memcpy(p, "private!", 8);
	EQ(pread(fd, buf, 8, 0), 8);
	MEM_EQ(buf, was, 8);
	OK(msync(p, 2 * PAGE, MS_SYNC));
	EQ(pread(fd, buf, 8, 0), 8);
	MEM_EQ(buf, was, 8);
	/* Its own page stays its own when the file changes. */
	EQ(pwrite(fd, "file", 4, 0), 4);
	MEM_EQ(p, "private!", 8);
	OK(munmap(p, 2 * PAGE));
	OK(close(fd));
	EQ(pt_get("f", buf, 8), 8);
	MEM_EQ(buf, "file", 4);
	/* It takes no write permission. */
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	p = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	p[0] = 'X';
	OK(munmap(p, PAGE));
	OK(close(fd));
	EQ(pt_get("f", buf, 1), 1);
	EQ(buf[0], 'f');
}

/* The mapping outlives its descriptor; what it stores is in the file. */
static void store_after_close(void)
{
	char buf[8];

	for (int i = 0; i < 20; i++) {
		int fd = filled("f", 4 * PAGE, i);
		char *p = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

		pt_row("i=%d", i);
		OK(close(fd));
		memcpy(p + PAGE, "after", 5);
		fd = OK(open("f", O_RDONLY | O_CLOEXEC));
		EQ(pread(fd, buf, 5, PAGE), 5);
		MEM_EQ(buf, "after", 5);
		memcpy(p + 2 * PAGE, "again", 5);
		EQ(pread(fd, buf, 5, 2 * PAGE), 5);
		MEM_EQ(buf, "again", 5);
		OK(close(fd));
		memcpy(p + 3 * PAGE, "last!", 5);
		OK(munmap(p, 4 * PAGE));
		fd = OK(open("f", O_RDWR | O_CLOEXEC));
		EQ(pread(fd, buf, 5, 3 * PAGE), 5);
		MEM_EQ(buf, "last!", 5);
		OK(close(fd));
		EQ(pt_size("f"), 4 * PAGE);
	}
}

/* The same with every change that may come in between. */
static void store_after_close_and(void)
{
	static const char *const changes[] = {
		"rename", "chmod", "utimens", "open write", "open trunc and refill",
		"stat",   "fsync", "xattr"
	};
	const struct timespec ts[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
	char buf[8];

	for (size_t i = 0; i < PT_ARRAY_SIZE(changes); i++) {
		const char *path = "f";
		int fd = filled("f", 4 * PAGE, i);
		char *p = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

		pt_row("%s", changes[i]);
		OK(close(fd));
		switch (i) {
		case 0:
			OK(rename("f", "g"));
			path = "g";
			break;
		case 1:
			OK(chmod("f", 0600));
			break;
		case 2:
			OK(utimensat(AT_FDCWD, "f", ts, 0));
			break;
		case 3:
			fd = OK(open("f", O_WRONLY | O_CLOEXEC));
			EQ(pwrite(fd, "x", 1, 0), 1);
			OK(close(fd));
			break;
		case 4:
			fd = OK(open("f", O_WRONLY | O_TRUNC | O_CLOEXEC));
			OK(ftruncate(fd, 4 * PAGE));
			OK(close(fd));
			break;
		case 5:
			EQ(pt_size("f"), 4 * PAGE);
			break;
		case 6:
			fd = OK(open("f", O_RDONLY | O_CLOEXEC));
			OK(fsync(fd));
			OK(close(fd));
			break;
		default:
			OK(chown("f", 1, 1));
			break;
		}
		memcpy(p + 2 * PAGE, "after", 5);
		fd = OK(open(path, O_RDWR | O_CLOEXEC));
		EQ(pread(fd, buf, 5, 2 * PAGE), 5);
		MEM_EQ(buf, "after", 5);
		EQ(pwrite(fd, "hello", 5, PAGE), 5);
		MEM_EQ(p + PAGE, "hello", 5);
		OK(close(fd));
		OK(munmap(p, 4 * PAGE));
		OK(unlink(path));
	}
}

static void sync_flags(void)
{
	char buf[4];
	int fd = filled("f", 4 * PAGE, 4);
	char *p = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	memcpy(p, "sync", 4);
	OK(msync(p, PAGE, MS_SYNC));
	memcpy(p + PAGE, "asyn", 4);
	OK(msync(p, 4 * PAGE, MS_ASYNC));
	OK(msync(p, 4 * PAGE, MS_SYNC | MS_INVALIDATE));
	EQ(pread(fd, buf, 4, PAGE), 4);
	MEM_EQ(buf, "asyn", 4);
	ERR(EINVAL, msync(p + 1, PAGE, MS_SYNC));
	ERR(EINVAL, msync(p, PAGE, MS_SYNC | MS_ASYNC));
	OK(munmap(p, 4 * PAGE));
	ERR(ENOMEM, msync(p, PAGE, MS_SYNC));
	OK(close(fd));
}

static sigjmp_buf jump;

static void on_sigbus(int sig)
{
	siglongjmp(jump, sig);
}

/* Whether touching the byte gives SIGBUS. */
static bool faults(volatile char *p)
{
	if (sigsetjmp(jump, 1))
		return true;
	(void)*p;
	return false;
}

static void past_the_end(void)
{
	int fd = filled("f", 4 * PAGE, 5);
	char *p = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	signal(SIGBUS, on_sigbus);
	CHECK(!faults(p + 3 * PAGE));
	OK(ftruncate(fd, PAGE + 10));
	CHECK(!faults(p));
	CHECK(!faults(p + PAGE + 9));
	CHECK(!faults(p + 2 * PAGE - 1));
	CHECK(faults(p + 2 * PAGE));
	CHECK(faults(p + 3 * PAGE));
	EQ(p[PAGE + 10], 0);
	OK(ftruncate(fd, 4 * PAGE));
	CHECK(!faults(p + 3 * PAGE));
	EQ(p[2 * PAGE], 0);
	EQ(p[PAGE + 10], 0);
	/* By another descriptor, after ours is closed. */
	OK(close(fd));
	OK(truncate("f", 0));
	CHECK(faults(p));
	OK(truncate("f", 2 * PAGE));
	CHECK(!faults(p));
	CHECK(faults(p + 2 * PAGE));
	EQ(p[0], 0);
	p[0] = 'x';
	OK(munmap(p, 4 * PAGE));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	p = map(fd, 4 * PAGE, PROT_READ, MAP_SHARED);
	EQ(p[0], 'x');
	CHECK(faults(p + 2 * PAGE));
	OK(munmap(p, 4 * PAGE));
	OK(close(fd));
}

static void grows_with_the_file(void)
{
	char buf[4];
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	char *p = map(fd, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	for (int i = 0; i < 16; i++) {
		pt_row("i=%d", i);
		OK(ftruncate(fd, (off_t)(i + 1) * PAGE));
		memcpy(p + (size_t)i * PAGE, "page", 4);
		EQ(pread(fd, buf, 4, (off_t)i * PAGE), 4);
		MEM_EQ(buf, "page", 4);
	}
	EQ(pt_fstat(fd).st_size, 16 * PAGE);
	OK(munmap(p, 16 * PAGE));
	OK(close(fd));
}

static void into_holes(void)
{
	char buf[8];
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	char *p;

	OK(ftruncate(fd, 64 * PAGE));
	p = map(fd, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	EQ(p[10 * PAGE], 0);
	memcpy(p + 10 * PAGE, "hole", 4);
	memcpy(p + 63 * PAGE, "last", 4);
	OK(msync(p, 64 * PAGE, MS_SYNC));
	OK(munmap(p, 64 * PAGE));
	OK(close(fd));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	EQ(pread(fd, buf, 4, 10 * PAGE), 4);
	MEM_EQ(buf, "hole", 4);
	EQ(pread(fd, buf, 8, 63 * PAGE), 8);
	MEM_EQ(buf, "last\0\0\0\0", 8);
	EQ(pread(fd, buf, 4, 11 * PAGE), 4);
	MEM_EQ(buf, "\0\0\0\0", 4);
	OK(close(fd));
}

static void between_processes(void)
{
	enum { ROUNDS = 1000 };
	struct pt_gate ready;
	pid_t pids[3];
	atomic_uint *p;
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	OK(ftruncate(fd, PAGE));
	pt_gate_init(&ready);
	for (size_t i = 0; i < PT_ARRAY_SIZE(pids); i++) {
		pids[i] = pt_fork();
		if (pids[i] == 0) {
			/* Each opens and maps for itself. */
			int mine = OK(open("f", O_RDWR | O_CLOEXEC));
			atomic_uint *counter =
				(atomic_uint *)map(mine, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

			OK(close(mine));
			pt_gate_wait(&ready);
			for (int k = 0; k < ROUNDS; k++)
				atomic_fetch_add(counter, 1);
			_exit(0);
		}
	}
	pt_gate_open(&ready, PT_ARRAY_SIZE(pids));
	for (size_t i = 0; i < PT_ARRAY_SIZE(pids); i++)
		EQ(pt_wait(pids[i]), 0);
	p = (atomic_uint *)map(fd, PAGE, PROT_READ, MAP_SHARED);
	EQ(atomic_load(p), ROUNDS * PT_ARRAY_SIZE(pids));
	OK(close(fd));
}

static void without_a_name(void)
{
	char buf[8];
	int fd = filled("f", 2 * PAGE, 6);
	char *p = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	OK(unlink("f"));
	memcpy(p, "unlinked", 8);
	EQ(pread(fd, buf, 8, 0), 8);
	MEM_EQ(buf, "unlinked", 8);
	OK(close(fd));
	/* A new file of the same name has nothing to do with it. */
	OK(pt_put("f", "new", 3));
	memcpy(p, "still on", 8);
	OK(msync(p, 2 * PAGE, MS_SYNC));
	MEM_EQ(p, "still on", 8);
	EQ(pt_get("f", buf, 8), 3);
	OK(munmap(p, 2 * PAGE));
}

/* The buffer of a write is a mapping of the very file. */
static void own_buffer(void)
{
	static char want[4 * PAGE];
	int fd = filled("f", 4 * PAGE, 7);
	char *p = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	pt_fill(want, sizeof(want), 7);
	EQ(pwrite(fd, p, PAGE, 2 * PAGE), PAGE);
	memcpy(want + 2 * PAGE, want, PAGE);
	MEM_EQ(p, want, sizeof(want));
	EQ(pread(fd, p + PAGE, PAGE, 3 * PAGE), PAGE);
	memcpy(want + PAGE, want + 3 * PAGE, PAGE);
	MEM_EQ(p, want, sizeof(want));
	/* Fresh pages, not yet faulted in. */
	OK(munmap(p, 4 * PAGE));
	p = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	EQ(pwrite(fd, p + 3 * PAGE, PAGE, 4 * PAGE), PAGE);
	EQ(pt_fstat(fd).st_size, 5 * PAGE);
	OK(munmap(p, 4 * PAGE));
	OK(close(fd));
}

static void protections(void)
{
	int fd, path;
	char *p;

	OK(pt_put("f", "data", 4));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	p = map(fd, PAGE, PROT_READ, MAP_SHARED);
	ERR(EACCES, mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	OK(mprotect(p, PAGE, PROT_NONE));
	OK(munmap(p, PAGE));
	p = map(fd, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	OK(munmap(p, PAGE));
	CHECK(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	EQ(errno, EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 100) == MAP_FAILED);
	EQ(errno, EINVAL);
	path = OK(open("f", O_PATH | O_CLOEXEC));
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, path, 0) == MAP_FAILED);
	EQ(errno, EBADF);
	OK(close(path));
	OK(close(fd));
}

static void offsets_and_advice(void)
{
	static char want[16 * PAGE];
	int fd = filled("f", 16 * PAGE, 8);
	char *p;

	pt_fill(want, sizeof(want), 8);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 5 * PAGE);
	if (!CHECK(p != MAP_FAILED))
		return;
	MEM_EQ(p, want + 5 * PAGE, 2 * PAGE);
	memcpy(p, "kept", 4);
	OK(madvise(p, 2 * PAGE, MADV_DONTNEED));
	MEM_EQ(p, "kept", 4);
	OK(madvise(p, 2 * PAGE, MADV_WILLNEED));
	p = mremap(p, 2 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	if (CHECK(p != MAP_FAILED))
		MEM_EQ(p + 2 * PAGE, want + 7 * PAGE, 6 * PAGE);
	OK(munmap(p, 8 * PAGE));
	OK(close(fd));
}

static void large(void)
{
	enum { SIZE = 16 * 1024 * 1024 };
	unsigned int x = 7;
	uint32_t back;
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	char *p;

	OK(ftruncate(fd, SIZE));
	p = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (int i = 0; i < 2000; i++) {
		uint32_t off;

		x = x * 1664525 + 1013904223;
		off = (x >> 4) % (SIZE / 4) * 4;
		memcpy(p + off, &off, 4);
	}
	OK(munmap(p, SIZE));
	OK(close(fd));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	x = 7;
	for (int i = 0; i < 2000; i++) {
		uint32_t off;

		x = x * 1664525 + 1013904223;
		off = (x >> 4) % (SIZE / 4) * 4;
		if (pread(fd, &back, 4, off) != 4 || back != off) {
			FAIL("at %u: %u", off, back);
			break;
		}
	}
	OK(close(fd));
}

static const struct pt_case cases[] = {
	{ "shared_read", shared_read, 0 },
	{ "shared_coherent", shared_coherent, 0 },
	{ "private", private, 0 },
	{ "store_after_close", store_after_close, 0 },
	{ "store_after_close_and", store_after_close_and, 0 },
	{ "sync_flags", sync_flags, 0 },
	{ "past_the_end", past_the_end, 0 },
	{ "grows_with_the_file", grows_with_the_file, 0 },
	{ "into_holes", into_holes, 0 },
	{ "between_processes", between_processes, 0 },
	{ "without_a_name", without_a_name, 0 },
	{ "own_buffer", own_buffer, 0 },
	{ "protections", protections, 0 },
	{ "offsets_and_advice", offsets_and_advice, 0 },
	{ "large", large, 0 },
};

PT_FAMILY(mmap, cases);
