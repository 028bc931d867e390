"""Chapter 4, the Q-Former: exercises and quiz."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.models.qformer import MASKS, blip2_mask


@exercise("4.1", "whom a query hears", level=1, minutes=8)
def weights(weights: Student) -> None:
    """a tensor (N, T): the attention weights softmax(q · k / √d) of queries q (N, d) on keys k (T, d), zero
    where `own` (T,) is False
    """
    q = torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, -1.0]])
    k = torch.tensor([[2.0, 1.0, 0.0, 1.0], [0.0, 3.0, 1.0, 0.0], [4.0, 0.0, 0.0, 1.0]])
    own = torch.tensor([True, True, False])
    scores = q @ k.T
    right = (scores / 2).masked_fill(~own, -torch.inf).softmax(-1)
    given = weights(q.clone(), k.clone(), own.clone())
    hint(same(given, right.T), "One query a row: (N, T), not (T, N).")
    hint(
        same(given, scores.masked_fill(~own, -torch.inf).softmax(-1)),
        "The scores were not divided by √d. Here d = 4, so halve them.",
    )
    hint(
        same(given, (scores / 4).masked_fill(~own, -torch.inf).softmax(-1)),
        "Divided by d. Divide by its square root, 2.",
    )
    hint(same(given, (scores / 2).softmax(-1)), "The padding gets weight: `own` is False at the third key.")
    hint(
        same(given, (scores / 2).softmax(-1) * own),
        "The weights do not sum to 1: mask the scores, with minus infinity, not the weights after the softmax.",
    )
    hint(
        same(given, (scores / 2).masked_fill(own, -torch.inf).softmax(-1)),
        "Only the padding gets weight: True marks the clip's own frames.",
    )
    hint(
        same(given, (scores / 2).masked_fill(~own, -torch.inf).softmax(0))
        or (isinstance(given, Tensor) and given.shape == (2, 3) and same(given[:, :2].sum(0), torch.ones(2))),
        "The softmax runs over the queries. Each query shares out 1 among the keys: over the last axis.",
    )
    expect(given, right, "2 queries on 3 keys, the last of them padding")
    expect(
        weights(q[:1].clone(), k.clone(), torch.ones(3, dtype=torch.bool)),
        (scores[:1] / 2).softmax(-1),
        "1 query on 3 keys of the clip's own",
    )


@exercise("4.2", "cross-attention", level=2, minutes=12)
def cross(cross: Student) -> None:
    """a tensor (N, d): each of the queries x (N, d) asks the frames Z (T, D), in one head. W_q (d, d), W_k (D,
    d) and W_v (D, d) stand on the right: x @ W_q
    """
    generator = torch.Generator().manual_seed(0)
    x, Z = torch.randn(2, 4, generator=generator), torch.randn(5, 3, generator=generator)
    W_q, W_k, W_v = (torch.randn(n, 4, generator=generator) for n in (4, 3, 3))
    scores = (x @ W_q) @ (Z @ W_k).T
    right = (scores / 2).softmax(-1) @ (Z @ W_v)
    given = cross(*(one.clone() for one in (x, Z, W_q, W_k, W_v)))
    hint(
        isinstance(given, Tensor) and given.shape == (5, 4),
        "One row a frame: here the frames ask. The queries ask: x gives the queries, Z the keys and the values.",
    )
    hint(
        isinstance(given, Tensor) and given.shape == (2, 5),
        "These are the weights. Use them to mix the values, Z @ W_v.",
    )
    hint(same(given, scores.softmax(-1) @ (Z @ W_v)), "The scores were not divided by √d = 2.")
    hint(same(given, (scores / 2) @ (Z @ W_v)), "The softmax is missing.")
    hint(
        same(given, (scores / 2).softmax(-1) @ (Z @ W_k)),
        "The keys were mixed. Keys are for choosing; what is passed on are the values, Z @ W_v.",
    )
    hint(
        same(given, (scores / 3**0.5).softmax(-1) @ (Z @ W_v)),
        "Divided by √D = √3. d is the width of the queries and keys, 4.",
    )
    hint(
        same(given, x + right),
        "The residual is already in it. Return what attention adds, without x.",
    )
    expect(given, right, "2 queries of width 4 on 5 frames of width 3")


@exercise("4.3", "BLIP-2's three masks", level=3, minutes=12)
def masks(mask: Student) -> None:
    """a boolean tensor (N + S, N + S), True where the row's token sees the column's: N queries, then S words;
    kind is bidirectional, unimodal or multimodal_causal
    """
    N, S = 2, 3
    right = {kind: blip2_mask(kind, N, torch.ones(1, S, dtype=torch.bool))[0] for kind in MASKS}
    bidirectional, unimodal, causal = (mask(kind, N, S) for kind in MASKS)
    hint(
        same(causal, right["multimodal_causal"].T),
        "Rows look, columns are looked at: the words see the queries, not the other way round.",
    )
    hint(same(causal, ~right["multimodal_causal"]), "True and False are swapped: True means visible.")
    hint(
        same(causal, torch.ones(5, 5).tril().bool()),
        "The queries were masked causally too: q1 does not see q2. Only words have an order.",
    )
    hint(
        same(causal, right["multimodal_causal"] & ~torch.eye(5, dtype=torch.bool)),
        "Nobody sees itself. A word sees the words before it and itself.",
    )
    leaking = right["multimodal_causal"].clone()
    leaking[:N, N:] = True
    hint(
        same(causal, leaking),
        "In multimodal_causal the queries see the words, and would tell the first word what the last one is.",
    )
    hint(
        same(unimodal, right["multimodal_causal"]) or same(causal, right["unimodal"]),
        "unimodal and multimodal_causal are mixed up: in unimodal, queries and words do not see each other.",
    )
    split = right["unimodal"].clone()
    split[N:, N:] = torch.ones(S, S).tril().bool()
    hint(
        same(unimodal, split),
        "In unimodal the words see each other, later ones too: nobody has to guess the next word.",
    )
    hint(same(causal, split), "In multimodal_causal each word sees all queries.")
    for kind, given in zip(MASKS, (bidirectional, unimodal, causal), strict=True):
        expect(given, right[kind], f"{kind} with N = 2 and S = 3")
    one = blip2_mask("multimodal_causal", 3, torch.ones(1, 1, dtype=torch.bool))[0]
    expect(mask("multimodal_causal", 3, 1), one, "multimodal_causal with N = 3 and S = 1")


@exercise("4.4", "the contrastive loss", level=2, minutes=10)
def contrast(loss: Student) -> None:
    """a number: the mean of two cross-entropies, of finding each clip's text and of finding each text's clip,
    out of similarity (B, B), a clip a row, a text a column, its own on the diagonal
    """
    similarity = torch.tensor([[2.0, 0.0, 1.0], [1.0, 3.0, 0.0], [0.0, 2.0, 1.0]])
    own = torch.arange(3)
    texts, clips = F.cross_entropy(similarity, own), F.cross_entropy(similarity.T, own)
    given = loss(similarity.clone())
    hint(
        same(given, texts), "Only one direction: each clip finds its text. Each text must also find its clip."
    )
    hint(
        same(given, clips), "Only one direction: each text finds its clip. Each clip must also find its text."
    )
    hint(same(given, texts + clips), "This is the sum of the two directions. Take their mean.")
    hint(
        same(given, -(texts + clips) / 2), "The sign: a loss is minus the log of the right one's probability."
    )
    hint(
        same(given, -similarity.diagonal().mean()),
        "Only the right pairs count. The others must become less alike: compare within rows and columns.",
    )
    hint(
        isinstance(given, Tensor) and given.dim() > 0,
        "One number is wanted, the mean over the batch.",
    )
    expect(given, (texts + clips).item() / 2, "Three clips and their texts")
    expect(loss(torch.zeros(4, 4)), torch.tensor(4.0).log().item(), "Four clips that are all alike")


enter(
    4,
    """
What are the queries of a Q-Former?
- Questions in words, from the prompt.
  SALMONN's queries never see the instruction.
+ Vectors that are trained, the same for every clip.
  They start at random. What they ask is learned, and then fixed; what they hear depends on the clip.
- Frames of the clip, chosen by the model.
  The frames give keys and values. They are asked.

A window has L = 17 frames and N = 1 query. Which shape have a head's cross-attention weights?
+ 1 × 17
  One query shares out 1 among 17 frames.
- 17 × 17
  That would be self-attention of the frames. They do not ask each other here.
- 17 × 1
  Queries are the rows: N × L.

You shuffle the frames within a window before the Q-Former. What happens to its tokens?
- They are shuffled likewise.
  There is one token for each query, not for each frame.
+ Nothing.
  A sum does not know its order. Only what is in the frames themselves tells when they were.
- They become noise.
  Attention would have to know places for that. It does not.

Why may the queries not see the text when the text is to be generated?
+ They would carry the answer to the words that have to guess it.
  The loss falls to almost nothing, and without the text the model cannot write.
- It would be slower.
  A little. That is not the reason.
- Queries cannot read words.
  They can: in matching they do, through the same self-attention.

Which connector gives as many tokens for an hour as for a second?
- The window-level Q-Former.
  N tokens for each window: an hour has 3,600 times as many.
+ The segment-level Q-Former.
  Its queries look at all of Z at once; their number is fixed.
- Stacking.
  One token for each k frames.
- CTC compression.
  One token for each sound of speech: as many as are spoken.
""",
)
