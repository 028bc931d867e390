"""A folder of submissions, some at a time: each has its judge, what is done is kept, none of them ends the run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from salmonn_mini import __version__
from salmonn_mini.course.grading.limits import Limits, kill_family
from salmonn_mini.course.grading.notebook import PACKAGE
from salmonn_mini.course.grading.work import Work
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import append_json, complete_lines, truncate_lines

MOST = 20 * 2**20  # bytes of a notebook


def grade(
    folder: Path, rows_file: Path, limits: Limits, jobs: int, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The rows of all notebooks below `folder`, in order; those in `rows_file` are taken from there.

    Raises:
        SalmonnError: no folder, or no notebook in it.
    """
    given = {name: _content(path) for name, path in _submissions(folder).items()}
    truncate_lines(rows_file, len(complete_lines(rows_file)))  # a kill may have cut the last one
    keys = {name: _key(content, limits) for name, content in given.items()}
    done = {row["file"]: row for row in _rows(rows_file) if row["key"] == keys.get(row["file"])}
    left = [name for name in given if name not in done]
    if done:
        tell(f"{len(done)} of {len(given)} are marked already, in {rows_file}")
    if left:
        hidden = [folder.resolve(), *filter(Path.is_dir, [PACKAGE.parent / "notebooks"])]
        with contextlib.closing(_all(left, given, hidden, limits, jobs)) as works:
            for name, work in works:
                done[name] = {"file": name, "key": keys[name], **work}
                append_json(rows_file, done[name])
                tell(f"{len(done)} of {len(given)}: {name}")
    for name, content in given.items():
        if _content(folder / name) != content:
            tell(f"warning: {name} has changed since the marking began")
    return [done[name] for name in given]


def _submissions(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise SalmonnError(
            f"{folder}: there is no such folder; name the one that holds the notebooks handed in"
        )
    found = [path for path in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    if not found:
        raise SalmonnError(f"{folder}: no notebook (*.ipynb) in it or below; unpack what was handed in first")
    return {path.relative_to(folder).as_posix(): path for path in found}


def _content(path: Path) -> bytes | str:
    """What a file holds, or why it is not read."""
    try:
        if path.is_symlink():
            return "this is a link to another file: hand in the notebook itself"
        if not path.is_file():
            return "this is no file: hand in the notebook itself"
        if path.stat().st_size > MOST:
            return f"this is larger than {MOST >> 20} MB: clear the outputs"
        return path.read_bytes()
    except OSError as error:
        return f"this cannot be read ({error.strerror})"


def _key(content: bytes | str, limits: Limits) -> str:
    """What a row depends on: the notebook, the limits, the rules."""
    rules = [path.read_bytes() for path in sorted((PACKAGE / "course" / "exercises").glob("*.py"))]
    parts = [content if isinstance(content, bytes) else content.encode(), repr(limits).encode(), *rules]
    return hashlib.sha256(b"\0".join([__version__.encode(), *parts])).hexdigest()[:32]


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """What has been kept; a row of another version, or one that was cut, is as good as none."""
    for line in complete_lines(file):
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and {"file", "key", *vars(Work())} <= row.keys():
                yield row


def _all(
    names: list[str], given: dict[str, bytes | str], hidden: list[Path], limits: Limits, jobs: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each submission's work, as it is done."""
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":  # it imports once, for all
        context.set_forkserver_preload(["salmonn_mini.course.grading.judge"])
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        asked = {pool.submit(_work, context, given[name], hidden, limits, stop): name for name in names}
        try:
            for task in as_completed(asked):
                yield asked[task], task.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _work(
    context: Any, content: bytes | str, hidden: list[Path], limits: Limits, stop: threading.Event
) -> dict[str, Any]:
    """One submission: judges, one after another, until it is over."""
    work = Work()
    if isinstance(content, str):
        work.notes, work.over = [content], True
    while not work.over and not stop.is_set():
        ours, theirs = context.Pipe()
        process = context.Process(target=_judge, args=(theirs, content, work, hidden, limits))
        process.start()
        theirs.close()
        try:
            work = _received(ours, limits, stop)
        except (EOFError, OSError):
            work.notes.append("Its judge came to an end: nothing of it counts.")
            work.marks, work.over = {}, True
        finally:
            kill_family(process.pid)
            process.join(10)
    return vars(work)


def _judge(*given: Any) -> None:
    """In a process of its own; torch and the rules are imported there alone."""
    from salmonn_mini.course.grading.judge import judge

    judge(*given)


def _received(connection: Any, limits: Limits, stop: threading.Event) -> Any:
    """What the judge sends; raises EOFError if that takes too long."""
    for _ in range(int(2 * (2 * limits.start + 40 * limits.seconds))):
        if connection.poll(0.5):
            return connection.recv()
        if stop.is_set():
            break
    raise EOFError
