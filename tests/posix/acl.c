/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX ACLs, through their attributes system.posix_acl_access and _default:
 * form, enforcement, inheritance, and how chmod and umask meddle with them.
 *
 * ACLs are written here as "u::rwx,u:12002:r--,g::r-x,m::rwx,o::---".
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <ctype.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

#define MAX_ENTRIES 16

enum {
	TAG_USER_OBJ = 1,
	TAG_USER = 2,
	TAG_GROUP_OBJ = 4,
	TAG_GROUP = 8,
	TAG_MASK = 16,
	TAG_OTHER = 32
};

struct blob {
	uint32_t version;
	struct {
		uint16_t tag;
		uint16_t perm;
		uint32_t id;
	} entry[MAX_ENTRIES];
};

static size_t parse(const char *text, struct blob *b)
{
	size_t n = 0;

	b->version = htole32(2);
	while (*text && n < MAX_ENTRIES) {
		char who = *text;
		uint32_t id = UINT32_MAX;
		uint16_t perm = 0, tag;
		char *end;

		text += 2;
		if (isdigit((unsigned char)*text)) {
			id = strtoul(text, &end, 10);
			text = end;
		}
		text++;
		perm = (text[0] == 'r' ? 4 : 0) | (text[1] == 'w' ? 2 : 0) |
		       (text[2] == 'x' ? 1 : 0);
		text += text[3] == ',' ? 4 : 3;
		if (who == 'u')
			tag = id == UINT32_MAX ? TAG_USER_OBJ : TAG_USER;
		else if (who == 'g')
			tag = id == UINT32_MAX ? TAG_GROUP_OBJ : TAG_GROUP;
		else
			tag = who == 'm' ? TAG_MASK : TAG_OTHER;
		b->entry[n].tag = htole16(tag);
		b->entry[n].perm = htole16(perm);
		b->entry[n].id = htole32(id);
		n++;
	}
	return 4 + 8 * n;
}

static int acl_set(const char *path, const char *type, const char *text)
{
	struct blob b;
	size_t len = parse(text, &b);

	return setxattr(path, type, &b, len, 0);
}

/* The ACL as text, or "none". */
static const char *acl_text(const char *path, const char *type)
{
	static char text[512];
	struct blob b;
	size_t used = 0;
	ssize_t n = getxattr(path, type, &b, sizeof(b));

	if (n < 0)
		return errno == ENODATA ? "none" : strerrorname_np(errno);
	text[0] = '\0';
	for (ssize_t i = 0; i < (n - 4) / 8; i++) {
		unsigned int tag = le16toh(b.entry[i].tag), perm = le16toh(b.entry[i].perm);
		char who = tag <= TAG_USER  ? 'u' :
			   tag <= TAG_GROUP ? 'g' :
			   tag == TAG_MASK  ? 'm' :
					      'o';
		char id[16] = "";

		if (tag == TAG_USER || tag == TAG_GROUP)
			snprintf(id, sizeof(id), "%u", le32toh(b.entry[i].id));
		used += snprintf(text + used, sizeof(text) - used, "%s%c:%s:%c%c%c", i ? "," : "",
				 who, id, perm & 4 ? 'r' : '-', perm & 2 ? 'w' : '-',
				 perm & 1 ? 'x' : '-');
	}
	return text;
}

static int try_acl(void)
{
	if (pt_touch("try-acl", 0644))
		return -1;
	return acl_set("try-acl", ACCESS, "u::rw-,u:12002:r--,g::r--,m::r--,o::r--");
}

static bool supported(void)
{
	int ret = try_acl();

	if (ret && errno == EOPNOTSUPP)
		UNSUPPORTED("POSIX ACLs", try_acl);
	else
		CHECK(ret == 0);
	unlink("try-acl");
	return ret == 0;
}

static void round_trip(void)
{
	static const struct {
		const char *acl;
		mode_t mode;
	} rows[] = {
		{ "u::rw-,u:12002:rwx,g::r--,m::rwx,o::---", 0670 },
		{ "u::rwx,u:12002:r--,u:12003:-w-,g::r-x,m::rwx,o::r--", 0774 },
		{ "u::r--,g::---,g:12007:rw-,m::rw-,o::---", 0460 },
		{ "u::---,u:12002:rwx,g::rwx,g:12007:rwx,m::---,o::rwx", 0007 },
		{ "u::rwx,u:0:rwx,u:4294967294:r--,g::rwx,g:0:--x,m::r-x,o::--x", 0751 },
	};

	if (!supported())
		return;
	for (int t = PT_REG; t <= PT_DIR; t++) {
		OK(pt_make(t, "x", 0644));
		for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
			pt_row("%s %s", pt_type_name(t), rows[i].acl);
			OK(acl_set("x", ACCESS, rows[i].acl));
			STR_EQ(acl_text("x", ACCESS), rows[i].acl);
			MODE_EQ(pt_perm("x"), rows[i].mode);
			if (t == PT_DIR) {
				OK(acl_set("x", DEFAULT, rows[i].acl));
				STR_EQ(acl_text("x", DEFAULT), rows[i].acl);
				MODE_EQ(pt_perm("x"), rows[i].mode);
			}
		}
		OK(pt_remove("x"));
	}
}

/* Three entries say no more than the mode: nothing is kept. */
static void minimal_is_the_mode(void)
{
	if (!supported())
		return;
	OK(pt_touch("f", 0644));
	STR_EQ(acl_text("f", ACCESS), "none");
	OK(acl_set("f", ACCESS, "u::rwx,g::r-x,o::--x"));
	MODE_EQ(pt_perm("f"), 0751);
	STR_EQ(acl_text("f", ACCESS), "none");
	OK(acl_set("f", ACCESS, "u::rw-,u:12002:r--,g::r--,m::r--,o::---"));
	MODE_EQ(pt_perm("f"), 0640);
	OK(acl_set("f", ACCESS, "u::rw-,g::rw-,o::r--"));
	MODE_EQ(pt_perm("f"), 0664);
	STR_EQ(acl_text("f", ACCESS), "none");
}

static void removal(void)
{
	if (!supported())
		return;
	OK(mkdir("d", 0755));
	OK(acl_set("d", ACCESS, "u::rwx,u:12002:rwx,g::r-x,m::rwx,o::r-x"));
	OK(acl_set("d", DEFAULT, "u::rwx,u:12002:rwx,g::r-x,m::rwx,o::r-x"));
	OK(removexattr("d", DEFAULT));
	STR_EQ(acl_text("d", DEFAULT), "none");
	CHECK(strcmp(acl_text("d", ACCESS), "none") != 0);
	OK(removexattr("d", ACCESS));
	STR_EQ(acl_text("d", ACCESS), "none");
	/* What the mask let through stays as group mode. */
	MODE_EQ(pt_perm("d"), 0775);
	AS(&pt_mate)
		ERR(EACCES, mkdir("d/x", 0755));
}

static void chmod_and_mask(void)
{
	if (!supported())
		return;
	OK(pt_touch("f", 0644));
	OK(acl_set("f", ACCESS, "u::rw-,u:12002:rwx,g::r-x,m::rwx,o::r--"));
	OK(chmod("f", 0741));
	STR_EQ(acl_text("f", ACCESS), "u::rwx,u:12002:rwx,g::r-x,m::r--,o::--x");
	MODE_EQ(pt_perm("f"), 0741);
	OK(chmod("f", 0));
	STR_EQ(acl_text("f", ACCESS), "u::---,u:12002:rwx,g::r-x,m::---,o::---");
	OK(chmod("f", 0670));
	STR_EQ(acl_text("f", ACCESS), "u::rw-,u:12002:rwx,g::r-x,m::rwx,o::---");
	OK(chmod("f", 04670));
	STR_EQ(acl_text("f", ACCESS), "u::rw-,u:12002:rwx,g::r-x,m::rwx,o::---");
	MODE_EQ(pt_perm("f"), 04670);
}

/* Who gets what: pt_owner owns, group 12001; the users are those of util.c. */
static void enforcement(void)
{
	static const struct {
		const char *acl;
		const struct pt_user *user;
		const char *may; /* of rwx */
	} rows[] = {
		/* The owner entry is the owner's, whatever else is said. */
		{ "u::r--,u:12001:rwx,g::rwx,m::rwx,o::rwx", &pt_owner, "r--" },
		{ "u::---,g::rwx,o::rwx", &pt_owner, "---" },
		/* A named user is bound by its entry, not by its groups or other. */
		{ "u::rwx,u:12002:r--,g::rwx,m::rwx,o::rwx", &pt_mate, "r--" },
		{ "u::rwx,u:12004:-w-,g::---,m::rwx,o::r-x", &pt_other, "-w-" },
		/* The mask cuts named users and groups. */
		{ "u::rwx,u:12004:rwx,g::---,m::r--,o::---", &pt_other, "r--" },
		{ "u::rwx,u:12004:rwx,g::---,m::---,o::---", &pt_other, "---" },
		{ "u::rwx,u:12004:rwx,g::rwx,m::-wx,o::---", &pt_mate, "-wx" },
		/* The mask does not cut the owner or other. */
		{ "u::rwx,u:12002:rwx,g::rwx,m::---,o::r--", &pt_owner, "rwx" },
		{ "u::---,u:12002:rwx,g::rwx,m::---,o::rw-", &pt_other, "rw-" },
		/* Groups: the owning one, named ones, supplementary ones. */
		{ "u::---,g::r--,g:12007:-w-,m::rwx,o::---", &pt_mate, "r--" },
		{ "u::---,g::---,g:12007:rw-,m::rwx,o::---", &pt_member, "rw-" },
		{ "u::---,g::---,g:12003:--x,m::rwx,o::rwx", &pt_member, "--x" },
		{ "u::---,g::---,g:12004:r-x,m::rwx,o::---", &pt_other, "r-x" },
		/* A matching group that denies is not made up for by other. */
		{ "u::---,g::---,g:12004:---,m::rwx,o::rwx", &pt_other, "---" },
		{ "u::---,g::---,g:12099:rwx,m::rwx,o::r--", &pt_other, "r--" },
	};

	if (!supported())
		return;
	OK(pt_make_owned(PT_REG, "f", 0644, pt_owner.uid, pt_owner.gid));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		const char *may = rows[i].may;
		int fd;

		pt_row("%s %s", rows[i].user->name, rows[i].acl);
		OK(acl_set("f", ACCESS, rows[i].acl));
		AS(rows[i].user) {
			fd = open("f", O_RDONLY | O_CLOEXEC);
			EQ(fd >= 0, may[0] == 'r');
			if (fd < 0)
				EQ(errno, EACCES);
			else
				close(fd);
			fd = open("f", O_WRONLY | O_CLOEXEC);
			EQ(fd >= 0, may[1] == 'w');
			if (fd < 0)
				EQ(errno, EACCES);
			else
				close(fd);
			EQ(access("f", R_OK) == 0, may[0] == 'r');
			EQ(access("f", W_OK) == 0, may[1] == 'w');
			EQ(access("f", X_OK) == 0, may[2] == 'x');
		}
	}
}

/* A group entry must give all that is asked for at once; two do not add up. */
static void groups_do_not_add_up(void)
{
	if (!supported())
		return;
	OK(pt_make_owned(PT_REG, "f", 0644, pt_owner.uid, pt_owner.gid));
	OK(acl_set("f", ACCESS, "u::rwx,g::r--,g:12007:-w-,m::rwx,o::---"));
	AS(&pt_member) {
		OK(access("f", R_OK));
		OK(access("f", W_OK));
		ERR(EACCES, access("f", R_OK | W_OK));
		ERR(EACCES, open("f", O_RDWR));
	}
}

static void enforcement_directories(void)
{
	if (!supported())
		return;
	OK(pt_make_owned(PT_DIR, "d", 0700, pt_owner.uid, pt_owner.gid));
	OK(pt_touch("d/f", 0666));
	AS(&pt_other)
		ERR(EACCES, access("d/f", F_OK));
	OK(acl_set("d", ACCESS, "u::rwx,u:12004:--x,g::---,m::rwx,o::---"));
	AS(&pt_other) {
		OK(access("d/f", R_OK));
		ERR(EACCES, open("d", O_RDONLY));
		ERR(EACCES, mkdir("d/x", 0755));
	}
	OK(acl_set("d", ACCESS, "u::rwx,u:12004:-wx,g::---,m::rwx,o::---"));
	AS(&pt_other) {
		OK(mkdir("d/x", 0755));
		OK(rename("d/x", "d/y"));
		OK(rmdir("d/y"));
	}
	OK(acl_set("d", ACCESS, "u::rwx,u:12004:rwx,g::---,m::r--,o::---"));
	AS(&pt_other) {
		ERR(EACCES, access("d/f", F_OK));
		OK(access("d", R_OK));
		ERR(EACCES, mkdir("d/x", 0755));
	}
}

static int make_reg(mode_t mode)
{
	return pt_touch("d/x", mode);
}

static int make_dir(mode_t mode)
{
	return mkdir("d/x", mode);
}

static int make_fifo(mode_t mode)
{
	return mkfifo("d/x", mode);
}

static int make_tmpfile(mode_t mode)
{
	char self[64];
	int fd = open("d", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
	int ret;

	if (fd < 0)
		return -1;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	ret = linkat(AT_FDCWD, self, AT_FDCWD, "d/x", AT_SYMLINK_FOLLOW);
	close(fd);
	return ret;
}

/* What a directory hands down: the default ACL takes the place of the umask. */
static void inheritance(void)
{
	static const struct {
		const char *def;
		mode_t mode;
		mode_t want;
		const char *acl;
	} rows[] = {
		{ "u::rwx,u:12002:rwx,g::r-x,m::rwx,o::---", 0666, 0660,
		  "u::rw-,u:12002:rwx,g::r-x,m::rw-,o::---" },
		{ "u::rwx,u:12002:rwx,g::r-x,m::rwx,o::---", 0777, 0770,
		  "u::rwx,u:12002:rwx,g::r-x,m::rwx,o::---" },
		{ "u::rwx,u:12002:rwx,g::r-x,m::rwx,o::rwx", 0600, 0600,
		  "u::rw-,u:12002:rwx,g::r-x,m::---,o::---" },
		{ "u::r-x,g::rwx,g:12007:r--,m::r--,o::r-x", 0777, 0545,
		  "u::r-x,g::rwx,g:12007:r--,m::r--,o::r-x" },
		{ "u::rwx,g::r-x,o::---", 0777, 0750, "none" },
		{ "u::rw-,g::rw-,o::r--", 0666, 0664, "none" },
	};
	static const struct {
		const char *name;
		int (*make)(mode_t mode);
		bool links;
	} makers[] = { { "file", make_reg, false },
		       { "dir", make_dir, false },
		       { "fifo", make_fifo, false },
		       { "tmpfile", make_tmpfile, true } };

	if (!supported())
		return;
	OK(mkdir("d", 0755));
	umask(077);
	for (size_t m = 0; m < PT_ARRAY_SIZE(makers); m++) {
		if ((makers[m].make == make_fifo && !pt_can_make(PT_FIFO)) ||
		    (makers[m].links && !pt_has_links()))
			continue;
		for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
			pt_row("%s mode=%04o %s", makers[m].name, rows[i].mode, rows[i].def);
			OK(acl_set("d", DEFAULT, rows[i].def));
			OK(makers[m].make(rows[i].mode));
			MODE_EQ(pt_perm("d/x"), rows[i].want);
			STR_EQ(acl_text("d/x", ACCESS), rows[i].acl);
			/* Only directories hand on. */
			STR_EQ(acl_text("d/x", DEFAULT),
			       makers[m].make == make_dir ? rows[i].def : "none");
			OK(pt_remove("d/x"));
		}
	}
	pt_row("symlink");
	OK(symlink("t", "d/l"));
	MODE_EQ(pt_perm("d/l"), 0777);
	pt_row("umask counts again without a default ACL");
	OK(removexattr("d", DEFAULT));
	OK(make_reg(0666));
	MODE_EQ(pt_perm("d/x"), 0600);
	STR_EQ(acl_text("d/x", ACCESS), "none");
}

static void inheritance_deep(void)
{
	const char *def = "u::rwx,u:12004:rwx,g::r-x,m::rwx,o::---";

	if (!supported())
		return;
	OK(mkdir("d", 0755));
	OK(acl_set("d", DEFAULT, def));
	OK(mkdir("d/a", 0777));
	OK(mkdir("d/a/b", 0777));
	OK(pt_touch("d/a/b/f", 0666));
	STR_EQ(acl_text("d/a/b", DEFAULT), def);
	STR_EQ(acl_text("d/a/b/f", ACCESS), "u::rw-,u:12004:rwx,g::r-x,m::rw-,o::---");
	AS(&pt_other) {
		OK(access("d/a/b/f", R_OK | W_OK));
		OK(pt_touch("d/a/b/mine", 0666));
	}
	/* Made elsewhere and moved in: keeps what it had. */
	OK(pt_touch("outside", 0600));
	OK(rename("outside", "d/a/moved"));
	STR_EQ(acl_text("d/a/moved", ACCESS), "none");
	/* A change of the default does not reach what is there. */
	OK(acl_set("d", DEFAULT, "u::rwx,g::---,o::---"));
	STR_EQ(acl_text("d/a", DEFAULT), def);
}

static void wrong_acls(void)
{
	static const struct {
		const char *acl;
		int err;
	} rows[] = {
		{ "u::rwx,u:12002:rwx,g::rwx,o::rwx", EINVAL }, /* no mask */
		{ "u::rwx,g::rwx", EINVAL }, /* no other */
		{ "g::rwx,o::rwx", EINVAL }, /* no owner */
		{ "u::rwx,u::rwx,g::rwx,o::rwx", EINVAL }, /* owner twice */
		{ "g::rwx,u::rwx,o::rwx", EINVAL }, /* order */
		{ "u::rwx,g::rwx,m::rwx,m::rwx,o::rwx", EINVAL },
	};
	struct blob b;
	size_t len;

	if (!supported())
		return;
	OK(pt_touch("f", 0640));
	OK(mkdir("d", 0750));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("%s", rows[i].acl);
		ERR(rows[i].err, acl_set("f", ACCESS, rows[i].acl));
		ERR(rows[i].err, acl_set("d", DEFAULT, rows[i].acl));
	}
	pt_row("malformed");
	len = parse("u::rwx,g::rwx,o::rwx", &b);
	ERR(EINVAL, setxattr("f", ACCESS, &b, len - 1, 0));
	ERR(EINVAL, setxattr("f", ACCESS, &b, 3, 0));
	b.version = htole32(7);
	ERR(EOPNOTSUPP, setxattr("f", ACCESS, &b, len, 0));
	len = parse("u::rwx,g::rwx,o::rwx", &b);
	b.entry[1].tag = htole16(3);
	ERR(EINVAL, setxattr("f", ACCESS, &b, len, 0));
	len = parse("u::rwx,g::rwx,o::rwx", &b);
	b.entry[1].perm = htole16(0x10);
	ERR(EINVAL, setxattr("f", ACCESS, &b, len, 0));
	pt_row("default ACL of a file");
	ERR(EACCES, acl_set("f", DEFAULT, "u::rwx,g::rwx,o::rwx"));
	MODE_EQ(pt_perm("f"), 0640);
	MODE_EQ(pt_perm("d"), 0750);
	STR_EQ(acl_text("f", ACCESS), "none");
	pt_row("symlink");
	OK(symlink("f", "l"));
	len = parse("u::rwx,g::rwx,o::rwx", &b);
	ERR(EOPNOTSUPP, lsetxattr("l", ACCESS, &b, len, 0));
}

static void who_may_set(void)
{
	const char *acl = "u::rwx,u:12004:r--,g::r--,m::r--,o::---";

	if (!supported())
		return;
	OK(pt_make_owned(PT_REG, "f", 0666, pt_owner.uid, pt_owner.gid));
	AS(&pt_mate)
		ERR(EPERM, acl_set("f", ACCESS, acl));
	AS(&pt_other) {
		ERR(EPERM, acl_set("f", ACCESS, acl));
		STR_EQ(acl_text("f", ACCESS), "none");
	}
	AS(&pt_owner)
		OK(acl_set("f", ACCESS, acl));
	AS(&pt_other) {
		STR_EQ(acl_text("f", ACCESS), acl);
		ERR(EPERM, removexattr("f", ACCESS));
	}
	AS(&pt_owner)
		OK(removexattr("f", ACCESS));
}

static int listed(const char *path, const char *name)
{
	char list[1024];
	ssize_t n = OK(listxattr(path, list, sizeof(list)));
	int times = 0;

	for (char *p = list; p < list + n; p += strlen(p) + 1)
		times += strcmp(p, name) == 0;
	return times;
}

static void listing_and_life(void)
{
	const char *acl = "u::rwx,u:12004:r--,g::r--,m::r--,o::---";

	if (!supported())
		return;
	OK(pt_touch("f", 0640));
	EQ(listed("f", ACCESS), 0);
	OK(acl_set("f", ACCESS, acl));
	EQ(listed("f", ACCESS), 1);
	OK(rename("f", "g"));
	STR_EQ(acl_text("g", ACCESS), acl);
	OK(chown("g", pt_owner.uid, pt_owner.gid));
	STR_EQ(acl_text("g", ACCESS), acl);
	OK(truncate("g", 100));
	STR_EQ(acl_text("g", ACCESS), acl);
	if (pt_has_links()) {
		OK(link("g", "h"));
		STR_EQ(acl_text("h", ACCESS), acl);
	}
	OK(unlink("g"));
	OK(pt_touch("g", 0640));
	STR_EQ(acl_text("g", ACCESS), "none");
}

static void times(void)
{
	struct stat before;

	if (!supported())
		return;
	OK(pt_touch("f", 0640));
	before = pt_lstat("f");
	pt_tick();
	OK(acl_set("f", ACCESS, "u::rwx,u:12004:r--,g::r--,m::r--,o::---"));
	TIME_GT(pt_lstat("f").st_ctim, before.st_ctim);
	TIME_EQ(pt_lstat("f").st_mtim, before.st_mtim);
}

static void clears_setgid(void)
{
	if (!supported())
		return;
	OK(pt_make_owned(PT_REG, "f", 02755, pt_owner.uid, 12099));
	AS(&pt_owner)
		OK(acl_set("f", ACCESS, "u::rwx,u:12004:r--,g::r-x,m::r-x,o::r-x"));
	MODE_EQ(pt_perm("f"), 0755);
	OK(pt_make_owned(PT_REG, "g", 02755, pt_owner.uid, pt_owner.gid));
	AS(&pt_owner)
		OK(acl_set("g", ACCESS, "u::rwx,u:12004:r--,g::r-x,m::r-x,o::r-x"));
	MODE_EQ(pt_perm("g"), 02755);
}

static const struct pt_case cases[] = {
	{ "round_trip", round_trip, 0 },
	{ "minimal_is_the_mode", minimal_is_the_mode, 0 },
	{ "removal", removal, 0 },
	{ "chmod_and_mask", chmod_and_mask, 0 },
	{ "enforcement", enforcement, 0 },
	{ "groups_do_not_add_up", groups_do_not_add_up, 0 },
	{ "enforcement_directories", enforcement_directories, 0 },
	{ "inheritance", inheritance, 0 },
	{ "inheritance_deep", inheritance_deep, 0 },
	{ "wrong_acls", wrong_acls, 0 },
	{ "who_may_set", who_may_set, 0 },
	{ "listing_and_life", listing_and_life, 0 },
	{ "times", times, 0 },
	{ "clears_setgid", clears_setgid, 0 },
};

PT_FAMILY(acl, cases);
