"""The no-audio baseline: what of a score is left without the clip's own sound (arXiv 2604.24401).

A model that answers as well from silence has not listened; what it keeps comes from the prompt and the language model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from salmonn_mini.errors import SalmonnError, unknown
from salmonn_mini.models.salmonn import SalmonnModel

CONTROLS = {
    "silence": "zeros of the clip's length",
    "other": "the sound of another clip of the task",
    "reversed": "the clip backwards",
    "no_audio": "no audio tokens at all",
}


def controls_of(control: str | None) -> list[str]:
    """What is asked of each clip: "", with its own sound, and the control; raises SalmonnError at an unknown one."""
    if control and control not in CONTROLS:
        raise unknown("control", control, CONTROLS)
    return ["", control] if control else [""]


def changed(wave: Tensor, control: str) -> Tensor:
    """The sound X (S,) under a control that needs no other clip."""
    if control == "silence":
        return torch.zeros_like(wave)
    return wave.flip(0) if control == "reversed" else wave


def other_clips(names: Sequence[str], seed: int) -> list[int]:
    """For each clip the number of another one, whose sound stands in for it: the next one in a random cycle.

    Raises:
        SalmonnError: all are the same clip.
    """
    if len(set(names)) < 2:
        raise SalmonnError(
            f"control 'other' has one clip alone: give at least two of each task (got {set(names)})"
        )
    cycle = np.random.default_rng((seed, 23)).permutation(len(names)).tolist()
    others = [0] * len(names)
    for at, clip in enumerate(cycle):
        turn = cycle[at + 1 :] + cycle[:at]
        others[clip] = next(other for other in turn if names[other] != names[clip])
    return others


@contextmanager
def without_audio_tokens(model: SalmonnModel, control: str) -> Iterator[None]:
    """Under `no_audio` the model's H is empty within the block: <Speech></Speech>."""
    if control != "no_audio":
        yield
        return
    model.get_audio_features = lambda features: no_tokens(model, len(features))
    try:
        yield
    finally:
        del model.get_audio_features


def no_tokens(model: SalmonnModel, B: int) -> tuple[Tensor, Tensor]:
    """H (B, 0, d_llm) and its lengths (B,), all 0."""
    H = torch.zeros(B, 0, model.llm.config.hidden_size, device=model.device)
    return H, torch.zeros(B, dtype=torch.long, device=model.device)
