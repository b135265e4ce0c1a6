# SPDX-License-Identifier: Apache-2.0
"""Answers the admin API in a daemon's place, inside the browser: for what takes days to come about,
or must not. The page itself is the daemon's."""

import copy
import datetime
import json
import math
import urllib.parse

NOW = datetime.datetime(2020, 1, 20, 15, 9, 40, tzinfo=datetime.timezone.utc)


def at(seconds):
    """ISO 8601, seconds from NOW."""
    moment = NOW + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def job(id, state, **members):
    whole = {
        "id": id,
        "state": state,
        "origin": "webhook",
        "received": at(-600),
        "expires": at(2 * 86400),
        "next_try": None,
        "claimed": None,
        "ended": None,
        "attempts": 0,
        "bytes": 0,
        "error": None,
        "objects": None,
    }
    return {**whole, **members}


STATUS = {
    "version": "0.1.0",
    "now": at(0),
    "started": at(-7200),
    "destination": "s3://outputs/platform",
    "platform": "https://api.platform.example",
    "paused": False,
    "draining": False,
    "jobs": {"waiting": 0, "ready": 0, "running": 0, "stored": 0, "failed": 0, "dead": 0},
    "near_expiry": {"jobs": 0, "within_s": 21600},
    "oldest_received": None,
    "soonest_expiry": None,
    "journal": {"bytes": 2621440, "commits": 900, "requests": 2100},
    "transfers": {
        "stored": 0,
        "already_stored": 0,
        "handed_over": 0,
        "failed": 0,
        "later": 0,
        "dead": 0,
        "bytes": 0,
        "least_seconds_to_expiry": None,
    },
    "sync": {"runs": 2, "failed": 0, "repaired": 1, "last": at(-1800), "next": at(1800)},
    "webhooks": {
        "accepted": 0,
        "known": 0,
        "unauthorized": 0,
        "rejected": 0,
        "unavailable": 0,
    },
    "http": {
        "open_connections": 1,
        "connections": 10,
        "requests": 20,
        "refused_connections": 0,
        "timed_out": 0,
        "rate_limited": 0,
        "malformed": 0,
    },
    "process": {"resident_bytes": 31457280, "cpu_ms": 5200, "descriptors": 21, "threads": 9},
    "running": [],
    "throughput": {"slot_s": 10, "slots": []},
}


def refused(name, message):
    return {"status": "rejected", "error": name, "message": message}


class PageApi:
    """.status and .jobs are what it tells, and may be changed at any time; .posts is what it was
    sent. .token: what it wants. .fail: a status, or "abort", for every request whose path begins
    with .fail_path."""

    def __init__(self):
        self.status = copy.deepcopy(STATUS)
        self.jobs = []
        self.history = {}
        self.asked = []  # (path, query as a dictionary)
        self.posts = []  # (path, body, headers)
        self.tokens = []  # as they came
        self.token = None
        self.fail = None
        self.fail_path = "/api/"
        self.held = None  # a list: requests are put into it and not answered

    def install(self, page):
        page.route("**/api/**", self.answer)
        return self

    def count(self):
        """The counts of the status are those of the jobs."""
        for state in self.status["jobs"]:
            self.status["jobs"][state] = sum(one["state"] == state for one in self.jobs)
        return self

    def answer(self, route):
        request = route.request
        url = urllib.parse.urlsplit(request.url)
        if self.held is not None:
            self.held.append(route)
            return
        self.tokens.append(request.headers.get("authorization"))
        if self.fail and url.path.startswith(self.fail_path):
            if self.fail == "abort":
                route.abort("connectionrefused")
            else:
                self.send(route, refused("io", "the journal is not well"), self.fail)
        elif self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            self.send(route, refused("auth", "expected a token"), 401)
        elif request.method == "POST":
            body = json.loads(request.post_data)
            self.posts.append((url.path, body, request.headers))
            self.send(route, self.post(url.path, body))
        else:
            query = dict(urllib.parse.parse_qsl(url.query))
            self.asked.append((url.path, query))
            answer = self.get(url.path, query)
            self.send(route, answer or refused("not_found", "no such job"), 200 if answer else 404)

    @staticmethod
    def send(route, body, status=200):
        route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

    def get(self, path, query):
        if path == "/api/status":
            return self.status
        if path == "/api/jobs":
            return self.list(query)
        id = urllib.parse.unquote(path.removeprefix("/api/jobs/"))
        found = [one for one in self.jobs if one["id"] == id]
        return {"job": found[0], "history": self.history.get(id, [])} if found else None

    def list(self, query):
        fits = [
            one
            for one in self.jobs
            if query.get("state", one["state"]) == one["state"]
            and one["id"].startswith(query.get("prefix", ""))
        ]
        begin, limit = int(query.get("after", 0)), int(query["limit"])
        end = begin + limit
        return {"jobs": fits[begin:end], "next": str(end) if end < len(fits) else None}

    def post(self, path, body):
        if path == "/api/retry":
            wanted = [
                one
                for one in self.jobs
                if one["id"] in body.get("jobs", []) or (body.get("dead") and one["state"] == "dead")
            ]
            for one in wanted:
                one.update(state="ready", error=None, attempts=0)
            self.count()
            return {"retried": len(wanted), "unchanged": 0, "unknown": 0}
        if path == "/api/sync":
            return {"started": True}
        self.status["paused"] = path == "/api/pause"
        return {"paused": self.status["paused"]}


def busy():
    """A daemon in the middle of a day's work: what the picture in the README shows."""
    api = PageApi()
    names = [f"{0x9e3779b9 * (n + 1) & 0xffffffff:08x}-51a1-4948-a827-ce4c31ec53ed" for n in range(90)]
    gib = 1 << 30
    sizes = ((3.4, 0.62), (1.1, 0.31), (0.4, 0.88), (7.9, 0.07))
    for n, (size, part) in enumerate(sizes):
        api.jobs.append(job(names[n], "running", claimed=at(-40 + 9 * n), expires=at(9000 + 40000 * n)))
        api.status["running"].append(
            {
                "id": names[n],
                "started": at(-40 + 9 * n),
                "expires": at(9000 + 40000 * n),
                "received": int(size * part * gib),
                "size": int(size * gib),
                "attempts": n % 2,
                "moving": True,
            }
        )
    for n in range(4, 10):
        api.jobs.append(job(names[n], "ready", received=at(-90 - n), expires=at(86400 + 4000 * n)))
    refused = {"name": "network", "message": "api.platform.example: connection reset by peer"}
    for n in range(10, 12):
        api.jobs.append(
            job(names[n], "waiting", claimed=at(-300), attempts=2, next_try=at(140), error=refused)
        )
    gone = {"name": "expired", "message": "the output has been deleted by the Platform"}
    api.jobs.append(job(names[12], "failed", ended=at(-2000), expires=at(-4000), error=gone))
    for n in range(13, 80):
        key = f"platform/{names[n]}/labels.json"
        api.jobs.append(
            job(
                names[n],
                "stored",
                claimed=at(-60 * n),
                ended=at(-60 * n + 20),
                bytes=(n * 7919 % 977) << 20,
                objects=[
                    {"key": key, "location": f"s3://outputs/{key}", "size": (n * 7919 % 977) << 20}
                ],
            )
        )
    api.count()
    s = api.status
    s["soonest_expiry"] = at(9000)
    s["near_expiry"]["within_s"] = 7200
    s["oldest_received"] = at(-600)
    s["transfers"].update(stored=67, bytes=31 * gib, later=5, failed=1)
    s["webhooks"].update(accepted=82, known=2)
    for n in range(360):
        work = math.sin(n / 23) + 0.6 * math.sin(n / 7) + 0.25 * math.sin(n * 1.7) + 0.3
        if work > 0:
            s["throughput"]["slots"].append(
                {
                    "began": at(-3590 + 10 * n),
                    "bytes": int(work * 6e8),
                    "stored": int(work * 1.5 + n % 3 / 3),
                    "failed": 1 if n in (62, 188) else 0,
                }
            )
    return api
