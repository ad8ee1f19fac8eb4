/* SPDX-License-Identifier: Apache-2.0 */
/* statfs(2), statvfs(3), stat(2) and statx(2) as a whole. */
#include "config.h"

#include "tests/posix/posix.h"

#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static void sane(void)
{
	struct statvfs v;
	struct statfs s;

	OK(statfs(".", &s));
	OK(statvfs(".", &v));
	CHECK(s.f_bsize > 0);
	CHECK(v.f_frsize > 0);
	EQ(s.f_namelen, 255);
	EQ(v.f_namemax, 255);
	CHECK(s.f_blocks > 0);
	CHECK(s.f_bfree <= s.f_blocks);
	CHECK(s.f_bavail <= s.f_bfree);
	CHECK(s.f_ffree <= s.f_files);
	EQ(v.f_blocks, s.f_blocks);
	CHECK(!(v.f_flag & ST_RDONLY));
	EQ(pathconf(".", _PC_NAME_MAX), 255);
}

static void same_from_everywhere(void)
{
	struct statvfs dir, file, by_fd;
	int fd;

	OK(mkdir("d", 0755));
	OK(pt_touch("d/f", 0));
	fd = OK(open("d/f", O_RDWR | O_CLOEXEC));
	OK(statvfs(".", &dir));
	OK(statvfs("d/f", &file));
	OK(fstatvfs(fd, &by_fd));
	EQ(file.f_fsid, dir.f_fsid);
	EQ(by_fd.f_fsid, dir.f_fsid);
	EQ(file.f_bsize, dir.f_bsize);
	EQ(file.f_blocks, dir.f_blocks);
	EQ(by_fd.f_blocks, dir.f_blocks);
	OK(unlink("d/f"));
	OK(fstatvfs(fd, &by_fd));
	EQ(by_fd.f_fsid, dir.f_fsid);
	OK(close(fd));
	ERR(EBADF, fstatvfs(fd, &by_fd));
	AS(&pt_other)
		OK(statvfs(".", &file));
}

/* All ways to ask for attributes give the same answer. */
static void stat_agrees_with_statx(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct statx x;
		struct stat st;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make_owned(t, "x", 0640, 11, 12));
		st = pt_lstat("x");
		OK(statx(AT_FDCWD, "x", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x));
		EQ(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
		EQ(x.stx_mode, st.st_mode);
		EQ(x.stx_ino, st.st_ino);
		EQ(x.stx_nlink, st.st_nlink);
		EQ(x.stx_uid, 11);
		EQ(x.stx_gid, 12);
		EQ(x.stx_size, st.st_size);
		EQ(x.stx_blocks, st.st_blocks);
		EQ(x.stx_blksize, st.st_blksize);
		EQ(makedev(x.stx_rdev_major, x.stx_rdev_minor), st.st_rdev);
		EQ(x.stx_mtime.tv_sec, st.st_mtim.tv_sec);
		EQ(x.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
		EQ(x.stx_ctime.tv_nsec, st.st_ctim.tv_nsec);
		OK(statx(AT_FDCWD, "x", AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC,
			 STATX_BASIC_STATS, &x));
		EQ(x.stx_size, st.st_size);
		OK(statx(AT_FDCWD, "x", AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_BASIC_STATS,
			 &x));
		EQ(x.stx_ino, st.st_ino);
		OK(pt_remove("x"));
	}
	{
		struct statx x;

		ERR(EINVAL, statx(AT_FDCWD, ".", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC,
				  STATX_BASIC_STATS, &x));
	}
}

static void blocks_tell_the_space(void)
{
	static char data[262144];
	struct stat st;

	pt_fill(data, sizeof(data), 1);
	OK(pt_put("f", data, sizeof(data)));
	st = pt_lstat("f");
	CHECK(st.st_blocks >= 512);
	CHECK(st.st_blocks < 1024);
	OK(truncate("f", 0));
	EQ(pt_lstat("f").st_blocks, 0);
	OK(truncate("f", 262144));
	CHECK(pt_lstat("f").st_blocks < 64);
}

static const struct pt_case cases[] = {
	{ "sane", sane, 0 },
	{ "same_from_everywhere", same_from_everywhere, 0 },
	{ "stat_agrees_with_statx", stat_agrees_with_statx, 0 },
	{ "blocks_tell_the_space", blocks_tell_the_space, 0 },
};

PT_FAMILY(statfs, cases);
