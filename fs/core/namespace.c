/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/namespace.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/text.h"
#include "fs/core/activation.h"
#include "fs/core/authority.h"
#include "fs/core/escape.h"
#include "fs/core/evict.h"
#include "fs/core/expect.h"
#include "fs/core/fetch.h"
#include "fs/core/journal_run.h"
#include "fs/core/move.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"
#include "fs/core/store_dir.h"

int f3_ns_name_check(const char *name, size_t *ret_len)
{
	size_t len = strlen(name);

	if (!len)
		return -EINVAL;
	if (len > F3_NAME_MAX)
		return -ENAMETOOLONG;
	*ret_len = len;
	return 0;
}

void f3_ns_dir_mark(struct f3_core *core, struct f3_inode *dir)
{
	struct f3_batch *b;

	if (f3_batch_new(core->meta, &b))
		return;
	f3_lock(&dir->lock);
	if (!dir->dead) {
		f3_stage_attr_mark(dir, b);
		f3_batch_put_inode(b, &dir->rec);
		(void)f3_batch_commit(b);
	}
	f3_unlock(&dir->lock);
	f3_batch_free(b);
	f3_stage_attr_changed(core, dir);
}

/* A directory that is there only for what others put below it outlasts that from its first change here
 * on, as directories do. */
static void mark_implicit(struct f3_core *core, struct f3_inode *dir)
{
	bool implicit;

	if (!f3_ns_dir_in_store(dir))
		return;
	f3_lock(&dir->lock);
	implicit = (dir->rec.flags & (F3_INO_IMPLICIT | F3_INO_ATTR_DIRTY)) == F3_INO_IMPLICIT;
	f3_unlock(&dir->lock);
	if (implicit)
		f3_ns_dir_mark(core, dir);
}

int f3_ns_dir_get(struct f3_core *core, uint64_t ino, struct f3_inode **ret_dir)
{
	struct f3_inode *dir;
	int r = f3_inode_get(core, ino, &dir);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	if (!S_ISDIR(dir->rec.mode))
		r = -ENOTDIR;
	else if (!dir->volume)
		r = -EPERM;
	else
		r = f3_authority_here(core, dir->volume);
	if (r) {
		f3_inode_put(core, dir);
		return r;
	}
	mark_implicit(core, dir);
	*ret_dir = dir;
	return 0;
}

bool f3_ns_dir_in_store(const struct f3_inode *dir)
{
	return dir->volume && dir->volume->store && !dir->local_tree;
}

uint8_t f3_ns_dtype(mode_t mode)
{
	return (uint8_t)((mode & S_IFMT) >> 12);
}

/* What a directory hands down: its own class and stream xattr, or its nearest ancestor's. A loop:
 * programs nest directories as deep as they like. */
static int inherit(struct f3_core *core, struct f3_inode *dir, enum f3_class *ret_class,
		   int *ret_stream)
{
	uint32_t epoch = core->inherit_epoch;
	enum f3_class class_ = F3_CLASS_NONE;
	struct f3_inode *at = dir;
	int stream = -1, r;
	uint64_t parent;
	bool known;

	for (;;) {
		f3_lock(&at->lock);
		known = at->inherit_epoch == epoch;
		if (class_ == F3_CLASS_NONE && known)
			class_ = (enum f3_class)at->inherited_class;
		else if (class_ == F3_CLASS_NONE && at->rec.class_source == F3_FROM_OWN)
			class_ = (enum f3_class)at->rec.class_;
		if (stream < 0 && known)
			stream = at->inherited_stream;
		else if (stream < 0 && (at->rec.flags & (F3_INO_STREAM | F3_INO_STREAM_OFF)))
			stream = (at->rec.flags & F3_INO_STREAM) != 0;
		parent = at->rec.parent;
		f3_unlock(&at->lock);
		if (at != dir)
			f3_inode_put(core, at);
		if (known || (class_ != F3_CLASS_NONE && stream >= 0) || !parent ||
		    parent == F3_INO_ROOT)
			break;
		r = f3_inode_get(core, parent, &at);
		if (r)
			return r;
	}
	f3_lock(&dir->lock);
	dir->inherited_class = (uint8_t)class_;
	dir->inherited_stream = (int8_t)stream;
	dir->inherit_epoch = epoch;
	f3_unlock(&dir->lock);
	*ret_class = class_;
	*ret_stream = stream;
	return 0;
}

/* The path of a name below dir, in its volume. */
static int path_of(struct f3_core *core, struct f3_inode *dir, const char *name,
		   char path[PATH_MAX])
{
	size_t len, name_len = strlen(name);
	int r = f3_inode_path(core, dir->ino, path, PATH_MAX);

	if (r)
		return r;
	len = strlen(path);
	if (len == 1)
		len = 0;
	if (len + name_len + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	path[len] = '/';
	memcpy(path + len + 1, name, name_len + 1);
	return 0;
}

int f3_ns_place(struct f3_core *core, struct f3_inode *dir, const char *name, bool is_dir,
		const struct f3_caller *who, struct f3_placement_result *ret)
{
	struct f3_activation *act = who ? f3_act_of(core, who->pid) : NULL;
	struct f3_placement_query q = {
		.path = "",
		.is_dir = is_dir,
		.in_local_tree = dir->local_tree,
	};
	bool hinted = act && act->spec.outputs.n_rules;
	bool followed = !is_dir && atomic_load_explicit(&core->n_followed, memory_order_relaxed);
	char path[PATH_MAX];
	const char *seen;
	int r = inherit(core, dir, &q.inherited, &q.inherited_stream);

	q.own_stream = -1;
	if (!r && (hinted || followed || f3_placement_needs_path(&dir->volume->placement))) {
		r = path_of(core, dir, name, path);
		q.path = path;
	}
	if (!r && hinted) {
		seen = f3_act_path(act, dir->volume, path);
		if (seen)
			f3_placement_hint(&act->spec.outputs, seen, is_dir, &q.hint,
					  &q.hint_stream);
	}
	if (!r && followed && f3_act_follows(core, dir->volume, path))
		q.hint_stream = true;
	f3_act_put(act);
	return r ? r : f3_placement_decide(&dir->volume->placement, &q, ret);
}

void f3_ns_change_begin(struct f3_ns_change *ch, struct f3_batch *b,
			struct f3_inode *const inodes[F3_NS_CHANGE_MAX])
{
	ch->b = b;
	for (unsigned i = 0; i < F3_NS_CHANGE_MAX; i++) {
		ch->inodes[i] = inodes[i];
		ch->locks[i] = inodes[i] ? &inodes[i]->lock : NULL;
	}
	f3_lock_many(ch->locks, F3_NS_CHANGE_MAX);
	for (unsigned i = 0; i < F3_NS_CHANGE_MAX; i++) {
		if (!ch->inodes[i])
			continue;
		ch->was[i].rec = ch->inodes[i]->rec;
		ch->was[i].dead = ch->inodes[i]->dead;
	}
}

int f3_ns_change_end(struct f3_ns_change *ch, int r)
{
	if (!r)
		r = f3_batch_commit(ch->b);
	/* After the commit: whoever reads the new number sees the new names. */
	for (unsigned i = 0; i < F3_NS_CHANGE_MAX; i++)
		if (ch->inodes[i] && S_ISDIR(ch->inodes[i]->rec.mode))
			atomic_fetch_add(&ch->inodes[i]->names_epoch, 1);
	for (unsigned i = 0; r && i < F3_NS_CHANGE_MAX; i++) {
		if (!ch->inodes[i])
			continue;
		ch->inodes[i]->rec = ch->was[i].rec;
		ch->inodes[i]->dead = ch->was[i].dead;
	}
	f3_unlock_many(ch->locks, F3_NS_CHANGE_MAX);
	for (unsigned i = 0; !r && i < F3_NS_CHANGE_MAX; i++)
		if (ch->inodes[i])
			f3_expect_changed(ch->inodes[i]->core, ch->inodes[i]->ino);
	return r;
}

void f3_ns_dir_count(struct f3_inode *dir, int names, int subdirs, int64_t now_ns,
		     struct f3_batch *b)
{
	dir->rec.size += (uint64_t)(int64_t)names;
	dir->rec.nlink += (uint32_t)subdirs;
	dir->rec.mtime_ns = dir->rec.ctime_ns = now_ns;
	f3_batch_put_inode(b, &dir->rec);
}

void f3_ns_dir_changed(struct f3_inode *dir, int names, int subdirs, int64_t now_ns,
		       struct f3_batch *b)
{
	f3_lock(&dir->lock);
	f3_ns_dir_count(dir, names, subdirs, now_ns, b);
	f3_unlock(&dir->lock);
}

void f3_ns_set_name(struct f3_inode *inode, uint64_t parent, const char *name, size_t len)
{
	inode->rec.parent = parent;
	inode->rec.name_len = (uint8_t)len;
	memcpy(inode->rec.name, name, len);
	inode->rec.name[len] = '\0';
}

uint64_t f3_ns_name_ttl(struct f3_core *core, const struct f3_inode *dir)
{
	uint64_t ttl = core->opt.entry_ttl_ns;

	if (f3_ns_dir_in_store(dir) && ttl > dir->volume->attr_ttl_ns)
		ttl = dir->volume->attr_ttl_ns;
	return ttl;
}

void f3_ns_fill_attr(struct f3_core *core, struct f3_inode *inode, struct f3_entry *ret_e)
{
	(void)f3_file_stat(core, inode, &ret_e->st);
	ret_e->ino = inode->ino;
	ret_e->attr_ttl_ns = f3_file_attr_ttl(core, inode);
	ret_e->entry_ttl_ns = 0;
}

void f3_ns_fill_entry(struct f3_core *core, const struct f3_inode *dir, struct f3_inode *inode,
		      struct f3_entry *ret_e)
{
	f3_ns_fill_attr(core, inode, ret_e);
	ret_e->entry_ttl_ns = f3_ns_name_ttl(core, dir);
}

void f3_ns_fill_new_entry(struct f3_core *core, const struct f3_inode *dir, struct f3_inode *inode,
			  struct f3_entry *ret_e)
{
	f3_lock(&inode->lock);
	f3_file_stat_rec(&inode->rec, &ret_e->st);
	f3_unlock(&inode->lock);
	ret_e->ino = inode->ino;
	ret_e->attr_ttl_ns = f3_file_attr_ttl(core, inode);
	ret_e->entry_ttl_ns = f3_ns_name_ttl(core, dir);
}

int f3_ns_entry(struct f3_core *core, uint64_t parent, uint64_t ino, struct f3_entry *ret_e)
{
	struct f3_inode *dir, *inode;
	int r = f3_inode_get(core, parent, &dir);

	if (r)
		return r;
	r = f3_inode_get(core, ino, &inode);
	if (!r)
		f3_ns_fill_entry(core, dir, inode, ret_e);
	f3_inode_put(core, dir);
	f3_inode_put(core, r ? NULL : inode);
	return r;
}

int f3_ns_tell(struct f3_volume *v, struct f3_journal_entry *entry, bool durable,
	       struct f3_ns_told *told)
{
	int r;

	told->e = entry;
	told->task = NULL;
	told->held = false;
	if (!durable)
		return 0;
	r = f3_journal_tell(v, entry, &told->task);
	told->held = !r;
	return r;
}

int f3_ns_told_batch(struct f3_volume *v, struct f3_ns_told *told, struct f3_batch *b)
{
	int r = 0;

	if (!told->e)
		return 0;
	if (told->held) {
		f3_batch_del_journal(b, told->e->seq);
	} else {
		r = f3_journal_announce(v, told->e, F3_JOURNAL_ACKED | F3_JOURNAL_RETRY,
					&told->task);
		if (!r)
			f3_batch_put_journal(b, told->e);
	}
	return r;
}

/* The store has done it and the names here have not followed: they will be brought in line with it
 * like after a change of somebody else's. */
static void drop_held(struct f3_core *core, struct f3_ns_told *told)
{
	struct f3_batch *b;

	if (f3_batch_new(core->meta, &b))
		return; /* the next start does it */
	f3_batch_del_journal(b, told->e->seq);
	(void)f3_batch_commit(b);
	f3_batch_free(b);
}

void f3_ns_told_done(struct f3_core *core, struct f3_ns_told *told, int r)
{
	if (told->held && r)
		drop_held(core, told);
	if (told->held)
		f3_journal_settle(told->task);
	else if (told->task && r)
		(void)f3_journal_withdraw(told->task);
	else if (told->task)
		f3_journal_begin(told->task, 0, NULL);
	free(told->e);
	told->e = NULL;
	told->task = NULL;
	told->held = false;
}

int f3_ns_key(struct f3_core *core, struct f3_inode *dir, const char *name, char *out, size_t size)
{
	char object[F3_NAME_MAX + 1];
	size_t len, n;
	int r = f3_inode_key(core, dir->ino, out, size);

	if (!r)
		r = f3_unescape_name(name, strlen(name), object);
	if (r)
		return r;
	if (dir->volume->store && dir->volume->store->caps.utf8_keys &&
	    !f3_utf8_text(name, strlen(name)))
		return -EINVAL;
	len = strlen(out);
	n = strlen(object);
	if (len + n + 2 > size)
		return -ENAMETOOLONG;
	if (len)
		out[len++] = '/';
	memcpy(out + len, object, n + 1);
	/* F3's own; and what would be the root again. */
	return out[0] && strcmp(out, ".f3") ? 0 : -EINVAL;
}

int f3_ns_key_check(struct f3_core *core, struct f3_inode *dir, const char *name,
		    enum f3_class class_)
{
	char key[F3_KEY_MAX + 1];

	if (!f3_class_in_store(class_) || !dir->volume->store)
		return 0;
	/* The object would be another name's. */
	if (f3_escape_reserved(name, strlen(name)))
		return -EINVAL;
	return f3_ns_key(core, dir, name, key, sizeof(key));
}

int f3_ns_commit_wait(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_blocker w;
	int r;

	f3_blocker_init(&w);
	r = f3_stage_commit(core, inode, &w.w);
	return r == 1 ? f3_blocker_wait(&w) : r;
}

int f3_ns_place_again(struct f3_core *core, struct f3_inode *dir, struct f3_inode *inode,
		      const char *name, const struct f3_caller *who)
{
	struct f3_placement_result place;
	enum f3_class_source source;
	enum f3_class now;
	bool is_dir;
	int r;

	f3_lock(&inode->lock);
	is_dir = S_ISDIR(inode->rec.mode);
	source = (enum f3_class_source)inode->rec.class_source;
	now = (enum f3_class)inode->rec.class_;
	f3_unlock(&inode->lock);
	if (is_dir || source == F3_FROM_OWN || source == F3_FROM_HINT)
		return 0;
	r = f3_ns_place(core, dir, name, false, who, &place);
	if (r || place.class_ == now)
		return r;
	r = f3_move_class(core, inode, place.class_, place.source, who);
	/* The name has changed: the call must not be made again. That it would have to wait was found
	 * out before, so what the directory hands down is newer than the name, and does not count. */
	return r == -F3_EWAIT ? 0 : r;
}

/* What a name leads to. Replaced in one step, a name leads to what was there or to what is: that the
 * first is gone, when it is looked for, does not mean that nothing is there. */
static int named_inode(struct f3_core *core, uint64_t dir, const char *name, size_t len,
		       struct f3_inode **ret_inode)
{
	struct f3_meta_name found;
	uint64_t gone = 0;
	int r;

	for (;;) {
		r = f3_meta_get_name(core->meta, dir, name, len, &found);
		if (r)
			return r;
		r = f3_inode_get(core, found.ino, ret_inode);
		if (r != -ENOENT || found.ino == gone)
			return r;
		gone = found.ino;
	}
}

#define MISSES_MANY 3
#define NAMES_FEW 2000

/* Programs that make many files ask for each name before. In a small directory one listing answers all of
 * them for a while. */
static bool worth_listing(struct f3_inode *dir)
{
	uint64_t now = f3_clock_mono_ns();
	bool worth;

	f3_lock(&dir->lock);
	if (now - dir->missed_mono_ns > dir->volume->attr_ttl_ns) {
		dir->missed_mono_ns = now;
		dir->missed = 0;
	}
	worth = ++dir->missed >= MISSES_MANY && dir->listed_mono_ns && dir->rec.size <= NAMES_FEW;
	f3_unlock(&dir->lock);
	return worth;
}

/* A name of a directory in the store that is not known, or known for too long. */
static int lookup_store(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len,
			const struct f3_caller *who)
{
	struct f3_inode *child;
	int r = named_inode(core, dir->ino, name, len, &child);
	bool fresh, list = false;

	if (r == -ENOENT) {
		fresh = f3_store_dir_fresh(core, dir);
		list = !fresh && who->may_block && worth_listing(dir);
	} else if (!r) {
		fresh = f3_store_inode_fresh(core, child);
		if (!fresh && who->may_block && f3_fetch_await(child))
			fresh = f3_store_inode_fresh(core, child);
		f3_inode_put(core, child);
	} else {
		return r;
	}
	if (fresh)
		return 0;
	if (!who->may_block)
		return -F3_EWAIT;
	/* One that the store did not answer, or that left names out, says nothing of this one. */
	if (list) {
		r = f3_store_dir_list(core, dir);
		if (r || f3_store_dir_fresh(core, dir))
			return r;
	}
	return f3_store_dir_lookup(core, dir, name, len);
}

int f3_ns_lookup(struct f3_core *core, uint64_t parent, const char *name,
		 const struct f3_caller *who, struct f3_entry *ret_e, uint64_t *ret_negative_ttl_ns)
{
	struct f3_inode *dir, *child = NULL;
	size_t len;
	int r = f3_ns_name_check(name, &len);

	if (r)
		return r;
	r = f3_inode_get(core, parent, &dir);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	if (!strcmp(name, ".") || !strcmp(name, "..")) {
		/* Asked for when a file handle is opened again. */
		uint64_t ino = name[1] && dir->rec.parent ? dir->rec.parent : dir->ino;

		r = f3_inode_get(core, ino, &child);
		if (!r)
			f3_ns_fill_entry(core, dir, child, ret_e);
		f3_inode_put(core, child);
		f3_inode_put(core, dir);
		return r;
	}
	*ret_negative_ttl_ns = core->opt.negative_ttl_ns;
	if (!S_ISDIR(dir->rec.mode)) {
		r = -ENOTDIR;
	} else if (f3_ns_dir_in_store(dir)) {
		if (*ret_negative_ttl_ns > dir->volume->attr_ttl_ns)
			*ret_negative_ttl_ns = dir->volume->attr_ttl_ns;
		r = lookup_store(core, dir, name, len, who);
	}
	if (!r)
		r = named_inode(core, parent, name, len, &child);
	if (!r)
		f3_ns_fill_entry(core, dir, child, ret_e);
	f3_inode_put(core, child);
	f3_inode_put(core, dir);
	return r;
}

int f3_ns_getattr(struct f3_core *core, uint64_t ino, struct f3_entry *ret_e)
{
	struct f3_inode *inode;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	f3_ns_fill_attr(core, inode, ret_e);
	f3_inode_put(core, inode);
	return 0;
}

int f3_ns_readlink(struct f3_core *core, uint64_t ino, char *out, size_t size)
{
	struct f3_inode *inode;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r;
	if (!S_ISLNK(inode->rec.mode) || !inode->rec.target) {
		r = -EINVAL;
	} else if (inode->rec.target_len >= size) {
		r = -ENAMETOOLONG;
	} else {
		memcpy(out, inode->rec.target, inode->rec.target_len);
		out[inode->rec.target_len] = '\0';
	}
	f3_inode_put(core, inode);
	return r;
}

/* What the volume's files may occupy here, and what is left of that: of the cache or, where they go
 * to memory, of that. An object tier has no end that could be shown. */
static int volume_space(struct f3_core *core, struct f3_volume *v, uint64_t evictable,
			uint64_t *ret_total, uint64_t *ret_left, uint64_t *ret_files)
{
	enum f3_class class_ = f3_volume_place(v);
	uint64_t limit = class_ == F3_CLASS_MEMORY ? 0 : f3_evict_limit(core), left;
	int r = f3_backing_space(f3_volume_backing(v, class_), ret_total, &left, ret_files);

	if (!r && limit && limit < *ret_total)
		*ret_total = limit;
	*ret_left = f3_volume_left(core, v, class_, evictable);
	return r;
}

struct whole_space {
	struct f3_core *core;
	uint64_t total, left, files;
	uint64_t evictable; /* clean copies: who needs their room has it */
};

/* The root shows what the volumes share: that of the one with the most of it, for others have
 * quotas. */
static void most_space(void *arg, struct f3_volume *v)
{
	struct whole_space *w = arg;
	uint64_t total, left, files;

	if (volume_space(w->core, v, w->evictable, &total, &left, &files) || total < w->total)
		return;
	if (total > w->total || left > w->left)
		w->left = left;
	w->total = total;
	w->files = files;
}

int f3_ns_statfs(struct f3_core *core, uint64_t ino, struct statvfs *ret_st)
{
	struct whole_space w = { .core = core, .evictable = f3_evict_evictable(core) };
	struct f3_inode *inode;
	struct f3_volume *v;
	uint64_t held = 0;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r;
	memset(ret_st, 0, sizeof(*ret_st));
	ret_st->f_bsize = ret_st->f_frsize = 4096;
	ret_st->f_namemax = F3_NAME_MAX;
	v = inode->volume;
	if (v) {
		r = volume_space(core, v, w.evictable, &w.total, &w.left, &w.files);
		if (v->quota_bytes)
			w.total = v->quota_bytes;
		held = v->used_inodes;
		if (v->quota_inodes)
			w.files = v->quota_inodes > held ? v->quota_inodes - held : 0;
		ret_st->f_fsid = v->id;
	} else {
		f3_volume_each(core, most_space, &w);
	}
	f3_inode_put(core, inode);
	ret_st->f_blocks = w.total / 4096;
	ret_st->f_bfree = ret_st->f_bavail = w.left / 4096;
	ret_st->f_ffree = ret_st->f_favail = w.files;
	ret_st->f_files = held + w.files;
	return r;
}

int f3_ns_fsyncdir(struct f3_core *core, uint64_t ino, const struct f3_caller *who)
{
	struct f3_inode *dir;
	int r = f3_inode_get(core, ino, &dir);

	if (r)
		return r;
	r = f3_meta_sync(core->meta);
	if (!r && f3_ns_dir_in_store(dir)) {
		struct f3_blocker w;

		if (!who->may_block) {
			r = -F3_EWAIT;
		} else {
			f3_blocker_init(&w);
			r = f3_journal_wait_dir(core, ino, &w.w);
			if (r == 1)
				r = f3_blocker_wait(&w);
		}
	}
	f3_inode_put(core, dir);
	return r;
}
