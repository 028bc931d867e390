"""Wrong answers to the exercises of chapter 4, each with a piece of the hint that is meant for it."""

import torch
from torch import nn
from torch.nn import functional as F

from salmonn_mini.course.exercises.qformer import QFormerLayer, WindowQFormer, attend
from salmonn_mini.models.qformer import blip2_mask


def in_heads(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def scores(q, k, heads, mask=None):
    found = in_heads(q, heads) @ in_heads(k, heads).mT / (q.shape[-1] / heads) ** 0.5
    return found if mask is None else found.masked_fill(~mask[:, None, None], -torch.inf)


def heard(weights, v):
    return (weights @ in_heads(v, weights.shape[1])).transpose(1, 2).flatten(2)


def weighs(change):
    """Attention whose weights are another function of q, k, heads and mask."""

    def wrong(q, k, v, heads, mask):
        weights = change(q, k, heads, mask)
        return heard(weights, v), weights

    return wrong


def hears(change):
    """Attention with the right weights, of which another function makes what is heard."""

    def wrong(q, k, v, heads, mask):
        weights = attend(q, k, v, heads, mask)[1]
        return change(weights, k, v), weights

    return wrong


def rows_as_heads(q, k, heads, mask):
    q, k = (x.reshape(len(x), heads, -1, x.shape[-1] // heads) for x in (q, k))
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)


class Layer(QFormerLayer):
    """A right one, of which the wrong ones change a line."""

    heads = 2

    def hear(self, part, x, context, mask):
        own = part.self
        return attend(own.query(x), own.key(context), own.value(context), self.heads, mask)

    def add(self, output, x, step):
        return output.LayerNorm(x + step)

    def asks(self, part, x, context, mask):
        h, weights = self.hear(part, x, context, mask)
        return self.add(part.output, x, part.output.dense(h)), weights

    def feed(self, x):
        h = F.gelu(self.intermediate_query["dense"](x))
        return self.add(self.output_query, x, self.output_query.dense(h))

    def forward(self, x, Z, mask):
        x, _ = self.asks(self.attention, x, x, None)
        x, weights = self.asks(self.crossattention, x, Z, mask)
        return self.feed(x), weights


def runs(**methods):
    return type("Wrong", (Layer,), methods)


def unmasked(self, x, Z, mask):
    return Layer.forward(self, x, Z, mask | True)


def without_self(self, x, Z, mask):
    x, weights = self.asks(self.crossattention, x, Z, mask)
    return self.feed(x), weights


def without_cross(self, x, Z, mask):
    x, weights = self.asks(self.attention, x, x, None)
    return self.feed(x), weights


def frames_first(self, x, Z, mask):
    x, weights = self.asks(self.crossattention, x, Z, mask)
    x, _ = self.asks(self.attention, x, x, None)
    return self.feed(x), weights


def without_feed(self, x, Z, mask):
    x, _ = self.asks(self.attention, x, x, None)
    return self.asks(self.crossattention, x, Z, mask)


def own_weights(self, x, Z, mask):
    given, _ = Layer.forward(self, x, Z, mask)
    return given, self.asks(self.attention, x, x, None)[1]


def raw(self, part, x, context, mask):
    h, weights = self.hear(part, x, context, mask)
    return self.add(part.output, x, h), weights


def without_gelu(self, x):
    return self.add(self.output_query, x, self.output_query.dense(self.intermediate_query["dense"](x)))


def with_relu(self, x):
    h = self.intermediate_query["dense"](x).relu()
    return self.add(self.output_query, x, self.output_query.dense(h))


class Unnamed(nn.Module):
    def __init__(self, d, D, d_ff, heads):
        super().__init__()
        self.my_query = nn.Linear(d, d)


class Through(WindowQFormer):
    """A right one that runs all windows; the wrong ones change a line."""

    def run(self, Z_l, mask):
        return self.qformer(self.queries, Z_l.flatten(0, 1), mask.flatten(0, 1))[0]


def goes(forward):
    return type("Wrong", (Through,), {"forward": forward})


def changed_H(change):
    """The right tokens in another form."""

    def forward(self, Z_l, mask):
        H, counts = WindowQFormer.forward(self, Z_l, mask)
        return change(H), counts

    return goes(forward)


def counted(count):
    """The right tokens, counted otherwise."""
    return goes(lambda self, Z_l, mask: (WindowQFormer.forward(self, Z_l, mask)[0], count(mask)))


def without_mask(self, Z_l, mask):
    return self.projection(self.run(Z_l, mask | True)).view(len(Z_l), -1, 5), mask


def all_windows(self, Z_l, mask):
    own = mask.any(-1).repeat_interleave(2, 1)
    return self.projection(self.run(Z_l, mask)).view(len(Z_l), -1, 5) * own[..., None], mask


def unprojected(self, Z_l, mask):
    return self.run(Z_l, mask | True).view(len(Z_l), -1, 3), mask


def four_axes(self, Z_l, mask):
    return self.projection(self.qformer(self.queries, Z_l, mask)[0]), mask


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


CAUSAL = "multimodal_causal"
MISTAKES = {
    "4.1": [
        (lambda q, k, v, heads, mask: attend(q, k, v, heads, mask)[0], "Give back two tensors"),
        (lambda q, k, v, heads, mask: attend(q, k, v, heads, mask)[::-1], "They are swapped"),
        (lambda *given: (attend(*given)[0], attend(*given)[1].mean(1)), "the weights of every head"),
        (weighs(lambda q, k, heads, mask: (scores(q, k, heads) * 2**0.5).softmax(-1)), "were not divided"),
        (weighs(lambda q, k, heads, mask: (scores(q, k, heads) / 2**0.5).softmax(-1)), "Divided by 2."),
        (weighs(lambda q, k, heads, mask: scores(q, k, heads).softmax(-2)), "over the queries"),
        (weighs(lambda q, k, heads, mask: scores(q, k, heads)), "These are the scores"),
        (weighs(lambda q, k, heads, mask: scores(q, k, 1).softmax(-1)), "There is one head"),
        (lambda *given: (attend(*given)[0], attend(*given)[1].mT), "Rows are queries"),
        (weighs(rows_as_heads), "A head took whole rows"),
        (hears(lambda weights, k, v: weights @ in_heads(v, weights.shape[1])), "still stands apart"),
        (
            hears(lambda weights, k, v: (weights @ in_heads(v, weights.shape[1])).reshape(len(v), -1, 4)),
            "Joined in the wrong order",
        ),
        (hears(lambda weights, k, v: heard(weights, k)), "The keys were mixed"),
        (weighs(lambda q, k, heads, mask: scores(q, k, heads).softmax(-1)), "The mask is not used"),
        (
            weighs(
                lambda q, k, heads, mask: (
                    scores(q, k, heads).softmax(-1) * (1 if mask is None else mask[:, None, None])
                )
            ),
            "Rows do not sum to 1",
        ),
        (
            weighs(
                lambda q, k, heads, mask: scores(q, k, heads, None if mask is None else ~mask).softmax(-1)
            ),
            "the mask turned round",
        ),
    ],
    "4.2": [
        (runs(forward=lambda self, x, Z, mask: Layer.forward(self, x, Z, mask)[0]), "Give back two tensors"),
        (runs(forward=unmasked), "The mask is not used"),
        (runs(forward=without_self), "The self-attention is missing"),
        (runs(forward=without_cross), "The cross-attention is missing"),
        (runs(forward=frames_first), "The cross-attention comes first"),
        (runs(forward=without_feed), "The feed-forward is missing"),
        (runs(forward=own_weights), "weights of the self-attention"),
        (runs(add=lambda self, output, x, step: output.LayerNorm(step)), "The residual is missing"),
        (runs(add=lambda self, output, x, step: x + step), "The LayerNorms are missing"),
        (runs(add=lambda self, output, x, step: x + output.LayerNorm(step)), "The norm must take the sum"),
        (runs(asks=raw), "output's `dense` first"),
        (runs(feed=with_relu), "uses ReLU"),
        (runs(feed=without_gelu), "no GELU"),
        (Unnamed, "other names than those of the stub"),
    ],
    "4.3": [
        (goes(without_mask), "The mask does not reach"),
        (goes(all_windows), "have one"),
        (changed_H(lambda H: H.unflatten(1, (-1, 2))), "still stand apart"),
        (goes(unprojected), "The last step is `projection`"),
        (changed_H(lambda H: H.flatten(0, 1)), "stand in one row"),
        (changed_H(lambda H: H.unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2)), "query by query"),
        (changed_H(lambda H: H + (H == 0)), "behind them H must be zero"),
        (goes(four_axes), "takes windows (n, L, D)"),
        (counted(lambda mask: mask.any(-1).sum(1)), "numbers of windows"),
        (counted(lambda mask: torch.tensor([6, 6])), "Count its own"),
    ],
    "4.4": [
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
}
