/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys from the environment and from profiles: those that stand there, those that a program prints,
 * and those of a role for which the keys of another profile are given.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/object/credentials_impl.h"

#define NAME_MAX_BYTES 256

/* ---- Keys as they stand there ---------------------------------------------------------------- */

/* Names of where they come from, for messages. */
struct plain {
	const char *access_key, *secret_key, *token; /* NULL: not set */
	const char *where, *access_name, *secret_name, *token_name;
};

static int take_plain(const struct plain *k, struct f3_credentials *ret_c, struct f3_err *err)
{
	struct f3_credentials c = { .source = "" };
	const char *bad = NULL;
	int error = 0;

	if (!k->access_key || !k->secret_key)
		return f3_err_set(err, -EINVAL, "%s: %s is set without %s", k->where,
				  k->access_key ? k->access_name : k->secret_name,
				  k->access_key ? k->secret_name : k->access_name);
	if (f3_cred_put_key(c.access_key, sizeof(c.access_key), k->access_key,
			    strlen(k->access_key)))
		bad = k->access_name;
	else if (f3_cred_put_key(c.secret_key, sizeof(c.secret_key), k->secret_key,
				 strlen(k->secret_key)))
		bad = k->secret_name;
	else if (k->token && f3_cred_put_key(c.token, sizeof(c.token), k->token, strlen(k->token)))
		bad = k->token_name;
	if (bad)
		error = f3_err_set(err, -EINVAL,
				   "%s: %s is too long, or has blanks or other characters in it "
				   "that keys do not have",
				   k->where, bad);
	else
		*ret_c = c;
	f3_credentials_wipe(&c);
	return error;
}

int f3_cred_from_env(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err)
{
	const struct plain k = {
		.access_key = f3_cred_env("AWS_ACCESS_KEY_ID"),
		.secret_key = f3_cred_env("AWS_SECRET_ACCESS_KEY"),
		.token = f3_cred_env("AWS_SESSION_TOKEN"),
		.where = "environment",
		.access_name = "AWS_ACCESS_KEY_ID",
		.secret_name = "AWS_SECRET_ACCESS_KEY",
		.token_name = "AWS_SESSION_TOKEN",
	};
	int error;

	if (!k.access_key && !k.secret_key)
		return f3_cred_missed(l, "environment", "AWS_ACCESS_KEY_ID is not set");
	error = take_plain(&k, ret_c, err);
	if (!error)
		ret_c->source = "environment";
	return error;
}

static bool has_keys(const struct f3_cred_profile *p)
{
	return p->value[F3_CRED_ACCESS_KEY] || p->value[F3_CRED_SECRET_KEY];
}

static int take_keys(struct f3_cred_look *l, const struct f3_cred_profile *p,
		     struct f3_credentials *ret_c, struct f3_err *err)
{
	char where[NAME_MAX_BYTES];
	const struct plain k = {
		.access_key = p->value[F3_CRED_ACCESS_KEY],
		.secret_key = p->value[F3_CRED_SECRET_KEY],
		.token = p->value[F3_CRED_TOKEN],
		.where = where,
		.access_name = f3_cred_settings[F3_CRED_ACCESS_KEY],
		.secret_name = f3_cred_settings[F3_CRED_SECRET_KEY],
		.token_name = f3_cred_settings[F3_CRED_TOKEN],
	};
	int error;

	snprintf(where, sizeof(where), "profile \"%s\"", p->name);
	error = take_plain(&k, ret_c, err);
	if (!error) {
		ret_c->source = "profile";
		l->plain_files = true;
	}
	return error;
}

/* ---- Profiles -------------------------------------------------------------------------------- */

/* A profile and those that refer to it. */
struct link {
	const char *name;
	const struct link *up;
};

static int from_profile(struct f3_cred_look *l, const struct f3_cred_profile *p,
			const struct link *up, struct f3_credentials *ret_c, struct f3_err *err);

/* The profile that another one names as the source of its keys. */
static int from_source(struct f3_cred_look *l, const char *name, const struct link *up,
		       struct f3_credentials *ret_c, struct f3_err *err)
{
	struct f3_cred_profile p;
	int error, n = 0;

	for (const struct link *k = up; k; k = k->up)
		if (++n == F3_CRED_PROFILES_MAX || strcmp(k->name, name) == 0)
			return f3_err_set(err, -ELOOP,
					  "profile \"%s\": source_profile leads in a circle, or "
					  "too far",
					  up->name);
	error = f3_cred_profile_load(name, &p, err);
	if (error)
		return error;
	error = from_profile(l, &p, up, ret_c, err);
	f3_cred_profile_done(&p);
	if (error == -ENOENT)
		error = f3_err_set(err, -ENOKEY,
				   "profile \"%s\": its source_profile \"%s\" has no keys in %s "
				   "or %s",
				   up->name, name, p.credentials, p.config);
	return error;
}

static int from_named_source(struct f3_cred_look *l, const struct f3_cred_profile *p,
			     struct f3_credentials *ret_c, struct f3_err *err)
{
	const char *name = p->value[F3_CRED_SOURCE];
	int error;

	if (strcmp(name, "Environment") == 0)
		error = f3_cred_from_env(l, ret_c, err);
	else if (strcmp(name, "Ec2InstanceMetadata") == 0)
		error = f3_cred_from_metadata(l, ret_c, err);
	else if (strcmp(name, "EcsContainer") == 0)
		error = f3_cred_from_container(l, ret_c, err);
	else
		return f3_err_set(err, -EINVAL,
				  "profile \"%s\": credential_source is Environment, "
				  "Ec2InstanceMetadata or EcsContainer",
				  p->name);
	if (error == -ENOENT)
		error = f3_err_set(err, -ENOKEY, "profile \"%s\": credential_source has none: %s",
				   p->name, l->missed);
	return error;
}

static int from_role(struct f3_cred_look *l, const struct f3_cred_profile *p, const struct link *me,
		     struct f3_credentials *ret_c, struct f3_err *err)
{
	const struct f3_cred_role r = {
		.arn = p->value[F3_CRED_ROLE_ARN],
		.session = p->value[F3_CRED_SESSION_NAME],
		.external_id = p->value[F3_CRED_EXTERNAL_ID],
		.duration = p->value[F3_CRED_DURATION],
	};
	const char *source = p->value[F3_CRED_SOURCE_PROFILE];
	struct f3_credentials with = { .source = "" };
	int error;

	if (p->value[F3_CRED_WEB_TOKEN_FILE])
		return f3_cred_web_identity(l, &r, p->value[F3_CRED_WEB_TOKEN_FILE], ret_c, err);
	if (!source == !p->value[F3_CRED_SOURCE])
		return f3_err_set(err, -EINVAL,
				  "profile \"%s\": role_arn wants one of source_profile, "
				  "credential_source and web_identity_token_file beside it",
				  p->name);
	if (p->value[F3_CRED_MFA_SERIAL])
		return f3_err_set(err, -EINVAL,
				  "profile \"%s\": mfa_serial: there is nobody to ask for a code",
				  p->name);
	if (!source)
		error = from_named_source(l, p, &with, err);
	else if (strcmp(source, p->name) == 0 && has_keys(p))
		error = take_keys(l, p, &with, err);
	else
		error = from_source(l, source, me, &with, err);
	if (!error)
		error = f3_cred_assume_role(l, &r, &with, ret_c, err);
	l->plain_files = false;
	f3_credentials_wipe(&with);
	return error;
}

static int from_profile(struct f3_cred_look *l, const struct f3_cred_profile *p,
			const struct link *up, struct f3_credentials *ret_c, struct f3_err *err)
{
	const struct link me = { .name = p->name, .up = up };
	int error;

	if (p->value[F3_CRED_ROLE_ARN])
		return from_role(l, p, &me, ret_c, err);
	if (has_keys(p))
		return take_keys(l, p, ret_c, err);
	if (p->value[F3_CRED_PROCESS]) {
		error = f3_cred_from_process(p->value[F3_CRED_PROCESS], ret_c, err);
		if (error)
			f3_err_prefix(err, "profile \"%s\"", p->name);
		return error;
	}
	return -ENOENT;
}

int f3_cred_from_files(struct f3_cred_look *l, struct f3_credentials *ret_c, struct f3_err *err)
{
	const char *name = l->profile ? l->profile : f3_cred_env("AWS_PROFILE");
	bool by_name = name != NULL;
	struct f3_cred_profile p;
	int error;

	if (!name)
		name = "default";
	error = f3_cred_profile_load(name, &p, err);
	if (error)
		return error;
	if (by_name && !p.found)
		error = f3_err_set(err, -ENOKEY, "there is no profile \"%s\" in %s or %s", name,
				   p.credentials, p.config);
	else
		error = from_profile(l, &p, NULL, ret_c, err);
	if (error == -ENOENT)
		f3_cred_missed(l, "files", "no keys for profile \"%s\" in %s or %s", name,
			       p.credentials, p.config);
	f3_cred_profile_done(&p);
	return error;
}

int f3_cred_profile_region(const char *profile, char *ret_region, size_t size)
{
	const char *name = profile ? profile : f3_cred_env("AWS_PROFILE");
	struct f3_cred_profile p;
	int error = f3_cred_profile_load(name ? name : "default", &p, NULL), n;

	if (error)
		return error;
	if (p.value[F3_CRED_REGION]) {
		n = snprintf(ret_region, size, "%s", p.value[F3_CRED_REGION]);
		error = n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
	} else {
		error = -ENOENT;
	}
	f3_cred_profile_done(&p);
	return error;
}
