# SPDX-License-Identifier: Apache-2.0
"""Webhooks acknowledged a second, and how long the slowest hundredth waits: `egress serve` beside
two floors (its HTTP server without a queue; a bare epoll loop that commits a batch a round), what
one would write with Flask, and adnanh/webhook, which keeps nothing.

Each run is a new server on a new journal; runs are interleaved, so that a busy machine is busy for
all; ratios are taken within one round. Its result goes into docs/performance.md.
"""

import argparse
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from report import BUILD, ROOT

OURS, ECHO, FLOOR = "egress serve", "its HTTP server, no queue", "epoll loop, a commit a round"
FLASK, HOOK = "gunicorn, Flask, SQLite", "adnanh/webhook, not durable"
CONNECTIONS = (32, 256)
SHARE, P99_MS = 0.6, 5  # what is to be reached: of the lower floor; at 32 connections


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def egress(work, port):
    env = {"VOXEL51_API_PRIVATE_KEY": "bench", "VOXEL51_API_BASE_URL": "http://127.0.0.1:9"}
    flags = ["--to", f"file://{work}/to", "--journal", work / "journal", "--admin", "off",
             "--sync-every", "0"]  # fmt: skip
    (work / "to").mkdir()
    return [BUILD / "egress", "serve", "--listen", f"127.0.0.1:{port}", *flags], env


def echo(_, port):
    return [BUILD / "tests" / "httpd-echo", "--listen", f"127.0.0.1:{port}"], {}


def floor(work, port):
    return [BUILD / "bench" / "webhook_floor", work / "journal", port], {}


def flask(work, port):
    options = ["--workers", "2", "--worker-class", "gthread", "--threads", "16",
               "--log-level", "error", "--keep-alive", "60", "--backlog", "1024"]  # fmt: skip
    command = [sys.executable, "-m", "gunicorn", "--chdir", ROOT / "bench", *options,
               "--bind", f"127.0.0.1:{port}", "webhook_receiver:app"]  # fmt: skip
    return command, {"JOURNAL": str(work / "journal"), "PYTHONDONTWRITEBYTECODE": "1"}


def hook(work, port):
    hooks = [{
        "id": "job-complete",
        "execute-command": "/bin/true",
        "pass-arguments-to-command": [{"source": "payload", "name": "id"}],
        "http-methods": ["POST"],
    }]  # fmt: skip
    (work / "hooks.json").write_text(json.dumps(hooks))
    return ["webhook", "-hooks", work / "hooks.json", "-ip", "127.0.0.1", "-port", port], {}


SERVERS = {OURS: egress, ECHO: echo, FLOOR: floor, FLASK: flask, HOOK: hook}


def wait_for(port, process):
    for _ in range(1000):
        if process.poll() is not None:
            sys.exit(f"bench: {process.args[0]} has ended")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    sys.exit(f"bench: {process.args[0]} does not listen")


def pause(work):
    """What is measured is the taking; what becomes of jobs is another measurement."""
    subprocess.run(
        [BUILD / "egress", "pause", "--journal", work / "journal"], check=True, capture_output=True
    )


def wrk(port, connections, seconds, name):
    env = {"PATH": os.environ["PATH"], "JOBS": f"j{time.time_ns():x}"}
    if name == HOOK:
        env["HOOK"] = "/hooks/job-complete"
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", ROOT / "bench" / "webhooks.lua",
         f"http://127.0.0.1:{port}"],
        env=env, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"bench: wrk:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def kept(work):
    db = sqlite3.connect(work / "journal")
    count = db.execute("SELECT count(*) FROM jobs").fetchone()[0]
    db.close()
    return count


def measure(name, connections, seconds):
    with tempfile.TemporaryDirectory(dir=BUILD / "bench") as folder:
        work, port = Path(folder), free_port()
        command, env = SERVERS[name](work, port)
        with open(work / "log", "wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command], env={"PATH": os.environ["PATH"], **env},
                stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            wait_for(port, process)
            if name == OURS:
                pause(work)
            result = wrk(port, connections, seconds, name)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # what was acknowledged has to be there
            process.wait()
        if result["refused"] or (result["broken"] and name in (OURS, ECHO, FLOOR)):
            sys.exit(f"bench: {name}: {result}")
        if name in (OURS, FLOOR, FLASK) and kept(work) < result["answers"]:
            sys.exit(f"bench: {name}: {result['answers']} acknowledged, {kept(work)} kept")
    return {"rate": result["answers"] / result["seconds"], "p99": result["p99_ms"]}


def rounds(args):
    results = {(name, c): [] for name in SERVERS for c in CONNECTIONS}
    for number in range(args.runs + 1):  # the first one warms up and is not counted
        for name, connections in results:
            run = measure(name, connections, args.seconds if number else 1)
            if number > 0:
                results[name, connections].append(run)
    return results


def column(runs, what):
    return [run[what] for run in runs]


def shares(results, name, connections):
    """Of the lower floor, within each round."""
    floors = zip(*(column(results[floor, connections], "rate") for floor in (ECHO, FLOOR)))
    ours = column(results[name, connections], "rate")
    return [rate / min(pair) for rate, pair in zip(ours, floors)]


def describe(args, results):
    table = ["| receiver |", "| --- |"]
    for c in CONNECTIONS:
        table[0] += f" a second, {c} connections | p99 ms | of the lower floor |"
        table[1] += " --- | --- | --- |"
    for name in SERVERS:
        cells = []
        for c in CONNECTIONS:
            runs = results[name, c]
            cells += [report.spread(column(runs, "rate"), 0), report.spread(column(runs, "p99")),
                      report.spread(shares(results, name, c))]  # fmt: skip
        table.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([
        f"`make bench ONLY=webhooks` ({args.runs} interleaved rounds of {args.seconds} s after one "
        "to warm up; median, smallest and largest; shares within one round):",
        "",
        *table,
        "",
        f"Wanted of `egress serve`: at least {SHARE:g} of the lower floor at both, and a p99 of at "
        f"most {P99_MS} ms at {CONNECTIONS[0]} connections.",
        "",
        f"Machine: {report.machine()}, {wrk_version()}, journal on {file_system()}.",
        "",
        "wrk, one thread, runs on the same processors as the server. Each webhook names another "
        "job. `egress serve` is paused: it takes jobs and does not transfer them. The epoll loop "
        "(`bench/webhook_floor.c`) is one thread that puts a row into the same tables and commits "
        "once for all that a round of epoll has brought; it checks nothing. Flask "
        "(`bench/webhook_receiver.py`, two workers with 16 threads) commits once a request, into "
        "one small table. All three commit with `synchronous=FULL`; each is killed at the end, and "
        "every job that was acknowledged has to be in its file. adnanh/webhook starts `/bin/true` "
        "for each and keeps nothing.",
    ])


def wrk_version():
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True)
    found = re.search(r"wrk \S+", said.stdout + said.stderr)
    return found.group(0) if found else "wrk"


def file_system():
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", BUILD], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--dry-run", action="store_true", help="print the result, write nothing")
    args = parser.parse_args()
    text = describe(args, rounds(args))
    report.give("webhooks", "Webhooks taken by egress serve", text, args.dry_run)


if __name__ == "__main__":
    main()
