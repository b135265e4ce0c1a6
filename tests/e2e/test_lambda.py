# SPDX-License-Identifier: Apache-2.0
"""The Lambda program: what it makes of every kind of event."""

import hashlib
import http.server
import json
import socket
import threading
import time

import pytest

from lambda_events import FORMS, SCHEDULE, TOKEN, to_bucket, v1, v2, webhook
from lambda_events import jobs  # noqa: F401 (fixture)
from lambda_runtime import Poller
from stores import bucket, directory  # noqa: F401 (fixtures)

# ---- without a queue ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_webhook_is_transferred_at_once(function, jobs, bucket, form):
    job = jobs.ids()[0]
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    body = f.invoke(FORMS[form](webhook(job))).proxied(200)
    (key,) = bucket.object_keys()
    assert body["status"] == "stored" and body["job"] == job
    assert body["objects"] == [{"key": key, "location": bucket.location(key), "size": 1000}]
    assert bucket.get(key) == jobs.get(f"/jobs/{job}/output").content
    assert f.invoke(FORMS[form](webhook(job))).proxied(200)["status"] == "already stored"
    assert [line["outcome"] for line in f.outcomes()] == ["stored", "already stored"]
    ids = [i.request_id for i in f.api.invocations.values()]
    assert [line["request_id"] for line in f.outcomes()] == ids
    line = f.outcomes()[0]
    assert line["job"] == job and line["bytes"] == 1000 and line["duration_ms"] >= 0
    metrics = f.metrics()
    assert (metrics["Stored"], metrics["Duplicate"], metrics["Bytes"]) == (1, 1, 1000)
    assert len(metrics["SecondsToExpiry"]) == len(metrics["AgeAtReceipt"]) == 1
    assert metrics["SecondsToExpiry"][0] > 0


def test_direct(function, jobs, bucket):
    one, two, three = jobs.ids()
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    answer = f.invoke({"id": one}).json
    assert (answer["status"], answer["job"]) == ("stored", one)
    assert f.invoke({"id": one}).json["status"] == "already stored"
    assert f.invoke(json.loads(webhook(two))).json["status"] == "stored"
    assert bucket.receipts() == sorted([one, two])
    assert "nobody-has-it" not in jobs.ids()
    error = f.invoke({"id": "nobody-has-it"}).error
    assert error["errorType"] == "Egress.unknown_job"
    assert f.invoke({"id": "../x"}).error["errorType"] == "Egress.input"
    wrong = f.invoke({"id": three, "event": "job_failed"}).error
    assert "job_failed" in wrong["errorMessage"]
    assert bucket.receipts() == sorted([one, two])
    assert f.metrics()["Failed"] == 1


@pytest.mark.parametrize("form", FORMS)
def test_refusals(function, jobs, bucket, form):
    make = FORMS[form]
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    assert f.invoke(make("no json")).proxied(400)["status"] == "rejected"
    assert "../x" in f.invoke(make(webhook("../x"))).proxied(400)["message"]
    assert f.invoke(make(webhook("x"), "GET")).proxied(405)["error"] == "method"
    assert f.invoke(make(webhook("x").ljust(70_000))).proxied(413)["error"] == "too_large"
    failed = f.invoke(make(webhook("nobody-has-it"))).proxied(500)
    assert (failed["status"], failed["error"]) == ("failed", "unknown_job")
    bucket.assert_empty()
    assert all("request_id" in line for line in f.log() if "webhook rejected" in line["msg"])


def test_a_payload_of_6_mb(function, jobs, bucket):
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    event = json.dumps(v1(webhook("x", msg="x" * (6 * 1024 * 1024 - 1000)))).encode()
    assert 6_290_000 < len(event) <= 6 * 1024 * 1024
    assert f.invoke(event).proxied(413)["error"] == "too_large"
    over = b"x" * (7 * 1024 * 1024)
    assert f.invoke(over).error["errorType"] == "Egress.payload"
    job = jobs.ids()[0]
    assert f.invoke({"id": job}).json["status"] == "stored", "it goes on"


@pytest.mark.parametrize(
    "event",
    [
        {"key1": "value1", "token": TOKEN},
        {},
        [],
        "text",
        {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": TOKEN}}}]},
        {"Records": [{"eventSource": "aws:sqs", "body": TOKEN}]},
        {"id": "x", "detail-type": "Object Created", "source": "aws.s3"},
        b"\xff not json",
        b"[" * 100_000,
    ],
    ids=lambda event: ascii(event)[:50],
)
def test_unknown_events(function, jobs, bucket, event):
    env = {**to_bucket(bucket), "WEBHOOK_TOKEN": TOKEN}
    f = function(sim=jobs, s3=bucket.s3, env=env)
    error = f.invoke(event).error
    assert error["errorType"] == "Egress.input"
    assert "expected" in error["errorMessage"]
    (line,) = f.outcomes()
    assert line["level"] == "error" and line["outcome"] == "refused"
    assert line["msg"].endswith(error["errorMessage"])
    assert TOKEN not in f.run.text("stderr") + error["errorMessage"]
    assert jobs.stats()["total"] == 0


# ---- the webhook token -------------------------------------------------------------------------


def test_webhook_token(function, jobs, bucket):
    job = jobs.ids()[0]
    env = {**to_bucket(bucket), "WEBHOOK_TOKEN": TOKEN}
    f = function(sim=jobs, s3=bucket.s3, env=env)
    asked = jobs.stats()["total"]
    wrong = [
        {},
        {"queryStringParameters": {"token": "x" + TOKEN[1:]}},
        {"queryStringParameters": {"token": TOKEN + "x"}},
        {"queryStringParameters": {"token": ""}},
        {"queryStringParameters": {"Token": TOKEN}},
        {"headers": {"x-egress-token": TOKEN[:-1], "authorization": TOKEN}},
    ]
    for members in wrong:
        for make in FORMS.values():
            assert f.invoke(make(webhook(job), **members)).proxied(401)["status"] == "rejected"
    assert f.invoke(v1("no json", "GET")).proxied(401), "a stranger learns nothing more"
    assert jobs.stats()["total"] == asked
    bucket.assert_empty()
    right = {"queryStringParameters": {"token": TOKEN, "other": "x"}}
    assert f.invoke(v1(webhook(job), **right)).proxied(200)["status"] == "stored"
    right = {"headers": {"X-Egress-Token": TOKEN}}
    assert f.invoke(v2(webhook(job, msg=f"seen {TOKEN}"), **right)).proxied(200)
    assert "seen ***" in f.run.text("stderr")
    assert TOKEN not in f.run.text("stderr")


def test_without_a_webhook_token_it_says_so_once(function, jobs, bucket):
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    assert f.invoke({"id": jobs.ids()[0]}).json
    assert "WEBHOOK_TOKEN" not in f.run.text("stderr"), "of no concern to it"
    for _ in range(2):
        assert f.invoke(v1(webhook(jobs.ids()[0]))).proxied(200)
    assert len([line for line in f.log() if "WEBHOOK_TOKEN" in line["msg"]]) == 1


def test_webhook_token_from_a_secret(function, jobs, bucket, aws):
    job = jobs.ids()[0]
    name = aws.secret(TOKEN + "\n")
    env = {**to_bucket(bucket), "WEBHOOK_TOKEN_ARN": name}
    f = function(sim=jobs, s3=bucket.s3, aws=aws, env=env)
    assert f.invoke(v1(webhook(job))).proxied(401)
    right = {"queryStringParameters": {"token": TOKEN}}
    assert f.invoke(v1(webhook(job), **right)).proxied(200)["status"] == "stored"


def test_webhook_token_that_cannot_be_had(function, jobs, bucket, aws):
    job = jobs.ids()[0]
    for name in ("no-such-secret", aws.secret("short"), aws.secret("with a space in it, and long")):
        env = {**to_bucket(bucket), "WEBHOOK_TOKEN_ARN": name}
        f = function(sim=jobs, s3=bucket.s3, aws=aws, env=env)
        right = {"queryStringParameters": {"token": TOKEN}}
        body = f.invoke(v1(webhook(job), **right)).proxied(503)
        assert name not in body["message"], "strangers read it"
        assert name in f.outcomes()[0]["msg"]
    bucket.assert_empty()


# ---- with a queue ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_webhook_goes_into_the_queue(function, aws, form):
    queue = aws.queue()
    f = function(aws=aws, queue=queue)
    assert f.invoke(FORMS[form](webhook("job-1"))).proxied(200) == {
        "status": "queued",
        "job": "job-1",
    }
    assert queue.bodies() == [{"id": "job-1"}]
    assert f.outcomes()[0]["outcome"] == "queued" and f.outcomes()[0]["job"] == "job-1"
    assert f.run.text("stdout") == ""


def test_a_queue_that_cannot_be_had(function, aws):
    queue = aws.queue()
    queue.client.delete_queue(QueueUrl=queue.url)
    f = function(aws=aws, queue=queue)
    body = f.invoke(v1(webhook("job-1"))).proxied(503)
    assert (body["status"], body["job"]) == ("not accepted", "job-1")
    (line,) = f.outcomes()
    assert line["level"] == "error" and line["outcome"] == "not accepted"


def test_a_queue_that_does_not_answer_in_time(function, aws, unused_port):
    """The deadline of the function is shorter here than what API Gateway waits."""
    f = function(aws=aws, env={"EGRESS_QUEUE": f"http://127.0.0.1:{unused_port}/1/q"})
    began = time.monotonic()
    body = f.invoke(v1(webhook("job-1")), deadline_s=2).proxied(503)
    assert body["error"] == "timeout"
    assert time.monotonic() - began < 2.5


def test_a_queue_that_throttles(function, aws):
    calls = []

    class Throttled(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            calls.append(self.headers["X-Amz-Target"])
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}'
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Throttled) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/1/q"
        f = function(aws=aws, env={"EGRESS_QUEUE": url})
        assert f.invoke(v1(webhook("job-1")), deadline_s=8).proxied(503)["job"] == "job-1"
        server.shutdown()
    assert len(calls) > 1, "it is asked again, as far as there is time"
    assert "AmazonSQS.SendMessage" in calls[0]


@pytest.fixture
def unused_port():
    """Listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


def test_from_the_webhook_to_the_object(function, sim, aws, bucket):
    s = sim("--generate", 12, "--size", 1000)
    queue = aws.queue(VisibilityTimeout=60)
    receiver = function(aws=aws, queue=queue, env={"WEBHOOK_TOKEN": TOKEN})
    right = {"queryStringParameters": {"token": TOKEN}}
    for job in s.ids():
        assert receiver.invoke(v1(webhook(job), **right)).proxied(200)["status"] == "queued"
    worker = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    poller = Poller(worker, queue)
    told = 0
    while told < 12:
        records, outcome = poller.deliver()
        assert outcome.failures() == []
        told += len(records)
    assert bucket.receipts() == sorted(s.ids())
    assert queue.counts() == (0, 0)
    assert [line["outcome"] for line in worker.outcomes()] == ["stored"] * 12
    metrics = worker.metrics()
    assert (metrics["Stored"], metrics["Bytes"]) == (12, 12_000)
    assert len(metrics["SecondsToExpiry"]) == 12


def test_duplicates(function, jobs, aws, bucket):
    """In one batch and in another; the output is fetched once."""
    job = jobs.ids()[0]
    queue = aws.queue(VisibilityTimeout=60)
    f = function(sim=jobs, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    queue.send(job, job)
    poller = Poller(f, queue)
    assert poller.deliver()[1].failures() == []
    queue.send(job)
    assert poller.deliver()[1].failures() == []
    assert jobs.stats()["requests"]["GET /v1/jobs/{id}/output"] == 1
    assert queue.counts() == (0, 0)
    metrics = f.metrics()
    assert (metrics["Stored"], metrics["Duplicate"], metrics["Bytes"]) == (1, 2, 1000)


def test_which_failures_are_worth_a_retry(function, sim, aws, bucket):
    s = sim("--generate", 1, "--generate", "1:FAILED", "--generate", "1:EXPIRED",
        "--generate", "1:READY", "--size", 10, "--set", "clock=stop")
    by_state = {}
    for job in s.jobs():
        by_state[job["state"], bool(job.get("expired"))] = job["id"]
    queue = aws.queue(VisibilityTimeout=60)
    f = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    queue.send(*s.ids(), "nobody-has-it")
    queue.send(body="poison")
    poller = Poller(f, queue)
    records, outcome = poller.deliver()
    assert len(records) == 6
    failed = {r["body"] for r in records if r["messageId"] in outcome.failures()}
    ready = by_state["READY", False]
    assert failed == {"poison", json.dumps({"id": ready}), json.dumps({"id": "nobody-has-it"})}
    outcomes = sorted(line["outcome"] for line in f.outcomes())
    assert outcomes == sorted(["stored", "failed", "expired", "later", "later", "later"])
    metrics = f.metrics()
    assert metrics["Later"] == 3
    assert (metrics["Stored"], metrics["Failed"], metrics["Expired"]) == (1, 1, 1)
    assert queue.counts() == (0, 3)


def test_a_batch_is_worked_on_at_once(function, sim, aws, bucket):
    s = sim("--generate", 8, "--size", 10, "--fault", "GET /v1/jobs/{id}/output:latency=1s@100")
    queue = aws.queue(VisibilityTimeout=60)
    f = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    queue.send(*s.ids())
    began = time.monotonic()
    records, outcome = Poller(f, queue).deliver()
    assert len(records) == 8 and outcome.failures() == []
    assert time.monotonic() - began < 4


def test_a_worker_that_is_killed(function, sim, aws, bucket):
    """Its message comes back, and another goes on with what it stored."""
    s = sim("--generate", 1, "--size", "60M", "--seed", 5, "--set", "body_rate=15M")
    (job,) = s.ids()
    queue = aws.queue(VisibilityTimeout=3)
    env = to_bucket(bucket)
    first = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=env)
    queue.send(job)
    first.api.send({"Records": Poller(first, queue).receive()})
    deadline = time.monotonic() + 20
    while not bucket.receipts():  # in state "uploading": a part is there
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.run.kill()
    queue.wait_counts((1, 0))
    second = function(sim=s, s3=bucket.s3, aws=aws, queue=queue, env=env)
    assert Poller(second, queue).deliver()[1].failures() == []
    (key,) = bucket.object_keys()
    assert hashlib.sha256(bucket.get(key)).hexdigest() == s.digest(job)
    bucket.assert_nothing_open()
    assert queue.counts() == (0, 0)


def test_poison_ends_in_the_dead_letter_queue(function, jobs, aws, bucket):
    queue, dead_letters = aws.queue(dead_letters_after=2, VisibilityTimeout=0)
    f = function(sim=jobs, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    queue.send(body='{"id": "../../x"}')
    poller = Poller(f, queue)
    for _ in range(2):
        records, outcome = poller.deliver()
        assert outcome.failures() == [records[0]["messageId"]]
    assert poller.receive() == []
    assert dead_letters.bodies() == [{"id": "../../x"}]


@pytest.mark.parametrize("case", ["missing bucket", "denied"])
def test_nothing_is_lost_by_a_wrong_set_up(function, jobs, aws, bucket, case):
    queue = aws.queue(VisibilityTimeout=60)
    env = to_bucket(bucket)
    if case == "missing bucket":
        env["BUCKET_NAME"] = "no-such-bucket-of-ours"
    else:
        other = "OTHER" + "X" * 15
        bucket.s3.admin(
            "user", "create", f"--uid=other-{bucket.bucket}", "--display-name=other",
            f"--access-key={other}-{bucket.bucket}", "--secret=another-secret-of-ours",
        )  # fmt: skip
        env |= {
            "AWS_ACCESS_KEY_ID": f"{other}-{bucket.bucket}",
            "AWS_SECRET_ACCESS_KEY": "another-secret-of-ours",
        }
    f = function(sim=jobs, s3=bucket.s3, aws=aws, queue=queue, env=env)
    queue.send(*jobs.ids())
    records, outcome = Poller(f, queue).deliver()
    assert sorted(outcome.failures()) == sorted(r["messageId"] for r in records)
    assert len(records) == 3
    for line in f.outcomes():
        assert line["outcome"] == "later" and bucket.bucket in line["msg"] or "no-such" in line["msg"]


def test_work_without_a_queue_of_its_own(function, jobs, bucket):
    """The event says what it needs; only the delays are the queue's then."""
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    records = [
        {"messageId": f"m-{job}", "body": json.dumps({"id": job}), "eventSource": "aws:sqs"}
        for job in [*jobs.ids(), "nobody-has-it"]
    ]
    assert f.invoke({"Records": records}).failures() == ["m-nobody-has-it"]
    assert bucket.receipts() == sorted(jobs.ids())


def test_a_batch_of_more_than_are_begun_at_a_time(function, sim, directory):
    s = sim("--generate", 250, "--size", 10)
    f = function(sim=s, env={"EGRESS_TO": directory.to})
    records = [
        {"messageId": f"m-{job}", "body": json.dumps({"id": job}), "eventSource": "aws:sqs"}
        for job in [*s.ids(), "nobody-has-it"]
    ]
    assert f.invoke({"Records": records}).failures() == ["m-nobody-has-it"]
    assert directory.receipts() == sorted(s.ids())
    assert len(f.outcomes()) == 251
    assert (f.metrics()["Stored"], len(f.metrics()["AgeAtReceipt"])) == (250, 100)


# ---- the secret --------------------------------------------------------------------------------


def token_of(s, key=None):
    return json.dumps({"access_token": {"private_key": key or s.token, "base_api_url": s.url}})


def test_the_token_is_a_secret(function, jobs, aws, bucket):
    job, other, _ = jobs.ids()
    for secret in (aws.secret(token_of(jobs)), aws.secret(token_of(jobs).encode())):
        f = function(s3=bucket.s3, aws=aws, env={**to_bucket(bucket), "SECRET_ARN": secret})
        assert f.invoke({"id": job}).json["status"] in ("stored", "already stored")
    assert f.invoke({"id": other}).json["status"] == "stored"


def test_the_secret_is_fetched_once(function, jobs, aws, bucket, faultproxy):
    secret = aws.secret(token_of(jobs))
    proxy = faultproxy(aws.url)
    env = {**to_bucket(bucket), "SECRET_ARN": secret,
           "AWS_ENDPOINT_URL_SECRETS_MANAGER": proxy.url}  # fmt: skip
    f = function(s3=bucket.s3, aws=aws, env=env)
    for job in jobs.ids():
        assert f.invoke({"id": job}).json["status"] == "stored"
    assert len(proxy.log()) == 1


@pytest.mark.parametrize("way", ["direct", "queue", "schedule"])
def test_the_token_was_rotated(function, jobs, aws, bucket, way):
    ids = jobs.ids()
    queue = aws.queue(VisibilityTimeout=60)
    secret = aws.secret(token_of(jobs, "a-token-of-yesterday"))
    env = {**to_bucket(bucket), "SECRET_ARN": secret}
    f = function(s3=bucket.s3, aws=aws, queue=queue, env=env)
    assert f.invoke({"id": ids[0]}).error["errorType"] == "Egress.auth"
    aws.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=token_of(jobs))
    if way == "direct":
        assert f.invoke({"id": ids[0]}).json["status"] == "stored"
    elif way == "queue":
        queue.send(*ids)
        assert Poller(f, queue).deliver()[1].failures() == []
        assert bucket.receipts() == sorted(ids)
        assert f.metrics()["Stored"] == 3
    else:
        assert f.invoke(SCHEDULE).json["queued"] == 3
    assert "a-token-of-yesterday" not in f.run.text("stderr")


def test_a_token_that_stays_wrong(function, jobs, aws, bucket):
    queue = aws.queue(VisibilityTimeout=60)
    secret = aws.secret(token_of(jobs, "a-token-of-yesterday"))
    env = {**to_bucket(bucket), "SECRET_ARN": secret}
    f = function(s3=bucket.s3, aws=aws, queue=queue, env=env)
    queue.send(*jobs.ids())
    records, outcome = Poller(f, queue).deliver()
    assert len(outcome.failures()) == len(records) == 3
    assert [line["outcome"] for line in f.outcomes()] == ["later"] * 3


@pytest.mark.parametrize(
    "value", ["", "{}", "not json", '{"access_token":{}}', "[1]", None], ids=str
)
def test_a_secret_that_is_no_token(function, jobs, aws, bucket, value):
    queue = aws.queue(VisibilityTimeout=3600)
    secret = "no-such-secret" if value is None else aws.secret(value or " ")
    env = {**to_bucket(bucket), "SECRET_ARN": secret}
    f = function(s3=bucket.s3, aws=aws, queue=queue, env=env)
    queue.send(jobs.ids()[0])
    poller = Poller(f, queue)
    _, outcome = poller.deliver()
    assert outcome.error["errorType"] == "Egress.config"
    assert secret in outcome.error["errorMessage"]
    (line,) = f.outcomes()
    assert line["outcome"] == "failed" and secret in line["msg"]
    assert queue.counts() == (0, 1)
    if value is None:
        aws.client("secretsmanager").create_secret(Name=secret, SecretString=token_of(jobs))
    else:
        aws.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=token_of(jobs))
    assert f.invoke({"id": jobs.ids()[0]}).json["status"] == "stored", "once it is put right"
    if value is None:
        aws.client("secretsmanager").delete_secret(
            SecretId=secret, ForceDeleteWithoutRecovery=True
        )


# ---- schedule ----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["aws.events", "aws.scheduler"])
def test_a_schedule_puts_into_the_queue_what_is_missing(function, jobs, aws, bucket, source):
    ids = jobs.ids()
    queue = aws.queue()
    f = function(sim=jobs, s3=bucket.s3, aws=aws, queue=queue, env=to_bucket(bucket))
    assert f.invoke({"id": ids[1]}).json["status"] == "stored"
    answer = f.invoke({**SCHEDULE, "source": source}).json
    assert answer == {"status": "synced", "listed": 3, "stored": 1, "missing": 2, "under_way": 0,
                      "queued": 2}  # fmt: skip
    assert sorted(body["id"] for body in queue.bodies()) == sorted([ids[0], ids[2]])
    assert bucket.receipts() == [ids[1]], "it transfers nothing itself"
    assert f.metrics()["RepairedBySync"] == 2
    assert f.outcomes()[-1]["outcome"] == "synced"


def test_a_schedule_leaves_alone_what_is_under_way(function, egress, sim, aws, bucket):
    """Each time it would be fetched twice."""
    s = sim("--generate", 2, "--size", "60M", "--seed", 5, "--set", "body_rate=15M")
    one, other = s.ids()
    queue = aws.queue(VisibilityTimeout=60)
    where = {"sim": s, "s3": bucket.s3, "aws": aws, "queue": queue, "env": to_bucket(bucket)}
    worker = function(**where)
    under_way = worker.api.send({"id": one})
    deadline = time.monotonic() + 20
    while not bucket.receipts():  # in state "uploading"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    answer = function(**where).invoke(SCHEDULE).json
    assert (answer["missing"], answer["under_way"], answer["queued"]) == (2, 1, 1)
    env = {**aws.env, "AWS_ENDPOINT_URL_S3": bucket.s3.url, **bucket.s3.env}
    sync = ("sync", "--queue", queue.url, "--to", bucket.to)
    r = egress(*sync, "--dry-run", sim=s, env=env).ok()
    assert f"under way      {one}" in r.stdout and f"missing        {other}" in r.stdout
    r = egress(*sync, sim=s, env=env).ok()
    assert "1 of the missing is under way, and not put into the queue again\n" in r.stdout
    assert "1 repaired (put into the queue), 0 failed\n" in r.stdout
    assert under_way.done.wait(30)
    assert queue.bodies() == [{"id": other}] * 2


def test_a_schedule_that_fails(function, jobs, aws, bucket):
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    assert "EGRESS_QUEUE" in f.invoke(SCHEDULE).error["errorMessage"]
    gone = aws.queue()
    gone.client.delete_queue(QueueUrl=gone.url)
    f = function(sim=jobs, s3=bucket.s3, aws=aws, queue=gone, env=to_bucket(bucket))
    assert "0 of 3" in f.invoke(SCHEDULE).error["errorMessage"]
    jobs.stop()
    f = function(sim=jobs, s3=bucket.s3, aws=aws, queue=aws.queue(), env=to_bucket(bucket))
    assert f.invoke(SCHEDULE).error["errorType"] == "Egress.network"
