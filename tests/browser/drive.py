"""Drive `make lab` as a student would: open notebooks, run the tour, move a control, play a clip.

    make browser

Needs chromium on the PATH. Whatever JupyterLab writes goes to a temporary folder, autosave is off, and the
browser may ask no other machine for anything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
from playwright.sync_api import Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "data_samples" / "form_8000_hz.wav"
START_SECONDS, OPEN_SECONDS, RUN_SECONDS, FOLLOW_SECONDS = 300, 300, 1500, 120
LAB = ["make", "lab"] if os.name == "posix" else [sys.executable, "tools/make.py", "lab"]
CHROMIUM = ["chromium", "chromium-browser", "google-chrome", "chrome"]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
PLAY = "async player => { await player.play(); return [player.duration, player.readyState]; }"


@contextlib.contextmanager
def lab(home: Path, *more: str) -> Iterator[tuple[str, str]]:
    """`make lab` on a free port, with folders of its own and more options; gives its address and token."""
    for name, value in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value), encoding="utf-8")
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    token = secrets.token_hex(16)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--no-browser",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *more,
    ]
    with (home / "lab.log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [*LAB, f"LAB={' '.join(options)}"] if os.name == "posix" else [*LAB, *options],
            cwd=ROOT,
            env=os.environ | {name: str(home / folder) for name, folder in folders.items()},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/api?token={token}", server, home / "lab.log")
            yield address, token
        finally:
            _stop(server)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        if server.poll() is not None:
            break
        time.sleep(0.3)
    said = log.read_text(encoding="utf-8")
    raise SystemExit(f"make lab did not start:\n{said[-3000:]}")


def _stop(server: subprocess.Popen) -> None:
    """End make and the JupyterLab that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(server.pid)
        everyone = [first, *first.children(recursive=True)]
        for process in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(everyone, timeout=40)[1]:
            process.kill()


def open_notebook(page: Page, address: str, token: str, path: Path) -> list[dict]:
    """Open a notebook, wait until all its cells stand and its kernel is idle; give its cells."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    page.goto(f"{address}/lab/tree/{path.name}?token={token}&reset")
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(len(cells), timeout=OPEN_SECONDS * 1000)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=OPEN_SECONDS * 1000)
    return cells


def run_all(page: Page, cells: list[dict]) -> None:
    """Run → Run All Cells, by the menu; every code cell must get its number, and none may fail."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    code = sum(cell["cell_type"] == "code" and bool("".join(cell["source"]).strip()) for cell in cells)
    page.wait_for_function(
        """n => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
                .filter(prompt => /^\\[\\d+\\]:$/.test(prompt.textContent.trim())).length === n""",
        arg=code,
        timeout=RUN_SECONDS * 1000,
    )
    wrong = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    assert wrong.count() == 0, wrong.first.inner_text()[:500]


def move(page: Page, control: Locator, act: str) -> None:
    """Move a slider or choose in a drop-down; what its cell shows must follow."""
    output = page.locator(".jp-CodeCell", has=control).first.locator(".jp-Cell-outputArea")
    # The control's own number changes too, so only what stands outside it counts.
    shown = """area => [...area.querySelectorAll('img, audio, source')].map(e => e.src).join()
        + [...area.querySelectorAll('.jp-RenderedText')].map(e => e.textContent).join()"""
    before = output.evaluate(shown)
    control.scroll_into_view_if_needed()
    if act == "slider":
        control.focus()
        at_end = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
        page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    else:
        chosen = control.evaluate("box => box.selectedIndex")
        control.select_option(index=0 if chosen else 1)
    end = time.monotonic() + FOLLOW_SECONDS
    while output.evaluate(shown) == before:
        assert time.monotonic() < end, f"nothing followed the {act}"
        page.wait_for_timeout(100)


def upload(page: Page, button: Locator, clip: Path) -> None:
    """Choose a file as a student would; its cell must then show a player under the file's name."""
    output = page.locator(".jp-CodeCell", has=button).first.locator(".jp-Cell-outputArea")
    button.scroll_into_view_if_needed()
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(clip)
    expect(output.locator(f'audio[aria-label="{clip.name}"]')).to_have_count(1, timeout=FOLLOW_SECONDS * 1000)


def use(page: Page) -> str:
    """Upload a clip, move the first slider and the first drop-down, play a clip; say what was there."""
    said = []
    button = page.locator("button.widget-upload")
    if button.count():
        upload(page, button.first, CLIP)
        said.append("a clip uploaded and answered")
    for act, selector in (("slider", ".noUi-handle"), ("drop-down", ".widget-dropdown select")):
        control = page.locator(selector).first
        if page.locator(selector).count():
            move(page, control, act)
            said.append(f"a {act} moved, its output followed")
    assert said, "there is neither button nor slider nor drop-down"
    player = page.locator("audio").first
    player.scroll_into_view_if_needed()
    seconds, ready = player.evaluate(PLAY)
    assert seconds > 0 and ready == 4
    page.wait_for_function(
        "player => player.currentTime > 0", arg=player.element_handle(), timeout=FOLLOW_SECONDS * 1000
    )
    return ", ".join([*said, f"a clip of {seconds:.1f} s played"])


def find_chromium() -> str:
    """Where the browser is."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    return chromium or sys.exit(
        "error: no chromium on the PATH; install one (Debian: apt-get install chromium)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path, help="notebooks to open")
    parser.add_argument("--run", nargs="*", default=["00_tour"], help="names of those to run and to use")
    arguments = parser.parse_args()
    chromium = find_chromium()
    with (
        tempfile.TemporaryDirectory() as home,
        lab(Path(home)) as (address, token),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.route(
            "**/*",
            lambda route: route.continue_() if route.request.url.startswith(address) else route.abort(),
        )
        for path in arguments.notebooks:
            start = time.monotonic()
            cells = open_notebook(page, address, token, path)
            said = f"{len(cells)} cells open"
            if path.stem in arguments.run:
                run_all(page, cells)
                said += f", all run, {use(page)}"
            print(f"{path.name}: {said} ({time.monotonic() - start:.0f} s)", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
