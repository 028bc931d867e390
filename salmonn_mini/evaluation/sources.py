"""Clips, read and encoded batch by batch: with their own sound, and under a control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


def length_batches(waves: Sequence[Tensor], batch_size: int) -> list[list[int]]:
    """The numbers of the clips, the shortest first, cut into batches."""
    order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def clip_name(example: ToyExample | Example) -> str:
    """A clip's name in messages; equal names stand for one sound."""
    return example.clip if isinstance(example, Example) else f"toy clip {example.plan.seed}"


class ClipSource:
    """Clips on their way to a model.

    Args:
        controls: "" and perhaps a row of `control.CONTROLS`; `seed` draws the clips that stand in for others.

    Attributes:
        skipped: clips that cannot be read or do not fit into the LLM's context, each with the reason.

    Raises:
        SalmonnError: control `other` with a task of one clip.
    """

    def __init__(
        self, model: SalmonnModel, clips: Clips, controls: Sequence[str], seed: int, max_new_tokens: int
    ) -> None:
        self.model, self.clips, self.controls, self.max_new_tokens = model, clips, controls, max_new_tokens
        self.names = [clip_name(example) for example in clips.examples]
        self.by_task: dict[str, list[int]] = {}
        for i, example in enumerate(clips.examples):
            self.by_task.setdefault(example.task, []).append(i)
        self.cycles = {}
        for task, own in self.by_task.items() if "other" in controls else ():
            if len({self.names[i] for i in own}) < 2:
                raise SalmonnError(
                    f"control 'other' has one clip alone of {task}, {self.names[own[0]]}: give at least two"
                )
            self.cycles[task] = np.random.default_rng((seed, 23)).permutation(own).tolist()
        self.skipped: list[str] = []
        self.unreadable = 0

    def sets(self, done: set[int], batch_size: int) -> Iterator[tuple[str, list[int], EncodedExamples]]:
        """A control or "", numbers and encoded examples, of the clips that are not done."""
        for own in self.by_task.values():
            own = [i for i in own if i not in done]
            for start in range(0, len(own), READ_AHEAD * batch_size):
                waves = self._read(own[start : start + READ_AHEAD * batch_size])
                numbers = list(waves)
                for batch in length_batches(list(waves.values()), batch_size):
                    yield from self._encode({numbers[k]: waves[numbers[k]] for k in batch})

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

    def _encode(self, waves: Mapping[int, Tensor]) -> Iterator[tuple[str, list[int], EncodedExamples]]:
        numbers, features = list(waves), {"": self.model.encode(list(waves.values()))}
        for control in self.controls[1:]:
            features[control] = features[""]  # which no_audio never uses
            if control != "no_audio":
                features[control] = self.model.encode([self._under(control, i, waves[i]) for i in numbers])
        counts = zip(*map(self.model.audio_token_count, features.values()), strict=True)
        kept = [k for k, own in enumerate(counts) if self._fits(numbers[k], max(own))]
        examples = tuple(self.clips.examples[numbers[k]] for k in kept)
        for control, encoded in features.items() if kept else ():
            if len(kept) < len(numbers):
                clips = encoded.clips()
                encoded = Features.stack([clips[k] for k in kept])
            batches = ((list(range(len(kept))), encoded),)
            yield control, [numbers[k] for k in kept], EncodedExamples(examples, batches)

    def _under(self, control: str, i: int, wave: Tensor) -> Tensor:
        """The sound that clip i has under a control."""
        if control == "silence":
            return torch.zeros_like(wave)
        return wave.flip(0) if control == "reversed" else self._other(i)

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
        prompt, context = self.model.prompt, self.model.llm.config.max_position_embeddings
        text = len(prompt.before) + len(prompt.after(self.clips.examples[i].prompt))
        fits = text + sound + self.max_new_tokens <= context
        if not fits:
            tokens = f"prompt {text:,} + audio {sound:,} + answer {self.max_new_tokens:,} tokens"
            self.skipped.append(f"{self.names[i]} ({tokens} exceed the LLM's context of {context:,})")
        return fits
