/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/commitset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/core/commitset_impl.h"
#include "fs/core/stage.h"
#include "tests/unit/core_whole.h"
#include "tests/unit/unit.h"

#define LARGE_BYTES (70u << 20)

static void durable(void)
{
	whole_start("durable", 2000);
}

static void writeback(void)
{
	whole_start("writeback", 2000);
}

static struct f3_commitset *begin(const char *act, bool sync)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_commitset *set;

	ck_assert_msg(!f3_commitset_new(w.core, w.volume, act, NULL, sync, &set, &err), "%s",
		      err.text);
	return set;
}

static struct f3_inode *create(struct f3_commitset *set, const char *path)
{
	struct f3_inode *inode = whole_create(path);
	struct f3_batch *b;

	ck_assert_int_eq(f3_batch_new(w.core->meta, &b), 0);
	ck_assert(f3_commitset_join_batch(set, inode->ino, b));
	ck_assert_int_eq(f3_batch_commit(b), 0);
	f3_batch_free(b);
	f3_commitset_joined(set, inode);
	return inode;
}

/* As a function writes a declared output. */
static int put(struct f3_commitset *set, const char *path, const char *text)
{
	struct f3_inode *inode =
		whole_ino(path) ? whole_open_file(path, O_WRONLY) : create(set, path);
	int r;

	ck_assert_int_eq(f3_commitset_join(set, inode, &whole_root), 0);
	ck_assert_int_eq(f3_file_truncate(w.core, inode, 0, &whole_root), 0);
	whole_write(inode, 0, text, strlen(text));
	r = whole_flush(inode);
	whole_close(inode, true);
	return r;
}

static void publish(struct f3_commitset *set)
{
	struct f3_err err = F3_ERR_INIT;

	ck_assert_msg(!f3_commitset_publish(set, &err), "%s", err.text);
	f3_commitset_put(set);
}

/* Files that lie in a directory of the store. */
static unsigned count(const char *dir)
{
	char path[512];
	struct dirent *d;
	unsigned n = 0;
	DIR *at;

	snprintf(path, sizeof(path), "%s/%s", w.store_dir, dir);
	at = opendir(path);
	while (at && (d = readdir(at)))
		n += d->d_name[0] != '.';
	if (at)
		closedir(at);
	return n;
}

static void gone(void)
{
	for (int i = 0; i < 30000 && w.core->n_sets; i++) {
		struct timespec ms = { 0, 1000000 };

		nanosleep(&ms, NULL);
	}
	ck_assert_uint_eq(w.core->n_sets, 0);
	ck_assert_uint_eq(count(".f3/stage"), 0);
	ck_assert_uint_eq(count(".f3/commit"), 0);
	ck_assert_uint_eq(count(".f3/upload"), 0);
}

START_TEST(published_as_one)
{
	struct f3_commitset *set = begin("act-1", true);

	ck_assert_int_eq(put(set, "a", "one"), 0);
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(put(set, "d/b", "two"), 0);
	ck_assert(!store_has("a"));
	ck_assert(!store_has("d/b"));
	ck_assert_uint_eq(count(".f3/stage"), 1);
	publish(set);
	store_is("a", "one", 3);
	store_is("d/b", "two", 3);
	gone();
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
	ck_assert_uint_eq(w.volume->dirty_bytes, 0);
	ck_assert_int_eq(whole_put("a", "later", 5), 0);
	whole_settle();
	store_is("a", "later", 5);
}
END_TEST

START_TEST(dropped)
{
	struct f3_commitset *set;
	struct f3_inode *inode;

	ck_assert_int_eq(whole_put("old", "first", 5), 0);
	whole_settle();
	set = begin("act-1", false);
	ck_assert_int_eq(put(set, "new", "one"), 0);
	ck_assert_int_eq(put(set, "old", "second"), 0);
	inode = whole_open_file("new", O_RDONLY);
	ck_assert_int_eq(f3_commitset_drop(set), 0);
	ck_assert_uint_eq(whole_ino("new"), 0);
	f3_lock(&inode->lock);
	ck_assert(f3_commitset_withdrawn(inode));
	f3_unlock(&inode->lock);
	whole_close(inode, false);
	f3_commitset_put(set);
	gone();
	ck_assert(!store_has("new"));
	store_is("old", "first", 5);
	ck_assert_uint_ne(whole_ino("old"), 0);
}
END_TEST

START_TEST(large_and_small)
{
	struct f3_commitset *set = begin("act-1", true);
	struct f3_inode *inode = create(set, "large");
	static char block[1 << 20];
	char path[512];
	struct stat st;

	for (uint64_t off = 0; off < LARGE_BYTES; off += sizeof(block)) {
		memset(block, (int)(off >> 20) + 1, sizeof(block));
		whole_write(inode, off, block, sizeof(block));
	}
	ck_assert_int_eq(whole_flush(inode), 0);
	whole_close(inode, true);
	ck_assert_int_eq(put(set, "small", "s"), 0);
	ck_assert(!store_has("large"));
	ck_assert_uint_eq(count(".f3/upload"), 1);
	publish(set);
	store_is("small", "s", 1);
	snprintf(path, sizeof(path), "%s/large", w.store_dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, LARGE_BYTES);
	gone();
}
END_TEST

START_TEST(names_within)
{
	struct f3_commitset *set;

	ck_assert_int_eq(whole_put("old", "first", 5), 0);
	ck_assert_int_eq(whole_put("other", "other", 5), 0);
	ck_assert_int_eq(whole_put("target", "target", 6), 0);
	whole_settle();
	set = begin("act-1", true);
	ck_assert_int_eq(put(set, "tmp", "fresh"), 0);
	ck_assert_int_eq(whole_rename("tmp", "target", 0), 0);
	ck_assert_int_eq(put(set, "old", "second"), 0);
	ck_assert_int_eq(whole_rename("old", "moved", 0), 0);
	ck_assert_int_eq(put(set, "other", "gone"), 0);
	ck_assert_int_eq(whole_unlink("other"), 0);
	ck_assert_int_eq(put(set, "young", "never"), 0);
	ck_assert_int_eq(whole_unlink("young"), 0);
	store_is("old", "first", 5);
	store_is("other", "other", 5);
	store_is("target", "target", 6);
	ck_assert_uint_eq(whole_ino("other"), 0);
	ck_assert_uint_eq(whole_ino("old"), 0);
	ck_assert(!store_has("moved"));
	publish(set);
	store_is("target", "fresh", 5);
	store_is("moved", "second", 6);
	ck_assert(!store_has("old"));
	ck_assert(!store_has("other"));
	ck_assert(!store_has("young"));
	gone();
}
END_TEST

START_TEST(names_within_dropped)
{
	struct f3_commitset *set;

	ck_assert_int_eq(whole_put("old", "first", 5), 0);
	ck_assert_int_eq(whole_put("other", "other", 5), 0);
	whole_settle();
	set = begin("act-1", true);
	ck_assert_int_eq(put(set, "old", "second"), 0);
	ck_assert_int_eq(whole_rename("old", "moved", 0), 0);
	ck_assert_int_eq(put(set, "other", "gone"), 0);
	ck_assert_int_eq(whole_unlink("other"), 0);
	ck_assert_int_eq(f3_commitset_drop(set), 0);
	f3_commitset_put(set);
	ck_assert_uint_eq(whole_ino("moved"), 0);
	ck_assert_uint_ne(whole_ino("old"), 0);
	ck_assert_uint_ne(whole_ino("other"), 0);
	store_is("old", "first", 5);
	gone();
}
END_TEST

START_TEST(removed_and_made_again)
{
	struct f3_commitset *set;

	ck_assert_int_eq(whole_put("a", "first", 5), 0);
	whole_settle();
	set = begin("act-1", true);
	ck_assert_int_eq(put(set, "a", "second"), 0);
	ck_assert_int_eq(whole_unlink("a"), 0);
	ck_assert_int_eq(put(set, "a", "third"), 0);
	publish(set);
	store_is("a", "third", 5);
	gone();
}
END_TEST

START_TEST(goes_on_after_a_restart)
{
	struct f3_commitset *set = begin("act-1", true);

	ck_assert_int_eq(put(set, "a", "one"), 0);
	f3_commitset_put(set);
	whole_restart();
	set = f3_commitset_find(w.core, "act-1");
	ck_assert_ptr_nonnull(set);
	f3_commitset_go_rest(w.core);
	ck_assert_int_eq(put(set, "b", "two"), 0);
	ck_assert(!store_has("a"));
	publish(set);
	store_is("a", "one", 3);
	store_is("b", "two", 3);
	gone();
}
END_TEST

START_TEST(nobodys_is_dropped)
{
	struct f3_commitset *set = begin("act-1", true);

	ck_assert_int_eq(put(set, "a", "one"), 0);
	f3_commitset_put(set);
	whole_restart();
	ck_assert_uint_ne(whole_ino("a"), 0);
	f3_commitset_go_rest(w.core);
	gone();
	ck_assert_uint_eq(whole_ino("a"), 0);
	ck_assert(!store_has("a"));
}
END_TEST

START_TEST(refused)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_commitset *set;

	w.volume->store->caps.put_absent = false;
	ck_assert_int_eq(f3_commitset_new(w.core, w.volume, "a", NULL, true, &set, &err),
			 -EOPNOTSUPP);
	w.volume->store->caps.put_absent = true;
	set = begin("a", true);
	ck_assert_int_eq(f3_commitset_new(w.core, w.volume, "a", NULL, true, &set, &err), -EEXIST);
	publish(set);
	gone();
}
END_TEST

START_TEST(lost_answers)
{
	struct f3_commitset *set;

	ck_assert_int_eq(whole_put("b", "old", 3), 0);
	whole_settle();
	set = begin("act-1", true);
	ck_assert_int_eq(put(set, "a", "one"), 0);
	ck_assert_int_eq(put(set, "b", "two"), 0);
	/* The record's, and those of both objects. */
	whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_LOSE, 0, 3);
	publish(set);
	store_is("a", "one", 3);
	store_is("b", "two", 3);
	gone();
	ck_assert_uint_eq(count(""), 2);
}
END_TEST

START_TEST(others_were_faster)
{
	struct f3_commitset *set = begin("act-1", true);

	ck_assert_int_eq(put(set, "a", "ours"), 0);
	store_write("a", "theirs", 6);
	publish(set);
	store_is("a", "theirs", 6);
	whole_settle();
	store_is("a.f3-conflict-1", "ours", 4);
	gone();
}
END_TEST

START_TEST(changed_after_the_end)
{
	struct f3_commitset *set = begin("act-1", false);

	ck_assert_int_eq(put(set, "a", "one"), 0);
	publish(set);
	ck_assert_int_eq(whole_put("a", "two", 3), 0);
	gone();
	whole_settle();
	store_is("a", "two", 3);
}
END_TEST

/* ---- The record as text ---- */

struct seen {
	unsigned items;
	uint64_t bytes;
};

static int see(void *arg, struct f3_commit_item *item)
{
	struct seen *seen = arg;

	seen->items++;
	seen->bytes += item->size + item->n_parts;
	return 0;
}

static void make_text(struct f3_buf *text)
{
	static struct f3_commit_item item;
	struct f3_commit_head head = { .act = "act %1", .key = "k" };
	struct f3_obj_part parts[2] = { { .off = 0, .len = 5, .etag = "\"x\"" },
					{ .off = 5, .len = 2, .crc32c = 7, .etag = "y" } };

	f3_buf_init(text, 1u << 20);
	f3_commit_text_head(text, &head);
	item = (struct f3_commit_item){ .kind = F3_COMMIT_STAGED, .size = 3 };
	snprintf(item.key, sizeof(item.key), "d/\xc3\xa4 b");
	snprintf(item.staged, sizeof(item.staged), ".f3/stage/x/1");
	f3_commit_text_item(text, &item);
	item = (struct f3_commit_item){ .kind = F3_COMMIT_UPLOAD, .size = 7 };
	snprintf(item.key, sizeof(item.key), "big");
	snprintf(item.upload, sizeof(item.upload), "id");
	item.parts = parts;
	item.n_parts = 2;
	f3_commit_text_item(text, &item);
	item = (struct f3_commit_item){ .kind = F3_COMMIT_DELETE };
	snprintf(item.key, sizeof(item.key), "gone");
	snprintf(item.etag, sizeof(item.etag), "e");
	f3_commit_text_item(text, &item);
	f3_commit_text_end(text);
	ck_assert_int_eq(text->error, 0);
}

START_TEST(text_and_back)
{
	struct f3_commit_head head;
	struct seen seen = { 0 };
	struct f3_buf text;

	make_text(&text);
	ck_assert_int_eq(f3_commit_text_read((char *)text.data, text.len, &head, see, &seen), 0);
	ck_assert_uint_eq(seen.items, 3);
	ck_assert_uint_eq(seen.bytes, 3 + 7 + 2);
	ck_assert_str_eq(head.act, "act %1");
	/* Cut anywhere, or with one byte spoilt, it is refused or says something that can be. */
	for (size_t i = 0; i < text.len; i++)
		ck_assert_int_eq(f3_commit_text_read((char *)text.data, i, &head, NULL, NULL),
				 -EBADMSG);
	for (size_t i = 0; i < text.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			int r;

			text.data[i] ^= (uint8_t)(1u << bit);
			r = f3_commit_text_read((char *)text.data, text.len, &head, NULL, NULL);
			ck_assert(r == 0 || r == -EBADMSG);
			text.data[i] ^= (uint8_t)(1u << bit);
		}
	}
	f3_buf_done(&text);
}
END_TEST

START_TEST(text_of_others)
{
	static const char *const bad[] = {
		"staged =.f3/x = 00000000000000000000000000000000.0.0 1 =.f3/stage/a/b =e\n",
		"staged =x = 00000000000000000000000000000000.0.0 1 =y =e\n",
		"staged =/x = 00000000000000000000000000000000.0.0 1 =.f3/stage/a/b =e\n",
		"staged =a/../x = 00000000000000000000000000000000.0.0 1 =.f3/stage/a/b =e\n",
		"upload =x = 00000000000000000000000000000000.0.0 9 0 1 =u\npart 0 8 0 =e\n",
		"upload =x = 00000000000000000000000000000000.0.0 9 0 10001 =u\n",
		"delete =x =\n",
		"delete =%00 =e\n",
	};
	struct f3_commit_head head;
	char text[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text),
			 "f3-commit 1\nset 00000000000000000000000000000000 done\nactivation "
			 "=a\nwork =\n%send\n",
			 bad[i]);
		ck_assert_msg(f3_commit_text_read(text, strlen(text), &head, NULL, NULL) ==
				      -EBADMSG,
			      "%s", bad[i]);
	}
}
END_TEST

static void add_all(TCase *tc)
{
	tcase_add_test(tc, published_as_one);
	tcase_add_test(tc, dropped);
	tcase_add_test(tc, names_within);
	tcase_add_test(tc, names_within_dropped);
	tcase_add_test(tc, removed_and_made_again);
	tcase_add_test(tc, lost_answers);
	tcase_add_test(tc, others_were_faster);
	tcase_add_test(tc, changed_after_the_end);
}

int main(void)
{
	Suite *s = suite_create("core_commitset");
	TCase *tc = tcase_create("durable");

	tcase_add_checked_fixture(tc, durable, whole_stop);
	tcase_set_timeout(tc, 120);
	add_all(tc);
	tcase_add_test(tc, large_and_small);
	tcase_add_test(tc, goes_on_after_a_restart);
	tcase_add_test(tc, nobodys_is_dropped);
	tcase_add_test(tc, refused);
	suite_add_tcase(s, tc);

	tc = tcase_create("writeback");
	tcase_add_checked_fixture(tc, writeback, whole_stop);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, published_as_one);
	tcase_add_test(tc, dropped);
	suite_add_tcase(s, tc);

	tc = tcase_create("text");
	tcase_add_test(tc, text_and_back);
	tcase_add_test(tc, text_of_others);
	suite_add_tcase(s, tc);

	return whole_run(s);
}
