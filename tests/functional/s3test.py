# SPDX-License-Identifier: Apache-2.0
"""For the Python parts of tests of S3 volumes: f3test, and a foreign client beside the volume.

The script is fed to f3_python after f3_s3_start and f3_start, with F3_RUN exported.
"""
import json
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


# A tree of some objects, and what files there are below a directory.
FILES = {f"{d}/{i}" for d in ("a", "a/b", "c") for i in range(9)}


def tree_of(top):
    return {os.path.relpath(os.path.join(path, f), top)
            for path, _, files in os.walk(top) for f in files}


def passed(since=0):
    """What passed the proxy of f3_s3_proxy, from the request of that number on; none is under way."""
    tmp = os.environ["F3_TEST_TMP"]
    subprocess.run([os.environ["F3_SRCDIR"] + "/tests/s3/proxy.py", "ctl", tmp + "/proxy.sock",
                    "idle"], check=True, capture_output=True)
    with open(tmp + "/proxy.log", encoding="utf-8") as f:
        return [json.loads(line) for line in f][since:]
