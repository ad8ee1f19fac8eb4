/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "fs/base/clock.h"
#include "fs/object/object.h"
#include "tests/unit/object_unit.h"

#define KIND_TEST(name)             \
	START_TEST(name)            \
	{                           \
		if (!unit_open(_i)) \
			return;

#define KIND_END      \
	unit_close(); \
	}             \
	END_TEST

/* ---- Killed anywhere ---- */

/* Writes and replaces objects, and adds parts to an upload, until it is killed. */
static void work_until_killed(int ready)
{
	static char body[300001];
	struct f3_object_store *s = unit_open_fast();
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_op op;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_CREATE);
	op.key = "upload";
	op.gen = &gen;
	if (f3_object_run(s, &op) < 0)
		_exit(3);
	if (write(ready, op.ret_upload, 32) != 32)
		_exit(3);
	for (unsigned i = 0;; i++) {
		char key[16];

		memset(body, 'a' + i % 26, sizeof(body) - 1);
		snprintf(key, sizeof(key), "d%u/k%u", i % 3, i % 7);
		if (unit_put_to(s, (struct unit_put){ .key = key, .text = body }, NULL) < 0)
			_exit(3);
	}
}

static void check_no_partial_object(void)
{
	char *buf = malloc(300002);

	for (unsigned i = 0; i < 21; i++) {
		struct f3_obj_info info;
		char key[16];
		int r;

		snprintf(key, sizeof(key), "d%u/k%u", i % 3, i % 7);
		r = unit_head(key, &info);
		if (r == -ENOENT)
			continue;
		ck_assert_int_eq(r, 0);
		ck_assert_uint_eq(info.size, 300000);
		ck_assert(info.have_gen);
		ck_assert_int_eq(unit_get_from(unit_s, key, info.etag, 0, buf, 300002), 0);
		ck_assert_uint_eq(strspn(buf, (char[]){ buf[0], 0 }), 300000);
	}
	free(buf);
}

START_TEST(a_killed_writer_leaves_no_partial_object)
{
	unsigned uploads = 0, seed = 12345;

	if (!unit_make_dir(_i))
		return;
	for (int round = 0; round < 10; round++) {
		char id[33] = "";
		char path[100];
		uint64_t until;
		int ready[2];
		pid_t pid;

		ck_assert_int_eq(pipe(ready), 0);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (!pid) {
			close(ready[0]);
			work_until_killed(ready[1]);
		}
		close(ready[1]);
		/* somewhere in its work, at another place each time */
		ck_assert_int_eq(read(ready[0], id, 32), 32);
		seed = seed * 1103515245 + 12345;
		until = f3_clock_mono_ns() + seed % 20000000;
		while (f3_clock_mono_ns() < until)
			sched_yield();
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		close(ready[0]);

		/* what it left in tmp is not visible, and goes with the next store to open; its
		 * upload stays */
		unit_s = unit_open_fast();
		check_no_partial_object();
		ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
		f3_object_close(unit_s);
		uploads++;
		ck_assert_uint_eq(unit_count(".f3/upload"), uploads);
		snprintf(path, sizeof(path), ".f3/upload/%s/manifest", id);
		ck_assert_ptr_nonnull(unit_foreign_read(path));
	}
	unit_remove_dir();
}
END_TEST

/* What a running store has in tmp is not another one's to clean away. */
KIND_TEST(a_living_store_keeps_its_temporary_files)
{
	char name[40] = "", path[80];
	struct dirent *d;
	DIR *dir = opendir(unit_path(".f3/tmp"));

	while ((d = readdir(dir))) {
		if (d->d_name[0] != '.')
			snprintf(name, sizeof(name), "%.32s", d->d_name);
	}
	closedir(dir);
	ck_assert_uint_eq(strlen(name), 16);
	snprintf(path, sizeof(path), ".f3/tmp/%s.77", name);
	unit_foreign_write(path, "in the making");
	unit_foreign_write(".f3/tmp/0123456789abcdef.1", "its store has no lock file");
	unit_foreign_write(".f3/tmp/not ours", "whatever");
	f3_object_close(unit_open_again());
	ck_assert_ptr_nonnull(unit_foreign_read(path));
	ck_assert_ptr_null(unit_foreign_read(".f3/tmp/0123456789abcdef.1"));
	ck_assert_ptr_nonnull(unit_foreign_read(".f3/tmp/not ours"));
}
KIND_END

/* ---- Killed at each step ---- */

/* From now on the process is killed when it makes this system call, in any thread. */
static bool kill_at(long call)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .filter = code, .len = sizeof(code) / sizeof(code[0]) };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
}

static const long calls[] = {
	SYS_openat,  SYS_pwrite64,  SYS_fsync,     SYS_fdatasync,
	SYS_fchmod,  SYS_fsetxattr, SYS_utimensat, SYS_renameat,
	SYS_rename,  SYS_renameat2, SYS_unlinkat,  SYS_ftruncate,
	SYS_mkdirat, SYS_symlinkat, SYS_fchownat,  SYS_copy_file_range,
};
#define N_CALLS (int)(sizeof(calls) / sizeof(calls[0]))

enum {
	PUT_ANY,
	PUT_ABSENT,
	PUT_MATCH,
	PUT_LINK,
	COPY,
	SET_ATTR,
	MKDIR,
	RENAME,
	DELETE_MATCH,
	UPLOAD_CREATE,
	UPLOAD_PART,
	UPLOAD_COMPLETE,
	UPLOAD_ABORT,
	N_ACTS
};

/* What the parent prepared for the child. */
static char upload[F3_OBJ_UPLOAD_MAX + 1];
static struct f3_obj_part parts[2];
static struct f3_obj_info old;

static int upload_op(enum f3_obj_type type, uint32_t number)
{
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, type);
	op.key = "u";
	op.gen = &gen;
	op.upload = upload;
	op.part = number;
	if (type == F3_OBJ_UPLOAD_PART) {
		op.off = (number - 1) * 4;
		op.body = number == 1 ? "new " : "object";
		op.len = strlen(op.body);
	}
	op.parts = parts;
	op.n_parts = 2;
	r = f3_object_run(unit_s, &op);
	if (type == F3_OBJ_UPLOAD_CREATE)
		memcpy(upload, op.ret_upload, sizeof(upload));
	if (type == F3_OBJ_UPLOAD_PART)
		parts[number - 1] = op.ret_part;
	f3_object_op_done(&op);
	return r;
}

static int act(int what)
{
	struct f3_obj_attr link = { .mode = S_IFLNK | 0777, .have_mode = true };
	struct f3_obj_attr attr = {
		.mode = 04600, .uid = 7, .have_mode = true, .have_owner = true
	};

	switch (what) {
	case PUT_ANY:
		return unit_put(.key = "k", .text = "new object");
	case PUT_ABSENT:
		return unit_put(.key = "n/n", .text = "new object", .cond = F3_OBJ_ABSENT);
	case PUT_MATCH:
		return unit_put(.key = "k", .text = "new object", .cond = F3_OBJ_MATCH,
				.etag = old.etag);
	case PUT_LINK:
		return unit_put(.key = "k", .text = "new object", .attr = &link);
	case COPY:
		return unit_copy(.key = "src", .key2 = "k");
	case SET_ATTR:
		return unit_set_attr(.key = "k", .attr = &attr);
	case MKDIR:
		return unit_mkdir(.key = "n/dir", .attr = &attr);
	case RENAME:
		return unit_rename(.key = "src", .key2 = "k");
	case DELETE_MATCH:
		return unit_simple(F3_OBJ_DELETE, "k", F3_OBJ_MATCH, old.etag);
	case UPLOAD_CREATE:
		return upload_op(F3_OBJ_UPLOAD_CREATE, 0);
	case UPLOAD_PART:
		return upload_op(F3_OBJ_UPLOAD_PART, 2);
	case UPLOAD_COMPLETE:
		return upload_op(F3_OBJ_UPLOAD_COMPLETE, 0);
	default:
		return upload_op(F3_OBJ_UPLOAD_ABORT, 0);
	}
}

/* Old or new, whole; and who finds the new one finds its generation. */
static void check_after(int what)
{
	struct f3_obj_info info;
	const char *text;
	int r;

	text = unit_text("k");
	ck_assert_msg(!strcmp(text, "old") || (!strcmp(text, "new object") && what != SET_ATTR) ||
			      (what == DELETE_MATCH && !strcmp(text, "-ENOENT")),
		      "act %d left \"%s\"", what, text);
	r = unit_head("k", &info);
	ck_assert(r == -ENOENT || (!r && info.have_gen));
	text = unit_text("src");
	ck_assert(!strcmp(text, "new object") || (what == RENAME && !strcmp(text, "-ENOENT")));
	if (what == RENAME)
		ck_assert(strcmp(text, "-ENOENT") != 0 || !strcmp(unit_text("k"), "new object"));
	text = unit_text("n/n");
	ck_assert(!strcmp(text, "-ENOENT") || !strcmp(text, "new object"));
	r = unit_head("n/dir", &info);
	ck_assert(r == -ENOENT || (!r && info.have_gen && info.attr.uid == 7));
	text = unit_text("u");
	ck_assert(!strcmp(text, "-ENOENT") ||
		  (what == UPLOAD_COMPLETE && !strcmp(text, "new object")));
}

/* What the journal does next: the same again, then the rest of the upload. */
static void go_on(int what)
{
	bool completed = !strcmp(unit_text("u"), "new object");

	if (what != UPLOAD_CREATE && what != UPLOAD_ABORT) {
		if (what != UPLOAD_COMPLETE)
			ck_assert_int_eq(upload_op(F3_OBJ_UPLOAD_PART, 2), 0);
		if (!completed)
			ck_assert_int_eq(upload_op(F3_OBJ_UPLOAD_COMPLETE, 0), 0);
		ck_assert_str_eq(unit_text("u"), "new object");
	}
	ck_assert_int_eq(upload_op(F3_OBJ_UPLOAD_ABORT, 0), 0);
	ck_assert_int_eq(unit_put(.key = "k", .text = "old"), 0);
	ck_assert_int_eq(unit_put(.key = "src", .text = "new object"), 0);
	ck_assert_int_eq(unit_delete("u"), 0);
	ck_assert_int_eq(unit_delete("n/n"), 0);
	ck_assert_int_eq(unit_rmdir("n/dir"), 0);
}

START_TEST(killed_at_each_step)
{
	int what = _i / UNIT_RAMFS, killed = 0;
	struct rlimit no_core = { .rlim_cur = 0 };

	if (UNIT_TSAN) {
		printf("skipped: 400 processes take minutes under the thread sanitizer\n");
		return;
	}
	if (!unit_make_dir(_i % UNIT_RAMFS))
		return;
	unit_s = unit_open_fast();
	ck_assert_int_eq(unit_put(.key = "k", .text = "old"), 0);
	ck_assert_int_eq(unit_put(.key = "src", .text = "new object"), 0);
	for (int c = 0; c < N_CALLS; c++) {
		int status;
		pid_t pid;

		ck_assert_int_eq(unit_head("k", &old), 0);
		ck_assert_int_eq(upload_op(F3_OBJ_UPLOAD_CREATE, 0), 0);
		ck_assert_int_eq(upload_op(F3_OBJ_UPLOAD_PART, 1), 0);
		ck_assert_int_eq(upload_op(F3_OBJ_UPLOAD_PART, 2), 0);
		f3_object_close(unit_s);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (!pid) {
			setrlimit(RLIMIT_CORE, &no_core);
			unit_s = unit_open_fast();
			/* a thread of the store is there, the filter is for it too */
			unit_text("k");
			if (!kill_at(calls[c]))
				_exit(77);
			_exit(act(what) ? 1 : 0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
			printf("skipped: no seccomp filter can be set here\n");
			unit_s = unit_open_fast();
			unit_close();
			return;
		}
		ck_assert((WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) ||
			  (WIFEXITED(status) && !WEXITSTATUS(status)));
		killed += WIFSIGNALED(status);
		unit_s = unit_open_fast();
		ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
		check_after(what);
		go_on(what);
	}
	/* every act makes several of these calls, or the list is out of date */
	ck_assert_int_ge(killed, 3);
	unit_close();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object crash");
	TCase *tc = tcase_create("crash");

	if (f3_unit_forks()) {
		tcase_add_loop_test(tc, a_killed_writer_leaves_no_partial_object, 0, UNIT_RAMFS);
		tcase_add_loop_test(tc, killed_at_each_step, 0, N_ACTS * UNIT_RAMFS);
	}
	tcase_add_loop_test(tc, a_living_store_keeps_its_temporary_files, 0, UNIT_KINDS);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
