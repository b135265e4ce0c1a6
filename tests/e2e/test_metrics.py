# SPDX-License-Identifier: Apache-2.0
"""/metrics of a running daemon as Prometheus' own client reads it, /api/status, and what
docs/monitoring.md says of both."""

import re

from prometheus_client.parser import text_string_to_metric_families

from programs import ROOT
from stores import directory  # noqa: F401

DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()


def section(title):
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.S | re.M)
    assert found, f"docs/monitoring.md has no section {title}"
    return found.group(1)


def rows(text):
    """The cells of each row of its tables, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def read(daemon):
    answer = daemon.session.get(daemon.admin + "/metrics", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return list(text_string_to_metric_families(answer.text))


def values(daemon):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in read(daemon)
        for sample in family.samples
    }


def full_name(family):
    """The parser takes _total off a counter's name."""
    return family.name + ("_total" if family.type == "counter" else "")


def test_documented(serve, sim, directory):  # noqa: F811
    told = {full_name(family): family for family in read(serve(directory.to, sim=sim()))}
    written = {}
    for name, kind, *_ in rows(section("Metrics")):
        base, labels = re.fullmatch(r"`(\w+)(?:\{(\w+)\})?`", name).groups()
        assert base not in written, f"{base} stands there twice"
        written[base] = (kind, labels)
    assert sorted(told) == sorted(written)
    for name, family in told.items():
        kind, label = written[name]
        assert family.type == kind and family.documentation.endswith("."), name
        for sample in family.samples:
            assert list(sample.labels) == ([label] if label else []), name


def test_values_follow_what_happens(serve, sim, directory):  # noqa: F811
    s = sim("--generate", "3", "--size", "1000")
    d = serve(directory.to, sim=s)
    before = values(d)
    assert before["egress_jobs", "stored"] == 0
    assert ("egress_stored_seconds_to_expiry_min",) not in before
    for job in s.ids():
        d.webhook(job)
    d.webhook(data="no json")
    d.wait_jobs(stored=3)
    d.webhook(s.ids()[0])
    now = values(d)
    assert now["egress_jobs", "stored"] == 3
    assert now["egress_transfers_total", "stored"] == 3
    assert now["egress_transferred_bytes_total",] == 3000
    assert now["egress_webhooks_total", "accepted"] == 4
    assert now["egress_webhooks_total", "rejected"] == 1
    assert now["egress_webhooks_known_total",] == 1
    assert now["egress_stored_seconds_to_expiry_min",] > 0
    assert now["egress_process_resident_memory_bytes",] > 1 << 20
    for name, value in before.items():
        if name[0].endswith("_total"):
            assert now[name] >= value, name
    d.api("POST", "/api/pause", json={}).raise_for_status()
    assert values(d)["egress_paused",] == 1


def members(value, name=""):
    """"jobs.stored", "running[].id": the names of all that has a value."""
    if isinstance(value, dict):
        return [one for key, below in value.items() for one in members(below, f"{name}.{key}")]
    if isinstance(value, list):
        return [one for below in value for one in members(below, f"{name}[]")]
    return [name.lstrip(".")]


def test_members_of_the_status_are_documented(serve, sim, directory):  # noqa: F811
    slow = "GET /v1/jobs/{id}/output:slow=1000@#2"
    s = sim("--generate", "2", "--size", "200K", "--fault", slow)
    d = serve(directory.to, "--source", "output", "--concurrency", 1, sim=s)
    for job in s.ids():
        d.webhook(job)
    d.wait_jobs(stored=1, running=1)
    told = set(members(d.status()))
    assert "running[].id" in told and "throughput.slots[].began" in told
    written = [name.strip("`") for name, *_ in rows(section("status --json"))]
    assert sorted(written) == sorted(told)
