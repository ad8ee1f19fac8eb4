/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/thread.h"
#include "fs/fuse/keep.h"

/* ---- Messages -------------------------------------------------------------------------------- */

int f3_message_send(int to, const char *text, size_t len, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (char *)text, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	while (sendmsg(to, &msg, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

ssize_t f3_message_recv(int from, char *text, size_t size, int flags, int *ret_fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = text, .iov_len = size - 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	*ret_fd = -1;
	while ((n = recvmsg(from, &msg, flags | MSG_CMSG_CLOEXEC)) < 0)
		if (errno != EINTR)
			return -errno;
	text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return n;
}

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

static void tell(const struct f3_worker *w, const char *text, int fd)
{
	if (w->supervisor_fd >= 0)
		(void)f3_message_send(w->supervisor_fd, text, strlen(text), fd);
}

/* ---- Another program ------------------------------------------------------------------------- */

static void over_exec(int fd, bool stays)
{
	int flags = fd >= 0 ? fcntl(fd, F_GETFD) : -1;

	if (flags >= 0)
		fcntl(fd, F_SETFD, stays ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC);
}

void f3_worker_spec(struct f3_worker *w, char *out, size_t size)
{
	w->keep_fd = f3_keep_fd(w->keep);
	for (const int *fd = (int[]){ w->supervisor_fd, w->fuse_fd, w->lock_fd, w->keep_fd,
				      w->fixed_fd, w->conf_fd, -2 };
	     *fd != -2; fd++)
		over_exec(*fd, true);
	snprintf(out, size, "%u,%d,%d,%d,%d,%d,%d,%d,%d,%u", F3_WORKER_PROTOCOL, w->supervisor_fd,
		 w->fuse_fd, w->lock_fd, w->keep_fd, w->fixed_fd, w->conf_fd, w->takes_over,
		 w->candidate, w->format);
}

int f3_worker_from_spec(const char *spec, struct f3_worker *ret_w, struct f3_err *err)
{
	struct f3_worker w = { .supervisor_fd = -1 };
	unsigned protocol = 0, takes_over = 0, candidate = 0;
	int n = sscanf(spec, "%9u,%9d,%9d,%9d,%9d,%9d,%9d,%1u,%1u,%9u", &protocol, &w.supervisor_fd,
		       &w.fuse_fd, &w.lock_fd, &w.keep_fd, &w.fixed_fd, &w.conf_fd, &takes_over,
		       &candidate, &w.format);

	if (n < 2)
		return f3_err_set(err, -EINVAL, "--worker is for the supervisor's use only");
	if (protocol != F3_WORKER_PROTOCOL || n != 10) {
		f3_err_set(err, -EPROTO,
			   "this f3d (%s) speaks version %u of the supervisor's protocol, the "
			   "supervisor %u: it has to be stopped and started",
			   PACKAGE_VERSION, F3_WORKER_PROTOCOL, protocol);
		f3_worker_failed(&w, err->text);
		return -EPROTO;
	}
	w.takes_over = takes_over != 0;
	w.candidate = candidate != 0;
	w.about.supervisor = getppid();
	for (const int *fd = (int[]){ w.supervisor_fd, w.fuse_fd, w.lock_fd, w.keep_fd, w.fixed_fd,
				      w.conf_fd, -2 };
	     *fd != -2; fd++)
		over_exec(*fd, false);
	*ret_w = w;
	return 0;
}

/* ---- Its life -------------------------------------------------------------------------------- */

/* G: restarts, upgrades, status and time of the last death, away since, why an upgrade failed. */
static void take_about(struct f3_supervised *about, const char *text)
{
	int at = 0;

	(void)sscanf(text, "G%u %u %d %" SCNd64 " %" SCNu64 " %n", &about->restarts,
		     &about->upgrades, &about->last_status, &about->last_death_real_ns,
		     &about->away_ns, &at);
	if (at)
		snprintf(about->upgrade_failed, sizeof(about->upgrade_failed), "%.*s",
			 F3_ERR_TEXT_MAX - 1, text + at);
}

void f3_worker_ready(struct f3_worker *w, int conf_fd)
{
	char text[F3_MESSAGE_MAX];
	int fd;

	tell(w, "R", conf_fd);
	/* A supervisor that is gone cannot object. */
	if (w->supervisor_fd < 0 ||
	    f3_message_recv(w->supervisor_fd, text, sizeof(text), 0, &fd) <= 0)
		return;
	if (fd >= 0)
		close(fd);
	take_about(&w->about, text);
}

void f3_worker_serving(struct f3_worker *w, bool uring)
{
	if (w->about.away_ns)
		w->about.pause_ns = f3_clock_mono_ns() - w->about.away_ns;
	tell(w, uring ? "Su" : "S", -1);
}

void f3_worker_failed(struct f3_worker *w, const char *reason)
{
	char text[F3_ERR_TEXT_MAX + 1];

	snprintf(text, sizeof(text), "E%s", reason);
	tell(w, text, -1);
}

void f3_worker_frozen(struct f3_worker *w, uint64_t since_ns)
{
	char text[32];

	snprintf(text, sizeof(text), "Z%" PRIu64, since_ns);
	tell(w, text, -1);
}

void f3_worker_reloaded(struct f3_worker *w, int conf_fd)
{
	tell(w, "C", conf_fd);
}

/* ---- What the supervisor says ---------------------------------------------------------------- */

static void refused(struct f3_worker *w, const char *why)
{
	pthread_mutex_lock(&w->lock);
	if (w->asking) {
		snprintf(w->refused, sizeof(w->refused), "%.*s", F3_ERR_TEXT_MAX - 1,
			 *why ? why : "it was refused");
		pthread_cond_broadcast(&w->answered);
	}
	pthread_mutex_unlock(&w->lock);
}

static void *listen_to_supervisor(void *arg)
{
	struct f3_worker *w = arg;
	char text[F3_MESSAGE_MAX];
	ssize_t n;
	int fd;

	while ((n = f3_message_recv(w->supervisor_fd, text, sizeof(text), 0, &fd)) > 0) {
		if (fd >= 0)
			close(fd);
		if (text[0] == 'N')
			refused(w, text + 1);
		else if (text[0] == 'F')
			w->freeze(w->arg);
	}
	if (w->deaf) {
		refused(w, "the daemon stops");
		return NULL;
	}
	w->about.supervisor = 0;
	refused(w, "there is no supervisor any more: it was killed");
	f3_log_error("the supervisor is gone: this process goes on, but nobody starts another one "
		     "when it dies");
	return NULL;
}

int f3_worker_listen(struct f3_worker *w)
{
	int r;

	if (w->supervisor_fd < 0)
		return 0;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->answered, NULL);
	r = f3_thread_start(&w->thread, "supervised", listen_to_supervisor, w);
	w->listening = !r;
	return r;
}

void f3_worker_deaf(struct f3_worker *w)
{
	if (!w->listening)
		return;
	w->deaf = true;
	shutdown(w->supervisor_fd, SHUT_RD);
	pthread_join(w->thread, NULL);
	w->listening = false;
}

int f3_worker_upgrade(struct f3_worker *w, const char *path, unsigned format, struct f3_err *err)
{
	char text[F3_MESSAGE_MAX];
	int r;

	if (!w->about.supervisor)
		return f3_err_set(err, -ESRCH, "there is no supervisor any more: it was killed");
	if (snprintf(text, sizeof(text), "U%u %s", format, path) >= (int)sizeof(text))
		return f3_err_set(err, -ENAMETOOLONG, "%.60s...: the program's path is too long",
				  path);
	pthread_mutex_lock(&w->lock);
	if (w->asking) {
		pthread_mutex_unlock(&w->lock);
		return f3_err_set(err, -EBUSY, "an upgrade is under way already");
	}
	w->asking = true;
	w->refused[0] = '\0';
	tell(w, text, -1);
	while (!w->refused[0])
		pthread_cond_wait(&w->answered, &w->lock);
	w->asking = false;
	r = f3_err_set(err, -ECANCELED, "%s", w->refused);
	pthread_mutex_unlock(&w->lock);
	return r;
}
