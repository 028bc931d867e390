"""Encode, answer, score: new, unseen clips of the toy world's tasks, at one or several LoRA scales.

    tasks, n, seed ─ draw ─ render ─ encode (batches of like length) ─ generate ─ rows ─ score ─ Report

Each clip is encoded once; the language model answers it at every scale. Task for task the clips are a function of
(seed, task, split) alone: two models, or one at two LoRA scales, answer about the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from salmonn_mini.data.clips import Example
from salmonn_mini.data.tasks import get_task
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.control import controls_of, without_audio_tokens
from salmonn_mini.evaluation.metrics.words import normalizer as normalizer_of
from salmonn_mini.evaluation.report import Report, Sweep
from salmonn_mini.evaluation.rows import Row, RowLog, with_scores
from salmonn_mini.evaluation.sources import Clips, ClipSource, EncodedExamples, length_batches
from salmonn_mini.models.lora import current_scale, lora_scale
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.splice import Answer
from salmonn_mini.toy.world.answers import caption
from salmonn_mini.toy.world.audio_tasks import ToyExample, draw_examples
from salmonn_mini.toy.world.clips import render
from salmonn_mini.toy.world.grammar import SPLITS

MAX_NEW_TOKENS = 100  # the longest right answer of the toy world, a story, has about sixty
BATCH = 32
SCALES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)


def draw_task(
    task: str, n: int, seed: int, *, split: str = "test", held_out: bool = False
) -> list[ToyExample]:
    """n examples of a task, the same for equal (task, n, seed, split, held_out).

    Args:
        held_out: with wordings of the prompts that are never used in training.

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


def encode_examples(
    model: SalmonnModel, examples: Sequence[ToyExample], *, batch_size: int = BATCH
) -> EncodedExamples:
    """Render the examples' clips and encode them; good for any number of rounds of `generate_answers`."""
    waves = ToyClips(examples).waves(range(len(examples)))
    batches = length_batches(waves, batch_size)
    encoded = tuple((batch, model.encode([waves[i] for i in batch])) for batch in batches)
    return EncodedExamples(tuple(examples), encoded)


@dataclass(frozen=True)
class ToyClips:
    """Clips of the toy world, rendered when they are asked for."""

    examples: Sequence[ToyExample]

    def waves(self, numbers: Sequence[int]) -> list[Tensor]:
        return [torch.from_numpy(wave) for wave in render([self.examples[i].plan for i in numbers])]


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
        bar: counts the answers.
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
) -> list[Row]:
    """A row for each sample: the texts, the numbers of every measure, and the `stamp` of the run."""
    pairs = zip(examples, answers, strict=True)
    return with_scores([text_row(example, given) | dict(stamp) for example, given in pairs])


def text_row(example: ToyExample | Example, given: Answer) -> Row:
    """An answer and what it is scored by; what is said in a manifest's clip is known where its transcript is asked."""
    if isinstance(example, ToyExample):
        words, sounds, clip = example.words, caption(example.plan.events), {}
    else:
        words, sounds, clip = example.answer * example.task.startswith("asr"), "", {"clip": example.clip}
    return clip | {
        "task": example.task,
        "prompt": example.prompt,
        "words": words,
        "sounds": sounds,
        "reference": example.answer,
        "answer": given.text,
        "ended": given.ended,
    }


def answer_clips(
    model: SalmonnModel,
    clips: Clips,
    names: Sequence[str],
    scales: Sequence[float],
    seed: int,
    *,
    stage: int | None = None,
    name: str | None = None,
    control: str | None = None,
    normalizer: str = "basic",
    rows_file: str | Path | None = None,
    identity: Mapping[str, Any] | None = None,
    batch_size: int = BATCH,
    **decoding: Any,
) -> Sweep:
    """Answer and score clips at several LoRA scales.

    Args:
        names: of the clips' sound; equal names stand for one sound.
        stage, name: for the reports: the model's training stage, and its name if not the configuration's.
        control: a row of `control.CONTROLS`: answer a second time without the clips' own sound.
        normalizer: of error rates, a row of `words.NORMALIZERS`.
        rows_file: rows are written there as they come; a run that finds rows there answers what is missing.
        identity: what else tells one run's rows from another's.
        decoding: as for `SalmonnModel.generate`, as `num_beams=4`.

    Raises:
        SalmonnError: unknown names, no scale, `other` with one clip, rows of another run in `rows_file`, more than
            MAX_UNREADABLE of the clips cannot be read, and all that decoding refuses.
    """
    normalizer_of(normalizer)
    scales, controls = check_scales(model, scales), controls_of(control)
    stamp = {"model": name or model.config.name, "stage": stage, "seed": seed}
    run = {"decoding": decoding, "scales": scales, "controls": controls} | dict(identity or {})
    log = RowLog(rows_file, stamp | run, len(scales) * len(controls))
    longest = decoding.get("max_new_tokens", MAX_NEW_TOKENS)
    source = ClipSource(model, clips, names, controls, seed, longest)
    with tqdm(total=len(names) * log.each, initial=len(log.rows), unit="answer") as bar:
        for kind, numbers, encoded in source.sets(log.done, batch_size):
            bar.set_description(encoded.examples[0].task)
            for scale in scales:
                answers = generate_answers(model, encoded, scale=scale, control=kind, bar=bar, **decoding)
                own = stamp | ({"control": kind} if kind else {}) | {"lora_scale": scale}
                texts = map(text_row, encoded.examples, answers)
                log.add({"index": i} | row | own for i, row in zip(numbers, texts, strict=True))
    named = {} if normalizer == "basic" else {"normalizer": normalizer}
    by_scale = {
        scale: [row | named for row in log.ordered() if row["lora_scale"] == scale] for scale in scales
    }
    return Sweep(
        tuple(
            Report(**stamp, lora_scale=scale, rows=tuple(with_scores(rows)), skipped=tuple(source.skipped))
            for scale, rows in by_scale.items()
        )
    )


def check_scales(model: SalmonnModel, scales: Sequence[float]) -> list[float]:
    """The scales, each once; raises SalmonnError at none, and at one that cannot be set."""
    scales = [float(scale) for scale in dict.fromkeys(scales)]
    if not scales:
        raise SalmonnError("a sweep over no scales: give at least one, as 0 2 4")
    for scale in scales:
        with lora_scale(model.llm, scale):
            pass
    return scales


def sweep(
    model: SalmonnModel,
    tasks: Iterable[str],
    n: int,
    seed: int,
    scales: Sequence[float] = SCALES,
    *,
    split: str = "test",
    held_out: bool = False,
    **settings: Any,
) -> Sweep:
    """Answer n new clips of each task at every LoRA scale and score the answers.

    Args:
        scales: absolute factors s in W + s·BA, 4.0 as trained, 0 the LLM alone.
        split, held_out: as for `draw_task`.
        settings: as for `answer_clips`.

    Raises:
        SalmonnError: as `draw_task` and `answer_clips`.
    """
    drawn = [one for task in tasks for one in draw_task(task, n, seed, split=split, held_out=held_out)]
    names = list(map(str, range(len(drawn))))
    return answer_clips(model, ToyClips(drawn), names, scales, seed, **settings)


def evaluate(
    model: SalmonnModel,
    tasks: Iterable[str],
    n: int,
    seed: int,
    *,
    lora_scale: float | None = None,
    **settings: Any,
) -> Report:
    """Answer n new clips of each task at one LoRA scale and score them.

    Args:
        lora_scale: the absolute factor s in W + s·BA; None: as the model stands (4.0 as trained).
        settings: as for `sweep`.

    Raises:
        SalmonnError: as `sweep`.
    """
    scale = current_scale(model.llm) if lora_scale is None else lora_scale
    return sweep(model, tasks, n, seed, [scale], **settings).reports[0]
