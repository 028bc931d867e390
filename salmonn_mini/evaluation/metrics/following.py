"""Does an answer obey its instruction? The following rate is the share of answers that do.

The paper's own rules come first: an answer to a spoken question or a slot that repeats the speech (WER under 30 %)
"did ASR" and does not follow; a story under 50 words does not follow. Where the paper asks a judge or says nothing, a
rule stands in its place. Whether an answer is right is another question: see `answers.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from salmonn_mini.evaluation.metrics.words import basic, ratio, word_errors

ECHO_WER = 0.30  # below it an answer repeats what was said (paper, section 5)
PAPER_STORY_WORDS = 50
STORY_WORDS = 20  # the toy world's stories have 36 to 51 words, the paper's about 80 different ones
KEYWORD_WORDS = 2  # words in one keyword at the most
_KANA, _SIGN = re.compile(r"[\u3040-\u30ff]"), re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
ENGLISH, GERMAN = (
    frozenset(small_words.split())
    for small_words in (
        "the a an is are was and of to it he she they there this that with no not i you",
        "der die das den dem des ein eine einen einem einer im und ist sind nicht er sie es",
    )
)


@dataclass(frozen=True)
class Prediction:
    """An answer and what it is measured by.

    Attributes:
        reference: the right answer, or one of them.
        words: what is said in the clip, "" if nothing is.
        sounds: the caption of the sound events in the clip, "" if there are none.
        ended: whether the answer came to an end by itself.
        normalizer: a row of `words.NORMALIZERS`, for error rates.
    """

    task: str
    reference: str
    answer: str
    words: str = ""
    sounds: str = ""
    ended: bool = True
    normalizer: str = "basic"


class Rule(NamedTuple):
    """When an answer follows: in words, and as a test. An answer without a word never follows."""

    text: str
    test: Callable[[Prediction], bool]


def repeats(answer: str, text: str) -> bool:
    """Whether an answer only says `text` again: its WER against it is under 30 %."""
    return bool(basic(text)) and ratio(word_errors(text, answer)) < ECHO_WER


def did_asr(sample: Prediction) -> bool:
    """The answer is a transcript of the speech."""
    return repeats(sample.answer, sample.words)


def did_caption(sample: Prediction) -> bool:
    """The answer is a caption of the sounds."""
    return repeats(sample.answer, sample.sounds)


def _share(sign: re.Pattern, text: str) -> float:
    letters = "".join(basic(text).split())
    return len(sign.findall(letters)) / max(1, len(letters))


def keywords(answer: str) -> list[str]:
    """What stands between the commas.

    >>> keywords("farmer , apple, Market.")
    ['farmer', 'apple', 'market']
    """
    return [basic(part) for part in re.split("[,，、]", answer)]


def _lists_keywords(sample: Prediction) -> bool:
    words = keywords(sample.answer)
    short = all(0 < len(word.split()) <= KEYWORD_WORDS for word in words)
    return len(words) > 1 and short and not set(" ".join(words).split()) & ENGLISH


def _answers_about_sound(sample: Prediction) -> bool:
    opening, wanted = (basic(text).split()[:2] for text in (sample.answer, sample.reference))
    return opening == wanted and not did_asr(sample) and not did_caption(sample)


def _in_german(sample: Prediction) -> bool:
    words = basic(sample.answer).split()
    return sum(word in GERMAN for word in words) > sum(word in ENGLISH for word in words)


_NO_ECHO = "the answer does not repeat the speech: its WER against the words spoken is 30 % or more (the paper's rule)"
RULES: dict[str, Rule] = {
    "spoken_query_qa": Rule(_NO_ECHO, lambda sample: not did_asr(sample)),
    "slot_filling": Rule(_NO_ECHO, lambda sample: not did_asr(sample)),
    "story": Rule(
        f"the answer has {STORY_WORDS} words or more (the paper's {PAPER_STORY_WORDS}, scaled to the toy's stories)",
        lambda sample: len(basic(sample.answer).split()) >= STORY_WORDS,
    ),
    "co_reasoning": Rule(
        "the answer opens as the right one does (`It is …`, `You are …`, `You should …`), and is neither a transcript "
        "of the question nor a caption of the sound (WER 30 % or more; in place of the paper's judge)",
        _answers_about_sound,
    ),
    "keywords": Rule(
        f"two or more keywords with commas between them, each of at most {KEYWORD_WORDS} words, none of them an "
        "article, a pronoun or the like (ours)",
        _lists_keywords,
    ),
    "translation_de": Rule(
        "more of German's small words (der, einen, im, …) than of English's (the, a, is, …) (ours)",
        _in_german,
    ),
    "translation_ja": Rule(
        "half of the signs or more are Japanese, and one in ten is kana, which Chinese does not have (ours)",
        lambda sample: _share(_SIGN, sample.answer) >= 0.5 and _share(_KANA, sample.answer) >= 0.1,
    ),
    "translation_zh": Rule(
        "half of the signs or more are Chinese, and none is kana (ours)",
        lambda sample: _share(_SIGN, sample.answer) >= 0.5 and not _KANA.search(sample.answer),
    ),
}


def follows(sample: Prediction) -> bool | None:
    """Whether an answer obeys its instruction; None for a task without a rule."""
    rule = RULES.get(sample.task)
    return None if rule is None else bool(basic(sample.answer)) and rule.test(sample)
