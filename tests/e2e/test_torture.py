# SPDX-License-Identifier: Apache-2.0
"""`egress serve` killed: in each named crash window (docs/STATES.md), and at random under load with
faults on. Whatever was answered with 200 is stored afterwards, whole, once, and nothing is left
open.

    TORTURE_KILLS=400 make torture ARGS="-k random"      several hundred, by hand
"""

import concurrent.futures
import hashlib
import os
import random
import re
import threading
import time

import pytest
import requests
from programs import ROOT
from stores import bucket, directory, store  # noqa: F401  fixtures

PROGRAM = os.environ.get("EGRESS_TORTURE", str(ROOT / "build" / "torture" / "egress"))
KILLS = int(os.environ.get("TORTURE_KILLS", "25"))
SEED = int(os.environ.get("TORTURE_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
POINTS = sorted(set(
    re.findall(r"`((?:journal|transfer)-[a-z-]+)`(?=[^|]*\|$)", (ROOT / "docs" / "STATES.md").read_text(), re.M)
))  # fmt: skip

@pytest.fixture
def tortured(egress, serve):
    assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is not there; run `make torture`"
    egress.program = PROGRAM
    return serve


def digest(data):
    return hashlib.sha256(data).hexdigest()


def assert_all_stored(place, s, jobs):
    """Every one of them, as boto3 or the file system has it, and no object besides."""
    objects = place.objects()
    found = {key.split("/")[0]: digest(data) for key, data in objects.items()}
    assert len(found) == len(objects)  # nothing stored twice
    missing = set(jobs) - set(found)
    assert not missing, f"{len(missing)} acknowledged jobs are not stored: {sorted(missing)[:5]}"
    for job, sha in found.items():
        assert sha == s.digest(job), f"{job}: wrong bytes"


def settle(d, jobs, timeout=120):
    """Until every acknowledged job is stored."""
    deadline = time.monotonic() + timeout
    while True:
        now = d.status()["jobs"]
        if now["ready"] + now["waiting"] + now["running"] == 0:
            break
        if now["waiting"]:
            d.command("retry", *[job["id"] for job in
                      d.api("GET", "/api/jobs?state=waiting&limit=200").json()["jobs"]])  # fmt: skip
        assert time.monotonic() < deadline, now
        time.sleep(0.1)
    states = {job: d.job(job)["job"]["state"] for job in jobs}
    assert set(states.values()) <= {"stored"}, states


def test_states_names_the_points_that_are_in_the_code():
    text = "".join(path.read_text() for path in (ROOT / "src").rglob("*.c"))
    in_code = set(re.findall(r'FAULT_POINT\("([a-z-]+)"\)', text))
    assert POINTS and in_code == set(POINTS)


def send(d, jobs):
    """As far as it lives; which were answered with 200."""
    accepted = []
    try:
        for job in jobs:
            if d.webhook(job).ok:
                accepted.append(job)
    except requests.RequestException:
        pass
    return accepted


# The first time that a window is passed, and, where it is passed often, in the midst of things.
ONCE = {"journal-recovery", "journal-checkpoint", "journal-prune"}
WINDOWS = POINTS + [f"{point}:{2 if point == 'journal-upgrade' else 5}" for point in POINTS
                    if point not in ONCE]  # fmt: skip


@pytest.mark.parametrize("point", WINDOWS)
def test_killed_in_each_window(tortured, sim, bucket, point):  # noqa: F811
    """Some windows lie before the first webhook, some behind the last; wherever it dies, it has to
    die of that, and the next start has to make it good."""
    s = sim("--generate", 8, "--seed", 3, "--size", "100K..20M")
    d = tortured(bucket.to, sim=s, s3=bucket.s3, wait=False, env={"EGRESS_FAULT_POINT": point})
    jobs, accepted = s.ids(), []
    try:
        d.wait_ready()
        accepted = send(d, jobs)
        d.wait_jobs(stored=len(accepted))
        d.run.send_signal(15)
    except (AssertionError, requests.RequestException):
        pass  # it is dead already
    assert d.run.wait(60).returncode == -9, point
    d.env = None
    d.start()
    settle(d, accepted)  # before anything is sent again
    assert_all_stored(bucket, s, accepted)
    accepted += send(d, [job for job in jobs if job not in accepted])
    assert sorted(accepted) == sorted(jobs)
    settle(d, accepted)
    d.terminate().ok()
    assert_all_stored(bucket, s, accepted)
    bucket.assert_nothing_open()


class Sender(threading.Thread):
    """Sends webhooks one after the other, again and again until each is answered with 200."""

    def __init__(self, d, jobs):
        super().__init__(daemon=True)
        self.d, self.jobs, self.accepted = d, jobs, []

    def run(self):
        for job in self.jobs:
            while True:
                try:
                    if self.d.webhook(job).status_code == 200:
                        self.accepted.append(job)
                        break
                except requests.RequestException:
                    pass
                time.sleep(0.02)


@pytest.mark.timeout(60 + 6 * KILLS)
def test_killed_at_random(tortured, sim, store):  # noqa: F811
    print(f"TORTURE_SEED={SEED} TORTURE_KILLS={KILLS}")
    chance = random.Random(SEED)
    n = 40 + 12 * KILLS
    s = sim("--generate", n, "--size", "1..12M", "--seed", SEED % 1000, "--set", "body_rate=24M",
            "--fault", "GET /v1/jobs/{id}/output:reset@4", "--fault", "*:status=503@1")  # fmt: skip
    d = tortured(store.to, "--memory", "48MiB", sim=s, s3=store.s3)
    jobs = s.ids()
    senders = [Sender(d, jobs[i::4]) for i in range(4)]
    for sender in senders:
        sender.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.02, 0.9))
        d.kill()
        # The senders go on at the port that the next one gets.
        d.start()
    for sender in senders:
        sender.join(120)
        assert not sender.is_alive()
    accepted = [job for sender in senders for job in sender.accepted]
    assert sorted(accepted) == sorted(jobs)
    settle(d, accepted, timeout=60 + 4 * KILLS)
    d.terminate().ok()
    assert_all_stored(store, s, accepted)
    store.assert_nothing_open()


def test_sends_at_once_share_commits_and_survive(tortured, sim, directory):  # noqa: F811
    """300 webhooks from 32 connections, killed while they come: what was answered is there."""
    s = sim("--generate", 300, "--size", "512")
    d = tortured(directory.to, sim=s)
    d.command("pause").ok()
    accepted = []

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        sent = [pool.submit(lambda job: accepted.extend(send(d, [job])), job) for job in s.ids()]
        while len(accepted) < 150:
            time.sleep(0.001)
        d.run.process.kill()
        concurrent.futures.wait(sent)
    d.kill()
    d.start()
    d.command("resume").ok()
    settle(d, accepted)
    d.terminate().ok()
    assert_all_stored(directory, s, accepted)
