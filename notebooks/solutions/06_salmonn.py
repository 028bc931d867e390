"""Chapter 6, SALMONN: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/06_salmonn.py
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import cross_entropy

from salmonn_mini.course.exercises import check


# Exercise 6.1: label the row (●○○, 5 minutes)
def labels(before: list[int], n_sound: int, after: list[int], answer: list[int]) -> list[int]:
    prompt = len(before) + n_sound + len(after)
    return [-100] * prompt + answer


check("6.1", labels)


# Exercise 6.2: the loss on the answer alone (●●○, 10 minutes)
def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    predicted, wanted = logits[:-1], labels[1:]  # place i predicts token i + 1
    counts = wanted != -100
    return cross_entropy(predicted[counts], wanted[counts], reduction="sum")


check("6.2", answer_loss)


# Exercise 6.3: positions in a padded batch (●●○, 6 minutes)
def positions(mask: Tensor) -> Tensor:
    return (mask.long().cumsum(1) - 1).clamp(min=0)


check("6.3", positions)


# Exercise 6.4: write greedily (●●○, 10 minutes)
def greedy(next_logits: Callable[[list[int]], Tensor], end: int, max_new_tokens: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < max_new_tokens:
        ids.append(int(next_logits(ids).argmax()))
        if ids[-1] == end:
            break
    return ids


check("6.4", greedy)
