/* SPDX-License-Identifier: Apache-2.0 */
/* open(2) that makes files: mode, umask, ownership, O_EXCL, and what is in the way. */
#include "config.h"

#include "tests/posix/posix.h"

static int create(const char *path, int flags, mode_t mode)
{
	int fd = open(path, flags | O_CREAT | O_CLOEXEC, mode);

	return fd < 0 ? -1 : close(fd);
}

static void modes(void)
{
	static const struct {
		mode_t umask, mode, want;
	} rows[] = {
		{ 0, 0755, 0755 },   { 0, 0151, 0151 },     { 0, 0, 0 },
		{ 0, 0777, 0777 },   { 0, 0400, 0400 },     { 0, 0200, 0200 },
		{ 077, 0151, 0100 }, { 070, 0345, 0305 },   { 0501, 0345, 0244 },
		{ 0777, 0777, 0 },   { 022, 0666, 0644 },   { 027, 0777, 0750 },
		{ 0, 01755, 01755 }, { 0, 04755, 04755 },   { 0, 02755, 02755 },
		{ 0, 06711, 06711 }, { 022, 04777, 04755 }, { 0111, 0777, 0666 },
	};

	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("mode=%04o umask=%04o", rows[i].mode, rows[i].umask);
		umask(rows[i].umask);
		OK(create("f", O_WRONLY, rows[i].mode));
		MODE_EQ(pt_lstat("f").st_mode, S_IFREG | rows[i].want);
		OK(unlink("f"));
		OK(create("f", O_RDWR | O_EXCL, rows[i].mode));
		MODE_EQ(pt_perm("f"), rows[i].want);
		OK(unlink("f"));
		umask(0);
	}
}

/* The mode is for later opens: the descriptor that made the file has its access. */
static void mode_does_not_bind_creator(void)
{
	char buf[4];
	int fd;

	OK(chown(".", pt_owner.uid, pt_owner.gid));
	AS(&pt_owner) {
		fd = OK(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0));
		EQ(write(fd, "abc", 3), 3);
		EQ(pread(fd, buf, 3, 0), 3);
		MEM_EQ(buf, "abc", 3);
		OK(ftruncate(fd, 2));
		OK(close(fd));
		ERR(EACCES, open("f", O_RDONLY));
		ERR(EACCES, open("f", O_WRONLY));
		fd = OK(open("g", O_WRONLY | O_CREAT | O_CLOEXEC, 0444));
		EQ(write(fd, "abc", 3), 3);
		OK(close(fd));
		ERR(EACCES, open("g", O_WRONLY));
	}
	EQ(pt_size("f"), 2);
	EQ(pt_size("g"), 3);
}

static void fresh_file(void)
{
	struct timespec before = pt_now();
	struct stat st;

	pt_tick();
	OK(create("f", O_RDWR, 0640));
	st = pt_lstat("f");
	EQ(st.st_size, 0);
	EQ(st.st_blocks, 0);
	EQ(st.st_nlink, 1);
	EQ(st.st_uid, 0);
	EQ(st.st_gid, 0);
	CHECK(st.st_ino != 0);
	CHECK(st.st_blksize > 0);
	EQ(st.st_dev, pt_lstat(".").st_dev);
	TIME_GT(st.st_atim, before);
	TIME_GT(st.st_mtim, before);
	TIME_GT(st.st_ctim, before);
	CHECK(pt_lstat(".").st_ino != st.st_ino);
}

static void ownership(void)
{
	const struct pt_user *users[] = { &pt_owner, &pt_mate, &pt_member, &pt_other };

	OK(chmod(".", 0777));
	for (size_t i = 0; i < PT_ARRAY_SIZE(users); i++) {
		pt_row("%s", users[i]->name);
		AS(users[i])
			OK(create("f", O_WRONLY, 0644));
		EQ(pt_lstat("f").st_uid, users[i]->uid);
		EQ(pt_lstat("f").st_gid, users[i]->gid);
		OK(unlink("f"));
	}
}

/* In a set-gid directory the directory's group goes to what is made in it. */
static void setgid_directory(void)
{
	OK(mkdir("d", 0777));
	OK(chown("d", 0, pt_owner.gid));
	OK(chmod("d", 02777));
	AS(&pt_other) {
		OK(create("d/f", O_WRONLY, 0644));
		OK(create("d/nox", O_WRONLY, 02644));
		OK(create("d/x", O_WRONLY, 02755));
	}
	EQ(pt_lstat("d/f").st_gid, pt_owner.gid);
	MODE_EQ(pt_perm("d/f"), 0644);
	/* One outside the group cannot plant a set-gid program of that group. */
	EQ(pt_lstat("d/x").st_gid, pt_owner.gid);
	MODE_EQ(pt_perm("d/x"), 0755);
	AS(&pt_member)
		OK(create("d/member-x", O_WRONLY, 02755));
	MODE_EQ(pt_perm("d/member-x"), 02755);
	EQ(pt_lstat("d/member-x").st_gid, pt_owner.gid);
	OK(create("d/root-x", O_WRONLY, 02755));
	MODE_EQ(pt_perm("d/root-x"), 02755);
}

static void exclusive(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "there", 0644));
		ERR(EEXIST, create("there", O_EXCL | O_WRONLY, 0644));
		ERR(EEXIST, create("there", O_EXCL | O_RDONLY, 0644));
		ERR(EEXIST, create("there", O_EXCL | O_RDWR | O_TRUNC, 0644));
		MODE_EQ(pt_lstat("there").st_mode & S_IFMT, pt_type_mode(t));
		OK(pt_remove("there"));
	}
	pt_row("symlink to a file");
	OK(pt_touch("file", 0644));
	OK(symlink("file", "link"));
	ERR(EEXIST, create("link", O_EXCL | O_WRONLY, 0644));
}

static void exclusive_keeps_contents(void)
{
	char buf[16];

	OK(pt_put("f", "contents", 8));
	ERR(EEXIST, open("f", O_CREAT | O_EXCL | O_TRUNC | O_WRONLY, 0644));
	EQ(pt_get("f", buf, sizeof(buf)), 8);
	MEM_EQ(buf, "contents", 8);
	OK(unlink("f"));
	OK(create("f", O_EXCL | O_WRONLY, 0600));
	EQ(pt_size("f"), 0);
}

static void existing(void)
{
	struct stat before, after;
	char buf[16];
	int fd;

	OK(pt_put("f", "contents", 8));
	OK(chmod("f", 0604));
	before = pt_lstat("f");
	fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0777));
	EQ(read(fd, buf, sizeof(buf)), 8);
	OK(close(fd));
	after = pt_lstat("f");
	EQ(after.st_ino, before.st_ino);
	MODE_EQ(after.st_mode, before.st_mode);
	TIME_EQ(after.st_mtim, before.st_mtim);
	TIME_EQ(after.st_ctim, before.st_ctim);
	fd = OK(open("f", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0777));
	EQ(pt_fstat(fd).st_size, 0);
	OK(close(fd));
	MODE_EQ(pt_perm("f"), 0604);
	EQ(pt_lstat("f").st_ino, before.st_ino);
}

static void through_symlinks(void)
{
	OK(mkdir("d", 0755));
	OK(symlink("d/target", "link"));
	OK(create("link", O_WRONLY, 0640));
	MODE_EQ(pt_lstat("d/target").st_mode, S_IFREG | 0640);
	CHECK(S_ISLNK(pt_lstat("link").st_mode));
	OK(symlink("gone/target", "bad"));
	ERR(ENOENT, create("bad", O_WRONLY, 0640));
	OK(symlink("d/excl", "excl"));
	ERR(EEXIST, create("excl", O_EXCL | O_WRONLY, 0640));
	CHECK(!pt_exists("d/excl"));
	ERR(ELOOP, create("excl", O_NOFOLLOW | O_WRONLY, 0640));
	CHECK(!pt_exists("d/excl"));
}

static void directory_in_the_way(void)
{
	OK(mkdir("d", 0755));
	ERR(EISDIR, create("d", O_RDONLY, 0644));
	ERR(EISDIR, create("d", O_WRONLY, 0644));
	ERR(EISDIR, create("d", O_RDWR | O_TRUNC, 0644));
	ERR(EISDIR, create(".", O_RDWR, 0644));
	ERR(EISDIR, create("..", O_RDWR, 0644));
	ERR(EEXIST, create("d", O_RDWR | O_EXCL, 0644));
	/* Linux 6.4 turned the combination into EINVAL; before it made a file or said ENOTDIR. */
	ERR2(EINVAL, ENOTDIR, create("new", O_DIRECTORY | O_RDONLY, 0644));
	CHECK(!pt_exists("new"));
}

static void permission_on_parent(void)
{
	static const struct {
		mode_t mode;
		bool owner, mate, other;
	} rows[] = {
		{ 0700, true, false, false },  { 0770, true, true, false },
		{ 0777, true, true, true },    { 0755, true, false, false },
		{ 0577, false, true, true },   { 0757, true, false, true },
		{ 0300, true, false, false },  { 0030, false, true, false },
		{ 0003, false, false, true },  { 0222, false, false, false },
		{ 0111, false, false, false }, { 0444, false, false, false },
	};

	OK(mkdir("d", 0755));
	OK(chown("d", pt_owner.uid, pt_owner.gid));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		const struct {
			const struct pt_user *user;
			bool may;
		} who[] = { { &pt_owner, rows[i].owner },
			    { &pt_mate, rows[i].mate },
			    { &pt_member, rows[i].mate },
			    { &pt_other, rows[i].other } };

		OK(chmod("d", rows[i].mode));
		for (size_t u = 0; u < PT_ARRAY_SIZE(who); u++) {
			pt_row("mode=%04o %s", rows[i].mode, who[u].user->name);
			AS(who[u].user) {
				if (who[u].may)
					OK(create("d/f", O_WRONLY, 0644));
				else
					ERR(EACCES, create("d/f", O_WRONLY, 0644));
			}
			EQ(pt_exists("d/f"), who[u].may);
			unlink("d/f");
		}
		pt_row("mode=%04o root", rows[i].mode);
		OK(create("d/f", O_WRONLY, 0644));
		OK(unlink("d/f"));
	}
}

static void relative_to_descriptor(void)
{
	int dirfd, fd;

	OK(mkdir("d", 0755));
	dirfd = OK(open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	fd = OK(openat(dirfd, "f", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644));
	EQ(write(fd, "x", 1), 1);
	OK(close(fd));
	EQ(pt_size("d/f"), 1);
	/* The descriptor follows the directory, not its name. */
	OK(rename("d", "moved"));
	fd = OK(openat(dirfd, "g", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644));
	OK(close(fd));
	CHECK(pt_exists("moved/g"));
	OK(unlink("moved/f"));
	OK(unlink("moved/g"));
	OK(rmdir("moved"));
	ERR(ENOENT, openat(dirfd, "h", O_CREAT | O_RDWR, 0644));
	OK(close(dirfd));
	fd = OK(open("plain", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	ERR(ENOTDIR, openat(fd, "x", O_CREAT | O_RDWR, 0644));
	OK(close(fd));
	ERR(EBADF, openat(fd, "x", O_CREAT | O_RDWR, 0644));
}

/* Two names made in the same breath are two files; a name made again is a new one. */
static void identity(void)
{
	ino_t first, second;
	int fd;

	OK(create("a", O_WRONLY, 0644));
	OK(create("b", O_WRONLY, 0644));
	first = pt_lstat("a").st_ino;
	CHECK(first != pt_lstat("b").st_ino);
	fd = OK(open("a", O_RDONLY | O_CLOEXEC));
	OK(unlink("a"));
	OK(create("a", O_WRONLY, 0644));
	second = pt_lstat("a").st_ino;
	CHECK(first != second);
	EQ(pt_fstat(fd).st_ino, first);
	OK(close(fd));
	EQ(pt_lstat("a").st_ino, second);
}

static const struct pt_case cases[] = {
	{ "modes", modes, 0 },
	{ "mode_does_not_bind_creator", mode_does_not_bind_creator, 0 },
	{ "fresh_file", fresh_file, 0 },
	{ "ownership", ownership, 0 },
	{ "setgid_directory", setgid_directory, 0 },
	{ "exclusive", exclusive, 0 },
	{ "exclusive_keeps_contents", exclusive_keeps_contents, 0 },
	{ "existing", existing, 0 },
	{ "through_symlinks", through_symlinks, 0 },
	{ "directory_in_the_way", directory_in_the_way, 0 },
	{ "permission_on_parent", permission_on_parent, 0 },
	{ "relative_to_descriptor", relative_to_descriptor, 0 },
	{ "identity", identity, 0 },
};

PT_FAMILY(open_create, cases);
