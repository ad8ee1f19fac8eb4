/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: what a store enforces, found out by trying.
 *
 * Stores differ in conditional writes, and say nothing reliable about it: some ignore a
 * condition, some refuse it, some want the ETag in another form. So at attach each condition is
 * tried three ways (it holds, it does not, the object is absent) on objects of our own below
 * F3_OBJ_AREA_PROBE, and a capability is set only if all the answers were right. Limits
 * (min_part_bytes and so on) and caps.xattrs are the backend's own knowledge and not touched.
 *
 * Blocks. Leaves nothing behind in the store unless it is interrupted. Works for any backend.
 */
#ifndef F3_OBJECT_PROBE_H
#define F3_OBJECT_PROBE_H

#include "fs/object/object.h"

/* Fills s->caps. -errno with the reason when the store does not even do the plain operations
 * (put, read back, delete). A read-only store is not probed: 0, nothing set. */
int f3_object_probe(struct f3_object_store *s, struct f3_err *err);

#endif
