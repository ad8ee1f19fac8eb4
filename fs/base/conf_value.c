/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value against its row of the option table: type, choices, range.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/conf_impl.h"

static const char *const bool_names[2][4] = { { "no", "false", "off", "0" },
					      { "yes", "true", "on", "1" } };

static int parse_bool(const char *text)
{
	for (int yes = 0; yes < 2; yes++)
		for (size_t i = 0; i < 4; i++)
			if (strcmp(text, bool_names[yes][i]) == 0)
				return yes;
	return -1;
}

/* Its place among the choices, or -1. */
static int parse_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);
	int i = 0;

	for (const char *p = choices;; p++, i++) {
		size_t n = strcspn(p, "|");

		if (n == len && strncmp(p, text, n) == 0)
			return i;
		p += n;
		if (!*p)
			return -1;
	}
}

/* Without doubled, last and "." slashes, in place. false if it is not absolute or goes up. */
static bool tidy_path(char *path)
{
	char *to = path;

	if (path[0] != '/')
		return false;
	for (const char *p = path; *p;) {
		size_t n;

		while (*p == '/')
			p++;
		n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.')
			return false;
		if (n && !(n == 1 && p[0] == '.')) {
			*to++ = '/';
			memmove(to, p, n);
			to += n;
		}
		p += n;
	}
	if (to == path)
		to++;
	*to = '\0';
	return true;
}

/* s3://BUCKET/PREFIX: the slashes at its end go. What a bucket may be called its backend knows. */
static int tidy_s3(const char *key, char *url, struct f3_err *err)
{
	size_t len = strlen(url);

	while (len > strlen("s3://") && url[len - 1] == '/')
		url[--len] = '\0';
	if (len == strlen("s3://") || url[strlen("s3://")] == '/' || strpbrk(url, "?#@"))
		return f3_err_set(err, -EINVAL,
				  "%s: after s3:// a bucket and maybe a prefix are "
				  "wanted, and nothing else",
				  key);
	return 0;
}

/* file:///DIR, tidied in place: 0 or -errno with the reason. */
static int tidy_url(const char *key, char *url, struct f3_err *err)
{
	char *path = url + strlen("file://");

	if (strncmp(url, "s3://", strlen("s3://")) == 0)
		return tidy_s3(key, url, err);
	if (strncmp(url, "file://", strlen("file://")) != 0)
		return f3_err_set(err, -EINVAL,
				  "%s: \"%.200s\" is neither file:///DIR nor "
				  "s3://BUCKET/PREFIX",
				  key, url);
	if (!tidy_path(path) || !path[1])
		return f3_err_set(
			err, -EINVAL,
			"%s: \"%.200s\" names no directory: three slashes and an absolute "
			"path without \"..\" are wanted",
			key, url);
	return 0;
}

/* Numbers with a range: the value itself, or the reason why not. */
static int parse_number(const struct f3_conf_opt *opt, const char *text, uint64_t *ret_number,
			struct f3_err *err)
{
	static const struct {
		int (*parse)(const char *text, uint64_t *ret);
		const char *what;
	} kinds[] = {
		[F3_CONF_BYTES] = { f3_parse_bytes, "a size like 512M or 200G" },
		[F3_CONF_DURATION] = { f3_parse_duration, "a time like 250ms, 1s or 5m" },
		[F3_CONF_DECIMAL] = { f3_parse_decimal, "a number like 5 or 0.4" },
	};
	uint64_t n = 0, bound;
	const char *what = "a whole number";
	char limit[40];
	int error;

	if (opt->type == F3_CONF_UINT) {
		error = f3_parse_uint(text, UINT64_MAX, &n);
	} else {
		error = kinds[opt->type].parse(text, &n);
		what = kinds[opt->type].what;
	}
	if (error == -ERANGE)
		return f3_err_set(err, -ERANGE, "%s: %.200s is too large", opt->key, text);
	if (error)
		return f3_err_set(err, error, "%s: \"%.200s\" is not %s", opt->key, text, what);
	if (n >= opt->min && (!opt->max || n <= opt->max)) {
		*ret_number = n;
		return 0;
	}
	bound = n < opt->min ? opt->min : opt->max;
	if (opt->type == F3_CONF_BYTES)
		f3_format_bytes(bound, limit, sizeof(limit));
	else if (opt->type == F3_CONF_DURATION)
		snprintf(limit, sizeof(limit), "%.9gs", (double)bound / 1e9);
	else
		snprintf(limit, sizeof(limit), "%llu", (unsigned long long)bound);
	return f3_err_set(err, -ERANGE, "%s: %s is %s %s", opt->key, text,
			  n < opt->min ? "less than" : "more than", limit);
}

static bool is_name(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return len <= 255;
}

int f3_conf_parse_value(const struct f3_conf_opt *opt, const char *text, uint64_t *ret_number,
			char **ret_text, struct f3_err *err)
{
	struct sockaddr_storage address;
	const char *stored = text;
	uint64_t number = 0;
	socklen_t len;
	char *copy;
	int n = 0;

	if (!*text)
		return f3_err_set(err, -EINVAL, "%s: the value is missing", opt->key);
	switch (opt->type) {
	case F3_CONF_BYTES:
	case F3_CONF_DURATION:
	case F3_CONF_UINT:
	case F3_CONF_DECIMAL:
		n = parse_number(opt, text, &number, err);
		if (n)
			return n;
		break;
	case F3_CONF_MODE:
		if (strspn(text, "01234567") != strlen(text) || strlen(text) > 5 ||
		    (number = strtoul(text, NULL, 8)) > 07777)
			return f3_err_set(err, -EINVAL,
					  "%s: \"%.200s\" is not an octal mode like 755", opt->key,
					  text);
		break;
	case F3_CONF_BOOL:
		n = parse_bool(text);
		if (n < 0)
			return f3_err_set(err, -EINVAL, "%s: \"%.200s\" is neither yes nor no",
					  opt->key, text);
		number = (uint64_t)n;
		stored = bool_names[n][0];
		break;
	case F3_CONF_ENUM:
		n = parse_choice(opt->choices, text);
		if (n < 0)
			return f3_err_set(err, -EINVAL, "%s: \"%.200s\" is not one of %s", opt->key,
					  text, opt->choices);
		number = (uint64_t)n;
		break;
	case F3_CONF_ADDRESS:
		if (f3_parse_address(text, &address, &len))
			return f3_err_set(err, -EINVAL,
					  "%s: \"%.200s\" is not ADDRESS:PORT (numbers, as in "
					  "127.0.0.1:9333 or [::1]:9333)",
					  opt->key, text);
		break;
	case F3_CONF_UINT_LIST:
		if (f3_parse_uint(text, UINT32_MAX, &number))
			return f3_err_set(err, -EINVAL, "%s: \"%.200s\" is not a 32-bit number",
					  opt->key, text);
		break;
	case F3_CONF_NAME_LIST:
		if (!is_name(text))
			return f3_err_set(err, -EINVAL,
					  "%s: a name has 1 to 255 bytes and no control characters",
					  opt->key);
		break;
	case F3_CONF_STRING:
	case F3_CONF_PATH:
	case F3_CONF_URL:
		break;
	}
	copy = strdup(stored);
	if (!copy)
		return f3_err_set(err, -ENOMEM, "out of memory");
	if (opt->type == F3_CONF_PATH && !tidy_path(copy)) {
		free(copy);
		return f3_err_set(err, -EINVAL,
				  "%s: \"%.300s\" is not an absolute path without \"..\"", opt->key,
				  text);
	}
	n = opt->type == F3_CONF_URL ? tidy_url(opt->key, copy, err) : 0;
	if (n) {
		free(copy);
		return n;
	}
	*ret_number = number;
	*ret_text = copy;
	return 0;
}
