"""Chapter 6, SALMONN: exercises and quiz."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from salmonn_mini.course.exercises.exercise import Hint, Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.models.splice import IGNORE_INDEX, answer_labels, splice_batch

BEFORE, AFTER = [1, 5], [[6, 7, 8], [6, 9]]  # token ids of a batch of two
ANSWERS = [[10, 2], [11, 4, 3, 2]]
LENGTHS = [2, 4]  # audio tokens of each


@exercise("6.1", "splice a batch", level=3, minutes=20, reference=splice_batch)
def splicing(spliced: Student) -> None:
    """two tensors: the rows (B, S, d), numbers, padded to the longest, on the right with answers and on the left
    without; and the mask (B, S), True where a row has a token
    """
    embed, H = _embedding(), _audio_tokens()
    for answers in (ANSWERS, None):
        lengths = torch.tensor(LENGTHS)
        given = _two(spliced(embed, H.clone(), lengths, BEFORE, AFTER, answers))
        rows, mask = splice_batch(embed, H, lengths, BEFORE, AFTER, answers)
        _name_wrong_splice(given, embed, H, answers)
        what = "with answers" if answers else "without answers"
        expect(given[1], mask, f"The mask {what}")
        hint(
            isinstance(given[0], Tensor) and given[0].shape != rows.shape,
            f"The rows {what} are {tuple(given[0].shape)}, but they must be {tuple(rows.shape)}.",
        )
        own = given[0] * mask[..., None] if isinstance(given[0], Tensor) else given[0]
        expect(own, rows, f"The rows {what}, where they have tokens")
    learned = _two(spliced(embed, H.clone().requires_grad_(True), lengths, BEFORE, AFTER, ANSWERS))[0]
    hint(
        not learned.requires_grad,
        "The rows are right, but no gradient gets back to H, so the Q-Former could not learn. Join the tensors "
        "themselves; do not make new ones of their values.",
    )


def _two(given: Any) -> Any:
    pair = isinstance(given, tuple | list) and len(given) == 2
    hint(not pair, "Return two tensors, the rows and the mask: `return rows, mask`.")
    return given


def _name_wrong_splice(given: Any, embed: nn.Module, H: Tensor, answers: list[list[int]] | None) -> None:
    """Splices that are nearly right, each by its mask or by its rows."""
    lengths, mask = torch.tensor(LENGTHS), given[1]
    right = splice_batch(embed, H, lengths, BEFORE, AFTER, answers)[1]
    hint(
        same(mask, right.flip(1)) or (isinstance(mask, Tensor) and same(mask.bool(), right.flip(1))),
        "Padded on the right without answers. The next token is written after the last place, so rows must end there."
        if answers is None
        else "Padded on the left with answers. For the loss the rows begin together, and padding comes last.",
    )
    full = splice_batch(embed, H, torch.tensor([4, 4]), BEFORE, AFTER, answers)
    hint(
        same(mask, full[1]) or same(given[0], full[0]),
        "All 4 places of H are used for the first clip, but lengths says that it has 2 audio tokens.",
    )
    one = splice_batch(embed, H, lengths, BEFORE, [AFTER[0]] * 2, answers)
    hint(same(given[0], one[0]), "Both rows have the first instruction. Row i has after[i].")
    bare = splice_batch(embed, H, lengths, BEFORE, AFTER, [[], []])
    hint(
        answers is not None and same(mask, bare[1]),
        "The answers are missing: they are the end of their rows.",
    )
    early = splice_batch(embed, H, lengths, [], [BEFORE + ids for ids in AFTER], answers)
    hint(same(given[0], early[0]), "H stands first. It follows `before`.")
    hint(
        same(mask, torch.ones_like(right)),
        "The mask is True everywhere. It must be False where the shorter row is padded.",
    )


def _embedding() -> nn.Embedding:
    embed = nn.Embedding(12, 3)
    embed.weight.data = torch.linspace(-1, 1, 36).view(12, 3).cos()
    return embed.requires_grad_(False)


def _audio_tokens() -> Tensor:
    return torch.linspace(1, 5, 24).view(2, 4, 3).sin()


@exercise("6.2", "label the rows", level=2, minutes=10, reference=answer_labels)
def labeling(labels: Student) -> None:
    """a tensor (B, S) of token ids: each answer's where that answer stands in its row, and -100 elsewhere"""
    mask = torch.arange(9) < torch.tensor([7, 9])[:, None]
    answers = [[30, 31, 2], [40, 2]]
    right = answer_labels(mask, answers)
    given = labels(mask.clone(), [list(ids) for ids in answers])
    padded = torch.full_like(right, IGNORE_INDEX)
    padded[0, 6:], padded[1, 7:] = torch.tensor(answers[0]), torch.tensor(answers[1])
    endless = right.masked_fill(right == 2, IGNORE_INDEX)
    for wrong, mistake in (
        (
            padded,
            "The first row's answer was put at the end of the padded row. It ends where the row's own "
            "tokens end: at place 6.",
        ),
        (
            right.roll(-1, 1),
            "Shifted by one: a label stands at its own token's place. The loss does the shifting.",
        ),
        (right.roll(1, 1), "Shifted the wrong way: the first row's answer ends at place 6, not 7."),
        (endless, "The end symbol has no label. Then the model never learns to stop."),
        (right.clamp(min=0), "0 is the id of a token. What is not to count has the label -100."),
        (
            torch.full_like(right, IGNORE_INDEX),
            "The answers have no labels: they are the only part that needs them.",
        ),
        (right.masked_fill(~mask, 0), "Padding has the label 0, the id of a token. It must be -100 too."),
    ):
        hint(same(given, wrong), mistake)
    expect(given, right, "The labels of rows of 7 and 9 tokens with answers of 3 and 2")
    expect(labels(mask[:1], [[5, 2]]), answer_labels(mask[:1], [[5, 2]]), "The labels of a single row")


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """-log P of each row's answer, in nats, (B,), from logits (B, S, V) and labels (B, S)."""
    each = cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
    return each.sum(1)


@exercise("6.3", "the loss on the answer alone", level=2, minutes=15, reference=answer_loss)
def loss(answer_loss_: Student) -> None:
    """a tensor (B,): for each row, from logits (B, S, V) and labels (B, S), minus the log-probability of all its
    labeled tokens together, in nats
    """
    logits = 2 * torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX, 3, 1, 2], [IGNORE_INDEX] * 6])
    labels[1, 2:4] = torch.tensor([4, 2])
    right, counted = answer_loss(logits, labels), torch.tensor([3.0, 2.0])
    try:
        given = answer_loss_(logits.clone(), labels.clone())
    except Hint as mistake:
        hint(
            "Expected target size" in str(mistake),
            f"{mistake} cross_entropy wants the vocabulary on axis 1: (B, V, S), with labels (B, S).",
        )
        raise
    _name_wrong_loss(given, logits, labels)
    for wrong, mistake in (
        (
            right / counted,
            "This is the mean over the answer's tokens. Wanted is their sum: -log P of a whole answer.",
        ),
        (right / 5, "Divided by all places, though only 3 and 2 of them count. Wanted is the sum."),
        (right / 6, "Divided by all places, though only 3 and 2 of them count. Wanted is the sum."),
        (-right, "The sign: a loss is -log p, which is never below zero."),
        (right.sum(), "One number for the whole batch. Wanted is one for each row."),
        (right.sum() / 5, "One number, the mean over the batch. Wanted is a sum for each row."),
    ):
        hint(same(given, wrong) or same(given, wrong.tolist()), mistake)
    expect(given, right, "The losses of answers of 3 and 2 tokens")
    learned = answer_loss_(logits.clone().requires_grad_(True), labels.clone())
    hint(
        not learned.requires_grad, "The loss has no gradient: sum tensors, not the numbers taken out of them."
    )
    none = answer_loss_(logits.clone(), torch.full((2, 6), IGNORE_INDEX))
    expect(none, torch.zeros(2), "The losses of rows without an answer")


def _name_wrong_loss(given: Any, logits: Tensor, labels: Tensor) -> None:
    """Losses of the wrong places, of all places, or of a softmax over the wrong axis."""

    def summed(log_p: Tensor, ids: Tensor) -> Tensor:
        picked = -log_p.gather(2, ids.clamp(min=0)[..., None])[..., 0]
        return (picked * (ids != IGNORE_INDEX)).sum(1)

    log_p, before, after = logits.log_softmax(2), slice(None, -1), slice(1, None)
    everywhere = -log_p[:, before].gather(2, labels[:, after].clamp(min=0)[..., None]).sum((1, 2))
    for wrong, mistake in (
        (summed(log_p, labels), "No shift: place i has read token i already. It must predict token i + 1."),
        (
            summed(log_p[:, after], labels[:, before]),
            "Shifted the wrong way: place i predicts the token after it.",
        ),
        (
            summed(logits.log_softmax(1)[:, before], labels[:, after]),
            "Softmax over the places: it belongs over the vocabulary, the last axis.",
        ),
        (
            summed(logits[:, before].log_softmax(1), labels[:, after]),
            "Softmax over the places: it belongs over the vocabulary, the last axis.",
        ),
        (
            summed(logits[:, before], labels[:, after]),
            "These are logits, not log-probabilities: log_softmax is missing.",
        ),
        (summed(log_p[:, before].exp(), labels[:, after]), "These are probabilities: take their logarithm."),
        (everywhere, "The places with the label -100 count too. They must be left out."),
    ):
        hint(same(given, wrong), mistake)


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
  <Speech> is plain text, and H has no token ids. No token was added for it.
+ As vectors, put where word embeddings would stand.
  The language model computes with vectors from its first layer on, wherever they come from.
- Through cross-attention in every layer.
  That is how the Q-Former reads Z. The language model has no such layers: it reads H in its sequence.

The loss looks at the answer alone. What would happen if it counted the instruction too?
+ The model would also learn to write instructions.
  They are few and repeated: effort spent on what nobody asks for.
- Nothing: the instruction is given.
  It is given when the model is used. A label on it asks the model to predict it in training.
- H would be learned by heart.
  H has no token ids, so it cannot be a label at all.

The language model is frozen. Does the gradient flow through it?
- No: frozen means that there is no gradient.
  Its own parameters get none. But the Q-Former feeds it, and learns through it.
+ Yes: back to H, and on to the Q-Former.
  So training must keep the language model's activations in memory, though nothing there is changed.
- Only through LoRA.
  The gradient passes through every layer, with LoRA or without.

Why are rows padded on the left for generation?
- It is faster.
  Both sides cost the same.
+ So that each row ends where its answer begins.
  The new token is written after the last place. With padding there, it would be predicted by nothing.
- Because a causal model cannot see padding on its left.
  It would see it. The attention mask hides it, on either side.

The first token is “a” with p = 0.6 or “the” with 0.4. After “a” the best next token has 0.5, after “the” 0.9. What do
greedy decoding and a beam of 2 find?
- Both find “a …”, with 0.30.
  The beam keeps both beginnings, and 0.4 · 0.9 is more.
+ Greedy decoding “a …”, with 0.30; the beam “the …”, with 0.36.
  The best first token need not begin the likeliest answer.
- Both find “the …”, with 0.36.
  Greedy decoding takes “a” at once, and never goes back.

A model writes the right answer to six clips out of six that it was trained on. What do you know?
- It has learned to hear.
  Ask it about a seventh clip first.
+ That splice, labels and loss fit together, and the gradient reaches what is trained.
  Learning one batch by heart is the cheapest test of a training loop, and no test of hearing.
- Its learning rate is too high.
  Whether six clips can be learned by heart says nothing about that.
""",
)
