/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/answered.h"

#include <errno.h>
#include <stdlib.h>

struct f3_answered {
	size_t n;
	struct f3_meta_answer v[];
};

/* Numbers are even, and those of one CPU may be far apart from those of another. */
static uint32_t slot_of(uint64_t unique)
{
	return (uint32_t)((unique * UINT64_C(0x9e3779b97f4a7c15)) >> 48) % F3_ANSWERS;
}

void f3_answered_put(const struct f3_core *core, const struct f3_caller *who, uint64_t ino,
		     struct f3_batch *b)
{
	const struct f3_meta_answer answer = {
		.mount_id = core->mount_id,
		.unique = who ? who->unique : 0,
		.ino = ino,
	};

	if (answer.unique)
		f3_batch_put_answer(b, slot_of(answer.unique), &answer);
}

struct loading {
	struct f3_core *core;
	struct f3_answered *all;
};

static int load_one(void *arg, const struct f3_meta_answer *answer)
{
	struct loading *l = arg;

	if (answer->mount_id == l->core->mount_id && l->all->n < F3_ANSWERS)
		l->all->v[l->all->n++] = *answer;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct f3_meta_answer *x = a, *y = b;

	return x->unique < y->unique ? -1 : x->unique > y->unique;
}

int f3_answered_load(struct f3_core *core)
{
	struct loading l = { .core = core };
	void *fit;
	int r;

	l.all = malloc(sizeof(*l.all) + F3_ANSWERS * sizeof(l.all->v[0]));
	if (!l.all)
		return -ENOMEM;
	l.all->n = 0;
	r = f3_meta_each_answer(core->meta, load_one, &l);
	if (r) {
		free(l.all);
		return r;
	}
	qsort(l.all->v, l.all->n, sizeof(l.all->v[0]), compare);
	fit = realloc(l.all, sizeof(*l.all) + l.all->n * sizeof(l.all->v[0]));
	if (fit)
		l.all = fit;
	core->answered = l.all;
	return 0;
}

void f3_answered_free(struct f3_core *core)
{
	free(core->answered);
	core->answered = NULL;
}

bool f3_answered_find(const struct f3_core *core, uint64_t unique, uint64_t *ret_ino)
{
	const struct f3_meta_answer key = { .unique = unique }, *found;

	if (!core->answered || !unique)
		return false;
	found = bsearch(&key, core->answered->v, core->answered->n, sizeof(key), compare);
	if (!found)
		return false;
	*ret_ino = found->ino;
	return true;
}
