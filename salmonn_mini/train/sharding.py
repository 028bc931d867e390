"""Weights and moments that are spread over the processes, made whole for a checkpoint, and spread again.

FSDP spreads both; DeepSpeed ZeRO-2 the moments alone, see zero.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils.deepspeed import DeepSpeedOptimizerWrapper
from torch import nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from salmonn_mini.train import deepspeed


def register_forward_methods(model: nn.Module, *methods: str) -> None:
    """Let other methods than `forward` have the weights whole too, where FSDP has spread them."""
    if isinstance(model, FSDPModule):
        for method in methods:
            register_fsdp_forward_method(model, method)


def full_tensors(value: Any) -> Any:
    """A tensor, or tables and lists of such, each whole; all processes must call it together."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, dict):
        return {name: full_tensors(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [full_tensors(inner) for inner in value]
    return value


def full_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """AdamW's `state_dict` with each moment whole; all processes must call it together."""
    if isinstance(optimizer, DeepSpeedOptimizerWrapper):
        return deepspeed.full_optimizer_state(optimizer)
    return full_tensors(optimizer.state_dict())


def load_full_optimizer_state(optimizer: torch.optim.Optimizer, moments: dict[str, Any]) -> None:
    """Go on with such a `state_dict`: each moment is spread as its parameter is."""
    if isinstance(optimizer, DeepSpeedOptimizerWrapper):
        return deepspeed.load_full_optimizer_state(optimizer, moments)
    optimizer.load_state_dict(moments)
    for parameter, of_it in optimizer.state.items():
        if isinstance(parameter, DTensor):
            for name, moment in of_it.items():
                if moment.shape == parameter.shape:
                    of_it[name] = distribute_tensor(moment, parameter.device_mesh, parameter.placements)


@contextmanager
def accumulate_gradients(accelerator: Accelerator, net: nn.Module) -> Iterator[None]:
    """Within the block `backward` adds to the gradient, and does nothing else."""
    accelerator.sync_gradients = False  # else DeepSpeed takes it for the step's last part
    try:
        with accelerator.no_sync(net):
            yield
    finally:
        accelerator.sync_gradients = True


def unshard(model: nn.Module) -> None:
    """Put whole tensors in the places of what training may change: to be saved, no longer to be trained."""
    for name, parameter in list(model.named_parameters()):
        if isinstance(parameter, DTensor) and name in model.trainable_state():
            parent, _, own = name.rpartition(".")
            whole = nn.Parameter(parameter.full_tensor(), parameter.requires_grad)
            setattr(model.get_submodule(parent), own, whole)
