/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fuse/keep.h"
#include "tests/unit/unit.h"

static struct f3_keep *k;

static void setup(void)
{
	ck_assert_int_eq(f3_keep_new(&k), 0);
}

static void teardown(void)
{
	f3_keep_free(k);
}

/* The kernel's first request. */
static struct {
	struct fuse_in_header in;
	struct fuse_init_in init;
} hello = { .in = { .len = sizeof(hello), .opcode = FUSE_INIT },
	    .init = { .major = FUSE_KERNEL_VERSION, .flags = FUSE_INIT_EXT } };

static void publish(uint32_t slot, uint64_t ino)
{
	struct f3_kept_open *o = f3_keep_open(k, slot);
	uint64_t fh = f3_kept_next_fh(o, slot);

	f3_keep_use_slot(k, slot);
	o->ino = ino;
	o->times_used = (uint32_t)(fh >> 32);
	o->flags = F3_KEPT_WRITER;
	atomic_store(&o->fh, fh);
}

static int count(void *arg, struct f3_kept_open *o, uint32_t slot)
{
	uint64_t *sum = arg;

	ck_assert_uint_eq(f3_kept_slot(atomic_load(&o->fh)), slot);
	*sum += o->ino;
	return 0;
}

static uint64_t sum(struct f3_keep *of)
{
	uint64_t n = 0;

	ck_assert_int_eq(f3_keep_each_open(of, count, &n), 0);
	return n;
}

/* ---- What the next one finds ------------------------------------------------------------------ */

START_TEST(outlives_its_writer)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_keep *next;
	const void *init;
	size_t size = 0;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		publish(0, 100);
		publish(70000, 1);
		_exit(f3_keep_set_init(k, &hello, sizeof(hello)) || f3_keep_add_id(k, 7));
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(f3_keep_adopt(dup(f3_keep_fd(k)), &next, &err), 0);
	ck_assert_uint_eq(sum(next), 101);
	init = f3_keep_init(next, &size);
	ck_assert_uint_eq(size, sizeof(hello));
	ck_assert_mem_eq(init, &hello, sizeof(hello));
	ck_assert_uint_eq(f3_keep_id(next), f3_keep_id(k));
	f3_keep_free(next);
}
END_TEST

START_TEST(a_slot_used_again_has_another_number)
{
	struct f3_kept_open *o = f3_keep_open(k, 3);
	uint64_t first;

	publish(3, 5);
	first = atomic_load(&o->fh);
	atomic_store(&o->fh, 0);
	ck_assert_uint_eq(sum(k), 0);
	publish(3, 6);
	ck_assert_uint_ne(atomic_load(&o->fh), first);
	ck_assert_uint_eq(f3_kept_slot(atomic_load(&o->fh)), 3);
	ck_assert_ptr_eq(f3_keep_open(k, F3_KEEP_OPENS), NULL);
}
END_TEST

START_TEST(no_init_yet_and_one_too_long)
{
	char text[F3_KEEP_INIT_MAX + 1] = "";
	size_t size;

	ck_assert_ptr_eq(f3_keep_init(k, &size), NULL);
	ck_assert_int_eq(f3_keep_set_init(k, text, sizeof(text)), -EMSGSIZE);
	ck_assert_int_eq(f3_keep_set_init(k, text, 0), -EMSGSIZE);
	ck_assert_ptr_eq(f3_keep_init(k, &size), NULL);
	ck_assert_int_eq(f3_keep_set_init(k, text, F3_KEEP_INIT_MAX), 0);
}
END_TEST

/* ---- Backing ids ------------------------------------------------------------------------------ */

static void see_id(void *arg, uint32_t id)
{
	uint8_t *seen = arg;

	seen[id] = 1;
}

START_TEST(ids_against_a_model)
{
	enum { N = 5000 };
	static uint8_t have[N], seen[N];

	srand(1);
	for (int i = 0; i < 200000; i++) {
		uint32_t id = 1 + (uint32_t)rand() % (N - 1);

		if (rand() % 2) {
			ck_assert_int_eq(f3_keep_add_id(k, id), 0);
			have[id] = 1;
		} else {
			f3_keep_del_id(k, id);
			have[id] = 0;
		}
	}
	f3_keep_each_id(k, see_id, seen);
	ck_assert_mem_eq(have, seen, N);
}
END_TEST

static void drop_id(void *arg, uint32_t id)
{
	++*(uint32_t *)arg;
	f3_keep_del_id(k, id);
}

START_TEST(ids_deleted_while_looked_at)
{
	uint32_t n = 0;

	for (uint32_t id = 1; id <= 3000; id++)
		ck_assert_int_eq(f3_keep_add_id(k, id * 262144 + 1), 0);
	f3_keep_each_id(k, drop_id, &n);
	ck_assert_uint_eq(n, 3000);
	f3_keep_each_id(k, drop_id, &n);
	ck_assert_uint_eq(n, 3000);
}
END_TEST

START_TEST(ids_are_bounded)
{
	uint32_t id = 0;

	while (f3_keep_add_id(k, id + 1) == 0)
		id++;
	ck_assert_uint_eq(id, F3_KEEP_IDS / 4 * 3);
	ck_assert_int_eq(f3_keep_add_id(k, id + 1), -ENOSPC);
	f3_keep_del_id(k, 1);
	ck_assert_int_eq(f3_keep_add_id(k, id + 1), 0);
}
END_TEST

/* ---- What is refused -------------------------------------------------------------------------- */

static void refused(int fd, const char *why)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_keep *next = NULL;

	ck_assert_int_eq(f3_keep_adopt(fd, &next, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
	ck_assert_ptr_eq(next, NULL);
}

START_TEST(not_a_keep)
{
	struct stat st;
	int fd = memfd_create("other", MFD_CLOEXEC);

	refused(dup(fd), "not one of this version");
	/* As large, but whoever has it could cut it short under us. */
	ck_assert_int_eq(fstat(f3_keep_fd(k), &st), 0);
	ck_assert_int_eq(ftruncate(fd, st.st_size), 0);
	refused(fd, "not one of this version");
	refused(open("/dev/null", O_RDWR | O_CLOEXEC), "not one of this version");
}
END_TEST

/* Bytes of its head are spoilt one after the other: it is refused, or what it says is sound. */
START_TEST(a_spoilt_head)
{
	unsigned bad = 0;

	publish(1, 9);
	for (off_t at = 0; at < 64; at++) {
		struct f3_err err = F3_ERR_INIT;
		struct f3_keep *next;
		uint8_t was, other;

		ck_assert_int_eq(pread(f3_keep_fd(k), &was, 1, at), 1);
		other = was ^ 0xff;
		ck_assert_int_eq(pwrite(f3_keep_fd(k), &other, 1, at), 1);
		if (f3_keep_adopt(dup(f3_keep_fd(k)), &next, &err)) {
			ck_assert_int_eq(err.code, -EINVAL);
			bad++;
		} else {
			size_t size = 0;
			uint64_t n = 0;

			(void)f3_keep_each_open(next, count, &n);
			(void)f3_keep_init(next, &size);
			ck_assert_uint_le(size, F3_KEEP_INIT_MAX);
			f3_keep_free(next);
		}
		ck_assert_int_eq(pwrite(f3_keep_fd(k), &was, 1, at), 1);
	}
	ck_assert_uint_ge(bad, 24); /* at least the magic, the format and the sizes */
}
END_TEST

/* libfuse is given it as a request, and looks at nothing before it believes it. */
START_TEST(a_spoilt_init)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_keep *next = NULL;
	size_t size;

	for (int how = 0; how < 5; how++) {
		size_t len = sizeof(hello);

		hello.in.len = sizeof(hello);
		hello.in.opcode = how == 1 ? FUSE_WRITE : FUSE_INIT;
		hello.init.flags = how == 4 ? 0 : FUSE_INIT_EXT;
		if (how == 2)
			hello.in.len++;
		if (how == 3) /* says that it has more */
			hello.in.len = (uint32_t)(len = sizeof(hello) - 8);
		if (how == 4) /* of an old kernel */
			hello.in.len = (uint32_t)(len = sizeof(hello.in) + 16);
		ck_assert_int_eq(f3_keep_set_init(k, &hello, len), 0);
		if (how == 0 || how == 4) {
			ck_assert_int_eq(f3_keep_adopt(dup(f3_keep_fd(k)), &next, &err), 0);
			ck_assert_ptr_nonnull(f3_keep_init(next, &size));
			f3_keep_free(next);
		} else {
			refused(dup(f3_keep_fd(k)), "damaged");
			ck_assert_ptr_null(f3_keep_init(k, &size));
		}
	}
}
END_TEST

/* A search in a table without a free slot would not end. */
START_TEST(too_many_ids)
{
	static uint32_t ids[F3_KEEP_IDS];
	off_t at = 4096 + (off_t)F3_KEEP_OPENS * (off_t)sizeof(struct f3_kept_open);

	memset(ids, 0x5a, sizeof(ids));
	ck_assert_int_eq(pwrite(f3_keep_fd(k), ids, sizeof(ids), at), sizeof(ids));
	refused(dup(f3_keep_fd(k)), "damaged");
}
END_TEST

START_TEST(a_spoilt_description)
{
	struct f3_kept_open *o = f3_keep_open(k, 2);
	uint64_t n = 0, fh;

	publish(2, 9);
	fh = atomic_load(&o->fh);
	atomic_store(&o->fh, fh + 1); /* of another slot */
	ck_assert_int_eq(f3_keep_each_open(k, count, &n), -EINVAL);
	atomic_store(&o->fh, fh + (UINT64_C(1) << 32)); /* of another use */
	ck_assert_int_eq(f3_keep_each_open(k, count, &n), -EINVAL);
	atomic_store(&o->fh, fh);
	o->flags = F3_KEPT_FLAGS + 1;
	ck_assert_int_eq(f3_keep_each_open(k, count, &n), -EINVAL);
	o->flags = 0;
	o->ino = 0;
	ck_assert_int_eq(f3_keep_each_open(k, count, &n), -EINVAL);
	o->ino = 9;
	ck_assert_uint_eq(sum(k), 9);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fuse_keep");
	TCase *kept = tcase_create("kept"), *ids = tcase_create("ids"), *bad = tcase_create("bad");

	tcase_add_checked_fixture(kept, setup, teardown);
	tcase_add_test(kept, outlives_its_writer);
	tcase_add_test(kept, a_slot_used_again_has_another_number);
	tcase_add_test(kept, no_init_yet_and_one_too_long);
	suite_add_tcase(suite, kept);
	tcase_add_checked_fixture(ids, setup, teardown);
	tcase_set_timeout(ids, 60);
	tcase_add_test(ids, ids_against_a_model);
	tcase_add_test(ids, ids_deleted_while_looked_at);
	tcase_add_test(ids, ids_are_bounded);
	suite_add_tcase(suite, ids);
	tcase_add_checked_fixture(bad, setup, teardown);
	tcase_add_test(bad, not_a_keep);
	tcase_add_test(bad, a_spoilt_head);
	tcase_add_test(bad, a_spoilt_init);
	tcase_add_test(bad, too_many_ids);
	tcase_add_test(bad, a_spoilt_description);
	suite_add_tcase(suite, bad);
	return f3_unit_run(suite);
}
