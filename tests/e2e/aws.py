# SPDX-License-Identifier: Apache-2.0
"""AWS without AWS: moto's server (SQS, Secrets Manager, STS), with boto3 as the witness.

    queue = aws.queue(VisibilityTimeout=30)
    queue.send(job)
    egress("worker", "--queue", queue.url, "--to", out, "--until-empty", sim=s, env=aws.env).ok()
    assert queue.counts() == (0, 0)
"""

import fcntl
import itertools
import json
import subprocess
import time

import boto3
import botocore.config

import programs

REGION = "us-east-1"  # as Ceph has it: one setting says both
REQUIREMENTS = programs.ROOT / "tests" / "e2e" / "requirements-aws.txt"


def python():
    """An interpreter that has REQUIREMENTS, made when there is none or they have changed."""
    home = programs.ROOT / "build" / "aws-python"
    done = home / "requirements-aws.txt"
    home.parent.mkdir(exist_ok=True)
    with open(home.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != REQUIREMENTS.read_text():
            subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", home], check=True)
            pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement"]
            subprocess.run([*pip, REQUIREMENTS], check=True, timeout=250)
            done.write_text(REQUIREMENTS.read_text())
    return home / "bin" / "python"


class Queue:
    def __init__(self, client, url):
        self.client = client
        self.url = url

    def send(self, *jobs, body=None):
        """A message for each job, as egress itself puts them there; or one with this body."""
        bodies = [body] if body is not None else [json.dumps({"id": job}) for job in jobs]
        for i in range(0, len(bodies), 10):
            entries = [
                {"Id": str(n), "MessageBody": text} for n, text in enumerate(bodies[i : i + 10])
            ]
            answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
            assert len(answer["Successful"]) == len(entries), answer

    def counts(self):
        """Messages that can be taken, and those that are hidden from it."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        got = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return tuple(int(got["Attributes"][name]) for name in names)

    def wait_counts(self, expected, timeout=30):
        deadline = time.monotonic() + timeout
        while (now := self.counts()) != expected:
            assert time.monotonic() < deadline, f"messages are {now}, not {expected}"
            time.sleep(0.05)

    def bodies(self):
        """Takes out what can be taken."""
        got = self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in got.get("Messages", [])]


class Aws:
    def __init__(self):
        self.run = None
        self.url = None
        self.numbers = itertools.count(1)

    def start(self, home):
        command = [python(), "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        self.run = programs.Running(command, programs.clean_env(home))
        self.url = self.run.wait_for(r"Running on (http://127\.0\.0\.1:\d+)", 60).group(1)
        return self

    @property
    def env(self):
        return {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "an/example+secret",
                "AWS_REGION": REGION}  # fmt: skip

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="an/example+secret",
            config=botocore.config.Config(proxies={}),
        )

    def queue(self, dead_letters_after=None, **attributes):
        """A new one. With dead_letters_after, (it, its dead-letter queue)."""
        client = self.client("sqs")
        dead_letters = None
        text = {name: str(value) for name, value in attributes.items()}
        if dead_letters_after:
            dead_letters = self.queue()
            arn = client.get_queue_attributes(
                QueueUrl=dead_letters.url, AttributeNames=["QueueArn"]
            )["Attributes"]["QueueArn"]
            text["RedrivePolicy"] = json.dumps(
                {"deadLetterTargetArn": arn, "maxReceiveCount": dead_letters_after}
            )
        url = client.create_queue(QueueName=f"q{next(self.numbers)}", Attributes=text)["QueueUrl"]
        queue = Queue(client, url)
        return (queue, dead_letters) if dead_letters_after else queue

    def secret(self, value):
        """A new one, of text or bytes; its name."""
        name = f"secret-{next(self.numbers)}"
        kind = "SecretBinary" if isinstance(value, bytes) else "SecretString"
        self.client("secretsmanager").create_secret(Name=name, **{kind: value})
        return name

    def stop(self):
        self.run.kill()
