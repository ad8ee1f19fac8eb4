/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/acl.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* linux/posix_acl_xattr.h, linux/posix_acl.h: little-endian on every machine. */
#define ACL_VERSION 2u
#define ACL_USER_OBJ 0x01u
#define ACL_USER 0x02u
#define ACL_GROUP_OBJ 0x04u
#define ACL_GROUP 0x08u
#define ACL_MASK 0x10u
#define ACL_OTHER 0x20u

struct acl_entry {
	uint16_t tag;
	uint16_t perm;
	uint32_t id;
};

#define HEADER 4u
#define ENTRY 8u

static size_t entries(size_t size)
{
	return (size - HEADER) / ENTRY;
}

static struct acl_entry get(const void *acl, size_t i)
{
	struct acl_entry e;

	memcpy(&e, (const uint8_t *)acl + HEADER + i * ENTRY, sizeof(e));
	e.tag = le16toh(e.tag);
	e.perm = le16toh(e.perm);
	e.id = le32toh(e.id);
	return e;
}

static void set_perm(void *acl, size_t i, unsigned perm)
{
	uint16_t v = htole16((uint16_t)perm);

	memcpy((uint8_t *)acl + HEADER + i * ENTRY + 2, &v, sizeof(v));
}

int f3_acl_check(const void *acl, size_t size)
{
	unsigned state = ACL_USER_OBJ;
	bool need_mask = false;
	uint32_t version;

	if (size < HEADER || (size - HEADER) % ENTRY)
		return -EINVAL;
	memcpy(&version, acl, sizeof(version));
	if (le32toh(version) != ACL_VERSION)
		return -EINVAL;
	/* In the kernel's order: owner, users, group, groups, mask, other. */
	for (size_t i = 0; i < entries(size); i++) {
		struct acl_entry e = get(acl, i);

		if (e.perm > 7)
			return -EINVAL;
		if ((e.tag == ACL_USER || e.tag == ACL_GROUP) && e.id == UINT32_MAX)
			return -EINVAL; /* nobody, also for the kernel */
		switch (e.tag) {
		case ACL_USER_OBJ:
			if (state != ACL_USER_OBJ)
				return -EINVAL;
			state = ACL_USER;
			break;
		case ACL_USER:
			if (state != ACL_USER)
				return -EINVAL;
			need_mask = true;
			break;
		case ACL_GROUP_OBJ:
			if (state != ACL_USER)
				return -EINVAL;
			state = ACL_GROUP;
			break;
		case ACL_GROUP:
			if (state != ACL_GROUP)
				return -EINVAL;
			need_mask = true;
			break;
		case ACL_MASK:
			if (state != ACL_GROUP)
				return -EINVAL;
			state = ACL_OTHER;
			need_mask = false;
			break;
		case ACL_OTHER:
			if (state != ACL_OTHER && (state != ACL_GROUP || need_mask))
				return -EINVAL;
			state = 0;
			break;
		default:
			return -EINVAL;
		}
	}
	return state == 0 ? 0 : -EINVAL;
}

int f3_acl_to_mode(const void *acl, size_t size, mode_t mode, mode_t *ret_mode, bool *ret_minimal)
{
	bool minimal = true;
	mode_t perm = 0;
	int r = f3_acl_check(acl, size);

	if (r)
		return r;
	for (size_t i = 0; i < entries(size); i++) {
		struct acl_entry e = get(acl, i);

		switch (e.tag) {
		case ACL_USER_OBJ:
			perm |= (mode_t)e.perm << 6;
			break;
		case ACL_GROUP_OBJ:
			perm |= (mode_t)e.perm << 3;
			break;
		case ACL_MASK:
			perm = (perm & ~(mode_t)070) | (mode_t)e.perm << 3;
			minimal = false;
			break;
		case ACL_OTHER:
			perm |= e.perm;
			break;
		default:
			minimal = false;
		}
	}
	*ret_mode = (mode & ~(mode_t)0777) | perm;
	*ret_minimal = minimal;
	return 0;
}

/* The entry that the group bits of the mode stand for: the mask where there is one. */
static size_t group_entry(const void *acl, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < entries(size); i++) {
		struct acl_entry e = get(acl, i);

		if (e.tag == ACL_GROUP_OBJ)
			at = i;
		else if (e.tag == ACL_MASK)
			return i;
	}
	return at;
}

int f3_acl_chmod(void *acl, size_t size, mode_t mode)
{
	int r = f3_acl_check(acl, size);

	if (r)
		return r;
	for (size_t i = 0; i < entries(size); i++) {
		struct acl_entry e = get(acl, i);

		if (e.tag == ACL_USER_OBJ)
			set_perm(acl, i, (mode >> 6) & 7);
		else if (e.tag == ACL_OTHER)
			set_perm(acl, i, mode & 7);
	}
	set_perm(acl, group_entry(acl, size), (mode >> 3) & 7);
	return 0;
}

int f3_acl_create(const void *dflt, size_t size, mode_t mode, mode_t *ret_mode, struct f3_buf *out)
{
	size_t start = out->len, group;
	bool minimal;
	uint8_t *acl;
	mode_t got;
	int r = f3_acl_check(dflt, size);

	if (r)
		return r;
	f3_buf_put(out, dflt, size);
	if (out->error)
		return out->error;
	acl = out->data + start;
	group = group_entry(acl, size);
	for (size_t i = 0; i < entries(size); i++) {
		struct acl_entry e = get(acl, i);

		if (e.tag == ACL_USER_OBJ)
			set_perm(acl, i, e.perm & (mode >> 6) & 7);
		else if (e.tag == ACL_OTHER)
			set_perm(acl, i, e.perm & mode & 7);
		else if (i == group)
			set_perm(acl, i, e.perm & (mode >> 3) & 7);
	}
	r = f3_acl_to_mode(acl, size, mode, &got, &minimal);
	if (minimal)
		out->len = start;
	*ret_mode = got;
	return r;
}
