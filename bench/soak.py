# SPDX-License-Identifier: Apache-2.0
"""`egress serve` for a long time, with everything around it failing now and then: the simulator's
jobs end at a steady rate, its webhooks are lost, late or come twice, its answers break off; a fault
proxy stands before Ceph's gateway. Memory, descriptors and threads have to stay as they are.

    make soak MINUTES=60

At the end every job that has ended is stored (sync has found those whose webhook was lost), none was
given up, no upload is open. So that the store, which is in memory, does not fill, outputs are taken
out of it once they are a minute old, as their owner might; their receipts stay.

Its result goes into docs/performance.md and docs/charts/soak.svg.
"""

import argparse
import collections
import datetime
import json
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import chart
import report
import rig
from report import BUILD, ROOT
from webhooks import free_port

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from ceph import Ceph  # noqa: E402

SIZES = "1K..12M"
SAMPLE_S, TAKEN_AFTER_S = 5, 60
SETTLE_S = 300  # for what is still under way when the time is up
PLATFORM_FAULTS = [
    "GET /v1/jobs/{id}/output:reset@3", "GET /v1/jobs/{id}/output:truncate@2",
    "GET /v1/jobs/{id}/output:stall=3s@0.5", "POST /v1/jobs/batch:broken_json@1",
    "POST /v1/jobs/batch:drop@1", "WEBHOOK:drop@2", "WEBHOOK:duplicate@3", "WEBHOOK:latency=5s@2",
    "*:status=503@1",
]  # fmt: skip
STORE_FAULTS = [
    "cut-request,method=PUT,probability=0.01", "lose-answer,method=PUT,probability=0.01",
    "lose-answer,method=POST,probability=0.02", "cut-answer,method=GET,probability=0.01",
    "answer,probability=0.01", "answer,status=500,code=InternalError,probability=0.005",
    "delay,ms=2000,probability=0.01",
]  # fmt: skip
# From the second quarter, when caches are full, to the last: a part buffer or two more that happen to
# be in use, connections.
GROWTH = {"memory, MiB": 12, "descriptors": 8, "threads": 0}


def call(url, method="GET", token=None):
    request = urllib.request.Request(url, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer) if answer.status == 200 else None


class Daemon:
    def __init__(self, work, port, sim, store, proxy, bucket):
        self.admin = f"http://127.0.0.1:{free_port()}"
        flags = ["--listen", f"127.0.0.1:{port}", "--admin", self.admin.removeprefix("http://"),
                 "--to", f"s3://{bucket}", "--endpoint-url", proxy.url, "--journal",
                 work / "journal", "--sync-every", "2m", "--keep-jobs", "2000",
                 "--log-level", "warn"]  # fmt: skip
        env = rig.environment(work, sim.url) | store.env
        env["VOXEL51_API_PRIVATE_KEY"] = sim.said["token"]
        self.log = open(work / "serve.log", "wb")
        self.process = subprocess.Popen(
            [str(word) for word in (rig.EGRESS, "serve", *flags)], env=env, stderr=self.log)
        for _ in range(200):
            try:
                self.status()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit(f"bench: egress serve does not answer: {(work / 'serve.log').read_text()}")

    def status(self):
        return call(f"{self.admin}/api/status")

    def sample(self):
        """As the kernel counts, without what is being asked of it now."""
        proc = Path(f"/proc/{self.process.pid}")
        pages = int((proc / "statm").read_text().split()[1])
        return {"memory, MiB": pages * 4096 / rig.MIB,
                "descriptors": len(list((proc / "fd").iterdir())),
                "threads": len(list((proc / "task").iterdir()))}

    def stop(self):
        self.process.terminate()
        code = self.process.wait(60)
        self.log.close()
        return code


class Owner(threading.Thread):
    """Takes outputs out of the bucket once they are a minute old; counts them."""

    def __init__(self, store, bucket):
        super().__init__(daemon=True)
        self.s3, self.bucket, self.ended = store.client(), bucket, threading.Event()
        self.taken = collections.Counter()

    def take(self, seconds):
        before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        for entry in [e for page in pages for e in page.get("Contents", [])]:
            if not entry["Key"].startswith(".egress/") and entry["LastModified"] < before:
                self.s3.delete_object(Bucket=self.bucket, Key=entry["Key"])
                self.taken[entry["Key"].split("/")[0]] += 1

    def run(self):
        while not self.ended.wait(20):
            self.take(TAKEN_AFTER_S)


def start_jobs(sim, ids, n):
    """The next n; a fault may meet the start, too."""
    started = []
    while len(started) < n and ids:
        try:
            call(f"{sim.url}/v1/jobs/{ids[-1]}/start", "PUT", sim.said["token"])
            started.append(ids.pop())
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
        except OSError:
            pass
    return started


def load(args, daemon, sim, ids):
    """Until the time is up: samples, and how many jobs were started."""
    samples, started, began = [], [], time.monotonic()
    while (now := time.monotonic() - began) < args.minutes * 60:
        started += start_jobs(sim, ids, int(now * args.rate) - len(started))
        if now >= len(samples) * SAMPLE_S:
            status = daemon.status()
            samples.append({"minutes": now / 60, **daemon.sample(),
                            "jobs stored": status["transfers"]["stored"],
                            "jobs unfinished": sum(status["jobs"][state] for state in
                                                   ("waiting", "ready", "running"))})
        time.sleep(0.2)
    return samples, started


def settle(daemon, started):
    """Lets what is left end. Jobs that failed or were given up are told; else None."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        call_sync(daemon)
        now = daemon.status()
        jobs, done = now["jobs"], now["transfers"]["stored"] + now["transfers"]["already_stored"]
        if jobs["failed"] + jobs["dead"]:
            return f"{jobs['failed']} jobs failed, {jobs['dead']} were given up"
        if jobs["waiting"] + jobs["ready"] + jobs["running"] == 0 and done >= started:
            return None
        if time.monotonic() > deadline:
            return f"of {started} jobs {done} are stored, and {jobs} left after {SETTLE_S} s"
        time.sleep(5)


def call_sync(daemon):
    request = urllib.request.Request(f"{daemon.admin}/api/sync", method="POST",
                                     headers={"x-egress-request": "1"})
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:  # one is under way
            raise


def growth(samples, what):
    """Medians of the second and the last quarter."""
    n = len(samples) // 4
    return [statistics.median(s[what] for s in part) for part in (samples[n : 2 * n], samples[-n:])]


def faults_of(samples, owner, started, s3, bucket):
    found = []
    for what, may in GROWTH.items():
        early, late = growth(samples, what)
        if late > early + may:
            found.append(f"{what}: {early:.1f} in the second quarter, {late:.1f} in the last")
    gone = set(started) - set(owner.taken)
    if gone:
        found.append(f"{len(gone)} jobs had no object: {sorted(gone)[:3]}")
    twice = [job for job, n in owner.taken.items() if n > 1]
    if twice:
        found.append(f"{len(twice)} jobs were stored once more after their receipt: {twice[:3]}")
    left = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    if left:
        found.append(f"{len(left)} uploads are open")
    return found


def describe(args, samples, status, sim, proxy, found):
    rows = ["| | second quarter | last quarter | most |", "| --- | --- | --- | --- |"]
    for what in GROWTH:
        early, late = growth(samples, what)
        most = max(s[what] for s in samples)
        digits = 1 if what.startswith("memory") else 0
        rows.append(f"| {what} | {early:.{digits}f} | {late:.{digits}f} | {most:.{digits}f} |")
    picture = chart.panels("soak", f"egress serve, {args.minutes:g} minutes with faults", "minutes", [
        (what, [(s["minutes"], s[what]) for s in samples])
        for what in (*GROWTH, "jobs unfinished", "jobs stored")])
    hits = sum(proxy.get("/.faultproxy/stats")["faults"].values())
    t, w = status["transfers"], status["webhooks"]
    return "\n".join([
        f"`make soak MINUTES={args.minutes:g}` ({args.rate:g} jobs a second, outputs of {SIZES}; a "
        f"sample every {SAMPLE_S} s; medians of the quarters):",
        "", *rows, "", picture, "",
        f"{t['stored']} jobs stored, {t['bytes'] / rig.GIB:.1f} GiB; {t['later']} tries failed and "
        f"were repeated; {w['known']} webhooks named a job once more, {status['sync']['repaired']} "
        f"jobs were found by {status['sync']['runs']} runs of sync, as no webhook had come. "
        f"{hits} faults before the store. " +
        (f"Wrong: {'; '.join(found)}." if found else
         "Every job that had ended was stored, once; none failed or was given up; no upload was "
         "left open."),
        "",
        f"Machine: {report.machine()}. Faults of the Platform: "
        f"{', '.join(f'`{f}`' for f in PLATFORM_FAULTS)}; before Ceph's gateway: "
        f"{', '.join(f'`{f}`' for f in STORE_FAULTS)}.",
    ])


def soak(args, work, store):
    port, bucket = free_port(), store.bucket()
    n = int(args.minutes * 60 * args.rate) + 10
    switches = ["auto_start=no", "queued_ms=100", "scheduled_ms=100"]
    faults = [word for fault in PLATFORM_FAULTS for word in ("--fault", fault)]
    sets = [word for switch in switches for word in ("--set", switch)]
    proxied = [word for rule in STORE_FAULTS for word in ("--rule", rule)]
    quiet = {"log": subprocess.DEVNULL}
    sim = rig.Server(BUILD / "egress-sim", "--generate", f"{n}:READY", "--size", SIZES, *sets,
                     *faults, "--webhook", f"http://127.0.0.1:{port}/job-complete", **quiet)
    proxy = rig.Server(BUILD / "tests" / "faultproxy", "--to", store.url, *proxied, **quiet)
    with rig.servers(sim, proxy):
        ids = all_ids(sim)
        daemon = Daemon(work, port, sim, store, proxy, bucket)
        owner = Owner(store, bucket)
        owner.start()
        try:
            samples, started = load(args, daemon, sim, ids)
            fault = settle(daemon, len(started))
            owner.ended.set()
            owner.join()
            owner.take(-1)
            status = daemon.status()
        finally:
            code = daemon.stop()
        found = faults_of(samples, owner, started, owner.s3, bucket)
        found += [fault] if fault else []
        found += [f"egress serve ended with status {code}"] if code else []
        keep(samples)
        return describe(args, samples, status, sim, proxy, found), found


def all_ids(sim):
    while True:  # a fault may meet this, too
        try:
            listed = call(f"{sim.url}/v1/jobs/list", token=sim.said["token"])
            return [job["id"] for job in listed["jobs"]]
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise


def keep(samples):
    (BUILD / "bench" / "soak.json").write_text(json.dumps(samples))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=2, help="jobs that end a second")
    args = parser.parse_args()
    store = Ceph().start()
    try:
        with rig.workplace() as work:
            text, found = soak(args, work, store)
    finally:
        store.stop()
    report.give("soak", "A long run", text)
    if found:
        sys.exit(f"bench: soak: {'; '.join(found)}")


if __name__ == "__main__":
    main()
