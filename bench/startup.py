# SPDX-License-Identifier: Apache-2.0
"""The start of the Lambda program: from its exec to its first request for an event, and to its
answer to a webhook; beside it a C program that does nothing else (empty_runtime.c), which is the
least that a start can take, and the same function in Python with boto3 (boto3_runtime.py).

Runs are interleaved, so that a busy machine is busy for all; differences and ratios are taken
within one round. Its result goes into docs/performance.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import report
from report import BUILD, ROOT

ARCH = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
TOKEN = "a-token-of-the-bench"
SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
EMPTY, OURS, PYTHON = "empty C program", "egress, `bootstrap`", "Python with boto3"
PROGRAMS = {
    EMPTY: [BUILD / "bench" / "empty_runtime"],
    OURS: [BUILD / "lambda" / ARCH / "bootstrap"],
    PYTHON: ["/usr/bin/python3", ROOT / "bench" / "boto3_runtime.py"],
}
MORE_MS, TIMES = 1.5, 100  # what is to be reached, to the first request


def prepare(work):
    """The webhook, the queue's certificate, and an environment as Lambda's."""
    event = json.loads((ROOT / "events" / "proxy-v1.json").read_text())
    event["queryStringParameters"] = {"token": TOKEN}
    (work / "event.json").write_text(json.dumps(event))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", work / "key.pem", "-out", work / "certificate.pem"],
        check=True, capture_output=True,
    )
    certificate = (work / "certificate.pem").read_text()
    (work / "queue.pem").write_text((work / "key.pem").read_text() + certificate)
    (work / "bundle.pem").write_text(Path(SYSTEM_BUNDLE).read_text() + certificate)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(work),
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret",
        "AWS_CA_BUNDLE": str(work / "bundle.pem"),
        "WEBHOOK_TOKEN": TOKEN,
    }


def measure(command, env, work):
    out = work / "out"
    done = subprocess.run(
        [BUILD / "bench" / "startup", out, work / "event.json", work / "queue.pem", *command],
        env=env, capture_output=True, text=True,
    )
    if done.returncode != 0:
        sys.exit(f"bench: {command[-1]}:\n{done.stdout}{done.stderr}")
    return json.loads(out.read_text())


def rounds(args):
    results = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory(dir=BUILD / "bench") as folder:
        work = Path(folder)
        env = prepare(work)
        for number in range(args.runs + 1):  # the first one warms up and is not counted
            for name, command in PROGRAMS.items():
                run = measure(command, env, work)
                if run["messages"] != (0 if name == EMPTY else 1):
                    sys.exit(f"bench: {name} put {run['messages']} messages into the queue")
                if number > 0:
                    results[name].append(run)
    return results


def column(runs, what):
    return [run[f"{what}_us"] / 1000 for run in runs]


def within_rounds(results, what, of, compared, combine):
    """Of medians, and of floors: those are what a machine without anybody else would show."""
    left, right = column(results[of], what), column(results[compared], what)
    median = statistics.median(combine(a, b) for a, b in zip(left, right))
    return median, combine(min(left), min(right))


def describe(args, results):
    table = [
        "| program | to the first `next`, ms | to the first answer, ms |",
        "| --- | --- | --- |",
    ]
    for name, runs in results.items():
        cells = [report.spread(column(runs, what)) for what in ("next", "answer")]
        table.append(f"| {name} | {' | '.join(cells)} |")
    more, more_floor = within_rounds(results, "next", OURS, EMPTY, lambda a, b: a - b)
    times, times_floor = within_rounds(results, "next", PYTHON, OURS, lambda a, b: a / b)
    answer, answer_floor = within_rounds(results, "answer", PYTHON, OURS, lambda a, b: a / b)
    return "\n".join([
        f"`make bench ONLY=startup` ({args.runs} interleaved rounds after one to warm up; median, "
        "smallest and largest):",
        "",
        *table,
        "",
        f"To the first `next`, `bootstrap` takes {more:.2f} ms more than the empty program (median "
        f"within one round; {more_floor:.2f} ms between the smallest; at most {MORE_MS:g} ms are "
        f"wanted), and Python {times:.0f} times as long as `bootstrap` ({times_floor:.0f} times "
        f"between the smallest; at least {TIMES} times are wanted). To the answer of the first "
        f"webhook, Python takes {answer:.0f} times as long ({answer_floor:.0f} times).",
        "",
        f"Machine: {report.machine()}.",
        "",
        "Measured from just before the fork to the arrival of the request, by a server on loopback "
        "in one thread (`bench/startup.c`). The webhook is `events/proxy-v1.json` with a token; "
        "Python and `bootstrap` check it and put the job into a queue behind TLS, whose "
        "certificate is one more in the system's bundle; the empty program answers at once. All "
        "files are in the page cache. Lambda's own part, the machine and the program's way onto "
        "it, is not in these figures.",
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=41)
    parser.add_argument("--dry-run", action="store_true", help="print the result, write nothing")
    args = parser.parse_args()
    text = describe(args, rounds(args))
    report.give("startup", "Start of the Lambda program", text, args.dry_run)


if __name__ == "__main__":
    main()
