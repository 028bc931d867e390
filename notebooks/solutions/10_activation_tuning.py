"""Chapter 10, activation tuning: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/10_activation_tuning.py
"""

import math
from collections import Counter

from salmonn_mini.course.exercises import check
from salmonn_mini.models.splice import Answer


# Exercise 10.1: the right scale (●●○, 8 minutes)
def best_scale(scales: list[float], following: list[float], wer: list[float], most: float) -> float:
    as_trained = wer[scales.index(max(scales))]
    allowed = [i for i, rate in enumerate(wer) if rate <= as_trained + most]
    return max((following[i], scales[i]) for i in allowed)[1]  # of equals the larger scale


check("10.1", best_scale)


# Exercise 10.2: chosen by form (●●○, 12 minutes)
def keep(answers: list[Answer], n: int, words: int) -> list[int]:
    kept = []
    for place, answer in enumerate(answers):
        said = [word for word in answer.text.split() if word.isalnum()]
        runs = Counter(tuple(said[i : i + 4]) for i in range(len(said) - 3))
        if answer.ended and len(said) >= words and max(runs.values(), default=0) < 3:
            kept.append(place)
    return kept[:n]


check("10.2", keep)


# Exercise 10.3: how far twelve steps can go (●○○, 6 minutes)
def reach(lr: float, steps: int, final: float) -> float:
    cosines = [(1 + math.cos(math.pi * k / steps)) / 2 for k in range(steps)]
    return lr * sum(final + (1 - final) * cosine for cosine in cosines)


check("10.3", reach)


# Exercise 10.4: where the order flips (●●○, 10 minutes)
def flip(steps: list[int], scores: dict[str, list[tuple[float, int]]]) -> int:
    cost = {name: [-log_p / tokens for log_p, tokens in pairs] for name, pairs in scores.items()}
    for i, step in enumerate(steps):
        if all(cost["story"][i] < cost[name][i] for name in cost if name != "story"):
            return step
    return -1


check("10.4", flip)
