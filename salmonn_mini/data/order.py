"""The order in which clips come, so that a run that was interrupted can go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from salmonn_mini.errors import SalmonnError


@dataclass
class BatchOrder:
    """Which clips make the batch at a position: a function of (seed, position) alone.

    An epoch is a random order of all clips. Of every `GROUP` batches in it, each takes from each task a slice
    of like lengths: little padding, and the mixture of tasks in every batch. What does not fill a batch is
    left out of the epoch.

    Raises:
        SalmonnError: fewer clips than one batch.
    """

    GROUP = 16

    lengths: Sequence[float]
    tasks: Sequence[str]
    batch_size: int
    seed: int
    _epoch: tuple[int, np.ndarray] = field(default=(-1, np.empty(0)), repr=False)

    def __post_init__(self) -> None:
        if len(self.lengths) < self.batch_size:
            raise SalmonnError(
                f"{len(self.lengths)} clips cannot fill a batch of {self.batch_size}; "
                f"set batch_size to {len(self.lengths)} at most, or give more clips"
            )

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return len(self.lengths) // self.batch_size

    def __getitem__(self, position: int) -> list[int]:
        """The clips' numbers in the batch at `position`, counted from the run's first batch."""
        epoch, place = divmod(position, self.batches)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._deal(np.random.default_rng((self.seed, 7, epoch))))
        return self._epoch[1][place].tolist()

    def _deal(self, rng: np.random.Generator) -> np.ndarray:
        """The batches of an epoch, (batches, batch_size)."""
        order = rng.permutation(len(self.lengths))[: self.batches * self.batch_size]
        size = self.GROUP * self.batch_size
        groups = [self._sort(order[start : start + size]) for start in range(0, len(order), size)]
        return rng.permutation(np.concatenate(groups).reshape(-1, self.batch_size))

    def _sort(self, group: np.ndarray) -> np.ndarray:
        """By length, each task on a scale of its own from 0 to 1."""
        place = np.empty(len(group))
        tasks, lengths = np.array(self.tasks)[group], np.array(self.lengths)[group]
        for task in np.unique(tasks):
            own = np.flatnonzero(tasks == task)
            place[own[np.argsort(lengths[own], kind="stable")]] = (np.arange(len(own)) + 0.5) / len(own)
        return group[np.argsort(place, kind="stable")]
