/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key: how database keys are made. Pure.
 *
 *   inodes       ino:u64
 *   names        parent:u64 cookie:u64 name            value: u8 version, u64 ino, u8 d_type
 *   xattrs       ino:u64 name                          value: u8 version, bytes
 *   extents      ino:u64 start:u64                     value: u8 version, u64 len
 *   journal      seq:u64                               value: see journal.h
 *   objects      volume:u32 key                        value: etag, size, attributes last seen
 *   meta         text                                  format, node, incarnation, counters
 *   meta         "w" ino:u64, "o" ino:u64, "d" ino:u64 marks: writer, orphan, dirty
 *   meta         "v" id:u32                            volume records
 *   meta         "r" slot:u32                          requests carried out: u8 version,
 *                                                      u64 mount, u64 number, u64 ino
 *   activations  letter and the owner's key            see enum f3_note in meta.h
 *
 * All integers big-endian, so one directory, one file's xattrs, one file's extents are each one
 * range. The cookie of a name is 63 bits of its hash keyed by a random seed of the database
 * (kept under "seed"): it is the readdir offset, it never changes while the name exists, and
 * nobody can aim collisions at it. Cookies below F3_COOKIE_FIRST are "." and "..".
 */
#ifndef F3_META_KEY_H
#define F3_META_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"

#define F3_COOKIE_FIRST 16ull

uint64_t f3_key_cookie(uint64_t seed, const char *name, size_t len);

void f3_key_u64(struct f3_buf *out, uint64_t v);
void f3_key_name(struct f3_buf *out, uint64_t parent, uint64_t cookie, const char *name,
		 size_t len);
void f3_key_xattr(struct f3_buf *out, uint64_t ino, const char *name, size_t len);
void f3_key_extent(struct f3_buf *out, uint64_t ino, uint64_t start);
void f3_key_mark(struct f3_buf *out, char mark, uint64_t ino);
void f3_key_object(struct f3_buf *out, uint32_t volume, const char *key, size_t len);

#endif
