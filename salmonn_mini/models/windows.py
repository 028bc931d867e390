"""Z → Z_1 … Z_⌈T/L⌉: the features of a clip cut into windows of L frames (paper, section 3.1).

T = 10 frames, windows of L = 3:

>>> Z = torch.arange(1.0, 11.0).view(1, 10, 1)  # z1 … z10, each of width 1
>>> windows, mask = split(Z, 3)
>>> windows[0, :, :, 0].int().tolist()
[[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 0, 0]]
>>> mask[0, -1].tolist()  # the tail is filled with zeros
[True, False, False]
>>> n_windows(10, 3)  # ⌈10 / 3⌉
4
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import FRAMES_PER_SECOND, TAILS

Count = TypeVar("Count", int, Tensor)


def window_frames(seconds: float) -> int:
    """L, the frames in a window: 17 for 0.333333 s, 12 for 0.25 s (half goes to even), as published.

    Raises:
        SalmonnError: a window shorter than half a frame.
    """
    if L := round(30 * FRAMES_PER_SECOND * seconds / 30):  # counted out of Whisper's 30 s, as published
        return L
    frame = 1 / FRAMES_PER_SECOND
    raise SalmonnError(f"a window of {seconds} s holds no frame of {frame} s: take at least {frame} s")


def n_windows(T: Count, L: int, stride: int | None = None, tail: str = "pad") -> Count:
    """The number of windows in T frames, an integer or a tensor of lengths.

    Windows begin `stride` frames apart (None: L, they touch). "pad" covers every frame that a window can reach,
    with at least one window: ⌈T / L⌉ when they touch (paper, section 3.1). "drop" takes full windows only:
    ⌊(T − L) / stride⌋ + 1, which may be 0 (published code).
    """
    if tail not in TAILS:
        raise SalmonnError(f"tail is {tail!r}, but it must be one of {', '.join(TAILS)}: choose one")
    stride, least = stride or L, int(tail == "pad")
    count = (T - L) // stride + 1 if tail == "drop" else -((max(L - stride, 0) - T) // stride)
    return count.clamp(min=least) if isinstance(count, Tensor) else max(count, least)


def split(
    Z: Tensor, L: int, lengths: Tensor | None = None, stride: int | None = None, tail: str = "pad"
) -> tuple[Tensor, Tensor]:
    """Cut each clip of a batch into windows, as if it were alone.

    Z (B, T, D) and each clip's own frames, lengths (B,), or None for T; L, stride and tail as in `n_windows`.
    Returns windows (B, W, L, D), views of Z where nothing is filled with zeros, and a mask (B, W, L), True at a
    clip's own frames: nowhere in a window that the clip does not have.
    """
    T, stride = Z.shape[1], stride or L
    lengths = torch.full((Z.shape[0],), T, device=Z.device) if lengths is None else lengths
    counts = n_windows(lengths, L, stride, tail)
    W = int(counts.max())
    window = torch.arange(W, device=Z.device)[:, None]
    frame = window * stride + torch.arange(L, device=Z.device)  # (W, L), its number within the clip
    real = frame < lengths[:, None, None]
    counted = window < counts[:, None, None]
    if W == 0:
        return Z.new_zeros(*real.shape, Z.shape[2]), real
    reach = (W - 1) * stride + L
    Z = Z[:, :reach] if reach <= T else F.pad(Z, (0, 0, 0, reach - T))
    windows = Z.unflatten(1, (W, L)) if stride == L else Z.unfold(1, L, stride).transpose(2, 3)
    if not real.all():  # a copy of everything, which full windows need not
        windows = windows.masked_fill(~real[..., None], 0)
    return windows, real & counted
