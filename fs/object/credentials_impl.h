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

/* Sources. */
int f3_cred_from_env(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err);
int f3_cred_from_files(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err);
int f3_cred_from_process(const char *command, struct f3_credentials *ret_c, struct f3_err *err);

/* What a container's endpoint, the instance metadata and programs say. token_name: what the
 * session token is called there. `from` is what err begins with. */
int f3_cred_parse_json(const char *text, size_t len, const char *token_name, const char *from,
		       struct f3_credentials *ret_c, struct f3_err *err);

/* The region of a profile: 0, -ENOENT, or what is wrong with the files. */
int f3_cred_profile_region(const char *profile, char *ret_region, size_t size);

#endif
