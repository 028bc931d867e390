"""A fixed sample of clips that are never trained on, transcribed now and then during a run."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator

from salmonn_mini.data import ClipDataset, usable
from salmonn_mini.evaluation.metrics.words import word_errors
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.train.feature_cache import encode_dataset

BATCH_SIZE = 16  # clips that are decoded at once
MAX_NEW_TOKENS = 100


class Validation:
    """Clips that the ears hear once, to be answered by the model as it is.

    Every process answers all of them, in step with the others: a model whose weights are spread needs that.
    """

    def __init__(self, model: Salmonn, clips: ClipDataset, cache: Path, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        encoded = encode_dataset(model, clips, cache, accelerator)
        self.examples = [clips.examples[i] for i in usable(encoded)]
        self.encoded = [encoded[i] for i in usable(encoded)]

    def wer(self, model: Salmonn) -> float:
        """The word error rate of greedy answers, as a fraction; the model must be in evaluation mode."""
        errors = words = 0
        for start in range(0, len(self.examples), BATCH_SIZE):
            asked = self.examples[start : start + BATCH_SIZE]
            features = Features.stack(self.encoded[start : start + BATCH_SIZE]).to(self.accelerator.device)
            answers = model.generate(features, [q.prompt for q in asked], max_new_tokens=MAX_NEW_TOKENS)
            for example, answer in zip(asked, answers, strict=True):
                wrong, of = word_errors(example.answer, answer.text)
                errors, words = errors + wrong, words + of
        return errors / max(1, words)
