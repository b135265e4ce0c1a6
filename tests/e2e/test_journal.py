# SPDX-License-Identifier: Apache-2.0
"""egress journal: a queue's file looked at by hand, sound, damaged and none at all."""

import sqlite3

import pytest

# The journal's own tables, as its first two versions made them.
SCHEMA = """
CREATE TABLE jobs (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state INTEGER NOT NULL,
 place_ms INTEGER NOT NULL, origin INTEGER NOT NULL, first_ms INTEGER NOT NULL,
 received_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, asked INTEGER NOT NULL,
 next_ms INTEGER NOT NULL DEFAULT 0, claimed_ms INTEGER NOT NULL DEFAULT 0,
 ended_ms INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
 bytes INTEGER NOT NULL DEFAULT 0, error_name TEXT, error TEXT, objects TEXT);
CREATE TABLE history (job INTEGER NOT NULL, n INTEGER NOT NULL, at_ms INTEGER NOT NULL,
 what INTEGER NOT NULL, text TEXT, PRIMARY KEY (job, n)) WITHOUT ROWID;
PRAGMA application_id = 0x65677273;
PRAGMA user_version = 2;
"""
JOBS = 3000


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "journal.db"
    db = sqlite3.connect(path)
    db.executescript(SCHEMA)
    db.executemany(
        "INSERT INTO jobs (id, state, place_ms, origin, first_ms, received_ms, expires_ms, asked,"
        " error_name, error) VALUES (?, ?, 0, 0, 1000, 1000, 0, 0, ?, ?)",
        [("job-0", 4, "http", 'a "word"')]
        + [(f"job-{i}", 1, None, None) for i in range(1, JOBS)],
    )
    db.commit()
    db.close()
    return path


def test_a_sound_one(egress, journal):
    result = egress("journal", "check", "--journal", journal).ok()
    assert result.stdout == f"{journal}: sound\n"
    result = egress("journal", "check", "--json", env={"EGRESS_JOURNAL": str(journal)}).ok()
    assert result.jsonl == [{"summary": {"sound": True}}]
    jobs = egress("journal", "export", "--journal", journal).ok().jsonl
    assert len(jobs) == JOBS
    assert jobs[0] == {
        "id": "job-0", "state": "failed", "origin": "webhook",
        "received": "1970-01-01T00:00:01.000Z", "expires": None, "next_try": None,
        "claimed": None, "ended": None, "attempts": 0, "bytes": 0,
        "error": {"name": "http", "message": 'a "word"'}, "objects": None,
    }


def test_a_damaged_one(egress, journal):
    data = bytearray(journal.read_bytes())
    middle = len(data) // 8192 * 4096
    data[middle : middle + 4096] = b"\xa5" * 4096
    journal.write_bytes(data)
    result = egress("journal", "check", "--journal", journal)
    assert result.returncode == 3
    assert result.stdout.count("\n") >= 1
    assert "egress journal export" in result.stderr
    result = egress("journal", "check", "--json", "--journal", journal)
    *problems, summary = result.jsonl
    assert problems and all(p["problem"] for p in problems)
    assert summary == {"summary": {"sound": False}}
    result = egress("journal", "export", "--journal", journal)
    ids = {job["id"] for job in result.jsonl}
    assert JOBS * 9 // 10 < len(ids) <= JOBS
    if len(ids) < JOBS:
        assert result.returncode == 3
        assert "could not be read" in result.stderr


@pytest.mark.parametrize("content", [b"only text\n" * 1000, b"\0" * 8192, b""])
def test_no_journal_at_all(egress, tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    for what in ("check", "export"):
        result = egress("journal", what, "--journal", path)
        assert result.returncode == 3
        assert str(path) in result.stderr
        assert path.read_bytes() == content


def test_wrong_calls(egress, tmp_path):
    for args, words in (
        (("check",), "--journal is missing"),
        (("repair", "--journal", "x"), "repair: expected check or export"),
        ((), "check|export is missing"),
    ):
        result = egress("journal", *args)
        assert result.returncode == 2
        assert words in result.stderr
    result = egress("journal", "check", "--journal", tmp_path / "none")
    assert result.returncode == 3
    assert "No such file" in result.stderr
