/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hintbench SOCKET REQUEST SECONDS: how fast a hint is answered, and how many are, by libf3hint.
 *
 * First one after the other, each timed; then with WINDOW of them pending. Prints one JSON object.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hints/f3hint.h"

#define SAMPLES_MAX 2000000u
#define WARM_UP 1000u
#define WINDOW 256u

static struct f3hint *h;
static const char *request;

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(int r)
{
	if (!r)
		return;
	fprintf(stderr, "hintbench: %s\n", f3hint_reason(h));
	exit(1);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void receive(void)
{
	uint64_t id;

	must(f3hint_receive(h, -1, &id, NULL));
}

int main(int argc, char **argv)
{
	double *took = calloc(SAMPLES_MAX, sizeof(*took)), seconds, begin, end;
	size_t n = 0, answered = 0;

	if (argc != 4 || !took || (h = f3hint_new(argv[1])) == NULL) {
		fprintf(stderr, "usage: hintbench SOCKET REQUEST SECONDS\n");
		return 2;
	}
	request = argv[2];
	seconds = strtod(argv[3], NULL);
	for (unsigned i = 0; i < WARM_UP; i++)
		must(f3hint_ask(h, request, NULL));
	end = now_s() + seconds;
	do {
		begin = now_s();
		must(f3hint_ask(h, request, NULL));
		took[n++] = now_s() - begin;
	} while (n < SAMPLES_MAX && begin < end);
	qsort(took, n, sizeof(*took), by_size);

	begin = now_s();
	end = begin + seconds;
	while (now_s() < end) {
		uint64_t id;

		if (f3hint_pending(h) == WINDOW) {
			receive();
			answered++;
		}
		must(f3hint_send(h, request, &id));
	}
	for (; f3hint_pending(h); answered++)
		receive();
	printf("{\"n\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"per_s\":%.0f}\n", n,
	       took[n / 2] * 1e6, took[n - n / 100 - 1] * 1e6, took[n - 1] * 1e6,
	       (double)answered / (now_s() - begin));
	f3hint_free(h);
	free(took);
	return 0;
}
