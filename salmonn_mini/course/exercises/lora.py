"""Chapter 5, LoRA: exercises and quiz.

What a student's class makes may live in another process, where it is marked: the rules call its methods, read its
parts and set its scale, and ask for no type.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from salmonn_mini.course.exercises.exercise import Hint, Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.models import lora
from salmonn_mini.models.lora import LoraLinear

PARTS = ("base_layer", "lora_A", "lora_B", "scale", "merged")
LONG = 6_000_000  # so many rows and columns fit into no computer's memory


@exercise("5.1", "LoRA as a layer", level=3, minutes=20, reference=LoraLinear)
def layer(lora_linear: Student) -> None:
    """a module: `base_layer`, the linear layer that was given, frozen; `lora_A` and `lora_B`, linear layers without
    bias, trained; `scale`, a number that may be set; and forward, from x (…, d_in) to y (…, d_out)
    """
    base, x = _linear(6, 4), _linear(6, 5).weight.detach()
    y = base(x).detach()
    mine = lora_linear(base, 2, 8)
    run = Student(mine)
    try:
        given = run(x)
    except Hint as mistake:
        _check_parts(mine)
        hint(
            "cannot be multiplied" in str(mistake),
            f"{mistake} A row of x has 6 numbers: A (2, 6) makes 2 of them, then B (4, 2) makes 4 of these.",
        )
        raise
    _check_parts(mine)
    A, B = mine.lora_A.weight.detach(), torch.linspace(-1, 1, 8).view(4, 2)
    _name_wrong_start(given, y, A, mine.lora_B.weight)
    hint(
        mine.base_layer.weight.requires_grad,
        "W is still trained: its requires_grad is True. Freeze base_layer.",
    )
    for name in ("lora_A", "lora_B"):
        trained = getattr(mine, name).weight.requires_grad
        hint(not trained, f"{name} is frozen: only base_layer may be, for A and B learn.")
    mine.load_state_dict({"lora_B.weight": B}, False)
    change = x @ A.T @ B.T
    _name_wrong_sum(run(x), y, change, base.bias)
    expect(run(x), y + 4 * change, "5 rows through W (4, 6) with rank 2 and alpha 8, where B is not zero")
    mine.scale = 1.5
    hint(
        same(run(x), y + 4 * change),
        "scale was set to 1.5, and the output stayed as at 4. Let forward read self.scale: it is the knob.",
    )
    expect(run(x), y + 1.5 * change, "The same after scale was set to 1.5")
    expect(run(x[None]), (y + 1.5 * change)[None], "The same rows as a batch (1, 5, 6)")


def _check_parts(mine: Any) -> None:
    """A (2, 6) and B (4, 2), and all the other names."""
    hint(not hasattr(mine, "state_dict"), "LoraLinear(…) must be an nn.Module: class LoraLinear(nn.Module).")
    if missing := [name for name in PARTS if not hasattr(mine, name)]:
        raise Hint(f"It has no {' and no '.join(missing)}. The cells below look for these names.")
    for name, shape in (("lora_A", (2, 6)), ("lora_B", (4, 2))):
        part = getattr(mine, name)
        hint(not hasattr(part, "weight"), f"{name} must be an nn.Linear, which keeps its matrix as weight.")
        hint(
            part.weight.shape != shape,
            f"The weight of {name} is {tuple(part.weight.shape)}, but it must be {shape}: "
            "nn.Linear(in, out) has the weight (out, in).",
        )
        hint(part.bias is not None, f"{name} has a bias. A and B are matrices alone: bias=False.")


def _name_wrong_start(given: object, y: Tensor, A: Tensor, B: Tensor) -> None:
    """Before the first step: the output must be y, that of the layer without LoRA."""
    hint(
        not A.any() and not B.any(),
        "A and B are both zero: neither would ever get a gradient. Leave A as nn.Linear draws it.",
    )
    hint(not A.any(), "A starts at zero, and B does not. It must be the other way round.")
    hint(
        bool(B.any()),
        "B must start at zero: before the first step the layer must give what base_layer gives.",
    )
    hint(isinstance(given, Tensor) and not given.any(), "base_layer is missing: LoRA is added to its output.")
    hint(same(given, 4 * y), "s multiplies W too. It scales the change alone.")
    expect(given, y, "Before the first step, with B at zero")


def _name_wrong_sum(given: object, y: Tensor, change: Tensor, bias: Tensor) -> None:
    """A layer with s = 8 / 2 = 4: the sums that are nearly right."""
    for wrong, mistake in (
        (y, "A and B are not used: the output is base_layer's alone."),
        (y + change, "The factor s is missing: alpha / r = 8 / 2 = 4."),
        (y + 8 * change, "The factor is alpha. Divide it by r: s = 8 / 2 = 4."),
        (y + 0.25 * change, "The factor is r / alpha. It is the other way round: alpha / r."),
        (y - bias + 4 * change, "base_layer has a bias, which is lost. Call base_layer(x) itself."),
    ):
        hint(same(given, wrong), mistake)


@exercise("5.2", "LoRA on q and v", level=2, minutes=15, reference=lora.attach)
def attaching(attach: Student) -> None:
    """the model itself: nothing of it is trained, and wherever in it a linear layer bears one of `names`, a
    LoraLinear of rank r stands in its place, around that very layer
    """
    model, x = _blocks(), torch.arange(6).view(2, 3)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    linear = {name for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    wanted = {name for name in linear if name.endswith((".q_proj", ".v_proj"))}
    y = model(x).detach()
    given = attach(model, ("q_proj", "v_proj"), 2, 8)
    hint(not hasattr(given, "state_dict"), "Give back the model: `return model`.")
    state = given.state_dict()
    found = {name.removesuffix(".lora_A.weight") for name in state if name.endswith(".lora_A.weight")}
    _name_wrong_places(found, wanted, linear)
    starts = [state[f"{name}.lora_A.weight"] for name in sorted(found)]
    hint(
        any(same(one, other) for i, one in enumerate(starts) for other in starts[:i]),
        "Places share one LoraLinear, or its A. Make a new one for each place.",
    )
    for name in sorted(found):
        rank, scale = len(state[f"{name}.lora_A.weight"]), given.get_submodule(name).scale
        hint(
            not same(state[f"{name}.base_layer.weight"], weights[f"{name}.weight"]),
            f"The base_layer of {name} has other weights than before: wrap the layer that was there.",
        )
        hint(
            (rank, scale) != (2, 4),
            f"{name} has rank {rank} and scale {scale}, but r = 2 and alpha = 8 make rank 2 and scale 4.",
        )
    _name_wrong_trained({name for name in state if given.get_parameter(name).requires_grad}, wanted)
    expect(given(x), y, "The model before its first step")


def _name_wrong_places(found: set[str], wanted: set[str], linear: set[str]) -> None:
    hint(
        not found,
        "No layer was replaced. q_proj and v_proj stand deep inside, as layers.0.self_attn.q_proj: go through the "
        "children of every module, not of the outermost alone.",
    )
    hint(found == linear, "Every linear layer was replaced. Only those whose name is among `names` may be.")
    if extra := sorted(found - wanted):
        raise Hint(f"{extra[0]} was replaced too. Compare a child's whole name with `names`.")
    if missing := sorted(wanted - found):
        raise Hint(f"{missing[0]} was not replaced. Go through every module, and through both names.")


def _name_wrong_trained(trained: set[str], wanted: set[str]) -> None:
    right = {f"{name}.lora_{letter}.weight" for name in wanted for letter in "AB"}
    hint(not trained, "Nothing is trained, A and B neither. Freeze the model first, then put LoRA in.")
    if extra := sorted(trained - right):
        raise Hint(f"{extra[0]} is still trained. Freeze the whole model, not only what is replaced.")
    expect(len(trained), len(right), "The number of trained matrices")


def _blocks() -> nn.Module:
    """An embedding and two layers, with Llama's names, and a q_proj_old that is no q_proj."""

    def layer() -> nn.Module:
        names = ("q_proj", "k_proj", "v_proj", "o_proj", "q_proj_old")
        attention = nn.Sequential(OrderedDict((name, nn.Linear(4, 4)) for name in names))
        return nn.Sequential(OrderedDict(self_attn=attention, mlp=nn.Linear(4, 4)))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = nn.Sequential(layer(), layer())
        return nn.Sequential(OrderedDict(embed_tokens=nn.Embedding(6, 4), layers=layers))


def _linear(d_in: int, d_out: int) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(d_in, d_out)


@exercise("5.3", "the size of the change", level=2, minutes=10)
def size_of_change(change_norm: Student) -> None:
    """a number, the Frobenius norm of B A, from A (r, d_in) and B (d_out, r); on the way no tensor has more numbers
    than A or than B
    """
    draw = torch.Generator().manual_seed(1)
    A, B = torch.randn(2, 9, generator=draw), torch.randn(7, 2, generator=draw)
    right, largest = (B @ A).norm().item(), torch.linalg.matrix_norm(B @ A, 2).item()
    given = change_norm(A.clone(), B.clone())
    for wrong, mistake in (
        (right**2, "This is the square of it: take the root."),
        (
            (A.norm() * B.norm()).item(),
            "‖A‖·‖B‖ is only an upper bound: it takes no notice of how A and B fit together.",
        ),
        (
            largest,
            "This is the spectral norm, the largest stretch. Frobenius: the root of the sum of all squares.",
        ),
        (
            ((B.T @ B) @ (A @ A.T)).sum().abs().sqrt().item(),
            "The sum of all places of a matrix product is not its trace. Only the places on the diagonal count.",
        ),
    ):
        hint(same(given, wrong), mistake)
    expect(given, right, "A (2, 9) and B (7, 2)")
    A, B = torch.randn(3, 5, generator=draw), torch.randn(8, 3, generator=draw)
    expect(change_norm(A.clone(), B.clone()), (B @ A).norm().item(), "A (3, 5) and B (8, 3)")
    one = torch.ones(1, 1)
    try:
        given = change_norm(one.expand(1, LONG), one.expand(LONG, 1))
    except Hint as mistake:
        hint(
            "allocate" in str(mistake) or "memory" in str(mistake),
            f"The norm is right, but BA was computed. For A (1, {LONG:,}) it has {LONG**2 / 1e12:.0f} trillion "
            "numbers, and no memory holds them.",
        )
        raise
    expect(given, float(LONG), f"A (1, {LONG:,}) and B ({LONG:,}, 1), all ones")


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
In one layer q_proj is 960 × 960 and v_proj 320 × 960 (three heads share one value). r = 8. How many parameters does
LoRA train in this layer?
- 1,228,800
  That is the two matrices W themselves. They stay frozen.
+ 25,600
  For q, A (8, 960) and B (960, 8); for v, A (8, 960) and B (320, 8): 8 · (960 + 960 + 960 + 320).
- 30,720
  v_proj gives only 320 numbers, so its B is (320, 8), not (960, 8).
- 12,800
  Each matrix has an A and a B. Half is missing.

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
