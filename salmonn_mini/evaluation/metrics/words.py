"""Words against words: error rates, BLEU, distinct words, loops.

Rates of a set are not means of its samples' rates: errors and words are counted for each sample and added up first.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from salmonn_mini.errors import SalmonnError

LOOP_WORDS = 4  # a run of so many words …
LOOP_TIMES = 3  # … that occurs so often makes an answer a loop; no story of the toy world has one even twice
_NO_WORD = re.compile(r"[^\w\s]|_")
_SIGN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")  # kana, Chinese and Japanese signs


# --- normalizers -----------------------------------------------------------------------------------------------------


def basic(text: str) -> str:
    """Unicode NFKC, lower case, apostrophes dropped, other punctuation a space, whitespace folded.

    >>> basic("  It's  RED, isn't it? ")
    'its red isnt it'
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("'", "").replace("\u2019", "")
    return " ".join(_NO_WORD.sub(" ", text).split())


@cache
def _of_transformers(name: str) -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    normalize = EnglishTextNormalizer({}) if name == "whisper_english" else BasicTextNormalizer()
    return lambda text: normalize(text).strip()


NORMALIZERS: dict[str, str] = {
    "basic": "lower case, punctuation dropped, whitespace folded (the toy world, and the default)",
    "whisper_english": "transformers' EnglishTextNormalizer without its spelling table (LibriSpeech, GigaSpeech)",
    "whisper_basic": "transformers' BasicTextNormalizer (other languages)",
}


def normalizer(name: str) -> Callable[[str], str]:
    """A function from text to text by its name in `NORMALIZERS`.

    Raises:
        SalmonnError: an unknown name.
    """
    if name not in NORMALIZERS:
        raise SalmonnError(f"unknown normalizer {name!r}: choose one of {', '.join(NORMALIZERS)}")
    return basic if name == "basic" else _of_transformers(name)


# --- error rates -----------------------------------------------------------------------------------------------------


def word_errors(reference: str, answer: str, normalizer_name: str = "basic") -> tuple[int, int]:
    """Substitutions + deletions + insertions of words (jiwer), and the reference's words.

    >>> word_errors("the cat sees a red ball", "The cat sees red balls.")
    (2, 6)
    """
    normalize = normalizer(normalizer_name)
    return _errors(normalize(reference), normalize(answer))


def phone_errors(reference: str, answer: str) -> tuple[int, int]:
    """The same for phones, which stand with spaces between them.

    >>> phone_errors("k æ t", "k ɑ t s")
    (2, 3)
    """
    return _errors(*(" ".join(unicodedata.normalize("NFKC", text).split()) for text in (reference, answer)))


def _errors(reference: str, answer: str) -> tuple[int, int]:
    import jiwer

    words = len(reference.split())
    if not words:
        return len(answer.split()), 0
    aligned = jiwer.process_words(reference, answer)
    return aligned.substitutions + aligned.deletions + aligned.insertions, words


def ratio(counts: Sequence[float]) -> float:
    """First over second, 0 if the second is 0: the value of every measure that is a rate or a mean."""
    return float(counts[0] / counts[1]) if counts[1] else 0.0


def wer(references: Sequence[str], answers: Sequence[str], normalizer_name: str = "basic") -> float:
    """Word error rate of a set, a fraction; above 1 if answers are much too long."""
    pairs = zip(references, answers, strict=True)
    return ratio(_sum([word_errors(reference, answer, normalizer_name) for reference, answer in pairs]))


def per(references: Sequence[str], answers: Sequence[str]) -> float:
    """Phone error rate of a set, a fraction."""
    return ratio(_sum([phone_errors(*pair) for pair in zip(references, answers, strict=True)]))


def _sum(rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


# --- BLEU ------------------------------------------------------------------------------------------------------------

# sacrebleu's tokenizers. Japanese goes sign by sign (`char`), so that no dictionary has to be installed.
TOKENIZERS = {"en": "13a", "de": "13a", "zh": "zh", "ja": "char"}


@cache
def _sacrebleu(tokenizer: str):
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=tokenizer, effective_order=True)


def bleu_counts(reference: str, answer: str, language: str) -> tuple[int, ...]:
    """What BLEU4 needs of a sample: n-grams right (4), n-grams in all (4), and both lengths, by sacrebleu."""
    score = _sacrebleu(TOKENIZERS[language]).sentence_score(answer, [reference])
    return (*score.counts, *score.totals, score.sys_len, score.ref_len)


def bleu_value(counts: Sequence[float]) -> float:
    """BLEU4 from the counts of a set, added up: 0 to 100, as sacrebleu and the paper write it."""
    from sacrebleu.metrics import BLEU

    right, all_, sizes = list(counts[:4]), list(counts[4:8]), counts[8:]
    return float(BLEU.compute_bleu(right, all_, *sizes, smooth_method="exp").score)


def bleu(references: Sequence[str], answers: Sequence[str], language: str) -> float:
    """BLEU4 of a set, 0 to 100; language: en, de, zh or ja."""
    pairs = zip(references, answers, strict=True)
    return bleu_value(_sum([bleu_counts(reference, answer, language) for reference, answer in pairs]))


# --- what an answer is like ------------------------------------------------------------------------------------------


def tokens(text: str) -> list[str]:
    """Words after `basic`; Chinese and Japanese signs one by one."""
    return _SIGN.sub(lambda sign: f" {sign[0]} ", basic(text)).split()


def distinct_words(text: str) -> int:
    """The paper's diversity of an answer: how many different words it has."""
    return len(set(tokens(text)))


def loops(text: str) -> bool:
    """Whether the answer goes round in circles: one run of four words at least three times."""
    words = tokens(text)
    runs = Counter(tuple(words[i : i + LOOP_WORDS]) for i in range(len(words) - LOOP_WORDS + 1))
    return max(runs.values(), default=0) >= LOOP_TIMES
