/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <sys/mman.h>

#include "fs/local/watch.h"
#include "tests/unit/local_unit.h"

struct seen {
	struct event calls;
	_Atomic unsigned events; /* all that came, or-ed */
	_Atomic unsigned closes; /* calls that spoke of a close */
};

#define SEEN_INIT                   \
	{                           \
		.calls = EVENT_INIT \
	}

static void see(void *arg, unsigned events)
{
	struct seen *s = arg;

	s->events |= events;
	if (events & F3_WATCH_CLOSE_WRITE)
		s->closes++;
	event_post(&s->calls);
}

static struct f3_watcher *watcher;

static void teardown(void)
{
	f3_watcher_free(watcher);
	watcher = NULL;
	place_remove();
}

static void make_file(const char *name)
{
	int fd = place_open(name, O_RDWR | O_CREAT);

	ck_assert(!ftruncate(fd, 4096));
	close(fd);
}

/* By a descriptor that is closed at once. */
static struct f3_watch *watch_file(const char *name, unsigned events,
				   void (*fn)(void *arg, unsigned events), void *arg)
{
	struct f3_watch *watch;
	int fd = place_open(name, O_RDONLY);

	ck_assert(!f3_watch_add(watcher, fd, events, fn, arg, &watch));
	close(fd);
	return watch;
}

static void write_file(const char *name)
{
	int fd = place_open(name, O_WRONLY);

	ck_assert_int_eq(pwrite(fd, "x", 1, 0), 1);
	close(fd);
}

/* Everything that happened before this call has been reported when it returns: events of one
 * kind come in order. */
static void settle(void)
{
	struct seen last = SEEN_INIT;
	struct f3_watch *watch;

	make_file("settle");
	watch = watch_file("settle", F3_WATCH_MODIFY | F3_WATCH_CLOSE_WRITE, see, &last);
	write_file("settle");
	event_await(&last.calls, 1);
	if (last.events != (F3_WATCH_MODIFY | F3_WATCH_CLOSE_WRITE))
		event_await(&last.calls, 2);
	f3_watch_del(watch);
}

static void setup(void)
{
	ck_assert(!f3_watcher_new(&watcher));
	place_make(0);
	make_file("a");
	make_file("b");
}

START_TEST(closing_after_writing_is_told)
{
	struct seen seen = SEEN_INIT;
	struct f3_watch *watch = watch_file("a", F3_WATCH_CLOSE_WRITE, see, &seen);

	write_file("a");
	event_await(&seen.calls, 1);
	ck_assert_uint_eq(seen.events, F3_WATCH_CLOSE_WRITE);
	f3_watch_del(watch);
}
END_TEST

START_TEST(a_mapping_holds_the_close_back)
{
	struct seen seen = SEEN_INIT;
	struct f3_watch *watch = watch_file("a", F3_WATCH_CLOSE_WRITE, see, &seen);
	int fd = place_open("a", O_RDWR);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	ck_assert(map != MAP_FAILED);
	close(fd);
	map[0] = 'y';
	settle();
	ck_assert_uint_eq(seen.events, 0);
	ck_assert(!munmap(map, 4096));
	event_await(&seen.calls, 1);
	ck_assert_uint_eq(seen.events, F3_WATCH_CLOSE_WRITE);
	f3_watch_del(watch);
}
END_TEST

START_TEST(each_watch_hears_what_it_asked_for)
{
	struct seen closes = SEEN_INIT, writes = SEEN_INIT, both = SEEN_INIT, other = SEEN_INIT;
	struct f3_watch *watches[] = {
		watch_file("a", F3_WATCH_CLOSE_WRITE, see, &closes),
		watch_file("a", F3_WATCH_MODIFY, see, &writes),
		watch_file("a", F3_WATCH_MODIFY | F3_WATCH_CLOSE_WRITE, see, &both),
		watch_file("b", F3_WATCH_MODIFY | F3_WATCH_CLOSE_WRITE, see, &other),
	};
	int fd;

	fd = place_open("a", O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), 1);
	event_await(&writes.calls, 1);
	event_await(&both.calls, 1);
	ck_assert_uint_eq(writes.events, F3_WATCH_MODIFY);
	ck_assert_uint_eq(closes.events, 0);
	close(fd);
	settle();
	ck_assert_uint_eq(closes.events, F3_WATCH_CLOSE_WRITE);
	ck_assert_uint_eq(writes.events, F3_WATCH_MODIFY);
	ck_assert_uint_eq(both.events, F3_WATCH_MODIFY | F3_WATCH_CLOSE_WRITE);
	ck_assert_uint_eq(other.events, 0);
	for (size_t i = 0; i < sizeof(watches) / sizeof(watches[0]); i++)
		f3_watch_del(watches[i]);
}
END_TEST

START_TEST(a_deleted_watch_is_silent_the_others_go_on)
{
	struct seen gone = SEEN_INIT, stays = SEEN_INIT, again = SEEN_INIT;
	struct f3_watch *a = watch_file("a", F3_WATCH_CLOSE_WRITE, see, &gone);
	struct f3_watch *b = watch_file("a", F3_WATCH_CLOSE_WRITE, see, &stays);

	f3_watch_del(a);
	write_file("a");
	settle();
	ck_assert_uint_eq(stays.events, F3_WATCH_CLOSE_WRITE);
	ck_assert_uint_eq(gone.events, 0);

	/* The last one goes, and the file is watched anew. */
	f3_watch_del(b);
	stays.events = 0;
	write_file("a");
	a = watch_file("a", F3_WATCH_CLOSE_WRITE, see, &again);
	write_file("a");
	settle();
	ck_assert_uint_eq(again.events, F3_WATCH_CLOSE_WRITE);
	ck_assert_uint_eq(stays.events, 0);
	f3_watch_del(a);
}
END_TEST

struct slow {
	struct event began, may_end;
	_Atomic bool ended;
};

static void be_slow(void *arg, unsigned events)
{
	struct slow *s = arg;

	(void)events;
	event_post(&s->began);
	event_await(&s->may_end, 1);
}

/* Gives a deletion that does not wait every chance to be over first. */
static void linger(void *arg, unsigned events)
{
	struct slow *s = arg;

	be_slow(arg, events);
	for (int i = 0; i < 5000; i++)
		sched_yield();
	s->ended = true;
}

START_TEST(del_waits_for_the_running_callback)
{
	struct slow slow = { .began = EVENT_INIT, .may_end = EVENT_INIT };
	struct f3_watch *watch = watch_file("a", F3_WATCH_CLOSE_WRITE, linger, &slow);

	write_file("a");
	event_await(&slow.began, 1);
	event_post(&slow.may_end);
	f3_watch_del(watch);
	ck_assert(slow.ended);
}
END_TEST

struct once {
	struct f3_watch *_Atomic watch;
	struct f3_watch *_Atomic other;
	struct event has_watch;
	struct seen seen;
};

static void del_both(void *arg, unsigned events)
{
	struct once *o = arg;

	event_await(&o->has_watch, 1);
	f3_watch_del(o->other);
	f3_watch_del(o->watch);
	see(&o->seen, events);
}

/* Both hear of the same writing; whoever is first deletes both. */
START_TEST(a_callback_deletes_itself_and_another)
{
	struct once once = { .has_watch = EVENT_INIT, .seen = SEEN_INIT };

	once.watch = watch_file("a", F3_WATCH_CLOSE_WRITE, del_both, &once);
	once.other = watch_file("a", F3_WATCH_MODIFY, del_both, &once);
	event_post(&once.has_watch);
	write_file("a");
	event_await(&once.seen.calls, 1);
	settle();
	ck_assert_uint_eq(once.seen.calls.count, 1);
}
END_TEST

START_TEST(a_file_that_is_gone_is_told)
{
	struct seen seen = SEEN_INIT;
	struct f3_watch *watch = watch_file("a", F3_WATCH_CLOSE_WRITE, see, &seen);

	ck_assert(!unlink(place_path("a")));
	event_await(&seen.calls, 1);
	ck_assert_uint_eq(seen.events, F3_WATCH_RECHECK);
	f3_watch_del(watch);
}
END_TEST

static unsigned max_queued(void)
{
	FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
	unsigned n = 0;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%u", &n), 1);
	fclose(f);
	return n;
}

START_TEST(after_an_overflow_everybody_looks_again)
{
	struct slow slow = { .began = EVENT_INIT, .may_end = EVENT_INIT };
	struct seen busy = SEEN_INIT, idle = SEEN_INIT;
	struct f3_watch *watches[4];
	unsigned n = max_queued();
	int a = place_open("a", O_WRONLY), b = place_open("b", O_WRONLY);

	make_file("slow");
	make_file("idle");
	watches[0] = watch_file("slow", F3_WATCH_MODIFY, be_slow, &slow);
	watches[1] = watch_file("a", F3_WATCH_MODIFY, see, &busy);
	watches[2] = watch_file("b", F3_WATCH_MODIFY, see, &busy);
	watches[3] = watch_file("idle", F3_WATCH_MODIFY, see, &idle);

	if (n > 200000) {
		printf("skipped: fs.inotify.max_queued_events is too large to fill\n");
		event_post(&slow.may_end);
	} else {
		write_file("slow");
		event_await(&slow.began, 1);
		/* In turns: equal events after each other are one. */
		for (unsigned i = 0; i < n + 100; i++)
			ck_assert_int_eq(pwrite(i % 2 ? a : b, "x", 1, 0), 1);
		event_post(&slow.may_end);
		event_await(&idle.calls, 1);
		ck_assert_uint_eq(idle.events, F3_WATCH_RECHECK);
	}
	close(a);
	close(b);
	for (size_t i = 0; i < sizeof(watches) / sizeof(watches[0]); i++)
		f3_watch_del(watches[i]);
}
END_TEST

struct churner {
	const char *name;
	unsigned rounds;
};

static void *churn(void *arg)
{
	struct churner *c = arg;
	char path[sizeof(place_dir) + 16];

	snprintf(path, sizeof(path), "%s/%s", place_dir, c->name);
	for (unsigned i = 0; i < c->rounds; i++) {
		struct seen seen = SEEN_INIT;
		struct f3_watch *watch;
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		if (fd < 0 || f3_watch_add(watcher, fd, F3_WATCH_CLOSE_WRITE, see, &seen, &watch))
			return NULL;
		close(fd);
		event_await(&seen.calls, 1);
		f3_watch_del(watch);
	}
	return arg;
}

/* Two threads on one file: adding and removing the kernel's one watch must not get mixed up. */
START_TEST(threads_come_and_go)
{
	struct churner churners[] = { { "a", 300 }, { "a", 300 }, { "b", 300 } };
	pthread_t threads[3];
	void *result;

	for (int i = 0; i < 3; i++)
		ck_assert(!pthread_create(&threads[i], NULL, churn, &churners[i]));
	for (int i = 0; i < 3; i++) {
		ck_assert(!pthread_join(threads[i], &result));
		ck_assert_ptr_nonnull(result);
	}
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
	struct f3_watch *watch = NULL;
	int fd = place_open("a", O_RDONLY);

	ck_assert_int_eq(f3_watch_add(watcher, fd, 0, see, NULL, &watch), -EINVAL);
	ck_assert_int_eq(f3_watch_add(watcher, fd, F3_WATCH_RECHECK, see, NULL, &watch), -EINVAL);
	close(fd);
	ck_assert_int_eq(f3_watch_add(watcher, fd, F3_WATCH_MODIFY, see, NULL, &watch), -ENOENT);
	ck_assert_ptr_null(watch);
	f3_watch_del(NULL);
	f3_watcher_free(NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("watch");
	TCase *t = tcase_create("watch");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, closing_after_writing_is_told);
	tcase_add_test(t, a_mapping_holds_the_close_back);
	tcase_add_test(t, each_watch_hears_what_it_asked_for);
	tcase_add_test(t, a_deleted_watch_is_silent_the_others_go_on);
	tcase_add_test(t, del_waits_for_the_running_callback);
	tcase_add_test(t, a_callback_deletes_itself_and_another);
	tcase_add_test(t, a_file_that_is_gone_is_told);
	tcase_add_test(t, after_an_overflow_everybody_looks_again);
	tcase_add_test(t, threads_come_and_go);
	tcase_add_test(t, bad_arguments_are_refused);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
