"""Decode, then score: new, unseen clips of the toy world's tasks, answered at a LoRA scale.

    tasks, n, seed ─ draw ─ render ─ encode (batches of like length) ─ generate ─ score ─ rows ─ Report

A row holds all that a score follows from, so a report can be computed again from its rows. Task for task the clips are
a function of (seed, task, split) alone: two models, or one at two LoRA scales, answer about the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from salmonn_mini.data.tasks import get_task
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.control import changed, check_control, other_clips, without_audio_tokens
from salmonn_mini.evaluation.metrics.measures import score
from salmonn_mini.evaluation.report import Report, prediction_of
from salmonn_mini.models.features import Features
from salmonn_mini.models.lora import current_scale, lora_scale
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.splice import Answer
from salmonn_mini.toy.world.audio_tasks import ToyExample, draw_examples
from salmonn_mini.toy.world.clips import render
from salmonn_mini.toy.world.grammar import SPLITS
from salmonn_mini.toy.world.text_tasks import caption

MAX_NEW_TOKENS = 100  # the longest right answer of the toy world, a story, has about sixty
BATCH = 32


def draw_task(
    task: str, n: int, seed: int, *, split: str = "test", held_out: bool = False
) -> list[ToyExample]:
    """n examples of a task, the same for equal (task, n, seed, split, held_out).

    Raises:
        SalmonnError: an unknown task or split, n below 1, a negative seed.
    """
    get_task(task)
    if split not in SPLITS:
        raise SalmonnError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    if n < 1:
        raise SalmonnError(f"{n} samples a task: give at least 1")
    if seed < 0:
        raise SalmonnError(f"seed {seed}: give 0 or more")
    rng = np.random.default_rng((seed, zlib.crc32(f"{split} {task}".encode())))
    return draw_examples([task] * n, rng, split, held_out=held_out)


@dataclass(frozen=True)
class EncodedExamples:
    """Examples of one task and the encoders' features of their clips, in batches of like length.

    Attributes:
        examples: each with a `prompt`.
        batches: the numbers of the examples in each batch, and their features.
    """

    examples: tuple[Any, ...]
    batches: tuple[tuple[list[int], Features], ...]


def encode_examples(
    model: SalmonnModel,
    examples: Sequence[ToyExample],
    *,
    control: str = "",
    seed: int = 0,
    batch_size: int = BATCH,
) -> EncodedExamples:
    """Render the examples' clips and encode them; good for any number of rounds of `generate_answers`.

    Args:
        control: a row of `control.CONTROLS`: other sound in place of each clip's own; `seed` draws it.
    """
    waves = [torch.from_numpy(wave) for wave in render([example.plan for example in examples])]
    if control == "other":
        waves = [waves[i] for i in other_clips([str(i) for i in range(len(waves))], seed)]
    waves = [changed(wave, control) for wave in waves]
    batches = length_batches(waves, batch_size)
    return EncodedExamples(
        tuple(examples), tuple((batch, model.encode([waves[i] for i in batch])) for batch in batches)
    )


def length_batches(waves: Sequence[Tensor], batch_size: int) -> list[list[int]]:
    """The numbers of the clips, the shortest first, cut into batches."""
    order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def generate_answers(
    model: SalmonnModel,
    encoded: EncodedExamples,
    *,
    scale: float | None = None,
    control: str = "",
    bar: tqdm | None = None,
    **decoding: Any,
) -> list[Answer]:
    """The model's answers in the examples' order, at an absolute LoRA scale (None: the present one).

    Args:
        control: under `no_audio` the model is given no audio tokens.
        bar: counts the clips.
        decoding: as for `SalmonnModel.generate`; greedy, and at most MAX_NEW_TOKENS, unless said otherwise.
    """
    answers: dict[int, Answer] = {}
    settings = {"max_new_tokens": MAX_NEW_TOKENS} | decoding
    scale = current_scale(model.llm) if scale is None else scale
    training = model.training
    model.train(False)
    try:
        with lora_scale(model.llm, scale), without_audio_tokens(model, control):
            for batch, features in encoded.batches:
                prompts = [encoded.examples[i].prompt for i in batch]
                answers |= zip(batch, model.generate(features, prompts, **settings), strict=True)
                if bar is not None:
                    bar.update(len(batch))
    finally:
        model.train(training)
    return [answers[i] for i in range(len(encoded.examples))]


def score_answers(
    examples: Sequence[ToyExample], answers: Sequence[Answer], stamp: Mapping[str, Any]
) -> list[dict]:
    """A row for each sample: the texts, the numbers of every measure, and the `stamp` of the run."""
    rows = [
        {
            "task": example.task,
            "prompt": example.prompt,
            "words": example.words,
            "sounds": caption(example.plan.events) if example.plan.events else "",
            "reference": example.answer,
            "answer": given.text,
            "ended": given.ended,
        }
        for example, given in zip(examples, answers, strict=True)
    ]
    scores = score([prediction_of(row | dict(stamp)) for row in rows])
    return [row | {"scores": numbers} | dict(stamp) for row, numbers in zip(rows, scores, strict=True)]


def evaluate(
    model: SalmonnModel,
    tasks: Iterable[str],
    n: int,
    seed: int,
    *,
    stage: int | None = None,
    name: str | None = None,
    lora_scale: float | None = None,
    split: str = "test",
    held_out: bool = False,
    control: str | None = None,
    normalizer: str = "basic",
    batch_size: int = BATCH,
    **decoding: Any,
) -> Report:
    """Answer n new clips of each task and score them.

    Args:
        stage, name: for the report: the model's training stage, and its name if not the configuration's.
        lora_scale: the absolute factor s in W + s·BA; None: as the model stands (4.0 as trained).
        held_out: with wordings of the prompts that are never used in training.
        control: a row of `control.CONTROLS`: answer a second time without the clips' own sound.
        normalizer: of error rates, a row of `words.NORMALIZERS`.
        decoding: as for `SalmonnModel.generate`, as `num_beams=4`.

    Raises:
        SalmonnError: an unknown task, split or control, n below 1, a negative seed, `other` with one clip, and all
            that decoding refuses.
    """
    kinds = list(dict.fromkeys(("", check_control(control))))
    chosen = {task: draw_task(task, n, seed, split=split, held_out=held_out) for task in tasks}
    scale = float(current_scale(model.llm) if lora_scale is None else lora_scale)
    stamp = {"model": name or model.config.name, "stage": stage, "seed": seed}
    extra = {} if normalizer == "basic" else {"normalizer": normalizer}
    rows = answer_tasks(model, chosen, [scale], kinds, stamp, extra, batch_size=batch_size, **decoding)
    return Report(**stamp, lora_scale=scale, rows=tuple(rows[scale]))


def answer_tasks(
    model: SalmonnModel,
    chosen: Mapping[str, Sequence[ToyExample]],
    scales: Sequence[float],
    kinds: Sequence[str],
    stamp: Mapping[str, Any],
    extra: Mapping[str, Any],
    *,
    batch_size: int = BATCH,
    **decoding: Any,
) -> dict[float, list[dict]]:
    """The rows of each LoRA scale: each task's clips, encoded once, with and without their own sound (`kinds`)."""
    rows: dict[float, list[dict]] = {scale: [] for scale in scales}
    total = sum(map(len, chosen.values())) * len(kinds) * len(scales)
    with tqdm(total=total, unit="clip") as bar:
        for task, examples in chosen.items():
            bar.set_description(task)
            for kind in kinds:
                own = stamp | {"control": kind} | extra if kind else stamp | extra
                encoded = encode_examples(
                    model, examples, control=kind, seed=stamp["seed"], batch_size=batch_size
                )
                for scale in scales:
                    answers = generate_answers(model, encoded, scale=scale, control=kind, bar=bar, **decoding)
                    rows[scale] += score_answers(examples, answers, own | {"lora_scale": scale})
    return rows
