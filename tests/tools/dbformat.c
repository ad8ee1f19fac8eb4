/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dbformat DIRECTORY NUMBER: makes a database claim to be of another format.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/buf.h"
#include "fs/meta/kv.h"

int main(int argc, char **argv)
{
	const struct f3_kv_options opt = { .block_cache_bytes = 1 << 20,
					   .write_buffer_bytes = 1 << 20 };
	static const char key[] = "format";
	struct f3_err err = F3_ERR_INIT;
	struct f3_kv_batch *b;
	struct f3_buf value;
	struct f3_kv *kv;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: dbformat DIRECTORY NUMBER\n");
		return 2;
	}
	if (f3_meta_rocks_open(argv[1], &opt, &kv, &err)) {
		fprintf(stderr, "dbformat: %s\n", err.text);
		return 1;
	}
	f3_buf_init(&value, 64);
	r = kv->ops->get(kv, F3_CF_META, key, strlen(key), &value);
	/* a version byte, then the number */
	if (!r && value.len == 9 && !kv->ops->batch_new(kv, &b)) {
		value.len = 1;
		f3_buf_put_u64(&value, strtoull(argv[2], NULL, 10));
		kv->ops->batch_put(b, F3_CF_META, key, strlen(key), value.data, value.len);
		r = kv->ops->write(kv, b);
		kv->ops->batch_free(kv, b);
	} else {
		r = r ? r : -1;
	}
	kv->ops->close(kv);
	f3_buf_done(&value);
	if (r)
		fprintf(stderr, "dbformat: %d\n", r);
	return r ? 1 : 0;
}
