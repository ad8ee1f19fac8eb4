/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fs/meta/logs.h"
#include "fs/meta/meta_impl.h"
#include "fs/meta/rocks_error.h"
#include "fs/meta/space.h"
#include "fs/meta/synced.h"
#include "tests/unit/meta_unit.h"

static struct meta_unit u;

static void setup(void)
{
	meta_unit_init(&u);
}

static void teardown(void)
{
	meta_unit_done(&u);
}

static struct f3_kv *open_kv(void)
{
	struct f3_kv *kv;
	int r = meta_unit_rocks(&u, false, true, &kv);

	ck_assert_msg(r == 0, "%s", u.err.text);
	return kv;
}

static int put(struct f3_kv *kv, enum f3_cf cf, const char *key, const char *value)
{
	struct f3_kv_batch *b;
	int r;

	ck_assert_int_eq(kv->ops->batch_new(kv, &b), 0);
	kv->ops->batch_put(b, cf, key, strlen(key), value, strlen(value));
	r = kv->ops->write(kv, b);
	kv->ops->batch_free(kv, b);
	return r;
}

static int get(struct f3_kv *kv, enum f3_cf cf, const char *key, char out[64])
{
	struct f3_buf value;
	int r;

	f3_buf_init(&value, 60);
	r = kv->ops->get(kv, cf, key, strlen(key), &value);
	memcpy(out, value.data, value.len);
	out[value.len] = '\0';
	f3_buf_done(&value);
	return r;
}

/* Keys of a scan, joined. */
static void keys(struct f3_kv *kv, const char *from, const char *to, char out[200])
{
	struct f3_kv_iter *it;
	const uint8_t *key, *value;
	size_t klen, vlen, n = 0;
	int r;

	ck_assert_int_eq(
		kv->ops->iter_new(kv, F3_CF_NAMES, from, strlen(from), to, strlen(to), &it), 0);
	while ((r = kv->ops->iter_next(it, &key, &klen, &value, &vlen)) == 1) {
		ck_assert_uint_lt(n + klen, 199);
		memcpy(out + n, key, klen);
		n += klen;
	}
	ck_assert_int_eq(r, 0);
	/* The end stays. */
	ck_assert_int_eq(kv->ops->iter_next(it, &key, &klen, &value, &vlen), 0);
	kv->ops->iter_free(it);
	out[n] = '\0';
}

/* ---- The store ------------------------------------------------------------------------------ */

START_TEST(families_are_apart)
{
	struct f3_kv *kv = open_kv();
	char out[64];

	for (int cf = 0; cf < F3_CF_MAX; cf++)
		ck_assert_int_eq(put(kv, (enum f3_cf)cf, "key", f3_cf_name((enum f3_cf)cf)), 0);
	for (int cf = 0; cf < F3_CF_MAX; cf++) {
		ck_assert_int_eq(get(kv, (enum f3_cf)cf, "key", out), 0);
		ck_assert_str_eq(out, f3_cf_name((enum f3_cf)cf));
		ck_assert_int_eq(get(kv, (enum f3_cf)cf, "ke", out), -ENOENT);
		ck_assert_int_eq(get(kv, (enum f3_cf)cf, "keys", out), -ENOENT);
	}
	kv->ops->close(kv);
}
END_TEST

START_TEST(values_have_a_bound)
{
	struct f3_kv *kv = open_kv();
	struct f3_buf small;
	char out[64];

	ck_assert_int_eq(put(kv, F3_CF_NAMES, "k", "0123456789"), 0);
	f3_buf_init(&small, 9);
	ck_assert_int_eq(kv->ops->get(kv, F3_CF_NAMES, "k", 1, &small), -EMSGSIZE);
	f3_buf_done(&small);
	ck_assert_int_eq(put(kv, F3_CF_NAMES, "k", ""), 0);
	ck_assert_int_eq(get(kv, F3_CF_NAMES, "k", out), 0);
	ck_assert_str_eq(out, "");
	kv->ops->close(kv);
}
END_TEST

START_TEST(iterators_have_bounds)
{
	struct f3_kv *kv = open_kv();
	struct f3_kv_iter *old;
	const uint8_t *key, *value;
	size_t klen, vlen;
	char out[200];

	for (char c = 'a'; c <= 'f'; c++)
		ck_assert_int_eq(put(kv, F3_CF_NAMES, (char[]){ c, '\0' }, "v"), 0);
	ck_assert_int_eq(put(kv, F3_CF_XATTRS, "bb", "v"), 0);
	keys(kv, "", "", out);
	ck_assert_str_eq(out, "abcdef");
	keys(kv, "b", "e", out);
	ck_assert_str_eq(out, "bcd");
	keys(kv, "bb", "", out);
	ck_assert_str_eq(out, "cdef");
	keys(kv, "", "c", out);
	ck_assert_str_eq(out, "ab");
	keys(kv, "x", "", out);
	ck_assert_str_eq(out, "");

	/* As of when it was made. */
	ck_assert_int_eq(kv->ops->iter_new(kv, F3_CF_NAMES, "", 0, "", 0, &old), 0);
	ck_assert_int_eq(put(kv, F3_CF_NAMES, "aa", "v"), 0);
	ck_assert_int_eq(kv->ops->iter_next(old, &key, &klen, &value, &vlen), 1);
	ck_assert_int_eq(kv->ops->iter_next(old, &key, &klen, &value, &vlen), 1);
	ck_assert_uint_eq(klen, 1);
	ck_assert_int_eq(key[0], 'b');
	kv->ops->iter_free(old);
	kv->ops->iter_free(NULL);
	kv->ops->close(kv);
}
END_TEST

START_TEST(snapshot_stands_still)
{
	struct f3_kv *kv = open_kv(), *view;
	struct f3_kv_batch *b;
	char out[200];

	ck_assert_int_eq(put(kv, F3_CF_NAMES, "a", "1"), 0);
	ck_assert_int_eq(kv->ops->snapshot(kv, &view), 0);
	ck_assert_int_eq(put(kv, F3_CF_NAMES, "a", "2"), 0);
	ck_assert_int_eq(put(kv, F3_CF_NAMES, "b", "2"), 0);
	ck_assert_int_eq(get(view, F3_CF_NAMES, "a", out), 0);
	ck_assert_str_eq(out, "1");
	ck_assert_int_eq(get(view, F3_CF_NAMES, "b", out), -ENOENT);
	keys(view, "", "", out);
	ck_assert_str_eq(out, "a");
	/* An iterator that is used again has forgotten it. */
	keys(kv, "", "", out);
	ck_assert_str_eq(out, "ab");
	ck_assert_int_eq(view->ops->batch_new(view, &b), -EROFS);
	view->ops->close(view);
	kv->ops->close(kv);
}
END_TEST

START_TEST(stats_tell_sizes)
{
	struct f3_kv *kv = open_kv();
	uint64_t disk, mem;

	for (int i = 0; i < 1000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%d", i);
		ck_assert_int_eq(put(kv, F3_CF_NAMES, key, "0123456789012345678901234567890"), 0);
	}
	kv->ops->stats(kv, &disk, &mem);
	ck_assert_uint_gt(disk, 30000);
	ck_assert_uint_gt(mem, 30000);
	ck_assert_uint_lt(mem, 64 << 20);
	kv->ops->close(kv);
}
END_TEST

/* ---- Open ----------------------------------------------------------------------------------- */

static int hold(const char *dir)
{
	struct f3_kv_options opt = { .block_cache_bytes = 1 << 20,
				     .write_buffer_bytes = 1 << 20,
				     .create = true };
	struct f3_kv *kv;

	if (f3_meta_rocks_open(dir, &opt, &kv, NULL) || write(STDOUT_FILENO, "x", 1) != 1)
		return 1;
	pause();
	return 0;
}

START_TEST(one_at_a_time)
{
	struct f3_kv *kv = open_kv(), *other;
	char byte;
	int fds[2], status;
	pid_t pid;

	ck_assert_int_eq(meta_unit_rocks(&u, false, true, &other), -EBUSY);
	ck_assert_msg(strstr(u.err.text, "another f3d uses") && strstr(u.err.text, u.dir), "%s",
		      u.err.text);
	kv->ops->close(kv);

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execl("/proc/self/exe", "test_meta_rocks", "hold", u.dir, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	ck_assert_int_eq(meta_unit_rocks(&u, false, true, &other), -EBUSY);
	ck_assert_msg(strstr(u.err.text, "another f3d uses") != NULL, "%s", u.err.text);
	/* Looking at it is allowed. */
	ck_assert_int_eq(meta_unit_rocks(&u, true, false, &other), 0);
	other->ops->close(other);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(fds[0]);
	/* The lock went with the process. */
	kv = open_kv();
	kv->ops->close(kv);
}
END_TEST

START_TEST(nothing_there)
{
	struct f3_kv *kv;
	char sub[230];

	ck_assert_int_eq(meta_unit_rocks(&u, false, false, &kv), -ENOENT);
	ck_assert_msg(strstr(u.err.text, "no database") != NULL, "%s", u.err.text);
	ck_assert_int_lt(meta_unit_rocks(&u, true, false, &kv), 0);
	ck_assert(u.err.text[0]);
	/* Nor can it be made below a file. */
	snprintf(sub, sizeof(sub), "%s/file", u.dir);
	close(open(sub, O_CREAT | O_WRONLY, 0600));
	snprintf(u.dir + strlen(u.dir), sizeof(u.dir) - strlen(u.dir), "/file/db");
	ck_assert_int_eq(meta_unit_rocks(&u, false, true, &kv), -ENOTDIR);
	ck_assert_msg(strstr(u.err.text, u.dir) != NULL, "%s", u.err.text);
	*strstr(u.dir, "/file/db") = '\0';
}
END_TEST

START_TEST(read_only_reads_the_log)
{
	struct f3_kv *kv = open_kv(), *reader;
	struct f3_kv_batch *b;
	char out[64];

	ck_assert_int_eq(put(kv, F3_CF_NAMES, "k", "v"), 0);
	/* Not written out: only in the log of the one that is open. */
	ck_assert_int_eq(meta_unit_rocks(&u, true, false, &reader), 0);
	ck_assert_int_eq(get(reader, F3_CF_NAMES, "k", out), 0);
	ck_assert_str_eq(out, "v");
	ck_assert_int_eq(reader->ops->batch_new(reader, &b), 0);
	reader->ops->batch_put(b, F3_CF_NAMES, "k", 1, "w", 1);
	ck_assert_int_eq(reader->ops->write(reader, b), -EROFS);
	reader->ops->batch_free(reader, b);
	reader->ops->close(reader);
	kv->ops->close(kv);
}
END_TEST

START_TEST(texts_become_numbers)
{
	struct f3_err err = F3_ERR_INIT;

	ck_assert_int_eq(f3_rocks_errno("Corruption: bad block"), -EIO);
	ck_assert_int_eq(f3_rocks_errno("IO error: No space left on device: While appending"),
			 -ENOSPC);
	ck_assert_int_eq(f3_rocks_errno("IO error: While appending: x: No space left on device"),
			 -ENOSPC);
	ck_assert_int_eq(f3_rocks_errno("IO error: While lock file: x/LOCK: Resource temporarily"),
			 -EBUSY);
	ck_assert_int_eq(f3_rocks_errno("IO error: While open a file: x: Input/output error"),
			 -EIO);
	ck_assert_int_eq(f3_rocks_errno("IO error: x: Read-only file system"), -EROFS);
	ck_assert_int_eq(f3_rocks_errno("Invalid argument: x"), -EINVAL);
	ck_assert_int_eq(f3_rocks_errno("Whatever"), -EIO);
	ck_assert_int_eq(f3_rocks_open_error("/d", "Corruption: checksum mismatch", &err), -EIO);
	ck_assert_ptr_nonnull(strstr(err.text, "/d"));
	ck_assert_ptr_nonnull(strstr(err.text, "corrupt"));
	ck_assert_ptr_nonnull(strstr(err.text, "f3ctl fsck"));
	ck_assert_ptr_nonnull(strstr(err.text, "backup"));
}
END_TEST

/* ---- Damage --------------------------------------------------------------------------------- */

#define INODES 3000

static struct f3_inode_rec inode_of(uint64_t i)
{
	struct f3_inode_rec rec = { .ino = 1000 + i, .mode = S_IFREG, .size = i * i };

	snprintf(rec.name, sizeof(rec.name), "a name of some length %llu", (unsigned long long)i);
	rec.name_len = (uint8_t)strlen(rec.name);
	return rec;
}

static void fill(uint64_t from, uint64_t to)
{
	struct f3_batch *b;

	ck_assert_int_eq(f3_batch_new(u.m, &b), 0);
	for (uint64_t i = from; i < to; i++) {
		struct f3_inode_rec rec = inode_of(i);

		f3_batch_put_inode(b, &rec);
		ck_assert_int_eq(f3_batch_commit(b), 0);
	}
	f3_batch_free(b);
}

/* Everything that comes back is right, or an error says that it is not. Returns the errors. */
static unsigned read_all(uint64_t n)
{
	unsigned errors = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct f3_inode_rec rec, want = inode_of(i);
		int r = f3_meta_get_inode(u.m, 1000 + i, &rec);

		if (r) {
			ck_assert_int_eq(r, -EIO);
			errors++;
			continue;
		}
		ck_assert_uint_eq(rec.size, want.size);
		ck_assert_str_eq(rec.name, want.name);
		f3_inode_rec_done(&rec);
	}
	return errors;
}

static void path_of(const char *name, char path[600])
{
	snprintf(path, 600, "%s/%s", u.dir, name);
}

static bool ends(const char *name, const char *with)
{
	size_t a = strlen(name), b = strlen(with);

	return a >= b && strcmp(name + a - b, with) == 0;
}

static off_t size_of(const char *name)
{
	struct stat st;
	char path[600];

	path_of(name, path);
	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_size;
}

/* The largest file of a kind. */
static void file_of(const char *kind, char name[256])
{
	DIR *d = opendir(u.dir);
	off_t largest = -1;
	struct dirent *e;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		if (!ends(e->d_name, kind) && strncmp(e->d_name, kind, strlen(kind)) != 0)
			continue;
		if (size_of(e->d_name) > largest) {
			largest = size_of(e->d_name);
			snprintf(name, 256, "%s", e->d_name);
		}
	}
	closedir(d);
	ck_assert_int_ge(largest, 0);
}

static void flip(const char *name, off_t at, bool cut)
{
	char path[600], byte;
	int fd;

	path_of(name, path);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	if (cut) {
		ck_assert_int_eq(ftruncate(fd, at), 0);
	} else {
		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 0x55;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
}

static void copy_file(int from_dir, int to_dir, const char *name)
{
	int from = openat(from_dir, name, O_RDONLY);
	int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	static char bytes[65536];
	ssize_t n;

	ck_assert_int_ge(from, 0);
	ck_assert_int_ge(to, 0);
	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		ck_assert_int_eq(write(to, bytes, (size_t)n), n);
	ck_assert_int_eq(n, 0);
	close(from);
	close(to);
}

/* Copies the files of a directory aside, or back. */
static void copy_dir(const char *from, const char *to)
{
	struct dirent *e;
	DIR *d, *target;

	nftw(to, meta_unit_remove, 16, FTW_DEPTH | FTW_PHYS);
	ck_assert_int_eq(mkdir(to, 0700), 0);
	d = opendir(from);
	target = opendir(to);
	ck_assert(d && target);
	while ((e = readdir(d)) != NULL)
		if (e->d_type == DT_REG)
			copy_file(dirfd(d), dirfd(target), e->d_name);
	closedir(d);
	closedir(target);
}

struct tally {
	unsigned refused, unreadable, harmless;
};

/* Opens the damaged directory and reads it all; restores it. */
static void try_damaged(const char *good, struct tally *t)
{
	int r = meta_unit_try(&u, false, BOOT_A);

	if (r) {
		ck_assert_msg(r == -EIO, "%s: %s", f3_errno_name(r), u.err.text);
		ck_assert(u.err.text[0]);
		t->refused++;
	} else if (read_all(INODES)) {
		t->unreadable++;
	} else {
		t->harmless++;
	}
	meta_unit_close(&u);
	copy_dir(good, u.dir);
}

START_TEST(damaged_tables_are_noticed)
{
	static const char *const kinds[] = { ".sst", "MANIFEST", "CURRENT" };
	char good[300], name[256];

	meta_unit_open(&u);
	fill(0, INODES);
	meta_unit_close(&u);
	snprintf(good, sizeof(good), "%s-good", u.dir);
	copy_dir(u.dir, good);
	for (unsigned k = 0; k < 3; k++) {
		struct tally t = { 0 };
		char path[600];
		off_t size;

		file_of(kinds[k], name);
		size = size_of(name);
		for (off_t at = 0; at < size; at += size / 12 + 1) {
			flip(name, at, false);
			try_damaged(good, &t);
			/* An end between two entries of the MANIFEST is an end like any other. */
			if (k == 1)
				continue;
			flip(name, at, true);
			try_damaged(good, &t);
		}
		path_of(name, path);
		ck_assert_int_eq(unlink(path), 0);
		try_damaged(good, &t);
		ck_assert_msg(t.refused + t.unreadable > 8 || k == 2, "%s: %u %u %u", kinds[k],
			      t.refused, t.unreadable, t.harmless);
		/* Without CURRENT it is not taken for a new one. */
		ck_assert_uint_gt(t.refused, 0);
	}
	meta_unit_open(&u);
	ck_assert_uint_eq(read_all(INODES), 0);
	meta_unit_close(&u);
	nftw(good, meta_unit_remove, 16, FTW_DEPTH | FTW_PHYS);
}
END_TEST

START_TEST(a_damaged_log_is_noticed)
{
	char good[300], name[256];
	struct tally t = { 0 };
	off_t size;

	/* As a kill leaves it: everything in the log, and synced. */
	meta_unit_open(&u);
	fill(0, INODES);
	ck_assert_int_eq(f3_meta_sync(u.m), 0);
	snprintf(good, sizeof(good), "%s-good", u.dir);
	copy_dir(u.dir, good);
	meta_unit_close(&u);
	copy_dir(good, u.dir);

	file_of(".log", name);
	size = size_of(name);
	ck_assert_int_gt(size, 100000);
	for (off_t at = 0; at < size; at += size / 12 + 1) {
		flip(name, at, false);
		try_damaged(good, &t);
		flip(name, at, true);
		try_damaged(good, &t);
	}
	/* Every one of them is an end of the log that RocksDB would have accepted. */
	ck_assert_uint_eq(t.harmless, 0);
	ck_assert_uint_eq(t.unreadable, 0);

	/* A person can decide to go on without what is lost. */
	flip(name, size / 2, true);
	ck_assert_int_eq(meta_unit_try(&u, false, BOOT_A), -EIO);
	ck_assert_msg(strstr(u.err.text, F3_META_SYNCED_FILE) && strstr(u.err.text, u.dir), "%s",
		      u.err.text);
	{
		char path[600];

		path_of(F3_META_SYNCED_FILE, path);
		ck_assert_int_eq(unlink(path), 0);
	}
	meta_unit_open(&u);
	ck_assert_int_eq(f3_meta_dir_has_names(u.m, 1), 0);
	nftw(good, meta_unit_remove, 16, FTW_DEPTH | FTW_PHYS);
}
END_TEST

START_TEST(what_was_not_synced_may_be_cut_off)
{
	char good[300], name[256];
	struct f3_inode_rec rec;
	off_t synced;

	/* As a power cut leaves it: the log ends somewhere after the last sync. */
	meta_unit_open(&u);
	fill(0, 500);
	ck_assert_int_eq(f3_meta_sync(u.m), 0);
	file_of(".log", name);
	synced = size_of(name);
	fill(500, 1000);
	snprintf(good, sizeof(good), "%s-good", u.dir);
	copy_dir(u.dir, good);
	meta_unit_close(&u);
	copy_dir(good, u.dir);
	flip(name, synced + 12345, true);
	meta_unit_open(&u);
	ck_assert_uint_eq(read_all(500), 0);
	ck_assert_int_eq(f3_meta_get_inode(u.m, 1000 + 999, &rec), -ENOENT);
	nftw(good, meta_unit_remove, 16, FTW_DEPTH | FTW_PHYS);
}
END_TEST

START_TEST(synced_number_is_checked)
{
	char path[600];
	int fd;

	ck_assert_int_eq(f3_meta_synced_open(u.dir, true), -ENOENT);
	fd = f3_meta_synced_open(u.dir, false);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(f3_meta_synced_get(fd), 0);
	f3_meta_synced_put(fd, 7);
	f3_meta_synced_put(fd, 1ull << 40);
	ck_assert_uint_eq(f3_meta_synced_get(fd), 1ull << 40);
	close(fd);
	path_of(F3_META_SYNCED_FILE, path);
	for (off_t at = 0; at < 24; at++) {
		flip(F3_META_SYNCED_FILE, at, false);
		fd = f3_meta_synced_open(u.dir, true);
		ck_assert_uint_eq(f3_meta_synced_get(fd), 0);
		close(fd);
		flip(F3_META_SYNCED_FILE, at, false);
	}
}
END_TEST

static void append(const char *name, size_t len)
{
	char path[600], bytes[100] = { 0 };
	int fd;

	path_of(name, path);
	fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

START_TEST(every_log_is_synced)
{
	struct f3_meta_logs l;
	char path[600];

	f3_meta_logs_init(&l);
	ck_assert_int_eq(f3_meta_logs_open(&l, u.dir), 0);
	ck_assert_int_eq(f3_meta_logs_sync(&l), 0);
	ck_assert_uint_eq(l.n, 0);
	append("000007.log", 10);
	append("000008.sst", 10);
	append("x.log", 10);
	append("9.log.old", 10);
	ck_assert_int_eq(f3_meta_logs_sync(&l), 0);
	ck_assert_uint_eq(l.n, 1);
	ck_assert_uint_eq(l.v[0].number, 7);
	ck_assert_uint_eq(l.v[0].synced_bytes, 10);
	/* As soon as they are made, however often the directory has been looked at. */
	for (unsigned i = 0; i < 40; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%06u.log", 10 + i);
		append(name, i);
		append("000007.log", 1);
		ck_assert_int_eq(f3_meta_logs_sync(&l), 0);
		ck_assert_uint_eq(l.n, 2 + i);
		ck_assert_uint_eq(l.v[0].synced_bytes, 11 + i);
		ck_assert_uint_eq(l.v[1 + i].number, 10 + i);
		ck_assert_uint_eq(l.v[1 + i].synced_bytes, i);
	}
	/* Those that are gone are let go. */
	path_of("000007.log", path);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(f3_meta_logs_sync(&l), 0);
	ck_assert_uint_eq(l.n, 40);
	f3_meta_logs_close(&l);
	f3_meta_logs_close(&l);
	ck_assert_int_eq(f3_meta_logs_open(&l, "/nonexistent"), -ENOENT);
}
END_TEST

START_TEST(a_settled_directory_is_not_listed)
{
	struct timespec old[2] = { { .tv_sec = 1700000000 }, { .tv_sec = 1700000000 } };
	struct f3_meta_logs l;

	f3_meta_logs_init(&l);
	ck_assert_int_eq(f3_meta_logs_open(&l, u.dir), 0);
	append("000001.log", 1);
	ck_assert_int_eq(utimensat(AT_FDCWD, u.dir, old, 0), 0);
	ck_assert_int_eq(f3_meta_logs_sync(&l), 0);
	ck_assert_uint_eq(l.n, 1);
	/* A file that came without the time changing is not seen... */
	append("000002.log", 1);
	ck_assert_int_eq(utimensat(AT_FDCWD, u.dir, old, 0), 0);
	append("000001.log", 1);
	ck_assert_int_eq(f3_meta_logs_sync(&l), 0);
	ck_assert_uint_eq(l.n, 1);
	ck_assert_uint_eq(l.v[0].synced_bytes, 2);
	/* ...and is as soon as it does. */
	append("000003.log", 1);
	ck_assert_int_eq(f3_meta_logs_sync(&l), 0);
	ck_assert_uint_eq(l.n, 3);
	f3_meta_logs_close(&l);
}
END_TEST

/* ---- A full disk ---------------------------------------------------------------------------- */

static int ballast = -1;

/* A tmpfs of its own, seen by this process only. */
static bool small_disk(const char *size)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", u.dir, "tmpfs", 0, size)) {
		printf("skipped: a tmpfs cannot be mounted: %s\n", strerror(errno));
		return false;
	}
	return true;
}

static void open_ballast(void)
{
	char path[600];

	path_of("ballast", path);
	ballast = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_ge(ballast, 0);
}

/* To the last block. */
static void fill_disk(void)
{
	static char zeros[4096];
	off_t at = lseek(ballast, 0, SEEK_END);

	while (pwrite(ballast, zeros, sizeof(zeros), at) == (ssize_t)sizeof(zeros))
		at += (off_t)sizeof(zeros);
}

static void wait_for(struct f3_meta_space *s, enum f3_meta_space_level level)
{
	/* It looks once per tick of the clock. */
	for (unsigned i = 0; i < 100000000 && f3_meta_space_level(s) != level; i++)
		sched_yield();
	ck_assert_int_eq(f3_meta_space_level(s), level);
}

START_TEST(reserve_is_given_back)
{
	struct f3_meta_space s;

	f3_meta_space_init(&s);
	ck_assert_int_eq(f3_meta_space_level(&s), F3_META_SPACE_AMPLE);
	if (!small_disk("size=64m"))
		return;
	ck_assert_int_eq(f3_meta_space_open(&s, u.dir), 0);
	ck_assert_int_eq(f3_meta_space_level(&s), F3_META_SPACE_AMPLE);
	ck_assert_int_eq(size_of("f3-reserve"), 8 << 20);
	open_ballast();
	fill_disk();
	wait_for(&s, F3_META_SPACE_TIGHT);
	ck_assert_int_eq(size_of("f3-reserve"), 0);
	fill_disk();
	wait_for(&s, F3_META_SPACE_FULL);
	ck_assert_int_eq(ftruncate(ballast, 54 << 20), 0);
	wait_for(&s, F3_META_SPACE_TIGHT);
	/* Not for a little room at once. */
	ck_assert_int_eq(size_of("f3-reserve"), 0);
	ck_assert_int_eq(ftruncate(ballast, 30 << 20), 0);
	wait_for(&s, F3_META_SPACE_AMPLE);
	ck_assert_int_eq(size_of("f3-reserve"), 8 << 20);
	f3_meta_space_close(&s);
	/* A start on a full disk gives it back first. */
	fill_disk();
	f3_meta_space_init(&s);
	ck_assert_int_eq(f3_meta_space_open(&s, u.dir), 0);
	ck_assert_int_eq(f3_meta_space_level(&s), F3_META_SPACE_TIGHT);
	f3_meta_space_close(&s);
	close(ballast);
	umount2(u.dir, MNT_DETACH);
}
END_TEST

/* Until the batch has the answer: the disk is looked at once per tick, and RocksDB takes some
 * seconds to go on. */
static int name_until(struct f3_batch *b, bool add, int want)
{
	int r = 1;

	for (unsigned i = 0; i < 20000000 && r != want; i++) {
		if (add)
			f3_batch_put_name(b, 1, "new", 3, 300, 8);
		else
			f3_batch_del_name(b, 1, "old", 3);
		r = f3_batch_commit(b);
		if (r != want)
			sched_yield();
	}
	return r;
}

START_TEST(full_disk_lets_names_go)
{
	struct f3_meta_name name;
	struct f3_batch *b;
	char *end;

	if (!small_disk("size=64m"))
		return;
	open_ballast();
	end = u.dir + strlen(u.dir);
	snprintf(end, 4, "/db");
	meta_unit_open(&u);
	ck_assert_int_eq(f3_batch_new(u.m, &b), 0);
	f3_batch_put_name(b, 1, "old", 3, 300, 8);
	ck_assert_int_eq(f3_batch_commit(b), 0);
	fill_disk();
	/* Nothing new, but things go, and what is there is read. */
	ck_assert_int_eq(name_until(b, true, -ENOSPC), -ENOSPC);
	ck_assert_int_eq(f3_meta_get_name(u.m, 1, "old", 3, &name), 0);
	ck_assert_int_eq(name_until(b, false, 0), 0);
	ck_assert_int_eq(f3_meta_get_name(u.m, 1, "old", 3, &name), -ENOENT);
	ck_assert_int_eq(f3_meta_sync(u.m), 0);
	/* Room again. */
	ck_assert_int_eq(ftruncate(ballast, 0), 0);
	ck_assert_int_eq(name_until(b, true, 0), 0);
	f3_batch_free(b);

	/* No room even for that: refused at once, and nothing is lost by it. */
	fill_disk();
	ck_assert_int_eq(f3_batch_new(u.m, &b), 0);
	ck_assert_int_eq(name_until(b, true, -ENOSPC), -ENOSPC);
	fill_disk();
	ck_assert_int_eq(name_until(b, false, -ENOSPC), -ENOSPC);
	f3_batch_free(b);
	meta_unit_close(&u);
	fill_disk();
	ck_assert_int_eq(meta_unit_try(&u, false, BOOT_A), -ENOSPC);
	ck_assert_msg(strstr(u.err.text, "space") != NULL, "%s", u.err.text);
	ck_assert_int_eq(ftruncate(ballast, 0), 0);
	meta_unit_open(&u);
	ck_assert_int_eq(f3_meta_get_name(u.m, 1, "new", 3, &name), 0);
	meta_unit_close(&u);
	close(ballast);
	*end = '\0';
	umount2(u.dir, MNT_DETACH);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("meta_rocks");
	TCase *tc = tcase_create("rocks");

	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, families_are_apart);
	tcase_add_test(tc, values_have_a_bound);
	tcase_add_test(tc, iterators_have_bounds);
	tcase_add_test(tc, snapshot_stands_still);
	tcase_add_test(tc, stats_tell_sizes);
	tcase_add_test(tc, one_at_a_time);
	tcase_add_test(tc, nothing_there);
	tcase_add_test(tc, read_only_reads_the_log);
	tcase_add_test(tc, texts_become_numbers);
	tcase_add_test(tc, damaged_tables_are_noticed);
	tcase_add_test(tc, a_damaged_log_is_noticed);
	tcase_add_test(tc, what_was_not_synced_may_be_cut_off);
	tcase_add_test(tc, synced_number_is_checked);
	tcase_add_test(tc, every_log_is_synced);
	tcase_add_test(tc, a_settled_directory_is_not_listed);
	if (f3_unit_forks()) {
		tcase_add_test(tc, reserve_is_given_back);
		tcase_add_test(tc, full_disk_lets_names_go);
	}
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2]);
	return f3_unit_run(suite());
}
