/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole database in which one value, or one key, is not what it was: a core is started on it, goes on
 * where the last one ended, and every name is looked at. It may refuse to start, with a reason.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/log.h"
#include "fs/core/inode.h"
#include "fs/core/stage.h"
#include "fs/core/xattr.h"
#include "fs/meta/kv.h"
#include "tests/fuzz/hostile.h"
#include "tests/unit/core_whole.h"

#define PAIRS_MAX 1024u
#define DEPTH_MAX 8

struct pair {
	enum f3_cf cf;
	uint8_t *key, *value;
	size_t klen, vlen;
};

static struct pair pairs[PAIRS_MAX];
static size_t n_pairs;

static void *copy_of(const void *bytes, size_t len)
{
	void *copy = malloc(len + 1);

	if (!copy)
		abort();
	return memcpy(copy, bytes, len);
}

static struct f3_kv *open_kv(void)
{
	const struct f3_kv_options opt = { .block_cache_bytes = 1 << 20,
					   .write_buffer_bytes = 1 << 20 };
	struct f3_err err = F3_ERR_INIT;
	struct f3_kv *kv;
	char dir[200];

	snprintf(dir, sizeof(dir), "%s/cache/db", w.dir);
	if (f3_meta_rocks_open(dir, &opt, &kv, &err)) {
		printf("%s\n", err.text);
		abort();
	}
	return kv;
}

static void each_pair(struct f3_kv *kv, void (*fn)(void *arg, const struct pair *p), void *arg)
{
	for (int cf = 0; cf < F3_CF_MAX; cf++) {
		struct pair p = { .cf = (enum f3_cf)cf };
		const uint8_t *key, *value;
		struct f3_kv_iter *it;

		if (kv->ops->iter_new(kv, p.cf, NULL, 0, NULL, 0, &it))
			abort();
		while (kv->ops->iter_next(it, &key, &p.klen, &value, &p.vlen) > 0) {
			p.key = copy_of(key, p.klen);
			p.value = copy_of(value, p.vlen);
			fn(arg, &p);
		}
		kv->ops->iter_free(it);
	}
}

static void save_pair(void *arg, const struct pair *p)
{
	(void)arg;
	if (n_pairs == PAIRS_MAX)
		abort();
	pairs[n_pairs++] = *p;
}

static struct f3_kv_batch *batch;

static void drop_pair(void *arg, const struct pair *p)
{
	struct f3_kv *kv = arg;

	kv->ops->batch_del(batch, p->cf, p->key, p->klen);
	free(p->key);
	free(p->value);
}

/* As it was, but for what the input says. */
static void put_all(const uint8_t *bytes, size_t len)
{
	size_t which = len > 1 ? (size_t)(bytes[0] << 8 | bytes[1]) % n_pairs : 0;
	bool is_key = len > 2 && bytes[2] % 4 == 3;
	struct f3_kv *kv = open_kv();

	if (kv->ops->batch_new(kv, &batch))
		abort();
	each_pair(kv, drop_pair, kv);
	for (size_t i = 0; i < n_pairs; i++) {
		struct pair p = pairs[i];

		if (i == which && len > 2 && is_key) {
			p.key = (uint8_t *)bytes + 3;
			p.klen = len - 3;
		} else if (i == which && len > 2) {
			p.value = (uint8_t *)bytes + 3;
			p.vlen = len - 3;
		}
		kv->ops->batch_put(batch, p.cf, p.key, p.klen, p.value, p.vlen);
	}
	if (kv->ops->write(kv, batch))
		abort();
	kv->ops->batch_free(kv, batch);
	kv->ops->close(kv);
}

static size_t good_database(struct hostile_rng *rng, uint8_t *out)
{
	size_t i = (size_t)hostile_below(rng, n_pairs);
	bool is_key = !hostile_below(rng, 4);
	size_t len = is_key ? pairs[i].klen : pairs[i].vlen;

	out[0] = (uint8_t)(i >> 8);
	out[1] = (uint8_t)i;
	out[2] = is_key ? 3 : 0;
	/* The head of the input is not what is to be spoilt. */
	memcpy(out + 3, is_key ? pairs[i].key : pairs[i].value, len);
	if (len && hostile_below(rng, 2))
		out[3 + hostile_below(rng, len)] ^= (uint8_t)(1u << hostile_below(rng, 8));
	return len + 3;
}

static void begin_database(void)
{
	struct f3_inode *open;
	struct f3_kv *kv;

	if (whole_enter())
		abort();
	whole_start("writeback", 5);
	if (whole_mkdir("d") || whole_mkdir("d/e") || whole_symlink("target", "d/link") ||
	    whole_put("d/a", "content", 7) || whole_put("b", "other", 5) ||
	    whole_put("d/e/c", "third", 5))
		abort();
	(void)f3_xattr_set(w.core, whole_ino("b"), "user.mime", "text", 4, 0, false, &whole_root);
	(void)f3_xattr_set(w.core, whole_ino("d"), "user.f3.class", "ephemeral", 9, 0, false,
			   &whole_root);
	whole_settle();
	/* Left behind in the journal and with marks. */
	whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_FAIL, EIO, UINT32_MAX);
	whole_fault(F3_OBJ_MKDIR, F3_OBJ_FAULT_FAIL, EIO, UINT32_MAX);
	whole_fault(F3_OBJ_DELETE, F3_OBJ_FAULT_FAIL, EIO, UINT32_MAX);
	if (whole_put("late", "not in the store", 16) || whole_mkdir("late-dir") ||
	    whole_unlink("b"))
		abort();
	open = whole_create("d/writing");
	whole_write(open, 0, "bytes", 5);
	whole_close(open, true);
	f3_volume_put(w.volume);
	f3_core_stop(w.core);
	kv = open_kv();
	each_pair(kv, save_pair, NULL);
	kv->ops->close(kv);
}

static void end_database(void)
{
	for (size_t i = 0; i < n_pairs; i++) {
		free(pairs[i].key);
		free(pairs[i].value);
	}
	whole_clean();
	whole_leave();
}

/* ---- What is made of it ------------------------------------------------------------------------- */

struct walk {
	uint64_t inos[64];
	size_t n;
	bool bad;
};

static int see(void *arg, const char *name, size_t len, uint64_t cookie, const struct f3_entry *e)
{
	struct walk *walk = arg;

	(void)cookie;
	if (!len || len > F3_NAME_MAX || memchr(name, '/', len) || memchr(name, 0, len))
		walk->bad = true;
	if (walk->n < 64 && !(len == 1 && name[0] == '.') &&
	    !(len == 2 && name[0] == '.' && name[1] == '.'))
		walk->inos[walk->n++] = e->ino;
	return 0;
}

static bool look_at(uint64_t ino, int depth)
{
	struct walk walk = { .n = 0 };
	char target[F3_SYMLINK_MAX + 1];
	struct f3_open_plan plan;
	struct f3_inode *inode;
	struct f3_entry e;
	struct f3_buf list;
	bool ok;

	if (f3_ns_getattr(w.core, ino, &e))
		return true;
	ok = e.st.st_size >= 0 && (e.st.st_mode & S_IFMT);
	f3_buf_init(&list, 1u << 20);
	(void)f3_xattr_list(w.core, ino, &list, &whole_root);
	f3_buf_done(&list);
	if (S_ISLNK(e.st.st_mode)) {
		(void)f3_ns_readlink(w.core, ino, target, sizeof(target));
	} else if (S_ISREG(e.st.st_mode) && !f3_inode_get(w.core, ino, &inode)) {
		if (!f3_file_open(w.core, inode, O_RDONLY, &whole_root, &plan))
			f3_file_release(w.core, inode, false, false);
		f3_inode_put(w.core, inode);
	} else if (S_ISDIR(e.st.st_mode) && depth < DEPTH_MAX) {
		(void)f3_ns_readdir(w.core, ino, 0, true, &whole_root, see, &walk);
		for (size_t i = 0; i < walk.n && ok; i++)
			ok = look_at(walk.inos[i], depth + 1);
	}
	if (!ok || walk.bad)
		hostile_why("inode %llu: mode %o", (unsigned long long)ino, e.st.st_mode);
	return ok && !walk.bad;
}

static enum hostile_verdict take_database(const uint8_t *bytes, size_t len)
{
	enum hostile_verdict v = HOSTILE_TAKEN;
	struct f3_err err = F3_ERR_INIT;
	int r;

	put_all(bytes, len);
	w.core = NULL;
	r = f3_core_start(w.conf, -1, &w.core, &err);
	if (!r)
		r = f3_core_recover(w.core, &err);
	if (r) {
		f3_core_stop(w.core);
		hostile_why("%s without a reason", f3_errno_name(r));
		return err.text[0] ? HOSTILE_REFUSED : HOSTILE_WRONG;
	}
	w.volume = f3_volume_find(w.core, "v");
	if (w.volume && !look_at(w.volume->root_ino, 0))
		v = HOSTILE_WRONG;
	f3_volume_put(w.volume);
	f3_core_stop(w.core);
	return v;
}

const struct hostile_target hostile_databases[] = {
	{ .name = "database",
	  .every = 100,
	  .begin = begin_database,
	  .end = end_database,
	  .good = good_database,
	  .take = take_database },
	{ .name = NULL },
};
