"""A recipe on some GPUs: batch, samples, epochs and hours. Estimates by arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from salmonn_mini.errors import SalmonnError, counted
from salmonn_mini.evaluation.tables import aligned
from salmonn_mini.models.config import preset
from salmonn_mini.tools import size
from salmonn_mini.train.recipe import STAGES, Recipe, load_recipe

SIZES = ("small", "7b", "13b")
TFLOPS = (200.0, 50.0)  # that one GPU is thought to reach; a large one reaches the first when all goes well


@dataclass(frozen=True)
class Plan:
    """A recipe on a number of GPUs.

    Attributes:
        batch_size: clips a step, over all GPUs.
        accumulation: the parts in which each GPU computes its share of a step.
        per_device_batch_size: clips that a GPU holds at once, at most.
        samples: clips of the whole run.
        epoch: clips of an epoch; None where the recipe does not tell.
        epochs, hours: None where not all of their numbers are known.
    """

    gpus: int
    batch_size: int
    accumulation: int
    per_device_batch_size: int
    steps: int
    samples: int
    epoch: int | None
    epochs: float | None
    hours: float | None

    def table(self) -> str:
        """For the terminal, a line a number."""
        parts = counted(self.accumulation, "accumulation step")
        step = f"{counted(self.gpus, 'GPU')} × {self.per_device_batch_size} clips × {parts}"
        epoch = "unknown: give --clips" if self.epoch is None else f"{self.epoch:,} clips"
        hours = "unknown: give --samples-per-second" if self.hours is None else _amount(self.hours, "h")
        lines = [
            ("a step", f"{self.batch_size:,} clips: {step}"),
            ("the run", f"{self.steps:,} steps, {self.samples:,} samples"),
            ("an epoch", epoch),
            ("epochs", "unknown" if self.epochs is None else f"{self.epochs:,.2f}"),
            ("time", hours),
        ]
        return "\n".join(aligned(lines))


def make_plan(
    recipe: Recipe,
    gpus: int,
    *,
    per_device_batch_size: int | None = None,
    samples_per_second: float | None = None,
    clips: int | None = None,
) -> Plan:
    """What a recipe comes to on `gpus` GPUs.

    Args:
        per_device_batch_size: clips that a GPU can hold at once; sets the accumulation instead of the recipe.
        samples_per_second: clips that one GPU trains on in a second, as measured.
        clips: of an epoch, where the recipe does not tell.

    Raises:
        SalmonnError: a batch that training would refuse to divide among the GPUs.
    """
    size, share = recipe.batch_size, math.ceil(recipe.batch_size / gpus)
    if recipe.stream and size % gpus:
        raise SalmonnError(
            f"batch_size is {size}, but a stream needs a multiple of the {gpus} GPUs: change one of them"
        )
    at_once = per_device_batch_size
    accumulation = math.ceil(share / at_once) if at_once else recipe.gradient_accumulation_steps
    if size < gpus * accumulation:
        raise SalmonnError(
            f"batch_size is {size}, but {gpus} GPUs with accumulation {accumulation} need "
            f"{gpus * accumulation} clips a step at least: take fewer GPUs or raise batch_size"
        )
    samples, epoch = recipe.steps * size, clips or epoch_of(recipe)
    hours = samples / (samples_per_second * gpus) / 3600 if samples_per_second else None
    epochs = samples / epoch if epoch else None
    return Plan(
        gpus, size, accumulation, math.ceil(share / accumulation), recipe.steps, samples, epoch, epochs, hours
    )


def epoch_of(recipe: Recipe) -> int | None:
    """The clips of an epoch: the toy world's, or the sum of the manifests' shares where these are counts."""
    if recipe.clips is not None:
        return recipe.clips
    shares = recipe.manifests.values()
    counts = bool(shares) and all(share >= 1 and share == int(share) for share in shares)
    return int(sum(shares)) if counts else None


def costs(tflops: Sequence[float] = TFLOPS) -> list[dict[str, Any]]:
    """GPU hours of every stage of every size at each of some speeds (TFLOP/s of one GPU), ready for JSON.

    `flops` are of one clip's training step, `memory` the bytes that it takes of a GPU.
    """
    from salmonn_mini.tools.estimates import arithmetic  # which counts parameters, with torch

    rows = []
    for name, stage in product(SIZES, STAGES):
        recipe, estimate = load_recipe(f"{name}-stage{stage}"), arithmetic(preset(name))
        samples, memory = recipe.steps * recipe.batch_size, estimate["bytes"]["training"]
        for clips, parts in estimate["flops_per_sample"].items():
            flops = parts["total"]
            row = {"recipe": f"{name}-stage{stage}", "clips": clips, "flops": flops, "samples": samples}
            hours = {speed: samples * flops / (speed * 1e12) / 3600 for speed in tflops}
            rows.append(row | {"memory": memory, "gpu_hours": hours})
    return rows


def costs_table(rows: Sequence[dict[str, Any]], price: float | None = None) -> str:
    """For the terminal; with the price of a GPU hour what each run costs, in place of hours."""
    speeds = [f"{speed:g} TFLOP/s" for speed in rows[0]["gpu_hours"]]
    cells = [["recipe", "clips", "samples", "TFLOP a clip", "memory", *speeds]]
    for row in rows:
        hours = row["gpu_hours"].values()
        shown = [_amount(one, "h") if price is None else _amount(one * price) for one in hours]
        flops = f"{row['flops'] / 1e12:.2f}"
        cells.append([row["recipe"], row["clips"], f"{row['samples']:,}", flops, size(row["memory"]), *shown])
    what = "GPU hours" if price is None else f"GPU hours times {price:g}, the price of one"
    title = f"Estimates, not measurements: {what}, by the speed that a GPU reaches"
    return "\n".join([title, "", *aligned(cells)])


def _amount(value: float, unit: str = "") -> str:
    form = ",.0f" if value >= 100 else ",.1f" if value >= 1 else ".2f"
    return f"{f'{value:{form}}' if value >= 0.01 else '< 0.01'} {unit}".rstrip()
