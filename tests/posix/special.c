/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes with names, sockets with names, device nodes: what they do when used. */
#include "config.h"

#include "tests/posix/posix.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static void fifo_carries_bytes(void)
{
	char buf[16];
	pid_t pid;
	int fd;

	if (!pt_can_make(PT_FIFO))
		return;
	OK(pt_make(PT_FIFO, "p", 0644));
	pid = pt_fork();
	if (pid == 0) {
		/* Opening waits for the other end. */
		fd = OK(open("p", O_WRONLY | O_CLOEXEC));
		EQ(write(fd, "hello", 5), 5);
		OK(close(fd));
		_exit(0);
	}
	fd = OK(open("p", O_RDONLY | O_CLOEXEC));
	EQ(read(fd, buf, sizeof(buf)), 5);
	MEM_EQ(buf, "hello", 5);
	EQ(read(fd, buf, sizeof(buf)), 0);
	ERR(ESPIPE, lseek(fd, 0, SEEK_SET));
	OK(close(fd));
	EQ(pt_wait(pid), 0);
	EQ(pt_size("p"), 0);
	CHECK(S_ISFIFO(pt_lstat("p").st_mode));
}

static void fifo_without_reader(void)
{
	int r, w;

	if (!pt_can_make(PT_FIFO))
		return;
	OK(pt_make(PT_FIFO, "p", 0644));
	r = OK(open("p", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	w = OK(open("p", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
	EQ(write(w, "x", 1), 1);
	OK(close(r));
	ERR(EPIPE, write(w, "x", 1));
	OK(close(w));
	/* Two names, one pipe. */
	if (pt_has_links()) {
		char byte;

		OK(link("p", "q"));
		r = OK(open("p", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
		w = OK(open("q", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
		EQ(write(w, "y", 1), 1);
		EQ(read(r, &byte, 1), 1);
		OK(close(r));
		OK(close(w));
	}
	/* Renamed and unlinked, it goes on. */
	r = OK(open("p", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	OK(rename("p", "moved"));
	w = OK(open("moved", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
	OK(unlink("moved"));
	EQ(write(w, "z", 1), 1);
	EQ(pt_fstat(r).st_ino, pt_fstat(w).st_ino);
	OK(close(r));
	OK(close(w));
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	memcpy(addr.sun_path, path, strlen(path) + 1);
	return addr;
}

static int bind_to(int fd, const char *path)
{
	struct sockaddr_un addr = address(path);

	return bind(fd, (struct sockaddr *)&addr, sizeof(addr));
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err;

	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

static void socket_talks(void)
{
	char buf[16];
	int server, client, conn;

	if (!pt_can_make(PT_SOCK))
		return;
	server = OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	umask(022);
	OK(bind_to(server, "s"));
	umask(0);
	MODE_EQ(pt_lstat("s").st_mode, S_IFSOCK | 0755);
	ERR(EADDRINUSE, bind_to(OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), "s"));
	ERR(ECONNREFUSED, connect_to("s"));
	OK(listen(server, 5));
	client = OK(connect_to("s"));
	conn = OK(accept4(server, NULL, NULL, SOCK_CLOEXEC));
	EQ(send(client, "ping", 4, 0), 4);
	EQ(recv(conn, buf, sizeof(buf), 0), 4);
	MEM_EQ(buf, "ping", 4);
	EQ(send(conn, "pong", 4, 0), 4);
	EQ(recv(client, buf, sizeof(buf), 0), 4);
	OK(close(client));
	OK(close(conn));
	/* By its new name; not by the old. */
	OK(rename("s", "t"));
	ERR(ENOENT, connect_to("s"));
	client = OK(connect_to("t"));
	OK(close(client));
	if (pt_has_links()) {
		OK(link("t", "u"));
		client = OK(connect_to("u"));
		OK(close(client));
	}
	OK(symlink("t", "l"));
	client = OK(connect_to("l"));
	OK(close(client));
	OK(close(server));
	ERR(ECONNREFUSED, connect_to("t"));
	OK(unlink("t"));
	OK(pt_touch("plain", 0777));
	ERR(ECONNREFUSED, connect_to("plain"));
}

static void socket_permissions(void)
{
	int server;

	if (!pt_can_make(PT_SOCK))
		return;
	server = OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	OK(bind_to(server, "s"));
	OK(listen(server, 5));
	OK(chown("s", pt_owner.uid, pt_owner.gid));
	OK(chmod("s", 0620));
	AS(&pt_owner)
		OK(close(OK(connect_to("s"))));
	AS(&pt_member)
		OK(close(OK(connect_to("s"))));
	AS(&pt_other)
		ERR(EACCES, connect_to("s"));
	OK(mkdir("ro", 0755));
	AS(&pt_owner)
		ERR(EACCES, bind_to(OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), "ro/s"));
	OK(close(server));
}

static void datagrams(void)
{
	struct sockaddr_un addr = address("s");
	char buf[16];
	int a, b;

	if (!pt_can_make(PT_SOCK))
		return;
	a = OK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	b = OK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	OK(bind_to(a, "s"));
	EQ(sendto(b, "hi", 2, 0, (struct sockaddr *)&addr, sizeof(addr)), 2);
	EQ(recv(a, buf, sizeof(buf), 0), 2);
	OK(close(a));
	OK(close(b));
}

static void devices(void)
{
	struct statvfs sv;
	char buf[8];
	int fd;

	if (!pt_can_make(PT_CHR))
		return;
	OK(statvfs(".", &sv));
	if (sv.f_flag & ST_NODEV) {
		SKIP("mounted nodev");
		return;
	}
	OK(mknod("zero", S_IFCHR | 0600, makedev(1, 5)));
	fd = OK(open("zero", O_RDWR | O_CLOEXEC));
	memset(buf, 'x', sizeof(buf));
	EQ(read(fd, buf, sizeof(buf)), sizeof(buf));
	MEM_EQ(buf, "\0\0\0\0\0\0\0\0", 8);
	EQ(write(fd, "x", 1), 1);
	OK(close(fd));
	OK(mknod("full", S_IFCHR | 0600, makedev(1, 7)));
	fd = OK(open("full", O_RDWR | O_CLOEXEC));
	ERR(ENOSPC, write(fd, "x", 1));
	OK(close(fd));
	AS(&pt_owner)
		ERR(EACCES, open("zero", O_RDONLY));
	/* A number nobody serves. */
	OK(mknod("nobody", S_IFCHR | 0600, makedev(500, 77)));
	ERR(ENXIO, open("nobody", O_RDONLY));
	OK(mknod("noblock", S_IFBLK | 0600, makedev(500, 77)));
	ERR(ENXIO, open("noblock", O_RDONLY));
	EQ(pt_size("zero"), 0);
	EQ(major(pt_lstat("zero").st_rdev), 1);
}

static const struct pt_case cases[] = {
	{ "fifo_carries_bytes", fifo_carries_bytes, 0 },
	{ "fifo_without_reader", fifo_without_reader, 0 },
	{ "socket_talks", socket_talks, 0 },
	{ "socket_permissions", socket_permissions, 0 },
	{ "datagrams", datagrams, 0 },
	{ "devices", devices, 0 },
};

PT_FAMILY(special, cases);
