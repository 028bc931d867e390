"""Weights and optimizer state that FSDP shards over the processes: gathered for a checkpoint, and sharded again."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import recursively_apply
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor


def is_sharded(model: nn.Module) -> bool:
    """Whether some of what training may change is sharded."""
    return any(isinstance(parameter, DTensor) for parameter in model.trainable_state().values())


def full_tensors(value: Any) -> Any:
    """A tensor, or tables and lists of such, each gathered; all processes must call it together."""
    return recursively_apply(DTensor.full_tensor, value, test_type=lambda inner: isinstance(inner, DTensor))


def load_full_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """The inverse of `full_tensors(optimizer.state_dict())`: each moment is sharded as its parameter is."""
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        if isinstance(parameter, DTensor):
            for name, moment in moments.items():
                if moment.shape == parameter.shape:
                    moments[name] = distribute_tensor(moment, parameter.device_mesh, parameter.placements)


def unshard(model: nn.Module) -> None:
    """Put full tensors in the places of what training may change: to be saved, no longer to be trained."""
    for name, parameter in list(model.named_parameters()):
        if isinstance(parameter, DTensor) and name in model.trainable_state():
            parent, _, own = name.rpartition(".")
            full = nn.Parameter(parameter.full_tensor(), parameter.requires_grad)
            setattr(model.get_submodule(parent), own, full)
