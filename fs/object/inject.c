/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/inject.h"

#ifdef F3_DEBUG_POINTS

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/debug.h"

/* What the operation was like when it came. */
struct flight {
	void (*done)(struct f3_obj_op *op);
	void *owner;
	int error;
};

static void answer(struct f3_obj_op *op, int error)
{
	f3_object_op_done(op);
	op->ret_upload[0] = 0;
	memset(&op->ret_part, 0, sizeof(op->ret_part));
	op->moved = 0;
	op->result = error;
	snprintf(op->message, sizeof(op->message), "%s %s: made to fail",
		 f3_obj_type_name(op->type), op->key);
}

static void lose(struct f3_obj_op *op)
{
	struct flight *f = op->owner;

	op->owner = f->owner;
	op->done = f->done;
	answer(op, f->error);
	free(f);
	op->done(op);
}

bool f3_object_inject(struct f3_obj_op *op)
{
	struct flight *f;
	char place[64];
	int error;

	if (!f3_debug_armed)
		return false;
	snprintf(place, sizeof(place), "object.%s", f3_obj_type_name(op->type));
	if (f3_fault(place, &error)) {
		answer(op, error);
		op->done(op);
		return true;
	}
	snprintf(place, sizeof(place), "object.%s.lost", f3_obj_type_name(op->type));
	if (!f3_fault(place, &error))
		return false;
	f = malloc(sizeof(*f));
	if (!f)
		return false;
	*f = (struct flight){ .done = op->done, .owner = op->owner, .error = error };
	op->owner = f;
	op->done = lose;
	return false;
}

#endif
