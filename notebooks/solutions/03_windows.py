"""Chapter 3, windows: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/03_windows.py
"""

from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from salmonn_mini.course.exercises import check, use


# Exercise 3.1: count the windows (●○○, 3 minutes)
def n_windows(T: int, L: int) -> int:
    return ceil(T / L)


check("3.1", n_windows)


# Exercise 3.2: cut a batch into windows (●●●, 20 minutes)
def split(Z: Tensor, L: int, lengths: Tensor) -> tuple[Tensor, Tensor]:
    Z = F.pad(Z, (0, 0, 0, -Z.shape[1] % L))  # zeros up to the next multiple of L
    own = torch.arange(Z.shape[1]) < lengths[:, None]  # (B, W · L)
    Z = Z * own[..., None]  # whatever stands behind a clip's end becomes zero
    return Z.unflatten(1, (-1, L)), own.unflatten(1, (-1, L))


split = use("3.2", split)


# Exercise 3.3: what a clip costs (●●○, 8 minutes)
def n_tokens(seconds: float, window_seconds: float, N: int) -> int:
    T = round(50 * seconds)
    L = round(50 * window_seconds)
    return ceil(T / L) * N


check("3.3", n_tokens)


# Exercise 3.4: windows that overlap (●●●, 12 minutes)
def n_overlapping(T: int, L: int, stride: int) -> int:
    beyond_first = max(T - L, 0)  # frames that the first window does not reach
    return 1 + ceil(beyond_first / stride)


check("3.4", n_overlapping)
