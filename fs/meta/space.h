/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space: room on the disk for the database when there is none for anything else.
 *
 * The database shares its disk with the bytes of files, which native writers may fill to the last
 * block without asking. Then rm(1) must still work, and it needs the database's log. So a file
 * of a few MiB lies beside the database and gives its room back when the disk gets full:
 *
 *	AMPLE	everything is written
 *	TIGHT	the reserve is given back; new names are refused, other changes are written
 *	FULL	nothing is: a log that breaks off in the middle of a write is worse
 *
 * AMPLE again, and the reserve taken again, only once there is three times its room; at a start
 * twice its room is enough.
 *
 * Thread-safe. Looks at the disk at most once per clock tick (a few milliseconds).
 */
#ifndef F3_META_SPACE_H
#define F3_META_SPACE_H

#include <stdatomic.h>
#include <stdint.h>

enum f3_meta_space_level { F3_META_SPACE_AMPLE, F3_META_SPACE_TIGHT, F3_META_SPACE_FULL };

struct f3_meta_space {
	int fd;			/* the reserve; -1: not open, always AMPLE */
	uint64_t reserve_bytes;
	_Atomic int64_t looked_ns;
	_Atomic int level;
};

void f3_meta_space_init(struct f3_meta_space *s);
/* `dir` is there. Before the database is opened: it needs room for that, too. 0 or -errno. */
int f3_meta_space_open(struct f3_meta_space *s, const char *dir);
void f3_meta_space_close(struct f3_meta_space *s);
enum f3_meta_space_level f3_meta_space_level(struct f3_meta_space *s);

#endif
