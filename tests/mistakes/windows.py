"""Wrong answers to the exercises of chapter 3, each with a piece of the hint that is meant for it."""

from math import ceil

import torch
from torch.nn.functional import pad


def padded(Z, L):
    return pad(Z, (0, 0, 0, -Z.shape[1] % L))


def boxes(Z, L, lengths):
    """Right, but for the last step: windows (B, W, L, D) and mask (B, W, L)."""
    Z = padded(Z, L)
    own = torch.arange(Z.shape[1]) < lengths[:, None]
    return (Z * own[..., None]).unflatten(1, (-1, L)), own.unflatten(1, (-1, L))


def fold(Z, L, lengths):
    """Right."""
    Z, own = boxes(Z, L, lengths)
    return Z.flatten(0, 1), own.flatten(0, 1)


def repeated(Z, L, lengths):
    tail = Z[:, -1:].expand(-1, -Z.shape[1] % L, -1)
    return torch.cat([Z, tail], 1).unflatten(1, (-1, L)).flatten(0, 1), None


def left_out(Z, L, lengths):
    Z, mask = fold(Z, L, lengths)
    return Z[mask.any(1)], mask[mask.any(1)]


def marked(Z, L, lengths, when):
    Z, mask = fold(Z, L, lengths)
    return Z, getattr(mask, when)(1, keepdim=True).expand(mask.shape)


def counts(tokens, lengths, L):
    return -(-lengths // L) * tokens.shape[1]


def zeroed(H, own):
    return H * (torch.arange(H.shape[1]) < own[:, None])[..., None]


def unfold(tokens, lengths, L):
    """Right."""
    own = counts(tokens, lengths, L)
    return zeroed(tokens.unflatten(0, (len(lengths), -1)).flatten(1, 2), own), own


def by_query(tokens, lengths, L):
    own = counts(tokens, lengths, L)
    return tokens.unflatten(0, (len(lengths), -1)).transpose(1, 2).flatten(1, 2), own


def mixed(tokens, lengths, L):
    own = counts(tokens, lengths, L)
    return tokens.unflatten(0, (-1, len(lengths))).transpose(0, 1).flatten(1, 2), own


def row(Z, L, stride, W):
    Z = pad(Z, (0, 0, 0, max((W - 1) * stride + L - len(Z), 0)))
    return torch.stack([Z[i * stride : i * stride + L] for i in range(W)]) if W > 0 else Z[:0, None]


MISTAKES = {
    "3.1": [
        (lambda T, L: T // L, "last window was dropped"),
        (lambda T, L: T // L + 1, "One too many"),
        (lambda T, L: T / L, "no whole number"),
        (lambda T, L: ceil(T / L) if T == 10 else round(T / L), "Rounded to the nearest"),
        (lambda T, L: str(ceil(T / L)), "got '4', but it must be 4"),
    ],
    "3.2": [
        (lambda Z, L, lengths: fold(Z, L, lengths)[0], "return windows, mask"),
        (boxes, "a box for each clip: (B, W, L, D)"),
        (left_out, "were left out"),
        (
            lambda Z, L, lengths: (boxes(Z, L, lengths)[0].transpose(0, 1).flatten(0, 1), None),
            "alternate between the clips",
        ),
        (lambda Z, L, lengths: (fold(Z, L, lengths)[0].mT, None), "lies on its side"),
        (
            lambda Z, L, lengths: (Z[:, : Z.shape[1] // L * L].unflatten(1, (-1, L)).flatten(0, 1), None),
            "window was dropped",
        ),
        (
            lambda Z, L, lengths: (
                pad(Z, (0, 0, -Z.shape[1] % L, 0)).unflatten(1, (-1, L)).flatten(0, 1),
                None,
            ),
            "before the first frame",
        ),
        (repeated, "repeats the last frame"),
        (lambda Z, L, lengths: (padded(Z, L).unflatten(1, (L, -1)).flatten(0, 1), None), "3 windows of 4"),
        (
            lambda Z, L, lengths: (
                padded(Z, L).unflatten(1, (L, -1)).transpose(1, 2).flatten(0, 1),
                None,
            ),
            "z1, z5 and z9",
        ),
        (
            lambda Z, L, lengths: (padded(Z, L).unflatten(1, (-1, L)).flatten(0, 1), None),
            "the sevens behind it were kept",
        ),
        (lambda Z, L, lengths: (fold(Z, L, lengths)[0].double(), None), "another type of number"),
        (lambda Z, L, lengths: (list(fold(Z, L, lengths)[0]), None), "must be a tensor of shape (8, 3, 2)"),
        (lambda Z, L, lengths: (fold(Z, L, lengths)[0], None), "The mask of clips of 10 and 4 frames"),
        (lambda Z, L, lengths: (fold(Z, L, lengths)[0], ~fold(Z, L, lengths)[1]), "swapped"),
        (lambda Z, L, lengths: (fold(Z, L, lengths)[0], fold(Z, L, lengths)[1].float()), "torch.bool"),
        (lambda Z, L, lengths: (fold(Z, L, lengths)[0], fold(Z, L, lengths)[1] > -1), "True everywhere"),
        (lambda Z, L, lengths: (fold(Z, L, lengths)[0], boxes(Z, L, lengths)[1]), "The mask still lies"),
        (
            lambda Z, L, lengths: (fold(Z, L, lengths)[0], fold(Z, L, 0 * lengths + Z.shape[1])[1]),
            "Both clips are marked up to their 10th",
        ),
        (lambda Z, L, lengths: marked(Z, L, lengths, "any"), "Whole windows are marked"),
        (lambda Z, L, lengths: marked(Z, L, lengths, "all"), "z10 is the clip's own"),
        (
            lambda Z, L, lengths: fold(pad(Z, (0, 0, 0, L - Z.shape[1] % L)), L, lengths),
            "one window too many",
        ),
        (lambda Z, L, lengths: (Z.view(-1, L, Z.shape[2]), None), "raises RuntimeError"),
    ],
    "3.3": [
        (lambda tokens, lengths, L: unfold(tokens, lengths, L)[0], "return H, counts"),
        (
            lambda tokens, lengths, L: (
                tokens.unflatten(0, (len(lengths), -1)),
                counts(tokens, lengths, L),
            ),
            "a box for each window",
        ),
        (
            lambda tokens, lengths, L: (
                tokens.reshape(len(lengths), -1, tokens.shape[2]),
                counts(tokens, lengths, L),
            ),
            "windows in which it has no frame",
        ),
        (by_query, "query by query"),
        (mixed, "The clips are mixed"),
        (
            lambda tokens, lengths, L: (unfold(tokens, lengths, L)[0], -(-lengths // L)),
            "These are windows",
        ),
        (
            lambda tokens, lengths, L: (
                unfold(tokens, lengths, L)[0],
                0 * lengths + len(tokens) // len(lengths) * tokens.shape[1],
            ),
            "Both clips have 8 tokens",
        ),
        (
            lambda tokens, lengths, L: (
                unfold(tokens, lengths, L)[0],
                lengths // L * tokens.shape[1],
            ),
            "last window was dropped",
        ),
    ],
    "3.4": [
        (lambda Z, L, stride: row(Z, L, stride, ceil(len(Z) / stride)), "One window too many"),
        (lambda Z, L, stride: row(Z, L, L, ceil(len(Z) / L)), "These windows touch"),
        (lambda Z, L, stride: Z.unfold(0, L, stride), "lies on its side"),
        (lambda Z, L, stride: row(Z, L, stride, (len(Z) - L) // stride + 1), "last frame was dropped"),
        (lambda Z, L, stride: row(Z, L, stride, ceil((len(Z) - L) / stride) + 1), "shorter than a window"),
    ],
}
