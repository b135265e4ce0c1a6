# SPDX-License-Identifier: Apache-2.0
"""What the program says of itself, the manual page and the README name the same things."""

import re
import subprocess

import pytest

from programs import ROOT

MAN = (ROOT / "docs" / "egress.1").read_text()
README = (ROOT / "README.md").read_text()
COMMANDS = ("fetch", "invoke", "sync", "verify", "sweep", "worker", "serve", "status", "retry",
            "pause", "resume", "doctor", "journal", "help")


def man_section(macro, title):
    """From one .Sh or .Ss to the next of its kind."""
    found = re.search(
        rf"^\.{macro} {re.escape(title)}\b.*?\n(.*?)(?=^\.S[hs] |\Z)", MAN, re.S | re.M
    )
    assert found, f"docs/egress.1 has no section {title}"
    return found.group(1)


def help_flags(egress, command):
    text = egress(command, "--help").ok().stdout
    return re.findall(r"^  --([a-z0-9-]+)", text, re.M)


def man_flags(command):
    listed = man_section("Ss", f"egress {command}").partition("\nFlags:\n")[2]
    return re.findall(r"^\.Fl -([a-z0-9-]+)", listed, re.M)


def test_overview_lists_every_command(egress):
    text = egress("help").ok().stdout
    assert tuple(re.findall(r"^  ([a-z]+)  +\S", text, re.M)) == COMMANDS
    assert egress("--help").ok().stdout == text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_help(egress, command):
    result = egress(command, "--help").ok()
    assert result.stdout.startswith(f"Usage: egress {command}")
    assert result.stderr == ""
    assert egress("help", command).ok().stdout == result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_are_those_of_the_manual_page(egress, command):
    assert sorted(help_flags(egress, command)) == sorted(man_flags(command))


def test_manual_page_describes_each_flag_once(egress):
    described = re.findall(r"^\.It Fl -([a-z0-9-]+)", man_section("Ss", "Flags"), re.M)
    taken = {flag for command in COMMANDS for flag in help_flags(egress, command)}
    assert sorted(described) == sorted(taken)


def test_manual_page_lists_each_variable(egress):
    described = set(
        re.findall(r"\b[A-Z][A-Z0-9_]{3,}\b", "".join(
            line for line in man_section("Sh", "ENVIRONMENT").splitlines(True)
            if line.startswith(".It Ev")
        ))
    )
    used = set()
    for command in COMMANDS:
        text = re.sub(r"\s+", " ", egress(command, "--help").ok().stdout)
        for names in re.findall(r"\benv ([A-Z0-9_, ]+)\]", text):
            used.update(names.split(", "))
    assert used, "no variable in the help texts"
    assert used <= described
    assert {name for name in described if name.startswith("EGRESS_")} <= used


def test_exit_statuses_agree(egress):
    text = egress("help").ok().stdout.partition("Exit status:")[2]
    in_help = re.findall(r"^  (\d+) ", text, re.M)
    in_man = re.findall(r"^\.It ([\d ,]+)$", man_section("Sh", "EXIT STATUS"), re.M)
    assert in_help == [n for item in in_man for n in item.split(" , ")]
    in_readme = re.findall(r"^\| (\d+) \|", README, re.M)
    assert in_readme == in_help


def test_readme_shows_what_there_is(egress):
    shown = re.findall(r"^\s*(?:\$ )?egress ([a-z]+)(.*)$", README, re.M)
    assert {command for command, _ in shown} >= {"fetch", "invoke", "verify"}
    for command, rest in shown:
        assert command in COMMANDS, f"README: egress {command}"
        for flag in re.findall(r"--([a-z][a-z0-9-]+)", rest):
            assert flag in help_flags(egress, command), f"README: egress {command} --{flag}"
    makefile = (ROOT / "Makefile").read_text()
    rules = " ".join(re.findall(r"^([a-z][a-z -]*):", makefile, re.M)).split()
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.M))
    assert {"demo", "check"} <= targets
    for target in targets:
        assert target in rules, f"README: make {target}"
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), f"README links to {link}"


def test_manual_page_is_well_formed():
    try:
        lint = subprocess.run(
            ["mandoc", "-T", "lint", "-W", "warning", ROOT / "docs" / "egress.1"],
            capture_output=True, text=True, timeout=60,
        )
    except FileNotFoundError:
        pytest.fail("mandoc is missing; install the package mandoc")
    assert (lint.returncode, lint.stdout) == (0, "")
