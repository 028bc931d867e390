"""Chapter 0, the tour: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/00_tour.py
"""

from math import ceil

from salmonn_mini.course.exercises import check
from salmonn_mini.evaluation.metrics.words import word_errors


# Exercise 0.1: write the prompt (●○○, 4 minutes)
def prompt(instruction: str) -> str:
    return f"USER: <Speech>H</Speech> {instruction}\nASSISTANT:"


check("0.1", prompt)


# Exercise 0.2: count the audio tokens (●○○, 4 minutes)
def n_tokens(seconds: float) -> int:
    return ceil(seconds / 0.2)


check("0.2", n_tokens)


# Exercise 0.3: an answer, or an echo (●●○, 8 minutes)
def is_echo(answer: str, words: str) -> bool:
    errors, said = word_errors(words, answer)
    return errors / said < 0.30


check("0.3", is_echo)
