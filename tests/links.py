"""The links of pages and notebooks: tests/test_links.py follows those inside the repository, this script the others.

python tests/links.py       # asks each address once, and names those that nobody answers for
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|(?:src|href)=\"([^\"]+)\"")
CODE = re.compile(r"(?ms)^ *```.*?^ *```|`[^`\n]*`")
HEADING = re.compile(r"(?m)^#{1,6} +(.+?) *#*$")
ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")
REFUSED = (401, 403, 405, 429)  # there, and not for scripts
SECONDS = 20


def pages() -> list[Path]:
    """Every Markdown page and notebook that git has."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "*.ipynb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return [ROOT / line for line in listed.stdout.split("\n") if line and (ROOT / line).is_file()]


@cache
def text(page: Path) -> str:
    """The Markdown of a page, of a notebook its text cells; without code."""
    content = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(content)["cells"]
        content = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return CODE.sub("", content)


def links(page: Path) -> list[str]:
    return [target for found in LINK.findall(text(page)) for target in found if target]


@cache
def anchors(page: Path) -> set[str]:
    """What a link to this page may have behind its #: GitHub's names for the headings, Jupyter's, and its own."""
    content = (
        re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text(encoding="utf-8"))
        if page.suffix == ".md"
        else text(page)
    )
    headings = [re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading) for heading in HEADING.findall(content)]
    github = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return github | {heading.replace(" ", "-") for heading in headings} | set(ANCHOR.findall(content))


def broken(page: Path) -> Iterator[str]:
    """The links of a page that lead to no file of the repository, or to no heading."""
    for link in links(page):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and target.suffix in (".md", ".ipynb") and anchor not in anchors(target):
            yield f"{link}: no such heading"


def fault(address: str) -> str:
    """Why an address of the web does not answer; empty when it does."""
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code in REFUSED else f"{error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def main() -> int:
    where = defaultdict(set)
    for page in pages():
        for link in links(page):
            if re.match(r"https?:", link):
                where[link.partition("#")[0]].add(page.relative_to(ROOT).as_posix())
    with ThreadPoolExecutor(8) as pool:
        faults = dict(zip(where, pool.map(fault, where), strict=True))
    for address, why in sorted(faults.items()):
        if why:
            print(f"{address}: {why} ({', '.join(sorted(where[address]))})")
    print(f"{len(where)} addresses, {sum(map(bool, faults.values()))} without an answer")
    return int(any(faults.values()))


if __name__ == "__main__":
    sys.exit(main())
