# SPDX-License-Identifier: Apache-2.0
"""The page on a running `egress serve`, in Chromium: what a person sees and does, and what the
daemon has done then."""

import re

import pytest
from playwright.sync_api import expect

from browser import Browser, Chromium
from programs import ROOT
from stores import directory  # noqa: F401

SOURCES = ROOT / "src" / "report"
SCRIPTS = ("page_text.js", "page_plot.js", "page.js")
FILES = {
    "/": (("page.html",), "html"),
    "/page.css": (("page.css",), "css"),
    "/page.js": (SCRIPTS, "javascript"),
}


@pytest.fixture(scope="module")
def chromium():
    one = Chromium()
    yield one
    one.stop()


@pytest.fixture
def show(chromium):
    """show(daemon, "#job=x") opens its page."""
    browsers = []

    def open_page(daemon, fragment="", **how):
        browsers.append(Browser(chromium, daemon.admin))
        page = browsers[-1].page(**how)
        page.goto(f"{daemon.admin}/{fragment}")
        return page

    yield open_page
    for one in browsers:
        one.finish()


def see(page, selector, text):
    page.locator(selector, has_text=text).first.wait_for()


def tile(n, state):
    return re.compile(rf"^{n}(?: !)?\s*{state}$")


def test_files(serve, sim, directory):  # noqa: F811
    d = serve(directory.to, sim=sim())
    whole = 0
    for path, (names, kind) in FILES.items():
        answer = d.session.get(d.admin + path, timeout=10)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == f"text/{kind}; charset=utf-8"
        lines = b"".join((SOURCES / name).read_bytes() for name in names).split(b"\n")
        assert answer.content == b"\n".join(line.lstrip(b" ") for line in lines)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        whole += len(answer.content)
    assert whole < 40 * 1024
    html = (SOURCES / "page.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/page.js\" defer>)", html)
    for name in ("page.html", "page.css", *SCRIPTS):
        told = re.sub(r"http://www\.w3\.org/2000/svg", "", (SOURCES / name).read_text())
        assert not re.search(r"https?://|@import|url\(|innerHTML|outerHTML|insertAdjacent|eval\(", told)


def test_a_job_from_its_webhook_to_its_place(serve, sim, directory, show):  # noqa: F811
    s = sim("--generate", "1", "--size", "3M", "--fault", "GET /v1/jobs/{id}/output:slow=500000@#1")
    [job] = s.ids()
    d = serve(directory.to, "--source", "output", sim=s)
    page = show(d)
    see(page, "#verdict-text", "Nothing has come in yet")
    assert d.webhook(job).status_code == 200
    see(page, "#running li", re.compile(r"MiB of 3\.0 MiB, \d+ %"))
    see(page, "#running li", "/s")
    assert 0 < page.locator("#running progress").evaluate("bar => bar.position") < 1
    see(page, "#tiles button", tile(1, "stored"))
    see(page, "#verdict-more", "1 job is stored.")
    see(page, "#plot-sum", "3.0 MiB, 1 job stored, 0 failed.")
    page.locator("#rows a", has_text=job).click()
    see(page, "#details-facts", "3.0 MiB (3,145,728 bytes)")
    place = page.locator("#details-objects code").inner_text()
    [key] = directory.object_keys()
    assert place.endswith(key) and job in place
    history = page.locator("#details-history b").all_inner_texts()
    assert history == ["received", "claimed", "stored"]


def test_a_failed_job_is_retried(serve, sim, directory, show):  # noqa: F811
    s = sim("--generate", "1", "--size", "1000")
    [job] = s.ids()
    [key] = [f"{job}/labels.json"]
    directory.put(key, b"another's")
    d = serve(directory.to, sim=s)
    d.webhook(job)
    d.wait_jobs(failed=1)
    page = show(d, "#state=failed")
    page.locator("#rows a", has_text=job).click()
    see(page, "#details-error", "conflict: ")
    directory.delete(key)
    page.get_by_role("button", name="Retry", exact=True).click()
    see(page, "#details-told", "1 job is tried again.")
    see(page, "#details-state", "stored")
    assert directory.object_keys() == [key] and len(directory.get(key)) == 1000


def test_dead_jobs_are_retried(serve, sim, faultproxy, directory, show):  # noqa: F811
    s = sim("--generate", "2", "--size", "1000")
    proxy = faultproxy(s.url, "answer,status=500,path=*/output*")
    d = serve(directory.to, "--max-attempts", 1, sim=proxy.before(s))
    for job in s.ids():
        d.webhook(job)
    page = show(d)
    page.set_default_timeout(100000)
    see(page, "#verdict-text", "2 jobs were given up")
    page.get_by_role("button", name="dead").click()
    page.locator("#rows a").nth(1).wait_for()
    proxy.off()
    page.get_by_role("button", name="Retry all dead").click()
    see(page, "#told", "2 jobs are tried again.")
    see(page, "#verdict-text", "Nothing is about to be lost")
    see(page, "#tiles button", tile(2, "stored"))
    assert len(directory.object_keys()) == 2


def test_search_filter_and_pages(serve, sim, directory, show):  # noqa: F811
    s = sim("--generate", "120", "--size", "10")
    jobs = s.ids()
    d = serve(directory.to, sim=s)
    for job in jobs:
        d.webhook(job)
    d.wait_jobs(stored=120)
    page = show(d)
    seen = []
    for n, rows in ((1, 50), (2, 50), (3, 20)):
        see(page, "#page-number", f"Page {n}")
        expect(page.locator("#rows .row")).to_have_count(rows)
        seen += page.locator("#rows a").all_inner_texts()
        if n < 3:
            page.get_by_role("button", name="Next").click()
    assert sorted(seen) == sorted(jobs)
    assert page.get_by_role("button", name="Next").is_disabled()
    page.get_by_role("searchbox").fill(jobs[7][:9])
    expect(page.locator("#rows .row")).to_have_count(1)
    assert page.locator("#rows a").inner_text() == jobs[7]
    page.get_by_role("button", name="ready").click()
    see(page, "#rows-none", "No ready job has an id that begins with")
    page.get_by_role("button", name="stored").click()
    see(page, "#rows a", jobs[7])


def test_pause_and_resume(serve, sim, directory, show):  # noqa: F811
    s = sim("--generate", "1", "--size", "10")
    d = serve(directory.to, sim=s)
    page = show(d)
    page.get_by_role("button", name="Pause").click()
    see(page, "#verdict-text", "Paused")
    d.webhook(s.ids()[0])
    see(page, "#tiles button", tile(1, "ready"))
    see(page, "#verdict-more", "1 job waits, and nothing is fetched.")
    assert d.status()["paused"]
    page.get_by_role("button", name="Resume").click()
    see(page, "#tiles button", tile(1, "stored"))
    assert not d.status()["paused"]


def test_near_expiry(serve, sim, directory, show):  # noqa: F811
    s = sim("--generate", "2", "--size", "10")
    d = serve(directory.to, "--near-expiry", "300d", sim=s)
    d.webhook(s.ids()[0])
    d.wait_jobs(stored=1)
    d.api("POST", "/api/pause", json={}).raise_for_status()
    d.api("POST", "/api/sync", json={}).raise_for_status()  # learns expiry dates along with jobs
    page = show(d)
    see(page, "#verdict-text", "1 output expires within 300 d and is not stored yet")
    see(page, "#near", "1")


def test_token(serve, sim, directory, show, tmp_path):  # noqa: F811
    secret = tmp_path / "admin-token"
    secret.write_text("correct-horse-battery")
    secret.chmod(0o600)
    d = serve(directory.to, "--admin", "0.0.0.0:0", "--admin-token-file", secret, sim=sim())
    d.egress.secret("correct-horse-battery")
    d.admin = d.admin.replace("0.0.0.0", "127.0.0.1")
    page = show(d)
    page.get_by_role("dialog", name="This address wants a token").wait_for()
    page.get_by_label("Token of the admin address").fill("wrong")
    page.get_by_role("button", name="Continue").click()
    see(page, "#token-why", "is not right")
    page.get_by_label("Token of the admin address").fill("correct-horse-battery")
    page.get_by_role("button", name="Continue").click()
    see(page, "#verdict-text", "Nothing has come in yet")
    page.get_by_role("button", name="Pause").click()
    see(page, "#verdict-text", "Paused")


def test_a_daemon_that_dies_and_comes_back(serve, sim, directory, show):  # noqa: F811
    s = sim("--generate", "1", "--size", "10")
    d = serve(directory.to, sim=s)
    d.webhook(s.ids()[0])
    page = show(d)
    see(page, "#tiles button", tile(1, "stored"))
    address = d.admin.removeprefix("http://")
    d.kill()
    see(page, "#offline", "The daemon does not answer.")
    see(page, "#verdict-text", "How things stand is not known")
    d.flags[d.flags.index("--admin") + 1] = address
    d.start()
    page.locator("#offline").wait_for(state="hidden")
    see(page, "#verdict-text", "Nothing is about to be lost")
    see(page, "#tiles button", tile(1, "stored"))


def test_a_hostile_file_name_is_shown_as_text(serve, sim, directory, show):  # noqa: F811
    name = "<img src=x onerror=document.title=1>"
    s = sim("--generate", "1", "--size", "10", "--set", f"output_filename={name}")
    d = serve(directory.to, sim=s)
    d.webhook(s.ids()[0])
    d.wait_jobs(stored=1)
    page = show(d, f"#job={s.ids()[0]}")
    see(page, "#details-objects code", "onerror")
    assert page.locator("img").count() == 0
    assert page.title() == "egress"


def test_on_a_phone(serve, sim, directory, show):  # noqa: F811
    s = sim("--generate", "3", "--size", "10")
    d = serve(directory.to, sim=s)
    for job in s.ids():
        d.webhook(job)
    d.wait_jobs(stored=3)
    page = show(d, width=320, height=568)
    page.locator("#rows a").nth(2).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 320
