# SPDX-License-Identifier: Apache-2.0
"""What the other tests stand on: the S3 server is one, the runner sees what it must not miss, the
tools fail when they should."""

import subprocess
import time

import botocore.exceptions
import programs
import pytest

TOOLS = programs.ROOT / "tools"


def run(*command, **kwargs):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, **kwargs
    )


# ---- Ceph's gateway ---------------------------------------------------------------------------


def test_gateway_puts_and_gets(ceph):
    bucket, client = ceph.bucket(), ceph.client()
    key = "a b+c%~//ü/./x"
    client.put_object(Bucket=bucket, Key=key, Body=b"hello", ContentType="text/x-test")
    answer = client.get_object(Bucket=bucket, Key=key)
    assert answer["Body"].read() == b"hello"
    assert answer["ContentType"] == "text/x-test"


def test_gateway_does_multipart(ceph):
    bucket, client = ceph.bucket(), ceph.client()
    where = {"Bucket": bucket, "Key": "big"}
    upload = client.create_multipart_upload(**where)["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (2, 17)):
        answer = client.upload_part(
            **where, UploadId=upload, PartNumber=number, Body=bytes([number]) * size
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    body = client.get_object(**where)["Body"].read()
    assert body == bytes([1]) * (5 << 20) + bytes([2]) * 17


def test_gateway_verifies_signatures(ceph):
    bucket = ceph.bucket()
    liar = ceph.client(aws_secret_access_key="not the secret")
    with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
        liar.put_object(Bucket=bucket, Key="k", Body=b"x")


def test_gateway_speaks_tls(ceph):
    assert ceph.client(tls=True).list_objects_v2(Bucket=ceph.bucket())["KeyCount"] == 0


def test_gateway_keeps_its_data_over_a_restart(ceph):
    bucket = ceph.bucket()
    ceph.client().put_object(Bucket=bucket, Key="k", Body=b"kept")
    ceph.kill_gateway()
    ceph.start_gateway()
    assert ceph.client().get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"


# ---- the runner -------------------------------------------------------------------------------


@pytest.fixture
def fake_egress(monkeypatch, tmp_path):
    """A runner whose egress is a shell script."""

    def make(script):
        program = tmp_path / "fake"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(programs, "EGRESS", str(program))
        return programs.Egress(tmp_path)

    return make


def test_runner_passes_nothing_of_the_callers_environment(fake_egress, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("VOXEL51_API_TOKEN", "/mine")
    runner = fake_egress("env")
    output = runner(env={"EGRESS_TO": "there"}).ok().stdout
    runner.finish()
    assert "mine" not in output
    assert "EGRESS_TO=there\n" in output
    assert f"HOME={runner.home}\n" in output


@pytest.mark.parametrize("stream", (1, 2))
def test_runner_finds_a_secret_that_was_told(fake_egress, stream):
    runner = fake_egress(f'echo "key $AWS_SECRET_ACCESS_KEY" >&{stream}')
    runner(env={"AWS_SECRET_ACCESS_KEY": "s/+x"})
    with pytest.raises(AssertionError, match="secret told"):
        runner.finish()


def test_runner_finds_a_sanitizer_report(fake_egress):
    runner = fake_egress('echo "==1==ERROR: AddressSanitizer: heap-use-after-free" >&2')
    runner()
    with pytest.raises(AssertionError, match="heap-use-after-free"):
        runner.finish()


def test_runner_ends_a_program_that_hangs(fake_egress):
    runner = fake_egress("exec sleep 60")
    with pytest.raises(AssertionError, match="still running after 0.2 s"):
        runner(timeout=0.2)


# ---- tools/ -----------------------------------------------------------------------------------


def test_suite_reports_and_passes_the_status_on():
    done = run(TOOLS / "suite.sh", "fine", 10, "true")
    assert done.returncode == 0
    assert "fine: ok in " in done.stdout
    done = run(TOOLS / "suite.sh", "bad", 10, "sh", "-c", "exit 3")
    assert done.returncode == 3
    assert "bad: FAILED (status 3)" in done.stdout


def test_suite_ends_the_whole_group_at_its_budget(tmp_path):
    begin = time.monotonic()
    script = f"sleep 50 & echo $! > {tmp_path}/pid; wait"
    done = run(TOOLS / "suite.sh", "slow", 1, "sh", "-c", script)
    assert done.returncode != 0
    assert "slow: FAILED, over its time" in done.stdout
    assert time.monotonic() - begin < 20
    state = run("cat", f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat").stdout
    assert state == "" or state.split()[2] == "Z"


PASSING = "echo '[  PASSED  ] 3 test(s).'"


@pytest.mark.parametrize(
    "script, passes, total",
    (
        (PASSING, True, "3 passed, 0 failed"),
        (PASSING + "; echo '[  FAILED  ] 2 test(s), listed below:'; exit 2", False, "3 passed, 2 f"),
        (PASSING + "; exit 1", False, "3 passed, 1 failed"),  # a sanitizer, at exit
        ("exit 0", False, "0 passed, 1 failed"),
        ("kill -SEGV $$", False, "0 passed, 1 failed"),
    ),
)
def test_run_unit_counts(tmp_path, script, passes, total):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    done = run(TOOLS / "run-unit.sh", program)
    assert (done.returncode == 0) == passes
    assert done.stdout.splitlines()[-1].startswith(total)


def test_run_unit_without_programs_is_a_failure():
    done = run(TOOLS / "run-unit.sh")
    assert done.returncode != 0
    assert done.stdout == "0 passed, 0 failed\n"


def test_layer_check_finds_what_it_is_for():
    assert run(TOOLS / "check-layers.sh", "--self-test").returncode == 0


def test_install_deps_names_an_unknown_set():
    done = run(TOOLS / "install-deps.sh", "--check", "nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr


