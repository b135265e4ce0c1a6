# SPDX-License-Identifier: Apache-2.0
"""egress fetch into a directory: what lies there afterwards, and what never may."""

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import programs

MIB = 1024 * 1024


def objects(directory):
    """Keys of all that is visible: everything but our own folder."""
    root = Path(directory)
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if not path.is_dir() and path.relative_to(root).parts[0] != ".egress"
    )


def temporary(directory):
    folder = Path(directory) / ".egress" / "tmp"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(MIB):
            digest.update(block)
    return digest.hexdigest()


def wait_until(condition, run, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        assert run.process.poll() is None, f"ended too early: {run.result()}"
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.01)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def disk(tmp_path):
    """disk("size=4m") mounts a tmpfs and gives its directory. Without root the mount lives in a
    namespace of its own, and is reached through the process that holds it."""
    undo = []

    def mount(options):
        where = tmp_path / f"disk{len(undo)}"
        where.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(where)]
        if os.geteuid() == 0:
            subprocess.run(command, check=True)
            undo.append(lambda: subprocess.run(["umount", str(where)], check=True))
            return where
        script = '"$@" && echo mounted && exec sleep 1000'
        holder = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", script, "sh", *command], stdout=subprocess.PIPE
        )
        undo.append(lambda: (holder.kill(), holder.wait(), holder.stdout.close()))
        assert holder.stdout.readline() == b"mounted\n", "neither root nor `unshare -rm` can mount"
        return Path(f"/proc/{holder.pid}/root{where}")

    yield mount
    for step in undo:
        step()


@pytest.mark.parametrize("size", [0, 1, 65537, 8 * MIB + 1, 40 * MIB])
def test_bytes(egress, sim, out, size):
    s = sim("--generate", 1, "--size", size)
    job = s.ids()[0]
    egress("fetch", "--to", out, job, sim=s).ok()
    (key,) = objects(out)
    assert key.startswith(f"{job}/")
    assert (out / key).stat().st_size == size
    assert sha256(out / key) == s.digest(job)
    assert (out / key).stat().st_nlink == 1
    assert temporary(out) == []


def test_token_file(egress, sim, out, tmp_path):
    s = sim("--generate", 1, "--size", 100)
    egress.secret(s.token)
    token = s.write_token(tmp_path / "token.json")
    egress("fetch", "--to", f"file://{out}", "--token-file", token, *s.ids()).ok()
    assert len(objects(out)) == 1


def test_many_jobs_and_again(egress, sim, out):
    s = sim("--generate", 20, "--size", 300_000)
    ids = s.ids()
    egress("fetch", "--to", out, "-", input="\n".join(ids), sim=s).ok()
    keys = objects(out)
    assert len(keys) == 20
    for key in keys:
        assert sha256(out / key) == s.digest(key.split("/")[0])
    receipts = {path.stem for path in (out / ".egress" / "voxel51").glob("*.json")}
    assert receipts == set(ids)
    before = {key: (out / key).stat() for key in keys}
    egress("fetch", "--to", out, *ids, sim=s).ok()
    for key in keys:
        now = (out / key).stat()
        assert (now.st_ino, now.st_mtime_ns) == (before[key].st_ino, before[key].st_mtime_ns)
    assert temporary(out) == []


def test_missing_receipt_and_same_bytes(egress, sim, out):
    """The object is there, the receipt is not: the same bytes are no conflict."""
    s = sim("--generate", 1, "--size", 100_000)
    (job,) = s.ids()
    egress("fetch", "--to", out, job, sim=s).ok()
    (out / ".egress" / "voxel51" / f"{job}.json").unlink()
    egress("fetch", "--to", out, job, sim=s).ok()
    (key,) = objects(out)
    assert sha256(out / key) == s.digest(job)
    assert json.loads((out / ".egress" / "voxel51" / f"{job}.json").read_text())


def test_other_bytes_under_the_key(egress, sim, out):
    s = sim("--generate", 1, "--size", 100_000)
    (job,) = s.ids()
    out.mkdir()
    (out / "fixed").write_text("someone else's")
    r = egress("fetch", "--to", out, "--key", "fixed", job, sim=s)
    assert r.returncode == 4, r
    assert "fixed" in r.stderr and str(out) in r.stderr, r
    assert (out / "fixed").read_text() == "someone else's"
    assert temporary(out) == []
    egress("fetch", "--to", out, "--key", "fixed", "--force", job, sim=s).ok()
    assert sha256(out / "fixed") == s.digest(job)


# ---- destinations that cannot be written


def test_directory_is_a_file(egress, sim, out):
    s = sim("--generate", 1, "--size", 100)
    out.write_text("a file")
    for to in (out, out / "below"):
        r = egress("fetch", "--to", to, *s.ids(), sim=s)
        assert r.returncode == 3, r
        assert str(to) in r.stderr and "directory" in r.stderr, r
    assert out.read_text() == "a file"


def test_directory_above_is_missing(egress, sim, out):
    s = sim("--generate", 1, "--size", 100)
    r = egress("fetch", "--to", out / "a" / "b", *s.ids(), sim=s)
    assert r.returncode == 3, r
    assert str(out / "a" / "b") in r.stderr and "does not exist" in r.stderr, r
    assert not out.exists()


def test_read_only_disk(egress, sim, disk):
    s = sim("--generate", 1, "--size", 100)
    where = disk("ro")
    r = egress("fetch", "--to", where, *s.ids(), sim=s)
    assert r.returncode == 3, r
    assert str(where) in r.stderr and "Read-only file system" in r.stderr, r


def test_directory_without_rights(egress, sim, out):
    s = sim("--generate", 1, "--size", 100)
    out.mkdir()
    out.chmod(0o500)
    command = [programs.EGRESS, "fetch", "--to", out, *s.ids()]
    if os.geteuid() == 0:  # root, but without the right to pass over rights
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    r = programs.Running(command, programs.clean_env(egress.home, s.env)).wait()
    assert r.returncode == 3, r
    assert str(out) in r.stderr and "Permission denied" in r.stderr, r
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("size", [5 * MIB, 40 * MIB])
def test_full_disk(egress, sim, disk, size):
    s = sim("--generate", 1, "--size", size)
    where = disk("size=4m")
    r = egress("fetch", "--to", where, *s.ids(), sim=s)
    assert r.returncode == 1, r
    assert "No space left on device" in r.stderr and str(where) in r.stderr, r
    assert "MiB" in r.stderr, r
    assert objects(where) == [] and temporary(where) == []
    assert not list(where.rglob("*.json"))


# ---- crashes and signals


def start_slow(egress, sim, out):
    """A transfer of 24 MiB that takes three seconds, and is in its middle now."""
    s = sim("--generate", 1, "--size", 24 * MIB, "--set", "body_rate=8MiB")
    run = egress.start("fetch", "--to", out, *s.ids(), sim=s)
    wait_until(lambda: temporary(out), run)
    return s, run


def test_kill_leaves_nothing_visible(egress, sim, out):
    s, run = start_slow(egress, sim, out)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert objects(out) == []
    assert len(temporary(out)) == 1
    egress("fetch", "--to", out, *s.ids(), sim=s).ok()
    (key,) = objects(out)
    assert sha256(out / key) == s.digest(s.ids()[0])
    assert temporary(out) == [], "the next run cleans up"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_leaves_nothing(egress, sim, out, number):
    _, run = start_slow(egress, sim, out)
    run.send_signal(number)
    r = run.wait(20)
    assert r.returncode not in (0, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT), r
    assert objects(out) == [] and temporary(out) == []


def test_a_running_transfer_is_not_swept(egress, sim, out):
    s, run = start_slow(egress, sim, out)
    other = sim("--generate", 1, "--size", 1000, "--seed", 7)
    egress("fetch", "--to", out, "--key", "other", *other.ids(), sim=other).ok()
    assert run.process.poll() is None and len(temporary(out)) == 1
    run.wait().ok()
    keys = objects(out)
    assert len(keys) == 2 and "other" in keys
    keys.remove("other")
    assert sha256(out / keys[0]) == s.digest(s.ids()[0])


def test_two_processes_fetch_the_same_job(egress, sim, out):
    s = sim("--generate", 3, "--size", 9 * MIB)
    runs = [egress.start("fetch", "--to", out, *s.ids(), sim=s) for _ in range(2)]
    for run in runs:
        run.wait().ok()
    assert len(objects(out)) == 3
    for key in objects(out):
        assert sha256(out / key) == s.digest(key.split("/")[0])
    assert temporary(out) == []


# ---- names and keys from strangers


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.json",
        "/etc/evil.json",
        "..",
        "a/b/../../../evil.json",
        "..\\..\\evil.json",
        ".egress/tmp/evil",
        "evil\nline\x1b[2J\x7f.json",
        "\u009b31mevil",
        "x" * 4000 + ".json",
        "é" * 200 + ".json",
        " . ",
        "-rf",
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_hostile_output_names(egress, sim, tmp_path, name):
    above = tmp_path / "above"
    out = above / "one" / "out"
    out.parent.mkdir(parents=True)
    s = sim("--generate", 1, "--size", 1000, "--set", f"output_filename={name}")
    (job,) = s.ids()
    r = egress("fetch", "--to", out, job, sim=s).ok()
    (key,) = objects(out)
    folder, file = key.split("/")
    assert folder == job
    assert 0 < len(file.encode()) <= 255 and file.isprintable()
    assert sha256(out / key) == s.digest(job)
    assert [path for path in above.iterdir()] == [out.parent]
    assert [path for path in out.parent.iterdir()] == [out]
    assert "\x1b" not in r.stdout + r.stderr and "\x9b" not in r.stdout + r.stderr


@pytest.mark.parametrize(
    "key",
    [
        "../{job_id}",
        "{job_id}/../../x",
        "/{job_id}",
        "a//{job_id}",
        "./{job_id}",
        "{job_id}/..",
        "{job_id}/",
        ".egress/tmp/{job_id}",
        "d/" * 130 + "{job_id}",
        "k" * 256,
    ],
    ids=lambda key: key[:20],
)
def test_keys_that_are_no_path(egress, sim, tmp_path, key):
    out = tmp_path / "one" / "out"
    out.mkdir(parents=True)
    s = sim("--generate", 1, "--size", 1000)
    r = egress("fetch", "--to", out, "--key", key, *s.ids(), sim=s)
    assert r.returncode in (2, 4), r
    assert "key" in r.stderr, r
    assert objects(out) == [] and temporary(out) == []
    assert [path for path in out.parent.iterdir()] == [out]


def test_symbolic_link_that_leads_out(egress, sim, out, tmp_path):
    s = sim("--generate", 1, "--size", 1000)
    (job,) = s.ids()
    outside = tmp_path / "outside"
    outside.mkdir()
    out.mkdir()
    (out / job).symlink_to(outside)
    r = egress("fetch", "--to", out, job, sim=s)
    assert r.returncode == 4, r
    assert "symbolic link" in r.stderr and str(out) in r.stderr, r
    assert list(outside.iterdir()) == []
    assert temporary(out) == []


def test_destination_may_be_a_link(egress, sim, out, tmp_path):
    s = sim("--generate", 1, "--size", 1000)
    real = tmp_path / "real"
    real.mkdir()
    out.symlink_to(real)
    egress("fetch", "--to", out, *s.ids(), sim=s).ok()
    assert len(objects(real)) == 1


def test_force_does_not_replace_another_jobs_file(egress, sim, out):
    s = sim("--generate", 2, "--size", "10K")
    one, other = s.ids()
    to = ("--to", out, "--key", "same.json")
    assert egress("fetch", *to, one, sim=s).returncode == 0
    if not os.listxattr(Path(out) / "same.json"):
        pytest.skip("no extended attributes here, so whose a file is cannot be kept")
    r = egress("fetch", *to, "--force", other, sim=s)
    assert r.returncode == 4 and one in r.stderr, r
    r = egress("fetch", *to, "--force", one, sim=s)
    assert r.returncode == 0 and "1 stored" in r.stdout, r
    assert hashlib.sha256((Path(out) / "same.json").read_bytes()).hexdigest() == s.digest(one)
