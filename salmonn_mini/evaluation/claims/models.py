"""The models that the claims are measured on, each trained when it is first needed, and kept.

A row of MODELS is a recipe with changes. The models of a seed share what they can: stage 2 begins with that seed's
stage 1, stage 3 with its stage 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from salmonn_mini import pretrained, train
from salmonn_mini.data import ClipDataset
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.evaluation.activation_tuning import SAMPLES, save_examples, self_generated, tune_on_text
from salmonn_mini.evaluation.evaluate import encode_examples
from salmonn_mini.evaluation.sources import EncodedExamples
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.toy.dataset import ToyDataset
from salmonn_mini.toy.world import answers, grammar
from salmonn_mini.toy.world.audio_tasks import ToyExample
from salmonn_mini.toy.world.clips import ClipPlan, draw_seed, draw_utterance
from salmonn_mini.toy.world.wordings import add_affixes, wordings
from salmonn_mini.train import Recipe, load_recipe

Draw = Callable[[str, int, int], list[ToyExample]]  # from (task, n, seed)

LONG_SHARE = 0.25  # of the clips of `long_answers`
SHORT = {"steps": 1200, "clips": 4000}  # of the runs that are only compared with each other
HEATED = {"steps": 700, "clips": 3000, "warmup": 100}  # of the runs on what makes a model over-fit
RATES, STEPS = (1e-3, 3e-3, 9e-3), (200, 600)  # of LoRA, for how far it moves


# Two causes of over-fitting, which the paper names together (section 3.2), taken apart: few simple instructions, and
# short answers that leave no choice. Each function gives stage 2's clips with one of them changed.


def few_instructions(recipe: Recipe) -> ToyDataset:
    """A single wording for each task; what fills a gap stays the clip's own."""
    clips = ToyDataset(recipe.tasks, recipe.clips, recipe.seed)
    firsts = {task: TASKS[task].prompts[0] for task in recipe.tasks}
    fixed = {task: first for task, first in firsts.items() if "{}" not in first}
    clips.examples = [replace(one, prompt=fixed.get(one.task, one.prompt)) for one in clips.examples]
    return clips


def many_instructions(recipe: Recipe) -> ToyDataset:
    """The same clips and answers, with some hundred wordings for each task."""
    clips = ToyDataset(recipe.tasks, recipe.clips, recipe.seed)
    for i, one in enumerate(clips.examples):
        rng, prompts = np.random.default_rng((i, 21)), TASKS[one.task].prompts
        prompt = one.prompt if "{}" in prompts[0] else grammar.pick(rng, prompts)
        clips.examples[i] = replace(one, prompt=add_affixes(rng, prompt))
    return clips


def long_answers(recipe: Recipe) -> ToyDataset:
    """A single wording for each task; of a quarter of the clips the model has to tell at length what is said."""
    clips, rng = few_instructions(recipe), np.random.default_rng((recipe.seed, 22))
    for i in np.flatnonzero(rng.random(len(clips)) < LONG_SHARE):
        statement = grammar.draw(grammar.draw_statement, rng, "train")
        plan = ClipPlan(draw_seed(rng), (draw_utterance(statement.text, rng),))
        prompt, answer = wordings("detail")[0], answers.detail(statement)
        clips.toy_examples[i] = ToyExample("detail", plan, prompt, answer, statement.text)
        changed = {"prompt": prompt, "answer": answer, "description": statement.text}
        clips.examples[i] = replace(clips.examples[i], task="detail", **changed)
    return clips


@dataclass(frozen=True)
class Variant:
    """A row of MODELS: a recipe, which begins with the row that its `init` names, and what is changed.

    Attributes:
        data: the kind of activation data, for stage 3.
        as_text: the samples' words stand in the prompt, without audio.
        clips: other clips than the recipe's.
    """

    recipe: str
    changes: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    as_text: bool = False
    clips: Callable[[Recipe], ClipDataset] | None = None


def _encoders(**config: Any) -> Variant:
    return Variant("toy-stage1", SHORT | {"config": config})


def _heated(clips: Callable[[Recipe], ClipDataset] | None = None, **changes: Any) -> Variant:
    return Variant("toy-stage2", HEATED | changes, clips=clips)


MODELS: dict[str, Variant] = {
    "stage1": Variant("toy-stage1"),
    "stage2": Variant("toy-stage2"),
    "stage3": Variant("toy-stage3", data="story"),
    "long_qa": Variant("toy-stage3", data="long_qa"),
    "long_asr": Variant("toy-stage3", data="long_asr"),
    "lora_only": Variant("toy-stage3", {"trainable": ["lora"]}, data="story"),
    "text_only": Variant("toy-stage3", data="story", as_text=True),
    "both": _encoders(),
    "whisper_only": _encoders(beats=None),
    "beats_only": _encoders(whisper=None),
    "segment": _encoders(connector={"kind": "segment_qformer", "segment_query_tokens": 16}),
    "few": _heated(few_instructions),
    "many_instructions": _heated(many_instructions),
    "long_answers": _heated(long_answers),
}
MOVED = {(rate, steps): f"moved_{rate:g}_{steps}" for rate in RATES for steps in STEPS}
MODELS |= {name: _heated(lora_lr=rate, steps=steps) for (rate, steps), name in MOVED.items()}


class Models:
    """The models of one seed, in a folder of their own."""

    def __init__(self, seed: int, runs: Path, device: str | None = None) -> None:
        self.seed, self.device = seed, device
        self.folder, self.cache = runs / f"seed{seed}", runs / "features"
        self._encoded: dict[tuple, EncodedExamples] = {}

    def __getitem__(self, name: str) -> SalmonnModel:
        """The model of a row of MODELS, trained if it is not there."""
        return pretrained.load(self.trained(name), device=self.device)

    def encoded(self, model: SalmonnModel, draw: Draw, task: str, n: int) -> EncodedExamples:
        """The features of n clips that `draw` gives: the same for all models with the same encoders."""
        key = (draw, task, n, model.config.whisper, model.config.beats)
        if key not in self._encoded:
            self._encoded[key] = encode_examples(model, draw(task, n, self.seed))
        return self._encoded[key]

    def trained(self, name: str) -> Path:
        """The folder of a trained model."""
        folder = self.folder / name
        return folder if (folder / "config.json").exists() else self._train(folder, MODELS[name])

    def _train(self, folder: Path, row: Variant) -> Path:
        values = load_recipe(row.recipe).to_dict() | row.changes
        values |= {"output_dir": str(folder), "cache_dir": str(self.cache), "seed": self.seed + 1}
        before = values["init"]
        if before in MODELS:
            values["init"] = str(self.trained(before))
        if row.data and not row.as_text:
            manifest = self.folder / f"data_{row.data}_{SAMPLES}" / "manifest.json"
            if not manifest.exists():
                save_examples(self_generated(self[before], row.data, seed=self.seed), manifest.parent)
            values |= {"manifest": str(manifest), "prompts": str(manifest.with_name("prompts.json"))}
        recipe = Recipe.from_dict(values)
        if row.clips is None and not row.as_text:
            return train.train_recipe(recipe)
        model = self[before]
        if row.as_text:
            tune_on_text(model, self_generated(model, row.data, seed=self.seed), recipe.lora_lr)
        else:
            train.fit(model, row.clips(recipe), recipe)
        pretrained.save(model, folder, info={"stage": recipe.stage, "recipe": recipe.to_dict()})
        return folder
