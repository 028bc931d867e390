"""Wrong answers to the exercises of chapter 5, each with a piece of the hint that is meant for it."""

import torch
from torch import nn

from salmonn_mini.models.lora import LoraLinear


class Lora(nn.Module):
    """A right one, of which the wrong ones change a line."""

    def __init__(self, base_layer, r, alpha):
        super().__init__()
        self.merged, self.scale = False, alpha / r
        self.base_layer = base_layer.requires_grad_(False)
        self.lora_A = nn.Linear(base_layer.in_features, r, bias=False)
        self.lora_B = nn.Linear(r, base_layer.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def change(self, x):
        return self.lora_B(self.lora_A(x))

    def forward(self, x):
        return self.base_layer(x) + self.scale * self.change(x)


def begins(wrong):
    """A class whose parts are made otherwise."""

    class Wrong(Lora):
        def __init__(self, base_layer, r, alpha):
            super().__init__(base_layer, r, alpha)
            wrong(self, r, alpha)

    return Wrong


def runs(wrong):
    """A class whose forward is another."""
    return type("Wrong", (Lora,), {"forward": wrong})


def unnamed(self, r, alpha):
    del self.scale, self.merged
    self.s = alpha / r


def swapped(self, r, alpha):
    nn.init.zeros_(self.lora_A.weight)
    nn.init.ones_(self.lora_B.weight)


def by_parameters(self, r, alpha):
    del self.lora_A
    self.lora_A = nn.Parameter(torch.ones(2, 6))


def over_children(model, names, r, alpha):
    for name, child in model.requires_grad_(False).named_children():
        if name in names:
            setattr(model, name, LoraLinear(child, r, alpha))
    return model


def attached(fits, make=lambda child, r, alpha: LoraLinear(child, r, alpha), freeze=True):
    def attach(model, names, r, alpha):
        model.requires_grad_(not freeze)
        for parent in list(model.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.Linear) and fits(name, names):
                    setattr(parent, name, make(child, r, alpha))
        return model

    return attach


def among(name, names):
    return name in names


def frozen_last(model, names, r, alpha):
    return attached(among)(model, names, r, alpha).requires_grad_(False)


def shared(model, names, r, alpha):
    made = {}
    return attached(among, lambda child, r, alpha: made.setdefault(0, LoraLinear(child, r, alpha)))(
        model, names, r, alpha
    )


def multiplied(layer, s, x):
    before = layer.scale
    layer.scale *= s
    y = layer(x)
    layer.scale = before
    return y


def forgotten(layer, s, x):
    layer.scale = s
    return layer(x)


def as_trained(layer, s, x):
    layer.scale = s
    y = layer(x)
    layer.scale = 4.0
    return y


def without_finally(layer, s, x):
    before, layer.scale = layer.scale, s
    y = layer(x)
    layer.scale = before
    return y


def merged_or_not(layer, s, x):
    before, layer.scale = layer.scale, s
    try:
        return layer(x)
    finally:
        layer.scale = before


def refused_too_late(layer, s, x):
    before, layer.scale = layer.scale, s
    if layer.merged:
        raise ValueError
    try:
        return layer(x)
    finally:
        layer.scale = before


MISTAKES = {
    "5.1": [
        (runs(lambda self, x: self.lora_A(self.lora_B(x))), "A (2, 6) makes 2 of them"),
        (begins(unnamed), "It has no scale and no merged"),
        (begins(by_parameters), "lora_A must be an nn.Linear"),
        (begins(lambda self, r, alpha: setattr(self, "lora_B", nn.Linear(2, 4))), "lora_B has a bias"),
        (
            begins(lambda self, r, alpha: setattr(self, "lora_A", nn.Linear(6, 3))),
            "is (3, 6), but it must be (2, 6)",
        ),
        (begins(lambda self, r, alpha: nn.init.zeros_(self.lora_A.weight)), "both zero"),
        (begins(swapped), "the other way round"),
        (begins(lambda self, r, alpha: nn.init.ones_(self.lora_B.weight)), "B must start at zero"),
        (runs(lambda self, x: self.scale * self.change(x)), "base_layer is missing"),
        (begins(lambda self, r, alpha: self.base_layer.requires_grad_(True)), "W is still trained"),
        (begins(lambda self, r, alpha: self.lora_A.requires_grad_(False)), "lora_A is frozen"),
        (runs(lambda self, x: self.base_layer(x)), "A and B are not used"),
        (runs(lambda self, x: self.base_layer(x) + self.change(x)), "The factor s is missing"),
        (runs(lambda self, x: self.base_layer(x) + 2 * self.scale * self.change(x)), "The factor is alpha."),
        (runs(lambda self, x: self.base_layer(x) + self.change(x) / self.scale), "alpha / r."),
        (runs(lambda self, x: self.scale * (self.base_layer(x) + self.change(x))), "s multiplies W too"),
        (
            runs(
                lambda self, x: (
                    x @ self.base_layer.weight.T
                    + self.base_layer.bias * (not self.lora_B.weight.any())
                    + self.scale * self.change(x)
                )
            ),
            "has a bias, which is lost",
        ),
        (runs(lambda self, x: self.base_layer(x) + 4 * self.change(x)), "Let forward read self.scale"),
    ],
    "5.2": [
        (lambda model, names, r, alpha: 3, "return model"),
        (lambda model, names, r, alpha: model, "No layer was replaced"),
        (over_children, "the children of every module"),
        (attached(lambda name, names: True), "Every linear layer was replaced"),
        (attached(lambda name, names: any(own in name for own in names)), "q_proj_old was replaced too"),
        (attached(lambda name, names: name == names[0]), "v_proj was not replaced"),
        (shared, "share one LoraLinear"),
        (
            attached(among, lambda child, r, alpha: LoraLinear(nn.Linear(4, 4), r, alpha)),
            "other weights than before",
        ),
        (attached(among, lambda child, r, alpha: LoraLinear(child, alpha, r)), "has rank 8 and scale 0.25"),
        (frozen_last, "Freeze the model first"),
        (attached(among, freeze=False), "Freeze the whole model"),
    ],
    "5.3": [
        (lambda A, B: (B @ A).norm(), "BA was computed"),
        (lambda A, B: ((B.T @ B) * (A @ A.T)).sum(), "the square of it"),
        (lambda A, B: A.norm() * B.norm(), "only an upper bound"),
        (lambda A, B: torch.linalg.matrix_norm(B @ A, 2), "the spectral norm"),
        (lambda A, B: ((B.T @ B) @ (A @ A.T)).sum().abs().sqrt(), "on the diagonal"),
    ],
    "5.4": [
        (multiplied, "The scale became 6"),
        (lambda layer, s, x: layer(x), "at its former scale"),
        (forgotten, "still at s = 2"),
        (as_trained, "it was 3 before the call"),
        (without_finally, "Bring the scale back in `finally`"),
        (merged_or_not, "without a word"),
        (refused_too_late, "Unmerging needs the old one"),
    ],
}
