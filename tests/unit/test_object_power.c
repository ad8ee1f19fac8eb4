/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <linux/types.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "fs/object/object.h"
#include "tests/unit/object_unit.h"

/*
 * Power cuts: a file system in a file, shut down by ioctl so that only what was synced is there
 * when it is mounted again. Whatever an operation answered with success must be.
 */
#define SHUTDOWN _IOR('X', 125, __u32)
#define SHUTDOWN_NO_LOG_FLUSH 2u

static char image[300];

static int run(const char *file, const char *const argv[])
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execvp(file, (char *const *)argv);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static bool mount_image(void)
{
	const char *const argv[] = { "mount", "-o", "loop", image, unit_dir, NULL };

	return !run("mount", argv);
}

/* An empty file system at unit_dir. */
static bool make_image(const char *type)
{
	char mkfs[32];
	const char *const argv[] = { mkfs, "-q", image, NULL };
	int fd;

	ck_assert(unit_make_dir(UNIT_DISK));
	snprintf(mkfs, sizeof(mkfs), "mkfs.%s", type);
	snprintf(image, sizeof(image), "%s.img", unit_dir);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 320 << 20), 0);
	close(fd);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    run(mkfs, argv) || !mount_image()) {
		printf("skipped: no %s can be made and mounted here\n", type);
		unlink(image);
		unit_remove_dir();
		return false;
	}
	return true;
}

/* The power goes and comes back. */
static void power_cut(void)
{
	__u32 flags = SHUTDOWN_NO_LOG_FLUSH;
	int fd = open(unit_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ioctl(fd, SHUTDOWN, &flags), 0);
	close(fd);
	f3_object_close(unit_s);
	ck_assert_int_eq(umount2(unit_dir, 0), 0);
	ck_assert(mount_image());
	unit_s = unit_open_fast();
}

static char upload[F3_OBJ_UPLOAD_MAX + 1];
static struct f3_obj_part parts[2];

static void upload_op(enum f3_obj_type type, uint32_t number)
{
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_op op;

	f3_object_op_init(&op, type);
	op.key = "dir/u";
	op.gen = &gen;
	op.upload = upload;
	op.part = number;
	if (type == F3_OBJ_UPLOAD_PART) {
		op.off = (number - 1) * 5;
		op.body = number == 1 ? "first" : "last";
		op.len = strlen(op.body);
	}
	op.parts = parts;
	op.n_parts = 2;
	ck_assert_int_eq(f3_object_run(unit_s, &op), 0);
	if (type == F3_OBJ_UPLOAD_CREATE)
		memcpy(upload, op.ret_upload, sizeof(upload));
	if (type == F3_OBJ_UPLOAD_PART)
		parts[number - 1] = op.ret_part;
	f3_object_op_done(&op);
}

static struct f3_obj_info head(const char *key)
{
	struct f3_obj_info info;

	ck_assert_int_eq(unit_head(key, &info), 0);
	ck_assert(info.have_gen);
	return info;
}

static const char *const types[] = { "ext4", "xfs" };

START_TEST(what_was_answered_is_there)
{
	struct f3_obj_attr attr = {
		.mode = 04640, .uid = 9, .have_mode = true, .have_owner = true
	};
	struct f3_obj_attr link = { .mode = S_IFLNK | 0777, .have_mode = true };
	struct f3_obj_info was, now;

	if (!make_image(types[_i]))
		return;
	unit_s = unit_open_fast();
	/* directories on the way are durable, too */
	ck_assert_int_eq(unit_put_info(&was, .key = "a/b/c/new", .text = "new", .attr = &attr), 0);
	power_cut();
	ck_assert_str_eq(unit_text("a/b/c/new"), "new");
	now = head("a/b/c/new");
	ck_assert(f3_obj_gen_equal(&now.gen, &was.gen));
	ck_assert_uint_eq(now.attr.mode, S_IFREG | 04640);

	ck_assert_int_eq(unit_put(.key = "a/b/c/new", .text = "replaced", .cond = F3_OBJ_MATCH,
				  .etag = now.etag),
			 0);
	power_cut();
	ck_assert_str_eq(unit_text("a/b/c/new"), "replaced");

	ck_assert_int_eq(unit_put(.key = "a/link", .text = "target", .attr = &link), 0);
	power_cut();
	ck_assert_str_eq(unit_text("a/link"), "target");
	head("a/link");

	ck_assert_int_eq(unit_mkdir(.key = "x/dir", .attr = &attr), 0);
	power_cut();
	ck_assert_uint_eq(head("x/dir").attr.mode, S_IFDIR | 04640);

	ck_assert_int_eq(unit_copy(.key = "a/b/c/new", .key2 = "copy/k"), 0);
	power_cut();
	ck_assert_str_eq(unit_text("copy/k"), "replaced");

	attr.mode = 0611;
	ck_assert_int_eq(unit_set_attr(.key = "copy/k", .attr = &attr), 0);
	power_cut();
	ck_assert_uint_eq(head("copy/k").attr.mode, S_IFREG | 0611);

	ck_assert_int_eq(unit_rename(.key = "a", .key2 = "moved/a"), 0);
	power_cut();
	ck_assert_str_eq(unit_text("moved/a/b/c/new"), "replaced");
	ck_assert_str_eq(unit_text("a/b/c/new"), "-ENOENT");

	ck_assert_int_eq(unit_delete("copy/k"), 0);
	power_cut();
	ck_assert_str_eq(unit_text("copy/k"), "-ENOENT");

	ck_assert_int_eq(unit_rmdir("copy"), 0);
	power_cut();
	ck_assert_int_eq(unit_head("copy", &now), -ENOENT);

	upload_op(F3_OBJ_UPLOAD_CREATE, 0);
	power_cut();
	upload_op(F3_OBJ_UPLOAD_PART, 2);
	power_cut();
	upload_op(F3_OBJ_UPLOAD_PART, 1);
	power_cut();
	upload_op(F3_OBJ_UPLOAD_COMPLETE, 0);
	power_cut();
	ck_assert_str_eq(unit_text("dir/u"), "firstlast");
	head("dir/u");
	f3_object_close(unit_s);
	ck_assert_int_eq(umount2(unit_dir, 0), 0);
	unlink(image);
	unit_remove_dir();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object power");
	TCase *tc = tcase_create("power");

	/* the namespace of the mounts is that of the test's process */
	if (f3_unit_forks())
		tcase_add_loop_test(tc, what_was_answered_is_there, 0, 2);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
