/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories in a store like S3: keys instead of directories, listings without attributes.
 */
#include "config.h"

#include "fs/core/store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/core/journal_run.h"
#include "fs/core/stage.h"
#include "tests/unit/core_whole.h"
#include "tests/unit/unit.h"

#define WALKED 1000

static void others_put(const char *key, const char *text)
{
	ck_assert_int_eq(f3_object_keyed_put(w.keyed, key, text, strlen(text), NULL), 0);
}

static void others_put_mode(const char *key, const char *text, uint32_t mode)
{
	const struct f3_obj_attr attr = { .mode = mode, .have_mode = true };

	ck_assert_int_eq(f3_object_keyed_put(w.keyed, key, text, strlen(text), &attr), 0);
}

static void keep_for_a_minute(void)
{
	w.volume->attr_ttl_ns = 60 * F3_NS_PER_SEC;
}

/* When anything was asked is forgotten, with what is in memory. */
static void time_passes(void)
{
	f3_itable_trim(w.core, 0);
}

static struct stat stat_of(const char *path)
{
	uint64_t ino = whole_ino(path);
	struct f3_entry e;

	ck_assert_msg(ino, "%s is not there", path);
	ck_assert_int_eq(f3_ns_getattr(w.core, ino, &e), 0);
	return e.st;
}

struct listed {
	struct {
		char name[F3_NAME_MAX + 1];
		mode_t type;
		bool attr;
	} e[WALKED + 8];
	size_t n;
};

static int note(void *arg, const char *name, size_t len, uint64_t cookie, const struct f3_entry *e)
{
	struct listed *l = arg;

	if (cookie <= 2)
		return 0;
	ck_assert_uint_lt(l->n, WALKED + 8);
	memcpy(l->e[l->n].name, name, len);
	l->e[l->n].name[len] = '\0';
	l->e[l->n].type = e->st.st_mode & S_IFMT;
	l->e[l->n++].attr = e->ino != 0;
	return 0;
}

static struct listed *list(const char *path)
{
	static struct listed l;

	l.n = 0;
	ck_assert_int_eq(f3_ns_readdir(w.core, whole_ino(path), 0, true, &whole_root, note, &l), 0);
	return &l;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Names of a directory with commas between them, sorted. */
static const char *names(const char *path)
{
	static char text[4096];
	struct listed *l = list(path);
	size_t at = 0;

	qsort(l->e, l->n, sizeof(l->e[0]), by_name);
	text[0] = '\0';
	for (size_t i = 0; i < l->n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? "," : "",
				       l->e[i].name);
	return text;
}

/* ---- An object and a directory of one name ---- */

/* With every size of a page, so that every pair of entries is once on two. */
START_TEST(beside)
{
	unsigned page = (unsigned)_i + 1;

	whole_start_keyed("durable", page);
	others_put("a", "object");
	others_put("a!", "prefix of nothing that is a directory");
	others_put("a!x", "1");
	others_put("a!x-/y", "2");
	others_put("a-b", "3");
	others_put("a-b/", "");
	others_put("a-b/c", "4");
	others_put("a.", "5");
	others_put("a/below", "6");
	others_put("a0", "7");
	others_put("b", "8");
	others_put("b-", "9");
	others_put("b0", "10");
	ck_assert_str_eq(names(""), "a,a!,a!x,a!x-,a-b,a-b.f3-object,a.,a.f3-object,a0,b,b-,b0");
	ck_assert(S_ISDIR(stat_of("a").st_mode));
	ck_assert_int_eq(stat_of("a.f3-object").st_size, 6);
	ck_assert(S_ISDIR(stat_of("a-b").st_mode));
	ck_assert_int_eq(stat_of("a-b.f3-object").st_size, 1);
	ck_assert_str_eq(names("a"), "below");
	ck_assert_int_gt(stat_of("a").st_mtime, 1700000000);
	/* Again, and nothing has become another file. */
	for (int i = 0; i < 2; i++) {
		uint64_t a = whole_ino("a"), o = whole_ino("a.f3-object"), b = whole_ino("b");

		(void)list("");
		ck_assert_uint_eq(whole_ino("a"), a);
		ck_assert_uint_eq(whole_ino("a.f3-object"), o);
		ck_assert_uint_eq(whole_ino("b"), b);
	}
	/* Its directory has gone. */
	f3_object_keyed_remove(w.keyed, "a/below");
	ck_assert_str_eq(names(""), "a,a!,a!x,a!x-,a-b,a-b.f3-object,a.,a0,b,b-,b0");
	ck_assert_int_eq(stat_of("a").st_size, 6);
	whole_stop();
}
END_TEST

/* Every prefix of a long name is an object, and every third one a directory too: as many wait as can. */
START_TEST(chain_of_prefixes)
{
	char name[F3_NAME_MAX + 1], key[F3_NAME_MAX + 3], shown[F3_NAME_MAX + 16];
	unsigned escaped = 0;

	whole_start_keyed("durable", 7);
	for (size_t len = 1; len <= 240; len++) {
		memset(name, '!', len);
		name[len] = '\0';
		others_put(name, "x");
		if (len % 3)
			continue;
		snprintf(key, sizeof(key), "%s/b", name);
		others_put(key, "y");
		escaped++;
	}
	ck_assert_uint_eq(list("")->n, 240 + escaped);
	for (size_t len = 1; len <= 240; len++) {
		memset(name, '!', len);
		name[len] = '\0';
		snprintf(shown, sizeof(shown), "%s.f3-object", name);
		ck_assert_uint_ne(whole_ino(name), 0);
		ck_assert_int_eq(whole_ino(shown) != 0, len % 3 == 0);
		ck_assert_int_eq(S_ISDIR(stat_of(name).st_mode), len % 3 == 0);
	}
	whole_stop();
}
END_TEST

/* Looked up, with no listing before. */
START_TEST(beside_looked_up)
{
	struct f3_inode *inode;
	char bytes[16];

	whole_start_keyed("durable", 1000);
	others_put("a", "object");
	others_put("c", "alone");
	ck_assert_uint_eq(whole_ino("a.f3-object"), 0);
	ck_assert_int_eq(stat_of("a").st_size, 6);
	others_put("a/x", "below");
	ck_assert(S_ISDIR(stat_of("a").st_mode));
	ck_assert_int_eq(stat_of("a.f3-object").st_size, 6);
	ck_assert_int_eq(stat_of("a/x").st_size, 5);
	ck_assert_uint_eq(whole_ino("c.f3-object"), 0);
	ck_assert_uint_eq(whole_ino("none.f3-object"), 0);
	/* What is done to it is done to the object. */
	inode = whole_open_file("a.f3-object", O_WRONLY | O_TRUNC);
	whole_write(inode, 0, "new", 3);
	ck_assert_int_eq(whole_flush(inode), 0);
	whole_close(inode, true);
	ck_assert(f3_object_keyed_get(w.keyed, "a", bytes, sizeof(bytes), NULL, NULL));
	ck_assert(!memcmp(bytes, "new", 3));
	ck_assert_int_eq(whole_unlink("a.f3-object"), 0);
	whole_settle();
	ck_assert(!f3_object_keyed_get(w.keyed, "a", NULL, 0, NULL, NULL));
	ck_assert_int_eq(stat_of("a/x").st_size, 5);
	whole_stop();
}
END_TEST

START_TEST(components_that_are_no_names)
{
	whole_start_keyed("durable", 3);
	others_put("d/.", "dot");
	others_put("d/../x", "dots");
	others_put("d//y", "empty");
	others_put("d/n.f3-object", "reserved");
	others_put("d/./z", "beside what is escaped itself: has no name");
	others_put("/lost", "begins with a slash: has no name");
	ck_assert_str_eq(names(""), "d");
	ck_assert_str_eq(names("d"),
			 "%2E%2E.f3-object,%2E.f3-object,.f3-object,n.f3-object.f3-object");
	ck_assert(S_ISDIR(stat_of("d/%2E.f3-object").st_mode));
	ck_assert_int_eq(stat_of("d/%2E%2E.f3-object/x").st_size, 4);
	ck_assert_str_eq(names("d/.f3-object"), "y");
	ck_assert_int_eq(stat_of("d/.f3-object/y").st_size, 5);
	ck_assert_int_eq(stat_of("d/n.f3-object.f3-object").st_size, 8);
	ck_assert_uint_eq(whole_ino(".f3-object"), 0);
	whole_stop();
}
END_TEST

/* ---- Attributes that listings do not have ---- */

START_TEST(listing_asks_for_nothing)
{
	char key[32];
	struct listed *l;

	whole_start_keyed("durable", 100);
	keep_for_a_minute();
	for (int i = 0; i < WALKED; i++) {
		snprintf(key, sizeof(key), "d/%04d", i);
		others_put(key, i % 2 ? "x" : "");
	}
	(void)whole_ino("d");
	ck_assert_uint_eq(whole_count(F3_OBJ_HEAD), 1);
	l = list("d");
	ck_assert_uint_eq(l->n, WALKED);
	/* They may be links. */
	for (size_t i = 0; i < l->n; i++)
		ck_assert(!l->e[i].attr && !l->e[i].type);
	ck_assert_uint_eq(list("d")->n, WALKED);
	ck_assert_uint_eq(whole_count(F3_OBJ_HEAD), 1);
	ck_assert_uint_eq(whole_count(F3_OBJ_LIST), WALKED / 100);
	whole_stop();
}
END_TEST

static void walk(const char *dir, const struct listed *l)
{
	uint64_t ino = whole_ino(dir);

	for (size_t i = 0; i < l->n; i++) {
		struct f3_entry e;
		uint64_t ttl;

		ck_assert_int_eq(f3_ns_lookup(w.core, ino, l->e[i].name, &whole_root, &e, &ttl), 0);
		ck_assert_uint_eq(e.st.st_mode, S_IFREG | 0600);
	}
}

static void walked_names(void)
{
	char key[32];

	for (int i = 0; i < WALKED; i++) {
		snprintf(key, sizeof(key), "d/%04d", i);
		others_put_mode(key, "x", S_IFREG | 0600);
	}
}

/* ls -l: one question per name, and the wait for one answer per 64. */
START_TEST(a_walk_asks_ahead)
{
	uint64_t heads, rounds;
	struct listed *l;

	whole_start_keyed("durable", 1000);
	keep_for_a_minute();
	walked_names();
	l = list("d");
	f3_object_keyed_set_rounds(w.keyed, 20);
	heads = whole_count(F3_OBJ_HEAD);
	rounds = f3_object_keyed_rounds(w.keyed);
	(void)f3_object_keyed_widest(w.keyed);
	walk("d", l);
	ck_assert_uint_eq(whole_count(F3_OBJ_HEAD) - heads, WALKED);
	ck_assert_uint_eq(f3_object_keyed_widest(w.keyed), 64);
	/* 1, 4, 8, 16, 32, and 64 each; twice that where a machine stops in the middle of one. */
	ck_assert_uint_ge(f3_object_keyed_rounds(w.keyed) - rounds, WALKED / 64);
	ck_assert_uint_le(f3_object_keyed_rounds(w.keyed) - rounds, 2 * (5 + WALKED / 64 + 1));
	/* All is known; the next listing says so, too. */
	heads = whole_count(F3_OBJ_HEAD);
	walk("d", l);
	time_passes();
	l = list("d");
	for (size_t i = 0; i < l->n; i++)
		ck_assert(l->e[i].attr && l->e[i].type == S_IFREG);
	walk("d", l);
	/* That of d. */
	ck_assert_uint_le(whole_count(F3_OBJ_HEAD), heads + 1);
	ck_assert_uint_eq(w.volume->asked_ahead, 0);
	whole_stop();
}
END_TEST

/* Who looks up names anywhere asks for these. */
START_TEST(no_walk_asks_for_one)
{
	struct listed *l;
	uint64_t heads;

	whole_start_keyed("durable", 1000);
	keep_for_a_minute();
	walked_names();
	l = list("d");
	heads = whole_count(F3_OBJ_HEAD);
	for (size_t i = 0; i < 100; i++) {
		struct f3_entry e;
		uint64_t ttl, ino = whole_ino("d");

		ck_assert_int_eq(f3_ns_lookup(w.core, ino, l->e[i * 7].name, &whole_root, &e, &ttl),
				 0);
	}
	ck_assert_uint_eq(whole_count(F3_OBJ_HEAD) - heads, 100);
	whole_stop();
}
END_TEST

/* An answer ahead that does not come keeps nobody waiting; a wrong one is nobody's. */
START_TEST(answers_ahead_that_fail)
{
	struct f3_object_fault_rule late = { .type = F3_OBJ_HEAD,
					     .action = F3_OBJ_FAULT_HOLD_ANSWER };
	char key[F3_NAME_MAX + 8];
	struct listed *l;

	whole_start_keyed("durable", 1000);
	keep_for_a_minute();
	walked_names();
	l = list("d");
	snprintf(key, sizeof(key), "d/%s", l->e[3].name);
	late.key = key;
	ck_assert_int_eq(f3_object_fault_add(w.fault, &late), 0);
	late.action = F3_OBJ_FAULT_FAIL;
	late.error = -EIO;
	snprintf(key, sizeof(key), "d/%s", l->e[4].name);
	ck_assert_int_eq(f3_object_fault_add(w.fault, &late), 0);
	l->n = 3;
	walk("d", l);
	f3_object_fault_wait_held(w.fault, 1);
	l->n = WALKED;
	walk("d", l);
	f3_object_fault_release(w.fault);
	ck_assert_uint_eq(w.volume->asked_ahead, 0);
	whole_stop();
}
END_TEST

START_TEST(links_and_directories_ahead)
{
	char key[F3_NAME_MAX + 8], target[32];
	struct listed *l;
	uint64_t heads, gets;

	whole_start_keyed("durable", 1000);
	keep_for_a_minute();
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "d/l%03d", i);
		others_put_mode(key, "target", S_IFLNK | 0777);
		snprintf(key, sizeof(key), "d/s%03d/", i);
		others_put_mode(key, "", S_IFDIR | 0710);
	}
	l = list("d");
	heads = whole_count(F3_OBJ_HEAD);
	gets = whole_count(F3_OBJ_GET);
	for (size_t i = 0; i < l->n; i++) {
		struct stat st;

		ck_assert_uint_eq(l->e[i].type, l->e[i].name[0] == 's' ? S_IFDIR : 0);
		snprintf(key, sizeof(key), "d/%s", l->e[i].name);
		st = stat_of(key);
		ck_assert_uint_eq(st.st_mode,
				  l->e[i].name[0] == 's' ? S_IFDIR | 0710 : S_IFLNK | 0777);
		if (!S_ISLNK(st.st_mode))
			continue;
		ck_assert_int_eq(f3_ns_readlink(w.core, st.st_ino, target, sizeof(target)), 0);
		ck_assert_str_eq(target, "target");
	}
	ck_assert_uint_eq(whole_count(F3_OBJ_HEAD) - heads, 200);
	ck_assert_uint_eq(whole_count(F3_OBJ_GET) - gets, 100);
	l = list("d");
	for (size_t i = 0; i < l->n; i++)
		ck_assert_uint_eq(l->e[i].type, l->e[i].name[0] == 's' ? S_IFDIR : S_IFLNK);
	whole_stop();
}
END_TEST

/* What others do to attributes changes no ETag here. */
START_TEST(attributes_of_others)
{
	uint64_t ino, heads;
	struct listed *l;

	whole_start_keyed("durable", 1000);
	keep_for_a_minute();
	others_put_mode("d/a", "x", S_IFREG | 0600);
	others_put_mode("d/b", "x", S_IFREG | 0600);
	(void)list("d");
	ino = whole_ino("d/a");
	ck_assert_uint_eq(stat_of("d/a").st_mode, S_IFREG | 0600);
	ck_assert_uint_eq(stat_of("d/b").st_mode, S_IFREG | 0600);
	others_put_mode("d/a", "x", S_IFREG | 0640);
	time_passes();
	heads = whole_count(F3_OBJ_HEAD);
	l = list("d");
	for (size_t i = 0; i < 2; i++)
		ck_assert(l->e[i].attr == (l->e[i].name[0] == 'b'));
	ck_assert_uint_eq(stat_of("d/a").st_mode, S_IFREG | 0640);
	ck_assert_uint_eq(stat_of("d/b").st_mode, S_IFREG | 0600);
	/* That of d, too. */
	ck_assert_uint_le(whole_count(F3_OBJ_HEAD) - heads, 2);
	ck_assert_uint_eq(whole_ino("d/a"), ino);
	/* Other bytes are another file. */
	others_put_mode("d/a", "y", S_IFREG | 0600);
	time_passes();
	(void)list("d");
	ck_assert_uint_eq(stat_of("d/a").st_mode, S_IFREG | 0600);
	ck_assert_uint_ne(whole_ino("d/a"), ino);
	/* At an open. */
	others_put_mode("d/a", "y", S_IFREG | 0604);
	ino = whole_ino("d/a");
	whole_close(whole_open_file("d/a", O_RDONLY), false);
	ck_assert_uint_eq(whole_ino("d/a"), ino);
	ck_assert_uint_eq(stat_of("d/a").st_mode, S_IFREG | 0604);
	whole_stop();
}
END_TEST

/* What is known survives a restart, and is proved by a listing then. */
START_TEST(known_after_a_restart)
{
	uint64_t heads;
	struct listed *l;

	whole_start_keyed("durable", 1000);
	keep_for_a_minute();
	walked_names();
	walk("d", list("d"));
	whole_restart();
	keep_for_a_minute();
	heads = whole_count(F3_OBJ_HEAD);
	l = list("d");
	walk("d", l);
	/* That of d. */
	ck_assert_uint_le(whole_count(F3_OBJ_HEAD) - heads, 1);
	whole_stop();
}
END_TEST

/* Nothing that was guessed is shown while the store does not answer. */
START_TEST(no_guess_is_shown)
{
	struct f3_entry e;
	uint64_t ttl, d;

	whole_start_keyed("durable", 1000);
	keep_for_a_minute();
	others_put_mode("d/a", "x", S_IFREG | 0600);
	others_put_mode("d/b", "x", S_IFREG | 0600);
	(void)list("d");
	d = whole_ino("d");
	(void)whole_ino("d/b");
	whole_fault(F3_OBJ_HEAD, F3_OBJ_FAULT_FAIL, -EIO, UINT_MAX);
	ck_assert_int_eq(f3_ns_lookup(w.core, d, "a", &whole_root, &e, &ttl), -EIO);
	ck_assert_int_eq(f3_ns_lookup(w.core, d, "b", &whole_root, &e, &ttl), 0);
	ck_assert_uint_eq(e.st.st_mode, S_IFREG | 0600);
	whole_stop();
}
END_TEST

/* Our own files: listings do not take anything away from them. */
START_TEST(our_own)
{
	uint64_t a;

	whole_start_keyed("durable", 2);
	keep_for_a_minute();
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_put("d/a", "bytes", 5), 0);
	ck_assert_int_eq(whole_symlink("a", "d/l"), 0);
	whole_settle();
	a = whole_ino("d/a");
	for (int i = 0; i < 2; i++) {
		time_passes();
		ck_assert_str_eq(names("d"), "a,l");
		ck_assert_uint_eq(whole_ino("d/a"), a);
		ck_assert_int_eq(stat_of("d/a").st_size, 5);
		ck_assert(S_ISLNK(stat_of("d/l").st_mode));
		ck_assert_uint_eq(stat_of("d").st_nlink, 2);
	}
	ck_assert_int_eq(whole_rename("d", "e", 0), 0);
	whole_settle();
	time_passes();
	ck_assert_str_eq(names(""), "e");
	ck_assert_str_eq(names("e"), "a,l");
	ck_assert_uint_eq(whole_ino("e/a"), a);
	ck_assert_int_eq(whole_unlink("e/a"), 0);
	ck_assert_int_eq(whole_unlink("e/l"), 0);
	ck_assert_int_eq(whole_rmdir("e"), 0);
	whole_settle();
	ck_assert_uint_eq(f3_object_keyed_count(w.keyed), 0);
	whole_stop();
}
END_TEST

/* ---- Renames of directories, object by object ---- */

static bool stored_as(const char *key, const char *text)
{
	char bytes[64];
	size_t len;

	return f3_object_keyed_get(w.keyed, key, bytes, sizeof(bytes), &len, NULL) &&
	       len == strlen(text) && !memcmp(bytes, text, len);
}

/* Several at once, with their attributes, and they are the same files here. */
START_TEST(a_tree_moves_at_once)
{
	const struct f3_obj_attr attr = { .mode = S_IFDIR | 0710, .have_mode = true };
	uint64_t ino, sub;
	char key[64];
	unsigned wide;

	whole_start_keyed("durable", 50);
	ck_assert_int_eq(f3_object_keyed_put(w.keyed, "d/", NULL, 0, &attr), 0);
	ck_assert_int_eq(f3_object_keyed_put(w.keyed, "d/empty/", NULL, 0, &attr), 0);
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), i < 200 ? "d/%03d" : "d/s%03d/below", i);
		others_put_mode(key, key + 2, S_IFREG | 0604);
	}
	others_put("d/000/beside", "beside");
	keep_for_a_minute();
	(void)list("d");
	ino = whole_ino("d/100");
	sub = whole_ino("d/s250/below");
	f3_object_keyed_set_rounds(w.keyed, 5);
	(void)f3_object_keyed_widest(w.keyed);
	ck_assert_int_eq(whole_rename("d", "n", 0), 0);
	wide = f3_object_keyed_widest(w.keyed);
	ck_assert_uint_gt(wide, 8);
	ck_assert_uint_le(wide, 16);
	ck_assert_uint_eq(f3_object_keyed_count(w.keyed), 303);
	ck_assert_uint_eq(whole_ino("n/100"), ino);
	ck_assert_uint_eq(whole_ino("n/s250/below"), sub);
	time_passes();
	ck_assert_str_eq(names(""), "n");
	ck_assert_uint_eq(list("n")->n, 200 + 100 + 2);
	ck_assert_uint_eq(whole_ino("n/100"), ino);
	ck_assert_uint_eq(stat_of("n/100").st_mode, S_IFREG | 0604);
	ck_assert_uint_eq(stat_of("n/000.f3-object").st_mode, S_IFREG | 0604);
	ck_assert_uint_eq(stat_of("n/empty").st_mode, S_IFDIR | 0710);
	ck_assert(stored_as("n/s250/below", "s250/below"));
	ck_assert(stored_as("n/000/beside", "beside"));
	whole_stop();
}
END_TEST

static void tree_of_ours(void)
{
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_put("d/a", "first", 5), 0);
	ck_assert_int_eq(whole_put("d/b", "second", 6), 0);
	ck_assert_int_eq(whole_mkdir("d/e"), 0);
	ck_assert_int_eq(whole_put("d/e/f", "third", 5), 0);
	whole_settle();
	others_put("d/o", "others");
}

static void tree_has_moved(void)
{
	ck_assert(stored_as("n/a", "first"));
	ck_assert(stored_as("n/b", "second"));
	ck_assert(stored_as("n/e/f", "third"));
	ck_assert(stored_as("n/o", "others"));
	ck_assert(stored_as("n/", ""));
	ck_assert(stored_as("n/e/", ""));
	ck_assert_uint_eq(f3_object_keyed_count(w.keyed), 6);
	time_passes();
	ck_assert_str_eq(names(""), "n");
	ck_assert_str_eq(names("n"), "a,b,e,o");
}

/* Any request fails, is lost, or its answer is, a few times. */
START_TEST(a_tree_moves_all_the_same)
{
	static const unsigned types[] = { F3_OBJ_HEAD, F3_OBJ_COPY,  F3_OBJ_DELETE,
					  F3_OBJ_LIST, F3_OBJ_MKDIR, F3_OBJ_RMDIR };
	static const enum f3_object_fault_action actions[] = { F3_OBJ_FAULT_FAIL, F3_OBJ_FAULT_DROP,
							       F3_OBJ_FAULT_LOSE };
	uint64_t a, f;

	whole_start_keyed("writeback", 2);
	tree_of_ours();
	a = whole_ino("d/a");
	f = whole_ino("d/e/f");
	if (_i / 3 % 2)
		w.fault->caps.delete_match = w.fault->caps.copy_source_match = false;
	/* What asks only has no answer that is ambiguous. */
	whole_fault(types[_i % 6], actions[_i / 6], -EIO, 3);
	ck_assert_int_eq(whole_rename("d", "n", 0), 0);
	whole_settle();
	f3_object_fault_clear(w.fault);
	tree_has_moved();
	ck_assert_uint_eq(whole_ino("n/a"), a);
	ck_assert_uint_eq(whole_ino("n/e/f"), f);
	whole_stop();
}
END_TEST

/* What others put in the place of an object that is on its way moves, too: nothing of it is lost. */
START_TEST(changed_on_its_way)
{
	static const char *const keys[] = { "d/a", "d/o" };
	const char *key = keys[_i % 2];
	const struct f3_object_fault_rule rule = {
		.type = _i < 2 ? F3_OBJ_COPY : F3_OBJ_DELETE,
		.key = key,
		.action = _i < 2 ? F3_OBJ_FAULT_HOLD_ANSWER : F3_OBJ_FAULT_HOLD,
	};

	whole_start_keyed("writeback", 1000);
	tree_of_ours();
	ck_assert_int_eq(f3_object_fault_add(w.fault, &rule), 0);
	ck_assert_int_eq(whole_rename("d", "n", 0), 0);
	f3_object_fault_wait_held(w.fault, 1);
	others_put(key, "newer");
	others_put("d/e/new", "one more");
	f3_object_fault_release(w.fault);
	whole_settle();
	ck_assert(stored_as(_i % 2 ? "n/o" : "n/a", "newer"));
	ck_assert(stored_as(_i % 2 ? "n/a" : "n/o", _i % 2 ? "first" : "others"));
	ck_assert(stored_as("n/e/new", "one more") || stored_as("d/e/new", "one more"));
	time_passes();
	ck_assert_str_eq(names("n"), "a,b,e,o");
	whole_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("core store keyed");
	TCase *tc = tcase_create("keyed");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, beside, 0, 14);
	tcase_add_test(tc, chain_of_prefixes);
	tcase_add_test(tc, beside_looked_up);
	tcase_add_test(tc, components_that_are_no_names);
	tcase_add_test(tc, listing_asks_for_nothing);
	tcase_add_test(tc, a_walk_asks_ahead);
	tcase_add_test(tc, no_walk_asks_for_one);
	tcase_add_test(tc, answers_ahead_that_fail);
	tcase_add_test(tc, links_and_directories_ahead);
	tcase_add_test(tc, attributes_of_others);
	tcase_add_test(tc, known_after_a_restart);
	tcase_add_test(tc, no_guess_is_shown);
	tcase_add_test(tc, our_own);
	tcase_add_test(tc, a_tree_moves_at_once);
	tcase_add_loop_test(tc, a_tree_moves_all_the_same, 0, 18);
	tcase_add_loop_test(tc, changed_on_its_way, 0, 4);
	suite_add_tcase(suite, tc);
	return whole_run(suite);
}
