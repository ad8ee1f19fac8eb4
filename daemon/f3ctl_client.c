/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl_client: the lines between f3ctl and the daemon.
 *
 * What the daemon sends is taken with the same suspicion as anything from a socket: lines are
 * bounded, members may be missing or of another type.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/f3ctl.h"
#include "fs/base/text.h"

/* The socket's directory may have a longer name than an address can have. */
static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *slash = strrchr(path, '/');
	int fd, dir = -1, r = 0;

	if (strlen(path) < sizeof(addr.sun_path)) {
		memcpy(addr.sun_path, path, strlen(path));
	} else {
		struct f3_buf parent;

		f3_buf_init(&parent, 65536);
		f3_buf_printf(&parent, "%.*s", slash ? (int)(slash - path) : 0, path);
		dir = parent.len ? open((const char *)parent.data, O_PATH | O_CLOEXEC) : -1;
		f3_buf_done(&parent);
		if (dir < 0)
			return -ENOENT;
		if (snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dir,
			     slash + 1) >= (int)sizeof(addr.sun_path)) {
			close(dir);
			return -ENAMETOOLONG;
		}
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		r = -errno;
	if (dir >= 0)
		close(dir);
	if (r && fd >= 0)
		close(fd);
	return r ? r : fd;
}

int f3ctl_connect(struct f3ctl *ctl)
{
	int fd;

	if (ctl->fd >= 0)
		return 0;
	fd = connect_to(ctl->socket_path);
	if (fd < 0)
		return fd;
	ctl->fd = fd;
	f3_buf_init(&ctl->in, F3_WIRE_ANSWER_MAX);
	ctl->in_at = 0;
	return 0;
}

static int open_connection(struct f3ctl *ctl)
{
	int r = f3ctl_connect(ctl);

	if (r == -EACCES || r == -EPERM)
		return f3ctl_fail(ctl,
				  "%s: %s (root may, and who control-uid or control-gid names)",
				  ctl->socket_path, strerror(-r));
	if (r)
		return f3ctl_fail(ctl, "no f3d answers at %s: %s", ctl->socket_path, strerror(-r));
	return F3CTL_OK;
}

void f3ctl_close(struct f3ctl *ctl)
{
	if (ctl->fd >= 0) {
		close(ctl->fd);
		f3_buf_done(&ctl->in);
	}
	ctl->fd = -1;
	json_decref(ctl->mount);
	ctl->mount = NULL;
}

static int send_line(struct f3ctl *ctl, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0, at = 0;
	int r = text ? 0 : -ENOMEM;

	if (text)
		text[len++] = '\n'; /* in place of the NUL */
	while (!r && at < len) {
		ssize_t n = send(ctl->fd, text + at, len - at, MSG_NOSIGNAL);

		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR)
			r = -errno;
	}
	free(text);
	return r;
}

/* Reads on until a whole line is there: its length without the newline, -errno. */
static ssize_t read_line(struct f3ctl *ctl, const char **ret_line)
{
	size_t from = ctl->in_at;

	for (;;) {
		const char *data = (const char *)ctl->in.data;
		const char *end =
			ctl->in.len > from ? memchr(data + from, '\n', ctl->in.len - from) : NULL;
		char bytes[16384];
		ssize_t n;

		if (end) {
			*ret_line = data + ctl->in_at;
			n = end - *ret_line;
			ctl->in_at += (size_t)n + 1;
			return n;
		}
		if (ctl->in_at) {
			memmove(ctl->in.data, ctl->in.data + ctl->in_at, ctl->in.len - ctl->in_at);
			ctl->in.len -= ctl->in_at;
			ctl->in_at = 0;
		}
		from = ctl->in.len;
		n = recv(ctl->fd, bytes, sizeof(bytes), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		f3_buf_put(&ctl->in, bytes, (size_t)n);
		if (ctl->in.error)
			return ctl->in.error;
	}
}

static int failed(struct f3ctl *ctl, const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	struct f3_buf text;

	if (ctl->json)
		f3ctl_print_json(answer);
	f3_buf_init(&text, 65536);
	f3ctl_text(answer, "message", &text);
	f3ctl_fail(ctl, "%.*s%s%s%s", (int)text.len, (const char *)text.data, error ? " (" : "",
		   error ? error : "", error ? ")" : "");
	f3_buf_done(&text);
	return F3CTL_FAILED;
}

/* One line from the daemon. True: it was the last one. */
static bool take_line(struct f3ctl *ctl, const char *line, size_t len, f3ctl_line_fn *fn, void *arg,
		      json_t **ret_answer, int *ret_code)
{
	json_t *value = json_loadb(line, len, 0, NULL), *part;
	const char *key = "item";

	if (!json_is_object(value)) {
		json_decref(value);
		*ret_code = f3ctl_fail(ctl, "what answers at %s is no f3d", ctl->socket_path);
		return true;
	}
	if (json_object_get(value, "ok")) {
		*ret_code =
			json_is_true(json_object_get(value, "ok")) ? F3CTL_OK : failed(ctl, value);
		*ret_answer = value;
		return true;
	}
	part = json_object_get(value, key);
	if (!part) {
		key = "progress";
		part = json_object_get(value, key);
	}
	if (part && fn && fn(arg, key, part)) {
		json_decref(value);
		*ret_code = F3CTL_FAILED;
		return true;
	}
	json_decref(value);
	return false;
}

int f3ctl_ask(struct f3ctl *ctl, json_t *request, f3ctl_line_fn *fn, void *arg, json_t **ret_answer)
{
	json_t *answer = NULL;
	bool last = false;
	int code = open_connection(ctl), r;

	if (code) {
		json_decref(request);
		return code;
	}
	r = request ? send_line(ctl, request) : -ENOMEM;
	json_decref(request);
	/* Who is turned away may find the socket closed already; the reason is still in it. */
	if (r == -EPIPE || r == -ECONNRESET)
		r = 0;
	while (!r && !last) {
		const char *line;
		ssize_t n = read_line(ctl, &line);

		if (n < 0)
			r = (int)n;
		else
			last = take_line(ctl, line, (size_t)n, fn, arg, &answer, &code);
	}
	ctl->closed = r == -ECONNRESET || r == -EPIPE;
	if (ctl->closed && ctl->may_close)
		code = F3CTL_FAILED;
	else if (ctl->closed)
		code = f3ctl_fail(ctl, "the daemon closed the connection");
	else if (r)
		code = f3ctl_fail(ctl, "%s: %s", ctl->socket_path, strerror(-r));
	if (code) {
		json_decref(answer);
		return code;
	}
	*ret_answer = answer;
	return F3CTL_OK;
}

json_t *f3ctl_request(const char *op)
{
	return json_pack("{ss}", "op", op);
}
