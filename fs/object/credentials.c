/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain: which source is asked, who looks while others wait, and renewal.
 *
 * One thread looks at a time (c->looking), a caller of f3_cred_get or the timer's work; whoever
 * needs the result waits on c->done. A look goes on without the lock and ends in settle().
 */
#include "config.h"

#include "fs/object/credentials.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/base/clock.h"
#include "fs/base/lock.h"
#include "fs/net/http.h"
#include "fs/object/credentials_impl.h"

#define RENEW_EARLY_S 300
/* Files with plain keys are read again when they are used and were not looked at for so long. */
#define REREAD_NS (10 * F3_NS_PER_SEC)
/* Not more often because a store refuses them, or because there were none. */
#define REFUSED_NS (5 * F3_NS_PER_SEC)
#define FAILED_NS (1 * F3_NS_PER_SEC)
#define RETRY_BASE_NS (2 * F3_NS_PER_SEC)
#define RETRY_MAX_NS (60 * F3_NS_PER_SEC)

struct f3_cred_chain {
	char *profile, *region;
	bool anonymous;
	struct f3_workq *work;
	struct f3_timer timer;

	struct f3_lock lock; /* guards everything below */
	pthread_cond_t done; /* a look is over */
	bool looking, closing, have, refused;
	bool reread; /* now is what stands in files */
	struct f3_credentials now;
	int error; /* of the last look */
	struct f3_err why;
	uint64_t looked_mono_ns; /* when it ended; 0: never */
	uint64_t looks;
	struct f3_backoff backoff;
	struct f3_http *http; /* opened by the first look that asks the network */
	struct f3_http_req *req; /* of the look under way */
};

/* ---- Small things ---------------------------------------------------------------------------- */

void f3_credentials_wipe(struct f3_credentials *c)
{
	explicit_bzero(c, sizeof(*c));
}

/* Most of the room for a token is empty. */
static void copy(struct f3_credentials *to, const struct f3_credentials *from)
{
	memcpy(to->access_key, from->access_key, strlen(from->access_key) + 1);
	memcpy(to->secret_key, from->secret_key, strlen(from->secret_key) + 1);
	memcpy(to->token, from->token, strlen(from->token) + 1);
	to->expires_s = from->expires_s;
	to->anonymous = from->anonymous;
	to->source = from->source;
}

static bool same(const struct f3_credentials *a, const struct f3_credentials *b)
{
	return a->anonymous == b->anonymous && strcmp(a->access_key, b->access_key) == 0 &&
	       strcmp(a->secret_key, b->secret_key) == 0 && strcmp(a->token, b->token) == 0;
}

const char *f3_cred_env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

int f3_cred_put_key(char *out, size_t size, const char *text, size_t len)
{
	if (!len)
		return -EINVAL;
	if (len >= size)
		return -EMSGSIZE;
	/* They travel in headers. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f)
			return -EINVAL;
	memcpy(out, text, len);
	out[len] = '\0';
	return 0;
}

int f3_cred_missed(struct f3_cred_look *l, const char *name, const char *fmt, ...)
{
	size_t len = strlen(l->missed);
	va_list ap;
	int n;

	n = snprintf(l->missed + len, sizeof(l->missed) - len, "%s%s (", len ? ", " : "", name);
	if (n < 0 || (size_t)n >= sizeof(l->missed) - len)
		return -ENOENT;
	len += (size_t)n;
	va_start(ap, fmt);
	n = vsnprintf(l->missed + len, sizeof(l->missed) - len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(l->missed) - len)
		return -ENOENT;
	len += (size_t)n;
	snprintf(l->missed + len, sizeof(l->missed) - len, ")");
	return -ENOENT;
}

/* `digits` digits at *text; -1 if there are none. */
static int take_number(const char **text, int digits)
{
	int n = 0;

	while (digits--) {
		if (**text < '0' || **text > '9')
			return -1;
		n = n * 10 + *(*text)++ - '0';
	}
	return n;
}

int f3_cred_parse_time(const char *text, int64_t *ret_s)
{
	static const char form[] = "Y-m-dTH:M:S";
	int field[128] = { 0 }, hours, minutes = 0;
	struct tm tm = { 0 };
	int64_t offset = 0;
	char sign;

	for (const char *f = form; *f; f++) {
		if (*f == '-' || *f == 'T' || *f == ':') {
			if (*text++ != *f)
				return -EINVAL;
			continue;
		}
		field[(unsigned char)*f] = take_number(&text, *f == 'Y' ? 4 : 2);
		if (field[(unsigned char)*f] < 0)
			return -EINVAL;
	}
	if (field['m'] < 1 || field['m'] > 12 || field['d'] < 1 || field['d'] > 31 ||
	    field['H'] > 23 || field['M'] > 59 || field['S'] > 60)
		return -EINVAL;
	if (*text == '.') {
		size_t n = strspn(++text, "0123456789");

		if (!n)
			return -EINVAL;
		text += n;
	}
	sign = *text;
	if (sign == '+' || sign == '-') {
		text++;
		hours = take_number(&text, 2);
		if (*text == ':')
			text++;
		if (*text)
			minutes = take_number(&text, 2);
		if (hours < 0 || minutes < 0 || *text)
			return -EINVAL;
		offset = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
	} else if (sign != 'Z' || text[1]) {
		return -EINVAL;
	}
	tm.tm_year = field['Y'] - 1900;
	tm.tm_mon = field['m'] - 1;
	tm.tm_mday = field['d'];
	tm.tm_hour = field['H'];
	tm.tm_min = field['M'];
	tm.tm_sec = field['S'];
	*ret_s = (int64_t)timegm(&tm) - offset;
	return 0;
}

int f3_cred_run(struct f3_cred_chain *c, struct f3_http_req *req, struct f3_err *err)
{
	const struct f3_http_options opt = {
		.max_parallel = 2,
		.connect_ns = 5 * F3_NS_PER_SEC,
		.ca_file = f3_cred_env("AWS_CA_BUNDLE"),
	};
	struct f3_http *http = c->http;
	bool closing;
	int error = 0;

	/* Only who looks comes here. */
	if (!http)
		error = f3_http_open(&opt, &http, err);
	if (error)
		return error;
	f3_lock(&c->lock);
	c->http = http;
	closing = c->closing;
	c->req = closing ? NULL : req;
	f3_unlock(&c->lock);
	if (closing)
		return f3_err_set(err, -ECANCELED, "canceled");
	error = f3_http_run(http, req);
	f3_lock(&c->lock);
	c->req = NULL;
	f3_unlock(&c->lock);
	return error ? f3_err_set(err, error, "%s",
				  req->message[0] ? req->message : strerror(-error)) :
		       0;
}

/* ---- One look -------------------------------------------------------------------------------- */

static int look(struct f3_cred_chain *c, struct f3_credentials *ret_c, bool *ret_reread,
		struct f3_err *err)
{
	struct f3_cred_look l = { .chain = c, .profile = c->profile, .region = c->region };
	int error = -ENOENT;

	if (c->anonymous) {
		*ret_c = (struct f3_credentials){ .anonymous = true, .source = "none wanted" };
		return 0;
	}
	/* Who asks for a profile by name does not mean what happens to be in the environment. */
	if (!l.profile)
		error = f3_cred_from_env(&l, ret_c, err);
	if (error == -ENOENT && !l.profile)
		error = f3_cred_from_web_identity(&l, ret_c, err);
	if (error == -ENOENT)
		error = f3_cred_from_files(&l, ret_c, err);
	if (error == -ENOENT)
		error = f3_cred_from_container(&l, ret_c, err);
	if (error == -ENOENT)
		error = f3_cred_from_metadata(&l, ret_c, err);
	if (error == -ENOENT)
		error = f3_err_set(err, -ENOKEY, "no credentials found; looked at: %s", l.missed);
	*ret_reread = l.plain_files;
	return error;
}

static bool valid(const struct f3_cred_chain *c)
{
	return c->have && (!c->now.expires_s || c->now.expires_s > (int64_t)time(NULL));
}

/* When the timer has to look; 0: not at all. With the lock. */
static uint64_t next_look(struct f3_cred_chain *c)
{
	int64_t left;

	if (!c->work || c->closing || !c->have || !c->now.expires_s)
		return 0;
	left = c->now.expires_s - RENEW_EARLY_S - (int64_t)time(NULL);
	/* Those that were renewed and still end soon are asked for again like those that could
	 * not be renewed: instances offer the next ones at some time in these five minutes. */
	if (c->error || left <= 0)
		return f3_clock_mono_ns() + f3_backoff_next_ns(&c->backoff);
	c->backoff.attempt = 0;
	if (left > INT32_MAX)
		left = INT32_MAX;
	return f3_clock_mono_ns() + (uint64_t)left * F3_NS_PER_SEC;
}

/* Whoever has set c->looking. */
static void look_and_settle(struct f3_cred_chain *c)
{
	struct f3_credentials found = { .source = "" };
	struct f3_err err = F3_ERR_INIT;
	bool reread = false;
	int error = look(c, &found, &reread, &err);
	uint64_t due;

	f3_lock(&c->lock);
	c->error = error;
	c->why = err;
	if (!error) {
		f3_credentials_wipe(&c->now);
		copy(&c->now, &found);
		c->have = true;
		c->reread = reread;
	}
	c->refused = false;
	c->looked_mono_ns = f3_clock_mono_ns();
	c->looks++;
	due = next_look(c);
	f3_unlock(&c->lock);
	f3_credentials_wipe(&found);

	/* Without memory for the timer they are renewed when they have ended, by who asks. */
	if (due)
		f3_timer_arm(&c->timer, due);

	f3_lock(&c->lock);
	c->looking = false;
	pthread_cond_broadcast(&c->done);
	f3_unlock(&c->lock);
}

static void renew(struct f3_work *work)
{
	struct f3_timer *t = (struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));
	struct f3_cred_chain *c =
		(struct f3_cred_chain *)((char *)t - offsetof(struct f3_cred_chain, timer));
	bool mine;

	f3_lock(&c->lock);
	mine = !c->looking && !c->closing;
	if (mine)
		c->looking = true;
	f3_unlock(&c->lock);
	if (mine)
		look_and_settle(c);
}

/* ---- What callers ask for -------------------------------------------------------------------- */

int f3_cred_chain_new(const struct f3_cred_options *opt, struct f3_cred_chain **ret_c)
{
	struct f3_cred_chain *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	f3_lock_init(&c->lock, F3_RANK_QUEUE);
	f3_cond_init(&c->done);
	f3_timer_init(&c->timer, opt->work, renew);
	c->backoff = (struct f3_backoff){ .base_ns = RETRY_BASE_NS, .max_ns = RETRY_MAX_NS };
	c->anonymous = opt->anonymous;
	c->work = opt->work;
	c->profile = opt->profile ? strdup(opt->profile) : NULL;
	c->region = opt->region ? strdup(opt->region) : NULL;
	if ((opt->profile && !c->profile) || (opt->region && !c->region)) {
		f3_cred_chain_free(c);
		return -ENOMEM;
	}
	*ret_c = c;
	return 0;
}

void f3_cred_chain_free(struct f3_cred_chain *c)
{
	const struct f3_http_req *req;
	struct f3_http *http;

	if (!c)
		return;
	f3_lock(&c->lock);
	c->closing = true;
	req = c->req;
	http = c->http;
	f3_unlock(&c->lock);
	if (req)
		f3_http_cancel(http, req);
	f3_lock(&c->lock);
	while (c->looking)
		f3_cond_wait(&c->done, &c->lock, 0);
	f3_unlock(&c->lock);
	/* What is in the queue by now finds that it has nothing to do, but it has to be over. */
	if (c->work && !f3_timer_cancel(&c->timer))
		f3_workq_drain(c->work);
	f3_http_close(c->http);
	pthread_cond_destroy(&c->done);
	f3_lock_done(&c->lock);
	free(c->profile);
	free(c->region);
	f3_credentials_wipe(&c->now);
	free(c);
}

/* Files with plain keys say nothing of their end: somebody may have written others into them. With
 * the lock. */
static bool is_stale(const struct f3_cred_chain *c)
{
	return c->work && !c->looking && c->have && c->reread &&
	       f3_clock_mono_ns() - c->looked_mono_ns > REREAD_NS;
}

int f3_cred_try(struct f3_cred_chain *c, struct f3_credentials *ret_c)
{
	bool stale = false;
	int error = -EAGAIN;

	f3_lock(&c->lock);
	if (valid(c) && !c->refused) {
		copy(ret_c, &c->now);
		stale = is_stale(c);
		error = 0;
	}
	f3_unlock(&c->lock);
	if (stale)
		f3_timer_arm(&c->timer, f3_clock_mono_ns());
	return error;
}

/* The last look has failed just now: it would again. With the lock. */
static bool failed_just_now(const struct f3_cred_chain *c)
{
	return c->error && c->looked_mono_ns && f3_clock_mono_ns() - c->looked_mono_ns < FAILED_NS;
}

int f3_cred_get(struct f3_cred_chain *c, struct f3_credentials *ret_c, struct f3_err *err)
{
	struct f3_err why = F3_ERR_INIT;
	uint64_t seen;
	int error = f3_cred_try(c, ret_c);
	bool ended = false;

	if (!error)
		return 0;
	f3_lock(&c->lock);
	seen = c->looks;
	while (c->looking)
		f3_cond_wait(&c->done, &c->lock, 0);
	if (c->looks == seen && !failed_just_now(c)) {
		c->looking = true;
		f3_unlock(&c->lock);
		look_and_settle(c);
		f3_lock(&c->lock);
	}
	/* Those that a store refused are all there is if no others could be found. */
	if (valid(c)) {
		copy(ret_c, &c->now);
		error = 0;
	} else {
		ended = c->have;
		/* Found, and over before they could be used. */
		error = c->error ? c->error : -EKEYEXPIRED;
		why = c->why;
	}
	f3_unlock(&c->lock);
	if (!error)
		return 0;
	if (!ended)
		return f3_err_set(err, error, "%s", why.text);
	return f3_err_set(err, -EKEYEXPIRED, "the credentials have ended%s%s",
			  why.text[0] ? " and cannot be renewed: " : "", why.text);
}

void f3_cred_refused(struct f3_cred_chain *c, const struct f3_credentials *used)
{
	f3_lock(&c->lock);
	if (c->have && !c->looking && same(&c->now, used) &&
	    f3_clock_mono_ns() - c->looked_mono_ns > REFUSED_NS)
		c->refused = true;
	f3_unlock(&c->lock);
}

/* Regions become parts of host names. */
static int put_region(const char *text, char *ret_region, size_t size)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
		      (text[i] >= '0' && text[i] <= '9') || text[i] == '-' || text[i] == '_'))
			return -EINVAL;
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(ret_region, text, len + 1);
	return 0;
}

int f3_cred_region(const struct f3_cred_options *opt, char *ret_region, size_t size)
{
	const char *text = f3_cred_env("AWS_REGION");
	char of_profile[64];
	int error;

	if (opt->region)
		text = opt->region;
	if (!text)
		text = f3_cred_env("AWS_DEFAULT_REGION");
	if (!text) {
		error = f3_cred_profile_region(opt->profile, of_profile, sizeof(of_profile));
		if (error)
			return error;
		text = of_profile;
	}
	return put_region(text, ret_region, size);
}
