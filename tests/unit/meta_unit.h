/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meta_unit: a database in a directory of its own, for the tests of the metadata layer.
 *
 * The directory is below F3_TEST_TMP (or /tmp) and removed by meta_unit_done. Everything here
 * fails the running check when it does not work.
 */
#ifndef F3_TESTS_UNIT_META_UNIT_H
#define F3_TESTS_UNIT_META_UNIT_H

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/meta/meta.h"
#include "tests/fault/kv_fault.h"
#include "tests/unit/unit.h"

#define BOOT_A "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
#define BOOT_B "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"

struct meta_unit {
	char dir[200];
	struct f3_kv *kv;		/* the one that faults; owned by m */
	struct f3_meta *m;
	struct f3_err err;
};

static inline void meta_unit_init(struct meta_unit *u)
{
	const char *tmp = getenv("F3_TEST_TMP");

	memset(u, 0, sizeof(*u));
	snprintf(u->dir, sizeof(u->dir), "%s/f3-meta-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(u->dir));
}

static inline int meta_unit_rocks(struct meta_unit *u, bool read_only, bool create,
				  struct f3_kv **ret_kv)
{
	struct f3_kv_options opt = { .block_cache_bytes = 4 << 20,
				     .write_buffer_bytes = 4 << 20,
				     .read_only = read_only,
				     .create = create };

	u->err = (struct f3_err)F3_ERR_INIT;
	return f3_meta_rocks_open(u->dir, &opt, ret_kv, &u->err);
}

static inline struct f3_meta_options meta_unit_options(bool read_only, const char *boot)
{
	struct f3_meta_options opt = { .read_only = read_only, .node_uuid = "0123456789abcde" };

	snprintf(opt.boot_id, sizeof(opt.boot_id), "%s", boot);
	return opt;
}

/* What f3_meta_open says (or f3_meta_rocks_open, if it does not come so far). */
static inline int meta_unit_try(struct meta_unit *u, bool read_only, const char *boot)
{
	struct f3_meta_options opt = meta_unit_options(read_only, boot);
	struct f3_kv *inner;
	int r = meta_unit_rocks(u, read_only, !read_only, &inner);

	u->m = NULL;
	if (r)
		return r;
	ck_assert_int_eq(f3_kv_fault_new(inner, &u->kv), 0);
	return f3_meta_open(u->kv, &opt, &u->m, &u->err);
}

static inline void meta_unit_open(struct meta_unit *u)
{
	int r = meta_unit_try(u, false, BOOT_A);

	ck_assert_msg(r == 0, "%s: %s", f3_errno_name(r), u->err.text);
}

static inline void meta_unit_close(struct meta_unit *u)
{
	f3_meta_close(u->m);
	u->m = NULL;
}

static inline int meta_unit_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void meta_unit_done(struct meta_unit *u)
{
	meta_unit_close(u);
	nftw(u->dir, meta_unit_remove, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
