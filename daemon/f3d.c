/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3d: the daemon: configuration, background, mount, serve, stop.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/args.h"
#include "daemon/control.h"
#include "daemon/hint_act.h"
#include "daemon/hint_server.h"
#include "daemon/metrics.h"
#include "daemon/notify.h"
#include "daemon/supervisor.h"
#include "daemon/view.h"
#include "daemon/worker.h"
#include "fs/base/clock.h"
#include "fs/base/conf.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/base/thread.h"
#include "fs/core/commitset.h"
#include "fs/core/core.h"
#include "fs/core/node.h"
#include "fs/core/revive.h"
#include "fs/fuse/keep.h"
#include "fs/fuse/notifier.h"
#include "fs/fuse/session.h"

#define FIXED_BYTES_MAX (64u << 10)

enum { EXIT_USAGE = 2 };

/* ---- Serving ---------------------------------------------------------------------------------- */

struct daemon {
	const struct f3_args *args;
	struct f3_conf *conf;
	int snapshot; /* of the configuration a candidate has read; -1 */
	struct f3_buf fixed; /* f3_conf_save_fixed, of the mount */
	bool foreground, log_is_stderr, served;
	bool hurries;
	int nice; /* what it was */
	bool executed; /* by a supervisor, instead of being forked from it */
	_Atomic bool frozen;
	uint64_t frozen_ns;
	struct f3_worker *worker;
	struct f3_core *core;
	struct f3_notifier notifier;
	struct f3_binder binder;
	struct f3_views *views;
	struct f3_fuse *fuse;
	struct f3_control *control;
	struct f3_hint_server *hints;
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
	f3_views_leave(d->views);
	f3_fuse_stop(d->fuse);
	return NULL;
}

/* The database is to be opened anew; nothing that is here may be written first. As after any death
 * what was read and not answered is sent to the next process. */
static void let_go(void *arg)
{
	static const char why[] = "the database failed, and its disk works again";
	struct daemon *d = arg;

	if (!d->worker->about.supervisor) {
		f3_log_error("%s: start f3d anew", why);
		return;
	}
	f3_worker_failed(d->worker, why);
	f3_log_close();
	_exit(1);
}

/* While calls wait for this process it goes before others on a busy machine; then it is one of them
 * again, with all its threads. Without the right to, it is so all along. */
#define HURRY (-15)

static void hurry(struct daemon *d)
{
	errno = 0;
	d->nice = getpriority(PRIO_PROCESS, 0);
	if (!errno && d->nice > HURRY)
		d->hurries = !setpriority(PRIO_PROCESS, 0, HURRY);
}

/* False: no thread hurries any more. */
static bool calm_threads(int nice)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *one;
	bool found = false;

	while (tasks && (one = readdir(tasks)) != NULL) {
		id_t tid = (id_t)strtoul(one->d_name, NULL, 10);

		if (tid && getpriority(PRIO_PROCESS, tid) < nice)
			found |= !setpriority(PRIO_PROCESS, tid, nice);
	}
	if (tasks)
		closedir(tasks);
	return found;
}

static void hurry_no_more(struct daemon *d)
{
	/* Again: one that was not calm yet may have started another. */
	while (d->hurries && calm_threads(d->nice))
		;
	d->hurries = false;
}

/* The kernel has got its answer: from now on everybody does. */
static void serving(void *arg)
{
	struct daemon *d = arg;
	struct f3_fuse_info info;
	bool uring;

	hurry_no_more(d);
	if (f3_views_serve(d->views, &d->serving_err) ||
	    f3_control_serve(d->control, d->views, &d->serving_err) ||
	    f3_hint_server_serve(d->hints, &d->serving_err)) {
		pthread_kill(d->signals, SIGTERM);
		return;
	}
	f3_log_info("serving %s (process %ld)", f3_conf_str(d->conf, "f3", NULL, "mountpoint"),
		    (long)getpid());
	f3_fuse_info(d->fuse, &info);
	if (!d->foreground)
		f3_leave_stderr();
	uring = !strcmp(info.transport, "io_uring");
	f3_worker_serving(d->worker, uring);
	/* Else programs would lose the mount with this process. */
	if (!uring && f3_conf_u64(d->conf, "f3", NULL, "restart") != 0)
		f3_revive_allow(d->core->revive, let_go, d);
	d->served = true;
}

/* On the thread that listens to the supervisor: the mount is left to the next process. What was
 * read and not answered is sent to that one again, so nothing is waited for but handlers on their
 * way. The database is written out first, for the next one to have little to read. */
static void freeze(void *arg)
{
	struct daemon *d = arg;

	f3_meta_rest(d->core->meta, UINT64_MAX, 0);
	d->frozen_ns = f3_clock_mono_ns();
	d->frozen = true;
	f3_fuse_freeze(d->fuse);
}

static void leave_frozen(struct daemon *d)
{
	f3_worker_frozen(d->worker, d->frozen_ns);
	f3_log_info("process %ld leaves the mount to the next", (long)getpid());
	_exit(0);
}

static void raise_limits(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* Of another process that serves: can this program go on with it? */
static int look_at_state(const struct f3_worker *w, struct f3_err *err)
{
	struct f3_keep *keep;
	int fd, r;

	/* A newer format would be made of an older one, which the program of before, if it had to come
	 * back, could not take. */
	if (w->format != F3_META_FORMAT)
		return f3_err_set(
			err, -EPROTO,
			"this f3d (%s) has format %u of the database, the one that serves "
			"%u: it has to be stopped and started",
			PACKAGE_VERSION, F3_META_FORMAT, w->format);
	fd = fcntl(w->keep_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return f3_err_set(err, -errno, "the saved state of the mount cannot be had: %s",
				  strerror(errno));
	r = f3_keep_adopt(fd, &keep, err);
	if (!r)
		f3_keep_free(keep);
	return r;
}

static int serve(struct daemon *d, struct f3_err *err)
{
	struct f3_fuse_given given = {
		.fd = d->worker->fuse_fd,
		.takes_over = d->worker->takes_over,
		.notifier = &d->notifier,
	};
	sigset_t set;
	int r = 0;

	/* Every thread of the process but the one that waits for them leaves these alone. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	if (d->worker->candidate) {
		r = look_at_state(d->worker, err);
		if (r)
			return r;
		f3_worker_ready(d->worker, d->snapshot);
		close(d->snapshot);
		f3_debug_point("worker.go");
	}
	r = f3_notifier_start(&d->notifier, d->worker->fuse_fd);
	if (!r)
		r = f3_binder_start(&d->binder, f3_conf_str(d->conf, "f3", NULL, "mountpoint"));
	if (r)
		return f3_err_set(err, r, "a process cannot be started: %s", strerror(-r));
	if (d->worker->takes_over)
		hurry(d);
	if (!d->worker->keep)
		r = f3_keep_adopt(d->worker->keep_fd, &d->worker->keep, err);
	if (r)
		return r;
	r = f3_core_start(d->conf, d->worker->lock_fd, &d->core, err);
	given.keep = d->worker->keep;
	if (!r)
		r = f3_fuse_new(d->core, &given, &d->fuse, err);
	if (!r)
		r = f3_core_recover(d->core, err);
	if (!r)
		*err = (struct f3_err)F3_ERR_INIT; /* warnings have been logged */
	if (!r)
		r = f3_fuse_open_access_log(d->fuse, err);
	if (!r)
		r = f3_control_start(d->core, d->fuse, d->worker, &d->control, err);
	/* The run directory is ours now. */
	if (!r)
		r = f3_views_start(d->core, &d->binder, &d->views, err);
	if (!r)
		r = f3_hint_act_load(d->core, err);
	if (!r)
		f3_commitset_go_rest(d->core);
	if (!r)
		r = f3_hint_server_start(d->core, d->views, &d->hints, err);
	if (!r)
		r = f3_metrics_start(d->core, d->fuse, &d->metrics, err);
	if (!r) {
		r = f3_thread_start(&d->signals, "signals", wait_signals, d);
		if (r)
			f3_err_set(err, r, "threads cannot be started: %s", strerror(-r));
	}
	if (!r) {
		if (!d->worker->candidate)
			f3_worker_ready(d->worker, -1);
		r = f3_worker_listen(d->worker);
		if (r)
			f3_err_set(err, r, "threads cannot be started: %s", strerror(-r));
		else
			r = f3_fuse_mount(d->fuse, err);
		if (!r)
			r = f3_fuse_run(d->fuse, serving, d);
		if (d->frozen)
			leave_frozen(d);
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
	f3_worker_deaf(d->worker);
	f3_control_stop(d->control);
	/* Who waits for the end of a commit set would be waited for. */
	if (d->core)
		f3_commitsets_stop(d->core);
	f3_hint_server_stop(d->hints);
	f3_views_stop(d->views);
	f3_binder_stop(&d->binder);
	f3_metrics_stop(d->metrics);
	/* Requests that left their thread are answered by the core's threads to the last. */
	f3_core_stop(d->core);
	f3_fuse_free(d->fuse);
	f3_notifier_stop(&d->notifier);
	if (!r)
		f3_log_info("stopped");
	else if (!err->code)
		f3_err_set(err, r, "%s cannot be served any more: %s",
			   f3_conf_str(d->conf, "f3", NULL, "mountpoint"), strerror(-r));
	return r;
}

static void say_fixed(void *arg, const struct f3_conf_difference *d)
{
	(void)arg;
	if (d->change == F3_CHANGE_START)
		f3_log_warn(
			"%s stays \"%s\" until f3d is stopped and started (the configuration says "
			"\"%s\")",
			d->key, d->now ? d->now : "", d->was ? d->was : "");
}

/* The configuration of a process that serves a mount which was made with another: from the snapshot,
 * or -1: as it is now. */
static int load_for_mount(struct daemon *d, int snapshot, struct f3_conf **ret_conf,
			  struct f3_err *err)
{
	struct f3_conf *plain = NULL, *conf = NULL;
	int r = f3_conf_new(&plain);

	if (!r)
		r = f3_conf_new(&conf);
	if (r)
		f3_err_set(err, r, "out of memory");
	else
		r = f3_args_load(d->args, snapshot, plain, snapshot < 0 ? &d->snapshot : NULL, err);
	if (!r)
		r = f3_args_load(d->args, snapshot < 0 ? d->snapshot : snapshot, conf, NULL, err);
	if (!r)
		r = f3_conf_fix(conf, d->fixed.data, d->fixed.len, err);
	if (!r)
		r = f3_conf_check(conf, err);
	if (r) {
		f3_conf_free(conf);
	} else {
		f3_conf_each_difference(plain, conf, say_fixed, NULL);
		*ret_conf = conf;
	}
	f3_conf_free(plain);
	return r;
}

static int another_conf(struct daemon *d, int snapshot, struct f3_err *err)
{
	struct f3_conf *conf;
	int r = load_for_mount(d, snapshot, &conf, err);

	if (!r) {
		f3_conf_free(d->conf);
		d->conf = conf;
	}
	return r;
}

struct listing {
	void (*fn)(void *arg, const struct f3_conf_difference *d);
	void *arg;
	bool log_level;
};

static void list_one(void *arg, const struct f3_conf_difference *d)
{
	struct listing *l = arg;

	l->log_level |= d->key && !strcmp(d->key, "log-level");
	f3_log_info("configuration: %s%s%s%s%s %s", d->section, d->inst ? " " : "",
		    d->inst ? d->inst : "", d->key ? ": " : "", d->key ? d->key : "",
		    d->change == F3_CHANGE_LIVE  ? "changes" :
		    d->change == F3_CHANGE_START ? "changes when f3d is stopped and started" :
						   "changes with f3ctl upgrade");
	l->fn(l->arg, d);
}

static int reload(void *arg, void (*fn)(void *fn_arg, const struct f3_conf_difference *d),
		  void *fn_arg, struct f3_err *err)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
	struct listing l = { fn, fn_arg, false };
	struct daemon *d = arg;
	struct f3_conf *now;
	int snapshot = -1, r;

	if (f3_conf_new(&now))
		return f3_err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_lock(&one);
	r = f3_args_load(d->args, -1, now, &snapshot, err);
	if (!r) {
		f3_conf_each_difference(d->conf, now, list_one, &l);
		r = f3_conf_take_live(d->conf, now);
		if (r)
			f3_err_set(err, r, "out of memory");
		f3_core_reload(d->core);
		f3_fuse_reload(d->fuse);
		if (l.log_level)
			f3_log_set_level(
				(enum f3_log_level)f3_conf_u64(d->conf, "f3", NULL, "log-level"));
		f3_worker_reloaded(d->worker, snapshot);
		close(snapshot);
	}
	pthread_mutex_unlock(&one);
	f3_conf_free(now);
	return r;
}

static int work(void *arg, struct f3_worker *worker)
{
	struct daemon *d = arg;
	struct f3_err err = F3_ERR_INIT;
	int r = 0;

	d->worker = worker;
	worker->freeze = freeze;
	worker->reload = reload;
	worker->arg = d;
	/* Forked from who started with another one, which was read again since. */
	if (worker->conf_fd >= 0 && !d->executed)
		r = another_conf(d, worker->conf_fd, &err);
	if (!r)
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
	const char **argv = f3_args_argv(d->args);
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
		.argv = argv,
		.argv_spec = F3_ARGS_SPEC,
		.fixed = d->fixed.data,
		.fixed_bytes = d->fixed.len,
		.upgrade_wait_ns = f3_conf_u64(d->conf, "f3", NULL, "upgrade-wait"),
	};
	int r = s.lock_fd;

	if (r >= 0)
		r = argv ? f3_supervise(&s) : f3_err_set(err, -ENOMEM, "out of memory");
	free(argv);
	return r;
}

/* What the supervisor handed over, of a mount that another program has made. */
static int read_fixed(struct daemon *d, int fd, struct f3_err *err)
{
	char bytes[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, bytes, sizeof(bytes), at)) != 0) {
		if (n < 0)
			return f3_err_set(err, -errno, "saved configuration: %s", strerror(errno));
		f3_buf_put(&d->fixed, bytes, (size_t)n);
		at += n;
	}
	return d->fixed.error ? f3_err_set(err, d->fixed.error, "saved configuration: damaged") : 0;
}

/* Executed by the supervisor. */
static int run_worker(struct f3_args *args, struct f3_err *err)
{
	struct daemon d = {
		.args = args, .foreground = args->foreground, .executed = true, .snapshot = -1
	};
	struct f3_worker w;
	int r = f3_worker_from_spec(args->worker, &w, err);

	if (r)
		return 1;
	f3_buf_init(&d.fixed, FIXED_BYTES_MAX);
	r = read_fixed(&d, w.fixed_fd, err);
	if (!r)
		r = load_for_mount(&d, w.conf_fd, &d.conf, err);
	if (!r) {
		f3_log_set_level((enum f3_log_level)f3_conf_u64(d.conf, "f3", NULL, "log-level"));
		r = open_logs(&d, err);
	}
	if (r)
		f3_worker_failed(&w, err->text);
	else
		r = work(&d, &w);
	f3_keep_free(w.keep);
	f3_conf_free(d.conf);
	f3_buf_done(&d.fixed);
	return r ? 1 : 0;
}

static int run(struct f3_conf **conf, const struct f3_args *args, struct f3_err *err)
{
	struct daemon d = {
		.args = args, .conf = *conf, .foreground = args->foreground, .snapshot = -1
	};
	int r, ready_fd = -1;

	if (!args->foreground) {
		r = f3_background(&ready_fd);
		if (r)
			return r > 0 ? 0 : 1;
	}
	f3_log_set_level((enum f3_log_level)f3_conf_u64(d.conf, "f3", NULL, "log-level"));
	f3_buf_init(&d.fixed, FIXED_BYTES_MAX);
	f3_conf_save_fixed(d.conf, &d.fixed);
	r = d.fixed.error ? f3_err_set(err, -ENOMEM, "out of memory") : open_logs(&d, err);
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
	f3_buf_done(&d.fixed);
	*conf = d.conf;
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct f3_args args = { .n = 0 };
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
	r = f3_args_parse(argc, (const char **)argv, &args);
	if (r || args.help) {
		f3_args_done(&args);
		return r;
	}
	if (args.worker) {
		r = run_worker(&args, &err);
		if (r && err.code)
			fprintf(stderr, "f3d: %s\n", err.text);
	} else if (args.version) {
		printf("f3d %s\n", PACKAGE_VERSION);
	} else if (f3_conf_new(&conf)) {
		fprintf(stderr, "f3d: out of memory\n");
		r = 1;
	} else if (f3_args_load(&args, -1, conf, NULL, &err)) {
		fprintf(stderr, "f3d: %s\n", err.text);
		r = EXIT_USAGE;
	} else if (args.check) {
		printf("f3d: the configuration is good\n");
	} else {
		r = run(&conf, &args, &err);
	}
	f3_conf_free(conf);
	f3_args_done(&args);
	return r;
}
