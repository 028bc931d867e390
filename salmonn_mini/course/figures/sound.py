"""Figures of chapters 1 and 3 that a slider moves: plain functions of what is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from salmonn_mini import audio
from salmonn_mini.course.figures.player import Sound
from salmonn_mini.course.plots import BLUE, SKY, VERMILION, Picture, slaney_mel
from salmonn_mini.models import windows
from salmonn_mini.models.config import FRAMES_PER_SECOND, SAMPLE_RATE


def seen(X: ArrayLike, title: str = "", text: str = "") -> Sound:
    """X (S,) with its log-mel spectrogram, small enough to stand beside others."""
    return Sound(X, title, spectrogram_picture(X), text)


def spectrogram_picture(X: ArrayLike, wave: bool = False) -> Picture:
    """Whisper's log-mel of X (S,), small; with `wave` the waveform above it, on the same seconds."""
    X = np.asarray(X)
    mel, seconds = audio.log_mel(torch.as_tensor(X)).numpy(), len(X) / SAMPLE_RATE
    peak = float(np.abs(X).max(initial=0.0))
    alt = f"Log-mel spectrogram of {seconds:.1f} s" + (
        f", below its waveform, peak {peak:.2f}." if wave else "."
    )
    picture = Picture(alt, width=7.5 if wave else 4.2, height=3.6 if wave else 2.0)
    ratios = {"height_ratios": (1, 2)} if wave else {}
    axes = picture.subplots(2 if wave else 1, sharex=True, gridspec_kw=ratios)
    if wave:
        axes[0].plot(np.arange(len(X)) / SAMPLE_RATE, X, color=BLUE, linewidth=0.5)
        axes[0].set_ylabel("amplitude")
        axes[0].spines[["top", "right"]].set_visible(False)
    _mel_image(axes[-1] if wave else axes, mel, seconds)
    return picture


def windowed(X: ArrayLike, window_seconds: float, N: int = 1) -> Picture:
    """The windows of the connector over the log-mel of X (S,): what each group of N tokens hears."""
    X = torch.as_tensor(np.asarray(X))
    T, L = -(-len(X) * FRAMES_PER_SECOND // SAMPLE_RATE), windows.window_frames(window_seconds)
    count, seconds = windows.n_windows(T, L), L / FRAMES_PER_SECOND
    alt = f"{T} frames in windows of L = {L} ({seconds:.2f} s each): {count} windows, {count * N} tokens."
    picture = Picture(alt, width=8.0, height=2.8)
    axes = picture.subplots()
    axes.set_title(alt, loc="left", fontsize=10)
    mel = audio.log_mel(X).numpy()
    _mel_image(axes, mel, mel.shape[1] / 100)
    axes.set_xlim(0, max(count * seconds, mel.shape[1] / 100))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.vlines(np.arange(count + 1) * seconds, 0, 1.08, color=SKY, linewidth=1.4, clip_on=False)
    return picture


def sampled(X: ArrayLike, rate: int, filtered: bool) -> Sound:
    """X (S,) as a sampler of `rate` Hz hears it, brought back to 16 kHz; `filtered`: without what it cannot hold.

    `rate` must divide 16,000.
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


def time_frequency(X: ArrayLike, milliseconds: float) -> Picture:
    """A spectrogram of X (S,) with a window of so many milliseconds, every 2.5 ms, frequencies evenly spaced."""
    X = torch.as_tensor(np.asarray(X)).float()
    length, hop = round(SAMPLE_RATE * milliseconds / 1000), SAMPLE_RATE // 400
    X = torch.nn.functional.pad(X, (0, max(0, 2 * length - len(X))))
    # More bins than the window has samples: they draw a smooth picture, and add nothing to it.
    size = max(length, 1024)
    frames = torch.stft(X, size, hop, length, torch.hann_window(length), return_complex=True)
    power = 10 * torch.log10(frames.abs() ** 2 / length + 1e-10).numpy()
    bins, seconds = SAMPLE_RATE / length, len(X) / SAMPLE_RATE
    alt = f"Window of {milliseconds:g} ms: moments of {milliseconds:g} ms, frequencies {bins:.0f} Hz apart."
    picture = Picture(alt, width=8.0, height=2.8)
    axes = picture.subplots()
    axes.set_title(alt, loc="left", fontsize=10)
    top = float(power.max())
    extent = (0.0, seconds, 0.0, SAMPLE_RATE / 2000)
    axes.imshow(power, origin="lower", aspect="auto", cmap="magma", extent=extent, vmin=top - 70, vmax=top)
    axes.set_xlabel("seconds")
    axes.set_ylabel("kHz")
    return picture


def clip_length(seconds: float, window_seconds: float, N: int) -> Picture:
    """What a clip costs: its tokens, the tail padded, against its seconds, and the chosen point."""
    L = windows.window_frames(window_seconds)
    T = np.arange(0, 30 * FRAMES_PER_SECOND + 1)
    padded = N * np.array([windows.n_windows(int(t), L) for t in T])
    here = N * windows.n_windows(round(seconds * FRAMES_PER_SECOND), L)
    alt = f"{seconds:g} s in windows of L = {L} frames, N = {N}: {here} tokens; 30 s: {padded[-1]}."
    picture = Picture(alt, width=8.0, height=2.8)
    axes = picture.subplots()
    axes.set_title(alt, loc="left", fontsize=10)
    axes.plot(T / FRAMES_PER_SECOND, padded, color=BLUE)
    axes.plot([seconds], [here], "o", color=VERMILION, markersize=8)
    axes.set_xlabel("seconds of sound")
    axes.set_ylabel("tokens")
    axes.set_xlim(0, 30.5)
    axes.set_ylim(0, None)
    axes.spines[["top", "right"]].set_visible(False)
    return picture


def _mel_image(axes: Any, mel: np.ndarray, seconds: float) -> None:
    axes.imshow(mel, origin="lower", aspect="auto", cmap="magma", extent=(0.0, max(seconds, 0.01), 0.0, 1.0))
    hz = np.array([250, 1000, 4000])
    axes.set_yticks(slaney_mel(hz) / slaney_mel(SAMPLE_RATE / 2), [f"{f:,}" for f in hz])
    axes.set_xlabel("seconds")
    axes.set_ylabel("Hz")


def _lowpass(X: np.ndarray, hertz: float) -> np.ndarray:
    """X (S,) without all that is above `hertz`."""
    spectrum = np.fft.rfft(X)
    spectrum[np.fft.rfftfreq(len(X), 1 / SAMPLE_RATE) >= hertz] = 0
    return np.fft.irfft(spectrum, len(X))
