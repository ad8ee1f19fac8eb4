/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/s3_meta.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/base/clock.h"
#include "fs/base/text.h"
#include "fs/object/digest.h"
#include "fs/object/sigv4.h"

#define META "x-amz-meta-"
#define XATTRS_MAX (64u << 10)

static const char *const ours[] = { "mode", "uid",   "gid",       "mtime", "atime",
				    "rdev", "xattr", "f3-xattrs", "f3-gen" };

bool f3_s3_meta_ours(const char *name)
{
	if (strncmp(name, META, sizeof(META) - 1) != 0)
		return false;
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (!strcmp(name + sizeof(META) - 1, ours[i]))
			return true;
	return false;
}

/* ---- Out ---- */

static void put_time(struct f3_s3_headers *h, const char *name, int64_t ns)
{
	struct timespec ts = f3_timespec_from_ns(ns);
	int64_t s = ts.tv_sec;
	long frac = ts.tv_nsec;

	/* The decimals of a time before the epoch count down from zero, as in any decimal number. */
	if (s < 0 && frac) {
		s++;
		frac = (long)F3_NS_PER_SEC - frac;
	}
	f3_s3_headers_addf(h, name, "%s%" PRId64 ".%09ld", s == 0 && ns < 0 ? "-" : "", s, frac);
}

struct record {
	const char *name;
	size_t name_len;
	const uint8_t *value;
	size_t value_len;
};

static bool next_record(struct f3_rd *rd, struct record *ret_rec)
{
	if (!rd->left)
		return false;
	ret_rec->name = (const char *)f3_rd_str16(rd, &ret_rec->name_len);
	ret_rec->value_len = f3_rd_u32(rd);
	ret_rec->value = f3_rd_bytes(rd, ret_rec->value_len);
	return !rd->error && ret_rec->name_len;
}

/* {"user.a":"base64", ...} percent-encoded. False: a name is not UTF-8. */
static bool xattrs_as_json(const struct f3_obj_attr *attr, struct f3_buf *out)
{
	struct f3_buf json;
	struct record rec;
	struct f3_rd rd;
	bool fits = true, first = true;

	f3_buf_init(&json, XATTRS_MAX);
	f3_rd_init(&rd, attr->xattrs, attr->xattrs_len);
	f3_buf_put(&json, "{", 1);
	while (next_record(&rd, &rec)) {
		fits &= f3_utf8_text(rec.name, rec.name_len);
		if (!first)
			f3_buf_put(&json, ",", 1);
		first = false;
		f3_buf_put(&json, "\"", 1);
		f3_text_escape(&json, rec.name, rec.name_len, F3_ESCAPE_JSON);
		f3_buf_put(&json, "\":\"", 3);
		f3_base64_put(&json, rec.value, rec.value_len);
		f3_buf_put(&json, "\"", 1);
	}
	f3_buf_put(&json, "}", 1);
	for (size_t i = 0; i < json.len; i++) {
		char text[4];
		int n = f3_sigv4_encode((const char *)json.data + i, 1, false, text, sizeof(text));

		f3_buf_put(out, text, n > 0 ? (size_t)n : 0);
	}
	f3_buf_put(out, "", 1);
	fits &= !json.error && !out->error;
	f3_buf_done(&json);
	return fits;
}

static void put_xattrs(struct f3_s3_headers *h, const struct f3_obj_attr *attr)
{
	struct f3_buf text;

	f3_buf_init(&text, XATTRS_MAX);
	if (xattrs_as_json(attr, &text)) {
		f3_s3_headers_add(h, META "xattr", (const char *)text.data);
	} else {
		f3_buf_reset(&text);
		f3_base64_put(&text, attr->xattrs, attr->xattrs_len);
		f3_buf_put(&text, "", 1);
		if (text.error)
			h->error = text.error == -ENOMEM ? -ENOMEM : -E2BIG;
		else
			f3_s3_headers_add(h, META "f3-xattrs", (const char *)text.data);
	}
	f3_buf_done(&text);
}

void f3_s3_meta_put(struct f3_s3_headers *h, const struct f3_obj_attr *attr,
		    const struct f3_obj_gen *gen)
{
	if (attr && attr->have_mode)
		f3_s3_headers_addf(h, META "mode", "%" PRIu32,
				   attr->mode & S_IFMT ? attr->mode : attr->mode | S_IFREG);
	if (attr && attr->have_owner) {
		f3_s3_headers_addf(h, META "uid", "%" PRIu32, attr->uid);
		f3_s3_headers_addf(h, META "gid", "%" PRIu32, attr->gid);
	}
	if (attr && attr->have_mtime)
		put_time(h, META "mtime", attr->mtime_ns);
	if (attr && attr->have_atime)
		put_time(h, META "atime", attr->atime_ns);
	if (attr && attr->rdev)
		f3_s3_headers_addf(h, META "rdev", "%" PRIu64, attr->rdev);
	if (attr && attr->xattrs_len)
		put_xattrs(h, attr);
	if (gen) {
		char text[F3_OBJ_GEN_TEXT];

		f3_obj_gen_format(gen, text);
		f3_s3_headers_add(h, META "f3-gen", text);
	}
}

/* ---- In ---- */

static bool number(const char *text, int base, uint64_t max, uint64_t *ret_v)
{
	uint64_t v = 0;

	if (!text || !*text)
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned)(unsigned char)*text - '0';

		if (digit >= (unsigned)base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit, &v) || v > max)
			return false;
	}
	*ret_v = v;
	return true;
}

static bool known_type(uint64_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return true;
	default:
		return false;
	}
}

static bool get_mode(const char *text, uint32_t *ret_mode)
{
	uint64_t dec = 0, oct = 0;
	bool is_dec = number(text, 10, UINT32_MAX, &dec);
	bool is_oct = number(text, 8, 0177777, &oct);

	/* 33188 is a mode with a type in decimal; 100644 and 0644 are octal. */
	if (is_dec && dec <= 0177777 && known_type(dec) && *text != '0')
		*ret_mode = (uint32_t)dec;
	else if (is_oct && (known_type(oct) || (*text == '0' && oct <= 07777)))
		*ret_mode = (uint32_t)oct;
	else if (is_dec && dec <= 07777)
		*ret_mode = (uint32_t)dec;
	else
		return false;
	return true;
}

/* "[-]SECONDS[.DECIMALS]" */
static bool get_time(const char *text, int64_t *ret_ns)
{
	bool minus = text && *text == '-';
	int64_t s = 0, frac = 0, scale = (int64_t)F3_NS_PER_SEC, ns;

	if (!text)
		return false;
	text += minus;
	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(s, 10, &s) ||
		    __builtin_add_overflow(s, (int64_t)(*text - '0'), &s))
			return false;
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++)
			if (scale > 1) {
				scale /= 10;
				frac += (*text - '0') * scale;
			}
	if (*text || __builtin_mul_overflow(s, (int64_t)F3_NS_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, frac, &ns))
		return false;
	*ret_ns = minus ? -ns : ns;
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. */
static size_t percent_decode(char *text)
{
	char *out = text;

	for (const char *p = text; *p; p++) {
		if (*p == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
			*out++ = (char)(hex(p[1]) * 16 + hex(p[2]));
			p += 2;
		} else {
			*out++ = *p;
		}
	}
	*out = '\0';
	return (size_t)(out - text);
}

static void add_json_xattr(struct f3_buf *out, const char *name, const char *base64)
{
	struct f3_buf value;

	f3_buf_init(&value, XATTRS_MAX);
	if (*name && !f3_base64_get(base64, strlen(base64), &value)) {
		f3_buf_put_str16(out, name, strlen(name));
		f3_buf_put_u32(out, (uint32_t)value.len);
		f3_buf_put(out, value.data, value.len);
	}
	f3_buf_done(&value);
}

static void json_xattrs(const char *header, struct f3_buf *out)
{
	char *text = strdup(header);
	const char *name;
	json_t *json, *value;

	if (!text) {
		out->error = -ENOMEM;
		return;
	}
	json = json_loadb(text, percent_decode(text), 0, NULL);
	json_object_foreach(json, name, value) if (json_is_string(value))
		add_json_xattr(out, name, json_string_value(value));
	json_decref(json);
	free(text);
}

static int get_xattrs(const struct f3_s3_headers *h, struct f3_obj_info *info, void **ret_heap)
{
	const char *json = f3_s3_headers_get(h, META "xattr");
	const char *raw = f3_s3_headers_get(h, META "f3-xattrs");
	struct f3_buf out;
	int r = 0;

	if (!json && !raw)
		return 0;
	f3_buf_init(&out, XATTRS_MAX);
	if (raw)
		(void)f3_base64_get(raw, strlen(raw), &out);
	else
		json_xattrs(json, &out);
	if (out.error == -ENOMEM) {
		r = -ENOMEM;
	} else if (!out.error && out.len) {
		*ret_heap = malloc(out.len);
		r = *ret_heap ? 0 : -ENOMEM;
		if (!r) {
			memcpy(*ret_heap, out.data, out.len);
			info->attr.xattrs = *ret_heap;
			info->attr.xattrs_len = out.len;
		}
	}
	f3_buf_done(&out);
	return r;
}

int f3_s3_meta_get(const struct f3_s3_headers *h, struct f3_obj_info *info, void **ret_heap)
{
	struct f3_obj_attr *attr = &info->attr;
	const char *etag = f3_s3_headers_get(h, "etag");
	const char *gen = f3_s3_headers_get(h, META "f3-gen");
	const char *modified = f3_s3_headers_get(h, "last-modified");
	uint64_t uid = 0, gid = 0;

	*ret_heap = NULL;
	memset(attr, 0, sizeof(*attr));
	f3_s3_etag(etag ? etag : "", info->etag);
	info->modified_ns = modified ? f3_s3_time_ns(modified) : 0;
	info->have_attr = true;
	attr->have_mode = get_mode(f3_s3_headers_get(h, META "mode"), &attr->mode);
	attr->have_owner = number(f3_s3_headers_get(h, META "uid"), 10, UINT32_MAX - 1, &uid) &&
			   number(f3_s3_headers_get(h, META "gid"), 10, UINT32_MAX - 1, &gid);
	if (attr->have_owner) {
		attr->uid = (uint32_t)uid;
		attr->gid = (uint32_t)gid;
	}
	attr->have_mtime = get_time(f3_s3_headers_get(h, META "mtime"), &attr->mtime_ns);
	attr->have_atime = get_time(f3_s3_headers_get(h, META "atime"), &attr->atime_ns);
	if (!number(f3_s3_headers_get(h, META "rdev"), 10, UINT64_MAX, &attr->rdev))
		attr->rdev = 0;
	info->have_gen = gen && !f3_obj_gen_parse(gen, &info->gen);
	return get_xattrs(h, info, ret_heap);
}

void f3_s3_etag(const char *text, char ret_etag[F3_OBJ_ETAG_MAX + 1])
{
	size_t len = strlen(text);

	if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
		text++;
		len -= 2;
	}
	/* It goes into headers again. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			len = 0;
	if (len > F3_OBJ_ETAG_MAX)
		len = F3_OBJ_ETAG_MAX;
	memcpy(ret_etag, text, len);
	ret_etag[len] = '\0';
}

int64_t f3_s3_time_ns(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t frac = 0, scale = (int64_t)F3_NS_PER_SEC;
	int64_t ns;

	if (rest && *rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++)
			if (scale > 1) {
				scale /= 10;
				frac += (*rest - '0') * scale;
			}
	if (!rest) {
		memset(&tm, 0, sizeof(tm));
		rest = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	if (!rest || __builtin_mul_overflow((int64_t)timegm(&tm), (int64_t)F3_NS_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, frac, &ns))
		return 0;
	return ns;
}

/* ---- Content-Type ---- */

static const struct ending {
	const char *ending, *type;
} endings[] = {
	{ "7z", "application/x-7z-compressed" },
	{ "avi", "video/x-msvideo" },
	{ "avif", "image/avif" },
	{ "avro", "application/avro" },
	{ "bmp", "image/bmp" },
	{ "bz2", "application/x-bzip2" },
	{ "c", "text/x-c" },
	{ "css", "text/css" },
	{ "csv", "text/csv" },
	{ "doc", "application/msword" },
	{ "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
	{ "epub", "application/epub+zip" },
	{ "flac", "audio/flac" },
	{ "gif", "image/gif" },
	{ "gz", "application/gzip" },
	{ "h", "text/x-c" },
	{ "htm", "text/html" },
	{ "html", "text/html" },
	{ "ico", "image/vnd.microsoft.icon" },
	{ "ics", "text/calendar" },
	{ "jar", "application/java-archive" },
	{ "jpeg", "image/jpeg" },
	{ "jpg", "image/jpeg" },
	{ "js", "text/javascript" },
	{ "json", "application/json" },
	{ "jsonl", "application/jsonl" },
	{ "log", "text/plain" },
	{ "m4a", "audio/mp4" },
	{ "md", "text/markdown" },
	{ "mjs", "text/javascript" },
	{ "mkv", "video/x-matroska" },
	{ "mov", "video/quicktime" },
	{ "mp3", "audio/mpeg" },
	{ "mp4", "video/mp4" },
	{ "mpeg", "video/mpeg" },
	{ "ndjson", "application/x-ndjson" },
	{ "oga", "audio/ogg" },
	{ "ogg", "audio/ogg" },
	{ "ogv", "video/ogg" },
	{ "otf", "font/otf" },
	{ "parquet", "application/vnd.apache.parquet" },
	{ "pdf", "application/pdf" },
	{ "png", "image/png" },
	{ "ppt", "application/vnd.ms-powerpoint" },
	{ "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" },
	{ "py", "text/x-python" },
	{ "rtf", "application/rtf" },
	{ "sh", "application/x-sh" },
	{ "sqlite", "application/vnd.sqlite3" },
	{ "svg", "image/svg+xml" },
	{ "tar", "application/x-tar" },
	{ "tif", "image/tiff" },
	{ "tiff", "image/tiff" },
	{ "toml", "application/toml" },
	{ "ts", "video/mp2t" },
	{ "tsv", "text/tab-separated-values" },
	{ "ttf", "font/ttf" },
	{ "txt", "text/plain" },
	{ "wasm", "application/wasm" },
	{ "wav", "audio/wav" },
	{ "weba", "audio/webm" },
	{ "webm", "video/webm" },
	{ "webp", "image/webp" },
	{ "woff", "font/woff" },
	{ "woff2", "font/woff2" },
	{ "xhtml", "application/xhtml+xml" },
	{ "xls", "application/vnd.ms-excel" },
	{ "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
	{ "xml", "application/xml" },
	{ "xz", "application/x-xz" },
	{ "yaml", "application/yaml" },
	{ "yml", "application/yaml" },
	{ "zip", "application/zip" },
	{ "zst", "application/zstd" },
};

static int by_ending(const void *key, const void *entry)
{
	return strcasecmp(key, ((const struct ending *)entry)->ending);
}

const char *f3_s3_content_type(const char *key)
{
	const char *name = strrchr(key, '/'), *dot;
	const struct ending *e;

	name = name ? name + 1 : key;
	dot = strrchr(name, '.');
	e = dot && dot != name ? bsearch(dot + 1, endings, sizeof(endings) / sizeof(endings[0]),
					 sizeof(endings[0]), by_ending) :
				 NULL;
	return e ? e->type : "application/octet-stream";
}
