# SPDX-License-Identifier: Apache-2.0
"""A second real S3 server: versitygw on loopback, up in a tenth of a second. It does what Ceph's
gateway leaves out: it checks x-amz-checksum-* and x-amz-mp-object-size, keeps a checksum with the
object, and takes conditions on CompleteMultipartUpload too.

Keys are paths of a directory underneath: `//`, `.`, `..` and components over 255 bytes are not for
it. `make build/tools/versitygw` builds it; `python3 versitygw.py` starts one to try things by hand.
"""

import base64
import http.client
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ceph import free_port_range

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("EGRESS_VERSITYGW", str(ROOT / "build" / "tools" / "versitygw"))
START_TIMEOUT_S = 30


class VersityGW:
    region = "us-east-1"

    def __init__(self):
        if not os.access(PROGRAM, os.X_OK):
            raise RuntimeError(f"{PROGRAM} is not there (run: make build/tools/versitygw)")
        self.access_key = "EGRESSTEST" + secrets.token_hex(5).upper()
        self.secret_key = "s/+" + secrets.token_urlsafe(27) + "=="
        self.dir = None
        self.process = None
        self.buckets = 0

    # ---- life ------------------------------------------------------------------------------

    def start(self):
        for attempt in range(3):  # another program may have taken the port since it was found free
            try:
                self._start()
                return self
            except RuntimeError:
                kept = self.log()
                self.stop()
                if attempt == 2:
                    raise RuntimeError(f"versitygw did not start:\n{kept}") from None
        return self

    def _start(self):
        self.dir = Path(tempfile.mkdtemp(prefix="egress-versitygw-"))
        self.port = free_port_range(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.virtual_host_url = f"http://s3.localhost:{self.port}"
        data = self.dir / "data"
        data.mkdir()
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "ROOT_ACCESS_KEY": self.access_key,
            "ROOT_SECRET_KEY": self.secret_key,
        }
        options = ["--port", f"127.0.0.1:{self.port}", "--region", self.region, "--keep-alive"]
        options += ["--virtual-domain", f"s3.localhost:{self.port}", "--quiet"]
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, *options, "posix", str(data)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/")
                connection.getresponse().read()
                connection.close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("versitygw does not answer") from None
                time.sleep(0.01)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
            self.dir = None

    def log(self):
        return (self.dir / "log").read_text(errors="replace")[-4000:]

    # ---- use -------------------------------------------------------------------------------

    @property
    def env(self):
        """What egress and the AWS CLI read; goes with --endpoint-url."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }

    def client(self, headers=None, **kwargs):
        """A boto3 S3 client. `headers` goes with each request, for what this boto3 cannot say."""
        import boto3
        from botocore.config import Config

        options = {
            "endpoint_url": self.url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
            "config": Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}),
        }
        options.update(kwargs)
        client = boto3.client("s3", **options)

        def add(params, **_):
            params["headers"].update(headers)

        if headers:
            client.meta.events.register("before-call.s3", add)
        return client

    def bucket(self):
        """Makes a bucket that nobody else uses and gives its name."""
        self.buckets += 1
        name = f"egress-test-{self.buckets}-{secrets.token_hex(4)}"
        self.client().create_bucket(Bucket=name)
        return name


def crc32c(data):
    """As x-amz-checksum-crc32c has it. Slow: for little."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


def main():
    gateway = VersityGW().start()
    try:
        print(f"bucket:   s3://{gateway.bucket()}")
        print(f"endpoint: {gateway.url}")
        for name, value in gateway.env.items():
            print(f"export {name}={value!r}")
        print("Interrupt (Ctrl-C) ends it.", flush=True)
        gateway.process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        gateway.stop()


if __name__ == "__main__":
    sys.exit(main())
