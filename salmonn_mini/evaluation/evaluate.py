"""Encode, answer, score: a manifest's clips, or new ones of the toy world's tasks, at one or several LoRA scales.

    clips ─ encode (batches of like length) ─ generate ─ rows ─ score ─ Report

Each clip is encoded once; the language model answers it at every scale. Task for task the toy's clips are a function
of (seed, task, split) alone: two models, or one at two LoRA scales, answer about the same ones.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from salmonn_mini.data.clips import Example
from salmonn_mini.data.tasks import get_task
from salmonn_mini.errors import SalmonnError, unknown
from salmonn_mini.evaluation.metrics.words import normalizer as normalizer_of
from salmonn_mini.evaluation.report import Report, Sweep
from salmonn_mini.evaluation.rows import TEXTS, Row, RowLog, with_scores
from salmonn_mini.evaluation.sources import (
    CONTROLS,
    Clips,
    ClipSource,
    EncodedExamples,
    length_batches,
    without_audio_tokens,
)
from salmonn_mini.models.lora import get_lora_scale, lora_scale
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.splice import Answer
from salmonn_mini.toy.world.answers import caption
from salmonn_mini.toy.world.audio_tasks import ToyExample, draw_examples
from salmonn_mini.toy.world.clips import render
from salmonn_mini.toy.world.grammar import SPLITS

MAX_NEW_TOKENS = 100  # the longest right answer of the toy world, a story, has about sixty
BATCH = 32


def draw_task(
    task: str, n: int, seed: int, *, split: str = "test", held_out: bool = False
) -> list[ToyExample]:
    """n examples of a task, the same for equal (task, n, seed, split, held_out).

    Args:
        held_out: with wordings of the prompts that are never used in training.

    Raises:
        SalmonnError: an unknown task or split, n below 1.
    """
    get_task(task)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if n < 1:
        raise SalmonnError(f"{n} samples a task: give at least 1")
    rng = np.random.default_rng((seed, zlib.crc32(f"{split} {task}".encode())))
    return draw_examples([task] * n, rng, split, held_out=held_out)


@dataclass(frozen=True)
class ToyClips:
    """Clips of the toy world, rendered when they are asked for."""

    examples: Sequence[ToyExample]

    def waves(self, numbers: Sequence[int]) -> list[Tensor]:
        """The sound X (S,) of some of the clips."""
        return [torch.from_numpy(wave) for wave in render([self.examples[i].plan for i in numbers])]


def draw_clips(tasks: Iterable[str], n: int, seed: int, **settings: Any) -> ToyClips:
    """n new clips of each task, as `draw_task` draws them."""
    return ToyClips([one for task in tasks for one in draw_task(task, n, seed, **settings)])


def encode_examples(
    model: SalmonnModel, examples: Sequence[ToyExample], *, batch_size: int = BATCH
) -> EncodedExamples:
    """Render the examples' clips and encode them; good for any number of rounds of `generate_answers`."""
    waves = dict(enumerate(ToyClips(examples).waves(range(len(examples)))))
    batches = length_batches(waves, batch_size)
    encoded = tuple((batch, model.encode([waves[i] for i in batch])) for batch in batches)
    return EncodedExamples(tuple(examples), encoded)


def generate_answers(
    model: SalmonnModel, encoded: EncodedExamples, *, scale: float | None = None, **decoding: Any
) -> list[Answer]:
    """The model's answers in the examples' order, at an absolute LoRA scale (None: the present one).

    `decoding` as for `SalmonnModel.generate`: greedy, and at most MAX_NEW_TOKENS, unless said otherwise.
    """
    answers: dict[int, Answer] = {}
    settings = {"max_new_tokens": MAX_NEW_TOKENS} | decoding
    training = model.training
    model.train(False)
    try:
        with lora_scale(model.llm, get_lora_scale(model.llm) if scale is None else scale):
            for batch, features in encoded.batches:
                prompts = [encoded.examples[i].prompt for i in batch]
                answers |= zip(batch, model.generate(features, prompts, **settings), strict=True)
    finally:
        model.train(training)
    return [answers[i] for i in range(len(encoded.examples))]


def score_answers(
    examples: Sequence[ToyExample], answers: Sequence[Answer], stamp: Mapping[str, Any]
) -> list[Row]:
    """A row for each sample: the texts, the numbers of every measure, and the `stamp` of the run."""
    return with_scores([text_row(*pair) | dict(stamp) for pair in zip(examples, answers, strict=True)])


def text_row(example: ToyExample | Example, given: Answer) -> Row:
    """An answer and what it is scored by; what is said in a manifest's clip is known where its transcript is asked."""
    if isinstance(example, ToyExample):
        words, sounds, clip = example.words, caption(example.plan.events), {}
    else:
        words, sounds, clip = example.answer * example.task.startswith("asr"), "", {"clip": example.clip}
    texts = (example.task, example.prompt, words, sounds, example.answer, given.text, given.ended)
    return clip | dict(zip(TEXTS, texts, strict=True))


def answer_clips(
    model: SalmonnModel,
    clips: Clips,
    scales: Sequence[float] | None,
    seed: int,
    *,
    stage: int | None = None,
    name: str | None = None,
    control: str | None = None,
    normalizer: str = "basic",
    rows_file: str | Path | None = None,
    batch_size: int = BATCH,
    **decoding: Any,
) -> Sweep:
    """Answer and score clips, a manifest's or drawn ones, at several LoRA scales.

    Args:
        scales: absolute factors s in W + s·BA, 4.0 as trained, 0 the LLM alone; None: as the model stands.
        stage, name: for the reports: the model's training stage, and its name if not the configuration's.
        control: a row of `sources.CONTROLS`: answer a second time without the clips' own sound.
        normalizer: of error rates, a row of `words.NORMALIZERS`.
        rows_file: rows are written there as they come; a run that finds rows there answers what is missing.
        decoding: as for `SalmonnModel.generate`, as `num_beams=4`.

    Raises:
        SalmonnError: unknown names, no scale, `other` with one clip, rows of another run in `rows_file`, more than
            MAX_UNREADABLE of the clips cannot be read, and all that decoding refuses.
    """
    normalizer_of(normalizer)
    if control and control not in CONTROLS:
        raise unknown("control", control, CONTROLS)
    scales = (
        [get_lora_scale(model.llm)] if scales is None else [float(scale) for scale in dict.fromkeys(scales)]
    )
    if not scales:
        raise SalmonnError("a sweep over no scales: give at least one, as 0 2 4")
    longest = decoding.get("max_new_tokens", MAX_NEW_TOKENS)
    source = ClipSource(model, clips, control or "", seed, longest)
    stamp = {"model": name or model.config.name, "stage": stage, "seed": seed}
    digest = hashlib.sha256("\n".join(map(repr, clips.examples)).encode()).hexdigest()[:16]
    controls = ["", control] if control else [""]
    run = {"decoding": decoding, "scales": scales, "controls": controls, "clips": digest}
    log = RowLog(rows_file, stamp | run, len(scales) * len(controls))
    with tqdm(total=len(clips.examples) * log.each, initial=len(log.rows), unit="answer") as bar:
        for kind, numbers, encoded in source.sets(log.done, batch_size):
            bar.set_description(encoded.examples[0].task)
            for scale in scales:
                with without_audio_tokens(model) if kind == "no_audio" else nullcontext():
                    answers = generate_answers(model, encoded, scale=scale, **decoding)
                own = stamp | ({"control": kind} if kind else {}) | {"lora_scale": scale}
                texts = map(text_row, encoded.examples, answers)
                log.add({"index": i} | row | own for i, row in zip(numbers, texts, strict=True))
                bar.update(len(numbers))
    named = {} if normalizer == "basic" else {"normalizer": normalizer}
    rows = [row | named for row in log.ordered()]
    reports = []
    for scale in scales:
        scored = with_scores([row for row in rows if row["lora_scale"] == scale])
        reports.append(Report(**stamp, lora_scale=scale, rows=tuple(scored), skipped=tuple(source.skipped)))
    return Sweep(tuple(reports))


def sweep(
    model: SalmonnModel,
    tasks: Iterable[str],
    n: int,
    seed: int,
    scales: Sequence[float] | None,
    *,
    split: str = "test",
    held_out: bool = False,
    **settings: Any,
) -> Sweep:
    """Answer n new clips of each task at every LoRA scale and score them; arguments as `draw_task`, `answer_clips`."""
    clips = draw_clips(tasks, n, seed, split=split, held_out=held_out)
    return answer_clips(model, clips, scales, seed, **settings)


def evaluate(
    model: SalmonnModel,
    tasks: Iterable[str],
    n: int,
    seed: int,
    *,
    lora_scale: float | None = None,
    **settings: Any,
) -> Report:
    """`sweep` at one LoRA scale s in W + s·BA; None: as the model stands (4.0 as trained)."""
    scales = None if lora_scale is None else [lora_scale]
    return sweep(model, tasks, n, seed, scales, **settings).reports[0]
