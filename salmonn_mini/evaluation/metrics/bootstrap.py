"""How sure is a score? Draw the test set again from itself, a thousand times, and look at the spread.

Scores are functions of counts added up over samples (errors and words, n-grams, answers that are right), so a
resampled set is a row of weights: how often each sample was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from salmonn_mini.errors import SalmonnError

RESAMPLES = 1000
LEVEL = 0.95
Counts = Sequence[Sequence[float]]  # (n, k): k numbers for each of n samples
Value = Callable[[Sequence[float]], float]  # from the k sums to the score


class Difference(NamedTuple):
    """What a score has gained from one model to another, on the same samples, and its interval."""

    value: float
    low: float
    high: float


def interval(counts: Counts, value: Value, *, seed: int = 0) -> tuple[float, float]:
    """The percentile interval of `value(counts added up)` (Efron & Tibshirani 1993, section 13.3).

    Raises:
        SalmonnError: no samples.
    """
    return percentiles(resampled(counts, value, seed))


def difference(before: Counts, after: Counts, value: Value, *, seed: int = 0) -> Difference:
    """`value` after minus before, with the paired bootstrap's interval: both draw the same samples each time.

    Raises:
        SalmonnError: no samples, or two sets of different size.
    """
    if len(before) != len(after):
        raise SalmonnError(
            f"{len(before)} samples before and {len(after)} after: a paired difference needs the same samples in both"
        )
    gained = resampled(after, value, seed) - resampled(before, value, seed)
    return Difference(total(after, value) - total(before, value), *percentiles(gained))


def total(counts: Counts, value: Value) -> float:
    """The score of a set: `value` of its counts added up."""
    return value(np.asarray(counts).sum(axis=0).tolist())


def resampled(counts: Counts, value: Value, seed: int = 0) -> np.ndarray:
    """The score of each resampled set, (RESAMPLES,); sets of one size and seed draw the same samples.

    Raises:
        SalmonnError: no samples.
    """
    table = np.asarray(counts)
    if len(table) == 0:
        raise SalmonnError("an interval of no samples: give at least one")
    n = len(table)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return np.array([value(sums) for sums in (weights @ table).tolist()])


def percentiles(scores: np.ndarray) -> tuple[float, float]:
    """The percentiles that leave LEVEL of the scores between them."""
    rest = 50 * (1 - LEVEL)
    low, high = np.percentile(scores, [rest, 100 - rest])
    return float(low), float(high)
