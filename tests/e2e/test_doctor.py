# SPDX-License-Identifier: Apache-2.0
"""egress doctor: what it finds is true, what it writes is gone afterwards, and it ends soon."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

import programs
from scripted_s3 import Answer, ScriptedS3, error
from stores import CountingProxy, bucket, directory  # noqa: F401 (fixtures)
from test_fetch_file import disk  # noqa: F401 (fixture)

PLATFORM = ["token", "Platform", "token accepted", "Platform's clock"]
STORE = [
    "endpoint", "credentials", "store", "store's clock", "bucket", "list", "open uploads", "write",
    "read", "checksums kept", "checksums checked", "put if absent", "complete if absent",
    "part sizes", "clean up",
]  # fmt: skip
DIRECTORY = [
    "directory", "free space", "write", "sync", "extended attributes", "hard links", "store",
    "store if absent", "clean up",
]  # fmt: skip
# What Ceph's gateway does not do (and --thorough, which was not given).
CEPH_LACKS = {
    "checksums kept": "warn",
    "checksums checked": "warn",
    "complete if absent": "warn",
    "part sizes": "skip",
}


class Found:
    """The lines of a run with --json, after checking what holds for each."""

    def __init__(self, r):
        *checks, last = r.jsonl
        self.run = r
        self.names = [check["check"] for check in checks]
        self.checks = {check["check"]: check for check in checks}
        assert len(self.checks) == len(checks), r
        for status in ("ok", "warn", "fail", "skip"):
            n = sum(check["status"].lower() == status for check in checks)
            assert last["summary"][status] == n, r
        for check in checks:
            if check["status"] == "ok":
                assert check["text"] and not check["advice"], check
            elif check["status"] in ("warn", "skip"):
                assert check["text"] and check["advice"], check
            else:
                assert check["text"] and check["error"], check

    def bad(self):
        return {n: c["status"] for n, c in self.checks.items() if c["status"] != "ok"}

    def failed(self):
        return [name for name, check in self.checks.items() if check["status"] == "FAIL"]

    def text(self, name):
        return f"{self.checks[name]['text']}; {self.checks[name]['advice']}"

    def __repr__(self):
        return repr(self.run)


@pytest.fixture
def doctor(egress):
    """doctor(3, "--to", ...) runs it, expecting that exit status."""

    def run(status, *args, **kwargs):
        r = egress("doctor", "--json", *args, **kwargs)
        assert r.returncode == status, r
        return Found(r)

    return run


@pytest.fixture
def scripted():
    store = ScriptedS3()
    yield store
    store.stop()


def assert_nothing_left(s3, name):
    assert s3.client().list_object_versions(Bucket=name).get("Versions", []) == []
    assert s3.client().list_multipart_uploads(Bucket=name).get("Uploads", []) == []


# ---- all well ----------------------------------------------------------------------------------


def test_without_destination(doctor, sim):
    found = doctor(0, sim=sim("--generate", 3))
    assert found.names == [*PLATFORM, "destination"] and found.bad() == {"destination": "skip"}
    assert "--to" in found.text("destination")


def test_ceph(doctor, sim, bucket):
    found = doctor(0, "--to", bucket.to, sim=sim("--generate", 1), s3=bucket.s3)
    assert found.names == PLATFORM + STORE and found.bad() == CEPH_LACKS, found
    assert "AWS_REGION" in found.text("endpoint") and bucket.s3.url in found.text("endpoint")
    assert_nothing_left(bucket.s3, bucket.bucket)


def test_thorough(doctor, sim, bucket):
    found = doctor(0, "--to", bucket.to, "--thorough", sim=sim(), s3=bucket.s3)
    assert found.bad() == {k: v for k, v in CEPH_LACKS.items() if k != "part sizes"}, found
    assert_nothing_left(bucket.s3, bucket.bucket)


def test_directory(doctor, sim, directory):
    found = doctor(0, "--to", directory.to, sim=sim())
    assert found.names == PLATFORM + DIRECTORY and found.bad() == {}, found
    assert not directory.root.exists()
    directory.put("a/b", b"theirs")
    assert doctor(0, "--to", directory.to, sim=sim()).bad() == {}
    assert [str(path.relative_to(directory.root)) for path in directory.root.rglob("*")] == [
        "a", "a/b",
    ]  # fmt: skip


def test_a_directory_in_use(doctor, egress, sim, directory):
    s = sim("--generate", 1, "--size", 10)
    egress("fetch", "--to", directory.to, *s.ids(), sim=s).ok()
    before = sorted(directory.root.rglob("*"))
    assert doctor(0, "--to", directory.to, sim=s).bad() == {}
    assert sorted(directory.root.rglob("*")) == before


def test_lines_for_a_person(egress, sim, directory):
    r = egress("doctor", "--to", directory.to, env={"VOXEL51_API_PRIVATE_KEY": "a b"})
    *lines, last = r.stdout.splitlines()
    assert r.returncode == 3 and r.stderr == "", r
    assert all(re.match(r"(ok  |warn|FAIL|skip)  \S.{19} \S", line) for line in lines), r
    assert lines[0].startswith("FAIL  token                VOXEL51_API_PRIVATE_KEY contains"), r
    assert all("; to do: " in line for line in lines if line.startswith(("warn", "skip"))), r
    assert last == f"{len(DIRECTORY)} ok, 0 warn, 1 failed, 3 skipped"


def test_over_tls(doctor, sim, ceph, tmp_path):
    to = ["--to", f"s3://{ceph.bucket()}"]
    env = {"AWS_ENDPOINT_URL": ceph.tls_url}
    found = doctor(3, *to, sim=sim(), s3=ceph, env=env)
    assert found.failed() == ["store"] and "--ca-bundle" in found.text("store"), found
    found = doctor(0, *to, sim=sim(), s3=ceph, env={**env, "AWS_CA_BUNDLE": ceph.ca_file})
    assert found.bad() == CEPH_LACKS and "certificate is verified" in found.text("store"), found
    config = tmp_path / "config"
    config.write_text(f"[profile x]\nca_bundle = {ceph.ca_file}\nendpoint_url = {ceph.tls_url}\n")
    env = {"AWS_ENDPOINT_URL": None, "AWS_PROFILE": "x", "AWS_CONFIG_FILE": config}
    found = doctor(0, *to, sim=sim(), s3=ceph, env=env)
    assert "from the profile" in found.text("endpoint"), found


# ---- the Platform ------------------------------------------------------------------------------


def test_wrong_token(doctor, sim, directory):
    """What is wrong there does not keep the destination from being checked."""
    env = {"VOXEL51_API_PRIVATE_KEY": "quite-another-token"}
    found = doctor(3, "--to", directory.to, sim=sim(), env=env)
    assert found.bad() == {"token accepted": "FAIL"} and "401" in found.text("token accepted")
    assert found.names == PLATFORM + DIRECTORY


def test_no_token(doctor, directory):
    found = doctor(3, "--to", directory.to)
    assert found.failed() == ["token"] and found.names == PLATFORM + DIRECTORY
    assert found.checks["Platform"]["status"] == "skip"


@pytest.mark.parametrize("mode, status", [(0o600, "ok"), (0o644, "warn"), (0o620, "warn")])
def test_token_file(doctor, sim, tmp_path, mode, status):
    s = sim()
    path = s.write_token(tmp_path / "token.json")
    os.chmod(path, mode)
    found = doctor(0, "--token-file", path)
    assert found.checks["token"]["status"] == status and path in found.text("token"), found
    assert status == "ok" or f"chmod 600 {path}" in found.text("token")


def test_malformed_token_file(doctor, tmp_path):
    (tmp_path / "t").write_text('{"access_token":{"private_key":5}}')
    found = doctor(3, env={"VOXEL51_API_TOKEN": str(tmp_path / "t")})
    assert "VOXEL51_API_TOKEN" in found.text("token") and found.failed() == ["token"]


def test_platform_is_down(doctor, sim, directory):
    s = sim()
    s.stop()
    found = doctor(1, "--to", directory.to, sim=s)
    assert found.failed() == ["Platform"] and found.checks["clean up"]["status"] == "ok", found
    assert "proxy" in found.text("Platform")


@pytest.mark.parametrize(
    "fault, failed, status",
    [("status=503", "token accepted", 1), ("html=404", "token accepted", 3),
     ("broken_json", "token accepted", 3), ("drop", "Platform", 1),
     ("redirect=loop", "token accepted", 1)],
)  # fmt: skip
def test_platform_with_a_fault(doctor, sim, fault, failed, status):
    s = sim("--fault", f"GET /v1/jobs:{fault}@100")
    assert doctor(status, sim=s).failed() == [failed]


def test_platform_that_knows_no_queries(doctor, sim):
    s = sim("--fault", "GET /v1/jobs:status=400@100")
    found = doctor(0, sim=s)
    assert found.checks["token accepted"]["status"] == "warn", found


def test_base_url_of_something_else(doctor, sim, ceph):
    found = doctor(3, sim=sim(), env={"VOXEL51_API_BASE_URL": ceph.url})
    assert found.failed() == ["token accepted"] and "base URL" in found.text("token accepted")


def test_token_does_not_follow_a_redirect(doctor, sim):
    """To where it would have been accepted."""
    other = sim("--token", "the-same-for-both")
    s = sim("--token", "the-same-for-both", "--fault", f"GET /v1/jobs:redirect={other.api}/jobs@100")
    found = doctor(3, sim=s)
    assert found.failed() == ["token accepted"] and "401" in found.text("token accepted"), found
    assert other.stats()["requests"]["GET /v1/jobs"] == 1


# ---- a store that refuses ----------------------------------------------------------------------


def test_missing_bucket(doctor, sim, ceph):
    found = doctor(3, "--to", "s3://no-such-bucket-here", sim=sim(), s3=ceph)
    assert found.failed() == ["bucket"] and "create it" in found.text("bucket"), found
    assert "clean up" not in found.names  # nothing was written


def test_unknown_key_and_wrong_secret(doctor, sim, ceph):
    to = ["--to", f"s3://{ceph.bucket()}"]
    for env in ({"AWS_ACCESS_KEY_ID": "NOBODYKNOWSIT123"}, {"AWS_SECRET_ACCESS_KEY": "not-it-0"}):
        found = doctor(3, *to, sim=sim(), s3=ceph, env=env)
        assert found.failed() == ["bucket"], found
        assert "NOBODYKNOWSIT123" not in found.run.stdout


def test_no_credentials(doctor, sim):
    found = doctor(3, "--to", "s3://some-bucket", sim=sim(), env={"AWS_EC2_METADATA_DISABLED": "true"})
    assert found.failed() == ["credentials"] and "AWS_ACCESS_KEY_ID" in found.text("credentials")


def process(tmp_path, s3, expires):
    """A credential_process that hands out the store's keys."""
    keys = {
        "Version": 1,
        "AccessKeyId": s3.access_key,
        "SecretAccessKey": s3.secret_key,
        "Expiration": expires,
    }
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    config = f"[profile p]\ncredential_process = cat {tmp_path}/keys.json\n"
    (tmp_path / "config").write_text(config)
    none = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    return {**none, "AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "p"}


def test_credentials_of_a_program(doctor, sim, ceph, tmp_path):
    to = ["--to", f"s3://{ceph.bucket()}"]
    env = process(tmp_path, ceph, "2199-01-02T03:04:05Z")
    found = doctor(0, *to, sim=sim(), s3=ceph, env=env)
    text = found.text("credentials")
    assert 'profile "p"' in text and "2199-01-02T03:04:05" in text and ceph.access_key not in text
    env = process(tmp_path, ceph, "2020-01-02T03:04:05Z")
    found = doctor(3, *to, sim=sim(), s3=ceph, env=env)
    assert found.failed() == ["credentials"] and "2020-01-02" in found.text("credentials"), found


def test_credentials_of_a_file(doctor, sim, ceph, tmp_path):
    keys = f"aws_access_key_id = {ceph.access_key}\naws_secret_access_key = {ceph.secret_key}\n"
    (tmp_path / "credentials").write_text(f"[work]\n{keys}")
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    to = ["--to", f"s3://{ceph.bucket()}"]
    found = doctor(0, *to, "--profile", "work", sim=sim(), s3=ceph, env=env)
    assert 'profile "work" of ' + str(tmp_path / "credentials") in found.text("credentials")
    found = doctor(3, *to, "--profile", "nosuch", sim=sim(), s3=ceph, env=env)
    assert found.failed() == ["endpoint"] and "nosuch" in found.text("endpoint")


def test_expired_session_token(doctor, sim, scripted):
    scripted.say("ListObjectsV2", Answer(400, error("ExpiredToken")))
    found = doctor(3, "--to", scripted.to, sim=sim(), s3=scripted, env={"AWS_SESSION_TOKEN": "t0ken-x"})
    assert found.failed() == ["bucket"] and "session token" in found.text("bucket"), found
    assert "temporary" in found.text("credentials")


@pytest.fixture(scope="session")
def guest(ceph):
    """Another user of Ceph's, who may do what a bucket's policy lets him."""

    class Guest:
        url = ceph.url
        access_key, secret_key = "EGRESSGUEST00000", "the-secret-of-the-guest"
        env = {**ceph.env, "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}

        def bucket(self, of_bucket, of_objects):
            name = ceph.bucket()
            who = {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/guest"]}}
            arn = f"arn:aws:s3:::{name}"
            statements = [{**who, "Action": of_objects, "Resource": f"{arn}/*"}]
            if of_bucket:
                statements.append({**who, "Action": of_bucket, "Resource": arn})
            policy = {"Version": "2012-10-17", "Statement": statements}
            ceph.client().put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
            return name

    ceph.admin(
        "user", "create", "--uid=guest", "--display-name=guest",
        f"--access-key={Guest.access_key}", f"--secret={Guest.secret_key}",
    )
    return Guest()


OBJECTS = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"]
BUCKET = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]


def test_just_the_documented_rights(doctor, sim, ceph, guest):
    name = guest.bucket(BUCKET, OBJECTS)
    found = doctor(0, "--to", f"s3://{name}/p", sim=sim(), s3=guest)
    assert found.bad() == CEPH_LACKS, found
    assert_nothing_left(ceph, name)


def test_may_not_list(doctor, egress, sim, ceph, guest):
    """The failure it tells of is one that fetch runs into."""
    name = guest.bucket([], OBJECTS)
    s = sim("--generate", 1, "--size", 10)
    found = doctor(3, "--to", f"s3://{name}", sim=s, s3=guest)
    assert found.failed() == ["list"] and "s3:ListBucket" in found.text("list"), found
    assert found.checks["open uploads"]["status"] == "warn"
    assert found.checks["write"]["status"] == found.checks["bucket"]["status"] == "ok"
    assert_nothing_left(ceph, name)
    assert egress("fetch", "--to", f"s3://{name}", *s.ids(), sim=s, s3=guest).returncode == 3


def test_may_not_write(doctor, sim, ceph, guest):
    name = guest.bucket(BUCKET, ["s3:GetObject"])
    found = doctor(3, "--to", f"s3://{name}", sim=sim(), s3=guest)
    assert found.failed() == ["write"] and "s3:PutObject" in found.text("write"), found
    assert_nothing_left(ceph, name)


def test_may_not_delete(doctor, sim, ceph, guest):
    """README: that right may be left out. Then it says what it leaves behind."""
    name = guest.bucket(BUCKET, [action for action in OBJECTS if "Delete" not in action])
    found = doctor(0, "--to", f"s3://{name}/p", sim=sim(), s3=guest)
    assert found.checks["clean up"]["status"] == "warn", found
    left = ceph.client().list_objects_v2(Bucket=name)["Contents"]
    assert f"s3://{name}/{left[0]['Key']}" in found.text("clean up")
    assert all(entry["Key"].startswith("p/.egress/doctor/") for entry in left)


# ---- a store that is odd -----------------------------------------------------------------------


def test_conditions_ignored(doctor, sim, scripted):
    store = scripted.store
    scripted.store = lambda key, body, headers, condition: store(key, body, headers, {})
    found = doctor(0, "--to", scripted.to, sim=sim(), s3=scripted)
    assert found.checks["put if absent"]["status"] == "warn", found
    assert found.checks["complete if absent"]["status"] == "warn", found
    assert scripted.objects == {} and scripted.uploads == {}


def test_conditions_and_checksums_heeded(doctor, sim, scripted):
    refuse = Answer(400, error("BadDigest"))
    put = scripted.PutObject
    scripted.PutObject = lambda key, *rest: refuse if key.endswith("-wrong") else put(key, *rest)
    found = doctor(0, "--to", scripted.to, sim=sim(), s3=scripted)
    lacks = {"checksums kept": "warn", "part sizes": "skip"}
    assert found.bad() == lacks and scripted.objects == {} and scripted.uploads == {}, found
    assert scripted.count("AbortMultipartUpload") == 1


def test_checksums_refused(doctor, sim, scripted):
    put = scripted.PutObject

    def picky(key, query, headers, body):
        if "x-amz-checksum-crc32c" in headers:
            return Answer(501, error("NotImplemented"))
        return put(key, query, headers, body)

    scripted.PutObject = picky
    found = doctor(3, "--to", scripted.to, sim=sim(), s3=scripted)
    assert found.failed() == ["write"] and "--checksum none" in found.text("write"), found
    found = doctor(0, "--to", scripted.to, "--checksum", "none", sim=sim(), s3=scripted)
    assert found.checks["checksums kept"]["status"] == "skip"
    assert found.checks["checksums checked"]["status"] == "skip"


def test_equal_parts_wanted(doctor, sim, scripted):
    complete = scripted.CompleteMultipartUpload

    def picky(key, query, headers, body):
        sizes = [len(part) for _, part in sorted(scripted.uploads[query["uploadId"]][2].items())]
        if len(set(sizes[:-1])) > 1:
            return Answer(400, error("InvalidPart"))
        return complete(key, query, headers, body)

    scripted.CompleteMultipartUpload = picky
    found = doctor(0, "--to", scripted.to, "--thorough", sim=sim(), s3=scripted)
    assert found.checks["part sizes"]["status"] == "warn", found
    assert scripted.objects == {} and scripted.uploads == {}


def test_bytes_changed(doctor, sim, scripted):
    scripted.say("GetReceipt", Answer(200, "other bytes", {"ETag": '"x"'}))
    found = doctor(1, "--to", scripted.to, sim=sim(), s3=scripted)
    assert found.failed() == ["read"] and scripted.objects == {}, found


def test_open_uploads(doctor, sim, scripted):
    def say(when):
        one = f"<Upload><Key>k</Key><UploadId>u</UploadId><Initiated>{when}</Initiated></Upload>"
        root = "ListMultipartUploadsResult"
        page = f"<{root}>{one * 3}<IsTruncated>false</IsTruncated></{root}>"
        scripted.say("ListMultipartUploads", Answer(200, page))

    say("2020-01-20T00:00:00Z")
    found = doctor(0, "--to", scripted.to, sim=sim(), s3=scripted)
    assert found.checks["open uploads"]["status"] == "warn", found
    assert f"egress sweep --to {scripted.to}" in found.text("open uploads")
    assert "3, the oldest begun 2020-01-20" in found.text("open uploads")
    say(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    found = doctor(0, "--to", scripted.to, sim=sim(), s3=scripted)
    assert found.checks["open uploads"]["status"] == "ok", found


def test_bucket_in_another_region(doctor, sim, scripted):
    """A transfer gets there too, by a detour."""
    scripted.bucket_region = "eu-west-1"
    found = doctor(0, "--to", scripted.to, sim=sim(), s3=scripted)
    text = found.text("bucket")
    assert found.checks["bucket"]["status"] == "warn" and "in region eu-west-1" in text, found
    assert "--region" in text
    found = doctor(0, "--to", scripted.to, "--region", "eu-west-1", sim=sim(), s3=scripted)
    assert found.checks["bucket"]["status"] == "ok" and "from --region" in found.text("endpoint")


@pytest.mark.parametrize("off_s, word", [(300, "behind"), (-300, "ahead of"), (5000, "behind")])
def test_clock_is_off(doctor, sim, scripted, off_s, word):
    scripted.clock_offset_s = off_s
    found = doctor(0, "--to", scripted.to, sim=sim(), s3=scripted)
    text = found.text("store's clock")
    assert found.checks["store's clock"]["status"] == "warn" and word in text, found
    assert abs(off_s) - 5 <= int(re.search(r"is (\d+) s", text)[1]) <= abs(off_s) + 5
    assert found.checks["Platform's clock"]["status"] == "ok"


def test_clock_that_is_not_forgiven(doctor, sim, scripted):
    scripted.clock_offset_s = 3600
    scripted.say("ListObjectsV2", Answer(403, error("RequestTimeTooSkewed")), times=2)
    found = doctor(3, "--to", scripted.to, sim=sim(), s3=scripted)
    assert found.failed() == ["store's clock"] and "behind" in found.text("store's clock"), found


def test_not_a_store(doctor, sim):
    s = sim()
    keys = {"AWS_ACCESS_KEY_ID": "EGRESSTEST000000", "AWS_SECRET_ACCESS_KEY": "some-secret-key"}
    found = doctor(3, "--to", "s3://some-bucket", sim=s, env={**keys, "AWS_ENDPOINT_URL": s.url})
    assert found.failed() == ["bucket"], found


# ---- directories -------------------------------------------------------------------------------


def test_directory_that_cannot_be(doctor, sim, tmp_path):
    (tmp_path / "file").write_text("x")
    for where in (tmp_path / "a" / "b", tmp_path / "file", tmp_path / "file" / "x"):
        found = doctor(3, "--to", where, sim=sim())
        assert found.failed() == ["directory"] and "clean up" not in found.names, found
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == ["file"]


def test_directory_without_rights(egress, sim, directory):
    directory.root.mkdir()
    directory.root.chmod(0o500)
    command = [programs.EGRESS, "doctor", "--json", "--to", directory.root]
    if os.geteuid() == 0:  # root, but without the right to pass over rights
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    r = programs.Running(command, programs.clean_env(egress.home, sim().env)).wait()
    assert r.returncode == 3 and Found(r).failed() == ["write"], r
    assert "Permission denied" in Found(r).text("write")
    assert list(directory.root.iterdir()) == []


def test_read_only_disk(doctor, sim, disk):
    found = doctor(3, "--to", disk("ro"), sim=sim())
    assert found.failed() == ["write"] and "Read-only file system" in found.text("write"), found


def test_small_disk(doctor, sim, disk):
    found = doctor(0, "--to", disk("size=4m"), sim=sim())
    assert found.checks["free space"]["status"] == "warn", found
    assert "4.0 MiB" in found.text("free space")


def test_full_disk(doctor, sim, disk):
    where = disk("size=1m")
    subprocess.run(["dd", "if=/dev/zero", f"of={where}/f", "bs=4k"], capture_output=True)
    found = doctor(1, "--to", where, sim=sim())
    assert found.failed() == ["write"] and [p.name for p in where.iterdir()] == ["f"], found


# ---- time, signals, usage ----------------------------------------------------------------------


def test_everything_is_down(doctor, sim, ceph):
    s = sim()
    s.stop()
    found = doctor(1, "--to", "s3://some-bucket", sim=s, s3=ceph, env={"AWS_ENDPOINT_URL": s.url})
    assert found.failed() == ["Platform", "store"] and found.run.seconds < 5, found


def test_nobody_answers(doctor, ceph):
    """Connections come about, and then there is silence."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        env = {"VOXEL51_API_PRIVATE_KEY": "some-token", "VOXEL51_API_BASE_URL": url}
        env["AWS_ENDPOINT_URL"] = url
        found = doctor(1, "--to", "s3://some-bucket", "--read-timeout", "1s", s3=ceph, env=env)
    assert found.failed() == ["Platform", "store"] and found.run.seconds < 15, found


def interrupt(egress, s, bucket, method, release_after_s):
    """SIGINT while the answer to the first request of that method is on its way."""
    with CountingProxy(bucket.s3.url) as proxy:
        proxy.hold(method)
        env = {"AWS_ENDPOINT_URL": proxy.url}
        run = egress.start("doctor", "--to", bucket.to, sim=s, s3=bucket.s3, env=env)
        deadline = time.monotonic() + 30
        while not any(r.startswith(method) for r in proxy.requests()):
            assert time.monotonic() < deadline and run.process.poll() is None, run.result()
            time.sleep(0.01)
        time.sleep(0.2)  # the store has done it by now, and its answer is held
        run.send_signal(signal.SIGINT)
        run.wait_for("interrupted: undoing")
        time.sleep(release_after_s)
        proxy.release()
        return run.wait(20)


@pytest.mark.parametrize("method, after_s", [("PUT", 0), ("POST", 0), ("POST", 4)])
def test_interrupted(egress, sim, bucket, method, after_s):
    """What is under way is waited for (some seconds) and taken away; even an upload whose id was
    never told."""
    r = interrupt(egress, sim(), bucket, method, after_s)
    assert r.returncode == 130, r
    assert "clean up" not in r.stdout and "FAIL" not in r.stdout, r
    assert_nothing_left(bucket.s3, bucket.bucket)


def test_interrupted_while_nobody_answers(egress, ceph):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        env = {"VOXEL51_API_PRIVATE_KEY": "some-token", "VOXEL51_API_BASE_URL": url}
        run = egress.start("doctor", env=env)
        silent.accept()
        run.send_signal(signal.SIGTERM)
        r = run.wait(20)
    assert r.returncode == 143 and r.seconds < 5 and "FAIL" not in r.stdout, r


@pytest.mark.parametrize("to", ["s3://", "ftp://x/y", "s3://UPPER/x"])
def test_usage(egress, sim, to):
    r = egress("doctor", "--to", to, sim=sim(), env={"AWS_EC2_METADATA_DISABLED": "true"})
    assert r.returncode == 2, r


def test_ca_bundle_is_missing(egress, sim):
    r = egress("doctor", "--ca-bundle", "/no/such/bundle", sim=sim())
    assert r.returncode == 3 and "/no/such/bundle" in r.stderr, r
