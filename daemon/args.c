/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/args.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <popt.h>

#include "fs/base/file.h"

#define CONFIG_DEFAULT "/etc/f3/f3.conf"

enum { EXIT_USAGE = 2 };

extern char **environ;

void f3_args_done(struct f3_args *args)
{
	for (size_t i = 0; i < args->n; i++)
		free(args->values[i]);
	free(args->config);
	free(args->mountpoint);
	free(args->worker);
}

/* The next item of "a=b,c=d\\,e" with its backslashes taken out; NULL at the end. In place. */
static char *next_option(char **at)
{
	char *item = *at, *from = item, *to = item;

	if (!item)
		return NULL;
	while (*from && *from != ',') {
		if (from[0] == '\\' && (from[1] == ',' || from[1] == '\\'))
			from++;
		*to++ = *from++;
	}
	*at = *from ? from + 1 : NULL;
	*to = '\0';
	return item;
}

static int apply_options(struct f3_conf *conf, const char *list, struct f3_err *err)
{
	char *copy = strdup(list), *at = copy, *item;
	int r = copy ? 0 : f3_err_set(err, -ENOMEM, "out of memory");

	while (!r && (item = next_option(&at)) != NULL) {
		char *eq = strchr(item, '=');

		if (!*item)
			continue;
		if (eq)
			*eq++ = '\0';
		r = f3_conf_set(conf, item, eq ? eq : "yes", "command line", err);
	}
	free(copy);
	return r;
}

static int add_volume(struct f3_conf *conf, const char *text, struct f3_err *err)
{
	char *copy = strdup(text), *eq;
	int r;

	if (!copy)
		return f3_err_set(err, -ENOMEM, "out of memory");
	eq = strchr(copy, '=');
	if (eq)
		*eq++ = '\0';
	r = f3_conf_add_volume(conf, copy, eq, "command line", err);
	free(copy);
	return r;
}

static int print_help(poptContext ctx)
{
	struct f3_buf text;
	int r;

	poptPrintHelp(ctx, stdout, 0);
	f3_buf_init(&text, 1u << 20);
	f3_conf_print_help(false, &text);
	printf("\nOptions of the configuration, also for -o:\n%.*s", (int)text.len,
	       (const char *)text.data);
	r = text.error;
	f3_buf_done(&text);
	return r ? 1 : 0;
}

/* A name counts from here, and not from where the daemon will be. Takes *name over. */
static int make_absolute(char **name)
{
	char here[PATH_MAX], *relative = *name;

	if (!relative || relative[0] == '/')
		return 0;
	if (!getcwd(here, sizeof(here)) || asprintf(name, "%s/%s", here, relative) < 0) {
		fprintf(stderr, "f3d: %s: %s\n", relative, strerror(errno));
		*name = relative;
		return EXIT_USAGE;
	}
	free(relative);
	return 0;
}

static int take_mountpoint(struct f3_args *args, const char *arg)
{
	if (!arg)
		return 0;
	args->mountpoint = strdup(arg);
	return args->mountpoint ? make_absolute(&args->mountpoint) : EXIT_USAGE;
}

int f3_args_parse(int argc, const char **argv, struct f3_args *args)
{
	struct poptOption table[] = {
		{ "foreground", 'f', POPT_ARG_NONE, &args->foreground, 0, "stay in the foreground",
		  NULL },
		{ "config", 'c', POPT_ARG_STRING, &args->config, 0,
		  "configuration (default " CONFIG_DEFAULT " if it exists)", "FILE" },
		{ NULL, 'o', POPT_ARG_STRING, NULL, 'o',
		  "options, see below; a comma in a value is written \\,", "KEY=VALUE,..." },
		{ "volume", '\0', POPT_ARG_STRING, NULL, 'v', "add a volume", "NAME[=URL]" },
		{ "check-config", '\0', POPT_ARG_NONE, &args->check, 0,
		  "check the configuration and exit", NULL },
		{ "version", 'V', POPT_ARG_NONE, &args->version, 0, "print the version and exit",
		  NULL },
		{ "worker", '\0', POPT_ARG_STRING | POPT_ARGFLAG_DOC_HIDDEN, &args->worker, 0, NULL,
		  NULL },
		{ "help", 'h', POPT_ARG_NONE, &args->help, 0, "print this and exit", NULL },
		POPT_TABLEEND,
	};
	poptContext ctx = poptGetContext("f3d", argc, argv, table, 0);
	int c, r = 0;

	if (!ctx)
		return 1;
	poptSetOtherOptionHelp(ctx, "[OPTIONS] [MOUNTPOINT]");
	while ((c = poptGetNextOpt(ctx)) > 0) {
		if (args->n == sizeof(args->kinds)) {
			fprintf(stderr, "f3d: too many options\n");
			r = EXIT_USAGE;
			break;
		}
		args->kinds[args->n] = (char)c;
		args->values[args->n++] = poptGetOptArg(ctx);
	}
	if (c < -1) {
		fprintf(stderr, "f3d: %s: %s\nTry f3d --help.\n", poptBadOption(ctx, 0),
			poptStrerror(c));
		r = EXIT_USAGE;
	}
	if (!r && args->help)
		r = print_help(ctx);
	if (!r)
		r = make_absolute(&args->config);
	if (!r)
		r = take_mountpoint(args, poptGetArg(ctx));
	if (!r && poptPeekArg(ctx)) {
		fprintf(stderr, "f3d: one mountpoint only, not also %s\n", poptPeekArg(ctx));
		r = EXIT_USAGE;
	}
	poptFreeContext(ctx);
	return r;
}

/* ---- The file -------------------------------------------------------------------------------- */

static int put_all(int fd, const void *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes = (const char *)bytes + n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int make_snapshot(const char *path, const char *text, size_t len, int *ret_fd,
			 struct f3_err *err)
{
	int fd = memfd_create("f3-config", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	if (!r && path)
		r = put_all(fd, path, strlen(path) + 1);
	if (!r)
		r = put_all(fd, text, len);
	if (r) {
		if (fd >= 0)
			close(fd);
		return f3_err_set(err, r, "the configuration cannot be kept: %s", strerror(-r));
	}
	*ret_fd = fd;
	return 0;
}

/* bytes has room for a path and a file. */
static int from_snapshot(int fd, struct f3_conf *conf, char *bytes, size_t size, struct f3_err *err)
{
	size_t len = 0, path;
	ssize_t n;

	while (len < size && (n = pread(fd, bytes + len, size - len, (off_t)len)) != 0) {
		if (n < 0 && errno != EINTR)
			return f3_err_set(err, -errno, "saved configuration: %s", strerror(errno));
		len += n > 0 ? (size_t)n : 0;
	}
	path = strnlen(bytes, len);
	if (!len)
		return 0;
	if (path == len)
		return f3_err_set(err, -EINVAL, "saved configuration: damaged");
	return f3_conf_load_text(conf, bytes + path + 1, len - path - 1, bytes, err);
}

static int from_file(const char *path, struct f3_conf *conf, char *bytes, int *ret_snapshot,
		     struct f3_err *err)
{
	ssize_t len = path ? f3_file_read(path, bytes, F3_CONF_FILE_MAX) : 0;
	int r = 0;

	if (len < 0)
		return f3_err_set(err, (int)len, "%s: cannot be read: %s", path,
				  len == -EFBIG ? "larger than 1 MiB" : strerror((int)-len));
	if (path)
		r = f3_conf_load_text(conf, bytes, (size_t)len, path, err);
	if (!r && ret_snapshot)
		r = make_snapshot(path, bytes, (size_t)len, ret_snapshot, err);
	return r;
}

int f3_args_load(const struct f3_args *args, int snapshot, struct f3_conf *conf, int *ret_snapshot,
		 struct f3_err *err)
{
	const char *file = args->config                      ? args->config :
			   access(CONFIG_DEFAULT, F_OK) == 0 ? CONFIG_DEFAULT :
							       NULL;
	size_t size = F3_CONF_FILE_MAX + PATH_MAX;
	char *bytes = malloc(size);
	int fresh = -1, r;

	if (!bytes)
		return f3_err_set(err, -ENOMEM, "out of memory");
	if (snapshot >= 0)
		r = from_snapshot(snapshot, conf, bytes, size, err);
	else
		r = from_file(file, conf, bytes, ret_snapshot ? &fresh : NULL, err);
	free(bytes);
	if (!r)
		r = f3_conf_load_env(conf, environ, err);
	for (size_t i = 0; i < args->n && !r; i++)
		r = args->kinds[i] == 'o' ? apply_options(conf, args->values[i], err) :
					    add_volume(conf, args->values[i], err);
	if (!r && args->mountpoint)
		r = f3_conf_set(conf, "mountpoint", args->mountpoint, "command line", err);
	if (!r)
		r = f3_conf_check(conf, err);
	if (r && fresh >= 0)
		close(fresh);
	else if (ret_snapshot)
		*ret_snapshot = fresh;
	return r;
}

const char **f3_args_argv(const struct f3_args *args)
{
	const char **argv = calloc(2 * args->n + 8, sizeof(*argv));
	size_t n = F3_ARGS_SPEC + 1;

	if (!argv)
		return NULL;
	argv[0] = "f3d";
	argv[1] = "--worker";
	if (args->foreground)
		argv[n++] = "-f";
	if (args->config) {
		argv[n++] = "-c";
		argv[n++] = args->config;
	}
	for (size_t i = 0; i < args->n; i++) {
		argv[n++] = args->kinds[i] == 'o' ? "-o" : "--volume";
		argv[n++] = args->values[i];
	}
	if (args->mountpoint)
		argv[n++] = args->mountpoint;
	return argv;
}
