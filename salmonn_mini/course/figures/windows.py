"""Figures of chapter 3, windows: where they lie over a clip, how a batch is folded, what can be read afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from salmonn_mini import audio
from salmonn_mini.course import diagrams
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import (
    CENTERED,
    DASHES,
    GRAY,
    INK,
    MARKERS,
    ORANGE,
    PALETTE,
    RIGHT_OF_AXES,
    SKY,
    Picture,
    dress,
    mel_image,
)
from salmonn_mini.course.word_times import mark_words, of_words
from salmonn_mini.models import windows
from salmonn_mini.models.config import FRAMES_PER_SECOND, SAMPLE_RATE
from salmonn_mini.toy.world.voice import Word

WINDOWS = Explorer(
    diagrams.windows,
    {"T": range(1, 41), "L": range(1, 13), "N": range(1, 5), "tail": ("pad", "drop")},
    {"T": 10, "L": 3, "N": 2},
)
CLIPS = (SKY, ORANGE)  # the colors of a batch's clips, in turn
Read = Mapping[tuple[int | None, int], ArrayLike]
"""For each L (None: the whole clip) and N, what was read in percent (S,), a number for each seed."""


def windowed(X: ArrayLike, window_seconds: float, N: int = 1, words: Sequence[Word] = ()) -> Picture:
    """The windows over the log-mel of X (S,) with its words; below them each window, by its number."""
    X = torch.as_tensor(np.asarray(X))
    T, L = -(-len(X) * FRAMES_PER_SECOND // SAMPLE_RATE), windows.window_frames(window_seconds)
    count, seconds = windows.n_windows(T, L), L / FRAMES_PER_SECOND
    title = f"{T} frames in windows of L = {L} ({seconds:.2f} s each): {count} windows, {count * N} tokens."
    picture = Picture(title + of_words(words), height=3.4)
    upper, lower = picture.subplots(2, sharex=True, height_ratios=(5, 1))
    mel = audio.log_mel(X).numpy()
    mel_image(dress(upper, title), mel, mel.shape[1] / 100)
    mark_words(upper, words)
    edges = np.arange(count + 1) * seconds
    upper.vlines(edges, 0, 1, color=SKY, linewidth=1.6)
    dress(lower, xlabel="seconds", yticks=[], ylim=(0, 1), xlim=(0, edges[-1]))
    lower.set_ylabel("window", rotation=0, ha="right", va="center")
    for turn, color in enumerate(CLIPS):
        lower.broken_barh([(at, seconds) for at in edges[turn:-1:2]], (0.05, 0.9), facecolor=color)
    for number, at in enumerate(edges[:-1] if count <= 30 else (), 1):
        lower.text(at + seconds / 2, 0.47, str(number), fontsize=8, **CENTERED)
    return picture


def explore_windows(X: ArrayLike, words: Sequence[Word] = ()) -> Explorer:
    """The windows over one clip, for a slider of their length."""
    return Explorer(
        lambda window_seconds, N: windowed(X, window_seconds, N, words),
        {"window_seconds": (0.02, 0.1, 0.2, 0.333333, 0.5, 1.0, 2.0), "N": (1, 2, 4)},
        {"window_seconds": 0.2},
    )


def folded(lengths: Sequence[int], L: int, N: int) -> Picture:
    """Draw the way of a batch: Z (B, T, D), its windows as one batch (B·W, L, D), their N tokens each, and H."""
    B, T = len(lengths), max(lengths)
    own = [windows.n_windows(length, L) for length in lengths]
    W = max(own)
    alt = (
        f"A batch of {B} clips of {' and '.join(map(str, lengths))} frames. Z: {B} rows of {T} frames. Folded with "
        f"L = {L}: {B * W} rows of {L} frames, all windows of the first clip, then all of the second; what is no "
        f"clip's own is hatched. With N = {N}: {N} tokens a row. H: {B} rows of {W * N} tokens, of which "
        f"{' and '.join(str(N * count) for count in own)} are the clips' own."
    )
    picture = Picture(alt, width=9.0, height=0.7 + 0.32 * B * W)
    axes = picture.panel(xlim=(0, T + L + N * (W + 1) + 11.5), ylim=(-0.3, B * W + 1.4))
    axes.axis("off")
    at = {"Z": 0.5, "windows": T + 3.5, "tokens": T + L + 6.5, "H": T + L + N + 10.0}
    names = (f"Z ({B}, {T}, D)", f"({B * W}, {L}, D)", f"({B * W}, {N}, D)", f"H ({B}, {W * N}, D)")
    for x, name in zip(at.values(), names, strict=True):
        axes.text(x, B * W + 0.75, name, fontsize=9, ha="left", va="center")
    for clip, length in enumerate(lengths):
        color, middle = CLIPS[clip % 2], B * W - (clip + 0.5) * W - 0.45
        _row(axes, at["Z"], middle, [color] * length + [None] * (T - length), first=1)
        _row(axes, at["H"], middle, [color] * own[clip] * N + [None] * (W - own[clip]) * N)
        for window in range(W):
            y = B * W - clip * W - window - 0.9
            real = min(max(length - window * L, 0), L)
            _row(axes, at["windows"], y, [color] * real + [None] * (L - real), first=window * L + 1)
            _row(axes, at["tokens"], y, [color if window < own[clip] else None] * N)
    for x, word in ((at["windows"], "fold"), (at["tokens"], "N queries"), (at["H"], "unfold")):
        axes.annotate(
            "", (x - 0.3, B * W / 2), (x - 2.6, B * W / 2), arrowprops={"arrowstyle": "->", "color": INK}
        )
        axes.text(x - 1.45, B * W / 2 + 0.35, word, fontsize=8, **CENTERED)
    return picture


def _row(axes: Axes, x: float, y: float, colors: Sequence[str | None], first: int | None = None) -> None:
    """Squares side by side, hatched where there is no color, with numbers from `first` in those that have one."""
    for i, color in enumerate(colors):
        look = {"facecolor": color} if color else {"facecolor": "white", "hatch": "////"}
        axes.add_patch(Rectangle((x + i, y), 1, 0.8, edgecolor=GRAY, linewidth=0.7, **look))
        if color and first is not None:
            axes.text(x + i + 0.5, y + 0.38, str(first + i), fontsize=7, **CENTERED)


def read_by_length(read: Mapping[str, Read], chance: float, title: str = "") -> Picture:
    """Draw what was read with N = 1 against L: a line for each question, its seeds from lowest to highest shaded."""
    lengths = [L for L, N in next(iter(read.values())) if N == 1]
    ticks = ["whole\nclip" if L is None else f"{L}\n{L / FRAMES_PER_SECOND:g} s" for L in lengths]
    seeds = {name: np.array([of[L, 1] for L in lengths], dtype=float) for name, of in read.items()}
    said = (
        f"{name} " + ", ".join(f"{value:.0f}" for value in values.mean(1)) for name, values in seeds.items()
    )
    where = ", ".join("the whole clip" if L is None else str(L) for L in lengths)
    alt = f"Percent right with N = 1 for L = {where}: {'; '.join(said)}. Chance is {chance:g}."
    picture = Picture(f"{title}. {alt}", height=3.8)
    axes = picture.panel(title, xlabel="L, frames in a window", ylabel="% right", ylim=(0, 103))
    axes.set_xticks(range(len(lengths)), ticks)
    for index, (name, values) in enumerate(seeds.items()):
        look = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": DASHES[index]}
        axes.plot(values.mean(1), label=name, **look)
        axes.fill_between(range(len(lengths)), values.min(1), values.max(1), color=PALETTE[index], alpha=0.2)
    _chance(axes, chance)
    axes.legend(**RIGHT_OF_AXES)
    return picture


def read_by_budget(read: Read, chance: float, seconds: float, title: str = "") -> Picture:
    """Draw what was read against the tokens that a second costs: a line for each L, along which N grows.

    `seconds` is a clip's mean length, by which the whole clip's N are divided.
    """
    picture = Picture("", height=3.8)
    axes = picture.panel(title, xlabel="tokens for a second of sound", ylabel="% right", ylim=(0, 103))
    said = []
    for index, L in enumerate(dict.fromkeys(L for L, _ in read)):
        name = "whole clip" if L is None else f"L = {L}"
        own = {N: float(np.asarray(values).mean()) for (of, N), values in read.items() if of == L}
        x = [N / (seconds if L is None else L / FRAMES_PER_SECOND) for N in own]
        look = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": DASHES[index % len(DASHES)]}
        axes.plot(x, list(own.values()), label=name, **look)
        said.append(f"{name}: " + ", ".join(f"{value:.0f} with N = {N}" for N, value in own.items()))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    _chance(axes, chance)
    axes.legend(**RIGHT_OF_AXES)
    picture.alt = f"{title}. Percent right. {'; '.join(said)}. Chance is {chance:g}."
    return picture


def _chance(axes: Axes, chance: float) -> None:
    axes.axhline(chance, color=INK, linewidth=1, linestyle=":")
    axes.text(0.01, chance + 1.5, "chance", fontsize=8, transform=axes.get_yaxis_transform())
