/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl: what the files of the admin's tool share.
 *
 * One table (f3ctl_verbs.c) names every verb; help, completion and the manual page are made from
 * it. A verb is a file f3ctl_<verb>.c with its options, in the form of popt(3), and a function. It
 * asks the daemon by lines (f3ctl_client.c) and shows what comes back: as tables for people, with
 * --json as JSON, one object a line. Errors go to stderr.
 *
 * Exit codes: 0, 1 failed, 2 called wrongly.
 *
 * One thread. Everything allocated is freed, so that a leak is a leak.
 */
#ifndef F3_DAEMON_F3CTL_H
#define F3_DAEMON_F3CTL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <popt.h>

#include "daemon/wire.h"
#include "fs/base/buf.h"
#include "fs/base/err.h"

enum { F3CTL_OK = 0, F3CTL_FAILED = 1, F3CTL_USAGE = 2 };

struct f3ctl {
	const struct f3ctl_verb *verb;
	char *socket_path;
	bool json;
	bool out_tty, err_tty;
	/* the daemon's side: f3ctl_client.c */
	int fd;
	struct f3_buf in;
	size_t in_at;
	bool may_close;			/* the daemon's hanging up is an answer: -> closed, nothing is said */
	bool closed;
	json_t *mount;			/* answer of "mount", once asked for */
};

/* What the arguments of a verb are, for completion. */
enum f3ctl_completes { F3CTL_NOTHING, F3CTL_PATHS, F3CTL_WORDS, F3CTL_WORD_THEN_PATHS };

struct f3ctl_verb {
	const char *name;
	const char *args;		/* after its options: "PATH..." */
	const char *help;		/* one line */
	const char *more;		/* a paragraph for the manual, or NULL */
	enum f3ctl_completes completes;
	const char *words;		/* of WORDS, separated by blanks */
	const struct poptOption *options;	/* ended by POPT_TABLEEND; NULL: none */
	/* argv: what is left after the options. An exit code. */
	int (*run)(struct f3ctl *ctl, int argc, const char *const *argv);
};

extern const struct f3ctl_verb f3ctl_verbs[];	/* ended by name == NULL */

/* ---- f3ctl_client.c ---- */

/* A line that is not the last one: "item" or "progress". Returns non-zero to stop listening. */
typedef int f3ctl_line_fn(void *arg, const char *key, json_t *value);

/* Sends the request (takes it over) and reads up to its last line, connecting first if need be.
 * 0 and the last line, which the caller frees; else an exit code, after saying why (with --json
 * the line itself goes to stdout). */
int f3ctl_ask(struct f3ctl *ctl, json_t *request, f3ctl_line_fn *fn, void *arg, json_t **ret_answer);
/* 0, also where there is a connection already, or -errno; says nothing. */
int f3ctl_connect(struct f3ctl *ctl);
/* {"op": op}; NULL without memory, which f3ctl_ask takes for -ENOMEM. */
json_t *f3ctl_request(const char *op);
void f3ctl_close(struct f3ctl *ctl);

/* ---- f3ctl_place.c ---- */

/* Sets "volume" and "path" of the request from what a person wrote: a path below the mountpoint, or
 * VOLUME:/PATH. 0 or an exit code, after saying why. */
int f3ctl_place(struct f3ctl *ctl, const char *arg, json_t *request);
/* The same without a daemon, for tests: 0 and the path from the root of the mount, -EXDEV for one
 * that is not on it. absolute: without ".." in it. mountinfo: as /proc/self/mountinfo. */
int f3ctl_inside(const char *absolute, const char *mountpoint, const char *mountinfo,
		 struct f3_buf *out);

/* ---- f3ctl_out.c ---- */

/* "f3ctl: VERB: ..." on stderr. Each returns its exit code. */
int f3ctl_fail(const struct f3ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int f3ctl_usage(const struct f3ctl *ctl, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The object on a line of stdout. */
void f3ctl_print_json(const json_t *value);
/* The value of a member as text fit for a terminal: strings as they are but for control
 * characters, numbers in digits, "-" for null or nothing. */
void f3ctl_text(const json_t *object, const char *key, struct f3_buf *out);
/* The same of a member that holds bytes: "1.5 GiB". */
void f3ctl_bytes(const json_t *object, const char *key, struct f3_buf *out);
uint64_t f3ctl_u64(const json_t *object, const char *key);
/* Path of an item below the mountpoint, fit for a terminal. */
void f3ctl_item_path(struct f3ctl *ctl, const json_t *item, struct f3_buf *out);

/* A table: cells row by row, columns as wide as they must be. A column that begins with '>' in the
 * heading is set flush right. */
struct f3ctl_table {
	const char *const *headings;	/* ended by NULL */
	size_t columns, n, cap;
	char **cells;
	bool failed;			/* no memory: printed short */
};
void f3ctl_table_init(struct f3ctl_table *t, const char *const *headings);
void f3ctl_table_cell(struct f3ctl_table *t, const char *text);
void f3ctl_table_cell_buf(struct f3ctl_table *t, struct f3_buf *text);	/* and empties it */
void f3ctl_table_print(const struct f3ctl_table *t, bool heading);
void f3ctl_table_reset(struct f3ctl_table *t);
void f3ctl_table_done(struct f3ctl_table *t);

/* A line that is rewritten while something goes on; nothing where stderr is no terminal. */
struct f3ctl_progress {
	bool on, shown;
	uint64_t began_ns;
	uint64_t files, total, bytes, total_bytes;
};
void f3ctl_progress_init(struct f3ctl_progress *p, const struct f3ctl *ctl);
void f3ctl_progress_show(struct f3ctl_progress *p, const json_t *line);
void f3ctl_progress_clear(struct f3ctl_progress *p);
/* What is shown: into out, at most `width` columns. */
void f3ctl_progress_text(const struct f3ctl_progress *p, uint64_t now_ns, unsigned width,
			 struct f3_buf *out);

/* ---- f3ctl_work.c: verbs that do something to files ---- */

struct f3ctl_work {
	const char *op;
	bool deep;			/* -R */
	const char *extra_key, *extra;	/* one more member of the request, or NULL */
	const char *done;		/* "warmed": for the sum */
	const char *kept;		/* "kept here": files left alone; NULL: there are none */
};
/* One request for each path (the whole mount without one, if that is allowed). An exit code. */
int f3ctl_work(struct f3ctl *ctl, const struct f3ctl_work *work, int argc, const char *const *argv);

/* ---- f3ctl_<verb>.c ---- */

extern const struct poptOption f3ctl_activation_options[], f3ctl_top_options[],
	f3ctl_trace_options[];
extern const struct poptOption f3ctl_class_options[], f3ctl_debug_options[], f3ctl_evict_options[],
	f3ctl_fsck_options[], f3ctl_gc_options[], f3ctl_lineage_options[],
	f3ctl_ls_options[], f3ctl_pin_options[], f3ctl_profile_options[], f3ctl_stats_options[], f3ctl_view_options[], f3ctl_volume_options[],
	f3ctl_warm_options[];
int f3ctl_activation(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_top(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_class(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_config(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_debug(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_evict(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_fsck(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_gc(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_info(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_lineage(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_log_level(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_ls(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_pin(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_profile(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_stats(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_reload(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_status(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_sync(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_trace(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_unpin(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_upgrade(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_view(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_volume(struct f3ctl *ctl, int argc, const char *const *argv);
int f3ctl_warm(struct f3ctl *ctl, int argc, const char *const *argv);

#endif
