/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/store_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/core/escape.h"
#include "fs/core/fetch.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"
#include "fs/core/store_attr.h"
#include "fs/core/store_op.h"

/* ---- Fresh enough ---- */

static bool recent(const struct f3_volume *v, uint64_t then)
{
	return then && f3_clock_mono_ns() - then < v->attr_ttl_ns;
}

bool f3_store_dir_fresh(struct f3_core *core, struct f3_inode *dir)
{
	bool fresh;

	(void)core;
	if (!f3_ns_dir_in_store(dir))
		return true;
	f3_lock(&dir->lock);
	fresh = dir->dead || recent(dir->volume, dir->listed_mono_ns);
	f3_unlock(&dir->lock);
	return fresh;
}

/* A listing of its directory said as much as a question about it: all, or that nothing is new. */
static bool by_listing(const struct f3_volume *v, const struct f3_inode_rec *rec)
{
	if (v->listed_attr && !S_ISDIR(rec->mode))
		return true;
	return !(rec->flags & F3_INO_GUESSED) &&
	       (v->store->caps.list_has_attr || (!S_ISDIR(rec->mode) && rec->modified_ns));
}

static bool listed_lately(struct f3_core *core, const struct f3_volume *v, uint64_t parent)
{
	struct f3_inode *dir;
	bool fresh;

	dir = f3_inode_peek(core, parent);
	if (!dir)
		return false;
	f3_lock(&dir->lock);
	fresh = recent(v, dir->listed_mono_ns);
	f3_unlock(&dir->lock);
	f3_inode_put(core, dir);
	return fresh;
}

bool f3_store_inode_fresh(struct f3_core *core, struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;
	uint64_t parent;
	bool fresh, listed;

	if (!inode->volume || !inode->volume->store || inode->ino == inode->volume->root_ino)
		return true;
	f3_lock(&inode->lock);
	parent = rec->parent;
	if (S_ISDIR(rec->mode))
		fresh = (rec->flags & F3_INO_LOCAL_TREE) || inode->dead;
	else
		fresh = !f3_class_in_store((enum f3_class)rec->class_) || inode->dead ||
			inode->stage || (rec->flags & F3_INO_DIRTY) ||
			rec->state == F3_STATE_WRITING;
	fresh = fresh || recent(inode->volume, inode->checked_mono_ns);
	listed = by_listing(inode->volume, rec);
	f3_unlock(&inode->lock);
	return fresh || (listed && listed_lately(core, inode->volume, parent));
}

bool f3_store_rec_fresh(struct f3_core *core, struct f3_inode *dir, const struct f3_inode_rec *rec)
{
	const struct f3_volume *v = dir->volume;

	if (!v || !v->store ||
	    (S_ISDIR(rec->mode) ? rec->flags & F3_INO_LOCAL_TREE : !f3_file_in_store(rec)))
		return true;
	return by_listing(v, rec) &&
	       (v->store->caps.list_has_attr || f3_store_dir_fresh(core, dir));
}

int f3_store_known(struct f3_core *core, struct f3_inode *inode, const struct f3_caller *who)
{
	bool guessed;

	if (!inode->volume || !inode->volume->listed_attr)
		return 0;
	f3_lock(&inode->lock);
	guessed = (inode->rec.flags & F3_INO_GUESSED) && S_ISREG(inode->rec.mode) && !inode->dead;
	f3_unlock(&inode->lock);
	if (!guessed)
		return 0;
	return who->may_block ? f3_store_inode_check(core, inode, false) : -F3_EWAIT;
}

/* ---- Asking ---- */

int f3_store_target_ask(struct f3_obj_op *op, const char *key, const struct f3_obj_info *info,
			char **ret_target)
{
	char *target;

	if (!info->size || info->size > F3_SYMLINK_MAX)
		return -EINVAL;
	target = malloc(info->size + 1);
	if (!target)
		return -ENOMEM;
	f3_object_op_init(op, F3_OBJ_GET);
	op->key = key;
	op->cond = F3_OBJ_MATCH;
	op->etag = info->etag;
	op->len = info->size;
	op->buf = target;
	*ret_target = target;
	return 0;
}

int f3_store_target_got(const struct f3_obj_op *op, char *target)
{
	if (op->result)
		return op->result;
	if (op->moved != op->len || memchr(target, 0, op->len))
		return -EINVAL;
	target[op->len] = '\0';
	return 0;
}

bool f3_store_target_unreadable(int r)
{
	return r == -EINVAL || r == -ENOENT || r == -ESTALE;
}

int f3_store_dir_target(struct f3_volume *v, const char *key, struct f3_merge_name *m)
{
	struct f3_obj_op op;
	int r;

	if (!m->info || f3_store_attr_type(m->info) != S_IFLNK)
		return 0;
	r = f3_store_target_ask(&op, key, m->info, &m->target);
	if (!r) {
		(void)f3_store_run(v, &op);
		r = f3_store_target_got(&op, m->target);
		f3_object_op_done(&op);
	}
	if (f3_store_target_unreadable(r)) {
		m->info = NULL;
		r = 0;
	}
	return r;
}

/* ---- At open ---- */

#define LOOK_AGAIN 1
#define LOOKS_MAX 16 /* a file that is renamed all the time */

/* What the store is asked about an inode: its name, and the object of that name. */
struct question {
	struct f3_inode *dir; /* referenced */
	char name[F3_NAME_MAX + 1];
	char key[F3_KEY_MAX + 1];
	uint64_t asked_ns;
};

/* -ENOENT: it has no name, there is nothing to ask. */
static int question_init(struct f3_core *core, struct f3_inode *inode, struct question *q)
{
	uint64_t parent;
	int r;

	q->asked_ns = f3_clock_mono_ns();
	f3_lock(&inode->lock);
	parent = inode->dead ? 0 : inode->rec.parent;
	memcpy(q->name, inode->rec.name, sizeof(q->name));
	f3_unlock(&inode->lock);
	r = parent ? f3_inode_get(core, parent, &q->dir) : -ENOENT;
	if (r)
		return r;
	r = f3_ns_key(core, q->dir, q->name, q->key, sizeof(q->key));
	if (r)
		f3_inode_put(core, q->dir);
	return r == -ESTALE ? -ENOENT : r;
}

/*
 * Names here agree with the store now. 0: the inode is what an open may show: the name leads to it,
 * or it was taken away by a program of this node just now, which came after the open. -ESTALE: the
 * store has something else. LOOK_AGAIN: it was renamed just now, and the question is another one.
 */
static int still_named(struct f3_core *core, struct f3_inode *inode, const struct question *q)
{
	struct f3_meta_name found;
	int r = f3_meta_get_name(core->meta, q->dir->ino, q->name, strlen(q->name), &found);

	if (!r && found.ino == inode->ino)
		return 0;
	f3_lock(&inode->lock);
	if (inode->superseded)
		r = -ESTALE;
	else if (!inode->rec.nlink)
		r = 0;
	else if (inode->rec.parent != q->dir->ino || strcmp(inode->rec.name, q->name) != 0)
		r = LOOK_AGAIN;
	else
		r = -ESTALE;
	f3_unlock(&inode->lock);
	return r;
}

static int content_moved(struct f3_core *core, struct f3_inode *inode, const struct question *q,
			 const struct f3_obj_info *info)
{
	struct f3_merge_name m = { .info = info, .asked = true };
	bool unsure;
	int r;

	memcpy(m.name, q->name, sizeof(m.name));
	r = f3_store_dir_target(inode->volume, q->key, &m);
	if (!r)
		r = f3_store_merge(core, q->dir, &m, 1, q->asked_ns, &unsure);
	free(m.target);
	return r ? r : still_named(core, inode, q);
}

/*
 * The store has another object, or none, the record stays as it is, and bytes are to come from there.
 * A change of attributes on its way may have made that object, or may come to nothing because somebody
 * else did: while it is not known which, neither etag can be asked for. True: it is now.
 */
static bool await_attr(struct f3_inode *inode, const char *etag)
{
	const struct f3_inode_rec *rec = &inode->rec;
	struct f3_blocker b;
	bool differs;

	f3_lock(&inode->lock);
	differs = strcmp(rec->etag, etag) != 0 && !f3_file_complete(inode) &&
		  !(rec->flags & F3_INO_DIRTY) && rec->state != F3_STATE_WRITING;
	f3_unlock(&inode->lock);
	if (!differs)
		return false;
	f3_blocker_init(&b);
	if (f3_journal_wait_ino(inode->volume, inode->ino, &b.w) == 1)
		(void)f3_blocker_wait(&b); /* whatever came of it: the next look tells */
	f3_blocker_done(&b);
	return true;
}

static int check_once(struct f3_core *core, struct f3_inode *inode, bool bytes, bool may_await)
{
	const struct f3_obj_caps *caps = &inode->volume->store->caps;
	struct f3_fetched got = { .buf = NULL };
	struct question q;
	struct f3_obj_op op;
	bool same = false;
	int r = question_init(core, inode, &q);

	if (r)
		return r == -ENOENT ? 0 : r;
	/* That a directory has got the name meanwhile is for the next lookup. */
	if (bytes)
		r = f3_fetch_first(core, inode, q.key, &op, &got);
	else
		r = f3_store_head(inode->volume, &op, q.key, F3_OBJ_WANT_OBJECT);
	f3_journal_health(inode->volume, r, op.message);
	if (!r) {
		f3_lock(&inode->lock);
		same = !strcmp(op.info.etag, inode->rec.etag) &&
		       (caps->list_has_attr || f3_store_attr_proved(&op.info, &inode->rec));
		if (same)
			inode->checked_mono_ns = q.asked_ns;
		f3_unlock(&inode->lock);
	}
	if (!r && !same) {
		r = content_moved(core, inode, &q, &op.info);
		if (!r && may_await && await_attr(inode, op.info.etag))
			r = LOOK_AGAIN;
	} else if (r == -ENOENT) {
		r = content_moved(core, inode, &q, NULL);
		if (!r && may_await && await_attr(inode, ""))
			r = LOOK_AGAIN;
	} else if (r && f3_store_transient(r)) {
		f3_lock(&inode->lock);
		r = f3_file_complete(inode) ? 0 : -EIO;
		f3_unlock(&inode->lock);
	}
	if (!r)
		f3_fetch_take(core, inode, &op, &got);
	f3_fetched_done(core, &got);
	f3_object_op_done(&op);
	f3_inode_put(core, q.dir);
	return r;
}

int f3_store_inode_check(struct f3_core *core, struct f3_inode *inode, bool bytes)
{
	int r = LOOK_AGAIN;

	for (int looks = 0; r == LOOK_AGAIN && looks < LOOKS_MAX; looks++)
		r = check_once(core, inode, bytes, looks == 0);
	return r == LOOK_AGAIN ? -ESTALE : r;
}
