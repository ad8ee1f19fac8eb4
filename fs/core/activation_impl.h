/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activation_impl: what activation.c (life) and activation_who.c (whose is a process) share; nobody
 * else includes it.
 */
#ifndef F3_CORE_ACTIVATION_IMPL_H
#define F3_CORE_ACTIVATION_IMPL_H

#include "fs/base/lock.h"
#include "fs/base/workq.h"
#include "fs/core/activation.h"

#define F3_ACT_BUCKETS 1024u
#define F3_ACT_HIERARCHY_MAX 64u
#define F3_ACT_CGROUP_MAX 1024u
#define F3_ACT_HIERARCHIES 16u

/* Where in which hierarchy a container is. */
struct f3_act_place {
	char hierarchy[F3_ACT_HIERARCHY_MAX];	/* controllers; "" is the unified one */
	char cgroup[F3_ACT_CGROUP_MAX];
};

struct f3_act_container {
	char name[F3_ACT_NAME_MAX + 1];			/* "": of one activation, without a view */
	struct f3_act_place place;
	struct f3_volume *volume;			/* referenced */
	char *prefix;
	uint32_t refs;					/* its name, and each activation of it */
	uint32_t n_acts;				/* that live */
	struct f3_activation *act;			/* if it is one, and was never two */
	struct f3_act_container *next;			/* bucket by cgroup */
	struct f3_act_container *next_name;		/* bucket by name */
};

struct f3_acts_threads;
struct f3_act_followed;

struct f3_acts {
	struct f3_core *core;
	struct f3_lock lock;				/* all of this but `threads` */
	struct f3_activation *acts[F3_ACT_BUCKETS];	/* by id; the table has a reference */
	struct f3_act_container *by_cgroup[F3_ACT_BUCKETS], *by_name[F3_ACT_BUCKETS];
	uint32_t n_containers;
	struct {
		char name[F3_ACT_HIERARCHY_MAX];
		uint32_t n;				/* containers */
	} hierarchies[F3_ACT_HIERARCHIES];
	struct f3_act_followed *followed[F3_ACT_BUCKETS];	/* by name */
	size_t held_bytes;
	_Atomic uint64_t epoch;				/* counts changes of what a thread may belong to */
	struct f3_acts_threads *threads;
	struct f3_timer overdue;
	uint64_t n_ended;				/* records */
	_Atomic bool pruning;
	bool stopping;
};

/* ---- activation_who.c ---- */

int f3_act_threads_new(struct f3_acts *a);
void f3_act_threads_free(struct f3_acts *a);
/* No thread is known to be of it any more. After the epoch has moved on; without the lock. */
void f3_act_threads_forget(struct f3_acts *a, const struct f3_activation *act);
/* Of a container's process: -ESRCH, -EINVAL as f3_act_container_add. Without the lock. */
int f3_act_place_of(pid_t pid, struct f3_act_place *ret_place);
/* The lock is held for all below. */
struct f3_act_container *f3_act_container_find(struct f3_acts *a, const char *name);
/* With one reference; the volume's is taken over, and prefix, on success. NULL: too many. */
struct f3_act_container *f3_act_container_new(struct f3_acts *a, const char *name,
					      const struct f3_act_place *place,
					      struct f3_volume *v, char *prefix);
/* How many live in this control group, through whatever views; *ret_act: which, if it is one that was
 * never together with another. */
unsigned f3_act_live_at(const struct f3_acts *a, const struct f3_act_place *place,
			struct f3_activation **ret_act);
/* *ret_volume: to be put without the lock, if any. */
void f3_act_container_put(struct f3_acts *a, struct f3_act_container *c,
			  struct f3_volume **ret_volume);

/* ---- activation_input.c ---- */

/* Lock held. -ENOMEM: none is followed. */
int f3_act_inputs_begin(struct f3_acts *a, const struct f3_activation *act);
void f3_act_inputs_end(struct f3_acts *a, const struct f3_activation *act);

/* ---- activation_hold.c ---- */

/* What it held is sealed; torn: was not whole. */
void f3_act_holds_end(struct f3_core *core, const char *id, bool torn);

#endif
