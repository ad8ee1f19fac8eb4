/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activation_input: inputs that an activation wants to follow while they are written: what is made under
 * such a name while one that says so lives streams, whoever makes it.
 *
 * Names are kept as 64 bits of a hash; two that are the same make a file stream that nobody asked for,
 * which none will live to see.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/hash.h"
#include "fs/core/activation_impl.h"

struct f3_act_followed {
	uint64_t hash;
	uint32_t refs;
	struct f3_act_followed *next;
};

static uint64_t hash_of(const struct f3_volume *v, const char *path)
{
	return f3_hash64(path, strlen(path), v->id);
}

static struct f3_act_followed **find(struct f3_acts *a, uint64_t hash)
{
	struct f3_act_followed **at = &a->followed[hash % F3_ACT_BUCKETS];

	while (*at && (*at)->hash != hash)
		at = &(*at)->next;
	return at;
}

static int follow(struct f3_acts *a, uint64_t hash)
{
	struct f3_act_followed **at = find(a, hash);

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return -ENOMEM;
		(*at)->hash = hash;
	}
	(*at)->refs++;
	a->core->n_followed++;
	return 0;
}

static void unfollow(struct f3_acts *a, uint64_t hash)
{
	struct f3_act_followed **at = find(a, hash), *one = *at;

	if (!one)
		return;
	a->core->n_followed--;
	if (--one->refs)
		return;
	*at = one->next;
	free(one);
}

static int each_followed(struct f3_acts *a, const struct f3_activation *act, size_t n, bool begin)
{
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = 0; !r && i < n; i++) {
		const struct f3_act_input *in = &act->spec.input[i];

		if (!in->stream ||
		    snprintf(path, sizeof(path), "%s%s", act->prefix, in->path) >= PATH_MAX)
			continue;
		if (begin)
			r = follow(a, hash_of(act->volume, path));
		else
			unfollow(a, hash_of(act->volume, path));
		if (r)
			(void)each_followed(a, act, i, false);
	}
	return r;
}

int f3_act_inputs_begin(struct f3_acts *a, const struct f3_activation *act)
{
	return each_followed(a, act, act->spec.n_inputs, true);
}

void f3_act_inputs_end(struct f3_acts *a, const struct f3_activation *act)
{
	(void)each_followed(a, act, act->spec.n_inputs, false);
}

bool f3_act_follows(struct f3_core *core, const struct f3_volume *v, const char *path)
{
	bool follows;

	f3_lock(&core->acts->lock);
	follows = *find(core->acts, hash_of(v, path)) != NULL;
	f3_unlock(&core->acts->lock);
	return follows;
}

/* Its writers are told from killed ones from their open on, so not once one has it open. */
static int let_stream(struct f3_core *core, struct f3_inode *inode)
{
	const uint32_t said = F3_INO_STREAM | F3_INO_STREAMS | F3_INO_STREAM_OFF;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	if (!(inode->rec.flags & said) && inode->rec.state != F3_STATE_WRITING && !inode->dead) {
		inode->rec.flags |= F3_INO_STREAMS;
		f3_batch_put_inode(b, &inode->rec);
		r = f3_batch_commit(b);
		if (r)
			inode->rec.flags &= ~(uint32_t)F3_INO_STREAMS;
	}
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	return r;
}

int f3_act_rewrites(struct f3_core *core, struct f3_inode *inode)
{
	char path[PATH_MAX];

	if (f3_inode_path(core, inode->ino, path, sizeof(path)) ||
	    !f3_act_follows(core, inode->volume, path))
		return 0; /* without a name nobody follows it */
	return let_stream(core, inode);
}
