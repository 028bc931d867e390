"""What a clip contains, planned first and rendered afterwards.

A plan holds all there is to know of a clip: the words and who says them in which mood, the sound events, the music.
`render` turns plans into sound. Equal plans in equal order give equal samples, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from salmonn_mini.models.config import GAP_SECONDS
from salmonn_mini.toy.world import acoustics, events, music
from salmonn_mini.toy.world.voice import MOODS, RATES, SAMPLE_RATE, VOICES, Utterance, speak

BACKGROUND_SNR = (3.0, 12.0)  # dB, voice against the sound behind it


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


def draw_utterance(
    text: str, rng: np.random.Generator, mood: str | None = None, voice: str | None = None
) -> Utterance:
    """`text` in a random voice, rate and pitch; neutral in half of the cases unless a mood is given."""
    if mood is None:
        mood = "neutral" if rng.random() < 0.5 else MOODS[rng.integers(len(MOODS))]
    names = tuple(VOICES)
    return Utterance(
        text=text,
        voice=voice or names[rng.integers(len(names))],
        mood=mood,
        rate=int(rng.integers(RATES[0], RATES[1] + 1)),
        pitch=int(rng.integers(-4, 5)),
    )


def draw_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def render(plans: Sequence[ClipPlan]) -> list[np.ndarray]:
    """The samples of each plan: float32, mono, 16 kHz, within [-1, 1]."""
    utterances = [utterance for plan in plans for utterance in plan.utterances]
    waves = iter(speak(utterances))
    return [_render(plan, [next(waves) for _ in plan.utterances]) for plan in plans]


def _render(plan: ClipPlan, spoken: list[np.ndarray]) -> np.ndarray:
    rng = np.random.default_rng(plan.seed)
    if (piece := plan.music) is not None:
        wave = music.compose(piece.style, rng, rng.uniform(3.0, 4.5), tempo=piece.tempo, mode=piece.mode)
    elif not spoken:
        wave = _scene(plan.events, rng)
    else:
        wave = _voices(plan, spoken)
        if plan.events:
            background = events.synthesize(plan.events[0], rng, len(wave) / SAMPLE_RATE)
            wave = acoustics.mix(wave, background, rng.uniform(*BACKGROUND_SNR))
    return _recorded(wave, rng)


def _scene(names: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    longest = 3.5 if len(names) == 1 else 2.2
    return acoustics.join(
        [events.synthesize(name, rng, rng.uniform(1.4, longest)) for name in names], GAP_SECONDS
    )


def _voices(plan: ClipPlan, spoken: list[np.ndarray]) -> np.ndarray:
    if plan.overlap is None or len(spoken) == 1:
        return acoustics.join(spoken, GAP_SECONDS)
    first, second = spoken
    return acoustics.overlap(first, second, delay=plan.overlap * len(first) / SAMPLE_RATE)


def _recorded(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A little reverberation now and then, light noise mostly."""
    if rng.random() < 0.2:
        wave = acoustics.reverberate(wave, rng)
    if rng.random() < 0.7:
        wave = acoustics.add_noise(wave, rng, rng.uniform(15.0, 40.0))
    return wave
