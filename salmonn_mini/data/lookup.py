"""What importers look for in a data set's folder: folders, tables, audio files by name."""

from __future__ import annotations

from pathlib import Path

from salmonn_mini.data.tables import Rows, csv_rows
from salmonn_mini.errors import SalmonnError

NO_SOUND = "no sound file"
ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")


class AudioFiles:
    """The audio files below some folders, by their names without ending."""

    def __init__(self, *folders: Path) -> None:
        self.files: dict[str, Path] = {}
        for folder in folders:
            for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
                if path.suffix.lower() in ENDINGS:
                    self.files.setdefault(path.stem, path)

    def first(self, *names: str) -> Path | None:
        """The file of the first of these names that is there."""
        return next((self.files[name] for name in names if name in self.files), None)


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
    header = table[0] if table else dict.fromkeys(needed)
    if missing := [name for name in needed if name not in header]:
        raise SalmonnError(
            f"{path}: its header lacks {', '.join(missing)}; copy the data set's own table again"
        )
    return table
