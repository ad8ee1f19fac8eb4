/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/base/err.h"

/* The protocol of sd_notify(3) is one datagram, maybe with a descriptor. */
static void tell_systemd(const char *text, int passed)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (char *)text, .iov_len = strlen(text) };
	struct msghdr msg = { .msg_name = &addr, .msg_iov = &iov, .msg_iovlen = 1 };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (!len || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	msg.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (passed >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(passed));
		memcpy(CMSG_DATA(c), &passed, sizeof(passed));
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendmsg(fd, &msg, MSG_NOSIGNAL);
	close(fd);
}

static int await(int fd)
{
	char text[F3_ERR_TEXT_MAX + 8];
	size_t n = 0;

	for (;;) {
		ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	text[n] = '\0';
	if (!strcmp(text, "ok"))
		return 1;
	fprintf(stderr, "f3d: %s\n", n ? text : "the daemon died at its start; see the log");
	return -1;
}

int f3_background(int *ret_fd)
{
	int fds[2], null;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC)) {
		fprintf(stderr, "f3d: it cannot go to the background: %s\n", strerror(errno));
		return -1;
	}
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "f3d: it cannot go to the background: %s\n", strerror(errno));
		return -1;
	}
	if (pid > 0) {
		close(fds[1]);
		return await(fds[0]);
	}
	close(fds[0]);
	setsid();
	if (chdir("/"))
		return -1;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	*ret_fd = fds[1];
	return 0;
}

void f3_leave_stderr(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDERR_FILENO);
		close(null);
	}
}

void f3_notify_ready(int fd)
{
	tell_systemd("READY=1", -1);
	if (fd < 0)
		return;
	f3_leave_stderr();
	while (write(fd, "ok", 2) < 0 && errno == EINTR)
		;
	close(fd);
}

void f3_notify_failed(int fd, const char *reason)
{
	if (fd < 0)
		return;
	while (write(fd, reason, strlen(reason)) < 0 && errno == EINTR)
		;
	close(fd);
}

void f3_notify_stopping(void)
{
	tell_systemd("STOPPING=1", -1);
}

void f3_notify_store(const char *name, int fd)
{
	char text[128];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	tell_systemd(text, fd);
}

void f3_notify_unstore(const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	tell_systemd(text, -1);
}

/* sd_listen_fds(3): LISTEN_PID is us, LISTEN_FDNAMES has a name for each, from 3 on. */
#define LISTEN_FIRST 3

int f3_notify_stored(const char *name)
{
	const char *pid = getenv("LISTEN_PID"), *names = getenv("LISTEN_FDNAMES");
	size_t len = strlen(name);

	if (!pid || !names || strtol(pid, NULL, 10) != (long)getpid())
		return -1;
	for (int fd = LISTEN_FIRST; names; fd++) {
		const char *colon = strchr(names, ':');
		size_t n = colon ? (size_t)(colon - names) : strlen(names);

		if (n == len && !memcmp(names, name, n) && fcntl(fd, F_GETFD) == 0) {
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			return fd;
		}
		names = colon ? colon + 1 : NULL;
	}
	return -1;
}
