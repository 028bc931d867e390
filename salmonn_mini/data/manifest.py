"""Manifests: which file holds which sound, what is asked of it, and the answer.

Three forms are read: the published annotation file, JSON lines, and CSV.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from salmonn_mini.audio import load_audio
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import replacing
from salmonn_mini.models.config import GAP_SECONDS, SAMPLE_RATE, SalmonnConfig

PLACEHOLDER = "<Speech><SpeechHere></Speech>"  # begins the prompts of the published files


@dataclass(frozen=True)
class Sample:
    """A line of a manifest, in the published names.

    Attributes:
        text: the answer.
        task: chooses the prompts.
        Q: what fills the `{}` of a prompt.
        expand_wav: more clips, heard after the first with 0.1 s of silence between them.
    """

    path: Path
    text: str
    task: str = "asr"
    Q: str = ""
    expand_wav: tuple[Path, ...] = ()


def read_manifest(path: str | os.PathLike) -> list[Sample]:
    """The samples of a manifest; paths in it are relative to its folder.

    `.json`: `{"annotation": [{"path", "text", "task", "Q", "expand_wav"}, …]}`, as published. `.jsonl`: one
    such object a line. `.csv`: a header with path and text, task and Q if wanted. The task is asr by default.

    Raises:
        SalmonnError: a file or line that does not have this form, by name, number, value and remedy.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise SalmonnError(f"{path}: a manifest ends in {', '.join(_READERS)}; convert or rename it")
    samples = [_sample(row, f"{path}, {where}", path.parent) for where, row in _READERS[path.suffix](path)]
    if not samples:
        raise SalmonnError(f"{path}: no samples; a manifest needs at least one")
    return samples


def read_prompts(path: str | os.PathLike) -> dict[str, tuple[str, ...]]:
    """A published prompt file, `{task: [prompt, …]}`; the placeholder for the sound is taken off the prompts.

    Raises:
        SalmonnError: a file without this form.
    """
    path = Path(path)
    table = _json(_text(path), str(path))
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


Rows = Iterator[tuple[str, object]]  # where a row stands, and the row


def _published(path: Path) -> Rows:
    table = _json(_text(path), str(path))
    rows = table.get("annotation") if isinstance(table, dict) else None
    if not isinstance(rows, list):
        raise SalmonnError(
            f'{path}: a .json manifest is {{"annotation": [{{"path", "text", …}}, …]}}; '
            f"give it that form, or call a file with one object a line .jsonl"
        )
    return ((f"annotation {number}", row) for number, row in enumerate(rows, 1))


def _json_lines(path: Path) -> Rows:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            yield f"line {number}", _json(line, f"{path}, line {number}")


def _csv(path: Path) -> Rows:
    reader = csv.DictReader(_text(path).splitlines(), restkey="more")
    try:
        for row in reader:
            if "more" in row:
                raise SalmonnError(
                    f"{path}, line {reader.line_num}: {row['more']!r} is beyond the header's columns "
                    f"{', '.join(reader.fieldnames)}; put a text with commas in double quotes"
                )
            yield f"line {reader.line_num}", {name: value for name, value in row.items() if value is not None}
    except csv.Error as problem:
        raise SalmonnError(
            f"{path}, line {reader.line_num}: not CSV ({problem}); correct it there"
        ) from problem


_READERS: dict[str, Callable[[Path], Rows]] = {".json": _published, ".jsonl": _json_lines, ".csv": _csv}


def sample_row(sample: Sample, folder: Path) -> dict[str, object]:
    """A sample as a row of a manifest that stands in `folder`: what is below the folder by its path from there."""
    row: dict[str, object] = {"path": _from(folder, sample.path), "text": sample.text, "task": sample.task}
    if sample.Q:
        row["Q"] = sample.Q
    if sample.expand_wav:
        row["expand_wav"] = [_from(folder, path) for path in sample.expand_wav]
    return row


def write_manifest(path: str | os.PathLike, samples: Iterable[Sample]) -> int:
    """Write a JSON-lines manifest, whole or not at all; returns the number of its samples.

    Raises:
        SalmonnError: the name does not end in .jsonl, no samples, or a place that cannot be written to.
    """
    path = Path(path)
    if path.suffix != ".jsonl":
        raise SalmonnError(f"{path}: what is written is JSON lines; give a name that ends in .jsonl")
    rows = [sample_row(sample, path.parent) for sample in samples]
    if not rows:
        raise SalmonnError(f"{path}: no samples to write; look whether the folder is the right one")
    with replacing(path.parent) as beside:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (beside / path.name).write_text(lines, encoding="utf-8")
    return len(rows)


def _from(folder: Path, path: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise SalmonnError(f"{path}: cannot be read ({problem.strerror}); check the path") from problem
    except UnicodeDecodeError as problem:
        raise SalmonnError(f"{path}: byte {problem.start} is not UTF-8; save it as UTF-8") from problem


def _json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise SalmonnError(f"{where}: not JSON ({problem}); correct it there") from problem


def _sample(row: object, where: str, folder: Path) -> Sample:
    if not isinstance(row, dict):
        raise SalmonnError(f'{where}: {row!r} must be an object with "path" and "text"')
    for key in ("path", "text"):
        if key not in row:
            raise SalmonnError(f"{where}: {key!r} is missing (found: {', '.join(map(str, row))}); add it")
    values = {key: row[key] for key in ("path", "text", "task", "Q") if row.get(key) is not None}
    for key, value in values.items():
        if not isinstance(value, str) or (key in ("path", "task") and not value):
            raise SalmonnError(f"{where}: {key} is {value!r}, but it must be a text; correct it")
    more = row.get("expand_wav") or ()
    if not isinstance(more, list | tuple) or not all(isinstance(path, str) and path for path in more):
        raise SalmonnError(f"{where}: expand_wav is {more!r}, but it must be a list of paths; correct it")
    values["path"] = folder / values["path"]
    return Sample(**values, expand_wav=tuple(folder / path for path in more))


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
    damage = [note for note in notes if note.startswith("damaged")]
    # An MP3 without a table of its frames only guesses its own length: no proof that anything is missing.
    sure = any(path.suffix.lower() != ".mp3" for path in (sample.path, *sample.expand_wav))
    return BadClip(damage[0]) if damage and sure else X


def _without_path(problem: str, sample: Sample) -> str:
    for number, path in enumerate((sample.path, *sample.expand_wav), 1):
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
    for path in (sample.path, *sample.expand_wav):
        clip = load_audio(path, channels=config.channels, max_seconds=config.max_seconds, notes=notes)
        parts += [gap, clip] if parts else [clip]
    X = torch.cat(parts)[:longest]
    return pad(X, (0, max(0, round(config.min_seconds * SAMPLE_RATE) - len(X))))
