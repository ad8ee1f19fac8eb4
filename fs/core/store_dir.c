/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/store_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/core/escape.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"
#include "fs/core/store_attr.h"
#include "fs/core/store_op.h"
#include "fs/core/store_seen.h"
#include "fs/meta/key.h"

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

/* A listing of its directory says as much as a question about it. */
static bool listed_lately(struct f3_core *core, const struct f3_volume *v, uint64_t parent)
{
	struct f3_inode *dir;
	bool fresh;

	if (!v->store->caps.list_has_attr)
		return false;
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
	bool fresh;

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
	f3_unlock(&inode->lock);
	return fresh || listed_lately(core, inode->volume, parent);
}

/* ---- Asking ---- */

static int read_target(struct f3_volume *v, const char *key, const struct f3_obj_info *info,
		       char **ret_target)
{
	struct f3_obj_op op;
	char *target;
	int r;

	if (!info->size || info->size > F3_SYMLINK_MAX)
		return -EINVAL;
	target = malloc(info->size + 1);
	if (!target)
		return -ENOMEM;
	f3_object_op_init(&op, F3_OBJ_GET);
	op.key = key;
	op.cond = F3_OBJ_MATCH;
	op.etag = info->etag;
	op.len = info->size;
	op.buf = target;
	r = f3_store_run(v, &op);
	if (!r && (op.moved != info->size || memchr(target, 0, info->size)))
		r = -EINVAL;
	f3_object_op_done(&op);
	if (r) {
		free(target);
		return r;
	}
	target[info->size] = '\0';
	*ret_target = target;
	return 0;
}

/* The targets of links are asked for as they are found: readlink(2) has no other chance. One that
 * cannot be read is not shown. */
static int add_target(struct f3_volume *v, const char *key, struct f3_merge_name *m)
{
	int r;

	if (!m->info || f3_store_attr_type(m->info) != S_IFLNK)
		return 0;
	r = read_target(v, key, m->info, &m->target);
	if (r == -EINVAL || r == -ENOENT || r == -ESTALE) {
		m->info = NULL;
		r = 0;
	}
	return r;
}

int f3_store_dir_lookup(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len)
{
	uint64_t asked = f3_clock_mono_ns();
	struct f3_merge_name m = { .info = NULL };
	char key[F3_KEY_MAX + 1];
	struct f3_meta_name found;
	struct f3_obj_op op;
	bool unsure;
	int r = f3_ns_key(core, dir, name, key, sizeof(key));

	/* A name no object can have. */
	if (r == -EINVAL || r == -ENAMETOOLONG)
		return 0;
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	memcpy(m.name, name, len);
	m.name[len] = '\0';
	r = f3_store_head(dir->volume, &op, key);
	f3_journal_health(dir->volume, r, op.message);
	if (!r) {
		m.info = &op.info;
		r = add_target(dir->volume, key, &m);
	} else if (r == -ENOENT) {
		r = 0;
	}
	if (!r)
		r = f3_store_merge(core, dir, &m, 1, asked, &unsure);
	else if (f3_store_transient(r))
		r = f3_meta_get_name(core->meta, dir->ino, name, len, &found) ? -EIO : 0;
	free(m.target);
	f3_object_op_done(&op);
	return r;
}

/* ---- Listing ---- */

/* What one takes: a page of the store's answer, the names it has read ahead, those being merged,
 * the cookies of those that were seen. */
#define LISTING_BYTES (2u << 20)

struct listing {
	struct f3_core *core;
	struct f3_inode *dir;
	char key[F3_KEY_MAX + 1];
	uint64_t asked_ns;
	struct f3_seen *seen;
	struct f3_merge_name *names; /* F3_MERGE_MAX */
	size_t n;
	bool unsure;
};

static int flush(struct listing *l)
{
	bool unsure = false;
	int r = l->n ? f3_store_merge(l->core, l->dir, l->names, l->n, l->asked_ns, &unsure) : 0;

	for (size_t i = 0; i < l->n; i++) {
		free(l->names[i].target);
		l->names[i].target = NULL;
	}
	l->n = 0;
	l->unsure |= unsure;
	return r;
}

static int link_key(const struct listing *l, const char *name, char *out, size_t size)
{
	size_t len = strlen(l->key), n = strlen(name);

	if (len + n + 2 > size)
		return -ENAMETOOLONG;
	memcpy(out, l->key, len);
	if (len)
		out[len++] = '/';
	memcpy(out + len, name, n + 1);
	return 0;
}

static int take_entry(struct listing *l, const struct f3_obj_entry *entry, bool beside)
{
	struct f3_merge_name *m = &l->names[l->n];
	char key[F3_KEY_MAX + 1];
	int r = f3_escape_name(entry->name, strlen(entry->name), beside, m->name);

	/* It has no name here. */
	if (r)
		return 0;
	if (!f3_store_attr_type(&entry->info))
		return 0;
	m->info = &entry->info;
	m->target = NULL;
	r = link_key(l, entry->name, key, sizeof(key));
	if (!r)
		r = add_target(l->dir->volume, key, m);
	if (r || !m->info)
		return r;
	r = f3_seen_add(l->seen,
			f3_key_cookie(f3_meta_seed(l->core->meta), m->name, strlen(m->name)));
	if (!r && ++l->n == F3_MERGE_MAX)
		r = flush(l);
	return r;
}

static int take_page(struct listing *l, const struct f3_obj_op *op)
{
	int r = 0;

	for (size_t i = 0; i < op->n_entries && !r; i++) {
		const struct f3_obj_entry *e = &op->entries[i];
		bool beside = false;

		/* An object with a directory of its name. */
		if (!e->info.is_dir) {
			beside = i > 0 && e[-1].info.is_dir && !strcmp(e[-1].name, e->name);
			beside |= i + 1 < op->n_entries && e[1].info.is_dir &&
				  !strcmp(e[1].name, e->name);
		}
		r = take_entry(l, e, beside);
	}
	/* The page's memory goes with it. */
	return r ? r : flush(l);
}

static int ask_all(struct listing *l)
{
	char after[F3_KEY_MAX + 1] = "";
	bool more = true;
	int r = 0;

	while (!r && more) {
		struct f3_obj_op op;

		f3_object_op_init(&op, F3_OBJ_LIST);
		op.key = l->key;
		op.after = after[0] ? after : NULL;
		r = f3_store_run(l->dir->volume, &op);
		f3_journal_health(l->dir->volume, r, op.message);
		more = !r && op.more && op.n_entries;
		if (!r)
			r = take_page(l, &op);
		if (!r && more) {
			const char *last = op.entries[op.n_entries - 1].name;

			if (strlen(last) >= sizeof(after))
				r = -EBADMSG;
			else
				memcpy(after, last, strlen(last) + 1);
		}
		f3_object_op_done(&op);
	}
	return r == -ENOENT ? 0 : r;
}

static int take_one_vanished(struct listing *l, const char *name, size_t len)
{
	struct f3_merge_name *m = &l->names[l->n];

	memcpy(m->name, name, len);
	m->name[len] = '\0';
	m->info = NULL;
	m->target = NULL;
	return ++l->n == F3_MERGE_MAX ? flush(l) : 0;
}

/* Names here that the listing does not have. */
static int take_vanished(struct listing *l)
{
	struct f3_meta_name found;
	struct f3_meta_dir *d;
	const char *name;
	size_t len;
	int r;

	r = f3_meta_dir_open(l->core->meta, l->dir->ino, 0, &d);
	if (r)
		return r;
	while (!r && (r = f3_meta_dir_next(d, &found, &name, &len)) == 1) {
		r = f3_seen_has(l->seen, found.cookie);
		if (r == 1)
			r = 0;
		else if (!r)
			r = take_one_vanished(l, name, len);
	}
	f3_meta_dir_close(d);
	return r ? r : flush(l);
}

int f3_store_dir_list(struct f3_core *core, struct f3_inode *dir)
{
	struct listing *l;
	int r;

	if (!f3_ns_dir_in_store(dir) || dir->dead)
		return 0;
	r = f3_budget_take(core->budget, F3_ACCT_LISTS, LISTING_BYTES);
	if (r)
		return r;
	l = calloc(1, sizeof(*l));
	if (!l) {
		f3_budget_give(core->budget, F3_ACCT_LISTS, LISTING_BYTES);
		return -ENOMEM;
	}
	l->core = core;
	l->dir = dir;
	l->asked_ns = f3_clock_mono_ns();
	l->names = calloc(F3_MERGE_MAX, sizeof(*l->names));
	r = l->names ? f3_seen_new(core->cache_dir, &l->seen) : -ENOMEM;
	if (!r)
		r = f3_inode_key(core, dir->ino, l->key, sizeof(l->key));
	if (!r)
		r = ask_all(l);
	if (!r)
		r = take_vanished(l);
	f3_lock(&dir->lock);
	if (!r && !l->unsure)
		dir->listed_mono_ns = l->asked_ns;
	/* All names were seen once: they are served until the store answers again. */
	if (r && f3_store_transient(r))
		r = dir->listed_mono_ns ? 0 : -EIO;
	f3_unlock(&dir->lock);
	f3_seen_free(l->seen);
	f3_budget_give(core->budget, F3_ACCT_LISTS, LISTING_BYTES);
	free(l->names);
	free(l);
	return r == -ENOENT ? -ESTALE : r;
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
	struct f3_merge_name m = { .info = info };
	bool unsure;
	int r;

	memcpy(m.name, q->name, sizeof(m.name));
	r = add_target(inode->volume, q->key, &m);
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

static int check_once(struct f3_core *core, struct f3_inode *inode, bool may_await)
{
	struct question q;
	struct f3_obj_op op;
	bool same = false;
	int r = question_init(core, inode, &q);

	if (r)
		return r == -ENOENT ? 0 : r;
	r = f3_store_head(inode->volume, &op, q.key);
	f3_journal_health(inode->volume, r, op.message);
	if (!r) {
		f3_lock(&inode->lock);
		same = !op.info.is_dir && !strcmp(op.info.etag, inode->rec.etag);
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
	f3_object_op_done(&op);
	f3_inode_put(core, q.dir);
	return r;
}

int f3_store_inode_check(struct f3_core *core, struct f3_inode *inode)
{
	int r = LOOK_AGAIN;

	for (int looks = 0; r == LOOK_AGAIN && looks < LOOKS_MAX; looks++)
		r = check_once(core, inode, looks == 0);
	return r == LOOK_AGAIN ? -ESTALE : r;
}
