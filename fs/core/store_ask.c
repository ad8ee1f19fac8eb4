/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_ask: one name of a directory, brought in line with the store; and those that follow.
 *
 * A store that lists no attributes has to be asked for each name. A program that walks a directory
 * looks its names up one by one, in the order of readdir, and would wait for one answer per name. So
 * a lookup that comes where the one before made expect it asks for the names after it as well, at
 * once: 4, then twice as many each time, up to AHEAD_MAX, as long as the walk goes on. Each name is
 * asked for once. Names whose attributes are known to be right are passed over, and a lookup
 * anywhere else asks for its own name only, so that listing without looking asks for nothing.
 *
 * Whoever looks up waits for his own answer, and as long again for the others; what comes later is
 * dropped, and asked for when it is wanted. Answers come on threads of the store and only note that
 * they are there. Lock: that of the questions, rank F3_RANK_QUEUE.
 */
#include "config.h"

#include "fs/core/store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/core/escape.h"
#include "fs/core/fetch.h"
#include "fs/core/journal_run.h"
#include "fs/core/ns.h"
#include "fs/core/store_attr.h"
#include "fs/core/store_op.h"
#include "fs/meta/key.h"

#define AHEAD_MIN 4u
#define AHEAD_MAX 64u
#define AHEAD_VOLUME_MAX 256u /* of all who walk */
#define PASSED_MAX 1024u /* names looked at to find those that are asked about */
#define AHEAD_TTL_NS (100 * F3_NS_PER_MS) /* attributes for less are old when they are asked for */
#define GRACE_NS (5 * F3_NS_PER_MS)

enum step {
	STEP_WANTED, /* HEAD of what is wanted */
	STEP_ANY, /* of whatever there is */
	STEP_BESIDE, /* of the directory of that name */
	STEP_TARGET, /* GET of a link */
};

/* One name. The store's while under way, then of who asks. */
struct question {
	struct questions *all;
	struct f3_obj_op op;
	char name[F3_NAME_MAX + 1], key[F3_KEY_MAX + 1];
	enum f3_obj_want want;
	bool under_way; /* lock */
	bool beside; /* there only if there is a directory of this name too */
	enum step step;
	bool have; /* the store has it: info */
	struct f3_obj_info info;
	void *heap; /* what info points to */
	char *target;
	int result; /* 0 or why nothing is known */
};

struct questions {
	struct f3_core *core;
	struct f3_volume *volume; /* referenced */
	struct f3_lock lock;
	pthread_cond_t cond;
	uint32_t refs; /* lock: who asks, and what is under way */
	uint64_t start_ns;
	size_t bytes; /* of the budget */
	size_t n;
	struct question q[];
};

/* ---- Memory ---- */

static struct questions *questions_new(struct f3_core *core, struct f3_volume *v, size_t n)
{
	size_t bytes = sizeof(struct questions) + n * sizeof(struct question);
	struct questions *all;

	/* The one that is asked for is part of the call that waits. */
	if (n > 1 && f3_budget_try_take(core->budget, F3_ACCT_LISTS, bytes))
		return NULL;
	all = calloc(1, bytes);
	if (!all) {
		if (n > 1)
			f3_budget_give(core->budget, F3_ACCT_LISTS, bytes);
		return NULL;
	}
	f3_lock_init(&all->lock, F3_RANK_QUEUE);
	f3_cond_init(&all->cond);
	all->core = core;
	all->volume = v;
	f3_volume_ref(v);
	all->refs = 1;
	all->n = n;
	all->bytes = n > 1 ? bytes : 0;
	for (size_t i = 0; i < n; i++)
		all->q[i].all = all;
	return all;
}

static void questions_put(struct questions *all)
{
	uint32_t left;

	if (!all)
		return;
	f3_lock(&all->lock);
	left = --all->refs;
	f3_unlock(&all->lock);
	if (left)
		return;
	for (size_t i = 0; i < all->n; i++) {
		f3_object_op_done(&all->q[i].op);
		free(all->q[i].heap);
		free(all->q[i].target);
	}
	all->volume->asked_ahead -= (uint32_t)all->n - 1;
	f3_budget_give(all->core->budget, F3_ACCT_LISTS, all->bytes);
	f3_volume_put(all->volume);
	pthread_cond_destroy(&all->cond);
	f3_lock_done(&all->lock);
	free(all);
}

/* ---- Asking ---- */

static void answered(struct f3_obj_op *op)
{
	struct question *q = op->owner;
	struct questions *all = q->all;

	f3_store_counted(op, all->start_ns);
	f3_lock(&all->lock);
	q->under_way = false;
	pthread_cond_signal(&all->cond);
	f3_unlock(&all->lock);
	questions_put(all);
}

static void submit(struct question *q)
{
	f3_lock(&q->all->lock);
	q->under_way = true;
	q->all->refs++;
	f3_unlock(&q->all->lock);
	q->op.owner = q;
	q->op.done = answered;
	f3_store_submit(q->all->volume, &q->op);
}

static size_t under_way(const struct questions *all)
{
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++)
		n += all->q[i].under_way;
	return n;
}

/* For the first, and then as long again for the others. */
static void wait_for_answers(struct questions *all)
{
	uint64_t now, until;

	f3_lock(&all->lock);
	while (all->q[0].under_way)
		f3_cond_wait(&all->cond, &all->lock, 0);
	now = f3_clock_mono_ns();
	until = now + (now - all->start_ns) + GRACE_NS;
	while (under_way(all) && f3_clock_mono_ns() < until)
		f3_cond_wait(&all->cond, &all->lock, until);
	f3_unlock(&all->lock);
}

static bool is_answered(struct question *q)
{
	bool yes;

	f3_lock(&q->all->lock);
	yes = !q->under_way;
	f3_unlock(&q->all->lock);
	return yes;
}

static void head(struct question *q, enum f3_obj_want want, enum step step)
{
	f3_object_op_init(&q->op, F3_OBJ_HEAD);
	q->op.key = q->key;
	q->op.want = want;
	q->step = step;
}

/* What the answer means. True: there is something else to ask. */
static bool take_head(struct question *q)
{
	q->result = q->op.result;
	/* It was an object or a directory, and may be the other by now. */
	if (q->result == -ENOENT && q->step == STEP_WANTED && !q->beside &&
	    q->op.want != F3_OBJ_WANT_ANY) {
		head(q, F3_OBJ_WANT_ANY, STEP_ANY);
		return true;
	}
	/* Not there; nothing this store could have there. */
	if (q->result == -ENOENT || q->result == -EINVAL) {
		q->result = 0;
		return false;
	}
	if (q->result)
		return false;
	q->have = true;
	q->info = q->op.info;
	q->heap = q->op.heap;
	q->op.heap = NULL;
	if (q->beside) {
		head(q, F3_OBJ_WANT_DIR, STEP_BESIDE);
		return true;
	}
	if (f3_store_attr_type(&q->info) != S_IFLNK)
		return false;
	q->step = STEP_TARGET;
	q->result = f3_store_target_ask(&q->op, q->key, &q->info, &q->target);
	return !q->result;
}

static bool take_answer(struct question *q)
{
	bool again = false;

	switch (q->step) {
	case STEP_WANTED:
	case STEP_ANY:
		again = take_head(q);
		break;
	case STEP_BESIDE:
		q->result = q->op.result;
		if (q->result == -ENOENT) {
			q->result = 0;
			q->have = false;
		}
		break;
	case STEP_TARGET:
		q->result = f3_store_target_got(&q->op, q->target);
		break;
	}
	/* A link that cannot be read is not shown. */
	if (q->step == STEP_TARGET && f3_store_target_unreadable(q->result)) {
		q->result = 0;
		q->have = false;
	}
	return again;
}

/* Whatever is answered in time has its result and, if there is something, its info. */
static void ask(struct questions *all)
{
	bool open[AHEAD_MAX], more = true;

	all->start_ns = f3_clock_mono_ns();
	for (size_t i = 0; i < all->n; i++) {
		head(&all->q[i], all->q[i].want, STEP_WANTED);
		open[i] = true;
	}
	while (more) {
		more = false;
		for (size_t i = 0; i < all->n; i++) {
			if (open[i])
				submit(&all->q[i]);
		}
		wait_for_answers(all);
		for (size_t i = 0; i < all->n; i++) {
			if (!open[i])
				continue;
			open[i] = false;
			if (is_answered(&all->q[i]))
				open[i] = take_answer(&all->q[i]);
			else
				all->q[i].result = -ETIMEDOUT;
			more |= open[i];
		}
	}
	f3_journal_health(all->volume, all->q[0].op.result, all->q[0].op.message);
}

/* ---- Which names ---- */

/* -EINVAL, -ENAMETOOLONG: no object can have this name. */
static int question_init(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len,
			 struct question *q)
{
	char plain[F3_NAME_MAX + 1];
	const char *object;
	int r;

	memcpy(q->name, name, len);
	q->name[len] = '\0';
	r = f3_ns_key(core, dir, q->name, q->key, sizeof(q->key));
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	object = strrchr(q->key, '/') ? strrchr(q->key, '/') + 1 : q->key;
	/* An object that has only this name because a directory has its own one. */
	q->beside = f3_escape_reserved(name, len) &&
		    !f3_escape_name(object, strlen(object), false, plain) &&
		    strcmp(plain, q->name) != 0;
	q->want = q->beside ? F3_OBJ_WANT_OBJECT : F3_OBJ_WANT_ANY;
	return 0;
}

/* A listing of just now has told what it is. */
static void want_what_is_listed(struct f3_core *core, struct f3_inode *dir, struct question *q,
				uint8_t d_type)
{
	if (f3_store_dir_fresh(core, dir) && !q->beside)
		q->want = d_type == DT_DIR ? F3_OBJ_WANT_DIR : F3_OBJ_WANT_OBJECT;
}

static bool is_fresh(struct f3_core *core, struct f3_inode *dir, uint64_t ino)
{
	struct f3_inode *inode = f3_inode_peek(core, ino);
	struct f3_inode_rec rec;
	bool fresh;

	if (inode) {
		fresh = f3_store_inode_fresh(core, inode);
		f3_inode_put(core, inode);
		return fresh;
	}
	if (f3_meta_get_inode(core->meta, ino, &rec))
		return true; /* gone: there is nothing to ask */
	fresh = f3_store_rec_fresh(core, dir, &rec);
	f3_inode_rec_done(&rec);
	return fresh;
}

/* Names after a cookie that are to be asked about, all->n of them with the first if there are as many
 * (else fewer, and all->n says so). The cookie of the one after those; 0: there is none near. */
static int names_after(struct f3_core *core, struct f3_inode *dir, uint64_t cookie,
		       struct questions *all, uint64_t *ret_next)
{
	struct f3_meta_name found;
	struct f3_meta_dir *d;
	const char *name;
	size_t len, n = 1;
	int r = f3_meta_dir_open(core->meta, dir->ino, cookie, &d);

	*ret_next = 0;
	if (r)
		return r;
	for (unsigned passed = 0; passed < PASSED_MAX; passed++) {
		r = f3_meta_dir_next(d, &found, &name, &len);
		if (r <= 0)
			break;
		if (is_fresh(core, dir, found.ino))
			continue;
		if (n == all->n) {
			*ret_next = found.cookie;
			break;
		}
		/* Two questions, or none: it is asked for when it is wanted. */
		if (question_init(core, dir, name, len, &all->q[n]) || all->q[n].beside)
			continue;
		want_what_is_listed(core, dir, &all->q[n], found.d_type);
		n++;
	}
	f3_meta_dir_close(d);
	all->volume->asked_ahead -= (uint32_t)(all->n - n);
	all->n = n;
	return r < 0 ? r : 0;
}

/* How many may be asked about, if so many are wanted. */
static uint32_t ahead_for(struct f3_volume *v, uint32_t n)
{
	uint32_t before = v->asked_ahead;

	do {
		if (before + n - 1 > AHEAD_VOLUME_MAX)
			n = before < AHEAD_VOLUME_MAX ? AHEAD_VOLUME_MAX - before + 1 : 1;
	} while (!atomic_compare_exchange_weak(&v->asked_ahead, &before, before + n - 1));
	return n;
}

/* The name, and those after it if it is where a walk of the directory is. */
static int plan(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len,
		struct questions **ret_all)
{
	struct f3_volume *v = dir->volume;
	uint64_t cookie = f3_key_cookie(f3_meta_seed(core->meta), name, len), next;
	bool lists_attr = v->store && v->store->caps.list_has_attr;
	struct f3_meta_name found;
	struct questions *all;
	bool walked = f3_fetch_walks(dir);
	uint32_t n = 1;
	int r;

	if (!lists_attr && v->attr_ttl_ns >= AHEAD_TTL_NS) {
		f3_lock(&dir->lock);
		if (dir->listed_mono_ns && dir->ahead_cookie == cookie && !walked)
			n = dir->ahead_names < AHEAD_MIN ? AHEAD_MIN : 2 * dir->ahead_names;
		f3_unlock(&dir->lock);
		n = ahead_for(v, n < AHEAD_MAX ? n : AHEAD_MAX);
	}
	all = questions_new(core, v, n);
	if (!all && n > 1) {
		v->asked_ahead -= n - 1;
		n = 1;
		all = questions_new(core, v, n);
	}
	if (!all)
		return -ENOMEM;
	r = question_init(core, dir, name, len, &all->q[0]);
	if (!r && !lists_attr && !f3_meta_get_name(core->meta, dir->ino, name, len, &found)) {
		want_what_is_listed(core, dir, &all->q[0], found.d_type);
		r = names_after(core, dir, cookie, all, &next);
		f3_lock(&dir->lock);
		dir->ahead_cookie = r ? 0 : next;
		dir->ahead_names = (uint32_t)all->n > 1 ? n : 0;
		f3_unlock(&dir->lock);
	}
	if (r) {
		questions_put(all);
		return r;
	}
	*ret_all = all;
	return 0;
}

/* ---- Lookup ---- */

static int merge_answers(struct f3_inode *dir, struct questions *all)
{
	struct f3_merge_name *names = calloc(all->n, sizeof(*names));
	size_t n = 0;
	bool unsure;
	int r;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < all->n; i++) {
		struct question *q = &all->q[i];
		struct f3_merge_name *m = &names[n];

		if (q->result)
			continue;
		memcpy(m->name, q->name, sizeof(m->name));
		m->info = q->have ? &q->info : NULL;
		m->asked = true;
		m->target = q->have ? q->target : NULL;
		if (q->have)
			q->target = NULL;
		n++;
	}
	r = f3_store_merge(all->core, dir, names, n, all->start_ns, &unsure);
	for (size_t i = 0; i < n; i++)
		free(names[i].target);
	free(names);
	return r;
}

/* The store does not answer: what is known is served, but nothing that was guessed. */
static int serve_known(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len)
{
	struct f3_meta_name found;
	struct f3_inode_rec rec;
	bool guessed;

	if (f3_meta_get_name(core->meta, dir->ino, name, len, &found) ||
	    f3_meta_get_inode(core->meta, found.ino, &rec))
		return -EIO;
	guessed = (rec.flags & F3_INO_GUESSED) && !dir->volume->listed_attr;
	f3_inode_rec_done(&rec);
	return guessed ? -EIO : 0;
}

int f3_store_dir_lookup(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len)
{
	struct questions *all;
	int r = plan(core, dir, name, len, &all);

	/* A name no object can have. */
	if (r == -EINVAL || r == -ENAMETOOLONG)
		return 0;
	if (r)
		return r;
	ask(all);
	r = all->q[0].result;
	if (!r)
		r = merge_answers(dir, all);
	else if (f3_store_transient(r))
		r = serve_known(core, dir, name, len);
	questions_put(all);
	return r;
}
