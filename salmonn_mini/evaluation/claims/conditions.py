"""What is measured: conditions, each a model, its LoRA scale, its tasks and its clips.

A condition of one seed gives the rows of one file. The clips are of the test split and depend on the seed and the
task alone, so that conditions with equally many clips have the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.evaluation.bayes import bayes_table
from salmonn_mini.evaluation.claims.models import MODELS, RATES, STEPS, Draw, Models
from salmonn_mini.evaluation.evaluate import draw_task, encode_examples, generate_answers, score_answers
from salmonn_mini.models.lora import lora_drift, lora_scale
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.toy.backbones.scores import answer_texts
from salmonn_mini.toy.world.audio_tasks import ToyExample, draw_long_speech
from salmonn_mini.toy.world.text_tasks import TextSample, caption

UNTRAINED = tuple(task.name for task in TASKS.values() if task.stage is None)
TUNED = ("asr", "audio_caption", *UNTRAINED)  # what stage 3 is judged by
BAYES_CLIPS = 40
SHOT_MODELS = tuple(name for name in MODELS if name.startswith("shots_"))


def draw_long(task: str, n: int, seed: int) -> list[ToyExample]:
    """Recordings of three test sentences, each thrice as long as what was trained on."""
    return draw_long_speech(n, np.random.default_rng((seed, 9)), "test")


@dataclass(frozen=True)
class Condition:
    """A row of CONDITIONS.

    Attributes:
        model: a row of `models.MODELS`.
        scale: the absolute LoRA scale; None: as trained.
        share: of the clips asked for; tables of few clips are quicker.
    """

    model: str
    tasks: Sequence[str]
    scale: float | None = None
    draw: Draw = draw_task
    share: float = 1.0

    def rows(self, models: Models, n: int) -> list[dict]:
        model, rows = models[self.model], []
        for task in self.tasks:
            encoded = models.encoded(model, self.draw, task, max(1, round(n * self.share)))
            rows += score_answers(encoded.examples, generate_answers(model, encoded, scale=self.scale), {})
        return rows


@dataclass(frozen=True)
class AsText:
    """The LLM alone, with the true words and the captions of the sounds in the place of the audio tokens."""

    tasks: Sequence[str] = UNTRAINED

    def rows(self, models: Models, n: int) -> list[dict]:
        model, rows = models["stage1"], []
        with lora_scale(model.llm, 0.0):
            for task in self.tasks:
                examples = draw_task(task, n, models.seed)
                texts = [TextSample(task, _described(one), one.prompt, one.answer) for one in examples]
                answers = answer_texts(model.llm.get_base_model(), model.tokenizer, texts)
                rows += score_answers(examples, answers, {})
        return rows


def _described(example: ToyExample) -> str:
    sounds = caption(example.plan.events) if example.plan.events else ""
    return f"{example.words} {sounds}".strip()


@dataclass(frozen=True)
class Bayes:
    """Nats a token by which a story lies behind the trained answer, without and with the demand for a story.

    The rival is the transcript of speech, and the caption of sounds.
    """

    model: str

    def rows(self, models: Models, n: int) -> list[dict]:
        """One row of numbers a clip."""
        model = models[self.model]
        return [_gaps(model, example) for example in draw_task("story", BAYES_CLIPS, models.seed)]


def _gaps(model: SalmonnModel, example: ToyExample) -> dict:
    ((_, features),) = encode_examples(model, [example]).batches
    rival = example.words or caption(example.plan.events)
    trained = TASKS["asr" if example.words else "audio_caption"]
    instructions = [example.prompt, *trained.prompts]
    table = bayes_table(model, features, instructions, [example.answer, rival])
    per_token = table.log_likelihood / table.tokens[:, None]
    bare = table.log_bare / table.tokens
    gaps = {"prior_gap": bare[1] - bare[0], "likelihood_gap": per_token[1, 0] - per_token[0, 0]}
    measured = {name: (float(gap), 1) for name, gap in gaps.items()}
    texts = {"task": "story", "prompt": example.prompt, "answer": example.answer, "rival": rival}
    return texts | {"measured": measured}


@dataclass(frozen=True)
class Moved:
    """How the following of stories goes with the distance that LoRA has moved, and with its learning rate."""

    share: float = 0.25

    def rows(self, models: Models, n: int) -> list[dict]:
        """One row: the rank correlations over all runs, and the runs."""
        points = []
        for rate in RATES:
            for steps in STEPS:
                model = models[f"moved_{rate:g}_{steps}"]
                encoded = models.encoded(model, draw_task, "story", max(1, round(n * self.share)))
                rows = score_answers(encoded.examples, generate_answers(model, encoded), {})
                followed = float(np.mean([row["scores"]["following_rate"][0] for row in rows]))
                drift = lora_drift(model.llm).overall
                points.append({"rate": rate, "steps": steps, "drift": drift, "followed": followed})
        followed = [point["followed"] for point in points]
        measured = {
            f"{name}_correlation": (_rank_correlation([point[name] for point in points], followed), 1)
            for name in ("drift", "rate")
        }
        return [{"task": "story", "points": points, "measured": measured}]


def _rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's; 0 where one side does not vary."""
    return 0.0 if len(set(x)) == 1 or len(set(y)) == 1 else float(spearmanr(x, y).statistic)


CONDITIONS: dict[str, Condition | AsText | Bayes | Moved] = {
    "text": AsText(),
    "stage2": Condition("stage2", tuple(TASKS)),
    "stage3": Condition("stage3", tuple(TASKS)),
    "bayes_stage2": Bayes("stage2"),
    "bayes_stage3": Bayes("stage3"),
    "drift": Moved(),
    "both": Condition("both", ("asr", "audio_caption")),
    "whisper_only": Condition("whisper_only", ("asr", "audio_caption")),
    "beats_only": Condition("beats_only", ("asr", "audio_caption")),
    "segment": Condition("segment", ("asr",)),
    "both_long": Condition("both", ("asr",), draw=draw_long),
    "segment_long": Condition("segment", ("asr",), draw=draw_long),
}
CONDITIONS |= {
    f"stage2_s{scale:g}": Condition("stage2", (*TUNED, "phone_recognition"), scale, share=0.5)
    for scale in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5)
}
OTHERS = (
    "long_qa",
    "long_asr",
    "lora_only",
    "text_only",
    "control",
    "few",
    "many_instructions",
    "long_answers",
)
CONDITIONS |= {name: Condition(name, TUNED, share=0.5) for name in (*OTHERS, *SHOT_MODELS)}


def measure(name: str, models: Models, n: int) -> list[dict]:
    """The rows of a condition."""
    torch.manual_seed(zlib.crc32(name.encode()))
    return CONDITIONS[name].rows(models, n)
