/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <stdio.h>

int f3ctl_config(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *answer = NULL;
	const char *text;
	int code;

	(void)argv;
	if (argc)
		return f3ctl_usage(ctl, "no arguments are wanted");
	code = f3ctl_ask(ctl, f3ctl_request("config"), NULL, NULL, &answer);
	if (code)
		return code;
	text = json_string_value(json_object_get(answer, "text"));
	if (ctl->json)
		f3ctl_print_json(json_object_get(answer, "config"));
	else if (text)
		fputs(text, stdout);
	json_decref(answer);
	return F3CTL_OK;
}
