/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ready_run COMMAND...: runs a daemon in the foreground and says when it is ready.
 *
 * Writes "ready PID" once the command has sent READY=1 (sd_notify(3)), "ended STATUS" when it
 * ended before. Then waits for its end and exits as it did (128 + N after signal N). Nothing is
 * polled. A signal sent to ready_run itself is not passed on: a test signals PID.
 *
 * ready_run --store COMMAND...: keeps descriptors for it as systemd does (FDSTORE), and starts it again
 * with them when it was killed.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int listen_ready(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char name[sizeof(addr.sun_path) + 1];
	socklen_t len;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* an abstract name: nothing to clean up, no limit of path lengths */
	snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "f3-ready-%ld", (long)getpid());
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(addr.sun_path + 1));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len)) {
		perror("ready_run: socket");
		exit(125);
	}
	snprintf(name, sizeof(name), "@%s", addr.sun_path + 1);
	if (setenv("NOTIFY_SOCKET", name, 1))
		exit(125);
	return fd;
}

#define STORE_MAX 8

static struct {
	int fd;
	char name[64];
} stored[STORE_MAX];
static int n_stored;

static void take(const char *text, int fd)
{
	const char *name = strstr(text, "FDNAME=");
	size_t len = name ? strcspn(name + 7, "\n") : 0;

	if (!len || len >= sizeof(stored[0].name))
		return;
	name += 7;
	if (strstr(text, "FDSTOREREMOVE=1")) {
		for (int i = n_stored; i-- > 0;) {
			if (strlen(stored[i].name) != len ||
			    strncmp(stored[i].name, name, len) != 0)
				continue;
			close(stored[i].fd);
			stored[i] = stored[--n_stored];
		}
	} else if (strstr(text, "FDSTORE=1") && fd >= 0 && n_stored < STORE_MAX) {
		memcpy(stored[n_stored].name, name, len);
		stored[n_stored].name[len] = '\0';
		stored[n_stored++].fd = fd;
	}
}

static bool said_ready(int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	char text[4096];
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	int passed = -1;

	if (n <= 0)
		return false;
	text[n] = '\0';
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&passed, CMSG_DATA(c), sizeof(passed));
	take(text, passed);
	return strstr(text, "READY=1") != NULL;
}

/* In the child: the descriptors from 3 on. They are moved out of each other's way first. */
static void give_stored(void)
{
	char names[STORE_MAX * 65] = "", number[32];

	for (int i = 0; i < n_stored; i++)
		stored[i].fd = fcntl(stored[i].fd, F_DUPFD_CLOEXEC, 3 + STORE_MAX);
	for (int i = 0; i < n_stored; i++) {
		size_t len = strlen(names);

		dup2(stored[i].fd, 3 + i);
		snprintf(names + len, sizeof(names) - len, "%s%s", i ? ":" : "", stored[i].name);
	}
	if (!n_stored)
		return;
	snprintf(number, sizeof(number), "%d", n_stored);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof(number), "%ld", (long)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

static pid_t start(char **argv, const sigset_t *before)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	sigprocmask(SIG_SETMASK, before, NULL);
	give_stored();
	execvp(argv[0], argv);
	fprintf(stderr, "ready_run: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	bool ready = false, store;
	sigset_t chld, before;
	int status;
	pid_t pid;

	store = argc > 1 && strcmp(argv[1], "--store") == 0;
	argv += 1 + store;
	if (argc < 2 + store) {
		fprintf(stderr, "usage: ready_run [--store] COMMAND...\n");
		return 125;
	}
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &before);
	fds[0].fd = listen_ready();
	fds[1].fd = signalfd(-1, &chld, SFD_CLOEXEC);
	pid = start(argv, &before);
	if (pid < 0 || fds[1].fd < 0) {
		perror("ready_run");
		return 125;
	}
	for (;;) {
		struct signalfd_siginfo info;

		if (waitpid(pid, &status, WNOHANG) != 0) {
			if (!store || !WIFSIGNALED(status) || !n_stored)
				break;
			ready = false;
			pid = start(argv, &before);
		}

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return 125;
		if ((fds[0].revents & POLLIN) && said_ready(fds[0].fd) && !ready) {
			ready = true;
			printf("ready %ld\n", (long)pid);
			fflush(stdout);
		}
		if ((fds[1].revents & POLLIN) && read(fds[1].fd, &info, sizeof(info)) < 0)
			return 125;
	}
	if (!ready)
		printf("ended %d\n", exit_code(status));
	return exit_code(status);
}
