/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workingset_replay: a set's files are looked for, and what of them is missing is asked for.
 *
 * A lane takes the next file of the set, does all for it that has to wait for the store, and queues
 * itself again behind those of other replays. Every lane that is queued or runs has a reference.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/core/fetch.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/namespace.h"
#include "fs/core/store_dir.h"
#include "fs/core/workingset_impl.h"

/* Small files of a volume that are under way without a lane. */
#define FETCHING_MAX 4u

struct lane {
	struct f3_work work;
	struct f3_ws_replay *rp;
};

struct target {
	enum f3_ws_fate fate;
	uint64_t ino;
	struct f3_extents *asked; /* NULL: nothing */
};

struct f3_ws_replay {
	struct f3_ws *ws;
	_Atomic uint32_t refs;
	char key[3][F3_ACT_NAME_MAX + 1];
	struct f3_volume *volume; /* referenced */
	char *prefix;
	char **inputs;
	size_t n_inputs;
	bool waits; /* a lane stays with a file until it is here */
	_Atomic bool stop;
	uint64_t most_bytes;
	struct lane lanes[F3_WS_THREADS];
	struct f3_lock lock; /* all below */
	_Atomic bool loaded; /* set and targets are there */
	bool over, diverged;
	struct f3_ws_set set; /* once loaded nobody changes it */
	struct target *targets;
	size_t next;
	unsigned running; /* lanes */
	struct f3_ws_progress progress;
	pthread_cond_t ended;
};

int f3_ws_input_base(const char *input, char *out, size_t size)
{
	size_t len = strcspn(input, "*?[");

	if (input[len])
		while (len && input[len] != '/')
			len--;
	while (len && input[len - 1] == '/')
		len--;
	if (len >= size)
		return -EINVAL;
	memcpy(out, input, len);
	out[len] = '\0';
	return !len || f3_ws_path_ok(out) ? 0 : -EINVAL;
}

int f3_ws_replay_new(struct f3_ws *ws, const struct f3_ws_name *name, struct f3_volume *v,
		     const char *prefix, char *const *inputs, size_t n_inputs, bool waits,
		     struct f3_ws_replay **ret_rp)
{
	struct f3_ws_replay *rp = calloc(1, sizeof(*rp));
	bool lacks;

	if (!rp)
		return -ENOMEM;
	rp->ws = ws;
	rp->refs = 1;
	rp->waits = waits;
	rp->most_bytes = f3_conf_u64(ws->core->conf, "f3", NULL, "working-set-size");
	snprintf(rp->key[0], sizeof(rp->key[0]), "%s", name->namespace_);
	snprintf(rp->key[1], sizeof(rp->key[1]), "%s", name->action);
	snprintf(rp->key[2], sizeof(rp->key[2]), "%s", name->version);
	f3_lock_init(&rp->lock, F3_RANK_ACTS);
	f3_cond_init(&rp->ended);
	rp->volume = v;
	f3_volume_ref(v);
	rp->prefix = strdup(prefix);
	rp->inputs = calloc(n_inputs ? n_inputs : 1, sizeof(*rp->inputs));
	lacks = !rp->prefix || !rp->inputs;
	for (size_t i = 0; i < n_inputs && !lacks; i++) {
		rp->inputs[i] = strdup(inputs[i]);
		lacks = !rp->inputs[i];
		rp->n_inputs = i + 1;
	}
	for (unsigned i = 0; i < F3_WS_THREADS; i++)
		rp->lanes[i].rp = rp;
	if (lacks) {
		f3_ws_replay_put(rp);
		return -ENOMEM;
	}
	*ret_rp = rp;
	return 0;
}

void f3_ws_replay_ref(struct f3_ws_replay *rp)
{
	rp->refs++;
}

void f3_ws_replay_put(struct f3_ws_replay *rp)
{
	if (!rp || --rp->refs)
		return;
	for (size_t i = 0; rp->targets && i < rp->set.n; i++)
		f3_extents_free(rp->targets[i].asked);
	free(rp->targets);
	f3_ws_set_done(&rp->set);
	for (size_t i = 0; i < rp->n_inputs; i++)
		free(rp->inputs[i]);
	free(rp->inputs);
	free(rp->prefix);
	f3_volume_put(rp->volume);
	pthread_cond_destroy(&rp->ended);
	f3_lock_done(&rp->lock);
	free(rp);
}

/* ---- What is known of it --------------------------------------------------------------------- */

void f3_ws_replay_end(struct f3_ws_replay *rp, enum f3_ws_what why)
{
	bool first;

	f3_lock(&rp->lock);
	first = !rp->over && !rp->stop;
	rp->stop = true;
	rp->diverged |= first && why == F3_WS_DIVERGING;
	f3_unlock(&rp->lock);
	if (first)
		f3_ws_count(why, 1);
}

bool f3_ws_replay_diverged(struct f3_ws_replay *rp)
{
	bool diverged;

	f3_lock(&rp->lock);
	diverged = rp->diverged;
	f3_unlock(&rp->lock);
	return diverged;
}

const struct f3_ws_set *f3_ws_replay_set(struct f3_ws_replay *rp)
{
	return rp->loaded ? &rp->set : NULL;
}

enum f3_ws_fate f3_ws_replay_fate(struct f3_ws_replay *rp, size_t i, uint64_t *ret_ino)
{
	enum f3_ws_fate fate;

	f3_lock(&rp->lock);
	fate = rp->targets[i].fate;
	*ret_ino = rp->targets[i].ino;
	f3_unlock(&rp->lock);
	return fate;
}

int f3_ws_replay_find(struct f3_ws_replay *rp, uint64_t ino)
{
	int at = -1;

	f3_lock(&rp->lock);
	for (size_t i = 0; rp->loaded && i < rp->set.n && at < 0; i++)
		if (rp->targets[i].fate == F3_WS_FOUND && rp->targets[i].ino == ino)
			at = (int)i;
	f3_unlock(&rp->lock);
	return at;
}

uint64_t f3_ws_replay_asked(struct f3_ws_replay *rp, size_t i, uint64_t off, uint64_t len)
{
	const struct f3_extents *x;
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len, sum = 0;

	f3_lock(&rp->lock);
	x = rp->targets[i].asked;
	for (size_t k = 0; x && k < x->n; k++) {
		uint64_t from = x->v[k].off > off ? x->v[k].off : off;
		uint64_t to = x->v[k].off + x->v[k].len;

		if (to > end)
			to = end;
		if (to > from)
			sum += to - from;
	}
	f3_unlock(&rp->lock);
	return sum;
}

/* ---- A file ---------------------------------------------------------------------------------- */

/* Where it is in the volume. -ENOENT: nowhere that the function sees. */
static int place_of(const struct f3_ws_replay *rp, const struct f3_ws_file *file,
		    char out[PATH_MAX])
{
	char base[PATH_MAX] = "";
	const char *input = NULL;
	int n;

	if (file->input >= 0) {
		if ((size_t)file->input >= rp->n_inputs)
			return -ENOENT;
		input = rp->inputs[file->input];
		if (f3_ws_input_base(input, base, sizeof(base)))
			return -ENOENT;
	}
	n = snprintf(out, PATH_MAX, "%s%s%s", rp->prefix, base, file->path);
	if (n < 0 || n >= PATH_MAX || !f3_ws_path_ok(out))
		return -ENOENT;
	/* Of a pattern's files only those that it names. */
	if (input && strpbrk(input, "*?[") && !f3_placement_match(input, out + strlen(rp->prefix)))
		return -ENOENT;
	return 0;
}

/* Name by name; what is a link leads nowhere. With a reference; ret_dir: to its directory. */
static int resolve(struct f3_core *core, struct f3_volume *v, const char *path,
		   struct f3_inode **ret_dir, struct f3_inode **ret_inode)
{
	const struct f3_caller who = { .may_block = true };
	uint64_t dir = v->root_ino, ino = v->root_ino;
	int r;

	while (*path) {
		size_t len = strcspn(++path, "/");
		char name[F3_NAME_MAX + 1];
		uint64_t negative_ttl_ns;
		struct f3_entry e;

		memcpy(name, path, len);
		name[len] = '\0';
		path += len;
		dir = ino;
		r = f3_ns_lookup(core, dir, name, &who, &e, &negative_ttl_ns);
		if (r)
			return r;
		if (!(*path ? S_ISDIR(e.st.st_mode) : S_ISREG(e.st.st_mode)))
			return -ENOENT;
		ino = e.ino;
	}
	r = f3_inode_get(core, dir, ret_dir);
	if (r)
		return r;
	r = f3_inode_get(core, ino, ret_inode);
	if (!r && (*ret_inode)->volume != v) {
		f3_inode_put(core, *ret_inode);
		r = -ENOENT;
	}
	if (r)
		f3_inode_put(core, *ret_dir);
	return r;
}

static void note_asked(struct f3_ws_replay *rp, struct target *t, uint64_t off, uint64_t len)
{
	if (!len)
		return;
	f3_lock(&rp->lock);
	if (!t->asked)
		t->asked = f3_extents_new();
	if (t->asked)
		(void)f3_extents_add(t->asked, off, len);
	rp->progress.bytes += len;
	f3_unlock(&rp->lock);
	f3_ws_count(F3_WS_BYTES_REPLAYED, len);
}

struct asking {
	struct f3_ws_replay *rp;
	struct target *t;
};

static void asked(void *arg, uint64_t off, uint64_t len)
{
	const struct asking *a = arg;

	note_asked(a->rp, a->t, off, len);
}

/* What of it is missing in [off, off+len). */
static int ask(struct f3_ws_replay *rp, struct f3_inode *inode, struct target *t, uint64_t off,
	       uint64_t len)
{
	struct asking a = { rp, t };

	f3_ws_count(F3_WS_REPLAYED, 1);
	return f3_fill_ahead(rp->ws->core, inode, off, len, &rp->stop, asked, &a);
}

/* The parts of it, in a file that may have another size than when they were read. */
static int ask_parts(struct f3_ws_replay *rp, struct f3_inode *inode, struct target *t,
		     const struct f3_ws_file *file, uint64_t size)
{
	int r = 0;

	if (file->whole)
		return ask(rp, inode, t, 0, size);
	for (size_t i = 0; i < file->n_ranges && !r && !rp->stop; i++) {
		uint64_t off = file->range[i].off, len = file->range[i].len;

		if (size != file->size && off && off + len >= file->size) {
			uint64_t before = file->size > off ? file->size - off : 0;

			off = before < size ? size - before : 0;
			len = size - off;
		}
		if (off < size && len)
			r = ask(rp, inode, t, off, len < size - off ? len : size - off);
	}
	return r;
}

static bool reads_begin(const struct f3_ws_file *file)
{
	bool begin = file->whole;

	for (size_t i = 0; i < file->n_ranges && !begin; i++)
		begin = file->range[i].off < F3_FETCH_BYTES;
	return begin;
}

/* What has to be asked of the store before anything of the file can be. */
static int check(struct f3_core *core, struct f3_inode *inode, const struct f3_ws_file *file)
{
	uint64_t now_ns = f3_clock_mono_ns();
	bool absent;
	int r;

	f3_lock(&inode->lock);
	absent = inode->rec.state == F3_STATE_REMOTE;
	f3_unlock(&inode->lock);
	r = f3_store_inode_check(core, inode, absent && reads_begin(file));
	if (!r)
		r = f3_fill_prepare(core, inode);
	if (r)
		return r;
	f3_lock(&inode->lock);
	if (!inode->opens)
		inode->fetched_mono_ns = now_ns;
	f3_unlock(&inode->lock);
	return 0;
}

static int bring(struct f3_ws_replay *rp, struct f3_inode *dir, struct f3_inode *inode,
		 struct target *t, const struct f3_ws_file *file)
{
	struct f3_core *core = rp->ws->core;
	bool lacks, small;
	uint64_t size;
	int r;

	f3_lock(&inode->lock);
	size = inode->rec.size;
	lacks = f3_fill_incomplete(inode);
	small = lacks && inode->rec.state == F3_STATE_REMOTE && size <= F3_FETCH_BYTES;
	f3_unlock(&inode->lock);
	if (!lacks || !size)
		return 0;
	if (small && !rp->volume->store->caps.list_has_attr && !f3_fetch_ahead(core, dir, inode)) {
		f3_ws_count(F3_WS_REPLAYED, 1);
		note_asked(rp, t, 0, size);
		/* Programs need connections, too. */
		if (rp->waits || rp->volume->fetching > FETCHING_MAX)
			(void)f3_fetch_await(inode);
		return 0;
	}
	r = check(core, inode, file);
	if (!r)
		r = ask_parts(rp, inode, t, file, size);
	if (!r && rp->waits)
		f3_fill_rest(inode);
	return r;
}

static void one_file(struct f3_ws_replay *rp, size_t i)
{
	const struct f3_ws_file *file = &rp->set.file[i];
	struct target *t = &rp->targets[i];
	struct f3_inode *dir, *inode;
	char path[PATH_MAX];
	int r = place_of(rp, file, path);

	if (!r)
		r = resolve(rp->ws->core, rp->volume, path, &dir, &inode);
	f3_lock(&rp->lock);
	t->fate = r ? F3_WS_MISSING : F3_WS_FOUND;
	t->ino = r ? 0 : inode->ino;
	f3_unlock(&rp->lock);
	if (!r) {
		if (rp->volume->store)
			r = bring(rp, dir, inode, t, file);
		f3_inode_put(rp->ws->core, inode);
		f3_inode_put(rp->ws->core, dir);
	}
	f3_lock(&rp->lock);
	rp->progress.files++;
	rp->progress.lost += r != 0;
	rp->stop |= rp->progress.bytes > rp->most_bytes;
	f3_unlock(&rp->lock);
}

/* ---- Lanes ----------------------------------------------------------------------------------- */

static void lane_over(struct f3_ws_replay *rp)
{
	bool complete = false;

	f3_lock(&rp->lock);
	if (!--rp->running) {
		complete = !rp->stop;
		rp->over = true;
		pthread_cond_broadcast(&rp->ended);
	}
	f3_unlock(&rp->lock);
	if (complete)
		f3_ws_count(F3_WS_COMPLETED, 1);
	f3_ws_replay_put(rp);
}

static void push(struct lane *lane)
{
	if (f3_workq_push(lane->rp->ws->queue, &lane->work))
		lane_over(lane->rp);
}

static void run_lane(struct f3_work *work)
{
	struct lane *lane = (struct lane *)((char *)work - offsetof(struct lane, work));
	struct f3_ws_replay *rp = lane->rp;
	size_t i;

	f3_lock(&rp->lock);
	i = rp->next;
	if (i < rp->set.n)
		rp->next++;
	f3_unlock(&rp->lock);
	if (i == rp->set.n || rp->stop || rp->ws->stopping) {
		lane_over(rp);
		return;
	}
	one_file(rp, i);
	push(lane);
}

static void load(struct f3_work *work)
{
	struct lane *first = (struct lane *)((char *)work - offsetof(struct lane, work));
	struct f3_ws_replay *rp = first->rp;
	const struct f3_ws_name name = { rp->key[0], rp->key[1], rp->key[2] };
	struct f3_ws_set set = { .n = 0 };
	struct target *targets = NULL;
	unsigned lanes;

	if (!rp->stop && !rp->ws->stopping && !f3_ws_get(rp->ws->core, &name, &set))
		targets = calloc(set.n ? set.n : 1, sizeof(*targets));
	if (!targets)
		f3_ws_set_done(&set);
	lanes = set.n < F3_WS_THREADS ? (unsigned)set.n : F3_WS_THREADS;
	f3_lock(&rp->lock);
	rp->set = set;
	rp->targets = targets;
	rp->progress.total = set.n;
	rp->running += lanes;
	rp->loaded = targets != NULL;
	f3_unlock(&rp->lock);
	for (unsigned i = 0; i < lanes; i++) {
		rp->lanes[i].work.fn = run_lane;
		f3_ws_replay_ref(rp);
		push(&rp->lanes[i]);
	}
	lane_over(rp);
}

int f3_ws_replay_start(struct f3_ws_replay *rp)
{
	struct lane *first = &rp->lanes[0];

	first->work.fn = load;
	rp->running = 1;
	f3_ws_replay_ref(rp);
	if (!f3_workq_push(rp->ws->queue, &first->work))
		return 0;
	f3_ws_replay_end(rp, F3_WS_DROPPED);
	lane_over(rp);
	return -EAGAIN;
}

/* ---- Without an activation ------------------------------------------------------------------- */

int f3_ws_warm(struct f3_core *core, const struct f3_ws_name *name, struct f3_volume *v,
	       const char *prefix, char *const *inputs, size_t n_inputs,
	       struct f3_ws_replay **ret_replay)
{
	struct f3_ws_replay *rp;
	int r;

	if (!f3_ws_known(core->ws, name))
		return -ENOENT;
	r = f3_ws_replay_new(core->ws, name, v, prefix, inputs, n_inputs, ret_replay != NULL, &rp);
	if (r)
		return r;
	r = f3_ws_replay_start(rp);
	if (r || !ret_replay)
		f3_ws_replay_put(rp);
	else
		*ret_replay = rp;
	return r;
}

bool f3_ws_wait(struct f3_ws_replay *rp, uint64_t until_ns, struct f3_ws_progress *ret_progress)
{
	bool over;
	int r = 0;

	f3_lock(&rp->lock);
	while (!rp->over && !r)
		r = f3_cond_wait(&rp->ended, &rp->lock, until_ns);
	over = rp->over;
	*ret_progress = rp->progress;
	f3_unlock(&rp->lock);
	return over;
}

void f3_ws_cancel(struct f3_ws_replay *rp)
{
	f3_ws_replay_end(rp, F3_WS_ENDED);
}
