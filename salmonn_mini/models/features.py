"""What the frozen ears hear in a batch of clips: computed once, kept, and used again at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Features:
    """Two streams of 50 frames a second, zero beyond each clip's length; a stream is None without its ear."""

    whisper: Tensor | None  # (B, T, D)
    whisper_lengths: Tensor | None  # (B,)
    beats: Tensor | None  # (B, T', D')
    beats_lengths: Tensor | None  # (B,)

    def __len__(self) -> int:
        return len(self.whisper_lengths if self.whisper is not None else self.beats_lengths)

    def to(self, target: torch.device | torch.dtype) -> Features:
        """On another device, or the streams in another floating-point type."""
        move = lambda x: x.to(target) if isinstance(target, torch.device) or x.is_floating_point() else x  # noqa: E731
        values = (getattr(self, field.name) for field in fields(self))
        return Features(*(None if value is None else move(value) for value in values))

    def clips(self) -> list[Features]:
        """Each clip by itself, without padding."""
        return [Features(*self._clip("whisper", i), *self._clip("beats", i)) for i in range(len(self))]

    def _clip(self, name: str, i: int) -> tuple[Tensor | None, Tensor | None]:
        stream, lengths = getattr(self, name), getattr(self, f"{name}_lengths")
        if stream is None:
            return None, None
        return stream[i : i + 1, : int(lengths[i])].clone(), lengths[i : i + 1]

    @staticmethod
    def stack(parts: Sequence[Features]) -> Features:
        """One batch of several, padded to its longest clip."""
        return Features(*_stack(parts, "whisper"), *_stack(parts, "beats"))


def _stack(parts: Sequence[Features], name: str) -> tuple[Tensor | None, Tensor | None]:
    if getattr(parts[0], name) is None:
        return None, None
    clips = [clip for part in parts for clip in getattr(part, name)]
    lengths = torch.cat([getattr(part, f"{name}_lengths") for part in parts])
    return pad_sequence(clips, batch_first=True), lengths


def length_mask(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, T), True at each clip's own frames of x (B, T, D)."""
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]
