/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node: the cache directory as the property of one daemon: its lock and its identity.
 *
 * The identity is a UUID in `<cache>/node`, together with a fingerprint of where it was made
 * (machine id, inode of the file and when it was born; not the device, whose number is another one
 * after a boot). A copied or restored cache directory has another fingerprint and gets a new UUID,
 * so that two nodes never share one; the database that came with it takes it over. `node` in the
 * configuration is only a name for people.
 */
#ifndef F3_CORE_NODE_H
#define F3_CORE_NODE_H

#include <stdint.h>

#include "fs/base/err.h"

/* mkdir -p; the last one for the daemon only (0700). 0 or -errno. */
int f3_node_make_dirs(const char *path);
/* Makes the directory if missing and takes its lock. Returns the descriptor that holds it, or
 * -errno with the reason (-EBUSY names the daemon that has it). */
int f3_node_lock(const char *cache_dir, struct f3_err *err);
/* 0 and the UUID, made at first use; and the one that the directory had before it was copied, zeros
 * if it was not. */
int f3_node_identity(const char *cache_dir, uint8_t ret_uuid[16], uint8_t ret_was[16],
		     struct f3_err *err);

#endif
