/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of profiles that AWS's tools share, and other files with secrets.
 *
 * Two files, ~/.aws/credentials with sections [NAME] and ~/.aws/config with [profile NAME] and
 * [default]; of a key in both, the first one's counts. Settings below a setting ("s3 =" and
 * indented lines) belong to other tools and are passed over.
 *
 * inih takes lines apart; which section a line is in, and how far it is indented, is known here.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <ini.h>

#include "fs/object/credentials_impl.h"

#define LINE_MAX_BYTES 8192

const char *const f3_cred_settings[F3_CRED_SETTINGS] = {
	[F3_CRED_ACCESS_KEY] = "aws_access_key_id",
	[F3_CRED_SECRET_KEY] = "aws_secret_access_key",
	[F3_CRED_TOKEN] = "aws_session_token",
	[F3_CRED_PROCESS] = "credential_process",
	[F3_CRED_ROLE_ARN] = "role_arn",
	[F3_CRED_SOURCE_PROFILE] = "source_profile",
	[F3_CRED_SOURCE] = "credential_source",
	[F3_CRED_WEB_TOKEN_FILE] = "web_identity_token_file",
	[F3_CRED_SESSION_NAME] = "role_session_name",
	[F3_CRED_EXTERNAL_ID] = "external_id",
	[F3_CRED_DURATION] = "duration_seconds",
	[F3_CRED_MFA_SERIAL] = "mfa_serial",
	[F3_CRED_REGION] = "region",
};

/* ---- Files ----------------------------------------------------------------------------------- */

void f3_cred_free_text(char *text, size_t len)
{
	if (text)
		explicit_bzero(text, len);
	free(text);
}

static int check_owner(int fd, const char *path, bool secret, size_t max, bool *ret_open,
		       struct f3_err *err)
{
	struct statvfs vfs;
	struct stat st;
	mode_t others;

	if (fstat(fd, &st) < 0)
		return f3_err_set(err, -errno, "%s: cannot be looked at: %m", path);
	if (!S_ISREG(st.st_mode))
		return f3_err_set(err, -EINVAL, "%s: not a regular file", path);
	if ((uint64_t)st.st_size > max)
		return f3_err_set(err, -EFBIG, "%s: larger than %zu bytes", path, max);
	*ret_open = false;
	others = st.st_mode & (S_IRWXG | S_IRWXO);
	if (fstatvfs(fd, &vfs) == 0 && vfs.f_flag & ST_RDONLY)
		return 0;
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return f3_err_set(err, -EACCES,
				  "%s: belongs to user %u, who is neither root nor the one F3 "
				  "runs as: chown it",
				  path, (unsigned)st.st_uid);
	if (others & (S_IWGRP | S_IWOTH))
		return f3_err_set(err, -EACCES, "%s: others may write it (mode %04o): chmod 600 %s",
				  path, (unsigned)st.st_mode & 07777, path);
	*ret_open = others & (S_IRGRP | S_IROTH);
	if (*ret_open && secret)
		return f3_err_set(err, -EACCES,
				  "%s: holds secrets and others may read it (mode %04o): "
				  "chmod 600 %s",
				  path, (unsigned)st.st_mode & 07777, path);
	return 0;
}

/* At most size bytes. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size) {
		n = read(fd, text + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

int f3_cred_read_file(const char *path, size_t max, bool secret, char **ret_text, size_t *ret_len,
		      bool *ret_open, struct f3_err *err)
{
	/* A FIFO must not hold up the look. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), error;
	char *text = NULL;
	ssize_t n;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	if (fd < 0)
		return f3_err_set(err, -errno, "%s: cannot be read: %m", path);
	error = check_owner(fd, path, secret, max, ret_open, err);
	if (!error) {
		text = malloc(max + 1);
		if (!text)
			error = f3_err_set(err, -ENOMEM, "out of memory");
	}
	if (!error) {
		n = read_all(fd, text, max + 1);
		if (n < 0)
			error = f3_err_set(err, (int)n, "%s: cannot be read: %s", path,
					   strerror((int)-n));
		else if ((size_t)n > max)
			error = f3_err_set(err, -EFBIG, "%s: larger than %zu bytes", path, max);
	}
	close(fd);
	if (error) {
		f3_cred_free_text(text, max + 1);
		return error;
	}
	text[n] = '\0';
	*ret_text = text;
	*ret_len = (size_t)n;
	return 0;
}

/* The variable's path, else `dflt` in the home directory. */
static int file_path(const char *variable, const char *dflt, char *ret_path, size_t size)
{
	const char *path = f3_cred_env(variable), *home = f3_cred_env("HOME");
	char room[4096];
	struct passwd pw, *found = NULL;
	int n;

	if (!path)
		path = dflt;
	if (strncmp(path, "~/", 2) != 0) {
		n = snprintf(ret_path, size, "%s", path);
		return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
	}
	if (!home && getpwuid_r(geteuid(), &pw, room, sizeof(room), &found) == 0 && found)
		home = pw.pw_dir;
	if (!home)
		return -ENOENT;
	n = snprintf(ret_path, size, "%s%s", home, path + 1);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

struct loader {
	struct f3_cred_profile *profile;
	const char *path;
	bool config; /* [profile NAME], not [NAME] */
	const char *next, *end; /* what has not been read yet */
	int line;
	bool in_section, wanted;
	bool have_key;
	size_t indent; /* of the last setting: what stands deeper belongs to it */
	bool secrets; /* there are some in the wanted section */
	int error;
	struct f3_err *err;
};

static int fail(struct loader *l, int error, const char *reason)
{
	l->error = f3_err_set(l->err, error, "%s:%d: %s", l->path, l->line, reason);
	return l->error;
}

static void trim(const char **text, size_t *len)
{
	while (*len && isspace((unsigned char)**text)) {
		(*text)++;
		(*len)--;
	}
	while (*len && isspace((unsigned char)(*text)[*len - 1]))
		(*len)--;
}

/* Whether the section is the wanted profile's. */
static bool is_wanted(const struct loader *l, const char *name, size_t len)
{
	static const char prefix[] = "profile";
	const size_t n = sizeof(prefix) - 1;

	if (l->config) {
		if (len > n && memcmp(name, prefix, n) == 0 && isspace((unsigned char)name[n])) {
			name += n;
			len -= n;
			trim(&name, &len);
		} else if (len != 7 || memcmp(name, "default", 7) != 0) {
			return false;
		}
	}
	if (len >= 2 && (*name == '"' || *name == '\'') && name[len - 1] == *name) {
		name++;
		len -= 2;
	}
	return strlen(l->profile->name) == len && memcmp(name, l->profile->name, len) == 0;
}

/* text begins with '['. */
static void begin_section(struct loader *l, const char *text, size_t len)
{
	const char *close = memchr(text, ']', len), *name = text + 1;
	size_t name_len;

	if (!close) {
		fail(l, -EINVAL, "the section's name has no ']' behind it");
		return;
	}
	name_len = (size_t)(close - name);
	trim(&name, &name_len);
	l->in_section = true;
	l->have_key = false;
	l->wanted = is_wanted(l, name, name_len);
	if (l->wanted)
		l->profile->found = true;
}

/* inih's ini_reader. Sections and what is nested are shown as empty lines. */
static char *read_line(char *str, int num, void *stream)
{
	struct loader *l = stream;
	const char *text = l->next, *newline;
	size_t len, indent = 0;

	if (l->error || text == l->end) {
		/* inih's own room for lines may have held secrets. */
		explicit_bzero(str, (size_t)num);
		return NULL;
	}
	newline = memchr(text, '\n', (size_t)(l->end - text));
	len = (size_t)((newline ? newline : l->end) - text);
	l->next = newline ? newline + 1 : l->end;
	l->line++;
	if (l->line == 1 && len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	while (indent < len && (text[indent] == ' ' || text[indent] == '\t'))
		indent++;
	trim(&text, &len);
	if (memchr(text, '\0', len))
		fail(l, -EINVAL, "the line has a NUL byte in it");
	else if (len + 3 > (size_t)num)
		fail(l, -EINVAL, "the line is too long");
	if (l->error) {
		explicit_bzero(str, (size_t)num);
		return NULL;
	}
	if (len && *text != '#' && *text != ';') {
		if (l->have_key && indent > l->indent) {
			len = 0;
		} else if (*text == '[') {
			begin_section(l, text, len);
			len = 0;
		} else {
			l->have_key = true;
			l->indent = indent;
		}
	}
	memcpy(str, text, len);
	memcpy(str + len, "\n", 2);
	return str;
}

/* inih's ini_handler; 0 is failure. */
static int take_pair(void *user, const char *section, const char *name, const char *value)
{
	struct loader *l = user;
	int i;

	(void)section;
	if (l->error)
		return 0;
	if (!l->in_section) {
		fail(l, -EINVAL, "a setting stands before the first [section]");
		return 0;
	}
	for (i = 0; i < F3_CRED_SETTINGS && strcmp(name, f3_cred_settings[i]) != 0; i++)
		;
	if (!l->wanted || i == F3_CRED_SETTINGS || !value)
		return 1;
	if (i == F3_CRED_SECRET_KEY || i == F3_CRED_TOKEN)
		l->secrets = true;
	/* The credentials file is read first, and within a file the last one counts. */
	if (l->config && l->profile->value[i])
		return 1;
	if (l->profile->value[i])
		f3_cred_free_text(l->profile->value[i], strlen(l->profile->value[i]));
	l->profile->value[i] = *value ? strdup(value) : NULL;
	if (*value && !l->profile->value[i])
		fail(l, -ENOMEM, "out of memory");
	return !l->error;
}

/* For builds of inih that take lines of more than 200 bytes. The configuration's reader sets the
 * same. */
static void set_line_max(void)
{
#if HAVE_DECL_INI_MAX_LINE
	ini_max_line = LINE_MAX_BYTES;
#endif
}

static int parse_file(struct loader *l, const char *text, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int bad_line;

	pthread_once(&once, set_line_max);
	l->next = text;
	l->end = text + len;
	bad_line = ini_parse_stream(read_line, l, take_pair, l);
	if (bad_line < 0) {
		l->error = f3_err_set(l->err, -ENOMEM, "out of memory");
	} else if (bad_line && (!l->error || bad_line < l->line)) {
		/* Nothing of the line itself: it may be a secret in the wrong place. */
		l->line = bad_line;
		fail(l, -EINVAL, "neither [SECTION] nor KEY = VALUE");
	}
	return l->error;
}

static int load_file(struct f3_cred_profile *p, const char *path, bool config, struct f3_err *err)
{
	struct loader l = { .profile = p, .path = path, .config = config, .err = err };
	bool open_to_others = false;
	size_t len;
	char *text;
	int error = f3_cred_read_file(path, F3_CRED_FILE_MAX, !config, &text, &len, &open_to_others,
				      err);

	if (error)
		return error == -ENOENT ? 0 : error;
	error = parse_file(&l, text, len);
	f3_cred_free_text(text, len);
	/* Settings may be seen by everybody, keys not. */
	if (!error && open_to_others && l.secrets)
		error = f3_err_set(err, -EACCES,
				   "%s: holds secrets and others may read it: chmod 600 %s", path,
				   path);
	return error;
}

void f3_cred_profile_done(struct f3_cred_profile *p)
{
	for (int i = 0; i < F3_CRED_SETTINGS; i++)
		if (p->value[i])
			f3_cred_free_text(p->value[i], strlen(p->value[i]));
	memset(p->value, 0, sizeof(p->value));
}

int f3_cred_profile_load(const char *name, struct f3_cred_profile *p, struct f3_err *err)
{
	int error = file_path("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", p->credentials,
			      sizeof(p->credentials));

	p->name = name;
	p->found = false;
	memset(p->value, 0, sizeof(p->value));
	if (!error)
		error = file_path("AWS_CONFIG_FILE", "~/.aws/config", p->config, sizeof(p->config));
	/* Without a home directory there are no files. */
	if (error == -ENOENT) {
		snprintf(p->credentials, sizeof(p->credentials), "~/.aws/credentials");
		snprintf(p->config, sizeof(p->config), "~/.aws/config");
		return 0;
	}
	if (error)
		return f3_err_set(err, error, "the name of the file of credentials is too long");
	error = load_file(p, p->credentials, false, err);
	if (!error)
		error = load_file(p, p->config, true, err);
	if (error)
		f3_cred_profile_done(p);
	return error;
}
