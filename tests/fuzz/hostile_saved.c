/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process that serves the mount finds of the one before: the keep; and what supervisor and
 * worker say to each other.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/supervisor.h"
#include "daemon/worker.h"
#include "fs/base/clock.h"
#include "fs/fuse/keep.h"
#include "tests/fuzz/hostile.h"

/* ---- The keep --------------------------------------------------------------------------------- */

/* Its file: a page with the head, descriptions, ids. What an input gives of each: */
#define HEAD_AT 0
#define HEAD_BYTES 1064u
#define INIT_BYTES_AT 36u
#define INIT_AT 40u
#define OPENS_AT 4096
#define OPENS 8u
#define IDS_AT (OPENS_AT + (off_t)F3_KEEP_OPENS * (off_t)sizeof(struct f3_kept_open))
#define IDS 64u
#define ALL_BYTES (HEAD_BYTES + OPENS * sizeof(struct f3_kept_open) + IDS * sizeof(uint32_t))

static struct f3_keep *keep;
static uint8_t image[ALL_BYTES];

static void put_all(const uint8_t *bytes, size_t len)
{
	static const struct {
		off_t at;
		size_t len;
	} parts[] = {
		{ HEAD_AT, HEAD_BYTES },
		{ OPENS_AT, OPENS * sizeof(struct f3_kept_open) },
		{ IDS_AT, IDS * sizeof(uint32_t) },
	};
	uint8_t all[ALL_BYTES] = { 0 };
	const uint8_t *from = all;

	memcpy(all, bytes, len < sizeof(all) ? len : sizeof(all));
	for (size_t i = 0; i < 3; i++) {
		if (pwrite(f3_keep_fd(keep), from, parts[i].len, parts[i].at) !=
		    (ssize_t)parts[i].len)
			abort();
		from += parts[i].len;
	}
}

static void begin_keep(void)
{
	struct {
		struct fuse_in_header in;
		struct fuse_init_in init;
	} request = { .in = { .len = sizeof(request), .opcode = FUSE_INIT, .unique = 2 },
		      .init = { .major = FUSE_KERNEL_VERSION,
				.minor = FUSE_KERNEL_MINOR_VERSION,
				.flags = FUSE_INIT_EXT } };

	if (f3_keep_new(&keep) || f3_keep_set_init(keep, &request, sizeof(request)))
		abort();
	for (uint32_t slot = 0; slot < OPENS - 2; slot++) {
		struct f3_kept_open *o = f3_keep_open(keep, slot);
		uint64_t fh = f3_kept_next_fh(o, slot);

		f3_keep_use_slot(keep, slot);
		o->ino = 256 + slot;
		o->times_used = (uint32_t)(fh >> 32);
		o->flags = slot & F3_KEPT_FLAGS;
		o->backing_id = slot + 1;
		atomic_store(&o->fh, fh);
		if (f3_keep_add_id(keep, slot + 1))
			abort();
	}
	if (pread(f3_keep_fd(keep), image, HEAD_BYTES, HEAD_AT) != HEAD_BYTES ||
	    pread(f3_keep_fd(keep), image + HEAD_BYTES, OPENS * sizeof(struct f3_kept_open),
		  OPENS_AT) != OPENS * sizeof(struct f3_kept_open) ||
	    pread(f3_keep_fd(keep), image + ALL_BYTES - IDS * sizeof(uint32_t),
		  IDS * sizeof(uint32_t), IDS_AT) != IDS * sizeof(uint32_t))
		abort();
}

static void end_keep(void)
{
	f3_keep_free(keep);
}

/* Where most bytes count, and where few do, alike. */
static size_t good_keep(struct hostile_rng *rng, uint8_t *out)
{
	size_t len = ALL_BYTES;

	memcpy(out, image, len);
	if (!hostile_below(rng, 3))
		out[hostile_below(rng, INIT_AT + 64)] = (uint8_t)hostile_random(rng);
	if (!hostile_below(rng, 3))
		out[HEAD_BYTES + hostile_below(rng, len - HEAD_BYTES)] ^=
			(uint8_t)(1u << hostile_below(rng, 8));
	return len;
}

static int see_open(void *arg, struct f3_kept_open *o, uint32_t slot)
{
	bool *ok = arg;

	if (slot >= F3_KEEP_OPENS || f3_kept_slot(atomic_load(&o->fh)) != slot || !o->ino ||
	    o->flags > F3_KEPT_FLAGS)
		*ok = false;
	return 0;
}

static void drop_some(void *arg, uint32_t id)
{
	struct f3_keep *k = arg;

	if (id % 2)
		f3_keep_del_id(k, id);
}

/* libfuse is given these bytes as a request of the kernel's. */
static bool init_ok(const struct f3_keep *k)
{
	const struct fuse_in_header *in;
	size_t size;
	const void *init = f3_keep_init(k, &size);

	in = init;
	return !init || (size >= sizeof(*in) + 16 && size <= F3_KEEP_INIT_MAX && in->len == size &&
			 in->opcode == FUSE_INIT);
}

static enum hostile_verdict take_keep(const uint8_t *bytes, size_t len)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_keep *next = NULL;
	bool ok = true;
	int r;

	put_all(bytes, len);
	r = f3_keep_adopt(dup(f3_keep_fd(keep)), &next, &err);
	if (r) {
		if (err.text[0] && !next)
			return HOSTILE_REFUSED;
		hostile_why("refused without a reason");
		return HOSTILE_WRONG;
	}
	r = f3_keep_each_open(next, see_open, &ok);
	if (!ok)
		hostile_why("a description is not sound");
	if (!init_ok(next)) {
		ok = false;
		hostile_why("what shall be an INIT is none");
	}
	f3_keep_each_id(next, drop_some, next);
	for (uint32_t id = 100; id < 110; id++)
		(void)f3_keep_add_id(next, id);
	f3_keep_free(next);
	return !ok ? HOSTILE_WRONG : r ? HOSTILE_REFUSED : HOSTILE_TAKEN;
}

/* ---- A worker's side --------------------------------------------------------------------------- */

static size_t good_spec(struct hostile_rng *rng, uint8_t *out)
{
	(void)rng;
	return (size_t)snprintf((char *)out, 64, "%u,900,901,902,903,904,905,1,1,1",
				F3_WORKER_PROTOCOL);
}

static enum hostile_verdict take_spec(const uint8_t *bytes, size_t len)
{
	char *spec = strndup((const char *)bytes, len);
	struct f3_err err = F3_ERR_INIT;
	struct f3_worker w;
	int r;

	if (!spec)
		abort();
	r = f3_worker_from_spec(spec, &w, &err);
	free(spec);
	if (r && !err.text[0]) {
		hostile_why("refused without a reason");
		return HOSTILE_WRONG;
	}
	return r ? HOSTILE_REFUSED : HOSTILE_TAKEN;
}

static size_t good_go(struct hostile_rng *rng, uint8_t *out)
{
	return (size_t)snprintf((char *)out, 200, "G%u %u %d %d %u it ended with signal 11",
				(unsigned)hostile_below(rng, 9), (unsigned)hostile_below(rng, 9),
				(int)hostile_below(rng, 256), 7, 8);
}

static void freeze(void *arg)
{
	++*(unsigned *)arg;
}

/* What the supervisor says: first the word to go, then the same bytes once more. */
static enum hostile_verdict take_from_supervisor(const uint8_t *bytes, size_t len)
{
	struct f3_worker w = { .supervisor_fd = -1 };
	enum hostile_verdict v = HOSTILE_TAKEN;
	unsigned frozen = 0;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		abort();
	w.supervisor_fd = fds[0];
	w.freeze = freeze;
	w.arg = &frozen;
	if (send(fds[1], bytes, len, MSG_NOSIGNAL) < 0 ||
	    send(fds[1], bytes, len, MSG_NOSIGNAL) < 0)
		abort();
	f3_worker_ready(&w, -1);
	if (strnlen(w.about.upgrade_failed, F3_ERR_TEXT_MAX) == F3_ERR_TEXT_MAX) {
		hostile_why("a text without an end");
		v = HOSTILE_WRONG;
	}
	close(fds[1]);
	if (f3_worker_listen(&w))
		abort();
	pthread_join(w.thread, NULL); /* the other side is gone */
	if (frozen && (!len || bytes[0] != 'F')) {
		hostile_why("frozen by another message");
		v = HOSTILE_WRONG;
	}
	pthread_cond_destroy(&w.answered);
	pthread_mutex_destroy(&w.lock);
	close(fds[0]);
	return v == HOSTILE_TAKEN && !frozen && (!len || bytes[0] != 'G') ? HOSTILE_REFUSED : v;
}

/* ---- The supervisor's side --------------------------------------------------------------------- */

static char run_dir[512];

static void begin_supervisor(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(run_dir, sizeof(run_dir), "%s/f3-hostile-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(run_dir))
		abort();
}

static void end_supervisor(void)
{
	rmdir(run_dir);
}

static size_t good_to_supervisor(struct hostile_rng *rng, uint8_t *out)
{
	static const char *const messages[] = {
		"R",    "S", "Su", "Eno room on the disk", "U1 /bin/true", "U1 /nowhere", "U1 ",
		"Z123", "C", "P",
	};
	size_t len = 0;

	for (uint64_t n = 1 + hostile_below(rng, 6); n; n--) {
		const char *m = messages[hostile_below(rng, 10)];

		memcpy(out + len, m, strlen(m) + 1);
		len += strlen(m) + 1;
	}
	return len;
}

struct said {
	const uint8_t *bytes;
	size_t len;
};

/* A worker that says these, each up to a NUL, and ends. */
static int say(void *arg, struct f3_worker *w)
{
	const struct said *said = arg;
	size_t at = 0;

	alarm(30);
	while (at < said->len) {
		const uint8_t *stop = memchr(said->bytes + at, 0, said->len - at);
		size_t n = stop ? (size_t)(stop - said->bytes) - at : said->len - at;

		if (n > F3_MESSAGE_MAX)
			n = F3_MESSAGE_MAX;
		(void)f3_message_send(w->supervisor_fd, (const char *)said->bytes + at, n, -1);
		at += n + 1;
	}
	_exit(7);
}

static enum hostile_verdict take_from_worker(const uint8_t *bytes, size_t len)
{
	struct said said = { bytes, len };
	const char *argv[] = { "f3d", "--worker", NULL, NULL };
	const struct f3_supervisor s = {
		.lock_fd = -1,
		.mountpoint = run_dir,
		.run_dir = run_dir,
		.give_up_ns = 20 * F3_NS_PER_SEC,
		.ready_fd = -1,
		.work = say,
		.arg = &said,
		.argv = argv,
		.argv_spec = 2,
		.fixed = "",
		.fixed_bytes = 0,
		.upgrade_wait_ns = 10 * F3_NS_PER_SEC,
	};
	int r = f3_supervise(&s);

	if (r == 7 || r == 1 || r == 0)
		return HOSTILE_TAKEN;
	hostile_why("the supervisor ended with %d", r);
	return HOSTILE_WRONG;
}

const struct hostile_target hostile_saved[] = {
	{ .name = "keep",
	  .every = 4,
	  .begin = begin_keep,
	  .end = end_keep,
	  .good = good_keep,
	  .take = take_keep },
	{ .name = "worker-spec", .every = 1, .good = good_spec, .take = take_spec },
	{ .name = "from-supervisor", .every = 1, .good = good_go, .take = take_from_supervisor },
	{ .name = "from-worker",
	  .every = 20,
	  .begin = begin_supervisor,
	  .end = end_supervisor,
	  .good = good_to_supervisor,
	  .take = take_from_worker },
	{ .name = NULL },
};
