"""Chapter 7, pre-training: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/07_pretraining.py
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from salmonn_mini.course.exercises import check


# Exercise 7.1: clip the gradient (●●○, 8 minutes)
def clip(gradients: list[Tensor], most: float) -> list[Tensor]:
    norm = sum(gradient.square().sum() for gradient in gradients).sqrt()  # of all numbers together
    return [gradient * min(1.0, most / norm) for gradient in gradients]


check("7.1", clip)


# Exercise 7.2: warm-up and cosine (●○○, 8 minutes)
def factor(step: int, steps: int, warmup: int, final: float) -> float:
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / (steps - warmup)  # from 0 to 1
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


check("7.2", factor)


# Exercise 7.3: a large batch in small parts (●●○, 12 minutes)
def accumulate(loss_of: Callable, parts: list) -> float:
    n_tokens = sum(len(part[0]) for part in parts)  # known before anything is computed
    mean = 0.0
    for part in parts:
        total, _ = loss_of(part)
        (total / n_tokens).backward()  # gradients add up
        mean += total.item() / n_tokens
    return mean


check("7.3", accumulate)


# Exercise 7.4: batches that can be found again (●●●, 15 minutes)
def batch_at(step: int, n: int, batch_size: int, seed: int) -> list[int]:
    epoch, place = divmod(step, n // batch_size)
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)  # of these two alone
    order = torch.randperm(n, generator=generator)
    return order[place * batch_size : (place + 1) * batch_size].tolist()


check("7.4", batch_at)
