# SPDX-License-Identifier: Apache-2.0
"""What the program is for, at full size: large outputs and many of them, in bounded memory and with
a bounded number of descriptors."""

import hashlib

import pytest

from stores import bucket, directory, store  # noqa: F401 (fixtures)
from watch import Watch, is_sanitized

MIB = 1024 * 1024
GIB = 1024 * MIB


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
