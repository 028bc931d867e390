"""Chapter 4, the Q-Former: its core exercises, and what stands in for them until they are solved.

The package's arithmetic stands here under the exercises' names and shapes; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.models.config import ConnectorConfig
from salmonn_mini.models.qformer import Layer, new_queries
from salmonn_mini.models.windows import split

TWO = "Give back two tensors: {}."


def _both(given: Any, what: str) -> tuple[Any, Any]:
    hint(not isinstance(given, tuple | list) or len(given) != 2, TWO.format(what))
    return tuple(given)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """What q (B, N, d) hears of k and v (B, T, d), (B, N, d), and the weights (B, heads, N, T).

    mask (B, T) is True where there is something to see, None everywhere.
    """
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.mT * q.shape[-1] ** -0.5
    weights = (scores if mask is None else scores.masked_fill(~mask[:, None, None], -torch.inf)).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2), weights


class QFormerLayer(Layer):
    """The package's layer, of queries alone: x (B, N, d) and Z (B, L, D) with mask (B, L) → (B, N, d), weights."""

    def __init__(self, d: int, D: int, d_ff: int, heads: int) -> None:
        sizes = {"hidden_size": d, "num_attention_heads": heads, "intermediate_size": d_ff}
        super().__init__(ConnectorConfig(**sizes, dropout=0.0), D, with_text=False)

    def forward(self, x: Tensor, Z: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x, _, weights = super().forward(x, x.shape[1], Z, None, mask[:, None], True)
        return x, weights


class WindowQFormer(nn.Module):
    """From windows Z_l (B, W, L, D) and their mask (B, W, L) to H (B, W·N, d_llm), zero beyond its lengths (B,).

    `qformer` takes queries (1, N, d), windows (n, L, D) and mask (n, L), and gives (n, N, d) and all weights.
    """

    def __init__(self, qformer: Callable, N: int, d: int, d_llm: int) -> None:
        super().__init__()
        self.qformer = qformer
        self.queries = new_queries(N, d)
        self.projection = nn.Linear(d, d_llm)

    def forward(self, Z_l: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        own = mask.any(-1)  # a window without a frame of its clip has nothing to share out
        tokens = self.projection(self.qformer(self.queries, Z_l[own], mask[own])[0])
        H = tokens.new_zeros(*own.shape, *tokens.shape[1:])
        H[own] = tokens
        return H.flatten(1, 2), own.sum(1) * self.queries.shape[1]


@exercise("4.1", "attention with heads and a mask", level=2, minutes=15, reference=attend)
def attention(mine: Student) -> None:
    """two tensors: what each query hears (B, N, d), and the weights (B, heads, N, T), from queries q (B, N, d), keys
    k and values v (B, T, d), the number of heads, and a boolean mask (B, T), True where there is something to see;
    where the mask is None, everything is seen
    """
    q, k, v = _random(2, 2, 4), 2 * _random(2, 3, 4, seed=1), _random(2, 3, 4, seed=2)
    seen = torch.tensor([[True, True, True], [True, True, False]])
    out, weights = _both(mine(q.clone(), k.clone(), v.clone(), 2, None), "what is heard, and the weights")
    right, right_weights = attend(q, k, v, 2, None)
    hint(
        same(out, right_weights) and same(weights, right),
        "They are swapped: first what is heard, then the weights.",
    )
    hint(
        same(weights, right_weights.mean(1)) or same(weights, right_weights[:, 0]),
        "Give the weights of every head, (B, heads, N, T), not those of one or their mean.",
    )
    _name_wrong_scores(weights, right_weights, q, k)
    expect(weights, right_weights, "The weights of 2 queries on 3 keys, 2 heads, no mask")
    split_v = v.unflatten(-1, (2, -1)).transpose(1, 2)
    heads_last = right_weights @ split_v
    hint(
        same(out, heads_last),
        "What the heads heard still stands apart: join them to one vector of width d again.",
    )
    hint(
        same(out, heads_last.reshape(2, 2, 4)),
        "Joined in the wrong order: (B, heads, N, width) must become (B, N, heads, width) before it is (B, N, d).",
    )
    hint(
        same(out, attend(q, k, k, 2, None)[0]),
        "The keys were mixed. Keys are for choosing; what is passed on are the values.",
    )
    expect(out, right, "What 2 queries hear of 3 frames, 2 heads, no mask")
    out, weights = _both(
        mine(q.clone(), k.clone(), v.clone(), 2, seen.clone()), "what is heard, and the weights"
    )
    right, right_weights = attend(q, k, v, 2, seen)
    unmasked = attend(q, k, v, 2, None)[1]
    hint(
        same(weights, unmasked), "The mask is not used: clip 2 has no third frame, and still it gets weight."
    )
    hint(
        same(weights, unmasked * seen[:, None, None]),
        "Rows do not sum to 1: mask the scores, with minus infinity, not the weights after the softmax.",
    )
    hint(
        isinstance(weights, Tensor) and bool(weights.isnan().any()),
        "Some weights are not numbers. Is the mask turned round? True marks what may be seen.",
    )
    expect(weights, right_weights, "The weights where clip 2 has only 2 frames")
    expect(out, right, "What is heard where clip 2 has only 2 frames")
    q, k, v = q[:1, :1], k[:1], v[:1]
    expect(mine(q, k, v, 1, None)[0], attend(q, k, v, 1, None)[0], "1 query, 1 head")


def _name_wrong_scores(given: Any, right: Tensor, q: Tensor, k: Tensor) -> None:
    """q (2, 2, 4) and k (2, 3, 4) in 2 heads of width 2."""
    heads = [x.unflatten(-1, (2, -1)).transpose(1, 2) for x in (q, k)]
    scores = heads[0] @ heads[1].mT
    for wrong, mistake in (
        (scores.softmax(-1), "The scores were not divided by the root of a head's width, √2."),
        (
            (scores / 2).softmax(-1),
            "Divided by 2. A head is 2 wide: divide by √2, not by √d and not by 2 itself.",
        ),
        (
            (scores / 2**0.5).softmax(-2),
            "The softmax runs over the queries. Each query shares out 1 among the frames.",
        ),
        (scores / 2**0.5, "These are the scores. The softmax makes weights of them."),
        (right.mT, "Rows are queries, columns frames: (B, heads, N, T)."),
    ):
        hint(same(given, wrong), mistake)
    hint(
        (isinstance(given, Tensor) and given.shape == (2, 1, 2, 3)) or same(given, _one_head(q, k)),
        "There is one head. Cut the width d = 4 into 2 heads of width 2; each has weights of its own.",
    )
    mixed = [x.reshape(2, 2, -1, 2) for x in (q, k)]
    hint(
        same(given, (mixed[0] @ mixed[1].mT / 2**0.5).softmax(-1)),
        "A head took whole rows. Cut the last axis, (B, N, heads, width), and then exchange axes 1 and 2.",
    )


def _one_head(q: Tensor, k: Tensor) -> Tensor:
    return (q @ k.mT / 2).softmax(-1)


@exercise("4.2", "a masked Q-Former layer", level=2, minutes=20, reference=QFormerLayer)
def layer(qformer_layer: Student) -> None:
    """a module whose forward takes the queries x (B, N, d), frames Z (B, L, D) and a boolean mask (B, L), True at the
    frames that may be seen, and gives two tensors: the queries after the layer (B, N, d), and the weights of the
    cross-attention (B, heads, N, L)
    """
    right = QFormerLayer(4, 6, 8, 2)
    state = {
        name: 0.7 * _random(*part.shape, seed=i) for i, (name, part) in enumerate(right.state_dict().items())
    }
    right.load_state_dict(state)
    x, Z, mask = (
        _random(2, 2, 4, seed=90),
        _random(2, 3, 6, seed=91),
        torch.tensor([[True] * 3, [True, False, False]]),
    )
    mine = qformer_layer(4, 6, 8, 2)
    hint(
        not hasattr(mine, "state_dict"),
        "QFormerLayer(…) must be an nn.Module: class QFormerLayer(nn.Module).",
    )
    hint(
        set(mine.state_dict()) != set(state),
        "The parts have other names than those of the stub. Leave __init__ as it is: published weights look for them.",
    )
    mine.load_state_dict(state)
    given, weights = _both(Student(mine)(x.clone(), Z.clone(), mask.clone()), "the queries, and the weights")
    with torch.no_grad():
        for changes, mistake in WRONG_LAYERS:
            hint(same(given, _layer(right, x, Z, mask, **changes)), mistake)
        expected, expected_weights = right(x, Z, mask)
        self_weights = _attention(right.attention, x, x, None)[1]
        hint(
            same(weights, self_weights),
            "These are the weights of the self-attention. Wanted are those of the cross-attention, on the frames.",
        )
        expect(given, expected, "2 queries of width 4 on 3 frames of width 6, of which clip 2 has 1")
        expect(weights, expected_weights, "The weights of the cross-attention")


WRONG_LAYERS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"masked": False}, "The mask is not used: clip 2 has one frame, and the queries see three."),
    ({"steps": "cf"}, "The self-attention is missing: first the queries ask each other."),
    ({"steps": "sf"}, "The cross-attention is missing: the queries never see the frames."),
    ({"steps": "csf"}, "The cross-attention comes first. It must come after the self-attention."),
    ({"steps": "sc"}, "The feed-forward is missing."),
    ({"steps": "sfc"}, "The feed-forward comes before the cross-attention. It is the last step."),
    ({"residual": False}, "The residual is missing: each step adds to x, it does not replace x."),
    ({"norm": "none"}, "The LayerNorms are missing."),
    ({"norm": "before"}, "x is normalized before each step (pre-norm). BERT normalizes after the addition."),
    ({"norm": "inside"}, "The norm must take the sum: LayerNorm(x + step), not x + LayerNorm(step)."),
    (
        {"projected": False},
        "What was heard is added as it is. It must pass through the output's `dense` first.",
    ),
    ({"act": F.relu}, "The feed-forward uses ReLU. BERT's uses GELU, F.gelu."),
    (
        {"act": lambda h: F.gelu(h, approximate="tanh")},
        "This is GELU's approximation by tanh. BERT's is F.gelu(h).",
    ),
    ({"act": lambda h: h}, "There is no GELU between the two linear layers of the feed-forward."),
)


def _attention(part: Any, x: Tensor, context: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    own = part.self
    return attend(own.query(x), own.key(context), own.value(context), own.heads, mask)


def _layer(
    right: QFormerLayer, x: Tensor, Z: Tensor, mask: Tensor, *, steps: str = "scf", masked: bool = True,
    norm: str = "after", residual: bool = True, projected: bool = True, act: Any = F.gelu,
) -> Tensor:  # fmt: skip
    """A layer with a mistake: `steps` are s(elf), c(ross) and f(eed-forward)."""
    for step in steps:
        output = {"s": right.attention.output, "c": right.crossattention.output, "f": right.output_query}[
            step
        ]
        y = output.LayerNorm(x) if norm == "before" else x
        if step == "f":
            y = output.dense(act(right.intermediate_query["dense"](y)))
        else:
            part, context = (right.attention, y) if step == "s" else (right.crossattention, Z)
            y, _ = _attention(part, y, context, mask if step == "c" and masked else None)
            y = output.dense(y) if projected else y
        y = output.LayerNorm(y) if norm == "inside" else y
        x = x + y if residual else y
        x = output.LayerNorm(x) if norm == "after" else x
    return x


@exercise("4.3", "from windows to H", level=3, minutes=20, reference=WindowQFormer)
def through(window_qformer: Student) -> None:
    """a module whose forward takes windows Z_l (B, W, L, D) and a boolean mask (B, W, L), True at each clip's own
    frames, and gives two tensors: H (B, M, d_llm), all tokens of each clip in order, with zeros where a clip has
    none, and the number of tokens of each clip (B,)
    """
    Z, lengths = _random(2, 7, 4, seed=1), torch.tensor([7, 2])
    Z_l, frames = split(Z, 3, lengths)

    @torch.no_grad()
    def qformer(queries: Tensor, windows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if windows.dim() != 3 or mask.shape != windows.shape[:2]:
            shapes = f"{tuple(windows.shape)} and {tuple(mask.shape)}"
            raise ValueError(f"qformer takes windows (n, L, D) and their mask (n, L), not {shapes}")
        total = (windows * mask[..., None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None]
        return queries + total[..., :3], torch.ones(1)

    mine, right = window_qformer(qformer, 2, 3, 5), WindowQFormer(qformer, 2, 3, 5)
    hint(
        not hasattr(mine, "state_dict"),
        "WindowQFormer(…) must be an nn.Module: class WindowQFormer(nn.Module).",
    )
    state = {name: _random(*part.shape, seed=i) for i, (name, part) in enumerate(right.state_dict().items())}
    right.load_state_dict(state)
    hint(
        set(mine.state_dict()) != set(state),
        "The parts have other names than those of the stub. Leave __init__ as it is.",
    )
    mine.load_state_dict(state)
    H, counts = _both(Student(mine)(Z_l.clone(), frames.clone()), "H, and the number of tokens of each clip")
    with torch.no_grad():
        expected, right_counts = right(Z_l, frames)
        _name_wrong_H(H, expected, right, Z_l)
        expect(H, expected, "H of clips of 7 and 2 frames, L = 3, N = 2")
        hint(
            same(counts, torch.tensor([3, 1])), "These are the numbers of windows. Each becomes N = 2 tokens."
        )
        hint(same(counts, torch.tensor([6, 6])), "Clip 2 has 2 frames: one window, 2 tokens. Count its own.")
        expect(counts, right_counts, "The number of tokens of clips of 7 and 2 frames, L = 3, N = 2")
        alone = Student(mine)(Z_l[1:, :1].clone(), frames[1:, :1].clone())
        expect(alone[0], expected[1:, :2], "Clip 2 alone, without the padding of the batch")


def _name_wrong_H(H: Any, expected: Tensor, right: WindowQFormer, Z_l: Tensor) -> None:
    """Z_l (2, 3, 3, 4): 7 frames, and 2 in clip 2, so 3 windows and 1; 2 queries, d = 3, d_llm = 5."""
    is_tensor = isinstance(H, Tensor)
    hint(
        is_tensor and bool(H.isnan().any()),
        "H holds numbers that are none (NaN). A window without a frame of its clip has nothing to share out: give the "
        "Q-Former only windows that have one.",
    )
    hint(
        is_tensor and H.shape == (2, 3, 2, 5),
        "Windows and queries still stand apart: H is (B, M, d_llm), M = W · N.",
    )
    hint(
        is_tensor and H.shape[-1] == 3,
        "This has the Q-Former's width d. The last step is `projection`, to d_llm.",
    )
    hint(
        is_tensor and H.dim() == 2,
        "The clips stand in one row. Give each clip a row of its own: (B, M, d_llm).",
    )
    unmasked = right.projection(right.qformer(right.queries, Z_l.flatten(0, 1), torch.ones(6, 3).bool())[0])
    tokens = unmasked.view(2, 6, 5)
    hint(
        same(H, tokens) or same(H, tokens * (expected != 0)),
        "The mask does not reach the Q-Former: the last window of clip 1 has one frame, and it looks at three.",
    )
    hint(
        is_tensor
        and H.shape == expected.shape
        and same(H[0], expected[0].view(3, 2, 5).transpose(0, 1).reshape(6, 5)),
        "The order is query by query. It must be window by window: both tokens of window 1, then those of window 2.",
    )
    hint(
        is_tensor and H.shape == expected.shape and same(H[0], expected[0]) and bool(H[1, 2:].any()),
        "Clip 2 has 2 tokens; behind them H must be zero.",
    )
