"""The parts of a published recipe's mixture: what they are, where one gets them, how they are imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from salmonn_mini.errors import counted

REPRODUCTION = "huggingface.co/datasets/Evo-LMM/salmonn-data, an independent reproduction"
QUESTIONS = "a language model, asked about captions; not published"
QA = "table QA.jsonl --columns path=path,text=answer,Q=question --set-column task="
PHONES = "table PHONES.csv --columns path=path,text=phones --set-column task=phone_recognition"
GENDER = "table GENDER.csv --columns path=path,text=gender --set-column task=gender"
GIGASPEECH = "github.com/SpeechColab/GigaSpeech"
VOXCELEB = "robots.ox.ac.uk/~vgg/data/voxceleb"
LIBRIMIX = "librimix Libri2Mix --split train-100 --split train-360"
# By the name of the packed folder, of those that begin it the longest: name, hours of sound behind the recipe's clips,
# where it is, and what `data import` takes. Hours: LibriSpeech and GigaSpeech M as published, train-clean-100 by its
# name; AudioCaps and MusicCaps have clips of 10 s, Clotho's last 22.5 s on average; 0: no public source gives them.
SOURCES = {
    "librispeech-asr": ("LibriSpeech", 960, "openslr.org/12", "librispeech LibriSpeech"),
    "librispeech-qa": ("questions on LibriSpeech", 960, REPRODUCTION, f"{QA}speech_qa"),
    "librispeech-phones": ("phones of LibriSpeech", 960, REPRODUCTION, PHONES),
    "gigaspeech": ("GigaSpeech", 0, GIGASPEECH, "gigaspeech GigaSpeech --split M"),
    "gigaspeech-m": ("GigaSpeech M", 1000, GIGASPEECH, "gigaspeech GigaSpeech --split M"),
    "audiocaps-caption": ("AudioCaps", 134, "github.com/cdjkim/audiocaps", "audiocaps AudioCaps"),
    "audiocaps-qa": ("questions on AudioCaps", 134, QUESTIONS, f"{QA}audio_qa"),
    "wavcaps-caption": ("WavCaps", 0, "huggingface.co/datasets/cvssp/WavCaps", "wavcaps WavCaps"),
    "wavcaps-qa": ("questions on WavCaps", 0, QUESTIONS, f"{QA}audio_qa"),
    "clotho": ("Clotho", 24, "zenodo.org/records/4783391", "clotho Clotho"),
    "covost2": ("CoVoST 2", 0, "github.com/facebookresearch/covost", "covost2 CommonVoice4"),
    "emotion": ("IEMOCAP", 0, "sail.usc.edu/iemocap", "iemocap IEMOCAP"),
    "musiccaps": ("MusicCaps", 7, "kaggle.com/datasets/googleai/musiccaps", "musiccaps MusicCaps"),
    "millionsong-qa": ("questions on the Million Song Dataset", 0, "millionsongdataset.com", f"{QA}music_qa"),
    "musicnet-qa": ("questions on MusicNet", 0, "zenodo.org/records/5120004", f"{QA}music_qa"),
    "librimix": ("LibriMix", 0, "github.com/JorisCos/LibriMix", LIBRIMIX),
    "voxceleb1": ("VoxCeleb1", 0, VOXCELEB, "voxceleb1 VoxCeleb1"),
    "gender": ("genders in LibriSpeech's train-clean-100", 100, REPRODUCTION, GENDER),
}


@dataclass(frozen=True)
class Source:
    """A part of a recipe's mixture. `command` makes a manifest of it; empty where none does."""

    manifest: str
    clips: int  # that the recipe counts; 0: it does not say
    name: str
    hours: int
    where: str
    command: str

    def __str__(self) -> str:
        there = "" if Path(self.manifest).exists() else " (not there yet)"
        clips = f", {counted(self.clips, 'clip')}" if self.clips else ""
        hours = f", {self.hours:,} h" if self.hours else ""
        return f"{self.manifest}{there}: {self.name}{clips}{hours}; from {self.where}"


def sources_of(manifests: Mapping[str, float]) -> list[Source]:
    """The source of each of a recipe's `manifests`, with the clips that the recipe counts in it; others by name."""
    found = []
    for manifest, clips in manifests.items():
        stem = Path(manifest).stem
        key = max((key for key in SOURCES if stem.startswith(key)), key=len, default="")
        name, hours, where, taken = SOURCES.get(key, (stem, 0, "your own files", ""))
        command = f"salmonn-mini data import {taken} --out {stem}.jsonl" if taken else ""
        found.append(Source(manifest, round(clips), name, hours, where, command))
    return found


def listing(manifests: Mapping[str, float]) -> Iterator[str]:
    """Lines for a reader: each source of a recipe's `manifests`, then the command that imports it."""
    for source in sources_of(manifests):
        yield str(source)
        if source.command:
            yield f"  {source.command}"
    if any(not Path(name).suffix for name in manifests):
        yield "then, for each: salmonn-mini data pack NAME.jsonl packed/NAME"
