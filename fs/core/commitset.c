/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/commitset.h"

#include <errno.h>
#include <stddef.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/commitset_impl.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/leftover.h"
#include "fs/core/ns.h"
#include "fs/core/store_op.h"

/* Contents that are committed before a file joins, while somebody else goes on writing it. */
#define JOIN_TRIES 3

/* ---- The table ---- */

int f3_commitsets_new(struct f3_core *core, struct f3_commitsets **ret_all)
{
	struct f3_commitsets *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->core = core;
	f3_lock_init(&all->lock, F3_RANK_SETS);
	TAILQ_INIT(&all->sets);
	*ret_all = all;
	return 0;
}

void f3_commitsets_free(struct f3_commitsets *all)
{
	struct f3_commitset *set;

	if (!all)
		return;
	/* What a stop left. Nothing that is queued for them is begun any more. */
	while ((set = TAILQ_FIRST(&all->sets))) {
		f3_workq_drain(set->volume->stages->q);
		TAILQ_REMOVE(&all->sets, set, of_all);
		f3_commitset_put(set);
	}
	f3_lock_done(&all->lock);
	free(all);
}

static void roll_work(struct f3_work *work)
{
	f3_commitset_roll(
		(struct f3_commitset *)((char *)work - offsetof(struct f3_commitset, work)));
}

static void due(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));
	struct f3_commitset *set =
		(struct f3_commitset *)((char *)timer - offsetof(struct f3_commitset, timer));

	if (!set->core->commitsets->stopping && f3_workq_push(set->volume->stages->q, &set->work))
		(void)f3_timer_arm(timer, f3_clock_mono_ns() + F3_NS_PER_SEC);
}

struct f3_commitset *f3_commitset_alloc(struct f3_core *core)
{
	struct f3_commitset *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	set->core = core;
	set->refs = 1;
	set->state = F3_SET_OPEN;
	f3_lock_init(&set->lock, F3_RANK_SET);
	TAILQ_INIT(&set->members);
	TAILQ_INIT(&set->left);
	set->work.fn = roll_work;
	f3_timer_init(&set->timer, core->transfer, due);
	set->backoff = (struct f3_backoff){ core->opt.retry_min_ns, core->opt.retry_max_ns, 0 };
	return set;
}

void f3_commitset_ref(struct f3_commitset *set)
{
	set->refs++;
}

void f3_commitset_put(struct f3_commitset *set)
{
	struct f3_member_left *left;
	struct f3_member *m;

	if (!set || --set->refs)
		return;
	/* Left by a stop: the database has it. */
	while ((m = TAILQ_FIRST(&set->members))) {
		TAILQ_REMOVE(&set->members, m, of_set);
		m->inode->member = NULL;
		f3_member_free(m);
	}
	while ((left = TAILQ_FIRST(&set->left))) {
		TAILQ_REMOVE(&set->left, left, of_set);
		f3_member_left_free(left);
	}
	f3_volume_put(set->volume);
	f3_lock_done(&set->lock);
	free(set);
}

static void enter_table(struct f3_commitset *set)
{
	struct f3_commitsets *all = set->core->commitsets;

	f3_lock(&all->lock);
	TAILQ_INSERT_TAIL(&all->sets, set, of_all);
	f3_unlock(&all->lock);
	set->core->n_sets++;
}

struct f3_commitset *f3_commitset_find(struct f3_core *core, const char *act)
{
	struct f3_commitsets *all = core->commitsets;
	struct f3_commitset *set;

	if (!all)
		return NULL;
	f3_lock(&all->lock);
	TAILQ_FOREACH(set, &all->sets, of_all)
		if (!strcmp(set->act, act))
			break;
	if (set) {
		set->refs++;
		f3_lock(&set->lock);
		set->found = true;
		f3_unlock(&set->lock);
	}
	f3_unlock(&all->lock);
	return set;
}

int f3_commitset_possible(struct f3_volume *v, struct f3_err *err)
{
	if (!v->store)
		return f3_err_set(err, -EOPNOTSUPP, "volume %s has no object store", v->name);
	if (v->read_only || v->store->read_only)
		return f3_err_set(err, -EROFS, "volume %s cannot be written", v->name);
	if (v->store->unmet)
		return f3_err_set(err, -EIO, "the store of volume %s was not reached yet", v->name);
	if (!v->store->caps.put_absent)
		return f3_err_set(err, -EOPNOTSUPP,
				  "the store of volume %s does not refuse to replace an object "
				  "(put_absent), so that nothing can be published as a set there",
				  v->name);
	return 0;
}

int f3_commitset_note(struct f3_commitset *set)
{
	struct f3_batch *b;
	int r = f3_batch_new(set->core->meta, &b);

	if (r)
		return r;
	f3_lock(&set->lock);
	f3_set_note_put(b, set);
	f3_unlock(&set->lock);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r ? r : f3_meta_sync(set->core->meta);
}

int f3_commitset_new(struct f3_core *core, struct f3_volume *v, const char *act, const char *key,
		     bool sync, struct f3_commitset **ret_set, struct f3_err *err)
{
	struct f3_commitset *set = f3_commitset_find(core, act);
	int r = f3_commitset_possible(v, err);

	if (set) {
		f3_commitset_put(set);
		return f3_err_set(err, -EEXIST, "activation %s has a commit set", act);
	}
	if (!r &&
	    (strlen(act) > F3_COMMITSET_NAME_MAX || (key && strlen(key) > F3_COMMITSET_NAME_MAX)))
		r = f3_err_set(err, -ENAMETOOLONG, "the id or the key is too long");
	if (r)
		return r;
	set = f3_commitset_alloc(core);
	if (!set)
		return f3_err_set(err, -ENOMEM, "out of memory");
	f3_meta_new_id(core->meta, &set->id);
	set->volume = v;
	f3_volume_ref(v);
	set->sync = sync;
	set->found = true;
	snprintf(set->act, sizeof(set->act), "%s", act);
	snprintf(set->key, sizeof(set->key), "%s", key ? key : "");
	r = f3_commitset_note(set);
	if (r) {
		f3_commitset_put(set);
		return f3_err_set(err, r, "the database takes no commit set: %s", f3_errno_name(r));
	}
	f3_commitset_ref(set);
	enter_table(set);
	*ret_set = set;
	return 0;
}

void f3_commitset_wake(struct f3_commitset *set)
{
	struct f3_waiter_list ready = { NULL };

	f3_lock(&set->lock);
	f3_waiters_collect(&set->calm, 0, &ready);
	f3_unlock(&set->lock);
	f3_waiters_call(&ready);
}

void f3_commitset_gone(struct f3_commitset *set)
{
	struct f3_commitsets *all = set->core->commitsets;
	struct f3_waiter_list ready = { NULL };

	f3_lock(&all->lock);
	TAILQ_REMOVE(&all->sets, set, of_all);
	f3_unlock(&all->lock);
	set->core->n_sets--;
	f3_lock(&set->lock);
	set->state = F3_SET_GONE;
	f3_waiters_collect(&set->calm, 0, &ready);
	f3_waiters_collect(&set->ends, 0, &ready);
	f3_unlock(&set->lock);
	f3_waiters_call(&ready);
	f3_commitset_put(set);
}

void f3_commitset_stage_dir(const struct f3_commitset *set, char out[F3_COMMIT_KEY_MAX + 1])
{
	char name[F3_COMMIT_NAME_MAX + 1], id[F3_ID_TEXT_BYTES];

	f3_commit_name(set->act, name);
	f3_id_format(&set->id, id);
	snprintf(out, F3_COMMIT_KEY_MAX + 1, F3_OBJ_AREA_STAGE "/%.60s.%s", name, id);
}

void f3_commitset_staged(const struct f3_commitset *set, uint64_t ino,
			 char out[F3_COMMIT_KEY_MAX + 1])
{
	size_t len;

	f3_commitset_stage_dir(set, out);
	len = strlen(out);
	snprintf(out + len, F3_COMMIT_KEY_MAX + 1 - len, "/%" PRIx64, ino);
}

/* Runs of the same work meet at one key. */
void f3_commitset_record_key(const struct f3_commitset *set, char out[F3_COMMIT_KEY_MAX + 1])
{
	char name[F3_COMMIT_NAME_MAX + 1], id[F3_ID_TEXT_BYTES];

	f3_id_format(&set->id, id);
	f3_commit_name(set->key[0] ? set->key : set->act, name);
	if (set->key[0])
		snprintf(out, F3_COMMIT_KEY_MAX + 1, F3_OBJ_AREA_COMMIT "/%s", name);
	else
		snprintf(out, F3_COMMIT_KEY_MAX + 1, F3_OBJ_AREA_COMMIT "/%.60s.%s", name, id);
}

int f3_commitset_inodes(struct f3_commitset *set, struct f3_inode ***ret_v, size_t *ret_n)
{
	const struct f3_member *m;
	struct f3_inode **v;
	size_t n = 0, cap;

	f3_lock(&set->lock);
	cap = set->n_members;
	v = calloc(cap + 1, sizeof(struct f3_inode *));
	for (m = TAILQ_FIRST(&set->members); v && m; m = TAILQ_NEXT(m, of_set)) {
		v[n++] = m->inode;
		f3_inode_ref(m->inode);
	}
	f3_unlock(&set->lock);
	if (!v)
		return -ENOMEM;
	*ret_v = v;
	*ret_n = n;
	return 0;
}

/* ---- Members ---- */

void f3_prepared_done(struct f3_prepared *p)
{
	f3_upload_free(p->upload);
	memset(p, 0, sizeof(*p));
}

struct f3_upload *f3_commitset_take_upload(struct f3_inode *inode)
{
	struct f3_upload *u = NULL;

	f3_lock(&inode->lock);
	if (inode->member) {
		u = inode->member->p.upload;
		inode->member->p.upload = NULL;
		f3_prepared_done(&inode->member->p);
	}
	f3_unlock(&inode->lock);
	return u;
}

void f3_member_free(struct f3_member *m)
{
	if (!m)
		return;
	f3_prepared_done(&m->p);
	f3_inode_put(m->set->core, m->inode);
	free(m);
}

void f3_member_left_free(struct f3_member_left *left)
{
	if (!left)
		return;
	if (left->inode)
		f3_inode_put(left->set->core, left->inode);
	free(left);
}

/* Inode lock held. */
static void attach(struct f3_commitset *set, struct f3_inode *inode, struct f3_member *m)
{
	m->set = set;
	m->inode = inode;
	f3_inode_ref(inode);
	inode->member = m;
	f3_lock(&set->lock);
	TAILQ_INSERT_TAIL(&set->members, m, of_set);
	set->n_members++;
	f3_unlock(&set->lock);
}

struct f3_member *f3_member_take(struct f3_inode *inode)
{
	struct f3_member *m = inode->member;
	struct f3_commitset *set = m->set;

	inode->member = NULL;
	f3_lock(&set->lock);
	TAILQ_REMOVE(&set->members, m, of_set);
	set->n_members--;
	f3_unlock(&set->lock);
	return m;
}

/* Names of it, or its members, are going to change. False: it is decided. */
static bool begin_change(struct f3_commitset *set)
{
	bool open;

	f3_lock(&set->lock);
	open = set->state == F3_SET_OPEN && !set->want_drop;
	set->changing += open;
	f3_unlock(&set->lock);
	return open;
}

static void end_change(struct f3_commitset *set)
{
	struct f3_waiter_list ready = { NULL };

	f3_lock(&set->lock);
	if (!--set->changing)
		f3_waiters_collect(&set->calm, 0, &ready);
	f3_unlock(&set->lock);
	f3_waiters_call(&ready);
}

bool f3_commitset_join_batch(struct f3_commitset *set, uint64_t ino, struct f3_batch *b)
{
	bool room;

	f3_lock(&set->lock);
	room = set->n_members < F3_COMMITSET_MEMBERS_MAX;
	f3_unlock(&set->lock);
	if (!room || !begin_change(set))
		return false;
	f3_set_note_member(b, set, ino, NULL);
	return true;
}

void f3_commitset_joined(struct f3_commitset *set, struct f3_inode *inode)
{
	struct f3_member *m = inode ? calloc(1, sizeof(*m)) : NULL;

	if (m) {
		f3_lock(&inode->lock);
		attach(set, inode, m);
		f3_unlock(&inode->lock);
	} else if (inode) {
		f3_log_error("inode %" PRIu64 " is published without its set: out of memory",
			     inode->ino);
	}
	end_change(set);
}

/* 0, 1: what was closed before has to be in the store first; -errno. Inode lock held. */
static int join_locked(struct f3_commitset *set, struct f3_inode *inode)
{
	struct f3_core *core = set->core;
	struct f3_member *m;
	struct f3_batch *b;
	int r;

	if (inode->member || inode->dead || !f3_stage_in_store(inode) ||
	    (inode->rec.flags & F3_INO_ORPHAN) || S_ISDIR(inode->rec.mode))
		return 0;
	if (inode->stage || f3_stage_dirty(core, inode))
		return 1;
	if (!begin_change(set))
		return 0;
	m = calloc(1, sizeof(*m));
	r = m ? f3_batch_new(core->meta, &b) : -ENOMEM;
	if (!r) {
		f3_set_note_member(b, set, inode->ino, NULL);
		r = f3_batch_commit(b);
		f3_batch_free(b);
	}
	if (r) {
		free(m);
	} else {
		m->native_before = inode->opens > 0;
		attach(set, inode, m);
	}
	end_change(set);
	return r;
}

int f3_commitset_join(struct f3_commitset *set, struct f3_inode *inode, const struct f3_caller *who)
{
	int r = 1;

	f3_lock(&set->lock);
	if (set->n_members >= F3_COMMITSET_MEMBERS_MAX)
		r = -ENOSPC;
	f3_unlock(&set->lock);
	for (int i = 0; r == 1 && i < JOIN_TRIES; i++) {
		f3_lock(&inode->lock);
		r = join_locked(set, inode);
		f3_unlock(&inode->lock);
		if (r != 1)
			break;
		if (!who->may_block)
			return -F3_EWAIT;
		r = f3_ns_commit_wait(set->core, inode);
		if (r)
			return f3_store_errno(r);
		r = 1;
	}
	return r == 1 ? -EBUSY : r;
}

bool f3_commitset_withdrawn(const struct f3_inode *inode)
{
	return inode->rec.flags & F3_INO_WITHDRAWN;
}

bool f3_member_same(struct f3_inode *inode)
{
	const struct f3_prepared *p = &inode->member->p;
	struct f3_fingerprint now;
	struct stat st;

	if (!p->regular)
		return true;
	if (inode->changed)
		return false;
	if (!p->complete || !f3_file_complete(inode))
		return inode->rec.generation == p->generation;
	if (f3_backing_stat(f3_file_store(inode), inode->ino, inode->rec.backing, &st))
		return false;
	now = (struct f3_fingerprint){
		.size = (uint64_t)st.st_size,
		.mtime_ns = f3_ns_from_timespec(st.st_mtim),
		.ctime_ns = f3_ns_from_timespec(st.st_ctim),
	};
	return !memcmp(&now, &p->fp, sizeof(now));
}

bool f3_commitset_settled(struct f3_inode *inode)
{
	const struct f3_member *m = inode->member;

	/* Attributes that changed since follow an upload when it is published. */
	return m && m->p.valid && f3_member_same(inode) &&
	       (m->p.upload || m->p.attr_changes == inode->attr_changes);
}

bool f3_member_waits(const struct f3_inode *inode)
{
	struct f3_commitset *set = inode->member ? inode->member->set : NULL;
	bool waits;

	if (!set)
		return false;
	f3_lock(&set->lock);
	waits = set->state != F3_SET_OPEN;
	f3_unlock(&set->lock);
	return waits;
}

/* ---- Names ---- */

/* Waits until the set is open again, or the inode none of its members. Set lock held, let go of. */
static int wait_calm(struct f3_commitset *set, const struct f3_caller *who)
{
	struct f3_blocker w;
	int r;

	if (!who->may_block) {
		f3_unlock(&set->lock);
		return -F3_EWAIT;
	}
	f3_blocker_init(&w);
	f3_waiter_add(&set->calm, &w.w);
	f3_unlock(&set->lock);
	r = f3_blocker_wait(&w);
	f3_blocker_done(&w);
	return r;
}

int f3_commitset_enter(struct f3_core *core, struct f3_inode *inode, const struct f3_caller *who,
		       struct f3_commitset **ret_set)
{
	struct f3_commitset *set;
	int r = 0;

	*ret_set = NULL;
	while (!r && inode && f3_commitsets_live(core)) {
		f3_lock(&inode->lock);
		set = inode->member ? inode->member->set : NULL;
		if (set)
			f3_commitset_ref(set);
		f3_unlock(&inode->lock);
		if (!set)
			break;
		f3_lock(&set->lock);
		if (set->state == F3_SET_OPEN && !set->want_drop) {
			set->changing++;
			f3_unlock(&set->lock);
			*ret_set = set;
			break;
		}
		if (set->state == F3_SET_GONE) {
			f3_unlock(&set->lock);
			r = -ESTALE;
		} else {
			r = wait_calm(set, who);
		}
		f3_commitset_put(set);
	}
	return r;
}

void f3_commitset_leave(struct f3_commitset *set)
{
	if (!set)
		return;
	end_change(set);
	f3_commitset_put(set);
}

int f3_commitset_leave_batch(struct f3_inode *inode, const char *key, bool moved, bool replaced,
			     struct f3_batch *b, struct f3_member_left **ret_left)
{
	struct f3_member *m = inode->member;
	struct f3_member_left *left;

	*ret_left = NULL;
	if (!m)
		return 0;
	left = calloc(1, sizeof(*left));
	if (!left)
		return -ENOMEM;
	left->set = m->set;
	left->inode = inode;
	f3_inode_ref(inode);
	left->moved = moved;
	left->number = f3_meta_new_seq(m->set->core->meta);
	left->parent = inode->rec.parent;
	snprintf(left->key, sizeof(left->key), "%s", key);
	if (!replaced)
		memcpy(left->etag, inode->rec.etag, sizeof(left->etag));
	if (m->p.upload) {
		memcpy(left->upload, m->p.upload->id, sizeof(left->upload));
		memcpy(left->upload_key, m->p.upload->key, sizeof(left->upload_key));
	}
	left->note = left->etag[0] || left->upload[0];
	if (left->note)
		f3_set_note_left(b, left);
	if (!moved || m->p.upload)
		f3_set_note_del_member(b, m->set, inode->ino, &m->p);
	if (moved && m->p.upload)
		f3_set_note_member(b, m->set, inode->ino, NULL);
	*ret_left = left;
	return 0;
}

void f3_commitset_left(struct f3_core *core, struct f3_member_left *left, int r)
{
	struct f3_inode *inode;
	struct f3_member *gone = NULL;

	if (!left)
		return;
	inode = left->inode;
	left->inode = NULL;
	f3_lock(&inode->lock);
	if (!r && inode->member && !left->moved)
		gone = f3_member_take(inode);
	else if (!r && inode->member && left->upload[0])
		f3_prepared_done(&inode->member->p);
	f3_unlock(&inode->lock);
	if (!r && left->note) {
		if (left->etag[0])
			core->commitsets->n_left++;
		f3_lock(&left->set->lock);
		TAILQ_INSERT_TAIL(&left->set->left, left, of_set);
		f3_unlock(&left->set->lock);
	} else {
		f3_member_left_free(left);
	}
	f3_member_free(gone);
	f3_inode_put(core, inode);
}

/* Is it somewhere below the directory? */
static bool below(struct f3_core *core, uint64_t at, uint64_t dir)
{
	while (at && at != F3_INO_ROOT && at != dir) {
		struct f3_inode *inode;

		if (f3_inode_get(core, at, &inode))
			return false;
		f3_lock(&inode->lock);
		at = inode->rec.parent;
		f3_unlock(&inode->lock);
		f3_inode_put(core, inode);
	}
	return at == dir;
}

/* Objects that the set replaces or removes there would have to move with it, and show. */
static bool holds_objects(struct f3_commitset *set, uint64_t dir)
{
	struct f3_core *core = set->core;
	const struct f3_member_left *left;
	struct f3_inode **inodes;
	uint64_t *parents;
	size_t n, n_parents = 0;
	bool holds = false;

	if (f3_commitset_inodes(set, &inodes, &n))
		return true;
	for (size_t i = 0; i < n; i++) {
		uint64_t parent;

		f3_lock(&inodes[i]->lock);
		parent = inodes[i]->rec.etag[0] ? inodes[i]->rec.parent : 0;
		f3_unlock(&inodes[i]->lock);
		holds = holds || (parent && below(core, parent, dir));
		f3_inode_put(core, inodes[i]);
	}
	free(inodes);
	f3_lock(&set->lock);
	TAILQ_FOREACH(left, &set->left, of_set)
		n_parents++;
	parents = calloc(n_parents + 1, sizeof(*parents));
	n_parents = 0;
	for (left = TAILQ_FIRST(&set->left); parents && left; left = TAILQ_NEXT(left, of_set))
		if (left->etag[0])
			parents[n_parents++] = left->parent;
	f3_unlock(&set->lock);
	for (size_t i = 0; i < n_parents && !holds; i++)
		holds = below(core, parents[i], dir);
	holds = holds || !parents;
	free(parents);
	return holds;
}

/* The first set of the volume after this one; a reference. NULL: no more. */
static struct f3_commitset *next_of(struct f3_commitsets *all, const struct f3_volume *v,
				    const struct f3_commitset *after)
{
	struct f3_commitset *set;
	bool seen = !after;

	f3_lock(&all->lock);
	TAILQ_FOREACH(set, &all->sets, of_all) {
		if (seen && set->volume == v)
			break;
		seen |= set == after;
	}
	if (set)
		f3_commitset_ref(set);
	f3_unlock(&all->lock);
	return set;
}

/* One of the volume that is being published: its lock is held, and a reference. NULL: none, and
 * renames of directories count from now on. */
static struct f3_commitset *find_busy(struct f3_commitsets *all, const struct f3_volume *v)
{
	struct f3_commitset *set;

	f3_lock(&all->lock);
	TAILQ_FOREACH(set, &all->sets, of_all) {
		if (set->volume != v)
			continue;
		f3_lock(&set->lock);
		if (set->state == F3_SET_COMMITTING || set->state == F3_SET_COMMITTED) {
			f3_commitset_ref(set);
			break;
		}
		f3_unlock(&set->lock);
	}
	if (!set)
		all->dirs_changing++;
	f3_unlock(&all->lock);
	return set;
}

int f3_commitset_enter_dir(struct f3_core *core, struct f3_inode *dir, const struct f3_caller *who)
{
	struct f3_commitsets *all = core->commitsets;
	struct f3_commitset *set, *next;
	bool holds = false;
	int r = 0;

	while (!r && (set = find_busy(all, dir->volume))) {
		r = wait_calm(set, who);
		f3_commitset_put(set);
	}
	if (r)
		return r;
	for (set = next_of(all, dir->volume, NULL); set; set = next) {
		holds = holds || holds_objects(set, dir->ino);
		next = next_of(all, dir->volume, set);
		f3_commitset_put(set);
	}
	if (holds)
		f3_commitset_leave_dir(core);
	return holds ? -EXDEV : 0;
}

void f3_commitset_leave_dir(struct f3_core *core)
{
	struct f3_commitsets *all = core->commitsets;
	struct f3_waiter_list ready = { NULL };
	struct f3_commitset *set;

	f3_lock(&all->lock);
	all->dirs_changing--;
	TAILQ_FOREACH(set, &all->sets, of_all) {
		f3_lock(&set->lock);
		f3_waiters_collect(&set->calm, 0, &ready);
		f3_unlock(&set->lock);
	}
	f3_unlock(&all->lock);
	f3_waiters_call(&ready);
}

bool f3_commitset_covers(struct f3_volume *v, const char *key)
{
	struct f3_commitsets *all = v->core->commitsets;
	const struct f3_member_left *left = NULL;
	struct f3_commitset *set;

	if (!f3_commitsets_live(v->core) || !all->n_left)
		return false;
	f3_lock(&all->lock);
	TAILQ_FOREACH(set, &all->sets, of_all) {
		if (set->volume != v)
			continue;
		f3_lock(&set->lock);
		if (set->state != F3_SET_DROPPED)
			TAILQ_FOREACH(left, &set->left, of_set)
				if (left->etag[0] && !strcmp(left->key, key))
					break;
		f3_unlock(&set->lock);
		if (left)
			break;
	}
	f3_unlock(&all->lock);
	return left != NULL;
}

bool f3_commitset_wants(struct f3_volume *v, const char *upload)
{
	struct f3_commitsets *all = v->core->commitsets;
	struct f3_commitset *set, *next;
	struct f3_inode **inodes;
	bool wants = false;
	size_t n;

	if (!all || !f3_commitsets_live(v->core))
		return false;
	for (set = next_of(all, v, NULL); set; set = next) {
		if (!wants && f3_commitset_inodes(set, &inodes, &n)) {
			wants = true; /* perhaps */
		} else if (!wants) {
			for (size_t i = 0; i < n; i++) {
				const struct f3_member *m;

				f3_lock(&inodes[i]->lock);
				m = inodes[i]->member;
				wants |= m && m->p.upload && !strcmp(m->p.upload->id, upload);
				f3_unlock(&inodes[i]->lock);
				f3_inode_put(v->core, inodes[i]);
			}
			free(inodes);
		}
		next = next_of(all, v, set);
		f3_commitset_put(set);
	}
	return wants;
}

/* ---- After a restart ---- */

static struct f3_commitset *of_id(struct f3_core *core, const struct f3_id *id)
{
	struct f3_commitset *set;

	TAILQ_FOREACH(set, &core->commitsets->sets, of_all)
		if (f3_id_equal(&set->id, id))
			return set;
	return NULL;
}

static int load_set(void *arg, struct f3_commitset *set)
{
	struct f3_core *core = arg;

	if (!set->volume) {
		f3_log_warn("a commit set of activation %s waits for its volume", set->act);
		f3_commitset_put(set);
		return 0;
	}
	set->cold = !f3_meta_same_boot(core->meta);
	set->dropped = set->state == F3_SET_DROPPED;
	enter_table(set);
	return 0;
}

/* Its file is gone: with it the member. */
static int forget_member(struct f3_commitset *set, uint64_t ino, struct f3_prepared *p)
{
	struct f3_batch *b;
	int r = f3_batch_new(set->core->meta, &b);

	if (r)
		return r;
	f3_set_note_del_member(b, set, ino, p);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	if (!r && p->upload)
		f3_leftover_abort(set->volume, p->upload->key, p->upload->id);
	return r;
}

static int load_member(void *arg, const struct f3_id *id, uint64_t ino, struct f3_prepared *p)
{
	struct f3_core *core = arg;
	struct f3_commitset *set = of_id(core, id);
	struct f3_inode *inode;
	struct f3_member *m;
	int r;

	if (!set)
		return 0;
	r = f3_inode_get(core, ino, &inode);
	if (r == -ENOENT || r == -ESTALE)
		return forget_member(set, ino, p);
	if (r)
		return r;
	m = calloc(1, sizeof(*m));
	if (m) {
		f3_lock(&inode->lock);
		m->p = *p;
		memset(p, 0, sizeof(*p));
		m->native_before = true; /* who knows */
		m->p.attr_changes = inode->attr_changes - !!(inode->rec.flags & F3_INO_ATTR_DIRTY);
		attach(set, inode, m);
		f3_unlock(&inode->lock);
	}
	f3_inode_put(core, inode);
	return m ? 0 : -ENOMEM;
}

static int load_left(void *arg, const struct f3_id *id, struct f3_member_left *left)
{
	struct f3_core *core = arg;
	struct f3_commitset *set = of_id(core, id);

	if (!set) {
		free(left);
		return 0;
	}
	left->set = set;
	if (left->etag[0])
		core->commitsets->n_left++;
	TAILQ_INSERT_TAIL(&set->left, left, of_set);
	return 0;
}

int f3_commitset_load(struct f3_core *core, struct f3_err *err)
{
	const struct f3_set_notes to = { load_set, load_member, load_left, core };
	int r = f3_set_notes_read(core, &to);

	return r ? f3_err_set(err, r,
			      "database in %s: the commit sets of the last run cannot be read: %s",
			      core->cache_dir, f3_errno_name(r)) :
		   0;
}

static void go_all(struct f3_commitsets *all)
{
	struct f3_commitset *set;

	f3_lock(&all->lock);
	TAILQ_FOREACH(set, &all->sets, of_all) {
		f3_lock(&set->lock);
		if (set->state == F3_SET_OPEN && (set->cold || (!set->found && all->claimed)))
			set->want_drop = true;
		if (!set->busy && (set->state != F3_SET_OPEN || set->want_drop)) {
			set->busy = true;
			if (f3_workq_push(set->volume->stages->q, &set->work))
				(void)f3_timer_arm(&set->timer, f3_clock_mono_ns() + F3_NS_PER_SEC);
		}
		f3_unlock(&set->lock);
	}
	f3_unlock(&all->lock);
}

void f3_commitset_go(struct f3_core *core)
{
	go_all(core->commitsets);
}

void f3_commitset_go_rest(struct f3_core *core)
{
	core->commitsets->claimed = true;
	go_all(core->commitsets);
}

void f3_commitsets_stop(struct f3_core *core)
{
	struct f3_commitsets *all = core->commitsets;
	struct f3_waiter_list ready = { NULL };
	struct f3_commitset *set;

	if (!all)
		return;
	f3_lock(&all->lock);
	all->stopping = true;
	TAILQ_FOREACH(set, &all->sets, of_all) {
		f3_lock(&set->lock);
		f3_waiters_collect(&set->calm, -ESHUTDOWN, &ready);
		f3_waiters_collect(&set->ends, -ESHUTDOWN, &ready);
		f3_unlock(&set->lock);
	}
	f3_unlock(&all->lock);
	f3_waiters_call(&ready);
}
