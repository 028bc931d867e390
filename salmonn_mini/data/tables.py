"""Rows out of CSV, TSV, JSON, JSON Lines, Parquet and Hugging Face `datasets` folders, each with its place.

A malformed row is refused by its line: what is read is what was written, or nothing.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from salmonn_mini.errors import SalmonnError, counted

Rows = Iterator[tuple[str, Any]]  # where a row stands, and the row


def read_rows(path: Path) -> Rows:
    """The rows of a table, by its ending.

    Raises:
        SalmonnError: no such table, one of another kind, a malformed row, or pyarrow is needed and not there.
    """
    readers = {".csv": csv_rows, ".tsv": tsv_rows, ".json": json_rows, ".jsonl": json_lines}
    readers[".parquet"] = lambda path: _arrow_rows([path])
    if path.suffix.lower() not in readers:
        raise SalmonnError(f"{path}: a table ends in {', '.join(readers)}; convert or rename it")
    return readers[path.suffix.lower()](path)


def table_rows(path: Path, *columns: str) -> Iterator[dict[str, Any]]:
    """The rows of a table, each with something in at least these columns."""
    for where, row in read_rows(path):
        if missing := [name for name in columns if not isinstance(row, dict) or row.get(name) is None]:
            raise SalmonnError(
                f"{path}, {where}: no {', '.join(missing)} in it; copy the data set's own table again"
            )
        yield row


def csv_rows(path: Path, **form: Any) -> Rows:
    """The rows of a table with a header, as dictionaries of texts."""
    reader = csv.reader(io.StringIO(read_text(path, newline=""), newline=""), strict=True, **form)
    header, line = None, 1
    try:
        for cells in reader:
            if header is None:
                header = cells
            elif cells and len(cells) != len(header):
                raise SalmonnError(
                    f"{path}, line {line}: {counted(len(cells), 'cell')} for the header's "
                    f"{counted(len(header), 'column')}; put a text with commas or line breaks in double quotes"
                )
            elif cells:
                yield f"line {line}", dict(zip(header, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as problem:
        raise SalmonnError(f"{path}, line {line}: not CSV ({problem}); correct it there") from problem


def tsv_rows(path: Path) -> Rows:
    """The rows of a table with tabs between its cells, and no quotes, as Common Voice and CoVoST write it."""
    return csv_rows(path, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")


def json_lines(path: Path) -> Rows:
    """One JSON value a line."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield f"line {number}", parse_json(line, f"{path}, line {number}")


def json_rows(path: Path) -> Rows:
    """The objects of a JSON list, or in a JSON object of `annotation`, else of its one list."""
    table = parse_json(read_text(path), str(path))
    values = table.values() if isinstance(table, dict) else [table]
    lists = [value for value in values if isinstance(value, list)]
    if isinstance(table, dict) and isinstance(table.get("annotation"), list):
        lists = [table["annotation"]]
    if len(lists) != 1:
        raise SalmonnError(
            f'{path}: a list of objects is expected, as in {{"annotation": [{{"path", "text", …}}, …]}}, '
            f"but it has {counted(len(lists), 'list')}; convert it, or call a file with an object a line .jsonl"
        )
    return ((f"row {number}", row) for number, row in enumerate(lists[0], 1))


def json_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds; a SalmonnError where it holds none."""
    table = parse_json(read_text(path), str(path))
    if not isinstance(table, dict):
        raise SalmonnError(f"{path}: an object is expected; copy it again")
    return table


def read_text(path: str | os.PathLike, newline: str | None = None) -> str:
    """A text file's content; a SalmonnError where it cannot be read, or is not UTF-8."""
    try:
        with open(path, encoding="utf-8-sig", newline=newline) as file:
            return file.read()
    except OSError as problem:
        raise SalmonnError(f"{path}: cannot be read ({problem.strerror}); check the path") from problem
    except UnicodeDecodeError as problem:
        raise SalmonnError(f"{path}: byte {problem.start} is not UTF-8; save it as UTF-8") from problem


def parse_json(text: str, where: str) -> Any:
    """What a JSON text says; a SalmonnError where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise SalmonnError(f"{where}: not JSON ({problem}); correct it there") from problem


def folder_rows(folder: Path, split: str = "") -> Rows:
    """`save_to_disk`'s Arrow files, one folder with a state.json a split; or the Hub's Parquet files by split."""
    if splits := sorted(path.parent.name for path in folder.glob("*/state.json")):
        split = split or (splits[0] if len(splits) == 1 else "")
        if split not in splits:
            raise SalmonnError(f"{folder} has the splits {', '.join(splits)}; choose one with --split")
        folder = folder / split
    files = sorted(path for path in folder.rglob("*.parquet") if path.stem.startswith(split))
    files = files or sorted(path for path in folder.glob("*.arrow") if not path.name.startswith("cache-"))
    if not files:
        raise SalmonnError(f"{folder}: no .parquet or .arrow files{f' of {split}' * bool(split)} in it")
    return _arrow_rows(files)


def _arrow_rows(files: list[Path]) -> Rows:
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError as problem:
        remedy = "run: pip install 'salmonn-mini[parquet]'"
        raise SalmonnError(f"{files[0]}: needs pyarrow; {remedy}") from problem
    for file in files:
        try:
            if file.suffix == ".parquet":
                batches = parquet.ParquetFile(file).iter_batches(64)
            else:
                batches = ipc.open_stream(pyarrow.memory_map(str(file)))
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield f"{file.name}, row {number}", row
        except (OSError, pyarrow.ArrowException) as problem:
            reason = str(problem).split("\n")[0]
            raise SalmonnError(f"{file}: cannot be read ({reason}); copy it again") from problem
