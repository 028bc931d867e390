"""The LLM's input, text and audio tokens in one row, and what comes of it: losses and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORE_INDEX = -100  # a label that the loss leaves out


@dataclass(frozen=True)
class Spliced:
    """Rows of the LLM's input.

    Attributes:
        inputs_embeds: (B, S, d_llm), zero where padded.
        attention_mask: (B, S), True where a row has a token.
        position_ids: (B, S), counted within each row.
        labels: (B, S), the answer's token ids, IGNORE_INDEX elsewhere.
    """

    inputs_embeds: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    labels: Tensor


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
    width = max(len(row) for row in rows)
    embeddings = rows[0].new_zeros(len(rows), width, rows[0].shape[1])
    mask = torch.zeros(len(rows), width, dtype=torch.bool, device=rows[0].device)
    padded_labels = torch.full((len(rows), width), IGNORE_INDEX, device=rows[0].device)
    for i, (row, own) in enumerate(zip(rows, labels, strict=True)):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        embeddings[i, place], mask[i, place], padded_labels[i, place] = row, True, own
    return Spliced(embeddings, mask, (mask.long().cumsum(1) - 1).clamp(min=0), padded_labels)
