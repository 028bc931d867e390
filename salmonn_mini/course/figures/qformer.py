"""Figures of chapter 4, the Q-Former: who may look at whom, and what queries look at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike

from salmonn_mini import audio
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.figures.encoders import BANDS, PATCH
from salmonn_mini.course.plots import GRAY, INK, SKY, VERMILION, Picture, dress, mel_image, titled
from salmonn_mini.models.config import FRAMES_PER_SECOND
from salmonn_mini.models.qformer import MASKS, blip2_mask

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


def attention_over_sound(weights: Mapping[str, ArrayLike], X: ArrayLike, title: str = "") -> Picture:
    """Draw what each named query looks at, weights (T,) at 50 frames a second, under the log-mel of X (S,)."""
    rows = np.stack([np.asarray(row) for row in weights.values()])
    peaks = (rows.argmax(axis=1) + 0.5) / FRAMES_PER_SECOND
    most = "; ".join(f"{name} most at {peak:.1f} s" for name, peak in zip(weights, peaks, strict=True))
    picture = Picture(titled(title, f"{most}."), height=2.6 + 0.4 * len(rows))
    upper, lower = picture.subplots(2, 1, sharex=True, height_ratios=(2.0, 0.4 * len(rows)))
    mel = audio.log_mel(torch.as_tensor(np.asarray(X))).numpy()
    mel_image(dress(upper, title), mel, mel.shape[1] / 100)
    extent = (0, rows.shape[1] / FRAMES_PER_SECOND, len(rows), 0)
    lower.imshow(rows, aspect="auto", cmap="cividis", extent=extent, interpolation="nearest")
    lower.hlines(range(1, len(rows)), 0, extent[1], color="white", linewidth=2)
    dress(lower, xlabel="seconds", yticks=np.arange(len(rows)) + 0.5, yticklabels=weights)
    return picture


def attention_over_bands(weights: Mapping[str, ArrayLike], X: ArrayLike, title: str = "") -> Picture:
    """Draw what each named query or head looks at, weights (T,) on BEATs' tokens, as moments × bands over X (S,)."""
    maps = {name: np.asarray(row).reshape(-1, BANDS).T for name, row in weights.items()}  # (bands, moments)
    places = {name: np.unravel_index(one.argmax(), one.shape) for name, one in maps.items()}
    most = "; ".join(
        f"{name} most at {(moment + 0.5) * PATCH / 100:.1f} s in band {band}"
        for name, (band, moment) in places.items()
    )
    picture = Picture(titled(title, f"{most}."), height=1.8 + 0.8 * len(maps))
    upper, *others = picture.subplots(1 + len(maps), 1, sharex=True, height_ratios=(1.6, *[0.8] * len(maps)))
    moments = next(iter(maps.values())).shape[1]
    bank = audio.fbank(torch.as_tensor(np.asarray(X)).double()).numpy()[: PATCH * moments]
    extent = (0, PATCH * moments / 100, 0, BANDS)
    upper.imshow(bank.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    dress(upper, title)
    for axes, (name, one) in zip(others, maps.items(), strict=True):
        look = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
        axes.imshow(one, cmap="cividis", extent=extent, **look)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    for axes in (upper, *others):
        axes.set_yticks((0.5, BANDS - 0.5), ("low", "high"), fontsize=8)
    others[-1].set_xlabel("seconds")
    return picture


def on_all_frames(weights: ArrayLike, T: int) -> np.ndarray:
    """Weights (W, L) of windows on their own frames → (W, T), each row zero outside its window."""
    weights = np.asarray(weights)
    W, L = weights.shape
    rows = np.zeros((W, W * L))
    for window in range(W):
        rows[window, window * L : (window + 1) * L] = weights[window]
    return rows[:, :T]


def _mask_panel(axes: Axes, kind: str, N: int, S: int) -> None:
    mask = blip2_mask(kind, N, torch.ones(1, S, dtype=torch.bool))[0].numpy()
    names = [f"q{n + 1}" for n in range(N)] + [f"w{s + 1}" for s in range(S)]
    cells = np.where(np.arange(N + S)[:, None] < N, to_rgb(SKY), to_rgb(VERMILION))  # a color a key
    axes.pcolormesh(np.where(mask[..., None], cells, 1.0), edgecolors=GRAY, linewidth=0.8)
    title = f"{kind.replace('_', ' ')}\nfor {PURPOSE[kind]}"
    dress(axes, title, xlabel="key", ylabel="query", xlim=(0, N + S), ylim=(N + S, 0), aspect="equal")
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
