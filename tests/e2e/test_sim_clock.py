# SPDX-License-Identifier: Apache-2.0
"""The simulator's clock, its webhooks and its command line."""

import http.server
import json
import subprocess
import threading
import time

import pytest

import programs

ORDER = ["READY", "QUEUED", "SCHEDULED", "RUNNING", "COMPLETE"]


def switches(**values):
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


QUICK = switches(ready_ms=50, queued_ms=50, scheduled_ms=50, running_ms=50)


@pytest.fixture
def receiver():
    """A web server that keeps what is posted to it; .statuses are answered in turn, then 200."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with server.lock:
                server.posted.append((self.path, self.headers["Content-Type"], json.loads(body)))
                status = server.statuses.pop(0) if server.statuses else 200
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    server.posted, server.statuses, server.lock = [], [], threading.Lock()
    server.url = f"http://127.0.0.1:{server.server_port}/hook?key=1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def wait_until(condition, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_states_come_in_order(sim):
    steps = switches(ready_ms=300, queued_ms=300, scheduled_ms=300, running_ms=300)
    s = sim("--generate", "1", "--state", "READY", "--size", "9", *steps)
    job = s.ids()[0]
    seen = []
    while not seen or seen[-1] != "COMPLETE":
        details = s.details(job)
        if not seen or seen[-1] != details["state"]:
            seen.append(details["state"])
        if details["state"] != "COMPLETE":
            assert s.get(f"/jobs/{job}/output").status_code in (200, 400)
            assert details["completion_date"] is None
    assert seen == [state for state in ORDER if state in seen] and len(seen) > 2
    assert details["start_date"] < details["completion_date"]
    assert len(s.get(f"/jobs/{job}/output").content) == 9


@pytest.mark.parametrize("state", ["QUEUED", "SCHEDULED", "RUNNING", "FAILING"])
def test_kinds_run_on(sim, state):
    s = sim("--generate", f"1:{state}", *QUICK)
    s.wait_state(s.ids()[0], "FAILED" if state == "FAILING" else "COMPLETE")


def test_the_clock_can_stand(sim):
    s = sim("--generate", "1:QUEUED", "--generate", "1:READY", "--set", "clock=stop", *QUICK)
    queued, ready = s.ids()
    assert s.request("PUT", f"/jobs/{ready}/start").ok
    time.sleep(0.4)
    assert s.details(queued)["state"] == s.details(ready)["state"] == "QUEUED"


def test_outputs_expire(sim):
    s = sim("--generate", "1", "--size", "1", "--set", "job_ttl=1s")
    job = s.ids()[0]
    wait_until(lambda: s.details(job)["expired"])
    assert s.get(f"/jobs/{job}/output").status_code == 404
    assert s.details(job)["state"] == "COMPLETE"


def test_the_analytic_sets_the_state(sim):
    s = sim("--generate", "1:STUCK")
    job = s.ids()[0]
    no_reason = {"state": "FAILED"}
    for body in ({}, {"state": "DONE"}, no_reason, {**no_reason, "failure_type": 1}):
        assert s.request("PUT", f"/jobs/{job}/state", json=body).status_code == 400
    answer = s.request(
        "PUT", f"/jobs/{job}/state", json={"state": "FAILED", "failure_type": "PLATFORM"}
    )
    assert answer.json() == {"state": "FAILED"}
    assert s.details(job)["failure_type"] == "PLATFORM"


def test_webhooks_are_posted(sim, receiver):
    s = sim("--generate", "20:READY", "--generate", "5", "--generate", "3:FAILING",
            "--webhook", receiver.url, *QUICK)  # fmt: skip
    wait_until(lambda: len(receiver.posted) >= 20)
    ready = {job["id"] for job in s.jobs()[:20]}
    assert all(s.details(job)["state"] == "COMPLETE" for job in ready)
    wait_until(lambda: s.stats()["webhooks_sent"] >= 20)
    assert s.stats()["webhooks_failed"] == 0
    assert len(receiver.posted) == 20
    for path, content_type, event in receiver.posted:
        assert (path, content_type) == ("/hook?key=1", "application/json")
        assert set(event) == {"id", "event", "msg"}
        assert event["event"] == "job_complete" and event["msg"]
    assert {event["id"] for _, _, event in receiver.posted} == ready


def test_webhooks_of_started_uploaded_and_set_jobs(sim, receiver):
    s = sim("--generate", "1:READY", "--generate", "1:STUCK", "--set", "auto_start=no",
            "--webhook", receiver.url, *QUICK)  # fmt: skip
    ready, stuck = s.ids()
    assert s.request("PUT", f"/jobs/{ready}/start").ok
    assert s.request("PUT", f"/jobs/{stuck}/state", json={"state": "COMPLETE"}).ok
    files = {"file": "{}", "job_name": (None, "n"), "auto_start": (None, "True")}
    uploaded = s.request("POST", "/jobs", files=files).json()["job"]["id"]
    wait_until(lambda: len(receiver.posted) >= 3)
    assert {event["id"] for _, _, event in receiver.posted} == {ready, stuck, uploaded}


def test_webhooks_again(sim, receiver):
    receiver.statuses = [500, 500]
    s = sim("--generate", "1:READY", "--webhook", receiver.url,
            *switches(webhook_retries=2, webhook_retry_ms=50), *QUICK)  # fmt: skip
    wait_until(lambda: s.stats()["webhooks_sent"] == 1)
    assert s.stats()["webhooks_failed"] == 2 and len(receiver.posted) == 3


def test_webhooks_twice_and_late(sim, receiver):
    s = sim("--generate", "2:READY", "--webhook", receiver.url,
            *switches(webhook_copies=2, webhook_delay_ms=100, webhook_jitter_ms=50,
                      webhook_event="job_done"), *QUICK)  # fmt: skip
    wait_until(lambda: len(receiver.posted) == 4)
    ids = sorted(event["id"] for _, _, event in receiver.posted)
    assert ids == sorted(s.ids() * 2)
    assert {event["event"] for _, _, event in receiver.posted} == {"job_done"}


def test_nobody_listens(sim):
    s = sim("--generate", "2:READY", "--webhook", "http://127.0.0.1:1/x", *QUICK)
    wait_until(lambda: s.stats()["webhooks_failed"] == 2)
    assert s.stop().returncode == 0


def test_webhooks_as_files(sim, tmp_path):
    s = sim("--generate", "3:READY", "--webhook-dir", tmp_path, *QUICK)
    wait_until(lambda: s.stats()["webhooks_sent"] == 3)
    assert {p.name for p in tmp_path.iterdir()} == {f"{job}.json" for job in s.ids()}
    for job in s.ids():
        event = json.loads((tmp_path / f"{job}.json").read_text())
        assert event["id"] == job and event["event"] == "job_complete"


def test_ends_with_a_webhook_under_way(sim):
    with http.server.HTTPServer(("127.0.0.1", 0), None) as silent:
        url = f"http://127.0.0.1:{silent.server_port}/"
        s = sim("--generate", "5:READY", "--webhook", url, *QUICK)
        for job in s.ids():
            s.wait_state(job, "COMPLETE")
        began = time.monotonic()
        assert s.stop().returncode == 0
        assert time.monotonic() - began < 10


# ---- the command line --------------------------------------------------------------------------


def run(*args):
    return subprocess.run(
        [programs.SIM, *args], capture_output=True, text=True, timeout=30, check=False
    )


def test_help_names_every_switch():
    done = run("--help")
    assert done.returncode == 0 and done.stderr == ""
    for name in ("--webhook-dir", "body_cut=off", "status_expired=404", "NO_OUTPUT", "x_goog_hash"):
        assert name in done.stdout


@pytest.mark.parametrize(
    "args, told",
    [
        (["--set", "colour=red"], "colour"),
        (["--set", "gzip"], "NAME=VALUE"),
        (["--set", "gzip=perhaps"], "off|accept|always"),
        (["--set", "status_expired=99"], "200..599"),
        (["--set", "body_cut=lots"], "body_cut"),
        (["--set", "latency_ms=-1"], "latency_ms"),
        (["--set", "content_type=a\r\nb: c"], "content_type"),
        (["--generate", "x"], "--generate"),
        (["--generate", "1:DONE"], "--generate"),
        (["--generate", "1000001"], "--generate"),
        (["--generate", "600000", "--generate", "600000"], "--generate"),
        (["--size", "-1"], "--size"),
        (["--size", "2..1"], "--size"),
        (["--state", "DONE"], "--state"),
        (["--seed", "x"], "--seed"),
        (["--listen", "nowhere"], "--listen"),
        (["--listen", "example.org:1"], "--listen"),
        (["--listen", "127.0.0.1:99999"], "--listen"),
        (["--token", ""], "--token"),
        (["--token", "a b"], "--token"),
        (["--colour", "red"], "--colour"),
        (["--size"], "--size"),
        (["jobs"], "jobs"),
        (["--jobs", "/nowhere"], "/nowhere"),
        (["--webhook-dir", "/nowhere"], "/nowhere"),
    ],
)
def test_wrong_options(args, told):
    done = run(*args)
    assert done.returncode != 0 and done.stdout == ""
    assert told in done.stderr and done.stderr.count("\n") == 1


def test_jobs_folder_that_is_wrong(tmp_path):
    (tmp_path / "not an id").mkdir()
    assert "not an id" in run("--jobs", tmp_path).stderr
    (tmp_path / "not an id").rmdir()
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "a").touch()
    (tmp_path / "job" / "b").touch()
    assert "more than one file" in run("--jobs", tmp_path).stderr


def test_a_port_that_is_taken(sim):
    done = run("--listen", f"127.0.0.1:{sim().port}")
    assert done.returncode != 0 and "cannot listen" in done.stderr


def test_the_ready_line_and_the_end(sim):
    tokens = {sim().token for _ in range(2)}
    assert len(tokens) == 2 and all(len(token) == 64 for token in tokens)
    s = sim("--token", "mine")
    result = s.stop()
    assert json.loads(result.stdout) == {"listening": s.url, "token": "mine"}
    assert result.returncode == 0 and result.stderr == ""
