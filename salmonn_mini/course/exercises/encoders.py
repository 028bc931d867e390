"""Chapter 2, encoders: exercises and quiz."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from salmonn_mini.course.exercises.exercise import Hint, Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.course.figures.encoders import cut_patches, fuse, position_bias, ridge
from salmonn_mini.models.encoders.beats import relative_buckets


@exercise("2.1", "cut the filter bank into patches", level=2, minutes=12, reference=cut_patches)
def patches(cut_patches: Student) -> None:
    """a tensor (T, 256), one row a patch"""
    bank = torch.arange(40.0)[:, None] * 1000 + torch.arange(128.0)  # its value tells frame and band
    rows = [bank[16 * t : 16 * t + 16, 16 * f : 16 * f + 16] for t in range(2) for f in range(8)]
    right = torch.stack([row.flatten() for row in rows])
    by_band = torch.stack([row.flatten() for f in range(8) for row in rows[f::8]])
    given = cut_patches(bank.clone())
    hint(
        isinstance(given, Tensor) and given.shape == (24, 256),
        "A patch of 8 frames and none is missing: 40 frames hold 2 whole patches of 16. Drop the rest.",
    )
    hint(
        isinstance(given, Tensor) and given.shape in ((2, 8, 16, 16), (16, 16, 16), (2, 8, 256)),
        f"The shape is {tuple(getattr(given, 'shape', ()))}: the patches are there. Flatten them to (T, 256).",
    )
    hint(
        same(given, by_band),
        "Row 1 is the second moment of the lowest band. All 8 bands of a moment come first, then the next moment.",
    )
    hint(
        same(given, bank[:32].reshape(16, 256)),
        "Each row is two whole frames, with all 128 bands. A patch is 16 frames by 16 bands: view, then transpose.",
    )
    hint(
        same(given, torch.stack([row.T.flatten() for row in rows])),
        "The patches are right; inside each the numbers run band by band. They must run frame by frame.",
    )
    high = torch.stack([rows[8 * t + 7 - f].flatten() for t in range(2) for f in range(8)])
    hint(same(given, high), "The bands of each moment run from high to low. Band 0 is the lowest.")
    expect(given, right, "40 frames, whose values are 1,000 times the frame plus the band")
    expect(cut_patches(bank[:16].clone()), right[:8], "16 frames")
    expect(cut_patches(bank[:15].clone()), torch.zeros(0, 256), "15 frames")


@exercise("2.2", "a bias for every pair", level=2, minutes=12, reference=position_bias)
def bias(position_bias: Student) -> None:
    """a tensor (heads, T, T); row i, column j of a head belongs to query i and key j"""
    table = torch.arange(320.0)[:, None] + torch.tensor([0.0, 1000.0])  # bucket b holds b and 1000 + b
    place = torch.arange(5)
    distance = place - place[:, None]
    right = _looked_up(table, distance)
    given = position_bias(table.clone(), 5)
    hint(
        same(given, _looked_up(table, -distance)),
        "Rows and columns are swapped: in row 0, column 3 the key comes 3 later, distance +3.",
    )
    hint(
        same(given, _looked_up(table, distance.abs())),
        "The sign of the distance is lost: before and after have buckets of their own.",
    )
    hint(
        isinstance(given, Tensor) and given.shape == (5, 5, 2),
        "The heads come last. They must come first: (heads, T, T).",
    )
    hint(
        same(given, _looked_up(table, place.expand(5, 5))),
        "All rows are equal: this is where the key stands, not how far it is from the query.",
    )
    hint(
        isinstance(given, Tensor) and given.shape == (5, 5),
        "One head only. The table has a column a head: look all of them up.",
    )
    hint(
        same(given, table[distance % 320].permute(2, 0, 1)),
        "These are the table's rows at j - i itself. Ask `bucket` first which row a distance has.",
    )
    expect(given, right, "5 tokens, 2 heads")
    far = 200 * place
    wide = position_bias(table.clone(), 900)
    expect(wide[:, far][:, :, far], _looked_up(table, far - far[:, None]), "Every 200th of 900 tokens")


def _looked_up(table: Tensor, distance: Tensor) -> Tensor:
    return table[relative_buckets(distance, 320, 800)].permute(2, 0, 1)


@exercise("2.3", "train a linear probe", level=2, minutes=12, reference=ridge)
def probe(ridge: Student) -> None:
    """a tensor W (D, classes)"""
    x = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    Y = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    square, eye = x.T @ x, torch.eye(2, dtype=torch.float64)
    right = torch.linalg.solve(square + 2 * eye, x.T @ Y)
    given = ridge(x.clone(), Y.clone(), 2.0)
    hint(
        same(given, torch.linalg.solve(square, x.T @ Y)),
        "The penalty is missing: its gradient, 2 · penalty · W, joins the left-hand side.",
    )
    hint(
        same(given, torch.linalg.solve(square + 2, x.T @ Y)),
        "The penalty was added to every entry of AᵀA. It belongs on the diagonal: penalty times the unit matrix.",
    )
    hint(same(given, right.T), "W is transposed: a row for each feature, a column for each class.")
    hint(
        same(given, torch.linalg.solve(square + 4 * eye, x.T @ Y)),
        "The penalty counts twice: both gradients have the factor 2, so it cancels.",
    )
    hint(same(given, x.T @ Y), "This is AᵀY, the right-hand side. Solve the equation for W.")
    expect(given, right, "4 clips of 2 features, 2 classes, penalty 2")
    tall = torch.cat([x, 0 * x], 1)  # two features that are always zero: AᵀA alone has no inverse
    wide = torch.linalg.solve(tall.T @ tall + 0.5 * torch.eye(4, dtype=torch.float64), tall.T @ Y)
    expect(ridge(tall, Y.clone(), 0.5), wide, "The same with two more features, all zero, penalty 0.5")


@exercise("2.4", "put the two streams together", level=3, minutes=18, reference=fuse)
def streams(fuse: Student) -> None:
    """a pair: Z (B, T, D), whose first numbers are Whisper's; and a mask (B, T), True and False"""
    norms = nn.LayerNorm(2).requires_grad_(False), nn.LayerNorm(3).requires_grad_(False)
    for norm in norms:
        norm.bias.fill_(5.0)
    speech, audio = torch.arange(16.0).view(2, 4, 2) ** 2, torch.arange(18.0).view(2, 3, 3) ** 2
    of_speech, of_audio = torch.tensor([4, 2]), torch.tensor([3, 1])
    given = _pair_of(fuse(speech.clone(), of_speech, audio.clone(), of_audio, *norms))
    normed = norms[0](speech), norms[1](audio)
    own = normed[0] * _mask(of_speech, 4), normed[1] * _mask(of_audio, 3)
    zero_first = norms[0](speech * _mask(of_speech, 4)), norms[1](_longer(audio * _mask(of_audio, 3), 4))
    for wrong, mistake in (
        (
            _joined(*zero_first),
            "Zeros came before the LayerNorm, which turned them into its shift. Normalize first.",
        ),
        (
            _joined(*normed),
            "Clip 1 has 2 frames of Whisper and 1 of BEATs; behind them stands what the LayerNorm made of padding. "
            "Zero it.",
        ),
        (
            _joined(speech * _mask(of_speech, 4), audio * _mask(of_audio, 3)),
            "The LayerNorms are missing.",
        ),
        (
            torch.cat([own[0][:, :3], own[1]], 2),
            "The longer stream was cut to the shorter: Whisper's last frame is lost. Pad the shorter.",
        ),
        (_joined(own[1], own[0]), "BEATs stands first. Whisper's numbers come first in Z."),
        (
            torch.cat([own[0], torch.cat([torch.zeros(2, 1, 3), own[1]], 1)], 2),
            "The zeros stand before the first frame. They belong behind the last.",
        ),
    ):
        hint(same(given[0], wrong), mistake)
    expect(given[0], _joined(*own), "Z of 4 frames of Whisper and 3 of BEATs")
    hint(
        same(given[1], _mask(of_audio, 4)[..., 0]),
        "The mask is BEATs' alone. A frame counts as soon as either encoder has one there.",
    )
    expect(given[1], _mask(of_speech, 4)[..., 0], "The mask")
    try:
        turned = _pair_of(fuse(speech[:, :1].clone(), of_audio.clamp(max=1), audio.clone(), of_audio, *norms))
    except Hint as mistake:
        raise Hint(f"1 frame of Whisper, 3 of BEATs: {mistake} Either stream may be the shorter.") from None
    expect(turned[0], _joined(own[0][:, :1], own[1]), "Z of 1 frame of Whisper and 3 of BEATs")
    expect(turned[1], _mask(of_audio, 3)[..., 0], "The mask of 1 frame of Whisper and 3 of BEATs")


def _pair_of(given: object) -> tuple:
    hint(not isinstance(given, tuple) or len(given) != 2, "Return two things: Z and its mask.")
    return given


def _mask(lengths: Tensor, T: int) -> Tensor:
    return (torch.arange(T) < lengths[:, None])[..., None]


def _longer(x: Tensor, T: int) -> Tensor:
    return torch.cat([x, torch.zeros(len(x), T - x.shape[1], x.shape[2])], 1)


def _joined(a: Tensor, b: Tensor) -> Tensor:
    T = max(a.shape[1], b.shape[1])
    return torch.cat([_longer(a, T), _longer(b, T)], 2)


enter(
    2,
    """
How many frames come out of a convolution over 228 frames, with 3 taps, stride 2 and one zero at each end?
- 113
  The zeros at the two ends are missing: 228 frames and 2 zeros make 230.
+ 114
  The first output begins at place 0 of 230, the last at 226: 113 steps of 2, and the first.
- 115
  The last output must have all its 3 taps within the 230 places.
- 228
  That is the first convolution, with stride 1.

How much sound does one frame of Whisper see before the first attention layer?
- 20 ms: there are 50 frames a second.
  That is the step from frame to frame. Frames overlap.
+ 65 ms: 5 mel frames of 25 ms, 10 ms apart.
  Two convolutions of 3 taps, the second of stride 2, reach 5 mel frames: 4 steps of 10 ms, and 25 ms.
- The whole clip.
  Only from the first attention layer on.

How was the published BEATs pre-trained?
- To name the sound events of AudioSet.
  That is the fine-tuning, which came last.
+ To guess labels of masked patches. The labels came from a tokenizer, not from people.
  Self-supervised: the first labels came from a random projection, later ones from a tokenizer that learned from
  the BEATs before.
- To write down speech.
  That is Whisper.
- To fill in the missing sound.
  Close: other models do. BEATs guesses discrete labels instead.

When does the patch of BEATs' token 42 begin, and which band is it?
- At 840 ms, band 0.
  42 · 20 ms is where Whisper's frame 42 stands. Tokens 40 to 47 of BEATs are one moment.
+ At 800 ms, band 2.
  42 = 8 · 5 + 2: moment 5, which begins at 5 · 160 ms, and band 2.
- At 320 ms, band 5.
  Band and moment are swapped: tokens 0 to 7 are the 8 bands of the first moment.

What does BEATs' relative position bias depend on?
- On what the two tokens hold.
  That is q · k. The bias is added to it.
+ On their distance j - i alone; a factor that the query computes then scales it.
  The table has one entry for each bucket of distances and each head.
- On where the key stands.
  Then it would be an absolute position, as Whisper's.

A probe reads "speaker" off features with 65 % right, of 16 speakers. What follows?
+ The speaker is there, and a linear reading finds much of it.
  Chance is 6 %. A stronger reader, or more clips to learn from, may find more.
- The encoder was trained to tell speakers apart.
  A probe finds what is there, for whatever reason.
- 35 % of what tells speakers apart is lost.
  A probe gives a lower bound. That it finds nothing does not show that nothing is there.

Why must a probe be judged on clips that it was not trained on?
- Because the test clips are harder.
  They are drawn in the same way, from another seed.
- Because the encoder was trained on them.
  The encoder is frozen, and learned from other clips.
+ Because with a hundred numbers a clip it can learn the training clips by heart.
  Even labels drawn at random are learned in part. On new clips they give chance.
""",
)
