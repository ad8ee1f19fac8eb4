/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials as JSON: what programs, container endpoints and instance metadata answer.
 *
 * The text is from outside: its length is bounded by whoever read it, its depth by the library.
 * What the library keeps of it on the heap is overwritten where it can be reached.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "fs/object/credentials_impl.h"

static void wipe(json_t *root)
{
	const char *key;
	json_t *value;

	json_object_foreach(root, key, value)
	{
		if (json_is_string(value))
			explicit_bzero((char *)json_string_value(value), json_string_length(value));
	}
	json_decref(root);
}

/* 0 also when it is not there and need not be. */
static int take(json_t *root, const char *name, bool needed, char *out, size_t size,
		const char *from, struct f3_err *err)
{
	json_t *value = json_object_get(root, name);

	if (!needed && (!value || json_is_null(value) ||
			(json_is_string(value) && json_string_length(value) == 0))) {
		out[0] = '\0';
		return 0;
	}
	if (!json_is_string(value))
		return f3_err_set(err, -EBADMSG, "%s: there is no text %s in it", from, name);
	if (f3_cred_put_key(out, size, json_string_value(value), json_string_length(value)))
		return f3_err_set(err, -EBADMSG, "%s: %s is not such a one", from, name);
	return 0;
}

static int take_all(json_t *root, const char *token_name, const char *from,
		    struct f3_credentials *c, struct f3_err *err)
{
	char ends[64];
	int error =
		take(root, "AccessKeyId", true, c->access_key, sizeof(c->access_key), from, err);

	if (!error)
		error = take(root, "SecretAccessKey", true, c->secret_key, sizeof(c->secret_key),
			     from, err);
	if (!error)
		error = take(root, token_name, false, c->token, sizeof(c->token), from, err);
	if (!error)
		error = take(root, "Expiration", false, ends, sizeof(ends), from, err);
	if (!error && ends[0] && f3_cred_parse_time(ends, &c->expires_s))
		error = f3_err_set(err, -EBADMSG, "%s: Expiration is no time", from);
	if (!error && c->expires_s && c->expires_s <= (int64_t)time(NULL))
		error = f3_err_set(err, -EKEYEXPIRED, "%s: the credentials have ended already",
				   from);
	return error;
}

int f3_cred_parse_json(const char *text, size_t len, const char *token_name, const char *from,
		       struct f3_credentials *ret_c, struct f3_err *err)
{
	/* The library's reason may quote the text: it is not passed on. */
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	struct f3_credentials c = { .source = "" };
	int error;

	if (!json_is_object(root)) {
		json_decref(root);
		return f3_err_set(err, -EBADMSG, "%s: not a JSON object", from);
	}
	error = take_all(root, token_name, from, &c, err);
	wipe(root);
	if (!error)
		*ret_c = c;
	f3_credentials_wipe(&c);
	return error;
}
