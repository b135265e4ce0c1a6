# SPDX-License-Identifier: Apache-2.0
"""The Lambda program under a runtime API that misbehaves, and its settings."""

import subprocess
import time

import pytest

import programs
from lambda_events import jobs, to_bucket, v1, webhook  # noqa: F401 (jobs is a fixture)
from stores import bucket, directory  # noqa: F401 (fixtures)

# ---- the runtime API ---------------------------------------------------------------------------

BAD = {
    "no request id": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "server fault": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "not found": b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"\x00\xff\r\n\r\n",
    "nothing": b"",
    "half a header": b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Re",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_answers_of_the_runtime_api(function, jobs, bucket, case):
    job = jobs.ids()[0]
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    f.api.say(BAD[case])
    assert f.invoke({"id": job}).json["status"] == "stored"
    (line,) = [line for line in f.log() if line["level"] == "error"]
    assert line["msg"].startswith("runtime API: ")
    asked = [at for what, at in f.api.asked if what.startswith("GET")]
    assert asked[1] - asked[0] >= 0.1, "after a pause"


@pytest.mark.parametrize("deadline", [None, "soon", "-5", "1", "9" * 40])
def test_malformed_deadlines(function, jobs, bucket, deadline):
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    outcome = f.invoke({"id": jobs.ids()[0]}, Lambda_Runtime_Deadline_Ms=deadline)
    assert outcome.json["status"] == "stored"
    assert [line for line in f.log() if "deadline" in line["msg"] and line["level"] == "warn"]


def test_it_gives_up_for_lambda_to_start_afresh(function, bucket):
    f = function(s3=bucket.s3, env=to_bucket(bucket))
    for _ in range(20):
        f.api.say(BAD["server fault"])
    result = f.run.wait(20)
    assert result.returncode == 1
    assert len(f.api.asked) == 6
    assert "6 failures in a row" in f.log()[-1]["msg"]


def test_there_may_be_no_event_for_long(function, jobs, bucket):
    """No time-out of ours ends the wait for one."""
    env = {**to_bucket(bucket), "EGRESS_READ_TIMEOUT": "1s", "EGRESS_CONNECT_TIMEOUT": "1s"}
    f = function(sim=jobs, s3=bucket.s3, env=env)
    time.sleep(3)
    assert f.invoke({"id": jobs.ids()[0]}).json["status"] == "stored"
    assert len([what for what, _ in f.api.asked if what.startswith("GET")]) <= 2
    assert f.outcomes() == f.log()


def test_refused_answers(function, jobs, bucket):
    """The event is lost to us then; Lambda knows what to do with it."""
    f = function(sim=jobs, s3=bucket.s3, env=to_bucket(bucket))
    f.api.answers.put(403)
    f.api.send({"id": jobs.ids()[0]})
    assert f.invoke({"id": jobs.ids()[0]}).json["status"] == "already stored"
    assert any("403" in line["msg"] for line in f.log())


# ---- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "env, says",
    [
        ({}, "BUCKET_NAME"),
        ({"PREFIX": "x"}, "BUCKET_NAME"),
        ({"BUCKET_NAME": "a/b"}, "PREFIX"),
        ({"BUCKET_NAME": "b", "EGRESS_MEMORY": "3"}, "EGRESS_MEMORY"),
        ({"BUCKET_NAME": "b", "EGRESS_KEY": "{nonsense}"}, "nonsense"),
        ({"BUCKET_NAME": "b", "WEBHOOK_TOKEN": "short"}, "WEBHOOK_TOKEN"),
    ],
    ids=str,
)
def test_wrong_settings_are_an_error_of_the_start(function, env, says):
    f = function(env=env)
    result = f.run.wait(20)
    assert result.returncode == 1
    assert says in f.api.init_error.error["errorMessage"]
    assert f.api.init_error.error["errorType"] == "Egress.config"
    assert [line["level"] for line in f.log()] == ["error"]
    assert [what for what, _ in f.api.asked] == ["POST /2018-06-01/runtime/init/error"]


def test_not_started_by_lambda(function):
    f = function(env={"AWS_LAMBDA_RUNTIME_API": ""})
    assert f.run.wait(20).returncode == 2
    assert "egress invoke" in f.log()[0]["msg"]


def test_the_first_question_comes_before_anything_else(function, aws, bucket):
    """No secret, no credentials, no queue before there is an event that needs them."""
    env = {**to_bucket(bucket), "SECRET_ARN": "s", "EGRESS_QUEUE": "http://127.0.0.1:1/1/q"}
    f = function(env=env)
    deadline = time.monotonic() + 10
    while not f.api.asked and time.monotonic() < deadline:
        time.sleep(0.005)
    assert f.api.asked[0][0] == "GET /2018-06-01/runtime/invocation/next"
    assert f.log() == []


def test_a_directory_will_do(function, jobs, directory):
    job = jobs.ids()[0]
    f = function(sim=jobs, env={"EGRESS_TO": directory.to})
    assert f.invoke(v1(webhook(job))).proxied(200)["status"] == "stored"
    assert directory.receipts() == [job]


def test_it_links_only_what_it_needs():
    names = subprocess.run(["nm", programs.BOOTSTRAP], capture_output=True, text=True, check=True)
    assert "lambda_main" in names.stdout
    assert "cli_main" not in names.stdout and "cmd_fetch" not in names.stdout
