/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/door.h"
#include "daemon/verb.h"
#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/thread.h"
#include "fs/core/node.h"

#define LOCK "control.lock"
/* What one takes as a rule: stack, line, answer. All of them fit into the least share there is. */
#define CONNECTION_BYTES (32u << 10)
#define SEND_BYTES (32u << 10) /* items are sent so many bytes at a time */
#define PROGRESS_NS (F3_NS_PER_SEC / 5)

enum { SLOT_FREE, SLOT_RUNNING, SLOT_ENDED };

struct f3_connection {
	struct f3_control *c;
	int state; /* control's lock */
	int fd; /* the same; -1 */
	pthread_t thread;
	struct f3_buf out; /* lines not sent yet */
	bool gone; /* nobody reads them */
	bool root;
};

struct f3_control {
	struct f3_core *core;
	struct f3_fuse *fuse;
	uint64_t started_mono_ns;
	struct f3_worker *worker;
	struct f3_views *views;
	int lock_fd, event_fd;
	struct f3_door door;
	bool accepting;
	_Atomic bool stopping;
	pthread_t accepter;
	pthread_mutex_t lock;
	struct f3_connection slots[F3_CONTROL_CONNECTIONS];
};

/* ---- Lines out ------------------------------------------------------------------------------- */

static void flush(struct f3_connection *conn)
{
	size_t at = 0;

	while (at < conn->out.len && !conn->gone) {
		ssize_t n = send(conn->fd, conn->out.data + at, conn->out.len - at, MSG_NOSIGNAL);

		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR)
			conn->gone = true;
	}
	f3_buf_reset(&conn->out);
}

static int append(const char *bytes, size_t len, void *out)
{
	f3_buf_put(out, bytes, len);
	return 0;
}

static void put_line(struct f3_connection *conn, const json_t *line)
{
	size_t before = conn->out.len;

	if (json_dump_callback(line, append, &conn->out, JSON_COMPACT) || conn->out.error) {
		conn->out.len = before;
		conn->out.error = 0;
		f3_buf_printf(&conn->out, "{\"ok\":false,\"error\":\"ENOMEM\",\"message\":\"the "
					  "answer is too large\"}");
	}
	f3_buf_put_u8(&conn->out, '\n');
	if (conn->out.len >= SEND_BYTES)
		flush(conn);
}

static void set_id(json_t *line, const json_t *request)
{
	json_t *id = json_object_get(request, "id");

	if (id)
		json_object_set(line, "id", id);
}

int f3_verb_send(struct f3_verb *v, const char *key, json_t *value)
{
	json_t *line = json_object();

	if (!line || json_object_set_new(line, key, value)) {
		json_decref(line);
		return f3_err_set(&v->err, -ENOMEM, "out of memory");
	}
	set_id(line, v->request);
	put_line(v->conn, line);
	json_decref(line);
	if (!strcmp(key, "progress"))
		flush(v->conn);
	return f3_verb_stopped(v) ? -EPIPE : 0;
}

bool f3_verb_progress_due(struct f3_verb *v)
{
	uint64_t now_ns = f3_clock_mono_ns();

	if (v->progress_mono_ns && now_ns - v->progress_mono_ns < PROGRESS_NS)
		return false;
	v->progress_mono_ns = now_ns;
	return true;
}

bool f3_verb_stopped(struct f3_verb *v)
{
	struct f3_connection *conn = v->conn;
	struct pollfd p = { .fd = conn->fd };

	/* Who closed only its sending side still listens. */
	if (!conn->gone && poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)))
		conn->gone = true;
	return conn->gone || conn->c->stopping;
}

/* ---- Lines in -------------------------------------------------------------------------------- */

static f3_verb_fn *find_verb(const char *op)
{
	static const struct f3_verb_entry *const groups[] = {
		f3_verbs_status,  f3_verbs_file,  f3_verbs_work,   f3_verbs_volume,
		f3_verbs_view,    f3_verbs_check, f3_verbs_change, f3_verbs_act,
		f3_verbs_lineage, f3_verbs_trace, f3_verbs_fault
	};

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (const struct f3_verb_entry *e = groups[i]; e->op; e++)
			if (!strcmp(e->op, op))
				return e->fn;
	return NULL;
}

static void answer(struct f3_connection *conn, const json_t *request, json_t *line, int r,
		   const struct f3_err *err)
{
	const char *reason = err && err->text[0] ? err->text : strerror(-r);

	set_id(line, request);
	json_object_set_new(line, "ok", json_boolean(!r));
	if (r) {
		json_object_set_new(line, "error", json_string(f3_errno_name(r)));
		f3_wire_set_name(line, "message", reason, strlen(reason));
	}
	put_line(conn, line);
	flush(conn);
}

static void refuse(struct f3_connection *conn, int r, const char *message)
{
	json_t *line = json_object();
	struct f3_err err;

	f3_err_set(&err, r, "%s", message);
	answer(conn, NULL, line, r, &err);
	json_decref(line);
}

static void handle(struct f3_connection *conn, const char *text, size_t len)
{
	json_error_t where;
	json_t *request = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	struct f3_verb v = { .core = conn->c->core,
			     .fuse = conn->c->fuse,
			     .started_mono_ns = conn->c->started_mono_ns,
			     .worker = conn->c->worker,
			     .views = conn->c->views,
			     .request = request,
			     .root = conn->root,
			     .answer = json_object(),
			     .err = F3_ERR_INIT,
			     .conn = conn };
	const char *op = json_string_value(json_object_get(request, "op"));
	f3_verb_fn *fn = op ? find_verb(op) : NULL;
	int r;

	if (!request)
		r = f3_err_set(&v.err, -EBADMSG, "this line is not JSON: %s", where.text);
	else if (!op)
		r = f3_err_set(&v.err, -EBADMSG, "a request is an object with \"op\"");
	else if (!fn)
		r = f3_err_set(&v.err, -EOPNOTSUPP, "there is no verb \"%s\"", op);
	else
		r = fn(&v);
	answer(conn, request, v.answer, r, &v.err);
	json_decref(v.answer);
	json_decref(request);
}

static bool blank(const struct f3_buf *line)
{
	for (size_t i = 0; i < line->len; i++)
		if (!memchr(" \t\r", line->data[i], 3))
			return false;
	return true;
}

/* Bytes as they came; the line begun is kept. */
static void take(struct f3_connection *conn, struct f3_buf *line, bool *skip, const char *bytes,
		 size_t len)
{
	while (len && !conn->gone && !conn->c->stopping) {
		const char *end = memchr(bytes, '\n', len);
		size_t n = end ? (size_t)(end - bytes) : len;

		if (!*skip)
			f3_buf_put(line, bytes, n);
		if (line->error) {
			refuse(conn, -EBADMSG, "a line has at most 65536 bytes");
			f3_buf_reset(line);
			*skip = true;
		}
		if (end) {
			if (!*skip && !blank(line))
				handle(conn, (const char *)line->data, line->len);
			*skip = false;
			f3_buf_reset(line);
			n++;
		}
		bytes += n;
		len -= n;
	}
}

static void serve_connection(struct f3_connection *conn)
{
	struct f3_buf line;
	char bytes[4096];
	bool skip = false;

	f3_buf_init(&line, F3_CONTROL_LINE_MAX);
	f3_buf_init(&conn->out, F3_WIRE_ANSWER_MAX);
	while (!conn->gone && !conn->c->stopping) {
		ssize_t n = recv(conn->fd, bytes, sizeof(bytes), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		take(conn, &line, &skip, bytes, (size_t)n);
		if (!line.len) {
			/* An idle connection holds no memory. */
			f3_buf_done(&line);
			f3_buf_init(&line, F3_CONTROL_LINE_MAX);
			f3_buf_done(&conn->out);
			f3_buf_init(&conn->out, F3_WIRE_ANSWER_MAX);
		}
	}
	/* The last line of who closed its sending side needs no newline. */
	if (!skip && !blank(&line) && !conn->c->stopping)
		handle(conn, (const char *)line.data, line.len);
	f3_buf_done(&line);
	f3_buf_done(&conn->out);
}

static void *connection(void *arg)
{
	struct f3_connection *conn = arg;
	struct f3_control *c = conn->c;

	serve_connection(conn);
	f3_budget_give(c->core->budget, F3_ACCT_CONTROL, CONNECTION_BYTES);
	pthread_mutex_lock(&c->lock);
	close(conn->fd);
	conn->fd = -1;
	conn->state = SLOT_ENDED;
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ---- Who comes ------------------------------------------------------------------------------- */

static const struct f3_door_spec door_spec = {
	.name = "control.sock",
	.uid_key = "control-uid",
	.gid_key = "control-gid",
	.what = "control",
};

/* A slot for it, whose last thread is gone. */
static struct f3_connection *free_slot(struct f3_control *c)
{
	struct f3_connection *found = NULL;
	bool join = false;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < F3_CONTROL_CONNECTIONS; i++) {
		struct f3_connection *slot = &c->slots[i];

		if (slot->state == SLOT_RUNNING)
			continue;
		join = slot->state == SLOT_ENDED;
		slot->state = SLOT_FREE;
		found = slot;
		break;
	}
	pthread_mutex_unlock(&c->lock);
	if (join)
		pthread_join(found->thread, NULL);
	return found;
}

static void welcome(struct f3_control *c, int fd, bool root)
{
	struct f3_connection *conn = free_slot(c);

	if (!conn) {
		f3_door_turn_away(fd, "EBUSY", "too many connections");
		return;
	}
	if (f3_budget_try_take(c->core->budget, F3_ACCT_CONTROL, CONNECTION_BYTES)) {
		f3_door_turn_away(fd, "ENOMEM", "the daemon's memory-limit is reached");
		return;
	}
	conn->c = c;
	conn->fd = fd;
	conn->gone = false;
	conn->root = root;
	pthread_mutex_lock(&c->lock);
	conn->state = SLOT_RUNNING;
	pthread_mutex_unlock(&c->lock);
	if (f3_thread_start(&conn->thread, "control", connection, conn)) {
		pthread_mutex_lock(&c->lock);
		conn->state = SLOT_FREE;
		conn->fd = -1;
		pthread_mutex_unlock(&c->lock);
		f3_budget_give(c->core->budget, F3_ACCT_CONTROL, CONNECTION_BYTES);
		f3_door_turn_away(fd, "EAGAIN", "no more threads");
	}
}

static void *accept_all(void *arg)
{
	struct f3_control *c = arg;
	struct pollfd fds[2] = { { .fd = c->door.listen_fd, .events = POLLIN },
				 { .fd = c->event_fd, .events = POLLIN } };

	while (!c->stopping) {
		bool root;
		int fd;

		if (poll(fds, 2, -1) < 0 || !(fds[0].revents & POLLIN))
			continue;
		fd = f3_door_accept(&c->door, 0, &root);
		if (fd >= 0)
			welcome(c, fd, root);
	}
	return NULL;
}

/* ---- Start and stop -------------------------------------------------------------------------- */

static int open_run_dir(const char *dir, int *ret_fd, struct f3_err *err)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), r = fd < 0 ? -errno : 0;

	if (r == -ENOENT) {
		r = f3_node_make_dirs(dir);
		/* Others have to get to the socket, if they may use it. */
		if (!r && chmod(dir, 0755))
			r = -errno;
		if (!r) {
			fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
			r = fd < 0 ? -errno : 0;
		}
	}
	if (r)
		return f3_err_set(err, r, "run directory %s: %s", dir, strerror(-r));
	*ret_fd = fd;
	return 0;
}

static int take_run_dir(struct f3_control *c, const char *dir, struct f3_err *err)
{
	int dir_fd = -1, r = open_run_dir(dir, &dir_fd, err);

	if (r)
		return r;
	c->lock_fd = openat(dir_fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = c->lock_fd < 0 ? -errno : 0;
	close(dir_fd);
	if (r)
		return f3_err_set(err, r, "run directory %s is not writable: %s", dir,
				  strerror(-r));
	if (flock(c->lock_fd, LOCK_EX | LOCK_NB))
		return f3_err_set(
			err, errno == EWOULDBLOCK ? -EBUSY : -errno,
			"run directory %s is in use by another f3d: give this one a run-dir of "
			"its own",
			dir);
	return 0;
}

int f3_control_start(struct f3_core *core, struct f3_fuse *fuse, struct f3_worker *worker,
		     struct f3_control **ret_c, struct f3_err *err)
{
	const char *dir = f3_conf_str(core->conf, "f3", NULL, "run-dir");
	struct f3_control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return f3_err_set(err, -ENOMEM, "out of memory");
	c->core = core;
	c->fuse = fuse;
	c->worker = worker;
	c->lock_fd = -1;
	f3_door_init(&c->door);
	pthread_mutex_init(&c->lock, NULL);
	c->event_fd = eventfd(0, EFD_CLOEXEC);
	r = c->event_fd < 0 ?
		    f3_err_set(
			    err, -EMFILE,
			    "the control socket has no descriptors: raise the limit of open files "
			    "(LimitNOFILE, ulimit -n)") :
		    0;
	if (!r)
		r = take_run_dir(c, dir, err);
	if (!r)
		r = f3_door_open(&c->door, &door_spec, core->conf, dir, err);
	if (r) {
		f3_control_stop(c);
		return r;
	}
	*ret_c = c;
	return 0;
}

int f3_control_serve(struct f3_control *c, struct f3_views *views, struct f3_err *err)
{
	int r;

	c->views = views;
	c->started_mono_ns = f3_clock_mono_ns();
	r = f3_door_publish(&c->door, F3_CONTROL_CONNECTIONS, err);
	if (r)
		return r;
	r = f3_thread_start(&c->accepter, "accept", accept_all, c);
	if (r)
		return f3_err_set(err, r, "threads cannot be started: %s", strerror(-r));
	c->accepting = true;
	return 0;
}

void f3_control_stop(struct f3_control *c)
{
	bool begun[F3_CONTROL_CONNECTIONS];
	uint64_t one = 1;

	if (!c)
		return;
	c->stopping = true;
	if (c->accepting) {
		while (write(c->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(c->accepter, NULL);
	}
	f3_door_close(&c->door);
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < F3_CONTROL_CONNECTIONS; i++) {
		begun[i] = c->slots[i].state != SLOT_FREE;
		if (c->slots[i].state == SLOT_RUNNING)
			shutdown(c->slots[i].fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&c->lock);
	/* Nobody makes new ones any more. */
	for (size_t i = 0; i < F3_CONTROL_CONNECTIONS; i++)
		if (begun[i])
			pthread_join(c->slots[i].thread, NULL);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	if (c->event_fd >= 0)
		close(c->event_fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
