/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "fs/base/buf.h"
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

static struct f3_obj_info head(const char *key)
{
	struct f3_obj_info info;

	ck_assert_int_eq(unit_head(key, &info), 0);
	ck_assert(info.have_attr);
	return info;
}

static struct stat on_disk(const char *key)
{
	struct stat st;

	ck_assert_int_eq(lstat(unit_path(key), &st), 0);
	return st;
}

/* ---- Modes and owners ---- */

KIND_TEST(mode_round_trip)
{
	static const uint32_t modes[] = { 0, 0444, 0644, 07777, 04755, 02755, 06511, 01777 };

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		struct f3_obj_attr attr = { .mode = S_IFREG | modes[i], .have_mode = true };

		ck_assert_int_eq(unit_put(.key = "put", .text = "x", .attr = &attr), 0);
		ck_assert_uint_eq(head("put").attr.mode, S_IFREG | modes[i]);
		/* no privileged program for those who come by the directory */
		ck_assert_uint_eq(on_disk("put").st_mode, S_IFREG | (modes[i] & 01777));
		ck_assert_int_eq(unit_set_attr(.key = "put", .attr = &attr), 0);
		ck_assert_uint_eq(head("put").attr.mode, S_IFREG | modes[i]);
		ck_assert_uint_eq(on_disk("put").st_mode, S_IFREG | (modes[i] & 01777));

		attr.mode = S_IFDIR | modes[i];
		ck_assert_int_eq(unit_mkdir(.key = "dir", .attr = &attr), 0);
		ck_assert_uint_eq(head("dir").attr.mode, S_IFDIR | modes[i]);
		ck_assert_uint_eq(on_disk("dir").st_mode, S_IFDIR | (modes[i] & 01777));
		ck_assert_int_eq(unit_copy(.key = "put", .key2 = "copy"), 0);
		ck_assert_uint_eq(head("copy").attr.mode, S_IFREG | modes[i]);
		ck_assert_uint_eq(on_disk("copy").st_mode, S_IFREG | (modes[i] & 01777));
	}
}
KIND_END

KIND_TEST(a_foreign_chmod_is_believed)
{
	struct f3_obj_attr attr = { .mode = 04755, .have_mode = true };

	ck_assert_int_eq(unit_put(.key = "k", .text = "x", .attr = &attr), 0);
	ck_assert_uint_eq(head("k").attr.mode, S_IFREG | 04755);
	ck_assert_int_eq(chmod(unit_path("k"), 0711), 0);
	ck_assert_uint_eq(head("k").attr.mode, S_IFREG | 0711);
}
KIND_END

KIND_TEST(owners)
{
	struct f3_obj_attr attr = { .uid = 12345, .gid = 54321, .have_owner = true };
	struct f3_obj_attr nobody = { .uid = UINT32_MAX, .gid = UINT32_MAX, .have_owner = true };
	struct f3_obj_info info;

	ck_assert_int_eq(unit_put(.key = "k", .text = "x", .attr = &attr), 0);
	info = head("k");
	ck_assert_uint_eq(info.attr.uid, 12345);
	ck_assert_uint_eq(info.attr.gid, 54321);
	if (geteuid() == 0) {
		ck_assert_uint_eq(on_disk("k").st_uid, 12345);
		ck_assert_uint_eq(on_disk("k").st_gid, 54321);
		ck_assert_int_eq(chown(unit_path("k"), 1, 2), 0);
		info = head("k");
		ck_assert_uint_eq(info.attr.uid, 1);
		ck_assert_uint_eq(info.attr.gid, 2);
	}
	/* what chown(2) cannot say */
	ck_assert_int_eq(unit_set_attr(.key = "k", .attr = &nobody), 0);
	ck_assert_uint_eq(head("k").attr.uid, UINT32_MAX);
}
KIND_END

/* A daemon that is not root keeps what it cannot set, and can read what it wrote. */
static void unprivileged(void)
{
	struct f3_obj_attr attr = {
		.mode = S_IFREG | 04001, .uid = 0, .gid = 7, .have_mode = true, .have_owner = true
	};
	struct f3_obj_attr dir = { .mode = 0, .uid = 5, .have_mode = true, .have_owner = true };
	struct f3_obj_info info;

	ck_assert_int_eq(unit_mkdir(.key = "d", .attr = &dir), 0);
	ck_assert_int_eq(unit_put(.key = "d/k", .text = "mine", .attr = &attr), 0);
	info = head("d/k");
	ck_assert_uint_eq(info.attr.mode, S_IFREG | 04001);
	ck_assert_uint_eq(info.attr.uid, 0);
	ck_assert_uint_eq(info.attr.gid, 7);
	ck_assert_uint_eq(on_disk("d/k").st_uid, 65534);
	ck_assert_uint_eq(on_disk("d/k").st_mode, S_IFREG | 0601);
	ck_assert_str_eq(unit_text("d/k"), "mine");
	ck_assert_uint_eq(head("d").attr.mode, S_IFDIR);
	ck_assert_uint_eq(head("d").attr.uid, 5);
	attr.gid = 8;
	ck_assert_int_eq(unit_set_attr(.key = "d/k", .attr = &attr), 0);
	ck_assert_uint_eq(head("d/k").attr.gid, 8);
	ck_assert_int_eq(unit_copy(.key = "d/k", .key2 = "d/l"), 0);
	ck_assert_uint_eq(head("d/l").attr.mode, S_IFREG | 04001);
}

START_TEST(without_privileges)
{
	char real[sizeof(unit_dir)];

	if (geteuid() != 0) {
		printf("skipped without privileges: has none to give up\n");
		return;
	}
	if (!unit_make_dir(_i))
		return;
	ck_assert_int_eq(chmod(unit_dir, 0777), 0);
	/* what is above it may be closed to others */
	memcpy(real, unit_dir, sizeof(real));
	if (unit_mount("tmpfs", "/mnt", NULL) < 0 ||
	    mount(unit_dir, "/mnt", NULL, MS_BIND, NULL) < 0) {
		printf("skipped: nothing can be mounted here\n");
		unit_remove_dir();
		return;
	}
	snprintf(unit_dir, sizeof(unit_dir), "/mnt");
	ck_assert_int_eq(setegid(65534), 0);
	ck_assert_int_eq(seteuid(65534), 0);
	unit_s = unit_open_again();
	unprivileged();
	f3_object_close(unit_s);
	ck_assert_int_eq(seteuid(0), 0);
	memcpy(unit_dir, real, sizeof(real));
	umount2("/mnt", MNT_DETACH);
	unit_remove_dir();
}
END_TEST

/* ---- Times ---- */

static const int64_t times[] = {
	0,
	1,
	-1,
	-1500000000,
	-999999999,
	-1000000000,
	1234567890123456789, /* with a fraction */
	7258118400000000001, /* 2200 */
	-5000000000000000001, /* 1811 */
	INT64_MAX,
	INT64_MIN,
};

START_TEST(time_round_trip)
{
	int64_t t = times[_i / UNIT_KINDS];
	struct f3_obj_attr attr = { .mtime_ns = t, .have_mtime = true };
	struct f3_obj_attr both = {
		.mtime_ns = t, .atime_ns = 77000000007, .have_mtime = true, .have_atime = true
	};
	struct f3_obj_attr link = {
		.mode = S_IFLNK | 0777, .mtime_ns = t, .have_mode = true, .have_mtime = true
	};

	if (!unit_open(_i % UNIT_KINDS))
		return;
	ck_assert_int_eq(unit_put(.key = "k", .text = "x", .attr = &attr), 0);
	ck_assert_int_eq(head("k").attr.mtime_ns, t);
	ck_assert_int_eq(unit_set_attr(.key = "k", .attr = &both), 0);
	ck_assert_int_eq(head("k").attr.mtime_ns, t);
	ck_assert_int_eq(head("k").attr.atime_ns, 77000000007);
	unit_text("k");
	ck_assert_int_eq(head("k").attr.atime_ns, 77000000007);
	ck_assert_int_eq(unit_mkdir(.key = "d", .attr = &attr), 0);
	ck_assert_int_eq(head("d").attr.mtime_ns, t);
	ck_assert_int_eq(unit_put(.key = "l", .text = "target", .attr = &link), 0);
	ck_assert_int_eq(head("l").attr.mtime_ns, t);
	/* somebody's touch wins, also over a time that the file system cannot hold */
	ck_assert_int_eq(utimensat(AT_FDCWD, unit_path("k"), NULL, 0), 0);
	ck_assert_int_gt(head("k").attr.mtime_ns, 1700000000000000000);
	unit_close();
}
END_TEST

KIND_TEST(a_foreign_time_out_of_range)
{
	struct timespec ts[2] = { { .tv_sec = 9999999999 }, { .tv_sec = 9999999999 } };

	unit_foreign_write("k", "x");
	ck_assert_int_eq(utimensat(AT_FDCWD, unit_path("k"), ts, 0), 0);
	/* ext4 ends before that, tmpfs does not: never a wrapped one */
	ck_assert_int_gt(head("k").attr.mtime_ns, 7000000000000000000);
}
KIND_END

/* ---- Extended attributes ---- */

static void add_xattr(struct f3_buf *buf, const char *name, const void *value, size_t len)
{
	f3_buf_put_str16(buf, name, strlen(name));
	f3_buf_put_u32(buf, (uint32_t)len);
	f3_buf_put(buf, value, len);
}

/* The value of one name in what an operation returned; NULL if there is none. */
static const void *find_xattr(const struct f3_obj_attr *attr, const char *name, size_t *ret_len,
			      unsigned *ret_n)
{
	const void *found = NULL;
	struct f3_rd rd;

	*ret_n = 0;
	f3_rd_init(&rd, attr->xattrs, attr->xattrs_len);
	while (rd.left) {
		size_t name_len, len;
		const uint8_t *n = f3_rd_str16(&rd, &name_len), *v;

		len = f3_rd_u32(&rd);
		v = f3_rd_bytes(&rd, len);
		ck_assert_int_eq(rd.error, 0);
		(*ret_n)++;
		if (name_len == strlen(name) && !memcmp(n, name, name_len)) {
			ck_assert_ptr_null(found);
			found = v ? v : (const uint8_t *)"";
			*ret_len = len;
		}
	}
	return found;
}

/* HEAD says exactly these names, and for one of them this value. */
static void check_xattr(const char *key, unsigned n, const char *name, const void *value,
			size_t len)
{
	struct f3_obj_op op;
	const void *found;
	size_t got = 0;
	unsigned names;

	f3_object_op_init(&op, F3_OBJ_HEAD);
	op.key = key;
	ck_assert_int_eq(f3_object_run(unit_s, &op), 0);
	ck_assert(op.info.have_attr);
	found = find_xattr(&op.info.attr, name ? name : "", &got, &names);
	ck_assert_uint_eq(names, n);
	if (name) {
		ck_assert_ptr_nonnull(found);
		ck_assert_uint_eq(got, len);
		ck_assert_int_eq(memcmp(found, value, len), 0);
	}
	f3_object_op_done(&op);
}

START_TEST(xattrs)
{
	static const char *const names[] = {
		"user.plain",
		"user.empty",
		"user.f3.stream",
		"trusted.secret",
		"system.posix_acl_access",
		"security.capability",
		"user.",
		"no namespace",
		"user.bytes\xff\x01",
	};
	struct f3_obj_attr attr = { .mode = 0644, .have_mode = true };
	char value[300];
	struct f3_buf buf;
	char got[16];

	if (!unit_open(_i))
		return;
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (char)i;
	f3_buf_init(&buf, 1 << 20);
	for (size_t i = 0; i < 9; i++)
		add_xattr(&buf, names[i], value, i == 1 ? 0 : 10 + i);
	attr.xattrs = buf.data;
	attr.xattrs_len = buf.len;
	ck_assert_int_eq(unit_put(.key = "k", .text = "x", .attr = &attr), 0);
	ck_assert_int_eq(unit_mkdir(.key = "d", .attr = &attr), 0);
	for (size_t i = 0; i < 9; i++) {
		check_xattr("k", 9, names[i], value, i == 1 ? 0 : 10 + i);
		check_xattr("d", 9, names[i], value, i == 1 ? 0 : 10 + i);
	}
	/* others see what can be seen, and nothing that would have an effect is set */
	ck_assert_int_eq(getxattr(unit_path("k"), "user.plain", got, sizeof(got)), 10);
	ck_assert_int_eq(memcmp(got, value, 10), 0);
	ck_assert_int_lt(getxattr(unit_path("k"), "security.capability", NULL, 0), 0);
	ck_assert_int_lt(getxattr(unit_path("k"), "trusted.secret", NULL, 0), 0);

	/* with a copy they go along; SET_ATTR replaces the whole set */
	ck_assert_int_eq(unit_copy(.key = "k", .key2 = "c"), 0);
	check_xattr("c", 9, "trusted.secret", value, 13);
	f3_buf_reset(&buf);
	add_xattr(&buf, "user.other", "v", 1);
	attr.xattrs = buf.data;
	attr.xattrs_len = buf.len;
	ck_assert_int_eq(unit_set_attr(.key = "k", .attr = &attr), 0);
	check_xattr("k", 1, "user.other", "v", 1);
	ck_assert_int_eq(setxattr(unit_path("k"), "user.foreign", "theirs", 6, 0), 0);
	check_xattr("k", 2, "user.foreign", "theirs", 6);
	attr.xattrs_len = 0;
	ck_assert_int_eq(unit_set_attr(.key = "k", .attr = &attr), 0);
	check_xattr("k", 0, NULL, NULL, 0);
	/* the generation is not one of them, and still there */
	ck_assert(head("k").have_gen);
	f3_buf_done(&buf);
	unit_close();
}
END_TEST

START_TEST(malformed_xattrs)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "\0", 1 },
		{ "\0\6user.a\0\0\0\1", 12 },
		{ "\0\6user.a\377\377\377\377v", 13 },
		{ "\0\0\0\0\0\1v", 7 },
		{ "\0\6us\0r.a\0\0\0\1v", 13 },
		{ "\377\377user.a\0\0\0\1v", 13 },
		{ "\0\6user.a\0\0\0\1v\0", 14 },
	};
	struct f3_obj_attr attr = { .mode = 0644, .have_mode = true };

	if (!unit_open(_i))
		return;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		attr.xattrs = bad[i].bytes;
		attr.xattrs_len = bad[i].len;
		ck_assert_int_eq(unit_put(.key = "k", .text = "x", .attr = &attr), -EINVAL);
	}
	ck_assert_str_eq(unit_text("k"), "-ENOENT");
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	unit_close();
}
END_TEST

START_TEST(large_xattrs)
{
	struct f3_obj_attr attr = { .mode = 0644, .have_mode = true };
	size_t size = 70000;
	char *value = calloc(1, size);
	struct f3_buf buf;

	if (!unit_open(_i))
		return;
	f3_buf_init(&buf, 1 << 20);
	/* what the volume promises to keep */
	add_xattr(&buf, "user.big", value, 1000);
	add_xattr(&buf, "trusted.big", value, 1000);
	attr.xattrs = buf.data;
	attr.xattrs_len = buf.len;
	ck_assert_int_eq(unit_put(.key = "k", .text = "x", .attr = &attr), 0);
	check_xattr("k", 2, "trusted.big", value, 1000);
	for (int real = 0; real < 2; real++) {
		f3_buf_reset(&buf);
		add_xattr(&buf, real ? "user.big" : "trusted.big", value, size);
		attr.xattrs = buf.data;
		attr.xattrs_len = buf.len;
		ck_assert_int_eq(unit_put(.key = "l", .text = "x", .attr = &attr), -E2BIG);
		ck_assert_str_eq(unit_text("l"), "-ENOENT");
	}
	f3_buf_done(&buf);
	free(value);
	unit_close();
}
END_TEST

START_TEST(where_there_are_no_xattrs_they_are_dropped)
{
	struct f3_obj_attr attr = { .mode = 04711, .have_mode = true };
	struct f3_buf buf;

	if (!unit_open(UNIT_RAMFS))
		return;
	ck_assert(!unit_s->caps.xattrs);
	f3_buf_init(&buf, 4096);
	add_xattr(&buf, "user.a", "v", 1);
	attr.xattrs = buf.data;
	attr.xattrs_len = buf.len;
	ck_assert_int_eq(unit_put(.key = "k", .text = "x", .attr = &attr), 0);
	check_xattr("k", 0, NULL, NULL, 0);
	/* the rest is kept beside */
	ck_assert_uint_eq(head("k").attr.mode, S_IFREG | 04711);
	ck_assert(head("k").have_gen);
	ck_assert_uint_eq(unit_count(".f3/gen"), 1);
	/* and not for another file that takes the inode number, or new content */
	unit_foreign_write("k", "other");
	ck_assert(!head("k").have_gen);
	ck_assert_uint_eq(head("k").attr.mode, S_IFREG | 0711);
	ck_assert_int_eq(unit_put(.key = "k", .text = "x", .attr = &attr), 0);
	ck_assert_uint_eq(unit_count(".f3/gen"), 1);
	ck_assert_int_eq(unit_delete("k"), 0);
	ck_assert_uint_eq(unit_count(".f3/gen"), 0);
	ck_assert_int_eq(unit_mkdir(.key = "d", .attr = &attr), 0);
	ck_assert_int_eq(unit_put(.key = "d/x", .text = "x"), 0);
	ck_assert(head("d").have_gen);
	ck_assert_uint_eq(head("d").attr.mode, S_IFDIR | 04711);
	ck_assert_int_eq(unit_delete("d/x"), 0);
	ck_assert_int_eq(unit_rmdir("d"), 0);
	ck_assert_uint_eq(unit_count(".f3/gen"), 0);
	f3_buf_done(&buf);
	unit_close();
}
END_TEST

/* Somebody else can write our xattrs: nonsense in them is no generation and no attribute. */
START_TEST(hostile_own_xattrs)
{
	char junk[200];

	if (!unit_open(_i))
		return;
	memset(junk, 0x7f, sizeof(junk));
	ck_assert_int_eq(unit_put(.key = "k", .text = "x"), 0);
	ck_assert_int_eq(setxattr(unit_path("k"), "user.f3.gen", junk, sizeof(junk), 0), 0);
	ck_assert_int_eq(setxattr(unit_path("k"), "user.f3.attr", junk, 60, 0), 0);
	ck_assert_int_eq(setxattr(unit_path("k"), "user.f3.xattrs", junk, sizeof(junk), 0), 0);
	ck_assert(!head("k").have_gen);
	ck_assert_uint_eq(head("k").attr.mode, S_IFREG | 0644);
	check_xattr("k", 0, NULL, NULL, 0);
	ck_assert_int_eq(setxattr(unit_path("k"), "user.f3.gen", "", 0, 0), 0);
	ck_assert_int_eq(setxattr(unit_path("k"), "user.f3.attr", "\1", 1, 0), 0);
	ck_assert(!head("k").have_gen);
	unit_close();
}
END_TEST

/* ---- Special files and links ---- */

KIND_TEST(special_files)
{
	static const uint32_t types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };
	struct f3_obj_attr attr = { .rdev = makedev(7, 300), .have_mode = true };

	for (size_t i = 0; i < 4; i++) {
		bool device = types[i] == S_IFCHR || types[i] == S_IFBLK;

		attr.mode = types[i] | 0620;
		ck_assert_int_eq(unit_put(.key = "s", .text = "", .attr = &attr), 0);
		ck_assert_uint_eq(head("s").attr.mode, types[i] | 0620);
		ck_assert_uint_eq(head("s").attr.rdev, device ? attr.rdev : 0);
		ck_assert_uint_eq(head("s").size, 0);
		/* for others it is an empty file: no device of theirs */
		ck_assert_uint_eq(on_disk("s").st_mode, S_IFREG | 0620);
		ck_assert_str_eq(unit_text("s"), "");
		ck_assert_int_eq(unit_copy(.key = "s", .key2 = "t"), 0);
		ck_assert_uint_eq(head("t").attr.mode, types[i] | 0620);
		ck_assert_uint_eq(head("t").attr.rdev, device ? attr.rdev : 0);
		ck_assert_int_eq(unit_put(.key = "s", .text = "body", .attr = &attr), -EINVAL);
	}
	/* unless they write into it */
	unit_foreign_write("s", "bytes");
	ck_assert_uint_eq(head("s").attr.mode, S_IFREG | 0620);
	attr.mode = S_IFDIR | 0755;
	ck_assert_int_eq(unit_put(.key = "s", .text = "", .attr = &attr), -EINVAL);
}
KIND_END

KIND_TEST(foreign_special_files_are_never_opened)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct f3_obj_attr attr = { .mode = 0600, .have_mode = true };
	struct f3_obj_op op;
	unsigned seen = 0;

	ck_assert_int_eq(mkfifo(unit_path("fifo"), 0644), 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.90s/sock", unit_dir);
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_uint_eq(head("fifo").attr.mode & S_IFMT, S_IFIFO);
	ck_assert_uint_eq(head("sock").attr.mode & S_IFMT, S_IFSOCK);
	/* would block for ever */
	ck_assert_str_eq(unit_text("fifo"), "");
	ck_assert_str_eq(unit_text("sock"), "");
	if (geteuid() == 0) {
		/* nobody drives it: opening would be ENXIO */
		ck_assert_int_eq(mknod(unit_path("dev"), S_IFCHR | 0600, makedev(400, 1)), 0);
		ck_assert_uint_eq(head("dev").attr.mode & S_IFMT, S_IFCHR);
		ck_assert_uint_eq(head("dev").attr.rdev, makedev(400, 1));
		ck_assert_str_eq(unit_text("dev"), "");
	}
	f3_object_op_init(&op, F3_OBJ_LIST);
	op.key = "";
	ck_assert_int_eq(f3_object_run(unit_s, &op), 0);
	for (size_t i = 0; i < op.n_entries; i++)
		seen += (op.entries[i].info.attr.mode & S_IFMT) != S_IFREG;
	ck_assert_uint_eq(seen, geteuid() == 0 ? 3 : 2);
	f3_object_op_done(&op);
	ck_assert_int_eq(unit_copy(.key = "fifo", .key2 = "copy"), 0);
	ck_assert_uint_eq(head("copy").attr.mode, S_IFIFO | 0644);
	ck_assert_int_eq(unit_set_attr(.key = "fifo", .attr = &attr), -EOPNOTSUPP);
	ck_assert_int_eq(unit_put(.key = "fifo", .text = "now a file"), 0);
	ck_assert_str_eq(unit_foreign_read("fifo"), "now a file");
	ck_assert_int_eq(unit_delete("sock"), 0);
	close(sock);
}
KIND_END

KIND_TEST(symbolic_links)
{
	struct f3_obj_attr attr = { .mode = S_IFLNK | 0777,
				    .uid = 11,
				    .gid = 12,
				    .mtime_ns = 99000000001,
				    .have_mode = true,
				    .have_owner = true,
				    .have_mtime = true };
	char target[4096], buf[8];
	struct f3_obj_info info, was;
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_op op;
	ssize_t n;

	ck_assert_int_eq(unit_put_info(&was, .key = "d/l", .text = "../target", .attr = &attr), 0);
	n = readlink(unit_path("d/l"), target, sizeof(target));
	ck_assert_int_eq(n, 9);
	ck_assert_int_eq(memcmp(target, "../target", 9), 0);
	info = head("d/l");
	ck_assert_uint_eq(info.attr.mode, S_IFLNK | 0777);
	ck_assert_uint_eq(info.attr.uid, 11);
	ck_assert_int_eq(info.attr.mtime_ns, 99000000001);
	ck_assert_uint_eq(info.size, 9);
	ck_assert(info.have_gen && f3_obj_gen_equal(&info.gen, &was.gen));
	ck_assert_str_eq(info.etag, was.etag);
	ck_assert_str_eq(unit_text("d/l"), "../target");
	ck_assert_int_eq(unit_get_from(unit_s, "d/l", info.etag, 3, buf, 4), 0);
	ck_assert_str_eq(buf, "tar");
	/* it is never followed */
	unit_foreign_write("target", "not this");
	ck_assert_int_eq(unit_copy(.key = "d/l", .key2 = "d/c"), 0);
	ck_assert_str_eq(unit_text("d/c"), "../target");
	ck_assert_uint_eq(head("d/c").attr.uid, 11);
	attr.mtime_ns = 5;
	ck_assert_int_eq(
		unit_set_attr(.key = "d/l", .attr = &attr, .cond = F3_OBJ_MATCH, .etag = "x"),
		-ESTALE);
	ck_assert_int_eq(
		unit_set_attr(.key = "d/l", .attr = &attr, .cond = F3_OBJ_MATCH, .etag = info.etag),
		0);
	ck_assert_int_eq(head("d/l").attr.mtime_ns, 5);
	ck_assert(head("d/l").have_gen);
	ck_assert_int_ne(on_disk("target").st_mtim.tv_sec, 0);
	/* replaced by somebody: no generation of ours */
	ck_assert_int_eq(unlink(unit_path("d/l")), 0);
	ck_assert_int_eq(symlink("elsewhere!", unit_path("d/l")), 0);
	ck_assert(!head("d/l").have_gen);
	/* onto a file, and a file onto it */
	ck_assert_int_eq(unit_put(.key = "target", .text = "x/y", .attr = &attr), 0);
	ck_assert_str_eq(unit_text("target"), "x/y");
	ck_assert_int_eq(unit_put(.key = "target", .text = "file"), 0);
	ck_assert_str_eq(unit_foreign_read("target"), "file");
	ck_assert_int_eq(unit_delete("d/c"), 0);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);

	ck_assert_int_eq(unit_put(.key = "l", .text = "", .attr = &attr), -EINVAL);
	memset(target, 't', sizeof(target));
	target[100] = 0;
	f3_object_op_init(&op, F3_OBJ_PUT);
	op.key = "l";
	op.gen = &gen;
	op.attr = &attr;
	op.body = target;
	op.len = 200;
	ck_assert_int_eq(f3_object_run(unit_s, &op), -EINVAL);
	op.len = 4096;
	ck_assert_int_eq(f3_object_run(unit_s, &op), -ENAMETOOLONG);
	target[100] = 't';
	/* some file systems take no longer one */
	op.len = 1023;
	ck_assert_int_eq(f3_object_run(unit_s, &op), 0);
	f3_object_op_done(&op);
	ck_assert_uint_eq(head("l").size, 1023);
}
KIND_END

int main(void)
{
	Suite *suite = suite_create("object attributes");
	TCase *tc = tcase_create("attributes");

	tcase_add_loop_test(tc, mode_round_trip, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, a_foreign_chmod_is_believed, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, owners, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, without_privileges, 0, UNIT_KINDS - 1);
	tcase_add_loop_test(tc, time_round_trip, 0, UNIT_KINDS * sizeof(times) / sizeof(times[0]));
	tcase_add_loop_test(tc, a_foreign_time_out_of_range, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, xattrs, 0, UNIT_RAMFS);
	tcase_add_loop_test(tc, malformed_xattrs, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, large_xattrs, 0, UNIT_RAMFS);
	tcase_add_test(tc, where_there_are_no_xattrs_they_are_dropped);
	tcase_add_loop_test(tc, hostile_own_xattrs, 0, UNIT_RAMFS);
	tcase_add_loop_test(tc, special_files, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, foreign_special_files_are_never_opened, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, symbolic_links, 0, UNIT_KINDS);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
