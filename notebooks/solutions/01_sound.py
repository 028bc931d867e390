"""Chapter 1, sound: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/01_sound.py
"""

import torch
from torch import Tensor

from salmonn_mini.course.exercises import check


# Exercise 1.1: what a slow sampler hears (●●○, 8 minutes)
def alias(f: float, rate: float) -> float:
    f = f % rate  # tones a whole rate apart give the same samples
    return min(f, rate - f)  # and so do those that mirror each other at rate / 2


check("1.1", alias)


# Exercise 1.2: cut a wave into frames (●●○, 10 minutes)
def frames(X: Tensor, length: int, hop: int) -> Tensor:
    count = 1 + (len(X) - length) // hop
    return torch.stack(
        [X[f * hop : f * hop + length] for f in range(count)]
    )  # X.unfold(0, length, hop) for short


check("1.2", frames)


# Exercise 1.3: the power of each frequency (●○○, 6 minutes)
def power_of(frames: Tensor) -> Tensor:
    window = torch.hann_window(frames.shape[1])
    return torch.fft.rfft(frames * window).abs() ** 2


check("1.3", power_of)


# Exercise 1.4: one mel filter (●●○, 8 minutes)
def triangle(hz: Tensor, left: float, peak: float, right: float) -> Tensor:
    rise = (hz - left) / (peak - left)
    fall = (right - hz) / (right - peak)
    return torch.minimum(rise, fall).clamp(min=0)


check("1.4", triangle)


# Exercise 1.5: Whisper's last step (●○○, 6 minutes)
def squash(mel: Tensor) -> Tensor:
    x = mel.clamp(min=1e-10).log10()
    x = x.clamp(min=x.max() - 8)
    return (x + 4) / 4


check("1.5", squash)
