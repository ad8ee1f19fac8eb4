/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical request is never whole in memory: its pieces go through a sink, which is either
 * the caller's text (for tests) or a digest. The only buffers are of fixed size, on the stack.
 */
#include "config.h"

#include "fs/object/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define DIGEST_BYTES 32
#define SECRET_MAX 512
#define PATH_MAX_BYTES 4096 /* of those that are normalized */
#define SCOPE_MAX 256
#define LAST_SECOND 253402300799 /* of the year 9999 */

static const char algorithm[] = "AWS4-HMAC-SHA256";

/* ---- Where text goes ------------------------------------------------------------------------- */

struct sink {
	char *out;
	size_t size, len;
	EVP_MD_CTX *md; /* what is full goes there; NULL: out is all there is */
	int error;
};

static void sink_flush(struct sink *s)
{
	if (!s->md)
		s->error = -E2BIG;
	else if (EVP_DigestUpdate(s->md, s->out, s->len) != 1)
		s->error = -ENOMEM;
	s->len = 0;
}

/* Text that ends exactly at the end of out is flushed too: there is no room for its NUL. */
static void put(struct sink *s, const char *text, size_t len)
{
	while (len && !s->error) {
		size_t n = s->size - s->len < len ? s->size - s->len : len;

		memcpy(s->out + s->len, text, n);
		s->len += n;
		text += n;
		len -= n;
		if (s->len == s->size)
			sink_flush(s);
	}
}

static void put_text(struct sink *s, const char *text)
{
	put(s, text, strlen(text));
}

static int end_text(struct sink *s)
{
	if (s->error)
		return s->error;
	s->out[s->len] = '\0';
	return 0;
}

static void put_hex(const unsigned char *bytes, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

/* ---- Characters ------------------------------------------------------------------------------ */

static bool is_alnum(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_unreserved(unsigned char c)
{
	return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void put_encoded(struct sink *s, const char *text, size_t len, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		char hex[3] = { '%', digits[c >> 4], digits[c & 15] };

		if (is_unreserved(c) || (keep_slash && c == '/'))
			put(s, text + i, 1);
		else
			put(s, hex, sizeof(hex));
	}
}

int f3_sigv4_encode(const char *text, size_t len, bool keep_slash, char *out, size_t size)
{
	struct sink s = { .out = out, .size = size };
	int error;

	if (!size)
		return -E2BIG;
	put_encoded(&s, text, len, keep_slash);
	error = end_text(&s);
	return error ? error : (int)s.len;
}

/* ---- What can be signed ---------------------------------------------------------------------- */

/* A part of the credential or of its scope: nothing that would end it early. */
static bool is_part(const char *text, bool slash)
{
	const char *p = text;

	for (; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == ',' || (*p == '/' && !slash))
			return false;
	return p != text;
}

/* RFC 9110, token. */
static bool is_header_name(const char *name)
{
	const char *p = name;

	for (; *p; p++)
		if (!is_alnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p))
			return false;
	return p != name;
}

static bool is_header_value(const char *value)
{
	for (; *value; value++)
		if ((unsigned char)*value < ' ' && !is_blank((unsigned char)*value))
			return false;
	return true;
}

static bool is_date(const char *date)
{
	static const char form[] = "ddddddddTddddddZ";

	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'd' ? date[i] < '0' || date[i] > '9' : date[i] != form[i])
			return false;
	return true;
}

static int check(const struct f3_sigv4 *s)
{
	bool host = false;

	if (s->n_headers > F3_SIGV4_HEADERS_MAX || s->n_query > F3_SIGV4_HEADERS_MAX)
		return -E2BIG;
	if (s->path[0] != '/' || !is_header_name(s->method) || !is_part(s->payload, false) ||
	    !is_date(s->date) || !is_part(s->region, false) || !is_part(s->service, false) ||
	    !is_part(s->access_key, true) || !s->secret_key[0])
		return -EINVAL;
	for (size_t i = 0; i < s->n_headers; i++) {
		const struct f3_sigv4_header *h = &s->headers[i];

		if (!is_header_name(h->name) || !is_header_value(h->value))
			return -EINVAL;
		host |= strlen(h->name) == 4 && to_lower(h->name[0]) == 'h' &&
			to_lower(h->name[1]) == 'o' && to_lower(h->name[2]) == 's' &&
			to_lower(h->name[3]) == 't';
	}
	return host ? 0 : -EINVAL;
}

/* ---- The canonical request ------------------------------------------------------------------- */

/* RFC 3986, 5.2.4, and empty segments are dropped. path begins with '/'. */
static int normalize(const char *path, char *out, size_t size)
{
	size_t n = 0;

	while (*path) {
		const char *segment = path + strspn(path, "/");
		size_t len = strcspn(segment, "/");
		bool last = !segment[len];

		path = segment + len;
		if (len == 2 && memcmp(segment, "..", 2) == 0) {
			while (n && out[--n] != '/')
				;
			len = 0;
		} else if (len == 1 && segment[0] == '.') {
			len = 0;
		}
		if (n + len + 2 > size)
			return -E2BIG;
		/* What is left out at the end leaves its slash there. */
		if (len || last) {
			out[n++] = '/';
			memcpy(out + n, segment, len);
			n += len;
		}
	}
	out[n] = '\0';
	return 0;
}

static void put_path(struct sink *s, const struct f3_sigv4 *sig)
{
	char path[PATH_MAX_BYTES];

	/* In S3 "a//b" and "a/../b" are keys like any other. */
	if (strcmp(sig->service, "s3") == 0)
		return put_encoded(s, sig->path, strlen(sig->path), true);
	s->error = normalize(sig->path, path, sizeof(path));
	if (!s->error)
		put_encoded(s, path, strlen(path), true);
}

/* Where a character stands in the order of encoded text: the end before '%' before the others. */
static unsigned encoded_rank(unsigned char c)
{
	return is_unreserved(c) ? 256u + c : c;
}

static int compare_encoded(const char *a, const char *b)
{
	for (; *a && *a == *b; a++)
		b++;
	return (int)encoded_rank((unsigned char)*a) - (int)encoded_rank((unsigned char)*b);
}

static const char *query_value(const struct f3_sigv4_query *q)
{
	return q->value ? q->value : "";
}

static int compare_query(const void *a, const void *b)
{
	const struct f3_sigv4_query *x = a, *y = b;
	int order = compare_encoded(x->name, y->name);

	return order ? order : compare_encoded(query_value(x), query_value(y));
}

static int compare_header(const void *a, const void *b)
{
	const char *x = ((const struct f3_sigv4_header *)a)->name;
	const char *y = ((const struct f3_sigv4_header *)b)->name;

	for (; *x && to_lower(*x) == to_lower(*y); x++)
		y++;
	return (unsigned char)to_lower(*x) - (unsigned char)to_lower(*y);
}

/* What is alike stays in its order: that of repeated headers counts. */
static void sort(const void *items, size_t n, size_t size, const void **ret_sorted,
		 int (*compare)(const void *, const void *))
{
	for (size_t i = 0; i < n; i++) {
		const void *item = (const char *)items + i * size;
		size_t at = i;

		for (; at && compare(ret_sorted[at - 1], item) > 0; at--)
			ret_sorted[at] = ret_sorted[at - 1];
		ret_sorted[at] = item;
	}
}

static void put_query(struct sink *s, const struct f3_sigv4 *sig)
{
	const void *sorted[F3_SIGV4_HEADERS_MAX];

	sort(sig->query, sig->n_query, sizeof(sig->query[0]), sorted, compare_query);
	for (size_t i = 0; i < sig->n_query; i++) {
		const struct f3_sigv4_query *q = sorted[i];

		if (i)
			put(s, "&", 1);
		put_encoded(s, q->name, strlen(q->name), false);
		put(s, "=", 1);
		put_encoded(s, query_value(q), strlen(query_value(q)), false);
	}
}

static void put_lower(struct sink *s, const char *text)
{
	for (; *text; text++) {
		char c = to_lower(*text);

		put(s, &c, 1);
	}
}

/* Without the blanks around it, one for several of them in between. */
static void put_folded(struct sink *s, const char *value)
{
	bool blank = false, begun = false;

	for (; *value; value++) {
		if (is_blank((unsigned char)*value)) {
			blank = begun;
			continue;
		}
		if (blank)
			put(s, " ", 1);
		put(s, value, 1);
		blank = false;
		begun = true;
	}
}

static void put_headers(struct sink *s, const struct f3_sigv4 *sig)
{
	const void *sorted[F3_SIGV4_HEADERS_MAX];

	sort(sig->headers, sig->n_headers, sizeof(sig->headers[0]), sorted, compare_header);
	for (size_t i = 0; i < sig->n_headers; i++) {
		const struct f3_sigv4_header *h = sorted[i];

		if (i && compare_header(sorted[i - 1], h) == 0) {
			put(s, ",", 1);
		} else {
			if (i)
				put(s, "\n", 1);
			put_lower(s, h->name);
			put(s, ":", 1);
		}
		put_folded(s, h->value);
	}
	put(s, "\n", 1);
}

static void put_signed_headers(struct sink *s, const struct f3_sigv4 *sig)
{
	const void *sorted[F3_SIGV4_HEADERS_MAX];

	sort(sig->headers, sig->n_headers, sizeof(sig->headers[0]), sorted, compare_header);
	for (size_t i = 0; i < sig->n_headers; i++) {
		const struct f3_sigv4_header *h = sorted[i];

		if (i && compare_header(sorted[i - 1], h) == 0)
			continue;
		if (i)
			put(s, ";", 1);
		put_lower(s, h->name);
	}
}

static void put_canonical(struct sink *s, const struct f3_sigv4 *sig)
{
	put_text(s, sig->method);
	put(s, "\n", 1);
	put_path(s, sig);
	put(s, "\n", 1);
	put_query(s, sig);
	put(s, "\n", 1);
	put_headers(s, sig);
	put(s, "\n", 1);
	put_signed_headers(s, sig);
	put(s, "\n", 1);
	put_text(s, sig->payload);
}

int f3_sigv4_canonical(const struct f3_sigv4 *sig, char *out, size_t size)
{
	struct sink s = { .out = out, .size = size };
	int error = check(sig);

	if (error)
		return error;
	if (!size)
		return -E2BIG;
	put_canonical(&s, sig);
	return end_text(&s);
}

/* ---- The string to sign ---------------------------------------------------------------------- */

static int hash_canonical(const struct f3_sigv4 *sig, char ret_hex[F3_SIGV4_HEX])
{
	unsigned char digest[DIGEST_BYTES];
	char piece[256];
	struct sink s = { .out = piece, .size = sizeof(piece), .md = EVP_MD_CTX_new() };

	if (!s.md)
		return -ENOMEM;
	if (EVP_DigestInit_ex(s.md, EVP_sha256(), NULL) != 1)
		s.error = -ENOMEM;
	put_canonical(&s, sig);
	if (!s.error)
		sink_flush(&s);
	if (!s.error && EVP_DigestFinal_ex(s.md, digest, NULL) != 1)
		s.error = -ENOMEM;
	EVP_MD_CTX_free(s.md);
	if (!s.error)
		put_hex(digest, sizeof(digest), ret_hex);
	return s.error;
}

static int make_scope(const struct f3_sigv4 *sig, char *out, size_t size)
{
	int n = snprintf(out, size, "%.8s/%s/%s/aws4_request", sig->date, sig->region,
			 sig->service);

	return n < 0 || (size_t)n >= size ? -E2BIG : 0;
}

int f3_sigv4_to_sign(const struct f3_sigv4 *sig, char *out, size_t size)
{
	char scope[SCOPE_MAX], hash[F3_SIGV4_HEX];
	int error = check(sig), n;

	if (!error)
		error = make_scope(sig, scope, sizeof(scope));
	if (!error)
		error = hash_canonical(sig, hash);
	if (error)
		return error;
	n = snprintf(out, size, "%s\n%s\n%s\n%s", algorithm, sig->date, scope, hash);
	return n < 0 || (size_t)n >= size ? -E2BIG : 0;
}

/* ---- The signature --------------------------------------------------------------------------- */

/* key and ret_mac may be the same. */
static int mac(const unsigned char *key, size_t key_len, const char *text, size_t len,
	       unsigned char ret_mac[DIGEST_BYTES])
{
	unsigned char result[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	int error = 0;

	if (!HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, len, result, &n) ||
	    n != DIGEST_BYTES)
		error = -ENOMEM;
	else
		memcpy(ret_mac, result, DIGEST_BYTES);
	explicit_bzero(result, sizeof(result));
	return error;
}

static int sign(const struct f3_sigv4 *sig, const char *to_sign, char ret_hex[F3_SIGV4_HEX])
{
	const char *const parts[] = { sig->region, sig->service, "aws4_request", to_sign };
	unsigned char start[4 + SECRET_MAX], key[DIGEST_BYTES];
	size_t len = strlen(sig->secret_key);
	int error;

	if (len > SECRET_MAX)
		return -E2BIG;
	memcpy(start, "AWS4", 4);
	memcpy(start + 4, sig->secret_key, len);
	error = mac(start, 4 + len, sig->date, 8, key);
	for (size_t i = 0; !error && i < sizeof(parts) / sizeof(parts[0]); i++)
		error = mac(key, sizeof(key), parts[i], strlen(parts[i]), key);
	if (!error)
		put_hex(key, sizeof(key), ret_hex);
	explicit_bzero(start, sizeof(start));
	explicit_bzero(key, sizeof(key));
	return error;
}

int f3_sigv4_authorize(const struct f3_sigv4 *sig, char ret_auth[F3_SIGV4_AUTH_MAX])
{
	char to_sign[sizeof(algorithm) + F3_SIGV4_DATE + SCOPE_MAX + F3_SIGV4_HEX];
	char scope[SCOPE_MAX], signature[F3_SIGV4_HEX];
	char text[F3_SIGV4_AUTH_MAX] = "";
	struct sink s = { .out = text, .size = sizeof(text) };
	int error = f3_sigv4_to_sign(sig, to_sign, sizeof(to_sign));

	if (!error)
		error = make_scope(sig, scope, sizeof(scope));
	if (!error)
		error = sign(sig, to_sign, signature);
	if (error)
		return error;
	put_text(&s, algorithm);
	put_text(&s, " Credential=");
	put_text(&s, sig->access_key);
	put(&s, "/", 1);
	put_text(&s, scope);
	put_text(&s, ", SignedHeaders=");
	put_signed_headers(&s, sig);
	put_text(&s, ", Signature=");
	put_text(&s, signature);
	error = end_text(&s);
	if (!error)
		memcpy(ret_auth, text, s.len + 1);
	return error;
}

/* ---- Pieces of requests ---------------------------------------------------------------------- */

void f3_sigv4_date(int64_t seconds, char ret_date[F3_SIGV4_DATE])
{
	time_t t = seconds < 0 ? 0 : seconds > LAST_SECOND ? LAST_SECOND : (time_t)seconds;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(ret_date, F3_SIGV4_DATE, "%Y%m%dT%H%M%SZ", &tm);
}

int f3_sigv4_hash(const void *bytes, size_t len, char ret_hex[F3_SIGV4_HEX])
{
	unsigned char digest[DIGEST_BYTES];

	if (EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	put_hex(digest, sizeof(digest), ret_hex);
	return 0;
}
