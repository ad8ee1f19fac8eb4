# SPDX-License-Identifier: Apache-2.0
"""For the Python parts of tests of S3 volumes: f3test, and a foreign client beside the volume.

The script is fed to f3_python after f3_s3_start and f3_start, with F3_RUN exported.
"""
import os
import subprocess
import sys

sys.path.append(os.environ["F3_SRCDIR"] + "/tests/s3")
# What the script takes from here as its own.
from f3test import *  # noqa: E402,F401,F403
import s3  # noqa: E402

client = s3.Client(endpoint=os.environ["S3_DIRECT"])
KIND = os.environ["S3_KIND"]


def ctl(*words):
    """f3ctl, talking to the test's daemon: what it printed."""
    return subprocess.run(["f3ctl", "-s", os.environ["F3_RUN"] + "/control.sock", *words],
                          check=True, capture_output=True).stdout


def sync():
    ctl("sync")


def head(key):
    """Headers of an object, None if there is none."""
    try:
        return client.head(key)
    except s3.S3Error as e:
        if e.status == 404:
            return None
        raise


def keys(prefix=""):
    return sorted(key for key, _, _ in client.list(prefix))


def meta(key):
    """What an object says of itself in its metadata."""
    return {k[len("x-amz-meta-"):]: v for k, v in (head(key) or {}).items()
            if k.startswith("x-amz-meta-")}
