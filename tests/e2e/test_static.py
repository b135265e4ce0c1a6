# SPDX-License-Identifier: Apache-2.0
"""The Lambda program as it is deployed, and egress: one file each that needs nothing of where it
runs."""

import gzip
import json
import os
import platform
import re
import shutil
import subprocess
import sys

import pytest

import programs

ARCHITECTURES = {"x86_64": "x86_64", "arm64": "aarch64"}  # as Lambda calls it: as the kernel does
HERE = programs.ROOT / "tests" / "e2e"


@pytest.fixture(params=ARCHITECTURES)
def arch(request):
    return request.param


@pytest.fixture
def program(arch):
    path = programs.ROOT / "build" / "lambda" / arch / "bootstrap"
    assert path.exists(), f"{path} is not there; run `make lambda ARCH={arch}`"
    return path


@pytest.fixture
def egress_program(arch):
    path = programs.ROOT / "build" / f"static-{arch}" / "egress"
    assert path.exists(), f"{path} is not there; run `make static ARCH={arch}`"
    return path


@pytest.fixture
def emulator(arch):
    """What runs programs of that architecture here; []: the processor does."""
    kernels = ARCHITECTURES[arch]
    if platform.machine() == kernels:
        return []
    found = shutil.which(f"qemu-{kernels}-static")
    assert found, "packages missing: qemu-user-static (run: tools/install-deps.sh check-all)"
    return [found]


def in_empty_root(folder, program, emulator, *options):
    mapped = ["--map-root-user"] if os.geteuid() else []  # root needs none, and may not have it
    done = subprocess.run(
        ["unshare", *mapped, "--net", sys.executable, HERE / "empty_root.py",
         folder, program, *emulator, *options],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def assert_one_file(program, arch):
    headers = subprocess.run(
        ["readelf", "-lhdW", program], capture_output=True, text=True, check=True
    ).stdout
    machine = {"x86_64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}[arch]
    assert re.search(rf"Machine:\s+{machine}", headers)
    assert "INTERP" not in headers and "(NEEDED)" not in headers
    assert "DYN (" in headers, "it is no position-independent executable"
    assert re.search(r"GNU_RELRO", headers) and "BIND_NOW" in headers
    assert re.search(r"GNU_STACK.* RW +0x", headers), "its stack is executable"
    sections = subprocess.run(
        ["readelf", "-SW", program], capture_output=True, text=True, check=True
    ).stdout
    assert ".symtab" not in sections and ".debug" not in sections


def test_it_is_one_file(program, arch):
    assert_one_file(program, arch)
    assert len(gzip.compress(program.read_bytes(), 6)) < 3_000_000


def test_it_has_nothing_of_the_daemon(program):
    """Nor of what the daemon alone is made of, which would be read at each cold start."""
    text = program.read_bytes()
    for of in (b"SQLite format 3", b"libmicrohttpd", b"MHD_", b"egress serve", b"CREATE TABLE"):
        assert of not in text, of


def test_egress_is_one_file(egress_program, arch):
    assert_one_file(egress_program, arch)


def test_it_serves_in_an_empty_root(program, emulator, tmp_path):
    told = in_empty_root(tmp_path, program, emulator)
    assert [kind for kind, _ in told["outcomes"]] == ["response", "response"], told
    direct, webhook = (json.loads(body) for _, body in told["outcomes"])
    assert direct["status"] == "stored", told
    assert webhook["statusCode"] == 200, told
    assert told["stored"] == told["expected"]
    assert told["asked"] == ["platform.test"]
    expected = ["bootstrap", "etc/pki/tls/certs/ca-bundle.crt", "etc/resolv.conf"]
    assert [name for name in told["root"] if name != "emulator"] == expected


def test_it_trusts_no_server_that_the_bundle_does_not_vouch_for(program, emulator, tmp_path):
    told = in_empty_root(tmp_path, program, emulator, "--untrusted")
    assert told["stored"] == [False, False]
    assert json.loads(told["outcomes"][1][1])["statusCode"] >= 500, told
    assert "certificate" in told["log"], told


def test_the_daemon_serves_in_an_empty_root(egress_program, emulator, tmp_path):
    told = in_empty_root(tmp_path, egress_program, emulator)
    assert told["answers"] == [200, 200], told
    assert told["status"]["stored"] == 2, told
    assert told["stored"] == told["expected"]
    assert told["ended"] == 0, told
    assert told["asked"] == ["platform.test"]
    expected = ["egress", "etc/pki/tls/certs/ca-bundle.crt", "etc/resolv.conf"]
    assert [name for name in told["root"] if name != "emulator"] == expected
    assert told["version"].startswith("egress "), told
