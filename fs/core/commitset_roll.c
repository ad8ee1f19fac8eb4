/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commitset_roll: what a record says is done, by whoever finds it, as often as it takes.
 *
 * A set of this node goes through its members, on the threads that tell the volume's store everything, then
 * through what goes, what was staged, and at last the record. The notes of a member go when its object is
 * there, so what is done after that with the file is not undone by the next start. A record of somebody
 * else is gone through line by line; what it names and is not there any more was done before.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/core/commitset_impl.h"
#include "fs/core/evict.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/leftover.h"
#include "fs/core/ns.h"
#include "fs/core/store_op.h"

/* Up to here a staged object is fetched and put, so that the condition is the store's to look at: stores
 * look at that of a PUT, and seldom at a copy's. */
#define PUT_BYTES (1u << 20)
#define TRIES 3

static struct f3_counter published = {
	.name = "f3_commitset_files_total",
	.labels = "result=\"published\"",
	.help = "Files of commit sets, by what became of them.",
};
static struct f3_counter in_the_way = { .name = "f3_commitset_files_total",
					.labels = "result=\"conflict\"" };
static struct f3_counter sets_done = {
	.name = "f3_commitsets_total",
	.labels = "result=\"published\"",
	.help = "Commit sets that came to their end.",
};
static struct f3_counter sets_dropped = { .name = "f3_commitsets_total",
					  .labels = "result=\"dropped\"" };

void f3_commitset_register_metrics(void)
{
	in_the_way.help = published.help;
	sets_dropped.help = sets_done.help;
	f3_counter_register(&published);
	f3_counter_register(&in_the_way);
	f3_counter_register(&sets_done);
	f3_counter_register(&sets_dropped);
}

/* ---- One item ---- */

/* The condition of a change of item->key, where the store looks itself; else as near as it lets us come. */
static int condition(struct f3_volume *v, const struct f3_commit_item *item, const char *etag,
		     struct f3_obj_op *op, bool match, bool absent)
{
	struct f3_obj_op head;
	int r;

	if (etag[0] ? match : absent) {
		op->cond = etag[0] ? F3_OBJ_MATCH : F3_OBJ_ABSENT;
		op->etag = etag[0] ? etag : NULL;
		return 0;
	}
	r = f3_store_head(v, &head, item->key, etag[0] ? F3_OBJ_WANT_OBJECT : F3_OBJ_WANT_ANY);
	if (r == -ENOENT)
		r = etag[0] ? -ESTALE : 0;
	else if (!r && !etag[0])
		r = -EEXIST;
	else if (!r)
		r = strcmp(head.info.etag, etag) ? -ESTALE : 0;
	f3_object_op_done(&head);
	return r;
}

static int copy(struct f3_volume *v, const struct f3_commit_item *item, const char *etag,
		char ret_etag[F3_ETAG_MAX + 1])
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_COPY);
	op.key = item->staged;
	op.key2 = item->key;
	op.etag2 = item->staged_etag;
	op.gen = &item->gen;
	r = condition(v, item, etag, &op, false, v->store->caps.copy_target_absent);
	if (!r)
		r = f3_store_run(v, &op);
	if (!r)
		memcpy(ret_etag, op.info.etag, F3_ETAG_MAX + 1);
	f3_object_op_done(&op);
	return r;
}

/* What the staged object is. *op is to be ended by the caller. */
static int fetch(struct f3_volume *v, const struct f3_commit_item *item, struct f3_obj_op *op,
		 void *buf)
{
	int r = f3_store_head(v, op, item->staged, F3_OBJ_WANT_OBJECT);
	struct f3_obj_op get;

	if (!r && strcmp(op->info.etag, item->staged_etag) != 0)
		r = -ENOENT;
	if (r || !item->size)
		return r;
	f3_object_op_init(&get, F3_OBJ_GET);
	get.key = item->staged;
	get.etag = item->staged_etag;
	get.buf = buf;
	get.len = item->size;
	r = f3_store_run(v, &get);
	if (!r && get.moved != item->size)
		r = -EIO;
	f3_object_op_done(&get);
	return r == -ESTALE ? -ENOENT : r;
}

static int put(struct f3_volume *v, const struct f3_commit_item *item, const char *etag,
	       char ret_etag[F3_ETAG_MAX + 1])
{
	struct f3_obj_op staged, op;
	void *buf = malloc(item->size + 1);
	int r = buf ? fetch(v, item, &staged, buf) : -ENOMEM;

	if (!buf)
		return r;
	f3_object_op_init(&op, F3_OBJ_PUT);
	op.key = item->key;
	op.body = buf;
	op.len = item->size;
	op.attr = &staged.info.attr;
	op.gen = &item->gen;
	if (!r)
		r = condition(v, item, etag, &op, true, true);
	if (!r)
		r = f3_store_run(v, &op);
	if (!r)
		memcpy(ret_etag, op.info.etag, F3_ETAG_MAX + 1);
	f3_object_op_done(&op);
	f3_object_op_done(&staged);
	free(buf);
	return r;
}

static int complete(struct f3_volume *v, const struct f3_commit_item *item, const char *etag,
		    char ret_etag[F3_ETAG_MAX + 1])
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_COMPLETE);
	op.key = item->key;
	op.upload = item->upload;
	op.copies = item->copies;
	op.parts = item->parts;
	op.n_parts = item->n_parts;
	op.gen = &item->gen;
	r = condition(v, item, etag, &op, v->store->caps.complete_match,
		      v->store->caps.complete_absent);
	if (!r)
		r = f3_store_run(v, &op);
	if (!r)
		memcpy(ret_etag, op.info.etag, F3_ETAG_MAX + 1);
	f3_object_op_done(&op);
	/* The parts are not what was uploaded, or it is there already: what is under the key says. */
	return r == -EINVAL ? -ENOENT : r;
}

/* What is under the key after an answer that does not say what came of it. -EAGAIN: again, on the
 * condition in etag. */
static int settle(struct f3_volume *v, const struct f3_commit_item *item, char *etag, int r,
		  char ret_etag[F3_ETAG_MAX + 1])
{
	struct f3_obj_op op;
	int h;

	if (r != F3_OBJ_AMBIGUOUS && r != -EEXIST && r != -ESTALE && r != -ENOENT)
		return r;
	h = f3_store_head(v, &op, item->key, F3_OBJ_WANT_OBJECT);
	if (!h && op.info.have_gen && f3_id_equal(&op.info.gen.id, &item->gen.id) &&
	    op.info.gen.attempt >= item->gen.attempt) {
		/* This, or attributes that followed it. */
		memcpy(ret_etag, op.info.etag, F3_ETAG_MAX + 1);
		r = 0;
	} else if (h && h != -ENOENT) {
		r = h;
	} else if (r == -ENOENT) {
		r = -ENOENT;
	} else if (h) {
		/* Others have removed what was to be replaced, or it was not done. */
		r = r == -EEXIST ? -ESTALE : -EAGAIN;
		etag[0] = '\0';
	} else {
		r = r == F3_OBJ_AMBIGUOUS && !strcmp(op.info.etag, etag) ? -EAGAIN : -ESTALE;
	}
	f3_object_op_done(&op);
	return r;
}

static int remove_object(struct f3_volume *v, const struct f3_commit_item *item)
{
	bool match = v->store->caps.delete_match;
	struct f3_obj_op op;
	int r = 0;

	f3_object_op_init(&op, F3_OBJ_DELETE);
	op.key = item->key;
	r = condition(v, item, item->etag, &op, match, false);
	if (!r)
		r = f3_store_run(v, &op);
	f3_object_op_done(&op);
	/* Gone, or somebody else's by now. */
	return r == -ESTALE || r == -ENOENT ? 0 : r == F3_OBJ_AMBIGUOUS ? -EAGAIN : r;
}

int f3_commit_do(struct f3_volume *v, const struct f3_commit_item *item,
		 char ret_etag[F3_ETAG_MAX + 1])
{
	const struct f3_obj_caps *caps = &v->store->caps;
	char etag[F3_ETAG_MAX + 1];
	bool done = false;
	int r = -EAGAIN;

	ret_etag[0] = '\0';
	memcpy(etag, item->etag, sizeof(etag));
	for (int tries = 0; r == -EAGAIN && tries < TRIES; tries++) {
		f3_debug_point("commit.before-item");
		if (item->kind == F3_COMMIT_DELETE) {
			r = remove_object(v, item);
		} else if (item->kind == F3_COMMIT_UPLOAD) {
			r = complete(v, item, etag, ret_etag);
			done = !r;
			r = settle(v, item, etag, r, ret_etag);
		} else {
			r = item->size <= PUT_BYTES && caps->put_match && caps->put_absent ?
				    put(v, item, etag, ret_etag) :
				    copy(v, item, etag, ret_etag);
			r = settle(v, item, etag, r, ret_etag);
		}
		f3_debug_point("commit.after-item");
	}
	/* Completed by a run that was cut off before it was cleared away, or never to be. */
	if (item->kind == F3_COMMIT_UPLOAD && !done && (!r || r == -ESTALE || r == -ENOENT))
		f3_leftover_abort(v, item->key, item->upload);
	return r;
}

/* ---- Members ---- */

int f3_commit_item_of(struct f3_inode *inode, struct f3_commit_item *item)
{
	char staged[F3_COMMIT_KEY_MAX + 1];
	const struct f3_upload *u;
	const struct f3_prepared *p;
	int r;

	memset(item, 0, sizeof(*item));
	r = f3_inode_key(inode->core, inode->ino, item->key, sizeof(item->key));
	if (r)
		return r;
	f3_lock(&inode->lock);
	if (!inode->member || !inode->member->p.valid) {
		f3_unlock(&inode->lock);
		return -ENOENT;
	}
	p = &inode->member->p;
	u = p->upload;
	memcpy(item->etag, inode->rec.etag, sizeof(item->etag));
	item->size = p->size;
	item->gen = u ? u->gen : p->gen;
	if (!u) {
		item->kind = F3_COMMIT_STAGED;
		f3_commitset_staged(inode->member->set, inode->ino, staged);
		memcpy(item->staged, staged, sizeof(staged));
		memcpy(item->staged_etag, p->etag, sizeof(item->staged_etag));
		if (!p->regular)
			item->size = inode->rec.target_len;
	} else {
		item->kind = F3_COMMIT_UPLOAD;
		item->copies = u->copies;
		memcpy(item->upload, u->id, sizeof(item->upload));
		item->parts = calloc(u->n_parts, sizeof(*item->parts));
		item->n_parts = item->parts ? u->n_parts : 0;
		r = item->parts ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < item->n_parts; i++) {
		item->parts[i].number = (uint32_t)i + 1;
		item->parts[i].off = u->parts[i].off;
		item->parts[i].len = u->parts[i].len;
		item->parts[i].crc32c = u->parts[i].crc32c;
		memcpy(item->parts[i].etag, u->parts[i].etag, sizeof(item->parts[i].etag));
	}
	f3_unlock(&inode->lock);
	return r;
}

/* The record of a file whose object is there. Inode lock held. */
static void note_published(struct f3_inode *inode, const struct f3_prepared *p, const char *etag,
			   struct f3_batch *b)
{
	struct f3_inode_rec *rec = &inode->rec;
	bool same = f3_member_same(inode) && !(rec->flags & F3_INO_TORN);

	memcpy(rec->etag, etag, sizeof(rec->etag));
	rec->modified_ns = 0;
	inode->maybe_stored = false;
	inode->checked_mono_ns = f3_clock_mono_ns();
	if (p->regular) {
		rec->store_size = p->size;
		inode->committed = p->fp;
	}
	if (same) {
		rec->flags &= ~(uint32_t)F3_INO_DIRTY;
		rec->error = 0;
	}
	if (same && p->regular && rec->state != F3_STATE_WRITING)
		rec->state = f3_fill_incomplete(inode) ? F3_STATE_FILLING : F3_STATE_CLEAN;
	if (!(rec->flags & (F3_INO_DIRTY | F3_INO_ATTR_DIRTY)))
		f3_batch_del_mark(b, F3_MARK_DIRTY, inode->ino);
	f3_stage_account(inode);
}

/* It is published (etag), or leaves the set as it is (NULL). */
static int member_ends(struct f3_inode *inode, const char *etag)
{
	struct f3_core *core = inode->core;
	struct f3_member *m;
	struct f3_inode_rec was;
	struct f3_batch *b;
	bool again = false, cold;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	m = inode->member;
	cold = m->set->cold;
	was = inode->rec;
	if (etag)
		note_published(inode, &m->p, etag, b);
	if (!inode->dead)
		f3_batch_put_inode(b, &inode->rec);
	f3_set_note_del_member(b, m->set, inode->ino, &m->p);
	f3_debug_point("commit.before-note");
	r = f3_batch_commit(b);
	f3_debug_point("commit.after-note");
	if (r)
		inode->rec = was;
	else
		m = f3_member_take(inode);
	if (!r && inode->stage)
		f3_journal_hurry(inode->stage->task);
	again = !r && !inode->stage && f3_stage_dirty(core, inode) &&
		inode->rec.state != F3_STATE_WRITING;
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	if (r)
		return r;
	if (etag && cold)
		r = f3_file_drop_copy(core, inode->ino);
	else if (again)
		(void)f3_stage_commit(core, inode, NULL); /* its state says what cannot start */
	f3_commitset_wake(m->set);
	f3_member_free(m);
	f3_evict_wake(core);
	return r;
}

/* Somebody else has changed the object since: what is here gets another name, and goes up under that. */
static int set_aside(struct f3_inode *inode)
{
	char name[F3_NAME_MAX + 1], suffix[64];
	size_t len, max;
	int r;

	f3_lock(&inode->lock);
	snprintf(suffix, sizeof(suffix), ".f3-conflict-%" PRIu64, inode->rec.generation);
	max = F3_NAME_MAX - strlen(suffix);
	len = inode->rec.name_len < max ? inode->rec.name_len : max;
	memcpy(name, inode->rec.name, len);
	f3_unlock(&inode->lock);
	snprintf(name + len, sizeof(name) - len, "%s", suffix);
	r = f3_ns_set_aside(inode->core, inode, name);
	if (r && r != -EEXIST)
		return r;
	f3_count(&in_the_way, 1);
	f3_log_error("volume %s: %.*s was changed in the store by others before its commit set was "
		     "published; what was written here is published as %s",
		     inode->volume->name, (int)len, name, name);
	return 0;
}

static void member_over(struct f3_commitset *set, int r)
{
	bool last;

	f3_lock(&set->lock);
	if (r && !set->error)
		set->error = r;
	last = --set->pending == 0;
	f3_unlock(&set->lock);
	if (!last || set->core->commitsets->stopping)
		return;
	if (f3_workq_push(set->volume->stages->q, &set->work))
		(void)f3_timer_arm(&set->timer, f3_clock_mono_ns() + F3_NS_PER_SEC);
}

static void member_work(struct f3_work *work)
{
	struct f3_member *m = (struct f3_member *)((char *)work - offsetof(struct f3_member, work));
	struct f3_commit_item *item = calloc(1, sizeof(*item));
	struct f3_commitset *set = m->set;
	struct f3_inode *inode = m->inode;
	char etag[F3_ETAG_MAX + 1];
	int r = item ? f3_commit_item_of(inode, item) : -ENOMEM;

	f3_inode_ref(inode);
	if (!r && set->core->stopping)
		r = -ESHUTDOWN;
	if (!r)
		r = f3_commit_do(set->volume, item, etag);
	else if (r == -ESTALE)
		r = -ENOENT;
	if (!r) {
		f3_count(&published, 1);
		r = member_ends(inode, etag);
	} else if (r == -ESTALE) {
		r = set_aside(inode);
		if (!r)
			r = member_ends(inode, NULL);
	} else if (r == -ENOENT) {
		/* Never prepared; or done before and changed since, or what was prepared is gone: then
		 * its own commit finds out. */
		r = member_ends(inode, NULL);
	}
	if (item)
		f3_commit_item_done(item);
	free(item);
	f3_inode_put(set->core, inode);
	member_over(set, r);
}

/* ---- The steps of a set ---- */

/* 1: members are on their way, and the last of them goes on. */
static int begin_members(struct f3_commitset *set)
{
	struct f3_member *m, *next;
	unsigned n = 0;

	f3_lock(&set->lock);
	set->error = 0;
	set->pending = 1; /* ours */
	TAILQ_FOREACH(m, &set->members, of_set) {
		m->work.fn = member_work;
		n++;
	}
	set->pending += n;
	/* Those that cannot be queued now are begun by the next round. */
	for (m = TAILQ_FIRST(&set->members); m; m = next) {
		next = TAILQ_NEXT(m, of_set);
		if (f3_workq_push(set->volume->stages->q, &m->work)) {
			set->pending--;
			set->error = -EAGAIN;
		}
	}
	set->pending--;
	n = set->pending;
	f3_unlock(&set->lock);
	return n ? 1 : 0;
}

static int delete_left(struct f3_commitset *set)
{
	struct f3_commit_item *item = calloc(1, sizeof(*item));
	struct f3_member_left *left;
	char etag[F3_ETAG_MAX + 1];
	int r = item ? 0 : -ENOMEM;

	/* Nobody adds to the list of a set that is committed. */
	TAILQ_FOREACH(left, &set->left, of_set) {
		if (r || !left->etag[0])
			continue;
		item->kind = F3_COMMIT_DELETE;
		memcpy(item->key, left->key, sizeof(item->key));
		memcpy(item->etag, left->etag, sizeof(item->etag));
		r = f3_commit_do(set->volume, item, etag);
	}
	free(item);
	return r;
}

static int delete_key(struct f3_volume *v, const char *key)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_DELETE);
	op.key = key;
	r = f3_store_run(v, &op);
	f3_object_op_done(&op);
	return r == F3_OBJ_AMBIGUOUS ? -EAGAIN : r == -ENOENT ? 0 : r;
}

/* Everything that was staged in a directory. */
static int sweep_staged(struct f3_volume *v, const char *dir)
{
	char key[F3_COMMIT_KEY_MAX + F3_NAME_MAX + 2];
	struct f3_obj_op op;
	bool any = true;
	int r = 0;

	/* From the start each time: what was listed is gone then. */
	while (!r && any) {
		any = false;
		f3_object_op_init(&op, F3_OBJ_LIST);
		op.key = dir;
		r = f3_store_run(v, &op);
		for (size_t i = 0; !r && i < op.n_entries; i++) {
			if (op.entries[i].info.is_dir)
				continue;
			any = true;
			snprintf(key, sizeof(key), "%s/%s", dir, op.entries[i].name);
			r = delete_key(v, key);
		}
		f3_object_op_done(&op);
	}
	if (r == -ENOENT)
		r = 0;
	/* Where directories are more than their names. */
	if (!r && v->store->caps.rename) {
		f3_object_op_init(&op, F3_OBJ_RMDIR);
		op.key = dir;
		(void)f3_store_run(v, &op);
		f3_object_op_done(&op);
	}
	return r;
}

/* The set's own; that of another run of the same work is not ours to remove. */
static int delete_record(struct f3_commitset *set)
{
	char key[F3_COMMIT_KEY_MAX + 1];
	struct f3_obj_op op;
	bool own;
	int r;

	f3_commitset_record_key(set, key);
	r = f3_store_head(set->volume, &op, key, F3_OBJ_WANT_OBJECT);
	own = !r && op.info.have_gen && f3_id_equal(&op.info.gen.id, &set->id);
	f3_object_op_done(&op);
	if (r)
		return r == -ENOENT ? 0 : r;
	return own ? delete_key(set->volume, key) : 0;
}

int f3_commitset_sweep(struct f3_commitset *set)
{
	char key[F3_COMMIT_KEY_MAX + 1];
	struct f3_member_left *left;
	struct f3_batch *b;
	int r;

	f3_commitset_stage_dir(set, key);
	r = sweep_staged(set->volume, key);
	/* One that says that it was dropped keeps those of attempts away that come late: f3ctl gc
	 * removes it. */
	if (!r && set->attempt && !set->dropped) {
		f3_debug_point("commit.before-record-goes");
		r = delete_record(set);
		f3_debug_point("commit.after-record-goes");
	}
	if (!r)
		r = f3_batch_new(set->core->meta, &b);
	if (r)
		return r;
	while ((left = TAILQ_FIRST(&set->left))) {
		if (left->upload[0])
			f3_leftover_abort(set->volume, left->upload_key, left->upload);
		f3_set_note_del_left(b, left);
		f3_lock(&set->lock);
		TAILQ_REMOVE(&set->left, left, of_set);
		f3_unlock(&set->lock);
		if (left->etag[0])
			set->core->commitsets->n_left--;
		f3_member_left_free(left);
	}
	f3_set_note_del(b, set);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r;
}

/* ---- The record ---- */

int f3_commitset_look(struct f3_commitset *set, uint64_t *ret_generation)
{
	char key[F3_COMMIT_KEY_MAX + 1];
	struct f3_obj_op op;
	int r;

	f3_commitset_record_key(set, key);
	r = f3_store_head(set->volume, &op, key, F3_OBJ_WANT_OBJECT);
	if (!r && (!op.info.have_gen || !f3_id_equal(&op.info.gen.id, &set->id)))
		r = -EEXIST;
	/* One that came late, of an attempt that nobody took for done. */
	else if (!r && op.info.gen.attempt < set->attempt)
		r = -ENOENT;
	else if (!r)
		*ret_generation = op.info.gen.generation;
	f3_object_op_done(&op);
	return r;
}

/* The etag of an attempt that came late; "": none. */
static int look_stale(struct f3_commitset *set, const char *key, char ret_etag[F3_ETAG_MAX + 1])
{
	struct f3_obj_op op;
	int r = f3_store_head(set->volume, &op, key, F3_OBJ_WANT_OBJECT);

	ret_etag[0] = '\0';
	if (!r && op.info.have_gen && f3_id_equal(&op.info.gen.id, &set->id) &&
	    op.info.gen.attempt < set->attempt)
		memcpy(ret_etag, op.info.etag, F3_ETAG_MAX + 1);
	f3_object_op_done(&op);
	return r == -ENOENT ? 0 : r;
}

int f3_commitset_write(struct f3_commitset *set, const struct f3_buf *text, uint64_t generation)
{
	const struct f3_obj_gen gen = { set->id, generation, set->attempt };
	char key[F3_COMMIT_KEY_MAX + 1], stale[F3_ETAG_MAX + 1] = "";
	uint64_t there;
	struct f3_obj_op op;
	int r = -EAGAIN;

	f3_commitset_record_key(set, key);
	for (int tries = 0; r == -EAGAIN && tries < TRIES; tries++) {
		f3_object_op_init(&op, F3_OBJ_PUT);
		op.key = key;
		op.body = text->data;
		op.len = text->len;
		op.gen = &gen;
		op.cond = !stale[0]                          ? F3_OBJ_ABSENT :
			  set->volume->store->caps.put_match ? F3_OBJ_MATCH :
							       F3_OBJ_ANY;
		op.etag = op.cond == F3_OBJ_MATCH ? stale : NULL;
		f3_debug_point("commit.before-record");
		r = f3_store_run(set->volume, &op);
		f3_debug_point("commit.after-record");
		f3_object_op_done(&op);
		if (r != F3_OBJ_AMBIGUOUS && r != -EEXIST && r != -ESTALE)
			break;
		r = f3_commitset_look(set, &there);
		if (!r)
			r = there == generation ? 0 : -EALREADY;
		else if (r == -ENOENT)
			r = look_stale(set, key, stale) ? F3_OBJ_AMBIGUOUS : -EAGAIN;
		else if (r != -EEXIST)
			r = F3_OBJ_AMBIGUOUS;
	}
	return r == -EAGAIN ? F3_OBJ_AMBIGUOUS : r;
}

/* ---- What is decided ---- */

static void later(struct f3_commitset *set, int r)
{
	struct f3_waiter_list ready = { NULL };
	uint64_t now = f3_clock_mono_ns();
	bool first;

	if (set->core->commitsets->stopping)
		return;
	f3_lock(&set->lock);
	first = !set->failing_since_ns;
	if (first)
		set->failing_since_ns = now;
	/* Who waits has waited long enough. */
	if (now - set->failing_since_ns >= set->core->opt.retry_max_ns) {
		f3_waiters_collect(&set->calm, -EIO, &ready);
		f3_waiters_collect(&set->ends, -ETIMEDOUT, &ready);
	}
	(void)f3_timer_arm(&set->timer, now + f3_backoff_next_ns(&set->backoff));
	f3_unlock(&set->lock);
	f3_waiters_call(&ready);
	if (first)
		f3_log_warn("volume %s: the commit set of activation %s cannot be brought to its "
			    "end: %s; it is tried again",
			    set->volume->name, set->act, f3_errno_name(r));
}

static int turn(struct f3_commitset *set, enum f3_set_state state)
{
	struct f3_waiter_list ready = { NULL };
	enum f3_set_state was;
	int r;

	f3_lock(&set->lock);
	was = set->state;
	set->state = state;
	f3_unlock(&set->lock);
	r = f3_commitset_note(set);
	f3_lock(&set->lock);
	if (r) {
		set->state = was;
	} else {
		set->dropped |= state == F3_SET_DROPPED;
		f3_waiters_collect(&set->calm, 0, &ready);
	}
	f3_unlock(&set->lock);
	f3_waiters_call(&ready);
	return r;
}

/* Its record may be there, or not. */
static int find_out(struct f3_commitset *set)
{
	uint64_t generation = 0;
	int r = f3_commitset_look(set, &generation);

	if (r == -ENOENT || r == -EEXIST) {
		f3_lock(&set->lock);
		set->want_drop |= set->cold || (!set->found && set->core->commitsets->claimed);
		f3_unlock(&set->lock);
		return turn(set, F3_SET_OPEN);
	}
	if (r)
		return r;
	return turn(set, generation == F3_COMMIT_GEN_DONE ? F3_SET_COMMITTED : F3_SET_DROPPED);
}

/* A record of an attempt that was given up must not come after this. */
static int fence(struct f3_commitset *set)
{
	const struct f3_commit_head head = { .id = set->id, .dropped = true };
	struct f3_buf text;
	int r;

	if (!set->attempt)
		return turn(set, F3_SET_DROPPED);
	f3_lock(&set->lock);
	set->attempt++;
	f3_unlock(&set->lock);
	r = f3_commitset_note(set);
	f3_buf_init(&text, F3_COMMIT_TEXT_MAX);
	f3_commit_text_head(&text, &head);
	f3_commit_text_end(&text);
	if (!r)
		r = text.error ? text.error : f3_commitset_write(set, &text, F3_COMMIT_GEN_DROPPED);
	f3_buf_done(&text);
	/* Somebody else's record: ours can only fail. */
	return r && r != -EEXIST ? r : turn(set, F3_SET_DROPPED);
}

static int committed(struct f3_commitset *set)
{
	int r;

	f3_lock(&set->lock);
	r = set->error;
	set->error = 0;
	f3_unlock(&set->lock);
	if (r)
		return r;
	if (!TAILQ_EMPTY(&set->members))
		return begin_members(set) ? 1 : -EAGAIN;
	f3_debug_point("commit.before-deletes");
	r = delete_left(set);
	return r ? r : f3_commitset_sweep(set);
}

static int dropped(struct f3_commitset *set)
{
	int r = f3_commitset_withdraw(set);

	return r ? r : f3_commitset_sweep(set);
}

void f3_commitset_roll(struct f3_commitset *set)
{
	enum f3_set_state state;
	bool drop;
	int r = 0;

	for (;;) {
		f3_lock(&set->lock);
		state = set->state;
		drop = set->want_drop;
		if (state == F3_SET_OPEN && !drop)
			set->busy = false;
		f3_unlock(&set->lock);
		if (set->core->stopping || (state == F3_SET_OPEN && !drop))
			return;
		if (!set->volume->store || set->volume->store->unmet)
			r = -EIO;
		else if (state == F3_SET_COMMITTING)
			r = find_out(set);
		else if (state == F3_SET_OPEN)
			r = fence(set);
		else
			r = state == F3_SET_COMMITTED ? committed(set) : dropped(set);
		if (r)
			break;
		if (state == F3_SET_COMMITTED || state == F3_SET_DROPPED) {
			f3_count(state == F3_SET_COMMITTED ? &sets_done : &sets_dropped, 1);
			f3_commitset_gone(set);
			return;
		}
	}
	if (r < 0)
		later(set, r);
}

/* ---- Records of others ---- */

struct apply {
	struct f3_volume *v;
	bool deletes;
	bool alive; /* something that was staged is there still */
	struct f3_commit_head head;
	char staged[F3_KEY_MAX + 1];
};

static int apply_item(void *arg, struct f3_commit_item *item)
{
	struct apply *a = arg;
	char etag[F3_ETAG_MAX + 1];
	int r;

	if ((item->kind == F3_COMMIT_DELETE) != a->deletes)
		return 0;
	if (item->kind == F3_COMMIT_STAGED) {
		struct f3_obj_op op;

		a->alive |= !f3_store_head(a->v, &op, item->staged, F3_OBJ_WANT_OBJECT);
		f3_object_op_done(&op);
	}
	r = f3_commit_do(a->v, item, etag);
	if (r == -ESTALE)
		f3_log_error("volume %s: %s was changed in the store by others before the commit "
			     "set of activation %s was published; it stays as it is",
			     a->v->name, item->key, a->head.act);
	if (item->kind == F3_COMMIT_STAGED) {
		char *slash;

		memcpy(a->staged, item->staged, sizeof(a->staged));
		slash = strrchr(a->staged, '/');
		*slash = '\0';
	}
	return r == -ESTALE || r == -ENOENT ? 0 : r;
}

static int apply(struct f3_volume *v, const char *text, size_t len)
{
	struct apply *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->v = v;
	r = f3_commit_text_read(text, len, &a->head, NULL, NULL);
	/* What was staged goes last. Without any of it this is a copy of a record, which came when all was
	 * over, and what it says of deletions is of objects that were there then. */
	for (int deletes = 0; !r && !a->head.dropped && deletes <= a->alive; deletes++) {
		a->deletes = deletes;
		r = f3_commit_text_read(text, len, &a->head, apply_item, a);
	}
	if (!r && strlen(a->staged) > sizeof(F3_OBJ_AREA_STAGE) &&
	    strlen(a->staged) <= F3_COMMIT_KEY_MAX)
		r = sweep_staged(v, a->staged);
	if (!r && !a->head.dropped)
		f3_log_info(
			"volume %s: the commit set of activation %s, which another daemon left, is "
			"published",
			v->name, a->head.act);
	free(a);
	return r;
}

static bool is_ours(struct f3_core *core, const struct f3_obj_info *info)
{
	struct f3_commitset *set;

	f3_lock(&core->commitsets->lock);
	TAILQ_FOREACH(set, &core->commitsets->sets, of_all)
		if (info->have_gen && f3_id_equal(&set->id, &info->gen.id))
			break;
	f3_unlock(&core->commitsets->lock);
	return set != NULL;
}

static int other(struct f3_volume *v, const char *key, int64_t age_ns)
{
	struct f3_obj_op op;
	char *text = NULL;
	uint64_t size = 0;
	int r = f3_store_head(v, &op, key, F3_OBJ_WANT_OBJECT);

	if (!r && (is_ours(v->core, &op.info) || f3_clock_real_ns() - op.info.modified_ns < age_ns))
		r = 1;
	size = op.info.size;
	f3_object_op_done(&op);
	if (!r && size > F3_COMMIT_TEXT_MAX)
		r = -EBADMSG;
	if (!r) {
		text = malloc(size + 1);
		r = text ? 0 : -ENOMEM;
	}
	if (!r) {
		f3_object_op_init(&op, F3_OBJ_GET);
		op.key = key;
		op.buf = text;
		op.len = size;
		r = f3_store_run(v, &op);
		if (!r && op.moved != size)
			r = -EAGAIN;
		f3_object_op_done(&op);
	}
	if (!r)
		r = apply(v, text, size);
	if (!r)
		r = delete_key(v, key);
	free(text);
	if (r == -EBADMSG)
		f3_log_warn("volume %s: %s is no record of a commit set, and stays", v->name, key);
	return r == 1 || r == -EBADMSG ? 0 : r;
}

int f3_commitset_others(struct f3_volume *v, int64_t age_ns)
{
	char key[F3_KEY_MAX + 1], after[F3_OBJ_CURSOR_MAX + 1] = "";
	struct f3_obj_op op;
	bool more = true;
	int r = 0;

	while (more && !r && !v->core->stopping) {
		f3_object_op_init(&op, F3_OBJ_LIST);
		op.key = F3_OBJ_AREA_COMMIT;
		op.after = after[0] ? after : NULL;
		r = f3_store_run(v, &op);
		for (size_t i = 0; !r && i < op.n_entries; i++) {
			if (op.entries[i].info.is_dir)
				continue;
			snprintf(key, sizeof(key), F3_OBJ_AREA_COMMIT "/%s", op.entries[i].name);
			r = other(v, key, age_ns);
		}
		more = !r && op.ret_next;
		if (more)
			snprintf(after, sizeof(after), "%s", op.ret_next);
		f3_object_op_done(&op);
	}
	return r == -ENOENT ? 0 : r;
}
