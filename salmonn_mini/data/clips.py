"""Clips with their prompts and answers. What is random here is a function of a seed."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor

from salmonn_mini.data.manifest import BadClip, Sample, check_unicode, try_clip
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SalmonnConfig

SHARD = 250  # clips that are made, and later encoded, together
PROMPTS = {name: task.prompts for name, task in TASKS.items()}


@dataclass(frozen=True)
class Example:
    """What is asked of a clip, and the answer to it. `clip` names the clip in logs, `group` its part in a mixture."""

    clip: str
    task: str
    prompt: str
    answer: str
    group: str = ""


class ClipDataset(ABC):
    """Clips in a fixed order: their questions are known at once, their sound is made shard by shard.

    Attributes:
        shares: what each group of questions takes of an epoch; empty where every clip comes once.
    """

    examples: Sequence[Example]
    shares: Mapping[str, float] = {}

    def __len__(self) -> int:
        return len(self.examples)

    def shards(self) -> list[range]:
        """The clips' numbers, cut into shards. Other shards would give other samples."""
        return [range(len(self))[start : start + SHARD] for start in range(0, len(self), SHARD)]

    @abstractmethod
    def waves(self, shard: range) -> Sequence[Tensor | BadClip]:
        """The sound X (S,) of each clip of a shard, 16 kHz; Bad where there is none."""

    @abstractmethod
    def key(self, shard: range) -> bytes:
        """Equal for equal sound, without making it; for caches."""


class ManifestDataset(ClipDataset):
    """The clips of a manifest, each with one of its task's prompts, drawn once.

    Args:
        prompts: for each task; the task table's own by default.

    Raises:
        SalmonnError: a task without prompts, or a prompt with a gap for a sample without Q.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        config: SalmonnConfig,
        seed: int,
        prompts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        prompts = PROMPTS if prompts is None else prompts
        rng = np.random.default_rng((seed, 6))
        self.samples, self.config = samples, config
        self.examples = [Example(s.clip, s.task, draw_prompt(s, prompts, rng), s.text) for s in samples]

    def waves(self, shard: range) -> list[Tensor | BadClip]:
        return [try_clip(self.samples[i], self.config) for i in shard]

    def key(self, shard: range) -> bytes:
        digest = hashlib.sha256(rules_of(self.config))
        for i in shard:
            digest.update(content_of(self.samples[i]) + b"|")
        return digest.digest()


def content_of(sample: Sample) -> bytes:
    """Equal for equal files and segments."""
    return b"".join(map(digest_of, sample.files)) + f"{sample.begin} {sample.end}".encode()


def rules_of(config: SalmonnConfig) -> bytes:
    """What a model's rules for channels and length make of a file, for caches."""
    return repr((config.channels, config.min_seconds, config.max_seconds)).encode()


def draw_prompt(sample: Sample, prompts: Mapping[str, Sequence[str]], rng: np.random.Generator) -> str:
    """One of the prompts of a sample's task, filled from its Q.

    Raises:
        SalmonnError: a task without prompts, a prompt with a gap for a sample without Q, or no Unicode.
    """
    check_unicode(sample)
    if sample.task not in prompts:
        raise SalmonnError(
            f"{sample.place}: its task {sample.task!r} has no prompts, {', '.join(prompts)} have; "
            f"correct the task, or give a prompt file that has it"
        )
    prompt = prompts[sample.task][int(rng.integers(len(prompts[sample.task])))]
    if "{}" in prompt and not sample.Q:
        raise SalmonnError(
            f"{sample.place}: the prompt {prompt!r} of task {sample.task!r} has a gap; "
            f"give the sample a Q to fill it"
        )
    return prompt.replace("{}", sample.Q)


def digest_of(path: Path) -> bytes:
    """A digest of a file's content; where it cannot be read, of why."""
    try:
        if not path.is_file():
            return hashlib.sha256(f"not a file: {path.exists()}".encode()).digest()
        state = path.stat()
        return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns)
    except OSError as problem:
        return hashlib.sha256(f"cannot be read: {problem.strerror}".encode()).digest()


@lru_cache(maxsize=64)  # a file of many segments is read once
def _digest(path: Path, *state: int) -> bytes:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()
