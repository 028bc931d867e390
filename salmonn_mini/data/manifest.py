"""Manifests: which file holds which sound, what is asked of it, and the answer."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from salmonn_mini.audio import load_audio, to_waveform
from salmonn_mini.data.tables import json_object, read_rows
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import write_text
from salmonn_mini.models.config import GAP_SECONDS, SAMPLE_RATE, SalmonnConfig

PLACEHOLDER = "<Speech><SpeechHere></Speech>"  # begins the prompts of the published files
KEYS = ("path", "text", "task", "Q", "expand_wav", "begin", "end")
SURROGATES = re.compile("[\ud800-\udfff]")  # alone no Unicode: cut emojis and other encodings leave them
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
        row: the manifest's name and the sample's line there.
    """

    path: Path
    text: str
    task: str = "asr"
    Q: str = ""
    expand_wav: tuple[Path, ...] = ()
    begin: float | None = None
    end: float | None = None
    row: str = field(default="", compare=False, repr=False)

    @property
    def clip(self) -> str:
        """Its name in logs, where a name that is not Unicode could not be written."""
        name = str(self.path).encode("utf-8", "backslashreplace").decode()
        if self.begin is None and self.end is None:
            return name
        return f"{name} [{self.begin or 0:g}-{'' if self.end is None else f'{self.end:g}'} s]"

    @property
    def place(self) -> str:
        """Where to correct it, for messages: the row and the clip."""
        return f"{self.row}: {self.clip}" if self.row else self.clip

    @property
    def files(self) -> tuple[Path, ...]:
        """All its audio files."""
        return self.path, *self.expand_wav


def read_manifest(path: str | os.PathLike, folder: Path | None = None) -> list[Sample]:
    """The samples of a manifest; paths in it are relative to `folder`, by default its own.

    `.json`: `{"annotation": [{"path", "text", "task", "Q", "expand_wav"}, …]}`, as published, or a list of such
    objects. `.jsonl`: one a line. `.csv`, `.tsv`, `.parquet`: columns path and text, and any of task, Q, begin
    and end. The task is asr by default.

    Raises:
        SalmonnError: as `read_rows` and `to_sample`; no samples.
    """
    path = Path(path)
    folder = path.parent if folder is None else folder
    samples = [to_sample(row, f"{path}, {where}", folder) for where, row in read_rows(path)]
    if not samples:
        raise SalmonnError(f"{path}: no samples; a manifest needs at least one")
    return samples


def read_prompts(path: str | os.PathLike) -> dict[str, tuple[str, ...]]:
    """A published prompt file, `{task: [prompt, …]}`; the placeholder for the sound is taken off the prompts.

    Raises:
        SalmonnError: a file without this form.
    """
    prompts = {}
    for task, listed in json_object(path := Path(path)).items():
        listed = [listed] if isinstance(listed, str) else listed
        if not listed or not isinstance(listed, list) or not all(isinstance(p, str) for p in listed):
            raise SalmonnError(
                f"{path}: the prompts of {task!r} are {listed!r}, but they must be a list of texts"
            )
        prompts[task] = tuple(prompt.removeprefix(PLACEHOLDER).strip() for prompt in listed)
    if not prompts:
        raise SalmonnError(f'{path}: no prompts; they are {{"task": ["prompt", …]}}')
    return prompts


def write_manifest(path: str | os.PathLike, samples: Iterable[Sample]) -> int:
    """Write a JSON-lines manifest atomically; returns the number of its samples.

    Raises:
        SalmonnError: the name does not end in .jsonl, no samples, as `check_unicode` and `write_text`.
    """
    path = Path(path)
    if path.suffix != ".jsonl":
        raise SalmonnError(f"{path}: what is written is JSON lines; give a name that ends in .jsonl")
    samples = list(samples)
    for sample in samples:
        check_unicode(sample)
    if not samples:
        raise SalmonnError(f"{path}: no samples to write; look whether the folder is the right one")
    rows = (json.dumps(_row(sample, path.parent), ensure_ascii=False) for sample in samples)
    write_text(path, "".join(row + "\n" for row in rows))
    return len(samples)


def _row(sample: Sample, folder: Path) -> dict[str, object]:
    """A sample as a row of a manifest in `folder`; paths below that folder are relative to it."""
    row = {"path": _from(folder, sample.path), "text": sample.text, "task": sample.task}
    more = {"Q": sample.Q, "expand_wav": [_from(folder, path) for path in sample.expand_wav]}
    more |= {"begin": sample.begin, "end": sample.end}
    return row | {key: value for key, value in more.items() if value not in ("", [], None)}


def _from(folder: Path, path: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def to_sample(row: object, where: str, folder: Path) -> Sample:
    """A row of a manifest in `folder`, checked.

    Raises:
        SalmonnError: a missing or misspelt key, or a value of the wrong kind, with `where` it stands.
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
    return Sample(**values, expand_wav=tuple(folder / path for path in more), begin=begin, end=end, row=where)


def _check_spelling(row: dict, where: str) -> None:
    """A key that is nearly one that the row lacks would silently count for nothing."""
    missing = {key.lower(): key for key in KEYS if key not in row}
    for key in [key for key in row if key not in KEYS]:
        name = str(key).strip().lower()
        close = difflib.get_close_matches(name, missing, n=1, cutoff=0.75)
        meant = missing[close[0]] if close else SYNONYMS.get(name)
        if meant in missing.values():
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


def unicode_fault(sample: Sample) -> str:
    """What of a sample is not Unicode, so that no tokenizer and no file takes it."""
    for name in ("text", "Q", "task"):
        if SURROGATES.search(value := getattr(sample, name)):
            return f"its {name} {value!a} is not Unicode; correct it in the manifest"
    bad_name = any(SURROGATES.search(str(path)) for path in sample.files)
    return "its name is not UTF-8; rename it" if bad_name else ""


def check_unicode(sample: Sample) -> None:
    """Refuse a sample with a `unicode_fault`, with a SalmonnError."""
    if fault := unicode_fault(sample):
        raise SalmonnError(f"{sample.place}: {fault}")


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
    except SalmonnError as problem:  # of the first file the reason alone, of another one its name too
        return BadClip(
            str(problem).removeprefix(f"{sample.path}: ").removeprefix(f"{sample.path.parent}{os.sep}")
        )
    return next((BadClip(note) for note in notes if note.startswith("damaged")), X)


def load_clip(sample: Sample, config: SalmonnConfig, notes: list[str] | None = None) -> Tensor:
    """The sound X (S,) of a sample, all its clips in a row, by the model's rules; errors as `load_audio`'s."""
    rules = {"channels": config.channels, "max_seconds": config.max_seconds}
    gap = torch.zeros(round(GAP_SECONDS * SAMPLE_RATE))
    parts = [load_audio(sample.path, sample.begin, sample.end, **rules, notes=notes)]
    for path in sample.expand_wav:
        parts += [gap, load_audio(path, **rules, notes=notes)]
    return to_waveform(torch.cat(parts), SAMPLE_RATE, **rules, min_seconds=config.min_seconds)
