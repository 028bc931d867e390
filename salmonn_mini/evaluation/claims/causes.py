"""Two causes of over-fitting taken apart: few simple instructions, and short answers that leave no choice.

The paper names both together (section 3.2). Each set of clips here changes one of them in the mixture of stage 2.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from salmonn_mini.data.tasks import TASKS
from salmonn_mini.toy.dataset import ToyDataset, add_affixes
from salmonn_mini.toy.world import grammar, text_tasks
from salmonn_mini.toy.world.audio_tasks import ToyExample
from salmonn_mini.toy.world.clips import ClipPlan, draw_seed, draw_utterance
from salmonn_mini.train import Recipe

LONG_SHARE = 0.25


class FewInstructions(ToyDataset):
    """Stage 2's clips, with a single wording for each task."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe.tasks, recipe.clips, recipe.seed)
        self.examples = [
            replace(q, prompt=self._prompt(q.task, q.prompt, i)) for i, q in enumerate(self.examples)
        ]

    def _prompt(self, task: str, prompt: str, number: int) -> str:
        first = TASKS[task].prompts[0]
        return prompt if "{}" in first else first


class ManyInstructions(FewInstructions):
    """The same clips and answers, with some hundred wordings for each task."""

    def _prompt(self, task: str, prompt: str, number: int) -> str:
        rng = np.random.default_rng((number, 21))
        wordings = TASKS[task].prompts
        chosen = prompt if "{}" in wordings[0] else text_tasks.pick(rng, wordings)
        return add_affixes(rng, chosen)


class LongAnswers(FewInstructions):
    """A single wording for each task; of a quarter of the clips the model has to tell at length what is said."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        rng = np.random.default_rng((recipe.seed, 22))
        for i in np.flatnonzero(rng.random(len(self.examples)) < LONG_SHARE):
            statement = grammar.draw(grammar.draw_statement, rng, "train")
            plan = ClipPlan(draw_seed(rng), (draw_utterance(statement.text, rng),))
            prompt = text_tasks.TEXT_ONLY_PROMPTS["detail"][0]
            answer = text_tasks.detail(statement)
            self.toy_examples[i] = ToyExample("detail", plan, prompt, answer, statement.text)
            self.examples[i] = replace(self.examples[i], task="detail", prompt=prompt, answer=answer)
