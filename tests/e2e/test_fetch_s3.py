# SPDX-License-Identifier: Apache-2.0
"""egress fetch into a real S3 server, with boto3 as the witness of what was stored."""

import hashlib
import http.server
import signal
import threading
import time
import urllib.parse

import pytest

MIB = 1024 * 1024
PART = 8 * MIB


def keys(ceph, bucket):
    """All objects but receipts."""
    pages = ceph.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return sorted(key for key in found if "/.egress/" not in f"/{key}")


def body(ceph, bucket, key):
    return ceph.client().get_object(Bucket=bucket, Key=key)["Body"].read()


def open_uploads(ceph, bucket):
    return ceph.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def assert_stored(ceph, bucket, key, digest):
    assert hashlib.sha256(body(ceph, bucket, key)).hexdigest() == digest


class Web:
    """A web server that is no S3 service: the same page for everything."""

    def __init__(self, status, content_type, page=b"<html><body>Welcome<br></body></html>"):
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(page)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


# ---- bytes and keys ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 20 * MIB])
def test_bytes(egress, sim, ceph, size):
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    bucket = ceph.bucket()
    egress("fetch", "--to", f"s3://{bucket}/some/prefix", job, sim=s, s3=ceph).ok()
    (key,) = keys(ceph, bucket)
    assert key.startswith(f"some/prefix/{job}/")
    assert_stored(ceph, bucket, key, s.digest(job))
    assert open_uploads(ceph, bucket) == []


@pytest.mark.parametrize("size", [PART + 1, 2 * PART, 20 * MIB + 5])
def test_part_sizes(egress, sim, ceph, size):
    """The ETag of a multipart object is made of its parts' MD5s: it tells how it was cut."""
    s = sim("--generate", 1, "--size", size)
    bucket = ceph.bucket()
    egress("fetch", "--to", f"s3://{bucket}", *s.ids(), sim=s, s3=ceph).ok()
    (key,) = keys(ceph, bucket)
    data = body(ceph, bucket, key)
    digests = [hashlib.md5(data[at : at + PART]).digest() for at in range(0, size, PART)]
    expected = f'"{hashlib.md5(b"".join(digests)).hexdigest()}-{len(digests)}"'
    assert ceph.client().head_object(Bucket=bucket, Key=key)["ETag"] == expected


def test_unknown_length(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 20 * MIB, "--set", "framing=chunked")
    (job,) = s.ids()
    bucket = ceph.bucket()
    egress("fetch", "--to", f"s3://{bucket}", job, sim=s, s3=ceph).ok()
    (key,) = keys(ceph, bucket)
    assert_stored(ceph, bucket, key, s.digest(job))
    assert open_uploads(ceph, bucket) == []


ODD_KEYS = [
    "with spaces /{job_id} x",
    "plus+and%and%2Bboth/{job_id}",
    "~tilde!*'()/{job_id}",
    "double//slash///{job_id}",
    "./a/./{job_id}",
    "../a/../{job_id}/..",
    "trailing/{job_id}/",
    "/leading/{job_id}",
    "ünï/日本語/😀{job_id}",
    "q?x=1&y=2#z;a,b@c:d$e={job_id}",
    "\"quoted\"<b>\\{job_id}",
    "k" * (1024 - 36) + "{job_id}",
    "é" * ((1024 - 36) // 2) + "{job_id}",
]


@pytest.mark.parametrize("style", ["path", "virtual", "tls"])
def test_odd_keys(egress, sim, ceph, style):
    """Each must arrive as exactly that key, whatever a URL would make of it."""
    s = sim("--generate", 1, "--size", 1000)
    (job,) = s.ids()
    assert len(job) == 36
    bucket = ceph.bucket()
    env = {
        "path": {},
        "virtual": {"AWS_ENDPOINT_URL": ceph.virtual_host_url},
        "tls": {"AWS_ENDPOINT_URL": ceph.tls_url, "AWS_CA_BUNDLE": ceph.ca_file},
    }[style]
    flags = ["--addressing-style", "virtual"] if style == "virtual" else []
    for template in ODD_KEYS:
        r = egress(
            "fetch", "--to", f"s3://{bucket}", "--receipts", "off", "--key", template, *flags, job,
            sim=s, s3=ceph, env=env,
        )
        r.ok()
        expected = template.replace("{job_id}", job)
        assert keys(ceph, bucket) == [expected], r
        assert_stored(ceph, bucket, expected, s.digest(job))
        ceph.client().delete_object(Bucket=bucket, Key=expected)


@pytest.mark.parametrize("prefix", ["", "/", "/p", "/p/", "/p/q r+%2B/é"])
def test_prefixes(egress, sim, ceph, prefix):
    s = sim("--generate", 1, "--size", 10)
    (job,) = s.ids()
    bucket = ceph.bucket()
    to = f"s3://{bucket}{prefix}"
    egress("fetch", "--to", to, "--key", "{job_id}", job, sim=s, s3=ceph).ok()
    assert keys(ceph, bucket) == [f"{prefix.strip('/')}/{job}".lstrip("/")]


def test_key_too_long_with_the_prefix(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 10)
    bucket = ceph.bucket()
    to = f"s3://{bucket}/{'p' * 600}"
    r = egress("fetch", "--to", to, "--key", "k" * 600, *s.ids(), sim=s, s3=ceph)
    assert r.returncode == 4, r
    assert "1024" in r.stderr, r
    assert keys(ceph, bucket) == []


def test_many_jobs_and_again(egress, sim, ceph):
    s = sim("--generate", 30, "--size", 100_000)
    bucket = ceph.bucket()
    egress("fetch", "--to", f"s3://{bucket}/p", *s.ids(), sim=s, s3=ceph).ok()
    stored = keys(ceph, bucket)
    assert len(stored) == 30
    for key in stored:
        assert_stored(ceph, bucket, key, s.digest(key.split("/")[1]))
    handed_out = s.stats()
    egress("fetch", "--to", f"s3://{bucket}/p", *s.ids(), sim=s, s3=ceph).ok()
    assert s.stats()["output_bytes"] == handed_out["output_bytes"]


# ---- what is kept with an object ---------------------------------------------------------------


@pytest.mark.parametrize("size", [10, PART + 1])
def test_type_and_metadata(egress, sim, ceph, size):
    name = "a b/é+%\n.mp4"
    content_type = "video/mp4; codecs=\"avc1\""
    s = sim(
        "--generate", 1, "--size", size, "--set", f"content_type={content_type}",
        "--set", f"output_filename={name}",
    )
    (job,) = s.ids()
    bucket = ceph.bucket()
    egress("fetch", "--to", f"s3://{bucket}", "--key", "k", job, sim=s, s3=ceph).ok()
    head = ceph.client().head_object(Bucket=bucket, Key="k")
    assert head["ContentType"] == content_type
    meta = head["Metadata"]
    assert meta["egress-source"] == "voxel51"
    assert meta["egress-job"] == job
    assert urllib.parse.unquote(meta["egress-output"]) == name
    assert len(meta["egress-attempt"]) == 32


def test_gzip_is_kept_as_it_came(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 10_000, "--set", "gzip=always")
    bucket = ceph.bucket()
    egress("fetch", "--to", f"s3://{bucket}", "--key", "k", *s.ids(), sim=s, s3=ceph).ok()
    assert ceph.client().head_object(Bucket=bucket, Key="k")["ContentEncoding"] == "gzip"
    assert body(ceph, bucket, "k")[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("flags", [["--checksum", "none"], ["--unsigned-payload"]])
def test_without_checksum_or_payload_signature(egress, sim, ceph, flags):
    s = sim("--generate", 1, "--size", PART + 1)
    (job,) = s.ids()
    bucket = ceph.bucket()
    egress("fetch", "--to", f"s3://{bucket}", "--key", "k", *flags, job, sim=s, s3=ceph).ok()
    assert_stored(ceph, bucket, "k", s.digest(job))


def test_storage_class(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 10)
    bucket = ceph.bucket()
    to = ["--to", f"s3://{bucket}", "--key", "k"]
    r = egress("fetch", *to, "--storage-class", "NO_SUCH", *s.ids(), sim=s, s3=ceph)
    assert r.returncode != 0, r
    assert keys(ceph, bucket) == []
    egress("fetch", *to, "--storage-class", "STANDARD", *s.ids(), sim=s, s3=ceph).ok()
    assert keys(ceph, bucket) == ["k"]


def test_sse_is_asked_for(egress, sim, ceph):
    """Ceph without a key server refuses encryption over plain HTTP: that it was asked shows."""
    s = sim("--generate", 1, "--size", 10)
    bucket = ceph.bucket()
    r = egress("fetch", "--to", f"s3://{bucket}", "--sse", "AES256", *s.ids(), sim=s, s3=ceph)
    assert r.returncode != 0, r
    assert "InvalidRequest" in r.stderr, r
    assert keys(ceph, bucket) == []


# ---- what is there already ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, PART + 1])
@pytest.mark.parametrize("receipts", ["on", "off"])
def test_key_of_somebody_else(egress, sim, ceph, size, receipts):
    s = sim("--generate", 1, "--size", size)
    bucket = ceph.bucket()
    ceph.client().put_object(
        Bucket=bucket, Key="k", Body=b"theirs",
        Metadata={"egress-source": "voxel51", "egress-job": "another"},
    )
    to = ["--to", f"s3://{bucket}", "--key", "k", "--receipts", receipts]
    r = egress("fetch", *to, *s.ids(), sim=s, s3=ceph)
    assert r.returncode == 4, r
    assert f"s3://{bucket}/k" in r.stderr, r
    assert body(ceph, bucket, "k") == b"theirs"
    assert open_uploads(ceph, bucket) == []


def test_two_at_once_under_one_key(egress, sim, ceph):
    s = sim("--generate", 8, "--size", 100_000)
    bucket = ceph.bucket()
    to = ["--to", f"s3://{bucket}", "--key", "k", "--concurrency", 8]
    r = egress("fetch", *to, *s.ids(), sim=s, s3=ceph)
    assert r.returncode == 4, r
    head = ceph.client().head_object(Bucket=bucket, Key="k")
    assert_stored(ceph, bucket, "k", s.digest(head["Metadata"]["egress-job"]))


@pytest.mark.parametrize("size", [1000, PART + 1])
def test_force_replaces(egress, sim, ceph, size):
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    bucket = ceph.bucket()
    to = ["--to", f"s3://{bucket}", "--key", "k"]
    egress("fetch", *to, job, sim=s, s3=ceph).ok()
    first = ceph.client().head_object(Bucket=bucket, Key="k")["Metadata"]["egress-attempt"]
    egress("fetch", *to, "--force", job, sim=s, s3=ceph).ok()
    head = ceph.client().head_object(Bucket=bucket, Key="k")
    assert head["Metadata"]["egress-attempt"] != first
    assert_stored(ceph, bucket, "k", s.digest(job))


# ---- what goes wrong ---------------------------------------------------------------------------


def one_error(r, *says):
    """One error of one line, exit status 3, and it says what is wanted of it."""
    assert r.returncode == 3, r
    for text in says:
        assert text in r.stderr, f"no {text!r}: {r}"


@pytest.mark.parametrize("receipts", ["on", "off"])
def test_unknown_bucket(egress, sim, ceph, receipts):
    s = sim("--generate", 1, "--size", 10)
    to = ["--to", "s3://no-such-bucket-here", "--receipts", receipts]
    r = egress("fetch", *to, *s.ids(), sim=s, s3=ceph)
    one_error(r, "bucket no-such-bucket-here does not exist", ceph.url)


@pytest.mark.parametrize(
    "env, says",
    [
        ({"AWS_ACCESS_KEY_ID": "NOBODY"}, "access key"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-secret-key"}, "secret access key"),
    ],
)
@pytest.mark.parametrize("receipts", ["on", "off"])
def test_wrong_credentials(egress, sim, ceph, env, says, receipts):
    s = sim("--generate", 1, "--size", 10)
    bucket = ceph.bucket()
    to = ["--to", f"s3://{bucket}", "--receipts", receipts]
    r = egress("fetch", *to, *s.ids(), sim=s, s3=ceph, env=env)
    one_error(r, "environment", says if receipts == "on" else "credentials")
    assert keys(ceph, bucket) == []


def test_no_rights(egress, sim, ceph):
    """Another user's bucket."""
    s = sim("--generate", 1, "--size", 10)
    bucket = ceph.bucket()
    name = f"stranger-{bucket}"
    ceph.admin(
        "user", "create", f"--uid={name}", "--display-name=stranger",
        f"--access-key=KEY{bucket}", "--secret=stranger-secret",
    )
    env = {"AWS_ACCESS_KEY_ID": f"KEY{bucket}", "AWS_SECRET_ACCESS_KEY": "stranger-secret"}
    r = egress("fetch", "--to", f"s3://{bucket}", *s.ids(), sim=s, s3=ceph, env=env)
    one_error(r, "AccessDenied", "environment", "s3:")
    assert keys(ceph, bucket) == []


def test_quota(egress, sim, ceph):
    s = sim("--generate", 1, "--size", PART + 1)
    bucket = ceph.bucket()
    ceph.admin("quota", "set", "--quota-scope=bucket", f"--bucket={bucket}", "--max-objects=0")
    ceph.admin("quota", "enable", "--quota-scope=bucket", f"--bucket={bucket}")
    r = egress("fetch", "--to", f"s3://{bucket}", *s.ids(), sim=s, s3=ceph)
    one_error(r, "QuotaExceeded")
    assert keys(ceph, bucket) == []
    assert open_uploads(ceph, bucket) == []


@pytest.mark.parametrize("status", [200, 403, 404])
@pytest.mark.parametrize("receipts", ["on", "off"])
def test_endpoint_is_a_web_site(egress, sim, ceph, status, receipts):
    s = sim("--generate", 1, "--size", 10)
    with Web(status, "text/html; charset=utf-8") as web:
        r = egress(
            "fetch", "--to", "s3://bucket", "--receipts", receipts, *s.ids(), sim=s, s3=ceph,
            env={"AWS_ENDPOINT_URL": web.url},
        )
        assert r.returncode == 3, r
        if (status, receipts) == (403, "off"):
            assert "credentials" in r.stderr, r  # a HEAD's answer has no body to tell by
        else:
            assert "is it an S3 service?" in r.stderr and web.url in r.stderr, r


def test_endpoint_is_the_platform(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 10)
    r = egress(
        "fetch", "--to", "s3://bucket", *s.ids(), sim=s, s3=ceph, env={"AWS_ENDPOINT_URL": s.url}
    )
    one_error(r, "is it an S3 service?", s.url)


@pytest.mark.parametrize(
    "to, flags, says",
    [
        ("s3://", [], "no bucket"),
        ("s3://Bad_Bucket", [], "a-z, 0-9"),
        ("s3://ab/x", [], "3 to 63"),
        ("s3://a..b", [], "two dots"),
        ("s3://192.168.1.1/x", [], "IP address"),
        ("s3://bucket", ["--endpoint-url", "ftp://x"], "http"),
        ("s3://bucket", ["--endpoint-url", "http://x/?a"], "query"),
        ("s3://bucket", ["--region", "eu west"], "region"),
    ],
)
def test_bad_destination(egress, sim, ceph, to, flags, says):
    s = sim("--generate", 1, "--size", 10)
    r = egress("fetch", "--to", to, *flags, *s.ids(), sim=s, s3=ceph)
    assert r.returncode == 2, r
    assert says in r.stderr, r


def test_source_breaks_off(egress, sim, ceph):
    """Fails in the middle of a multipart upload: nothing visible, nothing left open."""
    s = sim(
        "--generate", 1, "--size", 3 * PART, "--set", "body_cut=20M", "--set", "ranges=no",
        "--set", "etag=none",
    )
    bucket = ceph.bucket()
    r = egress("fetch", "--to", f"s3://{bucket}", *s.ids(), sim=s, s3=ceph, timeout=100)
    assert r.returncode not in (0, -signal.SIGABRT), r
    assert keys(ceph, bucket) == []
    assert open_uploads(ceph, bucket) == []


def test_wrong_checksum(egress, sim, ceph):
    s = sim("--generate", 1, "--size", PART + 1, "--set", "x_goog_hash=crc32c",
            "--set", "hash_lie=yes")
    bucket = ceph.bucket()
    r = egress("fetch", "--to", f"s3://{bucket}", *s.ids(), sim=s, s3=ceph)
    assert r.returncode != 0, r
    assert keys(ceph, bucket) == []
    assert open_uploads(ceph, bucket) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_leaves_nothing(egress, sim, ceph, number):
    s = sim("--generate", 1, "--size", "64M", "--set", "body_rate=8M")
    bucket = ceph.bucket()
    run = egress.start("fetch", "--to", f"s3://{bucket}", *s.ids(), sim=s, s3=ceph)
    deadline = time.monotonic() + 30
    while not open_uploads(ceph, bucket):
        assert run.process.poll() is None, run.result()
        assert time.monotonic() < deadline, "no upload was begun"
        time.sleep(0.02)
    run.send_signal(number)
    r = run.wait()
    assert r.returncode != 0, r
    assert keys(ceph, bucket) == []
    assert open_uploads(ceph, bucket) == []
