/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_impl: what the journal_*.c and stage*.c files share; nobody else includes it.
 *
 * journal_run.c: life of a task: announced, begun, carried out, retried, over.
 * journal_dag.c: what a task has to wait for.
 * journal_ops.c: what each type asks of the store. journal_tree.c: renaming a directory by copies.
 *
 * Everything of a task and of the tables is guarded by f3_journal_run.lock, except what is fixed
 * when it is announced. A task is freed when it is over; a pointer to it is good until then.
 */
#ifndef F3_CORE_JOURNAL_IMPL_H
#define F3_CORE_JOURNAL_IMPL_H

#include <sys/queue.h>

#include "fs/core/journal_run.h"

enum f3_task_state {
	F3_TASK_ANNOUNCED,	/* no record yet */
	F3_TASK_BLOCKED,	/* others come first */
	F3_TASK_DELAYED,	/* until due_ns */
	F3_TASK_READY,
	F3_TASK_RUNNING,
	F3_TASK_RESTING,	/* failed, until due_ns */
	F3_TASK_HELD,
};

#define F3_JOURNAL_WAIT 0	/* type of a task that only waits; it has no record */

/* What several tasks are about: an inode, a key (its hash), a directory. */
enum f3_res_kind { F3_RES_INO, F3_RES_KEY, F3_RES_DIR };

struct f3_journal_task;
TAILQ_HEAD(f3_task_list, f3_journal_task);

struct f3_res_member {
	TAILQ_ENTRY(f3_res_member) of_res;
	struct f3_res *res;
	struct f3_journal_task *task;
};

struct f3_res {
	struct f3_res *next;		/* in its bucket */
	enum f3_res_kind kind;
	uint64_t id;
	unsigned refs;
	struct f3_journal_task *last;	/* INO, KEY: they run one after the other */
	struct f3_journal_task *marker;	/* INO: the MKDIR under way */
	TAILQ_HEAD(f3_res_members, f3_res_member) members;	/* DIR: in order */
};

#define F3_TASK_DIRS 3

struct f3_journal_task {
	struct f3_journal_gate *gate;
	TAILQ_ENTRY(f3_journal_task) of_gate;	/* all of the volume, in order */
	TAILQ_ENTRY(f3_journal_task) of_ready;
	uint64_t seq, ino;
	int64_t since_ns;
	uint8_t type;
	unsigned how;
	bool durable;
	enum f3_task_state state;
	bool begun, replay, withdrawn;
	bool tried;			/* a request may have been sent */
	unsigned n_deps;		/* tasks that come first */
	struct f3_journal_task **after;	/* tasks that wait for this one */
	unsigned n_after, cap_after;
	struct f3_res *ino_res, *key_res[2];
	struct f3_res_member dirs[F3_TASK_DIRS];
	TAILQ_ENTRY(f3_journal_task) of_barriers;
	char *from, *to;		/* RENAME_DIR */
	struct f3_waiter *w;
	uint64_t delay_ns, due_ns, deadline_ns;
	uint32_t bytes;			/* noted in the budget for it */
	size_t slot;			/* in the heap of due times + 1; 0: not there */
	struct f3_backoff backoff;
	struct f3_work work;
};

struct f3_journal_gate {
	struct f3_journal_run *j;
	struct f3_volume *volume;
	TAILQ_ENTRY(f3_journal_gate) of_run;
	struct f3_workq *q;
	struct f3_task_list tasks, ready;
	struct f3_task_list barriers;	/* each RENAME_DIR, in order */
	unsigned running;
	uint64_t entries, retrying;
	uint64_t bytes;			/* of memory its tasks take */
	_Atomic bool full;		/* no new ones where that can be avoided */
	uint64_t failing_since_ns;	/* the store does not work since then; 0: it does */
	struct f3_work leftovers;	/* see leftover.h */
	_Atomic bool unsure;		/* it is to run again when an upload has begun */
};

#define F3_RES_BUCKETS 16384u

struct f3_journal_run {
	struct f3_core *core;
	struct f3_lock lock;		/* F3_RANK_TRANSFER */
	TAILQ_HEAD(, f3_journal_gate) gates;
	struct f3_res *table[F3_RES_BUCKETS];
	struct f3_journal_task **heap;	/* by due_ns */
	size_t n_heap, cap_heap;
	struct f3_timer timer;
	uint64_t bytes;			/* of all gates */
	unsigned parallel;
	uint64_t first_seq;		/* entries before it are of earlier runs */
	bool going, stopping;
};

/* journal_dag.c; lock held. */
/* Enters the task and what it waits for. -ENOMEM: nothing has happened. */
int f3_dag_add(struct f3_journal_task *t, const struct f3_journal_entry *e);
/* A task that waits for everything of its volume, of all volumes, or (dir) for what is durable in
 * the directory, or (ino) for what is about the inode. */
int f3_dag_add_wait(struct f3_journal_task *t, uint64_t dir, uint64_t ino, bool all);
/* It is over: leaves the tables. Those that waited for it only are appended to `ready`. */
void f3_dag_remove(struct f3_journal_task *t, struct f3_task_list *ready);
/* Notes so many more or less bytes of memory for it. Lock held. */
void f3_journal_note(struct f3_journal_task *t, int64_t bytes);
/* The key before the renames of directories that are still to be told to the store, of one that is
 * after them. key has room for F3_KEY_MAX bytes and a NUL. -ENAMETOOLONG. */
int f3_dag_key_before(struct f3_journal_gate *gate, char *key);
bool f3_dag_covers(struct f3_journal_gate *gate, uint64_t ino, const char *key);
/* Nothing but itself concerns the inode, and nothing the directory it is: RMDIR after MKDIR. */
bool f3_dag_alone(struct f3_journal_task *t, struct f3_journal_task *marker);

/* journal_ops.c: blocks on the store. Commits the result, the record's removal included unless it
 * is held. `tried`: a request of this entry may have got through before. `acked`: nobody waits, so
 * what cannot be done any more is done. */
struct f3_journal_call {
	struct f3_core *core;
	struct f3_volume *volume;
	struct f3_journal_entry *e;
	bool tried, acked, hold;
	char message[256];		/* what the store said, for the log */
};
int f3_journal_carry_out(struct f3_journal_call *call);
/* journal_tree.c: RENAME_DIR where the store cannot rename, or has something under the new name: all
 * objects one by one. -EAGAIN: not all, go on later. -ENOENT: there is no such directory. */
int f3_journal_move_tree(struct f3_journal_call *call, struct f3_obj_info *ret_info);

#endif
