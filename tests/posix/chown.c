/* SPDX-License-Identifier: Apache-2.0 */
/* chown(2) and relatives: who may, what it keeps, and the set-id bits it clears. */
#include "config.h"

#include "tests/posix/posix.h"

#define KEEP ((uid_t)-1)

static void check_owner(const char *path, uid_t uid, gid_t gid)
{
	struct stat st = pt_lstat(path);

	EQ(st.st_uid, uid);
	EQ(st.st_gid, gid);
}

static void root_may_all(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		OK(lchown("x", 123, 456));
		check_owner("x", 123, 456);
		OK(lchown("x", KEEP, 789));
		check_owner("x", 123, 789);
		OK(lchown("x", 321, KEEP));
		check_owner("x", 321, 789);
		OK(lchown("x", KEEP, KEEP));
		check_owner("x", 321, 789);
		OK(lchown("x", 4000000000u, 4000000001u));
		check_owner("x", 4000000000u, 4000000001u);
		OK(lchown("x", 0, 0));
		if (t != PT_LNK) {
			OK(symlink("x", "l"));
			OK(chown("l", 123, 456));
			check_owner("x", 123, 456);
			check_owner("l", 0, 0);
			OK(lchown("l", 7, 8));
			check_owner("x", 123, 456);
			check_owner("l", 7, 8);
			OK(fchownat(AT_FDCWD, "l", 9, 10, AT_SYMLINK_NOFOLLOW));
			check_owner("l", 9, 10);
			OK(fchownat(AT_FDCWD, "l", 11, 12, 0));
			check_owner("x", 11, 12);
			OK(unlink("l"));
		}
		OK(pt_remove("x"));
	}
}

static void by_descriptor(void)
{
	int fd;

	OK(pt_touch("f", 0644));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	OK(fchown(fd, 123, 456));
	check_owner("f", 123, 456);
	OK(fchownat(fd, "", 124, 457, AT_EMPTY_PATH));
	check_owner("f", 124, 457);
	OK(unlink("f"));
	OK(fchown(fd, 125, 458));
	EQ(pt_fstat(fd).st_uid, 125);
	OK(close(fd));
	ERR(EBADF, fchown(fd, 0, 0));
	ERR(EINVAL, fchownat(AT_FDCWD, ".", 0, 0, 0x40000000));
}

/* The owner may give the file to a group it is in, and to no other uid. */
static void owner_may_little(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make_owned(t, "x", 0644, pt_member.uid, 12099));
		AS(&pt_member) {
			OK(lchown("x", KEEP, 12007));
			check_owner("x", pt_member.uid, 12007);
			OK(lchown("x", pt_member.uid, 12001));
			check_owner("x", pt_member.uid, 12001);
			OK(lchown("x", KEEP, pt_member.gid));
			OK(lchown("x", pt_member.uid, pt_member.gid));
			OK(lchown("x", pt_member.uid, KEEP));
			OK(lchown("x", KEEP, KEEP));
			ERR(EPERM, lchown("x", KEEP, 12099));
			ERR(EPERM, lchown("x", KEEP, 0));
			ERR(EPERM, lchown("x", 0, KEEP));
			ERR(EPERM, lchown("x", pt_other.uid, pt_member.gid));
			ERR(EPERM, lchown("x", pt_member.uid, pt_other.gid));
			ERR(EPERM, lchown("x", 0, 0));
		}
		check_owner("x", pt_member.uid, pt_member.gid);
		/* A group it already has may stay, though the owner is not in it. */
		OK(lchown("x", pt_member.uid, 12099));
		AS(&pt_member)
			OK(lchown("x", pt_member.uid, 12099));
		check_owner("x", pt_member.uid, 12099);
		OK(pt_remove("x"));
	}
}

static void strangers_may_nothing(void)
{
	const struct pt_user *strangers[] = { &pt_mate, &pt_member, &pt_other };

	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		OK(pt_make_owned(t, "x", 0666, pt_owner.uid, pt_owner.gid));
		for (size_t i = 0; i < PT_ARRAY_SIZE(strangers); i++) {
			const struct pt_user *u = strangers[i];

			pt_row("%s %s", pt_type_name(t), u->name);
			AS(u) {
				ERR(EPERM, lchown("x", u->uid, u->gid));
				ERR(EPERM, lchown("x", KEEP, u->gid));
				ERR(EPERM, lchown("x", u->uid, KEEP));
				ERR(EPERM, lchown("x", pt_owner.uid, pt_owner.gid));
				/* Asking for nothing is granted. */
				OK(lchown("x", KEEP, KEEP));
			}
			check_owner("x", pt_owner.uid, pt_owner.gid);
		}
		OK(pt_remove("x"));
	}
}

static void times(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat before, after;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		before = pt_lstat("x");
		pt_tick();
		OK(lchown("x", pt_owner.uid, pt_owner.gid));
		after = pt_lstat("x");
		TIME_GT(after.st_ctim, before.st_ctim);
		TIME_EQ(after.st_mtim, before.st_mtim);
		before = after;
		pt_tick();
		AS(&pt_other)
			ERR(EPERM, lchown("x", pt_other.uid, pt_other.gid));
		TIME_EQ(pt_lstat("x").st_ctim, before.st_ctim);
		OK(pt_remove("x"));
	}
}

/* Set-id bits do not survive a new owner, except on directories. */
static void clears_set_id(void)
{
	static const struct {
		mode_t mode, want;
	} rows[] = {
		{ 06555, 0555 }, { 06777, 0777 }, { 04755, 0755 },  { 02755, 0755 },
		{ 04644, 0644 }, { 02711, 0711 }, { 01755, 01755 }, { 07755, 01755 },
	};
	static const struct {
		const char *name;
		uid_t uid;
		gid_t gid;
		bool as_owner;
	} changes[] = {
		{ "root uid+gid", 123, 456, false },  { "root uid", 123, KEEP, false },
		{ "root gid", KEEP, 456, false },     { "root same", 12003, 12003, false },
		{ "owner gid", KEEP, 12007, true },   { "owner uid+gid", 12003, 12001, true },
		{ "owner same", 12003, 12003, true },
	};

	for (int t = PT_REG; t < PT_LNK; t++) {
		if (t == PT_BLK || t == PT_CHR || !pt_can_make(t))
			continue;
		for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
			for (size_t c = 0; c < PT_ARRAY_SIZE(changes); c++) {
				pt_row("%s mode=%04o %s", pt_type_name(t), rows[i].mode,
				       changes[c].name);
				OK(pt_make_owned(t, "x", rows[i].mode, pt_member.uid,
						 pt_member.gid));
				MODE_EQ(pt_perm("x"), rows[i].mode);
				if (changes[c].as_owner)
					AS(&pt_member)
						OK(chown("x", changes[c].uid, changes[c].gid));
				else
					OK(chown("x", changes[c].uid, changes[c].gid));
				MODE_EQ(pt_perm("x"), t == PT_DIR ? rows[i].mode : rows[i].want);
				OK(pt_remove("x"));
			}
		}
	}
}

/* Set-group-id without group execute is no privilege: it stays for root. */
static void keeps_locking_bit(void)
{
	OK(pt_touch("f", 02644));
	OK(chown("f", 123, 456));
	MODE_EQ(pt_perm("f"), 02644);
	OK(pt_make_owned(PT_REG, "g", 02644, pt_member.uid, pt_member.gid));
	AS(&pt_member)
		OK(chown("g", KEEP, 12007));
	MODE_EQ(pt_perm("g"), 02644);
}

static void takes_effect_at_once(void)
{
	int fd;

	OK(pt_touch("f", 0600));
	for (int i = 0; i < 10; i++) {
		pt_row("i=%d", i);
		OK(chown("f", pt_owner.uid, pt_owner.gid));
		AS(&pt_owner) {
			fd = OK(open("f", O_RDWR | O_CLOEXEC));
			OK(close(fd));
		}
		AS(&pt_other)
			ERR(EACCES, open("f", O_RDWR));
		OK(chown("f", pt_other.uid, pt_other.gid));
		AS(&pt_owner)
			ERR(EACCES, open("f", O_RDWR));
		AS(&pt_other) {
			fd = OK(open("f", O_RDWR | O_CLOEXEC));
			OK(close(fd));
		}
	}
}

static const struct pt_case cases[] = {
	{ "root_may_all", root_may_all, 0 },
	{ "by_descriptor", by_descriptor, 0 },
	{ "owner_may_little", owner_may_little, 0 },
	{ "strangers_may_nothing", strangers_may_nothing, 0 },
	{ "times", times, 0 },
	{ "clears_set_id", clears_set_id, 0 },
	{ "keeps_locking_bit", keeps_locking_bit, 0 },
	{ "takes_effect_at_once", takes_effect_at_once, 0 },
};

PT_FAMILY(chown, cases);
