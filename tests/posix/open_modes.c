/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way of holding a file open beside every other. A FUSE server may serve
 * each open in another way (cached, direct, passed through to a backing file),
 * and the kernel refuses some mixtures on one inode with EIO: programs must
 * never see that, nor two views of the bytes.
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define SIZE 16384
#define PAGE 4096

struct way {
	const char *name;
	int flags;
	int map_prot; /* mapped, and the descriptor closed again */
	int map_flags;
	bool in_flight; /* the descriptor lies in the queue of a socket */
};

static const struct way ways[] = {
	{ "rdonly", O_RDONLY, 0, 0, false },
	{ "wronly", O_WRONLY, 0, 0, false },
	{ "rdwr", O_RDWR, 0, 0, false },
	{ "append", O_RDWR | O_APPEND, 0, 0, false },
	{ "direct-r", O_RDONLY | O_DIRECT, 0, 0, false },
	{ "direct-rw", O_RDWR | O_DIRECT, 0, 0, false },
	{ "sync", O_RDWR | O_SYNC, 0, 0, false },
	{ "dsync", O_WRONLY | O_DSYNC, 0, 0, false },
	{ "noatime", O_RDONLY | O_NOATIME, 0, 0, false },
	{ "path", O_PATH, 0, 0, false },
	{ "map-shared", O_RDWR, PROT_READ | PROT_WRITE, MAP_SHARED, false },
	{ "map-shared-ro", O_RDONLY, PROT_READ, MAP_SHARED, false },
	{ "map-private", O_RDONLY, PROT_READ | PROT_WRITE, MAP_PRIVATE, false },
	{ "in-flight", O_RDWR, 0, 0, true },
};

struct held {
	const struct way *way;
	int fd;
	char *map;
	int queue[2];
};

/* What the file holds: SIZE bytes, and what was appended to them. */
#define ROOM (2 * SIZE)
static char want[ROOM];
static size_t want_size;
static char *aligned;

static int open_direct(void)
{
	int fd = open("direct", O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0644);

	return fd < 0 ? -1 : close(fd);
}

static bool readable(const struct way *way)
{
	return !(way->flags & O_PATH) && (way->flags & O_ACCMODE) != O_WRONLY && !way->in_flight;
}

static bool writable(const struct way *way)
{
	if (way->map_flags == MAP_PRIVATE)
		return false;
	return !(way->flags & O_PATH) && (way->flags & O_ACCMODE) != O_RDONLY && !way->in_flight;
}

static int send_fd(int sock, int fd)
{
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) < 0 ? -1 : 0;
}

static bool hold(struct held *held, const struct way *way, const char *path)
{
	*held = (struct held){ .way = way, .queue = { -1, -1 } };
	held->fd = OK(open(path, way->flags | O_CLOEXEC));
	if (held->fd < 0)
		return false;
	if (way->map_prot) {
		held->map = mmap(NULL, SIZE, way->map_prot, way->map_flags, held->fd, 0);
		CHECK(held->map != MAP_FAILED);
		OK(close(held->fd));
		held->fd = -1;
		return held->map != MAP_FAILED;
	}
	if (way->in_flight) {
		OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, held->queue));
		OK(send_fd(held->queue[0], held->fd));
		OK(close(held->fd));
		held->fd = -1;
	}
	return true;
}

static void let_go(struct held *held)
{
	if (held->map)
		OK(munmap(held->map, SIZE));
	if (held->fd >= 0)
		OK(close(held->fd));
	if (held->queue[0] >= 0) {
		OK(close(held->queue[0]));
		OK(close(held->queue[1]));
	}
}

static void write_through(struct held *held, size_t off, unsigned int seed)
{
	/* One that appends does so whatever the offset. */
	if (held->way->flags & O_APPEND) {
		off = want_size;
		want_size += PAGE;
	}
	pt_fill(aligned, PAGE, seed);
	memcpy(want + off, aligned, PAGE);
	if (held->map)
		memcpy(held->map + off, aligned, PAGE);
	else
		EQ(pwrite(held->fd, aligned, PAGE, off), PAGE);
}

static void read_through(struct held *held)
{
	if (held->map) {
		MEM_EQ(held->map, want, SIZE);
		return;
	}
	EQ(pread(held->fd, aligned, ROOM, 0), want_size);
	MEM_EQ(aligned, want, want_size);
}

static void start(unsigned int seed)
{
	pt_fill(want, SIZE, seed);
	want_size = SIZE;
	OK(pt_put("f", want, SIZE));
}

static void pair(const struct way *first, const struct way *second)
{
	struct held a, b;
	int fd;

	start(7);
	if (!hold(&a, first, "f"))
		return;
	if (!hold(&b, second, "f")) {
		let_go(&a);
		return;
	}
	if (writable(first))
		write_through(&a, 0, 1);
	if (readable(second))
		read_through(&b);
	if (writable(second))
		write_through(&b, PAGE, 2);
	if (readable(first))
		read_through(&a);
	/* A third one comes and goes. */
	fd = OK(open("f", O_RDWR | O_CLOEXEC));
	EQ(pread(fd, aligned, ROOM, 0), want_size);
	MEM_EQ(aligned, want, want_size);
	OK(close(fd));
	let_go(&a);
	if (writable(second))
		write_through(&b, 2 * PAGE, 3);
	if (readable(second))
		read_through(&b);
	let_go(&b);
	EQ(pt_get("f", aligned, ROOM), want_size);
	MEM_EQ(aligned, want, want_size);
	EQ(pt_size("f"), want_size);
	OK(unlink("f"));
}

static void coexist(void)
{
	bool direct = open_direct() == 0;

	if (!direct)
		UNSUPPORTED("O_DIRECT", open_direct);
	aligned = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(aligned != MAP_FAILED);
	for (size_t i = 0; i < PT_ARRAY_SIZE(ways); i++) {
		for (size_t k = 0; k < PT_ARRAY_SIZE(ways); k++) {
			if (!direct && ((ways[i].flags | ways[k].flags) & O_DIRECT))
				continue;
			pt_row("%s then %s", ways[i].name, ways[k].name);
			pair(&ways[i], &ways[k]);
		}
	}
}

/* The same, while the size changes under the first opener. */
static void coexist_truncate(void)
{
	struct held a;
	int fd;

	aligned = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(aligned != MAP_FAILED);
	for (size_t i = 0; i < PT_ARRAY_SIZE(ways); i++) {
		if (ways[i].flags & O_DIRECT)
			continue;
		pt_row("%s", ways[i].name);
		start(9);
		if (!hold(&a, &ways[i], "f"))
			continue;
		fd = OK(open("f", O_WRONLY | O_TRUNC | O_CLOEXEC));
		EQ(pt_fstat(fd).st_size, 0);
		EQ(pwrite(fd, want, SIZE, 0), SIZE);
		OK(close(fd));
		if (readable(&ways[i]) && ways[i].map_flags != MAP_PRIVATE)
			read_through(&a);
		OK(truncate("f", 100));
		EQ(pt_size("f"), 100);
		OK(truncate("f", SIZE));
		memset(want + 100, 0, SIZE - 100);
		if (readable(&ways[i]) && ways[i].map_flags != MAP_PRIVATE)
			read_through(&a);
		let_go(&a);
		EQ(pt_get("f", aligned, SIZE), SIZE);
		MEM_EQ(aligned, want, SIZE);
		OK(unlink("f"));
	}
}

/* And with the name gone, moved, or replaced. */
static void coexist_namespace(void)
{
	struct held a;
	int fd;

	aligned = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(aligned != MAP_FAILED);
	for (size_t i = 0; i < PT_ARRAY_SIZE(ways); i++) {
		if (ways[i].flags & O_DIRECT)
			continue;
		for (int change = 0; change < 3; change++) {
			pt_row("%s change=%d", ways[i].name, change);
			start(11);
			if (!hold(&a, &ways[i], "f"))
				continue;
			if (change == 0) {
				OK(unlink("f"));
			} else if (change == 1) {
				OK(rename("f", "moved"));
			} else {
				OK(pt_put("new", "other", 5));
				OK(rename("new", "f"));
			}
			if (writable(&ways[i]))
				write_through(&a, PAGE, 4);
			if (readable(&ways[i]))
				read_through(&a);
			if (change == 1) {
				fd = OK(open("moved", O_RDONLY | O_CLOEXEC));
				EQ(pread(fd, aligned, ROOM, 0), want_size);
				MEM_EQ(aligned, want, want_size);
				OK(close(fd));
				OK(unlink("moved"));
			} else if (change == 2) {
				EQ(pt_get("f", aligned, SIZE), 5);
				MEM_EQ(aligned, "other", 5);
				OK(unlink("f"));
			}
			let_go(&a);
		}
	}
}

static void many_descriptors(void)
{
	int fds[300];
	char byte;

	OK(pt_touch("f", 0644));
	for (size_t i = 0; i < PT_ARRAY_SIZE(fds); i++) {
		pt_row("i=%zu", i);
		fds[i] = OK(open("f", (i % 2 ? O_RDWR : O_RDONLY) | O_CLOEXEC));
	}
	for (size_t i = 1; i < PT_ARRAY_SIZE(fds); i += 2)
		EQ(pwrite(fds[i], "z", 1, i), 1);
	for (size_t i = 0; i < PT_ARRAY_SIZE(fds); i++) {
		pt_row("i=%zu", i);
		EQ(pread(fds[i], &byte, 1, PT_ARRAY_SIZE(fds) - 1), 1);
		EQ(byte, 'z');
		OK(close(fds[i]));
	}
	EQ(pt_size("f"), PT_ARRAY_SIZE(fds));
}

static const struct pt_case cases[] = {
	{ "coexist", coexist, 0 },
	{ "coexist_truncate", coexist_truncate, 0 },
	{ "coexist_namespace", coexist_namespace, 0 },
	{ "many_descriptors", many_descriptors, 0 },
};

PT_FAMILY(open_modes, cases);
