/* SPDX-License-Identifier: Apache-2.0 */
/*
 * other_f3d: an f3d that cannot take over, for tests of f3ctl upgrade.
 *
 * Executed by the supervisor of an f3d as the new program, it changes what it was given and becomes
 * the real f3d (in the PATH), which has to notice. What it changes is the last part of its own
 * file's name:
 *
 *     protocol   the supervisor speaks another version
 *     database   the database has another format
 *     keep       the saved state has another format
 *     slow       nothing: it never says a word
 *     dies       the real one ends as soon as the mount is its own (needs --enable-debug)
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBERS 10
enum { PROTOCOL = 0, KEEP = 4, FORMAT = 9 };
#define KEEP_FORMAT_AT 8 /* behind its magic */

/* A keep of the same size and seals, but for its head. */
static int other_keep(int fd)
{
	int copy = memfd_create("other-keep", MFD_ALLOW_SEALING);
	char head[4096];
	struct stat st;

	if (copy < 0 || fstat(fd, &st) || pread(fd, head, sizeof(head), 0) != sizeof(head))
		return -1;
	head[KEEP_FORMAT_AT]++;
	if (pwrite(copy, head, sizeof(head), 0) != sizeof(head) || ftruncate(copy, st.st_size) ||
	    fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -1;
	return copy;
}

int main(int argc, char **argv)
{
	char self[4096], spec[256] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *what;
	long v[NUMBERS];
	char *at;

	if (argc < 3 || n < 0 || strcmp(argv[1], "--worker") != 0)
		return 2;
	self[n] = '\0';
	what = strrchr(self, '-');
	what = what ? what + 1 : "";
	at = argv[2];
	for (int i = 0; i < NUMBERS; i++) {
		v[i] = strtol(at, &at, 10);
		at += *at == ',';
	}
	if (strcmp(what, "slow") == 0)
		for (;;)
			pause();
	v[PROTOCOL] += strcmp(what, "protocol") == 0;
	v[FORMAT] += strcmp(what, "database") == 0;
	if (strcmp(what, "keep") == 0)
		v[KEEP] = other_keep((int)v[KEEP]);
	if (strcmp(what, "dies") == 0)
		setenv("F3_DEBUG_POINTS", "worker.go=exit", 1);
	for (int i = 0; i < NUMBERS; i++) {
		size_t len = strlen(spec);

		snprintf(spec + len, sizeof(spec) - len, "%s%ld", i ? "," : "", v[i]);
	}
	argv[2] = spec;
	execvp("f3d", argv);
	fprintf(stderr, "other_f3d: f3d: %s\n", strerror(errno));
	return 1;
}
