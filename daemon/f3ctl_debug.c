/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl_debug: debug bundle: what a report of a bug needs, in one archive.
 *
 * Nothing of files' contents; the configuration has no secrets in it, only names of files that
 * hold them.
 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

const struct poptOption f3ctl_debug_options[] = { POPT_TABLEEND };

struct bundle {
	struct f3ctl *ctl;
	char dir[PATH_MAX]; /* files are collected there */
	const char *name; /* its last name */
};

static FILE *create(const struct bundle *b, const char *name)
{
	char path[PATH_MAX];
	FILE *file = NULL;

	if (snprintf(path, sizeof(path), "%s/%s", b->dir, name) < (int)sizeof(path))
		file = fopen(path, "wxe");
	if (!file)
		f3ctl_fail(b->ctl, "%s: %s", name, strerror(errno));
	return file;
}

static int close_file(const struct bundle *b, const char *name, FILE *file)
{
	bool bad = ferror(file) != 0;

	if (fclose(file) || bad)
		return f3ctl_fail(b->ctl, "%s: %s", name, strerror(errno));
	return F3CTL_OK;
}

/* The daemon's answer to one verb; `text`: that member of it alone. */
static int ask(const struct bundle *b, const char *op, const char *text, const char *name)
{
	json_t *answer = NULL;
	const char *body;
	FILE *file;
	int code = f3ctl_ask(b->ctl, f3ctl_request(op), NULL, NULL, &answer);

	if (code)
		return code;
	file = create(b, name);
	if (!file) {
		json_decref(answer);
		return F3CTL_FAILED;
	}
	body = text ? json_string_value(json_object_get(answer, text)) : NULL;
	if (body)
		fputs(body, file);
	else
		json_dumpf(answer, file, JSON_INDENT(2));
	fputc('\n', file);
	json_decref(answer);
	return close_file(b, name, file);
}

/* A file of /proc or /sys; what is not there is left out. */
static int copy(const struct bundle *b, const char *from, const char *name)
{
	FILE *in = fopen(from, "re"), *out;
	char bytes[4096];
	size_t n;

	if (!in)
		return F3CTL_OK;
	out = create(b, name);
	while (out && (n = fread(bytes, 1, sizeof(bytes), in)) > 0)
		fwrite(bytes, 1, n, out);
	fclose(in);
	return out ? close_file(b, name, out) : F3CTL_FAILED;
}

static int write_machine(const struct bundle *b)
{
	FILE *file = create(b, "machine");
	struct utsname u;

	if (!file)
		return F3CTL_FAILED;
	if (!uname(&u))
		fprintf(file, "%s %s %s %s\n", u.sysname, u.release, u.version, u.machine);
	fprintf(file, "f3ctl %s\nprocessors %ld\n", PACKAGE_VERSION, sysconf(_SC_NPROCESSORS_ONLN));
	return close_file(b, "machine", file);
}

static int collect(const struct bundle *b)
{
	static const struct {
		const char *from, *name;
	} files[] = {
		{ "/proc/self/mountinfo", "mountinfo" },
		{ "/proc/meminfo", "meminfo" },
		{ "/etc/os-release", "os-release" },
		{ "/sys/module/fuse/parameters/enable_uring", "fuse-enable_uring" },
		{ "/proc/sys/fs/fuse/default_request_timeout", "fuse-default_request_timeout" },
		{ "/proc/sys/fs/fuse/max_request_timeout", "fuse-max_request_timeout" },
	};
	int code = ask(b, "status", NULL, "status.json");

	if (!code)
		code = ask(b, "config", "text", "config");
	if (!code)
		code = ask(b, "volume-list", NULL, "volumes.json");
	if (!code)
		code = ask(b, "metrics", "text", "metrics");
	if (!code)
		code = ask(b, "profile", NULL, "profile.json");
	if (!code)
		code = ask(b, "journal", NULL, "journal.json");
	if (!code)
		code = write_machine(b);
	for (size_t i = 0; !code && i < sizeof(files) / sizeof(files[0]); i++)
		code = copy(b, files[i].from, files[i].name);
	return code;
}

static int spawn(const struct bundle *b, const char *const *argv)
{
	pid_t pid;
	int status, r = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ);

	if (r)
		return f3ctl_fail(b->ctl, "%s: %s", argv[0], strerror(r));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return f3ctl_fail(b->ctl, "%s: %s", argv[0], strerror(errno));
	return WIFEXITED(status) && !WEXITSTATUS(status) ? F3CTL_OK :
							   f3ctl_fail(b->ctl, "%s failed", argv[0]);
}

int f3ctl_debug(struct f3ctl *ctl, int argc, const char *const *argv)
{
	struct bundle b = { .ctl = ctl };
	char top[PATH_MAX], name[64], archive[PATH_MAX];
	time_t now = time(NULL);
	struct tm tm;
	int code;

	if (!argc || strcmp(argv[0], "bundle") != 0 || argc > 2)
		return f3ctl_usage(ctl, "bundle is wanted, and maybe a file name");
	gmtime_r(&now, &tm);
	strftime(name, sizeof(name), "f3-debug-%Y%m%d-%H%M%S", &tm);
	b.name = name;
	snprintf(archive, sizeof(archive), "%s%s", argc > 1 ? argv[1] : name,
		 argc > 1 ? "" : ".tar.gz");
	snprintf(top, sizeof(top), "%s/f3ctl-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(top))
		return f3ctl_fail(ctl, "%s: %s", top, strerror(errno));
	if (snprintf(b.dir, sizeof(b.dir), "%s/%s", top, name) >= (int)sizeof(b.dir) ||
	    mkdir(b.dir, 0700))
		code = f3ctl_fail(ctl, "%s: %s", top, strerror(errno));
	else
		code = collect(&b);
	if (!code)
		code = spawn(
			&b, (const char *const[]){ "tar", "-czf", archive, "-C", top, name, NULL });
	(void)spawn(&b, (const char *const[]){ "rm", "-rf", "--", top, NULL });
	if (!code && ctl->json) {
		json_t *line = json_pack("{sb ss}", "ok", 1, "file", archive);

		f3ctl_print_json(line);
		json_decref(line);
	} else if (!code) {
		printf("%s\n", archive);
	}
	return code;
}
