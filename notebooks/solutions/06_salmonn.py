"""Chapter 6, SALMONN: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/06_salmonn.py
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from salmonn_mini.course.exercises import check, use


# Exercise 6.1: splice a batch (●●●, 20 minutes)
def splice_batch(
    embed: nn.Module,
    H: Tensor,
    lengths: Tensor,
    before: list[int],
    after: list[list[int]],
    answers: list[list[int]] | None,
) -> tuple[Tensor, Tensor]:
    rows = []
    for i in range(len(H)):
        end = after[i] if answers is None else after[i] + answers[i]
        rows.append(torch.cat([embed(torch.tensor(before)), H[i, : lengths[i]], embed(torch.tensor(end))]))
    side = "left" if answers is None else "right"
    own = [torch.ones(len(row), dtype=torch.bool) for row in rows]
    return (
        pad_sequence(rows, batch_first=True, padding_side=side),
        pad_sequence(own, batch_first=True, padding_side=side),
    )


splice_batch = use("6.1", splice_batch)


# Exercise 6.2: label the rows (●●○, 10 minutes)
def answer_labels(mask: Tensor, answers: list[list[int]]) -> Tensor:
    labels = torch.full(mask.shape, -100)
    for i, answer in enumerate(answers):
        end = int(mask[i].sum())  # the row's own tokens, without padding
        labels[i, end - len(answer) : end] = torch.tensor(answer)
    return labels


answer_labels = use("6.2", answer_labels)


# Exercise 6.3: the loss on the answer alone (●●○, 15 minutes)
def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    predicted, wanted = logits[:, :-1], labels[:, 1:]  # place i predicts token i + 1
    each = cross_entropy(predicted.transpose(1, 2), wanted, ignore_index=-100, reduction="none")
    return each.sum(1)


answer_loss = use("6.3", answer_loss)


# Exercise 6.4: write greedily (●●○, 10 minutes)
def greedy(next_logits: Callable[[list[int]], Tensor], end: int, max_new_tokens: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < max_new_tokens:
        ids.append(int(next_logits(ids).argmax()))
        if ids[-1] == end:
            break
    return ids


check("6.4", greedy)
