"""Musical instruments, one note at a time: (rng, f0 Hz, samples, brightness 0-1) -> wave (S,), level about 1.

Struck and plucked notes ring on after their time; blown, bowed and sung ones end with it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy.signal import lfilter

from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.toy.world import synth

Play = Callable[[Generator, float, int, float], np.ndarray]


def _vibrato(rng: Generator, hertz: float, samples: int, depth: float) -> np.ndarray:
    """f0 (samples,) that begins to swing about 5.5 times a second once the note has settled."""
    t = synth.times(samples)
    swing = np.sin(2 * np.pi * (rng.uniform(5.0, 6.0) * t + rng.random()))
    return hertz * (1 + depth * np.minimum(t / 0.25, 1.0) * swing)


def piano(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    n = samples + synth.samples_of(0.25)
    t, last = synth.times(n), 1.1 * (262 / hertz) ** 0.4
    strings = synth.tone(hertz, n, lambda k: k ** (bright - 2.0) * np.exp(-t * (1 + 0.5 * k) / last), 14)
    hammer = synth.noise(rng, n, 100, 1200, 1) * np.exp(-t / 0.01)
    damper = np.minimum(1.0, np.exp(-(t - samples / SAMPLE_RATE) / 0.06))
    return (strings + 0.15 * hammer) * damper * synth.fade(n, 0.003, 0.02)


def guitar(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    """A plucked string: a burst of noise runs round a delay line (Karplus and Strong, 1983)."""
    n = samples + synth.samples_of(0.3)
    delay = int(SAMPLE_RATE / hertz - 0.5)
    part = SAMPLE_RATE / hertz - 0.5 - delay  # what the delay lacks to the exact pitch
    loss = 10 ** (-3 / (hertz * rng.uniform(1.8, 2.8)))  # -60 dB in about two seconds
    loop = np.zeros(delay + 3)
    loop[0], loop[delay:] = 1.0, -loss * np.array([(1 - part) / 2, 0.5, part / 2])
    pluck = np.zeros(n)
    burst = synth.lowpass(rng.uniform(-1, 1, delay), 900 + 3500 * bright)
    pluck[:delay] = (burst - burst.mean()) / (burst.std() + 1e-9)
    return 0.7 * lfilter([1.0], loop, pluck) * synth.fade(n, 0.0, 0.05)


_VIOLIN_BODY = synth.formants((480, 160, 1.0), (1100, 400, 0.8), (2900, 800, 0.9))


def violin(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    f0 = _vibrato(rng, hertz, samples, 0.008)
    bow = synth.noise(rng, samples, 1500, 6000, 1)
    strings = synth.tone(
        f0, samples, lambda k: k**-0.9 * (0.25 + _VIOLIN_BODY(k * hertz)), 12 + int(18 * bright)
    )
    return (strings + 0.04 * bow) * synth.fade(samples, 0.07, 0.07)


def flute(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    f0 = _vibrato(rng, hertz, samples, 0.004)
    swell = 1 + 0.15 * np.sin(2 * np.pi * 5 * synth.times(samples))
    pipe = synth.tone(f0, samples, lambda k: (1.0, 0.25 + 0.2 * bright, 0.1, 0.03)[k - 1], 4)
    breath = synth.noise(rng, samples, hertz * 0.7, hertz * 3, 1) * (
        0.06 + synth.attack_decay(samples, 0.01, 0.04) * 0.4
    )
    return (pipe * swell + breath) * synth.fade(samples, 0.05, 0.06)


def trumpet(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    """Brass: the louder it is blown, the more overtones there are, so that they come last and go first."""
    f0 = _vibrato(rng, hertz, samples, 0.003)
    blow = synth.fade(samples, 0.06, 0.08)
    bell = synth.formants((1250, 700, 1.0), (2400, 900, 0.3 + 0.5 * bright))
    return 1.6 * synth.tone(f0, samples, lambda k: bell(k * hertz) * blow ** (1 + 0.3 * k), 16)


_DRAWBARS = {
    1: 0.8,
    2: 1.0,
    3: 0.5,
    4: 0.8,
    6: 0.4,
    8: 0.6,
    12: 0.3,
    16: 0.4,
}  # harmonics of the octave below


def organ(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    tremulant = 1 + 0.12 * np.sin(2 * np.pi * (6.5 * synth.times(samples) + rng.random()))
    tilt = 0.5 + bright
    pipes = synth.tone(hertz / 2, samples, lambda k: _DRAWBARS.get(k, 0.0) * (tilt if k > 2 else 1.0), 16)
    return pipes * tremulant * synth.fade(samples, 0.015, 0.03)


def choir(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    """Three singers on "ah" (bright) or "oh" (dark), none quite in tune."""
    mouth = synth.formants((450 + 300 * bright, 110, 1.0), (800 + 400 * bright, 130, 0.6), (2800, 250, 0.15))
    out = np.zeros(samples)
    for _ in range(3):
        f0 = _vibrato(rng, hertz * rng.uniform(0.993, 1.007), samples, 0.012)
        out += synth.tone(f0, samples, lambda k: k**-0.3 * mouth(k * hertz), 14)
    air = 0.05 * synth.noise(rng, samples, 1000, 5000, 1)
    return (out + air) * synth.fade(samples, 0.1, 0.1)


def xylophone(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    n = synth.samples_of(0.6)
    last = 0.11 * (1000 / hertz) ** 0.5
    bar = synth.ring(
        n, [(hertz, 1.0, last), (3.0 * hertz, 0.3 + 0.3 * bright, last / 3), (6.1 * hertz, 0.2, last / 6)]
    )
    mallet = 0.5 * synth.noise(rng, n, 800, 5000, 1) * np.exp(-synth.times(n) / 0.003)
    return (bar + mallet) * synth.fade(n, 0.001, 0.05)


def synthesizer(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    """A buzzing electronic lead: two detuned square waves under a filter that closes."""
    t = synth.times(samples)
    cutoff = 700 + (1500 + 3000 * bright) * np.exp(-t / 0.25)
    closing = np.square(np.square(hertz / cutoff))  # of a four-pole filter
    detune = rng.uniform(1.004, 1.009)
    waves = [
        synth.tone(f0, samples, lambda k: k % 2 and 1 / (k + k**5 * closing), 25)
        for f0 in (hertz, hertz * detune)
    ]
    return sum(waves) * synth.fade(samples, 0.005, 0.02)


def bass(rng: Generator, hertz: float, samples: int, bright: float) -> np.ndarray:
    """A short, dry plucked bass, the tune of rock music, between the drums."""
    t = synth.times(samples)
    return synth.tone(hertz, samples, lambda k: k**-1.5 * np.exp(-t * (2 + k) / 0.5), 6) * synth.fade(
        samples, 0.005, 0.02
    )


def drum_kit(out: np.ndarray, rng: Generator, beat: float) -> None:
    """Bass drum, snare and hi-hat, two strokes to the beat, added to `out` in place."""
    n = synth.samples_of(0.22)
    t = synth.times(n)
    kick = 3.0 * np.sin(synth.phase(45 + rng.uniform(80, 140) * np.exp(-t / 0.02), n)) * np.exp(-t / 0.09)
    tuned = synth.ring(n, [(rng.uniform(170, 220), 1.0, 0.05)])
    for half in range(int(2 * len(out) / SAMPLE_RATE / beat) + 1):
        at = half * beat / 2
        hat = rng.uniform(0.4, 0.7) * synth.noise(rng, n, 5500, 7900) * np.exp(-t / 0.02)
        synth.add(out, hat, at)
        if half % 4 == 0 or (half % 4 == 3 and rng.random() < 0.3):
            synth.add(out, kick, at)
        if half % 4 == 2:
            snare = tuned + synth.noise(rng, n, 900, 6500) * np.exp(-t / 0.06)
            synth.add(out, 1.2 * snare, at)
