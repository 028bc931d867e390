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


# Exercise 3.2: fold a batch into windows (●●●, 20 minutes)
def fold(Z: Tensor, L: int, lengths: Tensor) -> tuple[Tensor, Tensor]:
    Z = F.pad(Z, (0, 0, 0, -Z.shape[1] % L))  # zeros up to the next multiple of L
    own = torch.arange(Z.shape[1]) < lengths[:, None]  # (B, W · L)
    Z = Z * own[..., None]  # whatever stands behind a clip's end becomes zero
    return Z.reshape(-1, L, Z.shape[2]), own.reshape(-1, L)


fold = use("3.2", fold)


# Exercise 3.3: unfold the tokens to H (●●○, 12 minutes)
def unfold(tokens: Tensor, lengths: Tensor, L: int) -> tuple[Tensor, Tensor]:
    N, D = tokens.shape[1:]
    H = tokens.reshape(len(lengths), -1, D)  # (B, W · N, D)
    counts = (lengths + L - 1) // L * N  # ⌈T / L⌉ · N for each clip
    own = torch.arange(H.shape[1]) < counts[:, None]
    return H * own[..., None], counts


unfold = use("3.3", unfold)


# Exercise 3.4: windows that overlap (●●○, 12 minutes)
def overlapping(Z: Tensor, L: int, stride: int) -> Tensor:
    beyond_first = max(len(Z) - L, 0)  # frames that the first window does not reach
    W = 1 + ceil(beyond_first / stride)
    Z = F.pad(Z, (0, 0, 0, (W - 1) * stride + L - len(Z)))
    return torch.stack([Z[i * stride : i * stride + L] for i in range(W)])


check("3.4", overlapping)
