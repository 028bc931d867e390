"""Files: read with a reason when that fails, and written completely or not at all, whenever the program ends."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from salmonn_mini.errors import SalmonnError

PREFIX = ".writing-"  # of temporary directories


@contextmanager
def replacing(directory: str | os.PathLike, target: Path | None = None) -> Iterator[Path]:
    """A temporary directory to write files into; at the end each of them moves to `directory`.

    Raises:
        SalmonnError: `directory` cannot be written to; the message names `target`, if that is given.
    """
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=PREFIX) as temporary:
            yield Path(temporary)
            for file in sorted(Path(temporary).iterdir()):
                file.chmod(0o644)  # safetensors' files are readable by their owner alone
                fsync(file)
                os.replace(file, directory / file.name)
        fsync(directory)  # the new names too
    except (OSError, SafetensorError) as error:
        raise _cannot_write(target or directory, error) from error


def write_bytes(path: str | os.PathLike, content: bytes | memoryview) -> None:
    """Write a file, as `replacing` does; raises SalmonnError if it cannot be written."""
    path = Path(path)
    with replacing(path.parent, path) as temporary:
        (temporary / path.name).write_bytes(content)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike, value: Any, *, indent: int = 1) -> None:
    """Write `value` as JSON, as `write_bytes` does."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def append_json(path: Path, row: Any) -> None:
    """Append a line of JSON; raises SalmonnError if it cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise _cannot_write(path, error) from error


def complete_lines(path: Path) -> list[bytes]:
    """The lines of a file that `append_json` writes, without one that was cut; none without the file."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith(b"\n")]


def truncate_lines(path: Path, count: int) -> None:
    """Keep the first `count` lines of such a file, if it is there."""
    if path.exists():
        write_bytes(path, b"".join(complete_lines(path)[:count]))


def remove_abandoned(directory: Path, seconds: float) -> None:
    """Delete the temporary directories of `replacing` that are older: their processes have died."""
    for path in directory.glob(f"{PREFIX}*"):
        if path.stat().st_mtime < time.time() - seconds:
            shutil.rmtree(path, ignore_errors=True)


def fsync(path: Path) -> None:
    """Force a file or a directory's names to the disk, where the system can (Windows opens no directories)."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_json(file: str | os.PathLike) -> Any:
    """The content of a JSON file; raises SalmonnError if there is none, or it is not JSON."""
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise SalmonnError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise SalmonnError(f"{file}: this is not JSON ({error}); write it again") from error


def _cannot_write(path: str | os.PathLike, error: Exception) -> SalmonnError:
    reason = getattr(error, "strerror", None) or error
    return SalmonnError(f"cannot write {path} ({reason}): check the path and the free space")
