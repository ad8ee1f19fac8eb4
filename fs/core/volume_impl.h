/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_impl: what the volume*.c files share; nobody else includes it.
 *
 * volume.c: the table, attaching, usage. volume_remove.c: detaching for good.
 */
#ifndef F3_CORE_VOLUME_IMPL_H
#define F3_CORE_VOLUME_IMPL_H

#include "fs/core/volume.h"

struct f3_volumes {
	struct f3_lock lock;
	struct f3_volume *first;	/* in order of names */
};

/* Puts it in its place in the table. Its lock is held. */
void f3_volumes_insert(struct f3_volumes *vs, struct f3_volume *v);
/* Closes its stores and frees it; nobody has a reference. */
void f3_volume_free(struct f3_volume *v);

#endif
