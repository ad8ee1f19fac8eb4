/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential_process: a program that prints credentials.
 *
 * The line is taken apart as a shell would (blanks, '...', "...", backslashes) but no shell runs:
 * nothing is expanded, and there are no pipes or variables in it. The program gets our
 * environment, nothing on its standard input, a process group of its own, and half a minute. Its
 * standard output is read; what it says on the other one is not shown, since nobody knows what it
 * is.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/object/credentials_impl.h"

#define RUN_NS (30 * F3_NS_PER_SEC)
#define WORDS_MAX 128

/* ---- Words ----------------------------------------------------------------------------------- */

/* Takes `line` apart in place. The number of words, or -EINVAL (a quote without its other one),
 * -E2BIG. */
static int split(char *line, char *words[WORDS_MAX + 1])
{
	char *in = line, *out = line, quote = '\0';
	bool in_word = false;
	int n = 0;

	for (; *in; in++) {
		char c = *in;

		if (!quote && (c == ' ' || c == '\t')) {
			if (in_word)
				*out++ = '\0';
			in_word = false;
			continue;
		}
		if (!in_word) {
			if (n == WORDS_MAX)
				return -E2BIG;
			words[n++] = out;
			in_word = true;
		}
		if (quote && c == quote) {
			quote = '\0';
		} else if (!quote && (c == '\'' || c == '"')) {
			quote = c;
		} else if (c == '\\' && quote != '\'') {
			/* Between double quotes it is itself before most characters. */
			if (!in[1])
				return -EINVAL;
			if (quote && in[1] != '"' && in[1] != '\\')
				*out++ = c;
			*out++ = *++in;
		} else {
			*out++ = c;
		}
	}
	if (quote)
		return -EINVAL;
	*out = '\0';
	words[n] = NULL;
	return n;
}

/* ---- The program ----------------------------------------------------------------------------- */

static int spawn(char *const *words, int out, pid_t *ret_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int error = posix_spawn_file_actions_init(&files);

	if (error)
		return -error;
	error = posix_spawnattr_init(&attr);
	if (error) {
		posix_spawn_file_actions_destroy(&files);
		return -error;
	}
	/* Threads of ours have all signals blocked. */
	sigemptyset(&none);
	sigfillset(&all);
	error = posix_spawnattr_setsigmask(&attr, &none);
	if (!error)
		error = posix_spawnattr_setsigdefault(&attr, &all);
	if (!error)
		error = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
								POSIX_SPAWN_SETSIGDEF |
								POSIX_SPAWN_SETPGROUP);
	if (!error)
		error = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
							 O_RDONLY, 0);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (!error)
		error = posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null",
							 O_WRONLY, 0);
	if (!error)
		error = posix_spawnp(ret_pid, words[0], &files, &attr, words, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -error;
}

/* 0 once fd is ready; -ETIMEDOUT. */
static int wait_for(int fd, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do {
		uint64_t now = f3_clock_mono_ns();

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((deadline_ns - now) / F3_NS_PER_MS) + 1);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

/* All it prints: the length, -EFBIG, -ETIMEDOUT. */
static ssize_t read_output(int fd, char *text, size_t size, uint64_t deadline_ns)
{
	size_t have = 0;
	ssize_t n;

	for (;;) {
		int error = wait_for(fd, deadline_ns);

		if (error)
			return error;
		n = read(fd, text + have, size - have);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return (ssize_t)have;
		if (n > 0)
			have += (size_t)n;
		if (have == size)
			return -EFBIG;
	}
}

/* Its wait status, or -errno; it does not run any more then, nor does what it left behind in its
 * process group when it had to be killed. */
static int end_program(pid_t pid, bool kill_it, uint64_t deadline_ns, int *ret_status)
{
	int fd = pidfd_open(pid, 0), error = 0;

	if (!kill_it)
		error = fd < 0 ? -errno : wait_for(fd, deadline_ns);
	if (fd >= 0)
		close(fd);
	if (kill_it || error)
		kill(-pid, SIGKILL);
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return error;
}

/* Runs it; what it printed is in text. */
static int run(char *const *words, char *text, size_t size, size_t *ret_len, struct f3_err *err)
{
	uint64_t deadline_ns = f3_clock_mono_ns() + RUN_NS;
	int ends[2], error, status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return f3_err_set(err, -errno, "credential_process: no pipe: %m");
	error = spawn(words, ends[1], &pid);
	close(ends[1]);
	if (error) {
		close(ends[0]);
		/* -ENOENT is a source that is not set up. */
		return f3_err_set(err, error == -ENOENT ? -ENOEXEC : error,
				  "credential_process: %s cannot be started: %s", words[0],
				  strerror(-error));
	}
	n = read_output(ends[0], text, size, deadline_ns);
	close(ends[0]);
	error = end_program(pid, n < 0, deadline_ns, &status);
	if (n == -EFBIG)
		return f3_err_set(err, -EFBIG, "credential_process: %s prints more than %zu bytes",
				  words[0], size - 1);
	if (n == -ETIMEDOUT || error == -ETIMEDOUT)
		return f3_err_set(err, -ETIMEDOUT,
				  "credential_process: %s was not done after %llu s", words[0],
				  RUN_NS / F3_NS_PER_SEC);
	if (n < 0 || error)
		return f3_err_set(err, n < 0 ? (int)n : error,
				  "credential_process: %s cannot be waited for", words[0]);
	if (WIFSIGNALED(status))
		return f3_err_set(err, -EIO, "credential_process: %s died of signal %d", words[0],
				  WTERMSIG(status));
	if (WEXITSTATUS(status))
		return f3_err_set(err, -EIO, "credential_process: %s failed with exit code %d",
				  words[0], WEXITSTATUS(status));
	*ret_len = (size_t)n;
	return 0;
}

int f3_cred_from_process(const char *command, struct f3_credentials *ret_c, struct f3_err *err)
{
	char *line = strdup(command), *text = malloc(F3_CRED_ANSWER_MAX + 1);
	char *words[WORDS_MAX + 1];
	size_t len = 0;
	int error = 0, n;

	if (!line || !text)
		error = f3_err_set(err, -ENOMEM, "out of memory");
	if (!error) {
		n = split(line, words);
		if (n <= 0)
			error = f3_err_set(err, -EINVAL,
					   "credential_process: its value is no command: %s",
					   n == 0      ? "empty" :
					   n == -E2BIG ? "too many words" :
							 "a quote or backslash ends nowhere");
	}
	if (!error)
		error = run(words, text, F3_CRED_ANSWER_MAX + 1, &len, err);
	if (!error)
		error = f3_cred_parse_json(text, len, "SessionToken", "credential_process", ret_c,
					   err);
	if (!error)
		ret_c->source = "credential_process";
	f3_cred_free_text(text, text ? F3_CRED_ANSWER_MAX + 1 : 0);
	if (line)
		f3_cred_free_text(line, strlen(command));
	return error;
}
