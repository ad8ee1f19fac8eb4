/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/conf.h"

static int delete_;

const struct poptOption f3ctl_gc_options[] = {
	{ "delete", '\0', POPT_ARG_NONE, &delete_, 0, "delete them, too", NULL },
	POPT_TABLEEND,
};

struct report {
	struct f3ctl *ctl;
	struct f3ctl_progress progress;
};

static int take_line(void *arg, const char *key, json_t *value)
{
	const char *what = json_string_value(json_object_get(value, "what"));
	struct report *r = arg;
	struct f3_buf b;

	if (!strcmp(key, "progress")) {
		f3ctl_progress_show(&r->progress, value);
		return 0;
	}
	f3ctl_progress_clear(&r->progress);
	if (r->ctl->json) {
		json_t *line = json_pack("{sO}", "item", value);

		f3ctl_print_json(line);
		json_decref(line);
		return 0;
	}
	f3_buf_init(&b, 65536);
	f3ctl_text(value, "volume", &b);
	f3_buf_printf(&b, ": %s ", what ? what : "?");
	if (json_object_get(value, "ino"))
		f3_buf_printf(&b, "%016" PRIx64 ".%08" PRIx64, f3ctl_u64(value, "ino"),
			      f3ctl_u64(value, "number"));
	else
		f3ctl_text(value, json_object_get(value, "key") ? "key" : "file", &b);
	if (json_is_true(json_object_get(value, "deleted")))
		f3_buf_printf(&b, " deleted");
	printf("%.*s\n", (int)b.len, (const char *)b.data);
	f3_buf_done(&b);
	return 0;
}

int f3ctl_gc(struct f3ctl *ctl, int argc, const char *const *argv)
{
	struct report r = { .ctl = ctl };
	json_t *request, *answer = NULL;
	char bytes[32];
	int code;

	(void)argv;
	if (argc)
		return f3ctl_usage(ctl, "no arguments are wanted");
	request = f3ctl_request("gc");
	if (delete_)
		json_object_set_new(request, "delete", json_true());
	f3ctl_progress_init(&r.progress, ctl);
	if (r.progress.on)
		json_object_set_new(request, "progress", json_true());
	code = f3ctl_ask(ctl, request, take_line, &r, &answer);
	f3ctl_progress_clear(&r.progress);
	if (code)
		return code;
	if (ctl->json) {
		f3ctl_print_json(answer);
	} else {
		f3_format_bytes(f3ctl_u64(answer, "bytes"), bytes, sizeof(bytes));
		printf("%" PRIu64 " backing files (%s) and %" PRIu64 " uploads of nobody, %" PRIu64
		       " deleted; %" PRIu64 " files that are not F3's\n",
		       f3ctl_u64(answer, "files"), bytes, f3ctl_u64(answer, "uploads"),
		       f3ctl_u64(answer, "deleted"), f3ctl_u64(answer, "strangers"));
	}
	json_decref(answer);
	return F3CTL_OK;
}
