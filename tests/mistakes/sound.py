"""Wrong answers to the exercises of chapter 1, each with a piece of the hint that is meant for it."""

import torch

HANN = torch.hann_window(400)


def rfft(x):
    return torch.fft.rfft(x)


def slopes(hz, left, peak, right):
    return (hz - left) / (peak - left), (right - hz) / (right - peak)


def triangle(*values):
    return torch.minimum(*slopes(*values)).clamp(min=0)


def log(mel):
    return mel.clamp(min=1e-10).log10()


def scaled(x, floor):
    return (x.maximum(floor) + 4) / 4


MISTAKES = {
    "1.1": [
        (lambda f, rate: f, "folded back"),
        (lambda f, rate: min(f, rate / 2), "not cut off"),
        (lambda f, rate: abs(rate - f), "stays where it is"),
        (lambda f, rate: f if f < rate / 2 else rate - f, "below zero"),
        (lambda f, rate: f % rate, "4,000 samples a second cannot carry"),
    ],
    "1.2": [
        (lambda X, length, hop: X.unfold(0, length, length), "The frames touch"),
        (lambda X, length, hop: X.unfold(0, hop, hop), "Each frame is 400"),
        (
            lambda X, length, hop: X.unfold(0, length, hop)[: (len(X) - length) // hop],
            "last frame is missing",
        ),
        (
            lambda X, length, hop: torch.nn.functional.pad(X, (0, length)).unfold(0, length, hop),
            "beyond the 1,000 samples",
        ),
        (lambda X, length, hop: X.unfold(0, length, hop).T, "One frame a row"),
    ],
    "1.3": [
        (lambda x: rfft(x).abs() ** 2, "window is missing"),
        (lambda x: rfft(x * HANN).abs(), "This is the amplitude"),
        (lambda x: torch.fft.fft(x * HANN).abs() ** 2, "mirror images"),
        (lambda x: rfft(x * torch.hann_window(400, periodic=False)).abs() ** 2, "the periodic one"),
        (lambda x: rfft(x * HANN) ** 2, "complex numbers"),
    ],
    "1.4": [
        (lambda *values: torch.minimum(*slopes(*values)), "is negative"),
        (lambda *values: torch.maximum(*slopes(*values)).clamp(min=0), "take the smaller"),
        (
            lambda hz, left, peak, right: (1 - (hz - peak).abs() / (right - peak)).clamp(min=0),
            "equally steep",
        ),
        (lambda hz, left, peak, right: triangle(hz, left, peak, right) * 2 / (right - left), "Its area is 1"),
    ],
    "1.5": [
        (
            lambda mel: scaled(mel.log10(), mel.log10().max() - 8) - torch.where(mel > 0, 0, torch.inf),
            "minus infinity",
        ),
        (lambda mel: scaled(mel.clamp(min=1e-10).log(), mel.log().max() - 8), "natural logarithm"),
        (lambda mel: scaled(log(mel), torch.tensor(-8.0)), "the loudest value less 8"),
        (lambda mel: scaled(log(mel), log(mel).amax(0) - 8), "of the whole clip"),
        (lambda mel: log(mel).maximum(log(mel).max() - 8), "last scaling is missing"),
    ],
}
