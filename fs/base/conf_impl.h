/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_impl: what the parts of conf share; nobody else includes it.
 *
 * A section holds one value for each row of the option table, of which only the rows of its own
 * kind are used: [f3] and [metrics] exist from the start, a [volume NAME] from its first mention.
 * A value remembers the rank of its source; a lower one never overwrites a higher one.
 */
#ifndef F3_BASE_CONF_IMPL_H
#define F3_BASE_CONF_IMPL_H

#include <pthread.h>

#include "fs/base/conf.h"

enum f3_conf_rank {
	F3_CONF_DEFAULT, F3_CONF_FILE, F3_CONF_ENVIRONMENT, F3_CONF_COMMAND,
	F3_CONF_FIXED,		/* of the mount that is served */
};

struct f3_conf_value {
	char *text;		/* as written (BOOL, PATH: in one form); NULL: unset */
	_Atomic uint64_t number;
	char **list;		/* UINT_LIST, NAME_LIST */
	size_t n_list;
	char *source;
	enum f3_conf_rank rank;
};

struct f3_conf_section {
	const char *kind;	/* "f3", "metrics", "volume" */
	char *inst;		/* NULL but for volumes */
	char *source;		/* of its first mention */
	struct f3_conf_value *values;	/* one per row of the table */
};

struct f3_conf_place {
	char *volume;
	char *source;		/* of the section */
	struct f3_conf_rule *rules;
	size_t n_rules;
};

struct f3_conf {
	pthread_mutex_t lock;	/* text and source of values that change */
	struct f3_conf_section *sections;
	size_t n_sections;
	struct f3_conf_place *places;
	size_t n_places;
	const char **volumes;	/* names, in the order of their sections */
	size_t n_volumes;
};

/* The row, or NULL. */
const struct f3_conf_opt *f3_conf_find_opt(const char *section, const char *key);
struct f3_conf_section *f3_conf_find_section(const struct f3_conf *c, const char *kind,
					     const char *inst);
struct f3_conf_place *f3_conf_find_place(const struct f3_conf *c, const char *volume);
static inline struct f3_conf_value *f3_conf_value_of(const struct f3_conf_section *s,
						     const struct f3_conf_opt *opt)
{
	return &s->values[opt - f3_conf_table];
}

/* "FILE:LINE", "environment F3_X" or "command line": what an error begins with. */
const char *f3_conf_where(const char *source);

/* The error for a section (key NULL) or a key that is not in the table. */
int f3_conf_unknown(const char *kind, const char *key, const char *source, struct f3_err *err);

/* Sets [kind inst] key. Makes the section of a volume. */
int f3_conf_put(struct f3_conf *c, const char *kind, const char *inst, const char *key,
		const char *value, enum f3_conf_rank rank, const char *source, struct f3_err *err);
/* Makes [volume NAME] or [placement NAME] if it is not there; the name is checked. */
int f3_conf_make_volume(struct f3_conf *c, const char *name, const char *source,
			struct f3_err *err);
int f3_conf_make_place(struct f3_conf *c, const char *name, const char *source,
		       struct f3_err *err);
int f3_conf_put_rule(struct f3_conf *c, const char *volume, const char *pattern,
		     const char *value, const char *source, struct f3_err *err);

static inline bool f3_conf_is_list(const struct f3_conf_opt *opt)
{
	return opt->type == F3_CONF_UINT_LIST || opt->type == F3_CONF_NAME_LIST;
}

/* A whole value of the row's type and range; ret_text gets its stored form (heap). With a reason
 * but without its place in err. */
int f3_conf_parse_value(const struct f3_conf_opt *opt, const char *text, uint64_t *ret_number,
			char **ret_text, struct f3_err *err);

#endif
