# SPDX-License-Identifier: Apache-2.0
"""What takes webhooks, as raw clients see it: the HTTP server alone (build/tests/httpd-echo), or a
running `egress serve`.

    door = Echo(tmp_path, "--request-ms", 2000)
    with door.client() as c:
        c.send(webhook("a-job"))
        assert c.answer().status == 200
    door.finish()
"""

import json
import os
import resource
import signal
import socket
import time
from pathlib import Path

import programs

HTTPD_ECHO = os.environ.get("EGRESS_HTTPD_ECHO", str(programs.ROOT / "build/tests/httpd-echo"))
PATIENCE_S = 30


def allow_descriptors(wanted=16384):
    """For this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def webhook(job="a-job", path="/job-complete", headers=(), method="POST", body=None):
    """The bytes of a request."""
    if body is None:
        body = json.dumps({"id": job, "event": "job_complete", "msg": "m"}).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: door", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Answer:
    def __init__(self, head, body):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """One connection. What the server does not take any more is no error of the client's."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.came = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _receive(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.came += data
        return data

    def answer(self):
        """The next one, or None at the end of the stream."""
        while b"\r\n\r\n" not in self.came:
            if not self._receive():
                return None
        head, rest = self.came.split(b"\r\n\r\n", 1)
        answer = Answer(head, b"")
        length = int(answer.headers.get("content-length", 0))
        self.came = rest
        while len(self.came) < length:
            assert self._receive(), "the answer breaks off"
        answer.body, self.came = self.came[:length], self.came[length:]
        return answer

    def rest(self):
        """All that comes until the server closes."""
        while self._receive():
            pass
        return self.came

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self):
        self.socket.close()


class Door:
    """address, run (programs.Running), request_s: how long a request may take to arrive."""

    def client(self):
        return Client(self.address)

    def ask(self, request):
        """One request on a connection of its own."""
        with self.client() as c:
            c.send(request)
            return c.answer()

    def serves(self):
        """Whether it takes a webhook as it should."""
        answer = self.ask(webhook())
        return answer is not None and answer.status == 200

    def takes(self):
        """(descriptors, threads, resident MiB) of its process."""
        proc = Path(f"/proc/{self.run.pid}")
        status = dict(
            line.split(":\t", 1) for line in (proc / "status").read_text().splitlines()
        )
        memory = int(status["VmRSS"].split()[0]) / 1024
        return len(os.listdir(proc / "fd")), int(status["Threads"]), memory

    def settle(self, descriptors, threads):
        """Waits until it takes no more than that any more."""
        deadline = time.monotonic() + PATIENCE_S
        while (now := self.takes())[0] > descriptors or now[1] > threads:
            assert time.monotonic() < deadline, f"{now}; before: {descriptors}, {threads}"
            time.sleep(0.05)
        return now


class Echo(Door):
    request_s = 2

    def __init__(self, home, *flags):
        command = [HTTPD_ECHO, "--request-ms", self.request_s * 1000, *flags]
        self.run = programs.Running(command, programs.clean_env(home))
        found = self.run.wait_for(r"listening at (\S+):(\d+)", stream="stdout")
        self.address = (found.group(1), int(found.group(2)))

    def finish(self):
        assert self.run.process.poll() is None, f"it is gone: {self.run.result()}"
        self.run.send_signal(signal.SIGTERM)
        result = self.run.wait(20).ok()
        programs.assert_no_sanitizer_report("httpd-echo", result.stdout + result.stderr)


class Serve(Door):
    request_s = 10

    def __init__(self, daemon):
        self.daemon = daemon
        self.run = daemon.run
        host, port = daemon.address.rsplit(":", 1)
        self.address = (host, int(port))
        daemon.command("pause").ok()  # the jobs are nobody's

    def finish(self):
        assert self.run.process.poll() is None, f"it is gone: {self.run.result()}"
        self.daemon.terminate().ok()
