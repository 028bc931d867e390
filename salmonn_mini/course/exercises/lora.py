"""Chapter 5, LoRA: exercises and quiz."""

from __future__ import annotations

import torch
from torch import nn

from salmonn_mini.course.exercises.exercise import Hint, Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.models.lora import LoraLinear


@exercise("5.1", "count LoRA's numbers", level=1, minutes=5)
def count(n_lora: Student) -> None:
    """how many numbers A and B hold, in all layers, with rank r on q (d × d) and on v (d_kv × d)"""
    d, d_kv, layers, r = 960, 320, 32, 8
    given = n_lora(d, d_kv, layers, r)
    hint(
        same(given, layers * (d * d + d_kv * d)),
        "These are W's own numbers, which stay frozen. Count A and B.",
    )
    hint(same(given, r * (3 * d + d_kv)), "One layer only: there are 32, each with its own A and B.")
    hint(
        same(given, layers * r * 4 * d),
        "v_proj gives only d_kv = 320 numbers here, so its B is (320, 8), not (960, 8).",
    )
    hint(
        same(given, layers * r * 2 * d),
        "2 · d · r a layer: that is q alone, or the two A without the two B.",
    )
    hint(
        same(given, layers * r * (d + d_kv)),
        "d · r + d_kv · r a layer: half is missing. Each matrix has A and B.",
    )
    for sizes in ((960, 320, 32, 8), (5120, 5120, 40, 8), (192, 192, 4, 2)):
        d, d_kv, layers, r = sizes
        expect(n_lora(*sizes), layers * r * (3 * d + d_kv), f"d, d_kv, layers, r = {sizes}")


@exercise("5.2", "the forward pass", level=2, minutes=8)
def forward(lora_forward: Student) -> None:
    """y (n, d_out) = W x + s·B A x for each row x (n, d_in), with s = alpha / r"""
    draw = torch.Generator().manual_seed(0)
    x, W, A, B = (torch.randn(*size, generator=draw) for size in ((5, 6), (4, 6), (2, 6), (4, 2)))
    alone, change = x @ W.T, x @ A.T @ B.T
    given = lora_forward(x.clone(), W.clone(), A.clone(), B.clone(), 8, 2)
    hint(same(given, alone), "Only W is at work: A and B are not used.")
    hint(same(given, 4 * change), "W itself is missing: LoRA is added to what the frozen layer gives.")
    hint(same(given, alone + change), "The factor s is missing: alpha / r = 8 / 2 = 4.")
    hint(same(given, alone + 8 * change), "The factor is alpha. Divide it by r: s = 8 / 2 = 4.")
    hint(same(given, alone + 0.25 * change), "The factor is r / alpha. It is the other way round: alpha / r.")
    hint(same(given, 4 * (alone + change)), "s multiplies W too. It scales the change alone.")
    expect(given, alone + 4 * change, "5 rows through W (4, 6) with rank 2 and alpha 8")
    same_scale = lora_forward(x.clone(), W.clone(), A.clone(), B.clone(), 4, 2)
    expect(same_scale, alone + 2 * change, "The same with alpha 4")


@exercise("5.3", "how far the model has moved", level=2, minutes=6)
def drift(drift: Student) -> None:
    """‖s·BA‖ / ‖W‖ in Frobenius norms, a number"""
    draw = torch.Generator().manual_seed(1)
    W, A, B = (torch.randn(*size, generator=draw) for size in ((4, 6), (2, 6), (4, 2)))
    change, size = (B @ A).norm(), W.norm()
    given = drift(W.clone(), A.clone(), B.clone(), 3.0)
    hint(
        same(given, (change / size).item()),
        "The factor s is missing: at s = 3 the change is 3 times as large.",
    )
    hint(same(given, (3 * change).item()), "This is the size of the change. Divide it by the size of W.")
    hint(same(given, (size / (3 * change)).item()), "Upside down: the change comes above, W below.")
    hint(
        same(given, (9 * change**2 / size**2).item()),
        "This is the square of it: a norm is the root of the sum of squares.",
    )
    hint(
        same(given, (3 * A.norm() * B.norm() / size).item()),
        "‖A‖·‖B‖ is only an upper bound of ‖BA‖. Multiply first, then take the norm.",
    )
    spectral = 3 * torch.linalg.matrix_norm(B @ A, 2) / torch.linalg.matrix_norm(W, 2)
    hint(
        same(given, spectral.item()),
        "This is the spectral norm, the largest stretch. Frobenius: the root of the sum of all squares.",
    )
    for s in (3.0, 0.0, 4.0):
        expect(
            drift(W.clone(), A.clone(), B.clone(), s), (s * change / size).item(), f"The drift at s = {s:g}"
        )


@exercise("5.4", "another scale, for one call", level=3, minutes=12)
def at_scale(run_at: Student) -> None:
    """layer(x) with layer.scale = s; afterwards the layer has its former scale, also if the call failed; a
    ValueError for a layer that is merged
    """
    x = torch.linspace(-1, 1, 6)
    layer, alone, change = _layer()
    layer.scale = 3.0
    given = run_at(layer, 2.0, x.clone())
    hint(
        same(given, alone + 6 * change),
        "The scale became 6: layer.scale was multiplied by s. s is absolute: set it to 2.",
    )
    hint(
        same(given, alone + 3 * change),
        "The layer ran at its former scale, 3. Set layer.scale before the call.",
    )
    expect(given, alone + 2 * change, "The layer at s = 2")
    hint(layer.scale == 2.0, "After the call the layer is still at s = 2. Bring its former scale back.")
    hint(layer.scale == 4.0, "Afterwards the scale is 4, alpha / r. But it was 3 before the call: keep that.")
    expect(layer.scale, 3.0, "The scale afterwards")
    _fails(run_at, layer, 1.0, torch.zeros(5))
    hint(
        layer.scale != 3.0,
        "The call failed, and the layer was left at s = 1. Bring the scale back in `finally`.",
    )
    layer.merge()
    refused = _fails(run_at, layer, 0.0, x.clone())
    hint(
        not refused,
        "A merged layer does not look at its scale: it ran as before, without a word. Raise a ValueError.",
    )
    hint(
        layer.scale != 3.0,
        "The merged layer was refused, but its scale was changed. Unmerging needs the old one.",
    )


def _layer() -> tuple[LoraLinear, torch.Tensor, torch.Tensor]:
    """A layer without gradient, and what W and BA make of the exercise's x."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        layer = LoraLinear(nn.Linear(6, 4, bias=False), r=2, alpha=8).requires_grad_(False)
        nn.init.normal_(layer.lora_B.weight)
    x = torch.linspace(-1, 1, 6)
    return layer, layer.base_layer(x), layer.lora_B(layer.lora_A(x))


def _fails(run_at: Student, *values: object) -> bool:
    try:
        run_at(*values)
    except Hint:
        return True
    return False


enter(
    5,
    """
W is 4096 × 4096, r = 8. How many numbers does LoRA train for it?
- 16,777,216
  That is W itself. It stays frozen.
+ 65,536
  A is (8, 4096) and B is (4096, 8): 2 · 8 · 4096.
- 32,768
  That is A alone, or B alone.
- 64
  8 × 8. But A and B each have one long side.

Why does B start at zero, and A at random?
- So that the first steps are small.
  The very first step changes B as fast as the learning rate says. The starting point counts.
+ So that the model starts as it was, and can still learn.
  B = 0 makes BA = 0. A must not be zero too: then both gradients are zero, for ever.
- It saves memory.
  A matrix of zeros takes as much memory as any other.

A model was trained with alpha = 32 and r = 8. You set the absolute scale s to 2. What happens?
+ The change to each matrix is half of what was trained.
  As trained s = 32 / 8 = 4. W + 2·BA lies half-way between the LLM alone and the trained model.
- The change is doubled.
  That would be a factor on 4. Here s is absolute: it takes the place of 4.
- Every answer is half as likely to be right.
  The weights lie half-way, the answers do not: they pass through many layers that are not linear.

You merge LoRA into W, then set its scale to 0, by peft's set_scale. What does the model do?
- It answers as the LLM alone.
  W already holds s·BA, and a merged layer looks at W alone.
- It raises an error.
  peft says nothing. This package's lora_scale refuses.
+ It answers as before, and unmerging will now damage W.
  Merging added 4·BA; unmerging takes out 0·BA.

What does a higher rank r buy?
+ Changes of more independent directions, at a cost that grows with r.
  BA has rank r at most. If the task needs no more, a higher r gains little.
- A stronger change: s grows with r.
  s = alpha / r falls with r, if alpha stays. Strength is what s and training decide.
- A slower answer after merging.
  Merged, W + s·BA is one matrix of W's own shape, whatever r was.
""",
)
