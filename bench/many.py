# SPDX-License-Identifier: Apache-2.0
"""2,000 outputs of 64 KiB from an http source into S3: egress, which asks the Platform for the
details of each job and writes a receipt for it, beside rclone, which copies a folder. With a store
that answers at once, and with one that takes 30 ms to answer a PUT or POST.

Its result goes into docs/performance.md.
"""

import argparse
import sys

import chart
import peers
import report
import rig
from rig import KIB

LATENCY_MS = 30
SIZE = 64 * KIB
RCLONE = "rclone copy, tuned"
TUNED = ["--transfers", "64", "--checkers", "64", "--no-traverse", "--no-check-dest"]


def egress(concurrency):
    return lambda sink, source: [
        rig.EGRESS, "fetch", "--to", "s3://bench", "--endpoint-url", sink.url, "--log-level",
        "error", "--json", "--unsigned-payload", "--concurrency", str(concurrency), "-"]


def rclone(sink, source):
    return [*peers.RCLONE, "copy", ":http:", ":s3:bench/files", "--http-url", f"{source.url}/files/",
            *TUNED, *peers.rclone_s3(sink.url)]


def programs():
    todo = {f"egress fetch --concurrency {n}": egress(n) for n in (16, 64, 256)}
    if RCLONE.split()[0] not in " ".join(peers.missing()):
        todo[RCLONE] = rclone
    return todo


def run(todo, jobs, work, source, sink):
    ids = "".join(f"job-{i:06}\n" for i in range(jobs))
    env = rig.environment(work, source.url)
    return rig.measure(todo(sink, source), env, work, ids)


def requests(todo, jobs, work, source):
    """name -> requests a job, at the source and at the store; what was stored is looked at."""
    counts = {}
    with rig.servers(rig.sink("--check")) as (sink,):
        expected = source.get("/_crc32c")
        for name, command in todo.items():
            source.get("/_stats")
            done = run(command, jobs, work, source, sink)
            stats = sink.get("/_stats")
            fault = done.get("failed") or rig.checked(stats, jobs, expected)
            if fault:
                sys.exit(f"bench: {name}: {fault}")
            counts[name] = (source.get("/_stats")["requests"] / jobs, stats["requests"] / jobs)
    return counts


def table(jobs, results, counts):
    lines = ["| client | jobs/s | CPU ms a job | peak memory MiB | requests a job, source + store |",
             "| --- | --- | --- | --- | --- |"]
    for name, runs in results.items():
        cells = [report.spread([jobs / r["wall"] for r in runs], 0),
                 report.spread([1000 * r["cpu"] / jobs for r in runs]),
                 report.spread([r["peak"] for r in runs], 1),
                 "{:.2f} + {:.2f}".format(*counts[name])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if RCLONE in results:
        best = max((n for n in results if n != RCLONE),
                   key=lambda n: jobs / rig.median(results[n], "wall"))
        lines += ["", f"- jobs/s of {best} against rclone: "
                  f"{1 / rig.ratio(results[best], results[RCLONE], 'wall'):.2f} "
                  "(wanted: at least 1)"]
    return lines


def describe(jobs, at_once, late, counts):
    picture = chart.bars("many", f"Outputs of 64 KiB a second, {LATENCY_MS} ms of latency", [
        (name, jobs / rig.median(runs, "wall")) for name, runs in late.items()])
    gone = [] if RCLONE in at_once else ["Not measured: rclone (it is not there).", ""]
    return "\n".join([
        f"`make bench ONLY=many` ({jobs} outputs of 64 KiB, {rig.ROUNDS} interleaved rounds after "
        "one to warm up, in which what each one stored is compared with what the source has; "
        "median, smallest and largest; ratios are medians of those within one round):",
        "", *table(jobs, at_once, counts), "", *gone,
        f"With {LATENCY_MS} ms from the end of each PUT and POST to its answer:",
        "", *table(jobs, late, counts), "", picture, "",
        f"Machine: {report.machine()}. rclone's options: "
        f"`{' '.join([*TUNED, *peers.RCLONE_S3])}`.", "",
        "A job is, for egress, at the source its share of a request for details (one asks for up to "
        "100 jobs) and the output; at the store the output (PUT) and the receipt (PUT), and for "
        "those begun before the list of receipts was there (one request a thousand of them) the "
        "receipt that is not there yet (GET). Saved: that GET for all others, as long as there are "
        "not over five times as many receipts as jobs (there are none here); no HEAD of the "
        "object, before or after (the PUT says `If-None-Match: *`), no multipart upload for what "
        "fits into one part, no request for details of a job by itself, no `Expect: 100-continue`. "
        "rclone asks the source for the folder, and for each file with HEAD and GET; the store "
        "gets a PUT for each.",
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200 if rig.QUICK else 2000)
    args = parser.parse_args()
    todo = programs()
    with rig.workplace() as work:
        ends = (rig.source(SIZE, "--jobs", args.jobs), rig.sink(),
                rig.sink("--latency", LATENCY_MS))
        with rig.servers(*ends) as (source, at_once, late):
            counts = requests(todo, args.jobs, work, source)
            results = [rig.rounds(todo, lambda name, sink=sink: run(todo[name], args.jobs, work,
                                                                    source, sink))
                       for sink in (at_once, late)]
    for result in results:
        rig.failed(result)
    report.give("many", "Many small outputs", describe(args.jobs, *results, counts))


if __name__ == "__main__":
    main()
