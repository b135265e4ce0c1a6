# SPDX-License-Identifier: Apache-2.0
"""How cost grows: CPU and memory with the size of an output, from 1 MiB to 20 GiB; jobs a second with
how many run at a time, from 1 to 512; memory with --memory. egress alone; as charts.

Its result goes into docs/performance.md.
"""

import chart
import report
import rig
from rig import GIB, KIB, MIB

LATENCY_MS = 30
SIZES = [MIB, 8 * MIB, 64 * MIB, 512 * MIB, GIB, 4 * GIB, 20 * GIB]
AT_ONCE = [1, 2, 8, 32, 64, 128, 256, 512]
MEMORIES = [16, 32, 64, 128, 256, 512, 1024]
JOBS_MAX = 2000
if rig.QUICK:
    SIZES, AT_ONCE, MEMORIES, JOBS_MAX = SIZES[:4], AT_ONCE[::3], MEMORIES[::3], 200


def command(sink, *more):
    return [rig.EGRESS, "fetch", "--to", "s3://bench", "--endpoint-url", sink.url, "--log-level",
            "error", "--json", "--unsigned-payload", *more]


def run(work, source, what, stdin=None):
    return rig.measure(what, rig.environment(work, source.url), work, stdin)


def good(results):
    rig.failed(results)
    return results


def by_size(work):
    """Several outputs of the small sizes, one after the other, so that the start of the program is
    not all there is to see: as many as make 64 MiB."""
    found = {}
    for size in SIZES:
        count = max(1, 64 * MIB // size)
        ids = "".join(f"job-{i:06}\n" for i in range(count))
        n = min(rig.ROUNDS, 3) if size > GIB else rig.ROUNDS
        with rig.servers(rig.source(size), rig.sink()) as (source, sink):
            what = command(sink, "--concurrency", "1", "-")
            runs = good(rig.rounds([f"{size // MIB} MiB, {count} times"],
                                   lambda _: run(work, source, what, ids), n))
        (found[size],) = runs.values()
        for one in found[size]:
            one["per_gib"] = one["cpu"] * GIB / (size * count)
    return found


def by_jobs(work):
    found = {}
    ends = (rig.source(64 * KIB), rig.sink(), rig.sink("--latency", LATENCY_MS))
    with rig.servers(*ends) as (source, at_once, late):
        for name, sink in (("no latency", at_once), (f"{LATENCY_MS} ms of latency", late)):
            found[name] = {}
            for n in AT_ONCE:
                jobs = JOBS_MAX if sink is at_once else min(JOBS_MAX, 64 * n)
                ids = "".join(f"job-{i:06}\n" for i in range(jobs))
                what = command(sink, "--concurrency", str(n), "-")
                (runs,) = good(rig.rounds([f"{n} at a time, {name}"],
                                          lambda _: run(work, source, what, ids))).values()
                for one in runs:
                    one["rate"] = jobs / one["wall"]
                found[name][n] = runs
    return found


def by_memory(work):
    found, size = {}, GIB // (8 if rig.QUICK else 1)
    with rig.servers(rig.source(size), rig.sink("--latency", LATENCY_MS)) as (source, sink):
        for memory in MEMORIES:
            what = command(sink, "--memory", f"{memory}MiB", "job-000000")
            (found[memory],) = good(rig.rounds([f"--memory {memory}MiB"],
                                               lambda _: run(work, source, what))).values()
    return found


def describe(sizes, jobs, memories):
    size_lines = ["| output | CPU s per GiB | peak memory MiB |", "| --- | --- | --- |"]
    for size, runs in sizes.items():
        size_lines.append(f"| {size // MIB} MiB | {report.spread([r['per_gib'] for r in runs])} | "
                          f"{report.spread([r['peak'] for r in runs], 1)} |")
    job_lines = [f"| at a time | {' | '.join(f'jobs/s, {name}' for name in jobs)} |",
                 "| --- |" + " --- |" * len(jobs)]
    for n in AT_ONCE:
        cells = [report.spread([r["rate"] for r in runs[n]], 0) for runs in jobs.values()]
        job_lines.append(f"| {n} | {' | '.join(cells)} |")
    memory_lines = ["| --memory MiB | peak memory MiB | wall s |", "| --- | --- | --- |"]
    for memory, runs in memories.items():
        memory_lines.append(f"| {memory} | {report.spread([r['peak'] for r in runs], 1)} | "
                            f"{report.spread([r['wall'] for r in runs])} |")
    pictures = [
        chart.lines("growth-size", "CPU of the client per GiB", "size of an output, MiB", "s",
                    {"egress": [(s / MIB, rig.median(r, "per_gib")) for s, r in sizes.items()]}),
        chart.lines("growth-jobs", "Outputs of 64 KiB a second", "jobs at a time", "jobs/s",
                    {name: [(n, rig.median(r, "rate")) for n, r in runs.items()]
                     for name, runs in jobs.items()}),
        chart.lines("growth-memory", "Peak memory", "--memory, MiB", "MiB",
                    {"peak": [(m, rig.median(r, "peak")) for m, r in memories.items()],
                     "--memory": [(m, m) for m in memories]}),
    ]
    return "\n".join([
        f"`make bench ONLY=growth` ({rig.ROUNDS} runs each, 3 of what is over 1 GiB; median, "
        "smallest and largest):",
        "", "Outputs of one size, one at a time, as many as make 64 MiB at least:",
        "", *size_lines, "", pictures[0], "",
        "Outputs of 64 KiB, so many at a time:",
        "", *job_lines, "", pictures[1], "",
        f"One large output, {LATENCY_MS} ms of latency:",
        "", *memory_lines, "", pictures[2], "",
        f"Machine: {report.machine()}.",
    ])


def main():
    with rig.workplace() as work:
        found = by_size(work), by_jobs(work), by_memory(work)
    report.give("growth", "How cost grows", describe(*found))


if __name__ == "__main__":
    main()
