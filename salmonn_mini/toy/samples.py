"""`data_samples/`: clips to hear and to ask about, drawn from the toy world's test sentences.

    row of SAMPLES ─ draw until it fits ─ render ─ rate, channels, format ─ file, with its annotations

Equal builds give equal bytes on one machine, but for the random serial number of Ogg files. Some rows come in the
forms that clips have in the wild: stereo, 44.1 and 8 kHz, mp3, ogg, flac, over a minute long, hardly there.
`manifest.json` has the published annotation format; its paths are relative to the folder. `clips.json` tells what is
in each clip: who says which word when, in which mood, over which sound.
"""

from __future__ import annotations

import io
import json
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.signal import resample_poly

from salmonn_mini.data.tasks import get_task
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import write_bytes
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.toy.world import vocoder
from salmonn_mini.toy.world.acoustics import bounded
from salmonn_mini.toy.world.answers import caption, music_caption
from salmonn_mini.toy.world.audio_tasks import ANYTHING_SAID, MAKERS, ToyExample, draw_examples
from salmonn_mini.toy.world.clips import Clip, record
from salmonn_mini.toy.world.events import synthesize
from salmonn_mini.toy.world.voice import SPEAKERS

FOLDER = Path("data_samples")
LICENSE = "CC0-1.0"
SPLIT = "test"
PAN = (0.3, 1.0)  # left and right of a stereo clip: whoever keeps the left channel alone hears little
DRAWS = 20_000  # after so many in vain, no test sentence fits


@dataclass(frozen=True)
class SampleSpec:
    """A row of the table.

    Attributes:
        file: its name; the ending names the format.
        task: whose example it is; what is said is annotated as `asr` too.
        fits: whether a drawn example is the one that the name promises.
        background: a sound event behind the voice.
        rate: Hz, as stored.
        stereo: two channels, panned to the right.
        seconds: instead of a rendered clip, so much of its sound event.
    """

    file: str
    task: str
    fits: Callable[[ToyExample], bool]
    background: str | None = None
    rate: int = SAMPLE_RATE
    stereo: bool = False
    seconds: float | None = None


def _said(gender: str, mood: str = "neutral") -> Callable[[ToyExample], bool]:
    """By one speaker of this gender and mood, in a sentence that is neither very short nor long."""

    def fits(example: ToyExample) -> bool:
        utterance = example.plan.utterances[0]
        words = len(example.words.split())
        return SPEAKERS[utterance.speaker].gender == gender and utterance.mood == mood and 5 <= words <= 9

    return fits


def _sounds(*events: str) -> Callable[[ToyExample], bool]:
    return lambda example: example.plan.events == events


def _played(*piece: str) -> Callable[[ToyExample], bool]:
    def fits(example: ToyExample) -> bool:
        music = example.plan.music
        return (music.style, music.tempo, music.mode) == piece

    return fits


def _two(first: str, second: str, same: bool = False) -> Callable[[ToyExample], bool]:
    """Two speakers of these genders, or the same one twice."""

    def fits(example: ToyExample) -> bool:
        one, other = (utterance.speaker for utterance in example.plan.utterances)
        return (SPEAKERS[one].gender, SPEAKERS[other].gender, one == other) == (first, second, same)

    return fits


SAMPLES: tuple[SampleSpec, ...] = (
    SampleSpec("speech_neutral_woman.wav", "translation_zh", _said("female")),
    SampleSpec("speech_neutral_man.wav", "translation_zh", _said("male")),
    SampleSpec("speech_happy_woman.wav", "emotion", _said("female", "happy")),
    SampleSpec("speech_happy_man.wav", "emotion", _said("male", "happy")),
    SampleSpec("speech_sad_woman.wav", "emotion", _said("female", "sad")),
    SampleSpec("speech_sad_man.wav", "emotion", _said("male", "sad")),
    SampleSpec("speech_angry_woman.wav", "emotion", _said("female", "angry")),
    SampleSpec("speech_angry_man.wav", "emotion", _said("male", "angry")),
    SampleSpec("question_woman.wav", "spoken_query_qa", _said("female")),
    SampleSpec("question_man.wav", "spoken_query_qa", _said("male")),
    SampleSpec("command_woman.wav", "slot_filling", _said("female")),
    SampleSpec("command_man.wav", "slot_filling", _said("male")),
    SampleSpec("sound_dog.wav", "audio_caption", _sounds("dog")),
    SampleSpec("sound_siren.wav", "audio_caption", _sounds("siren")),
    SampleSpec("sound_waves.wav", "audio_caption", _sounds("waves")),
    SampleSpec("sound_rain_then_bell.wav", "audio_caption", _sounds("rain", "bell")),
    SampleSpec("sound_knock_then_baby.wav", "audio_qa", _sounds("knock", "baby")),
    SampleSpec("music_piano_fast_happy.wav", "music_caption", _played("piano", "fast", "happy")),
    SampleSpec("music_violin_slow_sad.wav", "music_caption", _played("violin", "slow", "sad")),
    SampleSpec("music_rock_fast_sad.wav", "music_qa", _played("rock", "fast", "sad")),
    SampleSpec("speech_over_dog.wav", "speech_qa", _said("female"), background="dog"),
    SampleSpec("question_over_waves.wav", "co_reasoning", _sounds("waves")),
    SampleSpec("two_overlapped.wav", "overlapped_speech", _two("female", "male")),
    SampleSpec("two_turns_same_speaker.wav", "speaker_verification", _two("male", "male", same=True)),
    SampleSpec("two_turns_other_speaker.wav", "speaker_verification", _two("female", "female")),
    SampleSpec("form_stereo.wav", "gender", _said("female"), stereo=True),
    SampleSpec("form_44100_hz.wav", "gender", _said("male"), rate=44_100),
    SampleSpec("form_8000_hz.wav", "gender", _said("female"), rate=8_000),
    SampleSpec("form_mp3.mp3", "gender", _said("male"), rate=44_100, stereo=True),
    SampleSpec("form_ogg.ogg", "audio_caption", _sounds("bird")),
    SampleSpec("form_flac.flac", "gender", _said("female")),
    SampleSpec("form_70_seconds.ogg", "audio_caption", _sounds("rain"), seconds=70.0),
    SampleSpec("form_very_short.wav", "audio_caption", _sounds("knock"), seconds=0.15),
)


def build_samples(folder: str | os.PathLike = FOLDER, samples: Sequence[SampleSpec] = SAMPLES) -> list[Path]:
    """Write the clips, `manifest.json`, `clips.json` and `README.md` into `folder`; returns what was written."""
    folder = Path(folder)
    annotation, contents, described = [], {}, {}
    for sample, example in zip(samples, draw_all(samples), strict=True):
        clip = record(example.plan) if sample.seconds is None else Clip(_event_of(sample, example))
        contents[sample.file] = encode(sample, clip.wave)
        described[sample.file] = describe(example, clip)
        annotation += annotate(sample, example)
    contents["manifest.json"] = _json({"annotation": annotation})
    contents["clips.json"] = _json(described)
    contents["README.md"] = _readme(described, annotation).encode()
    for name, data in contents.items():
        write_bytes(folder / name, data)
    return [folder / name for name in contents]


def draw_all(samples: Sequence[SampleSpec] = SAMPLES) -> list[ToyExample]:
    """For each row the first example that fits it and says what no row before it says.

    Raises:
        SalmonnError: nothing of the test split fits.
    """
    examples: list[ToyExample] = []
    for sample in samples:
        examples.append(_draw(sample, {example.words for example in examples if example.words}))
    return examples


def _draw(sample: SampleSpec, said: set[str]) -> ToyExample:
    rng = np.random.default_rng(zlib.crc32(sample.file.encode()))
    for _ in range(DRAWS):
        (example,) = draw_examples([sample.task], rng, SPLIT, makers=MAKERS | ANYTHING_SAID)
        named = sample.background is not None and sample.background in example.words
        if sample.fits(example) and example.words not in said and not named:
            background = (sample.background,) if sample.background else example.plan.events
            return replace(example, plan=replace(example.plan, events=background))
    raise SalmonnError(f"{sample.file}: none of {DRAWS:,} drawn examples of {sample.task} fits: ask for less")


def annotate(sample: SampleSpec, example: ToyExample) -> list[dict[str, str]]:
    """The clip's rows in the annotation format: its task, and what is plainly there: words, sounds or music."""
    answers = {sample.task: (example.answer, _gap(example))}
    plan = example.plan
    if plan.music:
        answers["music_caption"] = music_caption(plan.music.style, plan.music.tempo, plan.music.mode), ""
    elif not example.words:
        answers["audio_caption"] = caption(plan.events), ""
    elif plan.overlap is None:
        answers["asr"] = example.words, ""
    return [{"path": sample.file, "text": text, "task": task, "Q": Q} for task, (text, Q) in answers.items()]


def describe(example: ToyExample, clip: Clip) -> dict[str, Any]:
    """What a clip contains: its length in seconds, its speakers, words with their times, sounds and music."""
    plan = example.plan
    return {
        "seconds": round(len(clip.wave) / SAMPLE_RATE, 3),
        "speakers": [
            {
                "name": said.speaker,
                "gender": SPEAKERS[said.speaker].gender,
                "mood": said.mood,
                "text": said.text,
            }
            for said in plan.utterances
        ],
        "words": [[word.text, round(word.begin, 3), round(word.end, 3)] for word in clip.words],
        "sounds": list(plan.events),
        "music": vars(plan.music) if plan.music else None,
        "license": LICENSE,
    }


def _json(content: Any) -> bytes:
    """One row a line where a row is short."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    return (
        re.sub(r"\[\n\s+(\"[^\"]*\"),\n\s+([\d.]+),\n\s+([\d.]+)\n\s+\]", r"[\1, \2, \3]", text) + "\n"
    ).encode()


def encode(sample: SampleSpec, wave: np.ndarray) -> bytes:
    """The clip (S,), 16 kHz, as a file of the row's rate, channels and format."""
    if sample.rate != SAMPLE_RATE:
        common = np.gcd(sample.rate, SAMPLE_RATE)
        wave = bounded(resample_poly(wave, sample.rate // common, SAMPLE_RATE // common))
    if sample.stereo:
        wave = wave[:, None] * np.float32(PAN)
    form = Path(sample.file).suffix[1:].upper()
    file = io.BytesIO()
    soundfile.write(file, wave, sample.rate, format=form)
    return file.getvalue()


def _event_of(sample: SampleSpec, example: ToyExample) -> np.ndarray:
    """So many seconds of the example's sound event, from its first loud moment on."""
    rng = np.random.default_rng(example.plan.seed)
    wave = synthesize(example.plan.events[0], rng, sample.seconds + 1.0)
    start = int(np.argmax(np.abs(wave) > 0.5 * np.abs(wave[:SAMPLE_RATE]).max()))
    start = max(0, start - SAMPLE_RATE // 100)
    return wave[start : start + round(sample.seconds * SAMPLE_RATE)]


def _gap(example: ToyExample) -> str:
    """What fills the `{}` of the task's prompts, "" if they have none: the format's `Q`."""
    for wording in get_task(example.task).prompts:
        before, gap, after = wording.partition("{}")
        if gap and example.prompt.startswith(before) and example.prompt.endswith(after):
            return example.prompt[len(before) : len(example.prompt) - len(after)]
    return ""


def _readme(described: Mapping[str, dict[str, Any]], annotation: Sequence[dict[str, str]]) -> str:
    lines = [
        "# Clips to hear and to ask about",
        "",
        f"{len(described)} synthetic clips of the toy world: sentences that no training has seen, said by",
        "variations of one synthetic voice, and sounds and music made by this project's own code. `make samples`",
        "makes them anew.",
        f"License: dedicated to the public domain, {LICENSE} (https://creativecommons.org/publicdomain/zero/1.0/).",
        "",
        "`manifest.json` has the published annotation format: `path` (in this folder), `text`, `task`, and `Q`, which",
        "fills the gap of a prompt. `clips.json` tells who speaks in which mood, when each word begins and ends (in",
        "seconds), and which sounds or music there are.",
        "",
        vocoder.ORIGIN,
        "| clip | seconds | task | Q | answer |",
        "|---|---|---|---|---|",
    ]
    for row in annotation:
        seconds = described[row["path"]]["seconds"]
        lines.append(f"| {row['path']} | {seconds:.2f} | {row['task']} | {row['Q']} | {row['text']} |")
    return "\n".join(lines) + "\n"
