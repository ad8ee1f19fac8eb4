/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rings: how the threads of the io_uring transport run.
 *
 * They are libfuse's, one a CPU and pinned there, so that a request is answered on the CPU it was
 * made on. What is left to do: while one program keeps such a thread busy it sprints
 * (fs/fuse/sprint.h), so that the program is not moved to another CPU when it is answered. And
 * threads that it starts, for a work queue say, are not pinned with it.
 */
#include "config.h"

#include "fs/base/thread.h"
#include "fs/fuse/impl.h"
#include "fs/fuse/sprint.h"

#ifdef FUSE_CAP_OVER_IO_URING

struct ring {
	struct f3_fuse *f;
	struct f3_runner *runner;
	struct f3_stream stream;
	bool sprints;
};

static _Thread_local struct ring ring;

/* Pauses are the guard's business here, hence no time. */
static bool goes_on(pid_t pid)
{
	f3_stream_saw(&ring.stream, pid, false, 0);
	return ring.stream.familiar && f3_runner_sprints(ring.runner);
}

void f3_ring_saw(const struct f3_call *call)
{
	static const struct f3_runner_ops ops = { .pending = NULL };
	struct f3_fuse *f = call->f;

	if (!f->uring || !fuse_req_is_uring(call->req))
		return;
	if (ring.f != f) {
		ring = (struct ring){ .f = f };
		f3_thread_set_home(&f->home);
		if (f->sprint)
			ring.runner = f3_runner_new(f->sprint, false, &ops, NULL);
	}
	if (!ring.runner)
		return;
	if (ring.sprints) {
		if (goes_on(call->who.pid)) {
			f3_runner_served(ring.runner, call->who.pid, call->start_ns);
			return;
		}
		f3_runner_end(ring.runner);
		ring.sprints = false;
		ring.stream = (struct f3_stream){ 0 };
	}
	f3_stream_saw(&ring.stream, call->who.pid, false, call->start_ns);
	if (ring.stream.familiar < F3_STREAM_BEGIN || !f3_runner_ready(ring.runner, call->start_ns))
		return;
	ring.sprints = f3_sprint_pays() && f3_runner_begin(ring.runner, call->who.pid);
	ring.stream = (struct f3_stream){ call->who.pid, ring.sprints ? F3_STREAM_MAX : 0, 0 };
}

#else

void f3_ring_saw(const struct f3_call *call)
{
	(void)call; /* libfuse before 3.18 has no rings */
}

#endif
