"""Wrong answers to the exercises of chapter 3, each with a piece of the hint that is meant for it."""

from math import ceil, floor

import torch
from torch.nn.functional import pad


def padded(Z, L):
    return pad(Z, (0, 0, 0, -Z.shape[1] % L))


def cut(Z, L, lengths):
    """Right."""
    Z = padded(Z, L)
    own = torch.arange(Z.shape[1]) < lengths[:, None]
    return (Z * own[..., None]).unflatten(1, (-1, L)), own.unflatten(1, (-1, L))


def repeated(Z, L, lengths):
    tail = Z[:, -1:].expand(-1, -Z.shape[1] % L, -1)
    return torch.cat([Z, tail], 1).unflatten(1, (-1, L)), None


def marked(Z, L, lengths, when):
    Z, mask = cut(Z, L, lengths)
    return Z, getattr(mask, when)(2, keepdim=True).expand(mask.shape)


MISTAKES = {
    "3.1": [
        (lambda T, L: T // L, "last window was dropped"),
        (lambda T, L: T // L + 1, "One too many"),
        (lambda T, L: T / L, "no whole number"),
        (lambda T, L: ceil(T / L) if T == 10 else round(T / L), "Rounded to the nearest"),
        (lambda T, L: str(ceil(T / L)), "got '4', but it must be 4"),
    ],
    "3.2": [
        (lambda Z, L, lengths: cut(Z, L, lengths)[0], "return windows, mask"),
        (lambda Z, L, lengths: (cut(Z, L, lengths)[0].flatten(0, 1), None), "in one row"),
        (
            lambda Z, L, lengths: (Z[:, : Z.shape[1] // L * L].unflatten(1, (-1, L)), None),
            "window was dropped",
        ),
        (
            lambda Z, L, lengths: (pad(Z, (0, 0, -Z.shape[1] % L, 0)).unflatten(1, (-1, L)), None),
            "before the first frame",
        ),
        (repeated, "repeats the last frame"),
        (lambda Z, L, lengths: (padded(Z, L).unflatten(1, (L, -1)), None), "3 windows of 4"),
        (lambda Z, L, lengths: (padded(Z, L).unflatten(1, (L, -1)).transpose(1, 2), None), "z1, z5 and z9"),
        (lambda Z, L, lengths: (padded(Z, L).unflatten(1, (-1, L)), None), "the sevens behind it were kept"),
        (lambda Z, L, lengths: (cut(Z, L, lengths)[0].double(), None), "another type of number"),
        (lambda Z, L, lengths: (list(cut(Z, L, lengths)[0]), None), "must be a tensor of shape (2, 4, 3, 2)"),
        (lambda Z, L, lengths: (cut(Z, L, lengths)[0], None), "The mask of clips of 10 and 4 frames"),
        (lambda Z, L, lengths: (cut(Z, L, lengths)[0], ~cut(Z, L, lengths)[1]), "swapped"),
        (lambda Z, L, lengths: (cut(Z, L, lengths)[0], cut(Z, L, lengths)[1].float()), "torch.bool"),
        (lambda Z, L, lengths: (cut(Z, L, lengths)[0], cut(Z, L, lengths)[1] > -1), "True everywhere"),
        (
            lambda Z, L, lengths: (cut(Z, L, lengths)[0], cut(Z, L, 0 * lengths + Z.shape[1])[1]),
            "Both clips are marked up to their 10th",
        ),
        (lambda Z, L, lengths: marked(Z, L, lengths, "any"), "Whole windows are marked"),
        (lambda Z, L, lengths: marked(Z, L, lengths, "all"), "z10 is the clip's own"),
        (lambda Z, L, lengths: cut(pad(Z, (0, 0, 0, L - Z.shape[1] % L)), L, lengths), "one window too many"),
        (lambda Z, L, lengths: (Z.view(-1, L, Z.shape[2]), None), "raises RuntimeError"),
    ],
    "3.3": [
        (lambda seconds, window, N: round(50 * seconds) // round(50 * window) * N, "tail was dropped"),
        (lambda seconds, window, N: ceil(50 * seconds / floor(50 * window)) * N, "cut to 16"),
        (lambda seconds, window, N: ceil(seconds / window) * N, "The seconds were divided"),
        (lambda seconds, window, N: ceil(round(50 * seconds) / round(50 * window)), "N is missing"),
    ],
    "3.4": [
        (lambda T, L, stride: ceil(T / stride), "one too many"),
        (lambda T, L, stride: ceil(T / L), "windows that touch"),
        (lambda T, L, stride: (T - L) // stride + 1, "last frame was dropped"),
        (lambda T, L, stride: ceil((T - L) / stride) + 1, "shorter than a window"),
    ],
}
