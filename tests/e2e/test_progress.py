# SPDX-License-Identifier: Apache-2.0
"""The display of running transfers, as a person sees it: `egress fetch` on a pseudo-terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

import programs

ROW = re.compile(r"\d+%  \[[=>]")  # percent and bar of a running job
TOTAL = re.compile(r"\d of 3 jobs  \S+ [KMG]?i?B  \S+ [KMG]?i?B/s")


class Screen:
    """As much of a terminal as the display uses; remembers the longest line and every state."""

    def __init__(self):
        self.lines, self.row, self.column = [""], 0, 0
        self.seen = []

    def feed(self, text):
        for token in re.findall(r"\x1b\[(\d*)([A-Za-z])|([^\x1b])", text, re.S):
            self.act(*token)

    def act(self, number, command, char):
        line = self.lines[self.row]
        if command == "A":
            self.row -= int(number or 1)
            assert self.row >= 0
        elif command == "J":
            self.lines[self.row] = line[: self.column]
            del self.lines[self.row + 1 :]
            self.seen.append(list(self.lines))
        elif command == "K":
            self.lines[self.row] = line[: self.column]
        elif char == "\r":
            self.column = 0
        elif char == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            assert not command, f"unexpected escape sequence {number}{command}"
            self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1


def fetch_on_terminal(sim, tmp_path, columns=80, **env):
    """Three outputs that take over two seconds; the raw bytes of the terminal, and the status."""
    s = sim("--generate", "3", "--size", "1M", "--set", "body_rate=400K")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    raw = bytearray()

    def read():
        try:
            while chunk := os.read(master, 65536):
                raw.extend(chunk)
        except OSError:  # EIO: the last holder of the other side has closed it
            pass

    process = subprocess.Popen(
        [programs.EGRESS, "fetch", "--to", tmp_path / "out", *s.ids()],
        env=programs.clean_env(tmp_path, {"TERM": "xterm", **s.env, **env}),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
    )
    os.close(slave)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    process.communicate(timeout=60)
    reader.join(10)
    os.close(master)
    text = raw.decode()
    programs.assert_no_sanitizer_report("egress", text)
    assert process.returncode == 0, text
    return text


def test_shows_jobs_and_total_and_leaves_nothing(sim, tmp_path):
    screen = Screen()
    screen.feed(fetch_on_terminal(sim, tmp_path))
    states = ["\n".join(lines) for lines in screen.seen]
    assert any(len(ROW.findall(state)) == 3 and TOTAL.search(state) for state in states), states
    assert any(re.search(r"  \d+:\d\d left", state) for state in states), states
    left = "\n".join(screen.lines)
    assert not ROW.search(left) and not TOTAL.search(left), left


def test_fits_a_narrow_terminal(sim, tmp_path):
    screen = Screen()
    screen.feed(fetch_on_terminal(sim, tmp_path, columns=40))
    drawn = [line for lines in screen.seen for line in lines if re.search(r"B  +\d+%", line)]
    assert drawn
    assert max(map(len, drawn)) < 40


def test_no_display_where_it_would_disturb(sim, tmp_path):
    for number, env in enumerate(({"TERM": "dumb"}, {"NO_COLOR": "1"})):
        where = tmp_path / str(number)
        where.mkdir()
        text = fetch_on_terminal(sim, where, **env)
        assert "\x1b" not in text
        assert not TOTAL.search(text)
