"""Wrong answers to the exercises of chapter 6, each with a piece of the hint that is meant for it."""

import torch
from torch.nn.functional import cross_entropy

from salmonn_mini.course.exercises.salmonn import answer_loss
from salmonn_mini.models.splice import answer_labels, splice_batch

OUT = -100


def spliced(**changes):
    """A right splice of other arguments: each change is a function of all that were given."""

    def wrong(embed, H, lengths, before, after, answers):
        given = {"H": H, "lengths": lengths, "before": before, "after": after, "answers": answers}
        return splice_batch(embed, **given | {name: change(given) for name, change in changes.items()})

    return wrong


def flipped(with_answers):
    """Padded on the wrong side, with answers or without."""

    def wrong(embed, H, lengths, before, after, answers):
        if (answers is not None) != with_answers:
            return splice_batch(embed, H, lengths, before, after, answers)
        joined = [a + b for a, b in zip(after, answers or [[]] * len(after), strict=True)]
        return splice_batch(embed, H, lengths, before, joined, None if with_answers else [[]] * len(after))

    return wrong


def then(change):
    """A right splice of which the result is changed."""
    return lambda *given: change(*splice_batch(*given))


def labeled(change):
    return lambda mask, answers: change(answer_labels(mask, answers), mask)


def at_the_end(mask, answers):
    labels = torch.full(mask.shape, OUT)
    for row, ids in zip(labels, answers, strict=True):
        row[-len(ids) :] = torch.tensor(ids)
    return labels


def picked(values, ids):
    """Minus the sum of what stands at the labels, row by row."""
    return -(values.gather(2, ids.clamp(min=0)[..., None])[..., 0] * (ids != OUT)).sum(1)


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
        (flipped(with_answers=False), "Padded on the right without answers"),
        (flipped(with_answers=True), "Padded on the left with answers"),
        (
            spliced(lengths=lambda given: torch.full((2,), given["H"].shape[1])),
            "lengths says that it has 2 audio tokens",
        ),
        (
            spliced(after=lambda given: [given["after"][0]] * 2),
            "Both rows have the first instruction",
        ),
        (spliced(answers=lambda given: given["answers"] and [[], []]), "The answers are missing"),
        (
            spliced(
                before=lambda given: [],
                after=lambda given: [given["before"] + ids for ids in given["after"]],
            ),
            "H stands first",
        ),
        (then(lambda rows, mask: (rows, torch.ones_like(mask))), "True everywhere"),
        (then(lambda rows, mask: rows), "Return two tensors"),
        (then(lambda rows, mask: (rows, mask.long())), "it must hold True and False"),
        (then(lambda rows, mask: (rows.detach(), mask)), "no gradient gets back to H"),
    ],
    "6.2": [
        (at_the_end, "at the end of the padded row"),
        (labeled(lambda labels, mask: labels.roll(-1, 1)), "Shifted by one"),
        (labeled(lambda labels, mask: labels.roll(1, 1)), "Shifted the wrong way"),
        (labeled(lambda labels, mask: labels.masked_fill(labels == 2, OUT)), "never learns to stop"),
        (labeled(lambda labels, mask: labels.clamp(min=0)), "What is not to count"),
        (labeled(lambda labels, mask: labels.masked_fill(~mask, 0)), "Padding has the label 0"),
        (lambda mask, answers: torch.full(mask.shape, OUT), "The answers have no labels"),
    ],
    "6.3": [
        (lambda logits, labels: picked(logits.log_softmax(2), labels), "No shift"),
        (
            lambda logits, labels: picked(logits.log_softmax(2)[:, 1:], labels[:, :-1]),
            "Shifted the wrong way",
        ),
        (lambda logits, labels: picked(logits[:, :-1].log_softmax(1), labels[:, 1:]), "over the places"),
        (lambda logits, labels: picked(logits.log_softmax(1)[:, :-1], labels[:, 1:]), "over the places"),
        (lambda logits, labels: picked(logits[:, :-1], labels[:, 1:]), "log_softmax is missing"),
        (lambda logits, labels: picked(logits[:, :-1].softmax(2), labels[:, 1:]), "take their logarithm"),
        (lambda logits, labels: answer_loss(logits, labels.clamp(min=0)), "They must be left out"),
        (
            lambda logits, labels: answer_loss(logits, labels) / (labels != OUT).sum(1),
            "the mean over the answer's tokens",
        ),
        (lambda logits, labels: answer_loss(logits, labels) / labels.shape[1], "Divided by all places"),
        (lambda logits, labels: -answer_loss(logits, labels), "The sign"),
        (lambda logits, labels: answer_loss(logits, labels).sum(), "One number for the whole batch"),
        (
            lambda logits, labels: cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()),
            "One number, the mean",
        ),
        (
            lambda logits, labels: cross_entropy(logits[:, :-1], labels[:, 1:], reduction="none"),
            "wants the vocabulary on axis 1",
        ),
        (lambda logits, labels: answer_loss(logits, labels).detach(), "The loss has no gradient"),
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
