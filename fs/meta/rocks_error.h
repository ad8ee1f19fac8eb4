/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rocks_error: the one place where RocksDB's errors become ours.
 *
 * Its C interface gives texts only: "<kind>: <what>". Pure.
 */
#ifndef F3_META_ROCKS_ERROR_H
#define F3_META_ROCKS_ERROR_H

#include "fs/base/err.h"

/* -EBUSY (locked by another process), -ENOSPC, -ENOMEM, -EACCES, -EROFS, -EINVAL, else -EIO */
int f3_rocks_errno(const char *text);
/* Why the database in `dir` did not open, for a person. Returns the -errno. */
int f3_rocks_open_error(const char *dir, const char *text, struct f3_err *err);

#endif
