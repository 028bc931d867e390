"""What both encoders share: clips of any length are encoded window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import FRAMES_PER_SECOND, SAMPLE_RATE

SECONDS_AT_ONCE = 240  # of sound in one forward pass: bounds the memory that an hour's recording takes


def encode_in_windows(
    waves: Sequence[Tensor],
    window_seconds: float,
    encode: Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """Encode clips of any length with `encode`, which takes windows of at most `window_seconds`.

    waves: tensors (S,) at 16 kHz. `encode` turns several of them into features (B, T, D) and lengths (B,), and
    gives a window the same features in every batch. A clip's consecutive windows are joined; one with fewer than 50
    frames a second (BEATs: 1,496 in 30 s) is filled up with zeros where another follows, so that frame t stays at
    t · 20 ms in both encoders. Returns features (B, T, D), zero beyond a clip's length, and lengths (B,).

    Raises:
        SalmonnError: no clips, or a clip without samples.
    """
    if not len(waves):
        raise SalmonnError("there are no clips to encode: give a list with at least one")
    for wave in waves:
        if wave.dim() != 1 or not len(wave):
            raise SalmonnError(
                f"a clip of shape {tuple(wave.shape)}: a clip is (samples,) with at least one sample"
            )
    clips = [wave.split(round(window_seconds * SAMPLE_RATE)) for wave in waves]
    windows = [window for clip in clips for window in clip]
    at_once = max(1, int(SECONDS_AT_ONCE / window_seconds))
    encoded: list[Tensor] = []
    for start in range(0, len(windows), at_once):
        features, lengths = encode(windows[start : start + at_once])
        encoded += [row[:length] for row, length in zip(features, lengths.tolist(), strict=True)]
    of_clip = iter(encoded)
    frames = round(window_seconds * FRAMES_PER_SECOND)
    joined = [_join([next(of_clip) for _ in clip], frames) for clip in clips]
    lengths = torch.tensor([len(clip) for clip in joined], device=joined[0].device)
    return pad_sequence(joined, batch_first=True), lengths


def _join(windows: list[Tensor], frames: int) -> Tensor:
    """Windows (T_i, D) one after the other, all but the last filled up to `frames` frames."""
    filled = [F.pad(window, (0, 0, 0, frames - len(window))) for window in windows[:-1]]
    return torch.cat([*filled, windows[-1]])
