# SPDX-License-Identifier: Apache-2.0
"""What a running program takes: memory and descriptors.

    watch = Watch(egress.start("fetch", ...))
    watch.wait().ok()
    watch.assert_memory(64)
"""

import mmap
import os
import threading
import time

import programs

# What the process needs besides --memory: libraries, stacks, libcurl's buffers of every connection.
# Measured: 8 MiB; the rest is room for other versions of the libraries.
CONSTANT_MIB = 24


def is_sanitized():
    with open(programs.EGRESS, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
            return program.find(b"__asan_init") >= 0 or program.find(b"__tsan_init") >= 0


class Watch:
    """Samples a running program until it ends: its peak memory as the kernel keeps it, and how many
    descriptors it had open. (wait4()'s peak would count what Python had before the exec.)"""

    def __init__(self, run):
        self.run = run
        self.peak_mib = 0
        self.descriptors = []
        self._look()  # whatever the thread gets to see
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def _look(self):
        proc = f"/proc/{self.run.pid}"
        with open(f"{proc}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    self.peak_mib = int(line.split()[1]) / 1024
        self.descriptors.append(len(os.listdir(f"{proc}/fd")))

    def _sample(self):
        try:
            while self.run.process.returncode is None:
                self._look()
                time.sleep(0.003)
        except OSError:
            pass

    def wait(self, timeout=100):
        result = self.run.wait(timeout)
        self.thread.join(10)
        return result

    def assert_memory(self, memory_mib):
        assert self.peak_mib > 0
        if not is_sanitized():  # a sanitizer's own bookkeeping is several times as much
            assert self.peak_mib < memory_mib + CONSTANT_MIB, self.peak_mib
