/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/fuse/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT 2u
#define HEAD_BYTES 4096u

static const char magic[8] = "F3 keep";

struct head {
	char magic[8];
	uint32_t format;
	uint32_t opens, ids; /* slots */
	uint32_t open_bytes;
	uint64_t id;
	_Atomic uint32_t slots_used;
	_Atomic uint32_t init_bytes;
	uint8_t init[F3_KEEP_INIT_MAX];
};

struct f3_keep {
	int fd;
	struct head *head;
	struct f3_kept_open *opens;
	uint32_t *ids;
	uint32_t n_ids;
};

_Static_assert(sizeof(struct head) <= HEAD_BYTES, "the head fits its page");
_Static_assert(sizeof(struct f3_kept_open) == 64, "a cache line each");

/* Copying before removal leaves an id twice at most for each process that died in between. */
#define IDS_MAX (F3_KEEP_IDS / 4 * 3)
#define IDS_SOUND (F3_KEEP_IDS / 8 * 7)

/* An INIT of Linux 2.6 has no more than this; later ones say in a flag that they have. */
#define INIT_MIN (sizeof(struct fuse_in_header) + 16)

#define KEEP_BYTES                                                          \
	(HEAD_BYTES + (size_t)F3_KEEP_OPENS * sizeof(struct f3_kept_open) + \
	 (size_t)F3_KEEP_IDS * sizeof(uint32_t))

/* Pages are taken when they are first written. */
static int map(struct f3_keep *k)
{
	char *at = mmap(NULL, KEEP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, k->fd,
			0);

	if (at == MAP_FAILED)
		return -errno;
	k->head = (struct head *)at;
	k->opens = (struct f3_kept_open *)(at + HEAD_BYTES);
	k->ids = (uint32_t *)(k->opens + F3_KEEP_OPENS);
	return 0;
}

int f3_keep_new(struct f3_keep **ret_k)
{
	struct f3_keep *k = calloc(1, sizeof(*k));
	int r = 0;

	if (!k)
		return -ENOMEM;
	k->fd = memfd_create("f3-keep", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (k->fd < 0 || ftruncate(k->fd, (off_t)KEEP_BYTES) ||
	    fcntl(k->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		r = -errno;
	if (!r)
		r = map(k);
	if (!r && getrandom(&k->head->id, sizeof(k->head->id), 0) != sizeof(k->head->id))
		r = errno ? -errno : -EIO;
	if (r) {
		f3_keep_free(k);
		return r;
	}
	memcpy(k->head->magic, magic, sizeof(magic));
	k->head->format = FORMAT;
	k->head->opens = F3_KEEP_OPENS;
	k->head->ids = F3_KEEP_IDS;
	k->head->open_bytes = sizeof(struct f3_kept_open);
	*ret_k = k;
	return 0;
}

/* Who could still cut it short could make us die of SIGBUS. */
static int check_file(int fd, struct f3_err *err)
{
	struct stat st;
	int seals;

	if (fstat(fd, &st))
		return f3_err_set(err, -errno, "saved state: %s", strerror(errno));
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || st.st_size != (off_t)KEEP_BYTES)
		return f3_err_set(err, -EINVAL, "saved state: not one of this version of f3d");
	return 0;
}

/* libfuse believes what the kernel sends: its length, and that the first is an INIT. */
static bool init_is_sound(const void *request, size_t size)
{
	const struct fuse_in_header *in = request;
	const struct fuse_init_in *init = (const void *)(in + 1);

	return size >= INIT_MIN && size <= F3_KEEP_INIT_MAX && in->len == size &&
	       in->opcode == FUSE_INIT &&
	       (!(init->flags & FUSE_INIT_EXT) || size >= sizeof(*in) + sizeof(*init));
}

static int check_head(struct f3_keep *k, struct f3_err *err)
{
	const struct head *h = k->head;

	if (memcmp(h->magic, magic, sizeof(magic)))
		return f3_err_set(err, -EINVAL, "saved state: not one of f3d");
	if (h->format != FORMAT || h->opens != F3_KEEP_OPENS || h->ids != F3_KEEP_IDS ||
	    h->open_bytes != sizeof(struct f3_kept_open))
		return f3_err_set(err, -EINVAL, "saved state: format %u, this f3d knows %u",
				  h->format, FORMAT);
	if (h->slots_used > F3_KEEP_OPENS ||
	    (h->init_bytes && !init_is_sound(h->init, h->init_bytes)))
		return f3_err_set(err, -EINVAL, "saved state: damaged");
	return 0;
}

int f3_keep_adopt(int fd, struct f3_keep **ret_k, struct f3_err *err)
{
	struct f3_keep *k = calloc(1, sizeof(*k));
	int r;

	if (!k) {
		close(fd);
		return f3_err_set(err, -ENOMEM, "out of memory");
	}
	k->fd = fd;
	r = check_file(fd, err);
	if (!r) {
		r = map(k);
		if (r)
			f3_err_set(err, r, "saved state: %s", strerror(-r));
	}
	if (!r)
		r = check_head(k, err);
	for (uint32_t i = 0; i < F3_KEEP_IDS && !r; i++)
		k->n_ids += k->ids[i] != 0;
	/* What looks for an id stops at a free slot. */
	if (!r && k->n_ids > IDS_SOUND)
		r = f3_err_set(err, -EINVAL, "saved state: damaged");
	if (r) {
		f3_keep_free(k);
		return r;
	}
	*ret_k = k;
	return 0;
}

void f3_keep_free(struct f3_keep *k)
{
	if (!k)
		return;
	if (k->head)
		munmap(k->head, KEEP_BYTES);
	if (k->fd >= 0)
		close(k->fd);
	free(k);
}

int f3_keep_fd(const struct f3_keep *k)
{
	return k->fd;
}

uint64_t f3_keep_id(const struct f3_keep *k)
{
	return k->head->id;
}

int f3_keep_set_init(struct f3_keep *k, const void *request, size_t size)
{
	if (!size || size > F3_KEEP_INIT_MAX)
		return -EMSGSIZE;
	memcpy(k->head->init, request, size);
	atomic_store(&k->head->init_bytes, (uint32_t)size);
	return 0;
}

const void *f3_keep_init(const struct f3_keep *k, size_t *ret_size)
{
	uint32_t size = atomic_load(&k->head->init_bytes);

	if (!init_is_sound(k->head->init, size))
		return NULL;
	*ret_size = size;
	return k->head->init;
}

struct f3_kept_open *f3_keep_open(struct f3_keep *k, uint32_t slot)
{
	return slot < F3_KEEP_OPENS ? &k->opens[slot] : NULL;
}

uint64_t f3_kept_next_fh(const struct f3_kept_open *o, uint32_t slot)
{
	return (uint64_t)(o->times_used + 1) << 32 | (slot + 1);
}

void f3_keep_use_slot(struct f3_keep *k, uint32_t slot)
{
	uint32_t used = atomic_load(&k->head->slots_used);

	while (slot >= used && !atomic_compare_exchange_weak(&k->head->slots_used, &used, slot + 1))
		;
}

static bool sound(const struct f3_kept_open *o, uint32_t slot)
{
	uint64_t fh = atomic_load(&o->fh);

	return f3_kept_slot(fh) == slot && (uint32_t)(fh >> 32) == o->times_used && o->ino &&
	       !(o->flags & ~(uint32_t)F3_KEPT_FLAGS);
}

int f3_keep_each_open(struct f3_keep *k,
		      int (*fn)(void *arg, struct f3_kept_open *o, uint32_t slot), void *arg)
{
	uint32_t used = atomic_load(&k->head->slots_used);
	int r = 0;

	if (used > F3_KEEP_OPENS)
		return -EINVAL;
	for (uint32_t slot = 0; slot < used && !r; slot++) {
		struct f3_kept_open *o = &k->opens[slot];

		if (!atomic_load(&o->fh))
			continue;
		r = sound(o, slot) ? fn(arg, o, slot) : -EINVAL;
	}
	return r;
}

/* ---- Backing ids: open addressing, linear probing --------------------------------------------- */

static uint32_t home(uint32_t id)
{
	return (id * 2654435769u) & (F3_KEEP_IDS - 1);
}

static uint32_t next(uint32_t at)
{
	return (at + 1) & (F3_KEEP_IDS - 1);
}

int f3_keep_add_id(struct f3_keep *k, uint32_t id)
{
	uint32_t at = home(id);

	if (k->n_ids >= IDS_MAX)
		return -ENOSPC;
	while (k->ids[at] && k->ids[at] != id)
		at = next(at);
	k->n_ids += !k->ids[at];
	k->ids[at] = id;
	return 0;
}

/* What comes after it moves up where it can be found there. Copied before it is removed: killed in
 * between, an id is there twice, which does no harm. */
void f3_keep_del_id(struct f3_keep *k, uint32_t id)
{
	uint32_t hole = home(id), at;

	for (uint32_t n = 0; n < F3_KEEP_IDS && k->ids[hole] != id; n++) {
		if (!k->ids[hole])
			return;
		hole = next(hole);
	}
	if (k->ids[hole] != id)
		return;
	for (at = next(hole); k->ids[at] && at != hole; at = next(at)) {
		uint32_t from = home(k->ids[at]);

		if (((at - from) & (F3_KEEP_IDS - 1)) >= ((at - hole) & (F3_KEEP_IDS - 1))) {
			k->ids[hole] = k->ids[at];
			hole = at;
		}
	}
	k->ids[hole] = 0;
	k->n_ids--;
}

void f3_keep_each_id(struct f3_keep *k, void (*fn)(void *arg, uint32_t id), void *arg)
{
	/* Deleting moves others up into the slot just looked at; those that wrap around the end come
	 * twice. */
	for (uint32_t at = 0; at < F3_KEEP_IDS;) {
		uint32_t id = k->ids[at];

		if (id)
			fn(arg, id);
		if (!id || k->ids[at] == id)
			at++;
	}
}
