"""Where a step's clips come from: cached features, or sound that is streamed and encoded at each step.

Either way one process's clips of a step are a function of (seed, step, process): how fast they were read, by how many
workers, and whether the run was stopped in between, changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import sys
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
from tqdm import tqdm

from salmonn_mini.data import (
    BadClip,
    BatchOrder,
    ClipDataset,
    Example,
    ManifestDataset,
    MixtureDataset,
    PackedDataset,
    TarStream,
    check_bad_share,
    map_in_order,
    prefetch,
    usable,
    write_quarantine,
)
from salmonn_mini.data.packed import Shard, read_index
from salmonn_mini.data.stream import Packed, unpack
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import append_json, complete_lines
from salmonn_mini.models.config import FRAMES_PER_SECOND, SAMPLE_RATE, SalmonnConfig
from salmonn_mini.models.connectors import CtcCompression, SegmentQFormer, Stacking
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.windows import n_windows
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


def data_digest(clips: ClipDataset | StreamingDataset) -> str:
    """A digest of the rows and of the files' sizes, without reading any sound."""
    streams = isinstance(clips, StreamingDataset)
    examples = () if streams else clips.examples
    rows = [(Path(e.clip).name, e.task, e.prompt, e.answer, e.group) for e in examples]
    files = [_tar_sizes(read_index(Path(name))) for name in clips.shares] if streams else _file_sizes(clips)
    return hashlib.sha256(repr((rows, sorted(clips.shares.items()), files)).encode()).hexdigest()


def _tar_sizes(tars: Sequence[Shard]) -> list[tuple[str, int]]:
    return [(tar.sha256, tar.file.stat().st_size) for tar in tars]


def _file_sizes(clips: ClipDataset) -> list[object]:
    if isinstance(clips, MixtureDataset):
        return [size for part in clips.parts for size in _file_sizes(part)]
    if isinstance(clips, PackedDataset):
        return _tar_sizes(clips.tars)
    samples = clips.samples if isinstance(clips, ManifestDataset) else ()
    paths = [path for sample in samples for path in (sample.path, *sample.expand_wav)]
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
        limit = ContextLimit(model)
        for i in usable(encoded):
            if reason := limit.fault(clips.examples[i], _frames(encoded[i])):
                encoded[i] = BadClip(reason)
        if accelerator.is_main_process:
            write_quarantine(clips.examples, encoded, directory)
        warning = check_bad_share(clips.examples, encoded, recipe.max_bad_share, directory)
        if warning and accelerator.is_main_process:
            tqdm.write(warning, file=sys.stderr)
        self.examples = [clips.examples[i] for i in usable(encoded)]
        self.encoded = [encoded[i] for i in usable(encoded)]
        lengths = [_frames(features) for features in self.encoded]
        tasks, groups = [e.task for e in self.examples], [e.group for e in self.examples]
        self.order = BatchOrder(lengths, tasks, recipe.batch_size, recipe.seed, groups, clips.shares)
        self.tasks = sorted(set(tasks))

    def batch(self, step: int) -> list[Item]:
        """This process's clips of a step."""
        own = self.order[step][self.accelerator.process_index :: self.accelerator.num_processes]
        return [Item(self.examples[i], self.encoded[i]) for i in own]

    def features(self, items: Sequence[Item]) -> Features:
        """A batch of some clips."""
        return Features.stack([item.encoded for item in items])

    def close(self) -> None:
        """Nothing is open."""


class StreamingSource:
    """This process's part of packed directories, read ahead chunk by chunk; nothing of it is cached.

    A clip that cannot be used is listed in `quarantine-<rank>.jsonl`, and the clip before it is used twice.

    Raises:
        SalmonnError: a batch that the processes cannot share evenly; directories that are not packed.
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
            raise SalmonnError(
                f"batch_size is {recipe.batch_size}, but a stream needs a multiple of the {world} processes: "
                f"change it"
            )
        self.model, self.recipe, self.per_step = model, recipe, recipe.batch_size // world
        self.seed, self.names = streams.seed, list(streams.shares)
        self.weights = np.array(list(streams.shares.values())) / sum(streams.shares.values())
        self.tars = [
            TarStream(Path(name), streams.config, streams.seed, streams.prompts, rank=rank, world=world)
            for name in self.names
        ]
        self.tasks = sorted(streams.prompts or TASKS)
        self.quarantine = _Quarantine(directory / f"quarantine-{rank}.jsonl", recipe.max_bad_share)
        self._limit, padded = ContextLimit(model), model.whisper is not None and model.config.pad_to_30s
        self._min_frames = round(model.whisper.window_seconds * FRAMES_PER_SECOND) if padded else 0
        self._unpack, self._workers = partial(unpack, streams.config), recipe.workers
        self._chunk, self._batches = -1, []
        self._chunks: Iterator[list[list[Item]]] | None = None

    def batch(self, step: int) -> list[Item]:
        """This process's clips of a step; steps come in their order, from any of them on."""
        chunk, place = divmod(step, CHUNK)
        if self._chunks is None:
            self._chunks = prefetch(self._read_chunks(chunk))
        if chunk != self._chunk:
            try:
                self._chunk, self._batches = chunk, next(self._chunks)
            except SalmonnError as error:
                error.on_one_rank = True  # the other processes read other clips
                raise
        return self._batches[place]

    def close(self) -> None:
        """Stop reading, and end the workers."""
        if self._chunks is not None:
            self._chunks.close()

    def features(self, items: Sequence[Item]) -> Features:
        """A batch of some clips."""
        return self.model.encode([item.encoded for item in items])

    def _drawn(self, chunk: int) -> np.ndarray:
        """The number of the directory that each sample of a chunk comes from: the same in all processes."""
        rng = np.random.default_rng((self.seed, 13, chunk))
        return rng.choice(len(self.names), size=CHUNK * self.per_step, p=self.weights)

    def _read_chunks(self, first: int) -> Iterator[list[list[Item]]]:
        """The batches of one chunk after the other, endlessly."""
        samples = map_in_order(self._unpack, self._packed(first), self._workers)
        for chunk in count(first):
            yield self._batches_of(chunk, islice(samples, CHUNK * self.per_step))

    def _packed(self, first: int) -> Iterator[tuple[Example, Packed | BadClip]]:
        """The samples of one chunk after the other, still packed."""
        begun: Counter[int] = Counter()
        for before in range(first):
            begun.update(self._drawn(before).tolist())
        endless = [_endless(tar, begun[i]) for i, tar in enumerate(self.tars)]
        for chunk in count(first):
            for which in self._drawn(chunk):
                yield next(endless[which])

    def _batches_of(
        self, chunk: int, samples: Iterator[tuple[Example, Tensor | BadClip]]
    ) -> list[list[Item]]:
        """The batches of a chunk, each of clips of like length."""
        items: list[Item] = []
        lost = 0
        for example, sound in samples:
            if not isinstance(sound, BadClip):
                frames = max(self._min_frames, round(len(sound) * FRAMES_PER_SECOND / SAMPLE_RATE))
                if reason := self._limit.fault(example, frames):
                    sound = BadClip(reason)
            self.quarantine.count(example, sound)
            if not isinstance(sound, BadClip):
                items += [Item(example, sound)] * (1 + lost)
                lost = 0
            elif items:
                items.append(items[-1])
            else:
                lost += 1  # the first usable clip is used instead
        if lost:
            raise SalmonnError(
                f"none of {lost} clips in a row can be used: {self.quarantine.file} has the reasons"
            )
        items.sort(key=lambda item: len(item.encoded))
        order = np.random.default_rng((self.seed, 14, chunk)).permutation(CHUNK)
        return [items[i * self.per_step : (i + 1) * self.per_step] for i in order]


class _Quarantine:
    """Counts clips and lists the bad ones, each once, also over several sessions."""

    def __init__(self, file: Path, max_bad_share: float) -> None:
        self.file, self.max_bad_share = file, max_bad_share
        self.listed = {json.loads(line)["clip"] for line in complete_lines(file)}
        self.seen = self.bad = 0

    def count(self, example: Example, sound: Tensor | BadClip) -> None:
        """Count a clip.

        Raises:
            SalmonnError: too many bad ones.
        """
        self.seen += 1
        if not isinstance(sound, BadClip):
            return
        self.bad += 1
        if example.clip not in self.listed:
            self.listed.add(example.clip)
            append_json(self.file, {"clip": example.clip, "task": example.task, "reason": sound.reason})
        if self.bad > self.max_bad_share * max(self.seen, SEEN):
            raise SalmonnError(
                f"{self.bad} of {self.seen} clips cannot be used, see {self.file}; that is more than max_bad_share "
                f"= {self.max_bad_share:g}: pack the directory again, or raise max_bad_share"
            )


class ContextLimit:
    """The LLM's context, into which prompt, sound and answer must fit."""

    def __init__(self, model: SalmonnModel) -> None:
        self.model, self.context = model, model.llm.config.max_position_embeddings
        self.fixed = len(model.prompt.before) + len(model.prompt.after(""))

    def fault(self, example: Example, frames: int) -> str | None:
        """Why a clip of so many frames T does not fit; None if it does."""
        prompt, sound = self.model.prompt, audio_tokens(self.model, frames)
        text = len((example.prompt + example.answer).encode()) + 2
        if self.fixed + sound + text <= self.context:
            return None  # a token has at least one byte, so there is no need to count them
        text = len(prompt.after(example.prompt)) + len(prompt.answer(example.answer))
        tokens = len(prompt.before) + sound + text
        if tokens <= self.context:
            return None
        return f"prompt, sound and answer take {tokens:,} tokens, but the LLM reads at most {self.context:,}"


def audio_tokens(model: SalmonnModel, frames: int) -> int:
    """The audio tokens M of a clip with so many frames T; of CTC compression the most there can be."""
    connector = model.connector
    if isinstance(connector, CtcCompression):
        return frames
    if isinstance(connector, SegmentQFormer):
        return connector.queries.shape[1]
    if isinstance(connector, Stacking):
        return n_windows(frames, connector.k)
    return n_windows(frames, connector.L, connector.stride, connector.tail) * connector.queries.shape[1]


def _endless(tar: TarStream, position: int) -> Iterator[tuple[Example, Packed | BadClip]]:
    """A directory's samples, epoch after epoch, from a position on."""
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
