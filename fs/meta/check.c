/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/check.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/meta/check_impl.h"

#define TABLE_SLOTS (512u << 10) /* 12 MiB; one pass over all names for so many inodes */

/* ---- Tools ---------------------------------------------------------------------------------- */

void f3_check_problem(struct f3_check *c, uint64_t ino, const char *what, bool repaired,
		      const char *fmt, ...)
{
	struct f3_check_problem p = { .ino = ino, .what = what, .repaired = repaired };
	struct f3_err text;
	va_list ap;
	char detail[F3_ERR_TEXT_MAX];

	va_start(ap, fmt);
	if (vsnprintf(detail, sizeof(detail), fmt, ap) < 0)
		detail[0] = '\0';
	va_end(ap);
	/* Quotes names of files, which may hold anything: made one line there. */
	f3_err_set(&text, 0, "%s", detail);
	memcpy(p.detail, text.text, sizeof(p.detail));
	c->result.problems++;
	c->result.repaired += repaired;
	if (c->opt->problem)
		c->opt->problem(c->opt->arg, &p);
}

struct f3_batch *f3_check_repair(struct f3_check *c)
{
	struct f3_batch *b;
	int r;

	if (!c->opt->repair || c->error)
		return NULL;
	r = f3_batch_new(c->live, &b);
	if (r) {
		c->error = r;
		return NULL;
	}
	return b;
}

bool f3_check_repaired(struct f3_check *c, struct f3_batch *b)
{
	int r;

	if (!b)
		return false;
	r = f3_batch_commit(b);
	f3_batch_free(b);
	if (r)
		c->error = r;
	return !r;
}

int f3_check_load(struct f3_check *c, uint64_t ino, struct f3_inode_rec *ret_rec)
{
	struct f3_buf key, value;
	int r;

	f3_buf_init(&key, F3_META_KEY_MAX);
	f3_buf_init(&value, F3_META_VALUE_MAX);
	f3_key_u64(&key, ino);
	r = c->m->kv->ops->get(c->m->kv, F3_CF_INODES, key.data, key.len, &value);
	if (r == -EMSGSIZE)
		r = -EBADMSG;
	if (r && r != -ENOENT && r != -EBADMSG)
		c->error = r;
	if (!r)
		r = f3_inode_rec_decode(ino, value.data, value.len, ret_rec);
	if (r == -ENOMEM)
		c->error = r;
	f3_buf_done(&value);
	return r;
}

int f3_check_lookup(struct f3_check *c, uint64_t parent, const char *name, size_t len,
		    struct f3_meta_name *ret_name)
{
	struct f3_buf key, value;
	int r;

	f3_buf_init(&key, F3_META_KEY_MAX);
	f3_buf_init(&value, F3_META_VALUE_MAX);
	f3_key_name(&key, parent, f3_key_cookie(c->m->seed, name, len), name, len);
	r = c->m->kv->ops->get(c->m->kv, F3_CF_NAMES, key.data, key.len, &value);
	if (r == -EMSGSIZE || (!r && f3_meta_name_decode(value.data, value.len, ret_name)))
		r = -ENOENT;
	if (r && r != -ENOENT)
		c->error = r;
	f3_buf_done(&value);
	f3_buf_done(&key);
	return r;
}

struct f3_check_volume *f3_check_volume(struct f3_check *c, uint32_t id)
{
	for (size_t i = 0; i < c->n_volumes; i++)
		if (c->volumes[i].rec->id == id)
			return &c->volumes[i];
	return NULL;
}

/* The inode that a key belongs to, loaded once for all its keys. */
static int load_owner(struct f3_check *c, uint64_t ino)
{
	struct f3_inode_rec rec;

	if (c->owner_known && c->owner == ino)
		return c->owner_state;
	c->owner = ino;
	c->owner_known = true;
	c->owner_state = f3_check_load(c, ino, &rec);
	if (!c->owner_state) {
		c->owner_mode = rec.mode;
		c->owner_flags = rec.flags;
		f3_inode_rec_done(&rec);
	}
	return c->owner_state;
}

/* A key or value that is not what its family holds. */
static bool drop_key(struct f3_check *c, enum f3_cf cf, const uint8_t *key, size_t klen)
{
	struct f3_batch *b = f3_check_repair(c);

	if (b)
		f3_batch_del_raw(b, cf, key, klen);
	return f3_check_repaired(c, b);
}

static uint64_t first_u64(const uint8_t *key, size_t klen)
{
	struct f3_rd rd;

	f3_rd_init(&rd, key, klen);
	return f3_rd_u64(&rd);
}

static int scan(struct f3_check *c, enum f3_cf cf, const char *from, const char *to,
		int (*fn)(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
			  size_t vlen))
{
	struct f3_buf first, last;
	int r;

	f3_buf_init(&first, F3_META_KEY_MAX);
	f3_buf_init(&last, F3_META_KEY_MAX);
	f3_buf_put(&first, from, strlen(from));
	f3_buf_put(&last, to, strlen(to));
	c->owner_known = false;
	r = f3_meta_scan(c->m, cf, &first, &last, fn, c);
	return r ? r : c->error;
}

/* ---- Volumes -------------------------------------------------------------------------------- */

static int see_volume(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_check *c = arg;
	struct f3_check_volume *grown;
	struct f3_volume_rec *rec;
	struct f3_rd rd;
	uint32_t id;
	int r;

	f3_rd_init(&rd, key, klen);
	f3_rd_u8(&rd);
	id = f3_rd_u32(&rd);
	if (rd.error || rd.left) {
		f3_check_problem(c, 0, "damaged volume key", drop_key(c, F3_CF_META, key, klen),
				 "%zu bytes", klen);
		return c->error;
	}
	rec = malloc(sizeof(*rec));
	grown = realloc(c->volumes, (c->n_volumes + 1) * sizeof(*grown));
	if (grown)
		c->volumes = grown;
	if (!rec || !grown) {
		free(rec);
		return -ENOMEM;
	}
	r = f3_meta_volume_decode(id, value, vlen, rec);
	if (r) {
		/* Its files would be nobody's: a person decides. */
		f3_check_problem(c, 0, "damaged volume record", false, "volume %u: %s", id,
				 f3_errno_name(r));
		free(rec);
		return 0;
	}
	c->volumes[c->n_volumes++] = (struct f3_check_volume){ .rec = rec };
	c->total += rec->used_inodes;
	return 0;
}

static int check_volume_roots(struct f3_check *c)
{
	for (size_t i = 0; i < c->n_volumes && !c->error; i++) {
		const struct f3_volume_rec *v = c->volumes[i].rec;
		struct f3_inode_rec rec;
		int r = f3_check_load(c, v->root_ino, &rec);

		if (r == -ENOENT) {
			f3_check_problem(c, v->root_ino, "volume without its root directory", false,
					 "volume %s", v->name);
		} else if (!r) {
			if (!S_ISDIR(rec.mode) || rec.volume != v->id)
				f3_check_problem(c, v->root_ino,
						 "root of a volume that is not its directory",
						 false, "volume %s", v->name);
			f3_inode_rec_done(&rec);
		}
	}
	return c->error;
}

static int sum_inode(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_check *c = arg;
	struct f3_check_volume *v;
	struct f3_inode_rec rec;

	if (f3_inode_rec_decode(first_u64(key, klen), value, vlen, &rec))
		return 0;
	v = f3_check_volume(c, rec.volume);
	if (v) {
		v->inodes++;
		v->bytes += c->opt->charge ? c->opt->charge(&rec) : 0;
	}
	f3_inode_rec_done(&rec);
	return 0;
}

/* What is saved at a stop in order; after anything else the next start counts by itself. */
static int check_usage(struct f3_check *c)
{
	int r;

	if (!c->live->was_clean || !(c->live->read_only || c->opt->repair))
		return 0;
	r = scan(c, F3_CF_INODES, "", "", sum_inode);
	for (size_t i = 0; i < c->n_volumes && !r; i++) {
		struct f3_check_volume *v = &c->volumes[i];
		uint64_t bytes = v->rec->used_bytes, inodes = v->rec->used_inodes;
		struct f3_batch *b;

		if (inodes == v->inodes && (!c->opt->charge || bytes == v->bytes))
			continue;
		v->rec->used_inodes = v->inodes;
		if (c->opt->charge)
			v->rec->used_bytes = v->bytes;
		b = f3_check_repair(c);
		if (b)
			f3_batch_put_volume(b, v->rec);
		f3_check_problem(c, v->rec->root_ino, "volume usage is not the sum of its files",
				 f3_check_repaired(c, b),
				 "volume %s: %" PRIu64 " bytes in %" PRIu64
				 " inodes, found %" PRIu64 " in %" PRIu64,
				 v->rec->name, bytes, inodes, v->bytes, v->inodes);
		r = c->error;
	}
	return r;
}

/* ---- Inodes, one by one --------------------------------------------------------------------- */

/* Numbers that were never reserved would be given out again. */
static bool reserve_past(struct f3_check *c, uint64_t ino)
{
	struct f3_batch *b = ino < UINT64_MAX ? f3_check_repair(c) : NULL;

	if (b)
		f3_batch_put_counter(b, c->live->inos.key, ino + 1);
	if (!f3_check_repaired(c, b))
		return false;
	f3_lock(&c->live->lock);
	c->live->inos.next = c->live->inos.end = ino + 1;
	f3_unlock(&c->live->lock);
	return true;
}

static int see_inode(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_check *c = arg;
	uint64_t ino = first_u64(key, klen), reserved;
	struct f3_inode_rec rec;
	int r;

	c->result.inodes++;
	if (klen != 8 || ino == 0) {
		f3_check_problem(c, 0, "damaged inode key", drop_key(c, F3_CF_INODES, key, klen),
				 "%zu bytes", klen);
		return c->error;
	}
	r = f3_inode_rec_decode(ino, value, vlen, &rec);
	if (r == -ENOMEM)
		return r;
	if (r == -EPROTONOSUPPORT)
		f3_check_problem(c, ino, "inode record of a newer version", false, "version %u",
				 value[0]);
	else if (r)
		f3_check_problem(c, ino, "damaged inode record",
				 drop_key(c, F3_CF_INODES, key, klen), "%zu bytes", vlen);
	else
		f3_inode_rec_done(&rec);

	f3_lock(&c->live->lock);
	reserved = c->live->inos.end;
	f3_unlock(&c->live->lock);
	if (!c->error && ino >= reserved)
		f3_check_problem(c, ino, "inode number that was never reserved",
				 reserve_past(c, ino), "reserved up to %" PRIu64, reserved);
	return c->error;
}

static int check_root(struct f3_check *c)
{
	struct f3_inode_rec rec;
	struct f3_batch *b;
	int r = f3_check_load(c, F3_INO_ROOT, &rec);

	if (c->error)
		return c->error;
	if (!r) {
		r = S_ISDIR(rec.mode) ? 0 : -ENOTDIR;
		f3_inode_rec_done(&rec);
	}
	if (!r || r == -EPROTONOSUPPORT)
		return 0;
	b = f3_check_repair(c);
	if (b) {
		memset(&rec, 0, sizeof(rec));
		rec.ino = F3_INO_ROOT;
		rec.mode = S_IFDIR | 0755;
		rec.nlink = 2;
		f3_meta_new_id(c->live, &rec.id);
		f3_batch_put_inode(b, &rec);
	}
	f3_check_problem(c, F3_INO_ROOT, "no root directory", f3_check_repaired(c, b), "%s",
			 f3_errno_name(r));
	return c->error;
}

/* ---- Names ---------------------------------------------------------------------------------- */

struct name {
	const uint8_t *key;
	size_t klen;
	uint64_t parent, cookie;
	const char *text;
	size_t len;
	struct f3_meta_name to;
};

/* 0 or -EBADMSG */
static int parse_name(const uint8_t *key, size_t klen, struct name *n)
{
	struct f3_rd rd;

	f3_rd_init(&rd, key, klen);
	n->key = key;
	n->klen = klen;
	n->parent = f3_rd_u64(&rd);
	n->cookie = f3_rd_u64(&rd);
	n->text = (const char *)rd.p;
	n->len = rd.left;
	if (rd.error || n->len == 0 || n->len > F3_NAME_MAX || memchr(n->text, '/', n->len) ||
	    memchr(n->text, 0, n->len))
		return -EBADMSG;
	if (n->text[0] == '.' && (n->len == 1 || (n->len == 2 && n->text[1] == '.')))
		return -EBADMSG;
	return 0;
}

static void bad_name(struct f3_check *c, const struct name *n, uint64_t ino, const char *what)
{
	f3_check_problem(c, ino, what, drop_key(c, F3_CF_NAMES, n->key, n->klen),
			 "\"%.*s\" in directory %" PRIu64, (int)n->len, n->text, n->parent);
}

/* Puts the name where it is looked for, unless another one is there already. */
static void move_name(struct f3_check *c, const struct name *n)
{
	struct f3_batch *b = f3_check_repair(c);
	struct f3_meta_name there;

	if (b) {
		f3_batch_del_raw(b, F3_CF_NAMES, n->key, n->klen);
		if (f3_check_lookup(c, n->parent, n->text, n->len, &there) == -ENOENT)
			f3_batch_put_name(b, n->parent, n->text, n->len, n->to.ino, n->to.d_type);
	}
	f3_check_problem(c, n->to.ino, "name under a wrong cookie", f3_check_repaired(c, b),
			 "\"%.*s\" in directory %" PRIu64, (int)n->len, n->text, n->parent);
}

/* Directories, and objects (whose key is their path), are where their record says. */
static void check_back_pointer(struct f3_check *c, const struct name *n, struct f3_inode_rec *rec)
{
	struct f3_meta_name there;
	struct f3_batch *b;

	if (rec->parent == n->parent && rec->name_len == n->len &&
	    memcmp(rec->name, n->text, n->len) == 0)
		return;
	if (!S_ISDIR(rec->mode) &&
	    (!f3_class_in_store((enum f3_class)rec->class_) || rec->nlink != 1))
		return;
	if (f3_check_lookup(c, rec->parent, rec->name, rec->name_len, &there) == 0 &&
	    there.ino == rec->ino) {
		if (S_ISDIR(rec->mode))
			bad_name(c, n, rec->ino, "second name of a directory");
		return;
	}
	if (c->error)
		return;
	b = f3_check_repair(c);
	if (b) {
		rec->parent = n->parent;
		rec->name_len = (uint8_t)n->len;
		memcpy(rec->name, n->text, n->len);
		rec->name[n->len] = '\0';
		f3_batch_put_inode(b, rec);
	}
	f3_check_problem(c, n->to.ino, "inode that does not know where its name is",
			 f3_check_repaired(c, b), "\"%.*s\" in directory %" PRIu64, (int)n->len,
			 n->text, n->parent);
}

static void check_target(struct f3_check *c, const struct name *n)
{
	struct f3_inode_rec rec;
	int r = f3_check_load(c, n->to.ino, &rec);

	if (r == -ENOENT) {
		bad_name(c, n, n->to.ino, "name without inode");
		return;
	}
	if (r) /* reported with the inode, or the end of the check */
		return;
	if (n->to.d_type != IFTODT(rec.mode) &&
	    !(n->to.d_type == DT_UNKNOWN && (rec.flags & F3_INO_GUESSED))) {
		struct f3_batch *b = f3_check_repair(c);

		if (b)
			f3_batch_put_name(b, n->parent, n->text, n->len, n->to.ino,
					  (uint8_t)IFTODT(rec.mode));
		f3_check_problem(c, n->to.ino, "name of a wrong type", f3_check_repaired(c, b),
				 "\"%.*s\" in directory %" PRIu64 ": %u, inode %u", (int)n->len,
				 n->text, n->parent, n->to.d_type, IFTODT(rec.mode));
	}
	check_back_pointer(c, n, &rec);
	f3_inode_rec_done(&rec);
}

static int see_name(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_check *c = arg;
	struct name n;
	int r;

	c->result.names++;
	if (parse_name(key, klen, &n) || f3_meta_name_decode(value, vlen, &n.to)) {
		f3_check_problem(c, 0, "damaged name", drop_key(c, F3_CF_NAMES, key, klen),
				 "in directory %" PRIu64, first_u64(key, klen));
		return c->error;
	}
	r = load_owner(c, n.parent);
	if (r == -ENOENT)
		bad_name(c, &n, n.to.ino, "name in a directory that does not exist");
	else if (!r && !S_ISDIR(c->owner_mode))
		bad_name(c, &n, n.to.ino, "name in something that is no directory");
	else if (n.to.ino == F3_INO_ROOT)
		bad_name(c, &n, n.to.ino, "name of the root");
	else if (n.cookie != f3_key_cookie(c->m->seed, n.text, n.len))
		move_name(c, &n);
	else
		check_target(c, &n);
	return c->error;
}

/* ---- What belongs to inodes ----------------------------------------------------------------- */

/* True if the inode is there; else what belongs to it is reported once, and dropped. */
static bool has_owner(struct f3_check *c, uint64_t ino, const char *what)
{
	bool seen = c->owner_known && c->owner == ino;
	struct f3_batch *b;

	if (load_owner(c, ino) != -ENOENT)
		return !c->error;
	if (!seen) {
		b = f3_check_repair(c);
		if (b)
			f3_batch_del_inode(b, ino);
		f3_check_problem(c, ino, what, f3_check_repaired(c, b), "inode %" PRIu64, ino);
	}
	return false;
}

static uint32_t xattr_flags(const char *name, size_t len)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} special[] = {
		{ "system.posix_acl_access", F3_INO_HAS_ACL },
		{ "system.posix_acl_default", F3_INO_HAS_DEFAULT_ACL },
		{ "security.capability", F3_INO_HAS_CAPS },
	};

	for (unsigned i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (strlen(special[i].name) == len && memcmp(special[i].name, name, len) == 0)
			return special[i].flag | F3_INO_HAS_XATTR;
	return F3_INO_HAS_XATTR;
}

static int see_xattr(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_check *c = arg;
	uint64_t ino = first_u64(key, klen);
	struct f3_inode_rec rec;
	struct f3_batch *b;
	uint32_t flags;

	if (klen <= 8 || klen > 8 + F3_XATTR_NAME_MAX || vlen < 1 ||
	    vlen > 1 + F3_XATTR_VALUE_MAX || value[0] != F3_META_VALUE_VERSION) {
		f3_check_problem(c, ino, "damaged xattr", drop_key(c, F3_CF_XATTRS, key, klen),
				 "of inode %" PRIu64, ino);
		return c->error;
	}
	if (!has_owner(c, ino, "xattrs of an inode that does not exist") || c->owner_state)
		return c->error;
	flags = xattr_flags((const char *)key + 8, klen - 8);
	if ((c->owner_flags & flags) == flags)
		return 0;
	b = f3_check_repair(c);
	if (b && f3_check_load(c, ino, &rec) == 0) {
		rec.flags |= flags;
		f3_batch_put_inode(b, &rec);
		f3_inode_rec_done(&rec);
	}
	f3_check_problem(c, ino, "xattr that its inode does not know of", f3_check_repaired(c, b),
			 "\"%.*s\"", (int)(klen - 8), (const char *)key + 8);
	c->owner_flags |= flags;
	return c->error;
}

static int see_extent(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_check *c = arg;
	uint64_t ino, start, len, end;
	struct f3_batch *b;
	struct f3_rd rd;

	f3_rd_init(&rd, key, klen);
	ino = f3_rd_u64(&rd);
	start = f3_rd_u64(&rd);
	if (rd.error || rd.left || f3_meta_extent_decode(value, vlen, &len) ||
	    __builtin_add_overflow(start, len, &end)) {
		f3_check_problem(c, ino, "damaged extent", drop_key(c, F3_CF_EXTENTS, key, klen),
				 "of inode %" PRIu64, ino);
		return c->error;
	}
	if (!has_owner(c, ino, "extents of an inode that does not exist") || c->owner_state ||
	    S_ISREG(c->owner_mode))
		return c->error;
	b = f3_check_repair(c);
	if (b)
		f3_batch_del_raw(b, F3_CF_EXTENTS, key, klen);
	f3_check_problem(c, ino, "extent of something that is no file", f3_check_repaired(c, b),
			 "at %" PRIu64, start);
	return c->error;
}

static int see_mark(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_check *c = arg;
	struct f3_inode_rec rec;
	struct f3_rd rd;
	uint64_t ino;
	char mark;
	bool right;
	int r;

	(void)value;
	(void)vlen;
	f3_rd_init(&rd, key, klen);
	mark = (char)f3_rd_u8(&rd);
	ino = f3_rd_u64(&rd);
	if (rd.error || rd.left) {
		f3_check_problem(c, 0, "damaged mark", drop_key(c, F3_CF_META, key, klen),
				 "%c, %zu bytes", mark, klen);
		return c->error;
	}
	r = f3_check_load(c, ino, &rec);
	if (r && r != -ENOENT)
		return c->error;
	if (r) {
		f3_check_problem(c, ino, "mark of an inode that does not exist",
				 drop_key(c, F3_CF_META, key, klen), "%c", mark);
		return c->error;
	}
	right = mark == F3_MARK_WRITER ? rec.state == F3_STATE_WRITING :
		mark == F3_MARK_ORPHAN ? (rec.flags & F3_INO_ORPHAN) != 0 :
					 (rec.flags & (F3_INO_DIRTY | F3_INO_ATTR_DIRTY)) != 0;
	if (!right)
		f3_check_problem(c, ino, "mark that its inode does not know of",
				 drop_key(c, F3_CF_META, key, klen), "%c in state %s", mark,
				 f3_state_name((enum f3_state)rec.state));
	f3_inode_rec_done(&rec);
	return c->error;
}

static int see_journal(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
		       size_t vlen)
{
	struct f3_journal_entry e;
	struct f3_check *c = arg;
	struct f3_inode_rec rec;
	uint64_t seq = first_u64(key, klen);
	const char *what = NULL;
	int r;

	if (klen != 8 || f3_journal_decode(seq, value, vlen, &e)) {
		f3_check_problem(c, 0, "damaged journal entry",
				 drop_key(c, F3_CF_JOURNAL, key, klen), "number %" PRIu64, seq);
		return c->error;
	}
	if (!f3_check_volume(c, e.volume)) {
		what = "journal entry of a volume that does not exist";
	} else if (e.type == F3_JOURNAL_PUT || e.type == F3_JOURNAL_MKDIR ||
		   e.type == F3_JOURNAL_ATTR) {
		/* The others are about keys; their inode may well be gone. */
		r = f3_check_load(c, e.ino, &rec);
		if (!r)
			f3_inode_rec_done(&rec);
		else if (r == -ENOENT)
			what = "journal entry of an inode that does not exist";
	}
	if (what)
		f3_check_problem(c, e.ino, what, drop_key(c, F3_CF_JOURNAL, key, klen),
				 "%s, number %" PRIu64 ", volume %u", f3_journal_type_name(e.type),
				 seq, e.volume);
	return c->error;
}

/* ---- The whole ------------------------------------------------------------------------------ */

static int run(struct f3_check *c)
{
	static const struct {
		enum f3_cf cf;
		const char *from, *to;
		int (*fn)(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
			  size_t vlen);
	} owned[] = {
		{ F3_CF_NAMES, "", "", see_name },      { F3_CF_XATTRS, "", "", see_xattr },
		{ F3_CF_EXTENTS, "", "", see_extent },  { F3_CF_META, "d", "e", see_mark },
		{ F3_CF_META, "o", "p", see_mark },     { F3_CF_META, "w", "x", see_mark },
		{ F3_CF_JOURNAL, "", "", see_journal },
	};
	int r;

	/* First what the rest is measured by. */
	r = scan(c, F3_CF_META, "v", "w", see_volume);
	if (!r)
		r = scan(c, F3_CF_INODES, "", "", see_inode);
	if (!r)
		r = check_root(c);
	if (!r)
		r = check_volume_roots(c);
	for (unsigned i = 0; i < sizeof(owned) / sizeof(owned[0]) && !r; i++)
		r = scan(c, owned[i].cf, owned[i].from, owned[i].to, owned[i].fn);
	if (!r)
		r = f3_check_count(c);
	if (!r)
		r = check_usage(c);
	return r;
}

int f3_meta_check_with(struct f3_meta *m, const struct f3_check_options *opt, size_t slots,
		       struct f3_check_result *ret)
{
	struct f3_check *c;
	int r = 0;

	if (opt->repair && m->read_only)
		return -EROFS;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->opt = opt;
	c->live = c->m = m;
	c->max_slots = slots;
	c->slots = malloc(slots * sizeof(*c->slots));
	if (!c->slots)
		r = -ENOMEM;
	if (!r && !opt->repair) {
		r = m->kv->ops->snapshot(m->kv, &c->view.kv);
		if (!r) {
			c->view.read_only = true;
			c->view.seed = m->seed;
			atomic_init(&c->view.has_xattrs, true);
			atomic_init(&c->view.has_extents, true);
			c->m = &c->view;
		}
	}
	if (!r)
		r = run(c);
	if (!r && opt->repair && c->result.repaired)
		r = f3_meta_sync(m);
	if (c->view.kv)
		c->view.kv->ops->close(c->view.kv);
	if (!r)
		*ret = c->result;
	for (size_t i = 0; i < c->n_volumes; i++)
		free(c->volumes[i].rec);
	free(c->volumes);
	free(c->slots);
	free(c);
	return r;
}

int f3_meta_check(struct f3_meta *m, const struct f3_check_options *opt,
		  struct f3_check_result *ret)
{
	return f3_meta_check_with(m, opt, TABLE_SLOTS, ret);
}
