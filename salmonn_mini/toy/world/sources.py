"""Kinds of sources that many sound events share: what calls, what is struck, what hums; and when they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.random import Generator

from salmonn_mini.toy.world import synth

Synth = Callable[[Generator, int], np.ndarray]  # (rng, samples) -> (samples,), any level


def repeat(
    rng: Generator, samples: int, one: Callable[[], np.ndarray], gap: tuple[float, float], late: float = 0.3
) -> np.ndarray:
    """`one()` again and again, silences of `gap` seconds between, the first after up to `late` seconds."""
    out, at = np.zeros(samples), rng.uniform(0.02, late)
    while at < samples / synth.SAMPLE_RATE - 0.1:
        wave = one()
        synth.add(out, wave, at)
        at += len(wave) / synth.SAMPLE_RATE + rng.uniform(*gap)
    return out


def strokes(rng: Generator, seconds: float, period: float, jitter: float = 0.0) -> Iterator[float]:
    """Times in seconds, `period` apart."""
    at = rng.uniform(0.0, min(period, 0.3))
    while at < seconds:
        yield at
        at += period * (1 + jitter * rng.uniform(-1, 1))


def call(
    pitch: tuple[float, ...],
    mouth: tuple[tuple[float, float, float], ...],
    seconds: tuple[float, float],
    gap: tuple[float, float],
    shake: tuple[float, float] = (0.0, 0.0),
    breath: float = 0.0,
) -> Synth:
    """Calls of a voice: f0 through `pitch` (Hz), resonances, lengths, gaps; trembling (Hz, depth), and breath."""

    def make(rng: Generator, samples: int) -> np.ndarray:
        size = rng.uniform(0.85, 1.2)
        gain = synth.formants(*((size * center, width, level) for center, width, level in mouth))

        def one() -> np.ndarray:
            n = synth.samples_of(rng.uniform(*seconds))
            tremble = np.sin(2 * np.pi * shake[0] * rng.uniform(0.85, 1.15) * synth.times(n))
            f0 = size * rng.uniform(0.95, 1.05) * synth.curve(n, *pitch) * (1 + 0.04 * shake[1] * tremble)
            voice = synth.tone(f0, n, lambda k: gain(k * f0)) * (1 - shake[1] * (0.5 + 0.5 * tremble))
            return (voice + breath * synth.noise(rng, n, 600, 4000)) * synth.fade(n, 0.02, 0.06)

        return repeat(rng, samples, one, gap)

    return make


def struck(
    modes: tuple[tuple[float, float, float], ...],
    noise: tuple[float, float, float, float],
    period: tuple[float, float],
    jitter: float,
    at_once: int = 1,
) -> Synth:
    """Strokes on a body: its modes (Hz, amplitude, decay), noise (low, high, level, decay), and so many hands."""

    def make(rng: Generator, samples: int) -> np.ndarray:
        out, n = np.zeros(samples), synth.samples_of(0.25)
        low, high, level, decay = noise
        for _ in range(at_once):
            size, pace = rng.uniform(0.85, 1.2), rng.uniform(*period)
            for at in strokes(rng, samples / synth.SAMPLE_RATE, pace, jitter):
                body = synth.ring(
                    n, [(size * hertz * rng.uniform(0.98, 1.02), a, d) for hertz, a, d in modes]
                )
                tap = level * synth.noise(rng, n, size * low, size * high) * np.exp(-synth.times(n) / decay)
                synth.add(out, (body + tap) * synth.fade(n, 0.001, 0.05) * rng.uniform(0.6, 1.0), at)
        return out

    return make


def hum(pitch: tuple[float, float], harmonics: int, gusts: float, hiss: tuple[float, float, float]) -> Synth:
    """A steady buzz: f0 from a range and unsteady, its level by gusts (Hz), and noise (low, high, level)."""

    def make(rng: Generator, samples: int) -> np.ndarray:
        f0 = rng.uniform(*pitch) * (0.9 + 0.2 * synth.wander(rng, samples, gusts))
        buzz = synth.tone(f0, samples, lambda k: k**-0.7, harmonics)
        level = 0.5 + 0.5 * synth.wander(rng, samples, gusts)
        return (buzz + hiss[2] * synth.noise(rng, samples, *hiss[:2], 1)) * level

    return make


def drops(
    hiss: tuple[float, float, float], rate: tuple[float, float], hertz: tuple[float, float], decay: float
) -> Synth:
    """Noise (low, high, level) with so many short rings a second in it, of pitches from a range (Hz)."""

    def make(rng: Generator, samples: int) -> np.ndarray:
        low, high, level = hiss
        out = level * synth.noise(rng, samples, low, high, 1) * (0.7 + 0.6 * synth.wander(rng, samples, 6))
        for _ in range(int(rng.uniform(*rate) * samples / synth.SAMPLE_RATE)):
            modes = [(rng.uniform(*hertz), rng.exponential(1.5), decay * rng.uniform(0.5, 1.5))]
            synth.add(
                out,
                synth.ring(synth.samples_of(4 * decay), modes),
                rng.uniform(0, samples / synth.SAMPLE_RATE),
            )
        return out

    return make
