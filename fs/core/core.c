/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/activation.h"
#include "fs/core/answered.h"
#include "fs/core/commitset.h"
#include "fs/core/evict.h"
#include "fs/core/expect.h"
#include "fs/core/fetch.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/fill_recent.h"
#include "fs/core/hold.h"
#include "fs/core/inode.h"
#include "fs/core/journal_run.h"
#include "fs/core/lack.h"
#include "fs/core/lifetime.h"
#include "fs/core/lineage.h"
#include "fs/core/node.h"
#include "fs/core/rest.h"
#include "fs/core/revive.h"
#include "fs/core/sealer.h"
#include "fs/core/stream.h"
#include "fs/core/volume.h"
#include "fs/core/workingset.h"

#define RING_DEPTH 256
#define QUEUE_MAX 65536
#define FILL_ALIGN (64u << 10)

static int make_memory_dir(struct f3_core *core, struct f3_err *err)
{
	uint64_t size = f3_conf_u64(core->conf, "f3", NULL, "memory-size");
	char options[64];
	struct statfs fs;

	int r = f3_node_make_dirs(core->memory_dir);

	if (r)
		return f3_err_set(err, r, "memory directory %s cannot be made: %s",
				  core->memory_dir, strerror(-r));
	if (statfs(core->memory_dir, &fs))
		return f3_err_set(err, -errno, "memory directory %s: %s", core->memory_dir,
				  strerror(errno));
	snprintf(options, sizeof(options), "mode=0700,size=%llu", (unsigned long long)size);
	if (fs.f_type == TMPFS_MAGIC && (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize == size)
		core->memory_mounted = true; /* by an earlier run */
	if (core->memory_mounted)
		return 0;
	if (!mount("f3-memory", core->memory_dir, "tmpfs", MS_NOSUID | MS_NODEV, options)) {
		core->memory_mounted = true;
		return 0;
	}
	if (fs.f_type == TMPFS_MAGIC)
		return 0; /* tmpfs already, without a limit of its own */
	f3_log_warn(
		"%s: no tmpfs could be mounted (%s); files of class memory lie on the disk below it",
		core->memory_dir, strerror(errno));
	return 0;
}

static int is_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path;
	(void)st;
	(void)at;
	return type == FTW_F;
}

/* Files of class memory outlive a stop; without any, nothing is left mounted. */
static void release_memory_dir(struct f3_core *core)
{
	struct statfs fs;

	if (!core->memory_mounted || statfs(core->memory_dir, &fs) || fs.f_type != TMPFS_MAGIC)
		return;
	if (nftw(core->memory_dir, is_file, 8, FTW_PHYS | FTW_MOUNT))
		return;
	if (!umount2(core->memory_dir, UMOUNT_NOFOLLOW))
		(void)rmdir(core->memory_dir);
}

static int divide_memory(struct f3_core *core)
{
	uint64_t wanted = f3_conf_u64(core->conf, "f3", NULL, "memory-limit"), most;
	uint64_t limit = f3_budget_cgroup_limit(wanted);
	int r = f3_budget_new(limit, &core->budget);

	if (r)
		return r;
	f3_budget_divide(core->budget);
	if (f3_budget_limit(core->budget) > limit)
		f3_log_warn("the cgroup allows %" PRIu64 " MiB of memory, f3d needs %" PRIu64
			    " at least",
			    limit >> 20, f3_budget_limit(core->budget) >> 20);
	else if (limit < wanted)
		f3_log_info("memory-limit is %" PRIu64 " MiB, as the cgroup's", limit >> 20);
	/* Several transfers at a time have to have room. */
	most = f3_budget_share(core->budget, F3_ACCT_BUFFERS) / 4 / FILL_ALIGN * FILL_ALIGN;
	if (core->opt.fill_bytes > most)
		core->opt.fill_bytes = most;
	return 0;
}

static int open_database(struct f3_core *core, struct f3_err *err)
{
	uint64_t share = f3_budget_share(core->budget, F3_ACCT_DATABASE);
	const struct f3_kv_options kv_opt = {
		.block_cache_bytes = share / 2,
		.write_buffer_bytes = share / 2,
		.create = true,
	};
	struct f3_meta_options opt = { .read_only = false };
	char dir[PATH_MAX];
	struct f3_kv *kv;
	int r;

	if (snprintf(dir, sizeof(dir), "%s/db", core->cache_dir) >= (int)sizeof(dir))
		return f3_err_set(err, -ENAMETOOLONG, "cache directory's path is too long");
	memcpy(opt.node_uuid, core->node_uuid, sizeof(opt.node_uuid));
	memcpy(opt.node_was, core->node_was, sizeof(opt.node_was));
	r = f3_boot_id(opt.boot_id);
	if (r)
		return f3_err_set(err, r, "the kernel's boot id cannot be read: %s", strerror(-r));
	r = f3_meta_rocks_open(dir, &kv_opt, &kv, err);
	if (r)
		return r;
	r = f3_meta_open(kv, &opt, &core->meta, err);
	if (r)
		return r;
	r = f3_meta_new_ino(core->meta, &core->first_ino);
	return r ? f3_err_set(err, r, "database %s: %s", dir, strerror(-r)) : 0;
}

static int start_threads(struct f3_core *core, struct f3_err *err)
{
	const struct f3_conf *conf = core->conf;
	unsigned io_threads = (unsigned)f3_conf_u64(conf, "f3", NULL, "io-threads");
	bool uring = f3_conf_u64(conf, "f3", NULL, "io-uring") == 0; /* auto|off */
	int r = f3_timers_start();

	if (!r)
		r = f3_ring_new(RING_DEPTH, uring, &core->ring, err);
	if (!r)
		r = f3_watcher_new(&core->watcher);
	if (!r)
		r = f3_workq_new("blocking", io_threads, QUEUE_MAX, &core->blocking);
	if (!r)
		r = f3_workq_new("transfer", io_threads, QUEUE_MAX, &core->transfer);
	if (!r)
		r = f3_recent_new(core, &core->recent);
	if (!r)
		r = f3_lack_new(core, &core->lack);
	if (!r)
		r = f3_holds_new(&core->holds);
	if (!r)
		r = f3_expect_new(core, &core->expect);
	if (!r)
		r = f3_sealer_new(core, &core->sealer);
	if (r && (!err || !err->code))
		f3_err_set(err, r, "threads cannot be started: %s", strerror(-r));
	return r;
}

static void read_live_options(struct f3_core *core)
{
	const struct f3_conf *conf = core->conf;

	core->opt.writer_reserve_bytes = f3_conf_u64(conf, "f3", NULL, "writer-reserve");
	core->opt.entry_ttl_ns = f3_conf_u64(conf, "f3", NULL, "entry-timeout");
	core->opt.attr_ttl_ns = f3_conf_u64(conf, "f3", NULL, "attr-timeout");
	core->opt.negative_ttl_ns = f3_conf_u64(conf, "f3", NULL, "negative-timeout");
	core->opt.cache_bytes = f3_conf_u64(conf, "f3", NULL, "cache-size");
	core->opt.cache_low_bytes = f3_conf_u64(conf, "f3", NULL, "cache-low");
	core->opt.space_wait_ns = f3_conf_u64(conf, "f3", NULL, "space-wait");
	core->opt.fill_parallel = (unsigned)f3_conf_u64(conf, "f3", NULL, "fill-parallel");
	core->opt.retry_min_ns = f3_conf_u64(conf, "f3", NULL, "retry-min");
	core->opt.retry_max_ns = f3_conf_u64(conf, "f3", NULL, "retry-max");
}

static void read_options(struct f3_core *core)
{
	const struct f3_conf *conf = core->conf;
	const char *node = f3_conf_str(conf, "f3", NULL, "node");

	read_live_options(core);
	core->opt.fill_bytes = f3_conf_u64(conf, "f3", NULL, "fill-size");
	core->opt.stage_parallel = (unsigned)f3_conf_u64(conf, "f3", NULL, "stage-parallel");
	if (node && *node)
		snprintf(core->node_name, sizeof(core->node_name), "%s", node);
	else if (gethostname(core->node_name, sizeof(core->node_name) - 1))
		snprintf(core->node_name, sizeof(core->node_name), "localhost");
}

static int read_paths(struct f3_core *core, struct f3_err *err)
{
	const char *cache = f3_conf_str(core->conf, "f3", NULL, "cache");
	const char *run = f3_conf_str(core->conf, "f3", NULL, "run-dir");
	const char *memory = f3_conf_str(core->conf, "f3", NULL, "memory-dir");
	int n = snprintf(core->cache_dir, sizeof(core->cache_dir), "%s", cache);
	int m = memory && *memory ?
			snprintf(core->memory_dir, sizeof(core->memory_dir), "%s", memory) :
			snprintf(core->memory_dir, sizeof(core->memory_dir), "%s/memory", run);

	if (n >= (int)sizeof(core->cache_dir) || m >= (int)sizeof(core->memory_dir))
		return f3_err_set(err, -ENAMETOOLONG, "a directory's path is too long");
	return 0;
}

int f3_core_start(const struct f3_conf *conf, int lock_fd, struct f3_core **ret_core,
		  struct f3_err *err)
{
	struct f3_core *core = calloc(1, sizeof(*core));
	struct rlimit limits;
	int r;

	if (!core) {
		if (lock_fd >= 0)
			close(lock_fd);
		return f3_err_set(err, -ENOMEM, "out of memory");
	}
	core->conf = conf;
	core->lock_fd = lock_fd;
	core->inherit_epoch = 1;
	for (size_t i = 0; i < F3_NAME_LOCKS; i++)
		f3_lock_init(&core->names[i], F3_RANK_NAMES);
	read_options(core);
	if (!getrlimit(RLIMIT_NOFILE, &limits))
		core->fd_files = limits.rlim_cur / 2 > UINT32_MAX ? UINT32_MAX :
								    (uint32_t)(limits.rlim_cur / 2);
	r = read_paths(core, err);
	if (!r && core->lock_fd < 0) {
		core->lock_fd = f3_node_lock(core->cache_dir, err);
		r = core->lock_fd < 0 ? core->lock_fd : 0;
	}
	if (!r)
		r = f3_node_identity(core->cache_dir, core->node_uuid, core->node_was, err);
	if (!r) {
		r = divide_memory(core);
		if (r)
			f3_err_set(err, r, "out of memory");
	}
	if (!r)
		r = start_threads(core, err);
	if (!r)
		r = open_database(core, err);
	if (!r) {
		r = f3_itable_new(core, &core->itable);
		if (r)
			f3_err_set(err, r, "out of memory");
	}
	if (!r)
		r = make_memory_dir(core, err);
	if (!r)
		r = f3_evict_start(core, err);
	if (!r) {
		r = f3_journal_new(core, &core->journal);
		if (r)
			f3_err_set(err, r, "out of memory");
	}
	if (!r) {
		r = f3_lineages_new(core, &core->lineages);
		if (!r)
			r = f3_lives_new(core, &core->lives);
		if (!r)
			r = f3_acts_new(core, &core->acts);
		if (r)
			f3_err_set(err, r,
				   "database in %s: what is kept of activations cannot be read: %s",
				   core->cache_dir, strerror(-r));
	}
	if (!r) {
		r = f3_commitsets_new(core, &core->commitsets);
		if (!r)
			r = f3_ws_new(core, &core->ws);
		if (r)
			f3_err_set(err, r, "out of memory");
	}
	if (!r)
		r = f3_volumes_start(core, err);
	if (r) {
		f3_core_stop(core);
		return r;
	}
	*ret_core = core;
	return 0;
}

int f3_core_recover(struct f3_core *core, struct f3_err *err)
{
	/* First what was told to wait for its turn, then what the files themselves still need. */
	int r = f3_answered_load(core);

	if (r)
		return f3_err_set(err, r,
				  "database in %s: the requests of the last run cannot be read: %s",
				  core->cache_dir, strerror(-r));
	r = f3_rest_new(core, &core->rest);
	if (r)
		return f3_err_set(err, r, "out of memory");
	r = f3_ws_load(core);
	if (r)
		return f3_err_set(err, r, "database in %s: the working sets cannot be read: %s",
				  core->cache_dir, strerror(-r));
	r = f3_commitset_load(core, err);
	if (!r)
		r = f3_journal_load(core, err);
	if (!r) {
		r = f3_act_hold_again(core);
		if (r)
			f3_err_set(err, r,
				   "database in %s: what activations held cannot be read: %s",
				   core->cache_dir, strerror(-r));
	}
	if (!r)
		r = f3_file_recover(core, err);
	if (!r) {
		r = f3_meta_recovered(core->meta);
		if (r)
			f3_err_set(err, r,
				   "the database in %s cannot be written: %s: is its disk full, "
				   "or failing?",
				   core->cache_dir, strerror(-r));
	}
	if (!r)
		r = f3_revive_new(core, &core->revive);
	if (!r)
		f3_journal_go(core);
	if (!r)
		f3_commitset_go(core);
	return r;
}

void f3_core_reload(struct f3_core *core)
{
	read_live_options(core);
	f3_evict_reload(core);
	f3_volumes_reload(core);
}

void f3_core_set_kernel(struct f3_core *core, const struct f3_kernel_ops *ops)
{
	core->kernel = *ops;
}

static void stop_waiting(void *arg, struct f3_inode *inode)
{
	f3_fill_stop(arg, inode);
	f3_fetch_stop(inode);
}

static void stop_stream(void *arg, struct f3_inode *inode)
{
	(void)arg;
	f3_stream_stop(inode);
}

/* An activation has things of what is freed next. */
static void forget_act(void *arg, struct f3_inode *inode)
{
	(void)arg;
	f3_act_put(atomic_exchange(&inode->act, NULL));
}

static void seal_one(void *arg, struct f3_inode *inode)
{
	struct f3_core *core = arg;

	if (inode->rec.state == F3_STATE_WRITING && !inode->dead && f3_file_seal(core, inode))
		f3_file_left(core, inode);
}

/* Copies of objects are trusted after an orderly stop, though nobody has synced them: that is done
 * now, since the machine may lose its power a moment later. */
static void sync_cache(struct f3_core *core)
{
	char dir[PATH_MAX + sizeof("/data")];
	int fd, r = 0;

	snprintf(dir, sizeof(dir), "%s/data", core->cache_dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || syncfs(fd))
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (!r)
		return;
	f3_meta_distrust(core->meta);
	/* Before the first volume there is nothing to be synced. */
	if (r != -ENOENT)
		f3_log_error("%s cannot be synced, and will not be trusted at the next start: %s",
			     dir, strerror(-r));
}

void f3_core_stop(struct f3_core *core)
{
	if (!core)
		return;
	core->stopping = true;
	f3_acts_stop(core->acts);
	f3_lives_stop(core->lives);
	f3_lineages_stop(core->lineages);
	f3_ws_stop(core->ws);
	f3_sealer_free(core->sealer);
	core->sealer = NULL;
	if (core->itable)
		f3_itable_each(core, seal_one, core);
	f3_commitsets_stop(core);
	f3_journal_stop(core);
	f3_lack_stop(core);
	f3_expect_stop(core);
	if (core->itable)
		f3_itable_each(core, stop_stream, core);
	f3_workq_free(core->blocking);
	/* Nobody opens anything any more. */
	if (core->kernel.forget_activations)
		core->kernel.forget_activations(core->kernel.arg);
	f3_lineages_write(core->lineages);
	/* What began before it was stopping: nothing is asked for ahead from here on. */
	if (core->transfer)
		f3_workq_drain(core->transfer);
	if (core->itable)
		f3_itable_each(core, stop_waiting, core);
	f3_timers_stop();
	f3_holds_free(core);
	f3_workq_free(core->transfer);
	f3_revive_free(core->revive);
	/* A read whose answer let the last program go may still hold its inode. */
	f3_ring_drain(core->ring);
	f3_acts_free(core->acts);
	if (core->itable)
		f3_itable_each(core, forget_act, core);
	f3_expect_free(core->expect);
	f3_commitsets_free(core->commitsets);
	f3_ws_free(core->ws);
	f3_itable_free(core->itable);
	f3_lineages_free(core->lineages);
	f3_lives_free(core->lives);
	f3_evict_stop(core);
	f3_watcher_free(core->watcher);
	f3_volumes_stop(core);
	f3_journal_free(core->journal);
	f3_ring_free(core->ring);
	f3_rest_free(core->rest);
	release_memory_dir(core);
	if (core->meta)
		sync_cache(core);
	f3_answered_free(core);
	f3_meta_close(core->meta);
	f3_lack_free(core->lack);
	if (core->kernel.drain)
		core->kernel.drain(core->kernel.arg);
	f3_recent_free(core->recent);
	f3_budget_free(core->budget);
	for (size_t i = 0; i < F3_NAME_LOCKS; i++)
		f3_lock_done(&core->names[i]);
	if (core->lock_fd >= 0)
		close(core->lock_fd);
	free(core);
}
