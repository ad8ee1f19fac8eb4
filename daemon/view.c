/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/view_dir.h"
#include "daemon/view_record.h"
#include "fs/base/clock.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/base/process.h"
#include "fs/base/thread.h"
#include "fs/core/activation.h"
#include "fs/core/volume.h"

struct view {
	TAILQ_ENTRY(view) of_table;
	struct f3_view_record rec; /* container and below: of who made it busy, else the lock's */
	size_t held; /* bytes of memory */
	/* the table's lock: */
	bool busy;
	bool recorded; /* busy until it was tried to bind it again */
	bool mounted;
	struct f3_volume *volume; /* NULL: there is none of that name */
	struct f3_err err; /* why it is not mounted */
};

TAILQ_HEAD(view_list, view);

struct f3_views {
	struct f3_core *core;
	struct f3_binder *binder;
	char dir[PATH_MAX];
	int records;
	struct f3_err unable; /* why there are no views */
	pthread_t thread;
	bool binding; /* the thread runs */
	bool in_budget;
	struct f3_lock lock;
	pthread_cond_t idle; /* one is busy no more */
	/* lock: */
	struct view_list views;
	unsigned n;
	size_t held_bytes;
	bool leaving;
};

static _Atomic unsigned bound;

static double bound_now(void *arg)
{
	(void)arg;
	return bound;
}

static struct f3_gauge gauge = {
	.name = "f3_views", .labels = "", .help = "Views that are mounted.", .read = bound_now
};

/* ---- The table -------------------------------------------------------------------------------- */

static struct view *find_locked(struct f3_views *vs, const char *name)
{
	struct view *v;

	TAILQ_FOREACH(v, &vs->views, of_table)
		if (!strcmp(v->rec.spec.name, name))
			return v;
	return NULL;
}

/* The one of this name once nobody works on it, or NULL. */
static struct view *wait_for_locked(struct f3_views *vs, const char *name)
{
	struct view *v;

	while ((v = find_locked(vs, name)) != NULL && v->busy)
		(void)f3_cond_wait(&vs->idle, &vs->lock, 0);
	return v;
}

static void free_view(struct view *v)
{
	if (!v)
		return;
	f3_volume_put(v->volume);
	f3_view_spec_done(&v->rec.spec);
	free(v);
}

static size_t bytes_of(const struct f3_view_spec *spec)
{
	return sizeof(struct view) + strlen(spec->name) + strlen(spec->namespace_) +
	       strlen(spec->place) + 4 * 16 + F3_NAME_MAX;
}

/* Busy, and not in the table yet. NULL: no memory. */
static struct view *new_view(const struct f3_view_spec *spec)
{
	struct view *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->rec.spec = (struct f3_view_spec){
		.name = strdup(spec->name),
		.namespace_ = strdup(spec->namespace_),
		.place = strdup(spec->place),
		.container = strdup(spec->container),
		.pid = spec->pid,
		.read_only = spec->read_only,
	};
	v->held = bytes_of(spec);
	v->busy = true;
	if (v->rec.spec.name && v->rec.spec.namespace_ && v->rec.spec.place &&
	    v->rec.spec.container)
		return v;
	free_view(v);
	return NULL;
}

static int add_locked(struct f3_views *vs, struct view *v)
{
	if (vs->n == F3_VIEWS_MAX || vs->held_bytes + v->held > F3_VIEWS_HELD_MAX)
		return -ENOSPC;
	TAILQ_INSERT_TAIL(&vs->views, v, of_table);
	vs->n++;
	vs->held_bytes += v->held;
	return 0;
}

/* The end of what was done to it. */
static void settle(struct f3_views *vs, struct view *v, bool mounted, const struct f3_err *err)
{
	f3_lock(&vs->lock);
	bound += (unsigned)mounted - (unsigned)v->mounted;
	v->mounted = mounted;
	v->err = mounted ? (struct f3_err)F3_ERR_INIT : *err;
	v->busy = false;
	pthread_cond_broadcast(&vs->idle);
	f3_unlock(&vs->lock);
}

static void forget(struct f3_views *vs, struct view *v)
{
	f3_lock(&vs->lock);
	TAILQ_REMOVE(&vs->views, v, of_table);
	vs->n--;
	vs->held_bytes -= v->held;
	bound -= v->mounted;
	pthread_cond_broadcast(&vs->idle);
	f3_unlock(&vs->lock);
	free_view(v);
}

/* ---- The contract ----------------------------------------------------------------------------- */

static void volume_of(const char *place, char out[F3_NAME_MAX + 1])
{
	size_t len = strcspn(place + 1, "/");

	if (len > F3_NAME_MAX)
		len = 0;
	memcpy(out, place + 1, len);
	out[len] = '\0';
}

/* *ret_volume: referenced. */
static int may_bind(struct f3_views *vs, const struct f3_view_spec *spec,
		    struct f3_volume **ret_volume, struct f3_err *err)
{
	char name[F3_NAME_MAX + 1];
	struct f3_volume *v;
	int r = 0;

	if (vs->unable.code)
		return f3_err_set(err, vs->unable.code, "%s", vs->unable.text);
	volume_of(spec->place, name);
	v = f3_volume_find(vs->core, name);
	if (!v)
		return f3_err_set(err, -ENOENT, "there is no such volume");
	if (spec->namespace_[0] && !f3_volume_allows(v, spec->namespace_))
		r = f3_err_set(err, -EACCES,
			       "namespace %.80s may not bind volume %.80s: see namespace in "
			       "f3.conf(5)",
			       spec->namespace_, name);
	else if (!spec->read_only && v->read_only)
		r = f3_err_set(err, -EROFS, "volume %.80s is read-only", name);
	if (r)
		f3_volume_put(v);
	else
		*ret_volume = v;
	return r;
}

static bool same_target(const struct f3_view_spec *a, const struct f3_view_spec *b)
{
	return !strcmp(a->place, b->place) && !strcmp(a->namespace_, b->namespace_) &&
	       a->read_only == b->read_only;
}

static bool same_container(const struct f3_view_spec *a, const struct f3_view_spec *b)
{
	return !strcmp(a->container, b->container) && a->pid == b->pid;
}

/* ---- The container ---------------------------------------------------------------------------- */

static const char *prefix_of(const char *place)
{
	const char *slash = strchr(place + 1, '/');

	return slash ? slash : "";
}

/* True: what its processes do is told from what others do, when an activation begins in it. A number
 * that another process has got since is nobody's. */
static bool tell_container(struct f3_views *vs, const struct view *v)
{
	const struct f3_view_spec *spec = &v->rec.spec;

	if (spec->pid && v->volume && v->rec.pid_started == f3_process_started(spec->pid) &&
	    !f3_act_container_add(vs->core, spec->name, spec->pid, v->volume,
				  prefix_of(spec->place)))
		return true;
	f3_act_container_del(vs->core, spec->name);
	return false;
}

/* ---- Binding ---------------------------------------------------------------------------------- */

static void target_path(const struct f3_views *vs, const struct view *v, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%.*s/%s", PATH_MAX - F3_NAME_MAX - 2, vs->dir, v->rec.spec.name);
}

static int make_target(const struct f3_views *vs, struct view *v, struct f3_err *err)
{
	char path[PATH_MAX];
	int r;

	target_path(vs, v, path);
	/* Of a bind that nobody was answered. */
	r = f3_view_dir_detach(vs->dir, v->rec.spec.name);
	if (r)
		return f3_err_set(err, r, "%s is in the way: %s", path, strerror(-r));
	if (!mkdir(path, 0755))
		v->rec.made = true;
	else if (errno != EEXIST)
		return f3_err_set(err, -errno, "%s cannot be made: %s", path, strerror(errno));
	return 0;
}

static void remove_target(const struct f3_views *vs, struct view *v)
{
	char path[PATH_MAX];

	target_path(vs, v, path);
	if (v->rec.made)
		(void)rmdir(path);
	v->rec.made = false;
}

/* Of a view that is ours and not mounted. */
static int mount_it(struct f3_views *vs, struct view *v, struct f3_err *err)
{
	const struct f3_view_spec *spec = &v->rec.spec;
	int r = make_target(vs, v, err);

	if (!r)
		r = f3_binder_bind(vs->binder, vs->dir, spec->name, spec->place, spec->read_only,
				   err);
	if (!r) {
		r = f3_view_record_write(vs->records, &v->rec);
		if (r)
			f3_err_set(err, r, "it cannot be recorded: %s", strerror(-r));
	}
	if (r)
		(void)f3_view_dir_detach(vs->dir, spec->name);
	return r;
}

static int bind_new(struct f3_views *vs, struct view *v, bool *ret_told, struct f3_err *err)
{
	int r;

	v->rec.since_real_ns = f3_clock_real_ns();
	v->rec.pid_started = f3_process_started(v->rec.spec.pid);
	r = mount_it(vs, v, err);
	if (r) {
		remove_target(vs, v);
		forget(vs, v);
		return r;
	}
	*ret_told = tell_container(vs, v);
	settle(vs, v, true, err);
	return 0;
}

static void swap_container(struct view *v, char **container, pid_t *pid, uint64_t *started)
{
	const struct f3_view_record was = v->rec;

	v->rec.spec.container = *container;
	v->rec.spec.pid = *pid;
	v->rec.pid_started = *started;
	*container = was.spec.container;
	*pid = was.spec.pid;
	*started = was.pid_started;
}

/* One of the same target: mounted, or once more tried to be. Another container may have it. */
static int bind_again(struct f3_views *vs, struct view *v, const struct f3_view_spec *spec,
		      bool *ret_told, struct f3_err *err)
{
	uint64_t started = f3_process_started(spec->pid);
	char *container = strdup(spec->container);
	bool mounted = v->mounted, other = !same_container(&v->rec.spec, spec);
	pid_t pid = spec->pid;
	int r = container ? 0 : f3_err_set(err, -ENOMEM, "out of memory");

	if (!r && other)
		swap_container(v, &container, &pid, &started);
	if (!r && !mounted) {
		r = mount_it(vs, v, err);
	} else if (!r && other) {
		r = f3_view_record_write(vs->records, &v->rec);
		if (r)
			f3_err_set(err, r, "it cannot be recorded: %s", strerror(-r));
	}
	if (r && other && container)
		swap_container(v, &container, &pid, &started);
	free(container);
	*ret_told = tell_container(vs, v);
	settle(vs, v, mounted || !r, err);
	return r;
}

int f3_view_bind(struct f3_views *vs, const struct f3_view_spec *spec, bool *ret_new,
		 bool *ret_told, struct f3_err *err)
{
	struct view *v, *fresh = NULL;
	struct f3_volume *volume;
	bool is_new = false;
	int r;

	if (spec->pid && !f3_process_started(spec->pid))
		return f3_err_set(err, -ESRCH, "there is no process %d", (int)spec->pid);
	r = may_bind(vs, spec, &volume, err);
	if (r)
		return r;
	fresh = new_view(spec);
	f3_lock(&vs->lock);
	v = wait_for_locked(vs, spec->name);
	if (vs->leaving) {
		r = f3_err_set(err, -ESHUTDOWN, "the daemon stops");
	} else if (v && !same_target(&v->rec.spec, spec)) {
		r = f3_err_set(err, -EEXIST, "view %.80s shows %.200s already (%s)", spec->name,
			       v->rec.spec.place, v->rec.spec.read_only ? "ro" : "rw");
	} else if (v) {
		v->busy = true;
	} else if (!fresh) {
		r = f3_err_set(err, -ENOMEM, "out of memory");
	} else if (add_locked(vs, fresh)) {
		r = f3_err_set(err, -ENOSPC, "there are %u views already", vs->n);
	} else {
		is_new = true;
		v = fresh;
		fresh = NULL;
	}
	if (!r && !v->volume) {
		v->volume = volume;
		volume = NULL;
	}
	f3_unlock(&vs->lock);
	f3_volume_put(volume);
	free_view(fresh);
	if (r)
		return r;
	r = is_new ? bind_new(vs, v, ret_told, err) : bind_again(vs, v, spec, ret_told, err);
	if (!r) {
		*ret_new = is_new;
		if (is_new)
			f3_log_debug("view %s: %s (%s)", spec->name, spec->place,
				     spec->read_only ? "ro" : "rw");
	}
	return r;
}

int f3_view_unbind(struct f3_views *vs, const char *name, bool *ret_was, struct f3_err *err)
{
	struct view *v;
	int r;

	f3_lock(&vs->lock);
	v = wait_for_locked(vs, name);
	if (v)
		v->busy = true;
	f3_unlock(&vs->lock);
	if (!v) {
		*ret_was = false;
		return 0;
	}
	r = f3_view_record_remove(vs->records, name);
	if (r) {
		f3_err_set(err, r, "its record cannot be removed: %s", strerror(-r));
	} else {
		r = f3_view_dir_detach(vs->dir, name);
		if (r)
			f3_err_set(err, r, "it cannot be unmounted: %s", strerror(-r));
	}
	if (r) {
		bool mounted = v->mounted;

		if (mounted)
			(void)f3_view_record_write(vs->records, &v->rec);
		settle(vs, v, mounted, err);
		return r;
	}
	f3_act_container_del(vs->core, name);
	remove_target(vs, v);
	forget(vs, v);
	*ret_was = true;
	f3_log_debug("view %s: gone", name);
	return 0;
}

/* ---- Start ------------------------------------------------------------------------------------ */

struct mounted {
	struct f3_views *vs;
	bool takes_over;
};

static void look_at_mount(void *arg, const char *name, bool ours)
{
	struct mounted *m = arg;
	struct view *v = find_locked(m->vs, name);

	if (!ours)
		return;
	if (!v || !m->takes_over)
		(void)f3_view_dir_detach(m->vs->dir, name);
	else if (!v->mounted) {
		v->mounted = true;
		bound++;
	}
}

static int take_record(void *arg, const struct f3_view_record *rec)
{
	struct f3_views *vs = arg;
	char name[F3_NAME_MAX + 1];
	struct view *v = new_view(&rec->spec);

	if (!v)
		return -ENOMEM;
	if (add_locked(vs, v)) {
		free_view(v);
		return -ENOSPC;
	}
	v->rec.pid_started = rec->pid_started;
	v->rec.since_real_ns = rec->since_real_ns;
	v->rec.made = rec->made;
	volume_of(rec->spec.place, name);
	v->volume = f3_volume_find(vs->core, name);
	return 0;
}

static void drop_record(void *arg, const struct f3_view_record *rec)
{
	struct f3_views *vs = arg;
	char path[PATH_MAX];

	if (rec->made &&
	    snprintf(path, sizeof(path), "%s/%s", vs->dir, rec->spec.name) < (int)sizeof(path))
		(void)rmdir(path);
}

static int read_records(struct f3_views *vs, struct f3_err *err)
{
	struct mounted m = { vs, vs->core->takes_over };
	struct view *v;
	int r;

	vs->records = f3_view_records_open(vs->core->cache_dir);
	r = vs->records < 0 ? vs->records : 0;
	if (!r)
		r = f3_view_records_read(vs->records, take_record, drop_record, vs);
	if (r)
		return f3_err_set(err, r, "what is recorded of views in %s cannot be read: %s",
				  vs->core->cache_dir, strerror(-r));
	r = f3_view_dir_each(vs->dir, look_at_mount, &m);
	if (r)
		return f3_err_set(err, r, "/proc/self/mountinfo: %s", strerror(-r));
	TAILQ_FOREACH(v, &vs->views, of_table) {
		v->busy = v->recorded = !v->mounted;
		/* Activations go on, also where the mount does not. */
		(void)tell_container(vs, v);
	}
	return 0;
}

int f3_views_start(struct f3_core *core, struct f3_binder *binder, struct f3_views **ret_vs,
		   struct f3_err *err)
{
	const char *run_dir = f3_conf_str(core->conf, "f3", NULL, "run-dir");
	struct f3_views *vs = calloc(1, sizeof(*vs));
	int r;

	if (!vs)
		return f3_err_set(err, -ENOMEM, "out of memory");
	vs->core = core;
	vs->binder = binder;
	vs->records = -1;
	TAILQ_INIT(&vs->views);
	f3_lock_init(&vs->lock, F3_RANK_TRANSFER);
	f3_cond_init(&vs->idle);
	f3_gauge_register(&gauge);
	if (f3_budget_try_take(core->budget, F3_ACCT_CONTROL, F3_VIEWS_HELD_MAX)) {
		f3_views_stop(vs);
		return f3_err_set(err, -ENOMEM, "memory-limit leaves nothing for views");
	}
	vs->in_budget = true;
	r = f3_view_dir_path(run_dir, vs->dir, sizeof(vs->dir));
	if (r)
		f3_err_set(&vs->unable, r, "run-dir: %s", strerror(-r));
	else
		r = f3_view_dir_make(vs->dir, &vs->unable);
	if (!r)
		r = read_records(vs, &vs->unable);
	if (r)
		f3_log_warn("no views can be bound: %s", vs->unable.text);
	*ret_vs = vs;
	return 0;
}

static struct view *next_locked(struct f3_views *vs)
{
	struct view *v;

	if (vs->leaving)
		return NULL;
	TAILQ_FOREACH(v, &vs->views, of_table)
		if (v->recorded)
			return v;
	return NULL;
}

/* Until it is through nobody else touches what it still has to bind: those are busy. */
static void *bind_recorded(void *arg)
{
	struct f3_views *vs = arg;
	struct view *v;

	for (;;) {
		struct f3_err err = F3_ERR_INIT;
		struct f3_volume *volume;
		int r;

		f3_lock(&vs->lock);
		v = next_locked(vs);
		if (v)
			v->recorded = false;
		f3_unlock(&vs->lock);
		if (!v)
			return NULL;
		r = may_bind(vs, &v->rec.spec, &volume, &err);
		if (!r) {
			f3_volume_put(volume);
			r = mount_it(vs, v, &err);
		}
		if (r) {
			f3_act_container_del(vs->core, v->rec.spec.name);
			f3_log_warn("view %s is not bound again: %s", v->rec.spec.name, err.text);
		}
		settle(vs, v, !r, &err);
	}
}

int f3_views_serve(struct f3_views *vs, struct f3_err *err)
{
	int r = 0;

	f3_lock(&vs->lock);
	if (next_locked(vs)) {
		r = f3_thread_start(&vs->thread, "views", bind_recorded, vs);
		vs->binding = !r;
	}
	f3_unlock(&vs->lock);
	return r ? f3_err_set(err, r, "threads cannot be started: %s", strerror(-r)) : 0;
}

/* ---- Stop ------------------------------------------------------------------------------------- */

/* One that is mounted and that nobody works on, now busy; NULL: none is left. */
static struct view *take_mounted(struct f3_views *vs)
{
	struct view *v;

	f3_lock(&vs->lock);
	do {
		bool busy = false;

		TAILQ_FOREACH(v, &vs->views, of_table) {
			if (v->mounted && !v->busy)
				break;
			busy |= v->busy && !v->recorded;
		}
		if (v || !busy)
			break;
		(void)f3_cond_wait(&vs->idle, &vs->lock, 0);
	} while (true);
	if (v)
		v->busy = true;
	f3_unlock(&vs->lock);
	return v;
}

void f3_views_leave(struct f3_views *vs)
{
	struct f3_err err = F3_ERR_INIT;
	struct view *v;
	bool binding;

	if (!vs)
		return;
	f3_lock(&vs->lock);
	vs->leaving = true;
	binding = vs->binding;
	vs->binding = false;
	f3_unlock(&vs->lock);
	if (binding)
		pthread_join(vs->thread, NULL);
	f3_err_set(&err, -ESHUTDOWN, "the daemon stops");
	while ((v = take_mounted(vs)) != NULL) {
		int r = f3_view_dir_detach(vs->dir, v->rec.spec.name);

		if (r)
			f3_log_warn("view %s cannot be unmounted: %s", v->rec.spec.name,
				    strerror(-r));
		settle(vs, v, false, &err);
	}
}

void f3_views_stop(struct f3_views *vs)
{
	struct view *v;

	if (!vs)
		return;
	f3_views_leave(vs);
	while ((v = TAILQ_FIRST(&vs->views)) != NULL)
		forget(vs, v);
	if (!vs->unable.code && vs->in_budget)
		f3_view_dir_remove(vs->dir);
	if (vs->in_budget)
		f3_budget_give(vs->core->budget, F3_ACCT_CONTROL, F3_VIEWS_HELD_MAX);
	if (vs->records >= 0)
		close(vs->records);
	pthread_cond_destroy(&vs->idle);
	f3_lock_done(&vs->lock);
	free(vs);
}

/* ---- What there is ---------------------------------------------------------------------------- */

const char *f3_views_dir(const struct f3_views *vs)
{
	return vs->dir;
}

unsigned f3_views_count(struct f3_views *vs)
{
	unsigned n;

	f3_lock(&vs->lock);
	n = vs->n;
	f3_unlock(&vs->lock);
	return n;
}

/* Under the lock: at most F3_VIEWS_MAX small objects, and only when an admin asks. */
json_t *f3_views_list(struct f3_views *vs)
{
	json_t *all = json_array(), *one;
	struct view *v;
	int r = all ? 0 : -ENOMEM;

	f3_lock(&vs->lock);
	TAILQ_FOREACH(v, &vs->views, of_table) {
		const char *state = v->busy ? "busy" : v->mounted ? "bound" : "failed";

		one = json_object();
		/* What a call works on may change under us. */
		r |= v->busy ? json_object_set_new(one, "view", json_string(v->rec.spec.name)) :
			       f3_view_describe(&v->rec.spec, one);
		r |= json_object_set_new(one, "state", json_string(state));
		if (!v->busy)
			r |= json_object_set_new(one, "since",
						 json_real((double)v->rec.since_real_ns / 1e9));
		if (!v->busy && !v->mounted)
			r |= json_object_set_new(one, "reason", json_string(v->err.text));
		r |= json_array_append_new(all, one);
	}
	f3_unlock(&vs->lock);
	if (!r)
		return all;
	json_decref(all);
	return NULL;
}

bool f3_views_of_volume(struct f3_views *vs, const char *volume, char ret_name[F3_NAME_MAX + 1])
{
	struct view *v;

	f3_lock(&vs->lock);
	TAILQ_FOREACH(v, &vs->views, of_table)
		if (v->volume && !strcmp(v->volume->name, volume))
			break;
	if (v)
		snprintf(ret_name, F3_NAME_MAX + 1, "%s", v->rec.spec.name);
	f3_unlock(&vs->lock);
	return v != NULL;
}
