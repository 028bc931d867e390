"""Accelerate's `Accelerator`, as the launcher requests it; what is unavailable is refused."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train.recipe import Recipe

MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16"}  # Accelerate's names
FSDP, DEEPSPEED = "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"  # as `accelerate launch` sets them


def make_accelerator(recipe: Recipe, trackers: list[str]) -> Accelerator:
    """The accelerator for a run.

    Raises:
        SalmonnError: an engine that is unsupported or unavailable, or fewer clips per step than processes.
    """
    if _requested(DEEPSPEED):
        raise SalmonnError(
            f"{DEEPSPEED} is true, but DeepSpeed is not supported: its optimizer state cannot be resumed exactly "
            f"through Accelerate's public calls; use fsdp2.yaml, which shards the same"
        )
    AcceleratorState._reset_state()  # else a second run in this process must have the first one's precision
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),  # else several processes on a CPU become one
        mixed_precision=MIXED_PRECISION[recipe.dtype],
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        log_with=trackers or None,
        project_dir=recipe.output_dir,
    )
    _check(accelerator, recipe)
    return accelerator


def _check(accelerator: Accelerator, recipe: Recipe) -> None:
    """The requested engine is there, and each process has clips."""
    if _requested(FSDP) and recipe.bits is not None:
        raise SalmonnError(
            f"bits is {recipe.bits!r}, but FSDP cannot shard such weights: leave bits out, or use "
            f"ddp.yaml, which gives each GPU the whole quantized LLM"
        )
    if _requested(FSDP) and accelerator.distributed_type != DistributedType.FSDP:
        raise SalmonnError(
            f"FSDP was requested, but Accelerate gives {accelerator.distributed_type.value}: "
            f"it needs a GPU for each process; without GPUs use torchrun"
        )
    parts = accelerator.num_processes * recipe.gradient_accumulation_steps
    if recipe.batch_size < parts:
        raise SalmonnError(
            f"batch_size is {recipe.batch_size}, but {accelerator.num_processes} processes with "
            f"gradient_accumulation_steps {recipe.gradient_accumulation_steps} need at least {parts} clips per step: "
            f"raise batch_size or lower gradient_accumulation_steps"
        )


def _requested(variable: str) -> bool:
    return os.environ.get(variable, "").lower() == "true"
