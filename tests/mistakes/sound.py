"""Wrong answers to the exercises of chapter 1, each with a piece of the hint that is meant for them."""

import math

import torch
from torch.nn import functional as F

TOP = 15 + 27 * math.log(8) / math.log(6.4)  # 8,000 Hz in mel


def cut(X, length, hop):
    return X.unfold(0, length, hop)


def spectrum(frames):
    return torch.fft.rfft(frames * torch.hann_window(frames.shape[1]))


def power(frames):
    return spectrum(frames).abs() ** 2


def even(frames):
    return torch.fft.rfft(frames * torch.hann_window(frames.shape[1], periodic=False)).abs() ** 2


def stft(X, length, hop):
    return torch.stft(X, length, hop, window=torch.hann_window(length), return_complex=True).abs().T ** 2


def hertz(mel):
    return torch.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def corners(count):
    return hertz(torch.linspace(0, TOP, count, dtype=torch.float64))


def slopes(corners):
    left, peak, right = (part[:, None] for part in (corners[:-2], corners[1:-1], corners[2:]))
    hz = 40.0 * torch.arange(201)
    return (hz - left) / (peak - left), (right - hz) / (right - peak)


def triangles(corners):
    return torch.minimum(*slopes(corners)).clamp(min=0)


def of_area_1(rows, corners):
    return (rows * 2 / (corners[2:] - corners[:-2])[:, None]).float()


def bank(corners):
    return of_area_1(triangles(corners), corners)


def log(power, filters):
    return (filters @ power.T).clamp(min=1e-10).log10()


def scaled(x, floor):
    return (x.maximum(torch.as_tensor(floor)) + 4) / 4


def floorless(power, filters):
    x = (filters @ power.T).log10()
    return (x.clamp(min=x.max() - 8) + 4) / 4 - torch.where(filters @ power.T > 0, 0, torch.inf)


def natural(power, filters):
    x = (filters @ power.T).clamp(min=1e-10).log()
    return scaled(x, x.max() - 8)


MISTAKES = {
    "1.1": [
        (lambda f, rate: f, "folded back"),
        (lambda f, rate: min(f, rate / 2), "not cut off"),
        (lambda f, rate: abs(rate - f), "stays where it is"),
        (lambda f, rate: f if f < rate / 2 else rate - f, "below zero"),
        (lambda f, rate: f % rate, "4,000 samples a second cannot carry"),
    ],
    "1.2": [
        (lambda X, length, hop: power(cut(X, length, length)), "they touch"),
        (lambda X, length, hop: power(cut(X, length, hop))[:-1], "last frame is missing"),
        (lambda X, length, hop: power(cut(F.pad(X, (0, length)), length, hop)), "hold 4 whole ones"),
        (stft, "center=False"),
        (lambda X, length, hop: power(cut(X, length, hop)).T, "the frames come first"),
        (lambda X, length, hop: torch.fft.rfft(cut(X, length, hop)).abs() ** 2, "window is missing"),
        (lambda X, length, hop: spectrum(cut(X, length, hop)).abs(), "This is the amplitude"),
        (lambda X, length, hop: spectrum(cut(X, length, hop)).real ** 2, "needs both parts"),
        (
            lambda X, length, hop: torch.fft.fft(cut(X, length, hop) * torch.hann_window(length)).abs() ** 2,
            "mirror images",
        ),
        (lambda X, length, hop: even(cut(X, length, hop)), "the periodic one"),
        (lambda X, length, hop: spectrum(cut(X, length, hop)) ** 2, "complex numbers"),
    ],
    "1.3": [
        (lambda n: triangles(corners(n + 2)).float(), "Every peak is 1"),
        (lambda n: bank(torch.linspace(0, 8000, n + 2, dtype=torch.float64)), "evenly spaced in Hz"),
        (lambda n: bank(corners(n)), "Take n_mels + 2 corners"),
        (lambda n: bank(corners(n + 2)).T, "the filters come first"),
        (
            lambda n: of_area_1(torch.minimum(*slopes(corners(n + 2))), corners(n + 2)),
            "Outside of its triangle a filter is negative",
        ),
        (
            lambda n: of_area_1(torch.maximum(*slopes(corners(n + 2))).clamp(min=0), corners(n + 2)),
            "take the smaller",
        ),
        (lambda n: F.normalize(bank(corners(n + 2)), p=1, dim=1), "sum to 1"),
    ],
    "1.4": [
        (floorless, "minus infinity"),
        (natural, "natural logarithm"),
        (lambda *given: scaled(log(*given), -8.0), "8 below the loudest"),
        (lambda *given: (log(*given) + 4) / 4, "The floor is missing"),
        (lambda *given: scaled(log(*given), log(*given).amax(0) - 8), "of the whole clip"),
        (lambda *given: scaled(log(*given), log(*given).max() - 8).T, "bands as rows"),
        (lambda *given: log(*given).maximum(log(*given).max() - 8), "last scaling is missing"),
    ],
}
