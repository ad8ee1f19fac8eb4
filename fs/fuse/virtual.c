/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtual: the files of the mount's root that are not stored: .stats, .config, .accesslog.
 *
 * .stats and .config are made at open and read like files. .accesslog is a stream of what happens
 * while it is open: a read waits for the next lines; a reader that is too slow loses lines and is
 * told how many.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/fuse/impl.h"

#define TEXT_MAX (4u << 20)
#define LOG_BYTES (256u << 10)
#define READERS_MAX 16u
/* Each keeps its text until it is closed, and anybody may open .stats: root keeps a share. */
#define OPEN_MAX 64u
#define OPEN_MAX_USERS 48u

static const struct {
	const char *name;
	uint64_t ino;
} files[] = {
	{ ".stats", F3_INO_STATS },
	{ ".config", F3_INO_CONFIG },
	{ ".accesslog", F3_INO_ACCESSLOG },
};

struct f3_virtual {
	uint64_t ino;
	struct f3_buf text; /* .stats .config */
	/* .accesslog: bytes written and not yet read, and at most one waiting read */
	char *ring;
	size_t head, used;
	uint64_t lost;
	fuse_req_t waiting;
	size_t waiting_size;
	uint64_t number;
	struct f3_virtual *next;
};

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static struct f3_virtual *readers;
static _Atomic unsigned n_readers, n_open;
static uint64_t next_number;

uint64_t f3_virtual_ino(const char *name)
{
	if (name[0] != '.')
		return 0;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!strcmp(name, files[i].name))
			return files[i].ino;
	return 0;
}

bool f3_virtual_is(uint64_t ino)
{
	return ino >= F3_INO_STATS && ino <= F3_INO_ACCESSLOG;
}

void f3_virtual_entry(uint64_t ino, struct f3_entry *ret_e)
{
	memset(ret_e, 0, sizeof(*ret_e));
	ret_e->ino = ino;
	ret_e->st.st_ino = ino;
	/* The others tell where volumes lie, and what users do in those of each other. */
	ret_e->st.st_mode = S_IFREG | (ino == F3_INO_STATS ? 0444 : 0400);
	ret_e->st.st_nlink = 1;
	ret_e->st.st_blksize = 4096;
	ret_e->st.st_mtim = ret_e->st.st_ctim = ret_e->st.st_atim =
		f3_timespec_from_ns(f3_clock_file_ns());
}

int f3_virtual_open(struct f3_fuse *f, uint64_t ino, uid_t uid, struct f3_virtual **ret_v)
{
	struct f3_virtual *v = calloc(1, sizeof(*v));
	int r = 0;

	if (!v)
		return -ENOMEM;
	v->ino = ino;
	f3_buf_init(&v->text, TEXT_MAX);
	if (++n_open > (uid ? OPEN_MAX_USERS : OPEN_MAX)) {
		r = -EMFILE;
	} else if (ino == F3_INO_STATS) {
		f3_metrics_render(&v->text);
		r = v->text.error;
	} else if (ino == F3_INO_CONFIG) {
		f3_conf_print(f->core->conf, false, &v->text);
		r = v->text.error;
	} else {
		v->ring = malloc(LOG_BYTES);
		if (!v->ring)
			r = -ENOMEM;
		pthread_mutex_lock(&log_lock);
		if (!r && n_readers >= READERS_MAX)
			r = -EMFILE;
		if (!r) {
			v->number = ++next_number;
			v->next = readers;
			readers = v;
			n_readers++;
		}
		pthread_mutex_unlock(&log_lock);
	}
	if (r) {
		n_open--;
		f3_buf_done(&v->text);
		free(v->ring);
		free(v);
		return r;
	}
	*ret_v = v;
	return 0;
}

void f3_virtual_close(struct f3_virtual *v)
{
	if (v->ring) {
		pthread_mutex_lock(&log_lock);
		for (struct f3_virtual **p = &readers; *p; p = &(*p)->next) {
			if (*p == v) {
				*p = v->next;
				n_readers--;
				break;
			}
		}
		pthread_mutex_unlock(&log_lock);
	}
	n_open--;
	f3_buf_done(&v->text);
	free(v->ring);
	free(v);
}

bool f3_accesslog_readers(void)
{
	return n_readers != 0;
}

/* Takes up to size bytes out of the ring. Log lock held. */
static size_t take(struct f3_virtual *v, char *out, size_t size)
{
	size_t n = v->used < size ? v->used : size;
	size_t first = LOG_BYTES - v->head < n ? LOG_BYTES - v->head : n;

	memcpy(out, v->ring + v->head, first);
	memcpy(out + first, v->ring, n - first);
	v->head = (v->head + n) % LOG_BYTES;
	v->used -= n;
	return n;
}

static void put(struct f3_virtual *v, const char *line, size_t len)
{
	size_t at = (v->head + v->used) % LOG_BYTES;
	size_t first = LOG_BYTES - at < len ? LOG_BYTES - at : len;

	memcpy(v->ring + at, line, first);
	memcpy(v->ring, line + first, len - first);
	v->used += len;
}

void f3_accesslog_line(const char *line, size_t len)
{
	struct {
		fuse_req_t req;
		size_t n;
		char *text;
	} ready[READERS_MAX];
	unsigned n_ready = 0;

	pthread_mutex_lock(&log_lock);
	for (struct f3_virtual *v = readers; v; v = v->next) {
		if (v->used + len > LOG_BYTES) {
			v->lost++;
			continue;
		}
		put(v, line, len);
		if (v->waiting && n_ready < READERS_MAX) {
			char *text = malloc(v->waiting_size);

			if (!text)
				continue;
			ready[n_ready].text = text;
			ready[n_ready].n = take(v, text, v->waiting_size);
			ready[n_ready++].req = v->waiting;
			v->waiting = NULL;
		}
	}
	pthread_mutex_unlock(&log_lock);
	for (unsigned i = 0; i < n_ready; i++) {
		fuse_reply_buf(ready[i].req, ready[i].text, ready[i].n);
		free(ready[i].text);
	}
}

struct log_cancel {
	struct f3_work work;
	uint64_t number;
};

static void cancel_wait(struct f3_work *work)
{
	struct log_cancel *cancel = (struct log_cancel *)work;
	fuse_req_t req = NULL;

	pthread_mutex_lock(&log_lock);
	for (struct f3_virtual *v = readers; v; v = v->next) {
		if (v->number == cancel->number) {
			req = v->waiting;
			v->waiting = NULL;
		}
	}
	pthread_mutex_unlock(&log_lock);
	if (req)
		fuse_reply_err(req, EINTR);
	free(cancel);
}

static void interrupted(fuse_req_t req, void *data)
{
	struct f3_fuse *f = fuse_req_userdata(req);
	struct log_cancel *cancel = calloc(1, sizeof(*cancel));

	if (!cancel)
		return;
	cancel->work.fn = cancel_wait;
	cancel->number = (uint64_t)(uintptr_t)data;
	if (f3_workq_push(f->core->transfer, &cancel->work))
		free(cancel);
}

static void read_log(fuse_req_t req, struct f3_virtual *v, size_t size)
{
	char *text = malloc(size);
	bool busy = false, late = false;
	size_t n = 0;

	if (!text) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	fuse_req_interrupt_func(req, interrupted, (void *)(uintptr_t)v->number);
	pthread_mutex_lock(&log_lock);
	if (v->lost && size > 64 && v->used < LOG_BYTES / 2) {
		n = (size_t)snprintf(text, size, "(%llu lines lost)\n",
				     (unsigned long long)v->lost);
		v->lost = 0;
	}
	n += take(v, text + n, size - n);
	if (!n) {
		/* An interrupt that came before found nothing to take out. */
		late = fuse_req_interrupted(req);
		busy = v->waiting != NULL;
		if (!late && !busy) {
			v->waiting = req;
			v->waiting_size = size;
		}
	}
	pthread_mutex_unlock(&log_lock);
	if (n)
		fuse_reply_buf(req, text, n);
	else if (late)
		fuse_reply_err(req, EINTR);
	else if (busy)
		fuse_reply_err(req, EBUSY); /* one reader of one open waits at a time */
	free(text);
}

/* A copy is sent: once the kernel has the answer the file may be closed and its text freed, while
 * the reply still has it in hands. */
static void read_text(fuse_req_t req, const struct f3_virtual *v, size_t size, uint64_t off)
{
	size_t n = off < v->text.len ? v->text.len - off : 0;
	char *copy;

	if (n > size)
		n = size;
	copy = malloc(n + 1);
	if (!copy) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (n)
		memcpy(copy, (const char *)v->text.data + off, n);
	fuse_reply_buf(req, copy, n);
	free(copy);
}

void f3_virtual_read(fuse_req_t req, struct f3_virtual *v, size_t size, uint64_t off)
{
	if (v->ring)
		read_log(req, v, size);
	else
		read_text(req, v, size, off);
}
