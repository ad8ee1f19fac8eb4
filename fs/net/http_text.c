/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/net/http_impl.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Of a URL in a message: the reason behind it must have room too. */
#define PLACE_MAX 72

/* RFC 9110: what a method or the name of a header is made of. */
static bool is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("!#$%&'*+-.^_`|~", s[i]))
			return false;
	return len > 0;
}

static bool header_ok(const char *header)
{
	static const char *const ours[] = { "Content-Length", "Transfer-Encoding", "Expect" };
	size_t name = strcspn(header, ":;");

	if (!header[name] || !is_token(header, name) || strpbrk(header, "\r\n"))
		return false;
	/* To curl a header without a value says that it is not to be sent, unless a ';' ends it. */
	if ((header[name] == ';') != !header[name + 1 + strspn(header + name + 1, " \t")])
		return false;
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (name == strlen(ours[i]) && !strncasecmp(header, ours[i], name))
			return false;
	return true;
}

/* curl would take what is here for the end of the request line, or leave it out. */
static bool url_ok(const char *url)
{
	if (strncmp(url, "http://", 7) && strncmp(url, "https://", 8))
		return false;
	for (; *url; url++)
		if ((unsigned char)*url <= ' ' || *url == 0x7f || *url == '#')
			return false;
	return true;
}

static int refuse(struct f3_http_req *req, int error, const char *reason)
{
	f3_http_say(req, reason);
	return error;
}

int f3_http_check(struct f3_http_req *req)
{
	if (!req->method || !is_token(req->method, strlen(req->method)))
		return refuse(req, -EINVAL, "not a method");
	if (!req->url || !url_ok(req->url))
		return refuse(req, -EINVAL, "not a URL");
	if (req->n_headers > F3_HTTP_HEADERS_MAX)
		return refuse(req, -EINVAL, "too many headers");
	for (size_t i = 0; i < req->n_headers; i++)
		if (!header_ok(req->headers[i]))
			return refuse(req, -EINVAL, "not a header");
	if (!req->has_body)
		return 0;
	if (req->body_bytes > INT64_MAX || f3_http_is_method(req, "HEAD"))
		return refuse(req, -EINVAL, "not a body");
	/* Otherwise found out when the last bytes are read. */
	if (req->check_crc && !req->body_bytes && req->want_crc32c)
		return refuse(req, -EBADMSG, "the body is not what it was");
	return 0;
}

void f3_http_say(struct f3_http_req *req, const char *reason)
{
	const char *place = req->url ? req->url : "";
	const char *scheme = strstr(place, "://");
	size_t host, len;
	const char *at;

	if (scheme)
		place = scheme + 3;
	host = strcspn(place, "/?#");
	at = memrchr(place, '@', host);
	if (at)
		place = at + 1;
	len = strcspn(place, "?#");
	snprintf(req->message, sizeof(req->message), "%.16s %.*s%s: %s",
		 req->method ? req->method : "", (int)(len < PLACE_MAX ? len : PLACE_MAX), place,
		 len > PLACE_MAX ? "..." : "", reason);
	for (char *c = req->message; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = ' ';
}

bool f3_http_is_method(const struct f3_http_req *req, const char *method)
{
	return !strcmp(req->method, method);
}

static int connection_errno(long os_error, int otherwise)
{
	switch (os_error) {
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ETIMEDOUT:
	case EMFILE:
	case ENFILE:
		return (int)-os_error;
	case EPIPE:
	case ECONNABORTED:
		return -ECONNRESET;
	default:
		return otherwise;
	}
}

int f3_http_errno(CURLcode code, long os_error)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_URL_MALFORMAT:
	case CURLE_BAD_FUNCTION_ARGUMENT:
		return -EINVAL;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return connection_errno(os_error, -ECONNREFUSED);
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_SSL_CONNECT_ERROR:
		return connection_errno(os_error, -EPROTO);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_ENGINE_INITFAILED:
	case CURLE_USE_SSL_FAILED:
	case CURLE_PROXY:
		return -EPROTO;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_FAIL_REWIND:
		return -ECONNRESET;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
		return -ENOMEM;
	default:
		return -EIO;
	}
}
