"""What all these tools know of a notebook: where it lies, and what kind of cell a cell is."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from salmonn_mini.files import replacing

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
EXERCISE, INSTRUCTOR, HANDOUT = "exercise", "instructor", "handout"  # cells' tags


def chapters() -> list[Path]:
    """The course's notebooks, in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def write(path: Path, notebook: NotebookNode) -> None:
    """Write it completely or not at all."""
    with replacing(path.parent) as temporary:
        nbformat.write(notebook, temporary / path.name)


def make_way(out: Path, own: Path, parser: ArgumentParser) -> None:
    """Clear the folder that a tool writes anew each time; any other must not be there yet, or the parser says so."""
    if out == own:
        shutil.rmtree(out, ignore_errors=True)
    elif out.exists():
        parser.error(f"--out {out}: it is there already; name a new folder, or remove it first")


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def is_code(cell: NotebookNode) -> bool:
    """Whether it is a cell that gets a number when it runs."""
    return cell.cell_type == "code" and bool(cell.source.strip())


def title(notebook: NotebookNode) -> str:
    """The chapter's title, "3 · Windows: …"; empty for a notebook that is no chapter."""
    first = notebook.cells[0].source if notebook.cells else ""
    return first.splitlines()[0].removeprefix("# ") if first.startswith("# ") else ""
