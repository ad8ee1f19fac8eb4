/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"

#define TICK_NS (F3_NS_PER_SEC / 5)

enum { FREE, BUSY, ENDED };

void f3_jobs_init(struct f3_jobs *jobs, struct f3_verb *v, unsigned parallel, f3_job_fn *fn,
		  void *arg)
{
	memset(jobs, 0, sizeof(*jobs));
	jobs->v = v;
	jobs->fn = fn;
	jobs->arg = arg;
	jobs->parallel = parallel < F3_JOBS_MAX ? parallel : F3_JOBS_MAX;
	f3_lock_init(&jobs->lock, F3_RANK_QUEUE);
	f3_cond_init(&jobs->ended);
	f3_buf_init(&jobs->first_path, 65536);
}

void f3_jobs_done(struct f3_jobs *jobs)
{
	pthread_cond_destroy(&jobs->ended);
	f3_lock_done(&jobs->lock);
	f3_buf_done(&jobs->first_path);
}

/* ---- What was done --------------------------------------------------------------------------- */

static const char *reason_of(const struct f3_jobs *jobs, int error)
{
	const char *why = jobs->explain ? jobs->explain(error) : NULL;

	return why ? why : strerror(-error);
}

static int send_failure(struct f3_jobs *jobs, const char *path, size_t len, int error)
{
	json_t *item = json_object();

	if (!jobs->first_error) {
		jobs->first_error = error;
		f3_buf_put(&jobs->first_path, path, len);
	}
	jobs->failed++;
	f3_wire_set_place(item, path, len);
	json_object_set_new(item, "error", json_string(f3_errno_name(error)));
	json_object_set_new(item, "message", json_string(reason_of(jobs, error)));
	return f3_verb_send(jobs->v, "item", item);
}

int f3_jobs_failed(struct f3_jobs *jobs, const struct f3_buf *path, int error)
{
	return send_failure(jobs, (const char *)path->data, path->len, error);
}

static uint64_t bytes_so_far(struct f3_jobs *jobs)
{
	uint64_t bytes = jobs->bytes;

	for (unsigned i = 0; jobs->so_far && i < jobs->parallel; i++) {
		struct f3_job *job = &jobs->slots[i];
		bool busy;

		f3_lock(&jobs->lock);
		busy = job->state == BUSY;
		f3_unlock(&jobs->lock);
		/* the slot is ours until this thread takes what ended */
		if (busy)
			bytes += jobs->so_far(job);
	}
	return bytes;
}

static int send_progress(struct f3_jobs *jobs)
{
	if (!f3_verb_flag(jobs->v, "progress") || !f3_verb_progress_due(jobs->v))
		return 0;
	return f3_verb_send(jobs->v, "progress",
			    json_pack("{sI sI sI sI sI}", "files", (json_int_t)jobs->done, "total",
				      (json_int_t)jobs->total, "bytes",
				      (json_int_t)bytes_so_far(jobs), "total_bytes",
				      (json_int_t)jobs->total_bytes, "failed",
				      (json_int_t)jobs->failed));
}

/* A job's result is counted and its place free again. */
static int settle(struct f3_jobs *jobs, struct f3_job *job)
{
	int r = 0;

	if (!job->result) {
		jobs->done++;
		jobs->bytes += job->bytes;
	} else if (jobs->tolerate && jobs->tolerate(job)) {
		jobs->kept++;
	} else {
		r = send_failure(jobs, job->path, job->path_len, job->result);
	}
	f3_inode_put(jobs->v->core, job->inode);
	free(job->path);
	f3_lock(&jobs->lock);
	job->state = FREE;
	f3_unlock(&jobs->lock);
	return r;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static void end_job(struct f3_job *job, int result)
{
	struct f3_jobs *jobs = job->jobs;

	f3_lock(&jobs->lock);
	job->result = result;
	job->state = ENDED;
	jobs->n_busy--;
	pthread_cond_signal(&jobs->ended);
	f3_unlock(&jobs->lock);
}

static void waiter_called(struct f3_waiter *w, int result)
{
	end_job((struct f3_job *)w, result);
}

static void run_blocking(struct f3_work *work)
{
	struct f3_job *job = (struct f3_job *)((char *)work - offsetof(struct f3_job, work));

	end_job(job, job->jobs->fn(job));
}

static void begin(struct f3_jobs *jobs, struct f3_job *job)
{
	int r = jobs->fn(job);

	if (r == F3_JOB_PENDING)
		return;
	if (r == F3_JOB_BLOCKS) {
		job->blocking = true;
		job->work.fn = run_blocking;
		if (!f3_workq_push(jobs->v->core->blocking, &job->work))
			return;
		/* The queue is full: this thread may block as well. */
		r = jobs->fn(job);
	}
	end_job(job, r);
}

/* Takes what has ended; with all places taken, or `all`, waits. Ends early when the client went. */
static int collect(struct f3_jobs *jobs, bool all)
{
	int r = 0;

	for (;;) {
		struct f3_job *job = NULL;
		bool wait;

		f3_lock(&jobs->lock);
		for (unsigned i = 0; i < jobs->parallel && !job; i++)
			if (jobs->slots[i].state == ENDED)
				job = &jobs->slots[i];
		wait = !job && jobs->n_busy && (all || jobs->n_busy >= jobs->parallel);
		if (wait)
			(void)f3_cond_wait(&jobs->ended, &jobs->lock, f3_clock_mono_ns() + TICK_NS);
		f3_unlock(&jobs->lock);
		if (job)
			r = settle(jobs, job);
		if (!r)
			r = send_progress(jobs);
		if (!r && f3_verb_stopped(jobs->v))
			r = -EPIPE;
		if (r || (!job && !wait))
			return r;
	}
}

int f3_jobs_add(struct f3_jobs *jobs, uint64_t ino, const struct f3_buf *path)
{
	struct f3_job *job = NULL;
	struct f3_inode *inode;
	int r = collect(jobs, false);

	if (r)
		return r;
	f3_lock(&jobs->lock);
	for (unsigned i = 0; i < jobs->parallel && !job; i++)
		if (jobs->slots[i].state == FREE)
			job = &jobs->slots[i];
	f3_unlock(&jobs->lock);
	r = f3_inode_get(jobs->v->core, ino, &inode);
	if (r == -ENOENT || r == -ESTALE)
		return 0;
	if (r)
		return f3_jobs_failed(jobs, path, r);
	*job = (struct f3_job){ .jobs = jobs, .inode = inode, .path_len = path->len };
	job->w.fn = waiter_called;
	job->path = strndup((const char *)path->data, path->len);
	if (!job->path) {
		f3_inode_put(jobs->v->core, inode);
		return -ENOMEM;
	}
	f3_lock(&inode->lock);
	job->size_bytes = job->bytes = S_ISREG(inode->rec.mode) ? inode->rec.size : 0;
	f3_unlock(&inode->lock);
	f3_lock(&jobs->lock);
	job->state = BUSY;
	jobs->n_busy++;
	f3_unlock(&jobs->lock);
	begin(jobs, job);
	return 0;
}

/* Nobody waits any more: what waits for bytes or for the store is not waited for here either. */
static void cancel_all(struct f3_jobs *jobs)
{
	for (unsigned i = 0; i < jobs->parallel; i++) {
		struct f3_job *job = &jobs->slots[i];
		bool busy, canceled;

		f3_lock(&jobs->lock);
		busy = job->state == BUSY;
		f3_unlock(&jobs->lock);
		if (!busy)
			continue;
		f3_lock(&job->inode->lock);
		canceled = f3_waiter_cancel(&job->w);
		f3_unlock(&job->inode->lock);
		if (canceled)
			end_job(job, -ECANCELED);
	}
	f3_lock(&jobs->lock);
	while (jobs->n_busy)
		(void)f3_cond_wait(&jobs->ended, &jobs->lock, 0);
	f3_unlock(&jobs->lock);
	for (unsigned i = 0; i < jobs->parallel; i++)
		if (jobs->slots[i].state == ENDED)
			(void)settle(jobs, &jobs->slots[i]);
}

int f3_jobs_finish(struct f3_jobs *jobs)
{
	struct f3_verb *v = jobs->v;
	int r = collect(jobs, true);

	if (r)
		cancel_all(jobs);
	json_object_set_new(v->answer, "files", json_integer((json_int_t)jobs->done));
	json_object_set_new(v->answer, "bytes", json_integer((json_int_t)jobs->bytes));
	json_object_set_new(v->answer, "failed", json_integer((json_int_t)jobs->failed));
	if (jobs->tolerate)
		json_object_set_new(v->answer, "kept", json_integer((json_int_t)jobs->kept));
	if (r || !jobs->first_error)
		return r;
	if (jobs->failed > 1)
		return f3_err_set(&v->err, jobs->first_error, "%llu files failed",
				  (unsigned long long)jobs->failed);
	return f3_verb_error(v, jobs->first_error, &jobs->first_path,
			     reason_of(jobs, jobs->first_error));
}
