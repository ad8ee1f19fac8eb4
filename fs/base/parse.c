/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers of single values: sizes (libbytesize), durations, numbers, addresses.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <bytesize/bs_size.h>

#include "fs/base/clock.h"
#include "fs/base/conf.h"

#define DIGITS "0123456789"

int f3_parse_uint(const char *text, uint64_t max, uint64_t *ret_n)
{
	unsigned long long n;

	if (!*text || text[strspn(text, DIGITS)])
		return -EINVAL;
	errno = 0;
	n = strtoull(text, NULL, 10);
	if (errno || n > max)
		return -ERANGE;
	*ret_n = n;
	return 0;
}

int f3_parse_decimal(const char *text, uint64_t *ret_millionths)
{
	size_t whole = strspn(text, DIGITS), digits = 0;
	uint64_t n, part = 0;
	char *end;

	if (text[whole] == '.') {
		digits = strspn(text + whole + 1, DIGITS);
		if (!digits || digits > 6)
			return -EINVAL;
		part = strtoull(text + whole + 1, &end, 10);
	} else {
		end = (char *)text + whole;
	}
	if (!whole || *end)
		return -EINVAL;
	for (size_t i = digits; i < 6; i++)
		part *= 10;
	errno = 0;
	n = strtoull(text, NULL, 10);
	if (errno || __builtin_mul_overflow(n, UINT64_C(1000000), &n) ||
	    __builtin_add_overflow(n, part, &n))
		return -ERANGE;
	*ret_millionths = n;
	return 0;
}

/* "", "B", and K, M, G, T, P, E alone, with "B" or with "iB". */
static bool is_size_unit(const char *unit)
{
	if (*unit && strchr("kmgtpeKMGTPE", *unit)) {
		unit++;
		if (!*unit || strcasecmp(unit, "iB") == 0)
			return true;
	}
	return !*unit || strcasecmp(unit, "B") == 0;
}

int f3_parse_bytes(const char *text, uint64_t *ret_bytes)
{
	size_t whole = strspn(text, DIGITS), len = whole;
	BSError *error = NULL;
	bool too_large;
	BSSize size;

	/* The library also takes signs, exponents and blanks, which are typing errors here; and
	 * it leaks what it has when it finds an error by itself: it is shown none. */
	if (!whole)
		return -EINVAL;
	if (text[len] == '.') {
		len += 1 + strspn(text + len + 1, DIGITS);
		/* digits behind the point, and a unit that they can be a fraction of */
		if (len == whole + 1 || !text[len])
			return -EINVAL;
	}
	if (!is_size_unit(text + len))
		return -EINVAL;
	if (len > 64)
		return -ERANGE;

	size = bs_size_new_from_str(text, &error);
	if (!size) {
		bs_clear_error(&error);
		return -EINVAL;
	}
	too_large = bs_size_cmp_bytes(size, INT64_MAX, false) > 0;
	if (!too_large)
		*ret_bytes = bs_size_get_bytes(size, NULL, NULL);
	bs_size_free(size);
	return too_large ? -ERANGE : 0;
}

void f3_format_bytes(uint64_t bytes, char *out, size_t size)
{
	BSSize s = bs_size_new_from_bytes(bytes, 1);
	BSBunit unit = BS_BUNIT_B;
	char *text;

	/* Left to itself the library writes 1024 MiB; what rounds up to that goes on, too. */
	for (double shown = (double)bytes; unit < BS_BUNIT_EiB && shown >= 1023.95; shown /= 1024)
		unit++;
	text = s ? bs_size_human_readable(s, unit, 1, false) : NULL;
	if (text)
		snprintf(out, size, "%s", text);
	else
		snprintf(out, size, "%llu B", (unsigned long long)bytes);
	free(text);
	if (s)
		bs_size_free(s);
}

int f3_parse_duration(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", 1000 },
		{ "ms", F3_NS_PER_MS },
		{ "s", F3_NS_PER_SEC },
		{ "m", 60 * F3_NS_PER_SEC },
		{ "h", 3600 * F3_NS_PER_SEC },
		{ "d", 86400 * F3_NS_PER_SEC },
	};
	size_t whole = strspn(text, DIGITS), places = 0;
	const char *unit = text + whole;
	uint64_t n = 0, ns = 0;

	if (!whole)
		return -EINVAL;
	if (*unit == '.') {
		places = strspn(unit + 1, DIGITS);
		if (!places)
			return -EINVAL;
		unit += 1 + places;
	}
	for (size_t i = 0; i < whole; i++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return -ERANGE;
	if (!*unit && !n && !places) {
		*ret_ns = 0;
		return 0;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		uint64_t part = units[i].ns;

		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(n, units[i].ns, &ns))
			return -ERANGE;
		/* each place is worth a tenth of the one before, down to nothing */
		for (size_t k = 0; k < places; k++) {
			part /= 10;
			if (__builtin_add_overflow(ns, part * (uint64_t)(text[whole + 1 + k] - '0'),
						   &ns))
				return -ERANGE;
		}
		if (ns > INT64_MAX)
			return -ERANGE;
		*ret_ns = ns;
		return 0;
	}
	return -EINVAL;
}

int f3_parse_address(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_addr;
	const char *colon = strrchr(text, ':'), *from = text;
	struct in6_addr a6 = in6addr_any;
	struct in_addr a4;
	char host[INET6_ADDRSTRLEN];
	bool is_v4 = false;
	uint64_t port;
	size_t len;

	if (!colon || f3_parse_uint(colon + 1, UINT16_MAX, &port) != 0)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		from++;
		len -= 2;
	} else if (len) {
		is_v4 = true;
	}
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, from, len);
	host[len] = '\0';
	/* with nothing in front of the colon every address of the machine, both families */
	if (is_v4 ? inet_pton(AF_INET, host, &a4) != 1 :
		    (len || from != text) && inet_pton(AF_INET6, host, &a6) != 1)
		return -EINVAL;

	memset(ret_addr, 0, sizeof(*ret_addr));
	if (is_v4) {
		v4->sin_family = AF_INET;
		v4->sin_addr = a4;
		v4->sin_port = htons((uint16_t)port);
		*ret_len = sizeof(*v4);
	} else {
		v6->sin6_family = AF_INET6;
		v6->sin6_addr = a6;
		v6->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof(*v6);
	}
	return 0;
}
