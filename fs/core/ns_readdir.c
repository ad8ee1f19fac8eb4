/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns_readdir: listing.
 *
 * The offset is the name's cookie, which is in its key: a name that is there throughout appears
 * exactly once, whatever is made or removed meanwhile. Each call reads the database anew from its
 * offset, so an open directory holds nothing.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "fs/core/ns.h"
#include "fs/core/store_dir.h"
#include "fs/meta/key.h"

/* Attributes of an entry without taking its inode into memory: a listing of a million names must
 * not push out what is in use. Those that the store would have to be asked for are left out, and with
 * them the number: the kernel looks the name up if anybody wants them. */
static int entry_of(struct f3_core *core, uint64_t ino, struct f3_inode *dir, struct f3_entry *e)
{
	bool told = !dir->volume || !dir->volume->store || dir->volume->store->caps.list_has_attr;
	struct f3_inode *inode = f3_inode_peek(core, ino);
	struct f3_inode_rec rec;
	int r;

	if (inode) {
		r = inode->dead ? -ENOENT : 0;
		if (!r && !told && !f3_store_inode_fresh(core, inode))
			e->ino = 0;
		else if (!r)
			f3_ns_fill_entry(core, dir, inode, e);
		f3_inode_put(core, inode);
		return r;
	}
	r = f3_meta_get_inode(core->meta, ino, &rec);
	if (r)
		return r;
	if (!f3_store_rec_fresh(core, dir, &rec)) {
		e->ino = 0;
		f3_inode_rec_done(&rec);
		return 0;
	}
	f3_file_stat_rec(&rec, &e->st);
	e->ino = ino;
	e->attr_ttl_ns =
		rec.state == F3_STATE_WRITING && S_ISREG(rec.mode) ? 0 : core->opt.attr_ttl_ns;
	if (dir->volume && dir->volume->store && f3_file_in_store(&rec) &&
	    e->attr_ttl_ns > dir->volume->attr_ttl_ns)
		e->attr_ttl_ns = dir->volume->attr_ttl_ns;
	e->entry_ttl_ns = f3_ns_name_ttl(core, dir);
	f3_inode_rec_done(&rec);
	return 0;
}

static int dots(struct f3_inode *dir, uint64_t cookie, f3_ns_readdir_fn *fn, void *arg)
{
	struct f3_entry e = { .ino = dir->ino };

	e.st.st_ino = dir->ino;
	e.st.st_mode = S_IFDIR;
	if (cookie < 1 && fn(arg, ".", 1, 1, &e))
		return 1;
	if (dir->rec.parent)
		e.ino = dir->rec.parent;
	e.st.st_ino = e.ino;
	return cookie < 2 && fn(arg, "..", 2, 2, &e);
}

int f3_ns_readdir(struct f3_core *core, uint64_t ino, uint64_t cookie, bool with_attr,
		  const struct f3_caller *who, f3_ns_readdir_fn *fn, void *arg)
{
	struct f3_meta_dir *d = NULL;
	struct f3_meta_name found;
	struct f3_inode *dir;
	const char *name;
	size_t len;
	int r = f3_inode_get(core, ino, &dir);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	if (!S_ISDIR(dir->rec.mode)) {
		r = -ENOTDIR;
	} else if (!cookie && f3_ns_dir_in_store(dir) && !f3_store_dir_fresh(core, dir)) {
		r = who->may_block ? f3_store_dir_list(core, dir) : -F3_EWAIT;
	}
	if (!r && cookie < F3_COOKIE_FIRST)
		r = dots(dir, cookie, fn, arg);
	if (r || dir->dead)
		goto out;
	r = f3_meta_dir_open(core->meta, ino, cookie < F3_COOKIE_FIRST ? 0 : cookie, &d);
	while (!r) {
		struct f3_entry e = { 0 };

		r = f3_meta_dir_next(d, &found, &name, &len);
		if (r <= 0)
			break;
		r = 0;
		e.ino = found.ino;
		e.st.st_ino = found.ino;
		e.st.st_mode = (mode_t)found.d_type << 12;
		/* Removed between the listing and now: it is not there any more. */
		if (with_attr && entry_of(core, found.ino, dir, &e))
			continue;
		if (fn(arg, name, len, found.cookie, &e))
			r = 1;
	}
	f3_meta_dir_close(d);
out:
	f3_inode_put(core, dir);
	return r;
}

bool f3_ns_dir_cachable(struct f3_core *core, uint64_t ino)
{
	struct f3_inode *dir;
	bool cachable;

	if (f3_inode_get(core, ino, &dir))
		return false;
	cachable = dir->volume && !f3_ns_dir_in_store(dir);
	f3_inode_put(core, dir);
	return cachable;
}
