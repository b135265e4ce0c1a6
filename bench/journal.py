# SPDX-License-Identifier: Apache-2.0
"""A million queued jobs: what a claim takes as the journal fills (bench/journal.c), on the disk and in
memory, and how `egress serve` is with a journal of so many: its start, memory, jobs a second, and
what the page and webhooks wait.

Its result goes into docs/performance.md.
"""

import argparse
import http.client
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report
import rig
from report import BUILD
from rig import KIB
from webhooks import file_system, free_port

MEMORY = "/dev/shm"
SECONDS = 3 if rig.QUICK else 15  # of transfers
ASKED = 200  # times, of each kind
CLAIM_US = 1000
COLUMNS = ["jobs", "accepted", "claim", "p99", "max", "stats", "memory", "file"]
EVENT = '{"id":"new-%d","event":"job_complete","msg":"done"}'
FILL = """
INSERT INTO jobs (id, state, place_ms, origin, first_ms, received_ms, expires_ms, asked)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :jobs)
SELECT lower(hex(randomblob(16))), 1, :now + 3 * 86400000 + i, 0, :now + i, :now + i, 0, 0 FROM n
"""


# ---- the journal by itself


def claims(folder, jobs):
    """What the program has to say first, and its rows."""
    command = [str(BUILD / "bench" / "journal"), str(folder), str(jobs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    if done.returncode != 0:
        sys.exit(f"bench: {done.stderr}")
    disk, _, *lines = done.stdout.splitlines()
    rows = {}
    for text in lines:
        name, *values = text.rsplit(None, len(COLUMNS))
        row = dict(zip(COLUMNS, map(float, values)))
        rows[f"{int(row['jobs']):,} {name}"] = row
    return disk, rows


def claim_table(disk, memory):
    lines = ["| jobs | accepted a second | claim µs | p99 | without the disk, µs | p99 | stats µs | "
             "memory MiB | file MiB |", "| --- |" + " --- |" * 8]
    for name, row in disk.items():
        bare = memory[name]
        cells = [f"{row['accepted']:,.0f}" if row["accepted"] else "", f"{row['claim']:.0f}",
                 f"{row['p99']:.0f}", f"{bare['claim']:.0f}", f"{bare['p99']:.0f}",
                 f"{row['stats']:.0f}", f"{row['memory']:.1f}", f"{row['file']:.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


# ---- the daemon


class Daemon:
    def __init__(self, work, journal, source, sink):
        self.port, self.admin = free_port(), free_port()
        command = [rig.EGRESS, "serve", "--log-level", "error", "--to", "s3://bench",
                   "--endpoint-url", sink.url, "--unsigned-payload", "--listen",
                   f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}", "--journal",
                   journal, "--sync-every", "0"]
        began = time.monotonic()
        self.process = subprocess.Popen([str(word) for word in command],
                                        env=rig.environment(work, source.url))
        self.connections = {}
        while True:
            try:
                self.status()
                break
            except OSError:
                self.connections = {}
                if self.process.poll() is not None:
                    sys.exit("bench: egress serve has ended")
                time.sleep(0.001)
        self.start_ms = 1000 * (time.monotonic() - began)

    def ask(self, port, method, path, body=None):
        """The answer, and how many milliseconds it took."""
        if port not in self.connections:
            self.connections[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        began = time.monotonic()
        self.connections[port].request(method, path, body, {"x-egress-request": "1"})
        answer = self.connections[port].getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"bench: {method} {path}: {answer.status}")
        return json.loads(text), 1000 * (time.monotonic() - began)

    def status(self):
        return self.ask(self.admin, "GET", "/api/status")[0]

    def pause(self, paused):
        self.ask(self.admin, "POST", "/api/pause" if paused else "/api/resume")

    def resident_mib(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / rig.MIB

    def stop(self):
        self.process.terminate()
        if self.process.wait(60) != 0:
            sys.exit("bench: egress serve did not end well")


def fill(work, jobs, source, sink):
    """A journal with so many jobs to be begun."""
    path = work / f"journal-{jobs}"
    daemon = Daemon(work, path, source, sink)
    daemon.pause(True)
    daemon.stop()
    db = sqlite3.connect(path)
    db.execute(FILL, {"jobs": jobs, "now": time.time_ns() // 1000000})
    db.commit()
    db.close()
    return path


def waits(daemon):
    """name -> milliseconds of each answer, while jobs are transferred."""
    page = daemon.ask(daemon.admin, "GET", "/api/jobs?limit=50")[0]
    asks = {
        "webhook": (daemon.port, "POST", "/job-complete"),
        "/api/status": (daemon.admin, "GET", "/api/status"),
        "/api/jobs": (daemon.admin, "GET", "/api/jobs?limit=50"),
        "its next page": (daemon.admin, "GET", f"/api/jobs?limit=50&after={page['next']}"),
        "by prefix": (daemon.admin, "GET", "/api/jobs?limit=50&prefix=a1"),
    }
    found = {name: [] for name in asks}
    for number in range(ASKED):
        for name, (port, method, path) in asks.items():
            body = EVENT % number if path == "/job-complete" else None
            found[name].append(daemon.ask(port, method, path, body)[1])
    return found


def measure(work, jobs, source, sink):
    path = fill(work, jobs, source, sink)
    daemon = Daemon(work, path, source, sink)
    run = {"start": daemon.start_ms, "memory at the start": daemon.resident_mib()}
    daemon.pause(False)
    began, before = time.monotonic(), daemon.status()["jobs"]["stored"]
    time.sleep(SECONDS)
    status = daemon.status()
    run["jobs/s"] = (status["jobs"]["stored"] - before) / (time.monotonic() - began)
    run["left"] = status["jobs"]["ready"]
    run["waits"] = waits(daemon)
    run["memory"] = daemon.resident_mib()
    daemon.stop()
    return run


def p99(values):
    return sorted(values)[len(values) * 99 // 100]


def daemon_table(runs):
    lines = ["| jobs to be begun | start ms | memory MiB at the start | later | jobs/s |",
             "| --- |" + " --- |" * 4]
    for jobs, run in runs.items():
        lines.append(f"| {jobs:,} | {run['start']:.0f} | {run['memory at the start']:.1f} | "
                     f"{run['memory']:.1f} | {run['jobs/s']:.0f} |")
    names = list(next(iter(runs.values()))["waits"])
    lines += ["", f"| answers meanwhile, ms (p99) | {' | '.join(names)} |",
              "| --- |" + " --- |" * len(names)]
    for jobs, run in runs.items():
        cells = [f"{statistics.median(run['waits'][name]):.1f} ({p99(run['waits'][name]):.1f})"
                 for name in names]
        lines.append(f"| {jobs:,} | {' | '.join(cells)} |")
    return lines


def describe(jobs, disk_said, disk, memory, runs):
    last = disk[f"{jobs:,} ready"]
    verdict = "reached" if last["claim"] < CLAIM_US else "not reached"
    return "\n".join([
        f"`make bench ONLY=journal`; a thousand claims of one job each for a row; median, p99:",
        "", *claim_table(disk, memory), "",
        f"Wanted of a claim with {jobs:,} jobs queued: less than {CLAIM_US / 1000:g} ms ({verdict}), "
        f"and memory that does not grow with them. A claim is on disk before it is answered: the "
        f"columns without the disk are the same run on a journal in {MEMORY}. For comparison, "
        f"{disk_said.replace('the disk: ', '')} here.",
        "",
        f"`egress serve` with such a journal, into the sink of bench/ends, for {SECONDS} s; then "
        f"{ASKED} requests of each kind, one at a time, while jobs are transferred:",
        "", *daemon_table(runs), "",
        f"Machine: {report.machine()}, journal on {file_system()}.",
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100000 if rig.QUICK else 1000000)
    args = parser.parse_args()
    disk_said, disk = claims(BUILD / "bench", args.jobs)
    _, memory = claims(MEMORY, args.jobs)
    with rig.workplace() as work, rig.servers(rig.source(64 * KIB), rig.sink()) as (source, sink):
        runs = {jobs: measure(work, jobs, source, sink) for jobs in (args.jobs // 10, args.jobs)}
    report.give("journal", "A million queued jobs",
                describe(args.jobs, disk_said, disk, memory, runs))


if __name__ == "__main__":
    main()
