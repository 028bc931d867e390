"""Public data sets, in the layouts in which they come, as manifests. Nothing is fetched: the files are there.

What a data set's table names and its folder does not hold (videos vanish) is counted and left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from salmonn_mini.data.corpora import gigaspeech, iemocap, librimix, voxceleb1
from salmonn_mini.data.lookup import NO_SOUND, AudioFiles, first_file, first_folder, table_rows
from salmonn_mini.data.manifest import Sample
from salmonn_mini.data.tables import json_object, read_text, tsv_rows
from salmonn_mini.errors import SalmonnError


@dataclass
class ImportResult:
    """The samples of a data set whose sound is there, and how many of its rows were left out, with the reason."""

    samples: list[Sample]
    left_out: dict[str, int]


@dataclass(frozen=True)
class Importer:
    """A row of the table: how a data set is read.

    Attributes:
        splits: the training parts.
        read: (folder, split) → rows: a sample, or the reason why a row gives none.
        places: where a part's own files are; parts whose place is missing are left out by default.
    """

    splits: tuple[str, ...]
    read: Callable[[Path, str], Iterator[Sample | str]]
    places: tuple[str, ...] = ()

    def default(self, folder: Path) -> tuple[str, ...]:
        """The training parts that are there; all, where none is."""
        there = [s for s in self.splits if any((folder / place.format(s)).is_dir() for place in self.places)]
        return tuple(there) or self.splits


def import_data_set(name: str, folder: Path, splits: Iterable[str] = ()) -> ImportResult:
    """The samples of a data set of IMPORTERS in `folder`; of its training part, unless `splits` names others.

    Raises:
        SalmonnError: no such data set or folder; a table that is missing or is not as it should be; no sound.
    """
    if name not in IMPORTERS:
        raise SalmonnError(f"no importer for {name!r}: choose one of {', '.join(IMPORTERS)}")
    if not folder.is_dir():
        raise SalmonnError(f"{folder}: no such folder; name the one in which {name} lies")
    found = ImportResult([], {})
    for split in tuple(splits) or IMPORTERS[name].default(folder):
        for row in IMPORTERS[name].read(folder, split):
            if isinstance(row, Sample):
                found.samples.append(row)
            else:
                found.left_out[row] = found.left_out.get(row, 0) + 1
    if not found.samples:
        reasons = ", ".join(f"{rows:,} rows: {reason}" for reason, rows in found.left_out.items())
        raise SalmonnError(
            f"{folder}: nothing to import ({reasons or 'no rows'}); put the audio files where "
            f"`salmonn-mini data import --help` says"
        )
    return found


# --- speech ----------------------------------------------------------------------------------------------------------


def _librispeech(folder: Path, split: str) -> Iterator[Sample | str]:
    """`train-clean-100/103/1240/103-1240.trans.txt`: lines `103-1240-0000 CHAPTER ONE …`, here in lower case."""
    tables = sorted(first_folder(folder, split, f"LibriSpeech/{split}").glob("*/*/*.trans.txt"))
    if not tables:
        raise SalmonnError(f"{folder / split}: no */*/*.trans.txt in it; unpack LibriSpeech's archive whole")
    for table in tables:
        for line in read_text(table).split("\n"):
            name, _, text = line.partition(" ")
            if not line:
                continue
            sound = table.with_name(f"{name}.flac")
            yield Sample(sound, text.lower()) if sound.is_file() else NO_SOUND


def _covost2(folder: Path, split: str) -> Iterator[Sample | str]:
    """`covost_v2.en_zh-CN.train.tsv`: path, sentence, translation; or the whole table with its column `split`."""
    pair, _, part = split.rpartition(".")
    target = pair.partition("_")[2].partition("-")[0]
    if not pair.startswith("en_") or target not in TARGETS:
        raise SalmonnError(
            f"CoVoST 2's split {split!r}: write it as en_zh-CN.train; into {', '.join(TARGETS)} there are tasks"
        )
    own = folder / f"covost_v2.{split}.tsv"
    table = own if own.is_file() else first_file(folder, f"covost_v2.{pair}.tsv")
    needed = ("path", "translation") if table == own else ("path", "translation", "split")
    rows = table_rows(table, needed, tsv_rows(table))
    parts = {part, "train_covost"} if part == "train" else {part}
    there = {row["split"] for row in rows} if table != own else parts
    if not parts & there:
        raise SalmonnError(f"{table}: no rows of split {part}; it has {', '.join(sorted(there))}")
    sounds = AudioFiles(first_folder(folder, "clips", "en/clips"))
    for row in rows:
        if table == own or row["split"] in parts:
            sound = sounds.first(Path(row["path"]).stem)
            yield Sample(sound, row["translation"], TARGETS[target]) if sound else NO_SOUND


# --- sounds and music ------------------------------------------------------------------------------------------------


def _audiocaps(folder: Path, split: str) -> Iterator[Sample | str]:
    """`train.csv`: audiocap_id, youtube_id, start_time, caption; the sound is named by YouTube's id."""
    rows = table_rows(
        first_file(folder, f"{split}.csv", f"dataset/{split}.csv"), ("youtube_id", "start_time", "caption")
    )
    sounds = AudioFiles(folder)
    for row in rows:
        video, start = row["youtube_id"], row["start_time"]
        named = (f"{video}_{start}", f"Y{video}_{start}", video, f"Y{video}")
        sound = sounds.first(*named, row.get("audiocap_id", ""))
        yield Sample(sound, row["caption"], "audio_caption") if sound else NO_SOUND


def _clotho(folder: Path, split: str) -> Iterator[Sample | str]:
    """`clotho_captions_development.csv`: file_name, caption_1 … caption_5; the sounds in `development/`."""
    rows = table_rows(first_file(folder, f"clotho_captions_{split}.csv"), ("file_name", "caption_1"))
    sounds = first_folder(folder, split, f"clotho_audio_files/{split}", f"clotho_audio_{split}/{split}")
    for row in rows:
        name = row["file_name"]  # a few real names begin with a space, in the table and on the disk
        sound = sounds / name if (sounds / name).is_file() else sounds / name.strip()
        captions = [row[name] for name in row if name.startswith("caption_") and row[name]]
        for caption in captions:
            yield Sample(sound, caption, "audio_caption") if sound.is_file() else NO_SOUND


def _wavcaps(folder: Path, source: str) -> Iterator[Sample | str]:
    """`json_files/FreeSound/fsd_final.json`: {"data": [{"id", "caption"}, …]}; the sounds below a folder FreeSound…"""
    if source not in WAVCAPS:
        raise SalmonnError(f"WavCaps has no part {source!r}: choose one of {', '.join(WAVCAPS)}")
    table = first_file(folder, f"json_files/{source}/{WAVCAPS[source]}")
    rows = json_object(table).get("data")
    if not isinstance(rows, list) or not all(
        isinstance(r, dict) and {"id", "caption"} <= r.keys() for r in rows
    ):
        raise SalmonnError(f'{table}: {{"data": [{{"id", "caption", …}}, …]}} is expected; copy it again')
    held_out = _held_out(folder, source)
    sounds = AudioFiles(
        *(place for place in sorted(folder.rglob(f"{source}*")) if "json_files" not in place.parts)
    )
    for row in rows:
        name = re.sub(r"\.wav$", "", str(row["id"]))
        if name in held_out:
            yield "in AudioCaps or Clotho too"
        else:
            sound = sounds.first(name)
            yield Sample(sound, row["caption"], "audio_caption") if sound else NO_SOUND


def _held_out(folder: Path, source: str) -> set[str]:
    """What WavCaps' own list gives to other data sets: to train on it would be to train on their test clips."""
    table = folder / "json_files" / "blacklist" / "blacklist_exclude_all_ac.json"
    lists = json_object(table) if table.is_file() else {}  # by source: AudioSet, FreeSound
    names = lists.get(source.removesuffix("_SL"), ())
    return {re.sub(r"\.wav$", "", str(name)) for name in names}


def _musiccaps(folder: Path, split: str) -> Iterator[Sample | str]:
    """`musiccaps-public.csv`: ytid, start_s, end_s, caption, is_audioset_eval (True: the test split)."""
    if split not in ("train", "eval"):
        raise SalmonnError(f"MusicCaps has no split {split!r}: choose train or eval")
    needed = ("ytid", "start_s", "end_s", "caption", "is_audioset_eval")
    rows = table_rows(first_file(folder, "musiccaps-public.csv"), needed)
    sounds = AudioFiles(folder)
    for row in rows:
        if (row["is_audioset_eval"].lower() == "true") == (split == "eval"):
            video, start, end = row["ytid"], row["start_s"], row["end_s"]
            named = (video, f"[{video}]-[{start}-{end}]", f"{video}_{start}", f"{video}_{start}_{end}")
            sound = sounds.first(*named, f"{video}-{start}-{end}")
            yield Sample(sound, row["caption"], "music_caption") if sound else NO_SOUND


TARGETS = {"zh": "translation_zh", "de": "translation_de", "ja": "translation_ja"}
WAVCAPS = {
    "AudioSet_SL": "as_final.json",
    "BBC_Sound_Effects": "bbc_final.json",
    "FreeSound": "fsd_final.json",
    "SoundBible": "sb_final.json",
}

IMPORTERS: dict[str, Importer] = {
    "librispeech": Importer(
        ("train-clean-100", "train-clean-360", "train-other-500"), _librispeech, ("{}", "LibriSpeech/{}")
    ),
    "audiocaps": Importer(("train",), _audiocaps),
    "clotho": Importer(("development",), _clotho),
    "wavcaps": Importer(tuple(WAVCAPS), _wavcaps, ("json_files/{}",)),
    "covost2": Importer(("en_zh-CN.train",), _covost2),
    "musiccaps": Importer(("train",), _musiccaps),
    "gigaspeech": Importer(("M",), gigaspeech),
    "librimix": Importer(("train-360",), librimix),
    "voxceleb1": Importer(("veri_test2",), voxceleb1),
    "iemocap": Importer(tuple(f"Session{i}" for i in range(1, 6)), iemocap, ("{}",)),
}
