# SPDX-License-Identifier: Apache-2.0
"""The proxy with faults does what its rules say, and nothing when they say nothing."""

import http.client
import http.server
import subprocess
import threading
import time

import faultproxy as module
import pytest

BODY = bytes(range(256)) * 4096  # 1 MiB


class Target:
    """Answers a GET or HEAD with BODY, anything else with what it was sent; counts what it got whole."""

    def __init__(self):
        target = self
        self.done = []
        self.hosts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                target.hosts.append(self.headers["Host"])
                if len(data) == int(self.headers.get("Content-Length", 0)):
                    target.done.append((self.command, self.path))
                self.reply(BODY if self.command in ("GET", "HEAD") else data)

            def reply(self, data):
                self.send_response(200)
                if self.path == "/chunked":
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    half = len(data) // 2
                    for piece in (data[:half], data[half:]):
                        self.wfile.write(b"%X;x=y\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.write(b"0\r\nTrailer: t\r\n\r\n")
                    return
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_PUT = do_POST = answer

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def target():
    target = Target()
    yield target
    target.server.shutdown()
    target.server.server_close()


def connect(proxy):
    return http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=20)


def ask(proxy, method="GET", path="/x", body=None, connection=None):
    """Status and body; the exception instead when the connection broke."""
    connection = connection or connect(proxy)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (http.client.HTTPException, OSError) as broken:
        return None, broken


def test_without_rules(faultproxy, target):
    proxy = faultproxy(target.url)
    connection = connect(proxy)
    for path in ("/x", "/chunked"):
        assert ask(proxy, path=path, connection=connection) == (200, BODY)
    assert ask(proxy, "PUT", "/x?a=b", BODY, connection) == (200, BODY)
    assert ask(proxy, "HEAD", connection=connection) == (200, b"")
    assert proxy.stats()["connections"] == 2  # ours and the one for the question
    assert [entry["target"] for entry in proxy.log()] == ["/x", "/chunked", "/x?a=b", "/x"]
    assert set(target.hosts) == {proxy.url.removeprefix("http://")}


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_cut_request(faultproxy, target, how):
    proxy = faultproxy(target.url, f"cut-request,fraction=0.5,how={how},count=1")
    status, broken = ask(proxy, "PUT", "/x", BODY)
    assert status is None and (how == "fin" or isinstance(broken, ConnectionError)), broken
    assert ask(proxy, "PUT", "/x", BODY) == (200, BODY)
    assert target.done == [("PUT", "/x")]


@pytest.mark.parametrize("fraction", ["0", "0.5"])
def test_cut_answer(faultproxy, target, fraction):
    proxy = faultproxy(target.url, f"cut-answer,fraction={fraction},how=fin,count=1")
    status, broken = ask(proxy)
    assert status is None
    if fraction == "0.5":
        assert isinstance(broken, http.client.IncompleteRead)
        assert BODY.startswith(broken.partial) and 0 < len(broken.partial) < len(BODY)
    assert ask(proxy) == (200, BODY)


def test_truncate(faultproxy, target):
    proxy = faultproxy(target.url, "truncate,fraction=0.25,count=1")
    connection = connect(proxy)
    assert ask(proxy, connection=connection) == (200, BODY[: len(BODY) // 4])
    assert ask(proxy, connection=connection) == (200, BODY)
    proxy = faultproxy(target.url, "truncate,fraction=0.25,count=1")
    connection = connect(proxy)
    connection.request("HEAD", "/x")
    answer = connection.getresponse()
    assert answer.getheader("Content-Length") == str(len(BODY))
    assert proxy.hits("truncate") == 1


def test_answer_in_its_place(faultproxy, target):
    rules = ["answer,retry-after=7,count=1", "answer,status=500,code=X,count=1"]
    proxy = faultproxy(target.url, *rules)
    connection = connect(proxy)
    connection.request("PUT", "/x", BODY)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Retry-After")) == (503, "7")
    assert b"<Code>SlowDown</Code>" in answer.read()
    status, body = ask(proxy, connection=connection)
    assert status == 500 and b"<Code>X</Code>" in body
    assert target.done == []


def test_lose_answer(faultproxy, target):
    proxy = faultproxy(target.url, "lose-answer,method=PUT,how=rst")
    status, broken = ask(proxy, "PUT", "/x", BODY)
    assert status is None and isinstance(broken, ConnectionError)
    assert target.done == [("PUT", "/x")]
    assert proxy.hits("lose-answer") == 1


def test_delay_throttle_and_stall(faultproxy, target):
    proxy = faultproxy(
        target.url, "delay,ms=300,path=/late", "throttle,bytes=2M,path=/slow",
        "stall,fraction=0.5,ms=300,path=/stuck",
    )  # fmt: skip
    for path, least in (("/late", 0.3), ("/slow", 0.4)):
        started = time.monotonic()
        assert ask(proxy, path=path) == (200, BODY)
        assert time.monotonic() - started >= least
    started = time.monotonic()
    assert ask(proxy, path="/stuck")[0] is None
    assert time.monotonic() - started >= 0.3


def test_cut_connection(faultproxy, target):
    proxy = faultproxy(target.url, "cut-connection,probability=0.5,bytes=100K", seed=1)
    results = [ask(proxy)[0] for _ in range(40)]
    cut = proxy.hits("cut-connection")
    assert 10 < cut < 30
    assert results.count(None) in (cut, cut - 1)  # the question may have been hit itself
    assert results.count(200) == 40 - results.count(None)


def test_selection(faultproxy, target):
    proxy = faultproxy(
        target.url,
        "none,path=/a/good*",
        "answer,status=599,method=POST,query=uploadId",
        "answer,status=598,path=/a/*/c",
        "answer,status=597,reused=yes,skip=1,count=1",
    )
    assert ask(proxy, "POST", "/k?uploadId=7")[0] == 599
    assert ask(proxy, "POST", "/a/good/c?uploadId=7")[0] == 200
    assert ask(proxy, "POST", "/k?uploads")[0] == 200
    assert ask(proxy, "PUT", "/a/x/y/c", b"")[0] == 598
    connection = connect(proxy)
    statuses = [ask(proxy, connection=connection)[0] for _ in range(5)]
    assert statuses == [200, 200, 597, 200, 200]
    proxy.off()
    assert ask(proxy, "POST", "/k?uploadId=7")[0] == 200
    proxy.on()
    assert ask(proxy, "POST", "/k?uploadId=7")[0] == 599
    assert [rule["hit"] for rule in proxy.stats()["rules"]] == [1, 2, 1, 1]


def test_max_inflight(faultproxy, target):
    proxy = faultproxy(target.url, "answer,max-inflight=2,method=GET", "delay,ms=1500,method=PUT")
    late = [threading.Thread(target=ask, args=(proxy, "PUT", "/x", b"x")) for _ in range(2)]
    late[0].start()
    assert ask(proxy)[0] == 200  # two at a time
    late[1].start()
    while proxy.stats()["requests"] < 3:
        time.sleep(0.01)
    assert [ask(proxy)[0] for _ in range(5)] == [503] * 5  # which do not count themselves
    for thread in late:
        thread.join()
    connection = connect(proxy)
    assert [ask(proxy, connection=connection)[0] for _ in range(20)] == [200] * 20


def test_same_seed_same_faults(faultproxy, target):
    def run(seed):
        proxy = faultproxy(target.url, "answer,probability=0.3", seed=seed)
        return [ask(proxy, "HEAD")[0] for _ in range(60)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 5 < run(1).count(503) < 35


def test_signed_requests_stay_valid(faultproxy, ceph):
    proxy = faultproxy(ceph.url)
    client = ceph.client(endpoint_url=proxy.url)
    bucket = ceph.bucket()
    client.put_object(Bucket=bucket, Key="a b", Body=BODY)  # boto3 expects 100-continue
    assert client.get_object(Bucket=bucket, Key="a b")["Body"].read() == BODY


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--to"],
        ["--to", "nonsense"],
        ["--to", "http://127.0.0.1:1", "--rule", "explode"],
        ["--to", "http://127.0.0.1:1", "--rule", "delay,ms=soon"],
        ["--to", "http://127.0.0.1:1", "--rule", "delay,probability=2"],
        ["--to", "http://127.0.0.1:1", "--seed", "x"],
    ],
)
def test_refuses_what_makes_no_sense(args):
    done = subprocess.run([module.PROGRAM, *args], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and done.stderr.startswith("faultproxy: "), done
