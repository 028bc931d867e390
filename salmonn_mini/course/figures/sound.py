"""Figures of chapter 1, sound: a clip at fewer samples a second, and spectrograms with windows of any length."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.player import Sound
from salmonn_mini.course.plots import Picture
from salmonn_mini.models.config import SAMPLE_RATE


def resampled(X: ArrayLike, rate: int, filtered: bool) -> Sound:
    """X (S,) sampled at `rate` Hz, which must divide 16,000, and brought back to 16 kHz.

    With `filtered` the frequencies that `rate` cannot hold are taken out first; without, they alias.
    """
    X = np.asarray(X, dtype=np.float64)
    step = SAMPLE_RATE // rate
    kept = _lowpass(X, rate / 2) if filtered else X
    held = np.zeros(len(X))
    held[::step] = kept[::step] * step
    back = _lowpass(held, rate / 2)
    back *= min(1.0, 0.99 / max(np.abs(back).max(initial=0.0), 1e-9))
    manner = "what is too high filtered out first" if filtered else "nothing filtered out"
    title = f"{rate:,} samples a second, {manner}"
    return Sound(back.astype(np.float32), title, time_frequency(back, 25))


def explore_sampling(X: ArrayLike) -> Explorer:
    """One clip at ever fewer samples a second, to see and to hear."""
    choice = {"filter first": True, "no filter": False}
    return Explorer(
        lambda samples_a_second, filter: resampled(X, samples_a_second, choice[filter]),
        {"samples_a_second": (1000, 2000, 4000, 8000, 16000), "filter": tuple(choice)},
        {"samples_a_second": 16000},
    )


def time_frequency(X: ArrayLike, milliseconds: float) -> Picture:
    """A spectrogram of X (S,) with a window of so many milliseconds, every 2.5 ms, frequencies evenly spaced."""
    X = torch.as_tensor(np.asarray(X)).float()
    length, hop = round(SAMPLE_RATE * milliseconds / 1000), SAMPLE_RATE // 400
    X = torch.nn.functional.pad(X, (0, max(0, 2 * length - len(X))))
    # More bins than the window has samples: they draw a smooth picture, and add nothing to it.
    size = max(length, 1024)
    frames = torch.stft(X, size, hop, length, torch.hann_window(length), return_complex=True)
    power = 10 * torch.log10(frames.abs() ** 2 / length + 1e-10).numpy()
    bins, top = SAMPLE_RATE / length, float(power.max())
    alt = f"Window of {milliseconds:g} ms: moments of {milliseconds:g} ms, frequencies {bins:.0f} Hz apart."
    picture = Picture(alt, height=2.8)
    extent = (0.0, len(X) / SAMPLE_RATE, 0.0, SAMPLE_RATE / 2000)
    look = {"origin": "lower", "aspect": "auto", "cmap": "magma", "vmin": top - 70, "vmax": top}
    picture.panel(alt, xlabel="seconds", ylabel="kHz").imshow(power, extent=extent, **look)
    return picture


def explore_time_frequency(X: ArrayLike) -> Explorer:
    """The spectrogram of one clip, for a slider of its window."""
    return Explorer(
        lambda milliseconds: time_frequency(X, milliseconds),
        {"milliseconds": (4, 8, 16, 25, 50, 100, 200)},
        {"milliseconds": 25},
    )


def _lowpass(X: np.ndarray, hertz: float) -> np.ndarray:
    """X (S,) without all that is above `hertz`."""
    spectrum = np.fft.rfft(X)
    spectrum[np.fft.rfftfreq(len(X), 1 / SAMPLE_RATE) >= hertz] = 0
    return np.fft.irfft(spectrum, len(X))
