/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/conf.h"
#include "fs/object/s3_meta.h"
#include "fs/object/s3_xml.h"

#define RESERVED ".f3"

/* ---- A page of keys ---- */

struct item {
	uint32_t name; /* where in names */
	uint64_t size;
	int64_t modified_ns;
	char etag[F3_OBJ_ETAG_MAX + 1];
	bool is_dir;
};

struct page {
	const char *prefix; /* of the keys that belong to it */
	size_t prefix_len;
	bool root; /* of the volume: F3's own is hidden */
	bool is_page; /* and not some other text, which would be an empty one */
	bool url; /* keys are percent-encoded */
	struct item *items;
	size_t n, cap;
	struct f3_buf names;
	/* the entry being read */
	char key[F3_XML_TEXT_MAX + 1];
	size_t key_len;
	struct item item;
	bool truncated, marker, below;
	char next[F3_OBJ_CURSOR_MAX + 1];
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A key as it came: "a%20b+c" in listings that say that they are encoded. */
static size_t decode(bool url, const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (url && text[i] == '%' && len - i > 2 && hex(text[i + 1]) >= 0 &&
		    hex(text[i + 2]) >= 0) {
			out[n++] = (char)(hex(text[i + 1]) * 16 + hex(text[i + 2]));
			i += 2;
		} else {
			out[n++] = url && text[i] == '+' ? ' ' : text[i];
		}
	}
	out[n] = '\0';
	return n;
}

static int add_item(struct page *p, const char *name, size_t len, bool is_dir)
{
	if (p->n == F3_OBJ_LIST_MAX)
		return -EBADMSG;
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 64;
		struct item *items = reallocarray(p->items, cap, sizeof(*items));

		if (!items)
			return -ENOMEM;
		p->items = items;
		p->cap = cap;
	}
	p->item.name = (uint32_t)p->names.len;
	p->item.is_dir = is_dir;
	f3_buf_put(&p->names, name, len);
	f3_buf_put(&p->names, "", 1);
	if (p->names.error)
		return p->names.error;
	p->items[p->n++] = p->item;
	return 0;
}

/* The entry that was read belongs to the page, if a component of a key follows the prefix. */
static int take_entry(struct page *p, bool is_dir)
{
	char key[F3_XML_TEXT_MAX + 1];
	size_t len = decode(p->url, p->key, p->key_len, key);
	const char *name = key + p->prefix_len;

	if (len < p->prefix_len || memcmp(key, p->prefix, p->prefix_len) != 0 ||
	    memchr(key, 0, len))
		return 0;
	len -= p->prefix_len;
	if (!len) {
		p->marker |= !is_dir;
		return 0;
	}
	if (is_dir && name[len - 1] == '/')
		len--;
	else if (is_dir)
		return 0;
	if (p->root && len == sizeof(RESERVED) - 1 && !memcmp(name, RESERVED, len) && is_dir)
		return 0;
	if (p->root && len > sizeof(RESERVED) - 1 && !memcmp(name, RESERVED "/", sizeof(RESERVED)))
		return 0;
	p->below = true;
	/* A listing that does not stop at slashes is asked for only to see if there is anything. */
	if (memchr(name, '/', len))
		return 0;
	/* Which content it has would be unknown, and it taken for another one. */
	if (!is_dir && !p->item.etag[0])
		return -EBADMSG;
	return add_item(p, name, len, is_dir);
}

static int on_text(void *arg, const char *path, const char *text, size_t len)
{
	struct page *p = arg;

	if (strncmp(path, "ListBucketResult/", 17) != 0) {
		p->is_page |= !strcmp(path, "ListBucketResult");
		return 0;
	}
	p->is_page = true;
	path += 17;
	if (!strcmp(path, "Contents/Key") || !strcmp(path, "CommonPrefixes/Prefix")) {
		memcpy(p->key, text, len + 1);
		p->key_len = len;
	} else if (!strcmp(path, "Contents/Size")) {
		if (f3_parse_uint(text, INT64_MAX, &p->item.size))
			return -EBADMSG;
	} else if (!strcmp(path, "Contents/ETag")) {
		f3_s3_etag(text, p->item.etag);
	} else if (!strcmp(path, "Contents/LastModified")) {
		p->item.modified_ns = f3_s3_time_ns(text);
	} else if (!strcmp(path, "EncodingType")) {
		p->url = !strcmp(text, "url");
	} else if (!strcmp(path, "IsTruncated")) {
		p->truncated = !strcmp(text, "true");
	} else if (!strcmp(path, "NextContinuationToken")) {
		if (len > F3_OBJ_CURSOR_MAX)
			return -EBADMSG;
		memcpy(p->next, text, len + 1);
	}
	return 0;
}

static int on_end(void *arg, const char *path)
{
	struct page *p = arg;
	bool is_dir = !strcmp(path, "ListBucketResult/CommonPrefixes");
	int r = 0;

	if (is_dir || !strcmp(path, "ListBucketResult/Contents")) {
		r = take_entry(p, is_dir);
		memset(&p->item, 0, sizeof(p->item));
		p->key_len = 0;
	}
	return r;
}

/* Where the encoding is said behind the keys, it has to be known before they are read. */
static int find_encoding(void *arg, const char *path, const char *text, size_t len)
{
	(void)len;
	if (!strcmp(path, "ListBucketResult/EncodingType"))
		*(bool *)arg = !strcmp(text, "url");
	return 0;
}

static int read_page(struct page *p, const struct f3_buf *xml)
{
	const struct f3_xml_events first = { .text = find_encoding, .arg = &p->url };
	const struct f3_xml_events events = { .text = on_text, .end = on_end, .arg = p };
	int r = f3_xml_parse(xml->data, xml->len, &first);

	if (!r)
		r = f3_xml_parse(xml->data, xml->len, &events);
	if (!r && (!p->is_page || (p->truncated && !p->next[0])))
		r = -EBADMSG;
	return r;
}

static void page_init(struct page *p, const char *prefix, bool root)
{
	memset(p, 0, sizeof(*p));
	p->prefix = prefix;
	p->prefix_len = strlen(prefix);
	p->root = root;
	f3_buf_init(&p->names, F3_S3_TEXT_MAX);
}

static void page_done(struct page *p)
{
	f3_buf_done(&p->names);
	free(p->items);
}

/* ---- Is there anything below a key? ---- */

int f3_s3_ask_below(struct f3_s3_ask *a, struct f3_s3_call *call, const char *key,
		    void (*then)(struct f3_s3_ask *a))
{
	int r;

	f3_s3_ask_init(a, call, "GET");
	r = f3_s3_place_key(&call->s->place, key, true, call->prefix);
	if (r)
		return r;
	f3_s3_ask_bucket(a);
	f3_s3_ask_query(a, "list-type", "2");
	f3_s3_ask_query(a, "max-keys", "2");
	f3_s3_ask_query(a, "encoding-type", "url");
	f3_s3_ask_query(a, "prefix", call->prefix);
	f3_s3_ask_start(a, then);
	return 0;
}

int f3_s3_first_below(const struct f3_s3_ask *a, const char *key, bool *ret_marker, bool *ret_below)
{
	struct page *p = malloc(sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	page_init(p, a->call->prefix, !*key);
	r = read_page(p, &a->text);
	*ret_marker = p->marker && *key;
	*ret_below = p->below;
	page_done(p);
	free(p);
	return r == -EBADMSG ? -EIO : r;
}

/* ---- LIST ---- */

/* In the order of keys, where a directory's ends with a slash. The answer has the objects of a page
 * first, and then the directories. */
static int by_key(const void *a, const void *b, void *names)
{
	const struct item *x = a, *y = b;
	const unsigned char *s = (const unsigned char *)names + x->name;
	const unsigned char *t = (const unsigned char *)names + y->name;

	while (*s && *s == *t) {
		s++;
		t++;
	}
	return (*s ? *s : x->is_dir ? '/' : 0) - (*t ? *t : y->is_dir ? '/' : 0);
}

/* Entries, their names and the cursor in one piece, which is the op's. */
static int hand_over(struct f3_obj_op *op, const struct page *p)
{
	size_t next_len = p->truncated ? strlen(p->next) + 1 : 0;
	struct f3_obj_entry *entries;
	char *names;

	entries = calloc(1, p->n * sizeof(*entries) + p->names.len + next_len + 1);
	if (!entries)
		return -ENOMEM;
	names = (char *)(entries + p->n);
	memcpy(names, p->names.data, p->names.len);
	qsort_r(p->items, p->n, sizeof(*p->items), by_key, names);
	for (size_t i = 0; i < p->n; i++) {
		struct f3_obj_info *info = &entries[i].info;

		entries[i].name = names + p->items[i].name;
		info->size = p->items[i].size;
		info->modified_ns = p->items[i].modified_ns;
		info->is_dir = p->items[i].is_dir;
		snprintf(info->etag, sizeof(info->etag), "%s",
			 info->is_dir ? "dir" : p->items[i].etag);
	}
	if (next_len) {
		memcpy(names + p->names.len, p->next, next_len);
		op->ret_next = names + p->names.len;
	}
	op->heap = entries;
	op->entries = entries;
	op->n_entries = p->n;
	return 0;
}

static void listed(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	struct page *p;
	int r;

	if (a->result) {
		f3_s3_end_as(call, a);
		return;
	}
	p = malloc(sizeof(*p));
	if (!p) {
		f3_s3_end(call, -ENOMEM);
		return;
	}
	page_init(p, call->prefix, !*call->op->key);
	r = read_page(p, &a->text);
	/* It would never end. */
	if (!r && p->truncated && call->op->after && !strcmp(call->op->after, p->next))
		r = -EBADMSG;
	if (!r)
		r = hand_over(call->op, p);
	if (r == -EBADMSG || r == -EMSGSIZE) {
		snprintf(call->op->message, sizeof(call->op->message),
			 "listing of %.100s: the answer is no (whole) listing", call->prefix);
		r = -EIO;
	}
	page_done(p);
	free(p);
	f3_s3_end(call, r);
}

void f3_s3_list(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	struct f3_s3_ask *a = &call->a;
	int r;

	f3_s3_ask_init(a, call, "GET");
	r = f3_s3_place_key(&call->s->place, op->key, true, call->prefix);
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	f3_s3_ask_bucket(a);
	f3_s3_ask_query(a, "list-type", "2");
	f3_s3_ask_query(a, "delimiter", "/");
	f3_s3_ask_query(a, "encoding-type", "url");
	f3_s3_ask_query(a, "prefix", call->prefix);
	if (op->after)
		f3_s3_ask_query(a, "continuation-token", op->after);
	a->wide = true;
	f3_s3_ask_start(a, listed);
}

/* ---- UPLOAD_LIST ---- */

struct uploads {
	struct f3_s3_call *call;
	bool url, truncated; /* url: keys are percent-encoded */
	bool said; /* that they are, or are not */
	bool is_page; /* and not some other text */
	struct f3_obj_upload *v;
	size_t n, cap;
	struct f3_obj_upload one;
	bool ours;
	char key_marker[F3_XML_TEXT_MAX + 1], id_marker[F3_OBJ_UPLOAD_MAX + 1];
};

static int take_upload_text(void *arg, const char *path, const char *text, size_t len)
{
	struct uploads *u = arg;
	const char *prefix = u->call->s->place.prefix;
	char key[F3_XML_TEXT_MAX + 1];

	if (strncmp(path, "ListMultipartUploadsResult/", 27) != 0) {
		u->is_page |= !strcmp(path, "ListMultipartUploadsResult");
		return 0;
	}
	u->is_page = true;
	path += 27;
	if (!strcmp(path, "Upload/Key")) {
		size_t n = decode(u->url, text, len, key), cut = strlen(prefix);

		u->ours = n > cut && n - cut <= F3_OBJ_KEY_MAX && !memcmp(key, prefix, cut) &&
			  !memchr(key, 0, n);
		if (u->ours)
			memcpy(u->one.key, key + cut, n - cut + 1);
	} else if (!strcmp(path, "Upload/UploadId")) {
		if (len > F3_OBJ_UPLOAD_MAX)
			return -EBADMSG;
		memcpy(u->one.upload, text, len + 1);
	} else if (!strcmp(path, "Upload/Initiated")) {
		u->one.since_ns = f3_s3_time_ns(text);
	} else if (!strcmp(path, "IsTruncated")) {
		u->truncated = !strcmp(text, "true");
	} else if (!strcmp(path, "NextKeyMarker")) {
		decode(u->said && u->url, text, len, u->key_marker);
	} else if (!strcmp(path, "NextUploadIdMarker")) {
		if (len > F3_OBJ_UPLOAD_MAX)
			return -EBADMSG;
		memcpy(u->id_marker, text, len + 1);
	}
	return 0;
}

static int end_upload(void *arg, const char *path)
{
	struct uploads *u = arg;

	if (strcmp(path, "ListMultipartUploadsResult/Upload") != 0)
		return 0;
	if (u->ours && u->one.upload[0]) {
		if (u->n == F3_OBJ_LIST_MAX)
			return -EBADMSG;
		if (u->n == u->cap) {
			size_t cap = u->cap ? u->cap * 2 : 16;
			struct f3_obj_upload *v = reallocarray(u->v, cap, sizeof(*v));

			if (!v)
				return -ENOMEM;
			u->v = v;
			u->cap = cap;
		}
		u->v[u->n++] = u->one;
	}
	memset(&u->one, 0, sizeof(u->one));
	u->ours = false;
	return 0;
}

/* Could it be what came of percent-encoding? A '+' could not: a server that writes a space so says
 * that it encodes. */
static bool looks_encoded(const char *text)
{
	for (; *text; text++) {
		if (*text == '%' && hex(text[1]) >= 0 && hex(text[2]) >= 0)
			text += 2;
		else if (!isalnum((unsigned char)*text) && !strchr("-._~/!*'()", *text))
			return false;
	}
	return true;
}

/* Ceph encodes the keys, as it was asked to, without saying so; its markers it does not. */
static int find_upload_encoding(void *arg, const char *path, const char *text, size_t len)
{
	struct uploads *u = arg;

	(void)len;
	if (!strcmp(path, "ListMultipartUploadsResult/EncodingType")) {
		u->said = true;
		u->url = !strcmp(text, "url");
	} else if (!strcmp(path, "ListMultipartUploadsResult/Upload/Key") && !u->said) {
		u->url &= looks_encoded(text);
	}
	return 0;
}

/* The cursor is "KEY\nUPLOAD": a key with a line end in it comes apart at the last one. */
static int hand_over_uploads(struct f3_obj_op *op, struct uploads *u)
{
	size_t bytes = u->n * sizeof(*u->v);
	char *heap = malloc(bytes + F3_OBJ_CURSOR_MAX + 1);
	int n;

	if (!heap)
		return -ENOMEM;
	if (bytes)
		memcpy(heap, u->v, bytes);
	op->heap = heap;
	op->uploads = (struct f3_obj_upload *)(void *)heap;
	op->n_uploads = u->n;
	if (!u->truncated)
		return 0;
	n = snprintf(heap + bytes, F3_OBJ_CURSOR_MAX + 1, "%s\n%s", u->key_marker, u->id_marker);
	if (n < 2 || n > F3_OBJ_CURSOR_MAX || (op->after && !strcmp(op->after, heap + bytes)))
		return -EBADMSG;
	op->ret_next = heap + bytes;
	return 0;
}

static void uploads_listed(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	struct uploads *u = calloc(1, sizeof(*u));
	int r = u ? a->result : -ENOMEM;

	if (!r) {
		const struct f3_xml_events first = { .text = find_upload_encoding, .arg = u };
		const struct f3_xml_events events = { .text = take_upload_text,
						      .end = end_upload,
						      .arg = u };

		u->call = call;
		u->url = true;
		r = f3_xml_parse(a->text.data, a->text.len, &first);
		if (!r)
			r = f3_xml_parse(a->text.data, a->text.len, &events);
		if (!r)
			r = u->is_page ? hand_over_uploads(call->op, u) : -EBADMSG;
		if (r == -EBADMSG) {
			snprintf(call->op->message, sizeof(call->op->message),
				 "uploads below %.100s: the answer is no (whole) list of uploads",
				 call->prefix);
			r = -EIO;
		}
		f3_s3_end(call, r);
	} else {
		f3_s3_end_as(call, a);
	}
	if (u)
		free(u->v);
	free(u);
}

void f3_s3_upload_list(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	struct f3_s3_ask *a = &call->a;
	int r;

	f3_s3_ask_init(a, call, "GET");
	r = f3_s3_place_key(&call->s->place, op->key, true, call->prefix);
	if (!r && op->after) {
		char *line_end;

		call->body = strdup(op->after);
		line_end = call->body ? strrchr(call->body, '\n') : NULL;
		if (line_end) {
			*line_end = '\0';
			f3_s3_ask_query(a, "key-marker", call->body);
			f3_s3_ask_query(a, "upload-id-marker", line_end + 1);
		} else {
			r = call->body ? -EINVAL : -ENOMEM;
		}
	}
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	f3_s3_ask_bucket(a);
	f3_s3_ask_query(a, "uploads", "");
	f3_s3_ask_query(a, "encoding-type", "url");
	f3_s3_ask_query(a, "prefix", call->prefix);
	a->wide = true;
	f3_s3_ask_start(a, uploads_listed);
}
