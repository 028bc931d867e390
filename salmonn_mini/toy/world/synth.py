"""Building blocks of synthetic sounds: tones with harmonics, filtered noise, envelopes. 16 kHz throughout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from salmonn_mini.models.config import SAMPLE_RATE

TOP = 7_600.0  # Hz; harmonics above are left out


def samples_of(seconds: float) -> int:
    return max(round(seconds * SAMPLE_RATE), 1)


def times(samples: int) -> np.ndarray:
    """Seconds of each sample (samples,)."""
    return np.arange(samples) / SAMPLE_RATE


def curve(samples: int, *values: float) -> np.ndarray:
    """A line (samples,) through `values`, evenly spaced in time."""
    return np.interp(np.linspace(0, len(values) - 1, samples), np.arange(len(values)), values)


def wander(rng: np.random.Generator, samples: int, hertz: float) -> np.ndarray:
    """A slow random curve (samples,) in 0..1 that turns about `hertz` times a second."""
    knots = max(int(samples / SAMPLE_RATE * hertz), 1) + 3
    x = np.linspace(0, knots - 1, samples)
    left, part = x.astype(int), x % 1.0
    smooth = part * part * (3 - 2 * part)
    values = rng.random(knots + 1)
    return values[left] * (1 - smooth) + values[left + 1] * smooth


def attack_decay(samples: int, attack: float, decay: float) -> np.ndarray:
    """Rises in `attack` seconds, then falls to 1/e in `decay` seconds; ends at zero."""
    t = times(samples)
    shape = np.minimum(t / max(attack, 1e-4), 1.0) * np.exp(-np.maximum(t - attack, 0) / decay)
    return shape * fade(samples, 0.0, 0.01)


def fade(samples: int, rise: float, fall: float) -> np.ndarray:
    """One, but rising from zero in `rise` seconds and falling to zero in `fall` seconds."""
    t = times(samples)
    return np.minimum(1.0, np.minimum((t + 1e-4) / (rise + 1e-4), (t[-1] - t) / (fall + 1e-4)))


def phase(frequency: np.ndarray | float, samples: int) -> np.ndarray:
    """Radians (samples,) of an oscillator at `frequency` Hz, constant or (samples,)."""
    return 2 * np.pi * np.cumsum(np.broadcast_to(frequency, samples)) / SAMPLE_RATE


def tone(
    frequency: np.ndarray | float,
    samples: int,
    amplitude: Callable[[int], np.ndarray | float],
    count: int = 40,
) -> np.ndarray:
    """Harmonics 1..count of `frequency` Hz (constant or (samples,)), each times `amplitude(k)`, up to `TOP`.

    sin((k + 1)x) = 2 cos(x) sin(kx) - sin((k - 1)x), so that one sine and one cosine serve all harmonics.
    """
    angle = phase(frequency, samples)
    twice_cos = 2 * np.cos(angle)
    before, now = np.zeros(samples), np.sin(angle)
    out = np.zeros(samples)
    for k in range(1, min(count, int(TOP / np.max(frequency))) + 1):
        out += now * amplitude(k)
        before, now = now, twice_cos * now - before
    return out


def formants(*peaks: tuple[np.ndarray | float, float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """Gain over frequency with resonances (center Hz, bandwidth Hz, gain); a center may be a curve (S,)."""

    def gain(frequency: np.ndarray | float) -> np.ndarray:
        return sum(g / (1 + ((frequency - center) / width) ** 2) for center, width, g in peaks)

    return gain


def noise(rng: np.random.Generator, samples: int, low: float, high: float, order: int = 2) -> np.ndarray:
    """White noise (samples,) between `low` and `high` Hz, of RMS about 1."""
    low, high = max(low, 20.0), min(high, 7_900.0)
    wave = sosfilt(_band(round(low), round(high), order), rng.standard_normal(samples))
    return wave * np.sqrt(SAMPLE_RATE / 2 / (high - low))


def _band(low: int, high: int, order: int) -> np.ndarray:
    return butter(order, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos")


def lowpass(wave: np.ndarray, hertz: float) -> np.ndarray:
    """A gentle one-pole low-pass."""
    a = float(np.exp(-2 * np.pi * hertz / SAMPLE_RATE))
    return lfilter([1 - a], [1, -a], wave)


def ring(samples: int, modes: Sequence[tuple[float, float, float]]) -> np.ndarray:
    """A struck body: modes (frequency Hz, amplitude, seconds to 1/e), all starting at once."""
    t = times(samples)
    out = np.zeros(samples)
    for frequency, amplitude, decay in modes:
        if frequency < TOP:
            out += amplitude * np.exp(-t / decay) * np.sin(2 * np.pi * frequency * t)
    return out


def add(out: np.ndarray, wave: np.ndarray, seconds: float) -> None:
    """Add `wave` into `out` from `seconds` on (may be negative), in place; what does not fit is cut."""
    start = round(seconds * SAMPLE_RATE)
    if start < 0:
        start, wave = 0, wave[-start:]
    part = wave[: max(len(out) - start, 0)]
    out[start : start + len(part)] += part
