# SPDX-License-Identifier: Apache-2.0
"""Runs the programs under test: a clean environment in, and their output searched for what must
never be there (sanitizer reports, secrets) afterwards."""

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
EGRESS = os.environ.get("EGRESS_BIN", str(ROOT / "build" / "egress"))
BOOTSTRAP = os.environ.get("EGRESS_BOOTSTRAP", str(ROOT / "build" / "bootstrap"))
SIM = os.environ.get("EGRESS_SIM", str(ROOT / "build" / "egress-sim"))

SANITIZER_REPORT = re.compile(
    r"ERROR: (?:Address|Leak)Sanitizer|WARNING: ThreadSanitizer|: runtime error: "
)
SECRET_SETTINGS = (
    "VOXEL51_API_PRIVATE_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


def clean_env(home, extra=None):
    """An environment with nothing of the caller's but the search path."""
    env = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    env.update({name: str(value) for name, value in (extra or {}).items()})
    return env


def assert_no_sanitizer_report(name, output):
    found = SANITIZER_REPORT.search(output)
    assert not found, f"{name}: {output[found.start():][:6000]}"


class Result:
    """A program that has ended."""

    def __init__(self, args, returncode, stdout, stderr, seconds):
        self.args = args
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds

    @property
    def json(self):
        """stdout as one JSON value."""
        return json.loads(self.stdout)

    @property
    def jsonl(self):
        """stdout as one JSON value a line."""
        return [json.loads(line) for line in self.stdout.splitlines() if line.strip()]

    def ok(self):
        """Itself, after checking that it succeeded."""
        assert self.returncode == 0, str(self)
        return self

    def __repr__(self):
        return (
            f"{' '.join(self.args)}\n-> {self.returncode} after {self.seconds:.2f} s\n"
            f"stdout: {self.stdout[-4000:]}\nstderr: {self.stderr[-4000:]}"
        )


class Running:
    """A program that has been started; its output is read as it comes."""

    def __init__(self, args, env, input=None, cwd=None):
        self.args = [str(arg) for arg in args]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.args,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.output = {"stdout": bytearray(), "stderr": bytearray()}
        self.threads = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in self.output
        ]
        if input is not None:
            data = input.encode() if isinstance(input, str) else input
            self.threads.append(threading.Thread(target=self._write, args=(data,), daemon=True))
        for thread in self.threads:
            thread.start()

    def _read(self, name):
        pipe = getattr(self.process, name)
        while chunk := os.read(pipe.fileno(), 65536):
            self.output[name] += chunk
        pipe.close()

    def _write(self, data):
        try:
            self.process.stdin.write(data)
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def text(self, name):
        return bytes(self.output[name]).decode(errors="replace")

    @property
    def pid(self):
        return self.process.pid

    def wait_for(self, pattern, timeout=30, stream="stderr"):
        """Waits until the output matches; returns the match."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self.process.poll() is not None and not any(t.is_alive() for t in self.threads)
            if found := re.search(pattern, self.text(stream)):
                return found
            assert not ended, f"{self.args} ended without {pattern!r}:\n{self.text(stream)}"
            assert time.monotonic() < deadline, f"{self.args}: no {pattern!r} in {timeout} s"
            time.sleep(0.01)

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # with a core or a sanitizer's stack
            self.process.wait()
            raise AssertionError(f"still running after {timeout} s:\n{self.result()}") from None
        return self.result()

    def result(self):
        for thread in self.threads:
            thread.join(10)
        seconds = time.monotonic() - self.started
        stdout, stderr = self.text("stdout"), self.text("stderr")
        return Result(self.args, self.process.returncode, stdout, stderr, seconds)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Egress:
    """`egress(...)` runs to the end; `egress.start(...)` gives a Running."""

    def __init__(self, tmp_path):
        self.home = tmp_path / "home"
        self.home.mkdir()
        self.cwd = tmp_path
        self.program = EGRESS
        self.runs = []
        self.secrets = set()

    def start(self, *args, env=None, input=None, sim=None, s3=None):
        """sim: its token and URL into the environment; s3: keys, region and --endpoint-url.
        `env` overrides what they set; a value of None takes a name out."""
        merged = {}
        if sim is not None:
            merged.update(sim.env)
        if s3 is not None:
            merged.update(s3.env)
            merged["AWS_ENDPOINT_URL"] = s3.url
        merged.update(env or {})
        merged = {name: value for name, value in merged.items() if value is not None}
        self.secrets.update(str(merged[name]) for name in SECRET_SETTINGS if merged.get(name))
        run = Running([self.program, *args], clean_env(self.home, merged), input, self.cwd)
        self.runs.append(run)
        return run

    def __call__(self, *args, timeout=60, **kwargs):
        return self.start(*args, **kwargs).wait(timeout)

    def secret(self, value):
        """From here on `value` (of a file that the test wrote) may not be printed either."""
        self.secrets.add(value)
        return value

    def finish(self):
        for run in self.runs:
            run.kill()
        for run in self.runs:
            result = run.result()
            output = result.stdout + result.stderr
            assert_no_sanitizer_report("egress", output)
            for secret in self.secrets:
                quoted = urllib.parse.quote(secret, safe="")
                assert secret not in output and quoted not in output, f"secret told: {result}"


class Sim:
    """A running egress-sim."""

    def __init__(self, *args, home):
        self.args = [str(arg) for arg in args]
        if "--listen" not in self.args:
            self.args = ["--listen", "127.0.0.1:0", *self.args]
        self.home = home
        self.run = Running([SIM, *self.args], clean_env(home))
        ready = json.loads(self.run.wait_for(r"^(\{.*\})\s*$", stream="stdout").group(1))
        self.url = ready["listening"]
        self.token = ready["token"]
        self.port = urllib.parse.urlsplit(self.url).port
        self.api = self.url + "/v1"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {self.token}"

    @property
    def env(self):
        return {"VOXEL51_API_PRIVATE_KEY": self.token, "VOXEL51_API_BASE_URL": self.url}

    def request(self, method, path, **kwargs):
        """path below /v1, with the token; a requests.Response."""
        kwargs.setdefault("timeout", 60)
        return self.session.request(method, self.api + path, **kwargs)

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def details(self, job_id):
        answer = self.get(f"/jobs/{job_id}")
        answer.raise_for_status()
        return answer.json()["job"]

    def jobs(self):
        answer = self.get("/jobs/list")
        answer.raise_for_status()
        return answer.json()["jobs"]

    def ids(self):
        return [job["id"] for job in self.jobs()]

    def stats(self):
        """How many requests each route had, and how many bytes of outputs were handed out."""
        answer = self.session.get(self.url + "/sim/stats", timeout=60)
        answer.raise_for_status()
        return answer.json()

    def wait_state(self, job_id, state, timeout=30):
        deadline = time.monotonic() + timeout
        while (now := self.details(job_id)["state"]) != state:
            assert time.monotonic() < deadline, f"{job_id} is {now}, not {state}"
            time.sleep(0.02)

    def option(self, name):
        return self.args[self.args.index(name) + 1] if name in self.args else None

    def digest(self, job_id, size=None, version=0):
        """SHA-256 (hex) of a generated output, computed by egress-sim without a server; version:
        after so many changes of it (see `changed` under Faults in its help)."""
        seed = self.option("--seed")
        command = [SIM, "--digest", job_id, "--size", size or self.option("--size")]
        command += ["--seed", seed] if seed else []
        command += ["--output-version", version] if version else []
        done = Running(command, clean_env(self.home)).wait(600).ok()
        return done.stdout.split()[0]

    def write_token(self, path):
        """Writes a token file for this simulator; returns its path."""
        token = {"access_token": {"private_key": self.token, "base_api_url": self.url}}
        Path(path).write_text(json.dumps(token))
        return str(path)

    def stop(self):
        self.session.close()
        if self.run.process.poll() is None:
            self.run.send_signal(signal.SIGTERM)
            try:
                self.run.process.wait(20)
            except subprocess.TimeoutExpired:
                self.run.kill()
                raise AssertionError("egress-sim did not end on SIGTERM") from None
        return self.run.result()

    def finish(self):
        result = self.stop()
        assert_no_sanitizer_report("egress-sim", result.stdout + result.stderr)
