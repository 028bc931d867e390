"""What a clip contains, planned first and rendered afterwards.

A plan holds all there is to know of a clip: the words and who says them in which mood, the sound events, the music.
`record` turns a plan into sound, with the times of its words. Equal plans give equal samples on one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from salmonn_mini.models.config import GAP_SECONDS, SAMPLE_RATE
from salmonn_mini.toy.world import acoustics, events, music
from salmonn_mini.toy.world.voice import MOODS, TEMPI, Speech, Utterance, Word, speak, speakers_of

BACKGROUND_SNR = (3.0, 12.0)  # dB, voice against the sound behind it
LEAD_SECONDS, TAIL_SECONDS = (0.8, 1.2), (0.2, 0.5)  # how long that sound is heard before and after the voice


@dataclass(frozen=True)
class Music:
    """A piece of music: instrument or style, tempo and mode."""

    style: str
    tempo: str
    mode: str


@dataclass(frozen=True)
class ClipPlan:
    """All that a clip contains.

    Attributes:
        utterances: what is said; two of them follow each other (`turns`) or overlap.
        overlap: the share of the first utterance that has passed when the second begins; None: turns.
        events: sound events, one after the other; behind the voice if something is said.
        seed: of all that is random in the rendering.
    """

    seed: int
    utterances: tuple[Utterance, ...] = ()
    overlap: float | None = None
    events: tuple[str, ...] = ()
    music: Music | None = None


@dataclass(frozen=True)
class Clip:
    """A rendered plan: wave float32 (S,) at 16 kHz, within [-1, 1], and the words of each speaker with their times."""

    wave: np.ndarray
    words: tuple[Word, ...] = ()


def draw_utterance(
    text: str,
    rng: np.random.Generator,
    mood: str | None = None,
    speaker: str | None = None,
    split: str = "train",
) -> Utterance:
    """`text` by one of the split's speakers, at some tempo; neutral in half of the cases unless a mood is given."""
    if mood is None:
        mood = "neutral" if rng.random() < 0.5 else MOODS[rng.integers(len(MOODS))]
    names = speakers_of(split)
    return Utterance(text, speaker or names[rng.integers(len(names))], mood, float(rng.uniform(*TEMPI)))


def draw_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def render(plans: Sequence[ClipPlan]) -> list[np.ndarray]:
    """The samples of each plan: float32 (S,), mono, 16 kHz, within [-1, 1]."""
    return [record(plan).wave for plan in plans]


def record(plan: ClipPlan) -> Clip:
    """The plan's clip, with the times of what is said in it."""
    rng, words = np.random.default_rng(plan.seed), ()
    if (piece := plan.music) is not None:
        wave = music.compose(piece.style, rng, rng.uniform(3.0, 4.5), tempo=piece.tempo, mode=piece.mode)
    elif not plan.utterances:
        wave = _scene(plan.events, rng)
    else:
        wave, words = _speech(plan)
        if plan.events:
            lead, tail = rng.uniform(*LEAD_SECONDS), rng.uniform(*TAIL_SECONDS)
            behind = events.synthesize(plan.events[0], rng, lead + len(wave) / SAMPLE_RATE + tail)
            wave = acoustics.mix(wave, behind, rng.uniform(*BACKGROUND_SNR), lead, tail)
            words = _later(words, lead)
    return Clip(_recorded(wave, rng), words)


def _scene(names: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    longest = 3.5 if len(names) == 1 else 2.2
    return acoustics.join(
        [events.synthesize(name, rng, rng.uniform(1.4, longest)) for name in names], GAP_SECONDS
    )


def _speech(plan: ClipPlan) -> tuple[np.ndarray, tuple[Word, ...]]:
    """What all speakers say, in turns or at once; the words of the first, then those of the next."""
    wave, words = np.zeros(0, np.float32), ()
    for utterance in plan.utterances:
        said: Speech = speak(**vars(utterance))
        if not len(wave):
            wave, words = said.wave, said.words
            continue
        seconds = len(wave) / SAMPLE_RATE
        if plan.overlap is None:
            start = seconds + GAP_SECONDS
            wave = acoustics.join([wave, said.wave], GAP_SECONDS)
        else:
            start = plan.overlap * seconds
            wave = acoustics.overlap(wave, said.wave, delay=start)
        words += _later(said.words, start)
    return wave, words


def _later(words: Sequence[Word], seconds: float) -> tuple[Word, ...]:
    return tuple(replace(word, begin=word.begin + seconds, end=word.end + seconds) for word in words)


def _recorded(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A little reverberation now and then, light noise mostly."""
    if rng.random() < 0.2:
        wave = acoustics.reverberate(wave, rng)
    if rng.random() < 0.7:
        wave = acoustics.add_noise(wave, rng, rng.uniform(25.0, 45.0))
    return wave
