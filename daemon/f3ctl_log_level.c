/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"
#include "fs/base/log.h"

#include <stdio.h>

int f3ctl_log_level(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *request, *answer = NULL;
	enum f3_log_level level;
	const char *now;
	int code;

	if (argc > 1)
		return f3ctl_usage(ctl, "one level is wanted");
	if (argc && f3_log_level_parse(argv[0], &level))
		return f3ctl_usage(ctl, "\"%s\" is no level: error, warn, info or debug", argv[0]);
	request = f3ctl_request("log-level");
	if (argc)
		json_object_set_new(request, "level", json_string(argv[0]));
	code = f3ctl_ask(ctl, request, NULL, NULL, &answer);
	if (code)
		return code;
	now = json_string_value(json_object_get(answer, "level"));
	if (ctl->json)
		f3ctl_print_json(answer);
	else if (!argc && now)
		printf("%s\n", now);
	json_decref(answer);
	return F3CTL_OK;
}
