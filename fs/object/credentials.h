/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials: keys for AWS-like stores, found as the AWS tools find them.
 *
 * The order of AWS's own chain: environment (AWS_ACCESS_KEY_ID ...; not when a profile was asked
 * for by name); web identity from the environment (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN);
 * shared credentials and config files (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE, ~/.aws; the
 * profile given, AWS_PROFILE, "default") with static keys, role_arn + source_profile or
 * credential_source, web_identity_token_file, credential_process; container endpoint
 * (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI / _FULL_URI with AWS_CONTAINER_AUTHORIZATION_TOKEN[_FILE]);
 * instance metadata (IMDSv2; AWS_EC2_METADATA_DISABLED, AWS_EC2_METADATA_SERVICE_ENDPOINT).
 *
 * Files with plain keys are read again while they are used. Keys with an end are renewed in the background
 * five minutes before it, and again with back-off while that fails; what is still valid is used
 * meanwhile. A file of secrets that others may read or write is refused, with a message that says
 * how to repair it; on a read-only mount, as Kubernetes makes them, it is not.
 *
 * What asks the network has an HTTP engine of its own, opened when it is first needed (trusting
 * AWS_CA_BUNDLE where it is set): behind the requests of a busy store it would come too late, and
 * who does not answer there says nothing about the store.
 *
 * No key, token or signature is ever in a message or a log.
 *
 * Thread-safe. Lock: rank F3_RANK_QUEUE, never held across I/O.
 */
#ifndef F3_OBJECT_CREDENTIALS_H
#define F3_OBJECT_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/workq.h"

#define F3_CRED_KEY_MAX 256
#define F3_CRED_TOKEN_MAX 8192

struct f3_credentials {
	char access_key[F3_CRED_KEY_MAX + 1];
	char secret_key[F3_CRED_KEY_MAX + 1];
	char token[F3_CRED_TOKEN_MAX + 1];	/* session token; "": none */
	int64_t expires_s;			/* seconds since the epoch; 0: never */
	bool anonymous;				/* requests are not signed */
	const char *source;			/* "environment", static storage */
};

struct f3_cred_chain;

struct f3_cred_options {
	const char *profile;		/* NULL: AWS_PROFILE, else "default" */
	const char *region;		/* for STS; NULL: as the tools find it */
	bool anonymous;
	/* For renewal: its functions may block; borrowed. NULL: keys are renewed when they have
	 * ended, by who asks. */
	struct f3_workq *work;
};

/* Nothing is looked for yet. 0 or -ENOMEM. */
int f3_cred_chain_new(const struct f3_cred_options *opt, struct f3_cred_chain **ret_c);
/* Ends a renewal under way and waits for it. The work queue is still there; not from one of its
 * threads, and nobody is in a call any more. */
void f3_cred_chain_free(struct f3_cred_chain *c);
/* Those to be used now. May block when there are none yet, or none that are valid: on files, a
 * program, or the network. -ENOKEY: there are none, and err says where was looked; -EACCES: a file
 * of secrets is open to others; -EKEYEXPIRED: those there are have ended and cannot be renewed;
 * -EKEYREJECTED: STS or an endpoint does not want to give any; -EINVAL, -EBADMSG, -EIO, -ETIMEDOUT
 * and so on: a source that is set up does not work, which err names. */
int f3_cred_get(struct f3_cred_chain *c, struct f3_credentials *ret_c, struct f3_err *err);
/* The same without blocking: -EAGAIN where f3_cred_get would have to. */
int f3_cred_try(struct f3_cred_chain *c, struct f3_credentials *ret_c);
/* The store said that they are not valid (any more): the next f3_cred_get looks anew, at most once
 * in some seconds. `used` are those that were refused. */
void f3_cred_refused(struct f3_cred_chain *c, const struct f3_credentials *used);
/* Region as the tools find it: opt->region, AWS_REGION, AWS_DEFAULT_REGION, the profile's. 0, -ENOENT,
 * -EINVAL (not fit for the name of a host), -ENAMETOOLONG, or what is wrong with the files. */
int f3_cred_region(const struct f3_cred_options *opt, char *ret_region, size_t size);
/* Overwrites a copy. */
void f3_credentials_wipe(struct f3_credentials *c);

#endif
