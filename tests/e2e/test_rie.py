# SPDX-License-Identifier: Apache-2.0
"""The Lambda program under the runtime API of AWS's own making (rie.py says what that leaves out):
the one that is linked as usual, and the one file that is deployed."""

import hashlib
import json
import os
import platform
import signal
import threading
import time

import pytest

import programs
from lambda_events import FORMS, SCHEDULE, TOKEN, to_bucket, v1, webhook
from lambda_runtime import Poller
from stores import bucket  # noqa: F401 (fixture)

ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
PROGRAMS = {
    "linked as usual": programs.BOOTSTRAP,
    "one file": programs.ROOT / "build" / "lambda" / ARCHITECTURE / "bootstrap",
}


@pytest.fixture(params=PROGRAMS)
def program(request):
    path = PROGRAMS[request.param]
    assert os.access(path, os.X_OK), f"{path} is not there; run `make lambda ARCH={ARCHITECTURE}`"
    return path


def test_every_kind_of_event(emulator, program, sim, aws, bucket):
    s = sim("--generate", 5, "--size", 1000)
    queue = aws.queue(VisibilityTimeout=60)
    env = {**to_bucket(bucket), "WEBHOOK_TOKEN": TOKEN}
    f = emulator(program, sim=s, s3=bucket.s3, aws=aws, queue=queue, env=env)
    right = {"queryStringParameters": {"token": TOKEN}}
    *hooked, direct, missed = s.ids()
    for job, form in zip(hooked, FORMS.values(), strict=True):
        assert f.invoke(form(webhook(job))).proxied(401)["status"] == "rejected"
        queued = f.invoke(form(webhook(job), **right)).proxied(200)
        assert queued == {"status": "queued", "job": job}
    records, outcome = Poller(f, queue).deliver()
    assert len(records) == 3 and outcome.failures() == []
    assert f.invoke({"id": direct}, request_id="of-this-one").json["status"] == "stored"
    assert f.outcomes()[-1]["request_id"] == "of-this-one"
    assert f.invoke(SCHEDULE).json["queued"] == 1
    assert Poller(f, queue).deliver()[1].failures() == []
    assert bucket.receipts() == sorted(s.ids()) and queue.counts() == (0, 0)
    told = [line["outcome"] for line in f.outcomes() if line["outcome"] != "refused"]
    assert told == ["queued"] * 3 + ["stored"] * 4 + ["synced", "stored"]
    assert (f.metrics()["Stored"], f.metrics()["RepairedBySync"]) == (5, 1)
    assert f.starts() == 1
    for job in s.ids():
        key = bucket.receipt(job)["outputs"][0]["key"]
        assert bucket.get(key) == s.get(f"/jobs/{job}/output").content


def test_a_wrong_setting_is_an_error_of_the_start(emulator, program):
    f = emulator(program, env={"BUCKET_NAME": "b", "EGRESS_MEMORY": "3"})
    for n in range(1, 3):
        outcome = f.invoke({"id": "x"})
        assert outcome.status == 502
        assert outcome.error["errorType"] == "Egress.config"
        assert "EGRESS_MEMORY" in outcome.error["errorMessage"]
        assert f.starts() == n, "each time afresh"
        assert [line["level"] for line in f.log()] == ["error"] * n


def test_a_large_output_takes_several_invocations(emulator, program, sim, aws, bucket):
    """Three seconds each, the start within them, at a pace at which it takes twelve at once."""
    s = sim("--generate", 1, "--size", "180M", "--seed", 5, "--set", "body_rate=15M")
    (job,) = s.ids()
    queue = aws.queue(VisibilityTimeout=60)
    f = emulator(program, timeout_s=3, sim=s, s3=bucket.s3, aws=aws, queue=queue,
                 env=to_bucket(bucket))  # fmt: skip
    queue.send(job)
    poller = Poller(f, queue)
    hops = 0
    while not bucket.object_keys():
        assert poller.deliver()[1].failures() == []  # "Task timed out" would be no such answer
        hops += 1
        assert hops < 30
    assert hops >= 5
    assert [line["outcome"] for line in f.outcomes()] == ["handed over"] * (hops - 1) + ["stored"]
    (key,) = bucket.object_keys()
    assert hashlib.sha256(bucket.get(key)).hexdigest() == s.digest(job)
    bucket.assert_nothing_open()
    assert queue.counts() == (0, 0) and f.starts() == 1


def test_a_program_that_is_killed(emulator, program, sim, bucket):
    """It is started afresh, and goes on with what is stored."""
    s = sim("--generate", 1, "--size", "60M", "--seed", 5, "--set", "body_rate=15M")
    (job,) = s.ids()
    f = emulator(program, sim=s, s3=bucket.s3, env=to_bucket(bucket))
    outcomes = []
    invocation = threading.Thread(target=lambda: outcomes.append(f.invoke({"id": job})))
    invocation.start()
    deadline = time.monotonic() + 20
    while not bucket.receipts():  # in state "uploading"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)  # some parts
    os.kill(f.program_pid(), signal.SIGKILL)
    invocation.join()
    assert outcomes[0].status == 502
    assert "Runtime" in json.loads(outcomes[0].body)["errorType"]
    assert f.invoke({"id": job}).json["status"] == "stored"
    (key,) = bucket.object_keys()
    assert hashlib.sha256(bucket.get(key)).hexdigest() == s.digest(job)
    assert f.starts() == 2
    assert s.stats()["output_bytes"] < 2 * 60_000_000


def test_a_payload_of_6_mb(emulator, program, sim, bucket):
    s = sim("--generate", 1, "--size", 1000)
    f = emulator(program, sim=s, s3=bucket.s3, env=to_bucket(bucket))
    event = json.dumps(v1(webhook("x", msg="x" * (6 * 1024 * 1024 - 1000)))).encode()
    assert 6_290_000 < len(event) <= 6 * 1024 * 1024
    assert f.invoke(event).proxied(413)["error"] == "too_large"
    assert f.invoke(event + event).error["errorType"] == "Egress.input", "the emulator cuts it"
    assert f.invoke({"id": s.ids()[0]}).json["status"] == "stored", "it goes on"
    assert f.starts() == 1


@pytest.mark.parametrize("event", [b"", b"\xff not json", b"[" * 100_000, b"{}", b"null"])
def test_garbage(emulator, program, sim, bucket, event):
    s = sim("--generate", 1, "--size", 1000)
    f = emulator(program, sim=s, s3=bucket.s3, env=to_bucket(bucket))
    error = f.invoke(event).error
    assert error["errorType"] == "Egress.input" and "expected" in error["errorMessage"]
    assert [line["outcome"] for line in f.outcomes()] == ["refused"]
    assert f.invoke({"id": s.ids()[0]}).json["status"] == "stored", "it goes on"
    assert f.starts() == 1
