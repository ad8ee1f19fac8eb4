/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ready_run COMMAND...: runs a daemon in the foreground and says when it is ready.
 *
 * Writes "ready PID" once the command has sent READY=1 (sd_notify(3)), "ended STATUS" when it
 * ended before. Then waits for its end and exits as it did (128 + N after signal N). Nothing is
 * polled. A signal sent to ready_run itself is not passed on: a test signals PID.
 */
#include "config.h"

#include <errno.h>
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

static bool said_ready(int fd)
{
	char text[4096];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strstr(text, "READY=1") != NULL;
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	bool ready = false;
	sigset_t chld, before;
	int status;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: ready_run COMMAND...\n");
		return 125;
	}
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &before);
	fds[0].fd = listen_ready();
	fds[1].fd = signalfd(-1, &chld, SFD_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		execvp(argv[1], argv + 1);
		fprintf(stderr, "ready_run: %s: %s\n", argv[1], strerror(errno));
		_exit(127);
	}
	if (pid < 0 || fds[1].fd < 0) {
		perror("ready_run");
		return 125;
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		struct signalfd_siginfo info;

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
