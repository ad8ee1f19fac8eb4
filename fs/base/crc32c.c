/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/crc32c.h"

#include <isa-l/crc.h>

uint32_t f3_crc32c(uint32_t crc, const void *bytes, size_t len)
{
	/* ISA-L only reads the buffer, takes the length as an int, and leaves the inversions of
	 * the standard to its caller. */
	unsigned char *p = (unsigned char *)bytes;

	crc = ~crc;
	while (len) {
		int n = len > 1 << 30 ? 1 << 30 : (int)len;

		crc = crc32_iscsi(p, n, crc);
		p += n;
		len -= (size_t)n;
	}
	return ~crc;
}
