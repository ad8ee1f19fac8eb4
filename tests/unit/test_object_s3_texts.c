/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said and understood of S3 without a server: headers, metadata, XML, verdicts, places,
 * sums.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fs/base/crc32c.h"
#include "fs/object/digest.h"
#include "fs/object/s3_answer.h"
#include "fs/object/s3_headers.h"
#include "fs/object/s3_meta.h"
#include "fs/object/s3_place.h"
#include "fs/object/s3_xml.h"
#include "tests/unit/unit.h"

/* ---- Headers --------------------------------------------------------------------------------- */

START_TEST(headers_are_bounded)
{
	struct f3_s3_headers h;
	char *big = malloc(F3_S3_HEADERS_BYTES + 1);

	ck_assert_ptr_nonnull(big);
	memset(big, 'x', F3_S3_HEADERS_BYTES);
	big[F3_S3_HEADERS_BYTES] = 0;
	f3_s3_headers_init(&h);
	f3_s3_headers_add(&h, "a", "1");
	f3_s3_headers_add(&h, "none", "");
	ck_assert_str_eq(f3_s3_headers_line(&h, 0), "a: 1");
	/* as the engine wants it */
	ck_assert_str_eq(f3_s3_headers_line(&h, 1), "none;");
	ck_assert_str_eq(f3_s3_headers_value(&h, 1), "");
	ck_assert_ptr_null(f3_s3_headers_get(&h, "b"));
	for (unsigned i = 2; i < F3_S3_HEADERS_MAX; i++)
		f3_s3_headers_addf(&h, "n", "%u", i);
	ck_assert_int_eq(h.error, 0);
	f3_s3_headers_add(&h, "more", "1");
	ck_assert_int_eq(h.error, -E2BIG);
	ck_assert_ptr_null(f3_s3_headers_get(&h, "more"));
	f3_s3_headers_reset(&h);
	f3_s3_headers_add(&h, "big", big);
	ck_assert_int_eq(h.error, -E2BIG);
	ck_assert_uint_eq(h.n, 0);
	f3_s3_headers_done(&h);
	free(big);
}
END_TEST

/* ---- Metadata -------------------------------------------------------------------------------- */

static struct f3_obj_info read_one(const char *name, const char *value, void **ret_heap)
{
	struct f3_obj_info info = { 0 };
	struct f3_s3_headers h;

	f3_s3_headers_init(&h);
	f3_s3_headers_add(&h, name, value);
	ck_assert_int_eq(f3_s3_meta_get(&h, &info, ret_heap), 0);
	f3_s3_headers_done(&h);
	return info;
}

START_TEST(modes)
{
	static const struct {
		const char *text;
		uint32_t mode; /* 0: none */
	} cases[] = { { "33188", S_IFREG | 0644 },
		      { "16877", S_IFDIR | 0755 },
		      { "41471", S_IFLNK | 0777 },
		      { "100644", S_IFREG | 0644 },
		      { "0100644", S_IFREG | 0644 },
		      { "40755", S_IFDIR | 0755 },
		      { "120777", S_IFLNK | 0777 },
		      { "0644", 0644 },
		      { "420", 0644 },
		      { "", 0 },
		      { "-1", 0 },
		      { "33188x", 0 },
		      { " 33188", 0 },
		      { "99999999999999999999999", 0 },
		      { "4294967295", 0 },
		      { "rwxr-xr-x", 0 } };
	void *heap;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct f3_obj_info info = read_one("x-amz-meta-mode", cases[i].text, &heap);

		ck_assert_msg(info.attr.have_mode == (cases[i].mode != 0) &&
				      info.attr.mode == cases[i].mode,
			      "\"%s\" is %o", cases[i].text, info.attr.mode);
	}
}
END_TEST

START_TEST(times)
{
	static const struct {
		const char *text;
		bool good;
		int64_t ns;
	} cases[] = { { "0", true, 0 },
		      { "1700000000", true, 1700000000000000000 },
		      { "1700000000.5", true, 1700000000500000000 },
		      { "1700000000.123456789", true, 1700000000123456789 },
		      { "1700000000.1234567899999", true, 1700000000123456789 },
		      { "-1.5", true, -1500000000 },
		      { "-0.25", true, -250000000 },
		      { "9223372036", true, 9223372036000000000 },
		      { "9223372037", false, 0 },
		      { "9223372036854775807", false, 0 },
		      { "99999999999999999999", false, 0 },
		      { "", false, 0 },
		      { "-", false, 0 },
		      { "--1", false, 0 },
		      { "1e9", false, 0 },
		      { "1.2.3", false, 0 },
		      { ".5", false, 0 } };
	static const int64_t there_and_back[] = {
		0, 1, -1, -999999999, -1000000000, -1000000001, 1700000000123456789, INT64_MAX
	};
	void *heap;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct f3_obj_info info = read_one("x-amz-meta-mtime", cases[i].text, &heap);

		ck_assert_msg(info.attr.have_mtime == cases[i].good &&
				      info.attr.mtime_ns == cases[i].ns,
			      "\"%s\"", cases[i].text);
	}
	for (size_t i = 0; i < sizeof(there_and_back) / sizeof(there_and_back[0]); i++) {
		struct f3_obj_attr attr = { .have_mtime = true, .mtime_ns = there_and_back[i] };
		struct f3_obj_info info = { 0 };
		struct f3_s3_headers h;

		f3_s3_headers_init(&h);
		f3_s3_meta_put(&h, &attr, NULL);
		ck_assert_int_eq(f3_s3_meta_get(&h, &info, &heap), 0);
		ck_assert(info.attr.have_mtime && info.attr.mtime_ns == there_and_back[i]);
		f3_s3_headers_done(&h);
	}
	ck_assert_int_eq(f3_s3_time_ns("Wed, 21 Oct 2015 07:28:00 GMT"), 1445412480000000000);
	ck_assert_int_eq(f3_s3_time_ns("2015-10-21T07:28:00.250Z"), 1445412480250000000);
	ck_assert_int_eq(f3_s3_time_ns("9999-10-21T07:28:00Z"), 0);
	ck_assert_int_eq(f3_s3_time_ns("yesterday"), 0);
	ck_assert_int_eq(f3_s3_time_ns(""), 0);
}
END_TEST

static void xattrs_there_and_back(const char *bytes, size_t len, const char *header)
{
	struct f3_obj_attr attr = { .xattrs = bytes, .xattrs_len = len };
	struct f3_obj_info info = { 0 };
	struct f3_s3_headers h;
	void *heap;

	f3_s3_headers_init(&h);
	f3_s3_meta_put(&h, &attr, NULL);
	ck_assert_int_eq(h.error, 0);
	ck_assert_ptr_nonnull(f3_s3_headers_get(&h, header));
	ck_assert_int_eq(f3_s3_meta_get(&h, &info, &heap), 0);
	ck_assert_uint_eq(info.attr.xattrs_len, len);
	ck_assert_mem_eq(info.attr.xattrs, bytes, len);
	free(heap);
	f3_s3_headers_done(&h);
}

START_TEST(xattrs)
{
	static const char utf8[] = "\0\6user.a\0\0\0\3one\0\7user.\xc3\xbc\0\0\0\4\0\xff\"\\";
	static const char other[] = "\0\6user.\xff\0\0\0\3one";
	static const char *const bad[] = { "%7B%22user.a%22%3A%22?%22%7D",
					   "{",
					   "[]",
					   "{\"a\":1}",
					   "%00",
					   "%7B%7D",
					   "{\"\":\"YQ==\"}",
					   "" };
	void *heap;

	xattrs_there_and_back(utf8, sizeof(utf8) - 1, "x-amz-meta-xattr");
	xattrs_there_and_back(other, sizeof(other) - 1, "x-amz-meta-f3-xattrs");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct f3_obj_info info = read_one("x-amz-meta-xattr", bad[i], &heap);

		ck_assert_msg(!info.attr.xattrs_len && !heap, "\"%s\"", bad[i]);
	}
	ck_assert(f3_s3_meta_ours("x-amz-meta-mode") && f3_s3_meta_ours("x-amz-meta-f3-gen"));
	ck_assert(!f3_s3_meta_ours("x-amz-meta-modes") && !f3_s3_meta_ours("mode"));
}
END_TEST

START_TEST(etags)
{
	char etag[F3_OBJ_ETAG_MAX + 1], many[300];

	f3_s3_etag("\"abc\"", etag);
	ck_assert_str_eq(etag, "abc");
	f3_s3_etag("abc", etag);
	ck_assert_str_eq(etag, "abc");
	f3_s3_etag("\"", etag);
	ck_assert_str_eq(etag, "\"");
	/* would be a header of its own */
	f3_s3_etag("\"a\r\nx-evil: 1\"", etag);
	ck_assert_str_eq(etag, "");
	memset(many, 'a', sizeof(many));
	many[sizeof(many) - 1] = 0;
	f3_s3_etag(many, etag);
	ck_assert_uint_eq(strlen(etag), F3_OBJ_ETAG_MAX);
}
END_TEST

/* The table is searched by halves: all of these are only found if it is in order. */
START_TEST(content_types)
{
	static const char *const known[] = {
		"7z",   "avi",   "avif",  "avro",   "bmp",     "bz2", "c",    "css",   "csv",
		"doc",  "docx",  "epub",  "flac",   "gif",     "gz",  "h",    "htm",   "html",
		"ico",  "ics",   "jar",   "jpeg",   "jpg",     "js",  "json", "jsonl", "log",
		"m4a",  "md",    "mjs",   "mkv",    "mov",     "mp3", "mp4",  "mpeg",  "ndjson",
		"oga",  "ogg",   "ogv",   "otf",    "parquet", "pdf", "png",  "ppt",   "pptx",
		"py",   "rtf",   "sh",    "sqlite", "svg",     "tar", "tif",  "tiff",  "toml",
		"ts",   "tsv",   "ttf",   "txt",    "wasm",    "wav", "weba", "webm",  "webp",
		"woff", "woff2", "xhtml", "xls",    "xlsx",    "xml", "xz",   "yaml",  "yml",
		"zip",  "zst"
	};
	char name[64];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		snprintf(name, sizeof(name), "a.b/c.%s", known[i]);
		ck_assert_msg(strcmp(f3_s3_content_type(name), "application/octet-stream"), "%s",
			      known[i]);
	}
	ck_assert_str_eq(f3_s3_content_type("A.PNG"), "image/png");
	ck_assert_str_eq(f3_s3_content_type("a.png/b"), "application/octet-stream");
	ck_assert_str_eq(f3_s3_content_type(".png"), "application/octet-stream");
	ck_assert_str_eq(f3_s3_content_type("a."), "application/octet-stream");
}
END_TEST

/* ---- Verdicts -------------------------------------------------------------------------------- */

START_TEST(verdicts)
{
	static const struct {
		unsigned status;
		const char *code;
		enum f3_obj_cond cond;
		enum f3_s3_verdict verdict;
		int error;
	} cases[] = {
		{ 200, "", F3_OBJ_ANY, F3_S3_DONE, 0 },
		{ 204, "", F3_OBJ_ANY, F3_S3_DONE, 0 },
		{ 200, "InternalError", F3_OBJ_ANY, F3_S3_UNKNOWN, -EIO },
		{ 200, "SlowDown", F3_OBJ_ANY, F3_S3_AGAIN, -EBUSY },
		{ 404, "NoSuchKey", F3_OBJ_ANY, F3_S3_ERROR, -ENOENT },
		{ 404, "", F3_OBJ_ANY, F3_S3_ERROR, -ENOENT },
		{ 404, "NoSuchBucket", F3_OBJ_ANY, F3_S3_ERROR, -ENOTCONN },
		/* not the object, for all that is known */
		{ 404, "NoSuchWhatever", F3_OBJ_ANY, F3_S3_ERROR, -EIO },
		{ 404, "XAdminUserNotFound", F3_OBJ_ANY, F3_S3_KEYS, -EACCES },
		{ 412, "PreconditionFailed", F3_OBJ_ABSENT, F3_S3_ERROR, -EEXIST },
		{ 412, "", F3_OBJ_MATCH, F3_S3_ERROR, -ESTALE },
		{ 200, "PreconditionFailed", F3_OBJ_MATCH, F3_S3_ERROR, -ESTALE },
		{ 500, "", F3_OBJ_ANY, F3_S3_UNKNOWN, -EIO },
		{ 503, "SlowDown", F3_OBJ_ANY, F3_S3_AGAIN, -EBUSY },
		{ 503, "", F3_OBJ_ANY, F3_S3_UNKNOWN, -EIO },
		{ 429, "", F3_OBJ_ANY, F3_S3_AGAIN, -EBUSY },
		{ 409, "ConditionalRequestConflict", F3_OBJ_MATCH, F3_S3_UNKNOWN, -EAGAIN },
		{ 403, "", F3_OBJ_ANY, F3_S3_ERROR, -EACCES },
		{ 403, "RequestTimeTooSkewed", F3_OBJ_ANY, F3_S3_CLOCK, -EACCES },
		{ 400, "ExpiredToken", F3_OBJ_ANY, F3_S3_KEYS, -EACCES },
		{ 301, "", F3_OBJ_ANY, F3_S3_REGION, -EREMOTE },
		{ 416, "", F3_OBJ_ANY, F3_S3_ERROR, -ERANGE },
		{ 507, "", F3_OBJ_ANY, F3_S3_ERROR, -ENOSPC },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int error = 1;
		enum f3_s3_verdict v =
			f3_s3_verdict(cases[i].status, cases[i].code, cases[i].cond, &error);

		ck_assert_msg(v == cases[i].verdict && error == cases[i].error, "%u \"%s\": %d %d",
			      cases[i].status, cases[i].code, v, error);
	}
}
END_TEST

static bool error_body(const char *text, char code[F3_S3_CODE_MAX + 1], char message[20])
{
	return f3_s3_error_body(text, strlen(text), code, message, 20);
}

START_TEST(error_bodies)
{
	char code[F3_S3_CODE_MAX + 1], message[20], many[300];

	ck_assert(error_body("<Error><Code>A</Code><Message>b c</Message></Error>", code, message));
	ck_assert_str_eq(code, "A");
	ck_assert_str_eq(message, "b c");
	/* these go to logs */
	ck_assert(error_body(
		"<Error><Code>A&#10;B\xc3\xbc</Code><Message>x&#10;y&#127;</Message></Error>", code,
		message));
	ck_assert_str_eq(code, "A?B??");
	ck_assert_str_eq(message, "x?y?");
	/* cut off: what was read holds */
	ck_assert(error_body("<Error><Code>A</Code><Mess", code, message));
	ck_assert_str_eq(code, "A");
	snprintf(many, sizeof(many), "<Error><Code>%0*d</Code><Message>%0*d</Message></Error>", 90,
		 0, 90, 0);
	ck_assert(error_body(many, code, message));
	ck_assert_uint_eq(strlen(code), F3_S3_CODE_MAX);
	ck_assert_uint_eq(strlen(message), 19);
	ck_assert(!error_body("", code, message));
	ck_assert(!error_body("<html><Code>A</Code></html>", code, message));
	ck_assert_str_eq(code, "");
	ck_assert(!error_body("it does not work", code, message));
}
END_TEST

/* ---- XML ------------------------------------------------------------------------------------- */

static int count(void *arg, const char *path, const char *text, size_t len)
{
	unsigned *n = arg;

	ck_assert_uint_eq(strlen(text), len);
	if (!strcmp(path, "a/b"))
		(*n)++;
	return strcmp(text, "stop") ? 0 : -ENOTTY;
}

static int parse(const char *text, unsigned *ret_n)
{
	const struct f3_xml_events events = { .text = count, .arg = ret_n };

	*ret_n = 0;
	return f3_xml_parse(text, strlen(text), &events);
}

START_TEST(xml)
{
	char *big = malloc(F3_XML_TEXT_MAX + 64), deep[F3_XML_DEPTH_MAX * 8] = "";
	unsigned n;

	ck_assert_ptr_nonnull(big);
	ck_assert_int_eq(parse("<a><b>1</b><b/></a>", &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(parse("<x:a xmlns:x='urn:x'><x:b>1</x:b></x:a>", &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(parse("<a><b>stop</b></a>", &n), -ENOTTY);
	ck_assert_int_eq(parse("", &n), -EBADMSG);
	ck_assert_int_eq(parse("<a><b>1</b>", &n), -EBADMSG);
	ck_assert_int_eq(parse("<a><b>1</a></b>", &n), -EBADMSG);
	ck_assert_int_eq(parse("<!DOCTYPE a [<!ENTITY e 'x'>]><a><b>&e;</b></a>", &n), -EBADMSG);
	ck_assert_uint_eq(n, 0);
	for (int longer = 0; longer < 2; longer++) {
		snprintf(big, F3_XML_TEXT_MAX + 64, "<a><b>%0*d</b></a>", F3_XML_TEXT_MAX + longer,
			 0);
		ck_assert_int_eq(parse(big, &n), longer ? -EBADMSG : 0);
	}
	for (int i = 0; i < F3_XML_DEPTH_MAX; i++)
		memcpy(deep + strlen(deep), "<d>", 4);
	for (int i = 0; i < F3_XML_DEPTH_MAX; i++)
		memcpy(deep + strlen(deep), "</d>", 5);
	ck_assert_int_eq(parse(deep, &n), 0);
	snprintf(big, 200, "<d>%s</d>", deep);
	ck_assert_int_eq(parse(big, &n), -EBADMSG);
	snprintf(big, F3_XML_TEXT_MAX, "<x%0*d/>", F3_XML_PATH_MAX, 0);
	ck_assert_int_eq(parse(big, &n), -EBADMSG);
	free(big);
}
END_TEST

/* ---- Places ---------------------------------------------------------------------------------- */

static int place(const char *url, const char *endpoint, enum f3_s3_style style,
		 struct f3_s3_place *ret_p)
{
	struct f3_err err = F3_ERR_INIT;
	int r = f3_s3_place_parse(url, endpoint, "eu-1", style, ret_p, &err);

	if (r)
		ck_assert(err.text[0] && !strstr(err.text, "secret"));
	return r;
}

START_TEST(places)
{
	char path[F3_S3_PATH_MAX], key[F3_OBJ_KEY_MAX + 1], url[800];
	struct f3_s3_place p;

	ck_assert_int_eq(place("s3://bucket/p//", NULL, F3_S3_STYLE_AUTO, &p), 0);
	ck_assert_str_eq(p.base, "https://bucket.s3.eu-1.amazonaws.com");
	ck_assert_str_eq(p.prefix, "p/");
	ck_assert_int_eq(f3_s3_place_path(&p, "a b", true, path), 0);
	ck_assert_str_eq(path, "/p/a b/");
	ck_assert_int_eq(place("s3://buck.et", NULL, F3_S3_STYLE_AUTO, &p), 0);
	ck_assert_str_eq(p.base, "https://s3.eu-1.amazonaws.com");
	ck_assert_int_eq(f3_s3_place_path(&p, "", true, path), 0);
	ck_assert_str_eq(path, "/buck.et/");
	ck_assert_int_eq(f3_s3_place_path(&p, NULL, false, path), 0);
	ck_assert_str_eq(path, "/buck.et");
	ck_assert_int_eq(place("s3://bucket", "http://[::1]:80/", F3_S3_STYLE_AUTO, &p), 0);
	ck_assert(!p.tls && p.path_style);
	ck_assert_str_eq(p.host, "[::1]");
	ck_assert_int_eq(place("s3://bucket", "https://h:443", F3_S3_STYLE_HOST, &p), 0);
	ck_assert_str_eq(p.base, "https://bucket.h");
	ck_assert_int_eq(place("s3://bucket", "http://h:443", F3_S3_STYLE_AUTO, &p), 0);
	ck_assert_str_eq(p.host, "h:443");

	ck_assert_int_eq(place("s3://bu", NULL, F3_S3_STYLE_AUTO, &p), -EINVAL);
	ck_assert_int_eq(place("s3://-bucket", NULL, F3_S3_STYLE_AUTO, &p), -EINVAL);
	ck_assert_int_eq(place("s3://b@cket", NULL, F3_S3_STYLE_AUTO, &p), -EINVAL);
	ck_assert_int_eq(place("s3://bucket", "h", F3_S3_STYLE_AUTO, &p), -EINVAL);
	ck_assert_int_eq(place("s3://bucket", "http://", F3_S3_STYLE_AUTO, &p), -EINVAL);
	ck_assert_int_eq(place("s3://bucket", "http://u:secret@h", F3_S3_STYLE_AUTO, &p), -EINVAL);
	ck_assert_int_eq(place("s3://bucket", "http://h/p", F3_S3_STYLE_AUTO, &p), -EINVAL);
	snprintf(url, sizeof(url), "s3://bucket/%0*d", F3_OBJ_KEY_MAX / 2 + 1, 0);
	ck_assert_int_eq(place(url, NULL, F3_S3_STYLE_AUTO, &p), -EINVAL);

	/* 1,024 bytes with the prefix and the slash of a directory */
	ck_assert_int_eq(place("s3://bucket/p", NULL, F3_S3_STYLE_PATH, &p), 0);
	snprintf(key, sizeof(key), "%0*d", F3_OBJ_KEY_MAX - 2, 0);
	ck_assert_int_eq(f3_s3_place_path(&p, key, false, path), 0);
	ck_assert_int_eq(f3_s3_place_path(&p, key, true, path), -ENAMETOOLONG);
}
END_TEST

/* ---- Sums ------------------------------------------------------------------------------------ */

START_TEST(digests)
{
	static const struct {
		const char *plain, *text;
	} rfc4648[] = { { "", "" },
			{ "f", "Zg==" },
			{ "fo", "Zm8=" },
			{ "foo", "Zm9v" },
			{ "foob", "Zm9vYg==" },
			{ "fooba", "Zm9vYmE=" },
			{ "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Z", "Zg=", "Zg===", "Zm9v\n", "Z!==", "Zg==Zg==" };
	char base64[F3_MD5_BASE64];
	char hex[F3_SHA256_HEX];
	struct f3_sha256 sha;
	struct f3_buf out;
	uint32_t crc;

	f3_buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof(rfc4648) / sizeof(rfc4648[0]); i++) {
		f3_buf_reset(&out);
		f3_base64_put(&out, rfc4648[i].plain, strlen(rfc4648[i].plain));
		ck_assert_uint_eq(out.len, strlen(rfc4648[i].text));
		ck_assert_mem_eq(out.data, rfc4648[i].text, out.len);
		f3_buf_reset(&out);
		ck_assert_int_eq(f3_base64_get(rfc4648[i].text, strlen(rfc4648[i].text), &out), 0);
		ck_assert_uint_eq(out.len, strlen(rfc4648[i].plain));
		ck_assert_mem_eq(out.data, rfc4648[i].plain, out.len);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(f3_base64_get(bad[i], strlen(bad[i]), &out) == -EINVAL, "%s", bad[i]);
	f3_buf_done(&out);

	/* FIPS 180-2, B.1 */
	ck_assert_int_eq(f3_sha256_init(&sha), 0);
	f3_sha256_add(&sha, "a", 1);
	f3_sha256_add(&sha, "bc", 2);
	f3_sha256_end(&sha, hex);
	f3_sha256_done(&sha);
	ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	/* RFC 3720, B.4: "123456789" is e3069283 */
	f3_crc32c_base64(f3_crc32c(0, "123456789", 9), base64);
	ck_assert_str_eq(base64, "4waSgw==");
	ck_assert_int_eq(f3_crc32c_from_base64(base64, &crc), 0);
	ck_assert_uint_eq(crc, 0xe3069283);
	ck_assert_int_eq(f3_crc32c_from_base64("4waSg", &crc), -EINVAL);
	ck_assert_int_eq(f3_crc32c_from_base64("4waSgwAA", &crc), -EINVAL);
}
END_TEST

static void md5_of(const void *bytes, size_t len, char ret_base64[F3_MD5_BASE64])
{
	uint8_t sum[F3_MD5_BYTES];
	struct f3_md5 md5;

	f3_md5_init(&md5);
	for (size_t at = 0, n = 1; at < len; at += n, n = n * 3 % 101) {
		if (n > len - at)
			n = len - at;
		f3_md5_add(&md5, (const char *)bytes + at, n);
	}
	f3_md5_end(&md5, sum);
	f3_md5_base64(sum, ret_base64);
}

START_TEST(md5)
{
	/* RFC 1321, A.5 */
	static const char *const rfc1321[][2] = {
		{ "", "1B2M2Y8AsgTpgAmY7PhCfg==" },
		{ "a", "DMF1ucDxtqgxw5niaXcmYQ==" },
		{ "abc", "kAFQmDzST7DWlj99KOF/cg==" },
		{ "message digest", "+WtpfXy3k41SWi8xqvFh0A==" },
		{ "abcdefghijklmnopqrstuvwxyz", "w/zT12GS5AB9+0lsymfhOw==" },
		{ "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
		  "0XSrmNJ32fWlYRwsn0Gdnw==" },
		{ "1234567890123456789012345678901234567890123456789012345678901234567890123456789"
		  "0",
		  "V+30oivjyVWsSdouIQe2eg==" },
	};
	static const size_t lengths[] = { 0, 1, 63, 64, 65, 640, 4096, 4100 };
	static uint8_t bytes[F3_MD5_LANES][4200];
	char one[F3_MD5_BASE64], base64[F3_MD5_BASE64];
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(rfc1321) / sizeof(rfc1321[0]); i++) {
		md5_of(rfc1321[i][0], strlen(rfc1321[i][0]), base64);
		ck_assert_str_eq(base64, rfc1321[i][1]);
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		((uint8_t *)bytes)[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	/* Side by side, from every place in a block, as by themselves. */
	for (unsigned n = 1; n <= F3_MD5_LANES; n++)
		for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++)
			for (size_t before = 0; before <= 64; before += n > 6 ? 1 : 16) {
				struct f3_md5 sums[F3_MD5_LANES], *m[F3_MD5_LANES];
				const void *from[F3_MD5_LANES];
				uint8_t sum[F3_MD5_BYTES];

				for (unsigned i = 0; i < n; i++) {
					f3_md5_init(&sums[i]);
					f3_md5_add(&sums[i], bytes[i], before);
					m[i] = &sums[i];
					from[i] = bytes[i] + before;
				}
				f3_md5_add_many(m, from, n, lengths[k]);
				for (unsigned i = 0; i < n; i++) {
					f3_md5_end(&sums[i], sum);
					f3_md5_base64(sum, base64);
					md5_of(bytes[i], before + lengths[k], one);
					ck_assert_str_eq(base64, one);
				}
			}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("texts of S3");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, headers_are_bounded);
	tcase_add_test(tc, modes);
	tcase_add_test(tc, times);
	tcase_add_test(tc, xattrs);
	tcase_add_test(tc, etags);
	tcase_add_test(tc, content_types);
	tcase_add_test(tc, verdicts);
	tcase_add_test(tc, error_bodies);
	tcase_add_test(tc, xml);
	tcase_add_test(tc, places);
	tcase_add_test(tc, digests);
	tcase_add_test(tc, md5);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
