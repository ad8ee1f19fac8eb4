/* SPDX-License-Identifier: Apache-2.0 */
/* Names: any byte but '/' and NUL, up to 255 of them, and paths up to PATH_MAX. */
#include "config.h"

#include "tests/posix/posix.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* Makes it, finds it by name and in the directory, reads it, removes it. */
static void whole_life(const char *name)
{
	char buf[8], moved[300];
	struct dirent *de;
	int found = 0;
	DIR *dir;

	OK(pt_put(name, "data", 4));
	CHECK(pt_exists(name));
	EQ(pt_get(name, buf, sizeof(buf)), 4);
	ERR(EEXIST, open(name, O_CREAT | O_EXCL | O_RDWR, 0644));
	dir = opendir(".");
	if (CHECK(dir != NULL)) {
		while ((de = readdir(dir)) != NULL)
			found += strcmp(de->d_name, name) == 0;
		EQ(found, 1);
		closedir(dir);
	}
	OK(rename(name, "other"));
	CHECK(!pt_exists(name));
	OK(rename("other", name));
	snprintf(moved, sizeof(moved), "./%s", name);
	EQ(pt_lstat(moved).st_ino, pt_lstat(name).st_ino);
	OK(unlink(name));
	CHECK(!pt_exists(name));
}

static void every_byte(void)
{
	char name[4] = { 0 };

	for (int c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		pt_row("byte %02x", c);
		if (c != '.') {
			name[0] = (char)c;
			name[1] = '\0';
			whole_life(name);
		}
		name[0] = 'a';
		name[1] = (char)c;
		name[2] = 'b';
		name[3] = '\0';
		whole_life(name);
	}
}

static void strange_names(void)
{
	static const char *const names[] = {
		"...",
		"....",
		" ",
		"  two  ",
		"trailing ",
		"trailing.",
		"-rf",
		"*",
		"?",
		"a:b",
		"a\\b",
		"tab\t",
		"new\nline",
		"\"'`",
		"%2F",
		"%00",
		"%25",
		"a%2fb",
		"caf\xc3\xa9",
		"cafe\xcc\x81",
		"\xff\xfe",
		"\xc3",
		"\xed\xa0\x80",
		"\xf4\x90\x80\x80",
		"\xe6\x97\xa5\xe6\x9c\xac",
		"\xf0\x9f\x98\x80",
		"CON",
		"nul.txt",
		"a;b",
		"$HOME",
		"~",
		"#hash#",
		"file.tmp",
		".fuse_hidden0001",
		".nfs0001",
		".Trash",
		".goutputstream",
		"lost+found",
		"..a",
		".a.",
		"{}",
		"\x7f",
	};

	for (size_t i = 0; i < PT_ARRAY_SIZE(names); i++) {
		pt_row("name %zu", i);
		whole_life(names[i]);
	}
}

/* Nothing is folded: neither case nor composition nor trailing blanks. */
static void distinct(void)
{
	static const char *const pairs[][2] = {
		{ "name", "NAME" },      { "caf\xc3\xa9", "cafe\xcc\x81" },
		{ "a", "a " },           { "a", "a." },
		{ "\xc3", "\xc4" },      { "a%2fb", "a%2Fb" },
		{ "\xef\xbc\xa1", "A" },
	};

	for (size_t i = 0; i < PT_ARRAY_SIZE(pairs); i++) {
		char buf[8];

		pt_row("pair %zu", i);
		OK(pt_put(pairs[i][0], "one", 3));
		CHECK(!pt_exists(pairs[i][1]));
		OK(pt_put(pairs[i][1], "four", 4));
		EQ(pt_get(pairs[i][0], buf, sizeof(buf)), 3);
		EQ(pt_get(pairs[i][1], buf, sizeof(buf)), 4);
		OK(unlink(pairs[i][0]));
		CHECK(pt_exists(pairs[i][1]));
		OK(unlink(pairs[i][1]));
	}
}

static void longest(void)
{
	char name[300], wide[300];

	for (int len = 250; len <= 256; len++) {
		pt_row("len=%d", len);
		memset(name, 'x', len);
		name[len] = '\0';
		memset(wide, 0xc3, len);
		wide[len] = '\0';
		if (len <= 255) {
			whole_life(name);
			whole_life(wide);
			OK(mkdir(name, 0755));
			OK(rmdir(name));
			OK(symlink(name, wide));
			OK(unlink(wide));
			if (pt_can_make(PT_FIFO)) {
				OK(mkfifo(name, 0644));
				OK(unlink(name));
			}
			OK(pt_touch("short", 0644));
			if (pt_has_links()) {
				OK(link("short", name));
				OK(unlink(name));
			}
			OK(rename("short", name));
			OK(unlink(name));
		} else {
			ERR(ENAMETOOLONG, mkdir(name, 0755));
			ERR(ENAMETOOLONG, open(name, O_CREAT | O_RDWR, 0644));
			ERR(ENAMETOOLONG, mkdir(wide, 0755));
		}
	}
}

/* Two names of full length that differ in the last byte, or the first. */
static void longest_distinct(void)
{
	char a[256], b[256];
	char buf[4];

	memset(a, 'x', 255);
	a[255] = '\0';
	memcpy(b, a, 256);
	b[254] = 'y';
	OK(pt_put(a, "a", 1));
	OK(pt_put(b, "bb", 2));
	EQ(pt_get(a, buf, 4), 1);
	EQ(pt_get(b, buf, 4), 2);
	OK(unlink(b));
	memcpy(b, a, 256);
	b[0] = 'y';
	OK(pt_put(b, "ccc", 3));
	EQ(pt_get(a, buf, 4), 1);
	EQ(pt_get(b, buf, 4), 3);
}

/* A real path of PATH_MAX - 1 bytes works, and trees may go deeper than that. */
static void deep_paths(void)
{
	char path[PATH_MAX + 300], component[201], cwd[16];
	size_t len = 0;
	int levels = 0;
	char buf[4];

	memset(component, 'd', 200);
	component[200] = '\0';
	path[0] = '\0';
	while (PATH_MAX - 1 - len > 255) {
		len += snprintf(path + len, sizeof(path) - len, "%s/", component);
		OK(mkdir(path, 0755));
		levels++;
	}
	/* Fill up to exactly 4095 bytes with the last name. */
	memset(path + len, 'f', PATH_MAX - 1 - len);
	path[PATH_MAX - 1] = '\0';
	EQ(strlen(path), PATH_MAX - 1);
	OK(pt_put(path, "data", 4));
	EQ(pt_get(path, buf, 4), 4);
	OK(unlink(path));
	/* Step down and on, beyond what a path can name. */
	for (int i = 0; i < levels; i++)
		OK(chdir(component));
	for (int i = 0; i < 5; i++) {
		OK(mkdir(component, 0755));
		OK(chdir(component));
	}
	OK(pt_put("bottom", "data", 4));
	EQ(pt_get("bottom", buf, 4), 4);
	CHECK(getcwd(cwd, sizeof(cwd)) == NULL);
	OK(unlink("bottom"));
	for (int i = 0; i < levels + 5; i++) {
		OK(chdir(".."));
		OK(rmdir(component));
	}
}

static void dots_in_paths(void)
{
	OK(mkdir("d", 0755));
	OK(pt_touch("d/f", 0644));
	EQ(pt_lstat("d/.").st_ino, pt_lstat("d").st_ino);
	EQ(pt_lstat("d/..").st_ino, pt_lstat(".").st_ino);
	EQ(pt_lstat("./d/../d/./f").st_ino, pt_lstat("d/f").st_ino);
	EQ(pt_lstat("d//f").st_ino, pt_lstat("d/f").st_ino);
	EQ(pt_lstat("d///").st_ino, pt_lstat("d").st_ino);
	ERR(ENOTDIR, access("d/f/.", F_OK));
	ERR(ENOTDIR, access("d/f/..", F_OK));
	ERR(ENOENT, access("missing/..", F_OK));
}

static const struct pt_case cases[] = {
	{ "every_byte", every_byte, 0 },
	{ "strange_names", strange_names, 0 },
	{ "distinct", distinct, 0 },
	{ "longest", longest, 0 },
	{ "longest_distinct", longest_distinct, 0 },
	{ "deep_paths", deep_paths, PT_LOCAL },
	{ "dots_in_paths", dots_in_paths, 0 },
};

PT_FAMILY(names, cases);
