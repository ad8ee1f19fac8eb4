/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/posix/stress_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NO_XATTR SM_VALUES
#define MAGIC 0x66337374u
#define MAX_PRINTED 20 /* problems of one process */

struct header {
	uint32_t magic, proc, inode, index, version, sum;
};

const unsigned int sm_modes[SM_VALUES] = { 0644, 0600, 0640, 0664, 0666, 0604, 0660, 0606 };

static const struct {
	const char *name;
	int n_args;
} codes[SM_N_CODES] = {
	[SM_CREATE] = { "create", 3 },    [SM_MKDIR] = { "mkdir", 3 },
	[SM_SYMLINK_] = { "symlink", 3 }, [SM_WRITE] = { "write", 4 },
	[SM_TRUNC] = { "truncate", 2 },   [SM_PUNCH] = { "punch", 3 },
	[SM_RENAME] = { "rename", 5 },    [SM_LINK] = { "link", 3 },
	[SM_UNLINK] = { "unlink", 3 },    [SM_RMDIR] = { "rmdir", 3 },
	[SM_CHMOD] = { "chmod", 2 },      [SM_XATTR] = { "xattr", 2 },
	[SM_FSYNC] = { "fsync", 1 },      [SM_SYNCFS] = { "syncfs", 0 },
};

int sm_format(const struct sm_op *op, char *text, size_t size)
{
	int used = snprintf(text, size, "%" PRIu32 " %s", op->number, codes[op->code].name);

	for (int i = 0; i < codes[op->code].n_args; i++)
		used += snprintf(text + used, size - used, " %" PRIu32, op->arg[i]);
	return used;
}

bool sm_parse(const char *text, struct sm_op *op)
{
	char name[16];
	int used = 0;

	*op = (struct sm_op){ 0 };
	if (sscanf(text, "%" SCNu32 " %15s%n", &op->number, name, &used) != 2)
		return false;
	while (op->code < SM_N_CODES && strcmp(codes[op->code].name, name) != 0)
		op->code++;
	if (op->code == SM_N_CODES)
		return false;
	for (int i = 0; i < codes[op->code].n_args; i++) {
		int more = 0;

		text += used;
		if (sscanf(text, "%" SCNu32 "%n", &op->arg[i], &more) != 1)
			return false;
		used = more;
	}
	return true;
}

static void *grow(void *array, uint32_t *size, uint32_t need, size_t each)
{
	uint32_t bigger = *size ? *size : 64;

	while (bigger < need)
		bigger *= 2;
	if (bigger == *size)
		return array;
	array = realloc(array, bigger * each);
	if (!array) {
		fputs("fsstress: out of memory\n", stderr);
		exit(1);
	}
	*size = bigger;
	return array;
}

static bool add_inode(struct sm_model *m, uint32_t inode, enum sm_type type)
{
	if (inode != m->n_inodes)
		return false;
	m->inodes = grow(m->inodes, &m->inodes_size, inode + 1, sizeof(*m->inodes));
	m->n_inodes++;
	m->inodes[inode] = (struct sm_inode){
		.type = type, .modes_ok = 1, .xattr = NO_XATTR, .xattrs_ok = 1u << NO_XATTR
	};
	return true;
}

static bool add_link(struct sm_model *m, uint32_t inode, uint32_t parent, uint32_t name)
{
	struct sm_inode *node = &m->inodes[inode];

	if (node->n_links == SM_LINKS)
		return false;
	m->links = grow(m->links, &m->links_size, m->n_links + 1, sizeof(*m->links));
	m->links[m->n_links] = (struct sm_link){ parent, name, inode, true, true, false };
	node->links[node->n_links++] = m->n_links++;
	if (node->n_links > node->max_links)
		node->max_links = node->n_links;
	return true;
}

static bool remove_link(struct sm_model *m, uint32_t inode, uint32_t parent, uint32_t name)
{
	struct sm_inode *node = &m->inodes[inode];

	for (uint32_t i = 0; i < node->n_links; i++) {
		struct sm_link *l = &m->links[node->links[i]];

		if (l->parent != parent || l->name != name)
			continue;
		l->cur = false;
		l->must = false;
		node->links[i] = node->links[--node->n_links];
		if (node->n_links < node->min_links)
			node->min_links = node->n_links;
		if (node->n_links == 0)
			node->died = true;
		return true;
	}
	return false;
}

/* At no time without a name, and with no more of them than before. */
static bool move_link(struct sm_model *m, const struct sm_op *op)
{
	struct sm_inode *node = &m->inodes[op->arg[0]];

	m->links = grow(m->links, &m->links_size, m->n_links + 1, sizeof(*m->links));
	for (uint32_t i = 0; i < node->n_links; i++) {
		struct sm_link *l = &m->links[node->links[i]];

		if (l->parent != op->arg[1] || l->name != op->arg[2])
			continue;
		l->cur = false;
		l->must = false;
		m->links[m->n_links] = (struct sm_link){ .parent = op->arg[3],
							 .name = op->arg[4],
							 .inode = op->arg[0],
							 .cur = true,
							 .may = true };
		node->links[i] = m->n_links++;
		return true;
	}
	return false;
}

static struct sm_link *find_current(struct sm_model *m, uint32_t parent, uint32_t name)
{
	/* The newest are the likeliest. */
	for (uint32_t i = m->n_links; i-- > 0;)
		if (m->links[i].cur && m->links[i].parent == parent && m->links[i].name == name)
			return &m->links[i];
	return NULL;
}

void sm_init(struct sm_model *m, uint32_t proc)
{
	*m = (struct sm_model){ .proc = proc };
	add_inode(m, SM_ROOT, SM_DIR);
	add_inode(m, SM_SHARED, SM_DIR);
}

void sm_done(struct sm_model *m)
{
	for (uint32_t i = 0; i < m->n_inodes; i++)
		free(m->inodes[i].blocks);
	free(m->inodes);
	free(m->links);
	*m = (struct sm_model){ 0 };
}

static struct sm_block *blocks_of(struct sm_inode *node)
{
	if (!node->blocks) {
		node->blocks = calloc(SM_BLOCKS, sizeof(*node->blocks));
		if (!node->blocks) {
			fputs("fsstress: out of memory\n", stderr);
			exit(1);
		}
		for (int i = 0; i < SM_BLOCKS; i++)
			node->blocks[i].zeros_ok = true;
	}
	return node->blocks;
}

static bool valid_range(const struct sm_op *op)
{
	return op->arg[1] < SM_BLOCKS && op->arg[2] > 0 && op->arg[2] <= SM_BLOCKS - op->arg[1];
}

static bool write_blocks(struct sm_inode *node, const struct sm_op *op)
{
	struct sm_block *b = blocks_of(node);

	if (!valid_range(op))
		return false;
	for (uint32_t i = op->arg[1]; i < op->arg[1] + op->arg[2]; i++) {
		b[i].cur = op->number;
		b[i].hi = op->number;
	}
	if (op->arg[1] + op->arg[2] > node->n_blocks)
		node->n_blocks = op->arg[1] + op->arg[2];
	if (node->n_blocks > node->max_blocks)
		node->max_blocks = node->n_blocks;
	return true;
}

static void zero_blocks(struct sm_inode *node, uint32_t from, uint32_t to)
{
	struct sm_block *b = blocks_of(node);

	for (uint32_t i = from; i < to; i++) {
		b[i].cur = 0;
		b[i].zeros_ok = true;
	}
}

static bool truncate_to(struct sm_inode *node, uint32_t n)
{
	if (n > SM_BLOCKS)
		return false;
	if (n < node->n_blocks)
		zero_blocks(node, n, node->n_blocks);
	node->n_blocks = n;
	if (n < node->min_blocks)
		node->min_blocks = n;
	if (n > node->max_blocks)
		node->max_blocks = n;
	return true;
}

bool sm_apply(struct sm_model *m, const struct sm_op *op)
{
	static const enum sm_type types[] = { SM_FILE, SM_DIR, SM_SYMLINK };
	const uint32_t *arg = op->arg;
	struct sm_link *victim;
	struct sm_inode *node;

	switch (op->code) {
	case SM_CREATE:
	case SM_MKDIR:
	case SM_SYMLINK_:
		return add_inode(m, arg[0], types[op->code - SM_CREATE]) &&
		       add_link(m, arg[0], arg[1], arg[2]);
	case SM_SYNCFS:
		return true;
	default:
		break;
	}
	if (arg[0] >= m->n_inodes)
		return false;
	node = &m->inodes[arg[0]];
	switch (op->code) {
	case SM_WRITE:
		return node->type == SM_FILE && write_blocks(node, op);
	case SM_TRUNC:
		return node->type == SM_FILE && truncate_to(node, arg[1]);
	case SM_PUNCH:
		if (node->type != SM_FILE || !valid_range(op))
			return false;
		zero_blocks(node, arg[1], arg[1] + arg[2]);
		return true;
	case SM_RENAME:
		victim = find_current(m, arg[3], arg[4]);
		if (victim && !remove_link(m, victim->inode, arg[3], arg[4]))
			return false;
		return move_link(m, op);
	case SM_LINK:
		return add_link(m, arg[0], arg[1], arg[2]);
	case SM_UNLINK:
	case SM_RMDIR:
		return remove_link(m, arg[0], arg[1], arg[2]);
	case SM_CHMOD:
		if (arg[1] >= SM_VALUES)
			return false;
		node->mode = arg[1];
		node->modes_ok |= 1u << arg[1];
		return true;
	case SM_XATTR:
		if (arg[1] > NO_XATTR)
			return false;
		node->xattr = arg[1];
		node->xattrs_ok |= 1u << arg[1];
		return true;
	default:
		return true;
	}
}

static void settle_content(struct sm_inode *node)
{
	for (int i = 0; node->blocks && i < SM_BLOCKS; i++) {
		struct sm_block *b = &node->blocks[i];

		b->lo = b->cur;
		b->hi = b->cur;
		b->zeros_ok = b->cur == 0;
	}
	node->min_blocks = node->n_blocks;
	node->max_blocks = node->n_blocks;
	node->modes_ok = 1u << node->mode;
	node->xattrs_ok = 1u << node->xattr;
}

static void settle_link(struct sm_model *m, struct sm_link *l)
{
	struct sm_inode *node = &m->inodes[l->inode];

	l->may = l->cur;
	l->must = l->cur;
	if (l->cur) {
		node->synced = true;
		node->died = false;
	}
}

static void settle_link_counts(struct sm_inode *node)
{
	node->min_links = node->n_links;
	node->max_links = node->n_links;
}

static void settle_names_of(struct sm_model *m, uint32_t inode)
{
	for (uint32_t i = 0; i < m->n_links; i++)
		if (m->links[i].inode == inode && m->links[i].may)
			settle_link(m, &m->links[i]);
	settle_link_counts(&m->inodes[inode]);
}

void sm_sync_inode(struct sm_model *m, uint32_t inode)
{
	if (inode >= m->n_inodes)
		return;
	settle_content(&m->inodes[inode]);
	if (m->inodes[inode].type == SM_DIR)
		for (uint32_t i = 0; i < m->n_links; i++)
			if (m->links[i].parent == inode && m->links[i].may)
				settle_link(m, &m->links[i]);
	settle_names_of(m, inode);
	while (inode > SM_SHARED && m->inodes[inode].n_links > 0) {
		inode = m->links[m->inodes[inode].links[0]].parent;
		settle_names_of(m, inode);
	}
}

void sm_sync_all(struct sm_model *m)
{
	for (uint32_t i = 0; i < m->n_links; i++)
		if (m->links[i].may)
			settle_link(m, &m->links[i]);
	for (uint32_t i = 0; i < m->n_inodes; i++) {
		settle_content(&m->inodes[i]);
		settle_link_counts(&m->inodes[i]);
	}
}

void sm_name(const struct sm_model *m, uint32_t parent, uint32_t name, enum sm_type type,
	     char text[64])
{
	/* Only in the shared directory could two processes mean the same name. */
	if (parent == SM_SHARED)
		snprintf(text, 64, "p%u-%c%u", m->proc, "fds"[type], name);
	else
		snprintf(text, 64, "%c%u", "fds"[type], name);
}

int sm_link_path(const struct sm_model *m, const char *top, uint32_t parent, uint32_t name,
		 enum sm_type type, char path[PATH_MAX])
{
	char dir[PATH_MAX], text[64];
	int used;

	if (sm_path(m, top, parent, dir))
		return -ENOENT;
	sm_name(m, parent, name, type, text);
	used = snprintf(path, PATH_MAX, "%s/%s", dir, text);
	return used < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int sm_path(const struct sm_model *m, const char *top, uint32_t inode, char path[PATH_MAX])
{
	const struct sm_link *l;

	if (inode == SM_ROOT)
		return snprintf(path, PATH_MAX, "%s/p%u", top, m->proc) < PATH_MAX ? 0 :
										     -ENAMETOOLONG;
	if (inode == SM_SHARED)
		return snprintf(path, PATH_MAX, "%s/shared", top) < PATH_MAX ? 0 : -ENAMETOOLONG;
	if (m->inodes[inode].n_links == 0)
		return -ENOENT;
	l = &m->links[m->inodes[inode].links[0]];
	return sm_link_path(m, top, l->parent, l->name, m->inodes[inode].type, path);
}

static uint32_t sum_of(const struct header *h)
{
	uint32_t x = 2166136261u;
	const uint32_t parts[] = { h->proc, h->inode, h->index, h->version };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		x = (x ^ parts[i]) * 16777619u;
	return x;
}

void sm_fill_block(const struct sm_model *m, uint32_t inode, uint32_t index, uint32_t version,
		   void *block)
{
	struct header h = { MAGIC, m->proc, inode, index, version, 0 };
	unsigned char *p = block;
	uint32_t x;

	h.sum = sum_of(&h);
	memcpy(p, &h, sizeof(h));
	x = h.sum;
	for (size_t i = sizeof(h); i < SM_BLOCK; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = x >> 24;
	}
}

static bool all_zeros(const unsigned char *p)
{
	for (size_t i = 0; i < SM_BLOCK; i++)
		if (p[i])
			return false;
	return true;
}

uint32_t sm_read_block(const struct sm_model *m, uint32_t inode, uint32_t index, const void *block)
{
	unsigned char want[SM_BLOCK];
	struct header h;

	if (all_zeros(block))
		return 0;
	memcpy(&h, block, sizeof(h));
	if (h.magic != MAGIC || h.version == 0)
		return UINT32_MAX;
	sm_fill_block(m, inode, index, h.version, want);
	return memcmp(want, block, SM_BLOCK) == 0 ? h.version : UINT32_MAX;
}

/* ---- Verification --------------------------------------------------------------------------- */

static void problem(struct sm_model *m, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void problem(struct sm_model *m, const char *path, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (m->problems++ < MAX_PRINTED)
		fprintf(stderr, "fsstress: process %u: %s: %s\n", m->proc, path, text);
}

/* One entry of the tree as it is on disk. */
struct entry {
	struct stat st;
	unsigned int mode_bit, xattr_bit;
	unsigned char *data; /* files: SM_BLOCKS blocks, zeros behind the end */
	char target[64];
};

/* Why the entry cannot be this inode, or NULL. */
static const char *unlike(struct sm_model *m, uint32_t inode, const struct entry *e, char text[256])
{
	const struct sm_inode *node = &m->inodes[inode];
	static const mode_t types[] = { S_IFREG, S_IFDIR, S_IFLNK };
	char target[64];

	if ((e->st.st_mode & S_IFMT) != types[node->type])
		return "another type of file";
	if (node->type == SM_SYMLINK) {
		snprintf(target, sizeof(target), "target-%u-%u", m->proc, inode);
		return strcmp(target, e->target) == 0 ? NULL : "another target";
	}
	if (node->type == SM_DIR)
		return NULL;
	if (!(node->modes_ok & e->mode_bit)) {
		snprintf(text, 256, "mode %04o", (unsigned int)e->st.st_mode & 07777);
		return text;
	}
	if (!(node->xattrs_ok & e->xattr_bit)) {
		snprintf(text, 256, "xattr value bit %x, may be %x", e->xattr_bit, node->xattrs_ok);
		return text;
	}
	if (e->st.st_size % SM_BLOCK || e->st.st_size < (off_t)node->min_blocks * SM_BLOCK ||
	    e->st.st_size > (off_t)node->max_blocks * SM_BLOCK) {
		snprintf(text, 256, "size %lld, may be %u to %u", (long long)e->st.st_size,
			 node->min_blocks * SM_BLOCK, node->max_blocks * SM_BLOCK);
		return text;
	}
	for (uint32_t i = 0; i < e->st.st_size / SM_BLOCK; i++) {
		static const struct sm_block untouched = { .zeros_ok = true };
		const struct sm_block *b = node->blocks ? &node->blocks[i] : &untouched;
		uint32_t v = sm_read_block(m, inode, i, e->data + (size_t)i * SM_BLOCK);

		if (v == 0 ? b->zeros_ok : v != UINT32_MAX && v >= b->lo && v <= b->hi)
			continue;
		if (v == UINT32_MAX)
			snprintf(text, 256, "block %u is torn or none of its own", i);
		else
			snprintf(text, 256, "block %u is of operation %u, may be %u to %u%s", i, v,
				 b->lo, b->hi, b->zeros_ok ? " or zeros" : "");
		return text;
	}
	return NULL;
}

static bool load(struct sm_model *m, const char *path, struct entry *e)
{
	char value[16];
	ssize_t n;
	int fd;

	memset(e->target, 0, sizeof(e->target));
	if (lstat(path, &e->st)) {
		problem(m, path, "lstat: %s", strerror(errno));
		return false;
	}
	if (S_ISLNK(e->st.st_mode))
		return readlink(path, e->target, sizeof(e->target) - 1) > 0;
	if (!S_ISREG(e->st.st_mode))
		return true;
	e->mode_bit = 0;
	for (unsigned int i = 0; i < SM_VALUES; i++)
		if ((e->st.st_mode & 07777) == sm_modes[i])
			e->mode_bit = 1u << i;
	n = getxattr(path, "user.fsstress", value, sizeof(value));
	e->xattr_bit = n == 1 && value[0] >= '0' && value[0] < '0' + SM_VALUES ?
			       1u << (value[0] - '0') :
		       n < 0 && (errno == ENODATA || errno == EOPNOTSUPP) ? 1u << NO_XATTR :
									    0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		problem(m, path, "open: %s", strerror(errno));
		return false;
	}
	memset(e->data, 0, SM_BLOCKS * SM_BLOCK);
	n = pread(fd, e->data, SM_BLOCKS * SM_BLOCK, 0);
	close(fd);
	if (n != e->st.st_size) {
		problem(m, path, "reading gives %zd bytes of %lld: %s", n, (long long)e->st.st_size,
			n < 0 ? strerror(errno) : "short");
		return false;
	}
	return true;
}

static void walk(struct sm_model *m, const char *path, uint32_t dir, unsigned char *data);

static void judge(struct sm_model *m, const char *path, const char *text, uint32_t dir,
		  unsigned char *data)
{
	struct entry e = { .data = data };
	char why[256], known[64];
	const char *reason = "nobody made it";
	unsigned long number = ++m->entries;
	struct sm_inode *match = NULL;
	unsigned int n_matches = 0;

	if (!load(m, path, &e))
		return;
	for (uint32_t i = 0; i < m->n_links; i++) {
		struct sm_link *l = &m->links[i];
		struct sm_inode *node = &m->inodes[l->inode];

		if (l->parent != dir)
			continue;
		sm_name(m, dir, l->name, node->type, known);
		if (strcmp(known, text) != 0)
			continue;
		if (!l->may) {
			if (!match && strcmp(reason, "nobody made it") == 0)
				reason = "it was removed";
			continue;
		}
		why[0] = '\0';
		if (unlike(m, l->inode, &e, why)) {
			reason = unlike(m, l->inode, &e, why);
			continue;
		}
		if (node->type != SM_DIR &&
		    (e.st.st_nlink < node->min_links || e.st.st_nlink > node->max_links)) {
			snprintf(why, sizeof(why), "%lu links, may be %u to %u",
				 (unsigned long)e.st.st_nlink, node->min_links, node->max_links);
			reason = why;
			continue;
		}
		l->must = false;
		/* It may have had this name more than once. */
		if (node->last_entry == number)
			continue;
		node->last_entry = number;
		node->found++;
		match = node;
		n_matches++;
		if (node->type == SM_DIR)
			walk(m, path, l->inode, data);
	}
	/* An empty file can be this one or that. */
	if (n_matches == 1)
		match->certain++;
	if (!match)
		problem(m, path, "%s", reason);
}

static void walk(struct sm_model *m, const char *path, uint32_t dir, unsigned char *data)
{
	char below[PATH_MAX], prefix[32];
	struct dirent *de;
	DIR *d = opendir(path);

	if (!d) {
		problem(m, path, "opendir: %s", strerror(errno));
		return;
	}
	snprintf(prefix, sizeof(prefix), "p%u-", m->proc);
	while (errno = 0, (de = readdir(d)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		/* The rest of the shared directory belongs to others. */
		if (dir == SM_SHARED && strncmp(de->d_name, prefix, strlen(prefix)) != 0)
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, de->d_name) >= PATH_MAX)
			problem(m, path, "a path too long");
		else
			judge(m, below, de->d_name, dir, data);
	}
	/* Not that nothing is there: it cannot be said what is. */
	if (errno)
		problem(m, path, "readdir: %s", strerror(errno));
	closedir(d);
}

void sm_verify(struct sm_model *m, const char *top)
{
	unsigned char *data = malloc(SM_BLOCKS * SM_BLOCK);
	char path[PATH_MAX], text[64];

	if (!data) {
		problem(m, top, "out of memory");
		return;
	}
	if (sm_path(m, top, SM_ROOT, path) == 0)
		walk(m, path, SM_ROOT, data);
	if (sm_path(m, top, SM_SHARED, path) == 0)
		walk(m, path, SM_SHARED, data);
	free(data);
	for (uint32_t i = 0; i < m->n_links; i++) {
		const struct sm_link *l = &m->links[i];

		if (!l->must)
			continue;
		sm_name(m, l->parent, l->name, m->inodes[l->inode].type, text);
		problem(m, text, "is not there (inode %u in directory %u)", l->inode, l->parent);
	}
	for (uint32_t i = SM_SHARED + 1; i < m->n_inodes; i++) {
		const struct sm_inode *node = &m->inodes[i];

		if (node->synced && !node->died && node->found == 0)
			problem(m, top, "inode %u has no name any more", i);
		/* Renamed, it is at the old or the new name, never at both. */
		if (node->certain > node->max_links)
			problem(m, top, "inode %u has %u names, at most %u were given", i,
				node->certain, node->max_links);
	}
}
