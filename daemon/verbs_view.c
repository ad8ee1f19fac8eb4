/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_view: view-bind, view-unbind, view-list.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "daemon/verb.h"

/* An admin needs no namespace; one that is named has to be allowed. */
static int bind_(struct f3_verb *v)
{
	return f3_view_op_bind(v->views, false, v->request, v->answer, &v->err);
}

static int unbind(struct f3_verb *v)
{
	return f3_view_op_unbind(v->views, v->request, v->answer, &v->err);
}

static int list(struct f3_verb *v)
{
	const char *dir = f3_views_dir(v->views);
	json_t *views = f3_views_list(v->views);

	if (!views)
		return f3_err_set(&v->err, -ENOMEM, "out of memory");
	json_object_set_new(v->answer, "views", views);
	return f3_wire_set_name(v->answer, "directory", dir, strlen(dir));
}

const struct f3_verb_entry f3_verbs_view[] = {
	{ "view-bind", bind_ },
	{ "view-unbind", unbind },
	{ "view-list", list },
	{ NULL, NULL },
};
