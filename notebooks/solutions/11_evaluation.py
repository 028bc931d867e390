"""Chapter 11, evaluation: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/11_evaluation.py
"""

from collections import Counter

import numpy as np

from salmonn_mini.course.exercises import check
from salmonn_mini.evaluation.metrics.words import word_errors


# Exercise 11.1: the rate of a set (●○○, 5 minutes)
def rate(counts: list[tuple[int, int]]) -> float:
    errors = sum(count[0] for count in counts)
    words = sum(count[1] for count in counts)
    return errors / words if words else 0.0


check("11.1", rate)


# Exercise 11.2: n-grams that count (●●○, 12 minutes)
def matches(reference: list[str], answer: list[str], n: int) -> tuple[int, int]:
    def grams(words: list[str]) -> Counter:
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    right = grams(reference) & grams(answer)  # the smaller count of each
    return sum(right.values()), sum(grams(answer).values())


check("11.2", matches)


# Exercise 11.3: did it only transcribe? (●○○, 8 minutes)
def follows(answer: str, spoken: str) -> bool:
    errors, words = word_errors(spoken, answer)  # the words spoken are the reference
    return any(sign.isalnum() for sign in answer) and errors / words >= 0.30


check("11.3", follows)


# Exercise 11.4: an interval (●●○, 15 minutes)
def interval(scores: list[float], resamples: int, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    drawn = rng.choice(scores, size=(resamples, len(scores)))  # with replacement
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


check("11.4", interval)


# Exercise 11.5: the same clips (●●●, 12 minutes)
def difference(before: list[float], after: list[float], resamples: int, seed: int) -> tuple[float, float]:
    gained = np.subtract(after, before)  # clip by clip; what was hard for both is gone
    return interval(gained, resamples, seed)


check("11.5", difference)
