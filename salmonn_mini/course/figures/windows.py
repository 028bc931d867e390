"""Figures of chapter 3, windows: where they lie over a clip, and how many tokens they give."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from salmonn_mini import audio
from salmonn_mini.course import diagrams
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import BLUE, SKY, VERMILION, Picture, mel_image
from salmonn_mini.models import windows
from salmonn_mini.models.config import FRAMES_PER_SECOND, SAMPLE_RATE

WINDOWS = Explorer(
    diagrams.windows,
    {"T": range(1, 41), "L": range(1, 13), "N": range(1, 5), "tail": ("pad", "drop")},
    {"T": 10, "L": 3, "N": 2},
)


def windowed(X: ArrayLike, window_seconds: float, N: int = 1) -> Picture:
    """The connector's windows over the log-mel of X (S,), each of which becomes N tokens."""
    X = torch.as_tensor(np.asarray(X))
    T, L = -(-len(X) * FRAMES_PER_SECOND // SAMPLE_RATE), windows.window_frames(window_seconds)
    count, seconds = windows.n_windows(T, L), L / FRAMES_PER_SECOND
    alt = f"{T} frames in windows of L = {L} ({seconds:.2f} s each): {count} windows, {count * N} tokens."
    mel = audio.log_mel(X).numpy()
    picture = Picture(alt, height=2.8)
    axes = picture.panel(alt, xlabel="seconds")
    mel_image(axes, mel, mel.shape[1] / 100)
    axes.set_xlim(0, max(count * seconds, mel.shape[1] / 100))
    axes.vlines(np.arange(count + 1) * seconds, 0, 1.08, color=SKY, linewidth=1.4, clip_on=False)
    return picture


def explore_windows(X: ArrayLike) -> Explorer:
    """The windows over one clip, for a slider of their length."""
    return Explorer(
        lambda window_seconds, N: windowed(X, window_seconds, N),
        {"window_seconds": (0.02, 0.1, 0.2, 0.333333, 0.5, 1.0, 2.0), "N": (1, 2, 4)},
        {"window_seconds": 0.2},
    )


def clip_length(seconds: float, window_seconds: float, N: int) -> Picture:
    """What a clip costs: its tokens, the tail padded, against its seconds, and the chosen point."""
    L = windows.window_frames(window_seconds)
    T = np.arange(0, 30 * FRAMES_PER_SECOND + 1)
    padded = N * np.array([windows.n_windows(int(t), L) for t in T])
    here = N * windows.n_windows(round(seconds * FRAMES_PER_SECOND), L)
    alt = f"{seconds:g} s in windows of L = {L} frames, N = {N}: {here} tokens; 30 s: {padded[-1]}."
    picture = Picture(alt, height=2.8)
    axes = picture.panel(alt, xlabel="seconds of sound", ylabel="tokens", xlim=(0, 30.5))
    axes.plot(T / FRAMES_PER_SECOND, padded, color=BLUE)
    axes.plot([seconds], [here], "o", color=VERMILION, markersize=8)
    axes.set_ylim(0, None)
    return picture


COST = Explorer(
    clip_length,
    {
        "seconds": tuple(range(1, 31)),
        "window_seconds": (0.1, 0.2, 0.25, 0.333333, 0.5, 1.0, 2.0, 5.0, 30.0),
        "N": (1, 2, 4, 8, 16, 32, 64),
    },
    {"seconds": 10, "window_seconds": 0.333333, "N": 1},
)
