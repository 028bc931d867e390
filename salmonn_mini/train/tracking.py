"""What a run tells of itself on the way: trackers, throughput, memory, and a word when it leads nowhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train.recipe import Recipe

PROJECT = "salmonn-mini"  # as which trackers file every run
PROGRESS = 0.01  # the least fall of the loss that counts, as a share of it
HIGH = 0.5  # of the learning rates' peaks; below it the loss may well stand still


def installed_trackers(recipe: Recipe) -> list[str]:
    """Those of the recipe's trackers whose packages are there.

    Raises:
        SalmonnError: a name that Accelerate does not know.
    """
    known = [str(name) for name in LOGGER_TYPE_TO_CLASS]
    for name in recipe.trackers:
        if name not in known:
            raise SalmonnError(
                f"trackers: {name!r} is none of Accelerate's: choose among {', '.join(known)}, or give []"
            )
    there = {str(tracker.value) for tracker in get_available_trackers()}
    return [name for name in recipe.trackers if name in there]


class Tracking:
    """The log's rows on their way to the trackers, and warnings. Rows come in the order of the steps."""

    def __init__(self, accelerator: Accelerator, recipe: Recipe, before: Iterable[dict[str, Any]]) -> None:
        self.accelerator = accelerator
        self.clips = recipe.batch_size
        self.plateau = Plateau(recipe)
        self.steps, self.seconds = 0, 0.0
        for row in before:
            self._follow(row)
        name = Path(recipe.output_dir).name
        first = {"tensorboard": {"purge_step": self.steps + 1}, "wandb": {"name": name}}
        accelerator.init_trackers(PROJECT, init_kwargs=first)

    def note(self, row: dict[str, Any]) -> str | None:
        """Pass a row on; the warning that it gives rise to, if any."""
        before = self.seconds
        warning = self._follow(row)
        values = flat(row) | {"memory_gb": memory() / 1e9}
        if self.seconds > before:
            values["clips_per_second"] = self.clips / (self.seconds - before)
        self.accelerator.log(values, step=row["step"])
        return warning

    def close(self) -> None:
        """Let the trackers write what they hold."""
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _follow(self, row: dict[str, Any]) -> str | None:
        self.steps, self.seconds = row["step"], row["seconds"]
        return self.plateau.add(row["loss"])


class Plateau:
    """Notices a loss that stands still at a high learning rate, from one tenth of the run to the next."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.window = max(50, recipe.steps // 10)  # steps
        self.step = 0
        self._losses: list[float] = []
        self._before: float | None = None  # the mean of the window before

    def add(self, loss: float | None) -> str | None:
        """Take the next step's loss (None if it was not finite); advice where it does not fall."""
        self.step += 1
        if self.step <= self.recipe.warmup:
            return None
        if loss is not None:
            self._losses.append(loss)
        if (self.step - self.recipe.warmup) % self.window or not self._losses:
            return None
        before, self._before = self._before, math.fsum(self._losses) / len(self._losses)
        self._losses = []
        high = self.recipe.factor(self.step - 1) >= HIGH
        if before is None or not high or self._before < before * (1 - PROGRESS):
            return None
        return (
            f"step {self.step}: the mean loss of the last {self.window} steps is {self._before:.4g}, of those before "
            f"{before:.4g}: it does not fall. If answers are right already, the run may end here; if not, try "
            f"half or twice connector_lr = {self.recipe.connector_lr:g} and lora_lr = {self.recipe.lora_lr:g}, "
            f"and listen to some clips"
        )


def flat(row: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a row, those of its tables as "table/name"."""
    values: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            values |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name not in ("step", "seconds"):
            values[prefix + name] = value
    return values


def memory() -> int:
    """Bytes: the most that the GPU has held, or what this process holds of RAM."""
    return (
        torch.cuda.max_memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss
    )
