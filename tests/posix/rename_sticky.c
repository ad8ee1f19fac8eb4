/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rename(2) out of and into directories with the sticky bit: who owns the
 * directory, who owns the file, what is in the way.
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <stdio.h>

/* pt_owner acts; "own" means pt_owner, the others are somebody else. */
static const struct pt_user *const who[] = { &pt_owner, &pt_mate, &pt_other };

static void give(const char *path, const struct pt_user *user)
{
	OK(lchown(path, user->uid, user->gid));
}

static void make_for(enum pt_type t, const char *path, const struct pt_user *user)
{
	OK(pt_make_owned(t, path, 0777, user->uid, user->gid));
}

/* The source directory is sticky. */
static void out_of(void)
{
	OK(mkdir("sticky", 0777));
	OK(mkdir("plain", 0777));
	give("plain", &pt_owner);
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		for (size_t d = 0; d < PT_ARRAY_SIZE(who); d++) {
			for (size_t f = 0; f < PT_ARRAY_SIZE(who); f++) {
				bool may = d == 0 || f == 0;
				ino_t ino;

				pt_row("%s dir=%s file=%s", pt_type_name(t), who[d]->name,
				       who[f]->name);
				give("sticky", who[d]);
				OK(chmod("sticky", 01777));
				make_for(t, "sticky/x", who[f]);
				ino = pt_lstat("sticky/x").st_ino;
				AS(&pt_owner) {
					if (may) {
						OK(rename("sticky/x", "plain/y"));
						OK(rename("plain/y", "sticky/x"));
						OK(rename("sticky/x", "sticky/z"));
						OK(rename("sticky/z", "sticky/x"));
					} else {
						ERR(EPERM, rename("sticky/x", "plain/y"));
						ERR(EPERM, rename("sticky/x", "sticky/z"));
					}
				}
				EQ(pt_lstat("sticky/x").st_ino, ino);
				OK(pt_remove("sticky/x"));
			}
		}
	}
}

/* The target directory is sticky, and something is in the way there. */
static void over_in(void)
{
	OK(mkdir("sticky", 0777));
	OK(mkdir("plain", 0777));
	give("plain", &pt_owner);
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		for (int victim = PT_REG; victim < PT_N_TYPES; victim++) {
			if (!pt_can_make(t) || !pt_can_make(victim) ||
			    (t == PT_DIR) != (victim == PT_DIR))
				continue;
			for (size_t d = 0; d < PT_ARRAY_SIZE(who); d++) {
				for (size_t f = 0; f < PT_ARRAY_SIZE(who); f++) {
					bool may = d == 0 || f == 0;
					ino_t ino;

					pt_row("%s over %s dir=%s victim=%s", pt_type_name(t),
					       pt_type_name(victim), who[d]->name, who[f]->name);
					give("sticky", who[d]);
					OK(chmod("sticky", 01777));
					make_for(t, "plain/x", &pt_owner);
					make_for(victim, "sticky/y", who[f]);
					ino = pt_lstat("plain/x").st_ino;
					AS(&pt_owner) {
						if (may)
							OK(rename("plain/x", "sticky/y"));
						else
							ERR(EPERM, rename("plain/x", "sticky/y"));
					}
					EQ(pt_lstat(may ? "sticky/y" : "plain/x").st_ino, ino);
					pt_remove("plain/x");
					OK(pt_remove("sticky/y"));
				}
			}
		}
	}
}

/* Into a free name anybody may who can write there. */
static void into_free(void)
{
	OK(mkdir("sticky", 0777));
	OK(mkdir("plain", 0777));
	give("plain", &pt_owner);
	for (size_t d = 0; d < PT_ARRAY_SIZE(who); d++) {
		for (int t = PT_REG; t < PT_N_TYPES; t++) {
			if (!pt_can_make(t))
				continue;
			pt_row("%s dir=%s", pt_type_name(t), who[d]->name);
			give("sticky", who[d]);
			OK(chmod("sticky", 01777));
			make_for(t, "plain/x", &pt_owner);
			AS(&pt_owner)
				OK(rename("plain/x", "sticky/y"));
			OK(pt_remove("sticky/y"));
		}
	}
}

/* Root and the exchange of two names. */
static void exchange(void)
{
	OK(mkdir("sticky", 0777));
	OK(mkdir("plain", 0777));
	for (size_t d = 0; d < PT_ARRAY_SIZE(who); d++) {
		for (size_t f = 0; f < PT_ARRAY_SIZE(who); f++) {
			bool may = d == 0 || f == 0;

			pt_row("dir=%s file=%s", who[d]->name, who[f]->name);
			give("sticky", who[d]);
			OK(chmod("sticky", 01777));
			make_for(PT_REG, "sticky/x", who[f]);
			make_for(PT_REG, "plain/y", &pt_owner);
			AS(&pt_owner) {
				if (may)
					OK(renameat2(AT_FDCWD, "sticky/x", AT_FDCWD, "plain/y",
						     RENAME_EXCHANGE));
				else
					ERR(EPERM, renameat2(AT_FDCWD, "sticky/x", AT_FDCWD,
							     "plain/y", RENAME_EXCHANGE));
				if (may)
					OK(renameat2(AT_FDCWD, "plain/y", AT_FDCWD, "sticky/x",
						     RENAME_EXCHANGE));
				else
					ERR(EPERM, renameat2(AT_FDCWD, "plain/y", AT_FDCWD,
							     "sticky/x", RENAME_EXCHANGE));
			}
			OK(rename("sticky/x", "sticky/z"));
			OK(unlink("sticky/z"));
			OK(unlink("plain/y"));
		}
	}
}

static const struct pt_case cases[] = {
	{ "out_of", out_of, 0 },
	{ "over_in", over_in, 0 },
	{ "into_free", into_free, 0 },
	{ "exchange", exchange, PT_LOCAL },
};

PT_FAMILY(rename_sticky, cases);
