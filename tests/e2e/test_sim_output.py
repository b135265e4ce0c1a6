# SPDX-License-Identifier: Apache-2.0
"""The simulator's output bodies: bytes, ranges, validators, checksums, framing, signed URLs."""

import base64
import gzip
import hashlib
import http.client
import os
import struct
import threading
import time
import urllib.parse

import pytest
import requests

SIZE = 300007


def start(sim, *options, size=SIZE):
    """A simulator with one job; .job is its id, .path its output's, .whole the bytes."""
    s = sim("--generate", "1", "--size", size, *options)
    s.job = s.ids()[0]
    s.path = f"/jobs/{s.job}/output"
    return s


def crc32c(data):
    """RFC 3720, bit by bit: an independent witness."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def b64(raw):
    return base64.b64encode(raw).decode()


def signed_url(s):
    return s.get(s.path + "-url").json()["url"]


def plain_get(url, **kwargs):
    return requests.get(url, timeout=30, **kwargs)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 4096, 65535, 65536, 524288, 524289, 3000001])
def test_bytes_and_digest(sim, size):
    s = start(sim, size=size)
    answer = s.get(s.path)
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(size) == str(len(answer.content))
    assert hashlib.sha256(answer.content).hexdigest() == s.digest(s.job)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"].startswith('"')
    assert "Content-Disposition" not in answer.headers


def test_bytes_differ_by_job_and_seed(sim):
    ids = []
    bodies = set()
    for seed in ("1", "2"):
        s = sim("--generate", "2", "--size", "64", "--seed", seed)
        ids += s.ids()
        bodies |= {s.get(f"/jobs/{job}/output").content for job in s.ids()}
    assert len(bodies) == 4
    seeds = [sim("--seed", seed).digest(ids[0], "64") for seed in ("1", "2")]
    assert seeds[0] != seeds[1]


def test_sizes_from_a_range(sim):
    s = sim("--generate", "50", "--size", "100..5000")
    sizes = set()
    for job in s.ids():
        body = s.get(f"/jobs/{job}/output").content
        sizes.add(len(body))
        assert 100 <= len(body) <= 5000
    job = s.ids()[0]
    body = s.get(f"/jobs/{job}/output").content
    assert hashlib.sha256(body).hexdigest() == s.digest(job) == s.digest(job, str(len(body)))
    assert len(sizes) > 10


def test_a_size_that_no_memory_holds(sim):
    s = start(sim, size="20G")
    head = s.request("HEAD", s.path)
    assert head.headers["Content-Length"] == str(20 << 30)
    end = s.get(s.path, headers={"Range": "bytes=-100"})
    assert end.headers["Content-Range"] == f"bytes {(20 << 30) - 100}-{(20 << 30) - 1}/{20 << 30}"
    assert len(end.content) == 100
    again = s.get(s.path, headers={"Range": f"bytes={(20 << 30) - 50}-"})
    assert again.content == end.content[50:]


@pytest.mark.parametrize(
    "value, first, last",
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=1-6", 1, 6),
        ("bytes=3-100000", 3, 100000),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        ("bytes=5-99999999999", 5, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-99999999999", 0, SIZE - 1),
        ("BYTES=2-3", 2, 3),
    ],
)
@pytest.mark.parametrize("option", ["gzip=off", "gzip=always", "framing=chunked"])
def test_ranges(sim, value, first, last, option):
    s = start(sim, "--set", option)
    whole = s.get(s.path, stream=True).raw.read(decode_content=False)
    delta = len(whole) - SIZE  # of the gzip wrapper
    answer = s.get(s.path, headers={"Range": value}, stream=True)
    assert answer.status_code == 206
    start_at = first + delta if value.startswith("bytes=-1") else first
    end_at = last + delta if last == SIZE - 1 else last
    if value == f"bytes={SIZE - 1}-":
        start_at = SIZE - 1
    if value.startswith("bytes=-9"):
        start_at = 0
    assert answer.headers["Content-Range"] == f"bytes {start_at}-{end_at}/{len(whole)}"
    assert answer.raw.read(decode_content=False) == whole[start_at : end_at + 1]


@pytest.mark.parametrize("value", [f"bytes={SIZE}-", "bytes=-0", f"bytes={SIZE}-{SIZE + 5}"])
def test_unsatisfiable_ranges(sim, value):
    s = start(sim)
    answer = s.get(s.path, headers={"Range": value})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "value",
    ["bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes=5-2", "bytes=0-1,3-4", "lines=1-2",
     "bytes=99999999999999999999999-", "bytes= 1-2"],
)  # fmt: skip
def test_other_ranges_are_ignored(sim, value):
    s = start(sim)
    answer = s.get(s.path, headers={"Range": value})
    assert answer.status_code == 200 and len(answer.content) == SIZE


def test_no_ranges(sim):
    s = start(sim, "--set", "ranges=no")
    answer = s.get(s.path, headers={"Range": "bytes=1-2"})
    assert answer.status_code == 200 and len(answer.content) == SIZE
    assert answer.headers["Accept-Ranges"] == "none"


def test_if_range(sim):
    s = start(sim)
    etag = s.get(s.path, headers={"Range": "bytes=0-0"}).headers["ETag"]
    for value, status in ((etag, 206), ('"other"', 200), ("W/" + etag, 200), ("Mon", 200)):
        answer = s.get(s.path, headers={"Range": "bytes=1-2", "If-Range": value})
        assert answer.status_code == status, value
    weak = start(sim, "--set", "etag=weak")
    etag = weak.get(weak.path).headers["ETag"]
    assert etag.startswith('W/"')
    answer = weak.get(weak.path, headers={"Range": "bytes=1-2", "If-Range": etag})
    assert answer.status_code == 200
    none = start(sim, "--set", "etag=none")
    assert "ETag" not in none.get(none.path).headers


def test_head(sim):
    s = start(sim)
    whole = s.get(s.path)
    head = s.request("HEAD", s.path)
    assert head.status_code == 200 and head.content == b""
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges"):
        assert head.headers[name] == whole.headers[name]


def test_chunked(sim):
    s = start(sim, "--set", "framing=chunked")
    answer = s.get(s.path)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    assert hashlib.sha256(answer.content).hexdigest() == s.digest(s.job)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 131070, 300000])
def test_gzip(sim, size):
    s = start(sim, "--set", "gzip=always", "--set", "x_goog_hash=crc32c", size=size)
    answer = s.get(s.path, stream=True, headers={"Accept-Encoding": "identity"})
    stored = answer.raw.read(decode_content=False)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Length"] == str(len(stored))
    assert hashlib.sha256(gzip.decompress(stored)).hexdigest() == s.digest(s.job)
    assert answer.headers["x-goog-hash"] == "crc32c=" + b64(struct.pack(">I", crc32c(stored)))


def test_gzip_when_accepted(sim):
    s = start(sim, "--set", "gzip=accept")
    plain = s.get(s.path, headers={"Accept-Encoding": "identity"})
    packed = s.get(s.path, headers={"Accept-Encoding": "gzip, deflate"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.content == packed.content
    assert plain.headers["ETag"] != packed.headers["ETag"]


def test_checksums(sim):
    options = ("--set", "x_goog_hash=both", "--set", "content_md5=yes", "--set", "digest=sha-256")
    s = start(sim, *options, size=5000)
    answer = s.get(s.path)
    body = answer.content
    crc, md5 = b64(struct.pack(">I", crc32c(body))), b64(hashlib.md5(body).digest())
    assert answer.headers["x-goog-hash"] == f"crc32c={crc},md5={md5}"
    assert answer.headers["Content-MD5"] == md5
    assert answer.headers["Digest"] == "sha-256=" + b64(hashlib.sha256(body).digest())
    part = s.get(s.path, headers={"Range": "bytes=1-2"})
    assert part.headers["x-goog-hash"] == answer.headers["x-goog-hash"]
    assert part.headers["Digest"] == answer.headers["Digest"]
    assert "Content-MD5" not in part.headers


def test_checksums_in_two_lines(sim):
    s = start(sim, "--set", "x_goog_hash=lines", "--set", "digest=md5", size=10)
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=10)
    connection.request("GET", "/v1" + s.path, headers={"Authorization": f"Bearer {s.token}"})
    answer = connection.getresponse()
    body = answer.read()
    md5 = "md5=" + b64(hashlib.md5(body).digest())
    assert answer.headers.get_all("x-goog-hash") == [
        "crc32c=" + b64(struct.pack(">I", crc32c(body))),
        md5,
    ]
    assert answer.headers["Digest"] == md5


def test_lying_checksums(sim):
    options = ("--set", "x_goog_hash=crc32c", "--set", "content_md5=yes", "--set", "hash_lie=yes")
    s = start(sim, *options, size=100)
    answer = s.get(s.path)
    crc = b64(struct.pack(">I", crc32c(answer.content)))
    assert answer.headers["x-goog-hash"] != f"crc32c={crc}"
    assert answer.headers["Content-MD5"] != b64(hashlib.md5(answer.content).digest())
    assert hashlib.sha256(answer.content).hexdigest() == s.digest(s.job)


def bytes_until_cut(s):
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=10)
    connection.request("GET", "/v1" + s.path, headers={"Authorization": f"Bearer {s.token}"})
    try:
        return len(connection.getresponse().read())
    except http.client.IncompleteRead as cut_off:
        return len(cut_off.partial)
    finally:
        connection.close()


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("cut", [0, 1, 100000, SIZE, SIZE + 1])
def test_cut_bodies(sim, framing, cut):
    s = start(sim, "--set", f"body_cut={cut}", "--set", f"framing={framing}")
    assert bytes_until_cut(s) == min(cut, SIZE)


def test_cut_a_few_times_only(sim):
    s = start(sim, "--set", "body_cut=1000", "--set", "body_cut_times=2")
    assert [bytes_until_cut(s) for _ in range(4)] == [1000, 1000, SIZE, SIZE]


def test_slow_bodies(sim):
    s = start(sim, "--set", "body_rate=100K", size=50000)
    began = time.monotonic()
    assert len(s.get(s.path).content) == 50000
    assert time.monotonic() - began >= 0.4


def test_ends_in_mid_body(sim):
    s = start(sim, "--set", "body_rate=1K", size="1G")
    with s.get(s.path, stream=True) as answer:
        assert answer.raw.read(1)
        assert s.stop().returncode == 0


# ---- names and types ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, content_type",
    [("output.zip", "application/zip"), ("labels.json", "application/json"),
     ("a/b.txt", "text/plain"), ("noending", "application/octet-stream"),
     ("../../etc/passwd", "application/octet-stream"), ("a\nb\x1b[31m.zip", "application/zip"),
     ("x" * 4096, "application/octet-stream"), ('q"\\ü.json', "application/json")],
)  # fmt: skip
def test_names(sim, name, content_type):
    s = start(sim, "--set", "output_filename=" + name, "--set", "content_disposition=auto", size=10)
    assert s.details(s.job)["output_filename"] == name
    answer = s.get(s.path)
    assert answer.headers["Content-Type"] == content_type
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="') and disposition.endswith('"')


def test_types(sim):
    s = start(sim, "--set", "content_type=text/x; charset=utf-8",
              "--set", "content_disposition=inline", size=10)  # fmt: skip
    answer = s.get(s.path)
    assert answer.headers["Content-Type"] == "text/x; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "inline"
    none = start(sim, "--set", "content_type=none", size=10)
    assert "Content-Type" not in none.get(none.path).headers


# ---- signed URLs and redirects -----------------------------------------------------------------


def test_signed_url(sim):
    s = start(sim)
    url = signed_url(s)
    assert url.startswith(s.url + "/signed/") and s.token not in url
    assert plain_get(url).content == s.get(s.path).content
    part = plain_get(url, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and len(part.content) == 10


def test_signed_url_refuses_the_token(sim):
    s = start(sim)
    answer = plain_get(signed_url(s), headers={"Authorization": f"Bearer {s.token}"})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/xml"
    assert b"<Code>InvalidArgument</Code>" in answer.content


def test_signed_url_is_checked(sim):
    s = start(sim)
    url = signed_url(s)
    base, query = url.split("?")
    arguments = dict(urllib.parse.parse_qsl(query))
    later = {**arguments, "expires": str(int(arguments["expires"]) + 1)}
    tampered = {**arguments, "signature": "0" * 64}
    unsigned = {"expires": arguments["expires"]}
    for wrong in (later, tampered, {}, unsigned, {**later, "expires": "x"}):
        answer = plain_get(base, params=wrong)
        assert answer.status_code == 403, wrong
    log = base.replace("/output", "/log")
    assert plain_get(log, params=arguments).status_code == 403
    assert requests.head(url, timeout=10).status_code == 403
    assert start(sim, "--set", "signed_head=yes") and plain_get(url).status_code == 200


def test_signed_head(sim):
    s = start(sim, "--set", "signed_head=yes")
    head = requests.head(signed_url(s), timeout=10)
    assert head.status_code == 200 and head.headers["Content-Length"] == str(SIZE)


def test_signed_url_expires(sim):
    s = start(sim, "--set", "signed_ttl=0s")
    url = signed_url(s)
    expires = int(urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["expires"][0])
    time.sleep(max(0, expires - time.time()) + 0.05)
    answer = plain_get(url)
    assert answer.status_code == 403 and b"expired" in answer.content


def test_output_gone_behind_a_signed_url(sim):
    s = start(sim)
    url = signed_url(s)
    assert s.request("PUT", f"/jobs/{s.job}/ttl", data={"days": "-30"}).ok
    assert plain_get(url).status_code == 404


def test_redirect_to_another_port(sim):
    s = start(sim, "--set", "output=redirect")
    answer = s.get(s.path, allow_redirects=False)
    assert answer.status_code == 302
    where = urllib.parse.urlsplit(answer.headers["Location"])
    assert where.port not in (None, s.port) and where.hostname == "127.0.0.1"
    body = plain_get(answer.headers["Location"]).content
    assert hashlib.sha256(body).hexdigest() == s.digest(s.job)
    # each port serves its own only
    elsewhere = answer.headers["Location"].replace(f":{where.port}/", f":{s.port}/")
    assert plain_get(elsewhere).status_code == 404
    token = {"Authorization": f"Bearer {s.token}"}
    other = f"http://127.0.0.1:{where.port}/v1/jobs/list"
    assert plain_get(other, headers=token).status_code == 404


def test_redirects_are_followed_without_the_token(sim):
    s = start(sim, "--set", "output=redirect")
    assert hashlib.sha256(s.get(s.path).content).hexdigest() == s.digest(s.job)
    assert s.stats()["requests"]["GET /signed/{id}/output"] == 1


def test_signed_urls_on_another_port(sim):
    s = start(sim, "--set", "signed_port=other")
    url = signed_url(s)
    assert not url.startswith(s.url + "/")
    assert plain_get(url).content == s.get(s.path).content


def test_ends_while_it_hashes(sim):
    s = start(sim, "--set", "digest=sha-256", size="1T")
    asked = threading.Thread(target=try_head, args=(s,))
    asked.start()
    while not s.stats()["requests"].get("HEAD /v1/jobs/{id}/output"):
        time.sleep(0.01)
    began = time.monotonic()
    assert s.stop().returncode == 0
    assert time.monotonic() - began < 10
    asked.join()


def try_head(s):
    try:
        requests.head(s.api + s.path, headers={"Authorization": f"Bearer {s.token}"}, timeout=60)
    except requests.exceptions.RequestException:
        pass


def test_another_host_name(sim):
    s = start(sim, "--set", "output=redirect", "--set", "signed_host=localhost")
    location = s.get(s.path, allow_redirects=False).headers["Location"]
    assert urllib.parse.urlsplit(location).hostname == "localhost"


# ---- files -------------------------------------------------------------------------------------


def test_files(sim, tmp_path):
    (tmp_path / "job-1").mkdir()
    labels = os.urandom(100000)
    (tmp_path / "job-1" / "labels.json").write_bytes(labels)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "clip one.zip").write_bytes(b"")
    (tmp_path / ".hidden").write_text("x")
    s = sim("--jobs", tmp_path, "--set", "x_goog_hash=md5", "--generate", "1", "--size", "5")
    jobs = {job["name"]: job["id"] for job in s.jobs()}
    assert len(jobs) == 4 and jobs["job-1"] == "job-1" and jobs["nothing"] == "nothing"
    answer = s.get("/jobs/job-1/output")
    assert answer.content == labels
    assert answer.headers["x-goog-hash"] == "md5=" + b64(hashlib.md5(labels).digest())
    assert s.get("/jobs/job-1/output", headers={"Range": "bytes=-9"}).content == labels[-9:]
    empty = s.details(jobs["clip one.zip"])
    assert empty["output_filename"] == "clip one.zip"
    assert s.get(f"/jobs/{empty['id']}/output").content == b""
    assert s.get("/jobs/nothing/output").status_code == 404
    again = sim("--jobs", tmp_path)
    assert {job["name"]: job["id"] for job in again.jobs()}["clip one.zip"] == empty["id"]


def test_a_file_that_changes(sim, tmp_path):
    file = tmp_path / "a.json"
    file.write_text("first")
    s = sim("--jobs", tmp_path, "--set", "x_goog_hash=crc32c")
    job = s.ids()[0]
    before = s.get(f"/jobs/{job}/output")
    file.write_text("second")
    after = s.get(f"/jobs/{job}/output")
    assert after.text == "second"
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.headers["x-goog-hash"] != before.headers["x-goog-hash"]
    file.unlink()
    assert s.get(f"/jobs/{job}/output").status_code == 500
