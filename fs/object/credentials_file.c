/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment, and the files of profiles that AWS's tools share.
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
#define NAME_MAX_BYTES 256

enum key {
	ACCESS_KEY,
	SECRET_KEY,
	TOKEN,
	PROCESS,
	ROLE_ARN,
	SOURCE_PROFILE,
	CREDENTIAL_SOURCE,
	WEB_TOKEN_FILE,
	SESSION_NAME,
	EXTERNAL_ID,
	DURATION,
	MFA_SERIAL,
	REGION,
	KEYS
};

static const char *const key_names[KEYS] = {
	[ACCESS_KEY] = "aws_access_key_id",
	[SECRET_KEY] = "aws_secret_access_key",
	[TOKEN] = "aws_session_token",
	[PROCESS] = "credential_process",
	[ROLE_ARN] = "role_arn",
	[SOURCE_PROFILE] = "source_profile",
	[CREDENTIAL_SOURCE] = "credential_source",
	[WEB_TOKEN_FILE] = "web_identity_token_file",
	[SESSION_NAME] = "role_session_name",
	[EXTERNAL_ID] = "external_id",
	[DURATION] = "duration_seconds",
	[MFA_SERIAL] = "mfa_serial",
	[REGION] = "region",
};

struct profile {
	const char *name;
	bool found;
	char *value[KEYS];
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
	struct profile *profile;
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
	for (i = 0; i < KEYS && strcmp(name, key_names[i]) != 0; i++)
		;
	if (!l->wanted || i == KEYS || !value)
		return 1;
	if (i == SECRET_KEY || i == TOKEN)
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

static int load_file(struct profile *p, const char *path, bool config, struct f3_err *err)
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

struct paths {
	char credentials[1024], config[1024];
};

static void profile_done(struct profile *p)
{
	for (int i = 0; i < KEYS; i++)
		if (p->value[i])
			f3_cred_free_text(p->value[i], strlen(p->value[i]));
	*p = (struct profile){ .name = NULL };
}

/* name stays the caller's. 0 also when there is no such profile. */
static int load_profile(const char *name, struct profile *ret_p, struct paths *ret_paths,
			struct f3_err *err)
{
	struct profile p = { .name = name };
	int error = file_path("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials",
			      ret_paths->credentials, sizeof(ret_paths->credentials));

	if (!error)
		error = file_path("AWS_CONFIG_FILE", "~/.aws/config", ret_paths->config,
				  sizeof(ret_paths->config));
	/* Without a home directory there are no files. */
	if (error == -ENOENT) {
		ret_paths->credentials[0] = '\0';
		ret_paths->config[0] = '\0';
	} else if (error) {
		return f3_err_set(err, error, "the name of the file of credentials is too long");
	} else {
		error = load_file(&p, ret_paths->credentials, false, err);
		if (!error)
			error = load_file(&p, ret_paths->config, true, err);
		if (error) {
			profile_done(&p);
			return error;
		}
	}
	*ret_p = p;
	return 0;
}

/* ---- Keys as they stand there ---------------------------------------------------------------- */

/* Names of where they come from, for messages. */
struct plain {
	const char *access_key, *secret_key, *token; /* NULL: not set */
	const char *where, *access_name, *secret_name, *token_name;
};

static int take_plain(const struct plain *k, struct f3_credentials *ret_c, struct f3_err *err)
{
	struct f3_credentials c = { .source = "" };
	const char *bad = NULL;
	int error = 0;

	if (!k->access_key || !k->secret_key)
		return f3_err_set(err, -EINVAL, "%s: %s is set without %s", k->where,
				  k->access_key ? k->access_name : k->secret_name,
				  k->access_key ? k->secret_name : k->access_name);
	if (f3_cred_put_key(c.access_key, sizeof(c.access_key), k->access_key,
			    strlen(k->access_key)))
		bad = k->access_name;
	else if (f3_cred_put_key(c.secret_key, sizeof(c.secret_key), k->secret_key,
				 strlen(k->secret_key)))
		bad = k->secret_name;
	else if (k->token && f3_cred_put_key(c.token, sizeof(c.token), k->token, strlen(k->token)))
		bad = k->token_name;
	if (bad)
		error = f3_err_set(err, -EINVAL,
				   "%s: %s is too long, or has blanks or other characters in it "
				   "that keys do not have",
				   k->where, bad);
	else
		*ret_c = c;
	f3_credentials_wipe(&c);
	return error;
}

int f3_cred_from_env(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err)
{
	const struct plain k = {
		.access_key = f3_cred_env("AWS_ACCESS_KEY_ID"),
		.secret_key = f3_cred_env("AWS_SECRET_ACCESS_KEY"),
		.token = f3_cred_env("AWS_SESSION_TOKEN"),
		.where = "environment",
		.access_name = "AWS_ACCESS_KEY_ID",
		.secret_name = "AWS_SECRET_ACCESS_KEY",
		.token_name = "AWS_SESSION_TOKEN",
	};
	int error;

	if (!k.access_key && !k.secret_key)
		return f3_cred_missed(l, "environment", "AWS_ACCESS_KEY_ID is not set");
	error = take_plain(&k, ret_c, err);
	if (!error)
		ret_c->source = "environment";
	return error;
}

static bool has_keys(const struct profile *p)
{
	return p->value[ACCESS_KEY] || p->value[SECRET_KEY];
}

static int take_keys(struct f3_cred_look *l, const struct profile *p, struct f3_credentials *ret_c,
		     struct f3_err *err)
{
	char where[NAME_MAX_BYTES];
	const struct plain k = {
		.access_key = p->value[ACCESS_KEY],
		.secret_key = p->value[SECRET_KEY],
		.token = p->value[TOKEN],
		.where = where,
		.access_name = key_names[ACCESS_KEY],
		.secret_name = key_names[SECRET_KEY],
		.token_name = key_names[TOKEN],
	};
	int error;

	snprintf(where, sizeof(where), "profile \"%s\"", p->name);
	error = take_plain(&k, ret_c, err);
	if (!error) {
		ret_c->source = "profile";
		l->plain_files = true;
	}
	return error;
}

/* ---- Profiles -------------------------------------------------------------------------------- */

static int from_profile(struct f3_cred_look *l, const struct profile *p,
			struct f3_credentials *ret_c, struct f3_err *err)
{
	int error;

	if (has_keys(p))
		return take_keys(l, p, ret_c, err);
	if (p->value[PROCESS]) {
		error = f3_cred_from_process(p->value[PROCESS], ret_c, err);
		if (error)
			f3_err_prefix(err, "profile \"%s\"", p->name);
		return error;
	}
	return -ENOENT;
}

int f3_cred_from_files(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err)
{
	const char *name = l->profile ? l->profile : f3_cred_env("AWS_PROFILE");
	bool by_name = name != NULL;
	struct paths paths;
	struct profile p;
	int error;

	if (!name)
		name = "default";
	error = load_profile(name, &p, &paths, err);
	if (error)
		return error;
	if (by_name && !p.found)
		error = f3_err_set(err, -ENOKEY, "there is no profile \"%s\" in %s or %s", name,
				   paths.credentials, paths.config);
	else
		error = from_profile(l, &p, ret_c, err);
	if (error == -ENOENT)
		f3_cred_missed(l, "files", "no keys for profile \"%s\" in %s or %s", name,
			       paths.credentials, paths.config);
	profile_done(&p);
	return error;
}

int f3_cred_profile_region(const char *profile, char *ret_region, size_t size)
{
	const char *name = profile ? profile : f3_cred_env("AWS_PROFILE");
	struct paths paths;
	struct profile p;
	int error = load_profile(name ? name : "default", &p, &paths, NULL), n;

	if (error)
		return error;
	if (p.value[REGION]) {
		n = snprintf(ret_region, size, "%s", p.value[REGION]);
		error = n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
	} else {
		error = -ENOENT;
	}
	profile_done(&p);
	return error;
}
