# SPDX-License-Identifier: Apache-2.0
"""One large output from a source that takes 30 ms to answer and sends no more than so many bytes a
second on one connection: egress with one stream, and with --ranges.

Its result goes into docs/performance.md.
"""

import sys

import chart
import report
import rig
from rig import MIB

LATENCY_MS = 30
RATE = 32 * MIB
SIZE = (256 if rig.QUICK else 512) * MIB
CASES = {  # --ranges, --memory
    "1": (1, "64MiB"),
    "2": (2, "64MiB"),
    "4": (4, "64MiB"),
    "8": (8, "64MiB"),
    "8, --memory 128MiB": (8, "128MiB"),
    "16, --memory 256MiB": (16, "256MiB"),
}


def run(name, work, source, sink):
    ranges, memory = CASES[name]
    command = [rig.EGRESS, "fetch", "--to", "s3://bench", "--endpoint-url", sink.url, "--log-level",
               "error", "--json", "--unsigned-payload", "--ranges", str(ranges), "--memory", memory,
               "job-000000"]
    return rig.measure(command, rig.environment(work, source.url), work)


def check(work, source):
    with rig.servers(rig.sink("--check")) as (sink,):
        for name in CASES:
            done = run(name, work, source, sink)
            fault = done.get("failed") or rig.checked(sink.get("/_stats"), 1,
                                                      source.get("/_crc32c"))
            if fault:
                sys.exit(f"bench: --ranges {name}: {fault}")


def describe(results):
    lines = ["| --ranges | wall s | one stream = 1 | CPU s | peak memory MiB |",
             "| --- | --- | --- | --- | --- |"]
    gains = {}
    for name, runs in results.items():
        gains[name] = rig.ratio(results["1"], runs, "wall")
        cells = [report.spread([r["wall"] for r in runs]), f"{gains[name]:.2f} times as fast",
                 report.spread([r["cpu"] for r in runs]),
                 report.spread([r["peak"] for r in runs], 1)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    picture = chart.bars("ranges", "MiB a second", [
        (f"egress --ranges {name}", SIZE / MIB / rig.median(runs, "wall"))
        for name, runs in results.items()])
    return "\n".join([
        f"`make bench ONLY=ranges` ({SIZE // MIB} MiB; the source answers after {LATENCY_MS} ms and "
        f"sends {RATE // MIB} MiB a second on each connection; {rig.ROUNDS} interleaved rounds after "
        "one to warm up, in which what was stored is compared with what the source has; median, "
        "smallest and largest):",
        "", *lines, "", picture, "",
        f"- with 8, against one stream: {gains['8']:.2f} times as fast (wanted: at least 4)",
        "", f"Machine: {report.machine()}.", "",
        "A part is in memory whole, so that --memory 64MiB has room for seven of 8 MiB at a time. "
        "The first stream brings the first part and is then cut; each other part is a request.",
    ])


def main():
    with rig.workplace() as work:
        ends = (rig.source(SIZE, "--latency", LATENCY_MS, "--rate", RATE), rig.sink())
        with rig.servers(*ends) as (source, sink):
            check(work, source)
            results = rig.rounds(CASES, lambda name: run(name, work, source, sink))
    rig.failed(results)
    report.give("ranges", "One large output in several parts at a time", describe(results))


if __name__ == "__main__":
    main()
