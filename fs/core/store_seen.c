/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/store_seen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE (F3_SEEN_BYTES / sizeof(uint64_t))
#define PIECES_MAX 4096u

/* A piece in the file, while it is read. */
struct piece {
	uint64_t left; /* cookies not read yet */
	off_t at; /* of the next of them */
	uint64_t *v; /* its part of the memory */
	size_t n, next;
};

struct f3_seen {
	const char *dir;
	uint64_t *v; /* PIECE */
	size_t n;
	int fd; /* -1: no piece was full so far */
	size_t n_pieces;
	bool asking;
	struct piece *pieces; /* one where there is no file */
};

int f3_seen_new(const char *dir, struct f3_seen **ret_s)
{
	struct f3_seen *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->dir = dir;
	s->fd = -1;
	s->v = malloc(F3_SEEN_BYTES);
	if (!s->v) {
		free(s);
		return -ENOMEM;
	}
	*ret_s = s;
	return 0;
}

void f3_seen_free(struct f3_seen *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->pieces);
	free(s->v);
	free(s);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Sorts what is in memory and puts it behind the other pieces. */
static int put_piece(struct f3_seen *s)
{
	off_t at = (off_t)(s->n_pieces * F3_SEEN_BYTES);
	size_t size = s->n * sizeof(*s->v), done = 0;

	if (s->n_pieces == PIECES_MAX)
		return -EFBIG;
	if (s->fd < 0) {
		s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (s->fd < 0)
			return -errno;
	}
	qsort(s->v, s->n, sizeof(*s->v), by_value);
	while (done < size) {
		ssize_t n = pwrite(s->fd, (char *)s->v + done, size - done, at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		done += (size_t)n;
	}
	s->n_pieces++;
	s->n = 0;
	return 0;
}

int f3_seen_add(struct f3_seen *s, uint64_t cookie)
{
	int r = s->n == PIECE ? put_piece(s) : 0;

	if (!r)
		s->v[s->n++] = cookie;
	return r;
}

/* All of them are there: the memory is for reading now, a part for each piece. */
static int begin(struct f3_seen *s)
{
	size_t last = s->n, each;
	int r = s->n_pieces && s->n ? put_piece(s) : 0;

	if (r)
		return r;
	each = s->n_pieces ? s->n_pieces : 1;
	s->pieces = calloc(each, sizeof(*s->pieces));
	if (!s->pieces)
		return -ENOMEM;
	s->asking = true;
	if (!s->n_pieces) {
		qsort(s->v, s->n, sizeof(*s->v), by_value);
		s->pieces[0] = (struct piece){ .v = s->v, .n = s->n };
		s->n_pieces = 1;
		return 0;
	}
	for (size_t i = 0; i < s->n_pieces; i++) {
		s->pieces[i] = (struct piece){
			.left = i + 1 == s->n_pieces && last ? last : PIECE,
			.at = (off_t)(i * F3_SEEN_BYTES),
			.v = s->v + PIECE / each * i,
		};
	}
	return 0;
}

/* The next cookies of a piece. Also at its end: then n is 0. */
static int read_on(struct f3_seen *s, struct piece *p)
{
	size_t want = PIECE / s->n_pieces, done = 0;

	if (want > p->left)
		want = p->left;
	p->next = p->n = 0;
	while (done < want * sizeof(*p->v)) {
		ssize_t n = pread(s->fd, (char *)p->v + done, want * sizeof(*p->v) - done,
				  p->at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	p->n = want;
	p->left -= want;
	p->at += (off_t)done;
	return 0;
}

int f3_seen_has(struct f3_seen *s, uint64_t cookie)
{
	int r = s->asking ? 0 : begin(s);

	for (size_t i = 0; i < s->n_pieces && !r; i++) {
		struct piece *p = &s->pieces[i];

		do {
			if (p->next == p->n && p->left)
				r = read_on(s, p);
			while (p->next < p->n && p->v[p->next] < cookie)
				p->next++;
		} while (!r && p->next == p->n && p->left);
		if (!r && p->next < p->n && p->v[p->next] == cookie)
			return 1;
	}
	return r;
}
