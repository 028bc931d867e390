"""Figures of chapter 4, the Q-Former: its layer, shapes, who may look at whom, and what queries look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from salmonn_mini import audio
from salmonn_mini.course.diagrams import TRAINED
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import (
    BLUE,
    CENTERED,
    GRAY,
    INK,
    RIGHT_OF_AXES,
    SKY,
    VERMILION,
    Interval,
    Picture,
    dress,
    mel_image,
    titled,
)
from salmonn_mini.course.word_times import mark_words, of_words
from salmonn_mini.models.config import FRAMES_PER_SECOND
from salmonn_mini.models.qformer import MASKS, blip2_mask
from salmonn_mini.toy.world.voice import Word

ARROW = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
LAYER = (
    "A layer of the Q-Former. The queries x, N by d, go through three steps from left to right: self-attention, whose "
    "keys and values are the queries themselves; cross-attention, whose keys and values come from the window Z_l, L "
    "frames of width D, under a mask; feed-forward. Around each step runs a residual: what the step gives is added to "
    "x, then a LayerNorm follows."
)
PURPOSE = {"bidirectional": "matching", "unimodal": "contrast", "multimodal_causal": "generation"}


def mask(kind: str, N: int, S: int) -> Picture:
    """Draw which of N queries and S text tokens may look at which: a filled cell is allowed."""
    picture = Picture(_mask_alt(kind, N, S), width=5.0, height=4.4)
    _mask_panel(picture.subplots(), kind, N, S)
    return picture


def masks(N: int = 3, S: int = 4) -> Picture:
    """Draw BLIP-2's three masks side by side (arXiv 2301.12597, figure 2)."""
    picture = Picture(" ".join(_mask_alt(kind, N, S) for kind in MASKS), width=10.5, height=4.0)
    for axes, kind in zip(picture.subplots(1, len(MASKS)), MASKS, strict=True):
        _mask_panel(axes, kind, N, S)
    return picture


MASK = Explorer(
    mask,
    {"kind": MASKS, "N": tuple(range(1, 9)), "S": tuple(range(1, 9))},
    {"kind": MASKS[2], "N": 3, "S": 4},
)


def layer() -> Picture:
    """Draw a layer of the Q-Former: three steps on the queries, each added to x and then normalized."""
    picture = Picture(LAYER, width=8.4, height=3.9)
    axes = picture.panel(xlim=(0, 100), ylim=(0, 46), aspect="equal")
    axes.axis("off")
    steps = ("self-attention", "cross-attention", "feed-forward")
    axes.add_patch(Rectangle((12.5, 17.5), 77, 25, facecolor="none", edgecolor=GRAY, linestyle="--"))
    axes.text(13.5, 40.6, "one layer", fontsize=9.5, color=GRAY, ha="left")
    for i, step in enumerate(steps):
        x = 16.5 + 25 * i
        axes.add_patch(Rectangle((x, 20), 15, 10, **TRAINED))
        axes.text(x + 7.5, 25, step.replace("-", "-\n", 1), fontsize=10.5, **CENTERED)
        _arrow(axes, (x - 4.2, 25), (x, 25))
        _arrow(axes, (x + 15, 25), (x + 17.6, 25))
        axes.text(
            x + 18.9,
            25,
            "+",
            fontsize=13,
            bbox={"boxstyle": "circle,pad=0.1", "facecolor": "white"},
            **CENTERED,
        )
        axes.plot((x - 2.5, x - 2.5, x + 18.9), (25, 35, 35), color=INK, linewidth=1.1)  # the residual
        _arrow(axes, (x + 18.9, 35), (x + 18.9, 27.2))
        axes.text(x + 8, 36.4, "residual", fontsize=9, color=GRAY, **CENTERED)
        axes.text(x + 18.9, 20.3, "Layer\nNorm", fontsize=9, **CENTERED)
    _arrow(axes, (86.8, 25), (93, 25))
    axes.text(6, 25, "queries $x$\n$N \\times d$", fontsize=10.5, **CENTERED)
    axes.text(96.7, 25, "$N \\times d$", fontsize=10.5, **CENTERED)
    for x, text in ((49, "window $Z_l$:  $L \\times D$\nmask:  $L$"), (24, "keys and values: $x$")):
        _arrow(axes, (x, 12 if x > 30 else 14.2), (x, 20))
        axes.text(x, 7.5 if x > 30 else 12, text, fontsize=10.5, **CENTERED)
    return picture


def ladder(rows: Sequence[tuple[str, Sequence[str]]], columns: Sequence[str]) -> Picture:
    """Draw the shapes from Z down to H: a row for each step (its name, a shape for each column), tops first."""
    steps = "; ".join(f"{name}: {', '.join(shapes)}" for name, shapes in rows)
    alt = f"Shapes, {' and '.join(columns)}. {steps}."
    picture = Picture(alt, width=7.6, height=0.8 + 0.58 * len(rows))
    axes = picture.panel(xlim=(0, 100), ylim=(-len(rows) + 0.4, 1.1))
    axes.axis("off")
    for c, column in enumerate(columns):
        axes.text(47 + 32 * c, 0.85, column, fontsize=10, color=GRAY, **CENTERED)
    for r, (name, shapes) in enumerate(rows):
        axes.text(0, -r, name, fontsize=10.5, va="center", ha="left")
        for c, shape in enumerate(shapes):
            x = 47 + 32 * c
            axes.add_patch(Rectangle((x - 14, -r - 0.27), 28, 0.54, facecolor=SKY, alpha=0.35))
            axes.text(x, -r, shape, fontsize=10.5, family="monospace", **CENTERED)
            if r:
                _arrow(axes, (x, -r + 0.73), (x, -r + 0.27))
    return picture


def attention_over_sound(
    weights: Mapping[str, ArrayLike], X: ArrayLike, title: str = "", words: Sequence[Word] = ()
) -> Picture:
    """Draw what each named query looks at, weights (T,) at 50 frames a second, under the log-mel of X (S,)."""
    rows = np.stack([np.asarray(row) for row in weights.values()])
    peaks = (rows.argmax(axis=1) + 0.5) / FRAMES_PER_SECOND
    most = "; ".join(f"{name} most at {peak:.1f} s" for name, peak in zip(weights, peaks, strict=True))
    picture = Picture(titled(title, f"{most}.{of_words(words)}"), height=2.9 + 0.4 * len(rows))
    upper, lower = picture.subplots(2, 1, sharex=True, height_ratios=(2.0, 0.4 * len(rows)))
    _log_mel(upper, X, title, words)
    extent = (0, rows.shape[1] / FRAMES_PER_SECOND, len(rows), 0)
    image = lower.imshow(rows, aspect="auto", cmap="cividis", extent=extent, interpolation="nearest")
    picture.colorbar(image, ax=lower, label="weight", pad=0.01)
    lower.hlines(range(1, len(rows)), 0, extent[1], color="white", linewidth=2)
    dress(lower, xlabel="seconds", yticks=np.arange(len(rows)) + 0.5, yticklabels=weights)
    mark_words(lower, [Word("", word.begin, word.end) for word in words])
    return picture


def attention_in_windows(
    weights: ArrayLike, mask: ArrayLike, X: ArrayLike, title: str = "", words: Sequence[Word] = ()
) -> Picture:
    """Draw weights (W, L) of each window's token under the log-mel of X (S,), a column a window, first frame on top.

    mask (W, L) is False at the frames of zeros, which are crossed out.
    """
    weights, mask = np.asarray(weights), np.asarray(mask, dtype=bool)
    W, L = weights.shape
    peaks = ", ".join(str(peak) for peak in weights.argmax(1) + 1)
    alt = (
        f"Weights of {W} tokens, each on the {L} frames of its window; most on frame {peaks}; "
        f"{(~mask).sum()} frames of zeros."
    )
    picture = Picture(titled(title, f"{alt}{of_words(words)}"), height=4.6)
    upper, lower = picture.subplots(2, 1, sharex=True)
    _log_mel(upper, X, title, words)
    edges = np.arange(W + 1) * L / FRAMES_PER_SECOND
    image = lower.pcolormesh(edges, np.arange(L + 1) + 0.5, weights.T, cmap="cividis", vmin=0)
    picture.colorbar(image, ax=lower, label="weight", pad=0.01)
    for window, frame in np.argwhere(~mask):
        lower.plot(edges[window] + L / 2 / FRAMES_PER_SECOND, frame + 1, "x", color="white", markersize=5)
    for axes in (upper, lower):
        axes.vlines(edges, 0, 1, color="white", linewidth=1.2, transform=axes.get_xaxis_transform())
    dress(lower, xlabel="seconds; a column is a window", ylabel="frame of the window", ylim=(L + 0.5, 0.5))
    lower.set_xlim(0, edges[-1])
    return picture


def last_window(weights: Mapping[str, ArrayLike], own: int) -> Picture:
    """Draw named weights (L,) on the frames of one window, of which the first `own` are the clip's, as bars."""
    rows = {name: np.asarray(row) for name, row in weights.items()}
    shares = "; ".join(f"{name} {row[:own].sum():.2f} on the clip's frames" for name, row in rows.items())
    L = len(next(iter(rows.values())))
    picture = Picture(f"Weights on {L} frames, of which {own} are the clip's: {shares}.", height=2.6)
    axes = picture.panel(xlabel="frame of the last window", ylabel="weight", xticks=range(1, L + 1))
    axes.axvspan(own + 0.5, L + 0.5, color=GRAY, alpha=0.15, linewidth=0)
    axes.text(
        (own + L + 1) / 2,
        0.97,
        "zeros",
        transform=axes.get_xaxis_transform(),
        ha="center",
        va="top",
        color=GRAY,
    )
    width = 0.8 / len(rows)
    for i, (name, row) in enumerate(rows.items()):
        places = np.arange(1, L + 1) + width * (i - (len(rows) - 1) / 2)
        axes.bar(places, row, width, color=(VERMILION, BLUE)[i % 2], label=name)
    axes.legend(**RIGHT_OF_AXES)
    axes.set_xlim(0.5, L + 0.5)
    return picture


def mark_chance(picture: Picture, percent: float) -> Picture:
    """The same picture with a dotted line where guessing would stand."""
    axes = picture.axes[0]
    axes.axvline(percent, color=GRAY, linestyle=":", linewidth=1.5)
    axes.set_xlabel(f"{axes.get_xlabel()} (dotted: guessing, {percent:g})")
    picture.alt += f" Guessing: {percent:g}."
    return picture


def percent(right: ArrayLike) -> Interval:
    """Percent of n tries (n,), each 1 or 0, and Wilson's 95 % interval."""
    right = np.asarray(right, dtype=float)
    n, share, z = len(right), right.mean(), 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return 100 * share, 100 * (middle - half), 100 * (middle + half)


def _log_mel(axes: Axes, X: ArrayLike, title: str, words: Sequence[Word]) -> None:
    mel = audio.log_mel(torch.as_tensor(np.asarray(X))).numpy()
    mel_image(dress(axes, title), mel, mel.shape[1] / 100)
    mark_words(axes, words, 7.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops=ARROW)


def _mask_panel(axes: Axes, kind: str, N: int, S: int) -> None:
    mask = blip2_mask(kind, N, torch.ones(1, S, dtype=torch.bool))[0].numpy()
    names = [f"q{n + 1}" for n in range(N)] + [f"w{s + 1}" for s in range(S)]
    cells = np.where(np.arange(N + S)[:, None] < N, to_rgb(SKY), to_rgb(VERMILION))  # a color a key
    axes.pcolormesh(np.where(mask[..., None], cells, 1.0), edgecolors=GRAY, linewidth=0.8)
    title = f"{kind.replace('_', ' ')}\nfor {PURPOSE[kind]}"
    dress(
        axes, title, xlabel="is looked at", ylabel="looks", xlim=(0, N + S), ylim=(N + S, 0), aspect="equal"
    )
    axes.plot((N, N), (0, N + S), (0, N + S), (N, N), color=INK, linewidth=1.8)
    axes.set_xticks(np.arange(N + S) + 0.5, names, fontsize=8)
    axes.set_yticks(np.arange(N + S) + 0.5, names, fontsize=8)
    axes.tick_params(length=0)


def _mask_alt(kind: str, N: int, S: int) -> str:
    mask = blip2_mask(kind, N, torch.ones(1, S, dtype=torch.bool))[0]
    across = [
        ("queries", "text", mask[:N, N:]),
        ("text", "queries", mask[N:, :N]),
        ("text", "text", mask[N:, N:]),
    ]
    parts = [f"{one} see {int(part.sum())} of {part.numel()} {other} cells" for one, other, part in across]
    return f"{kind.replace('_', ' ')} mask, N = {N}, S = {S}: {', '.join(parts)}."
