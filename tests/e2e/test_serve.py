# SPDX-License-Identifier: Apache-2.0
"""`egress serve`: webhooks in, outputs stored, and the commands that speak with it."""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import time

import pytest
from stores import bucket, directory, store  # noqa: F401  fixtures

SECRET = "a-token-of-twenty-four-b"


def digests(place):
    return {
        key.split("/")[0]: hashlib.sha256(data).hexdigest()
        for key, data in place.objects().items()
    }


def assert_stored(place, s, jobs):
    assert digests(place) == {job: s.digest(job) for job in jobs}


# ---- the main way ----


def test_webhooks_become_objects(serve, sim, store):  # noqa: F811
    s = sim("--generate", 30, "--size", "1K..9M", "--seed", 5)
    d = serve(store.to, sim=s, s3=store.s3)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(d.webhook, s.ids()))
    assert [a.status_code for a in answers] == [200] * 30
    assert answers[0].json() == {"status": "queued", "job": s.ids()[0]}
    d.wait_jobs(stored=30, ready=0, running=0, waiting=0)
    again = d.webhook(s.ids()[0])
    assert again.status_code == 200 and again.json()["status"] == "already stored"
    d.terminate().ok()
    assert_stored(store, s, s.ids())
    assert sorted(store.receipts()) == sorted(s.ids())
    store.assert_nothing_open()


def test_the_simulators_own_webhooks(serve, sim, directory, tmp_path):  # noqa: F811
    port = free_port()
    s = sim("--generate", "12:READY", "--size", "40K", "--set", "running_ms=300",
            "--set", "webhook_copies=2", "--set", "webhook_retries=20",
            "--set", "webhook_retry_ms=100", "--webhook",
            f"http://127.0.0.1:{port}/job-complete")  # fmt: skip
    d = serve(directory.to, "--listen", f"127.0.0.1:{port}", sim=s)
    d.wait_jobs(stored=12)
    d.terminate().ok()
    assert_stored(directory, s, s.ids())


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_answers_as_invoke(serve, sim, directory):  # noqa: F811
    s = sim()
    d = serve(directory.to, sim=s)
    job = '{"id":"a-job","event":"job_complete","msg":""}'
    assert d.webhook(data="").status_code == 400
    assert d.webhook(data="{").status_code == 400
    assert d.webhook(data='{"id":"../x","event":"job_complete"}').status_code == 400
    assert d.webhook(data='{"id":"x","event":"job_failed"}').status_code == 400
    assert d.webhook(data=job + " " * 70000).status_code == 413
    got = d.webhook(data=None, job="x", method="GET")
    assert got.status_code == 405 and got.headers["Allow"] == "POST"
    assert d.session.post(f"http://{d.address}/other", data=job).status_code == 404
    answer = d.webhook(data='{"id":"x"}').json()
    assert answer["status"] == "rejected" and '"event"' in answer["message"]
    assert d.status()["jobs"]["ready"] == 0
    d.terminate().ok()


# ---- what becomes of jobs ----


def test_jobs_that_will_never_be_stored(serve, sim, directory):  # noqa: F811
    kinds = {"FAILED": "failed", "EXPIRED": "expired", "NO_OUTPUT": "no_output"}
    s = sim(*[arg for kind in kinds for arg in ("--generate", f"1:{kind}")])
    d = serve(directory.to, sim=s)
    for job in s.ids():
        d.webhook(job)
    d.wait_jobs(failed=3)
    rows = [d.job(job) for job in s.ids()]
    assert sorted(row["job"]["error"]["name"] for row in rows) == sorted(kinds.values())
    assert rows[0]["history"][-1]["what"] == "failed"
    d.terminate().ok()
    directory.assert_empty()


def test_earliest_expiry_first(serve, sim, directory):  # noqa: F811
    s = sim("--generate", 40, "--size", "2K", "--set", "latency_ms=5")
    jobs = s.ids()
    soon = jobs[30:35]
    for job in soon:
        s.request("PUT", f"/jobs/{job}/ttl", data={"days": "-1"}).raise_for_status()
    d = serve(directory.to, "--concurrency", 1, sim=s)
    d.command("pause").ok()
    for job in jobs:
        d.webhook(job)
    d.wait_jobs(ready=40)
    wait_until(lambda: all(d.job(job)["job"]["expires"] for job in jobs))
    d.command("resume").ok()
    d.wait_jobs(stored=40)
    r = d.terminate().ok()
    order = [json.loads(line)["job"] for line in r.stderr.splitlines() if '"outcome":"stored"' in line]
    assert set(order[:5]) == set(soon), [jobs.index(job) for job in order]


def wait_until(true, timeout=30):
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_failing_job_does_not_hold_up_others(serve, sim, directory):  # noqa: F811
    s = sim("--generate", "20", "--generate", "3:STUCK", "--size", "3K")
    jobs = s.ids()
    d = serve(directory.to, "--concurrency", 2, sim=s)
    for job in jobs:
        d.webhook(job)
    d.wait_jobs(stored=20, waiting=3)
    stuck = [job for job in jobs if d.job(job)["job"]["state"] == "waiting"]
    row = d.job(stuck[0])["job"]
    assert row["attempts"] >= 1 and row["error"]["name"] == "pending" and row["next_try"]
    d.terminate().ok()


def test_dead_jobs_are_kept_and_retried(serve, sim, directory):  # noqa: F811
    s = sim("--generate", "2:STUCK", "--size", "3K")
    d = serve(directory.to, "--max-attempts", 1, sim=s)
    for job in s.ids():
        d.webhook(job)
    d.wait_jobs(dead=2)
    for job in s.ids():
        s.request("PUT", f"/jobs/{job}/state", json={"state": "COMPLETE"}).raise_for_status()
    r = d.command("retry", "--dead").ok()
    assert r.stdout.startswith("2 to be tried again")
    d.wait_jobs(stored=2, dead=0)
    d.terminate().ok()
    assert_stored(directory, s, s.ids())


def test_sync_finds_what_no_webhook_told(serve, sim, directory):  # noqa: F811
    s = sim("--generate", 25, "--size", "3K")
    d = serve(directory.to, "--sync-every", "1s", sim=s)
    d.wait_jobs(stored=25)
    wait_until(lambda: d.status()["sync"]["repaired"] == 25)
    d.terminate().ok()
    assert_stored(directory, s, s.ids())


# ---- operating it ----


def test_status_and_its_kin(serve, sim, directory, egress):  # noqa: F811
    s = sim("--generate", 3, "--size", "3K")
    d = serve(directory.to, sim=s)
    for job in s.ids():
        d.webhook(job)
    d.wait_jobs(stored=3)
    text = d.command("status").ok().stdout
    assert "3 stored, 0 failed, 0 given up" in text and "3 accepted (0 of them known)" in text
    assert d.command("status", "--json").ok().json["jobs"]["stored"] == 3
    one = d.command("status", s.ids()[0]).ok().stdout
    assert "state      stored" in one and str(directory.root) in one
    assert d.command("status", "no-such-job").returncode == 4
    assert d.command("retry", "no-such-job").returncode == 4
    d.command("pause").ok()
    assert "PAUSED" in d.command("status").ok().stdout
    d.kill()
    d.start()  # remembers it
    assert d.status()["paused"] is True
    d.command("resume").ok()
    assert d.status()["paused"] is False
    mode = os.stat(f"{d.journal}.sock").st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(os.stat(d.journal).st_mode) == 0o600
    d.terminate().ok()
    gone = d.command("status")
    assert gone.returncode == 3 and "no daemon is running" in gone.stderr


def test_drain_leaves_what_takes_too_long(serve, sim, bucket):  # noqa: F811
    s = sim("--generate", 1, "--size", "64M", "--set", "body_rate=8M")
    d = serve(bucket.to, "--drain-timeout", "4s", sim=s, s3=bucket.s3)
    (job,) = s.ids()
    d.webhook(job)
    wait_until(lambda: any(r["received"] > 20 << 20 for r in d.status()["running"]))
    began = time.monotonic()
    d.terminate().ok()
    assert time.monotonic() - began < 10
    d.start()
    d.wait_jobs(stored=1)
    history = [entry["what"] for entry in d.job(job)["history"]]
    assert "released" in history and history[-1] == "stored"
    r = d.terminate().ok()
    line = [json.loads(x) for x in r.stderr.splitlines() if '"outcome":"stored"' in x][0]
    assert line["resumed_bytes"] > 0  # it went on from the parts that were stored
    assert_stored(bucket, s, [job])
    bucket.assert_nothing_open()


def test_a_second_daemon_is_refused(serve, sim, directory, egress):  # noqa: F811
    s = sim()
    d = serve(directory.to, sim=s)
    r = egress("serve", *d.flags, sim=s)
    assert r.returncode == 3 and "another process" in r.stderr, r
    d.terminate().ok()


def test_a_port_that_is_taken(serve, sim, directory, egress):  # noqa: F811
    s = sim()
    d = serve(directory.to, sim=s)
    r = egress("serve", "--to", directory.to, "--journal", "other.journal", "--listen", d.address,
               "--admin", "off", sim=s)  # fmt: skip
    assert r.returncode in (1, 3) and d.address in r.stderr, r
    d.terminate().ok()


# ---- locks ----


def test_webhook_secrets_and_their_renewal(serve, sim, directory, tmp_path, egress):  # noqa: F811
    s = sim("--generate", 3, "--size", "1K")
    a, b, c = s.ids()
    file = tmp_path / "secrets"
    file.write_text(f"token {egress.secret(SECRET)}\n")
    file.chmod(0o600)
    d = serve(directory.to, "--webhook-secrets", file, sim=s)
    assert d.webhook(a).status_code == 401
    assert d.webhook(a, query="?token=wrong").status_code == 401
    assert d.webhook(a, query=f"?token={SECRET}").status_code == 200
    assert d.webhook(b, headers={"x-egress-token": SECRET}).status_code == 200
    new = egress.secret("b-token-of-twenty-four-c")
    file.write_text(f"token {new}\n")
    d.run.send_signal(signal.SIGHUP)
    d.run.wait_for("read anew")
    assert d.webhook(c, query=f"?token={SECRET}").status_code == 401
    assert d.webhook(c, query=f"?token={new}").status_code == 200
    file.write_text("tokken x\n")
    d.run.send_signal(signal.SIGHUP)
    d.run.wait_for("the old ones go on")
    assert d.webhook(c, query=f"?token={new}").status_code == 200
    d.wait_jobs(stored=3)
    assert d.status()["webhooks"]["unauthorized"] == 3
    d.terminate().ok()


def test_signed_webhooks(serve, sim, directory, tmp_path, egress):  # noqa: F811
    """Two keys of a kind, of which any may have signed; the signature is over the bytes as they came."""
    s = sim("--generate", 3, "--size", "1K")
    keys = [base64.b64encode(bytes([n]) * 24).decode() for n in (1, 2)]
    hub = egress.secret("It's no secret to anybody")
    file = tmp_path / "secrets"
    lines = [f"standard-webhooks whsec_{egress.secret(key)}" for key in keys]
    file.write_text("\n".join([*lines, f"hub-sha256 {hub}", ""]))
    file.chmod(0o600)
    d = serve(directory.to, "--webhook-secrets", file, sim=s)

    def signed(job, key, ago=0, body=None):
        sent = json.dumps({"id": job, "event": "job_complete"})
        stamp = str(int(time.time()) - ago)
        text = f"msg_1.{stamp}.{body or sent}".encode()
        mac = hmac.new(base64.b64decode(key), text, hashlib.sha256).digest()
        signature = f"v1,AAAA v1,{base64.b64encode(mac).decode()}"
        return d.webhook(data=sent, headers={"webhook-id": "msg_1", "webhook-timestamp": stamp,
                                             "webhook-signature": signature})  # fmt: skip

    a, b, c = s.ids()
    other = base64.b64encode(bytes(24)).decode()
    assert signed(a, other).status_code == 401
    assert signed(a, keys[0], ago=3600).status_code == 401
    assert signed(a, keys[0], body="{}").status_code == 401
    assert signed(a, keys[0]).status_code == 200
    assert signed(b, keys[1]).status_code == 200
    body = json.dumps({"id": c, "event": "job_complete"})
    mac = hmac.new(hub.encode(), body.encode(), hashlib.sha256).hexdigest()
    assert d.webhook(data=body + " ", headers={"X-Hub-Signature-256": f"sha256={mac}"}
                     ).status_code == 401  # fmt: skip
    assert d.webhook(data=body, headers={"X-Hub-Signature-256": f"sha256={mac}"}).status_code == 200
    d.wait_jobs(stored=3)
    r = d.terminate().ok()
    assert mac not in r.stderr  # what would have been right is never told


def test_a_rotated_platform_token(serve, sim, directory, tmp_path, egress):  # noqa: F811
    s = sim("--generate", 1, "--size", "1K")
    file = tmp_path / "token.json"
    wrong = {"access_token": {"private_key": "an-old-key", "base_api_url": s.url}}
    file.write_text(json.dumps(wrong))
    d = serve(directory.to, "--token-file", file, sim=s)
    d.webhook(s.ids()[0])
    d.wait_jobs(waiting=1)
    s.write_token(file)
    d.run.send_signal(signal.SIGHUP)
    d.run.wait_for("read anew")
    d.command("retry", s.ids()[0]).ok()
    d.wait_jobs(stored=1)
    d.terminate().ok()


def test_admin_that_others_reach_needs_a_token(serve, sim, directory, tmp_path, egress):  # noqa: F811
    s = sim()
    r = egress("serve", "--to", directory.to, "--journal", "j", "--admin", "0.0.0.0:0", "--listen",
               "127.0.0.1:0", sim=s)  # fmt: skip
    assert r.returncode == 2 and "--admin-token-file" in r.stderr, r
    file = tmp_path / "admin-token"
    file.write_text(egress.secret("an-admin-token-of-some-length") + "\n")
    d = serve(directory.to, "--admin", "127.0.0.1:0", "--admin-token-file", file, sim=s)
    assert d.api("GET", "/api/status").status_code == 401
    assert d.api("GET", "/metrics").status_code == 401
    assert d.api("GET", "/healthz").status_code == 200
    bearer = {"Authorization": "Bearer an-admin-token-of-some-length"}
    assert d.api("GET", "/api/status", headers=bearer).status_code == 200
    d.terminate().ok()


def test_admin_is_no_ones_browser_to_use(serve, sim, directory):  # noqa: F811
    s = sim()
    d = serve(directory.to, sim=s)
    get, post = d.session.get, d.session.post
    assert get(d.admin + "/api/status", headers={"Host": "evil.example"}).status_code == 421
    assert post(d.admin + "/api/pause").status_code == 403
    ours = {"x-egress-request": "1"}
    assert post(d.admin + "/api/pause", headers={**ours, "Origin": "http://evil.example"}
                ).status_code == 403  # fmt: skip
    assert get(d.admin + "/api/pause", headers=ours).status_code == 405
    assert post(d.admin + "/api/retry", headers=ours, data="{").status_code == 400
    assert post(d.admin + "/api/retry", headers=ours, data='{"jobs":["../x"]}').status_code == 400
    assert get(d.admin + "/api/jobs?state=none").status_code == 400
    assert get(d.admin + "/api/jobs?limit=0").status_code == 400
    assert get(d.admin + "/api/jobs/%2e%2e").status_code == 400
    assert get(d.admin + "/nothing").status_code == 404
    page = get(d.admin + "/")
    assert page.status_code == 200 and "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert post(d.admin + "/api/pause", headers=ours).json() == {"paused": True}
    d.terminate().ok()


def test_jobs_are_listed_page_by_page(serve, sim, directory):  # noqa: F811
    s = sim("--generate", 25, "--size", "1K")
    d = serve(directory.to, sim=s)
    for job in s.ids():
        d.webhook(job)
    d.wait_jobs(stored=25)
    found, after = [], ""
    for _ in range(4):
        page = d.api("GET", f"/api/jobs?state=stored&limit=10&after={after}").json()
        found += [job["id"] for job in page["jobs"]]
        after = page["next"]
        if not after:
            break
    assert sorted(found) == sorted(s.ids()) and len(found) == 25
    one = s.ids()[3]
    page = d.api("GET", f"/api/jobs?prefix={one[:8]}").json()
    assert one in [job["id"] for job in page["jobs"]]
    d.terminate().ok()


# ---- the disk ----


def test_back_to_a_copy_of_the_journal(serve, sim, directory, tmp_path):  # noqa: F811
    """As docs/operations.md has it: what was stored since is recognised, what came since is found."""
    s = sim("--generate", 6, "--size", "1K")
    jobs = s.ids()
    d = serve(directory.to, sim=s)
    d.command("pause").ok()
    for job in jobs[:3]:
        d.webhook(job)
    copy = tmp_path / "copy.journal"
    sqlite3.connect(d.journal).execute("VACUUM INTO ?", (str(copy),))
    d.command("resume").ok()
    for job in jobs[3:]:
        d.webhook(job)
    d.wait_jobs(stored=6)
    d.terminate().ok()
    for end in ("", "-wal", "-shm"):
        d.journal.with_name(d.journal.name + end).unlink(missing_ok=True)
    copy.rename(d.journal)
    before = s.stats()["output_bytes"]
    d.start()
    d.command("resume").ok()  # the copy was made while it was paused
    d.wait_jobs(stored=3)
    assert d.job(jobs[0])["history"][-1]["what"] == "already stored"
    assert s.stats()["output_bytes"] == before
    d.terminate().ok()


def test_journal_that_is_none(sim, egress, directory, tmp_path):  # noqa: F811
    s = sim()
    for name, text in {"text": b"hello\n" * 1000, "zeros": b"\0" * 8192}.items():
        file = tmp_path / name
        file.write_bytes(text)
        r = egress("serve", "--to", directory.to, "--journal", file, "--listen", "127.0.0.1:0",
                   "--admin", "off", sim=s)  # fmt: skip
        assert r.returncode == 3 and str(file) in r.stderr, r
        assert file.read_bytes() == text  # left as it was


def test_disk_full_is_503_and_nothing_is_lost(serve, sim, directory, tmp_path):  # noqa: F811
    """A file size limit is a disk that is full, for the journal alone."""
    s = sim("--generate", 1, "--size", "1K")
    d = serve(directory.to, sim=s)
    d.command("pause").ok()
    limit = os.path.getsize(d.journal) + 1024 * 1024
    subprocess.run(["prlimit", f"--pid={d.pid}", f"--fsize={limit}:unlimited"], check=True)
    accepted, refused = [], 0
    for n in range(20000):
        answer = d.webhook(f"job-{n}-" + "x" * 100)
        if answer.status_code == 200:
            accepted.append(answer.json()["job"])
        else:
            assert answer.status_code == 503 and answer.headers["Retry-After"]
            refused += 1
            # It looks by itself, now and then, and what it has checkpointed is room.
            if refused >= 3 and d.api("GET", "/readyz").status_code == 503:
                break
    else:
        raise AssertionError(f"{len(accepted)} accepted, {refused} refused, and it calls itself ready")
    assert accepted
    subprocess.run(["prlimit", f"--pid={d.pid}", "--fsize=unlimited:unlimited"], check=True)
    wait_until(lambda: d.api("GET", "/readyz").status_code == 200)  # though nobody sends anything
    assert d.webhook(s.ids()[0]).status_code == 200
    d.kill()
    rows = {row[0] for row in sqlite3.connect(d.journal).execute("SELECT id FROM jobs")}
    assert rows >= set(accepted)


def test_systemd_is_told(sim, egress, directory, tmp_path):  # noqa: F811
    s = sim()
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(20)
        run = egress.start("serve", "--to", directory.to, "--journal", "j", "--listen",
                           "127.0.0.1:0", "--admin", "off", sim=s,
                           env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"})  # fmt: skip
        assert notify.recv(4096).startswith(b"READY=1")
        assert notify.recv(4096) == b"WATCHDOG=1"
        run.send_signal(signal.SIGHUP)
        seen = [notify.recv(4096) for _ in range(4)]
        assert any(m.startswith(b"RELOADING=1\nMONOTONIC_USEC=") for m in seen)
        run.send_signal(signal.SIGTERM)
        while not notify.recv(4096).startswith(b"STOPPING=1"):
            pass
        run.wait().ok()


def test_socket_activation(sim, egress, directory, tmp_path):  # noqa: F811
    """The socket is handed over as systemd does it: as descriptor 3, with its name."""
    s = sim("--generate", 1, "--size", "1K")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        script = ('exec 3<&%d; export LISTEN_FDS=1 LISTEN_FDNAMES=webhooks LISTEN_PID=$$; '
                  'exec "$@"' % listener.fileno())  # fmt: skip
        from programs import EGRESS, clean_env

        env = clean_env(tmp_path, s.env)
        run = subprocess.Popen(
            ["bash", "-c", script, "bash", EGRESS, "serve", "--to", directory.to, "--journal",
             str(tmp_path / "j"), "--admin", "off"],
            env=env, pass_fds=[listener.fileno()], stderr=subprocess.PIPE)  # fmt: skip
        body = json.dumps({"id": s.ids()[0], "event": "job_complete"})
        import requests

        # The connection waits in the socket until the daemon is there.
        assert requests.post(f"http://{host}:{port}/job-complete", data=body, timeout=30).ok
        wait_until(lambda: directory.receipts() == s.ids())
        run.terminate()
        assert run.wait(30) == 0, run.stderr.read()


@pytest.mark.parametrize("flag,value", [
    ("--listen", "nonsense"), ("--listen", "127.0.0.1:99999"), ("--listen", "256.0.0.1:1"),
    ("--admin", "x"), ("--keep", "soon"), ("--max-attempts", "0"),
    ("--webhook-secrets", "/nonexistent/file"), ("--admin-token-file", "/nonexistent/file"),
    ("--journal", "/nonexistent/folder/journal"),
])  # fmt: skip
def test_bad_settings(sim, egress, directory, flag, value):  # noqa: F811
    s = sim()
    flags = {"--listen": "127.0.0.1:0", "--admin": "off", "--journal": "j", flag: value}
    r = egress("serve", "--to", directory.to, *[x for pair in flags.items() for x in pair], sim=s,
               timeout=20)  # fmt: skip
    assert r.returncode in (1, 2, 3) and value in r.stderr, r
    assert len([line for line in r.stderr.splitlines() if '"error"' in line]) >= 1
