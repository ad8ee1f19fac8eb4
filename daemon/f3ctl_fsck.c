/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl_fsck: asks the daemon to check, or checks a cache directory without one: under the node's
 * lock, so that none can start meanwhile.
 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/fsck.h"
#include "fs/base/clock.h"
#include "fs/base/text.h"
#include "fs/core/file.h"
#include "fs/core/node.h"
#include "fs/meta/check.h"
#include "fs/meta/kv.h"

#define BLOCK_CACHE_BYTES (64u << 20)
#define WRITE_BUFFER_BYTES (32u << 20)

static int repair;
static char *cache, *memory;

const struct poptOption f3ctl_fsck_options[] = {
	{ "cache", '\0', POPT_ARG_STRING, &cache, 0,
	  "check this cache directory, of a daemon that does not run", "DIR" },
	{ "memory", '\0', POPT_ARG_STRING, &memory, 0,
	  "with --cache: its memory-dir; without it files of class memory are not looked for",
	  "DIR" },
	{ "repair", '\0', POPT_ARG_NONE, &repair, 0, "with --cache: put right what can be", NULL },
	POPT_TABLEEND,
};

/* ---- What is found --------------------------------------------------------------------------- */

struct report {
	struct f3ctl *ctl;
	struct f3ctl_progress progress;
};

static void report_problem(struct report *r, const json_t *item)
{
	struct f3_buf b;

	f3ctl_progress_clear(&r->progress);
	if (r->ctl->json) {
		json_t *line = json_pack("{sO}", "item", item);

		f3ctl_print_json(line);
		json_decref(line);
		return;
	}
	f3_buf_init(&b, 65536);
	f3_buf_printf(&b, "inode %" PRIu64 ": ", f3ctl_u64(item, "ino"));
	f3ctl_text(item, "problem", &b);
	f3_buf_printf(&b, ": ");
	f3ctl_text(item, "detail", &b);
	if (json_object_get(item, "path")) {
		f3_buf_printf(&b, ", ");
		f3ctl_item_path(r->ctl, item, &b);
	}
	if (json_is_true(json_object_get(item, "repaired")))
		f3_buf_printf(&b, " (repaired)");
	printf("%.*s\n", (int)b.len, (const char *)b.data);
	f3_buf_done(&b);
}

static int finish(struct report *r, const json_t *answer)
{
	uint64_t problems = f3ctl_u64(answer, "problems"), repaired = f3ctl_u64(answer, "repaired");

	f3ctl_progress_clear(&r->progress);
	if (r->ctl->json)
		f3ctl_print_json(answer);
	else
		printf("%" PRIu64 " inodes, %" PRIu64 " names, %" PRIu64 " problems, %" PRIu64
		       " repaired\n",
		       f3ctl_u64(answer, "inodes"), f3ctl_u64(answer, "names"), problems, repaired);
	return problems > repaired ? F3CTL_FAILED : F3CTL_OK;
}

/* ---- A daemon's ------------------------------------------------------------------------------ */

static int take_line(void *arg, const char *key, json_t *value)
{
	struct report *r = arg;

	if (!strcmp(key, "progress"))
		f3ctl_progress_show(&r->progress, value);
	else
		report_problem(r, value);
	return 0;
}

static int check_live(struct report *r)
{
	json_t *request = f3ctl_request("fsck"), *answer = NULL;
	int code;

	if (r->progress.on)
		json_object_set_new(request, "progress", json_true());
	if (repair)
		json_object_set_new(request, "repair", json_true());
	code = f3ctl_ask(r->ctl, request, take_line, r, &answer);
	f3ctl_progress_clear(&r->progress);
	if (!code)
		code = finish(r, answer);
	json_decref(answer);
	return code;
}

/* ---- A directory's --------------------------------------------------------------------------- */

static int stat_backing(const struct f3_inode_rec *rec, struct stat *ret_st)
{
	bool in_memory = rec->backing_class == F3_CLASS_MEMORY;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s%s/%" PRIu32 "/%02x/%016" PRIx64 ".%08" PRIx32,
		     in_memory ? memory : cache, in_memory ? "" : "/data", rec->volume,
		     (unsigned)(rec->ino & 0xff), rec->ino, rec->backing) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return lstat(path, ret_st) ? -errno : 0;
}

static int check_backing(void *arg, const struct f3_inode_rec *rec)
{
	struct stat st;
	int r;

	(void)arg;
	if (rec->backing_class == F3_CLASS_MEMORY && !memory)
		return 0;
	r = stat_backing(rec, &st);
	return r ? r : f3_fsck_judge(rec, &st);
}

static void found(void *arg, const struct f3_check_problem *p)
{
	json_t *item = json_pack("{sI ss sb}", "ino", (json_int_t)p->ino, "problem", p->what,
				 "repaired", p->repaired);

	f3_wire_set_name(item, "detail", p->detail, strlen(p->detail));
	report_problem(arg, item);
	json_decref(item);
}

static void progress(void *arg, uint64_t done, uint64_t total)
{
	struct report *r = arg;
	json_t *line = json_pack("{sI sI}", "files", (json_int_t)done, "total", (json_int_t)total);

	f3ctl_progress_show(&r->progress, line);
	json_decref(line);
}

static int open_meta(struct f3_meta **ret_meta, struct f3_err *err)
{
	const struct f3_kv_options kv_opt = { .block_cache_bytes = BLOCK_CACHE_BYTES,
					      .write_buffer_bytes = WRITE_BUFFER_BYTES,
					      .read_only = !repair };
	const struct f3_meta_options opt = { .read_only = !repair, .offline = true };
	char db[PATH_MAX];
	struct f3_kv *kv;
	int r;

	if (snprintf(db, sizeof(db), "%s/db", cache) >= (int)sizeof(db))
		return f3_err_set(err, -ENAMETOOLONG, "%s: %s", cache, strerror(ENAMETOOLONG));
	if (access(db, R_OK | X_OK))
		return f3_err_set(err, -errno, "%s is no cache directory: %s: %s", cache, db,
				  strerror(errno));
	r = f3_meta_rocks_open(db, &kv_opt, &kv, err);
	return r ? r : f3_meta_open(kv, &opt, ret_meta, err);
}

static int check_directory(struct report *r)
{
	const struct f3_check_options opt = {
		.repair = repair,
		.backing = check_backing,
		.charge = f3_file_charge,
		.problem = found,
		.progress = progress,
		.arg = r,
	};
	struct f3_check_result result = { 0 };
	struct f3_err err = F3_ERR_INIT;
	struct f3_meta *meta = NULL;
	json_t *answer;
	struct stat st;
	int lock, error, code;

	/* The lock's function would make the directory. */
	if (stat(cache, &st) || !S_ISDIR(st.st_mode))
		return f3ctl_fail(r->ctl, "%s is no directory", cache);
	lock = f3_node_lock(cache, &err);
	if (lock < 0)
		return f3ctl_fail(r->ctl, "%s", err.text);
	error = open_meta(&meta, &err);
	if (!error) {
		error = f3_meta_check(meta, &opt, &result);
		if (error)
			f3_err_set(&err, error, "%s: the database cannot be read: %s", cache,
				   strerror(-error));
		f3_meta_close(meta);
	}
	close(lock);
	f3ctl_progress_clear(&r->progress);
	if (error)
		return f3ctl_fail(r->ctl, "%s", err.text);
	answer = json_pack("{sb sI sI sI sI}", "ok", 1, "inodes", (json_int_t)result.inodes,
			   "names", (json_int_t)result.names, "problems",
			   (json_int_t)result.problems, "repaired", (json_int_t)result.repaired);
	code = finish(r, answer);
	json_decref(answer);
	return code;
}

int f3ctl_fsck(struct f3ctl *ctl, int argc, const char *const *argv)
{
	struct report r = { .ctl = ctl };
	int code;

	(void)argv;
	f3ctl_progress_init(&r.progress, ctl);
	if (argc)
		code = f3ctl_usage(ctl, "no arguments are wanted");
	else if (!cache && memory)
		code = f3ctl_usage(ctl, "--memory: only with --cache");
	else
		code = cache ? check_directory(&r) : check_live(&r);
	free(cache);
	free(memory);
	return code;
}
