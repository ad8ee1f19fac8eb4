# SPDX-License-Identifier: Apache-2.0
"""File systems over one bucket: F3 and its rivals from Debian's packages.

Each shows the whole bucket, through its own cache directory on the same scratch file system. cold()
mounts it anew with an empty cache: nothing of the bucket is on this machine then, neither in the
kernel nor on disk.

The rivals have what their manuals offer for speed: a cache on disk, many transfers at a time, parts
as large as those of the others, no checks that cost a request, what was seen kept for long.
"""

import os
import shutil

import targets as fs


def need(program):
    return shutil.which(program) is not None


class S3Mount(fs.Command):
    """One mount of the bucket; at: the server, or a proxy in front of it."""

    def __init__(self, name, scratch, env):
        super().__init__(name, scratch, [])
        self.env = env
        self.cache = os.path.join(self.base, "cache")
        self.endpoint = env["S3_ENDPOINT"]

    def start(self):
        os.makedirs(self.mountpoint, exist_ok=True)

    def at(self, endpoint):
        """From the next cold() on it asks there."""
        self.endpoint = endpoint

    def launch(self):
        os.environ.pop("AWS_CA_BUNDLE", None)  # rclone 1.60 does not start with it
        os.environ.update({k: self.env[k] for k in ("AWS_ACCESS_KEY_ID",
                                                    "AWS_SECRET_ACCESS_KEY")})
        self.argv = self.command()
        super().launch()
        # the first request goes out before anything is measured
        os.statvfs(self.directory())

    def command(self):
        raise NotImplementedError

    def wipe(self):
        shutil.rmtree(self.cache, ignore_errors=True)
        os.makedirs(self.cache)

    def cold(self):
        self.stop()
        self.wipe()
        self.launch()


class F3(S3Mount):
    """F3; the class is that of files nothing else is said of."""

    CONF = """[f3]
mountpoint = {mnt}
node = bench
cache = {cache}
cache-size = 16G
run-dir = {base}/run
log = stderr
memory-limit = {memory}

[volume bench]
url = s3://{bucket}
endpoint = {endpoint}
region = {region}
path-style = yes
default-class = {of_class}
attributes = {attributes}
"""

    def __init__(self, name, scratch, env, f3d, of_class, memory="512M", attributes="object"):
        super().__init__(name, scratch, env)
        self.f3d = f3d
        self.of_class = of_class
        self.memory = memory
        self.attributes = attributes

    def directory(self):
        return os.path.join(self.mountpoint, "bench")

    def wipe(self):
        super().wipe()
        shutil.rmtree(os.path.join(self.base, "run"), ignore_errors=True)
        os.makedirs(os.path.join(self.base, "run"))

    def command(self):
        conf = os.path.join(self.base, "f3.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(self.CONF.format(
                mnt=self.mountpoint, base=self.base, cache=self.cache, endpoint=self.endpoint,
                region=self.env["S3_REGION"], bucket=self.env["S3_BUCKET"],
                of_class=self.of_class, memory=self.memory, attributes=self.attributes))
        return [self.f3d, "-f", "-c", conf, self.mountpoint]


class S3fs(S3Mount):
    PROGRAM = "s3fs"

    def command(self):
        return [self.PROGRAM, self.env["S3_BUCKET"], self.mountpoint, "-f", "-o", ",".join((
            "url=" + self.endpoint, "use_path_request_style",
            "endpoint=" + self.env["S3_REGION"], "sigv4", "use_cache=" + self.cache,
            "parallel_count=16", "multipart_size=16", "multireq_max=100",
            "max_stat_cache_size=200000", "stat_cache_expire=86400", "enable_noobj_cache",
            "notsup_compat_dir", "listobjectsv2"))]


class Rclone(S3Mount):
    PROGRAM = "rclone"

    def command(self):
        remote = ":s3,provider=Other,env_auth=true,force_path_style=true,region=%s,endpoint='%s':%s" % (
            self.env["S3_REGION"], self.endpoint, self.env["S3_BUCKET"])
        return [self.PROGRAM, "mount", remote, self.mountpoint, "--config", "/dev/null",
                "--cache-dir", self.cache, "--vfs-cache-mode", "full", "--vfs-write-back", "0s",
                "--vfs-read-ahead", "256M", "--vfs-read-chunk-size", "32M",
                "--vfs-fast-fingerprint", "--buffer-size", "64M", "--dir-cache-time", "24h",
                "--attr-timeout", "1h", "--poll-interval", "0", "--transfers", "16",
                "--use-server-modtime", "--no-checksum", "--s3-upload-concurrency", "8",
                "--s3-chunk-size", "16M", "--s3-upload-cutoff", "16M", "--s3-disable-checksum",
                "--s3-no-check-bucket", "--s3-no-head", "--s3-no-head-object"]


def rivals(scratch, env):
    """Those that are there, and the names of the others."""
    kinds = (S3fs, Rclone)
    return ([k(k.PROGRAM, scratch, env) for k in kinds if need(k.PROGRAM)],
            [k.PROGRAM for k in kinds if not need(k.PROGRAM)])
