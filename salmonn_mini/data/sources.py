"""The parts of a published recipe's mixture: what they are, where one gets them, how they are imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from salmonn_mini.errors import counted


@dataclass(frozen=True)
class Source:
    """A row of the table.

    Attributes:
        hours: of the sound behind the recipe's clips, rounded; None where no public source gives them.
        command: what makes a manifest of it; empty where none does.
        clips: how many the recipe counts; 0: it does not say.
    """

    name: str
    hours: int | None
    where: str
    command: str = ""
    clips: int = 0
    manifest: str = ""

    def __str__(self) -> str:
        clips = f", {counted(self.clips, 'clip')}" if self.clips else ""
        hours = f", {self.hours:,} h" if self.hours else ""
        there = "" if Path(self.manifest).exists() else " (not there yet)"
        return f"{self.manifest}{there}: {self.name}{clips}{hours}; from {self.where}"


REPRODUCTION = "huggingface.co/datasets/Evo-LMM/salmonn-data, an independent reproduction"
QUESTIONS = "a language model, asked about captions; not published"
QA = "table QA.jsonl --columns path=path,text=answer,Q=question --set-column task="
PHONES = "table PHONES.csv --columns path=path,text=phones --set-column task=phone_recognition"
GENDER = "table GENDER.csv --columns path=path,text=gender --set-column task=gender"
GIGASPEECH = "github.com/SpeechColab/GigaSpeech"
# By the name of the packed folder: of those that begin it, the longest counts. Hours: LibriSpeech and GigaSpeech M as
# published, train-clean-100 by its name; AudioCaps and MusicCaps have clips of 10 s, Clotho's last 22.5 s on average.
SOURCES = {
    "librispeech-asr": Source("LibriSpeech", 960, "openslr.org/12", "librispeech LibriSpeech"),
    "librispeech-qa": Source("questions on LibriSpeech", 960, REPRODUCTION, f"{QA}speech_qa"),
    "librispeech-phones": Source("phones of LibriSpeech", 960, REPRODUCTION, PHONES),
    "gigaspeech": Source("GigaSpeech", None, GIGASPEECH, "gigaspeech GigaSpeech --split M"),
    "gigaspeech-m": Source("GigaSpeech M", 1000, GIGASPEECH, "gigaspeech GigaSpeech --split M"),
    "audiocaps-caption": Source("AudioCaps", 134, "github.com/cdjkim/audiocaps", "audiocaps AudioCaps"),
    "audiocaps-qa": Source("questions on AudioCaps", 134, QUESTIONS, f"{QA}audio_qa"),
    "wavcaps-caption": Source("WavCaps", None, "huggingface.co/datasets/cvssp/WavCaps", "wavcaps WavCaps"),
    "wavcaps-qa": Source("questions on WavCaps", None, QUESTIONS, f"{QA}audio_qa"),
    "clotho": Source("Clotho", 24, "zenodo.org/records/4783391", "clotho Clotho"),
    "covost2": Source("CoVoST 2", None, "github.com/facebookresearch/covost", "covost2 CommonVoice4"),
    "emotion": Source("IEMOCAP", None, "sail.usc.edu/iemocap", "iemocap IEMOCAP"),
    "musiccaps": Source("MusicCaps", 7, "kaggle.com/datasets/googleai/musiccaps", "musiccaps MusicCaps"),
    "millionsong-qa": Source(
        "questions on the Million Song Dataset", None, "millionsongdataset.com", f"{QA}music_qa"
    ),
    "musicnet-qa": Source("questions on MusicNet", None, "zenodo.org/records/5120004", f"{QA}music_qa"),
    "librimix": Source(
        "LibriMix",
        None,
        "github.com/JorisCos/LibriMix",
        "librimix Libri2Mix --split train-100 --split train-360",
    ),
    "voxceleb1": Source("VoxCeleb1", None, "robots.ox.ac.uk/~vgg/data/voxceleb", "voxceleb1 VoxCeleb1"),
    "gender": Source("genders in LibriSpeech's train-clean-100", 100, REPRODUCTION, GENDER),
}


def sources_of(manifests: Mapping[str, float]) -> list[Source]:
    """The source of each of a recipe's `manifests`, with the clips that the recipe counts in it; others by name."""
    found = []
    for manifest, clips in manifests.items():
        name = Path(manifest).stem
        key = max((key for key in SOURCES if name.startswith(key)), key=len, default=None)
        row = SOURCES[key] if key else Source(name, None, "your own files")
        command = f"salmonn-mini data import {row.command} --out {name}.jsonl" if key else ""
        found.append(replace(row, command=command, clips=round(clips), manifest=manifest))
    return found


def listing(manifests: Mapping[str, float]) -> Iterator[str]:
    """Lines for a reader: each source of a recipe's `manifests`, then the command that imports it."""
    for source in sources_of(manifests):
        yield str(source)
        if source.command:
            yield f"  {source.command}"
    if any(not Path(name).suffix for name in manifests):
        yield "then, for each: salmonn-mini data pack NAME.jsonl packed/NAME"
