/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_work: what is done to files: class, warm, evict, pin, unpin, sync.
 *
 * All take "volume", "path", "recursive" and "progress". With progress the files are counted first,
 * in a pass of its own that reads names and records only.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/jobs.h"
#include "daemon/verb.h"
#include "daemon/walk.h"
#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/evict.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/move.h"
#include "fs/core/stage.h"
#include "fs/core/volume.h"
#include "fs/core/xattr.h"

#define PATH_BYTES_MAX 65536u
#define CLASS_XATTR "user.f3.class"

/* ---- Trees ----------------------------------------------------------------------------------- */

/* A verb over a tree: jobs for its regular files, maybe something for its directories. */
struct tree {
	struct f3_jobs jobs;
	int (*directory)(struct tree *tree, uint64_t ino);
	enum f3_class class_;
	_Atomic uint64_t moving;
	bool pin;
};

static int tree_failed(void *arg, const struct f3_buf *path, int error)
{
	struct tree *tree = arg;

	return f3_jobs_failed(&tree->jobs, path, error);
}

static int tree_one(void *arg, uint64_t ino, mode_t type, const struct f3_buf *path,
		    enum f3_walk_when when)
{
	struct tree *tree = arg;
	int r;

	if (S_ISREG(type))
		return f3_jobs_add(&tree->jobs, ino, path);
	if (!S_ISDIR(type) || when != F3_WALK_FIRST || !tree->directory || path->len < 2)
		return 0;
	r = tree->directory(tree, ino);
	return r ? f3_jobs_failed(&tree->jobs, path, r) : 0;
}

static int count_one(void *arg, uint64_t ino, mode_t type, const struct f3_buf *path,
		     enum f3_walk_when when)
{
	struct tree *tree = arg;
	struct f3_look look;

	(void)path;
	(void)when;
	if (!S_ISREG(type) || f3_look(tree->jobs.v->core, ino, &look))
		return 0;
	tree->jobs.total++;
	tree->jobs.total_bytes += look.rec.size;
	f3_look_done(&look);
	return 0;
}

/* The second pass meets it again, and says so. */
static int count_failed(void *arg, const struct f3_buf *path, int error)
{
	(void)arg;
	(void)path;
	(void)error;
	return 0;
}

/* Only a file, or a directory together with "recursive" (or one that the verb takes by itself). */
static int check_kind(struct f3_verb *v, uint64_t ino, const struct f3_buf *path, bool deep,
		      bool takes_directory)
{
	struct f3_look look;
	mode_t mode;
	int r = f3_look(v->core, ino, &look);

	if (r)
		return f3_verb_error(v, r, path, NULL);
	mode = look.rec.mode;
	f3_look_done(&look);
	if (S_ISDIR(mode) && !deep && !takes_directory)
		return f3_verb_error(v, -EISDIR, path, "a directory: -R does what is below it");
	if (!S_ISDIR(mode) && !S_ISREG(mode))
		return f3_verb_error(v, -EINVAL, path, "only files have bytes");
	return 0;
}

static int run_tree(struct f3_verb *v, struct tree *tree)
{
	bool deep = f3_verb_flag(v, "recursive");
	enum f3_walk_depth depth = deep ? F3_WALK_DEEP : F3_WALK_ONE;
	struct f3_buf path;
	uint64_t ino;
	int r, ended;

	f3_buf_init(&path, PATH_BYTES_MAX);
	r = f3_verb_place(v, &path, &ino);
	if (!r)
		r = check_kind(v, ino, &path, deep, tree->directory != NULL);
	if (!r && f3_verb_flag(v, "progress"))
		r = f3_walk(v, ino, &path, depth, count_one, count_failed, tree);
	if (!r)
		r = f3_walk(v, ino, &path, depth, tree_one, tree_failed, tree);
	ended = f3_jobs_finish(&tree->jobs);
	if (!r)
		r = ended;
	else if (!v->err.code)
		f3_verb_error(v, r, &path, NULL);
	f3_jobs_done(&tree->jobs);
	f3_buf_done(&path);
	return r;
}

/* ---- class ----------------------------------------------------------------------------------- */

static int set_class(struct f3_core *core, uint64_t ino, enum f3_class class_)
{
	const char *name = f3_class_name(class_);

	return f3_xattr_set(core, ino, CLASS_XATTR, name, strlen(name), 0, false, &f3_verb_caller);
}

/* Promotion waits for the store: not here. */
static int class_job(struct f3_job *job)
{
	struct tree *tree = job->jobs->arg;
	int r;

	if (!job->blocking)
		return F3_JOB_BLOCKS;
	r = set_class(job->jobs->v->core, job->inode->ino, tree->class_);
	if (!r) {
		f3_lock(&job->inode->lock);
		tree->moving += f3_move_pending(job->inode);
		f3_unlock(&job->inode->lock);
	}
	return r;
}

static const char *class_explains(int error)
{
	if (error == -EPERM)
		return "below a directory of a local class nothing is more durable";
	if (error == -EOPNOTSUPP)
		return "this class wants a store, and the volume has none";
	return NULL;
}

static int class_directory(struct tree *tree, uint64_t ino)
{
	return set_class(tree->jobs.v->core, ino, tree->class_);
}

static int verb_class(struct f3_verb *v)
{
	unsigned threads = (unsigned)f3_conf_u64(v->core->conf, "f3", NULL, "io-threads");
	struct tree tree = { .directory = class_directory };
	const char *name;
	int r = f3_verb_text(v, "class", &name);

	if (r)
		return r;
	r = f3_class_parse(name, strlen(name), &tree.class_);
	if (r || tree.class_ == F3_CLASS_NONE)
		return f3_err_set(&v->err, -EINVAL,
				  "\"%.32s\" is no class: memory, ephemeral, writeback or durable",
				  name);
	/* Half of the threads: programs that wait for the store need some too. */
	f3_jobs_init(&tree.jobs, v, threads > 1 ? threads / 2 : 1, class_job, &tree);
	tree.jobs.explain = class_explains;
	r = run_tree(v, &tree);
	/* These are open or mapped now: their bytes move at the last close. */
	json_object_set_new(v->answer, "moving", json_integer((json_int_t)tree.moving));
	return r;
}

/* ---- warm ------------------------------------------------------------------------------------ */

static int warm_job(struct f3_job *job)
{
	int r = f3_fill_all(job->jobs->v->core, job->inode, &job->w);

	return r < 0 ? r : r ? F3_JOB_DONE : F3_JOB_PENDING;
}

static uint64_t warm_so_far(struct f3_job *job)
{
	uint64_t bytes = 0;

	f3_lock(&job->inode->lock);
	if (job->inode->extents)
		bytes = f3_extents_bytes(job->inode->extents);
	f3_unlock(&job->inode->lock);
	return bytes;
}

static int verb_warm(struct f3_verb *v)
{
	struct tree tree = { .directory = NULL };

	f3_jobs_init(&tree.jobs, v, F3_JOBS_MAX, warm_job, &tree);
	tree.jobs.so_far = warm_so_far;
	return run_tree(v, &tree);
}

/* ---- evict ----------------------------------------------------------------------------------- */

static int evict_job(struct f3_job *job)
{
	job->bytes = 0;
	return f3_evict_inode(job->jobs->v->core, job->inode, &job->bytes);
}

/* Below a directory what cannot go is left alone; a single file that was named has to go. */
static bool evict_tolerates(struct f3_job *job)
{
	return f3_verb_flag(job->jobs->v, "recursive") &&
	       (job->result == -EBUSY || job->result == -EPERM || job->result == -EINVAL);
}

static const char *evict_explains(int error)
{
	if (error == -EBUSY)
		return "it is open or mapped";
	if (error == -EPERM)
		return "it is pinned";
	if (error == -EINVAL)
		return "the store does not have its bytes: this is the only copy";
	return NULL;
}

static int verb_evict(struct f3_verb *v)
{
	struct tree tree = { .directory = NULL };

	f3_jobs_init(&tree.jobs, v, 1, evict_job, &tree);
	tree.jobs.tolerate = evict_tolerates;
	tree.jobs.explain = evict_explains;
	return run_tree(v, &tree);
}

/* ---- pin, unpin ------------------------------------------------------------------------------ */

static int pin_job(struct f3_job *job)
{
	struct tree *tree = job->jobs->arg;
	struct f3_inode *inode = job->inode;
	struct f3_batch *b;
	int r = f3_batch_new(job->jobs->v->core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	if (inode->dead) {
		r = -ENOENT;
	} else if (tree->pin != ((inode->rec.flags & F3_INO_PINNED) != 0)) {
		inode->rec.flags ^= F3_INO_PINNED;
		f3_batch_put_inode(b, &inode->rec);
		r = f3_batch_commit(b);
		if (r)
			inode->rec.flags ^= F3_INO_PINNED;
	}
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	return r;
}

static int pin(struct f3_verb *v, bool on)
{
	struct tree tree = { .pin = on };

	f3_jobs_init(&tree.jobs, v, 1, pin_job, &tree);
	return run_tree(v, &tree);
}

static int verb_pin(struct f3_verb *v)
{
	return pin(v, true);
}

static int verb_unpin(struct f3_verb *v)
{
	return pin(v, false);
}

/* ---- sync ------------------------------------------------------------------------------------ */

#define MARKS_MAX 1024

/* Files marked in the database, some at a time, that lie below a place. */
struct marks {
	uint64_t after;
	uint64_t inos[MARKS_MAX];
	size_t n;
};

static int take_mark(void *arg, uint64_t ino)
{
	struct marks *marks = arg;

	if (ino <= marks->after)
		return 0;
	if (marks->n == MARKS_MAX)
		return 1;
	marks->inos[marks->n++] = ino;
	return 0;
}

static int sync_job(struct f3_job *job)
{
	struct f3_inode *inode = job->inode;
	bool in_store;
	int r;

	f3_lock(&inode->lock);
	in_store = !inode->dead && f3_class_in_store((enum f3_class)inode->rec.class_) &&
		   inode->volume && inode->volume->store;
	f3_unlock(&inode->lock);
	if (!in_store)
		return F3_JOB_DONE;
	r = f3_stage_commit(job->jobs->v->core, inode, &job->w);
	return r < 0 ? r : r ? F3_JOB_PENDING : F3_JOB_DONE;
}

/* What failed once is tried until it succeeds, and its journal entry waited for. */
static bool sync_tolerates(struct f3_job *job)
{
	bool retried;

	f3_lock(&job->inode->lock);
	retried = job->inode->rec.class_ == F3_CLASS_WRITEBACK;
	f3_unlock(&job->inode->lock);
	return retried;
}

/* The path from the root of the mount; -ESTALE for what has none (any more). */
static int path_of(struct f3_core *core, uint64_t ino, struct f3_buf *path)
{
	struct f3_inode *inode;
	struct f3_volume *v;
	char inside[PATH_MAX];
	uint32_t volume;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r;
	volume = inode->rec.volume;
	f3_inode_put(core, inode);
	r = f3_inode_path(core, ino, inside, sizeof(inside));
	v = f3_volume_get(core, volume);
	f3_buf_reset(path);
	if (!r && v)
		f3_buf_printf(path, "/%s%s", v->name, inside);
	f3_volume_put(v);
	return r ? r : v ? path->error : -ESTALE;
}

static bool below(const struct f3_buf *path, const struct f3_buf *top)
{
	if (top->len < 2)
		return true;
	return path->len >= top->len && !memcmp(path->data, top->data, top->len) &&
	       (path->len == top->len || path->data[top->len] == '/');
}

static int sync_marked(struct f3_jobs *jobs, enum f3_mark mark, const struct f3_buf *top)
{
	struct f3_core *core = jobs->v->core;
	struct marks *marks = calloc(1, sizeof(*marks));
	struct f3_buf path;
	int r = marks ? 1 : -ENOMEM;

	f3_buf_init(&path, PATH_BYTES_MAX);
	while (r == 1) {
		marks->n = 0;
		r = f3_meta_each_mark(core->meta, mark, take_mark, marks);
		for (size_t i = 0; r >= 0 && i < marks->n; i++) {
			int error = path_of(core, marks->inos[i], &path);

			marks->after = marks->inos[i];
			if (!error && below(&path, top))
				error = f3_jobs_add(jobs, marks->inos[i], &path);
			if (error == -EPIPE || error == -ENOMEM)
				r = error;
		}
	}
	f3_buf_done(&path);
	free(marks);
	return r;
}

/* A wait that can be left: whoever comes last frees it. */
struct barrier {
	struct f3_waiter w;
	struct f3_lock lock;
	pthread_cond_t called;
	bool is_called, left;
	int result;
};

static void barrier_free(struct barrier *b)
{
	pthread_cond_destroy(&b->called);
	f3_lock_done(&b->lock);
	free(b);
}

static void barrier_called(struct f3_waiter *w, int result)
{
	struct barrier *b = (struct barrier *)w;
	bool left;

	f3_lock(&b->lock);
	b->is_called = true;
	b->result = result;
	left = b->left;
	pthread_cond_signal(&b->called);
	f3_unlock(&b->lock);
	if (left)
		barrier_free(b);
}

static int send_waiting(struct f3_verb *v, uint32_t volume)
{
	struct f3_journal_stats stats = { 0 };

	if (!f3_verb_flag(v, "progress") || !f3_verb_progress_due(v))
		return 0;
	f3_journal_stats(v->core, volume, &stats);
	return f3_verb_send(v, "progress",
			    json_pack("{sI sI}", "journal_entries", (json_int_t)stats.entries,
				      "retrying", (json_int_t)stats.retrying));
}

/* Everything journalled so far has been told to the store. */
static int wait_journal(struct f3_verb *v, uint32_t volume)
{
	struct barrier *b = calloc(1, sizeof(*b));
	bool called = false;
	int r;

	if (!b)
		return -ENOMEM;
	f3_lock_init(&b->lock, F3_RANK_QUEUE);
	f3_cond_init(&b->called);
	b->w.fn = barrier_called;
	r = f3_journal_wait_volume(v->core, volume, &b->w);
	if (r != 1) {
		barrier_free(b);
		return r;
	}
	r = 0;
	while (!called) {
		f3_lock(&b->lock);
		if (!b->is_called && !r)
			(void)f3_cond_wait(&b->called, &b->lock,
					   f3_clock_mono_ns() + F3_NS_PER_SEC / 5);
		called = b->is_called;
		if (r && !called) {
			b->left = true;
			f3_unlock(&b->lock);
			return r;
		}
		f3_unlock(&b->lock);
		r = called ? b->result : send_waiting(v, volume);
		if (!called && !r && f3_verb_stopped(v))
			r = -EPIPE;
	}
	barrier_free(b);
	return r;
}

/* Which journal a place belongs to; 0: all. */
static int volume_of(struct f3_core *core, uint64_t ino, uint32_t *ret_volume, bool *ret_file)
{
	struct f3_look look;
	int r = f3_look(core, ino, &look);

	if (r)
		return r;
	*ret_volume = look.rec.volume;
	*ret_file = !S_ISDIR(look.rec.mode);
	f3_look_done(&look);
	return 0;
}

static int verb_sync(struct f3_verb *v)
{
	struct f3_jobs jobs;
	uint32_t volume = 0;
	struct f3_buf path;
	bool file = false;
	uint64_t ino;
	int r, ended;

	f3_jobs_init(&jobs, v, F3_JOBS_MAX, sync_job, NULL);
	jobs.tolerate = sync_tolerates;
	f3_buf_init(&path, PATH_BYTES_MAX);
	r = f3_verb_place(v, &path, &ino);
	if (!r)
		r = volume_of(v->core, ino, &volume, &file);
	if (!r && file)
		r = f3_jobs_add(&jobs, ino, &path);
	/* Files that are written to are made durable as they are now. */
	if (!r && !file)
		r = sync_marked(&jobs, F3_MARK_WRITER, &path);
	if (!r && !file)
		r = sync_marked(&jobs, F3_MARK_DIRTY, &path);
	ended = f3_jobs_finish(&jobs);
	if (!r)
		r = ended;
	/* Of a file that was told to wait above, the rest of its volume's journal with it. */
	if (!r && (!file || jobs.kept))
		r = wait_journal(v, volume);
	if (!r)
		r = f3_meta_sync(v->core->meta);
	if (r && !v->err.code)
		f3_verb_error(v, r, &path, NULL);
	f3_buf_done(&path);
	f3_jobs_done(&jobs);
	return r;
}

const struct f3_verb_entry f3_verbs_work[] = {
	{ "class", verb_class }, { "warm", verb_warm },   { "evict", verb_evict },
	{ "pin", verb_pin },     { "unpin", verb_unpin }, { "sync", verb_sync },
	{ NULL, NULL },
};
