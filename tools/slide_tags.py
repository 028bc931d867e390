"""Which cells become slides: a rule, written into the cells as Jupyter's own slide types.

    python -m tools.slide_tags [NOTEBOOK …]     # outputs stay; `make notebooks` does the same to what it records

| cell | slide type |
|---|---|
| text that begins with # or ## | `slide`: a new slide, a new section |
| a prediction, an exercise, a figure, a player, a quiz; whatever no longer fits | `subslide` |
| whatever follows a prediction or an exercise: no slide shows a question and its answer | `subslide` |
| other text, and code with an output | `-`: goes on below the cell before |
| code without output, exercises' stubs, sliders, the card's last line, cells for instructors | `skip` |
| what is tagged `handout`: read at home, not shown in class | `skip` |
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from pathlib import Path

from nbformat import NotebookNode

from tools import cards
from tools.course import EXERCISE, HANDOUT, INSTRUCTOR, ROOT, chapters, read, tags, write

NEW, BELOW, ON, SKIP = "slide", "subslide", "-", "skip"
ROOM = 1_100  # characters of text and code on a slide, about
SHOWN_LINES = 14  # longer code is left out, its output is shown
LEFT_OUT = {EXERCISE, INSTRUCTOR, HANDOUT, "nbval-ignore-output"}
ASKS = re.compile(r"^\*\*(Predict|Exercise )", re.MULTILINE)
LARGE = ("image/png", "image/svg+xml", "text/html")


def with_slide_tags(notebook: NotebookNode) -> NotebookNode:
    """A copy, each of its cells with the slide type that the rule gives it."""
    notebook = copy.deepcopy(notebook)
    used, asked = 0, False
    for cell in notebook.cells:
        kind, size = slide_type(cell), room(cell)
        if kind == ON and (asked or used + size > ROOM):
            kind = BELOW
        if kind != SKIP:
            used = size if kind in (NEW, BELOW) else used + size
            asked = asks(cell)
        cell.metadata["slideshow"] = {"slide_type": kind}
    return notebook


def slide_type(cell: NotebookNode) -> str:
    """A cell's type by itself, wherever it stands."""
    if LEFT_OUT & set(tags(cell)):
        return SKIP
    if cell.cell_type == "markdown":
        return NEW if re.match(r"##? ", cell.source) else BELOW if asks(cell) else ON
    if not cell.get("outputs") or "card(minutes=" in cell.source:
        return SKIP
    return BELOW if is_large(cell) else ON


def asks(cell: NotebookNode) -> bool:
    """Whether a text asks for a prediction, or sets an exercise."""
    return cell.cell_type == "markdown" and bool(ASKS.search(cell.source))


def is_large(cell: NotebookNode) -> bool:
    """Whether a cell shows a figure, a player or a table, which wants a slide for itself."""
    return any(form in output.get("data", {}) for output in cell.outputs for form in LARGE)


def shows_code(cell: NotebookNode) -> bool:
    """Whether a slide has room for a cell's code beside its output."""
    return cell.source.count("\n") < SHOWN_LINES and not is_large(cell)


def room(cell: NotebookNode) -> int:
    """The characters that a cell takes on a slide; a picture takes it whole."""
    if cell.cell_type == "markdown":
        return len(cell.source)
    if is_large(cell):
        return ROOM
    said = sum(
        len(output.get("text", "") or output.get("data", {}).get("text/plain", "")) for output in cell.outputs
    )
    return said + (len(cell.source) if shows_code(cell) else 0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "notebooks", nargs="*", type=Path, help="all, and the table of cards in INSTRUCTORS.md"
    )
    asked = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT / "tests"))
    from record import clean

    for path in asked.notebooks or chapters():
        before = read(path)
        after = clean(with_slide_tags(before))
        if after != before:
            write(path, after)
            print(f"{path.name}: brought up to date")
    if not asked.notebooks and cards.update():
        print("INSTRUCTORS.md: brought up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
