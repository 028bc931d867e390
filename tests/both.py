"""Run a notebook both ways in one kernel, as students do: with its stubs, then again with the solutions filled in.

    python tests/both.py notebooks/00_tour.ipynb …

The second run must end without an error, write nothing to stderr, show in each checked cell what the first showed, and
pass every exercise: a core exercise's solution then takes the place of the package's own in the cells below it.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Iterator
from pathlib import Path

from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from record import CHECKED, Client, cell_faults, clean, main

from salmonn_mini.course.exercises.exercise import RIGHT


def differences(notebook: NotebookNode) -> Iterator[str]:
    """What the second half of a doubled notebook did otherwise than the first, a line each."""
    from tools.course import EXERCISE, tags

    half = len(notebook.cells) // 2
    for number, (first, second) in enumerate(
        zip(notebook.cells[:half], notebook.cells[half:], strict=True), 1
    ):
        for fault in cell_faults(second):
            yield f"code cell {number}, again: {fault}"
        if CHECKED in tags(first) and _shown(first) != _shown(second):
            yield f"code cell {number} shows {_shown(second)!r}, and {_shown(first)!r} before"
        if EXERCISE in tags(second) and not "".join(_shown(second)).startswith(RIGHT):
            yield f"code cell {number}, solved: {''.join(_shown(second))}"


def _shown(cell: NotebookNode) -> list[str]:
    """The texts of a cell's outputs."""
    return [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
        if "image/png" not in output.get("data", {})
    ]


def solved(stub: str, solutions: str) -> str:
    """The source of an exercise's cell with each function and class as the solutions write it, and their imports."""
    tree = ast.parse(solutions)
    written = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    cell = [written.get(getattr(node, "name", None), node) for node in ast.parse(stub).body]
    return "\n".join([*imports, *map(ast.unparse, cell)])


def run_both(path: Path) -> list[str]:
    """What went wrong when a notebook was run with its stubs and then, in the same kernel, with its solutions."""
    from tools.course import EXERCISE, is_code, read, tags

    notebook = read(path)
    code = [cell for cell in notebook.cells if is_code(cell)]
    again, solutions = copy.deepcopy(code), path.parent / "solutions" / f"{path.stem}.py"
    for cell in again:
        if EXERCISE in tags(cell):
            cell.source = solved(cell.source, solutions.read_text(encoding="utf-8"))
    notebook.cells = code + again
    try:
        Client.of(notebook, path).execute()
    except CellExecutionError as error:
        return [str(error)]
    return list(differences(clean(notebook)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], run_both))
