"""Files: read with a reason when they cannot be, written whole or not at all, and weights that must fit."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from salmonn_mini.errors import SalmonnError


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all; while that lasts, its name ends in ".new"."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    force(path.parent)  # the new name too


def write_text(path: Path | str, text: str) -> None:
    """Write a text whole or not at all; its folder is made.

    Raises:
        SalmonnError: a place that cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise SalmonnError(f"cannot write {path} ({error}): choose another file") from error


def write_json(path: Path | str, value: Any, *, indent: int = 1) -> None:
    """Write `value` as JSON, as `write_text` does."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def force(path: Path) -> None:
    """Force a file or a folder's names to the disk, where the system can (Windows opens no folders)."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_json(file: str | os.PathLike) -> Any:
    """What a JSON file says.

    Raises:
        SalmonnError: no such file, or no JSON.
    """
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as problem:
        raise SalmonnError(f"{file}: cannot be read ({problem.strerror}); check the path") from problem
    except ValueError as problem:
        raise SalmonnError(f"{file}: this is not JSON ({problem}); write it again") from problem


@contextmanager
def replacing(folder: str | os.PathLike) -> Iterator[Path]:
    """A folder to write files into; at the end each takes its place in `folder`, whole.

    Raises:
        SalmonnError: `folder` cannot be written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as beside:
            yield Path(beside)
            for file in sorted(Path(beside).iterdir()):
                file.chmod(0o644)  # safetensors' files come readable by their owner alone
                os.replace(file, folder / file.name)
    except OSError as problem:
        raise SalmonnError(
            f"{folder}: cannot be written to ({problem.strerror}); check its path and the free space"
        ) from problem
