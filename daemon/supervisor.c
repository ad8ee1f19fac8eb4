/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/notify.h"
#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/fuse/keep.h"
#include "fs/fuse/refuse.h"

#define PAUSE_MIN_NS (100 * F3_NS_PER_MS)
#define PAUSE_MAX_NS (5 * F3_NS_PER_SEC)
/* Who served so long and then dies is started again at once. */
#define GOOD_RUN_NS (10 * F3_NS_PER_SEC)

enum state { STARTING, SERVING, WAITING, REFUSING, ENDING };

struct supervision {
	const struct f3_supervisor *s;
	enum state state;
	struct f3_worker next; /* what the next worker is given */
	int signals;
	int from_worker; /* -1: none runs */
	pid_t worker;
	bool served, refusing, stop;
	bool mount_stays; /* the kernel sends again what a dead worker had read */
	uint64_t since_ns; /* it serves since, or nobody does */
	uint64_t patience_ns; /* until then a worker has to serve */
	uint64_t pause_ns; /* before the next is started */
	uint64_t restart_ns; /* when */
	int exit_code;
	char reason[F3_ERR_TEXT_MAX];
	char last_reason[F3_ERR_TEXT_MAX]; /* of the last death, while nobody serves */
	char *mountpoint_json;
};

/* ---- What others read of it ------------------------------------------------------------------- */

static const char *const state_names[] = { "starting", "serving", "waiting", "refusing", "ending" };

void f3_death_text(int status, char *out, size_t size)
{
	if (!status)
		snprintf(out, size, "none");
	else if (WIFSIGNALED(status))
		snprintf(out, size, "signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "exit code %d", WEXITSTATUS(status));
}

/* Into a JSON string; without what would have to be escaped there. */
static void plain(const char *text, char *out, size_t size)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		out[n++] =
			*text < ' ' || *text > '~' || *text == '"' || *text == '\\' ? '?' : *text;
	out[n] = '\0';
}

/* For f3ctl status while no worker answers. */
static void write_state(struct supervision *u)
{
	char path[PATH_MAX], temporary[PATH_MAX], death[96], reason[F3_ERR_TEXT_MAX];
	FILE *file;

	if (snprintf(path, sizeof(path), "%s/supervisor.json", u->s->run_dir) >=
		    (int)sizeof(path) ||
	    snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return;
	file = fopen(temporary, "we");
	if (!file)
		return;
	f3_death_text(u->next.about.last_status, death, sizeof(death));
	fprintf(file,
		"{\"supervisor_pid\": %ld, \"pid\": %ld, \"state\": \"%s\", \"restarts\": %u, "
		"\"last_death\": \"%s\", \"mountpoint\": \"%s\"",
		(long)getpid(), (long)u->worker, state_names[u->state], u->next.about.restarts,
		death, u->mountpoint_json);
	plain(u->last_reason, reason, sizeof(reason));
	if (reason[0])
		fprintf(file, ", \"reason\": \"%s\"", reason);
	fprintf(file, "}\n");
	if (fclose(file) || rename(temporary, path))
		unlink(temporary);
}

static void remove_state(struct supervision *u)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/supervisor.json", u->s->run_dir) < (int)sizeof(path))
		unlink(path);
}

static void enter(struct supervision *u, enum state state)
{
	u->state = state;
	write_state(u);
}

/* ---- Workers ---------------------------------------------------------------------------------- */

static void child(struct supervision *u, int fd)
{
	struct f3_worker w = u->next;
	sigset_t none;
	int code;

	close(u->signals);
	/* Who started us waits for its end. */
	if (u->s->ready_fd >= 0)
		close(u->s->ready_fd);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	w.supervisor_fd = fd;
	w.about.supervisor = getppid();
	code = u->s->work(u->s->arg, &w);
	exit(code);
}

static int start_worker(struct supervision *u)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (!pid) {
		close(fds[0]);
		child(u, fds[1]);
	}
	close(fds[1]);
	u->worker = pid;
	u->from_worker = fds[0];
	u->reason[0] = '\0';
	return 0;
}

static void tell_worker(struct supervision *u, char what)
{
	while (send(u->from_worker, &what, 1, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

static void pause_before_next(struct supervision *u, uint64_t now_ns)
{
	u->restart_ns = now_ns + u->pause_ns;
	u->pause_ns = u->pause_ns ? u->pause_ns * 2 : PAUSE_MIN_NS;
	if (u->pause_ns > PAUSE_MAX_NS)
		u->pause_ns = PAUSE_MAX_NS;
}

/* Nobody serves the mount, and nobody will. */
static void give_up_mount(struct supervision *u)
{
	if (u->served)
		(void)umount2(u->s->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* With the io_uring transport nobody answers what was under way: programs are better told so. */
static int another_mount(struct supervision *u)
{
	struct f3_keep *keep;
	int fd, r = f3_keep_new(&keep);

	if (r)
		return r;
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		f3_keep_free(keep);
		return r;
	}
	give_up_mount(u);
	close(u->next.fuse_fd);
	f3_keep_free(u->next.keep);
	u->next.fuse_fd = fd;
	u->next.keep = keep;
	return 0;
}

static void worker_ended(struct supervision *u, int status)
{
	uint64_t now_ns = f3_clock_mono_ns();
	bool served = u->state == SERVING;
	char death[96];

	close(u->from_worker);
	u->from_worker = -1;
	u->worker = 0;
	if (WIFEXITED(status) && (!u->served || u->stop || !WEXITSTATUS(status))) {
		u->exit_code = WEXITSTATUS(status);
		enter(u, ENDING);
		return;
	}
	u->next.about.last_status = status;
	u->next.about.last_death_real_ns = f3_clock_real_ns();
	u->next.about.restarts++;
	f3_death_text(status, death, sizeof(death));
	snprintf(u->last_reason, sizeof(u->last_reason), "%s", u->reason);
	if (!u->s->restart) {
		f3_log_error("the daemon died: %s%s%s", death, u->reason[0] ? ": " : "", u->reason);
		u->exit_code = 1;
		enter(u, ENDING);
		return;
	}
	if (u->served && !u->mount_stays) {
		int r = another_mount(u);

		if (r) {
			f3_log_error("/dev/fuse: %s", strerror(-r));
			u->exit_code = 1;
			enter(u, ENDING);
			return;
		}
	}
	u->next.takes_over = u->served && u->mount_stays;
	if (!u->served || u->stop) {
		snprintf(u->reason, sizeof(u->reason), "the daemon died at its %s: %s",
			 u->stop ? "stop" : "start", death);
		u->exit_code = 1;
		enter(u, ENDING);
		return;
	}
	if (served) {
		/* One that dies soon and again, of the request that waits for it perhaps, does not
		 * use up the callers' patience anew. */
		if (now_ns - u->since_ns >= GOOD_RUN_NS) {
			u->pause_ns = 0;
			u->patience_ns = now_ns + u->s->give_up_ns;
		}
		u->since_ns = now_ns;
	}
	f3_log_error("the daemon died: %s%s%s; it is started again, %s %s", death,
		     u->reason[0] ? ": " : "", u->reason,
		     u->mount_stays ? "calls wait on" : "for new users of", u->s->mountpoint);
	pause_before_next(u, now_ns);
	enter(u, u->refusing ? REFUSING : WAITING);
}

/* Takes one message. False: none is there. */
static bool hear(struct supervision *u)
{
	char text[F3_ERR_TEXT_MAX + 1];
	ssize_t n = recv(u->from_worker, text, sizeof(text) - 1, MSG_DONTWAIT);
	bool first;

	if (n <= 0)
		return false; /* its end is told by SIGCHLD */
	text[n] = '\0';
	switch (text[0]) {
	case 'R':
		u->refusing = false;
		u->patience_ns = f3_clock_mono_ns() + u->s->give_up_ns;
		tell_worker(u, 'G');
		break;
	case 'S':
		if (u->served)
			f3_log_info("%s is served again after %.3f s", u->s->mountpoint,
				    (double)(f3_clock_mono_ns() - u->since_ns) / 1e9);
		first = !u->served;
		u->served = true;
		if (first)
			u->patience_ns = f3_clock_mono_ns() + u->s->give_up_ns;
		u->mount_stays = text[1] != 'u';
		u->reason[0] = u->last_reason[0] = '\0';
		u->since_ns = f3_clock_mono_ns();
		enter(u, SERVING);
		if (first)
			f3_notify_ready(u->s->ready_fd);
		break;
	case 'E':
		snprintf(u->reason, sizeof(u->reason), "%s", text + 1);
		break;
	default:
		break;
	}
	return true;
}

static void reap(struct supervision *u)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != u->worker)
			continue;
		while (hear(u))
			;
		worker_ended(u, status);
	}
}

static void on_signal(struct supervision *u)
{
	struct signalfd_siginfo info;

	if (read(u->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD) {
		reap(u);
	} else if (u->worker) {
		u->stop |= info.ssi_signo != SIGHUP;
		kill(u->worker, (int)info.ssi_signo);
	} else if (info.ssi_signo != SIGHUP) {
		u->stop = true;
		give_up_mount(u);
		enter(u, ENDING);
	}
}

/* ---- Without a worker ------------------------------------------------------------------------- */

static void too_long(struct supervision *u)
{
	char death[96];

	f3_death_text(u->next.about.last_status, death, sizeof(death));
	if (u->s->on_failure == F3_ON_FAILURE_ABORT || f3_fuse_resend(u->next.fuse_fd)) {
		f3_log_error("%s could not be served for %.0f"
			     " s (the daemon's last death: %s): it is given up, programs that "
			     "use it get ENOTCONN",
			     u->s->mountpoint, (double)u->s->give_up_ns / 1e9, death);
		give_up_mount(u);
		u->exit_code = 1;
		enter(u, ENDING);
		return;
	}
	f3_log_error("%s could not be served for %.0f"
		     " s (the daemon's last death: %s): calls get EIO until it is back",
		     u->s->mountpoint, (double)u->s->give_up_ns / 1e9, death);
	u->refusing = true;
	enter(u, REFUSING);
}

static void refuse(struct supervision *u)
{
	if (f3_refuse_one(u->next.fuse_fd, u->next.keep) == -ENODEV)
		enter(u, ENDING);
}

static void look_at_clock(struct supervision *u)
{
	uint64_t now_ns = f3_clock_mono_ns();
	int r;

	if (!u->refusing && u->served && u->state != SERVING && now_ns >= u->patience_ns) {
		if (u->worker)
			kill(u->worker, SIGKILL); /* it had its time; its end comes as a signal */
		too_long(u);
		if (u->state == ENDING)
			return;
	}
	if (!u->worker && now_ns >= u->restart_ns) {
		r = start_worker(u);
		if (r) {
			f3_log_error("no process can be started: %s", strerror(-r));
			pause_before_next(u, now_ns);
		} else if (!u->refusing) {
			enter(u, STARTING);
		}
	}
}

static int wait_ms(const struct supervision *u)
{
	uint64_t now_ns = f3_clock_mono_ns(), until_ns = UINT64_MAX;

	if (!u->worker)
		until_ns = u->restart_ns;
	if (!u->refusing && u->served && u->state != SERVING && u->patience_ns < until_ns)
		until_ns = u->patience_ns;
	if (until_ns == UINT64_MAX)
		return -1;
	return until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / F3_NS_PER_MS) + 1;
}

static void supervise(struct supervision *u)
{
	while (u->state != ENDING) {
		struct pollfd p[3] = {
			{ .fd = u->signals, .events = POLLIN },
			{ .fd = u->from_worker, .events = POLLIN },
			{ .fd = u->refusing ? u->next.fuse_fd : -1, .events = POLLIN },
		};

		if (poll(p, 3, wait_ms(u)) < 0 && errno != EINTR)
			break;
		if (p[1].revents & POLLIN)
			(void)hear(u);
		if (p[0].revents & POLLIN)
			on_signal(u);
		if (u->refusing && p[2].revents)
			refuse(u);
		if (u->state != ENDING)
			look_at_clock(u);
	}
	while (u->worker && waitpid(u->worker, NULL, 0) < 0 && errno == EINTR)
		;
}

static int begin(struct supervision *u, struct f3_err *err)
{
	struct f3_buf escaped;
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	u->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (u->signals < 0)
		return f3_err_set(err, -errno, "signalfd: %s", strerror(errno));
	u->next.fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (u->next.fuse_fd < 0)
		return f3_err_set(err, -errno, "/dev/fuse: %s", strerror(errno));
	f3_buf_init(&escaped, 6 * PATH_MAX);
	f3_text_escape(&escaped, u->s->mountpoint, strlen(u->s->mountpoint), F3_ESCAPE_JSON);
	u->mountpoint_json = strndup((const char *)escaped.data, escaped.len);
	r = escaped.error || !u->mountpoint_json ? -ENOMEM : f3_keep_new(&u->next.keep);
	f3_buf_done(&escaped);
	if (!r)
		r = start_worker(u);
	return r ? f3_err_set(err, r, "the daemon cannot be started: %s", strerror(-r)) : 0;
}

int f3_supervise(const struct f3_supervisor *s)
{
	struct supervision u = {
		.s = s,
		.next = { .fuse_fd = -1, .supervisor_fd = -1, .lock_fd = s->lock_fd },
		.signals = -1,
		.from_worker = -1,
	};
	struct f3_err err = F3_ERR_INIT;

	if (begin(&u, &err)) {
		snprintf(u.reason, sizeof(u.reason), "%s", err.text);
		u.exit_code = 1;
	} else {
		supervise(&u);
	}
	if (u.exit_code && !u.served && u.reason[0]) {
		f3_notify_failed(s->ready_fd, u.reason);
		if (s->tell_stderr)
			fprintf(stderr, "f3d: %s\n", u.reason);
	}
	remove_state(&u);
	f3_keep_free(u.next.keep);
	free(u.mountpoint_json);
	return u.exit_code;
}

/* ---- A worker's side --------------------------------------------------------------------------- */

static void tell(const struct f3_worker *w, const char *text)
{
	while (w->supervisor_fd >= 0 &&
	       send(w->supervisor_fd, text, strlen(text), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

void f3_worker_ready(struct f3_worker *w)
{
	char go;

	tell(w, "R");
	/* A supervisor that is gone cannot object. */
	while (w->supervisor_fd >= 0 && recv(w->supervisor_fd, &go, 1, 0) < 0 && errno == EINTR)
		;
}

void f3_worker_serving(struct f3_worker *w, bool uring)
{
	tell(w, uring ? "Su" : "S");
}

void f3_worker_failed(struct f3_worker *w, const char *reason)
{
	char text[F3_ERR_TEXT_MAX + 1];

	snprintf(text, sizeof(text), "E%s", reason);
	tell(w, text);
}
