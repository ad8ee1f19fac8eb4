/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activation_hold: outputs that stream are not sealed before their activation's end (hold.h): a program
 * closes its files on its way down, too, and only who ran it knows how it ended.
 *
 * Which files those are is in the database (F3_NOTE_HELD), so that the next daemon holds them again
 * before it looks at what the last one left.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/hash.h"
#include "fs/base/log.h"
#include "fs/core/activation_impl.h"
#include "fs/core/hold.h"

#define KEY_BYTES 16u

static uint64_t holder_of(const char *id)
{
	return f3_hash64(id, strlen(id), 0) | 1;
}

static void held_key(uint64_t holder, uint64_t ino, struct f3_buf *out)
{
	f3_buf_put_u64(out, holder);
	f3_buf_put_u64(out, ino);
}

static int note(struct f3_core *core, uint64_t holder, uint64_t ino)
{
	struct f3_batch *b;
	struct f3_buf key;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_buf_init(&key, KEY_BYTES);
	held_key(holder, ino, &key);
	f3_batch_put_note(b, F3_NOTE_HELD, key.data, key.len, "\1", 1);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	f3_buf_done(&key);
	return r;
}

static bool holds_any(const struct f3_activation *act)
{
	for (size_t i = 0; i < act->spec.outputs.n_rules; i++)
		if (act->spec.outputs.rules[i].stream && !act->spec.output[i].close_seals)
			return true;
	return false;
}

void f3_act_writes(struct f3_activation *act, struct f3_inode *inode)
{
	struct f3_core *core = act->core;
	uint64_t holder = holder_of(act->spec.id);
	char path[PATH_MAX];
	bool streams;
	int at, r;

	if (!holds_any(act))
		return;
	f3_lock(&inode->lock);
	streams = inode->rec.flags & (F3_INO_STREAM | F3_INO_STREAMS) &&
		  !(inode->rec.flags & F3_INO_STREAM_OFF);
	f3_unlock(&inode->lock);
	if (!streams || f3_inode_path(core, inode->ino, path, sizeof(path)))
		return;
	at = f3_act_output_of(act, inode->volume, path);
	if (at < 0 || !act->spec.outputs.rules[at].stream || act->spec.output[at].close_seals)
		return;
	if (f3_hold_is(inode, holder))
		return;
	r = note(core, holder, inode->ino);
	if (!r)
		r = f3_hold_add(core, inode, holder);
	/* Its end may have looked for what it held before this was. */
	if (!r && act->state != F3_ACT_RUNNING)
		f3_act_holds_end(core, act->spec.id, act->state == F3_ACT_ENDED_FAILED);
	if (r)
		f3_log_warn("activation %s: %s will be sealed by its close: %s", act->spec.id, path,
			    f3_errno_name(r));
}

struct ending {
	struct f3_batch *b;
	unsigned n;
};

static int drop_note(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct ending *e = arg;

	(void)value;
	(void)vlen;
	f3_batch_del_note(e->b, F3_NOTE_HELD, key, klen);
	e->n++;
	return 0;
}

void f3_act_holds_end(struct f3_core *core, const char *id, bool torn)
{
	uint64_t holder = holder_of(id);
	struct ending e = { .n = 0 };
	struct f3_buf prefix;

	f3_hold_end(core, holder, torn);
	if (f3_batch_new(core->meta, &e.b))
		return;
	f3_buf_init(&prefix, KEY_BYTES);
	f3_buf_put_u64(&prefix, holder);
	if (!f3_meta_each_note(core->meta, F3_NOTE_HELD, prefix.data, prefix.len, drop_note, &e) &&
	    e.n)
		(void)f3_batch_commit(e.b); /* one that stays is of nobody the next start knows */
	f3_batch_free(e.b);
	f3_buf_done(&prefix);
}

static int hold_again(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_core *core = arg;
	struct f3_inode *inode;
	uint64_t holder, ino;
	struct f3_rd rd;
	int r;

	(void)value;
	(void)vlen;
	f3_rd_init(&rd, key, klen);
	holder = f3_rd_u64(&rd);
	ino = f3_rd_u64(&rd);
	if (rd.error || rd.left || !holder)
		return -EIO;
	r = f3_inode_get(core, ino, &inode);
	if (r)
		return r == -ENOENT ? 0 : r;
	/* One that was sealed needs no holding; one of an activation that is no more is let go of when
	 * the others have been begun again. */
	if (inode->rec.state == F3_STATE_WRITING)
		r = f3_hold_add(core, inode, holder);
	f3_inode_put(core, inode);
	return r;
}

int f3_act_hold_again(struct f3_core *core)
{
	return f3_meta_each_note(core->meta, F3_NOTE_HELD, "", 0, hold_again, core);
}

struct orphans {
	struct f3_acts *a;
	struct f3_batch *b;
	uint64_t *holders;
	size_t n, cap;
};

static bool is_live(struct f3_acts *a, uint64_t holder)
{
	bool live = false;

	f3_lock(&a->lock);
	for (unsigned i = 0; i < F3_ACT_BUCKETS && !live; i++)
		for (const struct f3_activation *act = a->acts[i]; act && !live; act = act->next)
			live = holder_of(act->spec.id) == holder;
	f3_unlock(&a->lock);
	return live;
}

static int add_orphan(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct orphans *o = arg;
	uint64_t holder, *more;
	struct f3_rd rd;

	(void)value;
	(void)vlen;
	f3_rd_init(&rd, key, klen);
	holder = f3_rd_u64(&rd);
	/* Keys come in the order of holders. */
	if (o->n && o->holders[o->n - 1] == holder) {
		f3_batch_del_note(o->b, F3_NOTE_HELD, key, klen);
		return 0;
	}
	if (is_live(o->a, holder))
		return 0;
	if (o->n == o->cap) {
		more = realloc(o->holders, (o->cap + 64) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		o->holders = more;
		o->cap += 64;
	}
	o->holders[o->n++] = holder;
	f3_batch_del_note(o->b, F3_NOTE_HELD, key, klen);
	return 0;
}

int f3_act_hold_rest(struct f3_core *core)
{
	struct orphans o = { .a = core->acts };
	int r = f3_batch_new(core->meta, &o.b);

	if (!r)
		r = f3_meta_each_note(core->meta, F3_NOTE_HELD, "", 0, add_orphan, &o);
	if (!r && o.n) {
		for (size_t i = 0; i < o.n; i++)
			f3_hold_end(core, o.holders[i], true);
		r = f3_batch_commit(o.b);
	}
	f3_batch_free(o.b);
	free(o.holders);
	return r;
}
