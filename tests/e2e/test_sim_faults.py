# SPDX-License-Identifier: Apache-2.0
"""The simulator's faults: each kind as it is seen on the wire."""

import http.client
import json
import re
import socket
import threading
import time
import urllib.parse

import pytest

from sim_raw import (
    SIZE, OUTPUT, SIGNED, DETAILS, LIST, Raw, start, signed_path, faults, sha, wait_until_idle,
)


# ---- in mid-body -------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 1000, 262144, SIZE - 1, SIZE, 1 << 40])
@pytest.mark.parametrize("kind, how", [("reset", "reset"), ("truncate", "end")])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_cut_at_a_given_byte(sim, kind, how, at, framing):
    s = start(sim, f"{OUTPUT}:{kind}={at}@100", options=["--set", f"framing={framing}"])
    answer = Raw(s, s.output)
    assert (answer.status, answer.how) == (200, how)
    if framing == "length":
        assert answer.header("Content-Length") == str(SIZE)
        assert len(answer.body) == min(at, SIZE - 1)
    else:
        assert not answer.body.endswith(b"0\r\n\r\n")
        assert min(at, SIZE - 1) <= len(answer.body) < min(at, SIZE - 1) + 1000
    assert faults(s) == {OUTPUT: {kind: 1}}


@pytest.mark.parametrize("kind, how", [("reset", "reset"), ("truncate", "end")])
def test_cut_where_it_is_drawn(sim, kind, how):
    lengths = []
    for _ in range(2):
        s = start(sim, f"{OUTPUT}:{kind}@100", options=["--seed", "5"])
        answers = [Raw(s, s.output) for _ in range(8)]
        assert {a.how for a in answers} == {how}
        lengths.append([len(a.body) for a in answers])
    assert lengths[0] == lengths[1]
    assert len(set(lengths[0])) == 8 and max(lengths[0]) < SIZE


def test_cut_of_json_and_of_answers_without_a_body(sim):
    s = start(sim, "*:reset=10@100")
    assert Raw(s, s.details_path).body == b'{"job":{"i'
    for path, method in ((s.output, "HEAD"), (s.details_path + "/archive", "PUT")):
        answer = Raw(s, path, method)
        assert (answer.how, answer.data) == ("reset", b"")
    assert faults(s) == {
        DETAILS: {"reset": 1}, "HEAD /v1/jobs/{id}/output": {"reset": 1},
        "PUT /v1/jobs/{id}/archive": {"reset": 1},
    }
    s = start(sim, "*:truncate@100", size=0)
    answer = Raw(s, s.output)
    assert (answer.how, answer.data) == ("end", b"")


def test_cut_of_a_streamed_list(sim):
    whole = Raw(start(sim, n=2000), "/v1/jobs/list")
    assert whole.header("Transfer-Encoding") == "chunked" and whole.how == "end"
    answer = Raw(start(sim, f"{LIST}:reset=20000@100", n=2000), "/v1/jobs/list")
    assert answer.how == "reset" and 20000 <= len(answer.body) < 20100 < len(whole.body)


def test_cut_of_a_range(sim):
    s = start(sim, f"{OUTPUT}:truncate=50@#2")
    whole = Raw(s, s.output).body
    answer = Raw(s, s.output, headers=["Range: bytes=100-299"])
    assert (answer.status, answer.header("Content-Length")) == (206, "200")
    assert answer.body == whole[100:150]


def test_slow(sim):
    s = start(sim, f"{OUTPUT}:slow=100K@#1", size=50000)
    answer = Raw(s, s.output)
    assert answer.seconds >= 0.4 and sha(answer.body) == s.digest(s.job)
    # A JSON answer too: 300 bytes or so, at 1000 a second.
    s = start(sim, f"{DETAILS}:slow=1000@100")
    answer = Raw(s, s.details_path)
    assert answer.seconds >= len(answer.body) / 1000 * 0.9
    assert json.loads(answer.body)["job"]["id"] == s.job


def test_stall_and_on(sim):
    s = start(sim, f"{OUTPUT}:stall=700ms@100")
    answer = Raw(s, s.output)
    assert answer.seconds >= 0.7 and sha(answer.body) == s.digest(s.job)
    assert Raw(s, s.output, "HEAD").status == 200
    assert faults(s) == {OUTPUT: {"stall": 1}}


def test_stall_for_ever(sim):
    s = start(sim, f"{OUTPUT}:stall@100", f"{DETAILS}:stall@100")
    answer = Raw(s, s.output, timeout=1)
    assert answer.how == "open" and 0 <= len(answer.body) < SIZE
    assert answer.header("Content-Length") == str(SIZE)
    answer = Raw(s, s.details_path, timeout=1)
    assert answer.how == "open"
    wait_until_idle(s)
    with socket.create_connection(("127.0.0.1", s.port)) as sock:
        sock.sendall(f"GET {s.output} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {s.token}\r\n\r\n"
                     .encode())
        sock.settimeout(10)
        assert sock.recv(10) == b"HTTP/1.1 2"
        began = time.monotonic()
        assert s.stop().returncode == 0
        assert time.monotonic() - began < 10


# ---- in place of the answer --------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 429, 500, 503, 599])
def test_status(sim, status):
    s = start(sim, f"*:status={status}@100")
    for path in (s.output, s.details_path, "/v1/jobs/list"):
        answer = Raw(s, path)
        assert (answer.status, answer.header("Retry-After")) == (status, None)
        assert json.loads(answer.body)["error"]["code"] == status
    assert s.request("POST", "/jobs/batch", data="{}").status_code == status
    assert faults(s)["POST /v1/jobs/batch"] == {"status": 1}


def test_status_with_retry_after(sim):
    s = start(sim, f"{DETAILS}:status=503,7@100")
    answer = Raw(s, s.details_path)
    assert (answer.status, answer.header("Retry-After")) == (503, "7")
    s = start(sim, f"{DETAILS}:status=429,100@100", options=["--set", "retry_after=date"])
    answer = Raw(s, s.details_path)
    at = time.mktime(time.strptime(answer.header("Retry-After"), "%a, %d %b %Y %H:%M:%S GMT"))
    now = time.mktime(time.gmtime())
    assert 60 < at - now < 110


def test_status_of_a_store(sim):
    s = start(sim, f"{SIGNED}:status=503,1@#1", f"{SIGNED}:status=500@#2")
    path = signed_path(s)
    for status, code in ((503, b"SlowDown"), (500, b"InternalError")):
        answer = Raw(s, path)
        assert answer.status == status and b"<Code>" + code + b"</Code>" in answer.body
    assert sha(Raw(s, path).body) == s.digest(s.job)


@pytest.mark.parametrize("value, status", [("", 502), ("=503", 503), ("=200", 200)])
def test_html(sim, value, status):
    s = start(sim, f"{DETAILS}:html{value}@100")
    answer = Raw(s, s.details_path)
    assert answer.status == status and answer.header("Content-Type").startswith("text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")


def test_broken_json(sim):
    s = start(sim, "*:broken_json@100")
    answer = Raw(s, s.details_path)
    assert answer.status == 200 and answer.header("Content-Type").startswith("application/json")
    assert len(answer.body) == int(answer.header("Content-Length"))
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)
    assert sha(Raw(s, s.output).body) == s.digest(s.job)  # bytes are not JSON
    assert faults(s) == {DETAILS: {"broken_json": 1}}


def test_garbage(sim):
    s = start(sim, f"{DETAILS}:garbage@#1..2", f"{DETAILS}:garbage=header@#3",
              f"{DETAILS}:garbage=length@#4", f"{DETAILS}:garbage=chunk@#5")
    first, second, header, length, chunk = [Raw(s, s.details_path) for _ in range(5)]
    assert {a.how for a in (first, second, header, length, chunk)} == {"end"}
    assert len(first.data) == len(second.data) == 4096 and first.data != second.data
    assert not first.data.startswith(b"HTTP/")
    assert "Content-Type application/json" in header.head
    assert length.head.count("Content-Length") == 2
    assert chunk.body.endswith(b"three\r\n")
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=10)
    connection.request("GET", s.details_path, headers={"Authorization": f"Bearer {s.token}"})
    assert connection.getresponse().status == 200  # the sixth
    connection.close()
    assert faults(s) == {DETAILS: {"garbage": 5}}


@pytest.mark.parametrize("value, low", [("", 10 << 20), ("=100000", 100000), ("=1", 1)])
def test_headers(sim, value, low):
    s = start(sim, f"{DETAILS}:headers{value}@100")
    answer = Raw(s, s.details_path)
    assert answer.how == "end" and answer.body == b"{}"
    assert low <= len(answer.head) <= low + 2000
    assert all(re.match(r"[A-Za-z0-9-]+: .", line) for line in answer.head.split("\r\n")[1:])


def test_endless(sim):
    s = start(sim, f"{OUTPUT}:endless@100")
    answer = Raw(s, s.output, limit=30 << 20)
    assert answer.how == "open" and len(answer.data) >= 30 << 20
    assert answer.header("Transfer-Encoding") == "chunked"
    assert answer.body.startswith(b"10000\r\n   ")
    wait_until_idle(s)
    # The simulator ends while one goes on, be it read or not.
    with socket.create_connection(("127.0.0.1", s.port)) as sock:
        sock.sendall(f"GET {s.output} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sock.settimeout(10)
        assert sock.recv(100000)
        assert s.stop().returncode == 0


def test_drop(sim):
    s = start(sim, f"{DETAILS}:drop@#2")
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=10)
    headers = {"Authorization": f"Bearer {s.token}"}
    connection.request("GET", s.details_path, headers=headers)
    connection.getresponse().read()
    kept = connection.sock
    connection.request("GET", s.details_path, headers=headers)
    assert connection.sock is kept
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    assert Raw(s, s.details_path).status == 200
    assert faults(s) == {DETAILS: {"drop": 1}}


def test_latency(sim):
    s = start(sim, f"{DETAILS}:latency=600ms@#2", f"{OUTPUT}:latency=1h@100")
    times = [Raw(s, s.details_path) for _ in range(3)]
    assert [a.status for a in times] == [200] * 3
    assert times[1].seconds >= 0.6
    answer = Raw(s, s.output, timeout=0.5)
    assert (answer.how, answer.data) == ("open", b"")
    wait_until_idle(s)


# ---- redirects ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["host", "http", "loopback", "https://other.example/x?a=b@c"])
def test_redirect(sim, value):
    s = start(sim, f"{OUTPUT}:redirect={value}@#1", f"{LIST}:redirect={value}@#1")
    expected = {"host": f"http://localhost:{s.port}", "http": "http://proxy.example",
                "loopback": f"http://127.0.0.1:{s.port}"}.get(value)
    for path in (s.output, "/v1/jobs/list?a=b%26c&d=%C3%A4+e"):
        lines = ["Host: proxy.example"] if value == "http" else []
        answer = raw_with_host(s, path, lines)
        assert answer.status == 302
        location = answer.header("Location")
        if expected is None:
            assert location == value
        else:
            assert location.startswith(expected)
            got, asked = (urllib.parse.urlsplit(u) for u in (location, path))
            assert got.path == asked.path
            assert urllib.parse.parse_qs(got.query) == urllib.parse.parse_qs(asked.query)
        assert raw_with_host(s, path, lines).status == 200


def raw_with_host(s, path, lines):
    if not lines:
        return Raw(s, path)
    answer = Raw.__new__(Raw)
    with socket.create_connection(("127.0.0.1", s.port), timeout=10) as sock:
        head = [f"GET {path} HTTP/1.1", *lines, f"Authorization: Bearer {s.token}",
                "Connection: close", "", ""]
        sock.sendall("\r\n".join(head).encode())
        answer.data = b""
        while piece := sock.recv(65536):
            answer.data += piece
    return answer


def test_redirect_loop(sim):
    s = start(sim, f"{SIGNED}:redirect=loop@#1")
    path, seen = signed_path(s), set()
    for _ in range(40):
        answer = Raw(s, path)
        assert answer.status == 302
        path = answer.header("Location")
        assert path not in seen
        seen.add(path)
    assert faults(s) == {SIGNED: {"redirect": 1}}
    assert sha(Raw(s, signed_path(s)).body) == s.digest(s.job)
    assert s.session.get(s.url + "/nowhere?sim_loop=1", timeout=10).status_code == 404


# ---- outputs that change, URLs that expire -----------------------------------------------------


def test_changed(sim):
    s = start(sim, f"{OUTPUT}:changed@#3", f"{SIGNED}:changed@#1")
    answers = [Raw(s, s.output) for _ in range(4)]
    assert [sha(a.body) for a in answers] == [s.digest(s.job, version=v) for v in (0, 0, 1, 1)]
    assert [len(a.body) for a in answers] == [SIZE] * 4
    etags = [a.header("ETag") for a in answers]
    assert etags[0] == etags[1] != etags[2] == etags[3]
    assert sha(Raw(s, signed_path(s)).body) == s.digest(s.job, version=2)
    assert sha(Raw(s, s.output).body) == s.digest(s.job, version=2)
    assert faults(s) == {OUTPUT: {"changed": 1}, SIGNED: {"changed": 1}}
    # Another job's output is what it was.
    s = start(sim, f"{OUTPUT}:changed@#1", n=2)
    Raw(s, s.output)
    assert sha(Raw(s, f"/v1/jobs/{s.all[1]}/output").body) == s.digest(s.all[1])


def test_changed_in_mid_download(sim):
    s = start(sim, f"{OUTPUT}:changed@#2", options=["--set", "body_rate=1M"], size="1M")
    slow = threading.Thread(target=lambda: setattr(s, "slow", Raw(s, s.output)))
    slow.start()
    deadline = time.monotonic() + 20
    while s.stats()["output_bytes"] == 0:
        assert time.monotonic() < deadline
    etag_and_rest = Raw(s, s.output, headers=["Range: bytes=1000000-", 'If-Range: "0"'])
    slow.join()
    old = s.slow
    assert sha(old.body) == s.digest(s.job)
    assert etag_and_rest.status == 200 and sha(etag_and_rest.body) == s.digest(s.job, version=1)
    # With the old validator a Range gives the whole; with the new one, a part of the new bytes.
    for etag, status in ((old.header("ETag"), 200), (etag_and_rest.header("ETag"), 206)):
        answer = Raw(s, s.output, headers=["Range: bytes=1048000-", f"If-Range: {etag}"])
        assert answer.status == status and etag_and_rest.body.endswith(answer.body)


def test_changed_leaves_files_alone(sim, tmp_path):
    (tmp_path / "job-1").mkdir()
    (tmp_path / "job-1" / "labels.json").write_bytes(b"[1,2]")
    s = sim("--jobs", tmp_path, "--fault", f"{OUTPUT}:changed@100")
    assert s.get("/jobs/job-1/output").content == b"[1,2]"
    assert faults(s) == {}


@pytest.mark.parametrize("value", ["", "=later", "=now", "=cut"])
def test_expire(sim, value):
    s = start(sim, f"{SIGNED}:expire{value}@#2")
    path, other = signed_path(s), f"/v1/jobs/{s.job}/log-url"
    log = urllib.parse.urlsplit(s.get(other[3:]).json()["url"])
    assert Raw(s, path).status == 200
    answer = Raw(s, path)
    if value == "=now":
        assert (answer.status, answer.how) == (403, "end")
    elif value == "=cut":
        assert (answer.status, answer.how) == (200, "end")
        assert len(answer.body) < SIZE == int(answer.header("Content-Length"))
    else:
        assert sha(answer.body) == s.digest(s.job)
    for old in (path, f"{log.path}?{log.query}"):
        answer = Raw(s, old)
        assert answer.status == 403 and b"expired" in answer.body
    fresh = signed_path(s)
    assert fresh != path and sha(Raw(s, fresh).body) == s.digest(s.job)
    # The serial is signed: an old URL is not mended by hand.
    serial = re.search(r"&serial=\d+", fresh).group(0)
    answer = Raw(s, path.replace("&signature", serial + "&signature"))
    assert answer.status == 403 and b"SignatureDoesNotMatch" in answer.body
    assert Raw(s, fresh.replace(serial, "&serial=x")).status == 403
    assert faults(s) == {SIGNED: {"expire": 1}}


def test_expire_in_mid_download(sim):
    s = start(sim, f"{SIGNED}:expire@#1", options=["--set", "body_rate=500K"], size="500K")
    path = signed_path(s)
    slow = threading.Thread(target=lambda: setattr(s, "slow", Raw(s, path)))
    slow.start()
    deadline = time.monotonic() + 20
    while s.stats()["output_bytes"] == 0:
        assert time.monotonic() < deadline
    assert Raw(s, path).status == 403
    slow.join()
    assert sha(s.slow.body) == s.digest(s.job)


def test_expire_with_redirects(sim):
    s = start(sim, f"{SIGNED}:expire=cut@#1", options=["--set", "output=redirect"])
    first = Raw(s, s.output).header("Location")
    url = urllib.parse.urlsplit(first)
    path = f"{url.path}?{url.query}"
    assert len(Raw(s, path, port=url.port).body) < SIZE
    assert Raw(s, path, port=url.port).status == 403
    url = urllib.parse.urlsplit(Raw(s, s.output).header("Location"))
    answer = Raw(s, f"{url.path}?{url.query}", port=url.port)
    assert sha(answer.body) == s.digest(s.job)
