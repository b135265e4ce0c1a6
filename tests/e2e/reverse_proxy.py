# SPDX-License-Identifier: Apache-2.0
"""nginx and Caddy before `egress serve`, with the very files that docs/operations.md shows: ports,
certificate and places of logs are others, all else is as it stands there."""

import http.client
import os
import shutil
import socket
import ssl
import subprocess

from ceph import free_port_range
from programs import ROOT, Running, clean_env

NAME = "egress.example.com"
NGINX_MAIN = """\
{user}daemon off;
pid {dir}/nginx.pid;
worker_processes 1;
events {{}}
http {{
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    include {dir}/egress.conf;
}}
"""
CADDY_GLOBAL = """
{{
\tadmin off
\tauto_https disable_redirects
\tdefault_bind 127.0.0.1
\thttps_port {port}
"""


def replaced(text, changes):
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
        text = text.replace(old, new)
    return text


class ReverseProxy:
    """Ends on stop(). `backend`: HOST:PORT of the daemon."""

    def __init__(self, backend, folder):
        assert shutil.which(self.program), (
            f"packages missing: {self.program} (run: tools/install-deps.sh check-all)"
        )
        self.backend = backend
        self.dir = folder
        self.port = free_port_range(1)
        self.cert, self.key = folder / "server.crt", folder / "server.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
             "-keyout", self.key, "-out", self.cert],
            check=True, capture_output=True,
        )  # fmt: skip
        self.context = ssl.create_default_context(cafile=self.cert)
        env = clean_env(folder, {"XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder})
        self.run = Running(self.command(), env, cwd=folder)

    def wait_ready(self):
        while True:
            assert self.run.process.poll() is None, self.run.result()
            try:
                self.connect().close()
                return self
            except ConnectionRefusedError:
                self.run.threads[0].join(0.02)

    def connect(self):
        """A TLS connection that says whom it wants."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        return self.context.wrap_socket(plain, server_hostname=NAME)

    def post(self, path, body, headers=None, method="POST"):
        """Status and body of the answer."""
        connection = http.client.HTTPConnection(NAME)
        connection.sock = self.connect()
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def told(self):
        """All that it has written, wherever."""
        files = [path.read_text() for path in self.dir.rglob("*.log")]
        return "".join([*files, self.run.text("stdout"), self.run.text("stderr")])

    def stop(self):
        if self.run.process.poll() is None:
            self.run.process.terminate()
        return self.run.wait(30)


class Nginx(ReverseProxy):
    program = "nginx"

    def command(self):
        site = replaced(
            (ROOT / "examples" / "nginx.conf").read_text(),
            {
                "127.0.0.1:8080": self.backend,
                "    listen 443 ssl;\n": f"    listen 127.0.0.1:{self.port} ssl;\n",
                "    listen [::]:443 ssl;\n": "",
                "/etc/ssl/egress/fullchain.pem": str(self.cert),
                "/etc/ssl/private/egress.pem": str(self.key),
                "/var/log/nginx/egress.log": str(self.dir / "access.log"),
                "/var/log/nginx/egress-error.log": str(self.dir / "error.log"),
            },
        )
        user = "user root;\n" if os.geteuid() == 0 else ""  # else it is nobody, who may not enter
        (self.dir / "egress.conf").write_text(site)
        (self.dir / "main.conf").write_text(NGINX_MAIN.format(user=user, dir=self.dir))
        return ["nginx", "-e", self.dir / "start.log", "-p", self.dir, "-c", self.dir / "main.conf"]


class Caddy(ReverseProxy):
    program = "caddy"

    def command(self):
        site = replaced(
            (ROOT / "examples" / "Caddyfile").read_text(),
            {
                "127.0.0.1:8080": self.backend,
                "\n{\n": CADDY_GLOBAL.format(port=self.port),
                f"\n{NAME} {{\n": f"\n{NAME} {{\n\ttls {self.cert} {self.key}\n",
            },
        )
        (self.dir / "Caddyfile").write_text(site)
        return ["caddy", "run", "--adapter", "caddyfile", "--config", self.dir / "Caddyfile"]
