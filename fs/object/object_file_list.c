/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names kept from one reading of a directory for the pages that follow. Twice as many are held
 * while reading: 16,000 of at most 255 bytes. */
#define NAMES_MAX 8000
/* Encoded xattrs of all entries of a page; entries beyond it come without attributes. */
#define PAGE_XATTRS_MAX (1u << 20)
#define PAGE_NAMES_MAX (F3_OBJ_LIST_MAX * (NAME_MAX + 1))

/* ---- Names --------------------------------------------------------------------------------- */

void f3_objfile_names_free(struct f3_objfile_names *names)
{
	if (!names)
		return;
	for (size_t i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
	free(names->after);
	free(names);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Keeps the `max` smallest. */
static void cut(struct f3_objfile_names *names, size_t max)
{
	qsort(names->name, names->n, sizeof(*names->name), by_bytes);
	while (names->n > max) {
		free(names->name[--names->n]);
		names->complete = false;
	}
}

static int read_names(DIR *dir, const char *after, size_t max, struct f3_objfile_names *names)
{
	struct dirent *d;

	for (;;) {
		errno = 0;
		d = readdir(dir);
		if (!d)
			return -errno;
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (after && strcmp(d->d_name, after) <= 0)
			continue;
		if (names->n == 2 * max)
			cut(names, max);
		/* larger than all that are kept: it would only be cut off again */
		if (!names->complete && names->n == max &&
		    strcmp(d->d_name, names->name[max - 1]) > 0)
			continue;
		names->name[names->n] = strdup(d->d_name);
		if (!names->name[names->n])
			return -ENOMEM;
		names->n++;
	}
}

int f3_objfile_names_read(int dir_fd, const char *after, size_t max,
			  struct f3_objfile_names **ret_n)
{
	struct f3_objfile_names *names = calloc(1, sizeof(*names));
	struct stat st;
	DIR *dir = NULL;
	int fd, r = -ENOMEM;

	if (!names)
		return -ENOMEM;
	names->complete = true;
	names->after = after ? strdup(after) : NULL;
	names->name = calloc(2 * max, sizeof(*names->name));
	if (!names->name || (after && !names->after))
		goto fail;
	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir || fstat(fd, &st) < 0) {
		r = -errno;
		if (!dir && fd >= 0)
			close(fd);
		goto fail;
	}
	names->dev = st.st_dev;
	names->ino = st.st_ino;
	names->mtime = st.st_mtim;
	names->ctime = st.st_ctim;
	r = read_names(dir, after, max, names);
	if (r < 0)
		goto fail;
	cut(names, max);
	closedir(dir);
	*ret_n = names;
	return 0;
fail:
	if (dir)
		closedir(dir);
	f3_objfile_names_free(names);
	return r;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Do these names tell what comes after `after` in the directory as it is now? */
static bool names_serve(const struct f3_objfile_names *names, const struct stat *st,
			const char *after)
{
	return names->dev == st->st_dev && names->ino == st->st_ino &&
	       same_time(names->mtime, st->st_mtim) && same_time(names->ctime, st->st_ctim) &&
	       (!names->after || strcmp(after, names->after) >= 0) &&
	       (names->complete || (names->n && strcmp(after, names->name[names->n - 1]) < 0));
}

/* A first page always reads the directory; the pages after it use what that left, as long as the
 * directory has not changed. */
static int take_names(struct f3_objfile_store *s, int dir_fd, const char *after,
		      struct f3_objfile_names **ret_n)
{
	struct f3_objfile_names *names = NULL;
	struct stat st;

	if (after) {
		if (fstat(dir_fd, &st) < 0)
			return -errno;
		f3_lock(&s->lock);
		if (s->names && names_serve(s->names, &st, after)) {
			names = s->names;
			s->names = NULL;
		}
		f3_unlock(&s->lock);
	}
	if (!names)
		return f3_objfile_names_read(dir_fd, after, NAMES_MAX, ret_n);
	*ret_n = names;
	return 0;
}

static void leave_names(struct f3_objfile_store *s, struct f3_objfile_names *names)
{
	struct f3_objfile_names *old;

	f3_lock(&s->lock);
	old = s->names;
	s->names = names;
	f3_unlock(&s->lock);
	f3_objfile_names_free(old);
}

static size_t first_after(const struct f3_objfile_names *names, const char *after)
{
	size_t low = 0, high = names->n;

	while (after && low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(names->name[mid], after) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return after ? low : 0;
}

/* ---- A page -------------------------------------------------------------------------------- */

struct page {
	struct f3_obj_entry *entries;
	struct f3_buf names, xattrs;
	size_t n;
};

static void page_done(struct page *page)
{
	f3_buf_done(&page->names);
	f3_buf_done(&page->xattrs);
	free(page->entries);
}

/* -ENOENT: not there any more. */
static int add_entry(struct f3_objfile_job *job, int dir_fd, const char *name, struct page *page)
{
	struct f3_obj_info *info = &page->entries[page->n].info;
	struct f3_buf xattrs;
	struct stat st;
	int fd;

	fd = f3_objfile_open_name(dir_fd, name, &st);
	if (fd == -ENOENT)
		return fd;
	if (fd < 0 && fd != -ELOOP && fd != -ENXIO && fd != -EACCES)
		return fd;
	f3_buf_init(&xattrs, F3_OBJFILE_XATTRS_MAX);
	f3_objfile_info(job->root, fd, &st, &xattrs, info);
	if (fd >= 0)
		close(fd);
	if (info->attr.xattrs_len) {
		if (page->xattrs.len + xattrs.len > PAGE_XATTRS_MAX) {
			info->have_attr = false;
			info->attr.xattrs_len = 0;
		} else {
			f3_buf_put(&page->xattrs, xattrs.data, xattrs.len);
		}
	}
	f3_buf_done(&xattrs);
	f3_buf_put(&page->names, name, strlen(name) + 1);
	page->n++;
	return page->names.error ? page->names.error : page->xattrs.error;
}

/* Entries, their names and xattrs in one piece of memory, which is the op's. The cursor of the next
 * page is the last name of this one. */
static int give_page(struct f3_obj_op *op, struct page *page, bool more)
{
	size_t bytes = page->n * sizeof(*page->entries);
	char *names, *xattrs;

	if (!page->n)
		return 0;
	op->heap = malloc(bytes + page->names.len + page->xattrs.len);
	if (!op->heap)
		return -ENOMEM;
	op->entries = op->heap;
	op->n_entries = page->n;
	names = (char *)op->heap + bytes;
	xattrs = names + page->names.len;
	memcpy(op->entries, page->entries, bytes);
	memcpy(names, page->names.data, page->names.len);
	if (page->xattrs.len)
		memcpy(xattrs, page->xattrs.data, page->xattrs.len);
	for (size_t i = 0; i < page->n; i++) {
		struct f3_obj_attr *attr = &op->entries[i].info.attr;

		op->entries[i].name = names;
		names += strlen(names) + 1;
		if (attr->xattrs_len) {
			attr->xattrs = xattrs;
			xattrs += attr->xattrs_len;
		}
	}
	if (more)
		op->ret_next = op->entries[page->n - 1].name;
	return 0;
}

/* Entries for names[from..]; *ret_more: names are left. */
static int fill_page(struct f3_objfile_job *job, int dir_fd, const struct f3_objfile_names *names,
		     size_t from, struct page *page, bool *ret_more)
{
	size_t i;
	int r = 0;

	for (i = from; i < names->n && page->n < F3_OBJ_LIST_MAX; i++) {
		if (!*job->op->key && !strcmp(names->name[i], ".f3"))
			continue;
		r = f3_objfile_interrupted(job);
		if (!r)
			r = add_entry(job, dir_fd, names->name[i], page);
		if (r == -ENOENT)
			r = 0;
		if (r < 0)
			return r;
	}
	*ret_more = i < names->n || !names->complete;
	return 0;
}

static int list_dir(struct f3_objfile_job *job, int dir_fd, struct page *page)
{
	struct f3_obj_op *op = job->op;
	struct f3_objfile_names *names = NULL;
	char *after = op->after ? strdup(op->after) : NULL;
	int r = op->after && !after ? -ENOMEM : 0;
	bool more = false;

	/* Again only if every name of a reading has gone while there are others behind it. */
	while (!r) {
		r = take_names(job->store, dir_fd, after, &names);
		if (r < 0)
			break;
		r = fill_page(job, dir_fd, names, first_after(names, after), page, &more);
		if (r < 0 || page->n || !more)
			break;
		free(after);
		after = strdup(names->name[names->n - 1]);
		if (!after)
			r = -ENOMEM;
		f3_objfile_names_free(names);
		names = NULL;
	}
	if (!r)
		r = give_page(op, page, more);
	if (!r && more)
		leave_names(job->store, names);
	else
		f3_objfile_names_free(names);
	free(after);
	return r;
}

int f3_objfile_list(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	struct page page = { .n = 0 };
	int fd, r;

	fd = f3_objfile_open_dir(job->root, op->key, strlen(op->key), O_RDONLY);
	if (fd == -ENOTDIR)
		return -ENOENT;
	if (fd < 0)
		return fd;
	f3_buf_init(&page.names, PAGE_NAMES_MAX);
	f3_buf_init(&page.xattrs, PAGE_XATTRS_MAX);
	page.entries = calloc(F3_OBJ_LIST_MAX, sizeof(*page.entries));
	r = page.entries ? list_dir(job, fd, &page) : -ENOMEM;
	/* an empty answer may be that of a directory that has been removed */
	if (!op->n_entries)
		job->doubt = true;
	page_done(&page);
	close(fd);
	return r;
}
