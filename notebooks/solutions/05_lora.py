"""Chapter 5, LoRA: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/05_lora.py
"""

from torch import Tensor, nn

from salmonn_mini.course.exercises import check, use


# Exercise 5.1: LoRA as a layer (●●●, 20 minutes)
class LoraLinear(nn.Module):
    def __init__(self, base_layer: nn.Linear, r: int, alpha: float) -> None:
        super().__init__()
        self.merged = False
        self.base_layer = base_layer.requires_grad_(False)
        self.lora_A = nn.Linear(base_layer.in_features, r, bias=False)
        self.lora_B = nn.Linear(r, base_layer.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)
        self.scale = alpha / r

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + self.scale * self.lora_B(
            self.lora_A(x)
        )  # down to r numbers, then up again


LoraLinear = use("5.1", LoraLinear)


# Exercise 5.2: LoRA on q and v (●●○, 15 minutes)
def attach(model: nn.Module, names: tuple[str, ...], r: int, alpha: float) -> nn.Module:
    model.requires_grad_(False)  # first: what is put in below is trained
    for parent in list(model.modules()):  # a list, for the tree changes meanwhile
        for name, child in parent.named_children():
            if name in names and isinstance(child, nn.Linear):
                setattr(parent, name, LoraLinear(child, r, alpha))
    return model


attach = use("5.2", attach)


# Exercise 5.3: the size of the change (●●○, 10 minutes)
def change_norm(A: Tensor, B: Tensor) -> float:
    # ‖BA‖² = tr(AᵀBᵀBA) = tr(BᵀB · AAᵀ), and for symmetric matrices the trace is the sum of the products of places
    return ((B.T @ B) * (A @ A.T)).sum().sqrt().item()


check("5.3", change_norm)


# Exercise 5.4: another scale, for one call (●●●, 12 minutes)
def run_at(layer: nn.Module, s: float, x: Tensor) -> Tensor:
    if layer.merged:
        raise ValueError("merged: W holds s·BA already, and the scale is not looked at")
    before = layer.scale
    layer.scale = s
    try:
        return layer(x)
    finally:  # also if the call failed
        layer.scale = before


check("5.4", run_at)
