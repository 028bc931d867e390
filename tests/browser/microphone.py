"""Speak into a fake microphone in JupyterLab: record by keyboard, hear what came, and do what goes wrong.

    make browser

Needs chromium on the PATH. The browser may ask no other machine for anything, and the recording may lie in no file. No
model is loaded: a stand-in answers how long a clip is, and which tone it hears in it.
"""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np
import soundfile
from drive import FLAGS, FOLLOW_SECONDS, OPEN_SECONDS, PLAY, find_chromium, lab, open_notebook, run_all
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, expect, sync_playwright

HERTZ, SECONDS, LONGEST = 440, 2.0, 3.0
KERNEL = {"name": "python3", "display_name": "Python 3"}
NAME, LOUD = "microphone.ipynb", 0.5
CELL = f"""
import torch
from salmonn_mini.course.figures import tour

def listen(X, instruction, scale):
    spectrum = torch.fft.rfft(X).abs()
    hertz = float(spectrum.argmax()) * 16_000 / len(X)
    return f"{{len(X) / 16_000:.2f}} s of {{hertz:.0f}} Hz, peak {{float(X.abs().max()):.2f}}", torch.randn(12, 8)

tour.LONGEST = {LONGEST}
tour.OwnClip(listen, ["What tone?"], {{}}, 4.0).show()
"""
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
HEARD = re.compile(r"→ ([\d.]+) s of (\d+) Hz, peak ([\d.]+)")
# What stands in for the browser's own: each keeps the microphone away, and begins what the reader is told.
TROUBLES = {
    "ask(async () => { throw new DOMException('', 'NotAllowedError') })": "The microphone is blocked. Allow it",
    "ask(async () => { throw new DOMException('', 'NotFoundError') })": "No microphone found. Connect one",
    "ask(async () => { throw new DOMException('', 'NotReadableError') })": "The microphone cannot be opened. Close",
    "ask(async () => { throw new Error('out of tape') })": "The microphone failed (out of tape): choose a file below.",
    "ask(async () => new AudioContext().createMediaStreamDestination().stream)": "Nothing but silence was recorded.",
    "own(document, 'featurePolicy', { allowsFeature: () => false })": "No microphone: this editor keeps it from",
    "own(window, 'isSecureContext', false)": "No microphone: this page is not secure.",
}
STAND_IN = """() => {
  const own = (place, name, value) => Object.defineProperty(place, name, { value, configurable: true });
  const ask = (value) => own(navigator.mediaDevices, 'getUserMedia', value);
  %s;
}"""


class Panel:
    """The controls of the tour's own clip, in JupyterLab."""

    def __init__(self, page: Page) -> None:
        self.page = page
        cell = page.locator(".jp-CodeCell").first
        self.button = cell.get_by_role("button", name=re.compile("Record|Stop"))
        self.status, self.timer = (cell.get_by_role(role) for role in ("status", "timer"))
        self.level, self.figure = cell.get_by_label("level"), cell.locator("figure")
        self.answer = cell.locator(".jp-RenderedText", has_text="→")

    def says(self, text: str | re.Pattern) -> None:
        expect(self.status).to_contain_text(text, timeout=FOLLOW_SECONDS * 1000)

    def press(self) -> None:
        """The button, by keyboard."""
        self.button.focus()
        self.page.keyboard.press("Space")

    def hears(self, seconds: tuple[float, float]) -> str:
        """A recording has come: its length, its tone, its picture and its player."""
        expect(self.answer).to_contain_text(HEARD, timeout=FOLLOW_SECONDS * 1000)
        heard = HEARD.search(self.answer.inner_text())
        length, hertz, peak = (float(number) for number in heard.groups())
        assert seconds[0] <= length <= seconds[1], f"{length} s"
        assert abs(hertz - HERTZ) <= 2 and abs(peak - LOUD) < 0.15, heard[0]
        expect(self.figure.locator("img")).to_have_attribute(
            "alt", re.compile("below it its 12 audio tokens")
        )
        assert self.figure.locator("audio").evaluate(PLAY)[0] > 0
        for shown in (self.figure, self.answer):
            shown.evaluate("shown => shown.remove()")  # so that the next can be waited for
        return heard[0].removeprefix("→ ")


def record(panel: Panel) -> str:
    """Record by keyboard; the seconds count, the level moves, and the answer follows."""
    panel.says("At most 3 s. The sound goes to this notebook's kernel alone")
    panel.press()
    panel.says("Recording.")
    expect(panel.timer).to_contain_text(
        re.compile(rf"^[1-9][\d.]* of {LONGEST:g} s"), timeout=FOLLOW_SECONDS * 1000
    )
    assert panel.level.evaluate("meter => meter.value") > LOUD / 2
    panel.press()
    panel.says(re.compile(r"^Recorded [\d.]+ s\. The answer stands below"))
    return f"recorded by keyboard, heard {panel.hears((0.9, LONGEST))}"


def overflow(panel: Panel) -> str:
    """It stops by itself when the longest is reached."""
    panel.button.click()
    panel.says(f"Recorded {LONGEST:.1f} s.")
    return f"stopped by itself, heard {panel.hears((LONGEST, LONGEST))}"


def troubles(panel: Panel) -> str:
    """Whatever keeps the microphone away is told in one line with a remedy, and the button works again."""
    for act, said in TROUBLES.items():
        panel.page.evaluate(STAND_IN % act)
        panel.button.click()
        if "silence" in said:
            panel.says("Recording.")
            expect(panel.timer).to_contain_text(re.compile("[1-9]"))
            panel.button.click()
        panel.says(said)
        expect(panel.button).to_have_text("● Record")
        panel.page.evaluate("() => { delete navigator.mediaDevices.getUserMedia }")
    return f"{len(TROUBLES)} troubles, each told in one line"


def tone(file: Path) -> Path:
    """A minute of the tone that the fake microphone plays."""
    soundfile.write(file, LOUD * np.sin(2 * np.pi * HERTZ * np.arange(60 * 48_000) / 48_000), 48_000)
    return file


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home, start = Path(folder), time.monotonic()
        root = home / "notebooks"
        root.mkdir()
        notebook = new_notebook(cells=[new_code_cell(CELL)], metadata={"kernelspec": KERNEL})
        nbformat.write(notebook, root / NAME)
        played = f"--use-file-for-fake-audio-capture={tone(home / 'tone.wav')}"
        with lab(home, f"--ServerApp.root_dir={root}") as (address, token):
            flags = [*FLAGS, *MICROPHONE, played]
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
            page = browser.new_context(
                permissions=["microphone"], viewport={"width": 1400, "height": 1000}
            ).new_page()
            page.set_default_timeout(OPEN_SECONDS * 1000)
            own = re.compile(rf"^({re.escape(address)}|data:|blob:)")
            page.route(
                "**/*", lambda route: route.continue_() if own.match(route.request.url) else route.abort()
            )
            cells = open_notebook(page, address, token, root / NAME)
            run_all(page, cells)
            panel = Panel(page)
            for step in (record, overflow, troubles):
                said = step(panel)
                print(f"microphone: {said} ({time.monotonic() - start:.0f} s)", flush=True)
            left = [file for file in home.rglob("*") if file.suffix == ".wav" and file.name != "tone.wav"]
            assert not left, f"left behind: {left}"
            browser.close()


if __name__ == "__main__":
    main()
