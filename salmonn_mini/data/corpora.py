"""Public data sets in the layouts in which they come: each yields samples, or why a row of its table gives none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from salmonn_mini.data.manifest import Sample
from salmonn_mini.data.tables import json_object, read_text, table_rows
from salmonn_mini.errors import SalmonnError, unknown

Rows = Iterator[Sample | str]
ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")
TARGETS = {"zh": "translation_zh", "de": "translation_de", "ja": "translation_ja"}
WAVCAPS = {
    "AudioSet_SL": "as_final.json",
    "BBC_Sound_Effects": "bbc_final.json",
    "FreeSound": "fsd_final.json",
    "SoundBible": "sb_final.json",
}
PUNCTUATION = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTIONMARK>": "?", "<EXCLAMATIONPOINT>": "!"}
GARBAGE = {"<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"}
EMOTIONS = {"neu": "neutral", "hap": "happy", "exc": "happy", "sad": "sad", "ang": "angry"}  # usual four


# --- where things lie ------------------------------------------------------------------------------------------------


def find(folder: Path, *names: str) -> Path:
    """The first of these files or folders that is there."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise SalmonnError(
        f"{folder}: no {' or '.join(names)} in it; name the data set's own folder, or another split"
    )


def audio_files(*folders: Path) -> dict[str, Path]:
    """The audio files below some folders, by their names without ending; of equal names the first."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return {path.stem: path for path in reversed(paths) if path.suffix.lower() in ENDINGS}


def first_of(files: dict[str, Path], *names: str) -> Path:
    """The file of the first of these names that is there; else a path that is no file."""
    return next((files[name] for name in names if name in files), Path())


def transcripts(tables: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Where the sound of each line of LibriSpeech's `*.trans.txt` lies, and its text in lower case."""
    for table in tables:
        for line in read_text(table).split("\n"):
            name, _, text = line.partition(" ")
            if name:
                yield table.with_name(f"{name}.flac"), text.lower()


# --- speech ----------------------------------------------------------------------------------------------------------


def librispeech(folder: Path, split: str) -> Rows:
    """`train-clean-100/103/1240/103-1240.trans.txt`: lines `103-1240-0000 CHAPTER ONE …`, here in lower case."""
    tables = sorted(find(folder, split, f"LibriSpeech/{split}").glob("*/*/*.trans.txt"))
    if not tables:
        raise SalmonnError(f"{folder / split}: no */*/*.trans.txt in it; unpack LibriSpeech's archive whole")
    yield from (Sample(sound, text) for sound, text in transcripts(tables))


def covost2(folder: Path, split: str) -> Rows:
    """`covost_v2.en_zh-CN.train.tsv`: path, sentence, translation; or the whole table with its column `split`."""
    pair, _, part = split.rpartition(".")
    target = pair.partition("_")[2].partition("-")[0]
    if not pair.startswith("en_") or target not in TARGETS:
        raise SalmonnError(
            f"CoVoST 2's split {split!r}: write it as en_zh-CN.train; into {', '.join(TARGETS)} there are tasks"
        )
    table = find(folder, f"covost_v2.{split}.tsv", f"covost_v2.{pair}.tsv")
    rows = list(table_rows(table, "path", "translation"))
    if table.name == f"covost_v2.{pair}.tsv":
        parts = (part, "train_covost") if part == "train" else (part,)
        there = sorted({row["split"] for row in table_rows(table, "split")})
        rows = [row for row in rows if row["split"] in parts]
        if not rows:
            raise SalmonnError(f"{table}: no rows of split {part}; it has {', '.join(there) or 'none'}")
    sounds = audio_files(find(folder, "clips", "en/clips"))
    for row in rows:
        yield Sample(first_of(sounds, Path(row["path"]).stem), row["translation"], TARGETS[target])


def gigaspeech(folder: Path, subset: str) -> Rows:
    """`GigaSpeech.json`: {"audios": [{"path", "segments": [{"begin_time", "end_time", "text_tn", "subsets"}]}]}."""
    table = find(folder, "GigaSpeech.json")
    known: set[str] = set()
    for number, audio in enumerate(table_rows(table, "path", "segments"), 1):
        try:
            sound, segments = folder / audio["path"], audio["segments"]
            rows = [
                (float(s["begin_time"]), float(s["end_time"]), s["text_tn"].split(), set(s["subsets"]))
                for s in segments
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise SalmonnError(
                f"{table}, audio {number}: {problem} is missing or malformed; copy it again"
            ) from problem
        for begin, end, words, subsets in rows:
            known |= subsets
            if f"{{{subset}}}" not in subsets:
                continue
            if GARBAGE & set(words):
                yield f"no speech ({', '.join(sorted(GARBAGE))})"
            else:
                text = " ".join(PUNCTUATION.get(word, word) for word in words).lower()
                yield Sample(sound, re.sub(r" ([,.?!])", r"\1", text), begin=begin, end=end)
    if f"{{{subset}}}" not in known:
        names = ", ".join(sorted(name.strip("{}") for name in known))
        raise SalmonnError(f"{table}: no segments of subset {subset}; it has {names or 'none'}")


def librimix(folder: Path, split: str) -> Rows:
    """`metadata/mixture_train-360_mix_both.csv`: mixture_ID, of two utterances of LibriSpeech.

    The text is what the first speaker says, then what the second says, from the *.trans.txt below `folder`.
    """
    tables = sorted(folder.rglob(f"metadata/mixture_{split}_mix_*.csv"))
    if not tables:
        raise SalmonnError(
            f"{folder}: no metadata/mixture_{split}_mix_*.csv below it; name LibriMix's folder"
        )
    texts = {sound.stem: text for sound, text in transcripts(folder.rglob("*.trans.txt"))}
    sounds = tables[0].parent.parent / split / tables[0].stem.partition(f"{split}_")[2]
    for row in table_rows(tables[0], "mixture_ID"):
        said = [texts.get(name) for name in row["mixture_ID"].split("_")]
        if all(said):
            yield Sample(sounds / f"{row['mixture_ID']}.wav", " ".join(said), "overlapped_speech")
        else:
            yield "no transcript: put LibriSpeech's *.trans.txt below the folder"


def voxceleb1(folder: Path, split: str) -> Rows:
    """`veri_test2.txt`: lines `1 id10270/x6uYqmx31kE/00001.wav id10300/ize_eiCFEg0/00003.wav`; 1: the same speaker."""
    table = find(folder, f"{split}.txt")
    sounds = find(folder, "wav", "vox1_test_wav/wav", ".")
    for number, line in enumerate(read_text(table).split("\n"), 1):
        if not (cells := line.split()):
            continue
        if len(cells) != 3 or cells[0] not in ("0", "1"):
            raise SalmonnError(
                f"{table}, line {number}: {line!r} is not 0 or 1 and two paths; correct it there"
            )
        same, one, other = cells
        answer = ("No", "Yes")[int(same)]
        yield Sample(sounds / one, answer, "speaker_verification", expand_wav=(sounds / other,))


def iemocap(folder: Path, session: str) -> Rows:
    """`Session1/dialog/EmoEvaluation/*.txt`: lines `[6.29 - 8.23] TAB Ses01F_impro01_F000 TAB neu TAB [2.5, …]`."""
    for table in sorted(find(folder, f"{session}/dialog/EmoEvaluation").glob("Ses*.txt")):
        for name, emotion in re.findall(r"^\[[\d. -]+\]\t(\w+)\t(\w+)\t", read_text(table), re.MULTILINE):
            sound = folder / session / "sentences" / "wav" / name.rpartition("_")[0] / f"{name}.wav"
            if emotion in EMOTIONS:
                yield Sample(sound, EMOTIONS[emotion], "emotion")
            else:
                yield f"another emotion than {', '.join(dict.fromkeys(EMOTIONS.values()))}"


# --- sounds and music ------------------------------------------------------------------------------------------------


def audiocaps(folder: Path, split: str) -> Rows:
    """`train.csv`: audiocap_id, youtube_id, start_time, caption; the sound is named by YouTube's id."""
    table = find(folder, f"{split}.csv", f"dataset/{split}.csv")
    sounds = audio_files(folder)
    for row in table_rows(table, "youtube_id", "start_time", "caption"):
        video, start = row["youtube_id"], row["start_time"]
        named = (f"{video}_{start}", f"Y{video}_{start}", video, f"Y{video}", row.get("audiocap_id", ""))
        yield Sample(first_of(sounds, *named), row["caption"], "audio_caption")


def clotho(folder: Path, split: str) -> Rows:
    """`clotho_captions_development.csv`: file_name, caption_1 … caption_5; the sounds in `development/`."""
    table = find(folder, f"clotho_captions_{split}.csv")
    sounds = find(folder, split, f"clotho_audio_files/{split}", f"clotho_audio_{split}/{split}")
    for row in table_rows(table, "file_name", "caption_1"):
        name = row["file_name"]  # a few real names begin with a space, in the table and on the disk
        sound = sounds / name if (sounds / name).is_file() else sounds / name.strip()
        captions = (row[name] for name in row if name.startswith("caption_") and row[name])
        yield from (Sample(sound, caption, "audio_caption") for caption in captions)


def wavcaps(folder: Path, source: str) -> Rows:
    """`json_files/FreeSound/fsd_final.json`: {"data": [{"id", "caption"}, …]}; the sounds below a folder FreeSound…

    WavCaps' own list names what AudioCaps and Clotho have too: to train on it would be to train on their tests.
    """
    if source not in WAVCAPS:
        raise unknown("part of WavCaps", source, WAVCAPS)
    table = find(folder, f"json_files/{source}/{WAVCAPS[source]}")
    held_out = folder / "json_files" / "blacklist" / "blacklist_exclude_all_ac.json"
    lists = json_object(held_out) if held_out.is_file() else {}  # by source: AudioSet, FreeSound
    others = {str(name).removesuffix(".wav") for name in lists.get(source.removesuffix("_SL"), ())}
    places = (place for place in sorted(folder.rglob(f"{source}*")) if "json_files" not in place.parts)
    sounds = audio_files(*places)
    for row in table_rows(table, "id", "caption"):
        name = str(row["id"]).removesuffix(".wav")
        sample = Sample(first_of(sounds, name), str(row["caption"]), "audio_caption")
        yield "in AudioCaps or Clotho too" if name in others else sample


def musiccaps(folder: Path, split: str) -> Rows:
    """`musiccaps-public.csv`: ytid, start_s, end_s, caption, is_audioset_eval (True: the test split)."""
    if split not in ("train", "eval"):
        raise unknown("split of MusicCaps", split, ("train", "eval"))
    table = find(folder, "musiccaps-public.csv")
    sounds = audio_files(folder)
    for row in table_rows(table, "ytid", "start_s", "end_s", "caption", "is_audioset_eval"):
        if (row["is_audioset_eval"].lower() == "true") == (split == "eval"):
            video, start, end = row["ytid"], row["start_s"], row["end_s"]
            named = (video, f"[{video}]-[{start}-{end}]", f"{video}_{start}", f"{video}_{start}_{end}")
            yield Sample(first_of(sounds, *named, f"{video}-{start}-{end}"), row["caption"], "music_caption")
