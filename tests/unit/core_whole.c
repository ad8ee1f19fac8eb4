/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/unit/core_whole.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/log.h"
#include "fs/core/inode.h"
#include "fs/core/journal_run.h"
#include "fs/core/stage.h"
#include "tests/unit/unit.h"

#define DONE_MAX 4096
#define PATH_BYTES 512

struct whole w;
const struct f3_caller whole_root = { .may_block = true };

/* ---- The store that notes ---- */

struct recorder {
	struct f3_object_store base;
	struct f3_object_store *inner;
	pthread_mutex_t mutex;
	struct done_op done[DONE_MAX];
	size_t n;
};

struct noted {
	struct recorder *rec;
	void (*done)(struct f3_obj_op *op);
	void *owner;
};

static struct recorder *recorder;

static void note(struct f3_obj_op *op)
{
	struct noted *noted = op->owner;
	struct recorder *rec = noted->rec;

	op->owner = noted->owner;
	op->done = noted->done;
	free(noted);
	for (size_t i = 0; w.copies && i < op->n_entries; i++) {
		const struct f3_obj_info *info = &op->entries[i].info;
		struct f3_obj_info left = { .size = info->is_dir ? 0 : info->size,
					    .is_dir = info->is_dir,
					    .modified_ns = info->modified_ns };

		if (!info->is_dir)
			memcpy(left.etag, info->etag, sizeof(left.etag));
		op->entries[i].info = left;
	}
	if (!op->result && f3_obj_type_mutates(op->type)) {
		pthread_mutex_lock(&rec->mutex);
		if (rec->n < DONE_MAX) {
			struct done_op *d = &rec->done[rec->n++];

			d->type = op->type;
			snprintf(d->key, sizeof(d->key), "%s", op->key);
			snprintf(d->key2, sizeof(d->key2), "%s", op->key2 ? op->key2 : "");
		}
		pthread_mutex_unlock(&rec->mutex);
	}
	op->done(op);
}

static void recorder_submit(struct f3_object_store *s, struct f3_obj_op *op)
{
	struct recorder *rec = (struct recorder *)s;
	struct noted *noted = malloc(sizeof(*noted));

	ck_assert_ptr_nonnull(noted);
	*noted = (struct noted){ rec, op->done, op->owner };
	op->done = note;
	op->owner = noted;
	f3_object_submit(rec->inner, op);
}

static void recorder_cancel(struct f3_object_store *s, struct f3_obj_op *op)
{
	f3_object_cancel(((struct recorder *)s)->inner, op);
}

static int recorder_ping(struct f3_object_store *s, struct f3_err *err)
{
	struct f3_object_store *inner = ((struct recorder *)s)->inner;

	return inner->ops->ping(inner, err);
}

static void recorder_close(struct f3_object_store *s)
{
	struct recorder *rec = (struct recorder *)s;

	f3_object_close(rec->inner);
	pthread_mutex_destroy(&rec->mutex);
	free(rec);
	recorder = NULL;
}

static const struct f3_object_ops recorder_ops = {
	.scheme = "recorder",
	.submit = recorder_submit,
	.cancel = recorder_cancel,
	.ping = recorder_ping,
	.close = recorder_close,
};

static void stand_between(void)
{
	struct recorder *rec = calloc(1, sizeof(*rec));

	ck_assert_ptr_nonnull(rec);
	if (w.keyed) {
		f3_object_close(w.volume->store);
		f3_object_keyed_ref(w.keyed);
		w.volume->store = w.keyed;
	}
	rec->inner = w.volume->store;
	rec->base.ops = &recorder_ops;
	rec->base.caps = rec->inner->caps;
	if (w.copies)
		rec->base.caps.rename = rec->base.caps.list_has_attr = false;
	pthread_mutex_init(&rec->mutex, NULL);
	recorder = rec;
	ck_assert_int_eq(f3_object_fault_open(&rec->base, &w.fault), 0);
	w.volume->store = w.fault;
}

size_t whole_done(struct done_op *ops, size_t max)
{
	size_t n;

	pthread_mutex_lock(&recorder->mutex);
	n = recorder->n < max ? recorder->n : max;
	memcpy(ops, recorder->done, n * sizeof(*ops));
	pthread_mutex_unlock(&recorder->mutex);
	return n;
}

void whole_fault(unsigned type, enum f3_object_fault_action action, int error, unsigned times)
{
	const struct f3_object_fault_rule rule = {
		.type = type, .action = action, .error = error, .times = times
	};

	ck_assert_int_eq(f3_object_fault_add(w.fault, &rule), 0);
}

uint64_t whole_count(enum f3_obj_type type)
{
	return f3_object_fault_count(w.fault, type);
}

/* ---- Start and end ---- */

/* Everything of all checks lies below it, and is mounted in a mount namespace of this program: so
 * nothing is left of a check that failed or was killed. */
static char top[144];

static void set(const char *key, const char *fmt, const char *value)
{
	struct f3_err err = F3_ERR_INIT;
	char text[PATH_BYTES];

	snprintf(text, sizeof(text), fmt, value);
	ck_assert_msg(f3_conf_set(w.conf, key, text, "test", &err) == 0, "%s", err.text);
}

void whole_prepare(const char *class_, unsigned retry_max_ms)
{
	struct f3_err err = F3_ERR_INIT;
	char url[PATH_BYTES + 8], ms[32], log[PATH_BYTES];

	memset(&w, 0, sizeof(w));
	w.class_ = class_;
	snprintf(w.dir, sizeof(w.dir), "%s/XXXXXX", top);
	ck_assert_ptr_nonnull(mkdtemp(w.dir));
	snprintf(w.store_dir, sizeof(w.store_dir), "%s/store", w.dir);
	snprintf(url, sizeof(url), "file://%s", w.store_dir);
	snprintf(ms, sizeof(ms), "%ums", retry_max_ms);
	snprintf(log, sizeof(log), "%s/log", w.dir);
	ck_assert_msg(f3_log_open(log, false, F3_LOG_INFO, &err) == 0, "%s", err.text);
	ck_assert_int_eq(f3_conf_new(&w.conf), 0);
	set("cache", "%s/cache", w.dir);
	set("run-dir", "%s/run", w.dir);
	set("memory-dir", "%s/memory", w.dir);
	set("memory-size", "%s", "16M");
	set("retry-min", "%s", "1ms");
	set("retry-max", "%s", ms);
	ck_assert_int_eq(f3_conf_add_volume(w.conf, "v", url, "test", &err), 0);
	set("volume.v.default-class", "%s", class_);
	set("volume.v.attr-ttl", "%s", "0");
}

void whole_open(void)
{
	struct f3_err err = F3_ERR_INIT;

	ck_assert_msg(f3_core_start(w.conf, -1, &w.core, &err) == 0, "%s", err.text);
	w.volume = f3_volume_find(w.core, "v");
	ck_assert_ptr_nonnull(w.volume);
	w.root = w.volume->root_ino;
	/* Before anybody asks the store: what a recovery starts does. */
	stand_between();
	ck_assert_msg(f3_core_recover(w.core, &err) == 0, "%s", err.text);
}

void whole_start(const char *class_, unsigned retry_max_ms)
{
	whole_prepare(class_, retry_max_ms);
	whole_open();
}

void whole_start_keyed(const char *class_, unsigned page)
{
	whole_prepare(class_, 20);
	ck_assert_int_eq(f3_object_keyed_open(page, &w.keyed), 0);
	whole_open();
}

static void close_core(void)
{
	f3_object_fault_clear(w.fault);
	f3_object_fault_release(w.fault);
	f3_volume_put(w.volume);
	f3_core_stop(w.core);
}

void whole_restart(void)
{
	close_core();
	whole_open();
}

/* One of the mounts below dir. False: there is none. */
static bool unmount_below(const char *dir)
{
	char line[4096], at[PATH_BYTES];
	FILE *f = fopen("/proc/self/mounts", "r");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %511s", at) == 1 && !strncmp(at, dir, strlen(dir)) &&
			!umount2(at, MNT_DETACH);
	if (f)
		fclose(f);
	return found;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

int whole_enter(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(top, sizeof(top), "%s/f3-unit-whole-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(top)) {
		perror(top);
		return -EIO;
	}
	/* In memory, since what is done there is synced thousands of times. */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", top, "tmpfs", 0, "size=2G"))
		perror("a file system of its own");
	return 0;
}

void whole_leave(void)
{
	/* Of a check that did not come to its end. */
	while (unmount_below(top))
		;
	nftw(top, remove_one, 10, FTW_DEPTH | FTW_PHYS);
}

int whole_run(Suite *suite)
{
	int r;

	if (whole_enter())
		return EXIT_FAILURE;
	r = f3_unit_run(suite);
	whole_leave();
	return r;
}

void whole_clean(void)
{
	char memory[PATH_BYTES];

	f3_object_close(w.keyed);
	w.keyed = NULL;
	f3_conf_free(w.conf);
	f3_log_close();
	snprintf(memory, sizeof(memory), "%s/memory", w.dir);
	while (!umount2(memory, MNT_DETACH))
		;
	nftw(w.dir, remove_one, 10, FTW_DEPTH | FTW_PHYS);
}

void whole_stop(void)
{
	close_core();
	whole_clean();
}

/* ---- Names ---- */

static uint64_t find(const char *path, size_t len)
{
	uint64_t ino = w.root;

	while (len) {
		char name[F3_NAME_MAX + 1];
		size_t n = 0;
		struct f3_entry e;
		uint64_t ttl;

		while (n < len && path[n] != '/')
			n++;
		memcpy(name, path, n);
		name[n] = '\0';
		if (f3_ns_lookup(w.core, ino, name, &whole_root, &e, &ttl))
			return 0;
		ino = e.ino;
		n += n < len;
		path += n;
		len -= n;
	}
	return ino;
}

uint64_t whole_ino(const char *path)
{
	return find(path, strlen(path));
}

/* The directory of a path, and its last component. */
static uint64_t split(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	*ret_name = slash ? slash + 1 : path;
	return slash ? find(path, (size_t)(slash - path)) : w.root;
}

int whole_mkdir(const char *path)
{
	const char *name;
	uint64_t dir = split(path, &name);
	struct f3_entry e;

	return f3_ns_mknod(w.core, dir, name, S_IFDIR | 0755, 0, &whole_root, &e);
}

int whole_rmdir(const char *path)
{
	const char *name;
	uint64_t dir = split(path, &name);

	return f3_ns_rmdir(w.core, dir, name, &whole_root);
}

int whole_unlink(const char *path)
{
	const char *name;
	uint64_t dir = split(path, &name);

	return f3_ns_unlink(w.core, dir, name, &whole_root);
}

int whole_rename(const char *from, const char *to, unsigned flags)
{
	const char *a, *b;
	uint64_t x = split(from, &a), y = split(to, &b);

	return f3_ns_rename(w.core, x, a, y, b, flags, &whole_root);
}

int whole_symlink(const char *target, const char *path)
{
	const char *name;
	uint64_t dir = split(path, &name);
	struct f3_entry e;

	return f3_ns_symlink(w.core, dir, name, target, &whole_root, &e);
}

/* ---- Files ---- */

struct f3_inode *whole_create(const char *path)
{
	struct f3_open_plan plan;
	struct f3_inode *inode;
	struct f3_entry e;
	const char *name;
	int r = -ESTALE;

	/* As open(2) does: looks again from the top, once. */
	for (int tries = 0; r == -ESTALE && tries < 2; tries++) {
		uint64_t dir = split(path, &name);

		ck_assert_msg(dir != 0, "%s: its directory is not found", path);
		r = f3_ns_create(w.core, dir, name, 0640, O_RDWR, &whole_root, &e, &inode, &plan);
	}
	ck_assert_int_eq(r, 0);
	return inode;
}

struct f3_inode *whole_open_file(const char *path, int flags)
{
	struct f3_open_plan plan;
	struct f3_inode *inode;
	int r = -ESTALE;

	for (int tries = 0; r == -ESTALE && tries < 2; tries++) {
		uint64_t ino = whole_ino(path);

		ck_assert_uint_ne(ino, 0);
		ck_assert_int_eq(f3_inode_get(w.core, ino, &inode), 0);
		r = f3_file_open(w.core, inode, flags, &whole_root, &plan);
		if (r)
			f3_inode_put(w.core, inode);
	}
	ck_assert_int_eq(r, 0);
	return inode;
}

void whole_write(struct f3_inode *inode, uint64_t off, const void *bytes, size_t len)
{
	bool close_it;
	int fd;

	ck_assert_int_eq(f3_file_reserve(w.core, inode, off, len, &whole_root), 0);
	f3_lock(&inode->lock);
	fd = f3_file_write_fd(w.core, inode, &close_it);
	f3_unlock(&inode->lock);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, len, (off_t)off), len);
	if (close_it)
		close(fd);
	ck_assert_int_eq(f3_file_written(w.core, inode, off, len, (int64_t)len), len);
}

int whole_flush(struct f3_inode *inode)
{
	struct f3_blocker b;
	int r;

	if (!f3_stage_needed(w.core, inode))
		return 0;
	f3_blocker_init(&b);
	r = f3_stage_commit(w.core, inode, &b.w);
	if (r == 1)
		r = f3_blocker_wait(&b);
	f3_blocker_done(&b);
	return r;
}

void whole_close(struct f3_inode *inode, bool writer)
{
	f3_file_release(w.core, inode, writer, false);
	if (writer)
		(void)f3_file_seal(w.core, inode);
	f3_inode_put(w.core, inode);
}

int whole_put(const char *path, const void *bytes, size_t len)
{
	struct f3_inode *inode =
		whole_ino(path) ? whole_open_file(path, O_WRONLY | O_TRUNC) : whole_create(path);
	bool durable = !strcmp(w.class_, "durable");
	int r;

	if (len)
		whole_write(inode, 0, bytes, len);
	r = durable ? whole_flush(inode) : f3_stage_sync_local(w.core, inode);
	whole_close(inode, true);
	return r;
}

uint8_t whole_state(const char *path)
{
	struct f3_inode *inode;
	uint8_t state;

	ck_assert_int_eq(f3_inode_get(w.core, whole_ino(path), &inode), 0);
	f3_lock(&inode->lock);
	state = inode->rec.state;
	f3_unlock(&inode->lock);
	f3_inode_put(w.core, inode);
	return state;
}

void whole_settle(void)
{
	struct f3_journal_stats stats;

	do {
		struct f3_blocker b;

		f3_blocker_init(&b);
		if (f3_journal_wait_volume(w.core, w.volume->id, &b.w) == 1)
			ck_assert_int_eq(f3_blocker_wait(&b), 0);
		f3_blocker_done(&b);
		f3_journal_stats(w.core, w.volume->id, &stats);
	} while (stats.entries);
}

/* ---- The store from outside ---- */

static const char *path_of(const char *key)
{
	static __thread char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", w.store_dir, key);
	return path;
}

bool store_has(const char *key)
{
	struct stat st;

	return !lstat(path_of(key), &st);
}

void store_is(const char *key, const void *bytes, size_t len)
{
	int fd = open(path_of(key), O_RDONLY);
	char *buf = malloc(len + 1);

	ck_assert_msg(fd >= 0, "no object %s", key);
	ck_assert_ptr_nonnull(buf);
	ck_assert_int_eq(read(fd, buf, len + 1), len);
	ck_assert_msg(!memcmp(buf, bytes, len), "object %s has other bytes", key);
	free(buf);
	close(fd);
}

void store_write(const char *key, const void *bytes, size_t len)
{
	int fd = open(path_of(key), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), len);
	close(fd);
}

void store_remove(const char *key)
{
	ck_assert_int_eq(remove(path_of(key)), 0);
}
