"""What a recipe comes to on some GPUs: clips at once, samples, epochs, hours. Arithmetic alone, no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train.recipe import Recipe


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

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)

    def table(self) -> str:
        """For the terminal, a line a number."""
        gpus = f"{self.gpus} GPU{'s' * (self.gpus > 1)}"
        parts = f"{gpus} × {self.per_device_batch_size} clips × {self.accumulation} accumulation steps"
        lines = [
            ("a step", f"{self.batch_size:,} clips: {parts}"),
            ("the run", f"{self.steps:,} steps, {self.samples:,} samples"),
            ("an epoch", "unknown: give --clips" if self.epoch is None else f"{self.epoch:,} clips"),
            ("epochs", "unknown" if self.epochs is None else f"{self.epochs:,.2f}"),
            (
                "hours",
                "unknown: give --samples-per-second" if self.hours is None else f"{self.hours:,.1f}",
            ),
        ]
        return "\n".join(f"{name:10}{value}" for name, value in lines)


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
        SalmonnError: fewer clips a step than GPUs times accumulation.
    """
    share = math.ceil(recipe.batch_size / gpus)
    accumulation = (
        recipe.gradient_accumulation_steps
        if per_device_batch_size is None
        else math.ceil(share / per_device_batch_size)
    )
    if recipe.batch_size < gpus * accumulation:
        raise SalmonnError(
            f"batch_size is {recipe.batch_size}, but {gpus} GPUs with accumulation {accumulation} need "
            f"{gpus * accumulation} clips a step at least: take fewer GPUs or raise batch_size"
        )
    samples, epoch = recipe.steps * recipe.batch_size, clips or epoch_of(recipe)
    seconds = samples / (samples_per_second * gpus) if samples_per_second else None
    return Plan(
        gpus,
        recipe.batch_size,
        accumulation,
        math.ceil(share / accumulation),
        recipe.steps,
        samples,
        epoch,
        samples / epoch if epoch else None,
        seconds / 3600 if seconds is not None else None,
    )


def epoch_of(recipe: Recipe) -> int | None:
    """The clips of an epoch: the toy world's, or the sum of the manifests' shares where these are counts."""
    if recipe.clips is not None:
        return recipe.clips
    shares = recipe.manifests.values()
    counts = bool(shares) and all(share >= 1 and share == int(share) for share in shares)
    return int(sum(shares)) if counts else None
