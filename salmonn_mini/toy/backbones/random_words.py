"""Tasks on random words. Attention alone solves them: where did that word stand, and what came after it?

In sentences much can be guessed from the words before. A small LLM that begins with them comes to copying late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from transformers import PreTrainedTokenizerFast

from salmonn_mini.toy.world.grammar import pick, sentence
from salmonn_mini.toy.world.lexicon import NUMBERS
from salmonn_mini.toy.world.pronunciation import PHONES
from salmonn_mini.toy.world.text_tasks import TextSample
from salmonn_mini.toy.world.wordings import wordings

# How long the contexts are, in words, and each task's share.
LENGTHS = {
    "asr": (1, 24), "phone_copy": (4, 40), "reverse": (2, 7), "count_words": (1, 7), "first_word": (1, 14),
    "last_word": (1, 14), "next_word": (2, 14), "previous_word": (2, 14),
}  # fmt: skip
SHARES = {  # with less of copying it comes late, and with it all that looks words up
    "asr": 6, "phone_copy": 3, "reverse": 3, "count_words": 1, "first_word": 1,
    "last_word": 1, "next_word": 2, "previous_word": 1,
}  # fmt: skip
LISTS = ("reverse", "count_words")  # have commas
UNKNOWN = 0.05  # words of characters that no sentence has
CHARACTERS = [chr(i) for i in range(0x21, 0x250) if chr(i).isprintable() and not chr(i).isspace()]


def words_of(tokenizer: PreTrainedTokenizerFast) -> tuple[str, ...]:
    """The words that have a token of their own, in alphabetical order."""
    return tuple(
        sorted(token[1:] for token in tokenizer.get_vocab() if token.startswith("▁") and token != "▁")
    )


def draw(rng: np.random.Generator, words: Sequence[str]) -> TextSample:
    """A task on some of `words`, which may occur twice, and now and then on characters that no word has."""
    task = pick(rng, [task for task, share in SHARES.items() for _ in range(share)])
    shortest, longest = LENGTHS[task]
    n = int(rng.integers(shortest, longest + 1))
    said = [pick(rng, PHONES) if task == "phone_copy" else _word(rng, words) for _ in range(n)]
    fill, answer = ASKED[task](rng, said, words) if task in ASKED else ("", ANSWERS[task](said))
    context = (", " if task in LISTS else " ").join(said)
    return TextSample(task, context, pick(rng, wordings(task)).replace("{}", fill), answer)


ANSWERS: dict[str, Callable[[list[str]], str]] = {
    "asr": " ".join,
    "phone_copy": " ".join,
    "reverse": lambda said: ", ".join(said[::-1]),
    "count_words": lambda said: sentence(NUMBERS[len(said) - 1]),
    "first_word": lambda said: said[0],
    "last_word": lambda said: said[-1],
}


def _neighbor(step: int) -> Callable[[np.random.Generator, list[str], Sequence[str]], tuple[str, str]]:
    def make(rng: np.random.Generator, said: list[str], words: Sequence[str]) -> tuple[str, str]:
        """A word that is there once, unless all are there twice, and the one `step` places after it."""
        places = [i for i in range(len(said)) if 0 <= i + step < len(said)]
        place = pick(rng, [i for i in places if said.count(said[i]) == 1] or places)
        return said[place], said[place + step]

    return make


ASKED = {"next_word": _neighbor(1), "previous_word": _neighbor(-1)}


def _word(rng: np.random.Generator, words: Sequence[str]) -> str:
    if rng.random() < UNKNOWN:
        return "".join(pick(rng, CHARACTERS) for _ in range(rng.integers(1, 5)))
    return pick(rng, words)
