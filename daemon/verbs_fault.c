/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_fault: tests make calls of a running daemon fail. Builds with --enable-debug only.
 */
#include "config.h"

#include <errno.h>

#include "daemon/verb.h"
#include "fs/base/debug.h"

#ifdef F3_DEBUG_POINTS

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

static int fault_count(struct f3_verb *v)
{
	const char *name;
	int r = f3_verb_text(v, "name", &name);

	return r ? r : happened(v, name);
}

#endif

const struct f3_verb_entry f3_verbs_fault[] = {
#ifdef F3_DEBUG_POINTS
	{ "fault", fault },
	{ "fault-count", fault_count },
#endif
	{ NULL, NULL },
};
