/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile [-s SEED] [-n COUNT] [-t TARGET] [-f FIRST]: hostile bytes for what reads outside bytes.
 *
 * Every target runs in a process of its own, first its corpus and then COUNT mutated inputs. A crash,
 * or an input that takes longer than a minute, is noted with what repeats it, and the target goes on
 * with the next. The last line says how it was; the exit code is 1 after a finding.
 */
#include "config.h"

#include "tests/fuzz/hostile.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/log.h"

#define INPUT_SECONDS 60
#define LINE_MAX_BYTES (4 * HOSTILE_MAX)
#define FINDINGS_MAX 10u

/* Outlives the process of a target. */
struct progress {
	uint64_t next; /* input */
	uint64_t tried, refused, taken, wrong, crashes;
	char why[512];
};

static const struct hostile_target *const groups[] = { hostile_records, hostile_texts,
						       hostile_saved, hostile_stores,
						       hostile_databases };

static struct progress *progress;
static uint64_t seed = 1;

/* ---- Random --------------------------------------------------------------------------------- */

uint64_t hostile_random(struct hostile_rng *rng)
{
	uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t hostile_below(struct hostile_rng *rng, uint64_t n)
{
	return hostile_random(rng) % n;
}

static struct hostile_rng rng_of(const char *name, uint64_t number)
{
	struct hostile_rng rng = { seed };

	for (; *name; name++)
		rng.state = rng.state * 31 + (uint8_t)*name;
	rng.state ^= number << 32;
	(void)hostile_random(&rng);
	rng.state += number;
	return rng;
}

/* ---- Mutations ------------------------------------------------------------------------------ */

static const uint64_t odd_numbers[] = {
	0,          1,
	7,          0x7f,
	0x80,       0xff,
	0x7fff,     0x8000,
	0xffff,     0x7fffffff,
	0x80000000, 0xffffffff,
	INT64_MAX,  UINT64_C(1) << 63,
	UINT64_MAX, UINT64_MAX - 1,
	255,        256,
	1024,       1025,
	4096,       65537,
};

#define N_ODD (sizeof(odd_numbers) / sizeof(odd_numbers[0]))

static const char *const odd_words[] = {
	"..",   "/",  "//",       "/../", ".",       "\n",       "[f3]\n",  "=",
	"%s%n", "-1", "0x",       "\xff", "\\",      "\"",       "{",       "}",
	"[",    "]",  "null",     "1e99", "\\u0000", "\r\n",     "#",       ";",
	"*",    "**", "\xc0\x80", " ",    "user.",   "user.f3.", "system.", ".f3",
};

#define N_WORDS (sizeof(odd_words) / sizeof(odd_words[0]))

static size_t insert(uint8_t *bytes, size_t len, size_t at, const void *what, size_t n)
{
	if (len + n > HOSTILE_MAX)
		return len;
	memmove(bytes + at + n, bytes + at, len - at);
	memcpy(bytes + at, what, n);
	return len + n;
}

static size_t put_number(struct hostile_rng *rng, uint8_t *bytes, size_t len)
{
	unsigned width = 1u << hostile_below(rng, 4);
	uint64_t v = odd_numbers[hostile_below(rng, N_ODD)];
	bool little = hostile_below(rng, 2);
	size_t at;

	if (len < width)
		return len;
	at = hostile_below(rng, len - width + 1);
	for (unsigned i = 0; i < width; i++)
		bytes[at + i] = (uint8_t)(v >> 8 * (little ? i : width - 1 - i));
	return len;
}

static size_t mutate_once(struct hostile_rng *rng, uint8_t *bytes, size_t len)
{
	size_t at = hostile_below(rng, len + 1), n;
	const char *word;
	uint8_t byte;

	switch (hostile_below(rng, 10)) {
	case 0:
		return at; /* cut off */
	case 1:
		byte = (uint8_t)hostile_random(rng);
		return insert(bytes, len, at, &byte, 1);
	case 2:
		word = odd_words[hostile_below(rng, N_WORDS)];
		return insert(bytes, len, at, word, strlen(word));
	case 3: /* a piece is gone */
		n = hostile_below(rng, len - at + 1);
		memmove(bytes + at, bytes + at + n, len - at - n);
		return len - n;
	case 4: /* a piece comes twice */
		n = hostile_below(rng, len - at + 1);
		if (n > 256)
			n = 256;
		{
			uint8_t piece[256];

			memcpy(piece, bytes + at, n);
			return insert(bytes, len, hostile_below(rng, len + 1), piece, n);
		}
	case 5:
	case 6:
		return put_number(rng, bytes, len);
	case 7: /* nothing but garbage from here on */
		for (size_t i = at; i < len; i++)
			bytes[i] = (uint8_t)hostile_random(rng);
		return len;
	default:
		if (at < len)
			bytes[at] ^= (uint8_t)(1u << hostile_below(rng, 8));
		return len;
	}
}

static size_t mutate(struct hostile_rng *rng, uint8_t *bytes, size_t len)
{
	for (uint64_t n = 1 + hostile_below(rng, hostile_below(rng, 4) ? 2 : 8); n; n--)
		len = mutate_once(rng, bytes, len);
	return len;
}

/* ---- The corpus ------------------------------------------------------------------------------ */

struct sample {
	uint8_t *bytes;
	size_t len;
	bool good;
};

static struct sample samples[1024];
static size_t n_samples, n_good;

static size_t unhex(const char *hex, uint8_t *to)
{
	size_t n = 0;
	unsigned byte;

	if (!strcmp(hex, "-"))
		return 0;
	for (; n < HOSTILE_MAX && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		to[n++] = (uint8_t)byte;
	return n;
}

/* Lines of "OK" or the name of an error, the bytes in hexadecimal or as 'text, and why. */
static void read_corpus(const char *folder, const char *name)
{
	static char line[LINE_MAX_BYTES], word[32], hex[LINE_MAX_BYTES];
	const char *top = getenv("F3_SRCDIR");
	static uint8_t bytes[HOSTILE_MAX];
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s/%s.txt", top ? top : ".", folder,
		 name);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		struct sample *s = &samples[n_samples];

		if (line[0] == '#' || n_samples == sizeof(samples) / sizeof(samples[0]) ||
		    sscanf(line, "%31s %65535s", word, hex) != 2)
			continue;
		if (hex[0] == '\'') {
			char *text = strchr(line, '\'') + 1;

			s->len = strcspn(text, "'");
			memcpy(bytes, text, s->len);
		} else {
			s->len = unhex(hex, bytes);
		}
		s->good = !strcmp(word, "OK");
		s->bytes = malloc(s->len + 1);
		if (!s->bytes)
			abort();
		memcpy(s->bytes, bytes, s->len);
		n_good += s->good;
		n_samples++;
	}
	if (f)
		fclose(f);
}

/* ---- Inputs ---------------------------------------------------------------------------------- */

void hostile_why(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(progress->why, sizeof(progress->why), fmt, ap);
	va_end(ap);
}

static void show(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && i < 200; i++)
		printf("%02x", bytes[i]);
	printf("%s\n", len > 200 ? "..." : "");
}

static void finding(const struct hostile_target *t, uint64_t number, const char *what)
{
	printf("%s: %s: hostile -s %" PRIu64 " -t %s -f %" PRIu64 " -n 1\n", t->name, what, seed,
	       t->name, number);
}

/* On a heap block of just that size, so that a sanitizer sees one byte too many being read. */
static enum hostile_verdict give(const struct hostile_target *t, const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	enum hostile_verdict v;

	if (!exact)
		abort();
	memcpy(exact, bytes, len);
	progress->why[0] = '\0';
	alarm(INPUT_SECONDS);
	v = t->take(exact, len);
	alarm(0);
	free(exact);
	progress->tried++;
	if (v == HOSTILE_REFUSED)
		progress->refused++;
	else if (v == HOSTILE_TAKEN)
		progress->taken++;
	else
		progress->wrong++;
	return v;
}

static size_t make(const struct hostile_target *t, uint64_t number, uint8_t *out)
{
	struct hostile_rng rng = rng_of(t->name, number);
	size_t len = 0;

	if (t->good && (!n_good || hostile_below(&rng, 4))) {
		len = t->good(&rng, out);
	} else if (n_samples) {
		const struct sample *s = &samples[hostile_below(&rng, n_samples)];

		len = s->len;
		memcpy(out, s->bytes, len);
	}
	return mutate(&rng, out, len);
}

/* What it must refuse and what it must take, as they are. */
static void try_corpus(const struct hostile_target *t)
{
	for (size_t i = 0; i < n_samples; i++) {
		enum hostile_verdict v = give(t, samples[i].bytes, samples[i].len);

		if ((v == HOSTILE_TAKEN) == samples[i].good)
			continue;
		if (v == HOSTILE_TAKEN)
			progress->wrong++;
		printf("%s: line %zu of the corpus: %s: %s ", t->name, i + 1,
		       v == HOSTILE_REFUSED ? "refused" : "taken", progress->why);
		show(samples[i].bytes, samples[i].len);
		if (samples[i].good)
			progress->crashes++; /* as bad */
	}
}

static void try_mutations(const struct hostile_target *t, uint64_t until)
{
	static uint8_t bytes[HOSTILE_MAX];

	while (progress->next < until) {
		uint64_t number = progress->next++;
		size_t len = make(t, number, bytes);

		if (give(t, bytes, len) != HOSTILE_WRONG)
			continue;
		finding(t, number, progress->why);
		show(bytes, len);
		if (progress->wrong >= FINDINGS_MAX)
			break;
	}
}

/* What a child works on. */
static const struct hostile_target *target;
static uint64_t target_until;
static bool with_corpus;

START_TEST(whole_target)
{
	struct f3_err err = F3_ERR_INIT;

	if (target->begin)
		target->begin();
	/* Readers say much about what they refuse. */
	(void)f3_log_open("/dev/null", false, F3_LOG_ERROR, &err);
	if (with_corpus)
		try_corpus(target);
	try_mutations(target, target_until);
	if (target->end)
		target->end();
}
END_TEST

/* As a check, for what begin() borrows from checks. */
static void child(const struct hostile_target *t, uint64_t until, bool corpus)
{
	Suite *suite = suite_create(t->name);
	TCase *tc = tcase_create(t->name);
	SRunner *runner = srunner_create(suite);
	int failed;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	target = t;
	target_until = until;
	with_corpus = corpus;
	tcase_add_test(tc, whole_target);
	suite_add_tcase(suite, tc);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	if (failed)
		srunner_print(runner, CK_NORMAL);
	srunner_free(runner);
	fflush(stdout);
	exit(failed);
}

static void run(const struct hostile_target *t, uint64_t first, uint64_t count)
{
	uint64_t until = first + (count > t->every ? count / t->every : 1);
	bool corpus = count != 1;

	n_samples = n_good = 0;
	if (!strncmp(t->name, "record-", 7))
		read_corpus("record", t->name + 7);
	read_corpus("hostile", t->name);
	if (!t->good && !n_samples) {
		printf("%s: there is no corpus: is F3_SRCDIR set?\n", t->name);
		progress->crashes++;
		return;
	}
	progress->next = first;
	do {
		int status;
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (!pid)
			child(t, until, corpus);
		if (pid < 0 || waitpid(pid, &status, 0) != pid) {
			perror("hostile");
			exit(2);
		}
		corpus = false;
		if (!status)
			break;
		progress->crashes++;
		finding(t, progress->next ? progress->next - 1 : 0,
			WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) :
					      "the process ended with an error");
	} while (progress->next < until && progress->crashes < FINDINGS_MAX);
	for (size_t i = 0; i < n_samples; i++)
		free(samples[i].bytes);
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	uint64_t count = 1000, first = 0;
	int c;

	/* What the supervisor executes as another f3d. */
	if (argc > 1 && !strcmp(argv[1], "--worker"))
		return 3;
	while ((c = getopt(argc, argv, "s:n:t:f:")) > 0) {
		if (c == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (c == 'n')
			count = strtoull(optarg, NULL, 10);
		else if (c == 't')
			only = optarg;
		else if (c == 'f')
			first = strtoull(optarg, NULL, 10);
		else
			return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (progress == MAP_FAILED) {
		perror("hostile");
		return 2;
	}
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		for (const struct hostile_target *t = groups[g]; t->name; t++) {
			uint64_t before = progress->tried, refused = progress->refused;

			if (only && strcmp(only, t->name) != 0)
				continue;
			run(t, first, count);
			printf("%-20s %8" PRIu64 " tried, %8" PRIu64 " refused\n", t->name,
			       progress->tried - before, progress->refused - refused);
		}
	}
	printf("seed %" PRIu64 ": %" PRIu64 " inputs tried, %" PRIu64 " refused, %" PRIu64
	       " sound, %" PRIu64 " accepted wrongly, %" PRIu64 " crashes\n",
	       seed, progress->tried, progress->refused, progress->taken, progress->wrong,
	       progress->crashes);
	return !progress->tried || progress->wrong || progress->crashes;
}
