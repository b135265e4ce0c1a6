# SPDX-License-Identifier: Apache-2.0
"""Webhook to stored object: 10,000 outputs of 64 KiB through `egress serve`, from the first webhook to
the last object, beside the bare engine, `egress fetch` of the same ids with the same settings. Into
the sink of bench/ends and into a directory.

Its result goes into docs/performance.md.
"""

import argparse
import os
import subprocess
import sys
import time
import urllib.error
from pathlib import Path

import report
import rig
from rig import KIB
from soak import call
from webhooks import file_system, free_port

SIZE = 64 * KIB
CONNECTIONS = 64  # of the sender
WANTED = 0.7
FETCH, SERVE = "egress fetch", "egress serve"
S3, DIRECTORY = "S3", "a directory"


class Place:
    """Where objects go, anew for each run: flags, and what is wrong with what was stored."""

    def __init__(self, kind, work, sink):
        self.kind, self.sink, self.out = kind, sink, work / f"out-{time.monotonic_ns()}"

    def flags(self):
        shared = ["--log-level", "error"]
        if self.kind == S3:
            return [*shared, "--to", "s3://bench", "--endpoint-url", self.sink.url,
                    "--unsigned-payload"]
        self.out.mkdir()
        return [*shared, "--to", f"file://{self.out}"]

    def fault(self, jobs, expected):
        if self.kind == S3:
            return rig.checked(self.sink.get("/_stats"), jobs, expected)
        stored = [path for path in self.out.glob("job-*/*") if path.stat().st_size == SIZE]
        subprocess.run(["rm", "-rf", self.out], check=True)
        return None if len(stored) == jobs else f"{len(stored)} outputs are stored, not {jobs}"


def fetch(jobs, work, source, place):
    ids = "".join(f"job-{i:06}\n" for i in range(jobs))
    command = [rig.EGRESS, "fetch", *place.flags(), "--json", "-"]
    return rig.measure(command, rig.environment(work, source.url), work, ids)


def send(port, jobs):
    """Returns once each webhook was answered with 200."""
    command = [report.BUILD / "bench" / "send_webhooks", port, jobs, CONNECTIONS]
    done = subprocess.run([str(word) for word in command], stderr=subprocess.PIPE, text=True)
    return done.stderr or None


def wait_until(what, process):
    deadline = time.monotonic() + rig.PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if what():
                return None
        except OSError:
            pass
        time.sleep(0.05)
    return "egress serve has ended, or does not come to an end"


def serve(jobs, work, source, place):
    port, admin = free_port(), free_port()
    journal = work / f"journal-{time.monotonic_ns()}"
    command = [rig.EGRESS, "serve", *place.flags(), "--listen", f"127.0.0.1:{port}", "--admin",
               f"127.0.0.1:{admin}", "--journal", journal, "--sync-every", "0"]
    process = subprocess.Popen([str(word) for word in command],
                               env=rig.environment(work, source.url))
    def stored():
        return call(f"http://127.0.0.1:{admin}/api/status")["jobs"]["stored"]
    fault = wait_until(lambda: stored() == 0, process)
    began = time.monotonic()
    fault = fault or send(port, jobs)
    answered = time.monotonic() - began
    fault = fault or wait_until(lambda: stored() == jobs, process)
    wall = time.monotonic() - began
    process.terminate()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if fault or process.returncode:
        return {"failed": fault or f"status {process.returncode}"}
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1024,
            "answered": answered}


RUNS = {FETCH: fetch, SERVE: serve}


def measure(jobs, work, source, kind, sink):
    def run(name):
        return RUNS[name](jobs, work, source, Place(kind, work, sink))

    for name in RUNS:  # to warm up, and to see that it is right
        with rig.servers(rig.sink("--check")) as (checking,):
            place = Place(kind, work, checking)
            done = RUNS[name](jobs, work, source, place)
            fault = done.get("failed") or place.fault(jobs, source.get("/_crc32c"))
        if fault:
            sys.exit(f"bench: {name}, {kind}: {fault}")
    return rig.rounds(RUNS, run)


def table(jobs, kind, results):
    lines = [f"Into {kind}:", "", "| | jobs/s | CPU ms a job | peak memory MiB |",
             "| --- | --- | --- | --- |"]
    for name, runs in results.items():
        cells = [report.spread([jobs / r["wall"] for r in runs], 0),
                 report.spread([1000 * r["cpu"] / jobs for r in runs]),
                 report.spread([r["peak"] for r in runs], 1)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    shares = [a["wall"] / b["wall"] for a, b in zip(results[FETCH], results[SERVE])]
    answered = report.spread([r["answered"] for r in results[SERVE]])
    return [*lines, "",
            f"- jobs/s of egress serve against the bare engine: {report.spread(shares)} (wanted: "
            f"at least {WANTED:g}); all webhooks were answered after {answered} s", ""]


def describe(jobs, found):
    return "\n".join([
        f"`make bench ONLY=serve` ({jobs} outputs of 64 KiB, {rig.ROUNDS} interleaved rounds after "
        "one to warm up, in which what was stored is compared with what the source has; median, "
        "smallest and largest; shares within one round):",
        "", *[line for kind, results in found.items() for line in table(jobs, kind, results)],
        f"Machine: {report.machine()}, journal and directory on {file_system()}.", "",
        f"Both with their default settings. A webhook for each job is sent over {CONNECTIONS} "
        "connections (`bench/send_webhooks.c`); time runs from before the first to when the journal has the last job as "
        "stored. What egress fetch does is looked up, copied and given a receipt just so; egress "
        "serve besides takes the webhook in and writes down what it has claimed and what it has "
        "stored. The sender and both ends run on the same processors.",
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000 if rig.QUICK else 10000)
    parser.add_argument("--into", choices=[S3, DIRECTORY], action="append")
    args = parser.parse_args()
    with rig.workplace() as work, rig.servers(rig.source(SIZE), rig.sink()) as (source, sink):
        found = {kind: measure(args.jobs, Path(work), source, kind, sink)
                 for kind in args.into or (S3, DIRECTORY)}
    report.give("serve", "From webhooks to stored objects", describe(args.jobs, found))


if __name__ == "__main__":
    main()
