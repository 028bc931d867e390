"""Is an answer right? One rule a kind of task, for the accuracy of questions, labels, slots and keywords."""

from __future__ import annotations

import re

from salmonn_mini.evaluation.metrics.following import Prediction, follows, keywords
from salmonn_mini.evaluation.metrics.words import basic, tokens

LABELS: dict[str, tuple[str, ...]] = {
    "emotion": ("neutral", "happy", "sad", "angry"),
    "gender": ("man", "woman"),
    "speaker_verification": ("one", "two"),
}
YES_NO = ("yes", "no")
THERE = ("there is", "there is not")  # the toy's yes and no to a sound
LONGEST = 3  # an answer of more than so many times the reference's words names too much to be right
_NAMED = re.compile(r"the \w+ is (.+)")


def value_of(reference: str) -> str:
    """What an answer has to name: what `the … is` leads up to, else the whole reference.

    >>> value_of("the answer is a dog ."), value_of("anna sees a dog .")
    ('a dog', 'anna sees a dog')
    """
    text = basic(reference)
    named = _NAMED.fullmatch(text)
    return named[1] if named else text


def is_right(sample: Prediction) -> bool:
    """Whether an answer is right.

    Keywords: the same set as the reference's. Labels (mood, gender, one speaker or two, yes or no): the right one is
    named, and no other. Whether a sound is there: said in just these words. Else: the value is named, word for word.
    An answer that does not follow its instruction is wrong, and so is one of more than three times the reference's
    words.
    """
    if follows(sample) is False:
        return False
    if sample.task == "keywords":
        return set(keywords(sample.answer)) == set(keywords(sample.reference))
    words, wanted = tokens(sample.answer), tokens(sample.reference)
    if len(words) > LONGEST * len(wanted):
        return False
    labels = YES_NO if wanted[:1] and wanted[0] in YES_NO else LABELS.get(sample.task, ())
    if labels:
        return _named(labels, words) == _named(labels, wanted)
    if " ".join(wanted) in THERE:
        return words == wanted
    return f" {' '.join(tokens(value_of(sample.reference)))} " in f" {' '.join(words)} "


def _named(labels: tuple[str, ...], words: list[str]) -> set[str]:
    return set(labels) & set(words)
