# SPDX-License-Identifier: Apache-2.0
"""--ranges: several parts of one output at a time, from the real source into both kinds of stores."""

import hashlib

import pytest

from stores import bucket, directory, store  # noqa: F401 (fixtures)
from test_resume import kill_in_mid_upload, parts_of, sha256

MIB = 1 << 20
SIZE = 61 * MIB + 4099  # 8 parts, the last of which is not full
PARTS = 8


def output_requests(s):
    return sum(n for route, n in s.stats()["requests"].items() if route.endswith("/output"))


def assert_stored(s, store, job):
    data = store.get(f"{job}/labels.json")
    assert hashlib.sha256(data).hexdigest() == s.digest(job)
    assert store.receipts() == [job]
    store.assert_nothing_open()


@pytest.mark.parametrize("ranges", [2, 4, 8])
def test_each_part_by_a_request(egress, sim, store, ranges):
    s = sim("--generate", 1, "--size", SIZE, "--set", "body_rate=30M")
    (job,) = s.ids()
    egress("fetch", "--to", store.to, "--ranges", ranges, job, sim=s, s3=store.s3).ok()
    assert_stored(s, store, job)
    assert output_requests(s) == PARTS


@pytest.mark.parametrize(
    "switches",
    [["output=redirect"], ["x_goog_hash=both", "content_md5=yes"], ["latency_ms=30"]],
    ids=lambda switches: switches[0],
)
def test_as_the_platform_may_send_it(egress, sim, directory, switches):
    s = sim("--generate", 1, "--size", SIZE, *(w for x in switches for w in ("--set", x)))
    (job,) = s.ids()
    egress("fetch", "--to", directory.to, "--ranges", 4, job, sim=s).ok()
    assert_stored(s, directory, job)
    assert output_requests(s) >= PARTS


def test_by_signed_url(egress, sim, directory):
    s = sim("--generate", 1, "--size", SIZE, "--set", "signed_port=other")
    (job,) = s.ids()
    flags = ["--ranges", 4, "--source", "output-url"]
    egress("fetch", "--to", directory.to, *flags, job, sim=s).ok()
    assert_stored(s, directory, job)


@pytest.mark.parametrize(
    "switch", ["ranges=no", "etag=weak", "etag=none", "framing=chunked", "content_md5=yes"]
)
def test_one_stream_where_it_must_be(egress, sim, directory, switch):
    s = sim("--generate", 1, "--size", SIZE, "--set", switch)
    (job,) = s.ids()
    egress("fetch", "--to", directory.to, "--ranges", 4, job, sim=s).ok()
    assert_stored(s, directory, job)
    assert output_requests(s) == 1


def test_a_checksum_that_is_wrong(egress, sim, store):
    s = sim("--generate", 1, "--size", SIZE, "--set", "x_goog_hash=crc32c", "--set", "hash_lie=yes")
    (job,) = s.ids()
    r = egress("fetch", "--to", store.to, "--ranges", 4, job, sim=s, s3=store.s3)
    assert r.returncode == 1 and "CRC32C mismatch" in r.stdout + r.stderr, r
    store.assert_empty()


def test_every_third_answer_breaks(egress, sim, store, faultproxy):
    s = sim("--generate", 1, "--size", SIZE)
    proxy = faultproxy(s.url, "cut-answer,probability=0.3,path=*/output", seed=3)
    (job,) = s.ids()
    flags = ["--to", store.to, "--ranges", 4, "--log-level", "error"]
    egress("fetch", *flags, job, sim=proxy.before(s), s3=store.s3).ok()
    assert proxy.hits("cut-answer") > 0
    assert_stored(s, store, job)


def test_goes_on_where_it_was_killed(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 100 * MIB, "--set", "body_rate=6M")
    (job,) = s.ids()
    bucket = ceph.bucket()
    kill_in_mid_upload(egress, s, ceph, bucket, 8, "--ranges", "4")
    r = egress("fetch", "--to", f"s3://{bucket}", "--json", "--ranges", 4, job, sim=s, s3=ceph)
    assert r.returncode == 0, r
    assert r.jsonl[0]["resumed_bytes"] > 0
    assert sha256(ceph, bucket, f"{job}/labels.json") == s.digest(job)
    assert parts_of(ceph, bucket) is None
