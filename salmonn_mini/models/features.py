"""The frozen encoders' features of a batch of clips: computed once, cached, and used again at every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import FRAMES_PER_SECOND, SAMPLE_RATE

SECONDS_AT_ONCE = 240  # of sound in one forward pass: bounds the memory that an hour's recording takes


@dataclass(frozen=True)
class Features:
    """Two streams of 50 frames a second, zero beyond each clip's length; a stream is None without its encoder."""

    whisper: Tensor | None = None  # (B, T, D)
    whisper_lengths: Tensor | None = None  # (B,)
    beats: Tensor | None = None  # (B, T', D')
    beats_lengths: Tensor | None = None  # (B,)

    def __len__(self) -> int:
        return len(next(iter(self.streams().values()))[1])

    def streams(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Each encoder's frames and lengths, by its name."""
        pairs = {"whisper": (self.whisper, self.whisper_lengths), "beats": (self.beats, self.beats_lengths)}
        return {name: (x, n) for name, (x, n) in pairs.items() if x is not None and n is not None}

    @property
    def lengths(self) -> Tensor:
        """(B,), of each clip's longer stream."""
        return torch.stack([own for _, own in self.streams().values()]).amax(0)

    def to(self, *args: Any, **kwargs: Any) -> Features:
        """Moved and converted as by `Tensor.to`; the lengths move along and stay integers."""
        moved = {name: (x.to(*args, **kwargs), n) for name, (x, n) in self.streams().items()}
        return _features({name: (x, n.to(x.device)) for name, (x, n) in moved.items()})

    def clips(self) -> list[Features]:
        """Each clip by itself, without padding."""
        streams = self.streams().items()
        return [
            _features({name: (x[i : i + 1, : int(n[i])].clone(), n[i : i + 1]) for name, (x, n) in streams})
            for i in range(len(self))
        ]

    @staticmethod
    def stack(parts: Sequence[Features]) -> Features:
        """One batch of several, padded to its longest clip."""
        joined = {}
        for name in parts[0].streams():
            frames, lengths = zip(*(part.streams()[name] for part in parts), strict=True)
            clips = [clip for batch in frames for clip in batch]
            joined[name] = pad_sequence(clips, batch_first=True), torch.cat(lengths)
        return _features(joined)


def _features(streams: Mapping[str, tuple[Tensor, Tensor]]) -> Features:
    frames = {name: frames for name, (frames, _) in streams.items()}
    return Features(**frames, **{f"{name}_lengths": lengths for name, (_, lengths) in streams.items()})


def length_mask(lengths: Tensor, T: int) -> Tensor:
    """(B,) → (B, T), True at each clip's own frames."""
    return torch.arange(T, device=lengths.device) < lengths[:, None]


class LayerNorm(nn.LayerNorm):
    """Of every trained part: computes in float32 what comes in float16 or bfloat16, and returns its weights' type.

    x (…, D) may be of another floating-point type than the weights, as cached features are.
    """

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        weight, bias = self.weight.to(wide), self.bias.to(wide)
        return F.layer_norm(x.to(wide), self.normalized_shape, weight, bias, self.eps).to(self.weight.dtype)


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

    Raises SalmonnError where there are no clips, or one without samples.
    """
    if not len(waves):
        raise SalmonnError("there are no clips to encode: give a list with at least one")
    for wave in waves:
        if wave.dim() != 1 or not len(wave):
            shape = tuple(wave.shape)
            raise SalmonnError(f"a clip of shape {shape}: a clip is (samples,) with at least one sample")
    clips = [wave.split(round(window_seconds * SAMPLE_RATE)) for wave in waves]
    windows = [window for clip in clips for window in clip]
    at_once = max(1, int(SECONDS_AT_ONCE / window_seconds))
    encoded: list[Tensor] = []
    for start in range(0, len(windows), at_once):
        features, lengths = encode(windows[start : start + at_once])
        encoded += [row[:length] for row, length in zip(features, lengths.tolist(), strict=True)]
    rows, frames, joined = iter(encoded), round(window_seconds * FRAMES_PER_SECOND), []
    for clip in clips:
        *filled, last = (next(rows) for _ in clip)
        joined.append(torch.cat([*(F.pad(row, (0, 0, 0, frames - len(row))) for row in filled), last]))
    lengths = torch.tensor([len(clip) for clip in joined], device=joined[0].device)
    return pad_sequence(joined, batch_first=True), lengths
