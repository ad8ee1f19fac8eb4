/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which a store learns of changes, and what a start makes of the journal of a run that
 * ended at any request.
 */
#include "config.h"

#include "fs/core/journal_run.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/core/store_dir.h"
#include "tests/unit/core_whole.h"
#include "tests/unit/unit.h"

/* ---- What is there, as text: "path=content" sorted ---- */

#define LINES_MAX 128
#define LINE 96

struct lines {
	char text[LINES_MAX][LINE];
	size_t n;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void sort(struct lines *l)
{
	qsort(l->text, l->n, LINE, by_text);
}

static void add_line(struct lines *l, const char *path, const char *content)
{
	ck_assert_uint_lt(l->n, LINES_MAX);
	snprintf(l->text[l->n++], LINE, "%s=%s", path, content);
}

static bool same(const struct lines *a, const struct lines *b)
{
	for (size_t i = 0; i < a->n && i < b->n; i++)
		if (strcmp(a->text[i], b->text[i]) != 0)
			return false;
	return a->n == b->n;
}

static void print(const char *what, const struct lines *l)
{
	printf("%s:\n", what);
	for (size_t i = 0; i < l->n; i++)
		printf("\t%s\n", l->text[i]);
}

static struct lines *walked;

static int walk_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	const char *key = path + strlen(w.store_dir);
	char content[64] = "/";
	ssize_t n;
	int fd;

	(void)at;
	if (!*key || !strncmp(key, "/.f3", 4))
		return 0;
	if (type == FTW_SL) {
		n = readlink(path, content, sizeof(content) - 1);
		content[n > 0 ? n : 0] = '\0';
	} else if (S_ISREG(st->st_mode)) {
		fd = open(path, O_RDONLY);
		n = read(fd, content, sizeof(content) - 1);
		content[n > 0 ? n : 0] = '\0';
		close(fd);
	}
	add_line(walked, key + 1, content);
	return 0;
}

static void walk_store(struct lines *ret)
{
	ret->n = 0;
	walked = ret;
	ck_assert_int_eq(nftw(w.store_dir, walk_one, 10, FTW_PHYS), 0);
	sort(ret);
}

struct level {
	struct lines *to;
	char path[64];
};

static void walk_dir(uint64_t ino, const char *path, struct lines *to);

static int walk_entry(void *arg, const char *name, size_t len, uint64_t cookie,
		      const struct f3_entry *e)
{
	struct level *level = arg;
	char path[64], content[64] = "/";
	struct f3_inode *inode;
	uint64_t ino;

	(void)cookie;
	if (name[0] == '.')
		return 0;
	ck_assert_int_lt(snprintf(path, sizeof(path), "%s%s%.*s", level->path,
				  *level->path ? "/" : "", (int)len, name),
			 sizeof(path));
	ino = e->ino ? e->ino : whole_ino(path);
	if (S_ISDIR(e->st.st_mode)) {
		add_line(level->to, path, content);
		walk_dir(ino, path, level->to);
		return 0;
	}
	ck_assert_int_eq(f3_inode_get(w.core, ino, &inode), 0);
	if (S_ISLNK(inode->rec.mode)) {
		snprintf(content, sizeof(content), "%s", inode->rec.target);
	} else {
		int fd = f3_backing_open_file(f3_file_store(inode), ino, inode->rec.backing,
					      O_RDONLY);
		ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof(content) - 1);

		/* Not here: what the store has under its key is what would be fetched. */
		content[n > 0 ? n : 0] = '\0';
		if (n < 0)
			snprintf(content, sizeof(content), "?%zu", (size_t)inode->rec.size);
		if (fd >= 0)
			close(fd);
	}
	f3_inode_put(w.core, inode);
	add_line(level->to, path, content);
	return 0;
}

static void walk_dir(uint64_t ino, const char *path, struct lines *to)
{
	struct level level = { .to = to };

	snprintf(level.path, sizeof(level.path), "%s", path);
	ck_assert_int_eq(f3_ns_readdir(w.core, ino, 0, true, &whole_root, walk_entry, &level), 0);
}

static void walk_here(struct lines *ret)
{
	ret->n = 0;
	walk_dir(w.root, "", ret);
	sort(ret);
}

/* Here and in the store the same; bytes that are not here count by their number. */
static void agree(void)
{
	static struct lines here, there;

	walk_here(&here);
	walk_store(&there);
	for (size_t i = 0; i < here.n && i < there.n; i++) {
		char *a = strstr(here.text[i], "=?"), *b = strchr(there.text[i], '=');

		if (a && strtoull(a + 2, NULL, 10) == strlen(b + 1))
			memcpy(here.text[i], there.text[i], LINE);
	}
	if (!same(&here, &there)) {
		print("here", &here);
		print("in the store", &there);
		ck_abort_msg("the names differ");
	}
}

/* ---- Order ---- */

enum kind { PUT, MKDIR, DELETE, RMDIR, RENAME };

struct said {
	enum kind kind;
	char key[64], key2[64];
};

#define SAID_MAX 400

static struct said said[SAID_MAX];
static size_t n_said;

static void say(enum kind kind, const char *key, const char *key2)
{
	ck_assert_uint_lt(n_said, SAID_MAX);
	said[n_said].kind = kind;
	snprintf(said[n_said].key, 64, "%s", key);
	snprintf(said[n_said].key2, 64, "%s", key2);
	n_said++;
}

static bool in_dir(const char *key, const char *dir)
{
	size_t len = strlen(dir);

	if (!*key)
		return false;
	if (!len)
		return !strchr(key, '/');
	return !strncmp(key, dir, len) && key[len] == '/' && !strchr(key + len + 1, '/');
}

static void dir_of(const char *key, char *out)
{
	const char *slash = strrchr(key, '/');

	snprintf(out, 64, "%.*s", slash ? (int)(slash - key) : 0, key);
}

static bool orders(enum kind kind)
{
	return kind == DELETE || kind == RMDIR || kind == RENAME;
}

/* Does `later` have to come after `first`? */
static bool depends(const struct said *later, const struct said *first)
{
	char dirs[3][64] = { "", "\1", "\1" };

	if (first->kind == MKDIR && in_dir(later->key, first->key))
		return true;
	if (!orders(later->kind))
		return false;
	dir_of(later->key, dirs[0]);
	if (later->kind == RENAME)
		dir_of(later->key2, dirs[1]);
	if (later->kind == RMDIR)
		snprintf(dirs[2], 64, "%s", later->key);
	for (int i = 0; i < 3; i++)
		if (dirs[i][0] != '\1' &&
		    (in_dir(first->key, dirs[i]) || in_dir(first->key2, dirs[i])))
			return true;
	return false;
}

static bool is_it(const struct done_op *d, const struct said *s)
{
	static const enum f3_obj_type types[] = { [PUT] = F3_OBJ_PUT,
						  [MKDIR] = F3_OBJ_MKDIR,
						  [DELETE] = F3_OBJ_DELETE,
						  [RMDIR] = F3_OBJ_RMDIR,
						  [RENAME] = F3_OBJ_RENAME };

	return d->type == types[s->kind] && !strcmp(d->key, s->key) &&
	       (s->kind != RENAME || !strcmp(d->key2, s->key2));
}

/* Where in the order of the store it shows; SIZE_MAX: never (undone before). */
static size_t shows(const struct done_op *ops, size_t n, const struct said *s)
{
	for (size_t i = 0; i < n; i++)
		if (is_it(&ops[i], s))
			return i;
	return SIZE_MAX;
}

static unsigned rnd(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

/* Every name is used once, so that what the store did can be told to what was said. */
static void random_changes(unsigned seed)
{
	static const char *const tops[] = { "", "p/", "q/" };
	char files[64][64], dirs[16][64];
	unsigned n_files = 0, n_dirs = 0, next = 0;

	for (int i = 0; i < 100; i++) {
		unsigned what = rnd(&seed, 10);
		const char *top = tops[rnd(&seed, 3)];
		char path[64], inner[64];

		snprintf(path, sizeof(path), "%sn%u", top, next);
		if (what < 4 && n_files < 60) {
			if (n_dirs && rnd(&seed, 2)) {
				snprintf(inner, sizeof(inner), "%s/n%u", dirs[rnd(&seed, n_dirs)],
					 next);
				memcpy(path, inner, sizeof(path));
			}
			ck_assert_int_eq(whole_put(path, path, strlen(path)), 0);
			say(PUT, path, "");
			memcpy(files[n_files++], path, 64);
		} else if (what < 6 && n_dirs < 16) {
			ck_assert_int_eq(whole_mkdir(path), 0);
			say(MKDIR, path, "");
			memcpy(dirs[n_dirs++], path, 64);
		} else if (what < 8 && n_files) {
			unsigned k = rnd(&seed, n_files);

			ck_assert_int_eq(whole_rename(files[k], path, 0), 0);
			say(RENAME, files[k], path);
			/* Its bytes may follow under the new name. */
			say(PUT, path, "");
			memcpy(files[k], path, 64);
		} else if (what < 9 && n_files) {
			unsigned k = rnd(&seed, n_files);

			ck_assert_int_eq(whole_unlink(files[k]), 0);
			say(DELETE, files[k], "");
			memcpy(files[k], files[--n_files], 64);
		} else if (n_dirs) {
			unsigned k = rnd(&seed, n_dirs);

			if (!whole_rmdir(dirs[k])) {
				say(RMDIR, dirs[k], "");
				memcpy(dirs[k], dirs[--n_dirs], 64);
			}
		}
		next++;
		/* Now and then the delay is over, in the midst of it. */
		if (i % 25 == 24) {
			struct f3_blocker b;

			f3_blocker_init(&b);
			if (f3_journal_wait_volume(w.core, w.volume->id, &b.w) == 1 && i % 50 == 49)
				(void)f3_blocker_wait(&b);
			else if (i % 50 == 24)
				(void)f3_blocker_wait(&b);
			f3_blocker_done(&b);
		}
	}
}

START_TEST(prefix_closed)
{
	static struct done_op ops[4096];
	static const unsigned types[] = { F3_OBJ_PUT, F3_OBJ_DELETE, F3_OBJ_RENAME, F3_OBJ_MKDIR,
					  F3_OBJ_RMDIR };
	unsigned pairs = 0;
	size_t n;

	whole_start("writeback", 1000);
	n_said = 0;
	ck_assert_int_eq(whole_mkdir("p"), 0);
	ck_assert_int_eq(whole_mkdir("q"), 0);
	whole_settle();
	/* Some fail at first, so that others overtake them where they may. */
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (unsigned nth = 2; nth < 60; nth += 5) {
			const struct f3_object_fault_rule rule = {
				.type = types[i],
				.nth = nth + (unsigned)_i % 3,
				.times = 2,
				.action = nth & 1 ? F3_OBJ_FAULT_FAIL : F3_OBJ_FAULT_LOSE,
				.error = -EIO,
			};

			ck_assert_int_eq(f3_object_fault_add(w.fault, &rule), 0);
		}
	}
	random_changes(1000u + (unsigned)_i);
	whole_settle();
	n = whole_done(ops, sizeof(ops) / sizeof(ops[0]));
	for (size_t a = 0; a < n_said; a++) {
		size_t pos = shows(ops, n, &said[a]);

		for (size_t b = 0; b < a && pos != SIZE_MAX; b++) {
			size_t first = shows(ops, n, &said[b]);

			if (first == SIZE_MAX || !depends(&said[a], &said[b]))
				continue;
			pairs++;
			ck_assert_msg(first < pos,
				      "seed %d: %d of %s was in the store before %d of %s", _i,
				      said[a].kind, said[a].key, said[b].kind, said[b].key);
		}
	}
	ck_assert_uint_gt(pairs, 50);
	agree();
	whole_stop();
}
END_TEST

/* ---- A run that ends at any request ---- */

struct model_file {
	char path[48];
	char content[48]; /* "/": a directory */
};

struct model {
	struct model_file file[32];
	size_t n;
};

struct step {
	enum {
		S_MKDIR,
		S_PUT,
		S_CUT,
		S_RENAME,
		S_UNLINK,
		S_RMDIR,
		S_LINK,
		S_SETTLE,
		S_ARM,
		S_END
	} what;
	const char *a, *b;
};

static const struct step tree_steps[] = {
	{ S_MKDIR, "d", NULL },      { S_PUT, "d/a", "first" },   { S_PUT, "b", "bee" },
	{ S_LINK, "d/l", "a" },      { S_RENAME, "d/a", "c" },    { S_PUT, "d/a", "second" },
	{ S_RENAME, "b", "c" },      { S_MKDIR, "d/e", NULL },    { S_PUT, "d/e/f", "deep" },
	{ S_RENAME, "d", "n" },      { S_PUT, "n/e/f", "again" }, { S_UNLINK, "n/a", NULL },
	{ S_UNLINK, "n/e/f", NULL }, { S_RMDIR, "n/e", NULL },    { S_PUT, "c", "last" },
	{ S_UNLINK, "n/l", NULL },   { S_RMDIR, "n", NULL },      { S_END, NULL, NULL },
};

/* What takes the place of an object has it until its own bytes are there, and moves and goes with
 * it. */
static const struct step replacing_steps[] = {
	{ S_PUT, "a", "first" },  { S_SETTLE, NULL, NULL }, { S_PUT, "b", "second" },
	{ S_RENAME, "b", "a" },   { S_RENAME, "a", "c" },   { S_PUT, "a", "third" },
	{ S_SETTLE, NULL, NULL }, { S_RENAME, "c", "d" },   { S_PUT, "e", "fourth" },
	{ S_RENAME, "e", "d" },   { S_RENAME, "d", "f" },   { S_UNLINK, "f", NULL },
	{ S_END, NULL, NULL },
};

/* Renamed with bytes that are not up yet. */
static const struct step dirty_steps[] = {
	{ S_PUT, "a", "first" },   { S_CUT, "a", "fir" },     { S_RENAME, "a", "b" },
	{ S_RENAME, "b", "c" },    { S_CUT, "c", "f" },       { S_PUT, "d", "second" },
	{ S_CUT, "d", "sec" },     { S_RENAME, "d", "c" },    { S_MKDIR, "e", NULL },
	{ S_PUT, "e/x", "third" }, { S_CUT, "e/x", "th" },    { S_RENAME, "e", "n" },
	{ S_CUT, "n/x", "t" },     { S_UNLINK, "n/x", NULL }, { S_END, NULL, NULL },
};

/* For a store that renames by copies: many on their way at once. */
static const struct step moving_steps[] = {
	{ S_MKDIR, "d", NULL },   { S_PUT, "d/a", "first" }, { S_PUT, "d/c", "" },
	{ S_LINK, "d/l", "a" },   { S_MKDIR, "d/e", NULL },  { S_PUT, "d/e/f", "deep" },
	{ S_SETTLE, NULL, NULL }, { S_ARM, NULL, NULL },     { S_RENAME, "d", "n" },
	{ S_END, NULL, NULL },
};

static const struct step *steps;

static struct model_file *model_find(struct model *m, const char *path)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->file[i].path, path))
			return &m->file[i];
	return NULL;
}

static void model_put(struct model *m, const char *path, const char *content)
{
	struct model_file *f = model_find(m, path);

	if (!f)
		f = &m->file[m->n++];
	snprintf(f->path, sizeof(f->path), "%s", path);
	snprintf(f->content, sizeof(f->content), "%s", content);
}

static void model_drop(struct model *m, const char *path)
{
	struct model_file *f = model_find(m, path);

	if (f)
		*f = m->file[--m->n];
}

static void model_rename(struct model *m, const char *from, const char *to)
{
	size_t len = strlen(from);

	model_drop(m, to);
	for (size_t i = 0; i < m->n; i++) {
		char path[96];

		if (strncmp(m->file[i].path, from, len) != 0 ||
		    (m->file[i].path[len] && m->file[i].path[len] != '/'))
			continue;
		snprintf(path, sizeof(path), "%s%s", to, m->file[i].path + len);
		snprintf(m->file[i].path, sizeof(m->file[i].path), "%.47s", path);
	}
}

static void model_step(struct model *m, const struct step *s)
{
	switch (s->what) {
	case S_MKDIR:
		model_put(m, s->a, "/");
		break;
	case S_PUT:
	case S_CUT:
	case S_LINK:
		model_put(m, s->a, s->b);
		break;
	case S_RENAME:
		model_rename(m, s->a, s->b);
		break;
	case S_UNLINK:
	case S_RMDIR:
		model_drop(m, s->a);
		break;
	case S_SETTLE:
	case S_ARM:
	case S_END:
		break;
	}
}

static void model_lines(const struct model *m, struct lines *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < m->n; i++)
		add_line(ret, m->file[i].path, m->file[i].content);
	sort(ret);
}

/* truncate(2): nobody waits for the commit. */
static int cut(const char *path, uint64_t size)
{
	struct f3_inode *inode;
	int r = f3_inode_get(w.core, whole_ino(path), &inode);

	if (r)
		return r;
	r = f3_file_truncate(w.core, inode, size, &whole_root);
	f3_inode_put(w.core, inode);
	return r;
}

static struct f3_object_fault_rule last_request;

static int do_step(const struct step *s)
{
	switch (s->what) {
	case S_MKDIR:
		return whole_mkdir(s->a);
	case S_PUT:
		return whole_put(s->a, s->b, strlen(s->b));
	case S_CUT:
		return cut(s->a, strlen(s->b));
	case S_LINK:
		return whole_symlink(s->b, s->a);
	case S_RENAME:
		return whole_rename(s->a, s->b, 0);
	case S_UNLINK:
		return whole_unlink(s->a);
	case S_RMDIR:
		return whole_rmdir(s->a);
	case S_SETTLE:
		whole_settle();
		break;
	case S_ARM:
		return f3_object_fault_add(w.fault, &last_request);
	case S_END:
		break;
	}
	return 0;
}

static _Atomic int *progress; /* steps that have ended, seen by the parent */

static void *run_steps(void *arg)
{
	for (const struct step *s = steps; s->what != S_END; s++) {
		if (do_step(s))
			_exit(3);
		*progress = *progress + 1;
	}
	whole_settle();
	_exit(0);
	return arg;
}

/* Runs the steps and ends with the nth request: not begun, or done and not answered. True: there
 * were not so many. */
static bool run_until(unsigned nth, bool done)
{
	pid_t pid;
	int status;

	*progress = 0;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		pthread_t thread;

		last_request = (struct f3_object_fault_rule){
			.type = F3_OBJ_FAULT_ANY_TYPE,
			.nth = nth,
			.times = UINT_MAX,
			.action = done ? F3_OBJ_FAULT_HOLD_ANSWER : F3_OBJ_FAULT_HOLD,
		};
		whole_open();
		if ((steps != moving_steps && f3_object_fault_add(w.fault, &last_request)) ||
		    pthread_create(&thread, NULL, run_steps, NULL))
			_exit(3);
		f3_object_fault_wait_held(w.fault, 1);
		_exit(9);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0),
		      "status %x after %d steps", (unsigned)status, *progress);
	return WEXITSTATUS(status) == 0;
}

/* After it everything acknowledged is there, and nothing that was not begun. A put is two calls: the
 * end may lie between the open that creates or truncates the file and the write. */
static void verify(const char *class_, unsigned nth, bool done)
{
	static struct lines before, between, after, store;
	struct model m = { .n = 0 };
	int n = *progress;

	whole_open();
	whole_settle();
	for (int i = 0; i < n; i++)
		model_step(&m, &steps[i]);
	model_lines(&m, &before);
	if (steps[n].what == S_PUT)
		model_put(&m, steps[n].a, "");
	model_lines(&m, &between);
	model_step(&m, &steps[n]);
	model_lines(&m, &after);
	walk_store(&store);
	if (!same(&store, &before) && !same(&store, &between) && !same(&store, &after)) {
		printf("%s, request %u%s, after %d steps\n", class_, nth, done ? " done" : "", n);
		print("in the store", &store);
		print("wanted", &before);
		print("or", &between);
		print("or", &after);
		fflush(stdout);
		ck_abort_msg("the store shows something else");
	}
	agree();
	f3_volume_put(w.volume);
	f3_core_stop(w.core);
}

START_TEST(any_request_is_the_last)
{
	static const char *const classes[] = { "durable", "writeback" };
	static const struct step *const all[] = { tree_steps, replacing_steps, dirty_steps,
						  moving_steps };
	bool done = _i & 1, end = false;
	unsigned nth;

	steps = all[_i / 4];
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	ck_assert_ptr_ne(progress, MAP_FAILED);
	for (nth = 1; !end; nth++) {
		whole_prepare(classes[_i / 2 & 1], 300);
		w.copies = steps == moving_steps;
		end = run_until(nth, done);
		verify(classes[_i / 2 & 1], nth, done);
		whole_clean();
	}
	ck_assert_uint_gt(nth, 10);
}
END_TEST

/* ---- Files in the place of others, told to a store that is slow to hear of it ---- */

/* Odd: of a store that renames by copies. What moves objects waits for let_go. */
static void start_slow(bool copies)
{
	whole_start("writeback", 300);
	if (copies)
		w.fault->caps.rename = false;
}

static void keep_waiting(void)
{
	whole_fault(F3_OBJ_RENAME, F3_OBJ_FAULT_HOLD, 0, UINT_MAX);
	whole_fault(F3_OBJ_COPY, F3_OBJ_FAULT_HOLD, 0, UINT_MAX);
}

static void let_go(void)
{
	f3_object_fault_clear(w.fault);
	f3_object_fault_release(w.fault);
	whole_settle();
	agree();
}

static void put_text(const char *path, const char *text)
{
	ck_assert_int_eq(whole_put(path, text, strlen(text)), 0);
}

START_TEST(replaced_moved_removed)
{
	start_slow(_i & 1);
	put_text("a", "first");
	whole_settle();
	put_text("b", "second");
	keep_waiting();
	ck_assert_int_eq(whole_rename("b", "a", 0), 0);
	ck_assert_int_eq(whole_rename("a", "c", 0), 0);
	ck_assert_int_eq(whole_unlink("c"), 0);
	let_go();
	ck_assert(!store_has("a") && !store_has("c"));
	whole_stop();
}
END_TEST

START_TEST(moved_replaced_removed)
{
	start_slow(_i & 1);
	put_text("a", "first");
	whole_settle();
	put_text("b", "second");
	keep_waiting();
	ck_assert_int_eq(whole_rename("a", "c", 0), 0);
	ck_assert_int_eq(whole_rename("b", "c", 0), 0);
	ck_assert_int_eq(whole_unlink("c"), 0);
	let_go();
	ck_assert(!store_has("a") && !store_has("c"));
	whole_stop();
}
END_TEST

/* Each has the bytes it was written with, and none is set aside as if others had been at work. */
START_TEST(moved_replaced_moved)
{
	start_slow(_i & 1);
	put_text("a", "first");
	whole_settle();
	put_text("b", "second");
	keep_waiting();
	ck_assert_int_eq(whole_rename("a", "c", 0), 0);
	ck_assert_int_eq(whole_rename("b", "c", 0), 0);
	ck_assert_int_eq(whole_rename("c", "d", 0), 0);
	put_text("c", "third");
	let_go();
	store_is("c", "third", 5);
	store_is("d", "second", 6);
	ck_assert(!store_has("a") && !store_has("c.f3-conflict-1"));
	whole_stop();
}
END_TEST

/* Of others, whose marks are not ours. */
START_TEST(foreign_moved_removed)
{
	start_slow(_i & 1);
	store_write("a", "first", 5);
	ck_assert_uint_ne(whole_ino("a"), 0);
	keep_waiting();
	ck_assert_int_eq(whole_rename("a", "c", 0), 0);
	ck_assert_int_eq(whole_unlink("c"), 0);
	let_go();
	ck_assert(!store_has("a") && !store_has("c"));
	whole_stop();
}
END_TEST

/* One that came from the store takes the place of one that moves there. */
START_TEST(foreign_moved_over)
{
	start_slow(_i & 1);
	store_write("a", "first", 5);
	ck_assert_uint_ne(whole_ino("a"), 0);
	put_text("b", "second");
	whole_settle();
	keep_waiting();
	ck_assert_int_eq(whole_rename("b", "c", 0), 0);
	ck_assert_int_eq(whole_rename("a", "c", 0), 0);
	let_go();
	store_is("c", "first", 5);
	ck_assert(!store_has("a") && !store_has("b"));
	whole_stop();
}
END_TEST

/* Nothing was ever written to it: it is empty all the same. */
START_TEST(empty_in_its_place)
{
	struct f3_inode *inode;

	start_slow(_i & 1);
	put_text("a", "first");
	whole_settle();
	inode = whole_create("b");
	ck_assert_int_eq(whole_rename("b", "a", 0), 0);
	whole_close(inode, true);
	whole_settle();
	agree();
	store_is("a", "", 0);
	whole_stop();
}
END_TEST

/* What a store would never take is refused before anything has happened. */
START_TEST(keys_too_long_below)
{
	static const char *const classes[] = { "durable", "writeback" };
	char deep[F3_KEY_MAX + 1], name[201] = "", to[256];
	uint64_t renames;
	size_t len = 1;

	whole_start(classes[_i], 300);
	memset(name, 'n', 200);
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_mkdir("f2345678901234"), 0);
	ck_assert_int_eq(whole_mkdir("f23456789012345"), 0);
	snprintf(deep, sizeof(deep), "d");
	for (int i = 0; i < 4; i++) {
		len += (size_t)snprintf(deep + len, sizeof(deep) - len, "/%s", name);
		ck_assert_int_eq(whole_mkdir(deep), 0);
	}
	/* With it 809 of the 1,024 bytes are taken. */
	snprintf(deep + len, sizeof(deep) - len, "/file");
	put_text(deep, "deep");
	whole_settle();
	renames = whole_count(F3_OBJ_RENAME);
	snprintf(to, sizeof(to), "f23456789012345/%s", name);
	ck_assert_int_eq(whole_rename("d", to, 0), -ENAMETOOLONG);
	whole_settle();
	ck_assert_uint_eq(whole_count(F3_OBJ_RENAME), renames);
	ck_assert(store_has("d") && !store_has(to));
	snprintf(to, sizeof(to), "f2345678901234/%s", name);
	ck_assert_int_eq(whole_rename("d", to, 0), 0);
	whole_settle();
	ck_assert_uint_eq(whole_count(F3_OBJ_RENAME), renames + 1);
	ck_assert(!store_has("d") && store_has(to));
	whole_stop();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("core_journal");
	TCase *t = tcase_create("order"), *replay = tcase_create("replay");
	TCase *slow = tcase_create("slow store");

	tcase_set_timeout(slow, 60);
	tcase_add_loop_test(slow, replaced_moved_removed, 0, 2);
	tcase_add_loop_test(slow, moved_replaced_removed, 0, 2);
	tcase_add_loop_test(slow, moved_replaced_moved, 0, 2);
	tcase_add_loop_test(slow, foreign_moved_removed, 0, 2);
	tcase_add_loop_test(slow, foreign_moved_over, 0, 2);
	tcase_add_loop_test(slow, empty_in_its_place, 0, 2);
	tcase_add_loop_test(slow, keys_too_long_below, 0, 2);
	suite_add_tcase(s, slow);

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, prefix_closed, 0, 6);
	suite_add_tcase(s, t);
	if (f3_unit_forks()) {
		tcase_set_timeout(replay, 300);
		tcase_add_loop_test(replay, any_request_is_the_last, 0, 13);
		tcase_add_loop_test(replay, any_request_is_the_last, 15, 16);
		suite_add_tcase(s, replay);
	}
	return s;
}

int main(void)
{
	return whole_run(suite());
}
