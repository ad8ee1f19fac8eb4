/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metabench: what one metadata operation costs, without FUSE around it.
 *
 *	metabench DIR [COUNT] [THREADS]
 *
 * Makes a database in DIR (which must be empty) and prints the time per operation of create-like
 * batches, point gets, misses, directory scans, unlink-like batches and syncs, on the clock and
 * as processor time of the calling threads (which a busy machine does not distort).
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/meta/meta.h"

#define DIR_INO 1000ull

static struct f3_meta *meta;
static unsigned long count = 200000;
static unsigned threads = 1;
static uint64_t first_ino;

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "metabench: %s: %s\n", what, strerror(-r));
		exit(1);
	}
}

static struct f3_inode_rec example(uint64_t ino, uint32_t mode)
{
	struct f3_inode_rec rec = { .ino = ino,
				    .mode = mode,
				    .nlink = 1,
				    .volume = 1,
				    .class_ = F3_CLASS_EPHEMERAL,
				    .parent = DIR_INO };

	rec.mtime_ns = rec.ctime_ns = rec.atime_ns = rec.btime_ns = f3_clock_real_ns();
	f3_meta_new_id(meta, &rec.id);
	return rec;
}

static int name_of(unsigned long i, char name[32])
{
	return snprintf(name, 32, "file-%08lu", i);
}

static void create_one(unsigned long i)
{
	struct f3_inode_rec dir = example(DIR_INO, S_IFDIR | 0755);
	struct f3_inode_rec rec = example(first_ino + i, S_IFREG | 0644);
	struct f3_batch *b;
	char name[32];
	int len = name_of(i, name);

	memcpy(rec.name, name, (size_t)len);
	rec.name_len = (uint8_t)len;
	dir.size = i;
	check(f3_batch_new(meta, &b), "batch");
	f3_batch_put_name(b, DIR_INO, name, (size_t)len, rec.ino, 8);
	f3_batch_put_inode(b, &rec);
	f3_batch_put_inode(b, &dir);
	f3_batch_put_mark(b, F3_MARK_WRITER, rec.ino);
	check(f3_batch_commit(b), "commit");
	f3_batch_free(b);
}

static void new_ino(unsigned long i)
{
	uint64_t ino;

	(void)i;
	check(f3_meta_new_ino(meta, &ino), "ino");
}

static void get_inode(unsigned long i)
{
	struct f3_inode_rec rec;

	/* in no order, so that blocks of files are not read in a row */
	check(f3_meta_get_inode(meta, first_ino + i * 7919 % count, &rec), "get inode");
	f3_inode_rec_done(&rec);
}

static void get_name(unsigned long i)
{
	struct f3_meta_name found;
	char name[32];
	int len = name_of(i * 7919 % count, name);

	check(f3_meta_get_name(meta, DIR_INO, name, (size_t)len, &found), "get name");
}

static void miss_name(unsigned long i)
{
	struct f3_meta_name found;
	char name[32];
	int len = name_of(i + count, name);

	if (f3_meta_get_name(meta, DIR_INO, name, (size_t)len, &found) != -ENOENT)
		check(-EIO, "name that is not there");
}

static void unlink_one(unsigned long i)
{
	struct f3_inode_rec dir = example(DIR_INO, S_IFDIR | 0755);
	struct f3_inode_rec rec = example(first_ino + i, S_IFREG | 0644);
	struct f3_batch *b;
	char name[32];
	int len = name_of(i, name);

	rec.state = F3_STATE_WRITING; /* it has the mark */
	check(f3_batch_new(meta, &b), "batch");
	f3_batch_del_name(b, DIR_INO, name, (size_t)len);
	f3_batch_put_inode(b, &dir);
	f3_batch_del_known_inode(b, &rec);
	check(f3_batch_commit(b), "commit");
	f3_batch_free(b);
}

static void sync_one(unsigned long i)
{
	create_one(i % count);
	check(f3_meta_sync(meta), "sync");
}

struct job {
	void (*fn)(unsigned long i);
	unsigned long from, to;
	uint64_t cpu_ns;
};

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)f3_ns_from_timespec(ts);
}

static void *run_job(void *arg)
{
	struct job *job = arg;

	for (unsigned long i = job->from; i < job->to; i++)
		job->fn(i);
	job->cpu_ns = thread_cpu_ns();
	return NULL;
}

static void measure(const char *what, unsigned long n, void (*fn)(unsigned long i))
{
	pthread_t tids[64];
	struct job jobs[64];
	uint64_t start = f3_clock_mono_ns(), ns, cpu_ns = 0;

	for (unsigned t = 0; t < threads; t++) {
		jobs[t] = (struct job){ fn, n * t / threads, n * (t + 1) / threads, 0 };
		check(-pthread_create(&tids[t], NULL, run_job, &jobs[t]), "thread");
	}
	for (unsigned t = 0; t < threads; t++) {
		pthread_join(tids[t], NULL);
		cpu_ns += jobs[t].cpu_ns;
	}
	ns = f3_clock_mono_ns() - start;
	printf("%-22s %9.0f ns/op %9.0f ns of cpu %10.0f op/s\n", what, (double)ns / (double)n,
	       (double)cpu_ns / (double)n, (double)n * 1e9 / (double)ns);
}

static void scan_dir(void)
{
	uint64_t start = f3_clock_mono_ns(), ns;
	struct f3_meta_name name;
	struct f3_meta_dir *d;
	unsigned long n = 0;
	const char *text;
	size_t len;
	int r;

	check(f3_meta_dir_open(meta, DIR_INO, 0, &d), "dir open");
	while ((r = f3_meta_dir_next(d, &name, &text, &len)) == 1)
		n++;
	check(r, "dir next");
	f3_meta_dir_close(d);
	ns = f3_clock_mono_ns() - start;
	printf("%-22s %9.0f ns/op %10lu names\n", "readdir", (double)ns / (double)(n ? n : 1), n);
}

static void scan_none(unsigned long i)
{
	check(f3_meta_dir_has_names(meta, 5000 + i), "has names");
}

static void open_meta(const char *dir)
{
	struct f3_kv_options kv_opt = { .block_cache_bytes = 32 << 20,
					.write_buffer_bytes = 32 << 20,
					.create = true };
	struct f3_meta_options opt = { .boot_id = "00000000-0000-0000-0000-000000000000" };
	uint64_t start = f3_clock_mono_ns();
	struct f3_err err = F3_ERR_INIT;
	struct f3_kv *kv;

	if (f3_meta_rocks_open(dir, &kv_opt, &kv, &err) || f3_meta_open(kv, &opt, &meta, &err)) {
		fprintf(stderr, "metabench: %s\n", err.text);
		exit(1);
	}
	printf("%-22s %9.1f ms\n", "open", (double)(f3_clock_mono_ns() - start) / 1e6);
}

static void close_meta(void)
{
	uint64_t start = f3_clock_mono_ns();

	f3_meta_close(meta);
	printf("%-22s %9.1f ms\n", "close", (double)(f3_clock_mono_ns() - start) / 1e6);
}

int main(int argc, char **argv)
{
	uint64_t disk, mem;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: metabench DIR [COUNT] [THREADS]\n");
		return 2;
	}
	if (argc > 2)
		count = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		threads = (unsigned)strtoul(argv[3], NULL, 10);
	if (count == 0 || threads == 0 || threads > 64)
		return 2;

	open_meta(argv[1]);
	check(f3_meta_new_ino(meta, &first_ino), "ino");
	first_ino += 10 * count;
	measure("new ino", count, new_ino);
	measure("create batch", count, create_one);
	measure("get inode", count, get_inode);
	measure("get name", count, get_name);
	measure("get name, absent", count, miss_name);
	measure("dir_has_names, empty", count / 10, scan_none);
	scan_dir();
	f3_meta_stats(meta, &disk, &mem);
	printf("%-22s %9.1f MiB on disk, %.1f MiB in memory\n", "size", (double)disk / 1048576,
	       (double)mem / 1048576);
	measure("create + sync", count / 1000 + threads, sync_one);
	close_meta();
	open_meta(argv[1]);
	measure("get inode, reopened", count, get_inode);
	measure("get inode, again", count, get_inode);
	measure("get name, absent", count, miss_name);
	scan_dir();
	measure("unlink batch", count, unlink_one);
	scan_dir();
	close_meta();
	return 0;
}
