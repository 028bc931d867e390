"""The LLM's input, text and audio tokens in one row as published, and its results: losses and answers.

    <s> USER: <Speech>  H  </Speech> instruction ⏎ ASSISTANT:  answer </s>

`<Speech>` is plain text, not a special token. Each part is tokenized by itself, so that the tokens of the text do
not depend on the sound between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from salmonn_mini.errors import SalmonnError

IGNORE_INDEX = -100  # a label that the loss leaves out
Ids = Sequence[int]  # of tokens


class Prompt:
    """Turns instructions and answers into token ids, by a `template` with one `{}` and the `eos_token` of answers.

    Raises:
        SalmonnError: the tokenizer does not know `eos_token`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str, eos_token: str) -> None:
        self.tokenizer = tokenizer
        before, self._after = template.split("{}")
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        self.before: list[int] = [*start, *self.ids(f"{before}<Speech>")]
        self.eos_token_id: Any = tokenizer.convert_tokens_to_ids(eos_token)
        if self.eos_token_id in (None, tokenizer.unk_token_id):
            remedy = f"set eos_token to the one that closes its answers, {tokenizer.eos_token!r} perhaps"
            raise SalmonnError(f"the LLM's tokenizer has no symbol {eos_token!r}: {remedy}")

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def after(self, instruction: str) -> list[int]:
        """What follows the audio tokens, up to where the answer begins."""
        return self.ids(f"</Speech> {instruction}{self._after}")

    def answer(self, text: str) -> list[int]:
        """The answer Y with its end symbol."""
        return [*self.ids(text), self.eos_token_id]

    def text(self, token_ids: list[int]) -> str:
        """The words of generated token ids."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True)).strip()


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


def splice_batch(
    embed: nn.Module,
    H: Tensor,
    lengths: Tensor,
    before: Ids,
    after: Sequence[Ids],
    answers: Sequence[Ids] | None,
) -> tuple[Tensor, Tensor]:
    """Rows of `before`, a clip's audio tokens, its `after` and its answer: (B, S, d_llm), and their mask (B, S).

    H (B, M, d_llm) has `lengths` (B,) audio tokens; the rest are token ids, which `embed` looks up. With answers the
    rows are padded on the right, for the loss; without on the left, for generation.
    """
    rows = []
    for i, end in enumerate(after):
        text = torch.tensor([*before, *end, *(answers[i] if answers else ())], device=H.device)
        first, last = embed(text).tensor_split([len(before)])
        rows.append(torch.cat([first, H[i, : int(lengths[i])].to(first.dtype), last]))
    side = "left" if answers is None else "right"
    ones = [torch.ones(len(row), dtype=torch.bool, device=H.device) for row in rows]
    return pad_sequence(rows, True, padding_side=side), pad_sequence(ones, True, padding_side=side)


def answer_labels(mask: Tensor, answers: Sequence[Ids]) -> Tensor:
    """Labels (B, S): each answer's token ids at the end of its row, IGNORE_INDEX elsewhere.

    `mask` (B, S) is True where a row has a token; a row with an answer is padded on the right.
    """
    labels = torch.full(mask.shape, IGNORE_INDEX, device=mask.device)
    for row, end, answer in zip(labels, mask.sum(1).tolist(), answers, strict=True):
        row[end - len(answer) : end] = torch.tensor(answer, dtype=torch.long)
    return labels
