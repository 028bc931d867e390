"""A fixed sample of clips that are never trained on, transcribed every `eval_every` steps of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from accelerate import Accelerator

from salmonn_mini.data import ClipDataset, usable
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.metrics.words import wer
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.train.feature_cache import encode_dataset

BATCH_SIZE = 16  # clips that are transcribed together


class Validation:
    """Clips that are encoded once, and transcribed by the model at its current step.

    Every process transcribes all of them, in step with the others: sharded weights need that. Raises SalmonnError if
    none of the clips can be read.
    """

    def __init__(
        self, model: SalmonnModel, clips: ClipDataset, cache: Path, accelerator: Accelerator
    ) -> None:
        encoded = encode_dataset(model, clips, cache, accelerator)
        self.clips = [(clips.examples[i], encoded[i]) for i in usable(encoded)]
        if not self.clips:
            raise SalmonnError(
                f"none of the {len(clips)} evaluation clips can be read; the first is {clips.examples[0].clip} "
                f"({encoded[0].reason}): correct eval_manifest"
            )

    def wer(
        self, model: SalmonnModel, transcribe: Callable[[Features, Sequence[str]], Sequence[str]]
    ) -> float:
        """The word error rate, a fraction, of what `transcribe` makes of features and prompts in evaluation mode."""
        model.eval()
        answers: list[str] = []
        for start in range(0, len(self.clips), BATCH_SIZE):
            examples, encoded = zip(*self.clips[start : start + BATCH_SIZE], strict=True)
            features, prompts = Features.stack(encoded).to(model.device), [e.prompt for e in examples]
            answers += transcribe(features, prompts)
        model.train()
        return wer([example.answer for example, _ in self.clips], answers)
