/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hint_act: the operations of the hint protocol that tell of activations: begin and end.
 *
 * A begin is read strictly: it is a contract, so what is of the wrong type, too long or not known as a
 * class is refused, and nothing is begun. Keys that nobody knows are left alone, as everywhere.
 */
#ifndef F3_DAEMON_HINT_ACT_H
#define F3_DAEMON_HINT_ACT_H

#include "daemon/hint_ops.h"

int f3_hint_begin(struct f3_hint *h);
int f3_hint_end(struct f3_hint *h);
/* Of a prefetch that names an action: its working set. */
int f3_hint_warm(struct f3_hint *h);

/* Activations that the last run of the daemon left go on; those that cannot have failed. After views were
 * taken up, before requests of the kernel are served. */
int f3_hint_act_load(struct f3_core *core, struct f3_err *err);

#endif
