"""Clips with their prompts and answers, of the toy world or of a manifest.

What is random here is a function of a seed.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from salmonn_mini import world
from salmonn_mini.config import SalmonnConfig
from salmonn_mini.data.manifest import Sample, load_clip
from salmonn_mini.errors import SalmonnError
from salmonn_mini.tasks import TASKS
from salmonn_mini.world.audio_tasks import draw_examples
from salmonn_mini.world.clips import render

SHARD = 250  # clips that are made, and later encoded, together


@dataclass(frozen=True)
class Question:
    """What is asked of a clip, and the answer to it. `clip` names the clip in logs."""

    clip: str
    task: str
    prompt: str
    answer: str


class ClipSet(ABC):
    """Clips in a fixed order: their questions are known at once, their sound is made shard by shard."""

    questions: Sequence[Question]

    def __len__(self) -> int:
        return len(self.questions)

    def shards(self) -> list[range]:
        """The clips' numbers, cut into shards. Other shards would give other samples."""
        return [range(start, min(start + SHARD, len(self))) for start in range(0, len(self), SHARD)]

    @abstractmethod
    def waves(self, shard: range) -> list[Tensor]:
        """The sound X (S,) of each clip of a shard, 16 kHz."""

    @abstractmethod
    def key(self, shard: range) -> bytes:
        """Equal for equal sound, without making it; for caches."""


class WorldClips(ClipSet):
    """n clips of the toy world, drawn once in the shares that `tasks` gives.

    Raises:
        SalmonnError: a task that is not in the table.
    """

    def __init__(self, tasks: Mapping[str, float], n: int, seed: int, split: str = "train") -> None:
        rng = np.random.default_rng((seed, 5))
        names = rng.permutation([name for name, count in _counts(tasks, n).items() for _ in range(count)])
        self.examples = draw_examples([str(name) for name in names], rng, split)
        self.questions = [
            Question(f"{split} clip {i} of seed {seed}", example.task, example.prompt, example.answer)
            for i, example in enumerate(self.examples)
        ]

    def waves(self, shard: range) -> list[Tensor]:
        return [torch.from_numpy(wave) for wave in render([self.examples[i].plan for i in shard])]

    def key(self, shard: range) -> bytes:
        plans = "\n".join(repr(self.examples[i].plan) for i in shard)
        return hashlib.sha256(_world_sources() + plans.encode()).digest()


class ManifestClips(ClipSet):
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
        prompts = {name: task.prompts for name, task in TASKS.items()} if prompts is None else prompts
        rng = np.random.default_rng((seed, 6))
        self.samples, self.config = samples, config
        self.questions = [
            Question(str(s.path), s.task, _draw_prompt(s, prompts, rng), s.text) for s in samples
        ]

    def waves(self, shard: range) -> list[Tensor]:
        return [load_clip(self.samples[i], self.config) for i in shard]

    def key(self, shard: range) -> bytes:
        rules = (self.config.channels, self.config.min_seconds, self.config.max_seconds)
        digest = hashlib.sha256(repr(rules).encode())
        for i in shard:
            for path in (self.samples[i].path, *self.samples[i].expand_wav):
                digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
            digest.update(b"|")
        return digest.digest()


def _counts(tasks: Mapping[str, float], n: int) -> dict[str, int]:
    """n in shares: rounded down, what is left goes to the largest remainders."""
    total = sum(tasks.values())
    exact = {name: n * weight / total for name, weight in tasks.items()}
    counts = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: counts[name] - exact[name])[: n - sum(counts.values())]:
        counts[name] += 1
    return counts


def _draw_prompt(sample: Sample, prompts: Mapping[str, Sequence[str]], rng: np.random.Generator) -> str:
    if sample.task not in prompts:
        raise SalmonnError(
            f"{sample.path}: its task {sample.task!r} has no prompts, {', '.join(prompts)} have; "
            f"correct the task, or give a prompt file that has it"
        )
    prompt = prompts[sample.task][int(rng.integers(len(prompts[sample.task])))]
    if "{}" in prompt and not sample.Q:
        raise SalmonnError(
            f"{sample.path}: the prompt {prompt!r} of task {sample.task!r} has a gap; "
            f"give the sample a Q to fill it"
        )
    return prompt.replace("{}", sample.Q)


@lru_cache(maxsize=1)
def _world_sources() -> bytes:
    """A digest of the toy world's own code: other code, other sound."""
    folder = Path(world.__file__).parent
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.glob("*.py")))).digest()
