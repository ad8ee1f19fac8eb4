/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/s3_place.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SCHEME "s3://"

/* AWS's rules for names of buckets, with the capitals and underscores of older ones. */
static bool bucket_ok(const char *b, size_t len)
{
	if (len < 3 || len > 63)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)b[i]) && !strchr(".-_", b[i]))
			return false;
	return isalnum((unsigned char)b[0]) && isalnum((unsigned char)b[len - 1]);
}

static bool host_ok(const char *host)
{
	size_t len = strlen(host);

	if (!len || len >= F3_S3_HOST_MAX - 64)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr(".-_:[]", host[i]))
			return false;
	return true;
}

static int take_endpoint(struct f3_s3_place *p, const char *endpoint, char *host, size_t size,
			 struct f3_err *err)
{
	const char *rest;

	if (!strncmp(endpoint, "https://", 8)) {
		p->tls = true;
		rest = endpoint + 8;
	} else if (!strncmp(endpoint, "http://", 7)) {
		rest = endpoint + 7;
	} else {
		return f3_err_set(err, -EINVAL,
				  "endpoint: it must begin with https:// or http://, and be "
				  "nothing but that, a host and maybe a port");
	}
	if (snprintf(host, size, "%s", rest) >= (int)size)
		return f3_err_set(err, -EINVAL, "endpoint: too long");
	if (*host && host[strlen(host) - 1] == '/')
		host[strlen(host) - 1] = '\0';
	/* Not the whole text: there may be a password in it. */
	if (!host_ok(host))
		return f3_err_set(err, -EINVAL,
				  "endpoint: after http:// or https:// only a host and maybe a "
				  "port are understood");
	return 0;
}

static int take_url(struct f3_s3_place *p, const char *url, struct f3_err *err)
{
	const char *bucket = url + strlen(SCHEME), *prefix;
	size_t len = strcspn(bucket, "/");

	if (strncmp(url, SCHEME, strlen(SCHEME)) != 0 || !bucket_ok(bucket, len))
		return f3_err_set(
			err, -EINVAL,
			"\"%.80s\": s3://BUCKET/PREFIX is expected, with a bucket of 3 to "
			"63 letters, digits, '-' and '.'",
			url);
	memcpy(p->bucket, bucket, len);
	p->bucket[len] = '\0';
	prefix = bucket + len;
	prefix += strspn(prefix, "/");
	len = strlen(prefix);
	while (len && prefix[len - 1] == '/')
		len--;
	if (len > F3_OBJ_KEY_MAX / 2)
		return f3_err_set(err, -EINVAL, "s3://%s: the prefix has more than %d bytes",
				  p->bucket, F3_OBJ_KEY_MAX / 2);
	if (len) {
		memcpy(p->prefix, prefix, len);
		p->prefix[len] = '/';
		p->prefix[len + 1] = '\0';
	}
	return 0;
}

static bool default_port(const struct f3_s3_place *p, const char *host)
{
	size_t len = strlen(host), port = p->tls ? 4 : 3;

	return len > port && !strcmp(host + len - port, p->tls ? ":443" : ":80");
}

int f3_s3_place_parse(const char *url, const char *endpoint, const char *region,
		      enum f3_s3_style style, struct f3_s3_place *ret_p, struct f3_err *err)
{
	struct f3_s3_place p = { .tls = endpoint == NULL };
	char host[F3_S3_HOST_MAX];
	int r;

	if (!*region || strlen(region) > F3_S3_REGION_MAX ||
	    strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
		    strlen(region))
		return f3_err_set(err, -EINVAL, "\"%.64s\" is no name of a region", region);
	snprintf(p.region, sizeof(p.region), "%s", region);
	r = take_url(&p, url, err);
	if (r)
		return r;
	if (endpoint)
		r = take_endpoint(&p, endpoint, host, sizeof(host), err);
	else
		snprintf(host, sizeof(host), "s3.%s.amazonaws.com%s", region,
			 strncmp(region, "cn-", 3) ? "" : ".cn");
	if (r)
		return r;
	/* What the header Host says is signed, and curl leaves out what is usual. */
	if (default_port(&p, host))
		*strrchr(host, ':') = '\0';
	if (style == F3_S3_STYLE_AUTO)
		p.path_style = endpoint || strchr(p.bucket, '.');
	else
		p.path_style = style == F3_S3_STYLE_PATH;
	if (p.path_style)
		snprintf(p.host, sizeof(p.host), "%s", host);
	else
		snprintf(p.host, sizeof(p.host), "%s.%.250s", p.bucket, host);
	snprintf(p.base, sizeof(p.base), "%s%s", p.tls ? "https://" : "http://", p.host);
	*ret_p = p;
	return 0;
}

int f3_s3_place_key(const struct f3_s3_place *p, const char *key, bool marker,
		    char ret_key[F3_OBJ_KEY_MAX + 2])
{
	int n = snprintf(ret_key, F3_OBJ_KEY_MAX + 2, "%s%s%s", p->prefix, key,
			 marker && *key ? "/" : "");

	return n > F3_OBJ_KEY_MAX ? -ENAMETOOLONG : 0;
}

int f3_s3_place_path(const struct f3_s3_place *p, const char *key, bool marker,
		     char ret_path[F3_S3_PATH_MAX])
{
	char full[F3_OBJ_KEY_MAX + 2] = "";
	int r = key ? f3_s3_place_key(p, key, marker, full) : 0;

	if (r)
		return r;
	if (p->path_style)
		snprintf(ret_path, F3_S3_PATH_MAX, "/%s%s%s", p->bucket, key ? "/" : "", full);
	else
		snprintf(ret_path, F3_S3_PATH_MAX, "/%s", full);
	return 0;
}
