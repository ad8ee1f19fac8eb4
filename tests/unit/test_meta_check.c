/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "fs/meta/check_impl.h"
#include "tests/unit/meta_unit.h"

/*
 * A small tree in volume 1 (root directory VOLUME):
 *
 *	/v/dir/sub/deep		a directory in a directory in a directory
 *	/v/dir/file		one name, two xattrs, an ACL
 *	/v/one, /v/dir/two	the same inode
 *	/v/object		clean, in the store, half of it here
 *	/v/dirty		dirty, with a journal entry
 *	/v/link			a symlink
 *	(no name)		an orphan that is being written
 */
enum {
	VOLUME = 256,
	DIR_,
	SUB,
	DEEP,
	FILE_,
	TWICE,
	OBJECT,
	DIRTY,
	LINK,
	ORPHAN,
	FREE_INO, /* the next one that is not used */
};

static struct meta_unit u;
static char found[100][80];
static unsigned n_found, n_repaired;
static int backing_answer;

static void problem(void *arg, const struct f3_check_problem *p)
{
	(void)arg;
	ck_assert_uint_lt(n_found, 100);
	snprintf(found[n_found++], sizeof(found[0]), "%s", p->what);
	n_repaired += p->repaired;
	ck_assert_ptr_null(strchr(p->detail, '\n'));
	if (getenv("F3_VERBOSE"))
		printf("%" PRIu64 ": %s: %s%s\n", p->ino, p->what, p->detail,
		       p->repaired ? " (repaired)" : "");
}

static int backing(void *arg, const struct f3_inode_rec *rec)
{
	(void)arg;
	return rec->ino == OBJECT || rec->ino == FILE_ ? backing_answer : 0;
}

static uint64_t charge(const struct f3_inode_rec *rec)
{
	return S_ISREG(rec->mode) ? rec->size : 0;
}

static int check(bool repair, size_t slots, struct f3_check_result *ret)
{
	struct f3_check_options opt = {
		.repair = repair, .problem = problem, .backing = backing, .charge = charge
	};

	n_found = n_repaired = 0;
	return f3_meta_check_with(u.m, &opt, slots, ret);
}

static struct f3_batch *batch(void)
{
	struct f3_batch *b;

	ck_assert_int_eq(f3_batch_new(u.m, &b), 0);
	return b;
}

static void commit(struct f3_batch *b)
{
	ck_assert_int_eq(f3_batch_commit(b), 0);
	f3_batch_free(b);
}

static struct f3_inode_rec make(uint64_t ino, uint32_t mode, uint32_t nlink, uint64_t size,
				uint64_t parent, const char *name)
{
	struct f3_inode_rec rec = { .ino = ino,
				    .mode = mode,
				    .nlink = nlink,
				    .size = size,
				    .parent = parent,
				    .volume = 1,
				    .class_ = F3_CLASS_EPHEMERAL };

	rec.name_len = (uint8_t)strlen(name);
	memcpy(rec.name, name, rec.name_len);
	f3_meta_new_id(u.m, &rec.id);
	if (S_ISDIR(mode))
		rec.class_ = F3_CLASS_NONE;
	return rec;
}

static void put(struct f3_batch *b, struct f3_inode_rec rec)
{
	f3_batch_put_inode(b, &rec);
}

static void put_name(struct f3_batch *b, uint64_t parent, const char *name, uint64_t ino,
		     uint32_t mode)
{
	f3_batch_put_name(b, parent, name, strlen(name), ino, (uint8_t)IFTODT(mode));
}

static struct f3_volume_rec volume = {
	.id = 1, .name = "v", .root_ino = VOLUME, .used_bytes = 700, .used_inodes = 10
};

static void build(void)
{
	static struct f3_journal_entry e = { .type = F3_JOURNAL_PUT, .volume = 1, .ino = DIRTY };
	struct f3_batch *b = batch();
	struct f3_inode_rec rec;
	uint64_t ino = 0;

	while (ino + 1 < FREE_INO)
		ck_assert_int_eq(f3_meta_new_ino(u.m, &ino), 0);
	rec = make(F3_INO_ROOT, S_IFDIR | 0755, 3, 1, 0, "");
	rec.volume = 0;
	put(b, rec);
	put_name(b, F3_INO_ROOT, "v", VOLUME, S_IFDIR);
	put(b, make(VOLUME, S_IFDIR | 0755, 3, 5, F3_INO_ROOT, "v"));
	put_name(b, VOLUME, "dir", DIR_, S_IFDIR);
	put_name(b, VOLUME, "one", TWICE, S_IFREG);
	put_name(b, VOLUME, "object", OBJECT, S_IFREG);
	put_name(b, VOLUME, "dirty", DIRTY, S_IFREG);
	put_name(b, VOLUME, "link", LINK, S_IFLNK);
	put(b, make(DIR_, S_IFDIR | 0755, 3, 3, VOLUME, "dir"));
	put_name(b, DIR_, "sub", SUB, S_IFDIR);
	put_name(b, DIR_, "file", FILE_, S_IFREG);
	put_name(b, DIR_, "two", TWICE, S_IFREG);
	put(b, make(SUB, S_IFDIR | 0755, 3, 1, DIR_, "sub"));
	put_name(b, SUB, "deep", DEEP, S_IFDIR);
	put(b, make(DEEP, S_IFDIR | 0755, 2, 0, SUB, "deep"));

	rec = make(FILE_, S_IFREG | 0640, 1, 100, DIR_, "file");
	rec.backing = 1;
	rec.flags = F3_INO_HAS_XATTR | F3_INO_HAS_ACL;
	put(b, rec);
	f3_batch_put_xattr(b, FILE_, "user.a", 6, "1", 1);
	f3_batch_put_xattr(b, FILE_, "user.b", 6, "2", 1);
	f3_batch_put_xattr(b, FILE_, "system.posix_acl_access", 23, "acl", 3);
	put(b, make(TWICE, S_IFREG | 0644, 2, 100, VOLUME, "one"));

	rec = make(OBJECT, S_IFREG | 0644, 1, 200, VOLUME, "object");
	rec.class_ = F3_CLASS_DURABLE;
	rec.state = F3_STATE_FILLING;
	rec.backing = 1;
	snprintf(rec.etag, sizeof(rec.etag), "\"e\"");
	put(b, rec);
	f3_batch_put_extent(b, OBJECT, 0, 100);

	rec = make(DIRTY, S_IFREG | 0644, 1, 300, VOLUME, "dirty");
	rec.class_ = F3_CLASS_WRITEBACK;
	rec.flags = F3_INO_DIRTY;
	put(b, rec);
	f3_batch_put_mark(b, F3_MARK_DIRTY, DIRTY);
	e.seq = f3_meta_new_seq(u.m);
	f3_batch_put_journal(b, &e);

	rec = make(LINK, S_IFLNK | 0777, 1, 6, VOLUME, "link");
	rec.target = (char *)"target";
	rec.target_len = 6;
	put(b, rec);
	rec = make(ORPHAN, S_IFREG | 0644, 0, 0, 0, "");
	rec.flags = F3_INO_ORPHAN;
	rec.state = F3_STATE_WRITING;
	put(b, rec);
	f3_batch_put_mark(b, F3_MARK_ORPHAN, ORPHAN);
	f3_batch_put_mark(b, F3_MARK_WRITER, ORPHAN);
	f3_batch_put_volume(b, &volume);
	commit(b);
}

static void setup(void)
{
	meta_unit_init(&u);
	meta_unit_open(&u);
	build();
	backing_answer = 0;
	/* Usage is looked at after a stop in order only. */
	meta_unit_close(&u);
	meta_unit_open(&u);
}

static void teardown(void)
{
	meta_unit_done(&u);
}

/* ---- What can be wrong ---------------------------------------------------------------------- */

static struct f3_inode_rec get(uint64_t ino)
{
	struct f3_inode_rec rec;

	ck_assert_int_eq(f3_meta_get_inode(u.m, ino, &rec), 0);
	return rec;
}

static void raw(enum f3_cf cf, const void *key, size_t klen, const void *value, size_t vlen)
{
	struct f3_batch *b = batch();

	f3_batch_put_raw(b, cf, key, klen, value, vlen);
	commit(b);
}

static void raw_ino(enum f3_cf cf, uint64_t ino, const char *more, const void *value, size_t vlen)
{
	struct f3_buf key;

	f3_buf_init(&key, 300);
	f3_key_u64(&key, ino);
	f3_buf_put(&key, more, strlen(more));
	raw(cf, key.data, key.len, value, vlen);
	f3_buf_done(&key);
}

#define CHANGE(ino, what)                           \
	do {                                        \
		struct f3_batch *b_ = batch();      \
		struct f3_inode_rec rec = get(ino); \
		what;                               \
		f3_batch_put_inode(b_, &rec);       \
		commit(b_);                         \
		f3_inode_rec_done(&rec);            \
	} while (0)

#define BATCH(what)                           \
	do {                                  \
		struct f3_batch *b = batch(); \
		what;                         \
		commit(b);                    \
	} while (0)

static void inode_key(void)
{
	raw(F3_CF_INODES, "short", 5, "\1", 1);
}

static void inode_value(void)
{
	raw_ino(F3_CF_INODES, FILE_, "", "\1junk", 5);
}

static void inode_beyond(void)
{
	BATCH(put(b, make(1000000, S_IFREG, 1, 0, DEEP, "far"));
	      put_name(b, DEEP, "far", 1000000, S_IFREG));
	CHANGE(DEEP, rec.size = 1);
	BATCH(volume.used_inodes++; f3_batch_put_volume(b, &volume); volume.used_inodes--);
}

static void no_root(void)
{
	BATCH(f3_batch_del_inode(b, F3_INO_ROOT));
}

static void name_key(void)
{
	raw_ino(F3_CF_NAMES, DEEP, "12345678", "\1\0\0\0\0\0\0\1\4\10", 10);
}

static void name_slash(void)
{
	raw_ino(F3_CF_NAMES, DEEP, "12345678a/b", "\1\0\0\0\0\0\0\1\4\10", 10);
}

static void name_dots(void)
{
	raw_ino(F3_CF_NAMES, DEEP, "12345678..", "\1\0\0\0\0\0\0\1\4\10", 10);
}

static void name_value(void)
{
	struct f3_buf key;

	f3_buf_init(&key, 300);
	f3_key_name(&key, DIR_, f3_key_cookie(f3_meta_seed(u.m), "file", 4), "file", 4);
	raw(F3_CF_NAMES, key.data, key.len, "\1", 1);
	f3_buf_done(&key);
}

static void name_dangles(void)
{
	BATCH(put_name(b, DEEP, "gone", 4000, S_IFREG));
}

static void name_without_directory(void)
{
	BATCH(put_name(b, 4000, "lost", FILE_, S_IFREG));
}

static void name_in_a_file(void)
{
	BATCH(put_name(b, FILE_, "lost", TWICE, S_IFREG));
}

static void name_of_root(void)
{
	BATCH(put_name(b, DEEP, "up", F3_INO_ROOT, S_IFDIR));
}

static void name_cookie(void)
{
	BATCH(f3_batch_del_name(b, DIR_, "file", 4));
	raw_ino(F3_CF_NAMES, DIR_, "12345678file", "\1\0\0\0\0\0\0\1\4\10", 10);
}

static void name_cookie_twice(void)
{
	raw_ino(F3_CF_NAMES, DIR_, "12345678file", "\1\0\0\0\0\0\0\1\4\10", 10);
}

static void name_type(void)
{
	BATCH(put_name(b, DIR_, "sub", SUB, S_IFREG));
}

static void dir_two_names(void)
{
	BATCH(put_name(b, VOLUME, "again", SUB, S_IFDIR));
}

static void dir_elsewhere(void)
{
	CHANGE(SUB, rec.parent = VOLUME);
}

static void object_elsewhere(void)
{
	CHANGE(OBJECT, rec.name[0] = 'X');
}

static void dir_nameless(void)
{
	BATCH(f3_batch_del_name(b, DIR_, "sub", 3));
}

static void dir_circle(void)
{
	/* sub is taken out of dir and put into deep, which is in sub. */
	BATCH(f3_batch_del_name(b, DIR_, "sub", 3); put_name(b, DEEP, "sub", SUB, S_IFDIR));
	CHANGE(DIR_, rec.size--; rec.nlink--);
	CHANGE(DEEP, rec.size++; rec.nlink++);
	CHANGE(SUB, rec.parent = DEEP);
}

static void dir_size(void)
{
	CHANGE(DIR_, rec.size = 77);
}

static void dir_nlink(void)
{
	CHANGE(VOLUME, rec.nlink = 2);
}

static void file_nameless(void)
{
	BATCH(f3_batch_del_name(b, DIR_, "file", 4));
}

static void object_nameless(void)
{
	BATCH(f3_batch_del_name(b, VOLUME, "object", 6));
}

static void dirty_nameless(void)
{
	BATCH(f3_batch_del_name(b, VOLUME, "dirty", 5));
}

static void all_nameless(void)
{
	BATCH(f3_batch_del_name(b, F3_INO_ROOT, "v", 1); f3_batch_del_name(b, VOLUME, "dir", 3);
	      f3_batch_del_name(b, DIR_, "file", 4); f3_batch_del_name(b, VOLUME, "one", 3);
	      f3_batch_del_name(b, DIR_, "two", 3); f3_batch_del_name(b, SUB, "deep", 4);
	      put_name(b, F3_INO_ROOT, "v", VOLUME, S_IFDIR));
}

static void file_nlink(void)
{
	CHANGE(TWICE, rec.nlink = 1);
}

static void orphan_nlink(void)
{
	CHANGE(ORPHAN, rec.nlink = 1);
}

static void orphan_named(void)
{
	BATCH(put_name(b, DEEP, "back", ORPHAN, S_IFREG));
	CHANGE(DEEP, rec.size++);
}

static void mark_lacks_w(void)
{
	BATCH(f3_batch_del_mark(b, F3_MARK_WRITER, ORPHAN));
}

static void mark_lacks_o(void)
{
	BATCH(f3_batch_del_mark(b, F3_MARK_ORPHAN, ORPHAN));
}

static void mark_lacks_d(void)
{
	BATCH(f3_batch_del_mark(b, F3_MARK_DIRTY, DIRTY));
}

static void mark_of_nobody(void)
{
	BATCH(f3_batch_put_mark(b, F3_MARK_DIRTY, 4000));
}

static void mark_unknown(void)
{
	BATCH(f3_batch_put_mark(b, F3_MARK_WRITER, FILE_));
}

static void mark_key(void)
{
	raw(F3_CF_META, "w\0\0", 3, "\1", 1);
}

static void xattr_of_nobody(void)
{
	BATCH(f3_batch_put_xattr(b, 4000, "user.a", 6, "v", 1);
	      f3_batch_put_xattr(b, 4000, "user.b", 6, "v", 1));
}

static void xattr_unknown(void)
{
	BATCH(f3_batch_put_xattr(b, TWICE, "user.a", 6, "v", 1));
}

static void acl_unknown(void)
{
	BATCH(f3_batch_put_xattr(b, FILE_, "system.posix_acl_default", 24, "v", 1));
}

static void acl_missing(void)
{
	BATCH(f3_batch_del_xattr(b, FILE_, "system.posix_acl_access", 23));
}

static void xattr_value(void)
{
	raw_ino(F3_CF_XATTRS, FILE_, "user.c", "", 0);
}

static void extent_of_nobody(void)
{
	BATCH(f3_batch_put_extent(b, 4000, 0, 1));
}

static void extent_of_dir(void)
{
	BATCH(f3_batch_put_extent(b, DIR_, 0, 1));
}

static void extent_overflows(void)
{
	BATCH(f3_batch_put_extent(b, OBJECT, 1000, UINT64_MAX));
}

static void extent_key(void)
{
	raw_ino(F3_CF_EXTENTS, OBJECT, "abc", "\1\0\0\0\0\0\0\0\1", 9);
}

static void journal_value(void)
{
	raw_ino(F3_CF_JOURNAL, 1ull << 62, "", "\1", 1);
}

static void journal_of_nobody(void)
{
	static struct f3_journal_entry e = { .type = F3_JOURNAL_ATTR, .volume = 1, .ino = 4000 };

	e.seq = f3_meta_new_seq(u.m);
	BATCH(f3_batch_put_journal(b, &e));
}

static void journal_of_no_volume(void)
{
	static struct f3_journal_entry e = { .type = F3_JOURNAL_DELETE, .volume = 9 };

	e.seq = f3_meta_new_seq(u.m);
	BATCH(f3_batch_put_journal(b, &e));
}

static void volume_key(void)
{
	raw(F3_CF_META, "v12", 3, "\1", 1);
}

static void volume_usage(void)
{
	BATCH(volume.used_bytes = 5; f3_batch_put_volume(b, &volume); volume.used_bytes = 700);
}

static void backing_gone(void)
{
	backing_answer = -ENOENT;
}

/* These cannot be repaired. */
static void inode_newer(void)
{
	raw_ino(F3_CF_INODES, 300, "", "\7", 1);
}

static void inode_volume(void)
{
	CHANGE(TWICE, rec.volume = 2);
	BATCH(volume.used_inodes--; volume.used_bytes -= 100; f3_batch_put_volume(b, &volume);
	      volume.used_inodes++; volume.used_bytes += 100);
}

static void volume_root(void)
{
	BATCH(volume.root_ino = FILE_; f3_batch_put_volume(b, &volume); volume.root_ino = VOLUME);
}

static void volume_rootless(void)
{
	BATCH(volume.root_ino = 4000; f3_batch_put_volume(b, &volume); volume.root_ino = VOLUME);
}

static void volume_value(void)
{
	raw(F3_CF_META, "v\0\0\0\2", 5, "\1", 1);
}

static const struct damage {
	void (*plant)(void);
	const char *what;
	bool stays; /* nothing can be done about it */
} damages[] = {
	{ inode_key, "damaged inode key", false },
	{ inode_value, "damaged inode record", false },
	{ inode_beyond, "inode number that was never reserved", false },
	{ no_root, "no root directory", false },
	{ name_key, "damaged name", false },
	{ name_slash, "damaged name", false },
	{ name_dots, "damaged name", false },
	{ name_value, "damaged name", false },
	{ name_dangles, "name without inode", false },
	{ name_without_directory, "name in a directory that does not exist", false },
	{ name_in_a_file, "name in something that is no directory", false },
	{ name_of_root, "name of the root", false },
	{ name_cookie, "name under a wrong cookie", false },
	{ name_cookie_twice, "name under a wrong cookie", false },
	{ name_type, "name of a wrong type", false },
	{ dir_two_names, "second name of a directory", false },
	{ dir_elsewhere, "inode that does not know where its name is", false },
	{ object_elsewhere, "inode that does not know where its name is", false },
	{ dir_nameless, "directory without a name", false },
	{ dir_circle, "directory that is not below the root", false },
	{ dir_size, "directory size is not its number of names", false },
	{ dir_nlink, "directory's link count is not that of its directories", false },
	{ file_nameless, "inode without a name", false },
	{ object_nameless, "inode without a name", false },
	{ dirty_nameless, "inode without a name", false },
	{ all_nameless, "directory without a name", false },
	{ file_nlink, "link count is not the number of names", false },
	{ orphan_nlink, "link count is not the number of names", false },
	{ orphan_named, "orphan that has a name", false },
	{ mark_lacks_w, "file being written without a mark", false },
	{ mark_lacks_o, "orphan without a mark", false },
	{ mark_lacks_d, "dirty file without a mark", false },
	{ mark_of_nobody, "mark of an inode that does not exist", false },
	{ mark_unknown, "mark that its inode does not know of", false },
	{ mark_key, "damaged mark", false },
	{ xattr_of_nobody, "xattrs of an inode that does not exist", false },
	{ xattr_unknown, "xattr that its inode does not know of", false },
	{ acl_unknown, "xattr that its inode does not know of", false },
	{ acl_missing, "inode flag for an xattr that is not there", false },
	{ xattr_value, "damaged xattr", false },
	{ extent_of_nobody, "extents of an inode that does not exist", false },
	{ extent_of_dir, "extent of something that is no file", false },
	{ extent_overflows, "damaged extent", false },
	{ extent_key, "damaged extent", false },
	{ journal_value, "damaged journal entry", false },
	{ journal_of_nobody, "journal entry of an inode that does not exist", false },
	{ journal_of_no_volume, "journal entry of a volume that does not exist", false },
	{ volume_key, "damaged volume key", false },
	{ volume_usage, "volume usage is not the sum of its files", false },
	{ backing_gone, "backing file is missing or wrong", false },
	{ inode_newer, "inode record of a newer version", true },
	{ inode_volume, "inode of a volume that does not exist", true },
	{ volume_root, "root of a volume that is not its directory", true },
	{ volume_rootless, "volume without its root directory", true },
	{ volume_value, "damaged volume record", true },
};

#define N_DAMAGES ((int)(sizeof(damages) / sizeof(damages[0])))

static bool was_found(const char *what)
{
	for (unsigned i = 0; i < n_found; i++)
		if (strcmp(found[i], what) == 0)
			return true;
	return false;
}

/* ---- The checks ----------------------------------------------------------------------------- */

START_TEST(nothing_wrong)
{
	struct f3_check_result result;

	for (size_t slots = 1; slots < 20; slots++) {
		ck_assert_int_eq(check(true, slots, &result), 0);
		ck_assert_msg(result.problems == 0, "%s", found[0]);
		ck_assert_uint_eq(result.repaired, 0);
		ck_assert_uint_eq(result.inodes, 11);
		ck_assert_uint_eq(result.names, 10);
	}
	meta_unit_close(&u);
	ck_assert_int_eq(meta_unit_try(&u, true, BOOT_A), 0);
	ck_assert_int_eq(check(false, 1000, &result), 0);
	ck_assert_msg(result.problems == 0, "%s", found[0]);
	ck_assert_int_eq(check(true, 1000, &result), -EROFS);
}
END_TEST

START_TEST(damage_is_found_and_repaired)
{
	const struct damage *d = &damages[_i];
	static const size_t slots[] = { 2, 1000 };

	for (unsigned i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		struct f3_check_result result;

		d->plant();
		/* Found, and nothing changed by looking (usage is for the offline check). */
		if (d->plant != volume_usage) {
			ck_assert_int_eq(check(false, slots[i], &result), 0);
			ck_assert_msg(was_found(d->what), "%s: not found", d->what);
			ck_assert_uint_eq(result.repaired, 0);
		}
		/* Found again, and repaired, with all that came of it. */
		ck_assert_int_eq(check(true, slots[i], &result), 0);
		ck_assert_msg(was_found(d->what), "%s: not found the second time", d->what);
		ck_assert_uint_eq(result.repaired, n_repaired);
		if (!d->stays)
			ck_assert_msg(result.repaired == result.problems, "%s: %s: not repaired",
				      d->what, found[0]);
		ck_assert_int_eq(check(false, slots[i], &result), 0);
		if (d->stays) {
			ck_assert_msg(was_found(d->what), "%s: gone", d->what);
		} else {
			ck_assert_msg(result.problems == 0, "%s: left: %s", d->what, found[0]);
			/* Neither now nor after the next start. */
			meta_unit_close(&u);
			meta_unit_open(&u);
			ck_assert_int_eq(check(true, slots[i], &result), 0);
			ck_assert_msg(result.problems == 0, "%s: back: %s", d->what, found[0]);
		}
		meta_unit_done(&u);
		setup();
	}
}
END_TEST

static uint64_t in_lost_found(uint64_t ino)
{
	struct f3_meta_name name;
	char text[32];
	uint64_t dir;

	ck_assert_int_eq(f3_meta_get_name(u.m, VOLUME, "lost+found", 10, &name), 0);
	ck_assert_uint_eq(name.d_type, DT_DIR);
	dir = name.ino;
	snprintf(text, sizeof(text), "#%" PRIu64, ino);
	ck_assert_int_eq(f3_meta_get_name(u.m, dir, text, strlen(text), &name), 0);
	ck_assert_uint_eq(name.ino, ino);
	return dir;
}

START_TEST(lost_inodes_are_kept)
{
	struct f3_check_result result;
	struct f3_inode_rec rec;
	uint64_t dir;

	all_nameless();
	dirty_nameless();
	object_nameless();
	ck_assert_int_eq(check(true, 1000, &result), 0);
	dir = in_lost_found(DIR_);
	in_lost_found(FILE_);
	in_lost_found(TWICE);
	in_lost_found(DEEP);
	in_lost_found(DIRTY);
	/* With what they had. */
	rec = get(FILE_);
	ck_assert_uint_eq(rec.size, 100);
	ck_assert_uint_eq(rec.nlink, 1);
	ck_assert_uint_eq(rec.parent, dir);
	rec = get(DIR_);
	ck_assert_uint_eq(rec.size, 1);
	ck_assert_uint_eq(rec.nlink, 3);
	rec = get(dir);
	ck_assert_uint_eq(rec.size, 5);
	ck_assert_uint_eq(rec.nlink, 4);
	ck_assert_uint_eq(rec.mode, S_IFDIR | 0700);
	/* What the store has, too, goes. */
	rec = get(OBJECT);
	ck_assert(rec.flags & F3_INO_ORPHAN);
	ck_assert_uint_eq(rec.nlink, 0);
}
END_TEST

START_TEST(lost_bytes_are_said_to_be_lost)
{
	struct f3_check_result result;
	struct f3_inode_rec rec;

	backing_answer = -EIO;
	ck_assert_int_eq(check(true, 1000, &result), 0);
	ck_assert_uint_eq(result.problems, 2);
	/* The store has it: fetched again. */
	rec = get(OBJECT);
	ck_assert_uint_eq(rec.state, F3_STATE_REMOTE);
	ck_assert_uint_eq(rec.error, 0);
	/* Nobody else has it. */
	rec = get(FILE_);
	ck_assert_uint_eq(rec.state, F3_STATE_FAILED);
	ck_assert_uint_eq(rec.error, EIO);
}
END_TEST

START_TEST(everything_at_once)
{
	struct f3_check_result result;

	for (int i = 0; i < N_DAMAGES; i++)
		if (!damages[i].stays && damages[i].plant != no_root &&
		    damages[i].plant != dir_circle && damages[i].plant != inode_value)
			damages[i].plant();
	ck_assert_int_eq(check(true, 3, &result), 0);
	ck_assert_uint_gt(result.repaired, 20);
	/* One repair may bring up what another hid. */
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(check(true, 3, &result), 0);
	ck_assert_msg(result.problems == 0, "%s", found[0]);
}
END_TEST

/* Whatever read or write fails, the check says so, and does not leave things worse. */
START_TEST(errors_end_the_check)
{
	static const enum f3_kv_fault_op ops[] = { F3_KV_FAULT_GET,   F3_KV_FAULT_BATCH,
						   F3_KV_FAULT_WRITE, F3_KV_FAULT_SYNC,
						   F3_KV_FAULT_ITER,  F3_KV_FAULT_NEXT };
	struct f3_check_result result;

	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		unsigned failures = 0;

		for (uint64_t nth = 1;; nth++) {
			int r;

			all_nameless();
			dir_size();
			mark_of_nobody();
			f3_kv_fault_set(u.kv, ops[i], nth, 1, -EIO);
			r = check(true, 3, &result);
			f3_kv_fault_set(u.kv, ops[i], 1, 0, 0);
			if (!r)
				break;
			ck_assert_int_eq(r, -EIO);
			failures++;
		}
		ck_assert_msg(failures > 0 || ops[i] == F3_KV_FAULT_BATCH, "op %d", (int)ops[i]);
		ck_assert_int_eq(check(true, 3, &result), 0);
		ck_assert_int_eq(check(true, 3, &result), 0);
		ck_assert_msg(result.problems == 0, "%s", found[0]);
	}
}
END_TEST

static uint64_t last_done, last_total;

static void progress(void *arg, uint64_t done, uint64_t total)
{
	(void)arg;
	ck_assert_uint_ge(done, last_done);
	ck_assert_uint_le(done, total);
	last_done = done;
	last_total = total;
}

START_TEST(many_inodes_in_ranges)
{
	struct f3_check_options opt = { .problem = problem, .progress = progress };
	struct f3_check_result result;
	struct f3_batch *b = batch();
	const unsigned n = 20000;
	uint64_t first = 0, ino;

	for (unsigned i = 0; i < n; i++) {
		char name[32];

		ck_assert_int_eq(f3_meta_new_ino(u.m, &ino), 0);
		if (!first)
			first = ino;
		snprintf(name, sizeof(name), "n%u", i);
		put(b, make(ino, S_IFREG, 1, 0, DEEP, name));
		put_name(b, DEEP, name, ino, S_IFREG);
		if (i % 1000 == 0)
			ck_assert_int_eq(f3_batch_commit(b), 0);
	}
	commit(b);
	CHANGE(DEEP, rec.size = n);
	n_found = 0;
	ck_assert_int_eq(f3_meta_check_with(u.m, &opt, 3000, &result), 0);
	ck_assert_msg(result.problems == 0, "%s", found[0]);
	ck_assert_uint_eq(result.inodes, n + 11);
	ck_assert_uint_eq(last_done, n + 11);
	ck_assert_uint_eq(last_total, n + 11);
	CHANGE(first + n - 1, rec.nlink = 2);
	CHANGE(first + 2990, rec.nlink = 3);
	ck_assert_int_eq(check(false, 3000, &result), 0);
	ck_assert_uint_eq(result.problems, 2);
}
END_TEST

/* ---- While others write --------------------------------------------------------------------- */

static _Atomic bool stop;

static void *rename_about(void *arg)
{
	struct f3_inode_rec dirs[2] = { get(DIR_), get(DEEP) };
	struct f3_inode_rec file = get(FILE_);
	unsigned where = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		struct f3_batch *b = batch();

		f3_batch_del_name(b, dirs[where].ino, "file", 4);
		dirs[where].size--;
		f3_batch_put_inode(b, &dirs[where]);
		where = !where;
		put_name(b, dirs[where].ino, "file", FILE_, S_IFREG);
		dirs[where].size++;
		f3_batch_put_inode(b, &dirs[where]);
		file.parent = dirs[where].ino;
		f3_batch_put_inode(b, &file);
		commit(b);
	}
	return NULL;
}

START_TEST(a_live_database_looks_right)
{
	struct f3_check_result result;
	pthread_t tid;

	atomic_store(&stop, false);
	ck_assert_int_eq(pthread_create(&tid, NULL, rename_about, NULL), 0);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(check(false, 3, &result), 0);
		ck_assert_msg(result.problems == 0, "%s", found[0]);
	}
	atomic_store(&stop, true);
	pthread_join(tid, NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("meta_check");
	TCase *tc = tcase_create("check");

	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_wrong);
	tcase_add_loop_test(tc, damage_is_found_and_repaired, 0, N_DAMAGES);
	tcase_add_test(tc, lost_inodes_are_kept);
	tcase_add_test(tc, lost_bytes_are_said_to_be_lost);
	tcase_add_test(tc, everything_at_once);
	tcase_add_test(tc, errors_end_the_check);
	tcase_add_test(tc, many_inodes_in_ranges);
	tcase_add_test(tc, a_live_database_looks_right);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
