/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_fixture: a core without its upper half, for tests of transfers and of space.
 *
 * Real: database, ring, backing files (in a temporary directory), work queues, timers, budget.
 * Not real: the inode table (inodes are kept in a list for the whole test), the bookkeeping of
 * file.c (the plain form of it), and the object store: objects are made up by a function of
 * offset and seed, requests are counted, and can be held, failed and made to race.
 */
#ifndef F3_TESTS_UNIT_CORE_FIXTURE_H
#define F3_TESTS_UNIT_CORE_FIXTURE_H

#include "fs/core/file.h"
#include "fs/core/inode.h"
#include "fs/core/volume.h"

struct fixture {
	struct f3_core core;
	struct f3_volume volume;
	char dir[64];
};

extern struct fixture fx;

/* cache: megabytes the daemon may use for buffers. */
void fixture_start(uint64_t memory_bytes);
void fixture_stop(void);
/* Database closed and opened again, inodes forgotten: what a restart finds. */
void fixture_restart(void);

/* A regular file whose bytes are in the store. It is referenced by the fixture. */
struct f3_inode *fixture_remote(uint64_t ino, const char *name, uint64_t size);
/* A local one with its bytes here (the same bytes). */
struct f3_inode *fixture_local(uint64_t ino, const char *name, uint64_t size, enum f3_class c,
			       enum f3_class backing_class);
/* From the database, after a restart. */
struct f3_inode *fixture_load(uint64_t ino);
void fixture_commit(struct f3_inode *inode);

/* The byte at `off` of an object of the fixture. */
uint8_t fixture_byte(uint64_t off);
/* Does the backing file hold the object's bytes in [off, off+len)? */
bool fixture_has(struct f3_inode *inode, uint64_t off, uint64_t len);

/* The store. */
struct fake_store {
	struct f3_object_store base;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct f3_obj_op *first, *last; /* linked by priv[0] */
	pthread_t thread;
	bool stop;
	bool hold; /* requests wait until it is false */
	unsigned held; /* so many wait now */
	unsigned gets;
	uint64_t get_bytes;
	uint64_t largest;
	unsigned running, most_running;
	int fail; /* the next `fail_times` requests answer this */
	unsigned fail_times;
	char etag[F3_ETAG_MAX + 1]; /* of every object */
	char missing[64]; /* this key is not there */
	unsigned cancels;
};

extern struct fake_store *fake;

void fake_hold(bool hold);
/* Requests so far, while they are under way. */
unsigned fake_gets(void);
/* Waits until so many requests are held. */
void fake_await_held(unsigned n);

#endif
