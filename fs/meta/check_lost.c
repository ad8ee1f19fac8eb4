/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/check.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/meta/check_impl.h"

#define LOST_NAME "lost+found"

static void set_name(struct f3_inode_rec *rec, uint64_t parent, const char *name)
{
	rec->parent = parent;
	rec->name_len = (uint8_t)strlen(name);
	memcpy(rec->name, name, rec->name_len + 1u);
}

/* One name more: in the record, and in what has been counted of it. */
static void add_child(struct f3_check *c, struct f3_inode_rec *dir, bool is_dir)
{
	struct f3_check_slot *slot = f3_check_slot(c, dir->ino);

	dir->size++;
	dir->nlink += is_dir;
	dir->mtime_ns = dir->ctime_ns = f3_clock_real_ns();
	if (slot) {
		slot->children++;
		slot->subdirs += is_dir;
	}
}

/* Made with the first inode that needs it; the caller's batch commits it. */
static int make_dir(struct f3_check *c, struct f3_check_volume *v, struct f3_batch *b,
		    struct f3_inode_rec *ret_dir)
{
	struct f3_inode_rec root, dir;
	int r = f3_check_load(c, v->rec->root_ino, &root);

	if (r)
		return r;
	memset(&dir, 0, sizeof(dir));
	r = S_ISDIR(root.mode) ? f3_meta_new_ino(c->live, &dir.ino) : -ENOTDIR;
	if (!r) {
		f3_meta_new_id(c->live, &dir.id);
		dir.mode = S_IFDIR | 0700;
		dir.nlink = 2;
		dir.volume = v->rec->id;
		dir.flags = root.flags & F3_INO_LOCAL_TREE;
		dir.btime_ns = dir.atime_ns = dir.mtime_ns = dir.ctime_ns = f3_clock_real_ns();
		set_name(&dir, root.ino, LOST_NAME);
		add_child(c, &root, true);
		f3_batch_put_inode(b, &root);
		f3_batch_put_name(b, root.ino, LOST_NAME, strlen(LOST_NAME), dir.ino,
				  (uint8_t)IFTODT(S_IFDIR));
		*ret_dir = dir;
	}
	f3_inode_rec_done(&root);
	return r;
}

static int find_dir(struct f3_check *c, struct f3_check_volume *v, struct f3_batch *b,
		    struct f3_inode_rec *ret_dir)
{
	struct f3_meta_name name;
	int r = f3_check_lookup(c, v->rec->root_ino, LOST_NAME, strlen(LOST_NAME), &name);

	if (r == -ENOENT)
		return make_dir(c, v, b, ret_dir);
	if (!r)
		r = f3_check_load(c, name.ino, ret_dir);
	if (!r && !S_ISDIR(ret_dir->mode)) {
		f3_inode_rec_done(ret_dir);
		r = -ENOTDIR;
	}
	return r;
}

/* The name by which it was in a circle goes, in a batch of its own. */
static void drop_old_name(struct f3_check *c, const struct f3_inode_rec *rec)
{
	struct f3_check_slot *slot;
	struct f3_inode_rec parent;
	struct f3_meta_name name;
	struct f3_batch *b;

	if (f3_check_lookup(c, rec->parent, rec->name, rec->name_len, &name) ||
	    name.ino != rec->ino || f3_check_load(c, rec->parent, &parent))
		return;
	b = f3_check_repair(c);
	if (b) {
		parent.size--;
		parent.nlink--;
		f3_batch_del_name(b, rec->parent, rec->name, rec->name_len);
		f3_batch_put_inode(b, &parent);
	}
	slot = f3_check_slot(c, parent.ino);
	if (f3_check_repaired(c, b) && slot) {
		slot->children--;
		slot->subdirs--;
	}
	f3_inode_rec_done(&parent);
}

/* 0 when the batch puts it into lost+found. */
static int give_name(struct f3_check *c, struct f3_inode_rec *rec, struct f3_batch *b)
{
	struct f3_check_volume *v = f3_check_volume(c, rec->volume);
	bool is_dir = S_ISDIR(rec->mode);
	struct f3_inode_rec dir;
	char name[32];
	int r;

	if (!v || rec->ino == v->rec->root_ino)
		return -ENOENT;
	if (is_dir)
		drop_old_name(c, rec);
	r = find_dir(c, v, b, &dir);
	if (r)
		return r;
	if (dir.ino == rec->ino) {
		f3_inode_rec_done(&dir);
		return -ELOOP;
	}
	snprintf(name, sizeof(name), "#%" PRIu64, rec->ino);
	set_name(rec, dir.ino, name);
	if (!is_dir)
		rec->nlink = 1;
	/* The object of its old name is not its own under the new one. */
	if (rec->flags & F3_INO_DIRTY) {
		rec->etag[0] = '\0';
		rec->store_size = 0;
	}
	add_child(c, &dir, is_dir);
	f3_batch_put_inode(b, &dir);
	f3_batch_put_inode(b, rec);
	f3_batch_put_name(b, dir.ino, name, strlen(name), rec->ino, (uint8_t)IFTODT(rec->mode));
	f3_inode_rec_done(&dir);
	return 0;
}

/* What the store has under its name is seen again there; the copy here goes. */
static bool is_copy(const struct f3_inode_rec *rec)
{
	return S_ISREG(rec->mode) && rec->etag[0] && !(rec->flags & F3_INO_DIRTY) &&
	       (rec->state == F3_STATE_CLEAN || rec->state == F3_STATE_FILLING ||
		rec->state == F3_STATE_REMOTE);
}

bool f3_check_lost(struct f3_check *c, struct f3_inode_rec *rec)
{
	struct f3_batch *b = f3_check_repair(c);
	int r = -ENOENT;

	if (!b)
		return false;
	if (!is_copy(rec))
		r = give_name(c, rec, b);
	if (r && S_ISDIR(rec->mode)) {
		f3_batch_free(b);
		return false;
	}
	if (r) {
		rec->nlink = 0;
		rec->parent = 0;
		rec->flags |= F3_INO_ORPHAN;
		f3_batch_put_inode(b, rec);
		f3_batch_put_mark(b, F3_MARK_ORPHAN, rec->ino);
	}
	return f3_check_repaired(c, b);
}
