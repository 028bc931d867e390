"""What rooms and recordings do to a sound: level, noise, echo, and several sounds at once.

Waves are float32 (S,) at 16 kHz, in and out, and never above 1 in magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import fftconvolve

from salmonn_mini.models.config import SAMPLE_RATE

CEILING = 0.98  # largest magnitude of any wave made here
TINY = 1e-9


def rms(wave: np.ndarray) -> float:
    """Root mean square of a wave (S,)."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0


def normalize(wave: np.ndarray, level: float = 0.1) -> np.ndarray:
    """`wave` (S,) at an RMS of `level`, or less where it would peak above `CEILING`; silence stays."""
    return bounded(wave * (level / (rms(wave) + TINY)))


def bounded(wave: np.ndarray) -> np.ndarray:
    """`wave` (S,) as float32, scaled down as a whole where its peak passes `CEILING`."""
    peak = float(np.abs(wave).max(initial=0.0))
    return (wave * min(1.0, CEILING / (peak + TINY))).astype(np.float32)


def colored_noise(rng: np.random.Generator, samples: int, slope: float) -> np.ndarray:
    """Noise (samples,) of RMS 1 whose power falls as 1 / f^slope: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(max(samples, 2)))
    frequencies = np.fft.rfftfreq(max(samples, 2), 1 / SAMPLE_RATE)
    spectrum *= np.maximum(frequencies, 20.0) ** (-slope / 2)
    spectrum[0] = 0.0
    noise = np.fft.irfft(spectrum, max(samples, 2))[:samples]
    return noise / (rms(noise) + TINY)


def add_noise(wave: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
    """`wave` (S,) with noise at `snr_db` below it, its tilt drawn between white, pink and brown."""
    noise = colored_noise(rng, len(wave), rng.uniform(0.0, 2.0))
    return bounded(wave + noise * (rms(wave) * 10 ** (-snr_db / 20)))


def reverberate(wave: np.ndarray, rng: np.random.Generator, seconds: float = 0.3) -> np.ndarray:
    """`wave` (S,) in a small room whose echo falls by 60 dB in `seconds`; same length and level."""
    samples = max(round(seconds * SAMPLE_RATE), 1)
    tail = rng.standard_normal(samples) * 10 ** (-3 * np.arange(samples) / samples)
    tail[: min(samples, round(0.003 * SAMPLE_RATE))] = 0.0  # nothing comes back sooner from the nearest wall
    tail *= rng.uniform(0.2, 0.4) / (np.linalg.norm(tail) + TINY)
    wet = wave + fftconvolve(wave, tail)[: len(wave)]
    return bounded(wet * (rms(wave) / (rms(wet) + TINY)))


def mix(
    front: np.ndarray, back: np.ndarray, snr_db: float, lead: float = 0.0, tail: float = 0.0
) -> np.ndarray:
    """`front` (S,) over `back`, looped or cropped, set `snr_db` below it, `lead` seconds earlier and `tail` longer."""
    gain = rms(front) / (rms(back) + TINY) * 10 ** (-snr_db / 20)
    front = np.pad(front, (round(lead * SAMPLE_RATE), round(tail * SAMPLE_RATE)))
    return bounded(front + gain * (np.resize(back, len(front)) if len(back) else 0.0))


def overlap(first: np.ndarray, second: np.ndarray, snr_db: float = 0.0, delay: float = 0.0) -> np.ndarray:
    """Two voices at once: `second`, `snr_db` below `first`, starts `delay` seconds later; neither is cut."""
    delay = round(delay * SAMPLE_RATE)
    both = np.zeros(max(len(first), delay + len(second)))
    both[: len(first)] += first
    both[delay : delay + len(second)] += second * (rms(first) / (rms(second) + TINY) * 10 ** (-snr_db / 20))
    return bounded(both)


def join(waves: Sequence[np.ndarray], gap_seconds: float = 0.2) -> np.ndarray:
    """The waves one after the other, with silence of `gap_seconds` between them."""
    gap = np.zeros(round(gap_seconds * SAMPLE_RATE))
    parts = [part for wave in waves for part in (gap, wave)][1:]
    return bounded(np.concatenate(parts)) if parts else np.zeros(0, np.float32)
