"""Packed samples for training: all of them as one set of clips, or as a stream that no memory has to hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from salmonn_mini.data.clips import PROMPTS, ClipDataset, Example, ManifestDataset, draw_prompt, rules_of
from salmonn_mini.data.manifest import BadClip, read_manifest
from salmonn_mini.data.packed import LINES, Packed, Shard, decode, read_index, read_shard
from salmonn_mini.errors import SalmonnError, counted
from salmonn_mini.models.config import SalmonnConfig

Prompts = Mapping[str, Sequence[str]]
Asked = tuple[Example, Packed | BadClip]
MIXED_SHARDS = 4  # shards whose samples a stream mixes with one another


def open_dataset(name: str, config: SalmonnConfig, seed: int, prompts: Prompts | None = None) -> ClipDataset:
    """The clips of a manifest, or of a folder that `pack` has written, each with a prompt of its task."""
    if Path(name).is_dir():
        return PackedDataset(Path(name), config, seed, prompts)
    return ManifestDataset(read_manifest(name), config, seed, prompts)


class PackedDataset(ManifestDataset):
    """The clips of a packed folder, with the same prompts as those of its manifest; a shard is a tar file."""

    def __init__(
        self, folder: Path, config: SalmonnConfig, seed: int, prompts: Prompts | None = None
    ) -> None:
        self.tars = read_index(folder)
        samples = read_manifest(folder / LINES, Path())
        if len(samples) != sum(len(tar.samples) for tar in self.tars):
            raise SalmonnError(
                f"{folder}: {LINES} has {counted(len(samples), 'line')}, not those of the shards; pack it anew"
            )
        super().__init__(samples, config, seed, prompts)

    def shards(self) -> list[range]:
        """The samples of each tar file."""
        return [tar.samples for tar in self.tars]

    def waves(self, shard: range) -> list[Tensor | BadClip]:
        found = read_shard(self._tar(shard)).values()
        return [raw if isinstance(raw, BadClip) else decode(raw[1], self.config) for raw in found]

    def key(self, shard: range) -> bytes:
        tar = self._tar(shard)
        size = tar.file.stat().st_size  # a file that was cut is another one
        return hashlib.sha256(rules_of(self.config) + f"{tar.sha256} {size}".encode()).digest()

    def _tar(self, shard: range) -> Shard:
        return next(tar for tar in self.tars if tar.samples == shard)


class TarStream:
    """One process's part of a packed folder, in an order that is a function of (seed, epoch, position).

    An epoch is a random order of the tar files. Process `rank` of `world` reads every world-th of them and mixes
    the samples of `MIXED_SHARDS` files with one another; only these are in memory, as they were packed. To begin
    in mid-epoch costs no more than to begin with the file that holds the position.

    Raises:
        SalmonnError: as `read_index`; fewer tar files than processes.
    """

    def __init__(
        self,
        folder: Path,
        config: SalmonnConfig,
        seed: int,
        prompts: Prompts | None = None,
        *,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.tars = read_index(folder)
        self.config, self.seed, self.rank, self.world = config, seed, rank, world
        self.prompts = PROMPTS if prompts is None else prompts
        if len(self.tars) < world:
            raise SalmonnError(
                f"{folder} has {counted(len(self.tars), 'tar file')}, too few for {world} processes: "
                f"pack it with fewer samples in each"
            )

    def length(self, epoch: int) -> int:
        """The samples that each process reads in an epoch: of the process that has the fewest."""
        return min(sum(len(tar.samples) for tar in self._own(epoch, rank)) for rank in range(self.world))

    def packed(self, epoch: int, position: int = 0) -> Iterator[Asked]:
        """This process's samples of an epoch from `position` on; `unpack` decodes them, in any process.

        Raises:
            SalmonnError: as `draw_prompt`.
        """
        own, left = self._own(epoch, self.rank), self.length(epoch) - position
        for start in range(0, len(own), MIXED_SHARDS):
            group = own[start : start + MIXED_SHARDS]
            numbers = [number for tar in group for number in tar.samples]
            if position < len(numbers):
                mixed = self._rng(11, epoch, numbers[0]).permutation(numbers)[position:][: max(0, left)]
                yield from self._mixed(epoch, group, mixed.tolist())
                left -= len(mixed)
            position = max(0, position - len(numbers))

    def _own(self, epoch: int, rank: int) -> list[Shard]:
        order = self._rng(10, epoch).permutation(len(self.tars))
        return [self.tars[i] for i in order[rank :: self.world]]

    def _mixed(self, epoch: int, group: list[Shard], numbers: list[int]) -> Iterator[Asked]:
        found = {number: raw for tar in group for number, raw in read_shard(tar).items()}
        for number in numbers:
            if isinstance(raw := found[number], BadClip):
                yield Example(f"sample {number}", "", "", ""), raw
            else:
                prompt = draw_prompt(raw[0], self.prompts, self._rng(12, epoch, number))
                yield Example(raw[0].clip, raw[0].task, prompt, raw[0].text), raw[1]

    def _rng(self, *what: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *what))


def unpack(config: SalmonnConfig, asked: Asked) -> tuple[Example, Tensor | BadClip]:
    """A sample of `TarStream.packed` with its sound X (S,), or why there is none."""
    example, sounds = asked
    return example, sounds if isinstance(sounds, BadClip) else decode(sounds, config)
