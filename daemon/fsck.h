/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck: backing files against the records that speak of them, for the check of a live daemon
 * (verbs_check.c) and of a cache directory without one (f3ctl_fsck.c).
 *
 * Pure.
 */
#ifndef F3_DAEMON_FSCK_H
#define F3_DAEMON_FSCK_H

#include <sys/stat.h>

#include "fs/meta/record.h"

/* Can the file that `st` shows be the backing file of this record? 0 or -EUCLEAN (it has another
 * size). Of files that are written, filled or moved the size is not known from the record. */
int f3_fsck_judge(const struct f3_inode_rec *rec, const struct stat *st);

#endif
