/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <limits.h>
#include <signal.h>
#include <sys/mman.h>

#include "fs/base/clock.h"
#include "fs/local/backing.h"
#include "fs/local/watch.h"
#include "tests/unit/local_unit.h"

/* Every test of the first case runs in both places, with io_uring and with the pool. */
static struct f3_ring *ring;
static struct f3_backing_store *store;

static struct f3_backing_store *open_store(const char *name)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_backing_store *s = NULL;

	ck_assert_msg(!f3_backing_open(place_path(name), ring, &s, &err), "%s", err.text);
	return s;
}

static bool start(int i)
{
	ring = ring_make(i & 1 ? RING_POOL : RING_URING, 8);
	if (!ring)
		return false;
	place_make(i >> 1);
	store = open_store("store");
	return true;
}

static void teardown(void)
{
	f3_backing_close(store);
	store = NULL;
	f3_ring_free(ring);
	ring = NULL;
	place_remove();
}

static void make(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	int fd = f3_backing_create(s, ino, number);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void put(struct f3_backing_store *s, uint64_t ino, uint32_t number, const void *bytes,
		size_t len, uint64_t off)
{
	int fd = f3_backing_open_file(s, ino, number, O_RDWR);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, len, (off_t)off), (ssize_t)len);
	close(fd);
}

static void move_away(const char *shard)
{
	int dirfd = f3_backing_dirfd(store);

	ck_assert(!renameat(dirfd, shard, dirfd, "elsewhere"));
}

/* ---- Single files -------------------------------------------------------------------------------- */

START_TEST(a_file_is_made_once_and_removed)
{
	struct stat st;
	int fd;

	if (!start(_i))
		return;
	fd = f3_backing_create(store, UINT64_C(0x1234567890abcdef), 7);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert(!fstat(fd, &st));
	ck_assert_int_eq(st.st_mode, S_IFREG | 0600);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert(!access(place_path("store/ef/1234567890abcdef.00000007"), F_OK));
	ck_assert_int_eq(f3_backing_create(store, UINT64_C(0x1234567890abcdef), 7), -EEXIST);
	close(fd);

	ck_assert(!f3_backing_stat(store, UINT64_C(0x1234567890abcdef), 7, &st));
	ck_assert_int_eq(f3_backing_stat(store, UINT64_C(0x1234567890abcdef), 8, &st), -ENOENT);
	ck_assert_int_eq(f3_backing_open_file(store, 1, 1, O_RDONLY), -ENOENT);
	f3_backing_unlink(store, UINT64_C(0x1234567890abcdef), 7);
	ck_assert_int_eq(f3_backing_stat(store, UINT64_C(0x1234567890abcdef), 7, &st), -ENOENT);
	f3_backing_unlink(store, UINT64_C(0x1234567890abcdef), 7);
}
END_TEST

START_TEST(a_new_file_is_as_young_as_its_making)
{
	int64_t before = f3_clock_file_ns();
	struct stat st;

	if (!start(_i))
		return;
	make(store, 1, 1);
	ck_assert(!f3_backing_stat(store, 1, 1, &st));
	ck_assert_int_ge(f3_ns_from_timespec(st.st_mtim), before);
}
END_TEST

START_TEST(a_large_file_loses_its_name_at_once_and_its_blocks_soon)
{
	size_t len = 16u << 20;
	char *bytes = calloc(1, len);
	uint64_t total, before, after, files;
	struct f3_backing_store *small;
	struct stat st;

	ck_assert_ptr_nonnull(bytes);
	if (!f3_unit_forks()) {
		printf("skipped: mounting takes a process of its own\n");
	} else if (start(_i) && place_small_fs("small", "32m")) {
		small = open_store("small/store");
		ck_assert(!f3_backing_space(small, &total, &before, &files));
		ck_assert_uint_eq(total, 32u << 20);
		ck_assert_uint_le(before, total);
		ck_assert_uint_gt(files, 0);
		make(small, 1, 1);
		put(small, 1, 1, bytes, len, 0);
		ck_assert(!f3_backing_space(small, &total, &after, &files));
		ck_assert_uint_le(after, before - len);
		f3_backing_unlink(small, 1, 1);
		ck_assert_int_eq(f3_backing_stat(small, 1, 1, &st), -ENOENT);
		/* A name that is free can be taken while the old blocks still go. */
		make(small, 1, 1);
		/* The ring ends when they are gone. */
		f3_ring_free(ring);
		ck_assert(!f3_ring_new(8, false, &ring, NULL));
		ck_assert(!f3_backing_space(small, &total, &after, &files));
		ck_assert_uint_eq(after, before);
		f3_backing_close(small);
		ck_assert(!umount(place_path("small")));
	}
	free(bytes);
}
END_TEST

START_TEST(times_are_set)
{
	struct stat st;

	if (!start(_i))
		return;
	make(store, 3, 1);
	ck_assert(!f3_backing_set_times(store, 3, 1, INT64_C(1700000000123456789),
					INT64_C(-1500000000)));
	ck_assert(!f3_backing_stat(store, 3, 1, &st));
	ck_assert_int_eq(st.st_atim.tv_sec, 1700000000);
	ck_assert_int_eq(st.st_atim.tv_nsec, 123456789);
	ck_assert_int_eq(st.st_mtim.tv_sec, -2);
	ck_assert_int_eq(st.st_mtim.tv_nsec, 500000000);
	ck_assert_int_eq(f3_backing_set_times(store, 4, 1, 0, 0), -ENOENT);
}
END_TEST

START_TEST(sync_takes_files_of_every_history)
{
	if (!start(_i))
		return;
	ck_assert_int_eq(f3_backing_sync(store, 1, 1, false), -ENOENT);
	/* Some share a place in the table of synced names: known, forgotten, never seen. */
	for (uint32_t round = 0; round < 2; round++)
		for (uint64_t ino = 1; ino <= 160; ino++) {
			if (!round)
				make(store, ino, 1);
			if (ino % 2 == 0)
				ck_assert_int_eq(f3_backing_sync(store, ino, 1, ino % 4 == 0), 0);
		}
	f3_backing_unlink(store, 8, 1);
	ck_assert_int_eq(f3_backing_sync(store, 8, 1, false), -ENOENT);
	make(store, 8, 1);
	ck_assert_int_eq(f3_backing_sync(store, 8, 1, true), 0);
	/* Not even a file that is known has survived its shard. */
	move_away("08");
	ck_assert_int_eq(f3_backing_sync(store, 8, 1, true), -ENOENT);
	make(store, 8, 2);
}
END_TEST

/* ---- The probe ----------------------------------------------------------------------------------- */

static void see_close(void *arg, unsigned events)
{
	if (events & F3_WATCH_CLOSE_WRITE)
		event_post(arg);
}

START_TEST(the_probe_sees_writers_and_mappings)
{
	struct f3_watcher *watcher;
	struct f3_watch *watch;
	struct event closed = EVENT_INIT;
	int fd, writer, second;
	void *map;

	if (!start(_i))
		return;
	if (!f3_backing_caps(store)->leases) {
		printf("skipped: no leases on %s\n", f3_backing_caps(store)->fs_name);
		return;
	}
	fd = f3_backing_create(store, 5, 1);
	ck_assert_int_eq(f3_backing_probe(fd), 1);
	/* And again: none is left behind, which a writer would have to wait for. */
	ck_assert_int_eq(f3_backing_probe(fd), 1);
	ck_assert_int_eq(fcntl(fd, F_GETLEASE), F_UNLCK);
	writer = open(place_path("store/05/0000000000000005.00000001"),
		      O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(writer, 0);
	ck_assert_int_eq(f3_backing_probe(fd), 0);
	second = f3_backing_open_file(store, 5, 1, O_RDWR);
	close(writer);
	ck_assert_int_eq(f3_backing_probe(fd), 0);
	ck_assert(!ftruncate(second, 8192));
	map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, second, 0);
	ck_assert(map != MAP_FAILED);
	close(second);
	ck_assert_int_eq(f3_backing_probe(fd), 0);

	/* As the daemon does: watch, look again, wait, look. */
	ck_assert(!f3_watcher_new(&watcher));
	ck_assert(!f3_watch_add(watcher, fd, F3_WATCH_CLOSE_WRITE, see_close, &closed, &watch));
	ck_assert_int_eq(f3_backing_probe(fd), 0);
	memset(map, 'm', 8192);
	ck_assert(!munmap(map, 8192));
	event_await(&closed, 1);
	ck_assert_int_eq(f3_backing_probe(fd), 1);
	f3_watch_del(watch);
	f3_watcher_free(watcher);

	/* A reader's mapping is none of its business. */
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert(map != MAP_FAILED);
	ck_assert_int_eq(f3_backing_probe(fd), 1);
	munmap(map, 4096);
	close(fd);
	ck_assert_int_eq(f3_backing_probe(fd), -EBADF);
}
END_TEST

struct opener {
	const char *path;
	_Atomic bool end;
	int error;
};

static void *open_and_close(void *arg)
{
	struct opener *o = arg;

	while (!o->end && !o->error) {
		int fd = open(o->path, O_RDWR | O_CLOEXEC);

		if (fd < 0)
			o->error = errno;
		else
			close(fd);
	}
	return NULL;
}

/* Openers meet leases here and there: nobody is killed by SIGIO, or refused. */
START_TEST(probing_does_not_disturb_openers)
{
	struct opener o = { 0 };
	pthread_t thread;
	int fd, granted = 0, refused = 0;

	if (!start(_i))
		return;
	if (!f3_backing_caps(store)->leases) {
		printf("skipped: no leases on %s\n", f3_backing_caps(store)->fs_name);
		return;
	}
	fd = f3_backing_create(store, 5, 1);
	o.path = place_path("store/05/0000000000000005.00000001");
	ck_assert(!pthread_create(&thread, NULL, open_and_close, &o));
	while (granted < 500 || refused < 1) {
		int r = f3_backing_probe(fd);

		ck_assert(r == 0 || r == 1);
		if (r)
			granted++;
		else
			refused++;
	}
	o.end = true;
	pthread_join(thread, NULL);
	ck_assert_int_eq(o.error, 0);
	close(fd);
}
END_TEST

/* ---- Clones --------------------------------------------------------------------------------------- */

#define MIB (1u << 20)

/* Data, hole, data, hole, a data byte before an end that is a hole again. */
static void make_sparse(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	static char bytes[300000];
	int fd;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 251);
	make(s, ino, number);
	put(s, ino, number, bytes, sizeof(bytes), 0);
	put(s, ino, number, bytes, 5000, 3 * MIB + 77);
	put(s, ino, number, "z", 1, 6 * MIB);
	fd = f3_backing_open_file(s, ino, number, O_RDWR);
	ck_assert(!ftruncate(fd, 8 * MIB + 5));
	close(fd);
}

static void check_same(struct f3_backing_store *a, uint64_t ino, struct f3_backing_store *b,
		       uint64_t to_ino)
{
	static char one[MIB], other[MIB];
	int fd = f3_backing_open_file(a, ino, 1, O_RDONLY);
	int to_fd = f3_backing_open_file(b, to_ino, 1, O_RDONLY);
	struct stat st, to_st;
	ssize_t n;

	ck_assert(fd >= 0 && to_fd >= 0);
	ck_assert(!fstat(fd, &st) && !fstat(to_fd, &to_st));
	ck_assert_int_eq(st.st_size, to_st.st_size);
	for (off_t off = 0; (n = pread(fd, one, MIB, off)) > 0; off += n) {
		ck_assert_int_eq(pread(to_fd, other, MIB, off), n);
		ck_assert_mem_eq(one, other, (size_t)n);
	}
	/* Of 8 MiB less than one is data, however the file system rounds. */
	ck_assert_int_lt(to_st.st_blocks * 512, 2 * MIB);
	close(fd);
	close(to_fd);
}

START_TEST(a_clone_keeps_bytes_and_holes)
{
	if (!start(_i))
		return;
	make_sparse(store, 10, 1);
	ck_assert_int_eq(f3_backing_clone(store, 10, 1, store, 11, 1), 0);
	check_same(store, 10, store, 11);
	ck_assert_int_eq(f3_backing_clone(store, 10, 1, store, 11, 1), -EEXIST);
	check_same(store, 10, store, 11);
	ck_assert_int_eq(f3_backing_clone(store, 12, 1, store, 13, 1), -ENOENT);
	make(store, 14, 1);
	ck_assert_int_eq(f3_backing_clone(store, 14, 1, store, 15, 1), 0);
	check_same(store, 14, store, 15);
}
END_TEST

START_TEST(a_clone_reaches_another_file_system)
{
	struct f3_backing_store *other = NULL;
	struct f3_err err = F3_ERR_INIT;
	char dir[] = "/dev/shm/f3-other-XXXXXX";

	if (!start(_i))
		return;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert(!f3_backing_open(dir, ring, &other, &err));
	make_sparse(store, 10, 1);
	ck_assert_int_eq(f3_backing_clone(store, 10, 1, other, 20, 1), 0);
	check_same(store, 10, other, 20);
	ck_assert_int_eq(f3_backing_clone(other, 20, 1, store, 21, 1), 0);
	check_same(store, 10, store, 21);
	f3_backing_close(other);
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
END_TEST

START_TEST(a_full_disk_is_told_and_leaves_nothing)
{
	struct f3_backing_store *small;
	size_t len = 4u << 20;
	char *bytes = calloc(1, len);
	struct f3_io io = { .op = F3_IO_WRITE, .buf = bytes, .len = len };
	struct stat st;

	ck_assert_ptr_nonnull(bytes);
	if (!f3_unit_forks()) {
		printf("skipped: mounting takes a process of its own\n");
	} else if (start(_i) && place_small_fs("small", "3m")) {
		small = open_store("small/store");
		make(store, 1, 1);
		put(store, 1, 1, bytes, len, 0);
		ck_assert_int_eq(f3_backing_clone(store, 1, 1, small, 2, 1), -ENOSPC);
		ck_assert_int_eq(f3_backing_stat(small, 2, 1, &st), -ENOENT);

		/* A store is opened on a full file system, and knows what that could do. */
		make(small, 3, 1);
		io.fd = f3_backing_open_file(small, 3, 1, O_RDWR);
		ck_assert_int_eq(f3_io_run(&io), -ENOSPC);
		close(io.fd);
		f3_backing_close(small);
		small = open_store("small/store");
		ck_assert(f3_backing_caps(small)->punch_hole);
		ck_assert(f3_backing_caps(small)->keep_size);
		ck_assert(f3_backing_caps(small)->leases);
		f3_backing_unlink(small, 3, 1);
		f3_backing_close(small);
		/* Its last blocks may still be on their way out. */
		ck_assert(!umount2(place_path("small"), MNT_DETACH));
	}
	free(bytes);
}
END_TEST

/* ---- All files ------------------------------------------------------------------------------------- */

struct found {
	unsigned n, stop_at;
	uint64_t sum;
	bool unlink;
};

static int find(void *arg, uint64_t ino, uint32_t number, const struct stat *st)
{
	struct found *f = arg;

	ck_assert(S_ISREG(st->st_mode));
	ck_assert_int_eq(st->st_size, (off_t)(ino & 3));
	f->sum += ino * 31 + number;
	if (f->unlink)
		f3_backing_unlink(store, ino, number);
	return ++f->n == f->stop_at ? 77 : 0;
}

struct strangers {
	unsigned n;
	char paths[32][NAME_MAX + 4];
};

static int find_stranger(void *arg, const char *path)
{
	struct strangers *s = arg;

	ck_assert_uint_lt(s->n, 32);
	snprintf(s->paths[s->n++], sizeof(s->paths[0]), "%s", path);
	return 0;
}

START_TEST(every_file_is_found_and_nothing_else)
{
	static const char *const garbage[] = {
		"store/stray",
		"store/100",
		"store/05/0000000000000005.0000000", /* short */
		"store/05/0000000000000005.000000010", /* long */
		"store/05/0000000000000105.0000000A", /* capital */
		"store/05/000000000000000g.00000001",
		"store/05/0000000000000005-00000001",
		"store/05/0000000000000006.00000001", /* of another shard */
		"store/05/+000000000000005.00000001",
		"store/05/.hidden",
		"store/ff/0x00000000000000ff.000001",
	};
	const unsigned n_garbage = sizeof(garbage) / sizeof(garbage[0]);
	struct found f = { 0 };
	struct strangers s = { 0 };
	uint64_t sum = 0;

	if (!start(_i))
		return;
	for (uint64_t i = 0; i < 300; i++) {
		uint64_t ino = i * UINT64_C(0x0123456789abcd1);
		uint32_t number = (uint32_t)i * 0x01234567u;

		make(store, ino, number);
		if (ino & 3)
			put(store, ino, number, "abc", ino & 3, 0);
		sum += ino * 31 + number;
	}
	for (unsigned i = 0; i < n_garbage; i++)
		close(place_open(garbage[i], O_WRONLY | O_CREAT | O_EXCL));
	/* Right names of wrong things. */
	ck_assert(!mkdir(place_path("store/05/0000000000000005.00000055"), 0700));
	ck_assert(!symlink("/etc/passwd", place_path("store/05/0000000000000005.00000056")));
	ck_assert(!mkfifo(place_path("store/05/0000000000000005.00000057"), 0600));
	ck_assert_int_eq(f3_backing_open_file(store, 5, 0x56, O_RDONLY), -ELOOP);

	ck_assert_int_eq(f3_backing_each(store, find, &f), 0);
	ck_assert_uint_eq(f.n, 300);
	ck_assert_uint_eq(f.sum, sum);
	ck_assert_int_eq(f3_backing_each_stranger(store, find_stranger, &s), 0);
	ck_assert_uint_eq(s.n, n_garbage + 3);
	for (unsigned i = 0; i < n_garbage; i++) {
		bool told = false;

		for (unsigned j = 0; j < s.n; j++)
			told |= !strcmp(garbage[i] + strlen("store/"), s.paths[j]);
		ck_assert_msg(told, "%s", garbage[i]);
	}

	f = (struct found){ .stop_at = 10 };
	ck_assert_int_eq(f3_backing_each(store, find, &f), 77);
	ck_assert_uint_eq(f.n, 10);
	f = (struct found){ .unlink = true };
	ck_assert_int_eq(f3_backing_each(store, find, &f), 0);
	ck_assert_uint_eq(f.n, 300);
	f = (struct found){ 0 };
	ck_assert_int_eq(f3_backing_each(store, find, &f), 0);
	ck_assert_uint_eq(f.n, 0);
	/* A shard that cannot be read is not an empty one. */
	move_away("05");
	ck_assert_int_eq(f3_backing_each(store, find, &f), 0);
	ck_assert(!symlink("elsewhere", place_path("store/05")));
	ck_assert_int_eq(f3_backing_each(store, find, &f), -ENOTDIR);
}
END_TEST

/* ---- Opening --------------------------------------------------------------------------------------- */

static void refused(const char *name, int error, const char *word)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_backing_store *s = NULL;

	ck_assert_int_eq(f3_backing_open(place_path(name), ring, &s, &err), error);
	ck_assert_int_eq(err.code, error);
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(err.text, place_path(name)), "%s", err.text);
	ck_assert_msg(strstr(err.text, word), "%s", err.text);
}

START_TEST(what_cannot_be_a_store_is_refused)
{
	if (!start(2))
		return;
	refused("missing/store", -ENOENT, "No such file");
	close(place_open("file", O_WRONLY | O_CREAT));
	refused("file", -ENOTDIR, "Not a directory");
	ck_assert(!mkdir(place_path("shared"), 0700));
	ck_assert(!chmod(place_path("shared"), 0777));
	refused("shared", -EPERM, "writable by nobody else");
	ck_assert(!mkdir(place_path("odd"), 0700));
	close(place_open("odd/7f", O_WRONLY | O_CREAT));
	refused("odd", -ENOTDIR, "Not a directory");
	ck_assert(!mkdir(place_path("linked"), 0700));
	ck_assert(!symlink("/tmp", place_path("linked/7f")));
	refused("linked", -ENOTDIR, "Not a directory");
	f3_backing_close(NULL);
}
END_TEST

START_TEST(a_store_is_opened_again_with_what_it_has)
{
	struct sigaction action;
	struct stat st;

	if (!start(2))
		return;
	ck_assert(!stat(place_path("store"), &st));
	ck_assert_int_eq(st.st_mode, S_IFDIR | 0700);
	make(store, 9, 4);
	put(store, 9, 4, "kept", 4, 0);
	f3_backing_close(store);
	store = open_store("store");
	ck_assert(!f3_backing_stat(store, 9, 4, &st));
	ck_assert_int_eq(st.st_size, 4);
	ck_assert(!fstatat(f3_backing_dirfd(store), "09", &st, 0));
	ck_assert_int_eq(st.st_mode, S_IFDIR | 0700);
	ck_assert_int_eq(fstatat(f3_backing_dirfd(store), "0a", &st, 0), -1);
	ck_assert(!sigaction(SIGIO, NULL, &action));
	ck_assert(action.sa_handler == SIG_IGN);
}
END_TEST

START_TEST(abilities_of_tmpfs_are_known)
{
	const struct f3_backing_caps *caps;
	struct found f = { 0 };
	struct strangers s = { 0 };

	if (!start(2))
		return;
	caps = f3_backing_caps(store);
	ck_assert_str_eq(caps->fs_name, "tmpfs");
	ck_assert(caps->punch_hole && caps->keep_size && caps->o_tmpfile && caps->leases);
	ck_assert(!caps->collapse_range && !caps->insert_range && !caps->reflink);
	ck_assert(!caps->stacked);
	ck_assert_uint_ge(caps->max_file_bytes, UINT64_C(1) << 40);
	/* Trying things leaves nothing behind. */
	ck_assert_int_eq(f3_backing_each(store, find, &f), 0);
	ck_assert_int_eq(f3_backing_each_stranger(store, find_stranger, &s), 0);
	ck_assert_uint_eq(f.n + s.n, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("backing");
	TCase *t = tcase_create("each place and ring");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(t, a_file_is_made_once_and_removed, 0, 2 * PLACES);
	tcase_add_loop_test(t, a_new_file_is_as_young_as_its_making, 0, 2 * PLACES);
	tcase_add_loop_test(t, a_large_file_loses_its_name_at_once_and_its_blocks_soon, 0,
			    2 * PLACES);
	tcase_add_loop_test(t, times_are_set, 0, 2 * PLACES);
	tcase_add_loop_test(t, sync_takes_files_of_every_history, 0, 2 * PLACES);
	tcase_add_loop_test(t, the_probe_sees_writers_and_mappings, 0, 2 * PLACES);
	tcase_add_loop_test(t, probing_does_not_disturb_openers, 0, 2 * PLACES);
	tcase_add_loop_test(t, a_clone_keeps_bytes_and_holes, 0, 2 * PLACES);
	tcase_add_loop_test(t, a_clone_reaches_another_file_system, 0, 2 * PLACES);
	tcase_add_loop_test(t, a_full_disk_is_told_and_leaves_nothing, 0, 2 * PLACES);
	tcase_add_loop_test(t, every_file_is_found_and_nothing_else, 0, 2 * PLACES);
	suite_add_tcase(s, t);

	t = tcase_create("opening");
	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, what_cannot_be_a_store_is_refused);
	tcase_add_test(t, a_store_is_opened_again_with_what_it_has);
	tcase_add_test(t, abilities_of_tmpfs_are_known);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
