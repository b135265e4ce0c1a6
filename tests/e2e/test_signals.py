# SPDX-License-Identifier: Apache-2.0
"""SIGINT, SIGTERM and SIGKILL at each stage of a transfer: how it ends, how soon, and that nothing
half-done can be seen afterwards."""

import json
import signal
import time

import pytest

from stores import CountingProxy, bucket, directory, store  # noqa: F401 (fixtures)

MIB = 1024 * 1024
SIGNALS = pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)


def wait_until(condition, run, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        assert run.process.poll() is None, f"ended too early: {run.result()}"
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.01)


def end(run, number, status, within=5):
    """Sends the signal; how it ended, after checking that it was soon and said once."""
    run.send_signal(number)
    sent = time.monotonic()
    r = run.wait(30)
    assert time.monotonic() - sent < within, r
    assert r.returncode == status, r
    (line,) = [line for line in r.stderr.splitlines() if '"info"' in line]
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert json.loads(line)["msg"].startswith(f"{word}: undoing what is unfinished;")
    assert len(r.stderr.splitlines()) == 1, r
    return r


def parts_stored(store):
    """Of uploads that are open; or bytes that lie in temporary files."""
    if store.kind == "directory":
        temporary = store.root / ".egress" / "tmp"
        return sum(p.stat().st_size for p in temporary.glob("*")) if temporary.exists() else 0
    uploads = store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])
    return sum(
        len(
            store.client.list_parts(
                Bucket=store.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            ).get("Parts", [])
        )
        for upload in uploads
    )


@pytest.fixture
def slow(egress, sim, store):
    """A transfer of 256 MiB that has stored a part of it, and would take half a minute."""
    s = sim("--generate", 1, "--size", 256 * MIB, "--set", "body_rate=9M")
    run = egress.start("fetch", "--to", store.to, *s.ids(), sim=s, s3=store.s3)
    wait_until(lambda: parts_stored(store), run)
    return run


@SIGNALS
def test_in_mid_transfer(slow, store, number, status):
    r = end(slow, number, status)
    assert r.stdout.startswith("1 job: 0 stored, 0 already stored, 1 failed;"), r
    store.assert_empty()


def assert_only_unfinished(store):
    """No job counts as stored: at most it is written down how far an upload was."""
    assert all(store.receipt(job)["state"] == "uploading" for job in store.receipts())


def test_kill(egress, slow, sim, bucket, store):
    """What lies there unseen does not stand in the way of the next run."""
    slow.send_signal(signal.SIGKILL)
    assert slow.wait().returncode == -signal.SIGKILL
    assert store.object_keys() == []
    assert_only_unfinished(store)
    job = slow.args[4]
    s = sim("--generate", 1, "--size", 9 * MIB)
    assert s.ids() == [job]
    egress("fetch", "--to", store.to, job, sim=s, s3=store.s3).ok()
    assert store.objects() == {f"{job}/labels.json": s.get(f"/jobs/{job}/output").content}
    assert store.receipts() == [job]


@SIGNALS
def test_what_is_stored_stays(egress, sim, store, number, status):
    """Of several jobs those that are done stay done, with their receipts; a later run goes on."""
    size = 1000
    s = sim("--generate", 40, "--size", size, "--set", "body_rate=4K")
    ids = s.ids()
    command = ["fetch", "--to", store.to, "--json", "--concurrency", 8]
    run = egress.start(*command, *ids, sim=s, s3=store.s3)
    run.wait_for(r'(?s)(?:"status":"stored".*){8}', stream="stdout")
    r = end(run, number, status)
    *lines, last = r.jsonl
    stored = [line["job"] for line in lines if line["status"] == "stored"]
    assert 8 <= len(stored) < 40
    assert {line["error"] for line in lines if line["status"] == "failed"} == {"cancelled"}
    assert all(line["retryable"] for line in lines if line["status"] == "failed")
    assert last["summary"]["stored"] == len(stored)
    assert store.receipts() == sorted(stored)
    assert store.object_keys() == sorted(f"{job}/labels.json" for job in stored)
    store.assert_nothing_open()
    again = sim("--generate", 40, "--size", size)
    r = egress(*command, *ids, sim=again, s3=store.s3).ok()
    assert r.jsonl[-1]["summary"]["already_stored"] == len(stored)
    assert r.jsonl[-1]["summary"]["stored"] == 40 - len(stored)


def test_while_details_are_waited_for(egress, sim, directory):
    """Nothing is begun any more when they come."""
    s = sim("--generate", 3, "--size", 10)
    ids = s.ids()
    with CountingProxy(s.url) as proxy:
        proxy.hold()
        env = {"VOXEL51_API_BASE_URL": proxy.url}
        run = egress.start("fetch", "--to", directory.to, *ids, sim=s, env=env)
        wait_until(proxy.requests, run)
        run.send_signal(signal.SIGINT)
        run.wait_for("interrupted: undoing")
        proxy.release()
        released = time.monotonic()
        r = run.wait(20)
        assert time.monotonic() - released < 5, r
        assert not [r for r in proxy.requests() if "/output" in r]
    assert r.returncode == 130, r
    assert len(r.stderr.splitlines()) == 1, r
    directory.assert_empty()


def test_while_the_receipt_is_waited_for(egress, sim, bucket):
    s = sim("--generate", 1, "--size", 1000)
    asked = s.stats()["total"]
    with CountingProxy(bucket.s3.url) as proxy:
        proxy.hold()
        env = {"AWS_ENDPOINT_URL": proxy.url}
        run = egress.start("fetch", "--to", bucket.to, "x1", "x2", sim=s, s3=bucket.s3, env=env)
        wait_until(proxy.requests, run)
        end(run, signal.SIGINT, 130)
    assert s.stats()["total"] == asked


@pytest.mark.parametrize("method, size", [("PUT", 1000), ("POST", 20 * MIB)])
def test_second_signal_while_storing(egress, sim, bucket, method, size):
    """What is being put, or an upload being begun, is waited for; a second signal does not wait.
    The next run finds what there is."""
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    with CountingProxy(bucket.s3.url) as proxy:
        proxy.hold(method)
        env = {"AWS_ENDPOINT_URL": proxy.url}
        run = egress.start("fetch", "--to", bucket.to, job, sim=s, s3=bucket.s3, env=env)
        wait_until(lambda: any(r.startswith(method) for r in proxy.requests()), run)
        run.send_signal(signal.SIGTERM)
        run.wait_for("terminated: undoing")
        run.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        r = run.wait(20)
        assert time.monotonic() - sent < 1, r
        assert r.returncode == 143, r
    egress("fetch", "--to", bucket.to, job, sim=s, s3=bucket.s3).ok()
    assert bucket.objects() == {f"{job}/labels.json": s.get(f"/jobs/{job}/output").content}


def test_second_signal_ends_at_once(egress, sim, bucket):
    """The store hangs, so that the upload cannot be undone."""
    s = sim("--generate", 1, "--size", 64 * MIB, "--set", "body_rate=9M")
    with CountingProxy(bucket.s3.url) as proxy:
        env = {"AWS_ENDPOINT_URL": proxy.url}
        run = egress.start("fetch", "--to", bucket.to, *s.ids(), sim=s, s3=bucket.s3, env=env)
        wait_until(lambda: parts_stored(bucket), run)
        proxy.hold()
        run.send_signal(signal.SIGINT)
        wait_until(lambda: any(r.startswith("DELETE") for r in proxy.requests()), run)
        run.send_signal(signal.SIGINT)
        sent = time.monotonic()
        r = run.wait(20)
        assert time.monotonic() - sent < 1, r
    assert r.returncode == 130, r
    assert "ended before everything unfinished was undone" in r.stderr, r
    assert bucket.object_keys() == []
    assert_only_unfinished(bucket)


def test_invoke_answers_all_the_same(egress, sim, store):
    s = sim("--generate", 1, "--size", 64 * MIB, "--set", "body_rate=9M")
    (job,) = s.ids()
    event = json.dumps({"id": job, "event": "job_complete"})
    run = egress.start("invoke", "--to", store.to, "-", sim=s, s3=store.s3, input=event)
    wait_until(lambda: parts_stored(store), run)
    run.send_signal(signal.SIGTERM)
    r = run.wait(10)
    assert r.returncode == 143, r
    assert r.json["statusCode"] == 500
    assert json.loads(r.json["body"])["error"] == "cancelled"
    store.assert_empty()
