/* SPDX-License-Identifier: Apache-2.0 */
/*
 * escape: names of objects that cannot be names of files, and back. Pure.
 *
 * A component of an object key is any bytes but '/' and NUL, also "." and "..", or nothing at all
 * ("a//b"); and an object `a` may stand beside objects below `a/`, where the directory gets the
 * name. Such an object shows under its name with F3_ESCAPE_SUFFIX behind it:
 *
 *     "a" beside "a/"     a.f3-object
 *     "."  ".."  ""       %2E.f3-object  %2E%2E.f3-object  .f3-object
 *
 * In front of the suffix "%XX" stands for a byte, used for '%' itself and the dots of "." and "..".
 * Names that end with the suffix are escaped too, so that every object has one file name and every
 * file name stands for one object. The suffix is reserved: nothing can be made under it here.
 * A component whose file name would be longer than 255 bytes has none and is not shown.
 */
#ifndef F3_CORE_ESCAPE_H
#define F3_CORE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/meta/record.h"

#define F3_ESCAPE_SUFFIX ".f3-object"

/* Does a file name have the form that is reserved for escaped objects? */
bool f3_escape_reserved(const char *name, size_t len);
/* The file name of an object's component; `beside`: a directory has the plain name. 0,
 * -ENAMETOOLONG, -EINVAL (NUL or '/' in it). */
int f3_escape_name(const char *object, size_t len, bool beside, char ret_name[F3_NAME_MAX + 1]);
/* The component a file name stands for, itself if it is no escaped one. ret_object has room for
 * F3_NAME_MAX + 1. -EINVAL: reserved form that no object makes. */
int f3_unescape_name(const char *name, size_t len, char ret_object[F3_NAME_MAX + 1]);
/* A path of file names to the key of its object, in place (it never gets longer). -EINVAL. */
int f3_unescape_path(char *path);

#endif
