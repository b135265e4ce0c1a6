# SPDX-License-Identifier: Apache-2.0
"""A Platform behind TLS that says more, or less, than its answer: what TLS has taken in already is on
no socket, and is nobody's answer all the same."""

import hashlib
import http.client
import socket
import ssl
import subprocess
import threading
import time

import pytest

SIZE = 900_001
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nevil"


class Front:
    """Terminates TLS before the simulator. `act(front, sock, path, answer)` sends what it likes;
    True: the connection goes on."""

    def __init__(self, s, files, act):
        self.sim, self.act, self.asked, self.connections = s, act, [], 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*files)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            with self.context.wrap_socket(client, server_side=True) as sock:
                self.connections += 1
                while self._answer(sock):
                    pass
        except OSError:
            pass

    def _answer(self, sock):
        head = b""
        while b"\r\n\r\n" not in head:
            if not (chunk := sock.recv(65536)):
                return False
            head += chunk
        head, body = head.split(b"\r\n\r\n", 1)
        line, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        while len(body) < int(headers.get("Content-Length", 0)):
            body += sock.recv(65536)
        method, path, _ = line.split(" ")
        self.asked.append(path)
        behind = http.client.HTTPConnection("127.0.0.1", self.sim.port, timeout=30)
        behind.request(method, path, body or None, {**headers, "Connection": "close"})
        answer = behind.getresponse()
        kept = ("Content-Type", "ETag", "Location")
        told = [f"{name}: {answer.headers[name]}\r\n" for name in kept if name in answer.headers]
        status = f"HTTP/1.1 {answer.status} {answer.reason}\r\n"
        return self.act(self, sock, path, ("".join([status, *told]).encode(), answer.read()))

    def stop(self):
        self.listener.close()


def whole(answer):
    head, body = answer
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.fixture
def fetch(egress, sim, tmp_path):
    """Runs egress fetch of all jobs, one after the other, through a front that acts so."""
    files = [tmp_path / "certificate.pem", tmp_path / "key.pem"]
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    command = [*command.split(), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    fronts = []

    def run(act, *options, jobs=3):
        s = sim("--generate", jobs, "--size", SIZE)
        fronts.append(Front(s, files, act))
        env = {"VOXEL51_API_BASE_URL": fronts[-1].url, "VOXEL51_API_PRIVATE_KEY": s.token}
        result = egress("fetch", "--to", tmp_path / "out", "--concurrency", 1, "--ca-bundle",
                        files[0], *options, *s.ids(), env=env)  # fmt: skip
        return result, s, fronts[-1]

    yield run
    for front in fronts:
        front.stop()


def assert_stored(s, directory, ids):
    for job in ids:
        (found,) = [p for p in (directory / job).rglob("*") if p.is_file()]
        assert s.digest(job) == hashlib.sha256(found.read_bytes()).hexdigest()


def test_honest(fetch, tmp_path):
    def act(front, sock, path, answer):
        sock.sendall(whole(answer))
        return True

    result, s, front = fetch(act)
    result.ok()
    assert_stored(s, tmp_path / "out", s.ids())
    assert front.connections <= 2 < len(front.asked)  # details are asked for ahead


def test_more_than_the_answer(fetch, tmp_path):
    """The end of the body and another answer come in one record, of which the body is received where
    it belongs: the rest stays in TLS."""

    def act(front, sock, path, answer):
        text = whole(answer)
        if path.endswith("/output"):
            sock.sendall(text[:-1000])
            time.sleep(0.2)
            sock.sendall(text[-1000:] + EVIL)
        else:
            sock.sendall(text + EVIL)
        return True

    result, s, front = fetch(act)
    result.ok()
    assert_stored(s, tmp_path / "out", s.ids())
    assert front.connections == len(front.asked)


def test_end_within_the_head(fetch, tmp_path):
    """TLS has ended, the connection has not: who is next does not wait on it."""
    ended = []

    def act(front, sock, path, answer):
        if path.endswith("/output") and not ended:
            ended.append(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n")
            sock.setblocking(False)
            try:
                sock.unwrap()
            except OSError:
                pass  # it waits for the other side's word, which has not to come
            time.sleep(20)
            return False
        sock.sendall(whole(answer))
        return True

    begun = time.monotonic()
    result, s, _ = fetch(act, "--read-timeout", "10s")
    result.ok()
    assert_stored(s, tmp_path / "out", s.ids())
    assert time.monotonic() - begun < 8


def test_long_winded_redirect(fetch, tmp_path):
    """A body that goes on for many turns, of an answer that then leads elsewhere."""

    def act(front, sock, path, answer):
        if path.endswith("/output"):
            chunk = b"1;" + b"x" * 16_000 + b"\r\ny\r\n"
            head = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
            try:
                sock.sendall(head % f"{path}?again".encode() + 200 * chunk + b"0\r\n\r\n")
            except OSError:
                return False
        else:
            sock.sendall(whole(answer))
        return True

    for _ in range(5):
        result, s, _ = fetch(act, jobs=1)
        result.ok()
        assert_stored(s, tmp_path / "out", s.ids())
