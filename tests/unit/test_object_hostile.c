/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "fs/object/object.h"
#include "tests/unit/object_unit.h"

/* ---- Keys ---- */

static const char *const bad_keys[] = {
	".",      "..",        "a/.",        "a/..",     "./a",          "../a",      "a/../b",
	"a//b",   "../../etc", "a/./b",      ".f3",      ".f3/tmp",      ".f3/tmp/x", ".f3/upload",
	".f3/id", ".f3/gen/1", ".f3/probes", ".f3/../x", ".f3/stages/x",
};

START_TEST(bad_key)
{
	const char *key = bad_keys[_i];
	struct f3_obj_attr attr = { .mode = 0600, .have_mode = true };
	struct f3_obj_info info;

	ck_assert(unit_open(UNIT_TMPFS));
	ck_assert_int_eq(unit_put(.key = "a", .text = "x"), 0);
	ck_assert_str_eq(unit_text(key), "-EINVAL");
	ck_assert_int_eq(unit_head(key, &info), -EINVAL);
	ck_assert_int_eq(unit_put(.key = key, .text = "x"), -EINVAL);
	ck_assert_int_eq(unit_delete(key), -EINVAL);
	ck_assert_int_eq(unit_mkdir(.key = key), -EINVAL);
	ck_assert_int_eq(unit_rmdir(key), -EINVAL);
	ck_assert_int_eq(unit_set_attr(.key = key, .attr = &attr), -EINVAL);
	ck_assert_int_eq(unit_copy(.key = "a", .key2 = key), -EINVAL);
	ck_assert_int_eq(unit_copy(.key = key, .key2 = "b"), -EINVAL);
	ck_assert_int_eq(unit_rename(.key = "a", .key2 = key), -EINVAL);
	ck_assert_int_eq(unit_rename(.key = key, .key2 = "b"), -EINVAL);
	ck_assert_int_eq(unit_simple(F3_OBJ_LIST, key, F3_OBJ_ANY, NULL), -EINVAL);
	ck_assert_uint_eq(unit_count(""), 2);
	unit_close();
}
END_TEST

START_TEST(odd_but_good_keys)
{
	static const char *const keys[] = {
		"...",  "..a",          "a..", ".f3x", ".f3.txt", "d/.f3",       "d/.f3/tmp/x", " ",
		"a\nb", "\x01\xff\x80", "-rf", "*",    "\\",      ".f3/stage/x", ".f3/probe/x",
	};

	ck_assert(unit_open(UNIT_TMPFS));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		ck_assert_int_eq(unit_put(.key = keys[i], .text = keys[i]), 0);
		ck_assert_str_eq(unit_text(keys[i]), keys[i]);
		ck_assert_str_eq(unit_foreign_read(keys[i]), keys[i]);
		ck_assert_int_eq(unit_delete(keys[i]), 0);
	}
	unit_close();
}
END_TEST

START_TEST(long_keys)
{
	char key[F3_OBJ_KEY_MAX + 2];
	struct f3_obj_info info;

	ck_assert(unit_open(UNIT_TMPFS));
	/* as long as a name, and longer */
	memset(key, 'n', 256);
	key[255] = 0;
	ck_assert_int_eq(unit_put(.key = key, .text = "x"), 0);
	key[255] = 'n';
	key[256] = 0;
	ck_assert_int_eq(unit_put(.key = key, .text = "x"), -ENAMETOOLONG);
	ck_assert_int_eq(unit_head(key, &info), -ENAMETOOLONG);
	/* as deep as a key goes, and deeper */
	for (int i = 0; i < F3_OBJ_KEY_MAX; i++)
		key[i] = i % 2 ? '/' : 'd';
	key[F3_OBJ_KEY_MAX - 1] = 'd';
	key[F3_OBJ_KEY_MAX] = 0;
	ck_assert_int_eq(unit_put(.key = key, .text = "deep"), 0);
	ck_assert_str_eq(unit_text(key), "deep");
	key[F3_OBJ_KEY_MAX] = 'd';
	key[F3_OBJ_KEY_MAX + 1] = 0;
	ck_assert_int_eq(unit_put(.key = key, .text = "x"), -ENAMETOOLONG);
	unit_close();
}
END_TEST

/* ---- Links that lead out ---- */

/* Called as it is, and with the system calls that make it easy denied. */
static void links_do_not_lead_out(void)
{
	struct f3_obj_info info;

	unit_foreign_write("outside", "secret");
	ck_assert_int_eq(symlink("/etc", unit_path("v/abs")), 0);
	ck_assert_int_eq(symlink("..", unit_path("v/up")), 0);
	ck_assert_int_eq(symlink("../outside", unit_path("v/file")), 0);
	ck_assert_int_eq(symlink("/proc/self/root", unit_path("v/magic")), 0);
	ck_assert_int_eq(mkdir(unit_path("v/d"), 0755), 0);
	ck_assert_int_eq(symlink("../..", unit_path("v/d/up")), 0);

	ck_assert_str_eq(unit_text("abs/passwd"), "-ENOENT");
	ck_assert_str_eq(unit_text("up/outside"), "-ENOENT");
	ck_assert_str_eq(unit_text("d/up/outside"), "-ENOENT");
	ck_assert_str_eq(unit_text("magic/etc/passwd"), "-ENOENT");
	ck_assert_str_eq(unit_text("file"), "../outside");
	ck_assert_int_eq(unit_head("up/outside", &info), -ENOENT);
	ck_assert_int_eq(unit_simple(F3_OBJ_LIST, "up", F3_OBJ_ANY, NULL), -ENOENT);
	ck_assert_int_eq(unit_simple(F3_OBJ_LIST, "d/up", F3_OBJ_ANY, NULL), -ENOENT);
	ck_assert_int_eq(unit_put(.key = "up/outside", .text = "x"), -ENOTDIR);
	ck_assert_int_eq(unit_put(.key = "d/up/new", .text = "x"), -ENOTDIR);
	ck_assert_int_eq(unit_put(.key = "up/new/x", .text = "x"), -ENOTDIR);
	ck_assert_int_eq(unit_mkdir(.key = "up/new"), -ENOTDIR);
	ck_assert_int_eq(unit_delete("up/outside"), 0);
	ck_assert_int_eq(unit_rmdir("up/v"), 0);
	ck_assert_int_eq(unit_rename(.key = "d", .key2 = "up/d"), -ENOTDIR);
	ck_assert_int_eq(unit_rename(.key = "up/outside", .key2 = "x"), -ENOENT);
	ck_assert_int_eq(unit_copy(.key = "up/outside", .key2 = "x"), -ENOENT);
	/* a link is replaced, not written through */
	ck_assert_int_eq(unit_put(.key = "file", .text = "mine"), 0);
	ck_assert_str_eq(unit_text("file"), "mine");
	ck_assert_str_eq(unit_foreign_read("outside"), "secret");
	ck_assert_uint_eq(unit_count(""), 2);
}

static void open_below(void)
{
	struct f3_object_options opt = { .create = true };
	struct f3_err err = F3_ERR_INIT;
	char url[300];

	snprintf(url, sizeof(url), "file://%s/v", unit_dir);
	opt.url = url;
	ck_assert_msg(!f3_object_open(&opt, &unit_s, &err), "%s", err.text);
}

START_TEST(links)
{
	if (!unit_make_dir(_i))
		return;
	open_below();
	links_do_not_lead_out();
	unit_close();
}
END_TEST

static const struct {
	long calls[3];
	size_t n;
	int error;
} denied[] = {
	{ { SYS_openat2 }, 1, ENOSYS },
	{ { SYS_openat2 }, 1, EPERM },
	{ { SYS_renameat2 }, 1, ENOSYS },
	{ { SYS_renameat2, SYS_linkat }, 2, EPERM },
	{ { SYS_copy_file_range, SYS_openat2, SYS_renameat2 }, 3, ENOSYS },
	{ { SYS_flock }, 1, ENOLCK },
};

/* The same store by other means: still the conditions, still no way out. */
START_TEST(with_system_calls_denied)
{
	struct f3_obj_info info;

	ck_assert(unit_make_dir(UNIT_DISK));
	if (!unit_deny(denied[_i].calls, denied[_i].n, denied[_i].error)) {
		printf("skipped: no seccomp filter can be set here\n");
		unit_remove_dir();
		return;
	}
	open_below();
	ck_assert(unit_s->caps.put_match && unit_s->caps.put_absent && unit_s->caps.rename);
	ck_assert(unit_s->caps.copy_source_match && unit_s->caps.complete_match);
	ck_assert_int_eq(unit_put_info(&info, .key = "x/k", .text = "one", .cond = F3_OBJ_ABSENT),
			 0);
	ck_assert_int_eq(unit_put(.key = "x/k", .text = "x", .cond = F3_OBJ_ABSENT), -EEXIST);
	ck_assert_int_eq(
		unit_put(.key = "x/k", .text = "two", .cond = F3_OBJ_MATCH, .etag = info.etag), 0);
	ck_assert_int_eq(
		unit_put(.key = "x/k", .text = "x", .cond = F3_OBJ_MATCH, .etag = info.etag),
		-ESTALE);
	ck_assert_int_eq(unit_copy(.key = "x/k", .key2 = "x/l", .cond = F3_OBJ_ABSENT), 0);
	ck_assert_str_eq(unit_text("x/l"), "two");
	ck_assert_int_eq(unit_mkdir(.key = "x/d", .cond = F3_OBJ_ABSENT), 0);
	ck_assert_int_eq(unit_mkdir(.key = "x/d", .cond = F3_OBJ_ABSENT), -EEXIST);
	ck_assert_int_eq(unit_rename(.key = "x", .key2 = "y"), 0);
	ck_assert_str_eq(unit_text("y/k"), "two");
	ck_assert_int_eq(unit_delete("y/k"), 0);
	ck_assert_int_eq(unit_delete("y/l"), 0);
	ck_assert_int_eq(unit_rmdir("y/d"), 0);
	ck_assert_int_eq(unit_rmdir("y"), 0);
	links_do_not_lead_out();
	unit_close();
}
END_TEST

/* ---- The directory goes away ---- */

static int ping(char *text, size_t size)
{
	struct f3_err err = F3_ERR_INIT;
	int r = unit_s->ops->ping(unit_s, &err);

	snprintf(text, size, "%s", err.text);
	return r;
}

START_TEST(directory_moved_away_and_back)
{
	struct f3_obj_info info;
	char text[300];

	ck_assert(unit_make_dir(_i));
	open_below();
	ck_assert_int_eq(unit_put(.key = "k", .text = "x"), 0);
	ck_assert_int_eq(ping(text, sizeof(text)), 0);
	ck_assert_int_eq(rename(unit_path("v"), unit_path("away")), 0);

	/* what is not there now is not known to be absent */
	ck_assert_int_eq(unit_head("none", &info), -EIO);
	ck_assert_int_eq(unit_delete("none"), -EIO);
	ck_assert_int_eq(unit_simple(F3_OBJ_LIST, "none", F3_OBJ_ANY, NULL), -EIO);
	ck_assert_int_eq(ping(text, sizeof(text)), -EIO);
	ck_assert_ptr_nonnull(strstr(text, unit_path("v")));
	/* once that is known, nothing goes there any more */
	ck_assert_int_eq(unit_put(.key = "k2", .text = "x"), -EIO);
	ck_assert_str_eq(unit_text("k"), "-EIO");
	/* another directory is not it */
	ck_assert_int_eq(mkdir(unit_path("v"), 0755), 0);
	ck_assert_int_eq(ping(text, sizeof(text)), -EIO);
	ck_assert_ptr_nonnull(strstr(text, "not the directory"));
	ck_assert_str_eq(unit_text("k"), "-EIO");
	ck_assert_int_eq(unit_put(.key = "k2", .text = "x"), -EIO);
	ck_assert_ptr_null(unit_foreign_read("v/k2"));

	ck_assert_int_eq(rename(unit_path("v"), unit_path("other")), 0);
	ck_assert_int_eq(rename(unit_path("away"), unit_path("v")), 0);
	ck_assert_int_eq(ping(text, sizeof(text)), 0);
	ck_assert_str_eq(unit_text("k"), "x");
	ck_assert_int_eq(unit_put(.key = "k2", .text = "x"), 0);
	ck_assert_str_eq(unit_foreign_read("v/k2"), "x");
	ck_assert_int_eq(unit_head("none", &info), -ENOENT);
	unit_close();
}
END_TEST

/* The same data in another inode, as when a network file system is mounted again. */
START_TEST(directory_copied_back)
{
	struct f3_obj_info info;
	char text[300];
	pid_t pid;

	ck_assert(unit_make_dir(_i));
	open_below();
	ck_assert_int_eq(unit_put(.key = "k", .text = "x"), 0);
	ck_assert_int_eq(rename(unit_path("v"), unit_path("away")), 0);
	ck_assert_int_eq(unit_head("none", &info), -EIO);
	pid = fork();
	if (!pid) {
		execlp("cp", "cp", "-a", unit_path("away"), unit_path("v"), (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(ping(text, sizeof(text)), 0);
	ck_assert_str_eq(unit_text("k"), "x");
	ck_assert_int_eq(unit_put(.key = "new", .text = "x"), 0);
	ck_assert_str_eq(unit_foreign_read("v/new"), "x");
	ck_assert_ptr_null(unit_foreign_read("away/new"));
	unit_close();
}
END_TEST

START_TEST(directory_removed)
{
	struct f3_obj_op op;
	char text[300];
	pid_t pid;

	ck_assert(unit_make_dir(_i));
	open_below();
	ck_assert_int_eq(unit_put(.key = "k", .text = "x"), 0);
	pid = fork();
	if (!pid) {
		execlp("rm", "rm", "-rf", unit_path("v"), (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	/* an empty page of a directory that is gone would mean: all has been deleted */
	f3_object_op_init(&op, F3_OBJ_LIST);
	op.key = "";
	ck_assert_int_eq(f3_object_run(unit_s, &op), -EIO);
	f3_object_op_done(&op);
	f3_object_op_init(&op, F3_OBJ_UPLOAD_LIST);
	op.key = "";
	ck_assert_int_eq(f3_object_run(unit_s, &op), -EIO);
	f3_object_op_done(&op);
	ck_assert_str_eq(unit_text("k"), "-EIO");
	ck_assert_int_eq(unit_put(.key = "k", .text = "x"), -EIO);
	ck_assert_int_eq(ping(text, sizeof(text)), -EIO);
	unit_close();
}
END_TEST

START_TEST(private_directory_removed)
{
	struct f3_obj_info info;
	char text[300];
	pid_t pid;
	int r;

	ck_assert(unit_make_dir(_i));
	open_below();
	ck_assert_int_eq(unit_put(.key = "k", .text = "x"), 0);
	pid = fork();
	if (!pid) {
		execlp("rm", "rm", "-rf", unit_path("v/.f3"), (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	/* one error, and it is made again */
	r = unit_put(.key = "k", .text = "y");
	ck_assert_int_eq(r, -EIO);
	ck_assert_int_eq(unit_put(.key = "k", .text = "y"), 0);
	ck_assert_int_eq(unit_head("k", &info), 0);
	ck_assert_int_eq(ping(text, sizeof(text)), 0);
	unit_close();
}
END_TEST

/* ---- No right, no room ---- */

START_TEST(read_only_directory)
{
	struct f3_object_options opt = { .url = NULL };
	struct f3_err err = F3_ERR_INIT;
	struct f3_obj_info info;
	char url[300];
	int r;

	ck_assert(unit_open(UNIT_DISK));
	ck_assert_int_eq(unit_put(.key = "d/k", .text = "x"), 0);
	f3_object_close(unit_s);
	r = unit_mount("tmpfs", "/mnt", NULL);
	if (r < 0 || mount(unit_dir, "/mnt", NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, "/mnt", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0) {
		printf("skipped: nothing can be mounted here\n");
		unit_remove_dir();
		return;
	}
	snprintf(url, sizeof(url), "file:///mnt");
	opt.url = url;
	ck_assert_int_eq(f3_object_open(&opt, &unit_s, &err), 0);
	ck_assert(unit_s->read_only);
	ck_assert_ptr_nonnull(strstr(err.text, "read-only"));
	ck_assert(!unit_s->caps.put_match);
	ck_assert_str_eq(unit_text("d/k"), "x");
	ck_assert_int_eq(unit_head("d/k", &info), 0);
	ck_assert(info.have_gen);
	ck_assert_int_eq(unit_simple(F3_OBJ_LIST, "d", F3_OBJ_ANY, NULL), 0);
	ck_assert_int_eq(unit_simple(F3_OBJ_UPLOAD_LIST, "", F3_OBJ_ANY, NULL), 0);
	ck_assert_int_eq(unit_head("none", &info), -ENOENT);
	ck_assert_int_eq(unit_put(.key = "k", .text = "x"), -EROFS);
	ck_assert_int_eq(unit_s->ops->ping(unit_s, &err), 0);
	f3_object_close(unit_s);
	umount2("/mnt", MNT_DETACH);
	unit_remove_dir();
}
END_TEST

START_TEST(directory_of_somebody_else)
{
	struct f3_err err = F3_ERR_INIT;
	struct f3_object_options opt = { .url = NULL };
	char url[300];

	if (geteuid() != 0) {
		printf("skipped: has no privileges to give up\n");
		return;
	}
	ck_assert(unit_make_dir(UNIT_TMPFS));
	ck_assert_int_eq(chmod(unit_dir, 0755), 0);
	unit_foreign_write("k", "x");
	snprintf(url, sizeof(url), "file://%s", unit_dir);
	opt.url = url;
	ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(f3_object_open(&opt, &unit_s, &err), 0);
	ck_assert(unit_s->read_only);
	ck_assert_str_eq(unit_text("k"), "x");
	f3_object_close(unit_s);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(chmod(unit_dir, 0700), 0);
	ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(f3_object_open(&opt, &unit_s, &err), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, unit_dir));
	ck_assert_int_eq(seteuid(0), 0);
	unit_remove_dir();
}
END_TEST

static int put_bytes(const char *key, size_t len)
{
	struct f3_obj_gen gen = unit_gen();
	char *body = malloc(len);
	struct f3_obj_op op;
	int r;

	/* zeros would take no room */
	memset(body, 'b', len);
	f3_object_op_init(&op, F3_OBJ_PUT);
	op.key = key;
	op.gen = &gen;
	op.body = body;
	op.len = len;
	r = f3_object_run(unit_s, &op);
	f3_object_op_done(&op);
	free(body);
	return r;
}

START_TEST(no_room)
{
	struct f3_obj_info info;
	int r;

	ck_assert(unit_make_dir(UNIT_DISK));
	r = unit_mount("tmpfs", unit_dir, "size=2m");
	if (r < 0) {
		printf("skipped: tmpfs cannot be mounted: %s\n", strerror(-r));
		unit_remove_dir();
		return;
	}
	unit_s = unit_open_again();
	ck_assert_int_eq(unit_put(.key = "k", .text = "old"), 0);
	ck_assert_int_eq(put_bytes("k", 5 << 20), -ENOSPC);
	ck_assert_str_eq(unit_text("k"), "old");
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	/* what failed has given its room back */
	ck_assert_int_eq(put_bytes("k", 1 << 20), 0);
	ck_assert_int_eq(unit_copy(.key = "k", .key2 = "l"), -ENOSPC);
	ck_assert_int_eq(unit_head("l", &info), -ENOENT);
	ck_assert_int_eq(unit_delete("k"), 0);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	unit_close();
}
END_TEST

/* A limit of the process, as another way for write(2) to fail in the middle. */
START_TEST(file_too_large)
{
	struct rlimit lim = { .rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY };

	ck_assert(unit_open(UNIT_DISK));
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(unit_put(.key = "k", .text = "old"), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &lim), 0);
	ck_assert_int_eq(put_bytes("k", 3 << 20), -EFBIG);
	ck_assert_str_eq(unit_text("k"), "old");
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	unit_close();
}
END_TEST

/* A file system mounted inside the directory: its files can be read; publishing there would not
 * be atomic, and says so. */
START_TEST(mount_inside)
{
	ck_assert(unit_make_dir(UNIT_DISK));
	ck_assert_int_eq(mkdir(unit_path("m"), 0755), 0);
	if (unit_mount("tmpfs", unit_path("m"), NULL) < 0) {
		printf("skipped: tmpfs cannot be mounted\n");
		unit_remove_dir();
		return;
	}
	unit_s = unit_open_again();
	unit_foreign_write("m/k", "theirs");
	ck_assert_str_eq(unit_text("m/k"), "theirs");
	ck_assert_int_eq(unit_put(.key = "m/k", .text = "x"), -EXDEV);
	ck_assert_str_eq(unit_text("m/k"), "theirs");
	ck_assert_int_eq(unit_copy(.key = "m/k", .key2 = "copy"), 0);
	ck_assert_str_eq(unit_text("copy"), "theirs");
	ck_assert_int_eq(unit_delete("m/k"), 0);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	umount2(unit_path("m"), MNT_DETACH);
	unit_close();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object hostile");
	TCase *tc = tcase_create("hostile");

	tcase_add_loop_test(tc, bad_key, 0, sizeof(bad_keys) / sizeof(bad_keys[0]));
	tcase_add_test(tc, odd_but_good_keys);
	tcase_add_test(tc, long_keys);
	tcase_add_loop_test(tc, links, 0, UNIT_KINDS);
	/* a filter cannot be taken off again */
	if (f3_unit_forks())
		tcase_add_loop_test(tc, with_system_calls_denied, 0,
				    sizeof(denied) / sizeof(denied[0]));
	tcase_add_loop_test(tc, directory_moved_away_and_back, 0, UNIT_RAMFS);
	tcase_add_loop_test(tc, directory_copied_back, 0, UNIT_RAMFS);
	tcase_add_loop_test(tc, directory_removed, 0, UNIT_RAMFS);
	tcase_add_loop_test(tc, private_directory_removed, 0, UNIT_RAMFS);
	tcase_add_test(tc, read_only_directory);
	tcase_add_test(tc, directory_of_somebody_else);
	tcase_add_test(tc, no_room);
	if (f3_unit_forks())
		tcase_add_test(tc, file_too_large);
	tcase_add_test(tc, mount_inside);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
