/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/store_op.h"

#include <errno.h>
#include <stdio.h>

#include "fs/base/clock.h"
#include "fs/base/metric.h"
#include "fs/core/leftover.h"

enum outcome { OK, ABSENT, CONDITION, AMBIGUOUS, FAILED, OUTCOMES };

static const char *const outcome_names[OUTCOMES] = { "ok", "absent", "condition", "ambiguous",
						     "error" };

static char labels[F3_OBJ_TYPES][OUTCOMES][64], op_labels[F3_OBJ_TYPES][48];
static struct f3_counter requests[F3_OBJ_TYPES][OUTCOMES];
static struct f3_histogram seconds[F3_OBJ_TYPES];

void f3_store_op_register_metrics(void)
{
	for (unsigned t = 0; t < F3_OBJ_TYPES; t++) {
		const char *name = f3_obj_type_name((enum f3_obj_type)t);

		for (unsigned o = 0; o < OUTCOMES; o++) {
			snprintf(labels[t][o], sizeof(labels[t][o]), "op=\"%s\",result=\"%s\"",
				 name, outcome_names[o]);
			requests[t][o].name = "f3_object_requests_total";
			requests[t][o].labels = labels[t][o];
			requests[t][o].help = "Requests to object stores.";
			f3_counter_register(&requests[t][o]);
		}
		snprintf(op_labels[t], sizeof(op_labels[t]), "op=\"%s\"", name);
		seconds[t].name = "f3_object_request_seconds";
		seconds[t].labels = op_labels[t];
		seconds[t].help = "Time from a request to an object store to its answer.";
		f3_histogram_register(&seconds[t]);
	}
}

void f3_store_counted(const struct f3_obj_op *op, uint64_t start_mono_ns)
{
	enum outcome o = FAILED;

	switch (op->result) {
	case 0:
		o = OK;
		break;
	case -ENOENT:
		o = ABSENT;
		break;
	case -EEXIST:
	case -ESTALE:
		o = CONDITION;
		break;
	case F3_OBJ_AMBIGUOUS:
		o = AMBIGUOUS;
		break;
	}
	f3_count(&requests[op->type][o], 1);
	f3_observe(&seconds[op->type], f3_clock_mono_ns() - start_mono_ns);
}

void f3_store_submit(struct f3_volume *v, struct f3_obj_op *op)
{
	if (v->store) {
		f3_object_submit(v->store, op);
		return;
	}
	op->result = -EIO;
	snprintf(op->message, sizeof(op->message), "the store could not be reached at start");
	op->done(op);
}

int f3_store_run(struct f3_volume *v, struct f3_obj_op *op)
{
	uint64_t start = f3_clock_mono_ns(), seq;

	if (!v->store)
		return op->result = -EIO;
	(void)f3_object_run(v->store, op);
	if (op->result == F3_OBJ_IN_PARTS && !f3_leftover_copies(v, op, &seq)) {
		(void)f3_object_run(v->store, op);
		f3_leftover_copied(v, op, seq);
	}
	f3_store_counted(op, start);
	return op->result;
}

int f3_store_head(struct f3_volume *v, struct f3_obj_op *op, const char *key, enum f3_obj_want want)
{
	f3_object_op_init(op, F3_OBJ_HEAD);
	op->key = key;
	op->want = want;
	return f3_store_run(v, op);
}

bool f3_store_transient(int result)
{
	switch (result) {
	case F3_OBJ_AMBIGUOUS:
	case -EIO:
	case -EAGAIN:
	case -EBUSY:
	case -EINTR:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -ETIMEDOUT:
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -ECONNABORTED:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -ENOTCONN:
	case -EPIPE:
		return true;
	default:
		return false;
	}
}

int f3_store_errno(int result)
{
	switch (result) {
	case 0:
	case -ENOSPC:
	case -EDQUOT:
	case -EROFS:
	case -EFBIG:
	case -EACCES:
	case -EPERM:
	case -EBUSY:
	case -ENOMEM:
	case -ENOTEMPTY:
	case -EEXIST:
	case -ENOTDIR:
	case -EISDIR:
	case -ENAMETOOLONG:
	case -EXDEV:
	case -EINVAL:
	case -EOPNOTSUPP:
		return result;
	default:
		return -EIO;
	}
}
