/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_attr: attributes of files as they travel with their objects, both ways.
 *
 * Out: mode, owner, times, device number and all stored xattrs, the ACLs among them.
 * In: the same, and for objects of others what they do not say: files 0644, directories 0755, the
 * owner of the volume's root, the store's own time. What gives rights does not come in from a
 * store, where others may write: suid and sgid of files, security.* and trusted.* xattrs, access to
 * devices.
 */
#ifndef F3_CORE_STORE_ATTR_H
#define F3_CORE_STORE_ATTR_H

#include "fs/core/inode.h"
#include "fs/core/volume.h"
#include "fs/object/object.h"

struct f3_store_attr {
	struct f3_obj_attr attr;
	struct f3_buf xattrs;		/* what attr.xattrs points to */
	int64_t ctime_ns;		/* of the record they were taken from */
};

/* Those of now. Inode lock held (or the inode nobody else's). ret_a is not to be moved. After
 * success f3_store_attr_done. */
int f3_store_attr_take(struct f3_core *core, const struct f3_inode *inode,
		       struct f3_store_attr *ret_a);
void f3_store_attr_done(struct f3_store_attr *a);

/* The type of what an object stands for; 0: something that is none of ours. */
uint32_t f3_store_attr_type(const struct f3_obj_info *info);
/* Mode, owner and times of a record after its object, and with a batch its xattrs and their flags
 * (instead of those that were there). Where the store does not tell them they are guessed. */
struct f3_store_owner {
	uint32_t uid, gid;
};
int f3_store_attr_put(struct f3_volume *v, const struct f3_obj_info *info,
		      const struct f3_store_owner *owner, int64_t now_ns,
		      struct f3_inode_rec *rec, struct f3_batch *b);
/* Who owns what says nothing about it. No inode lock held. */
void f3_store_attr_owner(struct f3_volume *v, struct f3_store_owner *ret_owner);
/* Has somebody changed mode, owner or time of the object without its being another one? */
bool f3_store_attr_differs(const struct f3_obj_info *info, const struct f3_inode_rec *rec);

/* With the etag: does a listing of a store that lists no attributes prove that the record's are right?
 * Times of the same object differ by fractions of a second, depending on what was asked. */
bool f3_store_attr_proved(const struct f3_obj_info *info, const struct f3_inode_rec *rec);

#endif
