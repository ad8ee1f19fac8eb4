/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/fuse/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/volume.h"
#include "fs/fuse/fuselog.h"
#include "fs/fuse/impl.h"
#include "fs/fuse/refuse.h"
#include "fs/fuse/sprint.h"

/* One reader for the kernel's requests that may be queued in the background; the default of 12
 * lets a dozen waiting reads hold up every release on the mount. */
#define MAX_BACKGROUND 65535u

static void want(struct fuse_conn_info *conn, uint64_t flag)
{
	if (conn->capable_ext & flag)
		fuse_set_feature_flag(conn, flag);
}

static void find_stacked(void *arg, struct f3_volume *v)
{
	bool *stacked = arg;

	if (f3_backing_caps(v->disk)->stacked)
		*stacked = true;
}

static void init_passthrough(struct f3_fuse *f, struct fuse_conn_info *conn)
{
	bool stacked = false;

	if (f3_conf_u64(f->core->conf, "f3", NULL, "passthrough") != 0) {
		f->passthrough_reason = "switched off by configuration";
	} else if (!(conn->capable_ext & FUSE_CAP_PASSTHROUGH)) {
		f->passthrough_reason = "this kernel has none (Linux 6.9 or later is needed)";
	} else {
		fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
		f3_volume_each(f->core, find_stacked, &stacked);
		conn->max_backing_stack_depth =
			stacked ? FUSE_BACKING_STACKED_OVER : FUSE_BACKING_STACKED_UNDER;
		f->passthrough = true;
	}
	if (!f->passthrough)
		f3_log_warn("passthrough: %s; reads and writes go through the daemon",
			    f->passthrough_reason);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct f3_fuse *f = userdata;
	struct f3_kernel_ops kernel;

	init_passthrough(f, conn);
	/* With the write-back cache the kernel refuses passthrough; without KILLPRIV_V2 every write
	 * asks for security.capability first. */
	fuse_unset_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);
	fuse_unset_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV);
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	want(conn, FUSE_CAP_POSIX_ACL);
	want(conn, FUSE_CAP_DONT_MASK);
	want(conn, FUSE_CAP_PARALLEL_DIROPS);
	want(conn, FUSE_CAP_CACHE_SYMLINKS);
	want(conn, FUSE_CAP_EXPORT_SUPPORT);
	want(conn, FUSE_CAP_READDIRPLUS);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO);
	want(conn, FUSE_CAP_ASYNC_DIO);
	want(conn, FUSE_CAP_EXPIRE_ONLY);
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
	want(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
	f->direct_mmap = (conn->capable_ext & FUSE_CAP_DIRECT_IO_ALLOW_MMAP) != 0;
#endif
	/* Locks are the kernel's: one node is one kernel. */
	fuse_unset_feature_flag(conn, FUSE_CAP_POSIX_LOCKS);
	fuse_unset_feature_flag(conn, FUSE_CAP_FLOCK_LOCKS);
#ifdef FUSE_CAP_OVER_IO_URING
	if (f->uring && !(conn->capable_ext & FUSE_CAP_OVER_IO_URING)) {
		f3_log_warn("transport io_uring: this kernel does not offer it; using classic");
		f->uring = false;
	}
	if (!f->uring)
		fuse_unset_feature_flag(conn, FUSE_CAP_OVER_IO_URING);
#endif
	conn->max_write = F3_FUSE_MAX_IO;
	conn->max_read = F3_FUSE_MAX_IO;
	conn->max_background = (unsigned)f3_conf_u64(f->core->conf, "f3", NULL, "max-background");
	if (!conn->max_background || conn->max_background > MAX_BACKGROUND)
		conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = conn->max_background;
	conn->time_gran = 1;
	f3_notify_ops(f, &kernel);
	f3_core_set_kernel(f->core, &kernel);
}

static bool uring_enabled_in_kernel(void)
{
	char c = 'N';
	int fd = open("/sys/module/fuse/parameters/enable_uring", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, &c, 1) != 1)
			c = 'N';
		close(fd);
	}
	return c == 'Y' || c == '1';
}

/* 0 or -errno. libfuse goes on without its rings when it gets none, and tells nobody: ask before. */
static int try_uring(void)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SQE128 };
	int fd = (int)syscall(SYS_io_uring_setup, 1, &p);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static bool may_use_uring(void)
{
	int r;

#ifndef FUSE_CAP_OVER_IO_URING
	f3_log_warn("transport io_uring: this libfuse is older than 3.18; using classic");
	return false;
#endif
	if (!uring_enabled_in_kernel()) {
		f3_log_warn("transport io_uring: the kernel has it switched off (module parameter "
			    "fuse.enable_uring); using classic");
		return false;
	}
	r = try_uring();
	if (r)
		f3_log_warn("transport io_uring: the kernel refuses it (%s); using classic",
			    strerror(-r));
	return !r;
}

static void warn_request_timeouts(void)
{
	static const char *const files[] = { "/proc/sys/fs/fuse/default_request_timeout",
					     "/proc/sys/fs/fuse/max_request_timeout" };

	for (size_t i = 0; i < 2; i++) {
		char text[32] = "";
		int fd = open(files[i], O_RDONLY | O_CLOEXEC);
		ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

		if (fd >= 0)
			close(fd);
		if (n > 0 && strtoul(text, NULL, 10) > 0)
			f3_log_warn(
				"%s is %lu s: a request that waits longer, for an object store say, makes "
				"the kernel abort the whole mount; set it to 0",
				files[i], strtoul(text, NULL, 10));
	}
}

static int check_mountpoint(const char *mountpoint, struct f3_err *err)
{
	struct stat st, up;
	struct statvfs fs;
	char parent[PATH_MAX];

	/* What stat says of the root of a dead mount may still be in the kernel's cache. */
	if (stat(mountpoint, &st) || statvfs(mountpoint, &fs)) {
		/* ECONNABORTED: it went while we asked. */
		if (errno == ENOTCONN || errno == ECONNABORTED)
			return f3_err_set(err, -ENOTCONN,
					  "%s is a mount whose daemon is gone: umount -l %s first",
					  mountpoint, mountpoint);
		return f3_err_set(err, -errno, "mountpoint %s: %s", mountpoint, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode))
		return f3_err_set(err, -ENOTDIR, "mountpoint %s is not a directory", mountpoint);
	if (snprintf(parent, sizeof(parent), "%s/..", mountpoint) < (int)sizeof(parent) &&
	    !stat(parent, &up) && up.st_dev != st.st_dev)
		return f3_err_set(err, -EBUSY,
				  "mountpoint %s is in use: something is mounted there",
				  mountpoint);
	return 0;
}

static int make_session(struct f3_fuse *f, struct f3_err *err)
{
	struct fuse_lowlevel_ops ops = { .init = op_init };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char options[256];
	int n, r = 0;

	f3_fuselog_take();
	f3_ops_name(&ops);
	f3_ops_attr(&ops);
	f3_ops_open(&ops);
	f3_ops_data(&ops);
	f3_ops_poll(&ops);
	n = snprintf(options, sizeof(options), "-ofsname=f3,subtype=f3,max_read=%u%s",
		     F3_FUSE_MAX_IO, f->uring ? ",io_uring" : "");
	if (n >= (int)sizeof(options) || fuse_opt_add_arg(&args, "f3d") ||
	    fuse_opt_add_arg(&args, options))
		r = f3_err_set(err, -ENOMEM, "out of memory");
	if (!r) {
		f->se = fuse_session_new(&args, &ops, sizeof(ops), f);
		if (!f->se)
			r = f3_err_set(err, -EINVAL, "libfuse refused the options %s", options);
	}
	fuse_opt_free_args(&args);
	return r;
}

static int init_parts(struct f3_fuse *f)
{
	int r = f3_loop_new(f, &f->loop);

	if (!r)
		r = f3_opens_new(f->keep, &f->opens);
	if (!r)
		r = f3_parked_new(&f->parked);
	return r ? r : f3_notify_start(f);
}

int f3_fuse_new(struct f3_core *core, const struct f3_fuse_given *given, struct f3_fuse **ret_f,
		struct f3_err *err)
{
	const char *mountpoint = f3_conf_str(core->conf, "f3", NULL, "mountpoint");
	struct f3_fuse *f = calloc(1, sizeof(*f));
	char fd_path[32];
	size_t init_bytes;
	int r;

	if (!f)
		return f3_err_set(err, -ENOMEM, "out of memory");
	f->core = core;
	f->keep = given->keep;
	f->notifier = given->notifier;
	core->mount_id = f3_keep_id(given->keep);
	core->takes_over = given->takes_over;
	f->mounted = given->takes_over;
	f3_fuse_reload(f);
	f->threads = (unsigned)f3_conf_u64(core->conf, "f3", NULL, "threads");
	f3_lock_init(&f->ids_lock, F3_RANK_QUEUE);
	if (!mountpoint || snprintf(f->mountpoint, sizeof(f->mountpoint), "%s", mountpoint) >=
				   (int)sizeof(f->mountpoint)) {
		f3_fuse_free(f);
		return f3_err_set(err, -EINVAL, "no mountpoint is given");
	}
	f->uring = f3_conf_u64(core->conf, "f3", NULL, "transport") == 1 && may_use_uring();
	f3_ops_register_metrics();
	f3_open_register_metrics();
	f3_data_register_metrics();
	f3_sprint_register_metrics();
	warn_request_timeouts();
	r = init_parts(f);
	if (r)
		f3_err_set(err, r, "out of memory");
	if (!r)
		r = make_session(f, err);
	snprintf(fd_path, sizeof(fd_path), "/dev/fd/%d", given->fd);
	if (!r && fuse_session_mount(f->se, fd_path))
		r = f3_err_set(err, -EIO, "libfuse refused the descriptor %d of /dev/fuse",
			       given->fd);
	/* Another INIT does not come: waiting for it would be for ever. */
	if (!r && given->takes_over && !f3_keep_init(f->keep, &init_bytes))
		r = f3_err_set(err, -EINVAL,
			       "what the kernel said first is damaged in the saved state");
	if (!r && given->takes_over)
		r = f3_opens_restore(f, err);
	if (r) {
		f->mounted = false; /* whoever tries next finds it as it was */
		f3_fuse_free(f);
		return r;
	}
	*ret_f = f;
	return 0;
}

int f3_fuse_mount(struct f3_fuse *f, struct f3_err *err)
{
	char options[256];
	int r;

	if (f->mounted)
		return 0;
	r = check_mountpoint(f->mountpoint, err);
	if (r)
		return r;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,max_read=%u%s",
		 fuse_session_fd(f->se), (unsigned)getuid(), (unsigned)getgid(), F3_FUSE_MAX_IO,
		 f3_conf_u64(f->core->conf, "f3", NULL, "allow-other") ? ",allow_other" : "");
	if (mount("f3", f->mountpoint, "fuse.f3", MS_NOSUID | MS_NODEV, options))
		return f3_err_set(err, -errno,
				  "%s cannot be mounted (is /dev/fuse FUSE's, are we root?): %s",
				  f->mountpoint, strerror(errno));
	f->mounted = f->not_served = true;
	return 0;
}

/* The kernel sends INIT once in a mount's life. */
static int take_init(struct f3_fuse *f)
{
	struct fuse_buf buf = { .mem = NULL };
	struct fuse_buf saved = { .mem = NULL };
	const void *init = f3_keep_init(f->keep, &saved.size);
	int n;

	if (init) {
		/* libfuse answers it; the kernel does not know the number any more. */
		saved.mem = malloc(saved.size);
		if (!saved.mem)
			return -ENOMEM;
		memcpy(saved.mem, init, saved.size);
		fuse_session_process_buf(f->se, &saved);
		free(saved.mem);
		return f3_fuse_resend(fuse_session_fd(f->se));
	}
	do {
		n = fuse_session_receive_buf(f->se, &buf);
	} while (n == -EINTR || n == -EAGAIN);
	if (n > 0) {
		n = f3_keep_set_init(f->keep, buf.mem, (size_t)n);
		if (!n)
			fuse_session_process_buf(f->se, &buf);
	} else {
		n = n ? n : -ENODEV;
	}
	free(buf.mem);
	return n;
}

static int start_sprints(struct f3_fuse *f)
{
	int r = 0;

	if (sched_getaffinity(0, sizeof(f->home), &f->home)) {
		/* More CPUs than a cpu_set_t has room for: all of them. */
		memset(&f->home, 0xff, sizeof(f->home));
	}
	if (f3_conf_u64(f->core->conf, "f3", NULL, "reader-affinity") != 0)
		f->sprint_reason = "switched off by configuration";
	else
		r = f3_sprint_new(&f->sprint, &f->sprint_reason);
	if (!r && f->sprint_reason)
		f3_log_info("readers stay away from the CPUs of programs: %s", f->sprint_reason);
	return r;
}

int f3_fuse_run(struct f3_fuse *f, void (*serving)(void *arg), void *arg)
{
	int r = start_sprints(f);

	if (!r)
		r = take_init(f);
	if (r == -ENODEV) {
		r = 0; /* unmounted already */
	} else if (!r) {
		f->decided = true;
		f->not_served = false;
		serving(arg);
		r = f3_loop_run(f->loop);
	}
	f->stopping = true;
	return r;
}

/* After an unmount: does the kernel still ask, for mounts in other mount namespaces or files of one that
 * was detached before? */
static bool still_asked(struct f3_fuse *f)
{
	struct pollfd fd = { .fd = fuse_session_fd(f->se) };

	return poll(&fd, 1, 0) < 1 || !(fd.revents & POLLERR);
}

/* Reading threads leave when the connection ends. While they still serve, an unmount that finds
 * the mount busy can say so. */
void f3_fuse_stop(struct f3_fuse *f)
{
	if (atomic_exchange(&f->stopping, true))
		return;
	if (!f->mounted)
		return;
	if (umount2(f->mountpoint, UMOUNT_NOFOLLOW) && errno == EBUSY) {
		f3_log_warn(
			"%s is in use: programs that have files open there get ENOTCONN from now on",
			f->mountpoint);
		/* Threads of rings are not ours to stop: the kernel gives them nothing any more. */
		umount2(f->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW | (f->uring ? MNT_FORCE : 0));
		f3_loop_stop(f->loop);
	} else if (!f->uring && still_asked(f)) {
		f3_log_warn(
			"%s is in use elsewhere: programs of other mount namespaces, or that have "
			"files open there, get ENOTCONN from now on",
			f->mountpoint);
		f3_loop_stop(f->loop);
	}
}

/* libfuse ends its threads of rings where its own loop ends, and nowhere else: it is given a loop
 * that has nothing to do. */
static void end_rings(struct f3_fuse *f)
{
	fuse_session_exit(f->se);
	(void)fuse_session_loop(f->se);
}

void f3_fuse_freeze(struct f3_fuse *f)
{
	f->frozen = true;
	if (!atomic_exchange(&f->stopping, true))
		f3_loop_stop(f->loop);
}

void f3_fuse_free(struct f3_fuse *f)
{
	if (!f)
		return;
	f->stopping = true;
	f3_workq_free(f->notify);
	f3_sprint_stop(f->sprint);
	if (f->not_served)
		umount2(f->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (f->se && f->uring)
		end_rings(f);
	if (f->se)
		fuse_session_destroy(f->se);
	f3_parked_free(f->parked);
	f3_opens_free(f->opens);
	f3_loop_free(f->loop);
	f3_sprint_free(f->sprint);
	f3_access_close();
	free(f);
}

void f3_fuse_reload(struct f3_fuse *f)
{
	f->slow_ns = f3_conf_u64(f->core->conf, "f3", NULL, "slow-operation");
}

void f3_fuse_info(struct f3_fuse *f, struct f3_fuse_info *ret)
{
	bool decided = f->decided;

	*ret = (struct f3_fuse_info){
		.transport = decided && f->uring ? "io_uring" : "classic",
		.passthrough = decided && f->passthrough,
		.passthrough_reason = decided ? f->passthrough_reason : NULL,
		.threads = f->threads,
		.sprinting = decided ? f3_sprint_count(f->sprint) : 0,
		.sprint_reason = decided ? f->sprint_reason : NULL,
		.opens = f3_opens_count(f->opens),
		.parked = f3_parked_count(f->parked),
	};
}
