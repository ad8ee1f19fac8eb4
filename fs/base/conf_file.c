/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file and the environment.
 *
 * inih takes KEY = VALUE lines apart (comments, blanks, both separators). Its line reader is
 * ours: that is how the number of a line is known, how a section's name may be longer than inih
 * keeps, and why an indented line is not the continuation of the one before.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "fs/base/conf_impl.h"
#include "fs/base/file.h"

#define LINE_MAX_BYTES 8192

struct loader {
	struct f3_conf *conf;
	const char *path;
	const char *next, *end; /* what has not been read yet */
	int line;
	char *kind, *inst; /* the section that lines belong to */
	char *source; /* "file PATH:LINE" of this line */
	int error;
	struct f3_err *err;
};

static int fail(struct loader *l, int error, const char *reason)
{
	l->error = f3_err_set(l->err, error, "%s:%d: %s", l->path, l->line, reason);
	return l->error;
}

/* ---- Sections -------------------------------------------------------------------------------- */

/* A section comes once in a file: the second one is most likely a copy that was to be edited. */
static int note_section(struct loader *l, char **source)
{
	char *mine;

	if (*source && strncmp(*source, "file ", 5) == 0) {
		l->error =
			f3_err_set(l->err, -EINVAL, "%s:%d: this section is there already, at %s",
				   l->path, l->line, f3_conf_where(*source));
		return l->error;
	}
	mine = strdup(l->source);
	if (!mine)
		return fail(l, -ENOMEM, "out of memory");
	free(*source);
	*source = mine;
	return 0;
}

static int begin_section(struct loader *l, char *name)
{
	char *inst = strpbrk(name, " \t");
	bool volume, place;
	char **source;

	if (inst) {
		*inst++ = '\0';
		inst += strspn(inst, " \t");
	}
	volume = strcmp(name, "volume") == 0;
	place = strcmp(name, "placement") == 0;
	if ((volume || place) && !inst)
		return fail(l, -EINVAL, "the section wants the name of a volume: [volume NAME]");
	if (inst && !volume && !place)
		return fail(l, -EINVAL, "only [volume NAME] and [placement NAME] take a name");

	free(l->kind);
	free(l->inst);
	l->kind = strdup(name);
	l->inst = inst ? strdup(inst) : NULL;
	if (!l->kind || (inst && !l->inst))
		return fail(l, -ENOMEM, "out of memory");
	if (volume)
		l->error = f3_conf_make_volume(l->conf, inst, l->source, l->err);
	else if (place)
		l->error = f3_conf_make_place(l->conf, inst, l->source, l->err);
	else if (!f3_conf_find_section(l->conf, name, NULL))
		l->error = f3_conf_unknown(name, NULL, l->source, l->err);
	if (l->error)
		return l->error;
	source = place ? &f3_conf_find_place(l->conf, inst)->source :
			 &f3_conf_find_section(l->conf, name, inst)->source;
	/* made just now by this very line */
	if (strcmp(*source, l->source) == 0)
		return 0;
	return note_section(l, source);
}

/* text begins with '['. */
static int read_section(struct loader *l, const char *text, size_t len)
{
	const char *close = memchr(text, ']', len);
	size_t name_len, rest;
	char *name;
	int error;

	if (!close)
		return fail(l, -EINVAL, "the section's name has no ']' behind it");
	rest = (size_t)(text + len - close) - 1;
	for (close++; rest && (*close == ' ' || *close == '\t'); rest--)
		close++;
	if (rest && *close != ';' && *close != '#')
		return fail(l, -EINVAL, "there is something behind the section's ']'");

	text++;
	name_len = (size_t)((const char *)memchr(text, ']', len) - text);
	while (name_len && (*text == ' ' || *text == '\t')) {
		text++;
		name_len--;
	}
	while (name_len && (text[name_len - 1] == ' ' || text[name_len - 1] == '\t'))
		name_len--;
	name = strndup(text, name_len);
	if (!name)
		return fail(l, -ENOMEM, "out of memory");
	error = begin_section(l, name);
	free(name);
	return error;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static int set_source(struct loader *l)
{
	free(l->source);
	if (asprintf(&l->source, "file %s:%d", l->path, l->line) >= 0)
		return 0;
	l->source = NULL;
	return fail(l, -ENOMEM, "out of memory");
}

/* inih's ini_reader: the next line, as fgets() would give it; NULL ends the reading. Sections are
 * dealt with here and shown as empty lines. */
static char *read_line(char *str, int num, void *stream)
{
	struct loader *l = stream;
	const char *text = l->next, *newline;
	size_t len;

	if (l->error || text == l->end)
		return NULL;
	newline = memchr(text, '\n', (size_t)(l->end - text));
	len = (size_t)((newline ? newline : l->end) - text);
	l->next = newline ? newline + 1 : l->end;
	l->line++;
	if (set_source(l))
		return NULL;

	if (l->line == 1 && len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	while (len && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	if (memchr(text, '\0', len)) {
		fail(l, -EINVAL, "the line has a NUL byte in it");
		return NULL;
	}
	if (len && *text == '[') {
		if (read_section(l, text, len))
			return NULL;
		len = 0;
	}
	if (len + 3 > (size_t)num) {
		fail(l, -EINVAL, "the line is too long");
		return NULL;
	}
	memcpy(str, text, len);
	memcpy(str + len, "\n", 2);
	return str;
}

/* inih's ini_handler; 0 is failure. */
static int take_pair(void *user, const char *section, const char *key, const char *value)
{
	struct loader *l = user;

	(void)section;
	if (l->error)
		return 0;
	if (!l->kind)
		fail(l, -EINVAL, "an option stands before the first [section]");
	else if (strcmp(l->kind, "placement") == 0)
		l->error = f3_conf_put_rule(l->conf, l->inst, key, value, l->source, l->err);
	else
		l->error = f3_conf_put(l->conf, l->kind, l->inst, key, value, F3_CONF_FILE,
				       l->source, l->err);
	return !l->error;
}

int f3_conf_load_text(struct f3_conf *c, const char *text, size_t len, const char *path,
		      struct f3_err *err)
{
	struct loader l = { .conf = c, .path = path, .err = err, .next = text, .end = text + len };
	int bad_line;

#if HAVE_DECL_INI_MAX_LINE
	ini_max_line = LINE_MAX_BYTES;
#endif
	bad_line = ini_parse_stream(read_line, &l, take_pair, &l);
	if (bad_line < 0)
		l.error = f3_err_set(err, -ENOMEM, "out of memory");
	else if (bad_line && (!l.error || bad_line < l.line))
		l.error = f3_err_set(err, -EINVAL, "%s:%d: neither [SECTION] nor KEY = VALUE", path,
				     bad_line);
	free(l.kind);
	free(l.inst);
	free(l.source);
	return l.error;
}

int f3_conf_load_file(struct f3_conf *c, const char *path, struct f3_err *err)
{
	char *text = malloc(F3_CONF_FILE_MAX);
	ssize_t len;
	int r;

	if (!text)
		return f3_err_set(err, -ENOMEM, "out of memory");
	len = f3_file_read(path, text, F3_CONF_FILE_MAX);
	if (len < 0)
		r = f3_err_set(err, (int)len, "%s: cannot be read: %s", path,
			       len == -EFBIG ? "larger than 1 MiB" : strerror((int)-len));
	else
		r = f3_conf_load_text(c, text, (size_t)len, path, err);
	free(text);
	return r;
}

/* ---- The environment ------------------------------------------------------------------------- */

/* Whether text, up to len, is key in capitals with '_' for '-'. */
static bool is_env_name(const char *key, const char *text, size_t len)
{
	if (strlen(key) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] != (key[i] == '-' ? '_' : toupper((unsigned char)key[i])))
			return false;
	return true;
}

/* name: what stands behind F3_<SECTION>_. */
static int put_env(struct f3_conf *c, const char *kind, const char *name, size_t len,
		   const char *value, const char *source, struct f3_err *err)
{
	bool volume = strcmp(kind, "volume") == 0;

	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++) {
		size_t key_len = strlen(opt->key), inst_len;
		char *inst;
		int error;

		if (strcmp(opt->section, kind) != 0 || len < key_len ||
		    !is_env_name(opt->key, name + len - key_len, key_len))
			continue;
		inst_len = len - key_len;
		if (!volume && !inst_len)
			return f3_conf_put(c, kind, NULL, opt->key, value, F3_CONF_ENVIRONMENT,
					   source, err);
		if (!volume || inst_len < 2 || name[inst_len - 1] != '_')
			continue;
		inst = strndup(name, inst_len - 1);
		if (!inst)
			return f3_err_set(err, -ENOMEM, "out of memory");
		error = f3_conf_put(c, kind, inst, opt->key, value, F3_CONF_ENVIRONMENT, source,
				    err);
		free(inst);
		return error;
	}
	return f3_conf_unknown(kind, "", source, err);
}

int f3_conf_load_env(struct f3_conf *c, char *const *environ_, struct f3_err *err)
{
	/* Other variables that begin with F3_ are not for the configuration. */
	static const char *const kinds[] = { "f3", "metrics", "volume", "cluster" };

	for (; *environ_; environ_++) {
		const char *name = *environ_, *equals = strchr(name, '=');

		if (!equals || strncmp(name, "F3_", 3) != 0)
			continue;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			size_t n = strlen(kinds[i]), len = (size_t)(equals - name);
			char *source;
			int error;

			if (len < 3 + n + 1 || !is_env_name(kinds[i], name + 3, n) ||
			    name[3 + n] != '_')
				continue;
			if (asprintf(&source, "environment %.*s", (int)len, name) < 0)
				return f3_err_set(err, -ENOMEM, "out of memory");
			error = put_env(c, kinds[i], name + 3 + n + 1, len - 3 - n - 1, equals + 1,
					source, err);
			free(source);
			if (error)
				return error;
		}
	}
	return 0;
}
