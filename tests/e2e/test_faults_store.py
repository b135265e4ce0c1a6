# SPDX-License-Identifier: Apache-2.0
"""A store, a Platform and networks that fail: through faultproxy, into real S3 servers. What is
stored is right, what is not stored is invisible, and no upload stays open."""

import hashlib
import time

import pytest

MIB = 1 << 20
PART = 8 * MIB

# Rules that hit just one kind of call; NAME of the call -> how to know it.
CALLS = {
    "PutObject": "method=PUT,path=*/k",
    "CreateMultipartUpload": "method=POST,query=uploads",
    "UploadPart": "method=PUT,query=partNumber",
    "CompleteMultipartUpload": "method=POST,query=uploadId",
}


def sha256(s3, bucket, key):
    digest = hashlib.sha256()
    for block in s3.client().get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(MIB):
        digest.update(block)
    return digest.hexdigest()


def keys(s3, bucket):
    pages = s3.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return sorted(key for key in found if "/.egress/" not in f"/{key}")


def open_uploads(s3, bucket):
    return s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def assert_all_stored(s3, bucket, s):
    ids = s.ids()
    assert keys(s3, bucket) == sorted(ids)
    for job in ids:
        assert sha256(s3, bucket, job) == s.digest(job), job
    assert open_uploads(s3, bucket) == []


def to(bucket, key="{job_id}"):
    return ["--to", f"s3://{bucket}", "--key", key]


@pytest.fixture(params=["ceph", "versitygw"])
def s3(request):
    return request.getfixturevalue(request.param)


# ---- one fault at a time -----------------------------------------------------------------------


BEFORE = ["cut-request,how=rst", "cut-request,how=fin", "answer"]
BEFORE += ["answer,status=500,code=InternalError"]
AFTER = ["cut-answer,how=rst", "cut-answer,how=fin", "lose-answer"]  # the store has done it


def run_with_one_fault(egress, sim, s3, faultproxy, fault, call):
    size = 1000 if call == "PutObject" else PART + 1
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    bucket = s3.bucket()
    proxy = faultproxy(s3.url, f"{fault},{CALLS[call]},count=1")
    egress("fetch", *to(bucket, "k"), job, sim=s, s3=proxy.before(s3)).ok()
    assert proxy.hits(fault.split(",")[0]) == 1
    assert keys(s3, bucket) == ["k"]
    assert sha256(s3, bucket, "k") == s.digest(job)
    return bucket


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", BEFORE)
def test_fault_before_the_store_does_it(egress, sim, s3, faultproxy, fault, call):
    bucket = run_with_one_fault(egress, sim, s3, faultproxy, fault, call)
    assert open_uploads(s3, bucket) == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", AFTER)
def test_fault_after_the_store_did_it(egress, sim, s3, faultproxy, fault, call):
    """A second Put or Complete meets a condition that does not hold any more, or no upload; a
    second Create leaves an upload whose id nobody knows."""
    bucket = run_with_one_fault(egress, sim, s3, faultproxy, fault, call)
    assert open_uploads(s3, bucket) == []


def test_lost_upload_is_told_from_those_of_others(egress, sim, s3, faultproxy):
    """Of the same key, and begun at the same time: it has a part."""
    s = sim("--generate", 1, "--size", PART + 1)
    bucket = s3.bucket()
    theirs = {"Bucket": bucket, "Key": "k"}
    theirs["UploadId"] = s3.client().create_multipart_upload(**theirs)["UploadId"]
    s3.client().upload_part(**theirs, PartNumber=1, Body=b"theirs")
    proxy = faultproxy(s3.url, f"lose-answer,{CALLS['CreateMultipartUpload']},count=1")
    egress("fetch", *to(bucket, "k"), *s.ids(), sim=s, s3=proxy.before(s3)).ok()
    assert proxy.hits("lose-answer") == 1
    assert [upload["UploadId"] for upload in open_uploads(s3, bucket)] == [theirs["UploadId"]]


@pytest.mark.parametrize("size", [1000, PART + 1])
def test_lost_answer_with_force(egress, sim, s3, faultproxy, size):
    """If-Match does not hold any more: it was we who changed the object."""
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    bucket = s3.bucket()
    egress("fetch", *to(bucket, "k"), job, sim=s, s3=s3).ok()
    call = CALLS["PutObject" if size < PART else "CompleteMultipartUpload"]
    proxy = faultproxy(s3.url, f"lose-answer,{call},count=1")
    egress("fetch", *to(bucket, "k"), "--force", job, sim=s, s3=proxy.before(s3)).ok()
    assert proxy.hits("lose-answer") == 1
    assert sha256(s3, bucket, "k") == s.digest(job)
    assert open_uploads(s3, bucket) == []


def test_dead_kept_alive_connections(egress, sim, s3, faultproxy):
    """Each used connection turns out to be dead once. That is not the store's fault: no wait."""
    s = sim("--generate", 20, "--size", 1000)
    bucket = s3.bucket()
    proxy = faultproxy(s3.url, "cut-request,fraction=0,reused=yes,probability=0.5", seed=3)
    r = egress("fetch", *to(bucket), *s.ids(), sim=s, s3=proxy.before(s3), timeout=60).ok()
    assert proxy.hits("cut-request") >= 5
    assert_all_stored(s3, bucket, s)
    assert r.seconds < 10, r


def test_stalled_answers(egress, sim, s3, faultproxy):
    s = sim("--generate", 4, "--size", PART + 1)
    bucket = s3.bucket()
    proxy = faultproxy(s3.url, "stall,count=3,skip=5")
    egress("fetch", *to(bucket), "--read-timeout", "1s", *s.ids(), sim=s, s3=proxy.before(s3)).ok()
    assert proxy.hits("stall") == 3
    assert_all_stored(s3, bucket, s)


def test_abort_is_repeated_until_the_upload_is_gone(egress, sim, s3, faultproxy):
    lie = ["--set", "x_goog_hash=crc32c", "--set", "hash_lie=yes"]
    s = sim("--generate", 1, "--size", 20 * MIB, *lie)
    bucket = s3.bucket()
    proxy = faultproxy(s3.url, "answer,method=DELETE,query=uploadId,count=2")
    r = egress("fetch", *to(bucket), *s.ids(), sim=s, s3=proxy.before(s3))
    assert r.returncode == 1, r
    assert proxy.hits("answer") == 2
    assert keys(s3, bucket) == [] and open_uploads(s3, bucket) == []


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_refusal_that_is_cut(egress, sim, s3, faultproxy, how):
    """Half of a 404's XML says nothing about what it is; the rest comes with the next try."""
    s = sim("--generate", 1, "--size", 1000)
    bucket = s3.bucket()
    rule = f"cut-answer,method=GET,path=*/.egress/*,fraction=0.8,how={how},count=1"
    proxy = faultproxy(s3.url, rule)
    egress("fetch", *to(bucket), *s.ids(), sim=s, s3=proxy.before(s3)).ok()
    assert proxy.hits("cut-answer") == 1
    assert_all_stored(s3, bucket, s)


def test_complete_whose_answer_is_truncated(egress, sim, s3, faultproxy):
    """A 200 with half of its XML: the object is there, or it is not. A look tells."""
    s = sim("--generate", 1, "--size", PART + 1)
    bucket = s3.bucket()
    proxy = faultproxy(s3.url, "truncate,method=POST,query=uploadId,fraction=0.5,count=1")
    egress("fetch", *to(bucket), *s.ids(), sim=s, s3=proxy.before(s3)).ok()
    assert proxy.hits("truncate") == 1
    assert_all_stored(s3, bucket, s)


# ---- a store that is down ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, PART + 1])
@pytest.mark.parametrize("status", [500, 503])
def test_store_that_only_fails(egress, sim, s3, faultproxy, size, status):
    """It ends, it says so, and it has not hammered the store."""
    s = sim("--generate", 30, "--size", size)
    bucket = s3.bucket()
    proxy = faultproxy(s3.url, f"answer,status={status}")
    r = egress("fetch", *to(bucket), *s.ids(), sim=s, s3=proxy.before(s3), timeout=110)
    assert r.returncode == 1, r
    assert r.stderr.count("busy or has a fault") == 30, r
    assert proxy.stats()["requests"] < 30 * 5
    assert keys(s3, bucket) == [] and open_uploads(s3, bucket) == []


def test_store_that_comes_back(egress, sim, s3, faultproxy):
    s = sim("--generate", 4, "--size", PART + 1)
    bucket = s3.bucket()
    proxy = faultproxy(s3.url, "answer,method=PUT")
    run = egress.start("fetch", *to(bucket), *s.ids(), sim=s, s3=proxy.before(s3))
    while proxy.hits("answer") < 4:
        time.sleep(0.02)
    proxy.off()
    assert run.wait().returncode == 0, run.result()
    assert_all_stored(s3, bucket, s)


def test_store_that_takes_few_requests_at_a_time(egress, sim, s3, faultproxy):
    """503 SlowDown above 4 at once: what is sent at once adapts, rather than every request finding
    out for itself."""
    s = sim("--generate", 200, "--size", 1000)
    bucket = s3.bucket()
    proxy = faultproxy(s3.url, "answer,max-inflight=4")
    r = egress(
        "fetch", *to(bucket), "--concurrency", 64, *s.ids(), sim=s, s3=proxy.before(s3), timeout=110
    ).ok()
    assert_all_stored(s3, bucket, s)
    statuses = [entry["status"] for entry in proxy.log()]
    assert proxy.hits("answer") == statuses.count(503) >= 4
    after = statuses[200:]  # up to that many are on their way when the first 503 comes
    assert after.count(503) < len(after) / 16, (after.count(503), len(after))
    assert len([line for line in r.stderr.split("\n") if "answers 503: at most" in line]) == 1, r


# ---- many faults -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_every_store_fault_at_once(egress, sim, s3, faultproxy, seed):
    """Each run stores most jobs right and refuses the rest for a reason that passes; the first run
    without faults finds nothing wrong and does what is left."""
    s = sim("--generate", 60, "--size", "1000..9000000", "--seed", seed)
    ids = s.ids()
    bucket = s3.bucket()
    faults = ["cut-request", "cut-answer", "lose-answer", "answer", "delay,ms=200"]
    faults += ["answer,status=500,code=InternalError", "throttle,bytes=4M"]
    proxy = faultproxy(s3.url, *(f"{fault},probability=0.05" for fault in faults), seed=seed)
    for _ in range(2):
        r = egress("fetch", *to(bucket), "--json", *ids, sim=s, s3=proxy.before(s3), timeout=100)
        assert r.returncode in (0, 1), r
        told = {one["job"]: one for one in r.jsonl if "job" in one}
        assert len(told) == 60
        assert all("error" not in one or one["retryable"] for one in told.values()), r
        for job in keys(s3, bucket):
            assert sha256(s3, bucket, job) == s.digest(job), job
    assert min(proxy.stats()["faults"][fault.split(",")[0]] for fault in faults) > 0
    proxy.off()
    egress("fetch", *to(bucket), *ids, sim=s, s3=proxy.before(s3)).ok()
    assert keys(s3, bucket) == sorted(ids)
    egress("verify", "--to", f"s3://{bucket}", s3=s3).ok()
    egress("sweep", *to(bucket), "--older-than", "0s", s3=s3).ok()
    assert open_uploads(s3, bucket) == []


@pytest.mark.timeout(300)
def test_cut_connections_on_both_sides(egress, sim, s3, faultproxy):
    """24 outputs of 20 MB while 30 % of all connections are cut, on both sides."""
    s = sim("--generate", 24, "--size", 20_000_000)
    bucket = s3.bucket()
    rule = "cut-connection,probability=0.3,bytes=20M"
    platform, store = faultproxy(s.url, rule, seed=1), faultproxy(s3.url, rule, seed=2)
    egress(
        "fetch", *to(bucket), "--source", "output", *s.ids(),
        sim=platform.before(s), s3=store.before(s3), timeout=280,
    ).ok()  # fmt: skip
    assert platform.hits("cut-connection") and store.hits("cut-connection")
    assert_all_stored(s3, bucket, s)


@pytest.mark.timeout(400)
def test_gib_while_answers_fail_on_both_sides(egress, sim, ceph, faultproxy):
    s = sim("--generate", 1, "--size", 1 << 30)
    bucket = ceph.bucket()
    shares = {"cut-answer": 0.02, "answer": 0.02, "lose-answer": 0.01}
    rules = [f"{fault},probability={share}" for fault, share in shares.items()]
    platform, store = faultproxy(s.url, *rules, seed=1), faultproxy(ceph.url, *rules, seed=2)
    egress(
        "fetch", *to(bucket), "--source", "output", *s.ids(),
        sim=platform.before(s), s3=store.before(ceph), timeout=380,
    ).ok()  # fmt: skip
    assert sum(store.stats()["faults"].values()) >= 3
    assert_all_stored(ceph, bucket, s)
