# SPDX-License-Identifier: Apache-2.0
"""The clients that egress is measured against, each with the options that suit it best: bodies not
signed where it can leave that out, CRC32C where it can send one.

A job is the way of one output from an http source into S3. Programs that have no way to read from
http get it from curl through a pipe, whose CPU counts as theirs."""

import shlex
import subprocess

import rig
from report import BUILD, ROOT

VENV = BUILD / "tools" / "bench-venv" / "bin" / "python"
S5CMD = BUILD / "tools" / "s5cmd"
DEBIAN_PYTHON = "/usr/bin/python3"
EGRESS = "egress fetch --unsigned-payload"
EGRESS_SIGNED = "egress fetch"
GET, PUT = "curl GET to nowhere", "curl PUT of a file"
RCLONE = ["env", "-u", "AWS_CA_BUNDLE", "rclone"]  # it cannot have that and --ca-cert
RCLONE_S3 = ["--s3-no-check-bucket", "--s3-no-head", "--s3-disable-checksum"]
CRT, CRT_TUNED = "AWS CRT", "AWS CRT, one loop, two connections"


class Job:
    """Where from, where to. `file` holds the same bytes as the output."""

    def __init__(self, url, sink_url, file, authority=None):
        self.url, self.sink, self.file, self.authority = url, sink_url, file, authority


def egress(job, *options):
    return [rig.EGRESS, "fetch", "--to", "s3://bench", "--endpoint-url", job.sink, "--log-level",
            "error", *options, "job-000000"]


def pipe(job, *command):
    return ["sh", "-c", f"curl -sSf {shlex.quote(job.url)} | {shlex.join(map(str, command))}"]


def rclone_s3(sink_url, authority=None):
    options = ["--s3-provider", "Other", "--s3-endpoint", sink_url, "--s3-env-auth", *RCLONE_S3]
    return [*options, *(["--ca-cert", str(authority)] if authority else [])]


def aws(job, what):
    return ["/usr/bin/aws", "s3", "cp", what, "s3://bench/aws", "--endpoint-url", job.sink,
            "--no-progress"]


def in_python(python, script, job, *more):
    return [str(python), str(ROOT / "bench" / script), job.url, job.sink, *more]


COMMANDS = {
    EGRESS: lambda job: egress(job, "--unsigned-payload"),
    EGRESS_SIGNED: egress,
    GET: lambda job: ["curl", "-sSf", "-o", "/dev/null", job.url],
    PUT: lambda job: ["curl", "-sSf", *(["--cacert", job.authority] if job.authority else []),
                      "-T", job.file, f"{job.sink}/bench/curl"],
    CRT: lambda job: in_python(VENV, "peer_crt.py", job, "default"),
    CRT_TUNED: lambda job: in_python(VENV, "peer_crt.py", job, "tuned"),
    "rclone copyurl": lambda job: [*RCLONE, "copyurl", job.url, ":s3:bench/rclone",
                                   *rclone_s3(job.sink, job.authority)],
    "boto3": lambda job: in_python(DEBIAN_PYTHON, "peer_boto3.py", job),
    "curl | aws s3 cp -": lambda job: pipe(job, *aws(job, "-")),
    "aws s3 cp of a file (one half)": lambda job: aws(job, job.file),
    "curl | s5cmd pipe": lambda job: pipe(job, S5CMD, "--endpoint-url", job.sink, "pipe",
                                          "s3://bench/s5cmd"),
}
STORES_NOTHING = {GET}


def works(*command):
    try:
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


def missing():
    """name of a peer -> why it is not measured."""
    gone = {}
    for name, there, how in (
        ("AWS CRT", works(VENV, "-c", "import awscrt.s3"), "pip did not give awscrt"),
        ("rclone", works("rclone", "version"), "Debian's rclone is not installed"),
        ("boto3", works(DEBIAN_PYTHON, "-c", "import boto3"), "python3-boto3 is not installed"),
        ("aws", works("/usr/bin/aws", "--version"), "Debian's awscli is not installed"),
        ("s5cmd", works(S5CMD, "version"), "the Go module proxy did not give it, or there is no Go"),
    ):
        if not there:
            gone.update({full: how for full in COMMANDS if name in full})
    return gone


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


def versions():
    gone = missing()
    told = [f"curl {said('curl', '--version').split()[1]}"]
    if CRT not in gone:
        told.append("awscrt " + said(VENV, "-c", "import awscrt; print(awscrt.__version__)"))
    if "rclone copyurl" not in gone:
        told.append(said("rclone", "version").splitlines()[0])
    if "boto3" not in gone:
        told.append("boto3 " + said(DEBIAN_PYTHON, "-c", "import boto3; print(boto3.__version__)"))
    if "curl | aws s3 cp -" not in gone:
        told.append(said("/usr/bin/aws", "--version").split()[0].replace("/", " "))
    if "curl | s5cmd pipe" not in gone:
        told.append(f"s5cmd {said(S5CMD, 'version')}")
    return ", ".join(told)
