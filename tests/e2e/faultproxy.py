# SPDX-License-Identifier: Apache-2.0
"""build/tests/faultproxy as an object: stands before a store or the Platform, with faults.

    proxy = faultproxy(ceph.url, "lose-answer,method=POST,query=uploadId,count=1", seed=7)
    egress("fetch", ..., sim=s, s3=proxy.before(ceph))
    assert proxy.hits("lose-answer") == 1
"""

import json
import os
import subprocess
import time
import urllib.request

import programs

PROGRAM = os.environ.get(
    "EGRESS_FAULTPROXY", str(programs.ROOT / "build" / "tests" / "faultproxy")
)


class Before:
    """What the proxy stands before, by the proxy's URL."""

    def __init__(self, target, url):
        self.target = target
        self.url = url

    @property
    def env(self):
        env = dict(self.target.env)
        if "VOXEL51_API_BASE_URL" in env:
            env["VOXEL51_API_BASE_URL"] = self.url
        return env

    def __getattr__(self, name):
        return getattr(self.target, name)


class FaultProxy:
    def __init__(self, target_url, *rules, seed=0, home):
        args = [PROGRAM, "--to", target_url, "--seed", str(seed)]
        for rule in rules:
            args += ["--rule", rule]
        self.run = programs.Running(args, programs.clean_env(home))
        self.url = json.loads(self.run.wait_for(r"^(\{.*\})\s*$", stream="stdout").group(1))[
            "listening"
        ]
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def before(self, target):
        """`target` (a sim or an S3 server), reached through this proxy."""
        return Before(target, self.url)

    def _control(self, what):
        with self.opener.open(f"{self.url}/.faultproxy/{what}", timeout=30) as answer:
            return json.loads(answer.read())

    def stats(self):
        return self._control("stats")

    def hits(self, fault):
        """How many connections or requests had it."""
        return self.stats()["faults"][fault]

    def off(self):
        """No more faults, until on()."""
        self._control("off")

    def on(self):
        self._control("on")

    def log(self):
        """Of each request dealt with: method, target, status, fault, cut."""
        lines = self.run.text("stderr").split("\n")[:-1]  # the last may be half read
        return [json.loads(line) for line in lines]

    def wait_for(self, method, path, timeout=30):
        """Until a request for `path` (as it is in the request, without its query) was answered."""
        deadline = time.monotonic() + timeout
        while (method, path) not in [(e["method"], e["target"].split("?")[0]) for e in self.log()]:
            assert time.monotonic() < deadline, f"no {method} {path}:\n{self.run.text('stderr')}"
            time.sleep(0.01)

    def finish(self):
        self.run.process.terminate()
        try:
            self.run.process.wait(10)
        except subprocess.TimeoutExpired:
            self.run.kill()
        programs.assert_no_sanitizer_report("faultproxy", self.run.text("stderr"))
