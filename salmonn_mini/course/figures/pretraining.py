"""Figures of chapter 7: batches, the schedule of the learning rate, a loss as it falls, tokens and words."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from salmonn_mini.course import plots
from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import BLUE, GRAY, SKY, Picture, dress, titled
from salmonn_mini.data import BatchOrder
from salmonn_mini.train import Recipe

ORDERS = ("as drawn", "similar lengths")
SHOWN = 4  # batches
NEAR = 0.4  # a cosine; two unlike words of the toy's have about 0
LAST = 25  # steps that the thick line averages
REDRAW_SECONDS = 3.0


def batches(lengths: Sequence[int], tasks: Sequence[str], batch_size: int, order: str) -> Picture:
    """The first batches of an epoch, a bar a clip, padding hatched, and the share of padding in all of its batches.

    Args:
        lengths, tasks: of all clips, in the order in which they were drawn; lengths in frames.
        order: one of ORDERS; "similar lengths" is `data.BatchOrder`'s.
    """
    epoch = _epoch(lengths, tasks, batch_size, order)
    own = sum(lengths[i] for batch in epoch for i in batch)
    held = sum(len(batch) * max(lengths[i] for i in batch) for batch in epoch)
    alt = f"Batches of {batch_size}, {order}: {1 - own / held:.0%} of their frames are padding."
    picture = Picture(alt, height=2.6)
    picture.headline(alt)
    shown = epoch[:SHOWN]
    for axes, batch in zip(picture.subplots(1, SHOWN, sharex=True, sharey=True), shown, strict=True):
        frames = np.array([lengths[i] for i in batch])
        rows = np.arange(len(batch))
        seconds, padding = frames / 50, (frames.max() - frames) / 50
        axes.barh(rows, seconds, color=SKY, height=0.8)
        hatched = {"color": "white", "edgecolor": GRAY, "hatch": "////", "linewidth": 0.0}
        axes.barh(rows, padding, left=seconds, **hatched)
        dress(axes, xlabel="seconds", xlim=(0, max(lengths) / 50), yticks=[])
    return picture


def similarity(panels: Mapping[str, ArrayLike], words: Sequence[str]) -> Picture:
    """How near each audio token is to each of some words, a panel a model: cosines (len(words), M).

    Bright is near. The alt text counts, for each model, the words that some token is nearer to than `NEAR`.
    """
    tables = {name: np.asarray(table, dtype=float) for name, table in panels.items()}
    found = (f"{name} {int((table.max(axis=1) > NEAR).sum())}" for name, table in tables.items())
    alt = f"Words of {len(words)} that an audio token is near to, cosine above {NEAR}: {'; '.join(found)}."
    picture = Picture(alt, height=1.2 + 0.24 * len(words))
    columns = picture.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axes, (name, table) in zip(columns, tables.items(), strict=True):
        image = axes.imshow(table, cmap="cividis", vmin=0.0, vmax=0.6, aspect="auto")
        rows = {"yticks": range(len(words)), "yticklabels": words}
        dress(axes, name, xlabel="audio token", xticks=[], **rows)
        axes.tick_params(length=0)
    picture.colorbar(image, ax=columns, label="cosine")
    return picture


def _epoch(
    lengths: Sequence[int], tasks: Sequence[str], batch_size: int, order: str
) -> Sequence[Sequence[int]]:
    if order == "similar lengths":
        drawn = BatchOrder(lengths, tasks, batch_size, seed=0)
        return [drawn[number] for number in range(drawn.batches)]
    whole = len(lengths) // batch_size * batch_size
    return np.arange(whole).reshape(-1, batch_size).tolist()


def explore_batches(lengths: Sequence[int], tasks: Sequence[str]) -> Explorer:
    """One set of clips, for a slider of the batch size."""
    sizes = tuple(size for size in (2, 4, 8, 16, 32) if size * SHOWN <= len(lengths))
    return Explorer(
        lambda batch_size, order: batches(lengths, tasks, batch_size, order),
        {"batch_size": sizes, "order": ORDERS},
        {"batch_size": min(16, sizes[-1]), "order": "similar lengths"},
    )


def schedule(steps: int, warmup: int, min_lr_ratio: float) -> Picture:
    """The factor on the learning rate over a run of `steps`, as `train.Recipe` has it."""
    recipe = Recipe(
        1, "unused", steps, 1e-3, 1e-3, clips=32, warmup=warmup, min_lr_ratio=min_lr_ratio, trackers=()
    )
    factors = [recipe.factor(step) for step in range(steps)]
    top = int(np.argmax(factors))
    picture = plots.curves(range(1, steps + 1), {"factor": factors}, "step", "factor on the learning rate")
    picture.alt = (
        f"The learning rate over {steps:,} steps: from {factors[0]:.3g} of its peak up to {factors[top]:.3g} at "
        f"step {top + 1:,}, then down to {factors[-1]:.2g}."
    )
    picture.axes[0].set_ylim(0, 1.05)
    return picture


SCHEDULE = Explorer(
    schedule,
    {"steps": (300, 1000, 3600), "warmup": (0, 1, 30, 100, 250), "min_lr_ratio": (0.0, 0.05, 0.3)},
    {"steps": 3600, "warmup": 100, "min_lr_ratio": 0.05},
)


def loss_curve(losses: Sequence[float], steps: int, title: str = "") -> Picture:
    """The loss of each step so far, of `steps` in all, and the mean of the last LAST steps as a thick line."""
    losses = np.asarray(losses, dtype=float)
    done = len(losses)
    means = np.array([losses[max(0, i + 1 - LAST) : i + 1].mean() for i in range(done)])
    alt = f"Step {done} of {steps}: loss {means[-1]:.2f}, the mean of the last {min(done, LAST)} steps."
    picture = Picture(titled(title, alt))
    labels = {"xlabel": "step", "ylabel": "loss a token, in nats"}
    axes = picture.panel(picture.alt, xlim=(0, steps), ylim=(0, losses.max() * 1.05), **labels)
    axes.plot(np.arange(1, done + 1), losses, color=BLUE, alpha=0.35, linewidth=0.8)
    axes.plot(np.arange(1, done + 1), means, color=BLUE, linewidth=2.0)
    axes.grid(axis="y", alpha=0.25)
    return picture


class LiveLoss:
    """A loss that is drawn while it falls, below the cell that adds to it.

    The last drawing stays, so a static page shows the whole run.
    """

    def __init__(self, steps: int, title: str = "") -> None:
        self.steps, self.title = steps, title
        self.losses: list[float] = []
        self._shown: Any = None
        self._next = 0.0

    def add(self, loss: float) -> None:
        """Add the loss of a step; draw now and then, and at the last step."""
        self.losses.append(loss)
        if time.monotonic() >= self._next or len(self.losses) == self.steps:
            self._draw()
            self._next = time.monotonic() + REDRAW_SECONDS

    def picture(self) -> Picture:
        """The losses so far."""
        return loss_curve(self.losses, self.steps, self.title)

    def _draw(self) -> None:
        from IPython.display import display

        picture = self.picture()
        if self._shown is None:
            self._shown = display(picture, display_id=True)
        else:
            self._shown.update(picture)
