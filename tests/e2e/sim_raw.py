# SPDX-License-Identifier: Apache-2.0
"""Talks to the simulator through plain sockets, so that no HTTP library tidies anything up."""

import hashlib
import re
import socket
import time
import urllib.parse

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


def threads(s):
    with open(f"/proc/{s.run.pid}/status") as f:
        return int(re.search(r"Threads:\s+(\d+)", f.read()).group(1))


def wait_until_idle(s):
    """No thread is left of a connection whose client has gone."""
    deadline = time.monotonic() + 20
    while (n := threads(s)) > s.idle_threads:
        assert time.monotonic() < deadline, f"{n} threads, {s.idle_threads} at first"
        time.sleep(0.05)
