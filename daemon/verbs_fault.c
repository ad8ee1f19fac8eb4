/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_fault: tests make calls of a running daemon fail, or hold files as activations do. Builds with
 * --enable-debug only.
 */
#include "config.h"

#include <errno.h>

#include "daemon/verb.h"
#include "fs/base/debug.h"
#include "fs/core/hold.h"

#ifdef F3_DEBUG_POINTS

#define PATH_BYTES_MAX 65536u

static int happened(struct f3_verb *v, const char *name)
{
	json_int_t n = (json_int_t)f3_fault_happened(name);

	return json_object_set_new(v->answer, "happened", json_integer(n)) ? -ENOMEM : 0;
}

/* {"op":"fault","name":PLACE,"action":ACTION}: as F3_DEBUG_FAULTS does; without an action it is
 * disarmed. The answer says how often what was armed there before has happened. */
static int fault(struct f3_verb *v)
{
	const char *name, *action = NULL;
	int r = f3_verb_text(v, "name", &name);

	if (!r && json_object_get(v->request, "action"))
		r = f3_verb_text(v, "action", &action);
	if (!r)
		r = happened(v, name);
	if (r)
		return r;
	r = f3_fault_arm(name, action);
	return r ? f3_err_set(&v->err, r, "\"%.60s=%.60s\" cannot be armed", name,
			      action ? action : "") :
		   0;
}

/* {"op":"point","name":PLACE,"action":ACTION}: as F3_DEBUG_POINTS does, of this daemon only and not of those
 * that follow it. */
static int point(struct f3_verb *v)
{
	const char *name, *action = NULL;
	int r = f3_verb_text(v, "name", &name);

	if (!r && json_object_get(v->request, "action"))
		r = f3_verb_text(v, "action", &action);
	if (!r)
		r = f3_debug_point_arm(name, action);
	return r ? f3_err_set(&v->err, r, "\"%.60s=%.60s\" cannot be armed", name,
			      action ? action : "") :
		   0;
}

static int fault_count(struct f3_verb *v)
{
	const char *name;
	int r = f3_verb_text(v, "name", &name);

	return r ? r : happened(v, name);
}

static int number(struct f3_verb *v, const char *key, uint64_t *ret_n)
{
	const json_t *n = json_object_get(v->request, key);

	if (!json_is_integer(n))
		return f3_err_set(&v->err, -EINVAL, "%s: a number is wanted", key);
	*ret_n = (uint64_t)json_integer_value(n);
	return 0;
}

/* {"op":"hold","volume":V,"path":P,"holder":N} */
static int hold(struct f3_verb *v)
{
	struct f3_buf path;
	struct f3_inode *inode;
	uint64_t holder = 0, ino;
	int r = number(v, "holder", &holder);

	f3_buf_init(&path, PATH_BYTES_MAX);
	if (!r)
		r = f3_verb_place(v, &path, &ino);
	if (!r)
		r = f3_inode_get(v->core, ino, &inode);
	if (!r) {
		r = f3_hold_add(v->core, inode, holder);
		f3_inode_put(v->core, inode);
	}
	f3_buf_done(&path);
	return r;
}

/* {"op":"hold-end","holder":N,"torn":true} */
static int hold_end(struct f3_verb *v)
{
	uint64_t holder = 0;
	int r = number(v, "holder", &holder);

	if (!r)
		f3_hold_end(v->core, holder, f3_verb_flag(v, "torn"));
	return r;
}

#endif

const struct f3_verb_entry f3_verbs_fault[] = {
#ifdef F3_DEBUG_POINTS
	{ "fault", fault }, { "fault-count", fault_count },
	{ "hold", hold },   { "hold-end", hold_end },
	{ "point", point },
#endif
	{ NULL, NULL },
};
