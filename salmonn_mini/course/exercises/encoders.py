"""Chapter 2, encoders: exercises and quiz."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter


@exercise("2.1", "count what a convolution gives", level=1, minutes=5)
def count(n_out: Student) -> None:
    """how many frames come out of a convolution over M frames with `kernel` taps, one output every `stride`
    frames, and `padding` zeros at each end
    """
    given = n_out(228, 3, 2, 1)
    hint(same(given, 113), "The zeros at the two ends are missing: 228 frames and 2 · 1 zeros make 230.")
    hint(same(given, 228), "The stride is missing: an output comes only every 2 frames.")
    hint(same(given, 113.5) or same(given, 114.5), "There is no half frame: round down.")
    hint(
        same(given, 115) or same(n_out(229, 3, 2, 1), 116),
        "One too many: the last output must have all its taps within the frames and their zeros.",
    )
    hint(
        same(given, 114) and same(n_out(100, 3, 1, 1), 50),
        "M / 2 is right for Whisper's second convolution alone. The first has stride 1: 100 frames stay 100.",
    )
    for M, kernel, stride, padding in (
        (228, 3, 2, 1),
        (229, 3, 2, 1),
        (100, 3, 1, 1),
        (100, 3, 1, 0),
        (9, 5, 4, 0),
    ):
        expect(
            n_out(M, kernel, stride, padding),
            (M + 2 * padding - kernel) // stride + 1,
            f"{M} frames, kernel {kernel}, stride {stride}, padding {padding}",
        )


@exercise("2.2", "where a token of BEATs stands", level=2, minutes=6)
def place(place: Student) -> None:
    """a pair of whole numbers: the milliseconds at which token n begins (a patch lasts 160 ms), and its band
    from 0 to 7
    """
    given = place(42)
    hint(isinstance(given, list), "Give a pair, (milliseconds, band), not a list.")
    hint(same(given, (2, 800)), "The two are swapped: (milliseconds, band).")
    hint(same(given, (5, 2)), "5 is the moment. A moment lasts 160 ms, so it begins at 5 · 160 ms.")
    hint(
        same(given, (840, 2)),
        "42 · 20 ms is where frame 42 of Whisper stands. Tokens 40 to 47 of BEATs are one moment, the 6th.",
    )
    hint(
        same(given, (320, 5)) or same(place(1), (160, 0)),
        "Band and moment are swapped: tokens 0 to 7 are the 8 bands of the first moment.",
    )
    for n in (42, 0, 7, 8, 1495):
        expect(place(n), (160 * (n // 8), n % 8), f"Token {n}")


@exercise("2.3", "a bias for every pair", level=3, minutes=12)
def bias(bias: Student) -> None:
    """a tensor (T, T): row i, column j holds the bias of the distance j - i; `table` (2T - 1,) begins with the
    distance -(T - 1)
    """
    table, T = torch.arange(-3.0, 4.0) * 10, 4  # the bias of distance d is 10 d
    place = torch.arange(T)
    right = 10.0 * (place - place[:, None])
    given = bias(table.clone(), T)
    hint(
        same(given, -right),
        "Rows and columns are swapped: in row 0, column 3 the key comes 3 later, distance +3.",
    )
    hint(
        same(given, right.abs()) or same(given, -right.abs()),
        "The sign of the distance is lost: before and after have biases of their own.",
    )
    hint(
        isinstance(given, Tensor) and given.shape == (T, T) and bool((given == given[:1]).all()),
        "All rows are equal: this is where the key stands, not how far it is from the query.",
    )
    hint(
        isinstance(given, Tensor)
        and given.shape == (T, T)
        and bool((given.diagonal() != 0).all())
        and same(given[0, 1] - given[0, 0], 10),
        "The diagonal is distance 0. Its bias stands in the middle of the table, at T - 1.",
    )
    expect(given, right, "The biases of 4 tokens")
    table = torch.tensor([0.5, -1.0, 2.0])
    expect(bias(table.clone(), 2), torch.tensor([[-1.0, 2.0], [0.5, -1.0]]), "The biases of 2 tokens")


@exercise("2.4", "one vector for a clip", level=1, minutes=5)
def pool(pool: Student) -> None:
    """a tensor (B, D): the mean of each clip's own frames; features (B, T, D), the first lengths[b] frames are
    clip b's own
    """
    features = torch.arange(1.0, 25.0).view(2, 4, 3)
    lengths = torch.tensor([4, 2])
    right = torch.stack([features[0].mean(0), features[1, :2].mean(0)])
    given = pool(features.clone(), lengths.clone())
    hint(
        same(given, features.mean(1)),
        "The padding was counted: of the second clip's 4 frames only the first 2 are its own.",
    )
    hint(
        same(given, right * lengths[:, None] / 4),
        "Divided by T = 4. The second clip has 2 frames of its own: divide by its length.",
    )
    hint(same(given, right * lengths[:, None]), "This is the sum. Divide by the clip's length.")
    hint(
        isinstance(given, Tensor) and given.shape == (2, 4),
        "The mean runs over the features. Take it over the frames: (B, T, D) becomes (B, D).",
    )
    expect(given, right, "Two clips of 4 and 2 frames")
    alone = pool(features[:1, :1].clone(), torch.tensor([1]))
    expect(alone, features[:1, 0], "A clip of one frame")


@exercise("2.5", "put the two streams together", level=2, minutes=10)
def fuse(fuse: Student) -> None:
    """Z (T, D): each stream through its own LayerNorm, the shorter one then filled with zeros at its end, and
    both side by side, Whisper first
    """
    norms = nn.LayerNorm(2).requires_grad_(False), nn.LayerNorm(3).requires_grad_(False)
    for norm in norms:
        norm.bias.fill_(5.0)
    whisper, beats = torch.arange(8.0).view(4, 2) ** 2, torch.arange(6.0).view(2, 3) ** 2
    zeros = torch.zeros(2, 3)
    speech, audio = norms[0](whisper), norms[1](beats)
    given = fuse(whisper.clone(), beats.clone(), *norms)
    hint(
        same(given, torch.cat([speech, norms[1](torch.cat([beats, zeros]))], 1)),
        "Zeros came before the LayerNorm, which turned them into its bias. Normalize first, then fill up.",
    )
    hint(
        same(given, torch.cat([whisper, torch.cat([beats, zeros])], 1)),
        "The LayerNorms are missing.",
    )
    hint(
        same(given, torch.cat([speech[:2], audio], 1)),
        "The longer stream was cut to the shorter: the last frames of Whisper are lost. Fill up the shorter.",
    )
    hint(
        same(given, torch.cat([speech, torch.cat([zeros, audio])], 1)),
        "The zeros stand before the first frame. They belong behind the last.",
    )
    hint(
        same(given, torch.cat([torch.cat([audio, zeros]), speech], 1)),
        "BEATs stands first. Whisper's numbers come first in Z.",
    )
    expect(given, torch.cat([speech, torch.cat([audio, zeros])], 1), "4 frames of Whisper, 2 of BEATs")
    given = fuse(whisper[:1].clone(), beats.clone(), *norms)
    right = torch.cat([torch.cat([speech[:1], torch.zeros(1, 2)]), audio], 1)
    expect(given, right, "1 frame of Whisper, 2 of BEATs")


enter(
    2,
    """
How much sound does one frame of Whisper see before the first attention layer?
- 20 ms: there are 50 frames a second.
  That is the step from frame to frame. Frames overlap.
+ 65 ms: 5 mel frames of 25 ms, 10 ms apart.
  Two convolutions of 3 taps, the second of stride 2, reach 5 mel frames. 4 steps and a window: 65 ms.
- The whole clip.
  Only from the first attention layer on.
- 25 ms: one window.
  That is one mel frame. The convolutions join five of them.

Frames 80 and 81 of BEATs are neighbors in its output. What do they hear?
- Two moments, 20 ms apart.
  Only on paper. BEATs hears 6.25 moments a second.
+ The same 160 ms, the lowest band and the one above.
  80 = 8 · 10: token 80 is band 0 of moment 10, and token 81 band 1 of the same moment.
- The same band, 160 ms apart.
  Those are tokens 80 and 88.

A linear probe reads the speaker off an encoder's features, 65 % right of 24 speakers. What follows?
+ The speaker is there, and a linear reading finds much of it.
  Chance is 4 %. A stronger reader, or more clips to learn from, may find more.
- The encoder was trained to tell speakers apart.
  A probe finds what is there, for whatever reason. The toy's Whisper was trained on words alone.
- 35 % of the speakers are lost.
  A probe gives a lower bound. That it finds nothing does not show that nothing is there.

Why must a probe be judged on clips that it was not trained on?
- Because the test clips are harder.
  They are drawn in the same way, from another seed.
- Because the encoder was trained on them.
  The encoder is frozen, and made from other data.
+ Because with some hundred numbers a clip it can learn the training clips by heart.
  Even labels drawn at random are learned in part. On new clips they give chance.

What does the relative position bias depend on?
- On what the two tokens hold.
  That is q · k. The bias is added to it.
+ On their distance j - i alone; the query's gate then scales it.
  One table by distance for all layers. The gate lets a query use it more or less.
- On where the key stands.
  Then it would be an absolute position, as Whisper's.
""",
)
