"""Figures of chapter 11: the table of an alignment, two models on few clips and on many, the claims' verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import ArrayLike

from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import BLUE, CENTERED, GRAY, GREEN, INK, SKY, VERMILION, Picture, dress
from salmonn_mini.evaluation.claims import Rules

CLIPS = (10, 20, 40, 100, 200, 500, 1000)
SHARES = (0.5, 0.7, 0.8, 0.9, 0.95)
GAINS = (0.0, 0.02, 0.05)
CENTRAL = 0.95  # of the tests that could have been drawn
NATS = "_gap"  # measures of this ending are in nats, all others are shares


def alignment(
    table: ArrayLike, path: Sequence[tuple[int, int]], reference: Sequence[str], answer: Sequence[str]
) -> Picture:
    """The table of an alignment, and the way through it.

    Args:
        table: (R + 1, A + 1): the fewest errors between the first i words of the reference and the first j of the
            answer.
        path: cells (i, j) from (0, 0) to (R, A).
    """
    table = np.asarray(table)
    steps = list(pairwise(path))
    kinds = {"substitutions": 0, "deletions": 0, "insertions": 0}
    for (i, j), (k, m) in steps:
        if table[k, m] > table[i, j]:
            kinds[_kind(k - i, m - j)] += 1
    found = ", ".join(f"{n} {kind if n != 1 else kind[:-1]}" for kind, n in kinds.items())
    alt = f"Errors: {table[-1, -1]} in {len(reference)} words: {found}."
    picture = Picture(alt, width=1.6 + 0.72 * len(answer), height=1.3 + 0.36 * len(reference))
    words = {"xticks": range(len(answer) + 1), "yticks": range(len(reference) + 1)}
    labels = {"xlabel": "the answer", "ylabel": "the reference", "yticklabels": ["", *reference]}
    axes = picture.panel(alt, **words, **labels)
    axes.imshow(table, cmap="Blues", vmin=0, vmax=2 * table.max(), aspect="auto")
    rows, columns = zip(*path, strict=True)
    axes.plot(columns, rows, color=SKY, linewidth=9, alpha=0.6, solid_capstyle="round")
    for (i, j), value in np.ndenumerate(table):
        axes.text(j, i, str(value), color=INK, fontsize=9, **CENTERED)
    for (i, j), (k, m) in steps:
        if table[k, m] > table[i, j]:
            axes.add_patch(Ellipse((m, k), 0.62, 0.78, fill=False, edgecolor=VERMILION, linewidth=1.6))
    axes.set_xticks(range(len(answer) + 1), ["", *answer], rotation=30, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return picture


def _kind(down: int, right: int) -> str:
    return "substitutions" if down and right else "deletions" if down else "insertions"


def score_distribution(share: float, clips: int) -> np.ndarray:
    """How likely 0, 1, … `clips` right answers are of a model that is right with probability `share`, (clips + 1,)."""
    if share in (0.0, 1.0):
        return np.eye(clips + 1)[round(share * clips)]
    ways = [
        math.lgamma(clips + 1) - math.lgamma(k + 1) - math.lgamma(clips - k + 1) for k in range(clips + 1)
    ]
    right = np.arange(clips + 1)
    return np.exp(np.array(ways) + right * math.log(share) + (clips - right) * math.log1p(-share))


def central_range(share: float, clips: int) -> tuple[float, float]:
    """The scores between which 95 of 100 tests with so many clips lie."""
    below = score_distribution(share, clips).cumsum()
    rest = (1 - CENTRAL) / 2
    low, high = (int(np.searchsorted(below, edge)) for edge in (rest, 1 - rest))
    return low / clips, high / clips


def chance_of_no_gain(share: float, gain: float, clips: int) -> float:
    """How likely a model that is right more often by `gain` scores no better, when each gets clips of its own."""
    worse, better = score_distribution(share, clips), score_distribution(min(1.0, share + gain), clips)
    return float((better * worse[::-1].cumsum()[::-1]).sum())


def two_models(clips: int, share: float, gain: float) -> Picture:
    """What two models may score on `clips` clips: one is right with probability `share`, one more often by `gain`."""
    low, high = central_range(share, clips)
    misled = chance_of_no_gain(share, gain, clips)
    alt = (
        f"{clips} clips. Right with probability {share:.0%}, a model scores {low:.1%} to {high:.1%} in 95 of 100 "
        f"tests. Another that is better by {100 * gain:g} points scores no better in {misled:.0%}."
    )
    picture = Picture(alt, height=2.8)
    title = alt.replace("tests. ", "tests.\n")
    axes = picture.panel(title, xlabel="score of the test", xlim=(max(0.0, share - 0.35), 1.0), yticks=[])
    scores = np.arange(clips + 1) / clips
    for own, color, name in ((share, BLUE, "one model"), (share + gain, VERMILION, "the better one")):
        likely = score_distribution(min(1.0, own), clips)
        axes.fill_between(scores, likely, step="mid", color=color, alpha=0.35, linewidth=0, label=name)
        axes.plot(scores, likely, color=color, linewidth=1.0, drawstyle="steps-mid")
        axes.axvline(own, color=color, linewidth=1.0, linestyle=":")
    axes.axvspan(low, high, ymax=0.03, color=BLUE)
    axes.legend(frameon=False, loc="upper left")
    return picture


TWO_MODELS = Explorer(
    two_models, {"clips": CLIPS, "share": SHARES, "gain": GAINS}, {"clips": 40, "share": 0.9, "gain": 0.05}
)


def verdicts(table: Mapping[str, Any], rules: Rules) -> Picture:
    """Each test of each claim: its figure, its interval, and where its rule draws the line.

    A dot if the test holds, a cross if not. Shares above, nats below.
    """
    tests = list(_tests(table, rules))
    held = sum(test["holds"] for test in tests)
    claims = sum(bool(row["seeds"]) for row in table["claims"])
    said = f"{claims} of {len(table['claims'])} claims measured: {held} of their {len(tests)} tests hold."
    failed = "; ".join(test["name"] for test in tests if not test["holds"])
    alt = f"{said} These do not: {failed}." if failed else said
    if not tests:
        return Picture(alt, height=0.4)
    groups = [group for nats in (False, True) if (group := [t for t in tests if t["nats"] is nats])]
    heights = [1 + len(group) for group in groups]
    picture = Picture(alt, height=1.0 + 0.23 * sum(heights))
    panels = picture.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, group in zip(panels, groups, strict=True):
        _draw_tests(axes, group)
        xlabel = "nats a token" if group[0]["nats"] else "shares, correlations, and differences of them"
        dress(axes, said if axes is panels[0] else "", xlabel=xlabel)
    return picture


def _tests(table: Mapping[str, Any], rules: Rules) -> Any:
    for row in table["claims"]:
        for test, rule, value, interval in zip(
            rules[row["id"]].tests, row["rule"], row["ours"], row["interval"], strict=False
        ):
            yield {
                "name": f"{row['id']} {test.name}",
                "value": value,
                "interval": interval,
                "holds": rule["holds"],
                "edge": test.above if test.above is not None else test.below,
                "more": test.above is not None,
                "nats": test.plus[0].measure.endswith(NATS),
            }


def _draw_tests(axes: Axes, tests: Sequence[Mapping[str, Any]]) -> None:
    for y, test in enumerate(tests):
        color = GREEN if test["holds"] else VERMILION
        axes.plot(test["interval"], (y, y), color=color, linewidth=2.0, alpha=0.6)
        axes.plot(test["value"], y, color=color, marker="o" if test["holds"] else "X", markersize=6)
        side = 0.25 if test["more"] else -0.25  # an arrow to the side that passes
        axes.plot((test["edge"],) * 2, (y - 0.4, y + 0.4), color=INK, linewidth=1.4)
        axes.annotate(
            "", (test["edge"], y), (40 * side, 0), textcoords="offset points",
            arrowprops={"arrowstyle": "<-", "color": INK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    axes.axvline(0, color=GRAY, linewidth=0.6)
    axes.set_yticks(range(len(tests)), [test["name"] for test in tests], fontsize=8)
    axes.set_ylim(len(tests) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.2)
