# SPDX-License-Identifier: Apache-2.0
"""The command line itself: versions, wrong use, and standard streams that are not there."""

import json
import os
import re
import subprocess

import pytest

import programs


def error_of(result, status):
    """The message of the one JSON line on stderr."""
    assert result.returncode == status, result
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result
    line = json.loads(lines[0])
    assert line["level"] == "error"
    return line["msg"]


def test_version(egress):
    lines = egress("--version").ok().stdout.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"egress \d+\.\d+\.\d+", lines[0])
    for library in ("libcurl", "OpenSSL", "jansson", "expat"):
        assert re.search(rf"\b{library} \d+\.\d+", lines[1])


def test_no_command_shows_help_and_fails(egress):
    result = egress()
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == egress("help").stdout


@pytest.mark.parametrize(
    "args, said",
    [
        (["ftech"], "ftech: no such command; did you mean fetch?"),
        (["version"], "version: no such command; did you mean --version?"),
        (["frobnicate"], "frobnicate: no such command"),
        (["help", "verfiy"], "verfiy: no such command; did you mean verify?"),
        (["fetch"], "JOB_ID... is missing; expected: egress fetch [FLAGS] JOB_ID..."),
        (["verify", "x"], "x: one operand too many; expected: egress verify [FLAGS]"),
        (["invoke", "a", "b"], "b: one operand too many"),
        (["fetch", "--memry", "1G", "id"], "--memry: no such flag; did you mean --memory?"),
        (["fetch", "--memory", "1", "id"], "--memory 1: expected a size from 16MiB to 1TiB"),
        (["fetch", "--checksum=md5", "id"], "--checksum md5: expected crc32c or none"),
        (["fetch", "id", "--to"], "--to: its value is missing; expected --to DEST"),
        (["verify", "--memory", "1G"], "--memory: this command does not take it"),
    ],
)
def test_wrong_use(egress, args, said):
    assert said in error_of(egress(*args), 2)


def test_wrong_variable(egress):
    result = egress("fetch", "id", env={"EGRESS_CONCURRENCY": "0"})
    said = error_of(result, 2)
    assert said.startswith("EGRESS_CONCURRENCY=0: expected a whole number from 1 to 512")


def test_errors_come_as_asked(egress):
    result = egress("fetch", "--log-format", "human", "--sse", "none", "id")
    assert result.returncode == 2
    assert result.stderr.startswith("egress: error: --sse none: expected AES256 or aws:kms")


def test_value_of_an_unknown_flag_is_not_repeated(egress):
    egress.secret("this-may-be-a-secret")
    error_of(egress("fetch", "--private-key=this-may-be-a-secret", "id"), 2)


def shell(tmp_path, command):
    return subprocess.run(
        ["sh", "-c", command],
        env=programs.clean_env(tmp_path, {"EGRESS": programs.EGRESS}),
        capture_output=True, text=True, timeout=60,
    )


def test_nobody_reads_stdout(tmp_path):
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [programs.EGRESS, "help"], env=programs.clean_env(tmp_path),
        stdout=write, stderr=subprocess.PIPE, text=True, timeout=60,
    )
    os.close(write)
    assert (result.returncode, result.stderr) == (0, "")


def test_full_disk_on_stdout(tmp_path):
    result = shell(tmp_path, 'exec "$EGRESS" help > /dev/full')
    assert result.returncode == 1
    assert "standard output: not everything could be written: No space left" in result.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(tmp_path, closed):
    assert shell(tmp_path, f'exec "$EGRESS" fetch --memory 1 id {closed}').returncode == 2


def test_closed_stdout_is_told(tmp_path):
    result = shell(tmp_path, 'exec "$EGRESS" help >&-')
    assert result.returncode == 1
    assert "standard output: not everything could be written" in result.stderr
