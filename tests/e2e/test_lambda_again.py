# SPDX-License-Identifier: Apache-2.0
"""The Lambda program and its limits: what goes on in the next invocation, and what cannot; what
comes again, and when."""

import hashlib
import json
import time

import pytest

from lambda_events import to_bucket, v1, webhook
from lambda_runtime import Poller
from stores import bucket  # noqa: F401 (fixtures)


def test_a_large_output_takes_several_invocations(function, sim, aws, bucket):
    """Two and a half seconds each, at a pace at which it takes seven without them."""
    s = sim("--generate", 1, "--size", "140M", "--seed", 5, "--set", "body_rate=20M")
    (job,) = s.ids()
    queue = aws.queue(VisibilityTimeout=60)
    f = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    queue.send(job)
    poller = Poller(f, queue)
    hops = 0
    while not bucket.object_keys():
        began = time.monotonic()
        assert poller.deliver(deadline_s=2.5)[1].failures() == []
        assert time.monotonic() - began < 2.5
        hops += 1
        assert hops < 30
    assert hops >= 5
    assert queue.counts() == (0, 0)
    assert [line["outcome"] for line in f.outcomes()] == ["handed over"] * (hops - 1) + ["stored"]
    assert f.metrics()["HandedOver"] == hops - 1
    (key,) = bucket.object_keys()
    assert hashlib.sha256(bucket.get(key)).hexdigest() == s.digest(job)
    bucket.assert_nothing_open()


def test_direct_hands_over_to_the_queue(function, sim, aws, bucket):
    s = sim("--generate", 1, "--size", "60M", "--set", "body_rate=15M")
    (job,) = s.ids()
    queue = aws.queue(VisibilityTimeout=60)
    f = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    assert f.invoke({"id": job}, deadline_s=2.5).json == {"status": "handed over", "job": job}
    assert Poller(f, queue).deliver()[1].failures() == []
    assert bucket.object_keys() != []
    f = function(sim=s, s3=bucket.s3, env=to_bucket(bucket))
    assert f.invoke({"id": job}).json["status"] == "already stored"


def test_without_a_queue_the_sender_comes_again(function, sim, bucket):
    s = sim("--generate", 1, "--size", "45M", "--set", "body_rate=15M")
    (job,) = s.ids()
    f = function(sim=s, s3=bucket.s3, env=to_bucket(bucket))
    body = f.invoke(v1(webhook(job)), deadline_s=2.5).proxied(500)
    assert body["error"] == "timeout" and "again" in body["message"]
    record = {"messageId": "m", "body": webhook(job), "eventSource": "aws:sqs"}
    assert f.invoke({"Records": [record]}, deadline_s=1).failures() == ["m"]
    assert f.outcomes()[-1]["outcome"] == "later"
    assert f.invoke(v1(webhook(job))).proxied(200)["status"] == "stored"


def at_once_again(queue, record):
    """Not after the backoff that was set."""
    queue.client.change_message_visibility(
        QueueUrl=queue.url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
    )


def test_too_slow_for_a_run_and_no_ranges(function, egress, sim, aws, bucket):
    """Told when the pace shows it, long before the time is up; the job stays in the queue, for
    `egress worker` or, in the end, the dead-letter queue."""
    s = sim("--generate", 1, "--size", "60M", "--seed", 5, "--set", "body_rate=15M",
            "--set", "ranges=no")  # fmt: skip
    (job,) = s.ids()
    queue, dead_letters = aws.queue(dead_letters_after=2, VisibilityTimeout=60)
    f = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    queue.send(job)
    poller = Poller(f, queue)
    for tries in range(1, 3):
        began = time.monotonic()
        (record,), outcome = poller.deliver(deadline_s=2.5)
        assert time.monotonic() - began < 2
        assert outcome.failures() == [record["messageId"]]
        line = f.outcomes()[-1]
        assert (line["outcome"], line["error"]) == ("later", "deadline")
        assert "egress worker" in line["msg"] and "of 62914560 bytes arrived" in line["msg"]
        assert queue.counts() == (0, 1), "hidden for the backoff"
        bucket.assert_empty()
        at_once_again(queue, record)
    assert poller.receive() == []
    (body,) = dead_letters.bodies()
    assert body == {"id": job} and f.metrics()["Later"] == 2
    dead_letters.send(job)
    env = {**aws.env, "AWS_ENDPOINT_URL_S3": bucket.s3.url, **bucket.s3.env}
    egress("worker", "--queue", dead_letters.url, "--to", bucket.to, "--until-empty",
           sim=s, env={**env, "AWS_ENDPOINT_URL": aws.url}).ok()  # fmt: skip
    (key,) = bucket.object_keys()
    assert hashlib.sha256(bucket.get(key)).hexdigest() == s.digest(job)


def test_too_large_for_the_settings(function, sim, aws, bucket):
    """The job stays in the queue until they are put right."""
    s = sim("--generate", 1, "--size", "40M", "--seed", 5)
    (job,) = s.ids()
    queue = aws.queue(VisibilityTimeout=60)
    env = {**to_bucket(bucket), "EGRESS_MEMORY": "16MiB"}
    where = {"sim": s, "s3": bucket.s3, "aws": aws, "queue": queue}
    f = function(**where, env={**env, "EGRESS_MAX_PARTS": "3"})
    queue.send(job)
    (record,), outcome = Poller(f, queue).deliver()
    assert outcome.failures() == [record["messageId"]]
    (line,) = f.outcomes()
    assert (line["outcome"], line["error"]) == ("later", "too_large")
    assert "--memory" in line["msg"] or "--max-parts" in line["msg"]
    at_once_again(queue, record)
    f = function(**where, env=env)
    assert Poller(f, queue).deliver()[1].failures() == []
    (key,) = bucket.object_keys()
    assert hashlib.sha256(bucket.get(key)).hexdigest() == s.digest(job)
    assert queue.counts() == (0, 0)


def half_way(function, s, bucket, aws, queue):
    """A function that has handed over once what it has stored of the one job; its receipt."""
    (job,) = s.ids()
    f = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    queue.send(job)
    assert Poller(f, queue).deliver(deadline_s=2.5)[1].failures() == []
    assert f.outcomes()[-1]["outcome"] == "handed over"
    return f, bucket.receipt(job)


DAMAGE = {
    "no JSON": lambda r: b"{",
    "another job's": lambda r: {**r, "job": "another-job"},
    "another version": lambda r: {**r, "version": 99},
    "no such layout": lambda r: {**r, "upload": {**r["upload"], "layout": [[1, 1]]}},
    "another key": lambda r: {**r, "upload": {**r["upload"], "key": "../elsewhere"}},
    "another upload": lambda r: {**r, "upload": {**r["upload"], "id": "x" * 40}},
    "other checksums": lambda r: {
        **r, "upload": {**r["upload"], "crc32c": ["AAAAAA=="] * len(r["upload"]["crc32c"])}
    },
    "the upload is gone": None,
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_a_receipt_that_was_tampered_with(function, sim, aws, bucket, how):
    """Or whose upload is gone: begun anew, if need be at another try, and never a wrong object."""
    s = sim("--generate", 1, "--size", "45M", "--seed", 5, "--set", "body_rate=15M")
    (job,) = s.ids()
    queue = aws.queue(VisibilityTimeout=60)
    f, receipt = half_way(function, s, bucket, aws, queue)
    assert receipt["state"] == "uploading" and receipt["upload"]["crc32c"]
    if DAMAGE[how]:
        damaged = DAMAGE[how](receipt)
        data = damaged if isinstance(damaged, bytes) else json.dumps(damaged).encode()
        bucket.put_receipt(job, data)
    else:
        (upload,) = bucket.client.list_multipart_uploads(Bucket=bucket.bucket)["Uploads"]
        bucket.client.abort_multipart_upload(
            Bucket=bucket.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
        )
    poller = Poller(f, queue)
    for tries in range(1, 4):
        (record,), outcome = poller.deliver()
        if outcome.failures() == []:
            break
        at_once_again(queue, record)
    assert tries < 3 and f.outcomes()[-1]["outcome"] == "stored"
    (key,) = bucket.object_keys()
    assert hashlib.sha256(bucket.get(key)).hexdigest() == s.digest(job)
    assert bucket.receipt(job)["state"] == "stored" and queue.counts() == (0, 0)
    told = [line["msg"] for line in f.log() if line["level"] == "warn"]
    if how == "other checksums":  # which shows where the store keeps some; Ceph does not
        assert told == [] and "goes on from byte" in f.log()[-2]["msg"]
    else:
        assert len(told) == 1 and job in told[0], told
        assert "begun anew" in told[0] or "taken as not there" in told[0]


def test_the_backoff_takes_the_place_of_the_queues_timeout(function, sim, aws, bucket):
    """Which would hide what is not done yet for an hour and a half."""
    s = sim("--generate", "1:STUCK")
    queue = aws.queue(VisibilityTimeout=5400)
    f = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    queue.send(*s.ids())
    _, outcome = Poller(f, queue).deliver()
    began = time.monotonic()
    assert len(outcome.failures()) == 1 and queue.counts() == (0, 1)
    queue.wait_counts((1, 0), timeout=40)
    assert time.monotonic() - began > 10
