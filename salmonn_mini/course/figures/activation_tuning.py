"""Figures of chapter 10: the price of a lower LoRA scale, answers chosen by form, models compared task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.transforms import blended_transform_factory

from salmonn_mini.course.figures.explorer import Explorer
from salmonn_mini.course.plots import (
    DASHES,
    GRAY,
    GREEN,
    INK,
    MARKERS,
    ORANGE,
    PALETTE,
    VERMILION,
    Interval,
    Picture,
)
from salmonn_mini.evaluation.metrics.following import STORY_WORDS
from salmonn_mini.evaluation.metrics.words import basic, loops
from salmonn_mini.models.splice import Answer

FORMS = {  # what is wrong with an answer's form, and how it is drawn
    "kept": (GREEN, "o"),
    "too short": (ORANGE, "v"),
    "goes round in circles": (VERMILION, "s"),
    "without an end": (GRAY, "X"),
}


def trade(scales: Sequence[float], shares: Mapping[str, Sequence[float]], s: float) -> Picture:
    """What each LoRA scale gives and takes: shares in percent, more is better, and those at scale `s`.

    Raises:
        ValueError: `s` is not among the scales.
    """
    place = list(scales).index(s)
    told = "; ".join(f"{name} {values[place]:.0f} %" for name, values in shares.items())
    picture = Picture(f"At LoRA scale {s:g}: {told}.", width=8.0, height=3.6)
    axes = picture.subplots()
    axes.set_title(f"s = {s:g}", loc="left", fontsize=11)
    axes.axvline(s, color=GRAY, linewidth=6.0, alpha=0.25)
    for row, (name, values) in enumerate(shares.items()):
        style = {"color": PALETTE[row], "marker": MARKERS[row], "linestyle": DASHES[row % len(DASHES)]}
        axes.plot(scales, values, label=f"{name}: {values[place]:.0f} %", markersize=5, **style)
        axes.plot([s], [values[place]], MARKERS[row], color=PALETTE[row], markersize=10)
    axes.set_xlim(max(scales) + 0.15, min(scales) - 0.15)  # as trained at the left, off at the right
    axes.set_ylim(-4, 104)
    axes.set_xticks(scales)
    axes.set_xlabel("LoRA scale s: as trained at the left, the language model alone at the right")
    axes.set_ylabel("%")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return picture


def turning(scales: Sequence[float], shares: Mapping[str, Sequence[float]]) -> Explorer:
    """The same for a slider of the scale."""
    ascending = tuple(sorted(scales))
    return Explorer(lambda s: trade(scales, shares, s), {"s": ascending}, {"s": ascending[-1]})


def form_of(answer: Answer, words: int = STORY_WORDS) -> str:
    """One of FORMS: whether an answer has ended, does not go round in circles, and has so many words."""
    if not answer.ended:
        return "without an end"
    if loops(answer.text):
        return "goes round in circles"
    return "kept" if len(basic(answer.text).split()) >= words else "too short"


def forms(pools: Mapping[str, Sequence[Answer]], words: int = STORY_WORDS) -> Picture:
    """A dot for each answer, by its number of words, a row for each pool of answers; kept are those of a good form."""
    names = {name: [form_of(answer, words) for answer in answers] for name, answers in pools.items()}
    told = "; ".join(f"{name}: {found.count('kept')} of {len(found)}" for name, found in names.items())
    picture = Picture(f"Kept, at {words} words or more: {told}.", width=8.0, height=1.5 + 0.7 * len(pools))
    axes = picture.subplots()
    axes.set_title(picture.alt, loc="left", fontsize=10)
    for row, (name, answers) in enumerate(pools.items()):
        lengths = np.array([len(basic(answer.text).split()) for answer in answers])
        height = row + _spread(lengths)
        for form, (color, marker) in FORMS.items():
            own = np.array([found == form for found in names[name]])
            label = form if row == 0 else None
            axes.plot(lengths[own], height[own], marker, color=color, label=label, markersize=5, alpha=0.8)
    axes.axvline(words - 0.5, color=INK, linewidth=1.0, linestyle=":")
    axes.set_yticks(range(len(pools)), pools)
    axes.set_ylim(len(pools) - 0.5, -0.5)
    axes.set_xlim(0, None)
    axes.set_xlabel("words")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, ncols=len(FORMS), loc="upper center", bbox_to_anchor=(0.4, -0.3), fontsize=9)
    return picture


def choosing(pools: Mapping[str, Sequence[Answer]]) -> Explorer:
    """The same for a slider of the fewest words."""
    return Explorer(
        lambda at_least: forms(pools, at_least),
        {"at_least": tuple(range(5, 65, 5))},
        {"at_least": STORY_WORDS},
    )


def compared(rows: Mapping[str, Mapping[str, Interval | None]], xlabel: str, title: str = "") -> Picture:
    """In percent: a row for each task and a mark with its interval for each model; None where there is no figure."""
    models = list(dict.fromkeys(name for marks in rows.values() for name in marks))
    told = "; ".join(
        f"{task}: " + ", ".join(f"{name} {mark[0]:.0f}" for name, mark in marks.items() if mark)
        for task, marks in rows.items()
    )
    alt = f"{xlabel}, by task and model: {told}."
    step = 0.8 / max(len(models), 2)
    picture = Picture(
        f"{title}. {alt}" if title else alt, width=8.0, height=1.3 + (0.13 * len(models) + 0.15) * len(rows)
    )
    axes = picture.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    for place, name in enumerate(models):
        style = {"color": PALETTE[place % len(PALETTE)], "marker": MARKERS[place % len(MARKERS)]}
        marks = [(row, task[name]) for row, task in enumerate(rows.values()) if task.get(name)]
        heights = [row + (place - (len(models) - 1) / 2) * step for row, _ in marks]
        for height, (_, (_, low, high)) in zip(heights, marks, strict=True):
            axes.plot((low, high), (height, height), color=style["color"], linewidth=1.4, alpha=0.55)
        values = [mark[0] for _, mark in marks]
        axes.plot(values, heights, linestyle="none", label=name, markersize=6, **style)
    across = blended_transform_factory(axes.transAxes, axes.transData)
    for row in range(1, len(rows)):
        axes.plot((0, 1), (row - 0.5, row - 0.5), color=GRAY, linewidth=0.5, alpha=0.5, transform=across)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.set_xlabel(xlabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return picture


def _spread(lengths: np.ndarray) -> np.ndarray:
    """Small steps up and down that keep answers of one length apart."""
    steps = np.zeros(len(lengths))
    for length in np.unique(lengths):
        own = np.flatnonzero(lengths == length)
        steps[own] = np.clip(np.arange(len(own)) * 0.08, 0, 0.64) - min(0.04 * (len(own) - 1), 0.32)
    return steps
