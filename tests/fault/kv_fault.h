/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_fault: an f3_kv in front of another that fails when it is told to.
 *
 * For tests of what the layers above do when the disk does not: the nth write, sync, read or
 * step of an iterator fails with a given errno, the store behind it untouched (a failed write
 * writes nothing, a failed sync syncs nothing). A gate can hold calls of one kind until it is
 * opened, to bring about an order of events.
 *
 * Everything else goes straight through. Thread-safe.
 */
#ifndef F3_TESTS_FAULT_KV_FAULT_H
#define F3_TESTS_FAULT_KV_FAULT_H

#include "fs/meta/kv.h"

enum f3_kv_fault_op {
	F3_KV_FAULT_GET,
	F3_KV_FAULT_BATCH,	/* batch_new */
	F3_KV_FAULT_WRITE,
	F3_KV_FAULT_SYNC,
	F3_KV_FAULT_ITER,	/* iter_new */
	F3_KV_FAULT_NEXT,	/* iter_next */
	F3_KV_FAULT_MAX
};

/* Takes `inner` over: closed with it. 0 or -ENOMEM (then inner is still the caller's). */
int f3_kv_fault_new(struct f3_kv *inner, struct f3_kv **ret_kv);

/* From the nth call from now on (1: the next), `count` calls fail with -errno `error`. Replaces
 * what was set for the operation; count 0: none fails. */
void f3_kv_fault_set(struct f3_kv *kv, enum f3_kv_fault_op op, uint64_t nth, uint64_t count,
		     int error);

/* The same as text, for an environment variable: "write:3:1:ENOSPC", several with commas.
 * 0 or -EINVAL. */
int f3_kv_fault_parse(struct f3_kv *kv, const char *text);

/* Calls of the operation so far, failed ones included. */
uint64_t f3_kv_fault_calls(struct f3_kv *kv, enum f3_kv_fault_op op);

/* While closed, calls of the operation wait before they do anything. */
void f3_kv_fault_gate(struct f3_kv *kv, enum f3_kv_fault_op op, bool closed);
/* Waits until `n` calls stand at the gate. */
void f3_kv_fault_await(struct f3_kv *kv, enum f3_kv_fault_op op, unsigned n);

#endif
