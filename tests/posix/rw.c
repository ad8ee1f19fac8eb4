/* SPDX-License-Identifier: Apache-2.0 */
/* read(2), write(2) and their kin: bytes, offsets, holes, limits. */
#include "config.h"

#include "tests/posix/posix.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define MIB (1024 * 1024)

static char *big_buffer(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		FAIL("out of memory");
		_exit(1);
	}
	return p;
}

static void sequential(void)
{
	static const size_t chunks[] = {
		1000, 4095, 4096, 4097, 65536, 131072, 131073, MIB, 3 * MIB
	};
	char *want = big_buffer(3 * MIB), *got = big_buffer(3 * MIB);

	pt_fill(want, 3 * MIB, 1);
	for (size_t w = 0; w < PT_ARRAY_SIZE(chunks); w++) {
		int fd = OK(open("f", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644));

		pt_row("write chunk=%zu", chunks[w]);
		for (size_t off = 0; off < 3 * MIB;) {
			size_t n = chunks[w] < 3 * MIB - off ? chunks[w] : 3 * MIB - off;

			if (write(fd, want + off, n) != (ssize_t)n) {
				FAIL("short write at %zu", off);
				break;
			}
			off += n;
		}
		EQ(lseek(fd, 0, SEEK_CUR), 3 * MIB);
		EQ(lseek(fd, 0, SEEK_SET), 0);
		for (size_t off = 0; off < 3 * MIB;) {
			/* Read in another rhythm than it was written. */
			size_t chunk = chunks[PT_ARRAY_SIZE(chunks) - 1 - w];
			ssize_t n = read(fd, got + off, chunk);

			if (n <= 0) {
				FAIL("read at %zu: %zd", off, n);
				break;
			}
			off += n;
		}
		EQ(read(fd, got, 10), 0);
		pt_row("read back, chunk=%zu", chunks[w]);
		MEM_EQ(got, want, 3 * MIB);
		OK(close(fd));
		memset(got, 0, 3 * MIB);
		EQ(pt_get("f", got, 3 * MIB), 3 * MIB);
		MEM_EQ(got, want, 3 * MIB);
	}
}

static void offsets(void)
{
	char buf[16];
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	EQ(write(fd, "0123456789", 10), 10);
	EQ(lseek(fd, 0, SEEK_CUR), 10);
	EQ(pwrite(fd, "AB", 2, 2), 2);
	EQ(pread(fd, buf, 4, 0), 4);
	MEM_EQ(buf, "01AB", 4);
	EQ(lseek(fd, 0, SEEK_CUR), 10);
	EQ(lseek(fd, 3, SEEK_SET), 3);
	EQ(read(fd, buf, 3), 3);
	MEM_EQ(buf, "B45", 3);
	EQ(lseek(fd, 0, SEEK_CUR), 6);
	EQ(lseek(fd, -2, SEEK_CUR), 4);
	EQ(lseek(fd, -1, SEEK_END), 9);
	EQ(read(fd, buf, 10), 1);
	EQ(read(fd, buf, 10), 0);
	EQ(lseek(fd, 5, SEEK_END), 15);
	EQ(read(fd, buf, 10), 0);
	EQ(pt_fstat(fd).st_size, 10);
	ERR(EINVAL, lseek(fd, -1, SEEK_SET));
	ERR(EINVAL, lseek(fd, -11, SEEK_END));
	ERR(EINVAL, lseek(fd, 0, 99));
	EQ(lseek(fd, 0, SEEK_CUR), 15);
	ERR(EINVAL, pread(fd, buf, 1, -1));
	ERR(EINVAL, pwrite(fd, buf, 1, -1));
	EQ(pread(fd, buf, 10, 100), 0);
	OK(close(fd));
	ERR(EBADF, lseek(fd, 0, SEEK_SET));
}

static void shared_offset(void)
{
	char buf[4];
	int fd, copy;
	pid_t pid;

	OK(pt_put("f", "0123456789", 10));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	copy = OK(dup(fd));
	EQ(read(fd, buf, 2), 2);
	EQ(read(copy, buf, 2), 2);
	MEM_EQ(buf, "23", 2);
	pid = pt_fork();
	if (pid == 0) {
		EQ(read(fd, buf, 2), 2);
		MEM_EQ(buf, "45", 2);
		_exit(0);
	}
	EQ(pt_wait(pid), 0);
	EQ(lseek(fd, 0, SEEK_CUR), 6);
	OK(close(fd));
	EQ(read(copy, buf, 2), 2);
	MEM_EQ(buf, "67", 2);
	OK(close(copy));
}

static void append(void)
{
	char buf[32];
	int a, b;

	a = OK(open("f", O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0644));
	b = OK(open("f", O_WRONLY | O_APPEND | O_CLOEXEC));
	EQ(write(a, "aa", 2), 2);
	EQ(write(b, "bb", 2), 2);
	EQ(write(a, "cc", 2), 2);
	EQ(lseek(a, 0, SEEK_CUR), 6);
	EQ(lseek(a, 0, SEEK_SET), 0);
	EQ(write(a, "dd", 2), 2);
	EQ(lseek(a, 0, SEEK_CUR), 8);
	EQ(lseek(a, 1, SEEK_SET), 1);
	EQ(read(a, buf, 2), 2);
	MEM_EQ(buf, "ab", 2);
	/* Linux: pwrite appends as well. */
	EQ(pwrite(b, "ee", 2, 0), 2);
	OK(truncate("f", 3));
	EQ(write(b, "ff", 2), 2);
	EQ(pread(a, buf, 32, 0), 5);
	MEM_EQ(buf, "aabff", 5);
	OK(close(a));
	OK(close(b));
}

static void holes(void)
{
	static const off_t at[] = { 4096, 65536, 100000, MIB, 5 * MIB };
	char *got = big_buffer(6 * MIB);
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	for (size_t i = 0; i < PT_ARRAY_SIZE(at); i++) {
		pt_row("at=%lld", (long long)at[i]);
		EQ(pwrite(fd, "data", 4, at[i]), 4);
		EQ(pt_fstat(fd).st_size, at[i] + 4);
	}
	EQ(pread(fd, got, 6 * MIB, 0), 5 * MIB + 4);
	for (size_t i = 0; i < PT_ARRAY_SIZE(at); i++) {
		pt_row("at=%lld", (long long)at[i]);
		MEM_EQ(got + at[i], "data", 4);
		memset(got + at[i], 0, 4);
	}
	for (off_t off = 0; off < 5 * MIB; off++) {
		if (got[off]) {
			FAIL("byte %lld of a hole is %02x", (long long)off,
			     (unsigned char)got[off]);
			break;
		}
	}
	OK(close(fd));
	CHECK(pt_lstat("f").st_blocks * 512 < 2 * MIB);
}

static void vectors(void)
{
	char a[3] = "abc", b[5] = "defgh", buf[16], c[4], d[4];
	struct iovec out[3] = { { a, 3 }, { NULL, 0 }, { b, 5 } };
	struct iovec in[2] = { { c, 4 }, { d, 4 } };
	struct iovec many[IOV_MAX];
	/* Kept from the compiler, which knows better. */
	volatile int negative = -1, too_many = IOV_MAX + 1;
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	EQ(writev(fd, out, 3), 8);
	EQ(pwritev(fd, out, 3, 8), 8);
	EQ(pread(fd, buf, 16, 0), 16);
	MEM_EQ(buf, "abcdefghabcdefgh", 16);
	EQ(lseek(fd, 0, SEEK_SET), 0);
	EQ(readv(fd, in, 2), 8);
	MEM_EQ(c, "abcd", 4);
	MEM_EQ(d, "efgh", 4);
	EQ(preadv(fd, in, 2, 14), 2);
	MEM_EQ(c, "gh", 2);
	EQ(readv(fd, in, 0), 0);
	ERR(EINVAL, readv(fd, in, negative));
	ERR(EINVAL, readv(fd, in, too_many));
	for (int i = 0; i < IOV_MAX; i++)
		many[i] = (struct iovec){ b + i % 5, 1 };
	EQ(pwritev(fd, many, IOV_MAX, 0), IOV_MAX);
	EQ(pt_fstat(fd).st_size, IOV_MAX);
	EQ(pread(fd, buf, 5, 1000), 5);
	MEM_EQ(buf, "defgh", 5);
	/* Flags per call. */
	EQ(pwritev2(fd, out, 1, 0, RWF_DSYNC), 3);
	EQ(pwritev2(fd, out, 1, 0, RWF_APPEND), 3);
	EQ(pt_fstat(fd).st_size, IOV_MAX + 3);
	EQ(preadv2(fd, in, 1, 0, 0), 4);
	ERR(EOPNOTSUPP, preadv2(fd, in, 1, 0, 0x4000));
	OK(close(fd));
}

static void large_offsets(void)
{
	static const off_t at[] = {
		((off_t)1 << 31) - 2,
		((off_t)1 << 32) - 2,
		(off_t)5 << 30,
		((off_t)1 << 40) + 12345,
	};
	char buf[8];
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	for (size_t i = 0; i < PT_ARRAY_SIZE(at); i++) {
		pt_row("at=%lld", (long long)at[i]);
		EQ(pwrite(fd, "data", 4, at[i]), 4);
		EQ(pt_fstat(fd).st_size, at[i] + 4);
		EQ(pt_size("f"), at[i] + 4);
		EQ(pread(fd, buf, 8, at[i]), 4);
		MEM_EQ(buf, "data", 4);
		EQ(lseek(fd, 0, SEEK_END), at[i] + 4);
		EQ(write(fd, "more", 4), 4);
		EQ(lseek(fd, 0, SEEK_CUR), at[i] + 8);
	}
	EQ(pread(fd, buf, 4, (off_t)3 << 30), 4);
	MEM_EQ(buf, "\0\0\0\0", 4);
	CHECK(pt_fstat(fd).st_blocks < 4096);
	OK(close(fd));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	for (size_t i = 0; i < PT_ARRAY_SIZE(at); i++) {
		pt_row("again at=%lld", (long long)at[i]);
		EQ(pread(fd, buf, 8, at[i]), 8);
		MEM_EQ(buf, "datamore", 8);
	}
	OK(close(fd));
}

static int open_direct(void)
{
	int fd = open("direct", O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0644);

	return fd < 0 ? -1 : close(fd);
}

static void direct(void)
{
	char *want = big_buffer(2 * MIB), *got = big_buffer(2 * MIB);
	int fd, buffered;

	if (open_direct()) {
		UNSUPPORTED("O_DIRECT", open_direct);
		return;
	}
	pt_fill(want, 2 * MIB, 4);
	fd = OK(open("f", O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0644));
	buffered = OK(open("f", O_RDWR | O_CLOEXEC));
	EQ(write(fd, want, MIB), MIB);
	EQ(pwrite(fd, want + MIB, MIB, MIB), MIB);
	EQ(pt_fstat(fd).st_size, 2 * MIB);
	EQ(pread(fd, got, 2 * MIB, 0), 2 * MIB);
	MEM_EQ(got, want, 2 * MIB);
	/* Both views of the file agree, whoever wrote last. */
	EQ(pread(buffered, got, 2 * MIB, 0), 2 * MIB);
	MEM_EQ(got, want, 2 * MIB);
	pt_fill(want + 8192, 4096, 5);
	EQ(pwrite(buffered, want + 8192, 4096, 8192), 4096);
	EQ(pread(fd, got, 65536, 0), 65536);
	MEM_EQ(got, want, 65536);
	pt_fill(want + 12288, 4096, 6);
	EQ(pwrite(fd, want + 12288, 4096, 12288), 4096);
	EQ(pread(buffered, got, 65536, 0), 65536);
	MEM_EQ(got, want, 65536);
	/* At the end of a file that is no multiple of a block. */
	OK(ftruncate(buffered, MIB + 100));
	EQ(pread(fd, got, 4096, MIB), 100);
	MEM_EQ(got, want + MIB, 100);
	EQ(pread(fd, got, 4096, 2 * MIB), 0);
	OK(close(fd));
	OK(close(buffered));
}

static void synchronous(void)
{
	static const int flags[] = { O_SYNC, O_DSYNC, O_SYNC | O_APPEND };
	char buf[16];

	for (size_t i = 0; i < PT_ARRAY_SIZE(flags); i++) {
		int fd = OK(open("f", O_CREAT | O_TRUNC | O_RDWR | flags[i] | O_CLOEXEC, 0644));

		pt_row("flags=%x", flags[i]);
		EQ(write(fd, "01234", 5), 5);
		EQ(write(fd, "56789", 5), 5);
		EQ(pread(fd, buf, 16, 0), 10);
		MEM_EQ(buf, "0123456789", 10);
		OK(close(fd));
	}
}

static void bad_buffers(void)
{
	char *nowhere = (char *)(uintptr_t) - (long)getpagesize();
	char *edge = big_buffer(8192);
	ssize_t n;
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	EQ(write(fd, "0123456789", 10), 10);
	ERR(EFAULT, write(fd, nowhere, 10));
	ERR(EFAULT, pwrite(fd, nowhere, 10, 0));
	ERR(EFAULT, pread(fd, nowhere, 10, 0));
	EQ(pt_fstat(fd).st_size, 10);
	/* Half of it readable: a short write, or none. */
	OK(munmap(edge + 4096, 4096));
	pt_fill(edge, 4096, 1);
	n = pwrite(fd, edge, 8192, 0);
	CHECK(n == 4096 || (n == -1 && errno == EFAULT));
	CHECK(pt_fstat(fd).st_size == (n == 4096 ? 4096 : 10));
	OK(close(fd));
}

static void size_limit(void)
{
	struct rlimit old, limit;
	char buf[8192] = { 0 };
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	signal(SIGXFSZ, SIG_IGN);
	OK(getrlimit(RLIMIT_FSIZE, &old));
	limit = old;
	limit.rlim_cur = 10000;
	OK(setrlimit(RLIMIT_FSIZE, &limit));
	EQ(write(fd, buf, 8192), 8192);
	EQ(write(fd, buf, 8192), 10000 - 8192);
	ERR(EFBIG, write(fd, buf, 1));
	ERR(EFBIG, pwrite(fd, buf, 1, 10000));
	ERR(EFBIG, ftruncate(fd, 10001));
	ERR(EFBIG, truncate("f", 10001));
	ERR(EFBIG, fallocate(fd, 0, 0, 10001));
	OK(ftruncate(fd, 10000));
	EQ(pwrite(fd, buf, 1, 9999), 1);
	OK(setrlimit(RLIMIT_FSIZE, &old));
	EQ(write(fd, buf, 1), 1);
	EQ(pt_fstat(fd).st_size, 10001);
	OK(close(fd));
}

static void size_limit_signal(void)
{
	struct rlimit limit = { 100, 100 };
	pid_t pid = pt_fork();

	if (pid == 0) {
		int fd = open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644);

		/* No dump of this death. */
		signal(SIGXFSZ, SIG_DFL);
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		setrlimit(RLIMIT_FSIZE, &limit);
		pwrite(fd, "x", 1, 200);
		_exit(0);
	}
	EQ(pt_wait(pid), 128 + SIGXFSZ);
	EQ(pt_size("f"), 0);
}

static void sendfile_and_splice(void)
{
	char *want = big_buffer(MIB), *got = big_buffer(MIB);
	int in, out, ends[2];
	size_t moved;
	loff_t off;

	pt_fill(want, MIB, 8);
	OK(pt_put("in", want, MIB));
	in = OK(open("in", O_RDONLY | O_CLOEXEC));
	out = OK(open("out", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	for (moved = 0; moved < MIB;) {
		ssize_t n = sendfile(out, in, NULL, MIB - moved);

		if (n <= 0) {
			FAIL("sendfile: %zd", n);
			break;
		}
		moved += n;
	}
	EQ(pt_get("out", got, MIB), MIB);
	MEM_EQ(got, want, MIB);
	EQ(lseek(in, 0, SEEK_CUR), MIB);
	OK(ftruncate(out, 0));
	OK(pipe(ends));
	for (moved = 0, off = 0; moved < MIB;) {
		loff_t at = moved;
		ssize_t n = splice(in, &off, ends[1], NULL, 65536, 0);
		ssize_t left = n;

		if (n <= 0) {
			FAIL("splice in: %zd", n);
			break;
		}
		while (left > 0) {
			ssize_t k = splice(ends[0], NULL, out, &at, left, 0);

			if (k <= 0) {
				FAIL("splice out: %zd", k);
				return;
			}
			left -= k;
		}
		moved += n;
	}
	memset(got, 0, MIB);
	EQ(pt_get("out", got, MIB), MIB);
	MEM_EQ(got, want, MIB);
	OK(close(in));
	OK(close(out));
}

/* What one writes the other reads at once; nobody has a view of its own. */
static void seen_at_once(void)
{
	struct pt_gate go, done;
	char buf[32];
	int fd;
	pid_t pid;

	pt_gate_init(&go);
	pt_gate_init(&done);
	OK(pt_touch("f", 0644));
	pid = pt_fork();
	if (pid == 0) {
		int w = OK(open("f", O_WRONLY | O_CLOEXEC));

		for (int i = 0; i < 200; i++) {
			pt_gate_wait(&go);
			if (pwrite(w, &i, sizeof(i), (off_t)i * 7) != sizeof(i))
				FAIL("pwrite %d", i);
			pt_gate_open(&done, 1);
		}
		_exit(0);
	}
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	for (int i = 0; i < 200; i++) {
		int back = -1;

		pt_gate_open(&go, 1);
		pt_gate_wait(&done);
		if (pread(fd, &back, sizeof(back), (off_t)i * 7) != sizeof(back) || back != i)
			FAIL("write %d not seen: %d", i, back);
		if (pread(fd, buf, sizeof(buf), (off_t)i * 7) != sizeof(i))
			FAIL("read past the end after write %d", i);
	}
	EQ(pt_wait(pid), 0);
	EQ(pt_fstat(fd).st_size, 199 * 7 + 4);
	OK(close(fd));
}

static void overwriting(void)
{
	static char want[100000], got[100000];
	unsigned int x = 1;
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	OK(pt_write_full(fd, want, sizeof(want), 0));
	for (int i = 0; i < 300; i++) {
		size_t off, len;

		x = x * 1103515245 + 12345;
		off = (x >> 8) % sizeof(want);
		x = x * 1103515245 + 12345;
		len = (x >> 8) % (i % 5 == 0 ? 30000 : 600);
		if (len > sizeof(want) - off)
			len = sizeof(want) - off;
		pt_fill(want + off, len, i);
		if (pwrite(fd, want + off, len, off) != (ssize_t)len)
			FAIL("pwrite %d", i);
	}
	OK(pt_read_full(fd, got, sizeof(got), 0));
	MEM_EQ(got, want, sizeof(got));
	OK(close(fd));
	EQ(pt_get("f", got, sizeof(got)), sizeof(got));
	MEM_EQ(got, want, sizeof(got));
}

static void advice(void)
{
	char buf[4];
	int fd;

	OK(pt_put("f", "data", 4));
	fd = OK(open("f", O_RDWR | O_CLOEXEC));
	for (int a = POSIX_FADV_NORMAL; a <= POSIX_FADV_NOREUSE; a++) {
		pt_row("advice=%d", a);
		EQ(posix_fadvise(fd, 0, 0, a), 0);
		EQ(pread(fd, buf, 4, 0), 4);
		MEM_EQ(buf, "data", 4);
	}
	OK(readahead(fd, 0, 4096));
	OK(close(fd));
}

static const struct pt_case cases[] = {
	{ "sequential", sequential, 0 },
	{ "offsets", offsets, 0 },
	{ "shared_offset", shared_offset, 0 },
	{ "append", append, 0 },
	{ "holes", holes, 0 },
	{ "vectors", vectors, 0 },
	{ "large_offsets", large_offsets, PT_LOCAL },
	{ "direct", direct, 0 },
	{ "synchronous", synchronous, 0 },
	{ "bad_buffers", bad_buffers, 0 },
	{ "size_limit", size_limit, 0 },
	{ "size_limit_signal", size_limit_signal, 0 },
	{ "sendfile_and_splice", sendfile_and_splice, 0 },
	{ "seen_at_once", seen_at_once, 0 },
	{ "overwriting", overwriting, 0 },
	{ "advice", advice, 0 },
};

PT_FAMILY(rw, cases);
