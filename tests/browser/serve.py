"""Drive `salmonn-mini serve` as its visitors would: speak into a fake microphone, ask, and do what goes wrong.

    make browser

Needs chromium on the PATH. The browser may ask nobody but the page; whatever else it tries fails the test.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from drive import FLAGS, ROOT, find_chromium
from playwright.sync_api import Browser, Page, expect, sync_playwright

SPOKEN = ROOT / "data_samples" / "speech_neutral_man.wav"
SAMPLE = "sound_dog.wav"
INSTRUCTION = "Describe the audio."
SECONDS = 600  # that a step may take on a busy machine
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
MICROPHONE += [f"--use-file-for-fake-audio-capture={SPOKEN}%noloop"]
WIDTHS = (1400, 400)


@contextlib.contextmanager
def serve(home: Path) -> Iterator[str]:
    """The command on a free port, with its temporary files in `home`; gives its address. It must leave nothing."""
    command = [sys.executable, "-m", "salmonn_mini", "serve"]
    settings = {
        "cwd": ROOT,
        "env": os.environ | {"TMPDIR": str(home)},
        "stdout": subprocess.PIPE,
        "text": True,
    }
    with subprocess.Popen(command, **settings) as server:
        try:
            address = server.stdout.readline().strip()
            assert address, "serve did not start"
            yield address
        finally:
            server.terminate()
        assert server.wait(SECONDS) == 130
    left = [*home.glob("salmonn-mini-*")]
    assert not left, f"left behind: {left}"


class Visitor:
    """A window of its own on the page."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.page: Page = browser.new_context(permissions=["microphone"]).new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.outside: list[str] = []
        self.page.on("request", lambda request: self._watch(request.url, address))
        self.page.goto(address)
        self.ask = self.page.get_by_role("button", name="Ask", exact=True)
        self.ask.wait_for()
        self.trouble, self.clip = self.page.get_by_role("alert"), self.page.locator("figure")
        self.answered, self.heard = (self.page.locator(f"#{name} p") for name in ("answered", "heard"))

    def _watch(self, url: str, address: str) -> None:
        own = (
            url.startswith((address, "data:", "blob:"))
            or url == re.match(r"http://[^/]+/", address)[0] + "manifest.json"
        )
        if not own:
            self.outside.append(url)

    def record(self, seconds: float) -> None:
        """Speak into the microphone, and wait until the page shows the clip."""
        self.page.get_by_role("button", name="Record", exact=True).click()
        self.page.wait_for_timeout(seconds * 1000)
        self.page.get_by_role("button", name="Stop", exact=True).first.click()
        expect(self.clip).to_contain_text("audio", timeout=SECONDS * 1000)

    def choose(self, file: Path) -> None:
        """Choose a file; whether it can be read is another matter."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="choose a file").click()
        chooser.value.set_files(file)

    def take(self, sample: str) -> None:
        """Take a sample, by keyboard."""
        box = self.page.get_by_label("or take a sample")
        box.fill(sample)
        box.press("Enter")
        expect(self.clip).to_contain_text(sample, timeout=SECONDS * 1000)

    def question(self, instruction: str = INSTRUCTION) -> None:
        """Ask, by keyboard."""
        self.forget()
        box = self.page.get_by_label("2. Ask")
        box.fill(instruction)
        box.press("Enter")

    def scale(self, key: str) -> None:
        """Move the slider of the LoRA scale by a key: to 0 by Home, to the scale that was trained by End."""
        self.page.get_by_label("range slider for LoRA scale").press(key)

    def forget(self) -> None:
        """Take the old replies off the page, so that the new ones can be waited for."""
        for place in (self.answered, self.heard):
            place.evaluate("place => place.textContent = ''")

    def replies(self) -> tuple[str, str]:
        """What it answered and what it heard, when it has done so."""
        expect(self.heard).to_have_text(re.compile(r"[^…]$"), timeout=SECONDS * 1000)
        return self.answered.inner_text(), self.heard.inner_text()

    def fits(self) -> None:
        """Nothing is wider than the window, be it a screen's or a telephone's."""
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 1000})
            self.page.wait_for_timeout(500)
            found = self.page.evaluate("document.documentElement.scrollWidth")
            assert found <= width, f"{found} px wide in a window of {width} px"


def speak(visitor: Visitor) -> str:
    """Record the sentence, ask, then turn the LoRA scale to 0: the clip is still there, and the answer is another."""
    visitor.record(4)
    visitor.question()
    answered, heard = visitor.replies()
    expect(visitor.clip.locator("img")).to_have_attribute("alt", re.compile("audio tokens"))
    visitor.scale("Home")
    visitor.forget()
    visitor.ask.click()
    other, again = visitor.replies()
    assert (again, other != answered) == (heard, True)
    visitor.fits()
    return f"recorded: heard {heard!r}, answered {answered!r}, at scale 0 {other!r}"


def mistakes(visitor: Visitor, home: Path) -> str:
    """A text and 50 MB are refused in one line each, and the next clip is answered."""
    visitor.question()
    expect(visitor.trouble).to_contain_text("no clip yet", timeout=SECONDS * 1000)
    text, large = home / "diary.txt", home / "large.wav"
    text.write_text("dear diary")
    large.write_bytes(bytes(50_000_000))
    visitor.choose(text)
    expect(visitor.trouble).to_have_text(
        re.compile("^diary.txt: a text file, not audio"), timeout=SECONDS * 1000
    )
    visitor.choose(large)
    expect(visitor.page.get_by_text(re.compile("exceed the maximum allowed size"))).to_be_visible(
        timeout=SECONDS * 1000
    )
    visitor.choose(SPOKEN)
    expect(visitor.clip).to_contain_text(SPOKEN.name, timeout=SECONDS * 1000)
    expect(visitor.trouble).to_be_empty()
    return "a text and 50 MB refused, then a clip taken"


def together(visitors: list[Visitor]) -> str:
    """Two who ask at once are both answered, and alike."""
    for visitor in visitors:
        visitor.scale("End")
        visitor.take(SAMPLE)
    for visitor in visitors:
        visitor.question()
    first, second = [visitor.replies() for visitor in visitors]
    assert first == second and all(first)
    return f"two visitors at once: {first[0]!r} twice"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home, start = Path(folder), time.monotonic()
        with serve(home) as address:
            print(f"serve: ready ({time.monotonic() - start:.0f} s)", flush=True)
            flags = [*FLAGS, *MICROPHONE]
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
            one, two = Visitor(browser, address), Visitor(browser, address)
            for step in (lambda: speak(one), lambda: mistakes(two, home), lambda: together([one, two])):
                start, said = time.monotonic(), step()
                print(f"serve: {said} ({time.monotonic() - start:.0f} s)", flush=True)
            outside = one.outside + two.outside
            assert not outside, f"asked for {outside}"
            browser.close()


if __name__ == "__main__":
    main()
