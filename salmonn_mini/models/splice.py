"""The LLM's input, text and audio tokens in one row, and its results: losses and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

IGNORE_INDEX = -100  # a label that the loss leaves out


@dataclass(frozen=True)
class Spliced:
    """Rows of the LLM's input."""

    inputs_embeds: Tensor  # (B, S, d_llm), zero where padded
    attention_mask: Tensor  # (B, S), True where a row has a token
    position_ids: Tensor  # (B, S), counted within each row
    labels: Tensor  # (B, S), the answer's token ids, IGNORE_INDEX elsewhere


@dataclass(frozen=True)
class AnswerLoss:
    """Cross-entropy in nats, summed over `tokens` tokens of answers; `per_sample` (B,) is each sample's part."""

    total: Tensor
    tokens: int
    per_sample: Tensor  # for logs: without gradient

    @property
    def mean(self) -> Tensor:
        return self.total / max(1, self.tokens)


@dataclass(frozen=True)
class Answer:
    """A generated answer Y: its words, its token ids with the end symbol, and whether it came to an end."""

    text: str
    token_ids: tuple[int, ...]
    ended: bool


def pad_rows(rows: Sequence[Tensor], labels: Sequence[Tensor], *, left: bool) -> Spliced:
    """Pad rows (S_i, d_llm) and labels (S_i,) to one batch, on the left for generation, else on the right."""
    side = "left" if left else "right"
    lengths = [torch.ones(len(row), dtype=torch.bool, device=row.device) for row in rows]
    mask = pad_sequence(lengths, batch_first=True, padding_side=side)
    return Spliced(
        inputs_embeds=pad_sequence(list(rows), batch_first=True, padding_side=side),
        attention_mask=mask,
        position_ids=(mask.long().cumsum(1) - 1).clamp(min=0),
        labels=pad_sequence(list(labels), True, IGNORE_INDEX, side),
    )
