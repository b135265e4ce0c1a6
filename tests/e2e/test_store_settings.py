# SPDX-License-Identifier: Apache-2.0
"""--part-layout, --max-parts and --conditional-writes into Ceph's gateway. What is here called
try_... test_fetch_versitygw.py does with the other server."""

import hashlib
import time

import pytest
from test_resume import kill_in_mid_upload, parts_of

MIB = 1 << 20


def etag_of(body, sizes):
    """What a store that has these parts makes of them."""
    digests, at = b"", 0
    for size in sizes:
        digests += hashlib.md5(body[at : at + size]).digest()
        at += size
    assert at == len(body)
    return f'"{hashlib.md5(digests).hexdigest()}-{len(sizes)}"'


def assert_parts(s3, bucket, key, digest, sizes):
    client = s3.client()
    got = client.get_object(Bucket=bucket, Key=key)
    body = got["Body"].read()
    assert hashlib.sha256(body).hexdigest() == digest
    assert got["ETag"] == etag_of(body, sizes)
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


# framing, flags, sizes of the parts of 50 MiB, in MiB
LAYOUTS = [
    ("length", ["--part-layout", "uniform"], [8] * 6 + [2]),
    ("length", ["--max-parts", "3"], [17, 17, 16]),
    ("chunked", ["--max-parts", "20"], [8, 8, 16, 16, 2]),
    ("chunked", ["--max-parts", "20", "--part-layout", "uniform"], [16, 16, 16, 2]),
    ("chunked", ["--part-layout", "uniform", "--memory", "16MiB"], [8] * 6 + [2]),
    ("chunked", ["--max-parts", "3"], [32, 18]),
]


def try_layout(egress, sim, s3, layout):
    framing, flags, sizes = layout
    s = sim("--generate", 1, "--size", 50 * MIB, "--set", f"framing={framing}")
    (job,) = s.ids()
    bucket = s3.bucket()
    egress("fetch", "--to", f"s3://{bucket}", "--key", "k", *flags, job, sim=s, s3=s3).ok()
    sizes = [size * MIB for size in sizes]
    assert_parts(s3, bucket, "k", s.digest(job), sizes)
    return bucket, sizes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(egress, sim, ceph, layout):
    try_layout(egress, sim, ceph, layout)


def test_by_environment(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 50 * MIB, "--set", "framing=chunked")
    (job,) = s.ids()
    bucket = ceph.bucket()
    env = {"EGRESS_PART_LAYOUT": "uniform", "EGRESS_MAX_PARTS": "4"}
    egress("fetch", "--to", f"s3://{bucket}", "--key", "k", job, sim=s, s3=ceph, env=env).ok()
    assert_parts(ceph, bucket, "k", s.digest(job), [16 * MIB] * 3 + [2 * MIB])


def test_known_length_is_refused_at_the_start(egress, sim, ceph, faultproxy):
    s = sim("--generate", 1, "--size", 100 * MIB)
    (job,) = s.ids()
    bucket = ceph.bucket()
    to = ["--to", f"s3://{bucket}", "--key", "k", "--max-parts", "3"]
    proxy = faultproxy(ceph.url)
    r = egress("fetch", *to, job, sim=s, s3=proxy.before(ceph))
    assert r.returncode == 4 and "3 parts of at most 32.0 MiB" in r.stderr, r
    assert "it needs --memory 67MiB" in r.stderr, r
    assert [e for e in proxy.log() if e["method"] in ("PUT", "POST")] == []
    egress("fetch", *to, "--memory", "67MiB", job, sim=s, s3=ceph).ok()
    sizes = [67 * MIB // 2] * 2 + [33 * MIB]
    assert_parts(ceph, bucket, "k", s.digest(job), sizes)


@pytest.mark.parametrize(
    "flags, largest, parts, needs",
    [
        (["--part-layout", "uniform"], 48, "3 parts of at most 16.0 MiB", "128MiB"),
        (["--part-layout", "auto"], 96, "3 parts of at most 32.0 MiB", "256MiB"),
    ],
)
def test_unknown_length_ends_where_the_parts_do(egress, sim, ceph, flags, largest, parts, needs):
    flags = ["--key", "{job_id}", "--max-parts", "3", *flags]
    bucket = ceph.bucket()
    chunked = ["--set", "framing=chunked"]
    exact = sim("--generate", 1, "--seed", 1, "--size", largest * MIB, *chunked)
    (job,) = exact.ids()
    egress("fetch", "--to", f"s3://{bucket}", *flags, job, sim=exact, s3=ceph).ok()
    assert_parts(ceph, bucket, job, exact.digest(job), [largest // 3 * MIB] * 3)
    over = sim("--generate", 1, "--seed", 2, "--size", largest * MIB + 1, *chunked)
    (job,) = over.ids()
    r = egress("fetch", "--to", f"s3://{bucket}", *flags, job, sim=over, s3=ceph)
    assert r.returncode == 4 and f"longer than {largest}.0 MiB" in r.stderr, r
    assert parts in r.stderr and f"such as {needs}" in r.stderr, r
    assert parts_of(ceph, bucket) is None
    flags += ["--memory", needs]
    egress("fetch", "--to", f"s3://{bucket}", *flags, job, sim=over, s3=ceph).ok()


# ---- going on under other settings -------------------------------------------------------------


@pytest.mark.parametrize(
    "framing, first, then, goes_on",
    [
        ("length", [], ["--part-layout", "uniform"], True),
        ("chunked", ["--part-layout", "uniform"], [], True),
        ("chunked", ["--max-parts", "30"], ["--part-layout", "uniform"], False),
        ("length", [], ["--max-parts", "8"], False),
    ],
)
def test_resume_under_other_settings(egress, sim, ceph, framing, first, then, goes_on):
    s = sim("--generate", 1, "--size", 70 * MIB, "--set", "body_rate=40M", "--set",
            f"framing={framing}")  # fmt: skip
    (job,) = s.ids()
    bucket = ceph.bucket()
    kill_in_mid_upload(egress, s, ceph, bucket, 2, *first)
    to = ["--to", f"s3://{bucket}"]
    r = egress("fetch", *to, "--json", *then, job, sim=s, s3=ceph).ok()
    assert ("which an earlier run had stored" in r.stderr) == goes_on, r
    assert ("not cut as --part-layout" in r.stderr) != goes_on, r
    assert (parts_of(ceph, bucket) is None) == goes_on
    egress("sweep", *to, "--older-than", "0s", s3=ceph).ok()
    assert parts_of(ceph, bucket) is None
    body = ceph.client().get_object(Bucket=bucket, Key=f"{job}/labels.json")["Body"].read()
    assert hashlib.sha256(body).hexdigest() == s.digest(job)


# ---- conditional writes ------------------------------------------------------------------------


def try_without_conditions(egress, sim, s3, proxy, size):
    """What is there stays, what is ours is replaced, after a look each time."""
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    bucket = s3.bucket()
    client = s3.client()
    client.put_object(Bucket=bucket, Key="theirs", Body=b"theirs")
    off = ["--conditional-writes", "off", "--to", f"s3://{bucket}", "--key"]
    r = egress("fetch", *off, "theirs", job, sim=s, s3=s3)
    assert r.returncode == 4 and f"s3://{bucket}/theirs exists" in r.stderr, r
    assert client.get_object(Bucket=bucket, Key="theirs")["Body"].read() == b"theirs"
    egress("fetch", *off, "k", job, sim=s, s3=proxy.before(s3)).ok()
    egress("fetch", *off, "k", "--force", job, sim=s, s3=proxy.before(s3)).ok()
    asked = [(e["method"], e["target"].partition("?")[0]) for e in proxy.log()]
    method = "POST" if size > MIB else "PUT"
    writes = [i for i, e in enumerate(asked) if e == (method, f"/{bucket}/k")]
    for i in writes[1::2] if size > MIB else writes:  # every other POST begins an upload
        assert asked[i - 1] == ("HEAD", f"/{bucket}/k")
    assert len(writes) == (4 if size > MIB else 2)
    body = client.get_object(Bucket=bucket, Key="k")["Body"].read()
    assert hashlib.sha256(body).hexdigest() == s.digest(job)
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


@pytest.mark.parametrize("size", [1000, 8 * MIB + 1])
def test_without_conditions(egress, sim, ceph, faultproxy, size):
    try_without_conditions(egress, sim, ceph, faultproxy(ceph.url), size)


def try_two_writers(egress, sim, s3, *flags):
    """Two large jobs for one key, both under way: the first to end has it, the other is told."""
    slow = sim("--generate", 1, "--seed", 1, "--size", 20 * MIB, "--set", "body_rate=8M")
    fast = sim("--generate", 1, "--seed", 2, "--size", 20 * MIB)
    bucket = s3.bucket()
    to = ["--to", f"s3://{bucket}", "--key", "k", *flags]
    first = egress.start("fetch", *to, *slow.ids(), sim=slow, s3=s3)
    deadline = time.monotonic() + 30
    while parts_of(s3, bucket) is None:
        assert first.process.poll() is None and time.monotonic() < deadline, first.result()
        time.sleep(0.02)
    egress("fetch", *to, *fast.ids(), sim=fast, s3=s3).ok()
    (job,) = fast.ids()
    r = first.wait()
    assert r.returncode == 4 and f"output of another job ({job})" in r.stderr, r
    body = s3.client().get_object(Bucket=bucket, Key="k")["Body"].read()
    assert hashlib.sha256(body).hexdigest() == fast.digest(job)
    assert parts_of(s3, bucket) is None


@pytest.mark.parametrize("conditions", ["on", "off"])
def test_two_writers(egress, sim, ceph, conditions):
    """Ceph ignores If-None-Match on CompleteMultipartUpload."""
    try_two_writers(egress, sim, ceph, "--conditional-writes", conditions)


def try_many_writers(egress, sim, s3):
    """Small jobs for one key, all at once: the store lets one have it."""
    sims = [sim("--generate", 1, "--seed", n, "--size", 1000) for n in range(4)]
    bucket = s3.bucket()
    to = ["--to", f"s3://{bucket}", "--key", "k"]
    runs = [egress.start("fetch", *to, *s.ids(), sim=s, s3=s3) for s in sims]
    results = [run.wait() for run in runs]
    assert sorted(r.returncode for r in results) == [0, 4, 4, 4], results
    (winner,) = [s for s, r in zip(sims, results) if r.returncode == 0]
    body = s3.client().get_object(Bucket=bucket, Key="k")["Body"].read()
    assert hashlib.sha256(body).hexdigest() == winner.digest(*winner.ids())


def test_many_writers(egress, sim, ceph):
    try_many_writers(egress, sim, ceph)
