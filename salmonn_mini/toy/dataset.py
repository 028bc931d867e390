"""Clips of the toy world to train on, drawn from a seed, with their prompts and answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from salmonn_mini.data.clips import ClipDataset, Example
from salmonn_mini.data.order import apportion
from salmonn_mini.errors import SalmonnError
from salmonn_mini.toy import world
from salmonn_mini.toy.world.audio_tasks import ToyExample, draw_examples
from salmonn_mini.toy.world.clips import render
from salmonn_mini.toy.world.grammar import pick
from salmonn_mini.toy.world.wordings import add_affixes


class ToyDataset(ClipDataset):
    """n clips of the toy world, drawn once in the shares that `tasks` gives.

    Args:
        prompts, paraphrase_prob, affix_prob: how some of the clips are asked otherwise; see `paraphrase`.

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
        paraphrase_prob: float = 0.0,
        affix_prob: float = 0.0,
    ) -> None:
        prompts = prompts or {}
        _check_wordings(prompts)
        rng = np.random.default_rng((seed, 5))
        names = rng.permutation([name for name, count in apportion(tasks, n).items() for _ in range(count)])
        toy_examples = draw_examples([str(name) for name in names], rng, split)
        self.toy_examples = paraphrase(toy_examples, prompts, paraphrase_prob, affix_prob, seed)
        self.examples = [
            Example(
                f"{split} clip {i} of seed {seed}",
                one.task,
                one.prompt,
                one.answer,
                description=one.description,
            )
            for i, one in enumerate(self.toy_examples)
        ]

    def waves(self, shard: range) -> list[Tensor]:
        return [torch.from_numpy(wave) for wave in render([self.toy_examples[i].plan for i in shard])]

    def key(self, shard: range) -> bytes:
        plans = "\n".join(repr(self.toy_examples[i].plan) for i in shard)
        return hashlib.sha256(_world_sources() + plans.encode()).digest()


def paraphrase(
    toy_examples: Sequence[ToyExample],
    prompts: Mapping[str, Sequence[str]],
    paraphrase_prob: float,
    affix_prob: float,
    seed: int,
) -> list[ToyExample]:
    """The same examples, of which some, drawn at random, are asked otherwise.

    Args:
        prompts: other wordings for some tasks.
        paraphrase_prob: the share of these tasks' examples that is asked in one of them.
        affix_prob: the share of all examples whose prompt then stands between an opening and an ending.
    """
    words, frames = np.random.default_rng((seed, 6)), np.random.default_rng((seed, 7))
    asked = [
        pick(words, prompts[toy_example.task])
        if toy_example.task in prompts and words.random() < paraphrase_prob
        else toy_example.prompt
        for toy_example in toy_examples
    ]
    return [
        replace(toy_example, prompt=add_affixes(frames, prompt) if frames.random() < affix_prob else prompt)
        for toy_example, prompt in zip(toy_examples, asked, strict=True)
    ]


def _check_wordings(prompts: Mapping[str, Sequence[str]]) -> None:
    for task, listed in prompts.items():
        if any("{}" in prompt for prompt in listed):
            raise SalmonnError(
                f"a prompt for {task} has a gap, {{}}, but the toy world's clips bring their own questions: "
                f"leave {task} out of the prompt file"
            )


@lru_cache(maxsize=1)
def _world_sources() -> bytes:
    """A digest of the toy world's own code: other code, other sound."""
    folder = Path(world.__file__).parent
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.glob("*.py")))).digest()
