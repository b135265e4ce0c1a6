# SPDX-License-Identifier: Apache-2.0
"""The Lambda program, or egress serve, where there is nothing but itself: a root folder with the
program, /etc/pki/tls/certs/ca-bundle.crt, /etc/resolv.conf and /tmp, and a network of its own, in
which a name server on 127.0.0.1 knows https://platform.test, the simulator behind TLS.

    unshare --map-root-user --net python3 empty_root.py FOLDER PROGRAM [EMULATOR] [--untrusted]

FOLDER is an empty one. PROGRAM is bootstrap, or egress. --untrusted: the CA bundle has another
authority. Prints what came of it as one JSON object. Needs no root outside."""

import argparse
import hashlib
import http.client
import json
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import programs
from lambda_runtime import Function

HOST = "platform.test"
WEBHOOK_TOKEN = "0123456789abcdef"


def webhook_body(job):
    return json.dumps({"id": job, "event": "job_complete"})


class NameServer:
    """Answers for HOST that it is 127.0.0.1; nothing else exists."""

    def __init__(self):
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(512)
            labels, at = [], 12
            while length := query[at]:
                labels.append(query[at + 1 : at + 1 + length].decode())
                at += 1 + length
            (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
            name = ".".join(labels)
            self.asked.append(name)
            answers = b""
            if (
                name == HOST and kind == 1
            ):  # A; for AAAA there is nothing, for all others no such name
                answers = struct.pack("!HHHIH4B", 0xC00C, 1, 1, 60, 4, 127, 0, 0, 1)
            flags = 0x8180 if name == HOST else 0x8183
            header = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if answers else 0, 0, 0)
            self.socket.sendto(header + query[12 : at + 5] + answers, client)


class Tls:
    """What comes in over TLS goes on to 127.0.0.1:port."""

    def __init__(self, certificate, key, port):
        self.target = port
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        plain = socket.create_server(("127.0.0.1", 0))
        self.port = plain.getsockname()[1]
        self.listener = context.wrap_socket(plain, server_side=True)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except (ssl.SSLError, ConnectionError):
                continue  # a client that does not trust us
            server = socket.create_connection(("127.0.0.1", self.target))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            sink.close()


def certificate(folder, name):
    """A certificate for HOST that is its own authority."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{HOST}",
         "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / f"{name}.crt", folder / f"{name}.key"


def furnish(root, program, emulator, bundle):
    """The folder; returns the command that runs the program in it."""
    (root / "etc/pki/tls/certs").mkdir(parents=True)
    (root / "tmp").mkdir()
    shutil.copy(bundle, root / "etc/pki/tls/certs/ca-bundle.crt")
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    name = Path(program).name
    shutil.copy(program, root / name)
    command = ["chroot", root]
    if emulator:  # in place of the processor
        shutil.copy(emulator, root / "emulator")
        command.append("/emulator")
    return [*command, f"/{name}"]


def as_function(command, env, folder, jobs):
    """One job by its id, one by a webhook."""
    function = Function({**env, "WEBHOOK_TOKEN": WEBHOOK_TOKEN}, folder, command)
    webhook = {
        "httpMethod": "POST",
        "path": "/job-complete",
        "queryStringParameters": {"token": WEBHOOK_TOKEN},
        "body": webhook_body(jobs[1]),
    }
    outcomes = [function.invoke(event) for event in ({"id": jobs[0]}, webhook)]
    function.finish()
    return {
        "outcomes": [[outcome.kind, outcome.body.decode()] for outcome in outcomes],
        "log": function.run.text("stderr"),
    }


def as_daemon(command, env, folder, jobs):
    """Webhooks to `egress serve`, and `egress status` until nothing is left to do."""
    (folder / "root/tmp/secrets").write_text(f"token {WEBHOOK_TOKEN}\n")
    env = programs.clean_env("/tmp", {
        **env,
        "EGRESS_JOURNAL": "/tmp/egress.journal",
        "EGRESS_LISTEN": "127.0.0.1:0",
        "EGRESS_ADMIN": ":0",
        "EGRESS_ADMIN_TOKEN_FILE": "/tmp/admin-token",
        "EGRESS_WEBHOOK_SECRETS": "/tmp/secrets",
        "EGRESS_SYNC_EVERY": "0",
        "EGRESS_MAX_ATTEMPTS": "1",
    })  # fmt: skip
    (folder / "root/tmp/admin-token").write_text(WEBHOOK_TOKEN)
    run = programs.Running([*command, "serve"], env)
    address = run.wait_for(r"taking webhooks at http://([0-9.:]+)/job-complete", 60).group(1)
    answers = []
    for job in jobs:
        client = http.client.HTTPConnection(address, timeout=60)
        client.request("POST", f"/job-complete?token={WEBHOOK_TOKEN}", webhook_body(job))
        answers.append(client.getresponse().status)
        client.close()
    deadline = time.monotonic() + 60
    status = {}
    while status.get("stored", 0) + status.get("dead", 0) < len(jobs):
        assert time.monotonic() < deadline, f"{status}\n{run.text('stderr')}"
        asked = programs.Running([*command, "status", "--json"], env).wait().ok()
        status = asked.json["jobs"]
    run.send_signal(signal.SIGTERM)
    ended = run.wait()
    version = programs.Running([*command, "--version"], env).wait().ok()
    return {
        "answers": answers,
        "status": status,
        "ended": ended.returncode,
        "version": version.stdout,
        "log": ended.stderr,
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("program")
    arguments.add_argument("emulator", nargs="?")
    arguments.add_argument("--untrusted", action="store_true")
    given = arguments.parse_args()

    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    names = NameServer()
    sim = programs.Sim("--generate", 2, "--size", "3M", "--seed", 1, home=given.folder)
    jobs = sim.ids()
    server = certificate(given.folder, "server")
    tls = Tls(*server, sim.port)
    trusted = certificate(given.folder, "other")[0] if given.untrusted else server[0]
    root = given.folder / "root"
    command = furnish(root, given.program, given.emulator, trusted)
    env = {
        "VOXEL51_API_BASE_URL": f"https://{HOST}:{tls.port}",
        "VOXEL51_API_PRIVATE_KEY": sim.token,
        "EGRESS_TO": "/tmp/out",
        "EGRESS_KEY": "{job_id}",
    }
    run = as_daemon if Path(given.program).name == "egress" else as_function
    told = run(command, env, given.folder, jobs)
    stored = [root / "tmp/out" / job for job in jobs]
    told.update({
        "stored": [p.exists() and hashlib.sha256(p.read_bytes()).hexdigest() for p in stored],
        "expected": [sim.digest(job) for job in jobs],
        "asked": sorted(set(names.asked)),
        "root": sorted(str(p.relative_to(root)) for p in root.rglob("*")
                       if p.is_file() and "tmp" not in p.relative_to(root).parts),
    })  # fmt: skip
    sim.finish()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
