/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <stdio.h>
#include <string.h>

#define TEXT_BYTES_MAX (64u << 10)

static const char *counts(const json_t *change)
{
	const char *when = json_string_value(json_object_get(change, "counts"));

	if (when && !strcmp(when, "now"))
		return "now";
	if (when && !strcmp(when, "upgrade"))
		return "after f3ctl upgrade";
	return "when f3d is started again";
}

static void show(const json_t *changes)
{
	static const char *const headings[] = { "SECTION", "KEY", "WAS", "NOW", "COUNTS", NULL };
	static const char *const keys[] = { "key", "was", "now" };
	struct f3ctl_table t;
	struct f3_buf b;
	json_t *change;
	size_t i;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	f3ctl_table_init(&t, headings);
	json_array_foreach(changes, i, change)
	{
		f3ctl_text(change, "section", &b);
		if (!json_is_null(json_object_get(change, "name"))) {
			f3_buf_printf(&b, " ");
			f3ctl_text(change, "name", &b);
		}
		f3ctl_table_cell_buf(&t, &b);
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
			f3ctl_text(change, keys[k], &b);
			f3ctl_table_cell_buf(&t, &b);
		}
		f3ctl_table_cell(&t, counts(change));
	}
	if (t.n)
		f3ctl_table_print(&t, true);
	else
		printf("nothing has changed\n");
	f3ctl_table_done(&t);
	f3_buf_done(&b);
}

int f3ctl_reload(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *answer = NULL;
	int code;

	(void)argv;
	if (argc)
		return f3ctl_usage(ctl, "no arguments are wanted");
	code = f3ctl_ask(ctl, f3ctl_request("reload"), NULL, NULL, &answer);
	if (code)
		return code;
	if (ctl->json)
		f3ctl_print_json(answer);
	else
		show(json_object_get(answer, "changes"));
	json_decref(answer);
	return F3CTL_OK;
}
