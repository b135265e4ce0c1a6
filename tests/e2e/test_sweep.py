# SPDX-License-Identifier: Apache-2.0
"""egress sweep: uploads that nobody will finish."""

import pytest

from test_resume import kill_in_mid_upload

JOB = "016f6063-51a1-4948-a827-ce4c31ec53ed"


def begin(ceph, bucket, key):
    return ceph.client().create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]


def open_keys(ceph, bucket):
    found = ceph.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return sorted(upload["Key"] for upload in found)


def test_undoes_what_is_ours_and_old(egress, sim, ceph):
    bucket = ceph.bucket()
    mine, others = [f"out/{JOB}/labels.json", "out/j/a b+c%.zip"], ["out/j/a/b", "elsewhere/j/x"]
    for key in mine + others:
        begin(ceph, bucket, key)
    to = ("--to", f"s3://{bucket}/out", "--json")
    r = egress("sweep", *to, s3=ceph)
    assert r.returncode == 0 and r.jsonl[-1]["summary"]["younger"] == 2, r
    assert r.jsonl[-1]["summary"]["foreign"] == 1
    r = egress("sweep", *to, "--older-than", "0s", "--dry-run", s3=ceph)
    assert r.returncode == 0 and r.jsonl[-1]["summary"]["found"] == 2, r
    assert open_keys(ceph, bucket) == sorted(mine + others)
    r = egress("sweep", *to, "--older-than", "0s", s3=ceph)
    assert r.returncode == 0 and r.jsonl[-1]["summary"]["undone"] == 2, r
    assert {one["location"] for one in r.jsonl[:-1] if one["status"] == "undone"} == {
        f"s3://{bucket}/{key}" for key in mine
    }
    assert open_keys(ceph, bucket) == sorted(others)


def test_many_pages(egress, ceph):
    bucket = ceph.bucket()
    client = ceph.client()
    for i in range(1005):
        client.create_multipart_upload(Bucket=bucket, Key=f"job-{i // 3}/part")
    r = egress("sweep", "--to", f"s3://{bucket}", "--json", "--older-than", "0s", s3=ceph)
    assert r.returncode == 0 and r.jsonl[-1]["summary"]["undone"] == 1005, r
    assert open_keys(ceph, bucket) == []


def test_after_a_sweep_a_killed_fetch_begins_anew(egress, sim, ceph):
    s = sim("--generate", 1, "--size", "60M", "--set", "body_rate=30M")
    bucket = ceph.bucket()
    kill_in_mid_upload(egress, s, ceph, bucket, 2)
    r = egress("sweep", "--to", f"s3://{bucket}", "--older-than", "0s", s3=ceph)
    assert r.returncode == 0 and "1 undone" in r.stdout, r
    r = egress("fetch", "--to", f"s3://{bucket}", "--json", *s.ids(), sim=s, s3=ceph)
    assert r.returncode == 0 and r.jsonl[0]["resumed_bytes"] == 0, r


@pytest.mark.parametrize("key", ["{job_id", "", ".egress/{job_id}"])
def test_bad_template(egress, ceph, key):
    r = egress("sweep", "--to", f"s3://{ceph.bucket()}", "--key", key, s3=ceph)
    assert r.returncode == 2, r


def test_a_directory_has_none(egress, tmp_path):
    r = egress("sweep", "--to", str(tmp_path))
    assert r.returncode == 0 and r.stdout.startswith("0 undone"), r


def test_unknown_bucket(egress, ceph):
    r = egress("sweep", "--to", "s3://no-such-bucket-here", s3=ceph)
    assert r.returncode == 3 and "no-such-bucket-here" in r.stderr, r
