"""What importers look for in a data set's folder: folders, tables, audio files by name; and what they find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from salmonn_mini.data.manifest import Sample
from salmonn_mini.data.tables import Rows, csv_rows, read_text
from salmonn_mini.errors import SalmonnError, counted

ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")


@dataclass
class ImportResult:
    """The samples of a data set whose sound is there, and how many of its rows were left out, with the reason."""

    samples: list[Sample]
    left_out: dict[str, int]


def collect(rows: Iterable[Sample | str], source: Path, remedy: str) -> ImportResult:
    """What an importer yields: samples, or reasons why a row gives none; a SalmonnError without any sound."""
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


class AudioFiles:
    """The audio files below some folders, by their names without ending."""

    def __init__(self, *folders: Path) -> None:
        self.files: dict[str, Path] = {}
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in ENDINGS:
                    self.files.setdefault(path.stem, path)

    def first(self, *names: str) -> Path:
        """The file of the first of these names that is there; else a path that is no file."""
        return next((self.files[name] for name in names if name in self.files), Path())


def first_folder(folder: Path, *names: str) -> Path:
    """The first of these folders that is there."""
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise SalmonnError(
        f"{folder}: no folder {' or '.join(names)} in it; name the folder above it, or another split"
    )


def first_file(folder: Path, *names: str) -> Path:
    """The first of these files that is there."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise SalmonnError(f"{folder}: no file {' or '.join(names)} in it; put the data set's own table there")


def table_rows(path: Path, needed: tuple[str, ...], rows: Rows | None = None) -> list[dict[str, str]]:
    """The rows of a table with a header that has at least these columns."""
    table = [row for _, row in rows or csv_rows(path)]
    header = table[0] if table else needed
    if missing := [name for name in needed if name not in header]:
        raise SalmonnError(
            f"{path}: its header lacks {', '.join(missing)}; copy the data set's own table again"
        )
    return table


def transcripts(tables: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Where the sound of each line of LibriSpeech's `*.trans.txt` lies, and its text in lower case."""
    for table in tables:
        for line in read_text(table).split("\n"):
            name, _, text = line.partition(" ")
            if name:
                yield table.with_name(f"{name}.flac"), text.lower()
