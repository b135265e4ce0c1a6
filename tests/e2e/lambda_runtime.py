# SPDX-License-Identifier: Apache-2.0
"""Lambda's runtime API, played by a script: hands out events, takes what the function makes of
them, and says what no real one would when a test wants it.

    f = function(sim=s, s3=bucket.s3, env={"BUCKET_NAME": bucket.bucket})
    outcome = f.invoke({"id": job}, deadline_s=30)
    assert outcome.json["status"] == "stored"
    f.api.say(b"HTTP/1.1 500 Oops\\r\\n\\r\\n")      in place of the next event
"""

import http.server
import json
import queue
import re
import subprocess
import threading
import time
import uuid

import programs

BASE = "/2018-06-01/runtime/"
NAME = "the-function"


class Outcome:
    def __init__(self, kind, body, headers):
        self.kind = kind  # "response" or "error"
        self.body = body
        self.headers = headers

    @property
    def json(self):
        assert self.kind == "response", self
        return json.loads(self.body)

    @property
    def error(self):
        assert self.kind == "error", self
        told = json.loads(self.body)
        assert told["errorType"] == self.headers["Lambda-Runtime-Function-Error-Type"]
        return told

    def proxied(self, status):
        """The body of an answer for API Gateway."""
        answer = self.json
        assert answer["statusCode"] == status, self
        assert answer.keys() == {"statusCode", "headers", "body"}
        return json.loads(answer["body"])

    def failures(self):
        """The ids of an SQS batch's failures."""
        assert self.json.keys() == {"batchItemFailures"}
        return [failure["itemIdentifier"] for failure in self.json["batchItemFailures"]]

    def __repr__(self):
        return f"{self.kind}: {self.body[:2000]!r}"


class Invocation:
    def __init__(self, payload, deadline_s, headers):
        self.request_id = str(uuid.uuid4())
        self.payload = payload
        self.deadline_s = deadline_s
        self.headers = headers
        self.done = threading.Event()
        self.outcome = None

    def all_headers(self):
        deadline_ms = int((time.time() + self.deadline_s) * 1000)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:us-east-1:1:function:{NAME}",
            "Lambda-Runtime-Trace-Id": "Root=1-5e;Sampled=0",
            **self.headers,
        }
        return {name: value for name, value in headers.items() if value is not None}


class LambdaRuntime:
    def __init__(self):
        self.pending = queue.Queue()
        self.invocations = {}
        self.asked = []  # METHOD PATH, in order, with the time
        self.answers = queue.Queue()  # statuses to give to responses and errors, else 202
        self.init_error = None
        self.stopping = False
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.asked.append((f"GET {self.path}", time.monotonic()))
                assert self.path == BASE + "invocation/next"
                what = api.take()
                if what is None:
                    self.close_connection = True
                elif isinstance(what, bytes):
                    self.wfile.write(what)
                    self.close_connection = True
                else:
                    self.answer(200, what.all_headers(), what.payload)

            def do_POST(self):
                api.asked.append((f"POST {self.path}", time.monotonic()))
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = api.take_answer(self.path, body, dict(self.headers))
                self.answer(status, {"Content-Type": "application/json"}, b'{"status":"OK"}\n')

            def answer(self, status, headers, body):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass  # a function that is gone

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self):
        while not self.stopping:
            try:
                return self.pending.get(timeout=0.1)
            except queue.Empty:
                continue
        return None

    def take_answer(self, path, body, headers):
        if path == BASE + "init/error":
            self.init_error = Outcome("error", body, headers)
            return 202
        request_id, kind = re.fullmatch(BASE + r"invocation/([^/]*)/(\w+)", path).groups()
        status = self.answers.get() if not self.answers.empty() else 202
        if status == 202:
            invocation = self.invocations[request_id]
            assert not invocation.done.is_set(), "answered twice"
            invocation.outcome = Outcome(kind, body, headers)
            invocation.done.set()
        return status

    # ---- for tests -------------------------------------------------------------------------

    def say(self, raw):
        """In place of the next event; then the connection is closed."""
        self.pending.put(raw)

    def send(self, event, deadline_s=60, **headers):
        """headers: Lambda_Runtime_Deadline_Ms="soon"; None takes one out."""
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        invocation = Invocation(payload, deadline_s, names)
        self.invocations[invocation.request_id] = invocation
        self.pending.put(invocation)
        return invocation

    def stop(self):
        self.stopping = True
        self.server.shutdown()
        self.server.server_close()


class RunningToFiles(programs.Running):
    """What it has written can be read at once: no thread has to see it first."""

    def __init__(self, args, env, home):
        self.args = args
        self.started = time.monotonic()
        self.threads = []
        self.paths = {name: home / f"{name}-{uuid.uuid4()}" for name in ("stdout", "stderr")}
        with open(self.paths["stdout"], "ab") as out, open(self.paths["stderr"], "ab") as err:
            self.process = subprocess.Popen(
                args, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    def text(self, name):
        return self.paths[name].read_text(errors="replace")


class Function:
    """A running build/bootstrap, or `command`."""

    def __init__(self, env, home, command=(programs.BOOTSTRAP,)):
        self.api = LambdaRuntime()
        env = {
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": NAME,
            **env,
        }
        command = [str(part) for part in command]
        self.run = RunningToFiles(command, programs.clean_env(home, env), home)
        self.secrets = {env[name] for name in programs.SECRET_SETTINGS if env.get(name)}

    def invoke(self, event, deadline_s=60, timeout=60, **headers):
        invocation = self.api.send(event, deadline_s, **headers)
        until = time.monotonic() + timeout
        while not invocation.done.wait(0.05):
            ended = self.run.process.poll()
            assert ended is None, f"ended with {ended}:\n{self.run.text('stderr')}"
            assert time.monotonic() < until, f"no answer:\n{self.run.text('stderr')}"
        return invocation.outcome

    def lines(self, stream):
        """What the program has written there."""
        return self.run.text(stream).splitlines()

    def log(self):
        return [json.loads(line) for line in self.lines("stderr")]

    def outcomes(self):
        """The one line that each event has."""
        return [line for line in self.log() if "outcome" in line]

    def metrics(self):
        """NAME -> sum or list of values, of all invocations."""
        total = {}
        for line in self.lines("stdout"):
            metrics = json.loads(line)
            directive = metrics.pop("_aws")["CloudWatchMetrics"][0]
            assert directive["Namespace"] == "Egress"
            assert metrics.pop("FunctionName") == NAME
            assert {metric["Name"] for metric in directive["Metrics"]} == metrics.keys()
            for name, value in metrics.items():
                total[name] = total[name] + value if name in total else value
        return total

    def stop(self):
        self.run.kill()
        self.api.stop()

    def finish(self):
        self.stop()
        result = self.run.result()
        output = result.stdout + result.stderr
        programs.assert_no_sanitizer_report("bootstrap", output)
        for secret in self.secrets:
            assert secret not in output, f"secret told: {result}"


class Poller:
    """What Lambda does between a queue and a function."""

    def __init__(self, function, queue_):
        self.function = function
        self.queue = queue_

    def receive(self, n=10):
        got = self.queue.client.receive_message(
            QueueUrl=self.queue.url, MaxNumberOfMessages=n, AttributeNames=["All"]
        )
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:1:queue",
                "awsRegion": "us-east-1",
            }
            for message in got.get("Messages", [])
        ]

    def deliver(self, n=10, **options):
        """One batch; (the messages, the outcome). What did not fail is deleted."""
        records = self.receive(n)
        assert records, "the queue has nothing to give"
        outcome = self.function.invoke({"Records": records}, **options)
        if outcome.kind == "response":
            failures = outcome.failures()
            for record in records:
                if record["messageId"] not in failures:
                    self.queue.client.delete_message(
                        QueueUrl=self.queue.url, ReceiptHandle=record["receiptHandle"]
                    )
        return records, outcome
