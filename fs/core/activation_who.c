/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activation_who: which activation a thread belongs to, by its control group.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/hash.h"
#include "fs/core/activation_impl.h"

/* A thread is of the control group it was in so long ago. Much shorter than it takes for its number to
 * be given to another, much longer than a request. */
#define CGROUP_TTL_NS (100 * F3_NS_PER_MS)

#define SLOTS 1024u
#define SLOT_LOCKS 64u
/* A file of /proc; what does not fit is not looked at. */
#define CGROUPS_BYTES 8192u

struct slot {
	pid_t pid;
	uint64_t epoch, until_mono_ns;
	struct f3_activation *act; /* a reference, or NULL */
};

struct f3_acts_threads {
	struct f3_lock locks[SLOT_LOCKS]; /* of the slots with that number, modulo */
	struct slot slots[SLOTS];
};

/* ---- /proc/PID/cgroup ------------------------------------------------------------------------ */

static int read_cgroups(pid_t pid, char text[CGROUPS_BYTES])
{
	char name[64];
	ssize_t len;
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	len = read(fd, text, CGROUPS_BYTES - 1);
	close(fd);
	if (len <= 0)
		return -ESRCH;
	text[len] = '\0';
	return 0;
}

/* Lines are "NUMBER:CONTROLLERS:PATH", see cgroups(7). Until fn has something to say. */
static void each_cgroup(char *text, bool (*fn)(void *arg, const char *hierarchy, char *path),
			void *arg)
{
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		char *controllers, *path;

		*end = '\0';
		controllers = strchr(line, ':');
		path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		if (fn(arg, controllers + 1, path))
			return;
	}
}

/* The order in which a container is looked for: what runtimes always set first. */
static int preference(const char *hierarchy)
{
	static const char *const order[] = { "",    "pids",        "memory", "name=systemd",
					     "cpu", "cpu,cpuacct", "freezer" };
	int n = sizeof(order) / sizeof(order[0]);

	for (int i = 0; i < n; i++)
		if (!strcmp(hierarchy, order[i]))
			return i;
	return n;
}

struct looking {
	struct f3_act_place ours[F3_ACT_HIERARCHIES];
	unsigned n_ours;
	struct f3_act_place *best;
	int best_at;
};

static bool note_ours(void *arg, const char *hierarchy, char *path)
{
	struct looking *l = arg;
	struct f3_act_place *p = &l->ours[l->n_ours];

	if (l->n_ours < F3_ACT_HIERARCHIES &&
	    (size_t)snprintf(p->hierarchy, sizeof(p->hierarchy), "%s", hierarchy) <
		    sizeof(p->hierarchy) &&
	    (size_t)snprintf(p->cgroup, sizeof(p->cgroup), "%s", path) < sizeof(p->cgroup))
		l->n_ours++;
	return false;
}

/* Whoever is above us, or where we are, would be taken for it, too. */
static bool is_ours(const struct looking *l, const char *hierarchy, const char *path)
{
	size_t len = strlen(path);

	if (len <= 1)
		return true;
	for (unsigned i = 0; i < l->n_ours; i++)
		if (!strcmp(l->ours[i].hierarchy, hierarchy))
			return !strncmp(l->ours[i].cgroup, path, len) &&
			       (!l->ours[i].cgroup[len] || l->ours[i].cgroup[len] == '/');
	return true;
}

static bool look_for_best(void *arg, const char *hierarchy, char *path)
{
	struct looking *l = arg;
	int at = preference(hierarchy);

	if (at >= l->best_at || is_ours(l, hierarchy, path) ||
	    strlen(hierarchy) >= F3_ACT_HIERARCHY_MAX || strlen(path) >= F3_ACT_CGROUP_MAX)
		return false;
	l->best_at = at;
	snprintf(l->best->hierarchy, sizeof(l->best->hierarchy), "%s", hierarchy);
	snprintf(l->best->cgroup, sizeof(l->best->cgroup), "%s", path);
	return false;
}

int f3_act_place_of(pid_t pid, struct f3_act_place *ret_place)
{
	struct looking *l = calloc(1, sizeof(*l));
	char text[CGROUPS_BYTES];
	int r;

	if (!l)
		return -ENOMEM;
	l->best = ret_place;
	l->best_at = INT32_MAX;
	r = read_cgroups(getpid(), text);
	if (!r) {
		each_cgroup(text, note_ours, l);
		r = read_cgroups(pid, text);
	}
	if (!r)
		each_cgroup(text, look_for_best, l);
	if (!r && l->best_at == INT32_MAX)
		r = -EINVAL;
	free(l);
	return r;
}

/* ---- Containers ------------------------------------------------------------------------------ */

static unsigned bucket_of(const char *text, size_t len)
{
	return (unsigned)(f3_hash64(text, len, 0) % F3_ACT_BUCKETS);
}

struct f3_act_container *f3_act_container_find(struct f3_acts *a, const char *name)
{
	struct f3_act_container *c = a->by_name[bucket_of(name, strlen(name))];

	while (c && strcmp(c->name, name) != 0)
		c = c->next_name;
	return c;
}

static int hierarchy_of(const struct f3_acts *a, const char *name)
{
	for (unsigned i = 0; i < F3_ACT_HIERARCHIES; i++)
		if (a->hierarchies[i].n && !strcmp(a->hierarchies[i].name, name))
			return (int)i;
	return -1;
}

static int hierarchy_use(struct f3_acts *a, const char *name)
{
	int at = hierarchy_of(a, name);

	for (unsigned i = 0; at < 0 && i < F3_ACT_HIERARCHIES; i++) {
		if (a->hierarchies[i].n)
			continue;
		snprintf(a->hierarchies[i].name, sizeof(a->hierarchies[i].name), "%s", name);
		at = (int)i;
	}
	if (at >= 0)
		a->hierarchies[at].n++;
	return at;
}

struct f3_act_container *f3_act_container_new(struct f3_acts *a, const char *name,
					      const struct f3_act_place *place, struct f3_volume *v,
					      char *prefix)
{
	struct f3_act_container *c, **bucket;

	if (a->n_containers >= F3_ACT_LIVE_MAX)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	if (hierarchy_use(a, place->hierarchy) < 0) {
		free(c);
		return NULL;
	}
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->place = *place;
	c->volume = v;
	c->prefix = prefix;
	c->refs = 1;
	bucket = &a->by_cgroup[bucket_of(place->cgroup, strlen(place->cgroup))];
	c->next = *bucket;
	*bucket = c;
	if (c->name[0]) {
		bucket = &a->by_name[bucket_of(c->name, strlen(c->name))];
		c->next_name = *bucket;
		*bucket = c;
	}
	a->n_containers++;
	return c;
}

static void unname(struct f3_acts *a, struct f3_act_container *c)
{
	struct f3_act_container **at = &a->by_name[bucket_of(c->name, strlen(c->name))];

	while (*at && *at != c)
		at = &(*at)->next_name;
	if (*at)
		*at = c->next_name;
}

void f3_act_container_put(struct f3_acts *a, struct f3_act_container *c,
			  struct f3_volume **ret_volume)
{
	struct f3_act_container **at;

	*ret_volume = NULL;
	if (--c->refs)
		return;
	at = &a->by_cgroup[bucket_of(c->place.cgroup, strlen(c->place.cgroup))];
	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	a->hierarchies[hierarchy_of(a, c->place.hierarchy)].n--;
	a->n_containers--;
	*ret_volume = c->volume;
	free(c->prefix);
	free(c);
}

int f3_act_container_add(struct f3_core *core, const char *name, pid_t pid, struct f3_volume *v,
			 const char *prefix)
{
	struct f3_acts *a = core->acts;
	struct f3_act_container *old, *c;
	struct f3_volume *old_volume = NULL;
	struct f3_act_place place;
	char *copy = strdup(prefix);
	int r = copy ? f3_act_place_of(pid, &place) : -ENOMEM;

	if (r) {
		free(copy);
		return r;
	}
	f3_volume_ref(v);
	f3_lock(&a->lock);
	old = f3_act_container_find(a, name);
	c = f3_act_container_new(a, name, &place, v, copy);
	if (c && old) {
		unname(a, old);
		f3_act_container_put(a, old, &old_volume);
	}
	a->epoch++;
	f3_unlock(&a->lock);
	if (!c) {
		f3_volume_put(v);
		free(copy);
		return -ENOSPC;
	}
	f3_volume_put(old_volume);
	return 0;
}

int f3_act_view(struct f3_core *core, const char *name, struct f3_volume **ret_v, char **ret_prefix)
{
	struct f3_act_container *c;
	char *prefix = NULL;

	f3_lock(&core->acts->lock);
	c = f3_act_container_find(core->acts, name);
	if (c)
		prefix = strdup(c->prefix);
	if (prefix) {
		*ret_v = c->volume;
		f3_volume_ref(c->volume);
		*ret_prefix = prefix;
	}
	f3_unlock(&core->acts->lock);
	return prefix ? 0 : c ? -ENOMEM : -ENOENT;
}

void f3_act_container_del(struct f3_core *core, const char *name)
{
	struct f3_acts *a = core->acts;
	struct f3_volume *volume = NULL;
	struct f3_act_container *c;

	f3_lock(&a->lock);
	c = f3_act_container_find(a, name);
	if (c) {
		unname(a, c);
		f3_act_container_put(a, c, &volume);
		a->epoch++;
	}
	f3_unlock(&a->lock);
	f3_volume_put(volume);
}

/* ---- Threads --------------------------------------------------------------------------------- */

int f3_act_threads_new(struct f3_acts *a)
{
	a->threads = calloc(1, sizeof(*a->threads));
	if (!a->threads)
		return -ENOMEM;
	for (unsigned i = 0; i < SLOT_LOCKS; i++)
		f3_lock_init(&a->threads->locks[i], F3_RANK_THREADS);
	return 0;
}

void f3_act_threads_free(struct f3_acts *a)
{
	struct f3_acts_threads *t = a->threads;

	if (!t)
		return;
	for (unsigned i = 0; i < SLOTS; i++)
		f3_act_put(t->slots[i].act);
	for (unsigned i = 0; i < SLOT_LOCKS; i++)
		f3_lock_done(&t->locks[i]);
	free(t);
}

void f3_act_threads_forget(struct f3_acts *a, const struct f3_activation *act)
{
	struct f3_acts_threads *t = a->threads;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct f3_activation *had = NULL;

		f3_lock(&t->locks[i % SLOT_LOCKS]);
		if (t->slots[i].act == act) {
			had = t->slots[i].act;
			t->slots[i] = (struct slot){ .pid = 0 };
		}
		f3_unlock(&t->locks[i % SLOT_LOCKS]);
		f3_act_put(had);
	}
}

struct asking {
	struct f3_acts *a;
	struct f3_activation *act;
	struct f3_act_place place;
};

unsigned f3_act_live_at(const struct f3_acts *a, const struct f3_act_place *place,
			struct f3_activation **ret_act)
{
	struct f3_act_container *c = a->by_cgroup[bucket_of(place->cgroup, strlen(place->cgroup))];
	unsigned n = 0;

	*ret_act = NULL;
	for (; c; c = c->next) {
		if (!c->n_acts || strcmp(c->place.cgroup, place->cgroup) != 0 ||
		    strcmp(c->place.hierarchy, place->hierarchy) != 0)
			continue;
		n += c->n_acts;
		*ret_act = c->act;
	}
	if (n > 1)
		*ret_act = NULL;
	return n;
}

/* Its own control group, else the nearest above it that is a container. */
static bool find_container(void *arg, const char *hierarchy, char *path)
{
	struct asking *q = arg;
	struct f3_act_place *at = &q->place;

	if (hierarchy_of(q->a, hierarchy) < 0 || strlen(path) >= sizeof(at->cgroup))
		return false;
	snprintf(at->hierarchy, sizeof(at->hierarchy), "%s", hierarchy);
	snprintf(at->cgroup, sizeof(at->cgroup), "%s", path);
	for (;;) {
		char *slash;

		if (f3_act_live_at(q->a, at, &q->act)) {
			if (q->act)
				f3_act_ref(q->act);
			return true;
		}
		slash = strrchr(at->cgroup, '/');
		if (!slash || slash == at->cgroup)
			return false;
		*slash = '\0';
	}
}

static struct f3_activation *act_of_cgroup(struct f3_acts *a, pid_t pid, uint64_t *ret_epoch)
{
	struct asking q = { .a = a };
	char text[CGROUPS_BYTES];
	int r = read_cgroups(pid, text);

	f3_lock(&a->lock);
	*ret_epoch = a->epoch;
	if (!r)
		each_cgroup(text, find_container, &q);
	f3_unlock(&a->lock);
	return q.act;
}

struct f3_activation *f3_act_of_slow(struct f3_core *core, pid_t pid)
{
	struct f3_acts *a = core->acts;
	struct f3_acts_threads *t = a->threads;
	unsigned at = (unsigned)pid % SLOTS;
	struct f3_lock *lock = &t->locks[at % SLOT_LOCKS];
	struct slot *slot = &t->slots[at];
	struct f3_activation *act = NULL, *had = NULL;
	uint64_t now = f3_clock_mono_ns(), epoch;
	bool known;

	f3_lock(lock);
	known = slot->pid == pid && slot->epoch == a->epoch && now < slot->until_mono_ns;
	if (known && slot->act) {
		act = slot->act;
		f3_act_ref(act);
	}
	f3_unlock(lock);
	if (known)
		return act;
	act = act_of_cgroup(a, pid, &epoch);
	f3_lock(lock);
	/* Else somebody may just be forgetting it. */
	if (epoch == a->epoch) {
		had = slot->act;
		*slot = (struct slot){
			.pid = pid, .epoch = epoch, .until_mono_ns = now + CGROUP_TTL_NS, .act = act
		};
		if (act)
			f3_act_ref(act);
	}
	f3_unlock(lock);
	f3_act_put(had);
	return act;
}
