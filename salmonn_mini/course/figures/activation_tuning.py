"""Figures of chapter 10, activation tuning: the price of a lower LoRA scale, and answers chosen by form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import (
    DASHES,
    GRAY,
    GREEN,
    INK,
    MARKERS,
    ORANGE,
    PALETTE,
    RIGHT_OF_AXES,
    VERMILION,
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


def scale_tradeoff(scales: Sequence[float], shares: Mapping[str, Sequence[float]], s: float) -> Picture:
    """What each LoRA scale gives and takes: shares in percent, more is better, and those at scale `s`.

    Raises:
        ValueError: `s` is not among the scales.
    """
    place = list(scales).index(s)
    said = "; ".join(f"{name} {values[place]:.0f} %" for name, values in shares.items())
    picture = Picture(f"At LoRA scale {s:g}: {said}.", height=3.6)
    xlabel = "LoRA scale s: as trained at the left, the language model alone at the right"
    ends = max(scales) + 0.15, min(scales) - 0.15
    axes = picture.panel(f"s = {s:g}", xlabel=xlabel, ylabel="%", xlim=ends, ylim=(-4, 104), xticks=scales)
    axes.axvline(s, color=GRAY, linewidth=6.0, alpha=0.25)
    for row, (name, values) in enumerate(shares.items()):
        style = {"color": PALETTE[row], "marker": MARKERS[row], "linestyle": DASHES[row % len(DASHES)]}
        axes.plot(scales, values, label=f"{name}: {values[place]:.0f} %", markersize=5, **style)
        axes.plot([s], [values[place]], MARKERS[row], color=PALETTE[row], markersize=10)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(**RIGHT_OF_AXES)
    return picture


def explore_scale(scales: Sequence[float], shares: Mapping[str, Sequence[float]]) -> Explorer:
    """The same for a slider of the scale."""
    ascending = tuple(sorted(scales))
    return Explorer(lambda s: scale_tradeoff(scales, shares, s), {"s": ascending}, {"s": ascending[-1]})


def form_of(answer: Answer, words: int = STORY_WORDS) -> str:
    """One of FORMS: whether an answer has ended, does not go round in circles, and has so many words."""
    if not answer.ended:
        return "without an end"
    if loops(answer.text):
        return "goes round in circles"
    return "kept" if len(basic(answer.text).split()) >= words else "too short"


def answer_forms(pools: Mapping[str, Sequence[Answer]], words: int = STORY_WORDS) -> Picture:
    """A dot for each answer, by its number of words, a row for each pool of answers; kept are those of a good form."""
    names = {name: [form_of(answer, words) for answer in answers] for name, answers in pools.items()}
    said = "; ".join(f"{name}: {found.count('kept')} of {len(found)}" for name, found in names.items())
    picture = Picture(f"Kept, at {words} words or more: {said}.", height=1.5 + 0.7 * len(pools))
    rows = {"yticks": range(len(pools)), "yticklabels": pools, "ylim": (len(pools) - 0.5, -0.5)}
    axes = picture.panel(picture.alt, xlabel="words", **rows)
    for row, (name, answers) in enumerate(pools.items()):
        lengths = np.array([len(basic(answer.text).split()) for answer in answers])
        height = row + _spread(lengths)
        for form, (color, marker) in FORMS.items():
            own = np.array([found == form for found in names[name]])
            label = form if row == 0 else None
            axes.plot(lengths[own], height[own], marker, color=color, label=label, markersize=5, alpha=0.8)
    axes.axvline(words - 0.5, color=INK, linewidth=1.0, linestyle=":")
    axes.set_xlim(0, None)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, ncols=len(FORMS), loc="upper center", bbox_to_anchor=(0.4, -0.3), fontsize=9)
    return picture


def explore_forms(pools: Mapping[str, Sequence[Answer]]) -> Explorer:
    """The same for a slider of the fewest words."""
    return Explorer(
        lambda at_least: answer_forms(pools, at_least),
        {"at_least": tuple(range(5, 65, 5))},
        {"at_least": STORY_WORDS},
    )


def _spread(lengths: np.ndarray) -> np.ndarray:
    """Small steps up and down that keep answers of one length apart."""
    steps = np.zeros(len(lengths))
    for length in np.unique(lengths):
        own = np.flatnonzero(lengths == length)
        steps[own] = np.clip(np.arange(len(own)) * 0.08, 0, 0.64) - min(0.04 * (len(own) - 1), 0.32)
    return steps
