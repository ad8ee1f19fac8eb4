/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: what both ends of the control socket must write and read the same way.
 *
 * Names and paths are bytes, JSON strings are UTF-8. A name goes as a string under its key; where
 * the bytes are not UTF-8 that string shows them escaped, and the exact bytes go in hexadecimal
 * under KEY_hex, which wins when it is there.
 *
 * A place in the mount is a volume and a path inside it that begins with '/'; the root of the
 * mount is the path "/" without a volume.
 *
 * Pure, does not block.
 */
#ifndef F3_DAEMON_WIRE_H
#define F3_DAEMON_WIRE_H

#include <jansson.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"

#define F3_WIRE_ANSWER_MAX (16u << 20)	/* bytes of one line from the daemon */

/* 0 or -ENOMEM. */
int f3_wire_set_name(json_t *object, const char *key, const void *bytes, size_t len);
/* Appends the bytes, without a NUL. 0, -ENOENT without such a member, -EINVAL: no string, no
 * hexadecimal digits, or with a NUL in it; out->error. */
int f3_wire_get_name(const json_t *object, const char *key, struct f3_buf *out);

/* full: a path from the root of the mount, "/photos/a/b". */
int f3_wire_set_place(json_t *object, const char *full, size_t len);
/* Appends the path from the root of the mount. Nothing is looked up, "." and ".." are -EINVAL.
 * -EINVAL with the reason. */
int f3_wire_get_place(const json_t *object, struct f3_buf *out, struct f3_err *err);

#endif
