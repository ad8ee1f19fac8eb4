/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_meet: the first talk with a volume's object store, and its delay while that is away.
 *
 * A volume that is new is not attached without its store. One that was attached before is: a node
 * must come up while the store of one of its volumes cannot be reached. What is here is served, what
 * needs the store fails as it does whenever a store is away, and it is tried again, with back-off,
 * until the store answers; then it is probed and all goes on. Errors that do not pass (wrong keys) are
 * errors of the start.
 *
 * One thread, which exists while it is needed. No lock.
 */
#ifndef F3_CORE_STORE_MEET_H
#define F3_CORE_STORE_MEET_H

#include "fs/core/volume.h"

struct f3_store_meet;

/* v->store is open. later: it may be away. 0, or -errno with the reason. */
int f3_store_meet(struct f3_volume *v, bool later, struct f3_err *err);
/* Ends an attempt that is under way; v->store is only closed after it. */
void f3_store_meet_free(struct f3_store_meet *m);

#endif
