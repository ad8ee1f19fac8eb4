/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch: being told by the kernel when a passthrough writer writes or lets go.
 *
 * inotify on backing files: IN_CLOSE_WRITE when the last writable open or mapping of an open
 * goes, IN_MODIFY when a writer grows a file somebody waits on. A watch exists only while
 * somebody waits. One thread, asleep until there is an event. Callbacks run on it and must not
 * block; after f3_watch_del returned its callback does not run again (it waits for one that is
 * running, except when called from a callback). Events that come in one go are reported in one
 * call; a call may carry events that were over before the watch was made.
 *
 * Register first, then look again at what you wait for: an event before the watch is not seen.
 * When the kernel's queue ran over, or the file is gone for good (deleted, nobody has it open),
 * the callback runs with F3_WATCH_RECHECK.
 */
#ifndef F3_LOCAL_WATCH_H
#define F3_LOCAL_WATCH_H

#include <stdint.h>

enum f3_watch_event {
	F3_WATCH_MODIFY = 1,
	F3_WATCH_CLOSE_WRITE = 2,
	F3_WATCH_RECHECK = 4,
};

struct f3_watcher;
struct f3_watch;

/* 0 or -errno (-EMFILE: fs.inotify.max_user_instances; it takes two). */
int f3_watcher_new(struct f3_watcher **ret_w);
/* Its watches must be gone. */
void f3_watcher_free(struct f3_watcher *w);
/* events: MODIFY and/or CLOSE_WRITE. fd may be closed afterwards. Several watches of one file
 * are independent of each other. 0 or -errno (-ENOSPC: fs.inotify.max_user_watches). Does not
 * block; needs /proc. */
int f3_watch_add(struct f3_watcher *w, int fd, unsigned events,
		 void (*fn)(void *arg, unsigned events), void *arg, struct f3_watch **ret_watch);
void f3_watch_del(struct f3_watch *watch);

#endif
