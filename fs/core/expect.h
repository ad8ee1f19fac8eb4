/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expect: inputs of an activation that are not there yet, and that its processes wait for.
 *
 * A LOOKUP cannot be kept waiting: the kernel holds the directory meanwhile, and whoever is to make the
 * name could not. So it is answered at once, with the number of a file (or, of what leads there, of a
 * directory) that stands for the name, that nothing is known of for any time and that no listing has. The
 * kernel asks for its attributes next, or opens it, and that waits: until every input of that activation
 * which the number stands for is there, and written: if it streams, to its first byte, else until it is
 * sealed. Then ESTALE has the kernel begin the path anew, once (of a directory only the first of them that
 * is not written is waited for: it is better made beforehand). The deadline is for the name. The number is made of volume and path, so that the next daemon, who is
 * asked again, knows it too.
 *
 * Who waits is woken by changes of the directory in which the next name is missing; what others put in
 * the store is found by asking only. A name that somebody waits for is never answered as missing for
 * any time, to anybody.
 *
 * Threads: any. Locks: its own, rank F3_RANK_TRANSFER. Without an activation that has such inputs a lookup
 * that finds nothing costs one relaxed load, and so does a change of names without anybody who waits.
 */
#ifndef F3_CORE_EXPECT_H
#define F3_CORE_EXPECT_H

#include "fs/core/activation.h"
#include "fs/core/namespace.h"

#define F3_INO_EXPECTED (UINT64_C(1) << 62)	/* numbers of files are below */

struct f3_expect;

int f3_expect_new(struct f3_core *core, struct f3_expect **ret_x);
void f3_expect_free(struct f3_expect *x);
/* Who still waits gets ESTALE. */
void f3_expect_stop(struct f3_core *core);

/* It has begun: once this returned, its processes wait. 0, -ENOMEM. May block. */
int f3_expect_begin(struct f3_core *core, struct f3_activation *act);
/* It is over, after f3_expect_begin: who waits is told that there is nothing. */
void f3_expect_end(struct f3_core *core, struct f3_activation *act);

static inline bool f3_expect_any(const struct f3_core *core)
{
	return atomic_load_explicit(&core->n_expected, memory_order_relaxed) != 0;
}
static inline bool f3_expect_is(uint64_t ino)
{
	return ino & F3_INO_EXPECTED;
}

/* A name that was not found. 1: pid is to wait for it, with what stands for it; 0: it is no matter of
 * his; *ret_expected: nor is it to be taken for missing a moment later. */
int f3_expect_name(struct f3_core *core, uint64_t parent, const char *name, pid_t pid,
		   struct f3_entry *ret_e, bool *ret_expected);
/* Is it there? 1, and in *ret_inode, with a reference, what he should wait for the writer of
 * (f3_expect_unwritten), or NULL; 0: `w` was taken, and is called when it is worth asking again, with
 * -ENOENT when it is too late. -ENOENT: nobody expects it (any more). since_ns: he waits since then
 * (monotonic). */
int f3_expect_need(struct f3_core *core, uint64_t ino, pid_t pid, uint64_t since_ns,
		   struct f3_waiter *w, struct f3_inode **ret_inode);
/* Has nobody any use for it yet: is it empty and streams, or does not and is being written? 1, and `w`
 * (NULL: none) is called when it is worth asking again (f3_stream_cancel takes it out); 0; -errno. */
int f3_expect_unwritten(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w);
/* True: it was still waiting here and is not called any more. */
bool f3_expect_cancel(struct f3_core *core, struct f3_waiter *w);

/* Names of the directory have changed, and are to be seen. Names lock may be held. */
void f3_expect_look(struct f3_core *core, uint64_t dir);
static inline void f3_expect_changed(struct f3_core *core, uint64_t dir)
{
	if (atomic_load_explicit(&core->n_expecting, memory_order_relaxed))
		f3_expect_look(core, dir);
}

#endif
