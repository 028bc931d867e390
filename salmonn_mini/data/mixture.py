"""Several sets of clips as one, and what each takes of an epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from torch import Tensor

from salmonn_mini.data.clips import ClipDataset
from salmonn_mini.data.manifest import BadClip
from salmonn_mini.errors import SalmonnError


class MixtureDataset(ClipDataset):
    """Several sets of clips as one, each group of clips in a share of its own.

    Args:
        parts: by name.
        part_shares, task_shares: what each part, or each task, takes of an epoch; not both. Without any,
            every clip comes once.

    Raises:
        SalmonnError: shares that leave a part or a task out, or name one that is not there.
    """

    def __init__(
        self,
        parts: Mapping[str, ClipDataset],
        part_shares: Mapping[str, float] | None = None,
        task_shares: Mapping[str, float] | None = None,
    ) -> None:
        self.parts = list(parts.values())
        self.starts = list(accumulate(map(len, self.parts), initial=0))
        self.examples = [
            replace(example, group=example.task if task_shares else name)
            for name, part in parts.items()
            for example in part.examples
        ]
        self.shares = dict(task_shares or part_shares or {})
        _check_shares(self.shares, {example.group for example in self.examples})

    def shards(self) -> list[range]:
        """The parts' own shards, one part after the other."""
        return [
            range(start + shard.start, start + shard.stop)
            for start, part in zip(self.starts, self.parts, strict=False)
            for shard in part.shards()
        ]

    def waves(self, shard: range) -> Sequence[Tensor | BadClip]:
        part, own = self._own(shard)
        return part.waves(own)

    def key(self, shard: range) -> bytes:
        part, own = self._own(shard)
        return part.key(own)

    def _own(self, shard: range) -> tuple[ClipDataset, range]:
        """The part that a shard belongs to, and the shard in the part's own numbers."""
        which = bisect_right(self.starts, shard.start) - 1
        start = self.starts[which]
        return self.parts[which], range(shard.start - start, shard.stop - start)


def _check_shares(shares: Mapping[str, float], groups: set[str]) -> None:
    if shares and (left_out := sorted(groups - shares.keys())):
        raise SalmonnError(
            f"the shares name {', '.join(shares)}, but the clips have {', '.join(left_out)} too: "
            f"give each a share; 0 leaves it out"
        )
    if without := sorted(name for name, share in shares.items() if share > 0 and name not in groups):
        raise SalmonnError(f"no clip of {', '.join(without)} is there: take it out of the shares")
