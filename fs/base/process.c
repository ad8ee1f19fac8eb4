/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The value of a line of /proc/PID/status: 65,536 groups of ten digits do not fit in any buffer
 * worth having, so the line is read as it comes. NULL if there is none; the caller frees it. */
static char *status_line(pid_t pid, const char *key)
{
	size_t key_len = strlen(key), size = 0;
	char path[64], *line = NULL, *value = NULL;
	FILE *file;

	if (pid <= 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return NULL;
	while (!value && getline(&line, &size, file) > 0)
		if (!strncmp(line, key, key_len) && line[key_len] == ':')
			value = strdup(line + key_len + 1);
	fclose(file);
	free(line);
	return value;
}

bool f3_process_in_group(pid_t pid, gid_t gid)
{
	char *line = status_line(pid, "Groups"), *at = line, *end;
	bool in = false;

	while (at && !in) {
		unsigned long group = strtoul(at, &end, 10);

		in = end != at && group == gid;
		at = end != at ? end : NULL;
	}
	free(line);
	return in;
}

/* Whoever makes a user namespace has every capability in it, and none outside. */
static bool in_our_namespace(pid_t pid)
{
	struct stat theirs, ours;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	/* a kernel without user namespaces has neither */
	if (stat("/proc/self/ns/user", &ours))
		return errno == ENOENT;
	return !stat(path, &theirs) && theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

bool f3_process_can(pid_t pid, int capability)
{
	char *line = status_line(pid, "CapEff");
	uint64_t set = line ? strtoull(line, NULL, 16) : 0;

	free(line);
	return set >> capability & 1 && in_our_namespace(pid);
}

#define HELD_MAX 64 /* descriptors that are looked at */

static bool writes_to(pid_t pid, const char *fd, uint64_t ino)
{
	unsigned long long number = 0;
	char path[64], line[128];
	unsigned flags = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.10s", (int)pid, fd);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		(void)sscanf(line, "flags: %o", &flags);
		(void)sscanf(line, "ino: %llu", &number);
	}
	fclose(file);
	return number == ino && (flags & O_ACCMODE) != O_RDONLY;
}

bool f3_process_holds(pid_t pid, const char *name, uint64_t ino)
{
	char path[64], target[PATH_MAX];
	const struct dirent *d;
	bool holds = false;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!holds && (!name || n++ < HELD_MAX) && (d = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), d->d_name, target, sizeof(target) - 1);
		const char *last;

		if (len <= 0)
			continue;
		target[len] = '\0';
		last = strrchr(target, '/');
		holds = last && (!name || !strcmp(last + 1, name)) &&
			writes_to(pid, d->d_name, ino);
	}
	closedir(dir);
	return holds;
}

/* Whatever signal ends a process, each of its threads is given SIGKILL for that; but for those that
 * leave a core. */
uint64_t f3_process_started(pid_t pid)
{
	unsigned long long ticks = 0;
	char path[64], line[1024], *at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = pid > 0 ? fopen(path, "re") : NULL;
	if (!file)
		return 0;
	at = fgets(line, sizeof(line), file);
	fclose(file);
	at = at ? strrchr(line, ')') : NULL;
	if (!at || sscanf(at,
			  ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			  "%*d %*d %llu",
			  &ticks) != 1)
		return 0;
	return ticks;
}

bool f3_process_dies(pid_t pid)
{
	static const char *const keys[] = { "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt" };
	static const int cores[] = { SIGQUIT, SIGABRT, SIGXCPU, SIGSYS };
	uint64_t set[5], fatal = UINT64_C(1) << (SIGKILL - 1);

	for (size_t i = 0; i < 5; i++) {
		char *line = status_line(pid, keys[i]);

		if (!line)
			return false;
		set[i] = strtoull(line, NULL, 16);
		free(line);
	}
	for (size_t i = 0; i < sizeof(cores) / sizeof(cores[0]); i++)
		fatal |= (UINT64_C(1) << (cores[i] - 1)) & ~(set[2] | set[3] | set[4]);
	return ((set[0] | set[1]) & fatal) != 0;
}

#define PF_EXITING 4u /* include/linux/sched.h */

bool f3_process_ends(pid_t pid, int *ret_status)
{
	char path[64], line[1024], *at;
	unsigned flags = 0;
	int status = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	at = fgets(line, sizeof(line), file);
	fclose(file);
	/* The name is in parentheses, and may be anything: what counts comes after the last one. */
	at = at ? strrchr(line, ')') : NULL;
	if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1 || !(flags & PF_EXITING))
		return false;
	at = strrchr(at, ' ');
	if (at)
		status = (int)strtol(at + 1, NULL, 10);
	*ret_status = status;
	return true;
}
