# SPDX-License-Identifier: Apache-2.0
"""The page of `egress serve` in Chromium: its files are a running daemon's, what the API tells is
the tests' own (page_api.py), so that every state can be seen. test_page_daemon.py has both real."""

import datetime
import re

import pytest
from playwright.sync_api import expect

import programs
from browser import Browser, Chromium
from daemon import Daemon
from page_api import NOW, PageApi, at, busy, job

HOSTILE = "\"'></script><img src=x onerror=\"window.owned=1\"><script>window.owned=1</script>\u202e"


@pytest.fixture(scope="module")
def base_url(tmp_path_factory):
    home = tmp_path_factory.mktemp("page")
    egress = programs.Egress(home)
    nobody = {"VOXEL51_API_PRIVATE_KEY": "token-of-nobody", "VOXEL51_API_BASE_URL": "http://127.0.0.1:9"}
    yield Daemon(egress, home, home / "outputs", sim=None, env=nobody).start().admin
    egress.finish()


@pytest.fixture(scope="module")
def chromium():
    one = Chromium()
    yield one
    one.stop()


@pytest.fixture
def browser(chromium, base_url):
    one = Browser(chromium, base_url)
    yield one
    one.finish()


@pytest.fixture
def api():
    return PageApi()


@pytest.fixture
def show(browser, api):
    """show("#job=x", width=320) opens the page on what `api` tells, at a time that stands still until
    page.clock moves it."""

    def open_page(fragment="", tells=api, wait=True, **how):
        page = browser.page(**how)
        page.clock.install(time=NOW - datetime.timedelta(seconds=1))
        page.clock.pause_at(NOW)
        tells.install(page)
        page.goto(browser.base_url + "/" + fragment)
        if wait:
            page.locator("#tiles button").first.wait_for()
            page.locator("#rows .row, #rows-none:not([hidden])").first.wait_for()
        return page

    return open_page


def next_round(page):
    page.clock.fast_forward(2500)


def see(page, selector, text):
    """Waits until it is shown with a text that has `text`, or that matches it."""
    page.locator(selector, has_text=text).first.wait_for()


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


# ---- what stands first ----


def test_nothing_yet(show):
    page = show()
    see(page, "#verdict-text", "Nothing has come in yet")
    see(page, "#rows-none", "No job has come in yet.")
    see(page, "#running-none", "Nothing is under way.")
    see(page, "#link", "working")
    assert page.title() == "egress"


def test_before_the_first_answer(show, api):
    api.held = []
    page = show(wait=False)
    see(page, "#verdict-text", "Asking the daemon")
    assert not page.locator("#jobs").is_visible()
    held, api.held = api.held, None
    for route in held:
        api.answer(route)
    see(page, "#verdict-text", "Nothing has come in yet")
    assert page.locator("#jobs").is_visible()


@pytest.mark.parametrize(
    "change, level, text, more",
    [
        ({}, "good", "Nothing is about to be lost", "3 jobs are on the way"),
        (
            {"near_expiry": {"jobs": 2, "within_s": 21600}},
            "bad",
            "2 outputs expire within 6 h and are not stored yet",
            "The soonest of them expires in 2 h",
        ),
        (
            {"near_expiry": {"jobs": 1, "within_s": 21600}, "soonest_expiry": at(-60), "paused": True},
            "bad",
            "1 output expires within 6 h and is not stored yet",
            "expired 1 min ago. Nothing is fetched: it is paused.",
        ),
        ({"dead": 1}, "bad", "1 job was given up", "unless the job is retried"),
        ({"paused": True}, "warn", "Paused", "3 jobs wait, and nothing is fetched"),
        ({"draining": True}, "warn", "The daemon is ending", "1 job"),
        ({"none": True}, "good", "Nothing is about to be lost", "4 jobs are stored. 5 jobs failed"),
    ],
)
def test_what_is_about_to_be_lost_stands_first(show, api, change, level, text, more):
    s = api.status
    s["jobs"] = {"waiting": 1, "ready": 1, "running": 1, "stored": 4, "failed": 5, "dead": 0}
    s["soonest_expiry"] = at(7200)
    s["jobs"]["dead"] = change.pop("dead", 0)
    if change.pop("none", False):
        s["jobs"].update(waiting=0, ready=0, running=0)
    s.update(change)
    page = show()
    see(page, "#verdict-text", text)
    see(page, "#verdict-more", more)
    assert page.locator("#verdict").get_attribute("data-level") == level
    assert page.locator("#verdict-sign").inner_text() == ("✓" if level == "good" else "!")
    assert page.title() == ("egress" if level == "good" else f"! {text} – egress")


def test_a_change_for_the_worse_is_announced(show, api):
    api.status["jobs"]["stored"] = 1
    page = show()
    see(page, "#said", re.compile("shown|Nothing is about"))
    api.status["jobs"]["dead"] = 2
    next_round(page)
    see(page, "#said", "2 jobs were given up")
    assert page.locator("#said").get_attribute("role") == "status"


def test_counts_by_state(show):
    page = show(tells=busy())
    tiles = [text.replace("\n", " ") for text in texts(page, "#tiles button")]
    assert tiles == ["6 ready", "2 waiting", "4 running", "67 stored", "1 failed", "0 dead"]
    assert texts(page, "#near-tile") == ["0\nexpire within 2 h"]
    page.locator("summary").click()
    see(page, "#figures", "82 accepted (2 known before)")
    see(page, "#figures", "67 jobs stored, 31.0 GiB")


# ---- running ----


def test_progress_moves(show, api):
    api.jobs = [job("job-1", "running"), job("job-2", "running")]
    api.count()
    mib = 1 << 20
    first = {
        "id": "job-1",
        "started": at(-10),
        "expires": at(3600),
        "received": 10 * mib,
        "size": 40 * mib,
        "attempts": 2,
        "moving": True,
    }
    api.status["running"] = [first, {**first, "id": "job-2", "size": None, "received": 0, "moving": False}]
    page = show()
    see(page, "#running li:first-child", "10.0 MiB of 40.0 MiB, 25 %")
    see(page, "#running li:first-child", "try 3")
    see(page, "#running li:last-child", "waits for its turn")
    bars = page.locator("#running progress")
    assert bars.first.evaluate("bar => bar.position") == 0.25
    assert bars.last.evaluate("bar => bar.position") == -1
    assert page.locator("#running .soon").count() == 2  # within six hours
    bars.first.evaluate("bar => { bar.kept = true }")
    first["received"] = 30 * mib
    next_round(page)
    see(page, "#running li:first-child", re.compile(r"75 %.*MiB/s", re.S))
    assert bars.first.evaluate("bar => bar.kept")  # the same one, so that it glides
    api.status["running"] = []
    next_round(page)
    see(page, "#running-none", "Nothing is under way.")


def test_many_running_are_cut(show, api):
    api.status["running"] = [
        {
            "id": f"job-{n}",
            "started": at(-1),
            "expires": None,
            "received": 1,
            "size": 2,
            "attempts": 0,
            "moving": True,
        }
        for n in range(300)
    ]
    page = show()
    see(page, "#running-none", "And 275 more.")
    assert page.locator("#running li").count() == 25


# ---- throughput ----


def test_plot(show, api):
    api.status["throughput"]["slots"] = [
        {"began": at(-600), "bytes": 20 * 1048576, "stored": 4, "failed": 0},
        {"began": at(-100), "bytes": 10 * 1048576, "stored": 2, "failed": 1},
    ]
    page = show()
    see(page, "#plot-peak", "peak 2.0 MiB/s")
    see(page, "#plot-sum", "In all of it 30.0 MiB, 6 jobs stored, 1 failed.")
    see(page, "#plot-from", "1 h ago")
    heights = page.locator("#plot-jobs .stored").evaluate_all(
        "bars => bars.map((bar) => bar.height.baseVal.value)"
    )
    assert heights == [34, 17]
    failed = page.locator("#plot-jobs .failed")
    assert failed.count() == 1
    line = page.locator("#plot-jobs .base").evaluate("line => line.y1.baseVal.value")
    assert failed.evaluate("bar => bar.y.baseVal.value") >= line  # below it: not by colour alone
    box = page.locator("#plot-bytes .area").evaluate("path => path.getBBox().height")
    assert round(box) == 104
    # Any moment of it can be read, with the keyboard too.
    page.locator("#plot-at").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    see(page, "#plot-here", "15:08:00: 1.0 MiB/s, 2 stored, 1 failed")
    assert "1.0 MiB/s" in page.locator("#plot-at").get_attribute("aria-valuetext")
    next_round(page)  # does not take it back to the end
    see(page, "#plot-here", "15:08:00")


# ---- the list ----


def test_filter_by_state_and_back(show):
    api = busy()
    page = show(tells=api)
    page.get_by_role("button", name="waiting").click()
    see(page, "#jobs-title", "Jobs: waiting")
    assert set(texts(page, "#rows .state")) == {"waiting"}
    assert page.locator("#tiles [aria-pressed=true]").inner_text() == "2\nwaiting"
    assert page.url.endswith("#state=waiting")
    see(page, "#rows .what", "next try in 2 min: api.platform.example: connection reset by peer")
    page.reload()
    see(page, "#jobs-title", "Jobs: waiting")  # the address keeps it
    page.get_by_role("button", name="waiting").click()
    page.locator("#rows .row").nth(49).wait_for()
    assert "#" not in page.url


def test_a_state_without_jobs(show):
    page = show("#state=dead", tells=busy())
    see(page, "#rows-none", "No job is dead.")


def test_search(show):
    api = busy()
    page = show(tells=api)
    id = api.jobs[20]["id"]
    page.get_by_role("searchbox").fill(id[:6])
    page.clock.fast_forward(300)
    expect(page.locator("#rows .row")).to_have_count(1)
    assert texts(page, "#rows a") == [id]
    assert ("/api/jobs", {"limit": "50", "prefix": id[:6]}) in api.asked
    page.get_by_role("searchbox").fill("zzz")
    page.clock.fast_forward(300)
    see(page, "#rows-none", "No job has an id that begins with “zzz”.")
    page.get_by_role("searchbox").fill("../<b>")
    page.clock.fast_forward(300)
    see(page, "#rows-none", "Ids of jobs have letters, digits, - and _ only.")
    assert not any("<" in query.get("prefix", "") for _, query in api.asked)
    page.get_by_role("searchbox").fill("")
    page.clock.fast_forward(300)
    page.locator("#rows .row").nth(49).wait_for()


def test_pages(show):
    api = busy()
    page = show(tells=api)
    first = texts(page, "#rows a")
    assert len(first) == 50
    assert page.get_by_role("button", name="Previous").is_disabled()
    page.get_by_role("button", name="Next").click()
    see(page, "#page-number", "Page 2")
    second = texts(page, "#rows a")
    assert len(second) == 30 and not set(first) & set(second)
    assert page.get_by_role("button", name="Next").is_disabled()
    next_round(page)
    see(page, "#page-number", "Page 2")
    page.get_by_role("button", name="Previous").click()
    see(page, "#page-number", "Page 1")
    assert texts(page, "#rows a") == first


def test_new_jobs_come_in_without_moving_the_focus(show, api):
    api.jobs = [job(f"job-{n}", "ready") for n in range(3)]
    page = show(tells=api.count())
    link = page.locator("#rows a", has_text="job-1")
    link.focus()
    api.jobs = [job("job-9", "ready"), *api.jobs[1:]]
    next_round(page)
    see(page, "#rows a", "job-9")
    assert texts(page, "#rows a") == ["job-9", "job-1", "job-2"]
    assert page.evaluate("document.activeElement.textContent") == "job-1"


# ---- one job ----


def stored():
    objects = [
        {"key": "a/labels.json", "location": "s3://outputs/a/labels.json", "size": 1536},
        {"key": "a/log", "location": "s3://outputs/a/log", "size": 10},
    ]
    return job("job-1", "stored", origin="sync", ended=at(-30), bytes=1546, objects=objects)


def test_details(show, api):
    api.jobs = [stored()]
    api.history["job-1"] = [
        {"at": at(-600), "what": "received", "text": None},
        {"at": at(-500), "what": "later", "text": "s3.example: connection refused"},
        {"at": at(-30), "what": "stored", "text": None},
    ]
    page = show(tells=api.count())
    page.locator("#rows a").click()
    details = page.get_by_role("dialog", name="job-1")
    details.wait_for()
    assert page.url.endswith("#job=job-1")
    text = details.inner_text()
    for part in ("stored", "found by sync", "1.5 KiB (1,546 bytes)", "10 min ago", "in 2 d"):
        assert part in text, text
    assert texts(page, "#details-objects code") == [one["location"] for one in api.jobs[0]["objects"]]
    history = texts(page, "#details-history li")
    assert [entry.split()[0] for entry in history] == ["received", "later", "stored"]
    assert "connection refused" in history[1]
    assert not page.locator("#details-retry").is_visible()
    page.keyboard.press("Escape")
    details.wait_for(state="hidden")
    assert "#" not in page.url
    assert page.evaluate("document.activeElement.textContent") == "job-1"


def test_details_by_their_address(show, api):
    api.jobs = [stored()]
    page = show("#job=job-1", tells=api.count())
    page.get_by_role("dialog", name="job-1").wait_for()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("dialog").wait_for(state="hidden")


@pytest.mark.parametrize("id", ["gone", "..%2Fstatus", "%3Cimg%20src=x%20onerror=owned=1%3E"])
def test_details_of_what_is_not_there(show, api, id):
    page = show(f"#job={id}", tells=api)
    see(page, "#details", "The journal has no such job")
    asked = [path for path, _ in api.asked if path.startswith("/api/jobs/")]
    assert set(asked) == ({"/api/jobs/gone"} if id == "gone" else set())
    see(page, "#link", "working")


def test_details_follow_the_job(show, api):
    api.jobs = [job("job-1", "running", claimed=at(-5))]
    page = show("#job=job-1", tells=api.count())
    see(page, "#details-state", "running")
    api.jobs = [stored()]
    next_round(page)
    see(page, "#details-state", "stored")
    see(page, "#details-objects", "s3://outputs/a/labels.json")


def test_retry_of_a_dead_job(show, api):
    why = {"name": "http", "message": "the store answered 503"}
    api.jobs = [job("job-1", "dead", attempts=16, ended=at(-5), error=why)]
    page = show("#job=job-1", tells=api.count())
    see(page, "#details-error", "http: the store answered 503")
    page.get_by_role("button", name="Retry").click()
    see(page, "#details-told", "1 job is tried again.")
    see(page, "#details-state", "ready")
    [(path, body, headers)] = api.posts
    assert (path, body) == ("/api/retry", {"jobs": ["job-1"]})
    assert headers["x-egress-request"] == "1"
    assert headers["content-type"] == "application/json"
    page.locator("#details-retry").wait_for(state="hidden")


def test_retry_of_all_that_are_dead(show, api):
    api.jobs = [job("job-1", "dead"), job("job-2", "dead"), job("job-3", "failed")]
    page = show("#state=dead", tells=api.count())
    page.get_by_role("button", name="Retry all dead").click()
    see(page, "#told", "2 jobs are tried again.")
    see(page, "#rows-none", "No job is dead.")
    assert api.posts[0][:2] == ("/api/retry", {"dead": True})


@pytest.mark.parametrize("state, name", [("failed", "Retry"), ("waiting", "Try now")])
def test_what_else_can_be_retried(show, api, state, name):
    api.jobs = [job("job-1", state)]
    page = show("#job=job-1", tells=api.count())
    page.get_by_role("dialog").get_by_role("button", name=name).click()
    see(page, "#details-told", "1 job is tried again.")


def test_a_retry_that_is_refused(show, api):
    api.jobs = [job("job-1", "dead")]
    page = show("#job=job-1", tells=api.count())
    api.fail, api.fail_path = 503, "/api/retry"
    page.get_by_role("button", name="Retry").click()
    see(page, "#details-told", "That did not work: the daemon answered 503: the journal is not well.")
    assert page.locator("#details-retry").is_enabled()


def test_pause_and_resume(show, api):
    page = show(tells=api)
    page.get_by_role("button", name="Pause").click()
    see(page, "#told", "Paused.")
    see(page, "#link", "paused")
    page.get_by_role("button", name="Resume").click()
    see(page, "#told", "Resumed.")
    see(page, "#link", "working")
    assert [path for path, _, _ in api.posts] == ["/api/pause", "/api/resume"]
    assert all(headers["x-egress-request"] == "1" for _, _, headers in api.posts)


def test_sync(show, api):
    page = show(tells=api)
    page.locator("summary").click()
    page.get_by_role("button", name="Look for missed jobs now").click()
    see(page, "#told", "Sync has begun.")


# ---- tokens, and a daemon that is gone ----


def test_token(show, api):
    api.token = "correct horse"
    page = show(tells=api, wait=False)
    dialog = page.get_by_role("dialog", name="This address wants a token")
    dialog.wait_for()
    assert api.tokens and not any(api.tokens)
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    see(page, "#token-why", "is not right")
    page.get_by_label("Token of the admin address").fill("correct horse")
    page.get_by_role("button", name="Continue").click()
    see(page, "#verdict-text", "Nothing has come in yet")
    dialog.wait_for(state="hidden")
    assert api.tokens[-1] == "Bearer correct horse"
    assert "correct" not in page.url and "correct" not in page.content()
    page.reload()
    see(page, "#verdict-text", "Nothing has come in yet")  # kept by the tab
    assert page.evaluate("localStorage.length") == 0
    assert page.evaluate("document.cookie") == ""


def test_no_questions_while_the_token_is_asked_for(show, api):
    api.token = "t"
    page = show(tells=api, wait=False)
    page.get_by_role("dialog").wait_for()
    page.wait_for_timeout(200)
    before = len(api.tokens)
    page.clock.run_for(60000)
    assert len(api.tokens) == before


def test_offline_and_back(show, api):
    api.jobs = [stored()]
    page = show(tells=api.count())
    api.fail = "abort"
    next_round(page)
    see(page, "#offline", "The daemon does not answer. What stands below is from 15:09:40.")
    see(page, "#link", "offline")
    see(page, "#verdict-text", "How things stand is not known")
    see(page, "#verdict-more", "Before: Nothing is about to be lost.")
    assert page.locator("#offline").get_attribute("role") == "alert"
    assert texts(page, "#rows a") == ["job-1"]  # what was known stays
    api.fail = None
    next_round(page)
    page.locator("#offline").wait_for(state="hidden")
    see(page, "#verdict-text", "Nothing is about to be lost")
    see(page, "#link", "working")


def test_offline_from_the_start(show, api):
    api.fail = "abort"
    page = show(tells=api, wait=False)
    see(page, "#offline", "The daemon does not answer. Still trying.")
    see(page, "#verdict-more", "Is egress serve running?")
    api.fail = None
    next_round(page)
    see(page, "#verdict-text", "Nothing has come in yet")


def test_a_daemon_that_answers_an_error(show, api):
    page = show(tells=api)
    api.fail = 503
    next_round(page)
    see(page, "#offline", "The daemon answered 503: the journal is not well.")


def test_asks_less_when_hidden(show, api):
    page = show(tells=api)

    def rounds(minutes):
        before = sum(path == "/api/status" for path, _ in api.asked)
        for _ in range(60 * minutes):
            page.clock.run_for(1000)
        return sum(path == "/api/status" for path, _ in api.asked) - before

    seen = rounds(1)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    rounds(1)
    hidden = rounds(1)
    assert 8 <= seen <= 31 and 1 <= hidden <= 4, (seen, hidden)


# ---- whatever comes from outside is text ----


def test_hostile_text_is_shown_as_text(show, api):
    wrong = {"name": HOSTILE, "message": HOSTILE}
    place = {"key": HOSTILE, "location": HOSTILE, "size": HOSTILE}
    api.jobs = [
        job("job-1", "dead", error=wrong, objects=[place]),
        job(HOSTILE, "stored", objects=[place], bytes=1),
        job("job-2", HOSTILE),
    ]
    api.history["job-1"] = [{"at": at(-1), "what": HOSTILE, "text": HOSTILE}]
    api.status.update(version=HOSTILE, destination=HOSTILE, platform=HOSTILE)
    api.status["running"] = [
        {
            "id": HOSTILE,
            "started": at(-1),
            "expires": at(1),
            "received": 1,
            "size": 2,
            "attempts": 0,
            "moving": True,
        }
    ]
    page = show("#job=job-1", tells=api)
    see(page, "#details-history", HOSTILE)
    for selector in ("#target", "#running a", "#rows a", "#rows .what", "#rows .state", "#figures dd",
                     "#details-error", "#details-objects code", "#details-history b"):
        assert any(HOSTILE in text for text in page.locator(selector).all_text_contents()), selector
    page.keyboard.press("Escape")
    page.locator("#rows a", has_text="img").click()  # an id that is none leads nowhere
    see(page, "#details", "The journal has no such job")
    page.wait_for_timeout(200)
    assert page.evaluate("window.owned") is None
    assert page.locator("img, main script, dialog script").count() == 0


@pytest.mark.parametrize(
    "answer", ["[]", "null", '"x"', "{}", '{"jobs":{}}', "<html>", "", '{"now":1,"running":{}}']
)
def test_an_answer_that_makes_no_sense_is_no_end(show, api, answer):
    page = show(tells=api)
    api_answer = api.answer
    api.answer = lambda route: route.fulfill(status=200, content_type="application/json", body=answer)
    page.unroute_all()
    api.install(page)
    next_round(page)
    see(page, "#link", "offline")
    api.answer = api_answer
    page.unroute_all()
    api.install(page)
    next_round(page)
    see(page, "#link", "working")


# ---- on every screen ----


def scrolls_sideways(page):
    return page.evaluate(
        "[document.documentElement, document.querySelector('dialog[open]')].some("
        "(one) => one && one.scrollWidth > one.clientWidth)"
    )


@pytest.mark.parametrize("width, height", [(320, 568), (375, 812), (768, 1024), (1200, 900)])
def test_fits_without_scrolling_sideways(show, width, height):
    api = busy()
    api.status["destination"] = "/srv/" + "x" * 200
    long = {"name": "http", "message": "https://store.example/" + "y" * 300}
    api.jobs[0].update(id="z" * 128, state="dead", error=long, attempts=3)
    api.status["running"][0]["id"] = "z" * 128
    api.count()
    page = show(tells=api, width=width, height=height)
    page.locator("summary").click()
    assert not scrolls_sideways(page)
    page.locator("#rows a").first.click()
    page.get_by_role("dialog").wait_for()
    assert not scrolls_sideways(page)
    box = page.get_by_role("dialog").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.get_by_role("button", name="Retry", exact=True).is_visible()


def test_fingers_find_the_buttons_of_a_phone(show):
    page = show(tells=busy(), width=320, height=568)
    for button in page.locator("button:visible, input[type=search]").all():
        assert button.bounding_box()["height"] >= 40, button.inner_text()


CONTRAST = """
() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = channels(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  let looked = 0;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(":disabled")) continue;
    const a = luminance(channels(getComputedStyle(element).color)), b = luminance(ground(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    looked++;
    if (ratio < 4.5) poor.push(`${element.tagName}#${element.id}.${element.className} ${ratio.toFixed(2)}`);
  }
  return { poor, looked, ground: luminance(ground(document.body)) };
}
"""


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_in_the_light_and_in_the_dark(show, dark):
    api = busy()
    why = {"name": "http", "message": "the store answered 503"}
    api.jobs[0].update(state="dead", error=why)
    api.history[api.jobs[0]["id"]] = [{"at": at(-1), "what": "dead", "text": "503"}]
    api.status["running"][0]["expires"] = at(60)
    api.count()
    page = show(tells=api, dark=dark)
    page.locator("summary").click()
    seen = page.evaluate(CONTRAST)
    assert seen["poor"] == [] and seen["looked"] > 100
    assert (seen["ground"] < 0.05) == dark
    page.locator("#rows a").first.click()
    page.get_by_role("dialog").wait_for()
    assert page.evaluate(CONTRAST)["poor"] == []
    page.keyboard.press("Escape")
    api.fail = "abort"
    next_round(page)
    page.locator("#offline").wait_for()
    assert page.evaluate(CONTRAST)["poor"] == []


@pytest.mark.parametrize("still", [False, True])
def test_nothing_moves_for_who_asked_for_that(show, still):
    page = show(tells=busy(), still=still)
    moves = page.evaluate(
        "[...document.styleSheets[0].cssRules].filter((rule) => rule.media &&"
        " /transition|animation/.test(rule.cssText)).map((rule) => matchMedia(rule.media.mediaText).matches)"
    )
    assert moves == [not still]
    assert not page.evaluate(
        "[...document.styleSheets[0].cssRules].some((rule) => !rule.media &&"
        " /transition|animation/.test(rule.cssText))"
    )


# ---- with the keyboard, and for who does not see it ----


def focused(page):
    return page.evaluate(
        "(() => { const e = document.activeElement, s = getComputedStyle(e);"
        " return { what: e.id || e.textContent.trim(), tag: e.tagName,"
        " outline: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2,"
        " seen: e.getBoundingClientRect().left >= 0 && e.checkVisibility() }; })()"
    )


def test_walk_with_the_keyboard(show, api):
    api.jobs = [job("job-1", "dead"), job("job-2", "stored", bytes=1)]
    page = show(tells=api.count())
    page.keyboard.press("Tab")
    assert focused(page)["what"] == "skip" and focused(page)["seen"]
    walked = []
    for _ in range(40):
        page.keyboard.press("Tab")
        here = focused(page)
        if here["tag"] == "BODY":
            break
        assert here["outline"] and here["seen"], here
        walked.append(here["what"].split("\n")[0])
    wanted = ["pause", "0ready", "0waiting", "0running", "1stored", "0failed", "1dead", "plot-at",
              "search", "job-1", "job-2", "More figures"]
    assert [one for one in walked if one in wanted] == wanted, walked
    page.keyboard.press("Tab")
    page.evaluate("document.activeElement.blur()")
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    assert focused(page)["what"] == "jobs"
    for _ in range(3):
        page.keyboard.press("Tab")
        if focused(page)["what"] == "job-1":
            break
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name="job-1").wait_for()
    for _ in range(3):
        page.keyboard.press("Tab")
        if focused(page)["what"] == "details-retry":
            break
    page.keyboard.press("Enter")
    see(page, "#details-told", "1 job is tried again.")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert focused(page)["what"] == "job-1"


def test_landmarks_and_names(show):
    page = show(tells=busy())
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("banner").count() == 1
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("navigation", name="Pages of jobs").count() == 1
    for name in ("Running now", "Throughput", "Jobs"):
        assert page.get_by_role("region", name=name, exact=True).count() == 1, name
    assert page.get_by_role("searchbox", name="Search: job ids that begin with").count() == 1
    assert page.get_by_role("slider", name="Moment of the plot").count() == 1
    assert page.get_by_role("columnheader").all_inner_texts()[:2] == ["Job", "State"]
    bars = page.get_by_role("progressbar").all()
    assert len(bars) == 4 and all("Progress of" in bar.get_attribute("aria-label") for bar in bars)
    nameless = page.locator("button, a, input").evaluate_all(
        "all => all.filter((one) => one.checkVisibility() && !one.textContent.trim()"
        " && !one.labels?.length && !one.ariaLabel).length"
    )
    assert nameless == 0
