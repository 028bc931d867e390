"""Figures of chapter 8, instruction tuning: a smoothed mixture, and the loss of every task as it falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.figures.pretraining import LiveLoss
from salmonn_mini.course.plots import BLUE, GRAY, Picture, dress, titled
from salmonn_mini.train import load_recipe

COLUMNS = 4  # of the grid of tasks
LAST = 40  # steps that a task's thick line averages


def paper_sets() -> dict[str, int]:
    """The clips of each data set of stage 2, as an independent reproduction counts them, the largest first."""
    named = load_recipe("13b-stage2").manifests
    counts = {name.rpartition("/")[2]: int(count) for name, count in named.items()}
    return dict(sorted(counts.items(), key=lambda row: -row[1]))


def smoothed_shares(counts: Mapping[str, int], power: float) -> dict[str, float]:
    """Shares that go by count ** power: 1 as many clips as there are, 0 as many of each."""
    weights = {name: float(count) ** power for name, count in counts.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def mixture(counts: Mapping[str, int], power: float) -> Picture:
    """Each set's share, and how often a clip of it comes while as many clips are drawn as there are in all."""
    shares = smoothed_shares(counts, power)
    total = sum(counts.values())
    times = {name: share * total / counts[name] for name, share in shares.items()}
    largest, smallest = max(counts, key=counts.get), min(counts, key=counts.get)
    alt = (
        f"Shares by count to the power of {power:g}: {largest} {shares[largest]:.1%}, each clip {times[largest]:.2g} "
        f"times; {smallest} {shares[smallest]:.2%}, each clip {times[smallest]:,.3g} times."
    )
    picture = Picture(alt, width=9.0, height=1.0 + 0.26 * len(counts))
    left, right = picture.subplots(1, 2, sharey=True)
    rows = np.arange(len(counts))
    left.barh(rows, [100 * share for share in shares.values()], color=BLUE, height=0.62)
    names = [f"{name}  {count:,}" for name, count in counts.items()]
    dress(left, xlabel="share of the samples, in %", yticks=rows, yticklabels=names)
    left.invert_yaxis()
    right.plot(list(times.values()), rows, "o", color=BLUE)
    dress(right, xlabel="how often each clip comes", xscale="log", xlim=(0.1, 2000))
    right.axvline(1.0, color=GRAY, linewidth=0.8)
    return picture


SMOOTHING = Explorer(
    lambda power: mixture(paper_sets(), power), {"power": (0.0, 0.25, 0.5, 0.75, 1.0)}, {"power": 1.0}
)


def task_losses(
    log: Sequence[Mapping[str, float]], tasks: Sequence[str], steps: int, title: str = ""
) -> Picture:
    """The loss of each task so far, a panel a task; a step's batch need not hold every task."""
    curves = {task: _means(log, task) for task in tasks}
    ends = {task: means[-1] for task, (_, _, means) in curves.items() if means}
    said = ", ".join(f"{task} {end:.2f}" for task, end in ends.items())
    alt = f"Step {len(log)} of {steps}: loss a token, the mean of the last {LAST} steps: {said}."
    lines = -(-len(tasks) // COLUMNS)
    picture = Picture(titled(title, alt), width=9.0, height=0.6 + 1.5 * lines)
    picture.headline(f"{title}   Step {len(log)} of {steps}".strip())
    grid = picture.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).flatten().tolist()
    for axes, (task, (places, losses, means)) in zip(grid, curves.items(), strict=False):
        dress(axes, f"{task}   {ends[task]:.2f}" if means else task, xlim=(0, steps), yscale="log")
        axes.plot(places, losses, color=BLUE, alpha=0.35, linewidth=0.8)
        axes.plot(places, means, color=BLUE, linewidth=1.8)
        axes.grid(axis="y", alpha=0.25)
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    picture.supxlabel("step", fontsize=9)
    picture.supylabel("loss a token, in nats", fontsize=9)
    return picture


def final_loss(log: Sequence[Mapping[str, float]], task: str) -> float:
    """A task's loss at the end of a log: the mean of the LAST steps before its last one."""
    return _means(log, task)[2][-1]


def _means(log: Sequence[Mapping[str, float]], task: str) -> tuple[list[int], list[float], list[float]]:
    """The steps that have a task in their batch, its losses there, and the mean of the last LAST steps at each."""
    steps = [step for step, row in enumerate(log, 1) if task in row]
    losses = [log[step - 1][task] for step in steps]
    near = (
        [loss for other, loss in zip(steps, losses, strict=True) if step - LAST < other <= step]
        for step in steps
    )
    return steps, losses, [float(np.mean(values)) for values in near]


class LiveTaskLosses(LiveLoss):
    """The loss of every task, drawn while it falls."""

    def __init__(self, steps: int, tasks: Sequence[str], title: str = "") -> None:
        super().__init__(steps, title)
        self.tasks = tuple(tasks)
        self.log: list[Mapping[str, float]] = []

    def add(self, loss: float, of_tasks: Mapping[str, float] | None = None) -> None:
        """Add the loss of a step, and those of the tasks in its batch."""
        self.log.append(of_tasks or {})
        super().add(loss)

    def picture(self) -> Picture:
        return task_losses(self.log, self.tasks, self.steps, self.title)
