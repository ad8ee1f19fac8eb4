/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What needs more than one value, or the meaning of one: paths that must not lie in each other,
 * classes against URLs, limits against each other.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/conf_impl.h"

#define FILE_URL "file://"

static const char *where(const struct f3_conf *c, const char *section, const char *inst,
			 const char *key)
{
	return f3_conf_where(f3_conf_source(c, section, inst, key));
}

/* Whether path is dir or lies below it. Both are tidy. */
static bool inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || !path[len]);
}

/* ---- [f3] ------------------------------------------------------------------------------------ */

static int check_log(const struct f3_conf *c, struct f3_err *err)
{
	const char *log = f3_conf_str(c, "f3", NULL, "log");
	const char *access = f3_conf_str(c, "f3", NULL, "access-log");

	if (log[0] != '/' && strcmp(log, "journal") != 0 && strcmp(log, "stderr") != 0)
		return f3_err_set(err, -EINVAL,
				  "%s: log: \"%.200s\" is neither journal, stderr nor the absolute "
				  "name of a file",
				  where(c, "f3", NULL, "log"), log);
	if (access[0] != '/' && strcmp(access, "yes") != 0 && strcmp(access, "no") != 0)
		return f3_err_set(err, -EINVAL,
				  "%s: access-log: \"%.200s\" is neither yes, no nor the absolute "
				  "name of a file",
				  where(c, "f3", NULL, "access-log"), access);
	return 0;
}

static int check_limits(const struct f3_conf *c, struct f3_err *err)
{
	static const char *const pairs[][2] = {
		{ "cache-low", "cache-size" },
		{ "retry-min", "retry-max" },
	};
	uint64_t fill = f3_conf_u64(c, "f3", NULL, "fill-size");

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const char *low = pairs[i][0], *high = pairs[i][1];

		if (f3_conf_u64(c, "f3", NULL, low) > f3_conf_u64(c, "f3", NULL, high))
			return f3_err_set(err, -EINVAL, "%s: %s is more than %s, which is %s (%s)",
					  where(c, "f3", NULL, low), low, high,
					  f3_conf_str(c, "f3", NULL, high),
					  where(c, "f3", NULL, high));
	}
	if (fill % 4096)
		return f3_err_set(err, -EINVAL, "%s: fill-size: %s is no multiple of 4 KiB",
				  where(c, "f3", NULL, "fill-size"),
				  f3_conf_str(c, "f3", NULL, "fill-size"));
	return 0;
}

/* The daemon must never need its own mount: what it works on lies outside. */
static int check_paths(const struct f3_conf *c, struct f3_err *err)
{
	static const char *const outside[] = { "cache", "run-dir", "memory-dir", "log",
					       "access-log" };
	const char *mountpoint = f3_conf_str(c, "f3", NULL, "mountpoint");
	const char *cache = f3_conf_str(c, "f3", NULL, "cache");

	if (!mountpoint)
		return f3_err_set(err, -EINVAL,
				  "no mountpoint: give one as argument or in [f3] mountpoint");
	if (strcmp(mountpoint, "/") == 0)
		return f3_err_set(err, -EINVAL, "%s: mountpoint: not on \"/\"",
				  where(c, "f3", NULL, "mountpoint"));
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		const char *path = f3_conf_str(c, "f3", NULL, outside[i]);

		if (path && path[0] == '/' && inside(path, mountpoint))
			return f3_err_set(
				err, -EINVAL, "%s: %s: %.200s lies inside the mountpoint %.200s",
				where(c, "f3", NULL, outside[i]), outside[i], path, mountpoint);
	}
	if (inside(mountpoint, cache))
		return f3_err_set(err, -EINVAL,
				  "%s: mountpoint: %.200s lies inside the cache directory %.200s",
				  where(c, "f3", NULL, "mountpoint"), mountpoint, cache);
	return 0;
}

/* ---- Volumes --------------------------------------------------------------------------------- */

static int check_url(const struct f3_conf *c, const char *name, const char *url, struct f3_err *err)
{
	const char *from = where(c, "volume", name, "url"), *dir = url + strlen(FILE_URL);
	const char *mountpoint = f3_conf_str(c, "f3", NULL, "mountpoint");

	if (strncmp(url, FILE_URL, strlen(FILE_URL)) != 0)
		return 0;
	if (inside(dir, mountpoint))
		return f3_err_set(err, -EINVAL, "%s: url: %.200s lies inside the mountpoint %.200s",
				  from, dir, mountpoint);
	if (inside(dir, f3_conf_str(c, "f3", NULL, "cache")))
		return f3_err_set(err, -EINVAL, "%s: url: %.200s lies inside the cache directory",
				  from, dir);
	return 0;
}

/* Another server may have a bucket of the same name. */
static bool same_server(const struct f3_conf *c, const char *a, const char *b)
{
	const char *x = f3_conf_str(c, "volume", a, "endpoint");
	const char *y = f3_conf_str(c, "volume", b, "endpoint");

	return strcmp(x ? x : "", y ? y : "") == 0;
}

/* Two volumes over the same objects would undo each other's changes. */
static int check_overlap(const struct f3_conf *c, size_t nth, struct f3_err *err)
{
	const char *url = f3_conf_str(c, "volume", c->volumes[nth], "url");

	for (size_t i = 0; url && i < nth; i++) {
		const char *other = f3_conf_str(c, "volume", c->volumes[i], "url");

		if (other && same_server(c, c->volumes[nth], c->volumes[i]) &&
		    (inside(url, other) || inside(other, url)))
			return f3_err_set(
				err, -EINVAL, "%s: url: %.200s overlaps that of volume %.80s",
				where(c, "volume", c->volumes[nth], "url"), url, c->volumes[i]);
	}
	return 0;
}

/* class: a choice of default-class. from: where it is asked for. */
static int check_class(const struct f3_conf *c, const char *volume, const char *class_,
		       const char *from, struct f3_err *err)
{
	bool local = strcmp(class_, "memory") == 0 || strcmp(class_, "ephemeral") == 0;

	if (strcmp(class_, "replicated") == 0)
		return f3_err_set(err, -EOPNOTSUPP, "%s: class replicated is not in this build yet",
				  from);
	if (!local && !f3_conf_str(c, "volume", volume, "url"))
		return f3_err_set(err, -EINVAL,
				  "%s: class %s wants a store, and volume %.80s has no url", from,
				  class_, volume);
	return 0;
}

/* "CLASS [stream]" */
static int check_rule(const struct f3_conf *c, const char *volume, const struct f3_conf_rule *rule,
		      struct f3_err *err)
{
	const char *from = f3_conf_where(rule->source);
	const char *choices = f3_conf_find_opt("volume", "default-class")->choices;
	size_t len = strcspn(rule->value, " \t");
	const char *rest = rule->value + len;
	char class_[16] = "";
	struct f3_err reason;
	uint64_t number;
	char *text;

	if (!*rule->pattern)
		return f3_err_set(err, -EINVAL, "%s: a rule without a pattern", from);
	if (len < sizeof(class_)) {
		memcpy(class_, rule->value, len);
		class_[len] = '\0';
	}
	rest += strspn(rest, " \t");
	if (*rest && strcmp(rest, "stream") != 0)
		return f3_err_set(err, -EINVAL,
				  "%s: \"%.200s\": after the class only \"stream\" may stand", from,
				  rule->value);
	if (f3_conf_parse_value(f3_conf_find_opt("volume", "default-class"), class_, &number, &text,
				&reason))
		return f3_err_set(err, reason.code,
				  "%s: \"%.200s\": a class (%s) is wanted, maybe "
				  "followed by \"stream\"",
				  from, rule->value, choices);
	free(text);
	return check_class(c, volume, class_, from, err);
}

static int check_volume(const struct f3_conf *c, size_t nth, struct f3_err *err)
{
	const char *name = c->volumes[nth];
	const char *url = f3_conf_str(c, "volume", name, "url");
	const char *class_ = f3_conf_str(c, "volume", name, "default-class");
	const struct f3_conf_rule *rules;
	size_t n = f3_conf_rules(c, name, &rules);
	int error = url ? check_url(c, name, url, err) : 0;

	if (!error)
		error = check_overlap(c, nth, err);
	if (!error && class_)
		error = check_class(c, name, class_, where(c, "volume", name, "default-class"),
				    err);
	if (!error && strcmp(f3_conf_str(c, "volume", name, "authority"), "store") == 0)
		error = f3_err_set(err, -EOPNOTSUPP,
				   "%s: authority = store is not in this build yet",
				   where(c, "volume", name, "authority"));
	for (size_t i = 0; !error && i < n; i++)
		error = check_rule(c, name, &rules[i], err);
	return error;
}

int f3_conf_check(const struct f3_conf *c, struct f3_err *err)
{
	int error = check_log(c, err);

	if (!error)
		error = check_limits(c, err);
	if (!error)
		error = check_paths(c, err);
	for (size_t i = 0; !error && i < c->n_volumes; i++)
		error = check_volume(c, i, err);
	for (size_t i = 0; !error && i < c->n_places; i++)
		if (!f3_conf_find_section(c, "volume", c->places[i].volume))
			error = f3_err_set(err, -EINVAL,
					   "%s: [placement %.80s]: there is no such volume",
					   f3_conf_where(c->places[i].source), c->places[i].volume);
	return error;
}
