/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsx_model: random operations on one file, against a model of its bytes in
 * memory. The same seed, number of operations and size give the same run; a
 * mismatch prints who wrote the byte last and the operations before it.
 *
 * Every operation draws the same amount of randomness whether the file system
 * has it or not, so a seed means the same on all of them.
 *
 * Exit status: 0 no difference, 1 a difference or an error, 2 usage.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096u
#define LOG_LINES 256
#define LOG_WIDTH 96
#define ALIGN_DOWN(x) ((x) & ~(uint64_t)(PAGE - 1))
#define ALIGN_UP(x) ALIGN_DOWN((x) + PAGE - 1)

/* What one operation works with: the next four random numbers, cut to size. */
struct draw {
	uint64_t off, len, extra;
	uint32_t flag;
};

struct op {
	const char *name;
	void (*run)(const struct draw *d);
	unsigned int weight;
	bool off;
};

static uint64_t rng;
static size_t max_size = 256 * 1024;
static size_t size;
static unsigned char *model; /* max_size bytes; zeros behind size */
static unsigned char *buf; /* as large, page aligned */
static uint32_t *writer; /* the operation that last touched each byte */
static uint32_t op_number;
static char names[2][PATH_MAX];
static int name;
static int fd = -1;
static int reader = -1; /* a second descriptor, kept open for long */
static unsigned char *held; /* a mapping that outlives descriptors */
static bool have_direct, have_punch, have_zero, have_alloc, have_collapse, have_insert;
static char log_lines[LOG_LINES][LOG_WIDTH];
static bool verbose;

static uint64_t next(void)
{
	/* splitmix64 */
	uint64_t z = (rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	char *line = log_lines[op_number % LOG_LINES];
	size_t used = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + used, LOG_WIDTH - used, fmt, ap);
	va_end(ap);
}

static void print_log(void)
{
	uint32_t first = op_number >= LOG_LINES ? op_number - LOG_LINES + 1 : 0;

	fprintf(stderr, "the last operations:\n");
	for (uint32_t i = first; i <= op_number; i++)
		fprintf(stderr, "  %s\n", log_lines[i % LOG_LINES]);
}

static void die(const char *what) __attribute__((noreturn));
static void die(const char *what)
{
	fprintf(stderr, "fsx_model: operation %u: %s: %s\n", op_number, what, strerror(errno));
	print_log();
	exit(1);
}

static void differ(const char *what, uint64_t off, unsigned int got, unsigned int want)
	__attribute__((noreturn));
static void differ(const char *what, uint64_t off, unsigned int got, unsigned int want)
{
	fprintf(stderr,
		"fsx_model: operation %u: %s: byte %" PRIu64 " (page %" PRIu64
		"): got %02x, expected %02x, last touched by operation %u\n",
		op_number, what, off, off / PAGE, got, want, writer[off]);
	print_log();
	exit(1);
}

static void compare(const char *what, const unsigned char *got, uint64_t off, size_t len)
{
	if (memcmp(got, model + off, len) == 0)
		return;
	for (size_t i = 0; i < len; i++)
		if (got[i] != model[off + i])
			differ(what, off + i, got[i], model[off + i]);
}

static void check_size(void)
{
	struct stat by_fd, by_name;

	if (fstat(fd, &by_fd))
		die("fstat");
	if (stat(names[name], &by_name))
		die("stat");
	if ((size_t)by_fd.st_size == size && (size_t)by_name.st_size == size &&
	    by_fd.st_ino == by_name.st_ino)
		return;
	fprintf(stderr,
		"fsx_model: operation %u: size %" PRId64 " by descriptor, %" PRId64
		" by name, expected %zu; inodes %" PRIu64 " and %" PRIu64 "\n",
		op_number, (int64_t)by_fd.st_size, (int64_t)by_name.st_size, size,
		(uint64_t)by_fd.st_ino, (uint64_t)by_name.st_ino);
	print_log();
	exit(1);
}

static void read_all(int from, uint64_t off, size_t len, const char *what)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(from, buf + done, len - done, off + done);

		if (n < 0)
			die(what);
		if (n == 0) {
			errno = ENODATA;
			die(what);
		}
		done += n;
	}
	compare(what, buf, off, len);
}

static void write_all(int to, const unsigned char *data, uint64_t off, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(to, data + done, len - done, off + done);

		if (n <= 0)
			die("pwrite");
		done += n;
	}
}

/* New bytes for a range: never zero, different for each operation and place. */
static void put(uint64_t off, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		model[off + i] = 1 + (op_number * 31 + off + i + ((off + i) >> 8)) % 255;
		writer[off + i] = op_number;
	}
	if (off + len > size)
		size = off + len;
}

static void zero(uint64_t off, size_t len)
{
	memset(model + off, 0, len);
	for (size_t i = 0; i < len; i++)
		writer[off + i] = op_number;
}

static void resize(size_t to)
{
	if (to < size)
		zero(to, size - to);
	size = to;
}

/* Cuts the draw to what exists; false if there is nothing. */
static bool existing(const struct draw *d, uint64_t *ret_off, size_t *ret_len)
{
	if (size == 0) {
		note(" of an empty file");
		return false;
	}
	*ret_off = d->off % size;
	*ret_len = d->len < size - *ret_off ? d->len : size - *ret_off;
	note(" %" PRIu64 "+%zu", *ret_off, *ret_len);
	return true;
}

/* Cuts the draw to the largest file. */
static void possible(const struct draw *d, uint64_t *ret_off, size_t *ret_len)
{
	*ret_off = d->off;
	*ret_len = d->len < max_size - d->off ? d->len : max_size - d->off;
	note(" %" PRIu64 "+%zu", *ret_off, *ret_len);
}

static void op_read(const struct draw *d)
{
	uint64_t off;
	size_t len;

	if (existing(d, &off, &len))
		read_all(d->flag & 1 && reader >= 0 ? reader : fd, off, len, "read");
}

static void op_read_past_end(const struct draw *d)
{
	uint64_t off = size > d->len ? size - d->len : 0;
	ssize_t n = pread(fd, buf, max_size, off);

	note(" from %" PRIu64, off);
	if (n != (ssize_t)(size - off)) {
		fprintf(stderr, "fsx_model: read %zd bytes up to the end, expected %zu\n", n,
			size - (size_t)off);
		die("read past the end");
	}
	compare("read past the end", buf, off, n);
}

static void op_write(const struct draw *d)
{
	uint64_t off;
	size_t len;

	possible(d, &off, &len);
	put(off, len);
	write_all(fd, model + off, off, len);
}

static void op_writev(const struct draw *d)
{
	struct iovec iov[3];
	uint64_t off;
	size_t len, a, b;

	possible(d, &off, &len);
	put(off, len);
	a = len / 3;
	b = d->extra % (len - a + 1);
	iov[0] = (struct iovec){ model + off, a };
	iov[1] = (struct iovec){ model + off + a, b };
	iov[2] = (struct iovec){ model + off + a + b, len - a - b };
	if (pwritev(fd, iov, 3, off) != (ssize_t)len)
		die("pwritev");
}

static void op_append(const struct draw *d)
{
	size_t len = d->len < max_size - size ? d->len : max_size - size;
	uint64_t off = size;
	int to;

	note(" %zu", len);
	put(off, len);
	if (d->flag & 1) {
		to = open(names[name], O_WRONLY | O_APPEND | O_CLOEXEC);
		if (to < 0)
			die("open to append");
	} else {
		if (fcntl(fd, F_SETFL, O_APPEND))
			die("F_SETFL");
		to = fd;
	}
	if (write(to, model + off, len) != (ssize_t)len)
		die("append");
	if (to != fd) {
		if (close(to))
			die("close");
	} else if (fcntl(fd, F_SETFL, 0)) {
		die("F_SETFL");
	}
}

static void op_truncate_down(const struct draw *d)
{
	size_t to = size ? d->off % (size + 1) : 0;

	note(" to %zu", to);
	resize(to);
	if (d->flag & 1 ? ftruncate(fd, to) : truncate(names[name], to))
		die("truncate");
}

static void op_truncate_up(const struct draw *d)
{
	size_t to = size + d->extra % (max_size - size + 1);

	note(" to %zu", to);
	resize(to);
	if (d->flag & 1 ? ftruncate(fd, to) : truncate(names[name], to))
		die("truncate");
}

static unsigned char *map(uint64_t off, size_t len, int prot, uint64_t *ret_start)
{
	uint64_t start = ALIGN_DOWN(off);
	unsigned char *p = mmap(NULL, off + len - start, prot, MAP_SHARED, fd, start);

	if (p == MAP_FAILED)
		die("mmap");
	*ret_start = start;
	return p;
}

static void op_mmap_read(const struct draw *d)
{
	uint64_t off, start;
	unsigned char *p;
	size_t len;

	if (!existing(d, &off, &len))
		return;
	p = map(off, len, PROT_READ, &start);
	compare("mmap read", p + (off - start), off, len);
	munmap(p, off + len - start);
}

static void op_mmap_write(const struct draw *d)
{
	uint64_t off, start;
	unsigned char *p;
	size_t len;

	possible(d, &off, &len);
	if (off + len > size && ftruncate(fd, off + len))
		die("ftruncate");
	put(off, len);
	p = map(off, len, PROT_READ | PROT_WRITE, &start);
	memcpy(p + (off - start), model + off, len);
	if (d->flag & 1 && msync(p, off + len - start, MS_SYNC))
		die("msync");
	munmap(p, off + len - start);
}

/* A mapping that stays, whatever becomes of descriptors and sizes. */
static void op_hold(const struct draw *d)
{
	(void)d;
	if (held) {
		note(": let go");
		munmap(held, max_size);
		held = NULL;
		return;
	}
	held = mmap(NULL, max_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (held == MAP_FAILED)
		die("mmap");
}

static void op_held_write(const struct draw *d)
{
	uint64_t off;
	size_t len;

	if (!existing(d, &off, &len) || !held) {
		note(": nothing held");
		return;
	}
	compare("held mapping before a store", held + off, off, len);
	put(off, len);
	memcpy(held + off, model + off, len);
}

static void op_held_read(const struct draw *d)
{
	uint64_t off;
	size_t len;

	if (existing(d, &off, &len) && held)
		compare("held mapping", held + off, off, len);
}

static void op_alloc(const struct draw *d)
{
	int mode = d->flag & 1 ? FALLOC_FL_KEEP_SIZE : 0;
	uint64_t off;
	size_t len;

	possible(d, &off, &len);
	note(mode ? " keep size" : "");
	if (!have_alloc)
		return;
	if (!mode && off + len > size)
		resize(off + len);
	if (fallocate(fd, mode, off, len))
		die("fallocate");
}

static void op_punch(const struct draw *d)
{
	uint64_t off;
	size_t len;

	if (!existing(d, &off, &len) || !have_punch)
		return;
	zero(off, len);
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len))
		die("punch");
}

static void op_zero(const struct draw *d)
{
	int mode = d->flag & 1 ? FALLOC_FL_KEEP_SIZE : 0;
	uint64_t off, end;
	size_t len;

	possible(d, &off, &len);
	note(mode ? " keep size" : "");
	if (!have_zero)
		return;
	if (!mode && off + len > size)
		resize(off + len);
	end = off + len < size ? off + len : size;
	if (off < end)
		zero(off, end - off);
	if (fallocate(fd, FALLOC_FL_ZERO_RANGE | mode, off, len))
		die("zero range");
}

static void op_collapse(const struct draw *d)
{
	uint64_t off = ALIGN_DOWN(d->off);
	size_t len = ALIGN_UP(d->len);

	note(" %" PRIu64 "+%zu", off, len);
	if (!have_collapse || off + len >= size)
		return;
	memmove(model + off, model + off + len, size - off - len);
	for (uint64_t i = off; i < size; i++)
		writer[i] = op_number;
	memset(model + size - len, 0, len);
	size -= len;
	if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, off, len))
		die("collapse");
}

static void op_insert(const struct draw *d)
{
	uint64_t off = ALIGN_DOWN(d->off);
	size_t len = ALIGN_UP(d->len);

	note(" %" PRIu64 "+%zu", off, len);
	if (!have_insert || off >= size || size + len > max_size)
		return;
	memmove(model + off + len, model + off, size - off);
	memset(model + off, 0, len);
	size += len;
	for (uint64_t i = off; i < size; i++)
		writer[i] = op_number;
	if (fallocate(fd, FALLOC_FL_INSERT_RANGE, off, len))
		die("insert");
}

static void op_copy(const struct draw *d)
{
	uint64_t from, to = d->extra % max_size;
	off_t in, out;
	size_t len;

	if (!existing(d, &from, &len))
		return;
	if (len > max_size - to)
		len = max_size - to;
	note(" to %" PRIu64, to);
	/* The two may not overlap in one file. */
	if (to < from + len && from < to + len)
		return;
	memcpy(model + to, model + from, len);
	for (size_t i = 0; i < len; i++)
		writer[to + i] = op_number;
	if (to + len > size)
		size = to + len;
	in = from;
	out = to;
	for (size_t done = 0; done < len;) {
		ssize_t n = copy_file_range(fd, &in, fd, &out, len - done, 0);

		if (n <= 0)
			die("copy_file_range");
		done += n;
	}
}

static void op_reopen(const struct draw *d)
{
	static const int flags[] = { O_RDWR, O_RDWR | O_SYNC, O_RDWR | O_DSYNC, O_RDWR };

	note(" %u", d->flag % 4);
	if (close(fd))
		die("close");
	if (d->flag % 4 == 3) {
		/* By a reader alone, for a while. */
		fd = open(names[name], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die("open to read");
		read_all(fd, 0, size, "read after reopen");
		if (close(fd))
			die("close");
	}
	fd = open(names[name], flags[d->flag % 4] | O_CLOEXEC);
	if (fd < 0)
		die("open");
}

static void op_reader(const struct draw *d)
{
	(void)d;
	if (reader >= 0 && close(reader))
		die("close");
	reader = reader >= 0 ? -1 : open(names[name], O_RDONLY | O_CLOEXEC);
	note(reader >= 0 ? " opened" : " closed");
}

static void op_rename(const struct draw *d)
{
	(void)d;
	if (rename(names[name], names[!name]))
		die("rename");
	name = !name;
}

static void op_sync(const struct draw *d)
{
	note(" %u", d->flag % 3);
	if (d->flag % 3 == 0 ? fsync(fd) : d->flag % 3 == 1 ? fdatasync(fd) : 0)
		die("fsync");
	if (d->flag % 3 == 2 && held && size > 0 && msync(held, size, MS_SYNC))
		die("msync");
}

static void op_direct_write(const struct draw *d)
{
	uint64_t off = ALIGN_DOWN(d->off);
	size_t len = ALIGN_UP(d->len);
	int to;

	if (len > max_size - off)
		len = max_size - off;
	note(" %" PRIu64 "+%zu", off, len);
	if (!have_direct)
		return;
	put(off, len);
	memcpy(buf, model + off, len);
	to = open(names[name], O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (to < 0)
		die("open direct");
	write_all(to, buf, off, len);
	if (close(to))
		die("close");
}

static void op_direct_read(const struct draw *d)
{
	uint64_t off = ALIGN_DOWN(d->off);
	size_t want;
	ssize_t n;
	int from;

	note(" %" PRIu64, off);
	if (!have_direct || off >= size)
		return;
	want = size - off;
	from = open(names[name], O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (from < 0)
		die("open direct");
	n = pread(from, buf, ALIGN_UP(want), off);
	if (n != (ssize_t)want)
		die("direct read");
	compare("direct read", buf, off, want);
	if (close(from))
		die("close");
}

/* What is called a hole holds nothing but zeros. */
static void op_holes(const struct draw *d)
{
	off_t pos = 0;

	(void)d;
	while (pos < (off_t)size) {
		off_t data = lseek(fd, pos, SEEK_DATA);

		if (data < 0 && errno != ENXIO)
			die("SEEK_DATA");
		if (data < 0)
			data = size;
		for (off_t i = pos; i < data; i++)
			if (model[i])
				differ("inside a hole", i, 0, model[i]);
		if (data >= (off_t)size)
			break;
		pos = lseek(fd, data, SEEK_HOLE);
		if (pos <= data)
			die("SEEK_HOLE");
	}
}

static void op_everything(const struct draw *d)
{
	(void)d;
	read_all(fd, 0, size, "whole file");
	if (held && size > 0)
		compare("whole held mapping", held, 0, size);
}

static struct op ops[] = {
	{ "read", op_read, 10, false },
	{ "read past end", op_read_past_end, 2, false },
	{ "write", op_write, 12, false },
	{ "writev", op_writev, 3, false },
	{ "append", op_append, 4, false },
	{ "truncate down", op_truncate_down, 3, false },
	{ "truncate up", op_truncate_up, 3, false },
	{ "mmap read", op_mmap_read, 5, false },
	{ "mmap write", op_mmap_write, 6, false },
	{ "hold", op_hold, 1, false },
	{ "held write", op_held_write, 5, false },
	{ "held read", op_held_read, 4, false },
	{ "allocate", op_alloc, 3, false },
	{ "punch", op_punch, 3, false },
	{ "zero", op_zero, 3, false },
	{ "collapse", op_collapse, 1, false },
	{ "insert", op_insert, 1, false },
	{ "copy", op_copy, 4, false },
	{ "reopen", op_reopen, 4, false },
	{ "reader", op_reader, 1, false },
	{ "rename", op_rename, 1, false },
	{ "sync", op_sync, 2, false },
	{ "direct write", op_direct_write, 2, false },
	{ "direct read", op_direct_read, 2, false },
	{ "holes", op_holes, 1, false },
	{ "everything", op_everything, 1, false },
};
#define N_OPS (sizeof(ops) / sizeof(ops[0]))

static bool has(int mode)
{
	if (ftruncate(fd, 4 * 65536))
		die("ftruncate");
	return fallocate(fd, mode, 65536, 65536) == 0;
}

static void probe(void)
{
	int direct = open(names[name], O_RDWR | O_DIRECT | O_CLOEXEC);

	have_direct = direct >= 0;
	if (have_direct)
		close(direct);
	have_alloc = has(0);
	have_punch = has(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	have_zero = has(FALLOC_FL_ZERO_RANGE);
	have_collapse = has(FALLOC_FL_COLLAPSE_RANGE);
	have_insert = has(FALLOC_FL_INSERT_RANGE);
	if (ftruncate(fd, 0))
		die("ftruncate");
}

static void step(unsigned int total_weight)
{
	/* Always the same number of draws. */
	uint64_t which = next() % total_weight;
	struct draw d = { .off = next() % max_size };
	uint64_t len = next();
	struct op *op = ops;

	/* Mostly small, sometimes large, often around pages. */
	d.len = len % 8 == 0 ? (len >> 8) % max_size : (len >> 8) % (3 * PAGE);
	d.len = len % 5 == 0 ? ALIGN_UP(d.len) : d.len;
	d.len = d.len ? d.len : 1;
	d.extra = next();
	d.flag = next() >> 16;
	if (d.flag & 0x100)
		d.off = ALIGN_DOWN(d.off);
	while (which >= op->weight)
		which -= op++->weight;
	snprintf(log_lines[op_number % LOG_LINES], LOG_WIDTH, "%u: %s", op_number, op->name);
	if (op->off) {
		note(": not wanted");
		return;
	}
	op->run(&d);
	note(" -> size %zu", size);
	if (verbose)
		puts(log_lines[op_number % LOG_LINES]);
	check_size();
}

static void usage(FILE *out)
{
	fputs("usage: fsx_model [--seed N] [--ops N] [--size BYTES] [--without OPERATION]... [-v]\n"
	      "                 FILE\n"
	      "FILE and FILE.renamed are made, worked on and removed.\n"
	      "Operations:",
	      out);
	for (size_t i = 0; i < N_OPS; i++)
		fprintf(out, "%s %s", i ? "," : "", ops[i].name);
	fputc('\n', out);
}

static bool parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *ret_value)
{
	char *end;

	errno = 0;
	*ret_value = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *ret_value >= low && *ret_value <= high;
}

static bool without(const char *op_name)
{
	for (size_t i = 0; i < N_OPS; i++) {
		if (strcmp(ops[i].name, op_name) == 0) {
			ops[i].off = true;
			return true;
		}
	}
	return false;
}

static unsigned char *memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("out of memory");
	return p;
}

static void run(const char *path, uint64_t seed, uint64_t n_ops)
{
	unsigned int total_weight = 0;

	rng = seed;
	for (size_t i = 0; i < N_OPS; i++)
		total_weight += ops[i].weight;
	model = memory(max_size + PAGE);
	buf = memory(max_size + PAGE);
	writer = (uint32_t *)memory(max_size * sizeof(*writer));
	snprintf(names[0], sizeof(names[0]), "%s", path);
	snprintf(names[1], sizeof(names[1]), "%s.renamed", path);
	fd = open(names[0], O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
	if (fd < 0)
		die(names[0]);
	probe();
	for (op_number = 1; op_number <= n_ops; op_number++)
		step(total_weight);
	op_number--;
	/* All once more, by descriptors and names of its own. */
	op_everything(NULL);
	if (held)
		munmap(held, max_size);
	if (reader >= 0 && close(reader))
		die("close");
	if (close(fd))
		die("close");
	fd = open(names[name], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("open");
	read_all(fd, 0, size, "at the end");
	close(fd);
	if (unlink(names[name]))
		die("unlink");
}

int main(int argc, char **argv)
{
	enum { OPT_SEED = 256, OPT_OPS, OPT_SIZE, OPT_WITHOUT };
	static const struct option options[] = {
		{ "seed", required_argument, NULL, OPT_SEED },
		{ "ops", required_argument, NULL, OPT_OPS },
		{ "size", required_argument, NULL, OPT_SIZE },
		{ "without", required_argument, NULL, OPT_WITHOUT },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t seed = 1, n_ops = 10000, bytes = max_size;
	bool ok = true;
	int opt;

	while ((opt = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
		switch (opt) {
		case OPT_SEED:
			ok = ok && parse_number(optarg, 0, UINT64_MAX, &seed);
			break;
		case OPT_OPS:
			ok = ok && parse_number(optarg, 1, UINT32_MAX - 1, &n_ops);
			break;
		case OPT_SIZE:
			ok = ok && parse_number(optarg, 4 * PAGE, 1u << 30, &bytes);
			break;
		case OPT_WITHOUT:
			ok = ok && without(optarg);
			break;
		case 'v':
			verbose = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			ok = false;
		}
	}
	if (!ok || optind != argc - 1 || strlen(argv[optind]) > PATH_MAX - 16) {
		usage(stderr);
		return 2;
	}
	max_size = ALIGN_UP(bytes);
	run(argv[optind], seed, n_ops);
	printf("fsx: seed %" PRIu64 ", %" PRIu64 " operations, %zu bytes at most: no difference\n",
	       seed, n_ops, max_size);
	return 0;
}
