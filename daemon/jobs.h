/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs: files being worked on for one verb, a bounded number at a time.
 *
 * The verb's thread adds files, as a walk finds them; adding waits while all places are taken. A
 * job is begun by a function that says at once how it went, hands job->w to whatever calls it
 * later, or has itself made again on a thread of core->blocking. What failed is sent as an item,
 * what was done is counted, and some times a second, if the client asked for it, sent as progress.
 *
 * One thread uses a struct f3_jobs; the functions of waiters may come from any. `lock` (rank QUEUE)
 * guards the states of the jobs.
 */
#ifndef F3_DAEMON_JOBS_H
#define F3_DAEMON_JOBS_H

#include "daemon/verb.h"
#include "fs/core/extents.h"

#define F3_JOBS_MAX 32u

/* What f3_job_fn returns besides -errno. */
enum {
	F3_JOB_DONE = 0,
	F3_JOB_PENDING = 1,	/* job->w will be called with the result */
	F3_JOB_BLOCKS = 2,	/* call again where it may block, with job->blocking set */
};

struct f3_jobs;

struct f3_job {
	struct f3_waiter w;
	struct f3_work work;
	struct f3_jobs *jobs;
	struct f3_inode *inode;		/* referenced */
	char *path;
	size_t path_len;
	uint64_t size_bytes;		/* of the file, when it was added */
	uint64_t bytes;			/* done for it: set by the function, else size_bytes */
	bool blocking;
	int state;
	int result;
};

typedef int f3_job_fn(struct f3_job *job);

struct f3_jobs {
	struct f3_verb *v;
	f3_job_fn *fn;
	void *arg;
	/* Of a pending job: bytes done so far, for progress. NULL: none until it ends. */
	uint64_t (*so_far)(struct f3_job *job);
	/* Is its error none, only a file left as it is? NULL: errors are failures. */
	bool (*tolerate)(struct f3_job *job);
	/* What an error means for this verb; NULL: what errno says. */
	const char *(*explain)(int error);
	unsigned parallel;
	struct f3_lock lock;
	pthread_cond_t ended;
	unsigned n_busy;
	struct f3_job slots[F3_JOBS_MAX];
	/* counted by the verb's thread */
	uint64_t done, failed, kept, bytes;
	uint64_t total, total_bytes;	/* 0: not known */
	int first_error;
	struct f3_buf first_path;
};

/* parallel: at most F3_JOBS_MAX. */
void f3_jobs_init(struct f3_jobs *jobs, struct f3_verb *v, unsigned parallel, f3_job_fn *fn,
		  void *arg);
/* All jobs must have ended (f3_jobs_finish). */
void f3_jobs_done(struct f3_jobs *jobs);

/* 0, or -EPIPE: nobody waits for it any more, -ENOMEM. A file that is gone is no error. */
int f3_jobs_add(struct f3_jobs *jobs, uint64_t ino, const struct f3_buf *path);
/* Counts a failure that needed no job. 0 or -EPIPE. */
int f3_jobs_failed(struct f3_jobs *jobs, const struct f3_buf *path, int error);
/* Waits for all; when nobody waits any more, cancels those that wait. Puts the counts into the
 * answer. 0, or the first failure with its reason. */
int f3_jobs_finish(struct f3_jobs *jobs);

#endif
