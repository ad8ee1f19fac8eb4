/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_list: all names of a directory, brought in line with the store page by page.
 *
 * Memory is bounded whatever the directory holds: a page of the store's answer, the names being
 * merged, the cookies of those that were seen (store_seen.h), and objects of which it is not known
 * yet whether a directory of their name follows. Those are a chain of prefixes, see struct later.
 */
#include "config.h"

#include "fs/core/store_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/core/escape.h"
#include "fs/core/journal_run.h"
#include "fs/core/ns.h"
#include "fs/core/store_attr.h"
#include "fs/core/store_op.h"
#include "fs/core/store_seen.h"
#include "fs/meta/key.h"

/* What one takes: a page of the store's answer, the names it has read ahead, those being merged,
 * the cookies of those that were seen. */
#define LISTING_BYTES (2u << 20)

/*
 * An object whose directory, if there is one, is on a page to come. All that the store lists between
 * the two begins with the object's name (F3_OBJ_LIST in object.h), so at any time those that still
 * wait are prefixes of one name: no more than a name has bytes. The rest of what they hold is the
 * xattrs of a page at most.
 */
struct later {
	struct later *below; /* a shorter prefix */
	char name[F3_NAME_MAX + 1];
	struct f3_obj_info info;
	void *xattrs;
};

#define LATER_XATTRS_MAX (1u << 20)

struct listing {
	struct f3_core *core;
	struct f3_inode *dir;
	char key[F3_KEY_MAX + 1], cursor[F3_OBJ_CURSOR_MAX + 1];
	uint64_t asked_ns;
	struct f3_seen *seen;
	struct later *later, *taken; /* the longest first; those among names */
	size_t later_xattrs;
	struct f3_merge_name *names; /* F3_MERGE_MAX */
	size_t n;
	bool unsure;
};

static void free_all(struct later *l)
{
	while (l) {
		struct later *below = l->below;

		free(l->xattrs);
		free(l);
		l = below;
	}
}

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
	free_all(l->taken);
	l->taken = NULL;
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

/* The name here of what the store lists. False: it has none. */
static bool name_here(const struct listing *l, const char *name, bool beside,
		      char ret_name[F3_NAME_MAX + 1])
{
	char plain[F3_NAME_MAX + 1];
	size_t len = strlen(name);

	/* Keys that begin with a slash: that of the first would be the root's. */
	if (!len && !l->key[0])
		return false;
	if (f3_escape_name(name, len, beside, ret_name))
		return false;
	/* The directory of this name is escaped too, and wins. */
	return !beside || f3_escape_name(name, len, false, plain) || strcmp(plain, ret_name) != 0;
}

static int take_entry(struct listing *l, const char *name, const struct f3_obj_info *info,
		      bool beside)
{
	struct f3_merge_name *m = &l->names[l->n];
	char key[F3_KEY_MAX + 1];
	int r;

	if (!name_here(l, name, beside, m->name) || !f3_store_attr_type(info))
		return 0;
	m->info = info;
	m->target = NULL;
	r = link_key(l, name, key, sizeof(key));
	if (!r)
		r = f3_store_dir_target(l->dir->volume, key, m);
	if (r || !m->info)
		return r;
	r = f3_seen_add(l->seen,
			f3_key_cookie(f3_meta_seed(l->core->meta), m->name, strlen(m->name)));
	if (!r && ++l->n == F3_MERGE_MAX)
		r = flush(l);
	return r;
}

enum answer { NO, YES, NOT_YET };

/* Is there a directory of the object's name? As far as a later entry tells. */
static enum answer has_directory(const char *object, const struct f3_obj_entry *e)
{
	size_t len = strlen(object);

	if (strncmp(e->name, object, len) != 0)
		return NO;
	if (!e->name[len])
		return e->info.is_dir ? YES : NOT_YET;
	return (unsigned char)e->name[len] < '/' ? NOT_YET : NO;
}

static int put_off(struct listing *l, const struct f3_obj_entry *e)
{
	size_t len = strlen(e->name), xattrs = e->info.attr.xattrs ? e->info.attr.xattrs_len : 0;
	struct later *later;

	if (len > F3_NAME_MAX)
		return 0;
	later = calloc(1, sizeof(*later));
	if (!later)
		return -ENOMEM;
	memcpy(later->name, e->name, len + 1);
	later->info = e->info;
	later->info.attr.xattrs = NULL;
	later->info.attr.xattrs_len = 0;
	if (l->later_xattrs + xattrs > LATER_XATTRS_MAX) {
		later->info.have_attr = false;
	} else if (xattrs) {
		later->xattrs = malloc(xattrs);
		if (!later->xattrs) {
			free(later);
			return -ENOMEM;
		}
		memcpy(later->xattrs, e->info.attr.xattrs, xattrs);
		later->info.attr.xattrs = later->xattrs;
		later->info.attr.xattrs_len = xattrs;
		l->later_xattrs += xattrs;
	}
	later->below = l->later;
	l->later = later;
	return 0;
}

/* Takes what was put off and is decided by this entry, or by the end of all (NULL). */
static int take_later(struct listing *l, const struct f3_obj_entry *e)
{
	int r = 0;

	while (!r && l->later) {
		struct later *later = l->later;
		enum answer answer = e ? has_directory(later->name, e) : NO;

		if (answer == NOT_YET)
			break;
		l->later = later->below;
		l->later_xattrs -= later->info.attr.xattrs_len;
		later->below = l->taken;
		l->taken = later;
		r = take_entry(l, later->name, &later->info, answer == YES);
	}
	return r;
}

static int take_page(struct listing *l, const struct f3_obj_op *op)
{
	int r = 0;

	for (size_t i = 0; i < op->n_entries && !r; i++) {
		const struct f3_obj_entry *e = &op->entries[i];
		enum answer answer = e->info.is_dir ? NO : NOT_YET;

		r = take_later(l, e);
		for (size_t next = i + 1; answer == NOT_YET && next < op->n_entries; next++)
			answer = has_directory(e->name, &op->entries[next]);
		if (!r)
			r = answer == NOT_YET && op->ret_next ?
				    put_off(l, e) :
				    take_entry(l, e->name, &e->info, answer == YES);
	}
	if (!r && !op->ret_next)
		r = take_later(l, NULL);
	/* The page's memory goes with it. */
	return r ? r : flush(l);
}

static int ask_all(struct listing *l)
{
	char *seen = malloc(F3_OBJ_CURSOR_MAX + 1);
	uint64_t pages = 0;
	bool more = true;
	int r = seen ? 0 : -ENOMEM;

	while (!r && more) {
		struct f3_obj_op op;

		f3_object_op_init(&op, F3_OBJ_LIST);
		op.key = l->key;
		op.after = l->cursor[0] ? l->cursor : NULL;
		r = f3_store_run(l->dir->volume, &op);
		f3_journal_health(l->dir->volume, r, op.message);
		if (!r)
			r = take_page(l, &op);
		more = !r && op.ret_next;
		if (more && strlen(op.ret_next) >= sizeof(l->cursor))
			r = -EIO;
		else if (more)
			memcpy(l->cursor, op.ret_next, strlen(op.ret_next) + 1);
		f3_object_op_done(&op);
		/* Pages in a circle come by one that was noted, and those that are noted lie further and
		 * further apart. */
		if (more && pages && !strcmp(seen, l->cursor))
			r = -EIO;
		if ((pages & (pages + 1)) == 0)
			memcpy(seen, l->cursor, sizeof(l->cursor));
		pages++;
	}
	free(seen);
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
	free_all(l->later);
	free_all(l->taken);
	f3_budget_give(core->budget, F3_ACCT_LISTS, LISTING_BYTES);
	free(l->names);
	free(l);
	return r == -ENOENT ? -ESTALE : r;
}
