"""Chapter 3, windows: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/03_windows.py
"""

from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from salmonn_mini.course.exercises import check


# Exercise 3.1: count the windows (●○○, 3 minutes)
def n_windows(T: int, L: int) -> int:
    return ceil(T / L)


check("3.1", n_windows)


# Exercise 3.2: cut Z into windows (●●○, 10 minutes)
def cut(Z: Tensor, L: int) -> Tensor:
    T, D = Z.shape
    missing = -T % L  # zeros up to the next multiple of L
    return F.pad(Z, (0, 0, 0, missing)).view(-1, L, D)


check("3.2", cut)


# Exercise 3.3: mark the clip's own frames (●○○, 5 minutes)
def mark(T: int, L: int) -> Tensor:
    frame = torch.arange(ceil(T / L) * L).view(-1, L)
    return frame < T


check("3.3", mark)


# Exercise 3.4: what a clip costs (●●○, 8 minutes)
def n_tokens(seconds: float, window_seconds: float, N: int) -> int:
    T = round(50 * seconds)
    L = round(50 * window_seconds)
    return ceil(T / L) * N


check("3.4", n_tokens)


# Exercise 3.5: windows that overlap (●●●, 12 minutes)
def n_overlapping(T: int, L: int, stride: int) -> int:
    beyond_first = max(T - L, 0)  # frames that the first window does not reach
    return 1 + ceil(beyond_first / stride)


check("3.5", n_overlapping)
