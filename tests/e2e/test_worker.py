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


def until_done(queue, run):
    """Ends a worker when nothing is left, not even hidden. moto does not lock: of messages deleted at
    the same moment one may stay, and comes again."""
    queue.wait_counts((0, 0), timeout=60)
    run.send_signal(signal.SIGTERM)
    return run.wait().ok()


def test_stores_what_the_queue_names(egress, sim, aws, bucket):  # noqa: F811
    s = sim("--generate", 50, "--size", "64K")
    queue = aws.queue()
    jobs = s.ids()
    queue.send(*jobs, *jobs[:10])
    run = worker(egress, queue, bucket.to, "--visibility-timeout", "5s", aws=aws, sim=s,
                 s3=bucket.s3, run=egress.start)  # fmt: skip
    r = until_done(queue, run)
    objects = bucket.objects()
    assert {key.split("/")[0]: hashlib.sha256(data).hexdigest()
            for key, data in objects.items()} == {job: s.digest(job) for job in jobs}  # fmt: skip
    told = lines(r)
    assert lines(r, outcome="later") == []
    assert len(told) >= 60 and {line["job"] for line in told} == set(jobs)
    assert len(lines(r, outcome="stored", bytes=65536)) >= 50
    assert len({line["message"] for line in told}) == 60
    assert s.stats()["output_bytes"] == 50 * 65536  # duplicates are not fetched again


# ---- what becomes of a message ----


def test_jobs_that_will_never_be_stored_are_consumed(egress, sim, aws, directory):  # noqa: F811
    kinds = {"FAILED": "failed", "EXPIRED": "expired", "NO_OUTPUT": "no_output"}
    s = sim(*[arg for kind in kinds for arg in ("--generate", f"1:{kind}")])
    queue = aws.queue()
    queue.send(*s.ids())
    r = worker(egress, queue, directory.to, aws=aws, sim=s).ok()
    assert sorted(line["error"] for line in lines(r, outcome="failed")) == sorted(kinds.values())
    assert all(line["level"] == "error" and line["receives"] == 1 for line in lines(r))
    assert queue.counts() == (0, 0)
    directory.assert_empty()


def test_job_that_is_not_done_waits(egress, sim, aws, directory):  # noqa: F811
    s = sim("--generate", "1:STUCK")
    queue = aws.queue()
    queue.send(*s.ids())
    r = worker(egress, queue, directory.to, aws=aws, sim=s).ok()
    (line,) = lines(r)
    assert (line["outcome"], line["error"]) == ("later", "pending")
    assert queue.counts() == (0, 1)  # hidden for the backoff


def test_unknown_job_comes_once_more(egress, sim, aws, directory):  # noqa: F811
    s = sim("--generate", 1)
    fresh, seen = aws.queue(), aws.queue()
    fresh.send("nobody")
    seen.send("nobody")
    seen.client.receive_message(QueueUrl=seen.url, VisibilityTimeout=0)
    (line,) = lines(worker(egress, fresh, directory.to, aws=aws, sim=s).ok())
    assert (line["outcome"], line["error"], line["receives"]) == ("later", "unknown_job", 1)
    assert "again in 60 s" in line["msg"] and fresh.counts() == (0, 1)
    (line,) = lines(worker(egress, seen, directory.to, aws=aws, sim=s).ok())
    assert (line["outcome"], line["error"], line["receives"]) == ("failed", "unknown_job", 2)
    assert seen.counts() == (0, 0)


def test_poison_goes_to_the_dead_letters(egress, sim, aws, directory):  # noqa: F811
    s = sim("--generate", 3, "--size", 1000)
    queue, dead = aws.queue(dead_letters_after=2)
    queue.send(body="<job>")
    queue.send(*s.ids())
    run = worker(egress, queue, directory.to, "--visibility-timeout", "1s", aws=aws, sim=s,
                 run=egress.start)  # fmt: skip
    dead.wait_counts((1, 0))
    run.send_signal(signal.SIGTERM)
    r = run.wait().ok()
    assert len(lines(r, outcome="stored")) == 3
    poison = lines(r, outcome="later")
    assert [line["receives"] for line in poison] == [1, 2]
    assert all("is not JSON" in line["msg"] and line["job"] == "" for line in poison)
    got = dead.client.receive_message(QueueUrl=dead.url)["Messages"]
    assert [message["Body"] for message in got] == ["<job>"]
    assert queue.counts() == (0, 0)


@pytest.mark.parametrize("wrong", ["token", "bucket"])
def test_wrong_set_up_loses_nothing(egress, sim, aws, directory, wrong):  # noqa: F811
    s = sim("--generate", 2)
    queue = aws.queue()
    queue.send(*s.ids())
    to = directory.to
    env = {"VOXEL51_API_PRIVATE_KEY": "none-of-its-keys"} if wrong == "token" else {}
    if wrong == "bucket":
        to = "s3://there-is-no-such-bucket"
        env["AWS_ENDPOINT_URL_S3"] = aws.url  # moto is an S3 server too
    r = worker(egress, queue, to, aws=aws, sim=s, env=env).ok()
    told = lines(r, outcome="later")
    assert [line["error"] for line in told] == 2 * ["auth" if wrong == "token" else "destination"]
    assert queue.counts() == (0, 2)


# ---- stopping ----


def start_slow(egress, sim, aws, to, size, *flags, s3=None, rate="5M"):
    """A worker in the middle of one transfer."""
    s = sim("--generate", 1, "--size", size, "--set", f"body_rate={rate}")
    queue = aws.queue()
    queue.send(*s.ids())
    run = worker(egress, queue, to, *flags, aws=aws, sim=s, s3=s3, run=egress.start)
    deadline = time.monotonic() + 30
    while s.stats()["output_bytes"] < MIB:
        assert time.monotonic() < deadline, run.result()
        time.sleep(0.02)
    return s, queue, run


def test_sigterm_lets_it_finish(egress, sim, aws, directory):  # noqa: F811
    s, queue, run = start_slow(egress, sim, aws, directory.to, 10 * MIB)
    run.send_signal(signal.SIGTERM)
    run.wait_for("taking no more messages")
    queue.send("another")
    r = run.wait().ok()
    assert [line["outcome"] for line in lines(r)] == ["stored"]
    assert queue.counts() == (1, 0)  # given back, if it was taken
    assert directory.receipts() == s.ids()


def test_sigterm_gives_back_what_cannot_be_handed_over(egress, sim, aws, directory):  # noqa: F811
    s, queue, run = start_slow(egress, sim, aws, directory.to, 100 * MIB, "--drain-timeout", "1s")
    run.send_signal(signal.SIGTERM)
    r = run.wait().ok()
    (line,) = lines(r)
    assert (line["outcome"], line["error"]) == ("later", "cancelled")
    assert queue.counts() == (1, 0)  # at once, though it was hidden for minutes
    directory.assert_empty()


def test_second_signal_ends_at_once(egress, sim, aws, directory):  # noqa: F811
    s, queue, run = start_slow(egress, sim, aws, directory.to, 100 * MIB)
    run.send_signal(signal.SIGINT)
    run.wait_for("taking no more messages")
    run.send_signal(signal.SIGINT)
    assert run.wait(10).returncode == 128 + signal.SIGINT
    assert queue.counts() == (0, 1)


# ---- the queue itself ----


def test_throttled(egress, sim, aws, directory, faultproxy):  # noqa: F811
    s = sim("--generate", 40, "--size", 1000)
    queue = aws.queue()
    queue.send(*s.ids())
    proxy = faultproxy(aws.url, "answer,status=503,probability=0.2", seed=5)
    env = {"AWS_ENDPOINT_URL_SQS": proxy.url}
    run = worker(egress, queue, directory.to, "--visibility-timeout", "5s", aws=aws, sim=s,
                 env=env, run=egress.start)  # fmt: skip
    r = until_done(queue, run)
    assert proxy.hits("answer") > 0
    assert set(directory.receipts()) == set(s.ids())
    assert len(lines(r, outcome="stored")) >= 40


def test_down_and_up_again(egress, sim, aws, directory, faultproxy):  # noqa: F811
    s = sim("--generate", 1, "--size", 1000)
    queue = aws.queue()
    queue.send(*s.ids())
    proxy = faultproxy(aws.url, "cut-connection,bytes=1")
    env = {"AWS_ENDPOINT_URL_SQS": proxy.url}
    run = worker(egress, queue, directory.to, "--log-level", "debug", aws=aws, sim=s, env=env,
                 run=egress.start)  # fmt: skip
    run.wait_for("no messages yet")  # tried twice at least
    proxy.off()
    run.wait_for('"outcome":"stored"')
    run.send_signal(signal.SIGTERM)
    r = run.wait().ok()
    assert r.stderr.count("no messages can be taken for now") == 1
    assert r.stderr.count("messages can be taken again") == 1
    assert queue.counts() == (0, 0)


def test_long_poll_is_no_stall(egress, sim, aws, directory):  # noqa: F811
    s = sim("--generate", 1, "--size", 1000)
    queue = aws.queue()
    run = worker(egress, queue, directory.to, "--read-timeout", "1s", aws=aws, sim=s,
                 run=egress.start)  # fmt: skip
    time.sleep(3.5)
    queue.send(*s.ids())
    run.wait_for('"outcome":"stored"')
    run.send_signal(signal.SIGTERM)
    r = run.wait().ok()
    assert '"level":"warn"' not in r.stderr and '"level":"error"' not in r.stderr


@pytest.mark.parametrize(
    "url, status, says",
    [
        (None, 2, "--queue is missing"),
        ("jobs", 2, "is no URL of a queue"),
        ("https://sqs.eu-west-1.amazonaws.com/1/jobs.fifo", 2, "expected a standard queue"),
        ("{aws}/123456789012/nobody", 3, "there is no such queue"),
    ],
)
def test_refusals(egress, sim, aws, directory, url, status, says):  # noqa: F811
    args = ["--queue", url.format(aws=aws.url)] if url else []
    r = egress("worker", *args, "--to", directory.to, sim=sim("--generate", 1), env=aws.env)
    assert r.returncode == status and says in r.stderr, r
