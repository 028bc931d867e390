"""The parts of a published recipe's mixture: what they are, where one gets them, how they are imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A row of the table. `hours` is rounded, None where nobody tells; `command` is empty where none imports it."""

    name: str
    hours: int | None
    where: str
    command: str
    clips: int = 0


_IMPORT = "salmonn-mini data import"
_QA = f"{_IMPORT} table QA.jsonl --columns path=path,text=answer,Q=question --set-column task="
SOURCES = {  # by the name of the packed folder, without its end: the longest that fits counts
    "librispeech-asr": Source("LibriSpeech", 960, "openslr.org/12", f"{_IMPORT} librispeech LibriSpeech"),
    "librispeech-qa": Source(
        "questions on LibriSpeech", 960, "made with an LLM; not published", f"{_QA}speech_qa"
    ),
    "librispeech-phones": Source(
        "phones of LibriSpeech",
        960,
        "made with a pronunciation lexicon",
        f"{_IMPORT} table PHONES.csv --columns path=path,text=phones --set-column task=phone_recognition",
    ),
    "gigaspeech-m": Source(
        "GigaSpeech M",
        1000,
        "github.com/SpeechColab/GigaSpeech",
        f"{_IMPORT} gigaspeech GigaSpeech --split M",
    ),
    "gigaspeech": Source(
        "GigaSpeech", None, "github.com/SpeechColab/GigaSpeech", f"{_IMPORT} gigaspeech GigaSpeech --split M"
    ),
    "audiocaps-caption": Source(
        "AudioCaps", 130, "github.com/cdjkim/audiocaps", f"{_IMPORT} audiocaps AudioCaps"
    ),
    "audiocaps-qa": Source(
        "questions on AudioCaps", 130, "made with an LLM; not published", f"{_QA}audio_qa"
    ),
    "wavcaps-caption": Source(
        "WavCaps", 7568, "huggingface.co/datasets/cvssp/WavCaps", f"{_IMPORT} wavcaps WavCaps"
    ),
    "wavcaps-qa": Source("questions on WavCaps", None, "made with an LLM; not published", f"{_QA}audio_qa"),
    "clotho": Source("Clotho", 24, "zenodo.org/records/4783391", f"{_IMPORT} clotho Clotho"),
    "covost2": Source(
        "CoVoST 2 on Common Voice 4",
        430,
        "github.com/facebookresearch/covost",
        f"{_IMPORT} covost2 CommonVoice4",
    ),
    "emotion": Source("IEMOCAP", 12, "sail.usc.edu/iemocap", f"{_IMPORT} iemocap IEMOCAP"),
    "musiccaps": Source(
        "MusicCaps", 15, "kaggle.com/datasets/googleai/musiccaps", f"{_IMPORT} musiccaps MusicCaps"
    ),
    "millionsong-qa": Source(
        "questions on the Million Song Dataset", None, "millionsongdataset.com", f"{_QA}music_qa"
    ),
    "musicnet-qa": Source("questions on MusicNet", None, "zenodo.org/records/5120004", f"{_QA}music_qa"),
    "librimix": Source(
        "LibriMix",
        270,
        "github.com/JorisCos/LibriMix",
        f"{_IMPORT} librimix LibriMix --split train-100 --split train-360",
    ),
    "voxceleb1": Source(
        "VoxCeleb1", None, "robots.ox.ac.uk/~vgg/data/voxceleb", f"{_IMPORT} voxceleb1 VoxCeleb1"
    ),
    "gender": Source(
        "gender of speakers",
        None,
        "speakers' tables of LibriSpeech or VoxCeleb1",
        f"{_IMPORT} table GENDER.csv --columns path=path,text=gender --set-column task=gender",
    ),
}


def sources_of(manifests: Mapping[str, float]) -> list[Source]:
    """The source of each of a recipe's `manifests`, with the clips that the recipe counts in it; others by name."""
    found = []
    for manifest, clips in manifests.items():
        name = Path(manifest).stem
        key = max((key for key in SOURCES if name.startswith(key)), key=len, default=None)
        row = SOURCES[key] if key else Source(name, None, "your own", "")
        found.append(Source(row.name, row.hours, row.where, row.command, round(clips)))
    return found
