"""The order in which clips come, so that a run that was interrupted can go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from salmonn_mini.errors import SalmonnError, counted


@dataclass
class BatchOrder:
    """Which clips make the batch at a position: a function of (seed, position) alone.

    An epoch is a random order of all clips. Of every `GROUP` batches in it, each takes from each task a slice
    of like lengths: little padding, and the mixture of tasks in every batch. What does not fill a batch is
    left out of the epoch.

    With `shares`, an epoch takes from each of the `groups` its share instead. A group's clips take turns, also
    from epoch to epoch: none comes again before all others of its group have come.

    Raises:
        SalmonnError: fewer clips than one batch, or a group with a share and without clips.
    """

    GROUP = 16

    lengths: Sequence[float]
    tasks: Sequence[str]
    batch_size: int
    seed: int
    groups: Sequence[str] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    _epoch: tuple[int, np.ndarray] = field(default=(-1, np.empty(0)), repr=False)

    def __post_init__(self) -> None:
        if len(self.lengths) < self.batch_size:
            raise SalmonnError(
                f"{counted(len(self.lengths), 'clip')} cannot fill a batch of {self.batch_size}; "
                f"set batch_size to {len(self.lengths)} at most, or give more clips"
            )
        for group, share in self.shares.items():
            if share > 0 and group not in self.groups:
                raise SalmonnError(f"no clip of {group} can be used: fix its files, or set its share to 0")
        # Converted once: for each group of batches anew, it would cost the square of the clips.
        self._lengths = np.array(self.lengths)
        self._tasks = np.unique(np.array(self.tasks), return_inverse=True)[1]
        labels = np.array(self.groups)
        self._members = {group: np.flatnonzero(labels == group) for group in self.shares}

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return len(self.lengths) // self.batch_size

    def __getitem__(self, position: int) -> list[int]:
        """The clips' numbers in the batch at `position`, counted from the run's first batch."""
        epoch, place = divmod(position, self.batches)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._deal(epoch))
        return self._epoch[1][place].tolist()

    def _deal(self, epoch: int) -> np.ndarray:
        """The batches of an epoch, (batches, batch_size)."""
        rng = np.random.default_rng((self.seed, 7, epoch))
        clips = self._drawn(epoch) if self.shares else len(self.lengths)
        order = rng.permutation(clips)[: self.batches * self.batch_size]
        size = self.GROUP * self.batch_size
        groups = [self._sort(order[start : start + size]) for start in range(0, len(order), size)]
        return rng.permutation(np.concatenate(groups).reshape(-1, self.batch_size))

    def _drawn(self, epoch: int) -> np.ndarray:
        """The clips of an epoch, as many from each group as its share says."""
        counts = apportion(self.shares, self.batches * self.batch_size)
        drawn = []
        for number, (group, count) in enumerate(counts.items()):
            own = self._members[group]
            turns = np.arange(epoch * count, (epoch + 1) * count)
            for round_ in np.unique(turns // max(1, len(own))):
                order = np.random.default_rng((self.seed, 9, number, round_)).permutation(own)
                drawn.append(order[turns[turns // len(own) == round_] % len(own)])
        return np.concatenate(drawn)

    def _sort(self, group: np.ndarray) -> np.ndarray:
        """By length, each task on a scale of its own from 0 to 1."""
        place = np.empty(len(group))
        tasks, lengths = self._tasks[group], self._lengths[group]
        for task in np.unique(tasks):
            own = np.flatnonzero(tasks == task)
            place[own[np.argsort(lengths[own], kind="stable")]] = (np.arange(len(own)) + 0.5) / len(own)
        return group[np.argsort(place, kind="stable")]


def apportion(shares: Mapping[str, float], n: int) -> dict[str, int]:
    """n in shares: rounded down, what is left goes to the largest remainders."""
    total = sum(shares.values())
    exact = {name: n * weight / total for name, weight in shares.items()}
    counts = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: counts[name] - exact[name])[: n - sum(counts.values())]:
        counts[name] += 1
    return counts
