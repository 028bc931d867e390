"""Words against words: error rates, BLEU, distinct words, loops.

Rates of a set are not means of its samples' rates: errors and words are counted for each sample and added up first.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from salmonn_mini.errors import SalmonnError, unknown

LOOP_WORDS = 4  # a run of so many words …
LOOP_TIMES = 3  # … that occurs so often makes an answer a loop; no story of the toy world has one even twice
# Scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana, Chinese characters.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)


def basic(text: str) -> str:
    """Unicode NFKC, lower case, apostrophes dropped, other punctuation a space, whitespace folded.

    >>> basic("  It's  RED, isn't it? ")
    'its red isnt it'
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("'", "").replace("\u2019", "")
    words = "".join(map(_letter, unicodedata.normalize("NFKC", text))).split()
    return " ".join(word for word in words if any(map(str.isalnum, word)))


@cache
def _letter(character: str) -> str:
    """The character where it is part of a word, as combining marks are, "" for joiners, else a space."""
    category = unicodedata.category(character)
    if category == "Cf" and character != "\u200b":
        return ""
    return character if character.isalnum() or category in ("Mn", "Mc") else " "


def whisper(text: str) -> str:
    """transformers' EnglishTextNormalizer; `basic` where it would tear words apart at their combining marks.

    British and American spellings stay apart: transformers comes without the table that equates them.
    """
    marked = any(unicodedata.category(c)[0] == "M" for c in unicodedata.normalize("NFC", text))
    return basic(text) if marked else _english()(text).strip()


@cache
def _english() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})


NORMALIZERS: dict[str, Callable[[str], str]] = {"basic": basic, "whisper": whisper, "none": str}


def normalizer(name: str) -> Callable[[str], str]:
    """A function from text to text by its name in `NORMALIZERS`; raises SalmonnError at an unknown one."""
    if name not in NORMALIZERS:
        raise unknown("normalizer", name, NORMALIZERS)
    return NORMALIZERS[name]


def word_errors(reference: str, answer: str, normalizer_name: str = "basic") -> tuple[int, int]:
    """Substitutions + deletions + insertions of words (jiwer), and the reference's words.

    >>> word_errors("the cat sees a red ball", "The cat sees red balls.")
    (2, 6)
    """
    import jiwer

    reference, answer = map(normalizer(normalizer_name), (reference, answer))
    if not reference.split():
        return len(answer.split()), 0
    aligned = jiwer.process_words(reference, answer)
    return aligned.substitutions + aligned.deletions + aligned.insertions, len(reference.split())


def character_errors(reference: str, answer: str, normalizer_name: str = "basic") -> tuple[int, int]:
    """The same for characters, spaces left out.

    >>> character_errors("那个 老师。", "那位老师")
    (1, 4)
    """
    texts = map(normalizer(normalizer_name), (reference, answer))
    return word_errors(*(" ".join("".join(text.split())) for text in texts), "none")


def phone_errors(reference: str, answer: str) -> tuple[int, int]:
    """The same for phones, which stand with spaces between them.

    >>> phone_errors("k æ t", "k ɑ t s")
    (2, 3)
    """
    return word_errors(*(unicodedata.normalize("NFKC", text) for text in (reference, answer)), "none")


def is_unspaced(text: str) -> bool:
    """Whether most of a text is in a script without spaces between words, so that its characters are counted.

    >>> is_unspaced("那个老师"), is_unspaced("the 老 teacher")
    (True, False)
    """
    return 2 * len(_UNSPACED.findall(text)) > len("".join(basic(text).split()))


def ratio(counts: Sequence[float]) -> float:
    """First over second: the value of every measure that is a rate or a mean.

    Where the second is 0, it counts as 1: a WER without reference words is its insertions, as jiwer has it.
    """
    return float(counts[0] / max(1, counts[1]))


def wer(references: Sequence[str], answers: Sequence[str], normalizer_name: str = "basic") -> float:
    """Word error rate of a set, a fraction; above 1 if answers are much too long.

    Raises:
        SalmonnError: no pairs, or not one answer for each reference.
    """
    return ratio(_sums(partial(word_errors, normalizer_name=normalizer_name), references, answers))


def _sums(
    counts: Callable[[str, str], Sequence[int]], references: Sequence[str], answers: Sequence[str]
) -> list[int]:
    if not references or len(references) != len(answers):
        raise SalmonnError(
            f"{len(references)} references and {len(answers)} answers: give at least one, and as many of both"
        )
    return [sum(column) for column in zip(*map(counts, references, answers), strict=True)]


# --- BLEU ------------------------------------------------------------------------------------------------------------

# sacrebleu's tokenizers; 13a for all other languages. For Japanese each character, so that no dictionary is needed.
TOKENIZERS = {"zh": "zh", "ja": "char"}


@cache
def _sacrebleu(tokenizer: str) -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=tokenizer, effective_order=True)


def bleu_counts(reference: str, answer: str, language: str) -> tuple[int, ...]:
    """What BLEU4 needs of a sample: n-grams right (4), n-grams in all (4), and both lengths, by sacrebleu."""
    score = _sacrebleu(TOKENIZERS.get(language, "13a")).sentence_score(answer, [reference])
    return (*score.counts, *score.totals, score.sys_len, score.ref_len)


def bleu_value(counts: Sequence[float]) -> float:
    """BLEU4 from the counts of a set, added up: 0 to 100, as sacrebleu and the paper write it."""
    from sacrebleu.metrics import BLEU

    right, all_, sizes = list(counts[:4]), list(counts[4:8]), counts[8:]
    return float(BLEU.compute_bleu(right, all_, *sizes, smooth_method="exp").score)


def bleu(references: Sequence[str], answers: Sequence[str], language: str) -> float:
    """BLEU4 of a set, 0 to 100; language: zh, ja, or any other."""
    return bleu_value(_sums(partial(bleu_counts, language=language), references, answers))


def tokens(text: str) -> list[str]:
    """Words after `basic`; the characters of scripts without spaces one by one."""
    return _UNSPACED.sub(lambda sign: f" {sign[0]} ", basic(text)).split()


def distinct_words(text: str) -> int:
    """The paper's diversity of an answer: how many different words it has."""
    return len(set(tokens(text)))


def loops(text: str) -> bool:
    """Whether the answer goes round in circles: one run of four words at least three times."""
    words = tokens(text)
    runs = Counter(zip(*(words[i:] for i in range(LOOP_WORDS)), strict=False))
    return max(runs.values(), default=0) >= LOOP_TIMES
