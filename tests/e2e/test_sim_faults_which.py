# SPDX-License-Identifier: Apache-2.0
"""The simulator's faults: those of webhooks, which requests have them, what is counted, and what the
command line takes."""

import http.client
import http.server
import json
import pathlib
import re
import subprocess
import threading
import time

import pytest

from programs import SIM
from sim_raw import OUTPUT, SIGNED, DETAILS, LIST, STATUS_ALL, Raw, start, faults, threads


# ---- webhooks ----------------------------------------------------------------------------------


class Receiver:
    """Takes webhooks: ids in the order they came, with the time of each."""

    def __init__(self):
        receiver = self
        receiver.came = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.came.append((json.loads(body)["id"], time.monotonic()))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, n):
        deadline = time.monotonic() + 30
        while len(self.came) < n:
            assert time.monotonic() < deadline, f"{len(self.came)} of {n}"
            time.sleep(0.01)
        return [job for job, _ in self.came]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


RUNNING = ("--set", "running_ms=100", "--state", "RUNNING", "--size", "1")


def test_webhook_faults(sim, receiver):
    began = time.monotonic()
    s = sim("--generate", "6", *RUNNING, "--webhook", receiver.url,
            "--set", "webhook_retry_ms=300", "--fault", "WEBHOOK:latency=3s@#1",
            "--fault", "WEBHOOK:drop@#2", "--fault", "WEBHOOK:duplicate=3@#3",
            "--fault", "WEBHOOK:duplicate@#4")
    ids = s.ids()
    order = receiver.wait(8)
    assert {job: order.count(job) for job in order} == {
        ids[0]: 1, ids[2]: 3, ids[3]: 2, ids[4]: 1, ids[5]: 1
    }
    assert order[-1] == ids[0]  # overtaken by all others
    last = dict(receiver.came)
    assert last[ids[0]] - began >= 3 and last[ids[2]] - began >= 2 * 0.3
    assert s.stats()["faults"] == {"WEBHOOK": {"latency": 1, "drop": 1, "duplicate": 2}}
    assert s.stats()["webhooks_sent"] == 8


def test_webhook_faults_by_percentage(sim, tmp_path):
    lost = []
    for i in range(2):
        where = tmp_path / str(i)
        where.mkdir()
        s = sim("--generate", "400", *RUNNING, "--webhook-dir", where, "--seed", "4",
                "--fault", "WEBHOOK:drop@25")
        deadline = time.monotonic() + 30
        while (stats := s.stats())["webhooks_sent"] + sum(
            stats["faults"].get("WEBHOOK", {"drop": 0}).values()) < 400:
            assert time.monotonic() < deadline, stats
            time.sleep(0.02)
        lost.append(sorted(set(s.ids()) - {path.stem for path in where.glob("*.json")}))
        assert stats["faults"]["WEBHOOK"]["drop"] == len(lost[-1])
    assert lost[0] == lost[1] and 60 <= len(lost[0]) <= 140


# ---- which requests ----------------------------------------------------------------------------


def statuses(s, path, n, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=30)
    got = []
    for _ in range(n):
        connection.request(method, path, headers={"Authorization": f"Bearer {s.token}"})
        answer = connection.getresponse()
        answer.read()
        got.append(answer.status)
    connection.close()
    return got


def test_follows_from_the_seed(sim):
    def run(seed, *more):
        s = start(sim, "*:status=500@30", *more, options=["--seed", seed])
        return statuses(s, s.details_path, 300), statuses(s, "/v1/status/all", 300)

    first = run("1")
    assert run("1") == first
    assert run("2")[0] != first[0]
    assert first[0] != first[1]  # each route for itself
    # A fault that comes after it leaves its share alone.
    with_more = run("1", "*:status=429@30")
    assert [s if s == 500 else 200 for s in with_more[0]] == first[0]
    assert 429 in with_more[0] and 200 in with_more[0]


def test_percentages(sim):
    n = 4000
    s = start(sim, f"{STATUS_ALL}:status=500@5", f"{STATUS_ALL}:status=503@0.5%",
              f"{STATUS_ALL}:html=504@50", "*:status=429@0")
    got = statuses(s, "/v1/status/all", n)
    share = {code: got.count(code) * 100 / n for code in (200, 429, 500, 503, 504)}
    assert 3.5 < share[500] < 6.5
    assert 0.1 < share[503] < 1.2
    assert 46 < share[504] < 54
    assert share[429] == 0
    assert faults(s) == {
        STATUS_ALL: {"status": got.count(500) + got.count(503), "html": got.count(504)}
    }


def test_by_number(sim):
    s = start(sim, f"{STATUS_ALL}:status=500@#2", f"{STATUS_ALL}:status=503@#4..5",
              f"{STATUS_ALL}:status=429@#7..")
    assert statuses(s, "/v1/status/all", 9) == [200, 500, 200, 503, 503, 200, 429, 429, 429]
    # HEAD has a count of its own, and so has every route.
    assert statuses(s, "/v1/status/all", 3, "HEAD") == [200] * 3
    assert statuses(s, s.details_path, 3) == [200] * 3
    s = start(sim, "HEAD /v1/status/all:status=500@#1")
    assert statuses(s, "/v1/status/all", 1) == [200]
    assert statuses(s, "/v1/status/all", 2, "HEAD") == [500, 200]


def test_a_hundred_per_cent(sim):
    s = start(sim, "*:status=500@100")
    assert set(statuses(s, s.details_path, 200)) == {500}
    assert s.stats()["faults"] == {DETAILS: {"status": 200}}
    assert s.session.get(s.url + "/nowhere", timeout=10).status_code == 404


def test_many_at_once(sim):
    """Every kind on every route, 16 clients: the simulator stays up and its counters add up."""
    kinds = ["latency=5ms", "status=503,1", "html", "broken_json", "garbage", "headers=20K",
             "redirect=loop", "drop", "reset", "truncate", "stall=5ms", "slow=1M", "changed",
             "expire=cut"]
    s = start(sim, *[f"*:{kind}@5" for kind in kinds], options=["--seed", "3"], n=20, size="20K")
    ended = []

    def client(k):
        for i in range(30):
            job = s.all[(k + i) % len(s.all)]
            path = [f"/v1/jobs/{job}", f"/v1/jobs/{job}/output", "/v1/jobs/list"][i % 3]
            ended.append(Raw(s, path).how)

    threads = [threading.Thread(target=client, args=(k,)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = s.stats()
    assert len(ended) == stats["total"] == 480
    happened = {kind for route in stats["faults"].values() for kind in route}
    assert happened == {kind.partition("=")[0] for kind in kinds} - {"expire"}
    n = sum(sum(route.values()) for route in stats["faults"].values())
    assert 480 * 0.5 < n < 480 * 0.8
    assert ended.count("reset") == sum(r.get("reset", 0) for r in stats["faults"].values())
    assert s.stop().returncode == 0


# ---- the command line --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault, said",
    [
        ("", "expected ROUTE:KIND[=VALUE]@WHEN"),
        ("*", "expected ROUTE:KIND[=VALUE]@WHEN"),
        ("*:reset", "expected ROUTE:KIND[=VALUE]@WHEN"),
        ("reset@5", "expected ROUTE:KIND[=VALUE]@WHEN"),
        ("*:@5", '"" is not a kind of fault'),
        ("*:explode@5", '"explode" is not a kind of fault'),
        (":reset@5", '"" is not a route'),
        ("GET /v1/job:reset@5", '"GET /v1/job" is not a route'),
        ("GET /sim/stats:reset@5", "is not a route"),
        ("HEAD /v1/jobs/batch:reset@5", "is not a route"),
        ("PATCH /v1/jobs/batch:reset@5", "is not a route"),
        ("*:status@5", "status= is not allowed; expected 400..599"),
        ("*:status=@5", "expected 400..599"),
        ("*:status=200@5", "status=200 is not allowed"),
        ("*:status=503,@5", "status=503, is not allowed"),
        ("*:status=503,x@5", "status=503,x is not allowed"),
        ("*:html=100@5", "expected 200..599"),
        ("*:html=@5", "expected 200..599"),
        ("*:latency=fast@5", "expected a time such as"),
        ("*:latency@5", "expected a time such as"),
        ("*:reset=-1@5", "expected bytes such as"),
        ("*:slow@5", "expected bytes such as"),
        ("*:slow=0@5", "slow=0 is not allowed"),
        ("*:drop=1@5", "drop=1 is not allowed; expected nothing"),
        ("*:garbage=much@5", "expected bytes|header|length|chunk"),
        ("*:redirect@5", "expected loop|host|http|loopback, or a URL"),
        ("*:redirect=ftp://x@5", "expected loop|host|http|loopback, or a URL"),
        ("*:redirect=http://a b@5", "expected loop|host|http|loopback, or a URL"),
        ("*:expire=soon@5", "expected later|now|cut"),
        ("WEBHOOK:reset@5", "reset does not happen to WEBHOOK"),
        ("WEBHOOK:duplicate=0@5", "expected 1..1000"),
        ("*:duplicate@5", "duplicate does not happen to *"),
        (f"{DETAILS}:changed@5", "changed does not happen to GET /v1/jobs/{id}"),
        (f"{OUTPUT}:expire@5", "expire does not happen to"),
        (f"{OUTPUT}:broken_json@5", "broken_json does not happen to"),
        ("*:drop@", "@ is not allowed; expected a percentage"),
        ("*:drop@-1", "@-1 is not allowed"),
        ("*:drop@100.1", "@100.1 is not allowed"),
        ("*:drop@1e1", "@1e1 is not allowed"),
        ("*:drop@5%%", "@5%% is not allowed"),
        ("*:drop@.", "@. is not allowed"),
        ("*:drop@1.2.3", "@1.2.3 is not allowed"),
        ("*:drop@nan", "@nan is not allowed"),
        ("*:drop@#0", "@#0 is not allowed"),
        ("*:drop@#", "@# is not allowed"),
        ("*:drop@#3..2", "@#3..2 is not allowed"),
        ("*:drop@#1..2..3", "@#1..2..3 is not allowed"),
        ("*:drop@#99999999999999999999", "is not allowed"),
        ("*:drop@" + "5" * 2000, "longer than 1023 bytes"),
    ],
)
def test_refused(fault, said):
    done = subprocess.run([SIM, "--fault", fault], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert said in done.stderr and "--fault" in done.stderr and done.stderr.count("\n") == 1


def test_refused_together():
    many = ["--fault", "*:drop@60", "--fault", f"{DETAILS}:reset@40.5"]
    done = subprocess.run([SIM, *many], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "percentages of GET /v1/jobs/{id} add up to 100.5; expected 100 at most" in done.stderr
    done = subprocess.run([SIM, *["--fault", "*:drop@1"] * 65], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 2 and "--fault: 64 times at most" in done.stderr
    done = subprocess.run([SIM, "--digest", "x", "--output-version", "-1"], capture_output=True,
                          text=True, timeout=20)
    assert done.returncode == 2 and "expected 0..65535" in done.stderr


def test_help_is_complete(sim):
    text = subprocess.run([SIM, "--help"], capture_output=True, text=True, timeout=20).stdout
    kinds = text.partition("\nKinds of faults\n")[2].partition("\nRoutes")[0]
    names = re.findall(r"^  ([a-z_]+)", kinds, re.M)
    assert len(names) == 16
    here = pathlib.Path(__file__).parent
    tested = "".join(file.read_text() for file in here.glob("test_sim_faults*.py"))
    for name in names:
        assert f":{name}" in tested, f"{name} has no test"
    # Each route that it lists is taken.
    routes = re.findall(r"^  (.*)$", text.partition("\nRoutes")[2], re.M)
    assert {OUTPUT, SIGNED, DETAILS, LIST, STATUS_ALL, "WEBHOOK"} <= set(routes)
    options = [option for route in routes for option in ("--fault", f"{route}:latency=0@5")]
    assert sim(*options).stats()["faults"] == {}
