"""The frozen encoders' features of a batch of clips: computed once, cached, and used again at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


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

        def join(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
            clips = [clip for frames, _ in pairs for clip in frames]
            return pad_sequence(clips, batch_first=True), torch.cat([lengths for _, lengths in pairs])

        return _features(
            {name: join([part.streams()[name] for part in parts]) for name in parts[0].streams()}
        )


def _features(streams: Mapping[str, tuple[Tensor, Tensor]]) -> Features:
    named = {name: frames for name, (frames, _) in streams.items()}
    return Features(**named, **{f"{name}_lengths": lengths for name, (_, lengths) in streams.items()})


def length_mask(lengths: Tensor, T: int) -> Tensor:
    """(B,) → (B, T), True at each clip's own frames."""
    return torch.arange(T, device=lengths.device) < lengths[:, None]
