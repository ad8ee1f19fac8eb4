/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_answer: what an answer of an S3-like server means. Pure.
 *
 * The one place where statuses and error codes become errno. What a mutation's answer leaves open
 * is F3_S3_UNKNOWN: whether it happened tells only a look at the object. A missing bucket is no
 * missing object: nothing may vanish because of it.
 */
#ifndef F3_OBJECT_S3_ANSWER_H
#define F3_OBJECT_S3_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/object/object.h"

#define F3_S3_CODE_MAX 63

enum f3_s3_verdict {
	F3_S3_DONE,
	F3_S3_ERROR,	/* definite: ret_errno; it has not happened */
	F3_S3_AGAIN,	/* not done, may be asked again after a while */
	F3_S3_UNKNOWN,	/* the server failed on its way: a mutation may have happened */
	F3_S3_KEYS,	/* other credentials are needed; not done */
	F3_S3_CLOCK,	/* the clocks differ too much; not done */
	F3_S3_REGION,	/* it is elsewhere: the answer says where; not done */
};

/* code: of the error's body, "" if there is none. cond: of the request, on its target; a source's
 * condition counts as MATCH. ret_errno is set for F3_S3_ERROR, and for the others to what it is when
 * asking again does not help. */
enum f3_s3_verdict f3_s3_verdict(unsigned status, const char *code, enum f3_obj_cond cond,
				 int *ret_errno);
/* Code and message of an <Error> body; both "" if it is none. False: the text is no error. */
bool f3_s3_error_body(const void *text, size_t len, char ret_code[F3_S3_CODE_MAX + 1],
		      char *ret_message, size_t message_size);
/* What a person can do about it: a clause that follows the message, or "". */
const char *f3_s3_advice(unsigned status, const char *code);

#endif
