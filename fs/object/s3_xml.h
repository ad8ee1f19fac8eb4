/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_xml: the XML that S3-like servers answer, read within bounds.
 *
 * Two events are all that is needed: an element that has only text, with its path
 * ("ListBucketResult/Contents/Key", without namespaces), and the end of an element that has others
 * in it. Document types, with the entities they could declare, are refused; so is what is deeper
 * than F3_XML_DEPTH_MAX or has a text longer than F3_XML_TEXT_MAX.
 *
 * Pure but for the heap of the parser. The only user of expat.
 */
#ifndef F3_OBJECT_S3_XML_H
#define F3_OBJECT_S3_XML_H

#include <stddef.h>

#define F3_XML_DEPTH_MAX 12
#define F3_XML_TEXT_MAX 8192
#define F3_XML_PATH_MAX 256

struct f3_xml_events {
	/* text is NUL-terminated; the path ends with the element's own name */
	int (*text)(void *arg, const char *path, const char *text, size_t len);
	int (*end)(void *arg, const char *path);	/* may be NULL */
	void *arg;
};

/* 0; -EBADMSG: not well-formed, cut off, or out of bounds; or what an event returned. */
int f3_xml_parse(const void *xml, size_t len, const struct f3_xml_events *events);

#endif
