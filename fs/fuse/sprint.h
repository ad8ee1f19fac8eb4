/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sprint: a thread that answers one busy program runs on that program's CPU.
 *
 * A round trip between two CPUs costs little but the wake-up of an idle one, twice. When the
 * requests come from one thread, each after the answer to the one before, nothing is gained by a
 * second CPU. So the thread that reads them, a runner, sprints: it pins itself to the CPU of the
 * program and takes SCHED_IDLE there. The program, woken by the answer, takes its CPU back at once
 * (the scheduler counts a CPU that has only idle-class work as free), and the runner reads on when
 * the program waits again: no other CPU is woken.
 *
 *   REST     as the process was started: its CPUs, its policy
 *   SPRINT   f3_runner_begin: pinned (unless somebody else pins it) and SCHED_IDLE
 *   ENDING   the guard gives back CPUs and policy; then REST
 *
 * What is idle-class can be starved: by another program on that CPU, by the client itself while it
 * computes. So a thread of normal class, the guard, looks at each sprinting runner every TICK_NS,
 * and ends a sprint that has no progress while requests wait (stuck), that waits for the CPU most
 * of the time (starved), or that has little to do (idle). With nobody sprinting the guard sleeps
 * without a timeout. After a starved or stuck sprint the runner stays at rest, for longer each time.
 *
 * Priority inversion: a runner may be holding a lock of the core when it is starved, and others
 * wait for that lock. They do so for at most HOT_LOOKS or STUCK_LOOKS ticks and one pause of the
 * guard; for that the guard must never wait for a runner: it and a sprinting runner share no lock.
 * s->lock is taken by a runner only at rest or when its sprint is being ended by the guard.
 * Threads that a sprinting one starts are of normal class and not pinned (fs/base/thread.h).
 */
#ifndef F3_FUSE_SPRINT_H
#define F3_FUSE_SPRINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct f3_sprint;
struct f3_runner;

/* Who asks: counts up while it is one thread, quickly, and down when others come between. */
struct f3_stream {
	pid_t pid;
	unsigned familiar;
	uint64_t last_ns;
};

#define F3_STREAM_BEGIN 32u	/* so familiar: sprint */
#define F3_STREAM_MAX 64u	/* and the count stays there */

/* A request of a thread (0: the kernel names none, which says nothing). `bulk`: it moves so many
 * bytes that it is better done beside other ones. Belongs to one thread, or to the caller's lock. */
void f3_stream_saw(struct f3_stream *st, pid_t pid, bool bulk, uint64_t now_ns);

/* Starts the guard. `*ret_reason` says why there is nothing to be had where it returns 0 and NULL
 * (no right to come back from SCHED_IDLE, foreign /proc); -errno: no memory, no threads. */
int f3_sprint_new(struct f3_sprint **ret_s, const char **ret_reason);
/* Ends all sprints and the guard. After it runners stay at rest. */
void f3_sprint_stop(struct f3_sprint *s);
/* Once no thread runs as a runner any more. */
void f3_sprint_free(struct f3_sprint *s);
unsigned f3_sprint_count(struct f3_sprint *s);	/* runners that sprint now */
void f3_sprint_register_metrics(void);

struct f3_runner_ops {
	/* Requests wait; NULL where that cannot be seen. Any time, must not block. */
	bool (*pending)(void *arg);
	/* The guard has ended the sprint. On the guard's thread; the runner may still be in the
	 * request that it could not finish. NULL: nobody needs to know. */
	void (*ended)(void *arg);
};

/* One thread at a time is a runner. `follow`: it is moved to the program's CPU; without, it is one
 * that stays pinned and has told so (f3_thread_set_home). NULL: no memory. Lives as long as `s`. */
struct f3_runner *f3_runner_new(struct f3_sprint *s, bool follow, const struct f3_runner_ops *ops,
				void *arg);
/* What a sprint saves is waking idle CPUs. Is there one? Costs microseconds. */
bool f3_sprint_pays(void);
/* May it begin now? Any thread. */
bool f3_runner_ready(struct f3_runner *r, uint64_t now_ns);
/* Makes the calling thread the runner and lets it sprint for the client. False: it stays as it is. */
bool f3_runner_begin(struct f3_runner *r, pid_t client);
/* The rest by the thread that began. Still sprinting? */
bool f3_runner_sprints(struct f3_runner *r);
/* It has answered a request of the client (0: not known) that came at arrived_ns. */
void f3_runner_served(struct f3_runner *r, pid_t client, uint64_t arrived_ns);
/* Back to rest, if it is not there yet. */
void f3_runner_end(struct f3_runner *r);

#endif
