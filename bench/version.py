# SPDX-License-Identifier: Apache-2.0
"""The start of the command-line program: `egress --version` from its start to its end, beside the
least that a program of the C library takes (true), and the other clients'.

Its result goes into docs/performance.md.
"""

import subprocess

import peers
import report
import rig

ROUNDS = 5 if rig.QUICK else 41
OURS, LEAST = "egress --version", "/bin/true"
COMMANDS = {
    LEAST: ["/bin/true"],
    OURS: [rig.EGRESS, "--version"],
    "curl --version": ["curl", "--version"],
    "rclone version": ["rclone", "version"],
    "aws --version": ["/usr/bin/aws", "--version"],
    "s5cmd version": [str(peers.S5CMD), "version"],
}


def libraries():
    """Shared files that the loader brings in for egress."""
    done = subprocess.run(["ldd", rig.EGRESS], capture_output=True, text=True)
    return sum("=>" in line for line in done.stdout.splitlines())


def describe(results):
    lines = ["| command | ms | CPU ms | peak memory MiB |", "| --- | --- | --- | --- |"]
    for name, runs in results.items():
        cells = [report.spread([1000 * r["wall"] for r in runs]),
                 report.spread([1000 * r["cpu"] for r in runs]),
                 report.spread([r["peak"] for r in runs], 1)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([
        f"`make bench ONLY=version` ({ROUNDS} interleaved rounds after one to warm up; median, "
        "smallest and largest):",
        "", *lines, "",
        f"Machine: {report.machine()}.", "",
        f"What egress takes is the dynamic loader's work: {libraries()} shared libraries, most of "
        "them libcurl's. Nothing is begun before the command is known: no library's own start, no "
        "TLS, no file of settings. `make static` builds the same program without a loader.",
    ])


def main():
    todo = {name: command for name, command in COMMANDS.items() if peers.works(*command)}
    with rig.workplace() as work:
        env = rig.environment(work, "http://127.0.0.1:1")
        results = rig.rounds(todo, lambda name: rig.measure(todo[name], env, work), ROUNDS + 1)
    rig.failed(results)
    results = {name: runs[1:] for name, runs in results.items()}
    report.give("version", "Start of the command-line program", describe(results))


if __name__ == "__main__":
    main()
