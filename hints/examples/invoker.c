/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invoker VOLUME PATH... : what an invoker does with hints, as small as can be.
 *
 * Before a function runs it asks what it would take to have its inputs here, and has them fetched. All
 * of it is advice: where there is no F3, or it is late, the function runs all the same. With
 * CONTAINER_PID, a process of the function's container, in the environment the run is an activation.
 *
 *     cc -o invoker invoker.c $(pkg-config --cflags --libs f3hint)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <f3hint.h>

/* The function in its container: what it makes below /out goes to the object store, what it makes below
 * /tmp never does. This is no advice: where begin is refused, it must not run. */
static int run(struct f3hint *h, const char *volume, const char *container_pid)
{
	char request[1024], id[64];
	int ok, r;

	snprintf(id, sizeof(id), "example-%ld", (long)getpid());
	snprintf(request, sizeof(request),
		 "{\"op\":\"begin\",\"activation\":\"%s\",\"namespace\":\"guest\","
		 "\"action\":\"/guest/example\",\"volume\":\"%s\",\"container\":{\"pid\":%s},"
		 "\"outputs\":[{\"path\":\"/out/**\",\"class\":\"durable\"},"
		 "{\"path\":\"/tmp/**\",\"class\":\"ephemeral\"}]}",
		 id, volume, container_pid);
	r = f3hint_ask(h, request, NULL);
	printf("begin: %s\n", r ? f3hint_reason(h) : "ok");
	if (r)
		return 1;

	ok = 1; /* whatever the platform does to have it run goes here */

	snprintf(request, sizeof(request), "{\"op\":\"end\",\"activation\":\"%s\",\"ok\":%s}", id,
		 ok ? "true" : "false");
	r = f3hint_ask(h, request, NULL);
	printf("end: %s\n", r ? f3hint_reason(h) : "ok");
	return r != 0;
}

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
	r = getenv("CONTAINER_PID") ? run(h, argv[1], getenv("CONTAINER_PID")) : 0;
	f3hint_free(h);
	return r;
}
