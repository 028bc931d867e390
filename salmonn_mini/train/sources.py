"""Where a step's clips come from: features kept in memory, or sound that streams by and is heard at each step.

Either way one process's clips of a step are a function of (seed, step, process): how fast they were read, by how many
workers, and whether the run was stopped in between, changes nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from accelerate import Accelerator
from torch import Tensor

from salmonn_mini.data import BadClip, BatchOrder, ClipDataset, Example, TarStream, map_in_order, prefetch
from salmonn_mini.data.stream import Packed, unpack
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SalmonnConfig
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.train.feature_cache import encode_usable
from salmonn_mini.train.recipe import Recipe

CHUNK = 16  # batches that are read ahead together, and sorted by length
SEEN = 100  # clips before the share of bad ones is judged


class Item(NamedTuple):
    """A clip of a step: what is asked, and its features or its sound X (S,)."""

    example: Example
    encoded: Features | Tensor


@dataclass(frozen=True)
class StreamingDataset:
    """Packed folders with their shares of the samples, to be read as streams."""

    shares: Mapping[str, float]
    config: SalmonnConfig
    seed: int
    prompts: Mapping[str, Sequence[str]] | None = None


class CachedSource:
    """All clips' features, heard before the first step."""

    def __init__(
        self, model: Salmonn, clips: ClipDataset, recipe: Recipe, accelerator: Accelerator, folder: Path
    ) -> None:
        self.accelerator = accelerator
        self.examples, self.encoded = encode_usable(model, clips, accelerator, folder, recipe)
        lengths = [_frames(features) for features in self.encoded]
        tasks, groups = [q.task for q in self.examples], [q.group for q in self.examples]
        self.order = BatchOrder(lengths, tasks, recipe.batch_size, recipe.seed, groups, clips.shares)
        self.tasks = sorted(set(tasks))

    def batch(self, step: int) -> list[Item]:
        """This process's clips of a step."""
        own = self.order[step][self.accelerator.process_index :: self.accelerator.num_processes]
        return [Item(self.examples[i], self.encoded[i]) for i in own]

    def features(self, items: Sequence[Item]) -> Features:
        """One batch of some clips."""
        return Features.stack([item.encoded for item in items])

    def close(self) -> None:
        """Nothing is open."""


class StreamingSource:
    """This process's part of packed folders, read ahead chunk by chunk; nothing of it is kept.

    This process reads the files and deals their clips out; `recipe.workers` processes decode them.

    A clip that cannot be read is listed in `quarantine.jsonl`, and the clip before it comes twice.

    Raises:
        SalmonnError: clips a step that the processes cannot share evenly; folders that are not packed.
    """

    def __init__(
        self,
        model: Salmonn,
        streams: StreamingDataset,
        recipe: Recipe,
        accelerator: Accelerator,
        folder: Path,
    ) -> None:
        rank, world = accelerator.process_index, accelerator.num_processes
        if recipe.batch_size % world:
            raise SalmonnError(
                f"batch_size is {recipe.batch_size}, but a stream needs a multiple of the {world} processes: change it"
            )
        self.model, self.recipe, self.own = model, recipe, recipe.batch_size // world
        self.seed, self.names = streams.seed, list(streams.shares)
        self.weights = np.array(list(streams.shares.values())) / sum(streams.shares.values())
        self.tars = [
            TarStream(Path(name), streams.config, streams.seed, streams.prompts, rank=rank, world=world)
            for name in self.names
        ]
        self.tasks = sorted(streams.prompts or TASKS)
        self.aside = _Aside(folder / f"quarantine-{rank}.jsonl", recipe.max_bad_share)
        self._unpack, self._workers = partial(unpack, streams.config), recipe.workers
        self._chunk, self._batches = -1, []
        self._coming: Iterator[list[list[Item]]] | None = None

    def batch(self, step: int) -> list[Item]:
        """This process's clips of a step; steps come in their order, from any of them on."""
        chunk, place = divmod(step, CHUNK)
        if self._coming is None:
            self._coming = prefetch(self._chunks(chunk))
        if chunk != self._chunk:
            self._chunk, self._batches = chunk, next(self._coming)
        return self._batches[place]

    def close(self) -> None:
        """Read no further, and let the workers go."""
        if self._coming is not None:
            self._coming.close()

    def features(self, items: Sequence[Item]) -> Features:
        """What the ears hear of some clips."""
        return self.model.encode([item.encoded for item in items])

    def _drawn(self, chunk: int) -> np.ndarray:
        """Which folder each sample of a chunk comes from: the same in all processes."""
        rng = np.random.default_rng((self.seed, 13, chunk))
        return rng.choice(len(self.names), size=CHUNK * self.own, p=self.weights)

    def _chunks(self, first: int) -> Iterator[list[list[Item]]]:
        """The batches of chunk after chunk, endlessly."""
        samples = map_in_order(self._unpack, self._packed(first), self._workers)
        for chunk in count(first):
            yield self._dealt(chunk, islice(samples, CHUNK * self.own))

    def _packed(self, first: int) -> Iterator[tuple[Example, Packed | BadClip]]:
        """The samples of chunk after chunk, as they lie in the files."""
        begun: Counter[int] = Counter()
        for before in range(first):
            begun.update(self._drawn(before).tolist())
        endless = [_endless(tar, begun[i]) for i, tar in enumerate(self.tars)]
        for chunk in count(first):
            for which in self._drawn(chunk):
                yield next(endless[which])

    def _dealt(self, chunk: int, samples: Iterator[tuple[Example, Tensor | BadClip]]) -> list[list[Item]]:
        """The batches of a chunk, each of clips of like length."""
        items: list[Item] = []
        lost = 0
        for example, sound in samples:
            self.aside.count(example, sound)
            if not isinstance(sound, BadClip):
                items += [Item(example, sound)] * (1 + lost)
                lost = 0
            elif items:
                items.append(items[-1])
            else:
                lost += 1  # the first good one stands in
        if lost:
            raise SalmonnError(
                f"none of {lost} clips in a row can be read: {self.aside.file} has the reasons"
            )
        items.sort(key=lambda item: len(item.encoded))
        order = np.random.default_rng((self.seed, 14, chunk)).permutation(CHUNK)
        return [items[i * self.own : (i + 1) * self.own] for i in order]


class _Aside:
    """Counts clips and lists the bad ones, each once, also over several sessions."""

    def __init__(self, file: Path, max_bad_share: float) -> None:
        self.file, self.max_bad_share = file, max_bad_share
        whole = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        self.listed = {json.loads(line)["clip"] for line in whole if line.endswith(b"\n")}
        self.seen = self.bad = 0

    def count(self, example: Example, sound: Tensor | BadClip) -> None:
        """Take note of a clip.

        Raises:
            SalmonnError: too many bad ones.
        """
        self.seen += 1
        if not isinstance(sound, BadClip):
            return
        self.bad += 1
        if example.clip not in self.listed:
            self.listed.add(example.clip)
            with self.file.open("a", encoding="utf-8") as out:
                row = {"clip": example.clip, "task": example.task, "reason": sound.reason}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
        if self.bad > self.max_bad_share * max(self.seen, SEEN):
            raise SalmonnError(
                f"{self.bad} of {self.seen} clips cannot be read, see {self.file}; that is more than max_bad_share "
                f"= {self.max_bad_share:g}: pack the folder anew, or raise max_bad_share"
            )


def _endless(tar: TarStream, position: int) -> Iterator[tuple[Example, Packed | BadClip]]:
    """A folder's samples, epoch after epoch, from a position on."""
    epoch = 0
    while True:
        length = tar.length(epoch)
        if position < length:
            yield from islice(tar.packed(epoch, position), length - position)
        position = max(0, position - length)
        epoch += 1


def _frames(features: Features) -> int:
    """The frames T of one clip."""
    streams = (features.whisper, features.beats)
    return max(stream.shape[1] for stream in streams if stream is not None)
