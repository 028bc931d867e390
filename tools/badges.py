"""Notebooks to open online: a copy of each, with links to Colab and Binder, and a cell that installs the course there.

    python -m tools.badges owner/name                           # into online/
    python -m tools.badges owner/name students/notebooks/*.ipynb

The links lead to the branch `online` of that repository: push the folder there, as the workflow `book` does. The
notebooks of the lab have neither links nor cell.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tools.course import ROOT, chapters, make_way, read, write

ONLINE = ROOT / "online"
BRANCH = "online"
OWNER_NAME = re.compile(r"[\w.-]+/[\w.-]+")
INSTALL = """# Online, install the course first: on Colab it takes some minutes, on Binder it is there.
!test -d ~/course || git clone --quiet --depth 1 https://github.com/{repository} ~/course
!pip show --quiet salmonn-mini 2>/dev/null || pip install --quiet ~/course
%cd -q ~/course/notebooks"""
# Binder runs this once, while it builds the machine; a CPU has no use for CUDA's libraries.
POST_BUILD = """#!/bin/bash
set -e
git clone --quiet --depth 1 https://github.com/{repository} ~/course
pip install --quiet uv
uv pip install --quiet --python "$(command -v python)" --torch-backend cpu ~/course
"""
README = "These notebooks were made by `make badges`: change them in https://github.com/{repository}\n"
FILES = {"README.md": README, "binder/runtime.txt": "python-3.12\n", "binder/postBuild": POST_BUILD}


def links(name: str, repository: str) -> list[str]:
    """Links that open the online copy of a notebook, in Markdown; none if no repository is named."""
    if not repository:
        return []
    colab = f"https://colab.research.google.com/github/{repository}/blob/{BRANCH}/{name}"
    binder = f"https://mybinder.org/v2/gh/{repository}/{BRANCH}?labpath={name}"
    return [f"[Open in Colab]({colab})", f"[Open in Binder]({binder})"]


def with_line(notebook: NotebookNode, line: str) -> NotebookNode:
    """A copy with a line of its own below the title."""
    notebook = copy.deepcopy(notebook)
    heading, rest = notebook.cells[0].source.split("\n", 1)
    notebook.cells[0].source = f"{heading}\n\n{line}\n{rest}"
    return notebook


def online(notebook: NotebookNode, name: str, repository: str) -> NotebookNode:
    """The copy of a notebook that is opened online: links below its title, then the cell that installs."""
    notebook = with_line(notebook, " · ".join(links(name, repository)))
    cell = new_code_cell(INSTALL.format(repository=repository), id="install")
    notebook.cells.insert(1, cell)
    return notebook


def owner_name(text: str) -> str:
    """owner/name as it stands; raises argparse's error for anything else."""
    if not OWNER_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: write owner/name, such as jane/salmonn-mini")
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "repository", metavar="OWNER/NAME", type=owner_name, help="where the course lies on GitHub"
    )
    parser.add_argument("notebooks", nargs="*", type=Path, default=chapters())
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=ONLINE)
    asked = parser.parse_args(arguments)
    make_way(asked.out, ONLINE, parser)
    for name, text in FILES.items():
        file = asked.out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(repository=asked.repository), encoding="utf-8", newline="\n")
    for path in asked.notebooks:
        write(asked.out / path.name, online(read(path), path.name, asked.repository))
    print(
        f"{asked.out}: {len(asked.notebooks)} notebooks; push it to the branch {BRANCH} of {asked.repository}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
