"""The toy world's speakers: who they are, how they feel, what they say, and the phones it is made of.

Speech comes from espeak-ng (see `espeak.py`). A mood is the voice's own pitch, range and rate moved, and then
a little signal processing: a sad voice is dull and fades, an angry one is hard, rough and bright.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from salmonn_mini.errors import SalmonnError, unknown
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.toy.world.espeak import SEPARATOR, ask

SHARD = 250  # utterances in one espeak-ng process
MARGIN_SECONDS = 0.05  # silence kept before and after the speech
RATES = (140, 200)  # words a minute that an utterance may ask for


@dataclass(frozen=True)
class Voice:
    """One speaker: an espeak-ng voice at a base pitch (0-99, espeak's scale; 20 steps are a fifth in f0)."""

    name: str
    gender: str  # "male" or "female"
    espeak: str
    pitch: int = 50


@dataclass(frozen=True)
class Utterance:
    """What is said, by whom and how. `rate` is in words a minute, `pitch` an offset to the voice's own."""

    text: str
    voice: str
    mood: str = "neutral"
    rate: int = 165
    pitch: int = 0


@dataclass(frozen=True)
class _Manner:
    """A mood in numbers: factor on the rate, offset to the pitch, espeak's range (0-100), level in RMS."""

    rate: float
    pitch: int
    range: int
    level: float


def _voices(gender: str, *rows: tuple[str, str, int]) -> dict[str, Voice]:
    return {name: Voice(name, gender, f"en-us+{variant}", pitch) for name, variant, pitch in rows}


VOICES: dict[str, Voice] = _voices(
    "female",
    ("alice", "f1", 57),
    ("bella", "f2", 64),
    ("clara", "f3", 48),
    ("diana", "f4", 62),
    ("emma", "f5", 54),
    ("fiona", "Annie", 44),
    ("grace", "Alicia", 48),
    ("helen", "Andrea", 46),
    ("irene", "belinda", 44),
    ("julia", "linda", 58),
    ("kate", "shelby", 60),
    ("laura", "aunty", 64),
) | _voices(
    "male",
    ("adam", "m1", 42),
    ("bruno", "m2", 44),
    ("carl", "m3", 56),
    ("david", "m4", 40),
    ("eric", "m7", 56),
    ("frank", "m8", 52),
    ("george", "Lee", 58),
    ("henry", "Gene", 44),
    ("ivan", "Andy", 52),
    ("jack", "quincy", 60),
    ("kevin", "Mike", 38),
    ("leo", "pablo", 46),
)

_MANNERS = {
    "neutral": _Manner(rate=1.0, pitch=0, range=32, level=0.10),
    "happy": _Manner(rate=1.15, pitch=12, range=100, level=0.11),
    "sad": _Manner(rate=0.78, pitch=-9, range=12, level=0.06),
    "angry": _Manner(rate=1.18, pitch=-2, range=65, level=0.16),
}
MOODS = tuple(_MANNERS)


def speak(utterances: Sequence[Utterance]) -> list[np.ndarray]:
    """Speech of each utterance: float32 (S,), mono, 16 kHz, about 50 ms of silence on each side, |x| < 1.

    Each `SHARD` of them are spoken in order by one fresh process, so equal calls give equal bytes. An utterance's
    samples may depend on those before it in the same shard.

    Raises:
        SalmonnError: an unknown voice or mood, a rate out of `RATES`, or a text with nothing to say.
    """
    return [
        wave
        for start in range(0, len(utterances), SHARD)
        for wave in _speak(utterances[start : start + SHARD])
    ]


def _speak(utterances: Sequence[Utterance]) -> list[np.ndarray]:
    raw = ask("speak", [_request(u) for u in utterances])
    waves, at = [], 0
    for u in utterances:
        count = int(np.frombuffer(raw, "<i4", 1, at)[0])
        wave = np.frombuffer(raw, "<i2", count, at + 4) / 32768
        at += 4 + 2 * count
        if not np.any(np.abs(wave) > 0.001):
            raise SalmonnError(f"nothing to say in {u.text!r}: an utterance needs at least one word")
        waves.append(_finish(wave, u.mood))
    return waves


def _request(u: Utterance) -> dict:
    """The request to espeak-ng for one utterance."""
    if u.voice not in VOICES:
        raise unknown("voice", u.voice, VOICES)
    if u.mood not in _MANNERS:
        raise unknown("mood", u.mood, MOODS)
    if not RATES[0] <= u.rate <= RATES[1]:
        raise SalmonnError(f"rate {u.rate} words a minute: choose one from {RATES[0]} to {RATES[1]}")
    voice, manner = VOICES[u.voice], _MANNERS[u.mood]
    pitch = int(np.clip(voice.pitch + manner.pitch + u.pitch, 0, 99))
    rate = round(u.rate * manner.rate)
    return {"text": u.text, "voice": voice.espeak, "rate": rate, "pitch": pitch, "range": manner.range}


def _finish(wave: np.ndarray, mood: str) -> np.ndarray:
    """espeak's samples (22,050 Hz) as a trimmed, mood-shaped, leveled clip at 16 kHz."""
    from scipy.signal import resample_poly

    wave = resample_poly(wave, 320, 441)  # 16,000 / 22,050
    wave = _shape(_trim(wave), mood)
    wave *= _MANNERS[mood].level / (np.sqrt(np.mean(wave**2)) + 1e-9)
    peak = np.abs(wave).max()
    if peak > 0.95:
        wave *= 0.95 / peak
    return wave.astype(np.float32)


def _trim(wave: np.ndarray) -> np.ndarray:
    """The part above 1 % of the peak, with a margin of `MARGIN_SECONDS` of silence on each side."""
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max())
    margin = np.zeros(round(MARGIN_SECONDS * SAMPLE_RATE))
    return np.concatenate([margin, wave[loud[0] : loud[-1] + 1], margin])


def _shape(wave: np.ndarray, mood: str) -> np.ndarray:
    """The signal processing of a mood."""
    from scipy.signal import lfilter

    if mood == "happy":  # a smile: more treble; and a bounce of 5.5 Hz, the rhythm of laughter
        bounce = 1.0 + 0.5 * np.sin(2 * np.pi * 5.5 * np.arange(len(wave)) / SAMPLE_RATE)
        return lfilter([1.0, -0.7], [1.0], wave * bounce)
    if mood == "sad":  # dull, and fading towards the end
        for _ in range(2):
            wave = lfilter([0.35], [1.0, -0.65], wave)
        return wave * np.linspace(1.0, 0.55, len(wave))
    if mood == "angry":  # rough (a growl at 70 Hz), pressed into saturation, bright
        growl = 1.0 - 0.6 * (0.5 + 0.5 * np.sin(2 * np.pi * 70 * np.arange(len(wave)) / SAMPLE_RATE))
        pressed = np.tanh(5.0 * wave / np.abs(wave).max() * growl)
        return lfilter([1.0, -0.6], [1.0], pressed)
    return wave


PHONES: tuple[str, ...] = (
    "i", "ɪ", "ɛ", "æ", "ɑ", "ɔ", "ʊ", "u", "ʌ", "ə", "ɚ", "eɪ", "aɪ", "ɔɪ", "aʊ", "oʊ",
    "p", "b", "t", "d", "k", "ɡ", "tʃ", "dʒ", "f", "v", "θ", "ð", "s", "z", "ʃ", "ʒ",
    "h", "m", "n", "ŋ", "l", "ɹ", "j", "w",
)  # fmt: skip
# espeak's en-us allophones and fused symbols, written with the 40 phones above
_MERGED: dict[str, str] = {
    "ɐ": "ə", "ᵻ": "ɪ", "ɜ": "ɚ", "ɒ": "ɑ", "o": "ɔ", "a": "æ", "ɾ": "t", "ʔ": "t",
    "əl": "ə l", "n̩": "ə n", "iə": "i ə",
    "ɑɹ": "ɑ ɹ", "ɔɹ": "ɔ ɹ", "oɹ": "ɔ ɹ", "ɛɹ": "ɛ ɹ", "ɪɹ": "ɪ ɹ", "ʊɹ": "ʊ ɹ", "aɪɚ": "aɪ ɚ",
    "aɪə": "aɪ ə",
}  # fmt: skip
_MARKS = str.maketrans("", "", "ˈˌːˑ͡‿")  # stress, length, ties


def phonemes(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """The phones of each text in American English, in order, each one of `PHONES`. Punctuation is dropped.

    Raises:
        SalmonnError: espeak-ng reads a text with a phone that is not in `PHONES`.
    """
    answers = json.loads(ask("phonemes", list(texts))) if texts else []
    return [_phones(ipa, text) for ipa, text in zip(answers, texts, strict=True)]


def _phones(ipa: str, text: str) -> tuple[str, ...]:
    phones: list[str] = []
    for symbol in ipa.translate(_MARKS).replace(SEPARATOR, " ").split():
        phones += _MERGED.get(symbol, symbol).split()
    others = set(phones) - set(PHONES)
    if others:
        raise SalmonnError(f"phones {sorted(others)} of {text!r} are none of PHONES: use English words")
    return tuple(phones)
