/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opens: the table of open file descriptions.
 *
 * Slots live in chunks that never move, so a number is found without a lock; the lock is for
 * taking and giving back slots.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/fuse/impl.h"

#define CHUNK 1024u
#define CHUNKS 4096u /* four million open file descriptions */

struct f3_opens {
	struct f3_lock lock;
	struct f3_open *chunks[CHUNKS];
	_Atomic unsigned n_chunks;
	struct f3_open *free;
	_Atomic uint64_t count;
};

int f3_opens_new(struct f3_opens **ret_o)
{
	struct f3_opens *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	f3_lock_init(&o->lock, F3_RANK_QUEUE);
	*ret_o = o;
	return 0;
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
		chunk[i].slot = (uint64_t)n * CHUNK + i + 1;
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
	if (o->free || add_chunk(o)) {
		open = o->free;
		o->free = open->next_free;
		*open = (struct f3_open){ .fh = open->slot, .slot = open->slot };
		o->count++;
	}
	f3_unlock(&o->lock);
	return open;
}

struct f3_open *f3_open_find(struct f3_opens *o, uint64_t fh)
{
	uint64_t slot = fh - 1;
	struct f3_open *open;

	if (!fh || slot / CHUNK >= o->n_chunks)
		return NULL;
	open = &o->chunks[slot / CHUNK][slot % CHUNK];
	return open->fh == fh ? open : NULL;
}

void f3_open_drop(struct f3_opens *o, struct f3_open *open)
{
	f3_lock(&o->lock);
	open->fh = 0;
	open->inode = NULL;
	open->next_free = o->free;
	o->free = open;
	o->count--;
	f3_unlock(&o->lock);
}

uint64_t f3_opens_count(struct f3_opens *o)
{
	return o->count;
}
