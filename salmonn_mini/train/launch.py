"""Accelerate's `Accelerator`, as the launcher asks for it; what is not to be had is refused."""

from __future__ import annotations

import os
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train import deepspeed
from salmonn_mini.train.recipe import Recipe

MIXED = {"float32": "no", "bfloat16": "bf16"}  # Accelerate's names
FSDP, DEEPSPEED = "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"  # what `accelerate launch` asks for


def make_accelerator(recipe: Recipe, trackers: list[str]) -> Accelerator:
    """The accelerator for a run.

    Raises:
        SalmonnError: what is asked for is not to be had, or there are fewer clips a step than processes.
    """
    AcceleratorState._reset_state()  # else a second run in this process must have the first one's precision
    options = deepspeed.options(recipe) if _asked(DEEPSPEED) else _options(recipe)
    accelerator = Accelerator(log_with=trackers or None, project_dir=recipe.output_dir, **options)
    _check(accelerator, recipe)
    return accelerator


def _options(recipe: Recipe) -> dict[str, Any]:
    """The arguments without DeepSpeed."""
    return {
        "cpu": not torch.cuda.is_available(),  # else several processes on a CPU become one
        "mixed_precision": MIXED[recipe.dtype],
        "kwargs_handlers": [DistributedDataParallelKwargs(broadcast_buffers=False)],
    }


def _check(accelerator: Accelerator, recipe: Recipe) -> None:
    """What is asked of the launcher is what there is, and each process gets something to do."""
    if _asked(FSDP) and recipe.bits is not None:
        raise SalmonnError(
            f"bits is {recipe.bits!r}, but FSDP cannot spread such weights: leave bits out, or take "
            f"ddp.yaml, which gives each GPU the LLM in few bits"
        )
    if _asked(FSDP) and accelerator.distributed_type != DistributedType.FSDP:
        raise SalmonnError(
            f"FSDP was asked for, but Accelerate gives {accelerator.distributed_type.value}: "
            f"it needs a GPU for each process; without GPUs use torchrun"
        )
    started = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    if accelerator.num_processes != started:
        raise SalmonnError(
            f"Accelerate counts {accelerator.num_processes} processes, but {started} were started, and each would "
            f"train on all clips: let no other part of the program use Accelerate before the run"
        )
    parts = accelerator.num_processes * recipe.gradient_accumulation_steps
    if recipe.batch_size < parts:
        raise SalmonnError(
            f"batch_size is {recipe.batch_size}, but {accelerator.num_processes} processes with "
            f"gradient_accumulation_steps {recipe.gradient_accumulation_steps} need {parts} clips a step at least: "
            f"raise batch_size or lower gradient_accumulation_steps"
        )


def _asked(variable: str) -> bool:
    return os.environ.get(variable, "").lower() == "true"
