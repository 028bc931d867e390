"""After `make test`: run the notebooks that failed once more, errors allowed, and keep them with their figures.

    python tests/failed.py      # failed/NAME.ipynb and failed/NAME-1.png, …, for CI to upload

nbval compares, and keeps nothing of what it ran.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from record import ROOT, Client

FAILED = ROOT / "failed"
LAST = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"  # pytest's own


def notebooks(last: Path = LAST) -> list[Path]:
    """The notebooks with a cell that failed when pytest last ran them."""
    names = json.loads(last.read_text(encoding="utf-8")) if last.exists() else {}
    return sorted({ROOT / name.split("::")[0] for name in names if ".ipynb" in name})


def figures(notebook: NotebookNode) -> Iterator[bytes]:
    """The PNG pictures that the notebook shows."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield base64.b64decode(output.data["image/png"])


def keep(path: Path, folder: Path) -> None:
    """Run a notebook to its end, whatever fails, and write it and its figures."""
    notebook = nbformat.read(path, as_version=4)
    client = Client.of(notebook, path)
    client.allow_errors = True
    try:
        client.execute()
    except (CellTimeoutError, DeadKernelError) as error:
        print(f"{path.name}: {error}")
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / path.name)
    for number, picture in enumerate(figures(notebook), 1):
        (folder / f"{path.stem}-{number}.png").write_bytes(picture)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for failed in notebooks():
        print(failed.relative_to(ROOT).as_posix(), flush=True)
        keep(failed, FAILED)
