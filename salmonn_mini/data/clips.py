"""Clips with their prompts and answers, of the toy world or of a manifest.

What is random here is a function of a seed.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from salmonn_mini import world
from salmonn_mini.config import SalmonnConfig
from salmonn_mini.data.manifest import Bad, Sample, try_clip
from salmonn_mini.data.order import whole_shares
from salmonn_mini.errors import SalmonnError
from salmonn_mini.tasks import TASKS
from salmonn_mini.world.audio_tasks import Example, draw_examples
from salmonn_mini.world.clips import render
from salmonn_mini.world.text_tasks import pick

SHARD = 250  # clips that are made, and later encoded, together
PROMPTS = {name: task.prompts for name, task in TASKS.items()}
OPENINGS = (
    "",
    "Please listen. ",
    "Now: ",
    "Here is some audio. ",
    "I have a question. ",
    "Try this. ",
    "Listen well. ",
)
ENDINGS = ("", " Thank you.", " Take your time.", " Be careful.", " That is all.")


@dataclass(frozen=True)
class Question:
    """What is asked of a clip, and the answer to it. `clip` names the clip in logs, `group` its part in a mixture."""

    clip: str
    task: str
    prompt: str
    answer: str
    group: str = ""


class ClipSet(ABC):
    """Clips in a fixed order: their questions are known at once, their sound is made shard by shard.

    Attributes:
        shares: what each group of questions takes of an epoch; empty where every clip comes once.
    """

    questions: Sequence[Question]
    shares: Mapping[str, float] = {}

    def __len__(self) -> int:
        return len(self.questions)

    def shards(self) -> list[range]:
        """The clips' numbers, cut into shards. Other shards would give other samples."""
        return [range(start, min(start + SHARD, len(self))) for start in range(0, len(self), SHARD)]

    @abstractmethod
    def waves(self, shard: range) -> Sequence[Tensor | Bad]:
        """The sound X (S,) of each clip of a shard, 16 kHz; Bad where there is none."""

    @abstractmethod
    def key(self, shard: range) -> bytes:
        """Equal for equal sound, without making it; for caches."""


class WorldClips(ClipSet):
    """n clips of the toy world, drawn once in the shares that `tasks` gives.

    Args:
        prompts, reworded, framed: how some of the clips are asked otherwise; see `in_other_words`.

    Raises:
        SalmonnError: a task that is not in the table, or a wording with a gap, which only a clip's own question
            could fill.
    """

    def __init__(
        self,
        tasks: Mapping[str, float],
        n: int,
        seed: int,
        split: str = "train",
        prompts: Mapping[str, Sequence[str]] | None = None,
        reworded: float = 0.0,
        framed: float = 0.0,
    ) -> None:
        prompts = prompts or {}
        _check_wordings(prompts)
        rng = np.random.default_rng((seed, 5))
        names = rng.permutation(
            [name for name, count in whole_shares(tasks, n).items() for _ in range(count)]
        )
        examples = draw_examples([str(name) for name in names], rng, split)
        self.examples = in_other_words(examples, prompts, reworded, framed, seed)
        self.questions = [
            Question(f"{split} clip {i} of seed {seed}", example.task, example.prompt, example.answer)
            for i, example in enumerate(self.examples)
        ]

    def waves(self, shard: range) -> list[Tensor]:
        return [torch.from_numpy(wave) for wave in render([self.examples[i].plan for i in shard])]

    def key(self, shard: range) -> bytes:
        plans = "\n".join(repr(self.examples[i].plan) for i in shard)
        return hashlib.sha256(_world_sources() + plans.encode()).digest()


def in_other_words(
    examples: Sequence[Example],
    prompts: Mapping[str, Sequence[str]],
    reworded: float,
    framed: float,
    seed: int,
) -> list[Example]:
    """The same examples, of which some, drawn at random, are asked otherwise.

    Args:
        prompts: other wordings for some tasks.
        reworded: the share of these tasks' examples that is asked in one of them.
        framed: the share of all examples whose prompt then stands between an opening and an ending.
    """
    words, frames = np.random.default_rng((seed, 6)), np.random.default_rng((seed, 7))
    asked = [
        pick(words, prompts[example.task])
        if example.task in prompts and words.random() < reworded
        else example.prompt
        for example in examples
    ]
    return [
        replace(example, prompt=frame(frames, prompt) if frames.random() < framed else prompt)
        for example, prompt in zip(examples, asked, strict=True)
    ]


def frame(rng: np.random.Generator, prompt: str) -> str:
    """The prompt between an opening and an ending, either of which may be empty."""
    return f"{pick(rng, OPENINGS)}{prompt}{pick(rng, ENDINGS)}"


def _check_wordings(prompts: Mapping[str, Sequence[str]]) -> None:
    for task, listed in prompts.items():
        if any("{}" in prompt for prompt in listed):
            raise SalmonnError(
                f"a prompt for {task} has a gap, {{}}, but the toy world's clips bring their own questions: "
                f"leave {task} out of the prompt file"
            )


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
        prompts = PROMPTS if prompts is None else prompts
        rng = np.random.default_rng((seed, 6))
        self.samples, self.config = samples, config
        self.questions = [
            Question(str(s.path), s.task, draw_prompt(s, prompts, rng), s.text) for s in samples
        ]

    def waves(self, shard: range) -> list[Tensor | Bad]:
        return [try_clip(self.samples[i], self.config) for i in shard]

    def key(self, shard: range) -> bytes:
        digest = hashlib.sha256(rules_of(self.config))
        for i in shard:
            for path in (self.samples[i].path, *self.samples[i].expand_wav):
                digest.update(hashlib.sha256(_content(path)).digest())
            digest.update(b"|")
        return digest.digest()


def rules_of(config: SalmonnConfig) -> bytes:
    """What a model's rules for channels and length make of a file, for caches."""
    return repr((config.channels, config.min_seconds, config.max_seconds)).encode()


def draw_prompt(sample: Sample, prompts: Mapping[str, Sequence[str]], rng: np.random.Generator) -> str:
    """One of the prompts of a sample's task, filled from its Q.

    Raises:
        SalmonnError: a task without prompts, or a prompt with a gap for a sample without Q.
    """
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


def _content(path: Path) -> bytes:
    """A file's bytes; where there are none to be had, why."""
    if not path.is_file():
        return f"no file, but something else: {path.exists()}".encode()
    try:
        return path.read_bytes()
    except OSError as problem:
        return f"cannot be read: {problem.strerror}".encode()


@lru_cache(maxsize=1)
def _world_sources() -> bytes:
    """A digest of the toy world's own code: other code, other sound."""
    folder = Path(world.__file__).parent
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.glob("*.py")))).digest()
