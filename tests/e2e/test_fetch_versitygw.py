# SPDX-License-Identifier: Apache-2.0
"""egress into versitygw, which checks what Ceph's gateway ignores: checksums, sizes, conditions."""

import hashlib
import json
import time
import urllib.parse

import pytest
from botocore.exceptions import ClientError
from test_resume import kill_in_mid_upload
from test_store_settings import (
    LAYOUTS,
    try_layout,
    try_many_writers,
    try_two_writers,
    try_without_conditions,
)
from versitygw import crc32c

MIB = 1 << 20
PART = 8 * MIB


def keys(s3, bucket):
    found = s3.client().list_objects_v2(Bucket=bucket).get("Contents", [])
    return [entry["Key"] for entry in found if "/.egress/" not in f"/{entry['Key']}"]


def body(s3, bucket, key):
    return s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()


def open_uploads(s3, bucket):
    return s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def assert_stored(s3, bucket, key, digest):
    assert hashlib.sha256(body(s3, bucket, key)).hexdigest() == digest
    assert open_uploads(s3, bucket) == []


def stored_crc32c(s3, bucket, key):
    head = s3.client().head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    return head.get("ChecksumCRC32C")


def receipt(s3, bucket, job):
    return json.loads(body(s3, bucket, f".egress/voxel51/{job}.json"))


# ---- what the server is good for ---------------------------------------------------------------


def refused(call, code):
    with pytest.raises(ClientError, match=code):
        call()


def test_server_checks_checksums(versitygw):
    bucket, client = versitygw.bucket(), versitygw.client()
    right, wrong = crc32c(b"bytes"), crc32c(b"other")
    where = {"Bucket": bucket, "Key": "k"}
    refused(lambda: client.put_object(**where, Body=b"bytes", ChecksumCRC32C=wrong), "BadDigest")
    assert keys(versitygw, bucket) == []
    client.put_object(**where, Body=b"bytes", ChecksumCRC32C=right)
    assert stored_crc32c(versitygw, bucket, "k") == right


def test_server_checks_uploads(versitygw):
    bucket, client = versitygw.bucket(), versitygw.client()
    right, wrong = crc32c(b"bytes"), crc32c(b"other")
    whole = versitygw.client(headers={"x-amz-checksum-type": "FULL_OBJECT"})
    where = {"Bucket": bucket, "Key": "k"}
    upload = whole.create_multipart_upload(**where, ChecksumAlgorithm="CRC32C")
    where["UploadId"] = upload["UploadId"]
    part = {**where, "PartNumber": 1, "Body": b"bytes"}
    refused(lambda: client.upload_part(**part, ChecksumCRC32C=wrong), "BadDigest")
    etag = client.upload_part(**part, ChecksumCRC32C=right)["ETag"]
    listed = [{"PartNumber": 1, "ETag": etag, "ChecksumCRC32C": right}]
    done = {**where, "MultipartUpload": {"Parts": listed}}
    refused(lambda: whole.complete_multipart_upload(**done, ChecksumCRC32C=wrong), "BadDigest")
    lying = versitygw.client(headers={"x-amz-mp-object-size": "6"})
    refused(lambda: lying.complete_multipart_upload(**done), "InvalidRequest")
    client.put_object(Bucket=bucket, Key="k", Body=b"theirs")
    if_free = versitygw.client(headers={"If-None-Match": "*"})
    refused(lambda: if_free.complete_multipart_upload(**done), "PreconditionFailed")
    assert body(versitygw, bucket, "k") == b"theirs"


# ---- bytes, checksums, metadata ----------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 20 * MIB])
def test_bytes(egress, sim, versitygw, size):
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    bucket = versitygw.bucket()
    egress("fetch", "--to", f"s3://{bucket}/some/prefix", job, sim=s, s3=versitygw).ok()
    (key,) = keys(versitygw, bucket)
    assert key.startswith(f"some/prefix/{job}/")
    assert_stored(versitygw, bucket, key, s.digest(job))


@pytest.mark.parametrize("flags", [["--unsigned-payload"], ["--memory", "16MiB"]])
def test_unknown_length(egress, sim, versitygw, flags):
    s = sim("--generate", 1, "--size", 20 * MIB, "--set", "framing=chunked")
    (job,) = s.ids()
    bucket = versitygw.bucket()
    egress("fetch", "--to", f"s3://{bucket}", "--key", "k", *flags, job, sim=s, s3=versitygw).ok()
    assert_stored(versitygw, bucket, "k", s.digest(job))


@pytest.mark.parametrize("size", [10, PART + 1])
def test_the_store_keeps_our_checksum(egress, sim, versitygw, size):
    """It checked it: test_server_checks_… show that a wrong one would not have got in."""
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    bucket = versitygw.bucket()
    egress("fetch", "--to", f"s3://{bucket}", "--key", "k", job, sim=s, s3=versitygw).ok()
    kept = stored_crc32c(versitygw, bucket, "k")
    assert kept and kept == receipt(versitygw, bucket, job)["outputs"][0]["crc32c"]


@pytest.mark.parametrize("size", [10, PART + 1])
def test_without_checksums(egress, sim, versitygw, size):
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    bucket = versitygw.bucket()
    to = ["--to", f"s3://{bucket}", "--key", "k", "--checksum", "none"]
    egress("fetch", *to, job, sim=s, s3=versitygw).ok()
    assert_stored(versitygw, bucket, "k", s.digest(job))


@pytest.mark.parametrize("size", [10, PART + 1])
def test_type_and_metadata(egress, sim, versitygw, size):
    name = "a b/é+%.mp4"
    s = sim(
        "--generate", 1, "--size", size, "--set", "content_type=video/mp4", "--set",
        f"output_filename={name}",
    )  # fmt: skip
    (job,) = s.ids()
    bucket = versitygw.bucket()
    egress("fetch", "--to", f"s3://{bucket}", "--key", "k", job, sim=s, s3=versitygw).ok()
    head = versitygw.client().head_object(Bucket=bucket, Key="k")
    assert head["ContentType"] == "video/mp4"
    meta = {key.lower(): value for key, value in head["Metadata"].items()}
    assert (meta["egress-source"], meta["egress-job"]) == ("voxel51", job)
    assert urllib.parse.unquote(meta["egress-output"]) == name
    assert len(meta["egress-attempt"]) == 32


ODD_KEYS = [
    "with spaces /{job_id} x",
    "plus+and%and%2Bboth/{job_id}",
    "~tilde!*'()/{job_id}",
    "ünï/日本語/😀{job_id}",
    "q?x=1&y=2#z;a,b@c:d$e={job_id}",
    '"quoted"<b>\\{job_id}',
    "/".join(["k" * 200] * 4) + "/{job_id}",
]


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_odd_keys(egress, sim, versitygw, style):
    s = sim("--generate", 1, "--size", 1000)
    (job,) = s.ids()
    bucket = versitygw.bucket()
    flags = ["--addressing-style", style, "--receipts", "off"]
    env = {"AWS_ENDPOINT_URL": versitygw.virtual_host_url} if style == "virtual" else {}
    for template in ODD_KEYS:
        to = ["--to", f"s3://{bucket}", "--key", template, *flags]
        egress("fetch", *to, job, sim=s, s3=versitygw, env=env).ok()
        expected = template.replace("{job_id}", job)
        assert keys(versitygw, bucket) == [expected]
        assert_stored(versitygw, bucket, expected, s.digest(job))
        versitygw.client().delete_object(Bucket=bucket, Key=expected)


def test_many_jobs_and_again(egress, sim, versitygw):
    s = sim("--generate", 30, "--size", 100_000)
    bucket = versitygw.bucket()
    to = ["--to", f"s3://{bucket}/p"]
    egress("fetch", *to, *s.ids(), sim=s, s3=versitygw).ok()
    stored = keys(versitygw, bucket)
    assert len(stored) == 30
    for key in stored:
        assert_stored(versitygw, bucket, key, s.digest(key.split("/")[1]))
    handed_out = s.stats()["output_bytes"]
    egress("fetch", *to, *s.ids(), sim=s, s3=versitygw).ok()
    assert s.stats()["output_bytes"] == handed_out


# ---- conditions --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, PART + 1])
@pytest.mark.parametrize("receipts", ["on", "off"])
def test_key_of_somebody_else(egress, sim, versitygw, size, receipts):
    s = sim("--generate", 1, "--size", size)
    bucket = versitygw.bucket()
    versitygw.client().put_object(Bucket=bucket, Key="k", Body=b"theirs")
    to = ["--to", f"s3://{bucket}", "--key", "k", "--receipts", receipts]
    r = egress("fetch", *to, *s.ids(), sim=s, s3=versitygw)
    assert r.returncode == 4 and f"s3://{bucket}/k" in r.stderr, r
    assert body(versitygw, bucket, "k") == b"theirs"
    assert open_uploads(versitygw, bucket) == []


@pytest.mark.parametrize("flags", [[], ["--force"]])
@pytest.mark.parametrize("size", [1000, PART + 1])
def test_key_taken_while_we_fetch(egress, sim, versitygw, faultproxy, size, flags):
    """After the look and before the Put or Complete: only the store's condition can tell."""
    rate = "4M" if size > MIB else "500"
    s = sim("--generate", 1, "--size", size, "--set", f"body_rate={rate}")
    (job,) = s.ids()
    bucket = versitygw.bucket()
    client = versitygw.client()
    to = ["--to", f"s3://{bucket}", "--key", "k", *flags]
    if flags:
        egress("fetch", *to, job, sim=s, s3=versitygw).ok()
    proxy = faultproxy(versitygw.url)
    asked = s.stats()["requests"].get("GET /v1/jobs/{id}/output", 0)
    run = egress.start("fetch", *to, job, sim=s, s3=proxy.before(versitygw))
    while s.stats()["requests"].get("GET /v1/jobs/{id}/output", 0) == asked:
        time.sleep(0.02)
    if flags or size > MIB:  # a small object is put without a look before
        proxy.wait_for("HEAD", f"/{bucket}/k")
    client.put_object(Bucket=bucket, Key="k", Body=b"theirs")
    r = run.wait()
    # With --force another try may do: it will see what is there now.
    assert r.returncode == (1 if flags else 4), r
    assert body(versitygw, bucket, "k") == b"theirs"
    assert open_uploads(versitygw, bucket) == []


# ---- settings: see test_store_settings.py ------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(egress, sim, versitygw, layout):
    """It can be asked for each part."""
    bucket, sizes = try_layout(egress, sim, versitygw, layout)
    for number, size in enumerate(sizes, 1):
        head = versitygw.client().head_object(Bucket=bucket, Key="k", PartNumber=number)
        assert (head["ContentLength"], head["PartsCount"]) == (size, len(sizes))


@pytest.mark.parametrize("size", [1000, PART + 1])
def test_without_conditions(egress, sim, versitygw, faultproxy, size):
    try_without_conditions(egress, sim, versitygw, faultproxy(versitygw.url), size)


@pytest.mark.parametrize("conditions", ["on", "off"])
def test_two_writers(egress, sim, versitygw, conditions):
    try_two_writers(egress, sim, versitygw, "--conditional-writes", conditions)


def test_many_writers(egress, sim, versitygw):
    try_many_writers(egress, sim, versitygw)


# ---- verify ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, PART + 1])
def test_verify_quick_compares_the_stored_checksum(egress, sim, versitygw, faultproxy, size):
    s = sim("--generate", 2, "--size", size)
    good, bad = s.ids()
    bucket = versitygw.bucket()
    to = ["--to", f"s3://{bucket}"]
    egress("fetch", *to, "--key", "{job_id}", good, bad, sim=s, s3=versitygw).ok()
    proxy = faultproxy(versitygw.url)
    egress("verify", *to, "--quick", s3=proxy.before(versitygw)).ok()
    assert f"/{bucket}/{good}" not in [e["target"] for e in proxy.log() if e["method"] == "GET"]
    other = receipt(versitygw, bucket, bad)
    other["outputs"][0]["crc32c"] = receipt(versitygw, bucket, good)["outputs"][0]["crc32c"]
    key = f".egress/voxel51/{bad}.json"
    versitygw.client().put_object(Bucket=bucket, Key=key, Body=json.dumps(other).encode())
    r = egress("verify", *to, "--quick", s3=versitygw)
    assert r.returncode == 5 and "1 ok, 0 missing, 1 different" in r.stdout, r


# ---- what goes wrong ---------------------------------------------------------------------------


def test_wrong_secret(egress, sim, versitygw):
    s = sim("--generate", 1, "--size", 10)
    to = ["--to", f"s3://{versitygw.bucket()}"]
    env = {"AWS_SECRET_ACCESS_KEY": "not-the-secret"}
    r = egress("fetch", *to, *s.ids(), sim=s, s3=versitygw, env=env)
    assert r.returncode == 3 and "SignatureDoesNotMatch" in r.stderr, r


def test_unknown_bucket(egress, sim, versitygw):
    s = sim("--generate", 1, "--size", 10)
    r = egress("fetch", "--to", "s3://no-such-bucket-here", *s.ids(), sim=s, s3=versitygw)
    assert r.returncode == 3 and "no-such-bucket-here" in r.stderr, r


# ---- going on in another process ---------------------------------------------------------------


def test_goes_on_where_it_was_killed(egress, sim, versitygw):
    """Its parts come with their checksums, and are completed with them."""
    s = sim("--generate", 1, "--size", 100 * MIB, "--set", "body_rate=25M")
    (job,) = s.ids()
    bucket = versitygw.bucket()
    kill_in_mid_upload(egress, s, versitygw, bucket, 10)
    told = egress("fetch", "--to", f"s3://{bucket}", "--json", job, sim=s, s3=versitygw).ok().jsonl
    assert told[0]["resumed_bytes"] > 0
    assert_stored(versitygw, bucket, f"{job}/labels.json", s.digest(job))
