/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/store_attr.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/core/acl.h"

#define XATTRS_MAX (128u << 10)

/* ---- Out ---- */

static int add_xattr(void *arg, const char *name, size_t len, const uint8_t *value, size_t vlen)
{
	struct f3_buf *out = arg;

	f3_buf_put_str16(out, name, len);
	f3_buf_put_u32(out, (uint32_t)vlen);
	f3_buf_put(out, value, vlen);
	return out->error;
}

int f3_store_attr_take(struct f3_core *core, const struct f3_inode *inode,
		       struct f3_store_attr *ret_a)
{
	const struct f3_inode_rec *rec = &inode->rec;
	int r = 0;

	ret_a->attr = (struct f3_obj_attr){
		.mode = rec->mode,
		.uid = rec->uid,
		.gid = rec->gid,
		.mtime_ns = rec->mtime_ns,
		.atime_ns = rec->atime_ns,
		.rdev = rec->rdev,
		.have_mode = true,
		.have_owner = true,
		.have_mtime = true,
		.have_atime = true,
	};
	ret_a->ctime_ns = rec->ctime_ns;
	f3_buf_init(&ret_a->xattrs, XATTRS_MAX);
	if (rec->flags & F3_INO_HAS_XATTR)
		r = f3_meta_each_xattr(core->meta, inode->ino, add_xattr, &ret_a->xattrs);
	if (r) {
		f3_buf_done(&ret_a->xattrs);
		return r;
	}
	ret_a->attr.xattrs = ret_a->xattrs.len ? ret_a->xattrs.data : NULL;
	ret_a->attr.xattrs_len = ret_a->xattrs.len;
	return 0;
}

void f3_store_attr_done(struct f3_store_attr *a)
{
	if (a)
		f3_buf_done(&a->xattrs);
}

/* ---- In ---- */

uint32_t f3_store_attr_type(const struct f3_obj_info *info)
{
	uint32_t type = info->attr.have_mode ? info->attr.mode & S_IFMT : 0;

	if (info->is_dir)
		return S_IFDIR;
	switch (type) {
	case 0:
		return S_IFREG;
	case S_IFREG:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return type;
	default:
		return 0;
	}
}

static bool welcome(const char *name, size_t len, const uint8_t *value, size_t vlen, bool is_dir,
		    uint32_t *ret_flag)
{
	*ret_flag = 0;
	if (len > F3_XATTR_NAME_MAX || vlen > F3_XATTR_VALUE_MAX || memchr(name, 0, len))
		return false;
	if (len > 5 && !memcmp(name, "user.", 5))
		return len < 8 || memcmp(name, "user.f3.", 8) != 0;
	if (len == sizeof(F3_ACL_ACCESS) - 1 && !memcmp(name, F3_ACL_ACCESS, len)) {
		*ret_flag = F3_INO_HAS_ACL;
		return f3_acl_check(value, vlen) == 0;
	}
	if (len == sizeof(F3_ACL_DEFAULT) - 1 && !memcmp(name, F3_ACL_DEFAULT, len)) {
		*ret_flag = F3_INO_HAS_DEFAULT_ACL;
		return is_dir && f3_acl_check(value, vlen) == 0;
	}
	return false;
}

static int drop_xattr(void *arg, const char *name, size_t len, const uint8_t *value, size_t vlen)
{
	struct {
		struct f3_batch *b;
		uint64_t ino;
	} *drop = arg;

	(void)value;
	(void)vlen;
	f3_batch_del_xattr(drop->b, drop->ino, name, len);
	return 0;
}

static int put_xattrs(struct f3_core *core, const struct f3_obj_info *info,
		      struct f3_inode_rec *rec, struct f3_batch *b)
{
	struct {
		struct f3_batch *b;
		uint64_t ino;
	} drop = { b, rec->ino };
	struct f3_rd rd;
	int r = 0;

	if (rec->flags & F3_INO_HAS_XATTR)
		r = f3_meta_each_xattr(core->meta, rec->ino, drop_xattr, &drop);
	if (r)
		return r;
	rec->flags &= ~(uint32_t)(F3_INO_HAS_XATTR | F3_INO_HAS_ACL | F3_INO_HAS_DEFAULT_ACL |
				  F3_INO_HAS_CAPS);
	f3_rd_init(&rd, info->attr.xattrs, info->attr.xattrs ? info->attr.xattrs_len : 0);
	while (rd.left) {
		size_t len;
		const char *name = (const char *)f3_rd_str16(&rd, &len);
		uint32_t vlen = f3_rd_u32(&rd), flag;
		const uint8_t *value = f3_rd_bytes(&rd, vlen);

		if (rd.error)
			break; /* malformed: what was readable is taken */
		if (!len || !welcome(name, len, value, vlen, info->is_dir, &flag))
			continue;
		f3_batch_put_xattr(b, rec->ino, name, len, value, vlen);
		rec->flags |= flag | F3_INO_HAS_XATTR;
	}
	return 0;
}

void f3_store_attr_owner(struct f3_volume *v, struct f3_store_owner *ret_owner)
{
	struct f3_inode *root;

	*ret_owner = (struct f3_store_owner){ .uid = 0 };
	if (f3_inode_get(v->core, v->root_ino, &root))
		return;
	f3_lock(&root->lock);
	ret_owner->uid = root->rec.uid;
	ret_owner->gid = root->rec.gid;
	f3_unlock(&root->lock);
	f3_inode_put(v->core, root);
}

int f3_store_attr_put(struct f3_volume *v, const struct f3_obj_info *info,
		      const struct f3_store_owner *owner, int64_t now_ns, struct f3_inode_rec *rec,
		      struct f3_batch *b)
{
	const struct f3_obj_attr *attr = &info->attr;
	uint32_t type = f3_store_attr_type(info);

	rec->mode = type | (type == S_IFDIR ? 0755 : type == S_IFLNK ? 0777 : 0644);
	if (attr->have_mode && type != S_IFLNK)
		rec->mode = type | (attr->mode & 07777);
	if (type != S_IFDIR)
		rec->mode &= ~(uint32_t)(S_ISUID | S_ISGID);
	if (attr->have_owner) {
		rec->uid = attr->uid;
		rec->gid = attr->gid;
	} else {
		rec->uid = owner->uid;
		rec->gid = owner->gid;
	}
	rec->rdev = 0;
	if (type == S_IFCHR || type == S_IFBLK) {
		rec->rdev = attr->rdev;
		rec->mode = type;
		rec->uid = rec->gid = 0;
	}
	/* A directory that is only seen through its keys has no time: it is as old as it is known here. */
	rec->mtime_ns = attr->have_mtime  ? attr->mtime_ns :
			info->modified_ns ? info->modified_ns :
					    now_ns;
	rec->atime_ns = attr->have_atime ? attr->atime_ns : rec->mtime_ns;
	rec->ctime_ns = now_ns;
	rec->flags &= ~(uint32_t)F3_INO_GUESSED;
	if (!info->have_attr)
		rec->flags |= F3_INO_GUESSED;
	rec->modified_ns = 0;
	if (info->have_attr && !info->is_dir && !v->store->caps.list_has_attr)
		rec->modified_ns = info->modified_ns;
	return b && info->have_attr ? put_xattrs(v->core, info, rec, b) : 0;
}

bool f3_store_attr_proved(const struct f3_obj_info *info, const struct f3_inode_rec *rec)
{
	return rec->modified_ns && rec->modified_ns / 1000000000 == info->modified_ns / 1000000000;
}

bool f3_store_attr_differs(const struct f3_obj_info *info, const struct f3_inode_rec *rec)
{
	const struct f3_obj_attr *attr = &info->attr;

	if (!info->have_attr || S_ISLNK(rec->mode) || S_ISCHR(rec->mode) || S_ISBLK(rec->mode))
		return false;
	if (attr->have_mode && (attr->mode & 07777) != (rec->mode & 07777))
		return true;
	if (attr->have_owner && (attr->uid != rec->uid || attr->gid != rec->gid))
		return true;
	return !info->is_dir && attr->have_mtime && attr->mtime_ns != rec->mtime_ns;
}
