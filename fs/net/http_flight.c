/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/net/http_impl.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/crc32c.h"

/* curl's buffers: what is moved at once. Big ones for big bodies only, as each request that is
 * under way has its own. */
#define BIG_BODY_BYTES (256u << 10)
#define BIG_BUFFER_BYTES (512l << 10)
#define SMALL_BUFFER_BYTES (16l << 10)

/* From here on the server is asked first whether it wants the body (100 Continue). */
#define ASK_FIRST_BYTES (1u << 20)

/* Of the body of an answer that is no success: what is behind it is not waited for. */
#define REFUSAL_MAX_BYTES (1u << 20)

/* The connection must show that the other side is alive: an idle one is asked after so long. */
#define KEEPALIVE_S 30l

static void stop(struct f3_http_flight *f, int error, const char *reason)
{
	if (f->error)
		return;
	f->error = error;
	f->reason = reason;
}

static bool success(const struct f3_http_req *req)
{
	return req->status >= 200 && req->status < 300;
}

/* ---- What curl asks for ---------------------------------------------------------------------- */

/* curl has a connection, and begins to send. It repeats a request by itself whose connection was an
 * old one and broke before an answer: it supposes that the server closed it before it saw the
 * request, which nobody can know. Repeating what only reads does no harm; anything else ends here.
 * (417 is an answer: the server has taken nothing, and curl repeats it without asking first.) */
static int on_begin(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct f3_http_flight *f = arg;
	struct f3_http_req *req = f->req;

	(void)remote_ip;
	(void)local_ip;
	(void)remote_port;
	(void)local_port;
	if (f->begun++ && !f3_http_is_method(req, "GET") && !f3_http_is_method(req, "HEAD") &&
	    f->status != 417) {
		stop(f, -ECONNRESET, "connection lost before an answer came");
		return CURL_PREREQFUNC_ABORT;
	}
	f->part = F3_HTTP_STATUS_LINE;
	f->status = 0;
	f->moved_ns = f3_clock_mono_ns();
	req->status = 0;
	req->first_byte_ns = 0;
	req->sent = true;
	return CURL_PREREQFUNC_OK;
}

static ssize_t read_body(struct f3_http_req *req, void *to, size_t len, uint64_t off)
{
	ssize_t n;

	if (req->body) {
		memcpy(to, (const char *)req->body + off, len);
		return (ssize_t)len;
	}
	do
		n = pread(req->fd, to, len, (off_t)(req->fd_off + off));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static size_t on_read(char *to, size_t size, size_t n_items, void *arg)
{
	struct f3_http_flight *f = arg;
	struct f3_http_req *req = f->req;
	uint64_t left = f->body_bytes - f->body_off;
	size_t len = size * n_items;
	uint32_t crc;
	ssize_t n;

	if (!left)
		return 0;
	if (len > left)
		len = (size_t)left;
	n = read_body(req, to, len, f->body_off);
	if (n <= 0) {
		stop(f, n < 0 ? (int)n : -ENODATA,
		     n < 0 ? "the file cannot be read" : "the file ended before");
		return CURL_READFUNC_ABORT;
	}
	crc = f3_crc32c(req->crc32c, to, (size_t)n);
	if (req->check_crc && (uint64_t)n == left && crc != req->want_crc32c) {
		stop(f, -EBADMSG, "the body is not what it was");
		return CURL_READFUNC_ABORT;
	}
	req->crc32c = crc;
	f->body_off += (uint64_t)n;
	return (size_t)n;
}

static int on_seek(void *arg, curl_off_t off, int whence)
{
	struct f3_http_flight *f = arg;

	if (off != 0 || whence != SEEK_SET)
		return CURL_SEEKFUNC_FAIL;
	f->body_off = 0;
	f->req->crc32c = 0;
	return CURL_SEEKFUNC_OK;
}

/* ---- What curl gives ------------------------------------------------------------------------- */

static void give_header(struct f3_http_req *req, const char *line, size_t len)
{
	char copy[F3_HTTP_HEADER_MAX + 1];
	char *value, *end;

	if (!req->header || len >= sizeof(copy))
		return;
	memcpy(copy, line, len);
	copy[len] = 0;
	value = strchr(copy, ':');
	if (!value || value == copy || isspace((unsigned char)copy[0]))
		return;
	*value++ = 0;
	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	value += strspn(value, " \t");
	end = value + strlen(value);
	while (end > value && isspace((unsigned char)end[-1]))
		end--;
	*end = 0;
	req->header(req, copy, value);
}

static void begin_answer(struct f3_http_flight *f)
{
	long status = 0;

	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	f->status = (unsigned long)status;
	f->part = F3_HTTP_HEADERS;
	if (status < 200)
		return;
	f->req->status = (unsigned)status;
	f->req->first_byte_ns = f3_clock_mono_ns() - f->req->start_mono_ns;
}

static size_t on_header(char *line, size_t size, size_t n_items, void *arg)
{
	struct f3_http_flight *f = arg;
	size_t len = size * n_items;
	bool final = f->status >= 200;

	switch (f->part) {
	case F3_HTTP_STATUS_LINE:
		if (len >= 5 && !memcmp(line, "HTTP/", 5))
			begin_answer(f);
		break;
	case F3_HTTP_HEADERS:
		if (!len || line[0] == '\r' || line[0] == '\n')
			f->part = final ? F3_HTTP_BODY : F3_HTTP_STATUS_LINE;
		else if (final)
			give_header(f->req, line, len);
		if (f->req->unwanted) {
			stop(f, -ECANCELED, "not wanted any more");
			return 0;
		}
		break;
	case F3_HTTP_BODY:
		/* Trailers: nobody asked for any. */
		break;
	}
	return len;
}

/* Whether there was room for all of it. */
static bool put_text(struct f3_buf *text, const void *bytes, size_t len)
{
	size_t room = text->max - text->len;

	f3_buf_put(text, bytes, len < room ? len : room);
	return len <= room;
}

static size_t on_body(char *bytes, size_t size, size_t n_items, void *arg)
{
	struct f3_http_flight *f = arg;
	struct f3_http_req *req = f->req;
	size_t len = size * n_items;

	if (!success(req)) {
		if (req->text)
			put_text(req->text, bytes, len);
		req->received += len;
		f->enough = req->received > REFUSAL_MAX_BYTES;
	} else {
		if (req->into) {
			if (len > req->into_bytes - req->received)
				stop(f, -EFBIG, "the answer is longer than was asked for");
			else
				memcpy((char *)req->into + req->received, bytes, len);
			if (req->sum_answer)
				req->received_crc32c = f3_crc32c(req->received_crc32c, bytes, len);
		} else if (req->text && !put_text(req->text, bytes, len)) {
			stop(f, -EFBIG, "the answer is longer than was expected");
		}
		if (!f->error)
			req->received += len;
	}
	if (req->text && req->text->error)
		stop(f, req->text->error, "no memory for the answer");
	return f->error || f->enough ? 0 : len;
}

/* ---- Begin and end --------------------------------------------------------------------------- */

/* curl does not change the list that it is given, nor the strings in it. */
static struct curl_slist *link_headers(struct f3_http_flight *f)
{
	static char no_expect[] = "Expect:";
	const struct f3_http_req *req = f->req;
	size_t n;

	for (n = 0; n < req->n_headers; n++)
		f->headers[n].data = (char *)req->headers[n];
	if (f->body_bytes < ASK_FIRST_BYTES)
		f->headers[n++].data = no_expect;
	for (size_t i = 0; i < n; i++)
		f->headers[i].next = i + 1 < n ? &f->headers[i + 1] : NULL;
	return n ? f->headers : NULL;
}

#define SET(option, value)                                                   \
	do {                                                                 \
		if (!code)                                                   \
			code = curl_easy_setopt(f->easy, (option), (value)); \
	} while (0)

static CURLcode set_common(struct f3_http_flight *f, const struct f3_http_common *c)
{
	CURLcode code = CURLE_OK;

	SET(CURLOPT_PRIVATE, f);
	SET(CURLOPT_ERRORBUFFER, f->curl_message);
	SET(CURLOPT_NOSIGNAL, 1l);
	/* Giving up on a name does not wait for the thread that asks for it. */
	SET(CURLOPT_QUICK_EXIT, 1l);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	/* See http.h: not HTTP/2. */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(c->connect_ns / F3_NS_PER_MS));
	SET(CURLOPT_TCP_NODELAY, 1l);
	SET(CURLOPT_TCP_KEEPALIVE, 1l);
	SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
	SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S / 3);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1l);
	SET(CURLOPT_USERAGENT, c->user_agent);
	if (c->ca_file)
		SET(CURLOPT_CAINFO, c->ca_file);
	SET(CURLOPT_PREREQFUNCTION, on_begin);
	SET(CURLOPT_PREREQDATA, f);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, f);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, f);
	return code;
}

static CURLcode set_request(struct f3_http_flight *f)
{
	const struct f3_http_req *req = f->req;
	bool put = f3_http_is_method(req, "PUT");
	CURLcode code = CURLE_OK;

	SET(CURLOPT_URL, req->url);
	SET(CURLOPT_PATH_AS_IS, 1l);
	SET(CURLOPT_HTTPHEADER, link_headers(f));
	if (req->into && req->into_bytes >= BIG_BODY_BYTES)
		SET(CURLOPT_BUFFERSIZE, BIG_BUFFER_BYTES);
	else
		SET(CURLOPT_BUFFERSIZE, SMALL_BUFFER_BYTES);

	if (f3_http_is_method(req, "HEAD")) {
		SET(CURLOPT_NOBODY, 1l);
		return code;
	}
	/* These two have a length also when there is no body (RFC 9110, 8.6). */
	if (!req->has_body && !put && !f3_http_is_method(req, "POST")) {
		if (!f3_http_is_method(req, "GET"))
			SET(CURLOPT_CUSTOMREQUEST, req->method);
		return code;
	}
	SET(CURLOPT_UPLOAD, 1l);
	if (!put)
		SET(CURLOPT_CUSTOMREQUEST, req->method);
	SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)f->body_bytes);
	SET(CURLOPT_EXPECT_100_TIMEOUT_MS, 1000l);
	SET(CURLOPT_UPLOAD_BUFFERSIZE,
	    f->body_bytes >= BIG_BODY_BYTES ? BIG_BUFFER_BYTES : SMALL_BUFFER_BYTES);
	SET(CURLOPT_READFUNCTION, on_read);
	SET(CURLOPT_READDATA, f);
	SET(CURLOPT_SEEKFUNCTION, on_seek);
	SET(CURLOPT_SEEKDATA, f);
	return code;
}

int f3_http_flight_begin(struct f3_http_flight *f, const struct f3_http_common *c)
{
	CURLcode code;

	f->curl_message[0] = 0;
	f->error = 0;
	f->reason = NULL;
	f->enough = false;
	f->part = F3_HTTP_STATUS_LINE;
	f->status = 0;
	f->body_off = 0;
	f->body_bytes = f->req->has_body ? f->req->body_bytes : 0;
	f->begun = 0;
	f->moved_bytes = 0;
	f->moved_ns = 0;
	f->req->start_mono_ns = f3_clock_mono_ns();

	if (!f->easy)
		f->easy = curl_easy_init();
	if (!f->easy) {
		stop(f, -ENOMEM, "no memory");
		return f->error;
	}
	code = set_common(f, c);
	if (!code)
		code = set_request(f);
	if (code)
		stop(f, f3_http_errno(code, 0), curl_easy_strerror(code));
	return f->error;
}

/* Its own words are better than those for its number, but for those that repeat the URL. */
static const char *curl_reason(const struct f3_http_flight *f, CURLcode code)
{
	if (!f->curl_message[0] || code == CURLE_URL_MALFORMAT || strstr(f->curl_message, "://"))
		return curl_easy_strerror(code);
	return f->curl_message;
}

void f3_http_flight_end(struct f3_http_flight *f, CURLcode code)
{
	struct f3_http_req *req = f->req;
	long os_error = 0;

	if (f->error) {
		req->result = f->error;
		f3_http_say(req, f->reason);
	} else if (f->enough) {
		req->result = 0;
	} else if (code) {
		curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &os_error);
		req->result = f3_http_errno(code, os_error);
		f3_http_say(req, curl_reason(f, code));
	} else if (!req->status) {
		req->result = -EIO;
		f3_http_say(req, "no status came");
	} else {
		req->result = 0;
	}
	if (!success(req))
		req->received = 0;
}

/* Everything curl has sent or was given. */
static uint64_t bytes_moved(struct f3_http_flight *f)
{
	curl_off_t up = 0, down = 0;
	long header = 0;

	curl_easy_getinfo(f->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	curl_easy_getinfo(f->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
	curl_easy_getinfo(f->easy, CURLINFO_HEADER_SIZE, &header);
	return (uint64_t)up + (uint64_t)down + (uint64_t)header + f->body_off;
}

int f3_http_flight_look(struct f3_http_flight *f, const struct f3_http_common *c, uint64_t now_ns,
			uint64_t *due_ns)
{
	uint64_t deadline = f->req->deadline_mono_ns;
	uint64_t moved = bytes_moved(f);

	if (moved != f->moved_bytes) {
		f->moved_bytes = moved;
		f->moved_ns = now_ns;
	}
	if (deadline && now_ns >= deadline) {
		stop(f, -ETIMEDOUT, "not over in the time it was given");
		return -ETIMEDOUT;
	}
	if (deadline && deadline < *due_ns)
		*due_ns = deadline;
	/* Before there is a connection curl itself looks at the time. */
	if (!f->begun)
		return 0;
	if (now_ns >= f->moved_ns + c->stall_ns) {
		stop(f, -ETIMEDOUT, "nothing has moved for too long");
		return -ETIMEDOUT;
	}
	if (f->moved_ns + c->stall_ns < *due_ns)
		*due_ns = f->moved_ns + c->stall_ns;
	return 0;
}
