/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inject: an object store that fails as a test wants it to, whatever store it is.
 *
 * In builds with --enable-debug every operation passes these places (fs/base/debug.h), TYPE being
 * f3_obj_type_name(), on its way from f3_object_submit:
 *
 *     object.TYPE        the operation is not done; the answer is the error (4095, the number of
 *                        F3_OBJ_AMBIGUOUS: nobody knows); hold: it comes late to the store
 *     object.TYPE.lost   it is done, and the answer is the error: 4095 for one that got lost
 *
 * Elsewhere this is nothing. Thread-safe. Does not know the store, its capabilities stay.
 */
#ifndef F3_OBJECT_INJECT_H
#define F3_OBJECT_INJECT_H

#include "fs/object/object.h"

#ifdef F3_DEBUG_POINTS

/* True: the operation is answered already. Else it is to be passed on as it is now. */
bool f3_object_inject(struct f3_obj_op *op);

#else

static inline bool f3_object_inject(struct f3_obj_op *op)
{
	(void)op;
	return false;
}

#endif

#endif
