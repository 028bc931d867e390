"""Figures of chapter 5: how x flows through LoRA, what rank is, how thin LoRA is, what the scale s does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Polygon, Rectangle
from numpy.typing import ArrayLike

from salmonn_mini.course.diagrams import FROZEN, TRAINED
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import CENTERED, INK, SKY, Picture, dress

FLOW = (
    "A linear layer with LoRA. The input x, d_in numbers, goes two ways. Above, through the frozen matrix W, to W x. "
    "Below, through the trained A down to r numbers, through the trained B up to d_out numbers, and times s. The sum "
    "of both is y, d_out numbers."
)
ARROW = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}


def flow() -> Picture:
    """A linear layer with LoRA: x → W; x → A → B → · s; and their sum."""
    picture = Picture(FLOW, height=3.4)
    axes = picture.panel(xlim=(0, 100), ylim=(0, 42), aspect="equal")
    axes.axis("off")
    for x, low, high, text in (
        (4, 10, 30, "$x$\n$d_{in}$ numbers"),
        (44, 6, 12, "$A\\,x$\n$r$ numbers"),
        (94, 10, 30, "$y$\n$d_{out}$ numbers"),
    ):
        axes.add_patch(Rectangle((x, low), 2, high - low, facecolor=SKY, edgecolor=INK, linewidth=0.8))
        axes.text(x + 1, low - 3.5, text, fontsize=10, **CENTERED)
    _matrix(axes, ((24, 24), (24, 40), (66, 40), (66, 24)), FROZEN, "$W$\nfrozen")
    _matrix(axes, ((24, 1), (24, 17), (38, 12), (38, 6)), TRAINED, "$A$\ntrained")
    _matrix(axes, ((52, 6), (52, 12), (66, 17), (66, 1)), TRAINED, "$B$\ntrained")
    for x, y, sign in ((75, 9, "$\\cdot\\,s$"), (84, 20, "$+$")):
        axes.add_patch(Circle((x, y), 3.2, facecolor="white", edgecolor=INK, linewidth=1.1))
        axes.text(x, y, sign, fontsize=13, **CENTERED)
    for start, end in (
        ((6, 22), (24, 32)),
        ((6, 18), (24, 9)),
        ((38, 9), (44, 9)),
        ((46, 9), (52, 9)),
        ((66, 9), (71.8, 9)),
        ((77.3, 11.3), (81.7, 17.7)),
        ((66, 32), (81.5, 22.2)),
        ((87.2, 20), (94, 20)),
    ):
        axes.annotate("", end, start, arrowprops=ARROW)
    axes.text(76, 30.5, "$W x$", fontsize=11, **CENTERED)
    axes.text(86, 11.5, "$s\\cdot B A\\,x$", fontsize=11, **CENTERED)
    return picture


def _matrix(axes: Axes, corners: Sequence[tuple[float, float]], look: Mapping[str, Any], text: str) -> None:
    axes.add_patch(Polygon(corners, **look))
    x, y = np.mean(corners, axis=0)
    axes.text(x, y, text, fontsize=11, **CENTERED)


def lora_size(d: int, r: int) -> Picture:
    """A frozen matrix W (d, d) next to B (d, r) and A (r, d), drawn to scale, and how many numbers each holds."""
    whole, ours = d * d, 2 * d * r
    alt = f"d = {d:,}, r = {r}: W holds {whole:,} numbers, A and B {ours:,}, or {ours / whole:.2%} of it."
    picture = Picture(alt, height=2.8)
    axes = picture.panel(alt, xlim=(-0.3, 31), ylim=(-1.8, 10.3), aspect="equal")
    axes.axis("off")
    width = 10 * r / d
    right = 15.6 + width
    for x, y, size, look in (
        (0, 0, (10, 10), FROZEN),
        (13.2, 0, (width, 10), TRAINED),
        (right, 10 - width, (10, width), TRAINED),
    ):
        axes.add_patch(Rectangle((x, y), *size, **look | {"linewidth": 1.0}))
    for x, y, text in (
        (5, 5, f"$W$\n{d:,} × {d:,}\nfrozen"),
        (11.5, 5, "$+\\ s\\ \\cdot$"),
        (13.2 + width / 2, -1.1, f"$B$   {d:,} × {r}"),
        (14.4 + width, 5, "$\\cdot$"),
        (right + 5, 9 - width, f"$A$   {r} × {d:,}"),
    ):
        axes.text(x, y, text, fontsize=11, color=INK, **CENTERED)
    return picture


Word = tuple[str, float, float]
"""A word, and the columns of the spectrogram in which it begins and ends."""


def low_rank(matrix: ArrayLike, r: int, words: Sequence[Word] = ()) -> Picture:
    """A matrix (m, n) next to the nearest one of rank r, and what share of its sum of squares that one keeps.

    The words of a spectrogram are marked in both.

    Source: the truncated singular value decomposition is the nearest (Eckart and Young, 1936).
    """
    matrix = np.asarray(matrix, dtype=float)
    U, sizes, V = np.linalg.svd(matrix, full_matrices=False)
    nearest = (U[:, :r] * sizes[:r]) @ V[:r]
    kept = (sizes[:r] ** 2).sum() / max((sizes**2).sum(), 1e-12)
    numbers = r * sum(matrix.shape)
    alt = f"Rank {r} of {len(sizes)}: {numbers:,} numbers for {matrix.size:,} keep {kept:.1%} of the squares."
    look = {"origin": "lower", "cmap": "magma", "vmin": matrix.min(), "vmax": matrix.max()}
    said = f" The words, from left to right: {' '.join(word for word, _, _ in words)}." if words else ""
    picture = _images(alt, 2.6, {"the matrix": matrix, f"rank {r}": nearest}, look)
    picture.alt += said
    for axes in picture.axes:
        _mark_words(axes, words)
    return picture


def _mark_words(axes: Axes, words: Sequence[Word]) -> None:
    """A line where each word begins and where it ends, and the word below."""
    for word, begin, end in words:
        for edge in (begin, end):
            axes.axvline(edge, color="white", linewidth=0.7, linestyle=":")
        axes.text(
            (begin + end) / 2,
            -0.03,
            word,
            transform=axes.get_xaxis_transform(),
            fontsize=8,
            ha="center",
            va="top",
        )


def scaled(W: ArrayLike, A: ArrayLike, B: ArrayLike, s: float) -> Picture:
    """W (d_out, d_in), s·BA and their sum as colors, on one scale; A (r, d_in), B (d_out, r)."""
    W, change = np.asarray(W, dtype=float), s * np.asarray(B, dtype=float) @ np.asarray(A, dtype=float)
    drift = np.linalg.norm(change) / np.linalg.norm(W)
    alt = f"s = {s:g}: the change s·BA is {drift:.2f} times as large as W."
    limit = 3.5 * W.std()
    look = {"cmap": "PuOr_r", "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
    return _images(alt, 2.0, {"$W$": W, "$s\\cdot BA$": change, "$W+s\\cdot BA$": W + change}, look)


def _images(alt: str, height: float, matrices: Mapping[str, np.ndarray], look: Mapping[str, Any]) -> Picture:
    """Matrices as colors, side by side, under their names."""
    picture = Picture(alt, height=height)
    picture.headline(alt)
    for axes, (name, values) in zip(picture.subplots(1, len(matrices)), matrices.items(), strict=True):
        axes.imshow(values, aspect="auto", **look)
        dress(axes, name, xticks=[], yticks=[])
    return picture


LORA_SIZE = Explorer(
    lora_size, {"d": (192, 512, 1024, 4096, 5120), "r": (1, 2, 4, 8, 16, 32, 64)}, {"d": 5120, "r": 8}
)


def explore_rank(matrix: ArrayLike, words: Sequence[Word] = ()) -> Explorer:
    """One matrix, for a slider of the rank that it is brought down to."""
    full = min(np.shape(matrix))
    ranks = (*(r for r in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if r < full), full)
    return Explorer(lambda r: low_rank(matrix, r, words), {"r": ranks}, {"r": 4 if full > 4 else full})


def explore_scale(W: ArrayLike, A: ArrayLike, B: ArrayLike) -> Explorer:
    """One adapted matrix, for a slider of s; 4 is as trained."""
    return Explorer(lambda s: scaled(W, A, B, s), {"s": tuple(np.arange(0, 8.5, 0.5).tolist())}, {"s": 4.0})
