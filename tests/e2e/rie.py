# SPDX-License-Identifier: Apache-2.0
"""AWS's Lambda Runtime Interface Emulator: the runtime API of AWS's own making, and the calls of a
function in place of Lambda's.

    f = emulator(programs.BOOTSTRAP, timeout_s=3, sim=s, s3=bucket.s3, env=to_bucket(bucket))
    assert f.invoke({"id": job}).json["status"] == "stored"

What it does not imitate: it freezes nothing between invocations; it says 200 to a function's error
too, without a header that would tell it from a result; it knows no payload of an asynchronous call,
no retry and no queue; what is over 6 MB it cuts, where Lambda refuses it; memory is not limited; a
function that did not start is started again at every call, with the first error told each time.
`make build/tools/aws-lambda-rie` builds it.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import requests

import programs
from ceph import free_port_range
from lambda_runtime import NAME, Function, Outcome, RunningToFiles

PROGRAM = os.environ.get("EGRESS_RIE", str(programs.ROOT / "build" / "tools" / "aws-lambda-rie"))
START_TIMEOUT_S = 30


class Told(Outcome):
    """What the emulator answers. It does not say whether it is an error: its body does."""

    def __init__(self, status, body):
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        failed = isinstance(told, dict) and told.keys() == {"errorMessage", "errorType", "stackTrace"}
        super().__init__("error" if failed else "response", body, {})
        self.status = status

    @property
    def error(self):
        assert self.kind == "error", self
        return json.loads(self.body)


class Emulator(Function):
    def __init__(self, program, timeout_s, env, home):
        assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is not there; run `make {PROGRAM}`"
        env = {
            "AWS_LAMBDA_FUNCTION_NAME": NAME,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": timeout_s,
            **env,
        }
        self.secrets = {env[name] for name in programs.SECRET_SETTINGS if env.get(name)}
        self.session = requests.Session()
        self.session.trust_env = False
        for attempt in range(3):  # another program may have taken a port since it was found free
            port = free_port_range(2)
            self.url = f"http://127.0.0.1:{port}"
            command = [PROGRAM, "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
            command += ["--runtime-api-address", f"127.0.0.1:{port + 1}", str(program)]
            self.run = RunningToFiles(command, programs.clean_env(home, env), home)
            if self.listens():
                return
            self.stop()
            assert attempt < 2, f"the emulator did not start:\n{self.run.text('stderr')}"

    def listens(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.run.process.poll() is None and time.monotonic() < deadline:
            try:
                self.session.get(self.url, timeout=5)  # no route of it, and so no invocation
                return True
            except requests.ConnectionError:
                time.sleep(0.01)
        return False

    def invoke(self, event, timeout=60, request_id=None):
        """event: JSON, or bytes as they are."""
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        answer = self.session.post(
            f"{self.url}/2015-03-31/functions/function/invocations",
            data=payload,
            headers={"X-Amzn-RequestId": request_id} if request_id else {},
            timeout=timeout,
        )
        return Told(answer.status_code, answer.content)

    def lines(self, stream):
        """The emulator writes both streams of a function, and lines of its own, to stdout."""
        told = [line for line in self.run.text("stdout").splitlines() if line.startswith("{")]
        metrics = {line for line in told if line.startswith('{"_aws"')}
        return [line for line in told if (line in metrics) == (stream == "stdout")]

    def starts(self):
        """How often it has started the program."""
        return self.run.text("stderr").count("Starting runtime")

    def program_pid(self):
        """Of the running program."""
        threads = Path(f"/proc/{self.run.pid}/task").iterdir()
        (pid,) = [pid for thread in threads for pid in (thread / "children").read_text().split()]
        return int(pid)

    def stop(self):
        """SIGTERM: it takes the program with it."""
        if self.run.process.poll() is None:
            self.run.process.terminate()
            try:
                self.run.process.wait(20)
            except subprocess.TimeoutExpired:
                self.run.kill()
                raise AssertionError("the emulator did not end on SIGTERM") from None
