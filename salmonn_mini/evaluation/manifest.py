"""A manifest's clips, answered and scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from salmonn_mini.data.clips import ManifestDataset
from salmonn_mini.data.manifest import Sample
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.evaluate import answer_clips
from salmonn_mini.evaluation.report import Report, Sweep
from salmonn_mini.models.lora import current_scale
from salmonn_mini.models.salmonn import SalmonnModel


def select_tasks(samples: Sequence[Sample], tasks: Sequence[str]) -> list[Sample]:
    """The samples of some tasks.

    Raises:
        SalmonnError: a task that no sample has.
    """
    known = dict.fromkeys(sample.task for sample in samples)
    for task in tasks:
        if task not in known:
            raise SalmonnError(f"the manifest has no task {task!r}: choose among {', '.join(known)}")
    return [sample for sample in samples if sample.task in tasks]


def evaluate_manifest(
    model: SalmonnModel, samples: Sequence[Sample], *, lora_scale: float | None = None, **settings: Any
) -> Report:
    """Answer and score a manifest's clips at one LoRA scale, None: as the model stands; else as `sweep_manifest`."""
    scale = current_scale(model.llm) if lora_scale is None else lora_scale
    return sweep_manifest(model, samples, [scale], **settings).reports[0]


def sweep_manifest(
    model: SalmonnModel,
    samples: Sequence[Sample],
    scales: Sequence[float],
    *,
    prompts: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    **settings: Any,
) -> Sweep:
    """Answer and score a manifest's clips at several LoRA scales.

    Args:
        prompts: of each task; the task table's own by default. `seed` draws one for each clip.
        settings: as for `answer_clips`.

    Raises:
        SalmonnError: a task without prompts, and as `answer_clips`.
    """
    clips = ManifestDataset(samples, model.config, seed, prompts)
    names, identity = [str(sample.path) for sample in samples], {"manifest": digest(clips)}
    return answer_clips(model, clips, names, scales, seed, identity=identity, **settings)


def digest(clips: ManifestDataset) -> str:
    """Equal for the same samples with the same prompts, in the same order."""
    rows = [
        [str(s.path.absolute()), *map(str, s.expand_wav), s.task, s.text, example.prompt]
        for s, example in zip(clips.samples, clips.examples, strict=True)
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
