# SPDX-License-Identifier: Apache-2.0
"""A fetch that was killed goes on, in another process, with the parts that the store has."""

import hashlib
import signal
import time

import pytest

MIB = 1 << 20
SIZE = 100 * MIB


def parts_of(s3, bucket):
    client = s3.client()
    uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    if not uploads:
        return None
    upload = {"Bucket": bucket, "Key": uploads[0]["Key"], "UploadId": uploads[0]["UploadId"]}
    return client.list_parts(**upload).get("Parts", [])


def kill_in_mid_upload(egress, s, s3, bucket, parts, *flags):
    """Runs a fetch until the store has so many parts, and kills it."""
    run = egress.start("fetch", "--to", f"s3://{bucket}", *flags, *s.ids(), sim=s, s3=s3)
    deadline = time.monotonic() + 60
    while len(parts_of(s3, bucket) or []) < parts:
        assert run.process.poll() is None, run.result()
        assert time.monotonic() < deadline, "the parts did not come"
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()


def sha256(s3, bucket, key):
    digest = hashlib.sha256()
    for block in s3.client().get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(MIB):
        digest.update(block)
    return digest.hexdigest()


@pytest.mark.parametrize("mode", ["length", "chunked"])
def test_goes_on_where_it_was_killed(egress, sim, ceph, mode):
    s = sim("--generate", 1, "--size", SIZE, "--set", "body_rate=25M", "--set", f"framing={mode}",
            "--set", "x_goog_hash=crc32c")  # fmt: skip
    (job,) = s.ids()
    bucket = ceph.bucket()
    kill_in_mid_upload(egress, s, ceph, bucket, 10)
    stored = sum(part["Size"] for part in parts_of(ceph, bucket))
    assert egress("verify", "--to", f"s3://{bucket}", s3=ceph).returncode == 0
    before = s.stats()["output_bytes"]
    r = egress("fetch", "--to", f"s3://{bucket}", "--json", job, sim=s, s3=ceph)
    assert r.returncode == 0, r
    told = r.jsonl[0]
    served = s.stats()["output_bytes"] - before
    # What was sent in the last two seconds is fetched again: its CRC32C was not written down.
    assert stored - 80 * MIB < told["resumed_bytes"] <= stored
    assert told["resumed_bytes"] > 0
    assert served == SIZE - told["resumed_bytes"]
    assert sha256(ceph, bucket, f"{job}/labels.json") == s.digest(job)
    assert parts_of(ceph, bucket) is None
    r = egress("verify", "--to", f"s3://{bucket}", "--json", s3=ceph)
    assert r.returncode == 0 and r.jsonl[0]["status"] == "ok", r


def test_undoes_what_was_killed_when_another_has_stored_it(egress, sim, ceph):
    s = sim("--generate", 1, "--size", SIZE, "--set", "body_rate=100M")
    (job,) = s.ids()
    bucket = ceph.bucket()
    kill_in_mid_upload(egress, s, ceph, bucket, 2)
    to = ["--to", f"s3://{bucket}"]
    assert egress("fetch", *to, "--receipts", "off", job, sim=s, s3=ceph).returncode == 0
    assert parts_of(ceph, bucket) is not None
    r = egress("fetch", *to, "--json", job, sim=s, s3=ceph)
    assert r.returncode == 0 and r.jsonl[0]["status"] == "already stored", r
    assert parts_of(ceph, bucket) is None


def test_begins_anew_when_the_upload_is_gone(egress, sim, ceph):
    s = sim("--generate", 1, "--size", SIZE, "--set", "body_rate=100M")
    (job,) = s.ids()
    bucket = ceph.bucket()
    kill_in_mid_upload(egress, s, ceph, bucket, 2)
    client = ceph.client()
    (upload,) = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    r = egress("fetch", "--to", f"s3://{bucket}", "--json", job, sim=s, s3=ceph)
    assert r.returncode == 0, r
    assert r.jsonl[0]["resumed_bytes"] == 0
    assert sha256(ceph, bucket, f"{job}/labels.json") == s.digest(job)
