"""Where a step's clips come from: cached features, or sound that is streamed and encoded at each step.

Either way one process's clips of a step are a function of (seed, step, process): how fast they were read, by how many
workers, and whether the run was stopped in between, changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from salmonn_mini.data import (
    BadClip,
    BatchOrder,
    ClipDataset,
    Example,
    MixtureDataset,
    PackedDataset,
    TarStream,
    check_bad_share,
    map_in_order,
    prefetch,
    usable,
    write_quarantine,
)
from salmonn_mini.data.packed import Packed, Shard, read_index
from salmonn_mini.data.stream import unpack
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import append_json, complete_lines
from salmonn_mini.models.config import FRAMES_PER_SECOND, SAMPLE_RATE, SalmonnConfig
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.train.feature_cache import encode_dataset
from salmonn_mini.train.recipe import Recipe

CHUNK = 16  # batches that are read ahead and sorted by length
SEEN = 100  # clips before the share of bad ones is judged


class Item(NamedTuple):
    """A clip of a step: prompt and answer, and its features or its sound X (S,)."""

    example: Example
    encoded: Features | Tensor


@dataclass(frozen=True)
class StreamingDataset:
    """Packed directories with their shares of the samples, to be read as streams."""

    shares: Mapping[str, float]
    config: SalmonnConfig
    seed: int
    prompts: Mapping[str, Sequence[str]] | None = None

    @property
    def tars(self) -> list[Shard]:
        """The tar files of all directories."""
        return [tar for name in self.shares for tar in read_index(Path(name))]


def data_digest(clips: ClipDataset | StreamingDataset) -> str:
    """A digest of the rows and of the files' sizes, without reading any sound."""
    examples = getattr(clips, "examples", ())  # of streams the tar files stand for the rows
    rows = [(Path(e.clip).name, e.task, e.prompt, e.answer, e.group) for e in examples]
    parts = clips.parts if isinstance(clips, MixtureDataset) else [clips]
    content = rows, sorted(clips.shares.items()), [_file_sizes(part) for part in parts]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _file_sizes(clips: ClipDataset | StreamingDataset) -> list[object]:
    if isinstance(clips, StreamingDataset | PackedDataset):
        return [(tar.sha256, tar.file.stat().st_size) for tar in clips.tars]
    paths = [path for sample in getattr(clips, "samples", ()) for path in sample.files]  # the toy has none
    return [path.stat().st_size if path.is_file() else None for path in paths]


class CachedSource:
    """All clips' features, encoded before the first step."""

    def __init__(
        self,
        model: SalmonnModel,
        clips: ClipDataset,
        recipe: Recipe,
        accelerator: Accelerator,
        directory: Path,
    ) -> None:
        self.accelerator = accelerator
        encoded = encode_dataset(model, clips, Path(recipe.cache_dir), accelerator, recipe.workers)
        for i in usable(encoded):
            if reason := context_fault(model, clips.examples[i], encoded[i].lengths):
                encoded[i] = BadClip(reason)
        if accelerator.is_main_process:
            write_quarantine(clips.examples, encoded, directory)
        warning = check_bad_share(clips.examples, encoded, recipe.max_bad_share, directory)
        if warning and accelerator.is_main_process:
            tqdm.write(warning, file=sys.stderr)
        self.items = [Item(clips.examples[i], encoded[i]) for i in usable(encoded)]
        examples = [item.example for item in self.items]
        lengths = [int(item.encoded.lengths) for item in self.items]
        tasks, groups = [e.task for e in examples], [e.group for e in examples]
        self.order = BatchOrder(lengths, tasks, recipe.batch_size, recipe.seed, groups, clips.shares)
        self.tasks = sorted(set(tasks))

    def batch(self, step: int) -> list[Item]:
        """This process's clips of a step."""
        own = self.order[step][self.accelerator.process_index :: self.accelerator.num_processes]
        return [self.items[i] for i in own]

    def features(self, items: Sequence[Item]) -> Features:
        """A batch of some clips."""
        return Features.stack([item.encoded for item in items])

    def close(self) -> None:
        """Nothing is open."""


class StreamingSource:
    """This process's part of packed directories, read ahead chunk by chunk; nothing of it is cached.

    A clip that cannot be used is listed in `quarantine-<rank>.jsonl`, and the clip before it is used twice.
    Raises SalmonnError for a batch that the processes cannot share evenly, or directories that are not packed.
    """

    def __init__(
        self,
        model: SalmonnModel,
        streams: StreamingDataset,
        recipe: Recipe,
        accelerator: Accelerator,
        directory: Path,
    ) -> None:
        rank, world = accelerator.process_index, accelerator.num_processes
        if recipe.batch_size % world:
            rule = f"a stream needs a multiple of the {world} processes: change it"
            raise SalmonnError(f"batch_size is {recipe.batch_size}, but {rule}")
        self.model, self.recipe, self.per_step = model, recipe, recipe.batch_size // world
        self.streams, self.tasks = streams, sorted(streams.prompts or TASKS)
        self.weights = np.array(list(streams.shares.values())) / sum(streams.shares.values())
        self.tars = [
            TarStream(Path(name), streams.config, streams.seed, streams.prompts, rank=rank, world=world)
            for name in streams.shares
        ]
        self.quarantine = directory / f"quarantine-{rank}.jsonl"
        self._listed = {json.loads(line)["clip"] for line in complete_lines(self.quarantine)}
        self._seen = self._bad = 0
        self._chunks: Iterator[list[list[Item]]] | None = None

    def batch(self, step: int) -> list[Item]:
        """This process's clips of a step; steps come in their order, from any of them on."""
        if self._chunks is None:
            self._chunks = prefetch(self._read_chunks(step // CHUNK))
            self._batches = islice(chain.from_iterable(self._chunks), step % CHUNK, None)
        try:
            return next(self._batches)
        except SalmonnError as error:
            error.on_one_rank = True  # the other processes read other clips
            raise

    def close(self) -> None:
        """Stop reading, and end the workers."""
        if self._chunks is not None:
            self._chunks.close()

    def features(self, items: Sequence[Item]) -> Features:
        """A batch of some clips."""
        return self.model.encode([item.encoded for item in items])

    def _drawn(self, chunk: int) -> list[int]:
        """The number of the directory that each sample of a chunk comes from: the same in all processes."""
        rng = np.random.default_rng((self.streams.seed, 13, chunk))
        return rng.choice(len(self.tars), size=CHUNK * self.per_step, p=self.weights).tolist()

    def _read_chunks(self, first: int) -> Iterator[list[list[Item]]]:
        """The batches of one chunk after the other, endlessly."""
        do = partial(unpack, self.streams.config)
        samples = map_in_order(do, self._packed(first), self.recipe.workers)
        for chunk in count(first):
            yield self._batches_of(chunk, islice(samples, CHUNK * self.per_step))

    def _packed(self, first: int) -> Iterator[tuple[Example, Packed | BadClip]]:
        """The samples of one chunk after the other, still packed."""
        begun = Counter(chain.from_iterable(map(self._drawn, range(first))))
        endless = [_endless(tar, begun[i]) for i, tar in enumerate(self.tars)]
        for which in chain.from_iterable(map(self._drawn, count(first))):
            yield next(endless[which])

    def _batches_of(
        self, chunk: int, samples: Iterable[tuple[Example, Tensor | BadClip]]
    ) -> list[list[Item]]:
        """The batches of a chunk, each of clips of like length."""
        items: list[Item | None] = [Item(*sample) if self._is_usable(*sample) else None for sample in samples]
        last = next((item for item in items if item), None)
        if last is None:
            raise SalmonnError(f"none of {len(items)} clips in a row can be used: see {self.quarantine}")
        for i, item in enumerate(items):
            items[i] = last = item or last
        items.sort(key=lambda item: len(item.encoded))
        order = np.random.default_rng((self.streams.seed, 14, chunk)).permutation(CHUNK)
        return [items[i * self.per_step : (i + 1) * self.per_step] for i in order]

    def _is_usable(self, example: Example, sound: Tensor | BadClip) -> bool:
        """Count a clip; list a bad one, once in all sessions, and raise SalmonnError if there are too many."""
        reason = sound.reason if isinstance(sound, BadClip) else self._context_fault(example, sound)
        self._seen, self._bad = self._seen + 1, self._bad + (reason is not None)
        if reason and example.clip not in self._listed:
            self._listed.add(example.clip)
            append_json(self.quarantine, {"clip": example.clip, "task": example.task, "reason": reason})
        if self._bad > self.recipe.max_bad_share * max(self._seen, SEEN):
            raise SalmonnError(
                f"{self._bad} of {self._seen} clips cannot be used, see {self.quarantine}; that is more than "
                f"max_bad_share = {self.recipe.max_bad_share:g}: pack the directory again, or raise max_bad_share"
            )
        return not reason

    def _context_fault(self, example: Example, sound: Tensor) -> str | None:
        seconds, whisper = len(sound) / SAMPLE_RATE, self.model.whisper
        if whisper is not None and self.model.config.pad_to_window:
            seconds = max(seconds, whisper.window_seconds)
        return context_fault(self.model, example, torch.tensor([round(seconds * FRAMES_PER_SECOND)]))


def context_fault(model: SalmonnModel, example: Example, frames: Tensor) -> str | None:
    """Why a clip of so many frames (1,) does not fit into the LLM's context with its question and answer, if so."""
    audio, prompt = int(model.connector.n_tokens(frames)), model.prompt
    most = len(f"</Speech> {model.config.prompt_template}{example.prompt}{example.answer}".encode()) + 3
    if len(prompt.before) + audio + most <= model.llm.config.max_position_embeddings:
        return None  # a token has at least one byte, but for the end and two leading spaces: no need to count
    return model.context_fault(audio, example.prompt, len(prompt.answer(example.answer)))


def _endless(tar: TarStream, position: int) -> Iterator[tuple[Example, Packed | BadClip]]:
    """A directory's samples, epoch after epoch, from a position on."""
    for epoch in count():
        length = tar.length(epoch)
        if position < length:
            yield from islice(tar.packed(epoch, position), length - position)
        position = max(0, position - length)
