# SPDX-License-Identifier: Apache-2.0
"""The Platform's client: which token is used, how the states of a job are told apart, every way in
which the simulator can hand out an output, and how many requests all that takes."""

import gzip
import hashlib
import json
import os

import pytest

SOURCES = ("auto", "output", "output-url")
SIZE = 300_000


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def stored(directory):
    """Everything visible below the directory, by job id."""
    paths = directory.rglob("*") if directory.exists() else []
    names = [p.relative_to(directory) for p in paths if p.is_file()]
    return {p.parts[0]: (directory / p).read_bytes() for p in names if p.parts[0] != ".egress"}


def assert_stored(s, directory, *ids):
    found = stored(directory)
    assert sorted(found) == sorted(ids)
    for job in ids:
        assert hashlib.sha256(found[job]).hexdigest() == s.digest(job)


def sets(*assignments):
    """--set for each."""
    return [word for assignment in assignments for word in ("--set", assignment)]


def failure(result, error, status):
    """The one job's failure, after checking what it is called and the exit status."""
    assert result.returncode == status, result
    told = [line for line in result.jsonl if line.get("status") == "failed"]
    assert [line["error"] for line in told] == [error], result
    assert "Traceback" not in result.stderr
    return told[0]["message"]


# ---- tokens


def write_token(path, key, url):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"access_token": {"private_key": key, "base_api_url": url}}))
    return str(path)


@pytest.mark.parametrize("right", ["flag", "key", "file", "home"])
def test_order_of_token_sources(egress, sim, out, tmp_path, right):
    """The right token in one place, wrong ones in all places that come after it."""
    s = sim("--generate", 1, "--size", 100)
    egress.secret(s.token)
    places = ["flag", "key", "file", "home"]
    first = places.index(right)
    args, env = [], {}
    for place in places[first:]:
        token = s.token if place == right else "wrong"
        if place == "flag":
            args = ["--token-file", write_token(tmp_path / "given.json", token, s.url)]
        elif place == "key":
            env["VOXEL51_API_PRIVATE_KEY"] = token
            env["VOXEL51_API_BASE_URL"] = s.url
        elif place == "file":
            env["VOXEL51_API_TOKEN"] = write_token(tmp_path / "named.json", token, s.url)
        else:
            write_token(egress.home / ".voxel51" / "api-token.json", token, s.url)
    for name in ("VOXEL51_API_PRIVATE_KEY", "VOXEL51_API_TOKEN"):
        env.setdefault(name, "")  # empty is unset
    egress("fetch", "--to", out, *args, *s.ids(), env=env).ok()
    assert_stored(s, out, *s.ids())


def test_named_token_is_not_passed_over(egress, sim, out, tmp_path):
    """What is named and cannot be used is an error, though a good token lies behind it."""
    s = sim("--generate", 1, "--size", 100)
    write_token(egress.home / ".voxel51" / "api-token.json", s.token, s.url)
    missing = tmp_path / "missing.json"
    for args, env in (
        (["--token-file", missing], {}),
        ([], {"VOXEL51_API_TOKEN": str(missing)}),
    ):
        r = egress("fetch", "--to", out, *args, *s.ids(), env=env)
        assert r.returncode == 3, r
        assert str(missing) in r.stderr, r
    assert s.stats()["requests"].keys() <= {"GET /v1/jobs/list"}


def test_no_token(egress, out):
    r = egress("fetch", "--to", out, "a-job")
    assert r.returncode == 3, r
    for place in (
        "--token-file",
        "VOXEL51_API_PRIVATE_KEY",
        "VOXEL51_API_TOKEN",
        "~/.voxel51/api-token.json",
    ):
        assert place in r.stderr, r
    assert len(r.stderr.splitlines()) == 1, r


SHAPES = {
    "whole": lambda token: {"access_token": token},
    "inner": lambda token: token,
    "encoded once more": lambda token: json.dumps({"access_token": token}),
    "unknown members": lambda token: {"x": [None], "access_token": {**token, "created_at": "?"}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_token_shapes(egress, sim, out, tmp_path, shape):
    s = sim("--generate", 1, "--size", 100)
    egress.secret(s.token)
    token = {"private_key": s.token, "base_api_url": s.url + "/"}
    path = tmp_path / "token.json"
    path.write_text(json.dumps(SHAPES[shape](token)))
    egress("fetch", "--to", out, "--token-file", path, *s.ids()).ok()
    assert_stored(s, out, *s.ids())


BAD_TOKENS = {
    "empty": "",
    "no JSON": "SECRETSECRET",
    "cut": '{"access_token":{"private_key":"SECRETSECRET',
    "another shape": '["SECRETSECRET"]',
    "no key": '{"access_token":{"token_id":"x"}}',
    "empty key": '{"access_token":{"private_key":""}}',
    "key of another type": '{"access_token":{"private_key":{"SECRETSECRET":1}}}',
    "key with a line end": '{"access_token":{"private_key":"SECRETSECRET\\r\\nX-Other: 1"}}',
    "key with a space": '{"access_token":{"private_key":"SECRETSECRET x"}}',
    "URL of another type": '{"access_token":{"private_key":"SECRETSECRET","base_api_url":7}}',
    "URL of another scheme": '{"private_key":"SECRETSECRET","base_api_url":"ftp://h"}',
    "URL with a password": '{"private_key":"k","base_api_url":"http://u:SECRETSECRET@h"}',
    "deep": "[" * 60000,
    "large": " " * 70000 + '{"private_key":"SECRETSECRET"}',
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_bad_token_file(egress, out, tmp_path, case):
    egress.secret("SECRETSECRET")
    path = tmp_path / "bad-token.json"
    path.write_text(BAD_TOKENS[case])
    r = egress("fetch", "--to", out, "--token-file", path, "a-job")
    assert r.returncode == 3, r
    assert str(path) in r.stderr, r
    assert len(r.stderr.splitlines()) == 1, r
    assert stored(out) == {}


def test_token_file_that_is_none(egress, out, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, "/dev/zero"):
        r = egress("fetch", "--to", out, "--token-file", path, "a-job", timeout=10)
        assert r.returncode == 3, r
        assert f"{path} is not a regular file" in r.stderr, r


def test_missing_base_url_is_warned_of(egress, out, tmp_path):
    """No request is made: the id is refused before that."""
    path = tmp_path / "token.json"
    path.write_text('{"access_token":{"private_key":"k"}}')
    r = egress("fetch", "--to", out, "--token-file", path, "../x")
    assert "https://api.voxel51.com" in r.stderr and str(path) in r.stderr, r


@pytest.mark.parametrize("body", ["json", "html"])
def test_wrong_token(egress, sim, out, body):
    s = sim("--generate", 3, "--size", 100, *sets(f"error_body={body}"))
    env = {"VOXEL51_API_PRIVATE_KEY": "not-the-right-one"}
    r = egress("fetch", "--json", "--to", out, s.ids()[0], sim=s, env=env)
    assert "token" in failure(r, "auth", 3)
    r = egress("fetch", "--to", out, *s.ids(), sim=s, env=env)  # in a batch
    assert r.returncode == 3 and r.stderr.count("refused the token") == 3, r
    assert stored(out) == {}


# ---- states of a job


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_unknown_job(egress, sim, out, status):
    s = sim("--generate", 2, "--size", 100, *sets(f"status_unknown_job={status}"))
    r = egress("fetch", "--json", "--to", out, "nobody-has-it", sim=s)
    assert str(status) in failure(r, "unknown_job", 4)
    r = egress("fetch", "--json", "--to", out, "nobody-has-it", *s.ids(), sim=s)  # in a batch
    failure(r, "unknown_job", 4)
    assert_stored(s, out, *s.ids())


def test_unknown_job_not_in_the_platforms_words(egress, sim, out):
    s = sim("--generate", 1, "--size", 100, *sets("error_body=html"))
    r = egress("fetch", "--json", "--to", out, "nobody-has-it", sim=s)
    assert "base URL" in failure(r, "unknown_job", 4)


@pytest.mark.parametrize("status", [403, 404])
def test_foreign_job(egress, sim, out, status):
    (job,) = sim("--generate", 1, "--seed", 7).ids()
    switches = sets(f"status_foreign_job={status}")
    s = sim("--generate", "1:FOREIGN", "--seed", 7, "--size", 100, *switches)
    failure(egress("fetch", "--json", "--to", out, job, sim=s), "unknown_job", 4)
    assert stored(out) == {}


@pytest.mark.parametrize("kind", ["READY", "QUEUED", "SCHEDULED", "STUCK"])
def test_not_complete_yet(egress, sim, out, kind):
    s = sim("--generate", f"1:{kind}", "--size", 100, *sets("clock=stop"))
    failure(egress("fetch", "--json", "--to", out, *s.ids(), sim=s), "pending", 1)
    assert stored(out) == {}
    assert "GET /v1/jobs/{id}/output" not in s.stats()["requests"]


def test_failed(egress, sim, out):
    s = sim("--generate", "1:FAILED", "--size", 100)
    message = failure(egress("fetch", "--json", "--to", out, *s.ids(), sim=s), "failed", 4)
    assert s.details(s.ids()[0])["failure_type"] in message
    assert "GET /v1/jobs/{id}/output" not in s.stats()["requests"]


@pytest.mark.parametrize("booleans", ["json", "number"])
def test_expired(egress, sim, out, booleans):
    s = sim("--generate", "1:EXPIRED", "--size", 100, *sets(f"booleans={booleans}"))
    failure(egress("fetch", "--json", "--to", out, *s.ids(), sim=s), "expired", 4)
    assert "GET /v1/jobs/{id}/output" not in s.stats()["requests"]


@pytest.mark.parametrize("status", [204, 400, 404, 410])
@pytest.mark.parametrize("source", SOURCES)
def test_no_output(egress, sim, out, status, source):
    s = sim("--generate", "1:NO_OUTPUT", "--size", 100, *sets(f"status_no_output={status}"))
    r = egress("fetch", "--json", "--to", out, "--source", source, *s.ids(), sim=s)
    failure(r, "no_output", 4)
    assert stored(out) == {}


def test_archived_job_is_fetched(egress, sim, out):
    (job,) = sim("--generate", 1, "--seed", 7).ids()
    s = sim("--generate", "1:ARCHIVED", "--seed", 7, "--size", 100)
    egress("fetch", "--to", out, job, sim=s).ok()
    assert_stored(s, out, job)


@pytest.mark.parametrize("job", ["../x", "a b", "a/b", "-a", "a\nb", "ä", "x" * 10_000])
def test_bad_job_id(egress, sim, out, job):
    s = sim("--generate", 1, "--size", 100)
    r = egress("fetch", "--to", out, "--", job, sim=s)
    assert r.returncode == 4, r
    assert s.stats()["total"] == 0
    assert max(map(len, r.stderr.splitlines())) < 1000, r


@pytest.mark.parametrize(
    "switches",
    [
        ("booleans=number",),
        ("absent_dates=absent",),
        ("batch_success=no",),
        ("booleans=number", "absent_dates=absent", "batch_success=no"),
    ],
    ids=" ".join,
)
def test_forms_of_details(egress, sim, out, switches):
    kinds = ("--generate", 3, "--generate", "1:STUCK", "--generate", "1:FAILED")
    s = sim(*kinds, "--size", 100, *sets(*switches, "clock=stop"))
    complete = [job["id"] for job in s.jobs() if job["state"] == "COMPLETE"]
    r = egress("fetch", "--json", "--to", out, "nobody-has-it", *s.ids(), sim=s)
    errors = sorted(line["error"] for line in r.jsonl if line.get("status") == "failed")
    assert errors == ["failed", "pending", "unknown_job"], r
    assert_stored(s, out, *complete)


# ---- ways of an output


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "switches",
    [
        ("framing=length",),
        ("framing=chunked",),
        ("output=redirect", "signed_host=localhost"),
        ("output=redirect", "signed_port=other"),
        ("signed_port=other", "framing=chunked"),
        ("etag=weak", "content_type=none"),
        ("etag=none", "ranges=no"),
        ("x_goog_hash=both", "content_md5=yes", "digest=sha-256"),
        ("x_goog_hash=lines", "framing=chunked"),
        ("x_goog_hash=md5",),
        ("digest=md5",),
        ("content_disposition=auto", "output_filename=../../odd name.json"),
        ("gzip=accept",),
    ],
    ids=" ".join,
)
def test_output(egress, sim, out, switches, source):
    s = sim("--generate", 1, "--size", SIZE, *sets(*switches))
    egress("fetch", "--to", out, "--source", source, *s.ids(), sim=s).ok()
    assert_stored(s, out, *s.ids())
    asked = s.stats()["requests"]
    assert ("GET /v1/jobs/{id}/output-url" in asked) == (source == "output-url")
    assert ("GET /v1/jobs/{id}/output" in asked) == (source != "output-url")


@pytest.mark.parametrize("source", SOURCES)
def test_gzip_is_stored_as_it_comes(egress, sim, out, source):
    s = sim("--generate", 1, "--size", SIZE, *sets("gzip=always"))
    (job,) = s.ids()
    egress("fetch", "--to", out, "--source", source, job, sim=s).ok()
    body = stored(out)[job]
    assert hashlib.sha256(gzip.decompress(body)).hexdigest() == s.digest(job)


@pytest.mark.parametrize(
    "hashes",
    [
        "x_goog_hash=crc32c",
        "x_goog_hash=md5",
        "x_goog_hash=lines",
        "content_md5=yes",
        "digest=sha-256",
        "digest=md5",
    ],
)
@pytest.mark.parametrize("size", [100, 20_000_000])
def test_lying_checksum(egress, sim, out, hashes, size):
    s = sim("--generate", 1, "--size", size, *sets(hashes, "hash_lie=yes"))
    failure(egress("fetch", "--json", "--to", out, *s.ids(), sim=s), "integrity", 1)
    assert stored(out) == {}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("switch", ["ranges=yes", "ranges=no", "etag=none", "signed_port=other"])
def test_going_on_after_a_break(egress, sim, out, source, switch):
    size = 20_000_000
    cut = sets("body_cut=15000000", "body_cut_times=1", switch)
    s = sim("--generate", 1, "--size", size, *cut)
    egress("fetch", "--to", out, "--source", source, *s.ids(), sim=s).ok()
    assert_stored(s, out, *s.ids())
    stats = s.stats()
    if switch in ("ranges=yes", "signed_port=other"):
        assert stats["output_bytes"] < size + 1_000_000  # not from the beginning again
        by_url = stats["requests"].get("GET /v1/jobs/{id}/output-url", 0)
        assert by_url == {"auto": 1, "output": 0, "output-url": 2}[source]


# ---- how much is asked


def test_details_are_asked_in_batches(egress, sim, out):
    s = sim("--generate", 100, "--size", 100)
    ids = s.ids()
    before = s.stats()["requests"]
    egress("fetch", "--to", out, "--concurrency", 100, "-", input="\n".join(ids), sim=s).ok()
    assert_stored(s, out, *ids)
    asked = s.stats()["requests"]
    details = asked.get("POST /v1/jobs/batch", 0) + asked.get("GET /v1/jobs/{id}", 0)
    assert details <= 5, (before, asked)
    assert asked["GET /v1/jobs/{id}/output"] == 100


def test_one_job_takes_two_requests(egress, sim, out):
    s = sim("--generate", 1, "--size", 100)
    (job,) = s.ids()
    before = s.stats()["total"]
    egress("fetch", "--to", out, job, sim=s).ok()
    assert s.stats()["total"] - before == 2
    egress("fetch", "--to", out, job, sim=s).ok()  # stored already: nothing to ask here
    assert s.stats()["total"] - before == 2


def test_server_without_batches_of_that_size(egress, sim, out):
    """What a batch refuses is asked job by job."""
    s = sim("--generate", 30, "--size", 100, *sets("batch_max=2"))
    egress("fetch", "--to", out, *s.ids(), sim=s).ok()
    assert_stored(s, out, *s.ids())
