# SPDX-License-Identifier: Apache-2.0
"""`egress worker`: messages of an SQS queue (moto's) become stored outputs."""

import hashlib
import json
import signal
import time

import pytest

from stores import bucket, directory  # noqa: F401  fixtures

MIB = 1 << 20


def worker(egress, queue, to, *flags, aws, sim, s3=None, run=None, env=None):
    """Until the queue is empty, unless run=egress.start."""
    until = [] if run else ["--until-empty"]
    call = run or egress
    keys = {} if s3 else aws.env
    args = ["worker", "--queue", queue.url, "--to", to, "--log-format", "json", *until, *flags]
    return call(*args, sim=sim, s3=s3, env={**keys, **(env or {})})


def lines(result, **wanted):
    """Log lines about messages that have these fields."""
    found = [json.loads(line) for line in result.stderr.splitlines()]
    return [
        line
        for line in found
        if "outcome" in line and all(line.get(name) == value for name, value in wanted.items())
    ]


def test_stores_what_the_queue_names(egress, sim, aws, bucket):  # noqa: F811
    s = sim("--generate", 50, "--size", "64K")
    queue = aws.queue(VisibilityTimeout=60)
    jobs = s.ids()
    queue.send(*jobs, *jobs[:10])
    r = worker(egress, queue, bucket.to, aws=aws, sim=s, s3=bucket.s3).ok()
    objects = bucket.objects()
    assert {key.split("/")[0]: hashlib.sha256(data).hexdigest()
            for key, data in objects.items()} == {job: s.digest(job) for job in jobs}  # fmt: skip
    assert queue.counts() == (0, 0)
    told = lines(r)
    assert len(told) == 60 and {line["job"] for line in told} == set(jobs)
    assert len(lines(r, outcome="stored", bytes=65536)) >= 50
    assert len({line["message"] for line in told}) == 60
    assert s.stats()["output_bytes"] == 50 * 65536  # duplicates are not fetched again
