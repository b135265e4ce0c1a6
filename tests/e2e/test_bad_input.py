# SPDX-License-Identifier: Apache-2.0
"""What no honest Platform, store, file or credentials service says, told to the real program.

Each case ends the same way: the exit status that is documented for it, one line of log that names
the thing and what is wrong with it, within seconds, in little memory, and nothing stored:

    the Platform    garbage, 10 MB of headers, endless bodies, redirects
    the store       XML with entities, depth, megabytes (bodies and headers: test_scripted_store.py)
    files           that are a directory, a pipe, huge, binary (the token's: test_platform.py)
    IMDS            that hangs, drips, never ends
"""

import http.server
import json
import os
import resource
import socket
import ssl
import subprocess
import threading
import time

import pytest

import programs
from scripted_s3 import HEAD, Answer, ScriptedS3, error
from stores import directory  # noqa: F401 (fixture)
from watch import Watch

MIB = 1 << 20
MEMORY_MIB = 16
FLAGS = ["--memory", f"{MEMORY_MIB}MiB", "--read-timeout", "1s"]


@pytest.fixture
def store():
    store = ScriptedS3()
    yield store
    store.stop()


def start(egress, command, *args, **kwargs):
    run = egress.start(command, *(FLAGS if command == "fetch" else []), *args, **kwargs)
    return Watch(run)


def refused(watch, status, *says, seconds=5, lines=1):
    """What every case ends with; the result, for what else it has to say."""
    r = watch.wait(seconds + 20)
    assert r.returncode == status, r
    assert r.seconds < seconds, r
    if watch.peak_mib:  # else it was gone before anyone could look
        watch.assert_memory(MEMORY_MIB)
    told = r.stderr.splitlines()
    assert len(told) == lines, r
    assert all(len(line) < 1200 and line.isprintable() for line in told), r
    for text in says:
        assert all(text in line for line in told), r
    return r


# ---- the Platform ------------------------------------------------------------------------------

DETAILS = "GET /v1/jobs/{id}"
BATCH = "POST /v1/jobs/batch"
OUTPUT = "GET /v1/jobs/{id}/output"
OUTPUT_URL = "GET /v1/jobs/{id}/output-url"
SIGNED = "GET /signed/{id}/output"
JSON = (DETAILS, BATCH, OUTPUT_URL)
BODIES = (OUTPUT, SIGNED)
ALL = JSON + BODIES

# What the simulator says instead -> on which routes, what is to be said of it.
PLATFORM = [
    ("garbage=bytes", ALL, "does not speak HTTP"),
    ("garbage=header", ALL, "does not speak HTTP"),
    ("garbage=length", ALL, "more than one length"),
    ("garbage=chunk", JSON, "/v1/jobs"),
    ("headers=10M", ALL, "header is over 64 KiB"),
    ("endless", JSON, "the answer is over"),
    ("broken_json", (DETAILS,), "expected JSON with the details of the job"),
    ("broken_json", (OUTPUT_URL,), "the signed URL that the Platform gave is refused"),
    ("html=200", (DETAILS,), "expected JSON with the details of the job"),
    ("html=200", (OUTPUT_URL,), "the signed URL that the Platform gave is refused"),
    ("html=200", BODIES, "an HTML page came in place of the output"),
    ("redirect=loop", (DETAILS, OUTPUT, OUTPUT_URL, SIGNED), "redirected more than 5 times"),
]


def flags_for(route):
    if route == BATCH:  # without receipts to read first all details are asked for at once
        return ["--receipts", "off"]
    return ["--source", "output-url"] if route in (OUTPUT_URL, SIGNED) else []


@pytest.mark.parametrize(
    "fault, route, says",
    [
        pytest.param(fault, route, says, id=f"{fault} to {route}")
        for fault, routes, says in PLATFORM
        for route in routes
    ],
)
def test_platform(egress, sim, directory, fault, route, says):
    s = sim("--generate", 3, "--size", 100_000, "--fault", f"{route}:{fault}@100")
    ids = s.ids()[: 3 if route == BATCH else 1]
    args = ["--to", directory.to, *flags_for(route), *ids]
    refused(start(egress, "fetch", *args, sim=s), 1, "job ", says, lines=len(ids))
    assert s.stats()["faults"][route]
    directory.assert_empty()


@pytest.mark.parametrize("fault", ["broken_json", "html=200", "redirect=loop", "status=400"])
def test_batches_that_are_none(egress, sim, directory, fault):
    """Then the Platform does not have them: each job is asked for by itself."""
    s = sim("--generate", 3, "--size", 1000, "--fault", f"{BATCH}:{fault}@100")
    args = ["--to", directory.to, *flags_for(BATCH), *s.ids()]
    refused(start(egress, "fetch", *args, sim=s), 0, "does not take details in batches")
    assert len(directory.objects()) == 3
    assert s.stats()["requests"][BATCH] == 1


def test_output_that_does_not_end(egress, sim, directory):
    """Nothing tells it from a large one: where there is no more room it ends."""
    s = sim("--generate", 1, "--size", 1000, "--fault", f"{OUTPUT}:endless@100")
    watch = start(egress, "fetch", "--to", directory.to, *s.ids(), sim=s)
    resource.prlimit(watch.run.pid, resource.RLIMIT_FSIZE, (64 * MIB, 64 * MIB))
    refused(watch, 3, "job ", directory.to, "File too large")
    directory.assert_empty()


def test_output_that_does_not_end_into_s3(egress, sim, store):
    s = sim("--generate", 1, "--size", 1000, "--fault", f"{OUTPUT}:endless@100")
    args = ["--to", store.to, "--max-parts", "3", *s.ids()]
    refused(start(egress, "fetch", *args, sim=s, s3=store), 4, "job ", "longer than 24.0 MiB")
    assert store.objects == {} and store.uploads == {}


class Platform:
    """One job whose every route can be answered by a test; `asked` are (host, path, token sent).
    By name it is reached as a proxy, whatever the name is."""

    token = "the-secret-token"
    job = "a-job"

    def __init__(self, answers, certificate=None):
        self.asked = []
        platform = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url, _, path = self.path.rpartition("/v1/")
                path = path or self.path
                sent = Platform.token in self.headers.get("Authorization", "")
                platform.asked.append((url.removeprefix("http://"), path, sent))
                status, headers, body = answers.get(path, (404, {}, b"{}"))
                self.send_response(status)
                for name, value in {"Content-Length": len(body), **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        details = {"id": self.job, "state": "COMPLETE", "expired": False, "output_filename": "x"}
        answers.setdefault(f"jobs/{self.job}", (200, {}, json.dumps({"job": details}).encode()))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def env(self, name=None):
        """name: the Platform has that one, and this is the proxy on the way there."""
        env = {"VOXEL51_API_PRIVATE_KEY": self.token, "VOXEL51_API_BASE_URL": name or self.url}
        return {**env, **({"http_proxy": self.url, "no_proxy": "127.0.0.1"} if name else {})}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def platform():
    running = []

    def start(*args):
        running.append(Platform(*args))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def certificate(tmp_path):
    files = [tmp_path / "certificate.pem", tmp_path / "key.pem"]
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    command = [*command.split(), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return files


JOB = f"jobs/{Platform.job}"
ROUTES = {"details": JOB, "output": f"{JOB}/output", "signed URL": f"{JOB}/output-url"}


def leads_to(route, where):
    """The answer of that route which sends its reader there: a redirect, or a URL in a body."""
    if route == "signed URL":
        return (200, {}, json.dumps({"url": where}).encode())
    return (302, {"Location": where} if where is not None else {}, b"")


def route_flags(route):
    return ["--source", "output-url"] if route == "signed URL" else []


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0",
             "169.254.0.1", "2130706433"],
)  # fmt: skip
def test_platform_leads_to_a_local_address(egress, platform, directory, route, host):
    """Where it is not local itself; nobody asks there for anything."""
    with socket.create_server(("127.0.0.1", 0)) as local:
        where = f"http://{host}:{local.getsockname()[1]}/x?sig=SECRET"
        p = platform({ROUTES[route]: leads_to(route, where)})
        args = ["--to", directory.to, *route_flags(route), p.job]
        watch = start(egress, "fetch", *args, env=p.env("http://platform.example"))
        refused(watch, 1, "job a-job: ", "local address")
        local.setblocking(False)
        with pytest.raises(BlockingIOError):
            local.accept()
    assert {host for host, _, _ in p.asked} == {"platform.example"}
    directory.assert_empty()


@pytest.mark.parametrize("route", ROUTES)
def test_platform_leads_to_http(egress, platform, directory, certificate, route):
    """Where it is https itself."""
    plain = platform({})
    where = f"http://localhost:{plain.server.server_port}/x"
    p = platform({ROUTES[route]: leads_to(route, where)}, certificate)
    args = ["--to", directory.to, "--ca-bundle", certificate[0], *route_flags(route), p.job]
    says = "not https" if route == "signed URL" else "redirected from https to http"
    refused(start(egress, "fetch", *args, env=p.env()), 1, "job a-job: ", says)
    assert plain.asked == []
    directory.assert_empty()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("where", ["ftp://host.example/x", "file:///etc/passwd", "http://", None])
def test_platform_leads_nowhere(egress, platform, directory, route, where):
    p = platform({ROUTES[route]: leads_to(route, where)})
    args = ["--to", directory.to, *route_flags(route), p.job]
    watch = start(egress, "fetch", *args, env=p.env("http://platform.example"))
    says = "no http(s) URL" if where is not None or route == "signed URL" else "without a Location"
    refused(watch, 1, "job a-job: ", says)
    directory.assert_empty()


@pytest.mark.parametrize("route", ROUTES)
def test_platform_leads_to_another_host(egress, platform, directory, route):
    """Which is followed, without the token."""
    where = "http://elsewhere.example/v1/stored"
    p = platform({ROUTES[route]: leads_to(route, where), "stored": (403, {}, b"who are you?")})
    egress.secret(p.token)
    args = ["--to", directory.to, *route_flags(route), p.job]
    watch = start(egress, "fetch", *args, env=p.env("http://platform.example"))
    refused(watch, 3 if route == "details" else 1, "job a-job: ", "403")
    sent = {(host, token) for host, _, token in p.asked}
    assert sent == {("platform.example", True), ("elsewhere.example", False)}
    directory.assert_empty()


# ---- the store's XML ---------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "lol"}">' for i in range(12))


# In place of a root element with something between `start` and `end` in it.
DOCUMENTS = {
    "empty": lambda root, start, end: "",
    "text": lambda root, start, end: "OK",
    "cut": lambda root, start, end: f"{HEAD}<{root}>{start}u",
    "another root": lambda root, start, end: f"{HEAD}<Something>{start}u{end}</Something>",
    "entities": lambda root, start, end: (
        f"<!DOCTYPE x [{LAUGHS}]><{root}>{start}&a11;{end}</{root}>"
    ),
    "external entity": lambda root, start, end: (
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><{root}>{start}&e;{end}</{root}>'
    ),
    "deep": lambda root, start, end: f"{HEAD}<{root}>" + "<a>" * 300_000,
    "wide": lambda root, start, end: f"{HEAD}<{root}>{'<a/>' * 2_500_000}</{root}>",
    "megabytes": lambda root, start, end: f"{HEAD}<{root}>{start}{'u' * 10 * MIB}{end}</{root}>",
    "no UTF-8": lambda root, start, end: b"\xff\xfe\x00\x01\x80",
}
NOT_S3 = ("empty", "another root")  # the rest says that it is XML, and breaks off

# Which call -> the command that makes it, its answer's root, and what is looked for there.
CALLS = {
    "CreateMultipartUpload": ("fetch", "InitiateMultipartUploadResult", "<UploadId>...</UploadId>"),
    "CompleteMultipartUpload": ("fetch", "CompleteMultipartUploadResult", "<ETag>...</ETag>"),
    "ListParts": ("fetch", "ListPartsResult", "<Part><ETag>...</ETag></Part>"),
    "ListMultipartUploads": (
        "sweep", "ListMultipartUploadsResult", "<Upload><UploadId>...</UploadId></Upload>",
    ),
    "ListObjectsV2": ("verify", "ListBucketResult", "<Contents><Key>...</Key></Contents>"),
}  # fmt: skip


def leave_an_upload(egress, s, store):
    """Of which a record stays, so that the next run asks for its parts."""
    refusals = [Answer(403, error("AccessDenied"))] * 9
    for call in ("UploadPart", "AbortMultipartUpload", "DeleteReceipt"):
        store.say(call, *refusals)
    egress("fetch", "--to", store.to, "--key", "k", *s.ids(), sim=s, s3=store)
    store.scripts.clear()
    assert len(store.uploads) == 1


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("call", CALLS)
def test_store(egress, sim, store, call, name):
    command, root, inside = CALLS[call]
    s = sim("--generate", 1, "--size", 8 * MIB + 1)
    if call == "ListParts":
        leave_an_upload(egress, s, store)
    store.say(call, Answer(200, DOCUMENTS[name](root, *inside.split("..."))), times=9)
    args = ["--key", "k", *s.ids()] if command == "fetch" else []
    watch = start(egress, command, "--to", store.to, *args, sim=s, s3=store)
    status = 3 if watch.wait(25).returncode == 3 and name in NOT_S3 else 1
    r = refused(watch, status, "scripted" if status == 1 else call)
    assert store.count(call) in (1, 3), r
    assert "root:" not in r.stdout + r.stderr
    assert "k" not in store.objects
    assert store.uploads == {} or call == "ListParts"


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("status", [403, 404])
def test_store_refuses(egress, sim, store, status, name):
    """What is told to each call that fails."""
    s = sim("--generate", 1, "--size", 1000)
    document = DOCUMENTS[name]("Error", "<Code>", "</Code>")
    store.say("PutObject", Answer(status, document), times=9)
    watch = start(egress, "fetch", "--to", store.to, "--key", "k", *s.ids(), sim=s, s3=store)
    r = refused(watch, 3 if name in NOT_S3 else 1, "job ", "PutObject", str(status))
    assert "root:" not in r.stdout + r.stderr
    assert store.objects == {}


# ---- files with credentials --------------------------------------------------------------------

CLOSED = "http://127.0.0.1:1/"  # nobody listens there
FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": {},
    "AWS_CONFIG_FILE": {},
    "AWS_WEB_IDENTITY_TOKEN_FILE": {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/egress"},
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": CLOSED},
}
NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


def make_huge(path):
    with open(path, "wb") as file:
        file.truncate(3 << 30)


KINDS = {
    "directory": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "huge": make_huge,
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "long line": lambda path: path.write_text("[default]\n" + "k" * 65_000 + " = v\n"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_file(egress, sim, store, tmp_path, name, kind):
    s = sim("--generate", 1, "--size", 1000)
    path = tmp_path / "file"
    KINDS[kind](path)
    env = {**NO_KEYS, "AWS_EC2_METADATA_DISABLED": "true", **FILES[name], name: path}
    watch = start(egress, "fetch", "--to", store.to, *s.ids(), sim=s, s3=store, env=env)
    refused(watch, 3, str(path))
    assert store.calls == []


# ---- credentials services ----------------------------------------------------------------------


class Hostile:
    """Each connection is read from until there is a request and then given to `answer(socket)`."""

    def __init__(self, answer):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.answer = answer
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            with client:
                self.answer(client, client.recv(65536))
        except OSError:
            pass  # the client has gone

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


OK = b"HTTP/1.1 200 OK\r\n"


def hang(client, request):
    while client.recv(65536):
        pass


def hang_after_the_token(client, request):
    if request.startswith(b"PUT"):
        client.sendall(OK + b"Content-Length: 5\r\nConnection: close\r\n\r\ntoken")
    else:
        hang(client, request)


def drip_headers(client, request):
    client.sendall(OK)
    while True:
        client.sendall(b"x-drip: 1\r\n")
        time.sleep(0.1)


def drip_body(client, request):
    client.sendall(OK + b"Content-Length: 1000\r\n\r\n")
    while True:
        client.sendall(b"0123456789")
        time.sleep(0.1)


def endless_headers(client, request):
    client.sendall(OK)
    while True:
        client.sendall(b"x-endless: 1\r\n" * 5000)


def endless_body(client, request):
    client.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        client.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def garbage(client, request):
    client.sendall(bytes(range(256)) * 100)


IMDS = [hang, hang_after_the_token, drip_headers, drip_body, endless_headers, endless_body, garbage]


@pytest.fixture(scope="module")
def imds(request, tmp_path_factory):
    """All of them at once, as what most of them do is to wait. name -> the run that asks it."""
    home = tmp_path_factory.mktemp("imds")
    egress, store = programs.Egress(home), ScriptedS3()
    s = programs.Sim("--generate", 4, "--size", 1000, home=home)
    services = {answer.__name__: Hostile(answer) for answer in IMDS}
    runs = {}
    for name, service in services.items():
        env = {**NO_KEYS, "AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url}
        args = ["--to", store.to, *s.ids()]
        runs[name] = start(egress, "fetch", *args, sim=s, s3=store, env=env)
    yield runs
    egress.finish()
    s.finish()
    store.stop()
    for service in services.values():
        service.stop()


@pytest.mark.parametrize("name", [answer.__name__ for answer in IMDS])
def test_imds(imds, name):
    says = ["no AWS credentials: set AWS_ACCESS_KEY_ID", "EC2 instance metadata"]
    refused(imds[name], 3, "job ", *says, seconds=15, lines=4)
