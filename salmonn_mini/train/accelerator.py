"""Accelerate's `Accelerator`, as the launcher requests it, and its trackers; what is unavailable is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, parse_flag_from_env
from tqdm import tqdm

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train.recipe import Recipe

PROJECT = "salmonn-mini"  # the trackers' name for all runs


def make_accelerator(recipe: Recipe) -> Accelerator:
    """The accelerator for a run, with those of the recipe's trackers whose packages are there.

    Raises SalmonnError for an engine that is unsupported or unavailable, fewer clips per step than processes, or a
    tracker that Accelerate does not know.
    """
    known = [str(name) for name in LOGGER_TYPE_TO_CLASS]
    for name in recipe.trackers:
        if name not in known:
            remedy = f"choose among {', '.join(known)}, or give []"
            raise SalmonnError(f"trackers: {name!r} is not one of Accelerate's: {remedy}")
    if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        raise SalmonnError(
            "DeepSpeed is not supported: its optimizer state cannot be resumed exactly through Accelerate's public "
            "calls; use fsdp2.yaml, which shards the same"
        )
    fsdp = parse_flag_from_env("ACCELERATE_USE_FSDP")
    if fsdp and recipe.bits is not None:
        raise SalmonnError(
            f"bits is {recipe.bits!r}, but FSDP cannot shard such weights: leave bits out, or use ddp.yaml, which "
            f"gives each GPU the whole quantized LLM"
        )
    AcceleratorState._reset_state()  # else a second run in this process must have the first one's precision
    installed = {str(tracker.value) for tracker in get_available_trackers()}
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),  # else several processes on a CPU become one
        mixed_precision="bf16" if recipe.dtype == "bfloat16" else "no",
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        log_with=[name for name in recipe.trackers if name in installed] or None,
        project_dir=recipe.output_dir,
    )
    engine, processes = accelerator.distributed_type, accelerator.num_processes
    if fsdp and engine != DistributedType.FSDP:
        remedy = "it needs a GPU for each process; without GPUs use torchrun"
        raise SalmonnError(f"FSDP was requested, but Accelerate gives {engine.value}: {remedy}")
    parts = recipe.gradient_accumulation_steps
    if recipe.batch_size < processes * parts:
        raise SalmonnError(
            f"batch_size is {recipe.batch_size}, but {processes} processes with gradient_accumulation_steps {parts} "
            f"need at least {processes * parts} clips per step: raise batch_size or lower gradient_accumulation_steps"
        )
    for name in set(recipe.trackers) - installed if accelerator.is_main_process else ():
        tqdm.write(f"tracker {name}: not installed; train.jsonl has everything", sys.stderr)
    return accelerator


@contextmanager
def tracking(accelerator: Accelerator, recipe: Recipe, done: int) -> Iterator[None]:
    """Within the block the trackers take rows, after the first `done`."""
    settings = {"tensorboard": {"purge_step": done + 1}, "wandb": {"name": Path(recipe.output_dir).name}}
    accelerator.init_trackers(PROJECT, init_kwargs=settings)
    try:
        yield
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()


def track(accelerator: Accelerator, row: dict[str, Any]) -> None:
    """Pass a row on, with the memory in GB: the GPU's peak, or this process's RAM."""
    used = psutil.Process().memory_info().rss
    if torch.cuda.is_available():
        used = torch.cuda.max_memory_allocated()
    accelerator.log(flat(row) | {"memory_gb": used / 1e9}, step=row["step"])


def flat(row: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """A row's numbers; those in tables are named "table/name"."""
    values: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            values |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name not in ("step", "seconds"):
            values[prefix + name] = value
    return values
