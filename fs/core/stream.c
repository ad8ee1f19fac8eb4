/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/metric.h"
#include "fs/core/file.h"

/* Where there can be no watch the file is looked at after so long; each time in vain doubles it. */
#define LOOK_MIN_NS (5 * F3_NS_PER_MS)
#define LOOK_MAX_NS (100 * F3_NS_PER_MS)

/* Many small writes one close after the other: each would wake the readers for a few bytes. So after
 * some of them the next is told of a moment later, with those that followed; unless none follow, as where
 * the writer waits for what its readers answer. */
#define BURST_NS F3_NS_PER_MS
#define BURST_AFTER 4
#define BURST_IN_VAIN 64

struct f3_stream {
	struct f3_core *core;
	_Atomic int refs; /* of the inode, and of the timer while it is armed */
	struct f3_lock lock; /* everything below; rank F3_RANK_TRANSFER */
	int fd; /* backing file, O_RDONLY */
	bool holes; /* in the backing file mean that nothing was written there */
	bool open; /* a writer may add to it */
	int error; /* FAILED */
	uint64_t frontier;
	uint64_t size; /* of the backing file, at the last look */
	bool sparse; /* space behind the frontier does not prove that it was written */
	uint64_t hole[2]; /* the first one, at the last event and the one before */
	struct f3_waiter_list waiters;
	struct f3_watch *watch; /* while somebody waits */
	bool blind; /* there can be no watch */
	struct f3_timer timer;
	bool armed;
	uint64_t look_ns; /* to the next look */
	uint64_t event_ns; /* when a write was last told of */
	int burst; /* so many came soon after the one before; below 0: so many are still not put off */
	bool put_off; /* the timer is armed for those that follow an event */
	uint64_t put_off_at; /* the frontier then */
};

static struct f3_counter events_seen = {
	.name = "f3_stream_events_total",
	.labels = "",
	.help = "Times that a file was looked at because it was written, for all who wait for it.",
};

void f3_stream_register_metrics(void)
{
	f3_counter_register(&events_seen);
}

bool f3_stream_wanted(const struct f3_inode_rec *rec)
{
	if (rec->flags & (F3_INO_STREAM | F3_INO_STREAM_OFF))
		return (rec->flags & F3_INO_STREAM) != 0;
	return (rec->flags & F3_INO_STREAMS) != 0;
}

bool f3_stream_live(const struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;

	return f3_stream_wanted(rec) &&
	       (rec->state == F3_STATE_WRITING || (rec->flags & F3_INO_TORN));
}

static void stream_put(struct f3_stream *s)
{
	if (--s->refs)
		return;
	close(s->fd);
	f3_lock_done(&s->lock);
	free(s);
}

/* Where the next hole begins in what is behind the frontier. Lock held. */
static uint64_t first_hole(struct f3_stream *s)
{
	off_t hole = s->holes ? lseek(s->fd, (off_t)s->frontier, SEEK_HOLE) : -1;

	return hole < 0 || (uint64_t)hole > s->size ? s->size : (uint64_t)hole;
}

/* The event says that all that was under way at the last but one is over. Lock held. */
static uint64_t written_of_sparse(struct f3_stream *s, uint64_t hole, uint64_t block)
{
	uint64_t was = s->hole[1];

	s->hole[1] = s->hole[0];
	s->hole[0] = hole;
	return was > block ? was - block : 0;
}

/* event: a write returned since the last look with one. Lock held. */
static int look(struct f3_stream *s, bool event)
{
	uint64_t hole, written;
	struct stat st;

	if (fstat(s->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size < s->size)
		s->hole[0] = s->hole[1] = 0;
	s->size = (uint64_t)st.st_size;
	if (!s->size)
		s->sparse = false;
	if (s->frontier >= s->size) {
		s->frontier = s->size;
		return 0;
	}
	hole = first_hole(s);
	if (hole < s->size)
		s->sparse = true;
	if (!s->sparse) {
		s->frontier = s->size;
	} else if (event) {
		written = written_of_sparse(s, hole, (uint64_t)st.st_blksize);
		if (written > s->frontier)
			s->frontier = written < s->size ? written : s->size;
	}
	return 0;
}

/* Moves those who have something to read now. Lock held. */
static bool collect(struct f3_stream *s, struct f3_waiter_list *ready)
{
	struct f3_waiter *w = s->waiters.first, *next;
	bool any = false;

	for (; w; w = next) {
		next = w->next;
		if (w->off < s->frontier) {
			f3_waiter_collect(w, 0, ready);
			any = true;
		}
	}
	return any;
}

/* Lock held. */
static void arm(struct f3_stream *s)
{
	if (s->armed || !s->blind || !s->waiters.first)
		return;
	s->refs++;
	s->armed = true;
	if (f3_timer_arm(&s->timer, f3_clock_mono_ns() + s->look_ns)) {
		s->armed = false;
		s->refs--; /* never the last: the caller's inode has one */
	}
}

/* The backing file may have more than it had. */
static void look_again(struct f3_stream *s, bool event)
{
	struct f3_waiter_list ready = { NULL };

	f3_lock(&s->lock);
	if (look(s, event))
		f3_waiters_collect(&s->waiters, 0, &ready); /* they will find the same error */
	else if (collect(s, &ready))
		s->look_ns = LOOK_MIN_NS;
	arm(s);
	f3_unlock(&s->lock);
	f3_waiters_call(&ready);
}

static void written(void *arg, unsigned events);

/* So that the next write is an event. Lock held. */
static void watch(struct f3_stream *s)
{
	s->blind =
		f3_watch_add(s->core->watcher, s->fd, F3_WATCH_MODIFY, written, s, &s->watch) != 0;
}

/* Nothing has followed: it was not worth while. */
static void judge_burst(struct f3_stream *s)
{
	f3_lock(&s->lock);
	if (s->frontier == s->put_off_at)
		s->burst = -BURST_IN_VAIN;
	s->event_ns = f3_clock_mono_ns();
	f3_unlock(&s->lock);
}

static void timer_work(struct f3_work *work)
{
	struct f3_timer *timer = (struct f3_timer *)work;
	struct f3_stream *s =
		(struct f3_stream *)((char *)timer - offsetof(struct f3_stream, timer));

	bool event;

	f3_lock(&s->lock);
	s->armed = false;
	event = s->put_off;
	s->put_off = false;
	if (!event)
		s->look_ns = s->look_ns * 2 < LOOK_MAX_NS ? s->look_ns * 2 : LOOK_MAX_NS;
	else if (s->waiters.first && !s->watch)
		watch(s); /* before the look: what comes after it is an event again */
	f3_unlock(&s->lock);
	look_again(s, event);
	if (event)
		judge_burst(s);
	stream_put(s);
}

/* Is this write told of together with those that follow it? Then nothing is an event until the timer has
 * come. Lock held. */
static bool put_off(struct f3_stream *s, uint64_t now)
{
	bool soon = now - s->event_ns < BURST_NS;

	s->event_ns = now;
	if (s->burst < 0 || !soon)
		s->burst = s->burst < 0 ? s->burst + 1 : 0;
	else if (s->burst < BURST_AFTER)
		s->burst++;
	if (s->burst < BURST_AFTER || s->armed || s->sparse || look(s, true))
		return false;
	s->put_off_at = s->frontier;
	s->refs++;
	s->armed = !f3_timer_arm(&s->timer, now + BURST_NS);
	s->put_off = s->armed;
	if (!s->armed)
		s->refs--; /* never the last: the watch is there while the inode has one */
	return s->armed;
}

/* A write. When nobody waits any more it was the last one to be told of. */
static void written(void *arg, unsigned events)
{
	struct f3_stream *s = arg;
	struct f3_watch *watch = NULL;
	uint64_t now = f3_clock_mono_ns();

	(void)events;
	f3_count(&events_seen, 1);
	f3_lock(&s->lock);
	if (!s->waiters.first || put_off(s, now)) {
		watch = s->watch;
		s->watch = NULL;
	}
	f3_unlock(&s->lock);
	if (watch)
		f3_watch_del(watch);
	else
		look_again(s, true);
}

int f3_stream_start(struct f3_core *core, struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;
	struct f3_stream *s;
	int fd;

	if (inode->stream)
		return 0;
	fd = f3_file_fd(core, inode);
	if (fd < 0)
		return fd;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (s->fd < 0) {
		free(s);
		return -errno;
	}
	s->core = core;
	s->refs = 1;
	f3_lock_init(&s->lock, F3_RANK_TRANSFER);
	f3_timer_init(&s->timer, core->transfer, timer_work);
	s->look_ns = LOOK_MIN_NS;
	/* What is not here yet is a hole too. */
	s->holes = !inode->extents;
	s->open = rec->state == F3_STATE_WRITING;
	s->error = !s->open && (rec->flags & F3_INO_TORN) ? EIO : 0;
	s->sparse = inode->presized;
	inode->stream = s;
	return 0;
}

struct f3_stream *f3_stream_take(struct f3_inode *inode)
{
	struct f3_stream *s = inode->stream;

	inode->stream = NULL;
	return s;
}

void f3_stream_free(struct f3_stream *s)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_watch *watch;
	bool disarmed;

	if (!s)
		return;
	f3_lock(&s->lock);
	watch = s->watch;
	s->watch = NULL;
	disarmed = s->armed && f3_timer_cancel(&s->timer);
	f3_waiters_collect(&s->waiters, 0, &ready);
	f3_unlock(&s->lock);
	f3_watch_del(watch);
	f3_waiters_call(&ready);
	if (disarmed)
		stream_put(s);
	stream_put(s);
}

void f3_stream_stop(struct f3_inode *inode)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_stream *s;

	f3_lock(&inode->lock);
	f3_waiters_collect(&inode->seal_waiters, -ESTALE, &ready);
	s = f3_stream_take(inode);
	if (s) {
		f3_lock(&s->lock);
		f3_waiters_collect(&s->waiters, -ESTALE, &ready);
		f3_unlock(&s->lock);
	}
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	f3_stream_free(s);
}

void f3_stream_truncated(struct f3_inode *inode, uint64_t size)
{
	struct f3_stream *s = inode->stream;

	if (!s)
		return;
	f3_lock(&s->lock);
	if (s->frontier > size)
		s->frontier = size;
	s->hole[0] = s->hole[1] = 0;
	if (!size)
		s->sparse = false;
	f3_unlock(&s->lock);
}

void f3_stream_presized(struct f3_inode *inode)
{
	struct f3_stream *s = inode->stream;

	inode->presized = true;
	if (!s)
		return;
	f3_lock(&s->lock);
	s->sparse = true;
	f3_unlock(&s->lock);
}

void f3_stream_writes(struct f3_inode *inode)
{
	struct f3_stream *s = inode->stream;

	if (!s)
		return;
	f3_lock(&s->lock);
	s->open = true;
	s->error = 0;
	f3_unlock(&s->lock);
}

void f3_stream_sealed(struct f3_inode *inode, int error, struct f3_waiter_list *ready)
{
	struct f3_stream *s = inode->stream;

	if (!s)
		return;
	f3_lock(&s->lock);
	s->open = false;
	s->error = error;
	f3_waiters_collect(&s->waiters, 0, ready);
	f3_unlock(&s->lock);
}

bool f3_stream_open(struct f3_inode *inode)
{
	struct f3_stream *s;
	bool open = false;

	f3_lock(&inode->lock);
	s = inode->stream;
	if (s) {
		f3_lock(&s->lock);
		open = s->open;
		f3_unlock(&s->lock);
	}
	f3_unlock(&inode->lock);
	return open;
}

/* Inode lock held. */
static int need(struct f3_inode *inode, uint64_t off, uint64_t len, bool gather,
		struct f3_waiter *w, uint64_t *ret_len)
{
	struct f3_stream *s = inode->stream;
	uint64_t end;
	int r;

	if (!s)
		return -ESTALE;
	f3_lock(&s->lock);
	r = look(s, false);
	if (!r && s->open && w && !s->watch && !s->put_off && off >= s->frontier) {
		/* What was written before there was a watch made no event. */
		watch(s);
		r = look(s, false);
	}
	end = s->open ? s->frontier : s->size;
	if (r) {
		/* its backing file cannot be looked at */
	} else if (off < end && !(gather && s->open && s->put_off && len > end - off)) {
		*ret_len = len < end - off ? len : end - off;
		r = 1;
	} else if (!s->open) {
		*ret_len = 0;
		r = s->error ? -s->error : 1;
	} else if (!w) {
		r = -EAGAIN;
	} else {
		w->off = off;
		w->len = len;
		f3_waiter_add(&s->waiters, w);
		arm(s);
	}
	f3_unlock(&s->lock);
	return r;
}

int f3_stream_need(struct f3_inode *inode, uint64_t off, uint64_t len, bool gather,
		   struct f3_waiter *w, uint64_t *ret_len)
{
	int r;

	f3_lock(&inode->lock);
	r = need(inode, off, len, gather, w, ret_len);
	f3_unlock(&inode->lock);
	return r;
}

int f3_stream_empty(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w)
{
	uint64_t len;
	int r = 0;

	f3_lock(&inode->lock);
	/* Without a writer it is sealed in a moment, or held, or its first one is about to be counted. */
	if ((inode->writers || !inode->dead) && f3_stream_live(inode)) {
		r = f3_stream_start(core, inode);
		if (!r)
			r = need(inode, 0, 1, false, w, &len);
		r = r == 0 || r == -EAGAIN;
	}
	f3_unlock(&inode->lock);
	return r;
}

bool f3_stream_cancel(struct f3_inode *inode, struct f3_waiter *w)
{
	struct f3_stream *s;
	bool was;

	/* Between its reads it may have gone from one list to the other: both stand still. */
	f3_lock(&inode->lock);
	s = inode->stream;
	if (s)
		f3_lock(&s->lock);
	was = f3_waiter_cancel(w);
	if (s)
		f3_unlock(&s->lock);
	f3_unlock(&inode->lock);
	return was;
}
