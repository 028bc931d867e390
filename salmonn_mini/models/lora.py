"""LoRA (arXiv 2106.09685): a frozen matrix W learns through two thin ones, W + s·BA, with a scale s.

s is absolute everywhere in this package: alpha / r = 4.0 as trained, 0 the LLM alone. The paper lowers it to let an
over-fitted model follow instructions again (section 3.2). peft's `set_scale` multiplies by alpha / r again, ignores
a mistyped name, and changes nothing in merged layers; `lora_scale` has none of these traps.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import peft
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import AdapterConfig

ADAPTER = "default"  # peft's name for an adapter that was given none


class LoraLinear(nn.Module):
    """A linear layer, frozen here, and its LoRA of rank r: y = W x + b + s·B(A(dropout(x))), s = alpha / r."""

    def __init__(self, base_layer: nn.Linear, r: int = 8, alpha: float = 32, dropout: float = 0.0) -> None:
        super().__init__()
        self.base_layer = base_layer.requires_grad_(False)
        self.lora_A = nn.Linear(
            base_layer.in_features, r, bias=False
        )  # nn.Linear's random start is peft's too
        self.lora_B = nn.Linear(r, base_layer.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)  # at the start the LLM is unchanged
        self.dropout = nn.Dropout(dropout)
        self.scale = alpha / r  # s, which may be set
        self.merged = False

    def forward(self, x: Tensor) -> Tensor:
        y = self.base_layer(x)
        return y if self.merged else y + self.scale * self.lora_B(self.lora_A(self.dropout(x)))

    def merge(self) -> None:
        """Add s·BA to W itself; the forward pass then costs what it did without LoRA."""
        self._set_merged(True)

    def unmerge(self) -> None:
        """Take s·BA out of W again."""
        self._set_merged(False)

    @torch.no_grad()
    def _set_merged(self, merged: bool) -> None:
        sign = int(merged) - int(self.merged)
        self.base_layer.weight += sign * self.scale * self.lora_B.weight @ self.lora_A.weight
        self.merged = merged


def attach(model: nn.Module, names: Sequence[str], r: int, alpha: float) -> nn.Module:
    """Freeze `model`, put a `LoraLinear` around each linear layer so named, and return it: by hand, without peft."""
    model.requires_grad_(False)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if name in names and isinstance(child, nn.Linear):
                setattr(parent, name, LoraLinear(child, r, alpha))
    return model


def attach_lora(llm: nn.Module, config: AdapterConfig) -> peft.PeftModel:
    """Freeze an LLM and put trainable LoRA on its `target_modules`, by peft; raises SalmonnError at unknown ones."""
    known = {name.rpartition(".")[2] for name, module in llm.named_modules() if isinstance(module, nn.Linear)}
    if missing := [name for name in config.target_modules if name not in known]:
        fault = f"the LLM has no linear layers named {', '.join(missing)}"
        raise SalmonnError(f"{fault}: choose target_modules among {', '.join(sorted(known))}")
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.target_modules),
    )
    with warnings.catch_warnings():
        # peft 0.21 still asks by a name that transformers 5 is giving up
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        return peft.get_peft_model(llm, settings)


@contextmanager
def lora_scale(model: nn.Module, s: float) -> Iterator[None]:
    """Within the block every LoRA layer computes W + s·BA; afterwards each has its former scale again.

    Blocks may be nested, the inner one counts.

    Raises:
        SalmonnError: s is not finite; no LoRA; LoRA that is inactive or, also within the block, merged.
    """
    if not math.isfinite(s):
        remedy = "4.0 is as trained, 0 turns LoRA off"
        raise SalmonnError(f"the LoRA scale is {s}, but it must be finite: {remedy}")
    layers = list(_layers(model).values())
    before = [_scale(layer) for layer in layers]
    try:
        for layer in layers:
            _set_scale(layer, s)
        yield
        _layers(model)
    finally:
        for layer, own in zip(layers, before, strict=True):
            if not layer.merged:  # a merged layer keeps s: unmerging must take out what merging put in
                _set_scale(layer, own)


def get_lora_scale(model: nn.Module) -> float:
    """The scale s of all LoRA layers; raises as `lora_scale`, and where they differ."""
    scales = {float(_scale(layer)) for layer in _layers(model).values()}
    if len(scales) > 1:
        raise SalmonnError(f"the LoRA layers have different scales {sorted(scales)}: set one by lora_scale")
    return scales.pop()


class LoraDrift(NamedTuple):
    """‖s·BA‖ / ‖W‖ in Frobenius norms, at the current scale s."""

    overall: float  # all adapted matrices as one long vector
    layers: dict[str, float]


@torch.no_grad()
def lora_drift(model: nn.Module) -> LoraDrift:
    """How far LoRA has moved the LLM, each layer and all; raises as `lora_scale`."""
    layers, moved, size = _layers(model), {}, {}
    for name, layer in layers.items():
        A, B = layer.lora_A, layer.lora_B
        A, B = (A[ADAPTER], B[ADAPTER]) if isinstance(layer, LoraLayer) else (A, B)
        A, B = A.weight.double(), B.weight.double()  # for sums over millions of entries
        squared = ((B.T @ B) * (A @ A.T)).sum().item()  # ‖BA‖² = tr(BᵀB AAᵀ), r × r matrices only
        moved[name] = _scale(layer) ** 2 * squared
        size[name] = layer.base_layer.weight.double().square().sum().item()
    overall = math.sqrt(sum(moved.values()) / sum(size.values()))
    return LoraDrift(overall, {name: math.sqrt(moved[name] / size[name]) for name in layers})


def _scale(layer: Any) -> float:
    return layer.scaling[ADAPTER] if isinstance(layer, LoraLayer) else layer.scale


def _set_scale(layer: Any, s: float) -> None:
    if isinstance(layer, LoraLayer):
        layer.scaling[ADAPTER] = s
    else:
        layer.scale = s


def _layers(model: nn.Module) -> dict[str, Any]:
    """All LoRA layers: peft's, and whatever else has `base_layer`, `lora_A`, `lora_B`, `scale` and `merged`."""
    layers = {name: m for name, m in model.named_modules() if hasattr(m, "lora_A")}
    if not layers:
        raise SalmonnError("the model has no LoRA layers: attach them with attach_lora")
    for name, layer in layers.items():
        if isinstance(layer, LoraLayer) and (layer.disable_adapters or ADAPTER not in layer.active_adapters):
            raise SalmonnError(f"adapter {ADAPTER!r} is not active in {name}: call set_adapter first")
        if layer.merged:
            raise SalmonnError(f"LoRA is merged into {name}, so its scale is fixed: unmerge it first")
    return layers
