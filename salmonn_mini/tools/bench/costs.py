"""What the recipes of the paper's sizes cost in GPU hours: an estimate by arithmetic; nothing in it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from salmonn_mini.models.config import preset
from salmonn_mini.tools.bench.presets import CLIP_SECONDS, STEPS, arithmetic
from salmonn_mini.tools.doctor.finding import size
from salmonn_mini.tools.plan import make_plan
from salmonn_mini.train.recipe import STAGES, load_recipe

SIZES = ("small", "7b", "13b")
REACHED = (200.0, 50.0)  # TFLOP/s of one GPU; a large one reaches the first when all goes well


@dataclass(frozen=True)
class Cost:
    """A recipe's cost for one way of hearing the clips, a row of STEPS.

    Attributes:
        samples: clips of the whole run.
        flops: of one clip's training step.
        memory: bytes that a training step with one clip takes of a GPU.
        gpu_hours: by the TFLOP/s that a GPU is thought to reach.
    """

    recipe: str
    clips: str
    samples: int
    flops: float
    memory: float
    gpu_hours: dict[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


def costs(reached: Sequence[float] = REACHED) -> list[Cost]:
    """Every stage of every size, for clips of `CLIP_SECONDS`, at each of some speeds in TFLOP/s of one GPU."""
    rows = []
    for name in SIZES:
        sums = arithmetic(preset(name))
        for stage in STAGES:
            recipe = load_recipe(f"{name}-stage{stage}")
            for clips in STEPS:
                flops = sums["flops_per_sample"][clips]["total"]
                hours = {
                    tflops: make_plan(recipe, 1, samples_per_second=tflops * 1e12 / flops).hours
                    for tflops in reached
                }
                samples = recipe.steps * recipe.batch_size
                rows.append(
                    Cost(f"{name}-stage{stage}", clips, samples, flops, sums["bytes"]["training"], hours)
                )
    return rows


def table(rows: Sequence[Cost], price: float | None = None) -> str:
    """For the terminal; with the price of a GPU hour also what each run costs."""
    speeds = list(rows[0].gpu_hours)
    head = "".join(f"{f'at {tflops:g}':>12}" for tflops in speeds)
    lines = [
        f"estimated by arithmetic, nothing of it measured: GPU hours for clips of {CLIP_SECONDS:g} s, on GPUs that "
        f"reach {' or '.join(f'{tflops:g}' for tflops in speeds)} TFLOP/s",
        f"{'':14}{'clips':24}{'samples':>12}{'TFLOP each':>12}{'memory':>10}{head}",
    ]
    for row in rows:
        hours = "".join(f"{_told(value, price):>12}" for value in row.gpu_hours.values())
        lines.append(
            f"{row.recipe:14}{row.clips:24}{row.samples:12,}{row.flops / 1e12:12.2f}{size(row.memory):>10}{hours}"
        )
    if price is not None:
        lines.append(f"in the last columns: hours times {price:g}, the price of a GPU hour")
    return "\n".join(lines)


def _told(hours: float, price: float | None) -> str:
    value = hours if price is None else hours * price
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
