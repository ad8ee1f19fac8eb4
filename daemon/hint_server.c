/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/hint_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/door.h"
#include "daemon/hint_ops.h"
#include "daemon/wire.h"
#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/base/thread.h"
#include "hints/wire.h"

#define EVENTS_MAX 64
#define ACCEPTED_MAX 64 /* before others have their turn */
#define OUT_FULL F3_HINT_LINE_MAX /* bytes not read by the peer: no more requests are taken */
#define OUT_MAX (OUT_FULL + (F3_HINT_JOBS_EACH + 1) * (F3_HINT_LINE_MAX + 1))
#define RETRY_MS 50
#define JOB_NS (10 * F3_NS_PER_SEC)
/* What a connection takes that holds nothing. */
#define CONNECTION_BYTES sizeof(struct connection)

/* Only the socket's thread touches one. */
struct connection {
	TAILQ_ENTRY(connection) of_server;
	struct f3_hint_server *s;
	int fd; /* -1: gone, kept for its jobs */
	uint32_t events; /* what epoll looks for */
	unsigned jobs;
	size_t held; /* of the server's */
	bool ended; /* it sends no more */
	struct f3_hint_lines in;
	struct f3_buf out;
	size_t out_at; /* so much of it was sent */
};

/* A request that may wait for a store. */
struct job {
	struct f3_work work;
	TAILQ_ENTRY(job) of_list; /* waiting, then done */
	struct connection *conn;
	const struct f3_hint_op *op;
	int result;
	struct f3_buf answer;
	size_t len;
	char line[];
};

TAILQ_HEAD(connections, connection);
TAILQ_HEAD(jobs, job);

struct f3_hint_server {
	struct f3_core *core;
	struct f3_prefetch *prefetch;
	struct f3_views *views;
	uint64_t started_mono_ns;
	struct f3_door door;
	int epoll_fd, event_fd;
	pthread_t thread;
	bool serving, in_budget;
	_Atomic bool stopping;
	/* the socket's thread: */
	struct connections connections;
	struct connections gone; /* to be freed when no event can name them any more */
	unsigned n_connections;
	size_t held_bytes;
	bool told; /* that it is too much; until there is room again */
	struct jobs waiting;
	unsigned running, running_max;
	char bytes[F3_HINT_READ_MAX];
	/* */
	pthread_mutex_t lock;
	struct jobs done; /* lock */
};

static _Atomic unsigned connected;

static double connections_now(void *arg)
{
	(void)arg;
	return connected;
}

static struct f3_gauge gauge = { .name = "f3_hint_connections",
				 .labels = "",
				 .help = "Connections to the hint socket.",
				 .read = connections_now };

/* ---- What is held ---------------------------------------------------------------------------- */

static size_t heap_of(const struct f3_buf *buf)
{
	return buf->data == buf->inline_data ? 0 : buf->cap;
}

/* False: it holds more than before, and all together too much. */
static bool account(struct connection *conn)
{
	size_t now = CONNECTION_BYTES + f3_hint_lines_heap(&conn->in) + heap_of(&conn->out);
	bool more = now > conn->held;

	conn->s->held_bytes += now - conn->held;
	conn->held = now;
	if (conn->s->held_bytes < F3_HINT_HELD_MAX / 2)
		conn->s->told = false;
	return !more || conn->s->held_bytes <= F3_HINT_HELD_MAX;
}

static void free_connection(struct connection *conn)
{
	conn->s->held_bytes -= conn->held;
	f3_hint_lines_done(&conn->in);
	f3_buf_done(&conn->out);
	free(conn);
}

/* Its number is closed, so that no new event names it; of those already taken some may. */
static void drop(struct connection *conn)
{
	struct f3_hint_server *s = conn->s;

	if (conn->fd < 0)
		return;
	close(conn->fd);
	conn->fd = -1;
	s->n_connections--;
	connected--;
	TAILQ_REMOVE(&s->connections, conn, of_server);
	TAILQ_INSERT_TAIL(&s->gone, conn, of_server);
}

static void free_gone(struct f3_hint_server *s)
{
	struct connection *conn, *next;

	for (conn = TAILQ_FIRST(&s->gone); conn; conn = next) {
		next = TAILQ_NEXT(conn, of_server);
		if (conn->jobs)
			continue;
		TAILQ_REMOVE(&s->gone, conn, of_server);
		free_connection(conn);
	}
}

/* ---- Lines out ------------------------------------------------------------------------------- */

static size_t unsent(const struct connection *conn)
{
	return conn->out.len - conn->out_at;
}

static void send_out(struct connection *conn)
{
	while (conn->fd >= 0 && unsent(conn)) {
		ssize_t n = send(conn->fd, conn->out.data + conn->out_at, unsent(conn),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			conn->out_at += (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			memmove(conn->out.data, conn->out.data + conn->out_at, unsent(conn));
			conn->out.len -= conn->out_at;
			conn->out_at = 0;
			return;
		} else if (errno != EINTR) {
			drop(conn);
			return;
		}
	}
	/* Who has nothing to send holds no memory for it. */
	f3_buf_done(&conn->out);
	f3_buf_init(&conn->out, OUT_MAX);
	conn->out_at = 0;
}

/* Makes the last members of an answer, and a line of it. */
static void finish_answer(json_t *answer, const json_t *request, int r, const struct f3_err *err,
			  struct f3_buf *out)
{
	struct f3_err large = F3_ERR_INIT;
	const char *reason = err->text[0] ? err->text : strerror(-r);
	json_t *id = json_object_get(request, "id");

	if (r)
		json_object_clear(answer);
	json_object_set_new(answer, "ok", json_boolean(!r));
	if (id)
		json_object_set(answer, "id", id);
	if (r) {
		json_object_set_new(answer, "error", json_string(f3_errno_name(r)));
		f3_wire_set_name(answer, "message", reason, strlen(reason));
	}
	r = f3_hint_dump(answer, out);
	if (r == -EMSGSIZE) {
		f3_err_set(&large, r, "the answer is too long for a line: ask for less");
		finish_answer(answer, request, r, &large, out);
	} else if (r) {
		f3_buf_printf(out, "{\"ok\":false,\"error\":\"ENOMEM\",\"message\":\"out of "
				   "memory\"}\n");
	}
}

static void refuse(struct connection *conn, const json_t *request, int r, const char *why)
{
	json_t *answer = json_object();
	struct f3_err err = F3_ERR_INIT;

	f3_err_set(&err, r, "%s", why);
	finish_answer(answer, request, r, &err, &conn->out);
	json_decref(answer);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static int run_line(struct f3_hint_server *s, const json_t *request, bool may_block,
		    unsigned connections, const struct f3_hint_op **ret_op, struct f3_buf *out)
{
	struct f3_hint h = { .core = s->core,
			     .prefetch = s->prefetch,
			     .views = s->views,
			     .started_mono_ns = s->started_mono_ns,
			     .connections = connections,
			     .stopping = &s->stopping,
			     .request = request,
			     .answer = json_object(),
			     .err = F3_ERR_INIT,
			     .may_block = may_block };
	int r;

	if (may_block)
		h.deadline_mono_ns = f3_clock_mono_ns() + JOB_NS;
	r = f3_hint_ops_run(&h, ret_op);
	if (r != -F3_EWAIT)
		finish_answer(h.answer, request, r, &h.err, out);
	json_decref(h.answer);
	return r;
}

static void wake(struct f3_hint_server *s)
{
	uint64_t one = 1;

	while (write(s->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void run_job(struct f3_work *work)
{
	struct job *job = (struct job *)work;
	struct f3_hint_server *s = job->conn->s;
	char why[F3_HINT_WHY_MAX];
	json_t *request;

	/* It was parsed before: what fails now is memory. */
	job->result = f3_hint_parse(job->line, job->len, &request, why);
	if (!job->result) {
		job->result = run_line(s, request, true, 0, &job->op, &job->answer);
		json_decref(request);
	}
	/* Under the lock: who stops frees all of it when the last one is in the list. */
	pthread_mutex_lock(&s->lock);
	TAILQ_INSERT_TAIL(&s->done, job, of_list);
	wake(s);
	pthread_mutex_unlock(&s->lock);
}

static void start_jobs(struct f3_hint_server *s)
{
	struct job *job;

	while (s->running < s->running_max && (job = TAILQ_FIRST(&s->waiting)) != NULL) {
		TAILQ_REMOVE(&s->waiting, job, of_list);
		if (f3_workq_push(s->core->blocking, &job->work)) {
			TAILQ_INSERT_HEAD(&s->waiting, job, of_list);
			return;
		}
		s->running++;
	}
}

static size_t job_bytes(const struct job *job)
{
	return sizeof(*job) + job->len;
}

/* 0, or -EAGAIN: too many wait. */
static int add_job(struct connection *conn, const char *line, size_t len)
{
	struct f3_hint_server *s = conn->s;
	struct job *job = NULL;

	if (s->held_bytes + sizeof(*job) + len <= F3_HINT_HELD_MAX)
		job = malloc(sizeof(*job) + len);
	if (!job)
		return -EAGAIN;
	memset(job, 0, sizeof(*job));
	job->work.fn = run_job;
	job->conn = conn;
	job->len = len;
	memcpy(job->line, line, len);
	f3_buf_init(&job->answer, F3_HINT_LINE_MAX + 1);
	s->held_bytes += job_bytes(job);
	conn->jobs++;
	TAILQ_INSERT_TAIL(&s->waiting, job, of_list);
	start_jobs(s);
	return 0;
}

/* ---- Lines in -------------------------------------------------------------------------------- */

static void handle(struct connection *conn, const char *line, size_t len)
{
	const struct f3_hint_op *op = NULL;
	char why[F3_HINT_WHY_MAX];
	json_t *request = NULL;
	int r;

	if (f3_hint_blank(line, len))
		return;
	r = f3_hint_parse(line, len, &request, why);
	if (r) {
		refuse(conn, NULL, r, why);
	} else {
		r = run_line(conn->s, request, false, conn->s->n_connections, &op, &conn->out);
		if (r == -F3_EWAIT) {
			r = add_job(conn, line, len);
			if (!r) {
				json_decref(request);
				return;
			}
			refuse(conn, request, r, "too many hints wait already: try again later");
		}
	}
	f3_hint_ops_count(op, r);
	json_decref(request);
}

/* May it have more requests carried out? */
static bool takes(const struct connection *conn)
{
	return conn->fd >= 0 && unsent(conn) < OUT_FULL && conn->jobs < F3_HINT_JOBS_EACH;
}

/* Lines that are here. True: all were taken, and more bytes may come. */
static bool take_lines(struct connection *conn)
{
	const char *line;
	size_t len;
	int r = 1;

	while (takes(conn) && (r = f3_hint_lines_next(&conn->in, &line, &len)) != 0) {
		if (r > 0) {
			handle(conn, line, len);
		} else {
			refuse(conn, NULL, r, "a line has at most 65536 bytes");
			f3_hint_ops_count(NULL, r);
		}
		/* before it becomes much */
		if (unsent(conn) >= OUT_FULL / 2)
			send_out(conn);
	}
	/* The last line of who closed its sending side needs no newline. */
	if (!r && conn->ended && takes(conn) && f3_hint_lines_last(&conn->in, &line, &len) == 1)
		handle(conn, line, len);
	return !r;
}

static void watch(struct connection *conn, bool wants)
{
	uint32_t events = (wants && !conn->ended ? EPOLLIN : 0u) | (unsent(conn) ? EPOLLOUT : 0u);
	struct epoll_event event = { .events = events, .data.ptr = conn };

	if (events == conn->events)
		return;
	conn->events = events;
	if (epoll_ctl(conn->s->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event))
		drop(conn);
}

/* Carries out what is here, sends what is ready, and says what is waited for next. */
static void go_on(struct connection *conn)
{
	bool wants;

	if (conn->fd < 0)
		return;
	do {
		wants = take_lines(conn);
		send_out(conn);
	} while (!wants && takes(conn));
	if (conn->fd < 0)
		return;
	if (conn->ended && wants && !unsent(conn) && !conn->jobs) {
		drop(conn);
		return;
	}
	if (conn->out.error) {
		drop(conn);
		return;
	}
	if (!account(conn)) {
		if (!conn->s->told)
			f3_log_warn("hint connections are closed: too much is held for those that "
				    "do not read answers or end lines");
		conn->s->told = true;
		drop(conn);
		return;
	}
	watch(conn, wants);
}

static void receive(struct connection *conn)
{
	struct f3_hint_server *s = conn->s;
	ssize_t n = recv(conn->fd, s->bytes, sizeof(s->bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n < 0 || (n > 0 && f3_hint_lines_put(&conn->in, s->bytes, (size_t)n))) {
		drop(conn);
		return;
	}
	conn->ended = n == 0;
	go_on(conn);
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void welcome(struct f3_hint_server *s, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct connection *conn = NULL;

	if (s->n_connections == F3_HINT_CONNECTIONS) {
		f3_door_turn_away(fd, "EBUSY", "too many connections");
		return;
	}
	if (s->held_bytes + CONNECTION_BYTES <= F3_HINT_HELD_MAX)
		conn = calloc(1, sizeof(*conn));
	if (!conn) {
		f3_door_turn_away(fd, "ENOMEM", "too much is held for others");
		return;
	}
	conn->s = s;
	conn->fd = fd;
	conn->events = EPOLLIN;
	f3_hint_lines_init(&conn->in);
	f3_buf_init(&conn->out, OUT_MAX);
	event.data.ptr = conn;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		f3_door_turn_away(fd, "ENOMEM", "the kernel has no memory for another connection");
		free_connection(conn);
		return;
	}
	TAILQ_INSERT_TAIL(&s->connections, conn, of_server);
	s->n_connections++;
	connected++;
	(void)account(conn);
}

static void accept_some(struct f3_hint_server *s)
{
	for (int i = 0; i < ACCEPTED_MAX; i++) {
		bool root;
		int fd = f3_door_accept(&s->door, SOCK_NONBLOCK, &root);

		if (fd < 0)
			return;
		welcome(s, fd);
	}
}

static void end_job(struct job *job)
{
	struct connection *conn = job->conn;
	struct f3_hint_server *s = conn->s;

	s->running--;
	s->held_bytes -= job_bytes(job);
	conn->jobs--;
	f3_hint_ops_count(job->op, job->result);
	if (conn->fd >= 0) {
		if (job->answer.len)
			f3_buf_put(&conn->out, job->answer.data, job->answer.len);
		else
			refuse(conn, NULL, -ENOMEM, "out of memory");
	}
	f3_buf_done(&job->answer);
	free(job);
	go_on(conn);
}

static void take_done(struct f3_hint_server *s)
{
	struct jobs done = TAILQ_HEAD_INITIALIZER(done);
	uint64_t n;
	struct job *job;

	(void)!read(s->event_fd, &n, sizeof(n));
	pthread_mutex_lock(&s->lock);
	TAILQ_CONCAT(&done, &s->done, of_list);
	pthread_mutex_unlock(&s->lock);
	while ((job = TAILQ_FIRST(&done)) != NULL) {
		TAILQ_REMOVE(&done, job, of_list);
		end_job(job);
	}
}

static void event(struct f3_hint_server *s, const struct epoll_event *e)
{
	struct connection *conn = e->data.ptr;

	if (e->data.ptr == &s->door) {
		accept_some(s);
	} else if (e->data.ptr == s) {
		take_done(s);
	} else if (conn->fd < 0) {
		return;
	} else if (e->events & (EPOLLHUP | EPOLLERR) && !(e->events & EPOLLIN)) {
		/* Both directions are closed: nobody reads answers. */
		drop(conn);
	} else if (e->events & EPOLLIN) {
		receive(conn);
	} else {
		send_out(conn);
		go_on(conn);
	}
}

static void *serve(void *arg)
{
	struct f3_hint_server *s = arg;
	struct epoll_event events[EVENTS_MAX];

	while (!s->stopping) {
		/* Nothing would tell that a queue full of others' work has room again. */
		bool refused = !TAILQ_EMPTY(&s->waiting) && !s->running;
		int n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, refused ? RETRY_MS : -1);

		for (int i = 0; i < n; i++)
			event(s, &events[i]);
		free_gone(s);
		start_jobs(s);
	}
	/* Jobs that run notice that it stops. */
	while (s->running) {
		take_done(s);
		if (s->running)
			(void)epoll_wait(s->epoll_fd, events, 1, -1);
	}
	return NULL;
}

/* ---- Start and stop -------------------------------------------------------------------------- */

static const struct f3_door_spec door_spec = {
	.name = "hint.sock",
	.uid_key = "hint-uid",
	.gid_key = "hint-gid",
	.what = "hint",
};

static int add_fd(struct f3_hint_server *s, int fd, void *what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int f3_hint_server_start(struct f3_core *core, struct f3_views *views,
			 struct f3_hint_server **ret_s, struct f3_err *err)
{
	unsigned threads = (unsigned)f3_conf_u64(core->conf, "f3", NULL, "io-threads");
	struct f3_hint_server *s = calloc(1, sizeof(*s));
	int r = s ? f3_prefetch_new(core, &s->prefetch) : -ENOMEM;

	if (r) {
		free(s);
		return f3_err_set(err, r, "out of memory");
	}
	s->core = core;
	s->views = views;
	/* Programs that wait for the store need some too. */
	s->running_max = threads > 1 ? threads / 2 : 1;
	TAILQ_INIT(&s->connections);
	TAILQ_INIT(&s->gone);
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->done);
	pthread_mutex_init(&s->lock, NULL);
	f3_door_init(&s->door);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->event_fd < 0)
		r = f3_err_set(err, -errno, "the hint socket: %s", strerror(errno));
	if (!r && f3_budget_try_take(core->budget, F3_ACCT_CONTROL, F3_HINT_HELD_MAX))
		r = f3_err_set(err, -ENOMEM, "memory-limit leaves nothing for hints");
	else if (!r)
		s->in_budget = true;
	if (!r)
		r = f3_door_open(&s->door, &door_spec, core->conf,
				 f3_conf_str(core->conf, "f3", NULL, "run-dir"), err);
	if (!r && (add_fd(s, s->door.listen_fd, &s->door) || add_fd(s, s->event_fd, s)))
		r = f3_err_set(err, -errno, "the hint socket: %s", strerror(errno));
	if (r) {
		f3_hint_server_stop(s);
		return r;
	}
	f3_hint_ops_register_metrics();
	f3_prefetch_register_metrics();
	f3_gauge_register(&gauge);
	*ret_s = s;
	return 0;
}

int f3_hint_server_serve(struct f3_hint_server *s, struct f3_err *err)
{
	int r;

	s->started_mono_ns = f3_clock_mono_ns();
	r = f3_door_publish(&s->door, (int)F3_HINT_CONNECTIONS, err);
	if (r)
		return r;
	r = f3_thread_start(&s->thread, "hints", serve, s);
	if (r)
		return f3_err_set(err, r, "threads cannot be started: %s", strerror(-r));
	s->serving = true;
	return 0;
}

void f3_hint_server_stop(struct f3_hint_server *s)
{
	struct connection *conn;
	struct job *job;

	if (!s)
		return;
	s->stopping = true;
	if (s->serving) {
		wake(s);
		pthread_join(s->thread, NULL);
	}
	f3_door_close(&s->door);
	f3_prefetch_free(s->prefetch);
	while ((job = TAILQ_FIRST(&s->waiting)) != NULL) {
		TAILQ_REMOVE(&s->waiting, job, of_list);
		job->conn->jobs--;
		f3_buf_done(&job->answer);
		free(job);
	}
	while ((conn = TAILQ_FIRST(&s->connections)) != NULL)
		drop(conn);
	free_gone(s);
	if (s->in_budget)
		f3_budget_give(s->core->budget, F3_ACCT_CONTROL, F3_HINT_HELD_MAX);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->event_fd >= 0)
		close(s->event_fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
