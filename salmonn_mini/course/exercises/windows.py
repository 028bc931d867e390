"""Chapter 3, windows: exercises and quiz."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.models import windows


@exercise("3.1", "count the windows", level=1, minutes=3)
def count(n_windows: Student) -> None:
    """an integer: how many windows of L frames it takes to hold T frames"""
    given = n_windows(10, 3)
    hint(same(given, 3), "The last window was dropped: 10 frames in windows of 3 make 4, not 3.")
    hint(same(given, 10 / 3), "10 / 3 is no whole number: a window that is filled in part is a window too.")
    hint(same(n_windows(9, 3), 4), "One too many: 9 frames fill 3 windows exactly; a 4th would be all zeros.")
    hint(same(n_windows(16, 5), 3), "Rounded to the nearest: 16 / 5 = 3.2 needs 4 windows. Round up.")
    for T, L in ((10, 3), (9, 3), (1, 17), (1500, 17), (2, 2)):
        expect(n_windows(T, L), windows.n_windows(T, L), f"{T} frames in windows of {L}")


@exercise("3.2", "cut a batch into windows", level=3, minutes=20, reference=windows.split)
def cut(split: Student) -> None:
    """two tensors: the windows (B, W, L, D), and a boolean mask (B, W, L), True at each clip's own frames"""
    A = torch.stack([torch.arange(1.0, 11.0), torch.arange(10.0, 101.0, 10.0)], 1)  # (10, 2)
    B = torch.cat([A[:4], torch.full((6, 2), 7.0)])
    Z, lengths = torch.stack([A, B]), torch.tensor([10, 4])
    given = split(Z.clone(), 3, lengths.clone())
    hint(
        not isinstance(given, tuple | list) or len(given) != 2,
        "Give back two tensors, the windows and the mask: return windows, mask.",
    )
    _name_wrong_windows(given[0], Z)
    hint(
        isinstance(given[0], Tensor) and given[0].dtype != Z.dtype,
        "The windows hold another type of number than Z: make zeros by Z.new_zeros or F.pad.",
    )
    right, mask = windows.split(Z, 3, lengths)
    expect(given[0], right, "The windows of clips of 10 and 4 frames, L = 3")
    _name_wrong_mask(given[1], mask)
    expect(given[1], mask, "The mask of clips of 10 and 4 frames, L = 3")
    for T, L, own in ((9, 3, [9, 3]), (1, 5, [1, 1]), (10, 4, [1, 6, 10])):
        Z = A[:T].expand(len(own), T, 2)
        given, right = split(Z.clone(), L, torch.tensor(own)), windows.split(Z, L, torch.tensor(own))
        what = f"clips of {', '.join(map(str, own))} frames, L = {L}"
        hint(
            isinstance(given[0], Tensor) and same(given[0].shape[1] * L, T + L),
            f"{what}: one window too many. {T} frames fill {T // L} exactly; the last one is all zeros.",
        )
        expect(given[0], right[0], f"The windows of {what}")
        expect(given[1], right[1], f"The mask of {what}")


def _name_wrong_windows(given: object, Z: Tensor) -> None:
    """Z (2, 10, 2), of which the second clip has 4 frames, in windows of 3."""
    rectangle = isinstance(given, Tensor) and given.dim() == 4 and len(given) == 2
    first, second = given if rectangle else (None, None)
    A, padded = Z[0], F.pad(Z, (0, 0, 0, 2))
    hint(
        isinstance(given, Tensor) and given.shape == (8, 3, 2),
        "The windows of both clips stand in one row. Keep the clips apart: (B, W, L, D).",
    )
    hint(same(first, A[:9].view(3, 3, 2)), "The last window was dropped: z10 stands in none of the windows.")
    hint(
        same(first, F.pad(A, (0, 0, 2, 0)).view(4, 3, 2)),
        "The zeros stand before the first frame. They belong behind the last.",
    )
    hint(
        same(first, torch.cat([A, A[-1:].expand(2, 2)]).view(4, 3, 2)),
        "The tail repeats the last frame. Where a window has no frame of the clip, it holds zeros.",
    )
    hint(
        same(first, padded[0].view(3, 4, 2)),
        "Cut into 3 windows of 4. The windows come first: (W, L, D) is (4, 3, 2) for each clip.",
    )
    hint(
        same(first, padded[0].view(3, 4, 2).transpose(0, 1)),
        "The first window holds z1, z5 and z9. Neighbors in time belong in one window: z1, z2, z3.",
    )
    hint(
        same(second, padded[1].view(4, 3, 2)),
        "The second clip ends at its 4th frame, but the sevens behind it were kept. `lengths` says where.",
    )


def _name_wrong_mask(given: object, right: Tensor) -> None:
    """The mask (2, 4, 3) of clips of 10 and 4 frames."""
    hint(same(given, ~right), "True and False are swapped: True marks a clip's own frames.")
    hint(same(given, right.float()), "The mask holds numbers. It must hold True and False (torch.bool).")
    hint(same(given, torch.ones_like(right)), "The mask is True everywhere, at the zeros too.")
    hint(
        same(given, right[:1].expand(2, 4, 3)),
        "Both clips are marked up to their 10th frame, but the second one has 4: `lengths` says so.",
    )
    hint(
        same(given, right.any(2, keepdim=True).expand(2, 4, 3)),
        "Whole windows are marked: but the first clip's last window has 1 frame of its own, and 2 zeros.",
    )
    hint(
        same(given, right.all(2, keepdim=True).expand(2, 4, 3)),
        "A window that is filled in part is not marked at all, but z10 is the clip's own.",
    )


@exercise("3.3", "what a clip costs", level=2, minutes=8)
def cost(n_tokens: Student) -> None:
    """an integer: how many tokens a clip of that many seconds becomes, with its tail padded"""
    given = n_tokens(30, 0.333333, 1)
    hint(same(given, 88), "The tail was dropped, as in the published code: 1500 = 88 · 17 + 4. Pad it: 89.")
    hint(same(given, 94), "0.333333 s are 16.67 frames. They were cut to 16; round them: L = 17.")
    hint(
        same(given, 90) or same(given, 91),
        "The seconds were divided. But a window has a whole number of frames, 17, and so lasts 0.34 s: 89 windows.",
    )
    hint(
        same(n_tokens(30, 0.333333, 2), given) and same(given, 89),
        "N is missing: each of the 89 windows becomes N tokens.",
    )
    for seconds, window_seconds, N in ((30, 0.333333, 1), (30, 0.333333, 4), (2.5, 0.2, 1), (10, 0.5, 3)):
        T, L = round(50 * seconds), windows.window_frames(window_seconds)
        what = f"{seconds} s in windows of {window_seconds} s with N = {N}"
        expect(n_tokens(seconds, window_seconds, N), windows.n_windows(T, L) * N, what)


@exercise("3.4", "windows that overlap", level=3, minutes=12)
def overlap(n_windows: Student) -> None:
    """an integer: how many windows of L frames, one every `stride` frames, it takes to hold T frames"""
    given = n_windows(10, 4, 2)
    hint(
        same(given, 5),
        "⌈T / stride⌉ is one too many: the 4th window, z7 to z10, has reached the end already.",
    )
    hint(same(given, 3), "⌈T / L⌉ counts windows that touch. These begin every 2 frames.")
    hint(
        same(n_windows(11, 4, 2), 4) and same(given, 4),
        "The last frame was dropped: 4 windows reach z10, and z11 needs a 5th.",
    )
    short = n_windows(2, 8, 2)
    hint(
        same(short, 0) or same(short, -2),
        "A clip shorter than a window still needs one: 2 frames in windows of 8 make 1.",
    )
    for T, L, stride in ((10, 4, 2), (11, 4, 2), (2, 8, 2), (12, 3, 3), (50, 10, 1)):
        expect(
            n_windows(T, L, stride), windows.n_windows(T, L, stride), f"T = {T}, L = {L}, stride = {stride}"
        )


enter(
    3,
    """
A clip has T = 100 frames. L = 17, N = 2. How many tokens does the language model get?
- 10
  ⌊100 / 17⌋ = 5 windows, but 15 frames are left over. They fill a 6th in part.
+ 12
  ⌈100 / 17⌉ = 6 windows with 2 tokens each.
- 100
  One token a frame is what windows save us from.
- 2
  That is a Q-Former without windows: N tokens, however long the clip.

Why not one window over the whole clip?
- A Q-Former cannot read more than 17 frames.
  It can: its attention takes any number of frames.
- One window would be slower.
  It would be a little faster: there are fewer queries to answer.
+ N tokens would have to hold a minute as well as a second, and they would have no order in time.
  Windows make the number of tokens grow with the clip, and keep them in its order. The paper calls this high
  temporal resolution.

The paper's formula gives 89 tokens for 30 s, the published code gives 88. Which is right?
- 89: the code has a bug.
  Its weights were trained on 88. With 89 they would get a token they never saw.
- 88: the paper has an error.
  The formula is sound: it keeps the last 4 frames, which the code drops.
+ Each for itself: take what the weights were trained with.
  They differ in 4 frames of 1,500, 0.08 s. It matters only that training and use agree.

You double N and double L. What happens to the number of tokens?
+ It stays about the same.
  Half as many windows, twice as many tokens each. But now 2 queries look at one longer window.
- It doubles.
  N alone would do that. Longer windows are fewer windows.
- It becomes four times as large.
  N doubles it, L halves it.

A batch holds a clip of 4 s and one of 9 s. What must hold for the short clip's tokens?
+ They are the same as if it were alone.
  Its own frames are marked, the rest is left out of attention. The package tests this.
- They may differ a little, because of the padding.
  Then an answer would depend on the other clips in the batch.
- There are as many as for the long clip.
  The batch is padded to one size, but the extra ones are marked.
""",
)
