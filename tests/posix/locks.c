/* SPDX-License-Identifier: Apache-2.0 */
/* flock(2), fcntl(2) record locks, and locks of open file descriptions. */
#include "config.h"

#include "tests/posix/posix.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>

static int open_rw(const char *path)
{
	return OK(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644));
}

static int record(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &fl);
}

static int set(int fd, short type, off_t start, off_t len)
{
	return record(fd, F_SETLK, type, start, len);
}

static int set_ofd(int fd, short type, off_t start, off_t len)
{
	return record(fd, F_OFD_SETLK, type, start, len);
}

/* What stands in the way of a write lock on the range, as another process sees it. */
static struct flock holder(const char *path, off_t start, off_t len)
{
	struct flock fl = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len
	};
	int ends[2];
	pid_t pid;

	OK(pipe(ends));
	pid = pt_fork();
	if (pid == 0) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		OK(fcntl(fd, F_GETLK, &fl));
		if (write(ends[1], &fl, sizeof(fl)) != sizeof(fl))
			_exit(1);
		_exit(0);
	}
	EQ(read(ends[0], &fl, sizeof(fl)), sizeof(fl));
	EQ(pt_wait(pid), 0);
	close(ends[0]);
	close(ends[1]);
	return fl;
}

static void check_range(const char *path, off_t start, off_t len, short type, off_t want_start,
			off_t want_len)
{
	struct flock fl = holder(path, start, len);

	EQ(fl.l_type, type);
	if (type == F_UNLCK)
		return;
	EQ(fl.l_start, want_start);
	EQ(fl.l_len, want_len);
	EQ(fl.l_pid, getpid());
}

static void flock_conflicts(void)
{
	static const struct {
		int have, want;
		bool ok;
	} rows[] = {
		{ LOCK_SH, LOCK_SH, true },  { LOCK_SH, LOCK_EX, false },
		{ LOCK_EX, LOCK_SH, false }, { LOCK_EX, LOCK_EX, false },
		{ LOCK_UN, LOCK_EX, true },
	};

	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		int a = open_rw("f"), b = open_rw("f");
		pid_t pid;

		pt_row("have=%d want=%d", rows[i].have, rows[i].want);
		OK(flock(a, rows[i].have));
		/* In this process, by another description, and in another process. */
		if (rows[i].ok)
			OK(flock(b, rows[i].want | LOCK_NB));
		else
			ERR(EWOULDBLOCK, flock(b, rows[i].want | LOCK_NB));
		OK(flock(b, LOCK_UN));
		pid = pt_fork();
		if (pid == 0) {
			int fd = open_rw("f");

			if (rows[i].ok)
				OK(flock(fd, rows[i].want | LOCK_NB));
			else
				ERR(EWOULDBLOCK, flock(fd, rows[i].want | LOCK_NB));
			_exit(0);
		}
		EQ(pt_wait(pid), 0);
		OK(close(a));
		/* Closing lets go. */
		OK(flock(b, LOCK_EX | LOCK_NB));
		OK(close(b));
	}
}

static void flock_conversion(void)
{
	int a = open_rw("f"), b = open_rw("f");

	OK(flock(a, LOCK_SH));
	OK(flock(b, LOCK_SH));
	ERR(EWOULDBLOCK, flock(a, LOCK_EX | LOCK_NB));
	/* The failed conversion may have lost the old lock: Linux says so. */
	OK(flock(b, LOCK_UN));
	OK(flock(a, LOCK_EX | LOCK_NB));
	ERR(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
	OK(flock(a, LOCK_SH | LOCK_NB));
	OK(flock(b, LOCK_SH | LOCK_NB));
	OK(flock(a, LOCK_UN));
	OK(flock(a, LOCK_UN));
	ERR(EINVAL, flock(a, 0));
	OK(close(a));
	ERR(EBADF, flock(a, LOCK_SH));
	OK(close(b));
}

/* The lock belongs to the open file description: shared by dup and fork. */
static void flock_description(void)
{
	int a = open_rw("f"), b = open_rw("f"), copy;
	pid_t pid;

	OK(flock(a, LOCK_EX));
	copy = OK(dup(a));
	OK(flock(copy, LOCK_EX | LOCK_NB));
	OK(close(a));
	ERR(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
	pid = pt_fork();
	if (pid == 0) {
		/* The child's copy counts, its close does not. */
		OK(flock(copy, LOCK_EX | LOCK_NB));
		OK(close(copy));
		ERR(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
		_exit(0);
	}
	EQ(pt_wait(pid), 0);
	ERR(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
	pid = pt_fork();
	if (pid == 0) {
		OK(flock(copy, LOCK_UN));
		_exit(0);
	}
	EQ(pt_wait(pid), 0);
	OK(flock(b, LOCK_EX | LOCK_NB));
	OK(close(copy));
	OK(close(b));
	/* Read-only descriptors may lock exclusively. */
	a = OK(open("f", O_RDONLY | O_CLOEXEC));
	OK(flock(a, LOCK_EX | LOCK_NB));
	OK(close(a));
	OK(mkdir("d", 0755));
	a = OK(open("d", O_RDONLY | O_CLOEXEC));
	b = OK(open("d", O_RDONLY | O_CLOEXEC));
	OK(flock(a, LOCK_EX | LOCK_NB));
	ERR(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
	OK(close(a));
	OK(close(b));
}

/* Waits until the process sleeps in a lock call, by looking at what it does. */
static void wait_until_asleep(pid_t pid)
{
	char path[64], stat[512];
	const struct timespec ms = { .tv_nsec = 1000000 };

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (int i = 0; i < 5000; i++) {
		ssize_t n = pt_get(path, stat, sizeof(stat) - 1);
		char *p;

		if (n > 0) {
			stat[n] = '\0';
			p = strrchr(stat, ')');
			if (p && (p[2] == 'S' || p[2] == 'D'))
				return;
		}
		nanosleep(&ms, NULL);
	}
	FAIL("process %d never went to sleep", (int)pid);
}

static void ignore(int sig)
{
	(void)sig;
}

static void catch (int sig)
{
	struct sigaction sa = { .sa_handler = ignore };

	sigaction(sig, &sa, NULL);
}

enum lock_kind { FLOCK, POSIX_RECORD, OFD_RECORD };
static const char *const kinds[] = { "flock", "fcntl", "ofd" };

static int lock_wait(enum lock_kind kind, int fd)
{
	if (kind == FLOCK)
		return flock(fd, LOCK_EX);
	return record(fd, kind == POSIX_RECORD ? F_SETLKW : F_OFD_SETLKW, F_WRLCK, 0, 0);
}

static int unlock(enum lock_kind kind, int fd)
{
	if (kind == FLOCK)
		return flock(fd, LOCK_UN);
	return record(fd, kind == POSIX_RECORD ? F_SETLK : F_OFD_SETLK, F_UNLCK, 0, 0);
}

/* One waits, and is woken by an unlock, a close, or the holder's death. */
static void blocking(void)
{
	for (int kind = FLOCK; kind <= OFD_RECORD; kind++) {
		for (int way = 0; way < 3; way++) {
			struct pt_gate locked, release;
			pid_t owner, waiter;

			pt_row("%s way=%d", kinds[kind], way);
			pt_gate_init(&locked);
			pt_gate_init(&release);
			owner = pt_fork();
			if (owner == 0) {
				int fd = open_rw("f");

				OK(lock_wait(kind, fd));
				pt_gate_open(&locked, 1);
				pt_gate_wait(&release);
				if (way == 0) {
					OK(unlock(kind, fd));
					pt_gate_wait(&release);
				} else if (way == 1) {
					OK(close(fd));
					pt_gate_wait(&release);
				}
				_exit(0);
			}
			pt_gate_wait(&locked);
			waiter = pt_fork();
			if (waiter == 0) {
				int fd = open_rw("f");

				OK(lock_wait(kind, fd));
				OK(unlock(kind, fd));
				_exit(0);
			}
			wait_until_asleep(waiter);
			EQ(waitpid(waiter, NULL, WNOHANG), 0);
			if (way == 2)
				OK(kill(owner, SIGKILL));
			else
				pt_gate_open(&release, 1);
			EQ(pt_wait(waiter), 0);
			if (way != 2)
				pt_gate_open(&release, 1);
			EQ(pt_wait(owner), way == 2 ? 128 + SIGKILL : 0);
			pt_gate_done(&locked);
			pt_gate_done(&release);
		}
	}
}

/* A caught signal ends the waiting with EINTR; a deadly one ends the waiter. */
static void interrupted(void)
{
	for (int kind = FLOCK; kind <= OFD_RECORD; kind++) {
		int fd = open_rw("f");
		struct pt_gate ready;
		pid_t waiter;

		pt_row("%s", kinds[kind]);
		/* Opening may sleep as well: only what comes after the gate is the lock. */
		pt_gate_init(&ready);
		OK(lock_wait(kind, fd));
		waiter = pt_fork();
		if (waiter == 0) {
			int mine = open_rw("f");

			catch (SIGUSR1);
			pt_gate_open(&ready, 1);
			ERR(EINTR, lock_wait(kind, mine));
			_exit(0);
		}
		pt_gate_wait(&ready);
		wait_until_asleep(waiter);
		OK(kill(waiter, SIGUSR1));
		EQ(pt_wait(waiter), 0);
		waiter = pt_fork();
		if (waiter == 0) {
			int mine = open_rw("f");

			pt_gate_open(&ready, 1);
			lock_wait(kind, mine);
			_exit(0);
		}
		pt_gate_wait(&ready);
		pt_gate_done(&ready);
		wait_until_asleep(waiter);
		OK(kill(waiter, SIGTERM));
		EQ(pt_wait(waiter), 128 + SIGTERM);
		/* Neither left anything behind. */
		OK(unlock(kind, fd));
		waiter = pt_fork();
		if (waiter == 0) {
			int mine = open_rw("f");

			OK(flock(mine, LOCK_EX | LOCK_NB));
			OK(set(mine, F_WRLCK, 0, 0));
			_exit(0);
		}
		EQ(pt_wait(waiter), 0);
		OK(close(fd));
	}
}

static void record_conflicts(void)
{
	static const struct {
		short have, want;
		off_t start, len;
		bool ok;
	} rows[] = {
		/* Held: bytes 100 to 199. */
		{ F_WRLCK, F_WRLCK, 100, 100, false }, { F_WRLCK, F_RDLCK, 100, 100, false },
		{ F_RDLCK, F_WRLCK, 100, 100, false }, { F_RDLCK, F_RDLCK, 100, 100, true },
		{ F_WRLCK, F_WRLCK, 0, 100, true },    { F_WRLCK, F_WRLCK, 0, 101, false },
		{ F_WRLCK, F_WRLCK, 200, 10, true },   { F_WRLCK, F_WRLCK, 199, 1, false },
		{ F_WRLCK, F_WRLCK, 0, 0, false },     { F_WRLCK, F_WRLCK, 200, 0, true },
		{ F_WRLCK, F_RDLCK, 150, 1, false },   { F_RDLCK, F_RDLCK, 0, 0, true },
	};

	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		int fd = open_rw("f");
		pid_t pid;

		pt_row("have=%d want=%d at %lld+%lld", rows[i].have, rows[i].want,
		       (long long)rows[i].start, (long long)rows[i].len);
		OK(set(fd, rows[i].have, 100, 100));
		pid = pt_fork();
		if (pid == 0) {
			int mine = open_rw("f");

			if (rows[i].ok)
				OK(set(mine, rows[i].want, rows[i].start, rows[i].len));
			else
				ERR2(EAGAIN, EACCES,
				     set(mine, rows[i].want, rows[i].start, rows[i].len));
			_exit(0);
		}
		EQ(pt_wait(pid), 0);
		/* One process is no conflict for itself. */
		OK(set(fd, F_WRLCK, 0, 0));
		OK(close(fd));
	}
}

static void record_split_and_merge(void)
{
	int fd = open_rw("f");

	OK(set(fd, F_WRLCK, 0, 100));
	check_range("f", 0, 0, F_WRLCK, 0, 100);
	OK(set(fd, F_UNLCK, 40, 20));
	check_range("f", 0, 0, F_WRLCK, 0, 40);
	check_range("f", 40, 20, F_UNLCK, 0, 0);
	check_range("f", 45, 0, F_WRLCK, 60, 40);
	OK(set(fd, F_WRLCK, 40, 20));
	check_range("f", 50, 1, F_WRLCK, 0, 100);
	OK(set(fd, F_RDLCK, 10, 10));
	check_range("f", 12, 1, F_RDLCK, 10, 10);
	check_range("f", 5, 1, F_WRLCK, 0, 10);
	check_range("f", 25, 1, F_WRLCK, 20, 80);
	OK(set(fd, F_WRLCK, 1000, 0));
	check_range("f", 5000000, 1, F_WRLCK, 1000, 0);
	OK(set(fd, F_UNLCK, 0, 0));
	check_range("f", 0, 0, F_UNLCK, 0, 0);
	OK(close(fd));
}

static void record_whence(void)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -10, .l_len = 5 };
	int fd = open_rw("f");

	EQ(write(fd, "0123456789012345678901234567890123456789", 40), 40);
	OK(fcntl(fd, F_SETLK, &fl));
	check_range("f", 0, 0, F_WRLCK, 30, 5);
	OK(set(fd, F_UNLCK, 0, 0));
	EQ(lseek(fd, 20, SEEK_SET), 20);
	fl = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 2, .l_len = 3 };
	OK(fcntl(fd, F_SETLK, &fl));
	check_range("f", 0, 0, F_WRLCK, 22, 3);
	OK(set(fd, F_UNLCK, 0, 0));
	/* A negative length reaches backwards. */
	OK(set(fd, F_WRLCK, 10, -4));
	check_range("f", 0, 0, F_WRLCK, 6, 4);
	ERR(EINVAL, set(fd, F_WRLCK, -1, 10));
	ERR(EINVAL, set(fd, F_WRLCK, 2, -4));
	ERR(EINVAL, set(fd, 99, 0, 0));
	OK(close(fd));
	ERR(EBADF, set(fd, F_WRLCK, 0, 0));
}

static void record_access_mode(void)
{
	int fd;

	OK(pt_touch("f", 0644));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	ERR(EBADF, set(fd, F_WRLCK, 0, 0));
	OK(set(fd, F_RDLCK, 0, 0));
	OK(close(fd));
	fd = OK(open("f", O_WRONLY | O_CLOEXEC));
	ERR(EBADF, set(fd, F_RDLCK, 0, 0));
	OK(set(fd, F_WRLCK, 0, 0));
	OK(close(fd));
}

/* The notorious rule: any close of the file by the process drops all its locks. */
static void record_any_close_releases(void)
{
	int fd = open_rw("f"), other;
	pid_t pid;

	OK(set(fd, F_WRLCK, 0, 0));
	other = OK(open("f", O_RDONLY | O_CLOEXEC));
	check_range("f", 0, 0, F_WRLCK, 0, 0);
	OK(close(other));
	check_range("f", 0, 0, F_UNLCK, 0, 0);
	/* The child has none of the parent's locks, and its closes do no harm. */
	OK(set(fd, F_WRLCK, 0, 0));
	pid = pt_fork();
	if (pid == 0) {
		ERR2(EAGAIN, EACCES, set(fd, F_WRLCK, 0, 0));
		OK(close(fd));
		_exit(0);
	}
	EQ(pt_wait(pid), 0);
	check_range("f", 0, 0, F_WRLCK, 0, 0);
	OK(close(fd));
}

static void record_deadlock(void)
{
	struct pt_gate mine, theirs;
	int fd = open_rw("f"), status;
	pid_t pid;

	pt_gate_init(&mine);
	pt_gate_init(&theirs);
	OK(set(fd, F_WRLCK, 0, 1));
	pid = pt_fork();
	if (pid == 0) {
		int own = open_rw("f");

		OK(set(own, F_WRLCK, 1, 1));
		pt_gate_open(&theirs, 1);
		/* Waits for ours, until we let go of everything. */
		OK(record(own, F_SETLKW, F_WRLCK, 0, 1));
		_exit(0);
	}
	pt_gate_wait(&theirs);
	wait_until_asleep(pid);
	ERR(EDEADLK, record(fd, F_SETLKW, F_WRLCK, 1, 1));
	OK(set(fd, F_UNLCK, 0, 0));
	status = pt_wait(pid);
	EQ(status, 0);
	OK(close(fd));
}

static void ofd_description(void)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int a = open_rw("f"), b = open_rw("f"), copy, other;
	pid_t pid;

	OK(set_ofd(a, F_WRLCK, 0, 100));
	/* Within one process, too. */
	ERR(EAGAIN, set_ofd(b, F_WRLCK, 50, 1));
	OK(set_ofd(b, F_WRLCK, 100, 10));
	OK(set_ofd(b, F_UNLCK, 0, 0));
	OK(fcntl(b, F_OFD_GETLK, &fl));
	EQ(fl.l_type, F_WRLCK);
	EQ(fl.l_start, 0);
	EQ(fl.l_len, 100);
	EQ(fl.l_pid, -1);
	fl = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_pid = 1 };
	ERR(EINVAL, fcntl(b, F_OFD_SETLK, &fl));
	/* Another descriptor of the file closed: no harm done. */
	other = open_rw("f");
	OK(close(other));
	ERR(EAGAIN, set_ofd(b, F_WRLCK, 0, 1));
	copy = OK(dup(a));
	OK(close(a));
	ERR(EAGAIN, set_ofd(b, F_WRLCK, 0, 1));
	pid = pt_fork();
	if (pid == 0) {
		OK(set_ofd(copy, F_WRLCK, 0, 100));
		OK(close(copy));
		_exit(0);
	}
	EQ(pt_wait(pid), 0);
	ERR(EAGAIN, set_ofd(b, F_WRLCK, 0, 1));
	/* Record locks of processes conflict with them. */
	ERR2(EAGAIN, EACCES, set(b, F_WRLCK, 0, 1));
	OK(close(copy));
	OK(set_ofd(b, F_WRLCK, 0, 0));
	OK(close(b));
}

static void kinds_are_independent(void)
{
	int a = open_rw("f"), b = open_rw("f");

	OK(flock(a, LOCK_EX | LOCK_NB));
	OK(set_ofd(b, F_WRLCK, 0, 0));
	ERR(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
	ERR(EAGAIN, set_ofd(a, F_RDLCK, 0, 0));
	OK(close(a));
	OK(flock(b, LOCK_EX | LOCK_NB));
	OK(close(b));
}

/* The lock is on the file: whichever name, or none. */
static void follows_the_file(void)
{
	int a = open_rw("f"), b;

	OK(flock(a, LOCK_EX));
	OK(set_ofd(a, F_WRLCK, 0, 0));
	OK(rename("f", "g"));
	b = OK(open("g", O_RDWR | O_CLOEXEC));
	ERR(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
	ERR(EAGAIN, set_ofd(b, F_WRLCK, 0, 0));
	OK(close(b));
	if (pt_has_links()) {
		OK(link("g", "h"));
		b = OK(open("h", O_RDWR | O_CLOEXEC));
		ERR(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
		OK(close(b));
		OK(unlink("h"));
	}
	b = OK(open("g", O_RDWR | O_CLOEXEC));
	OK(unlink("g"));
	ERR(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
	OK(close(a));
	OK(flock(b, LOCK_EX | LOCK_NB));
	OK(set_ofd(b, F_WRLCK, 0, 0));
	/* The name's next file knows nothing of it. */
	a = open_rw("g");
	OK(flock(a, LOCK_EX | LOCK_NB));
	OK(set_ofd(a, F_WRLCK, 0, 0));
	OK(close(a));
	OK(close(b));
}

/* Locks that exclude: a counter in a file, read and written by several. */
static void mutual_exclusion(void)
{
	enum { PROCS = 4, ROUNDS = 100 };

	for (int kind = FLOCK; kind <= OFD_RECORD; kind++) {
		pid_t pids[PROCS];
		int zero = 0, value = -1;

		pt_row("%s", kinds[kind]);
		OK(pt_put("counter", &zero, sizeof(zero)));
		for (int i = 0; i < PROCS; i++) {
			pids[i] = pt_fork();
			if (pids[i] == 0) {
				int fd = open("counter", O_RDWR | O_CLOEXEC);

				for (int k = 0; k < ROUNDS; k++) {
					int n;

					if (lock_wait(kind, fd) ||
					    pread(fd, &n, sizeof(n), 0) != sizeof(n))
						_exit(1);
					n++;
					if (pwrite(fd, &n, sizeof(n), 0) != sizeof(n) ||
					    unlock(kind, fd))
						_exit(2);
				}
				_exit(0);
			}
		}
		for (int i = 0; i < PROCS; i++)
			EQ(pt_wait(pids[i]), 0);
		EQ(pt_get("counter", &value, sizeof(value)), sizeof(value));
		EQ(value, PROCS * ROUNDS);
	}
}

static const struct pt_case cases[] = {
	{ "flock_conflicts", flock_conflicts, 0 },
	{ "flock_conversion", flock_conversion, 0 },
	{ "flock_description", flock_description, 0 },
	{ "blocking", blocking, 0 },
	{ "interrupted", interrupted, 0 },
	{ "record_conflicts", record_conflicts, 0 },
	{ "record_split_and_merge", record_split_and_merge, 0 },
	{ "record_whence", record_whence, 0 },
	{ "record_access_mode", record_access_mode, 0 },
	{ "record_any_close_releases", record_any_close_releases, 0 },
	{ "record_deadlock", record_deadlock, 0 },
	{ "ofd_description", ofd_description, 0 },
	{ "kinds_are_independent", kinds_are_independent, 0 },
	{ "follows_the_file", follows_the_file, 0 },
	{ "mutual_exclusion", mutual_exclusion, 0 },
};

PT_FAMILY(locks, cases);
