/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/rocks_error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

int f3_rocks_errno(const char *text)
{
	static const struct {
		const char *part;
		int error;
	} io[] = {
		{ "lock hold by current process", -EBUSY },
		{ "While lock file", -EBUSY },
		{ "No space left", -ENOSPC },
		{ "Cannot allocate memory", -ENOMEM },
		{ "Permission denied", -EACCES },
		{ "Read-only file system", -EROFS },
	};

	if (begins(text, "Invalid argument"))
		return -EINVAL;
	if (begins(text, "IO error"))
		for (unsigned i = 0; i < sizeof(io) / sizeof(io[0]); i++)
			if (strstr(text, io[i].part))
				return io[i].error;
	return -EIO;
}

static bool means_damage(const char *text)
{
	/* A file that the database speaks of and that is gone is damage, too. */
	return begins(text, "Corruption") || strstr(text, "No such file") ||
	       strstr(text, "CURRENT file") || strstr(text, "MANIFEST");
}

int f3_rocks_open_error(const char *dir, const char *text, struct f3_err *err)
{
	int r = f3_rocks_errno(text);

	if (r == -EBUSY)
		return f3_err_set(err, r, "another f3d uses %s", dir);
	if (strstr(text, "does not exist (create_if_missing is false)"))
		return f3_err_set(err, -ENOENT, "%s: no database there", dir);
	if (r == -ENOSPC)
		return f3_err_set(err, r, "%s: no space left to open the database", dir);
	if (r == -EACCES || r == -EROFS || r == -ENOMEM)
		return f3_err_set(err, r, "%s: %s", dir, text);
	if (means_damage(text))
		return f3_err_set(err, -EIO,
				  "database in %s is corrupt (%s): check it with `f3ctl fsck`, or "
				  "restore the directory from a backup",
				  dir, text);
	/* Families or formats that this build does not know. */
	if (r == -EINVAL)
		return f3_err_set(err, r, "database in %s cannot be used: %s", dir, text);
	return f3_err_set(err, r, "cannot open the database in %s: %s", dir, text);
}
