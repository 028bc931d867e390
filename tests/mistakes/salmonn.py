"""Wrong answers to the exercises of chapter 6, each with a piece of the hint that is meant for it."""

import torch
from torch.nn.functional import cross_entropy

OUT = -100


def summed(logits, labels):
    return cross_entropy(logits[:-1], labels[1:], reduction="sum")


def write(
    next_logits, end, limit, *, keep_end=True, stop=True, seen=lambda ids: ids, pick=torch.argmax, more=0
):
    ids = []
    while len(ids) < limit + more:
        token = int(pick(next_logits(seen(ids))))
        if token == end and stop:
            return [*ids, token] if keep_end else ids
        ids.append(token)
    return ids


def greedy(**changes):
    return lambda next_logits, end, max_new_tokens: write(next_logits, end, max_new_tokens, **changes)


MISTAKES = {
    "6.1": [
        (lambda before, n, after, answer: [OUT] * (len(before) + len(after)) + answer, "Too short"),
        (lambda before, n, after, answer: before + [OUT] * n + after + answer, "The prompt has labels too"),
        (
            lambda before, n, after, answer: [OUT] * (len(before) + n + len(after) - 1) + [*answer, OUT],
            "Shifted by one",
        ),
        (
            lambda before, n, after, answer: [OUT] * (len(before) + n + len(after) + 1) + answer[:-1],
            "Shifted the wrong way",
        ),
        (
            lambda before, n, after, answer: [OUT] * (len(before) + n + len(after)) + [*answer[:-1], OUT],
            "never learns to stop",
        ),
        (
            lambda before, n, after, answer: [0] * (len(before) + n + len(after)) + answer,
            "0 is the id of a token",
        ),
        (
            lambda before, n, after, answer: [OUT] * (len(before) + n + len(after)),
            "The answer itself has no labels",
        ),
    ],
    "6.2": [
        (lambda logits, labels: cross_entropy(logits, labels, reduction="sum"), "No shift"),
        (
            lambda logits, labels: cross_entropy(logits[1:], labels[:-1], reduction="sum"),
            "Shifted the wrong way",
        ),
        (lambda logits, labels: cross_entropy(logits[:-1], labels[1:]), "the mean over the answer's tokens"),
        (lambda logits, labels: summed(logits, labels) / len(labels), "Divided by all places"),
        (lambda logits, labels: -summed(logits, labels), "The sign"),
        (lambda logits, labels: summed(logits, labels.clamp(min=0)), "They must be left out"),
        (
            lambda logits, labels: -logits[:-1].log_softmax(-1)[range(6), labels[1:] % 5].sum(),
            "They must be left out",
        ),
    ],
    "6.3": [
        (lambda mask: torch.arange(mask.shape[1]).expand(mask.shape), "Padding is counted too"),
        (lambda mask: mask.long().cumsum(1), "Counted from 1"),
        (lambda mask: mask.long().cumsum(1) - 1, "no such place"),
        (
            lambda mask: (mask.flatten().long().cumsum(0) - 1).clamp(min=0).view(mask.shape),
            "Each row counts for itself",
        ),
        (lambda mask: (mask.long().cumsum(1) - 1).masked_fill(~mask, 99), "[99] is no place of a row of 5"),
    ],
    "6.4": [
        (greedy(stop=False, more=90), "It goes on for ever"),
        (greedy(keep_end=False), "The end symbol is missing"),
        (greedy(stop=False), "It went on after the end symbol"),
        (greedy(seen=lambda ids: ids[-1:]), "The third call holds one token only"),
        (greedy(more=9), "max_new_tokens is not looked at"),
        (greedy(more=1), "One too many"),
        (greedy(pick=torch.argmin), "the most likely one is 4"),
        (lambda next_logits, end, max_new_tokens: [4, 1, 5, 3], "The model was not asked"),
    ],
}
