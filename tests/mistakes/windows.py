"""Wrong answers to the exercises of chapter 3, each with a piece of the hint that is meant for it."""

from math import ceil, floor

import torch
from torch.nn.functional import pad


def padded(Z, L):
    return pad(Z, (0, 0, 0, -len(Z) % L))


MISTAKES = {
    "3.1": [
        (lambda T, L: T // L, "last window was dropped"),
        (lambda T, L: T // L + 1, "One too many"),
        (lambda T, L: T / L, "no whole number"),
        (lambda T, L: ceil(T / L) if T == 10 else round(T / L), "Rounded to the nearest"),
        (lambda T, L: str(ceil(T / L)), "got '4', but it must be 4"),
    ],
    "3.2": [
        (lambda Z, L: Z[: len(Z) // L * L].view(-1, L, Z.shape[1]), "last window was dropped"),
        (lambda Z, L: pad(Z, (0, 0, -len(Z) % L, 0)).view(-1, L, Z.shape[1]), "before the first frame"),
        (
            lambda Z, L: torch.cat([Z, Z[-1:].expand(-len(Z) % L, -1)]).view(-1, L, Z.shape[1]),
            "repeats the last frame",
        ),
        (lambda Z, L: padded(Z, L).view(L, -1, Z.shape[1]), "3 windows of 4"),
        (lambda Z, L: padded(Z, L).view(L, -1, Z.shape[1]).transpose(0, 1), "z1, z5 and z9"),
        (
            lambda Z, L: pad(Z, (0, 0, 0, L - len(Z) % L)).view(-1, L, Z.shape[1]),
            "no window of zeros may follow",
        ),
        (lambda Z, L: list(padded(Z, L).split(L)), "must be a tensor of shape (4, 3, 2)"),
        (lambda Z, L: Z.view(-1, L, Z.shape[1]), "raises RuntimeError"),
    ],
    "3.3": [
        (lambda T, L: torch.arange(ceil(T / L) * L).view(-1, L) >= T, "swapped"),
        (lambda T, L: (torch.arange(ceil(T / L) * L).view(-1, L) < T).float(), "torch.bool"),
        (lambda T, L: torch.ones(ceil(T / L), L, dtype=torch.bool), "1 frame of its own, and 2 zeros"),
        (
            lambda T, L: (torch.arange(1, ceil(T / L) + 1) * L <= T)[:, None].expand(-1, L),
            "z10, is the clip's own",
        ),
    ],
    "3.4": [
        (lambda seconds, window, N: round(50 * seconds) // round(50 * window) * N, "tail was dropped"),
        (lambda seconds, window, N: ceil(50 * seconds / floor(50 * window)) * N, "cut to 16"),
        (lambda seconds, window, N: ceil(seconds / window) * N, "The seconds were divided"),
        (lambda seconds, window, N: ceil(round(50 * seconds) / round(50 * window)), "N is missing"),
    ],
    "3.5": [
        (lambda T, L, stride: ceil(T / stride), "one too many"),
        (lambda T, L, stride: ceil(T / L), "windows that touch"),
        (lambda T, L, stride: (T - L) // stride + 1, "last frame was dropped"),
        (lambda T, L, stride: ceil((T - L) / stride) + 1, "shorter than a window"),
    ],
}
