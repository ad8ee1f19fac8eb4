/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 512

static int parse_class(void *field, const char *value)
{
	return f3_class_parse(value, strlen(value), field);
}

static int parse_bytes(void *field, const char *value)
{
	return f3_parse_bytes(value, field);
}

static int parse_time(void *field, const char *value)
{
	return f3_parse_duration(value, field);
}

static int parse_count(void *field, const char *value)
{
	return f3_parse_uint(value, UINT64_MAX, field);
}

static int parse_bool(void *field, const char *value)
{
	*(bool *)field = !strcmp(value, "yes") || !strcmp(value, "true");
	return 0;
}

static int parse_id(void *field, const char *value)
{
	uint64_t n;
	int r = f3_parse_uint(value, UINT32_MAX - 1, &n);

	if (!r)
		*(uint32_t *)field = (uint32_t)n;
	return r;
}

static int parse_mode(void *field, const char *value)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 8);
	if (errno || *end || end == value || n > 07777)
		return -EINVAL;
	*(mode_t *)field = (mode_t)n;
	return 0;
}

static int parse_text(void *field, const char *value)
{
	if (strlen(value) > F3_SETTING_MAX)
		return -EINVAL;
	memcpy(field, value, strlen(value) + 1);
	return 0;
}

static int parse_path(void *field, const char *value)
{
	if (value[0] != '/' || strlen(value) >= PATH_MAX)
		return -EINVAL;
	memcpy(field, value, strlen(value) + 1);
	return 0;
}

static int parse_encryption(void *field, const char *value)
{
	return parse_text(field, strcmp(value, "none") ? value : "");
}

static int choose(const char *const *names, const char *value)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], value))
			return i;
	return -EINVAL;
}

static int parse_attributes(void *field, const char *value)
{
	static const char *const names[] = { "object", "listing", NULL };
	int n = choose(names, value);

	if (n >= 0)
		*(bool *)field = n;
	return n < 0 ? n : 0;
}

static int parse_exit(void *field, const char *value)
{
	static const char *const names[] = { "any", "zero", NULL };
	int n = choose(names, value);

	if (n >= 0)
		*(bool *)field = n;
	return n < 0 ? n : 0;
}

static int parse_style(void *field, const char *value)
{
	static const char *const names[] = { "auto", "yes", "no", NULL };
	int n = choose(names, value);

	if (n >= 0)
		*(enum f3_s3_style *)field = (enum f3_s3_style)n;
	return n < 0 ? n : 0;
}

static int parse_checksum(void *field, const char *value)
{
	static const char *const names[] = { "auto", "crc32c", "md5", "sha256", "none", NULL };
	int n = choose(names, value);

	if (n >= 0)
		*(enum f3_s3_checksum *)field = (enum f3_s3_checksum)n;
	return n < 0 ? n : 0;
}

/* "a, b": added to what is there. */
static int parse_namespaces(void *field, const char *value)
{
	char *all = field;

	while (*value) {
		size_t len = strcspn(value, ","), rest = len, at = strlen(all);
		const char *name = value;

		value += len + (value[len] == ',');
		while (rest && (*name == ' ' || *name == '\t')) {
			name++;
			rest--;
		}
		while (rest && (name[rest - 1] == ' ' || name[rest - 1] == '\t'))
			rest--;
		if (!rest || at + rest + 2 > F3_NAMESPACES_MAX)
			return -EINVAL;
		memcpy(all + at, name, rest);
		all[at + rest] = '\n';
		all[at + rest + 1] = '\0';
	}
	return 0;
}

static const struct setting {
	const char *key;
	int (*parse)(void *field, const char *value);
	size_t field;
} settings[] = {
	{ "default-class", parse_class, offsetof(struct f3_settings, dflt) },
	{ "quota", parse_bytes, offsetof(struct f3_settings, quota_bytes) },
	{ "quota-inodes", parse_count, offsetof(struct f3_settings, quota_inodes) },
	{ "attr-ttl", parse_time, offsetof(struct f3_settings, attr_ttl_ns) },
	{ "stream-grace", parse_time, offsetof(struct f3_settings, stream_grace_ns) },
	{ "stream-exit", parse_exit, offsetof(struct f3_settings, stream_exit_zero) },
	{ "attributes", parse_attributes, offsetof(struct f3_settings, listed_attr) },
	{ "readonly", parse_bool, offsetof(struct f3_settings, read_only) },
	{ "uid", parse_id, offsetof(struct f3_settings, uid) },
	{ "gid", parse_id, offsetof(struct f3_settings, gid) },
	{ "mode", parse_mode, offsetof(struct f3_settings, mode) },
	{ "endpoint", parse_text, offsetof(struct f3_settings, endpoint) },
	{ "region", parse_text, offsetof(struct f3_settings, region) },
	{ "path-style", parse_style, offsetof(struct f3_settings, style) },
	{ "profile", parse_text, offsetof(struct f3_settings, profile) },
	{ "anonymous", parse_bool, offsetof(struct f3_settings, anonymous) },
	{ "ca-file", parse_path, offsetof(struct f3_settings, ca_file) },
	{ "storage-class", parse_text, offsetof(struct f3_settings, storage_class) },
	{ "encryption", parse_encryption, offsetof(struct f3_settings, encryption) },
	{ "kms-key", parse_text, offsetof(struct f3_settings, kms_key) },
	{ "checksum", parse_checksum, offsetof(struct f3_settings, checksum) },
	{ "requests", parse_count, offsetof(struct f3_settings, requests) },
	{ "timeout", parse_time, offsetof(struct f3_settings, timeout_ns) },
	{ "hedge-after", parse_time, offsetof(struct f3_settings, hedge_ns) },
	{ "namespace", parse_namespaces, offsetof(struct f3_settings, namespaces) },
};

#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))

static int take(struct f3_settings *s, const char *key, const char *value, struct f3_err *err)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (!strcmp(settings[i].key, key) &&
		    !settings[i].parse((char *)s + settings[i].field, value))
			return 0;
	return f3_err_set(err, -EINVAL, "volume setting %s=%s is not understood", key, value);
}

int f3_settings_from_text(struct f3_settings *s, const char *text, struct f3_err *err)
{
	char line[LINE_MAX_BYTES];

	while (*text) {
		size_t len = strcspn(text, "\n");
		char *eq;
		int r;

		if (len >= sizeof(line))
			return f3_err_set(err, -EINVAL, "a volume setting is too long");
		memcpy(line, text, len);
		line[len] = '\0';
		text += len + (text[len] == '\n');
		if (!len)
			continue;
		eq = strchr(line, '=');
		if (!eq)
			return f3_err_set(err, -EINVAL, "volume setting \"%s\" has no value", line);
		*eq = '\0';
		r = take(s, line, eq + 1, err);
		if (r)
			return r;
	}
	return 0;
}

int f3_settings_from_conf(struct f3_settings *s, const struct f3_conf *conf, const char *volume,
			  struct f3_err *err)
{
	const char *const *names;
	size_t n = f3_conf_list(conf, "volume", volume, "namespace", &names);
	int r = 0;

	for (size_t i = 0; i < N_SETTINGS && !r; i++) {
		const char *value;

		if (settings[i].parse == parse_namespaces)
			continue;
		value = f3_conf_str(conf, "volume", volume, settings[i].key);
		r = value ? take(s, settings[i].key, value, err) : 0;
	}
	for (size_t i = 0; i < n && !r; i++)
		r = take(s, "namespace", names[i], err);
	return r;
}

struct f3_s3_options f3_settings_s3(const struct f3_settings *s)
{
	return (struct f3_s3_options){
		.endpoint = s->endpoint,
		.region = s->region,
		.profile = s->profile,
		.ca_file = s->ca_file,
		.storage_class = s->storage_class,
		.encryption = s->encryption,
		.kms_key = s->kms_key,
		.style = s->style,
		.checksum = s->checksum,
		.anonymous = s->anonymous,
		.max_parallel = (unsigned)s->requests,
		.timeout_ns = s->timeout_ns,
		.hedge_ns = s->hedge_ns,
	};
}
