"""Activation tuning, stage 3: a dozen long answers of the model's own are its training data (paper, section 3.2).

At a reduced LoRA scale an over-fitted model still follows. A few of its answers there, chosen by their form alone, are
written down as a manifest that a person can read, and become the training data of the last stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch.nn.functional import cross_entropy

from salmonn_mini.errors import SalmonnError, unknown
from salmonn_mini.evaluation.evaluate import draw_task, encode_examples, generate_answers
from salmonn_mini.evaluation.metrics.following import STORY_WORDS
from salmonn_mini.evaluation.metrics.words import basic, loops
from salmonn_mini.evaluation.sources import no_tokens
from salmonn_mini.files import replacing, write_json
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.splice import Answer
from salmonn_mini.toy.world.answers import caption
from salmonn_mini.toy.world.audio_tasks import ToyExample, draw_long_speech
from salmonn_mini.toy.world.clips import render
from salmonn_mini.toy.world.wordings import wordings

SAMPLES = 12  # as in the paper
SCALE = 1.0  # the answers are generated there
POOL = 4  # clips answered for each answer kept


def is_long(given: Answer) -> bool:
    """Whether an answer has ended, without loops, and is of the length that a story has at least."""
    return given.ended and not loops(given.text) and len(basic(given.text).split()) >= STORY_WORDS


class ActivationData(NamedTuple):
    """A row of ACTIVATION_DATA.

    Attributes:
        draw: n examples from a seed, of the training split.
        scale: answers are generated at this LoRA scale; None takes the examples' own.
    """

    draw: Callable[[int, int], list[ToyExample]]
    scale: float | None = SCALE


def _long_answers(n: int, seed: int) -> list[ToyExample]:
    """Statements, with the demand to tell in detail what is said: a text task that no stage trains."""
    examples = draw_task("keywords", n, seed, split="train")
    prompts = wordings("detail")
    return [replace(one, task="detail", prompt=prompts[i % len(prompts)]) for i, one in enumerate(examples)]


ACTIVATION_DATA: dict[str, ActivationData] = {
    "story": ActivationData(lambda n, seed: draw_task("story", n, seed, split="train")),
    "long_qa": ActivationData(_long_answers),
    "long_asr": ActivationData(
        lambda n, seed: draw_long_speech(n, np.random.default_rng((seed, 8)), "train"), scale=None
    ),
}


def self_generated(
    model: SalmonnModel, kind: str = "story", n: int = SAMPLES, seed: int = 0, *, scale: float | None = None
) -> list[ToyExample]:
    """n examples whose answers the model gave itself at a reduced LoRA scale.

    Nobody looks at what an answer says: kept are the first n that end, do not go round in circles, are long, and have
    not been given before.

    Args:
        kind: a row of ACTIVATION_DATA.
        scale: the absolute factor s; the kind's own by default.

    Raises:
        SalmonnError: an unknown kind, or too few such answers.
    """
    if kind not in ACTIVATION_DATA:
        raise unknown("activation data", kind, ACTIVATION_DATA)
    row = ACTIVATION_DATA[kind]
    examples = row.draw(n * POOL, seed)
    scale = row.scale if scale is None else scale
    if scale is None:
        return examples[:n]
    answers = generate_answers(model, encode_examples(model, examples), scale=scale)
    kept: dict[str, ToyExample] = {}
    for example, given in zip(examples, answers, strict=True):
        if is_long(given):
            kept.setdefault(given.text, replace(example, answer=given.text))
    if len(kept) < n:
        raise SalmonnError(
            f"only {len(kept)} of {len(examples)} answers at LoRA scale {scale:g} are long, end and are no copies, "
            f"and {n} are wanted: lower the scale"
        )
    return list(kept.values())[:n]


def save_examples(examples: Sequence[ToyExample], folder: Path | str) -> Path:
    """Write clips, `manifest.json` and `prompts.json` in the published forms; the manifest's path.

    The prompt of a sample is its `Q`, so that it is asked as it was.

    Raises:
        SalmonnError: a folder that cannot be written to.
    """
    folder = Path(folder)
    names = [f"{number:02d}_{example.task}.flac" for number, example in enumerate(examples, 1)]
    rows = [
        {"path": name, "text": example.answer, "task": example.task, "Q": example.prompt}
        for name, example in zip(names, examples, strict=True)
    ]
    with replacing(folder) as temporary:
        for name, wave in zip(names, render([example.plan for example in examples]), strict=True):
            soundfile.write(temporary / name, wave, SAMPLE_RATE)
        write_json(temporary / "manifest.json", {"annotation": rows})
        write_json(temporary / "prompts.json", {row["task"]: ["{}"] for row in rows})
    return folder / "manifest.json"


def tune_on_text(model: SalmonnModel, examples: Sequence[ToyExample], lr: float) -> None:
    """Activation tuning without audio: one step an example, in place; the words stand before the instruction.

    Nothing passes the connector, so LoRA alone is trained.
    """
    lora = [p for name, p in model.named_parameters() if p.requires_grad and ".lora_" in name]
    optimizer = torch.optim.AdamW(lora, lr=lr)
    model.train()
    for example in examples:
        prompt = f"{example.words or caption(example.plan.events)} {example.prompt}"
        logits, targets, _ = model.answer_logits(
            model.splice(*no_tokens(model, 1), [prompt], [example.answer])
        )
        cross_entropy(logits, targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
