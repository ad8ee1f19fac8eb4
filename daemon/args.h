/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args: f3d's command line, and the configuration that comes of it.
 *
 * Command-line values are kept until file and environment were read: they come last. They are also
 * what another program is given that shall serve the same mount (f3_args_argv), and what is read
 * again with the file (f3ctl reload).
 *
 * The text of the file as it was taken is kept in a memfd, a snapshot: its name, NUL, the text; empty
 * where there is no file. So whoever serves next has the same, whatever became of the file.
 */
#ifndef F3_DAEMON_ARGS_H
#define F3_DAEMON_ARGS_H

#include <stddef.h>

#include "fs/base/conf.h"

struct f3_args {
	int foreground, check, help, version;
	char *config, *mountpoint;	/* absolute */
	char *worker;			/* SPEC of worker.h; NULL */
	char *values[256];
	char kinds[256];		/* 'o' options, 'v' a volume */
	size_t n;
};

/* 0, or an exit code after saying why. With args->help it has been printed. */
int f3_args_parse(int argc, const char **argv, struct f3_args *args);
void f3_args_done(struct f3_args *args);
/* From the snapshot, or where that is -1 from the file itself; then ret_snapshot (may be NULL) gets a
 * new one. Checked. 0 or -errno. */
int f3_args_load(const struct f3_args *args, int snapshot, struct f3_conf *conf, int *ret_snapshot,
		 struct f3_err *err);
/* For execve, with room for the SPEC at [F3_ARGS_SPEC]; the strings are args'. NULL: no memory. */
#define F3_ARGS_SPEC 2
const char **f3_args_argv(const struct f3_args *args);

#endif
