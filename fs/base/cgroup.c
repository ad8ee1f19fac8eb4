/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory limit of the process's cgroups: /proc/self/cgroup names the group, mountinfo where
 * its hierarchy is mounted (cgroups(7), proc(5)), and each group up to the mount's root may have
 * a limit. Version 1 (the memory controller's own hierarchy) and version 2 may both be there.
 */
#include "config.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/budget.h"
#include "fs/base/file.h"

struct hierarchy {
	bool v2;
	char group[PATH_MAX]; /* of the process, as seen from the hierarchy's root */
	char root[PATH_MAX]; /* the group that is mounted */
	char mount[PATH_MAX];
};

/* Is `word` in the comma-separated list? */
static bool listed(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, word, len) == 0 && (p[len] == ',' || !p[len]))
			return true;
	}
	return false;
}

/* Gives take() the lines of a file, without their ends, until one is what was looked for. */
static bool find_line(const char *top, const char *file, bool (*take)(struct hierarchy *, char *),
		      struct hierarchy *h)
{
	char path[PATH_MAX], *line = NULL;
	bool found = false;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", top, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		found = take(h, line);
	}
	free(line);
	fclose(f);
	return found;
}

/* ID:CONTROLLERS:GROUP; version 2 has ID 0 and no controllers. */
static bool take_group(struct hierarchy *h, char *line)
{
	char *rest = line, *id = strsep(&rest, ":"), *controllers = strsep(&rest, ":");

	if (!rest)
		return false;
	if (h->v2 ? strcmp(id, "0") != 0 || *controllers : !listed(controllers, "memory"))
		return false;
	return snprintf(h->group, sizeof(h->group), "%s", rest) < PATH_MAX;
}

/* mountinfo writes blanks and backslashes in paths as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
		    p[3] >= '0' && p[3] <= '7') {
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

/* ID PARENT DEV ROOT MOUNT OPTIONS [FIELD...] - TYPE SOURCE SUPER-OPTIONS */
static bool take_mount(struct hierarchy *h, char *line)
{
	char *rest = line, *root = NULL, *mount = NULL, *type;

	for (int i = 0; i < 5; i++) {
		root = mount;
		mount = strsep(&rest, " ");
	}
	rest = rest ? strstr(rest, " - ") : NULL;
	if (!rest)
		return false;
	rest += 3;
	type = strsep(&rest, " ");
	strsep(&rest, " ");
	if (h->v2 ? strcmp(type, "cgroup2") != 0 :
		    strcmp(type, "cgroup") != 0 || !rest || !listed(rest, "memory"))
		return false;
	unescape(root);
	unescape(mount);
	return snprintf(h->root, sizeof(h->root), "%s", root) < PATH_MAX &&
	       snprintf(h->mount, sizeof(h->mount), "%s", mount) < PATH_MAX;
}

/* The number in a limit file; "max" and what cannot be read are no limit. */
static uint64_t read_limit(const char *top, const struct hierarchy *h, const char *group,
			   const char *file)
{
	char path[4 * PATH_MAX], text[64], *end;
	unsigned long long limit;

	snprintf(path, sizeof(path), "%s%s%s/%s", top, h->mount, group, file);
	if (f3_file_read(path, text, sizeof(text)) <= 0 || text[0] < '0' || text[0] > '9')
		return UINT64_MAX;
	limit = strtoull(text, &end, 10);
	return *end == '\n' || !*end ? limit : UINT64_MAX;
}

static uint64_t limit_of(const char *top, bool v2, uint64_t limit)
{
	struct hierarchy *h = calloc(1, sizeof(*h));
	size_t root_len;
	char *group;

	if (!h)
		return limit;
	h->v2 = v2;
	if (!find_line(top, "/proc/self/cgroup", take_group, h) ||
	    !find_line(top, "/proc/self/mountinfo", take_mount, h))
		goto out;

	/* Relative to what is mounted. A group outside of it (a cgroup namespace shows "/..")
	 * leaves the mount's root to look at. */
	root_len = strcmp(h->root, "/") == 0 ? 0 : strlen(h->root);
	group = h->group + strlen(h->group);
	if (strncmp(h->group, h->root, root_len) == 0 &&
	    (h->group[root_len] == '/' || !h->group[root_len]) && !strstr(h->group, "/.."))
		group = h->group + root_len;
	if (strcmp(group, "/") == 0)
		*group = '\0';

	for (;;) {
		/* Above memory.high the kernel slows a process down: a limit to us. */
		static const char *const files[2][2] = {
			{ "memory.limit_in_bytes", NULL },
			{ "memory.max", "memory.high" },
		};
		char *slash;

		for (int i = 0; i < 2 && files[v2][i]; i++) {
			uint64_t here = read_limit(top, h, group, files[v2][i]);

			if (here < limit)
				limit = here;
		}
		slash = strrchr(group, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
out:
	free(h);
	return limit;
}

uint64_t f3_budget_cgroup_limit_below(const char *top, uint64_t wanted_bytes)
{
	return limit_of(top, true, limit_of(top, false, wanted_bytes));
}

uint64_t f3_budget_cgroup_limit(uint64_t wanted_bytes)
{
	return f3_budget_cgroup_limit_below("", wanted_bytes);
}
