"""Manifests packed into tar files: few large files, which disks and networks read in one go.

    index.json         the shards: file, number of samples, SHA-256
    samples.jsonl      a line a sample, as in a manifest: where it came from, text, task, Q
    shard-000000.tar   000000000.json, 000000000.0.flac, …: the line, its audio files as they were, segments as FLAC
    quarantine.jsonl   what could not be read and was left out, with the reason

The tar files have the webdataset format, so other programs read them too.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from webdataset import TarWriter, tariterators

from salmonn_mini.audio.decoding import cut
from salmonn_mini.data.clips import (
    MAX_BAD_SHARE,
    SHARD,
    Example,
    check_bad_share,
    digest_of,
    usable,
    write_quarantine,
)
from salmonn_mini.data.loader import read_all
from salmonn_mini.data.manifest import BadClip, Sample, check_unicode, to_sample, try_clip
from salmonn_mini.data.tables import json_rows
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import replacing
from salmonn_mini.models.config import SalmonnConfig

RULES = SalmonnConfig(name="packed")  # for reading a file once; whoever trains has rules of their own
INDEX, LINES = "index.json", "samples.jsonl"
Packed = dict[str, bytes]  # a sample's sound files by name, as they were


@dataclass(frozen=True)
class Shard:
    """A tar file and the numbers of the samples in it."""

    file: Path
    samples: range
    sha256: str


def pack(
    samples: Sequence[Sample],
    folder: Path,
    per_shard: int = SHARD,
    max_bad_share: float = MAX_BAD_SHARE,
    jobs: int = 1,
) -> list[Shard]:
    """Pack the samples whose files can be read into `folder`, in their order; the others are put aside.

    Equal samples give equal bytes. `jobs` files are read at a time.

    Raises:
        SalmonnError: the folder has been packed into before, or cannot be written to; more than
            `max_bad_share` of the samples cannot be read.
    """
    if (folder / INDEX).exists():
        raise SalmonnError(f"{folder} is packed already; choose another folder, or delete this one")
    for sample in samples:
        check_unicode(sample)
    results = read_all(_problem, samples, jobs)
    examples = [Example(sample.clip, sample.task, "", "") for sample in samples]
    write_quarantine(examples, results, folder)
    check_bad_share(examples, results, max_bad_share, folder)
    samples = [samples[i] for i in usable(results)]
    lines, shards = [], []
    with replacing(folder) as temporary:
        for start in range(0, len(samples), per_shard):
            numbers = range(len(samples))[start : start + per_shard]
            file = temporary / f"shard-{len(shards):06d}.tar"
            lines += [_write(file, numbers, samples)]
            shards.append(Shard(folder / file.name, numbers, digest_of(file).hex()))
    with replacing(folder) as temporary:  # the index last: where it is, the shards are complete
        (temporary / LINES).write_text("".join(lines), encoding="utf-8")
        rows = [{"file": s.file.name, "samples": len(s.samples), "sha256": s.sha256} for s in shards]
        (temporary / INDEX).write_text(json.dumps({"shards": rows}, indent=1) + "\n", encoding="utf-8")
    return shards


def read_index(folder: Path) -> list[Shard]:
    """The shards of a packed folder, in their order.

    Raises:
        SalmonnError: no index, one that `pack` did not write, or a shard that is missing.
    """
    shards, start = [], 0
    for where, row in json_rows(folder / INDEX):
        match row:
            case {"file": str(name), "samples": int(count), "sha256": str(digest)} if (
                re.fullmatch(r"[\w-]+\.tar", name) and (folder / name).is_file()
            ):
                shards.append(Shard(folder / name, range(start, start + count), digest))
                start += count
            case _:
                raise SalmonnError(f"{folder / INDEX}, {where}: {row!r} is no tar file there; pack it anew")
    return shards


def read_shard(shard: Shard) -> dict[int, tuple[Sample, Packed] | BadClip]:
    """The line and the sound files of each sample by its number; of those behind a damage, why there are none."""
    samples: dict[int, tuple[Sample, Packed]] = {}
    lost = BadClip(f"{shard.file.name} ends before it")
    try:
        # By webdataset's own opening the file would stay open, and a name like "pipe:…" would run a command.
        with shard.file.open("rb") as file:
            files = tariterators.tar_file_expander([{"url": shard.file.name, "stream": file}])
            for found in tariterators.group_by_keys(files):
                names = [name for name in found if name[0].isdigit()]
                names.sort(key=lambda name: int(name.split(".")[0]))
                sample = to_sample(json.loads(found["json"]), shard.file.name, Path())
                samples[int(found["__key__"])] = sample, {name: found[name] for name in names}
    except Exception as problem:  # tarfile, json and webdataset each have their own
        lost = BadClip(f"{shard.file.name} is damaged here ({type(problem).__name__})")
    return {number: samples.get(number, lost) for number in shard.samples}


def decode(sounds: Packed, config: SalmonnConfig) -> Tensor | BadClip:
    """The sound X (S,) of a packed sample, by the same way as that of a manifest's files."""
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place) / name for name in sounds]
        for path, content in zip(paths, sounds.values(), strict=True):
            path.write_bytes(content)
        return try_clip(Sample(paths[0], "", expand_wav=tuple(paths[1:])), config)


def _problem(sample: Sample) -> BadClip | None:
    found = try_clip(sample, RULES)
    return found if isinstance(found, BadClip) else None


def _write(file: Path, numbers: range, samples: Sequence[Sample]) -> str:
    """A tar file of some samples; returns their lines."""
    lines = []
    with file.open("wb") as place, TarWriter(place, encoder=False, mtime=0) as tar:
        for number in numbers:
            sample = samples[number]
            row = {"path": str(sample.path), "text": sample.text, "task": sample.task, "Q": sample.Q}
            if segment := (sample.begin is not None or sample.end is not None):
                row |= {"begin": sample.begin, "end": sample.end}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
            parts = {"__key__": f"{number:09d}", "json": lines[-1].encode()}
            for i, path in enumerate(sample.files):
                if segment and i == 0:
                    parts["0.flac"] = cut(path, sample.begin, sample.end)
                else:
                    parts[f"{i}{path.suffix.lower()}"] = path.read_bytes()
            tar.write(parts)
    return "".join(lines)
