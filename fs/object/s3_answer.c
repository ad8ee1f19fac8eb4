/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/s3_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/object/s3_xml.h"

/* The codes that say more than the status they come with. */
static const struct known {
	const char *code;
	enum f3_s3_verdict verdict;
	int error;
	const char *advice;
} known[] = {
	{ "NoSuchKey", F3_S3_ERROR, -ENOENT, "" },
	{ "NoSuchUpload", F3_S3_ERROR, -ENOENT, "" },
	{ "NoSuchVersion", F3_S3_ERROR, -ENOENT, "" },
	{ "NotFound", F3_S3_ERROR, -ENOENT, "" },
	{ "NoSuchBucket", F3_S3_ERROR, -ENOTCONN,
	  "the bucket is not there (any more): make it again, or correct the volume's url" },
	{ "ExpiredToken", F3_S3_KEYS, -EACCES,
	  "the session token has ended: renew it where it comes from" },
	{ "ExpiredTokenException", F3_S3_KEYS, -EACCES,
	  "the session token has ended: renew it where it comes from" },
	{ "TokenRefreshRequired", F3_S3_KEYS, -EACCES, "the session token has to be renewed" },
	{ "InvalidToken", F3_S3_KEYS, -EACCES, "the session token is wrong" },
	{ "InvalidAccessKeyId", F3_S3_KEYS, -EACCES, "the store does not know the access key" },
	{ "XAdminUserNotFound", F3_S3_KEYS, -EACCES, "the store does not know the access key" },
	{ "SignatureDoesNotMatch", F3_S3_KEYS, -EACCES,
	  "the secret key is wrong, or a proxy changes the request" },
	{ "AccessDenied", F3_S3_ERROR, -EACCES,
	  "the policy of the bucket or the user does not allow it" },
	{ "AllAccessDisabled", F3_S3_ERROR, -EACCES, "the bucket was disabled" },
	{ "AccountProblem", F3_S3_ERROR, -EACCES, "there is a problem with the account" },
	{ "RequestTimeTooSkewed", F3_S3_CLOCK, -EACCES,
	  "the clock of this machine or of the store is wrong" },
	{ "AuthorizationHeaderMalformed", F3_S3_REGION, -EACCES, "is the region right?" },
	{ "PermanentRedirect", F3_S3_REGION, -EREMOTE,
	  "the bucket is in another region: set region" },
	{ "TemporaryRedirect", F3_S3_REGION, -EREMOTE,
	  "the bucket is in another region: set region" },
	{ "IllegalLocationConstraintException", F3_S3_REGION, -EREMOTE,
	  "the bucket is in another region: set region" },
	{ "QuotaExceeded", F3_S3_ERROR, -EDQUOT, "the store's quota is used up" },
	{ "XMinioStorageFull", F3_S3_ERROR, -ENOSPC, "the store is full" },
	{ "InsufficientStorage", F3_S3_ERROR, -ENOSPC, "the store is full" },
	{ "EntityTooLarge", F3_S3_ERROR, -EFBIG, "" },
	{ "KeyTooLongError", F3_S3_ERROR, -ENAMETOOLONG, "" },
	{ "KeyTooLong", F3_S3_ERROR, -ENAMETOOLONG, "" },
	{ "XMinioInvalidObjectName", F3_S3_ERROR, -EINVAL, "the store takes no such name" },
	{ "MetadataTooLarge", F3_S3_ERROR, -ENOSPC,
	  "the attributes do not fit into an object's metadata" },
	{ "InvalidPart", F3_S3_ERROR, -EINVAL, "" },
	{ "InvalidPartOrder", F3_S3_ERROR, -EINVAL, "" },
	{ "EntityTooSmall", F3_S3_ERROR, -EINVAL, "" },
	{ "BadDigest", F3_S3_AGAIN, -EIO, "the bytes were changed on their way" },
	{ "InvalidDigest", F3_S3_ERROR, -EIO, "" },
	{ "XAmzContentSHA256Mismatch", F3_S3_AGAIN, -EIO, "the bytes were changed on their way" },
	{ "XAmzContentChecksumMismatch", F3_S3_AGAIN, -EIO, "the bytes were changed on their way" },
	{ "IncompleteBody", F3_S3_AGAIN, -EIO, "" },
	{ "RequestTimeout", F3_S3_AGAIN, -ETIMEDOUT, "" },
	{ "SlowDown", F3_S3_AGAIN, -EBUSY, "the store asks for fewer requests" },
	{ "SlowDownRead", F3_S3_AGAIN, -EBUSY, "the store asks for fewer requests" },
	{ "SlowDownWrite", F3_S3_AGAIN, -EBUSY, "the store asks for fewer requests" },
	{ "TooManyRequests", F3_S3_AGAIN, -EBUSY, "the store asks for fewer requests" },
	{ "RequestLimitExceeded", F3_S3_AGAIN, -EBUSY, "the store asks for fewer requests" },
	{ "ConditionalRequestConflict", F3_S3_UNKNOWN, -EAGAIN, "" },
	{ "OperationAborted", F3_S3_UNKNOWN, -EAGAIN, "" },
	{ "InternalError", F3_S3_UNKNOWN, -EIO, "" },
	{ "InvalidObjectState", F3_S3_ERROR, -EIO,
	  "the object is in an archive: restore it first" },
	{ "ObjectParentIsFile", F3_S3_ERROR, -ENOTDIR,
	  "an object has the name of a directory on the way, and this store keeps only one of them" },
	{ "ExistingObjectIsDirectory", F3_S3_ERROR, -EISDIR,
	  "a directory has the name, and this store keeps only one of them" },
	{ "MethodNotAllowed", F3_S3_ERROR, -EPERM, "" },
	{ "InvalidRequest", F3_S3_ERROR, -EINVAL, "" },
	{ "InvalidArgument", F3_S3_ERROR, -EINVAL, "" },
	{ "NotImplemented", F3_S3_ERROR, -EOPNOTSUPP, "" },
	{ "InvalidRange", F3_S3_ERROR, -ERANGE, "" },
};

static const struct known *find(const char *code)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].code, code))
			return &known[i];
	return NULL;
}

static enum f3_s3_verdict by_status(unsigned status, int *ret_errno)
{
	switch (status) {
	case 301:
	case 307:
	case 308:
		*ret_errno = -EREMOTE;
		return F3_S3_REGION;
	case 401:
	case 403:
		*ret_errno = -EACCES;
		return F3_S3_ERROR;
	case 404:
		*ret_errno = -ENOENT;
		return F3_S3_ERROR;
	case 405:
		*ret_errno = -EPERM;
		return F3_S3_ERROR;
	case 408:
		*ret_errno = -ETIMEDOUT;
		return F3_S3_UNKNOWN;
	case 409:
		*ret_errno = -EAGAIN;
		return F3_S3_UNKNOWN;
	case 413:
		*ret_errno = -EFBIG;
		return F3_S3_ERROR;
	case 416:
		*ret_errno = -ERANGE;
		return F3_S3_ERROR;
	case 429:
		*ret_errno = -EBUSY;
		return F3_S3_AGAIN;
	case 501:
		*ret_errno = -EOPNOTSUPP;
		return F3_S3_ERROR;
	case 507:
		*ret_errno = -ENOSPC;
		return F3_S3_ERROR;
	default:
		*ret_errno = -EIO;
		return status >= 500 ? F3_S3_UNKNOWN : F3_S3_ERROR;
	}
}

enum f3_s3_verdict f3_s3_verdict(unsigned status, const char *code, enum f3_obj_cond cond,
				 int *ret_errno)
{
	enum f3_s3_verdict verdict;
	const struct known *k;

	*ret_errno = 0;
	if (status >= 200 && status < 300 && !*code)
		return F3_S3_DONE;
	if (status == 412 || !strcmp(code, "PreconditionFailed")) {
		*ret_errno = cond == F3_OBJ_ABSENT ? -EEXIST : -ESTALE;
		return F3_S3_ERROR;
	}
	k = *code ? find(code) : NULL;
	if (!k) {
		/* An error in the body of a good answer is one of the server's own. */
		verdict = by_status(status >= 200 && status < 300 ? 500 : status, ret_errno);
		/* Something is not there, but who says that it is the object? */
		if (*ret_errno == -ENOENT && *code)
			*ret_errno = -EIO;
		return verdict;
	}
	*ret_errno = k->error;
	return k->verdict;
}

struct body {
	char *code;
	char *message;
	size_t message_size;
	bool is_error;
};

static int take(void *arg, const char *path, const char *text, size_t len)
{
	struct body *b = arg;

	(void)len;
	if (!strncmp(path, "Error/", 6))
		b->is_error = true;
	if (!strcmp(path, "Error/Code"))
		snprintf(b->code, F3_S3_CODE_MAX + 1, "%s", text);
	else if (!strcmp(path, "Error/Message"))
		snprintf(b->message, b->message_size, "%s", text);
	return 0;
}

bool f3_s3_error_body(const void *text, size_t len, char ret_code[F3_S3_CODE_MAX + 1],
		      char *ret_message, size_t message_size)
{
	struct body b = { ret_code, ret_message, message_size, false };
	const struct f3_xml_events events = { .text = take, .arg = &b };

	*ret_code = '\0';
	*ret_message = '\0';
	if (len)
		(void)f3_xml_parse(text, len, &events);
	/* These go to logs. */
	for (char *p = ret_code; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	for (char *p = ret_message; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return b.is_error;
}

const char *f3_s3_advice(unsigned status, const char *code)
{
	const struct known *k = *code ? find(code) : NULL;

	if (k)
		return k->advice;
	if (status == 400 || status == 401 || status == 403)
		return "the store does not allow it: look at the keys, the policy of the bucket, and "
		       "the clock";
	return "";
}
