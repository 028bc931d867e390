"""Figures of chapter 2, the encoders: what one frame of each depends on, and which frames attend to which.

`cut_patches`, `position_bias`, `ridge` and `fuse` are what the chapter's core exercises ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini import audio
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import (
    BLUE,
    CENTERED,
    GRAY,
    GREEN,
    INK,
    SKY,
    SPECTRAL,
    VERMILION,
    Picture,
    dress,
    kaldi_mel,
    titled,
)
from salmonn_mini.course.word_times import mark_words, of_words
from salmonn_mini.models.config import BEATS_MELS, CONV_STRIDE, FRAMES_PER_SECOND, SAMPLE_RATE
from salmonn_mini.models.encoders.beats import relative_buckets
from salmonn_mini.models.features import length_mask
from salmonn_mini.toy.world.voice import Word

PATCH = 16  # frames of 10 ms, and mel bins, on each side of a patch of BEATs
BANDS = BEATS_MELS // PATCH
KERNEL = 3  # taps of Whisper's two convolutions
NUMBERED = 24  # moments whose patches have room for their numbers
BUCKETS, FARTHEST = 320, 800  # of BEATs' relative position bias, as published


# --- what the core exercises ask for ---------------------------------------------------------------------------------


def cut_patches(bank: Tensor) -> Tensor:
    """A filter bank (F, 128) → patches (T, 256), T = 8 (F // 16): by time, at one time from low to high."""
    moments = len(bank) // PATCH
    grid = bank[: PATCH * moments].view(moments, PATCH, BANDS, PATCH)
    return grid.transpose(1, 2).reshape(BANDS * moments, PATCH * PATCH)


def position_bias(table: Tensor, T: int) -> Tensor:
    """A table (320, heads) → the bias (heads, T, T) of key j for query i, which depends on j - i alone."""
    place = torch.arange(T)
    return table[relative_buckets(place - place[:, None], BUCKETS, FARTHEST)].permute(2, 0, 1)


def ridge(A: Tensor, Y: Tensor, penalty: float) -> Tensor:
    """The W (D, C) of least |AW - Y|² + penalty |W|², for A (n, D) and Y (n, C): AᵀA W + penalty W = AᵀY."""
    return torch.linalg.solve(A.T @ A + penalty * torch.eye(A.shape[1], dtype=A.dtype), A.T @ Y)


def fuse(
    speech: Tensor,
    speech_lengths: Tensor,
    audio: Tensor,
    audio_lengths: Tensor,
    ln_speech: nn.Module,
    ln_audio: nn.Module,
) -> tuple[Tensor, Tensor]:
    """Streams (B, T, D) and (B, T', D') → Z (B, max, D + D'), zero beyond each own length, and its mask (B, max)."""
    T = max(speech.shape[1], audio.shape[1])
    own = [length_mask(lengths, T) for lengths in (speech_lengths, audio_lengths)]
    normed = ln_speech(speech), ln_audio(audio)
    padded = [
        F.pad(x, (0, 0, 0, T - x.shape[1])) * mask[..., None] for x, mask in zip(normed, own, strict=True)
    ]
    return torch.cat(padded, dim=2), own[0] | own[1]


# --- what a frame or a token depends on ------------------------------------------------------------------------------


def receptive_field(frame: int, frames: int = 12) -> Picture:
    """Draw which mel frames reach one of Whisper's frames through its two convolutions."""
    middle = _inputs([frame], CONV_STRIDE, CONV_STRIDE * frames)
    below = _inputs(middle, 1, CONV_STRIDE * frames)
    hops, window = 1000 * (len(below) - 1) // 100, 1000 * audio.WINDOW // SAMPLE_RATE
    alt = (
        f"Frame {frame} of Whisper sees mel frames {below[0]} to {below[-1]}: "
        f"{len(below)} frames, {hops + window} ms."
    )
    picture = Picture(alt, height=2.6)
    axes = picture.panel(alt, xlim=(-0.05, CONV_STRIDE * frames + 0.05), ylim=(-0.1, 5.2))
    axes.axis("off")
    rows = (
        (4.0, 1, 2 * frames, below, SKY, "mel, 100 Hz"),
        (2.0, 1, 2 * frames, middle, GREEN, "conv 1, 100 Hz"),
        (0.0, CONV_STRIDE, frames, [frame], VERMILION, "conv 2, 50 Hz"),
    )
    for y, width, count, marked, color, name in rows:
        for i in range(count):
            look = {"facecolor": color} if i in marked else {"facecolor": "white"}
            axes.add_patch(Rectangle((i * width, y), width, 0.9, edgecolor=GRAY, linewidth=0.8, **look))
            axes.text((i + 0.5) * width, y + 0.42, str(i), fontsize=8, **CENTERED)
        axes.text(-0.3, y + 0.45, name, ha="right", va="center", fontsize=9)
    for places, y, stride in ((middle, 2.9, 1), ([frame], 0.9, CONV_STRIDE)):
        for j in places:
            for i in _inputs([j], stride, CONV_STRIDE * frames):
                axes.plot((i + 0.5, (j + 0.5) * stride), (y + 1.1, y), color=INK, linewidth=0.6)
    return picture


RECEPTIVE_FIELD = Explorer(receptive_field, {"frame": range(12)}, {"frame": 5})


def patches(
    X: ArrayLike,
    token: int | None = None,
    words: Sequence[Word] = (),
    labels: ArrayLike | None = None,
    hidden: ArrayLike | None = None,
) -> Picture:
    """Draw BEATs' patches over its filter bank of X (S,), each with its token's number, and mark one.

    With `labels` (T,) each patch bears its label instead; those that are `hidden` (T,) are gray.

    Raises:
        ValueError: there is no such token.
    """
    fbank = audio.fbank(torch.as_tensor(np.asarray(X)).double()).numpy()
    moments = len(fbank) // PATCH
    tokens, seconds = BANDS * moments, PATCH / 100
    if token is not None and not 0 <= token < tokens:
        raise ValueError(f"token {token} of {tokens}")
    numbers = np.arange(tokens) if labels is None else np.asarray(labels)
    covered = np.zeros(tokens, dtype=bool) if hidden is None else np.asarray(hidden)
    parts = [f"{moments} moments × {BANDS} bands = {tokens} tokens"]
    if token is not None:
        parts.append(_place_of(token))
    if labels is not None:
        parts.append(f"{len(set(numbers.tolist()))} different labels, {covered.sum()} patches hidden")
    picture = Picture(f"{'; '.join(parts)}.{of_words(words)}", width=8.5, height=3.4)
    bands = {"yticks": np.arange(BANDS) + 0.5, "yticklabels": range(BANDS)}
    axes = picture.panel(f"{'; '.join(parts)}.", xlabel="seconds", ylabel="band", **bands)
    extent = (0.0, len(fbank) / 100, 0.0, BANDS)
    look = {"cmap": SPECTRAL, "alpha": 0.75, "vmin": np.quantile(fbank, 0.02)}
    axes.imshow(fbank.T, origin="lower", aspect="auto", extent=extent, **look)
    for n in range(tokens):
        x, y = n // BANDS * seconds, n % BANDS
        gray = {"facecolor": "#D9D9D9"} if covered[n] else {"fill": False}
        axes.add_patch(Rectangle((x, y), seconds, 1, edgecolor="white", linewidth=0.8, **gray))
        if moments <= NUMBERED:
            axes.text(x + seconds / 2, y + 0.5, str(numbers[n]), **_label(7))
    if token is not None:
        corner = (token // BANDS * seconds, token % BANDS)
        axes.add_patch(Rectangle(corner, seconds, 1, fill=False, edgecolor=SKY, linewidth=3))
    axes.set(xlim=extent[:2], ylim=extent[2:])
    mark_words(axes, words)
    return picture


def _place_of(token: int) -> str:
    moment, band = divmod(token, BANDS)
    low, high = (round(_band_edge(edge)) for edge in (band, band + 1))
    at = moment * PATCH / 100
    return (
        f"token {token} is moment {moment} ({at:.2f} to {at + PATCH / 100:.2f} s), "
        f"band {band} ({low:,} to {high:,} Hz)"
    )


def explore_patches(X: ArrayLike, words: Sequence[Word] = ()) -> Explorer:
    """The patches of one clip, for a slider of the token."""
    frames = 1 + (len(np.asarray(X)) - audio.WINDOW) // (SAMPLE_RATE // 100)
    return Explorer(lambda token: patches(X, token, words), {"token": range(BANDS * (frames // PATCH))})


def attention_maps(maps: Mapping[str, ArrayLike], title: str = "", words: Sequence[Word] = ()) -> Picture:
    """Draw attention weights (T, T) of frames on frames, 50 a second, side by side under their names.

    The words are marked on both axes.

    Raises:
        ValueError: a map that is not square.
    """
    arrays = {name: np.asarray(weights) for name, weights in maps.items()}
    distances = []
    for name, weights in arrays.items():
        if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
            raise ValueError(f"{name} is {weights.shape}, but it must be (T, T)")
        distances.append(f"{name} looks {attention_distance(weights):.2f} s away on average")
    picture = Picture(
        titled(title, f"{'; '.join(distances)}.{of_words(words)}"), width=0.6 + 3.6 * len(arrays), height=4.1
    )
    row = picture.subplots(1, len(arrays), squeeze=False)[0]
    for axes, (name, weights) in zip(row, arrays.items(), strict=True):
        seconds = len(weights) / FRAMES_PER_SECOND
        # The square root: a few large weights would leave all others black.
        look = {"cmap": SPECTRAL, "interpolation": "nearest", "aspect": "auto"}
        axes.imshow(weights**0.5, extent=(0, seconds, seconds, 0), **look)
        dress(axes, name, xlabel="key (seconds)")
        mark_words(axes, words, 6.0)
        for edge in sorted({edge for word in words for edge in (word.begin, word.end)}):
            axes.axhline(edge, color="white", linewidth=0.6, linestyle=(0, (3, 3)))
    row[0].set_ylabel("query (seconds)")
    return picture


def attention_distance(weights: ArrayLike) -> float:
    """How far away frames look on average, in seconds: weights (T, T), whose rows sum to 1."""
    weights = np.asarray(weights)
    place = np.arange(len(weights))
    distance = np.abs(place[:, None] - place)
    return float((weights * distance).sum(1).mean() / FRAMES_PER_SECOND)


def gated_bias(bias: ArrayLike, gate: ArrayLike) -> Picture:
    """Draw one head's relative position bias (T, T), the gates of its T queries, and their product.

    Raises:
        ValueError: they do not belong together.
    """
    bias, gate = np.asarray(bias), np.asarray(gate)
    if bias.shape != (len(gate), len(gate)):
        raise ValueError(f"a bias of {bias.shape} with {len(gate)} gates: it must be (T, T) with T gates")
    alt = (
        f"Relative position bias of {len(gate)} tokens from {bias.min():.2f} to {bias.max():.2f}, the same along "
        f"each diagonal; gates from {gate.min():.2f} to {gate.max():.2f}, one a row; and their product."
    )
    picture = Picture(alt, width=10.0, height=3.7)
    left, middle, right = picture.subplots(1, 3, gridspec_kw={"width_ratios": (5, 1.6, 5)})
    most = np.abs(bias * gate[:, None]).max()
    for axes, values, name in (
        (left, bias, "bias(j − i)"),
        (right, gate[:, None] * bias, "gate · bias"),
    ):
        image = axes.imshow(values, cmap="PuOr", vmin=-most, vmax=most, interpolation="nearest")
        dress(axes, name, xlabel="key j")
    left.set_ylabel("query i")
    middle.plot(gate, np.arange(len(gate)), color=BLUE, linewidth=1.2)
    dress(middle, "gate of query i", ylim=(len(gate) - 0.5, -0.5))
    picture.colorbar(image, ax=right, label="added to the score")
    return picture


def streams(
    Z: ArrayLike, own: Mapping[str, tuple[int, int]], words: Sequence[Word] = (), first: int = 0
) -> Picture:
    """Draw Z (T, D) from frame `first` on, time across, one stream above the other.

    `own` gives each stream's width and its frames; the zeros beyond them are hatched.
    """
    Z = np.asarray(Z)
    begin, end = first / FRAMES_PER_SECOND, len(Z) / FRAMES_PER_SECOND
    words = [word for word in words if word.begin >= begin]
    parts = [f"{name}: {width} numbers, {frames} frames" for name, (width, frames) in own.items()]
    said = f"Z of {Z.shape[0]} frames and {Z.shape[1]} numbers each, from {begin:.2f} s on."
    picture = Picture(f"{said} {'; '.join(parts)}.{of_words(words)}", width=8.0, height=4.0)
    axes = picture.panel("Z", xlabel="seconds, 50 frames each", ylabel="number")
    look = {"cmap": "PuOr", "vmin": -3, "vmax": 3, "interpolation": "nearest", "aspect": "auto"}
    image = axes.imshow(Z[first:].T, extent=(begin, end, Z.shape[1], 0), **look)
    picture.colorbar(image, ax=axes, label="value", pad=0.01)
    top = 0
    for name, (width, frames) in own.items():
        rest = {"fill": False, "hatch": "////", "edgecolor": INK, "linewidth": 0.0}
        last = frames / FRAMES_PER_SECOND
        axes.add_patch(Rectangle((last, top), end - last, width, **rest))
        axes.text(begin + 0.01 * (end - begin), top + width / 2, name, **_label(11))
        top += width
        axes.axhline(top, color=INK, linewidth=1)
    mark_words(axes, words)
    return picture


def _inputs(places: list[int], stride: int, count: int) -> list[int]:
    """The places that a convolution's outputs depend on; beyond the ends are zeros."""
    reached = {stride * place + tap - KERNEL // 2 for place in places for tap in range(KERNEL)}
    return sorted(place for place in reached if 0 <= place < count)


def _band_edge(band: int) -> float:
    """The lower edge of a band of BEATs in Hz: 128 triangles between 20 and 8,000 Hz on Kaldi's mel scale."""
    low, high = kaldi_mel(20.0), kaldi_mel(8000.0)
    mel = low + (high - low) * (band * PATCH + 0.5) / (BEATS_MELS + 1)
    return 700 * np.expm1(mel / 1127)


def _label(size: int) -> dict:
    """Text that can be read on light and dark."""
    from matplotlib import patheffects

    outline = [patheffects.withStroke(linewidth=1.5, foreground="white")]
    return {"ha": "left" if size > 9 else "center", "va": "center", "fontsize": size, "path_effects": outline}
