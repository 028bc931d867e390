"""Colab badges, the cell that installs the course there, and slide tags: put into notebooks, or brought up to date.

    python -m tools.badges                              # all notebooks, with the address that pyproject.toml has
    python -m tools.badges --repository owner/name      # write the address into pyproject.toml first

Outputs stay, numbers follow. `make notebooks` does the same to each notebook that it records.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tools import cards
from tools.course import BADGE, COLAB, ROOT, chapters, is_code, read, tags, title, write
from tools.slide_tags import with_slide_tags

PYPROJECT = ROOT / "pyproject.toml"
OWNER_NAME = re.compile(r"[\w.-]+/[\w.-]+")
ADDRESS = re.compile(rf'^Repository = "(https://github\.com/({OWNER_NAME.pattern}))"$', re.MULTILINE)
ASKED = 'input("Git address of this course: ")'  # while pyproject.toml names none
COPY = "/content/course"  # on Colab
INSTALL = f"""if "google.colab" in str(get_ipython()):  # elsewhere the course is installed already
    address = {{address}}
    !test -d {COPY} || (git clone --quiet --depth 1 {{{{address}}}} {COPY} && pip install --quiet {COPY})
    %cd -q {COPY}/notebooks"""


def repository(pyproject: Path = PYPROJECT) -> str:
    """owner/name on GitHub, out of pyproject.toml's `[project.urls]`; empty if it names none."""
    found = ADDRESS.search(pyproject.read_text(encoding="utf-8"))
    return found[2] if found else ""


def set_repository(name: str, pyproject: Path = PYPROJECT) -> None:
    """Write owner/name into pyproject.toml, the one place where the address stands."""
    text = pyproject.read_text(encoding="utf-8")
    line = f'Repository = "https://github.com/{name}"'
    if ADDRESS.search(text):
        text = ADDRESS.sub(line, text)
    else:
        text = text.replace("[project.scripts]", f"[project.urls]\n{line}\n\n[project.scripts]", 1)
    pyproject.write_text(text, encoding="utf-8")


def prepared(notebook: NotebookNode, name: str, repository: str) -> NotebookNode:
    """A copy with badge, Colab cell and slide tags; of a notebook without a title an unchanged one.

    Args:
        name: of its file, "03_windows.ipynb".
        repository: owner/name on GitHub, or nothing.
    """
    notebook = copy.deepcopy(notebook)
    if not title(notebook):
        return notebook
    first = notebook.cells[0]
    heading, rest = BADGE.sub("", first.source).split("\n", 1)
    first.source = f"{heading}\n\n{badge(name, repository)}\n\n{rest.lstrip()}"
    _install_cell(notebook).source = install(repository)
    _number(notebook)
    return with_slide_tags(notebook)


def badge(name: str, repository: str) -> str:
    """The badge's line: it opens the notebook in Colab, or leads to how that is done, if no address is known."""
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}"
    return f"[![Open in Colab](colab.svg)]({colab if repository else 'INSTRUCTORS.md#colab'})"


def install(repository: str) -> str:
    """The code that installs on Colab, and does and prints nothing elsewhere."""
    return INSTALL.format(address=f'"https://github.com/{repository}"' if repository else ASKED)


def _install_cell(notebook: NotebookNode) -> NotebookNode:
    """The cell that installs, right below the first one; a new one if there is none."""
    own = [cell for cell in notebook.cells if COLAB in tags(cell)]
    cell = own[0] if own else new_code_cell(metadata={"tags": [COLAB]})
    ran = any(other.execution_count for other in notebook.cells if is_code(other))
    cell.execution_count = 1 if ran else None
    others = [other for other in notebook.cells if COLAB not in tags(other)]
    notebook.cells = [others[0], cell, *others[1:]]
    return cell


def _number(notebook: NotebookNode) -> None:
    """Number the cells that have run in their order."""
    number = 0
    for cell in filter(is_code, notebook.cells):
        if cell.execution_count is None:
            continue
        number += 1
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="all, and INSTRUCTORS.md")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="where the course lies on GitHub")
    asked = parser.parse_args(arguments)
    if asked.repository:
        if not OWNER_NAME.fullmatch(asked.repository):
            parser.error(f"--repository {asked.repository!r}: write owner/name, such as jane/salmonn-mini")
        set_repository(asked.repository)
    sys.path.insert(0, str(ROOT / "tests"))
    from record import clean

    for path in asked.notebooks or chapters():
        before = read(path)
        after = clean(prepared(before, path.name, repository()))
        if after != before:
            write(path, after)
            print(f"{path.name}: brought up to date")
    if not asked.notebooks and cards.update():
        print("INSTRUCTORS.md: brought up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
