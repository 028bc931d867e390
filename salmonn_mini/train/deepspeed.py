"""DeepSpeed ZeRO-2: each process has a part of the moments; a checkpoint has them whole, as AdamW itself would.

DeepSpeed clips the gradient, takes the step and forgets the gradient, all within Accelerate's `backward`; with a
gradient that is not finite it takes none. The loop's own calls for this then do nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator, DeepSpeedPlugin
from accelerate.utils import InitProcessGroupKwargs, is_deepspeed_available
from torch import Tensor, nn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.train.optim import autocast
from salmonn_mini.train.recipe import Recipe

MOMENTS = ("exp_avg", "exp_avg_sq")  # AdamW's names
ONLY = {"zero_stage": 2, "offload_optimizer_device": "none"}  # what is known to resume exactly


def options(recipe: Recipe) -> dict[str, Any]:
    """The arguments with which an `Accelerator` takes DeepSpeed.

    Raises:
        SalmonnError: DeepSpeed or a launcher is missing, or something else than ZeRO-2 is asked for.
    """
    if not is_deepspeed_available():
        raise SalmonnError(
            "DeepSpeed was asked for, but the package deepspeed is not installed: pip install -e '.[deepspeed]', "
            "or take ddp.yaml or fsdp2.yaml, which do without it"
        )
    if "LOCAL_RANK" not in os.environ:
        raise SalmonnError(
            "DeepSpeed was asked for, but LOCAL_RANK is not set: it needs a launcher, accelerate launch or torchrun"
        )
    plugin = DeepSpeedPlugin()
    for key, value in ONLY.items():
        if (asked := getattr(plugin, key)) != value:
            raise SalmonnError(
                f"DeepSpeed's {key} is {asked!r}, but a run resumes exactly with {value!r} alone: take zero2.yaml, "
                f"or fsdp2.yaml, which spreads the weights as ZeRO-3 does"
            )
    plugin.deepspeed_config |= {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": 1,  # for DeepSpeed's own reports alone: the loop shares the clips out
        "gradient_accumulation_steps": 1,  # the loop says which part is the last
        "gradient_clipping": recipe.max_grad_norm,
        "bf16": {"enabled": False},  # it would halve what is trained too; see `Learner`
        "fp16": {"enabled": False},
    }
    # Without a GPU Accelerate has to be told, or it counts one process where there are several.
    gloo = [] if torch.cuda.is_available() else [InitProcessGroupKwargs(backend="gloo")]
    return {"mixed_precision": "no", "deepspeed_plugin": plugin, "kwargs_handlers": gloo}


class Loss(NamedTuple):
    """What the loop needs of an `AnswerLoss`, in a tuple: DeepSpeed looks for tensors in these."""

    total: Tensor
    rows: Tensor


class Learner(nn.Module):
    """A model as DeepSpeed is to see it: what is trained, and a forward pass in the recipe's precision.

    So DeepSpeed leaves frozen weights alone, whatever their type, and trained ones stay in float32.
    """

    def __init__(self, model: Salmonn, recipe: Recipe) -> None:
        super().__init__()
        self.trained = nn.ParameterList(p for p in model.parameters() if p.requires_grad)
        self._model, self._recipe = (model,), recipe  # in a tuple it is no part of this module

    def forward(self, *batch: Any) -> Loss:
        """As the model's own."""
        with autocast(self._recipe, self.trained[0].device):
            loss = self._model[0](*batch)
        return Loss(loss.total, loss.per_sample)


def prepare(
    accelerator: Accelerator, model: Salmonn, optimizer: torch.optim.Optimizer, recipe: Recipe
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """DeepSpeed's engine around the model, and its optimizer around AdamW."""
    learner = Learner(model, recipe)
    config = accelerator.state.deepspeed_plugin.deepspeed_config["zero_optimization"]
    config["reduce_bucket_size"] = sum(p.numel() for p in learner.trained)  # else memory for half a billion
    engine, optimizer = accelerator.prepare(learner, optimizer)
    _begin(optimizer.optimizer)
    return engine, optimizer


def full_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What AdamW's own `state_dict` would be if nothing were spread; all processes must call it together."""
    from deepspeed.utils import safe_get_full_optimizer_state

    state: dict[int, dict[str, Tensor]] = {}
    groups = []
    for group, of_part, learned in _groups(optimizer.optimizer):
        numbers = range(len(state), len(state) + len(learned))
        groups.append({**group, "params": [*numbers]})
        for number, parameter in zip(numbers, learned, strict=True):
            whole = {name: safe_get_full_optimizer_state(parameter, name) for name in MOMENTS}
            state[number] = {"step": of_part["step"].clone()} | whole
    return {"state": state, "param_groups": groups}


def load_full_optimizer_state(optimizer: torch.optim.Optimizer, moments: dict[str, Any]) -> None:
    """Give each process its part of moments that are whole."""
    from deepspeed.utils import safe_set_full_optimizer_state

    state, number = moments["state"], count()
    if not state:  # of a run without a step
        return
    for _, of_part, learned in _groups(optimizer.optimizer):
        for parameter in learned:
            whole = state[next(number)]
            of_part["step"].copy_(whole["step"])
            for name in MOMENTS:
                safe_set_full_optimizer_state(parameter, whole[name].to(parameter.device), name)


def release(engine: nn.Module) -> None:
    """Take the hooks out of the model, and give each trained weight memory of its own again."""
    engine.destroy()
    for parameter in engine.module.trained:
        parameter.data = parameter.data.clone()


def _begin(zero: Any) -> None:
    """Let all moments begin at zero, as AdamW does, but before the first step.

    DeepSpeed tells each parameter its place in them after the first group's first step: too soon for the other groups.
    """
    for flat in zero.single_partition_of_fp32_groups:
        step = torch.zeros((), device=flat.device)
        zero.optimizer.state[flat] = {"step": step} | {name: torch.zeros_like(flat) for name in MOMENTS}
    zero._lazy_init_hp_params_optimizer_state()


def _groups(zero: Any) -> Iterator[tuple[dict[str, Any], dict[str, Tensor], list[nn.Parameter]]]:
    """Of each of AdamW's groups: its settings, the moments of this process's part of it, and its parameters."""
    flats = zero.single_partition_of_fp32_groups
    for group, flat, learned in zip(zero.optimizer.param_groups, flats, zero.bit16_groups, strict=True):
        yield group, zero.optimizer.state[flat], learned
