# SPDX-License-Identifier: Apache-2.0
"""egress verify: what is stored, against its receipts."""

import json
import os
import pty
import signal
import subprocess
import threading
import time

import pytest

import programs
from stores import CountingProxy, bucket, directory, receipt_key, store  # noqa: F401 (fixtures)


@pytest.fixture
def stored(egress, sim, store):
    """stored(n, size): so many jobs in the store; their ids."""

    def run(n, size=1000):
        s = sim("--generate", n, "--size", size)
        egress("fetch", "--to", store.to, *s.ids(), sim=s, s3=store.s3).ok()
        return s.ids()

    return run


def verify(egress, store, *flags):
    """Without a token: nobody but the store is asked."""
    return egress("verify", "--to", store.to, *flags, s3=store.s3)


def statuses(result):
    """By job; and the summary, which must agree with them."""
    *lines, last = result.jsonl
    counts = dict.fromkeys(("ok", "missing", "different", "unknown"), 0)
    for line in lines:
        assert line.keys() == {"job", "key", "location", "status", "size", "compared", "message"}
        assert bool(line["message"]) == (line["status"] != "ok")
        counts[line["status"]] += 1
    assert {name: last["summary"][name] for name in counts} == counts
    return {line["job"]: line["status"] for line in lines}


def key_of(job):
    return f"{job}/labels.json"


def test_ok(egress, store, stored):
    ids = stored(3)
    before = {key: store.get(key) for key in store.keys()}
    r = verify(egress, store).ok()
    *lines, last = r.stdout.splitlines()
    assert sorted(lines) == sorted(f"ok         {store.location(key_of(job))}" for job in ids)
    assert last == "3 ok, 0 missing, 0 different, 0 unknown; 2.9 KiB read"
    r = verify(egress, store, "--json").ok()
    assert statuses(r) == dict.fromkeys(ids, "ok")
    for line in r.jsonl[:-1]:
        assert line == {
            "job": line["job"], "key": key_of(line["job"]), "status": "ok", "size": 1000,
            "location": store.location(key_of(line["job"])), "compared": "bytes", "message": "",
        }
    assert r.jsonl[-1]["summary"]["bytes_read"] == 3000
    assert {key: store.get(key) for key in store.keys()} == before, "it changes nothing"


@pytest.mark.parametrize("size", [0, 1, 20_000_000])
def test_sizes(egress, store, stored, size):
    stored(1, size)
    r = verify(egress, store, "--json").ok()
    assert r.jsonl[-1]["summary"]["bytes_read"] == size
    r = verify(egress, store, "--json", "--quick").ok()
    assert (r.jsonl[0]["compared"], r.jsonl[0]["size"]) == ("size", size)
    assert r.jsonl[-1]["summary"]["bytes_read"] == 0


def test_differences(egress, store, stored):
    """Each told by its name and by what differs, all others looked at just the same."""
    good, gone, longer, empty, other = ids = stored(5)
    store.delete(key_of(gone))
    store.put(key_of(longer), store.get(key_of(longer)) + b"x")
    store.put(key_of(empty), b"")
    data = store.get(key_of(other))
    store.put(key_of(other), bytes([data[0] ^ 1]) + data[1:])
    expected = {
        good: "ok", gone: "missing", longer: "different", empty: "different", other: "different",
    }
    r = verify(egress, store, "--json")
    assert r.returncode == 5, r
    assert statuses(r) == expected
    said = {line["job"]: line["message"] for line in r.jsonl[:-1]}
    assert "1001 bytes" in said[longer] and "1000" in said[longer]
    assert "0 bytes" in said[empty]
    assert "CRC32C" in said[other]
    r = verify(egress, store)
    assert r.returncode == 5, r
    assert r.stdout.splitlines()[-1].startswith("1 ok, 1 missing, 3 different, 0 unknown;")
    for job in ids:
        (line,) = [line for line in r.stdout.splitlines() if job in line]
        assert line.split()[0] == expected[job] and store.location(key_of(job)) in line
    # Only reading tells other bytes of the same size where the store keeps no checksum.
    r = verify(egress, store, "--json", "--quick")
    assert r.returncode == 5, r
    assert statuses(r) == {**expected, other: "ok"}


@pytest.mark.parametrize("garbage", [b"", b"[" * 60_000, b'{"version":2}', b" " * 2_000_000])
def test_garbage_for_a_receipt(egress, store, stored, garbage):
    """What it is about is not known: neither fine nor a difference."""
    one, two = stored(2)
    store.put_receipt(one, garbage)
    r = verify(egress, store, "--json")
    assert r.returncode == 4, r
    assert statuses(r) == {one: "unknown", two: "ok"}
    (line,) = [line for line in r.jsonl[:-1] if line["job"] == one]
    assert receipt_key(one) in line["message"] and line["key"] == line["location"] == ""
    store.delete(key_of(two))  # a difference goes before what is not known
    assert verify(egress, store).returncode == 5


def test_receipt_that_names_what_is_not_ours(egress, directory, sim, tmp_path):
    """A key that leads out of the destination, or to our own files, is not read."""
    s = sim("--generate", 1, "--size", 10)
    (job,) = s.ids()
    egress("fetch", "--to", directory.to, job, sim=s).ok()
    (tmp_path / "secret").write_text("0123456789")
    good = directory.receipt(job)
    for key in ("../secret", str(tmp_path / "secret"), receipt_key(job), "a/../../secret", ""):
        good["outputs"][0]["key"] = key
        directory.put_receipt(job, json.dumps(good).encode())
        r = egress("verify", "--to", directory.to, "--json")
        assert r.returncode not in (0, 5), r
        assert statuses(r) == {job: "unknown"}, key


def test_what_is_no_receipt_is_passed_over(egress, store, stored):
    ids = stored(1)
    for name in ("notes.txt", "a b.json", ".json", "x.json.bak", "sub/x.json", "-x.json", "ü.json"):
        store.put(f".egress/voxel51/{name}", b"?")
    store.put(".egress/another/x.json", b"?")
    r = verify(egress, store, "--json")
    assert statuses(r) == {ids[0]: "ok"}


def test_terminal_is_not_steered(egress, store, stored):
    """Names that someone else has put there."""
    (job,) = stored(1)
    receipt = store.receipt(job)
    for evil in ("a\x1b[2Jb", "a\nok  s3://b/c", "a\u009b2J", "a\x7f"):
        receipt["outputs"][0]["key"] = evil
        store.put_receipt(job, json.dumps(receipt).encode())
        store.put(f".egress/voxel51/{evil}.json".replace("/c", ""), b"{}")
        r = verify(egress, store)
        assert r.returncode == 4, r
        assert len(r.stdout.splitlines()) == 2, r
        assert not any(c in r.stdout + r.stderr for c in "\x1b\x7f\x9b"), r


def test_nothing_stored(egress, directory, bucket):
    directory.root.mkdir()
    for at in (directory, bucket):
        r = verify(egress, at).ok()
        assert r.stdout == "0 ok, 0 missing, 0 different, 0 unknown; 0 B read\n"


def test_no_such_destination(egress, directory, bucket, tmp_path):
    """One that is not there, as after a slip of the pen, is not one where nothing differs."""
    bucket.to = "s3://there-is-no-such-bucket/x"
    (tmp_path / "file").write_text("x")
    file = type(directory)(tmp_path / "file")
    for at in (directory, bucket, file):
        r = verify(egress, at, "--json")
        assert r.returncode == 3, r
        assert at.to.split("/")[2] in r.stderr and len(r.stderr.splitlines()) == 1, r


def test_many(egress, store, stored):
    """More than one page of a listing would be slow here; more than the workers is enough."""
    ids = stored(120)
    store.delete(key_of(ids[60]))
    for concurrency in (1, 64):
        r = verify(egress, store, "--json", "--concurrency", concurrency)
        assert r.returncode == 5, r
        assert statuses(r) == {**dict.fromkeys(ids, "ok"), ids[60]: "missing"}


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal(egress, sim, bucket, number, status):
    """While the store answers nothing."""
    s = sim("--generate", 3, "--size", 1000)
    egress("fetch", "--to", bucket.to, *s.ids(), sim=s, s3=bucket.s3).ok()
    with CountingProxy(bucket.s3.url) as proxy:
        proxy.hold()
        env = {"AWS_ENDPOINT_URL": proxy.url}
        run = egress.start("verify", "--to", bucket.to, s3=bucket.s3, env=env)
        deadline = time.monotonic() + 20
        while not proxy.requests():
            assert run.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        run.send_signal(number)
        sent = time.monotonic()
        r = run.wait(20)
        assert time.monotonic() - sent < 5
    assert r.returncode == status, r
    assert len(r.stderr.splitlines()) == 1, r
    assert r.stdout.startswith("0 ok, ")


def test_display_on_a_terminal(egress, sim, bucket):
    """Appears while it takes its time, and leaves nothing behind."""
    s = sim("--generate", 3, "--size", 1000)
    egress("fetch", "--to", bucket.to, *s.ids(), sim=s, s3=bucket.s3).ok()
    master, slave = pty.openpty()
    raw = bytearray()

    def read():
        try:
            while chunk := os.read(master, 65536):
                raw.extend(chunk)
        except OSError:  # EIO: the last holder of the other side has closed it
            pass

    with CountingProxy(bucket.s3.url) as proxy:
        proxy.hold()
        env = {**bucket.s3.env, "AWS_ENDPOINT_URL": proxy.url, "TERM": "xterm"}
        process = subprocess.Popen(
            [programs.EGRESS, "verify", "--to", bucket.to],
            env=programs.clean_env(egress.home, env),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
        )
        os.close(slave)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            deadline = time.monotonic() + 20
            while b"reading" not in raw:
                assert process.poll() is None and time.monotonic() < deadline, bytes(raw)
                time.sleep(0.02)
            proxy.release()
            stdout, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    reader.join(10)
    os.close(master)
    assert process.returncode == 0, bytes(raw)
    assert stdout.startswith(b"ok ") and b"3 ok, " in stdout
    assert b"\x1b[J" in raw[raw.rindex(b"reading") :], "the display is taken away at the end"
