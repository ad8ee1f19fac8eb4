/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings: what [volume NAME] and the settings of a volume made by command say, before it is
 * built. Pure but for the configuration that is read. Not thread-safe.
 */
#ifndef F3_CORE_SETTINGS_H
#define F3_CORE_SETTINGS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/clock.h"
#include "fs/base/conf.h"
#include "fs/base/err.h"
#include "fs/meta/record.h"
#include "fs/object/object.h"

#define F3_SETTING_MAX 255
#define F3_NAMESPACES_MAX 4096

struct f3_settings {
	enum f3_class dflt;	/* F3_CLASS_NONE: nothing was said */
	uint64_t quota_bytes, quota_inodes, attr_ttl_ns, stream_grace_ns;
	bool read_only, listed_attr, stream_exit_zero;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	/* of s3://; "": nothing was said */
	char endpoint[F3_SETTING_MAX + 1], region[F3_SETTING_MAX + 1], profile[F3_SETTING_MAX + 1];
	char storage_class[F3_SETTING_MAX + 1], encryption[F3_SETTING_MAX + 1];
	char kms_key[F3_SETTING_MAX + 1], ca_file[PATH_MAX];
	enum f3_s3_style style;
	enum f3_s3_checksum checksum;
	bool anonymous;
	uint64_t requests, timeout_ns, hedge_ns;
	/* who may bind a view, each ended by a newline */
	char namespaces[F3_NAMESPACES_MAX];
};

#define F3_SETTINGS_INIT { .attr_ttl_ns = F3_NS_PER_SEC, .mode = 01777 }

/* "key=value" lines. -EINVAL with the reason. */
int f3_settings_from_text(struct f3_settings *s, const char *text, struct f3_err *err);
int f3_settings_from_conf(struct f3_settings *s, const struct f3_conf *conf, const char *volume,
			  struct f3_err *err);
/* Its texts are those of s. */
struct f3_s3_options f3_settings_s3(const struct f3_settings *s);

#endif
