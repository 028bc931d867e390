"""Read the book as its readers do, in headless Chromium: wide and narrow, light and dark; hear, search, look up.

    make browser

Needs chromium on the PATH. The browser may ask nobody but the site; whatever else it tries fails the test.
"""

from __future__ import annotations

import contextlib
import functools
import re
import tempfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from drive import FLAGS, PLAY, find_chromium
from playwright.sync_api import Page, Response, expect, sync_playwright

from tools import book

WIDTHS = (1400, 400)
SECONDS = 120  # that a step may take on a busy machine
TOUR = "00_tour.html"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(site: Path) -> Iterator[str]:
    """The site on a free port of this machine; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Reader:
    """A window on the site, and all that it asked for in vain or elsewhere."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address, self.wrong = page, address, []
        page.set_default_timeout(SECONDS * 1000)
        page.on("request", lambda request: self._own(request.url) or self.wrong.append(request.url))
        page.on("response", self._answered)

    def _own(self, url: str) -> bool:
        return url.startswith((self.address, "data:", "blob:"))

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and not response.url.endswith("/favicon.ico"):
            self.wrong.append(f"{response.status} {response.url}")

    def open(self, name: str) -> None:
        self.page.goto(self.address + name)

    def fits(self, name: str) -> None:
        """Nothing is wider than the window, be it a screen's or a telephone's."""
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 1000})
            self.open(name)
            found = self.page.evaluate("document.documentElement.scrollWidth")
            assert found <= width, f"{name}: {found} px wide in a window of {width} px"

    def hears(self) -> None:
        self.open(TOUR)
        length, ready = self.page.locator("audio").first.evaluate(PLAY)
        assert length > 1 and ready >= 2

    def looks_up(self) -> None:
        """A term says what it means, and leads to its row, which is then in sight."""
        self.open(TOUR)
        term = self.page.locator("a.term", has_text="LoRA").first
        assert "frozen matrix" in term.get_attribute("title")
        term.click()
        expect(self.page.locator("tr#lora")).to_be_in_viewport()

    def searches(self) -> None:
        self.open("search.html?q=aliasing")
        expect(self.page.locator("#search-results a").first).to_have_attribute(
            "href", re.compile("01_sound.html"), timeout=SECONDS * 1000
        )

    def darkens(self) -> None:
        """The button goes from the system's choice to light and to dark, and the page follows."""
        self.page.set_viewport_size({"width": WIDTHS[0], "height": 1000})
        self.open(TOUR)
        colors = set()
        for _ in range(3):
            self.page.locator(".theme-toggle:visible").first.click()
            colors.add(self.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(colors) == 2, colors


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder) / "site"
        assert book.build(site) == 0
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        with served(site) as address:
            reader = Reader(browser.new_page(), address)
            pages = sorted(path.name for path in site.glob("*.html"))
            for name in pages:
                reader.fits(name)
            for step in (reader.hears, reader.looks_up, reader.searches, reader.darkens):
                step()
                print(f"book: {step.__name__}", flush=True)
            assert not reader.wrong, f"asked for {reader.wrong}"
            browser.close()
        print(f"book: {len(pages)} pages, none wider than its window at {WIDTHS} px")


if __name__ == "__main__":
    main()
