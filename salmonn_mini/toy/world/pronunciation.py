"""From text to phones: how hibari-tts reads American English, and the 40 phones that the toy world writes.

hibari's symbols are those of its lexicon, misaki: one letter a phone (A for eɪ, ʤ for dʒ), with marks of stress.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from salmonn_mini.errors import SalmonnError

PHONES: tuple[str, ...] = (
    "i", "ɪ", "ɛ", "æ", "ɑ", "ɔ", "ʊ", "u", "ʌ", "ə", "ɚ", "eɪ", "aɪ", "ɔɪ", "aʊ", "oʊ",
    "p", "b", "t", "d", "k", "ɡ", "tʃ", "dʒ", "f", "v", "θ", "ð", "s", "z", "ʃ", "ʒ",
    "h", "m", "n", "ŋ", "l", "ɹ", "j", "w",
)  # fmt: skip
# Symbols that are none of the phones, written with them: diphthongs and affricates, then allophones.
_MERGED: dict[str, str] = {
    "A": "eɪ", "I": "aɪ", "Y": "ɔɪ", "W": "aʊ", "O": "oʊ", "ʧ": "tʃ", "ʤ": "dʒ",
    "ᵊ": "ə", "ɐ": "ə", "ᵻ": "ɪ", "ɜ": "ɚ", "T": "t",
}  # fmt: skip
_VOWELS = "iɪɛæɑɔʊuʌəɜɐᵊᵻAIYWO"
_R_COLORED = re.compile(f"[əɜ]ɹ(?![ˈˌ]?[{_VOWELS}])")  # one phone, unless the ɹ begins the next syllable
_NO_PHONE = re.compile(r"[\sˈˌː.,;:?!—…'\"“”()-]")
_SAYABLE = re.compile(r"[A-Za-z' .,;:?!\n-]*")


@dataclass(frozen=True)
class Said:
    """A word as it is written, without the punctuation around it, and as it is said, in hibari's symbols.

    `pause` holds the punctuation after it, which the voice hears too.
    """

    text: str
    symbols: str
    pause: str = ""


def pronounce(text: str) -> list[list[Said]]:
    """The sentences of `text`, each as its words in order.

    Raises:
        SalmonnError: `text` has a character that the voice does not read, or no word at all.
    """
    if wrong := _SAYABLE.sub("", text):
        raise SalmonnError(
            f"the voice cannot say {wrong[0]!r} in {text!r}: spell it out in the letters a to z, ' - . , ; : ? and !"
        )
    from hibari import Hibari

    sentences = [words for sentence in Hibari.split_sentences(text) if (words := _words(sentence))]
    if not sentences:
        raise SalmonnError(f"nothing to say in {text!r}: write at least one word")
    return sentences


def phonemes(text: str) -> tuple[str, ...]:
    """The phones of `text`, each one of `PHONES`; stress and punctuation are dropped.

    Raises:
        SalmonnError: as `pronounce`; or a phone that is not in `PHONES`.
    """
    return tuple(phone for words in pronounce(text) for word in words for phone in phones_of(word))


def phones_of(word: Said) -> tuple[str, ...]:
    """The phones of one word, each one of `PHONES`.

    Raises:
        SalmonnError: it has a phone that is not in `PHONES`.
    """
    symbols = _NO_PHONE.sub("", _R_COLORED.sub("ɚ", word.symbols))
    phones = tuple(_MERGED.get(symbol, symbol) for symbol in symbols)
    if others := set(phones) - set(PHONES):
        raise SalmonnError(f"phones {sorted(others)} of {word.text!r} are none of PHONES: use English words")
    return phones


def _words(sentence: str) -> list[Said]:
    """The words of a sentence: what stands between its spaces, as read in this place."""
    said: list[Said] = []
    written = symbols = ""
    reader = _reader()
    for token in reader.phonemize_tokens(reader.tokenize(sentence.strip())):
        written += token.text
        symbols += token.phonemes or ""
        if token.whitespace:
            said, written, symbols = _add(said, written, symbols), "", ""
    return _add(said, written, symbols)


def _add(said: list[Said], written: str, symbols: str) -> list[Said]:
    """`said` and one more word, or with punctuation alone put to the last one."""
    spoken = symbols.rstrip('.,;:?!—…"“” ')
    if _NO_PHONE.sub("", spoken):
        return [*said, Said(written.strip(".,;:?!-'"), spoken, symbols[len(spoken) :])]
    if not said:
        return said
    last = said[-1]
    return [*said[:-1], Said(last.text, last.symbols, last.pause + symbols)]


@lru_cache(maxsize=1)
def _reader():
    from hibari.g2p import G2P

    return G2P()
