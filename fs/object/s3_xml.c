/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/s3_xml.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/text.h"

#define REFERENCE_MAX 12 /* "&#x10FFFF;" and some zeros */

struct reader {
	XML_Parser parser;
	const struct f3_xml_events *events;
	char path[F3_XML_PATH_MAX];
	size_t path_len[F3_XML_DEPTH_MAX + 1]; /* of each element's parent */
	bool leaf[F3_XML_DEPTH_MAX + 1];
	int depth;
	char text[F3_XML_TEXT_MAX + 1];
	size_t text_len;
	int error;
};

static void stop(struct reader *rd, int error)
{
	if (!rd->error)
		rd->error = error;
	XML_StopParser(rd->parser, XML_FALSE);
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attrs)
{
	struct reader *rd = arg;
	size_t at = strlen(rd->path), len = strlen(name);

	(void)attrs;
	if (rd->depth >= F3_XML_DEPTH_MAX || at + len + 2 > sizeof(rd->path)) {
		stop(rd, -EBADMSG);
		return;
	}
	rd->leaf[rd->depth] = false;
	rd->depth++;
	rd->leaf[rd->depth] = true;
	rd->path_len[rd->depth] = at;
	if (at)
		rd->path[at++] = '/';
	memcpy(rd->path + at, name, len + 1);
	rd->text_len = 0;
}

static void on_end(void *arg, const XML_Char *name)
{
	struct reader *rd = arg;
	int r = 0;

	(void)name;
	if (rd->leaf[rd->depth]) {
		rd->text[rd->text_len] = '\0';
		r = rd->events->text(rd->events->arg, rd->path, rd->text, rd->text_len);
	} else if (rd->events->end) {
		r = rd->events->end(rd->events->arg, rd->path);
	}
	rd->path[rd->path_len[rd->depth]] = '\0';
	rd->depth--;
	rd->text_len = 0;
	if (r)
		stop(rd, r);
}

static void on_text(void *arg, const XML_Char *text, int len)
{
	struct reader *rd = arg;

	if (!rd->leaf[rd->depth])
		return;
	if ((size_t)len > F3_XML_TEXT_MAX - rd->text_len) {
		stop(rd, -EBADMSG);
		return;
	}
	memcpy(rd->text + rd->text_len, text, (size_t)len);
	rd->text_len += (size_t)len;
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid,
		       const XML_Char *pubid, int internal)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)internal;
	stop(arg, -EBADMSG);
}

/* Names come as "NAMESPACE|NAME". */
static void on_start_ns(void *arg, const XML_Char *name, const XML_Char **attrs)
{
	const char *bar = strrchr(name, '|');

	on_start(arg, bar ? bar + 1 : name, attrs);
}

/* Is it one of the characters that XML has? */
static bool is_char(unsigned long c)
{
	return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0xd800) ||
	       (c >= 0xe000 && c < 0xfffe) || (c >= 0x10000 && c < 0x110000);
}

/* Bytes at the start of text that no document may have, 0 if there are none: "&#x7;" for one. */
static size_t no_char(const char *text, size_t left)
{
	unsigned char c = (unsigned char)*text;
	size_t at = 2;
	unsigned long v = 0;
	int base = 10;

	if (left >= 3 && (!memcmp(text, "\xef\xbf\xbe", 3) || !memcmp(text, "\xef\xbf\xbf", 3)))
		return 3;
	if (c >= 0x80)
		return f3_utf8_char(text, left) ? 0 : 1;
	if (c != '&')
		return is_char(c) ? 0 : 1;
	if (left < 4 || text[1] != '#')
		return 0;
	if (text[2] == 'x') {
		base = 16;
		at++;
	}
	for (; at < left && at < REFERENCE_MAX && text[at] != ';'; at++) {
		char digit[2] = { text[at], '\0' }, *end;

		v = v * (unsigned long)base + strtoul(digit, &end, base);
		if (*end)
			return 0;
	}
	return at < left && text[at] == ';' && !is_char(v) ? at + 1 : 0;
}

/* Keys are any bytes, and servers put them into their answers as they are, at least where they say
 * what they were asked: what XML has no characters for is read as U+FFFD. */
static enum XML_Status parse(XML_Parser parser, const char *xml, size_t len)
{
	size_t from = 0, at = 0;

	while (at < len) {
		size_t n;

		if (xml[at] >= ' ' && xml[at] != '&') {
			at++;
			continue;
		}
		n = no_char(xml + at, len - at);

		if (!n) {
			size_t step = f3_utf8_char(xml + at, len - at);

			at += step ? step : 1;
			continue;
		}
		if (XML_Parse(parser, xml + from, (int)(at - from), XML_FALSE) != XML_STATUS_OK ||
		    XML_Parse(parser, "\xef\xbf\xbd", 3, XML_FALSE) != XML_STATUS_OK)
			return XML_STATUS_ERROR;
		at += n;
		from = at;
	}
	return XML_Parse(parser, xml + from, (int)(len - from), XML_TRUE);
}

int f3_xml_parse(const void *xml, size_t len, const struct f3_xml_events *events)
{
	struct reader rd = { .events = events };

	if (len > INT_MAX)
		return -EBADMSG;
	rd.parser = XML_ParserCreateNS(NULL, '|');
	if (!rd.parser)
		return -ENOMEM;
	XML_SetUserData(rd.parser, &rd);
	XML_SetElementHandler(rd.parser, on_start_ns, on_end);
	XML_SetCharacterDataHandler(rd.parser, on_text);
	XML_SetStartDoctypeDeclHandler(rd.parser, on_doctype);
	if (parse(rd.parser, xml, len) != XML_STATUS_OK && !rd.error)
		rd.error = XML_GetErrorCode(rd.parser) == XML_ERROR_NO_MEMORY ? -ENOMEM : -EBADMSG;
	XML_ParserFree(rd.parser);
	return rd.error;
}
