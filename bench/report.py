# SPDX-License-Identifier: Apache-2.0
"""What the measurements have in common: what they say about the machine, and how what they found
gets into docs/performance.md: each has a section there, between two comments that name it."""

import datetime
import os
import platform
import re
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
REPORT = ROOT / "docs" / "performance.md"
QUICK = os.environ.get("BENCH_QUICK", "") not in ("", "0")  # for a look: nothing is written


def spread(values, digits=2):
    low, middle, high = (f"{f(values):.{digits}f}" for f in (min, statistics.median, max))
    return f"{middle} ({low}–{high})"


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1))
    curl = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout
    return (
        f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} processors, "
        f"{memory / 1048576:.0f} GiB, Linux {platform.release()}, {curl.split('(')[0].strip()}; "
        f"{datetime.date.today().isoformat()}"
    )


def give(name, title, text, dry_run=QUICK):
    """Prints a measurement's section, and puts it in the place of the one that is there."""
    print(f"\n{text}")
    if dry_run:
        return
    begin, end = (f"<!-- written by make bench ONLY={name}: {at} -->" for at in ("begin", "end"))
    old = REPORT.read_text() if REPORT.exists() else "# Performance\n"
    if begin not in old:
        old += f"\n## {title}\n\n{begin}\n{end}\n"
    before, rest = old.split(begin, 1)
    REPORT.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}")
    print(f"\nwritten into {REPORT.relative_to(ROOT)}")
