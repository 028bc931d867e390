"""The no-audio baseline: what of a score is left without the clip's own sound (arXiv 2604.24401).

A model that answers as well from silence has not listened; what it keeps comes from the prompt and the language model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from salmonn_mini.models.salmonn import SalmonnModel

CONTROLS = {
    "silence": "zeros of the clip's length",
    "other": "the sound of another clip of the task",
    "reversed": "the clip backwards",
    "no_audio": "no audio tokens at all",
}


@contextmanager
def without_audio_tokens(model: SalmonnModel) -> Iterator[None]:
    """The model's H is empty within the block: <Speech></Speech>."""
    model.get_audio_features = lambda features: no_tokens(model, len(features))
    try:
        yield
    finally:
        del model.get_audio_features


def no_tokens(model: SalmonnModel, B: int) -> tuple[Tensor, Tensor]:
    """H (B, 0, d_llm) and its lengths (B,), all 0."""
    H = torch.zeros(B, 0, model.llm.config.hidden_size, device=model.device)
    return H, torch.zeros(B, dtype=torch.long, device=model.device)
