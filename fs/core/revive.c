/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/revive.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/workq.h"
#include "fs/meta/meta.h"

#define PAUSE_MIN_NS (100 * F3_NS_PER_MS)
#define PAUSE_MAX_NS (10 * F3_NS_PER_SEC)
#define TRY_BYTES 4096

struct f3_revive {
	struct f3_timer timer;
	struct f3_core *core;
	struct f3_backoff backoff; /* the timer's own */
	_Atomic bool failed, armed;
	_Atomic(void (*)(void *)) let_go;
	void *arg;
};

/* Does the disk take and keep bytes? */
static int try_disk(const struct f3_core *core)
{
	static const char bytes[TRY_BYTES];
	char path[PATH_MAX];
	int fd, r = 0;

	if (snprintf(path, sizeof(path), "%s/db/f3-try", core->cache_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = EIO; /* of a short write */
	if (write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes) || fsync(fd))
		r = -errno;
	close(fd);
	if (unlink(path) && !r)
		r = -errno;
	return r;
}

static void arm(struct f3_revive *r)
{
	if (f3_timer_arm(&r->timer, f3_clock_mono_ns() + f3_backoff_next_ns(&r->backoff)))
		r->armed = false; /* the next failure arms it */
}

static void look(struct f3_work *work)
{
	struct f3_revive *r =
		(struct f3_revive *)((char *)work - offsetof(struct f3_revive, timer.work));
	int error;

	if (r->core->stopping)
		return;
	error = try_disk(r->core);
	if (error) {
		arm(r);
		return;
	}
	r->let_go(r->arg);
}

/* What is called holds locks, perhaps. */
static void stir(struct f3_revive *r)
{
	if (r->failed && r->let_go && !r->core->stopping && !atomic_exchange(&r->armed, true))
		arm(r);
}

static void failed(void *arg)
{
	struct f3_revive *r = arg;

	r->failed = true;
	stir(r);
}

int f3_revive_new(struct f3_core *core, struct f3_revive **ret_r)
{
	struct f3_revive *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->core = core;
	r->backoff = (struct f3_backoff){ PAUSE_MIN_NS, PAUSE_MAX_NS, 0 };
	f3_timer_init(&r->timer, core->transfer, look);
	f3_meta_on_failure(core->meta, failed, r);
	*ret_r = r;
	return 0;
}

void f3_revive_free(struct f3_revive *r)
{
	if (!r)
		return;
	f3_meta_on_failure(r->core->meta, NULL, NULL);
	free(r);
}

void f3_revive_allow(struct f3_revive *r, void (*let_go)(void *arg), void *arg)
{
	r->arg = arg;
	r->let_go = let_go;
	stir(r);
}
