/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

ssize_t f3_file_read(const char *path, char *text, size_t size)
{
	size_t have = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, text + have, size - have);
		if (n > 0)
			have += (size_t)n;
	} while ((n > 0 && have < size) || (n < 0 && errno == EINTR));
	if (n < 0)
		n = -errno;
	else if (have == size)
		n = -EFBIG;
	else
		n = (ssize_t)have;
	close(fd);
	if (n >= 0)
		text[n] = '\0';
	return n;
}
