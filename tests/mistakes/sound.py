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


def angles(N, rows=None):
    k, n = torch.arange(rows or N // 2 + 1)[:, None], torch.arange(N)
    return 2 * torch.pi * k * n / N


def by_kaldi(X, window, scale=1.0, centered=True, emphasis=0.97, points=512, first=1.0):
    frames = X.double().unfold(0, 400, 160) * scale
    if centered:
        frames = frames - frames.mean(1, keepdim=True)
    frames = frames - emphasis * torch.cat([first * frames[:, :1], frames[:, :-1]], 1)
    return torch.fft.rfft(frames * window, n=points).abs() ** 2


def late_mean(X, window, scale, centered, emphasis, points):
    frames = X.double().unfold(0, 400, 160) * scale
    frames = frames - emphasis * torch.cat([frames[:, :1], frames[:, :-1]], 1)
    return torch.fft.rfft((frames - frames.mean(1, keepdim=True)) * window, n=points).abs() ** 2


def whole_wave(X, window, scale, centered, emphasis, points):
    X = X.double() * scale
    return by_kaldi(X - emphasis * torch.cat([X[:1], X[:-1]]), window, 1.0, centered, 0.0, points)


def folded_twice(f, rate):
    for _ in range(2):
        f = abs(f - rate) if f > rate / 2 else f
    return f


MISTAKES = {
    "1.1": [
        (lambda f, rate: f, "folded back"),
        (lambda f, rate: min(f, rate / 2), "not cut off"),
        (lambda f, rate: abs(rate - f), "stays where it is"),
        (lambda f, rate: f if f < rate / 2 else rate - f, "below zero"),
        (lambda f, rate: f % rate, "4,000 samples a second cannot carry"),
        (lambda f, rate: abs(f - 4000 * round(f / 4000)), "not always 4,000"),
        (folded_twice, "more than twice"),
    ],
    "1.2": [
        (lambda N: torch.exp(-1j * angles(N)).T, "k counts the rows"),
        (lambda N: torch.exp(1j * angles(N)), "minus sign"),
        (lambda N: torch.exp(-1j * angles(N, N)), "all N frequencies"),
        (lambda N: torch.exp(-1j * angles(N, N // 2)), "last row is missing"),
        (lambda N: torch.exp(-1j * angles(N) / (2 * torch.pi)), "2 pi is missing"),
        (lambda N: torch.cos(angles(N)), "real numbers"),
    ],
    "1.3": [
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
    "1.4": [
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
    "1.5": [
        (lambda X, window, *own: by_kaldi(X, window, *own[:3], 400), "not zero-padded"),
        (lambda *own: by_kaldi(*own, first=0.0), "serves as its own"),
        (lambda X, window, *own: by_kaldi(X, window, own[0], own[1], 0.0, own[3]), "Pre-emphasis is missing"),
        (late_mean, "mean is subtracted first"),
        (lambda X, window, *own: by_kaldi(X, window, own[0], False, *own[2:]), "mean is subtracted first"),
        (whole_wave, "over the whole wave"),
        (lambda *own: by_kaldi(*own).sqrt(), "This is the amplitude"),
        (lambda *own: by_kaldi(*own).float(), "Single precision"),
        (lambda X, window, *own: by_kaldi(X, window, 1.0, *own[1:]), "`scale` changes nothing"),
        (lambda X, window, *own: by_kaldi(X, window, own[0], True, *own[2:]), "`centered` changes nothing"),
    ],
}
