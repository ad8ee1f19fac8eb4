/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view_record: what is remembered of views, a file for each in a directory of the cache directory.
 *
 * A record is the JSON of the request that made the view and some members more; a whole one replaces
 * another by rename. It outlives the daemon, not the machine: what is of an earlier boot is dropped
 * when it is read, as is what cannot be understood.
 *
 * No lock: nobody works on one view twice at a time. Blocks on the disk.
 */
#ifndef F3_DAEMON_VIEW_RECORD_H
#define F3_DAEMON_VIEW_RECORD_H

#include "daemon/view.h"

struct f3_view_record {
	struct f3_view_spec spec;
	uint64_t pid_started;	/* f3_process_started, at the bind */
	int64_t since_real_ns;
	bool made;		/* the directory it is mounted on: it goes with the view */
};

/* The directory, made where it is missing: a descriptor or -errno. */
int f3_view_records_open(const char *cache_dir);
int f3_view_record_write(int dir_fd, const struct f3_view_record *rec);
/* 0, also where there is none; -errno. */
int f3_view_record_remove(int dir_fd, const char *name);
/* fn for each of this boot, gone(name) for each that was dropped. 0 or -errno. */
int f3_view_records_read(int dir_fd, int (*fn)(void *arg, const struct f3_view_record *rec),
			 void (*gone)(void *arg, const struct f3_view_record *rec), void *arg);

#endif
