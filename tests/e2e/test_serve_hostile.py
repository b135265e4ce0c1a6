# SPDX-License-Identifier: Apache-2.0
"""Hostile clients of what takes webhooks: each test against the HTTP server alone and against
`egress serve`. Whatever they do, others are served, and what they took is given back."""

import base64
import hashlib
import hmac
import random
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import watch
from doors import HTTPD_ECHO, Echo, Serve, allow_descriptors, webhook

HERE = Path(__file__).parent
BODY_MAX = 64 * 1024
TOKEN = "a-token-of-twenty-four-b"
WHSEC = "whsec_" + base64.b64encode(b"standard-webhooks-secret").decode()
HUB = "a hub's secret, with spaces"

CHUNKED = b"POST /job-complete HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n"
# As a browser begins TLS 1.3; the lengths are right.
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(1, 33)) + b"\x20" + b"\n" * 160


@pytest.fixture(params=["httpd-echo", "serve"])
def door(request, tmp_path):
    """door(secrets=None): opens it."""
    allow_descriptors()
    doors = []

    def start(secrets=None):
        flags = []
        if secrets:
            path = tmp_path / "secrets.txt"
            path.write_text(secrets)
            path.chmod(0o600)
            flags = ["--secrets" if request.param == "httpd-echo" else "--webhook-secrets", path]
        if request.param == "httpd-echo":
            doors.append(Echo(tmp_path, "--later", *flags))
        else:
            s = request.getfixturevalue("sim")()
            to = f"file://{tmp_path}/to"
            (tmp_path / "to").mkdir()
            serve = request.getfixturevalue("serve")
            doors.append(Serve(serve(to, "--max-connections", 4096, *flags, sim=s)))
        return doors[-1]

    yield start
    for one in doors:
        one.finish()


def assert_grown(before, after, mib=8):
    """That its memory has grown by no more than that; a sanitizer keeps what was freed."""
    assert watch.is_sanitized() or after - before < mib, f"{before} -> {after} MiB"


# ---- the answers ----


def test_answers(door):
    d = door()
    good = d.ask(webhook("one-job"))
    assert (good.status, good.json) == (200, {"status": "queued", "job": "one-job"})
    assert d.ask(webhook(body=b"")).status == 400
    assert d.ask(webhook(body=b"{")).status == 400
    assert d.ask(webhook("../x")).status == 400
    assert d.ask(webhook(path="/other")).status == 404
    assert d.ask(webhook(path="/")).status == 404
    get = d.ask(webhook(method="GET", body=b""))
    assert (get.status, get.headers["allow"]) == (405, "POST")
    assert d.ask(webhook(method="BREW")).status == 405
    spaces = b'{"id":"x","event":"job_complete"}'.ljust(BODY_MAX)
    assert d.ask(webhook(body=spaces)).status == 200
    large = d.ask(webhook(body=spaces + b" "))
    assert (large.status, large.json["error"]) == (413, "too_large")


def test_secrets(door):
    d = door(f"token {TOKEN}\nstandard-webhooks {WHSEC}\nhub-sha256 {HUB}\n")
    refused = d.ask(webhook())
    assert refused.status == 401 and TOKEN not in refused.body.decode()
    assert d.ask(webhook(path=f"/job-complete?token={TOKEN}")).status == 200
    assert d.ask(webhook(path=f"/job-complete?token={TOKEN}x")).status == 401
    assert d.ask(webhook(headers=[f"X-Egress-Token: {TOKEN}"])).status == 200
    assert d.ask(webhook(headers=[f"Authorization: Bearer {TOKEN}"])).status == 200
    assert d.ask(webhook(headers=["Authorization: Bearer wrong"])).status == 401
    body = b'{"id":"x","event":"job_complete"}'
    digest = hmac.new(HUB.encode(), body, hashlib.sha256).hexdigest()
    signed = [f"X-Hub-Signature-256: sha256={digest}"]
    assert d.ask(webhook(body=body, headers=signed)).status == 200
    assert d.ask(webhook(body=body + b" ", headers=signed)).status == 401
    for off, status in ((0, 200), (-400, 401), (400, 401)):
        at = int(time.time()) + off
        key = base64.b64decode(WHSEC[6:])
        digest = hmac.new(key, f"m.{at}.".encode() + body, hashlib.sha256).digest()
        signed = ["webhook-id: m", f"webhook-timestamp: {at}",
                  f"webhook-signature: v1,{base64.b64encode(digest).decode()}"]  # fmt: skip
        assert d.ask(webhook(body=body, headers=signed)).status == status, off


# ---- slow ----


def test_slow_clients(door):
    """A byte now and then does not hold a connection, and meanwhile others are served."""
    d = door()
    begins = {
        "nothing": b"",
        "request line": b"POST /job-comp",
        "headers without an end": b"POST /job-complete HTTP/1.1\r\nHost: door\r\nX-A: ",
        "body without an end": webhook(body=b" " * 60000)[:-59000],
        "chunks without an end": CHUNKED + b"F000\r\n",
    }
    clients = {name: d.client() for name in begins}
    for name, c in clients.items():
        c.send(begins[name])
    begun = time.monotonic()
    took, served = {}, 0
    while len(took) < len(clients):
        assert time.monotonic() - begun < d.request_s + 20, f"only {took} were dropped"
        served += d.serves()
        for name, c in clients.items():
            if name in took:
                continue
            if select.select([c.socket], [], [], 0)[0]:
                took[name] = time.monotonic() - begun
            elif name != "nothing":
                c.send(b"a")
        time.sleep(0.05)
    assert served >= 10
    assert min(took.values()) > d.request_s / 2, took
    for name, c in clients.items():
        answer = c.answer()
        assert answer.status == 408 and answer.json["error"] == "timeout", name
        assert c.rest() == b""
        c.close()


# ---- too much ----


def test_oversized(door):
    d = door()
    assert d.ask(webhook(headers=["X-A: " + "y" * 60000])).status == 431
    assert d.ask(webhook(headers=[f"X-{i}: y" for i in range(5000)])).status == 431
    assert d.ask(webhook(path="/" + "y" * 60000)).status == 414
    assert d.ask(webhook(body=b" " * 500000)).status == 413
    huge = b"POST /job-complete HTTP/1.1\r\nHost: door\r\nContent-Length: %d\r\n"
    assert d.ask(huge % 10**12 + b"\r\n").status == 413
    assert d.ask(huge % 10**30 + b"\r\n").status == 413
    assert d.ask(huge % 100000 + b"Expect: 100-continue\r\n\r\n").status == 413
    assert d.ask(CHUNKED + b"FFFFFFFFFFFFFFFFFFF\r\n").status in (400, 413)
    assert d.serves()


def test_chunks_without_an_end(door):
    d = door()
    before = d.takes()[2]
    with d.client() as c:
        c.send(CHUNKED)
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        sent = 0
        while c.send(chunk):
            sent += len(chunk)
            assert sent < 2**30, "it takes what is sent for ever"
    assert d.serves()
    assert_grown(before, d.takes()[2])


def test_lengths_that_lie(door):
    d = door()
    whole = webhook("lie")
    with d.client() as c:  # shorter than it was said
        c.send(whole[:-1])
        c.socket.shutdown(1)
        assert b" 200 " not in c.rest()
    with d.client() as c:  # longer: what follows is another request, which is none
        c.send(whole + b"more\r\n\r\n")
        assert c.answer().status == 200
        assert b" 200 " not in c.rest()
    assert d.serves()


def test_two_readings_of_one_request(door):
    """What a proxy before us may read otherwise is refused, and nothing behind it is read."""
    d = door()
    inner = webhook("smuggled")
    two = b"POST /job-complete HTTP/1.1\r\nHost: door\r\n"
    for head in (
        b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length : 5\r\n\r\n",
        b"Content-Length: 5, 5\r\n\r\nabcde",
        b"Content-Length: +5\r\n\r\nabcde",
        b"Content-Length: 0x5\r\n\r\nabcde",
    ):
        with d.client() as c:
            c.send(two + head + inner)
            rest = c.rest()
            assert rest.startswith(b"HTTP/1.1 400 "), (head, rest)
            assert b" 200 " not in rest and b"smuggled" not in rest, (head, rest)
    assert d.serves()


# ---- noise ----


def test_garbage(door):
    d = door()
    noise = random.Random(1)
    for data in (
        TLS_HELLO,
        b"\0" * 1000 + b"\r\n\r\n",
        b"\r\n" * 2000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: door\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /job-complete HTTP/1.1\r\nHost: door\r\n: empty\r\n\r\n",
        b"POST /job-complete HTTP/1.1\r\nHost: door\r\nX\0Y: z\r\n\r\n",
        b"GET /job-complete%00 HTTP/1.1\r\nHost: door\r\n\r\n",
        *(noise.randbytes(noise.randrange(1, 3000)) + b"\r\n\r\n" for _ in range(200)),
    ):
        with d.client() as c:
            c.send(data)
            c.socket.shutdown(1)
            assert b" 200 " not in c.rest(), data
    for _ in range(300):  # webhooks with a few bytes changed
        data = bytearray(webhook("mutated"))
        for _ in range(noise.randrange(1, 6)):
            data[noise.randrange(len(data))] = noise.randrange(256)
        with d.client() as c:
            c.send(bytes(data))
            c.socket.shutdown(1)
            c.rest()
    assert d.serves()


# ---- odd but right ----


def test_half_closed(door):
    d = door()
    with d.client() as c:
        c.send(webhook("half"))
        c.socket.shutdown(1)
        assert c.answer().json["job"] == "half"
        assert c.rest() == b""


def test_pipelined(door):
    d = door()
    with d.client() as c:
        c.send(b"".join(webhook(f"pipelined-{i}") for i in range(200)))
        for i in range(200):
            answer = c.answer()
            assert (answer.status, answer.json["job"]) == (200, f"pipelined-{i}")
        c.send(webhook("one") + webhook(path="/other") + webhook("two"))
        assert [c.answer().status for _ in range(3)] == [200, 404, 200]


def test_byte_by_byte(door):
    """Slow, but in time."""
    d = door()
    with d.client() as c:
        for byte in webhook("slow"):
            c.send(bytes([byte]))
        assert c.answer().json["job"] == "slow"


# ---- many ----


@pytest.mark.parametrize("n", [127, 128, 129, 256, 512])
def test_many_at_once(door, n):
    d = door()
    clients = [d.client() for _ in range(n)]
    for turn in range(3):
        for i, c in enumerate(clients):
            c.send(webhook(f"many-{turn}-{i}"))
        for i, c in enumerate(clients):
            assert c.answer().json["job"] == f"many-{turn}-{i}"
    for c in clients:
        c.close()


def test_thousands_of_idle_connections(door):
    d = door()
    idle = []
    for _ in range(2000):
        idle.append(d.client())
        idle[-1].send(webhook())  # from here on it may be idle for a minute
        assert idle[-1].answer().status == 200
    for c in idle[::100]:
        assert d.serves()
        c.send(webhook())
        assert c.answer().status == 200
    for c in idle:
        c.close()


def test_resets_in_the_middle(door):
    d = door()
    whole = webhook("reset")
    for turn in range(600):
        c = d.client()
        c.send(whole[: turn * len(whole) // 600] if turn % 3 else whole)
        c.reset() if turn % 2 else c.close()
    assert d.serves()


def test_what_they_took_is_given_back(door):
    """Descriptors, threads and memory, after one round of each and after several."""
    d = door()

    def crowd():
        clients = [d.client() for _ in range(300)]
        for i, c in enumerate(clients):
            c.send((webhook(body=b" " * 60000), CHUNKED + b"F000\r\n" + b"x" * 30000,
                    webhook(headers=["X-A: " + "y" * 20000]), TLS_HELLO, webhook())[i % 5])  # fmt: skip
        for i, c in enumerate(clients):
            c.reset() if i % 3 == 0 else c.close()

    descriptors, threads, _ = d.takes()
    descriptors += 8  # what a daemon opens for itself with its first jobs; a crowd is hundreds

    def crowds():
        two = [threading.Thread(target=crowd) for _ in range(2)]
        for one in two:
            one.start()
        for one in two:
            one.join()

    for _ in range(3):
        crowds()
    before = d.settle(descriptors, threads)
    for _ in range(10):
        crowds()
    after = d.settle(descriptors, threads)
    assert_grown(before[2], after[2])
    assert d.serves()


# ---- limits by address ----


def test_limits_by_address(tmp_path):
    """In a network of its own, where loopback has an address that does not count as such."""
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, HERE / "other_address.py", HTTPD_ECHO],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
