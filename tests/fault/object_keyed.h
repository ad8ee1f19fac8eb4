/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object_keyed: an object store in memory that is like S3 where file:// is not.
 *
 * Objects are bytes under a key; a directory is a marker "a/" or a prefix of keys, and `a` may be
 * there too. Listings come in the order of keys, with nothing but size, ETag and time; the ETag is
 * that of the bytes, so attributes change without it. There is no rename, and no uploads. All
 * conditions are enforced.
 *
 * Operations complete before submit returns; or in rounds: all that have come since the round before
 * are carried out at once, a moment after the first of them. Thread-safe.
 */
#ifndef F3_TESTS_FAULT_OBJECT_KEYED_H
#define F3_TESTS_FAULT_OBJECT_KEYED_H

#include "fs/object/object.h"

/* Entries of a page of a listing: at most F3_OBJ_LIST_MAX. 0 or -ENOMEM. */
int f3_object_keyed_open(unsigned page, struct f3_object_store **ret_s);
/* It is to be closed once more. */
void f3_object_keyed_ref(struct f3_object_store *s);

/* What others do to it. key: "a/" is a marker. attr NULL: none is known. 0 or -ENOMEM. */
int f3_object_keyed_put(struct f3_object_store *s, const char *key, const void *bytes, size_t len,
			const struct f3_obj_attr *attr);
void f3_object_keyed_remove(struct f3_object_store *s, const char *key);
/* Bytes and attributes under the key; false: there is none. ret_* may be NULL; as much as fits. */
bool f3_object_keyed_get(struct f3_object_store *s, const char *key, void *ret_bytes, size_t size,
			 size_t *ret_len, struct f3_obj_attr *ret_attr);
size_t f3_object_keyed_count(struct f3_object_store *s);
/* From now on in rounds, each of so many ms. */
void f3_object_keyed_set_rounds(struct f3_object_store *s, unsigned ms);
uint64_t f3_object_keyed_rounds(struct f3_object_store *s);
/* The most operations of one round since the last call. */
unsigned f3_object_keyed_widest(struct f3_object_store *s);

#endif
