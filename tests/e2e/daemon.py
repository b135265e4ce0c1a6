# SPDX-License-Identifier: Apache-2.0
"""A running `egress serve` as an object.

    d = serve(directory.to, sim=s)                 # the fixture; flags behind
    assert d.webhook(job).status_code == 200
    d.wait_jobs(stored=1)
    d.terminate().ok()

It may be killed (`d.kill()`) and started again on its journal (`d.start()`).
"""

import json
import signal
import time

import requests


class Daemon:
    def __init__(self, egress, tmp_path, to, *flags, sim, s3=None, env=None):
        self.egress = egress
        self.journal = tmp_path / "egress.journal"
        self.env = env
        self.sim, self.s3 = sim, s3
        self.flags = ["--to", to, "--journal", self.journal, "--log-format", "json", *flags]
        for name, value in {
            "--listen": "127.0.0.1:0",
            "--admin": "127.0.0.1:0",
            "--sync-every": "0",
        }.items():
            if name not in flags:
                self.flags += [name, value]
        self.session = requests.Session()
        self.session.trust_env = False
        self.run = None

    # ---- life ----

    def start(self, wait=True):
        self.run = self.egress.start(
            "serve", *self.flags, sim=self.sim, s3=self.s3, env=self.env
        )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        found = self.run.wait_for(r"taking webhooks at (?:http://)?([^\s\"]+)", timeout)
        self.address = found.group(1).removesuffix("/job-complete")
        if "off" not in self.flags:
            found = self.run.wait_for(r"admin page: http://([^/\s]+)/", timeout)
            self.admin = f"http://{found.group(1)}"
        self.url = f"http://{self.address}/job-complete"
        return self

    @property
    def pid(self):
        return self.run.pid

    def kill(self):
        self.run.kill()
        return self.run.result()

    def terminate(self, timeout=60):
        self.run.send_signal(signal.SIGTERM)
        return self.run.wait(timeout)

    # ---- talking to it ----

    def webhook(self, job=None, data=None, headers=None, query="", method="POST", **kwargs):
        if data is None:
            data = json.dumps({"id": job, "event": "job_complete", "msg": "done"})
        return self.session.request(
            method, self.url + query, data=data, headers=headers, timeout=30, **kwargs
        )

    def api(self, method, path, **kwargs):
        headers = {"x-egress-request": "1", **kwargs.pop("headers", {})}
        return self.session.request(
            method, self.admin + path, headers=headers, timeout=30, **kwargs
        )

    def status(self):
        answer = self.api("GET", "/api/status")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def job(self, job):
        answer = self.api("GET", f"/api/jobs/{job}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def command(self, name, *args, **kwargs):
        """`egress NAME` about this daemon."""
        return self.egress(name, "--journal", self.journal, *args, **kwargs)

    def wait_jobs(self, timeout=60, **wanted):
        """Until so many jobs are in these states."""
        deadline = time.monotonic() + timeout
        while True:
            now = self.status()["jobs"]
            if all(now[state] == n for state, n in wanted.items()):
                return now
            assert time.monotonic() < deadline, f"{now}, not {wanted} after {timeout} s"
            time.sleep(0.03)

    def log(self):
        return [json.loads(line) for line in self.run.text("stderr").splitlines() if line]

    def lines(self, **wanted):
        return [
            line
            for line in self.log()
            if all(line.get(name) == value for name, value in wanted.items())
        ]
