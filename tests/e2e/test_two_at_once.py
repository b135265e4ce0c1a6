# SPDX-License-Identifier: Apache-2.0
"""Two processes at one job: whatever they do to each other, it is stored once and nothing stays."""

import json
import signal
import time

import pytest

from test_resume import kill_in_mid_upload, parts_of, sha256
from test_worker import lines, start_slow, worker

MIB = 1 << 20


def expect_in_order(s, ceph, bucket):
    """One right object, a receipt that says so, no marker, no open upload."""
    (job,) = s.ids()
    client = ceph.client()
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [f".egress/voxel51/{job}.json", f"{job}/labels.json"]
    receipt = json.load(client.get_object(Bucket=bucket, Key=keys[0])["Body"])
    assert receipt["state"] == "stored", receipt
    assert sha256(ceph, bucket, keys[1]) == s.digest(job)
    assert parts_of(ceph, bucket) is None


@pytest.mark.parametrize("delay", [0, 0.7])
def test_both_go_on_with_what_was_killed(egress, sim, ceph, delay):
    s = sim("--generate", 1, "--size", 64 * MIB, "--set", "body_rate=16M")
    (job,) = s.ids()
    bucket = ceph.bucket()
    kill_in_mid_upload(egress, s, ceph, bucket, 5)
    runs = []
    for _ in range(2):
        runs.append(egress.start("fetch", "--to", f"s3://{bucket}", "--json", job, sim=s, s3=ceph))
        time.sleep(delay)
    results = [run.wait() for run in runs]
    assert [r.returncode for r in results] == [0, 0], results
    expect_in_order(s, ceph, bucket)


def test_one_is_killed_once_the_other_has_stored_it(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 64 * MIB, "--set", "body_rate=16M")
    (job,) = s.ids()
    bucket = ceph.bucket()
    kill_in_mid_upload(egress, s, ceph, bucket, 5)
    slow, fast = [
        egress.start("fetch", "--to", f"s3://{bucket}", "--json", job, sim=s, s3=ceph)
        for _ in range(2)
    ]
    slow.send_signal(signal.SIGSTOP)
    fast.wait().ok()
    slow.send_signal(signal.SIGCONT)
    time.sleep(0.3)
    slow.send_signal(signal.SIGKILL)
    slow.wait()
    r = egress("fetch", "--to", f"s3://{bucket}", "--json", job, sim=s, s3=ceph)
    assert r.returncode == 0, r
    expect_in_order(s, ceph, bucket)


@pytest.mark.parametrize("first", ["cancelled", "goes on"])
def test_a_second_upload_of_the_same_job(egress, sim, ceph, first):
    """Both begin one of their own, so that the receipt names just the later."""
    s = sim("--generate", 1, "--size", 128 * MIB, "--set", "body_rate=16M")
    (job,) = s.ids()
    bucket = ceph.bucket()
    args = ["fetch", "--to", f"s3://{bucket}", "--json", job]
    two = egress.start(*args, sim=s, s3=ceph)
    force = []
    if first == "cancelled":  # it reads no receipt, so that the one that it takes back is its own
        force = ["--force"]
        while ceph.client().list_objects_v2(Bucket=bucket).get("KeyCount", 0) < 2:
            assert two.process.poll() is None, two.result()
            time.sleep(0.02)
    one = egress.start(*args, *force, sim=s, s3=ceph)
    deadline = time.monotonic() + 30
    while len(ceph.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])) < 2:
        assert time.monotonic() < deadline, (one.result(), two.result())
        time.sleep(0.02)
    time.sleep(1)
    if first == "cancelled":
        one.send_signal(signal.SIGINT)
        one.wait()
        time.sleep(3)  # it writes down how far it is every two seconds
        two.send_signal(signal.SIGKILL)
        two.wait()
        r = egress("sync", "--to", f"s3://{bucket}", sim=s, s3=ceph).ok()
        assert "1 repaired" in r.stdout, r
    else:
        results = [one.wait(), two.wait()]
        assert [r.returncode for r in results] == [0, 0], results
    expect_in_order(s, ceph, bucket)


def test_handed_over_while_another_takes_the_job(egress, sim, aws, ceph):
    bucket = ceph.bucket()
    to = f"s3://{bucket}"
    s, queue, run = start_slow(egress, sim, aws, to, 64 * MIB, "--drain-timeout", "4s", s3=ceph,
                               rate="10M")  # fmt: skip
    queue.send(*s.ids())  # as a webhook that comes twice
    other = worker(egress, queue, to, aws=aws, sim=s, s3=ceph, run=egress.start)
    time.sleep(1)
    run.send_signal(signal.SIGTERM)
    handed = run.wait().ok()
    deadline = time.monotonic() + 60
    while queue.counts() != (0, 0):
        assert time.monotonic() < deadline, (queue.counts(), other.result())
        time.sleep(0.1)
    other.send_signal(signal.SIGTERM)
    r = other.wait().ok()
    outcomes = [line["outcome"] for line in lines(handed) + lines(r)]
    assert set(outcomes) <= {"stored", "already stored", "handed over"}, (handed, r)
    expect_in_order(s, ceph, bucket)
