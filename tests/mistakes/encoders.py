"""Wrong answers to the exercises of chapter 2, each with a piece of the hint that is meant for it."""

import torch
from torch.nn.functional import pad

from salmonn_mini.models.encoders.beats import relative_buckets


def grid(bank):
    moments = len(bank) // 16
    return bank[: 16 * moments].view(moments, 16, 8, 16)  # moment, frame, band, mel band


def distance(T):
    return torch.arange(T) - torch.arange(T)[:, None]


def looked_up(table, distance):
    return table[relative_buckets(distance, 320, 800)].permute(2, 0, 1)


def solve(A, Y, plus):
    return torch.linalg.solve(A.T @ A + plus, A.T @ Y)


def unit(A):
    return torch.eye(A.shape[1], dtype=A.dtype)


def own(x, lengths):
    return (torch.arange(x.shape[1]) < lengths[:, None])[..., None]


def longer(x, T, front=False):
    return pad(x, (0, 0, T - x.shape[1], 0) if front else (0, 0, 0, T - x.shape[1]))


def joined(a, b, front=False):
    T = max(a.shape[1], b.shape[1])
    return torch.cat([longer(a, T, front), longer(b, T, front)], 2)


def mask_of(a, a_lengths, b, b_lengths):
    T = max(a.shape[1], b.shape[1])
    return torch.arange(T) < torch.maximum(a_lengths, b_lengths)[:, None]


def fused(a, n, b, m, ln_a, ln_b):
    return joined(ln_a(a) * own(a, n), ln_b(b) * own(b, m)), mask_of(a, n, b, m)


def zeros_first(a, n, b, m, ln_a, ln_b):
    T = max(a.shape[1], b.shape[1])
    a, b = longer(a * own(a, n), T), longer(b * own(b, m), T)
    return torch.cat([ln_a(a), ln_b(b)], 2), mask_of(a, n, b, m)


def padding_kept(a, n, b, m, ln_a, ln_b):
    return joined(ln_a(a), ln_b(b)), mask_of(a, n, b, m)


def no_norms(a, n, b, m, ln_a, ln_b):
    return joined(a * own(a, n), b * own(b, m)), mask_of(a, n, b, m)


def cut_to_shorter(a, n, b, m, ln_a, ln_b):
    Z, mask = fused(a, n, b, m, ln_a, ln_b)
    T = min(a.shape[1], b.shape[1])
    return Z[:, :T], mask[:, :T]


def beats_first(a, n, b, m, ln_a, ln_b):
    return joined(ln_b(b) * own(b, m), ln_a(a) * own(a, n)), mask_of(a, n, b, m)


def zeros_before(a, n, b, m, ln_a, ln_b):
    return joined(ln_a(a) * own(a, n), ln_b(b) * own(b, m), front=True), mask_of(a, n, b, m)


def mask_of_beats(a, n, b, m, ln_a, ln_b):
    Z = fused(a, n, b, m, ln_a, ln_b)[0]
    return Z, torch.arange(Z.shape[1]) < m[:, None]


def whisper_is_longer(a, n, b, m, ln_a, ln_b):
    T = a.shape[1]
    whole = torch.cat([torch.zeros(len(b), T - b.shape[1], b.shape[2]), b], 1)  # fails where T is the smaller
    Z, mask = fused(a, n, b, m, ln_a, ln_b)
    return Z[:, : len(whole[0])], mask


MISTAKES = {
    "2.1": [
        (
            lambda bank: grid(bank).transpose(1, 2).transpose(0, 1).reshape(-1, 256),
            "second moment of the lowest band",
        ),
        (lambda bank: grid(bank).reshape(-1, 256), "two whole frames"),
        (lambda bank: grid(bank).permute(0, 2, 3, 1).reshape(-1, 256), "frame by frame"),
        (lambda bank: grid(bank).transpose(1, 2), "Flatten them"),
        (lambda bank: grid(bank).transpose(1, 2).flip(1).reshape(-1, 256), "from high to low"),
        (lambda bank: pad(bank, (0, 0, 0, -len(bank) % 16)).view(-1, 256), "2 whole patches"),
    ],
    "2.2": [
        (lambda table, T: looked_up(table, -distance(T)), "Rows and columns are swapped"),
        (lambda table, T: looked_up(table, distance(T).abs()), "sign of the distance is lost"),
        (lambda table, T: looked_up(table, distance(T)).permute(1, 2, 0), "The heads come last"),
        (lambda table, T: looked_up(table, torch.arange(T).expand(T, T)), "All rows are equal"),
        (lambda table, T: looked_up(table, distance(T))[0], "One head only"),
        (lambda table, T: table[distance(T)].permute(2, 0, 1), "Ask `bucket` first"),
    ],
    "2.3": [
        (lambda A, Y, penalty: solve(A, Y, 0 * A.T @ A), "penalty is missing"),
        (lambda A, Y, penalty: solve(A, Y, penalty), "on the diagonal"),
        (lambda A, Y, penalty: solve(A, Y, penalty * unit(A)).T, "W is transposed"),
        (lambda A, Y, penalty: solve(A, Y, 2 * penalty * unit(A)), "counts twice"),
        (lambda A, Y, penalty: A.T @ Y, "right-hand side"),
    ],
    "2.4": [
        (zeros_first, "Normalize first"),
        (padding_kept, "what the LayerNorm made of padding"),
        (no_norms, "LayerNorms are missing"),
        (cut_to_shorter, "cut to the shorter"),
        (beats_first, "BEATs stands first"),
        (zeros_before, "before the first frame"),
        (mask_of_beats, "mask is BEATs' alone"),
        (whisper_is_longer, "Either stream may be the shorter"),
        (lambda *given: fused(*given)[0], "Return two things"),
    ],
}
