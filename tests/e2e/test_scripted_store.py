# SPDX-License-Identifier: Apache-2.0
"""What a store may say that no real one can be brought to say here."""

import hashlib
import http.server
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from datetime import datetime

import pytest
from scripted_s3 import HEAD, Answer, Object, ScriptedS3, error

MIB = 1 << 20
SMALL = 1000
LARGE = 8 * MIB + 1  # two parts


@pytest.fixture
def store():
    store = ScriptedS3()
    yield store
    store.stop()


class Case:
    """One job of that size, to be stored under the key k."""

    def __init__(self, egress, sim, store, size):
        self.egress, self.store = egress, store
        self.sim = sim("--generate", 1, "--size", size)
        (self.job,) = self.sim.ids()

    def fetch(self, *flags, **kwargs):
        to = ["--to", self.store.to, "--key", "k"]
        return self.egress("fetch", *to, *flags, self.job, sim=self.sim, s3=self.store, **kwargs)

    def stored(self, r):
        r.ok()
        body = self.store.objects["k"].body
        assert hashlib.sha256(body).hexdigest() == self.sim.digest(self.job)
        assert self.store.uploads == {}

    def refused(self, r, status, *says):
        assert r.returncode == status, r
        for text in says:
            assert text in r.stderr, r
        assert len(r.stderr.splitlines()) == 1, r
        assert self.store.uploads == {}


@pytest.fixture
def small(egress, sim, store):
    return Case(egress, sim, store, SMALL)


@pytest.fixture
def large(egress, sim, store):
    return Case(egress, sim, store, LARGE)


# ---- CompleteMultipartUpload -------------------------------------------------------------------


@pytest.mark.parametrize("code", ["InternalError", "SlowDown", "ServiceUnavailable"])
def test_error_inside_a_200_that_passes(large, code):
    large.store.say("CompleteMultipartUpload", Answer(200, error(code)), times=2)
    large.stored(large.fetch())
    assert large.store.count("CompleteMultipartUpload") == 3


def test_error_inside_a_200_that_stays(large):
    large.store.say("CompleteMultipartUpload", Answer(200, error("InternalError")), times=50)
    large.refused(large.fetch(), 1, "InternalError")
    assert large.store.count("CompleteMultipartUpload") < 10
    assert "k" not in large.store.objects


def test_error_inside_a_200_that_no_retry_mends(large):
    large.store.say("CompleteMultipartUpload", Answer(200, error("AccessDenied")), times=50)
    large.refused(large.fetch(), 3, "AccessDenied", "s3:PutObject")
    assert large.store.count("CompleteMultipartUpload") == 1


def test_error_inside_a_200_after_all_was_stored(large):
    """The answer says no, the second says there is no such upload: the object is there."""
    said = Answer(200, error("InternalError"), instead=False)
    large.store.say("CompleteMultipartUpload", said)
    large.stored(large.fetch())


def test_conflict_inside_a_200(large):
    large.store.say("CompleteMultipartUpload", Answer(200, error("PreconditionFailed")))
    r = large.fetch()
    assert r.returncode in (1, 4), r
    assert large.store.uploads == {}


def test_answer_that_comes_late_with_blanks(large):
    """S3 sends white space to keep the connection while it works."""

    def pieces():
        for _ in range(8):
            time.sleep(0.3)
            yield b" "
        yield large.store.completed(large.store.objects["k"].etag).body

    said = Answer(200, headers={"Content-Type": "application/xml"}, instead=False, pieces=pieces())
    large.store.say("CompleteMultipartUpload", said)
    large.stored(large.fetch("--read-timeout", "1s"))
    assert large.store.count("CompleteMultipartUpload") == 1


# ---- another write is under way ----------------------------------------------------------------

CONFLICTS = ["ConditionalRequestConflict", "OperationAborted"]


@pytest.mark.parametrize("status", [409, 200])
@pytest.mark.parametrize("code", CONFLICTS)
def test_conflict_on_complete_begins_a_new_upload(large, code, status):
    """The upload is spent; every part has to be sent again."""
    large.store.say("CompleteMultipartUpload", Answer(status, error(code)))
    large.stored(large.fetch())
    assert large.store.count("CreateMultipartUpload") == 2
    assert large.store.count("UploadPart") == 4
    assert large.store.count("ListMultipartUploads") == 0


def test_conflict_on_complete_that_stays(large):
    large.store.say("CompleteMultipartUpload", Answer(409, error(CONFLICTS[0])), times=50)
    r = large.fetch()
    assert r.returncode == 1 and "another write" in r.stderr, r
    assert large.store.count("CreateMultipartUpload") == 3
    assert large.store.uploads == {} and "k" not in large.store.objects


def test_conflict_on_complete_with_our_own(large):
    """A completion whose answer got lost is still at work when it is repeated."""
    said = Answer(409, error(CONFLICTS[0]), instead=False)
    large.store.say("CompleteMultipartUpload", said)
    large.stored(large.fetch())
    assert large.store.count("CreateMultipartUpload") == 1


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_conflict_that_another_job_wins(egress, sim, store, size):
    case = Case(egress, sim, store, size)
    call = "PutObject" if size == SMALL else "CompleteMultipartUpload"

    def other():
        meta = {"x-amz-meta-egress-source": "voxel51", "x-amz-meta-egress-job": "another"}
        store.objects["k"] = Object(b"theirs", meta)
        return Answer(409, error(CONFLICTS[0]))

    store.say(call, other)
    r = case.fetch()
    assert r.returncode == 4 and "another" in r.stderr, r
    assert store.objects["k"].body == b"theirs" and store.uploads == {}


@pytest.mark.parametrize("code", CONFLICTS)
def test_conflict_on_put_is_tried_again(small, code):
    small.store.say("PutObject", Answer(409, error(code)), times=2)
    small.stored(small.fetch())
    assert small.store.count("PutObject") == 2 + 1 + 1  # the receipt's too


def test_conflict_on_put_that_stays(small):
    small.store.say("PutObject", Answer(409, error(CONFLICTS[0])), times=50)
    small.refused(small.fetch(), 1, "another write")
    assert small.store.count("PutObject") == 5


# ---- answers that lack something ---------------------------------------------------------------


def test_part_without_etag(large):
    large.store.say("UploadPart", Answer(200), times=50)
    large.refused(large.fetch(), 1, "ETag")
    assert "k" not in large.store.objects


def test_create_without_id(large):
    result = "InitiateMultipartUploadResult"
    said = Answer(200, f"{HEAD}<{result}><Bucket>scripted</Bucket></{result}>")
    large.store.say("CreateMultipartUpload", said, times=50)
    large.refused(large.fetch(), 1, "CreateMultipartUpload")


def test_complete_without_etag(large):
    result = "CompleteMultipartUploadResult"
    said = Answer(200, f"{HEAD}<{result}/>", instead=False)
    large.store.say("CompleteMultipartUpload", said)
    large.stored(large.fetch())


def test_messages_are_printable_and_short(small):
    message = "tab\t two\nlines\x7f &lt;script&gt; &#x9b;31m" + "x" * 5000
    small.store.say("PutObject", Answer(400, error("Odd", message)))
    r = small.fetch("--log-format", "human")
    small.refused(r, 4, "Odd")
    assert all(len(line) < 1200 and line.isprintable() for line in r.stderr.splitlines()), r


# ---- too much of anything ----------------------------------------------------------------------


def peak_mib(run):
    """Highest memory that the process has had so far."""
    with open(f"/proc/{run.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10


def watch(run):
    """Its result and its peak memory."""
    peak = 0
    while run.process.poll() is None:
        try:
            peak = max(peak, peak_mib(run))
        except (OSError, StopIteration):
            break
        time.sleep(0.02)
    return run.wait(), peak


def endless():
    while True:
        yield b"<a>endless</a>" * 5000


@pytest.mark.parametrize("status", [200, 404, 503])
@pytest.mark.parametrize("call", ["GetReceipt", "PutObject"])
def test_endless_body(egress, sim, store, status, call):
    s = sim("--generate", 1, "--size", SMALL)
    said = [Answer(status, pieces=endless()) for _ in range(50)]
    store.say(call, *said)
    run = egress.start("fetch", "--to", store.to, *s.ids(), sim=s, s3=store)
    r, peak = watch(run)
    assert r.returncode == (3 if status == 404 else 1), r
    assert r.seconds < 60
    if "san-" not in os.environ.get("EGRESS_BIN", ""):
        assert peak < 100


def test_ten_megabytes_of_headers(small):
    headers = {f"x-{i}": "v" * 8000 for i in range(1300)}
    small.store.say("PutObject", *[Answer(200, headers=headers) for _ in range(50)])
    r = small.fetch(timeout=60)
    assert r.returncode in (0, 1), r  # the look at the object finds it, or it is not there
    assert "k" not in small.store.objects and r.returncode == 1, r


# ---- the bucket is elsewhere -------------------------------------------------------------------


def test_region_that_leads_nowhere(small):
    """It always says another one: no chase, one clear error."""
    answers = []
    for i in range(50):
        more = f"<Region>nowhere-{i}</Region>"
        answers.append(Answer(301, error("PermanentRedirect", more=more)))
    small.store.say("PutObject", *answers)
    small.refused(small.fetch(), 3, "nowhere-")
    assert small.store.count("PutObject") <= 3


def test_region_not_told(small):
    small.store.say("PutObject", Answer(301, error("PermanentRedirect")), times=50)
    small.refused(small.fetch(), 3, "--region")


@pytest.mark.parametrize("flags", [[], ["--receipts", "off"]])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_region_is_followed_once(egress, sim, store, size, flags):
    """Without receipts a HEAD comes first: it has the header only."""
    case = Case(egress, sim, store, size)
    store.bucket_region = "eu-west-1"
    case.stored(case.fetch(*flags))
    regions = [headers["Authorization"].split("/")[2] for _, _, headers in store.calls]
    assert regions.count("us-east-1") == 1
    assert set(regions) == {"us-east-1", "eu-west-1"}


def test_region_by_the_other_refusals(small):
    more = "<Region>eu-west-1</Region>"
    said = Answer(400, error("AuthorizationHeaderMalformed", more=more))
    small.store.say("PutObject", said)
    small.stored(small.fetch())
    del small.store.objects["k"]
    small.store.say("HeadObject", Answer(400, headers={"x-amz-bucket-region": "eu-west-1"}))
    small.stored(small.fetch("--receipts", "off"))


@pytest.mark.parametrize("region", ["evil.example/", "eu west", "a" * 64, "us-east-1"])
def test_region_that_is_none(small, region):
    said = Answer(301, error("PermanentRedirect", more=f"<Region>{region}</Region>"))
    small.store.say("PutObject", said, times=50)
    small.refused(small.fetch(), 3, "--endpoint-url" if region == "us-east-1" else "--region")
    assert small.store.count("PutObject") == 1


def test_region_of_a_new_bucket(small):
    """Until all of S3 knows where it is, AWS answers 307."""
    region = {"x-amz-bucket-region": "eu-west-3"}
    small.store.say("PutObject", Answer(307, error("TemporaryRedirect"), region))
    small.stored(small.fetch())
    puts = [headers for name, _, headers in small.store.calls if name == "PutObject"]
    signed = ["/eu-west-3/" in headers["Authorization"] for headers in puts]
    assert signed == [False, True, True]  # the last one is the receipt


class Tunnel:
    """A proxy whose CONNECT always ends at one server. `asked` has the hosts."""

    def __init__(self, port):
        self.asked = []
        tunnel = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                tunnel.asked.append(self.rfile.readline().decode().split()[1])
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(b"HTTP/1.1 200 Fine\r\n\r\n")
                with socket.create_connection(("127.0.0.1", port)) as server:
                    args = (server, self.connection)
                    threading.Thread(target=self.pump, args=args, daemon=True).start()
                    self.pump(self.connection, server)

            @staticmethod
            def pump(source, to):
                try:
                    while chunk := source.recv(65536):
                        to.sendall(chunk)
                    to.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def test_region_of_aws_is_gone_to(egress, sim, store, tmp_path):
    """Without an endpoint of one's own: from one region's host to the other's, and nowhere else."""
    names = "DNS:*.s3.us-east-1.amazonaws.com,DNS:*.s3.eu-west-1.amazonaws.com"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=egress test", "-addext", f"subjectAltName={names}",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    store.server.socket = context.wrap_socket(store.server.socket, server_side=True)
    store.virtual = True
    store.bucket_region = "eu-west-1"
    s = sim("--generate", 2, "--size", LARGE)
    tunnel = Tunnel(store.server.server_port)
    env = {**store.env, "https_proxy": tunnel.url, "AWS_CA_BUNDLE": tmp_path / "ca.pem"}
    try:
        egress("fetch", "--to", store.to, *s.ids(), sim=s, env=env).ok()
    finally:
        tunnel.stop()
    assert set(tunnel.asked) == {
        f"scripted.s3.{region}.amazonaws.com:443" for region in ("us-east-1", "eu-west-1")
    }
    assert len(store.objects) == 4 and store.uploads == {}
    moved = [headers["Host"] for _, _, headers in store.calls if "eu-west-1" in headers["Host"]]
    assert len(moved) > len(store.calls) - 3


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_signed_requests_go_to_no_other_host(small, status):
    seen = []

    class Other(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            seen.append(self.headers)
            self.send_response(200)
            self.end_headers()

        do_GET = do_HEAD = do_PUT

        def log_message(self, *args):
            pass

    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    try:
        location = {"Location": f"http://127.0.0.1:{other.server_port}/scripted/k"}
        small.store.say("PutObject", *[Answer(status, error("TemporaryRedirect"), location)] * 50)
        assert small.fetch().returncode != 0
        assert seen == []
    finally:
        other.shutdown()
        other.server_close()


# ---- stores that lack something: the setting that does without is named, and does --------------

MANY_PARTS = 40 * MIB


@pytest.fixture
def stream(egress, sim, store):
    """A job whose length is not told, of parts that grow if they may: --max-parts 20."""
    case = Case(egress, sim, store, MANY_PARTS)
    case.sim = sim("--generate", 1, "--size", MANY_PARTS, "--set", "framing=chunked")
    (case.job,) = case.sim.ids()
    return case


def test_store_that_wants_equal_parts(stream):
    stream.store.equal_parts = True
    few = ["--max-parts", "20"]
    stream.refused(stream.fetch(*few), 3, "--part-layout uniform", "same length")
    stream.stored(stream.fetch(*few, "--part-layout", "uniform"))
    assert stream.store.objects["k"].part_sizes == [16 * MIB, 16 * MIB, 8 * MIB]


def test_equal_parts_of_known_length(egress, sim, store):
    case = Case(egress, sim, store, MANY_PARTS)
    store.equal_parts = True
    case.stored(case.fetch("--part-layout", "uniform"))
    assert store.objects["k"].part_sizes == 5 * [8 * MIB]


def test_store_that_takes_fewer_parts(egress, sim, store):
    case = Case(egress, sim, store, MANY_PARTS)
    store.parts_max = 3
    case.refused(case.fetch(), 3, "--max-parts", "between 1 and 3")
    case.stored(case.fetch("--max-parts", "3"))
    assert store.objects["k"].part_sizes == [14 * MIB, 14 * MIB, 12 * MIB]


def test_verify_without_checksums(egress, small):
    small.store.takes_checksums = False
    small.stored(small.fetch("--checksum", "none"))
    quick = ["verify", "--to", small.store.to, "--quick"]
    r = egress(*quick, s3=small.store)
    assert r.returncode == 3 and "needs --checksum none" in r.stdout, r
    egress(*quick, "--checksum", "none", s3=small.store).ok()


def conditions_sent(store):
    sent = [name.lower() for _, _, headers in store.calls for name in headers]
    return {"if-match", "if-none-match"} & set(sent)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_store_that_refuses_conditions(egress, sim, store, size):
    case = Case(egress, sim, store, size)
    store.conditions = "refused"
    case.refused(case.fetch(), 3, "--conditional-writes off", "NotImplemented")
    assert "if-none-match" in conditions_sent(store) and "k" not in store.objects
    store.calls.clear()
    off = ["--conditional-writes", "off"]
    case.stored(case.fetch(*off))
    case.stored(case.fetch(*off, "--force"))
    case.stored(case.fetch(*off, "--receipts", "off"))
    assert conditions_sent(store) == set()
    names = [name for name, key, _ in store.calls if key == "k"]
    assert names[names.index("CompleteMultipartUpload" if size == LARGE else "PutObject") - 1] == (
        "HeadObject"
    )


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("conditions", ["refused", "ignored"])
def test_without_conditions_what_is_there_stays(egress, sim, store, size, conditions):
    case = Case(egress, sim, store, size)
    store.conditions = conditions
    store.objects["k"] = Object(b"theirs", {})
    case.refused(case.fetch("--conditional-writes", "off"), 4, "s3://scripted/k exists")
    assert store.objects["k"].body == b"theirs"


@pytest.mark.parametrize("flags", [[], ["--force"]])
def test_conditions_ignored_at_completion(egress, sim, store, flags):
    """The key is taken while the parts are sent; the look before the end sees it."""
    store.conditions = "ignored"
    case = Case(egress, sim, store, LARGE)
    if flags:
        case.stored(case.fetch())
    case.sim = sim("--generate", 1, "--size", LARGE, "--set", "body_rate=6M")
    (case.job,) = case.sim.ids()
    to = ["--to", store.to, "--key", "k", *flags]
    run = egress.start("fetch", *to, case.job, sim=case.sim, s3=store)
    deadline = time.monotonic() + 30
    while not store.uploads:
        assert run.process.poll() is None and time.monotonic() < deadline, run.result()
        time.sleep(0.01)
    store.objects["k"] = Object(b"theirs", {})
    # With --force another try may do: it will see what is there now.
    case.refused(run.wait(), 1 if flags else 4)
    assert store.objects["k"].body == b"theirs"


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("receipts", ["on", "off"])
def test_store_that_refuses_checksums(egress, sim, store, size, receipts):
    case = Case(egress, sim, store, size)
    store.takes_checksums = False
    flags = ["--receipts", receipts]
    case.refused(case.fetch(*flags), 3, "--checksum none")
    case.stored(case.fetch(*flags, "--checksum", "none"))


# ---- clocks ------------------------------------------------------------------------------------


def test_clock_that_cannot_be_learned(small):
    """The Date is the one that we have: there is nothing to correct."""
    small.store.say("PutObject", Answer(403, error("RequestTimeTooSkewed")), times=50)
    small.refused(small.fetch(), 3, "clock")
    assert small.store.count("PutObject") <= 3


@pytest.mark.parametrize("flags", [[], ["--receipts", "off"]])
@pytest.mark.parametrize("hours", [-2, 3])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_clock_skew_is_learned_once(egress, sim, store, hours, size, flags):
    """Without receipts a HEAD comes first: it is refused without a reason."""
    case = Case(egress, sim, store, size)
    store.clock_offset_s = hours * 3600
    began_s = time.time()
    r = case.fetch(*flags)
    case.stored(r)
    assert r.stderr.count("set the clock right") == 1, r
    dates = [
        datetime.strptime(headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
        for _, _, headers in store.calls
    ]
    assert len([date for date in dates if abs(date - began_s) < 3000]) == 1, dates


def test_clock_is_not_blamed_for_a_bad_signature(small):
    small.store.clock_offset_s = 600  # as much as S3 puts up with
    small.store.say("PutObject", Answer(403, error("SignatureDoesNotMatch")), times=50)
    small.refused(small.fetch(), 3, "secret access key")
    assert small.store.count("PutObject") == 1


# ---- an upload that was begun, and whose id got lost -------------------------------------------


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_uploads_are_not_listed_for_nothing(egress, sim, store, size):
    case = Case(egress, sim, store, size)
    case.stored(case.fetch())
    assert store.count("ListMultipartUploads") == 0 and store.count("ListParts") == 0
