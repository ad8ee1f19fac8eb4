/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model behind fsstress: what one process made of its names and files, and
 * what of it must be there, may be there, or must be gone, after a crash.
 *
 * Names are given once and never again, except that a file renamed over another
 * takes its name; a directory is known by its name, a symlink by its target,
 * and a file by what is in it: every block of 1 KiB says of which file, which
 * place and which operation it is. So a tree can be judged without trust in it.
 *
 * An operation applied is not yet durable: each fact keeps what it was at the
 * last sync and what it may have become since. sm_sync_* say what a sync settled.
 * After a crash of the daemon alone everything acknowledged is settled.
 *
 * No locks: a model belongs to one process. No I/O except reading in sm_verify.
 */
#ifndef F3_TESTS_POSIX_STRESS_MODEL_H
#define F3_TESTS_POSIX_STRESS_MODEL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_BLOCK 1024
#define SM_BLOCKS 48
#define SM_LINKS 4
#define SM_VALUES 8 /* of mode and xattr; the 9th xattr value is: none */

enum sm_type { SM_FILE, SM_DIR, SM_SYMLINK };

/* The process's own directory and the one it shares with all others. */
enum { SM_ROOT = 0, SM_SHARED = 1 };

enum sm_code {
	SM_CREATE,  /* inode parent name */
	SM_MKDIR,   /* inode parent name */
	SM_SYMLINK_, /* inode parent name */
	SM_WRITE,   /* inode first count way */
	SM_TRUNC,   /* inode blocks */
	SM_PUNCH,   /* inode first count */
	SM_RENAME,  /* inode old-parent old-name new-parent new-name */
	SM_LINK,    /* inode parent name */
	SM_UNLINK,  /* inode parent name */
	SM_RMDIR,   /* inode parent name */
	SM_CHMOD,   /* inode value */
	SM_XATTR,   /* inode value */
	SM_FSYNC,   /* inode */
	SM_SYNCFS,
	SM_N_CODES
};

struct sm_op {
	uint32_t number;
	enum sm_code code;
	uint32_t arg[5];
};

struct sm_block {
	uint32_t cur;	 /* the operation that wrote it, 0: zeros */
	uint32_t lo, hi; /* the oldest and newest that may be found */
	bool zeros_ok;
};

struct sm_link {
	uint32_t parent, name, inode;
	bool cur;	/* linked now */
	bool may;	/* may be found */
	bool must;	/* must be found: linked at the last sync and ever since */
};

struct sm_inode {
	enum sm_type type;
	bool synced;	/* had a durable name at some time, and */
	bool died;	/* lost its last name since the last sync */
	uint32_t n_links, min_links, max_links;
	uint32_t links[SM_LINKS];
	uint32_t n_blocks, min_blocks, max_blocks;
	unsigned int mode, modes_ok;   /* index; bits of indices */
	unsigned int xattr, xattrs_ok;
	struct sm_block *blocks; /* files: SM_BLOCKS of them, from the first write on */
	/* sm_verify: entries that may be this inode, those that can be no other, the last one. */
	unsigned int found, certain;
	unsigned long last_entry;
};

struct sm_model {
	uint32_t proc;
	struct sm_inode *inodes;
	uint32_t n_inodes, inodes_size;
	struct sm_link *links;
	uint32_t n_links, links_size;
	/* sm_verify */
	unsigned long entries;
	unsigned long problems;
};

void sm_init(struct sm_model *m, uint32_t proc);
void sm_done(struct sm_model *m);

/* False if the operation is not possible in this state: a damaged manifest. */
bool sm_apply(struct sm_model *m, const struct sm_op *op);
/* Content, attributes and all names of one inode, and the names above it;
 * of a directory also all changes of the names in it. */
void sm_sync_inode(struct sm_model *m, uint32_t inode);
void sm_sync_all(struct sm_model *m);

/* The name's text, and the path of an inode by its first current link. */
void sm_name(const struct sm_model *m, uint32_t parent, uint32_t name, enum sm_type type,
	     char text[64]);
int sm_path(const struct sm_model *m, const char *top, uint32_t inode, char path[PATH_MAX]);
int sm_link_path(const struct sm_model *m, const char *top, uint32_t parent, uint32_t name,
		 enum sm_type type, char path[PATH_MAX]);

extern const unsigned int sm_modes[SM_VALUES];
void sm_fill_block(const struct sm_model *m, uint32_t inode, uint32_t index, uint32_t version,
		   void *block);
/* The version of a block as found: 0 for zeros, UINT32_MAX if it is none of this
 * inode and place. */
uint32_t sm_read_block(const struct sm_model *m, uint32_t inode, uint32_t index,
		       const void *block);

/* Compares the tree under top with what must and may be; prints each problem. */
void sm_verify(struct sm_model *m, const char *top);

/* Text of one operation, for the manifest and for people. */
int sm_format(const struct sm_op *op, char *text, size_t size);
bool sm_parse(const char *text, struct sm_op *op);

#endif
