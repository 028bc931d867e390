"""The book: a static site of all chapters, their outputs as committed; nothing is run, and no page needs the network.

    python -m tools.book                            # into site/
    python -m tools.book --repository owner/name    # with links to Colab and Binder below each title

Sphinx makes it out of book/ and notebooks/; its first warning is an error.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from nbformat import NotebookNode

from tools.badges import links, owner_name, with_line
from tools.course import NOTEBOOKS, ROOT, chapters, make_way, read, write

BOOK, SITE = ROOT / "book", ROOT / "site"
PICTURE = ROOT / ".github" / "architecture.svg"
PAGES = ("GLOSSARY.md", "INSTRUCTORS.md")


def collect(folder: Path, repository: str) -> None:
    """Put all that Sphinx reads into a folder: what makes the book, pages, chapters, and the chapters to take home."""
    shutil.copytree(BOOK, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(PICTURE, folder / "static")
    (folder / "download").mkdir()
    for name in PAGES:
        shutil.copy2(NOTEBOOKS / name, folder)
    for path in chapters():
        shutil.copy2(path, folder / "download")
        download = f"{{download}}`Download the notebook <download/{path.name}>`"
        line = " ".join([download, *links(path.name, repository)])
        write(folder / path.name, with_code_links(with_alt(with_line(read(path), line)), repository))


def with_code_links(notebook: NotebookNode, repository: str) -> NotebookNode:
    """The notebook, with links to the package's files leading to GitHub; words where no repository is named."""
    target = rf"[\1](https://github.com/{repository}/blob/main/\2)" if repository else r"\1"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\[([^\]]+)\]\(\.\./(salmonn_mini/[^)]+)\)", target, cell.source)
    return notebook


def with_alt(notebook: NotebookNode) -> NotebookNode:
    """The notebook, with its figures' alt texts where MyST-NB looks for them: in the metadata of their cells."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                cell.metadata["mystnb"] = {"image": {"alt": output.data["text/plain"]}}
    return notebook


def build(out: Path, repository: str = "") -> int:
    """Write the site into a new folder, if all goes well; gives Sphinx's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "source", Path(folder) / "made"
        collect(source, repository)
        command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--builder", "html"]
        status = subprocess.run(
            [*command, "--doctree-dir", made / "doctrees", source, made / "site"]
        ).returncode
        if not status:
            shutil.move(made / "site", out)
    return status


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=SITE)
    place = "where the course lies on GitHub"
    parser.add_argument("--repository", metavar="OWNER/NAME", type=owner_name, help=place)
    asked = parser.parse_args(arguments)
    make_way(asked.out, SITE, parser)
    status = build(asked.out, asked.repository or "")
    if not status:
        print(f"{asked.out}: {len(chapters())} chapters; open index.html there")
    return status


if __name__ == "__main__":
    sys.exit(main())
