"""Weights and moments that FSDP has spread over the processes, made whole for a checkpoint, and spread again."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor


def gather_in(model: nn.Module, *methods: str) -> None:
    """Let other methods than `forward` have the weights whole too, where FSDP has spread them."""
    if isinstance(model, FSDPModule):
        for method in methods:
            register_fsdp_forward_method(model, method)


def gathered(value: Any) -> Any:
    """A tensor, or tables and lists of such, each whole; all processes must call it together."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, dict):
        return {name: gathered(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [gathered(inner) for inner in value]
    return value


def scatter(optimizer: torch.optim.Optimizer) -> None:
    """Spread each moment as its parameter is spread."""
    for parameter, moments in optimizer.state.items():
        if isinstance(parameter, DTensor):
            for name, moment in moments.items():
                if moment.shape == parameter.shape:
                    moments[name] = distribute_tensor(moment, parameter.device_mesh, parameter.placements)


def make_whole(model: nn.Module) -> None:
    """Put whole tensors in the places of what training may change: to be saved, no longer to be trained."""
    for name, parameter in list(model.named_parameters()):
        if isinstance(parameter, DTensor) and name in model.trainable_state():
            parent, _, own = name.rpartition(".")
            whole = nn.Parameter(parameter.full_tensor(), parameter.requires_grad)
            setattr(model.get_submodule(parent), own, whole)
