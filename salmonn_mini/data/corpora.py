"""Corpora of speech: GigaSpeech, LibriMix, VoxCeleb1, IEMOCAP; each yields samples, or why a row gives none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from salmonn_mini.data.lookup import first_file, first_folder, table_rows, transcripts
from salmonn_mini.data.manifest import Sample
from salmonn_mini.data.tables import json_object, read_text
from salmonn_mini.errors import SalmonnError

PUNCTUATION = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTIONMARK>": "?", "<EXCLAMATIONPOINT>": "!"}
GARBAGE = {"<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"}
EMOTIONS = {"neu": "neutral", "hap": "happy", "exc": "happy", "sad": "sad", "ang": "angry"}  # usual four


def gigaspeech(folder: Path, subset: str) -> Iterator[Sample | str]:
    """`GigaSpeech.json`: {"audios": [{"path", "segments": [{"begin_time", "end_time", "text_tn", "subsets"}]}]}."""
    table = first_file(folder, "GigaSpeech.json")
    known: set[str] = set()
    matched = False
    for number, audio in enumerate(json_object(table).get("audios", ()), 1):
        try:
            sound, segments = folder / audio["path"], audio["segments"]
            rows = [(s["begin_time"], s["end_time"], s["text_tn"].split(), s["subsets"]) for s in segments]
        except (KeyError, TypeError, AttributeError) as problem:
            raise SalmonnError(
                f"{table}, audio {number}: {problem} is missing or malformed; copy it again"
            ) from problem
        for begin, end, words, subsets in rows:
            known |= set(subsets)
            if f"{{{subset}}}" not in subsets:
                continue
            matched = True
            if GARBAGE & set(words):
                yield f"no speech ({', '.join(sorted(GARBAGE))})"
            else:
                text = " ".join(PUNCTUATION.get(word, word) for word in words).lower()
                yield Sample(sound, re.sub(r" ([,.?!])", r"\1", text), begin=float(begin), end=float(end))
    if not matched:
        names = ", ".join(sorted(name.strip("{}") for name in known))
        raise SalmonnError(f"{table}: no segments of subset {subset}; it has {names or 'none'}")


def librimix(folder: Path, split: str) -> Iterator[Sample | str]:
    """`metadata/mixture_train-360_mix_both.csv`: mixture_ID, of two utterances of LibriSpeech.

    The text is what the first speaker says, then what the second says, from the *.trans.txt below `folder`.
    """
    tables = sorted(folder.rglob(f"metadata/mixture_{split}_mix_*.csv"))
    if not tables:
        raise SalmonnError(
            f"{folder}: no metadata/mixture_{split}_mix_*.csv below it; name LibriMix's folder"
        )
    texts = {sound.stem: text for sound, text in transcripts(folder.rglob("*.trans.txt"))}
    mixed = tables[0].stem.partition(f"{split}_")[2]
    for row in table_rows(tables[0], ("mixture_ID",)):
        sound = tables[0].parent.parent / split / mixed / f"{row['mixture_ID']}.wav"
        said = [texts.get(name) for name in row["mixture_ID"].split("_")]
        if all(said):
            yield Sample(sound, " ".join(said), "overlapped_speech")
        else:
            yield "no transcript: put LibriSpeech's *.trans.txt below the folder"


def voxceleb1(folder: Path, split: str) -> Iterator[Sample | str]:
    """`veri_test2.txt`: lines `1 id10270/x6uYqmx31kE/00001.wav id10300/ize_eiCFEg0/00003.wav`; 1: the same speaker."""
    table = first_file(folder, f"{split}.txt")
    places = (folder / name for name in ("wav", "vox1_test_wav/wav"))
    sounds = next((place for place in places if place.is_dir()), folder)
    for number, line in enumerate(read_text(table).split("\n"), 1):
        if not (cells := line.split()):
            continue
        if len(cells) != 3 or cells[0] not in ("0", "1"):
            raise SalmonnError(
                f"{table}, line {number}: {line!r} is not 0 or 1 and two paths; correct it there"
            )
        answer, (one, other) = ("No", "Yes")[int(cells[0])], (sounds / name for name in cells[1:])
        yield Sample(one, answer, "speaker_verification", expand_wav=(other,))


def iemocap(folder: Path, session: str) -> Iterator[Sample | str]:
    """`Session1/dialog/EmoEvaluation/*.txt`: lines `[6.29 - 8.23] TAB Ses01F_impro01_F000 TAB neu TAB [2.5, …]`."""
    place = first_folder(folder, f"{session}/dialog/EmoEvaluation")
    for table in sorted(place.glob("Ses*.txt")):
        for line in read_text(table).split("\n"):
            if found := re.match(r"\[[\d. -]+\]\t(\w+)\t(\w+)\t", line):
                name, emotion = found.groups()
                sound = folder / session / "sentences" / "wav" / name.rpartition("_")[0] / f"{name}.wav"
                if emotion in EMOTIONS:
                    yield Sample(sound, EMOTIONS[emotion], "emotion")
                else:
                    yield f"another emotion than {', '.join(dict.fromkeys(EMOTIONS.values()))}"
