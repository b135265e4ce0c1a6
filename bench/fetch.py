# SPDX-License-Identifier: Apache-2.0
"""The one figure: 1 GiB from the simulator into a sink that discards it, through egress; beside it
curl's GET to /dev/null and curl's PUT of a file to the same sink, which are the two halves of it.

Runs are interleaved, so that a busy machine is busy for all; ratios are taken within one round.
Its result goes into docs/performance.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import report
from report import BUILD

GIB = 1 << 30


class Server:
    """A program that prints {"listening": URL, ...} when it is ready."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench: {command[0]} did not start")
        self.ready = json.loads(line)
        self.url = self.ready["listening"]

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def measure(command, env, out):
    """One run of a command: wall and CPU seconds, peak memory."""
    done = subprocess.run(
        [BUILD / "bench" / "measure", out, *command], env=env, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"bench: {command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    run = json.loads(Path(out).read_text())
    run["cpu"] = run["user"] + run["sys"]
    return run


def get_json(url, *options):
    done = subprocess.run(["curl", "-sSf", *options, url], capture_output=True, check=True)
    return json.loads(done.stdout)


def commands(size, sim, sink, file, headers):
    """Name -> how to run it for one job id, and how many bytes the sink must then have seen."""
    egress = [BUILD / "egress", "fetch", "--to", "s3://bench", "--endpoint-url", sink.url]
    egress += ["--log-level", "error"]
    curl, output = ["curl", "-sSf"], f"{sim.url}/v1/jobs/%s/output"
    return {
        "egress fetch --unsigned-payload": (lambda job: [*egress, "--unsigned-payload", job], size),
        "egress fetch": (lambda job: [*egress, job], size),
        "curl GET": (lambda job: [*curl, "-H", f"@{headers}", "-o", "/dev/null", output % job], 0),
        "curl PUT": (lambda job: [*curl, "-T", file, f"{sink.url}/bench/{job}"], size),
    }


def rounds(args, sim, sink, work):
    env = {
        "PATH": os.environ["PATH"],
        "HOME": work,
        "VOXEL51_API_PRIVATE_KEY": sim.ready["token"],
        "VOXEL51_API_BASE_URL": sim.url,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret",
    }
    headers, file, out = f"{work}/headers", f"{work}/file", f"{work}/out"
    Path(headers).write_text(f"Authorization: Bearer {sim.ready['token']}\n")
    job = get_json(f"{sim.url}/v1/jobs/list", "-H", f"@{headers}")["jobs"][0]["id"]
    with open(file, "wb") as big:
        for _ in range(args.size >> 20):
            big.write(os.urandom(1 << 20))
    todo = commands(args.size, sim, sink, file, headers)
    results = {name: [] for name in todo}
    for number in range(args.runs + 1):  # the first one warms up and is not counted
        for name, (command, sent) in todo.items():
            get_json(f"{sink.url}/_stats")
            run = measure(command(job), env, out)
            stored = get_json(f"{sink.url}/_stats")["bytes"]
            # More than the output itself: the receipt, and the answers' bodies.
            if not sent <= stored <= sent + (1 << 20):
                sys.exit(f"bench: {name} sent {stored} bytes, not {sent}")
            if number > 0:
                results[name].append(run)
                print(
                    f"{number}  {name:34} {run['wall']:6.2f} s wall  {run['cpu']:6.2f} s CPU  "
                    f"{run['peak_kib'] / 1024:6.1f} MiB",
                    flush=True,
                )
    return results


def describe(args, results):
    halves = [
        {"cpu": get["cpu"] + put["cpu"], "wall": get["wall"] + put["wall"],
         "peak_kib": max(get["peak_kib"], put["peak_kib"])}
        for get, put in zip(results["curl GET"], results["curl PUT"])
    ]
    table = [
        "| client | CPU s | wall s | peak memory MiB | CPU, curl's two halves = 1 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, runs in [*results.items(), ("curl, both halves", halves)]:
        ratios = [run["cpu"] / both["cpu"] for run, both in zip(runs, halves)]
        cells = [
            report.spread([run["cpu"] for run in runs]),
            report.spread([run["wall"] for run in runs]),
            report.spread([run["peak_kib"] / 1024 for run in runs], 1),
            report.spread(ratios),
        ]
        table.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([
        f"`make bench ONLY=fetch` ({args.size / GIB:g} GiB, {args.runs} interleaved rounds after "
        "one to warm up; median, smallest and largest; ratios within one round):",
        "",
        *table,
        "",
        f"Machine: {report.machine()}.",
        "",
        "CPU is user and system time of the client alone. egress reads from the simulator and "
        "writes to the sink in one go, with a CRC32C of every byte, and over plain http a SHA-256 "
        "of every byte for the signature unless `--unsigned-payload` (over https it never does). "
        "curl's halves are a GET to /dev/null and a PUT of a file that lies in the page cache, one "
        "after the other. Servers and client share the machine, so wall time says little about a "
        "network.",
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=GIB, help="bytes")
    parser.add_argument("--dry-run", action="store_true", help="print the result, write nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=BUILD / "bench") as work:
        sim = Server(BUILD / "egress-sim", "--listen", "127.0.0.1:0", "--generate", "1",
                     "--size", str(args.size))
        sink = Server(BUILD / "bench" / "sinkhole")
        try:
            results = rounds(args, sim, sink, work)
        finally:
            sim.stop()
            sink.stop()
    report.give("fetch", "From the Platform into a store", describe(args, results), args.dry_run)


if __name__ == "__main__":
    main()
