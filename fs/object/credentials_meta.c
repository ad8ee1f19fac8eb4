/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials that the machine itself offers: a container's endpoint, and the metadata of an
 * instance (IMDSv2 only: the older way needs no token, and so can be had through any open proxy).
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fs/base/clock.h"
#include "fs/object/credentials_impl.h"
#include "fs/object/sigv4.h"

/* A machine that is no instance has nobody at that address: nothing waits long for it. */
#define FIRST_NS (1 * F3_NS_PER_SEC)
#define WAIT_NS (5 * F3_NS_PER_SEC)
#define URL_MAX_BYTES 2048
#define META_TOKEN_MAX 512
#define ROLE_MAX 128

/* ---- Container ------------------------------------------------------------------------------- */

/* Plain text, and so the keys, may go to this host: it is this machine, or a link-local address
 * that containers get credentials from. */
static bool is_near(const char *host)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127 || strcmp(host, "169.254.170.2") == 0 ||
		       strcmp(host, "169.254.170.23") == 0;
	return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
	       strcasecmp(host, "[fd00:ec2::23]") == 0;
}

static int container_url(struct f3_cred_look *l, char *url, size_t size, struct f3_err *err)
{
	const char *relative = f3_cred_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = f3_cred_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	struct f3_cred_url u;
	int n;

	if (!relative && !full)
		return f3_cred_missed(l, "container",
				      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are "
				      "not set");
	if (relative)
		n = snprintf(url, size, "http://169.254.170.2%s", relative);
	else
		n = snprintf(url, size, "%s", full);
	if (n < 0 || (size_t)n >= size || (relative && *relative != '/') ||
	    f3_cred_split_url(url, &u))
		return f3_err_set(err, -EINVAL, "%s: not such an address",
				  relative ? "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" :
					     "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	if (!u.https && !is_near(u.host))
		return f3_err_set(err, -EINVAL,
				  "AWS_CONTAINER_CREDENTIALS_FULL_URI: %s is neither https nor on "
				  "this machine",
				  u.host);
	return 0;
}

/* "Authorization: ..." for the endpoint, "" if there is none. */
static int container_header(char *out, size_t size, struct f3_err *err)
{
	const char *path = f3_cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = f3_cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	char *text = NULL;
	size_t len = 0;
	bool open_to_others;
	int error = 0, n = 0;

	if (path) {
		error = f3_cred_read_file(path, F3_CRED_WEB_TOKEN_MAX, true, &text, &len,
					  &open_to_others, err);
		if (error)
			return error != -ENOENT ?
				       error :
				       f3_err_set(err, -EBADF, "%s: there is no such file", path);
		while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
			text[--len] = '\0';
		token = text;
	}
	out[0] = '\0';
	if (token) {
		n = snprintf(out, size, "Authorization: %s", token);
		if (n < 0 || (size_t)n >= size || strpbrk(token, "\r\n"))
			error = f3_err_set(err, -EINVAL, "%s: too long, or more than one line",
					   path ? path : "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	}
	f3_cred_free_text(text, len);
	return error;
}

static int refused(const struct f3_cred_answer *a, const char *from, struct f3_err *err)
{
	return f3_err_set(err, a->status == 401 || a->status == 403 ? -EKEYREJECTED : -EIO,
			  "%s: answers with status %u", from, a->status);
}

int f3_cred_from_container(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err)
{
	char url[URL_MAX_BYTES], *header;
	struct f3_cred_answer a = { 0 };
	const size_t size = F3_CRED_WEB_TOKEN_MAX + 32;
	int error = container_url(l, url, sizeof(url), err);

	if (error)
		return error;
	header = malloc(size);
	if (!header)
		return f3_err_set(err, -ENOMEM, "out of memory");
	error = container_header(header, size, err);
	if (!error) {
		const struct f3_cred_ask ask = {
			.from = "container endpoint",
			.method = "GET",
			.url = url,
			.headers = (const char *const[]){ header },
			.n_headers = header[0] ? 1 : 0,
			.wait_ns = WAIT_NS,
		};

		error = f3_cred_fetch(l, &ask, &a, err);
		if (!error && a.status != 200)
			error = refused(&a, ask.from, err);
		if (!error)
			error = f3_cred_parse_json(a.text, a.len, "Token", ask.from, ret_c, err);
		if (!error)
			ret_c->source = "container endpoint";
	}
	f3_cred_answer_done(&a);
	f3_cred_free_text(header, size);
	return error;
}

/* ---- Instance metadata ----------------------------------------------------------------------- */

static const char meta[] = "instance metadata";

struct metadata {
	char base[URL_MAX_BYTES]; /* without a slash at the end */
	char header[META_TOKEN_MAX + 64];
};

static bool is_set(const char *name, const char *value)
{
	const char *text = f3_cred_env(name);

	return text && strcasecmp(text, value) == 0;
}

static int metadata_base(char *base, size_t size, struct f3_err *err)
{
	const char *given = f3_cred_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	struct f3_cred_url u;
	size_t len;
	int n;

	if (!given)
		given = is_set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6") ?
				"http://[fd00:ec2::254]" :
				"http://169.254.169.254";
	n = snprintf(base, size, "%s", given);
	if (n < 0 || (size_t)n >= size || f3_cred_split_url(base, &u))
		return f3_err_set(err, -EINVAL,
				  "AWS_EC2_METADATA_SERVICE_ENDPOINT: not such an address");
	for (len = (size_t)n; base[len - 1] == '/'; len--)
		base[len - 1] = '\0';
	return 0;
}

static int metadata_get(struct f3_cred_look *l, const struct metadata *m, const char *path,
			struct f3_cred_answer *ret_a, struct f3_err *err)
{
	char url[URL_MAX_BYTES + 512];
	const struct f3_cred_ask ask = {
		.from = meta,
		.method = "GET",
		.url = url,
		.headers = (const char *const[]){ m->header },
		.n_headers = 1,
		.wait_ns = WAIT_NS,
	};

	snprintf(url, sizeof(url), "%s/latest/meta-data/iam/security-credentials/%s", m->base,
		 path);
	return f3_cred_fetch(l, &ask, ret_a, err);
}

/* Who does not answer, or does not give out tokens, is no metadata service. */
static int metadata_token(struct f3_cred_look *l, struct metadata *m, struct f3_err *err)
{
	char url[URL_MAX_BYTES + 64], token[META_TOKEN_MAX + 1];
	const struct f3_cred_ask ask = {
		.from = meta,
		.method = "PUT",
		.url = url,
		.headers = (const char *const[]){ "X-aws-ec2-metadata-token-ttl-seconds: 21600" },
		.n_headers = 1,
		.body = "",
		.wait_ns = FIRST_NS,
	};
	struct f3_cred_answer a = { 0 };
	struct f3_err why = F3_ERR_INIT;
	int error;

	snprintf(url, sizeof(url), "%s/latest/api/token", m->base);
	error = f3_cred_fetch(l, &ask, &a, &why);
	if (error)
		return f3_cred_missed(l, meta, "no answer from %s", m->base);
	if (a.status != 200)
		error = f3_cred_missed(l, meta, "status %u from %s", a.status, m->base);
	else if (f3_cred_put_key(token, sizeof(token), a.text, a.len))
		error = f3_err_set(err, -EBADMSG, "%s: its token is none", meta);
	else
		snprintf(m->header, sizeof(m->header), "X-aws-ec2-metadata-token: %s", token);
	explicit_bzero(token, sizeof(token));
	f3_cred_answer_done(&a);
	return error;
}

/* The name of the instance's role, encoded. */
static int metadata_role(struct f3_cred_look *l, const struct metadata *m, char *role, size_t size,
			 struct f3_err *err)
{
	struct f3_cred_answer a = { 0 };
	size_t len;
	int error = metadata_get(l, m, "", &a, err);

	if (error)
		return error;
	len = strcspn(a.text, "\r\n");
	if (a.status == 404 || (a.status == 200 && !len))
		error = f3_cred_missed(l, meta, "the instance has no role");
	else if (a.status != 200)
		error = refused(&a, meta, err);
	else if (len > ROLE_MAX || f3_sigv4_encode(a.text, len, false, role, size) < 0)
		error = f3_err_set(err, -EBADMSG, "%s: the name of the role is too long", meta);
	f3_cred_answer_done(&a);
	return error;
}

int f3_cred_from_metadata(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err)
{
	struct f3_cred_answer a = { 0 };
	struct metadata m;
	char role[3 * ROLE_MAX + 1];
	int error;

	if (is_set("AWS_EC2_METADATA_DISABLED", "true"))
		return f3_cred_missed(l, meta, "AWS_EC2_METADATA_DISABLED is set");
	error = metadata_base(m.base, sizeof(m.base), err);
	if (!error)
		error = metadata_token(l, &m, err);
	if (!error)
		error = metadata_role(l, &m, role, sizeof(role), err);
	if (!error)
		error = metadata_get(l, &m, role, &a, err);
	if (!error && a.status != 200)
		error = refused(&a, meta, err);
	if (!error)
		error = f3_cred_parse_json(a.text, a.len, "Token", meta, ret_c, err);
	if (!error)
		ret_c->source = meta;
	f3_cred_answer_done(&a);
	explicit_bzero(m.header, sizeof(m.header));
	return error;
}
