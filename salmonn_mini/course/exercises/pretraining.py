"""Chapter 7, pre-training: exercises and quiz."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter


@exercise("7.1", "clip the gradient", level=2, minutes=8)
def clip(clip: Student) -> None:
    """a list of tensors: the gradients, scaled by one common factor so that the norm of all their numbers
    together is at most `most`; unchanged if it is already
    """
    gradients = [torch.tensor([1.0, 2.0]), torch.tensor([[2.0, 4.0]])]  # of norm 5 together

    def given(most: float) -> list[Tensor] | None:
        found = clip([gradient.clone() for gradient in gradients], most)
        right = isinstance(found, list | tuple) and all(isinstance(part, Tensor) for part in found)
        expect(right and len(found) == 2, True, "Two tensors went in; that two come out")
        return list(found)

    tight, loose = given(1.0), given(10.0)
    hint(
        _all_same(loose, [10 / 5 * gradient for gradient in gradients]),
        "A gradient of norm 5 was stretched to 10. Clipping only ever shortens: here nothing must change.",
    )
    hint(
        _all_same(tight, gradients),
        "Nothing was clipped: the norm over all numbers is √(1 + 4 + 4 + 16) = 5, and 1 is the most.",
    )
    hint(
        _all_same(tight, [gradient / gradient.norm() for gradient in gradients]),
        "Each tensor was clipped by itself. That turns the step's direction: the norm is one, over all numbers.",
    )
    hint(
        _all_same(tight, [gradient.clamp(-1, 1) for gradient in gradients]),
        "Each number was cut off at ±1. That turns the step's direction. Scale all numbers by one factor.",
    )
    hint(
        _all_same(tight, [gradient / 25 for gradient in gradients]),
        "Divided by 25, the sum of the squares. The norm is its root, 5.",
    )
    hint(
        _all_same(tight, [gradient / sum(map(torch.linalg.norm, gradients)) for gradient in gradients]),
        "Divided by 6.7: the norms of the two tensors were added up. Squares add up, norms do not: √(5 + 20) = 5.",
    )
    for most, found in ((1.0, tight), (10.0, loose), (2.5, given(2.5))):
        for part, gradient in zip(found, gradients, strict=True):
            expect(part, min(1.0, most / 5) * gradient, f"A gradient of norm 5, clipped at {most:g}")


def _all_same(given: Sequence[Tensor], value: Sequence[Tensor]) -> bool:
    return all(same(one, other) for one, other in zip(given, value, strict=True))


@exercise("7.2", "warm-up and cosine", level=1, minutes=8)
def schedule(factor: Student) -> None:
    """the factor on the learning rate at a step, counted from 0: 1/warmup, 2/warmup, … 1, then half a cosine
    from 1 down to `final`, which it would reach at step `steps`
    """
    steps, warmup, final = 110, 10, 0.2

    def cosine(progress: float) -> float:
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    first = factor(0, steps, warmup, final)
    hint(
        same(first, 0), "At step 0 the factor is 0: the first step would change nothing. Begin with 1/warmup."
    )
    hint(same(first, 1), "There is no warm-up: the very first step has the full learning rate.")
    hint(
        same(first, final + (1 - final) / warmup),
        "The warm-up begins above `final`. It begins near 0: 1/warmup. `final` is where the run ends.",
    )
    expect(first, 0.1, "The first of 10 steps of warm-up")
    expect(factor(9, steps, warmup, final), 1.0, "The last step of the warm-up")
    middle = factor(60, steps, warmup, final)
    hint(same(middle, 1), "After the warm-up the factor stays at 1. It must fall, as a cosine.")
    hint(
        same(middle, cosine(60 / steps)),
        "The cosine begins at step 0, so it jumps where the warm-up ends. Let it begin there.",
    )
    hint(
        same(middle, 0.5),
        "The cosine falls to 0. It must end at `final`: half-way lies the middle of 1 and `final`.",
    )
    hint(
        same(middle, final + (1 - final) * math.cos(math.pi / 2)),
        "cos falls from 1 to -1: at half-way it is 0. Lift it: (1 + cos) / 2 falls from 1 to 0.",
    )
    expect(middle, cosine(0.5), "Half-way down")
    quarter = factor(35, steps, warmup, final)
    hint(
        same(quarter, 1 - 0.25 * (1 - final)),
        "A straight line. The cosine falls slowly at first: here it is still 0.88.",
    )
    for step in (10, 35, 85, 109):
        expect(factor(step, steps, warmup, final), cosine((step - warmup) / 100), f"Step {step} of {steps}")
    expect(factor(0, 100, 0, 0.0), 1.0, "The first step without warm-up")


@exercise("7.3", "a large batch in small parts", level=2, minutes=12)
def accumulate(accumulate: Student) -> None:
    """the mean loss over all answer tokens of all parts; and after the call the gradients must be those of
    that mean, with one `backward` a part
    """
    parts, whole = _parts()
    weight = nn.Parameter(torch.tensor([0.5, -1.0]))
    sizes: list[int] = []

    def loss_of(part: tuple[Tensor, Tensor]) -> tuple[Tensor, int]:
        """The loss of a part's tokens, added up, and how many tokens they are."""
        sizes.append(len(part[0]))
        return _squares(weight, part), len(part[0])

    optimal = nn.Parameter(weight.detach().clone())
    mean = _squares(optimal, whole) / len(whole[0])
    mean.backward()
    right = optimal.grad
    given = accumulate(loss_of, parts)
    expect(set(sizes) >= {1, 3}, True, "That loss_of is called with each part")
    found = weight.grad
    hint(found is None, "No gradient is there: call `backward()` on the loss of each part.")
    sums = [_gradient(weight, part) for part in parts]
    hint(
        same(found, sum(sums)),
        "The gradients of the sums were added, and not divided: 4 tokens make it 4 times too large. "
        "So it is in the published code.",
    )
    hint(
        same(found, sum(sums) / len(parts)),
        "Divided by 2, the number of parts. But the loss is a mean over tokens: 3 + 1 = 4 of them.",
    )
    hint(
        same(found, sum(g / len(part[0]) for g, part in zip(sums, parts, strict=True)) / len(parts)),
        "A mean of means: the lone token of the short part counts three times as much as each of the others. "
        "Divide each part's sum by the tokens of all parts.",
    )
    hint(
        same(found, sum(g / len(part[0]) for g, part in zip(sums, parts, strict=True))),
        "Each part was divided by its own tokens, and the results were added. Divide by the tokens of all parts.",
    )
    hint(
        any(same(found, g / 4) or same(found, g) for g in sums),
        "Only one part's gradient is there. Gradients add up by themselves: do not set them to zero in between.",
    )
    expect(found, right, "The gradient")
    hint(
        same(given, 4 * mean.item()), "The gradient is right; but the loss returned is the sum, not the mean."
    )
    expect(given, mean.item(), "The loss returned")


def _parts() -> tuple[list[tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]:
    """Inputs and targets of 3 tokens and of 1, and all 4 together."""
    x = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 1.0], [2.0, -1.0]])
    y = torch.tensor([1.0, 0.0, 2.0, -2.0])
    return [(x[:3], y[:3]), (x[3:], y[3:])], (x, y)


def _squares(weight: Tensor, part: tuple[Tensor, Tensor]) -> Tensor:
    return (part[0] @ weight - part[1]).square().sum()


def _gradient(weight: Tensor, part: tuple[Tensor, Tensor]) -> Tensor:
    own = weight.detach().clone().requires_grad_()
    _squares(own, part).backward()
    return own.grad


@exercise("7.4", "batches that can be found again", level=3, minutes=15)
def batch_at(batch_at: Student) -> None:
    """a list of batch_size clips' numbers: the batch of a step, from 0 on. In each epoch of n // batch_size
    steps no clip comes twice; epochs differ; and the answer follows from the arguments alone
    """
    n, size, seed = 13, 4, 5  # 3 batches an epoch, and one clip is left out

    def deal(step: int, seed: int = seed) -> list[int]:
        torch.manual_seed(100 + len(orders))
        found = batch_at(step, n, size, seed)
        found = found.tolist() if hasattr(found, "tolist") else found
        whole = isinstance(found, list | tuple) and all(isinstance(clip, numbers.Integral) for clip in found)
        expect(whole and len(found) == size, True, f"That step {step} gives a list of {size} whole numbers")
        hint(
            min(found) < 0 or max(found) >= n,
            f"There are {n} clips, 0 to {n - 1}: {max(found)} is none of them.",
        )
        orders.append(list(found))
        return orders[-1]

    orders: list[list[int]] = []
    first = [deal(step) for step in range(6)]
    again = [deal(step) for step in (4, 0, 4)]
    hint(
        again != [first[4], first[0], first[4]],
        "The same step was asked for again and gave another batch. Draw from a generator of your own, "
        "made from the arguments: after a stop nobody remembers the old one.",
    )
    for epoch in (first[:3], first[3:]):
        flat = [clip for batch in epoch for clip in batch]
        repeated = next((clip for clip in flat if flat.count(clip) > 1), None)
        hint(
            repeated is not None,
            f"Clip {repeated} comes twice in one epoch of 3 steps. Shuffle all clips once an epoch, and take slices.",
        )
    hint(
        [clip for batch in first[:3] for clip in batch] == list(range(12)),
        "Not shuffled: the clips come in their own order, and clip 12 never does.",
    )
    hint(
        first[:3] == first[3:],
        "The second epoch is the first again, so one clip never comes up. The epoch's number belongs in the seed.",
    )
    hint(
        [deal(step, seed=6) for step in range(6)] == first,
        "Another seed gives the same batches: `seed` is not used.",
    )


enter(
    7,
    """
Why does stage 1 come before instruction tuning?
- So that the encoders learn to hear.
  They hear already, and they are frozen. What they hear does not yet mean anything to the LLM.
+ So that the new parts, which start at random, learn what sounds have to do with words.
  Transcripts and captions are plentiful, and say nearly all that is in a clip. The paper's first stage closes
  the gap between parts that are trained and parts that are new.
- Because the language model has to learn to write first.
  It has learned that from text, long before, and stays frozen.

A batch holds a transcript of 20 tokens and a caption of 5. The loss is the mean over tokens. How much do they
count?
+ 4 to 1
  20 tokens to 5. Each token counts the same, wherever it stands.
- 1 to 1
  That would be the mean of the two clips' own means.
- It depends on how the batch is cut into parts.
  It must not: one divides by the tokens of all parts.

The encoders are frozen, and every clip comes up many times. What may be kept from one time to the next?
- H, the audio tokens
  They come out of the Q-Former, which changes with every step.
+ the features of both encoders
  They depend on the sound and on frozen weights alone. The two LayerNorms behind them are trained, so the
  features are kept from before these.
- the answer's loss
  It falls: that is the point of training.

A run is stopped and goes on from its checkpoint, which holds the trained weights alone. What happens?
- Nothing: the weights are all that counts.
  AdamW keeps two running means for each of them. Without these it begins again, with other steps.
- It raises an error.
  Nothing that it needs to run is missing. It is another run, and says nothing.
+ It goes on, but differently.
  The optimizer's means are gone, and so are the place in the data, the place in the schedule, and what dropout
  would have drawn.

The loss has fallen from 7 to 1. What do you know about the model's transcripts?
- One word in seven is wrong.
  A loss is no error rate, and is measured with the right words before each.
+ Little: decode new clips and count errors.
  Some of the loss falls because the model guesses the usual sentence. Only clips that it was not trained on, and words
  that cannot be guessed, tell whether it hears.
- They are nearly right.
  At a loss of 1 a model may still write fluent sentences that nobody said.
""",
)
