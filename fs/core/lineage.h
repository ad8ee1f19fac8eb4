/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage: which activation read and made which content of which file.
 *
 * A content is a file's id and generation. An edge says that an activation USED it (opened it for
 * reading), GENERATED it (had it open for writing, or truncated it; told at the close), or that in its
 * course a content BECAME another one: a file took the place of one that is in the store, whose id it
 * goes on under. Edges name ids, so renames and removals are nothing to them; the path is where the
 * file was when it was told.
 *
 * Edges are collected in memory, each once, and written after LINEAGE_DELAY, when there are many, and
 * at the activation's end: a request pays for a look into a table. An activation has at most
 * F3_LINEAGE_EDGES_MAX, all of them what lineage-kept says; what is past that is counted
 * (F3_ACT_EDGES_DROPPED). A daemon that dies loses what was not written yet.
 *
 * Threads: any. Locks: of each set, and one for the list of those that have something to be written.
 * Nothing is read or written under them. What it does not do: say which bytes were read, or whether any.
 */
#ifndef F3_CORE_LINEAGE_H
#define F3_CORE_LINEAGE_H

#include "fs/core/activation.h"
#include "fs/core/inode.h"

#define F3_LINEAGE_EDGES_MAX 65536u

struct f3_lineages;
struct f3_lineage; /* of one activation */

enum f3_lineage_kind { /* stored */
	F3_LINEAGE_USED = 'u',
	F3_LINEAGE_GENERATED = 'g',
	F3_LINEAGE_BECAME = 'b',
};

struct f3_content {
	struct f3_id id;
	uint64_t generation;
};

int f3_lineages_new(struct f3_core *core, struct f3_lineages **ret_l);
/* Nothing is written by itself any more. */
void f3_lineages_stop(struct f3_lineages *l);
/* Then, when nobody collects any more, and before the database goes: what there is. */
void f3_lineages_write(struct f3_lineages *l);
void f3_lineages_free(struct f3_lineages *l);

int f3_lineage_new(struct f3_activation *act, struct f3_lineage **ret_set);
void f3_lineage_free(struct f3_lineage *set);

/* ---- What happens ---- */

/* What it is now, to be told as `from` later. */
struct f3_content f3_content_of(struct f3_inode *inode);
void f3_lineage_used(struct f3_activation *act, struct f3_inode *inode,
		     const struct f3_content *content);
/* from: the generation of the same file that it was made of by writing into it; 0: none. */
void f3_lineage_generated(struct f3_activation *act, struct f3_inode *inode, uint64_t from);
/* `was` is called as it is called now. By a process of whatever activation; NULL: the daemon itself. */
void f3_lineage_became(struct f3_core *core, const struct f3_caller *who, struct f3_inode *inode,
		       const struct f3_content *was);

/* Writes what is collected. At its end; also what comes later is written. Blocks on the database. */
void f3_lineage_write(struct f3_activation *act);
/* It goes on after a restart: counts what it has. */
void f3_lineage_resume(struct f3_activation *act);

/* ---- How long ---- */

/* Of activations that are kept, as their records say: to be told once, at start. */
void f3_lineages_count(struct f3_lineages *l, uint64_t edges);
/* So many are over lineage-kept. */
uint64_t f3_lineages_over(struct f3_lineages *l);
/* The activation is forgotten: its edges go. Blocks on the database. */
int f3_lineage_forget(struct f3_core *core, const char *id, size_t len);

/* ---- What is known ---- */

struct f3_lineage_edge {
	enum f3_lineage_kind kind;
	struct f3_content content;
	/* GENERATED: of the same file, generation 0: none. BECAME: what it was before. */
	struct f3_content from;
	int64_t when_ns;	/* real time; of edges of an activation, as path and volume */
	uint32_t volume;	/* 0: not known */
	const char *path;	/* inside it; a last name only, or "", where it has gone. Bytes. */
	size_t path_len;
	const char *act;	/* of edges of a file */
	size_t act_len;
};

/* fn non-zero stops, and is returned. */
typedef int f3_lineage_fn(void *arg, const struct f3_lineage_edge *e);
/* Everything told of a file, in order of generations. BECAME also where `from` is of it. */
int f3_lineage_of_file(struct f3_core *core, const struct f3_id *id, f3_lineage_fn *fn, void *arg);
/* What an activation did of that kind. */
int f3_lineage_of_act(struct f3_core *core, const char *act, size_t len, enum f3_lineage_kind kind,
		      f3_lineage_fn *fn, void *arg);
/* That one, with its path. 0 without calling fn: it is not there. */
int f3_lineage_find(struct f3_core *core, const char *act, size_t len, enum f3_lineage_kind kind,
		    const struct f3_content *content, f3_lineage_fn *fn, void *arg);
/* Writes what is collected of all activations, so that it can be read. Blocks on the database. */
void f3_lineages_settle(struct f3_core *core);

#endif
