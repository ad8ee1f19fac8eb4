# SPDX-License-Identifier: Apache-2.0
"""Is anything running that is not measured?"""

import time


def busy(seconds=0.3):
    """The share of all CPUs that is used while nothing is measured."""
    def ticks():
        with open("/proc/stat", encoding="ascii") as f:
            fields = [int(n) for n in f.readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    total, idle = ticks()
    time.sleep(seconds)  # the length of the measurement
    total_now, idle_now = ticks()
    return 1 - (idle_now - idle) / max(total_now - total, 1)


def come_to_rest(seconds=3):
    """Waits until what the runs before have left to be done is done, or for so long."""
    deadline = time.monotonic() + seconds
    while busy(0.1) > 0.1 and time.monotonic() < deadline:
        pass
