/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invoker VOLUME PATH... : what an invoker does with hints, as small as can be.
 *
 * Before a function runs it asks what it would take to have its inputs here, and has them fetched. All
 * of it is advice: where there is no F3, or it is late, the function runs all the same.
 *
 *     cc -o invoker invoker.c $(pkg-config --cflags --libs f3hint)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <f3hint.h>

int main(int argc, char **argv)
{
	struct f3hint *h = f3hint_new(NULL);
	const char *answer;
	uint64_t id;
	int r;

	if (!h || argc < 3) {
		fprintf(stderr, "usage: invoker VOLUME PATH...\n");
		return 2;
	}
	/* No function waits longer than this for advice. */
	f3hint_set_timeout(h, 1000);

	r = f3hint_locate(h, argv[1], (const char *const *)argv + 2, (size_t)argc - 2, &answer);
	printf("where: %s\n", r ? f3hint_reason(h) : answer);
	r = f3hint_prefetch(h, argv[1], (const char *const *)argv + 2, (size_t)argc - 2, &answer);
	printf("fetched: %s\n", r ? f3hint_reason(h) : answer);

	/* Several at once, without waiting in between. */
	for (int i = 0; i < 3; i++)
		if (f3hint_send(h, "{\"op\":\"status\"}", &id))
			fprintf(stderr, "%s\n", f3hint_reason(h));
	while ((r = f3hint_receive(h, -1, &id, &answer)) != -ENOMSG && r != -ETIMEDOUT)
		printf("status %llu: %s\n", (unsigned long long)id, r ? f3hint_reason(h) : "ok");

	printf("the function runs now\n");
	f3hint_free(h);
	return 0;
}
