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

# Rows of (task, longest context in words); asr and phone_copy, the longest, come more often.
TASKS = (("asr", 24),) * 4 + (("phone_copy", 40),) * 2 + (("reverse", 7),) * 2 + (("yes_no", 14),) * 2 + (
    ("first_word", 14), ("last_word", 14), ("count_words", 7)
)  # fmt: skip
ANSWERS: dict[str, Callable[[list[str]], str]] = {
    "asr": " ".join,
    "reverse": lambda said: ", ".join(said[::-1]),
    "first_word": lambda said: said[0],
    "last_word": lambda said: said[-1],
    "count_words": lambda said: sentence(NUMBERS[len(said) - 1]),
}
UNKNOWN = 0.05  # words of characters that no sentence has
CHARACTERS = [chr(i) for i in range(0x21, 0x250) if chr(i).isprintable() and not chr(i).isspace()]


def words_of(tokenizer: PreTrainedTokenizerFast) -> tuple[str, ...]:
    """The words that have a token of their own, in alphabetical order."""
    return tuple(
        sorted(token[1:] for token in tokenizer.get_vocab() if token.startswith("▁") and token != "▁")
    )


def draw(rng: np.random.Generator, words: Sequence[str]) -> TextSample:
    """A task on some of `words`, which may occur twice, and now and then on characters that no word has."""
    task, longest = pick(rng, TASKS)
    prompt = pick(rng, wordings(task, False))
    if task == "phone_copy":
        text = " ".join(pick(rng, PHONES) for _ in range(rng.integers(4, longest + 1)))
        return TextSample(task, text, prompt, text)
    said = [_word(rng, words) for _ in range(rng.integers(2 if task == "reverse" else 1, longest + 1))]
    text = (", " if task in ("reverse", "count_words") else " ").join(said)
    if task == "yes_no":
        asked = pick(rng, said) if rng.random() < 0.5 else _word(rng, words)
        answer = "Yes." if asked in said else "No."
        return TextSample(task, text, prompt.replace("{}", f"Is {asked} mentioned?"), answer)
    return TextSample(task, text, prompt, ANSWERS[task](said))


def _word(rng: np.random.Generator, words: Sequence[str]) -> str:
    if rng.random() < UNKNOWN:
        return "".join(pick(rng, CHARACTERS) for _ in range(rng.integers(1, 5)))
    return pick(rng, words)
