"""A voice, measured and drawn for chapter 1: its F0, its formants, its share of power above a frequency."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike

from salmonn_mini.course.figures.sound import mel_row
from salmonn_mini.course.plots import BLUE, DASHES, GRAY, GREEN, INK, RIGHT_OF_AXES, VERMILION, Picture, dress
from salmonn_mini.models.config import HOP, SAMPLE_RATE
from salmonn_mini.toy.world.vocoder import FRAME_SECONDS
from salmonn_mini.toy.world.voice import Speech

PITCH = (70.0, 600.0)  # Hz, in which a voice's f0 is looked for


def pitch(X: ArrayLike, least: float = 0.5) -> np.ndarray:
    """X (S,) → f0 (F,) in Hz, one every 10 ms, NaN where the sound does not repeat itself.

    The lag at which 40 ms of sound resemble themselves most. `least` is the correlation below which, and a
    thousandth of the loudest power that below which, a frame has no pitch.
    """
    X = torch.as_tensor(np.asarray(X)).float()
    length, lags = SAMPLE_RATE // 25, [round(SAMPLE_RATE / f) for f in reversed(PITCH)]
    frames = torch.nn.functional.pad(X, (length // 2, length // 2)).unfold(0, length, HOP)
    frames = frames - frames.mean(1, keepdim=True)
    alike = torch.fft.irfft(torch.fft.rfft(frames, 2 * length).abs().square())[:, : lags[1] + 1]
    energy = alike[:, :1]
    # Fewer samples overlap at longer lags: that is made up for.
    alike = alike / energy.clamp(min=1e-9) * (length / (length - torch.arange(lags[1] + 1)))
    alike[:, : lags[0]] = 0
    best = alike.max(1)
    # A voice that repeats after one lag repeats after two as well: of nearly equal ones the shortest counts.
    good = (alike >= 0.93 * best.values[:, None]) & (alike >= alike.roll(1, 1)) & (alike >= alike.roll(-1, 1))
    f0 = (SAMPLE_RATE / good.float().argmax(1).clamp(min=1)).numpy()
    voiced = ((best.values >= least) & (energy[:, 0] > energy.max() / 1000) & good.any(1)).numpy()
    return _steady(np.where(voiced, f0, np.nan))


def _steady(f0: np.ndarray) -> np.ndarray:
    """The median of five frames (F,) around each, of which four must have a pitch: single slips are gone."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(f0, 2, constant_values=np.nan), 5)
    kept = ~np.isnan(f0) & ((~np.isnan(around)).sum(1) >= 4)
    return np.array([np.nanmedian(five) if keep else np.nan for five, keep in zip(around, kept, strict=True)])


def formants(X: ArrayLike, order: int = 18) -> list[float]:
    """The resonances below 4,000 Hz of a steady voice X (S,), in Hz, by linear prediction.

    Each sample is predicted from the `order` before it, with the least squared error. The poles of the prediction
    that ring longest, with bandwidths below 300 Hz, are the resonances.
    """
    x = np.asarray(X, dtype=np.float64)
    x = np.append(x[:1], x[1:] - 0.97 * x[:-1]) * np.hanning(len(x))
    alike = np.correlate(x, x, "full")[len(x) - 1 :][: order + 1]
    lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    weights = np.linalg.solve(alike[lags] + 1e-9 * alike[0] * np.eye(order), alike[1:])
    poles = np.roots(np.append(1, -weights))
    poles = poles[(poles.imag > 0) & (-np.log(np.abs(poles)) * SAMPLE_RATE / np.pi < 300)]
    hz = np.sort(np.angle(poles)) * SAMPLE_RATE / (2 * np.pi)
    return hz[hz < 4000].tolist()


def share_above(X: ArrayLike, hertz: float) -> float:
    """Which share of the power of X (S,) lies above `hertz`."""
    X = np.asarray(X)
    power = np.abs(np.fft.rfft(X)) ** 2
    return float(power[np.fft.rfftfreq(len(X), 1 / SAMPLE_RATE) > hertz].sum() / power.sum())


def moods(spoken: Mapping[str, Speech]) -> Picture:
    """One sentence in several moods: spectrograms with its words; below, F0 as it was spoken and as it is found."""
    seconds = {mood: len(speech.wave) / SAMPLE_RATE for mood, speech in spoken.items()}
    lasts = ", ".join(f"{mood} {value:.2f} s" for mood, value in seconds.items())
    alt = f"Spectrograms of one sentence on one axis of time, with its words: {lasts}. Below, the F0 of each."
    picture = Picture(alt, width=7.0, height=6.6)
    *rows, last = picture.subplots(len(spoken) + 1, sharex=True, height_ratios=[1] * len(spoken) + [2])
    for number, (axes, (mood, speech)) in enumerate(zip(rows, spoken.items(), strict=True)):
        look = {"color": (BLUE, VERMILION, GREEN, INK)[number % 4], "linestyle": DASHES[number % 4]}
        mel_row(axes, speech.wave, mood, look["color"], speech.words)
        own = np.where(speech.f0 > 0, speech.f0, np.nan)
        label = "as spoken" if number == 0 else None
        last.plot(np.arange(len(own)) * FRAME_SECONDS, own, color=GRAY, alpha=0.5, linewidth=3, label=label)
        f0 = pitch(speech.wave)
        last.plot(np.arange(len(f0)) / 100, f0, label=mood, **look)
    dress(last, xlabel="seconds", ylabel="F0 in Hz", xlim=(0, max(seconds.values())))
    last.grid(axis="y", alpha=0.25)
    last.legend(**RIGHT_OF_AXES)
    return picture
