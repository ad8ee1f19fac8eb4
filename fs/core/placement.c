/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/placement.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * The matcher walks the text once with the set of all places in the pattern that can have been
 * reached: time is at most text x pattern whatever either of them looks like, and what is left in
 * the set after a directory's path tells whether something below it can match.
 */
#define PATTERN_MAX 1024u

struct places {
	uint64_t bits[PATTERN_MAX / 64 + 1];
};

struct pattern {
	const char *text;
	size_t len;
	bool anywhere; /* without a slash: the last component, in whatever directory */
};

static void places_add(struct places *set, size_t at)
{
	set->bits[at / 64] |= 1ull << (at % 64);
}

static bool places_has(const struct places *set, size_t at)
{
	return set->bits[at / 64] >> (at % 64) & 1;
}

static bool places_none(const struct places *set)
{
	for (size_t i = 0; i < sizeof(set->bits) / sizeof(set->bits[0]); i++)
		if (set->bits[i])
			return false;
	return true;
}

static size_t stars(const struct pattern *p, size_t at)
{
	size_t n = 0;

	while (at + n < p->len && p->text[at + n] == '*')
		n++;
	return n;
}

/* Arrives at a place; through what may match nothing, also at the places behind it. */
static void arrive(const struct pattern *p, size_t at, struct places *set)
{
	for (;;) {
		size_t n = stars(p, at);

		places_add(set, at);
		if (!n)
			return;
		/* "**" between slashes stands for no directory, too. */
		if (n > 1 && (at == 0 || p->text[at - 1] == '/') && at + n < p->len &&
		    p->text[at + n] == '/')
			arrive(p, at + n + 1, set);
		at += n;
	}
}

static const struct {
	const char *name;
	int (*is)(int c);
} char_classes[] = {
	{ "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank }, { "cntrl", iscntrl },
	{ "digit", isdigit }, { "graph", isgraph }, { "lower", islower }, { "print", isprint },
	{ "punct", ispunct }, { "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
};

/* "[:name:]" at `at`: its length, and whether c is in it. 0: there is none. */
static size_t char_class(const struct pattern *p, size_t at, unsigned char c, bool *ret_in)
{
	for (size_t i = 0; i < sizeof(char_classes) / sizeof(char_classes[0]); i++) {
		size_t n = strlen(char_classes[i].name);

		if (p->len - at >= n + 4 && !memcmp(p->text + at, "[:", 2) &&
		    !memcmp(p->text + at + 2, char_classes[i].name, n) &&
		    !memcmp(p->text + at + 2 + n, ":]", 2)) {
			*ret_in = c < 128 && char_classes[i].is(c);
			return n + 4;
		}
	}
	return 0;
}

/* The bracket at `at`: its length, and whether c is in it. 0: it is never closed. */
static size_t bracket(const struct pattern *p, size_t at, unsigned char c, bool *ret_in)
{
	size_t i = at + 1;
	bool negated = false, in = false;

	if (i < p->len && (p->text[i] == '!' || p->text[i] == '^')) {
		negated = true;
		i++;
	}
	for (size_t first = i; i < p->len; first = SIZE_MAX) {
		unsigned char from, to;
		bool in_class = false;
		size_t n;

		if (p->text[i] == ']' && i != first) {
			*ret_in = in != negated;
			return i + 1 - at;
		}
		n = char_class(p, i, c, &in_class);
		if (n) {
			in |= in_class;
			i += n;
			continue;
		}
		if (p->text[i] == '\\' && i + 1 < p->len)
			i++;
		from = to = (unsigned char)p->text[i++];
		if (i + 1 < p->len && p->text[i] == '-' && p->text[i + 1] != ']') {
			i++;
			if (p->text[i] == '\\' && i + 1 < p->len)
				i++;
			to = (unsigned char)p->text[i++];
		}
		in |= from <= c && c <= to;
	}
	return 0;
}

/* From one place over one byte. */
static void step(const struct pattern *p, size_t at, unsigned char c, struct places *next)
{
	bool in = false;
	size_t n;

	if (at == p->len)
		return;
	switch (p->text[at]) {
	case '*':
		n = stars(p, at);
		if (n > 1 || c != '/') {
			/* Not by arrive(): "no directory" is true only before the first byte. */
			places_add(next, at);
			places_add(next, at + n);
		}
		return;
	case '?':
		if (c != '/')
			arrive(p, at + 1, next);
		return;
	case '[':
		n = bracket(p, at, c, &in);
		if (n) {
			if (in && c != '/')
				arrive(p, at + n, next);
			return;
		}
		break;
	case '\\':
		if (at + 1 < p->len)
			at++;
		break;
	}
	if ((unsigned char)p->text[at] == c)
		arrive(p, at + 1, next);
}

static void walk(const struct pattern *p, const char *text, size_t len, struct places *set)
{
	for (size_t i = 0; i < len; i++) {
		struct places next = { { 0 } };

		for (size_t w = 0; w <= p->len / 64; w++)
			for (uint64_t bits = set->bits[w]; bits; bits &= bits - 1)
				step(p, w * 64 + (size_t)__builtin_ctzll(bits),
				     (unsigned char)text[i], &next);
		*set = next;
		if (places_none(set))
			return;
	}
}

/* "a/" stands for "a/" and two stars: everything below. `space` holds that. */
static bool pattern_read(const char *text, char space[PATTERN_MAX + 3], struct pattern *ret_p)
{
	size_t len = strlen(text);

	if (!len || len > PATTERN_MAX - 2)
		return false;
	memcpy(space, text, len + 1);
	if (text[len - 1] == '/') {
		memcpy(space + len, "**", 3);
		len += 2;
	}
	ret_p->anywhere = !memchr(space, '/', len);
	ret_p->text = space[0] == '/' ? space + 1 : space;
	ret_p->len = space[0] == '/' ? len - 1 : len;
	return true;
}

struct relation {
	bool itself; /* the path matches */
	bool inside; /* a directory's content matches, whatever it is called */
	bool below; /* something below the directory might match */
};

static struct relation relate(const char *pattern_text, const char *path)
{
	struct relation rel = { false, false, false };
	struct places set = { { 0 } };
	char space[PATTERN_MAX + 3];
	const char *slash;
	struct pattern p;

	if (!pattern_read(pattern_text, space, &p))
		return rel;
	if (*path == '/')
		path++;
	slash = strrchr(path, '/');
	if (p.anywhere && slash)
		path = slash + 1;

	arrive(&p, 0, &set);
	walk(&p, path, strlen(path), &set);
	rel.itself = places_has(&set, p.len);
	if (p.anywhere) {
		memset(&set, 0, sizeof(set));
		arrive(&p, 0, &set);
		rel.inside = places_has(&set, p.len);
		rel.below = true;
		return rel;
	}
	if (*path)
		walk(&p, "/", 1, &set);
	rel.inside = places_has(&set, p.len);
	rel.below = !places_none(&set);
	return rel;
}

bool f3_placement_match(const char *pattern, const char *path)
{
	return relate(pattern, path).itself;
}

static int parse_value(const char *value, struct f3_placement_rule *rule)
{
	size_t n = strcspn(value, " \t");
	const char *rest = value + n + strspn(value + n, " \t");
	int r = f3_class_parse(value, n, &rule->class_);

	if (r < 0)
		return r;
	if (rule->class_ == F3_CLASS_NONE)
		return -EINVAL;
	n = strcspn(rest, " \t");
	rule->stream = n == 6 && !memcmp(rest, "stream", 6);
	if ((n && !rule->stream) || rest[n + strspn(rest + n, " \t")])
		return -EINVAL;
	return 0;
}

bool f3_placement_pattern_ok(const char *pattern)
{
	size_t len = strlen(pattern);

	return len && len <= PATTERN_MAX - 2;
}

int f3_placement_add(struct f3_placement *p, const char *pattern, const char *value,
		     struct f3_err *err)
{
	struct f3_placement_rule rule = { NULL, F3_CLASS_NONE, false }, *rules;
	size_t len = strlen(pattern);

	if (!len)
		return f3_err_set(err, -EINVAL, "a rule without a pattern");
	if (len > PATTERN_MAX - 2)
		return f3_err_set(err, -ENAMETOOLONG, "pattern of %zu bytes; at most %u", len,
				  PATTERN_MAX - 2);
	if (parse_value(value + strspn(value, " \t"), &rule) < 0)
		return f3_err_set(err, -EINVAL,
				  "%s = %s: a class (memory, ephemeral, writeback, durable), "
				  "maybe followed by \"stream\", is wanted",
				  pattern, value);
	if (rule.class_ == F3_CLASS_REPLICATED)
		return f3_err_set(err, -EOPNOTSUPP, "%s = %s: class replicated is not supported",
				  pattern, value);
	rules = realloc(p->rules, (p->n_rules + 1) * sizeof(*rules));
	if (!rules)
		return f3_err_set(err, -ENOMEM, "out of memory");
	p->rules = rules;
	rule.pattern = strdup(pattern);
	if (!rule.pattern)
		return f3_err_set(err, -ENOMEM, "out of memory");
	p->rules[p->n_rules++] = rule;
	return 0;
}

void f3_placement_done(struct f3_placement *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_rules; i++)
		free(p->rules[i].pattern);
	free(p->rules);
	p->rules = NULL;
	p->n_rules = 0;
}

/*
 * What the rules and the default say. For a directory that would be local, an earlier rule (or,
 * under the default, any rule) that puts something below it into the store wins: a name cannot
 * be less durable than what it leads to.
 */
static void by_rules(const struct f3_placement *p, const struct f3_placement_query *q,
		     struct f3_placement_result *ret)
{
	const struct f3_placement_rule *leads = NULL;

	ret->class_ = p->dflt;
	ret->source = F3_FROM_DEFAULT;
	ret->stream = false;
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct f3_placement_rule *rule = &p->rules[i];
		struct relation rel = relate(rule->pattern, q->path);

		if (rel.itself || (q->is_dir && rel.inside)) {
			ret->class_ = rule->class_;
			ret->source = F3_FROM_RULE;
			ret->stream = rule->stream;
			break;
		}
		if (q->is_dir && rel.below && !leads && f3_class_in_store(rule->class_))
			leads = rule;
	}
	if (leads && !f3_class_in_store(ret->class_)) {
		ret->class_ = leads->class_;
		ret->source = F3_FROM_RULE;
	}
}

void f3_placement_hint(const struct f3_placement *outputs, const char *path, bool is_dir,
		       enum f3_class *ret_class, bool *ret_stream)
{
	const struct f3_placement_query q = { .path = path, .is_dir = is_dir };
	struct f3_placement_result res;

	by_rules(outputs, &q, &res);
	*ret_class = res.class_;
	*ret_stream = res.stream;
}

int f3_placement_decide(const struct f3_placement *p, const struct f3_placement_query *q,
			struct f3_placement_result *ret)
{
	struct f3_placement_result res = { F3_CLASS_NONE, F3_FROM_DEFAULT, false, false };
	bool asked = true; /* for this very file: cannot be had is an error, not a cap */

	by_rules(p, q, &res);
	if (q->hint != F3_CLASS_NONE) {
		res.class_ = q->hint;
		res.source = F3_FROM_HINT;
	} else if (q->own != F3_CLASS_NONE) {
		res.class_ = q->own;
		res.source = F3_FROM_OWN;
	} else {
		asked = false;
		if (q->inherited != F3_CLASS_NONE) {
			res.class_ = q->inherited;
			res.source = F3_FROM_DIR;
		}
	}
	if (q->hint_stream)
		res.stream = true;
	else if (q->own_stream >= 0)
		res.stream = q->own_stream > 0;
	else if (q->inherited_stream >= 0)
		res.stream = q->inherited_stream > 0;

	if (res.class_ == F3_CLASS_REPLICATED)
		return -EOPNOTSUPP;
	if (f3_class_in_store(res.class_) && (!p->has_store || q->in_local_tree)) {
		if (asked)
			return p->has_store ? -EPERM : -EOPNOTSUPP;
		res.class_ = F3_CLASS_EPHEMERAL;
		res.capped = true;
	}
	*ret = res;
	return 0;
}
