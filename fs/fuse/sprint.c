/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/fuse/sprint.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/file.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/base/thread.h"

#define TICK_NS (4 * F3_NS_PER_MS)
#define HOT_LOOKS 2u /* looks in a row that find it starved */
#define STUCK_LOOKS 2u
#define IDLE_LOOKS 5u
#define BUSY_REQUESTS 2u /* fewer in a tick are idleness */
#define REST_MIN_NS (50 * F3_NS_PER_MS)
#define REST_MAX_NS F3_NS_PER_SEC
#define GOOD_SPRINT_NS F3_NS_PER_SEC /* a sprint so long was worth it: pauses begin small again */
/* A client on this CPU is back with its next request sooner than that. */
#define NEAR_NS 12000u
#define BACK_OFF_MAX 64u /* requests between two looks for a client that stays where it is */

/* A thread that pauses longer is not kept waiting by a wake-up. */
#define STREAM_PAUSE_NS (2 * F3_NS_PER_MS)
#define STREAM_STRANGER 4u /* what a request of another thread takes back */

enum state { REST, SPRINT, ENDING };
enum why { IDLE, MIXED, STARVED, STUCK, WHYS };

struct f3_runner {
	struct f3_sprint *s;
	const struct f3_runner_ops *ops;
	void *arg;
	bool follow;
	struct f3_runner *next;
	_Atomic int state;
	_Atomic uint64_t not_before_ns, served, epoch;
	_Atomic bool broken; /* CPUs or policy could not be given back */
	/* Written by the thread at rest, read by the guard while it sprints or is ending. */
	pid_t tid;
	cpu_set_t home;
	int policy, schedstat;
	uint64_t began_ns;
	/* The thread's own. */
	int cpu, stat;
	pid_t stat_tid;
	unsigned skip, back_off;
	uint64_t answered_ns;
	/* The guard's own. */
	uint64_t seen_epoch, seen_ns, seen_served, seen_delay_ns, rest_ns;
	unsigned hot, stuck, idle;
};

struct f3_sprint {
	struct f3_lock lock; /* the list, and giving back by the guard */
	struct f3_runner *runners;
	pthread_t guard;
	sem_t wake, probed;
	int probe; /* 0 or -errno: may we come back from SCHED_IDLE? */
	_Atomic bool over;
	bool stopped;
};

static struct f3_counter sprints = {
	.name = "f3_fuse_sprints_total",
	.labels = "",
	.help = "Times a thread went to the CPU of the one program that kept it busy.",
};
static struct f3_counter moves = {
	.name = "f3_fuse_sprint_moves_total",
	.labels = "",
	.help = "Times such a thread moved on because the program had.",
};
static struct f3_counter ends[WHYS] = {
	[IDLE] = { .labels = "why=\"idle\"" },
	[MIXED] = { .labels = "why=\"mixed\"" },
	[STARVED] = { .labels = "why=\"starved\"" },
	[STUCK] = { .labels = "why=\"stuck\"" },
};

void f3_sprint_register_metrics(void)
{
	f3_counter_register(&sprints);
	f3_counter_register(&moves);
	for (int why = 0; why < WHYS; why++) {
		ends[why].name = "f3_fuse_sprint_ends_total";
		ends[why].help = "Ends of sprints: little to do, several programs, no CPU, "
				 "a request that took long.";
		f3_counter_register(&ends[why]);
	}
}

void f3_stream_saw(struct f3_stream *st, pid_t pid, bool bulk, uint64_t now_ns)
{
	if (!pid && !bulk)
		return;
	if (now_ns - st->last_ns > STREAM_PAUSE_NS)
		st->familiar = 0;
	st->last_ns = now_ns;
	if (pid == st->pid && !bulk) {
		if (st->familiar < F3_STREAM_MAX)
			st->familiar++;
		return;
	}
	st->familiar -= st->familiar < STREAM_STRANGER ? st->familiar : STREAM_STRANGER;
	if (pid)
		st->pid = pid;
}

/* ---- What /proc says -------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static ssize_t read_start(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	if (n >= 0)
		text[n] = '\0';
	return n;
}

/* The CPU of a thread, field 39 of its stat file; -1: not known. The file stays open: it stands
 * for the thread, not for its number, and says ESRCH when the number was given to another. */
static int cpu_of(struct f3_runner *r, pid_t tid)
{
	char path[64], text[1024], *at;

	for (int try = 0; try < 2; try++) {
		if (r->stat < 0 || r->stat_tid != tid) {
			close_fd(&r->stat);
			snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)tid, (int)tid);
			r->stat = open(path, O_RDONLY | O_CLOEXEC);
			r->stat_tid = tid;
			if (r->stat < 0)
				return -1;
		}
		if (read_start(r->stat, text, sizeof(text)) > 0)
			break;
		close_fd(&r->stat);
	}
	if (r->stat < 0)
		return -1;
	at = strrchr(text, ')'); /* the end of field 2, which may hold anything */
	for (int field = 2; at && field < 39; field++)
		at = strchr(at + 1, ' ');
	return at && at[1] >= '0' && at[1] <= '9' ? (int)strtol(at, NULL, 10) : -1;
}

/* Time that a thread waited for a CPU; 0 where the kernel does not count it. */
static uint64_t delay_ns(struct f3_runner *r)
{
	char text[128], *at;

	if (r->schedstat < 0 || read_start(r->schedstat, text, sizeof(text)) <= 0)
		return 0;
	at = strchr(text, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

bool f3_sprint_pays(void)
{
	char text[128], *at;

	/* 0.20 0.18 0.12 RUNNABLE/THREADS LAST */
	if (f3_file_read("/proc/loadavg", text, sizeof(text)) <= 0)
		return false;
	at = strchr(text, '/');
	while (at && at > text && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return at && strtol(at, NULL, 10) <= sysconf(_SC_NPROCESSORS_ONLN);
}

/* Are the numbers in /proc those that the kernel puts into requests? */
static bool proc_is_ours(void)
{
	char text[32];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strtol(text, NULL, 10) == getpid();
}

/* ---- CPUs and policy -------------------------------------------------------------------------- */

static int set_policy(pid_t tid, int policy)
{
	struct sched_param param = { .sched_priority = 0 };

	return sched_setscheduler(tid, policy, &param) ? -errno : 0;
}

static bool pin(struct f3_runner *r, int cpu)
{
	cpu_set_t one;

	if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &r->home))
		return false;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return false;
	r->cpu = cpu;
	return true;
}

/* 0 or -errno. */
static int give_back(struct f3_runner *r)
{
	int e = set_policy(r->tid, r->policy);

	if (r->follow && sched_setaffinity(r->tid, sizeof(r->home), &r->home) && !e)
		e = -errno;
	return e;
}

static void gave_back(struct f3_runner *r, int e)
{
	if (e && !atomic_exchange(&r->broken, true))
		f3_log_warn("fuse: thread %d cannot be given back its CPUs and policy: %s",
			    (int)r->tid, strerror(-e));
}

bool f3_runner_ready(struct f3_runner *r, uint64_t now_ns)
{
	return now_ns >= atomic_load(&r->not_before_ns) && atomic_load(&r->state) == REST &&
	       !atomic_load(&r->broken) && !atomic_load(&r->s->over);
}

bool f3_runner_sprints(struct f3_runner *r)
{
	return atomic_load_explicit(&r->state, memory_order_acquire) == SPRINT;
}

static void end(struct f3_runner *r, enum why why)
{
	int state = SPRINT;

	if (!atomic_compare_exchange_strong(&r->state, &state, ENDING)) {
		/* The guard was quicker. Its hands are off this thread when the lock is free. */
		f3_lock(&r->s->lock);
		f3_unlock(&r->s->lock);
	} else {
		gave_back(r, give_back(r));
		f3_count(&ends[why], 1);
		atomic_store(&r->state, REST);
	}
	if (r->follow)
		f3_thread_set_home(NULL);
}

void f3_runner_end(struct f3_runner *r)
{
	end(r, MIXED);
}

bool f3_runner_begin(struct f3_runner *r, pid_t client)
{
	uint64_t now = f3_clock_mono_ns();
	int cpu = -1, policy = sched_getscheduler(0);
	pid_t tid = gettid();
	char path[64];

	if (!f3_runner_ready(r, now))
		return false;
	atomic_store(&r->not_before_ns, now + REST_MAX_NS); /* unless it works */
	/* Who gave us a real-time policy wants something else. */
	if ((policy != SCHED_OTHER && policy != SCHED_BATCH) ||
	    sched_getaffinity(0, sizeof(r->home), &r->home))
		return false;
	if (r->follow) {
		cpu = cpu_of(r, client);
		if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &r->home))
			return false;
	}
	if (tid != r->tid) {
		close_fd(&r->schedstat);
		snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int)tid);
		r->schedstat = open(path, O_RDONLY | O_CLOEXEC);
	}
	r->tid = tid;
	r->policy = policy;
	r->began_ns = r->answered_ns = now;
	r->skip = 0;
	r->back_off = 1;
	atomic_fetch_add(&r->epoch, 1);
	atomic_store(&r->not_before_ns, 0);
	atomic_store(&r->state, SPRINT);
	sem_post(&r->s->wake); /* before we can be starved */
	if (r->follow)
		f3_thread_set_home(&r->home);
	if ((r->follow && !pin(r, cpu)) || set_policy(0, SCHED_IDLE)) {
		/* A cpuset that has changed just now, or no right to. */
		end(r, MIXED);
		atomic_store(&r->not_before_ns, now + REST_MAX_NS);
		return false;
	}
	/* The guard may have given back before there was something to give. */
	if (!f3_runner_sprints(r))
		gave_back(r, give_back(r));
	f3_count(&sprints, 1);
	return true;
}

void f3_runner_served(struct f3_runner *r, pid_t client, uint64_t arrived_ns)
{
	uint64_t gap = arrived_ns - r->answered_ns;
	int cpu;

	atomic_fetch_add_explicit(&r->served, 1, memory_order_relaxed);
	if (r->follow && client && gap > NEAR_NS) {
		if (r->skip) {
			r->skip--;
		} else if ((cpu = cpu_of(r, client)) < 0 || cpu == r->cpu) {
			r->skip = r->back_off;
			r->back_off *= r->back_off < BACK_OFF_MAX ? 2 : 1;
		} else if (pin(r, cpu)) {
			f3_count(&moves, 1);
			r->back_off = 1;
			if (!f3_runner_sprints(r))
				gave_back(r, give_back(r));
		} else {
			end(r, MIXED);
		}
	}
	r->answered_ns = f3_clock_mono_ns();
}

struct f3_runner *f3_runner_new(struct f3_sprint *s, bool follow, const struct f3_runner_ops *ops,
				void *arg)
{
	struct f3_runner *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->s = s;
	r->follow = follow;
	r->ops = ops;
	r->arg = arg;
	r->schedstat = r->stat = -1;
	r->rest_ns = REST_MIN_NS;
	f3_lock(&s->lock);
	r->next = s->runners;
	s->runners = r;
	f3_unlock(&s->lock);
	return r;
}

/* ---- The guard -------------------------------------------------------------------------------- */

/* Takes a runner out of its sprint. */
static void stop_runner(struct f3_runner *r, enum why why, uint64_t now)
{
	struct f3_sprint *s = r->s;
	int state = SPRINT, e = 0;

	f3_lock(&s->lock);
	if (atomic_compare_exchange_strong(&r->state, &state, ENDING))
		e = give_back(r);
	f3_unlock(&s->lock);
	if (state != SPRINT)
		return;
	gave_back(r, e);
	f3_count(&ends[why], 1);
	if (why != IDLE) {
		if (now - r->began_ns > GOOD_SPRINT_NS)
			r->rest_ns = REST_MIN_NS;
		atomic_store(&r->not_before_ns, now + r->rest_ns);
		r->rest_ns *= r->rest_ns < REST_MAX_NS ? 4 : 1;
	}
	if (r->ops->ended)
		r->ops->ended(r->arg);
	atomic_store(&r->state, REST); /* only now may it begin again */
}

static void look(struct f3_runner *r, uint64_t now)
{
	uint64_t epoch = atomic_load(&r->epoch), served = atomic_load(&r->served);
	uint64_t took = now - r->seen_ns, delay, did = served - r->seen_served;
	bool fresh = epoch != r->seen_epoch;

	if (!fresh && took < TICK_NS / 2)
		return; /* woken early, for another one */
	delay = delay_ns(r);
	if (fresh) {
		r->hot = r->stuck = r->idle = 0;
	} else {
		r->hot = delay - r->seen_delay_ns > took / 10 * 7 ? r->hot + 1 : 0;
		r->stuck = !did && r->ops->pending && r->ops->pending(r->arg) ? r->stuck + 1 : 0;
		r->idle = did < BUSY_REQUESTS ? r->idle + 1 : 0;
	}
	r->seen_epoch = epoch;
	r->seen_ns = now;
	r->seen_served = served;
	r->seen_delay_ns = delay;
	if (r->hot >= HOT_LOOKS)
		stop_runner(r, STARVED, now);
	else if (r->stuck >= STUCK_LOOKS)
		stop_runner(r, STUCK, now);
	else if (r->idle >= IDLE_LOOKS)
		stop_runner(r, IDLE, now);
}

static unsigned look_at_all(struct f3_sprint *s)
{
	uint64_t now = f3_clock_mono_ns();
	struct f3_runner *r;
	unsigned n = 0;

	f3_lock(&s->lock);
	r = s->runners;
	f3_unlock(&s->lock);
	for (; r; r = r->next) { /* none goes before f3_sprint_free */
		if (!f3_runner_sprints(r))
			continue;
		look(r, now);
		n += f3_runner_sprints(r);
	}
	return n;
}

static void *guard(void *arg)
{
	struct f3_sprint *s = arg;
	unsigned sprinting = 0;

	s->probe = set_policy(0, SCHED_IDLE);
	if (!s->probe)
		s->probe = set_policy(0, SCHED_OTHER);
	sem_post(&s->probed);
	if (s->probe)
		return NULL;
	while (!atomic_load(&s->over)) {
		if (sprinting) {
			struct timespec until =
				f3_timespec_from_ns((int64_t)(f3_clock_mono_ns() + TICK_NS));

			sem_clockwait(&s->wake, CLOCK_MONOTONIC, &until);
		} else {
			sem_wait(&s->wake);
		}
		sprinting = look_at_all(s);
	}
	return NULL;
}

int f3_sprint_new(struct f3_sprint **ret_s, const char **ret_reason)
{
	struct f3_sprint *s;
	int r;

	*ret_s = NULL;
	*ret_reason = NULL;
	if (!proc_is_ours()) {
		*ret_reason = "/proc is that of another PID namespace";
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	f3_lock_init(&s->lock, F3_RANK_QUEUE);
	sem_init(&s->wake, 0, 0);
	sem_init(&s->probed, 0, 0);
	r = f3_thread_start(&s->guard, "guard", guard, s);
	if (r) {
		s->stopped = true;
	} else {
		while (sem_wait(&s->probed))
			;
		if (!s->probe) {
			*ret_s = s;
			return 0;
		}
		*ret_reason = "threads may not change their scheduling policy (CAP_SYS_NICE)";
	}
	f3_sprint_stop(s);
	f3_sprint_free(s);
	return r;
}

void f3_sprint_stop(struct f3_sprint *s)
{
	if (!s || s->stopped)
		return;
	s->stopped = true;
	atomic_store(&s->over, true);
	sem_post(&s->wake);
	pthread_join(s->guard, NULL);
	for (struct f3_runner *r = s->runners; r; r = r->next)
		if (f3_runner_sprints(r))
			stop_runner(r, IDLE, f3_clock_mono_ns());
}

void f3_sprint_free(struct f3_sprint *s)
{
	if (!s)
		return;
	while (s->runners) {
		struct f3_runner *r = s->runners;

		s->runners = r->next;
		close_fd(&r->schedstat);
		close_fd(&r->stat);
		free(r);
	}
	sem_destroy(&s->wake);
	sem_destroy(&s->probed);
	f3_lock_done(&s->lock);
	free(s);
}

unsigned f3_sprint_count(struct f3_sprint *s)
{
	struct f3_runner *r;
	unsigned n = 0;

	if (!s)
		return 0;
	f3_lock(&s->lock);
	r = s->runners;
	f3_unlock(&s->lock);
	for (; r; r = r->next)
		n += f3_runner_sprints(r);
	return n;
}
