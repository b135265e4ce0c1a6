# SPDX-License-Identifier: Apache-2.0
"""The simulator's JSON routes, in the wire forms of the vendor's Python and JavaScript clients."""

import http.client
import json
import re
import socket
import time

import pytest
import requests

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
QUERY_FIELDS = (
    "id name state archived upload_date expiration_date expired analytic_id compute_mode "
    "auto_start start_date completion_date fail_date failure_type"
).split()


def query(s, body, **kwargs):
    """As both clients do since 2020: a JSON body on GET."""
    return s.get("/jobs", json=body, **kwargs)


def error_of(answer):
    error = answer.json()["error"]
    assert error["code"] == answer.status_code and error["message"]
    return answer.status_code


def test_details(sim):
    s = sim("--generate", "1", "--size", "10")
    job = s.details(s.ids()[0])
    assert UUID.fullmatch(job["id"])
    assert set(job) == {*QUERY_FIELDS, "output_filename"}
    assert job["state"] == "COMPLETE" and job["failure_type"] == "NONE"
    assert job["archived"] is False and job["expired"] is False
    for name in ("upload_date", "expiration_date", "start_date", "completion_date"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", job[name]), name
    assert job["upload_date"] < job["start_date"] < job["completion_date"]
    assert job["fail_date"] is None
    assert job["output_filename"] == "labels.json"


def test_ids_follow_from_the_seed(sim):
    first, again, other = (
        sim("--generate", "5", "--seed", seed).ids() for seed in ("7", "7", "8")
    )
    assert first == again and len(set(first)) == 5
    assert not set(first) & set(other)


def test_kinds(sim):
    kinds = ["FAILED", "EXPIRED", "NO_OUTPUT", "STUCK", "ARCHIVED", "FOREIGN"]
    s = sim(*(word for kind in kinds for word in ("--generate", f"1:{kind}")), "--size", "1")
    answer = query(s, {}).json()
    jobs = sorted(answer["jobs"], key=lambda job: job["name"])
    failed, expired, no_output, stuck, archived = jobs
    assert answer["count"] == 5
    assert failed["state"] == "FAILED" and failed["failure_type"] == "ANALYTIC"
    assert failed["fail_date"] and not failed["completion_date"]
    assert expired["state"] == "COMPLETE" and expired["expired"] is True
    assert stuck["state"] == "RUNNING"
    assert archived["archived"] is True
    assert archived["id"] not in s.ids()
    assert s.details(no_output["id"])["output_filename"] is None
    outputs = [s.get(f"/jobs/{job['id']}/output") for job in jobs]
    assert [o.status_code for o in outputs] == [400, 404, 404, 400, 200]
    assert all(error_of(o) for o in outputs[:4])


def test_foreign_job(sim):
    own = sim("--generate", "1", "--size", "1").ids()[0]
    s = sim("--generate", "1:FOREIGN", "--set", "status_foreign_job=403")
    assert s.jobs() == []
    assert error_of(s.get(f"/jobs/{own}")) == 403
    batch = s.request("POST", "/jobs/batch", json={"action": "details", "ids": [own]}).json()
    assert batch["responses"][own]["error"]["code"] == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic dDp0"}, {"Authorization": ""}],
)
def test_token_is_checked(sim, headers):
    s = sim("--generate", "1", "--token", "right")
    for path in ("/v1/jobs/list", "/v1/status/all", "/v1/nothing"):
        assert error_of(requests.get(s.url + path, headers=headers, timeout=10)) == 401
    assert s.get("/jobs/list").status_code == 200


def test_statuses_are_switches(sim):
    s = sim(
        "--generate", "1:EXPIRED", "--generate", "1:STUCK", "--generate", "1:NO_OUTPUT",
        "--set", "status_bad_token=403", "--set", "status_unknown_job=400",
        "--set", "status_expired=410", "--set", "status_not_complete=409",
        "--set", "status_no_output=422", "--set", "status_auth=no", "--set", "status_done=200",
    )  # fmt: skip
    expired, stuck, no_output = s.ids()
    assert requests.get(s.api + "/jobs/list", timeout=10).status_code == 403
    assert requests.get(s.api + "/status/all", timeout=10).status_code == 200
    assert s.get("/jobs/nobody").status_code == 400
    for job, status in ((expired, 410), (stuck, 409), (no_output, 422)):
        assert error_of(s.get(f"/jobs/{job}/output")) == status
        assert error_of(s.get(f"/jobs/{job}/output-url")) == status
    done = s.request("PUT", f"/jobs/{stuck}/archive")
    assert (done.status_code, done.content) == (200, b"")


def test_html_errors(sim):
    s = sim("--set", "error_body=html")
    answer = s.get("/jobs/unknown")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


def test_forms_of_booleans_and_absent_dates(sim):
    s = sim("--generate", "1:STUCK", "--set", "booleans=number", "--set", "absent_dates=absent")
    job = s.details(s.ids()[0])
    assert job["archived"] == 0 and job["archived"] is not False
    assert "completion_date" not in job and "fail_date" not in job


# ---- query -------------------------------------------------------------------------------------


@pytest.fixture
def mixed(sim):
    s = sim("--generate", "4", "--generate", "3:FAILED", "--generate", "2:ARCHIVED")
    s.all = {job["name"]: job for job in query(s, {}).json()["jobs"]}
    return s


def test_query_both_clients(mixed):
    expected = [name for name, job in mixed.all.items() if not job["archived"]]
    python = {"fields": "id,name", "search": "archived:False,state:COMPLETE|FAILED",
              "sort": "name:asc", "limit": 5}  # fmt: skip
    javascript = {"fields": ["id", "name"], "search": ["archived:false", "state:COMPLETE|FAILED"],
                  "sort": "name:asc", "limit": 5}  # fmt: skip
    answers = [query(mixed, body).json() for body in (python, javascript)]
    assert answers[0] == answers[1]
    assert answers[0]["count"] == len(expected) == 7
    assert [job["name"] for job in answers[0]["jobs"]] == sorted(expected)[:5]
    assert all(set(job) == {"id", "name"} for job in answers[0]["jobs"])


def test_query_in_the_query_string(mixed):
    body = query(mixed, {"fields": ["id"], "search": ["state:FAILED"], "limit": 2}).json()
    assert body["count"] == 3 and len(body["jobs"]) == 2
    for params in (
        {"fields": "id", "search": "state:FAILED", "limit": "2"},
        {"fields": ["id"], "search": ["state:FAILED"], "limit": 2},
        {"fields[0]": "id", "search[0]": "state:FAILED", "limit": 2},
        {"fields[]": "id", "search[]": "state:FAILED", "limit": 2},
    ):
        assert mixed.get("/jobs", params=params).json() == body


def test_empty_queries(mixed):
    answers = [query(mixed, body) for body in ({}, {"fields": [], "search": []})]
    answers.append(mixed.get("/jobs"))
    assert len({a.text for a in answers}) == 1
    body = answers[0].json()
    assert body["count"] == len(body["jobs"]) == 9
    assert list(body["jobs"][0]) == QUERY_FIELDS
    dates = [job["upload_date"] for job in body["jobs"]]
    assert dates == sorted(dates, reverse=True)


@pytest.mark.parametrize(
    "search, count",
    [
        ("state:COMPLETE", 6),
        ("state:PLETE", 6),
        ("State:FAILED", 3),
        ("state:complete", 0),
        ("state:FAILED|COMPLETE", 9),
        ("archived:TRUE", 2),
        ("archived:true,state:FAILED", 0),
        ("expired:false", 9),
        ("failure type:ANALYTIC", 3),
        ("Failure_Type:ANALYTIC", 3),
        ("clip-", 9),
        ("000003", 1),
        ("name:clip-000001|clip-000002", 2),
        (r"name:000001\|000002", 0),
        (r"name:000001\,000002", 0),
        (r"name:\:", 0),
        ("name:", 9),
        ("nowhere", 0),
    ],
)
def test_search(mixed, search, count):
    assert query(mixed, {"search": search, "fields": "id"}).json()["count"] == count
    assert query(mixed, {"search": [search], "fields": ["id"]}).json()["count"] == count


def test_escapes_in_search(sim):
    s = sim()
    name = "a,b:c|d\\e"
    upload(s, name)
    for text in (r"name:a\,b\:c\|d\\e", r"a\,b", r"b\:c", r"c\|d", r"zzz|c\|d", r"d\\e"):
        assert query(s, {"search": text}).json()["count"] == 1, text
        assert query(s, {"search": [text]}).json()["count"] == 1, text
    assert query(s, {"search": r"name:a\,c"}).json()["count"] == 0


def test_search_case_is_a_switch(sim):
    s = sim("--generate", "1", "--set", "search_case=insensitive")
    assert query(s, {"search": "state:complete"}).json()["count"] == 1


def test_paging_and_sort(sim):
    s = sim("--generate", "25", "--set", "query_total=total", "--set", "query_max=10")
    got = []
    while page := query(s, {"sort": "id:asc", "offset": len(got), "limit": 12}).json()["jobs"]:
        assert len(page) <= 10
        got += [job["id"] for job in page]
    assert got == sorted(s.ids()) and len(got) == 25
    beyond = query(s, {"offset": 1000}).json()
    assert beyond == {"jobs": [], "total": 25}
    descending = query(s, {"sort": "id:desc"}).json()["jobs"]
    assert [job["id"] for job in descending] == got[:-11:-1]


def test_where_a_query_is_read_is_a_switch(sim):
    for where, limits in (("any", (2, 3)), ("body", (2, 4)), ("string", (5, 3))):
        s = sim("--generate", 5, "--set", f"query_from={where}", "--set", "query_default=4")
        both = query(s, {"limit": 2, "sort": "id:asc"}, params={"limit": 5}).json()["jobs"]
        alone = s.get("/jobs", params={"limit": 3}).json()["jobs"]
        assert (len(both), len(alone)) == limits, where
    s = sim("--generate", 5, "--set", "query_from=none")
    assert error_of(query(s, {})) == 404
    assert len(s.get("/jobs/list").json()["jobs"]) == 5


def test_what_a_query_heeds_is_a_switch(sim):
    s = sim("--generate", 5, "--set", "query_fields=no", "--set", "query_sort=no",
            "--set", "query_default=3", "--set", "list_fields=id")  # fmt: skip
    jobs = query(s, {"fields": "id", "sort": "id:asc"}).json()["jobs"]
    assert len(jobs) == 3 and all("state" in job for job in jobs)
    other_way = query(s, {"sort": "id:desc"}).json()["jobs"]
    assert [job["id"] for job in jobs] == [job["id"] for job in other_way]
    assert all(list(job) == ["id"] for job in s.get("/jobs/list").json()["jobs"])


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b"{",
        b'{"search":"colour:red"}',
        b'{"limit":-1}',
        b'{"limit":"many"}',
        b'{"offset":1.5}',
        b'{"search":{"a":1}}',
        b'{"sort":"colour:asc"}',
        b'{"sort":"name:up"}',
        b"[" * 60000,
        b'{"search":"a\\u0000b"}',
    ],
    ids=range(12),
)
def test_bad_queries(mixed, body):
    assert error_of(mixed.get("/jobs", data=body)) == 400


def test_unknown_fields_are_dropped(mixed):
    job = query(mixed, {"fields": "id,colour,output_filename", "colour": {}}).json()["jobs"][0]
    assert list(job) == ["id"]


def test_many_jobs_are_streamed(sim):
    s = sim("--generate", "20000", "--size", "0..100")
    jobs = s.jobs()
    assert len({job["id"] for job in jobs}) == 20000
    answer = query(s, {"fields": "id", "sort": "id:desc", "offset": 19990}).json()
    assert [job["id"] for job in answer["jobs"]] == sorted(job["id"] for job in jobs)[9::-1]
    assert answer["count"] == 20000


# ---- actions -----------------------------------------------------------------------------------


def expiry(s, job):
    text = s.details(job)["expiration_date"]
    assert text.endswith("Z")
    return time.mktime(time.strptime(text[:19] + "UTC", "%Y-%m-%dT%H:%M:%S%Z")) - time.timezone


@pytest.mark.parametrize("days", ["5", "1.5", "-1", "0"])
def test_ttl_by_days(sim, days):
    s = sim("--generate", "1")
    job = s.ids()[0]
    before = expiry(s, job)
    done = s.request("PUT", f"/jobs/{job}/ttl", data={"days": days})
    assert (done.status_code, done.content) == (204, b"")
    assert abs(expiry(s, job) - before - 86400 * float(days)) <= 1


@pytest.mark.parametrize(
    "date, stored",
    [
        ("2099-01-02T03:04:05.000Z", "2099-01-02T03:04:05.000Z"),
        ("2099-01-02T03:04:05", "2099-01-02T03:04:05.000Z"),
        ("2099-01-02T03:04:05.123456", "2099-01-02T03:04:05.123Z"),
        ("2099-01-02T03:04:05+02:00", "2099-01-02T01:04:05.000Z"),
    ],
)
def test_ttl_by_date(sim, date, stored):
    s = sim("--generate", "1")
    job = s.ids()[0]
    done = s.request("PUT", f"/jobs/{job}/ttl", data={"expiration_date": date})
    assert done.status_code == 204
    assert s.details(job)["expiration_date"] == stored


@pytest.mark.parametrize(
    "form",
    [{}, {"days": "1", "expiration_date": "2099-01-01T00:00:00Z"}, {"days": "soon"},
     {"days": "1e9"}, {"days": "nan"}, {"expiration_date": "tomorrow"}, {"days": ""}],
)  # fmt: skip
def test_ttl_wants_exactly_one(sim, form):
    s = sim("--generate", "1")
    job = s.ids()[0]
    before = s.details(job)
    assert error_of(s.request("PUT", f"/jobs/{job}/ttl", data=form)) == 400
    assert s.details(job) == before


def test_a_past_date_deletes_the_output_for_good(sim):
    s = sim("--generate", "1", "--size", "1")
    job = s.ids()[0]
    assert s.request("PUT", f"/jobs/{job}/ttl", data={"days": "-4"}).status_code == 204
    assert s.details(job)["expired"] is True
    assert s.get(f"/jobs/{job}/output").status_code == 404
    assert error_of(s.request("PUT", f"/jobs/{job}/ttl", data={"days": "9"})) == 400


def test_the_longest_ttl_is_a_switch(sim):
    s = sim("--generate", "1", "--set", "ttl_max=5d")
    job = s.ids()[0]
    before = s.details(job)["expiration_date"]
    assert s.request("PUT", f"/jobs/{job}/ttl", data={"days": "3"}).status_code == 204
    assert s.details(job)["expiration_date"] == before
    assert s.request("PUT", f"/jobs/{job}/ttl", data={"days": "1"}).status_code == 204
    assert s.details(job)["expiration_date"] > before


def test_archive(sim):
    s = sim("--generate", "2")
    first, second = s.ids()
    assert s.request("PUT", f"/jobs/{first}/archive").status_code == 204
    assert s.ids() == [second]
    assert query(s, {}).json()["count"] == 2
    assert s.request("PUT", f"/jobs/{first}/unarchive").status_code == 204
    assert s.ids() == [first, second]


def test_start_kill_delete_follow_the_state(sim):
    s = sim("--generate", "3:READY", "--set", "auto_start=no", "--set", "queued_ms=600000")
    one, two, three = s.ids()
    assert s.request("PUT", f"/jobs/{one}/start").status_code == 204
    assert s.details(one)["state"] == "QUEUED"
    assert error_of(s.request("PUT", f"/jobs/{one}/start")) == 400
    assert error_of(s.request("DELETE", f"/jobs/{one}")) == 400
    assert error_of(s.request("PUT", f"/jobs/{two}/kill")) == 400
    assert s.request("PUT", f"/jobs/{one}/kill").status_code == 204
    killed = s.details(one)
    assert (killed["state"], killed["failure_type"]) == ("FAILED", "USER")
    assert s.request("DELETE", f"/jobs/{two}").status_code == 204
    assert s.get(f"/jobs/{two}").status_code == 404
    assert s.ids() == [one, three]


def test_batch_details(sim):
    s = sim("--generate", "3", "--size", "1")
    ids = s.ids()
    answer = s.request(
        "POST", "/jobs/batch", json={"action": "details", "ids": [*ids, "nobody", ids[0]]}
    )
    assert answer.status_code == 200
    responses = answer.json()["responses"]
    assert set(responses) == {*ids, "nobody"}
    for job in ids:
        assert responses[job] == {"success": True, "response": s.details(job)}
    assert responses["nobody"]["success"] is False
    assert responses["nobody"]["error"]["code"] == 404
    assert responses["nobody"]["error"]["message"]


def test_batch_without_success(sim):
    s = sim("--generate", "1", "--set", "batch_success=no")
    job = s.ids()[0]
    responses = s.request(
        "POST", "/jobs/batch", json={"action": "details", "ids": [job, "x"]}
    ).json()["responses"]
    assert set(responses[job]) == {"response"} and set(responses["x"]) == {"error"}
    done = s.request("POST", "/jobs/batch", json={"action": "archive", "ids": [job]}).json()
    assert done["responses"] == {job: {}}


def test_batch_actions(sim):
    s = sim("--generate", "2", "--generate", "1:READY", "--set", "auto_start=no")
    one, two, ready = s.ids()

    def batch(action, ids, **more):
        answer = s.request("POST", "/jobs/batch", json={"action": action, "ids": ids, **more})
        return {job: r["success"] for job, r in answer.json()["responses"].items()}

    before = expiry(s, one)
    assert batch("ttl", [one, two], days="1.5") == {one: True, two: True}
    assert abs(expiry(s, one) - before - 1.5 * 86400) <= 1
    date = "2098-07-06T05:04:03.000Z"
    assert batch("ttl", [one], expiration_date=date) == {one: True}
    assert s.details(one)["expiration_date"] == date
    assert batch("archive", [one, two]) == {one: True, two: True}
    assert s.ids() == [ready]
    assert batch("unarchive", [two]) == {two: True}
    assert batch("start", [one, ready]) == {one: False, ready: True}
    assert batch("kill", [one, ready]) == {one: False, ready: True}
    assert batch("delete", [one]) == {one: False}
    assert batch("details", []) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"action":"details"}',
        b'{"action":"details","ids":"x"}',
        b'{"action":"details","ids":[1]}',
        b'{"action":"explode","ids":[]}',
        b'{"action":"ttl","ids":[]}',
        b'{"action":"ttl","ids":[],"days":"1","expiration_date":"2099-01-01T00:00:00Z"}',
    ],
)
def test_bad_batches(sim, body):
    assert error_of(sim().request("POST", "/jobs/batch", data=body)) == 400


def test_batch_limit_is_a_switch(sim):
    s = sim("--set", "batch_max=2")
    for ids, status in ((["a", "b"], 200), (["a", "b", "c"], 400)):
        answer = s.request("POST", "/jobs/batch", json={"action": "details", "ids": ids})
        assert answer.status_code == status


# ---- upload, request, status, log --------------------------------------------------------------


def upload(s, name, auto_start="False", **more):
    """As api-py: multipart with a file part and text parts."""
    request = {"analytic": "o/a", "inputs": {"video": {"data-id": "1"}}, "parameters": {}}
    files = {
        "file": ("job.json", json.dumps(request), "application/json"),
        "job_name": (None, name),
        "auto_start": (None, auto_start),
        **{key: (None, value) for key, value in more.items()},
    }
    return s.request("POST", "/jobs", files=files)


def test_upload(sim):
    s = sim("--size", "77")
    date = "2097-01-01T00:00:00.000Z"
    job = upload(s, "träg.mp4", job_ttl=date).json()["job"]
    assert UUID.fullmatch(job["id"])
    assert (job["name"], job["state"], job["expiration_date"]) == ("träg.mp4", "READY", date)
    assert s.get(f"/jobs/{job['id']}/request").json()["analytic"] == "o/a"
    assert s.request("PUT", f"/jobs/{job['id']}/state", json={"state": "COMPLETE"}).ok
    assert len(s.get(f"/jobs/{job['id']}/output").content) == 77
    assert upload(s, "x", auto_start="true").json()["job"]["auto_start"] is True


def test_bad_uploads(sim):
    s = sim()
    assert error_of(s.request("POST", "/jobs", data=b"x")) == 400
    assert error_of(s.request("POST", "/jobs", files={"job_name": (None, "n")})) == 400
    assert error_of(s.request("POST", "/jobs", files={"file": "no json", "job_name": "n"})) == 400
    assert error_of(upload(s, "n", job_ttl="never")) == 400
    assert error_of(upload(s, "n" * 5000)) == 400
    assert s.ids() == []


def test_request_status_log(sim):
    s = sim("--generate", "1")
    job = s.ids()[0]
    request = s.get(f"/jobs/{job}/request").json()
    assert "analytic" in request and "data-id" in request["inputs"]["video"]
    status = s.get(f"/jobs/{job}/status").json()
    assert status["state"] == "COMPLETE" and status["fail_time"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", status["complete_time"])
    log = s.get(f"/jobs/{job}/log")
    assert log.headers["Content-Type"].startswith("text/plain") and job in log.text
    url = s.get(f"/jobs/{job}/log-url").json()["url"]
    assert requests.get(url, timeout=10).text == log.text
    quiet = sim("--generate", "1", "--set", "log=no")
    assert error_of(quiet.get(f"/jobs/{quiet.ids()[0]}/log")) == 404


def test_platform_status(sim):
    statuses = sim().get("/status/all").json()["statuses"]
    assert statuses["platform"]["operational"] is True and "jobs" in statuses


# ---- hostile requests --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/v1/jobs/..%2f..%2fetc%2fpasswd", "/v1/jobs/" + "a" * 10000, "/v1/jobs/a%20b", "/v1/jobs/",
     "/v1/jobs//output", "/v2/jobs/list", "/", "/v1/jobs/x/y/z", "/v1/jobs/%00"],
)  # fmt: skip
def test_unknown_paths(sim, path):
    s = sim("--generate", "1")
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=10)
    connection.request("GET", path, headers={"Authorization": f"Bearer {s.token}"})
    answer = connection.getresponse()
    assert answer.status == 404
    assert json.loads(answer.read())["error"]["code"] == 404


def test_wrong_methods_are_unknown_routes(sim):
    s = sim("--generate", "1")
    job = s.ids()[0]
    for method, path in (("POST", "/jobs/list"), ("GET", f"/jobs/{job}/start"), ("PUT", "/jobs")):
        assert error_of(s.request(method, path)) == 404


def test_bodies_are_capped(sim):
    s = sim()
    answer = s.request("POST", "/jobs/batch", data=b" " * (8 * 1024 * 1024 + 1))
    assert error_of(answer) == 413
    assert s.get("/jobs/list").status_code == 200


def test_garbage_does_not_end_it(sim):
    s = sim("--generate", "1")
    for junk in (b"\x00" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 300000):
        with socket.create_connection(("127.0.0.1", s.port), 10) as connection:
            try:
                connection.sendall(junk)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(100)
            except ConnectionError:
                pass
    assert len(s.ids()) == 1


def test_stats_count(sim):
    s = sim("--generate", "2", "--size", "1000")
    for job in s.ids():
        s.get(f"/jobs/{job}/output")
    s.request("HEAD", f"/jobs/{job}/output")
    s.get("/nothing")
    assert s.stats() == {
        "requests": {
            "GET /v1/jobs/list": 1,
            "GET /v1/jobs/{id}/output": 2,
            "HEAD /v1/jobs/{id}/output": 1,
        },
        "unrouted": 1,
        "total": 5,
        "output_bytes": 2000,
        "webhooks_sent": 0,
        "webhooks_failed": 0,
        "faults": {},
    }


def test_latency(sim):
    s = sim("--set", "latency_ms=300")
    began = time.monotonic()
    s.get("/jobs/list")
    assert time.monotonic() - began >= 0.3
