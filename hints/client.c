/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: the library behind f3hint.h.
 *
 * Requests get numbers as ids, counted up; pending ones are a ring of them. An answer is looked up
 * there by its id; one that is not there belongs to a request nobody waits for any more. A lost
 * connection loses what was pending, which f3hint_receive tells one by one.
 */
#include "config.h"

#include "hints/f3hint.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/err.h"
#include "hints/wire.h"

#define EXPORT __attribute__((visibility("default")))
#define PATH_BYTES 4096u
#define RETRY_MS 20 /* between attempts to connect to a daemon that is on its way */
#define REASON_MAX 512

_Static_assert(F3HINT_LINE_MAX == F3_HINT_LINE_MAX, "the header says so");

/* An answer that came while something else was waited for. */
struct kept {
	struct kept *next;
	uint64_t id;
	char text[];
};

struct f3hint {
	char path[PATH_BYTES];
	int fd;
	unsigned timeout_ms;
	uint64_t last_id;
	uint64_t pending[F3HINT_PENDING_MAX]; /* ids; from the oldest on */
	unsigned n_pending;
	unsigned n_lost; /* of those, the oldest so many will not be answered */
	struct kept *first, **last;
	struct f3_hint_lines in;
	struct f3_buf out;
	char *answer; /* the last one given out */
	char reason[REASON_MAX];
};

/* ---- Reasons and time ------------------------------------------------------------------------ */

static int fail(struct f3hint *h, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct f3hint *h, int error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(h->reason, sizeof(h->reason), fmt, args);
	va_end(args);
	return error;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* UINT64_MAX: for ever. */
static uint64_t deadline_of(const struct f3hint *h)
{
	return h->timeout_ms ? now_ms() + h->timeout_ms : UINT64_MAX;
}

static int left_ms(uint64_t deadline_ms)
{
	uint64_t now = now_ms();

	if (deadline_ms == UINT64_MAX)
		return -1;
	if (now >= deadline_ms)
		return 0;
	return deadline_ms - now > 3600000 ? 3600000 : (int)(deadline_ms - now);
}

/* 1: one of the events; 0: it is too late; -errno. */
static int wait_for(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int ms = left_ms(deadline_ms), r = poll(&p, fd < 0 ? 0 : 1, ms);

		if (r > 0)
			return 1;
		if (r < 0 && errno != EINTR)
			return -errno;
		/* an hour may be over before the deadline is */
		if (!r && !left_ms(deadline_ms))
			return 0;
	}
}

/* ---- The connection -------------------------------------------------------------------------- */

static void disconnect(struct f3hint *h)
{
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	h->n_lost = h->n_pending;
	f3_hint_lines_done(&h->in);
	f3_hint_lines_init(&h->in);
	f3_buf_reset(&h->out);
}

/* The directory of a socket may have a longer name than an address can have. */
static int set_address(const char *path, struct sockaddr_un *addr, int *ret_dir)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_BYTES];

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*ret_dir = -1;
	if (strlen(path) < sizeof(addr->sun_path)) {
		memcpy(addr->sun_path, path, strlen(path) + 1);
		return 0;
	}
	if (!slash)
		return -ENAMETOOLONG;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	*ret_dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dir < 0)
		return -errno;
	return snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d%s", *ret_dir,
			slash) < (int)sizeof(addr->sun_path) ?
		       0 :
		       -ENAMETOOLONG;
}

static int connect_once(struct f3hint *h)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), dir = -1, r;
	struct sockaddr_un addr;

	if (fd < 0)
		return -errno;
	r = set_address(h->path, &addr, &dir);
	if (!r && connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		r = -errno;
	if (dir >= 0)
		close(dir);
	if (r)
		close(fd);
	else
		h->fd = fd;
	return r;
}

/* Sends all of h->out that can be sent now. 0: all; 1: some is left; -errno. */
static int flush(struct f3hint *h)
{
	size_t at = 0;
	int r = 0;

	while (!r && at < h->out.len) {
		ssize_t n = send(h->fd, h->out.data + at, h->out.len - at, MSG_NOSIGNAL);

		if (n >= 0)
			at += (size_t)n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			r = 1;
		else if (errno != EINTR)
			r = -errno;
	}
	memmove(h->out.data, h->out.data + at, h->out.len - at);
	h->out.len -= at;
	return r;
}

static bool known(const struct f3hint *h, uint64_t id)
{
	for (unsigned i = h->n_lost; i < h->n_pending; i++)
		if (h->pending[i] == id)
			return true;
	return false;
}

/* It is not pending any more. */
static void forget(struct f3hint *h, uint64_t id)
{
	for (unsigned i = 0; i < h->n_pending; i++) {
		if (h->pending[i] != id)
			continue;
		memmove(&h->pending[i], &h->pending[i + 1],
			(h->n_pending - i - 1) * sizeof(h->pending[0]));
		h->n_pending--;
		h->n_lost -= i < h->n_lost;
		return;
	}
}

static int keep(struct f3hint *h, uint64_t id, const char *line, size_t len)
{
	struct kept *k = malloc(sizeof(*k) + len + 1);

	if (!k)
		return -ENOMEM;
	k->next = NULL;
	k->id = id;
	memcpy(k->text, line, len);
	k->text[len] = '\0';
	*h->last = k;
	h->last = &k->next;
	return 0;
}

/* Lines that are here. own: of a request of this call, which is not pending; its answer is kept too. */
static int take_lines(struct f3hint *h, uint64_t own)
{
	const char *line;
	size_t len;
	int r;

	while ((r = f3_hint_lines_next(&h->in, &line, &len)) != 0) {
		char why[F3_HINT_WHY_MAX];
		json_t *answer = NULL, *id;
		uint64_t number;

		if (r < 0 || f3_hint_parse(line, len, &answer, why))
			return -EPROTO;
		id = json_object_get(answer, "id");
		if (!json_is_boolean(json_object_get(answer, "ok"))) {
			json_decref(answer);
			return -EPROTO;
		}
		number = (uint64_t)json_integer_value(id);
		/* Who is turned away is told so without having asked. */
		if (!id)
			number = own;
		json_decref(answer);
		if ((own && number == own) || known(h, number)) {
			r = keep(h, number, line, len);
			if (r)
				return r;
		}
	}
	return 0;
}

/* What can be read now. 0 or -errno: the connection is lost. */
static int take_bytes(struct f3hint *h, uint64_t own)
{
	char bytes[16384];

	for (;;) {
		ssize_t n = recv(h->fd, bytes, sizeof(bytes), 0);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		r = f3_hint_lines_put(&h->in, bytes, (size_t)n);
		if (!r)
			r = take_lines(h, own);
		if (r)
			return r;
	}
}

static struct kept *take_kept(struct f3hint *h, uint64_t id)
{
	for (struct kept **at = &h->first; *at; at = &(*at)->next) {
		struct kept *k = *at;

		if (id && k->id != id)
			continue;
		*at = k->next;
		if (h->last == &k->next)
			h->last = at;
		return k;
	}
	return NULL;
}

/* Sends all of it; what comes meanwhile is kept, since a daemon whose answers nobody reads takes no
 * requests either. */
static int send_all(struct f3hint *h, uint64_t own, uint64_t deadline_ms)
{
	int r, lost;

	while ((r = flush(h)) == 1) {
		r = wait_for(h->fd, POLLIN | POLLOUT, deadline_ms);
		if (r <= 0)
			return r ? r : -ETIMEDOUT;
		lost = take_bytes(h, own);
		if (lost)
			return lost;
	}
	return r;
}

/* ---- One request ----------------------------------------------------------------------------- */

static uint64_t next_id(struct f3hint *h)
{
	return ++h->last_id;
}

/* Appends the request to h->out under this number. */
static int put_request(struct f3hint *h, json_t *request, uint64_t id)
{
	int r = json_object_set_new(request, "id", json_integer((json_int_t)id)) ? -ENOMEM : 0;

	if (!r)
		r = f3_hint_dump(request, &h->out);
	if (r == -EMSGSIZE)
		return fail(h, r, "the request is longer than %u bytes", F3_HINT_LINE_MAX);
	return r ? fail(h, r, "out of memory") : 0;
}

/* What the daemon says of an error, as its number. */
static int error_of(struct f3hint *h, const char *answer)
{
	const char *name, *message;
	char why[F3_HINT_WHY_MAX];
	json_t *object;
	int r = -EIO;

	if (f3_hint_parse(answer, strlen(answer), &object, why))
		return fail(h, -ENOMEM, "out of memory");
	if (json_is_true(json_object_get(object, "ok"))) {
		json_decref(object);
		return 0;
	}
	name = json_string_value(json_object_get(object, "error"));
	message = json_string_value(json_object_get(object, "message"));
	for (int e = 1; name && e < 134; e++)
		if (!strcmp(f3_errno_name(e), name))
			r = -e;
	fail(h, r, "%s", message ? message : name ? name : "the daemon refuses");
	json_decref(object);
	return r;
}

/* The answer is h's until the next call. */
static int give_out(struct f3hint *h, struct kept *k, const char **ret_answer)
{
	size_t len = strlen(k->text);
	char *text = realloc(h->answer, len + 1);

	if (text) {
		h->answer = text;
		memcpy(text, k->text, len + 1);
	}
	free(k);
	if (!text)
		return fail(h, -ENOMEM, "out of memory");
	if (ret_answer)
		*ret_answer = h->answer;
	return error_of(h, h->answer);
}

static int lost(struct f3hint *h, int r)
{
	if (r == -ETIMEDOUT)
		fail(h, r, "%s: no answer within %u ms", h->path, h->timeout_ms);
	else if (r == -EPROTO)
		fail(h, r, "what answers at %s is no F3", h->path);
	else
		fail(h, r, "%s: %s", h->path, strerror(-r));
	return r;
}

/* Over the connection there is. */
static int exchange(struct f3hint *h, json_t *request, uint64_t deadline_ms, struct kept **ret_kept)
{
	uint64_t id = next_id(h);
	int r = put_request(h, request, id), sent;

	if (r)
		return r;
	sent = send_all(h, id, deadline_ms);
	/* Who is turned away may find the socket closed already; the reason is still in it. */
	if (sent && sent != -EPIPE && sent != -ECONNRESET)
		r = sent;
	while (!r && !(*ret_kept = take_kept(h, id))) {
		r = take_bytes(h, id);
		if (r || sent || h->first)
			*ret_kept = take_kept(h, id);
		if (*ret_kept)
			break;
		if (!r && sent)
			r = sent;
		if (!r)
			r = wait_for(h->fd, POLLIN, deadline_ms);
		r = r > 0 ? 0 : r ? r : -ETIMEDOUT;
	}
	if (*ret_kept)
		r = 0;
	/* A request half sent cannot be taken back. */
	if (r && (r != -ETIMEDOUT || h->out.len))
		disconnect(h);
	return r ? lost(h, r) : 0;
}

static int greet(struct f3hint *h, uint64_t deadline_ms)
{
	json_t *hello = json_pack("{ss si}", "op", "hello", "version", F3_HINT_VERSION);
	struct kept *k = NULL;
	json_t *answer = NULL;
	char why[F3_HINT_WHY_MAX];
	int r = hello ? exchange(h, hello, deadline_ms, &k) : fail(h, -ENOMEM, "out of memory");

	json_decref(hello);
	if (r)
		return r;
	r = error_of(h, k->text);
	if (!r && f3_hint_parse(k->text, strlen(k->text), &answer, why))
		r = fail(h, -ENOMEM, "out of memory");
	if (!r &&
	    json_integer_value(json_object_get(answer, "version")) != (json_int_t)F3_HINT_VERSION)
		r = fail(h, -EPROTO, "%s speaks another version of the protocol", h->path);
	json_decref(answer);
	free(k);
	if (r)
		disconnect(h);
	return r;
}

/* again: there was a daemon a moment ago, so that its successor is waited for. */
static int connect_until(struct f3hint *h, bool again, uint64_t deadline_ms)
{
	int r;

	while (h->fd < 0) {
		uint64_t pause_ms = now_ms() + RETRY_MS;

		r = connect_once(h);
		if (!r)
			r = greet(h, deadline_ms);
		else
			fail(h, r, "%s: %s", h->path, strerror(-r));
		if (!r)
			break;
		if (!(r == -EAGAIN || r == -EBUSY ||
		      (again && (r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET))) ||
		    pause_ms >= deadline_ms)
			return r;
		(void)wait_for(-1, 0, pause_ms);
	}
	return 0;
}

/* An idle connection that has ended is seen before it is used. */
static void look_at_connection(struct f3hint *h)
{
	if (h->fd >= 0 && take_bytes(h, 0))
		disconnect(h);
}

static int parse_request(struct f3hint *h, const char *text, json_t **ret_request)
{
	char why[F3_HINT_WHY_MAX];
	json_t *request;
	size_t len = strlen(text);
	int r;

	h->reason[0] = '\0';
	if (len > F3_HINT_LINE_MAX)
		return fail(h, -EMSGSIZE, "the request is longer than %u bytes", F3_HINT_LINE_MAX);
	r = f3_hint_parse(text, len, &request, why);
	if (r)
		return fail(h, r, "the request is no JSON object: %s", why);
	*ret_request = request;
	return 0;
}

static int ask(struct f3hint *h, json_t *request, const char **ret_answer)
{
	uint64_t deadline_ms = deadline_of(h);
	struct kept *k = NULL;
	bool had;
	int r;

	had = h->fd >= 0;
	look_at_connection(h);
	r = connect_until(h, had, deadline_ms);
	if (!r)
		r = exchange(h, request, deadline_ms, &k);
	/* Every operation may be repeated. */
	if (h->fd < 0 && (r == -ECONNRESET || r == -EPIPE)) {
		r = connect_until(h, true, deadline_ms);
		if (!r)
			r = exchange(h, request, deadline_ms, &k);
	}
	json_decref(request);
	return r ? r : give_out(h, k, ret_answer);
}

/* ---- What is exported ------------------------------------------------------------------------ */

EXPORT struct f3hint *f3hint_new(const char *socket)
{
	struct f3hint *h = calloc(1, sizeof(*h));

	if (!socket)
		socket = getenv("F3_HINT_SOCKET");
	if (!socket || !*socket)
		socket = F3HINT_SOCKET;
	if (!h || strlen(socket) >= sizeof(h->path)) {
		free(h);
		return NULL;
	}
	memcpy(h->path, socket, strlen(socket) + 1);
	h->fd = -1;
	h->timeout_ms = F3HINT_TIMEOUT_MS;
	h->last = &h->first;
	f3_hint_lines_init(&h->in);
	f3_buf_init(&h->out, 2 * (F3_HINT_LINE_MAX + 1));
	return h;
}

EXPORT void f3hint_free(struct f3hint *h)
{
	struct kept *k;

	if (!h)
		return;
	disconnect(h);
	while ((k = take_kept(h, 0)) != NULL)
		free(k);
	f3_hint_lines_done(&h->in);
	f3_buf_done(&h->out);
	free(h->answer);
	free(h);
}

EXPORT void f3hint_set_timeout(struct f3hint *h, unsigned timeout_ms)
{
	h->timeout_ms = timeout_ms;
}

EXPORT int f3hint_connect(struct f3hint *h)
{
	h->reason[0] = '\0';
	look_at_connection(h);
	return connect_until(h, false, deadline_of(h));
}

EXPORT int f3hint_fd(const struct f3hint *h)
{
	return h->fd;
}

EXPORT int f3hint_ask(struct f3hint *h, const char *request, const char **ret_answer)
{
	json_t *object;
	int r = parse_request(h, request, &object);

	return r ? r : ask(h, object, ret_answer);
}

EXPORT int f3hint_send(struct f3hint *h, const char *request, uint64_t *ret_id)
{
	uint64_t deadline_ms = deadline_of(h), id;
	bool had = h->fd >= 0;
	json_t *object;
	int r = parse_request(h, request, &object);

	if (r)
		return r;
	if (h->n_pending == F3HINT_PENDING_MAX) {
		json_decref(object);
		return fail(h, -EAGAIN, "%u requests are pending", F3HINT_PENDING_MAX);
	}
	look_at_connection(h);
	r = connect_until(h, had, deadline_ms);
	id = next_id(h);
	if (!r)
		r = put_request(h, object, id);
	json_decref(object);
	if (r)
		return r;
	h->pending[h->n_pending++] = id;
	r = send_all(h, 0, deadline_ms);
	if (r) {
		forget(h, id);
		disconnect(h);
		return lost(h, r);
	}
	*ret_id = id;
	return 0;
}

EXPORT int f3hint_receive(struct f3hint *h, int timeout_ms, uint64_t *ret_id,
			  const char **ret_answer)
{
	uint64_t deadline_ms = timeout_ms < 0 ? deadline_of(h) : now_ms() + (uint64_t)timeout_ms;
	struct kept *k;
	int r = 0;

	h->reason[0] = '\0';
	while (!(k = take_kept(h, 0))) {
		if (!h->n_pending)
			return fail(h, -ENOMSG, "nothing is pending");
		if (h->n_lost) {
			*ret_id = h->pending[0];
			forget(h, *ret_id);
			return fail(h, -ECONNRESET, "%s: the connection was lost", h->path);
		}
		if (take_bytes(h, 0)) {
			disconnect(h);
			continue;
		}
		if (h->first)
			continue;
		r = wait_for(h->fd, POLLIN, deadline_ms);
		if (r <= 0)
			return fail(h, -ETIMEDOUT, "no answer yet");
	}
	*ret_id = k->id;
	forget(h, k->id);
	return give_out(h, k, ret_answer);
}

EXPORT unsigned f3hint_pending(const struct f3hint *h)
{
	return h->n_pending;
}

static int ask_paths(struct f3hint *h, const char *op, const char *volume, const char *const *paths,
		     size_t n_paths, const char **ret_answer)
{
	json_t *list = json_array(), *request;

	h->reason[0] = '\0';
	for (size_t i = 0; i < n_paths; i++) {
		if (json_array_append_new(list, json_string(paths[i]))) {
			json_decref(list);
			return fail(h, -EINVAL, "path %zu is not UTF-8", i + 1);
		}
	}
	request = json_pack("{ss ss so}", "op", op, "volume", volume, "paths", list);
	if (!request)
		return fail(h, -EINVAL, "the volume's name is not UTF-8");
	return ask(h, request, ret_answer);
}

EXPORT int f3hint_locate(struct f3hint *h, const char *volume, const char *const *paths,
			 size_t n_paths, const char **ret_answer)
{
	return ask_paths(h, "locate", volume, paths, n_paths, ret_answer);
}

EXPORT int f3hint_prefetch(struct f3hint *h, const char *volume, const char *const *paths,
			   size_t n_paths, const char **ret_answer)
{
	return ask_paths(h, "prefetch", volume, paths, n_paths, ret_answer);
}

EXPORT int f3hint_bind(struct f3hint *h, const char *view, const char *namespace_,
		       const char *volume, const char *path, const char *mode,
		       const char *container, int pid, const char **ret_answer)
{
	json_t *request = json_pack("{ss ss ss ss ss ss}", "op", "bind", "view", view, "namespace",
				    namespace_, "volume", volume, "path", path, "mode", mode);
	json_t *who = container || pid ? json_object() : NULL;

	h->reason[0] = '\0';
	if ((container && json_object_set_new(who, "id", json_string(container))) || !request) {
		json_decref(request);
		json_decref(who);
		return fail(h, -EINVAL, "an argument is not UTF-8");
	}
	if (pid)
		json_object_set_new(who, "pid", json_integer(pid));
	if (who)
		json_object_set_new(request, "container", who);
	return ask(h, request, ret_answer);
}

EXPORT int f3hint_unbind(struct f3hint *h, const char *view, const char **ret_answer)
{
	json_t *request = json_pack("{ss ss}", "op", "unbind", "view", view);

	h->reason[0] = '\0';
	if (!request)
		return fail(h, -EINVAL, "the view's name is not UTF-8");
	return ask(h, request, ret_answer);
}

EXPORT const char *f3hint_reason(const struct f3hint *h)
{
	return h->reason;
}

EXPORT const char *f3hint_version(void)
{
	return PACKAGE_VERSION;
}
