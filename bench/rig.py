# SPDX-License-Identifier: Apache-2.0
"""What the measurements of transfers stand on: the two ends (bench/ends/), a run of one client, and
rounds of them.

Runs are interleaved, so that a busy machine is busy for all; ratios are taken within one round.
BENCH_QUICK=1 in the environment: one round of less, for a look; then nothing is written.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from report import BUILD, QUICK

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
ROUNDS = 1 if QUICK else 5
EGRESS = str(BUILD / "egress")
PATIENCE_S = 600  # of one run


class Server:
    """A program that prints {"listening": URL} when it is ready. log: where its stderr goes."""

    def __init__(self, *command, log=None):
        command = [str(word) for word in command]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench: {command[0]} did not start")
        self.said = json.loads(line)
        self.url = self.said["listening"]

    def get(self, path, context=None):
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S, context=context) as got:
            return json.load(got)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def source(size, *options):
    return Server(BUILD / "bench" / "ends", "source", "--size", size, *options)


def sink(*options):
    return Server(BUILD / "bench" / "ends", "sink", *options)


@contextlib.contextmanager
def servers(*started):
    try:
        yield started
    finally:
        for server in started:
            server.stop()


@contextlib.contextmanager
def workplace():
    with tempfile.TemporaryDirectory(dir=BUILD / "bench") as folder:
        yield Path(folder)


def certificate(work):
    """A key with its certificate for 127.0.0.1; what a client has to trust is the same file."""
    pem = work / "tls.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", work / "key.pem", "-out", work / "certificate.pem"],
        check=True, capture_output=True,
    )
    pem.write_text((work / "key.pem").read_text() + (work / "certificate.pem").read_text())
    return pem, work / "certificate.pem"


def environment(work, source_url, authority=None):
    """Of a client: nothing of the user's own settings."""
    config = work / "aws-config"
    config.write_text("[default]\nregion = us-east-1\ns3 =\n  payload_signing_enabled = false\n"
                      "  addressing_style = path\n")
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(work),
        "VOXEL51_API_PRIVATE_KEY": "a-token-of-the-bench",
        "VOXEL51_API_BASE_URL": source_url,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret",
        "AWS_CONFIG_FILE": str(config),
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if authority:
        env["AWS_CA_BUNDLE"] = str(authority)
    return env


def measure(command, env, work, stdin=None):
    """One run of a command: wall and CPU seconds, peak memory in MiB; "failed" if it did."""
    out = work / "measured"
    done = subprocess.run(
        [BUILD / "bench" / "measure", out, *command], env=env, capture_output=True, text=True,
        errors="replace", input=stdin, timeout=PATIENCE_S,
    )
    if done.returncode != 0:
        words = (done.stderr + done.stdout).strip().splitlines() or ["without a word"]
        return {"failed": f"status {done.returncode}: {words[-1][:200]}"}
    run = json.loads(out.read_text())
    return {"wall": run["wall"], "cpu": run["user"] + run["sys"], "peak": run["peak_kib"] / 1024}


def checked(stats, wanted, expected):
    """What is wrong with the objects that a sink says were stored; None: nothing. Besides outputs
    there are receipts."""
    stored = [o for o in stats["objects"] if "/.egress/" not in o["key"]]
    if len(stored) != wanted:
        return f"{len(stored)} objects were stored, not {wanted}"
    for o in stored:
        if (o["size"], o["crc32c"]) != (expected["size"], expected["crc32c"]):
            return f"{o['key']}: {o['size']} bytes, CRC32C {o['crc32c']}: not what was sent"
    return None


def rounds(programs, run, n=ROUNDS):
    """name -> list of its runs, in rounds; a program that fails once is not run again."""
    results = {name: [] for name in programs}
    for number in range(1, n + 1):
        for name in programs:
            if any("failed" in earlier for earlier in results[name]):
                continue
            got = run(name)
            results[name].append(got)
            if "failed" in got:
                print(f"{number}  {name:44} failed: {got['failed']}", flush=True)
                continue
            print(f"{number}  {name:44} {got['wall']:8.3f} s wall {got['cpu']:8.3f} s CPU "
                  f"{got['peak']:8.1f} MiB", flush=True)
    return results


def failed(results):
    """Takes what failed in mid-measurement out of the results: name -> why."""
    gone = {name: runs[-1]["failed"] for name, runs in results.items() if "failed" in runs[-1]}
    for name in gone:
        del results[name]
        if name.startswith("egress"):
            sys.exit(f"bench: {name}: {gone[name]}")
    return gone


def median(runs, what):
    return statistics.median(run[what] for run in runs)


def ratio(runs, others, what):
    """Median of the ratios within one round."""
    return statistics.median(a[what] / b[what] for a, b in zip(runs, others))
