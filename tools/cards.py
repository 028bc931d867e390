"""What the notebooks' cards and exercises say, as one table in INSTRUCTORS.md; `make tags` keeps it up to date."""

from __future__ import annotations

import re
from pathlib import Path

from tools.course import NOTEBOOKS, chapters, read, title

INSTRUCTORS = NOTEBOOKS / "INSTRUCTORS.md"
CARD = re.compile(r"^\| ([\d.]+ min) \| ([\d.]+ GB) \| (\d+) minutes \|", re.MULTILINE)
EXERCISE = re.compile(r"^\*\*Exercise [\d.]+: .*\((●+)○*, (\d+) minutes\)\*\*$", re.MULTILINE)
BETWEEN = re.compile(r"(?<=<!-- cards:begin -->\n).*?(?=<!-- cards:end -->)", re.DOTALL)
HEAD = (
    "| chapter | to run | memory | alone, in all | exercises | minutes of them | points |\n"
    + "|---" * 7
    + "|\n"
)


def row(path: Path) -> str:
    """A notebook's line: its card, how many exercises it has, their minutes, and a point for each ●."""
    notebook = read(path)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    run, memory, alone = CARD.search(prose).groups()
    levels, minutes = zip(*EXERCISE.findall(prose), strict=True)
    name = title(notebook).split(":")[0]
    counts = f"{len(levels)} | {sum(map(int, minutes))} | {sum(map(len, levels))}"
    return f"| [{name}]({path.name}) | {run} | {memory} | {alone} min | {counts} |\n"


def table() -> str:
    return HEAD + "".join(map(row, chapters()))


def update(page: Path = INSTRUCTORS) -> bool:
    """Write the table into the page; says whether anything changed."""
    before = page.read_text(encoding="utf-8")
    after = BETWEEN.sub(lambda _: table(), before)
    if after != before:
        page.write_text(after, encoding="utf-8")
    return after != before
