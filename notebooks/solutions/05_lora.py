"""Chapter 5, LoRA: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/05_lora.py
"""

from torch import Tensor

from salmonn_mini.course.exercises import check
from salmonn_mini.models.lora import LoraLinear


# Exercise 5.1: count LoRA's numbers (●○○, 5 minutes)
def n_lora(d: int, d_kv: int, layers: int, r: int) -> int:
    q = r * d + d * r  # A (r, d) and B (d, r)
    v = r * d + d_kv * r  # A (r, d) and B (d_kv, r)
    return layers * (q + v)


check("5.1", n_lora)


# Exercise 5.2: the forward pass (●●○, 8 minutes)
def lora_forward(x: Tensor, W: Tensor, A: Tensor, B: Tensor, alpha: float, r: int) -> Tensor:
    s = alpha / r
    return x @ W.T + s * (x @ A.T) @ B.T  # first down to r numbers, then up again


check("5.2", lora_forward)


# Exercise 5.3: how far the model has moved (●●○, 6 minutes)
def drift(W: Tensor, A: Tensor, B: Tensor, s: float) -> float:
    return ((s * B @ A).norm() / W.norm()).item()


check("5.3", drift)


# Exercise 5.4: another scale, for one call (●●●, 12 minutes)
def run_at(layer: LoraLinear, s: float, x: Tensor) -> Tensor:
    if layer.merged:
        raise ValueError("merged: W holds s·BA already, and the scale is not looked at")
    before = layer.scale
    layer.scale = s
    try:
        return layer(x)
    finally:  # also if the call failed
        layer.scale = before


check("5.4", run_at)
