# SPDX-License-Identifier: Apache-2.0
"""`egress serve` in company and in trouble: two daemons on one bucket, `egress fetch` beside it, a
store or a Platform that is away for a while, many webhooks at once, the ends of its settings."""

import concurrent.futures
import json
import os
import signal
import time

import pytest
import requests
from daemon import Daemon
from stores import Bucket, bucket, directory, store  # noqa: F401  fixtures
from test_serve import assert_stored, wait_until

BAD = ("failed", "dead")


def wait_all_stored(d, n, timeout):
    deadline = time.monotonic() + timeout
    while (jobs := d.status()["jobs"])["stored"] < n:
        assert time.monotonic() < deadline, (jobs, d.status()["running"])
        assert not any(jobs[state] for state in BAD), jobs
        time.sleep(0.1)


# ---- in company ----


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed, killed", [(0, False), (1, False), (2, True), (3, True)])
def test_two_daemons_on_one_bucket(egress, sim, bucket, tmp_path, seed, killed):  # noqa: F811
    """Each with a journal of its own; one is killed, and comes back to what the other is at."""
    s = sim("--generate", 30, "--size", "10K..40M", "--seed", seed, "--set", "body_rate=30M")
    daemons = []
    for name in "ab":
        (tmp_path / name).mkdir()
        daemons.append(Daemon(egress, tmp_path / name, bucket.to, sim=s, s3=bucket.s3).start())
    jobs = s.ids()
    for job in jobs:
        for d in daemons:
            assert d.webhook(job).ok
    wait_until(lambda: any(r["received"] > 8 << 20 for r in daemons[0].status()["running"]))
    if killed:
        daemons[0].kill()
        daemons[0].start()
    for d in daemons:
        wait_all_stored(d, 30, 100)
    for d in daemons:
        d.terminate().ok()
    assert_stored(bucket, s, jobs)
    if killed:  # of two uploads of one job the receipt names just the later
        egress("sweep", "--to", bucket.to, "--older-than", "0s", s3=bucket.s3).ok()
    bucket.assert_nothing_open()


@pytest.mark.timeout(240)
def test_fetch_beside_it(egress, serve, sim, store):  # noqa: F811
    s = sim("--generate", 20, "--size", "10K..20M", "--seed", 4, "--set", "body_rate=30M")
    d = serve(store.to, sim=s, s3=store.s3)
    jobs = s.ids()
    fetch = egress.start("fetch", "--to", store.to, *reversed(jobs), sim=s, s3=store.s3)
    for job in jobs:
        assert d.webhook(job).ok
    fetch.wait(100).ok()
    wait_all_stored(d, 20, 100)
    d.terminate().ok()
    assert_stored(store, s, jobs)
    store.assert_nothing_open()


# ---- away for a while ----


def assert_outage_and_back(d, jobs, first, back):
    for job in jobs[first:]:
        assert d.webhook(job).ok  # webhooks are taken all the same
    time.sleep(25)
    now = d.status()["jobs"]
    assert now["stored"] < len(jobs) and not any(now[state] for state in BAD), now
    back()
    wait_all_stored(d, len(jobs), 180)  # a probe a minute at least, and one may have bad luck
    d.terminate().ok()


@pytest.mark.timeout(400)
def test_a_store_that_is_away(serve, sim, ceph):
    place = Bucket(ceph)
    s = sim("--generate", 120, "--size", "10K..12M", "--set", "body_rate=8M")
    d = serve(place.to, sim=s, s3=ceph)
    jobs = s.ids()
    for job in jobs[:60]:
        assert d.webhook(job).ok
    wait_until(lambda: d.status()["jobs"]["stored"] > 5)
    ceph.kill_gateway()
    try:
        assert_outage_and_back(d, jobs, 60, ceph.start_gateway)
    finally:
        if "rgw" not in ceph.processes:
            ceph.start_gateway()
    assert_stored(place, s, jobs)
    place.assert_nothing_open()


@pytest.mark.timeout(400)
def test_a_platform_that_is_away(serve, sim, directory):  # noqa: F811
    """It takes connections and says nothing."""
    s = sim("--generate", 100, "--size", "10K..2M", "--set", "body_rate=2M")
    d = serve(directory.to, sim=s)
    jobs = s.ids()
    for job in jobs[:50]:
        assert d.webhook(job).ok
    os.kill(s.run.pid, signal.SIGSTOP)
    assert_outage_and_back(d, jobs, 50, lambda: os.kill(s.run.pid, signal.SIGCONT))
    assert_stored(directory, s, jobs)


# ---- much, and little ----


@pytest.mark.timeout(300)
def test_twenty_thousand_webhooks(serve, sim, directory):  # noqa: F811
    s = sim("--generate", 20000, "--size", "1K")
    d = serve(directory.to, sim=s)
    jobs = s.ids()

    def send(some):
        with requests.Session() as session:
            session.trust_env = False
            return [session.post(d.url, data=json.dumps({"id": job, "event": "job_complete"})
                                 ).status_code for job in some]  # fmt: skip

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(send, [jobs[i::32] for i in range(32)]))
    assert {status for some in answers for status in some} == {200}
    wait_all_stored(d, 20000, 200)
    now = d.status()
    assert now["process"]["resident_bytes"] < 128 << 20, now["process"]
    assert now["journal"]["commits"] < now["journal"]["requests"], now["journal"]
    d.terminate().ok()
    assert len(directory.object_keys()) == 20000


@pytest.mark.timeout(240)
@pytest.mark.parametrize("concurrency, memory", [(1, "16MiB"), (512, "16MiB"), (512, "64MiB")])
def test_ends_of_its_settings(serve, sim, store, concurrency, memory):  # noqa: F811
    s = sim("--generate", 150, "--size", "1K..12M", "--seed", concurrency)
    d = serve(store.to, "--concurrency", concurrency, "--memory", memory, sim=s, s3=store.s3)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert {answer.status_code for answer in pool.map(d.webhook, s.ids())} == {200}
    wait_all_stored(d, 150, 150)
    d.terminate().ok()
    assert_stored(store, s, s.ids())
    store.assert_nothing_open()
    assert d.lines(level="warn") == [] and d.lines(level="error") == []


def test_without_receipts(serve, sim, store):  # noqa: F811
    """Then to sync all that finished may be missing: what the journal knows it leaves alone."""
    s = sim("--generate", 20, "--size", "1K")
    d = serve(store.to, "--receipts=off", "--sync-every", "1s", sim=s, s3=store.s3)
    for job in s.ids()[:10]:
        assert d.webhook(job).ok
    d.wait_jobs(stored=20)
    runs = d.status()["sync"]["runs"]
    wait_until(lambda: d.status()["sync"]["runs"] >= runs + 2)
    now = d.status()
    assert now["sync"]["repaired"] == 10 and now["transfers"]["stored"] == 20, now
    assert now["transfers"]["already_stored"] == 0, now
    d.terminate().ok()
    assert_stored(store, s, s.ids())
    assert store.receipts() == []


def test_sync_in_the_midst_of_transfers(serve, sim, store):  # noqa: F811
    """What is stored between its listing and its entry in the journal was not missing."""
    s = sim("--generate", 1500, "--size", "200K", "--set", "latency_ms=30")
    d = serve(store.to, "--sync-every", "1s", sim=s, s3=store.s3)
    d.command("pause").ok()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(answer.ok for answer in pool.map(d.webhook, s.ids()))
    d.wait_jobs(ready=1500)
    before = d.status()["sync"]["repaired"]  # those that came to it sooner than their webhook
    d.command("resume").ok()
    wait_all_stored(d, 1500, 100)
    runs = d.status()["sync"]["runs"]
    wait_until(lambda: d.status()["sync"]["runs"] > runs)
    now = d.status()
    assert now["sync"]["repaired"] == before and now["transfers"]["already_stored"] == 0, now
    d.terminate().ok()
