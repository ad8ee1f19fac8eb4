/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/xattr.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fs/base/clock.h"
#include "fs/base/process.h"
#include "fs/core/acl.h"
#include "fs/core/answered.h"
#include "fs/core/authority.h"
#include "fs/core/move.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"
#include "fs/core/store_dir.h"

#define CAPS "security.capability"
#define OWN "user.f3."

static bool starts(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* 0, -EOPNOTSUPP for namespaces that are not stored, -ERANGE for names too long. */
static int check_name(const char *name)
{
	size_t len = strlen(name);

	if (len > F3_XATTR_NAME_MAX)
		return -ERANGE;
	if (!strcmp(name, F3_ACL_ACCESS) || !strcmp(name, F3_ACL_DEFAULT))
		return 0;
	/* Labels of SELinux come with the mount here; saying so once spares ls(1) a question per
	 * file. */
	if (!strcmp(name, "security.selinux"))
		return -EOPNOTSUPP;
	if (starts(name, "user."))
		return len > 5 ? 0 : -EINVAL;
	if (starts(name, "trusted."))
		return len > 8 ? 0 : -EINVAL;
	if (starts(name, "security."))
		return len > 9 ? 0 : -EINVAL;
	return -EOPNOTSUPP;
}

/* Who may write a file may not say for that what becomes of it: class and stream are the owner's. */
static bool is_owner(struct f3_inode *inode, const struct f3_caller *who)
{
	uid_t owner;

	f3_lock(&inode->lock);
	owner = inode->rec.uid;
	f3_unlock(&inode->lock);
	return who->uid == 0 || who->uid == owner || f3_process_can(who->pid, CAP_FOWNER);
}

static int get_writable(struct f3_core *core, uint64_t ino, struct f3_inode **ret_inode)
{
	struct f3_inode *inode;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	r = inode->volume ? f3_authority_here(core, inode->volume) : -EPERM;
	if (!r && inode->dead)
		r = -ESTALE;
	if (r) {
		f3_inode_put(core, inode);
		return r;
	}
	*ret_inode = inode;
	return 0;
}

struct sum {
	size_t bytes;
	const char *except;
};

static int sum_one(void *arg, const char *name, size_t len, const uint8_t *value, size_t vlen)
{
	struct sum *sum = arg;

	(void)value;
	if (strlen(sum->except) != len || memcmp(sum->except, name, len) != 0)
		sum->bytes += len + vlen;
	return 0;
}

/* Object metadata is small: all xattrs of a file in the store must fit. Inode lock held. */
static int check_room(struct f3_core *core, struct f3_inode *inode, const char *name, size_t size)
{
	struct sum sum = { .except = name };
	int r;

	if (!inode->volume->store || !f3_class_in_store((enum f3_class)inode->rec.class_))
		return 0;
	r = f3_meta_each_xattr(core->meta, inode->ino, sum_one, &sum);
	if (r)
		return r;
	return sum.bytes + strlen(name) + size > F3_XATTR_STORE_MAX ? -ENOSPC : 0;
}

static void set_flag(struct f3_inode *inode, const char *name, bool on)
{
	uint32_t flag = 0;

	if (!strcmp(name, F3_ACL_ACCESS))
		flag = F3_INO_HAS_ACL;
	else if (!strcmp(name, F3_ACL_DEFAULT))
		flag = F3_INO_HAS_DEFAULT_ACL;
	else if (!strcmp(name, CAPS))
		flag = F3_INO_HAS_CAPS;
	if (on)
		inode->rec.flags |= flag | F3_INO_HAS_XATTR;
	else
		inode->rec.flags &= ~flag;
}

static int stored(struct f3_core *core, struct f3_inode *inode, const char *name)
{
	struct f3_buf value;
	int r;

	f3_buf_init(&value, F3_XATTR_VALUE_MAX);
	r = f3_meta_get_xattr(core->meta, inode->ino, name, strlen(name), &value);
	f3_buf_done(&value);
	return r == -ENOENT ? 0 : r ? r : 1;
}

/* Inode lock held. value NULL: removal. */
static int put_locked(struct f3_core *core, struct f3_inode *inode, const char *name,
		      const void *value, size_t size, int flags, struct f3_batch *b)
{
	int have = stored(core, inode, name), r;

	if (have < 0)
		return have;
	if (have && (flags & XATTR_CREATE))
		return -EEXIST;
	if (!have && ((flags & XATTR_REPLACE) || !value))
		return -ENODATA;
	if (value) {
		r = check_room(core, inode, name, size);
		if (r)
			return r;
		f3_batch_put_xattr(b, inode->ino, name, strlen(name), value, size);
	} else {
		f3_batch_del_xattr(b, inode->ino, name, strlen(name));
	}
	set_flag(inode, name, value != NULL);
	return 0;
}

/* An access ACL that says no more than the mode bits is the mode bits. Inode lock held. */
static int put_acl_locked(struct f3_core *core, struct f3_inode *inode, const char *name,
			  const void *value, size_t size, bool kill_sgid, struct f3_batch *b)
{
	bool minimal;
	mode_t mode;
	int r;

	if (S_ISLNK(inode->rec.mode))
		return -EOPNOTSUPP;
	if (!strcmp(name, F3_ACL_DEFAULT)) {
		if (!S_ISDIR(inode->rec.mode))
			return value ? -EACCES : 0;
		r = value ? f3_acl_check(value, size) : 0;
	} else if (value) {
		r = f3_acl_to_mode(value, size, inode->rec.mode, &mode, &minimal);
		if (!r) {
			inode->rec.mode = mode;
			if (kill_sgid)
				inode->rec.mode &= ~(uint32_t)S_ISGID;
			if (minimal)
				value = NULL;
		}
	} else {
		r = 0;
	}
	if (r)
		return r;
	r = put_locked(core, inode, name, value, size, 0, b);
	return r == -ENODATA ? 0 : r;
}

static int change(struct f3_core *core, struct f3_inode *inode, const char *name, const void *value,
		  size_t size, int flags, bool kill_sgid, const struct f3_caller *who)
{
	struct f3_inode_rec was;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	was = inode->rec;
	r = starts(name, "system.") ? put_acl_locked(core, inode, name, value, size, kill_sgid, b) :
				      put_locked(core, inode, name, value, size, flags, b);
	if (!r) {
		inode->rec.ctime_ns = f3_clock_file_ns();
		f3_stage_attr_mark(inode, b);
		f3_batch_put_inode(b, &inode->rec);
		f3_answered_put(core, who, 0, b);
		r = f3_batch_commit(b);
	}
	if (r)
		inode->rec = was;
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	if (!r && inode->volume->store)
		f3_stage_attr_changed(core, inode);
	return r;
}

#define STREAM_FLAGS ((uint32_t)(F3_INO_STREAM | F3_INO_STREAM_OFF))
/* Or 0 off, 1 on. */
#define STREAM_NONE (-1)
#define STREAM_KEEP (-2)

/* The record's part of user.f3., in one batch: a place (NULL: as it is) and the stream flag. */
static int set_rec(struct f3_core *core, struct f3_inode *inode,
		   const struct f3_placement_result *place, int stream, const struct f3_caller *who)
{
	struct f3_inode_rec was;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	was = inode->rec;
	if (place) {
		inode->rec.class_ = (uint8_t)place->class_;
		inode->rec.class_source = (uint8_t)place->source;
	}
	if (stream != STREAM_KEEP)
		inode->rec.flags &= ~STREAM_FLAGS;
	if (stream >= 0)
		inode->rec.flags |= stream ? F3_INO_STREAM : F3_INO_STREAM_OFF;
	inode->rec.ctime_ns = f3_clock_file_ns();
	f3_batch_put_inode(b, &inode->rec);
	f3_answered_put(core, who, 0, b);
	/* Removed meanwhile, by a program while f3ctl works on it: its record must not come back. */
	r = inode->dead ? -ESTALE : f3_batch_commit(b);
	if (r)
		inode->rec = was;
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	return r;
}

/* A directory's class and stream flag are only for what is made in it from now on. */
static int set_dir(struct f3_core *core, struct f3_inode *dir,
		   const struct f3_placement_result *place, int stream, const struct f3_caller *who)
{
	int r = set_rec(core, dir, place, stream, who);

	/* After the change: what is worked out meanwhile does not count. */
	core->inherit_epoch++;
	return r;
}

static int set_dir_class(struct f3_core *core, struct f3_inode *dir, enum f3_class class_,
			 const struct f3_caller *who)
{
	const struct f3_placement_result own = { .class_ = class_, .source = F3_FROM_OWN };

	if (class_ == F3_CLASS_REPLICATED || (f3_class_in_store(class_) && !dir->volume->store))
		return -EOPNOTSUPP;
	if (f3_class_in_store(class_) && dir->local_tree)
		return -EPERM;
	return set_dir(core, dir, &own, STREAM_KEEP, who);
}

static int set_own(struct f3_core *core, struct f3_inode *inode, const char *key, const char *value,
		   size_t size, int flags, const struct f3_caller *who)
{
	enum f3_class class_ = F3_CLASS_NONE;
	int stream = STREAM_KEEP, r;

	if (!strcmp(key, "class")) {
		r = f3_class_parse(value, size, &class_);
		if (r)
			return r;
		if (inode->rec.class_source == F3_FROM_OWN ? flags & XATTR_CREATE :
							     flags & XATTR_REPLACE)
			return flags & XATTR_CREATE ? -EEXIST : -ENODATA;
	} else if (!strcmp(key, "stream")) {
		if (size != 1 || (*value != '0' && *value != '1'))
			return -EINVAL;
		stream = *value == '1';
	} else {
		return -EPERM; /* state, nodes, etag are F3's to say */
	}
	if (S_ISDIR(inode->rec.mode))
		return stream == STREAM_KEEP ? set_dir_class(core, inode, class_, who) :
					       set_dir(core, inode, NULL, stream, who);
	if (!S_ISREG(inode->rec.mode))
		return -EOPNOTSUPP;
	if (stream >= 0)
		return set_rec(core, inode, NULL, stream, who);
	r = f3_class_in_store(class_) ? f3_journal_room(inode->volume, who) : 0;
	return r ? r : f3_move_class(core, inode, class_, F3_FROM_OWN, who);
}

int f3_xattr_set(struct f3_core *core, uint64_t ino, const char *name, const void *value,
		 size_t size, int flags, bool kill_sgid, const struct f3_caller *who)
{
	struct f3_inode *inode;
	int r = check_name(name);

	if (r)
		return r;
	if (size > F3_XATTR_VALUE_MAX)
		return -E2BIG;
	r = get_writable(core, ino, &inode);
	if (r)
		return r;
	r = f3_store_known(core, inode, who);
	if (!r)
		r = f3_stage_room(inode, who);
	if (r) {
		f3_inode_put(core, inode);
		return r;
	}
	if (starts(name, OWN))
		r = !is_owner(inode, who) ?
			    -EPERM :
			    set_own(core, inode, name + strlen(OWN), value, size, flags, who);
	else
		r = change(core, inode, name, value, size, flags, kill_sgid, who);
	f3_inode_put(core, inode);
	return r;
}

static int get_own(struct f3_core *core, struct f3_inode *inode, const char *key,
		   struct f3_buf *out)
{
	const char *text = NULL;
	char etag[F3_ETAG_MAX + 1];
	bool is_dir = S_ISDIR(inode->rec.mode);

	f3_lock(&inode->lock);
	if (!strcmp(key, "class")) {
		text = f3_class_name((enum f3_class)inode->rec.class_);
	} else if (!strcmp(key, "stream")) {
		if (inode->rec.flags & F3_INO_STREAM)
			text = "1";
		else if (inode->rec.flags & F3_INO_STREAM_OFF)
			text = "0";
	} else if (!strcmp(key, "state") && !is_dir) {
		text = f3_state_name((enum f3_state)inode->rec.state);
	} else if (!strcmp(key, "nodes") && !is_dir) {
		text = inode->rec.state == F3_STATE_REMOTE ? "" : core->node_name;
	} else if (!strcmp(key, "etag") && inode->rec.etag[0]) {
		snprintf(etag, sizeof(etag), "%s", inode->rec.etag);
		text = etag;
	}
	f3_unlock(&inode->lock);
	if (!text)
		return -ENODATA;
	f3_buf_put(out, text, strlen(text));
	return out->error;
}

int f3_xattr_get(struct f3_core *core, uint64_t ino, const char *name, struct f3_buf *out)
{
	struct f3_inode *inode;
	uint32_t flags;
	int r = check_name(name);

	if (r)
		return r;
	r = f3_inode_get(core, ino, &inode);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	f3_lock(&inode->lock);
	flags = inode->rec.flags;
	f3_unlock(&inode->lock);
	/* The flags answer most questions without the database. */
	if (starts(name, OWN))
		r = get_own(core, inode, name + strlen(OWN), out);
	else if (!(flags & F3_INO_HAS_XATTR) ||
		 (!strcmp(name, F3_ACL_ACCESS) && !(flags & F3_INO_HAS_ACL)) ||
		 (!strcmp(name, F3_ACL_DEFAULT) && !(flags & F3_INO_HAS_DEFAULT_ACL)) ||
		 (!strcmp(name, CAPS) && !(flags & F3_INO_HAS_CAPS)))
		r = -ENODATA;
	else
		r = f3_meta_get_xattr(core->meta, ino, name, strlen(name), out);
	f3_inode_put(core, inode);
	return r == -ENOENT ? -ENODATA : r;
}

struct listing {
	struct f3_buf *out;
	bool privileged;
};

static int list_one(void *arg, const char *name, size_t len, const uint8_t *value, size_t vlen)
{
	struct listing *l = arg;

	(void)value;
	(void)vlen;
	if (!l->privileged && len > 8 && !memcmp(name, "trusted.", 8))
		return 0;
	f3_buf_put(l->out, name, len);
	f3_buf_put_u8(l->out, 0);
	return l->out->error;
}

int f3_xattr_list(struct f3_core *core, uint64_t ino, struct f3_buf *out,
		  const struct f3_caller *who)
{
	struct listing l = { .out = out, .privileged = who->uid == 0 };
	struct f3_inode *inode;
	uint32_t flags;
	bool own_class;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	f3_lock(&inode->lock);
	flags = inode->rec.flags;
	own_class = inode->rec.class_source == F3_FROM_OWN;
	f3_unlock(&inode->lock);
	if (flags & F3_INO_HAS_XATTR)
		r = f3_meta_each_xattr(core->meta, ino, list_one, &l);
	if (!r && own_class)
		f3_buf_put(out, OWN "class", sizeof(OWN "class"));
	if (!r && (flags & (F3_INO_STREAM | F3_INO_STREAM_OFF)))
		f3_buf_put(out, OWN "stream", sizeof(OWN "stream"));
	f3_inode_put(core, inode);
	return r ? r : out->error;
}

/* Without a class or flag of its own a file goes by its name again. */
static int remove_own(struct f3_core *core, struct f3_inode *inode, const char *key,
		      const struct f3_caller *who)
{
	struct f3_placement_result place;
	struct f3_inode *dir;
	int r;

	if (!strcmp(key, "stream")) {
		if (!(inode->rec.flags & STREAM_FLAGS))
			return -ENODATA;
		return S_ISDIR(inode->rec.mode) ? set_dir(core, inode, NULL, STREAM_NONE, who) :
						  set_rec(core, inode, NULL, STREAM_NONE, who);
	}
	if (strcmp(key, "class") != 0)
		return -EPERM;
	if (inode->rec.class_source != F3_FROM_OWN)
		return -ENODATA;
	if (!inode->rec.parent || inode->rec.parent == F3_INO_ROOT) {
		place.class_ = inode->volume->placement.dflt;
		place.source = F3_FROM_DEFAULT;
	} else {
		r = f3_inode_get(core, inode->rec.parent, &dir);
		if (r)
			return r;
		r = f3_ns_place(core, dir, inode->rec.name, S_ISDIR(inode->rec.mode), NULL, &place);
		f3_inode_put(core, dir);
		if (r)
			return r;
	}
	if (S_ISDIR(inode->rec.mode))
		return set_dir(core, inode, &place, STREAM_KEEP, who);
	return f3_move_class(core, inode, place.class_, place.source, who);
}

int f3_xattr_remove(struct f3_core *core, uint64_t ino, const char *name,
		    const struct f3_caller *who)
{
	struct f3_inode *inode;
	int r = check_name(name);

	if (r)
		return r;
	r = get_writable(core, ino, &inode);
	if (r)
		return r;
	r = f3_store_known(core, inode, who);
	if (!r)
		r = f3_stage_room(inode, who);
	if (r) {
		f3_inode_put(core, inode);
		return r;
	}
	if (starts(name, OWN))
		r = !is_owner(inode, who) ? -EPERM :
					    remove_own(core, inode, name + strlen(OWN), who);
	else
		r = change(core, inode, name, NULL, 0, 0, false, who);
	f3_inode_put(core, inode);
	return r;
}
