"""Wrong answers to the exercises of chapter 2, each with a piece of the hint that is meant for it."""

from math import ceil

import torch
from torch.nn.functional import pad


def distance(T):
    return torch.arange(T) - torch.arange(T)[:, None]


def own(x, lengths):
    return (torch.arange(x.shape[1]) < lengths[:, None])[..., None]


def longer(x, T, front=False):
    return pad(x, (0, 0, T - len(x), 0) if front else (0, 0, 0, T - len(x)))


def side_by_side(a, b, front=False):
    T = max(len(a), len(b))
    return torch.cat([longer(a, T, front), longer(b, T, front)], 1)


MISTAKES = {
    "2.1": [
        (lambda M, kernel, stride, padding: (M - kernel) // stride + 1, "zeros at the two ends are missing"),
        (lambda M, kernel, stride, padding: M + 2 * padding - kernel + 1, "stride is missing"),
        (lambda M, kernel, stride, padding: (M + 2 * padding - kernel) / stride + 1, "no half frame"),
        (lambda M, kernel, stride, padding: ceil((M + 2 * padding - kernel) / stride) + 1, "One too many"),
        (lambda M, kernel, stride, padding: ceil(M / 2), "The first has stride 1"),
    ],
    "2.2": [
        (lambda n: (n % 8, 160 * (n // 8)), "The two are swapped"),
        (lambda n: (n // 8, n % 8), "5 is the moment"),
        (lambda n: (20 * n, n % 8), "where frame 42 of Whisper stands"),
        (lambda n: (160 * (n % 8), n // 8), "tokens 0 to 7 are the 8 bands"),
        (lambda n: [160 * (n // 8), n % 8], "not a list"),
    ],
    "2.3": [
        (lambda table, T: table[T - 1 - distance(T)], "Rows and columns are swapped"),
        (lambda table, T: table[T - 1 + distance(T).abs()], "sign of the distance is lost"),
        (lambda table, T: table[:T].expand(T, T), "All rows are equal"),
        (lambda table, T: table[distance(T)], "Its bias stands in the middle"),
        (lambda table, T: table, "must be (4, 4)"),
    ],
    "2.4": [
        (lambda x, lengths: x.mean(1), "padding was counted"),
        (lambda x, lengths: (x * own(x, lengths)).mean(1), "Divided by T = 4"),
        (lambda x, lengths: (x * own(x, lengths)).sum(1), "This is the sum"),
        (lambda x, lengths: x.mean(2), "over the features"),
    ],
    "2.5": [
        (lambda a, b, ln_a, ln_b: torch.cat([ln_a(a), ln_b(longer(b, len(a)))], 1), "Normalize first"),
        (lambda a, b, ln_a, ln_b: side_by_side(a, b), "LayerNorms are missing"),
        (
            lambda a, b, ln_a, ln_b: torch.cat([x[: min(len(a), len(b))] for x in (ln_a(a), ln_b(b))], 1),
            "cut to the shorter",
        ),
        (lambda a, b, ln_a, ln_b: side_by_side(ln_a(a), ln_b(b), front=True), "before the first frame"),
        (lambda a, b, ln_a, ln_b: side_by_side(ln_b(b), ln_a(a)), "BEATs stands first"),
        (
            lambda a, b, ln_a, ln_b: torch.cat([ln_a(a), longer(ln_b(b), len(a))], 1),
            "1 frame of Whisper, 2 of BEATs",
        ),
    ],
}
