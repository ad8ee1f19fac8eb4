/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf: the one option table and the values in force.
 *
 * One table (conf_table.c) names every option: section, key, type, default, help, whether it
 * may change while running. The INI parser, the environment, the command line, --help, the
 * f3.conf man page and `f3ctl config` are all fed from it. A value remembers where it came
 * from ("default", "file /etc/f3/f3.conf:12", "environment F3_F3_CACHE", "command line").
 * Precedence: command line > environment > file > default.
 *
 * Sections: [f3], [cluster], [metrics], [volume NAME], [placement NAME]. In a placement section
 * keys are patterns and the order counts.
 *
 * A conf is filled by one thread, then read-only (any number of readers).
 */
#ifndef F3_BASE_CONF_H
#define F3_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"

enum f3_conf_type {
	F3_CONF_STRING,
	F3_CONF_PATH,		/* absolute */
	F3_CONF_BYTES,		/* 0 .. 2^63-1; "200G", "512MiB" (powers of 1024) */
	F3_CONF_DURATION,	/* ns; "250ms", "1s", "5m", "2h" */
	F3_CONF_BOOL,		/* yes/no, true/false, on/off, 1/0 */
	F3_CONF_UINT,
	F3_CONF_ENUM,		/* choices separated by | */
	F3_CONF_LIST,		/* repeatable key, or values separated by commas */
};

struct f3_conf_opt {
	const char *section;	/* "f3", "cluster", "metrics", "volume" */
	const char *key;
	enum f3_conf_type type;
	const char *dflt;	/* as it would be written; NULL: none */
	const char *choices;	/* for ENUM */
	const char *arg;	/* what --help shows: DIR, SIZE, ... */
	const char *help;	/* one line */
	const char *more;	/* a paragraph for the man page, or NULL */
	bool live;		/* may change without a restart */
};

/* The table, ended by section == NULL. */
extern const struct f3_conf_opt f3_conf_table[];

struct f3_conf;

int f3_conf_new(struct f3_conf **ret_c);
void f3_conf_free(struct f3_conf *c);

/* Each: 0, or -errno with "FILE:LINE: reason" in err. Unknown sections and keys, malformed
 * values and duplicates of a single-valued key are errors. */
int f3_conf_load_file(struct f3_conf *c, const char *path, struct f3_err *err);
int f3_conf_load_env(struct f3_conf *c, char *const *environ_, struct f3_err *err);
/* From `-o key=value`: key of [f3] or "section.key" / "volume.NAME.key". */
int f3_conf_set(struct f3_conf *c, const char *dotted_key, const char *value, const char *source,
		struct f3_err *err);
/* Adds [volume NAME] with url, as --volume NAME=URL does. */
int f3_conf_add_volume(struct f3_conf *c, const char *name, const char *url, const char *source,
		       struct f3_err *err);
/* Checks what needs several values (a volume's class against its url, sizes against each
 * other). Called once all sources are in. */
int f3_conf_check(const struct f3_conf *c, struct f3_err *err);

/* Values in force. inst is the NAME of a volume section, NULL for the others. Asking for a key
 * that is not in the table is a bug of the caller (assert). */
const char *f3_conf_str(const struct f3_conf *c, const char *section, const char *inst,
			const char *key);	/* NULL if unset and without default */
uint64_t f3_conf_u64(const struct f3_conf *c, const char *section, const char *inst,
		     const char *key);		/* BYTES, DURATION (ns), UINT, BOOL, ENUM (index) */
size_t f3_conf_list(const struct f3_conf *c, const char *section, const char *inst,
		    const char *key, const char *const **ret_values);
const char *f3_conf_source(const struct f3_conf *c, const char *section, const char *inst,
			   const char *key);

/* Names of the volume sections, in file order. */
size_t f3_conf_volumes(const struct f3_conf *c, const char *const **ret_names);

struct f3_conf_rule {
	const char *pattern;	/* as written, relative to the volume */
	const char *value;	/* "ephemeral stream" */
	const char *source;
};
size_t f3_conf_rules(const struct f3_conf *c, const char *volume,
		     const struct f3_conf_rule **ret_rules);

/* All values as text for people ("key = value    # source") or as JSON. Secrets are not in
 * the table at all, only names of files that hold them. */
void f3_conf_print(const struct f3_conf *c, bool json, struct f3_buf *out);
/* The option table as text of --help, or as man page source (mdoc list). */
void f3_conf_print_help(bool mdoc, struct f3_buf *out);

/* Parsers of single values, shared with the command line. 0 or -EINVAL / -ERANGE. */
int f3_parse_bytes(const char *text, uint64_t *ret_bytes);
int f3_parse_duration(const char *text, uint64_t *ret_ns);
/* "1.5 GiB": for people. */
void f3_format_bytes(uint64_t bytes, char *out, size_t size);

#endif
