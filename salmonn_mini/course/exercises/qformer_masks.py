"""Chapter 4, the Q-Former: the exercise of BLIP-2's masks, and the quiz."""

from __future__ import annotations

import torch

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.models.qformer import MASKS, blip2_mask


@exercise("4.4", "BLIP-2's three masks", level=2, minutes=12)
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


enter(
    4,
    """
What are the queries of a Q-Former?
- Questions in words, from the prompt.
  SALMONN's queries never see the instruction.
+ Vectors that are trained, the same for every window of every clip.
  They start at random. Training fixes what they look for; what they hear depends on the window.
- Frames of the clip, chosen by the model.
  The frames give keys and values. They are asked.

A window has L = 17 frames, N = 1 query and 12 heads. Which shape do the weights of the cross-attention have?
+ 12 × 1 × 17
  Each head has a row for the query, which shares out 1 among 17 frames.
- 12 × 17 × 17
  That would be self-attention of the frames. They do not ask each other here.
- 1 × 17
  Each head has weights of its own.

With N = 1, the self-attention of the queries shares out its weight among one query. What does that mean?
- It changes nothing and could be left out.
  It still adds a linear function of x, by the value's and the output's matrices, and normalizes.
+ Its weight is always 1; the step is linear, followed by the norm.
  With one key the softmax gives 1, whatever the score.
- It looks at the frames instead.
  That is the cross-attention.

The last window of a clip has 4 frames and 13 frames of zeros. What happens without a mask?
- Nothing: zeros have no weight.
  A zero frame has a key, the bias, and so a score; e to any power is positive.
+ The zeros get weight, and the clip's own frames get less.
  The softmax shares out 1 among all 17.
- The softmax gives NaN.
  That happens where everything is masked.

You shuffle the frames within a window before the Q-Former. What happens to its tokens?
- They are shuffled likewise.
  There is one token for each query, not for each frame.
+ Nothing.
  A sum does not know its order. Only what is in the frames themselves tells when they were.
- They become noise.
  Attention would have to know places for that. It does not.

L = 17 frames, D = 2048, d = 768. How many numbers do the cross-attention's key and value matrices hold together?
- 17 · 2 · 2048 · 768
  All frames share the same two matrices.
+ 2 · 2048 · 768
  3.1 million, for each frame the same.
- 2 · 768 · 768
  That would be self-attention: there, key and value read queries of width d.

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
  One token for each run of a label.
""",
)
