/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_op: requests to a volume's object store, counted.
 *
 * One way for everything the core asks: results and latencies become metrics, and a store that
 * failed and works again is logged once each, per volume, not per request.
 */
#ifndef F3_CORE_STORE_OP_H
#define F3_CORE_STORE_OP_H

#include "fs/core/volume.h"
#include "fs/object/object.h"

void f3_store_op_register_metrics(void);

/* Carries it out and waits. The op's result; -EIO without a store. Not from a store's thread. */
int f3_store_run(struct f3_volume *v, struct f3_obj_op *op);
/* The same without waiting: op->done is called, and calls f3_store_counted first. The result may be
 * F3_OBJ_IN_PARTS. */
void f3_store_submit(struct f3_volume *v, struct f3_obj_op *op);
void f3_store_counted(const struct f3_obj_op *op, uint64_t start_mono_ns);

/* HEAD of what is wanted. 0, -ENOENT, or the store's error. The caller calls f3_object_op_done when it has looked at
 * op->info. */
int f3_store_head(struct f3_volume *v, struct f3_obj_op *op, const char *key,
		  enum f3_obj_want want);

/* Might the same request succeed later, without anybody doing anything about it? */
bool f3_store_transient(int result);
/* The errno for programs of what a store answered. */
int f3_store_errno(int result);

#endif
