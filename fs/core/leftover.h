/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leftover: uploads in parts that nobody will finish, as far as they are this node's own.
 *
 * A store tells which uploads are under way for which keys, and not whose they are: a foreign client's
 * must not be ended. So an upload is in the journal before it is in the store. Before it begins there is
 * a record of its key (F3_JOURNAL_UPLOAD without an id), and the batch that tells who will finish it
 * removes that. A copy that the store makes in parts is an upload, too: its record goes when it has come to
 * an end. An upload that could not be ended gets a record with its id. What records of earlier runs speak
 * of is ended by the next start, and by f3ctl gc --delete.
 *
 * These records are no tasks: nobody waits for them, and they keep nobody's place. No locks. All but
 * f3_leftover_go block on the store or the database.
 */
#ifndef F3_CORE_LEFTOVER_H
#define F3_CORE_LEFTOVER_H

#include "fs/core/volume.h"
#include "fs/meta/journal.h"
#include "fs/object/object.h"

/* The store is going to be asked for an upload of this key; *ret_seq is the record's number. */
int f3_leftover_begin(struct f3_volume *v, const char *key, uint64_t *ret_seq);
/* It has begun; the entry names it, and who has that ends it. */
int f3_leftover_named(struct f3_volume *v, const struct f3_journal_entry *e, uint64_t begun);
/* It was refused, or is no more. */
void f3_leftover_end(struct f3_volume *v, uint64_t seq);
/* Ends an upload; if the store does not do it, a record of it stays. */
void f3_leftover_abort(struct f3_volume *v, const char *key, const char *id);

/* The op ended with F3_OBJ_IN_PARTS. 0: it may be submitted again; *ret_seq is the record's number. Else its
 * result is that error. */
int f3_leftover_copies(struct f3_volume *v, struct f3_obj_op *op, uint64_t *ret_seq);
/* That has ended. */
void f3_leftover_copied(struct f3_volume *v, const struct f3_obj_op *op, uint64_t seq);

/* Records of earlier runs are those before this number. */
uint64_t f3_leftover_now(struct f3_core *core);
/* Is it one that a record speaks of, and nobody will finish? Also of this run if the record has its id. */
bool f3_leftover_is(struct f3_volume *v, const struct f3_obj_upload *u);
/* Ends them all, and removes the records of those that are no more. */
void f3_leftover_sweep(struct f3_volume *v);
/* The same in the background, at a start. */
void f3_leftover_go(struct f3_volume *v);

#endif
