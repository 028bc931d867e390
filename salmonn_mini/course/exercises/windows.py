"""Chapter 3, windows: exercises and quiz."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.evaluation import probes
from salmonn_mini.models import windows

LENGTHS = torch.tensor([10, 4])  # of the clips that most hints are about


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


@exercise("3.2", "fold a batch into windows", level=3, minutes=20, reference=probes.fold)
def folding(fold: Student) -> None:
    """two tensors: the windows, with a row for each window of each clip, L frames in it and D numbers in each frame;
    and a boolean mask with the same rows and L columns"""
    A = torch.stack([torch.arange(1.0, 11.0), torch.arange(10.0, 101.0, 10.0)], 1)  # (10, 2)
    B = torch.cat([A[:4], torch.full((6, 2), 7.0)])
    Z = torch.stack([A, B])
    given = _pair(fold(Z.clone(), 3, LENGTHS.clone()), "the windows and the mask: return windows, mask")
    _name_wrong_windows(given[0], Z)
    hint(
        isinstance(given[0], Tensor) and given[0].dtype != Z.dtype,
        "The windows hold another type of number than Z: make zeros by Z.new_zeros or F.pad.",
    )
    right, mask = probes.fold(Z, 3, LENGTHS)
    expect(given[0], right, "The windows of clips of 10 and 4 frames, L = 3")
    _name_wrong_mask(given[1], mask)
    expect(given[1], mask, "The mask of clips of 10 and 4 frames, L = 3")
    for T, L, own in ((9, 3, [9, 3]), (1, 5, [1, 1]), (10, 4, [1, 6, 10]), (6, 6, [6, 2])):
        Z, lengths = A[:T].repeat(len(own), 1, 1), torch.tensor(own)
        given, right = fold(Z.clone(), L, lengths.clone()), probes.fold(Z, L, lengths)
        what = f"clips of {', '.join(map(str, own))} frames, L = {L}"
        hint(
            isinstance(given[0], Tensor) and same(len(given[0]), len(own) * (-(-T // L) + 1)),
            f"{what}: one window too many for each clip. {T} frames fill {T // L} exactly; the last is all zeros.",
        )
        expect(given[0], right[0], f"The windows of {what}")
        expect(given[1], right[1], f"The mask of {what}")


def _pair(given: object, what: str) -> tuple | list:
    hint(not isinstance(given, tuple | list) or len(given) != 2, f"Give back two tensors, {what}.")
    return given


def _name_wrong_windows(given: object, Z: Tensor) -> None:
    """Z (2, 10, 2), of which the second clip has 4 frames, in windows of 3."""
    if not isinstance(given, Tensor):
        return
    hint(
        given.shape == (2, 4, 3, 2),
        "The windows still lie in a box for each clip: (B, W, L, D). Make them one batch: flatten the first two.",
    )
    hint(
        given.shape == (6, 3, 2) and same(given[-1], F.pad(Z[1, 3:4], (0, 0, 0, 2))),
        "Windows without a frame of their clip were left out. Keep them: each clip has the same number of rows.",
    )
    padded = F.pad(Z, (0, 0, 0, 2))
    own = torch.arange(12) < LENGTHS[:, None]
    right = (padded * own[..., None]).unflatten(1, (4, 3))
    hint(
        same(given, right.transpose(0, 1).flatten(0, 1))
        or same(given, padded.unflatten(1, (4, 3)).transpose(0, 1).flatten(0, 1)),
        "The rows alternate between the clips. First come all windows of the first clip, then all of the second.",
    )
    hint(
        same(given, right.transpose(2, 3).flatten(0, 1)),
        "Each window lies on its side: (D, L). Frames come first, then the D numbers of each.",
    )
    first = given[: len(given) // 2]
    hint(
        same(first, Z[0, :9].view(3, 3, 2)), "The last window was dropped: z10 stands in none of the windows."
    )
    hint(
        same(first, F.pad(Z[0], (0, 0, 2, 0)).view(4, 3, 2)),
        "The zeros stand before the first frame. They belong behind the last.",
    )
    hint(
        same(first, torch.cat([Z[0], Z[0, -1:].expand(2, 2)]).view(4, 3, 2)),
        "The tail repeats the last frame. Where a window has no frame of the clip, it holds zeros.",
    )
    hint(
        same(first, padded[0].view(3, 4, 2)),
        "Cut into 3 windows of 4. With L = 3, each clip has 4 windows of 3.",
    )
    hint(
        same(first, padded[0].view(3, 4, 2).transpose(0, 1)),
        "The first window holds z1, z5 and z9. Neighbors in time belong in one window: z1, z2, z3.",
    )
    hint(
        same(given[len(given) // 2 :], padded[1].view(4, 3, 2)),
        "The second clip ends at its 4th frame, but the sevens behind it were kept. `lengths` says where.",
    )


def _name_wrong_mask(given: object, right: Tensor) -> None:
    """The mask (8, 3) of clips of 10 and 4 frames."""
    hint(same(given, ~right), "True and False are swapped: True marks a clip's own frames.")
    hint(same(given, right.float()), "The mask holds numbers. It must hold True and False (torch.bool).")
    hint(same(given, torch.ones_like(right)), "The mask is True everywhere, at the zeros too.")
    hint(
        same(given, right.unflatten(0, (2, 4))),
        "The mask still lies in a box for each clip. Its rows are those of the windows: flatten the first two.",
    )
    hint(
        same(given, right[:4].repeat(2, 1)),
        "Both clips are marked up to their 10th frame, but the second one has 4: `lengths` says so.",
    )
    hint(
        same(given, right.any(1)) or same(given, right.any(1, keepdim=True).expand(8, 3)),
        "Whole windows are marked: but the first clip's last window has 1 frame of its own, and 2 zeros.",
    )
    hint(
        same(given, right.all(1, keepdim=True).expand(8, 3)),
        "A window that is filled in part is not marked at all, but z10 is the clip's own.",
    )


@exercise("3.3", "unfold the tokens to H", level=2, minutes=12, reference=probes.unfold)
def unfolding(unfold: Student) -> None:
    """two tensors: H, with a row for each clip and W * N tokens of D numbers in each row; and how many tokens each
    clip has of its own (B,)"""
    tokens = torch.arange(1.0, 33.0).view(8, 2, 2)
    given = _pair(unfold(tokens.clone(), LENGTHS.clone(), 3), "H and the counts: return H, counts")
    H, counts = probes.unfold(tokens, LENGTHS, 3)
    _name_wrong_H(given[0], tokens, H)
    expect(given[0], H, "H of clips of 10 and 4 frames, L = 3, N = 2")
    hint(same(given[1], counts // 2), "These are windows. Each of them has become N = 2 tokens.")
    hint(
        same(given[1], torch.tensor([8, 8])),
        "Both clips have 8 tokens, but 4 frames fill 2 windows: the second clip has 4 of its own.",
    )
    hint(
        same(given[1], LENGTHS // 3 * 2),
        "The last window was dropped: 10 frames make 4 windows of 3, and 4 frames make 2.",
    )
    expect(given[1], counts, "The counts of clips of 10 and 4 frames, L = 3, N = 2")
    for own, L, N in (([9, 3, 1], 3, 1), ([1], 5, 3), ([6, 12], 4, 2)):
        lengths = torch.tensor(own)
        tokens = 1.0 + torch.arange(len(own) * -(-max(own) // L) * N * 2).view(-1, N, 2)
        given, right = unfold(tokens.clone(), lengths.clone(), L), probes.unfold(tokens, lengths, L)
        what = f"clips of {', '.join(map(str, own))} frames, L = {L}, N = {N}"
        expect(given[0], right[0], f"H of {what}")
        expect(given[1], right[1], f"The counts of {what}")


def _name_wrong_H(given: object, tokens: Tensor, H: Tensor) -> None:
    """Tokens (8, 2, 2), of which the first 4 rows are one clip's, and the next 2 of the other 4."""
    box, is_own = tokens.unflatten(0, (2, 4)), H != 0
    hint(
        isinstance(given, Tensor) and given.dim() == 4,
        "The tokens still lie in a box for each window. A clip's tokens stand in one row: (B, W * N, D).",
    )
    hint(
        same(given, box.flatten(1, 2)),
        "The second clip has tokens of windows in which it has no frame. Beyond its own 4 there are zeros.",
    )
    by_query = box.transpose(1, 2).flatten(1, 2)
    hint(
        same(given, by_query) or same(given, by_query * is_own),
        "The tokens stand query by query. Time comes first: all tokens of window 1, then those of window 2.",
    )
    mixed = tokens.unflatten(0, (4, 2)).transpose(0, 1).flatten(1, 2)
    hint(
        same(given, mixed) or same(given, mixed * is_own),
        "The clips are mixed: rows 1 to 4 of the tokens are the first clip's, rows 5 to 8 the second's.",
    )


@exercise("3.4", "windows that overlap", level=2, minutes=12)
def overlap(overlapping: Student) -> None:
    """a tensor, with a row for each window, L frames in it and D numbers in each frame"""
    Z = torch.arange(1.0, 23.0).view(11, 2)

    def right(T: int, L: int, stride: int) -> Tensor:
        return windows.split(Z[None, :T], L, None, stride)[0][0]

    given = overlapping(Z[:10].clone(), 4, 2)
    rows = len(given) if isinstance(given, Tensor) and given.dim() else 0
    hint(rows == 5, "One window too many: the 4th, z7 to z10, has reached the end already.")
    hint(rows == 3, "These windows touch. One must begin every `stride` frames, 2 here.")
    hint(
        same(given, right(10, 4, 2).transpose(1, 2)),
        "Each window lies on its side: (D, L). `unfold` puts the new axis last; frames come first here.",
    )
    expect(given, right(10, 4, 2), "10 frames, L = 4, stride 2")
    given = overlapping(Z.clone(), 4, 2)
    hint(
        isinstance(given, Tensor) and same(given, right(10, 4, 2)),
        "The last frame was dropped: 4 windows reach z10, and z11 needs a 5th, with a zero at its end.",
    )
    expect(given, right(11, 4, 2), "11 frames, L = 4, stride 2")
    given = overlapping(Z[:2].clone(), 8, 2)
    hint(
        isinstance(given, Tensor) and len(given) != 1,
        "A clip shorter than a window still needs one: 2 frames in windows of 8 make 1, filled with zeros.",
    )
    for T, L, stride in ((2, 8, 2), (9, 3, 3), (11, 5, 1)):
        expect(
            overlapping(Z[:T].clone(), L, stride),
            right(T, L, stride),
            f"{T} frames, L = {L}, stride {stride}",
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

A window should last 0.25 s, at 50 frames a second. What is L in the published code?
- 13
  0.25 · 50 = 12.5, and Python's round takes a half to the even neighbor.
+ 12
  12.5 is rounded to the even neighbor, 12. The window lasts 0.24 s.
- 12.5
  A window has a whole number of frames.

Eight windows of two clips became the tokens (8, N, D). Where does the second clip's first token stand?
- In row 1, right after the first clip's first window.
  That would be clip after clip within a window. All windows of the first clip come first.
+ In row 4, the fifth.
  Each clip has W = 4 rows. Rows 0 to 3 are the first clip's.
- In row N.
  N is the number of tokens within a row.

A batch holds a clip of 4 s and one of 9 s. What must hold for the short clip's tokens?
+ They are the same as if it were alone.
  Its own frames are marked, the rest is left out of attention. The package tests this.
- They may differ a little, because of the padding.
  Then an answer would depend on the other clips in the batch.
- There are as many as for the long clip.
  The batch is padded to one size, but the extra ones are marked.

The paper's formula gives 89 tokens for 30 s, its text and the published code 88. Which should you use?
- 89, always.
  Published weights were trained on 88. With 89 they would get a token that they never saw.
- 88, always.
  It drops the last frames. A short clip that is not padded loses a large share of itself.
+ What the weights were trained with.
  They differ in 4 frames of 1,500, 0.08 s. Training and use must agree.

You double N and double L. What stays the same?
+ The number of tokens, and nothing else for sure.
  Half as many windows, twice as many tokens each. What they hold has to be measured.
- All that can be read from the tokens.
  Two queries that look at one long window need not see what one query sees in each of two short ones.
- The number of windows.
  Longer windows are fewer windows.

A probe reads fewer words from long windows than from short ones. What has been shown?
- The tokens of long windows hold no words.
  Another readout might find more. A probe shows what it can read, not what is absent.
+ With this reduction and this readout, longer windows make words harder to read.
  Both were trained on few clips. A larger Q-Former, trained longer, may do better.
- The paper's L = 17 is too long.
  The paper's Q-Former is larger, has been trained on far more, and has a language model behind it.
""",
)
