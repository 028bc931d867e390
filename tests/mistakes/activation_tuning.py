"""Wrong answers to the exercises of chapter 10, each with a piece of the hint that is meant for it."""

import math
from collections import Counter


def best(
    scales, following, wer, most, *, base=max, within=lambda rate, start, most: rate <= start + most, tie=1
):
    start = wer[scales.index(base(scales))]
    allowed = [i for i, rate in enumerate(wer) if within(rate, start, most)]
    return max(allowed, key=lambda i: (following[i], tie * scales[i]))


def scale(**changes):
    return lambda scales, following, wer, most: scales[best(scales, following, wer, most, **changes)]


def kept(answers, n, words, *, ended=True, strict=0, stops=False, letters=False, times=3, loops=True):
    found = []
    for place, answer in enumerate(answers):
        said = [word for word in answer.text.split() if stops or word != "."]
        runs = Counter(tuple(said[i : i + 4]) for i in range(len(said) - 3))
        long = (len(answer.text) if letters else len(said)) >= words + strict
        circles = loops and max(runs.values(), default=0) >= times
        if (answer.ended or not ended) and long and not circles:
            found.append(place)
    return found[:n]


def keep(**changes):
    return lambda answers, n, words: kept(answers, n, words, **changes)


def longest(answers, n, words):
    good = kept(answers, len(answers), words)
    return sorted(good, key=lambda i: -len(answers[i].text))[:n]


def added(lr, steps, final, places=None, lowest=None, length=None):
    lowest = final if lowest is None else lowest
    cosines = [0.5 * (1 + math.cos(math.pi * k / (length or steps))) for k in places or range(steps)]
    return lr * sum(lowest + (1 - lowest) * cosine for cosine in cosines)


def first(steps, scores, *, cost=lambda log_p, tokens: -log_p / tokens, rivals=None, found=min):
    costs = {name: [cost(*pair) for pair in pairs] for name, pairs in scores.items()}
    others = [name for name in rivals or costs if name != "story"]
    past = [i for i in range(len(steps)) if all(costs["story"][i] < costs[name][i] for name in others)]
    return found(past, default=-1)


def flip(**changes):
    def answer(steps, scores):
        place = first(steps, scores, **changes)
        return -1 if place == -1 else steps[place]

    return answer


MISTAKES = {
    "10.1": [
        (scale(within=lambda rate, start, most: True), "the limit was not kept"),
        (scale(within=lambda rate, start, most: rate <= most), "not on the WER but on its rise"),
        (scale(within=lambda rate, start, most: rate <= start * (1 + most)), "it is no factor on it"),
        (lambda scales, following, wer, most: best(scales, following, wer, most), "the place in the list"),
        (
            lambda scales, following, wer, most: following[best(scales, following, wer, most)],
            "is the following rate",
        ),
        (scale(base=lambda scales: scales[0]), "The list runs the other way"),
        (scale(within=lambda rate, start, most: rate < start + most), "`At most` lets it through"),
        (scale(tie=-1), "nearer to what was trained"),
    ],
    "10.2": [
        (keep(ended=False), "it was cut off"),
        (keep(loops=False), "goes round in circles"),
        (keep(times=2), "twice, which is allowed"),
        (keep(strict=1), "`at least 20` is wanted"),
        (keep(stops=True), "it is no word"),
        (keep(letters=True), "Count words, not letters"),
        (lambda answers, n, words: kept(answers, len(answers), words), "but n is 3"),
        (longest, "The first ones are wanted"),
        (
            lambda answers, n, words: [answers[i].text for i in kept(answers, n, words)],
            "Give their places",
        ),
    ],
    "10.3": [
        (lambda lr, steps, final: lr * steps, "the schedule left out"),
        (lambda lr, steps, final: added(lr, steps, final) / steps, "That is the mean step"),
        (lambda lr, steps, final: added(lr, steps, final, range(1, steps + 1)), "counted from 1"),
        (lambda lr, steps, final: added(lr, steps, final, length=steps - 1), "neither does the last step"),
        (lambda lr, steps, final: added(lr, steps, final, lowest=0.0), "nor does it end at 0"),
        (lambda lr, steps, final: added(1.0, steps, final), "The factors were added up"),
    ],
    "10.4": [
        (flip(cost=lambda log_p, tokens: -log_p), "Divide each by its tokens"),
        (flip(cost=lambda log_p, tokens: log_p / tokens), "Less is better"),
        (flip(rivals=["transcript"]), "not yet the caption"),
        (flip(found=max), "The first such step is wanted"),
        (first, "Give the step itself"),
    ],
}
