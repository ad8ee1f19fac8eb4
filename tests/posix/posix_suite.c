/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix_suite: what a directory's file system does, operation by operation,
 * against what POSIX and Linux say it must do. See posix.h for how cases run.
 *
 * Exit status: 0 all passed, 1 failures, 2 usage, 77 cannot run here.
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <fnmatch.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct pt_options pt_opt;

/* How long one case may take. */
static int deadline_ms = 60000;

static const struct pt_family *const families[] = {
#define PT_POINTER(fam) &pt_family_##fam,
	PT_FAMILIES(PT_POINTER)
#undef PT_POINTER
};

static void usage(FILE *out)
{
	fputs("usage: posix_suite [-v] [-l] [-k PATTERN] [--no-hardlinks] [--object]\n"
	      "                   [--native DIR] [--passthrough] [--timeout SECONDS]\n"
	      "                   [--slowest] DIR\n"
	      "  -v, --verbose     print every check\n"
	      "  -l, --list        list the cases and exit\n"
	      "  -k, --keyword P   only cases whose family/name matches the glob or contains P;\n"
	      "                    may be repeated\n"
	      "  --no-hardlinks    link(2) must answer EPERM\n"
	      "  --object          an object class: no links, no EXCHANGE, small xattrs,\n"
	      "                    special files optional, nothing huge\n"
	      "  --native DIR      a directory of the backing file system: an optional feature\n"
	      "                    may be missing only if it is missing there\n"
	      "  --passthrough     writers go past the file system: O_APPEND is decided at open\n"
	      "  --timeout N       kill a case that takes longer; 60 seconds\n"
	      "  --slowest         print the time of every case that took over 200 ms\n",
	      out);
}

static bool wanted(const char *name, char *const *patterns, size_t n)
{
	if (n == 0)
		return true;
	for (size_t i = 0; i < n; i++)
		if (strstr(name, patterns[i]) || fnmatch(patterns[i], name, 0) == 0)
			return true;
	return false;
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void run_child(const struct pt_case *c, const char *path)
{
	setpgid(0, 0);
	umask(0);
	signal(SIGPIPE, SIG_IGN);
	if (chdir(path)) {
		FAIL("chdir %s: %s", path, strerrorname_np(errno));
		_exit(1);
	}
	c->run();
	_exit(0);
}

/* Waits for the case, then ends whatever it left running. */
static void reap_case(pid_t pid)
{
	int pidfd = pidfd_open(pid, 0);
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	siginfo_t info = { 0 };
	int n;

	do {
		n = poll(&pfd, 1, deadline_ms);
	} while (n < 0 && errno == EINTR);
	if (n == 0) {
		FAIL("no end after %d ms; killed", deadline_ms);
		kill(-pid, SIGKILL);
		/* One stuck inside the file system cannot be waited for. */
		if (poll(&pfd, 1, 2000) == 0) {
			FAIL("cannot be killed: stuck in the file system");
			close(pidfd);
			return;
		}
	}
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	kill(-pid, SIGKILL);
	waitid(P_PID, pid, &info, WEXITED);
	close(pidfd);
	if (n != 0 && info.si_code != CLD_EXITED)
		FAIL("died of signal %d", info.si_status);
	else if (n != 0 && info.si_status != 0)
		FAIL("gave up with status %d", info.si_status);
}

static void run_case(const char *root, const struct pt_family *family, const struct pt_case *c)
{
	char path[PATH_MAX + 160];
	pid_t pid;
	int err;

	pt_case_begin(family->name, c->name);
	if ((c->flags & PT_LINKS) && !pt_has_links()) {
		SKIP("the class has no hard links");
		return;
	}
	if ((c->flags & PT_LOCAL) && pt_opt.object) {
		SKIP("not for an object class");
		return;
	}
	snprintf(path, sizeof(path), "%s/%s.%s", root, family->name, c->name);
	if (mkdir(path, 0755)) {
		FAIL("mkdir %s: %s", path, strerrorname_np(errno));
		return;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		run_child(c, path);
	if (pid < 0) {
		FAIL("fork: %s", strerrorname_np(errno));
		return;
	}
	setpgid(pid, pid);
	reap_case(pid);
	err = pt_remove_tree(AT_FDCWD, path);
	if (err)
		FAIL("removing what it left: %s", strerrorname_np(-err));
}

static int run_all(const char *dir, char *const *patterns, size_t n_patterns, bool slowest)
{
	unsigned long n_passed, n_failed, n_skipped;
	char root[PATH_MAX + 32], name[128];
	int err;

	snprintf(root, sizeof(root), "%s/posix.XXXXXX", dir);
	if (!mkdtemp(root) || chmod(root, 0755) || chdir(root)) {
		fprintf(stderr, "posix_suite: cannot make a directory in %s: %s\n", dir,
			strerror(errno));
		return 77;
	}
	pt_types_probe();
	if (chdir("/"))
		return 77;
	for (size_t f = 0; f < PT_ARRAY_SIZE(families); f++) {
		for (size_t i = 0; i < families[f]->n_cases; i++) {
			const struct pt_case *c = &families[f]->cases[i];
			long long start = now_ms();

			snprintf(name, sizeof(name), "%s/%s", families[f]->name, c->name);
			if (!wanted(name, patterns, n_patterns))
				continue;
			run_case(root, families[f], c);
			if (slowest && now_ms() - start > 200)
				printf("%6lld ms %s\n", now_ms() - start, name);
		}
	}
	pt_case_begin("posix_suite", "end");
	err = pt_remove_tree(AT_FDCWD, root);
	if (err)
		FAIL("removing %s: %s", root, strerrorname_np(-err));
	pt_counters_get(&n_passed, &n_failed, &n_skipped);
	if (n_passed + n_failed + n_skipped == 0) {
		fputs("posix_suite: no case matches\n", stderr);
		return 2;
	}
	printf("posix: %lu passed, %lu failed, %lu skipped\n", n_passed, n_failed, n_skipped);
	return n_failed ? 1 : 0;
}

static void list_all(char *const *patterns, size_t n_patterns)
{
	char name[128];

	for (size_t f = 0; f < PT_ARRAY_SIZE(families); f++) {
		for (size_t i = 0; i < families[f]->n_cases; i++) {
			snprintf(name, sizeof(name), "%s/%s", families[f]->name,
				 families[f]->cases[i].name);
			if (wanted(name, patterns, n_patterns))
				puts(name);
		}
	}
}

int main(int argc, char **argv)
{
	enum {
		OPT_NO_HARDLINKS = 256,
		OPT_OBJECT,
		OPT_NATIVE,
		OPT_TIMEOUT,
		OPT_SLOWEST,
		OPT_PASSTHROUGH
	};
	static const struct option options[] = {
		{ "verbose", no_argument, NULL, 'v' },
		{ "list", no_argument, NULL, 'l' },
		{ "keyword", required_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },
		{ "no-hardlinks", no_argument, NULL, OPT_NO_HARDLINKS },
		{ "object", no_argument, NULL, OPT_OBJECT },
		{ "native", required_argument, NULL, OPT_NATIVE },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "slowest", no_argument, NULL, OPT_SLOWEST },
		{ "passthrough", no_argument, NULL, OPT_PASSTHROUGH },
		{ NULL, 0, NULL, 0 },
	};
	static char dir[PATH_MAX], native[PATH_MAX];
	char *patterns[64];
	size_t n_patterns = 0;
	bool list = false, slowest = false;
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt_long(argc, argv, "vlk:h", options, NULL)) != -1) {
		switch (opt) {
		case 'v':
			pt_opt.verbose = true;
			break;
		case 'l':
			list = true;
			break;
		case 'k':
			if (n_patterns == PT_ARRAY_SIZE(patterns)) {
				fputs("posix_suite: too many patterns\n", stderr);
				return 2;
			}
			patterns[n_patterns++] = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case OPT_NO_HARDLINKS:
			pt_opt.no_hardlinks = true;
			break;
		case OPT_OBJECT:
			pt_opt.object = true;
			break;
		case OPT_NATIVE:
			if (!realpath(optarg, native)) {
				fprintf(stderr, "posix_suite: %s: %s\n", optarg, strerror(errno));
				return 2;
			}
			pt_opt.native = native;
			break;
		case OPT_TIMEOUT:
			deadline_ms = (int)strtol(optarg, NULL, 10) * 1000;
			if (deadline_ms <= 0) {
				fputs("posix_suite: a time-out is a number of seconds\n", stderr);
				return 2;
			}
			break;
		case OPT_SLOWEST:
			slowest = true;
			break;
		case OPT_PASSTHROUGH:
			pt_opt.passthrough = true;
			break;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (list) {
		list_all(patterns, n_patterns);
		return 0;
	}
	if (optind != argc - 1) {
		usage(stderr);
		return 2;
	}
	if (!realpath(argv[optind], dir)) {
		fprintf(stderr, "posix_suite: %s: %s\n", argv[optind], strerror(errno));
		return 2;
	}
	pt_opt.dir = dir;
	if (geteuid() != 0) {
		fputs("posix_suite: needs root: it becomes other users\n", stderr);
		return 77;
	}
	if (pt_counters_init()) {
		fputs("posix_suite: no shared memory\n", stderr);
		return 77;
	}
	umask(0);
	return run_all(dir, patterns, n_patterns, slowest);
}
