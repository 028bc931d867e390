"""Wrong answers to the exercises of chapter 4, each with a piece of the hint that is meant for it."""

import torch
from torch.nn.functional import cross_entropy

from salmonn_mini.models.qformer import blip2_mask


def scores(q, k, own):
    return (q @ k.T / q.shape[1] ** 0.5).masked_fill(~own, -torch.inf)


def mask(kind, N, S):
    return blip2_mask(kind, N, torch.ones(1, S, dtype=torch.bool))[0]


def changed(kind, change):
    """The right masks, but for `kind` what `change` makes of it."""
    return lambda given, N, S: change(mask(given, N, S), N, S) if given == kind else mask(given, N, S)


def fill(rows, columns, value):
    """One of the four blocks filled with `value(N, S)`."""

    def change(sees, N, S):
        places = {"queries": slice(N), "words": slice(N, None)}
        sees = sees.clone()
        sees[places[rows], places[columns]] = value(N, S)
        return sees

    return change


def directions(similarity):
    own = torch.arange(len(similarity))
    return cross_entropy(similarity, own), cross_entropy(similarity.T, own)


CAUSAL = "multimodal_causal"
MISTAKES = {
    "4.1": [
        (lambda q, k, own: scores(q, k, own).softmax(-1).T, "One query a row"),
        (lambda q, k, own: (2 * scores(q, k, own)).softmax(-1), "not divided by √d"),
        (lambda q, k, own: (scores(q, k, own) / 2).softmax(-1), "by its square root"),
        (lambda q, k, own: scores(q, k, own | True).softmax(-1), "The padding gets weight"),
        (lambda q, k, own: scores(q, k, own | True).softmax(-1) * own, "do not sum to 1"),
        (lambda q, k, own: scores(q, k, ~own).softmax(-1), "Only the padding"),
        (lambda q, k, own: scores(q, k, own).softmax(0), "over the queries"),
    ],
    "4.2": [
        (lambda x, Z, W_q, W_k, W_v: ((Z @ W_k) @ (x @ W_q).T).softmax(-1) @ x, "the frames ask"),
        (lambda x, Z, W_q, W_k, W_v: ((x @ W_q) @ (Z @ W_k).T / 2).softmax(-1), "These are the weights"),
        (lambda x, Z, W_q, W_k, W_v: ((x @ W_q) @ (Z @ W_k).T).softmax(-1) @ Z @ W_v, "not divided by √d"),
        (lambda x, Z, W_q, W_k, W_v: (x @ W_q) @ (Z @ W_k).T / 2 @ Z @ W_v, "softmax is missing"),
        (lambda x, Z, W_q, W_k, W_v: ((x @ W_q) @ (Z @ W_k).T / 2).softmax(-1) @ Z @ W_k, "keys were mixed"),
        (
            lambda x, Z, W_q, W_k, W_v: ((x @ W_q) @ (Z @ W_k).T / 3**0.5).softmax(-1) @ Z @ W_v,
            "Divided by √D",
        ),
    ],
    "4.3": [
        (changed(CAUSAL, lambda sees, N, S: sees.T), "Rows look"),
        (changed(CAUSAL, lambda sees, N, S: ~sees), "swapped: True means visible"),
        (changed(CAUSAL, lambda sees, N, S: torch.ones_like(sees).tril()), "masked causally too"),
        (changed(CAUSAL, lambda sees, N, S: sees & ~torch.eye(N + S).bool()), "Nobody sees itself"),
        (changed(CAUSAL, fill("queries", "words", lambda N, S: True)), "tell the first word"),
        (
            lambda kind, N, S: mask("unimodal" if kind == CAUSAL else kind, N, S),
            "are mixed up",
        ),
        (
            changed("unimodal", fill("words", "words", lambda N, S: torch.ones(S, S).tril().bool())),
            "later ones too",
        ),
        (changed(CAUSAL, fill("words", "queries", lambda N, S: False)), "each word sees all queries"),
    ],
    "4.4": [
        (lambda similarity: directions(similarity)[0], "Each text must also find"),
        (lambda similarity: directions(similarity)[1], "Each clip must also find"),
        (lambda similarity: sum(directions(similarity)), "This is the sum"),
        (lambda similarity: -sum(directions(similarity)) / 2, "The sign"),
        (lambda similarity: -similarity.diagonal().mean(), "Only the right pairs count"),
        (
            lambda similarity: cross_entropy(similarity, torch.arange(len(similarity)), reduction="none"),
            "One number is wanted",
        ),
    ],
}
