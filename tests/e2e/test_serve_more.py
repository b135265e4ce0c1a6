# SPDX-License-Identifier: Apache-2.0
"""`egress serve` at its edges: while it drains, when its journal takes nothing or is taken away, who
may ask at the admin address. What takes longer is in test_serve_long.py."""

import json
import os
import re
import signal
import socket
import sqlite3

from stores import directory  # noqa: F401  fixtures
from test_serve import assert_stored, wait_until


def test_it_tells_how_it_is_while_it_drains(serve, sim, directory):  # noqa: F811
    s = sim("--generate", 1, "--size", "40M", "--set", "body_rate=2M")
    d = serve(directory.to, "--drain-timeout", "60s", sim=s)
    (job,) = s.ids()
    assert d.webhook(job).ok
    wait_until(lambda: any(r["received"] > 0 for r in d.status()["running"]))
    d.run.send_signal(signal.SIGTERM)
    wait_until(lambda: d.status()["draining"])
    assert d.status()["running"][0]["id"] == job
    metrics = d.api("GET", "/metrics")
    assert metrics.status_code == 200 and "\negress_draining 1\n" in metrics.text
    assert d.api("GET", "/healthz").status_code == 200
    assert d.api("GET", "/readyz").status_code == 503
    assert "; ENDING" in d.command("status").ok().stdout
    unchanged = d.command("retry", job).ok().stdout
    assert unchanged.startswith("0 to be tried again, 1 unchanged (ready, running or stored)")
    assert d.api("POST", "/api/sync").json() == {"started": False}
    d.command("pause").ok()
    d.run.send_signal(signal.SIGTERM)  # once more: at once
    assert d.run.wait(10).returncode == 128 + signal.SIGTERM
    d.start()
    assert d.status()["paused"]
    d.command("resume").ok()
    wait_until(lambda: d.status()["running"])
    d.kill()


def test_ready_again_without_being_asked(serve, sim, directory):  # noqa: F811
    """Whoever looks at /readyz before he sends would never find out by sending."""
    s = sim("--generate", 2, "--size", "1K")
    d = serve(directory.to, "--queue-max", 1, sim=s)
    one, two = s.ids()
    d.command("pause").ok()
    assert d.api("GET", "/readyz").status_code == 200
    assert d.webhook(one).ok
    full = d.webhook(two)
    assert full.status_code == 503 and full.headers["Retry-After"]
    assert d.api("GET", "/readyz").status_code == 503
    d.command("resume").ok()
    wait_until(lambda: d.api("GET", "/readyz").status_code == 200)
    assert d.webhook(two).ok
    d.wait_jobs(stored=2)
    d.terminate().ok()


def test_a_journal_that_is_taken_away(serve, sim, directory):  # noqa: F811
    s = sim("--generate", 2, "--size", "1K")
    d = serve(directory.to, sim=s)
    one, two = s.ids()
    assert d.webhook(one).ok
    d.wait_jobs(stored=1)
    for suffix in ("", "-wal", "-shm"):
        (d.journal.parent / (d.journal.name + suffix)).unlink()
    wait_until(lambda: d.api("GET", "/readyz").status_code == 503)  # before anybody sends
    assert d.webhook(two).status_code == 503  # a 200 would be gone with the process
    r = d.run.wait(20)
    assert r.returncode == 3 and "removed or replaced while in use" in r.stderr, r
    d.start()
    assert d.webhook(two).ok
    d.wait_jobs(stored=1)
    d.terminate().ok()
    assert_stored(directory, s, [one, two])


def test_a_path_too_long_for_a_socket(egress, sim, directory, tmp_path):  # noqa: F811
    s = sim()
    long = tmp_path / ("a path with spaces " + "x" * 100)
    long.mkdir()
    for command in (["serve", "--to", directory.to, "--listen", "127.0.0.1:0"], ["status"]):
        r = egress(*command, "--journal", long / "j", sim=s)
        assert r.returncode == 2 and "give a shorter path" in r.stderr, r
        assert "--journal" in r.stderr
    assert list(long.iterdir()) == []


def test_running_jobs_of_an_older_version(serve, sim, directory):  # noqa: F811
    s = sim("--generate", 6, "--size", "1K")
    d = serve(directory.to, sim=s)
    d.command("pause").ok()
    for job in s.ids():
        assert d.webhook(job).ok
    d.terminate().ok()
    with sqlite3.connect(d.journal) as db:  # as version 1 had it when it was killed
        db.execute("DROP TABLE history")
        db.execute("DELETE FROM meta")
        db.execute("UPDATE jobs SET state = 2, claimed_ms = 5 WHERE seq <= 4")
        db.execute("PRAGMA user_version = 1")
    db.close()
    d.start()
    d.wait_jobs(stored=6)
    messages = [line["msg"] for line in d.log()]
    assert any("upgraded from version 1 to 2" in m for m in messages), messages
    assert any("4 jobs were under way" in m for m in messages), messages
    d.terminate().ok()
    assert_stored(directory, s, s.ids())


def test_a_token_in_a_fifo(egress, sim, directory, tmp_path):  # noqa: F811
    """It would hang, at the start or at a SIGHUP."""
    s = sim()
    fifo = tmp_path / "token"
    os.mkfifo(fifo)
    for flag in ("--admin-token-file", "--webhook-secrets"):
        r = egress("serve", "--to", directory.to, "--journal", "j", flag, fifo, sim=s)
        assert r.returncode == 3 and flag in r.stderr and "not a regular file" in r.stderr, r


# ---- the admin address ----


def ask(address, lines):
    """The status of a request that is sent as it stands."""
    with socket.create_connection(address, timeout=20) as c:
        c.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(re.match(rb"HTTP/1\.[01] (\d+)", c.recv(4096)).group(1))


def test_hosts_and_origins(serve, sim, directory):  # noqa: F811
    d = serve(directory.to, sim=sim())
    host, port = re.fullmatch(r"http://([\d.]+):(\d+)", d.admin).groups()
    address = (host, int(port))

    def get(*names):
        return ask(address, ["GET /api/status HTTP/1.1", *[f"Host: {name}" for name in names]])

    def post(*headers):
        return ask(address, ["POST /api/pause HTTP/1.1", f"Host: localhost:{port}",
                             "Content-Length: 0", *headers])  # fmt: skip

    for name in ("localhost", f"localhost:{port}", "LOCALHOST:1", f"127.0.0.1:{port}",
                 "127.0.0.1", "[::1]", f"[::1]:{port}"):  # fmt: skip
        assert get(name) == 200, name
    for name in ("evil.example", f"evil.example:{port}", "localhost.evil.example",
                 "localhost:80.evil.example:1", "127.0.0.1.evil.example", "127.0.0.2", "[::2]",
                 "::1", "[localhost]", "0.0.0.0", "", ":", f":{port}", "xlocalhost",
                 "localhost\t.evil"):  # fmt: skip
        assert get(name) == 421, name
    assert get() == 400 and get("localhost", "evil.example") == 400
    assert ask(address, ["GET /api/status HTTP/1.0"]) == 421  # which may leave Host out
    assert ask(address, ["GET /metrics HTTP/1.1", "Host: evil.example"]) == 421
    assert ask(address, ["GET / HTTP/1.1", "Host: evil.example"]) == 421

    ours = "x-egress-request: 1"
    assert post() == 403
    assert post(ours) == 200
    assert post(ours, f"Origin: http://localhost:{port}") == 200
    for origin in ("http://evil.example", "http://localhost", f"http://127.0.0.1:{port}", "null",
                   "", f"localhost:{port}", f"http://localhost:{port}.evil.example",
                   f"http://localhost:{port}/"):  # fmt: skip
        assert post(ours, f"Origin: {origin}") == 403, origin
    assert ask(address, ["GET /api/pause HTTP/1.1", "Host: localhost", ours]) == 405
    # What a page from elsewhere asks before it sends a header of ours: nobody says yes.
    assert ask(address, ["OPTIONS /api/pause HTTP/1.1", "Host: localhost",
                         "Origin: http://evil.example",
                         "Access-Control-Request-Headers: x-egress-request"]) == 405  # fmt: skip
    d.terminate().ok()


ROUTES = ["GET /metrics", "GET /readyz", "GET /api/status", "GET /api/jobs", "GET /api/jobs/a",
          "POST /api/retry", "POST /api/pause", "POST /api/resume", "POST /api/sync"]  # fmt: skip


def test_every_route_asks_for_the_token(serve, sim, directory, tmp_path, egress):  # noqa: F811
    token = egress.secret("an-admin-token-of-some-length")
    file = tmp_path / "admin-token"
    file.write_text(token + "\n")
    d = serve(directory.to, "--admin-token-file", file, sim=sim())
    for route in ROUTES:
        method, path = route.split()
        data = json.dumps({"dead": True}) if "retry" in path else None
        for headers in ({}, {"Authorization": "Bearer another-token-of-some-length"},
                        {"Authorization": f"Basic {token}"}, {"x-egress-token": token}):  # fmt: skip
            answer = d.api(method, path, headers=headers, data=data)
            assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        # Not in the URL: those end up in logs.
        assert d.api(method, f"{path}?token={token}", data=data).status_code == 401, route
        right = {"Authorization": f"Bearer {token}"}
        answer = d.api(method, path, headers=right, data=data)
        assert answer.status_code == (404 if path.endswith("/a") else 200), route
    d.terminate().ok()
