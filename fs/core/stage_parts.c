/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/stage_parts.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/core/store_op.h"

#define TRIES 3

struct slot {
	struct f3_obj_op op;
	struct f3_parts *pool;
	size_t part;
	uint64_t start_ns;
	unsigned tries;
	bool busy;
	bool inherited; /* from whoever sent parts before */
	bool done; /* the pool's mutex */
};

struct f3_parts {
	struct f3_volume *volume;
	struct f3_upload *u;
	int fd;
	int left_fd; /* of those that were left; -1 */
	bool woken; /* the mutex */
	struct f3_parts_user user;
	unsigned n_busy;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct slot slots[F3_STAGE_OPS];
};

int f3_parts_new(struct f3_volume *v, struct f3_upload *u, int fd, const struct f3_parts_user *user,
		 struct f3_parts **ret_p)
{
	struct f3_parts *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->volume = v;
	p->u = u;
	p->fd = fd;
	p->left_fd = -1;
	p->user = *user;
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->cond, NULL);
	*ret_p = p;
	return 0;
}

bool f3_parts_full(const struct f3_parts *p)
{
	return p->n_busy == F3_STAGE_OPS;
}

bool f3_parts_idle(const struct f3_parts *p)
{
	return !p->n_busy;
}

static void answered(struct f3_obj_op *op)
{
	struct slot *slot = op->owner;
	struct f3_parts *p = slot->pool;

	f3_store_counted(op, slot->start_ns);
	pthread_mutex_lock(&p->mutex);
	slot->done = true;
	pthread_cond_signal(&p->cond);
	pthread_mutex_unlock(&p->mutex);
}

static int start(struct f3_parts *p, struct slot *slot)
{
	const struct f3_upload_part *part = &p->u->parts[slot->part];
	struct f3_obj_op *op = &slot->op;
	int r;

	f3_object_op_init(op, part->copy ? F3_OBJ_UPLOAD_PART_COPY : F3_OBJ_UPLOAD_PART);
	op->owner = slot;
	op->done = answered;
	op->key = p->u->key;
	op->upload = p->u->id;
	op->copies = p->u->copies;
	op->part = (uint32_t)slot->part + 1;
	op->off = part->off;
	op->len = part->len;
	if (part->copy) {
		op->key2 = p->u->key;
		op->off2 = part->off;
		op->etag2 = p->u->from;
	} else {
		op->fd = p->fd;
		op->fd_off = part->off;
	}
	slot->pool = p;
	slot->done = slot->inherited = false;
	slot->start_ns = f3_clock_mono_ns();
	r = p->user.begin(p->user.arg, op, (unsigned)(slot - p->slots));
	slot->busy = !r;
	if (r)
		return r;
	p->u->parts[slot->part].sending = true;
	p->n_busy++;
	f3_store_submit(p->volume, op);
	return 0;
}

static int end(struct f3_parts *p, struct slot *slot)
{
	bool inherited = slot->inherited;
	struct f3_upload_part *part = &p->u->parts[slot->part];
	int r = p->user.end(p->user.arg, &slot->op, (unsigned)(slot - p->slots));

	part->sending = false;
	if (!r) {
		part->sent = true;
		part->crc32c = slot->op.ret_part.crc32c;
		memcpy(part->etag, slot->op.ret_part.etag, sizeof(part->etag));
	}
	f3_object_op_done(&slot->op);
	slot->busy = false;
	p->n_busy--;
	if (inherited && r != -ECANCELED)
		return 0;
	if (r == F3_OBJ_AMBIGUOUS && ++slot->tries < TRIES)
		return start(p, slot);
	return r == F3_OBJ_AMBIGUOUS ? -EAGAIN : r;
}

/* Waits until one has ended, if that is asked for. */
static bool one_ended(struct f3_parts *p, bool wait)
{
	bool any = false;

	pthread_mutex_lock(&p->mutex);
	for (;;) {
		for (unsigned i = 0; i < F3_STAGE_OPS; i++)
			any |= p->slots[i].busy && p->slots[i].done;
		if (any || !wait || !p->n_busy || p->woken)
			break;
		pthread_cond_wait(&p->cond, &p->mutex);
	}
	p->woken = false;
	pthread_mutex_unlock(&p->mutex);
	return any;
}

int f3_parts_reap(struct f3_parts *p, bool wait)
{
	int error = 0;

	if (!one_ended(p, wait))
		return 0;
	for (unsigned i = 0; i < F3_STAGE_OPS; i++) {
		struct slot *slot = &p->slots[i];
		bool done;
		int r;

		pthread_mutex_lock(&p->mutex);
		done = slot->busy && slot->done;
		pthread_mutex_unlock(&p->mutex);
		r = done ? end(p, slot) : 0;
		if (!error)
			error = r;
	}
	return error;
}

int f3_parts_send(struct f3_parts *p, size_t i)
{
	int r = 0;

	while (!r && f3_parts_full(p))
		r = f3_parts_reap(p, true);
	for (unsigned n = 0; n < F3_STAGE_OPS && !r; n++) {
		struct slot *slot = &p->slots[n];

		if (slot->busy)
			continue;
		slot->part = i;
		slot->tries = 0;
		return start(p, slot);
	}
	return r;
}

void f3_parts_wake(struct f3_parts *p)
{
	pthread_mutex_lock(&p->mutex);
	p->woken = true;
	pthread_cond_signal(&p->cond);
	pthread_mutex_unlock(&p->mutex);
}

static int nobody_begins(void *arg, struct f3_obj_op *op, unsigned slot)
{
	(void)arg;
	(void)op;
	(void)slot;
	return -ECANCELED;
}

static int nobody_ends(void *arg, struct f3_obj_op *op, unsigned slot)
{
	(void)arg;
	(void)slot;
	return op->result;
}

void f3_parts_leave(struct f3_parts *p, int fd)
{
	p->user = (struct f3_parts_user){ nobody_begins, nobody_ends, NULL };
	p->left_fd = fd;
	p->u->under_way = p;
}

static void cancel(struct f3_parts *p, struct slot *slot)
{
	if (p->volume->store)
		f3_object_cancel(p->volume->store, &slot->op);
}

void f3_parts_adopt(struct f3_parts *p, int fd, const struct f3_parts_user *user)
{
	p->u->under_way = NULL;
	p->fd = fd;
	p->user = *user;
	for (unsigned i = 0; i < F3_STAGE_OPS; i++) {
		struct slot *slot = &p->slots[i];

		slot->inherited = slot->busy;
		if (slot->busy && p->user.begin(p->user.arg, &slot->op, i))
			cancel(p, slot);
	}
}

void f3_parts_drop(struct f3_parts *p)
{
	p->u->under_way = NULL;
	for (unsigned i = 0; i < F3_STAGE_OPS; i++)
		if (p->slots[i].busy)
			cancel(p, &p->slots[i]);
	(void)f3_parts_end(p, 0);
}

int f3_parts_end(struct f3_parts *p, int error)
{
	while (p->n_busy) {
		int r = f3_parts_reap(p, true);

		if (!error)
			error = r;
	}
	pthread_cond_destroy(&p->cond);
	pthread_mutex_destroy(&p->mutex);
	if (p->left_fd >= 0)
		close(p->left_fd);
	free(p);
	return error;
}
