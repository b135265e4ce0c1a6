# SPDX-License-Identifier: Apache-2.0
"""egress sync: what finished and is not stored is found, and stored or put into a queue."""

import concurrent.futures
import hashlib
import signal
from datetime import datetime, timedelta, timezone

import pytest

from stores import CountingProxy, bucket, directory, receipt_key, store  # noqa: F401 (fixtures)
from test_resume import kill_in_mid_upload, parts_of, sha256
from test_signals import parts_stored, wait_until

MIB = 1 << 20
OUTPUT = "GET /v1/jobs/{id}/output"
TTL = "PUT /v1/jobs/{id}/ttl"


def sync(egress, s, where, *flags, **kwargs):
    """Lines about jobs, and the summary."""
    r = egress("sync", "--to", where.to, "--json", *flags, sim=s, s3=where.s3, **kwargs).ok()
    *jobs, last = r.jsonl
    return jobs, last["summary"]


def expiry(s, job):
    return datetime.fromisoformat(s.details(job)["expiration_date"].replace("Z", "+00:00"))


def set_expiry(s, job, hours):
    date = (datetime.now(timezone.utc) + timedelta(hours=hours)).isoformat()
    s.request("PUT", f"/jobs/{job}/ttl", data={"expiration_date": date}).raise_for_status()


def in_days(date):
    return (date - datetime.now(timezone.utc)) / timedelta(days=1)


def is_stored(where, s, jobs):
    """Exactly these, each with what the Platform has, and a receipt."""
    stored = {key.split("/")[0]: data for key, data in where.objects().items()}
    assert sorted(stored) == sorted(jobs) == where.receipts()
    for job, data in stored.items():
        assert hashlib.sha256(data).hexdigest() == s.digest(job)


def test_stores_what_is_missing(egress, sim, store):  # noqa: F811
    s = sim("--generate", 30, "--size", "20K")
    jobs = s.ids()
    egress("fetch", "--to", store.to, *jobs[5:15], sim=s, s3=store.s3).ok()
    lines, summary = sync(egress, s, store)
    assert {line["job"] for line in lines} == set(jobs[:5] + jobs[15:])
    assert {line["status"] for line in lines} == {"stored"}
    assert summary["listed"] == 30 and summary["stored_before"] == 10
    assert summary["missing"] == summary["repaired"] == 20
    assert summary["failed"] == 0 and summary["bytes"] == 20 * 20 * 1024
    is_stored(store, s, jobs)
    before = s.stats()["requests"]
    lines, summary = sync(egress, s, store)
    assert lines == [] and summary["repaired"] == summary["missing"] == 0
    after = s.stats()["requests"]
    assert {name for name in after if after[name] != before.get(name)} == {"GET /v1/jobs"}
    r = egress("sync", "--to", store.to, sim=s, s3=store.s3).ok()
    assert "30 finished jobs: 30 stored before, 0 missing;" in r.stdout
    assert "\n0 repaired, 0 already stored, 0 failed; 0 B in" in r.stdout


def test_what_is_left_out(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    kinds = ("FAILED", "EXPIRED", "READY", "QUEUED", "RUNNING", "STUCK", "FOREIGN", "ARCHIVED")
    args = [arg for kind in (*kinds, "COMPLETE") for arg in ("--generate", f"2:{kind}")]
    s = sim(*args, "--size", "2K", "--set", "clock=stop")
    listed = s.get("/jobs", json={}).json()["jobs"]
    complete = [job["id"] for job in listed if job["state"] == "COMPLETE" and not job["expired"]]
    assert len(complete) == 4
    _, summary = sync(egress, s, directory)
    assert summary["left_out"] == {"failed": 2, "expired": 2, "older": 0}
    assert summary["listed"] == 8 and summary["repaired"] == 4
    is_stored(directory, s, complete)


def test_what_completes_later_is_found_later(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", "3:STUCK", "--size", "2K")
    jobs = s.ids()
    assert sync(egress, s, directory)[1]["listed"] == 0
    for job in jobs[:2]:
        s.request("PUT", f"/jobs/{job}/state", json={"state": "COMPLETE"}).raise_for_status()
    assert sync(egress, s, directory)[1]["repaired"] == 2
    is_stored(directory, s, jobs[:2])


def test_dry_run(egress, sim, store):  # noqa: F811
    s = sim("--generate", 5, "--size", "2K")
    jobs = s.ids()
    egress("fetch", "--to", store.to, *jobs[:2], sim=s, s3=store.s3).ok()
    keys, before = store.keys(), s.stats()["requests"]
    lines, summary = sync(egress, s, store, "--dry-run", "--extend-ttl", 9)
    assert {line["job"] for line in lines} == set(jobs[2:])
    assert {line["status"] for line in lines} == {"to be extended"}  # all expire in three days
    assert all(line["expires"] == s.details(line["job"])["expiration_date"] for line in lines)
    assert summary["missing"] == 3 and summary["repaired"] == 0 and summary["dry_run"] is True
    after = s.stats()["requests"]
    assert TTL not in after and after[OUTPUT] == before[OUTPUT]
    assert store.keys() == keys
    r = egress("sync", "--to", store.to, "--dry-run", sim=s, s3=store.s3).ok()
    assert r.stdout.count("missing        ") == 3 and r.stdout.endswith("\nnothing was done\n")


def test_since(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", "2:COMPLETE", "--generate", "2:STUCK", "--size", "2K")
    complete, stuck = s.ids()[:2], s.ids()[2:]
    if s.details(complete[0])["state"] != "COMPLETE":
        complete, stuck = stuck, complete
    for job in stuck:
        s.request("PUT", f"/jobs/{job}/state", json={"state": "COMPLETE"}).raise_for_status()
    ended = datetime.fromisoformat(s.details(stuck[0])["completion_date"].replace("Z", "+00:00"))
    older = datetime.fromisoformat(s.details(complete[0])["completion_date"].replace("Z", "+00:00"))
    assert older < ended
    between = (older + (ended - older) / 2).isoformat()
    for since, missing in (("2019-12-31", 4), ("300d", 4), (older.isoformat(), 4), (between, 2),
                           ("2999-01-01T00:00:00Z", 0), ("1ms", 0)):  # fmt: skip
        lines, summary = sync(egress, s, directory, "--dry-run", "--since", since)
        assert summary["missing"] == len(lines) == missing, since
        assert summary["left_out"]["older"] == 4 - missing
    _, summary = sync(egress, s, directory, "--since", between)
    assert summary["repaired"] == 2
    is_stored(directory, s, stuck)


def test_soonest_to_expire_first(egress, sim, store):  # noqa: F811
    s = sim("--generate", 8, "--size", "100K", "--set", "body_rate=400K")
    if store.kind == "directory":
        store.root.mkdir()
    jobs = s.ids()
    hours = {job: 5 + 7 * i % 8 for i, job in enumerate(jobs)}
    for job in jobs:
        set_expiry(s, job, hours[job])
    ordered = sorted(jobs, key=hours.get)
    lines, _ = sync(egress, s, store, "--dry-run")
    assert [line["job"] for line in lines] == ordered
    # The only slot is given in this order, but for the job whose details came first.
    lines, _ = sync(egress, s, store, "--concurrency", 1)
    got = [line["job"] for line in lines]
    assert got[1:] == [job for job in ordered if job != got[0]]


def test_goes_on_with_what_was_killed(egress, sim, ceph):
    """Its receipt is there, of an upload that was never finished."""
    s = sim("--generate", 1, "--size", 100 * MIB, "--set", "body_rate=25M")
    (job,) = s.ids()
    name = ceph.bucket()
    kill_in_mid_upload(egress, s, ceph, name, 10)
    client = ceph.client()

    def keys():
        return [entry["Key"] for entry in client.list_objects_v2(Bucket=name)["Contents"]]

    assert receipt_key(job) in keys()
    r = egress("sync", "--to", f"s3://{name}", "--json", sim=s, s3=ceph).ok()
    assert r.jsonl[-1]["summary"]["repaired"] == 1, r
    assert r.jsonl[0]["resumed_bytes"] > 0, r
    assert parts_of(ceph, name) is None
    assert sha256(ceph, name, f"{job}/labels.json") == s.digest(job)
    assert keys() == [receipt_key(job), f"{job}/labels.json"]
    r = egress("sync", "--to", f"s3://{name}", "--json", sim=s, s3=ceph).ok()
    assert r.jsonl[-1]["summary"]["stored_before"] == 1, r


def test_one_list_a_thousand_receipts(egress, sim, bucket):  # noqa: F811
    s = sim("--generate", 3, "--size", "2K")
    stored = s.ids()[0]

    def put(i):  # those of jobs that the Platform has forgotten
        key = bucket.prefix + receipt_key(f"job-{i}")
        bucket.client.put_object(Bucket=bucket.bucket, Key=key, Body=b"of another time")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(1005)))
    egress("fetch", "--to", bucket.to, stored, sim=s, s3=bucket.s3).ok()
    with CountingProxy(bucket.s3.url) as proxy:
        env = {"AWS_ENDPOINT_URL": proxy.url}
        _, summary = sync(egress, s, bucket, "--dry-run", env=env)
        assert summary["stored_before"] == 1 and summary["missing"] == 2
        asked = proxy.requests()
        assert len(asked) == 2 and all("list-type=2" in request for request in asked), asked


# ---- the Platform, whichever way it is ----


@pytest.mark.parametrize(
    "switches, archived",
    [
        (["query_from=body"], True),
        (["query_from=string"], True),
        (["query_from=string", "query_default=4"], True),
        (["query_from=string", "query_default=1"], True),
        (["query_from=none"], False),
        (["query_from=none", "error_body=html"], False),
        (["query_from=none", "list_fields=id"], False),
        (["query_from=none", "list_fields=id", "batch_success=no"], False),
        (["query_from=none", "list_expired=no"], False),
        (["query_max=1"], True),
        (["query_max=4", "query_total=total"], True),
        (["query_max=7", "query_sort=no"], True),
        (["query_fields=no", "query_max=3"], True),
        (["query_total=", "query_default=2"], True),
        (["booleans=number", "absent_dates=absent"], True),
        (["search_case=insensitive", "latency_ms=20"], True),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else "",
)
def test_switches_of_the_platform(egress, sim, directory, switches, archived):  # noqa: F811
    directory.root.mkdir()
    flags = [arg for switch in switches for arg in ("--set", switch)]
    s = sim("--generate", 10, "--generate", "3:ARCHIVED", "--generate", "2:FAILED",
            "--generate", "2:EXPIRED", "--generate", "2:STUCK", "--size", "1K", *flags)  # fmt: skip
    lines, summary = sync(egress, s, directory)
    assert summary["repaired"] == len(lines) == (13 if archived else 10)
    assert summary["left_out"]["failed"] == 2
    assert len(directory.receipts()) == summary["repaired"]
    assert sync(egress, s, directory)[1]["repaired"] == 0


def test_says_that_archived_jobs_may_be_missing(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", 1, "--size", "1K", "--set", "query_from=none")
    r = egress("sync", "--to", directory.to, sim=s).ok()
    warnings = [line for line in r.stderr.splitlines() if '"level":"warn"' in line]
    assert len(warnings) == 1 and "archived jobs are missing" in warnings[0]


def test_many_pages(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", "2500:COMPLETE", "--generate", "2500:FAILED")
    lines, summary = sync(egress, s, directory, "--dry-run")
    assert summary["listed"] == 5000 and summary["missing"] == len(lines) == 2500
    assert len({line["job"] for line in lines}) == 2500
    assert 5 <= s.stats()["requests"]["GET /v1/jobs"] <= 8


@pytest.mark.parametrize(
    "fault, status",
    [("status=503@#1", 0), ("status=503@100", 1), ("status=401@100", 3), ("reset@100", 1),
     ("garbage@100", 1), ("headers@100", 1), ("broken_json@#2..", 1), ("html=200@#2..", 1),
     ("truncate@#1..2", 0), ("redirect=loop@100", 1)],
)  # fmt: skip
def test_faults_of_the_list(egress, sim, directory, fault, status):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", 2, "--size", "1K", "--fault", f"GET /v1/jobs:{fault}")
    r = egress("sync", "--to", directory.to, "--json", sim=s)
    assert r.returncode == status, r
    assert bool(r.stdout) == (status == 0)  # what is not known is not summed up
    assert "GET /v1/jobs/list" not in s.stats()["requests"]


def test_jobs_that_fail_do_not_stop_the_others(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", "3:COMPLETE", "--generate", "2:NO_OUTPUT", "--size", "1K")
    r = egress("sync", "--to", directory.to, "--json", sim=s)
    assert r.returncode == 4, r
    assert r.jsonl[-1]["summary"]["repaired"] == 3 and r.jsonl[-1]["summary"]["failed"] == 2


# ---- expiry ----


def test_extends_what_is_at_risk(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", 4, "--size", "2K")
    soon, later, stored, sooner = s.ids()
    for job, hours in ((soon, 30), (later, 24 * 8), (stored, 2), (sooner, 1)):
        set_expiry(s, job, hours)
    egress("fetch", "--to", directory.to, stored, sim=s).ok()
    before = s.stats()["requests"][TTL]
    lines, summary = sync(egress, s, directory, "--extend-ttl", 5, "--concurrency", 1)
    order = [(line["job"], line["status"]) for line in lines]
    assert order[:2] == [(sooner, "extended"), (soon, "extended")]
    assert sorted(order[2:]) == sorted((job, "stored") for job in (sooner, soon, later))
    assert summary["extended"] == 2 and summary["not_extended"] == 0
    assert s.stats()["requests"][TTL] - before == 2
    for job in (soon, sooner):
        assert 4.99 < in_days(expiry(s, job)) < 5
    assert in_days(expiry(s, later)) > 7.9
    assert in_days(expiry(s, stored)) < 0.1


def test_never_extends_to_an_earlier_date(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", 3, "--size", "2K", "--set", "job_ttl=10d")
    dates = {job: expiry(s, job) for job in s.ids()}
    for _ in range(2):
        _, summary = sync(egress, s, directory, "--extend-ttl", 9, "--dry-run")
        assert summary["extended"] == 0
    _, summary = sync(egress, s, directory, "--extend-ttl", 9)
    assert summary["repaired"] == 3 and summary["extended"] == 0
    assert TTL not in s.stats()["requests"]
    assert {job: expiry(s, job) for job in dates} == dates


@pytest.mark.parametrize("how", [["--set", "ttl_max=1h"], ["--fault", "PUT /v1/jobs/{id}/ttl:status=400@100"]])
def test_what_cannot_be_extended_is_stored(egress, sim, directory, how):  # noqa: F811
    """The Platform agrees and does nothing, or refuses: a warning, and the job is fetched."""
    directory.root.mkdir()
    s = sim("--generate", 2, "--size", "2K", *how)
    r = egress("sync", "--to", directory.to, "--json", "--extend-ttl", 30, sim=s).ok()
    summary = r.jsonl[-1]["summary"]
    assert summary["not_extended"] == summary["repaired"] == 2 and summary["extended"] == 0
    assert r.stderr.count("is not kept longer") == 2
    assert all(2.9 < in_days(expiry(s, job)) < 3 for job in s.ids())


def test_extends_with_other_answers(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", 2, "--size", "2K", "--set", "status_done=200", "--set",
            "query_from=none", "--set", "list_fields=id")  # fmt: skip
    _, summary = sync(egress, s, directory, "--extend-ttl", 30)
    assert summary["extended"] == summary["repaired"] == 2
    assert all(in_days(expiry(s, job)) > 29.9 for job in s.ids())


# ---- into a queue ----


def test_into_a_queue(egress, sim, aws, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", 25, "--size", "2K")
    jobs = s.ids()
    egress("fetch", "--to", directory.to, *jobs[:3], sim=s).ok()
    queue = aws.queue(VisibilityTimeout=60)
    flags = ("--queue", queue.url)
    lines, summary = sync(egress, s, directory, *flags, "--dry-run", env=aws.env)
    assert summary["missing"] == 22 and queue.counts() == (0, 0)
    lines, summary = sync(egress, s, directory, *flags, env=aws.env)
    assert {line["job"] for line in lines} == set(jobs[3:])
    assert {line["status"] for line in lines} == {"queued"}
    assert summary["repaired"] == 22 and summary["queued"] is True and summary["bytes"] == 0
    assert directory.receipts() == sorted(jobs[:3])  # it transfers nothing itself
    assert queue.counts() == (22, 0)
    egress("worker", "--queue", queue.url, "--to", directory.to, "--until-empty",
           sim=s, env=aws.env).ok()  # fmt: skip
    is_stored(directory, s, jobs)
    assert sync(egress, s, directory, *flags, env=aws.env)[1]["repaired"] == 0


def test_a_queue_that_is_none(egress, sim, aws, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", 3, "--size", "2K")
    url = aws.queue().url + "-of-nobody"
    r = egress("sync", "--to", directory.to, "--json", "--queue", url, sim=s, env=aws.env)
    assert r.returncode == 3, r
    assert r.jsonl[-1]["summary"]["failed"] == 3 and r.jsonl[-1]["summary"]["repaired"] == 0
    r = egress("sync", "--to", directory.to, "--queue", "not-a-url", sim=s, env=aws.env)
    assert r.returncode == 2, r


# ---- how it ends ----


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(egress, sim, store, number, status):  # noqa: F811
    s = sim("--generate", 3, "--size", 256 * MIB, "--set", "body_rate=9M")
    if store.kind == "directory":
        store.root.mkdir()
    run = egress.start("sync", "--to", store.to, "--json", sim=s, s3=store.s3)
    wait_until(lambda: parts_stored(store), run)
    run.send_signal(number)
    r = run.wait(15)
    assert r.returncode == status, r
    summary = r.jsonl[-1]["summary"]
    assert summary["missing"] == 3 and summary["repaired"] == 0
    store.assert_empty()


def test_interrupted_while_it_looks(egress, sim, directory):  # noqa: F811
    directory.root.mkdir()
    s = sim("--generate", 3, "--fault", "GET /v1/jobs:stall@100")
    run = egress.start("sync", "--to", directory.to, "--json", sim=s)
    wait_until(lambda: s.stats()["requests"].get("GET /v1/jobs"), run)
    run.send_signal(signal.SIGINT)
    r = run.wait(10)
    assert r.returncode == 130 and r.stdout == "", r


def test_without_receipts_all_are_asked_for(egress, sim, store):  # noqa: F811
    s = sim("--generate", 3, "--size", "2K")
    first = s.ids()[0]
    if store.kind == "directory":
        store.root.mkdir()
    egress("fetch", "--to", store.to, "--receipts", "off", first, sim=s, s3=store.s3).ok()
    _, summary = sync(egress, s, store, "--receipts", "off")
    assert summary["missing"] == 3 and summary["repaired"] == 2 and summary["already_stored"] == 1


def test_a_destination_that_is_not_there(egress, sim, ceph, tmp_path):
    """A typing mistake is not to fetch everything once more."""
    s = sim("--generate", 2)
    for to in (str(tmp_path / "nowhere"), "s3://no-such-bucket-here"):
        r = egress("sync", "--to", to, sim=s, s3=ceph)
        assert r.returncode == 3 and r.stdout == "", r
    assert not (tmp_path / "nowhere").exists()
    assert OUTPUT not in s.stats()["requests"]


@pytest.mark.parametrize(
    "flags",
    [["--since", "yesterday"], ["--since", "2020"], ["--since", "2020-02-30"], ["--since", ""],
     ["--extend-ttl", "0"], ["--extend-ttl", "-1"], ["--extend-ttl", "1.5"],
     ["--extend-ttl", "366"], ["--queue", "s3://bucket"], ["--force"], ["a-job"],
     ["--key", "{nonsense}"]],
    ids=" ".join,
)  # fmt: skip
def test_bad_command_lines(egress, sim, tmp_path, flags):
    s = sim("--generate", 1)
    r = egress("sync", "--to", str(tmp_path), *flags, sim=s)
    assert r.returncode == 2 and len(r.stderr.splitlines()) == 1, r
    assert s.stats()["total"] == 0


def test_of_two_at_a_time_both_are_right(egress, sim, store):  # noqa: F811
    s = sim("--generate", 20, "--size", "20K")
    if store.kind == "directory":
        store.root.mkdir()
    runs = [egress.start("sync", "--to", store.to, "--json", sim=s, s3=store.s3) for _ in "ab"]
    results = [run.wait() for run in runs]
    assert [r.returncode for r in results] == [0, 0], results
    is_stored(store, s, s.ids())
    counted = [r.jsonl[-1]["summary"] for r in results]
    assert sum(c["repaired"] for c in counted) >= 20
