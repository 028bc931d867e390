"""Manifests: which file holds which sound, what is asked of it, and the answer.

Three forms are read: the published annotation file, JSON lines, and CSV.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from salmonn_mini.audio import load_audio
from salmonn_mini.data.tables import Rows, csv_rows, json_lines, parse_json, read_text
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import write_text
from salmonn_mini.models.config import GAP_SECONDS, SAMPLE_RATE, SalmonnConfig

PLACEHOLDER = "<Speech><SpeechHere></Speech>"  # begins the prompts of the published files
KEYS = ("path", "text", "task", "Q", "expand_wav", "begin", "end")
SYNONYMS = {"question": "Q", "start": "begin", "offset": "begin"}


@dataclass(frozen=True)
class Sample:
    """A row of a manifest, in the published names.

    Attributes:
        text: the answer.
        task: chooses the prompts.
        Q: what fills the `{}` of a prompt.
        expand_wav: more files, joined after the first with 0.1 s of silence between them.
        begin, end: the segment of the first file that is meant, in seconds; None: from its start, to its end.
    """

    path: Path
    text: str
    task: str = "asr"
    Q: str = ""
    expand_wav: tuple[Path, ...] = ()
    begin: float | None = None
    end: float | None = None

    @property
    def clip(self) -> str:
        """Its name in logs, where a name that is not Unicode could not be written."""
        name = str(self.path).encode("utf-8", "backslashreplace").decode()
        if self.begin is None and self.end is None:
            return name
        return f"{name} [{self.begin or 0:g}-{'' if self.end is None else f'{self.end:g}'} s]"

    @property
    def files(self) -> tuple[Path, ...]:
        """All its audio files."""
        return self.path, *self.expand_wav


def read_manifest(path: str | os.PathLike) -> list[Sample]:
    """The samples of a manifest; paths in it are relative to its folder.

    `.json`: `{"annotation": [{"path", "text", "task", "Q", "expand_wav"}, …]}`, as published. `.jsonl`: one
    such object a line. `.csv`: a header with path and text, and any of task, Q, begin and end. The task is asr
    by default; begin and end, in seconds, take a segment of the file.

    Raises:
        SalmonnError: a file or line that does not have this form, by name, number, value and remedy.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise SalmonnError(f"{path}: a manifest ends in {', '.join(_READERS)}; convert or rename it")
    samples = [to_sample(row, f"{path}, {where}", path.parent) for where, row in _READERS[path.suffix](path)]
    if not samples:
        raise SalmonnError(f"{path}: no samples; a manifest needs at least one")
    return samples


def read_prompts(path: str | os.PathLike) -> dict[str, tuple[str, ...]]:
    """A published prompt file, `{task: [prompt, …]}`; the placeholder for the sound is taken off the prompts.

    Raises:
        SalmonnError: a file without this form.
    """
    path = Path(path)
    table = parse_json(read_text(path), str(path))
    if not isinstance(table, dict) or not table:
        raise SalmonnError(f'{path}: prompts are {{"task": ["prompt", …]}}; bring them into this form')
    prompts = {}
    for task, listed in table.items():
        listed = [listed] if isinstance(listed, str) else listed
        if not listed or not isinstance(listed, list) or not all(isinstance(p, str) for p in listed):
            raise SalmonnError(
                f"{path}: the prompts of {task!r} are {listed!r}, but they must be a list of texts"
            )
        prompts[task] = tuple(prompt.removeprefix(PLACEHOLDER).strip() for prompt in listed)
    return prompts


def _published(path: Path) -> Rows:
    table = parse_json(read_text(path), str(path))
    rows = table.get("annotation") if isinstance(table, dict) else None
    if not isinstance(rows, list):
        raise SalmonnError(
            f'{path}: a .json manifest is {{"annotation": [{{"path", "text", …}}, …]}}; '
            f"give it that form, or call a file with one object a line .jsonl"
        )
    return ((f"annotation {number}", row) for number, row in enumerate(rows, 1))


_READERS: dict[str, Callable[[Path], Rows]] = {".json": _published, ".jsonl": json_lines, ".csv": csv_rows}


def sample_row(sample: Sample, folder: Path) -> dict[str, object]:
    """A sample as a row of a manifest in `folder`; paths below that folder are relative to it."""
    row: dict[str, object] = {"path": _from(folder, sample.path), "text": sample.text, "task": sample.task}
    if sample.Q:
        row["Q"] = sample.Q
    if sample.expand_wav:
        row["expand_wav"] = [_from(folder, path) for path in sample.expand_wav]
    row |= {key: value for key in ("begin", "end") if (value := getattr(sample, key)) is not None}
    return row


def write_manifest(path: str | os.PathLike, samples: Iterable[Sample]) -> int:
    """Write a JSON-lines manifest atomically; returns the number of its samples.

    Raises:
        SalmonnError: the name does not end in .jsonl, no samples, one that is not Unicode, or a place that
            cannot be written to.
    """
    path = Path(path)
    if path.suffix != ".jsonl":
        raise SalmonnError(f"{path}: what is written is JSON lines; give a name that ends in .jsonl")
    samples = list(samples)
    for sample in samples:
        check_unicode(sample)
    rows = [sample_row(sample, path.parent) for sample in samples]
    if not rows:
        raise SalmonnError(f"{path}: no samples to write; look whether the folder is the right one")
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)


def _from(folder: Path, path: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def to_sample(row: object, where: str, folder: Path) -> Sample:
    """A row of a manifest in `folder`, checked.

    Raises:
        SalmonnError: a missing or misspelt key, or a value of the wrong kind, after `where` it stands.
    """
    if not isinstance(row, dict):
        raise SalmonnError(f'{where}: {row!r} must be an object with "path" and "text"')
    _check_spelling(row, where)
    for key in ("path", "text"):
        if row.get(key) is None:
            raise SalmonnError(f"{where}: {key!r} is missing (found: {', '.join(map(str, row))}); add it")
    values = {key: row[key] for key in ("path", "text", "task", "Q") if row.get(key) is not None}
    for key, value in values.items():
        if not isinstance(value, str) or (key in ("path", "task") and not value):
            raise SalmonnError(f"{where}: {key} is {value!r}, but it must be a text; correct it")
    more = row.get("expand_wav") or ()
    if not isinstance(more, list | tuple) or not all(isinstance(path, str) and path for path in more):
        raise SalmonnError(f"{where}: expand_wav is {more!r}, but it must be a list of paths; correct it")
    values["path"] = folder / values["path"]
    begin, end = (_seconds(row.get(key), f"{where}: {key}") for key in ("begin", "end"))
    if end is not None and end <= (begin or 0):
        raise SalmonnError(f"{where}: end = {end:g} s is not after begin = {begin or 0:g} s; correct them")
    return Sample(**values, expand_wav=tuple(folder / path for path in more), begin=begin, end=end)


def _check_spelling(row: dict, where: str) -> None:
    """A key that is nearly one that the row lacks would silently count for nothing."""
    missing = {key.lower(): key for key in KEYS if key not in row}
    for key in row:
        name = str(key).strip().lower()
        close = difflib.get_close_matches(name, missing, n=1, cutoff=0.75)
        meant = missing[close[0]] if close else SYNONYMS.get(name)
        if key not in KEYS and meant in missing.values():
            raise SalmonnError(f"{where}: unknown key {key!r}: did you mean {meant!r}?")


def _seconds(value: object, what: str) -> float | None:
    if value in (None, ""):
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise SalmonnError(f"{what} is {value!r}, but it must be a number of seconds; correct it")
    return seconds


def check_unicode(sample: Sample) -> None:
    """Refuse what no tokenizer and no file takes: lone surrogates, as cut emojis and other encodings leave them.

    Raises:
        SalmonnError: the sample and its text that is not Unicode.
    """
    for name, value in (("text", sample.text), ("Q", sample.Q), ("task", sample.task)):
        if not is_unicode(value):
            raise SalmonnError(
                f"{sample.clip}: its {name} {value!a} is not Unicode; correct it in the manifest"
            )
    for path in sample.files:
        if not is_unicode(str(path)):
            raise SalmonnError(f"{sample.clip}: its name is not UTF-8; rename it")


def is_unicode(text: str) -> bool:
    """Whether a text is without lone surrogates."""
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True)
class BadClip:
    """Stands where a clip's sound would: why it cannot be used."""

    reason: str


def try_clip(sample: Sample, config: SalmonnConfig) -> Tensor | BadClip:
    """The sound X (S,) of a sample as `load_clip` gives it, or the reason why there is none.

    A sample of which only the beginning can be read is bad too: its text tells of the whole.
    """
    notes: list[str] = []
    try:
        X = load_clip(sample, config, notes)
    except SalmonnError as problem:
        return BadClip(_without_path(str(problem), sample))
    return next((BadClip(note) for note in notes if note.startswith("damaged")), X)


def _without_path(problem: str, sample: Sample) -> str:
    for number, path in enumerate(sample.files, 1):
        if problem.startswith(f"{path}: "):
            which = f"its clip {number}: " if number > 1 else ""
            return which + problem.removeprefix(f"{path}: ")
    return problem


def load_clip(sample: Sample, config: SalmonnConfig, notes: list[str] | None = None) -> Tensor:
    """The sound X (S,) of a sample, all its clips in a row, by the model's rules for channels and length.

    Raises:
        SalmonnError: as `load_audio`.
    """
    longest = None if config.max_seconds is None else round(config.max_seconds * SAMPLE_RATE)
    gap = torch.zeros(round(GAP_SECONDS * SAMPLE_RATE))
    parts: list[Tensor] = []
    rules = {"channels": config.channels, "max_seconds": config.max_seconds, "notes": notes}
    for number, path in enumerate(sample.files):
        clip = load_audio(path, **rules) if number else load_audio(path, sample.begin, sample.end, **rules)
        parts += [gap, clip] if parts else [clip]
    X = torch.cat(parts)[:longest]
    return pad(X, (0, max(0, round(config.min_seconds * SAMPLE_RATE) - len(X))))
