/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3d: the daemon: configuration, background, mount, serve, stop.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
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
#include "daemon/supervisor.h"
#include "fs/base/conf.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/base/thread.h"
#include "fs/core/core.h"
#include "fs/core/node.h"
#include "fs/fuse/session.h"

#define CONFIG_DEFAULT "/etc/f3/f3.conf"

enum { EXIT_USAGE = 2 };

extern char **environ;

/* Command-line values are kept until file and environment were read: they come last. */
struct args {
	int foreground, check, help, version;
	char *config, *mountpoint;
	char *values[256];
	char kinds[256]; /* 'o' options, 'v' a volume */
	size_t n;
};

static void args_done(struct args *args)
{
	for (size_t i = 0; i < args->n; i++)
		free(args->values[i]);
	free(args->config);
	free(args->mountpoint);
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

/* The mountpoint, whose name counts from here and not from where the daemon will be. */
static int take_mountpoint(struct args *args, const char *arg)
{
	char here[PATH_MAX];
	int n;

	if (!arg)
		return 0;
	if (arg[0] == '/')
		n = asprintf(&args->mountpoint, "%s", arg);
	else if (getcwd(here, sizeof(here)))
		n = asprintf(&args->mountpoint, "%s/%s", here, arg);
	else
		n = -1;
	if (n >= 0)
		return 0;
	args->mountpoint = NULL;
	fprintf(stderr, "f3d: %s: %s\n", arg, strerror(errno));
	return EXIT_USAGE;
}

static int parse_args(int argc, const char **argv, struct args *args)
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
		r = take_mountpoint(args, poptGetArg(ctx));
	if (!r && poptPeekArg(ctx)) {
		fprintf(stderr, "f3d: one mountpoint only, not also %s\n", poptPeekArg(ctx));
		r = EXIT_USAGE;
	}
	poptFreeContext(ctx);
	return r;
}

static int load_config(struct f3_conf *conf, const struct args *args, struct f3_err *err)
{
	const char *file = args->config                      ? args->config :
			   access(CONFIG_DEFAULT, F_OK) == 0 ? CONFIG_DEFAULT :
							       NULL;
	int r = file ? f3_conf_load_file(conf, file, err) : 0;

	if (!r)
		r = f3_conf_load_env(conf, environ, err);
	for (size_t i = 0; i < args->n && !r; i++)
		r = args->kinds[i] == 'o' ? apply_options(conf, args->values[i], err) :
					    add_volume(conf, args->values[i], err);
	if (!r && args->mountpoint)
		r = f3_conf_set(conf, "mountpoint", args->mountpoint, "command line", err);
	return r ? r : f3_conf_check(conf, err);
}

/* ---- Serving ---------------------------------------------------------------------------------- */

struct daemon {
	const struct f3_conf *conf;
	bool foreground, log_is_stderr, served;
	struct f3_worker *worker;
	struct f3_core *core;
	struct f3_fuse *fuse;
	struct f3_control *control;
	struct f3_metrics *metrics;
	pthread_t signals;
	struct f3_err serving_err;
};

static int open_logs(struct daemon *d, struct f3_err *err)
{
	const char *target = f3_conf_str(d->conf, "f3", NULL, "log");
	enum f3_log_level level = f3_log_get_level();

	/* Who stays in the foreground wants to see it, unless told otherwise; below systemd stderr
	 * is the journal, without its fields. */
	if (d->foreground && !getenv("JOURNAL_STREAM") &&
	    !strcmp(f3_conf_source(d->conf, "f3", NULL, "log"), "default"))
		target = "stderr";
	d->log_is_stderr = !strcmp(target, "stderr");
	return f3_log_open(target, f3_conf_u64(d->conf, "f3", NULL, "log-format") == 1, level, err);
}

/* After a rotation. What cannot be opened again goes on as it was. */
static void reopen_logs(struct daemon *d)
{
	struct f3_err err = F3_ERR_INIT;

	if (open_logs(d, &err) || f3_fuse_open_access_log(d->fuse, &err))
		f3_log_warn("SIGHUP: %s", err.text);
	else
		f3_log_info("SIGHUP: logs opened again");
}

static void *wait_signals(void *arg)
{
	struct daemon *d = arg;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	for (;;) {
		sig = 0;
		if (sigwait(&set, &sig))
			continue;
		if (sig != SIGHUP)
			break;
		reopen_logs(d);
	}
	f3_notify_stopping();
	f3_fuse_stop(d->fuse);
	return NULL;
}

/* The kernel has got its answer: from now on everybody does. */
static void serving(void *arg)
{
	struct daemon *d = arg;
	struct f3_fuse_info info;

	if (f3_control_serve(d->control, &d->serving_err)) {
		pthread_kill(d->signals, SIGTERM);
		return;
	}
	f3_log_info("serving %s (process %ld)", f3_conf_str(d->conf, "f3", NULL, "mountpoint"),
		    (long)getpid());
	f3_fuse_info(d->fuse, &info);
	if (!d->foreground)
		f3_leave_stderr();
	f3_worker_serving(d->worker, !strcmp(info.transport, "io_uring"));
	d->served = true;
}

static void raise_limits(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

static int serve(struct daemon *d, struct f3_err *err)
{
	const struct f3_fuse_given given = {
		.fd = d->worker->fuse_fd,
		.keep = d->worker->keep,
		.takes_over = d->worker->takes_over,
	};
	sigset_t set;
	int r;

	/* Every thread of the process but the one that waits for them leaves these alone. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	r = f3_core_start(d->conf, d->worker->lock_fd, &d->core, err);
	if (!r)
		r = f3_fuse_new(d->core, &given, &d->fuse, err);
	if (!r)
		r = f3_core_recover(d->core, err);
	if (!r)
		*err = (struct f3_err)F3_ERR_INIT; /* warnings have been logged */
	if (!r)
		r = f3_fuse_open_access_log(d->fuse, err);
	if (!r)
		r = f3_control_start(d->core, d->fuse, &d->worker->about, &d->control, err);
	if (!r)
		r = f3_metrics_start(d->core, d->fuse, &d->metrics, err);
	if (!r) {
		r = f3_thread_start(&d->signals, "signals", wait_signals, d);
		if (r)
			f3_err_set(err, r, "threads cannot be started: %s", strerror(-r));
	}
	if (!r) {
		f3_worker_ready(d->worker);
		r = f3_fuse_mount(d->fuse, err);
		if (!r)
			r = f3_fuse_run(d->fuse, serving, d);
		pthread_kill(d->signals, SIGTERM);
		pthread_join(d->signals, NULL);
		if (!r && d->serving_err.code) {
			*err = d->serving_err;
			r = err->code;
		} else if (!r && !d->served) {
			r = f3_err_set(err, -ECONNABORTED, "%s was unmounted before it was served",
				       f3_conf_str(d->conf, "f3", NULL, "mountpoint"));
		}
	}
	f3_control_stop(d->control);
	f3_metrics_stop(d->metrics);
	/* Requests that left their thread are answered by the core's threads to the last. */
	f3_core_stop(d->core);
	f3_fuse_free(d->fuse);
	if (!r)
		f3_log_info("stopped");
	else if (!err->code)
		f3_err_set(err, r, "%s", strerror(-r));
	return r;
}

static int work(void *arg, struct f3_worker *worker)
{
	struct daemon *d = arg;
	struct f3_err err = F3_ERR_INIT;
	int r;

	d->worker = worker;
	r = serve(d, &err);
	if (r) {
		f3_worker_failed(worker, err.text);
		if (!(d->foreground && d->log_is_stderr))
			f3_log_error("%s", err.text);
	}
	f3_log_close();
	return r ? 1 : 0;
}

static int supervise(struct daemon *d, int ready_fd, struct f3_err *err)
{
	const char *cache = f3_conf_str(d->conf, "f3", NULL, "cache");
	const struct f3_supervisor s = {
		.mountpoint = f3_conf_str(d->conf, "f3", NULL, "mountpoint"),
		.run_dir = f3_conf_str(d->conf, "f3", NULL, "run-dir"),
		.on_failure = (enum f3_on_failure)f3_conf_u64(d->conf, "f3", NULL, "on-failure"),
		.give_up_ns = f3_conf_u64(d->conf, "f3", NULL, "failure-wait"),
		.lock_fd = f3_node_lock(cache, err),
		.ready_fd = ready_fd,
		.restart = f3_conf_u64(d->conf, "f3", NULL, "restart") != 0,
		.tell_stderr = d->foreground,
		.work = work,
		.arg = d,
	};

	return s.lock_fd < 0 ? s.lock_fd : f3_supervise(&s);
}

static int run(struct f3_conf *conf, const struct args *args, struct f3_err *err)
{
	struct daemon d = { .conf = conf, .foreground = args->foreground };
	enum f3_log_level level = F3_LOG_INFO;
	int r, ready_fd = -1;

	if (!args->foreground) {
		r = f3_background(&ready_fd);
		if (r)
			return r > 0 ? 0 : 1;
	}
	(void)f3_log_level_parse(f3_conf_str(conf, "f3", NULL, "log-level"), &level);
	f3_log_set_level(level);
	r = open_logs(&d, err);
	if (!r) {
		r = supervise(&d, ready_fd, err);
		if (r < 0 && !(args->foreground && d.log_is_stderr))
			f3_log_error("%s", err->text);
		f3_log_close();
	}
	if (r < 0) {
		f3_notify_failed(ready_fd, err->text);
		if (args->foreground)
			fprintf(stderr, "f3d: %s\n", err->text);
	}
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct args args = { .n = 0 };
	struct f3_err err = F3_ERR_INIT;
	struct f3_conf *conf = NULL;
	int r;

	/* Each thread that finds the others busy would get a heap of its own, eight for each CPU, and
	 * what is free in one does not serve another. */
	mallopt(M_ARENA_MAX, 4);
	if (f3_debug_init(&err)) {
		fprintf(stderr, "f3d: %s\n", err.text);
		return EXIT_USAGE;
	}
	r = parse_args(argc, (const char **)argv, &args);
	if (r || args.help) {
		args_done(&args);
		return r;
	}
	if (args.version) {
		printf("f3d %s\n", PACKAGE_VERSION);
	} else if (f3_conf_new(&conf)) {
		fprintf(stderr, "f3d: out of memory\n");
		r = 1;
	} else if (load_config(conf, &args, &err)) {
		fprintf(stderr, "f3d: %s\n", err.text);
		r = EXIT_USAGE;
	} else if (args.check) {
		printf("f3d: the configuration is good\n");
	} else {
		r = run(conf, &args, &err);
	}
	f3_conf_free(conf);
	args_done(&args);
	return r;
}
