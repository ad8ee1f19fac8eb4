/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/inode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/core/activation.h"
#include "fs/core/escape.h"
#include "fs/core/file.h"
#include "fs/core/rest.h"
#include "fs/core/sealer.h"
#include "fs/core/volume.h"

#include "fs/core/fill.h"

#define SHARDS 64u /* power of two */
#define BUCKETS_MIN 64u
/* Registered backing files of inodes that nobody has open: a reopen needs no open(2) and no
 * ioctl. Each pins a kernel file of about 3 kB. */
#define IDLE_BACKING_MAX 8192u

struct shard {
	struct f3_lock lock;
	pthread_cond_t loaded;
	struct f3_inode **buckets;
	size_t n_buckets, n, n_idle;
	struct f3_inode idle; /* list head: idle.idle_next is the least recently used */
	uint64_t idle_bytes;
	uint64_t work;
};

struct f3_itable {
	struct shard shards[SHARDS];
	uint64_t max_bytes; /* of one shard, unless more are held */
	_Atomic uint32_t idle_backings;
};

static uint64_t mix(uint64_t v)
{
	v ^= v >> 33;
	v *= 0xff51afd7ed558ccdull;
	v ^= v >> 33;
	return v;
}

static struct shard *shard_of(struct f3_itable *t, uint64_t ino)
{
	return &t->shards[mix(ino) & (SHARDS - 1)];
}

static struct f3_inode **bucket_of(struct shard *s, uint64_t ino)
{
	return &s->buckets[(mix(ino) >> 6) & (s->n_buckets - 1)];
}

static uint64_t inode_bytes(const struct f3_inode *inode)
{
	return sizeof(*inode) + inode->rec.target_len;
}

static bool has_idle_backing(const struct f3_inode *inode)
{
	return inode->backing_id > 0;
}

int f3_itable_new(struct f3_core *core, struct f3_itable **ret_t)
{
	struct f3_itable *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->max_bytes = f3_budget_share(core->budget, F3_ACCT_INODES) / SHARDS;
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];

		f3_lock_init(&s->lock, F3_RANK_ITABLE);
		f3_cond_init(&s->loaded);
		s->idle.idle_next = s->idle.idle_prev = &s->idle;
		s->n_buckets = BUCKETS_MIN;
		s->buckets = calloc(s->n_buckets, sizeof(*s->buckets));
		if (!s->buckets) {
			f3_itable_free(t);
			return -ENOMEM;
		}
	}
	*ret_t = t;
	return 0;
}

/* The bytes of a dead file, and what it was counted for. */
static void drop_dead(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_file_gone gone = { .fd = -1 };

	f3_lock(&inode->lock);
	f3_file_detach(core, inode, &gone);
	f3_volume_account(inode->volume, -(int64_t)f3_file_charge(&inode->rec));
	f3_unlock(&inode->lock);
	f3_volume_uncharge(inode->volume, 0, 1);
	f3_sealer_gone(core, inode->volume, &gone);
}

/* No lock, no reference left. */
static void inode_free(struct f3_core *core, struct f3_inode *inode)
{
	if (inode->dead && inode->volume)
		drop_dead(core, inode);
	if (inode->watch)
		f3_watch_del(inode->watch);
	if (inode->backing_id > 0 && core->kernel.backing_close)
		core->kernel.backing_close(core->kernel.arg, inode->backing_id);
	if (inode->fd >= 0)
		close(inode->fd);
	if (inode->write_fd >= 0)
		close(inode->write_fd);
	f3_fill_free(inode->fill);
	f3_extents_free(inode->extents);
	f3_act_put(inode->act);
	free(inode->sums);
	free(inode->walk);
	f3_volume_put(inode->volume);
	f3_inode_rec_done(&inode->rec);
	f3_lock_done(&inode->lock);
	free(inode);
}

/* Of a list linked by hash_next. No lock, no references left. */
static void free_all(struct f3_core *core, struct f3_inode *inodes)
{
	while (inodes) {
		struct f3_inode *next = inodes->hash_next;

		inode_free(core, inodes);
		inodes = next;
	}
}

void f3_itable_free(struct f3_itable *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];

		for (size_t b = 0; s->buckets && b < s->n_buckets; b++) {
			while (s->buckets[b]) {
				struct f3_inode *inode = s->buckets[b];

				s->buckets[b] = inode->hash_next;
				inode_free(inode->core, inode);
			}
		}
		free(s->buckets);
		f3_lock_done(&s->lock);
		pthread_cond_destroy(&s->loaded);
	}
	free(t);
}

static struct f3_inode *find(struct shard *s, uint64_t ino)
{
	for (struct f3_inode *i = *bucket_of(s, ino); i; i = i->hash_next)
		if (i->ino == ino)
			return i;
	return NULL;
}

/* A failed growth is no error: chains get longer. */
static void grow(struct shard *s)
{
	size_t n = s->n_buckets * 2;
	struct f3_inode **old = s->buckets, **buckets = calloc(n, sizeof(*buckets));
	size_t n_old = s->n_buckets;

	if (!buckets)
		return;
	s->buckets = buckets;
	s->n_buckets = n;
	for (size_t b = 0; b < n_old; b++) {
		while (old[b]) {
			struct f3_inode *i = old[b], **to = bucket_of(s, i->ino);

			old[b] = i->hash_next;
			i->hash_next = *to;
			*to = i;
		}
	}
	free(old);
}

static void insert(struct shard *s, struct f3_inode *inode)
{
	struct f3_inode **bucket;

	if (s->n >= s->n_buckets)
		grow(s);
	bucket = bucket_of(s, inode->ino);
	inode->hash_next = *bucket;
	*bucket = inode;
	s->n++;
	f3_budget_note(inode->core->budget, F3_ACCT_INODES, sizeof(*inode));
}

static void remove_(struct shard *s, struct f3_inode *inode)
{
	for (struct f3_inode **p = bucket_of(s, inode->ino); *p; p = &(*p)->hash_next) {
		if (*p == inode) {
			*p = inode->hash_next;
			s->n--;
			f3_budget_note(inode->core->budget, F3_ACCT_INODES,
				       -(int64_t)sizeof(*inode));
			return;
		}
	}
}

static void idle_add(struct f3_itable *t, struct shard *s, struct f3_inode *inode)
{
	/* A dead inode is the first to go. */
	struct f3_inode *before = inode->dead ? s->idle.idle_next : &s->idle;

	inode->idle_next = before;
	inode->idle_prev = before->idle_prev;
	before->idle_prev->idle_next = inode;
	before->idle_prev = inode;
	s->idle_bytes += inode_bytes(inode);
	s->n_idle++;
	if (has_idle_backing(inode))
		t->idle_backings++;
}

static void idle_del(struct f3_itable *t, struct shard *s, struct f3_inode *inode)
{
	inode->idle_prev->idle_next = inode->idle_next;
	inode->idle_next->idle_prev = inode->idle_prev;
	inode->idle_next = inode->idle_prev = NULL;
	s->idle_bytes -= inode_bytes(inode);
	s->n_idle--;
	if (has_idle_backing(inode))
		t->idle_backings--;
}

static struct f3_inode *inode_alloc(struct f3_core *core, uint64_t ino)
{
	struct f3_inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->ino = ino;
	inode->refs = 1;
	inode->fd = inode->write_fd = -1;
	inode->core = core;
	f3_lock_init(&inode->lock, F3_RANK_INODE);
	return inode;
}

static void take(struct f3_itable *t, struct shard *s, struct f3_inode *inode)
{
	if (inode->refs++ == 0 && inode->idle_next)
		idle_del(t, s, inode);
}

int f3_inode_get(struct f3_core *core, uint64_t ino, struct f3_inode **ret_inode)
{
	struct f3_itable *t = core->itable;
	struct shard *s = shard_of(t, ino);
	struct f3_inode *inode;
	int r;

	f3_lock(&s->lock);
	inode = find(s, ino);
	if (inode) {
		take(t, s, inode);
		while (inode->loading)
			f3_cond_wait(&s->loaded, &s->lock, 0);
		r = inode->load_error;
		f3_unlock(&s->lock);
		if (r) {
			f3_inode_put(core, inode);
			return r;
		}
		*ret_inode = inode;
		return 0;
	}
	inode = inode_alloc(core, ino);
	if (!inode) {
		f3_unlock(&s->lock);
		return -ENOMEM;
	}
	inode->loading = true;
	insert(s, inode);
	f3_unlock(&s->lock);

	r = f3_meta_get_inode(core->meta, ino, &inode->rec);
	if (!r)
		inode->local_tree = inode->rec.flags & F3_INO_LOCAL_TREE;
	if (!r && inode->rec.volume) {
		inode->volume = f3_volume_get(core, inode->rec.volume);
		if (!inode->volume)
			r = -ESTALE;
	} else if (!r && ino != F3_INO_ROOT) {
		r = -EIO; /* damaged: nothing else is of no volume */
	}

	f3_lock(&s->lock);
	inode->loading = false;
	inode->load_error = r;
	if (r)
		remove_(s, inode);
	pthread_cond_broadcast(&s->loaded);
	f3_unlock(&s->lock);
	if (r) {
		f3_inode_put(core, inode);
		return r;
	}
	*ret_inode = inode;
	return 0;
}

struct f3_inode *f3_inode_peek(struct f3_core *core, uint64_t ino)
{
	struct f3_itable *t = core->itable;
	struct shard *s = shard_of(t, ino);
	struct f3_inode *inode;

	f3_lock(&s->lock);
	inode = find(s, ino);
	if (inode && inode->loading)
		inode = NULL;
	if (inode)
		take(t, s, inode);
	f3_unlock(&s->lock);
	return inode;
}

int f3_inode_add(struct f3_core *core, struct f3_inode_rec *rec, struct f3_inode **ret_inode)
{
	struct shard *s = shard_of(core->itable, rec->ino);
	struct f3_inode *inode = inode_alloc(core, rec->ino);

	if (!inode)
		return -ENOMEM;
	inode->volume = f3_volume_get(core, rec->volume);
	if (!inode->volume) {
		inode_free(core, inode);
		return -ESTALE;
	}
	inode->rec = *rec;
	inode->local_tree = rec->flags & F3_INO_LOCAL_TREE;
	inode->unpromised = true;
	rec->target = NULL;
	f3_lock(&s->lock);
	insert(s, inode);
	f3_unlock(&s->lock);
	*ret_inode = inode;
	return 0;
}

void f3_inode_ref(struct f3_inode *inode)
{
	/* The caller holds one already: the count cannot be on its way to zero. */
	inode->refs++;
}

void f3_inode_put(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_itable *t;
	struct shard *s;
	struct f3_inode *victims = NULL;
	int drop_backing = 0;
	uint64_t held;

	if (!inode)
		return;
	t = core->itable;
	s = shard_of(t, inode->ino);
	f3_lock(&s->lock);
	if (--inode->refs > 0) {
		f3_unlock(&s->lock);
		return;
	}
	if (inode->load_error || (inode->dead && inode->forgotten)) {
		if (!inode->load_error)
			remove_(s, inode);
		f3_unlock(&s->lock);
		inode_free(core, inode);
		return;
	}
	if (has_idle_backing(inode) && t->idle_backings >= IDLE_BACKING_MAX) {
		drop_backing = inode->backing_id;
		inode->backing_id = 0;
	}
	idle_add(t, s, inode);
	s->work++;
	held = (s->n - s->n_idle) * sizeof(*inode);
	while (s->idle_bytes + held > t->max_bytes && s->idle.idle_next != &s->idle) {
		struct f3_inode *victim = s->idle.idle_next;

		idle_del(t, s, victim);
		remove_(s, victim);
		victim->hash_next = victims;
		victims = victim;
	}
	f3_unlock(&s->lock);
	if (drop_backing && core->kernel.backing_close)
		core->kernel.backing_close(core->kernel.arg, drop_backing);
	free_all(core, victims);
	f3_rest_stir(core->rest);
}

void f3_inode_forget(struct f3_core *core, uint64_t ino)
{
	struct f3_itable *t = core->itable;
	struct shard *s = shard_of(t, ino);
	struct f3_inode *inode;

	f3_lock(&s->lock);
	inode = find(s, ino);
	/* A release or a seal may still be on its way: then the last put does it. */
	if (inode && inode->rec.nlink == 0)
		inode->forgotten = true;
	if (inode && inode->refs == 0 && inode->dead) {
		idle_del(t, s, inode);
		remove_(s, inode);
	} else {
		inode = NULL;
	}
	f3_unlock(&s->lock);
	if (inode)
		inode_free(core, inode);
}

void f3_itable_each(struct f3_core *core, void (*fn)(void *arg, struct f3_inode *inode), void *arg)
{
	struct f3_itable *t = core->itable;

	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];
		struct f3_inode **held;
		size_t n = 0;

		f3_lock(&s->lock);
		held = calloc(s->n + 1, sizeof(*held));
		for (size_t b = 0; held && b < s->n_buckets; b++) {
			for (struct f3_inode *inode = s->buckets[b]; inode;
			     inode = inode->hash_next) {
				if (inode->loading)
					continue;
				take(t, s, inode);
				held[n++] = inode;
			}
		}
		f3_unlock(&s->lock);
		for (size_t k = 0; k < n; k++) {
			fn(arg, held[k]);
			f3_inode_put(core, held[k]);
		}
		free(held);
	}
}

bool f3_itable_drop_volume(struct f3_core *core, const struct f3_volume *v)
{
	struct f3_itable *t = core->itable;
	bool all = true;

	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];
		struct f3_inode *victims = NULL;

		f3_lock(&s->lock);
		for (size_t b = 0; b < s->n_buckets; b++) {
			for (struct f3_inode *inode = s->buckets[b], *next; inode; inode = next) {
				next = inode->hash_next;
				if (inode->loading || inode->volume != v)
					continue;
				if (inode->refs) {
					all = false;
					continue;
				}
				idle_del(t, s, inode);
				remove_(s, inode);
				inode->hash_next = victims;
				victims = inode;
			}
		}
		f3_unlock(&s->lock);
		free_all(core, victims);
	}
	return all;
}

void f3_itable_trim(struct f3_core *core, uint64_t max_idle_bytes)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *s = &core->itable->shards[i];
		struct f3_inode *victims = NULL, *next;

		f3_lock(&s->lock);
		for (struct f3_inode *inode = s->idle.idle_next;
		     inode != &s->idle && s->idle_bytes > max_idle_bytes / SHARDS; inode = next) {
			next = inode->idle_next;
			if (inode->dead || inode->touched)
				continue;
			idle_del(core->itable, s, inode);
			remove_(s, inode);
			inode->hash_next = victims;
			victims = inode;
		}
		f3_unlock(&s->lock);
		free_all(core, victims);
	}
}

uint64_t f3_itable_work(struct f3_core *core)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *s = &core->itable->shards[i];

		f3_lock(&s->lock);
		sum += s->work;
		f3_unlock(&s->lock);
	}
	return sum;
}

void f3_itable_stats(struct f3_core *core, uint64_t *ret_inodes, uint64_t *ret_bytes)
{
	uint64_t inodes = 0, bytes = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *s = &core->itable->shards[i];

		f3_lock(&s->lock);
		inodes += s->n;
		bytes += s->n * sizeof(struct f3_inode) + s->n_buckets * sizeof(void *);
		f3_unlock(&s->lock);
	}
	*ret_inodes = inodes;
	*ret_bytes = bytes;
}

int f3_inode_path(struct f3_core *core, uint64_t ino, char *out, size_t size)
{
	size_t at = size;
	int depth = 0;

	if (size < 2)
		return -ENAMETOOLONG;
	out[--at] = '\0';
	for (;;) {
		struct f3_inode *inode;
		uint64_t parent;
		size_t len;
		int r = f3_inode_get(core, ino, &inode);

		if (r)
			return r == -ENOENT ? -ESTALE : r;
		f3_lock(&inode->lock);
		parent = inode->rec.parent;
		len = inode->rec.name_len;
		if (parent == F3_INO_ROOT || inode->ino == F3_INO_ROOT) {
			f3_unlock(&inode->lock);
			f3_inode_put(core, inode);
			break;
		}
		r = inode->dead || !parent ? -ESTALE : 0;
		if (!r && (len + 1 > at || ++depth > PATH_MAX / 2))
			r = -ENAMETOOLONG;
		if (!r) {
			at -= len;
			memcpy(out + at, inode->rec.name, len);
			out[--at] = '/';
		}
		f3_unlock(&inode->lock);
		f3_inode_put(core, inode);
		if (r)
			return r;
		ino = parent;
	}
	if (out[at] == '\0')
		out[--at] = '/';
	memmove(out, out + at, size - at);
	return 0;
}

int f3_inode_key(struct f3_core *core, uint64_t ino, char *out, size_t size)
{
	/* longer than the key by a slash, and by what is escaped */
	char path[PATH_MAX];
	int r = f3_inode_path(core, ino, path, sizeof(path));

	if (!r)
		r = f3_unescape_path(path + 1);
	if (r)
		return r == -ESTALE ? -ENOENT : r;
	if (strlen(path + 1) >= size)
		return -ENAMETOOLONG;
	memcpy(out, path + 1, strlen(path + 1) + 1);
	return 0;
}
