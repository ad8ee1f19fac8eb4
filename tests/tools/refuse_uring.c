/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse_uring ERRNO-NAME COMMAND...: runs a program for which io_uring_setup(2) fails so, as it
 * does in many containers: EPERM or ENOSYS. Exits with 125 where the filter cannot be set.
 */
#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 3 || (strcmp(argv[1], "EPERM") != 0 && strcmp(argv[1], "ENOSYS") != 0)) {
		fputs("usage: refuse_uring EPERM|ENOSYS COMMAND...\n", stderr);
		return 125;
	}
	unsigned error = strcmp(argv[1], "EPERM") == 0 ? EPERM : ENOSYS;
	/* The number is the same on all architectures. */
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(*filter), .filter = filter };

	/* Root may have a filter without giving up set-uid programs, which mounting may run. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("refuse_uring: seccomp");
		return 125;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 125;
}
