"""Public data sets and tables of any kind as manifests. Nothing is fetched: the files are there.

What a data set's table names and its folder does not hold (videos vanish) is counted and left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from salmonn_mini.data import corpora
from salmonn_mini.data.manifest import KEYS, Sample, to_sample
from salmonn_mini.data.tables import folder_rows, read_rows
from salmonn_mini.errors import SalmonnError, counted, unknown


class Importer(NamedTuple):
    """How a data set is read: (folder, part) → samples, or why a row gives none.

    Attributes:
        training: the parts that are read by default, of those whose place is there.
    """

    read: Callable[[Path, str], Iterator[Sample | str]]
    training: tuple[str, ...]
    places: tuple[str, ...] = ("{}",)


IMPORTERS = {
    "librispeech": Importer(
        corpora.librispeech,
        ("train-clean-100", "train-clean-360", "train-other-500"),
        ("{}", "LibriSpeech/{}"),
    ),
    "audiocaps": Importer(corpora.audiocaps, ("train",)),
    "clotho": Importer(corpora.clotho, ("development",)),
    "wavcaps": Importer(corpora.wavcaps, tuple(corpora.WAVCAPS), ("json_files/{}",)),
    "covost2": Importer(corpora.covost2, ("en_zh-CN.train",)),
    "musiccaps": Importer(corpora.musiccaps, ("train",)),
    "gigaspeech": Importer(corpora.gigaspeech, ("M",)),
    "librimix": Importer(corpora.librimix, ("train-360",)),
    "voxceleb1": Importer(corpora.voxceleb1, ("veri_test2",)),
    "iemocap": Importer(corpora.iemocap, tuple(f"Session{number}" for number in range(1, 6))),
}


@dataclass
class ImportResult:
    """The samples of a data set whose sound is there, and how many of its rows were left out, with the reason."""

    samples: list[Sample]
    left_out: dict[str, int]


def import_data_set(name: str, folder: Path, splits: Iterable[str] = ()) -> ImportResult:
    """The samples of a data set of IMPORTERS in `folder`; of the training parts there, unless `splits` names others.

    Raises:
        SalmonnError: no such data set or folder; a table that is missing or malformed; no sound.
    """
    if name not in IMPORTERS:
        raise unknown("data set", name, (*IMPORTERS, "table"))
    if not folder.is_dir():
        raise SalmonnError(f"{folder}: no such folder; name the one in which {name} lies")
    read, training, places = IMPORTERS[name]
    there = [part for part in training if any((folder / place.format(part)).is_dir() for place in places)]
    rows = (row for split in tuple(splits) or there or training for row in read(folder, split))
    return _collect(rows, folder, "put the audio files where `salmonn-mini data import --help` says")


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
        split: of a folder with several.

    Raises:
        SalmonnError: as `read_rows`; no such key or column; a row that makes no sample; no audio file at all.
    """
    for key in (*columns, *constants):
        if key not in KEYS:
            raise unknown("key of a manifest", key, KEYS)
    folder, rows = (path, folder_rows(path, split)) if path.is_dir() else (path.parent, read_rows(path))

    def samples() -> Iterator[Sample]:
        for number, (where, row) in enumerate(rows):
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

    return _collect(samples(), path, f"paths start from {folder}")


def _collect(rows: Iterable[Sample | str], source: Path, remedy: str) -> ImportResult:
    """What an importer yields; a SalmonnError without any sound."""
    is_file = lru_cache(64)(Path.is_file)  # a file of many segments is looked for once
    found = ImportResult([], {})
    for row in rows:
        if isinstance(row, Sample) and all(map(is_file, row.files)):
            found.samples.append(row)
        else:
            reason = "no sound file" if isinstance(row, Sample) else row
            found.left_out[reason] = found.left_out.get(reason, 0) + 1
    if not found.samples:
        reasons = ", ".join(f"{counted(rows, 'row')}: {reason}" for reason, rows in found.left_out.items())
        raise SalmonnError(f"{source}: nothing to import ({reasons or 'no rows'}); {remedy}")
    return found


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
