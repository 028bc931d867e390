"""Chapter 2, encoders: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/02_encoders.py
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini.course.exercises import use


# Exercise 2.1: cut the filter bank into patches (●●○, 12 minutes)
def cut_patches(bank: Tensor) -> Tensor:
    moments = len(bank) // 16
    grid = bank[: 16 * moments].view(moments, 16, 8, 16)  # moment, frame, band, mel band
    return grid.transpose(1, 2).reshape(8 * moments, 256)


cut_patches = use("2.1", cut_patches)


def bucket(distance: Tensor) -> Tensor:  # as in the notebook
    far = distance.abs()
    shared = 80 + (80 * torch.log(far.clamp(min=80) / 80) / math.log(10)).long()
    return torch.where(far < 80, far, shared.clamp(max=159)) + 160 * (distance > 0)


# Exercise 2.2: a bias for every pair (●●○, 12 minutes)
def position_bias(table: Tensor, T: int) -> Tensor:
    token = torch.arange(T)
    distance = token - token[:, None]  # row i, column j: j - i
    return table[bucket(distance)].permute(2, 0, 1)


position_bias = use("2.2", position_bias)


# Exercise 2.3: train a linear probe (●●○, 12 minutes)
def ridge(A: Tensor, Y: Tensor, penalty: float) -> Tensor:
    unit = torch.eye(A.shape[1], dtype=A.dtype)
    return torch.linalg.solve(A.T @ A + penalty * unit, A.T @ Y)


ridge = use("2.3", ridge)


# Exercise 2.4: put the two streams together (●●●, 18 minutes)
def fuse(
    speech: Tensor,
    speech_lengths: Tensor,
    audio: Tensor,
    audio_lengths: Tensor,
    ln_speech: nn.Module,
    ln_audio: nn.Module,
) -> tuple[Tensor, Tensor]:
    T = max(speech.shape[1], audio.shape[1])
    streams, masks = [], []
    for x, lengths, norm in ((speech, speech_lengths, ln_speech), (audio, audio_lengths, ln_audio)):
        own = torch.arange(T) < lengths[:, None]  # (B, T)
        streams.append(F.pad(norm(x), (0, 0, 0, T - x.shape[1])) * own[..., None])
        masks.append(own)
    return torch.cat(streams, dim=2), masks[0] | masks[1]


fuse = use("2.4", fuse)
