/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object_fault: an object store in front of another that fails as it is told.
 *
 * Rules are matched in the order they were added; an operation takes the first whose turn it is.
 * Without rules everything passes. Capabilities are those of the store behind, copied at open:
 * a test may take some away.
 *
 * Thread-safe. f3_object_fault_wait_held blocks, nothing else does.
 */
#ifndef F3_TESTS_FAULT_OBJECT_FAULT_H
#define F3_TESTS_FAULT_OBJECT_FAULT_H

#include "fs/object/object.h"

enum f3_object_fault_action {
	F3_OBJ_FAULT_FAIL,	  /* answers `error`, does nothing */
	F3_OBJ_FAULT_LOSE,	  /* does it, and answers F3_OBJ_AMBIGUOUS */
	F3_OBJ_FAULT_DROP,	  /* does nothing, and answers F3_OBJ_AMBIGUOUS */
	F3_OBJ_FAULT_DUPLICATE,	  /* does it twice; the answer is that to the second */
	F3_OBJ_FAULT_TRUNCATE,	  /* GET: no more than `bytes` arrive, and nobody says so */
	F3_OBJ_FAULT_CORRUPT,	  /* GET: the first byte is another one */
	F3_OBJ_FAULT_HOLD,	  /* not begun before it is released */
	F3_OBJ_FAULT_HOLD_ANSWER, /* done, but the answer waits for release */
};

#define F3_OBJ_FAULT_ANY_TYPE F3_OBJ_TYPES

struct f3_object_fault_rule {
	unsigned type;	 /* enum f3_obj_type or F3_OBJ_FAULT_ANY_TYPE */
	const char *key; /* only operations on this key; NULL: all. Copied. */
	unsigned nth;	 /* the first it applies to, counted from when it was added; 0 is 1 */
	unsigned times;	 /* how many from there on; 0 is 1, UINT_MAX for ever */
	enum f3_object_fault_action action;
	int error;
	uint64_t bytes;
};

/* Takes `inner` over: closing the new store closes it. 0 or -ENOMEM. */
int f3_object_fault_open(struct f3_object_store *inner, struct f3_object_store **ret_s);
/* 0 or -ENOMEM */
int f3_object_fault_add(struct f3_object_store *s, const struct f3_object_fault_rule *rule);
/* Drops all rules; what is held stays held. */
void f3_object_fault_clear(struct f3_object_store *s);
/* Blocks until at least n operations are held. */
void f3_object_fault_wait_held(struct f3_object_store *s, unsigned n);
/* Lets everything go that is held, in the order it came. */
void f3_object_fault_release(struct f3_object_store *s);
/* Operations of a type that came, F3_OBJ_FAULT_ANY_TYPE: all. */
uint64_t f3_object_fault_count(struct f3_object_store *s, unsigned type);
/* ping answers this; 0: that of the store behind. */
void f3_object_fault_set_ping(struct f3_object_store *s, int error);

#endif
