/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stock: files made ahead.
 *
 * Making a backing file and registering it with the kernel costs more than everything else that
 * create(2) needs. So inode numbers are taken out ahead of time together with their empty backing
 * files, opened and registered, on another thread; creating a file then takes one from the stock.
 * A number that was taken out and never used is lost, and its file removed at stop or, after a
 * crash, by the next start's sweep (no record speaks of it).
 *
 * A stock belongs to one backing store of one volume. It is filled only after the first create in
 * it and again when half of it was used, so that an idle daemon does nothing.
 */
#ifndef F3_CORE_STOCK_H
#define F3_CORE_STOCK_H

#include <sys/stat.h>

#include "fs/core/core.h"

struct f3_stock;

struct f3_stock_item {
	uint64_t ino;
	int fd;			/* O_RDONLY on backing file number 1 of ino */
	int backing_id;		/* 0: not registered */
	struct stat st;
};

int f3_stock_new(struct f3_core *core, struct f3_backing_store *store, struct f3_stock **ret_s);
/* Removes what is left. Nobody takes any more; the transfer queue has been freed. */
void f3_stock_free(struct f3_stock *s);
/* One item, made on the spot if there is none; the caller owns descriptor, id and file. -errno. */
int f3_stock_take(struct f3_stock *s, struct f3_stock_item *ret);
/* Gives back an item that was not used after all. */
void f3_stock_drop(struct f3_stock *s, struct f3_stock_item *item);

#endif
