"""Decode, then score: new, unseen clips of every task, answered at a LoRA scale, in one table with intervals.

    tasks, n, seed ─ draw ─ render ─ encode (batches of like length) ─ generate ─ score ─ rows ─ Report

A row holds all that a score follows from, so a report can be computed again from its rows. Task for task the clips are
a function of (seed, task, split) alone: two models, or one at two LoRA scales, hear the same ones.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from salmonn_mini.data.tasks import get_task
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.metrics.following import Prediction
from salmonn_mini.evaluation.metrics.java import JAVA
from salmonn_mini.evaluation.metrics.measures import MEASURES, is_caption, score, summarize
from salmonn_mini.files import write_json, write_text
from salmonn_mini.models.features import Features
from salmonn_mini.models.lora import current_scale, lora_scale
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.models.splice import Answer
from salmonn_mini.toy.world.audio_tasks import ToyExample, draw_examples
from salmonn_mini.toy.world.clips import render
from salmonn_mini.toy.world.grammar import SPLITS
from salmonn_mini.toy.world.text_tasks import caption

MAX_NEW_TOKENS = 100  # the longest right answer of the toy world, a story, has about sixty
BATCH = 32


# --- data ------------------------------------------------------------------------------------------------------------


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
    """Examples of one task and what the ears heard of them, in batches of like length.

    Attributes:
        batches: the numbers of the examples in each batch, and their features.
    """

    examples: tuple[ToyExample, ...]
    batches: tuple[tuple[list[int], Features], ...]


def encode_examples(
    model: Salmonn, examples: Sequence[ToyExample], *, batch_size: int = BATCH
) -> EncodedExamples:
    """Render the examples' clips and encode them; good for any number of rounds of `answer`."""
    waves = [torch.from_numpy(wave) for wave in render([example.plan for example in examples])]
    order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return EncodedExamples(
        tuple(examples), tuple((batch, model.encode([waves[i] for i in batch])) for batch in batches)
    )


# --- answers ---------------------------------------------------------------------------------------------------------


def answer(
    model: Salmonn, encoded: EncodedExamples, *, scale: float | None = None, **decoding: Any
) -> list[Answer]:
    """The model's answers in the examples' order, at an absolute LoRA scale (None: the present one).

    Args:
        decoding: as for `Salmonn.generate`; greedy, and at most MAX_NEW_TOKENS, unless said otherwise.
    """
    answers: dict[int, Answer] = {}
    settings = {"max_new_tokens": MAX_NEW_TOKENS} | decoding
    training = model.training
    model.train(False)
    try:
        with lora_scale(model.llm, current_scale(model.llm) if scale is None else scale):
            for batch, features in encoded.batches:
                prompts = [encoded.examples[i].prompt for i in batch]
                answers |= zip(batch, model.generate(features, prompts, **settings), strict=True)
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
    scores = score([prediction_of(row) for row in rows])
    return [row | {"scores": numbers} | dict(stamp) for row, numbers in zip(rows, scores, strict=True)]


def prediction_of(row: Mapping[str, Any]) -> Prediction:
    """What of a row is scored: to compute its scores again."""
    return Prediction(
        **{name: row[name] for name in ("task", "reference", "answer", "words", "sounds", "ended")}
    )


# --- the whole -------------------------------------------------------------------------------------------------------


def evaluate(
    model: Salmonn,
    tasks: Iterable[str],
    n: int,
    seed: int,
    *,
    stage: int | None = None,
    name: str | None = None,
    lora_scale: float | None = None,
    split: str = "test",
    held_out: bool = False,
    batch_size: int = BATCH,
    **decoding: Any,
) -> Report:
    """Answer n new clips of each task and score them.

    Args:
        stage, name: for the report: the model's training stage, and its name if not the configuration's.
        lora_scale: the absolute factor s in W + s·BA; None: as the model stands (4.0 as trained).
        held_out: with wordings of the prompts that are never used in training.
        decoding: as for `Salmonn.generate`, as `num_beams=4`.

    Raises:
        SalmonnError: an unknown task or split, n below 1, a negative seed, and all that decoding refuses.
    """
    chosen = {task: draw_task(task, n, seed, split=split, held_out=held_out) for task in tasks}
    scale = current_scale(model.llm) if lora_scale is None else lora_scale
    stamp = {"model": name or model.config.name, "stage": stage, "seed": seed, "lora_scale": float(scale)}
    rows: list[dict] = []
    for examples in tqdm(chosen.values(), desc="evaluate", unit="task"):
        encoded = encode_examples(model, examples, batch_size=batch_size)
        rows += score_answers(examples, answer(model, encoded, scale=scale, **decoding), stamp)
    return Report(**stamp, rows=tuple(rows))


@dataclass(frozen=True)
class Report:
    """Scores of one model at one LoRA scale, and the rows that they follow from."""

    model: str
    stage: int | None
    seed: int
    lora_scale: float
    rows: tuple[dict, ...]

    @property
    def tasks(self) -> dict[str, dict]:
        """`{task: {metric, value, interval, following_rate, n, others}}`, rates as fractions."""
        by_task: dict[str, list] = {}
        for row in self.rows:
            by_task.setdefault(row["task"], []).append(row["scores"])
        return {task: summarize(task, scores, seed=self.seed) for task, scores in by_task.items()}

    def with_java(self, names: Iterable[str]) -> Report:
        """The same report, its captions measured by METEOR or SPIDEr too (names of `metrics.java.JAVA`).

        Raises:
            SalmonnError: what such a measure needs is not installed.
        """
        rows = [dict(row) for row in self.rows]
        for task in dict.fromkeys(row["task"] for row in rows if is_caption(prediction_of(row))):
            own = [row for row in rows if row["task"] == task]
            for name in names:
                values = JAVA[name]([row["reference"] for row in own], [row["answer"] for row in own])
                for row, value in zip(own, values, strict=True):
                    row["scores"] = row["scores"] | {name: (value, 1)}
        return replace(self, rows=tuple(rows))

    def to_dict(self) -> dict:
        """What `salmonn-mini evaluate --json` writes."""
        stamp = {name: getattr(self, name) for name in ("model", "stage", "seed", "lora_scale")}
        return stamp | {"tasks": self.tasks}

    def table(self) -> str:
        """For the terminal: columns side by side."""
        cells = list(self._cells())
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells
        ]
        return "\n".join([self._title(), "", *(line.rstrip() for line in lines), "", *self._notes()])

    def markdown(self) -> str:
        """The same as a Markdown table."""
        head, *body = (f"| {' | '.join(row)} |" for row in self._cells())
        rule = f"|{'---|' * head.count(' | ')}---|"
        return "\n".join([f"**{self._title()}**", "", head, rule, *body, "", *self._notes(), ""])

    def save(self, path: Path | str) -> None:
        """Write the report as JSON, whole or not at all.

        Raises:
            SalmonnError: a place that cannot be written to.
        """
        write_json(path, self.to_dict(), indent=2)

    def save_rows(self, path: Path | str) -> None:
        """Write the rows as JSON lines, whole or not at all; `load_report` reads them.

        Raises:
            SalmonnError: a place that cannot be written to.
        """
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows))

    def _title(self) -> str:
        stage = "" if self.stage is None else f", stage {self.stage}"
        return f"{self.model}{stage}, LoRA scale {self.lora_scale:g}, seed {self.seed}"

    def _cells(self) -> Iterator[tuple[str, ...]]:
        yield "task", "metric", "value", "95 % interval", "follows", "loops", "no end", "n"
        for task, row in self.tasks.items():
            low, high = (_number(row["metric"], bound) for bound in row["interval"])
            rates = (row["following_rate"], row["others"]["repeat_rate"], row["others"]["unended_rate"])
            value = _number(row["metric"], row["value"])
            shares = ("–" if rate is None else f"{100 * rate:.1f} %" for rate in rates)
            yield task, row["metric"], value, f"{low} to {high}", *shares, str(row["n"])

    def _notes(self) -> Iterator[str]:
        for metric in dict.fromkeys(row["metric"] for row in self.tasks.values()):
            yield f"- {metric}: {MEASURES[metric].text}"


def load_report(path: Path | str) -> Report:
    """The report that follows from a file of rows, scored anew from their texts.

    Raises:
        SalmonnError: a file that cannot be read, or that holds no rows of one run.
    """
    path = Path(path)
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        by_task: dict[str, list[dict]] = {}
        for row in rows:
            by_task.setdefault(row["task"], []).append(row)
        rescored = [
            row | {"scores": numbers}
            for group in by_task.values()
            for row, numbers in zip(group, score([prediction_of(row) for row in group]), strict=True)
        ]
        (stamp,) = {(row["model"], row["stage"], row["seed"], row["lora_scale"]) for row in rows}
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise SalmonnError(
            f"{path} is no file of per-sample rows of one run ({error}): give one that evaluate wrote"
        ) from error
    return Report(*stamp, rows=tuple(rescored))


def _number(metric: str, value: float) -> str:
    """A value as a reader expects it: rates in percent, BLEU and diversity as they are."""
    return f"{value:.1f}" if metric in ("bleu", "diversity") else f"{100 * value:.1f} %"
