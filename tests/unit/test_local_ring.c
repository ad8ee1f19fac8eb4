/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <sys/resource.h>

#include "fs/local/ring.h"
#include "tests/unit/local_unit.h"

struct op {
	struct f3_io io;
	struct event *event;
};

static void op_done(struct f3_io *io)
{
	event_post(((struct op *)io)->event);
}

/* Submits and waits. */
static int64_t run(struct f3_ring *ring, struct f3_io io)
{
	struct event event = EVENT_INIT;
	struct op op = { .io = io, .event = &event };

	op.io.done = op_done;
	op.io.result = INT64_MIN;
	f3_ring_submit(ring, &op.io);
	event_await(&event, 1);
	return op.io.result;
}

/* Each test of this file runs for every kind of ring. */
static struct f3_ring *ring;

static bool start(int kind, unsigned depth)
{
	ring = ring_make((enum ring_kind)kind, depth);
	return ring;
}

static void teardown(void)
{
	f3_ring_free(ring);
	ring = NULL;
	place_remove();
}

/* ---- Bytes -------------------------------------------------------------------------------------- */

#define WRITERS 4
#define PIECES 48
#define PIECE_MAX 60000u

struct writer {
	int fd, index;
	bool good;
};

static size_t piece_len(unsigned index, unsigned piece)
{
	return 1 + (index * 7919u + piece * 104729u) % PIECE_MAX;
}

static uint8_t piece_byte(unsigned index, unsigned piece, size_t i)
{
	return (uint8_t)(index * 31 + piece * 17 + i * 3 + (i >> 8));
}

static void *write_and_read_back(void *arg)
{
	struct writer *w = arg;
	struct event event = EVENT_INIT;
	struct op *ops = calloc(PIECES, sizeof(*ops));
	uint8_t *bytes = malloc((size_t)PIECES * PIECE_MAX);
	bool good = ops && bytes;

	for (unsigned p = 0; p < PIECES && good; p++) {
		uint64_t slot = (uint64_t)p * WRITERS + (unsigned)w->index;

		ops[p].event = &event;
		ops[p].io = (struct f3_io){
			.op = F3_IO_WRITE,
			.fd = w->fd,
			.buf = bytes + (size_t)p * PIECE_MAX,
			.len = piece_len((unsigned)w->index, p),
			.off = slot * PIECE_MAX,
			.done = op_done,
		};
		for (size_t i = 0; i < ops[p].io.len; i++)
			bytes[(size_t)p * PIECE_MAX + i] = piece_byte((unsigned)w->index, p, i);
		f3_ring_submit(ring, &ops[p].io);
	}
	if (good)
		event_await(&event, PIECES);
	for (unsigned p = 0; p < PIECES && good; p++) {
		good = ops[p].io.result == (int64_t)ops[p].io.len;
		memset(ops[p].io.buf, 0, ops[p].io.len);
		ops[p].io.op = F3_IO_READ;
	}
	for (unsigned p = 0; p < PIECES && good; p++)
		f3_ring_submit(ring, &ops[p].io);
	if (good)
		event_await(&event, 2 * PIECES);
	for (unsigned p = 0; p < PIECES && good; p++) {
		good = ops[p].io.result == (int64_t)ops[p].io.len;
		for (size_t i = 0; i < ops[p].io.len && good; i++)
			good = bytes[(size_t)p * PIECE_MAX + i] ==
			       piece_byte((unsigned)w->index, p, i);
	}
	free(bytes);
	free(ops);
	w->good = good;
	return NULL;
}

static void many_threads(int kind, int place)
{
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	int fd;

	if (!start(kind, 16))
		return;
	place_make(place);
	fd = place_open("data", O_RDWR | O_CREAT);
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .fd = fd, .index = i };
		ck_assert(!pthread_create(&threads[i], NULL, write_and_read_back, &writers[i]));
	}
	for (int i = 0; i < WRITERS; i++) {
		ck_assert(!pthread_join(threads[i], NULL));
		ck_assert(writers[i].good);
	}
	close(fd);
}

START_TEST(many_threads_keep_their_bytes_on_disk)
{
	many_threads(_i, 0);
}
END_TEST

START_TEST(many_threads_keep_their_bytes_on_tmpfs)
{
	many_threads(_i, 1);
}
END_TEST

START_TEST(reads_are_short_only_at_the_end)
{
	char bytes[4096];
	int fd;

	if (!start(_i, 4))
		return;
	place_make(0);
	fd = place_open("data", O_RDWR | O_CREAT);
	memset(bytes, 'x', sizeof(bytes));
	ck_assert_int_eq(
		run(ring,
		    (struct f3_io){
			    .op = F3_IO_WRITE, .fd = fd, .buf = bytes, .len = 1000, .off = 10 }),
		1000);
	ck_assert_int_eq(run(ring, (struct f3_io){ .op = F3_IO_READ,
						   .fd = fd,
						   .buf = bytes,
						   .len = sizeof(bytes) }),
			 1010);
	ck_assert_int_eq(bytes[9], 0);
	ck_assert_int_eq(bytes[10], 'x');
	ck_assert_int_eq(
		run(ring,
		    (struct f3_io){
			    .op = F3_IO_READ, .fd = fd, .buf = bytes, .len = 10, .off = 1010 }),
		0);
	ck_assert_int_eq(
		run(ring, (struct f3_io){ .op = F3_IO_READ, .fd = fd, .buf = bytes, .len = 0 }), 0);
	ck_assert_int_eq(
		run(ring, (struct f3_io){ .op = F3_IO_WRITE, .fd = fd, .buf = bytes, .len = 0 }),
		0);
	close(fd);
}
END_TEST

struct feeder {
	int fd;
	struct event *began;
};

/* Gives a stream in small pieces: the reader gets it in several answers. (io_uring reads pipes;
 * the pool's pread does not, and files never answer short.) */
static void *feed(void *arg)
{
	struct feeder *f = arg;

	event_await(f->began, 1);
	for (int i = 0; i < 100; i++)
		if (write(f->fd, "0123456789", 10) != 10)
			break;
	close(f->fd);
	return NULL;
}

START_TEST(short_answers_are_continued)
{
	struct event began = EVENT_INIT, event = EVENT_INIT;
	struct feeder feeder = { .began = &began };
	struct op op = { .event = &event };
	char bytes[2000];
	pthread_t thread;
	int fds[2];

	if (!start(_i, 4))
		return;
	ck_assert(!pipe(fds));
	feeder.fd = fds[1];
	ck_assert(!pthread_create(&thread, NULL, feed, &feeder));
	op.io = (struct f3_io){
		.op = F3_IO_READ, .fd = fds[0], .buf = bytes, .len = sizeof(bytes), .done = op_done
	};
	f3_ring_submit(ring, &op.io);
	event_post(&began);
	event_await(&event, 1);
	ck_assert_int_eq(op.io.result, 1000);
	ck_assert_mem_eq(bytes + 990, "0123456789", 10);
	pthread_join(thread, NULL);
	close(fds[0]);
}
END_TEST

START_TEST(direct_io_reads_an_odd_tail)
{
	void *bytes;
	int fd;

	if (!start(_i, 4))
		return;
	place_make(0);
	fd = place_open("data", O_RDWR | O_CREAT);
	ck_assert(!posix_memalign(&bytes, 4096, 16384));
	memset(bytes, 'y', 16384);
	ck_assert_int_eq(pwrite(fd, bytes, 5000, 0), 5000);
	close(fd);
	fd = open(place_path("data"), O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0) {
		printf("skipped: no O_DIRECT in %s\n", place_dir);
	} else {
		struct f3_io io = { .op = F3_IO_READ, .fd = fd, .buf = bytes, .len = 16384 };

		ck_assert_int_eq(run(ring, io), 5000);
		ck_assert_int_eq(f3_io_run(&io), 5000);
		close(fd);
	}
	free(bytes);
}
END_TEST

/* ---- Errors ------------------------------------------------------------------------------------- */

START_TEST(errors_reach_the_owner)
{
	static char bytes[65536];
	int full, mem, dir, fd, pipe_fds[2];

	if (!start(_i, 4))
		return;
	place_make(0);
	fd = place_open("data", O_RDONLY | O_CREAT);
	full = open("/dev/full", O_RDWR | O_CLOEXEC);
	mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	dir = open("/", O_RDONLY | O_CLOEXEC);
	ck_assert(full >= 0 && mem >= 0 && dir >= 0);
	ck_assert(!pipe(pipe_fds));

	ck_assert_int_eq(
		run(ring, (struct f3_io){ .op = F3_IO_READ, .fd = 9999, .buf = bytes, .len = 1 }),
		-EBADF);
	ck_assert_int_eq(
		run(ring, (struct f3_io){ .op = F3_IO_WRITE, .fd = fd, .buf = bytes, .len = 1 }),
		-EBADF);
	ck_assert_int_eq(
		run(ring,
		    (struct f3_io){ .op = F3_IO_WRITE, .fd = full, .buf = bytes, .len = 4096 }),
		-ENOSPC);
	/* Nothing is mapped there. */
	ck_assert_int_eq(
		run(ring, (struct f3_io){ .op = F3_IO_READ, .fd = mem, .buf = bytes, .len = 4096 }),
		-EIO);
	ck_assert_int_eq(
		run(ring, (struct f3_io){ .op = F3_IO_READ, .fd = dir, .buf = bytes, .len = 1 }),
		-EISDIR);
	ck_assert_int_eq(run(ring, (struct f3_io){ .op = F3_IO_READ,
						   .fd = fd,
						   .buf = bytes,
						   .len = 1,
						   .off = UINT64_MAX }),
			 -EINVAL);
	ck_assert_int_eq(
		run(ring, (struct f3_io){ .op = F3_IO_FALLOCATE, .fd = pipe_fds[1], .len = 1 }),
		-ESPIPE);
	ck_assert_int_eq(run(ring, (struct f3_io){ .op = F3_IO_FSYNC, .fd = pipe_fds[1] }),
			 -EINVAL);
	ck_assert_int_eq(run(ring, (struct f3_io){ .op = F3_IO_CLOSE, .fd = 9999 }), -EBADF);

	close(fd);
	close(full);
	close(mem);
	close(dir);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}
END_TEST

/* The first part fits, so the kernel's first answer is a short one. */
START_TEST(a_disk_that_fills_up_is_an_error)
{
	size_t len = 2u << 20;
	char *bytes = calloc(1, len);
	struct f3_io io;
	int fd;

	ck_assert_ptr_nonnull(bytes);
	if (!start(_i, 4)) {
		free(bytes);
		return;
	}
	place_make(1);
	if (f3_unit_forks() && place_small_fs("small", "1m")) {
		fd = place_open("small/data", O_RDWR | O_CREAT);
		io = (struct f3_io){ .op = F3_IO_WRITE, .fd = fd, .buf = bytes, .len = len };
		ck_assert_int_eq(run(ring, io), -ENOSPC);
		ck_assert_int_eq(f3_io_run(&io), -ENOSPC);
		close(fd);
		ck_assert(!umount(place_path("small")));
	}
	free(bytes);
}
END_TEST

START_TEST(every_operation_does_what_it_says)
{
	char bytes[100] = "";
	struct stat st;
	int fd;

	if (!start(_i, 4))
		return;
	place_make(0);
	fd = place_open("data", O_RDWR | O_CREAT);
	ck_assert_int_eq(run(ring, (struct f3_io){ .op = F3_IO_NOP }), 0);
	ck_assert_int_eq(
		run(ring,
		    (struct f3_io){ .op = F3_IO_FALLOCATE, .fd = fd, .off = 8192, .len = 4096 }),
		0);
	ck_assert(!fstat(fd, &st));
	ck_assert_int_eq(st.st_size, 12288);
	ck_assert_int_eq(run(ring, (struct f3_io){ .op = F3_IO_WRITE,
						   .fd = fd,
						   .buf = bytes,
						   .len = sizeof(bytes) }),
			 sizeof(bytes));
	ck_assert_int_eq(run(ring, (struct f3_io){ .op = F3_IO_FDATASYNC, .fd = fd }), 0);
	ck_assert_int_eq(run(ring, (struct f3_io){ .op = F3_IO_FSYNC, .fd = fd }), 0);
	ck_assert_int_eq(run(ring, (struct f3_io){ .op = F3_IO_CLOSE, .fd = fd }), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

/* ---- Depth, threads, end ------------------------------------------------------------------------- */

struct held {
	struct f3_io io;
	struct event *began, *may_end, *ended;
};

/* Completion functions must not block; this one does, so that its place stays taken. */
static void held_done(struct f3_io *io)
{
	struct held *h = (struct held *)io;

	event_post(h->began);
	event_await(h->may_end, 1);
	event_post(h->ended);
}

static void *submit_one(void *arg)
{
	f3_ring_submit(ring, arg);
	return NULL;
}

START_TEST(a_full_ring_holds_submitters_back)
{
	struct event began = EVENT_INIT, may_end = EVENT_INIT, ended = EVENT_INIT;
	struct held held[2];
	struct op blocked = { .io = { .op = F3_IO_NOP, .done = op_done }, .event = &ended };
	struct op later = blocked;
	pthread_t thread;

	if (!start(_i, 2))
		return;
	for (int i = 0; i < 2; i++) {
		held[i] = (struct held){ .io = { .op = F3_IO_NOP, .done = held_done },
					 .began = &began,
					 .may_end = &may_end,
					 .ended = &ended };
		f3_ring_submit(ring, &held[i].io);
	}
	event_await(&began, 1);
	ck_assert_uint_eq(f3_ring_in_flight(ring), 2);
	ck_assert(!f3_ring_try_submit(ring, &later.io));
	ck_assert(!pthread_create(&thread, NULL, submit_one, &blocked.io));
	ck_assert(!f3_ring_try_submit(ring, &later.io));
	event_post(&may_end);
	pthread_join(thread, NULL);
	event_await(&ended, 3);
	f3_ring_submit(ring, &later.io);
	event_await(&ended, 4);
}
END_TEST

struct chain {
	struct f3_io io;
	unsigned left;
	unsigned fan;
	struct op *ops;
	struct event *end;
};

static void chain_done(struct f3_io *io)
{
	struct chain *c = (struct chain *)io;

	if (c->left--) {
		f3_ring_submit(ring, io);
		return;
	}
	for (unsigned i = 0; i < c->fan; i++)
		f3_ring_submit(ring, &c->ops[i].io);
	event_post(c->end);
}

/* Far more than the depth, from where nobody may wait. */
START_TEST(completions_submit_without_waiting)
{
	struct event end = EVENT_INIT, fanned = EVENT_INIT;
	struct op ops[100];
	struct chain chain = { .io = { .op = F3_IO_NOP, .done = chain_done },
			       .left = 1000,
			       .fan = 100,
			       .ops = ops,
			       .end = &end };

	if (!start(_i, 1))
		return;
	for (int i = 0; i < 100; i++)
		ops[i] =
			(struct op){ .io = { .op = F3_IO_NOP, .done = op_done }, .event = &fanned };
	f3_ring_submit(ring, &chain.io);
	event_await(&end, 1);
	event_await(&fanned, 100);
}
END_TEST

struct leaver {
	int fd;
	struct op ops[32];
};

static void *submit_and_leave(void *arg)
{
	struct leaver *l = arg;

	for (int i = 0; i < 32; i++)
		f3_ring_submit(ring, &l->ops[i].io);
	return NULL;
}

/* io_uring cancels what a thread has under way when the thread ends. */
START_TEST(what_a_thread_submitted_outlives_it)
{
	static char bytes[4096];
	struct event event = EVENT_INIT;
	struct leaver l;
	pthread_t thread;

	if (!start(_i, 64))
		return;
	place_make(0);
	l.fd = place_open("data", O_RDWR | O_CREAT);
	for (int i = 0; i < 32; i++)
		l.ops[i] = (struct op){ .io = { .op = i % 2 ? F3_IO_FSYNC : F3_IO_WRITE,
						.fd = l.fd,
						.buf = bytes,
						.len = sizeof(bytes),
						.off = (uint64_t)i * sizeof(bytes),
						.done = op_done },
					.event = &event };
	ck_assert(!pthread_create(&thread, NULL, submit_and_leave, &l));
	pthread_join(thread, NULL);
	event_await(&event, 32);
	for (int i = 0; i < 32; i++)
		ck_assert_int_eq(l.ops[i].io.result, i % 2 ? 0 : (int)sizeof(bytes));
	close(l.fd);
}
END_TEST

START_TEST(free_waits_for_everything)
{
	static char bytes[65536];
	static struct op ops[200];
	static struct event event;
	int fd;

	if (!start(_i, 256))
		return;
	event = (struct event)EVENT_INIT;
	place_make(0);
	fd = place_open("data", O_RDWR | O_CREAT);
	for (int i = 0; i < 200; i++) {
		ops[i] = (struct op){ .io = { .op = F3_IO_WRITE,
					      .fd = fd,
					      .buf = bytes,
					      .len = sizeof(bytes),
					      .off = (uint64_t)i * sizeof(bytes),
					      .done = op_done },
				      .event = &event };
		f3_ring_submit(ring, &ops[i].io);
	}
	f3_ring_free(ring);
	ring = NULL;
	ck_assert_uint_eq(event.count, 200);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(ops[i].io.result, sizeof(bytes));
	close(fd);
}
END_TEST

START_TEST(bad_depths_are_refused)
{
	struct f3_err err = F3_ERR_INIT;

	ck_assert_int_eq(f3_ring_new(0, false, &ring, &err), -EINVAL);
	ck_assert_int_eq(f3_ring_new(1000000, false, &ring, &err), -EINVAL);
	ck_assert(strstr(err.text, "depth"));
	f3_ring_free(NULL);
}
END_TEST

/* Where not even the first thread may be started, the reason is told. */
START_TEST(no_threads_is_an_error)
{
	struct f3_err err = F3_ERR_INIT;
	struct rlimit old, none;
	uid_t uid = geteuid();
	int r;

	if (!f3_unit_forks()) {
		printf("skipped: needs a process of its own\n");
		return;
	}
	ck_assert(!getrlimit(RLIMIT_NPROC, &old));
	none = (struct rlimit){ 0, old.rlim_max };
	/* Root is exempt from the limit of processes, others are not. */
	ck_assert(uid || !setresuid(65534, 65534, 0));
	ck_assert(!setrlimit(RLIMIT_NPROC, &none));
	r = f3_ring_new(8, true, &ring, &err);
	/* Back, so that a leak checker can do its work at exit. */
	ck_assert(!setrlimit(RLIMIT_NPROC, &old));
	ck_assert(uid || !setresuid(0, 0, 0));
	ck_assert(!prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));

	ck_assert_int_eq(r, -EAGAIN);
	ck_assert(strstr(err.text, "thread"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ring");
	TCase *t = tcase_create("each kind");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(t, many_threads_keep_their_bytes_on_disk, 0, RING_KINDS);
	tcase_add_loop_test(t, many_threads_keep_their_bytes_on_tmpfs, 0, RING_KINDS);
	tcase_add_loop_test(t, reads_are_short_only_at_the_end, 0, RING_KINDS);
	tcase_add_loop_test(t, short_answers_are_continued, 0, RING_POOL);
	tcase_add_loop_test(t, direct_io_reads_an_odd_tail, 0, RING_KINDS);
	tcase_add_loop_test(t, errors_reach_the_owner, 0, RING_KINDS);
	tcase_add_loop_test(t, a_disk_that_fills_up_is_an_error, 0, RING_DENIED_EPERM);
	tcase_add_loop_test(t, every_operation_does_what_it_says, 0, RING_KINDS);
	tcase_add_loop_test(t, a_full_ring_holds_submitters_back, 0, RING_KINDS);
	tcase_add_loop_test(t, completions_submit_without_waiting, 0, RING_KINDS);
	tcase_add_loop_test(t, what_a_thread_submitted_outlives_it, 0, RING_KINDS);
	tcase_add_loop_test(t, free_waits_for_everything, 0, RING_KINDS);
	suite_add_tcase(s, t);

	t = tcase_create("start");
	tcase_add_test(t, bad_depths_are_refused);
	tcase_add_test(t, no_threads_is_an_error);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
