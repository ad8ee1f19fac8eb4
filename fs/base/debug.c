/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/debug.h"

#include <errno.h>
#include <stdlib.h>

#ifdef F3_DEBUG_POINTS

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum action {
	ACTION_NONE,
	ACTION_STOP,
	ACTION_EXIT,
	ACTION_GATE,
	ACTION_FAULT,
	ACTION_HOLD,
};

struct place {
	enum action action; /* ACTION_NONE: free */
	bool fault; /* f3_fault looks for it, else f3_debug_point */
	char name[64];
	char file[256];
	int error; /* negative */
	unsigned long from; /* first time that counts, from 1 */
	unsigned long count; /* how often, 0: without end */
	unsigned percent; /* of the times */
	unsigned long seen; /* times reached */
	unsigned long happened; /* times acted */
};

_Atomic int f3_debug_armed;

/* Places are reached under any lock: this one is innermost and outside of the lock order. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct place places[F3_DEBUG_MAX_ARMED];
static unsigned seed = 1; /* a failing test fails again */

static struct place *find(const char *name, bool fault)
{
	for (size_t i = 0; i < F3_DEBUG_MAX_ARMED; i++) {
		struct place *p = &places[i];

		if (p->action != ACTION_NONE && p->fault == fault && strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

/* 0 if there is no such error. */
static int parse_errno(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end != text)
		return *end || n > 4095 ? 0 : (int)n;
	for (int e = 1; e < 4096; e++) {
		const char *name = strerrorname_np(e);

		if (name && strcmp(name, text) == 0)
			return e;
	}
	return 0;
}

/* Cuts "<mark><number>" off the end of text. false if what follows the mark is no such number. */
static bool cut_number(char *text, char mark, unsigned long max, unsigned long *ret_n)
{
	char *at = strrchr(text, mark), *end;
	unsigned long n;

	if (!at)
		return true;
	n = strtoul(at + 1, &end, 10);
	if (at[1] < '0' || at[1] > '9' || *end || !n || n > max)
		return false;
	*at = '\0';
	*ret_n = n;
	return true;
}

/* "<word><file>" */
static bool parse_file(const char *text, const char *word, struct place *p)
{
	size_t len = strlen(word);

	if (strncmp(text, word, len) != 0 || !text[len] || strlen(text + len) >= sizeof(p->file))
		return false;
	memcpy(p->file, text + len, strlen(text + len) + 1);
	return true;
}

static bool parse_point(char *text, struct place *p)
{
	if (!cut_number(text, '@', ULONG_MAX, &p->from))
		return false;
	if (strcmp(text, "exit") == 0) {
		p->action = ACTION_EXIT;
		return true;
	}
	p->action = text[0] == 's' ? ACTION_STOP : ACTION_GATE;
	return parse_file(text, text[0] == 's' ? "stop:" : "gate:", p);
}

static bool parse_fault(char *text, struct place *p)
{
	unsigned long percent = 100;

	if (strncmp(text, "hold:", 5) == 0) {
		p->action = ACTION_HOLD;
		return parse_file(text, "hold:", p);
	}
	if (!cut_number(text, '%', 100, &percent) || !cut_number(text, 'x', ULONG_MAX, &p->count) ||
	    !cut_number(text, '@', ULONG_MAX, &p->from))
		return false;
	p->percent = (unsigned)percent;
	p->error = -parse_errno(text);
	p->action = ACTION_FAULT;
	return p->error != 0;
}

static int arm(const char *name, const char *action, bool fault)
{
	struct place p = { .fault = fault, .from = 1, .percent = 100 }, *slot;
	char text[sizeof(p.file) + 64];
	int error = 0;

	if (strlen(name) >= sizeof(p.name) || !*name)
		return -EINVAL;
	memcpy(p.name, name, strlen(name) + 1);
	if (action) {
		if (strlen(action) >= sizeof(text))
			return -EINVAL;
		memcpy(text, action, strlen(action) + 1);
		if (!(fault ? parse_fault(text, &p) : parse_point(text, &p)))
			return -EINVAL;
	}

	pthread_mutex_lock(&mutex);
	slot = find(name, fault);
	if (slot) {
		slot->action = ACTION_NONE;
		f3_debug_armed--;
	}
	for (size_t i = 0; action && !slot && i < F3_DEBUG_MAX_ARMED; i++)
		if (places[i].action == ACTION_NONE)
			slot = &places[i];
	if (action && slot) {
		*slot = p;
		f3_debug_armed++;
	} else if (action) {
		error = -ENOSPC;
	}
	pthread_mutex_unlock(&mutex);
	return error;
}

int f3_debug_point_arm(const char *name, const char *action)
{
	return arm(name, action, false);
}

int f3_fault_arm(const char *name, const char *action)
{
	return arm(name, action, true);
}

/* Counts a visit; copies the place if it is to act. */
static bool visit(const char *name, bool fault, struct place *ret_p)
{
	struct place *p;
	bool act = false;

	pthread_mutex_lock(&mutex);
	p = find(name, fault);
	if (p) {
		p->seen++;
		act = p->seen >= p->from && (!p->count || p->happened < p->count) &&
		      (unsigned)rand_r(&seed) % 100 < p->percent;
		if (act) {
			p->happened++;
			*ret_p = *p;
		}
	}
	pthread_mutex_unlock(&mutex);
	return act;
}

void f3_debug_point_reached(const char *name)
{
	struct place p;
	int fd;

	if (!visit(name, false, &p))
		return;
	if (p.action == ACTION_EXIT)
		_exit(137);
	if (p.action == ACTION_GATE) {
		fd = open(p.file, O_RDONLY | O_CLOEXEC); /* waits for a writer */
		if (fd >= 0)
			close(fd);
		return;
	}
	fd = open(p.file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0) {
		dprintf(fd, "%s %d %d\n", name, (int)getpid(), (int)gettid());
		close(fd);
	}
	for (;;)
		pause();
}

bool f3_fault_reached(const char *name, int *ret_error)
{
	struct place p;

	if (!visit(name, true, &p))
		return false;
	if (p.action == ACTION_HOLD) {
		/* An error leaves the call as quick as it was, which the test sees. */
		int fd = open(p.file, O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			close(fd);
		return false;
	}
	*ret_error = p.error;
	return true;
}

unsigned long f3_fault_happened(const char *name)
{
	struct place *p;
	unsigned long n;

	pthread_mutex_lock(&mutex);
	p = find(name, true);
	n = p ? p->happened : 0;
	pthread_mutex_unlock(&mutex);
	return n;
}

static int arm_list(const char *variable, int (*arm_one)(const char *, const char *),
		    struct f3_err *err)
{
	const char *value = getenv(variable);
	char *list, *rest, *item;
	int error = 0;

	if (!value || !*value)
		return 0;
	list = rest = strdup(value);
	if (!list)
		return f3_err_set(err, -ENOMEM, "out of memory");
	while (!error && (item = strsep(&rest, ";")) != NULL) {
		char *action = strchr(item, '=');

		if (!*item)
			continue;
		if (action)
			*action++ = '\0';
		error = action ? arm_one(item, action) : -EINVAL;
		if (error)
			f3_err_set(err, error, "%s: \"%s=%s\" cannot be armed (%s)", variable, item,
				   action ? action : "", f3_errno_name(error));
	}
	free(list);
	return error;
}

int f3_debug_init(struct f3_err *err)
{
	int error = arm_list("F3_DEBUG_POINTS", f3_debug_point_arm, err);

	return error ? error : arm_list("F3_DEBUG_FAULTS", f3_fault_arm, err);
}

#else

int f3_debug_init(struct f3_err *err)
{
	const char *points = getenv("F3_DEBUG_POINTS"), *faults = getenv("F3_DEBUG_FAULTS");

	if ((!points || !*points) && (!faults || !*faults))
		return 0;
	return f3_err_set(err, -EOPNOTSUPP,
			  "F3_DEBUG_POINTS or F3_DEBUG_FAULTS is set, but this build has no such "
			  "points (configure --enable-debug)");
}

int f3_debug_point_arm(const char *name, const char *action)
{
	(void)name;
	(void)action;
	return -EOPNOTSUPP;
}

int f3_fault_arm(const char *name, const char *action)
{
	(void)name;
	(void)action;
	return -EOPNOTSUPP;
}

unsigned long f3_fault_happened(const char *name)
{
	(void)name;
	return 0;
}

#endif
