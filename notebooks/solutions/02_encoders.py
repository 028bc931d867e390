"""Chapter 2, encoders: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/02_encoders.py
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini.course.exercises import check


# Exercise 2.1: count what a convolution gives (●○○, 5 minutes)
def n_out(M: int, kernel: int, stride: int, padding: int) -> int:
    last_start = M + 2 * padding - kernel  # where the last output may begin at the latest
    return last_start // stride + 1


check("2.1", n_out)


# Exercise 2.2: where a token of BEATs stands (●●○, 6 minutes)
def place(n: int) -> tuple[int, int]:
    moment, band = divmod(n, 8)
    return 160 * moment, band


check("2.2", place)


# Exercise 2.3: a bias for every pair (●●●, 12 minutes)
def bias(table: Tensor, T: int) -> Tensor:
    token = torch.arange(T)
    distance = token - token[:, None]  # row i, column j: j - i
    return table[distance + T - 1]


check("2.3", bias)


# Exercise 2.4: one vector for a clip (●○○, 5 minutes)
def pool(features: Tensor, lengths: Tensor) -> Tensor:
    own = torch.arange(features.shape[1]) < lengths[:, None]  # (B, T)
    return (features * own[..., None]).sum(1) / lengths[:, None]


check("2.4", pool)


# Exercise 2.5: put the two streams together (●●○, 10 minutes)
def fuse(whisper: Tensor, beats: Tensor, ln_speech: nn.LayerNorm, ln_audio: nn.LayerNorm) -> Tensor:
    streams = [ln_speech(whisper), ln_audio(beats)]
    T = max(len(stream) for stream in streams)
    return torch.cat([F.pad(stream, (0, 0, 0, T - len(stream))) for stream in streams], dim=1)


check("2.5", fuse)
