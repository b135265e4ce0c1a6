# SPDX-License-Identifier: Apache-2.0
"""A real S3 server for the tests: Ceph's object gateway on loopback, up in about a second.

One monitor, one OSD whose objects live in memory, one gateway that answers over HTTP and HTTPS.
No root needed. `python3 ceph.py` starts one and prints how to reach it, until interrupted.
"""

import http.client
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

# Program -> Debian package.
NEEDED = {
    "monmaptool": "ceph-common",
    "ceph": "ceph-common",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "radosgw": "radosgw",
    "radosgw-admin": "radosgw",
    "openssl": "openssl",
}

# P: HTTP, P+1: monitor, P+2..P+17: OSD, P+18: HTTPS.
PORTS = 19
START_TIMEOUT_S = 60

# rgw_cache_enabled: a new gateway would wait half a minute for the cache of one that was killed.
CONFIG = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon_port}]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
paxos_propose_interval = 0.02
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = {osd_port_min}
ms_bind_port_max = {osd_port_max}
run_dir = {dir}
pid_file = {dir}/$name.pid
log_file = {dir}/$name.log
mon_cluster_log_file = {dir}/cluster.log
crash_dir = {dir}
mon_data = {dir}/mon
osd_data = {dir}/osd
rgw_data = {dir}/rgw
admin_socket =
mon_data_avail_crit = 1
mon_data_avail_warn = 1
osd_objectstore = memstore
memstore_device_bytes = 17179869184
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_pg_num = 1
mon_allow_pool_size_one = true
rgw_frontends = beast tcp_nodelay=1 endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{tls_port} \
ssl_certificate={dir}/server.crt ssl_private_key={dir}/server.key
rgw_dns_name = s3.localhost
rgw_cache_enabled = false
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 5
{extra}
"""


def free_port_range(count):
    """The first of `count` consecutive free ports below the range the kernel hands out."""
    for _ in range(200):
        first = random.randrange(10000, 32000 - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise RuntimeError(f"no {count} consecutive free TCP ports on 127.0.0.1")


class Ceph:
    """The gateway and one user of it. `settings`: more lines for ceph.conf, as a dict."""

    region = "us-east-1"

    def __init__(self, settings=None):
        missing = sorted({pkg for prog, pkg in NEEDED.items() if not shutil.which(prog)})
        if missing:
            raise RuntimeError(f"packages missing: {' '.join(missing)} (run: make deps)")
        self.settings = settings or {}
        self.access_key = "EGRESSTEST" + secrets.token_hex(5).upper()
        # With the characters that AWS's own secrets have and that naive escaping breaks.
        self.secret_key = "s/+" + secrets.token_urlsafe(27) + "=="
        self.dir = None
        self.processes = {}
        self.buckets = 0

    # ---- life ------------------------------------------------------------------------------

    def start(self):
        for attempt in range(3):  # another program may have taken a port since it was found free
            try:
                self._start()
                return self
            except (RuntimeError, subprocess.TimeoutExpired):
                kept = self._logs()
                self.stop()
                if attempt == 2:
                    raise RuntimeError(f"Ceph's gateway did not start:\n{kept}") from None
        return self

    def _start(self):
        self.dir = Path(tempfile.mkdtemp(prefix="egress-ceph-"))
        self.port = free_port_range(PORTS)
        self.tls_port = self.port + 18
        self.url = f"http://127.0.0.1:{self.port}"
        self.tls_url = f"https://127.0.0.1:{self.tls_port}"
        self.virtual_host_url = f"http://s3.localhost:{self.port}"
        self.ca_file = str(self.dir / "ca.crt")
        fsid = str(uuid.uuid4())
        (self.dir / "ceph.conf").write_text(
            CONFIG.format(
                fsid=fsid,
                dir=self.dir,
                port=self.port,
                tls_port=self.tls_port,
                mon_port=self.port + 1,
                osd_port_min=self.port + 2,
                osd_port_max=self.port + 17,
                extra="\n".join(f"{k} = {v}" for k, v in self.settings.items()),
            )
        )
        for name in ("mon", "osd", "rgw"):
            (self.dir / name).mkdir()
        (self.dir / "keyring").touch()
        self._make_certificate()
        monmap, address = self.dir / "monmap", f"[v2:127.0.0.1:{self.port + 1}]"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap)
        self._run(
            "ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", self.dir / "keyring"
        )
        self._spawn("mon", "ceph-mon", "-i", "a")
        osd_uuid = str(uuid.uuid4())
        self._run("ceph", "osd", "create", osd_uuid, "0")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_uuid)
        self._spawn("osd", "ceph-osd", "-i", "0")
        self.admin(
            "user", "create", "--uid=egress", "--display-name=egress",
            f"--access-key={self.access_key}", f"--secret={self.secret_key}",
        )
        self.start_gateway()

    def start_gateway(self):
        """Also after kill_gateway(); what is stored is still there."""
        self._spawn("rgw", "radosgw", "--name", "client.rgw")
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/")
                connection.getresponse().read()
                connection.close()
                return
            except OSError:
                if self.processes["rgw"].poll() is not None:
                    raise RuntimeError("radosgw ended") from None
                if time.monotonic() > deadline:
                    raise RuntimeError("radosgw does not answer") from None
                time.sleep(0.02)

    def kill_gateway(self):
        process = self.processes.pop("rgw")
        process.kill()
        process.wait()

    def stop(self):
        for process in self.processes.values():
            process.kill()  # nothing of it is wanted afterwards
        for process in self.processes.values():
            process.wait()
        self.processes = {}
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
            self.dir = None

    def keep_logs(self, where):
        Path(where).mkdir(parents=True, exist_ok=True)
        for log in self.dir.glob("*.log"):
            shutil.copy(log, where)

    # ---- use -------------------------------------------------------------------------------

    @property
    def env(self):
        """What egress and the AWS CLI read; goes with --endpoint-url."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }

    def client(self, tls=False, **kwargs):
        """A boto3 S3 client."""
        import boto3
        from botocore.config import Config

        options = {
            "endpoint_url": self.tls_url if tls else self.url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
            "verify": self.ca_file if tls else None,
            "config": Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}),
        }
        options.update(kwargs)
        return boto3.client("s3", **options)

    def bucket(self):
        """Makes a bucket that nobody else uses and gives its name."""
        self.buckets += 1
        name = f"egress-test-{self.buckets}-{secrets.token_hex(4)}"
        self.client().create_bucket(Bucket=name)
        return name

    def admin(self, *args):
        """radosgw-admin; returns its stdout."""
        return self._run("radosgw-admin", *args)

    def signal(self, daemon, number):
        """For example signal("osd", signal.SIGSTOP): requests hang until SIGCONT."""
        self.processes[daemon].send_signal(number)

    # ---- inside ----------------------------------------------------------------------------

    def _make_certificate(self):
        names = "IP:127.0.0.1,DNS:localhost,DNS:s3.localhost,DNS:*.s3.localhost"
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        days, at = ("-days", "2"), self.dir
        self._run(
            "openssl", "req", "-x509", *key, *days, "-subj", "/CN=egress test CA",
            "-keyout", at / "ca.key", "-out", at / "ca.crt",
        )
        self._run(
            "openssl", "req", *key, "-subj", "/CN=s3.localhost", "-keyout", at / "server.key",
            "-out", at / "server.csr",
        )
        (at / "server.ext").write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
        self._run(
            "openssl", "x509", "-req", *days, "-in", at / "server.csr", "-CA", at / "ca.crt",
            "-CAkey", at / "ca.key", "-CAcreateserial", "-extfile", at / "server.ext",
            "-out", at / "server.crt",
        )

    def _environment(self):
        return {**os.environ, "CEPH_CONF": str(self.dir / "ceph.conf"), "LC_ALL": "C.UTF-8"}

    def _run(self, *command):
        done = subprocess.run(
            [str(part) for part in command],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
        )
        if done.returncode != 0:
            (self.dir / "failed.log").write_text(f"{command}\n{done.stdout}\n{done.stderr}\n")
            raise RuntimeError(f"{command[0]} failed: {done.stderr}")
        return done.stdout

    def _spawn(self, name, *command):
        with open(self.dir / f"{name}.out.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [*command, "-f"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _logs(self):
        return "\n".join(
            f"--- {log.name}\n" + log.read_text(errors="replace")[-2000:]
            for log in sorted(self.dir.glob("*.log"))
        )


def main():
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has it ignored
        signal.signal(number, signal.default_int_handler)
    ceph = Ceph().start()
    try:
        print(f"bucket:   s3://{ceph.bucket()}")
        print(f"endpoint: {ceph.url}  or  {ceph.tls_url}  (AWS_CA_BUNDLE={ceph.ca_file})")
        for name, value in ceph.env.items():
            print(f"export {name}={value!r}")
        print("Interrupt (Ctrl-C) ends it.", flush=True)
        ceph.processes["rgw"].wait()
    except KeyboardInterrupt:
        pass
    finally:
        ceph.stop()


if __name__ == "__main__":
    sys.exit(main())
