/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authority: which node orders the names of a directory.
 *
 * The one door: every change of names asks here first, so that one node and many are the same
 * code. With one node the answer is always "here".
 */
#ifndef F3_CORE_AUTHORITY_H
#define F3_CORE_AUTHORITY_H

#include "fs/core/volume.h"

/* 0: this node, now. -EROFS: the volume may not be written from here. -EREMOTE: another node. */
int f3_authority_here(struct f3_core *core, const struct f3_volume *volume);

#endif
