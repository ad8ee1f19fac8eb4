/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_whole: a whole core with one volume on a file:// store, without a kernel above it.
 *
 * Everything is real; between the core and the store stands object_fault.h, and every mutation that
 * came through is noted in the order of its end.
 */
#ifndef F3_TESTS_UNIT_CORE_WHOLE_H
#define F3_TESTS_UNIT_CORE_WHOLE_H

#include "fs/core/core.h"
#include "fs/core/file.h"
#include "fs/core/namespace.h"
#include "fs/core/volume.h"
#include "tests/fault/object_fault.h"
#include "tests/fault/object_keyed.h"
#include "tests/unit/unit.h"

struct whole {
	char dir[160];			/* temporary */
	char store_dir[168];		/* where the objects lie */
	const char *class_;
	struct f3_conf *conf;
	struct f3_core *core;
	struct f3_volume *volume;	/* "v" */
	struct f3_object_store *fault;	/* its store */
	struct f3_object_store *keyed;	/* the one behind, if it is no file:// */
	bool copies;			/* before whole_open: it cannot rename, nor list attributes */
	uint64_t root;
};

extern struct whole w;
extern const struct f3_caller whole_root;	/* may block */

/* What main ends with, instead of f3_unit_run. */
int whole_run(Suite *suite);
/* The same around other work: 0 or -errno. */
int whole_enter(void);
void whole_leave(void);

/* class_: of the volume. retry-min is 1 ms, retry-max so many ms, attr-ttl 0. */
void whole_start(const char *class_, unsigned retry_max_ms);
/* The same on a store like S3, with so many entries on a page (tests/fault/object_keyed.h). */
void whole_start_keyed(const char *class_, unsigned page);
void whole_stop(void);
/* Stops and starts on the same directories, as a restart does. */
void whole_restart(void);
/* The same without a stop: everything was done in a child process that ended meanwhile. The
 * directories are made by whole_prepare before it forks; then whole_open in each. */
void whole_prepare(const char *class_, unsigned retry_max_ms);
void whole_open(void);
void whole_clean(void);

/* Names: "a/b" below the volume's root. 0 or -errno. */
uint64_t whole_ino(const char *path);			/* 0: there is none */
int whole_mkdir(const char *path);
int whole_rmdir(const char *path);
int whole_unlink(const char *path);
int whole_rename(const char *from, const char *to, unsigned flags);
int whole_symlink(const char *target, const char *path);

/* A file made or opened for writing, referenced. */
struct f3_inode *whole_create(const char *path);
struct f3_inode *whole_open_file(const char *path, int flags);
void whole_write(struct f3_inode *inode, uint64_t off, const void *bytes, size_t len);
/* What close() of a durable file waits for. */
int whole_flush(struct f3_inode *inode);
void whole_close(struct f3_inode *inode, bool writer);
/* All three: its result is the flush's. */
int whole_put(const char *path, const void *bytes, size_t len);
uint8_t whole_state(const char *path);
/* Until the journal is empty. */
void whole_settle(void);

/* The store's directory, seen from outside. */
bool store_has(const char *key);
void store_is(const char *key, const void *bytes, size_t len);
void store_write(const char *key, const void *bytes, size_t len);
void store_remove(const char *key);

/* Mutations that came through, in the order of their ends. */
struct done_op {
	enum f3_obj_type type;
	char key[64], key2[64];
};
size_t whole_done(struct done_op *ops, size_t max);
void whole_fault(unsigned type, enum f3_object_fault_action action, int error, unsigned times);
uint64_t whole_count(enum f3_obj_type type);

#endif
