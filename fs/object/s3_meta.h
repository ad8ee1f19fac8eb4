/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_meta: what an object says about itself in its headers, both ways. Pure.
 *
 *   x-amz-meta-mode, -uid, -gid   decimal, as s3fs writes them
 *   x-amz-meta-mtime, -atime      seconds since the epoch with up to nine decimals: s3fs, rclone
 *   x-amz-meta-rdev               decimal; of devices only
 *   x-amz-meta-xattr              s3fs's: JSON of base64, percent-encoded
 *   x-amz-meta-f3-xattrs          base64 of the records, where a name is not UTF-8
 *   x-amz-meta-f3-gen             the generation
 *
 * A mode in octal, as rclone writes it, is understood where it can be told from a decimal one.
 * What is malformed is as if it was not there.
 */
#ifndef F3_OBJECT_S3_META_H
#define F3_OBJECT_S3_META_H

#include "fs/object/object.h"
#include "fs/object/s3_headers.h"

/* Adds the headers. attr and gen may be NULL. */
void f3_s3_meta_put(struct f3_s3_headers *h, const struct f3_obj_attr *attr,
		    const struct f3_obj_gen *gen);
/* Everything of info but size; xattrs are put into heap memory that the caller frees (*ret_heap,
 * NULL: none). is_dir is left as it is. 0 or -ENOMEM. */
int f3_s3_meta_get(const struct f3_s3_headers *h, struct f3_obj_info *info, void **ret_heap);
/* Is it one of those above, made anew by f3_s3_meta_put? Others are kept over a copy. */
bool f3_s3_meta_ours(const char *name);
/* An ETag without its quotation marks: headers have them, listings of some servers not. "" for one
 * with control characters in it. */
void f3_s3_etag(const char *text, char ret_etag[F3_OBJ_ETAG_MAX + 1]);
/* "Wed, 21 Oct 2015 07:28:00 GMT" and "2015-10-21T07:28:00.000Z"; 0 if it is neither. */
int64_t f3_s3_time_ns(const char *text);
/* By the ending of the key's name; "application/octet-stream". */
const char *f3_s3_content_type(const char *key);

#endif
