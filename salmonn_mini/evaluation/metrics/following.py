"""Does an answer obey its instruction? The following rate is the share of answers that do.

The paper's own rules come first: an answer to a spoken question or a slot that repeats the speech (WER under 30 %)
"did ASR" and does not follow; a story under 50 words does not follow. Where the paper asks a judge or says nothing, a
rule stands in its place. Whether an answer is right is another question: see `answers.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from salmonn_mini.evaluation.metrics.words import basic, ratio, word_errors

ECHO_WER = 0.30  # below it an answer repeats what was said (paper, section 5)
PAPER_STORY_WORDS = 50
STORY_WORDS = 20  # the toy world's stories have 36 to 51 words, the paper's about 80 different ones
KEYWORD_WORDS = 2  # words in one keyword at the most
_KANA, _SIGN = re.compile(r"[\u3040-\u30ff]"), re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_SMALL_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "english": "the a an is are was and of to it he she they there this that with no not i you",
        "german": "der die das den dem des ein eine einen einem einer im und ist sind nicht er sie es",
    }.items()
}


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


@dataclass(frozen=True)
class Rule:
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


def in_form(sample: Prediction) -> bool:
    """The answer opens with the three words that the reference opens with, as `the answer is`."""
    return basic(sample.answer).split()[:3] == basic(sample.reference).split()[:3]


def in_german(answer: str) -> bool:
    """More of German's small words than of English's."""
    words = basic(answer).split()
    counts = {name: sum(word in small for word in words) for name, small in _SMALL_WORDS.items()}
    return counts["german"] > counts["english"]


def in_japanese(answer: str) -> bool:
    """Half of the signs or more are Japanese, and one in ten is kana, which Chinese does not have."""
    return _share(_SIGN, answer) >= 0.5 and _share(_KANA, answer) >= 0.1


def in_chinese(answer: str) -> bool:
    """Half of the signs or more are Chinese, and none is kana."""
    return _share(_SIGN, answer) >= 0.5 and not _KANA.search(answer)


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
    return len(words) > 1 and short and not set(" ".join(words).split()) & _SMALL_WORDS["english"]


def _answers_about_sound(sample: Prediction) -> bool:
    echo = did_asr(sample) or did_caption(sample)
    return not echo and in_form(sample)


_NO_ECHO = "the answer does not repeat the speech: its WER against the words spoken is 30 % or more (the paper's rule)"
RULES: dict[str, Rule] = {
    "spoken_query_qa": Rule(_NO_ECHO, lambda sample: not did_asr(sample)),
    "slot_filling": Rule(_NO_ECHO, lambda sample: not did_asr(sample)),
    "story": Rule(
        f"the answer has {STORY_WORDS} words or more (the paper's {PAPER_STORY_WORDS}, scaled to the toy's stories)",
        lambda sample: len(basic(sample.answer).split()) >= STORY_WORDS,
    ),
    "co_reasoning": Rule(
        "the answer opens as an answer does, `the answer is …`, and is neither a transcript of the question nor a "
        "caption of the sound (WER 30 % or more; in place of the paper's judge)",
        _answers_about_sound,
    ),
    "keywords": Rule(
        f"two or more keywords with commas between them, each of at most {KEYWORD_WORDS} words, none of them an "
        "article, a pronoun or the like (ours)",
        _lists_keywords,
    ),
    "translation_de": Rule(
        "more of German's small words (der, einen, im, …) than of English's (the, a, is, …) (ours)",
        lambda sample: in_german(sample.answer),
    ),
    "translation_ja": Rule(
        "half of the signs or more are Japanese, and one in ten is kana, which Chinese does not have (ours)",
        lambda sample: in_japanese(sample.answer),
    ),
    "translation_zh": Rule(
        "half of the signs or more are Chinese, and none is kana (ours)",
        lambda sample: in_chinese(sample.answer),
    ),
}


def follows(sample: Prediction) -> bool | None:
    """Whether an answer obeys its instruction; None for a task without a rule."""
    rule = RULES.get(sample.task)
    return None if rule is None else bool(basic(sample.answer)) and rule.test(sample)
