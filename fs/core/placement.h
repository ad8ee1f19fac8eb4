/* SPDX-License-Identifier: Apache-2.0 */
/*
 * placement: which class a file gets. Pure.
 *
 * First match wins: what an activation said of its outputs, the file's own xattr, the nearest ancestor's xattr, the
 * volume's rules, its default. Then the cap: below a directory of a local class nothing is more
 * durable than its name.
 *
 * Patterns are relative to the volume: "*" and "?" do not cross "/", "**" does (between slashes it
 * also stands for no directory at all), "[...]" as in glob(7), a backslash takes the next byte as
 * it is; bytes, no characters. A pattern without a slash matches the last component anywhere, one
 * that ends with a slash everything below. A directory gets the class of what a rule says for
 * whatever is inside it, so that "/out/" and "/out/x" agree for a rule "/out/", and a directory
 * that leads to a rule for the store is in the store itself. Matching takes pattern x path steps at
 * most.
 */
#ifndef F3_CORE_PLACEMENT_H
#define F3_CORE_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/err.h"
#include "fs/meta/record.h"

struct f3_placement_rule {
	char *pattern;
	enum f3_class class_;
	bool stream;
};

struct f3_placement {
	struct f3_placement_rule *rules;
	size_t n_rules;
	enum f3_class dflt;
	bool has_store; /* a volume without URL takes local classes only */
};

/* Parses one rule ("CLASS [stream]") and appends it. */
int f3_placement_add(struct f3_placement *p, const char *pattern, const char *value,
		     struct f3_err *err);
void f3_placement_done(struct f3_placement *p);

struct f3_placement_query {
	const char *path; /* inside the volume, "/a/b"; unused without rules */
	bool is_dir;
	bool in_local_tree; /* the parent directory is of a local class */
	enum f3_class hint; /* NONE if there is none */
	bool hint_stream;
	enum f3_class own; /* own xattr */
	enum f3_class inherited; /* nearest ancestor's xattr */
	int own_stream, inherited_stream; /* -1 not set, 0, 1 */
};

struct f3_placement_result {
	enum f3_class class_;
	enum f3_class_source source;
	bool stream;
	bool capped; /* the choice was more durable than the name allows */
};

/* 0; -EOPNOTSUPP: class needs a store and there is none (own/hint only: a rule's or ancestor's is
 * capped), or it is `replicated`; -EPERM: own or hint class is above the cap. */
int f3_placement_decide(const struct f3_placement *p, const struct f3_placement_query *q,
			struct f3_placement_result *ret);
/* What an activation said of its outputs (classes may be NONE), for a path as it sees it. */
void f3_placement_hint(const struct f3_placement *outputs, const char *path, bool is_dir,
		       enum f3_class *ret_class, bool *ret_stream);
/* Short enough to be matched. */
bool f3_placement_pattern_ok(const char *pattern);
bool f3_placement_match(const char *pattern, const char *path);
/* Whether a decision can depend on the path at all: without rules no path need be built. */
static inline bool f3_placement_needs_path(const struct f3_placement *p)
{
	return p->n_rules > 0;
}

#endif
