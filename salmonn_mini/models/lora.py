"""LoRA (arXiv 2106.09685): a frozen matrix W learns through two thin ones, W + s·BA, with a scale s.

s is absolute everywhere in this package: alpha / r = 4.0 as trained, 0 the LLM alone. The paper lowers it to let an
over-fitted model follow instructions again (section 3.2). peft's `set_scale` multiplies by alpha / r again, ignores
a mistyped name, and changes nothing in merged layers; `lora_scale` has none of these traps.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import peft
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import LoraSettings

ADAPTER = "default"  # peft's name for an adapter that was given none


class LoraLinear(nn.Module):
    """A linear layer, frozen here, and its LoRA of rank r: y = W x + b + s·B(A(dropout(x))), s = alpha / r."""

    def __init__(self, base_layer: nn.Linear, r: int = 8, alpha: float = 32, dropout: float = 0.0) -> None:
        super().__init__()
        self.base_layer = base_layer.requires_grad_(False)
        self.lora_A = nn.Linear(base_layer.in_features, r, bias=False)
        self.lora_B = nn.Linear(r, base_layer.out_features, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)  # at the start the LLM is unchanged
        self.dropout = nn.Dropout(dropout)
        self.scaling = {ADAPTER: alpha / r}  # as peft keeps it
        self.merged = False

    @property
    def scale(self) -> float:
        """s, which may be set."""
        return self.scaling[ADAPTER]

    @scale.setter
    def scale(self, s: float) -> None:
        self.scaling[ADAPTER] = s

    def forward(self, x: Tensor) -> Tensor:
        y = self.base_layer(x)
        return y if self.merged else y + self.scale * self.lora_B(self.lora_A(self.dropout(x)))

    @torch.no_grad()
    def merge(self) -> None:
        """Add s·BA to W itself; the forward pass then costs what it did without LoRA."""
        if not self.merged:
            self.base_layer.weight += self.scale * self.lora_B.weight @ self.lora_A.weight
            self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """Take s·BA out of W again."""
        if self.merged:
            self.base_layer.weight -= self.scale * self.lora_B.weight @ self.lora_A.weight
            self.merged = False


def attach_lora(llm: nn.Module, config: LoraSettings) -> peft.PeftModel:
    """Freeze an LLM and put trainable LoRA on its `target_modules`, by peft.

    Raises:
        SalmonnError: target modules that the LLM does not have.
    """
    known = {name.rpartition(".")[2] for name, module in llm.named_modules() if isinstance(module, nn.Linear)}
    missing = [name for name in config.target_modules if name not in known]
    if missing:
        raise SalmonnError(
            f"the LLM has no linear layers named {', '.join(missing)}: choose target_modules among "
            f"{', '.join(sorted(known))}"
        )
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.target_modules),
    )
    with warnings.catch_warnings():
        # peft 0.21 still asks by a name that transformers 5 is giving up
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        return peft.get_peft_model(llm, settings)


@contextmanager
def lora_scale(model: nn.Module, s: float, adapter: str = ADAPTER) -> Iterator[None]:
    """Within the block every LoRA layer computes W + s·BA; afterwards each has its former scale again.

    Blocks may be nested, the inner one counts.

    Raises:
        SalmonnError: s is not finite; no LoRA, an unknown adapter, or one that is merged, disabled or inactive (a
            scale would change nothing); layers merged within the block and not unmerged.
    """
    if not math.isfinite(s):
        raise SalmonnError(
            f"the LoRA scale is {s}, but it must be finite: 4.0 is as trained, 0 turns LoRA off"
        )
    layers = _layers(model, adapter)
    _refuse_merged(layers)
    before = {name: layer.scaling[adapter] for name, layer in layers.items()}
    try:
        for layer in layers.values():
            layer.scaling[adapter] = s
        yield
        _refuse_merged(layers)
    finally:
        for name, layer in layers.items():
            if not layer.merged:  # a merged layer keeps s: unmerging must take out what merging put in
                layer.scaling[adapter] = before[name]


def current_scale(model: nn.Module, adapter: str = ADAPTER) -> float:
    """The scale s of all LoRA layers.

    Raises:
        SalmonnError: layers that differ, no LoRA, an unknown or inactive adapter.
    """
    scales = {float(layer.scaling[adapter]) for layer in _layers(model, adapter).values()}
    if len(scales) > 1:
        raise SalmonnError(f"the LoRA layers have different scales {sorted(scales)}: set one by lora_scale")
    return scales.pop()


class LoraDrift(NamedTuple):
    """‖s·BA‖ / ‖W‖ in Frobenius norms, at the current scale s."""

    overall: float  # all adapted matrices as one long vector
    layers: dict[str, float]


@torch.no_grad()
def lora_drift(model: nn.Module, adapter: str = ADAPTER) -> LoraDrift:
    """How far LoRA has moved the LLM, each layer and all.

    Raises:
        SalmonnError: no LoRA, an unknown adapter, or merged layers (W is no longer the LLM's own).
    """
    layers = _layers(model, adapter)
    _refuse_merged(layers)
    moved, size = {}, {}
    for name, layer in layers.items():
        W, A, B = _matrices(layer, adapter)
        squared = ((B.T @ B) * (A @ A.T)).sum().item()  # ‖BA‖² = tr(BᵀB AAᵀ), r × r matrices only
        moved[name] = layer.scaling[adapter] ** 2 * squared
        size[name] = W.square().sum().item()
    overall = math.sqrt(sum(moved.values()) / sum(size.values()))
    return LoraDrift(overall, {name: math.sqrt(moved[name] / size[name]) for name in layers})


def _layers(model: nn.Module, adapter: str) -> dict[str, Any]:
    """All LoRA layers, ours and peft's, in which the adapter is active."""
    lora: dict[str, Any] = {
        name: m for name, m in model.named_modules() if isinstance(m, LoraLinear | LoraLayer)
    }
    if not lora:
        raise SalmonnError("the model has no LoRA layers: attach them with attach_lora")
    adapters = {known for layer in lora.values() for known in layer.scaling}
    if adapter not in adapters:
        raise SalmonnError(f"there is no adapter {adapter!r}: choose one of {', '.join(sorted(adapters))}")
    layers = {name: layer for name, layer in lora.items() if adapter in layer.scaling}
    for name, layer in layers.items():
        if isinstance(layer, LoraLayer) and (layer.disable_adapters or adapter not in layer.active_adapters):
            raise SalmonnError(f"adapter {adapter!r} is not active in {name}: call set_adapter first")
    return layers


def _refuse_merged(layers: dict[str, Any]) -> None:
    for name, layer in layers.items():
        if layer.merged:
            raise SalmonnError(f"LoRA is merged into {name}, so its scale is fixed: unmerge it first")


def _matrices(layer: Any, adapter: str) -> tuple[Tensor, Tensor, Tensor]:
    """W (out, in), A (r, in), B (out, r) in float64, for sums over millions of entries."""
    A, B = layer.lora_A, layer.lora_B
    if isinstance(layer, LoraLayer):
        A, B = A[adapter], B[adapter]
    return layer.base_layer.weight.double(), A.weight.double(), B.weight.double()
