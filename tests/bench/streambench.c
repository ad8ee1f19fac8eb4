/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streambench WHAT FILE NUMBER...: reading a file while it is written.
 *
 *	write FILE BYTES BLOCK		a writer alone
 *	both FILE BYTES BLOCK		with a reader that follows; FILE may be a FIFO
 *	follow FILE BYTES BLOCK		that reader alone, of what is written, while a writer has it open
 *	latency FILE COUNT PAUSE_US	from the write of a byte to the reader's having it
 *	wait FILE SECONDS		a writer and a reader who have nothing to do; prints "waiting" first
 *	many FILE READERS COUNT BLOCK PAUSE_US	readers of a file that grows by COUNT blocks
 *
 * Prints one JSON object.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READERS_MAX 1000u
#define BLOCK_MAX (64ul << 20)
#define COUNT_MAX 1000000ul

/* Of all processes. */
struct shared {
	double ends[READERS_MAX];
	double waits_s[COUNT_MAX];
	_Atomic unsigned opened;
};

static struct shared *shared;

static void die(const char *what)
{
	fprintf(stderr, "streambench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void pause_us(unsigned long us)
{
	const struct timespec ts = { .tv_sec = (time_t)(us / 1000000),
				     .tv_nsec = (long)(us % 1000000) * 1000 };

	nanosleep(&ts, NULL);
}

static char *buffer(size_t block)
{
	char *buf = aligned_alloc(4096, (block + 4095) / 4096 * 4096);

	if (!buf)
		die("memory");
	memset(buf, 'x', block);
	return buf;
}

static int writer_of(const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		die(file);
	return fd;
}

static int reader_of(const char *file)
{
	int fd = open(file, O_RDONLY);

	if (fd < 0)
		die(file);
	return fd;
}

static void write_all(int fd, const char *buf, size_t size)
{
	while (size) {
		ssize_t n = write(fd, buf, size);

		if (n <= 0)
			die("write");
		buf += n;
		size -= (size_t)n;
	}
}

static void write_bytes(int fd, uint64_t bytes, size_t block)
{
	char *buf = buffer(block);

	for (uint64_t done = 0; done < bytes; done += block)
		write_all(fd, buf, bytes - done < block ? (size_t)(bytes - done) : block);
	free(buf);
}

/* To the end, or so many. */
static uint64_t read_bytes(int fd, uint64_t most, size_t block)
{
	char *buf = buffer(block);
	uint64_t done = 0;

	while (done < most) {
		ssize_t n = read(fd, buf, block);

		if (n < 0)
			die("read");
		if (!n)
			break;
		done += (uint64_t)n;
	}
	free(buf);
	return done;
}

static pid_t child(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	return pid;
}

static void reap(unsigned n)
{
	int status;

	while (n--)
		if (wait(&status) < 0 || status) {
			fprintf(stderr, "streambench: a process failed\n");
			exit(1);
		}
}

static void print_seconds(double seconds)
{
	printf("{\"seconds\":%.6f}\n", seconds);
}

static void write_alone(const char *file, uint64_t bytes, size_t block)
{
	double start = now_s();
	int fd = writer_of(file);

	write_bytes(fd, bytes, block);
	close(fd);
	print_seconds(now_s() - start);
}

static void both(const char *file, uint64_t bytes, size_t block)
{
	double start = now_s();
	int fd;

	if (!child()) {
		fd = writer_of(file);
		write_bytes(fd, bytes, block);
		close(fd);
		exit(0);
	}
	while ((fd = open(file, O_RDONLY)) < 0)
		if (errno != ENOENT)
			die(file);
	if (read_bytes(fd, UINT64_MAX, block) != bytes) {
		fprintf(stderr, "streambench: the reader got less than was written\n");
		exit(1);
	}
	reap(1);
	print_seconds(now_s() - start);
}

/* The writer that is left open keeps the reader in the mode of one that follows. */
static void follow(const char *file, uint64_t bytes, size_t block)
{
	int writer = writer_of(file), reader;
	double start;

	write_bytes(writer, bytes, block);
	if (!child()) {
		close(writer);
		exit(0);
	}
	reap(1);
	reader = reader_of(file);
	start = now_s();
	if (read_bytes(reader, bytes, block) != bytes)
		die("too short");
	print_seconds(now_s() - start);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void latency(const char *file, unsigned long count, unsigned long pause)
{
	int fd = writer_of(file);
	double stamp;

	write_all(fd, "x", 1);
	if (!child()) {
		int reader = reader_of(file);
		char byte;

		close(fd);
		if (read(reader, &byte, 1) != 1)
			die("read");
		shared->opened = 1;
		for (unsigned long i = 0; i < count; i++) {
			if (read(reader, &stamp, sizeof(stamp)) != sizeof(stamp))
				die("read");
			shared->waits_s[i] = now_s() - stamp;
		}
		exit(0);
	}
	while (!shared->opened)
		pause_us(1000);
	for (unsigned long i = 0; i < count; i++) {
		pause_us(pause); /* he sleeps by then */
		stamp = now_s();
		write_all(fd, (const char *)&stamp, sizeof(stamp));
	}
	reap(1);
	qsort(shared->waits_s, count, sizeof(double), by_size);
	printf("{\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
	       shared->waits_s[count / 2] * 1e6, shared->waits_s[count * 99 / 100] * 1e6,
	       shared->waits_s[count - 1] * 1e6);
}

static void wait_both(const char *file, unsigned long seconds)
{
	int fd = writer_of(file);

	write_all(fd, "x", 1);
	if (!child()) {
		int reader = reader_of(file);
		char bytes[2];

		close(fd);
		shared->opened = 1;
		(void)read_bytes(reader, UINT64_MAX, sizeof(bytes));
		exit(0);
	}
	while (!shared->opened)
		pause_us(1000);
	printf("waiting\n");
	fflush(stdout);
	pause_us(seconds * 1000000);
	close(fd);
	reap(1);
	printf("{\"seconds\":%lu}\n", seconds);
}

static void many(const char *file, unsigned readers, unsigned long count, size_t block,
		 unsigned long pause)
{
	int fd = writer_of(file);
	char *buf = buffer(block);
	double start, slowest = 0;

	write_all(fd, buf, block);
	for (unsigned i = 0; i < readers; i++) {
		if (!child()) {
			int reader = reader_of(file);

			close(fd);
			shared->opened++;
			if (read_bytes(reader, UINT64_MAX, block) != (count + 1) * block)
				die("too short");
			shared->ends[i] = now_s();
			exit(0);
		}
	}
	while (shared->opened < readers)
		pause_us(1000);
	start = now_s();
	for (unsigned long i = 0; i < count; i++) {
		pause_us(pause);
		write_all(fd, buf, block);
	}
	close(fd);
	reap(readers);
	for (unsigned i = 0; i < readers; i++)
		if (shared->ends[i] - start > slowest)
			slowest = shared->ends[i] - start;
	printf("{\"slowest_s\":%.6f}\n", slowest);
	free(buf);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "", *file = argc > 2 ? argv[2] : "";
	unsigned long n[4] = { 0 };

	for (int i = 3; i < argc && i < 7; i++)
		n[i - 3] = strtoul(argv[i], NULL, 10);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		die("memory");
	if (argc == 5 && n[1] && n[1] <= BLOCK_MAX && !strcmp(what, "write"))
		write_alone(file, n[0], n[1]);
	else if (argc == 5 && n[1] && n[1] <= BLOCK_MAX && !strcmp(what, "both"))
		both(file, n[0], n[1]);
	else if (argc == 5 && n[1] && n[1] <= BLOCK_MAX && !strcmp(what, "follow"))
		follow(file, n[0], n[1]);
	else if (argc == 5 && n[0] && n[0] <= COUNT_MAX && !strcmp(what, "latency"))
		latency(file, n[0], n[1]);
	else if (argc == 4 && !strcmp(what, "wait"))
		wait_both(file, n[0]);
	else if (argc == 7 && n[0] && n[0] <= READERS_MAX && n[2] && n[2] <= BLOCK_MAX &&
		 !strcmp(what, "many"))
		many(file, (unsigned)n[0], n[1], n[2], n[3]);
	else {
		fprintf(stderr, "streambench: see the top of streambench.c\n");
		return 2;
	}
	return 0;
}
