"""The students' set: the course without outputs, without what is for instructors, without solutions.

    python -m tools.students    # into students/, a folder that `make lab` runs in

Stubs stay as they are, and every other cell with them: the notebooks run from top to bottom.
"""

from __future__ import annotations

import argparse
import copy
import re
import shutil
import sys
from pathlib import Path

from nbformat import NotebookNode

from tools.course import EXERCISE, INSTRUCTOR, NOTEBOOKS, ROOT, chapters, make_way, read, tags, write

STUDENTS = ROOT / "students"
FILES = (
    "Makefile",
    "README.md",
    "SECURITY.md",
    "LICENSE",
    "pyproject.toml",
    "requirements.lock",
    "environment.yml",
)
FILES += ("tools/make.py", ".github/architecture.svg")
FOLDERS = (".ci", "salmonn_mini", "data_samples")
GLOSSARY = "GLOSSARY.md"  # beside the notebooks
SOLUTIONS = re.compile(r"^\*Solutions to the exercises .*\*$\n?", re.MULTILINE)
LEFT_OUT = re.compile(
    r"\[([^\]]+)\]\((?:tests/|CONTRIBUTING|EXTENDING|notebooks/INSTRUCTORS)[^)]*\)"
)  # links to what is not there


def stripped(notebook: NotebookNode) -> NotebookNode:
    """A copy for students: no outputs, no numbers, no cell tagged `instructor`, no word of solutions."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if INSTRUCTOR not in tags(cell)]
    for cell in notebook.cells:
        cell.metadata = NotebookNode({"tags": [EXERCISE]} if EXERCISE in tags(cell) else {})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = SOLUTIONS.sub("", cell.source).rstrip()
    return notebook


def make_set(folder: Path) -> list[Path]:
    """Write the set into a new folder; give its notebooks."""
    inside = folder / NOTEBOOKS.name
    inside.mkdir(parents=True)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    shutil.copy2(NOTEBOOKS / GLOSSARY, inside)
    readme = folder / "README.md"
    readme.write_text(LEFT_OUT.sub(r"\1", readme.read_text(encoding="utf-8")), encoding="utf-8")
    made = []
    for path in chapters():
        write(inside / path.name, stripped(read(path)))
        made.append(inside / path.name)
    return made


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=STUDENTS)
    asked = parser.parse_args(arguments)
    make_way(asked.out, STUDENTS, parser)
    made = make_set(asked.out)
    print(f"{asked.out}: {len(made)} notebooks without outputs and solutions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
