/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/posix/posix.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct counters {
	atomic_ulong passed;
	atomic_ulong failed;
	atomic_ulong skipped;
};

static struct counters *counters;
static char case_name[128];
static char row[160];

int pt_counters_init(void)
{
	counters = mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	return counters == MAP_FAILED ? -errno : 0;
}

void pt_counters_get(unsigned long *ret_passed, unsigned long *ret_failed,
		     unsigned long *ret_skipped)
{
	*ret_passed = atomic_load(&counters->passed);
	*ret_failed = atomic_load(&counters->failed);
	*ret_skipped = atomic_load(&counters->skipped);
}

void pt_case_begin(const char *family, const char *name)
{
	snprintf(case_name, sizeof(case_name), "%s/%s", family, name);
	row[0] = '\0';
}

void pt_row(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(row, sizeof(row), fmt, ap);
	va_end(ap);
}

/* One write per line: children share the descriptor. */
static void say(const char *file, int line, const char *what, const char *text)
{
	const char *base = strrchr(file, '/');

	base = base ? base + 1 : file;
	if (row[0])
		dprintf(STDOUT_FILENO, "%s:%d: %s [%s]: %s%s\n", base, line, case_name, row, what,
			text);
	else
		dprintf(STDOUT_FILENO, "%s:%d: %s: %s%s\n", base, line, case_name, what, text);
}

static void passed(const char *file, int line, const char *expr)
{
	atomic_fetch_add(&counters->passed, 1);
	if (pt_opt.verbose)
		say(file, line, "ok: ", expr);
}

static void failed(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void failed(const char *file, int line, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	atomic_fetch_add(&counters->failed, 1);
	say(file, line, "FAILED: ", text);
}

static const char *errno_name(int err)
{
	const char *name = err ? strerrorname_np(err) : "0";

	return name ? name : "unknown errno";
}

long pt_ok_at(const char *file, int line, const char *expr, long got)
{
	int err = errno;

	if (got != -1)
		passed(file, line, expr);
	else
		failed(file, line, "%s: got -1 %s, expected success", expr, errno_name(err));
	errno = err;
	return got;
}

bool pt_err_at(const char *file, int line, const char *expr, int want, int want2, long got)
{
	int err = errno;
	bool ok = got == -1 && (err == want || (want2 && err == want2));

	if (ok)
		passed(file, line, expr);
	else if (got != -1)
		failed(file, line, "%s: got %ld, expected -1 %s%s%s", expr, got, errno_name(want),
		       want2 ? " or " : "", want2 ? errno_name(want2) : "");
	else
		failed(file, line, "%s: got -1 %s, expected -1 %s%s%s", expr, errno_name(err),
		       errno_name(want), want2 ? " or " : "", want2 ? errno_name(want2) : "");
	return ok;
}

bool pt_true_at(const char *file, int line, const char *expr, bool got)
{
	if (got)
		passed(file, line, expr);
	else
		failed(file, line, "%s: got false, expected true", expr);
	return got;
}

bool pt_eq_at(const char *file, int line, const char *expr, long long got, long long want)
{
	if (got == want)
		passed(file, line, expr);
	else
		failed(file, line, "%s: got %lld, expected %lld", expr, got, want);
	return got == want;
}

bool pt_mode_at(const char *file, int line, const char *expr, unsigned int got, unsigned int want)
{
	if (got == want)
		passed(file, line, expr);
	else
		failed(file, line, "%s: got %04o, expected %04o", expr, got, want);
	return got == want;
}

bool pt_str_at(const char *file, int line, const char *expr, const char *got, const char *want)
{
	bool ok = strcmp(got, want) == 0;

	if (ok)
		passed(file, line, expr);
	else
		failed(file, line, "%s: got \"%.200s\", expected \"%.200s\"", expr, got, want);
	return ok;
}

bool pt_mem_at(const char *file, int line, const char *expr, const void *got, const void *want,
	       size_t len)
{
	const unsigned char *a = got;
	const unsigned char *b = want;
	size_t i = 0;

	if (memcmp(a, b, len) == 0) {
		passed(file, line, expr);
		return true;
	}
	while (a[i] == b[i])
		i++;
	failed(file, line, "%s: byte %zu of %zu: got %02x, expected %02x", expr, i, len, a[i],
	       b[i]);
	return false;
}

bool pt_time_at(const char *file, int line, const char *expr, struct timespec got, int want,
		struct timespec ref)
{
	bool ok = pt_time_cmp(got, ref) == want;

	if (ok)
		passed(file, line, expr);
	else
		failed(file, line, "%s: got %lld.%09ld, reference %lld.%09ld", expr,
		       (long long)got.tv_sec, got.tv_nsec, (long long)ref.tv_sec, ref.tv_nsec);
	return ok;
}

void pt_skip_at(const char *file, int line, const char *why)
{
	atomic_fetch_add(&counters->skipped, 1);
	say(file, line, "skipped: ", why);
}

void pt_fail_at(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	failed(file, line, "%s", text);
}
