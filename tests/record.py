"""Run notebooks from top to bottom and write down what they show.

    python tests/record.py notebooks/00_tour.ipynb …

The same results give the same file, byte for byte: whatever depends on the moment or the machine is removed.
A notebook that fails, writes to stderr or breaks another rule of `faults` is reported and left as it was.
"""

from __future__ import annotations

import faulthandler
import hashlib
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty

import nbformat
from jupyter_client import AsyncKernelClient
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
CELL_SECONDS, NOTEBOOK_SECONDS = 600, 3000
WIDGET = "application/vnd.jupyter.widget-view+json"
CHECKED = "nbval-check-output"
TAGS = {CHECKED, "nbval-ignore-output", "nbval-skip", "nbval-raises-exception"}
PYTHON = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# A path of somebody's machine; what stands before it must not make it part of an address or of base64.
OWN_PATH = re.compile(r"(?<![\w.:/+])/(?:home|Users|root|tmp|opt|usr|var|mnt|private|work)/|[A-Z]:\\\\?Users")
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")


class Client(NotebookClient):
    """A client that does not sleep over a reply.

    While nbclient sends what a widget's output wants, the reply that arrives at the same socket goes unnoticed until
    the cell's whole time is over. So the socket is looked at every second.
    """

    @classmethod
    def of(cls, notebook: NotebookNode, path: Path) -> Client:
        """A client that runs a notebook where its file lies."""
        place = {"metadata": {"path": str(path.parent)}}
        return cls(
            notebook, timeout=CELL_SECONDS, resources=place, record_timing=False, coalesce_streams=True
        )

    async def async_start_new_kernel_client(self) -> AsyncKernelClient:
        kernel = await super().async_start_new_kernel_client()
        once = kernel.shell_channel.get_msg

        async def get_msg(timeout: float | None = None) -> dict:
            end = math.inf if timeout is None else time.monotonic() + timeout
            while True:
                try:
                    return await once(timeout=1)
                except Empty:
                    if time.monotonic() > end:
                        raise

        kernel.shell_channel.get_msg = get_msg
        return kernel


def clean(notebook: NotebookNode) -> NotebookNode:
    """A copy without widget state, timings and random ids: cell ids follow from the cells' text."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = {k: v for k, v in notebook.metadata.items() if k != "widgets"} | PYTHON
    notebook.nbformat_minor = 5
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        seen[cell.source] += 1
        cell.id = hashlib.sha256(f"{cell.source}#{seen[cell.source]}".encode()).hexdigest()[:8]
        for key in ("execution", "collapsed", "scrolled", "trusted", "ExecuteTime"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    return notebook


def faults(notebook: NotebookNode) -> Iterator[str]:
    """What is wrong with a recorded notebook, a line each; nothing when it may be committed."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "not run from top to bottom"
    if not any(CHECKED in cell.metadata.get("tags", []) for cell in code):
        yield f"no cell is tagged {CHECKED}, so nbval would compare nothing"
    for number, cell in enumerate(notebook.cells, 1):
        for fault in cell_faults(cell):
            yield f"cell {number}: {fault}"
    if clean(notebook) != notebook:
        yield "holds widget state, timings or random ids"


def cell_faults(cell: NotebookNode) -> Iterator[str]:
    tags = set(cell.metadata.get("tags", []))
    outputs = cell.get("outputs", [])
    for tag in sorted(tags - TAGS):
        if tag.lower().startswith("nbval"):
            yield f"there is no tag {tag!r}: choose one of {', '.join(sorted(TAGS))}"
    if CHECKED in tags and not outputs:
        yield f"tagged {CHECKED} but without output"
    for output in outputs:
        if output.output_type == "error" and not tags & {"raises-exception", "nbval-raises-exception"}:
            yield f"ends in {output.ename}: {output.evalue}"
        if output.get("name") == "stderr":
            yield f"writes to stderr: {output.text.strip()[:200]}"
    text = cell.source + str([{**output.get("data", {}), "text": output.get("text")} for output in outputs])
    for pattern, name in ((OWN_PATH, "a path of one machine"), (ADDRESS, "a memory address")):
        if found := pattern.search(text):
            yield f"shows {name}: {text[found.start() : found.start() + 60]!r}"


def record(path: Path) -> list[str]:
    """Run one notebook and write it, cleaned, with slide tags, unless it has faults, which are returned."""
    from tools.course import write
    from tools.slide_tags import with_slide_tags

    notebook = nbformat.read(path, as_version=4)
    try:
        Client.of(notebook, path).execute()
    except CellExecutionError as error:
        return [str(error)]
    notebook = clean(with_slide_tags(notebook))
    found = list(faults(notebook))
    if not found:
        write(path, notebook)
    return found


def main(paths: list[str], work: Callable[[Path], list[str]] = record) -> int:
    """Do `work` on each notebook in quiet surroundings and tell what it found; 1 if it found anything."""
    sys.path.insert(0, str(ROOT))
    from conftest import QUIET

    os.environ.update(QUIET)
    failed = False
    for path in map(Path, paths):
        start = time.monotonic()
        # A kernel that hangs where no cell timeout looks must not hang all of it.
        faulthandler.dump_traceback_later(NOTEBOOK_SECONDS, exit=True)
        found = work(path)
        faulthandler.cancel_dump_traceback_later()
        print(f"{path}: {time.monotonic() - start:.0f} s", *found, sep="\n  ", flush=True)
        failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
