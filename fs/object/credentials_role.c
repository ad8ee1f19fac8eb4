/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roles: credentials from AWS's Security Token Service, in exchange for others (AssumeRole) or for
 * a token of somebody whom AWS trusts (AssumeRoleWithWebIdentity, not signed).
 *
 * Its answers are XML, which is read by expat with nothing but elements and text: a document type
 * ends the reading, as do too many levels and too much text.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <expat.h>

#include "fs/base/clock.h"
#include "fs/object/credentials_impl.h"
#include "fs/object/sigv4.h"

#define WAIT_NS (15 * F3_NS_PER_SEC)
#define DEPTH_MAX 16
#define URL_MAX_BYTES 2048
#define REGION_MAX 64
#define FORM_BYTES (8192 + 3 * F3_CRED_WEB_TOKEN_MAX)
#define FORM_TYPE "application/x-www-form-urlencoded; charset=utf-8"

/* ---- Answers --------------------------------------------------------------------------------- */

struct text {
	char *out;
	size_t size, len;
};

struct answer {
	XML_Parser parser;
	unsigned depth, credentials, error; /* depths at which these elements began; 0: not in */
	struct text *into; /* what the present element's text goes to */
	bool bad;
	char access_key[F3_CRED_KEY_MAX + 1], secret_key[F3_CRED_KEY_MAX + 1];
	char token[F3_CRED_TOKEN_MAX + 1], ends[64];
	char code[128], message[1024];
	struct text texts[6];
};

static const char *const names[] = { "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration",
				     "Code",        "Message" };

static void stop(struct answer *a)
{
	a->bad = true;
	XML_StopParser(a->parser, XML_FALSE);
}

static void begin_element(void *user, const char *name, const char **attributes)
{
	struct answer *a = user;
	size_t first = a->credentials ? 0 : 4, last = a->credentials ? 4 : 6;

	(void)attributes;
	a->into = NULL;
	if (++a->depth > DEPTH_MAX) {
		stop(a);
	} else if (a->depth - 1 == (a->credentials ? a->credentials : a->error) && a->depth > 1) {
		for (size_t i = first; i < last; i++)
			if (strcmp(name, names[i]) == 0)
				a->into = &a->texts[i];
		/* The second of a kind is somebody's trick. */
		if (a->into && a->into->len)
			stop(a);
	} else if (!a->credentials && !a->error && strcmp(name, "Credentials") == 0) {
		a->credentials = a->depth;
	} else if (!a->credentials && !a->error && strcmp(name, "Error") == 0) {
		a->error = a->depth;
	}
}

static void end_element(void *user, const char *name)
{
	struct answer *a = user;

	(void)name;
	if (a->depth == a->credentials)
		a->credentials = 0;
	if (a->depth == a->error)
		a->error = 0;
	a->depth--;
	a->into = NULL;
}

static void take_text(void *user, const char *text, int len)
{
	struct answer *a = user;
	struct text *t = a->into;

	if (!t)
		return;
	if (len < 0 || (size_t)len >= t->size - t->len) {
		stop(a);
		return;
	}
	memcpy(t->out + t->len, text, (size_t)len);
	t->len += (size_t)len;
	t->out[t->len] = '\0';
}

static void begin_doctype(void *user, const char *name, const char *system, const char *public,
			  int internal)
{
	(void)name;
	(void)system;
	(void)public;
	(void)internal;
	stop(user);
}

/* The caller wipes *ret_a. 0, -EBADMSG, -ENOMEM. */
static int read_answer(const char *text, size_t len, struct answer *a)
{
	char *const out[] = {
		a->access_key, a->secret_key, a->token, a->ends, a->code, a->message
	};
	const size_t size[] = { sizeof(a->access_key), sizeof(a->secret_key), sizeof(a->token),
				sizeof(a->ends),       sizeof(a->code),       sizeof(a->message) };
	enum XML_Status status;

	memset(a, 0, sizeof(*a));
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		a->texts[i] = (struct text){ .out = out[i], .size = size[i] };
	a->parser = XML_ParserCreate("UTF-8");
	if (!a->parser)
		return -ENOMEM;
	XML_SetUserData(a->parser, a);
	XML_SetElementHandler(a->parser, begin_element, end_element);
	XML_SetCharacterDataHandler(a->parser, take_text);
	XML_SetStartDoctypeDeclHandler(a->parser, begin_doctype);
	status = XML_Parse(a->parser, text, (int)len, XML_TRUE);
	XML_ParserFree(a->parser);
	return status == XML_STATUS_OK && !a->bad ? 0 : -EBADMSG;
}

/* ---- Requests -------------------------------------------------------------------------------- */

struct form {
	char *text;
	size_t size, len;
	bool full;
};

static void add(struct form *f, const char *name, const char *value)
{
	int n = snprintf(f->text + f->len, f->size - f->len, "%s%s=", f->len ? "&" : "", name);

	if (f->full || n < 0 || (size_t)n >= f->size - f->len) {
		f->full = true;
		return;
	}
	f->len += (size_t)n;
	n = f3_sigv4_encode(value, strlen(value), false, f->text + f->len, f->size - f->len);
	if (n < 0)
		f->full = true;
	else
		f->len += (size_t)n;
}

static int make_form(const char *action, const struct f3_cred_role *r, const char *web_token,
		     struct form *ret_f, struct f3_err *err)
{
	struct form f = { .text = malloc(FORM_BYTES), .size = FORM_BYTES };
	char session[64];

	if (!f.text)
		return f3_err_set(err, -ENOMEM, "out of memory");
	snprintf(session, sizeof(session), "f3-%lld", (long long)time(NULL));
	add(&f, "Action", action);
	add(&f, "Version", "2011-06-15");
	add(&f, "RoleArn", r->arn);
	add(&f, "RoleSessionName", r->session ? r->session : session);
	if (r->duration)
		add(&f, "DurationSeconds", r->duration);
	if (r->external_id)
		add(&f, "ExternalId", r->external_id);
	if (web_token)
		add(&f, "WebIdentityToken", web_token);
	if (f.full) {
		f3_cred_free_text(f.text, f.size);
		return f3_err_set(err, -E2BIG, "role %s: its settings are too long", r->arn);
	}
	*ret_f = f;
	return 0;
}

struct service {
	char url[URL_MAX_BYTES], region[REGION_MAX];
	struct f3_cred_url u; /* of url */
};

static int find_service(const struct f3_cred_look *l, struct service *s, struct f3_err *err)
{
	const struct f3_cred_options opt = { .profile = l->profile, .region = l->region };
	const char *given = f3_cred_env("AWS_ENDPOINT_URL_STS");
	int error = f3_cred_region(&opt, s->region, sizeof(s->region)), n;
	bool known = !error;

	if (error == -ENOENT)
		snprintf(s->region, sizeof(s->region), "us-east-1");
	else if (error)
		return f3_err_set(err, error, "STS: the region is not the name of one");
	if (!given)
		given = f3_cred_env("AWS_ENDPOINT_URL");
	if (given)
		n = snprintf(s->url, sizeof(s->url), "%s", given);
	else if (known)
		n = snprintf(s->url, sizeof(s->url), "https://sts.%s.amazonaws.com%s", s->region,
			     strncmp(s->region, "cn-", 3) == 0 ? ".cn" : "");
	else
		n = snprintf(s->url, sizeof(s->url), "https://sts.amazonaws.com");
	if (n < 0 || (size_t)n >= sizeof(s->url) || f3_cred_split_url(s->url, &s->u))
		return f3_err_set(err, -EINVAL, "AWS_ENDPOINT_URL_STS: not such an address");
	return 0;
}

struct signature {
	char date[sizeof("x-amz-date: ") + F3_SIGV4_DATE];
	char authorization[sizeof("Authorization: ") + F3_SIGV4_AUTH_MAX];
	char token[sizeof("x-amz-security-token: ") + F3_CRED_TOKEN_MAX];
};

/* Headers of a POST with this body to the service. */
static int sign(const struct service *s, const char *body, const struct f3_credentials *with,
		struct signature *ret_s)
{
	char date[F3_SIGV4_DATE], hash[F3_SIGV4_HEX], authorization[F3_SIGV4_AUTH_MAX];
	const struct f3_sigv4_header headers[] = {
		{ "host", s->u.authority },
		{ "content-type", FORM_TYPE },
		{ "x-amz-date", date },
		{ "x-amz-security-token", with->token },
	};
	const struct f3_sigv4 sig = {
		.method = "POST",
		.path = s->u.path,
		.headers = headers,
		.n_headers = with->token[0] ? 4 : 3,
		.payload = hash,
		.date = date,
		.region = s->region,
		.service = "sts",
		.access_key = with->access_key,
		.secret_key = with->secret_key,
	};
	int error = f3_sigv4_hash(body, strlen(body), hash);

	f3_sigv4_date((int64_t)time(NULL), date);
	if (!error)
		error = f3_sigv4_authorize(&sig, authorization);
	if (error)
		return error;
	snprintf(ret_s->date, sizeof(ret_s->date), "x-amz-date: %s", date);
	snprintf(ret_s->authorization, sizeof(ret_s->authorization), "Authorization: %s",
		 authorization);
	snprintf(ret_s->token, sizeof(ret_s->token), "x-amz-security-token: %s", with->token);
	return 0;
}

/* What STS said, as far as it is fit to be shown: services have been known to quote the request that
 * they would have signed, with its token. */
static int tell(const struct f3_cred_role *r, unsigned status, const struct answer *a,
		struct f3_err *err)
{
	bool wordy = strcmp(a->code, "AccessDenied") == 0 ||
		     strcmp(a->code, "ValidationError") == 0 ||
		     strcmp(a->code, "ExpiredTokenException") == 0;
	int code = status / 100 == 4 && status != 429 ? -EKEYREJECTED : -EIO;

	return f3_err_set(err, code, "role %s: STS answers with status %u%s%.64s%s%.*s", r->arn,
			  status, a->code[0] ? " " : "", a->code, wordy ? ": " : "",
			  wordy ? (int)strcspn(a->message, "\r\n") : 0, a->message);
}

int f3_cred_parse_sts(const struct f3_cred_role *r, const struct f3_cred_answer *got,
		      struct f3_credentials *ret_c, struct f3_err *err)
{
	struct f3_credentials c = { .source = "" };
	struct answer a;
	int error = read_answer(got->text, got->len, &a);

	if (got->status != 200) {
		if (error)
			a.code[0] = '\0';
		error = tell(r, got->status, &a, err);
	} else if (error ||
		   f3_cred_put_key(c.access_key, sizeof(c.access_key), a.access_key,
				   a.texts[0].len) ||
		   f3_cred_put_key(c.secret_key, sizeof(c.secret_key), a.secret_key,
				   a.texts[1].len) ||
		   f3_cred_put_key(c.token, sizeof(c.token), a.token, a.texts[2].len) ||
		   f3_cred_parse_time(a.ends, &c.expires_s)) {
		error = f3_err_set(err, error == -ENOMEM ? -ENOMEM : -EBADMSG,
				   "role %s: the answer of STS cannot be read", r->arn);
	} else {
		c.source = "role";
		*ret_c = c;
	}
	explicit_bzero(&a, sizeof(a));
	f3_credentials_wipe(&c);
	return error;
}

/* with: NULL for a request that is not signed. */
static int ask(struct f3_cred_look *l, const struct f3_cred_role *r, const char *body,
	       const struct f3_credentials *with, struct f3_credentials *ret_c, struct f3_err *err)
{
	struct f3_cred_answer a = { 0 };
	struct signature signature;
	struct service s;
	int error = find_service(l, &s, err);
	const struct f3_cred_ask ask = {
		.from = "STS",
		.method = "POST",
		.url = s.url,
		.headers = (const char *const[]){ "Content-Type: " FORM_TYPE, signature.date,
						  signature.authorization, signature.token },
		.n_headers = !with          ? 1 :
			     with->token[0] ? 4 :
					      3,
		.body = body,
		.wait_ns = WAIT_NS,
	};

	if (!error && with) {
		error = sign(&s, body, with, &signature);
		if (error)
			f3_err_set(err, error, "role %s: the request cannot be signed", r->arn);
	}
	if (!error)
		error = f3_cred_fetch(l, &ask, &a, err);
	if (!error)
		error = f3_cred_parse_sts(r, &a, ret_c, err);
	f3_cred_answer_done(&a);
	explicit_bzero(&signature, sizeof(signature));
	return error;
}

/* ---- The two ways ---------------------------------------------------------------------------- */

int f3_cred_assume_role(struct f3_cred_look *l, const struct f3_cred_role *r,
			const struct f3_credentials *with, struct f3_credentials *ret_c,
			struct f3_err *err)
{
	struct form f;
	int error = make_form("AssumeRole", r, NULL, &f, err);

	if (error)
		return error;
	error = ask(l, r, f.text, with, ret_c, err);
	f3_cred_free_text(f.text, f.size);
	return error;
}

int f3_cred_web_identity(struct f3_cred_look *l, const struct f3_cred_role *r, const char *path,
			 struct f3_credentials *ret_c, struct f3_err *err)
{
	bool open_to_others;
	struct form f;
	char *token;
	size_t len;
	int error = f3_cred_read_file(path, F3_CRED_WEB_TOKEN_MAX, true, &token, &len,
				      &open_to_others, err);

	if (error)
		return error != -ENOENT ?
			       error :
			       f3_err_set(err, -EBADF, "%s: there is no such file", path);
	token[strcspn(token, "\r\n")] = '\0';
	error = make_form("AssumeRoleWithWebIdentity", r, token, &f, err);
	f3_cred_free_text(token, len);
	if (error)
		return error;
	error = ask(l, r, f.text, NULL, ret_c, err);
	f3_cred_free_text(f.text, f.size);
	return error;
}

int f3_cred_from_web_identity(struct f3_cred_look *l, struct f3_credentials *ret_c,
			      struct f3_err *err)
{
	const char *path = f3_cred_env("AWS_WEB_IDENTITY_TOKEN_FILE");
	const struct f3_cred_role r = {
		.arn = f3_cred_env("AWS_ROLE_ARN"),
		.session = f3_cred_env("AWS_ROLE_SESSION_NAME"),
	};

	if (!path)
		return f3_cred_missed(l, "web identity", "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
	if (!r.arn)
		return f3_err_set(err, -EINVAL,
				  "AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN");
	return f3_cred_web_identity(l, &r, path, ret_c, err);
}
