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
 * Sections: [f3], [metrics], [volume NAME], [placement NAME]. In a placement section keys are
 * patterns and the order counts; a pattern with '=' or ':' in it is written with '?' there. What
 * is known but not built yet (several nodes) is refused by name.
 *
 * Reading is in conf_file.c (INI, environment), single values in parse.c, what needs several of
 * them in conf_check.c, output in conf_print.c.
 *
 * What a running daemon does about a configuration that has changed is in conf_change.c.
 *
 * A conf is filled by one thread, then read-only (any number of readers) but for the values that
 * change while the daemon runs: those are numbers and then read by f3_conf_u64 only.
 */
#ifndef F3_BASE_CONF_H
#define F3_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"

enum f3_conf_type {
	F3_CONF_STRING,
	F3_CONF_PATH,		/* absolute, without "..", kept without needless slashes */
	F3_CONF_URL,		/* file:///DIR, the path as above, or s3://BUCKET/PREFIX */
	F3_CONF_BYTES,		/* 0 .. 2^63-1, see f3_parse_bytes */
	F3_CONF_DURATION,	/* ns, see f3_parse_duration */
	F3_CONF_BOOL,		/* yes/no, true/false, on/off, 1/0; kept as "yes" or "no" */
	F3_CONF_UINT,
	F3_CONF_DECIMAL,	/* millionths, see f3_parse_decimal */
	F3_CONF_MODE,		/* permission bits in octal, at most 07777 */
	F3_CONF_ADDRESS,	/* ADDRESS:PORT, see f3_parse_address */
	F3_CONF_ENUM,		/* choices separated by | */
	F3_CONF_UINT_LIST,	/* repeatable key, or values separated by commas; 32-bit numbers */
	F3_CONF_NAME_LIST,	/* the same; 1 to 255 bytes each, without control characters */
};

/* What it takes for a changed value to count. */
enum f3_conf_change {
	F3_CHANGE_UPGRADE,	/* another process that serves the mount: f3ctl upgrade */
	F3_CHANGE_START,	/* another mount: f3d is stopped and started */
	F3_CHANGE_LIVE,		/* f3ctl reload. A number, in [f3] or of a volume */
};

struct f3_conf_opt {
	const char *section;	/* "f3", "metrics", "volume" */
	const char *key;
	enum f3_conf_type type;
	const char *dflt;	/* as it would be written; NULL: none */
	const char *choices;	/* for ENUM */
	const char *arg;	/* what --help shows: DIR, SIZE, ... */
	const char *help;	/* one line */
	const char *more;	/* a paragraph for the man page, or NULL */
	uint64_t min, max;	/* of BYTES, DURATION, UINT; max 0: none */
	enum f3_conf_change change;
};

/* The table, ended by section == NULL. */
extern const struct f3_conf_opt f3_conf_table[];

struct f3_conf;

int f3_conf_new(struct f3_conf **ret_c);
void f3_conf_free(struct f3_conf *c);

#define F3_CONF_FILE_MAX (1u << 20)	/* bytes of a file, less one */

/* Each: 0, or -errno with "FILE:LINE: reason" in err. Unknown sections and keys, malformed
 * values and, in a file, duplicates of a single-valued key are errors; on the command line the
 * last one counts. May be called in any order: precedence is by source. */
int f3_conf_load_file(struct f3_conf *c, const char *path, struct f3_err *err);
/* The same from memory; path is what errors and sources are to name. */
int f3_conf_load_text(struct f3_conf *c, const char *text, size_t len, const char *path,
		      struct f3_err *err);
/* F3_F3_CACHE_SIZE, F3_METRICS_LISTEN, F3_VOLUME_<NAME>_QUOTA (NAME as it is). */
int f3_conf_load_env(struct f3_conf *c, char *const *environ_, struct f3_err *err);
/* From `-o key=value`: key of [f3] or "section.key" / "volume.NAME.key". source: what
 * f3_conf_source is to say, "command line". */
int f3_conf_set(struct f3_conf *c, const char *dotted_key, const char *value, const char *source,
		struct f3_err *err);
/* Adds [volume NAME] with url (NULL: none), as --volume NAME=URL does. */
int f3_conf_add_volume(struct f3_conf *c, const char *name, const char *url, const char *source,
		       struct f3_err *err);
/* Checks what needs several values (a volume's class against its url, sizes against each
 * other). Called once all sources are in. */
int f3_conf_check(const struct f3_conf *c, struct f3_err *err);

/* Values in force. inst is the NAME of a volume section, NULL for the others; for a volume that
 * is not in the configuration the defaults are given. Asking for a key that is not in the table,
 * or for a type it has not, is a bug of the caller (assert). */
const char *f3_conf_str(const struct f3_conf *c, const char *section, const char *inst,
			const char *key);	/* NULL if unset and without default */
/* BYTES, DURATION (ns), UINT, MODE, BOOL, ENUM (index); 0 if unset and without default */
uint64_t f3_conf_u64(const struct f3_conf *c, const char *section, const char *inst,
		     const char *key);
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

/* The values that belong to the mount (F3_CHANGE_START), for the next process that serves it. */
void f3_conf_save_fixed(const struct f3_conf *c, struct f3_buf *out);
/* They win over everything, and c must not be in use yet. 0 or -errno: not made by the above. */
int f3_conf_fix(struct f3_conf *c, const void *bytes, size_t len, struct f3_err *err);

struct f3_conf_difference {
	const char *section, *inst;	/* "f3", NULL; "volume", "photos"; "placement", "photos" */
	const char *key;		/* NULL: the section as a whole came, went or, a placement, changed */
	const char *was, *now;		/* NULL: unset */
	enum f3_conf_change change;
};
/* Calls fn for every value that differs. */
void f3_conf_each_difference(const struct f3_conf *was, const struct f3_conf *now,
			     void (*fn)(void *arg, const struct f3_conf_difference *d), void *arg);
/* Takes over the values of `now` that may change (F3_CHANGE_LIVE). One thread at a time. -ENOMEM:
 * some of them only. */
int f3_conf_take_live(struct f3_conf *c, const struct f3_conf *now);

/* All values as text for people ("key = value    # source") or as JSON. Secrets are not in
 * the table at all, only names of files that hold them. */
void f3_conf_print(const struct f3_conf *c, bool json, struct f3_buf *out);
/* The option table as text of --help, or as man page source (mdoc list). */
void f3_conf_print_help(bool mdoc, struct f3_buf *out);

/* Parsers of single values, shared with the command line and the control socket. The whole text
 * must be the value, without blanks around it. 0 or -EINVAL / -ERANGE. */
/* "4096", "200G" = "200GiB" (powers of 1024), "200GB" (powers of 1000), "1.5T". */
int f3_parse_bytes(const char *text, uint64_t *ret_bytes);
/* "250ms", "1.5s", "5m", "2h", "7d", also us and ns; "0" needs no unit. */
int f3_parse_duration(const char *text, uint64_t *ret_ns);
/* Decimal digits only. */
int f3_parse_uint(const char *text, uint64_t max, uint64_t *ret_n);
/* "0.4": in millionths; at most six digits behind the point. */
int f3_parse_decimal(const char *text, uint64_t *ret_millionths);
/* "127.0.0.1:9333", "[::1]:9333", ":9333" (every address). Numbers only: nothing is looked up. */
int f3_parse_address(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len);
/* "1.5 GiB": for people. */
void f3_format_bytes(uint64_t bytes, char *out, size_t size);

#endif
