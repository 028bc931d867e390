"""Wrong answers to the exercises of chapter 11, each with a piece of the hint that is meant for it."""

from collections import Counter

import numpy as np

from salmonn_mini.evaluation.metrics.words import word_errors


def grams(words, n):
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def clipped(reference, answer, n):
    return (Counter(grams(reference, n)) & Counter(grams(answer, n))).total()


def unclipped(reference, answer, n):
    mine = grams(answer, n)
    return sum(gram in grams(reference, n) for gram in mine), len(mine)


def as_sets(reference, answer, n):
    mine = set(grams(answer, n))
    return len(mine & set(grams(reference, n))), len(mine)


def by_place(reference, answer, n):
    pairs = list(zip(grams(reference, n), grams(answer, n), strict=False))
    return sum(one == other for one, other in pairs), len(grams(answer, n))


def one_too_many(reference, answer, n):
    return clipped(reference, answer, n), len(answer)


def below_nothing(reference, answer, n):
    return clipped(reference, answer, n), len(answer) - n + 1


def rate_of(reference, answer):
    errors, words = word_errors(reference, answer)
    return errors / words if words else 0.0


def drawn(scores, resamples, seed, **how):
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(scores, len(scores), **how).mean() for _ in range(resamples)])


def ends(means, low=2.5, high=97.5):
    return tuple(np.percentile(means, [low, high]))


def one_deviation(scores, resamples, seed):
    means = drawn(scores, resamples, seed)
    return means.mean() - means.std(), means.mean() + means.std()


def by_formula(scores, resamples, seed):
    error = np.std(scores) / len(scores) ** 0.5
    return np.mean(scores) - 1.96 * error, np.mean(scores) + 1.96 * error


def of_half(scores, resamples, seed):
    rng = np.random.default_rng(seed)
    return ends(rng.choice(scores, (resamples, len(scores) // 2)).mean(axis=1))


def drawn_by_chance(scores, resamples, seed):
    return ends(drawn(scores, resamples, None))


def extremes(scores, resamples, seed):
    means = drawn(scores, resamples, seed)
    return means.min(), means.max()


def own_clips(before, after, resamples, seed):
    return ends(drawn(after, resamples, seed) - drawn(before, resamples, seed + 1))


def turned(before, after, resamples, seed):
    return ends(drawn(before, resamples, seed) - drawn(after, resamples, seed))


def worst_case(before, after, resamples, seed):
    (a, b), (c, d) = ends(drawn(before, resamples, seed)), ends(drawn(after, resamples, seed))
    return c - b, d - a


def end_by_end(before, after, resamples, seed):
    (a, b), (c, d) = ends(drawn(before, resamples, seed)), ends(drawn(after, resamples, seed))
    return tuple(sorted((c - a, d - b)))


MISTAKES = {
    "11.1": [
        (lambda counts: sum(e / w if w else 0 for e, w in counts) / len(counts), "mean of the clips' rates"),
        (lambda counts: sum(min(1, e / w if w else 1) for e, w in counts) / len(counts), "cut off"),
        (lambda counts: sum(min(e, w) for e, w in counts) / sum(w for _, w in counts), "cut off"),
        (lambda counts: sum(e > 0 for e, _ in counts) / len(counts), "share of clips with an error"),
        (lambda counts: 1 - sum(e for e, _ in counts) / sum(w for _, w in counts), "share of right words"),
        (lambda counts: sum(e for e, _ in counts) / len(counts), "Divided by the number of clips"),
        (lambda counts: sum(e for e, _ in counts) / sum(w for _, w in counts), "ZeroDivisionError"),
    ],
    "11.2": [
        (unclipped, "the third `the` counts"),
        (as_sets, "Each different word counted once"),
        (lambda r, a, n: (clipped(r, a, n), len(grams(r, n))), "that is recall"),
        (by_place, "Compared place by place"),
        (lambda r, a, n: (clipped(r, a, 1), len(a)), "single words were counted"),
        (one_too_many, "There are 4 pairs in 5 words"),
        (below_nothing, "not a number below it"),
    ],
    "11.3": [
        (lambda answer, spoken: rate_of(spoken, answer) < 0.3, "The wrong way round"),
        (lambda answer, spoken: answer != spoken, "with a capital and a question mark"),
        (lambda answer, spoken: rate_of(spoken, answer) > 0, "with one word wrong"),
        (lambda answer, spoken: rate_of(spoken, answer) > 0.3, "the rule says *under* 30 %"),
        (lambda answer, spoken: rate_of(answer, spoken) >= 0.3, "Divide by the words *spoken*"),
        (lambda answer, spoken: rate_of(spoken, answer) >= 0.3, "has followed nothing"),
    ],
    "11.4": [
        (drawn_by_chance, "The same seed gave another interval"),
        (lambda s, n, seed: ends(drawn(s, n, seed, replace=False)), "hardly any width"),
        (lambda s, n, seed: ends(s), "percentiles of the clips' scores"),
        (by_formula, "nothing was drawn"),
        (lambda s, n, seed: ends(drawn(s, n, seed), 5, 95), "a 90 % interval"),
        (one_deviation, "one standard error"),
        (extremes, "From the smallest mean to the largest"),
        (of_half, "draw as many scores as there are"),
        (lambda s, n, seed: ends(drawn(s, n, seed))[::-1], "The lower end is above"),
    ],
    "11.5": [
        (own_clips, "Each model got clips of its own"),
        (turned, "The sign is turned"),
        (worst_case, "From two intervals"),
        (end_by_end, "Lower end minus lower end"),
    ],
}
