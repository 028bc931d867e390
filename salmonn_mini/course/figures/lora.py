"""Figures of chapter 5 that a slider moves: what rank is, how thin LoRA is, what the scale s does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from salmonn_mini.course.diagrams import FROZEN, TRAINED
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import CENTERED, INK, Picture, dress


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


def low_rank(matrix: ArrayLike, r: int) -> Picture:
    """A matrix (m, n) next to the nearest one of rank r, and what share of its sum of squares that one keeps.

    Source: the truncated singular value decomposition is the nearest (Eckart and Young, 1936).
    """
    matrix = np.asarray(matrix, dtype=float)
    U, sizes, V = np.linalg.svd(matrix, full_matrices=False)
    nearest = (U[:, :r] * sizes[:r]) @ V[:r]
    kept = (sizes[:r] ** 2).sum() / max((sizes**2).sum(), 1e-12)
    numbers = r * sum(matrix.shape)
    alt = f"Rank {r} of {len(sizes)}: {numbers:,} numbers for {matrix.size:,} keep {kept:.1%} of the squares."
    look = {"origin": "lower", "cmap": "magma", "vmin": matrix.min(), "vmax": matrix.max()}
    return _images(alt, 2.4, {"the matrix": matrix, f"rank {r}": nearest}, look)


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


def explore_rank(matrix: ArrayLike) -> Explorer:
    """One matrix, for a slider of the rank that it is brought down to."""
    full = min(np.shape(matrix))
    ranks = (*(r for r in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if r < full), full)
    return Explorer(lambda r: low_rank(matrix, r), {"r": ranks}, {"r": 4 if full > 4 else full})


def explore_scale(W: ArrayLike, A: ArrayLike, B: ArrayLike) -> Explorer:
    """One adapted matrix, for a slider of s; 4 is as trained."""
    return Explorer(lambda s: scaled(W, A, B, s), {"s": tuple(np.arange(0, 8.5, 0.5).tolist())}, {"s": 4.0})
