/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3d: the daemon: configuration, background, mount, serve, stop.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <popt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/control.h"
#include "daemon/metrics.h"
#include "daemon/notify.h"
#include "fs/base/conf.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/core/core.h"
#include "fs/fuse/session.h"

#define CONFIG_DEFAULT "/etc/f3/f3.conf"

enum { EXIT_USAGE = 2 };

extern char **environ;

struct args {
	int foreground, check, help, version;
	const char *config;
};

/* What the signal thread needs. */
static struct f3_fuse *serving;

static int apply_options(struct f3_conf *conf, const char *list, struct f3_err *err)
{
	char *copy = strdup(list), *at = copy, *item;
	int r = copy ? 0 : f3_err_set(err, -ENOMEM, "out of memory");

	while (!r && (item = strsep(&at, ",")) != NULL) {
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

/* Command-line values are kept until file and environment were read: they come last. */
struct pending {
	const char *values[256];
	char kinds[256];
	size_t n;
};

static int parse_args(int argc, const char **argv, struct args *args, struct pending *pending,
		      const char **ret_mountpoint)
{
	struct poptOption table[] = {
		{ "foreground", 'f', POPT_ARG_NONE, &args->foreground, 0, "stay in the foreground", NULL },
		{ "config", 'c', POPT_ARG_STRING, &args->config, 0,
		  "configuration (default " CONFIG_DEFAULT " if it exists)", "FILE" },
		{ NULL, 'o', POPT_ARG_STRING, NULL, 'o', "options, see below", "KEY=VALUE,..." },
		{ "volume", '\0', POPT_ARG_STRING, NULL, 'v', "add a volume", "NAME=URL" },
		{ "check-config", '\0', POPT_ARG_NONE, &args->check, 0,
		  "check the configuration and exit", NULL },
		{ "version", 'V', POPT_ARG_NONE, &args->version, 0, "print the version and exit", NULL },
		{ "help", 'h', POPT_ARG_NONE, &args->help, 0, "print this and exit", NULL },
		POPT_TABLEEND,
	};
	poptContext ctx = poptGetContext("f3d", argc, argv, table, 0);
	int c, r = 0;

	poptSetOtherOptionHelp(ctx, "[OPTIONS] [MOUNTPOINT]");
	while ((c = poptGetNextOpt(ctx)) > 0) {
		if (pending->n == sizeof(pending->kinds)) {
			fprintf(stderr, "f3d: too many options\n");
			r = EXIT_USAGE;
			break;
		}
		pending->kinds[pending->n] = (char)c;
		pending->values[pending->n++] = poptGetOptArg(ctx);
	}
	if (c < -1) {
		fprintf(stderr, "f3d: %s: %s\nTry f3d --help.\n", poptBadOption(ctx, 0), poptStrerror(c));
		r = EXIT_USAGE;
	}
	if (!r && args->help) {
		struct f3_buf text;

		poptPrintHelp(ctx, stdout, 0);
		f3_buf_init(&text, 1u << 20);
		f3_conf_print_help(false, &text);
		printf("\nOptions of the configuration, also for -o:\n%.*s", (int)text.len,
		       (const char *)text.data);
		f3_buf_done(&text);
	}
	if (!r) {
		const char *arg = poptGetArg(ctx);

		*ret_mountpoint = arg ? strdup(arg) : NULL;
		if (poptPeekArg(ctx)) {
			fprintf(stderr, "f3d: one mountpoint only, not also %s\n", poptPeekArg(ctx));
			r = EXIT_USAGE;
		}
	}
	poptFreeContext(ctx);
	return r;
}

static int load_config(struct f3_conf *conf, const struct args *args, const struct pending *pending,
		       const char *mountpoint, struct f3_err *err)
{
	const char *file = args->config ? args->config :
			   access(CONFIG_DEFAULT, F_OK) == 0 ? CONFIG_DEFAULT : NULL;
	int r = file ? f3_conf_load_file(conf, file, err) : 0;

	if (!r)
		r = f3_conf_load_env(conf, environ, err);
	for (size_t i = 0; i < pending->n && !r; i++)
		r = pending->kinds[i] == 'o' ? apply_options(conf, pending->values[i], err) :
					       add_volume(conf, pending->values[i], err);
	if (!r && mountpoint)
		r = f3_conf_set(conf, "mountpoint", mountpoint, "command line", err);
	return r ? r : f3_conf_check(conf, err);
}

static void *wait_signals(void *arg)
{
	const sigset_t *set = arg;
	int sig = 0;

	while (sigwait(set, &sig) || (sig != SIGTERM && sig != SIGINT && sig != SIGHUP))
		;
	if (sig == SIGHUP)
		f3_log_info("SIGHUP: stopping");
	f3_notify_stopping();
	f3_fuse_stop(serving);
	return NULL;
}

static void raise_limits(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

static int serve(struct f3_conf *conf, int ready_fd, struct f3_err *err)
{
	struct f3_control *control = NULL;
	struct f3_metrics *metrics = NULL;
	struct f3_core *core = NULL;
	struct f3_fuse *fuse = NULL;
	pthread_t signals;
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	r = f3_core_start(conf, &core, err);
	if (!r)
		r = f3_fuse_mount(core, &fuse, err);
	if (!r)
		r = f3_control_start(core, fuse, &control, err);
	if (!r)
		r = f3_metrics_start(core, &metrics, err);
	if (!r) {
		serving = fuse;
		r = -pthread_create(&signals, NULL, wait_signals, &set);
		if (r)
			f3_err_set(err, r, "threads cannot be started: %s", strerror(-r));
	}
	if (!r) {
		f3_log_info("serving %s (process %ld)", f3_conf_str(conf, "f3", NULL, "mountpoint"),
			    (long)getpid());
		f3_notify_ready(ready_fd);
		r = f3_fuse_run(fuse);
		pthread_kill(signals, SIGTERM);
		pthread_join(signals, NULL);
	}
	f3_metrics_stop(metrics);
	f3_control_stop(control);
	f3_fuse_free(fuse);
	f3_core_stop(core);
	if (!r)
		f3_log_info("stopped");
	return r;
}

int main(int argc, char **argv)
{
	struct args args = { 0 };
	struct pending pending = { .n = 0 };
	struct f3_err err = F3_ERR_INIT;
	const char *mountpoint = NULL;
	enum f3_log_level level = F3_LOG_INFO;
	struct f3_conf *conf;
	int ready_fd = -1, r;

	r = parse_args(argc, (const char **)argv, &args, &pending, &mountpoint);
	if (r || args.help)
		return r;
	if (args.version) {
		printf("f3d %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (f3_conf_new(&conf)) {
		fprintf(stderr, "f3d: out of memory\n");
		return 1;
	}
	if (load_config(conf, &args, &pending, mountpoint, &err)) {
		fprintf(stderr, "f3d: %s\n", err.text);
		return EXIT_USAGE;
	}
	if (args.check) {
		printf("f3d: the configuration is good\n");
		return 0;
	}
	(void)f3_log_level_parse(f3_conf_str(conf, "f3", NULL, "log-level"), &level);
	if (!args.foreground) {
		r = f3_background(&ready_fd);
		if (r)
			return r > 0 ? 0 : 1;
	}
	if (f3_log_open(args.foreground ? "stderr" : f3_conf_str(conf, "f3", NULL, "log"),
			f3_conf_u64(conf, "f3", NULL, "log-format") == 1, level, &err)) {
		f3_notify_failed(ready_fd, err.text);
		return 1;
	}
	r = serve(conf, ready_fd, &err);
	if (r) {
		f3_log_error("%s", err.text[0] ? err.text : strerror(-r));
		f3_notify_failed(ready_fd, err.text);
	}
	f3_log_close();
	f3_conf_free(conf);
	return r ? 1 : 0;
}
