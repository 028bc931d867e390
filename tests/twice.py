"""Run all cells of a notebook, and then all of them again in the same kernel, as students do.

    python tests/twice.py notebooks/00_tour.ipynb …

The second run must end without an error, write nothing to stderr, and show in each checked cell what the first showed.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from record import CHECKED, Client, cell_faults, clean, main


def differences(notebook: NotebookNode) -> Iterator[str]:
    """What the second half of a doubled notebook did otherwise than the first, a line each."""
    half = len(notebook.cells) // 2
    for number, (first, second) in enumerate(
        zip(notebook.cells[:half], notebook.cells[half:], strict=True), 1
    ):
        for fault in cell_faults(second):
            yield f"code cell {number}, again: {fault}"
        if CHECKED in first.metadata.get("tags", []) and _shown(first) != _shown(second):
            yield f"code cell {number} shows {_shown(second)!r}, and {_shown(first)!r} before"


def _shown(cell: NotebookNode) -> list[str]:
    """The texts of a cell's outputs."""
    return [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
        if "image/png" not in output.get("data", {})
    ]


def run_twice(path: Path) -> list[str]:
    """What went wrong when a notebook was run twice in one kernel."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    notebook.cells = code + copy.deepcopy(code)
    try:
        Client.of(notebook, path).execute()
    except CellExecutionError as error:
        return [str(error)]
    return list(differences(clean(notebook)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], run_twice))
