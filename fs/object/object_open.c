/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "fs/object/object.h"
#include "fs/object/probe.h"

/* Every backend: its URL scheme and how it is opened. */
static const struct scheme {
	const char *name;
	int (*open)(const struct f3_object_options *opt, struct f3_object_store **ret_s,
		    struct f3_err *err);
} schemes[] = {
	{ "file", f3_object_file_open },
	{ "s3", f3_object_s3_open },
};

static const struct scheme *find_scheme(const char *url)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t len = strlen(schemes[i].name);

		if (!strncmp(url, schemes[i].name, len) && !strncmp(url + len, "://", 3))
			return &schemes[i];
	}
	return NULL;
}

int f3_object_open(const struct f3_object_options *opt, struct f3_object_store **ret_s,
		   struct f3_err *err)
{
	struct f3_object_store *s;
	const struct scheme *scheme;
	int r;

	scheme = opt->url ? find_scheme(opt->url) : NULL;
	if (!scheme) {
		/* Not the whole text: a URL of a scheme unknown here may hold a password. */
		size_t len = opt->url ? strcspn(opt->url, ":/@") : 0;

		return f3_err_set(
			err, -EINVAL,
			"object store \"%.*s...\": the URL must begin with file:/// or s3://",
			(int)(len < 16 ? len : 16), opt->url ? opt->url : "");
	}
	r = scheme->open(opt, &s, err);
	if (r < 0)
		return r;
	s->unmet = true;
	if (!opt->meet_later || !s->ops->meet)
		r = f3_object_meet(s, 0, err);
	if (r < 0) {
		f3_object_close(s);
		return r;
	}
	*ret_s = s;
	return 0;
}

int f3_object_meet(struct f3_object_store *s, uint64_t deadline_mono_ns, struct f3_err *err)
{
	int r = 0;

	if (!s->unmet)
		return 0;
	if (s->ops->meet)
		r = s->ops->meet(s, deadline_mono_ns, err);
	if (!r)
		r = f3_object_probe(s, err);
	if (!r)
		s->unmet = false;
	return r;
}

void f3_object_shut(struct f3_object_store *s)
{
	if (s && s->ops->shut)
		s->ops->shut(s);
}

void f3_object_close(struct f3_object_store *s)
{
	if (s)
		s->ops->close(s);
}
