/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: whole small files: what /proc, /sys and cgroups say.
 *
 * Thread-safe. May block on the file.
 */
#ifndef F3_BASE_FILE_H
#define F3_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

/* Reads the whole file and ends it with NUL. The length, or -errno; -EFBIG if it has `size` bytes
 * or more (what is in text then is not to be used). */
ssize_t f3_file_read(const char *path, char *text, size_t size);

#endif
