# SPDX-License-Identifier: Apache-2.0
"""Our signatures against an independent signer (botocore) on many random requests, and against a
real store: build/tests/sigv4-sign signs, Ceph's gateway judges."""

import http.client
import json
import os
import random
import subprocess
import time
import urllib.parse
from datetime import datetime, timezone

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

import programs

SIGN = os.environ.get("EGRESS_SIGV4_SIGN", str(programs.ROOT / "build" / "tests" / "sigv4-sign"))
EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ROUNDS = 400

PIECES = [
    *" +%~/.,;:@&=$!*'()[]{}|\\^`\"<>#?-_",
    *"aZ09",
    "//",
    "/./",
    "/../",
    "..",
    "%20",
    "%2F",
    "%zz",
    "é",
    "ሴ",
    "😀",
    "e\u0301",
    "\u00a0",
    "\t",
    "\x7f",
]


def sign(requests):
    """What sigv4-sign makes of each request (a dict; see there)."""
    assert os.access(SIGN, os.X_OK), f"{SIGN} is not there; run `make build/tests/sigv4-sign`"
    lines = "".join(json.dumps(one) + "\n" for one in requests)
    done = subprocess.run([SIGN], input=lines, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(requests)
    return answers


def unix_ms(amz_date):
    when = datetime.strptime(amz_date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    return int(when.timestamp()) * 1000


class Maker:
    """Random requests, the same in every run."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, longest=12):
        return "".join(self.random.choice(PIECES) for _ in range(self.random.randint(0, longest)))

    def path(self):
        return "/bucket/" + urllib.parse.quote(self.text(24), safe="/-._~")

    def query(self, unique=False):
        pairs = {}
        listed = []
        for _ in range(self.random.randint(0, 5)):
            name = urllib.parse.quote(self.text(4) or "uploads", safe="-._~")
            value = urllib.parse.quote(self.text(8), safe="-._~")
            if not unique or name not in pairs:
                listed.append(name if not value and not unique else f"{name}={value}")
            pairs[name] = value
        if not unique and listed:
            listed.append(self.random.choice(listed))
        return "&".join(listed)

    def headers(self):
        names = ["Range", "Content-Type", "x-amz-meta-Name", "X-AMZ-STORAGE-CLASS", "if-none-match"]
        # The blanks that a header can hold; botocore would fold a no-break space too.
        return [
            [name, "".join(self.random.choice("aB/=*,; \t\"") for _ in range(20))]
            for name in self.random.sample(names, self.random.randint(0, 4))
        ]

    def request(self, unique=False):
        rnd = self.random
        port = rnd.choice(["", ":8000"])
        return {
            "method": rnd.choice(["GET", "PUT", "POST", "DELETE", "HEAD"]),
            "path": self.path(),
            "query": self.query(unique),
            "headers": self.headers(),
            "host": rnd.choice(["s3.eu-west-1.amazonaws.com", "b.s3.localhost", "127.0.0.1"]) + port,
            "region": rnd.choice(["us-east-1", "eu-central-2"]),
            "access_key": "AKIA" + "".join(rnd.choice("ABC234") for _ in range(16)),
            "secret_key": "".join(rnd.choice("abc/+=XYZ") for _ in range(40)),
            "token": rnd.choice([None, "FwoG/+Zz=" * rnd.randint(1, 60)]),
        }


def aws_request(rq):
    url = f"http://{rq['host']}{rq['path']}" + (f"?{rq['query']}" if rq["query"] else "")
    return AWSRequest(method=rq["method"], url=url, headers=dict(rq["headers"]))


def credentials(rq):
    return Credentials(rq["access_key"], rq["secret_key"], rq["token"])


def test_headers_for_s3():
    maker = Maker(1)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        rq = maker.request()
        body = maker.random.choice([None, "", maker.text()])
        aws = aws_request(rq)
        aws.data = (body or "").encode()
        s3 = {"payload_signing_enabled": body is not None}
        aws.context["client_config"] = Config(s3=s3)
        signer = S3SigV4Auth(credentials(rq), "s3", rq["region"])
        signer.add_auth(aws)
        amz_date = aws.headers["X-Amz-Date"]
        ours.append(
            rq
            | {"service": "s3", "content_sha256": True, "unix_ms": unix_ms(amz_date)}
            | ({"body": body} if body is not None else {})
        )
        theirs.append((aws.headers["Authorization"], amz_date))
        del aws.headers["Authorization"]
    for rq, answer, (authorization, amz_date) in zip(ours, sign(ours), theirs):
        assert answer["authorization"] == authorization, (rq, answer["canonical_request"])
        assert answer["amz_date"] == amz_date


def test_headers_for_other_services():
    maker = Maker(2)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        rq = maker.request()
        rq["path"] = rq["path"].removeprefix("/bucket") if maker.random.random() < 0.5 else rq["path"]
        if rq["path"].startswith("//"):
            rq["path"] = "/x" + rq["path"]  # botocore's URL would begin with another host
        body = maker.text()
        aws = aws_request(rq)
        aws.data = body.encode()
        SigV4Auth(credentials(rq), "sqs", rq["region"]).add_auth(aws)
        when = unix_ms(aws.headers["X-Amz-Date"])
        ours.append(
            rq | {"service": "sqs", "normalize_path": True, "body": body, "unix_ms": when}
        )
        theirs.append(aws.headers["Authorization"])
    for rq, answer, authorization in zip(ours, sign(ours), theirs):
        assert answer["authorization"] == authorization, (rq, answer["canonical_request"])


@pytest.mark.parametrize("service", ["s3", "sqs"])
def test_presigned(service):
    maker = Maker(3)
    signer = {"s3": S3SigV4QueryAuth, "sqs": SigV4QueryAuth}[service]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        rq = maker.request(unique=True)
        aws = aws_request(rq)
        expires_s = maker.random.randint(1, 604800)
        signer(credentials(rq), service, rq["region"], expires=expires_s).add_auth(aws)
        query = urllib.parse.urlsplit(aws.url).query
        parameters = urllib.parse.parse_qsl(query, keep_blank_values=True)
        when = unix_ms(dict(parameters)["X-Amz-Date"])
        rq |= {"service": service, "unix_ms": when, "expires_s": expires_s}
        if service != "s3":
            rq |= {"normalize_path": True, "body": ""}
        ours.append(rq)
        theirs.append(sorted(parameters))
    for rq, answer, parameters in zip(ours, sign(ours), theirs):
        found = urllib.parse.parse_qsl(answer["query"], keep_blank_values=True)
        assert sorted(found) == parameters, rq


# ---- a real store ----------------------------------------------------------------------------

KEYS = [
    "plain.txt",
    "with space/+plus/100%/%20/%2F/~tilde",
    "double//slash/./dot/../dots/",
    "ünïcode/ሴ/😀",
    "!*'();:@&=$,?#[]|^`\"<>{}\\",
    "k" * 1024,
]


def ask(ceph, method, target, headers=None, body=None):
    """Sends the target as it stands, which urllib and requests would not do."""
    connection = http.client.HTTPConnection("127.0.0.1", ceph.port, timeout=30)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def for_ceph(ceph, method, path, **more):
    return {
        "method": method,
        "path": path,
        "query": "",
        "headers": [],
        "host": f"127.0.0.1:{ceph.port}",
        "region": ceph.region,
        "service": "s3",
        "access_key": ceph.access_key,
        "secret_key": ceph.secret_key,
        "unix_ms": int(time.time() * 1000),
    } | more


def presigned(ceph, method, path, **more):
    (answer,) = sign([for_ceph(ceph, method, path, **({"expires_s": 300} | more))])
    return f"{path}?{answer['query']}"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:12])
def test_ceph_accepts_presigned_urls(ceph, key):
    bucket = ceph.bucket()
    path = f"/{bucket}/" + urllib.parse.quote(key, safe="/-._~")
    content = f"content of {key}".encode()
    status, body = ask(ceph, "PUT", presigned(ceph, "PUT", path), body=content)
    assert status == 200, body
    assert ceph.client().get_object(Bucket=bucket, Key=key)["Body"].read() == content
    assert ask(ceph, "GET", presigned(ceph, "GET", path)) == (200, content)
    extra = presigned(ceph, "GET", path, query="response-content-type=text%2Fx%20y")
    assert ask(ceph, "GET", extra) == (200, content)


def test_ceph_refuses_what_was_signed_for_something_else(ceph):
    bucket = ceph.bucket()
    ceph.client().put_object(Bucket=bucket, Key="key", Body=b"content")
    path = f"/{bucket}/key"
    assert ask(ceph, "GET", presigned(ceph, "GET", path)) == (200, b"content")
    ceph.client().put_object(Bucket=bucket, Key="other", Body=b"content")
    other = presigned(ceph, "GET", path).replace("/key?", "/other?")
    assert ask(ceph, "GET", other)[0] == 403
    assert ask(ceph, "PUT", presigned(ceph, "GET", path), body=b"x")[0] == 403
    old = presigned(ceph, "GET", path, unix_ms=int((time.time() - 600) * 1000))
    assert ask(ceph, "GET", old)[0] == 403
    wrong = presigned(ceph, "GET", path, secret_key=ceph.secret_key + "x")
    assert ask(ceph, "GET", wrong)[0] == 403
    ranged = presigned(ceph, "GET", path, headers=[["Range", "bytes=0-2"]])
    assert ask(ceph, "GET", ranged, {"Range": "bytes=0-2"}) == (206, b"con")
    assert ask(ceph, "GET", ranged, {"Range": "bytes=0-3"})[0] == 403


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:12])
def test_ceph_accepts_signed_headers(ceph, key):
    bucket = ceph.bucket()
    path = f"/{bucket}/" + urllib.parse.quote(key, safe="/-._~")
    # No lone tab: AWS's signers make it a space, Ceph leaves it.
    headers = [["x-amz-meta-job", " a  b; c "], ["Content-Type", "text/plain"]]
    content = "content"
    rq = for_ceph(ceph, "PUT", path, headers=headers, body=content, content_sha256=True)
    (answer,) = sign([rq])
    sent = dict(headers) | {
        "x-amz-date": answer["amz_date"],
        "x-amz-content-sha256": answer["canonical_request"].rsplit("\n", 1)[1],
        "Authorization": answer["authorization"],
    }
    status, body = ask(ceph, "PUT", path, sent, content.encode())
    assert status == 200, body
    assert ask(ceph, "PUT", path, sent, b"CONTENT")[0] == 400, "another body under the same hash"
    assert ceph.client().get_object(Bucket=bucket, Key=key)["Body"].read() == content.encode()


def test_ceph_accepts_a_signed_query(ceph):
    bucket = ceph.bucket()
    for key in ("a b/1", "a+b/2", "c"):
        ceph.client().put_object(Bucket=bucket, Key=key, Body=b"")
    query = "prefix=a%20b%2F&list-type=2&delimiter=%2f&max-keys=10&fetch-owner="
    more = {"query": query, "body": "", "content_sha256": True}
    (answer,) = sign([for_ceph(ceph, "GET", f"/{bucket}", **more)])
    sent = {
        "x-amz-date": answer["amz_date"],
        "x-amz-content-sha256": EMPTY_HASH,
        "Authorization": answer["authorization"],
    }
    status, body = ask(ceph, "GET", f"/{bucket}?{query}", sent)
    assert status == 200, body
    assert b"<Key>a b/1</Key>" in body and b"a+b" not in body
