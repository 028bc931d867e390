"""Public data sets, in the layouts in which they come, as manifests. Nothing is fetched: the files are there.

What a data set's table names and its folder does not hold (videos vanish) is counted and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from salmonn_mini.data.corpora import gigaspeech, iemocap, librimix, voxceleb1
from salmonn_mini.data.lookup import (
    AudioFiles,
    ImportResult,
    collect,
    first_file,
    first_folder,
    table_rows,
    transcripts,
)
from salmonn_mini.data.manifest import Sample
from salmonn_mini.data.tables import json_object, tsv_rows
from salmonn_mini.errors import SalmonnError, unknown

Read = Callable[[Path, str], Iterator[Sample | str]]  # (folder, split): a sample, or why a row gives none


def import_data_set(name: str, folder: Path, splits: Iterable[str] = ()) -> ImportResult:
    """The samples of a data set of IMPORTERS in `folder`; of the training parts there, unless `splits` names others.

    Raises:
        SalmonnError: no such data set or folder; a table that is missing or malformed; no sound.
    """
    if name not in IMPORTERS:
        raise unknown("data set", name, (*IMPORTERS, "table"))
    if not folder.is_dir():
        raise SalmonnError(f"{folder}: no such folder; name the one in which {name} lies")
    read, training = IMPORTERS[name]
    there = [part for part in training if any(folder.glob(part)) or any(folder.glob(f"*/{part}"))]
    rows = (row for split in tuple(splits) or there or training for row in read(folder, split))
    return collect(rows, folder, "put the audio files where `salmonn-mini data import --help` says")


# --- speech ----------------------------------------------------------------------------------------------------------


def _librispeech(folder: Path, split: str) -> Iterator[Sample | str]:
    """`train-clean-100/103/1240/103-1240.trans.txt`: lines `103-1240-0000 CHAPTER ONE …`, here in lower case."""
    tables = sorted(first_folder(folder, split, f"LibriSpeech/{split}").glob("*/*/*.trans.txt"))
    if not tables:
        raise SalmonnError(f"{folder / split}: no */*/*.trans.txt in it; unpack LibriSpeech's archive whole")
    yield from (Sample(sound, text) for sound, text in transcripts(tables))


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
            yield Sample(sounds.first(Path(row["path"]).stem), row["translation"], TARGETS[target])


# --- sounds and music ------------------------------------------------------------------------------------------------


def _audiocaps(folder: Path, split: str) -> Iterator[Sample | str]:
    """`train.csv`: audiocap_id, youtube_id, start_time, caption; the sound is named by YouTube's id."""
    table = first_file(folder, f"{split}.csv", f"dataset/{split}.csv")
    sounds = AudioFiles(folder)
    for row in table_rows(table, ("youtube_id", "start_time", "caption")):
        video, start = row["youtube_id"], row["start_time"]
        named = (f"{video}_{start}", f"Y{video}_{start}", video, f"Y{video}")
        yield Sample(sounds.first(*named, row.get("audiocap_id", "")), row["caption"], "audio_caption")


def _clotho(folder: Path, split: str) -> Iterator[Sample | str]:
    """`clotho_captions_development.csv`: file_name, caption_1 … caption_5; the sounds in `development/`."""
    rows = table_rows(first_file(folder, f"clotho_captions_{split}.csv"), ("file_name", "caption_1"))
    sounds = first_folder(folder, split, f"clotho_audio_files/{split}", f"clotho_audio_{split}/{split}")
    for row in rows:
        name = row["file_name"]  # a few real names begin with a space, in the table and on the disk
        sound = sounds / name if (sounds / name).is_file() else sounds / name.strip()
        captions = (row[name] for name in row if name.startswith("caption_") and row[name])
        yield from (Sample(sound, caption, "audio_caption") for caption in captions)


def _wavcaps(folder: Path, source: str) -> Iterator[Sample | str]:
    """`json_files/FreeSound/fsd_final.json`: {"data": [{"id", "caption"}, …]}; the sounds below a folder FreeSound…"""
    if source not in WAVCAPS:
        raise unknown("part of WavCaps", source, WAVCAPS)
    table = first_file(folder, f"json_files/{source}/{WAVCAPS[source]}")
    rows = json_object(table).get("data")
    if not isinstance(rows, list) or not all(isinstance(r, dict) and {"id", "caption"} <= {*r} for r in rows):
        raise SalmonnError(f'{table}: {{"data": [{{"id", "caption", …}}, …]}} is expected; copy it again')
    held_out = _held_out(folder, source)
    places = (place for place in sorted(folder.rglob(f"{source}*")) if "json_files" not in place.parts)
    sounds = AudioFiles(*places)
    for row in rows:
        name = str(row["id"]).removesuffix(".wav")
        sample = Sample(sounds.first(name), row["caption"], "audio_caption")
        yield "in AudioCaps or Clotho too" if name in held_out else sample


def _held_out(folder: Path, source: str) -> set[str]:
    """What WavCaps' own list gives to other data sets: to train on it would be to train on their test clips."""
    table = folder / "json_files" / "blacklist" / "blacklist_exclude_all_ac.json"
    lists = json_object(table) if table.is_file() else {}  # by source: AudioSet, FreeSound
    names = lists.get(source.removesuffix("_SL"), ())
    return {str(name).removesuffix(".wav") for name in names}


def _musiccaps(folder: Path, split: str) -> Iterator[Sample | str]:
    """`musiccaps-public.csv`: ytid, start_s, end_s, caption, is_audioset_eval (True: the test split)."""
    if split not in ("train", "eval"):
        raise unknown("split of MusicCaps", split, ("train", "eval"))
    needed = ("ytid", "start_s", "end_s", "caption", "is_audioset_eval")
    rows = table_rows(first_file(folder, "musiccaps-public.csv"), needed)
    sounds = AudioFiles(folder)
    for row in rows:
        if (row["is_audioset_eval"].lower() == "true") == (split == "eval"):
            video, start, end = row["ytid"], row["start_s"], row["end_s"]
            named = (video, f"[{video}]-[{start}-{end}]", f"{video}_{start}", f"{video}_{start}_{end}")
            yield Sample(sounds.first(*named, f"{video}-{start}-{end}"), row["caption"], "music_caption")


TARGETS = {"zh": "translation_zh", "de": "translation_de", "ja": "translation_ja"}
WAVCAPS = {
    "AudioSet_SL": "as_final.json",
    "BBC_Sound_Effects": "bbc_final.json",
    "FreeSound": "fsd_final.json",
    "SoundBible": "sb_final.json",
}

IMPORTERS: dict[str, tuple[Read, tuple[str, ...]]] = {  # with the training parts
    "librispeech": (_librispeech, ("train-clean-100", "train-clean-360", "train-other-500")),
    "audiocaps": (_audiocaps, ("train",)),
    "clotho": (_clotho, ("development",)),
    "wavcaps": (_wavcaps, tuple(WAVCAPS)),
    "covost2": (_covost2, ("en_zh-CN.train",)),
    "musiccaps": (_musiccaps, ("train",)),
    "gigaspeech": (gigaspeech, ("M",)),
    "librimix": (librimix, ("train-360",)),
    "voxceleb1": (voxceleb1, ("veri_test2",)),
    "iemocap": (iemocap, tuple(f"Session{number}" for number in range(1, 6))),
}
