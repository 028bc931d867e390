"""Captions against captions: the clauses of the toy world's, and the field's ROUGE-L and CIDEr-D.

METEOR and SPIDEr, the paper's measures, need Java: see java.py. These two do not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from salmonn_mini.evaluation.metrics.words import basic, tokens

AND_THEN = " and then "  # joins the clauses of a caption, one for each sound
ROUGE_BETA = 1.2  # recall counts for more than precision, as in the COCO captions' evaluation
CIDER_SIGMA = 6.0  # words; the penalty for another length
CIDER_N = 4


def clauses(caption: str) -> list[str]:
    """The sounds that a caption names, in order.

    >>> clauses("A dog barks and then rain falls.")
    ['a dog barks', 'rain falls']
    """
    return basic(caption).split(AND_THEN)


def same_events(reference: str, answer: str) -> bool:
    """Whether the answer names the same sounds in the same order, and nothing else."""
    return clauses(reference) == clauses(answer)


def shared(reference: Sequence[str], answer: Sequence[str]) -> tuple[int, int]:
    """Counts for an F1 of named things: twice those in both, and those in either, added up.

    >>> shared(["dog", "rain"], ["rain", "cat", "bell"])
    (2, 5)
    """
    both = Counter(reference) & Counter(answer)
    return 2 * both.total(), len(reference) + len(answer)


def rouge_l(reference: str, answer: str) -> float:
    """ROUGE-L of one answer, 0 to 1: F-measure of the longest common subsequence of words (Lin 2004)."""
    one, other = tokens(reference), tokens(answer)
    row = [0] * (len(other) + 1)  # of the longest common subsequences' lengths
    for word in one:
        before, row = row, [0]
        for j, same in enumerate(other):
            row.append(before[j] + 1 if word == same else max(before[j + 1], row[j]))
    if not row[-1]:
        return 0.0
    recall, precision, weight = row[-1] / len(one), row[-1] / len(other), ROUGE_BETA**2
    return (1 + weight) * precision * recall / (recall + weight * precision)


def cider_d(references: Sequence[str], answers: Sequence[str]) -> list[float]:
    """CIDEr-D of each answer, 0 to 10, against one reference each (Vedantam et al. 2015, section 5).

    n-grams are weighted by how rare they are among all the references, so a score holds within its set; an answer
    is cut down to the reference's counts (against repetition) and punished for another length. Words as they
    are, without stemming.
    """
    wanted = [_ngrams(tokens(reference)) for reference in references]
    seen = Counter(gram for grams in wanted for order in grams for gram in order)
    rarity = {gram: math.log(len(references)) - math.log(times) for gram, times in seen.items()}
    unseen = math.log(max(1, len(references)))

    def weigh(grams: Counter) -> dict[tuple, float]:
        return {gram: times * rarity.get(gram, unseen) for gram, times in grams.items()}

    scores = []
    for grams, answer in zip(wanted, answers, strict=True):
        pairs = zip(_ngrams(tokens(answer)), grams, strict=True)
        similar = sum([_similarity(weigh(given), weigh(order)) for given, order in pairs])
        excess = len(tokens(answer)) - grams[0].total()
        scores.append(10 * math.exp(-(excess**2) / (2 * CIDER_SIGMA**2)) * similar / CIDER_N)
    return scores


def _ngrams(words: Sequence[str]) -> list[Counter[tuple[str, ...]]]:
    """For each length of 1 to CIDER_N words, the runs of that length."""
    return [Counter(zip(*(words[i:] for i in range(n)), strict=False)) for n in range(1, CIDER_N + 1)]


def _similarity(answer: dict[tuple, float], reference: dict[tuple, float]) -> float:
    """The cosine of two weighted counts, the answer's cut down to the reference's."""
    lengths = math.sqrt(sum(w * w for w in answer.values()) * sum(w * w for w in reference.values()))
    both = [(weight, reference[gram]) for gram, weight in answer.items() if gram in reference]
    return sum(min(pair) * pair[1] for pair in both) / lengths if lengths else 0.0
