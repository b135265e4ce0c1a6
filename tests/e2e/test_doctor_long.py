# SPDX-License-Identifier: Apache-2.0
"""egress doctor where it takes a while: a second S3 server, and what never answers."""

import ctypes
import os
import socket

import pytest

from programs import Running, clean_env, EGRESS
from stores import directory  # noqa: F401 (fixture)
from test_doctor import Found, assert_nothing_left, doctor  # noqa: F401 (fixture)


def test_versitygw(doctor, sim, versitygw):
    """It does all that AWS does."""
    name = versitygw.bucket()
    found = doctor(0, "--to", f"s3://{name}/a/b", "--thorough", sim=sim(), s3=versitygw)
    assert found.bad() == {}, found
    assert_nothing_left(versitygw, name)


def test_waits_are_short_without_flags(doctor, ceph):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        env = {"VOXEL51_API_PRIVATE_KEY": "some-token", "VOXEL51_API_BASE_URL": url}
        env["AWS_ENDPOINT_URL"] = url
        found = doctor(1, "--to", "s3://some-bucket", s3=ceph, env=env)
    assert found.failed() == ["Platform", "store"] and found.run.seconds < 50, found


@pytest.fixture
def hanging(tmp_path):
    """A mounted directory whose file system never answers: a FUSE that nobody serves."""
    where = tmp_path / "hanging"
    where.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    served_by = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={served_by},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    if libc.mount(b"none", bytes(where), b"fuse", 0, options.encode()) != 0:
        pytest.fail(f"fuse cannot be mounted: {os.strerror(ctypes.get_errno())}; run as root")
    yield where
    os.close(served_by)  # whoever waits there gets an error
    libc.umount2(bytes(where), 2)


def test_a_disk_that_hangs(egress, sim, hanging):
    # A thread that hangs cannot be searched for leaks.
    env = {**sim().env, "ASAN_OPTIONS": "detect_leaks=0"}
    run = Running([EGRESS, "doctor", "--json", "--to", hanging], clean_env(egress.home, env))
    r = run.wait(60)
    found = Found(r)
    assert r.returncode == 1 and found.failed() == ["directory"] and r.seconds < 40, r
    assert found.checks["Platform"]["status"] == "ok"
