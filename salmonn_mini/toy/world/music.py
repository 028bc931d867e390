"""Ten kinds of music, each piece composed anew: instrument, tempo, mode, chords and a melody over them.

Tempo and mode are meant to be heard. Slow pieces have a note a beat or longer, fast ones a note a beat or
shorter. Happy pieces are major, higher, brighter and detached; sad ones are minor, lower, darker and sinking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from salmonn_mini.errors import SalmonnError, unknown
from salmonn_mini.toy.world import instruments, synth
from salmonn_mini.toy.world.acoustics import normalize
from salmonn_mini.toy.world.instruments import Play

TEMPI: dict[str, tuple[int, int]] = {"slow": (60, 80), "fast": (140, 180)}  # beats a minute
BAR = 2  # beats to a chord: a short clip then has more than one
_RHYTHMS = {  # beats of the melody's notes in a bar
    "slow": ((1, 1), (2,)),
    "fast": ((1, 1), (0.5, 0.5, 1), (1, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5)),
}


@dataclass(frozen=True)
class Mode:
    """A mood in notes: the scale in semitones, roots of chords as degrees of it, and how it is played."""

    scale: tuple[int, ...]
    roots: tuple[tuple[int, ...], ...]
    steps: tuple[int, ...]  # the melody's, in degrees
    lift: int  # semitones on the key
    held: float  # share of its time that a note sounds
    bright: tuple[float, float]


MODES: dict[str, Mode] = {
    "happy": Mode(
        (0, 2, 4, 5, 7, 9, 11), ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 3, 4), (0, 3, 0, 4)),
        steps=(1, 1, 2, -1), lift=5, held=0.7, bright=(0.6, 1.0),
    ),
    "sad": Mode(
        (0, 2, 3, 5, 7, 8, 10), ((0, 3, 4, 0), (0, 5, 6, 0), (0, 3, 6, 4), (0, 5, 3, 4)),
        steps=(-1, -1, -2, 1), lift=0, held=1.0, bright=(0.0, 0.3),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """A kind of music: its instrument, the lowest key (MIDI note), the level of chords under the melody."""

    name: str
    play: Play
    lowest: int
    chords: float


@dataclass(frozen=True)
class Note:
    """Start and length in seconds, pitch as a MIDI note, level."""

    start: float
    seconds: float
    pitch: int
    level: float


def compose(
    style: str, rng: Generator, seconds: float, tempo: str = "slow", mode: str = "happy"
) -> np.ndarray:
    """A new piece of music: float32 (round(seconds · 16000),) at 16 kHz.

    Raises:
        SalmonnError: an unknown style, tempo or mode, or `seconds` below 0.5.
    """
    for what, value, known in (("style", style, MUSIC), ("tempo", tempo, TEMPI), ("mode", mode, MODES)):
        if value not in known:
            raise unknown(f"{what} of music", value, known)
    if seconds < 0.5:
        raise SalmonnError(f"{seconds} seconds of music: give at least 0.5")
    music, beat = MUSIC[style], 60 / rng.uniform(*TEMPI[tempo])
    bright = rng.uniform(*MODES[mode].bright)
    out = np.zeros(synth.samples_of(seconds))
    for note in _score(music, rng, seconds, beat, tempo, mode):
        hertz = 440 * 2 ** ((note.pitch - 69) / 12)
        wave = music.play(rng, hertz, synth.samples_of(note.seconds), bright)
        synth.add(out, note.level * wave, note.start)
    if style == "rock":
        instruments.drum_kit(out, rng, beat)
    return normalize(out, rng.uniform(0.07, 0.13))


def _score(music: Style, rng: Generator, seconds: float, beat: float, tempo: str, mode: str) -> list[Note]:
    """Chords of a bar each, and a melody that starts every bar on a note of its chord."""
    manner = MODES[mode]
    key = music.lowest + manner.lift + int(rng.integers(0, 6))
    roots = manner.roots[rng.integers(len(manner.roots))]

    def pitch(degree: int) -> int:
        return key + 12 * (degree // 7) + manner.scale[degree % 7]

    notes, bar_seconds = [], BAR * beat
    degree = int(rng.choice((2, 4)))
    for bar in range(int(seconds / bar_seconds) + 1):
        start, root = bar * bar_seconds, roots[bar % len(roots)]
        notes += [Note(start, bar_seconds * manner.held, pitch(root + i), music.chords) for i in (0, 2, 4)]
        degree = min((root + i + 7 * j for i in (0, 2, 4) for j in (-1, 0, 1)), key=lambda d: abs(d - degree))
        for beats in _RHYTHMS[tempo][rng.integers(len(_RHYTHMS[tempo]))]:
            level = rng.uniform(0.8, 1.0)
            notes.append(Note(start, beats * beat * manner.held, pitch(degree) + 12, level))
            start += beats * beat
            degree += int(rng.choice(manner.steps))
            degree = degree - 7 if degree > 8 else degree + 7 if degree < -1 else degree
    return [note for note in notes if note.start < seconds]


MUSIC: dict[str, Style] = {
    style.name: style
    for style in (
        Style("piano", instruments.piano, lowest=50, chords=0.5),
        Style("guitar", instruments.guitar, lowest=45, chords=0.6),
        Style("violin", instruments.violin, lowest=55, chords=0.3),
        Style("flute", instruments.flute, lowest=62, chords=0.2),
        Style("trumpet", instruments.trumpet, lowest=50, chords=0.3),
        Style("organ", instruments.organ, lowest=48, chords=0.5),
        Style("choir", instruments.choir, lowest=48, chords=0.6),
        Style("xylophone", instruments.xylophone, lowest=67, chords=0.3),
        Style("synth", instruments.synthesizer, lowest=38, chords=0.4),
        Style("rock", instruments.bass, lowest=40, chords=0.3),
    )
}
