# SPDX-License-Identifier: Apache-2.0
"""The simulator's faults: each kind as it is seen on the wire, which requests have it, and what is
counted. Plain sockets, so that no HTTP library tidies anything up."""

import hashlib
import http.client
import http.server
import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from programs import SIM

SIZE = 300007
OUTPUT = "GET /v1/jobs/{id}/output"
SIGNED = "GET /signed/{id}/output"
DETAILS = "GET /v1/jobs/{id}"
LIST = "GET /v1/jobs/list"
STATUS_ALL = "GET /v1/status/all"


class Raw:
    """All that came back on one connection, and how it ended: "end", "reset" or "open"."""

    def __init__(self, s, path, method="GET", limit=64 << 20, timeout=30, headers=(), port=None):
        self.data = bytearray()
        self.how = "open"
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{s.port}", "Connection: close"]
        if not path.startswith("/signed/"):
            lines.append(f"Authorization: Bearer {s.token}")
        self.began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port or s.port), timeout=timeout) as sock:
            sock.sendall("\r\n".join([*lines, *headers, "", ""]).encode())
            try:
                while len(self.data) < limit:
                    if not (piece := sock.recv(1 << 18)):
                        self.how = "end"
                        break
                    self.data += piece
            except ConnectionResetError:
                self.how = "reset"
            except socket.timeout:
                pass
        self.seconds = time.monotonic() - self.began

    @property
    def head(self):
        return bytes(self.data).partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def body(self):
        return bytes(self.data).partition(b"\r\n\r\n")[2]

    @property
    def status(self):
        return int(self.head.split(" ")[1])

    def header(self, name):
        found = re.search(rf"^{name}: *(.*?)\r?$", self.head, re.M | re.I)
        return found and found.group(1)


def start(sim, *faults, options=(), size=SIZE, n=1):
    """A simulator; .job is its first job, .output and .signed paths of the output."""
    for fault in faults:
        options = [*options, "--fault", fault]
    s = sim("--generate", n, "--size", size, "--state", "COMPLETE", *options)
    s.idle_threads = threads(s)
    # Worked out by a second one: the first one's count of requests stays at 0.
    seed = s.option("--seed")
    twin = sim("--generate", n, *(["--seed", seed] if seed else []))
    s.all = twin.ids()
    s.job = s.all[0]
    s.output = f"/v1/jobs/{s.job}/output"
    s.details_path = f"/v1/jobs/{s.job}"
    twin.stop()
    return s


def signed_path(s):
    parts = urllib.parse.urlsplit(s.get(f"/jobs/{s.job}/output-url").json()["url"])
    return f"{parts.path}?{parts.query}"


def faults(s):
    return s.stats()["faults"]


def sha(data):
    return hashlib.sha256(data).hexdigest()


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


def threads(s):
    with open(f"/proc/{s.run.pid}/status") as f:
        return int(re.search(r"Threads:\s+(\d+)", f.read()).group(1))


def wait_until_idle(s):
    """No thread is left of a connection whose client has gone."""
    deadline = time.monotonic() + 20
    while (n := threads(s)) > s.idle_threads:
        assert time.monotonic() < deadline, f"{n} threads, {s.idle_threads} at first"
        time.sleep(0.05)


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


# ---- webhooks ----------------------------------------------------------------------------------


class Receiver:
    """Takes webhooks: ids in the order they came, with the time of each."""

    def __init__(self):
        receiver = self
        receiver.came = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.came.append((json.loads(body)["id"], time.monotonic()))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, n):
        deadline = time.monotonic() + 30
        while len(self.came) < n:
            assert time.monotonic() < deadline, f"{len(self.came)} of {n}"
            time.sleep(0.01)
        return [job for job, _ in self.came]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


RUNNING = ("--set", "running_ms=100", "--state", "RUNNING", "--size", "1")


def test_webhook_faults(sim, receiver):
    began = time.monotonic()
    s = sim("--generate", "6", *RUNNING, "--webhook", receiver.url,
            "--set", "webhook_retry_ms=300", "--fault", "WEBHOOK:latency=3s@#1",
            "--fault", "WEBHOOK:drop@#2", "--fault", "WEBHOOK:duplicate=3@#3",
            "--fault", "WEBHOOK:duplicate@#4")
    ids = s.ids()
    order = receiver.wait(8)
    assert {job: order.count(job) for job in order} == {
        ids[0]: 1, ids[2]: 3, ids[3]: 2, ids[4]: 1, ids[5]: 1
    }
    assert order[-1] == ids[0]  # overtaken by all others
    last = dict(receiver.came)
    assert last[ids[0]] - began >= 3 and last[ids[2]] - began >= 2 * 0.3
    assert s.stats()["faults"] == {"WEBHOOK": {"latency": 1, "drop": 1, "duplicate": 2}}
    assert s.stats()["webhooks_sent"] == 8


def test_webhook_faults_by_percentage(sim, tmp_path):
    lost = []
    for i in range(2):
        where = tmp_path / str(i)
        where.mkdir()
        s = sim("--generate", "400", *RUNNING, "--webhook-dir", where, "--seed", "4",
                "--fault", "WEBHOOK:drop@25")
        deadline = time.monotonic() + 30
        while (stats := s.stats())["webhooks_sent"] + sum(
            stats["faults"].get("WEBHOOK", {"drop": 0}).values()) < 400:
            assert time.monotonic() < deadline, stats
            time.sleep(0.02)
        lost.append(sorted(set(s.ids()) - {path.stem for path in where.glob("*.json")}))
        assert stats["faults"]["WEBHOOK"]["drop"] == len(lost[-1])
    assert lost[0] == lost[1] and 60 <= len(lost[0]) <= 140


# ---- which requests ----------------------------------------------------------------------------


def statuses(s, path, n, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=30)
    got = []
    for _ in range(n):
        connection.request(method, path, headers={"Authorization": f"Bearer {s.token}"})
        answer = connection.getresponse()
        answer.read()
        got.append(answer.status)
    connection.close()
    return got


def test_follows_from_the_seed(sim):
    def run(seed, *more):
        s = start(sim, "*:status=500@30", *more, options=["--seed", seed])
        return statuses(s, s.details_path, 300), statuses(s, "/v1/status/all", 300)

    first = run("1")
    assert run("1") == first
    assert run("2")[0] != first[0]
    assert first[0] != first[1]  # each route for itself
    # A fault that comes after it leaves its share alone.
    with_more = run("1", "*:status=429@30")
    assert [s if s == 500 else 200 for s in with_more[0]] == first[0]
    assert 429 in with_more[0] and 200 in with_more[0]


def test_percentages(sim):
    n = 4000
    s = start(sim, f"{STATUS_ALL}:status=500@5", f"{STATUS_ALL}:status=503@0.5%",
              f"{STATUS_ALL}:html=504@50", "*:status=429@0")
    got = statuses(s, "/v1/status/all", n)
    share = {code: got.count(code) * 100 / n for code in (200, 429, 500, 503, 504)}
    assert 3.5 < share[500] < 6.5
    assert 0.1 < share[503] < 1.2
    assert 46 < share[504] < 54
    assert share[429] == 0
    assert faults(s) == {
        STATUS_ALL: {"status": got.count(500) + got.count(503), "html": got.count(504)}
    }


def test_by_number(sim):
    s = start(sim, f"{STATUS_ALL}:status=500@#2", f"{STATUS_ALL}:status=503@#4..5",
              f"{STATUS_ALL}:status=429@#7..")
    assert statuses(s, "/v1/status/all", 9) == [200, 500, 200, 503, 503, 200, 429, 429, 429]
    # HEAD has a count of its own, and so has every route.
    assert statuses(s, "/v1/status/all", 3, "HEAD") == [200] * 3
    assert statuses(s, s.details_path, 3) == [200] * 3
    s = start(sim, "HEAD /v1/status/all:status=500@#1")
    assert statuses(s, "/v1/status/all", 1) == [200]
    assert statuses(s, "/v1/status/all", 2, "HEAD") == [500, 200]


def test_a_hundred_per_cent(sim):
    s = start(sim, "*:status=500@100")
    assert set(statuses(s, s.details_path, 200)) == {500}
    assert s.stats()["faults"] == {DETAILS: {"status": 200}}
    assert s.session.get(s.url + "/nowhere", timeout=10).status_code == 404


def test_many_at_once(sim):
    """Every kind on every route, 16 clients: the simulator stays up and its counters add up."""
    kinds = ["latency=5ms", "status=503,1", "html", "broken_json", "garbage", "headers=20K",
             "redirect=loop", "drop", "reset", "truncate", "stall=5ms", "slow=1M", "changed",
             "expire=cut"]
    s = start(sim, *[f"*:{kind}@5" for kind in kinds], options=["--seed", "3"], n=20, size="20K")
    ended = []

    def client(k):
        for i in range(30):
            job = s.all[(k + i) % len(s.all)]
            path = [f"/v1/jobs/{job}", f"/v1/jobs/{job}/output", "/v1/jobs/list"][i % 3]
            ended.append(Raw(s, path).how)

    threads = [threading.Thread(target=client, args=(k,)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = s.stats()
    assert len(ended) == stats["total"] == 480
    happened = {kind for route in stats["faults"].values() for kind in route}
    assert happened == {kind.partition("=")[0] for kind in kinds} - {"expire"}
    n = sum(sum(route.values()) for route in stats["faults"].values())
    assert 480 * 0.5 < n < 480 * 0.8
    assert ended.count("reset") == sum(r.get("reset", 0) for r in stats["faults"].values())
    assert s.stop().returncode == 0


# ---- the command line --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault, said",
    [
        ("", "expected ROUTE:KIND[=VALUE]@WHEN"),
        ("*", "expected ROUTE:KIND[=VALUE]@WHEN"),
        ("*:reset", "expected ROUTE:KIND[=VALUE]@WHEN"),
        ("reset@5", "expected ROUTE:KIND[=VALUE]@WHEN"),
        ("*:@5", '"" is not a kind of fault'),
        ("*:explode@5", '"explode" is not a kind of fault'),
        (":reset@5", '"" is not a route'),
        ("GET /v1/job:reset@5", '"GET /v1/job" is not a route'),
        ("GET /sim/stats:reset@5", "is not a route"),
        ("HEAD /v1/jobs/batch:reset@5", "is not a route"),
        ("PATCH /v1/jobs/batch:reset@5", "is not a route"),
        ("*:status@5", "status= is not allowed; expected 400..599"),
        ("*:status=@5", "expected 400..599"),
        ("*:status=200@5", "status=200 is not allowed"),
        ("*:status=503,@5", "status=503, is not allowed"),
        ("*:status=503,x@5", "status=503,x is not allowed"),
        ("*:html=100@5", "expected 200..599"),
        ("*:html=@5", "expected 200..599"),
        ("*:latency=fast@5", "expected a time such as"),
        ("*:latency@5", "expected a time such as"),
        ("*:reset=-1@5", "expected bytes such as"),
        ("*:slow@5", "expected bytes such as"),
        ("*:slow=0@5", "slow=0 is not allowed"),
        ("*:drop=1@5", "drop=1 is not allowed; expected nothing"),
        ("*:garbage=much@5", "expected bytes|header|length|chunk"),
        ("*:redirect@5", "expected loop|host|http|loopback, or a URL"),
        ("*:redirect=ftp://x@5", "expected loop|host|http|loopback, or a URL"),
        ("*:redirect=http://a b@5", "expected loop|host|http|loopback, or a URL"),
        ("*:expire=soon@5", "expected later|now|cut"),
        ("WEBHOOK:reset@5", "reset does not happen to WEBHOOK"),
        ("WEBHOOK:duplicate=0@5", "expected 1..1000"),
        ("*:duplicate@5", "duplicate does not happen to *"),
        (f"{DETAILS}:changed@5", "changed does not happen to GET /v1/jobs/{id}"),
        (f"{OUTPUT}:expire@5", "expire does not happen to"),
        (f"{OUTPUT}:broken_json@5", "broken_json does not happen to"),
        ("*:drop@", "@ is not allowed; expected a percentage"),
        ("*:drop@-1", "@-1 is not allowed"),
        ("*:drop@100.1", "@100.1 is not allowed"),
        ("*:drop@1e1", "@1e1 is not allowed"),
        ("*:drop@5%%", "@5%% is not allowed"),
        ("*:drop@.", "@. is not allowed"),
        ("*:drop@1.2.3", "@1.2.3 is not allowed"),
        ("*:drop@nan", "@nan is not allowed"),
        ("*:drop@#0", "@#0 is not allowed"),
        ("*:drop@#", "@# is not allowed"),
        ("*:drop@#3..2", "@#3..2 is not allowed"),
        ("*:drop@#1..2..3", "@#1..2..3 is not allowed"),
        ("*:drop@#99999999999999999999", "is not allowed"),
        ("*:drop@" + "5" * 2000, "longer than 1023 bytes"),
    ],
)
def test_refused(fault, said):
    done = subprocess.run([SIM, "--fault", fault], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert said in done.stderr and "--fault" in done.stderr and done.stderr.count("\n") == 1


def test_refused_together():
    many = ["--fault", "*:drop@60", "--fault", f"{DETAILS}:reset@40.5"]
    done = subprocess.run([SIM, *many], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "percentages of GET /v1/jobs/{id} add up to 100.5; expected 100 at most" in done.stderr
    done = subprocess.run([SIM, *["--fault", "*:drop@1"] * 65], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 2 and "--fault: 64 times at most" in done.stderr
    done = subprocess.run([SIM, "--digest", "x", "--output-version", "-1"], capture_output=True,
                          text=True, timeout=20)
    assert done.returncode == 2 and "expected 0..65535" in done.stderr


def test_help_is_complete(sim):
    text = subprocess.run([SIM, "--help"], capture_output=True, text=True, timeout=20).stdout
    kinds = text.partition("\nKinds of faults\n")[2].partition("\nRoutes")[0]
    names = re.findall(r"^  ([a-z_]+)", kinds, re.M)
    assert len(names) == 16
    tested = open(__file__).read()
    for name in names:
        assert f":{name}" in tested, f"{name} has no test"
    # Each route that it lists is taken.
    routes = re.findall(r"^  (.*)$", text.partition("\nRoutes")[2], re.M)
    assert {OUTPUT, SIGNED, DETAILS, LIST, STATUS_ALL, "WEBHOOK"} <= set(routes)
    options = [option for route in routes for option in ("--fault", f"{route}:latency=0@5")]
    assert sim(*options).stats()["faults"] == {}
