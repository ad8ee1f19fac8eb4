/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/fault/object_fault.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/lock.h"

struct rule {
	struct rule *next;
	struct f3_object_fault_rule r;
	char *key;
	uint64_t seen;
};

/* An operation on its way through, and what it was like when it came. */
struct flight {
	struct flight *next; /* while held */
	struct fault *store;
	struct f3_obj_op *op;
	void (*done)(struct f3_obj_op *op);
	void *owner;
	enum f3_object_fault_action action;
	uint64_t bytes;
	bool plain, begun;
};

struct fault {
	struct f3_object_store base;
	struct f3_object_store *inner;
	struct f3_lock lock;
	pthread_cond_t cond;
	struct rule *rules; /* lock */
	struct flight *held; /* lock */
	unsigned n_held; /* lock */
	uint64_t count[F3_OBJ_TYPES + 1]; /* lock */
	int ping_error; /* lock */
};

static void pass_on(struct flight *f);

static void finish(struct flight *f)
{
	struct f3_obj_op *op = f->op;

	op->owner = f->owner;
	op->done = f->done;
	free(f);
	op->done(op);
}

static void answer_lost(struct f3_obj_op *op)
{
	f3_object_op_done(op);
	op->ret_upload[0] = 0;
	memset(&op->ret_part, 0, sizeof(op->ret_part));
	op->result = F3_OBJ_AMBIGUOUS;
	snprintf(op->message, sizeof(op->message), "%s %s: the answer was lost",
		 f3_obj_type_name(op->type), op->key);
}

static void hold(struct flight *f)
{
	struct fault *s = f->store;
	struct flight **link;

	f->next = NULL;
	f3_lock(&s->lock);
	for (link = &s->held; *link; link = &(*link)->next)
		;
	*link = f;
	s->n_held++;
	pthread_cond_broadcast(&s->cond);
	f3_unlock(&s->lock);
}

static void inner_done(struct f3_obj_op *op)
{
	struct flight *f = op->owner;

	if (!f->plain) {
		switch (f->action) {
		case F3_OBJ_FAULT_LOSE:
			answer_lost(op);
			break;
		case F3_OBJ_FAULT_DUPLICATE:
			f->plain = true;
			pass_on(f);
			return;
		case F3_OBJ_FAULT_TRUNCATE:
			if (!op->result && op->moved > f->bytes)
				op->moved = f->bytes;
			break;
		case F3_OBJ_FAULT_CORRUPT:
			if (!op->result && op->moved)
				*(unsigned char *)op->buf ^= 0x20;
			break;
		case F3_OBJ_FAULT_HOLD_ANSWER:
			hold(f);
			return;
		default:
			break;
		}
	}
	finish(f);
}

static void pass_on(struct flight *f)
{
	f->begun = true;
	f->op->owner = f;
	f->op->done = inner_done;
	f3_object_submit(f->store->inner, f->op);
}

/* The rule whose turn it is. All that match count this operation. */
static struct rule *match(struct fault *s, const struct f3_obj_op *op)
{
	struct rule *chosen = NULL;

	for (struct rule *r = s->rules; r; r = r->next) {
		unsigned nth = r->r.nth ? r->r.nth : 1, times = r->r.times ? r->r.times : 1;

		if (r->r.type != F3_OBJ_FAULT_ANY_TYPE && r->r.type != (unsigned)op->type)
			continue;
		if (r->key && strcmp(r->key, op->key) != 0)
			continue;
		r->seen++;
		if (!chosen && r->seen >= nth && (times == UINT_MAX || r->seen - nth < times))
			chosen = r;
	}
	return chosen;
}

static void fault_submit(struct f3_object_store *base, struct f3_obj_op *op)
{
	struct fault *s = (struct fault *)base;
	struct flight *f = calloc(1, sizeof(*f));
	struct rule *rule;
	int error = 0;

	if (!f) {
		op->result = -ENOMEM;
		op->done(op);
		return;
	}
	*f = (struct flight){ .store = s, .op = op, .done = op->done, .owner = op->owner };
	f3_lock(&s->lock);
	s->count[op->type]++;
	s->count[F3_OBJ_FAULT_ANY_TYPE]++;
	rule = match(s, op);
	f->plain = !rule;
	if (rule) {
		f->action = rule->r.action;
		f->bytes = rule->r.bytes;
		error = rule->r.error;
	}
	f3_unlock(&s->lock);

	if (f->plain) {
		pass_on(f);
	} else if (f->action == F3_OBJ_FAULT_FAIL) {
		op->result = error;
		snprintf(op->message, sizeof(op->message), "%s %s: made to fail",
			 f3_obj_type_name(op->type), op->key);
		finish(f);
	} else if (f->action == F3_OBJ_FAULT_DROP) {
		answer_lost(op);
		finish(f);
	} else if (f->action == F3_OBJ_FAULT_HOLD) {
		hold(f);
	} else {
		pass_on(f);
	}
}

static void fault_cancel(struct f3_object_store *base, struct f3_obj_op *op)
{
	struct fault *s = (struct fault *)base;
	struct flight **link, *f = NULL;

	f3_lock(&s->lock);
	for (link = &s->held; *link; link = &(*link)->next) {
		if ((*link)->op == op && !(*link)->begun) {
			f = *link;
			*link = f->next;
			s->n_held--;
			break;
		}
	}
	f3_unlock(&s->lock);
	if (f) {
		op->result = -ECANCELED;
		finish(f);
	} else {
		f3_object_cancel(s->inner, op);
	}
}

static int fault_ping(struct f3_object_store *base, struct f3_err *err)
{
	struct fault *s = (struct fault *)base;
	int r;

	f3_lock(&s->lock);
	r = s->ping_error;
	f3_unlock(&s->lock);
	return r ? f3_err_set(err, r, "made to fail") : s->inner->ops->ping(s->inner, err);
}

static void fault_close(struct f3_object_store *base)
{
	struct fault *s = (struct fault *)base;

	f3_object_fault_clear(base);
	f3_object_fault_release(base);
	f3_object_close(s->inner);
	pthread_cond_destroy(&s->cond);
	f3_lock_done(&s->lock);
	free(s);
}

static const struct f3_object_ops fault_ops = {
	.scheme = "fault",
	.submit = fault_submit,
	.cancel = fault_cancel,
	.ping = fault_ping,
	.close = fault_close,
};

int f3_object_fault_open(struct f3_object_store *inner, struct f3_object_store **ret_s)
{
	struct fault *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	f3_lock_init(&s->lock, F3_RANK_LOCAL);
	f3_cond_init(&s->cond);
	s->inner = inner;
	s->base.ops = &fault_ops;
	s->base.caps = inner->caps;
	s->base.read_only = inner->read_only;
	*ret_s = &s->base;
	return 0;
}

int f3_object_fault_add(struct f3_object_store *base, const struct f3_object_fault_rule *rule)
{
	struct fault *s = (struct fault *)base;
	struct rule *r = calloc(1, sizeof(*r)), **link;

	if (!r)
		return -ENOMEM;
	r->r = *rule;
	r->key = rule->key ? strdup(rule->key) : NULL;
	if (rule->key && !r->key) {
		free(r);
		return -ENOMEM;
	}
	f3_lock(&s->lock);
	for (link = &s->rules; *link; link = &(*link)->next)
		;
	*link = r;
	f3_unlock(&s->lock);
	return 0;
}

void f3_object_fault_clear(struct f3_object_store *base)
{
	struct fault *s = (struct fault *)base;
	struct rule *rules;

	f3_lock(&s->lock);
	rules = s->rules;
	s->rules = NULL;
	f3_unlock(&s->lock);
	while (rules) {
		struct rule *next = rules->next;

		free(rules->key);
		free(rules);
		rules = next;
	}
}

void f3_object_fault_wait_held(struct f3_object_store *base, unsigned n)
{
	struct fault *s = (struct fault *)base;

	f3_lock(&s->lock);
	while (s->n_held < n)
		f3_cond_wait(&s->cond, &s->lock, 0);
	f3_unlock(&s->lock);
}

void f3_object_fault_release(struct f3_object_store *base)
{
	struct fault *s = (struct fault *)base;
	struct flight *held;

	f3_lock(&s->lock);
	held = s->held;
	s->held = NULL;
	s->n_held = 0;
	f3_unlock(&s->lock);
	while (held) {
		struct flight *next = held->next;

		if (held->begun) {
			finish(held);
		} else {
			/* it has been held: what follows is ordinary */
			held->plain = true;
			pass_on(held);
		}
		held = next;
	}
}

uint64_t f3_object_fault_count(struct f3_object_store *base, unsigned type)
{
	struct fault *s = (struct fault *)base;
	uint64_t n;

	f3_lock(&s->lock);
	n = s->count[type];
	f3_unlock(&s->lock);
	return n;
}

void f3_object_fault_set_ping(struct f3_object_store *base, int error)
{
	struct fault *s = (struct fault *)base;

	f3_lock(&s->lock);
	s->ping_error = error;
	f3_unlock(&s->lock);
}
