"""Trackers, and what they get besides the log: throughput and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train.recipe import Recipe

PROJECT = "salmonn-mini"  # the trackers' name for all runs


def installed_trackers(recipe: Recipe) -> list[str]:
    """Those of the recipe's trackers whose packages are there.

    Raises:
        SalmonnError: a name that Accelerate does not know.
    """
    known = [str(name) for name in LOGGER_TYPE_TO_CLASS]
    for name in recipe.trackers:
        if name not in known:
            raise SalmonnError(
                f"trackers: {name!r} is not one of Accelerate's: choose among {', '.join(known)}, or give []"
            )
    there = {str(tracker.value) for tracker in get_available_trackers()}
    return [name for name in recipe.trackers if name in there]


class Tracking:
    """Passes the log's rows to the trackers, in the order of the steps."""

    def __init__(self, accelerator: Accelerator, recipe: Recipe, before: Sequence[dict[str, Any]]) -> None:
        self.accelerator, self.clips = accelerator, recipe.batch_size
        self.seconds = before[-1]["seconds"] if before else 0.0
        settings = {
            "tensorboard": {"purge_step": len(before) + 1},
            "wandb": {"name": Path(recipe.output_dir).name},
        }
        accelerator.init_trackers(PROJECT, init_kwargs=settings)

    def log(self, row: dict[str, Any]) -> None:
        """Pass a row on, with throughput and memory."""
        values = flat(row) | {"memory_gb": memory() / 1e9}
        if row["seconds"] > self.seconds:
            values["clips_per_second"] = self.clips / (row["seconds"] - self.seconds)
        self.seconds = row["seconds"]
        self.accelerator.log(values, step=row["step"])

    def close(self) -> None:
        """Flush and close the trackers."""
        for tracker in self.accelerator.trackers:
            tracker.finish()


def flat(row: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """A row's numbers; those in tables are named "table/name"."""
    values: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            values |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name not in ("step", "seconds"):
            values[prefix + name] = value
    return values


def memory() -> int:
    """Bytes: the GPU's peak, or this process's RAM."""
    return (
        torch.cuda.max_memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss
    )
