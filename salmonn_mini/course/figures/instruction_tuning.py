"""Figures of chapter 8: a mixture smoothed, tasks side by side, the loss of every task as it falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from salmonn_mini.course.figures.explorer import Explorer
from salmonn_mini.course.figures.pretraining import Live
from salmonn_mini.course.plots import BLUE, GRAY, MARKERS, PALETTE, Interval, Picture
from salmonn_mini.train import load_recipe

COLUMNS = 4  # of the grid of tasks
LAST = 40  # steps that a task's thick line averages
OFFSET = 0.24  # rows between two series of one row


def paper_sets() -> dict[str, int]:
    """The clips of each data set of stage 2, as an independent reproduction counts them, the largest first."""
    named = load_recipe("13b-stage2").manifests
    counts = {name.rpartition("/")[2]: int(count) for name, count in named.items()}
    return dict(sorted(counts.items(), key=lambda row: -row[1]))


def smoothed(counts: Mapping[str, int], power: float) -> dict[str, float]:
    """Shares that go by count ** power: 1 as many clips as there are, 0 as many of each."""
    weights = {name: float(count) ** power for name, count in counts.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def mixture(counts: Mapping[str, int], power: float) -> Picture:
    """Each set's share, and how often a clip of it comes while as many clips are drawn as there are in all."""
    shares = smoothed(counts, power)
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
    left.set_xlabel("share of the samples, in %")
    left.set_yticks(rows, [f"{name}  {count:,}" for name, count in counts.items()])
    left.invert_yaxis()
    right.plot(list(times.values()), rows, "o", color=BLUE)
    right.set_xscale("log")
    right.set_xlim(0.1, 2000)
    right.axvline(1.0, color=GRAY, linewidth=0.8)
    right.set_xlabel("how often each clip comes")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return picture


SMOOTHING = Explorer(
    lambda power: mixture(paper_sets(), power), {"power": (0.0, 0.25, 0.5, 0.75, 1.0)}, {"power": 1.0}
)


def beside(
    rows: Mapping[str, Mapping[str, float | Interval]], xlabel: str, title: str = "", form: str = ".0f"
) -> Picture:
    """A row a name, and in it a mark for each series that it has; an `Interval` also gets its whisker."""
    series = list(dict.fromkeys(name for row in rows.values() for name in row))
    said = (
        f"{name} " + ", ".join(f"{one} {_middle(value):{form}}" for one, value in row.items())
        for name, row in rows.items()
    )
    alt = f"{xlabel}: {'; '.join(said)}."
    picture = Picture(f"{title}. {alt}" if title else alt, width=8.0, height=1.2 + 0.42 * len(rows))
    axes = picture.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    for number, name in enumerate(series):
        color, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        shift = OFFSET * (number - (len(series) - 1) / 2)
        places = [place for place, row in enumerate(rows.values()) if name in row]
        values = [row[name] for row in rows.values() if name in row]
        axes.plot(
            list(map(_middle, values)),
            [place + shift for place in places],
            marker,
            color=color,
            label=name,
            markersize=6,
        )
        for place, value in zip(places, values, strict=True):
            if isinstance(value, tuple) and value[1] < value[2]:
                axes.plot(value[1:], (place + shift,) * 2, color=color, linewidth=1.4)
    for line in range(1, len(rows)):
        axes.axhline(line - 0.5, color=GRAY, linewidth=0.4, alpha=0.5)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(*_from_zero(rows))
    axes.set_xlabel(xlabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return picture


def _from_zero(rows: Mapping[str, Mapping[str, float | Interval]]) -> tuple[float, float]:
    """The ends of an axis that holds 0 and all values, and a little more."""
    values = [number for row in rows.values() for value in row.values() for number in np.atleast_1d(value)]
    low, high = min(0.0, *values), max(0.0, *values)
    margin = 0.03 * (high - low)
    return low - margin, high + margin


def _middle(value: float | Interval) -> float:
    return value[0] if isinstance(value, tuple) else value


def by_task(log: Sequence[Mapping[str, float]], tasks: Sequence[str], steps: int, title: str = "") -> Picture:
    """The loss of each task so far, a panel a task; a step's batch need not hold every task."""
    curves = {task: _means(log, task) for task in tasks}
    ends = {task: means[-1] for task, (_, _, means) in curves.items() if means}
    said = ", ".join(f"{task} {end:.2f}" for task, end in ends.items())
    alt = f"Step {len(log)} of {steps}: loss a token, the mean of the last {LAST} steps: {said}."
    lines = -(-len(tasks) // COLUMNS)
    picture = Picture(f"{title}. {alt}" if title else alt, width=9.0, height=0.6 + 1.5 * lines)
    picture.suptitle(f"{title}   Step {len(log)} of {steps}".strip(), fontsize=10, x=0.01, ha="left")
    grid = picture.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).flatten().tolist()
    for axes, (task, (places, losses, means)) in zip(grid, curves.items(), strict=False):
        axes.set_title(f"{task}   {ends[task]:.2f}" if means else task, fontsize=9, loc="left")
        axes.plot(places, losses, color=BLUE, alpha=0.35, linewidth=0.8)
        axes.plot(places, means, color=BLUE, linewidth=1.8)
        axes.set_xlim(0, steps)
        axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    picture.supxlabel("step", fontsize=9)
    picture.supylabel("loss a token, in nats", fontsize=9)
    return picture


def late(log: Sequence[Mapping[str, float]], task: str) -> float:
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


class LiveTasks(Live):
    """The loss of every task, drawn while it falls."""

    def __init__(self, steps: int, tasks: Sequence[str], title: str = "") -> None:
        super().__init__(steps, title)
        self.tasks = tuple(tasks)
        self.log: list[Mapping[str, float]] = []

    def note(self, loss: float, of_tasks: Mapping[str, float] | None = None) -> None:
        """Add the loss of a step, and those of the tasks in its batch."""
        self.log.append(of_tasks or {})
        super().note(loss)

    def picture(self) -> Picture:
        return by_task(self.log, self.tasks, self.steps, self.title)
