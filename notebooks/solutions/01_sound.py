"""Chapter 1, sound: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/01_sound.py
"""

import math

import torch
from torch import Tensor

from salmonn_mini.course.exercises import check, use


# Exercise 1.1: what a slow sampler hears (●●○, 8 minutes)
def alias(f: float, rate: float) -> float:
    f = f % rate  # tones a whole rate apart give the same samples
    return min(f, rate - f)  # and so do those that mirror each other at rate / 2


check("1.1", alias)


# Exercise 1.2: the Fourier transform as a matrix (●●○, 12 minutes)
def fourier_matrix(N: int) -> Tensor:
    k, n = torch.arange(N // 2 + 1)[:, None], torch.arange(N)
    return torch.exp(-2j * torch.pi * k * n / N)


fourier_matrix = use("1.2", fourier_matrix)


# Exercise 1.3: from a wave to power (●●○, 15 minutes)
def power_spectrogram(X: Tensor, length: int, hop: int) -> Tensor:
    count = 1 + (len(X) - length) // hop
    frames = torch.stack([X[f * hop : f * hop + length] for f in range(count)])  # or X.unfold(0, length, hop)
    return torch.fft.rfft(frames * torch.hann_window(length)).abs() ** 2


power_spectrogram = use("1.3", power_spectrogram)


def hertz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))


# Exercise 1.4: a bank of mel filters (●●●, 20 minutes)
def mel_filters(n_mels: int) -> Tensor:
    top = 15 + 27 * math.log(8) / math.log(6.4)  # 8,000 Hz in mel
    corners = hertz(torch.linspace(0, top, n_mels + 2, dtype=torch.float64))[:, None]
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    bins = 40.0 * torch.arange(201)
    rise, fall = (bins - left) / (peak - left), (right - bins) / (right - peak)
    triangles = torch.minimum(rise, fall).clamp(min=0)
    return (triangles * 2 / (right - left)).float()


mel_filters = use("1.4", mel_filters)


# Exercise 1.5: from a wave to BEATs' power (●●●, 20 minutes)
def kaldi_power(
    X: Tensor, window: Tensor, scale: float, centered: bool, emphasis: float, points: int
) -> Tensor:
    frames = X.double().unfold(0, 400, 160) * scale
    if centered:
        frames = frames - frames.mean(1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], 1)
    frames = (frames - emphasis * before) * window
    return torch.fft.rfft(frames, n=points).abs() ** 2  # rfft fills each frame up with zeros


kaldi_power = use("1.5", kaldi_power)
