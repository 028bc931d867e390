"""Chapter 6, SALMONN: exercises and quiz."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from salmonn_mini.course.exercises.exercise import Hint, Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.models.splice import IGNORE_INDEX


@exercise("6.1", "label the row", level=1, minutes=5)
def label(labels: Student) -> None:
    """a list as long as the row: the answer's token ids where the answer stands, -100 everywhere before it"""
    before, after, answer = [1, 20, 21], [22, 23, 24], [30, 31, 2]
    right = [IGNORE_INDEX] * 10 + answer
    given = labels(list(before), 4, list(after), list(answer))
    length = len(given) if isinstance(given, list) else None
    hint(
        same(given, [IGNORE_INDEX] * 6 + answer),
        "Too short: the 4 audio tokens have places in the row too, so they need labels.",
    )
    hint(
        same(given, before + [IGNORE_INDEX] * 4 + after + answer),
        "The prompt has labels too. Then the model would learn to write instructions; only the answer counts.",
    )
    hint(
        same(given, [*right[1:], IGNORE_INDEX]) or same(given, right[1:]),
        "Shifted by one: a label stands at its own token's place. The loss does the shifting.",
    )
    hint(
        same(given, [IGNORE_INDEX] * 11 + answer[:-1]),
        "Shifted the wrong way: the answer begins at place 10, not 11.",
    )
    hint(
        same(given, [*right[:-1], IGNORE_INDEX]) or same(given, right[:-1]),
        "The end symbol has no label. Then the model never learns to stop.",
    )
    hint(same(given, [0] * 10 + answer), "0 is the id of a token. What is not to count has the label -100.")
    hint(length == 10, "The answer itself has no labels: it is the only part that needs them.")
    expect(given, right, "The labels of 3 tokens, 4 audio tokens, 3 tokens and an answer of 3")
    expect(labels([1], 1, [5], [6, 2]), [IGNORE_INDEX] * 3 + [6, 2], "The labels of a shorter row")


@exercise("6.2", "the loss on the answer alone", level=2, minutes=10)
def loss(answer_loss: Student) -> None:
    """the sum of -log p(label) over all places with a label; place i of the logits (S, V) predicts token i + 1"""
    logits = 2 * torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX, 3, 1, 2])
    each = cross_entropy(logits[:-1], labels[1:], reduction="none")
    given = answer_loss(logits.clone(), labels.clone())
    hint(
        same(given, cross_entropy(logits, labels, reduction="sum").item()),
        "No shift: place i has read token i already. It must predict token i + 1.",
    )
    hint(
        same(given, cross_entropy(logits[1:], labels[:-1], reduction="sum").item()),
        "Shifted the wrong way: place i predicts the token after it, labels[i + 1].",
    )
    hint(
        same(given, (each.sum() / 3).item()),
        "This is the mean over the answer's tokens. Wanted is their sum: -log P of the whole answer.",
    )
    hint(
        same(given, (each.sum() / 6).item()) or same(given, (each.sum() / 7).item()),
        "Divided by all places, though only 3 of them count. Wanted is the sum.",
    )
    hint(same(given, -each.sum().item()), "The sign: a loss is -log p, which is never below zero.")
    everywhere = cross_entropy(logits[:-1], labels[1:].clamp(min=0), reduction="sum")
    wrapped = -logits[:-1].log_softmax(-1).gather(1, labels[1:, None] % 5).sum()
    hint(
        same(given, everywhere.item()) or same(given, wrapped.item()),
        "The places with the label -100 count too. They must be left out.",
    )
    expect(given, each.sum().item(), "The loss of 3 answer tokens")
    none = answer_loss(logits.clone(), torch.full((7,), IGNORE_INDEX))
    expect(none, 0.0, "The loss of a row without an answer")


@exercise("6.3", "positions in a padded batch", level=2, minutes=6)
def position(positions: Student) -> None:
    """a tensor (B, S): each row counts its own tokens from 0; where there is only padding, any place of the
    row
    """
    mask = torch.tensor([[False, False, True, True, True], [True, True, True, True, True]])
    given = positions(mask.clone())
    counted = mask.long().cumsum(1)
    hint(
        same(given, torch.arange(5).expand(2, 5)),
        "Padding is counted too: the first row's first token stands at 2, but alone it would be at 0.",
    )
    hint(same(given, counted), "Counted from 1. The first token's position is 0.")
    hint(
        same(given, counted - 1),
        "-1 where there is padding: no such place. It is masked, but it must exist: 0 will do.",
    )
    hint(
        same(given, (mask.flatten().long().cumsum(0) - 1).clamp(min=0).view(2, 5)),
        "The second row goes on where the first ended. Each row counts for itself.",
    )
    _expect_positions(given, mask)
    right = mask.flip(1)
    _expect_positions(positions(right.clone()), right)


def _expect_positions(given: object, mask: Tensor) -> None:
    right = (mask.long().cumsum(1) - 1).clamp(min=0)
    if isinstance(given, Tensor) and given.shape == mask.shape and given.dtype != torch.bool:
        outside = given[(given < 0) | (given >= mask.shape[1])].tolist()
        hint(bool(outside), f"{outside[:1]} is no place of a row of {mask.shape[1]}: they go from 0.")
        given = torch.where(mask, given, right)  # any place will do for padding
    expect(given, right, "The positions")


class _Script:
    """A tiny language model of 6 tokens: after 4, 1, 5 it ends. 3 is its end symbol."""

    ANSWER = (4, 1, 5, 3)

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, ids: list[int]) -> Tensor:
        self.calls.append([int(token) for token in ids])
        if len(self.calls) > 12:
            raise RuntimeError("asked too often")
        said = self.calls[-1]
        token = self.ANSWER[len(said)] if said == list(self.ANSWER[: len(said)]) and len(said) < 4 else 2
        return torch.full((6,), -1.0).index_fill(0, torch.tensor(token), 3.0)


@exercise("6.4", "write greedily", level=2, minutes=10)
def write(greedy: Student) -> None:
    """the token ids, end symbol included: each the most likely one after those before; at most max_new_tokens"""
    script = _Script()
    try:
        given = greedy(script, 3, 10)
    except Hint:
        asked = len(script.calls) > 12
        hint(asked, "It goes on for ever. Stop at the end symbol, and after max_new_tokens at the latest.")
        raise
    hint(not script.calls, "The model was not asked: call next_logits with the list of all ids so far.")
    hint(
        same(given, list(script.ANSWER[:3])),
        "The end symbol is missing. It is a token of the answer as well: the model wrote it.",
    )
    first = given[0] if isinstance(given, list) and given else 4
    hint(first != 4, f"The first token is {first}, but the most likely one is 4, with the largest logit.")
    hint(
        isinstance(given, list) and len(given) == 10 and 3 in given,
        "It went on after the end symbol. An answer ends there.",
    )
    hint(
        len(script.calls) > 1 and len(script.calls[1]) != 1,
        "The second call must hold the one token that was written by then.",
    )
    hint(
        len(script.calls) > 2 and len(script.calls[2]) == 1,
        "The third call holds one token only. The model must see all that was written so far.",
    )
    expect(given, list(script.ANSWER), "The answer")
    cut = greedy(_Script(), 3, 2)
    hint(same(cut, [4, 1, 5, 3]), "max_new_tokens is not looked at: with 2, only two tokens may be written.")
    hint(same(cut, [4, 1, 5]), "One too many: max_new_tokens = 2 allows two tokens.")
    expect(cut, [4, 1], "The answer with max_new_tokens = 2")


enter(
    6,
    """
How does the sound get into the language model?
- As a new kind of token, added to its vocabulary.
  <Speech> is plain text, and H has no token ids. The vocabulary is as it was.
+ As vectors, put where word embeddings would stand.
  The language model computes with vectors from its first layer on, wherever they come from.
- Through cross-attention in every layer.
  That is how the Q-Former reads Z. The language model has no such layers: it reads H in its row.

The loss looks at the answer alone. What would happen if it counted the instruction too?
+ The model would also learn to write instructions.
  There are few of them, repeated again and again: effort spent on nothing that anybody asks for.
- Nothing: the instruction is given.
  It is given when the model is used. A label on it asks the model to predict it in training.
- H would be learned by heart.
  H has no token ids, so it cannot be a label at all.

The language model is frozen. Does the error flow through it?
- No: frozen means that there is no gradient.
  Its own numbers get none. But the Q-Former lies behind it, and learns through it.
+ Yes: back to H, and on to the Q-Former.
  So training must keep the language model's inner values in memory, though nothing there is changed.
- Only through LoRA.
  The error passes through every layer, with LoRA or without.

Why are rows padded on the left for generation?
- It is faster.
  Both sides cost the same.
+ So that each row ends where its answer begins.
  The new token is written behind the last place. With padding there, it would follow upon nothing.
- Because a causal model cannot see padding on its left.
  It would see it. The attention mask hides it, on either side.

A model writes “a dog barks” for six clips out of six that it was trained on. What do you know?
- It has learned to hear.
  Ask it about a seventh clip first.
+ That the error reaches the parts that are trained.
  Learning one batch by heart is the cheapest test of a training loop, and no test of hearing.
- Its learning rate is too high.
  Six examples are learned by heart at almost any rate that works at all.
""",
)
