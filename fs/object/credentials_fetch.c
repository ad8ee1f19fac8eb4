/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request for credentials, its answer in bounded memory that is overwritten afterwards.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/net/http.h"
#include "fs/object/credentials_impl.h"

/* What a name or address ends with in a URL. */
static size_t authority_len(const char *text)
{
	return strcspn(text, "/?#");
}

int f3_cred_split_url(const char *url, struct f3_cred_url *ret_u)
{
	struct f3_cred_url u = { .https = strncmp(url, "https://", 8) == 0 };
	const char *at, *port;
	size_t len;

	if (!u.https && strncmp(url, "http://", 7) != 0)
		return -EINVAL;
	at = url + (u.https ? 8 : 7);
	len = authority_len(at);
	/* No user and password in it; nothing that is not to be in a URL. */
	for (const char *p = at; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f ||
		    (*p == '@' && p < at + len))
			return -EINVAL;
	if (!len || len >= sizeof(u.authority) || at[len] == '?' || at[len] == '#')
		return -EINVAL;
	u.path = at[len] ? at + len : "/";
	/* What is sent as Host leaves the scheme's own port out. */
	port = u.https ? ":443" : ":80";
	memcpy(u.authority, at, len);
	if (len > strlen(port) && strcmp(u.authority + len - strlen(port), port) == 0)
		u.authority[len - strlen(port)] = '\0';
	len = u.authority[0] == '[' ? strcspn(u.authority, "]") + 1 : strcspn(u.authority, ":");
	if (len > strlen(u.authority) || (u.authority[len] && u.authority[len] != ':'))
		return -EINVAL;
	memcpy(u.host, u.authority, len);
	*ret_u = u;
	return 0;
}

int f3_cred_fetch(struct f3_cred_look *l, const struct f3_cred_ask *ask,
		  struct f3_cred_answer *ret_a, struct f3_err *err)
{
	struct f3_http_req req;
	struct f3_buf other;
	char *text = malloc(F3_CRED_ANSWER_MAX + 1);
	size_t len;
	int error;

	if (!text)
		return f3_err_set(err, -ENOMEM, "out of memory");
	f3_buf_init(&other, F3_CRED_ANSWER_MAX);
	f3_http_req_init(&req);
	req.method = ask->method;
	req.url = ask->url;
	req.headers = ask->headers;
	req.n_headers = ask->n_headers;
	req.has_body = ask->body != NULL;
	req.body = ask->body;
	req.body_bytes = ask->body ? strlen(ask->body) : 0;
	req.into = text;
	req.into_bytes = F3_CRED_ANSWER_MAX;
	req.text = &other;
	req.deadline_mono_ns = f3_clock_mono_ns() + ask->wait_ns;
	error = f3_cred_run(l->chain, &req, err);
	if (error) {
		f3_err_prefix(err, "%s", ask->from);
		/* -ENOENT is a source that is not set up. */
		if (error == -ENOENT)
			error = -EIO;
		f3_cred_free_text(text, F3_CRED_ANSWER_MAX + 1);
	} else {
		len = req.received;
		if (req.status / 100 != 2) {
			len = other.len;
			memcpy(text, other.data, len);
		}
		text[len] = '\0';
		*ret_a = (struct f3_cred_answer){ req.status, text, len };
	}
	explicit_bzero(other.data, other.len);
	f3_buf_done(&other);
	return error;
}

void f3_cred_answer_done(struct f3_cred_answer *a)
{
	f3_cred_free_text(a->text, a->len);
	*a = (struct f3_cred_answer){ 0 };
}
