"""What is measured: conditions, each a model, its LoRA scale, its tasks and its clips.

A condition of one seed gives the rows of one file. The clips are of the test split and depend on the seed and the
task alone, so that conditions with equally many clips have the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.evaluation.bayes import bayes_table
from salmonn_mini.evaluation.claims.models import MOVED, Draw, Models
from salmonn_mini.evaluation.claims.rules import Claim
from salmonn_mini.evaluation.claims.verdicts import Evidence
from salmonn_mini.evaluation.evaluate import draw_task, encode_examples, generate_answers, score_answers
from salmonn_mini.evaluation.rows import Row
from salmonn_mini.models.lora import lora_drift, lora_scale
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.toy.backbones.scores import answer_texts
from salmonn_mini.toy.world.answers import caption
from salmonn_mini.toy.world.audio_tasks import ToyExample, draw_long_speech
from salmonn_mini.toy.world.text_tasks import TextSample

UNTRAINED = tuple(task.name for task in TASKS.values() if task.stage is None)
TUNED = ("asr", "audio_caption", *UNTRAINED)  # what stage 3 is judged by
BAYES_CLIPS = 40


def draw_long(task: str, n: int, seed: int) -> list[ToyExample]:
    """Recordings of three test sentences, each thrice as long as what was trained on."""
    return draw_long_speech(n, np.random.default_rng((seed, 9)), "test")


def answered(model: SalmonnModel, condition: Condition, models: Models, n: int) -> list[Row]:
    """The model's answers about sound."""
    rows = []
    for task in condition.tasks:
        encoded = models.encoded(model, condition.draw, task, max(1, round(n * condition.share)))
        rows += score_answers(encoded.examples, generate_answers(model, encoded, scale=condition.scale), {})
    return rows


def read(model: SalmonnModel, condition: Condition, models: Models, n: int) -> list[Row]:
    """The LLM's own, with the true words and the captions of the sounds in the place of the audio tokens."""
    rows = []
    with lora_scale(model.llm, 0.0):
        for task in condition.tasks:
            examples = draw_task(task, n, models.seed)
            described = [f"{one.words} {caption(one.plan.events)}".strip() for one in examples]
            pairs = zip(described, examples, strict=True)
            texts = [TextSample(task, text, one.prompt, one.answer) for text, one in pairs]
            rows += score_answers(examples, answer_texts(model.base_llm, model.tokenizer, texts), {})
    return rows


def bayes_gaps(model: SalmonnModel, condition: Condition, models: Models, n: int) -> list[Row]:
    """Nats a token by which a story lies behind the trained answer, without and with the demand for a story.

    The rival is the transcript of speech, and the caption of sounds. One row of numbers a clip.
    """
    rows = []
    for example in draw_task("story", BAYES_CLIPS, models.seed):
        ((_, features),) = encode_examples(model, [example]).batches
        rival = example.words or caption(example.plan.events)
        trained = TASKS["asr" if example.words else "audio_caption"]
        table = bayes_table(model, features, [example.prompt, *trained.prompts], [example.answer, rival])
        per_token = table.log_likelihood / table.tokens[:, None]
        bare = table.log_bare / table.tokens
        gaps = {"prior_gap": bare[1] - bare[0], "likelihood_gap": per_token[1, 0] - per_token[0, 0]}
        texts = {"task": "story", "prompt": example.prompt, "answer": example.answer, "rival": rival}
        rows.append(texts | {"measured": {name: (float(gap), 1) for name, gap in gaps.items()}})
    return rows


def drift(model: SalmonnModel, condition: Condition, models: Models, n: int) -> list[Row]:
    """How the following of stories goes with the distance that LoRA has moved, and with its learning rate.

    One row: the rank correlations over all runs (0 where one side does not vary), and the runs.
    """
    points = []
    for (rate, steps), name in MOVED.items():
        model = models[name]
        rows = answered(model, condition, models, n)
        followed = float(np.mean([row["scores"]["following_rate"][0] for row in rows]))
        moved = lora_drift(model.llm).overall
        points.append({"rate": rate, "steps": steps, "drift": moved, "followed": followed})
    measured = {}
    for key in ("drift", "rate"):
        correlation = spearmanr(*([point[name] for point in points] for name in (key, "followed"))).statistic
        measured[f"{key}_correlation"] = (float(np.nan_to_num(correlation)), 1)
    return [{"task": "story", "points": points, "measured": measured}]


@dataclass(frozen=True)
class Condition:
    """A row of CONDITIONS.

    Attributes:
        model: a row of `models.MODELS`.
        scale: the absolute LoRA scale; None: as trained.
        share: of the clips asked for; tables of few clips are quicker.
        rows: how its rows are made.
    """

    model: str
    tasks: Sequence[str]
    scale: float | None = None
    share: float = 1.0
    draw: Draw = draw_task
    rows: Callable[[SalmonnModel, Condition, Models, int], list[Row]] = answered


CONDITIONS: dict[str, Condition] = {
    "text": Condition("stage1", UNTRAINED, rows=read),
    "stage2": Condition("stage2", tuple(TASKS)),
    "stage3": Condition("stage3", tuple(TASKS)),
    "bayes_stage2": Condition("stage2", ("story",), rows=bayes_gaps),
    "bayes_stage3": Condition("stage3", ("story",), rows=bayes_gaps),
    "drift": Condition("stage1", ("story",), share=0.25, rows=drift),
    "both": Condition("both", ("asr", "audio_caption")),
    "whisper_only": Condition("whisper_only", ("asr", "audio_caption")),
    "beats_only": Condition("beats_only", ("asr", "audio_caption")),
    "segment": Condition("segment", ("asr",)),
    "both_long": Condition("both", ("asr",), draw=draw_long),
    "segment_long": Condition("segment", ("asr",), draw=draw_long),
}
CONDITIONS |= {
    f"stage2_s{scale:g}": Condition("stage2", (*TUNED, "phone_recognition"), scale, share=0.5)
    for scale in (1, 2)
}
VARIANTS = ("long_qa", "long_asr", "lora_only", "text_only", "few", "many_instructions", "long_answers")
CONDITIONS |= {name: Condition(name, TUNED, share=0.5) for name in VARIANTS}


def measure_claims(
    claims: Iterable[Claim],
    seeds: Sequence[int],
    evidence: Evidence,
    runs: Path,
    *,
    n: int,
    device: str | None = None,
) -> None:
    """Measure what is missing for the claims; what is there stays. May be stopped at any time.

    Args:
        runs: the folder of the trained models and of encoded clips.
        n: clips of each task.
        device: where the models answer; None: the CPU.
    """
    names = dict.fromkeys(name for claim in claims for name in claim.conditions)
    for seed in seeds:
        models = Models(seed, runs, device)
        for name in names:
            if not evidence.has(name, seed):
                torch.manual_seed(zlib.crc32(name.encode()))
                condition = CONDITIONS[name]
                rows = condition.rows(models[condition.model], condition, models, n)
                evidence.save(name, seed, rows)
