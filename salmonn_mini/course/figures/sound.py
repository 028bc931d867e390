"""Figures of chapter 1, sound: sampling, the Fourier sum, windows of any length, mel filters, a ladder of shapes.

`fourier_matrix`, `power_spectrogram` and `kaldi_power` are what the chapter's core exercises ask for.
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
    GRAY,
    INK,
    PALETTE,
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
from salmonn_mini.toy.world.voice import Word

SHADES = {"origin": "lower", "aspect": "auto", "cmap": SPECTRAL, "interpolation": "nearest"}
RANGE_DB = 70.0  # what is more than this below the loudest is black


# --- what the core exercises ask for ---------------------------------------------------------------------------------


def power_spectrogram(X: Tensor, length: int, hop: int) -> Tensor:
    """X (S,) → power (F, length / 2 + 1) of whole frames of `length` samples, one every `hop`, under Hann's window."""
    window = torch.hann_window(length)
    return torch.stft(X, length, hop, window=window, center=False, return_complex=True).abs().square().T


def fourier_matrix(N: int) -> Tensor:
    """The discrete Fourier transform of N real samples as a matrix (N // 2 + 1, N): row k is exp(-2 pi i k n / N)."""
    k, n = torch.arange(N // 2 + 1)[:, None], torch.arange(N)
    return torch.exp(-2j * torch.pi * (k * n % N) / N)


def kaldi_power(
    X: Tensor, window: Tensor, scale: float, centered: bool, emphasis: float, points: int
) -> Tensor:
    """X (S,) → power (F, points / 2 + 1), float64, of whole frames of 400 samples, one every 160, as Kaldi does it.

    Args:
        window: (400,).
        scale: a factor on the samples.
        centered: whether each frame's mean is subtracted.
        emphasis: the share of the sample before that is subtracted; a frame's first sample is its own.
        points: the length of the Fourier transform; frames are zero-padded to it.
    """
    frames = X.double().unfold(0, 400, HOP) * scale
    if centered:
        frames = frames - frames.mean(1, keepdim=True)
    frames = frames - emphasis * torch.cat([frames[:, :1], frames[:, :-1]], 1)
    return torch.fft.rfft(frames * window, n=points).abs() ** 2


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
    picture = time_frequency_of(back, 25, words, top=0.625 * rate)
    return Sound(back, f"{rate:,} samples a second, {manner}", picture)


def explore_sampling(X: ArrayLike, words: Sequence[Word] = ()) -> Explorer:
    """One clip at ever fewer samples a second, to see and to hear."""
    choice = {"filter first": True, "no filter": False}
    return Explorer(
        lambda samples_a_second, filter: resampled(X, samples_a_second, choice[filter], words),
        {"samples_a_second": (1000, 2000, 4000, 8000, 16000), "filter": tuple(choice)},
        {"samples_a_second": 16000},
    )


def _lowpass(X: np.ndarray, hertz: float) -> np.ndarray:
    """X (S,) without what is above `hertz`; the highest fifth below it fades, for a sharp edge would ring."""
    if hertz >= SAMPLE_RATE / 2:
        return X
    share = np.fft.rfftfreq(len(X), 1 / SAMPLE_RATE) / hertz
    fade = np.cos(np.pi / 2 * np.clip((share - 0.8) / 0.2, 0, 1)) ** 2
    return np.fft.irfft(np.fft.rfft(X) * fade, len(X))


# --- the Fourier sum -------------------------------------------------------------------------------------------------


def fourier_sums(columns: Mapping[str, tuple[Tensor, int]]) -> Picture:
    """For each frame x (N,) and k: x, and x times a cosine and a sine of k swings, with what these products sum to."""
    picture = Picture("", width=7.5, height=4.0)
    rows = picture.subplots(3, len(columns), sharex=True, sharey=True)
    said = []
    for place, (name, (x, k)) in enumerate(columns.items()):
        turns = 2 * torch.pi * k * torch.arange(len(x)) / len(x)
        waves = {"x": 1.0, "x · cos": turns.cos(), "x · sin": turns.sin()}
        for axes, (what, wave) in zip(rows[:, place], waves.items(), strict=True):
            product, n = (x * wave).numpy(), np.arange(len(x))
            total = f"{product.sum():.0f}".replace("-0", "0")
            title = name if what == "x" else f"{what}: sum {total}"
            dress(axes, title, xlim=(0, len(x)), ylim=(-1.1, 1.1), yticks=(-1, 0, 1))
            axes.axhline(0, color=GRAY, linewidth=0.6)
            if what == "x":
                axes.plot(n, product, color=INK, linewidth=1)
                said.append(name)
                continue
            axes.fill_between(n, product.clip(min=0), color=BLUE, linewidth=0)
            axes.fill_between(n, product.clip(max=0), color=VERMILION, linewidth=0)
            said[-1] += f", {what} sums to {total}"
        rows[-1, place].set_xlabel("n")
    picture.alt = f"Frames x, multiplied by a cosine and a sine: {'; '.join(said)}."
    return picture


# --- windows of any length -------------------------------------------------------------------------------------------


def time_frequency(
    *spectrograms: tuple[Tensor, int], words: Sequence[Word] = (), top: float = 8000
) -> Picture:
    """Draw power (F, length / 2 + 1) and its hop in samples, up to `top` Hz; several one below another."""
    alt = f"{'. '.join(_grid(power) for power, _ in spectrograms)}.{of_words(words)}"
    picture = Picture(alt, width=6.5, height=0.3 + 1.9 * len(spectrograms))
    rows = picture.subplots(len(spectrograms), sharex=True, squeeze=False)[:, 0]
    for axes, (power, hop) in zip(rows, spectrograms, strict=True):
        _power_image(dress(axes, _grid(power), ylabel="kHz"), power, hop)
        axes.set_ylim(0, min(top, SAMPLE_RATE / 2) / 1000)
        mark_words(axes, words, 7.0)
    power, hop = spectrograms[0]
    samples = (len(power) - 1) * hop + 2 * (power.shape[1] - 1)
    rows[-1].set(xlabel="seconds", xlim=(0, samples / SAMPLE_RATE))
    return picture


def time_frequency_of(
    X: ArrayLike, milliseconds: float, words: Sequence[Word] = (), top: float = 8000
) -> Picture:
    """The same of X (S,), with a window of so many milliseconds every 5 ms; X is filled up to one frame."""
    X = torch.as_tensor(np.asarray(X)).float()
    length, hop = round(SAMPLE_RATE * milliseconds / 1000), SAMPLE_RATE // 200
    X = torch.nn.functional.pad(X, (0, max(0, length - len(X))))
    return time_frequency((power_spectrogram(X, length, hop), hop), words=words, top=top)


def explore_time_frequency(X: ArrayLike, words: Sequence[Word] = ()) -> Explorer:
    """The spectrogram of one clip, for a slider of its window."""
    return Explorer(
        lambda milliseconds: time_frequency_of(X, milliseconds, words),
        {"milliseconds": (4, 8, 16, 25, 50, 100, 200)},
        {"milliseconds": 25},
    )


def wave_over_power(X: Tensor, power: Tensor, hop: int, begin: float, end: float, top: float) -> Picture:
    """X (S,) from `begin` to `end` seconds over its power (F, length / 2 + 1) up to `top` Hz."""
    alt = f"The wave from {begin:.2f} to {end:.2f} s, below it its power up to {top:,.0f} Hz. {_grid(power)}."
    picture = Picture(alt, width=7.0, height=3.6)
    upper, lower = picture.subplots(2, sharex=True, height_ratios=(1, 1.6))
    shown = slice(round(begin * SAMPLE_RATE), round(end * SAMPLE_RATE))
    dress(upper, ylabel="amplitude")
    upper.plot(np.arange(len(X))[shown] / SAMPLE_RATE, X[shown].numpy(), color=BLUE, linewidth=0.8)
    _power_image(dress(lower, _grid(power), xlabel="seconds", ylabel="kHz"), power, hop)
    lower.set(xlim=(begin, end), ylim=(0, top / 1000))
    return picture


def _grid(power: Tensor) -> str:
    milliseconds = 1000 * 2 * (power.shape[1] - 1) / SAMPLE_RATE
    return f"Window of {milliseconds:g} ms, bins {1000 / milliseconds:.0f} Hz apart"


def _power_image(axes: Axes, power: Tensor, hop: int) -> None:
    """Power (F, bins) in decibels, with a color scale: columns around frames' middles, rows around frequencies."""
    decibels = 10 * power.clamp(min=1e-12).log10()
    length, bin_khz = 2 * (power.shape[1] - 1), SAMPLE_RATE / (2000 * (power.shape[1] - 1))
    first = (length - hop) / 2 / SAMPLE_RATE
    extent = (first, first + len(power) * hop / SAMPLE_RATE, -bin_khz / 2, SAMPLE_RATE / 2000 + bin_khz / 2)
    decibels -= decibels.max()
    image = axes.imshow(decibels.T.numpy(), extent=extent, vmin=-RANGE_DB, vmax=0, **SHADES)
    axes.figure.colorbar(image, ax=axes, label="dB", pad=0.01)


def with_scale(picture: Picture, label: str) -> Picture:
    """The picture, with a scale of colors beside each of its images."""
    for image in [image for axes in picture.axes for image in axes.images]:
        picture.colorbar(image, ax=image.axes, label=label, pad=0.01)
    return picture


def spectrograms(sounds: Mapping[str, ArrayLike]) -> Picture:
    """The log-mel of each sound (S,), below each other on one axis of time."""
    lasts = ", ".join(f"{name} {len(X) / SAMPLE_RATE:.2f} s" for name, X in sounds.items())
    alt = f"Log-mel spectrograms on one axis of time: {lasts}."
    picture = Picture(alt, width=6.5, height=0.4 + 0.85 * len(sounds))
    rows = picture.subplots(len(sounds), sharex=True, squeeze=False)[:, 0]
    for axes, (name, X) in zip(rows, sounds.items(), strict=True):
        mel_row(axes, X, name, INK)
    rows[-1].set(xlabel="seconds", xlim=(0, max(map(len, sounds.values())) / SAMPLE_RATE))
    return picture


def mel_row(axes: Axes, X: ArrayLike, name: str, color: str, words: Sequence[Word] = ()) -> None:
    mel = audio.log_mel(torch.as_tensor(np.asarray(X))).numpy()
    mel_image(dress(axes), mel, mel.shape[1] / 100)
    mark_words(axes, words, 7.0)
    axes.set_title(name, loc="right", fontsize=10, color=color)


# --- mel filters and shapes ------------------------------------------------------------------------------------------


def filter_bank(filters: Tensor, every: int = 10) -> Picture:
    """Draw one in `every` of filters (n_mels, 201), and its right neighbor: triangles, and the weights at the bins."""
    count, bins = filters.shape
    hz = np.arange(bins) * SAMPLE_RATE / 2 / (bins - 1)
    corners = np.interp(
        np.linspace(0, float(slaney_mel(SAMPLE_RATE / 2)), count + 2),
        slaney_mel(np.arange(SAMPLE_RATE / 2 + 1)),
        np.arange(SAMPLE_RATE / 2 + 1),
    )
    shown = range(every // 2, count, every)
    heights = ", ".join(
        f"{2 / (corners[band + 2] - corners[band]):.4f} at {corners[band + 1]:,.0f}" for band in shown
    )
    alt = f"Mel filters: every {every}th of {count} with its right neighbor; peaks, in 1/Hz, of {heights} Hz."
    picture = Picture(alt, height=2.6)
    title = f"Every {every}th of {count} mel filters, and its right neighbor"
    axes = picture.panel(title, xlabel="Hz", ylabel="weight in 1/Hz")
    for number, band in enumerate(band for first in shown for band in (first, first + 1)):
        left, peak, right = corners[band : band + 3]
        color = PALETTE[number % len(PALETTE)]
        axes.plot((left, peak, right), (0, 2 / (right - left), 0), color=color, linewidth=1.2)
        own = (hz > left) & (hz < right)
        axes.plot(hz[own], filters[band].numpy()[own], "o", color=color, markersize=3)
    axes.set(xlim=(0, SAMPLE_RATE / 2), ylim=(0, None))
    return picture


def ladder(S: int) -> Picture:
    """Draw the shapes from S samples to what each encoder reads, one row an encoder."""
    steps = -(-S // HOP), 1 + (S - 400) // HOP
    frames, power = (
        [f"{F} × {n}" for F, n in zip(steps, both, strict=True)] for both in ((400, 400), (201, 257))
    )
    rows = {
        "Whisper": (("frames", frames[0]), ("power", power[0]), ("log-mel", f"80 × {steps[0]}")),
        "BEATs": (("frames", frames[1]), ("power", power[1]), ("filter bank", f"{steps[1]} × {BEATS_MELS}")),
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
