# SPDX-License-Identifier: Apache-2.0
"""Makes the picture of the page that the README shows: `make page-picture`."""

import sys
import tempfile
from pathlib import Path

import programs
from browser import Browser, Chromium
from daemon import Daemon
from page_api import NOW, busy


def main(path):
    with tempfile.TemporaryDirectory() as home:
        egress = programs.Egress(Path(home))
        nobody = {"VOXEL51_API_PRIVATE_KEY": "token-of-nobody", "VOXEL51_API_BASE_URL": "http://127.0.0.1:9"}
        to = Path(home) / "outputs"
        daemon = Daemon(egress, Path(home), to, sim=None, env=nobody).start()
        chromium = Chromium()
        browser = Browser(chromium, daemon.admin)
        page = browser.page(width=1200, height=940)
        page.clock.install(time=NOW)
        busy().install(page)
        page.goto(daemon.admin + "/")
        page.locator("#rows .row").first.wait_for()
        page.screenshot(path=path)
        browser.finish()
        chromium.stop()
        egress.finish()


main(sys.argv[1])
