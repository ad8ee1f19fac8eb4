/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view_dir: the directory run-dir/views, in which each view is mounted on a directory of its name.
 *
 * It is a mount of its own, a bind of itself, that is shared with no other but may be followed: a
 * container that was given it, or a directory in it, with propagation rslave sees what is mounted
 * there later. It stays when the daemon stops, since a new one in its place would be followed by
 * nobody; only where no directory is left in it, it goes.
 *
 * What is mounted in it is read from /proc/self/mountinfo, and taken away lazily: nothing here ever
 * asks a file system that a view shows, so whoever serves the mount, or keeps it, may do all of this.
 *
 * No state, no lock. Blocks on the run directory's disk only.
 */
#ifndef F3_DAEMON_VIEW_DIR_H
#define F3_DAEMON_VIEW_DIR_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/err.h"

/* "RUN-DIR/views" without symbolic links; the run directory is there. 0 or -errno. */
int f3_view_dir_path(const char *run_dir, char *out, size_t size);
/* Makes it, and the mount. The reason names what this kernel or user lacks. */
int f3_view_dir_make(const char *dir, struct f3_err *err);
/* After the last view: unmounted and removed, unless a directory is left in it. */
void f3_view_dir_remove(const char *dir);

/* fn for each mount on a directory of it; `ours`: it shows an F3. 0 or -errno. */
int f3_view_dir_each(const char *dir, void (*fn)(void *arg, const char *name, bool ours), void *arg);
/* Takes away what is mounted on that directory, whatever it is. 0, also where nothing is; -errno. */
int f3_view_dir_detach(const char *dir, const char *name);
/* All that show an F3. */
void f3_view_dir_detach_all(const char *dir);

#endif
