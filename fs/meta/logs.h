/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs: RocksDB's write-ahead logs as files, to sync them.
 *
 * Its own call for that looks at the state of the log's writer, and a build with assertions
 * (Debian's) aborts the process there when another thread's write has just failed: a full or
 * failing disk must not do that. The logs are NUMBER.log in the database's directory, and only
 * ever grow; a change that is in none of them any more has been synced as a table. So every log
 * that has grown is synced through a descriptor of our own, and the directory when there is a new
 * one.
 *
 * One caller at a time. Blocks on the disk.
 */
#ifndef F3_META_LOGS_H
#define F3_META_LOGS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct f3_meta_log {
	uint64_t number;
	int fd;
	uint64_t synced_bytes;
	bool there;		/* still in the directory */
};

struct f3_meta_logs {
	DIR *dir;
	int64_t changed_ns;	/* mtime of the directory when it was listed; 0: list it again */
	struct f3_meta_log *v;
	size_t n, cap;
};

void f3_meta_logs_init(struct f3_meta_logs *l);
/* 0 or -errno */
int f3_meta_logs_open(struct f3_meta_logs *l, const char *dir);
void f3_meta_logs_close(struct f3_meta_logs *l);
/* 0, or the -errno of the disk: then what was to be synced may be lost, whatever a later call
 * says. */
int f3_meta_logs_sync(struct f3_meta_logs *l);

#endif
