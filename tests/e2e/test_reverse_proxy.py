# SPDX-License-Identifier: Apache-2.0
"""`egress serve` behind nginx and Caddy, as docs/operations.md shows them."""

import hashlib
import json
import re
import time

import pytest
from programs import ROOT
from reverse_proxy import NAME, Caddy, Nginx
from stores import directory  # noqa: F401  a fixture

TOKEN = "a-token-of-webhooks-0123"
PATH = f"/job-complete?token={TOKEN}"


@pytest.fixture
def daemon(egress, serve, sim, directory, tmp_path):  # noqa: F811
    """With two jobs at the Platform, and a token that webhooks have to bring."""
    secrets = tmp_path / "webhook-secrets"
    secrets.write_text(f"token {egress.secret(TOKEN)}\n")
    secrets.chmod(0o600)
    s = sim("--generate", 2, "--size", "70K", "--seed", 3)
    return serve(directory.to, "--webhook-secrets", secrets, "--rate-limit", 1, sim=s)


@pytest.fixture(params=[Nginx, Caddy])
def proxy(request, daemon, tmp_path_factory):
    one = request.param(daemon.address, tmp_path_factory.mktemp("proxy")).wait_ready()
    yield one
    one.stop()
    assert TOKEN not in one.told(), "the token is in the proxy's logs"


def webhook(job):
    return json.dumps({"id": job, "event": "job_complete", "msg": "done"})


def test_webhooks_over_https(daemon, proxy, directory):  # noqa: F811
    jobs = daemon.sim.ids()
    status, text = proxy.post(PATH, webhook(jobs[0]))
    assert (status, json.loads(text)) == (200, {"status": "queued", "job": jobs[0]})
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert proxy.post("/job-complete", webhook(jobs[1]), headers)[0] == 200
    assert proxy.post("/job-complete", webhook(jobs[0]))[0] == 401
    assert proxy.post(PATH, "{")[0] == 400
    daemon.wait_jobs(stored=2)
    stored = [hashlib.sha256(data).hexdigest() for data in directory.objects().values()]
    assert sorted(stored) == sorted(daemon.sim.digest(job) for job in jobs)
    daemon.terminate().ok()


def test_nothing_but_webhooks_passes(daemon, proxy):
    for method in ("GET", "POST"):
        for path in ("/", "/metrics", "/api/status", "/job-complete/x", "/other"):
            assert proxy.post(path, "", method=method)[0] == 404, path
    assert proxy.post(PATH, None, method="GET")[0] == 405
    daemon.terminate().ok()


def test_large_bodies_are_refused(daemon, proxy):
    """Of a size that a sender gets rid of before it reads the answer."""
    assert proxy.post(PATH, "x" * 70_000)[0] == 413
    assert proxy.post(PATH, "x" * 60_000)[0] == 400, "that one is egress's to judge"
    daemon.terminate().ok()


def test_slow_senders_are_dropped(daemon, proxy):
    """In the middle of the headers, and of the body."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: {NAME}\r\n"
    begun = (head, f'{head}Content-Length: 100\r\n\r\n{{"id":')
    senders = [proxy.connect() for _ in begun]
    started = time.monotonic()
    for sender, text in zip(senders, begun):
        sender.sendall(text.encode())
    assert proxy.post(PATH, webhook(daemon.sim.ids()[0]))[0] == 200, "others do not wait for them"
    for sender in senders:
        answer = b""
        while data := sender.recv(4096):
            answer += data
        assert not re.match(rb"HTTP/1.1 [23]", answer), answer
        sender.close()
    assert time.monotonic() - started < 30
    daemon.terminate().ok()


def test_a_daemon_that_is_down(daemon, proxy):
    daemon.terminate().ok()
    assert proxy.post(PATH, webhook("a-job"))[0] == 502


def test_who_a_client_is_does_not_come_from_a_header(daemon):
    """Loopback clients have no rate limit; were the header believed, these would meet theirs."""
    for _ in range(10):
        answer = daemon.webhook(
            daemon.sim.ids()[0], query=f"?token={TOKEN}",
            headers={"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
    daemon.terminate().ok()
    assert "203.0.113.7" not in daemon.run.text("stderr")


@pytest.mark.parametrize("name", ["examples/nginx.conf", "examples/Caddyfile"])
def test_the_document_shows_these_files(name):
    text = (ROOT / name).read_text().split("\n", 1)[1]  # without the line of its license
    assert f"```\n{text}```\n" in (ROOT / "docs" / "operations.md").read_text()
