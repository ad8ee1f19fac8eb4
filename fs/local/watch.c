/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/local/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "fs/base/lock.h"
#include "fs/base/thread.h"

/*
 * One inotify instance for each kind of event. The kernel keeps one mask per file and instance,
 * which cannot be narrowed again without a descriptor of the file: with an instance each, whoever
 * waits for a close does not make every write of that file an event for as long as he waits. And
 * a flood of writes cannot push a close out of the queue.
 */
enum kind { KIND_MODIFY, KIND_CLOSE_WRITE, KINDS };

static const struct {
	unsigned event;
	uint32_t mask;
} kinds[KINDS] = {
	[KIND_MODIFY] = { F3_WATCH_MODIFY, IN_MODIFY },
	[KIND_CLOSE_WRITE] = { F3_WATCH_CLOSE_WRITE, IN_CLOSE_WRITE },
};

#define BUCKETS 256u /* power of two */
#define EVENTS_BYTES 16384

/* One interest of one watch, in the table under the kernel's number for the file. */
struct interest {
	struct f3_watch *watch;
	struct interest *next;
	int wd; /* -1: not wanted, or the kernel has dropped it */
};

struct f3_watch {
	struct f3_watcher *watcher;
	void (*fn)(void *arg, unsigned events);
	void *arg;
	struct interest interests[KINDS];
	unsigned pending; /* events not reported yet; then it is in the list */
	struct f3_watch *next_pending, **link_pending;
};

struct instance {
	int fd;
	struct interest *buckets[BUCKETS];
};

struct f3_watcher {
	struct f3_lock lock; /* guards everything below */
	pthread_cond_t returned; /* the running callback has */
	struct instance instances[KINDS];
	struct f3_watch *pending, **pending_tail; /* in the order of the events */
	struct f3_watch *running; /* only compared: its callback may have deleted it */
	int stop_fd;
	pthread_t thread;
	bool started;
};

static struct interest **bucket_of(struct instance *in, int wd)
{
	return &in->buckets[(unsigned)wd & (BUCKETS - 1)];
}

/* ---- Events --------------------------------------------------------------------------------- */

static void make_pending(struct f3_watcher *w, struct f3_watch *watch, unsigned events)
{
	if (!watch->pending) {
		watch->next_pending = NULL;
		watch->link_pending = w->pending_tail;
		*w->pending_tail = watch;
		w->pending_tail = &watch->next_pending;
	}
	watch->pending |= events;
}

static void forget_pending(struct f3_watcher *w, struct f3_watch *watch)
{
	if (!watch->pending)
		return;
	*watch->link_pending = watch->next_pending;
	if (watch->next_pending)
		watch->next_pending->link_pending = watch->link_pending;
	else
		w->pending_tail = watch->link_pending;
	watch->pending = 0;
}

/* Lock held. */
static void note_event(struct f3_watcher *w, enum kind kind, const struct inotify_event *e)
{
	struct instance *in = &w->instances[kind];
	struct interest **p;

	if (e->mask & IN_Q_OVERFLOW) {
		for (unsigned b = 0; b < BUCKETS; b++)
			for (struct interest *i = in->buckets[b]; i; i = i->next)
				make_pending(w, i->watch, F3_WATCH_RECHECK);
		return;
	}
	/* Also comes for what we removed ourselves; then nobody is left in the table. */
	p = bucket_of(in, e->wd);
	while (*p) {
		struct interest *i = *p;

		if (i->wd != e->wd) {
			p = &i->next;
		} else if (e->mask & IN_IGNORED) {
			make_pending(w, i->watch, F3_WATCH_RECHECK);
			*p = i->next;
			i->wd = -1;
		} else {
			if (e->mask & kinds[kind].mask)
				make_pending(w, i->watch, kinds[kind].event);
			p = &i->next;
		}
	}
}

/* Takes what the kernel has for one instance, or a buffer full of it. */
static void read_events(struct f3_watcher *w, enum kind kind)
{
	char events[EVENTS_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(w->instances[kind].fd, events, sizeof(events));

	if (n <= 0)
		return;
	f3_lock(&w->lock);
	for (const char *p = events; p < events + n;) {
		const struct inotify_event *e = (const struct inotify_event *)p;

		note_event(w, kind, e);
		p += sizeof(*e) + e->len;
	}
	f3_unlock(&w->lock);
}

static void report_pending(struct f3_watcher *w)
{
	f3_lock(&w->lock);
	while (w->pending) {
		struct f3_watch *watch = w->pending;
		void (*fn)(void *arg, unsigned events) = watch->fn;
		void *arg = watch->arg;
		unsigned events = watch->pending;

		forget_pending(w, watch);
		w->running = watch;
		f3_unlock(&w->lock);

		fn(arg, events);

		f3_lock(&w->lock);
		w->running = NULL;
		pthread_cond_broadcast(&w->returned);
	}
	f3_unlock(&w->lock);
}

static void *watch_main(void *arg)
{
	struct f3_watcher *w = arg;
	struct pollfd fds[KINDS + 1];

	for (int k = 0; k < KINDS; k++)
		fds[k] = (struct pollfd){ .fd = w->instances[k].fd, .events = POLLIN };
	fds[KINDS] = (struct pollfd){ .fd = w->stop_fd, .events = POLLIN };
	do {
		if (poll(fds, KINDS + 1, -1) < 0)
			continue;
		for (int k = 0; k < KINDS; k++)
			if (fds[k].revents)
				read_events(w, (enum kind)k);
		report_pending(w);
	} while (!fds[KINDS].revents);
	return NULL;
}

/* ---- Watches -------------------------------------------------------------------------------- */

static bool watched(struct instance *in, int wd)
{
	struct interest *i = *bucket_of(in, wd);

	while (i && i->wd != wd)
		i = i->next;
	return i;
}

/* Lock held, also across the system call, which only changes the kernel's table: the same file
 * asked for twice has the same number, so a removal must not come between a number and its use. */
static void drop_interest(struct instance *in, struct interest *i)
{
	struct interest **p;
	int wd = i->wd;

	if (wd < 0)
		return;
	p = bucket_of(in, wd);
	while (*p != i)
		p = &(*p)->next;
	*p = i->next;
	i->wd = -1;
	if (!watched(in, wd))
		inotify_rm_watch(in->fd, wd);
}

static void drop_interests(struct f3_watcher *w, struct f3_watch *watch)
{
	for (int k = 0; k < KINDS; k++)
		drop_interest(&w->instances[k], &watch->interests[k]);
	forget_pending(w, watch);
}

int f3_watch_add(struct f3_watcher *w, int fd, unsigned events,
		 void (*fn)(void *arg, unsigned events), void *arg, struct f3_watch **ret_watch)
{
	struct f3_watch *watch;
	char path[32];
	int r = 0;

	if (!events || events & ~(unsigned)(F3_WATCH_MODIFY | F3_WATCH_CLOSE_WRITE))
		return -EINVAL;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	watch->watcher = w;
	watch->fn = fn;
	watch->arg = arg;
	for (int k = 0; k < KINDS; k++)
		watch->interests[k] = (struct interest){ .watch = watch, .wd = -1 };
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

	f3_lock(&w->lock);
	for (int k = 0; k < KINDS && !r; k++) {
		struct instance *in = &w->instances[k];
		struct interest *i = &watch->interests[k];

		if (!(events & kinds[k].event))
			continue;
		i->wd = inotify_add_watch(in->fd, path, kinds[k].mask);
		if (i->wd < 0) {
			r = -errno;
			continue;
		}
		i->next = *bucket_of(in, i->wd);
		*bucket_of(in, i->wd) = i;
	}
	if (r)
		drop_interests(w, watch);
	f3_unlock(&w->lock);
	if (r) {
		free(watch);
		return r;
	}
	*ret_watch = watch;
	return 0;
}

void f3_watch_del(struct f3_watch *watch)
{
	struct f3_watcher *w;

	if (!watch)
		return;
	w = watch->watcher;
	f3_lock(&w->lock);
	drop_interests(w, watch);
	if (pthread_equal(pthread_self(), w->thread) && w->running == watch)
		w->running = NULL; /* the next watch may get this address */
	while (w->running == watch)
		f3_cond_wait(&w->returned, &w->lock, 0);
	f3_unlock(&w->lock);
	free(watch);
}

/* ---- Life ----------------------------------------------------------------------------------- */

int f3_watcher_new(struct f3_watcher **ret_w)
{
	struct f3_watcher *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	f3_lock_init(&w->lock, F3_RANK_LOCAL);
	f3_cond_init(&w->returned);
	w->pending_tail = &w->pending;
	w->stop_fd = -1;
	for (int k = 0; k < KINDS; k++)
		w->instances[k].fd = -1;
	for (int k = 0; k < KINDS; k++) {
		w->instances[k].fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (w->instances[k].fd < 0) {
			r = -errno;
			goto fail;
		}
	}
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->stop_fd < 0) {
		r = -errno;
		goto fail;
	}
	r = f3_thread_start(&w->thread, "watch", watch_main, w);
	if (r)
		goto fail;
	w->started = true;
	*ret_w = w;
	return 0;
fail:
	f3_watcher_free(w);
	return r;
}

void f3_watcher_free(struct f3_watcher *w)
{
	if (!w)
		return;
	if (w->started) {
		eventfd_write(w->stop_fd, 1);
		pthread_join(w->thread, NULL);
	}
	for (int k = 0; k < KINDS; k++)
		if (w->instances[k].fd >= 0)
			close(w->instances[k].fd);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
	pthread_cond_destroy(&w->returned);
	f3_lock_done(&w->lock);
	free(w);
}
