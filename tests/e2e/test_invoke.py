# SPDX-License-Identifier: Apache-2.0
"""egress invoke: every answer that a webhook can get, in each form in which it can come."""

import base64
import json
import socket

import pytest

import programs
from stores import bucket, directory, store  # noqa: F401 (fixtures)

SAMPLE_ID = "016f6063-51a1-4948-a827-ce4c31ec53ed"
LIMIT = 64 * 1024


def webhook(job, **members):
    return json.dumps({"id": job, "event": "job_complete", "msg": "it is done", **members})


def bare(body, method="POST"):
    assert method == "POST"
    return body


def proxy_v1(body, method="POST"):
    return json.dumps({"httpMethod": method, "path": "/job-complete", "body": body})


def proxy_v2(body, method="POST"):
    context = {"http": {"method": method, "path": "/job-complete"}}
    return json.dumps({"version": "2.0", "requestContext": context, "body": body})


def encoded(body, method="POST"):
    event = json.loads(proxy_v2(body, method))
    event["body"] = base64.b64encode(body.encode()).decode()
    event["isBase64Encoded"] = True
    return json.dumps(event)


FORMS = {"bare": bare, "v1": proxy_v1, "v2": proxy_v2, "base64": encoded}


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


def answer_of(result, status, exit_status):
    """The body of the answer, after checking that it is one."""
    assert result.returncode == exit_status, result
    assert len(result.stdout.splitlines()) == 1, result
    answer = result.json
    assert answer["statusCode"] == status, result
    assert answer["headers"]["Content-Type"] == "application/json"
    assert answer.keys() == {"statusCode", "headers", "body"}
    body = json.loads(answer["body"])
    if status != 200:
        assert {"status", "error", "message"} <= body.keys() and body["message"], result
        assert result.stderr, "and the log tells it too"
    return body


@pytest.fixture
def refused(egress, sim, directory):
    """refused(event, status): hands it to egress, which must neither ask anybody anything nor
    store anything; the body of the answer."""
    s = sim("--generate", 1, "--size", 10)

    def run(event, status):
        r = egress("invoke", "--to", directory.to, "-", sim=s, input=event)
        body = answer_of(r, status, 4)
        assert body["status"] == "rejected"
        assert s.stats()["total"] == 0
        directory.assert_empty()
        return body

    return run


# ---- 200 ---------------------------------------------------------------------------------------


def test_stored_and_stored_already(egress, sim, store, form):
    s = sim("--generate", 1, "--size", 1000)
    (job,) = s.ids()
    command = ["invoke", "--to", store.to, "-"]
    event = form(webhook(job))
    body = answer_of(egress(*command, sim=s, s3=store.s3, input=event), 200, 0)
    (key,) = store.object_keys()
    described = {"key": key, "location": store.location(key), "size": 1000}
    assert body == {"status": "stored", "job": job, "objects": [described]}
    assert store.get(key) == s.get(f"/jobs/{job}/output").content
    asked = s.stats()["total"]
    body = answer_of(egress(*command, sim=s, s3=store.s3, input=event), 200, 0)
    assert body == {"status": "already stored", "job": job, "objects": [described]}
    assert s.stats()["total"] == asked


WEBHOOKS = ["bare", "base64", "proxy-v1", "proxy-v2"]  # the others are for the Lambda program
SAMPLES = ["event.json", *(f"events/{name}.json" for name in WEBHOOKS)]


@pytest.mark.parametrize("path", SAMPLES)
def test_samples(egress, sim, directory, tmp_path, path):
    folder = tmp_path / "jobs" / SAMPLE_ID
    folder.mkdir(parents=True)
    (folder / "labels.json").write_text('{"labels": []}')
    s = sim("--jobs", tmp_path / "jobs")
    r = egress("invoke", "--to", directory.to, programs.ROOT / path, sim=s)
    assert answer_of(r, 200, 0)["job"] == SAMPLE_ID
    assert directory.objects() == {f"{SAMPLE_ID}/labels.json": b'{"labels": []}'}


def test_the_same_webhook_twice_at_once(egress, sim, bucket):
    s = sim("--generate", 1, "--size", "9M")
    (job,) = s.ids()
    runs = [
        egress.start("invoke", "--to", bucket.to, "-", sim=s, s3=bucket.s3, input=webhook(job))
        for _ in range(3)
    ]
    said = [answer_of(run.wait(), 200, 0)["status"] for run in runs]
    assert "stored" in said
    assert len(bucket.object_keys()) == 1 and bucket.receipts() == [job]
    bucket.assert_nothing_open()


def test_a_body_of_just_64_kib(egress, sim, directory, form):
    s = sim("--generate", 1, "--size", 10)
    (job,) = s.ids()
    filler = "é" * ((LIMIT - len(webhook(job, msg=""))) // 2 - 1)
    body = json.dumps({"id": job, "event": "job_complete", "msg": filler}, ensure_ascii=False)
    body += " " * (LIMIT - len(body.encode()))
    r = egress("invoke", "--to", directory.to, "-", sim=s, input=form(body))
    answer_of(r, 200, 0)
    assert max(map(len, r.stderr.splitlines())) < 2000


def test_more_members_and_no_msg(egress, sim, directory):
    s = sim("--generate", 1, "--size", 10)
    (job,) = s.ids()
    for body in (webhook(job, more=[{"x": None}]), webhook(job, msg=None), webhook(job, msg={})):
        answer_of(egress("invoke", "--to", directory.to, "-", sim=s, input=body), 200, 0)


# ---- 400, 405, 413 -----------------------------------------------------------------------------

BAD_BODIES = {
    "no body": ("", "no body"),
    "blanks": (" \n", "not JSON"),
    "not JSON": ("id=x&event=job_complete", "not JSON"),
    "cut": (webhook("x")[:-1], "not JSON"),
    "something after it": (webhook("x") + "x", "not JSON"),
    "a list": (f"[{webhook('x')}]", "not an object"),
    "a string": (json.dumps(webhook("x")), "not an object"),
    "null": ("null", "not an object"),
    "no id": ('{"event":"job_complete"}', '"id"'),
    "id twice": ('{"id":"a","id":"b","event":"job_complete"}', "given twice"),
    "no event": ('{"id":"x"}', '"event"'),
    "wrong event": (webhook("x", event="job_failed"), "job_failed"),
    "event of another type": (webhook("x", event=1), '"event"'),
    "event in capitals": (webhook("x", event="JOB_COMPLETE"), "job_complete"),
    **{
        f"id {ascii(bad)[:20]}": (webhook(bad), '"id"')
        for bad in (
            "", "../x", "a b", "a/b", "-x", "_x", "x" * 129, "x" * 10_000, "ä", "x\n", "\x1b[2J",
            None, 7, True, ["x"], {"x": 1},
        )
    },
    "id with a NUL": (webhook("x\x00y"), "has a NUL"),
    "deep lists": ("[" * 60_000, "nested too deep"),
    "deep objects": ('{"a":' * 10_000, "nested too deep"),
    "deep and closed": ("[" * 30_000 + "]" * 30_000, "nested too deep"),
    "deep msg": ('{"id":"x","event":"job_complete","msg":' + "[" * 60_000, "nested too deep"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_body(refused, form, case):
    body, says = BAD_BODIES[case]
    answer = refused(form(body), 400)
    assert answer["error"] == "input"
    assert says in answer["message"]


@pytest.mark.parametrize(
    "event",
    [
        '{"httpMethod":"POST"}',
        '{"httpMethod":"POST","body":null}',
        '{"httpMethod":"POST","body":7}',
        '{"httpMethod":"POST","body":{"id":"x","event":"job_complete"}}',
        '{"httpMethod":7,"body":"x"}',
        '{"httpMethod":null,"body":"x"}',
        '{"httpMethod":"POST","body":"%%%","isBase64Encoded":true}',
        '{"httpMethod":"POST","body":"AAA","isBase64Encoded":true}',
        '{"httpMethod":"POST","body":"e30=","isBase64Encoded":"yes"}',
        '{"requestContext":{"http":{}},"body":"{}"}',
        '{"requestContext":{"http":7},"body":"{}"}',
        '{"requestContext":' + "[" * 60_000,
        "\0",
        "\ufeff{}",
    ],
    ids=lambda event: ascii(event)[:60],
)
def test_bad_proxy_event(refused, event):
    refused(event, 400)


def test_bytes_that_are_no_text(refused):
    refused(b"\xff\xfe{\0}", 400)
    refused(b'{"id":"\xff","event":"job_complete"}', 400)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "post", "", "P\x1bST"])
@pytest.mark.parametrize("form", [proxy_v1, proxy_v2, encoded])
def test_other_methods(egress, sim, directory, form, method):
    """The body is not looked at."""
    s = sim("--generate", 1, "--size", 10)
    for body in (webhook(s.ids()[0]), "x"):
        r = egress("invoke", "--to", directory.to, "-", sim=s, input=form(body, method))
        assert answer_of(r, 405, 4)["status"] == "rejected"
        assert r.json["headers"]["Allow"] == "POST"
        assert "\x1b" not in r.stdout + r.stderr
    directory.assert_empty()


@pytest.mark.parametrize("size", [LIMIT + 1, 200_000])
def test_too_large(refused, form, size):
    """Whatever is in it."""
    for body in (webhook("x").ljust(size), "[" * size):
        assert refused(form(body), 413)["error"] == "too_large"


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 7_000_000])
def test_far_too_large(refused, size):
    refused("x" * size, 413)


# ---- 500 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, error, exit_status",
    [
        ("READY", "pending", 1),
        ("STUCK", "pending", 1),
        ("FAILED", "failed", 4),
        ("EXPIRED", "expired", 4),
        ("NO_OUTPUT", "no_output", 4),
    ],
)
def test_job_without_output(egress, sim, directory, kind, error, exit_status):
    s = sim("--generate", f"1:{kind}", "--size", 10, "--set", "clock=stop")
    (job,) = s.ids()
    r = egress("invoke", "--to", directory.to, "-", sim=s, input=proxy_v1(webhook(job)))
    body = answer_of(r, 500, exit_status)
    assert (body["status"], body["job"], body["error"]) == ("failed", job, error)
    directory.assert_empty()


def test_unknown_job(egress, sim, directory):
    s = sim("--generate", 1, "--size", 10)
    r = egress("invoke", "--to", directory.to, "-", sim=s, input=webhook("nobody-has-it"))
    assert answer_of(r, 500, 4)["error"] == "unknown_job"


def test_no_token(egress, directory):
    r = egress("invoke", "--to", directory.to, "-", input=webhook("x"))
    body = answer_of(r, 500, 3)
    assert (body["error"], body["job"]) == ("config", "x")
    assert "VOXEL51_API_TOKEN" in body["message"]


def test_no_destination(egress, sim):
    s = sim("--generate", 1, "--size", 10)
    r = egress("invoke", "-", sim=s, input=webhook(s.ids()[0]))
    assert "--to" in answer_of(r, 500, 2)["message"]


def test_store_is_down(egress, sim, bucket, unused_tcp_address):
    s = sim("--generate", 1, "--size", 10)
    env = {"AWS_ENDPOINT_URL": unused_tcp_address}
    r = egress(
        "invoke", "--to", bucket.to, "-", sim=s, s3=bucket.s3, env=env, input=webhook(s.ids()[0])
    )
    body = answer_of(r, 500, 1)
    assert body["error"] == "network" and unused_tcp_address.split("//")[1] in body["message"]


def test_platform_is_down(egress, directory, unused_tcp_address):
    env = {"VOXEL51_API_PRIVATE_KEY": "key-of-nobody", "VOXEL51_API_BASE_URL": unused_tcp_address}
    r = egress("invoke", "--to", directory.to, "-", env=env, input=webhook("x"))
    assert answer_of(r, 500, 1)["error"] == "network"
    directory.assert_empty()


@pytest.fixture
def unused_tcp_address():
    """Bound and not listened on: nobody else gets it, and every connection is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# ---- the file ----------------------------------------------------------------------------------


def test_event_from_a_file(egress, sim, directory, tmp_path):
    s = sim("--generate", 1, "--size", 10)
    (tmp_path / "my event.json").write_text(webhook(s.ids()[0]))
    answer_of(egress("invoke", "--to", directory.to, "my event.json", sim=s), 200, 0)


def test_no_such_file(egress, sim, directory, tmp_path):
    s = sim("--generate", 1, "--size", 10)
    for path in (tmp_path / "missing.json", tmp_path):
        r = egress("invoke", "--to", directory.to, path, sim=s)
        assert (r.returncode, r.stdout) == (2, ""), r
        assert len(r.stderr.splitlines()) == 1 and str(path) in r.stderr, r
