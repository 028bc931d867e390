"""Chapter 12, full scale: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/12_full_scale.py
"""

import numpy as np
from torch import Tensor

from salmonn_mini.course.exercises import check


# Exercise 12.1: what training must hold (●○○, 6 minutes)
def training_bytes(frozen: int, trained: int, bits: int) -> float:
    return frozen * bits / 8 + trained * 4 * 4  # weight, gradient, two moments, 4 bytes each


check("12.1", training_bytes)


# Exercise 12.2: how long a run lasts (●○○, 5 minutes)
def run_hours(steps: int, batch_size: int, samples_per_second: float, gpus: int) -> float:
    return steps * batch_size / (samples_per_second * gpus) / 3600


check("12.2", run_hours)


# Exercise 12.3: one loss from many processes (●●○, 10 minutes)
def own_loss(losses: Tensor, tokens: int, processes: int) -> Tensor:
    return losses.sum() * processes / tokens  # the mean over processes takes `processes` out again


check("12.3", own_loss)


# Exercise 12.4: an order that survives a kill (●●●, 15 minutes)
def batch_at(seed: int, step: int, n: int, batch_size: int) -> list[int]:
    epoch, place = divmod(step, n // batch_size)
    order = np.random.default_rng((seed, epoch)).permutation(n)  # nothing is kept from call to call
    return order[place * batch_size : (place + 1) * batch_size].tolist()


check("12.4", batch_at)
