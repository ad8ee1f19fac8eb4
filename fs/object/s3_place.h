/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_place: where a volume's objects lie: server, bucket, prefix, and how they are addressed. Pure.
 *
 *     s3://bucket/prefix   with an endpoint of its own, or AWS's of the region
 *
 * An object's URL is https://HOST/PREFIX/KEY with the bucket in the host's name (virtual-host style),
 * or https://HOST/BUCKET/PREFIX/KEY (path style). Without a word about it AWS's servers are asked in
 * the first way, except for buckets whose names have dots (no certificate fits them), others in the
 * second.
 */
#ifndef F3_OBJECT_S3_PLACE_H
#define F3_OBJECT_S3_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/err.h"
#include "fs/object/object.h"

#define F3_S3_HOST_MAX 320
#define F3_S3_PATH_MAX 1200	/* "/bucket/prefix/key/" */
#define F3_S3_REGION_MAX 63

struct f3_s3_place {
	char bucket[64];
	char prefix[F3_OBJ_KEY_MAX + 2];	/* ends with a slash, or "" */
	char host[F3_S3_HOST_MAX];		/* as the header Host says it */
	char base[F3_S3_HOST_MAX + 8];		/* "https://" host */
	char region[F3_S3_REGION_MAX + 1];
	bool path_style, tls;
};

/* url: s3://... (checked like every other volume's), endpoint: "http://HOST[:PORT]", NULL: AWS's.
 * -EINVAL with the reason. */
int f3_s3_place_parse(const char *url, const char *endpoint, const char *region,
		      enum f3_s3_style style, struct f3_s3_place *ret_p, struct f3_err *err);
/* Path of a key, not encoded; marker: that of the directory. NULL: of the bucket itself.
 * -ENAMETOOLONG: the store would not take it. */
int f3_s3_place_path(const struct f3_s3_place *p, const char *key, bool marker,
		     char ret_path[F3_S3_PATH_MAX]);
/* The key in the bucket (with the prefix). */
int f3_s3_place_key(const struct f3_s3_place *p, const char *key, bool marker,
		    char ret_key[F3_OBJ_KEY_MAX + 2]);

#endif
