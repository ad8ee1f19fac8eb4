/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/stage_sums.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/hash.h"
#include "fs/core/file.h"
#include "fs/core/stage.h"
#include "fs/core/volume.h"
#include "fs/object/plan.h"

#define READ_BYTES (256u << 10)

int f3_sums_hash(int fd, uint64_t off, uint64_t len, uint64_t *ret_hash)
{
	char *buf = malloc(READ_BYTES);
	uint64_t done = 0, hash = len;
	int r = buf ? 0 : -ENOMEM;

	while (!r && done < len) {
		size_t want = len - done < READ_BYTES ? len - done : READ_BYTES, got = 0;

		/* Always pieces of the same size, whatever a read brings. */
		while (!r && got < want) {
			ssize_t n = pread(fd, buf + got, want - got, (off_t)(off + done + got));

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				r = n ? -errno : -ENODATA;
			else
				got += (size_t)n;
		}
		if (!r)
			hash = f3_hash64(buf, want, hash);
		done += want;
	}
	free(buf);
	*ret_hash = hash;
	return r;
}

/* Is it what its object is, and worth it? Inode lock held. */
static bool wanted(const struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;

	return inode->volume && inode->volume->store &&
	       inode->volume->store->caps.range_part_copy && S_ISREG(rec->mode) &&
	       rec->size > F3_PLAN_SINGLE_BYTES && rec->etag[0] && rec->state == F3_STATE_CLEAN &&
	       !(rec->flags & F3_INO_DIRTY) && !inode->writers && f3_file_complete(inode) &&
	       f3_file_in_store(rec) && !f3_sums_of(inode, rec->etag);
}

static struct f3_sums *make(int fd, uint64_t size)
{
	uint32_t n = f3_plan_part_at(size - 1);
	struct f3_sums *sums = calloc(1, sizeof(*sums) + n * sizeof(sums->hash[0]));
	int r = sums && n ? 0 : -EFBIG;

	for (uint32_t i = 0; i < n && !r; i++) {
		uint64_t off = f3_plan_part_offset(i + 1), len = f3_plan_part_size(i + 1);

		r = f3_sums_hash(fd, off, len < size - off ? len : size - off, &sums->hash[i]);
	}
	if (r) {
		free(sums);
		return NULL;
	}
	sums->size = size;
	sums->n = n;
	return sums;
}

void f3_sums_prepare(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_sums *sums = NULL, *old = NULL;
	char etag[F3_ETAG_MAX + 1];
	uint64_t size = 0;
	int fd = -1;

	(void)core;
	f3_lock(&inode->lock);
	if (wanted(inode)) {
		memcpy(etag, inode->rec.etag, sizeof(etag));
		size = inode->rec.size;
		fd = f3_backing_open_file(f3_file_store(inode), inode->ino, inode->rec.backing,
					  O_RDONLY | O_NOATIME);
	}
	f3_unlock(&inode->lock);
	if (fd < 0)
		return;
	sums = make(fd, size);
	close(fd);
	f3_lock(&inode->lock);
	/* If a writer came meanwhile it was not hashed as it was. */
	if (sums && wanted(inode) && !strcmp(inode->rec.etag, etag) && inode->rec.size == size) {
		memcpy(sums->etag, etag, sizeof(etag));
		old = inode->sums;
		inode->sums = sums;
		sums = NULL;
	}
	f3_unlock(&inode->lock);
	free(old);
	free(sums);
}

const struct f3_sums *f3_sums_of(const struct f3_inode *inode, const char *etag)
{
	return inode->sums && !strcmp(inode->sums->etag, etag) ? inode->sums : NULL;
}

bool f3_sums_has(const struct f3_sums *sums, uint32_t i, uint64_t off, uint64_t len)
{
	return sums && i < sums->n && off <= sums->size && len <= sums->size - off &&
	       (off + len == sums->size || len == f3_plan_part_size(i + 1));
}
