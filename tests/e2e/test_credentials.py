# SPDX-License-Identifier: Apache-2.0
"""Where egress gets its credentials from, each place for real: a scripted endpoint that is STS,
instance metadata and container endpoint in one, Ceph's own STS, programs, files; and the ways to a
store that the environment sets: proxies and certificate authorities."""

import datetime
import http.server
import json
import shutil
import socket
import threading
import time
import urllib.parse

import pytest

from ceph import Ceph

ROLE = "arn:aws:iam::123456789012:role/egress"
NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
TOKEN = "a-token-for-the-endpoint"


class Endpoint:
    """Hands out the keys of `store`; `lifetime_s` each time anew. `calls` are (method, path)."""

    def __init__(self, store, lifetime_s=3600):
        self.keys = (store.access_key, store.secret_key)
        self.lifetime_s = lifetime_s
        self.delay_s = 0
        self.calls = []
        self.refused = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.fails = False
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                with endpoint.lock:
                    endpoint.calls.append((self.command, self.path))
                    endpoint.at_once += 1
                    endpoint.most_at_once = max(endpoint.most_at_once, endpoint.at_once)
                time.sleep(endpoint.delay_s)
                status, text = endpoint.answer(self, urllib.parse.parse_qs(body))
                if status != 200:
                    endpoint.refused.append((self.command, self.path))
                with endpoint.lock:
                    endpoint.at_once -= 1
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = do_POST = answer

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def expiration(self):
        until = datetime.datetime.now(datetime.timezone.utc)
        until += datetime.timedelta(seconds=self.lifetime_s)
        return until.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def json(self):
        return json.dumps(
            {
                "Code": "Success",
                "AccessKeyId": self.keys[0],
                "SecretAccessKey": self.keys[1],
                "Token": "",
                "Expiration": self.expiration(),
            }
        )

    def sts(self, action):
        return (
            f"<{action}Response><{action}Result><Credentials><AccessKeyId>{self.keys[0]}"
            f"</AccessKeyId><SecretAccessKey>{self.keys[1]}</SecretAccessKey><SessionToken>"
            f"</SessionToken><Expiration>{self.expiration()}</Expiration></Credentials>"
            f"</{action}Result></{action}Response>"
        )

    def answer(self, request, form):
        """status, text; checks what each protocol wants of a request."""
        path, headers = request.path, request.headers
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.fails:
            return 404, "no"
        if request.command == "POST" and path == "/":
            (action,) = form["Action"]
            signed = headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=BASE")
            token = form.get("WebIdentityToken") == ["the.web.token"]
            fine = signed if action == "AssumeRole" else token and "Authorization" not in headers
            fine = fine and form["RoleArn"] == [ROLE] and form["RoleSessionName"]
            return (200, self.sts(action)) if fine else (403, "refused")
        if request.command == "PUT" and path == "/latest/api/token":
            ttl = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            return (200, "imds-token") if ttl.isdigit() else (400, "no TTL")
        if path in (roles, roles + "the-role"):
            if headers.get("X-aws-ec2-metadata-token") != "imds-token":
                return 401, "no token"
            return 200, "the-role" if path == roles else self.json()
        if path == "/container":
            fine = headers.get("Authorization") == TOKEN
            return (200, self.json()) if fine else (403, "no token")
        return 404, "not found"


@pytest.fixture
def endpoint(ceph):
    one = Endpoint(ceph)
    yield one
    one.stop()


# ---- one way each to deliver the same keys; gives variables ------------------------------------


def web_identity(endpoint, egress, tmp_path):
    (tmp_path / "web-token").write_text(egress.secret("the.web.token") + "\n")
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": tmp_path / "web-token",
        "AWS_ROLE_ARN": ROLE,
        "AWS_ENDPOINT_URL_STS": endpoint.url,
    }


def container(endpoint, egress, tmp_path):
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.url}/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": egress.secret(TOKEN),
    }


def container_token_file(endpoint, egress, tmp_path):
    (tmp_path / "container-token").write_text(egress.secret(TOKEN) + "\n")
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.url}/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": tmp_path / "container-token",
    }


def instance(endpoint, egress, tmp_path):
    return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint.url}


def process(endpoint, egress, tmp_path):
    printed = json.loads(endpoint.json())
    printed["Version"] = 1
    (tmp_path / "printed.json").write_text(json.dumps(printed))
    config = f"[default]\ncredential_process = cat '{tmp_path}/printed.json'\n"
    return {"AWS_CONFIG_FILE": write(tmp_path / "config", config)}


def files(endpoint, egress, tmp_path):
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"
    keys = write(tmp_path / "keys", text.format(*endpoint.keys))
    return {"AWS_SHARED_CREDENTIALS_FILE": keys}


def assumed(endpoint, egress, tmp_path):
    keys = f"[base]\naws_access_key_id = BASE\naws_secret_access_key = {egress.secret('base+sec')}\n"
    config = f"[profile up]\nrole_arn = {ROLE}\nsource_profile = base\n"
    return {
        "AWS_SHARED_CREDENTIALS_FILE": write(tmp_path / "keys", keys),
        "AWS_CONFIG_FILE": write(tmp_path / "config", config),
        "AWS_PROFILE": "up",
        "AWS_ENDPOINT_URL_STS": endpoint.url,
    }


def write(path, text):
    path.write_text(text)
    return path


PLACES = [web_identity, container, container_token_file, instance, process, files, assumed]


def fetch(egress, ceph, s, bucket, *args, env, **kwargs):
    egress.secret(ceph.secret_key)
    env = {"AWS_EC2_METADATA_DISABLED": "true", **NO_KEYS, **env}
    if "AWS_EC2_METADATA_SERVICE_ENDPOINT" in env:
        env["AWS_EC2_METADATA_DISABLED"] = None
    return egress(
        "fetch", "--to", f"s3://{bucket}", *args, *s.ids(), sim=s, s3=ceph, env=env, **kwargs
    )


def assert_all_stored(ceph, bucket, s):
    found = ceph.client().list_objects_v2(Bucket=bucket).get("Contents", [])
    stored = {entry["Key"].split("/")[0] for entry in found} - {".egress"}
    assert stored == set(s.ids())


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_each_place(egress, sim, ceph, endpoint, tmp_path, place):
    s = sim("--generate", 2, "--size", "9M")
    bucket = ceph.bucket()
    fetch(egress, ceph, s, bucket, env=place(endpoint, egress, tmp_path)).ok()
    assert_all_stored(ceph, bucket, s)
    assert endpoint.refused == []
    assert len(endpoint.calls) == {"instance": 3, "process": 0, "files": 0}.get(place.__name__, 1)


def test_order(egress, sim, ceph, endpoint, tmp_path):
    """Wherever it looks later nothing is asked: environment, role, web identity, files, process,
    container, instance."""
    s = sim("--generate", 1, "--size", 1000)
    instance_env = instance(endpoint, egress, tmp_path)
    env = {**container(endpoint, egress, tmp_path), **instance_env}
    fetch(egress, ceph, s, ceph.bucket(), env=env).ok()
    assert {path for _, path in endpoint.calls} == {"/container"}
    env = {**env, **web_identity(endpoint, egress, tmp_path)}
    fetch(egress, ceph, s, ceph.bucket(), env=env).ok()
    assert [path for _, path in endpoint.calls] == ["/container", "/"]
    env = {**env, **{name: ceph.env[name] for name in NO_KEYS}}
    fetch(egress, ceph, s, ceph.bucket(), env=env).ok()
    assert len(endpoint.calls) == 2


# ---- Ceph's own STS ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ceph_sts():
    gateway = Ceph({"rgw_sts_key": "abcdefghijklmnop", "rgw_s3_auth_use_sts": "true"})
    gateway.start()
    allow = {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/egress"]}}
    trust = {"Version": "2012-10-17", "Statement": [{**allow, "Action": ["sts:AssumeRole"]}]}
    all_of_s3 = {"Effect": "Allow", "Action": ["s3:*"], "Resource": "arn:aws:s3:::*"}
    policy = {"Version": "2012-10-17", "Statement": [all_of_s3]}
    gateway.admin(
        "role", "create", "--role-name=egress", "--path=/",
        f"--assume-role-policy-doc={json.dumps(trust)}",
    )
    gateway.admin(
        "role-policy", "put", "--role-name=egress", "--policy-name=all",
        f"--policy-doc={json.dumps(policy)}",
    )
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("role", ["egress", "nosuch"])
def test_real_sts(egress, sim, ceph_sts, tmp_path, role):
    """A role assumed from a store that checks the signature and the session token."""
    s = sim("--generate", 3, "--size", "9M")
    config = (
        f"[profile up]\nrole_arn = arn:aws:iam:::role/{role}\ncredential_source = Environment\n"
        "external_id = a/b:c=d\nduration_seconds = 900\nrole_session_name = e2e@egress\n"
    )
    env = {
        "AWS_CONFIG_FILE": write(tmp_path / "config", config),
        "AWS_ACCESS_KEY_ID": ceph_sts.access_key,
        "AWS_SECRET_ACCESS_KEY": ceph_sts.secret_key,
    }
    bucket = ceph_sts.bucket()
    if role == "egress":
        # What the role stores is its own: the owner of the bucket lists it.
        fetch(egress, ceph_sts, s, bucket, "--profile", "up", env=env).ok()
        assert_all_stored(ceph_sts, bucket, s)
    else:
        r = fetch(egress, ceph_sts, s, bucket, "--profile", "up", env=env)
        assert r.returncode == 3 and "assume arn:aws:iam:::role/nosuch" in r.stderr, r


# ---- renewing ----------------------------------------------------------------------------------


def test_renewed_in_a_long_run(egress, sim, ceph, endpoint, tmp_path):
    """Two seconds' worth at a time; six jobs at once wait for, and share, one fetch."""
    s = sim("--generate", 36, "--size", "1000", "--set", "latency_ms=1500")
    endpoint.lifetime_s = 2
    endpoint.delay_s = 0.2
    bucket = ceph.bucket()
    env = container(endpoint, egress, tmp_path)
    r = fetch(egress, ceph, s, bucket, "--concurrency", 6, env=env, timeout=100).ok()
    assert_all_stored(ceph, bucket, s)
    assert endpoint.most_at_once == 1
    assert 3 <= len(endpoint.calls) <= r.seconds / 0.8 + 2, r


def test_cannot_be_renewed(egress, sim, ceph, endpoint, tmp_path):
    s = sim("--generate", 16, "--size", "1000", "--set", "latency_ms=1000")
    endpoint.lifetime_s = 6
    bucket = ceph.bucket()
    env = container(endpoint, egress, tmp_path)
    watcher = threading.Thread(target=fail_after_first_call, args=(endpoint,), daemon=True)
    watcher.start()
    r = fetch(egress, ceph, s, bucket, "--concurrency", 1, env=env)
    assert r.returncode == 3, r
    assert "could not be renewed, those there are good until" in r.stderr, r
    assert "AWS credentials have expired and cannot be renewed" in r.stderr + r.stdout, r
    assert "/container answered 404" in r.stderr, r


def fail_after_first_call(endpoint):
    while not endpoint.calls:
        time.sleep(0.01)
    time.sleep(0.3)
    endpoint.fails = True


# ---- what cannot be ----------------------------------------------------------------------------


def test_nothing_anywhere(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 1000)
    r = fetch(egress, ceph, s, ceph.bucket(), env={})
    assert r.returncode == 3, r
    for place in ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", ".aws/credentials",
                  ".aws/config", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                  "AWS_EC2_METADATA_DISABLED"):
        assert place in r.stderr, (place, r)


# ---- proxies and certificate authorities -------------------------------------------------------


class ForwardProxy:
    """An HTTP proxy: CONNECT, and requests with a whole URL. `asked` has what was wanted."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.asked = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = client.recv(65536)
            if not chunk:
                return
            head += chunk
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        self.asked.append((method, target))
        if method == "CONNECT":
            host, port = target.rsplit(":", 1)
        else:
            url = urllib.parse.urlsplit(target)
            host, port = url.hostname, url.port or 80
            # One request a connection: the next may be for another host.
            path = target[len(f"{url.scheme}://{url.netloc}"):].encode() or b"/"
            line, rest = head.split(b"\r\n", 1)
            head = line.replace(target.encode(), path, 1) + b"\r\nConnection: close\r\n" + rest
        server = socket.create_connection((host, int(port)))
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Fine\r\n\r\n")
        else:
            server.sendall(head)
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        client.close()
        server.close()

    @staticmethod
    def _pump(source, to):
        try:
            while chunk := source.recv(65536):
                to.sendall(chunk)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def hosts(self):
        parts = [urllib.parse.urlsplit(t if "://" in t else f"//{t}") for _, t in self.asked]
        return {part.netloc for part in parts}

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def proxy():
    one = ForwardProxy()
    yield one
    one.stop()


def netloc(url):
    return urllib.parse.urlsplit(url).netloc


@pytest.mark.parametrize("place", [container, instance, web_identity],
                         ids=lambda place: place.__name__)
def test_http_proxy(egress, sim, ceph, endpoint, tmp_path, proxy, place):
    """Platform, store and STS are reached through it; what is on this machine only, is not."""
    s = sim("--generate", 2, "--size", "9M")
    bucket = ceph.bucket()
    env = {**place(endpoint, egress, tmp_path), "http_proxy": proxy.url}
    fetch(egress, ceph, s, bucket, env=env).ok()
    assert_all_stored(ceph, bucket, s)
    through = {netloc(s.url), netloc(ceph.url)}
    assert proxy.hosts() == through | ({netloc(endpoint.url)} if place is web_identity else set())


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_https_proxy(egress, sim, ceph, proxy, name):
    s = sim("--generate", 2, "--size", "9M")
    bucket = ceph.bucket()
    env = {name: proxy.url, "AWS_CA_BUNDLE": ceph.ca_file, "AWS_ENDPOINT_URL": ceph.tls_url,
           "no_proxy": "" if name != "ALL_PROXY" else "example.com"}
    egress("fetch", "--to", f"s3://{bucket}", *s.ids(), sim=s, s3=ceph, env=env).ok()
    assert_all_stored(ceph, bucket, s)
    assert ("CONNECT", netloc(ceph.tls_url)) in proxy.asked
    assert (netloc(s.url) in proxy.hosts()) == (name == "ALL_PROXY")


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_proxy(egress, sim, ceph, proxy, name):
    s = sim("--generate", 1, "--size", 1000)
    env = {"http_proxy": proxy.url, name: "example.com,127.0.0.1"}
    egress("fetch", "--to", f"s3://{ceph.bucket()}", *s.ids(), sim=s, s3=ceph, env=env).ok()
    assert proxy.asked == []


def test_proxy_that_is_not_there(egress, sim, ceph):
    s = sim("--generate", 1, "--size", 1000)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    r = egress("fetch", "--to", f"s3://{ceph.bucket()}", *s.ids(), sim=s, s3=ceph,
               env={"http_proxy": nobody})
    assert r.returncode == 1, r


def tls(ceph, **env):
    return {"AWS_ENDPOINT_URL": ceph.tls_url, **env}


@pytest.mark.parametrize("way", ["flag", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "profile"])
def test_ca_bundle(egress, sim, ceph, tmp_path, way):
    s = sim("--generate", 1, "--size", 1000)
    bucket = ceph.bucket()
    args, env = [], tls(ceph)
    if way == "flag":
        # It goes before the variables, which name one that is no good here.
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", tmp_path / "other.pem")
        args = ["--ca-bundle", ceph.ca_file]
        env["AWS_CA_BUNDLE"] = tmp_path / "other.pem"
    elif way == "profile":
        config = f"[default]\nca_bundle = {ceph.ca_file}\n"
        env["AWS_CONFIG_FILE"] = write(tmp_path / "config", config)
    else:
        env[way] = ceph.ca_file
    egress("fetch", "--to", f"s3://{bucket}", *args, *s.ids(), sim=s, s3=ceph, env=env).ok()
    assert_all_stored(ceph, bucket, s)


@pytest.mark.parametrize("kind", ["none", "missing", "directory", "garbage"])
def test_ca_bundle_that_is_none(egress, sim, ceph, tmp_path, kind):
    s = sim("--generate", 1, "--size", 1000)
    path = tmp_path / "bundle.pem"
    if kind == "directory":
        path.mkdir()
    elif kind == "garbage":
        path.write_bytes(bytes(range(256)))
    env = tls(ceph) if kind == "none" else tls(ceph, AWS_CA_BUNDLE=path)
    bucket = ceph.bucket()
    r = egress("fetch", "--to", f"s3://{bucket}", *s.ids(), sim=s, s3=ceph, env=env)
    assert r.returncode in (1, 3), r
    assert "certificate" in r.stderr.lower() or str(path) in r.stderr, r
    assert ceph.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0
