/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/rest.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/file.h"
#include "fs/core/file.h"
#include "fs/core/inode.h"

/* Between two looks; after one without work in between the daemon is at rest. */
#define LOOK_NS (400 * F3_NS_PER_MS)
/* A process no larger than this keeps what it has. */
#define RESTING_BYTES (52ull << 20)
/* Little: what stays lies scattered, and a page that holds one small piece is not given back. */
#define RESTING_CACHE_BYTES (512ull << 10) /* of the database */
#define RESTING_BUFFER_BYTES (1ull << 20) /* changes it has not written out */
#define RESTING_INODE_BYTES (256ull << 10)

struct f3_rest {
	struct f3_timer timer;
	struct f3_core *core;
	uint64_t seen; /* work done as of the last look; the timer's own */
	_Atomic bool armed;
};

/* 0: not known. */
static uint64_t resident_bytes(void)
{
	unsigned long pages = 0;
	char text[128], *end;

	if (f3_file_read("/proc/self/statm", text, sizeof(text)) < 0)
		return 0;
	(void)strtoul(text, &end, 10); /* the first is the address space */
	pages = strtoul(end, NULL, 10);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void settle(void *arg, struct f3_inode *inode)
{
	f3_file_settle(arg, inode);
}

static void give_back(struct f3_core *core)
{
	if (resident_bytes() <= RESTING_BYTES)
		return;
	f3_meta_rest(core->meta, RESTING_CACHE_BYTES, RESTING_BUFFER_BYTES);
	malloc_trim(0);
	/* Inodes last: what they save is an open(2), not only a read of the database. */
	if (resident_bytes() <= RESTING_BYTES)
		return;
	f3_itable_each(core, settle, core);
	f3_itable_trim(core, RESTING_INODE_BYTES);
	malloc_trim(0);
}

static void arm(struct f3_rest *r)
{
	if (f3_timer_arm(&r->timer, f3_clock_mono_ns() + LOOK_NS))
		atomic_store(&r->armed, false); /* no memory: the next one tries again */
}

static void look(struct f3_work *work)
{
	struct f3_rest *r = (struct f3_rest *)work;
	uint64_t done = f3_itable_work(r->core);

	if (r->core->stopping)
		return;
	if (done != r->seen) {
		r->seen = done;
		arm(r);
		return;
	}
	/* Armed still: what this itself does to inodes is no work. */
	give_back(r->core);
	r->seen = f3_itable_work(r->core);
	atomic_store(&r->armed, false);
}

int f3_rest_new(struct f3_core *core, struct f3_rest **ret_r)
{
	struct f3_rest *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->core = core;
	f3_timer_init(&r->timer, core->transfer, look);
	*ret_r = r;
	return 0;
}

void f3_rest_free(struct f3_rest *r)
{
	free(r);
}

void f3_rest_stir(struct f3_rest *r)
{
	if (!r || atomic_load_explicit(&r->armed, memory_order_relaxed) || r->core->stopping ||
	    atomic_exchange(&r->armed, true))
		return;
	arm(r);
}
