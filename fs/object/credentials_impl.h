/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials_impl: what the parts of the credential chain share; nobody else includes it.
 *
 * A look-up asks one source after the other. A source answers 0 (found), -ENOENT (it is not set
 * up: f3_cred_missed says so, and the next one is asked) or another -errno with err set (it is set
 * up and does not work: nobody else is asked, or keys of somebody else would be used unnoticed).
 *
 * Whatever held a secret is overwritten before it is freed. Texts for people name files, variables,
 * hosts and profiles, never what was in them.
 *
 * A look-up belongs to one thread and blocks.
 */
#ifndef F3_OBJECT_CREDENTIALS_IMPL_H
#define F3_OBJECT_CREDENTIALS_IMPL_H

#include "fs/object/credentials.h"

struct f3_http_req;

#define F3_CRED_FILE_MAX (1u << 20)	/* bytes of a file of profiles */
#define F3_CRED_WEB_TOKEN_MAX 20000u	/* what STS takes */
#define F3_CRED_ANSWER_MAX (64u << 10)	/* bytes of an answer, or of a program's output */
#define F3_CRED_PROFILES_MAX 8		/* that refer to each other */

struct f3_cred_look {
	struct f3_cred_chain *chain;
	const char *profile;		/* asked for by name, or NULL */
	const char *region;		/* for STS, or NULL */
	bool plain_files;		/* found: keys without an end, from files */
	char missed[F3_ERR_TEXT_MAX];	/* where there was nothing */
};

/* Adds "NAME (WHY)" to what is told when there is nothing anywhere. Returns -ENOENT. */
int f3_cred_missed(struct f3_cred_look *l, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* One key, bounded: 0, -EINVAL (empty, or a control character in it) or -EMSGSIZE. */
int f3_cred_put_key(char *out, size_t size, const char *text, size_t len);
/* The value of a variable that is set and not empty, else NULL. */
const char *f3_cred_env(const char *name);
/* "2026-01-31T12:00:00Z", also with a fraction or an offset. -EINVAL. */
int f3_cred_parse_time(const char *text, int64_t *ret_s);

/* The whole file, NUL behind it, on the heap: for f3_cred_free_text. It must be the owner's alone
 * (others may read it when !secret, never write it) and belong to root or to this process, except
 * on a read-only mount: there whoever mounted it decided (Kubernetes). Symbolic links are followed,
 * the file itself is looked at. -ENOENT without err; -EACCES, -EFBIG, -EINVAL ... */
int f3_cred_read_file(const char *path, size_t max, bool secret, char **ret_text, size_t *ret_len,
		      bool *ret_open, struct f3_err *err);
void f3_cred_free_text(char *text, size_t len);

enum f3_cred_setting {
	F3_CRED_ACCESS_KEY, F3_CRED_SECRET_KEY, F3_CRED_TOKEN, F3_CRED_PROCESS,
	F3_CRED_ROLE_ARN, F3_CRED_SOURCE_PROFILE, F3_CRED_SOURCE, F3_CRED_WEB_TOKEN_FILE,
	F3_CRED_SESSION_NAME, F3_CRED_EXTERNAL_ID, F3_CRED_DURATION, F3_CRED_MFA_SERIAL,
	F3_CRED_REGION, F3_CRED_SETTINGS
};

extern const char *const f3_cred_settings[F3_CRED_SETTINGS];	/* as they are called in files */

/* One profile, of both files. */
struct f3_cred_profile {
	const char *name;		/* the caller's */
	bool found;			/* there is such a section */
	char *value[F3_CRED_SETTINGS];	/* NULL: not set */
	char credentials[1024], config[1024];	/* the files' names */
};
/* 0 also when there is no such profile, or no file. */
int f3_cred_profile_load(const char *name, struct f3_cred_profile *p, struct f3_err *err);
void f3_cred_profile_done(struct f3_cred_profile *p);

/* One request. The answer's text has a NUL behind it; whatever the status is, it is an answer. */
struct f3_cred_ask {
	const char *from;		/* what err begins with */
	const char *method, *url;
	const char *const *headers;
	size_t n_headers;
	const char *body;		/* NULL: none */
	uint64_t wait_ns;		/* for the whole of it */
};
struct f3_cred_answer {
	unsigned status;
	char *text;
	size_t len;
};
int f3_cred_fetch(struct f3_cred_look *l, const struct f3_cred_ask *ask,
		  struct f3_cred_answer *ret_a, struct f3_err *err);
void f3_cred_answer_done(struct f3_cred_answer *a);
/* Runs it unless the chain is about to go; then it ends early with -ECANCELED. */
int f3_cred_run(struct f3_cred_chain *c, struct f3_http_req *req, struct f3_err *err);

struct f3_cred_url {
	bool https;
	char authority[256];		/* as Host has it: without the scheme's own port */
	char host[256];			/* "[::1]" with its brackets */
	const char *path;		/* in the URL, or "/" */
};
/* http and https, without a user in it. -EINVAL. */
int f3_cred_split_url(const char *url, struct f3_cred_url *ret_u);

/* A role at STS; what is NULL is left to STS, or made up (session). */
struct f3_cred_role {
	const char *arn, *session, *external_id, *duration;
};
int f3_cred_assume_role(struct f3_cred_look *l, const struct f3_cred_role *r,
			const struct f3_credentials *with, struct f3_credentials *ret_c,
			struct f3_err *err);
int f3_cred_parse_sts(const struct f3_cred_role *r, const struct f3_cred_answer *got,
		      struct f3_credentials *ret_c, struct f3_err *err);
/* path: of the file with the token. */
int f3_cred_web_identity(struct f3_cred_look *l, const struct f3_cred_role *r, const char *path,
			 struct f3_credentials *ret_c, struct f3_err *err);

/* Sources. */
int f3_cred_from_env(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err);
int f3_cred_from_web_identity(struct f3_cred_look *l, struct f3_credentials *ret_c,
			      struct f3_err *err);
int f3_cred_from_files(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err);
int f3_cred_from_process(const char *command, struct f3_credentials *ret_c, struct f3_err *err);
int f3_cred_from_container(struct f3_cred_look *l, struct f3_credentials *ret_c,
			   struct f3_err *err);
int f3_cred_from_metadata(struct f3_cred_look *l, struct f3_credentials *ret_c,
			  struct f3_err *err);

/* What a container's endpoint, the instance metadata and programs say. token_name: what the
 * session token is called there. `from` is what err begins with. */
int f3_cred_parse_json(const char *text, size_t len, const char *token_name, const char *from,
		       struct f3_credentials *ret_c, struct f3_err *err);

/* The region of a profile: 0, -ENOENT, or what is wrong with the files. */
int f3_cred_profile_region(const char *profile, char *ret_region, size_t size);

#endif
