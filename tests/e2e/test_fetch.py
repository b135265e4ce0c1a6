# SPDX-License-Identifier: Apache-2.0
"""egress fetch as a whole: what it is told, what it tells, and what both kinds of destination keep
of it. What is particular to one of them is in test_fetch_file.py and test_fetch_s3.py."""

import base64
import hashlib
import re
import urllib.parse

import pytest

from stores import CountingProxy, bucket, directory, receipt_key, store  # noqa: F401 (fixtures)

MIB = 1024 * 1024


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def assert_stored(s, store, ids, size=None):
    """Exactly these jobs, under the default key, byte for byte."""
    found = store.objects()
    assert sorted(key.split("/")[0] for key in found) == sorted(ids)
    for key, data in found.items():
        assert sha256(data) == s.digest(key.split("/")[0], len(data) if size is None else size)


def jobs_by_state(s):
    return {job["state"] if not job["expired"] else "EXPIRED": job["id"] for job in s.jobs()}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# ---- ids ---------------------------------------------------------------------------------------


def test_ids_from_standard_input(egress, sim, directory):
    """Blank lines, blanks around, CRLF, repetitions, no line end at the end: the good ones are
    stored, each once; bad ones are told."""
    s = sim("--generate", 3, "--size", 1000)
    ids = s.ids()
    bad = ["../x", "-rf", "--force", "a b", "ü", "x" * 129, "x" * 40_000, "\x1b[2J"]
    text = "\n\r\n  \n" + ids[0] + "\r\n" + "".join(f"{line}\n" for line in bad)
    text += f"  {ids[1]}\t \n{ids[0]}\n" + ids[2]
    r = egress("fetch", "--to", directory.to, ids[1], "-", ids[0], sim=s, input=text)
    assert r.returncode == 4, r
    assert_stored(s, directory, ids)
    assert s.stats()["requests"]["GET /v1/jobs/{id}/output"] == 3
    told = [line for line in r.stderr.splitlines() if "is no job id" in line]
    assert len(told) == len(bad), r
    assert max(map(len, told)) < 300
    assert "\x1b" not in r.stderr
    assert r.stdout.splitlines()[-1].startswith(
        f"{3 + len(bad)} jobs: 3 stored, 0 already stored, {len(bad)} failed;"
    )


@pytest.mark.parametrize(
    "line",
    [b"%s\0junk", b"\0%s", b"%s\xff", b"\0" + b"x" * 16382 + b"%s", b"x" * 16383 + b"%s"],
    ids=["NUL", "NUL first", "not UTF-8", "long and NUL first", "long"],
)
def test_a_line_is_an_id_or_it_is_none(egress, sim, directory, line):
    """Nothing of a line that is no id is taken for one."""
    s = sim("--generate", 1, "--size", 10)
    text = line % s.ids()[0].encode() + b"\n"
    r = egress("fetch", "--to", directory.to, "-", sim=s, input=text)
    assert r.returncode == 4, r
    assert r.stderr.count("is no job id") == 1, r
    directory.assert_empty()


def test_no_ids_on_standard_input(egress, sim, directory):
    s = sim("--generate", 1, "--size", 10)
    for text in ("", "\n\n \r\n"):
        r = egress("fetch", "--to", directory.to, "-", sim=s, input=text).ok()
        assert r.stdout.startswith("0 jobs: 0 stored, "), r
    assert egress("fetch", "--to", directory.to, "--json", "-", sim=s, input="").ok().json[
        "summary"
    ]["jobs"] == 0


def test_option_like_id(egress, sim, directory):
    s = sim("--generate", 1, "--size", 10)
    r = egress("fetch", "--to", directory.to, "-x", *s.ids(), sim=s)
    assert r.returncode == 2, r
    directory.assert_empty()
    r = egress("fetch", "--to", directory.to, *s.ids(), "--", "-x", sim=s)
    assert r.returncode == 4, r
    assert_stored(s, directory, s.ids())


# ---- what is told ------------------------------------------------------------------------------


def test_json(egress, sim, store):
    s = sim("--generate", 2, "--size", 777, "--generate", "1:FAILED")
    good = [job["id"] for job in s.jobs() if job["state"] == "COMPLETE"]
    failed = jobs_by_state(s)["FAILED"]
    command = ["fetch", "--to", store.to, "--json", failed, *good, "../x"]
    r = egress(*command, sim=s, s3=store.s3)
    assert r.returncode == 4, r
    *lines, last = r.jsonl
    by_job = {line["job"]: line for line in lines}
    assert by_job.keys() == {failed, *good, None} and len(lines) == 4
    for job in good:
        line = by_job[job]
        assert line.keys() == {"job", "status", "bytes", "resumed_bytes", "duration_ms", "objects"}
        assert line["resumed_bytes"] == 0
        assert (line["status"], line["bytes"]) == ("stored", 777)
        assert line["duration_ms"] >= 0
        (described,) = line["objects"]
        data = store.get(described["key"])
        assert sha256(data) == s.digest(job, 777)
        assert described == {
            "key": described["key"],
            "location": store.location(described["key"]),
            "size": 777,
            "crc32c": described["crc32c"],
        }
        assert described["crc32c"] == store.receipt(job)["outputs"][0]["crc32c"]
    for job, error in ((failed, "failed"), (None, "input")):
        line = by_job[job]
        assert line.keys() == {"job", "status", "error", "retryable", "message"}
        assert (line["status"], line["error"], line["retryable"]) == ("failed", error, False)
        assert line["message"]
    assert last.keys() == {"summary"}
    elapsed = last["summary"].pop("duration_ms")
    assert 0 <= elapsed < r.seconds * 1000 + 1
    assert last["summary"] == {
        "jobs": 4, "stored": 2, "already_stored": 0, "failed": 2, "bytes": 2 * 777,
    }
    *lines, last = egress(*command, sim=s, s3=store.s3).jsonl
    assert [line["status"] for line in lines].count("already stored") == 2
    assert all(line["bytes"] == 0 for line in lines if line["status"] == "already stored")
    assert (last["summary"]["already_stored"], last["summary"]["bytes"]) == (2, 0)


def test_crc32c_is_castagnolis(egress, sim, directory):
    s = sim("--generate", 1, "--size", 4321)
    r = egress("fetch", "--to", directory.to, "--json", *s.ids(), sim=s).ok()
    (data,) = directory.objects().values()
    told = r.jsonl[0]["objects"][0]["crc32c"]
    assert base64.b64decode(told) == crc32c(data).to_bytes(4, "big")


def test_summary(egress, sim, directory):
    s = sim("--generate", 3, "--size", MIB, "--generate", "2:FAILED")
    good = [job["id"] for job in s.jobs() if job["state"] == "COMPLETE"]
    egress("fetch", "--to", directory.to, good[0], sim=s).ok()
    r = egress("fetch", "--to", directory.to, *s.ids(), sim=s)
    *lines, summary = r.stdout.splitlines()
    assert re.fullmatch(
        r"5 jobs: 2 stored, 1 already stored, 2 failed; 2\.0 MiB in \d+\.\d s \(\S+ [KMG]?i?B/s\)",
        summary,
    ), r
    assert sorted(line.split()[0] for line in lines) == ["already", "stored", "stored"]
    for job in good:
        (line,) = [line for line in lines if job in line]
        assert "1.0 MiB" in line and directory.location(f"{job}/labels.json") in line


@pytest.mark.parametrize(
    "states, status",
    [
        (["COMPLETE"], 0),
        (["READY"], 1),
        (["FAILED"], 4),
        (["EXPIRED"], 4),
        (["nobody-has-it"], 4),
        (["../bad"], 4),
        (["COMPLETE", "READY"], 1),
        (["COMPLETE", "FAILED"], 4),
        (["COMPLETE", "../bad"], 4),
        (["FAILED", "READY", "COMPLETE"], 1),
        (["../bad", "READY"], 1),
        (["EXPIRED", "nobody-has-it", "../bad"], 4),
    ],
)
def test_exit_status(egress, sim, directory, states, status):
    kinds = ["1:COMPLETE", "1:READY", "1:FAILED", "1:EXPIRED"]
    options = [word for kind in kinds for word in ("--generate", kind)]
    s = sim(*options, "--size", 100, "--set", "clock=stop")
    by_state = jobs_by_state(s)
    ids = [by_state.get(state, state) for state in states]
    r = egress("fetch", "--to", directory.to, *ids, sim=s)
    assert r.returncode == status, r
    assert_stored(s, directory, [by_state[state] for state in states if state == "COMPLETE"])


def test_set_up_goes_before_everything(egress, sim, directory):
    """Another job of the same run has failed for good, or may be tried again."""
    s = sim("--generate", 1, "--size", 100)
    env = {"VOXEL51_API_PRIVATE_KEY": "not-the-right-one"}
    r = egress("fetch", "--to", directory.to, "../bad", *s.ids(), sim=s, env=env)
    assert r.returncode == 3, r
    r = egress("fetch", "--to", directory.to, "--memory", "x", *s.ids(), sim=s)
    assert r.returncode == 2, r
    directory.assert_empty()


# ---- many and large ----------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 16, 64])
def test_hundreds_of_small_jobs(egress, sim, store, concurrency):
    n = 100 if store.kind == "s3" else 300
    s = sim("--generate", n, "--size", "0..20000")
    ids = s.ids()
    r = egress(
        "fetch", "--to", store.to, "--memory", "16MiB", "--concurrency", concurrency, "-",
        sim=s, s3=store.s3, input="\n".join(ids),
    ).ok()
    assert f"{n} jobs: {n} stored, 0 already stored, 0 failed;" in r.stdout, r
    found = store.objects()
    assert found.keys() == {f"{job}/labels.json" for job in ids}
    for job in ids:
        assert found[f"{job}/labels.json"] == s.get(f"/jobs/{job}/output").content
    assert store.receipts() == sorted(ids)
    store.assert_nothing_open()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_mixed_sizes_in_little_memory(egress, sim, store, framing):
    s = sim("--generate", 9, "--size", "0..20M", "--seed", 3, "--set", f"framing={framing}")
    ids = s.ids()
    flags = ["--memory", "16MiB", "--concurrency", 8]
    egress("fetch", "--to", store.to, *flags, *ids, sim=s, s3=store.s3).ok()
    sizes = [len(data) for data in store.objects().values()]
    assert min(sizes) < 8 * MIB < max(sizes), sizes  # so that both ways of storing were taken
    assert_stored(s, store, ids)
    store.assert_nothing_open()


def test_one_byte_around_a_part(egress, sim, bucket):
    """Outputs of unknown length that end just at, before and behind a part."""
    for size in (8 * MIB - 1, 8 * MIB, 8 * MIB + 1):
        s = sim("--generate", 1, "--size", size, "--set", "framing=chunked", "--seed", size)
        (job,) = s.ids()
        egress("fetch", "--to", bucket.to, job, sim=s, s3=bucket.s3).ok()
        assert sha256(bucket.get(f"{job}/labels.json")) == s.digest(job)
    bucket.assert_nothing_open()


# ---- stored already ----------------------------------------------------------------------------


def test_stored_already_costs_one_request(egress, sim, bucket):
    """A GET of the receipt, and nothing to the Platform."""
    s = sim("--generate", 2, "--size", 100)
    ids = s.ids()
    egress("fetch", "--to", bucket.to, *ids, sim=s, s3=bucket.s3).ok()
    asked = s.stats()["total"]
    with CountingProxy(bucket.s3.url) as proxy:
        env = {"AWS_ENDPOINT_URL": proxy.url}
        r = egress("fetch", "--to", bucket.to, *ids, sim=s, s3=bucket.s3, env=env).ok()
        requests = proxy.requests()
    assert ": 0 stored, 2 already stored, 0 failed;" in r.stdout, r
    where = f"/{bucket.bucket}/{bucket.prefix}"
    assert sorted(requests) == sorted(f"GET {where}{receipt_key(job)}" for job in ids)
    assert s.stats()["total"] == asked


def test_without_receipts_the_object_tells(egress, sim, bucket):
    """One HEAD besides the details; the output is not asked for."""
    s = sim("--generate", 1, "--size", 100)
    (job,) = s.ids()
    command = ["fetch", "--to", bucket.to, "--receipts", "off", job]
    egress(*command, sim=s, s3=bucket.s3).ok()
    assert bucket.receipts() == []
    assert bucket.head(f"{job}/labels.json")["Metadata"]["egress-job"] == job
    handed_out = s.stats()["output_bytes"]
    with CountingProxy(bucket.s3.url) as proxy:
        env = {"AWS_ENDPOINT_URL": proxy.url}
        r = egress(*command, "--json", sim=s, s3=bucket.s3, env=env).ok()
        requests = proxy.requests()
    assert r.jsonl[0]["status"] == "already stored"
    assert requests == [f"HEAD /{bucket.bucket}/{bucket.prefix}{job}/labels.json"]
    assert s.stats()["output_bytes"] == handed_out


def test_without_receipts_a_directory_compares(egress, sim, directory):
    """A directory keeps no job with an object: the bytes are compared, and the file stays."""
    s = sim("--generate", 1, "--size", 100_000)
    (job,) = s.ids()
    command = ["fetch", "--to", directory.to, "--receipts", "off", job]
    egress(*command, sim=s).ok()
    (key,) = directory.keys()
    before = (directory.root / key).stat()
    egress(*command, sim=s).ok()
    now = (directory.root / key).stat()
    assert (before.st_ino, before.st_mtime_ns) == (now.st_ino, now.st_mtime_ns)
    assert directory.keys() == [key]


def test_what_its_owner_deleted_does_not_come_back(egress, sim, store):
    s = sim("--generate", 1, "--size", 100)
    (job,) = s.ids()
    egress("fetch", "--to", store.to, job, sim=s, s3=store.s3).ok()
    (key,) = store.object_keys()
    store.delete(key)
    asked = s.stats()["total"]
    r = egress("fetch", "--to", store.to, "--json", job, sim=s, s3=store.s3).ok()
    assert r.jsonl[0]["status"] == "already stored"
    assert store.object_keys() == []
    assert s.stats()["total"] == asked
    egress("fetch", "--to", store.to, "--force", job, sim=s, s3=store.s3).ok()
    assert_stored(s, store, [job])


@pytest.mark.parametrize("size", [1000, 9 * MIB])
def test_force(egress, sim, store, size):
    """The same job's object is written again, whatever became of it, and so is its receipt."""
    s = sim("--generate", 1, "--size", size)
    (job,) = s.ids()
    egress("fetch", "--to", store.to, job, sim=s, s3=store.s3).ok()
    (key,) = store.object_keys()
    store.put(key, b"overwritten by accident")
    store.put_receipt(job, b"garbage")
    handed_out = s.stats()["output_bytes"]
    r = egress("fetch", "--to", store.to, "--force", "--json", job, sim=s, s3=store.s3).ok()
    assert r.jsonl[0]["status"] == "stored" and r.jsonl[0]["bytes"] == size
    assert s.stats()["output_bytes"] == handed_out + size
    assert_stored(s, store, [job])
    assert store.receipt(job)["outputs"][0]["size"] == size
    store.assert_nothing_open()


def test_force_does_not_take_another_jobs_key(egress, sim, bucket):
    s = sim("--generate", 2, "--size", 1000)
    one, two = s.ids()
    to = ["--to", bucket.to, "--key", "fixed"]
    egress("fetch", *to, one, sim=s, s3=bucket.s3).ok()
    for flags in ([], ["--force"]):
        r = egress("fetch", *to, "--json", *flags, two, sim=s, s3=bucket.s3)
        assert r.returncode == 4, r
        assert r.jsonl[0]["error"] == "conflict" and one in r.jsonl[0]["message"]
        assert bucket.location("fixed") in r.jsonl[0]["message"]
    assert sha256(bucket.get("fixed")) == s.digest(one)
    assert bucket.receipts() == [one]


# ---- receipts ----------------------------------------------------------------------------------


def test_receipt(egress, sim, store):
    s = sim("--generate", 1, "--size", 1234)
    (job,) = s.ids()
    egress("fetch", "--to", store.to, job, sim=s, s3=store.s3).ok()
    receipt, details = store.receipt(job), s.details(job)
    assert (receipt["version"], receipt["state"], receipt["source"]) == (1, "stored", "voxel51")
    assert (receipt["job"], receipt["job_name"]) == (job, details["name"])
    assert receipt["expires"] == details["expiration_date"]
    assert receipt["completed"] == details["completion_date"]
    assert receipt["program"] == egress("--version").stdout.splitlines()[0]
    (output,) = receipt["outputs"]
    (key,) = store.object_keys()
    assert (output["key"], output["size"]) == (key, 1234)
    assert output["content_type"] == "application/json" and output["validator"]


def test_crash_between_object_and_receipt(egress, sim, store):
    s = sim("--generate", 1, "--size", 100_000)
    (job,) = s.ids()
    egress("fetch", "--to", store.to, job, sim=s, s3=store.s3).ok()
    receipt = store.receipt(job)
    store.delete_receipt(job)
    r = egress("fetch", "--to", store.to, "--json", job, sim=s, s3=store.s3).ok()
    if store.kind == "s3":  # a directory keeps no job with an object: it compares the bytes
        assert r.jsonl[0]["status"] == "already stored"
    assert_stored(s, store, [job])
    again = store.receipt(job)
    for member in ("job", "expires", "completed"):
        assert again[member] == receipt[member]
    assert again["outputs"][0]["key"] == receipt["outputs"][0]["key"]
    assert again["outputs"][0]["size"] == 100_000
    asked = s.stats()["total"]
    egress("fetch", "--to", store.to, job, sim=s, s3=store.s3).ok()
    assert s.stats()["total"] == asked
    egress("verify", "--to", store.to, s3=store.s3).ok()


GARBAGE = {
    "empty": lambda text: b"",
    "cut": lambda text: text[: len(text) // 2],
    "not text": lambda text: b"\0\xff\xfe" * 100,
    "deep": lambda text: b"[" * 60_000,
    "huge": lambda text: b" " * (2 * MIB) + text,
    "no object": lambda text: b"[]",
    "of another version": lambda text: text.replace(b'"version":1', b'"version":2'),
    "of another job": lambda text: re.sub(rb'"job":"[^"]*"', b'"job":"another"', text),
    "no outputs": lambda text: re.sub(rb'"outputs":\[.*?\]', b'"outputs":[]', text),
    "key that steers a terminal": lambda text: re.sub(
        rb'"key":"', b'"key":"\\\\u001b[2J', text
    ),
    "key that leads out": lambda text: re.sub(rb'"key":"', b'"key":".egress/../../', text),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_for_a_receipt(egress, sim, store, case):
    """One warning; the job is looked at as if there were none, and the receipt is made good."""
    s = sim("--generate", 1, "--size", 1000)
    (job,) = s.ids()
    egress("fetch", "--to", store.to, job, sim=s, s3=store.s3).ok()
    good = store.get(receipt_key(job))
    bad = GARBAGE[case](good)
    assert bad != good
    store.put_receipt(job, bad)
    r = egress("fetch", "--to", store.to, job, sim=s, s3=store.s3).ok()
    assert r.stderr.count('"level":"warn"') == 1 and receipt_key(job) in r.stderr, r
    assert_stored(s, store, [job])
    assert store.receipt(job)["job"] == job
    assert egress("fetch", "--to", store.to, job, sim=s, s3=store.s3).ok().stderr == ""


# ---- names and keys ----------------------------------------------------------------------------

HOSTILE_NAMES = [
    "../../evil.json",
    "/etc/evil.json",
    "..",
    "..\\..\\evil.json",
    "evil\nline\x1b[2J\x7f.json",
    "\u009b31mevil",
    "x" * 4000 + ".json",
    "é" * 200 + ".json",
    " . ",
    "-rf",
    "a?b#c&d=e%2f%00+.json",
    "\u202eevil.json",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda name: ascii(name)[:20])
def test_hostile_output_names_on_s3(egress, sim, bucket, name):
    s = sim("--generate", 1, "--size", 1000, "--set", f"output_filename={name}")
    (job,) = s.ids()
    r = egress("fetch", "--to", bucket.to, job, sim=s, s3=bucket.s3).ok()
    (key,) = bucket.object_keys()
    folder, file = key.split("/")
    assert folder == job
    assert 0 < len(file.encode()) <= 255 and file not in (".", "..") and "\\" not in file
    assert not re.search(r"[\0-\x1f\x7f-\x9f]", file)
    assert_stored(s, bucket, [job])
    assert not re.search(r"[\0-\x09\x0b-\x1f\x7f-\x9f]", r.stdout + r.stderr)
    kept = urllib.parse.unquote(bucket.head(key)["Metadata"]["egress-output"])
    assert name.startswith(kept.rstrip("\ufffd")) and kept
    egress("verify", "--to", bucket.to, s3=bucket.s3).ok()


def upload(s, name):
    """A job that a user uploaded under this name, once it is complete."""
    answer = s.request(
        "POST", "/jobs",
        files={"file": ("job.json", '{"analytic":"a"}', "application/json")},
        data={"job_name": name.encode(), "auto_start": "true"},
    )
    job = answer.json()["job"]["id"]
    s.wait_state(job, "COMPLETE")
    return job


QUICK_CLOCK = [
    word for name in ("ready", "queued", "scheduled", "running")
    for word in ("--set", f"{name}_ms=1")
]


def test_hostile_job_names(egress, sim, store):
    """Each becomes one component of the key, whatever is in it."""
    s = sim("--generate", 1, "--size", 100, *QUICK_CLOCK)
    ids = [upload(s, name) for name in HOSTILE_NAMES if len(name) < 5000]
    template = "a/{name}/{job_id}"
    egress("fetch", "--to", store.to, "--key", template, *ids, sim=s, s3=store.s3).ok()
    keys = store.object_keys()
    assert sorted(key.split("/")[2] for key in keys) == sorted(ids)
    for key in keys:
        top, name, job = key.split("/")
        assert top == "a" and 0 < len(name.encode()) <= 255
        assert name not in (".", "..") and not re.search(r"[\\\0-\x1f\x7f-\x9f]", name)
        assert sha256(store.get(key)) == s.digest(job)
        assert store.receipt(job)["job_name"]


def test_key_template(egress, sim, store):
    s = sim("--generate", 1, "--size", 100, "--set", "output_filename=out.mp4", *QUICK_CLOCK)
    job = upload(s, "my video")
    day = s.details(job)["completion_date"][:10]
    template = "x y/{date}/{name}/{job_id}-{filename}"
    egress("fetch", "--to", store.to, "--key", template, job, sim=s, s3=store.s3).ok()
    assert store.object_keys() == [f"x y/{day}/my video/{job}-out.mp4"]


def test_layout_of_the_original(egress, sim, store):
    s = sim("--generate", 2, "--size", 100)
    template = "labels/{job_id}.json"
    egress("fetch", "--to", store.to, "--key", template, *s.ids(), sim=s, s3=store.s3).ok()
    assert store.object_keys() == sorted(f"labels/{job}.json" for job in s.ids())


# ---- several at once ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 9 * MIB])
def test_two_processes_at_once(egress, sim, bucket, size):
    """Both succeed, and there is one object of each job."""
    s = sim("--generate", 4, "--size", size)
    ids = s.ids()
    runs = [
        egress.start("fetch", "--to", bucket.to, "--json", *ids, sim=s, s3=bucket.s3)
        for _ in range(2)
    ]
    for run in runs:
        assert run.wait().ok().jsonl[-1]["summary"]["failed"] == 0
    assert_stored(s, bucket, ids)
    assert bucket.receipts() == sorted(ids)
    bucket.assert_nothing_open()
    egress("verify", "--to", bucket.to, s3=bucket.s3).ok()
