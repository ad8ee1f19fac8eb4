/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/escape.h"

#include <errno.h>
#include <string.h>

#define SUFFIX_LEN (sizeof(F3_ESCAPE_SUFFIX) - 1)

bool f3_escape_reserved(const char *name, size_t len)
{
	return len >= SUFFIX_LEN && !memcmp(name + len - SUFFIX_LEN, F3_ESCAPE_SUFFIX, SUFFIX_LEN);
}

static bool only_dots(const char *name, size_t len)
{
	return (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.');
}

int f3_escape_name(const char *object, size_t len, bool beside, char ret_name[F3_NAME_MAX + 1])
{
	static const char hex[] = "0123456789ABCDEF";
	bool dots = only_dots(object, len);
	size_t at = 0;

	if (memchr(object, 0, len) || memchr(object, '/', len))
		return -EINVAL;
	if (len && !dots && !beside && !f3_escape_reserved(object, len)) {
		if (len > F3_NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(ret_name, object, len);
		ret_name[len] = '\0';
		return 0;
	}
	for (size_t i = 0; i < len; i++) {
		bool coded = object[i] == '%' || dots;
		unsigned char c = (unsigned char)object[i];

		if (at + (coded ? 3 : 1) + SUFFIX_LEN > F3_NAME_MAX)
			return -ENAMETOOLONG;
		if (coded) {
			ret_name[at++] = '%';
			ret_name[at++] = hex[c >> 4];
			ret_name[at++] = hex[c & 15];
		} else {
			ret_name[at++] = object[i];
		}
	}
	memcpy(ret_name + at, F3_ESCAPE_SUFFIX, SUFFIX_LEN + 1);
	return 0;
}

/* "%25", "%2E": in the one form they are written. */
static int decode(const char *p, size_t left, char *ret_c)
{
	if (left < 3 || p[1] != '2')
		return -EINVAL;
	if (p[2] == '5')
		*ret_c = '%';
	else if (p[2] == 'E')
		*ret_c = '.';
	else
		return -EINVAL;
	return 0;
}

int f3_unescape_name(const char *name, size_t len, char ret_object[F3_NAME_MAX + 1])
{
	char back[F3_NAME_MAX + 1], again[F3_NAME_MAX + 1];
	size_t at = 0, end;

	if (len > F3_NAME_MAX)
		return -EINVAL;
	if (!f3_escape_reserved(name, len)) {
		memmove(ret_object, name, len);
		ret_object[len] = '\0';
		return 0;
	}
	end = len - SUFFIX_LEN;
	for (size_t i = 0; i < end; i++) {
		if (name[i] != '%') {
			back[at++] = name[i];
			continue;
		}
		if (decode(name + i, end - i, &back[at]))
			return -EINVAL;
		at++;
		i += 2;
	}
	back[at] = '\0';
	/* Only what escaping makes: an object must not have two names. */
	if (f3_escape_name(back, at, true, again) || strlen(again) != len ||
	    memcmp(again, name, len) != 0)
		return -EINVAL;
	memcpy(ret_object, back, at);
	ret_object[at] = '\0';
	return 0;
}

int f3_unescape_path(char *path)
{
	char *from = path, *to = path;

	for (;;) {
		char object[F3_NAME_MAX + 1];
		size_t len = strcspn(from, "/"), n;
		bool more = from[len] == '/';
		int r = f3_unescape_name(from, len, object);

		if (r)
			return r;
		n = strlen(object);
		from += len + more;
		memcpy(to, object, n);
		to += n;
		if (!more)
			break;
		*to++ = '/';
	}
	*to = '\0';
	return 0;
}
