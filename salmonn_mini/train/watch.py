"""A fixed sample of clips that are never trained on, transcribed now and then during a run."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator

from salmonn_mini.data import ClipSet, usable
from salmonn_mini.features import Features
from salmonn_mini.metrics.words import word_errors
from salmonn_mini.model import Salmonn
from salmonn_mini.train.hearing import hear

TOGETHER = 16  # clips that are decoded at once
MAX_NEW_TOKENS = 100


class Watch:
    """Clips that the ears hear once, to be answered by the model as it is.

    Every process answers all of them, in step with the others: a model whose weights are spread needs that.
    """

    def __init__(self, model: Salmonn, clips: ClipSet, cache: Path, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        heard = hear(model, clips, cache, accelerator)
        self.questions = [clips.questions[i] for i in usable(heard)]
        self.heard = [heard[i] for i in usable(heard)]

    def wer(self, model: Salmonn) -> float:
        """The word error rate of greedy answers, as a fraction; the model must be in evaluation mode."""
        errors = words = 0
        for start in range(0, len(self.questions), TOGETHER):
            asked = self.questions[start : start + TOGETHER]
            features = Features.stack(self.heard[start : start + TOGETHER]).to(self.accelerator.device)
            answers = model.generate(features, [q.prompt for q in asked], max_new_tokens=MAX_NEW_TOKENS)
            for question, answer in zip(asked, answers, strict=True):
                wrong, of = word_errors(question.answer, answer.text)
                errors, words = errors + wrong, words + of
        return errors / max(1, words)
