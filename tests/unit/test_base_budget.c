/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/budget.h"
#include "tests/unit/unit.h"

static struct f3_budget *b;

static atomic_int turns;

static void setup(void)
{
	atomic_store(&turns, 0);
	ck_assert_int_eq(f3_budget_new(1000, &b), 0);
}

static void teardown(void)
{
	f3_budget_free(b);
	f3_budget_free(NULL);
}

START_TEST(accounts_add_up)
{
	ck_assert_uint_eq(f3_budget_limit(b), 1000);
	ck_assert_int_eq(f3_budget_try_take(b, F3_ACCT_PROCESS, 300), 0);
	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_BUFFERS, 600), 0);
	ck_assert_int_eq(f3_budget_try_take(b, F3_ACCT_BUFFERS, 101), -ENOMEM);
	ck_assert_int_eq(f3_budget_try_take(b, F3_ACCT_BUFFERS, 100), 0);
	ck_assert_int_eq(f3_budget_try_take(b, F3_ACCT_INODES, 1), -ENOMEM);
	ck_assert_uint_eq(f3_budget_used(b, F3_ACCT_PROCESS), 300);
	ck_assert_uint_eq(f3_budget_used(b, F3_ACCT_BUFFERS), 700);
	ck_assert_uint_eq(f3_budget_used(b, F3_ACCT_MAX), 1000);
	f3_budget_give(b, F3_ACCT_BUFFERS, 700);
	ck_assert_uint_eq(f3_budget_used(b, F3_ACCT_BUFFERS), 0);
	ck_assert_int_eq(f3_budget_try_take(b, F3_ACCT_INODES, 700), 0);
	f3_budget_give(b, F3_ACCT_INODES, 700);
	f3_budget_give(b, F3_ACCT_PROCESS, 300);
	ck_assert_uint_eq(f3_budget_used(b, F3_ACCT_MAX), 0);
}
END_TEST

START_TEST(more_than_the_limit_never_waits)
{
	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_BUFFERS, 1001), -ENOMEM);
	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_BUFFERS, UINT64_MAX), -ENOMEM);
	ck_assert_int_eq(f3_budget_try_take(b, F3_ACCT_BUFFERS, UINT64_MAX), -ENOMEM);
	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_BUFFERS, 1000), 0);
	ck_assert_int_eq(f3_budget_try_take(b, F3_ACCT_BUFFERS, UINT64_MAX), -ENOMEM);
	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_BUFFERS, 0), 0);
	f3_budget_give(b, F3_ACCT_BUFFERS, 1000);
}
END_TEST

START_TEST(accounts_have_names)
{
	for (int a = 0; a <= F3_ACCT_MAX; a++) {
		ck_assert_ptr_nonnull(f3_account_name((enum f3_account)a));
		for (int o = 0; o < a; o++)
			ck_assert_str_ne(f3_account_name((enum f3_account)a),
					 f3_account_name((enum f3_account)o));
	}
}
END_TEST

struct taker {
	uint64_t bytes;
	atomic_int served; /* its turn, from 1 */
};

static void *take_once(void *arg)
{
	struct taker *t = arg;

	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_BUFFERS, t->bytes), 0);
	atomic_store(&t->served, atomic_fetch_add(&turns, 1) + 1);
	return NULL;
}

/* The sum moves to `bytes` only when a parked taker has been granted. */
static void wait_for_use(uint64_t bytes)
{
	while (f3_budget_used(b, F3_ACCT_MAX) != bytes)
		sched_yield();
}

START_TEST(takers_wait_for_room)
{
	struct taker t = { .bytes = 600 };
	pthread_t thread;

	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_PROCESS, 500), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, take_once, &t), 0);
	while (f3_budget_waiting(b) < 1)
		sched_yield();
	/* not enough yet */
	f3_budget_give(b, F3_ACCT_PROCESS, 99);
	ck_assert_uint_eq(f3_budget_used(b, F3_ACCT_MAX), 401);
	/* others still get what is left meanwhile */
	ck_assert_int_eq(f3_budget_try_take(b, F3_ACCT_INODES, 10), 0);
	f3_budget_give(b, F3_ACCT_INODES, 10);
	ck_assert_uint_eq(f3_budget_waiting(b), 1);
	ck_assert_int_eq(atomic_load(&t.served), 0);
	f3_budget_give(b, F3_ACCT_PROCESS, 1);
	pthread_join(thread, NULL);
	ck_assert_int_eq(atomic_load(&t.served), 1);
	ck_assert_uint_eq(f3_budget_used(b, F3_ACCT_MAX), 1000);
	f3_budget_give(b, F3_ACCT_BUFFERS, 600);
	f3_budget_give(b, F3_ACCT_PROCESS, 400);
}
END_TEST

#define THREADS 4

static atomic_uint over;

static void *take_and_give(void *arg)
{
	unsigned seed = (unsigned)(intptr_t)arg;

	for (int i = 0; i < 3000; i++) {
		enum f3_account a = (enum f3_account)(rand_r(&seed) % F3_ACCT_MAX);
		uint64_t bytes = (uint64_t)rand_r(&seed) % 700;

		if (i % 3 == 0) {
			if (f3_budget_try_take(b, a, bytes) != 0)
				continue;
		} else {
			f3_budget_take(b, a, bytes);
		}
		if (f3_budget_used(b, F3_ACCT_MAX) > 1000)
			atomic_fetch_add(&over, 1);
		f3_budget_give(b, a, bytes);
	}
	return NULL;
}

/* Never above the limit, nobody left waiting, nothing lost. */
START_TEST(storm_keeps_the_limit)
{
	pthread_t threads[THREADS];

	atomic_store(&over, 0);
	for (intptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(atomic_load(&over), 0);
	for (int a = 0; a <= F3_ACCT_MAX; a++)
		ck_assert_uint_eq(f3_budget_used(b, (enum f3_account)a), 0);
}
END_TEST

/* A large one that waits is not overtaken by takers that come later and would fit. */
START_TEST(first_come_first_served)
{
	struct taker large = { .bytes = 900 }, small = { .bytes = 50 };
	pthread_t first, second;

	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_PROCESS, 200), 0);
	ck_assert_int_eq(pthread_create(&first, NULL, take_once, &large), 0);
	while (f3_budget_waiting(b) < 1)
		sched_yield();
	ck_assert_int_eq(pthread_create(&second, NULL, take_once, &small), 0);
	while (f3_budget_waiting(b) < 2)
		sched_yield();
	ck_assert_uint_eq(f3_budget_used(b, F3_ACCT_MAX), 200);
	f3_budget_give(b, F3_ACCT_PROCESS, 100);
	wait_for_use(1000);
	pthread_join(first, NULL);
	ck_assert_int_eq(atomic_load(&large.served), 1);
	ck_assert_int_eq(atomic_load(&small.served), 0);
	f3_budget_give(b, F3_ACCT_PROCESS, 100);
	pthread_join(second, NULL);
	ck_assert_int_eq(atomic_load(&small.served), 2);
	f3_budget_give(b, F3_ACCT_BUFFERS, 950);
}
END_TEST

/* ---- parked takers, and shares ---- */

struct parked {
	struct f3_room room;
	unsigned called;
};

static unsigned deep, deepest;

/* Gives back at once what it got: the next one is called. */
static void called(struct f3_waiter *w, int result)
{
	struct parked *p = (struct parked *)w;

	ck_assert_int_eq(result, 0);
	deep++;
	if (deep > deepest)
		deepest = deep;
	p->called++;
	f3_budget_give(b, F3_ACCT_BUFFERS, p->room.bytes);
	deep--;
}

START_TEST(parked_takers_are_called_once)
{
	static struct parked many[10000];

	memset(many, 0, sizeof(many));
	deep = deepest = 0;
	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_BUFFERS, 1000), 0);
	for (size_t i = 0; i < 10000; i++) {
		many[i].room.w.fn = called;
		ck_assert_int_eq(f3_budget_ask(b, F3_ACCT_BUFFERS, 600, &many[i].room), 0);
	}
	ck_assert_uint_eq(f3_budget_waiting(b), 10000);
	ck_assert(f3_budget_cancel(b, &many[0].room));
	ck_assert(!f3_budget_cancel(b, &many[0].room));
	ck_assert(f3_budget_cancel(b, &many[5000].room));
	f3_budget_give(b, F3_ACCT_BUFFERS, 1000);
	for (size_t i = 0; i < 10000; i++)
		ck_assert_uint_eq(many[i].called, i == 0 || i == 5000 ? 0 : 1);
	/* whatever their number, from one loop */
	ck_assert_uint_eq(deepest, 1);
	ck_assert(!f3_budget_cancel(b, &many[1].room));
	ck_assert_uint_eq(f3_budget_waiting(b), 0);
	ck_assert_uint_eq(f3_budget_used(b, F3_ACCT_MAX), 0);
	ck_assert_int_eq(f3_budget_ask(b, F3_ACCT_BUFFERS, 1000, &many[0].room), 1);
	f3_budget_give(b, F3_ACCT_BUFFERS, 1000);
	ck_assert_int_eq(f3_budget_ask(b, F3_ACCT_BUFFERS, 1001, &many[0].room), -ENOMEM);
}
END_TEST

/* Canceling a large one lets those behind it go on. */
START_TEST(canceling_makes_way)
{
	struct parked large = { .room.w.fn = called }, small = { .room.w.fn = called };

	ck_assert_int_eq(f3_budget_take(b, F3_ACCT_BUFFERS, 500), 0);
	ck_assert_int_eq(f3_budget_ask(b, F3_ACCT_BUFFERS, 900, &large.room), 0);
	ck_assert_int_eq(f3_budget_ask(b, F3_ACCT_BUFFERS, 100, &small.room), 0);
	ck_assert_uint_eq(small.called, 0);
	ck_assert(f3_budget_cancel(b, &large.room));
	ck_assert_uint_eq(small.called, 1);
	f3_budget_give(b, F3_ACCT_BUFFERS, 500);
}
END_TEST

START_TEST(shares_are_within_the_limit)
{
	static const uint64_t mib[] = { 1, 64, 128, 200, 512, 4096, 1 << 20 };
	const uint64_t least = 59; /* below it nothing works */

	for (size_t i = 0; i < sizeof(mib) / sizeof(mib[0]); i++) {
		struct f3_budget *own;
		uint64_t sum = 0;

		ck_assert_int_eq(f3_budget_new(mib[i] << 20, &own), 0);
		f3_budget_divide(own);
		ck_assert_uint_eq(f3_budget_limit(own), (mib[i] < least ? least : mib[i]) << 20);
		for (int a = 0; a < F3_ACCT_MAX; a++) {
			ck_assert_uint_gt(f3_budget_share(own, (enum f3_account)a), 0);
			sum += f3_budget_share(own, (enum f3_account)a);
		}
		ck_assert_uint_le(sum, f3_budget_limit(own));
		f3_budget_free(own);
	}
}
END_TEST

/* What one account takes, no other one lacks. */
START_TEST(accounts_do_not_wait_for_each_other)
{
	struct f3_budget *own;
	uint64_t share;

	ck_assert_int_eq(f3_budget_new(128 << 20, &own), 0);
	f3_budget_divide(own);
	for (int a = F3_ACCT_INODES; a < F3_ACCT_MAX; a++) {
		share = f3_budget_share(own, (enum f3_account)a);
		ck_assert_int_eq(f3_budget_try_take(own, (enum f3_account)a, share), 0);
		ck_assert_int_eq(f3_budget_try_take(own, (enum f3_account)a, 1), -ENOMEM);
	}
	/* Noted memory shows, and refuses nobody. */
	f3_budget_give(own, F3_ACCT_BUFFERS, 1000);
	f3_budget_note(own, F3_ACCT_INODES, 1 << 30);
	ck_assert_uint_ge(f3_budget_used(own, F3_ACCT_INODES), 1 << 30);
	ck_assert_int_eq(f3_budget_try_take(own, F3_ACCT_BUFFERS, 1000), 0);
	f3_budget_note(own, F3_ACCT_INODES, -(1 << 30));
	f3_budget_free(own);
}
END_TEST

/* ---- limits of cgroups, in a tree that stands for / ---- */

static char top[] = "/tmp/f3-cgroup-XXXXXX";

static void put(const char *path, const char *text)
{
	char full[500];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", top, path);
	for (char *slash = full + strlen(top) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		ck_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
		*slash = '/';
	}
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void make_top(void)
{
	memcpy(top, "/tmp/f3-cgroup-XXXXXX", sizeof(top));
	ck_assert_ptr_nonnull(mkdtemp(top));
}

static void remove_top(void)
{
	nftw(top, remove_one, 10, FTW_DEPTH | FTW_PHYS);
}

static uint64_t limit(void)
{
	return f3_budget_cgroup_limit_below(top, 1 << 30);
}

#define V2_MOUNT "30 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

START_TEST(no_cgroups_no_limit)
{
	ck_assert_uint_eq(limit(), 1 << 30);
	put("/proc/self/cgroup", "");
	put("/proc/self/mountinfo", "");
	ck_assert_uint_eq(limit(), 1 << 30);
	/* the machine's own answer is never more than wanted */
	ck_assert_uint_le(f3_budget_cgroup_limit(12345), 12345);
}
END_TEST

START_TEST(v2_smallest_of_all_levels)
{
	put("/proc/self/cgroup", "0::/system.slice/f3d.service\n");
	put("/proc/self/mountinfo", "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n" V2_MOUNT);
	put("/sys/fs/cgroup/system.slice/f3d.service/memory.max", "max\n");
	ck_assert_uint_eq(limit(), 1 << 30);
	put("/sys/fs/cgroup/system.slice/f3d.service/memory.max", "500000\n");
	ck_assert_uint_eq(limit(), 500000);
	put("/sys/fs/cgroup/system.slice/memory.max", "400000\n");
	ck_assert_uint_eq(limit(), 400000);
	put("/sys/fs/cgroup/system.slice/f3d.service/memory.high", "300000\n");
	ck_assert_uint_eq(limit(), 300000);
	put("/sys/fs/cgroup/memory.max", "200000\n");
	ck_assert_uint_eq(limit(), 200000);
	ck_assert_uint_eq(f3_budget_cgroup_limit_below(top, 1000), 1000);
}
END_TEST

/* Inside a container: its own namespace shows "/", or its group is what is mounted. */
START_TEST(v2_in_a_container)
{
	put("/proc/self/cgroup", "0::/\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/sys/fs/cgroup/memory.max", "7000\n");
	ck_assert_uint_eq(limit(), 7000);

	put("/proc/self/cgroup", "0::/docker/abc/inner\n");
	put("/proc/self/mountinfo",
	    "30 23 0:28 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	put("/sys/fs/cgroup/inner/memory.max", "6000\n");
	ck_assert_uint_eq(limit(), 6000);
	/* a neighbour whose name only begins alike is not ours */
	put("/proc/self/cgroup", "0::/docker/abcdef/inner\n");
	ck_assert_uint_eq(limit(), 7000);
	put("/proc/self/cgroup", "0::/../../inner\n");
	ck_assert_uint_eq(limit(), 7000);
}
END_TEST

START_TEST(v1_memory_controller)
{
	put("/proc/self/cgroup", "9:name=systemd:/x\n4:cpu,memory:/app/one\n1:cpuset:/\n0::/\n");
	put("/proc/self/mountinfo",
	    "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
	    "35 31 0:32 / /sys/fs/cgroup/with\\040blank rw - cgroup cgroup rw,cpu,memory\n");
	put("/sys/fs/cgroup/with blank/app/one/memory.limit_in_bytes", "9223372036854771712\n");
	ck_assert_uint_eq(limit(), 1 << 30);
	put("/sys/fs/cgroup/with blank/app/memory.limit_in_bytes", "123456\n");
	ck_assert_uint_eq(limit(), 123456);
}
END_TEST

START_TEST(nonsense_is_no_limit)
{
	static const char *const limits[] = {
		"", "\n", "-1\n", "lots\n", "12 34\n", "+5\n", " 7\n"
	};
	static const char *const mounts[] = { "30 23\n",
					      "- cgroup2\n",
					      "\n",
					      " - \n",
					      "30 23 0:28 / /sys/fs/cgroup rw\n",
					      "1 2 3 4 5 - cgroup2\n" };

	put("/proc/self/cgroup", ":\n0:\n0::\n0::/a\n");
	put("/proc/self/mountinfo", V2_MOUNT);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		put("/sys/fs/cgroup/a/memory.max", limits[i]);
		ck_assert_uint_eq(limit(), 1 << 30);
	}
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		put("/proc/self/mountinfo", mounts[i]);
		ck_assert_uint_eq(limit(), 1 << 30);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("budget");
	TCase *t = tcase_create("budget");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, accounts_add_up);
	tcase_add_test(t, more_than_the_limit_never_waits);
	tcase_add_test(t, accounts_have_names);
	tcase_add_test(t, takers_wait_for_room);
	tcase_add_test(t, first_come_first_served);
	tcase_add_test(t, storm_keeps_the_limit);
	tcase_add_test(t, parked_takers_are_called_once);
	tcase_add_test(t, canceling_makes_way);
	tcase_add_test(t, shares_are_within_the_limit);
	tcase_add_test(t, accounts_do_not_wait_for_each_other);
	suite_add_tcase(s, t);

	t = tcase_create("cgroup");
	tcase_add_checked_fixture(t, make_top, remove_top);
	tcase_add_test(t, no_cgroups_no_limit);
	tcase_add_test(t, v2_smallest_of_all_levels);
	tcase_add_test(t, v2_in_a_container);
	tcase_add_test(t, v1_memory_controller);
	tcase_add_test(t, nonsense_is_no_limit);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
