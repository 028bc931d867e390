"""The toy world's speakers: who they are, how they feel, what they say, and when they say each word.

All of them are variations of one synthetic voice (see `vocoder`): its source, the pitch and its range, and its
filter, the size of the vocal tract. So whatever is found about speakers holds for such variations.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from salmonn_mini.errors import SalmonnError, unknown
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.toy.world import acoustics, pronunciation, vocoder
from salmonn_mini.toy.world.vocoder import FRAME_SECONDS, Spectra

MARGIN_SECONDS = 0.1  # of a clip before the first word and after the last one
FADE_SECONDS = 0.02
TEMPI = (0.92, 1.08)  # how much slower and faster an utterance may ask a speaker to talk


@dataclass(frozen=True)
class Speaker:
    """A speaker, as a variation of the voice.

    Attributes:
        gender: "male", "female" or "child".
        pitch: Hz, the usual f0.
        range: of f0's movements, in octaves; 1 is the voice's own.
        size: length of the vocal tract; 1 is the voice's own, 1.2 a big man's.
        tilt: brightness, the gain at 12 kHz in nepers; 0 is the voice's own.
        breath: gain of the noise in nepers.
        tempo: pace; 1 is the voice's own, which is a fast one.
    """

    name: str
    gender: str
    pitch: float
    range: float = 1.0
    size: float = 1.0
    tilt: float = 0.0
    breath: float = 0.0
    tempo: float = 1.0


@dataclass(frozen=True)
class Word:
    """A spoken word, without punctuation, and when it begins and ends, in seconds."""

    text: str
    begin: float
    end: float


@dataclass(frozen=True)
class Speech:
    """What `speak` returns: wave float32 (S,) at 16 kHz, its words in order, its phones, and its f0.

    f0 (F,) is in Hz, one every `FRAME_SECONDS`, 0 where nothing is voiced.
    """

    wave: np.ndarray
    words: tuple[Word, ...]
    phones: tuple[str, ...]
    f0: np.ndarray


@dataclass(frozen=True)
class Utterance:
    """What is said, by which of `SPEAKERS`, and how: the arguments of `speak`."""

    text: str
    speaker: str
    mood: str = "neutral"
    tempo: float = 1.0


@dataclass(frozen=True)
class _Manner:
    """A mood in numbers: factors on pitch, range and tempo, what it adds to the tilt, and the level in RMS."""

    pitch: float
    range: float
    tempo: float
    tilt: float
    level: float


_MANNERS = {
    "neutral": _Manner(pitch=1.0, range=1.0, tempo=1.0, tilt=0.0, level=0.10),
    "happy": _Manner(pitch=1.3, range=1.8, tempo=1.1, tilt=0.5, level=0.11),
    "sad": _Manner(pitch=0.86, range=0.35, tempo=0.82, tilt=-2.0, level=0.06),
    "angry": _Manner(pitch=1.02, range=1.4, tempo=1.12, tilt=2.0, level=0.17),
}
MOODS = tuple(_MANNERS)

# From the lowest to the highest pitch in Hz, and from the shortest to the longest vocal tract. In wider ones OpenAI's
# Whisper misses words.
_RANGES = {
    "male": ((86.0, 120.0), (1.11, 1.21)),
    "female": ((172.0, 228.0), (0.93, 1.03)),
    "child": ((240.0, 270.0), (0.87, 0.91)),
}
GENDERS = tuple(_RANGES)
# Which tenths of these ranges each split's speakers come from: nobody else has a pitch or a size like theirs.
_TENTHS = {"train": (0, 2, 4, 5, 7, 9), "validation": (1, 6), "test": (3, 8)}
_OTHERS = ((0.85, 1.15), (-0.6, 0.4), (-0.3, 0.7), (0.82, 0.92))  # range, tilt, breath and tempo of everyone

_NAMES = {
    ("train", "female"): "alice bella clara diana emma fiona grace helen irene julia",
    ("train", "male"): "adam bruno carl david eric frank george henry ivan jack",
    ("train", "child"): "kim lee max nia",
    ("validation", "female"): "laura mona nora",
    ("validation", "male"): "kevin leo martin",
    ("validation", "child"): "sam toni",
    ("test", "female"): "olga paula rosa",
    ("test", "male"): "noah oscar paul",
    ("test", "child"): "ulli vic",
}


def new_speaker(name: str, gender: str, split: str, draws: Sequence[float]) -> Speaker:
    """A speaker of the split's part of the ranges.

    Args:
        draws: six numbers from 0 to 1, one each for pitch, size, range, tilt, breath and tempo.
    """
    pitch, size = (
        low * (high / low) ** _part(split, draw)
        for (low, high), draw in zip(_RANGES[gender], draws[:2], strict=True)
    )
    span, tilt, breath, tempo = (
        low + (high - low) * draw for (low, high), draw in zip(_OTHERS, draws[2:], strict=True)
    )
    return Speaker(name, gender, pitch, span, size, tilt, breath, tempo)


def _part(split: str, draw: float) -> float:
    """Where in a range `draw`, from 0 to 1, falls if only the split's tenths of it count."""
    tenths = _TENTHS[split]
    number = min(int(draw * len(tenths)), len(tenths) - 1)
    return (tenths[number] + draw * len(tenths) - number) / 10


def _spread(i: int) -> list[float]:
    """The i-th of points that fill a cube of five sides evenly (Kronecker's sequence), and of the sixth number."""
    root = 1.1347241384015194  # x**6 = x + 1
    return [(0.5 + (i + 1) * root**-k) % 1.0 for k in range(1, 7)]


SPEAKERS: dict[str, Speaker] = {
    name: new_speaker(name, gender, split, _spread(i))
    for i, (split, gender, name) in enumerate(
        (split, gender, name) for (split, gender), names in _NAMES.items() for name in names.split()
    )
}


def speakers_of(split: str) -> tuple[str, ...]:
    """The names of the speakers of "train", "validation" or "test"."""
    return tuple(name for (of, _), names in _NAMES.items() if of == split for name in names.split())


def speak(text: str, speaker: str | Speaker, mood: str = "neutral", tempo: float = 1.0) -> Speech:
    """`text` as `speaker` says it, from 0.1 s before the first word to 0.1 s after the last. Always alike.

    Raises:
        SalmonnError: an unknown speaker or mood, a tempo out of `TEMPI`, or text that the voice cannot say.
    """
    who, manner = _checked(speaker, mood, tempo)
    pace = who.tempo * manner.tempo * tempo
    rng = np.random.default_rng(zlib.crc32(f"{text} {who} {mood} {tempo}".encode()))
    waves, f0, words, seconds = [], [], [], 0.0
    sentences = pronunciation.pronounce(text)
    for said in sentences:
        symbols = " ".join(word.symbols + word.pause for word in said)
        spectra = _as_said_by(who, manner, vocoder.analyze(symbols, pace))
        words += _words(said, spectra.bounds, seconds)
        waves.append(vocoder.synthesize(spectra, rng))
        f0.append(spectra.f0)
        seconds += len(waves[-1]) / SAMPLE_RATE
    wave, words, f0 = _cut(np.concatenate(waves), words, np.concatenate(f0))
    phones = tuple(phone for said in sentences for word in said for phone in pronunciation.phones_of(word))
    return Speech(acoustics.normalize(wave, manner.level), tuple(words), phones, f0)


def _checked(speaker: str | Speaker, mood: str, tempo: float) -> tuple[Speaker, _Manner]:
    if isinstance(speaker, str):
        if speaker not in SPEAKERS:
            raise unknown("speaker", speaker, SPEAKERS)
        speaker = SPEAKERS[speaker]
    if mood not in _MANNERS:
        raise unknown("mood", mood, MOODS)
    if not TEMPI[0] <= tempo <= TEMPI[1]:
        raise SalmonnError(f"tempo {tempo:g}: choose one from {TEMPI[0]} to {TEMPI[1]}")
    return speaker, _MANNERS[mood]


def _words(said: Sequence[pronunciation.Said], bounds: np.ndarray, start: float) -> list[Word]:
    """The words of a sentence that begins at `start` seconds; symbol i lies from frame bounds[i] to bounds[i + 1].

    The space before a word belongs to the word: its first sound is heard there already.
    """
    words, first, at = [], 0, 0
    for word in said:
        last = at + len(word.symbols)
        begin, end = (start + float(bounds[i]) * FRAME_SECONDS for i in (first, last))
        words.append(Word(word.text, begin, end))
        first = last + len(word.pause)
        at = first + 1
    return words


def _as_said_by(who: Speaker, manner: _Manner, spectra: Spectra) -> Spectra:
    """The spectra moved from the voice's own pitch, vocal tract and manner to the speaker's and the mood's."""
    bins = len(spectra.harmonics)
    source = np.minimum(np.arange(bins) * who.size, bins - 1)  # a longer tract: all resonances lower
    low = np.floor(source).astype(int)
    share = (source - low).astype(np.float32)[:, None]

    def warped(log_magnitudes: np.ndarray) -> np.ndarray:
        return log_magnitudes[low] * (1 - share) + log_magnitudes[np.minimum(low + 1, bins - 1)] * share

    voiced = spectra.f0 > vocoder.UNVOICED
    tilt = np.linspace(0, who.tilt + manner.tilt, bins, dtype=np.float32)[:, None]
    movement = (np.maximum(spectra.f0, 1.0) / vocoder.VOICE_F0) ** (who.range * manner.range)
    return Spectra(
        warped(spectra.harmonics) + tilt,
        spectra.turn,
        warped(spectra.noise) + tilt + np.float32(who.breath),
        warped(spectra.rest) + tilt,  # any less of it, and Whisper-base misses one word in ten
        spectra.phase,
        np.where(voiced, who.pitch * manner.pitch * movement, 0).astype(np.float32),
        spectra.bounds,
    )


def _cut(
    wave: np.ndarray, words: Sequence[Word], f0: np.ndarray
) -> tuple[np.ndarray, list[Word], np.ndarray]:
    """What lies `MARGIN_SECONDS` around the words, faded in and out, the words' times in it, and its f0."""
    start, end = max(0.0, words[0].begin - MARGIN_SECONDS), words[-1].end + MARGIN_SECONDS
    first, last = (round(at * SAMPLE_RATE) for at in (start, end))
    wave = wave[first:last].copy()
    ramp = np.linspace(0, 1, round(FADE_SECONDS * SAMPLE_RATE), dtype=np.float32)
    wave[: len(ramp)] *= ramp
    wave[-len(ramp) :] *= ramp[::-1]
    inside = slice(*(round(at / FRAME_SECONDS) for at in (start, end)))
    return wave, [Word(word.text, word.begin - start, word.end - start) for word in words], f0[inside]
