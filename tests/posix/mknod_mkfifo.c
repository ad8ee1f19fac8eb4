/* SPDX-License-Identifier: Apache-2.0 */
/* mknod(2) and mkfifo(3): nodes of every type. */
#include "config.h"

#include "tests/posix/posix.h"

#include <sys/sysmacros.h>

static const enum pt_type node_types[] = { PT_REG, PT_FIFO, PT_BLK, PT_CHR, PT_SOCK };

#define FOR_NODE_TYPES(t)                                         \
	for (size_t i_ = 0; i_ < PT_ARRAY_SIZE(node_types); i_++) \
		for (int t = node_types[i_], once_ = pt_can_make(t); once_; once_ = 0)

static int node(int type, const char *path, mode_t mode)
{
	dev_t dev = type == PT_BLK ? makedev(1, 2) : type == PT_CHR ? makedev(1, 3) : 0;

	return mknod(path, pt_type_mode(type) | mode, dev);
}

static void modes(void)
{
	static const struct {
		mode_t umask, mode, want;
	} rows[] = {
		{ 0, 0755, 0755 },   { 0, 0151, 0151 },    { 077, 0151, 0100 },
		{ 070, 0345, 0305 }, { 0501, 0345, 0244 }, { 0, 0, 0 },
		{ 022, 0666, 0644 }, { 0, 06711, 06711 },  { 0, 01644, 01644 },
	};

	FOR_NODE_TYPES(t) {
		for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
			pt_row("%s mode=%04o umask=%04o", pt_type_name(t), rows[i].mode,
			       rows[i].umask);
			umask(rows[i].umask);
			OK(node(t, "n", rows[i].mode));
			MODE_EQ(pt_lstat("n").st_mode, pt_type_mode(t) | rows[i].want);
			OK(unlink("n"));
			umask(0);
		}
	}
}

static void fresh_node(void)
{
	struct timespec before;
	struct stat st;

	FOR_NODE_TYPES(t) {
		pt_row("%s", pt_type_name(t));
		before = pt_lstat(".").st_ctim;
		pt_tick();
		OK(node(t, "n", 0644));
		st = pt_lstat("n");
		EQ(st.st_nlink, 1);
		EQ(st.st_size, 0);
		EQ(st.st_uid, 0);
		TIME_GT(st.st_atim, before);
		TIME_GT(st.st_mtim, before);
		TIME_GT(st.st_ctim, before);
		TIME_GT(pt_lstat(".").st_mtim, before);
		TIME_GT(pt_lstat(".").st_ctim, before);
		OK(unlink("n"));
	}
}

static void device_numbers(void)
{
	/* Within what xfs can keep: 9 bits of major, 18 of minor. */
	static const struct {
		unsigned int major, minor;
	} rows[] = { { 1, 2 },   { 0, 0 },   { 255, 255 },    { 255, 0 },
		     { 8, 256 }, { 511, 1 }, { 240, 0x3ffff } };

	for (int t = PT_BLK; t <= PT_CHR; t++) {
		if (!pt_can_make(t))
			continue;
		for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
			dev_t dev = makedev(rows[i].major, rows[i].minor);
			struct stat st;

			/* A character device 0:0 is a whiteout; it can be made all the same. */
			pt_row("%s %u:%u", pt_type_name(t), rows[i].major, rows[i].minor);
			OK(mknod("n", pt_type_mode(t) | 0600, dev));
			st = pt_lstat("n");
			EQ(major(st.st_rdev), rows[i].major);
			EQ(minor(st.st_rdev), rows[i].minor);
			OK(rename("n", "m"));
			EQ(pt_lstat("m").st_rdev, dev);
			OK(unlink("m"));
		}
	}
}

static void in_the_way(void)
{
	FOR_NODE_TYPES(n) {
		for (int t = PT_REG; t < PT_N_TYPES; t++) {
			if (!pt_can_make(t))
				continue;
			pt_row("%s where a %s is", pt_type_name(n), pt_type_name(t));
			OK(pt_make(t, "x", 0600));
			ERR(EEXIST, node(n, "x", 0644));
			MODE_EQ(pt_lstat("x").st_mode & S_IFMT, pt_type_mode(t));
			OK(pt_remove("x"));
		}
	}
}

static void ownership(void)
{
	OK(chmod(".", 0777));
	FOR_NODE_TYPES(t) {
		pt_row("%s", pt_type_name(t));
		AS(&pt_owner) {
			if (t == PT_BLK || t == PT_CHR)
				ERR(EPERM, node(t, "n", 0644));
			else
				OK(node(t, "n", 0644));
		}
		if (t != PT_BLK && t != PT_CHR) {
			EQ(pt_lstat("n").st_uid, pt_owner.uid);
			EQ(pt_lstat("n").st_gid, pt_owner.gid);
			OK(unlink("n"));
		}
	}
}

static void setgid_directory(void)
{
	OK(chown(".", 0, pt_owner.gid));
	OK(chmod(".", 02777));
	FOR_NODE_TYPES(t) {
		if (t == PT_BLK || t == PT_CHR)
			continue;
		pt_row("%s", pt_type_name(t));
		AS(&pt_other)
			OK(node(t, "n", 0644));
		EQ(pt_lstat("n").st_gid, pt_owner.gid);
		MODE_EQ(pt_perm("n"), 0644);
		OK(unlink("n"));
	}
}

static void wrong_types(void)
{
	/* A directory is not made this way, a symlink neither. */
	ERR(EPERM, mknod("n", S_IFDIR | 0755, 0));
	ERR(EINVAL, mknod("n", S_IFLNK | 0777, 0));
	CHECK(!pt_exists("n"));
	/* No type means a regular file. */
	OK(mknod("n", 0644, 0));
	MODE_EQ(pt_lstat("n").st_mode, S_IFREG | 0644);
}

static void regular_is_a_file(void)
{
	char buf[4];

	OK(mknod("n", S_IFREG | 0644, 0));
	OK(pt_put("n", "data", 4));
	EQ(pt_get("n", buf, 4), 4);
	MEM_EQ(buf, "data", 4);
}

static const struct pt_case cases[] = {
	{ "modes", modes, 0 },
	{ "fresh_node", fresh_node, 0 },
	{ "device_numbers", device_numbers, 0 },
	{ "in_the_way", in_the_way, 0 },
	{ "ownership", ownership, 0 },
	{ "setgid_directory", setgid_directory, 0 },
	{ "wrong_types", wrong_types, 0 },
	{ "regular_is_a_file", regular_is_a_file, 0 },
};

PT_FAMILY(mknod_mkfifo, cases);
