"""A table of any kind as samples: which of its columns holds what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from salmonn_mini.data.lookup import ImportResult, collect
from salmonn_mini.data.manifest import KEYS, Sample, to_sample
from salmonn_mini.data.tables import read_rows
from salmonn_mini.errors import SalmonnError, unknown


def import_table(
    path: Path,
    columns: Mapping[str, str],
    constants: Mapping[str, str],
    text_template: str | None,
    audio_folder: Path,
    split: str = "",
) -> ImportResult:
    """The samples of a CSV, TSV, JSON, JSON Lines or Parquet file, or of a `datasets` folder.

    Args:
        columns: a manifest's key → the table's column, `audio.path` for one within another; without any, the
            columns that have a key's name.
        constants: a manifest's key → what all samples have.
        text_template: a text with `{column}` in it, instead of a column for `text`.
        audio_folder: takes the audio that stands in the table itself.

    Raises:
        SalmonnError: as `read_rows`; no such key or column; a row that makes no sample; no audio file at all.
    """
    for key in (*columns, *constants):
        if key not in KEYS:
            raise unknown("key of a manifest", key, KEYS)
    folder = path if path.is_dir() else path.parent

    def samples() -> Iterator[Sample]:
        for number, (where, row) in enumerate(read_rows(path, split)):
            where = f"{path}, {where}"
            if not isinstance(row, dict):
                raise SalmonnError(f"{where}: {row!r:.60} has no columns; an object is expected")
            named = columns or {key: key for key in KEYS if key in row}
            values = {key: _cell(row, column, where) for key, column in named.items()} | dict(constants)
            if text_template is not None:
                values["text"] = _filled(text_template, row, where)
            for key in ("text", "task", "Q"):
                if isinstance(values.get(key), int | float):
                    values[key] = str(values[key])
            values["path"] = _audio(values.get("path"), audio_folder / f"{number:08d}")
            yield to_sample(values, where, folder)

    return collect(samples(), path, f"paths start from {folder}")


def _filled(template: str, row: Mapping[str, Any], where: str) -> str:
    return re.sub(r"\{([^{}]+)\}", lambda gap: str(_cell(row, gap[1], where)), template)


def _cell(row: Mapping[str, Any], column: str, where: str) -> Any:
    value: Any = row
    for part in (column,) if column in row else column.split("."):
        if not isinstance(value, dict) or part not in value:
            raise SalmonnError(f"{where}: no column {column!r}; it has {', '.join(map(str, row))}")
        value = value[part]
    return value


def _audio(value: Any, target: Path) -> Any:
    """A path; audio in the form of `datasets`, {"bytes", "path"}, is written to a file first."""
    if not isinstance(value, dict):
        return value
    if not value.get("bytes"):
        return value.get("path")
    target = target.with_suffix(Path(value.get("path") or ".wav").suffix or ".wav").absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(value["bytes"])
    except OSError as problem:
        raise SalmonnError(f"cannot write {target} ({problem.strerror}): check the free space") from problem
    return str(target)
