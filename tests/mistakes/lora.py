"""Wrong answers to the exercises of chapter 5, each with a piece of the hint that is meant for it."""

import torch


def change(x, A, B):
    return x @ A.T @ B.T


def multiplied(layer, s, x):
    before = layer.scale
    layer.scale *= s
    y = layer(x)
    layer.scale = before
    return y


def forgotten(layer, s, x):
    layer.scale = s
    return layer(x)


def as_trained(layer, s, x):
    layer.scale = s
    y = layer(x)
    layer.scale = 4.0
    return y


def without_finally(layer, s, x):
    before, layer.scale = layer.scale, s
    y = layer(x)
    layer.scale = before
    return y


def merged_or_not(layer, s, x):
    before, layer.scale = layer.scale, s
    try:
        return layer(x)
    finally:
        layer.scale = before


def refused_too_late(layer, s, x):
    before, layer.scale = layer.scale, s
    if layer.merged:
        raise ValueError
    try:
        return layer(x)
    finally:
        layer.scale = before


MISTAKES = {
    "5.1": [
        (lambda d, d_kv, layers, r: layers * (d * d + d * d_kv), "W's own numbers"),
        (lambda d, d_kv, layers, r: r * (3 * d + d_kv), "One layer only"),
        (lambda d, d_kv, layers, r: layers * r * 4 * d, "its B is (320, 8)"),
        (lambda d, d_kv, layers, r: layers * r * 2 * d, "q alone, or the two A"),
        (lambda d, d_kv, layers, r: layers * r * (d + d_kv), "half is missing"),
    ],
    "5.2": [
        (lambda x, W, A, B, alpha, r: x @ W.T, "Only W is at work"),
        (lambda x, W, A, B, alpha, r: alpha / r * change(x, A, B), "W itself is missing"),
        (lambda x, W, A, B, alpha, r: x @ W.T + change(x, A, B), "The factor s is missing"),
        (lambda x, W, A, B, alpha, r: x @ W.T + alpha * change(x, A, B), "The factor is alpha."),
        (lambda x, W, A, B, alpha, r: x @ W.T + r / alpha * change(x, A, B), "the other way round"),
        (lambda x, W, A, B, alpha, r: alpha / r * (x @ W.T + change(x, A, B)), "s multiplies W too"),
        (lambda x, W, A, B, alpha, r: x @ W.T + 4 * change(x, A, B), "The same with alpha 4"),
    ],
    "5.3": [
        (lambda W, A, B, s: (B @ A).norm() / W.norm(), "The factor s is missing"),
        (lambda W, A, B, s: (s * B @ A).norm(), "Divide it by the size of W"),
        (lambda W, A, B, s: W.norm() / (s * B @ A).norm(), "Upside down"),
        (lambda W, A, B, s: (s * B @ A).square().sum() / W.square().sum(), "the square of it"),
        (lambda W, A, B, s: s * A.norm() * B.norm() / W.norm(), "only an upper bound"),
        (
            lambda W, A, B, s: torch.linalg.matrix_norm(s * B @ A, 2) / torch.linalg.matrix_norm(W, 2),
            "the spectral norm",
        ),
    ],
    "5.4": [
        (multiplied, "The scale became 6"),
        (lambda layer, s, x: layer(x), "at its former scale"),
        (forgotten, "still at s = 2"),
        (as_trained, "it was 3 before the call"),
        (without_finally, "Bring the scale back in `finally`"),
        (merged_or_not, "without a word"),
        (refused_too_late, "Unmerging needs the old one"),
    ],
}
