/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/expect.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/hash.h"
#include "fs/core/stream.h"

#define BUCKETS 1024u
#define IS_DIR (UINT64_C(1) << 61)

/* A path that is expected, or leads to one. */
struct known {
	uint64_t hash;
	unsigned refs;
	struct known *next;
};

struct f3_expect {
	struct f3_core *core;
	struct f3_lock lock;
	struct known *known[BUCKETS];
	struct f3_waiter_list waiting; /* off: the directory; len: until then (ns) */
	struct f3_waiter_list ready; /* to be called by `work` */
	struct f3_work work;
	bool queued; /* work is, or is about to run */
	struct f3_timer timer;
	uint64_t due_ns; /* the timer is armed for then; 0: it is not */
};

static void take_ready(struct f3_expect *x)
{
	struct f3_waiter_list ready;

	f3_lock(&x->lock);
	x->queued = false;
	ready = x->ready;
	x->ready.first = NULL;
	f3_unlock(&x->lock);
	f3_waiters_call(&ready);
}

static void ready_work(struct f3_work *work)
{
	take_ready((struct f3_expect *)((char *)work - offsetof(struct f3_expect, work)));
}

/* Lock held. */
static void collect(struct f3_expect *x, struct f3_waiter *w, int result,
		    struct f3_waiter_list *ready)
{
	f3_waiter_collect(w, result, ready);
	x->core->n_expecting--;
}

/* Lock held. */
static void arm(struct f3_expect *x, uint64_t due_ns)
{
	if (!x->due_ns || due_ns < x->due_ns)
		x->due_ns = f3_timer_arm(&x->timer, due_ns) ? 0 : due_ns;
}

static void timer_work(struct f3_work *work)
{
	struct f3_timer *timer = (struct f3_timer *)work;
	struct f3_expect *x =
		(struct f3_expect *)((char *)timer - offsetof(struct f3_expect, timer));
	struct f3_waiter_list ready = { NULL };
	uint64_t now = f3_clock_mono_ns(), next_ns = 0;
	struct f3_waiter *w, *next;

	f3_lock(&x->lock);
	x->due_ns = 0;
	for (w = x->waiting.first; w; w = next) {
		next = w->next;
		if (w->len <= now)
			collect(x, w, -ENOENT, &ready);
		else if (!next_ns || w->len < next_ns)
			next_ns = w->len;
	}
	if (next_ns)
		arm(x, next_ns);
	f3_unlock(&x->lock);
	f3_waiters_call(&ready);
}

int f3_expect_new(struct f3_core *core, struct f3_expect **ret_x)
{
	struct f3_expect *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->core = core;
	f3_lock_init(&x->lock, F3_RANK_TRANSFER);
	x->work.fn = ready_work;
	f3_timer_init(&x->timer, core->transfer, timer_work);
	*ret_x = x;
	return 0;
}

void f3_expect_free(struct f3_expect *x)
{
	if (!x)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct known *k;

		while ((k = x->known[i])) {
			x->known[i] = k->next;
			free(k);
		}
	}
	f3_lock_done(&x->lock);
	free(x);
}

static void call_all(struct f3_core *core, int result)
{
	struct f3_expect *x = core->expect;
	struct f3_waiter_list ready = { NULL };

	if (!x)
		return;
	f3_lock(&x->lock);
	while (x->waiting.first)
		collect(x, x->waiting.first, result, &ready);
	f3_unlock(&x->lock);
	f3_waiters_call(&ready);
}

void f3_expect_stop(struct f3_core *core)
{
	if (!core->expect)
		return;
	f3_timer_cancel(&core->expect->timer);
	call_all(core, -ESTALE);
}

static uint64_t hash_of(const struct f3_volume *v, const char *path, size_t len)
{
	return f3_hash64(path, len, v->id);
}

static uint64_t number_of(uint64_t hash, bool is_dir)
{
	return F3_INO_EXPECTED | (is_dir ? IS_DIR : 0) | hash >> 3;
}

/* Where the name ends that begins after path[at], which is a slash. */
static size_t name_end(const char *path, size_t at)
{
	return at + 1 + strcspn(path + at + 1, "/");
}

/* Lock held. */
static int know(struct f3_expect *x, uint64_t hash)
{
	struct known **bucket = &x->known[hash % BUCKETS], *k;

	for (k = *bucket; k && k->hash != hash; k = k->next)
		;
	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k)
			return -ENOMEM;
		k->hash = hash;
		k->next = *bucket;
		*bucket = k;
	}
	k->refs++;
	return 0;
}

/* Lock held. */
static void forget(struct f3_expect *x, uint64_t hash)
{
	for (struct known **at = &x->known[hash % BUCKETS], *k; (k = *at); at = &k->next) {
		if (k->hash != hash)
			continue;
		if (!--k->refs) {
			*at = k->next;
			free(k);
		}
		return;
	}
}

/* The path in the volume; 0, -ENAMETOOLONG. */
static int path_of(const struct f3_activation *act, const struct f3_act_input *in,
		   char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s%s", act->prefix, in->path) < PATH_MAX ? 0 :
										    -ENAMETOOLONG;
}

/* Along the path: 0 and the file, -ENOENT and the directory that lacks the next name, which begins at
 * *ret_at. -errno. */
static int walk(struct f3_core *core, const struct f3_volume *v, const char *path,
		uint64_t *ret_ino, size_t *ret_at)
{
	struct f3_meta_name found = { .ino = v->root_ino };
	size_t at = 0, end;
	int r = 0;

	for (; path[at]; at = end) {
		end = name_end(path, at);
		*ret_ino = found.ino;
		*ret_at = at + 1;
		if (end == at + 1)
			continue;
		r = f3_meta_get_name(core->meta, found.ino, path + at + 1, end - at - 1, &found);
		if (r)
			return r;
	}
	*ret_ino = found.ino;
	return 0;
}

/* What the kernel may know as missing it asks for again. */
static void tell_kernel(struct f3_core *core, const struct f3_volume *v, const char *path)
{
	uint64_t dir;
	size_t at;

	if (walk(core, v, path, &dir, &at) == -ENOENT && core->kernel.inval_entry)
		core->kernel.inval_entry(core->kernel.arg, dir, path + at,
					 name_end(path, at - 1) - at);
}

/* Of each input that is waited for, each name on its way, `max` of them. How many there were; with add
 * *ret_r may be -ENOMEM, and those before are known. */
static uint32_t each_name(struct f3_core *core, const struct f3_activation *act, bool add,
			  uint32_t max, int *ret_r)
{
	struct f3_expect *x = core->expect;
	char path[PATH_MAX];
	uint32_t n = 0;
	uint64_t hash;
	int r = 0;

	for (size_t i = 0; i < act->spec.n_inputs; i++) {
		const struct f3_act_input *in = &act->spec.input[i];

		if (!in->wait_ms || path_of(act, in, path))
			continue;
		for (size_t end = 0; path[end] && n < max && !r;) {
			end = name_end(path, end);
			hash = hash_of(act->volume, path, end);
			f3_lock(&x->lock);
			if (add)
				r = know(x, hash);
			else
				forget(x, hash);
			f3_unlock(&x->lock);
			n += !r;
		}
	}
	*ret_r = r;
	return n;
}

int f3_expect_begin(struct f3_core *core, struct f3_activation *act)
{
	char path[PATH_MAX];
	int r, r2;
	uint32_t n = each_name(core, act, true, UINT32_MAX, &r);

	if (r) {
		(void)each_name(core, act, false, n, &r2);
		return r;
	}
	if (!n)
		return 0;
	core->n_expected += n;
	for (size_t i = 0; i < act->spec.n_inputs; i++)
		if (act->spec.input[i].wait_ms && !path_of(act, &act->spec.input[i], path))
			tell_kernel(core, act->volume, path);
	if (core->kernel.drain)
		core->kernel.drain(core->kernel.arg);
	return 0;
}

void f3_expect_end(struct f3_core *core, struct f3_activation *act)
{
	int r;
	uint32_t n = each_name(core, act, false, UINT32_MAX, &r);

	core->n_expected -= n;
	if (n)
		call_all(core, 0); /* they ask again */
}

/* Does the number stand for this input, or for what leads there? */
static bool stands_for(uint64_t ino, const struct f3_volume *v, const char *path)
{
	for (size_t end = 0; path[end];) {
		end = name_end(path, end);
		if (number_of(hash_of(v, path, end), path[end] != '\0') == ino)
			return true;
	}
	return false;
}

int f3_expect_name(struct f3_core *core, uint64_t parent, const char *name, pid_t pid,
		   struct f3_entry *ret_e, bool *ret_expected)
{
	char path[PATH_MAX], wanted[PATH_MAX];
	struct f3_expect *x = core->expect;
	struct f3_activation *act;
	struct f3_inode *dir;
	const struct known *k;
	uint64_t hash, ino = 0;
	size_t len, n = strlen(name);

	*ret_expected = false;
	if (f3_inode_get(core, parent, &dir))
		return 0;
	if (!dir->volume || f3_inode_path(core, parent, path, sizeof(path)) ||
	    strlen(path) + n + 2 > sizeof(path)) {
		f3_inode_put(core, dir);
		return 0;
	}
	len = strlen(path);
	len = len == 1 ? 0 : len;
	path[len] = '/';
	memcpy(path + len + 1, name, n + 1);
	len += n + 1;
	hash = hash_of(dir->volume, path, len);
	f3_lock(&x->lock);
	for (k = x->known[hash % BUCKETS]; k && k->hash != hash; k = k->next)
		;
	*ret_expected = k != NULL;
	f3_unlock(&x->lock);
	act = *ret_expected ? f3_act_of(core, pid) : NULL;
	for (size_t i = 0; act && act->volume == dir->volume && i < act->spec.n_inputs && !ino;
	     i++) {
		const struct f3_act_input *in = &act->spec.input[i];

		if (in->wait_ms && !path_of(act, in, wanted) && !strncmp(wanted, path, len) &&
		    (!wanted[len] || wanted[len] == '/'))
			ino = number_of(hash, wanted[len] != '\0');
	}
	f3_act_put(act);
	f3_inode_put(core, dir);
	if (!ino)
		return 0;
	memset(ret_e, 0, sizeof(*ret_e));
	ret_e->ino = ino;
	ret_e->st.st_ino = ino;
	ret_e->st.st_mode = ino & IS_DIR ? S_IFDIR | 0755 : S_IFREG | 0444;
	ret_e->st.st_nlink = 1;
	ret_e->st.st_blksize = 4096;
	return 1;
}

static void add(struct f3_expect *x, struct f3_waiter *w, uint64_t dir, uint64_t until_ns)
{
	f3_lock(&x->lock);
	w->off = dir;
	w->len = until_ns;
	f3_waiter_add(&x->waiting, w);
	x->core->n_expecting++;
	arm(x, until_ns);
	f3_unlock(&x->lock);
}

/* 1: it is there. 0: `w` was taken. */
static int need_one(struct f3_core *core, const struct f3_volume *v, const char *path,
		    uint64_t until_ns, struct f3_waiter *w, uint64_t *ret_ino)
{
	size_t at;
	uint64_t dir;
	int r = walk(core, v, path, ret_ino, &at);

	while (r == -ENOENT) {
		dir = *ret_ino;
		if (f3_clock_mono_ns() >= until_ns)
			return -ENOENT;
		add(core->expect, w, dir, until_ns);
		/* What was made before there was a waiter woke nobody. */
		r = walk(core, v, path, ret_ino, &at);
		if ((r == -ENOENT && *ret_ino == dir) || !f3_expect_cancel(core, w))
			return 0;
	}
	return r ? r : 1;
}

int f3_expect_unwritten(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w)
{
	bool streams, writes;

	if (!S_ISREG(inode->rec.mode))
		return 0;
	f3_lock(&inode->lock);
	streams = f3_stream_wanted(&inode->rec);
	/* One just made has its name before its writer is counted. */
	writes = !streams && !inode->dead && inode->rec.state == F3_STATE_WRITING;
	if (writes && w)
		f3_waiter_add(&inode->seal_waiters, w);
	f3_unlock(&inode->lock);
	return streams ? f3_stream_empty(core, inode, w) : writes;
}

/* The inode, with a reference, if it is still to be written. */
static struct f3_inode *unwritten(struct f3_core *core, uint64_t ino)
{
	struct f3_inode *inode;

	if (f3_inode_get(core, ino, &inode))
		return NULL; /* gone again: the kernel finds out */
	if (f3_expect_unwritten(core, inode, NULL) == 1)
		return inode;
	f3_inode_put(core, inode);
	return NULL;
}

int f3_expect_need(struct f3_core *core, uint64_t ino, pid_t pid, uint64_t since_ns,
		   struct f3_waiter *w, struct f3_inode **ret_inode)
{
	struct f3_activation *act = f3_act_of(core, pid);
	char path[PATH_MAX];
	uint64_t found;
	int r = -ENOENT;

	*ret_inode = NULL;
	for (size_t i = 0; act && i < act->spec.n_inputs; i++) {
		const struct f3_act_input *in = &act->spec.input[i];

		if (!in->wait_ms || path_of(act, in, path) || !stands_for(ino, act->volume, path))
			continue;
		r = need_one(core, act->volume, path, since_ns + in->wait_ms * F3_NS_PER_MS, w,
			     &found);
		if (r != 1)
			break;
		if (!*ret_inode)
			*ret_inode = unwritten(core, found);
	}
	f3_act_put(act);
	if (r != 1) {
		f3_inode_put(core, *ret_inode);
		*ret_inode = NULL;
	}
	return r;
}

bool f3_expect_cancel(struct f3_core *core, struct f3_waiter *w)
{
	const struct f3_waiter *is;
	bool was;

	f3_lock(&core->expect->lock);
	/* By now it may wait for something else, under another lock. */
	for (is = core->expect->waiting.first; is && is != w; is = is->next)
		;
	was = is && f3_waiter_cancel(w);
	if (was)
		core->n_expecting--;
	f3_unlock(&core->expect->lock);
	return was;
}

void f3_expect_look(struct f3_core *core, uint64_t dir)
{
	struct f3_expect *x = core->expect;
	struct f3_waiter *w, *next;
	bool push = false;

	f3_lock(&x->lock);
	for (w = x->waiting.first; w; w = next) {
		next = w->next;
		if (w->off == dir)
			collect(x, w, 0, &x->ready);
	}
	if (x->ready.first && !x->queued)
		push = x->queued = true;
	f3_unlock(&x->lock);
	if (push && f3_workq_push(core->transfer, &x->work))
		take_ready(x);
}
