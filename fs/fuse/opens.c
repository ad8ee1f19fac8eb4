/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opens: the table of open file descriptions.
 *
 * Slots live in chunks that never move, so a number is found without a lock; the lock is for
 * taking and giving back slots. What the next daemon has to know of a description is in the keep,
 * in the slot of the same number.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "fs/base/log.h"
#include "fs/fuse/impl.h"
#include "fs/fuse/refuse.h"

#define CHUNK 1024u
#define CHUNKS (F3_KEEP_OPENS / CHUNK)

struct f3_opens {
	struct f3_lock lock;
	struct f3_keep *keep;
	struct f3_open *chunks[CHUNKS];
	_Atomic unsigned n_chunks;
	struct f3_open *free;
	_Atomic uint64_t count;
};

int f3_opens_new(struct f3_keep *keep, struct f3_opens **ret_o)
{
	struct f3_opens *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->keep = keep;
	f3_lock_init(&o->lock, F3_RANK_QUEUE);
	*ret_o = o;
	return 0;
}

void f3_opens_forget_activations(struct f3_opens *o)
{
	for (unsigned i = 0; i < o->n_chunks; i++) {
		for (unsigned k = 0; k < CHUNK; k++) {
			f3_act_put(o->chunks[i][k].act);
			o->chunks[i][k].act = NULL;
		}
	}
}

void f3_opens_free(struct f3_opens *o)
{
	if (!o)
		return;
	for (unsigned i = 0; i < o->n_chunks; i++)
		free(o->chunks[i]);
	f3_lock_done(&o->lock);
	free(o);
}

/* Lock held. */
static bool add_chunk(struct f3_opens *o)
{
	unsigned n = o->n_chunks;
	struct f3_open *chunk;

	if (n == CHUNKS)
		return false;
	chunk = calloc(CHUNK, sizeof(*chunk));
	if (!chunk)
		return false;
	o->chunks[n] = chunk;
	for (unsigned i = CHUNK; i-- > 0;) {
		chunk[i].slot = n * CHUNK + i;
		if (atomic_load(&f3_keep_open(o->keep, chunk[i].slot)->fh))
			continue; /* of the last daemon: it is restored, or stays unused */
		chunk[i].next_free = o->free;
		o->free = &chunk[i];
	}
	o->n_chunks = n + 1;
	return true;
}

struct f3_open *f3_open_new(struct f3_opens *o)
{
	struct f3_open *open = NULL;

	f3_lock(&o->lock);
	while (!o->free && add_chunk(o))
		;
	if (o->free) {
		uint32_t slot = o->free->slot;

		open = o->free;
		o->free = open->next_free;
		*open = (struct f3_open){
			.fh = f3_kept_next_fh(f3_keep_open(o->keep, slot), slot),
			.slot = slot,
		};
		f3_keep_use_slot(o->keep, slot);
		o->count++;
	}
	f3_unlock(&o->lock);
	return open;
}

static struct f3_open *at_slot(struct f3_opens *o, uint32_t slot)
{
	return slot / CHUNK < o->n_chunks ? &o->chunks[slot / CHUNK][slot % CHUNK] : NULL;
}

struct f3_open *f3_open_find(struct f3_opens *o, uint64_t fh)
{
	struct f3_open *open = fh ? at_slot(o, f3_kept_slot(fh)) : NULL;

	return open && open->fh == fh ? open : NULL;
}

void f3_open_keep(const struct f3_call *call, const struct f3_open *open,
		  const struct f3_open_plan *plan, uint64_t ino)
{
	struct f3_kept_open *kept = f3_keep_open(call->f->keep, open->slot);

	kept->ino = ino;
	kept->unique = call->who.unique;
	kept->uid = (uint32_t)call->who.uid;
	kept->times_used = (uint32_t)(open->fh >> 32);
	kept->open_flags = (uint32_t)open->flags;
	kept->flags = (open->writer ? F3_KEPT_WRITER : 0u) | (open->native ? F3_KEPT_NATIVE : 0u) |
		      (plan->direct_io ? F3_KEPT_DIRECT : 0u) |
		      (open->stream ? F3_KEPT_STREAM : 0u) | (plan->noflush ? F3_KEPT_NOFLUSH : 0u);
	kept->opener = (uint32_t)open->opener;
	kept->poll = kept->next_off = 0;
	kept->backing_id = plan->mode == F3_MODE_PASSTHROUGH ? (uint32_t)plan->backing_id : 0;
	atomic_store_explicit(&kept->fh, open->fh, memory_order_release);
}

void f3_open_note_read(struct f3_opens *o, struct f3_open *open, uint64_t off)
{
	open->next_off = off;
	f3_keep_open(o->keep, open->slot)->next_off = off;
}

void f3_open_note_poll(struct f3_opens *o, struct f3_open *open, uint64_t kh)
{
	f3_keep_open(o->keep, open->slot)->poll = kh;
}

void f3_open_note_killed(struct f3_opens *o, struct f3_open *open, bool killed)
{
	struct f3_kept_open *kept = f3_keep_open(o->keep, open->slot);

	open->killed = killed;
	kept->flags =
		killed ? kept->flags | F3_KEPT_KILLED : kept->flags & ~(uint32_t)F3_KEPT_KILLED;
}

void f3_open_drop(struct f3_opens *o, struct f3_open *open)
{
	atomic_store_explicit(&f3_keep_open(o->keep, open->slot)->fh, 0, memory_order_release);
	f3_lock(&o->lock);
	open->fh = 0;
	open->inode = NULL;
	open->act = NULL;
	open->next_free = o->free;
	o->free = open;
	o->count--;
	f3_unlock(&o->lock);
}

uint64_t f3_opens_count(struct f3_opens *o)
{
	return o->count;
}

/* ---- Those of the last daemon ----------------------------------------------------------------- */

struct restoring {
	struct f3_fuse *f;
	uint32_t *ids; /* backing ids in use, of as many descriptions at most */
	size_t n;
};

static bool was_killed(const struct f3_inode *inode, const struct f3_kept_open *kept)
{
	return kept->flags & F3_KEPT_KILLED ||
	       (kept->flags & F3_KEPT_STATUS && inode->volume->stream_exit_zero);
}

/* While nobody served the mount: what was said last of it is all that is left to do. */
static void released_before(struct f3_fuse *f, struct f3_kept_open *kept)
{
	struct f3_inode *inode;

	if (!f3_inode_get(f->core, kept->ino, &inode)) {
		if (inode->volume && was_killed(inode, kept))
			f3_file_torn(f->core, inode);
		f3_inode_put(f->core, inode);
	}
	atomic_store(&kept->fh, 0);
}

static int restore_one(void *arg, struct f3_kept_open *kept, uint32_t slot)
{
	struct restoring *all = arg;
	struct f3_fuse *f = all->f;
	const struct f3_open_kept was = {
		.ino = kept->ino,
		.writer = (kept->flags & F3_KEPT_WRITER) != 0,
		.native = (kept->flags & F3_KEPT_NATIVE) != 0,
		.stream = (kept->flags & F3_KEPT_STREAM) != 0,
		.backing_id = (int)kept->backing_id,
	};
	struct f3_open *open;
	bool gone = (kept->flags & F3_KEPT_GONE) != 0;
	int r = 0;

	while (!at_slot(f->opens, slot) && add_chunk(f->opens))
		;
	open = at_slot(f->opens, slot);
	if (!open)
		return -ENOMEM;
	open->flags = (int)kept->open_flags;
	open->writer = was.writer;
	open->native = was.native;
	open->stream = was.stream;
	open->next_off = kept->next_off;
	open->opener = (pid_t)kept->opener;
	if (gone) {
		released_before(f, kept);
		open->next_free = f->opens->free;
		f->opens->free = open;
		return 0;
	}
	if (f3_virtual_is(kept->ino))
		r = f3_virtual_open(f, kept->ino, (uid_t)kept->uid, &open->virt);
	else
		r = f3_file_restore(f->core, &was, &open->inode);
	open->killed = open->inode && was_killed(open->inode, kept);
	/* Its number stays good, and whoever uses it is told. */
	if (r)
		f3_log_error("inode %" PRIu64
			     " was open and is not there any more (%s): its user gets EBADF",
			     kept->ino, f3_errno_name(r));
	open->fh = atomic_load(&kept->fh);
	f->opens->count++;
	if (kept->poll)
		(void)f3_fuse_wake(fuse_session_fd(f->se), kept->poll);
	if (kept->backing_id)
		all->ids[all->n++] = kept->backing_id;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Backing files registered for what nobody has open: those of the stock, and of files that were
 * open once. */
static void drop_id(void *arg, uint32_t id)
{
	struct restoring *all = arg;

	if (!bsearch(&id, all->ids, all->n, sizeof(id), compare_ids))
		f3_backing_id_close(all->f, (int)id);
}

static int count_one(void *arg, struct f3_kept_open *kept, uint32_t slot)
{
	(void)kept;
	(void)slot;
	++*(size_t *)arg;
	return 0;
}

int f3_opens_restore(struct f3_fuse *f, struct f3_err *err)
{
	struct restoring all = { .f = f };
	size_t n = 1;
	int r = f3_keep_each_open(f->keep, count_one, &n);

	if (!r) {
		all.ids = calloc(n, sizeof(*all.ids));
		r = all.ids ? f3_keep_each_open(f->keep, restore_one, &all) : -ENOMEM;
	}
	if (!r) {
		qsort(all.ids, all.n, sizeof(*all.ids), compare_ids);
		f3_keep_each_id(f->keep, drop_id, &all);
		if (f->opens->count)
			f3_log_info("%" PRIu64 " open files go on", (uint64_t)f->opens->count);
	}
	free(all.ids);
	return r ? f3_err_set(err, r, "what was open cannot be restored: %s",
			      r == -EINVAL ? "the saved state is damaged" : f3_errno_name(r)) :
		   0;
}

struct of_request {
	uint64_t unique;
	struct f3_kept_open *kept;
};

static int is_of_request(void *arg, struct f3_kept_open *kept, uint32_t slot)
{
	struct of_request *of = arg;

	(void)slot;
	if (kept->unique != of->unique)
		return 0;
	of->kept = kept;
	return 1;
}

struct f3_open *f3_open_of_request(struct f3_opens *o, uint64_t unique,
				   struct f3_open_plan *ret_plan)
{
	struct of_request of = { .unique = unique };

	if (f3_keep_each_open(o->keep, is_of_request, &of) != 1)
		return NULL;
	*ret_plan = (struct f3_open_plan){
		.mode = of.kept->backing_id ? F3_MODE_PASSTHROUGH : F3_MODE_CACHED,
		.backing_id = (int)of.kept->backing_id,
		.direct_io = (of.kept->flags & F3_KEPT_DIRECT) != 0,
		.native = (of.kept->flags & F3_KEPT_NATIVE) != 0,
		.noflush = (of.kept->flags & F3_KEPT_NOFLUSH) != 0,
	};
	return f3_open_find(o, atomic_load(&of.kept->fh));
}
