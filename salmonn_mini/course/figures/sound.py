"""Figures of chapter 1, sound: sampling, windows of any length, moods and pitch, mel filters, a ladder of shapes.

`power_spectrogram` and `to_log_mel` are what the chapter's core exercises ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import Tensor

from salmonn_mini import audio
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.player import Sound
from salmonn_mini.course.plots import (
    BLUE,
    CENTERED,
    DASHES,
    GRAY,
    GREEN,
    INK,
    PALETTE,
    RIGHT_OF_AXES,
    SKY,
    SPECTRAL,
    VERMILION,
    Picture,
    dress,
    mel_image,
    slaney_mel,
)
from salmonn_mini.course.word_times import mark_words, of_words
from salmonn_mini.models.config import BEATS_MELS, HOP, SAMPLE_RATE
from salmonn_mini.toy.world.voice import Speech, Word

PITCH = (70.0, 600.0)  # Hz, in which a voice's f0 is looked for
SHADES = {"origin": "lower", "aspect": "auto", "cmap": SPECTRAL, "interpolation": "nearest"}
RANGE_DB = 70.0  # what is more than this below the loudest is black


# --- what the core exercises ask for ---------------------------------------------------------------------------------


def power_spectrogram(X: Tensor, length: int, hop: int) -> Tensor:
    """X (S,) → power (F, length / 2 + 1) of whole frames of `length` samples, one every `hop`, under Hann's window."""
    window = torch.hann_window(length)
    return torch.stft(X, length, hop, window=window, center=False, return_complex=True).abs().square().T


def to_log_mel(power: Tensor, filters: Tensor) -> Tensor:
    """Power (F, 201) and mel filters (n_mels, 201) → log-mel (n_mels, F), with Whisper's floor and scale."""
    log = (filters @ power.T).clamp(min=1e-10).log10()
    return (log.clamp(min=log.max() - 8) + 4) / 4


# --- sampling --------------------------------------------------------------------------------------------------------


def resampled(X: ArrayLike, rate: int, filtered: bool, words: Sequence[Word] = ()) -> Sound:
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
    manner = "filtered first" if filtered else "no filter"
    return Sound(back, f"{rate:,} samples a second, {manner}", time_frequency_of(back, 25, words))


def explore_sampling(X: ArrayLike, words: Sequence[Word] = ()) -> Explorer:
    """One clip at ever fewer samples a second, to see and to hear."""
    choice = {"filter first": True, "no filter": False}
    return Explorer(
        lambda samples_a_second, filter: resampled(X, samples_a_second, choice[filter], words),
        {"samples_a_second": (1000, 2000, 4000, 8000, 16000), "filter": tuple(choice)},
        {"samples_a_second": 16000},
    )


def _lowpass(X: np.ndarray, hertz: float) -> np.ndarray:
    """X (S,) without all that is above `hertz`."""
    spectrum = np.fft.rfft(X)
    spectrum[np.fft.rfftfreq(len(X), 1 / SAMPLE_RATE) >= hertz] = 0
    return np.fft.irfft(spectrum, len(X))


# --- windows of any length -------------------------------------------------------------------------------------------


def time_frequency(*spectrograms: tuple[Tensor, int], words: Sequence[Word] = ()) -> Picture:
    """Draw power (F, length / 2 + 1) and its hop in samples, frequencies evenly spaced; several below each other."""
    alt = f"{'. '.join(_resolution(power) for power, _ in spectrograms)}.{of_words(words)}"
    picture = Picture(alt, width=6.5, height=0.3 + 1.9 * len(spectrograms))
    rows = picture.subplots(len(spectrograms), sharex=True, squeeze=False)[:, 0]
    for axes, (power, hop) in zip(rows, spectrograms, strict=True):
        _power_image(dress(axes, _resolution(power), ylabel="kHz"), power, hop)
        mark_words(axes, words, 7.0)
    power, hop = spectrograms[0]
    samples = (len(power) - 1) * hop + 2 * (power.shape[1] - 1)
    rows[-1].set(xlabel="seconds", xlim=(0, samples / SAMPLE_RATE))
    return picture


def time_frequency_of(X: ArrayLike, milliseconds: float, words: Sequence[Word] = ()) -> Picture:
    """The same of X (S,), with a window of so many milliseconds every 5 ms; X is filled up to one frame."""
    X = torch.as_tensor(np.asarray(X)).float()
    length, hop = round(SAMPLE_RATE * milliseconds / 1000), SAMPLE_RATE // 200
    X = torch.nn.functional.pad(X, (0, max(0, length - len(X))))
    return time_frequency((power_spectrogram(X, length, hop), hop), words=words)


def explore_time_frequency(X: ArrayLike, words: Sequence[Word] = ()) -> Explorer:
    """The spectrogram of one clip, for a slider of its window."""
    return Explorer(
        lambda milliseconds: time_frequency_of(X, milliseconds, words),
        {"milliseconds": (4, 8, 16, 25, 50, 100, 200)},
        {"milliseconds": 25},
    )


def wave_over_power(X: Tensor, power: Tensor, hop: int, begin: float, end: float, top: float) -> Picture:
    """X (S,) from `begin` to `end` seconds over its power (F, length / 2 + 1) up to `top` Hz."""
    alt = f"The wave from {begin:.2f} to {end:.2f} s, below it its power up to {top:,.0f} Hz. {_resolution(power)}."
    picture = Picture(alt, width=7.0, height=3.6)
    upper, lower = picture.subplots(2, sharex=True, height_ratios=(1, 1.6))
    shown = slice(round(begin * SAMPLE_RATE), round(end * SAMPLE_RATE))
    dress(upper, ylabel="amplitude")
    upper.plot(np.arange(len(X))[shown] / SAMPLE_RATE, X[shown].numpy(), color=BLUE, linewidth=0.8)
    _power_image(dress(lower, _resolution(power), xlabel="seconds", ylabel="kHz"), power, hop)
    lower.set(xlim=(begin, end), ylim=(0, top / 1000))
    return picture


def _resolution(power: Tensor) -> str:
    milliseconds = 1000 * 2 * (power.shape[1] - 1) / SAMPLE_RATE
    return f"Window of {milliseconds:g} ms, frequencies {1000 / milliseconds:.0f} Hz apart"


def _power_image(axes: Axes, power: Tensor, hop: int) -> None:
    """Power (F, bins) in decibels: a frame's column around its middle, a bin's row around its frequency."""
    decibels = 10 * power.clamp(min=1e-12).log10()
    length, bin_khz = 2 * (power.shape[1] - 1), SAMPLE_RATE / (2000 * (power.shape[1] - 1))
    first = (length - hop) / 2 / SAMPLE_RATE
    extent = (first, first + len(power) * hop / SAMPLE_RATE, -bin_khz / 2, SAMPLE_RATE / 2000 + bin_khz / 2)
    top = float(decibels.max())
    axes.imshow(decibels.T.numpy(), extent=extent, vmin=top - RANGE_DB, vmax=top, **SHADES)
    axes.set_ylim(0, SAMPLE_RATE / 2000)


# --- a voice's pitch -------------------------------------------------------------------------------------------------


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


def spectrograms(sounds: Mapping[str, ArrayLike]) -> Picture:
    """The log-mel of each sound (S,), below each other on one axis of time."""
    lasts = ", ".join(f"{name} {len(X) / SAMPLE_RATE:.1f} s" for name, X in sounds.items())
    alt = f"Log-mel spectrograms on one axis of time: {lasts}."
    picture = Picture(alt, width=6.5, height=0.4 + 0.85 * len(sounds))
    rows = picture.subplots(len(sounds), sharex=True, squeeze=False)[:, 0]
    for axes, (name, X) in zip(rows, sounds.items(), strict=True):
        _mel_row(axes, X, name, INK)
    rows[-1].set(xlabel="seconds", xlim=(0, max(map(len, sounds.values())) / SAMPLE_RATE))
    return picture


def moods(spoken: Mapping[str, Speech]) -> Picture:
    """One sentence in several moods: spectrograms on one axis of time with their words, and all pitches below."""
    seconds = {mood: len(speech.wave) / SAMPLE_RATE for mood, speech in spoken.items()}
    lasts = ", ".join(f"{mood} {value:.2f} s" for mood, value in seconds.items())
    alt = f"Spectrograms of one sentence on one axis of time, with its words: {lasts}. Below, the pitch of each."
    picture = Picture(alt, width=7.0, height=6.4)
    *rows, last = picture.subplots(len(spoken) + 1, sharex=True, height_ratios=[1] * len(spoken) + [1.5])
    for number, (axes, (mood, speech)) in enumerate(zip(rows, spoken.items(), strict=True)):
        look = {"color": (BLUE, VERMILION, GREEN, INK)[number % 4], "linestyle": DASHES[number % 4]}
        _mel_row(axes, speech.wave, mood, look["color"], speech.words)
        f0 = pitch(speech.wave)
        last.plot(np.arange(len(f0)) / 100, f0, label=mood, **look)
    dress(last, xlabel="seconds", ylabel="pitch in Hz", xlim=(0, max(seconds.values())))
    last.grid(axis="y", alpha=0.25)
    last.legend(**RIGHT_OF_AXES)
    return picture


def _mel_row(axes: Axes, X: ArrayLike, name: str, color: str, words: Sequence[Word] = ()) -> None:
    mel = audio.log_mel(torch.as_tensor(np.asarray(X))).numpy()
    mel_image(dress(axes), mel, mel.shape[1] / 100)
    mark_words(axes, words, 7.0)
    axes.set_title(name, loc="right", fontsize=10, color=color)


# --- mel filters and shapes ------------------------------------------------------------------------------------------


def filter_bank(filters: Tensor, every: int = 10) -> Picture:
    """Draw every so-manieth of filters (n_mels, 201): its triangle, peak at 1, and its weights at the bins."""
    count, bins = filters.shape
    hz = np.arange(bins) * SAMPLE_RATE / 2 / (bins - 1)
    corners = np.interp(
        np.linspace(0, float(slaney_mel(SAMPLE_RATE / 2)), count + 2),
        slaney_mel(np.arange(SAMPLE_RATE / 2 + 1)),
        np.arange(SAMPLE_RATE / 2 + 1),
    )
    shown = range(every // 2, count, every)
    peaks = ", ".join(f"{corners[band + 1]:,.0f}" for band in shown)
    alt = f"Mel filters: every {every}th of {count}, triangles with their peaks at {peaks} Hz."
    picture = Picture(alt, height=2.6)
    axes = picture.panel(f"Every {every}th of {count} mel filters", xlabel="Hz", ylabel="weight / peak")
    for number, band in enumerate(shown):
        left, peak, right = corners[band : band + 3]
        color = PALETTE[number % len(PALETTE)]
        axes.plot((left, peak, right), (0, 1, 0), color=color, linewidth=1.2)
        own = (hz > left) & (hz < right)
        axes.plot(hz[own], filters[band].numpy()[own] * (right - left) / 2, "o", color=color, markersize=3)
    axes.margins(x=0.01)
    return picture


def ladder(S: int) -> Picture:
    """Draw the shapes from S samples to what each encoder reads, one row an encoder."""
    steps = -(-S // HOP), 1 + (S - 400) // HOP
    rows = {
        "Whisper": (
            ("frames", f"{steps[0]} × 400"),
            ("power", f"{steps[0]} × 201"),
            ("log-mel", f"80 × {steps[0]}"),
        ),
        "BEATs": (
            ("frames", f"{steps[1]} × 400"),
            ("power", f"{steps[1]} × 257"),
            ("filter bank", f"{steps[1]} × {BEATS_MELS}"),
        ),
    }
    said = "; ".join(
        f"{name} reads " + ", ".join(f"{what} {shape}" for what, shape in row) for name, row in rows.items()
    )
    picture = Picture(f"Shapes, from X with {S:,} samples: {said}.", height=2.6)
    axes = picture.subplots()
    axes.set(xlim=(0, 100), ylim=(0, 27))
    axes.axis("off")
    for place, work in enumerate(("cut", "window, Fourier, square", "mel filters, logarithm")):
        axes.text(29 + 21 * place, 25, work, fontsize=9, color=GRAY, **CENTERED)
    _step(axes, 0, 8, "X", f"{S:,}", SKY)
    for y, (name, row) in zip((14, 2), rows.items(), strict=True):
        start = (14.0, 12.0)
        for place, (what, shape) in enumerate(row):
            x = 22 + 21 * place
            axes.annotate("", (x, y + 4), start, arrowprops={"arrowstyle": "-|>", "color": INK})
            _step(axes, x, y, what, shape, "#F6C667" if place == 2 else "white")
            start = (x + 14.0, y + 4.0)
        axes.annotate("", (86, y + 4), start, arrowprops={"arrowstyle": "-|>", "color": INK})
        axes.text(93, y + 4, name, color=VERMILION, fontsize=12, **CENTERED)
    return picture


def _step(axes: Axes, x: float, y: float, what: str, shape: str, color: str) -> None:
    axes.add_patch(Rectangle((x, y), 14, 8, facecolor=color, edgecolor=GRAY, linewidth=0.9))
    axes.text(x + 7, y + 5.5, what, fontsize=10, **CENTERED)
    axes.text(x + 7, y + 2.3, shape, fontsize=10, family="monospace", **CENTERED)
