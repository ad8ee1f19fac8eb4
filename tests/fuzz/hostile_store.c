/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs give as extended attributes, and what strangers leave in the directory of a file://
 * store: names, attributes, F3's own files. Read through a whole core.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/base/crc32c.h"
#include "fs/core/acl.h"
#include "fs/core/xattr.h"
#include "tests/fuzz/hostile.h"
#include "tests/unit/core_whole.h"

static char acl_path[512];
static bool kernel_knows;

/* ---- POSIX ACLs: the kernel judges ------------------------------------------------------------- */

static size_t put_acl(struct hostile_rng *rng, uint8_t *out, unsigned users, unsigned groups)
{
	const uint16_t tags[] = { 0x01, 0x02, 0x04, 0x08, 0x10, 0x20 };
	size_t at = 4;

	memcpy(out, "\2\0\0\0", 4);
	for (size_t i = 0; i < 6; i++) {
		unsigned n = tags[i] == 0x02 ? users :
			     tags[i] == 0x08 ? groups :
			     tags[i] == 0x10 ? users + groups > 0 :
					       1;

		for (unsigned k = 0; k < n; k++) {
			uint32_t id = tags[i] == 0x02 || tags[i] == 0x08 ? 1000 + k : UINT32_MAX;
			uint16_t perm = (uint16_t)hostile_below(rng, 8);

			memcpy(out + at, &tags[i], 2);
			memcpy(out + at + 2, &perm, 2);
			memcpy(out + at + 4, &id, 4);
			at += 8;
		}
	}
	return at;
}

static size_t good_acl(struct hostile_rng *rng, uint8_t *out)
{
	return put_acl(rng, out, (unsigned)hostile_below(rng, 4), (unsigned)hostile_below(rng, 4));
}

static void begin_acl(void)
{
	struct hostile_rng rng = { 1 };
	const char *tmp = getenv("TMPDIR");
	uint8_t acl[256];
	int fd;

	snprintf(acl_path, sizeof(acl_path), "%s/f3-hostile-acl-XXXXXX", tmp ? tmp : "/tmp");
	fd = mkstemp(acl_path);
	if (fd < 0)
		abort();
	close(fd);
	kernel_knows = !setxattr(acl_path, F3_ACL_ACCESS, acl, put_acl(&rng, acl, 1, 1), 0);
	if (!kernel_knows)
		printf("acl: %s takes none: the kernel cannot be asked\n", acl_path);
}

static void end_acl(void)
{
	unlink(acl_path);
}

static enum hostile_verdict take_acl(const uint8_t *bytes, size_t len)
{
	int r = f3_acl_check(bytes, len);
	struct f3_buf inherited;
	uint8_t *copy;
	bool minimal;
	mode_t mode;

	/* One without entries takes the ACL away, and never comes here. Too large for the disk says
	 * nothing. */
	if (kernel_knows && len > 4) {
		int k = setxattr(acl_path, F3_ACL_ACCESS, bytes, len, 0) ? -errno : 0;

		if (!r && k && k != -ENOSPC && k != -E2BIG) {
			hostile_why("the kernel refuses it (%s)", f3_errno_name(k));
			return HOSTILE_WRONG;
		}
		if (r && !k) {
			hostile_why("the kernel takes it");
			return HOSTILE_WRONG;
		}
	}
	if (r)
		return HOSTILE_REFUSED;
	copy = malloc(len);
	if (!copy)
		abort();
	memcpy(copy, bytes, len);
	f3_buf_init(&inherited, HOSTILE_MAX);
	r = f3_acl_to_mode(bytes, len, 0, &mode, &minimal);
	if (!r)
		r = f3_acl_chmod(copy, len, 0750);
	if (!r)
		r = f3_acl_check(copy, len);
	if (!r)
		r = f3_acl_create(bytes, len, 0640, &mode, &inherited);
	if (!r && inherited.len)
		r = f3_acl_check(inherited.data, inherited.len);
	f3_buf_done(&inherited);
	free(copy);
	hostile_why("it makes one that is none");
	return r ? HOSTILE_WRONG : HOSTILE_TAKEN;
}

/* ---- A core --------------------------------------------------------------------------------- */

static void begin_core(void)
{
	begin_acl();
	if (whole_enter())
		abort();
	whole_start("writeback", 5);
	if (whole_mkdir("d") || whole_put("d/own", "own", 3) || whole_put("own", "own", 3))
		abort();
	whole_settle();
}

static void end_core(void)
{
	whole_stop();
	whole_leave();
	end_acl();
}

/* ---- setxattr ---------------------------------------------------------------------------------- */

static size_t put_string(uint8_t *out, size_t at, const char *text)
{
	memcpy(out + at, text, strlen(text) + 1);
	return at + strlen(text) + 1;
}

/* A name, NUL, the value. */
static size_t good_xattr(struct hostile_rng *rng, uint8_t *out)
{
	static const char *const pairs[][2] = {
		{ "user.f3.class", "writeback" },
		{ "user.f3.class", "memory" },
		{ "user.f3.stream", "1" },
		{ "user.f3.state", "clean" },
		{ "user.f3.nodes", "x" },
		{ "user.mime", "text/plain" },
		{ "trusted.overlay.opaque", "y" },
		{ "security.selinux", "label" },
		{ "user.", "x" },
		{ "system.nfs4_acl", "x" },
	};
	uint64_t i = hostile_below(rng, 13);
	size_t at;

	if (i < 10) {
		at = put_string(out, 0, pairs[i][0]);
		memcpy(out + at, pairs[i][1], strlen(pairs[i][1]));
		return at + strlen(pairs[i][1]);
	}
	if (i == 10) {
		at = put_string(out, 0, "security.capability");
		memcpy(out + at, "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
		return at + 20;
	}
	at = put_string(out, 0, i == 11 ? F3_ACL_ACCESS : F3_ACL_DEFAULT);
	return at + good_acl(rng, out + at);
}

static bool may_be_set(const char *name)
{
	if (!strncmp(name, "user.f3.", 8))
		return !strcmp(name, "user.f3.class") || !strcmp(name, "user.f3.stream");
	return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8) ||
	       (!strncmp(name, "security.", 9) && strcmp(name, "security.selinux") != 0) ||
	       !strcmp(name, F3_ACL_ACCESS) || !strcmp(name, F3_ACL_DEFAULT);
}

static bool comes_back(uint64_t ino, const char *name, const uint8_t *value, size_t size)
{
	bool ok = true, own = !strncmp(name, "user.f3.", 8) || !strncmp(name, "system.", 7);
	struct f3_buf got;
	int r;

	f3_buf_init(&got, F3_XATTR_VALUE_MAX);
	r = f3_xattr_get(w.core, ino, name, &got);
	/* A minimal ACL is the mode; class and stream have words of their own. */
	if (!own)
		ok = !r && got.len == size && !memcmp(got.data, value, size);
	f3_buf_done(&got);
	return ok;
}

static enum hostile_verdict take_xattr(const uint8_t *bytes, size_t len)
{
	static const char *const paths[] = { "own", "d" };
	enum hostile_verdict v = HOSTILE_REFUSED;
	size_t n = strnlen((const char *)bytes, len);
	char *name = strndup((const char *)bytes, n);
	const uint8_t *value = bytes + (n < len ? n + 1 : n);
	size_t size = len - (size_t)(value - bytes);

	if (!name)
		abort();
	for (size_t i = 0; i < 2; i++) {
		uint64_t ino = whole_ino(paths[i]);
		struct f3_buf list;
		int r = f3_xattr_set(w.core, ino, name, value, size, 0, false, &whole_root);

		if (r)
			continue;
		v = HOSTILE_TAKEN;
		if (!may_be_set(name) || !comes_back(ino, name, value, size)) {
			v = HOSTILE_WRONG;
			hostile_why("%.100s was set", name);
			break;
		}
		f3_buf_init(&list, 1u << 20);
		r = f3_xattr_list(w.core, ino, &list, &whole_root);
		f3_buf_done(&list);
		if (r || f3_xattr_remove(w.core, ino, name, &whole_root)) {
			v = HOSTILE_WRONG;
			hostile_why("%.100s does not go", name);
			break;
		}
	}
	free(name);
	return v;
}

/* ---- Strangers in the store --------------------------------------------------------------------- */

static const char *in_store(const char *name)
{
	static char path[2][1024];
	static int n;

	n = !n;
	snprintf(path[n], sizeof(path[n]), "%s/%s", w.store_dir, name);
	return path[n];
}

/* What the core makes of it can be handed to the kernel. */
static enum hostile_verdict look(const char *name)
{
	enum hostile_verdict v = HOSTILE_TAKEN;
	struct f3_buf list, acl;
	struct f3_entry e;
	uint64_t ttl;
	int r = f3_ns_lookup(w.core, w.root, name, &whole_root, &e, &ttl);

	if (r == -ENOENT || r == -EIO || r == -ESTALE || r == -EINVAL || r == -ENAMETOOLONG)
		return HOSTILE_REFUSED;
	if (r) {
		hostile_why("lookup says %s", f3_errno_name(r));
		return HOSTILE_WRONG;
	}
	if (!S_ISREG(e.st.st_mode) && !S_ISLNK(e.st.st_mode) && !S_ISFIFO(e.st.st_mode) &&
	    !S_ISSOCK(e.st.st_mode) && !S_ISDIR(e.st.st_mode) &&
	    !((S_ISCHR(e.st.st_mode) || S_ISBLK(e.st.st_mode)) && !(e.st.st_mode & 07777)))
		v = HOSTILE_WRONG;
	if (!S_ISDIR(e.st.st_mode) && (e.st.st_mode & (S_ISUID | S_ISGID)))
		v = HOSTILE_WRONG;
	if (e.st.st_size < 0)
		v = HOSTILE_WRONG;
	hostile_why("its mode is %o, its size %" PRId64, e.st.st_mode, (int64_t)e.st.st_size);
	f3_buf_init(&list, 1u << 20);
	f3_buf_init(&acl, F3_XATTR_VALUE_MAX);
	if (f3_xattr_list(w.core, e.ino, &list, &whole_root))
		list.len = 0;
	for (size_t at = 0; at < list.len; at += strlen((char *)list.data + at) + 1) {
		const char *x = (const char *)list.data + at;

		if (strncmp(x, "user.", 5) != 0 && strcmp(x, F3_ACL_ACCESS) != 0 &&
		    strcmp(x, F3_ACL_DEFAULT) != 0) {
			v = HOSTILE_WRONG;
			hostile_why("it has %.100s", x);
		}
	}
	if (!f3_xattr_get(w.core, e.ino, F3_ACL_ACCESS, &acl) && kernel_knows && acl.len > 4 &&
	    setxattr(acl_path, F3_ACL_ACCESS, acl.data, acl.len, 0) && errno == EINVAL) {
		v = HOSTILE_WRONG;
		hostile_why("it has an ACL that the kernel refuses");
	}
	f3_buf_done(&acl);
	f3_buf_done(&list);
	return v;
}

/* A new file of somebody's with this attribute. False: the disk does not take it. */
static bool leave(const char *attribute, const uint8_t *bytes, size_t len)
{
	int fd = open(in_store("x.new"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	bool ok = fd >= 0 && !fchmod(fd, 0640) && write(fd, "text", 4) == 4 &&
		  !futimens(fd, (const struct timespec[]){ { 7, 7 }, { 7, 7 } }) &&
		  !fsetxattr(fd, attribute, bytes, len, 0);

	if (fd >= 0)
		close(fd);
	return ok && !rename(in_store("x.new"), in_store("x"));
}

/* Version, mode, user, group and time as given and as the disk has them, and a device. */
static void put_claim(struct hostile_rng *rng, struct f3_buf *buf, uint32_t disk_mode)
{
	static const uint32_t modes[] = { S_IFREG | 0640, S_IFREG | 06755, S_IFLNK | 0777,
					  S_IFIFO | 0600, S_IFCHR | 0666,  S_IFBLK | 0600,
					  S_IFSOCK | 01,  S_IFDIR | 0755,  0640,
					  0xffffffff };

	f3_buf_put_u8(buf, 1);
	f3_buf_put_u32(buf, modes[hostile_below(rng, 10)]);
	f3_buf_put_u32(buf, disk_mode);
	for (int i = 0; i < 2; i++) {
		f3_buf_put_u32(buf, (uint32_t)hostile_random(rng));
		f3_buf_put_u32(buf, 0);
	}
	f3_buf_put_i64(buf, (int64_t)hostile_random(rng));
	f3_buf_put_i64(buf, 7000000007);
	f3_buf_put_u64(buf, hostile_random(rng));
}

static size_t take_out(struct f3_buf *buf, uint8_t *out)
{
	size_t len = buf->len;

	memcpy(out, buf->data, len);
	f3_buf_done(buf);
	return len;
}

static size_t good_attr(struct hostile_rng *rng, uint8_t *out)
{
	struct f3_buf buf;

	f3_buf_init(&buf, HOSTILE_MAX);
	put_claim(rng, &buf, S_IFREG | 0640);
	return take_out(&buf, out);
}

static enum hostile_verdict take_attr(const uint8_t *bytes, size_t len)
{
	return leave("user.f3.attr", bytes, len) ? look("x") : HOSTILE_REFUSED;
}

static size_t good_rest(struct hostile_rng *rng, uint8_t *out)
{
	static const char *const names[] = { F3_ACL_ACCESS,         F3_ACL_DEFAULT,  "trusted.x",
					     "security.capability", "user.f3.class", "user.a" };
	uint8_t acl[256];
	struct f3_buf buf;

	f3_buf_init(&buf, HOSTILE_MAX);
	for (uint64_t n = 1 + hostile_below(rng, 3); n; n--) {
		const char *name = names[hostile_below(rng, 6)];
		size_t len = good_acl(rng, acl);

		f3_buf_put_str16(&buf, name, strlen(name));
		f3_buf_put_u32(&buf, (uint32_t)len);
		f3_buf_put(&buf, acl, len);
	}
	return take_out(&buf, out);
}

static enum hostile_verdict take_rest(const uint8_t *bytes, size_t len)
{
	return leave("user.f3.xattrs", bytes, len) ? look("x") : HOSTILE_REFUSED;
}

/* A link has no xattrs: what F3 says of it lies beside, under its inode number. */
static size_t good_sidecar(struct hostile_rng *rng, uint8_t *out)
{
	static const char gen[] = "000102030405060708090a0b0c0d0e0f.1.1";
	struct f3_buf buf;

	f3_buf_init(&buf, HOSTILE_MAX);
	f3_buf_put_u8(&buf, 1);
	f3_buf_put_u32(&buf, S_IFLNK);
	f3_buf_put_u64(&buf, 6);
	f3_buf_put_i64(&buf, 7000000007);
	f3_buf_put_str16(&buf, gen, strlen(gen));
	put_claim(rng, &buf, S_IFLNK | 0777);
	return take_out(&buf, out);
}

static enum hostile_verdict take_sidecar(const uint8_t *bytes, size_t len)
{
	const struct timespec times[] = { { 7, 7 }, { 7, 7 } };
	struct stat st;
	char name[64];
	int fd;

	unlink(in_store("l.new"));
	if (symlink("target", in_store("l.new")) || lstat(in_store("l.new"), &st) ||
	    utimensat(AT_FDCWD, in_store("l.new"), times, AT_SYMLINK_NOFOLLOW))
		abort();
	snprintf(name, sizeof(name), ".f3/gen/%" PRIx64, (uint64_t)st.st_ino);
	fd = open(in_store(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	close(fd);
	if (rename(in_store("l.new"), in_store("l")))
		abort();
	return look("l");
}

/* ---- Names ------------------------------------------------------------------------------------- */

static size_t good_file_name(struct hostile_rng *rng, uint8_t *out)
{
	static const char *const names[] = { "name", ".f3x", "a b", "\xff\xfe",
					     "x\n",  "...",  "~",   "-rf" };

	return put_string(out, 0, names[hostile_below(rng, 8)]) - 1;
}

struct listing {
	const char *name;
	bool found, bad;
};

static int see_name(void *arg, const char *name, size_t len, uint64_t cookie,
		    const struct f3_entry *e)
{
	struct listing *l = arg;

	(void)cookie;
	if (!len || len > F3_NAME_MAX || memchr(name, '/', len) || memchr(name, 0, len) || !e->ino)
		l->bad = true;
	if (len == strlen(l->name) && !memcmp(name, l->name, len))
		l->found = true;
	return 0;
}

static enum hostile_verdict take_file_name(const uint8_t *bytes, size_t len)
{
	char *name = strndup((const char *)bytes, len);
	struct listing l = { .name = name };
	enum hostile_verdict v = HOSTILE_REFUSED;
	int fd, r;

	if (!name)
		abort();
	/* What no file can be called does not get as far as the store. */
	if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") ||
	    !strcmp(name, ".f3") || strlen(name) > 255) {
		free(name);
		return v;
	}
	fd = open(in_store(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd >= 0) {
		close(fd);
		v = look(name);
		r = f3_ns_readdir(w.core, w.root, 0, true, &whole_root, see_name, &l);
		if (v == HOSTILE_REFUSED || r || !l.found || l.bad) {
			hostile_why("it is in the store and not in the volume");
			v = HOSTILE_WRONG;
		}
		unlink(in_store(name));
		(void)look(name);
	}
	free(name);
	return v;
}

/* ---- Uploads under way -------------------------------------------------------------------------- */

#define UPLOAD "000102030405060708090a0b0c0d0e0f"
#define RECORD_BYTES 48u

/* The manifest, as long as two bytes at the start say, then records of parts. */
static size_t good_upload(struct hostile_rng *rng, uint8_t *out)
{
	static const char gen[] = "000102030405060708090a0b0c0d0e0f.1.1";
	struct f3_buf buf;

	f3_buf_init(&buf, HOSTILE_MAX);
	f3_buf_put_u16(&buf, 0);
	f3_buf_put_u8(&buf, 1);
	f3_buf_put_str16(&buf, "up", 2);
	f3_buf_put_i64(&buf, 5);
	f3_buf_put_u64(&buf, hostile_below(rng, 2));
	f3_buf_put_str16(&buf, gen, strlen(gen));
	f3_buf_put_u8(&buf, (uint8_t)hostile_below(rng, 16));
	f3_buf_put_u32(&buf, S_IFREG | 0640);
	f3_buf_put_u64(&buf, 0);
	f3_buf_put_i64(&buf, 7);
	f3_buf_put_i64(&buf, 7);
	f3_buf_put_u64(&buf, 0);
	f3_buf_put_u32(&buf, 0);
	buf.data[0] = (uint8_t)((buf.len - 2) >> 8);
	buf.data[1] = (uint8_t)(buf.len - 2);
	for (uint32_t i = 1; i <= 3; i++) {
		size_t at = buf.len;

		f3_buf_put_u32(&buf, 0x46335031u);
		f3_buf_put_u32(&buf, i);
		f3_buf_put_u64(&buf, hostile_below(rng, 3) ? 4 * (i - 1) : hostile_random(rng));
		f3_buf_put_u64(&buf, hostile_below(rng, 3) ? 4 : hostile_random(rng));
		f3_buf_put_u64(&buf, i);
		f3_buf_put_u32(&buf, 0);
		f3_buf_put_u32(&buf, 0);
		f3_buf_put_u32(&buf, 0);
		f3_buf_put_u32(&buf, f3_crc32c(0, buf.data + at, buf.len - at));
	}
	return take_out(&buf, out);
}

static void write_file(const char *name, const uint8_t *bytes, size_t len)
{
	int fd = open(in_store(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	close(fd);
}

static int run_op(struct f3_obj_op *op)
{
	int r = f3_object_run(w.fault, op);

	f3_object_op_done(op);
	return r;
}

static enum hostile_verdict take_upload(const uint8_t *bytes, size_t len)
{
	const struct f3_obj_gen gen = { .generation = 1 };
	struct f3_obj_part parts[3];
	size_t manifest = len < 2 ? 0 : (size_t)(bytes[0] << 8 | bytes[1]);
	struct f3_obj_op op;
	int r;

	if (len < 2)
		return HOSTILE_REFUSED;
	if (manifest > len - 2)
		manifest = len - 2;
	if (mkdir(in_store(".f3/upload/" UPLOAD), 0700) && errno != EEXIST)
		abort();
	write_file(".f3/upload/" UPLOAD "/manifest", bytes + 2, manifest);
	write_file(".f3/upload/" UPLOAD "/parts", bytes + 2 + manifest, len - 2 - manifest);
	write_file(".f3/upload/" UPLOAD "/data", (const uint8_t *)"twelve bytes", 12);
	f3_object_op_init(&op, F3_OBJ_UPLOAD_LIST);
	op.key = "";
	(void)run_op(&op);
	f3_object_op_init(&op, F3_OBJ_UPLOAD_PART);
	op.key = "up";
	op.upload = UPLOAD;
	op.part = 2;
	op.off = 4;
	op.body = "four";
	op.len = 4;
	op.gen = &gen;
	(void)run_op(&op);
	for (uint32_t i = 0; i < 3; i++) {
		parts[i] = (struct f3_obj_part){ .number = i + 1, .off = 4 * i, .len = 4 };
		snprintf(parts[i].etag, sizeof(parts[i].etag), "%016x", i + 1);
	}
	f3_object_op_init(&op, F3_OBJ_UPLOAD_COMPLETE);
	op.key = "up";
	op.upload = UPLOAD;
	op.parts = parts;
	op.n_parts = 3;
	op.gen = &gen;
	r = run_op(&op);
	f3_object_op_init(&op, F3_OBJ_UPLOAD_ABORT);
	op.key = "up";
	op.upload = UPLOAD;
	(void)run_op(&op);
	/* Part 2 was written anew: the etag that is asked for is that of before. */
	if (!r) {
		hostile_why("an upload of other parts was completed");
		return HOSTILE_WRONG;
	}
	return HOSTILE_REFUSED;
}

const struct hostile_target hostile_stores[] = {
	{ .name = "acl",
	  .every = 1,
	  .begin = begin_acl,
	  .end = end_acl,
	  .good = good_acl,
	  .take = take_acl },
	{ .name = "xattr",
	  .every = 4,
	  .begin = begin_core,
	  .end = end_core,
	  .good = good_xattr,
	  .take = take_xattr },
	{ .name = "store-attr",
	  .every = 4,
	  .begin = begin_core,
	  .end = end_core,
	  .good = good_attr,
	  .take = take_attr },
	{ .name = "store-xattrs",
	  .every = 4,
	  .begin = begin_core,
	  .end = end_core,
	  .good = good_rest,
	  .take = take_rest },
	{ .name = "store-sidecar",
	  .every = 4,
	  .begin = begin_core,
	  .end = end_core,
	  .good = good_sidecar,
	  .take = take_sidecar },
	{ .name = "store-name",
	  .every = 4,
	  .begin = begin_core,
	  .end = end_core,
	  .good = good_file_name,
	  .take = take_file_name },
	{ .name = "store-upload",
	  .every = 4,
	  .begin = begin_core,
	  .end = end_core,
	  .good = good_upload,
	  .take = take_upload },
	{ .name = NULL },
};
