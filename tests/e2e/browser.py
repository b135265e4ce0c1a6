# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium without a window, driven by Playwright; and what must hold of every page that it
shows: nothing but the daemon is asked, no script fails, the Content-Security-Policy is kept."""

import os

CHROMIUM = "/usr/bin/chromium"
# Nothing of its own goes out: no updates, no synchronisation, no HTTP/3.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Before anything of the page: violations of the policy are kept where a test can read them.
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
    (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


class Chromium:
    """A running one: it takes a second to start, so several tests share it."""

    def __init__(self):
        # Here, since the other end-to-end tests run without it.
        from playwright.sync_api import sync_playwright

        assert os.access(CHROMIUM, os.X_OK), f"{CHROMIUM} is not there: apt-get install chromium"
        self.playwright = sync_playwright().start()
        self.process = self.playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=FLAGS
        )

    def stop(self):
        self.process.close()
        self.playwright.stop()


class Browser:
    """.page(width=, dark=) opens a tab in a profile of its own; finish() asserts what must hold."""

    def __init__(self, chromium, base_url):
        self.chromium = chromium
        self.base_url = base_url.rstrip("/")
        self.pages = []
        self.requests = []
        self.errors = []

    def page(self, width=1200, height=900, dark=False, still=False):
        context = self.chromium.process.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if still else "no-preference",
            locale="en-GB",
            timezone_id="UTC",
        )
        context.add_init_script(WATCH)
        context.set_default_timeout(15000)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(f"script: {error}"))
        page.on("console", self.console)
        page.on("dialog", self.dialog)
        self.pages.append(page)
        return page

    def console(self, message):
        # A request that failed is told there too; the page says so itself, which tests look at.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(f"console: {message.text}")

    def dialog(self, dialog):
        self.errors.append(f"a script asked: {dialog.message}")
        dialog.dismiss()

    def finish(self):
        for page in self.pages:
            self.errors += page.evaluate("window.violations")
            page.context.close()
        outside = [
            url
            for url in self.requests
            if not url.startswith((self.base_url + "/", "data:"))
        ]
        assert not outside, f"asked others than the daemon: {outside}"
        assert not self.errors, self.errors
