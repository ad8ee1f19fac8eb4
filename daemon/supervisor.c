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
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/notify.h"
#include "daemon/view_dir.h"
#include "daemon/worker.h"
#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/fuse/keep.h"
#include "fs/fuse/refuse.h"

#define PAUSE_MIN_NS (100 * F3_NS_PER_MS)
#define PAUSE_MAX_NS (5 * F3_NS_PER_SEC)
/* Who served so long and then dies is started again at once. */
#define GOOD_RUN_NS (10 * F3_NS_PER_SEC)
/* Who has not frozen by then is killed: that loses nothing, only time. */
#define FREEZE_NS (3 * F3_NS_PER_SEC)
#define FUSE_MAGIC 0x65735546

/* A program that serves or shall: its descriptor; or this one, which forks. */
#define THIS_PROGRAM (-1)

extern char **environ;

enum state { STARTING, SERVING, WAITING, REFUSING, ENDING };

/* Who shall take over from a worker that serves. */
struct candidate {
	pid_t pid; /* 0: there is none */
	int from;
	int program, conf_fd;
	bool ready; /* the old one was asked to freeze */
	bool killed; /* the candidate, who has to freeze, or who has to serve */
	uint64_t until_ns;
	char reason[F3_ERR_TEXT_MAX];
};

struct supervision {
	const struct f3_supervisor *s;
	enum state state;
	struct f3_worker next; /* what the next worker is given */
	int signals;
	int from_worker; /* -1: none runs */
	pid_t worker;
	bool served, refusing, stop;
	bool stored; /* fuse and keep are with systemd too */
	bool taken; /* they were left there by another supervisor; nobody was told yet that we serve */
	bool mount_stays; /* the kernel sends again what a dead worker had read */
	uint64_t since_ns; /* it serves since, or nobody does */
	uint64_t patience_ns; /* until then a worker has to serve */
	uint64_t pause_ns; /* before the next is started */
	uint64_t restart_ns; /* when */
	int exit_code;
	char reason[F3_ERR_TEXT_MAX];
	char last_reason[F3_ERR_TEXT_MAX]; /* of the last death, while nobody serves */
	char *mountpoint_json;
	char *program_path; /* of this program, where the next version is installed */
	int program;
	struct candidate c;
	bool upgrading; /* the worker is a new program that has not served yet */
	int program_before, conf_before; /* while upgrading: to go back to */
	uint64_t frozen_ns; /* the worker that serves has stopped to; 0: it has not */
	pid_t pid_before;
};

/* ---- What others read of it ------------------------------------------------------------------- */

static const char *const state_names[] = { "starting", "serving", "waiting", "refusing", "ending" };

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

/* In the child: instead of the program it was forked from. */
static void execute(struct supervision *u, struct f3_worker *w, int program)
{
	char spec[F3_WORKER_SPEC_MAX], text[128];

	f3_worker_spec(w, spec, sizeof(spec));
	u->s->argv[u->s->argv_spec] = spec;
	fexecve(program, (char *const *)u->s->argv, environ);
	snprintf(text, sizeof(text), "it cannot be executed: %s",
		 errno == ENOENT ? "it needs an interpreter" : strerror(errno));
	f3_worker_failed(w, text);
	_exit(1);
}

static void enter_child(struct supervision *u, struct f3_worker *w, int fd)
{
	sigset_t none;

	close(u->signals);
	/* Who started us waits for its end. */
	if (u->s->ready_fd >= 0)
		close(u->s->ready_fd);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	*w = u->next;
	w->supervisor_fd = fd;
	w->about.supervisor = getppid();
}

/* In the child and the parent as fork does. The end of the messages is in *ret_fd. */
static int fork_worker(pid_t *ret_pid, int *ret_fd)
{
	int fds[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	fflush(NULL);
	pid = fork();
	r = pid < 0 ? -errno : 0;
	if (r || pid)
		close(fds[1]);
	if (r || !pid)
		close(fds[0]);
	if (r)
		return r;
	*ret_fd = fds[pid ? 0 : 1];
	*ret_pid = pid;
	return 0;
}

static int start_worker(struct supervision *u)
{
	struct f3_worker w;
	pid_t pid;
	int fd, r = fork_worker(&pid, &fd);

	if (r)
		return r;
	if (!pid) {
		enter_child(u, &w, fd);
		if (u->program != THIS_PROGRAM)
			execute(u, &w, u->program);
		exit(u->s->work(u->s->arg, &w));
	}
	u->worker = pid;
	u->from_worker = fd;
	u->reason[0] = '\0';
	return 0;
}

static void tell_worker(struct supervision *u, const char *text)
{
	(void)f3_message_send(u->from_worker, text, strlen(text), -1);
}

static void tell_go(struct supervision *u)
{
	const struct f3_supervised *a = &u->next.about;
	char text[F3_MESSAGE_MAX];

	snprintf(text, sizeof(text), "G%u %u %d %" PRId64 " %" PRIu64 " %s", a->restarts,
		 a->upgrades, a->last_status, a->last_death_real_ns, a->away_ns, a->upgrade_failed);
	tell_worker(u, text);
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
	char views[PATH_MAX];

	if (!u->served)
		return;
	if (!f3_view_dir_path(u->s->run_dir, views, sizeof(views)))
		f3_view_dir_detach_all(views);
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

/* ---- systemd's store ---------------------------------------------------------------------------- */

#define STORED_FUSE "f3-fuse"
#define STORED_KEEP "f3-keep"

static void leave_with_systemd(struct supervision *u)
{
	if (u->stored || !u->mount_stays)
		return;
	f3_notify_store(STORED_FUSE, u->next.fuse_fd);
	f3_notify_store(STORED_KEEP, f3_keep_fd(u->next.keep));
	u->stored = true;
}

static void take_from_systemd(struct supervision *u)
{
	if (u->stored) {
		f3_notify_unstore(STORED_FUSE);
		f3_notify_unstore(STORED_KEEP);
	}
	u->stored = false;
}

/* ---- Upgrades --------------------------------------------------------------------------------- */

static void forget_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* It is gone, or was never made. Who serves goes on. */
static void call_off(struct supervision *u, const char *why)
{
	char text[F3_ERR_TEXT_MAX + 1];

	snprintf(text, sizeof(text), "N%s", why);
	if (u->worker)
		tell_worker(u, text);
	f3_log_warn("no upgrade: %s", why);
	forget_fd(&u->c.from);
	forget_fd(&u->c.program);
	forget_fd(&u->c.conf_fd);
	u->c.pid = 0;
}

/* In the child, since a path may lead to where an open waits for ever. */
static int open_program(const char *path, struct f3_worker *w)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	const char *why = NULL;
	char text[256];
	struct statfs fs;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || fstatfs(fd, &fs))
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		why = "it is not an executable file";
	else if (fs.f_type == FUSE_MAGIC)
		why = "it lies on a FUSE file system, which must not be in use by who serves one";
	if (why) {
		snprintf(text, sizeof(text), "%.160s: %.80s", path, why);
		f3_worker_failed(w, text);
		_exit(1);
	}
	r = f3_message_send(w->supervisor_fd, "P", 1, fd);
	if (r)
		_exit(1);
	return fd;
}

/* text: FORMAT PATH */
static void want_upgrade(struct supervision *u, const char *text)
{
	unsigned format = 0;
	struct f3_worker w;
	int fd, at = 0, r;
	pid_t pid;

	(void)sscanf(text, "%9u %n", &format, &at);
	if (u->c.pid || u->state != SERVING) {
		tell_worker(u, "Nanother one is under way");
		return;
	}
	if (!u->mount_stays) {
		tell_worker(
			u,
			"Nwith transport io_uring the kernel does not hand requests over: f3d has "
			"to be stopped and started");
		return;
	}
	u->c = (struct candidate){ .from = -1, .program = -1, .conf_fd = -1 };
	r = fork_worker(&pid, &fd);
	if (r) {
		call_off(u, strerror(-r));
		return;
	}
	if (!pid) {
		enter_child(u, &w, fd);
		close(u->from_worker);
		w.conf_fd = -1;
		w.takes_over = w.candidate = true;
		w.format = format;
		execute(u, &w, open_program(at && text[at] ? text + at : u->program_path, &w));
	}
	u->c.pid = pid;
	u->c.from = fd;
	u->c.until_ns = f3_clock_mono_ns() + u->s->upgrade_wait_ns;
}

/* Takes one message. False: none is there. */
static bool hear_candidate(struct supervision *u)
{
	char text[F3_MESSAGE_MAX];
	int fd;
	ssize_t n = f3_message_recv(u->c.from, text, sizeof(text), MSG_DONTWAIT, &fd);

	if (n <= 0)
		return false;
	if (text[0] == 'P' && u->c.program < 0 && fd >= 0) {
		u->c.program = fd;
		fd = -1;
	} else if (text[0] == 'R' && !u->c.ready && u->c.program >= 0) {
		u->c.ready = true;
		u->c.conf_fd = fd;
		fd = -1;
		u->c.until_ns = f3_clock_mono_ns() + FREEZE_NS;
		tell_worker(u, "F");
	} else if (text[0] == 'E') {
		snprintf(u->c.reason, sizeof(u->c.reason), "%.*s", F3_ERR_TEXT_MAX - 1, text + 1);
	}
	forget_fd(&fd);
	return true;
}

static void candidate_ended(struct supervision *u, int status)
{
	char death[96], why[F3_ERR_TEXT_MAX];

	while (hear_candidate(u))
		;
	if (status)
		f3_death_text(status, death, sizeof(death));
	else
		snprintf(death, sizeof(death), "exit code 0");
	if (u->c.reason[0])
		snprintf(why, sizeof(why), "%s", u->c.reason);
	else if (u->c.until_ns <= f3_clock_mono_ns())
		snprintf(why, sizeof(why), "it was not ready within %.0f s",
			 (double)u->s->upgrade_wait_ns / 1e9);
	else
		snprintf(why, sizeof(why), "it ended before it was ready, with %s: is it an f3d?",
			 death);
	call_off(u, why);
}

/* The old worker is gone and has left the mount as it was: the new one's turn. */
static void commit(struct supervision *u)
{
	u->upgrading = true;
	u->pid_before = u->worker;
	u->program_before = u->program;
	u->conf_before = u->next.conf_fd;
	u->program = u->c.program;
	u->next.conf_fd = u->c.conf_fd;
	u->next.about.away_ns = u->frozen_ns ? u->frozen_ns : f3_clock_mono_ns();
	u->since_ns = u->next.about.away_ns;
	u->patience_ns = f3_clock_mono_ns() + u->s->give_up_ns;
	u->worker = u->c.pid;
	u->from_worker = u->c.from;
	u->c.pid = 0;
	u->reason[0] = '\0';
	u->c.until_ns = f3_clock_mono_ns() + u->s->upgrade_wait_ns;
	u->c.killed = false;
	u->frozen_ns = 0;
	u->next.about.upgrades++;
	u->next.about.upgrade_failed[0] = '\0';
	tell_go(u);
	enter(u, STARTING);
}

static void upgraded(struct supervision *u)
{
	f3_log_info("upgraded: process %ld serves instead of %ld, after %.3f s", (long)u->worker,
		    (long)u->pid_before, (double)(f3_clock_mono_ns() - u->since_ns) / 1e9);
	u->upgrading = false;
	forget_fd(&u->program_before);
	forget_fd(&u->conf_before);
}

/* It died, or was killed, before it served. */
static void take_back(struct supervision *u, const char *death)
{
	struct f3_supervised *about = &u->next.about;

	snprintf(about->upgrade_failed, sizeof(about->upgrade_failed), "%s",
		 u->reason[0] ? u->reason : death);
	f3_log_error("the upgrade failed (%s): the program of before goes on",
		     about->upgrade_failed);
	close(u->program);
	forget_fd(&u->next.conf_fd);
	u->program = u->program_before;
	u->next.conf_fd = u->conf_before;
	u->upgrading = false;
	about->upgrades--;
	u->pause_ns = 0;
}

/* ---- Their ends ------------------------------------------------------------------------------- */

static void worker_ended(struct supervision *u, int status)
{
	uint64_t now_ns = f3_clock_mono_ns();
	bool served = u->state == SERVING;
	char death[96];

	close(u->from_worker);
	u->from_worker = -1;
	if (u->c.pid && u->c.ready && !u->stop && (u->frozen_ns || !WIFEXITED(status))) {
		commit(u);
		return;
	}
	u->worker = 0;
	if (u->c.pid)
		kill(u->c.pid, SIGKILL);
	if (u->frozen_ns && u->stop) {
		give_up_mount(u);
		enter(u, ENDING);
		return;
	}
	if (u->frozen_ns)
		snprintf(u->reason, sizeof(u->reason),
			 "it made way for an upgrade that came to nothing");
	else if (WIFEXITED(status) &&
		 (!u->served || u->stop || (!WEXITSTATUS(status) && !u->upgrading))) {
		u->exit_code = WEXITSTATUS(status);
		enter(u, ENDING);
		return;
	}
	u->next.about.last_status = status;
	u->next.about.last_death_real_ns = f3_clock_real_ns();
	u->next.about.restarts++;
	u->frozen_ns = 0;
	f3_death_text(status, death, sizeof(death));
	if (u->upgrading)
		take_back(u, death);
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
		give_up_mount(u);
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
	char text[F3_MESSAGE_MAX];
	int fd;
	ssize_t n = f3_message_recv(u->from_worker, text, sizeof(text), MSG_DONTWAIT, &fd);
	bool first;

	if (n <= 0)
		return false; /* its end is told by SIGCHLD */
	switch (text[0]) {
	case 'R':
		u->refusing = false;
		u->patience_ns = f3_clock_mono_ns() + u->s->give_up_ns;
		u->next.about.away_ns = u->served ? u->since_ns : 0;
		tell_go(u);
		break;
	case 'S':
		if (u->upgrading)
			upgraded(u);
		else if (u->served)
			f3_log_info("%s is served again after %.3f s", u->s->mountpoint,
				    (double)(f3_clock_mono_ns() - u->since_ns) / 1e9);
		first = !u->served || u->taken;
		u->taken = false;
		u->served = true;
		if (first)
			u->patience_ns = f3_clock_mono_ns() + u->s->give_up_ns;
		u->mount_stays = text[1] != 'u';
		u->reason[0] = u->last_reason[0] = '\0';
		u->since_ns = f3_clock_mono_ns();
		enter(u, SERVING);
		leave_with_systemd(u);
		if (first)
			f3_notify_ready(u->s->ready_fd);
		break;
	case 'E':
		snprintf(u->reason, sizeof(u->reason), "%.*s", F3_ERR_TEXT_MAX - 1, text + 1);
		break;
	case 'U':
		want_upgrade(u, text + 1);
		break;
	case 'Z':
		u->frozen_ns = strtoull(text + 1, NULL, 10);
		break;
	case 'C':
		if (fd < 0)
			break;
		forget_fd(&u->next.conf_fd);
		u->next.conf_fd = fd;
		fd = -1;
		break;
	default:
		break;
	}
	forget_fd(&fd);
	return true;
}

static void reap(struct supervision *u)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == u->c.pid)
			candidate_ended(u, status);
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

/* When whoever has to do something for it is killed. */
static uint64_t patience_with_upgrade(const struct supervision *u)
{
	return (u->c.pid || u->upgrading) && !u->c.killed ? u->c.until_ns : UINT64_MAX;
}

static void look_at_clock(struct supervision *u)
{
	uint64_t now_ns = f3_clock_mono_ns();
	int r;

	/* Their ends come as signals. */
	if (patience_with_upgrade(u) <= now_ns && !u->c.killed) {
		kill(u->c.pid && !u->c.ready ? u->c.pid : u->worker, SIGKILL);
		u->c.killed = true;
	}
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
	if (patience_with_upgrade(u) < until_ns)
		until_ns = patience_with_upgrade(u);
	if (until_ns == UINT64_MAX)
		return -1;
	return until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / F3_NS_PER_MS) + 1;
}

static void supervise(struct supervision *u)
{
	while (u->state != ENDING) {
		struct pollfd p[4] = {
			{ .fd = u->signals, .events = POLLIN },
			{ .fd = u->from_worker, .events = POLLIN },
			{ .fd = u->refusing ? u->next.fuse_fd : -1, .events = POLLIN },
			{ .fd = u->c.pid ? u->c.from : -1, .events = POLLIN },
		};

		if (poll(p, 4, wait_ms(u)) < 0 && errno != EINTR)
			break;
		if (p[1].revents & POLLIN)
			(void)hear(u);
		if (u->c.pid && p[3].revents & POLLIN)
			(void)hear_candidate(u);
		if (p[0].revents & POLLIN)
			on_signal(u);
		if (u->refusing && p[2].revents)
			refuse(u);
		if (u->state != ENDING)
			look_at_clock(u);
	}
	while (u->worker && waitpid(u->worker, NULL, 0) < 0 && errno == EINTR)
		;
	if (u->c.pid) {
		kill(u->c.pid, SIGKILL);
		while (waitpid(u->c.pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
}

/* ---- Start ------------------------------------------------------------------------------------ */

/* As mountinfo shows it. */
static void escaped_path(const char *path, char *out, size_t size)
{
	size_t n = 0;

	for (; *path && n + 5 < size; path++) {
		if (strchr(" \t\n\\", *path))
			n += (size_t)snprintf(out + n, size - n, "\\%03o", (unsigned char)*path);
		else
			out[n++] = *path;
	}
	out[n] = '\0';
}

/* Without touching it: nobody serves it now. */
static bool is_f3_mount(const char *mountpoint)
{
	char path[4 * PATH_MAX + 8], at[4 * PATH_MAX + 16];
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	bool found = false;
	size_t size = 0;

	escaped_path(mountpoint, path, sizeof(path));
	snprintf(at, sizeof(at), " %s ", path);
	while (file && !found && getline(&line, &size, file) > 0)
		found = strstr(line, at) && strstr(line, " - fuse.f3 ");
	free(line);
	if (file)
		fclose(file);
	return found;
}

/* What an earlier supervisor of this mount has left with systemd. */
static void take_stored(struct supervision *u)
{
	int fuse = f3_notify_stored(STORED_FUSE), keep = f3_notify_stored(STORED_KEEP);
	struct pollfd p = { .fd = fuse };
	struct f3_err err = F3_ERR_INIT;
	size_t size;

	if (fuse < 0 && keep < 0)
		return;
	u->stored = true;
	if (fuse < 0 || keep < 0 || poll(&p, 1, 0) < 0 || (p.revents & (POLLERR | POLLNVAL)))
		f3_err_set(&err, -ENODEV, "it is not connected any more");
	else if (!is_f3_mount(u->s->mountpoint))
		f3_err_set(&err, -ENOENT, "it is not at %s", u->s->mountpoint);
	else if (!f3_keep_adopt(keep, &u->next.keep, &err) && !f3_keep_init(u->next.keep, &size))
		f3_err_set(&err, -EINVAL, "it was never served");
	if (err.code) {
		f3_log_error("the mount of before is not taken over: %s", err.text);
		if (u->next.keep)
			f3_keep_free(u->next.keep);
		else
			close(keep);
		u->next.keep = NULL;
		close(fuse);
		take_from_systemd(u);
		return;
	}
	f3_log_info("the supervisor of before is gone; its mount at %s goes on", u->s->mountpoint);
	u->next.fuse_fd = fuse;
	u->next.takes_over = true;
	u->served = u->mount_stays = u->taken = true;
	u->since_ns = f3_clock_mono_ns();
	u->patience_ns = u->since_ns + u->s->give_up_ns;
}

static int keep_fixed(struct supervision *u)
{
	int fd = u->next.fixed_fd = memfd_create("f3-fixed", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, u->s->fixed, u->s->fixed_bytes) == (ssize_t)u->s->fixed_bytes ? 0 : -EIO;
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
		return f3_err_set(err, -errno, "the supervisor cannot wait for signals: %s",
				  strerror(errno));
	take_stored(u);
	if (u->next.fuse_fd < 0)
		u->next.fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (u->next.fuse_fd < 0)
		return f3_err_set(
			err, -errno,
			"/dev/fuse cannot be opened: %s: is FUSE there (modprobe fuse), and are we "
			"root?",
			strerror(errno));
	f3_buf_init(&escaped, 6 * PATH_MAX);
	f3_text_escape(&escaped, u->s->mountpoint, strlen(u->s->mountpoint), F3_ESCAPE_JSON);
	u->mountpoint_json = strndup((const char *)escaped.data, escaped.len);
	r = escaped.error || !u->mountpoint_json ? -ENOMEM : 0;
	if (!r && !u->next.keep)
		r = f3_keep_new(&u->next.keep);
	f3_buf_done(&escaped);
	if (!r)
		r = keep_fixed(u);
	u->program_path = realpath("/proc/self/exe", NULL);
	if (!r && !u->program_path)
		r = -errno;
	if (!r)
		r = start_worker(u);
	return r ? f3_err_set(err, r, "the daemon cannot be started: %s", strerror(-r)) : 0;
}

int f3_supervise(const struct f3_supervisor *s)
{
	struct supervision u = {
		.s = s,
		.next = {
			.fuse_fd = -1,
			.supervisor_fd = -1,
			.conf_fd = -1,
			.fixed_fd = -1,
			.lock_fd = s->lock_fd,
		},
		.program = THIS_PROGRAM,
		.program_before = -1,
		.conf_before = -1,
		.c = { .from = -1, .program = -1, .conf_fd = -1 },
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
	take_from_systemd(&u);
	f3_keep_free(u.next.keep);
	free(u.mountpoint_json);
	free(u.program_path);
	return u.exit_code;
}
