# SPDX-License-Identifier: Apache-2.0
"""What the program is for, at full size: large outputs and many of them, in bounded memory and with
a bounded number of descriptors."""

import hashlib
import mmap
import os
import threading
import time

import pytest

import programs
from stores import bucket, directory, store  # noqa: F401 (fixtures)

MIB = 1024 * 1024
GIB = 1024 * MIB

# What the process needs besides --memory: libraries, stacks, libcurl's buffers of every connection.
# Measured: 8 MiB; the rest is room for other versions of the libraries.
CONSTANT_MIB = 24


def is_sanitized():
    with open(programs.EGRESS, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
            return program.find(b"__asan_init") >= 0 or program.find(b"__tsan_init") >= 0


class Watch:
    """Samples a running program until it ends: its peak memory as the kernel keeps it, and how many
    descriptors it had open. (wait4()'s peak would count what Python had before the exec.)"""

    def __init__(self, run):
        self.run = run
        self.peak_mib = 0
        self.descriptors = []
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def _sample(self):
        proc = f"/proc/{self.run.pid}"
        while self.run.process.returncode is None:
            try:
                with open(f"{proc}/status") as status:
                    for line in status:
                        if line.startswith("VmHWM:"):
                            self.peak_mib = int(line.split()[1]) / 1024
                self.descriptors.append(len(os.listdir(f"{proc}/fd")))
            except OSError:
                return
            time.sleep(0.003)

    def wait(self, timeout=100):
        result = self.run.wait(timeout)
        self.thread.join(10)
        return result

    def assert_memory(self, memory_mib):
        assert self.peak_mib > 0
        if not is_sanitized():  # a sanitizer's own bookkeeping is several times as much
            assert self.peak_mib < memory_mib + CONSTANT_MIB, self.peak_mib


def sha256_of_stream(read):
    digest = hashlib.sha256()
    while block := read(4 * MIB):
        digest.update(block)
    return digest.hexdigest()


@pytest.mark.timeout(300)
def test_one_gib_into_s3(egress, sim, bucket):
    s = sim("--generate", 1, "--size", GIB)
    (job,) = s.ids()
    command = ["fetch", "--to", bucket.to, job]
    watch = Watch(egress.start(*command, sim=s, s3=bucket.s3))
    watch.wait(200).ok()
    watch.assert_memory(64)
    key = f"{bucket.prefix}{job}/labels.json"
    answer = bucket.client.get_object(Bucket=bucket.bucket, Key=key)
    assert answer["ContentLength"] == GIB
    assert sha256_of_stream(answer["Body"].read) == s.digest(job)
    handed_out = s.stats()
    r = egress(*command, "--json", sim=s, s3=bucket.s3).ok()
    assert r.jsonl[0]["status"] == "already stored"
    assert r.seconds < 2
    assert s.stats()["output_bytes"] == handed_out["output_bytes"]
    bucket.delete(f"{job}/labels.json")  # the store holds its objects in memory


@pytest.mark.timeout(300)
def test_unknown_length_into_a_directory_in_little_memory(egress, sim, directory):
    size = 1200 * MIB
    s = sim("--generate", 1, "--size", size, "--set", "framing=chunked")
    (job,) = s.ids()
    flags = ["--memory", "16MiB"]
    watch = Watch(egress.start("fetch", "--to", directory.to, *flags, job, sim=s))
    watch.wait(200).ok()
    watch.assert_memory(16)
    path = directory.root / job / "labels.json"
    try:
        assert path.stat().st_size == size
        with open(path, "rb") as file:
            assert sha256_of_stream(file.read) == s.digest(job)
    finally:
        path.unlink()


@pytest.mark.timeout(300)
def test_thousands_of_small_jobs(egress, sim, store):
    """Neither memory nor descriptors grow with their number. (The receipts of a hundred jobs are
    asked for ahead, each over a connection of its own; libcurl keeps up to 128 of them.)"""
    few, many = (200, 600) if store.kind == "s3" else (200, 2000)
    peaks, descriptors = [], []
    for n, seed in ((few, 1), (many, 2)):
        s = sim("--generate", n, "--size", "1..3000", "--seed", seed)
        ids = "\n".join(s.ids())
        run = egress.start("fetch", "--to", store.to, "-", sim=s, s3=store.s3, input=ids)
        watch = Watch(run)
        r = watch.wait(200).ok()
        assert f"{n} jobs: {n} stored, 0 already stored, 0 failed;" in r.stdout
        watch.assert_memory(16)
        assert len(watch.descriptors) > 20
        peaks.append(watch.peak_mib)
        descriptors.append(max(watch.descriptors))
    assert len(store.receipts()) == few + many
    assert max(descriptors) < 200, descriptors
    assert descriptors[1] <= descriptors[0] + 32, descriptors
    if not is_sanitized():
        assert peaks[1] < peaks[0] + 8, peaks
