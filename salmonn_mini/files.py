"""Files that are there whole or not at all: written beside their place, forced to the disk, then renamed."""

from __future__ import annotations

import json
import os
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
