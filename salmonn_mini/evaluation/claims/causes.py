"""Two causes of over-fitting taken apart: few simple instructions, and short answers that leave no choice.

The paper names both together (section 3.2). Each function gives stage 2's clips with one of them changed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.toy.dataset import ToyDataset
from salmonn_mini.toy.world import answers, grammar
from salmonn_mini.toy.world.audio_tasks import ToyExample
from salmonn_mini.toy.world.clips import ClipPlan, draw_seed, draw_utterance
from salmonn_mini.toy.world.wordings import add_affixes, wordings
from salmonn_mini.train import Recipe

LONG_SHARE = 0.25


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
        rng, wordings = np.random.default_rng((i, 21)), TASKS[one.task].prompts
        prompt = one.prompt if "{}" in wordings[0] else grammar.pick(rng, wordings)
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
        clips.examples[i] = replace(clips.examples[i], task="detail", prompt=prompt, answer=answer)
    return clips
