"""Clips, read and encoded batch by batch: with their own sound, and under a control.

A control is the no-audio baseline: what of a score is left without the clip's own sound (arXiv 2604.24401)? A model
that answers as well from silence has not listened; what it keeps comes from the prompt and the language model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from salmonn_mini.data.clips import Example
from salmonn_mini.data.manifest import BadClip
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.toy.world.audio_tasks import ToyExample

CONTROLS = {
    "silence": "zeros of the clip's length",
    "other": "the sound of another clip of the task",
    "reversed": "the clip backwards",
    "no_audio": "no audio tokens at all",
}
MAX_UNREADABLE = 0.05  # more clips than this share that cannot be read end the run
READ_AHEAD = 8  # batches whose clips are read, and sorted by length, together


class Clips(Protocol):
    """What is asked about clips, and their sound: a manifest's, or `evaluate.ToyClips`."""

    examples: Sequence[ToyExample | Example]

    def waves(self, numbers: Sequence[int]) -> Sequence[Tensor | BadClip]:
        """The sound X (S,) of some of the clips, 16 kHz, or why there is none."""


@dataclass(frozen=True)
class EncodedExamples:
    """Examples of one task and the encoders' features of their clips, in batches of like length.

    Attributes:
        batches: the numbers of the examples in each batch, and their features.
    """

    examples: tuple[ToyExample | Example, ...]
    batches: tuple[tuple[list[int], Features], ...]


def length_batches(waves: Mapping[int, Tensor], batch_size: int) -> list[list[int]]:
    """The numbers of the clips, the shortest first, cut into batches."""
    order = sorted(waves, key=lambda i: len(waves[i]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


class ClipSource:
    """Clips on their way to a model.

    Args:
        control: a row of CONTROLS, or ""; `seed` draws the clips that stand in for others.

    Attributes:
        skipped: clips that cannot be read or do not fit into the LLM's context, each with the reason.

    Raises:
        SalmonnError: control `other` with a task of one clip.
    """

    def __init__(
        self, model: SalmonnModel, clips: Clips, control: str, seed: int, max_new_tokens: int
    ) -> None:
        self.model, self.clips, self.control, self.max_new_tokens = model, clips, control, max_new_tokens
        # Equal names stand for one sound.
        self.names = [
            one.clip if isinstance(one, Example) else f"toy clip {one.plan.seed}" for one in clips.examples
        ]
        self.by_task: dict[str, list[int]] = {}
        for i, example in enumerate(clips.examples):
            self.by_task.setdefault(example.task, []).append(i)
        self.cycles = {}
        for task, own in self.by_task.items() if control == "other" else ():
            if len({self.names[i] for i in own}) < 2:
                raise SalmonnError(
                    f"control 'other' has one clip alone of {task}, {self.names[own[0]]}: give at least two"
                )
            self.cycles[task] = np.random.default_rng((seed, 23)).permutation(own).tolist()
        self.skipped: list[str] = []
        self.unreadable = 0

    def sets(self, done: set[int], batch_size: int) -> Iterator[tuple[str, list[int], EncodedExamples]]:
        """The control or "", numbers and encoded examples, of the clips that are not done."""
        for own in self.by_task.values():
            own = [i for i in own if i not in done]
            for start in range(0, len(own), READ_AHEAD * batch_size):
                waves = self._read(own[start : start + READ_AHEAD * batch_size])
                for numbers in length_batches(waves, batch_size):
                    yield from self._encode(numbers, [waves[i] for i in numbers])

    def _read(self, numbers: Sequence[int]) -> dict[int, Tensor]:
        waves = {}
        for i, wave in zip(numbers, self.clips.waves(numbers), strict=True):
            if not isinstance(wave, BadClip):
                waves[i] = wave
                continue
            self.skipped.append(f"{self.names[i]} ({wave.reason})")
            self.unreadable += 1
            if self.unreadable > MAX_UNREADABLE * len(self.names):
                raise SalmonnError(
                    f"{self.unreadable} of {len(self.names)} clips cannot be read, more than {MAX_UNREADABLE:.0%}, "
                    f"such as {self.skipped[-1]}: correct the files or their paths"
                )
        return waves

    def _encode(
        self, numbers: list[int], waves: list[Tensor]
    ) -> Iterator[tuple[str, list[int], EncodedExamples]]:
        features = {"": self.model.encode(waves)}
        if self.control == "no_audio":
            features["no_audio"] = features[""]  # which is not looked at
        elif self.control:
            changed = [self._under_control(i, wave) for i, wave in zip(numbers, waves, strict=True)]
            features[self.control] = self.model.encode(changed)
        counts = zip(*map(self.model.audio_token_count, features.values()), strict=True)
        kept = [k for k, own in enumerate(counts) if self._fits(numbers[k], max(own))]
        examples = tuple(self.clips.examples[numbers[k]] for k in kept)
        for control, encoded in features.items() if kept else ():
            if len(kept) < len(numbers):
                clips = encoded.clips()
                encoded = Features.stack([clips[k] for k in kept])
            batches = ((list(range(len(kept))), encoded),)
            yield control, [numbers[k] for k in kept], EncodedExamples(examples, batches)

    def _under_control(self, i: int, wave: Tensor) -> Tensor:
        if self.control == "silence":
            return torch.zeros_like(wave)
        return wave.flip(0) if self.control == "reversed" else self._other(i)

    def _other(self, i: int) -> Tensor:
        """The sound of the next clip in a random cycle of the task's that is another one and can be read."""
        cycle = self.cycles[self.clips.examples[i].task]
        at = cycle.index(i)
        for j in cycle[at + 1 :] + cycle[:at]:
            if self.names[j] != self.names[i]:
                (other,) = self.clips.waves([j])
                if not isinstance(other, BadClip):
                    return other
        raise SalmonnError(f"{self.names[i]}: no other clip of its task can be read")

    def _fits(self, i: int, sound: int) -> bool:
        """Whether prompt, audio tokens and the longest answer fit into the LLM's context."""
        fault = self.model.context_fault(sound, self.clips.examples[i].prompt, self.max_new_tokens)
        if fault:
            self.skipped.append(f"{self.names[i]} ({fault})")
        return not fault


@contextmanager
def without_audio_tokens(model: SalmonnModel) -> Iterator[None]:
    """The model's H is empty within the block: <Speech></Speech>."""
    model.get_audio_features = lambda features: no_tokens(model, len(features))
    try:
        yield
    finally:
        del model.get_audio_features


def no_tokens(model: SalmonnModel, B: int) -> tuple[Tensor, Tensor]:
    """H (B, 0, d_llm) and its lengths (B,), all 0."""
    H = torch.zeros(B, 0, model.llm.config.hidden_size, device=model.device)
    return H, torch.zeros(B, dtype=torch.long, device=model.device)
