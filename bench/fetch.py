# SPDX-License-Identifier: Apache-2.0
"""One output of 1 GiB from an http source into S3, through egress and through what else can do it:
plain, with the store behind TLS, and with a store that takes 30 ms to answer. Beside them curl's GET
to nowhere and curl's PUT of a file, which are the two halves of it.

Its result goes into docs/performance.md.
"""

import argparse
import ssl
import sys
import urllib.request

import chart
import peers
import report
import rig
from peers import CRT, CRT_TUNED, EGRESS, EGRESS_SIGNED, GET, PUT
from rig import GIB, MIB

LATENCY_MS = 30
OUTPUT = "/files/job-000000.bin"
HALVES = "curl, both halves"
NO_WAIT = f"{EGRESS}, no latency"
AS_CRT = f"{EGRESS}, in the memory that the CRT takes"


def write_file(path, source):
    with urllib.request.urlopen(source.url + OUTPUT) as body, open(path, "wb") as file:
        while piece := body.read(MIB):
            file.write(piece)


class Case:
    """A source, a sink, and the clients that are there, each of which stores the right bytes."""

    def __init__(self, work, size, tls, *sink_options):
        pem, authority = rig.certificate(work) if tls else (None, None)
        options = [*sink_options, *(["--tls", pem] if tls else [])]
        self.context = ssl.create_default_context(cafile=authority) if tls else None
        self.peaks = {}  # MiB, of the first runs
        self.work, self.servers = work, [rig.source(size), rig.sink(*options)]
        self.source, self.sink = self.servers
        self.checking = rig.sink(*options, "--check")
        self.servers.append(self.checking)
        self.env = rig.environment(work, self.source.url, authority)
        self.authority, self.file = authority and str(authority), work / "file"
        if not self.file.exists():
            write_file(self.file, self.source)

    def job(self, sink):
        return peers.Job(self.source.url + OUTPUT, sink.url, str(self.file), self.authority)

    def run(self, command, sink=None):
        return rig.measure(command(self.job(sink or self.sink)), self.env, self.work)

    def check(self, programs):
        """One run of each, whose outcome is looked at; it warms up, too. Returns why those that
        cannot be measured cannot."""
        expected, wrong = self.source.get("/_crc32c"), {}
        for name, command in programs.items():
            done = self.run(command, self.checking)
            stats = self.checking.get("/_stats", self.context)
            fault = done.get("failed") or rig.checked(stats, name not in peers.STORES_NOTHING,
                                                      expected)
            if fault and name.startswith("egress"):
                sys.exit(f"bench: {name}: {fault}")
            if fault:
                wrong[name] = fault
            self.peaks[name] = done.get("peak")
        return wrong


def present(names, wrong):
    gone = peers.missing()
    wrong.update({name: gone[name] for name in names if name in gone})
    return {name: peers.COMMANDS[name] for name in names if name not in gone}


def escaped(name):
    """In a table a pipe ends the cell."""
    return name.replace("|", "\\|")


def table(results, halves=None):
    head = ["client", "CPU s", "wall s", "peak memory MiB"]
    head += ["CPU, curl's two halves = 1"] if halves else []
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for name, runs in results.items():
        cells = [report.spread([run["cpu"] for run in runs]),
                 report.spread([run["wall"] for run in runs]),
                 report.spread([run["peak"] for run in runs], 1)]
        if halves:
            cells.append(f"{rig.ratio(runs, halves, 'cpu'):.2f}")
        lines.append(f"| {escaped(name)} | {' | '.join(cells)} |")
    return lines


def both_halves(results):
    return [{"cpu": get["cpu"] + put["cpu"], "wall": get["wall"] + put["wall"],
             "peak": max(get["peak"], put["peak"])}
            for get, put in zip(results[GET], results[PUT])]


def plain_or_tls(work, size, tls):
    wrong = {}
    programs = present(list(peers.COMMANDS), wrong)
    case = Case(work, size, tls)
    with rig.servers(*case.servers):
        wrong.update(case.check(programs))
        programs = {name: how for name, how in programs.items() if name not in wrong}
        results = rig.rounds(programs, lambda name: case.run(programs[name]))
        wrong.update(rig.failed(results))
    halves = both_halves(results)
    results[HALVES] = halves
    return results, halves, wrong


def with_latency(work, size):
    """The first program is egress at a store that answers at once, in the same rounds."""
    wrong = {}
    programs = present([EGRESS, CRT, CRT_TUNED], wrong)
    case = Case(work, size, False, "--latency", str(LATENCY_MS))
    at_once = rig.sink()
    with rig.servers(*case.servers, at_once):
        wrong.update(case.check(programs))
        todo = {NO_WAIT: lambda: case.run(programs[EGRESS], at_once)}
        todo[EGRESS] = lambda: case.run(programs[EGRESS])
        if CRT in programs and CRT not in wrong:
            # What a run takes besides --memory is what it took with the default of 64 MiB.
            memory = 64 + max(0, round(case.peaks[CRT] - case.peaks[EGRESS]))
            todo[AS_CRT] = lambda: case.run(
                lambda job: peers.egress(job, "--unsigned-payload", "--memory", f"{memory}MiB"))
        for name in (CRT, CRT_TUNED):
            if name in programs and name not in wrong:
                todo[name] = lambda name=name: case.run(programs[name])
        results = rig.rounds(todo, lambda name: todo[name]())
        wrong.update(rig.failed(results))
        return results, wrong


def verdict(words, value, wanted):
    return f"- {words}: {value:.2f} (wanted: at most {wanted:g})"


def against_peers(results, what):
    ours = results[EGRESS]
    below = []
    for name, runs in results.items():
        if name.startswith("egress") or name in (GET, PUT, HALVES):
            continue
        below.append(f"{name} {rig.ratio(ours, runs, what):.2f}")
    return "; ".join(below)


def describe_missing(wrong):
    return [f"Not measured: {'; '.join(f'{name} ({why})' for name, why in wrong.items())}.", ""] \
        if wrong else []


def describe(size, plain, tls, latency):
    results, halves, wrong = plain
    per_gib = GIB / size
    picture = chart.bars("fetch-cpu", "CPU seconds of the client for 1 GiB", [
        (name, rig.median(runs, "cpu") * per_gib) for name, runs in results.items()])
    tls_results, tls_halves, tls_wrong = tls
    waits, wait_wrong = latency
    text = [
        f"`make bench ONLY=fetch` ({size / GIB:g} GiB, {rig.ROUNDS} interleaved rounds after one to "
        "warm up, in which what each one stored is compared with what the source has; median, "
        "smallest and largest; ratios are medians of those within one round):",
        "", *table(results, halves), "", picture, "",
        *describe_missing(wrong),
        verdict("CPU against both halves of curl", rig.ratio(results[EGRESS], halves, "cpu"), 0.9),
        f"- CPU against each peer: {against_peers(results, 'cpu')} (wanted: below 1)",
        verdict("peak memory, MiB", rig.median(results[EGRESS], "peak"), 80),
        "", "The store behind TLS (1.3 with AES-128-GCM, the same for all; the source is plain):",
        "", *table(tls_results, tls_halves), "", *describe_missing(tls_wrong),
        f"- CPU against each peer: {against_peers(tls_results, 'cpu')} (wanted: below 1)",
        "", f"With {LATENCY_MS} ms from the end of each PUT and POST to its answer:",
        "", *table(waits), "", *describe_missing(wait_wrong),
        verdict("wall against no latency", rig.ratio(waits[EGRESS], waits[NO_WAIT], "wall"), 1.6),
    ]
    if AS_CRT in waits:
        text.append(verdict("wall against the AWS CRT, in as much memory",
                            rig.ratio(waits[AS_CRT], waits[CRT], "wall"), 1))
    return "\n".join([
        *text, "", f"Machine: {report.machine()}. Peers: {peers.versions()}.", "",
        "CPU is user and system time of the client alone, curl before a pipe included. Both ends "
        "are `bench/ends/`: the source sends by sendfile(2), the sink has the kernel throw the "
        "bytes away. egress, the AWS CRT and boto3 read the output from http themselves. egress "
        "and the AWS CRT take and send a CRC32C; nobody signs bodies who can leave that out: "
        "rclone, s5cmd and `egress fetch` without `--unsigned-payload` sign them over plain http. "
        "curl's halves are a GET to /dev/null and a PUT of a file that lies in the page cache, one "
        "after the other. Servers and client share the machine, so wall time says little about a "
        "network.",
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=(GIB // 8 if rig.QUICK else GIB), help="bytes")
    args = parser.parse_args()
    with rig.workplace() as work:
        plain = plain_or_tls(work, args.size, False)
        tls = plain_or_tls(work, args.size, True)
        latency = with_latency(work, args.size)
    report.give("fetch", "From the Platform into a store",
                describe(args.size, plain, tls, latency))


if __name__ == "__main__":
    main()
