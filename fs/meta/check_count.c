/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/check.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/meta/check_impl.h"

#define PROGRESS_EVERY 4096
/* Directories known to lead to the root, by the low bits of their number. */
#define KNOWN_SLOTS 65536

struct pass {
	struct f3_check *c;
	uint64_t *known;
	uint64_t first, last; /* inodes of this pass */
	struct f3_check_slot *parent; /* of the names seen last; NULL if not of this pass */
	uint64_t parent_ino;
	uint64_t seen; /* inodes looked at, over all passes */
};

struct f3_check_slot *f3_check_slot(struct f3_check *c, uint64_t ino)
{
	size_t low = 0, high = c->n_slots;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->slots[mid].ino < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->n_slots && c->slots[low].ino == ino ? &c->slots[low] : NULL;
}

/* ---- Filling the table ---------------------------------------------------------------------- */

static int take_inode(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_check *c = arg;
	struct f3_rd rd;

	(void)value;
	(void)vlen;
	f3_rd_init(&rd, key, klen);
	c->slots[c->n_slots] = (struct f3_check_slot){ .ino = f3_rd_u64(&rd) };
	if (rd.error || rd.left)
		return 0;
	return ++c->n_slots == c->max_slots;
}

static int count_name(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct pass *p = arg;
	struct f3_meta_name to;
	struct f3_check_slot *slot;
	struct f3_rd rd;
	uint64_t parent;

	f3_rd_init(&rd, key, klen);
	parent = f3_rd_u64(&rd);
	if (rd.error || f3_meta_name_decode(value, vlen, &to))
		return 0;
	if (to.ino >= p->first && to.ino <= p->last) {
		slot = f3_check_slot(p->c, to.ino);
		if (slot)
			slot->names++;
	}
	if (parent != p->parent_ino || !p->parent_ino) {
		p->parent_ino = parent;
		p->parent = f3_check_slot(p->c, parent);
	}
	if (p->parent) {
		p->parent->children++;
		p->parent->subdirs += to.d_type == IFTODT(S_IFDIR);
	}
	return 0;
}

/* ---- One inode ------------------------------------------------------------------------------ */

static bool known(const struct pass *p, uint64_t ino)
{
	return ino == F3_INO_ROOT || p->known[ino % KNOWN_SLOTS] == ino;
}

/* Whether the directories above lead in a circle (Brent's algorithm). Where they end in nothing,
 * that was reported with the name. */
static bool in_circle(struct pass *p, const struct f3_inode_rec *dir)
{
	uint64_t ino = dir->parent, turtle = dir->ino, power = 1, steps = 0;
	struct f3_inode_rec rec;
	bool is_dir;

	while (!known(p, ino)) {
		if (ino == turtle)
			return true;
		if (++steps == power) {
			turtle = ino;
			power *= 2;
			steps = 0;
		}
		if (f3_check_load(p->c, ino, &rec))
			return false;
		ino = rec.parent;
		is_dir = S_ISDIR(rec.mode);
		f3_inode_rec_done(&rec);
		if (!is_dir)
			return false;
	}
	p->known[dir->ino % KNOWN_SLOTS] = dir->ino;
	return false;
}

/* Writes the record as it has become, and says what was wrong with it. */
static void fixed(struct f3_check *c, const struct f3_inode_rec *rec, const char *what,
		  uint64_t was, uint64_t is)
{
	struct f3_batch *b = f3_check_repair(c);

	if (b)
		f3_batch_put_inode(b, rec);
	f3_check_problem(c, rec->ino, what, f3_check_repaired(c, b), "%" PRIu64 ", found %" PRIu64,
			 was, is);
}

static void check_dir(struct pass *p, struct f3_inode_rec *rec, const struct f3_check_slot *slot)
{
	struct f3_check *c = p->c;
	uint64_t size = rec->size;
	uint32_t nlink = rec->nlink;

	if (rec->ino != F3_INO_ROOT && slot->names == 0)
		f3_check_problem(c, rec->ino, "directory without a name", f3_check_lost(c, rec),
				 "was \"%s\" in directory %" PRIu64, rec->name, rec->parent);
	else if (rec->ino != F3_INO_ROOT && in_circle(p, rec))
		f3_check_problem(c, rec->ino, "directory that is not below the root",
				 f3_check_lost(c, rec), "\"%s\" in directory %" PRIu64, rec->name,
				 rec->parent);
	if (size != slot->children) {
		rec->size = slot->children;
		fixed(c, rec, "directory size is not its number of names", size, rec->size);
	}
	if (nlink != 2 + slot->subdirs) {
		rec->nlink = 2 + slot->subdirs;
		fixed(c, rec, "directory's link count is not that of its directories", nlink,
		      rec->nlink);
	}
}

static void check_names(struct f3_check *c, struct f3_inode_rec *rec,
			const struct f3_check_slot *slot)
{
	uint32_t nlink = rec->nlink;
	struct f3_batch *b;

	if (slot->names == 0 && !(rec->flags & F3_INO_ORPHAN)) {
		f3_check_problem(c, rec->ino, "inode without a name", f3_check_lost(c, rec),
				 "was \"%s\" in directory %" PRIu64, rec->name, rec->parent);
		return;
	}
	if (slot->names && (rec->flags & F3_INO_ORPHAN)) {
		b = f3_check_repair(c);
		rec->flags &= ~(uint32_t)F3_INO_ORPHAN;
		rec->nlink = slot->names;
		if (b) {
			f3_batch_put_inode(b, rec);
			f3_batch_del_mark(b, F3_MARK_ORPHAN, rec->ino);
		}
		f3_check_problem(c, rec->ino, "orphan that has a name", f3_check_repaired(c, b),
				 "%u names", slot->names);
		return;
	}
	if (nlink != slot->names) {
		rec->nlink = slot->names;
		fixed(c, rec, "link count is not the number of names", nlink, slot->names);
	}
}

static bool has_key(struct f3_check *c, enum f3_cf cf, const struct f3_buf *key)
{
	struct f3_buf value;
	int r;

	f3_buf_init(&value, F3_META_VALUE_MAX);
	r = c->m->kv->ops->get(c->m->kv, cf, key->data, key->len, &value);
	f3_buf_done(&value);
	if (r && r != -ENOENT && r != -EMSGSIZE)
		c->error = r;
	return r != -ENOENT;
}

static void check_mark(struct f3_check *c, const struct f3_inode_rec *rec, enum f3_mark mark,
		       bool wanted, const char *what)
{
	struct f3_batch *b;
	struct f3_buf key;

	if (!wanted || c->error)
		return;
	f3_buf_init(&key, F3_META_KEY_MAX);
	f3_key_mark(&key, (char)mark, rec->ino);
	if (has_key(c, F3_CF_META, &key))
		return;
	b = f3_check_repair(c);
	if (b)
		f3_batch_put_mark(b, mark, rec->ino);
	f3_check_problem(c, rec->ino, what, f3_check_repaired(c, b), "state %s",
			 f3_state_name((enum f3_state)rec->state));
}

static void check_marks(struct f3_check *c, const struct f3_inode_rec *rec)
{
	bool orphan = rec->flags & F3_INO_ORPHAN;

	check_mark(c, rec, F3_MARK_WRITER, S_ISREG(rec->mode) && rec->state == F3_STATE_WRITING,
		   "file being written without a mark");
	check_mark(c, rec, F3_MARK_ORPHAN, orphan, "orphan without a mark");
	/* The store is not told of what goes at the last close. */
	check_mark(c, rec, F3_MARK_DIRTY, !orphan && (rec->flags & F3_INO_DIRTY),
		   "dirty file without a mark");
}

static void check_xattr_flags(struct f3_check *c, struct f3_inode_rec *rec)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} of[] = {
		{ F3_INO_HAS_ACL, "system.posix_acl_access" },
		{ F3_INO_HAS_DEFAULT_ACL, "system.posix_acl_default" },
		{ F3_INO_HAS_CAPS, "security.capability" },
	};
	struct f3_buf key;

	for (unsigned i = 0; i < sizeof(of) / sizeof(of[0]) && !c->error; i++) {
		if (!(rec->flags & of[i].flag))
			continue;
		f3_buf_init(&key, F3_META_KEY_MAX);
		f3_key_xattr(&key, rec->ino, of[i].name, strlen(of[i].name));
		if (has_key(c, F3_CF_XATTRS, &key))
			continue;
		rec->flags &= ~of[i].flag;
		fixed(c, rec, "inode flag for an xattr that is not there", of[i].flag, 0);
	}
}

/* Bytes that the store has are fetched again; others are gone, and reading them says so. */
static void check_backing(struct f3_check *c, struct f3_inode_rec *rec)
{
	struct f3_batch *b;
	int r;

	if (!c->opt->backing || c->error || !S_ISREG(rec->mode) || !rec->backing ||
	    rec->state == F3_STATE_REMOTE || rec->state == F3_STATE_FAILED)
		return;
	r = c->opt->backing(c->opt->arg, rec);
	if (!r)
		return;
	b = f3_check_repair(c);
	if (b) {
		bool in_store = rec->etag[0] && !(rec->flags & F3_INO_DIRTY) &&
				(rec->state == F3_STATE_CLEAN || rec->state == F3_STATE_FILLING);

		rec->state = in_store ? F3_STATE_REMOTE : F3_STATE_FAILED;
		rec->error = in_store ? 0 : EIO;
		rec->blocks = 0;
		f3_batch_del_extents(b, rec->ino);
		f3_batch_del_mark(b, F3_MARK_WRITER, rec->ino);
		f3_batch_put_inode(b, rec);
	}
	f3_check_problem(c, rec->ino, "backing file is missing or wrong", f3_check_repaired(c, b),
			 "number %u: %s", rec->backing, f3_errno_name(r));
}

static void check_inode(struct pass *p, struct f3_inode_rec *rec, const struct f3_check_slot *slot)
{
	struct f3_check *c = p->c;

	if (rec->ino != F3_INO_ROOT && !f3_check_volume(c, rec->volume))
		f3_check_problem(c, rec->ino, "inode of a volume that does not exist", false,
				 "volume %u", rec->volume);
	if (S_ISDIR(rec->mode))
		check_dir(p, rec, slot);
	else
		check_names(c, rec, slot);
	check_xattr_flags(c, rec);
	check_backing(c, rec);
	check_marks(c, rec);
}

static int see_slot(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct pass *p = arg;
	struct f3_check *c = p->c;
	struct f3_check_slot *slot;
	struct f3_inode_rec rec;
	struct f3_rd rd;
	uint64_t ino;
	int r;

	f3_rd_init(&rd, key, klen);
	ino = f3_rd_u64(&rd);
	slot = rd.error || rd.left ? NULL : f3_check_slot(c, ino);
	if (!slot)
		return 0;
	/* A repair of another inode may have changed this one since the iterator began. */
	r = c->opt->repair ? f3_check_load(c, ino, &rec) :
			     f3_inode_rec_decode(ino, value, vlen, &rec);
	if (r == -ENOMEM)
		return r;
	if (!r) {
		check_inode(p, &rec, slot);
		f3_inode_rec_done(&rec);
	}
	if (++p->seen % PROGRESS_EVERY == 0 && c->opt->progress)
		c->opt->progress(c->opt->arg, p->seen, c->total > p->seen ? c->total : p->seen);
	return c->error;
}

/* ---- Range by range ------------------------------------------------------------------------- */

/* 1 if there may be more inodes after it, 0 if not, -errno */
static int run_pass(struct pass *p, uint64_t first)
{
	struct f3_check *c = p->c;
	struct f3_buf from, to, open;
	int r, more;

	f3_buf_init(&from, F3_META_KEY_MAX);
	f3_buf_init(&to, F3_META_KEY_MAX);
	f3_buf_init(&open, F3_META_KEY_MAX);
	f3_key_u64(&from, first);
	c->n_slots = 0;
	more = f3_meta_scan(c->m, F3_CF_INODES, &from, &open, take_inode, c);
	if (more < 0 || c->n_slots == 0)
		return more;
	p->first = first;
	p->last = c->slots[c->n_slots - 1].ino;
	p->parent_ino = 0;
	p->parent = NULL;
	r = f3_meta_scan(c->m, F3_CF_NAMES, &open, &open, count_name, p);
	if (r)
		return r;
	f3_meta_key_after_u64(&to, p->last);
	r = f3_meta_scan(c->m, F3_CF_INODES, &from, &to, see_slot, p);
	return r ? r : more;
}

int f3_check_count(struct f3_check *c)
{
	struct pass p = { .c = c };
	uint64_t first = 0;
	int r;

	p.known = calloc(KNOWN_SLOTS, sizeof(*p.known));
	if (!p.known)
		return -ENOMEM;
	while ((r = run_pass(&p, first)) == 1 && p.last < UINT64_MAX)
		first = p.last + 1;
	if (r >= 0 && c->opt->progress)
		c->opt->progress(c->opt->arg, p.seen, p.seen);
	free(p.known);
	return r < 0 ? r : 0;
}
